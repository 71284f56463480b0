//! The configuration file: bytes of TOML → a [`Config`] that cannot be wrong.
//!
//! Every problem is one line that names the file, the line, the key and what is allowed there. All
//! of them are found at once. What can only be said by looking at the machine (a folder that can't
//! be written, a port in use) is asked in [`check`]. What belongs to the desk (properties, members)
//! is data in the store, not configuration.

pub mod check;
pub mod clients;
pub mod credential;
pub mod percent;
mod reader;
mod relay;
mod spam;
mod tls;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use reader::nearest;
use reader::{Reader, Section};
pub use relay::{Direct, Egress, Encryption, Endpoint, Login, Protocol, Relay, Secret, Smarthost};
pub use spam::{Blocklisted, Rspamd, Spam};
pub use tls::{Acme, Certificates, MtaSts, Tls, Web};
pub use value::Domain;

/// Where the command line looks when it isn't told.
pub const DEFAULT_FILE: &str = "/etc/guichet/guichet.toml";

/// Everything that an administrator decides. Values are checked and paths are absolute, or start
/// where the file does.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name in EHLO, Message-IDs and the self-signed certificate.
    pub hostname: Domain,
    /// Where forwarding addresses live; at least one. The first takes the bounces.
    pub domains: Vec<Domain>,
    /// Store, socket, spool and keys.
    pub data_dir: PathBuf,
    /// The slug of the property that gets `postmaster@` and `abuse@`.
    pub postmaster: String,
    pub smtp: Smtp,
    pub submission: Submission,
    pub imap: Imap,
    pub web: Web,
    pub tls: Tls,
    pub relay: Relay,
    pub egress: Egress,
    /// Name servers to ask; empty means the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Whether they check DNSSEC and are believed when they say so (the AD bit); then all of them are
    /// on loopback, and there is one.
    pub validating: bool,
    pub spam: Spam,
    pub limits: Limits,
    /// Where each key stands, to name it in later complaints.
    pub source: Source,
}

/// `[smtp]`: mail from the world.
#[derive(Clone, Debug)]
pub struct Smtp {
    pub listen: Vec<SocketAddr>,
    /// The largest message taken, in octets: SIZE in EHLO (RFC 1870).
    pub max_message_size: u64,
    /// What may stand between a slug and its department or token; `+` is always among them.
    pub delimiters: Vec<char>,
}

/// `[submission]`: mail from members (RFC 6409), as large as mail from the world may be.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Where connections begin with TLS (RFC 8314 §3.3).
    pub listen_tls: Vec<SocketAddr>,
    /// Where they begin without and say STARTTLS.
    pub listen: Vec<SocketAddr>,
}

/// `[imap]`: the desk in members' mail clients (RFC 9051).
#[derive(Clone, Debug)]
pub struct Imap {
    /// Where connections begin with TLS (RFC 8314 §3.2).
    pub listen_tls: Vec<SocketAddr>,
    /// Where they begin without and say STARTTLS.
    pub listen: Vec<SocketAddr>,
}

/// `[limits]`: what keeps one client, or one loop, from taking the whole machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// SMTP connections at once, all clients together: so many of the world's, so many of members'.
    pub connections: usize,
    /// SMTP connections at once from one address (an IPv6 /64 counts as one).
    pub connections_per_address: usize,
    /// IMAP connections at once: a mail client holds several.
    pub imap_connections: usize,
    /// The same from one address: a whole team may have one.
    pub imap_connections_per_address: usize,
    /// Recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100).
    pub recipients: usize,
    /// Failed logins that one name may have at once; one a minute is forgiven, and a network may
    /// have three times as many.
    pub failed_logins: usize,
    /// Recipients an hour that one member may write to.
    pub submitted_recipients: usize,
    /// Messages an hour from one address (an IPv6 /64 counts as one).
    pub network_messages: usize,
    /// Messages an hour of one From whose domain vouches for it.
    pub sender_messages: usize,
    /// New tickets an hour of one property; answers to known ones are not counted.
    pub new_tickets: usize,
    /// Wrong commands and refused recipients before a connection is closed.
    pub errors: usize,
    /// Octets of an arriving message that stay in memory; the rest goes to a spool file.
    pub message_memory: u64,
    /// Silence after which an SMTP client is let go (RFC 5321 §4.5.3.2.7 asks for 5 minutes).
    pub idle: Duration,
    /// The longest that one message may take to arrive.
    pub data: Duration,
    /// Attachments of one message that is composed here.
    pub attachments: usize,
    /// Octets of one request to the API, attachments in base64 included.
    pub request_size: u64,
    /// Look-alike mails of one sender within `look_alike_window` that still make tickets.
    pub look_alike: usize,
    pub look_alike_window: Duration,
    /// Acknowledgements to requesters within an hour, all properties together.
    pub acknowledgements: usize,
    /// Deliveries at once, all destinations together.
    pub deliveries: usize,
    /// Deliveries at once to one destination.
    pub deliveries_per_destination: usize,
    /// After which time the author of a message is told which of its copies still wait.
    pub queue_warning: Duration,
    /// How long a copy is tried before it has failed.
    pub queue_lifetime: Duration,
    /// How long a stop waits for transactions to finish.
    pub drain: Duration,
}

impl Default for Limits {
    /// What suits a desk of 50 members.
    fn default() -> Self {
        Self {
            connections: 200,
            connections_per_address: 20,
            imap_connections: 2_000,
            imap_connections_per_address: 500,
            recipients: 100,
            failed_logins: 10,
            submitted_recipients: 500,
            network_messages: 5_000,
            sender_messages: 500,
            new_tickets: 2_000,
            errors: 10,
            message_memory: 256 << 10,
            idle: Duration::from_mins(5),
            data: Duration::from_mins(10),
            attachments: 100,
            request_size: 64 << 20,
            look_alike: 20,
            look_alike_window: Duration::from_hours(1),
            acknowledgements: 200,
            deliveries: 50,
            deliveries_per_destination: 5,
            queue_warning: Duration::from_hours(4),
            queue_lifetime: Duration::from_hours(120),
            drain: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Reads and understands the file.
    ///
    /// # Errors
    /// [`ConfigError`] with a line for each thing that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let one = |key: &str, text: String| ConfigError {
            problems: vec![Problem { file: file.to_owned(), line: None, key: key.to_owned(), text }],
        };
        let bytes = std::fs::read(file).map_err(|error| {
            let hint = if error.kind() == std::io::ErrorKind::NotFound { "; `guichet init` writes one" } else { "" };
            one("", format!("cannot be read: {error}{hint}"))
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = error.utf8_error().valid_up_to();
            let line = reader::line_of(&String::from_utf8_lossy(error.as_bytes()), before);
            one("", format!("line {line} is not UTF-8 text"))
        })?;
        Self::parse(&text, file)
    }

    /// Understands the text of a file. `file` is only named, not read; a relative `data_dir` starts
    /// at its folder.
    ///
    /// # Errors
    /// [`ConfigError`] with a line for each thing that is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let document = match toml::de::DeTable::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let line = error.span().map(|span| reader::line_of(text, span.start));
                let message = error.message().lines().collect::<Vec<_>>().join("; ");
                let twice = error.span().filter(|_| message == "duplicate key").and_then(|span| text.get(span));
                let key = twice.unwrap_or_default().to_owned();
                let problem = Problem { file: file.to_owned(), line, key, text: message };
                return Err(ConfigError { problems: vec![problem] });
            }
        };
        let reader = Reader::new(text);
        let config = read(&reader.root(document.get_ref()), file);
        let (problems, keys) = reader.finish(file);
        match config {
            Some(config) if problems.is_empty() => {
                Ok(Self { source: Source { file: file.to_owned(), lines: keys.lines, values: keys.values }, ..config })
            }
            _ => Err(ConfigError { problems }),
        }
    }

    /// Something wrong with a key's value that showed itself later, as one line with its place.
    #[must_use]
    pub fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        let line = self.source.lines.get(key).copied();
        Problem { file: self.source.file.clone(), line, key: key.to_owned(), text: text.into() }
    }

    /// Whether the file has the key, and so it is no default.
    #[must_use]
    pub fn gives(&self, key: &str) -> bool {
        self.source.lines.contains_key(key)
    }

    /// The socket of the JSON API.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.data_dir.join("api.sock")
    }

    /// The domain that forwarding addresses are made in and bounces come back to.
    #[must_use]
    pub fn first_domain(&self) -> &Domain {
        self.domains.first().expect("a config without a domain is refused")
    }
}

/// `None` when a value without a default is missing or wrong; the reader then holds the problem.
fn read(root: &Section<'_, '_>, file: &Path) -> Option<Config> {
    let hostname = root.required("hostname", "\"desk.example.org\"", Domain::parse);
    let domains = root.required_list("domains", "[\"desk.example.org\"]", Domain::parse);
    let folder = file.parent().unwrap_or(Path::new(""));
    let data_dir = folder.join(root.text("data_dir", value::path).unwrap_or_else(|| "/var/lib/guichet".into()));
    // Without the dots of `./data` in what is shown.
    let data_dir = data_dir.components().collect::<PathBuf>();
    let postmaster = root.required("postmaster", "\"acme\", the property that gets postmaster@", value::slug);

    let smtp = root.section("smtp");
    let smtp_config = Smtp {
        listen: smtp.list("listen", value::listen).unwrap_or_else(|| vec![SocketAddr::from(([0u16; 8], 25))]),
        max_message_size: smtp.size("max_message_size", 64 << 10..=1 << 30).unwrap_or(35 << 20),
        delimiters: smtp.text("delimiters", value::delimiters).unwrap_or_else(|| vec!['+']),
    };
    smtp.finish();
    let submission = root.section("submission");
    let wildcard = |port| vec![SocketAddr::from(([0u16; 8], port))];
    let submission_config = Submission {
        listen_tls: submission.list("listen_tls", value::listen).unwrap_or_else(|| wildcard(465)),
        listen: submission.list("listen", value::listen).unwrap_or_else(|| wildcard(587)),
    };
    submission.finish();
    let imap = root.section("imap");
    let imap_config = Imap {
        listen_tls: imap.list("listen_tls", value::listen).unwrap_or_else(|| wildcard(993)),
        listen: imap.list("listen", value::listen).unwrap_or_default(),
    };
    imap.finish();
    let web = tls::read_web(&root.section("web"));
    // Where these are missing, that is complained about already, and names are all they are for.
    let nobody = Domain::parse("localhost").expect("it is allowed by name");
    let own = (hostname.as_ref().unwrap_or(&nobody), domains.as_deref().unwrap_or_default());
    let tls = tls::read(&root.section("tls"), &data_dir, &web, own);
    let (relay, egress) = relay::read(&root.section("relay"), &data_dir);

    let dns = root.section("dns");
    let resolvers = dns.list("resolvers", value::resolver).unwrap_or_default();
    let validating = dns.flag("validating").unwrap_or(false);
    let local = |resolver: &SocketAddr| resolver.ip().to_canonical().is_loopback();
    if validating && (resolvers.is_empty() || !resolvers.iter().all(local)) {
        let text = "needs dns.resolvers that are on this machine's loopback alone, as in [\"127.0.0.1\"]: what others \
                    say of DNSSEC could be anybody's word";
        dns.complain("validating", text);
    }
    dns.finish();

    let spam = spam::read(&root.section("spam"));
    let limits = read_limits(&root.section("limits"));
    let store = root.section("store");
    store.text("engine", value::engine);
    store.secret("url", |_| Err::<(), _>("only postgresql has one, which is not in this release".to_owned()));
    store.finish();
    root.finish();

    Some(Config {
        hostname: hostname?,
        domains: domains?,
        data_dir,
        postmaster: postmaster?,
        smtp: smtp_config,
        submission: submission_config,
        imap: imap_config,
        web,
        tls,
        relay: relay?,
        egress,
        resolvers,
        validating,
        spam,
        limits,
        source: Source { file: PathBuf::new(), lines: BTreeMap::new(), values: BTreeMap::new() },
    })
}

fn read_limits(section: &Section<'_, '_>) -> Limits {
    let count = |key, default: usize| {
        section.integer(key, 1..=1_000_000).map_or(default, |n| usize::try_from(n).unwrap_or(default))
    };
    let time = |key, default| section.duration(key).unwrap_or(default);
    let size = |key, default| section.size(key, 4 << 10..=1 << 32).unwrap_or(default);
    let default = Limits::default();
    let limits = Limits {
        connections: count("connections", default.connections),
        connections_per_address: count("connections_per_address", default.connections_per_address),
        imap_connections: count("imap_connections", default.imap_connections),
        imap_connections_per_address: count("imap_connections_per_address", default.imap_connections_per_address),
        recipients: count("recipients", default.recipients),
        failed_logins: count("failed_logins", default.failed_logins),
        submitted_recipients: count("submitted_recipients", default.submitted_recipients),
        network_messages: count("network_messages", default.network_messages),
        sender_messages: count("sender_messages", default.sender_messages),
        new_tickets: count("new_tickets", default.new_tickets),
        errors: count("errors", default.errors),
        message_memory: size("message_memory", default.message_memory),
        idle: time("idle", default.idle),
        data: time("data", default.data),
        attachments: count("attachments", default.attachments),
        request_size: size("request_size", default.request_size),
        look_alike: count("look_alike", default.look_alike),
        look_alike_window: time("look_alike_window", default.look_alike_window),
        acknowledgements: count("acknowledgements", default.acknowledgements),
        deliveries: count("deliveries", default.deliveries),
        deliveries_per_destination: count("deliveries_per_destination", default.deliveries_per_destination),
        queue_warning: time("queue_warning", default.queue_warning),
        queue_lifetime: time("queue_lifetime", default.queue_lifetime),
        drain: time("drain", default.drain),
    };
    section.finish();
    limits
}

/// The file that a config was read from, and the line of each key in it.
#[derive(Clone, Debug)]
pub struct Source {
    pub file: PathBuf,
    lines: BTreeMap<String, usize>,
    /// A number for what each key says: values themselves may be secret.
    values: BTreeMap<String, u64>,
}

impl Source {
    /// The keys that say something else than in `other`, or stand in one of the two alone; in the
    /// order of their names.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.values.keys().chain(other.values.keys()).collect();
        keys.into_iter().filter(|key| self.values.get(*key) != other.values.get(*key)).cloned().collect()
    }
}

/// One thing that is wrong: `/etc/guichet/guichet.toml:12: smtp.lisen: unknown key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// Counted from 1; `None` for a key that isn't there.
    pub line: Option<usize>,
    /// With its section, `smtp.listen`; empty when the file itself is meant.
    pub key: String,
    pub text: String,
}

/// On one line, whatever the file holds.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", OneLine(&self.key))?;
        }
        write!(f, " {}", OneLine(&self.text))
    }
}

/// Text with its control characters escaped.
struct OneLine<'t>(&'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Why there is no config: at least one problem, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "hostname = \"desk.example.org\"\ndomains = [\"Desk.Example.org\"]\n\
        postmaster = \"acme\"\n[relay]\nmode = \"capture\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/guichet/guichet.toml"))
    }

    #[test]
    fn the_smallest_config_has_the_documented_defaults() {
        let config = parse(SMALLEST).unwrap();
        assert_eq!(config.first_domain().as_str(), "desk.example.org");
        assert_eq!(config.data_dir, Path::new("/var/lib/guichet"));
        assert_eq!(config.smtp.listen, ["[::]:25".parse().unwrap()]);
        assert_eq!(config.smtp.max_message_size, 36_700_160);
        assert_eq!(config.submission.listen_tls, ["[::]:465".parse().unwrap()]);
        assert_eq!(config.submission.listen, ["[::]:587".parse().unwrap()]);
        assert_eq!(config.imap.listen_tls, ["[::]:993".parse().unwrap()]);
        assert_eq!(config.imap.listen, []);
        assert_eq!(config.limits, Limits::default());
        assert!(config.web.listen_tls.is_empty() && config.web.listen.is_empty() && config.resolvers.is_empty());
        assert_eq!(config.tls, Tls { certificates: Certificates::SelfSigned, mta_sts: None, autoconfig: Vec::new() });
        let Relay::Capture { maildir } = config.relay else { panic!("capture") };
        assert_eq!(maildir, Path::new("/var/lib/guichet/outbox"));
    }

    /// The file that is installed says what the code does: with every key that it shows commented
    /// out set in, the config is the same as without them.
    #[test]
    fn the_documented_file_tells_the_defaults() {
        let documented = include_str!("../../config/guichet.toml");
        let plain = parse(documented).unwrap();
        let uncommented: String = documented
            .lines()
            .map(|line| match line.strip_prefix("#: ") {
                Some(key) => format!("{key}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let full = parse(&uncommented).unwrap();
        assert_eq!(format!("{:?}", plain.limits), format!("{:?}", full.limits));
        assert_eq!(format!("{:?}", plain.smtp), format!("{:?}", full.smtp));
        assert_eq!(format!("{:?}", plain.submission), format!("{:?}", full.submission));
        assert_eq!(format!("{:?}", plain.imap), format!("{:?}", full.imap));
        assert_eq!(plain.data_dir, full.data_dir);
        assert_eq!(plain.resolvers, full.resolvers);
        let direct = |text: &str| parse(&text.replace("mode = \"capture\"", "mode = \"direct\"")).unwrap().relay;
        assert_eq!(direct(documented), direct(&uncommented));
        let limits = full.source.lines.keys().filter(|key| key.starts_with("limits.")).count();
        assert_eq!(plain.spam, full.spam);
        assert_eq!((&plain.tls, &plain.web), (&full.tls, &full.web));
        assert_eq!(limits, 24, "a limit is missing from config/guichet.toml");
    }

    #[test]
    fn all_problems_are_told_at_once_in_the_order_of_the_file() {
        let error = parse("hostname = \"-\"\nfoo = 1\n[smtp]\nlisen = []\n").unwrap_err();
        let places: Vec<_> = error.problems.iter().map(|p| (p.line, p.key.as_str())).collect();
        assert_eq!(
            places,
            [
                (None, "domains"),
                (None, "postmaster"),
                (None, "relay.mode"),
                (Some(1), "hostname"),
                (Some(2), "foo"),
                (Some(4), "smtp.lisen")
            ]
        );
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        let (before, more) = (parse(SMALLEST).unwrap(), "[smtp]\nlisten = [\"127.0.0.1:25\"]\n");
        let after = parse(&format!("# moved\n{}{more}", SMALLEST.replace("acme", "shop"))).unwrap();
        assert_eq!(after.source.differs(&before.source), ["postmaster", "smtp.listen"]);
        assert_eq!(before.source.differs(&after.source), ["postmaster", "smtp.listen"]);
        let same = parse(&format!("# the same\n\n{SMALLEST}")).unwrap();
        assert!(before.source.differs(&same.source).is_empty());
    }

    #[test]
    fn clients_are_told_the_best_way_first_and_no_way_that_is_closed() {
        use clients::{Port, Security};
        let of = |more: &str| parse(&format!("{SMALLEST}{more}")).unwrap().clients();
        let (tls, plain) =
            (|number| Port { number, security: Security::Tls }, |number| Port { number, security: Security::StartTls });
        let usual = of("");
        assert_eq!((usual.imap, usual.submission), (vec![tls(993)], vec![tls(465), plain(587)]));
        let other = of("[imap]\nlisten = [\"127.0.0.1:143\", \"[::1]:1143\"]\n[submission]\nlisten_tls = []\n");
        assert_eq!((other.imap, other.submission), (vec![tls(993), plain(143)], vec![plain(587)]));
        assert!(of("").are_served() && !of("[imap]\nlisten_tls = []\n").are_served());
    }

    #[test]
    fn a_later_complaint_names_the_line_of_its_key() {
        let config = parse(SMALLEST).unwrap();
        let problem = config.problem("postmaster", "no property acme");
        assert_eq!(problem.to_string(), "/etc/guichet/guichet.toml:3: postmaster: no property acme");
        assert_eq!(config.problem("smtp.listen", "x").to_string(), "/etc/guichet/guichet.toml: smtp.listen: x");
    }
}
