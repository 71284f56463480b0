//! What goes out: copies, and the commands that stay behind.

use std::borrow::Cow;
use std::panic::catch_unwind;
use std::slice;

use guichet::desk::address::{Address, Mailbox};
use guichet::desk::command::{Asked, is_blank};
use guichet::desk::entry::{Facts, Reason};
use guichet::desk::language::Language;
use guichet::desk::message_id::MessageId;
use guichet::desk::ticket::{Priority, Status};
use guichet::mime::clean;
use guichet::mime::copy::{MemberLine, Plan, build, sender_name, strip_text};
use guichet::mime::understand::{Limits, Understood, understand};
use mail_parser::{Message, MessageParser, PartType};

use super::options;

/// Has a token's shape, and is the reader's own.
const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz234567abcdefghij";
/// Has a token's shape, and is nobody's who reads the copy.
const FOREIGN: &str = "acme+tqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq@desk.example.org";

/// A copy of any message is a sound message from the desk to its reader: what the next server can
/// take, read by us and by others as the plan says, with no token but the reader's own; and the same
/// when it is made again.
///
/// Options: who reads it (bit 0: a member), the next server takes 8 bits (1), attachments left out
/// (2), French (3), a warned note (4). `{token}` stands for a foreign reply address.
pub fn copy(data: &[u8]) {
    let ([ways], raw) = options(data);
    let raw = replaced(raw, b"{token}", FOREIGN.as_bytes());
    // What can't be understood is refused and never goes out.
    let Ok(said) = understand(&raw, &Limits::default()) else { return };
    let plan = plan(ways, &said);
    let Ok(copy) = build(&raw, &plan) else {
        assert!(is_protected(&raw), "what may be encoded anew can always go out");
        return;
    };
    assert_eq!(build(&raw, &plan).as_ref(), Ok(&copy), "another copy the second time");
    check_octets(&copy, &plan);
    check_fields(&copy, &plan);
    check_again(&copy, plan);
    // What is protected, or handed on as a whole message, goes on unaltered.
    if !is_protected(&raw) && !holds(&raw, b"message/") && !holds(&raw, b"multipart/digest") {
        check_tokens(&copy);
    }
}

/// The plan that the desk would make.
fn plan(ways: u8, said: &Understood) -> Plan {
    let bit = |at: u8| ways >> at & 1 == 1;
    // Nobody takes part under an address of the desk.
    let people = |list: &[Mailbox]| -> Vec<Mailbox> {
        list.iter().filter(|one| is_stripped(one.address.as_str())).cloned().collect()
    };
    let writer = people(&said.from).into_iter().next().unwrap_or_else(|| mailbox("Jane", "jane@example.com"));
    let reader = people(&said.to).into_iter().find(|reader| reader.address.is_ascii());
    let references: Vec<MessageId> = said.references.iter().filter(|id| id.is_grammatical()).cloned().collect();
    let line = || MemberLine {
        reference: "acme-1042".parse().expect("a ticket's name"),
        requester: writer.clone(),
        writer: Some(writer.clone()),
        facts: Facts {
            status: Status::Open,
            priority: Priority::High,
            assignee: said.sender.as_ref().map(|sender| sender.name.clone()),
            tags: vec!["delivery".to_owned()],
            contacts: people(&said.cc),
            answered: people(&said.to),
            proposed: people(&said.reply_to),
        },
        note: bit(4),
        warning: bit(4).then_some(Reason::Unverified),
        link: None,
        held: None,
    };
    Plan {
        property: "acme".parse().expect("a slug"),
        from: mailbox(&sender_name(&writer, "Acme Support"), "acme@desk.example.org"),
        reply_to: format!("acme+t{TOKEN}@desk.example.org").parse().expect("a reply address"),
        to: reader.unwrap_or_else(|| mailbox("Alice Martin", "alice@team.example")),
        subject: said.subject.clone(),
        date: said.date.unwrap_or_default(),
        message_id: "mzxw6ytboi@desk.example.org".parse().expect("an identifier"),
        in_reply_to: references.last().cloned(),
        references,
        loop_header: "acme@desk.example.org".to_owned(),
        language: if bit(3) { Language::Fr } else { Language::En },
        commands: Vec::new(),
        for_member: bit(0).then(line),
        others: if bit(0) { Vec::new() } else { people(&said.cc) },
        left_out: bit(2).then(|| said.attachments.clone()),
        eight_bit: bit(1),
    }
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox::new(name, address.parse::<Address>().expect("an address"))
}

/// What every server takes (RFC 5321 §4.5.3.1.6, RFC 6152) and nobody can take for another message.
fn check_octets(copy: &[u8], plan: &Plan) {
    for (at, octet) in copy.iter().enumerate() {
        let sound = match octet {
            b'\r' => copy.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && copy[at - 1] == b'\r',
            octet => *octet != 0,
        };
        assert!(sound, "a bare CR or LF, or a NUL, at {at} of {}", copy.escape_ascii());
    }
    assert!(copy.split(|octet| *octet == b'\n').all(|line| line.len() <= 999), "a line over 998 octets");
    assert!(plan.eight_bit || copy.is_ascii(), "8 bits to a server that takes 7");
    let header = &copy[..position(copy, b"\r\n\r\n").expect("a header ends") + 2];
    assert!(header.is_ascii(), "{}", header.escape_ascii());
    let mut names = Vec::new();
    for line in header.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
        assert_ne!(line.trim_ascii(), b"", "a line of blanks in the header: {}", header.escape_ascii());
        if line[0] != b' ' && line[0] != b'\t' {
            let colon = line.iter().position(|octet| *octet == b':').expect("a field has a name");
            names.push(line[..colon].to_ascii_lowercase());
        }
    }
    for name in [&b"from"[..], b"reply-to", b"to", b"subject", b"date", b"message-id", b"mime-version"] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{}", name.escape_ascii());
    }
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a field twice: {}", header.escape_ascii());
}

/// What readers make of it: we ourselves, and an independent parser.
fn check_fields(copy: &[u8], plan: &Plan) {
    let said = understand(copy, &Limits::default()).expect("a copy can be understood");
    assert_eq!(said.from, slice::from_ref(&plan.from));
    assert_eq!(said.to, slice::from_ref(&plan.to));
    assert_eq!(said.reply_to, [Mailbox::new("", plan.reply_to.clone())]);
    assert!(said.sender.is_none() && said.cc.is_empty());
    assert_eq!(said.message_id.as_ref(), Some(&plan.message_id));
    assert_eq!(said.date, Some(plan.date));
    assert_eq!(said.subject, clean::line(&strip_text(&plan.subject), Understood::LONGEST_SUBJECT));
    assert_eq!(said.references.last(), plan.references.last());
    assert_eq!(said.loop_headers, slice::from_ref(&plan.loop_header));
    let Some(theirs) = parsed(copy) else { return };
    let addresses = |found: Option<&mail_parser::Address<'_>>| -> Vec<String> {
        found.into_iter().flat_map(|list| list.iter()).filter_map(|one| one.address().map(str::to_owned)).collect()
    };
    assert_eq!(addresses(theirs.from()), [plan.from.address.as_str()]);
    assert_eq!(addresses(theirs.to()), [plan.to.address.as_str()]);
    assert_eq!(addresses(theirs.reply_to()), [plan.reply_to.as_str()]);
    assert_eq!(theirs.message_id(), Some(plan.message_id.as_str()));
}

/// Whatever was wrong with the message is not wrong with its copy: a copy of that says the same, as
/// read by the one parser and rebuilt by the other.
fn check_again(copy: &[u8], plan: Plan) {
    if plan.for_member.is_some() || is_protected(copy) {
        return;
    }
    let again = build(copy, &Plan { others: Vec::new(), left_out: None, ..plan }).expect("a copy can go out");
    let [one, two] = [copy, &again].map(|copy| understand(copy, &Limits::default()).expect("a copy can be understood"));
    assert_eq!(two.text, one.text, "a copy of a copy says something else");
    assert_eq!(two.attachments.len(), one.attachments.len());
}

/// No token but in Reply-To, in no text as its reader sees it.
fn check_tokens(copy: &[u8]) {
    let body = position(copy, b"\r\n\r\n").expect("a header ends");
    let mut fields = String::from_utf8_lossy(&copy[..body]).into_owned();
    let own = fields.find("Reply-To:").expect("it has one");
    let end = own + 2 + fields[own + 2..].find("\r\nTo:").expect("it is followed by To");
    fields.replace_range(own..end, "");
    assert!(is_stripped(&fields), "a token in the header: {fields}");
    let Some(message) = parsed(copy) else { return };
    for part in &message.parts {
        let header = &copy[part.offset_header as usize..part.offset_body as usize];
        // Files go on as they are.
        let is_root = part.offset_header == 0;
        if holds(header, b"attachment") || !is_root && holds(header, b"name") {
            continue;
        }
        if let PartType::Text(text) | PartType::Html(text) = &part.body {
            assert!(is_stripped(text), "a token in a text: {text}");
        }
    }
}

fn is_stripped(text: &str) -> bool {
    matches!(strip_text(text), Cow::Borrowed(_))
}

/// `None` where the other parser gives up on itself: mail-parser 0.11.9 has debug assertions that a
/// message within a broken multipart can fail.
fn parsed(copy: &[u8]) -> Option<Message<'_>> {
    let message = catch_unwind(|| MessageParser::new().parse(copy)).ok()?;
    Some(message.expect("others can parse a copy"))
}

/// The lines of command that a member's text begins with go to nobody; what follows them does.
///
/// The input is a text; it is sent plain, and as HTML with a line for each line.
pub fn commands(data: &[u8]) {
    let text = clean::lines(&String::from_utf8_lossy(data));
    let is_blank = |line: &&str| line.chars().all(is_blank);
    let asked = Asked::of(&text);
    // What is signed is not searched for commands, and so many are a mistake: nothing goes out.
    if asked.is_empty()
        || asked.lines.len() > 20
        || asked.lines.iter().any(|line| line.len() > 500)
        || is_protected(text.as_bytes())
    {
        return;
    }
    let rest: Vec<String> = asked.rest.split('\n').filter(|line| !is_blank(line)).map(words_of).collect();
    let html: Vec<String> = text.split('\n').map(|line| format!("<div>{}</div>\r\n", div(line))).collect();
    let plan = Plan { commands: asked.lines, ..plan(2, &Understood::default()) };
    for (kind, body) in [("plain", text.replace('\n', "\r\n")), ("html", html.concat())] {
        let raw = format!("Content-Type: text/{kind}; charset=utf-8\r\n\r\n{body}");
        let copy = build(raw.as_bytes(), &plan).expect("text can always go out");
        let message = parsed(&copy).expect("one text can be parsed");
        let Some(PartType::Text(shown) | PartType::Html(shown)) = message.parts.first().map(|part| &part.body) else {
            panic!("the text went away");
        };
        let shown = if kind == "html" { unescaped(shown) } else { shown.clone().into_owned() };
        let shown: Vec<String> = shown.lines().filter(|line| !is_blank(line)).map(words_of).collect();
        let expected: Vec<String> = rest.iter().map(|line| strip_text(line).into_owned()).collect();
        assert_eq!(shown, expected, "{kind}");
    }
}

fn words_of(line: &str) -> String {
    line.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line within a `div`; an empty one shows only by a break.
fn div(line: &str) -> String {
    if line.chars().all(is_blank) { "<br>".to_owned() } else { escaped(line) }
}

/// The text of what [`commands`] made HTML of.
fn unescaped(html: &str) -> String {
    let text = html.replace("<div>", "").replace("<br>", "").replace("</div>", "\n");
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Signed or encrypted, whole or in part, or perhaps.
fn is_protected(raw: &[u8]) -> bool {
    [&b"multipart/signed"[..], b"multipart/encrypted", b"pkcs7", b"BEGIN PGP"].iter().any(|mark| holds(raw, mark))
}

/// In any case, however it is folded.
fn holds(raw: &[u8], what: &[u8]) -> bool {
    raw.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what))
}

fn position(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|part| part == what)
}

fn replaced(octets: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(octets.len()), octets);
    while let Some(at) = position(rest, what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
