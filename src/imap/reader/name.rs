//! Mailbox names on the wire: modified UTF-7 (RFC 3501 §5.1.3), or UTF-8 (RFC 6855 §3).

use std::borrow::Cow;

use data_encoding::BASE64_NOPAD;

use super::cursor::is_atom;
use crate::imap::command::Name;

/// A mailbox's name as an answer has it: an atom where it is one, else a quoted string, in modified
/// UTF-7 until the client has asked for UTF-8.
#[must_use]
pub fn encode_name(name: &Name, utf8: bool) -> String {
    // No name that came from a client has a control character, and no quoted string may.
    let text = if utf8 { name.0.replace(char::is_control, "\u{fffd}") } else { encode(&name.0) };
    if !text.is_empty() && text.bytes().all(is_atom) && !text.eq_ignore_ascii_case("NIL") {
        return text;
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A keyword as an answer has it. Tags may be in any script, and an atom has ASCII alone: so in modified
/// UTF-7, as Thunderbird has its own.
#[must_use]
pub fn encode_keyword(keyword: &str) -> Cow<'_, str> {
    if keyword.is_ascii() { Cow::Borrowed(keyword) } else { Cow::Owned(encode(keyword)) }
}

/// What an atom means as a keyword.
pub(super) fn decode_keyword(atom: &str) -> String {
    decode(atom).filter(|meant| !meant.is_ascii()).unwrap_or_else(|| atom.to_owned())
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = rest.find(is_plain).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        if run.is_empty() {
            out.push_str(if c == '&' { "&-" } else { &rest[..1] });
            rest = &rest[1..];
            continue;
        }
        let octets: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
        out.push('&');
        out.push_str(&BASE64_NOPAD.encode(&octets).replace('/', ","));
        out.push('-');
        rest = behind;
    }
    out
}

/// `None` for what is not modified UTF-7. What it must not encode, printable ASCII, is not: no two
/// names of a client's are one, and no wildcard hides.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, shifted)) = rest.split_once('&') {
        out.push_str(before);
        let (run, behind) = shifted.split_once('-')?;
        if run.is_empty() {
            out.push('&');
        } else {
            decode_run(run, &mut out)?;
        }
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

fn decode_run(run: &str, out: &mut String) -> Option<()> {
    if run.contains('/') {
        return None;
    }
    let octets = BASE64_NOPAD.decode(run.replace(',', "/").as_bytes()).ok()?;
    let (units, odd) = octets.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    for c in char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))) {
        out.push(c.ok().filter(|c| !is_plain(*c))?);
    }
    Some(())
}

fn is_plain(c: char) -> bool {
    (' '..='~').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("acme/Open", "acme/Open"),
            ("", "\"\""),
            ("NIL", "\"NIL\""),
            ("acme/Members/Bob Smith", "\"acme/Members/Bob Smith\""),
            ("R&D", "R&-D"),
            ("&", "&-"),
            ("&&é", "&-&-&AOk-"),
            ("-é-", "-&AOk--"),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("100%", "\"100%\""),
            ("a]", "\"a]\""),
            ("Département", "D&AOk-partement"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("😀", "&2D3eAA-"),
            ("\t", "&AAk-"),
        ] {
            assert_eq!(encode_name(&Name(name.to_owned()), false), wire);
            let inside = wire.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
            assert_eq!(decode(&inside).as_deref(), Some(name), "{wire}");
        }
    }

    #[test]
    fn keywords_are_atoms_in_any_script() {
        for (keyword, wire) in [("refund", "refund"), ("R&D", "R&D"), ("R&-D", "R&-D"), ("größe&", "gr&APYA3w-e&-")] {
            assert_eq!(encode_keyword(keyword), wire);
            assert_eq!(decode_keyword(wire), keyword);
        }
    }

    #[test]
    fn names_in_utf8_are_as_they_are() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("R&D", "R&D"),
            ("é", "\"é\""),
            ("é\"", "\"é\\\"\""),
            ("a\r\n", "\"a\u{fffd}\u{fffd}\""),
        ] {
            assert_eq!(encode_name(&Name(name.to_owned()), true), wire);
        }
    }

    #[test]
    fn what_is_not_modified_utf7_is_no_name() {
        for wire in [
            "R&D", "&", "a&AOk", "&AOk=-", "&A-", "&AOk/-", "&AE-", "&AEE-", "&ACo-", "&2D0-", "&3gA-", "&AOl-",
            "&AO k-",
        ] {
            assert_eq!(decode(wire), None, "{wire}");
        }
        // Two runs side by side could have been one; nothing is lost by that.
        assert_eq!(decode("&U,A-&Uxc-").as_deref(), Some("台北"));
    }
}
