//! What is counted is documented, and `guichet metrics` prints it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use guichet::metrics::{Attempt, Connection, ImapConnection, Message, Metrics, Protocol, Refusal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::kit::daemon::guichet;
use crate::kit::desk::TestDesk;
use crate::kit::letter::letter;

/// Name → label and values, of counters alone.
type Table = BTreeMap<String, (String, Vec<String>)>;

#[test]
fn the_table_of_the_docs_names_every_counter_with_its_values() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let mut documented = Table::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, label, values, meaning] = cells[..] else { panic!("five cells, not {row}") };
        assert!(!meaning.is_empty(), "{name}");
        if kind == "counter" {
            let values = values.split(", ").map(|value| value.trim_matches('`').to_owned()).collect();
            documented.insert(name.trim_matches('`').to_owned(), (label.to_owned(), values));
        }
    }
    let mut counted = Table::new();
    for (family, value, _) in Metrics::default().all() {
        let name = format!("guichet_{}_total", family.name);
        counted.entry(name).or_insert_with(|| (family.label.to_owned(), Vec::new())).1.push(value.to_owned());
    }
    assert_eq!(documented, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_printed_for_prometheus_and_as_json() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.post(&letter("Carol <carol@example.com>").to("acme@desk.example.org")).await;
    desk.offer(&letter("Carol <carol@example.com>").to("nobody@desk.example.org")).await;
    let metrics = desk.metrics();
    assert_eq!((metrics.counted(Connection::Taken), metrics.counted(Message::Taken)), (2, 1));
    assert_eq!(metrics.counted(Attempt::Sent), 1);

    let config = desk.config_file();
    let printed = |json: bool| {
        let config = config.clone();
        async move {
            let args: &[&str] = if json { &["metrics", "--json"] } else { &["metrics"] };
            let output = tokio::task::spawn_blocking(move || guichet(&config, args)).await.unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr)
        }
    };
    let (code, text, _) = printed(false).await;
    assert_eq!(code, Some(0));
    for line in [
        "# TYPE guichet_messages_total counter",
        "guichet_messages_total{outcome=\"taken\"} 1",
        "guichet_refusals_total{reason=\"unknown-recipient\"} 1",
        "guichet_copies_total{outcome=\"sent\"} 1",
        "guichet_queue_copies{state=\"queued\"} 0",
        "# TYPE guichet_open_connections gauge",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing in\n{text}");
    }
    let (_, json, _) = printed(true).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let all = json["metrics"].as_array().unwrap();
    let taken =
        all.iter().find(|metric| metric["name"] == "guichet_messages_total" && metric["labels"]["outcome"] == "taken");
    assert_eq!(taken.unwrap()["value"], 1);

    // Without a daemon nobody counts, and zeros would be a lie.
    desk.stop().await;
    let (code, text, error) = printed(false).await;
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(String::from_utf8(error).unwrap().contains("no daemon runs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_counted_once_by_what_it_is_for() {
    use Refusal::{Content, Foreign, Login, Report, Syntax, TooMany, TooMuch, Unknown, Writer};
    let desk = TestDesk::start().await;
    let metrics = desk.metrics();
    let (world, members) = (desk.address(), desk.submission().1);
    let mail = "MAIL FROM:<carol@example.com>\r\n";
    let data = |header: &str, text: &str| {
        format!("{mail}RCPT TO:<acme@desk.example.org>\r\nDATA\r\n{header}\r\n\r\n{text}\r\n.\r\n")
    };
    let status = "MIME-Version: 1.0\r\nFrom: <mailer-daemon@example.com>\r\nContent-Type: message/delivery-status";
    for (what, port, said, expected) in [
        ("no command", world, "NONSENSE\r\n".to_owned(), vec![Syntax]),
        ("not now", world, "RCPT TO:<acme@desk.example.org>\r\nDATA\r\n".to_owned(), vec![Syntax, Syntax]),
        ("no address", world, "MAIL FROM:<carol@@example.com>\r\n".to_owned(), vec![Syntax]),
        ("a login from the world", world, "AUTH PLAIN AGEAYg==\r\n".to_owned(), vec![Syntax]),
        ("its size", world, "MAIL FROM:<carol@example.com> SIZE=4000000000\r\n".to_owned(), vec![TooMuch]),
        ("nobody", world, format!("{mail}RCPT TO:<nobody@desk.example.org>\r\n"), vec![Unknown]),
        ("elsewhere", world, format!("{mail}RCPT TO:<carol@example.com>\r\n"), vec![Foreign]),
        ("by way of us", world, format!("{mail}RCPT TO:<carol%example.com@desk.example.org>\r\n"), vec![Foreign]),
        ("a bare line feed", world, data("From: <carol@example.com>", "a\nb"), vec![Content]),
        ("two writers", world, data("From: <carol@example.com>, <dave@example.com>", "a"), vec![Writer]),
        (
            "a report on nothing",
            world,
            data(status, "X: y\r\n\r\nFinal-Recipient: rfc822; a@example.com\r\nAction: failed\r\n"),
            vec![Report],
        ),
        ("errors", world, "NONSENSE\r\n".repeat(10), [vec![Syntax; 10], vec![TooMany]].concat()),
        ("nothing but questions", world, "NOOP\r\n".repeat(100), vec![TooMany]),
        ("a login in the clear", members, format!("{mail}AUTH PLAIN AGEAYg==\r\n"), vec![Login, Login]),
    ] {
        let before: BTreeMap<_, _> = refusals(&metrics);
        let mut stream = TcpStream::connect(port).await.unwrap();
        stream.write_all(format!("EHLO client.example.com\r\n{said}QUIT\r\n").as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        let refused = answers.lines().filter(|line| line.starts_with(['4', '5'])).count();
        let mut counted: Vec<&str> = Vec::new();
        for (reason, count) in refusals(&metrics) {
            let more = usize::try_from(count - before[reason]).unwrap();
            counted.extend(std::iter::repeat_n(reason, more));
        }
        let mut expected: Vec<&str> = expected.into_iter().map(name).collect();
        expected.sort_unstable();
        assert_eq!((refused, counted), (expected.len(), expected), "{what}:\n{answers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imap_connections_are_counted_by_themselves() {
    let desk = TestDesk::with("[limits]\nimap_connections_per_address = 2\n").await;
    let metrics = desk.metrics();
    let greeted = async || {
        let mut stream = BufReader::new(TcpStream::connect(desk.imap().1).await.unwrap());
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        (stream, line)
    };
    let ((mut first, said), (second, _)) = (greeted().await, greeted().await);
    assert!(said.starts_with("* OK "), "{said}");
    let (_, refused) = greeted().await;
    assert!(refused.starts_with("* BYE [UNAVAILABLE] too many connections"), "{refused}");
    assert_eq!((metrics.open(Protocol::Imap), metrics.open(Protocol::Smtp)), (2, 0));
    let counted = (metrics.counted(ImapConnection::Taken), metrics.counted(ImapConnection::TurnedAway));
    assert_eq!((counted, metrics.counted(Connection::Taken)), ((2, 1), 0));
    // A place is free when a session is over, and counted no more.
    first.write_all(b"a LOGOUT\r\n").await.unwrap();
    first.read_to_string(&mut String::new()).await.unwrap();
    drop(second);
    while metrics.open(Protocol::Imap) > 0 {
        tokio::task::yield_now().await;
    }
    let printed = tokio::task::spawn_blocking({
        let config = desk.config_file();
        move || guichet(&config, &["metrics"])
    });
    let text = String::from_utf8(printed.await.unwrap().stdout).unwrap();
    for line in [
        "guichet_imap_connections_total{outcome=\"taken\"} 2",
        "guichet_imap_connections_total{outcome=\"turned-away\"} 1",
        "guichet_open_imap_connections 0",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is missing in\n{text}");
    }
}

/// The counts of all reasons.
fn refusals(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let all = metrics.all().filter(|(family, ..)| family.name == "refusals");
    all.map(|(_, reason, count)| (reason, count)).collect()
}

/// A reason as it is printed.
fn name(reason: Refusal) -> &'static str {
    let one = Metrics::default();
    one.count(reason);
    refusals(&one).into_iter().find(|(_, count)| *count > 0).unwrap().0
}
