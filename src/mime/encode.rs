//! Writing header fields (RFC 5322 §2.2, RFC 2047, RFC 2231) and encoded bodies (RFC 2045 §6).
//!
//! Nothing handed in can break out of its field: line ends and other controls become blanks, and
//! what is not plain ASCII becomes encoded words. Lines are folded at 78 octets where a blank
//! allows it and never reach 998. Reading is not done here.

use data_encoding::{BASE64, HEXUPPER};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::desk::address::Mailbox;
use crate::desk::message_id::MessageId;

/// Octets a line should not exceed (RFC 5322 §2.1.1).
const FOLD: usize = 78;
/// Octets a line must not exceed, without its end (RFC 5322 §2.1.1).
pub const LONGEST_LINE: usize = 998;
/// A longer word is encoded, since it could not be folded.
const LONGEST_WORD: usize = 60;
/// Octets of an encoded word, so that it fits behind the name of a field (75 by RFC 2047 §2).
const LONGEST_ENCODED: usize = 62;

/// A header field that is being written token by token and folded between them.
pub struct Field<'a> {
    out: &'a mut Vec<u8>,
    column: usize,
    fresh: bool,
}

impl<'a> Field<'a> {
    /// Starts a field; `name` is one of ours.
    pub fn new(out: &'a mut Vec<u8>, name: &str) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        Self { out, column: name.len() + 1, fresh: true }
    }

    /// A blank, or a fold where the line would get too long, and the token. The token is one of
    /// ours or was made safe.
    pub fn token(&mut self, token: &str) {
        if !self.fresh && self.column + 1 + token.len() > FOLD {
            self.out.extend_from_slice(b"\r\n ");
            self.column = 1;
        } else {
            self.out.push(b' ');
            self.column += 1;
        }
        self.fresh = false;
        self.glue(token);
    }

    /// The token directly behind what stands there.
    fn glue(&mut self, token: &str) {
        self.out.extend_from_slice(token.as_bytes());
        self.column += token.len();
    }

    /// `; name=value`, as a token, a quoted string, or by RFC 2231.
    pub fn parameter(&mut self, name: &str, value: &str) {
        self.glue(";");
        let value = flatten(value);
        // Many readers take encoded words in a parameter for what they say.
        if !value.is_ascii() || value.contains("=?") || value.len() + name.len() > FOLD - 6 {
            return self.extended_parameter(name, &value);
        }
        if !value.is_empty() && value.bytes().all(is_token) {
            self.token(&format!("{name}={value}"));
        } else {
            self.token(&format!("{name}={}", quoted(&value)));
        }
    }

    /// RFC 2231 §3 and §4: percent-encoded UTF-8, in numbered pieces where it is long. No
    /// character is split: some readers decode piece by piece.
    fn extended_parameter(&mut self, name: &str, value: &str) {
        let mut pieces = vec![String::from("utf-8''")];
        for c in value.chars() {
            let mut piece = String::new();
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                    piece.push(char::from(byte));
                } else {
                    piece.extend(["%", &HEXUPPER.encode(&[byte])]);
                }
            }
            match pieces.last_mut() {
                Some(last) if last.len() + piece.len() <= LONGEST_WORD => last.push_str(&piece),
                _ => pieces.push(piece),
            }
        }
        if let [piece] = pieces.as_slice() {
            return self.token(&format!("{name}*={piece}"));
        }
        for (number, piece) in pieces.iter().enumerate() {
            if number > 0 {
                self.glue(";");
            }
            self.token(&format!("{name}*{number}*={piece}"));
        }
    }

    /// Ends the field.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A field of free text (RFC 5322 §3.6.5).
pub fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    let value = flatten(value);
    let mut field = Field::new(out, name);
    if is_plain(&value) {
        value.split(' ').filter(|word| !word.is_empty()).for_each(|word| field.token(word));
    } else {
        for word in encoded_words(&value) {
            field.token(&word);
        }
    }
    field.end();
}

/// A field of mailboxes (RFC 5322 §3.4). An address beyond ASCII stands in UTF-8 (RFC 6532).
pub fn mailboxes(out: &mut Vec<u8>, name: &str, list: &[Mailbox]) {
    let mut field = Field::new(out, name);
    for (at, mailbox) in list.iter().enumerate() {
        if at > 0 {
            field.glue(",");
        }
        let display = flatten(&mailbox.name);
        let display = display.trim();
        if display.is_empty() {
            field.token(mailbox.address.as_str());
            continue;
        }
        if !is_plain(display) {
            for word in encoded_words(display) {
                field.token(&word);
            }
        } else if display.bytes().all(|b| is_atext(b) || b == b' ') {
            display.split(' ').for_each(|word| field.token(word));
        } else {
            quoted(display).split(' ').for_each(|word| field.token(word));
        }
        field.token(&format!("<{}>", mailbox.address));
    }
    field.end();
}

/// A field of message identifiers (RFC 5322 §3.6.4).
pub fn ids<'i>(out: &mut Vec<u8>, name: &str, list: impl IntoIterator<Item = &'i MessageId>) {
    let mut field = Field::new(out, name);
    list.into_iter().for_each(|id| field.token(&id.to_string()));
    field.end();
}

/// The Date field, in UTC (RFC 5322 §3.3).
pub fn date(out: &mut Vec<u8>, at: Timestamp) {
    let mut field = Field::new(out, "Date");
    field.token(&at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string());
    field.end();
}

/// Whether a text can stand in a field as it is: words of ASCII that fold, and nothing that reads
/// as an encoded word.
fn is_plain(value: &str) -> bool {
    value.is_ascii()
        && !value.contains("=?")
        && !value.contains("  ")
        && value.split(' ').all(|word| word.len() <= LONGEST_WORD)
}

/// Line ends and other controls as blanks, a run of them as one. They have no meaning in a field.
fn flatten(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut control = false;
    for c in value.chars() {
        if !c.is_control() {
            out.push(c);
        } else if !control {
            out.push(' ');
        }
        control = c.is_control();
    }
    out
}

/// A quoted string (RFC 5322 §3.2.4).
fn quoted(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// The text as encoded words (RFC 2047), Q or B, whichever is shorter; no character is split.
#[must_use]
pub fn encoded_words(value: &str) -> Vec<String> {
    let q_safe = |b: u8| b.is_ascii_alphanumeric() || b"!*+-/ ".contains(&b);
    let q_size = |text: &str| text.bytes().map(|b| if q_safe(b) { 1 } else { 3 }).sum::<usize>();
    let q = q_size(value) <= value.len().div_ceil(3) * 4;
    let room = LONGEST_ENCODED - "=?utf-8?q??=".len();
    let size = |text: &str| if q { q_size(text) } else { text.len().div_ceil(3) * 4 };
    let mut words = Vec::new();
    let mut piece = String::new();
    let mut used = 0; // octets that `piece` takes when it is encoded as Q, or of itself
    for c in value.chars() {
        let mut buffer = [0; 4];
        let c = c.encode_utf8(&mut buffer);
        let next = if q { used + size(c) } else { size(&piece).max((piece.len() + c.len()).div_ceil(3) * 4) };
        if next > room && !piece.is_empty() {
            words.push(encoded_word(&piece, q, q_safe));
            piece.clear();
            used = 0;
        }
        used += size(c);
        piece.push_str(c);
    }
    if !piece.is_empty() {
        words.push(encoded_word(&piece, q, q_safe));
    }
    words
}

fn encoded_word(piece: &str, q: bool, safe: impl Fn(u8) -> bool) -> String {
    if !q {
        return format!("=?utf-8?b?{}?=", BASE64.encode(piece.as_bytes()));
    }
    let mut out = String::from("=?utf-8?q?");
    for byte in piece.bytes() {
        match byte {
            b' ' => out.push('_'),
            b if safe(b) => out.push(char::from(b)),
            b => out.extend(["=", &HEXUPPER.encode(&[b])]),
        }
    }
    out.push_str("?=");
    out
}

/// Whether an octet may stand in a MIME token (RFC 2045 §5.1).
#[must_use]
pub fn is_token(b: u8) -> bool {
    b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b)
}

/// Whether a text is a type and a subtype (RFC 2045 §5.1) of the length that they may have (RFC 6838 §4.2).
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let word = |word: &str| (1..=127).contains(&word.len()) && word.bytes().all(is_token);
    text.split_once('/').is_some_and(|(kind, subtype)| word(kind) && word(subtype))
}

fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// Text with CRLF line ends as quoted-printable (RFC 2045 §6.7), in lines of 76 octets. Lines that
/// old mail software tampers with (`From `, a lone dot) are encoded as well.
pub fn quoted_printable(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut lines = text.split(|b| *b == b'\n').peekable();
    while let Some(line) = lines.next() {
        let ended = lines.peek().is_some();
        let line = if ended { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let mut column = 0;
        for (at, byte) in line.iter().copied().enumerate() {
            let last = at + 1 == line.len();
            let tampered = at == 0 && (line.starts_with(b"From ") || line == b".");
            let plain = match byte {
                b' ' | b'\t' => !last,
                b => b.is_ascii_graphic() && b != b'=' && !tampered,
            };
            let size = if plain { 1 } else { 3 };
            // 75 octets and the `=` of a soft line break; the last of a line needs none.
            if column + size > if last { 76 } else { 75 } {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                out.push(byte);
            } else {
                out.extend_from_slice(&[b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            column += size;
        }
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Octets as base64 (RFC 2045 §6.8), in lines of 76, each ended.
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() / 57 * 78 + 80);
    for line in bytes.chunks(57) {
        out.extend_from_slice(BASE64.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with("\r\n") && !out.replace("\r\n", "").contains(['\r', '\n']), "{out:?}");
        assert!(out.lines().all(|line| line.len() <= FOLD && !line.trim().is_empty()), "{out}");
        out
    }

    #[test]
    fn types_that_can_be_one() {
        let slides = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
        for (text, is) in [
            ("text/plain", true),
            (slides, true),
            ("text", false),
            ("text/", false),
            ("/plain", false),
            ("text/pla in", false),
            ("text/plain\r\nX: y", false),
        ] {
            assert_eq!(is_media_type(text), is, "{text}");
        }
        assert!(!is_media_type(&format!("text/{}", "x".repeat(128))));
    }

    #[test]
    fn subjects_come_back_as_they_were() {
        let long = "word ".repeat(300);
        for subject in [
            "Hello",
            "Ré: où est ma commande n° 42 ?",
            "=?utf-8?q?no?=",
            "two  blanks",
            "日本語の件名がとても長い場合にも途中で切れないことを確かめるための件名です",
            "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
            &"x".repeat(3000),
            long.trim(),
        ] {
            let out = written(|out| text(out, "Subject", subject));
            let parsed = MessageParser::new().parse(out.as_bytes()).unwrap();
            assert_eq!(parsed.subject(), Some(subject), "{out}");
            assert!(out.is_ascii(), "{out}");
        }
        assert_eq!(written(|out| text(out, "Subject", "a\r\nBcc: x@y.example\0")), "Subject: a Bcc: x@y.example\r\n");
        assert_eq!(written(|out| text(out, "Subject", "")), "Subject:\r\n");
    }

    #[test]
    fn names_can_not_break_out() {
        for (name, field) in [
            ("", "To: a@b.example\r\n"),
            ("Jane Doe", "To: Jane Doe <a@b.example>\r\n"),
            ("Doe, Jane", "To: \"Doe, Jane\" <a@b.example>\r\n"),
            ("J \"x\" \\", "To: \"J \\\"x\\\" \\\\\" <a@b.example>\r\n"),
            ("Zoé", "To: =?utf-8?q?Zo=C3=A9?= <a@b.example>\r\n"),
            ("a\r\nBcc: b", "To: \"a Bcc: b\" <a@b.example>\r\n"),
        ] {
            let list = [Mailbox::new(name, "a@b.example".parse().unwrap())];
            assert_eq!(written(|out| mailboxes(out, "To", &list)), field);
        }
        let list =
            [Mailbox::new("", "a@b.example".parse().unwrap()), Mailbox::new("C D", "c@d.example".parse().unwrap())];
        assert_eq!(written(|out| mailboxes(out, "To", &list)), "To: a@b.example, C D <c@d.example>\r\n");
    }

    #[test]
    fn file_names_come_back_as_they_were() {
        for name in ["a.pdf", "two words.pdf", "q\"uote\\.pdf", "été.pdf", &"long ".repeat(60), "日本語.txt", ""] {
            let out = written(|out| {
                let mut field = Field::new(out, "Content-Disposition");
                field.token("attachment");
                field.parameter("filename", name);
                field.end();
            });
            let mail = format!("Content-Type: application/pdf\r\n{out}\r\nx");
            let parsed = MessageParser::new().parse(mail.as_bytes()).unwrap();
            let found = parsed.attachment(0).and_then(mail_parser::MimeHeaders::attachment_name).unwrap_or_default();
            assert_eq!(found, name, "{out}");
        }
    }

    #[test]
    fn bodies_come_back_as_they_were() {
        use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
        let texts: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"x".to_vec(),
            b"a = b \r\n\r\n.\r\nFrom me\t\r\n--x\r\nend".to_vec(),
            "é".repeat(500).into_bytes(),
            [b"x".repeat(75), b"\r\n".to_vec(), b"y".repeat(76), b"\r\n".to_vec(), b"z".repeat(77)].concat(),
            (0..=255).collect(),
        ];
        for text in texts {
            let mut out = Vec::new();
            quoted_printable(&mut out, &text);
            assert!(out.split(|b| *b == b'\n').all(|line| line.len() <= 77), "{}", out.escape_ascii());
            // A bare line feed is written as a line end.
            let expected = text.escape_ascii().to_string().replace("\\r\\n", "\\n");
            let found = quoted_printable_decode(&out).unwrap().escape_ascii().to_string().replace("\\r\\n", "\\n");
            assert_eq!(found, expected);
            let mut out = Vec::new();
            base64(&mut out, &text);
            assert_eq!(base64_decode(&out).unwrap_or_default(), text);
        }
    }

    #[test]
    fn dates_are_in_utc() {
        let at: Timestamp = "2026-02-03T04:05:06.789+02:00".parse().unwrap();
        assert_eq!(written(|out| date(out, at)), "Date: Tue, 03 Feb 2026 02:05:06 +0000\r\n");
    }
}
