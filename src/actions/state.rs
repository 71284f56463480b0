//! Saving a ticket with its indexes, and the events that tell what changed.

use super::{Act, ActionError, find, trace, views};
use crate::desk::address::Mailbox;
use crate::desk::entry::{Author, Entry, Event, Facts, Kind, State, Verified, What};
use crate::desk::fanout::accepted_by_answer;
use crate::desk::id::{EntryId, PropertyId};
use crate::desk::ticket::{Assignee, Person, Standing, Status, Ticket};
use crate::store::tables::{CONTACT_TICKETS, ENTRIES, ENTRY_IDS, SNOOZED, TICKET_LISTS, TICKET_NUMBERS, TICKETS};
use crate::store::{Order, Read, StoreError, Tx};

/// Writes a ticket, with its place in the lists and in mailboxes; `before` is what the store has.
pub fn save(tx: &mut Tx<'_>, before: Option<&Ticket>, ticket: &Ticket) -> Result<(), StoreError> {
    let place = |ticket: &Ticket| (ticket.property, ticket.status as u8, ticket.updated_at, ticket.id);
    let wake = |ticket: &Ticket| ticket.wake_at.map(|at| (at, ticket.id));
    let listed = |ticket: &&Ticket| ticket.merged_into.is_none();
    let old_place = before.filter(listed).map(place);
    let new_place = Some(ticket).filter(listed).map(place);
    if old_place != new_place {
        if let Some(key) = old_place {
            tx.delete(&TICKET_LISTS, &key);
        }
        if let Some(key) = new_place {
            tx.put(&TICKET_LISTS, &key, &())?;
        }
    }
    let old_wake = before.and_then(wake);
    if old_wake != wake(ticket) {
        if let Some(key) = old_wake {
            tx.delete(&SNOOZED, &key);
        }
        if let Some(key) = wake(ticket) {
            tx.put(&SNOOZED, &key, &())?;
        }
    }
    for participant in &ticket.participants {
        let known = before.is_some_and(|before| before.participant(participant.person).is_some());
        if let Person::Contact(contact) = participant.person
            && !known
        {
            tx.put(&CONTACT_TICKETS, &(contact, ticket.id), &())?;
        }
    }
    for participant in before.iter().flat_map(|before| &before.participants) {
        if let Person::Contact(contact) = participant.person
            && ticket.participant(participant.person).is_none()
        {
            tx.delete(&CONTACT_TICKETS, &(contact, ticket.id));
        }
    }
    if let Some(before) = before {
        views::ticket_saved(tx, before, ticket)?;
    } else {
        tx.put(&TICKET_NUMBERS, &(ticket.property, ticket.reference.number), &ticket.id)?;
    }
    tx.put(&TICKETS, &ticket.id, ticket)
}

/// Adds an event to a ticket.
pub fn event(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    what: What,
    from: Option<String>,
    to: Option<String>,
) -> Result<Entry, StoreError> {
    event_by(tx, act, ticket, act.author(), Event { what, from, to })
}

/// Adds an event that somebody else than the actor caused.
pub fn event_by(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    author: Author,
    event: Event,
) -> Result<Entry, StoreError> {
    let entry = Entry {
        id: EntryId(tx.allocate(&ENTRY_IDS, &())?),
        ticket: ticket.id,
        kind: Kind::Event,
        author,
        state: State::Kept,
        reason: None,
        machine: None,
        verified: Verified::None,
        door: act.door,
        at: act.now,
        message_id: None,
        minted_id: None,
        date: None,
        parent: None,
        subject: String::new(),
        text: String::new(),
        attachments: Vec::new(),
        named: Vec::new(),
        raw: None,
        verdict: None,
        event: Some(event),
        facts: None,
        warning: None,
        claims: None,
        arrived_at: None,
        copies: Vec::new(),
        explained: false,
        commands: Vec::new(),
        turn: 0,
        hands_on: false,
        seen: None,
        trace: act.trace.clone(),
        from: None,
        client: act.client.clone(),
    };
    tx.put(&ENTRIES, &(ticket.id, entry.id), &entry)?;
    trace::made(tx, act, &entry)?;
    Ok(entry)
}

/// Moves a ticket to another status and tells so in an event; nothing when it has it already. One that is
/// to be worked on again and whose assignee has left since is the default assignee's.
pub fn set_status(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &mut Ticket,
    author: Author,
    status: Status,
) -> Result<(), ActionError> {
    ticket.wake_at = None;
    if ticket.status == status {
        return Ok(());
    }
    if matches!(status, Status::Open | Status::Pending) && !may_have(tx, ticket.property, ticket.assignee)? {
        hand_over(tx, act, ticket)?;
    }
    let event = Event { what: What::Status, from: Some(ticket.status.to_string()), to: Some(status.to_string()) };
    ticket.status = status;
    ticket.status_since = act.now;
    event_by(tx, act, ticket, author, event)?;
    Ok(())
}

/// Whether there is still somebody to have a ticket.
pub(super) fn may_have(tx: &impl Read, property: PropertyId, assignee: Option<Assignee>) -> Result<bool, ActionError> {
    Ok(match assignee {
        None => true,
        Some(Assignee::Member(id)) => find::member_by_id(tx, id)?.is_of(property),
        Some(Assignee::Department(id)) => !find::department_by_id(tx, id)?.removed,
    })
}

/// Takes a ticket from whoever had it: it is the default assignee's, or nobody's.
fn hand_over(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket) -> Result<(), ActionError> {
    let from = find::assignee_name(tx, ticket.assignee)?;
    ticket.assignee = find::property_by_id(tx, ticket.property)?.default_assignee;
    let to = find::assignee_name(tx, ticket.assignee)?;
    event(tx, act, ticket, What::Assignee, from, to)?;
    Ok(())
}

/// Somebody is of a property no more: hands over what he worked on there, after `change` has seen each
/// ticket that is open or pending.
pub(super) fn left(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: PropertyId,
    who: Assignee,
    change: impl Fn(&mut Ticket),
) -> Result<(), ActionError> {
    for status in [Status::Open, Status::Pending] {
        for ((.., id), ()) in tx.starting(&TICKET_LISTS, (property, status as u8), Order::Up, usize::MAX)? {
            let Some(before) = tx.get(&TICKETS, &id)? else { continue };
            let mut ticket = before.clone();
            change(&mut ticket);
            if ticket.assignee == Some(who) {
                hand_over(tx, act, &mut ticket)?;
            }
            if ticket != before {
                save(tx, Some(&before), &ticket)?;
            }
        }
    }
    Ok(())
}

/// The ticket's state as the line on top of a copy shows it.
pub fn facts(tx: &impl Read, ticket: &Ticket) -> Result<Facts, ActionError> {
    let mut contacts = Vec::new();
    let mut proposed = Vec::new();
    let mut would_accept = Vec::new();
    let accepted = accepted_by_answer(&ticket.participants);
    for participant in &ticket.participants {
        let Person::Contact(id) = participant.person else { continue };
        let name = find::contact_by_id(tx, id)?.name;
        let mailbox = Mailbox::new(name, participant.address.clone());
        match participant.standing {
            Standing::Accepted => contacts.push(mailbox),
            Standing::Proposed if accepted.contains(&participant.person) => would_accept.push(mailbox),
            Standing::Proposed => proposed.push(mailbox),
        }
    }
    Ok(Facts {
        status: ticket.status,
        priority: ticket.priority,
        assignee: find::assignee_name(tx, ticket.assignee)?,
        tags: ticket.tags.iter().cloned().collect(),
        answered: contacts.iter().chain(&would_accept).cloned().collect(),
        contacts,
        proposed,
    })
}
