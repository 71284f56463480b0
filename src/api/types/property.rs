//! Properties, and what they may be told to change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Assignee, Person, present};
use crate::desk::address::Address;
use crate::desk::command::Allowed;
use crate::desk::confirmation::Provider;
use crate::desk::forwarder::Forwarder;
use crate::desk::language::Language;
use crate::desk::sender::Sender;
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::desk::ticket::Status;

/// `GET /properties`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    pub properties: Vec<Property>,
    pub next: Option<String>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub slug: PropertySlug,
    pub name: String,
    pub language: Language,
    /// Every address that it takes mail at, the forwarding address first.
    pub addresses: Vec<Address>,
    pub forwarding_address: Address,
    pub public: Option<Address>,
    /// Whether contacts see the public address in From.
    pub public_verified: bool,
    /// Since when its domain's DKIM record was looked for and not there.
    #[serde(default)]
    pub public_missing_since: Option<Timestamp>,
    pub default_assignee: Option<Assignee>,
    pub after_reply: Status,
    pub auto_close_days: Option<u16>,
    pub strict: bool,
    /// Addresses of web forms and groups whose writer stands in Reply-To.
    pub trusted: Vec<Address>,
    /// Whether a requester is told that his message has arrived.
    pub acknowledge: bool,
    /// The text of that by language, where it is the property's own.
    pub acknowledgements: BTreeMap<Language, String>,
    /// The commands that members may give by mail: `all`, `none`, or `close,tag`.
    pub commands: Allowed,
    /// Domains whose word on SPF and DKIM of the mail that they forward counts.
    pub forwarders: Vec<Forwarder>,
    /// What providers asked it to confirm, the newest first.
    pub forwarding_confirmations: Vec<Confirmation>,
    /// Addresses and domains whose mail is refused.
    #[serde(default)]
    pub blocked: Vec<Sender>,
    /// Addresses and domains whose aligned mail no filter and no blocklist stops.
    #[serde(default)]
    pub allowed: Vec<Sender>,
    pub created_at: Timestamp,
}

/// A provider asks whether a mailbox may forward to a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub provider: Provider,
    /// The mailbox that wants to forward.
    pub mailbox: Option<Address>,
    pub code: Option<String>,
    /// On one of the provider's own hosts.
    pub link: Option<String>,
    /// Where the mail itself is kept.
    pub ticket: String,
    pub at: Timestamp,
}

/// `POST /properties`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProperty {
    pub slug: PropertySlug,
    pub name: String,
    #[serde(default)]
    pub addresses: Vec<Address>,
    #[serde(default)]
    pub public: Option<Address>,
    #[serde(default)]
    pub language: Language,
}

/// `PATCH /properties/{slug}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditProperty {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_addresses: Vec<Address>,
    /// `null` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub public: Option<Option<Address>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// A member or department; `null` for nobody.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default_assignee: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_reply: Option<Status>,
    /// `null` turns it off.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub auto_close_days: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distrust: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<bool>,
    /// Texts by language; `null` goes back to the desk's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub acknowledgements: BTreeMap<Language, Option<String>>,
    /// `all`, `none`, or `close,tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Allowed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_forwarders: Vec<Forwarder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_forwarders: Vec<Forwarder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unblock: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disallow: Vec<Sender>,
}

/// `GET /departments`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departments {
    pub departments: Vec<Department>,
    pub next: Option<String>,
}

/// A department.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Department {
    pub property: PropertySlug,
    pub slug: DepartmentSlug,
    pub name: String,
    /// Where mail for it goes, `slug+department@domain`.
    pub address: Address,
    pub members: Vec<Person>,
}

/// `POST /properties/{slug}/departments`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDepartment {
    pub slug: DepartmentSlug,
    pub name: String,
    #[serde(default)]
    pub members: Vec<Address>,
}

/// `PATCH /properties/{slug}/departments/{slug}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditDepartment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_members: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_members: Vec<Address>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_key_stays_and_null_takes_away() {
        let edit: EditProperty = serde_json::from_str(r#"{"public":null}"#).unwrap();
        assert_eq!(edit, EditProperty { public: Some(None), ..EditProperty::default() });
        assert_eq!(serde_json::to_string(&edit).unwrap(), r#"{"public":null}"#);
        assert_eq!(serde_json::from_str::<EditProperty>("{}").unwrap(), EditProperty::default());
        assert!(serde_json::from_str::<EditProperty>(r#"{"nmae":"x"}"#).is_err());
    }
}
