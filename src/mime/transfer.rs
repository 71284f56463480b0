//! Content-transfer-encodings (RFC 2045 §6), read leniently: what is no part of the encoding is
//! skipped or kept as it stands, never a reason to give up.

use std::borrow::Cow;

/// How a part's octets are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary, or not said.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// Something else, uuencode for instance: read as it stands.
    Unknown,
}

impl Encoding {
    /// From the field's value.
    #[must_use]
    pub fn named(value: &str) -> Self {
        let word = value.split([';', '(']).next().unwrap_or_default().trim().trim_matches('"');
        match word.to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" | "7-bit" | "8-bit" => Self::Identity,
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            _ => Self::Unknown,
        }
    }

    #[must_use]
    pub fn decode(self, octets: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity | Self::Unknown => Cow::Borrowed(octets),
            Self::Base64 => Cow::Owned(base64(octets)),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(octets)),
        }
    }

    /// Octets after decoding, without the copy where it can be told.
    #[must_use]
    pub fn decoded_len(self, octets: &[u8]) -> usize {
        match self {
            Self::Identity | Self::Unknown => octets.len(),
            Self::Base64 => octets.iter().filter(|b| sextet(**b).is_some()).count() * 6 / 8,
            Self::QuotedPrintable => quoted_printable(octets).len(),
        }
    }
}

/// Base64 (RFC 2045 §6.8). Foreign characters are skipped, missing padding is no matter, and
/// padding inside only ends a group, so that joined pieces decode.
#[must_use]
pub fn base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for b in octets {
        if *b == b'=' {
            (bits, count) = (0, 0);
            continue;
        }
        let Some(six) = sextet(*b) else { continue };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
            bits &= (1 << count) - 1;
        }
    }
    out
}

fn sextet(b: u8) -> Option<u8> {
    match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Quoted-printable (RFC 2045 §6.7). An `=` that begins nothing known stays; blanks at the end of a
/// line are none of the text, those at the end of all are.
#[must_use]
pub fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|b| *b == b'\n') {
        let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        let (text, end) = line.split_at(line.len() - end);
        let text = if end.is_empty() { text } else { text.trim_ascii_end() };
        let (mut rest, soft) = text.strip_suffix(b"=").map_or((text, false), |text| (text, true));
        while let Some(at) = rest.iter().position(|b| *b == b'=') {
            out.extend_from_slice(&rest[..at]);
            let escaped = match rest[at + 1..] {
                [high, low, ..] => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
                _ => None,
            };
            out.push(escaped.unwrap_or(b'='));
            rest = &rest[at + if escaped.is_some() { 3 } else { 1 }..];
        }
        out.extend_from_slice(rest);
        if !soft {
            out.extend_from_slice(end);
        }
    }
    out
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_as_far_as_it_goes() {
        for (encoding, from, to) in [
            ("base64", "aGVs\r\nbG8=", "hello"),
            ("BASE64", "aGVsbG8", "hello"),
            ("base64", "aGVs!bG8=", "hello"),
            ("base64", "aGk=aGk=", "hihi"),
            ("quoted-printable", "a=3Db=\r\nc=e9", "a=bc\u{e9}"),
            ("quoted-printable", "a= \r\nb", "ab"),
            ("quoted-printable", "a \t\r\nb =\t\nc ", "a\r\nb c "),
            ("quoted-printable", "=zz = =4 x=+1", "=zz = =4 x=+1"),
            ("Quoted-Printable (RFC 2045); x=y", "a=3D", "a="),
            ("base64", "a-G!V s", "hel"),
            ("base64", "=", ""),
            ("quoted-printable", "1=2; x=", "1=2; x"),
            ("quoted-printable", "a=ZZ", "a=ZZ"),
            ("x-whatever", "a=3D", "a=3D"),
        ] {
            let encoding = Encoding::named(encoding);
            let out: String = encoding.decode(from.as_bytes()).iter().map(|b| char::from(*b)).collect();
            assert_eq!(out, to, "{from}");
        }
        assert_eq!(Encoding::Base64.decoded_len(b"aGVs\r\nbG8="), 5);
    }
}
