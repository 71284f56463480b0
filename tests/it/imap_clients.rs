//! Other people's mail clients read and move tickets over IMAP, as they come. Those in Python, and the hands
//! that type into neomutt, are in `tests/it/clients`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use guichet::desk::entry::{Door, State};
use guichet::desk::ticket::{Assignee, Priority, Status};

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;
use super::kit::peers;

const ALICE: &str = "alice@team.example";
const CAROL: &str = "Carol Smith <carol@example.com>";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// Runs a program that must end well; what it wrote.
async fn run(mut command: Command) -> String {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    said
}

/// The end of a program that must end well.
async fn ended(mut child: Child) {
    let waiting = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap(), said)
    });
    let (status, said) = waiting.await.unwrap();
    assert!(status.success(), "{said}");
}

/// A furnished desk, and a program of the tests' Python with what it needs to log in as Alice.
async fn python(name: &str) -> Option<(TestDesk, Command)> {
    let python = peers::python()?;
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "program").await;
    let mut command = Command::new(python);
    command.arg(script(name)).arg(desk.imap().0.port().to_string()).arg(desk.certificate()).args([ALICE, &password]);
    Some((desk, command))
}

#[tokio::test(flavor = "multi_thread")]
async fn imapclient_idles_searches_sorts_threads_and_moves() {
    let Some((desk, mut command)) = python("imapclient_day.py").await else { return };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let idling = tokio::task::spawn_blocking(move || lines.next()).await.unwrap();
    if idling.is_some() {
        desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Ribbons")).await;
    }
    ended(child).await;
    let ticket = desk.ticket("acme-4");
    assert!(matches!(ticket.assignee, Some(Assignee::Member(_))) && ticket.status == Status::Open);
    assert_eq!(desk.ticket("acme-1").tags.into_iter().collect::<Vec<_>>(), ["refund"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn imaplib_reads_and_keeps_drafts_compressed() {
    let Some((_desk, command)) = python("imaplib_compressed.py").await else { return };
    run(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_lists_reads_and_asks() {
    let Some(curl) = peers::program("curl") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "curl").await;
    let (tls, clear) = desk.imap();
    let ask = async |scheme: &str, port: u16, path: &str, request: Option<&str>| {
        let mut command = Command::new(&curl);
        command.args(["-sS", "--max-time", "60", "--ssl-reqd", "--cacert"]).arg(desk.certificate());
        command.args(["--resolve", &format!("mx.desk.example.org:{port}:127.0.0.1")]);
        command.args(["--user", &format!("{ALICE}:{password}")]);
        if let Some(request) = request {
            command.args(["--request", request]);
        }
        run({
            command.arg(format!("{scheme}://mx.desk.example.org:{port}/{path}"));
            command
        })
        .await
    };
    let list = ask("imaps", tls.port(), "", None).await;
    assert!(list.contains("\"/\" INBOX") && list.contains("acme/Departments/Billing"), "{list}");
    let found = ask("imap", clear.port(), "INBOX?SUBJECT%20fire", None).await;
    assert_eq!(found.trim_end(), "* SEARCH 1 2");
    let message = ask("imaps", tls.port(), "INBOX;MAILINDEX=1", None).await;
    assert!(message.contains("It is the one on the second floor."), "{message}");
    let flags = ask("imap", clear.port(), "INBOX", Some("FETCH 1 FLAGS")).await;
    assert_eq!(flags.trim_end(), "* 1 FETCH (FLAGS (\\Seen))");
}

/// A Maildir that mbsync keeps alike with Alice's mailboxes.
struct Mirror<'a> {
    mbsync: PathBuf,
    dir: &'a Path,
}

impl Mirror<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.dir.join("mail").join(name)
    }

    /// Makes both sides alike.
    async fn sync(&self) {
        let mut command = Command::new(&self.mbsync);
        command.env("HOME", self.dir).arg("--config").arg(self.dir.join("mbsyncrc")).arg("--all");
        run(command).await;
    }

    /// The files of a folder's messages, by what they are about and their flags, in any order.
    fn files(&self, name: &str) -> Vec<(String, String, PathBuf)> {
        let mut files = Vec::new();
        for part in ["cur", "new"] {
            for file in fs::read_dir(self.folder(name).join(part)).unwrap() {
                let path = file.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                let flags = path.file_name().unwrap().to_string_lossy().rsplit_once(":2,").unwrap().1.to_owned();
                files.push((about(&text).to_owned(), flags, path));
            }
        }
        files.sort();
        files
    }

    /// The same as words: `fire F`.
    fn state(&self, name: &str) -> Vec<String> {
        self.files(name).iter().map(|(about, flags, _)| format!("{about} {flags}").trim_end().to_owned()).collect()
    }

    fn file(&self, name: &str, about: &str) -> PathBuf {
        let found = self.files(name).into_iter().find(|(is, ..)| is == about);
        found.unwrap_or_else(|| panic!("{about} is not in {name}: {:?}", self.state(name))).2
    }
}

/// What a message of the furnished desk is about, in a word.
fn about(text: &str) -> &'static str {
    for (word, part) in [
        ("floor", "second floor"),
        ("room", "Leave the room"),
        ("invoice", "invoice.pdf"),
        ("old", "sell ribbons"),
        ("new", "Toner is low"),
    ] {
        if text.contains(part) {
            return word;
        }
    }
    panic!("what is this? {text}");
}

/// What the server has in a mailbox, in the words of [`Mirror::state`].
async fn on_the_desk(desk: &TestDesk, mailbox: &str) -> Vec<String> {
    let mut client = Client::log_in(desk, "alice").await;
    client.must(&format!("EXAMINE {mailbox}")).await;
    let mut state = Vec::new();
    for uid in client.search("ALL").await {
        let flags = client.must(&format!("UID FETCH {uid} FLAGS")).await.between("FLAGS (", ")");
        let letters = [("\\Draft", "D"), ("\\Flagged", "F"), ("\\Answered", "R"), ("\\Seen", "S"), ("\\Deleted", "T")];
        let letters: String =
            letters.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, letter)| *letter).collect();
        state.push(format!("{} {letters}", about(&client.read(uid).await)).trim_end().to_owned());
    }
    state.sort();
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_keeps_a_maildir_alike_both_ways() {
    const MAILBOXES: [&str; 7] =
        ["INBOX", "Archive", "Trash", "acme/Open", "acme/Closed", "acme/Departments/Billing", "acme/Members/Bob"];
    let Some(mbsync) = peers::program("mbsync") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "mbsync").await;
    let dir = tempfile::tempdir().unwrap();
    let mirror = Mirror { mbsync, dir: dir.path() };
    fs::create_dir(dir.path().join("mail")).unwrap();
    let mail = dir.path().join("mail").display().to_string();
    let config = format!(
        "IMAPAccount desk\nHost 127.0.0.1\nPort {}\nUser {ALICE}\nPass \"{password}\"\nSSLType IMAPS\n\
         CertificateFile {}\n\nIMAPStore far\nAccount desk\n\n\
         MaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nExpunge Both\nSyncState *\n",
        desk.imap().0.port(),
        desk.certificate().display()
    );
    fs::write(dir.path().join("mbsyncrc"), config).unwrap();
    let alike = async |when: &str| {
        for mailbox in MAILBOXES {
            assert_eq!(mirror.state(mailbox), on_the_desk(&desk, mailbox).await, "{mailbox} {when}");
        }
    };

    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor", "invoice", "room"]);
    assert_eq!(mirror.state("Archive"), ["old"]);
    alike("at first").await;
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor", "invoice", "room"]);
    alike("when nothing happened").await;

    // Flags from here: read by her, and the ticket is urgent.
    let floor = mirror.file("INBOX", "floor");
    fs::rename(&floor, mirror.folder("INBOX/cur").join(with_flags(&floor, "FS"))).unwrap();
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-1").priority, Priority::Urgent);
    mirror.sync().await;
    assert_eq!(mirror.state("acme/Open"), ["floor FS", "invoice", "room F"]);
    alike("when she had read and starred").await;

    // And from there.
    desk.act(|tx, act| guichet::actions::ticket::set_priority(tx, act, "acme-1", Priority::Normal)).await;
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor S", "invoice", "room"]);

    // Moved in the Maildir, as mail readers do: closed.
    let invoice = mirror.file("INBOX", "invoice");
    fs::rename(&invoice, mirror.folder("Archive/cur").join("moved.1.host:2,")).unwrap();
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-2").status, Status::Closed);
    mirror.sync().await;
    assert_eq!(mirror.state("Archive"), ["invoice", "old"]);
    alike("when she had moved into the archive").await;

    // Back, into somebody's hands.
    let invoice = mirror.file("Archive", "invoice");
    fs::rename(&invoice, mirror.folder("acme/Members/Bob/cur").join("moved.2.host:2,")).unwrap();
    mirror.sync().await;
    let ticket = desk.ticket("acme-2");
    assert!(matches!(ticket.assignee, Some(Assignee::Member(_))) && ticket.status == Status::Open);
    mirror.sync().await;
    assert_eq!(mirror.state("acme/Members/Bob"), ["invoice"]);
    alike("when Bob had it").await;

    // One mail of a conversation is deleted: the ticket is closed, and all of it leaves.
    fs::remove_file(mirror.file("INBOX", "room")).unwrap();
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-1").status, Status::Closed);
    // Moved into the trash.
    let invoice = mirror.file("acme/Members/Bob", "invoice");
    fs::rename(&invoice, mirror.folder("Trash/cur").join("moved.3.host:2,")).unwrap();
    desk.post(&letter(CAROL).to("acme@desk.example.org").subject("New").text("Toner is low.\n")).await;
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-2").status, Status::Trash);
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["new"]);
    assert_eq!(mirror.state("Trash"), ["invoice"]);
    alike("in the end").await;
    // No ticket was made of what came back, and no message of it twice.
    assert!(desk.find("acme-5").is_none());
    let files = [&MAILBOXES[..], &["Sent", "Drafts", "Junk"]].concat();
    let mut seen = BTreeMap::new();
    for mailbox in files {
        for about in mirror.state(mailbox) {
            *seen.entry((mailbox, about)).or_insert(0) += 1;
        }
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

/// The name of a Maildir's file with other flags.
fn with_flags(path: &Path, flags: &str) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    format!("{}:2,{flags}", name.rsplit_once(":2,").unwrap().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn neomutt_reads_answers_tags_and_archives() {
    let (Some(_), Some(python)) = (peers::program("neomutt"), peers::program("python3")) else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "neomutt").await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("answer"), "It was a mistake of ours.\n").unwrap();
    let mut command = Command::new(python);
    command.arg(script("neomutt.py")).arg(dir.path()).arg(desk.imap().0.port().to_string());
    command.arg(desk.submission().0.port().to_string()).arg(desk.certificate()).args([ALICE, &password]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let hands = [
        "wait Printer on fire",
        // The third message is opened, read and answered.
        r"keys 3\r",
        r"keys \r",
        "wait October",
        "keys r",
        "wait Send",
        "keys y",
        "wait Mail sent",
        "keys i",
        "wait Printer",
        // The first is tagged, and archived.
        r"keys 1\r",
        "keys L",
        "wait :",
        r"keys vip\r",
        "wait Printer",
        "keys A",
        "wait externally modified",
        "keys q",
    ];
    child.stdin.take().unwrap().write_all((hands.join("\n") + "\n").as_bytes()).unwrap();
    ended(child).await;
    desk.settled().await;

    let answered = desk.ticket("acme-2");
    assert_eq!(answered.status, Status::Pending);
    let answer = desk.newest("acme-2");
    assert_eq!((answer.door, answer.state), (Door::Submission, State::Relayed));
    assert!(answer.text.contains("It was a mistake of ours."), "{}", answer.text);
    assert!(desk.last("carol@example.com").await.contains("It was a mistake of ours."));
    let archived = desk.ticket("acme-1");
    assert_eq!(archived.status, Status::Closed);
    assert_eq!(archived.tags.into_iter().collect::<Vec<_>>(), ["vip"]);
    let doors = desk.entries("acme-1").into_iter().rev().take(2).map(|event| event.door);
    assert!(doors.into_iter().all(|door| door == Door::Imap));
    // What she sent is there once, although neomutt filed it too, and is read.
    let mut client = Client::in_mailbox(&desk, "alice", "Sent").await;
    assert_eq!(client.search("SEEN").await.len(), 1);
    assert_eq!(client.search("UNSEEN").await.len(), 0);
    // What she answered is marked as such, for Bob too.
    let mut bob = Client::in_mailbox(&desk, "bob", "acme/Pending").await;
    assert_eq!(bob.search("ANSWERED FROM Carol").await.len(), 1);
}
