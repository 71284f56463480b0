//! Programs that keep a member's mailboxes on a disk, as they come: mbsync and OfflineIMAP carry what changes
//! both ways, getmail fetches what is new.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use guichet::desk::ticket::{Assignee, Priority, Status};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;
use super::kit::peers::{self, run};

const ALICE: &str = "alice@team.example";
const CAROL: &str = "Carol Smith <carol@example.com>";
const MAILBOXES: [&str; 7] =
    ["INBOX", "Archive", "Trash", "acme/Open", "acme/Closed", "acme/Departments/Billing", "acme/Members/Bob"];

/// A Maildir in a folder, and what makes it and Alice's mailboxes alike.
struct Mirror<'a> {
    dir: &'a Path,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Mirror<'_> {
    fn folder(&self, name: &str) -> PathBuf {
        self.dir.join("mail").join(name)
    }

    /// Makes both sides alike.
    async fn sync(&self) {
        let mut command = Command::new(&self.program);
        command.env("HOME", self.dir).args(&self.arguments);
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

    /// Gives a message other flags.
    fn flag(&self, name: &str, about: &str, flags: &str) {
        let file = self.file(name, about);
        let base = file.file_name().unwrap().to_string_lossy().rsplit_once(":2,").unwrap().0.to_owned();
        fs::rename(&file, self.folder(name).join("cur").join(format!("{base}:2,{flags}"))).unwrap();
    }

    /// Moves a message into another folder, as mail readers do: under a new name, with the flags that it has.
    fn relocate(&self, name: &str, about: &str, to: &str) {
        let (_, flags, file) = self.files(name).into_iter().find(|(is, ..)| is == about).unwrap();
        let base = format!("moved.{about}.{}", to.replace('/', "-"));
        fs::rename(file, self.folder(to).join("cur").join(format!("{base}:2,{flags}"))).unwrap();
    }

    /// Whether both sides are alike.
    async fn alike(&self, desk: &TestDesk, when: &str) {
        for mailbox in MAILBOXES {
            assert_eq!(self.state(mailbox), on_the_desk(desk, mailbox).await, "{mailbox} {when}");
        }
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

/// A day of somebody who works in the Maildir: each change is carried over, and the next run changes nothing.
async fn both_ways(desk: &TestDesk, mirror: &Mirror<'_>) {
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor", "invoice", "room"]);
    assert_eq!(mirror.state("Archive"), ["old"]);
    mirror.alike(desk, "at first").await;
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor", "invoice", "room"]);
    mirror.alike(desk, "when nothing happened").await;

    // Flags from here: read by her, and the ticket is urgent.
    mirror.flag("INBOX", "floor", "FS");
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-1").priority, Priority::Urgent);
    mirror.sync().await;
    assert_eq!(mirror.state("acme/Open"), ["floor FS", "invoice", "room F"]);
    mirror.alike(desk, "when she had read and starred").await;

    // And from there.
    desk.act(|tx, act| guichet::actions::ticket::set_priority(tx, act, "acme-1", Priority::Normal)).await;
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["floor S", "invoice", "room"]);

    // Moved in the Maildir: closed.
    mirror.relocate("INBOX", "invoice", "Archive");
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-2").status, Status::Closed);
    mirror.sync().await;
    assert_eq!(mirror.state("Archive"), ["invoice", "old"]);
    mirror.alike(desk, "when she had moved into the archive").await;

    // Back, into somebody's hands.
    mirror.relocate("Archive", "invoice", "acme/Members/Bob");
    mirror.sync().await;
    let ticket = desk.ticket("acme-2");
    assert!(matches!(ticket.assignee, Some(Assignee::Member(_))) && ticket.status == Status::Open);
    mirror.sync().await;
    assert_eq!(mirror.state("acme/Members/Bob"), ["invoice"]);
    mirror.alike(desk, "when Bob had it").await;

    // Assigned out of a mailbox where it stays: nobody has closed it.
    mirror.relocate("acme/Open", "floor", "acme/Departments/Billing");
    mirror.sync().await;
    let ticket = desk.ticket("acme-1");
    assert_eq!(ticket.status, Status::Open);
    assert!(matches!(ticket.assignee, Some(Assignee::Department(_))), "{:?}", ticket.assignee);
    mirror.sync().await;
    assert_eq!(mirror.state("acme/Departments/Billing"), ["floor S", "room"]);
    mirror.alike(desk, "when the department had it").await;

    // One mail of a conversation is deleted: the ticket is closed, and all of it leaves.
    fs::remove_file(mirror.file("INBOX", "room")).unwrap();
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-1").status, Status::Closed);
    // Moved into the trash.
    mirror.relocate("acme/Members/Bob", "invoice", "Trash");
    desk.post(&letter(CAROL).to("acme@desk.example.org").subject("New").text("Toner is low.\n")).await;
    mirror.sync().await;
    assert_eq!(desk.ticket("acme-2").status, Status::Trash);
    mirror.sync().await;
    assert_eq!(mirror.state("INBOX"), ["new"]);
    assert_eq!(mirror.state("Trash"), ["invoice"]);
    mirror.alike(desk, "in the end").await;
    // No ticket was made of what came back, and no message of it twice.
    assert!(desk.find("acme-5").is_none());
    let mut seen = BTreeMap::new();
    for mailbox in [&MAILBOXES[..], &["Sent", "Drafts", "Junk"]].concat() {
        for about in mirror.state(mailbox) {
            *seen.entry((mailbox, about)).or_insert(0) += 1;
        }
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_keeps_a_maildir_alike_both_ways() {
    let Some(program) = peers::program("mbsync") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let dir = tempfile::tempdir().unwrap();
    let config = mbsync_config(&desk, dir.path(), "SSLType IMAPS", desk.imap().0.port()).await;
    let arguments = vec!["--config".to_owned(), config.display().to_string(), "--all".to_owned()];
    both_ways(&desk, &Mirror { dir: dir.path(), program, arguments }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_logs_in_by_scram_behind_starttls() {
    let Some(program) = peers::program("mbsync") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let dir = tempfile::tempdir().unwrap();
    let how = "SSLType STARTTLS\nAuthMechs SCRAM-SHA-256";
    let config = mbsync_config(&desk, dir.path(), how, desk.imap().1.port()).await;
    let mut command = Command::new(program);
    command.env("HOME", dir.path()).arg("--config").arg(config).args(["--list", "all"]);
    let said = run(command).await;
    assert!(said.contains("acme/Departments/Billing"), "{said}");
}

/// A configuration of mbsync for Alice in a folder, with a Maildir beside it.
async fn mbsync_config(desk: &TestDesk, dir: &Path, how: &str, port: u16) -> PathBuf {
    let password = desk.app_password(ALICE, "mbsync").await;
    fs::create_dir(dir.join("mail")).unwrap();
    let (mail, certificate) = (dir.join("mail").display().to_string(), desk.certificate().display().to_string());
    let config = format!(
        "IMAPAccount desk\nHost 127.0.0.1\nPort {port}\nUser {ALICE}\nPass \"{password}\"\n{how}\n\
         CertificateFile {certificate}\n\nIMAPStore far\nAccount desk\n\n\
         MaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nExpunge Both\nSyncState *\n",
    );
    let file = dir.join("mbsyncrc");
    fs::write(&file, config).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn offlineimap_keeps_a_maildir_alike_both_ways() {
    let Some(program) = peers::program("offlineimap") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "offlineimap").await;
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().display();
    // The certificate is for the desk's name, and we go to its address: so it is known by its print.
    let certificate = CertificateDer::from_pem_file(desk.certificate()).unwrap();
    let print = HEXLOWER.encode(digest::digest(&digest::SHA256, &certificate).as_ref());
    let config = format!(
        "[general]\naccounts = desk\nmetadata = {here}/state\nsocktimeout = 60\n\
         [Account desk]\nlocalrepository = near\nremoterepository = far\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {here}/mail\nsep = /\n\
         [Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {}\nremoteuser = {ALICE}\n\
         remotepass = {password}\nssl = yes\ncert_fingerprint = {print}\nusecompression = yes\n\
         createfolders = no\n",
        desk.imap().0.port(),
    );
    let file = dir.path().join("offlineimaprc");
    fs::write(&file, config).unwrap();
    // One folder after the other: of two at once, one may see what the other is about to change.
    let arguments = ["-1", "-o", "-u", "basic", "-c"].map(ToOwned::to_owned).into_iter();
    let arguments = arguments.chain([file.display().to_string()]).collect();
    both_ways(&desk, &Mirror { dir: dir.path(), program, arguments }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn getmail_fetches_each_message_once() {
    let Some(program) = peers::program("getmail") else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "getmail").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mbox");
    // Into a file by a program's hands: into a Maildir it delivers nothing as root, whom tests may run as.
    let config = format!(
        "[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = 127.0.0.1\nport = {}\nusername = {ALICE}\n\
         password = {password}\nca_certs = {}\nssl_cert_hostname = mx.desk.example.org\nmailboxes = (\"INBOX\",)\n\
         [destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >>{}\")\nunixfrom = true\n\
         allow_root_commands = true\n[options]\nread_all = false\ndelete = false\n",
        desk.imap().0.port(),
        desk.certificate().display(),
        file.display(),
    );
    fs::write(dir.path().join("getmailrc"), config).unwrap();
    let fetch = async || {
        let mut command = Command::new(&program);
        command.env("HOME", dir.path()).arg("--getmaildir").arg(dir.path()).args(["--rcfile", "getmailrc"]);
        let said = run(command).await;
        let text = fs::read_to_string(&file).unwrap();
        let mut about: Vec<_> = text.split("From unknown ").skip(1).map(about).collect();
        about.sort_unstable();
        (about, said)
    };
    assert_eq!(fetch().await.0, ["floor", "invoice", "room"]);
    let (again, said) = fetch().await;
    assert_eq!(again, ["floor", "invoice", "room"], "{said}");
    // What it has fetched is as unread as it was, and where it was.
    assert_eq!(on_the_desk(&desk, "INBOX").await, ["floor", "invoice", "room"]);
    desk.post(&letter(CAROL).to("acme@desk.example.org").subject("New").text("Toner is low.\n")).await;
    assert_eq!(fetch().await.0, ["floor", "invoice", "new", "room"]);
}
