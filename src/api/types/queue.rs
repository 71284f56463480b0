//! Copies on their way, and what is done to them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desk::address::Address;
use crate::desk::copy::CopyState;

/// `GET /queue`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub copies: Vec<QueuedCopy>,
    pub next: Option<String>,
}

/// A copy, as the queue shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedCopy {
    pub id: String,
    pub ticket: String,
    pub entry: String,
    pub to: Address,
    /// The recipient's domain, in A-labels.
    pub destination: String,
    pub state: CopyState,
    pub attempts: u32,
    pub reply: Option<String>,
    /// The server that said `reply`, by name and address.
    pub server: Option<String>,
    pub queued_at: Timestamp,
    /// When it is offered next; `null` while it is held, and once it is sent, failed or cancelled.
    pub next_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    /// Why nothing is sent to its destination now, where that is so.
    pub outage: Option<Outage>,
    /// Its offers, the first and the last ones; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Vec<Try>>,
}

/// A destination, or the way out for everybody, to which nothing is sent until it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// A server's last words, or what kept us from hearing any.
    pub words: String,
}

/// One offer of a copy to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Counted from 1.
    pub number: u32,
    pub at: Timestamp,
    pub server: Option<String>,
    /// What it made of the copy: sent, deferred or failed.
    pub outcome: CopyState,
    pub reply: String,
}

/// `GET /queue/summary`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSummary {
    /// The most copies first.
    pub destinations: Vec<QueueDestination>,
    /// How many more destinations have copies that wait.
    pub more: usize,
    /// The one way out for everybody is down: all that waits, waits for it.
    pub outage: Option<Outage>,
}

/// The copies that wait for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDestination {
    pub destination: String,
    pub queued: u64,
    pub deferred: u64,
    pub held: u64,
    /// Since when the oldest waits.
    pub oldest_at: Timestamp,
    pub outage: Option<Outage>,
}

/// `POST /queue/actions`: what is done to which copies; one of `ticket`, `destination` and `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueAction {
    /// `hold`, `release`, `retry` or `cancel`.
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    #[serde(default)]
    pub all: bool,
    /// Where the answer before said to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// How many copies it was done to, and where to go on: one request does so many and no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDone {
    pub done: u64,
    pub next: Option<String>,
}
