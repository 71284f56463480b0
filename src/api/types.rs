//! What goes over the JSON API, field by field. Server and command line share these types, so a
//! name can't differ between them. Times are RFC 3339 in UTC, ids are texts.

mod names;
mod people;
mod property;
mod queue;
mod ticket;
pub mod trace;
mod upkeep;

use serde::{Deserialize, Serialize};

use crate::desk::address::Address;
pub use names::*;
pub use people::*;
pub use property::*;
pub use queue::*;
pub use ticket::*;
pub use upkeep::*;

/// A failure: `{"error":{"code","message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: ErrorBody,
}

/// What went wrong, for a program and for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of `invalid`, `not-found`, `conflict`, `forbidden`, `too-large`, `busy`, `internal`; on
    /// the command line also `usage` and `bad-config`.
    pub code: String,
    pub message: String,
}

/// Someone by name and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    pub address: Address,
}

/// Who works on a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignee {
    pub kind: AssigneeKind,
    /// A member's login address or a department's slug.
    pub id: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssigneeKind {
    Member,
    Department,
}

/// What was removed, by the name it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub removed: String,
}

/// Tells `null` from absent: what is present is `Some`.
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
