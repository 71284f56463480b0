//! A property: a site or brand with an inbox of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::command::Allowed;
use super::forwarder::Forwarder;
use super::id::PropertyId;
use super::language::Language;
use super::public::Look;
use super::sender::Sender;
use super::slug::PropertySlug;
use super::ticket::{Assignee, Status};

/// A property as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub id: PropertyId,
    /// Never changes: it stands in addresses and ticket numbers.
    pub slug: PropertySlug,
    /// What readers see as the sender's house, `Jane Doe via <name>`.
    pub name: String,
    /// The language of everything that we write ourselves.
    pub language: Language,
    /// Full addresses in the local domains besides `slug@domain`.
    pub addresses: Vec<Address>,
    /// The well-known address that forwards to us.
    pub public: Option<Address>,
    /// Whether the DKIM record of the public address's domain was found, so that it may stand in
    /// From.
    pub public_verified: bool,
    /// Who gets a ticket that nobody was assigned.
    pub default_assignee: Option<Assignee>,
    /// What a member's public message makes of a ticket: pending, open or closed.
    pub after_reply: Status,
    /// Days after which a pending ticket closes by itself.
    pub auto_close_days: Option<u16>,
    /// Whether members must use their reply address or submission: an aligned From proves nothing.
    pub strict: bool,
    /// Addresses of web forms and groups whose mail bears its writer in X-Original-From or
    /// Reply-To.
    pub trusted: Vec<Address>,
    pub created_at: Timestamp,
    /// A removed property keeps its tickets and takes no mail.
    pub removed: bool,
    /// Whether a requester is told that his message has arrived.
    #[serde(default)]
    pub acknowledge: bool,
    /// The text of that, in the languages where it is the property's own.
    #[serde(default)]
    pub acknowledgements: BTreeMap<Language, String>,
    /// The commands that its members may give by mail.
    #[serde(default)]
    pub commands: Allowed,
    /// Whose word on SPF and DKIM of what they pass on counts for contacts.
    #[serde(default)]
    pub forwarders: Vec<Forwarder>,
    /// Whose mail is refused, whatever else speaks for it.
    #[serde(default)]
    pub blocked: Vec<Sender>,
    /// Whose aligned mail no filter and no blocklist stops.
    #[serde(default)]
    pub allowed: Vec<Sender>,
    /// When that record was last looked for.
    #[serde(default)]
    pub public_look: Option<Look>,
}

impl Property {
    /// `slug@domain`: where support mailboxes forward to, and what our loop field says on copies.
    #[must_use]
    pub fn forwarding_address(&self, domain: &str) -> Address {
        Address::new(self.slug.as_str(), domain)
            .expect("a slug is a local part, and domains are checked with the configuration")
    }
}
