//! `guichet demo`: the real daemon on loopback, with two properties, their members, and a dozen
//! mails played in through its own SMTP port.
//!
//! Everything lies in `./demo`. Outgoing mail is captured in a Maildir there; nothing leaves the
//! machine. The demonstration plays once; started again it goes on where it was.

mod mails;
mod name_server;

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

use self::mails::Mailer;
use super::{Running, runtime, start};
use crate::api::types::{AppPasswords, MadeAppPassword, Ticket, Tickets};
use crate::api::{self, App};
use crate::cli::{self, Failure};
use crate::config::Config;
use crate::desk::entry::State;
use crate::sys::{logs, signals};

/// Where it is, below the folder that it was started in.
const FOLDER: &str = "demo";
/// What the demonstration makes there.
const MADE: [&str; 8] = ["guichet.toml", "played", "api.sock", "store", "spool", "dkim", "certs", "outbox"];
/// Where it listens: the key of the config, the environment variable with another port than the
/// usual one, and that.
const SMTP: Port = Port { key: "smtp.listen", variable: "GUICHET_DEMO_PORT", usual: 2525 };
const SUBMISSION: Port = Port { key: "submission.listen_tls", variable: "GUICHET_DEMO_SUBMISSION_PORT", usual: 2465 };

const IMAP: Port = Port { key: "imap.listen_tls", variable: "GUICHET_DEMO_IMAP_PORT", usual: 2993 };

struct Port {
    key: &'static str,
    variable: &'static str,
    usual: u16,
}

/// Whose mail client the demonstration makes a password for, and for which device.
const MEMBER: &str = "alice@acme.example";
const DEVICE: &str = "demo";

/// The first line of the config, by which it is known.
const MARK: &str = "# Made by `guichet demo`, which writes it anew at each start.";

/// Runs the demonstration until Ctrl-C; `fresh` throws away what an earlier one left.
pub fn demo(fresh: bool) -> Result<(), Failure> {
    if std::env::var_os(logs::FILTER).is_some() {
        logs::start().map_err(|error| anyhow::anyhow!(error))?;
    }
    let folder = Path::new(FOLDER);
    prepare(folder, fresh)?;
    runtime()?.block_on(run(folder))
}

async fn run(folder: &Path) -> Result<(), Failure> {
    let mut signals = signals::Signals::new().context("signals can't be heard")?;
    let name_server = name_server::start().await.context("no port on loopback is to be had")?;
    let config = config(folder, [SMTP.chosen()?, SUBMISSION.chosen()?, IMAP.chosen()?], name_server)?;
    let running = start(&config).await?;
    let app = App {
        store: running.opened.store.clone(),
        desk: Arc::clone(&running.opened.desk),
        config: Arc::new(config.clone()),
        metrics: Some(Arc::clone(&running.metrics)),
        certificates: None,
        names: Arc::clone(&running.names),
        prober: Some(Arc::clone(&running.prober)),
    };
    let desk = Api(api::router(app));
    tokio::select! {
        shown = show(folder, &running, &desk, name_server) => {
            if let Err(error) = shown {
                running.stop().await;
                return Err(error);
            }
            while signals.next().await != signals::Wish::Stop {}
        }
        _ = signals.next() => {}
    }
    cli::say("Stopping.");
    running.stop().await;
    Ok(())
}

/// Plays, if that was not done yet, and prints what there is and what to try.
async fn show(folder: &Path, running: &Running, desk: &Api, name_server: SocketAddr) -> Result<(), Failure> {
    let smtp = running.listens.smtp.first().context("the daemon does not listen")?;
    let submission = running.listens.submission_tls.first().context("the daemon does not listen for members")?;
    let imap = running.listens.imap_tls.first().context("the daemon does not listen for mail clients")?;
    let played = folder.join("played");
    if !played.exists() {
        cli::say("Setting up two properties, and playing in their mail ...");
        set_up(desk).await?;
        let outbox = folder.join("outbox");
        let mailer = Mailer::new(smtp.port(), &name_server.to_string(), running.opened.store.clone(), &outbox)?;
        play(desk, &mailer).await?;
        mailer.close().await;
        fs::write(&played, "").with_context(|| played.display().to_string())?;
    }
    let tickets = desk.tickets("/tickets?limit=500").await?;
    let held = desk.held().await?;
    let password = desk.app_password().await?;
    let advice = advice([smtp.port(), submission.port(), imap.port()], &password, held);
    cli::tell(&format!("\n{}\n{advice}", cli::tickets(&tickets.tickets)))
}

/// Makes the folder, and takes away what is not to be gone on with.
fn prepare(folder: &Path, fresh: bool) -> Result<(), Failure> {
    let config = folder.join("guichet.toml");
    let ours = fs::read_to_string(&config).is_ok_and(|text| text.starts_with(MARK));
    let empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !ours && !empty {
        return Err(anyhow::anyhow!("./{FOLDER} is there and is no demonstration; start this in another folder").into());
    }
    if std::os::unix::net::UnixStream::connect(folder.join("api.sock")).is_ok() {
        return Err(Failure::Busy(format!("the demonstration in ./{FOLDER} runs already")));
    }
    // One that was interrupted in its play is not worth keeping.
    if fresh || !folder.join("played").exists() {
        for name in MADE {
            let path = folder.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(anyhow::anyhow!("{}: {error}", path.display()).into());
                }
                _ => {}
            }
        }
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    Ok(made.with_context(|| format!("./{FOLDER} can't be made"))?)
}

impl Port {
    fn chosen(&self) -> Result<u16, Failure> {
        let variable = self.variable;
        match std::env::var(variable) {
            Err(_) => Ok(self.usual),
            Ok(text) => text.parse().map_err(|_| Failure::Usage(format!("{variable}={text}: a port from 1 to 65535"))),
        }
    }
}

/// Writes the config, and sees that its ports are free before the store is opened.
fn config(folder: &Path, [smtp, submission, imap]: [u16; 3], name_server: SocketAddr) -> Result<Config, Failure> {
    let file = folder.join("guichet.toml");
    let text = format!(
        "\
{MARK}
hostname = \"desk.example\"
domains = [\"desk.example\"]
data_dir = \".\"
postmaster = \"acme\"

[smtp]
listen = [\"127.0.0.1:{smtp}\"]

[submission]
listen_tls = [\"127.0.0.1:{submission}\"]
listen = []

[imap]
listen_tls = [\"127.0.0.1:{imap}\"]

[relay]
mode = \"capture\"
capture = \"outbox\"

[dns]
# A name server of the demonstration's own: every domain's mail may come from this machine.
resolvers = [\"{name_server}\"]
"
    );
    fs::write(&file, &text).with_context(|| format!("{} can't be written", file.display()))?;
    let config = Config::parse(&text, &file)?;
    for (Port { key, variable, usual }, port) in [(SMTP, smtp), (SUBMISSION, submission), (IMAP, imap)] {
        if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
            let error =
                if error.kind() == ErrorKind::AddrInUse { "is in use".to_owned() } else { format!("({error})") };
            let hint = format!("127.0.0.1:{port} {error}; give another port, as in {variable}={}", usual + 101);
            return Err(Failure::BadConfig(vec![config.problem(key, hint)]));
        }
    }
    Ok(config)
}

/// The JSON API, asked in process.
struct Api(Router);

impl Api {
    async fn get(&self, target: &str) -> anyhow::Result<Value> {
        self.ask("GET", target, None).await
    }

    async fn tickets(&self, target: &str) -> anyhow::Result<Tickets> {
        Tickets::deserialize(self.get(target).await?).context("the list of tickets")
    }

    /// A ticket with an entry that is held, and the entry.
    async fn held(&self) -> anyhow::Result<Option<(String, String)>> {
        let Some(ticket) = self.tickets("/tickets?held=true&limit=1").await?.tickets.pop() else { return Ok(None) };
        let whole = Ticket::deserialize(self.get(&format!("/tickets/{}", ticket.reference)).await?)?;
        let mut entries = whole.entries.into_iter().flatten();
        Ok(entries.find(|entry| entry.state == State::Held).map(|entry| (ticket.reference, entry.id)))
    }

    /// A password for Alice's mail client, another at each start: nobody can tell an old one.
    async fn app_password(&self) -> anyhow::Result<String> {
        let target = format!("/members/{MEMBER}/app-passwords");
        let all = AppPasswords::deserialize(self.get(&target).await?)?;
        if all.app_passwords.iter().any(|password| password.name == DEVICE) {
            self.ask("DELETE", &format!("{target}/{DEVICE}"), None).await?;
        }
        let made = self.post(&target, json!({ "name": DEVICE })).await?;
        Ok(MadeAppPassword::deserialize(made)?.password)
    }

    async fn post(&self, target: &str, body: Value) -> anyhow::Result<Value> {
        self.ask("POST", target, Some(body)).await
    }

    /// One verb on a ticket, by a member.
    async fn act(&self, ticket: &str, member: &str, action: Value) -> anyhow::Result<Value> {
        self.post(&format!("/tickets/{ticket}/actions?as={member}"), action).await
    }

    async fn ask(&self, method: &str, target: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{target}"))
            .header("guichet-door", "cli")
            .body(body)
            .context("the request")?;
        let Ok(response) = self.0.clone().oneshot(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).context("the answer is no JSON")?;
        if !status.is_success() {
            bail!("{method} {target}: {}", answer["error"]["message"].as_str().unwrap_or_default());
        }
        Ok(answer)
    }
}

/// Two properties with their members and departments.
async fn set_up(desk: &Api) -> anyhow::Result<()> {
    for (slug, name, public, language) in [
        ("acme", "Acme Outdoor", "support@acme.example", "en"),
        ("atelier", "Atelier Lune", "contact@atelier-lune.example", "fr"),
    ] {
        let property = json!({ "slug": slug, "name": name, "public": public, "language": language });
        desk.post("/properties", property).await?;
    }
    for (address, name, property, role) in [
        ("alice@acme.example", "Alice Martin", "acme", "admin"),
        ("bob@acme.example", "Bob Keller", "acme", "agent"),
        ("chloe@atelier-lune.example", "Chloé Bernard", "atelier", "admin"),
    ] {
        let member = json!({ "address": address, "name": name, "property": property, "role": role });
        desk.post("/members", member).await?;
    }
    for (property, slug, name, members) in [
        ("acme", "billing", "Billing", json!(["alice@acme.example", "bob@acme.example"])),
        ("acme", "shipping", "Shipping", json!(["bob@acme.example"])),
        ("atelier", "commandes", "Commandes", json!(["chloe@atelier-lune.example"])),
    ] {
        let department = json!({ "slug": slug, "name": name, "members": members });
        desk.post(&format!("/properties/{property}/departments"), department).await?;
    }
    Ok(())
}

/// A morning at the desk.
async fn play(desk: &Api, mail: &Mailer) -> anyhow::Result<()> {
    let (acme, atelier) = ("acme@desk.example", "atelier@desk.example");
    mail.send("jane.miller@example.com", acme, include_str!("demo/01-tent.eml")).await?;
    mail.send("tom.baker@example.org", "acme+billing@desk.example", include_str!("demo/02-invoice.eml")).await?;
    mail.send("nora@example.net", acme, include_str!("demo/03-parcel.eml")).await?;
    mail.send("alerts@monitor.example", acme, include_str!("demo/04-monitor.eml")).await?;
    mail.send("camille.roux@example.com", atelier, include_str!("demo/05-commande.eml")).await?;
    let commandes = "atelier+commandes@desk.example";
    mail.send("reception@hotel-du-lac.example", commandes, include_str!("demo/06-devis.eml")).await?;

    // A member answers by the command line, the customer and somebody else by mail.
    let text = "Hello Jane,\n\nI am sorry about that. Is it the long or the short pole? \
                A new one can be with you on Thursday.\n\nAlice";
    desk.act("acme-1", "alice", json!({ "action": "reply", "text": text })).await?;
    desk.act("acme-1", "alice", json!({ "action": "assign", "to": "alice" })).await?;
    let jane = "jane.miller@example.com";
    mail.answer(jane, jane, include_str!("demo/07-jane-answers.eml")).await?;
    mail.answer(jane, "mark.miller@example.com", include_str!("demo/08-mark-answers.eml")).await?;
    desk.act("acme-1", "alice", json!({ "action": "follow", "member": "bob" })).await?;
    let note = "We have two of these left. Bob, can you put one into the post today?";
    desk.act("acme-1", "alice", json!({ "action": "note", "text": note })).await?;

    // A machine answers a member, which tells nobody.
    desk.act("acme-3", "bob", json!({ "action": "assign", "to": "shipping" })).await?;
    let text = "Hello Nora,\n\nthank you for the picture. Another stove leaves today.\n\nBob";
    desk.act("acme-3", "bob", json!({ "action": "reply", "text": text })).await?;
    mail.answer("nora@example.net", "nora@example.net", include_str!("demo/09-nora-is-away.eml")).await?;

    // A member answers from an address that nobody knows, which is held.
    let bob = mail.newest_about("bob@acme.example", "Charged twice").await?;
    mail.answer_to(&bob, "bob.keller@home.example", include_str!("demo/10-bob-from-home.eml")).await?;

    // A member answers from her own mail client, and so does her customer.
    let chloe = mail.newest_about("chloe@atelier-lune.example", "1177").await?;
    mail.answer_to(&chloe, "chloe@atelier-lune.example", include_str!("demo/11-chloe-answers.eml")).await?;
    let camille = "camille.roux@example.com";
    mail.answer(camille, camille, include_str!("demo/12-camille-answers.eml")).await?;
    desk.act("atelier-1", "chloe", json!({ "action": "status", "status": "closed" })).await?;

    mail.send("news@trailweekly.example", acme, include_str!("demo/13-newsletter.eml")).await?;
    desk.act("acme-5", "bob", json!({ "action": "status", "status": "spam" })).await?;
    desk.act("acme-4", "alice", json!({ "action": "priority", "priority": "urgent" })).await?;
    let parcel = json!({
        "property": "acme", "to": "lee@example.org", "to_name": "Lee Park", "subject": "Your boots are ready",
        "text": "Hello Lee,\n\nyour boots have new soles and can be fetched.\n\nAlice", "tags": ["repair"],
    });
    desk.post("/tickets?as=alice", parcel).await?;
    Ok(())
}

/// The program as a shell in this folder finds it: a bare name would be looked for in PATH.
fn from_here(program: &Path, here: &Path) -> PathBuf {
    match program.strip_prefix(here) {
        Ok(inside) if inside.components().count() == 1 => Path::new(".").join(inside),
        Ok(inside) => inside.to_owned(),
        Err(_) => program.to_owned(),
    }
}

/// What to try, in commands that work when they are pasted.
fn advice([port, submission, imap]: [u16; 3], password: &str, held: Option<(String, String)>) -> String {
    let accept = held.map(|(ticket, entry)| {
        format!("  {:<44}let it through, in Bob's name\n", format!("g ticket accept {ticket} {entry}"))
    });
    let accept = accept.unwrap_or_default();
    let program = std::env::current_exe().unwrap_or_else(|_| "guichet".into());
    let here = std::env::current_dir().unwrap_or_default();
    let program = from_here(&program, &here);
    let program = program.display();
    format!(
        "\
SMTP is on 127.0.0.1:{port}; members read by IMAP on 127.0.0.1:{imap} and submit on
127.0.0.1:{submission}, both by TLS; everything lies in ./{FOLDER}. Ctrl-C stops, the next start goes on.

Try in another terminal, in this folder:

  g() {{ {program} --config {FOLDER}/guichet.toml \"$@\"; }}
  g ticket show acme-1                        a conversation, and what became of each copy
  g ticket list --held                        what waits for a member's word
{accept}  echo 'It left today.' | g ticket reply acme-1 --as alice
  g contact show jane.miller@example.com
  ls -t {FOLDER}/outbox/new | head               what would have been sent

Be Alice in a mail client: address {MEMBER}, IMAP on 127.0.0.1 port {imap}, SMTP on port {submission},
both with TLS (its certificate is self-signed), password {password}
(another one at each start). With curl:

  curl -sSk imaps://127.0.0.1:{imap}/INBOX --user {MEMBER}:{password} -X 'FETCH 1:* (FLAGS ENVELOPE)'
  printf 'From: acme@desk.example\\nTo: lee@example.org\\nSubject: Laces\\n\\nNew laces are in the parcel.\\n' |
    curl --crlf -sSk -T - smtps://127.0.0.1:{submission} --user {MEMBER}:{password} \\
      --mail-from {MEMBER} --mail-rcpt lee@example.org

Write a mail to the desk, with curl or swaks:

  printf 'From: me@example.net\\nTo: support@acme.example\\nSubject: Norway?\\n\\nDo you ship there?\\n' |
    curl --crlf -sS -T - smtp://127.0.0.1:{port} --mail-from me@example.net --mail-rcpt acme@desk.example
  swaks --server 127.0.0.1:{port} --from me@example.net --to acme@desk.example --body 'Do you ship to Norway?'
  g ticket list
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_as_a_shell_in_the_folder_finds_it() {
        let here = Path::new("/home/jane");
        for (program, named) in [
            ("/home/jane/guichet", "./guichet"),
            ("/home/jane/target/release/guichet", "target/release/guichet"),
            ("/usr/local/bin/guichet", "/usr/local/bin/guichet"),
        ] {
            assert_eq!(from_here(Path::new(program), here), Path::new(named), "{program}");
        }
    }
}
