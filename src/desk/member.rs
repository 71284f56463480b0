//! The people of the team.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox};
use super::id::{MemberId, PropertyId};
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

impl Member {
    /// Whether he belongs to the property.
    #[must_use]
    pub fn is_of(&self, property: PropertyId) -> bool {
        !self.removed && self.roles.contains_key(&property)
    }

    /// Whether an address is one of his.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        self.login == *address || self.aliases.contains(address)
    }

    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.name.clone(), self.login.clone())
    }
}
