//! What is kept of a message once a mailbox has shown it, so that it is not read again.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::copy::Scope;
use super::id::TicketId;

/// What IMAP says of a message without its text, written out as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Octets of all of it, and of its header with the empty line.
    pub size: u32,
    pub header: u32,
    /// When it came to the desk.
    pub at: Timestamp,
    /// The address in it that is another for each reader.
    pub reply: Option<Reply>,
    /// ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).
    #[serde(with = "serde_bytes")]
    pub envelope: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub structure: Vec<u8>,
}

/// A [`Shape`] as it is kept, without copies of its parts.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Glance<'a> {
    pub size: u32,
    pub header: u32,
    at: &'a str,
    pub reply: Option<Reply>,
    pub envelope: &'a [u8],
    pub body: &'a [u8],
    pub structure: &'a [u8],
}

impl Glance<'_> {
    /// When the message came to the desk.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at.parse().unwrap_or_default()
    }
}

/// What the reply addresses of one message have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub ticket: TicketId,
    pub scope: Scope,
    /// The key that they are made with.
    pub key: u8,
}

/// What a message is made of, as it was when it was first shown: it never looks otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendering {
    /// Everything about it that is not in the mail itself; empty where it is shown as it came.
    #[serde(with = "serde_bytes")]
    pub plan: Vec<u8>,
    /// Its header, with the empty line.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
}

/// The header of a [`Rendering`] as it is kept, without a copy.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RenderedHeader<'a>(IgnoredAny, pub &'a [u8]);

/// What it is searched and sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said(#[serde(with = "serde_bytes")] pub Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_sees_what_is_kept() {
        let shape = Shape {
            size: 4_000,
            header: 300,
            at: "2026-11-23T10:00:00.5Z".parse().unwrap(),
            reply: Some(Reply { ticket: TicketId(7), scope: Scope::Public, key: 1 }),
            envelope: b"(\"e\")".to_vec(),
            body: b"(\"b\")".to_vec(),
            structure: b"(\"s\")".to_vec(),
        };
        let kept = rmp_serde::to_vec(&shape).unwrap();
        let glance: Glance<'_> = rmp_serde::from_slice(&kept).unwrap();
        assert_eq!((glance.size, glance.header, glance.at(), glance.reply), (4_000, 300, shape.at, shape.reply));
        assert_eq!(
            (glance.envelope, glance.body, glance.structure),
            (&*shape.envelope, &*shape.body, &*shape.structure)
        );

        let rendering = Rendering { plan: vec![1, 2], header: b"Subject: x\r\n\r\n".to_vec() };
        let kept = rmp_serde::to_vec(&rendering).unwrap();
        assert_eq!(rmp_serde::from_slice::<RenderedHeader<'_>>(&kept).unwrap().1, rendering.header);
    }
}
