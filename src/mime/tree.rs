//! A message as a tree over its own bytes (RFC 2045, RFC 2046): where each part's header and body
//! lie, what they are, and nothing decoded. It is what copies are built from; understanding a
//! mail is done elsewhere.
//!
//! Bounded: nesting and number of parts; what lies beyond is one opaque part. Each level is one
//! pass over its bytes. Any bytes make a tree: broken input makes leaves of text.

use super::encode::is_token;

/// Levels of multiparts that are looked into.
const DEEPEST: usize = 12;
/// Parts that are looked at in one message.
const MOST_PARTS: usize = 1_000;
/// Fields that are read of one header.
const MOST_FIELDS: usize = 2_000;

/// One entity: a message or a part of one.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Header and body as they came.
    pub raw: &'a [u8],
    /// Header fields in their order.
    pub fields: Vec<Field<'a>>,
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

/// A header field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a [u8],
    /// What stands after the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// The whole, line ends included.
    pub whole: &'a [u8],
}

/// A Content-Type (RFC 2045 §5) or Content-Disposition (RFC 2183): a word and parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    /// `type/subtype` in lower case, or a disposition.
    pub name: String,
    /// In their order; names in lower case, values without quotes, otherwise as they came.
    pub parameters: Vec<(String, Vec<u8>)>,
}

/// Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary, or not given.
    Identity,
    QuotedPrintable,
    Base64,
    /// Something else, uuencode for instance; the part can't be read.
    Unknown,
}

/// The tree of a message.
#[must_use]
pub fn parse(raw: &[u8]) -> Part<'_> {
    let mut budget = MOST_PARTS;
    part(raw, "text/plain", 0, &mut budget)
}

fn part<'a>(raw: &'a [u8], default: &str, depth: usize, budget: &mut usize) -> Part<'a> {
    let (fields, body) = header(raw);
    let named = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    let mut content = named("Content-Type").map(|field| ContentType::parse(field.value)).unwrap_or_default();
    if !content.is_type() {
        default.clone_into(&mut content.name);
    }
    let encoding = named("Content-Transfer-Encoding").map_or(Encoding::Identity, |field| Encoding::parse(field.value));
    let mut made = Part { raw, fields, body, content, encoding, shape: Shape::Leaf, is_root: depth == 0 };
    if !made.content.name.starts_with("multipart/") {
        return made;
    }
    let Some(boundary) = made.content.get("boundary").filter(|boundary| !boundary.is_empty()) else {
        made.content = ContentType::plain();
        return made;
    };
    if depth == DEEPEST {
        made.shape = Shape::Opaque;
        return made;
    }
    let pieces = split(body, boundary, *budget);
    let Some(pieces) = pieces else {
        made.shape = Shape::Opaque;
        return made;
    };
    *budget -= pieces.len();
    if pieces.is_empty() {
        // No delimiter anywhere: readers show it as text, and so do we.
        made.content = ContentType::plain();
        made.encoding = Encoding::Identity;
        return made;
    }
    let default = if made.content.name == "multipart/digest" { "message/rfc822" } else { "text/plain" };
    made.shape = Shape::Multipart(pieces.into_iter().map(|piece| part(piece, default, depth + 1, budget)).collect());
    made
}

impl<'a> Part<'a> {
    /// The first field of a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
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

    fn is_type(&self) -> bool {
        self.name
            .split_once('/')
            .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty() && a.bytes().chain(b.bytes()).all(is_token))
    }
}

impl Encoding {
    fn parse(value: &[u8]) -> Self {
        let word = Scanner { bytes: value }.until(b";").to_ascii_lowercase();
        match word.as_slice() {
            b"" | b"7bit" | b"8bit" | b"binary" | b"7-bit" | b"8-bit" => Self::Identity,
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            _ => Self::Unknown,
        }
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

/// A header's fields and the body behind it. A line that is no field ends the header where none
/// came before it, and is skipped otherwise.
fn header(raw: &[u8]) -> (Vec<Field<'_>>, &[u8]) {
    let mut fields = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let mut end = line(rest);
        if matches!(&rest[..end], b"\r\n" | b"\n") {
            return (fields, &rest[end..]);
        }
        while matches!(rest.get(end), Some(b' ' | b'\t')) {
            end += line(&rest[end..]);
        }
        let whole = &rest[..end];
        let colon = whole.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':');
        // Blanks before the colon are an old form (RFC 5322 §4.5).
        let name = &whole[..colon.unwrap_or(0)];
        let behind = whole[name.len()..].trim_ascii_start();
        if let Some(value) = behind.strip_prefix(b":")
            && !name.is_empty()
        {
            if fields.len() == MOST_FIELDS {
                at += end;
                continue;
            }
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            fields.push(Field { name, value: value.strip_suffix(b"\r").unwrap_or(value), whole });
        } else if fields.is_empty() {
            return (fields, raw);
        }
        at += end;
    }
    (fields, &[])
}

/// How long the first line is, its end included.
fn line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1)
}

/// The parts between the delimiters; `None` where there are more than `most`. What stands before
/// the first and behind the last is for no reader (RFC 2046 §5.1.1). Where the last delimiter is
/// missing, the end of the bytes is one.
fn split<'a>(body: &'a [u8], boundary: &[u8], most: usize) -> Option<Vec<&'a [u8]>> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at < body.len() {
        let end = at + line(&body[at..]);
        let closes = delimiter(&body[at..end], boundary);
        if let Some(closes) = closes {
            if let Some(start) = start.take() {
                parts.push(without_line_end(&body[start..at]));
            }
            if parts.len() > most {
                return None;
            }
            if closes {
                return Some(parts);
            }
            start = Some(end);
        }
        at = end;
    }
    parts.extend(start.map(|start| &body[start..]));
    if parts.len() > most { None } else { Some(parts) }
}

/// Whether a line is a delimiter (`Some(false)`) or the closing one (`Some(true)`).
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
    match behind {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
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
        assert!(shown(&parse(deep.as_bytes())).ends_with(&format!("=?{}", ")".repeat(DEEPEST))));
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
