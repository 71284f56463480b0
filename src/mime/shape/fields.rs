//! What SEARCH, SORT and THREAD ask of a message's header, ready to be compared (RFC 3501 §6.4.4,
//! RFC 5256, RFC 5957).

use jiff::{Timestamp, civil};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::envelope::{self, Entry};
use super::wire;
use crate::desk::subject;
use crate::mime::header::{Field, Header};
use crate::mime::understand::{self, Limits};
use crate::mime::{clean, ids, words};

/// Octets of a text to search in.
const LONGEST_TEXT: usize = 8 * 1024;
/// Octets of a sort key.
const LONGEST_KEY: usize = 1024;

/// The fields of a header. Texts are decoded, in one line; those to search in are as they were written
/// otherwise, at most 8 KiB. Sort keys are in upper case, as `i;unicode-casemap` has them (RFC 5051) but
/// without its decompositions, at most 1 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// `Jane Doe <jane@example.com>, bob@example.org`.
    pub from: String,
    pub to: String,
    pub cc: String,
    pub bcc: String,
    pub subject: String,
    /// A sort key: the subject without the marks of answers and forwards (RFC 5256 §2.1), in any of the
    /// languages that mail clients put them in.
    pub base_subject: String,
    /// There were such marks.
    pub is_answer: bool,
    /// The local part of the first address; of a group its name.
    pub sort_from: String,
    pub sort_to: String,
    pub sort_cc: String,
    /// What is shown for the first address: its name, or the address (RFC 5957 §3).
    pub display_from: String,
    pub display_to: String,
    /// Date, if it can be read.
    pub date: Option<Timestamp>,
    /// The day of it, in its own time zone: what SENTON and its like compare (RFC 3501 §6.4.4).
    pub day: Option<civil::Date>,
    /// Identifiers without their brackets. The first one of the field counts.
    pub message_id: Option<String>,
    pub in_reply_to: Option<String>,
    /// The root first; of a long chain the root and the newest.
    pub references: Vec<String>,
}

/// The [`Fields`] that SEARCH asks for, as they are kept in MessagePack, without copies.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Searched<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub cc: &'a str,
    pub bcc: &'a str,
    pub subject: &'a str,
    _base_subject: IgnoredAny,
    _is_answer: IgnoredAny,
    _sort_from: IgnoredAny,
    _sort_to: IgnoredAny,
    _sort_cc: IgnoredAny,
    _display_from: IgnoredAny,
    _display_to: IgnoredAny,
    _date: IgnoredAny,
    day: Option<&'a str>,
    _message_id: IgnoredAny,
    _in_reply_to: IgnoredAny,
    _references: IgnoredAny,
}

impl Searched<'_> {
    /// As [`Fields::day`].
    #[must_use]
    pub fn day(&self) -> Option<civil::Date> {
        self.day?.parse().ok()
    }
}

impl Fields {
    pub(super) fn read(header: &Header<'_>) -> Self {
        let value = |name| header.first(name).map(wire::value);
        let ids_of =
            |name: &'static str| header.all(name).flat_map(|field| ids::all(&field.text())).collect::<Vec<_>>();
        let first = |name| ids_of(name).first().map(|id| id.as_str().to_owned());
        let [from, to, cc, bcc] = ["From", "To", "Cc", "Bcc"].map(|name| envelope::addresses(header, name));
        let subject = decoded(&value("Subject").unwrap_or_default());
        let called = clean::start(&subject, LONGEST_KEY);
        let sent = header.first("Date").and_then(|field| understand::read_sent(&field.text()));
        let references = ids::bounded(ids_of("References"), Limits::default().references);
        Self {
            sort_from: sort_key(&from),
            sort_to: sort_key(&to),
            sort_cc: sort_key(&cc),
            display_from: display_key(&from),
            display_to: display_key(&to),
            from: text(&from),
            to: text(&to),
            cc: text(&cc),
            bcc: text(&bcc),
            base_subject: key(&subject::canonical_subject(called)),
            is_answer: is_answer(called),
            subject,
            date: sent.map(|(at, _)| at),
            day: sent.map(|(_, day)| day),
            message_id: first("Message-ID"),
            in_reply_to: first("In-Reply-To"),
            references: references.iter().map(|id| id.as_str().to_owned()).collect(),
        }
    }
}

/// A text in one line, decoded.
fn decoded(value: &str) -> String {
    clean::line(&words::decode(clean::start(value, 8 * LONGEST_TEXT)), LONGEST_TEXT)
}

/// The value of a field to search in.
pub(super) fn decoded_field(field: &Field<'_>) -> String {
    words::decode(&wire::value(field))
}

fn key(text: &str) -> String {
    let upper = clean::start(text, LONGEST_KEY).to_uppercase();
    clean::start(&upper, LONGEST_KEY).to_owned()
}

fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        if text.len() >= LONGEST_TEXT {
            break;
        }
        let after_mailbox = !text.is_empty() && !text.ends_with(": ");
        match entry {
            Entry::Mailbox { name, local, host } => {
                text.push_str(if after_mailbox { ", " } else { "" });
                if name.is_empty() {
                    text.extend([local, "@", host]);
                } else {
                    text.extend([words::decode(name).as_str(), " <", local, "@", host, ">"]);
                }
            }
            Entry::Group(name) => {
                text.push_str(if after_mailbox { ", " } else { "" });
                text.extend([words::decode(name).as_str(), ": "]);
            }
            Entry::GroupEnd => {}
        }
    }
    clean::line(&text, LONGEST_TEXT)
}

fn sort_key(entries: &[Entry]) -> String {
    match entries.first() {
        Some(Entry::Mailbox { local, .. }) => key(local),
        Some(Entry::Group(name)) => key(name),
        Some(Entry::GroupEnd) | None => String::new(),
    }
}

fn display_key(entries: &[Entry]) -> String {
    match entries.first() {
        Some(Entry::Mailbox { name, local, host }) if name.is_empty() => key(&format!("{local}@{host}")),
        Some(Entry::Mailbox { name, .. } | Entry::Group(name)) => key(&decoded(name)),
        Some(Entry::GroupEnd) | None => String::new(),
    }
}

/// Whether a subject has a mark of an answer or a forward, in front, behind, or after tags of lists
/// (RFC 5256 §2.1).
fn is_answer(subject: &str) -> bool {
    let mut rest = subject.trim();
    if rest.len() >= 5 && rest.get(rest.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case("(fwd)")) {
        return true;
    }
    loop {
        if subject::is_answer(rest) || subject::is_forward(rest) {
            return true;
        }
        match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((_, behind)) => rest = behind.trim_start(),
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(header: &str) -> Fields {
        Fields::read(&Header::read(header.as_bytes(), 100))
    }

    #[test]
    fn what_a_searcher_and_a_sorter_look_at() {
        let found = fields(
            "From: =?utf-8?q?Ren=C3=A9e?= Roux <Renee@Example.com>\r\nTo: \"Smith, Bob\" <bob@example.org>,\r\n\tTeam: a@x.example;\r\n\
             Cc: Friends: =?utf-8?q?Zo=C3=A9?= <z@x.example>;\r\nSubject: [list] =?utf-8?q?R=C3=A9f=3A?= Stra\u{df}e\r\n\
             Date: Tue, 24 Nov 2026 23:30:00 -0500\r\nMessage-ID: <1@x>\r\nIn-Reply-To: Your mail <0@x> of <9@x>\r\nReferences: <a@x>\r\n <0@x>\r\n\r\n",
        );
        let expected = Fields {
            from: "Renée Roux <Renee@Example.com>".into(),
            to: "Smith, Bob <bob@example.org>, Team: a@x.example".into(),
            cc: "Friends: Zoé <z@x.example>".into(),
            bcc: String::new(),
            subject: "[list] Réf: Straße".into(),
            base_subject: "STRASSE".into(),
            is_answer: true,
            sort_from: "RENEE".into(),
            sort_to: "BOB".into(),
            sort_cc: "FRIENDS".into(),
            display_from: "RENÉE ROUX".into(),
            display_to: "SMITH, BOB".into(),
            date: "2026-11-25T04:30:00Z".parse().ok(),
            day: Some(civil::date(2026, 11, 24)),
            message_id: Some("1@x".into()),
            in_reply_to: Some("0@x".into()),
            references: vec!["a@x".into(), "0@x".into()],
        };
        assert_eq!(found, expected);
        let stored = rmp_serde::to_vec(&found).unwrap();
        assert_eq!(rmp_serde::from_slice::<Fields>(&stored).unwrap(), found);
        let seen: Searched<'_> = rmp_serde::from_slice(&stored).unwrap();
        assert_eq!((seen.from, seen.to, seen.cc), (&*found.from, &*found.to, &*found.cc));
        assert_eq!((seen.bcc, seen.subject, seen.day()), ("", &*found.subject, found.day));
    }

    #[test]
    fn nothing_is_nothing_and_much_is_cut() {
        assert_eq!(fields("X: y\r\n\r\n"), Fields::default());
        assert_eq!(fields("Date: yesterday\r\nFrom:\r\nMessage-ID: 7\r\n\r\n"), Fields::default());
        let long = "é".repeat(20_000);
        let found = fields(&format!("Subject: {long}\r\nFrom: {long} <a@x>\r\nTo: {}\r\n\r\n", "a@x, ".repeat(9_000)));
        assert!(
            found.subject.len() <= LONGEST_TEXT && found.from.len() <= LONGEST_TEXT && found.to.len() <= LONGEST_TEXT
        );
        assert!(found.base_subject.len() <= LONGEST_KEY && found.display_from.len() <= LONGEST_KEY);
    }

    #[test]
    fn marks_of_answers_wherever_they_are() {
        for (subject, answer) in [
            ("Printer", false),
            ("Re: Printer", true),
            ("[a] [b] FW: Printer", true),
            ("[Fwd: Printer]", true),
            ("Printer (FWD)", true),
            ("[a] Printer", false),
            ("[", false),
            ("", false),
        ] {
            assert_eq!(is_answer(subject), answer, "{subject}");
        }
    }
}
