//! Tickets: one conversation each.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::entry::Door;
use super::id::{ContactId, DepartmentId, MemberId, PropertyId, TicketId};
use super::slug::PropertySlug;

/// The public name of a ticket, `acme-1042`: its property's slug and a number counted per property.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketRef {
    pub property: PropertySlug,
    pub number: u64,
}

/// A text that is no ticket's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ticket's name looks like acme-1042")]
pub struct TicketRefError;

impl FromStr for TicketRef {
    type Err = TicketRefError;

    fn from_str(text: &str) -> Result<Self, TicketRefError> {
        let (property, number) = text.rsplit_once('-').ok_or(TicketRefError)?;
        if number.starts_with('0') || number.len() > 15 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TicketRefError);
        }
        Ok(Self {
            property: property.parse().map_err(|_| TicketRefError)?,
            number: number.parse().map_err(|_| TicketRefError)?,
        })
    }
}

impl TryFrom<String> for TicketRef {
    type Error = TicketRefError;

    fn try_from(text: String) -> Result<Self, TicketRefError> {
        text.parse()
    }
}

impl From<TicketRef> for String {
    fn from(reference: TicketRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for TicketRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.property, self.number))
    }
}

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits for the team.
    Open,
    /// It waits for the contact, or for its `wake_at`.
    Pending,
    Closed,
    Spam,
    Trash,
}

/// How soon a ticket wants an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

/// Implements `Display` and `FromStr` by the names that JSON uses.
macro_rules! named {
    ($type:ident, $what:literal, $($case:ident = $name:literal),+) => {
        impl $type {
            /// Every case with its name.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($name, Self::$case)),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$case => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
                Self::ALL
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(text))
                    .map(|(_, case)| *case)
                    .ok_or_else(|| format!("{text:?} is no {}; one of {}", $what, names.join(", ")))
            }
        }
    };
}
pub(crate) use named;

named!(Status, "status", Open = "open", Pending = "pending", Closed = "closed", Spam = "spam", Trash = "trash");
named!(Priority, "priority", Low = "low", Normal = "normal", High = "high", Urgent = "urgent");

/// Who works on a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assignee {
    Member(MemberId),
    Department(DepartmentId),
}

/// Someone a copy can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Person {
    Contact(ContactId),
    Member(MemberId),
}

/// On what ground someone is on a ticket. Assignees are not listed among the participants: they
/// follow from [`Ticket::assignee`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ground {
    Requester,
    Cc,
    Follower,
}

/// Whether a participant gets copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Accepted,
    /// Named by somebody, accepted by no member yet: gets nothing.
    Proposed,
}

/// Someone a ticket's public messages go to, or may go to once accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub person: Person,
    pub ground: Ground,
    pub standing: Standing,
    /// Where his copies go: for a contact the address that he last wrote from here.
    pub address: Address,
    /// Whether an aligned requester named him in To or Cc, so that a member's answer accepts him.
    pub named_by_requester: bool,
}

/// A ticket as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub id: TicketId,
    pub reference: TicketRef,
    pub property: PropertyId,
    /// As its first message had it, decoded.
    pub subject: String,
    pub status: Status,
    /// When a snoozed ticket opens again; only on a pending one.
    pub wake_at: Option<Timestamp>,
    pub priority: Priority,
    pub tags: BTreeSet<String>,
    pub assignee: Option<Assignee>,
    /// The requester first; every person at most once.
    pub participants: Vec<Participant>,
    /// The way that the ticket came in.
    pub door: Door,
    /// The ticket that took over its entries.
    pub merged_into: Option<TicketId>,
    /// The closed ticket that this one goes on from.
    pub continues: Option<TicketId>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Since when it has its status.
    pub status_since: Timestamp,
    /// Since when something on it goes on by itself and is only kept; its members were told so. A
    /// member who writes ends it.
    #[serde(default)]
    pub quiet_since: Option<Timestamp>,
}

impl Ticket {
    /// The contact that the ticket is for. Every ticket has one.
    #[must_use]
    pub fn requester(&self) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.ground == Ground::Requester)
    }

    #[must_use]
    pub fn participant(&self, person: Person) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.person == person)
    }

    pub fn participant_mut(&mut self, person: Person) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|participant| participant.person == person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tickets() {
        let name: TicketRef = "Acme-eu-1042".parse().unwrap();
        assert_eq!((name.property.as_str(), name.number), ("acme-eu", 1042));
        assert_eq!(name.to_string(), "acme-eu-1042");
        for bad in ["acme", "acme-", "acme-01", "acme-1x", "-1", "acme-1000000000000000", "acme--"] {
            assert!(bad.parse::<TicketRef>().is_err(), "{bad}");
        }
    }
}
