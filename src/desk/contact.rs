//! The people outside.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox};
use super::id::ContactId;

/// A contact as the store keeps him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub id: ContactId,
    /// Empty when no mail of his bore one.
    pub name: String,
    /// At least one; the first is the one shown.
    pub addresses: Vec<Address>,
    pub organisation: String,
    pub note: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The contact that took over his addresses and tickets.
    pub merged_into: Option<ContactId>,
}

impl Contact {
    /// Whether an address is one of his.
    #[must_use]
    pub fn has(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }

    /// His name with his first address.
    #[must_use]
    pub fn mailbox(&self) -> Option<Mailbox> {
        Some(Mailbox::new(self.name.clone(), self.addresses.first()?.clone()))
    }
}
