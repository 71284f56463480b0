//! What is kept of a message once a mailbox has shown it, so that it is not read again.

use jiff::Timestamp;
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

/// What it is searched and sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said(#[serde(with = "serde_bytes")] pub Vec<u8>);
