//! Encoded words in header fields (RFC 2047), also as broken software writes them: split inside a
//! character, with blanks in them, in quoted strings, unpadded, one glued to the next.

use super::{charset, transfer};

/// The longest encoded word that is looked for. The RFC says 75; real ones are longer.
const LONGEST: usize = 4096;

/// Decodes every encoded word in a text; what is none stays.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Octets of adjacent words in one charset, since a character may be split between two.
    let mut held: Option<(String, Vec<u8>)> = None;
    while let Some(start) = rest.find("=?") {
        let (between, word) = rest.split_at(start);
        if let Some((label, octets, length)) = read_word(word) {
            if !(held.is_some() && between.chars().all(char::is_whitespace)) {
                flush(&mut held, &mut out);
                out.push_str(between);
            }
            match &mut held {
                Some((same, bytes)) if *same == label => bytes.extend_from_slice(&octets),
                _ => {
                    flush(&mut held, &mut out);
                    held = Some((label, octets));
                }
            }
            rest = &word[length..];
        } else {
            flush(&mut held, &mut out);
            out.push_str(between);
            out.push_str("=?");
            rest = &word[2..];
        }
    }
    flush(&mut held, &mut out);
    out.push_str(rest);
    out
}

fn flush(held: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((label, octets)) = held.take() {
        out.push_str(&charset::decode(Some(&label), &octets).0);
    }
}

/// The word at the start of `text`: its charset, its octets, its length.
fn read_word(text: &str) -> Option<(String, Vec<u8>, usize)> {
    let text = super::clean::start(text, LONGEST);
    let inner = text.strip_prefix("=?")?;
    let (label, rest) =
        super::clean::start(inner, 80).split_once('?').map(|(label, _)| (label, &inner[label.len() + 1..]))?;
    let (encoding, rest) = rest.split_at_checked(1)?;
    let rest = rest.strip_prefix('?')?;
    let end = rest.find("?=")?;
    let body = &rest.as_bytes()[..end];
    let octets = match encoding {
        "B" | "b" => transfer::base64(body),
        "Q" | "q" => {
            let body: Vec<u8> = body.iter().map(|b| if *b == b'_' { b' ' } else { *b }).collect();
            transfer::quoted_printable(&body)
        }
        _ => return None,
    };
    // RFC 2231 §5: a language may follow the charset.
    let label = label.split('*').next().unwrap_or_default();
    let plausible = !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    let length = text.len() - rest.len() + end + 2;
    plausible.then(|| (label.to_ascii_lowercase(), octets, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_right_and_broken() {
        for (from, to) in [
            ("plain", "plain"),
            ("=?utf-8?Q?caf=C3=A9_noir?=", "café noir"),
            ("=?UTF-8?B?w6k=?=", "é"),
            ("=?UTF-8?B?w6k?=", "é"),
            ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
            ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
            ("=?utf-8?Q?=C3?=\t=?utf-8?Q?=A9?=", "é"),
            ("=?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?=", "éé"),
            ("=?iso-8859-1*fr?Q?=E9t=E9?=", "été"),
            ("=?utf-8?Q?with blanks inside?=", "with blanks inside"),
            ("=?utf-8?q?glued?==?utf-8?q?_words?=", "glued words"),
            ("Re:=?utf-8?q?x?=", "Re:x"),
            ("=?utf-8?Q?never ended", "=?utf-8?Q?never ended"),
            ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
            ("a =? b ?= c", "a =? b ?= c"),
            ("=?x-unknown?q?caf=E9?=", "café"),
        ] {
            assert_eq!(decode(from), to, "{from}");
        }
    }

    #[test]
    fn a_thousand_beginnings_are_read_in_a_moment() {
        let text = "=?utf-8?q?x ".repeat(10_000);
        assert!(decode(&text) == text);
    }
}
