//! Fields with parameters, Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183), with
//! parameter values as RFC 2231 writes them and as everybody else does.

use super::{charset, clean, words};

/// How much of a field is read, in octets.
const LONGEST: usize = 64 * 1024;
/// The most parameters that are read of one field.
const MOST: usize = 100;

/// A value with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// What stands before the first semicolon, in lower case.
    pub token: String,
    /// Decoded; names in lower case.
    parameters: Vec<(String, String)>,
}

impl Value {
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut pieces = split(clean::start(text, LONGEST)).into_iter();
        let token = pieces.next().map(|piece| strip_comment(piece.trim())).unwrap_or_default();
        let raw: Vec<(String, String)> = pieces
            .take(MOST)
            .filter_map(|piece| {
                let (name, value) = piece.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), unquote(value.trim())))
            })
            .collect();
        Self { token: token.to_ascii_lowercase(), parameters: assemble(&raw) }
    }

    /// A parameter, by its name in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// `text/plain (a comment)` and `text/plain charset` are met.
fn strip_comment(token: &str) -> String {
    token.split(['(', ' ', '\t']).next().unwrap_or_default().to_owned()
}

/// At semicolons outside quotes.
fn split(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            // A backslash before a letter is a path that nobody escaped, and stays.
            '\\' if matches!(chars.peek(), Some('"' | '\\')) => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Joins continuations, decodes charsets; `name*` wins over `name`, which older readers get.
fn assemble(raw: &[(String, String)]) -> Vec<(String, String)> {
    let mut done: Vec<(String, String)> = Vec::new();
    let mut sections: Vec<(&str, u32, bool, &str)> = Vec::new();
    for (name, value) in raw {
        let Some((base, section)) = name.split_once('*') else { continue };
        let (number, encoded) = match section.strip_suffix('*') {
            Some(number) => (number, true),
            None => (section, section.is_empty()),
        };
        let number = if number.is_empty() { Some(0) } else { number.parse().ok() };
        if let Some(number) = number {
            sections.push((base, number, encoded, value));
        }
    }
    sections.sort_by_key(|(base, number, ..)| (*base, *number));
    let mut at = 0;
    while let Some((base, ..)) = sections.get(at) {
        let end = sections[at..].iter().position(|(other, ..)| other != base).map_or(sections.len(), |n| at + n);
        done.push(((*base).to_owned(), join(&sections[at..end])));
        at = end;
    }
    for (name, value) in raw {
        if !name.contains('*') && !done.iter().any(|(known, _)| known == name) {
            done.push((name.clone(), words::decode(value)));
        }
    }
    done
}

/// RFC 2231 §4.1: the first section names the charset; each may be percent-encoded or not.
fn join(sections: &[(&str, u32, bool, &str)]) -> String {
    let mut octets = Vec::new();
    let mut label = None;
    for (index, (_, _, encoded, value)) in sections.iter().enumerate() {
        let mut value = *value;
        if *encoded {
            if index == 0
                && let Some((charset, rest)) = value.split_once('\'')
                && let Some((_, text)) = rest.split_once('\'')
            {
                label = Some(charset).filter(|charset| !charset.is_empty());
                value = text;
            }
            percent(value, &mut octets);
        } else {
            octets.extend_from_slice(value.as_bytes());
        }
    }
    let text = charset::decode(label, &octets).0;
    // Some write encoded words in continuations.
    if label.is_none() { words::decode(&text) } else { text }
}

fn percent(value: &str, octets: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some((b, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *b == b'%').and_then(|code| str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            octets.push(code);
            rest = &after[2..];
        } else {
            octets.push(*b);
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_right_and_broken() {
        for (field, name, value) in [
            ("text/plain; charset=utf-8", "charset", Some("utf-8")),
            ("text/plain; charset = \"UTF-8\" ; format=flowed", "format", Some("flowed")),
            ("a/b; filename=\"a;b.txt\"", "filename", Some("a;b.txt")),
            ("a/b; filename=\"C:\\temp\\a.txt\"", "filename", Some("C:\\temp\\a.txt")),
            ("a/b; filename=\"say \\\"hi\\\".txt\"", "filename", Some("say \"hi\".txt")),
            ("a/b; filename=with blanks.pdf", "filename", Some("with blanks.pdf")),
            ("a/b; filename*=UTF-8''caf%C3%A9.pdf", "filename", Some("café.pdf")),
            ("a/b; filename*=iso-8859-1'fr'caf%E9.pdf; filename=x.pdf", "filename", Some("café.pdf")),
            ("a/b; filename*0*=utf-8''caf%C3; filename*1*=%A9; filename*2=.pdf", "filename", Some("café.pdf")),
            ("a/b; filename*1=b.pdf; filename*0=a", "filename", Some("ab.pdf")),
            ("a/b; name=\"=?utf-8?Q?caf=C3=A9?=.pdf\"", "name", Some("café.pdf")),
            ("a/b; name==?utf-8?B?w6k=?=", "name", Some("é")),
            ("a/b", "name", None),
            ("", "name", None),
            (";;;=;=a;b=", "b", Some("")),
        ] {
            assert_eq!(Value::read(field).get(name), value, "{field}");
        }
        assert_eq!(Value::read("Text/HTML (it is); x=y").token, "text/html");
    }
}
