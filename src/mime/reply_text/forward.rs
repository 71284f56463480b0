//! A mail within a mail, as clients write it when somebody hands it on: a header in words, an empty
//! line, the text.

use super::super::mailboxes;
use super::super::text::{Line, Mark};
use super::super::understand::{Forwarded, one_line, read_date};
use super::heads::{self, Label};
use super::whole;
use crate::desk::address::Mailbox;

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
    let glued = plain.iter().find(|line| !line.text.trim().is_empty()).and_then(|line| heads::glued(&line.text));
    if let Some(header) = glued {
        let header = header.into_iter().map(|text| Line { text, mark: Mark::None });
        let body = plain.iter().skip_while(|line| line.text.trim().is_empty()).skip(1);
        let empty = std::iter::once(Line { text: String::new(), mark: Mark::None });
        let lines: Vec<_> = header.chain(empty).chain(body.cloned()).collect();
        // Where a value ends is a guess.
        return Some(Forwarded { well_formed: false, ..read(&lines, comment)? });
    }
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
    let text = plain.get(at..).unwrap_or_default();
    let end = text.iter().rposition(|line| heads::is_forwards_end(&line.text.to_lowercase()));
    let (from, alone) = mailbox(value(Label::From)?)?;
    let once =
        |wanted: Label| values.iter().filter(|(label, value)| *label == wanted && !value.is_empty()).count() == 1;
    Some(Forwarded {
        from,
        well_formed: alone
            && !names_somebody(&comment)
            && [Label::From, Label::Sent, Label::Subject].into_iter().all(once),
        message_id: None,
        subject: value(Label::Subject).map(one_line).unwrap_or_default(),
        date: value(Label::Sent).and_then(date),
        text: whole(&text[..end.unwrap_or(text.len())]),
        comment,
    })
}

/// Whether a text holds `<name@domain>`. Above a forwarded header that is most likely another one, in a
/// language or a form that is not known: then the header below it is of a mail within that mail.
fn names_somebody(text: &str) -> bool {
    text.split('<').skip(1).any(|rest| rest.split('>').next().is_some_and(|inner| inner.contains('@')))
}

fn without_mark(line: &Line) -> Line {
    let text = line.text.strip_prefix('>').map_or(line.text.as_str(), |rest| rest.strip_prefix(' ').unwrap_or(rest));
    Line { text: text.to_owned(), mark: line.mark }
}

/// `Jane <jane@example.com>`, `Jane [mailto:jane@example.com]`, `Jane <jane@example.com<mailto:…>>`;
/// and whether there is no other beside it.
fn mailbox(value: &str) -> Option<(Mailbox, bool)> {
    let plain = value.replace('[', "<").replace(']', ">").replace("<mailto:", "<");
    let mut found = mailboxes::read(&plain, 5).list;
    if found.is_empty() {
        // The address twice, once as a link.
        let (name, rest) = plain.split_once('<')?;
        let address = rest.split(['<', '>']).next()?;
        found = mailboxes::read(&format!("{name}<{address}>"), 1).list;
    }
    let alone = found.len() == 1;
    found.into_iter().next().map(|mailbox| (mailbox, alone))
}

/// Only a date in the form of RFC 5322: other words would be guessed at.
fn date(value: &str) -> Option<jiff::Timestamp> {
    let day = value.split_once(", ").map_or(value, |(_, rest)| rest);
    let zoned = ["+", "-", "GMT", "UTC"].iter().any(|zone| day.get(11..).is_some_and(|rest| rest.contains(zone)));
    (day.starts_with(|c: char| c.is_ascii_digit()) && zoned).then(|| read_date(value)).flatten()
}
