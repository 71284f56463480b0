//! What goes out: every copy verifies elsewhere, by both signatures, whatever it was made of; and
//! what is signed or encrypted arrives as it was sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use guichet::desk::copy::CopyState;

use crate::kit::desk::{DOMAIN, TestDesk, address_in, dkim_records, field};
use crate::kit::letter::{Letter, letter, reply};
use crate::kit::peers;
use crate::kit::sink::{Act, Received};

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";

/// Text beyond ASCII that must not be encoded anew.
const SIGNED_8BIT: &str = "Content-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\r\n\r\n\
    --s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nDéjà vu.\r\n\
    --s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";

/// The MIME fields and bodies of real mail, and some made to break signatures.
fn shapes() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/copies");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "eml"));
    let mut shapes: Vec<_> = files
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), mime_of(&fs::read(&file).unwrap())))
        .collect();
    let text = "Content-Type: text/plain; charset=";
    for (name, octets) in [
        ("nothing", Vec::new()),
        ("blank lines", b"\r\n\r\n\r\n\r\n".to_vec()),
        ("blanks at the ends", b"\r\nHello \t \r\n   \r\n\t\r\n\r\n".to_vec()),
        ("no line end", format!("{text}us-ascii\r\n\r\nHello").into_bytes()),
        ("dots", b"\r\n.\r\n..\r\n.hidden\r\n".to_vec()),
        ("latin-1", [format!("{text}iso-8859-1\r\n\r\n").as_bytes(), b"d\xe9j\xe0 vu\r\n"].concat()),
        ("utf-8", format!("{text}utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ndéjà vu ☃\r\n").into_bytes()),
        ("long lines", format!("{text}utf-8\r\n\r\n{}\r\n{}\r\n", "x".repeat(997), "é ".repeat(400)).into_bytes()),
        ("signed 8-bit text", SIGNED_8BIT.as_bytes().to_vec()),
        ("from lines", b"\r\nFrom here on\r\n>From\r\n".to_vec()),
    ] {
        shapes.push((name.to_owned(), octets));
    }
    shapes
}

/// The MIME fields of a message, a blank line, and its body.
fn mime_of(message: &[u8]) -> Vec<u8> {
    let message: Vec<u8> = message.iter().copied().filter(|octet| *octet != b'\r').collect();
    let end = message.windows(2).position(|two| two == b"\n\n").unwrap_or(message.len());
    let (header, body) = message.split_at(end);
    let mut out = Vec::new();
    let mut takes = false;
    for line in header.split(|octet| *octet == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.to_ascii_lowercase();
            takes = name.starts_with(b"content-") || name.starts_with(b"mime-version");
        }
        if takes {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }
    for (at, line) in body.split(|octet| *octet == b'\n').skip(1).enumerate() {
        out.extend_from_slice(if at > 0 { b"\r\n" } else { b"" });
        out.extend_from_slice(line);
    }
    out
}

/// A letter with such a body.
fn dressed(letter: &Letter, shape: &[u8]) -> Vec<u8> {
    let header = letter.clone().text("").message();
    [header.trim_end().replace('\n', "\r\n").as_bytes(), b"\r\n", shape].concat()
}

/// Sends each shape by a customer, and as a member's answer.
async fn every_shape_both_ways(desk: &TestDesk) -> BTreeMap<String, (Vec<u8>, Vec<Received>)> {
    let mut sent = BTreeMap::new();
    for (name, shape) in shapes() {
        let before = desk.settled().await.len();
        let to = "acme@desk.example.org";
        let question = letter(CAROL).to(to).subject(&format!("Größe: {name}"));
        desk.send_octets("carol@example.com", &[to], &dressed(&question, &shape)).await;
        let answer = reply(ALICE, &desk.last("alice@team.example").await);
        desk.send_octets("alice@team.example", &[&answer.recipients()[0]], &dressed(&answer, &shape)).await;
        let received = desk.settled().await.split_off(before);
        let readers: Vec<_> = received.iter().map(|received| received.to[0].as_str()).collect();
        assert_eq!(readers, ["RCPT TO:<alice@team.example>", "RCPT TO:<carol@example.com>"], "{name}");
        sent.insert(name, (shape, received));
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_verifies_elsewhere_by_both_signatures() {
    let Some(python) = peers::python() else { return };
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let sent = every_shape_both_ways(&desk).await;
    let dir = tempfile::tempdir().unwrap();
    for (at, (name, (_, received))) in sent.iter().enumerate() {
        for (reader, received) in received.iter().enumerate() {
            fs::write(dir.path().join(format!("{at}-{reader} {name}").replace('/', "_")), &received.message).unwrap();
        }
    }
    let records: BTreeMap<_, _> = dkim_records(DOMAIN).into_iter().map(|one| (one.name + ".", one.value)).collect();
    let script = r#"
import dkim, json, pathlib, re, sys
records = {name.encode(): value.encode() for name, value in json.loads(sys.argv[2]).items()}
def dns(name, timeout=5):
    return records.get(name if isinstance(name, bytes) else name.encode())
bad = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    message = path.read_bytes()
    header = message.split(b"\r\n\r\n")[0]
    names = sorted(re.findall(rb"a=([a-z0-9]+)-sha256", header))
    if names != [b"ed25519", b"rsa"]:
        bad += 1
        print(path.name, "has the signatures", names)
    for index in (0, 1):
        try:
            good = dkim.DKIM(message).verify(idx=index, dnsfunc=dns)
        except Exception as error:
            good = False
            print(path.name, index, repr(error))
        if not good:
            bad += 1
            print(path.name, index, "does not verify")
sys.exit(bad != 0)
"#;
    let output = Command::new(python)
        .args(["-c", script])
        .arg(dir.path())
        .arg(serde_json::to_string(&records).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_or_encrypted_arrives_octet_for_octet() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let sent = every_shape_both_ways(&desk).await;
    // Behind the blank line that ends the fields, or what a list put its own things around.
    for (name, from, to) in [
        ("pgp-signed.eml", "\r\n\r\n", ""),
        ("list-signed.eml", "--s\r\n", "--s--"),
        ("signed 8-bit text", "\r\n\r\n", ""),
        ("pgp-encrypted.eml", "\r\n\r\n", ""),
        ("smime-encrypted.eml", "\r\n\r\n", ""),
    ] {
        let (shape, received) = &sent[name];
        let at = |text: &str| shape.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
        let end = if to.is_empty() { shape.len() } else { at(to) + to.len() };
        let body = shape[at(from) + from.len()..end].trim_ascii_end();
        for received in received {
            let whole = received.message.windows(body.len()).any(|part| part == body);
            assert!(whole, "{name}: {}", String::from_utf8_lossy(&received.message));
        }
        let encrypted = name.contains("encrypted");
        let for_member = String::from_utf8_lossy(&received[0].message).into_owned();
        assert_eq!(field(&for_member, "Guichet-Ticket").is_some(), encrypted, "{name}");
        let for_contact = String::from_utf8_lossy(&received[1].message).into_owned();
        assert_eq!(field(&for_contact, "Guichet-Ticket"), None, "{name}");
    }
    // Octets beyond ASCII are announced, and are sent only where they must stay.
    for (name, (_, received)) in &sent {
        for received in received {
            let eight_bit = received.message.iter().any(|octet| !octet.is_ascii());
            assert_eq!(eight_bit, name == "signed 8-bit text", "{name}");
            assert_eq!(eight_bit, received.from.contains("BODY=8BITMIME"), "{name}: {}", received.from);
            let lines = received.message.split(|octet| *octet == b'\n');
            assert!(lines.clone().all(|line| line.len() <= 999), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_8_bit_text_fails_where_no_server_takes_it() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.sink.rule("EHLO", Act::Say("250-sink\r\n250 PIPELINING".to_owned()), false);
    let to = "acme@desk.example.org";
    desk.send_octets("carol@example.com", &[to], &dressed(&letter(CAROL).to(to), SIGNED_8BIT.as_bytes())).await;
    let copies = desk.copies_of(&desk.newest("acme-1"));
    let said = copies[0].reply.clone().unwrap();
    assert_eq!(copies[0].state, CopyState::Failed);
    assert!(said.contains("5.6.3"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn header_fields_are_built_and_nothing_of_the_writer_leaks() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let first = letter("\"Carol @ Home\" <carol@example.com>")
        .to("acme@desk.example.org")
        .subject("Hello")
        .field("X-Mailer", "Secret 1.0")
        .field("Received", "from [10.0.0.7] by laptop; Mon, 23 Nov 2026 10:00:00 +0000")
        .field("Disposition-Notification-To", "carol@example.com")
        .field("Return-Receipt-To", "carol@example.com")
        .field("Importance", "high")
        .field("Thread-Topic", "Hello")
        .field("Guichet-Ticket", "forged-1")
        .field("DKIM-Signature", "v=1; a=rsa-sha256; d=example.com; s=x; h=from; bh=x; b=x");
    desk.post(&first).await;
    let copy = desk.last("alice@team.example").await;
    for gone in ["X-Mailer", "Received", "Disposition-Notification-To", "Return-Receipt-To", "Guichet-Ticket", "Sender"]
    {
        assert_eq!(field(&copy, gone), None, "{gone}");
    }
    for (name, value) in [
        ("From", "Carol via Acme Support <acme@desk.example.org>"),
        ("To", "Alice <alice@team.example>"),
        ("Subject", "Hello"),
        ("Importance", "high"),
        ("Thread-Topic", "Hello"),
        ("Guichet-Loop", "acme@desk.example.org"),
    ] {
        assert_eq!(field(&copy, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(field(&copy, "Date"), first.get("Date").map(str::to_owned));
    assert_eq!(field(&copy, "Auto-Submitted"), None, "a person's mail says nothing of machines");

    // A reply address that somebody quotes goes to nobody else.
    let token = address_in(&copy, "Reply-To");
    let html = format!("<p>Write to <a href=\"mailto:{token}\">{token}</a></p>\n");
    desk.post(&reply(ALICE, &copy).body("text/html", &html)).await;
    let carol = desk.last("carol@example.com").await;
    assert_ne!(address_in(&carol, "Reply-To"), token);
    assert!(!carol.contains(token.split('@').next().unwrap()), "{carol}");
    assert!(carol.contains("mailto:acme@desk.example.org"), "{carol}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_server_finds_a_copy_too_large_gets_its_text() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.sink.rule(".", Act::Say("552 5.3.4 too big".to_owned()), true);
    let body = "--b\nContent-Type: text/plain\n\nSee the picture.\n--b\nContent-Type: image/png; name=roof.png\n\
                Content-Disposition: attachment; filename=roof.png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--b--\n";
    let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").body("multipart/mixed; boundary=b", body)).await;
    let copy = desk.last("alice@team.example").await;
    assert!(copy.contains("See the picture.") && copy.contains("roof.png") && !copy.contains("iVBOR"), "{copy}");
    let copies = desk.copies_of(&desk.newest(&ticket));
    assert_eq!((copies[0].state, copies[0].shrunk, copies[0].attempts), (CopyState::Sent, true, 2));
}
