//! The team, and the people outside.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ticket;
use crate::desk::address::Address;
use crate::desk::member::Role;
use crate::desk::slug::PropertySlug;

/// `GET /members`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
    pub next: Option<String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The login address.
    pub address: Address,
    pub name: String,
    pub aliases: Vec<Address>,
    pub list: bool,
    /// His role in each property, by slug.
    pub roles: BTreeMap<String, Role>,
    /// Whether copies go to him by mail.
    pub copies: bool,
    /// Whether he has a password; it is never shown.
    pub password: bool,
    /// Addresses that he says are his, and that have not confirmed it yet.
    pub claims: Vec<Claim>,
    /// The login address, if it gets no copies since mail to it kept failing.
    pub suspended: Vec<Suspended>,
    pub created_at: Timestamp,
}

/// An address on its way to be a member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub address: Address,
    /// Until when it may confirm that.
    pub expires_at: Timestamp,
}

/// `POST /members`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    pub address: Address,
    pub name: String,
    pub property: PropertySlug,
    #[serde(default = "agent")]
    pub role: Role,
    #[serde(default)]
    pub aliases: Vec<Address>,
    #[serde(default)]
    pub list: bool,
    #[serde(default)]
    pub password: Option<String>,
}

/// `PATCH /members/{address}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditMember {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new login address; the old one becomes an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_aliases: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_aliases: Vec<Address>,
    /// Roles to give or change, by slug.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_properties: Vec<PropertySlug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// `GET /members/{address}/setup`: what is typed into a member's mail client. The password is one of
/// his app passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// His address, and the user name of both servers.
    pub address: Address,
    pub name: String,
    /// Where it reads, the best way first; empty where that is off.
    pub imap: Vec<ServerPort>,
    /// Where it sends, likewise.
    pub smtp: Vec<ServerPort>,
    /// As whom he may write besides himself.
    pub identities: Vec<Identity>,
    /// Whether clients find all this from the address, since its domain leads them here
    /// (`tls.autoconfig`).
    pub finds_itself: bool,
    /// Where Apple's devices get a profile; `null` where it is not served.
    pub apple: Option<String>,
    /// Whether the servers show a certificate that clients don't know.
    pub self_signed: bool,
}

/// A server's port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPort {
    pub host: String,
    pub port: u16,
    pub security: Security,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// From the first octet on.
    Tls,
    Starttls,
}

/// An address that a member may write as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub address: Address,
    /// The property's name for readers.
    pub name: String,
    pub property: PropertySlug,
}

/// `GET /members/{address}/app-passwords`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPasswords {
    pub app_passwords: Vec<AppPassword>,
}

/// A device that a member logs in from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    pub name: String,
    pub created_at: Timestamp,
    pub last_use: Option<LastUse>,
}

/// The last login of a device, to the minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    pub at: Timestamp,
    /// The network address that it came from.
    pub client: IpAddr,
    /// The SASL mechanism: `PLAIN`, `LOGIN` or `SCRAM-SHA-256`.
    pub mechanism: String,
}

/// `POST /members/{address}/app-passwords`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAppPassword {
    /// Which device it is for; no other of the member's has this name.
    pub name: String,
}

/// A password that was just made. Nobody can tell it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAppPassword {
    /// What to log in with.
    pub address: Address,
    pub name: String,
    pub password: String,
    pub created_at: Timestamp,
}

/// `GET /contacts`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contacts {
    pub contacts: Vec<Contact>,
    pub next: Option<String>,
}

/// An address that gets no copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    pub address: Address,
    pub since: Timestamp,
    /// The remote server's words at the last failure.
    pub reason: String,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub id: String,
    pub name: String,
    /// The first is the one shown.
    pub addresses: Vec<Address>,
    pub organisation: String,
    pub note: String,
    /// Those of his addresses that get no copies since mail to them kept failing.
    pub suspended: Vec<Suspended>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// His tickets, newest first, without entries; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Vec<Ticket>>,
}

/// `PATCH /contacts/{address}`: what is absent stays, an empty text empties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditContact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

/// `POST /contacts/{address}/merge`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// An address of the contact that stays.
    pub into: Address,
}

fn agent() -> Role {
    Role::Agent
}
