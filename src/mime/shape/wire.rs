//! Strings as IMAP writes them (RFC 3501 §4.3, §9).

use crate::mime::header::Field;
use crate::mime::{charset, clean, encode, words};

/// How much of a text is told, in octets. Longer ones are noise, and clients keep what they are told.
pub(super) const LONGEST: usize = 16 * 1024;

/// `NIL`.
pub(super) fn nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"NIL");
}

/// A quoted string where one can hold it, else a literal. NUL stands in neither and is left out.
pub(super) fn string(out: &mut Vec<u8>, octets: &[u8]) {
    if !octets.iter().all(|b| matches!(b, 1..=0x7f) && !matches!(b, b'\r' | b'\n')) {
        let octets: Vec<u8> = octets.iter().copied().filter(|b| *b != 0).collect();
        out.extend_from_slice(format!("{{{}}}\r\n", octets.len()).as_bytes());
        out.extend_from_slice(&octets);
        return;
    }
    out.push(b'"');
    for b in octets {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

/// A text for people: as it stands, with the encoded words that are in it; or, if anything beyond
/// ASCII stands in it, all of it as encoded words (RFC 2047), which every client can read.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let text = clean::start(text, LONGEST);
    if text.is_ascii() {
        string(out, text.as_bytes());
    } else {
        string(out, encode::encoded_words(&words::decode(text)).join(" ").as_bytes());
    }
}

/// A number, decimal.
pub(super) fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A field's value in one line: each fold is one blank.
pub(super) fn value(field: &Field<'_>) -> String {
    let mut octets = Vec::with_capacity(field.value.len());
    for (at, line) in field.value.split(|b| *b == b'\n').enumerate() {
        let line = if at > 0 { line.trim_ascii() } else { line.trim_ascii_end() };
        if at > 0 && !line.is_empty() {
            octets.push(b' ');
        }
        octets.extend(line.iter().copied().filter(|b| !matches!(b, b'\r' | 0)));
    }
    charset::guess(octets.trim_ascii())
}
