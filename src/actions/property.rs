//! Properties: added, changed, removed.

use std::collections::BTreeMap;

use super::{Act, ActionError, find, views};
use crate::desk::address::Address;
use crate::desk::command::Allowed;
use crate::desk::forwarder::Forwarder;
use crate::desk::id::PropertyId;
use crate::desk::language::Language;
use crate::desk::property::Property;
use crate::desk::sender::{MOST_SENDERS, Sender};
use crate::desk::slug::PropertySlug;
use crate::desk::ticket::Status;
use crate::store::tables::{PROPERTIES, PROPERTY_ADDRESSES, PROPERTY_IDS, PROPERTY_SLUGS, PUBLIC_ADDRESSES};
use crate::store::{Read, Tx};

/// A property to add.
#[derive(Clone, Debug)]
pub struct New {
    pub slug: PropertySlug,
    pub name: String,
    pub addresses: Vec<Address>,
    pub public: Option<Address>,
    pub language: Language,
}

/// What is to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub add_addresses: Vec<Address>,
    pub remove_addresses: Vec<Address>,
    pub public: Option<Option<Address>>,
    pub language: Option<Language>,
    /// A member or a department, or `none`.
    pub default_assignee: Option<String>,
    pub after_reply: Option<Status>,
    pub auto_close_days: Option<Option<u16>>,
    pub strict: Option<bool>,
    /// Web forms and groups that name their writer in X-Original-From or Reply-To.
    pub trust: Vec<Address>,
    /// Those that are believed no more.
    pub distrust: Vec<Address>,
    pub acknowledge: Option<bool>,
    /// The property's own text of acknowledgements by language; `None` goes back to ours.
    pub acknowledgements: BTreeMap<Language, Option<String>>,
    /// The commands that members may give by mail.
    pub commands: Option<Allowed>,
    /// Whose word on SPF and DKIM counts.
    pub add_forwarders: Vec<Forwarder>,
    pub remove_forwarders: Vec<Forwarder>,
    /// Whose mail is refused.
    pub block: Vec<Sender>,
    pub unblock: Vec<Sender>,
    /// Whose aligned mail no filter and no blocklist stops.
    pub allow: Vec<Sender>,
    pub disallow: Vec<Sender>,
}

/// The longest text of an acknowledgement, in characters.
const LONGEST_ACKNOWLEDGEMENT: usize = 10_000;

/// Adds a property.
pub fn add(tx: &mut Tx<'_>, act: &Act<'_>, new: New) -> Result<Property, ActionError> {
    if let Some(id) = tx.get(&PROPERTY_SLUGS, &new.slug)? {
        let by = find::property_by_id(tx, id)?.name;
        return Err(ActionError::Taken { what: "slug", name: new.slug.to_string(), by });
    }
    let mut property = Property {
        id: PropertyId(tx.allocate(&PROPERTY_IDS, &())?),
        slug: new.slug,
        name: check_name(&new.name)?,
        language: new.language,
        addresses: Vec::new(),
        public: None,
        public_verified: false,
        default_assignee: None,
        after_reply: Status::Pending,
        auto_close_days: None,
        strict: false,
        trusted: Vec::new(),
        created_at: act.now,
        removed: false,
        acknowledge: false,
        acknowledgements: BTreeMap::new(),
        commands: Allowed::default(),
        forwarders: Vec::new(),
        blocked: Vec::new(),
        allowed: Vec::new(),
        public_look: None,
    };
    tx.put(&PROPERTY_SLUGS, &property.slug, &property.id)?;
    let changes = Changes { add_addresses: new.addresses, public: Some(new.public), ..Changes::default() };
    apply(tx, act, &mut property, changes)?;
    tx.put(&PROPERTIES, &property.id, &property)?;
    Ok(property)
}

/// Changes a property.
pub fn edit(tx: &mut Tx<'_>, act: &Act<'_>, slug: &str, changes: Changes) -> Result<Property, ActionError> {
    let mut property = find::property(tx, slug)?;
    apply(tx, act, &mut property, changes)?;
    tx.put(&PROPERTIES, &property.id, &property)?;
    Ok(property)
}

/// Removes a property: it takes no mail any more; its tickets stay, and its slug is not used again.
/// Not the postmaster's: his mail would go to whichever property is the oldest then.
pub fn remove(tx: &mut Tx<'_>, act: &Act<'_>, slug: &str) -> Result<Property, ActionError> {
    let mut property = find::property(tx, slug)?;
    if act.desk.postmaster.as_ref() == Some(&property.slug) {
        return Err(ActionError::refused(format!(
            "{} gets the mail for postmaster@ and abuse@; name another property as postmaster in the configuration \
             first, and restart",
            property.slug
        )));
    }
    for address in std::mem::take(&mut property.addresses) {
        tx.delete(&PROPERTY_ADDRESSES, &address);
    }
    if let Some(public) = property.public.take() {
        tx.delete(&PUBLIC_ADDRESSES, &public);
    }
    property.removed = true;
    tx.put(&PROPERTIES, &property.id, &property)?;
    for member in find::members(tx)?.iter().filter(|member| member.is_of(property.id)) {
        views::rights_changed(tx, member.id)?;
    }
    Ok(property)
}

fn apply(tx: &mut Tx<'_>, act: &Act<'_>, property: &mut Property, changes: Changes) -> Result<(), ActionError> {
    if let Some(name) = changes.name {
        property.name = check_name(&name)?;
    }
    for address in changes.remove_addresses {
        let Some(at) = property.addresses.iter().position(|known| *known == address) else {
            return Err(ActionError::NotFound {
                what: "address",
                name: format!("{address} of {}", property.slug),
                near: property.addresses.iter().map(ToString::to_string).take(3).collect(),
            });
        };
        property.addresses.remove(at);
        tx.delete(&PROPERTY_ADDRESSES, &address);
    }
    for address in changes.add_addresses {
        if !act.desk.is_local(&address) {
            return Err(ActionError::refused(format!(
                "{address} is not in a domain of this server ({}); an address elsewhere that forwards here is the --public one",
                act.desk.domains.local.join(", ")
            )));
        }
        check_local(tx, act, &address)?;
        if let Some(id) = tx.get(&PROPERTY_ADDRESSES, &address)?.filter(|id| *id != property.id) {
            let by = find::property_by_id(tx, id)?.slug.to_string();
            return Err(ActionError::Taken { what: "address", name: address.to_string(), by });
        }
        if !property.addresses.contains(&address) {
            tx.put(&PROPERTY_ADDRESSES, &address, &property.id)?;
            property.addresses.push(address);
        }
    }
    if let Some(public) = changes.public {
        set_public(tx, act, property, public)?;
    }
    if let Some(language) = changes.language {
        property.language = language;
    }
    if let Some(who) = changes.default_assignee {
        property.default_assignee = find::assignee(tx, property, &who)?;
    }
    if let Some(status) = changes.after_reply {
        if !matches!(status, Status::Pending | Status::Open | Status::Closed) {
            return Err(ActionError::refused("after a reply a ticket is pending, open or closed"));
        }
        property.after_reply = status;
    }
    if let Some(days) = changes.auto_close_days {
        property.auto_close_days = days;
    }
    if let Some(strict) = changes.strict {
        property.strict = strict;
    }
    if let Some(acknowledge) = changes.acknowledge {
        property.acknowledge = acknowledge;
    }
    for (language, text) in changes.acknowledgements {
        match text {
            Some(text) => property.acknowledgements.insert(language, check_text(&text)?),
            None => property.acknowledgements.remove(&language),
        };
    }
    if let Some(commands) = changes.commands {
        property.commands = commands;
    }
    for address in changes.distrust {
        if !property.trusted.contains(&address) {
            return Err(ActionError::NotFound {
                what: "trusted address",
                name: format!("{address} of {}", property.slug),
                near: property.trusted.iter().map(ToString::to_string).take(3).collect(),
            });
        }
        property.trusted.retain(|known| *known != address);
    }
    for forwarder in changes.remove_forwarders {
        if !property.forwarders.contains(&forwarder) {
            return Err(ActionError::NotFound {
                what: "forwarder",
                name: format!("{forwarder} of {}", property.slug),
                near: property.forwarders.iter().map(ToString::to_string).take(3).collect(),
            });
        }
        property.forwarders.retain(|known| *known != forwarder);
    }
    for forwarder in changes.add_forwarders {
        if !property.forwarders.contains(&forwarder) {
            property.forwarders.push(forwarder);
        }
    }
    for address in changes.trust {
        if find::member_at(tx, property.id, &address)?.is_some() {
            return Err(ActionError::refused(format!(
                "{address} is a member's; a form or group has an address of its own"
            )));
        }
        if !property.trusted.contains(&address) {
            property.trusted.push(address);
        }
    }
    for sender in &changes.block {
        if let Sender::Address(address) = sender
            && find::member_at(tx, property.id, address)?.is_some()
        {
            return Err(ActionError::refused(format!("{address} is a member's, and members are never blocked")));
        }
    }
    let slug = property.slug.as_str();
    take_off(&mut property.blocked, changes.unblock, "blocked sender", slug)?;
    take_off(&mut property.allowed, changes.disallow, "allowed sender", slug)?;
    put_on(&mut property.blocked, changes.block, &property.allowed)?;
    put_on(&mut property.allowed, changes.allow, &property.blocked)
}

fn take_off(list: &mut Vec<Sender>, senders: Vec<Sender>, what: &'static str, slug: &str) -> Result<(), ActionError> {
    for sender in senders {
        let Some(at) = list.iter().position(|known| *known == sender) else {
            return Err(ActionError::NotFound {
                what,
                name: format!("{sender} of {slug}"),
                near: list.iter().map(ToString::to_string).take(3).collect(),
            });
        };
        list.remove(at);
    }
    Ok(())
}

fn put_on(list: &mut Vec<Sender>, senders: Vec<Sender>, other: &[Sender]) -> Result<(), ActionError> {
    for sender in senders {
        if other.contains(&sender) {
            return Err(ActionError::refused(format!("{sender} is on the other list; take it off there first")));
        }
        if list.contains(&sender) {
            continue;
        }
        if list.len() >= MOST_SENDERS {
            return Err(ActionError::refused(format!(
                "a list holds {MOST_SENDERS} senders; block domains rather than addresses"
            )));
        }
        list.push(sender);
    }
    Ok(())
}

fn set_public(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &mut Property,
    public: Option<Address>,
) -> Result<(), ActionError> {
    if property.public == public {
        return Ok(());
    }
    if let Some(address) = &public {
        if act.desk.is_local(address) {
            return Err(ActionError::refused(format!(
                "{address} is in a domain of this server; give it with --address, the public one is the address elsewhere that forwards here"
            )));
        }
        if let Some(id) = tx.get(&PUBLIC_ADDRESSES, address)? {
            let by = find::property_by_id(tx, id)?.slug.to_string();
            return Err(ActionError::Taken { what: "address", name: address.to_string(), by });
        }
        if let Ok(member) = find::member(tx, address.as_str()) {
            return Err(ActionError::Taken { what: "address", name: address.to_string(), by: member.name });
        }
        tx.put(&PUBLIC_ADDRESSES, address, &property.id)?;
    }
    if let Some(before) = std::mem::replace(&mut property.public, public) {
        tx.delete(&PUBLIC_ADDRESSES, &before);
    }
    property.public_verified = false;
    property.public_look = None;
    Ok(())
}

/// A further address must not hide another property's slug, nor one of our own names.
fn check_local(tx: &impl Read, act: &Act<'_>, address: &Address) -> Result<(), ActionError> {
    let local = address.local().to_lowercase();
    let name = local.split(act.desk.domains.delimiters.as_slice()).next().unwrap_or(&local);
    if crate::desk::slug::RESERVED.contains(&name) {
        return Err(ActionError::refused(format!("{name}@ has a meaning of its own; take another address")));
    }
    if let Ok(slug) = local.parse::<PropertySlug>()
        && let Some(id) = tx.get(&PROPERTY_SLUGS, &slug)?
    {
        let by = find::property_by_id(tx, id)?.slug.to_string();
        return Err(ActionError::Taken { what: "address", name: address.to_string(), by });
    }
    Ok(())
}

/// A text of a mail that the desk sends by itself, with lines that end in LF.
fn check_text(text: &str) -> Result<String, ActionError> {
    let text = text.replace("\r\n", "\n");
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.trim().is_empty() || text.chars().count() > LONGEST_ACKNOWLEDGEMENT || text.chars().any(odd) {
        return Err(ActionError::refused(format!(
            "an acknowledgement is a text of 1 to {LONGEST_ACKNOWLEDGEMENT} characters, without control characters"
        )));
    }
    Ok(format!("{}\n", text.trim_end()))
}

/// A name that can stand in a header field.
pub(super) fn check_name(name: &str) -> Result<String, ActionError> {
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(ActionError::refused("a name is one line of 1 to 100 characters"));
    }
    Ok(name)
}
