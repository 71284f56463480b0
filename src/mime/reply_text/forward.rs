//! A mail within a mail, as clients write it when somebody hands it on: a header in words, an empty
//! line, the text.

use super::super::mailboxes;
use super::super::text::Line;
use super::super::understand::{Forwarded, one_line, read_date};
use super::heads::{self, Label};
use super::whole;

/// How far below its first line the header may begin, and how long it may be.
const LONGEST_HEADER: usize = 30;

/// The block without the `>` that Apple Mail puts before each of its lines.
pub(super) fn unquoted(lines: &[Line]) -> Vec<Line> {
    let quoted = lines.first().is_some_and(|line| line.text.starts_with('>'))
        || lines.iter().skip(1).find(|line| !line.text.is_empty()).is_some_and(|line| line.text.starts_with('>'));
    if quoted { lines.iter().map(without_mark).collect() } else { lines.to_vec() }
}

/// Reads the block; `None` when it does not say by whom the original is.
pub(super) fn read(plain: &[Line], comment: String) -> Option<Forwarded> {
    let start = plain.iter().take(8).position(|line| heads::label(&line.text).is_some())?;
    let mut values: Vec<(Label, String)> = Vec::new();
    let mut at = start;
    while let Some(line) = plain.get(at).filter(|_| at - start < LONGEST_HEADER) {
        let text = line.text.trim();
        match heads::label(text) {
            Some((label, value)) => values.push((label, value.to_owned())),
            None if text.is_empty() => {
                // Some put empty lines between the fields.
                if plain.get(at + 1).and_then(|next| heads::label(&next.text)).is_none() {
                    break;
                }
            }
            None => match values.last_mut() {
                Some((Label::Sent, _)) | None => break,
                Some((_, value)) => {
                    value.push(' ');
                    value.push_str(text);
                }
            },
        }
        at += 1;
    }
    let value = |wanted: Label| values.iter().find(|(label, _)| *label == wanted).map(|(_, value)| value.as_str());
    let from = mailbox(value(Label::From)?)?;
    Some(Forwarded {
        from,
        subject: value(Label::Subject).map(one_line).unwrap_or_default(),
        date: value(Label::Sent).and_then(date),
        text: whole(plain.get(at..).unwrap_or_default()),
        comment,
    })
}

fn without_mark(line: &Line) -> Line {
    let text = line.text.strip_prefix('>').map_or(line.text.as_str(), |rest| rest.strip_prefix(' ').unwrap_or(rest));
    Line { text: text.to_owned(), mark: line.mark }
}

/// `Jane <jane@example.com>`, `Jane [mailto:jane@example.com]`, `Jane <jane@example.com<mailto:…>>`.
fn mailbox(value: &str) -> Option<crate::desk::address::Mailbox> {
    let plain = value.replace('[', "<").replace(']', ">").replace("<mailto:", "<");
    let mut found = mailboxes::read(&plain, 5).list;
    if found.is_empty() {
        // The address twice, once as a link.
        let (name, rest) = plain.split_once('<')?;
        let address = rest.split(['<', '>']).next()?;
        found = mailboxes::read(&format!("{name}<{address}>"), 1).list;
    }
    found.into_iter().next()
}

/// Only a date in the form of RFC 5322: other words would be guessed at.
fn date(value: &str) -> Option<jiff::Timestamp> {
    let day = value.split_once(", ").map_or(value, |(_, rest)| rest);
    let zoned = ["+", "-", "GMT", "UTC"].iter().any(|zone| day.get(11..).is_some_and(|rest| rest.contains(zone)));
    (day.starts_with(|c: char| c.is_ascii_digit()) && zoned).then(|| read_date(value)).flatten()
}
