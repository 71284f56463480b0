//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

use std::collections::{BTreeMap, BTreeSet};

use memchr::memchr_iter;

use super::outline::{Kind, Outline};
use super::{envelope, wire};
use crate::mime::header::Field;
use crate::mime::tree::ContentType;
use crate::mime::{charset, encode, parts};

/// Writes the structure of a message, with the extension data or without.
pub(super) fn write(out: &mut Vec<u8>, outline: &Outline<'_>, extended: bool) {
    Writer { outline, extended }.part(out, 0);
}

struct Writer<'o, 'a> {
    outline: &'o Outline<'a>,
    extended: bool,
}

impl Writer<'_, '_> {
    /// As deep as the tree, which is limited.
    fn part(&self, out: &mut Vec<u8>, index: usize) {
        let part = self.outline.part(index);
        let content = || part.header.first("Content-Type").map(|field| ContentType::parse(field.value));
        let token = part.content_type.token.as_str();
        let (kind, subtype) = token.split_once('/').unwrap_or((token, ""));
        out.push(b'(');
        match self.outline.kind(index) {
            Kind::Multipart(children) => {
                for child in children {
                    self.part(out, *child);
                }
                out.push(b' ');
                wire::string(out, subtype.as_bytes());
                if self.extended {
                    out.push(b' ');
                    parameters(out, &content().unwrap_or_default().parameters);
                    rest(out, part);
                }
                out.push(b')');
                return;
            }
            Kind::Message(root) => {
                self.basic(out, index, (kind, subtype), content());
                out.push(b' ');
                envelope::write(out, &self.outline.part(root).header);
                out.push(b' ');
                self.part(out, root);
                lines(out, part);
            }
            Kind::Text => {
                let mut content = content().unwrap_or_default();
                if !content.has("charset") {
                    content.parameters.push(("charset".to_owned(), b"us-ascii".to_vec()));
                }
                self.basic(out, index, (kind, subtype), Some(content));
                lines(out, part);
            }
            Kind::Lost => {
                let charset = ("charset".to_owned(), b"us-ascii".to_vec());
                let content = ContentType { parameters: vec![charset], ..ContentType::plain() };
                self.basic(out, index, ("text", "plain"), Some(content));
                lines(out, part);
            }
            Kind::File => self.basic(out, index, (kind, subtype), content()),
            Kind::Opaque => self.basic(out, index, ("application", "octet-stream"), None),
        }
        if self.extended {
            out.push(b' ');
            field(out, part, "Content-MD5");
            rest(out, part);
        }
        out.push(b')');
    }

    /// From the type to the size.
    fn basic(&self, out: &mut Vec<u8>, index: usize, name: (&str, &str), content: Option<ContentType>) {
        let part = self.outline.part(index);
        wire::string(out, name.0.as_bytes());
        out.push(b' ');
        wire::string(out, name.1.as_bytes());
        out.push(b' ');
        parameters(out, &content.unwrap_or_default().parameters);
        out.push(b' ');
        field(out, part, "Content-ID");
        out.push(b' ');
        field(out, part, "Content-Description");
        out.push(b' ');
        wire::string(out, self.encoding(index).as_bytes());
        out.push(b' ');
        wire::number(out, part.body.len());
    }

    /// The encoding's name as it was written, in lower case; not where a container claims one.
    fn encoding(&self, index: usize) -> String {
        let part = self.outline.part(index);
        let is_so = self.outline.encoding(index) == part.encoding;
        let field = part.header.first("Content-Transfer-Encoding").filter(|_| is_so);
        let name = field.map(|field| ContentType::parse(field.value).name).unwrap_or_default();
        let name = name.trim_matches('"');
        if !name.is_empty() && name.bytes().all(encode::is_token) { name.to_owned() } else { "7bit".to_owned() }
    }
}

/// Disposition, language and location: the extension data that every kind of part has.
fn rest(out: &mut Vec<u8>, part: &parts::Part<'_>) {
    out.push(b' ');
    match part.header.first("Content-Disposition").map(|field| ContentType::parse(field.value)) {
        Some(disposition) if !disposition.name.is_empty() => {
            out.push(b'(');
            wire::text(out, &disposition.name);
            out.push(b' ');
            parameters(out, &disposition.parameters);
            out.push(b')');
        }
        _ => wire::nil(out),
    }
    out.push(b' ');
    languages(out, part.header.first("Content-Language"));
    out.push(b' ');
    field(out, part, "Content-Location");
}

/// ` ` and the number of lines.
fn lines(out: &mut Vec<u8>, part: &parts::Part<'_>) {
    out.push(b' ');
    wire::number(out, memchr_iter(b'\n', part.body).count());
}

fn field(out: &mut Vec<u8>, part: &parts::Part<'_>, name: &str) {
    match part.header.first(name) {
        Some(field) => wire::text(out, &wire::value(field)),
        None => wire::nil(out),
    }
}

fn languages(out: &mut Vec<u8>, field: Option<&Field<'_>>) {
    let value = field.map(wire::value).unwrap_or_default();
    let tags: Vec<&str> = value.split(',').map(str::trim).filter(|tag| !tag.is_empty()).take(20).collect();
    if tags.is_empty() {
        return wire::nil(out);
    }
    for (at, tag) in tags.iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        wire::text(out, tag);
    }
    out.push(b')');
}

fn parameters(out: &mut Vec<u8>, parameters: &[(String, Vec<u8>)]) {
    if parameters.is_empty() {
        return wire::nil(out);
    }
    for (at, (name, value)) in joined(parameters).iter().enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        wire::text(out, name);
        out.push(b' ');
        wire::text(out, &charset::guess(value));
    }
    out.push(b')');
}

/// Puts the numbered pieces of RFC 2231 §3 together, `name*0*=…; name*1*=…` to `name*=…`, and leaves
/// `name*` encoded: clients read that, few read the pieces, and other servers do the same. Pieces that
/// lack one before them stay as they are.
fn joined(parameters: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut pieces = BTreeMap::new();
    for (name, value) in parameters {
        if let Some((base, number, extended)) = piece(name) {
            pieces.entry((base, number)).or_insert((extended, value.as_slice()));
        }
    }
    // Of each name those that follow each other from the first on.
    let mut wholes: BTreeMap<&str, Vec<(bool, &[u8])>> = BTreeMap::new();
    for ((base, number), piece) in pieces {
        let whole = wholes.entry(base).or_default();
        if whole.len() == number {
            whole.push(piece);
        }
    }
    let mut done: Vec<(String, Vec<u8>)> = Vec::with_capacity(parameters.len());
    let mut written = BTreeSet::new();
    for (name, value) in parameters {
        match piece(name)
            .and_then(|(base, number, _)| Some((base, wholes.get(base).filter(|whole| number < whole.len())?)))
        {
            None => done.push((name.clone(), value.clone())),
            Some((base, whole)) => {
                if written.insert(base) {
                    done.push(put_together(base, whole));
                }
            }
        }
    }
    done
}

fn put_together(base: &str, pieces: &[(bool, &[u8])]) -> (String, Vec<u8>) {
    if pieces.iter().all(|(extended, _)| !extended) {
        return (base.to_owned(), pieces.iter().flat_map(|(_, piece)| *piece).copied().collect());
    }
    // The first piece names the charset; where only a later one is encoded, nobody did.
    let mut whole = if pieces.first().is_some_and(|(extended, _)| *extended) { Vec::new() } else { b"''".to_vec() };
    for (extended, piece) in pieces {
        if *extended {
            whole.extend_from_slice(piece);
        } else {
            escape(piece, &mut whole);
        }
    }
    (format!("{base}*"), whole)
}

/// `name*2*`: its name, its number, and whether it is percent-encoded.
fn piece(name: &str) -> Option<(&str, usize, bool)> {
    let (base, number) = name.split_once('*')?;
    let (number, extended) = number.strip_suffix('*').map_or((number, false), |number| (number, true));
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| number.parse().ok()).flatten().map(|number| (base, number, extended))
}

/// Percent-encodes what can't stand in an extended value (RFC 2231 §7).
fn escape(value: &[u8], out: &mut Vec<u8>) {
    for b in value {
        if encode::is_token(*b) && !b"*'%".contains(b) {
            out.push(*b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
}
