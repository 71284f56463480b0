//! Writes a body part for part.

use std::borrow::Cow;

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;
use memchr::memmem;

use super::charset::{Charset, holds_ascii};
use super::commands;
use super::fields::{content_fields, content_type, encoding_as_it_came, encoding_field, is_of, other_fields};
use super::quoted;
use super::strip::strip;
use super::top::{self, Top};
use super::{BuildError, Plan};
use crate::mime::encode::{self, LONGEST_LINE};
use crate::mime::tree::{Encoding, Part, Shape};

/// Writes the MIME fields, the blank line and the body. The body ends in one line end, without
/// lines of blanks alone: some signers and verifiers disagree over those (RFC 6376 §3.4.4).
pub fn body(out: &mut Vec<u8>, raw: &[u8], root: &Part<'_>, plan: &Plan, top: Option<&Top>) -> Result<(), BuildError> {
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    let mut renderer = Renderer {
        top,
        commands: &plan.commands,
        unquoted: plan.for_member.is_none().then_some(plan.property.as_str()),
        eight_bit: plan.eight_bit,
        shrink: plan.left_out.is_some(),
        seed: seed(raw, plan.message_id.as_str()),
        boundaries: 0,
    };
    match protection(root).filter(|_| !renderer.shrink) {
        Some(Protection::Encrypted) => {
            for (name, value) in plan.for_member.iter().flat_map(|member| top::fields(member, plan.language)) {
                encode::text(out, name, &value);
            }
            renderer.unaltered(out, root)?;
        }
        Some(Protection::Signed) => match top {
            Some(top) => renderer.wrapped(out, top, |renderer, out| renderer.unaltered(out, root))?,
            None => renderer.unaltered(out, root)?,
        },
        None => renderer.root(out, root)?,
    }
    end(out);
    Ok(())
}

struct Renderer<'p> {
    /// What stands on top of the text, if anything.
    top: Option<&'p Top>,
    /// What is taken from the beginning of the text; none any more once there was text.
    commands: &'p [String],
    /// Whose line on top is taken from what is quoted: the property's slug, on a contact's copy.
    unquoted: Option<&'p str>,
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

impl<'p> Renderer<'p> {
    /// The whole message, with the line on top in its text or, where it has none, before it.
    fn root(&mut self, out: &mut Vec<u8>, root: &Part<'_>) -> Result<(), BuildError> {
        if !self.keeps(root) {
            let text = self.top.map(Top::plain).unwrap_or_default();
            written_text(out, text.trim_end(), self.eight_bit);
            return Ok(());
        }
        match self.top {
            Some(top) if !self.is_read_first(root) && root.content.name != "multipart/mixed" => {
                self.wrapped(out, top, |renderer, out| renderer.part(out, root, false))
            }
            _ => self.part(out, root, true),
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

    /// A part; `first`: it is, or holds, what its reader sees first.
    fn part(&mut self, out: &mut Vec<u8>, part: &Part<'_>, first: bool) -> Result<(), BuildError> {
        match &part.shape {
            Shape::Multipart(parts) => self.multipart(out, part, parts, first),
            Shape::Opaque => {
                self.as_it_is(out, &Part { body: &strip(part.body), ..part.clone() });
                Ok(())
            }
            Shape::Leaf => {
                self.leaf(out, part, first);
                Ok(())
            }
        }
    }

    fn multipart(
        &mut self,
        out: &mut Vec<u8>,
        part: &Part<'_>,
        parts: &[Part<'_>],
        mut first: bool,
    ) -> Result<(), BuildError> {
        let boundary = self.boundary();
        let start = out.len();
        content_type(out, &part.content.name, &part.content.parameters, Some(&boundary));
        other_fields(out, part);
        let mark = Mark { at: out.len(), start };
        let alternative = part.content.name == "multipart/alternative";
        if let Some(top) = self.top.filter(|_| first && !self.is_read_first(part)) {
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            written_text(out, top.plain().trim_end(), self.eight_bit);
            first = false;
        }
        let (commands, mut left) = (self.commands, self.commands);
        for part in parts.iter().filter(|part| self.keeps(part)).collect::<Vec<_>>() {
            if alternative {
                // Each says the same.
                self.commands = commands;
            }
            out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            if protection(part).is_some() && !self.shrink {
                self.unaltered(out, part)?;
                continue;
            }
            self.part(out, part, first && self.is_read_first(part))?;
            first &= alternative;
            if self.commands.len() < left.len() {
                left = self.commands;
            }
        }
        self.commands = left;
        out.extend_from_slice(format!("\r\n--{boundary}--").as_bytes());
        mark.label_eight_bit(out);
        Ok(())
    }

    /// Whether a part shows text that can be written to, or is a multipart whose reader sees such
    /// text first.
    fn is_read_first(&self, part: &Part<'_>) -> bool {
        if protection(part).is_some() && !self.shrink {
            return false;
        }
        match &part.shape {
            Shape::Opaque => false,
            Shape::Leaf => {
                matches!(part.content.name.as_str(), "text/plain" | "text/html")
                    && part.is_text()
                    && part.encoding != Encoding::Unknown
                    && !holds_pgp(part)
            }
            Shape::Multipart(parts) => {
                let mut parts = parts.iter().filter(|part| self.keeps(part));
                if part.content.name == "multipart/alternative" {
                    parts.any(|part| self.is_read_first(part))
                } else {
                    parts.next().is_some_and(|part| self.is_read_first(part))
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

    fn leaf(&mut self, out: &mut Vec<u8>, part: &Part<'_>, first: bool) {
        let is_html = part.content.name == "text/html";
        let shown = is_html || matches!(part.content.name.as_str(), "text/plain" | "text/enriched");
        let commands = if shown { self.commands } else { &[] };
        // What was searched for commands is the member's own text, whatever he quotes in it.
        let protected = holds_pgp(part) && commands.is_empty();
        // Of whatever type it says that it is.
        if !protected
            && shown_undecoded(part)
            && let Cow::Owned(body) = strip(part.body)
        {
            return self.leaf(out, &Part { body: &body, ..part.clone() }, first);
        }
        if !part.is_text() || protected {
            return self.as_it_is(out, part);
        }
        if part.encoding == Encoding::Unknown {
            return self.as_it_is(out, part);
        }
        let top = self.top.filter(|_| first);
        let mut charset = part.content.charset();
        let mut text = part.encoding.decode(part.body);
        let damaged = charset.is_none() && !text.is_ascii();
        let mut changed = damaged || part.field("Content-Type").is_some_and(|field| !is_of(field.value, &part.content));
        let quotes = self.unquoted.is_some_and(|slug| quoted::may_hold(&text, slug));
        let cuts = quotes || !commands.is_empty();
        let read_whole = cuts || !holds_ascii(charset.as_deref()) || damaged;
        let utf8 = if read_whole { Charset::of(charset.as_deref()).to_utf8(&text) } else { None };
        if let Some(utf8) = utf8.map(|utf8| String::from_utf8_lossy(&utf8).into_owned()) {
            let cut = self.without(&utf8, part, commands);
            let shown = cut.as_ref().unwrap_or(&utf8);
            let stripped = strip(shown.as_bytes());
            if changed || top.is_some() || cut.is_some() || matches!(stripped, Cow::Owned(_)) {
                text = Cow::Owned(stripped.into_owned());
                charset = Some("utf-8".to_owned());
                changed = true;
            }
        } else {
            // Octet by octet: all that is looked for is ASCII.
            let octets = || text.iter().map(|byte| char::from(*byte)).collect::<String>();
            let cut = if cuts { self.without(&octets(), part, commands) } else { None };
            if let Some(cut) = cut {
                text = Cow::Owned(cut.chars().filter_map(|c| u8::try_from(c).ok()).collect());
                changed = true;
            }
            if let Cow::Owned(stripped) = strip(&text) {
                text = Cow::Owned(stripped);
                changed = true;
            }
        }
        if let Some(top) = top {
            if is_html {
                text = Cow::Owned(top.onto_html(&text));
            } else if let Some(utf8) = Charset::of(charset.as_deref()).to_utf8(&text) {
                let utf8 = utf8.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&utf8);
                text = Cow::Owned([top.plain().as_bytes(), utf8].concat());
                charset = Some("utf-8".to_owned());
            } else {
                text = Cow::Owned([top.ascii().as_bytes(), &text].concat());
            }
            changed = true;
        }
        if !changed {
            return self.as_it_is(out, part);
        }
        let mut parameters = part.content.parameters.clone();
        parameters.retain(|(name, _)| name.split('*').next() != Some("charset"));
        if let Some(charset) = charset {
            parameters.insert(0, ("charset".to_owned(), charset.into_bytes()));
        }
        content_type(out, &part.content.name, &parameters, None);
        other_fields(out, part);
        encoded_text(out, &text, part.encoding, self.eight_bit);
    }

    /// Text without the commands that it starts with and, for a contact, without the members' line on
    /// top where it is quoted; `None` where it holds neither.
    fn without(&mut self, text: &str, part: &Part<'_>, commands: &'p [String]) -> Option<String> {
        let is_html = part.content.name == "text/html";
        let flowed = part.content.get("format").is_some_and(|format| format.eq_ignore_ascii_case(b"flowed"));
        let mut cut = None;
        if !commands.is_empty() {
            let without = if is_html {
                commands::from_html(text, commands)
            } else {
                commands::from_plain(text, commands, flowed)
            };
            self.commands = without.left;
            cut = without.text;
        }
        let text = cut.as_deref().unwrap_or(text);
        let unquoted = self
            .unquoted
            .and_then(|slug| if is_html { quoted::from_html(text, slug) } else { quoted::from_plain(text, slug) });
        unquoted.or(cut)
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
        let decoded = part.encoding.decode(part.body);
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
        if memmem::find(raw, seed.as_bytes()).is_none() {
            return seed;
        }
        round += 1;
    }
}

/// Whether some readers show the body as it stands, since it can't be decoded, or not wholly.
fn shown_undecoded(part: &Part<'_>) -> bool {
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=".contains(byte);
    match part.encoding {
        Encoding::Unknown => true,
        Encoding::Base64 => !part.body.iter().all(sound),
        Encoding::Identity | Encoding::QuotedPrintable => false,
    }
}

/// Whether a text soon holds an OpenPGP block (RFC 9580 §6.2), however it is encoded: then it is signed
/// or encrypted itself and is not written to. The block begins a line; what only names one is text.
fn holds_pgp(part: &Part<'_>) -> bool {
    const SOON: usize = 64 * 1024;
    const ARMOUR: &[u8] = b"-----BEGIN PGP ";
    let text = part.encoding.decode(&part.body[..part.body.len().min(SOON)]);
    let mut from = 0;
    while let Some(at) = memmem::find(&text[from..], ARMOUR).map(|at| from + at) {
        // In HTML a tag may stand before it.
        if at == 0 || matches!(text[at - 1], b'\n' | b'>') {
            return true;
        }
        from = at + ARMOUR.len();
    }
    false
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

/// Whether a body can stand on the wire: no line over 998 octets, no NUL (RFC 2045 §2.8).
pub(super) fn fits(body: &[u8]) -> bool {
    let short = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() <= LONGEST_LINE;
    !body.contains(&0) && body.split(|byte| *byte == b'\n').all(short)
}

/// Ends the message in one line end, without lines of blanks alone.
fn end(out: &mut Vec<u8>) {
    let start = memmem::find(out, b"\r\n\r\n").map_or(0, |at| at + 4);
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
