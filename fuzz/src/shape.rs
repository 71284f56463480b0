//! What IMAP says of a message, and of the threads that several make.

use std::collections::BTreeSet;

use guichet::mime::shape::fields::Fields;
use guichet::mime::shape::search::{Needle, header_contains, text_contains};
use guichet::mime::shape::section::{What, binary, binary_size, section};
use guichet::mime::shape::shape as shape_of;
use guichet::mime::shape::thread::{Member, ordered_subject, references};
use jiff::Timestamp;

/// Of any message an envelope and a structure are written that follow IMAP's grammar and that every line of
/// a client can take; BODY says the same as BODYSTRUCTURE; and whatever part a client is told of, it can fetch by
/// its number, as long as was said.
pub fn shape(data: &[u8]) {
    let said = shape_of(data);
    assert_eq!(shape_of(data), said, "written otherwise the second time");
    check_envelope(&Value::of(&said.envelope));
    let mut parts = Parts { message: data, extended: true, found: Vec::new() };
    parts.check(&Value::of(&said.structure), &[], true);
    let mut plain = Parts { message: data, extended: false, found: Vec::new() };
    plain.check(&Value::of(&said.body), &[], true);
    assert_eq!(plain.found, parts.found, "BODY and BODYSTRUCTURE differ");
    let whole = |what| section(data, &[], what).expect("a message has it").into_owned();
    assert_eq!(whole(What::Header).len(), usize::try_from(said.header).expect("a length"));
    assert_eq!([whole(What::Header), whole(What::Text)].concat(), data);
    let names = ["subject".to_owned()];
    for what in [What::HeaderFields(&names), What::HeaderFieldsNot(&names)] {
        assert!(whole(what).ends_with(b"\r\n"), "no blank line");
    }
    check_fields(&said.fields);
    let needle = Needle::new(&said.fields.subject);
    assert!(needle.is_in(&said.fields.subject));
    let _ = header_contains(data, "Subject", &needle);
    assert!(!text_contains(data, &needle, false) || text_contains(data, &needle, true), "BODY without TEXT");
}

fn check_fields(fields: &Fields) {
    let stored = rmp_serde::to_vec(fields).expect("fields can be written");
    assert_eq!(rmp_serde::from_slice::<Fields>(&stored).as_ref().ok(), Some(fields));
    for text in [&fields.from, &fields.to, &fields.cc, &fields.bcc, &fields.subject] {
        assert!(text.len() <= 8 * 1024 && !text.contains(char::is_control), "{text:?}");
    }
    for key in [&fields.base_subject, &fields.sort_from, &fields.sort_to, &fields.display_from, &fields.display_to] {
        assert!(key.len() <= 1024, "{} octets", key.len());
    }
    assert!(fields.references.len() <= 101);
    assert_eq!(fields.date.is_some(), fields.day.is_some());
}

/// What IMAP's grammar is made of (RFC 3501 §9).
#[derive(Debug, PartialEq)]
enum Value {
    Nil,
    Text(Vec<u8>),
    Number(usize),
    List(Vec<Value>),
}

impl Value {
    /// Reads all of an answer.
    fn of(octets: &[u8]) -> Self {
        let mut rest = octets;
        let value = Self::read(&mut rest);
        assert!(rest.is_empty(), "behind the end: {}", rest.escape_ascii());
        value
    }

    fn read(rest: &mut &[u8]) -> Self {
        let octets = *rest;
        match octets.first() {
            Some(b'(') => {
                *rest = &octets[1..];
                let mut list = Vec::new();
                while !rest.starts_with(b")") {
                    let is_after_list = matches!(list.last(), Some(Self::List(_)));
                    match rest.strip_prefix(b" ") {
                        Some(behind) if !list.is_empty() => *rest = behind,
                        // Addresses and parts stand side by side.
                        _ => assert!(list.is_empty() || is_after_list && rest.starts_with(b"("), "no blank"),
                    }
                    list.push(Self::read(rest));
                }
                *rest = &rest[1..];
                assert!(!list.is_empty(), "an empty list");
                Self::List(list)
            }
            Some(b'"') => {
                let mut text = Vec::new();
                let mut at = 1;
                while octets[at] != b'"' {
                    at += usize::from(octets[at] == b'\\');
                    let octet = octets[at];
                    assert!(matches!(octet, 1..=127) && !matches!(octet, b'\r' | b'\n'), "{octet} within quotes");
                    assert!(octets[at - 1] != b'\\' || matches!(octet, b'"' | b'\\') || octets[at - 2] == b'\\');
                    text.push(octet);
                    at += 1;
                }
                *rest = &octets[at + 1..];
                Self::Text(text)
            }
            Some(b'{') => {
                let end = octets.windows(3).position(|three| three == b"}\r\n").expect("a literal's length ends");
                let length: usize =
                    std::str::from_utf8(&octets[1..end]).ok().and_then(|text| text.parse().ok()).expect("a length");
                let text = &octets[end + 3..][..length];
                assert!(!text.contains(&0), "NUL in a literal");
                *rest = &octets[end + 3 + length..];
                Self::Text(text.to_vec())
            }
            Some(b'N') => {
                *rest = octets.strip_prefix(b"NIL").expect("NIL");
                Self::Nil
            }
            _ => {
                let digits = octets.iter().take_while(|octet| octet.is_ascii_digit()).count();
                *rest = &octets[digits..];
                Self::Number(String::from_utf8_lossy(&octets[..digits]).parse().expect("a number"))
            }
        }
    }

    fn list(&self) -> &[Self] {
        if let Self::List(list) = self { list } else { panic!("{self:?} is no list") }
    }

    fn text(&self) -> String {
        if let Self::Text(text) = self {
            String::from_utf8_lossy(text).into_owned()
        } else {
            panic!("{self:?} is no text")
        }
    }

    fn number(&self) -> usize {
        if let Self::Number(number) = self { *number } else { panic!("{self:?} is no number") }
    }

    fn is_nstring(&self) -> bool {
        matches!(self, Self::Nil | Self::Text(_))
    }
}

fn check_envelope(envelope: &Value) {
    let fields = envelope.list();
    assert_eq!(fields.len(), 10);
    for at in [0, 1, 8, 9] {
        assert!(fields[at].is_nstring());
    }
    assert!(fields[2] == Value::Nil || (fields[3] != Value::Nil && fields[4] != Value::Nil), "no default");
    for addresses in fields[2..8].iter().filter(|field| **field != Value::Nil) {
        let mut in_group = false;
        for address in addresses.list() {
            let [name, Value::Nil, local, host] = address.list() else { panic!("{address:?} is no address") };
            assert!(name.is_nstring() && local.is_nstring() && host.is_nstring());
            if *host == Value::Nil {
                assert_eq!(*local == Value::Nil, in_group, "groups within groups, or an end of none");
                in_group = !in_group;
            }
        }
        assert!(!in_group, "a group without an end");
    }
}

/// The parts that a structure tells of.
struct Parts<'a> {
    message: &'a [u8],
    extended: bool,
    found: Vec<(Vec<u32>, String, usize)>,
}

impl Parts<'_> {
    /// `prefix` is a part's number, or, of a message, the number of the part that it is in.
    fn check(&mut self, body: &Value, prefix: &[u32], is_message: bool) {
        let values = body.list();
        let parts = values.iter().take_while(|value| matches!(value, Value::List(_))).count();
        if parts > 0 {
            for (number, part) in (1..).zip(&values[..parts]) {
                self.check(part, &[prefix, &[number]].concat(), false);
            }
            if self.found.len() < 30 {
                let next = [prefix, &[u32::try_from(parts).expect("few") + 1]].concat();
                assert_eq!(section(self.message, &next, What::Whole), None, "one part more than told");
            }
            let _ = values[parts].text();
            if self.extended {
                check_parameters(&values[parts + 1]);
                check_rest(&values[parts + 2..]);
            } else {
                assert_eq!(values.len(), parts + 1);
            }
            return;
        }
        let number = if is_message { [prefix, &[1]].concat() } else { prefix.to_vec() };
        let kind = format!("{}/{}", values[0].text(), values[1].text());
        check_parameters(&values[2]);
        assert!(values[3].is_nstring() && values[4].is_nstring());
        assert!(!values[5].text().is_empty(), "no encoding");
        let size = values[6].number();
        self.found.push((number.clone(), kind.clone(), size));
        let holds_message = kind == "message/rfc822" || kind == "message/global";
        // Each look reads the message again.
        if self.found.len() < 30 {
            self.fetch(&number, size, holds_message);
        }
        let mut at = 7;
        if holds_message {
            check_envelope(&values[7]);
            self.check(&values[8], &number, true);
            at = 9;
        }
        if holds_message || kind.starts_with("text/") {
            let _ = values[at].number();
            at += 1;
        }
        if self.extended {
            assert!(values[at].is_nstring(), "MD5");
            check_rest(&values[at + 1..]);
        } else {
            assert_eq!(values.len(), at);
        }
    }

    fn fetch(&self, number: &[u32], size: usize, holds_message: bool) {
        let get = |what| section(self.message, number, what);
        let whole = get(What::Whole).expect("a part that was told of");
        assert_eq!(whole.len(), size, "{number:?}");
        assert!(get(What::Mime).is_some());
        match (get(What::Header), get(What::Text)) {
            (Some(header), Some(text)) => {
                assert!(holds_message);
                assert_eq!([header, text].concat(), *whole);
            }
            (None, None) => assert!(!holds_message),
            _ => panic!("half a message"),
        }
        let decoded = binary(self.message, number).map(|octets| octets.map(|octets| octets.len()));
        let told = binary_size(self.message, number).map(|size| size.and_then(|size| usize::try_from(size).ok()));
        assert_eq!(decoded, told);
    }
}

fn check_parameters(parameters: &Value) {
    if *parameters != Value::Nil {
        let list = parameters.list();
        assert!(list.len().is_multiple_of(2) && list.iter().all(|value| matches!(value, Value::Text(_))));
    }
}

/// Disposition, language, location.
fn check_rest(rest: &[Value]) {
    let [disposition, language, location] = rest else { panic!("{rest:?}") };
    if *disposition != Value::Nil {
        let [Value::Text(_), parameters] = disposition.list() else { panic!("{disposition:?}") };
        check_parameters(parameters);
    }
    assert!(language.is_nstring() || language.list().iter().all(|tag| matches!(tag, Value::Text(_))));
    assert!(location.is_nstring());
}

/// Whatever messages say of each other, each is in one thread, once, and the answer can be read.
///
/// The input is a line for each message: its identifier, those that it refers to, and behind a `|` its
/// subject, without `Re: ` an own one.
pub fn threads(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fields: Vec<Fields> = text.lines().take(500).map(message).collect();
    let sent = |line: u32| Timestamp::from_second(i64::from(line.wrapping_mul(7) % 11)).expect("a time");
    let members: Vec<Member<'_>> = (1..).zip(&fields).map(|(at, fields)| (at, fields, sent(at))).collect();
    for forest in [ordered_subject(&members), references(&members)] {
        let mut out = Vec::new();
        forest.write(&mut out);
        let mut rest = out.as_slice();
        let mut numbers = Vec::new();
        while !rest.is_empty() {
            thread(&mut rest, &mut numbers, 0);
        }
        assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (1..=members.len()).collect());
        assert_eq!(numbers.len(), members.len(), "one is there twice");
    }
}

fn message(line: &str) -> Fields {
    let (ids, subject) = line.split_once('|').unwrap_or((line, ""));
    let mut ids = ids.split_whitespace().map(str::to_owned);
    Fields {
        message_id: ids.next(),
        in_reply_to: ids.clone().next_back(),
        references: ids.filter(|id| id != "-").collect(),
        base_subject: subject.trim_start_matches("Re: ").to_owned(),
        is_answer: subject.starts_with("Re: "),
        ..Fields::default()
    }
}

/// RFC 5256 §5, `thread-list`. A list of one list is none: there would be nothing that it holds together.
fn thread(rest: &mut &[u8], numbers: &mut Vec<usize>, depth: usize) {
    *rest = rest.strip_prefix(b"(").expect("a thread starts");
    let mut members = 0;
    while rest.first().is_some_and(u8::is_ascii_digit) {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        numbers.push(String::from_utf8_lossy(&rest[..digits]).parse().expect("a number"));
        *rest = &rest[digits..];
        members += 1;
        match rest.first() {
            Some(b' ') => *rest = &rest[1..],
            other => assert_eq!(other, Some(&b')'), "a member ends"),
        }
    }
    let mut branches = 0;
    while rest.starts_with(b"(") {
        thread(rest, numbers, depth + 1);
        branches += 1;
    }
    assert!(branches != 1 && members + branches > 0, "a branch alone, or nothing");
    assert!(members > 0 || depth == 0, "only a root can be missing");
    *rest = rest.strip_prefix(b")").expect("a thread ends");
}
