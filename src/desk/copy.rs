//! Copies: one entry on its way to one participant, and so also the queue's records.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::id::{CopyId, EntryId, PropertyId, TicketId};
use super::letter::Letter;
use super::message_id::MessageId;
use super::ticket::{Person, named};

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    Queued,
    /// The next server took it.
    Sent,
    /// The next server, or the route, said: later; or a server further on reported that it is late.
    Deferred,
    /// Given up; `reply` says why.
    Failed,
    /// No longer wanted, by a person or because its reader left.
    Cancelled,
    /// Kept back by a person, until one releases it.
    Held,
}

named!(
    CopyState,
    "state",
    Queued = "queued",
    Sent = "sent",
    Deferred = "deferred",
    Failed = "failed",
    Cancelled = "cancelled",
    Held = "held"
);

/// Who may see what answers a copy; stands in the reader's reply address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Public,
    Note,
}

/// What the copy's text is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The entry itself.
    Entry,
    /// The conversation so far, for a new assignee.
    Conversation,
    /// What the desk itself has to say of the entry.
    Letter(Letter),
}

/// A copy as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub id: CopyId,
    pub property: PropertyId,
    pub ticket: TicketId,
    pub entry: EntryId,
    pub person: Person,
    pub to: Address,
    pub scope: Scope,
    pub content: Content,
    /// Its own, unless it is the entry: an entry's copies all bear the entry's.
    pub message_id: Option<MessageId>,
    /// The key that its reply address and envelope sender are made with.
    pub key: u8,
    pub state: CopyState,
    /// How often it was offered to the next server.
    pub attempts: u32,
    pub queued_at: Timestamp,
    /// When it is offered next; `None` once it is sent, failed or cancelled.
    pub next_at: Option<Timestamp>,
    /// The next server's own words, or what kept us from hearing any.
    pub reply: Option<String>,
    pub updated_at: Timestamp,
    /// Attachments are listed instead of sent: the next server refused it for its size.
    pub shrunk: bool,
    /// The server that said `reply`, as `mx.example.com [192.0.2.1]`; `None` where none did.
    #[serde(default)]
    pub server: Option<String>,
    /// When a person last asked for it to be tried anew.
    #[serde(default)]
    pub renewed_at: Option<Timestamp>,
}

impl Copy {
    /// From when the time counts for which it is tried.
    #[must_use]
    pub fn tried_since(&self) -> Timestamp {
        self.renewed_at.unwrap_or(self.queued_at)
    }

    /// Whether the queue lists it by its state: not what was sent, nor what was sent and is deferred
    /// since a server further on reports that it is late. That waits there.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        match self.state {
            CopyState::Sent => false,
            CopyState::Deferred => self.next_at.is_some(),
            CopyState::Queued | CopyState::Failed | CopyState::Cancelled | CopyState::Held => true,
        }
    }

    /// What was said last, and by whom: `550 5.1.1 no such user (mx.example.com [192.0.2.1])`.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let reply = self.reply.as_ref()?;
        Some(match &self.server {
            Some(server) => format!("{reply} ({server})"),
            None => reply.clone(),
        })
    }
}

/// One offer of a copy to a server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub at: Timestamp,
    /// As [`Copy::server`].
    pub server: Option<String>,
    /// What it made of the copy: sent, deferred or failed.
    pub outcome: CopyState,
    pub reply: String,
}

impl Tried {
    /// How many of a copy's first offers are kept.
    pub const FIRST: u32 = 5;
    /// How many of its last ones are kept besides.
    pub const LAST: u32 = 15;
}
