//! Pieces of a message (RFC 3501 §6.4.5), and parts without their encoding (RFC 3516).

use std::borrow::Cow;

use super::outline::Outline;
use crate::mime::header::Header;
use crate::mime::transfer::Encoding;
use crate::mime::understand::Limits;

/// What of a message or a part is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What<'q> {
    /// All of it; of a part its body.
    #[default]
    Whole,
    Header,
    /// The fields of these names.
    HeaderFields(&'q [String]),
    /// The fields of all other names.
    HeaderFieldsNot(&'q [String]),
    Text,
    /// A part's own MIME header.
    Mime,
}

/// Cuts out a section; `part` is `[1, 2]` for `1.2`, empty for the message itself.
///
/// `Header`, `HeaderFields`, `HeaderFieldsNot` and `Text` are about the message, or about a part that is a
/// message; `Mime` is about a part. HEADER.FIELDS are in the order of the message, each as it is folded there,
/// and a blank line ends them, also where there is none of them.
///
/// `None`: there is no such part, or none of which this can be asked. FETCH answers it with NIL
/// (RFC 3501 §7.4.2, `nstring`). A part that is there and empty is `Some`, and answered with `""`.
///
/// The header of the message itself costs as much as that header is long; everything else reads the message.
#[must_use]
pub fn section<'a>(message: &'a [u8], part: &[u32], what: What<'_>) -> Option<Cow<'a, [u8]>> {
    if part.is_empty() {
        if what == What::Whole {
            return Some(Cow::Borrowed(message));
        }
        let header = Header::read(message, Limits::default().fields);
        let (head, text) = message.split_at(header.body_at.min(message.len()));
        return of_message(what, head, text, &header);
    }
    let outline = Outline::read(message);
    match what {
        What::Whole => outline.find(part).map(|at| Cow::Borrowed(outline.part(at).body)),
        What::Mime => outline.find(part).map(|at| Cow::Borrowed(outline.part(at).head)),
        What::Header | What::HeaderFields(_) | What::HeaderFieldsNot(_) | What::Text => {
            let (head, text) = outline.message(part)?;
            // All of its fields: of a part's no more are kept than parts need.
            of_message(what, head, text, &Header::of_part(head, Limits::default().fields))
        }
    }
}

fn of_message<'a>(what: What<'_>, head: &'a [u8], text: &'a [u8], header: &Header<'a>) -> Option<Cow<'a, [u8]>> {
    let is_named = |names: &[String], name: &str| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    match what {
        What::Header => Some(Cow::Borrowed(head)),
        What::HeaderFields(names) => Some(Cow::Owned(fields(header, |name| is_named(names, name)))),
        What::HeaderFieldsNot(names) => Some(Cow::Owned(fields(header, |name| !is_named(names, name)))),
        What::Text => Some(Cow::Borrowed(text)),
        What::Whole | What::Mime => None,
    }
}

fn fields(header: &Header<'_>, wanted: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in header.fields.iter().filter(|field| wanted(field.name)) {
        out.extend_from_slice(field.whole);
        if !field.whole.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A part is written in an encoding that nobody knows: `NO [UNKNOWN-CTE]` (RFC 3516 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the part is in an unknown content-transfer-encoding")]
pub struct UnknownEncoding;

/// The octets of a part without their content-transfer-encoding (RFC 3516 §4.2). What holds parts has
/// none and is as it stands, as is the message itself. `None`: there is no such part.
///
/// # Errors
/// [`UnknownEncoding`].
pub fn binary<'a>(message: &'a [u8], part: &[u32]) -> Result<Option<Cow<'a, [u8]>>, UnknownEncoding> {
    if part.is_empty() {
        return Ok(Some(Cow::Borrowed(message)));
    }
    let outline = Outline::read(message);
    let Some(at) = outline.find(part) else { return Ok(None) };
    match outline.encoding(at) {
        Encoding::Unknown => Err(UnknownEncoding),
        encoding => Ok(Some(encoding.decode(outline.part(at).body))),
    }
}

/// How many octets [`binary`] gives (RFC 3516 §4.2, BINARY.SIZE).
///
/// # Errors
/// [`UnknownEncoding`].
pub fn binary_size(message: &[u8], part: &[u32]) -> Result<Option<u32>, UnknownEncoding> {
    Ok(binary(message, part)?.map(|octets| super::octets(&octets)))
}
