//! Other people's mail clients read and move tickets over IMAP, as they come. Those in Python and on Node, and
//! the hands that type into neomutt, are in `tests/it/clients`; those that keep mailboxes on a disk are in
//! `imap_mirrors.rs`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use guichet::desk::entry::{Door, State};
use guichet::desk::ticket::{Assignee, Status};

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;
use super::kit::peers::{self, run, script};

const ALICE: &str = "alice@team.example";
const CAROL: &str = "Carol Smith <carol@example.com>";

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

/// Runs a program that says `idling` where a new mail is to arrive, and must end well.
async fn with_news(desk: &TestDesk, mut command: Command) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let idling = tokio::task::spawn_blocking(move || lines.next()).await.unwrap();
    if idling.is_some() {
        desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Ribbons")).await;
    }
    ended(child).await;
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
    let Some((desk, command)) = python("imapclient_day.py").await else { return };
    with_news(&desk, command).await;
    let ticket = desk.ticket("acme-4");
    assert!(matches!(ticket.assignee, Some(Assignee::Member(_))) && ticket.status == Status::Open);
    assert_eq!(desk.ticket("acme-1").tags.into_iter().collect::<Vec<_>>(), ["refund"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn imapflow_reads_idles_moves_and_nodemailer_answers() {
    let Some(mut command) = peers::node() else { return };
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let password = desk.app_password(ALICE, "node").await;
    command.arg(script("imapflow_day.mjs")).arg(desk.imap().0.port().to_string());
    command.arg(desk.submission().0.port().to_string()).arg(desk.certificate()).args([ALICE, &password]);
    with_news(&desk, command).await;
    desk.settled().await;

    assert_eq!(desk.ticket("acme-1").tags.into_iter().collect::<Vec<_>>(), ["refund"]);
    assert!(matches!(desk.ticket("acme-4").assignee, Some(Assignee::Member(_))));
    let moved = desk.entries("acme-4").pop().unwrap();
    let client = moved.client.unwrap_or_default();
    assert!(moved.door == Door::Imap && client.starts_with("Ticket reader"), "{:?} {client}", moved.door);
    // What Nodemailer sent is on the ticket, Carol has it, and all of it.
    assert_eq!(desk.ticket("acme-2").status, Status::Pending);
    let answer = desk.newest("acme-2");
    assert_eq!((answer.door, answer.state), (Door::Submission, State::Relayed));
    assert!(answer.text.contains("It was a mistake of ours — sorry."), "{}", answer.text);
    assert_eq!(answer.attachments.len(), 1);
    let copy = desk.last("carol@example.com").await;
    for part in ["multipart/alternative", "credit note.txt", "mistake of ours"] {
        assert!(copy.contains(part), "{part} is not in {copy}");
    }
    assert!(!copy.contains(ALICE), "{copy}");
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
