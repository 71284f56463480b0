//! Whether a text is in a message (RFC 3501 §6.4.4: BODY, TEXT, HEADER), without regard to case.

use memchr::{memchr2, memmem};

use super::fields::decoded_field;
use super::outline::{Kind, Outline};
use crate::mime::header::Header;
use crate::mime::parts::Part;
use crate::mime::understand::Limits;
use crate::mime::{html_text, text};

/// Octets of decoded text of one message that are searched. What lies beyond is not found.
const MOST_TEXT: usize = 8 * 1024 * 1024;

/// A text that is looked for, made ready once for many texts to look in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    /// Case folded.
    text: String,
    ascii: bool,
}

impl Needle {
    /// Octets. A longer one is looked for by a slower start, so that the cost stays linear in the text.
    const SHORT: usize = 64;

    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = fold(text);
        Self { ascii: text.is_ascii(), text }
    }

    /// Nothing is looked for: it is in every text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it is in a text. Costs no allocation where both are ASCII.
    #[must_use]
    pub fn is_in(&self, hay: &str) -> bool {
        if self.ascii && self.text.len() <= Self::SHORT {
            // No octet of another character is an ASCII one. A few other characters fold to ASCII.
            return self.is_in_ascii(hay.as_bytes()) || !hay.is_ascii() && self.is_in_folded(hay);
        }
        self.is_in_folded(hay)
    }

    fn is_in_folded(&self, hay: &str) -> bool {
        memmem::find(fold(hay).as_bytes(), self.text.as_bytes()).is_some()
    }

    fn is_in_ascii(&self, mut hay: &[u8]) -> bool {
        let needle = self.text.as_bytes();
        let Some(first) = needle.first() else { return true };
        while let Some(at) = memchr2(*first, first.to_ascii_uppercase(), hay) {
            let Some(found) = hay.get(at..at + needle.len()) else { return false };
            if found.eq_ignore_ascii_case(needle) {
                return true;
            }
            hay = &hay[at + 1..];
        }
        false
    }

    /// Whether it is in a text of several lines, with a line end in place of a blank as well.
    fn is_in_lines(&self, hay: &str) -> bool {
        self.is_in(hay) || self.text.contains(' ') && self.is_in(&hay.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Whether a text has another in it, without regard to case. For many, make a [`Needle`].
#[must_use]
pub fn matches(hay: &str, needle: &str) -> bool {
    Needle::new(needle).is_in(hay)
}

/// Case folding by lower case; the sigma at the end of a word is a sigma.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            'ς' => out.push('σ'),
            c if c.is_ascii() => out.push(c.to_ascii_lowercase()),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Whether a message's text has the needle in it: BODY, or with its header TEXT.
///
/// Text parts are searched as they are shown, decoded, HTML without its tags; so are the names of
/// attachments, and messages within the message with their headers. Of decoded text, 8 MiB are searched.
#[must_use]
pub fn text_contains(message: &[u8], needle: &Needle, headers_too: bool) -> bool {
    if needle.is_empty() {
        return true;
    }
    let outline = Outline::read(message);
    if headers_too && is_in_header(needle, &outline.root().header) {
        return true;
    }
    let mut left = MOST_TEXT;
    outline.parts().iter().enumerate().any(|(at, part)| {
        let names = [part.disposition.get("filename"), part.content_type.get("name")];
        names.into_iter().flatten().any(|name| needle.is_in(name))
            || match outline.kind(at) {
                Kind::Text | Kind::Lost => is_in_text(needle, part, &mut left),
                Kind::Message(root) => is_in_header(needle, &outline.part(root).header),
                Kind::Multipart(_) | Kind::File | Kind::Opaque => false,
            }
    })
}

fn is_in_text(needle: &Needle, part: &Part<'_>, left: &mut usize) -> bool {
    let problems = &mut Vec::new();
    let is_flowed = part.content_type.get("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
    let lines = if part.is("text/html") {
        html_text::lines(&text::decode(part, left, problems))
    } else if is_flowed {
        text::plain_lines(part, left, problems)
    } else {
        return needle.is_in_lines(&text::decode(part, left, problems));
    };
    let lines: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    needle.is_in_lines(&lines.join("\n"))
}

fn is_in_header(needle: &Needle, header: &Header<'_>) -> bool {
    header.fields.iter().any(|field| needle.is_in(&format!("{}: {}", field.name, decoded_field(field))))
}

/// Whether a field of a name has the needle in its decoded value (HEADER); an empty one asks whether there
/// is such a field. `header` is a message's, or begins with it.
#[must_use]
pub fn header_contains(header: &[u8], field: &str, needle: &Needle) -> bool {
    let header = Header::read(header, Limits::default().fields);
    header.all(field).any(|field| needle.is_empty() || needle.is_in(&decoded_field(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_no_matter_in_any_script() {
        for (hay, needle, found) in [
            ("Hello World", "o w", true),
            ("Hello", "hello!", false),
            ("", "", true),
            ("x", "", true),
            ("", "x", false),
            ("aab", "AB", true),
            ("Crème BRÛLÉE", "brûlée", true),
            ("brûlée", "BRÛLÉE", true),
            ("ΟΔΟΣ ΟΔΟΣΟ", "οδος", true),
            ("οδος", "ΟΔΟΣ", true),
            ("ПРИВЕТ", "привет", true),
            ("5 \u{212a}", "5 k", true),
            ("日本語の件名", "本語", true),
            ("é", "e", false),
        ] {
            assert_eq!(matches(hay, needle), found, "{hay} {needle}");
        }
        let long = "ab".repeat(100);
        assert!(matches(&format!("x{}", long.to_uppercase()), &long));
        assert!(!matches(&long, &format!("{long}c")));
    }

    const MESSAGE: &str = "From: =?utf-8?q?Ren=C3=A9e?= <r@x.example>\r\nSubject: =?utf-8?b?w4l0w6k=?=\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\nnot shown\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nUn caf=E9 =\r\nnoir, et\r\nencore un\r\n--b\r\nContent-Type: text/html\r\n\r\n\
        <p class=\"hidden\">Tom &amp; <b>Jer</b>ry</p>\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
        Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\ninner text\r\n--b\r\nContent-Type: text/plain; format=flowed\r\n\r\nflowing \r\non\r\n--b--\r\n";

    #[test]
    fn text_as_it_is_shown() {
        for (text, body, anywhere) in [
            ("CAFÉ NOIR", true, true),
            ("noir, et encore", true, true),
            ("tom & jerry", true, true),
            ("hidden", false, false),
            ("résumé", true, true),
            ("secret", false, false),
            ("not shown", false, false),
            ("WITHIN", true, true),
            ("inner text", true, true),
            ("flowing on", true, true),
            ("renée", false, true),
            ("subject: été", false, true),
            ("caf=E9", false, false),
            ("", true, true),
        ] {
            let needle = Needle::new(text);
            assert_eq!(text_contains(MESSAGE.as_bytes(), &needle, false), body, "{text}");
            assert_eq!(text_contains(MESSAGE.as_bytes(), &needle, true), anywhere, "{text}");
        }
    }

    #[test]
    fn fields_by_their_names() {
        for (field, text, found) in [
            ("subject", "ÉTÉ", true),
            ("Subject", "within", false),
            ("From", "renée <r@x", true),
            ("X-None", "", false),
            ("Content-Type", "", true),
        ] {
            assert_eq!(header_contains(MESSAGE.as_bytes(), field, &Needle::new(text)), found, "{field} {text}");
        }
    }
}
