//! Octets to text. No charset, and no lie about one, loses a message: what cannot be decoded is
//! guessed at, and the guess is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::decoders::charsets::map::charset_decoder;

/// What was found out about the octets while decoding them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// As the label said.
    AsLabelled,
    /// The label names no known charset.
    Unknown,
    /// The octets are not what the label says.
    Lie,
}

/// Decodes octets under a label; without a label by [`guess`].
#[must_use]
pub fn decode(label: Option<&str>, octets: &[u8]) -> (String, Decoded) {
    let label = label.map(|label| label.trim().to_ascii_lowercase()).unwrap_or_default();
    match label.as_str() {
        "" => (guess(octets), Decoded::AsLabelled),
        "utf-8" | "utf8" | "unicode-1-1-utf-8" => match str::from_utf8(octets) {
            Ok(text) => (text.to_owned(), Decoded::AsLabelled),
            Err(_) => (guess(octets), Decoded::Lie),
        },
        "us-ascii" | "ascii" => {
            let honest = if octets.is_ascii() { Decoded::AsLabelled } else { Decoded::Lie };
            (guess(octets), honest)
        }
        // Clients that write UTF-8 and say Latin-1 are many; real Latin-1 that is also valid UTF-8
        // beyond ASCII is not.
        "iso-8859-1" | "latin1" | "iso8859-1" | "iso-8859-15" | "windows-1252" | "cp1252" | "cp-1252" => {
            match str::from_utf8(octets) {
                Ok(text) if !text.is_ascii() => (text.to_owned(), Decoded::Lie),
                _ => (by_table(&label, octets).unwrap_or_else(|| guess(octets)), Decoded::AsLabelled),
            }
        }
        _ => match by_table(&label, octets) {
            Some(text) => (text, Decoded::AsLabelled),
            None => (guess(octets), Decoded::Unknown),
        },
    }
}

/// UTF-8 where it is that or nearly so, else Windows-1252, as most unlabelled 8-bit text is.
#[must_use]
pub fn guess(octets: &[u8]) -> String {
    if let Ok(text) = str::from_utf8(octets) {
        return text.to_owned();
    }
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in octets.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    if good > bad {
        String::from_utf8_lossy(octets).into_owned()
    } else {
        by_table("windows-1252", octets).unwrap_or_else(|| String::from_utf8_lossy(octets).into_owned())
    }
}

/// Octets to text, by another's code.
pub type Decoder = fn(&[u8]) -> String;

/// What decodes a charset, by its name in lower case, also by names that are only met.
#[must_use]
pub fn decoder(label: &str) -> Option<Decoder> {
    let label = match label {
        "gb2312" | "gbk" | "x-gbk" | "gb_2312-80" => "gb18030",
        "ks_c_5601-1987" | "ks_c_5601" => "euc-kr",
        "x-sjis" | "cp932" | "windows-31j" => "shift_jis",
        "ansi_x3.4-1968" | "x-ansi" => "windows-1252",
        other => other,
    };
    charset_decoder(label.as_bytes())
}

/// Decodes; a panic in code that is not ours is a charset that we don't know.
#[must_use]
pub fn run(decoder: Decoder, octets: &[u8]) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| decoder(octets))).ok()
}

fn by_table(label: &str, octets: &[u8]) -> Option<String> {
    run(decoder(label)?, octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lies_and_guesses() {
        for (label, octets, text, found) in [
            (Some("utf-8"), "é".as_bytes(), "é", Decoded::AsLabelled),
            (Some("utf-8"), b"caf\xe9".as_slice(), "café", Decoded::Lie),
            (Some("utf-8"), b"\xc3\xa9\xc3\xa8 \xff".as_slice(), "éè \u{fffd}", Decoded::Lie),
            (Some("iso-8859-1"), b"caf\xe9", "café", Decoded::AsLabelled),
            (Some("iso-8859-1"), "café".as_bytes(), "café", Decoded::Lie),
            (Some("us-ascii"), b"caf\xe9", "café", Decoded::Lie),
            (Some("x-klingon"), b"caf\xe9", "café", Decoded::Unknown),
            (None, b"caf\xe9", "café", Decoded::AsLabelled),
            (Some("koi8-r"), b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет", Decoded::AsLabelled),
            (Some("gb2312"), b"\xc4\xe3\xba\xc3", "你好", Decoded::AsLabelled),
            (Some("iso-2022-jp"), b"\x1b$B$3$s$K$A$O\x1b(B", "こんにちは", Decoded::AsLabelled),
            (Some("Windows-1252"), b"\x80", "€", Decoded::AsLabelled),
        ] {
            assert_eq!(decode(label, octets), (text.to_owned(), found), "{label:?} {octets:?}");
        }
    }
}
