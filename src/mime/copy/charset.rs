//! What a copy makes of a text's charset: it must be read to be written to, and stays as it is where
//! nobody knows it.

use std::borrow::Cow;

use crate::mime::charset::{Decoder, decoder, guess, run};

/// What a charset means to someone who wants to change its text.
#[derive(Clone, Copy)]
pub enum Charset {
    Utf8,
    /// None was named, or ASCII; what stands beyond it is a guess.
    Unnamed,
    /// It can be read.
    Known(Decoder),
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
            Some(name) => decoder(name).map_or(Self::Unknown, Self::Known),
        }
    }

    /// The text in UTF-8; `None` where the charset is unknown. Damage in text that says it is
    /// UTF-8 stays as it is.
    #[must_use]
    pub fn to_utf8(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Utf8 => Some(Cow::Borrowed(bytes)),
            Self::Unnamed if std::str::from_utf8(bytes).is_ok() => Some(Cow::Borrowed(bytes)),
            Self::Unnamed => Some(Cow::Owned(guess(bytes).into_bytes())),
            Self::Known(decoder) => Some(Cow::Owned(run(decoder, bytes)?.into_bytes())),
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
    fn charsets() {
        let utf8 = |charset: Option<&str>, bytes: &[u8]| {
            Charset::of(charset).to_utf8(bytes).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        for (charset, bytes, text) in [
            (None, b"\xe9\x80".as_slice(), Some("é€")),
            (None, "é".as_bytes(), Some("é")),
            (None, b"\xc3\xa9\xc3\xa8 \xff", Some("éè \u{fffd}")),
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
