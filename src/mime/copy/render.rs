//! Writes a body part for part.

use std::borrow::Cow;

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;

use super::decode::{Charset, decode, holds_ascii};
use super::strip::strip;
use super::top::{self, Top};
use super::{BuildError, Plan};
use crate::mime::encode::{self, LONGEST_LINE};
use crate::mime::tree::{ContentType, Encoding, Part, Shape};

/// Writes the MIME fields, the blank line and the body. The body ends in one line end, without
/// lines of blanks alone: some signers and verifiers disagree over those (RFC 6376 §3.4.4).
pub fn body(out: &mut Vec<u8>, root: &Part<'_>, plan: &Plan, top: Option<&Top>) -> Result<(), BuildError> {
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    let mut renderer = Renderer {
        eight_bit: plan.eight_bit,
        shrink: plan.left_out.is_some(),
        seed: seed(root.raw, plan.message_id.as_str()),
        boundaries: 0,
    };
    match protection(root).filter(|_| !renderer.shrink) {
        Some(Protection::Encrypted) => {
            for (name, value) in plan.for_member.iter().flat_map(top::fields) {
                encode::text(out, name, &value);
            }
            renderer.unaltered(out, root)?;
        }
        Some(Protection::Signed) => match top {
            Some(top) => renderer.wrapped(out, top, |renderer, out| renderer.unaltered(out, root))?,
            None => renderer.unaltered(out, root)?,
        },
        None => renderer.root(out, root, top)?,
    }
    end(out);
    Ok(())
}

struct Renderer {
    eight_bit: bool,
    /// Leave out all that is not text.
    shrink: bool,
    /// Occurs nowhere in the message.
    seed: String,
    boundaries: usize,
}

/// Why a part must not be touched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// RFC 1847 §2.1, RFC 8551 §3.5.
    Signed,
    /// RFC 1847 §2.2, RFC 8551 §3.3.
    Encrypted,
}

fn protection(part: &Part<'_>) -> Option<Protection> {
    match part.content.name.as_str() {
        "multipart/signed" => Some(Protection::Signed),
        "multipart/encrypted" => Some(Protection::Encrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            let signed = part.content.get("smime-type").is_some_and(|kind| kind.eq_ignore_ascii_case(b"signed-data"));
            Some(if signed { Protection::Signed } else { Protection::Encrypted })
        }
        _ => None,
    }
}

impl Renderer {
    /// The whole message, with the line on top in its text or, where it has none, before it.
    fn root(&mut self, out: &mut Vec<u8>, root: &Part<'_>, top: Option<&Top>) -> Result<(), BuildError> {
        if !self.keeps(root) {
            let text = top.map(Top::plain).unwrap_or_default();
            written_text(out, &text, self.eight_bit);
            return Ok(());
        }
        match top {
            Some(top) if !self.takes_top(root) && root.content.name != "multipart/mixed" => {
                self.wrapped(out, top, |renderer, out| renderer.part(out, root, None))
            }
            top => self.part(out, root, top),
        }
    }

    /// Our text first, in a part of its own, and behind it what `rest` writes.
    fn wrapped(
        &mut self,
        out: &mut Vec<u8>,
        top: &Top,
        rest: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let boundary = self.boundary();
        let start = out.len();
        content_type(out, "multipart/mixed", &[], Some(&boundary));
        let mark = Mark { at: out.len(), start };
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        written_text(out, top.plain().trim_end(), self.eight_bit);
        out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        rest(self, out)?;
        out.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
        mark.label_eight_bit(out);
        Ok(())
    }

    fn part(&mut self, out: &mut Vec<u8>, part: &Part<'_>, top: Option<&Top>) -> Result<(), BuildError> {
        match &part.shape {
            Shape::Multipart(parts) => self.multipart(out, part, parts, top),
            Shape::Opaque => {
                self.as_it_is(out, part);
                Ok(())
            }
            Shape::Leaf => {
                self.leaf(out, part, top);
                Ok(())
            }
        }
    }

    fn multipart(
        &mut self,
        out: &mut Vec<u8>,
        part: &Part<'_>,
        parts: &[Part<'_>],
        top: Option<&Top>,
    ) -> Result<(), BuildError> {
        let boundary = self.boundary();
        let start = out.len();
        content_type(out, &part.content.name, &part.content.parameters, Some(&boundary));
        other_fields(out, part);
        let mark = Mark { at: out.len(), start };
        let alternative = part.content.name == "multipart/alternative";
        let mut top = top;
        if let Some(top) = top.take_if(|_| !self.takes_top(part)) {
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            written_text(out, top.plain().trim_end(), self.eight_bit);
        }
        for part in parts.iter().filter(|part| self.keeps(part)).collect::<Vec<_>>() {
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            if protection(part).is_some() && !self.shrink {
                // Its own header stands under the signature of nobody, but belongs to it.
                self.unaltered(out, part)?;
                continue;
            }
            let own = if self.takes_top(part) { top } else { None };
            self.part(out, part, own)?;
            if !alternative {
                top = None;
            }
        }
        out.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
        mark.label_eight_bit(out);
        Ok(())
    }

    /// Whether the line on top can stand in a part: in its text, or for a multipart in what its
    /// reader sees first.
    fn takes_top(&self, part: &Part<'_>) -> bool {
        if protection(part).is_some() && !self.shrink {
            return false;
        }
        match &part.shape {
            Shape::Opaque => false,
            Shape::Leaf => {
                matches!(part.content.name.as_str(), "text/plain" | "text/html")
                    && part.is_text()
                    && part.encoding != Encoding::Unknown
                    && find(part.body, b"-----BEGIN PGP ").is_none()
            }
            Shape::Multipart(parts) => {
                let mut parts = parts.iter().filter(|part| self.keeps(part));
                if part.content.name == "multipart/alternative" {
                    parts.any(|part| self.takes_top(part))
                } else {
                    parts.next().is_some_and(|part| self.takes_top(part))
                }
            }
        }
    }

    /// Whether a part goes on at all.
    fn keeps(&self, part: &Part<'_>) -> bool {
        if !self.shrink {
            return true;
        }
        match &part.shape {
            Shape::Opaque => false,
            Shape::Leaf => part.is_text(),
            Shape::Multipart(parts) => parts.iter().any(|part| self.keeps(part)),
        }
    }

    fn leaf(&self, out: &mut Vec<u8>, part: &Part<'_>, top: Option<&Top>) {
        if !part.is_text() || part.encoding == Encoding::Unknown {
            return self.as_it_is(out, part);
        }
        let mut charset = part.content.charset();
        let mut text = decode(part.body, part.encoding);
        let damaged = charset.is_none() && !text.is_ascii();
        let mut changed = damaged || part.field("Content-Type").is_some_and(|field| !names(field.value, &part.content));
        if !holds_ascii(charset.as_deref()) || damaged {
            let utf8 = Charset::of(charset.as_deref()).to_utf8(&text).map(Cow::into_owned);
            let Some(utf8) = utf8 else { return self.as_it_is(out, part) };
            let stripped = strip(&utf8);
            if top.is_none() && !changed && matches!(stripped, Cow::Borrowed(_)) {
                return self.as_it_is(out, part);
            }
            text = Cow::Owned(stripped.into_owned());
            charset = Some("utf-8".to_owned());
            changed = true;
        } else if let Cow::Owned(stripped) = strip(&text) {
            text = Cow::Owned(stripped);
            changed = true;
        }
        if let Some(top) = top {
            let (with_top, new) = if part.content.name == "text/html" {
                (in_html(&text, &top.html()), charset.clone())
            } else {
                in_plain(&text, charset.as_deref(), top)
            };
            text = Cow::Owned(with_top);
            charset = new;
            changed = true;
        }
        if !changed {
            return self.as_it_is(out, part);
        }
        let mut parameters = part.content.parameters.clone();
        parameters.retain(|(name, _)| name != "charset");
        if let Some(charset) = charset {
            parameters.insert(0, ("charset".to_owned(), charset.into_bytes()));
        }
        content_type(out, &part.content.name, &parameters, None);
        other_fields(out, part);
        encoded_text(out, &text, part.encoding, self.eight_bit);
    }

    /// A part as it came, unless the next server could not take it: then with its octets encoded.
    fn as_it_is(&self, out: &mut Vec<u8>, part: &Part<'_>) {
        let composite = part.content.name.starts_with("message/") || part.content.name.starts_with("multipart/");
        let fits = fits(part.body) && (part.body.is_ascii() || self.eight_bit && part.encoding == Encoding::Identity);
        if fits {
            content_fields(out, part);
            let label = match part.encoding {
                Encoding::Identity if part.body.is_ascii() => None,
                Encoding::Identity => Some("8bit"),
                Encoding::QuotedPrintable => Some("quoted-printable"),
                Encoding::Base64 => Some("base64"),
                Encoding::Unknown => {
                    encoding_as_it_came(out, part);
                    None
                }
            };
            if let Some(label) = label {
                encoding_field(out, label);
            }
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(part.body);
            return;
        }
        let decoded = decode(part.body, part.encoding);
        if part.is_text() {
            content_fields(out, part);
            return encoded_text(out, &decoded, part.encoding, self.eight_bit);
        }
        if composite {
            // These must not be encoded (RFC 2045 §6.4); as a file, nothing of them is lost.
            let name = if part.content.name.starts_with("message/") { "message.eml" } else { "message.mime" };
            content_type(out, "application/octet-stream", &[("name".to_owned(), name.into())], None);
            let mut field = encode::Field::new(out, "Content-Disposition");
            field.token("attachment");
            field.parameter("filename", name);
            field.end();
        } else {
            content_fields(out, part);
        }
        encoding_field(out, "base64");
        out.extend_from_slice(b"\r\n");
        encode::base64(out, &decoded);
    }

    /// A protected part: its MIME fields as they came where they are sound, and its body octet for
    /// octet.
    fn unaltered(&self, out: &mut Vec<u8>, part: &Part<'_>) -> Result<(), BuildError> {
        let start = out.len();
        content_fields(out, part);
        encoding_as_it_came(out, part);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part.body);
        let written = &out[start..];
        if !fits(written) {
            return Err(BuildError::Line);
        }
        if !self.eight_bit && !written.is_ascii() {
            return Err(BuildError::EightBit);
        }
        Ok(())
    }

    fn boundary(&mut self) -> String {
        self.boundaries += 1;
        // The first two characters can't come about in quoted-printable or base64.
        format!("=_{}_{}", self.seed, self.boundaries)
    }
}

/// Where a multipart's header ends, to say that there is 8-bit text in it once that is known
/// (RFC 2045 §6.4).
struct Mark {
    start: usize,
    at: usize,
}

impl Mark {
    fn label_eight_bit(self, out: &mut Vec<u8>) {
        if !out[self.start..].is_ascii() {
            let label = *b"Content-Transfer-Encoding: 8bit\r\n";
            out.splice(self.at..self.at, label);
        }
    }
}

/// A word that follows from the Message-ID and stands nowhere in the message.
fn seed(raw: &[u8], message_id: &str) -> String {
    let mut round = 0_u32;
    loop {
        let hash = digest::digest(&digest::SHA256, format!("boundary {round} {message_id}").as_bytes());
        let seed = BASE32_NOPAD.encode(&hash.as_ref()[..15]).to_ascii_lowercase();
        if find(raw, seed.as_bytes()).is_none() {
            return seed;
        }
        round += 1;
    }
}

/// Text with the line on top of it, and the charset that it has then.
fn in_plain(text: &[u8], charset: Option<&str>, top: &Top) -> (Vec<u8>, Option<String>) {
    match Charset::of(charset).to_utf8(text) {
        Some(utf8) => {
            let utf8 = utf8.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&utf8);
            ([top.plain().as_bytes(), utf8].concat(), Some("utf-8".to_owned()))
        }
        None => ([top.ascii().as_bytes(), text].concat(), charset.map(str::to_owned)),
    }
}

/// HTML with the line on top: behind `<body …>`, else behind the head, else at the start.
fn in_html(html: &[u8], top: &str) -> Vec<u8> {
    let at = ["<body", "</head", "<html", "<!doctype"].iter().find_map(|tag| behind_tag(html, tag)).unwrap_or(0);
    let (before, behind) = html.split_at(at);
    [before, top.as_bytes(), behind].concat()
}

/// Where the first tag of a name ends.
fn behind_tag(html: &[u8], tag: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = html[at..].iter().position(|byte| *byte == b'<') {
        at += found;
        let inside = html.get(at + tag.len()..)?;
        let named = html[at..].get(..tag.len()).is_some_and(|name| name.eq_ignore_ascii_case(tag.as_bytes()));
        if named && inside.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'>') {
            let mut quote = None;
            let end = inside.iter().position(|byte| {
                match (quote, byte) {
                    (None, b'>') => return true,
                    (None, b'"' | b'\'') => quote = Some(*byte),
                    (Some(open), byte) if open == *byte => quote = None,
                    _ => {}
                }
                false
            });
            return end.map(|end| at + tag.len() + end + 1);
        }
        at += 1;
    }
    None
}

/// A text/plain part of ours.
fn written_text(out: &mut Vec<u8>, text: &str, eight_bit: bool) {
    content_type(out, "text/plain", &[("charset".to_owned(), b"utf-8".to_vec())], None);
    encoded_text(out, text.as_bytes(), Encoding::QuotedPrintable, eight_bit);
}

/// The Content-Transfer-Encoding field, the blank line and the text, in the encoding that it came
/// in, or in one that the next server takes.
fn encoded_text(out: &mut Vec<u8>, text: &[u8], came_in: Encoding, eight_bit: bool) {
    let text = super::with_line_ends(text);
    let plain = fits(&text) && came_in == Encoding::Identity;
    if came_in == Encoding::Base64 {
        encoding_field(out, "base64");
        out.extend_from_slice(b"\r\n");
        encode::base64(out, &text);
    } else if plain && (text.is_ascii() || eight_bit) {
        encoding_field(out, if text.is_ascii() { "7bit" } else { "8bit" });
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&text);
    } else if text.iter().filter(|byte| !byte.is_ascii()).count() > text.len() / 4 {
        encoding_field(out, "base64");
        out.extend_from_slice(b"\r\n");
        encode::base64(out, &text);
    } else {
        encoding_field(out, "quoted-printable");
        out.extend_from_slice(b"\r\n");
        encode::quoted_printable(out, &text);
    }
}

fn encoding_field(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(format!("Content-Transfer-Encoding: {name}\r\n").as_bytes());
}

fn encoding_as_it_came(out: &mut Vec<u8>, part: &Part<'_>) {
    if let Some(field) = part.field("Content-Transfer-Encoding").filter(|field| is_sound(field.whole)) {
        whole(out, field.whole);
    }
}

/// A Content-Type field of ours.
fn content_type(out: &mut Vec<u8>, name: &str, parameters: &[(String, Vec<u8>)], boundary: Option<&str>) {
    let mut field = encode::Field::new(out, "Content-Type");
    field.token(name);
    if let Some(boundary) = boundary {
        field.parameter("boundary", boundary);
    }
    write_parameters(&mut field, parameters.iter().filter(|(name, _)| boundary.is_none() || name != "boundary"));
    field.end();
}

/// Parameters as they came, but for what could break the field.
fn write_parameters<'p>(field: &mut encode::Field<'_>, parameters: impl IntoIterator<Item = &'p (String, Vec<u8>)>) {
    for (name, value) in parameters {
        if name.len() < 40 && name.bytes().all(encode::is_token) {
            let value = guessed(value);
            field.parameter(name.strip_suffix('*').filter(|_| !value.is_ascii()).unwrap_or(name), &value);
        }
    }
}

/// Octets that came without a charset, as text.
fn guessed(bytes: &[u8]) -> String {
    Charset::Unnamed.to_utf8(bytes).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

fn is_content_field(name: &[u8]) -> bool {
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"Content-"))
}

/// Whether a Content-Type field says what the part was taken for.
fn names(value: &[u8], content: &ContentType) -> bool {
    ContentType::parse(value).name == content.name
}

/// The part's MIME fields but for its encoding.
fn content_fields(out: &mut Vec<u8>, part: &Part<'_>) {
    if let Some(field) = part.field("Content-Type") {
        if is_sound(field.whole) && names(field.value, &part.content) {
            whole(out, field.whole);
        } else {
            content_type(out, &part.content.name, &part.content.parameters, None);
        }
    }
    other_fields(out, part);
}

/// The part's MIME fields but for its type and its encoding: one of each name, as they came where
/// they are sound.
fn other_fields(out: &mut Vec<u8>, part: &Part<'_>) {
    const MADE_ANEW: [&str; 4] = ["Content-Type", "Content-Transfer-Encoding", "Content-Length", "Content-MD5"];
    let mut seen: Vec<&[u8]> = Vec::new();
    for field in part.fields.iter().filter(|field| is_content_field(field.name)) {
        let known = MADE_ANEW.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()))
            || seen.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        if known || seen.len() == 20 || field.name.len() > 40 {
            continue;
        }
        seen.push(field.name);
        if is_sound(field.whole) {
            whole(out, field.whole);
            continue;
        }
        let Ok(name) = std::str::from_utf8(field.name) else { continue };
        if name.eq_ignore_ascii_case("Content-Disposition") {
            let disposition = ContentType::parse(field.value);
            let word = if disposition.name == "inline" { "inline" } else { "attachment" };
            let mut written = encode::Field::new(out, "Content-Disposition");
            written.token(word);
            write_parameters(&mut written, &disposition.parameters);
            written.end();
        } else {
            let value = guessed(field.value);
            encode::text(out, name, &super::strip_text(value.trim()));
        }
    }
}

fn whole(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(field.trim_ascii_end());
    out.extend_from_slice(b"\r\n");
}

/// Whether a field can go on as it came: ASCII in short lines, no controls, no line of blanks
/// alone, and no token of ours.
fn is_sound(field: &[u8]) -> bool {
    fits(field)
        && field.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
        && field.split(|byte| *byte == b'\n').rev().skip(1).all(|line| !line.trim_ascii().is_empty())
        && matches!(strip(field), Cow::Borrowed(_))
}

/// Whether a body can stand on the wire: no line over 998 octets, no NUL (RFC 2045 §2.8).
fn fits(body: &[u8]) -> bool {
    !body.contains(&0) && body.split(|byte| *byte == b'\n').all(|line| line.len() <= LONGEST_LINE + 1)
}

/// Ends the message in one line end, without lines of blanks alone.
fn end(out: &mut Vec<u8>) {
    let start = find(out, b"\r\n\r\n").map_or(0, |at| at + 4);
    let mut kept = out.len();
    while kept > start {
        let line = out[start..kept].iter().rposition(|byte| *byte == b'\n').map_or(start, |at| start + at + 1);
        if !out[line..kept].trim_ascii().is_empty() {
            break;
        }
        // The line end before it goes with it, and is given back below.
        kept = if line > start { line - 1 } else { line };
        if kept > start && out[kept - 1] == b'\r' {
            kept -= 1;
        }
    }
    out.truncate(kept);
    if kept > start {
        out.extend_from_slice(b"\r\n");
    }
}

/// Where the needle is found first.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    loop {
        at += hay.get(at..)?.iter().position(|byte| *byte == first)?;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}
