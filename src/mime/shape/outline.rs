//! A message's parts as IMAP numbers them (RFC 3501 §6.4.5).

use crate::mime::header::Header;
use crate::mime::parts::{self, Part, Tree};
use crate::mime::transfer::Encoding;
use crate::mime::understand::{Limits, Problem};

/// The tree of a message, and what each part of it is to IMAP.
pub(super) struct Outline<'a> {
    tree: Tree<'a>,
    /// Where some of the parts belong, nobody looked: the message is one part.
    too_many: bool,
}

/// What a part is.
pub(super) enum Kind<'t> {
    /// It holds parts, one at least.
    Multipart(&'t [usize]),
    /// A message: which part its root is.
    Message(usize),
    Text,
    /// A multipart in which no boundary was found. Readers show it as text, and so does a copy of it.
    Lost,
    /// Anything else.
    File,
    /// A container that is not looked into.
    Opaque,
}

impl<'a> Outline<'a> {
    pub(super) fn read(message: &'a [u8]) -> Self {
        let limits = Limits::default();
        let tree = parts::read(message, Header::read(message, limits.fields), &limits);
        let too_many = tree.problems.contains(&Problem::TooManyParts);
        Self { tree, too_many }
    }

    pub(super) fn root(&self) -> &Part<'a> {
        self.part(0)
    }

    /// A part by its place in the tree, as [`Kind`] and [`Outline::find`] tell it.
    pub(super) fn part(&self, index: usize) -> &Part<'a> {
        &self.tree.parts[index]
    }

    /// All parts, in the order in which they start.
    pub(super) fn parts(&self) -> &[Part<'a>] {
        &self.tree.parts
    }

    pub(super) fn kind(&self, index: usize) -> Kind<'_> {
        let part = self.part(index);
        let token = part.content_type.token.as_str();
        let is_message = part.is("message/rfc822") || part.is("message/global");
        match part.children.first() {
            _ if self.too_many && index == 0 => Kind::Opaque,
            _ if part.opaque => Kind::Opaque,
            Some(root) if is_message => Kind::Message(*root),
            // Encoded, or nothing in it.
            None if is_message => Kind::Opaque,
            Some(_) => Kind::Multipart(&part.children),
            None if part.is_multipart() => Kind::Lost,
            None if token.starts_with("text/") => Kind::Text,
            None => Kind::File,
        }
    }

    /// The part of a number, `[1, 2]` for `1.2`; the message itself for an empty one.
    pub(super) fn find(&self, number: &[u32]) -> Option<usize> {
        let mut at = 0;
        // A message that is no multipart has one part: its text, as `1`.
        let mut is_message = true;
        for step in number {
            if !is_message && let Kind::Message(root) = self.kind(at) {
                (at, is_message) = (root, true);
            }
            let place = usize::try_from(*step).ok()?.checked_sub(1)?;
            match self.kind(at) {
                Kind::Multipart(children) => at = *children.get(place)?,
                _ if is_message && place == 0 => {}
                _ => return None,
            }
            is_message = false;
        }
        Some(at)
    }

    /// Header and text of the message that a part of a number is; `None` where it is none.
    pub(super) fn message(&self, number: &[u32]) -> Option<(&'a [u8], &'a [u8])> {
        let at = self.find(number)?;
        let part = self.part(at);
        let Kind::Message(root) = self.kind(at) else { return None };
        let root = self.part(root);
        // The line end in front of a delimiter is none of the message, even where it ends the header.
        Some((&part.body[..root.head.len().min(part.body.len())], root.body))
    }

    /// How the octets of a part are written. A container has no encoding (RFC 2045 §6.4), whatever it says.
    pub(super) fn encoding(&self, index: usize) -> Encoding {
        match self.kind(index) {
            Kind::Multipart(_) | Kind::Message(_) | Kind::Lost => Encoding::Identity,
            Kind::Opaque if self.part(index).is_multipart() => Encoding::Identity,
            Kind::Text | Kind::File | Kind::Opaque => self.part(index).encoding,
        }
    }
}
