//! Lists of mailboxes (RFC 5322 §3.4), read so that nothing in them can hide: a second mailbox,
//! a group, two pairs of angle brackets are all seen.

use super::copy::strip_text;
use super::{clean, words};
use crate::desk::address::{Address, Mailbox};

/// The longest name that is kept, in octets.
const LONGEST_NAME: usize = 200;

/// What a field holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailboxes {
    /// Every mailbox, those in groups too.
    pub list: Vec<Mailbox>,
    /// Group syntax was used (`Friends: bob@example.org;`).
    pub group: bool,
    /// Pieces that have no usable address.
    pub broken: usize,
}

/// What a list of addresses is made of, before anything in it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One mailbox, or several that nothing separates.
    Piece(Piece),
    /// A group begins (`Friends:`): its name.
    Group(String),
    /// It ends. What looks like an end without a beginning separates mailboxes, as Outlook has it.
    GroupEnd,
}

/// What stands between two separators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Words before and between brackets, quotes taken off.
    pub phrase: String,
    pub comment: String,
    /// What stands in angle brackets.
    pub angles: Vec<String>,
    any: bool,
}

/// Reads a field's unfolded value, at most `most` mailboxes of it.
#[must_use]
pub fn read(value: &str, most: usize) -> Mailboxes {
    let attempt = |quotes| {
        let mut found = Mailboxes::default();
        let closed = scan(value, quotes, |item| {
            match item {
                Item::Piece(piece) => piece.read(&mut found),
                Item::Group(_) => found.group = true,
                Item::GroupEnd => {}
            }
            found.list.len() < most
        });
        found.list.truncate(most);
        closed.then_some(found)
    };
    attempt(true).or_else(|| attempt(false)).unwrap_or_default()
}

/// What a field's unfolded value is made of, at most `most` items.
#[must_use]
pub fn items(value: &str, most: usize) -> Vec<Item> {
    let attempt = |quotes| {
        let mut found = Vec::new();
        let closed = scan(value, quotes, |item| {
            found.push(item);
            found.len() < most
        });
        closed.then_some(found)
    };
    attempt(true).or_else(|| attempt(false)).unwrap_or_default()
}

/// Hands over what there is, as long as more is wanted; `false` when `quotes` are honoured and the
/// last one never closes.
fn scan(value: &str, quotes: bool, mut more: impl FnMut(Item) -> bool) -> bool {
    let mut piece = Piece::default();
    let mut in_group = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quotes => {
                let Some(quote) = until(&mut chars, '"') else { return false };
                // A quoted local part keeps its quotes for the address to judge.
                if chars.peek() == Some(&'@') {
                    if is_dot_atom(&quote) {
                        piece.phrase.push_str(&quote);
                    } else {
                        piece.phrase.push('"');
                        piece.phrase.push_str(&quote);
                        piece.phrase.push('"');
                    }
                } else {
                    piece.phrase.push_str(&quote);
                }
                piece.any = true;
            }
            '(' => comment(&mut chars, &mut piece.comment),
            '<' => {
                let inner: String = angle(&mut chars);
                piece.angles.push(inner);
                piece.any = true;
            }
            ',' | ';' => {
                let piece = std::mem::take(&mut piece);
                if piece.any && !more(Item::Piece(piece)) {
                    return true;
                }
                if c == ';' && std::mem::take(&mut in_group) && !more(Item::GroupEnd) {
                    return true;
                }
            }
            ':' if piece.angles.is_empty() && !piece.phrase.contains('@') => {
                let name = std::mem::take(&mut piece).phrase;
                in_group = true;
                if !more(Item::Group(name)) {
                    return true;
                }
            }
            c => {
                piece.any |= !c.is_whitespace();
                piece.phrase.push(c);
            }
        }
    }
    if piece.any {
        more(Item::Piece(piece));
    }
    true
}

impl Piece {
    fn read(&self, found: &mut Mailboxes) {
        let phrase = words::decode(&self.phrase);
        let named = |address: Address| Mailbox::new(tidy(&phrase), address);
        if self.angles.is_empty() {
            match parse(&self.phrase) {
                Some(address) => {
                    found.list.push(Mailbox::new(tidy(&words::decode(&self.comment)), address));
                }
                None => found.broken += 1,
            }
            return;
        }
        for angle in &self.angles {
            match parse(angle) {
                Some(address) => found.list.push(named(address)),
                None => found.broken += 1,
            }
        }
    }
}

/// A name fit to show. Some clients take an address for its own name, so that a token of ours would
/// go on with it.
fn tidy(name: &str) -> String {
    strip_text(&clean::line(name, LONGEST_NAME)).into_owned()
}

fn parse(text: &str) -> Option<Address> {
    let text = text.trim();
    // In single quotes, as Outlook does; alone one is a letter like others.
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    let text = text.get(..7).filter(|start| start.eq_ignore_ascii_case("mailto:")).map_or(text, |_| &text[7..]);
    let unquoted = text.strip_prefix('"').and_then(|rest| rest.split_once("\"@"));
    match unquoted {
        Some((local, domain)) if is_dot_atom(local) => Address::new(local, domain).ok(),
        _ => text.parse().ok(),
    }
}

fn is_dot_atom(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
}

/// Up to a closing character; backslashes escape. `None` when it never comes.
fn until(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, close: char) -> Option<String> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c if c == close => return Some(text),
            c => text.push(c),
        }
    }
    None
}

/// What stands between angle brackets; a missing `>` ends with the field.
fn angle(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    let mut quoted = false;
    for c in chars.by_ref() {
        match c {
            '"' => {
                quoted = !quoted;
                text.push(c);
            }
            '>' if !quoted => break,
            c => text.push(c),
        }
    }
    text
}

/// A comment, nested ones included (RFC 5322 §3.2.2).
fn comment(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, text: &mut String) {
    let mut depth = 1usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_however_written() {
        for (value, expected) in [
            ("bob@example.org", "bob@example.org"),
            ("Bob <bob@example.org>", "Bob <bob@example.org>"),
            ("\"Smith, Bob\" <bob@example.org>", "Smith, Bob <bob@example.org>"),
            ("bob@example.org (Bob Smith)", "Bob Smith <bob@example.org>"),
            ("=?utf-8?Q?Ren=C3=A9?= <rene@example.org>", "René <rene@example.org>"),
            ("\"=?utf-8?Q?Ren=C3=A9?=\" <rene@example.org>", "René <rene@example.org>"),
            ("a@example.org, b@example.org", "a@example.org|b@example.org"),
            ("Team: a@example.org, Bo <b@example.org>;", "group|a@example.org|Bo <b@example.org>"),
            ("undisclosed-recipients:;", "group"),
            ("<a@example.org> <b@example.org>", "a@example.org|b@example.org"),
            ("ceo@acme.example <evil@example.org>", "ceo@acme.example <evil@example.org>"),
            ("\"ceo@acme.example\" <evil@example.org>", "ceo@acme.example <evil@example.org>"),
            ("\"unclosed <bob@example.org>", "\"unclosed <bob@example.org>"),
            ("Bob <bob@example.org", "Bob <bob@example.org>"),
            ("\"bob\"@example.org", "bob@example.org"),
            ("\"b o b\"@example.org", "broken"),
            ("Bob \u{202e}evil <bob@example.org>", "Bob evil <bob@example.org>"),
            ("<>", "broken"),
            ("nobody", "broken"),
            ("<@route.example:bob@example.org>", "broken"),
            ("", ""),
            (", ,", ""),
            ("=?utf-8?Q?a=40acme.example?= <evil@example.org>", "a@acme.example <evil@example.org>"),
            ("<mailto:bob@example.org>", "bob@example.org"),
        ] {
            let found = read(value, 10);
            let mut shown = Vec::new();
            if found.group {
                shown.push("group".to_owned());
            }
            if found.broken > 0 {
                shown.push("broken".to_owned());
            }
            shown.extend(found.list.iter().map(|mailbox| {
                if mailbox.name.is_empty() {
                    mailbox.address.to_string()
                } else {
                    format!("{} <{}>", mailbox.name, mailbox.address)
                }
            }));
            assert_eq!(shown.join("|"), expected, "{value}");
        }
    }

    #[test]
    fn ten_thousand_recipients_are_cut() {
        let value = "a@example.org, ".repeat(10_000);
        assert_eq!(read(&value, 500).list.len(), 500);
    }
}
