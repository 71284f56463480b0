//! Accepting and rejecting: what waits for a member's word, by any door, and by his answer to the
//! letter that asked him.

use super::{Act, ActionError, claim, find, forward, notices, post, state};
use crate::desk::decision::Decision;
use crate::desk::entry::{Author, Entry, Reason, State, Verified, What};
use crate::desk::fanout::Voice;
use crate::desk::id::EntryId;
use crate::desk::property::Property;
use crate::desk::ticket::{Ground, Participant, Person, Standing, Ticket, named};
use crate::desk::token::ConfirmToken;
use crate::store::Tx;
use crate::store::tables::ENTRIES;

/// What an unknown writer becomes when his mail is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// He is the requester, with one more address.
    Same,
    /// He takes part besides the requester.
    Cc,
}

named!(As, "kind of acceptance", Same = "same", Cc = "cc");

/// Accepts an entry: a held one goes out, in the name of the member that it claims to be from; an
/// unverified one's writer joins the ticket.
pub fn accept(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    entry: EntryId,
    joins: Option<As>,
) -> Result<Ticket, ActionError> {
    let (ticket, entry) = accept_quietly(tx, act, reference, entry, joins)?;
    notices::decided(tx, act, &entry)?;
    Ok(ticket)
}

/// Rejects an entry: it stays on the ticket and goes to nobody.
pub fn reject(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, entry: EntryId) -> Result<Ticket, ActionError> {
    let (ticket, entry) = reject_quietly(tx, act, reference, entry)?;
    notices::decided(tx, act, &entry)?;
    Ok(ticket)
}

/// Accepts an entry, and leaves it to the caller when its member is told of the next.
fn accept_quietly(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    entry: EntryId,
    joins: Option<As>,
) -> Result<(Ticket, Entry), ActionError> {
    let before = find::ticket(tx, reference)?;
    let mut ticket = before.clone();
    let property = find::property_by_id(tx, ticket.property)?;
    let mut entry = find::entry(tx, &ticket, entry)?;
    match entry.state {
        State::Held => release(tx, act, &property, &mut ticket, &mut entry)?,
        State::Relayed | State::Kept if entry.warning.is_some() || joins.is_some() => {
            join(tx, act, &mut ticket, &mut entry, joins)?;
        }
        State::Relayed => return Err(ActionError::refused(format!("entry {} went out already", entry.id))),
        State::Kept => return Err(ActionError::refused(format!("entry {} is not held", entry.id))),
        State::Rejected => return Err(ActionError::refused(format!("entry {} was rejected", entry.id))),
    }
    tx.put(&ENTRIES, &(entry.ticket, entry.id), &entry)?;
    state::event(tx, act, &ticket, What::Accepted, None, Some(entry.id.to_string()))?;
    ticket.updated_at = act.now;
    state::save(tx, Some(&before), &ticket)?;
    Ok((ticket, entry))
}

/// Rejects an entry in the same way.
fn reject_quietly(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    entry: EntryId,
) -> Result<(Ticket, Entry), ActionError> {
    let before = find::ticket(tx, reference)?;
    let mut ticket = before.clone();
    let mut entry = find::entry(tx, &ticket, entry)?;
    match entry.state {
        State::Held => entry.state = State::Rejected,
        State::Relayed if entry.warning == Some(Reason::Unverified) => {
            // It went to members; whoever wrote it is not to join.
            entry.state = State::Rejected;
            let person = entry.author.person();
            ticket
                .participants
                .retain(|participant| participant.standing == Standing::Accepted || Some(participant.person) != person);
        }
        _ => return Err(ActionError::refused(format!("entry {} is not held", entry.id))),
    }
    tx.put(&ENTRIES, &(entry.ticket, entry.id), &entry)?;
    state::event(tx, act, &ticket, What::Rejected, None, Some(entry.id.to_string()))?;
    ticket.updated_at = act.now;
    state::save(tx, Some(&before), &ticket)?;
    Ok((ticket, entry))
}

/// What a member decides by answering the letter that asked him. Whoever has the letter's address
/// is believed, once: while the entry waits for that member, and he is one of its property.
///
/// An answer that decides nothing is explained to him, once.
pub fn decide(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    token: ConfirmToken,
    decision: Option<Decision>,
) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, token.ticket)?;
    let mut entry = find::entry(tx, &ticket, token.entry)?;
    let member = find::member_by_id(tx, token.member)?;
    if !member.is_of(ticket.property) {
        return Ok(());
    }
    let own = act.with_actor(post::as_member(&member));
    let name = ticket.reference.to_string();
    if !entry.awaits(member.id) {
        return match (decision, entry.state) {
            // He says again what was done.
            (Some(Decision::Yes | Decision::Always), State::Relayed) | (Some(Decision::No), State::Rejected) => Ok(()),
            _ => notices::explain(tx, act, &ticket, &mut entry, &member),
        };
    }
    let property = find::property_by_id(tx, ticket.property)?;
    match decision {
        Some(Decision::Yes) => accept_quietly(tx, &own, &name, entry.id, None)?,
        Some(Decision::Always) if claim::ask(tx, &own, &property, &mut entry, &member)? => {
            accept_quietly(tx, &own, &name, entry.id, None)?
        }
        Some(Decision::No) => reject_quietly(tx, &own, &name, entry.id)?,
        Some(Decision::Always) | None => return notices::explain(tx, act, &ticket, &mut entry, &member),
    };
    notices::next(tx, act, &member)
}

/// Lets a held entry go out.
fn release(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    entry: &mut Entry,
) -> Result<(), ActionError> {
    let Some(member) = entry.claims else {
        return Err(ActionError::refused(format!(
            "entry {} is in no member's name; answer the ticket yourself",
            entry.id
        )));
    };
    let member = find::member_by_id(tx, member)?;
    if !member.is_of(property.id) {
        return Err(ActionError::refused(format!("{} has left {}", member.login, property.slug)));
    }
    if entry.reason == Some(Reason::Forward) {
        return forward::release(tx, act, property, ticket, entry, &member);
    }
    entry.author = Author::Person { person: Person::Member(member.id), mailbox: member.mailbox() };
    entry.state = State::Relayed;
    entry.verified = Verified::Confirmed;
    entry.reason = None;
    entry.warning = None;
    post::speak(tx, act, property, ticket, false, entry)?;
    post::relay(tx, act, property, ticket, entry, Voice::Member, &member.addresses())
}

/// Lets an unverified writer join the ticket.
fn join(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &mut Ticket,
    entry: &mut Entry,
    joins: Option<As>,
) -> Result<(), ActionError> {
    let Author::Person { person: Person::Contact(writer), mailbox } = entry.author.clone() else {
        return Err(ActionError::refused(format!("entry {} is not a contact's", entry.id)));
    };
    entry.reason = None;
    entry.warning = None;
    entry.verified = Verified::Confirmed;
    if joins == Some(As::Same) {
        let Some(Person::Contact(requester)) = ticket.requester().map(|participant| participant.person) else {
            return Err(ActionError::refused(format!("{} has no requester", ticket.reference)));
        };
        let requester = find::contact_by_id(tx, requester)?;
        let other = find::contact_by_id(tx, writer)?;
        if other.id != requester.id {
            super::contact::absorb(tx, act, other, requester.clone())?;
        }
        ticket.participants.retain(|participant| participant.person != Person::Contact(writer));
        let person = Person::Contact(requester.id);
        if let Some(participant) = ticket.participant_mut(person) {
            participant.address = mailbox.address.clone();
        }
        entry.author = Author::Person { person, mailbox };
        return Ok(());
    }
    match ticket.participant_mut(Person::Contact(writer)) {
        Some(participant) => participant.standing = Standing::Accepted,
        None => ticket.participants.push(Participant {
            person: Person::Contact(writer),
            ground: Ground::Cc,
            standing: Standing::Accepted,
            address: mailbox.address,
            named_by_requester: false,
        }),
    }
    Ok(())
}
