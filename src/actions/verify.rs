//! Whether everything on the desk that names something names what is there: the part of
//! `guichet verify` that knows what records mean. Checksums and the index are the store's.

mod shelves;

use std::ops::Bound;

use super::find;
use crate::desk::entry::Entry;
use crate::desk::id::{CopyId, EntryId, TicketId};
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{
    ACKNOWLEDGED, ACKNOWLEDGED_AT, APP_PASSWORDS, AUDIENCES, CLAIMS, CONFIRMATIONS, CONTACT_ADDRESSES, CONTACT_TICKETS,
    CONTACTS, COPIES, COPY_STATES, DEPARTMENTS, ENTRIES, HELD_DUE, HELD_WAITING, MEMBER_ADDRESSES, MEMBERS,
    MESSAGE_IDS, PROPERTIES, QUEUE, SNOOZED, TICKET_LISTS, TICKET_NUMBERS, TICKETS, TRACES, TRIED, UNDELIVERED,
};
use crate::store::{Key, Order, Read, Record, Store, StoreError, Table, View};

/// The most problems that are told one by one.
const LISTED: usize = 100;
/// Records that are looked at in one state of the store, while commits wait.
const PAGE: usize = 200;

/// What was read, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    pub tickets: u64,
    pub entries: u64,
    pub copies: u64,
    /// One sentence each, at most a hundred.
    pub problems: Vec<String>,
}

impl References {
    fn expect(&mut self, right: bool, problem: impl FnOnce() -> String) {
        if !right && self.problems.len() < LISTED {
            self.problems.push(problem());
        }
    }
}

/// Follows every reference. The store goes on meanwhile: a record is always held against others of
/// the same state.
pub fn references(store: &Store) -> Result<References, StoreError> {
    let mut found = References::default();
    each(store, &TICKETS, |view, id, ticket| {
        found.tickets += 1;
        check_ticket(view, &mut found, *id, ticket)
    })?;
    each(store, &ENTRIES, |view, key, entry| {
        found.entries += 1;
        check_entry(view, &mut found, *key, entry)
    })?;
    each(store, &COPIES, |view, id, copy| {
        found.copies += 1;
        let entry =
            current(view, copy.ticket)?.map(|ticket| view.get(&ENTRIES, &(ticket.id, copy.entry))).transpose()?;
        found.expect(entry.flatten().is_some(), || format!("copy {id} is of entry {}, which is not there", copy.entry));
        let queued = copy.next_at.map(|at| view.get(&QUEUE, &(at, *id))).transpose()?.flatten();
        found.expect(copy.next_at.is_none() || queued.is_some(), || format!("copy {id} waits and is not in the queue"));
        let listed = view.get(&COPY_STATES, &(copy.state as u8, *id))?.is_some();
        found.expect(listed == copy.is_listed(), || {
            format!("copy {id} is {}, and the list of those differs", copy.state)
        });
        Ok(())
    })?;
    each(store, &QUEUE, |view, (at, id), ()| {
        let due = view.get(&COPIES, id)?.and_then(|copy| copy.next_at);
        found.expect(due == Some(*at), || {
            format!("the queue has copy {id} at {at}, and the copy does not wait for that")
        });
        Ok(())
    })?;
    each(store, &COPY_STATES, |view, (state, id): &(u8, CopyId), ()| {
        let copy = view.get(&COPIES, id)?;
        found.expect(copy.is_some_and(|copy| copy.state as u8 == *state), || {
            format!("copy {id} is listed under a state that it does not have")
        });
        Ok(())
    })?;
    each(store, &TRIED, |view, (id, number), _| {
        let made = view.get(&COPIES, id)?.is_some_and(|copy| copy.attempts >= *number);
        found.expect(made, || format!("copy {id} is said to have been offered {number} times, and was not"));
        Ok(())
    })?;
    each(store, &TRACES, |view, id, trace| {
        for (ticket, entry) in &trace.entries {
            let there = has_entry(view, *ticket, *entry)?;
            found.expect(there, || format!("the trace {id} names entry {entry}, which is not there"));
        }
        Ok(())
    })?;
    each(store, &UNDELIVERED, |view, (_, entry), ticket| {
        let there = has_entry(view, *ticket, *entry)?;
        found.expect(there, || format!("an author is to hear of entry {entry}, which is not there"));
        Ok(())
    })?;
    each(store, &MESSAGE_IDS, |view, (_, name), bearers| {
        for bearer in bearers {
            let ticket = current(view, bearer.ticket)?;
            let entry = ticket.map(|ticket| view.get(&ENTRIES, &(ticket.id, bearer.entry))).transpose()?.flatten();
            found.expect(entry.is_some(), || format!("{name} names entry {}, which is not there", bearer.entry));
        }
        Ok(())
    })?;
    each(store, &CONFIRMATIONS, |view, property, asked| {
        for confirmation in asked {
            let name = &confirmation.ticket;
            let there = view.get(&TICKET_NUMBERS, &(*property, name.number))?.is_some();
            found.expect(there, || format!("a forwarding confirmation is kept on {name}, which is not there"));
        }
        Ok(())
    })?;
    lists(store, &mut found)?;
    people(store, &mut found)?;
    shelves::check(store, &mut found)?;
    Ok(found)
}

fn check_ticket(view: &View<'_>, found: &mut References, id: TicketId, ticket: &Ticket) -> Result<(), StoreError> {
    let name = &ticket.reference;
    let numbered = view.get(&TICKET_NUMBERS, &(ticket.property, name.number))?;
    found.expect(numbered == Some(id), || format!("{name} is not found by its number"));
    found.expect(view.get(&PROPERTIES, &ticket.property)?.is_some(), || format!("{name} has no property"));
    if let Some(into) = ticket.merged_into {
        found.expect(view.get(&TICKETS, &into)?.is_some(), || format!("{name} was merged into nothing"));
    } else {
        let place = (ticket.property, ticket.status as u8, ticket.updated_at, id);
        found.expect(view.get(&TICKET_LISTS, &place)?.is_some(), || format!("{name} is in no list"));
    }
    for participant in &ticket.participants {
        let there = match participant.person {
            Person::Contact(contact) => view.get(&CONTACTS, &contact)?.is_some(),
            Person::Member(member) => view.get(&MEMBERS, &member)?.is_some(),
        };
        found.expect(there, || format!("{name} has a participant, {}, who is nobody", participant.address));
    }
    Ok(())
}

fn check_entry(
    view: &View<'_>,
    found: &mut References,
    (ticket, id): (TicketId, EntryId),
    entry: &Entry,
) -> Result<(), StoreError> {
    match view.get(&TICKETS, &ticket)? {
        Some(ticket) => shelves::entry(view, found, &ticket, entry)?,
        None => found.expect(false, || format!("entry {id} is on no ticket")),
    }
    if let Some(raw) = entry.raw {
        found.expect(view.has_raw(raw)?, || format!("the message of entry {id} is not there"));
    }
    for copy in &entry.copies {
        let of_it = view.get(&COPIES, copy)?.is_some_and(|copy| copy.entry == id);
        found.expect(of_it, || format!("entry {id} names copy {copy}, which is not one of its"));
    }
    Ok(())
}

/// The lists of tickets, and of those that sleep.
fn lists(store: &Store, found: &mut References) -> Result<(), StoreError> {
    each(store, &TICKET_LISTS, |view, (property, status, at, id), ()| {
        let right = view.get(&TICKETS, id)?.is_some_and(|ticket| {
            ticket.property == *property && ticket.status as u8 == *status && ticket.updated_at == *at
        });
        found.expect(right, || format!("a list has ticket {id} where it does not belong"));
        Ok(())
    })?;
    each(store, &SNOOZED, |view, (at, id), ()| {
        let right = view.get(&TICKETS, id)?.is_some_and(|ticket| ticket.wake_at == Some(*at));
        found.expect(right, || format!("ticket {id} is to wake at {at}, and does not know of it"));
        Ok(())
    })?;
    each(store, &TICKET_NUMBERS, |view, (_, number), id| {
        let right = view.get(&TICKETS, id)?.is_some_and(|ticket| ticket.reference.number == *number);
        found.expect(right, || format!("the number {number} leads to ticket {id}, which does not bear it"));
        Ok(())
    })
}

/// Addresses, departments, and who takes part in what.
fn people(store: &Store, found: &mut References) -> Result<(), StoreError> {
    each(store, &CONTACT_ADDRESSES, |view, address, id| {
        let right = view.get(&CONTACTS, id)?.is_some_and(|contact| contact.has(address));
        found.expect(right, || format!("{address} leads to a contact who does not have it"));
        Ok(())
    })?;
    each(store, &MEMBER_ADDRESSES, |view, address, id| {
        let right = view.get(&MEMBERS, id)?.is_some_and(|member| member.has(address));
        found.expect(right, || format!("{address} leads to a member who does not have it"));
        Ok(())
    })?;
    each(store, &AUDIENCES, |view, property, ids| {
        let hear = find::members(view)?.into_iter().filter(|member| member.hears_of(*property));
        found.expect(hear.map(|member| member.id).eq(ids.iter().copied()), || {
            format!("who hears of what nobody works on in property {property} is not who should")
        });
        Ok(())
    })?;
    each(store, &APP_PASSWORDS, |view, (member, id), _| {
        let there = view.get(&MEMBERS, member)?.is_some_and(|member| !member.removed);
        found.expect(there, || format!("app password {id} is of member {member}, who is not there any more"));
        Ok(())
    })?;
    each(store, &CLAIMS, |view, (member, _), claim| {
        let there = view.get(&MEMBERS, member)?.is_some() && has_entry(view, claim.ticket, claim.entry)?;
        found.expect(there, || format!("{} is said to be a member's; he, or the entry, is not there", claim.address));
        Ok(())
    })?;
    each(store, &HELD_WAITING, |view, (member, entry), ticket| {
        let there = view.get(&MEMBERS, member)?.is_some() && has_entry(view, *ticket, *entry)?;
        found.expect(there, || format!("a member is to be told of entry {entry}; one of them is not there"));
        Ok(())
    })?;
    each(store, &HELD_DUE, |view, (_, member), ()| {
        found.expect(view.get(&MEMBERS, member)?.is_some(), || format!("member {member} is to be told, and is nobody"));
        Ok(())
    })?;
    each(store, &ACKNOWLEDGED_AT, |view, (at, address), ()| {
        let right = view.get(&ACKNOWLEDGED, address)? == Some(*at);
        found.expect(right, || format!("{address} is said to have got an acknowledgement at {at}, and did not"));
        Ok(())
    })?;
    each(store, &CONTACT_TICKETS, |view, (contact, id), ()| {
        let there = view.get(&CONTACTS, contact)?.is_some() && view.get(&TICKETS, id)?.is_some();
        found.expect(there, || {
            format!("contact {contact} is said to take part in ticket {id}; one of them is not there")
        });
        Ok(())
    })?;
    each(store, &DEPARTMENTS, |view, _, department| {
        for member in &department.members {
            let there = view.get(&MEMBERS, member)?.is_some();
            found.expect(there, || format!("the department {} has a member who is nobody", department.slug));
        }
        Ok(())
    })
}

/// Whether a ticket, or the one that it was merged into, has an entry.
fn has_entry(view: &View<'_>, ticket: TicketId, entry: EntryId) -> Result<bool, StoreError> {
    let Some(ticket) = current(view, ticket)? else { return Ok(false) };
    Ok(view.get(&ENTRIES, &(ticket.id, entry))?.is_some())
}

/// The ticket that has the entries now, if there is one.
fn current(view: &View<'_>, id: TicketId) -> Result<Option<Ticket>, StoreError> {
    match find::ticket_by_id(view, id) {
        Ok(ticket) => Ok(Some(ticket)),
        Err(super::ActionError::Store(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Every record of a table, a page at a time.
fn each<K: Key + Clone, V: Record>(
    store: &Store,
    table: &Table<K, V>,
    mut f: impl FnMut(&View<'_>, &K, &V) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = Bound::Unbounded;
    loop {
        let last = store.read(|view| {
            let page = view.range(table, (from.clone(), Bound::Unbounded), Order::Up, PAGE)?;
            for (key, record) in &page {
                f(view, key, record)?;
            }
            Ok::<_, StoreError>(page.into_iter().next_back().map(|(key, _)| key))
        })?;
        match last {
            Some(key) => from = Bound::Excluded(key),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::ticket;

    #[tokio::test]
    async fn what_a_desk_does_leaves_no_loose_end() {
        let office = Office::open().await;
        let one = office.ticket("carol").await.reference.to_string();
        let two = office.ticket("dave").await.reference.to_string();
        office
            .act(|tx, act| {
                ticket::assign(tx, act, &one, "bob")?;
                ticket::snooze(tx, act, &two, act.now + jiff::SignedDuration::from_hours(1))?;
                ticket::merge(tx, act, &one, &two)
            })
            .await
            .unwrap();
        let found = references(&office.store).unwrap();
        assert_eq!(found.problems, Vec::<String>::new());
        assert_eq!((found.tickets, found.copies), (2, 5));
    }

    #[tokio::test]
    async fn every_loose_end_is_found() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let entry = office.act(|tx, _| Ok(find::entries(tx, made.id)?)).await.unwrap().remove(0);
        let copy = entry.copies[0];
        let due = office.act(|tx, _| super::super::copies::get(tx, copy)).await.unwrap().next_at.unwrap();
        office
            .act(|tx, act| {
                tx.delete(&QUEUE, &(due, copy));
                let (mut password, _) = super::super::app_password::add(tx, act, "alice", "phone")?;
                password.member = crate::desk::id::MemberId(99);
                tx.put(&APP_PASSWORDS, &(password.member, password.id), &password)?;
                tx.delete(&CONTACT_ADDRESSES, &crate::actions::testing::address("carol"));
                tx.put(&CONTACT_ADDRESSES, &"eve@example.com".parse().unwrap(), &crate::desk::id::ContactId(1))?;
                tx.delete(&COPIES, &entry.copies[1]);
                tx.delete(&TICKET_NUMBERS, &(made.property, made.reference.number));
                Ok(())
            })
            .await
            .unwrap();
        let found = references(&office.store).unwrap().problems.join("\n");
        for problem in [
            "acme-1 is not found by its number",
            "copy 1 waits and is not in the queue",
            "names copy 2, which is not one of its",
            "the queue has copy 2",
            "eve@example.com leads to a contact who does not have it",
            "app password 1 is of member 99, who is not there any more",
        ] {
            assert!(found.contains(problem), "{problem} is not in\n{found}");
        }
        office
            .act(|tx, _| {
                tx.delete(&ENTRIES, &(made.id, entry.id));
                Ok(())
            })
            .await
            .unwrap();
        let found = references(&office.store).unwrap().problems.join("\n");
        assert!(found.contains(&format!("copy 1 is of entry {}, which is not there", entry.id)), "{found}");
        assert!(found.contains(&format!("names entry {}, which is not there", entry.id)), "{found}");
    }
}
