//! Mail that names things on the net: nothing of it is fetched, looked up or answered. And what a mail
//! calls its attachments leads nowhere.

use std::fmt::Write as _;

use guichet::actions::ticket;
use guichet::desk::entry::Entry;
use guichet::desk::id::PropertyId;
use guichet::mime::understand::{Limits, Understood};
use guichet::store::tables::{CONTACTS, MESSAGE_IDS};
use guichet::store::{Order, Read};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::kit::desk::TestDesk;
use crate::kit::letter::letter;

const ACME: &str = "acme@desk.example.org";

/// A mail whose every corner names a host and a port that listens.
fn baited(port: u16) -> (String, String) {
    let at = |what: &str| format!("http://{what}.bait.example:{port}/");
    let local = format!("http://127.0.0.1:{port}/");
    let body = format!(
        "--b\nContent-Type: text/plain\n\nSee {} and {local}\n\
         --b\nContent-Type: text/html\nContent-Location: {local}\nContent-Base: {}\n\n\
         <base href=\"{local}\"><link rel=stylesheet href=\"{local}style\"><img src=\"{local}pixel\"><img src=\"{}\">\
         <iframe src=\"{local}\"></iframe><script src=\"{local}\"></script><meta http-equiv=refresh content=\"0;url={local}\">\
         <body background=\"{local}\"><p style=\"background:url({local})\">Hello</p>\n\
         --b\nContent-Type: message/external-body; access-type=URL; URL=\"{local}\"\n\nContent-Type: image/png\n\n\
         --b\nContent-Type: message/external-body; access-type=anon-ftp; site=\"ftp.bait.example\"; name=x\n\n\
         Content-Type: image/png\n\n\
         --b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\n\
         ATTACH:{local}\nORGANIZER:mailto:x@bait.example\nEND:VEVENT\nEND:VCALENDAR\n--b--\n",
        at("text"),
        at("base"),
        at("img"),
    );
    (local, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_or_looked_up_because_a_mail_says_so() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    // What a mail of this domain that names nothing costs in questions.
    let plain = letter("Carol <carol@example.com>").to(ACME).subject("Plain");
    desk.post(&plain).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (local, body) = baited(port);
    let usual = desk.dns.asked();
    let mail = letter("Carol <carol@example.com>")
        .to(ACME)
        .subject(&format!("{local} is waiting"))
        .field("List-Unsubscribe", &format!("<{local}unsubscribe>, <mailto:x@unsubscribe.bait.example>"))
        .field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
        .field("Disposition-Notification-To", "x@receipt.bait.example")
        .field("Return-Receipt-To", "x@receipt.bait.example")
        .field("X-Confirm-Reading-To", "x@receipt.bait.example")
        .field("Reply-To", "x@reply.bait.example")
        .field("Errors-To", "x@errors.bait.example")
        .field("Face", &local)
        .field("X-Image-URL", &local)
        .field("BIMI-Location", &format!("v=BIMI1; l={local}"))
        .field("Autocrypt", &format!("addr=x@bait.example; keydata={local}"))
        .body("multipart/mixed; boundary=b", &body);
    desk.post(&mail).await;

    for name in &desk.dns.asked()[usual.len()..] {
        assert!(usual.contains(name), "{name} was asked for");
    }
    // Nobody connected: had anybody, it would be waiting in the backlog.
    let connected = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    if let Ok(Ok((mut stream, _))) = connected {
        let mut asked = String::new();
        let _ = stream.read_to_string(&mut asked).await;
        panic!("somebody connected: {asked}");
    }
    // Nor was anything sent to whom it names.
    for received in desk.settled().await {
        assert!(received.to.iter().all(|to| !to.contains("bait.example")), "{:?}", received.to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mail_calls_its_attachments_leads_nowhere_in_what_is_shown() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let names = [
        "../../etc/passwd",
        "..\\..\\windows\\system32\\x.dll",
        "/etc/shadow",
        "C:\\boot.ini",
        "a\u{202e}gpj.exe",
        "x\u{1b}[2Jy",
        "con",
        ".bashrc",
        "a\u{0}b",
        "",
        "nul.txt ",
    ];
    let mut body = String::new();
    for name in names {
        body.push_str(
            "--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename*=utf-8''",
        );
        for octet in name.bytes() {
            write!(body, "%{octet:02X}").unwrap();
        }
        body.push_str("\n\nx\n");
    }
    body.push_str("--b--\n");
    let mail = letter("Carol <carol@example.com>").to(ACME).body("multipart/mixed; boundary=b", &body);
    let ticket = desk.post(&mail).await;
    let attachments = desk.newest(&ticket).attachments;
    assert_eq!(attachments.len(), names.len());
    for attachment in attachments {
        let name = attachment.name;
        let bad = |c: char| c.is_control() || "/\\:".contains(c) || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!name.is_empty() && !name.starts_with('.') && !name.contains(bad), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_mail_leaves_behind_is_bounded() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let many = |count: usize, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>();
    let to = many(2_000, |n| format!("Person {n} <t{n}@example.net>")).join(",\n ");
    let cc = many(1_500, |n| format!("c{n}@example.net")).join(",\n ");
    let ids = many(2_500, |n| format!("<r{n}@example.net>")).join("\n ");
    let mut body = format!("--b\nContent-Type: text/plain\n\n{}", "Some text.\n".repeat(150_000));
    for n in 0..1_500 {
        let name = "n".repeat(500);
        write!(body, "--b\nContent-Type: image/png; name=\"{name}{n}.png\"\n\nx\n").unwrap();
    }
    body.push_str("--b--\n");
    let mail = letter("Carol <carol@example.com>")
        .field("To", &to)
        .field("Cc", &format!("{cc},\n {} <long@example.net>", "long ".repeat(1_000)))
        .field("References", &ids)
        .field("In-Reply-To", &ids[..40_000])
        .field("Subject", &"Subject ".repeat(2_000))
        .rcpt(&[ACME])
        .body("multipart/mixed; boundary=b", &body);
    let reference = desk.post(&mail).await;

    let (ticket, entry) = (desk.ticket(&reference), desk.newest(&reference));
    let limits = Limits::default();
    assert!(ticket.participants.len() <= 100, "{} participants", ticket.participants.len());
    assert!(ticket.subject.len() <= Understood::LONGEST_SUBJECT && entry.subject.len() <= Understood::LONGEST_SUBJECT);
    assert!(entry.text.len() <= Entry::LONGEST_TEXT, "{} octets of text", entry.text.len());
    assert!(entry.attachments.len() <= limits.parts, "{} attachments", entry.attachments.len());
    assert!(entry.attachments.iter().all(|attachment| attachment.name.len() <= 120));
    assert!(entry.named.len() <= 2 * limits.mailboxes, "{} named", entry.named.len());
    assert!(entry.named.iter().all(|mailbox| mailbox.name.len() <= 200));
    let (known, contacts) = desk.read(|view| {
        Ok((view.range(&MESSAGE_IDS, .., Order::Up, usize::MAX)?, view.range(&CONTACTS, .., Order::Up, usize::MAX)?))
    });
    assert!(known.len() <= 22, "its own, ours, and twenty that it mentions, not {}", known.len());
    assert!(contacts.len() <= 100, "{} contacts", contacts.len());
    // Once more of it, and nobody comes in besides.
    let again = letter("Carol <carol@example.com>")
        .field("To", &many(200, |n| format!("a{n}@example.net")).join(",\n "))
        .field("In-Reply-To", &format!("<{}>", entry.message_id.as_ref().unwrap().as_str()))
        .rcpt(&[ACME]);
    assert_eq!(desk.post(&again).await, reference);
    assert!(desk.ticket(&reference).participants.len() <= 100);
    assert_eq!(desk.inbox("alice@team.example").await.len(), 2, "and members read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_identifier_of_many_mails_is_remembered_for_few_and_each_arrives() {
    let desk = TestDesk::start().await;
    for n in 0..66 {
        // None like another: the same words from ever new senders would end.
        let text = "x".repeat(n + 1);
        let mail = letter(&format!("s{n}@example.net")).to(ACME).id("<same@example.com>").subject(&text).text(&text);
        let answer = desk.offer(&mail).await;
        assert!(answer.starts_with(&format!("250 2.0.0 acme-{} ", n + 1)), "{answer}");
    }
    let bearers =
        desk.read(|view| Ok(view.get(&MESSAGE_IDS, &(PropertyId(1), "same@example.com".parse().unwrap()))?.unwrap()));
    assert_eq!(bearers.len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_bears_fifty_tags() {
    let desk = TestDesk::start().await;
    let reference = desk.post(&letter("Carol <carol@example.com>").to(ACME)).await;
    let tag = async |tag: &str| desk.act(|tx, act| Ok(ticket::tag(tx, act, &reference, tag).is_ok())).await;
    for n in 0..50 {
        assert!(tag(&format!("tag-{n}")).await, "{n}");
    }
    assert!(!tag("one-more").await && tag("tag-7").await, "one that it bears already is none more");
    assert_eq!(desk.ticket(&reference).tags.len(), 50);
    assert!(!tag(&"x".repeat(51)).await);
}
