//! A message as the tree that copies are built from: what [`parts`] finds, each part with its fields
//! and its parameters as they came, and nothing decoded. So a copy holds what was understood.
//!
//! What lies beyond a limit is one opaque part. Any bytes make a tree: broken input makes leaves of
//! text.

use super::encode::is_token;
use super::header::{Field, Header};
use super::parts;
pub use super::transfer::Encoding;
use super::understand::{Limits, Problem};

/// One entity: a message or a part of one.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    pub header: Header<'a>,
    /// All after the blank line.
    pub body: &'a [u8],
    /// Its Content-Type, or what stands for it where there is none.
    pub content: ContentType,
    pub encoding: Encoding,
    pub shape: Shape<'a>,
    /// It is the message, not a part of one.
    pub is_root: bool,
}

/// What a part is made of.
#[derive(Clone, Debug)]
pub enum Shape<'a> {
    /// A body of its own.
    Leaf,
    /// A multipart that holds at least one part.
    Multipart(Vec<Part<'a>>),
    /// A multipart too deep or too wide to look into; to be left as it is.
    Opaque,
}

/// A Content-Type (RFC 2045 §5) or Content-Disposition (RFC 2183): a word and parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    /// `type/subtype` in lower case, or a disposition.
    pub name: String,
    /// In their order; names in lower case, values without quotes, otherwise as they came.
    pub parameters: Vec<(String, Vec<u8>)>,
}

/// The tree of a message.
#[must_use]
pub fn parse(raw: &[u8]) -> Part<'_> {
    let limits = Limits::default();
    let found = parts::read(raw, Header::read(raw, limits.fields), &limits);
    let too_many = found.problems.contains(&Problem::TooManyParts);
    let mut waiting: Vec<_> = found.parts.into_iter().map(Some).collect();
    let mut root = part(&mut waiting, 0);
    root.is_root = true;
    if too_many {
        // Where the rest belongs, nobody looked.
        root.shape = Shape::Opaque;
    }
    root
}

/// Takes a part and all that is in it; as deep as the tree, which is limited.
fn part<'a>(waiting: &mut [Option<parts::Part<'a>>], index: usize) -> Part<'a> {
    let found = waiting[index].take().expect("each part is in one other, and the first in none");
    let mut content =
        found.header.first("Content-Type").map(|field| ContentType::parse(field.value)).unwrap_or_default();
    content.name.clone_from(&found.content_type.token);
    let shape = if !found.is_multipart() {
        Shape::Leaf
    } else if found.opaque {
        Shape::Opaque
    } else if found.children.is_empty() {
        // No delimiter anywhere: readers show it as text, and so do we.
        content = ContentType::plain();
        Shape::Leaf
    } else {
        Shape::Multipart(found.children.iter().map(|child| part(waiting, *child)).collect())
    };
    Part { header: found.header, body: found.body, content, encoding: found.encoding, shape, is_root: false }
}

impl<'a> Part<'a> {
    /// The first field of a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.header.first(name)
    }

    /// Its Content-Disposition.
    #[must_use]
    pub fn disposition(&self) -> Option<ContentType> {
        self.field("Content-Disposition").map(|field| ContentType::parse(field.value))
    }

    /// Whether it is text for the reader of the mail itself, not a file that comes with it. A name
    /// makes a file of a part, not of a whole message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        let disposition = self.disposition().unwrap_or_default();
        self.content.name.starts_with("text/")
            && disposition.name != "attachment"
            && (self.is_root
                || !disposition.has("filename") && (!self.content.has("name") || disposition.name == "inline"))
    }
}

impl ContentType {
    /// What a part without a Content-Type is (RFC 2045 §5.2).
    #[must_use]
    pub fn plain() -> Self {
        Self { name: "text/plain".to_owned(), parameters: Vec::new() }
    }

    /// Reads a field's value. Whatever is wrong in it is skipped.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut rest = Scanner { bytes: value };
        let name = rest.until(b";").to_ascii_lowercase();
        let mut parameters = Vec::new();
        while rest.skip(b';') && parameters.len() < 64 {
            let name = rest.until(b"=;").to_ascii_lowercase();
            let value = if rest.skip(b'=') { rest.value() } else { Vec::new() };
            if let Ok(name) = String::from_utf8(name)
                && !name.is_empty()
            {
                parameters.push((name, value));
            }
        }
        Self { name: String::from_utf8(name).unwrap_or_default(), parameters }
    }

    /// A parameter's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Whether there is a parameter, in any of the ways of RFC 2231.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|(known, _)| known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('*')))
    }

    /// The charset parameter in lower case, where it can be a name of one.
    #[must_use]
    pub fn charset(&self) -> Option<String> {
        let charset = self.get("charset")?.trim_ascii().to_ascii_lowercase();
        String::from_utf8(charset).ok().filter(|name| !name.is_empty() && name.bytes().all(is_token))
    }
}

/// Reads structured fields: blanks, line ends and comments (RFC 5322 §3.2.2) mean nothing.
struct Scanner<'a> {
    bytes: &'a [u8],
}

impl Scanner<'_> {
    fn blanks(&mut self) {
        loop {
            self.bytes = self.bytes.trim_ascii_start();
            if self.bytes.first() != Some(&b'(') {
                return;
            }
            let mut depth = 0_usize;
            let mut escaped = false;
            let end = self.bytes.iter().position(|byte| {
                match byte {
                    _ if escaped => {
                        escaped = false;
                        return false;
                    }
                    b'\\' => escaped = true,
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            self.bytes = end.and_then(|end| self.bytes.get(end + 1..)).unwrap_or_default();
        }
    }

    /// What stands before one of the stops, without blanks around it and comments behind it.
    fn until(&mut self, stops: &[u8]) -> Vec<u8> {
        self.blanks();
        let end = self.bytes.iter().position(|byte| stops.contains(byte) || *byte == b'(').unwrap_or(self.bytes.len());
        let (word, rest) = self.bytes.split_at(end);
        self.bytes = rest;
        self.blanks();
        word.trim_ascii_end().to_vec()
    }

    /// A parameter's value: a quoted string, or all up to the next semicolon.
    fn value(&mut self) -> Vec<u8> {
        self.blanks();
        let Some(quoted) = self.bytes.strip_prefix(b"\"") else { return self.until(b";") };
        let mut value = Vec::new();
        let mut bytes = quoted.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => value.extend(bytes.next()),
                b'\r' | b'\n' => {}
                byte => value.push(*byte),
            }
        }
        self.bytes = bytes.as_slice();
        // Whatever stands between the quotation and the semicolon.
        self.until(b";");
        value
    }

    fn skip(&mut self, byte: u8) -> bool {
        match self.bytes.split_first() {
            Some((first, rest)) if *first == byte => {
                self.bytes = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as `type(child,child)`, leaves with their bodies.
    fn shown(part: &Part<'_>) -> String {
        match &part.shape {
            Shape::Leaf => format!("{}={}", part.content.name, part.body.escape_ascii()),
            Shape::Opaque => format!("{}=?", part.content.name),
            Shape::Multipart(parts) => {
                format!("{}({})", part.content.name, parts.iter().map(shown).collect::<Vec<_>>().join(","))
            }
        }
    }

    #[test]
    fn trees() {
        let multi = "Content-Type: multipart/mixed; boundary=\"b b\"\r\n\r\n";
        for (raw, tree) in [
            (String::new(), "text/plain="),
            ("\r\nhi".into(), "text/plain=hi"),
            ("no header at all\r\nhi".into(), "text/plain=no header at all\\r\\nhi"),
            ("A: b\r\nnot a field\r\nContent-Type: text/html\r\n\r\nhi".into(), "text/html=hi"),
            ("A: b".into(), "text/plain="),
            ("Content-Type: nonsense\r\n\r\nhi".into(), "text/plain=hi"),
            (
                format!(
                    "{multi}preamble\r\n--b b\r\n\r\none\r\n--b b  \r\nContent-Type: text/html\r\n\r\ntwo\r\n\r\n--b b--\r\nepilogue"
                ),
                "multipart/mixed(text/plain=one,text/html=two\\r\\n)",
            ),
            (format!("{multi}--b b\r\n\r\nnever closed"), "multipart/mixed(text/plain=never closed)"),
            (format!("{multi}--b bb\r\n\r\nanother's"), "text/plain=--b bb\\r\\n\\r\\nanother\\'s"),
            ("Content-Type: multipart/mixed\r\n\r\nhi".into(), "text/plain=hi"),
            (
                "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: s\r\n--x--".into(),
                "multipart/digest(message/rfc822=Subject: s)",
            ),
            (format!("{multi}--b b\r\nno blank line\r\n--b b--"), "multipart/mixed(text/plain=no blank line)"),
            (format!("{multi}--b b\r\n--b b--"), "multipart/mixed(text/plain=)"),
        ] {
            assert_eq!(shown(&parse(raw.as_bytes())), tree, "{raw}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut deep = String::new();
        for level in 0..100 {
            let name = format!("b{level}\r\n");
            deep.extend(["Content-Type: multipart/mixed; boundary=", &name, "\r\n--", &name]);
        }
        assert!(shown(&parse(deep.as_bytes())).ends_with(&format!("=?{}", ")".repeat(Limits::default().nesting))));
        let wide = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(5_000));
        assert_eq!(shown(&parse(wide.as_bytes())), "multipart/mixed=?");
    }

    #[test]
    fn content_types() {
        for (text, name, parameters) in [
            ("text/plain", "text/plain", vec![]),
            (
                " Text/HTML ;\r\n Charset=\"UTF-8\" (a; \"comment\\)\") ; x=1",
                "text/html",
                vec![("charset", "UTF-8"), ("x", "1")],
            ),
            (
                "a/b; n=\"x;\\\"y\" junk; m=two words; ; =z; flag",
                "a/b",
                vec![("n", "x;\"y"), ("m", "two words"), ("flag", "")],
            ),
            ("(c) a/b (never closed; x=y", "a/b", vec![]),
            ("", "", vec![]),
        ] {
            let parameters = parameters.iter().map(|(n, v): &(&str, &str)| ((*n).to_owned(), v.as_bytes().to_vec()));
            let expected = ContentType { name: name.to_owned(), parameters: parameters.collect() };
            assert_eq!(ContentType::parse(text.as_bytes()), expected, "{text}");
        }
    }
}
