//! Pieces of messages: how an answer names them, and their octets (RFC 3501 §7.4.2).

use std::borrow::Cow;

use crate::imap::command::{Partial, Section, What};
use crate::imap::write::{announce, announce8, astring, put};
use crate::mime::shape::section;

/// A piece of a message, to be written as a literal.
pub(super) struct Piece<'o> {
    pub(super) whole: Cow<'o, [u8]>,
    pub(super) partial: Option<Partial>,
    /// It may have NUL.
    pub(super) binary: bool,
}

impl Piece<'_> {
    pub(super) fn octets(&self) -> &[u8] {
        let Some(Partial { first, count }) = self.partial else { return &self.whole };
        let rest = self.whole.get(first as usize..).unwrap_or_default();
        &rest[..rest.len().min(count as usize)]
    }

    pub(super) fn announce(&self, out: &mut Vec<u8>) {
        if self.binary { announce8(out, self.octets()) } else { announce(out, self.octets()) }
    }

    /// Writes some of its octets.
    pub(super) fn put(&self, octets: &[u8], out: &mut Vec<u8>) {
        if self.binary { out.extend_from_slice(octets) } else { put(out, octets) }
    }
}

pub(super) fn cut<'a>(octets: &'a [u8], section: &Section) -> Option<Cow<'a, [u8]>> {
    let what = match &section.what {
        What::Whole => section::What::Whole,
        What::Header => section::What::Header,
        What::HeaderFields(names) => section::What::HeaderFields(names),
        What::HeaderFieldsNot(names) => section::What::HeaderFieldsNot(names),
        What::Text => section::What::Text,
        What::Mime => section::What::Mime,
    };
    section::section(octets, &section.part, what)
}

pub(super) fn numbers(part: &[u32]) -> String {
    part.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

pub(super) fn origin(partial: Option<Partial>) -> String {
    partial.map(|partial| format!("<{}>", partial.first)).unwrap_or_default()
}

/// `BODY[1.2.HEADER.FIELDS (FROM)]<0>`
pub(super) fn section_name(section: &Section, partial: Option<Partial>) -> String {
    let mut name = numbers(&section.part);
    let fields = |what: &str, names: &[String]| {
        let mut text = format!("{what} (").into_bytes();
        for (n, name) in names.iter().enumerate() {
            text.extend_from_slice(if n > 0 { b" " } else { b"" });
            astring(&mut text, name);
        }
        text.push(b')');
        String::from_utf8_lossy(&text).into_owned()
    };
    let what = match &section.what {
        What::Whole => String::new(),
        What::Header => "HEADER".to_owned(),
        What::HeaderFields(names) => fields("HEADER.FIELDS", names),
        What::HeaderFieldsNot(names) => fields("HEADER.FIELDS.NOT", names),
        What::Text => "TEXT".to_owned(),
        What::Mime => "MIME".to_owned(),
    };
    if !name.is_empty() && !what.is_empty() {
        name.push('.');
    }
    format!("BODY[{name}{what}]{}", origin(partial))
}
