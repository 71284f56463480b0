//! `guichet init`: from nothing to a desk that `guichet serve` can run.
//!
//! Asks on a terminal, takes flags without one. Writes the documented config file with the answers
//! in it, makes the data directory, and adds the first property and member. Overwrites nothing.

use std::fs;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::{Call, Client};
use super::output::{Output, print, print_json, say};
use super::{Failure, House, one_of};
use crate::api::types::{NewMember, NewProperty};
use crate::config::{Config, ConfigError, DEFAULT_FILE, check};
use crate::desk::address::Address;
use crate::desk::language::Language;
use crate::desk::member::Role;
use crate::desk::slug::PropertySlug;

/// Write the config and make the data directory, the first property and the first member
///
/// On a terminal it asks for what no flag says. Without one, --hostname, --property and --member
/// must be there.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  guichet init --hostname desk.example.org --relay smtp://127.0.0.1:2526 \\
      --property acme --property-name \"Acme Support\" --member jane@acme.com --member-name \"Jane Doe\"")]
pub(super) struct Init {
    /// This machine's full name, desk.example.org
    #[arg(long)]
    hostname: Option<String>,
    /// A domain whose mail comes here; the hostname when there is none
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Where the store is kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where mail goes out: direct (to each domain's own servers), a server as smtp://host:port, or
    /// capture (into a local Maildir)
    #[arg(long, value_name = "direct|URL|capture")]
    relay: Option<String>,
    /// The file with the password of the relay's user
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Where to take mail, instead of port 25 of every address
    #[arg(long = "listen", value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Where members submit mail by TLS, instead of port 465 of these addresses; nowhere if they
    /// take mail at other ports than 25
    #[arg(long = "submission-tls", value_name = "ADDRESS:PORT")]
    submission_tls: Vec<String>,
    /// The same with STARTTLS, instead of port 587
    #[arg(long = "submission", value_name = "ADDRESS:PORT")]
    submission: Vec<String>,
    /// Where members' mail clients read by TLS, instead of port 993 of these addresses; nowhere if they
    /// take mail at other ports than 25
    #[arg(long = "imap-tls", value_name = "ADDRESS:PORT")]
    imap_tls: Vec<String>,
    /// The same with STARTTLS, which is off otherwise
    #[arg(long = "imap", value_name = "ADDRESS:PORT")]
    imap: Vec<String>,
    /// The first property's slug; it gets postmaster@ and abuse@ too
    #[arg(long)]
    property: Option<PropertySlug>,
    /// Its name for readers
    #[arg(long)]
    property_name: Option<String>,
    /// The language of what the desk itself writes
    #[arg(long, default_value = "en", value_parser = one_of(Language::ALL))]
    language: Language,
    /// The first member's address, an admin
    #[arg(long)]
    member: Option<Address>,
    /// The member's name for readers
    #[arg(long)]
    member_name: Option<String>,
    /// Overwrite a config file that is there
    #[arg(long)]
    force: bool,
}

/// The file that the answers are put into.
const TEMPLATE: &str = include_str!("../../config/guichet.toml");

impl Init {
    pub(super) fn run(self, file: &Path, house: House, output: Output) -> Result<(), Failure> {
        if file.exists() && !self.force {
            let text = format!("{} is there already; --force overwrites it", file.display());
            return Err(anyhow::anyhow!(text).into());
        }
        let answers = self.answers()?;
        let config = Config::parse(&answers.file(), file).map_err(|error| of_flags(&error))?;
        write(file, &answers.file())
            .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", file.display()))?;
        check::create_data_dir(&config).map_err(|problem| Failure::BadConfig(vec![problem]))?;

        let mut client = Client::new(&config, house.open)?;
        let property = NewProperty {
            slug: answers.property.clone(),
            name: answers.property_name.clone(),
            addresses: Vec::new(),
            public: None,
            language: answers.language,
        };
        let property = added(client.call(&Call::post(&["properties"], &property)), "property")?;
        let member = NewMember {
            address: answers.member.clone(),
            name: answers.member_name.clone(),
            property: answers.property.clone(),
            role: Role::Admin,
            aliases: Vec::new(),
            list: false,
            password: None,
        };
        added(client.call(&Call::post(&["members"], &member)), "member")?;
        drop(client);
        let service = give_to_service(file, &config)
            .map_err(|error| anyhow::anyhow!("cannot give the files to the user guichet: {error}"))?;

        let forwarding = property["forwarding_address"].as_str().unwrap_or_default();
        if output.json {
            return print_json(&json!({
                "config": file.display().to_string(), "data_dir": config.data_dir.display().to_string(),
                "property": answers.property, "forwarding_address": forwarding, "member": answers.member,
            }));
        }
        let (made, property) = (config.data_dir.display(), &answers.property);
        print(&format!("Wrote {} and made {made}.\n\n{}", file.display(), next(file, service, forwarding, property)))
    }

    fn answers(self) -> Result<Answers, Failure> {
        let mut ask = Asker::new();
        let hostname = ask.unless(self.hostname, "--hostname", "This machine's full name", None)?;
        let domains = if self.domains.is_empty() {
            let answer = ask.or_default(None, "Domains whose mail comes here", &hostname)?;
            answer.split([',', ' ']).filter(|domain| !domain.is_empty()).map(str::to_owned).collect()
        } else {
            self.domains
        };
        let data_dir = self.data_dir.map(|dir| dir.display().to_string());
        let data_dir = ask.or_default(data_dir, "Data directory", "/var/lib/guichet")?;
        let relay =
            ask.or_default(self.relay, "Where mail goes out: direct, smtp://host:port, or capture", "capture")?;
        let property = match self.property {
            Some(property) => property,
            None => ask.parsed("--property", "The first property's short name", "support")?,
        };
        let property_name = ask.or_default(self.property_name, "Its name for readers", property.as_str())?;
        let member = match self.member {
            Some(member) => member,
            None => ask.parsed("--member", "The first member's address", "")?,
        };
        let member_name = ask.or_default(self.member_name, "The member's name", member.local())?;
        Ok(Answers {
            hostname,
            domains,
            data_dir,
            relay,
            password_file: self.password_file,
            submission_tls: beside(&self.listen, self.submission_tls, 465),
            submission: beside(&self.listen, self.submission, 587),
            imap_tls: beside(&self.listen, self.imap_tls, 993),
            imap: self.imap,
            listen: self.listen,
            property,
            property_name,
            language: self.language,
            member,
            member_name,
        })
    }
}

/// What to do after it, in commands that work when they are pasted.
fn next(file: &Path, service: bool, forwarding: &str, property: &PropertySlug) -> String {
    let program = if file == Path::new(DEFAULT_FILE) {
        "guichet".to_owned()
    } else {
        format!("guichet --config {}", shell(file))
    };
    let (check, dns) = (format!("{program} check"), format!("{program} dns"));
    let serve = if service { "systemctl enable --now guichet".to_owned() } else { format!("{program} serve") };
    let wide = serve.len().max(check.len());
    format!(
        "\
Next:
  {check:<wide$}  what this machine still lacks
  {dns:<wide$}  the records that your domains need
  {serve:<wide$}  run the daemon
Then forward your support address to {forwarding}; `{program} property show {property}` tells how.
"
    )
}

/// A path as one word of a shell.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@%:".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The keys of the file that is not written yet, and the flags that they come from.
const FLAGS: [(&str, &str); 11] = [
    ("hostname", "--hostname"),
    ("domains", "--domain"),
    ("data_dir", "--data-dir"),
    ("smtp.listen", "--listen"),
    ("submission.listen_tls", "--submission-tls"),
    ("submission.listen", "--submission"),
    ("imap.listen_tls", "--imap-tls"),
    ("imap.listen", "--imap"),
    ("relay.mode", "--relay"),
    ("relay.smarthost", "--relay"),
    ("relay.password_file", "--password-file"),
];

/// What is wrong, told of the flags: there is no file whose line could be looked at.
fn of_flags(error: &ConfigError) -> Failure {
    let told = error.problems.iter().map(|problem| {
        let flag = FLAGS.iter().find(|(key, _)| *key == problem.key).map_or(problem.key.as_str(), |(_, flag)| flag);
        let keys = FLAGS.iter().filter(|(key, _)| key.contains('.'));
        let text = keys.fold(problem.text.clone(), |text, (key, flag)| text.replace(key, flag));
        format!("{flag}: {text}")
    });
    Failure::Usage(told.collect::<Vec<_>>().join("\n"))
}

struct Answers {
    hostname: String,
    domains: Vec<String>,
    data_dir: String,
    relay: String,
    password_file: Option<PathBuf>,
    listen: Vec<String>,
    submission_tls: Option<Vec<String>>,
    submission: Option<Vec<String>>,
    imap_tls: Option<Vec<String>>,
    imap: Vec<String>,
    property: PropertySlug,
    property_name: String,
    language: Language,
    member: Address,
    member_name: String,
}

impl Answers {
    /// The documented file with the answers in the place of its examples.
    fn file(&self) -> String {
        let quoted = |items: &[String]| items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ");
        let smarthost = Some(self.relay.as_str()).filter(|relay| !["direct", "capture"].contains(relay));
        let mut lines = Vec::new();
        for line in TEMPLATE.lines() {
            let key = line.split(" = ").next().unwrap_or_default();
            let section = lines.iter().rev().find(|line: &&String| line.starts_with('['));
            let section = section.and_then(|line| line.get(1..line.find(']')?)).unwrap_or("").to_owned();
            let answer = match (section.as_str(), key) {
                ("", "hostname") => Some(format!("hostname = {}", quote(&self.hostname))),
                ("", "domains") => Some(format!("domains = [{}]", quoted(&self.domains))),
                ("", "#: data_dir") => Some(format!("data_dir = {}", quote(&self.data_dir))),
                ("", "postmaster") => Some(format!("postmaster = {}", quote(self.property.as_str()))),
                ("smtp", "#: listen") if !self.listen.is_empty() => {
                    Some(format!("listen = [{}]", quoted(&self.listen)))
                }
                ("submission", "#: listen_tls") => {
                    self.submission_tls.as_ref().map(|at| format!("listen_tls = [{}]", quoted(at)))
                }
                ("submission", "#: listen") => self.submission.as_ref().map(|at| format!("listen = [{}]", quoted(at))),
                ("imap", "#: listen_tls") => self.imap_tls.as_ref().map(|at| format!("listen_tls = [{}]", quoted(at))),
                ("imap", "#: listen") if !self.imap.is_empty() => Some(format!("listen = [{}]", quoted(&self.imap))),
                ("relay", "mode") => Some(match smarthost {
                    Some(_) => "mode = \"smarthost\"".to_owned(),
                    None => format!("mode = {}", quote(&self.relay)),
                }),
                ("relay", "# smarthost") => smarthost.map(|url| format!("smarthost = {}", quote(url))),
                ("relay", "# password_file") => self
                    .password_file
                    .as_ref()
                    .map(|file| format!("password_file = {}", quote(&file.display().to_string()))),
                _ => None,
            };
            lines.push(answer.unwrap_or_else(|| line.to_owned()));
        }
        lines.join("\n") + "\n"
    }
}

/// Where members submit, or read: as they are told, else at the usual port beside port 25 of each
/// address, and nowhere beside other ports, which are for trying out. `None` is the config's own default.
fn beside(listen: &[String], told: Vec<String>, port: u16) -> Option<Vec<String>> {
    if !told.is_empty() {
        return Some(told);
    }
    if listen.is_empty() {
        return None;
    }
    let at_25 = |address: &String| Some(format!("{}:{port}", address.strip_suffix(":25")?));
    Some(listen.iter().filter_map(at_25).collect())
}

/// A basic string of TOML 1.0.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Only the owner and his group: a smarthost's password may stand in it. A file that is replaced
/// keeps its owner.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640).open(file)?.write_all(text.as_bytes())
}

/// An answer, where "it is there already" is as good as added: `init --force` may run twice.
fn added(answer: Result<serde_json::Value, Failure>, what: &str) -> Result<serde_json::Value, Failure> {
    match answer {
        Err(Failure::Api(error)) if error.code == "conflict" => {
            say(&format!("guichet: the {what} was there already: {}", error.message));
            Ok(serde_json::Value::Null)
        }
        other => other,
    }
}

/// When root sets up a machine that has the service's user, the files are that user's.
fn give_to_service(file: &Path, config: &Config) -> std::io::Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let Some(line) = passwd.lines().find(|line| line.starts_with("guichet:")) else { return Ok(false) };
    let mut fields = line.split(':').skip(2).map(|field| field.parse::<u32>().ok());
    let (Some(Some(uid)), Some(Some(gid))) = (fields.next(), fields.next()) else { return Ok(false) };
    chown(file, Some(0), Some(gid))?;
    let mut folders = vec![config.data_dir.clone()];
    while let Some(folder) = folders.pop() {
        chown(&folder, Some(uid), Some(gid))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.metadata()?.uid() == 0 {
                std::os::unix::fs::lchown(entry.path(), Some(uid), Some(gid))?;
            }
        }
    }
    Ok(true)
}

/// Asks on a terminal, or says which flag is missing.
struct Asker {
    terminal: bool,
}

impl Asker {
    fn new() -> Self {
        Self { terminal: std::io::stdin().is_terminal() }
    }

    /// What the flag said, or an answer; without a terminal and a default the flag must be there.
    fn unless(
        &mut self,
        given: Option<String>,
        flag: &str,
        question: &str,
        default: Option<&str>,
    ) -> Result<String, Failure> {
        match (given, default) {
            (Some(given), _) => Ok(given),
            (None, Some(default)) if !self.terminal => Ok(default.to_owned()),
            (None, None) if !self.terminal => Err(Failure::Usage(format!("{flag} is missing"))),
            (None, default) => loop {
                let answer = question_on_terminal(question, default.unwrap_or_default())?;
                if !answer.is_empty() {
                    break Ok(answer);
                }
            },
        }
    }

    fn or_default(&mut self, given: Option<String>, question: &str, default: &str) -> Result<String, Failure> {
        self.unless(given, "", question, Some(default))
    }

    /// Asks until the answer is understood.
    fn parsed<T>(&mut self, flag: &str, question: &str, suggestion: &str) -> Result<T, Failure>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        if !self.terminal {
            return Err(Failure::Usage(format!("{flag} is missing")));
        }
        loop {
            match question_on_terminal(question, suggestion)?.parse() {
                Ok(value) => return Ok(value),
                Err(error) => say(&format!("  {error}")),
            }
        }
    }
}

/// One line from the terminal; the default on an empty one.
fn question_on_terminal(question: &str, default: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| anyhow::anyhow!("cannot ask: {error}");
    let suggestion = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    let mut terminal = std::io::stderr();
    write!(terminal, "{question}{suggestion}: ").and_then(|()| terminal.flush()).map_err(failed)?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line).map_err(failed)? == 0 {
        return Err(anyhow::anyhow!("no answer").into());
    }
    let answer = line.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Relay;

    #[test]
    fn the_answers_are_in_the_documented_file() {
        let answers = Answers {
            hostname: "desk.acme.com".into(),
            domains: vec!["acme.com".into(), "acme.fr".into()],
            data_dir: "/srv/a \"quoted\" \\ folder".into(),
            relay: "smtps://bob@mail.acme.com".into(),
            password_file: Some("/run/secret".into()),
            listen: vec!["127.0.0.1:2525".into()],
            submission_tls: Some(vec!["127.0.0.1:2465".into()]),
            submission: Some(Vec::new()),
            imap_tls: Some(vec!["127.0.0.1:2993".into()]),
            imap: vec!["127.0.0.1:2143".into()],
            property: "acme".parse().unwrap(),
            property_name: "Acme".into(),
            language: Language::En,
            member: "jane@acme.com".parse().unwrap(),
            member_name: "Jane".into(),
        };
        let text = answers.file();
        let config = Config::parse(&text, Path::new("/etc/guichet/guichet.toml")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.hostname.as_str(), "desk.acme.com");
        assert_eq!(config.domains.len(), 2);
        assert_eq!(config.data_dir, Path::new("/srv/a \"quoted\" \\ folder"));
        assert_eq!(config.postmaster, "acme");
        assert_eq!(config.smtp.listen, ["127.0.0.1:2525".parse().unwrap()]);
        assert_eq!(config.submission.listen_tls, ["127.0.0.1:2465".parse().unwrap()]);
        assert_eq!(config.submission.listen, []);
        assert_eq!(config.imap.listen_tls, ["127.0.0.1:2993".parse().unwrap()]);
        assert_eq!(config.imap.listen, ["127.0.0.1:2143".parse().unwrap()]);
        assert!(matches!(config.relay, Relay::Smarthost(smarthost) if smarthost.login.is_some()));
        assert_eq!(text.lines().count(), TEMPLATE.lines().count(), "the documentation stays");

        let text = Answers { relay: "direct".into(), password_file: None, ..answers }.file();
        let config = Config::parse(&text, Path::new("/etc/guichet/guichet.toml")).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(config.relay, Relay::Direct(direct) if direct.port == 25 && !direct.allow_loopback));
    }

    #[test]
    fn members_are_served_beside_port_25_and_nowhere_beside_a_port_for_trying_out() {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (listen, told, expected) in [
            (&[][..], &[][..], None),
            (&["[2001:db8::1]:25", "192.0.2.1:25"], &[], Some(list(&["[2001:db8::1]:465", "192.0.2.1:465"]))),
            (&["127.0.0.1:2525"], &[], Some(Vec::new())),
            (&["127.0.0.1:2525"], &["127.0.0.1:2465"], Some(list(&["127.0.0.1:2465"]))),
        ] {
            assert_eq!(beside(&list(listen), list(told), 465), expected, "{listen:?} {told:?}");
        }
    }

    fn init(line: &str) -> Init {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            init: Init,
        }
        <Only as clap::Parser>::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}")).init
    }

    fn house() -> House {
        let open = |_: &Config| {
            let adds = axum::routing::post(|axum::Json(body): axum::Json<serde_json::Value>| async move {
                axum::Json(json!({ "forwarding_address": "acme@desk.acme.com", "given": body }))
            });
            let router = axum::Router::new().route("/api/v1/properties", adds.clone()).route("/api/v1/members", adds);
            Ok(crate::cli::Inside { router, store: None })
        };
        House { open, ..super::super::tests_house() }
    }

    #[test]
    fn a_desk_is_set_up_once_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("etc/guichet.toml");
        let line = "init --hostname desk.acme.com --data-dir data --property acme --member jane@acme.com";
        let output = Output { json: false, width: None, colour: false };
        init(line).run(&file, house(), output).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::metadata(folder.path().join("etc/data")).unwrap().permissions().mode() & 0o777, 0o700);
        let config = Config::load(&file).unwrap();
        assert_eq!((config.postmaster.as_str(), config.imap.listen_tls[0].port()), ("acme", 993));

        assert_eq!(init(line).run(&file, house(), output).unwrap_err().exit(), 1);
        init(&format!("{line} --force")).run(&file, house(), output).unwrap();
    }

    #[test]
    fn wrong_answers_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guichet.toml");
        let output = Output { json: false, width: None, colour: false };
        for (flags, told) in [
            ("--hostname desk", "--hostname: "),
            ("--hostname desk.acme.com --relay mail.acme.com", "--relay: "),
            (
                "--hostname desk.acme.com --relay smtp://bob@mail.acme.com",
                "--relay: the user has no password; give --password-file",
            ),
            ("--hostname desk.acme.com --listen 70000", "--listen: \"70000\": "),
            ("--hostname desk.acme.com --imap-tls 993", "--imap-tls: \"993\": "),
            ("--hostname desk.acme.com --imap [::]", "--imap: \"[::]\": "),
        ] {
            let line = format!("init {flags} --data-dir data --property acme --member jane@acme.com");
            let failure = init(&line).run(&file, house(), output).unwrap_err();
            assert_eq!(failure.exit(), 2, "{line}");
            assert!(failure.to_string().starts_with(told), "{line}: {failure}");
            assert!(!file.exists(), "{line}");
        }
    }

    #[test]
    fn the_next_commands_name_the_config_where_it_is_not_the_usual_one() {
        let property = "acme".parse().unwrap();
        let told = next(Path::new(DEFAULT_FILE), true, "acme@desk.acme.com", &property);
        assert!(told.contains("\n  guichet check ") && !told.contains("--config"), "{told}");
        let told = next(Path::new("my desk/it's.toml"), false, "acme@desk.acme.com", &property);
        for command in ["check", "dns", "serve", "property show acme"] {
            let expected = format!("guichet --config 'my desk/it'\\''s.toml' {command}");
            assert!(told.contains(&expected), "{expected}\n{told}");
        }
    }
}
