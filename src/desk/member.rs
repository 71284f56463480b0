//! The people of the team.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox};
use super::id::{EntryId, MemberId, PropertyId, TicketId};
use super::ticket::named;

/// What a member may do in a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Agent,
    Admin,
}

named!(Role, "role", Agent = "agent", Admin = "admin");

/// A member as the store keeps him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: MemberId,
    pub name: String,
    /// The address that he logs in with and that copies go to.
    pub login: Address,
    /// Further addresses that count as his.
    pub aliases: Vec<Address>,
    /// A distribution address without login; whoever answers from it is another member.
    pub list: bool,
    /// His role in each property where he has one.
    pub roles: BTreeMap<PropertyId, Role>,
    /// The hash of his password, in PHC string format.
    pub password: Option<String>,
    /// Whether he wants copies by mail. Off for one who lives in IMAP.
    pub copies: bool,
    pub created_at: Timestamp,
    /// A removed member keeps his name on what he wrote, and nothing else.
    pub removed: bool,
}

/// An address that a member's own mail seems to have come from, on its way to be one of his.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressClaim {
    pub address: Address,
    /// The held entry that came from it.
    pub ticket: TicketId,
    pub entry: EntryId,
    /// When he was told how to make it his; that is done once.
    pub told_at: Timestamp,
    /// When the address itself was last asked.
    pub asked_at: Option<Timestamp>,
    /// Until when its answer counts; `None` before it was asked, and after it has answered.
    pub expires_at: Option<Timestamp>,
}

impl AddressClaim {
    /// Whether a yes from the address would make it his.
    #[must_use]
    pub fn is_pending(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires| now < expires)
    }
}

impl Member {
    /// Whether he belongs to the property.
    #[must_use]
    pub fn is_of(&self, property: PropertyId) -> bool {
        !self.removed && self.roles.contains_key(&property)
    }

    /// Whether he is told by mail of what nobody works on there.
    #[must_use]
    pub fn hears_of(&self, property: PropertyId) -> bool {
        self.copies && self.is_of(property)
    }

    /// Whether an address is one of his.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        self.login == *address || self.aliases.contains(address)
    }

    /// All addresses that count as his, the login first.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        std::iter::once(&self.login).chain(&self.aliases).cloned().collect()
    }

    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.name.clone(), self.login.clone())
    }
}
