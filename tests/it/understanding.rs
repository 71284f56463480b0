//! Mail as real clients and machines write it is understood as a person would.
//!
//! Each message under `fixtures/mail/` has a golden file beside it. `GUICHET_BLESS=1` writes the
//! golden files anew; what changed in them is to be read, not believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guichet::desk::address::Mailbox;
use guichet::mime::marks;
use guichet::mime::understand::{Limits, Problem, Protection, TooMuch, Understood, understand};
use serde_json::{Map, Value, json};

#[test]
fn fixtures_are_understood_as_their_golden_files_say() {
    let bless = std::env::var_os("GUICHET_BLESS").is_some();
    let mut wrong = Vec::new();
    let messages = messages();
    assert!(messages.len() >= 40, "{} messages", messages.len());
    for path in messages {
        let raw = fs::read(&path).unwrap();
        let found = golden(&understand(&raw, &Limits::default()).unwrap(), raw.starts_with(b"Return-Path: <>"));
        let text = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
        let golden = path.with_extension("json");
        if bless {
            fs::write(&golden, text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(wrong.is_empty(), "understood otherwise than the golden file says:\n{}", wrong.join("\n"));
}

#[test]
fn no_octets_make_it_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for path in messages() {
        let raw = fs::read(&path).unwrap();
        for _ in 0..40 {
            let mutated = random.mutate(&raw);
            let _ = understand(&mutated, &Limits::default());
        }
        for cut in [raw.len() / 3, raw.len() / 2, raw.len().saturating_sub(3)] {
            let _ = understand(&raw[..cut], &Limits::default());
        }
    }
}

#[test]
fn bare_line_feeds_change_nothing() {
    for path in messages() {
        let raw = fs::read(&path).unwrap();
        let bare: Vec<u8> = raw.iter().copied().filter(|b| *b != b'\r').collect();
        let [whole, bare] = [&raw, &bare].map(|raw| understand(raw, &Limits::default()).unwrap());
        assert_eq!((whole.text, whole.from, whole.subject), (bare.text, bare.from, bare.subject), "{}", path.display());
    }
}

/// Each shape takes a fraction of a second where the work is linear, and many minutes where it is
/// a square: the minute that is allowed asks nothing of the machine.
#[test]
fn hostile_messages_are_read_in_linear_time() {
    type Make = fn(usize) -> Vec<u8>;
    let shapes: [(&str, Make); 12] = [
        ("nested multiparts", |n| {
            let level = |at: usize| format!("Content-Type: multipart/mixed; boundary=b{at}\r\n\r\n--b{at}\r\n");
            (0..n / 10).map(level).collect::<String>().into_bytes()
        }),
        ("parts", |n| body("multipart/mixed; boundary=x", &"--x\r\n\r\na\r\n".repeat(n))),
        ("parts that claim a boundary", |n| {
            body("multipart/mixed; boundary=x", &"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n".repeat(n))
        }),
        ("parts without an empty line", |n| body("multipart/mixed; boundary=x", &"--x\r\nA: b\r\n".repeat(n))),
        ("dashes", |n| body("multipart/mixed; boundary=x", &"--\r\n".repeat(n))),
        ("embedded messages", |n| "Content-Type: message/rfc822\r\n\r\n".repeat(n).into_bytes()),
        ("open tags", |n| body("text/html", &"<div><blockquote type=cite><style>".repeat(n))),
        ("attributions", |n| body("text/plain", &"On 1, 2 at 3:4\r\n".repeat(n))),
        ("quotations", |n| body("text/plain", &"> a\r\nb\r\n\r\n".repeat(n))),
        ("labels", |n| body("text/plain", &"From: a\r\nTo: b\r\n".repeat(n))),
        ("references", |n| format!("References:{}\r\n\r\n", " <a@b>".repeat(n)).into_bytes()),
        ("recipients", |n| format!("To: {}\r\n\r\n", "(\"a\\".repeat(n)).into_bytes()),
    ];
    for (what, make) in shapes {
        let raw = make(100_000);
        let start = Instant::now();
        let _ = understand(&raw, &Limits::default());
        let took = start.elapsed();
        assert!(took < Duration::from_mins(1), "{what}: {} octets took {took:?}", raw.len());
    }
}

#[test]
fn a_header_too_large_to_read_is_refused_and_a_long_chain_is_not() {
    let limits = Limits::default();
    let many = "A: b\r\n".repeat(limits.fields + 1);
    assert_eq!(understand(many.as_bytes(), &limits).unwrap_err(), TooMuch::Fields(limits.fields));
    let long = format!("From: a@example.org\r\nX: {}\r\n\r\n", "x".repeat(limits.header));
    assert_eq!(understand(long.as_bytes(), &limits).unwrap_err(), TooMuch::Header(limits.header));

    let chain = (0..10_000).map(|n| format!(" <{n}@example.org>")).collect::<Vec<_>>().join("\r\n");
    let said = understand(format!("From: a@example.org\r\nReferences:{chain}\r\n\r\n").as_bytes(), &limits).unwrap();
    assert_eq!(said.references.len(), limits.references + 1);
    assert_eq!(said.references[0].as_str(), "0@example.org");
    assert_eq!(said.references[limits.references].as_str(), "9999@example.org");

    let trace = "Received: from a by b\r\n".repeat(60);
    assert_eq!(understand(trace.as_bytes(), &limits).unwrap().received, 60);
}

#[test]
fn a_large_body_is_cut_and_said_to_be() {
    let raw = body("text/plain", &"some text\r\n".repeat(300_000));
    let said = understand(&raw, &Limits::default()).unwrap();
    assert!(said.problems.contains(&Problem::TextCut));
    assert!(said.text.new.len() <= Limits::default().text);
}

fn body(content_type: &str, text: &str) -> Vec<u8> {
    format!("From: a@example.org\r\nContent-Type: {content_type}\r\n\r\n{text}").into_bytes()
}

fn messages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the fixtures are part of the repository")
        .map(|entry| entry.expect("a folder of files").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    paths.sort();
    paths
}

/// What a golden file tells; what is absent or empty is left out, to be read by eye.
fn golden(said: &Understood, null_reverse_path: bool) -> Value {
    let people = |list: &[Mailbox]| list.iter().map(mailbox).collect::<Vec<_>>();
    let machine = marks::machine(&said.marks, null_reverse_path)
        .map(|(machine, reason)| json!({"kind": machine, "reason": reason}));
    let report = said.report.as_ref().map(|report| {
        let recipients: Vec<_> = report
            .recipients
            .iter()
            .map(|recipient| {
                json!({
                    "final": recipient.final_recipient, "original": recipient.original_recipient,
                    "action": format!("{:?}", recipient.action), "status": recipient.status,
                    "diagnostic": recipient.diagnostic,
                })
            })
            .collect();
        json!({"recipients": recipients, "original_id": report.original_id, "original_loops": report.original_loops})
    });
    let forwarded = said.forwarded.as_ref().map(|mail| {
        json!({
            "from": mailbox(&mail.from), "subject": mail.subject, "date": mail.date, "text": mail.text,
            "comment": mail.comment, "well_formed": mail.well_formed, "message_id": mail.message_id,
        })
    });
    let whole = json!({
        "from": people(&said.from),
        "sender": said.sender.as_ref().map(mailbox),
        "reply_to": people(&said.reply_to),
        "to": people(&said.to),
        "cc": people(&said.cc),
        "original_from": said.original_from.as_ref().map(mailbox),
        "subject": said.subject,
        "date": said.date,
        "message_id": said.message_id,
        "in_reply_to": said.in_reply_to,
        "references": said.references,
        "thread_index": said.thread_index.as_ref().map(|index| index.as_bytes().len()),
        "loop_headers": said.loop_headers,
        "machine": machine,
        "calendar": said.marks.calendar,
        "new": said.text.new,
        "quoted": said.text.quoted,
        "signature": said.text.signature,
        "from_html": said.text.from_html.then_some(true),
        "attachments": said.attachments,
        "protection": (said.protection != Protection::None).then(|| format!("{:?}", said.protection)),
        "report": report,
        "forwarded": forwarded,
        "problems": said.problems.iter().map(|problem| format!("{problem:?}")).collect::<Vec<_>>(),
    });
    let Value::Object(whole) = whole else { unreachable!("json! of braces is an object") };
    let told = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    Value::Object(whole.into_iter().filter(|(_, value)| told(value)).collect::<Map<_, _>>())
}

fn mailbox(mailbox: &Mailbox) -> String {
    if mailbox.name.is_empty() {
        mailbox.address.to_string()
    } else {
        format!("{} <{}>", mailbox.name, mailbox.address)
    }
}

/// A small generator with a fixed seed (xorshift), so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % below.max(1)
    }

    fn mutate(&mut self, raw: &[u8]) -> Vec<u8> {
        const PIECES: [&[u8]; 12] =
            [b"\r\n", b"\"", b"<", b">", b"=?utf-8?q?", b"?=", b"--", b"\xff\xfe", b"\0", b"&#x110000;", b"(", b"*0*="];
        let mut mutated = raw.to_vec();
        for _ in 0..=self.next(8) {
            let at = self.next(mutated.len() + 1);
            match self.next(4) {
                0 => mutated.truncate(at.max(mutated.len() / 2)),
                1 => {
                    let piece = PIECES[self.next(PIECES.len())];
                    mutated.splice(at..at, piece.iter().copied());
                }
                2 => {
                    let end = (at + self.next(50)).min(mutated.len());
                    mutated.drain(at..end);
                }
                _ => {
                    let value = u8::try_from(self.next(256)).expect("below 256");
                    if let Some(b) = mutated.get_mut(at) {
                        *b = value;
                    }
                }
            }
        }
        mutated
    }
}
