//! Finding what a person named, and saying what is near where nothing has that name.

use super::{ActionError, Desk};
use crate::desk::address::Address;
use crate::desk::contact::Contact;
use crate::desk::department::Department;
use crate::desk::entry::Entry;
use crate::desk::fanout::Colleague;
use crate::desk::id::{ContactId, DepartmentId, EntryId, MemberId, PropertyId, TicketId};
use crate::desk::member::{Member, Role};
use crate::desk::message_id::MessageId;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::desk::ticket::{Assignee, Person, Ticket, TicketRef};
use crate::store::tables::{
    CONTACT_ADDRESSES, CONTACTS, DEPARTMENT_SLUGS, DEPARTMENTS, ENTRIES, MEMBER_ADDRESSES, MEMBERS, MESSAGE_IDS,
    PROPERTIES, PROPERTY_SLUGS, PUBLIC_ADDRESSES, TICKET_NUMBERS, TICKETS,
};
use crate::store::{Order, Read, StoreError};

/// The most members, departments or properties that are looked through.
pub const MOST: usize = 10_000;

/// All properties that were not removed.
pub fn properties(tx: &impl Read) -> Result<Vec<Property>, StoreError> {
    Ok(properties_ever(tx)?.into_iter().filter(|property| !property.removed).collect())
}

/// All properties there ever were: the tickets of one that was removed stay.
pub fn properties_ever(tx: &impl Read) -> Result<Vec<Property>, StoreError> {
    Ok(tx.range(&PROPERTIES, .., Order::Up, MOST)?.into_iter().map(|(_, property)| property).collect())
}

/// A property by its slug, unless it was removed.
pub fn property(tx: &impl Read, name: &str) -> Result<Property, ActionError> {
    if let Some(property) = property_ever(tx, name)?.filter(|property| !property.removed) {
        return Ok(property);
    }
    let slugs = properties(tx)?.into_iter().map(|property| property.slug.to_string());
    Err(not_found("property", name, slugs))
}

/// A property by its slug, removed or not: its tickets stay.
fn property_ever(tx: &impl Read, name: &str) -> Result<Option<Property>, ActionError> {
    let Ok(slug) = name.parse::<PropertySlug>() else { return Ok(None) };
    tx.get(&PROPERTY_SLUGS, &slug)?.map(|id| property_by_id(tx, id)).transpose()
}

/// A property by its id, which something in the store names.
pub fn property_by_id(tx: &impl Read, id: PropertyId) -> Result<Property, ActionError> {
    tx.get(&PROPERTIES, &id)?.ok_or_else(|| dangling("property", id))
}

/// All members that were not removed.
pub fn members(tx: &impl Read) -> Result<Vec<Member>, StoreError> {
    let all = tx.range(&MEMBERS, .., Order::Up, MOST)?;
    Ok(all.into_iter().map(|(_, member)| member).filter(|member| !member.removed).collect())
}

/// A member by one of his addresses, or by the local part that only he has.
pub fn member(tx: &impl Read, name: &str) -> Result<Member, ActionError> {
    if let Ok(address) = name.parse::<Address>()
        && let Some(id) = tx.get(&MEMBER_ADDRESSES, &address)?
    {
        return member_by_id(tx, id);
    }
    let members = members(tx)?;
    let mut by_local = members.iter().filter(|member| member.login.local().eq_ignore_ascii_case(name));
    match (by_local.next(), by_local.next()) {
        (Some(member), None) => Ok(member.clone()),
        (Some(one), Some(two)) => {
            Err(Mistake::Ambiguous { name: name.to_owned(), one: one.login.clone(), two: two.login.clone() }.into())
        }
        _ => Err(not_found("member", name, members.iter().map(|member| member.login.to_string()))),
    }
}

/// A property's admins; all its members where it has none.
pub fn admins(tx: &impl Read, property: &Property) -> Result<Vec<Member>, StoreError> {
    let mut members = members(tx)?;
    members.retain(|member| member.is_of(property.id));
    let admin = |member: &Member| member.roles.get(&property.id) == Some(&Role::Admin);
    if members.iter().any(admin) {
        members.retain(admin);
    }
    Ok(members)
}

/// The member of this property whose address it is.
pub fn member_at(tx: &impl Read, property: PropertyId, address: &Address) -> Result<Option<Member>, ActionError> {
    let Some(id) = tx.get(&MEMBER_ADDRESSES, address)? else { return Ok(None) };
    Ok(Some(member_by_id(tx, id)?).filter(|member| member.is_of(property)))
}

pub fn member_by_id(tx: &impl Read, id: MemberId) -> Result<Member, ActionError> {
    tx.get(&MEMBERS, &id)?.ok_or_else(|| dangling("member", id))
}

/// The departments of a property that were not removed.
pub fn departments(tx: &impl Read, property: PropertyId) -> Result<Vec<Department>, StoreError> {
    let all = tx.range(&DEPARTMENTS, .., Order::Up, MOST)?;
    let of_it = |department: &Department| department.property == property && !department.removed;
    Ok(all.into_iter().map(|(_, department)| department).filter(of_it).collect())
}

/// A property's department by its slug.
pub fn department(tx: &impl Read, property: &Property, name: &str) -> Result<Department, ActionError> {
    if let Ok(slug) = name.parse::<DepartmentSlug>()
        && let Some(id) = tx.get(&DEPARTMENT_SLUGS, &(property.id, slug))?
    {
        return department_by_id(tx, id);
    }
    let slugs = departments(tx, property.id)?.into_iter().map(|department| department.slug.to_string());
    Err(not_found("department", name, slugs))
}

pub fn department_by_id(tx: &impl Read, id: DepartmentId) -> Result<Department, ActionError> {
    tx.get(&DEPARTMENTS, &id)?.ok_or_else(|| dangling("department", id))
}

/// Who may be assigned in a property: a department's slug, a member's address, or the local part
/// that only he has; `none` for nobody.
pub fn assignee(tx: &impl Read, property: &Property, who: &str) -> Result<Option<Assignee>, ActionError> {
    if who.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    match department(tx, property, who) {
        Ok(department) => return Ok(Some(Assignee::Department(department.id))),
        Err(ActionError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    let of_it = |member: &Member| member.is_of(property.id);
    match member(tx, who) {
        Ok(member) if of_it(&member) => Ok(Some(Assignee::Member(member.id))),
        Ok(member) => Err(Mistake::NoRole { member: member.login, property: property.slug.clone() }.into()),
        Err(ActionError::NotFound { .. }) => {
            let members = members(tx)?.into_iter().filter(of_it).map(|member| member.login.to_string());
            let departments = departments(tx, property.id)?.into_iter().map(|department| department.slug.to_string());
            Err(not_found("member or department", who, members.chain(departments)))
        }
        Err(error) => Err(error),
    }
}

/// The name under which an assignee is shown and found again.
pub fn assignee_name(tx: &impl Read, assignee: Option<Assignee>) -> Result<Option<String>, ActionError> {
    Ok(match assignee {
        None => None,
        Some(Assignee::Member(id)) => Some(member_by_id(tx, id)?.name),
        Some(Assignee::Department(id)) => Some(department_by_id(tx, id)?.name),
    })
}

/// The members that an assignee stands for, without those who left.
pub fn colleagues(
    tx: &impl Read,
    property: PropertyId,
    assignee: Option<Assignee>,
) -> Result<Vec<Colleague>, ActionError> {
    let ids = match assignee {
        None => Vec::new(),
        Some(Assignee::Member(id)) => vec![id],
        Some(Assignee::Department(id)) => department_by_id(tx, id)?.members,
    };
    let mut colleagues = Vec::with_capacity(ids.len());
    for id in ids {
        let member = member_by_id(tx, id)?;
        if member.is_of(property) {
            colleagues.push(colleague(&member));
        }
    }
    Ok(colleagues)
}

/// Who works on a ticket or follows it.
pub fn team(tx: &impl Read, property: PropertyId, ticket: &Ticket) -> Result<Vec<Colleague>, ActionError> {
    let mut team = colleagues(tx, property, ticket.assignee)?;
    for participant in &ticket.participants {
        if let Person::Member(id) = participant.person
            && !team.iter().any(|known| known.id == id)
        {
            let member = member_by_id(tx, id)?;
            if member.is_of(property) {
                team.push(colleague(&member));
            }
        }
    }
    Ok(team)
}

/// A member as the fan-out sees him.
#[must_use]
pub fn colleague(member: &Member) -> Colleague {
    Colleague { id: member.id, address: member.login.clone(), copies: member.copies }
}

/// A contact by address, where he was merged the one that took him over.
pub fn contact_at(tx: &impl Read, address: &Address) -> Result<Option<Contact>, ActionError> {
    tx.get(&CONTACT_ADDRESSES, address)?.map(|id| contact_by_id(tx, id)).transpose()
}

/// A contact by address.
pub fn contact(tx: &impl Read, name: &str) -> Result<Contact, ActionError> {
    let address = name.parse::<Address>().map_err(|error| ActionError::refused(format!("{name}: {error}")))?;
    if let Some(contact) = contact_at(tx, &address)? {
        return Ok(contact);
    }
    let near = tx.range(&CONTACT_ADDRESSES, .., Order::Up, 1_000)?;
    Err(not_found("contact", name, near.into_iter().map(|(address, _)| address.to_string())))
}

/// A contact by id, following merges.
pub fn contact_by_id(tx: &impl Read, mut id: ContactId) -> Result<Contact, ActionError> {
    loop {
        let contact = tx.get(&CONTACTS, &id)?.ok_or_else(|| dangling("contact", id))?;
        match contact.merged_into {
            // A merge points at a contact that was not merged then, so this ends.
            Some(into) => id = into,
            None => return Ok(contact),
        }
    }
}

/// A ticket by its name, following merges: what acts on it acts on the one that goes on.
pub fn ticket(tx: &impl Read, name: &str) -> Result<Ticket, ActionError> {
    let ticket = ticket_named(tx, name)?;
    if ticket.merged_into.is_some() { ticket_by_id(tx, ticket.id) } else { Ok(ticket) }
}

/// The ticket of exactly this name, merged or not.
pub fn ticket_named(tx: &impl Read, name: &str) -> Result<Ticket, ActionError> {
    let reference: TicketRef = name.parse().map_err(|error| ActionError::refused(format!("{name}: {error}")))?;
    let property = match property_ever(tx, reference.property.as_str())? {
        Some(property) => property,
        // It says which slugs are near.
        None => property(tx, reference.property.as_str())?,
    };
    if let Some(id) = tx.get(&TICKET_NUMBERS, &(property.id, reference.number))? {
        return tx.get(&TICKETS, &id)?.ok_or_else(|| dangling("ticket", id));
    }
    let newest = tx.range(&TICKET_NUMBERS, (property.id, 0)..=(property.id, u64::MAX), Order::Down, 1)?;
    let newest = newest.into_iter().map(|((_, number), _)| format!("{}-{number}", property.slug));
    Err(ActionError::NotFound { what: "ticket", name: name.to_owned(), near: newest.collect() })
}

/// A ticket by id, following merges.
pub fn ticket_by_id(tx: &impl Read, mut id: TicketId) -> Result<Ticket, ActionError> {
    loop {
        let ticket = tx.get(&TICKETS, &id)?.ok_or_else(|| dangling("ticket", id))?;
        match ticket.merged_into {
            Some(into) => id = into,
            None => return Ok(ticket),
        }
    }
}

/// An entry of a ticket.
pub fn entry(tx: &impl Read, ticket: &Ticket, id: EntryId) -> Result<Entry, ActionError> {
    tx.get(&ENTRIES, &(ticket.id, id))?.ok_or_else(|| ActionError::NotFound {
        what: "entry",
        name: format!("{id} on {}", ticket.reference),
        near: Vec::new(),
    })
}

/// The entry of a property that bears a Message-ID, its sender's own or ours, on the ticket that has it
/// now.
pub fn bearer(tx: &impl Read, property: PropertyId, id: &MessageId) -> Result<Option<Entry>, ActionError> {
    for bearer in tx.get(&MESSAGE_IDS, &(property, id.clone()))?.unwrap_or_default() {
        let Some(ticket) = there(ticket_by_id(tx, bearer.ticket))? else { continue };
        let entry = tx.get(&ENTRIES, &(ticket.id, bearer.entry))?;
        let bears = |entry: &Entry| entry.message_id.as_ref() == Some(id) || entry.minted_id.as_ref() == Some(id);
        if let Some(entry) = entry.filter(bears) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// All entries of a ticket, oldest first.
pub fn entries(tx: &impl Read, ticket: TicketId) -> Result<Vec<Entry>, StoreError> {
    let all = tx.range(&ENTRIES, (ticket, EntryId(0))..=(ticket, EntryId(u64::MAX)), Order::Up, usize::MAX)?;
    Ok(all.into_iter().map(|(_, entry)| entry).collect())
}

/// The property whose well-known address it is.
pub fn property_of_public(tx: &impl Read, address: &Address) -> Result<Option<PropertyId>, StoreError> {
    tx.get(&PUBLIC_ADDRESSES, address)
}

/// Whether an address is somebody's for whom a ticket may be: neither a member's of the property, nor
/// ours, nor any property's.
pub fn is_outside(tx: &impl Read, desk: &Desk, property: PropertyId, address: &Address) -> Result<bool, ActionError> {
    Ok(!desk.is_local(address)
        && property_of_public(tx, address)?.is_none()
        && member_at(tx, property, address)?.is_none())
}

/// What was found, if it is there at all: where a restored backup does not know what an address of ours
/// names, that is nobody's error.
pub fn there<T>(found: Result<T, ActionError>) -> Result<Option<T>, ActionError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ActionError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was not found, with up to three names that are near.
fn not_found(what: &'static str, name: &str, known: impl Iterator<Item = String>) -> ActionError {
    let wanted = name.to_lowercase();
    let mut near: Vec<(usize, String)> = known
        .map(|known| (strsim::damerau_levenshtein(&wanted, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= (wanted.len() / 3).max(2) || known.to_lowercase().starts_with(&wanted))
        .collect();
    near.sort();
    near.truncate(3);
    let near = near.into_iter().map(|(_, known)| known).collect();
    ActionError::NotFound { what, name: name.to_owned(), near }
}

fn dangling(what: &'static str, id: impl std::fmt::Display) -> ActionError {
    ActionError::NotFound { what, name: format!("with the id {id}; run: guichet verify"), near: Vec::new() }
}
