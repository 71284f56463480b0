//! What IMAP says of one message, from its octets alone (RFC 3501 §6.4.5, §7.4.2; RFC 9051).
//!
//! [`shape`] writes what every FETCH of a message answers with, and gathers what SEARCH, SORT and
//! THREAD ask for; it is done once a message. [`section::section`] and [`section::binary`] cut pieces out of
//! it, [`search`] looks into its text, [`thread`] puts messages into conversations. No store, no
//! session, no I/O.
//!
//! Whatever the octets are, what is written is grammatical. All read the message through one
//! [`Outline`], so that a part that a client is told of can be fetched by its number.

pub mod fields;
pub mod search;
pub mod section;
pub mod thread;

mod envelope;
mod outline;
mod structure;
mod wire;

use self::fields::Fields;
use self::outline::Outline;

/// What is known of a message without looking at it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// ENVELOPE, in its parentheses, as on the wire; literals and all.
    pub envelope: Vec<u8>,
    /// BODY, the same.
    pub body: Vec<u8>,
    /// BODYSTRUCTURE, the same: BODY with the extension data.
    pub structure: Vec<u8>,
    /// Octets of the header, the blank line behind it included.
    pub header: u32,
    /// Octets of all.
    pub size: u32,
    pub fields: Fields,
}

/// Reads a message, CRLF line ends as they came.
///
/// Parts nested too deep, and a message of too many parts, are opaque: `application/octet-stream`
/// (the bounds are those of [`Limits`](super::understand::Limits)).
#[must_use]
pub fn shape(message: &[u8]) -> Shape {
    let outline = Outline::read(message);
    let root = outline.root();
    let mut shape = Shape {
        header: octets(root.head),
        size: octets(message),
        fields: Fields::read(&root.header),
        ..Shape::default()
    };
    envelope::write(&mut shape.envelope, &root.header);
    structure::write(&mut shape.body, &outline, false);
    structure::write(&mut shape.structure, &outline, true);
    shape
}

/// A count as IMAP has it. No message that is taken comes near the limit.
fn octets(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
