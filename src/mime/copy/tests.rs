//! What a reader of a copy may rely on, over the raw mails in `fixtures/copies`.

use std::fs;
use std::path::PathBuf;

use jiff::SignedDuration;
use mail_parser::{MessageParser, MimeHeaders};

use super::*;
use crate::desk::entry::{Attachment, Author, Door, Entry, Kind, State, Verified};
use crate::desk::id::{ClaimId, ContactId, EntryId, TicketId};
use crate::desk::letter::{Held, Letter, LetterKind, Ways};
use crate::desk::ticket::{Person, Priority, Status};
use crate::mime::understand::{Limits, understand};

mod damaged;
mod letters;
mod quoted;

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz234567abcdefghij";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/copies")
}

/// Every raw mail with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut mails: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    mails.sort();
    assert!(mails.len() >= 20);
    mails
}

fn raw(name: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{name}.eml"))).unwrap()
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox::new(name, address.parse().unwrap())
}

fn contact() -> Plan {
    Plan {
        property: "acme".parse().unwrap(),
        from: mailbox(&sender_name(&mailbox("Jane Doe", "jane@team.example"), "Acme Support"), "support@acme.example"),
        reply_to: format!("acme+t{TOKEN}@desk.example.org").parse().unwrap(),
        to: mailbox("Paul Lefevre", "paul.lefevre@example.com"),
        subject: "Re: Order 4471 has not arrived".to_owned(),
        date: "2026-11-23T09:13:52Z".parse().unwrap(),
        message_id: "mzxw6ytboi@desk.example.org".parse().unwrap(),
        in_reply_to: Some("m1@desk.example.org".parse().unwrap()),
        references: vec!["CAx1@mail.gmail.com".parse().unwrap(), "m1@desk.example.org".parse().unwrap()],
        loop_header: "acme/1042/7".to_owned(),
        language: Language::En,
        commands: Vec::new(),
        for_member: None,
        others: Vec::new(),
        left_out: None,
        eight_bit: true,
    }
}

fn contact_with_others() -> Plan {
    Plan { others: vec![mailbox("Anna Lopez", "anna@example.com"), mailbox("", "tom@example.net")], ..contact() }
}

fn member() -> Plan {
    Plan {
        from: mailbox("Marie Lefevre via Acme Support", "acme@desk.example.org"),
        to: mailbox("Alice Martin", "alice@team.example"),
        for_member: Some(MemberLine {
            reference: "acme-1042".parse().unwrap(),
            requester: mailbox("Marie Lefevre", "marie.lefevre@gmail.com"),
            writer: Some(mailbox("Marie Lefevre", "marie.lefevre@gmail.com")),
            facts: Facts {
                status: Status::Open,
                priority: Priority::High,
                assignee: Some("Alice Martin".to_owned()),
                tags: vec!["delivery".to_owned()],
                contacts: vec![mailbox("Marie Lefevre", "marie.lefevre@gmail.com")],
                answered: vec![mailbox("Marie Lefevre", "marie.lefevre@gmail.com"), mailbox("", "paul@example.com")],
                proposed: Vec::new(),
            },
            note: false,
            warning: None,
            link: None,
            held: None,
        }),
        ..contact()
    }
}

fn membre() -> Plan {
    let line = member().for_member.unwrap();
    let helene = mailbox("Hélène Noël", "helene.noel@orange.example");
    Plan {
        property: "dupre".parse().unwrap(),
        from: mailbox("Hélène Noël via Boutique Dupré", "dupre@desk.example.org"),
        subject: "Retard de livraison – commande n° 88".to_owned(),
        language: Language::Fr,
        for_member: Some(MemberLine {
            reference: "dupre-88".parse().unwrap(),
            requester: helene.clone(),
            writer: Some(helene.clone()),
            facts: Facts {
                priority: Priority::Normal,
                assignee: None,
                tags: Vec::new(),
                answered: vec![helene],
                proposed: vec![mailbox("Luc Noël", "luc@orange.example")],
                ..line.facts
            },
            warning: Some(Reason::Unverified),
            link: Some("https://desk.example.org/t/dupre-88".to_owned()),
            held: None,
            ..line
        }),
        ..member()
    }
}

fn shrunk() -> Plan {
    let file = |name: &str, size| Attachment { name: name.into(), content_type: "a/b".into(), size, inline: false };
    Plan { left_out: Some(vec![file("Vertrag Müller.pdf", 31_400_000), file("reply.log", 81)]), ..member() }
}

fn plans() -> Vec<(&'static str, Plan)> {
    let mut plans = vec![
        ("contact", contact()),
        ("others", contact_with_others()),
        ("member", member()),
        ("membre", membre()),
        ("shrunk", shrunk()),
    ];
    plans.extend(plans.clone().into_iter().map(|(name, plan)| (name, Plan { eight_bit: false, ..plan })));
    plans
}

/// What holds for any copy of anything.
fn assert_sound(copy: &[u8], plan: &Plan, what: &str) {
    let shown = copy.escape_ascii();
    let text = String::from_utf8_lossy(copy);
    let rest = text.replace("\r\n", "");
    assert!(!rest.contains(['\r', '\n', '\0']), "{what}: a bare line end or a NUL leaves: {shown}");
    assert!(copy.split(|b| *b == b'\n').all(|line| line.len() <= 999), "{what}: a line over 998 octets");
    assert!(plan.eight_bit || copy.is_ascii(), "{what}: 8-bit text to a 7-bit server: {shown}");
    let (header, body) = text.split_once("\r\n\r\n").expect(what);
    assert!(header.is_ascii(), "{what}: {header}");
    assert!(body.is_empty() || body.ends_with("\r\n"), "{what}: no line end at the end");
    assert!(body.lines().last().is_none_or(|line| !line.trim().is_empty()), "{what}: ends in blanks: {shown}");
    let names: Vec<_> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap().to_ascii_lowercase())
        .collect();
    for name in &names {
        let ours = [
            "from",
            "reply-to",
            "to",
            "subject",
            "date",
            "message-id",
            "in-reply-to",
            "references",
            "mime-version",
            "importance",
            "thread-topic",
            "thread-index",
        ];
        assert!(
            ours.contains(&name.as_str()) || name.starts_with("content-") || name.starts_with("guichet-"),
            "{what}: {name} went on"
        );
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{what}: {name} twice in\n{header}");
    }
}

/// All text parts in one, as a mail client shows them, and all attachments.
fn read(copy: &[u8]) -> (String, Vec<(String, Vec<u8>)>) {
    let message = MessageParser::new().parse(copy).unwrap();
    let mut text = String::new();
    let mut files = Vec::new();
    for part in &message.parts {
        if part.is_multipart() {
        } else if let (Some(shown), None) = (part.text_contents(), part.attachment_name()) {
            text.push_str(&shown.replace("\r\n", "\n"));
            text.push('\n');
        } else {
            files.push((part.attachment_name().unwrap_or("").to_owned(), part.contents().to_vec()));
        }
    }
    (text, files)
}

fn is_protected(name: &str) -> bool {
    ["pgp-signed", "pgp-encrypted", "smime-encrypted"].contains(&name)
}

#[test]
fn every_copy_is_sound_and_the_same_twice() {
    for (name, raw) in corpus() {
        for (reader, plan) in plans() {
            let what = format!("{name} for {reader}");
            let copy = build(&raw, &plan).unwrap();
            assert_sound(&copy, &plan, &what);
            assert_eq!(copy, build(&raw, &plan).unwrap(), "{what}");
            let parsed = MessageParser::new().parse(&copy).unwrap();
            assert_eq!(parsed.subject(), Some(plan.subject.as_str()), "{what}");
            assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some(plan.from.name.as_str()), "{what}");
        }
    }
}

#[test]
fn texts_and_files_arrive() {
    for (name, raw) in corpus() {
        let (text, files) = read(&raw);
        for (reader, plan) in plans().into_iter().filter(|(_, plan)| plan.left_out.is_none()) {
            let what = format!("{name} for {reader}");
            let (copied, copied_files) = read(&build(&raw, &plan).unwrap());
            // Forwarded mail that a 7-bit server would not take becomes a file of the same bytes.
            if name != "forwarded" || plan.eight_bit {
                assert_eq!(copied_files.len(), files.len(), "{what}");
            }
            if name == "never-closed" {
                // mail-parser leaves a last part without a delimiter undecoded.
                assert_eq!(copied_files[0].1, b"abc".repeat(99), "{what}");
                continue;
            }
            for ((_, bytes), (_, copied)) in files.iter().zip(&copied_files) {
                assert_eq!(bytes.escape_ascii().to_string(), copied.escape_ascii().to_string(), "{what}");
            }
            if is_protected(&name) || ["bare-latin1", "raw-names", "no-boundary"].contains(&name.as_str()) {
                continue; // no text to read, or none that mail-parser and we guess alike
            }
            for line in strip_text(&text).lines().filter(|line| !line.trim().is_empty()) {
                assert!(copied.contains(line), "{what}: {line:?} is not in\n{copied}");
            }
        }
    }
}

#[test]
fn no_token_goes_on_but_the_readers_own() {
    for (name, raw) in corpus() {
        if is_protected(&name) {
            continue;
        }
        for (reader, plan) in plans() {
            let copy = build(&raw, &plan).unwrap();
            let (text, _) = read(&copy);
            let header = String::from_utf8_lossy(&copy).matches(TOKEN).count();
            assert!(!text.contains(TOKEN), "{name} for {reader}: {text}");
            // Reply-To, and the attached log, which is a file and goes on as it is.
            let expected = if name == "attachment-utf8" && plan.left_out.is_none() && plan.eight_bit { 2 } else { 1 };
            assert_eq!(header, expected, "{name} for {reader}");
        }
    }
}

#[test]
fn members_read_the_line_on_top_in_every_text_part() {
    for (name, raw) in corpus() {
        let copy = build(&raw, &member()).unwrap();
        let message = MessageParser::new().parse(&copy).unwrap();
        if name.ends_with("encrypted") {
            let header = String::from_utf8_lossy(&copy).into_owned();
            assert!(header.contains("\r\nGuichet-Ticket: acme-1042\r\n"), "{name}");
            continue;
        }
        let texts: Vec<_> = message
            .parts
            .iter()
            .filter_map(|part| part.text_contents())
            .filter(|text| text.contains("acme-1042"))
            .collect();
        let two = ["gmail-reply", "outlook-html", "invitation"].contains(&name.as_str());
        assert_eq!(texts.len(), if two { 2 } else { 1 }, "{name}");
        assert!(message.parts.iter().find_map(|part| part.text_contents()).unwrap().contains("acme-1042"), "{name}");
    }
}

#[test]
fn signed_and_encrypted_mail_arrives_unaltered() {
    for name in ["pgp-signed", "pgp-encrypted", "smime-encrypted"] {
        let raw = String::from_utf8(raw(name)).unwrap();
        let body = raw.split_once("\r\n\r\n").unwrap().1.trim_end();
        for (reader, plan) in plans().into_iter().filter(|(_, plan)| plan.left_out.is_none()) {
            let copy = String::from_utf8(build(raw.as_bytes(), &plan).unwrap()).unwrap();
            assert!(copy.contains(body), "{name} for {reader}");
            let content_type = raw.split("Content-Type: ").nth(1).unwrap().split("\r\n").next().unwrap();
            assert!(copy.contains(content_type), "{name} for {reader}: {copy}");
        }
    }
    let inline = format!(
        "Subject: x\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nto acme+t{TOKEN}@x\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    );
    for (_, plan) in plans() {
        let copy = String::from_utf8(build(inline.as_bytes(), &plan).unwrap()).unwrap();
        assert!(copy.contains(inline.split_once("\r\n\r\n").unwrap().1), "{copy}");
    }
    let inner = raw("list-signed");
    let inner = String::from_utf8(inner).unwrap();
    let signed = &inner[inner.find("Content-Type: multipart/signed").unwrap()..inner.find("--s--").unwrap()];
    for (_, plan) in plans().into_iter().filter(|(_, plan)| plan.left_out.is_none()) {
        assert!(String::from_utf8(build(inner.as_bytes(), &plan).unwrap()).unwrap().contains(signed));
    }
}

#[test]
fn signed_text_that_the_next_server_can_not_take_fails() {
    let signed = |text: &str| {
        format!(
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--s--\r\n"
        )
    };
    let seven = Plan { eight_bit: false, ..member() };
    assert_eq!(build(signed("é").as_bytes(), &seven), Err(BuildError::EightBit));
    assert!(build(signed("é").as_bytes(), &member()).is_ok());
    assert!(build(signed("e").as_bytes(), &seven).is_ok());
    assert_eq!(build(signed(&"x".repeat(999)).as_bytes(), &member()), Err(BuildError::Line));
    assert!(BuildError::EightBit.to_string().starts_with("5.6.3 "));
}

#[test]
fn commands_leave_every_part_that_shows_the_text() {
    let raw = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n#tag =E9t=E9\r\n\r\nBonjour =E0 tous.\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><div>#tag =E9t=E9</div><div>Bonjour =E0 tous.</div></body></html>\r\n--b--\r\n";
    for (reader, plan) in plans() {
        let plan = Plan { commands: vec!["#tag été".to_owned()], ..plan };
        let copy = build(raw.as_bytes(), &plan).unwrap();
        assert_sound(&copy, &plan, reader);
        let (text, _) = read(&copy);
        assert!(!text.contains("#tag"), "{reader}: {text}");
        assert_eq!(text.matches("Bonjour à tous.").count(), 2, "{reader}: {text}");
    }
}

#[test]
fn no_token_goes_on_where_nobody_looked() {
    let deep = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let deep = format!("{}\r\nacme+t{TOKEN}@x\r\n", (0..40).map(deep).collect::<String>());
    let many = "--b\r\n\r\nx\r\n".repeat(2_000);
    let many =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{many}--b\r\n\r\nacme+t{TOKEN}@x\r\n--b--\r\n");
    for raw in [deep, many] {
        for (reader, plan) in plans() {
            let copy = build(raw.as_bytes(), &plan).unwrap();
            assert_sound(&copy, &plan, reader);
            let body = String::from_utf8_lossy(&copy).split_once("\r\n\r\n").unwrap().1.to_owned();
            assert!(!body.contains(TOKEN), "{reader}");
        }
    }
}

#[test]
fn forwarded_mail_becomes_a_file_where_a_server_takes_seven_bits_only() {
    let raw = raw("forwarded");
    let inner = "From: x@example.com\r\nSubject: inner\r\n";
    let copy = build(&raw, &contact()).unwrap();
    assert!(String::from_utf8_lossy(&copy).contains(inner));
    let copy = build(&raw, &Plan { eight_bit: false, ..contact() }).unwrap();
    let (_, files) = read(&copy);
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].0, "message.eml");
    assert!(String::from_utf8_lossy(&files[0].1).starts_with(inner));
}

#[test]
fn what_needs_no_change_goes_on_byte_for_byte() {
    let raw = raw("outlook-html");
    let copy = build(&raw, &contact()).unwrap();
    let copy = String::from_utf8(copy).unwrap();
    for piece in String::from_utf8(raw).unwrap().split("\r\n--_0") {
        let Some((_, body)) = piece.split_once("\r\n\r\n").filter(|_| piece.contains("Content-Transfer-Encoding"))
        else {
            continue;
        };
        assert!(copy.contains(body.trim_end()), "{body}");
    }
}

#[test]
fn bare_line_ends_never_leave() {
    for raw in ["Subject: x\n\na\rb\nc\r\n\rd", "A: b\r\rX: y\n\n\n", "\r", "\n"] {
        for (reader, plan) in plans() {
            assert_sound(&build(raw.as_bytes(), &plan).unwrap(), &plan, reader);
        }
    }
    assert_eq!(&*with_line_ends(b"a\rb\nc\r\n\r\r\n\n"), b"a\r\nb\r\nc\r\n\r\n\r\n\r\n");
    assert!(matches!(with_line_ends(b"a\r\n\r\n"), Cow::Borrowed(_)));
}

#[test]
fn nothing_breaks_out_of_a_name_a_subject_or_a_tag() {
    let evil = "x\r\nBcc: v@example.com\r\n\r\n<script>alert(1)</script>\u{202e}";
    let mut plan =
        Plan { subject: evil.into(), from: mailbox(evil, "a@b.example"), to: mailbox(evil, "c@d.example"), ..member() };
    let line = plan.for_member.as_mut().unwrap();
    line.facts.tags = vec![evil.into()];
    line.facts.assignee = Some(evil.into());
    line.requester.name = evil.into();
    line.link = Some("\"><script>".into());
    plan.loop_header = evil.into();
    for (name, raw) in corpus() {
        let copy = build(&raw, &plan).unwrap();
        assert_sound(&copy, &plan, &name);
        let message = MessageParser::new().parse(&copy).unwrap();
        let html: String = message
            .parts
            .iter()
            .filter(|part| part.content_type().is_some_and(|kind| kind.subtype() == Some("html")))
            .filter_map(|part| part.text_contents())
            .collect();
        assert!(!html.contains("<script>"), "{name}");
    }
}

#[test]
fn names_of_senders() {
    for (name, address, shown) in [
        ("Jane Doe", "jane@x.example", "Jane Doe via Acme"),
        ("", "jane.doe@x.example", "jane.doe via Acme"),
        ("jane@x.example", "jane@x.example", "jane via Acme"),
        ("\"Doe, Jane\" <boss@bank.example>", "jane@x.example", "Doe, Jane boss via Acme"),
        ("O'Brien\r\n\tBob", "b@x.example", "O'Brien Bob via Acme"),
        ("\u{202e}eoD enaJ\u{202c}", "b@x.example", "eoD enaJ via Acme"),
        ("@", "b@x.example", "b via Acme"),
        ("Hélène Noël", "h@x.example", "Hélène Noël via Acme"),
    ] {
        assert_eq!(sender_name(&mailbox(name, address), "Acme"), shown);
    }
    assert!(sender_name(&mailbox(&"x".repeat(500), "b@x.example"), "Acme").len() < 80);
}

#[test]
fn thread_fields_and_importance_go_on_and_nothing_else() {
    let raw = "Importance: HIGH\r\nThread-Topic: =?utf-8?q?caf=C3=A9?=\r\n two\r\nThread-Index: AdxcYp2d\r\n Qk3v==\r\nX-Mailer: m\r\nBcc: b@c.example\r\nReply-To: r@c.example\r\nDisposition-Notification-To: r@c.example\r\n\r\nhi\r\n";
    let copy = String::from_utf8(build(raw.as_bytes(), &contact()).unwrap()).unwrap();
    assert!(
        copy.contains(
            "\r\nImportance: high\r\nThread-Topic: =?utf-8?q?caf=C3=A9?= two\r\nThread-Index: AdxcYp2dQk3v==\r\n"
        ),
        "{copy}"
    );
    for gone in ["X-Mailer", "Bcc", "r@c.example"] {
        assert!(!copy.contains(gone), "{copy}");
    }
    let raw = "Importance: high; x\r\nThread-Index: {}\r\nThread-Topic:\r\n\r\nhi\r\n";
    let copy = String::from_utf8(build(raw.as_bytes(), &contact()).unwrap()).unwrap();
    assert!(!copy.contains("Importance") && !copy.contains("Thread-"), "{copy}");
}

/// Goldens: what complete copies look like. `BLESS=1` writes them anew, to be read by a human.
#[test]
fn complete_copies() {
    let french_contact = Plan {
        language: Language::Fr,
        from: mailbox("Luc Dupré via Boutique Dupré", "bonjour@dupre.example"),
        subject: "Retard de livraison – commande n° 88".into(),
        ..contact_with_others()
    };
    let outlook = Plan { subject: "Invoice 2026-118 – wrong VAT".into(), ..member() };
    for (name, reader, plan) in [
        ("gmail-reply", "member", member()),
        ("gmail-reply", "contact", contact()),
        ("outlook-html", "member", outlook),
        ("thunderbird-french", "member", membre()),
        ("thunderbird-french", "contact", french_contact),
        ("attachment-utf8", "member", member()),
        ("attachment-utf8", "shrunk", shrunk()),
        ("iphone-photo", "others", contact_with_others()),
        ("pgp-signed", "member", member()),
        ("smime-encrypted", "member", member()),
        ("smime-encrypted", "membre", membre()),
        ("html-only", "member", membre()),
        ("bare-latin1", "contact", contact()),
    ] {
        let copy = build(&raw(name), &plan).unwrap();
        golden(&format!("{name}.{reader}"), &copy);
    }
}

fn golden(name: &str, copy: &[u8]) {
    let path = folder().join("golden").join(format!("{name}.eml"));
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, copy).unwrap();
    }
    let expected = fs::read(&path).unwrap();
    assert_eq!(String::from_utf8_lossy(copy), String::from_utf8_lossy(&expected), "{name}");
}
