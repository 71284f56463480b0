//! ENVELOPE (RFC 3501 §7.4.2).

use super::wire;
use crate::mime::clean;
use crate::mime::header::Header;
use crate::mime::mailboxes::{self, Item, Piece};
use crate::mime::understand::Limits;

/// What stands for a local part or a domain that is not there: NIL would make a group of it. Other servers
/// say the same.
const NO_MAILBOX: &str = "MISSING_MAILBOX";
const NO_HOST: &str = "MISSING_DOMAIN";

/// One address structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The name as it was written, encoded words and all; empty for none.
    Mailbox {
        name: String,
        local: String,
        host: String,
    },
    /// The start of a group: its name.
    Group(String),
    GroupEnd,
}

/// Writes the envelope of a message. Of a field that may be there once the first counts; the lists of
/// several To fields are one.
pub(super) fn write(out: &mut Vec<u8>, header: &Header<'_>) {
    let from = addresses(header, "From");
    out.push(b'(');
    text(out, header, "Date");
    out.push(b' ');
    text(out, header, "Subject");
    out.push(b' ');
    list(out, &from);
    for name in ["Sender", "Reply-To"] {
        out.push(b' ');
        let found = addresses(header, name);
        list(out, if found.is_empty() { &from } else { &found });
    }
    for name in ["To", "Cc", "Bcc"] {
        out.push(b' ');
        list(out, &addresses(header, name));
    }
    for name in ["In-Reply-To", "Message-ID"] {
        out.push(b' ');
        match header.first(name) {
            // Encoded words would be another identifier.
            Some(field) => wire::string(out, limited(&wire::value(field))),
            None => wire::nil(out),
        }
    }
    out.push(b')');
}

fn limited(text: &str) -> &[u8] {
    clean::start(text, wire::LONGEST).as_bytes()
}

fn text(out: &mut Vec<u8>, header: &Header<'_>, name: &str) {
    match header.first(name) {
        Some(field) => wire::text(out, &wire::value(field)),
        None => wire::nil(out),
    }
}

fn list(out: &mut Vec<u8>, entries: &[Entry]) {
    if entries.is_empty() {
        return wire::nil(out);
    }
    out.push(b'(');
    for entry in entries {
        match entry {
            Entry::Mailbox { name, local, host } => {
                out.push(b'(');
                if name.is_empty() {
                    wire::nil(out);
                } else {
                    wire::text(out, name);
                }
                // Source routes mean nothing any more (RFC 5321 §4.1.1.3).
                out.extend_from_slice(b" NIL ");
                wire::string(out, limited(local));
                out.push(b' ');
                wire::string(out, limited(host));
                out.push(b')');
            }
            Entry::Group(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                wire::text(out, name);
                out.extend_from_slice(b" NIL)");
            }
            Entry::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    out.push(b')');
}

/// The addresses of every field of a name, within the bounds of [`Limits`]. Every group that starts ends.
pub(super) fn addresses(header: &Header<'_>, name: &str) -> Vec<Entry> {
    let most = Limits::default().mailboxes;
    let mut entries = Vec::new();
    for field in header.all(name) {
        let mut in_group = false;
        for item in mailboxes::items(&wire::value(field), most.saturating_sub(entries.len())) {
            match item {
                Item::Piece(piece) => mailboxes_of(&piece, most, &mut entries),
                Item::Group(name) => {
                    if std::mem::replace(&mut in_group, true) {
                        entries.push(Entry::GroupEnd);
                    }
                    entries.push(Entry::Group(name.trim().to_owned()));
                }
                Item::GroupEnd => {
                    in_group = false;
                    entries.push(Entry::GroupEnd);
                }
            }
        }
        if in_group {
            entries.push(Entry::GroupEnd);
        }
        if entries.len() >= most {
            break;
        }
    }
    entries
}

fn mailboxes_of(piece: &Piece, most: usize, entries: &mut Vec<Entry>) {
    let phrase = piece.phrase.trim();
    let comment = piece.comment.trim();
    if piece.angles.is_empty() {
        // Words without an address are a name.
        let is_name = !phrase.contains('@') && phrase.contains(char::is_whitespace);
        let (name, address) = if is_name { (phrase, "") } else { (comment, phrase) };
        entries.push(mailbox(name, address));
    }
    // Of several in a row the first has the name: a long one is not told a thousand times.
    let mut name = if phrase.is_empty() { comment } else { phrase };
    for angle in piece.angles.iter().take(most.saturating_sub(entries.len())) {
        entries.push(mailbox(std::mem::take(&mut name), angle));
    }
}

fn mailbox(name: &str, address: &str) -> Entry {
    let address = address.trim();
    let address = match address.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => address,
    };
    let (local, host) = address.rsplit_once('@').unwrap_or((address, ""));
    let (local, host) = (unquoted(local.trim()), host.trim().to_owned());
    let or = |text: String, missing: &str| if text.is_empty() { missing.to_owned() } else { text };
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    Entry::Mailbox { name, local: or(local, NO_MAILBOX), host: or(host, NO_HOST) }
}

/// A local part after its quotes are off, as IMAP has it.
fn unquoted(local: &str) -> String {
    let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return local.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}
