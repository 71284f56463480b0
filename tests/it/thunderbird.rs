//! Thunderbird, as Debian has it, without a screen: it finds the desk by a member's address, and what he does
//! in its windows is done to tickets. What it can be told to do is in `tests/it/clients/thunderbird.js`; what was
//! not reached is told in `docs/imap.md`.
//!
//! It runs where there is no network but a proxy of ours, which knows the desk alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use guichet::actions::{find, ticket};
use guichet::desk::entry::{Door, State};
use guichet::desk::ticket::{Assignee, Priority, Status, Ticket};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::kit::authority::Authority;
use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;
use super::kit::peers;
use super::kit::ports::free_port;
use super::kit::socks::Socks;

const HOST: &str = "mx.desk.example.org";
const AUTOCONFIG: &str = "autoconfig.team.example";
const AUTODISCOVER: &str = "autodiscover.team.example";
const ALICE: &str = "alice@team.example";
const CAROL: &str = "Carol Smith <carol@example.com>";

/// Alice's laptop, with a furnished desk for all of its world.
struct Laptop {
    desk: TestDesk,
    proxy: Socks,
    thunderbird: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    folder: TempDir,
}

impl Laptop {
    /// With its account set up, by her address and an app password; `place` is the last part of the desk's
    /// own address on loopback.
    async fn new(place: u8) -> Option<Self> {
        let python = peers::program("python3")?;
        let unshare = peers::program("unshare")?;
        peers::program("thunderbird")?;
        let folder = TempDir::new().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.issue(&[HOST, AUTOCONFIG, AUTODISCOVER]).write(folder.path());
        // Autoconfiguration tells the ports that the configuration has.
        let ip = IpAddr::from([127, 0, 93, place]);
        let (imap, submission) = (free_port(&[ip]), free_port(&[ip]));
        let desk = TestDesk::with(&format!(
            "[imap]\nlisten_tls = [\"{ip}:{imap}\"]\n[submission]\nlisten_tls = [\"{ip}:{submission}\"]\nlisten = []\n\
             [web]\nlisten_tls = [\"127.0.0.1:0\"]\nlisten = []\n\
             [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nautoconfig = [\"team.example\"]\n",
            certificate.display(),
            key.display(),
        ))
        .await;
        furnish(&desk).await;
        let web = desk.web().0.unwrap();
        let ways = BTreeMap::from([
            (format!("{AUTOCONFIG}:443"), web),
            (format!("{AUTODISCOVER}:443"), web),
            (format!("{HOST}:{imap}"), (ip, imap).into()),
            (format!("{HOST}:{submission}"), (ip, submission).into()),
        ]);
        let socket = folder.path().join("proxy");
        let proxy = Socks::start(&socket, ways);
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients");
        let mut thunderbird = Command::new(unshare)
            .args(["--map-root-user", "--net"])
            .arg(python)
            .arg(clients.join("thunderbird.py"))
            .args([folder.path(), &socket, &clients.join("thunderbird.js")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = thunderbird.stdin.take();
        let answers = BufReader::new(thunderbird.stdout.take().unwrap()).lines();
        let mut laptop = Self { desk, proxy, thunderbird, orders, answers, folder };
        laptop.does("trust", &json!([authority.root()]));
        let password = laptop.desk.app_password(ALICE, "laptop").await;
        let found = laptop.does("setUp", &json!(["Alice", ALICE, password]));
        let (imap, submission) = (imap.to_string(), submission.to_string());
        assert_eq!(found, json!(["imap", HOST, imap, HOST, submission, ALICE]));
        fs::write(laptop.folder.path().join("root.pem"), authority.root()).unwrap();
        Some(laptop)
    }

    /// Has Thunderbird do something; what that gave.
    fn does(&mut self, what: &str, with: &Value) -> Value {
        let order = json!([what, with]).to_string();
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
        let answer = block_in_place(|| self.answers.next());
        let Some(Ok(answer)) = answer else {
            let mut said = String::new();
            self.thunderbird.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            said += &fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("{order}: {said}");
        };
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        if let Some(why) = answer["failed"].as_str() {
            panic!("{order}: {why}");
        }
        answer["done"].take()
    }

    /// What was asked for that is neither the desk's, nor at her own domain.
    fn elsewhere(&self) -> BTreeSet<String> {
        let own = |asked: &String| {
            let name = asked.split(':').next().unwrap();
            name == "team.example" || name.ends_with(".team.example")
        };
        self.proxy.refused().into_iter().filter(|asked| !own(asked)).collect()
    }

    /// Waits until a ticket is as it should be.
    async fn ticket(&self, reference: &str, is: impl Fn(&Ticket) -> bool) -> Ticket {
        let ticket = self.desk.until(|view| Ok(Some(find::ticket(view, reference)?).filter(&is)));
        tokio::time::timeout(super::kit::imap::PATIENCE, ticket)
            .await
            .unwrap_or_else(|_| panic!("{reference} is {:?}", self.desk.ticket(reference)))
    }

    async fn until_status(&self, reference: &str, status: Status) {
        self.ticket(reference, |ticket| ticket.status == status).await;
    }

    /// Another client of a member.
    async fn client(&self, who: &str) -> Client {
        let login = format!("{who}@team.example");
        let password = self.desk.app_password(&login, "another client").await;
        let mut client =
            Client::connect(self.desk.running().listens.imap_tls[0], &self.folder.path().join("root.pem")).await;
        client.must(&format!("LOGIN {login} \"{password}\"")).await;
        client
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        // Thunderbird goes with its keeper.
        let _ = self.thunderbird.kill();
        let _ = self.thunderbird.wait();
    }
}

async fn mailboxes(client: &mut Client) -> Vec<String> {
    let answer = client.must("LIST \"\" \"*\"").await;
    answer.untagged.into_iter().filter(|line| line.starts_with("* LIST ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thunderbird_finds_the_desk_and_sorts_tickets() {
    let Some(mut laptop) = Laptop::new(1).await else { return };
    let (mut alice, mut bob) = (laptop.client("alice").await, laptop.client("bob").await);
    let before = mailboxes(&mut alice).await;
    let folders = json!({
        "INBOX": "Inbox", "Drafts": "Drafts", "Sent": "SentMail", "Archive": "Archive", "Junk": "Junk", "Trash": "Trash",
        "acme": "", "acme/Open": "",
    });
    assert_eq!(laptop.does("folders", &json!([])), folders);
    assert_eq!(laptop.does("filing", &json!([])), json!([true, "Sent", "Drafts", "Archive"]));
    laptop.does("subscribe", &json!(["acme/Departments/Billing"]));

    // All of it is on her own disk.
    laptop.does("download", &json!([{ "INBOX": 3, "Archive": 1, "acme/Open": 3, "acme/Departments/Billing": 1 }]));
    let mail = laptop.folder.path().join("profile/ImapMail").join(HOST);
    assert!(fs::read_to_string(mail.join("INBOX")).unwrap().contains("It is the one on the second floor."));
    assert!(fs::read_to_string(mail.join("Archive")).unwrap().contains("Do you still sell ribbons?"));

    // What is new, and what others do, she hears of while nobody asks. What Thunderbird is told between its
    // last question and its idling, it sees no sooner than the next news: so there are more, if need be.
    laptop.does("show", &json!(["INBOX"]));
    let mut heard = None;
    for number in 1..=10 {
        let subject = format!("Ribbons {number}");
        let mail = letter(CAROL).to("acme@desk.example.org").subject(&subject);
        let reference = laptop.desk.post(&mail).await;
        if laptop.does("hearsSoon", &json!(["INBOX", { "subject": subject }, 1])) == json!(true) {
            heard = Some((reference, subject));
            break;
        }
    }
    let (reference, subject) = heard.unwrap();
    let ribbons = json!({ "subject": subject });
    let mut starred = false;
    for priority in [Priority::Urgent, Priority::Normal].into_iter().cycle().take(10) {
        laptop.desk.act(|tx, act| ticket::set_priority(tx, act, &reference, priority)).await;
        let is_starred = json!(["INBOX", { "subject": subject, "flags": "Marked" }, 1]);
        if priority == Priority::Urgent && laptop.does("hearsSoon", &is_starred) == json!(true) {
            starred = true;
            break;
        }
    }
    assert!(starred);
    for priority in [Priority::Normal, Priority::Urgent] {
        laptop.does("command", &json!(["INBOX", ribbons, "cmd_markAsFlagged"]));
        laptop.ticket(&reference, |ticket| ticket.priority == priority).await;
    }

    // Read, by her alone.
    alice.must("SELECT INBOX").await;
    bob.must("SELECT INBOX").await;
    laptop.does("read", &json!(["INBOX", ribbons]));
    if alice.search(&format!("SEEN SUBJECT \"{subject}\"")).await.is_empty() {
        alice.idle().await;
        alice.hears(|line| line.contains("FETCH") && line.contains("\\Seen")).await;
        alice.done().await;
    }
    assert_eq!(bob.search(&format!("UNSEEN SUBJECT \"{subject}\"")).await.len(), 1);

    // A tag that it has, and one of her own: it has a way of its own to write a blank.
    laptop.does("command", &json!(["INBOX", ribbons, "cmd_tag1"]));
    laptop.does("tag", &json!(["INBOX", ribbons, "Call back"]));
    let tagged = laptop.ticket(&reference, |ticket| ticket.tags.len() == 2).await;
    assert_eq!(tagged.tags.into_iter().collect::<Vec<_>>(), ["$label1", "call=20back"]);
    assert_eq!(bob.search("KEYWORD $label1 KEYWORD call=20back").await.len(), 1);

    // Each move, and back by its undo.
    for (command, folder, status) in
        [("cmd_archive", "Archive", Status::Closed), ("cmd_deleteMessage", "Trash", Status::Trash)]
    {
        laptop.does("command", &json!(["INBOX", ribbons, command]));
        laptop.until_status(&reference, status).await;
        laptop.does("finds", &json!([folder, ribbons, 1]));
        laptop.does("undo", &json!([]));
        laptop.until_status(&reference, Status::Open).await;
        laptop.does("finds", &json!(["INBOX", ribbons, 1]));
        laptop.does("finds", &json!([folder, ribbons, 0]));
    }
    assert_eq!(laptop.desk.ticket(&reference).assignee, None);
    laptop.does("move", &json!(["INBOX", ribbons, "acme/Departments/Billing"]));
    let assigned = laptop.ticket(&reference, |ticket| ticket.assignee.is_some()).await;
    assert!(matches!(assigned.assignee, Some(Assignee::Department(_))));
    laptop.does("finds", &json!(["acme/Departments/Billing", ribbons, 1]));
    laptop.does("undo", &json!([]));
    laptop.ticket(&reference, |ticket| ticket.assignee.is_none()).await;

    // What the conversation has besides comes back too, whichever message she takes.
    let (question, answer) =
        (json!({ "subject": "Printer", "from": "Carol" }), json!({ "subject": "Printer", "from": "Bob" }));
    laptop.does("read", &json!(["INBOX", question]));
    laptop.does("read", &json!(["INBOX", answer]));
    laptop.does("command", &json!(["INBOX", answer, "cmd_archive"]));
    laptop.until_status("acme-1", Status::Closed).await;
    laptop.does("finds", &json!(["Archive", { "subject": "Printer" }, 2]));
    laptop.does("move", &json!(["Archive", answer, "INBOX"]));
    laptop.until_status("acme-1", Status::Open).await;
    laptop.does("finds", &json!(["INBOX", { "subject": "Printer" }, 2]));
    laptop.does("finds", &json!(["Archive", { "subject": "Printer" }, 0]));

    // Junk, where it moves what is marked, and none.
    laptop.does("prefer", &json!(["mail.spam.manualMark", true]));
    laptop.does("command", &json!(["INBOX", answer, "cmd_markAsJunk"]));
    laptop.until_status("acme-1", Status::Spam).await;
    laptop.does("finds", &json!(["Junk", answer, 1]));
    laptop.does("command", &json!(["Junk", answer, "cmd_markAsNotJunk"]));
    laptop.until_status("acme-1", Status::Open).await;
    laptop.does("finds", &json!(["INBOX", { "subject": "Printer" }, 2]));
    // The mark alone says nothing to the ticket: Thunderbird gives it by itself too.
    laptop.does("prefer", &json!(["mail.spam.manualMark", false]));
    laptop.does("command", &json!(["INBOX", ribbons, "cmd_markAsJunk"]));
    laptop.does("hears", &json!(["INBOX", { "subject": subject, "junk": "100" }, 1]));

    // Without a line, and played when there is one.
    laptop.does("workOffline", &json!([true]));
    laptop.does("move", &json!(["INBOX", answer, "Archive"]));
    laptop.does("hears", &json!(["Archive", answer, 1]));
    assert_eq!(laptop.desk.ticket("acme-1").status, Status::Open);
    laptop.does("workOffline", &json!([false]));
    laptop.does("play", &json!(["INBOX"]));
    laptop.until_status("acme-1", Status::Closed).await;
    laptop.does("finds", &json!(["INBOX", answer, 0]));
    laptop.does("finds", &json!(["Archive", { "subject": "Printer" }, 2]));

    assert_eq!(laptop.desk.ticket(&reference).status, Status::Open);
    let events = laptop.desk.entries("acme-1").into_iter().filter(|entry| entry.door == Door::Imap);
    let clients: BTreeSet<_> = events.filter_map(|event| event.client).collect();
    assert!(clients.len() == 1 && clients.first().unwrap().starts_with("Thunderbird "), "{clients:?}");
    // It made no mailbox, and asked for nothing but the desk.
    assert_eq!(mailboxes(&mut alice).await, before);
    assert_eq!(laptop.elsewhere(), BTreeSet::new());
    assert_eq!(laptop.desk.verify().problems, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thunderbird_answers_and_keeps_drafts() {
    let Some(mut laptop) = Laptop::new(2).await else { return };
    let (mut alice, mut bob) = (laptop.client("alice").await, laptop.client("bob").await);
    let invoice = json!({ "subject": "Invoice" });
    laptop.does("finds", &json!(["INBOX", invoice, 1]));
    laptop.does("write", &json!(["INBOX", invoice, "cmd_reply", "It was a mistake of ours.\n", "send"]));
    laptop.until_status("acme-2", Status::Pending).await;
    laptop.desk.settled().await;
    let entry = laptop.desk.newest("acme-2");
    assert_eq!((entry.door, entry.state), (Door::Submission, State::Relayed));
    assert_eq!(entry.author.mailbox().unwrap().address.as_str(), ALICE);
    let told = laptop.desk.last("carol@example.com").await;
    // What she quotes of the line on top stays in the house.
    assert!(told.contains("It was a mistake of ours.") && told.contains("paid in October"), "{told}");
    assert!(!told.contains("Unassigned") && !told.contains("Your reply goes to"), "{told}");
    // It is sent once, although Thunderbird has filed it too, and marked as answered for all.
    laptop.does("finds", &json!(["Sent", { "subject": "Invoice", "flags": "Read" }, 1]));
    alice.must("SELECT Sent").await;
    assert_eq!(alice.search("ALL").await.len(), 1);
    bob.must("SELECT acme/Pending").await;
    assert_eq!(bob.search("ANSWERED FROM Carol").await.len(), 1);
    laptop.does("subscribe", &json!(["acme/Pending"]));
    laptop.does("finds", &json!(["acme/Pending", { "subject": "Invoice", "flags": "Replied" }, 1]));

    // Begun, kept, gone on with, and sent: it is a draft no longer.
    let answer = json!({ "subject": "Printer", "from": "Bob" });
    laptop.does("write", &json!(["INBOX", answer, "cmd_reply", "We come on Monday.\n", "keep"]));
    let draft = json!({ "subject": "Printer" });
    laptop.does("finds", &json!(["Drafts", draft, 1]));
    alice.must("SELECT Drafts").await;
    assert_eq!(alice.search("DRAFT SUBJECT Printer").await.len(), 1);
    assert_eq!(laptop.desk.ticket("acme-1").status, Status::Open);
    laptop.does("write", &json!(["Drafts", draft, "cmd_editDraftMsg", "Or on Tuesday.\n", "send"]));
    laptop.until_status("acme-1", Status::Pending).await;
    laptop.desk.settled().await;
    let told = laptop.desk.last("carol@example.com").await;
    assert!(told.contains("We come on Monday.") && told.contains("Or on Tuesday."), "{told}");
    laptop.does("finds", &json!(["Drafts", {}, 0]));
    alice.must("SELECT Drafts").await;
    assert_eq!(alice.search("ALL").await.len(), 0);
    assert_eq!(laptop.elsewhere(), BTreeSet::new());
    assert_eq!(laptop.desk.verify().problems, [""; 0]);
}
