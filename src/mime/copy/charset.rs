//! Reading encoded bodies (RFC 2045 §6), as leniently as mail clients do: damage stays local and
//! nothing is refused.

use std::borrow::Cow;
use std::panic::catch_unwind;

use mail_parser::decoders::charsets::map::charset_decoder;

use crate::mime::tree::Encoding;

/// The octets of a body.
#[must_use]
pub fn decode(body: &[u8], encoding: Encoding) -> Cow<'_, [u8]> {
    match encoding {
        Encoding::Identity | Encoding::Unknown => Cow::Borrowed(body),
        Encoding::QuotedPrintable => Cow::Owned(quoted_printable(body)),
        Encoding::Base64 => Cow::Owned(base64(body)),
    }
}

/// What is no digit of base64 is skipped; padding ends a piece, and another may follow.
fn base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in body {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("masked to eight bits"));
        }
    }
    out
}

/// A `=` that escapes nothing stands for itself; blanks at the end of a line are none of the text.
fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut lines = body.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let mut rest = line.trim_ascii_end();
        let soft = rest.last() == Some(&b'=');
        if soft {
            rest = &rest[..rest.len() - 1];
        }
        while let Some(at) = rest.iter().position(|byte| *byte == b'=') {
            out.extend_from_slice(&rest[..at]);
            let escaped = rest.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
            let byte = escaped.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            out.push(byte.unwrap_or(b'='));
            rest = &rest[at + if byte.is_some() { 3 } else { 1 }..];
        }
        out.extend_from_slice(rest);
        if !soft && lines.peek().is_some() {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// What a charset means to someone who wants to change its text.
#[derive(Clone, Copy)]
pub enum Charset {
    Utf8,
    /// None was named, or ASCII; what stands beyond it is a guess.
    Unnamed,
    /// It can be read.
    Known(fn(&[u8]) -> String),
    /// Nobody here knows it.
    Unknown,
}

impl Charset {
    /// The meaning of a charset parameter (in lower case).
    #[must_use]
    pub fn of(name: Option<&str>) -> Self {
        match name {
            None | Some("us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us") => Self::Unnamed,
            Some("utf-8" | "utf8" | "unicode-1-1-utf-8") => Self::Utf8,
            Some(name) => charset_decoder(name.as_bytes()).map_or(Self::Unknown, Self::Known),
        }
    }

    /// The text in UTF-8; `None` where the charset is unknown. Damage in text that says it is
    /// UTF-8 stays as it is.
    #[must_use]
    pub fn to_utf8(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Utf8 => Some(Cow::Borrowed(bytes)),
            Self::Unnamed if std::str::from_utf8(bytes).is_ok() => Some(Cow::Borrowed(bytes)),
            Self::Unnamed => Some(Cow::Owned(charset_decoder(b"windows-1252")?(bytes).into_bytes())),
            // Not our code: a fault in it must cost no more than this text's line on top.
            Self::Known(decoder) => Some(Cow::Owned(catch_unwind(|| decoder(bytes)).ok()?.into_bytes())),
            Self::Unknown => None,
        }
    }
}

/// Whether ASCII octets of a charset mean ASCII, so that ASCII can be found in its text and put
/// at its start.
#[must_use]
pub fn holds_ascii(charset: Option<&str>) -> bool {
    charset.is_none_or(|charset| {
        ![
            "utf-16",
            "utf16",
            "utf-32",
            "utf32",
            "utf-7",
            "utf7",
            "ucs-",
            "iso-10646",
            "unicode-1-1-utf-7",
            "ebcdic",
            "ibm037",
            "cp037",
        ]
        .iter()
        .any(|wide| charset.starts_with(wide))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_stays_local() {
        for (body, text) in [
            ("a=3Db=\r\nc =\t\r\nd \t\r\ne=", "a=bcd\r\ne".replace("bcd", "bc d")),
            ("=zz = =4 =E9 x=+1", "=zz = =4 \u{e9} x=+1".to_owned()),
            ("", String::new()),
        ] {
            let decoded = decode(body.as_bytes(), Encoding::QuotedPrintable);
            assert_eq!(decoded.iter().map(|b| char::from(*b)).collect::<String>(), text, "{body}");
        }
        for (body, text) in [
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8", "hello"),
            ("aGVsbG8=aGVsbG8=", "hellohello"),
            ("a-G!V s", "hel"),
            ("=", ""),
        ] {
            assert_eq!(&*decode(body.as_bytes(), Encoding::Base64), text.as_bytes(), "{body}");
        }
    }

    #[test]
    fn charsets() {
        let utf8 = |charset: Option<&str>, bytes: &[u8]| {
            Charset::of(charset).to_utf8(bytes).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        for (charset, bytes, text) in [
            (None, b"\xe9\x80".as_slice(), Some("é€")),
            (None, "é".as_bytes(), Some("é")),
            (Some("iso-8859-1"), b"\xe9", Some("é")),
            (Some("utf-16le"), b"h\0i\0", Some("hi")),
            (Some("shift_jis"), b"\x93\xfa", Some("日")),
            (Some("x-nobody"), b"\xe9", None),
        ] {
            assert_eq!(utf8(charset, bytes).as_deref(), text, "{charset:?}");
        }
        assert!(holds_ascii(None) && holds_ascii(Some("shift_jis")) && !holds_ascii(Some("utf-16be")));
    }
}
