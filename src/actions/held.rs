//! Accepting and rejecting: what waits for a member's word, by any door, and by his answer to the
//! letter that asked him.

use super::{Act, ActionError, claim, commands, find, forward, notices, post, state, views};
use crate::desk::decision::Decision;
use crate::desk::entry::{Author, Entry, Kind, Reason, State, Verified, What};
use crate::desk::fanout::Voice;
use crate::desk::id::EntryId;
use crate::desk::member::Member;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Ground, Participant, Person, Standing, Status, Ticket};
use crate::desk::token::ConfirmToken;
use crate::store::tables::ENTRIES;
use crate::store::{Read, StoreError, Tx};

pub use crate::desk::command::Joins as As;

/// Accepts an entry: a held one goes out, in the name of the member that it claims to be from; an
/// unverified one's writer joins the ticket; what was kept as spam goes to members.
///
/// # Errors
/// [`Mistake::Commands`] for a held one that begins with commands that are wrong: it goes on waiting.
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
    let ticket = find::ticket(tx, reference)?;
    let property = find::property_by_id(tx, ticket.property)?;
    let (mut before, mut ticket) = (Some(ticket.clone()), ticket);
    let entry = accept_on(tx, act, &property, &mut before, &mut ticket, entry, joins)?;
    ticket.updated_at = act.now;
    state::save(tx, before.as_ref(), &ticket)?;
    Ok((ticket, entry))
}

/// The same on a ticket that the caller saves; `before` is what the store has of it. Both become
/// another's where the entry's commands merge it.
pub(super) fn accept_on(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: &mut Option<Ticket>,
    ticket: &mut Ticket,
    entry: EntryId,
    joins: Option<As>,
) -> Result<Entry, ActionError> {
    let mut entry = find::entry(tx, ticket, entry)?;
    match entry.state {
        State::Kept if entry.reason == Some(Reason::Spam) => not_spam(tx, act, property, ticket, &mut entry)?,
        State::Held => release(tx, act, property, before, ticket, &mut entry)?,
        State::Relayed | State::Kept if entry.warning.is_some() || joins.is_some() => {
            join(tx, act, ticket, &mut entry, joins)?;
        }
        State::Relayed => return Err(Mistake::WentOut(entry.id).into()),
        State::Kept => return Err(Mistake::NotHeld(entry.id).into()),
        State::Rejected => return Err(Mistake::WasRejected(entry.id).into()),
    }
    tx.put(&ENTRIES, &(entry.ticket, entry.id), &entry)?;
    views::entry_renewed(tx, ticket, &entry)?;
    state::event(tx, act, ticket, What::Accepted, None, Some(entry.id.to_string()))?;
    Ok(entry)
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
    let entry = reject_on(tx, act, &mut ticket, entry)?;
    ticket.updated_at = act.now;
    state::save(tx, Some(&before), &ticket)?;
    Ok((ticket, entry))
}

/// The same on a ticket that the caller saves.
pub(super) fn reject_on(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &mut Ticket,
    entry: EntryId,
) -> Result<Entry, ActionError> {
    let mut entry = find::entry(tx, ticket, entry)?;
    match entry.state {
        State::Held => entry.state = State::Rejected,
        State::Kept if entry.waits() => entry.state = State::Rejected,
        State::Relayed if entry.warning == Some(Reason::Unverified) => {
            // It went to members; whoever wrote it is not to join.
            entry.state = State::Rejected;
            let person = entry.author.person();
            ticket
                .participants
                .retain(|participant| participant.standing == Standing::Accepted || Some(participant.person) != person);
        }
        State::Relayed | State::Kept | State::Rejected => return Err(Mistake::NotHeld(entry.id).into()),
    }
    tx.put(&ENTRIES, &(entry.ticket, entry.id), &entry)?;
    views::entry_saved(tx, ticket, &entry)?;
    state::event(tx, act, ticket, What::Rejected, None, Some(entry.id.to_string()))?;
    Ok(entry)
}

/// What a member decides by answering the letter that asked him. Whoever has the letter's address
/// is believed, once: while the entry waits for that member, and he is one of its property.
///
/// A yes was meant for what he knew: where a colleague has answered meanwhile, he is asked again with
/// that before him. Whoever accepts at the desk has the ticket before him.
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
    let id = entry.id;
    let crosses = post::crossing_held(tx, &ticket, &entry, member.id)?.is_some();
    let accept = |tx: &mut Tx<'_>| {
        let (_, sent) = accept_quietly(tx, &own, &name, id, None)?;
        let replies = sent.kind == Kind::Message && sent.state == State::Relayed && sent.author.is_member();
        if crosses && replies { Err(Unsent::Crossed) } else { Ok(()) }
    };
    let done = match decision {
        Some(Decision::Yes) => tx.attempt(accept),
        Some(Decision::Always) if claim::ask(tx, &own, &property, &mut entry, &member)? => tx.attempt(accept),
        Some(Decision::No) => reject_quietly(tx, &own, &name, id).map(|_| ()).map_err(Unsent::Error),
        Some(Decision::Always) | None => return notices::explain(tx, act, &ticket, &mut entry, &member),
    };
    // Where it goes on waiting he is told why.
    match done {
        Ok(()) => {}
        Err(Unsent::Crossed) => {
            let mut entry = find::entry(tx, &ticket, id)?;
            entry.reason = Some(Reason::Crossed);
            confirmed(&mut entry, &member);
            return notices::held(tx, act, &ticket, &mut entry, member.id);
        }
        Err(Unsent::Error(ActionError::Mistake(Mistake::Commands(wrong)))) => {
            let mut entry = find::entry(tx, &ticket, id)?;
            entry.reason = Some(Reason::Command);
            entry.warning = Some(Reason::Command);
            notices::wrong(tx, &own, &property, &ticket, &mut entry, &wrong)?;
        }
        Err(Unsent::Error(error)) => return Err(error),
    }
    notices::next(tx, act, &member)
}

/// Why a yes sends nothing.
enum Unsent {
    /// A colleague has answered since its member was asked, or since what he answers.
    Crossed,
    Error(ActionError),
}

impl From<ActionError> for Unsent {
    fn from(error: ActionError) -> Self {
        Self::Error(error)
    }
}

/// A held entry is its member's, on his own word.
fn confirmed(entry: &mut Entry, member: &Member) {
    entry.author = Author::Person { person: Person::Member(member.id), mailbox: member.mailbox() };
    entry.verified = Verified::Confirmed;
    entry.warning = None;
}

/// The entries of a ticket that wait for a member's word, oldest first: held ones, and those of
/// unverified writers. One that waits only for its commands to be right is named by its number.
pub(super) fn waiting(tx: &impl Read, ticket: &Ticket) -> Result<Vec<EntryId>, StoreError> {
    let waits = |entry: &Entry| match entry.state {
        State::Held => entry.reason != Some(Reason::Command),
        State::Relayed => entry.warning == Some(Reason::Unverified),
        State::Kept | State::Rejected => false,
    };
    Ok(find::entries(tx, ticket.id)?.iter().filter(|entry| waits(entry)).map(|entry| entry.id).collect())
}

/// Lets a held entry go out, once its commands are carried out.
fn release(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: &mut Option<Ticket>,
    ticket: &mut Ticket,
    entry: &mut Entry,
) -> Result<(), ActionError> {
    let member = entry.claims.ok_or(Mistake::Nameless(entry.id))?;
    let member = find::member_by_id(tx, member)?;
    if !member.is_of(property.id) {
        return Err(Mistake::Left { member: member.login, property: property.slug.clone() }.into());
    }
    let own = act.with_actor(post::as_member(&member));
    let obeyed = commands::obey(tx, &own, property, before, ticket, entry, &member)?;
    if entry.hands_on {
        forward::release(tx, act, property, ticket, entry, &member)?;
        return notices::asked(tx, &own, property, ticket, entry, &member, &obeyed.asked_for);
    }
    confirmed(entry, &member);
    if entry.reason == Some(Reason::OnlyCommands) {
        entry.state = State::Kept;
    } else {
        entry.state = State::Relayed;
        entry.reason = None;
        post::speak(tx, act, property, ticket, false, &obeyed, entry)?;
        post::relay(tx, act, property, ticket, entry, Voice::Member, &member.addresses())?;
    }
    notices::asked(tx, &own, property, ticket, entry, &member, &obeyed.asked_for)
}

/// Lets what was taken for spam go to members after all, and opens its ticket.
fn not_spam(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    entry: &mut Entry,
) -> Result<(), ActionError> {
    let addresses = match entry.author.person() {
        Some(Person::Contact(id)) => find::contact_by_id(tx, id)?.addresses,
        Some(Person::Member(_)) | None => Vec::new(),
    };
    entry.state = State::Relayed;
    entry.reason = None;
    state::set_status(tx, act, ticket, act.author(), Status::Open)?;
    post::relay(tx, act, property, ticket, entry, Voice::Contact { to_contacts: false }, &addresses)
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
        return Err(Mistake::NoContact(entry.id).into());
    };
    entry.reason = None;
    entry.warning = None;
    entry.verified = Verified::Confirmed;
    if joins == Some(As::Same) {
        let Some(Person::Contact(requester)) = ticket.requester().map(|participant| participant.person) else {
            return Err(Mistake::NoRequester(ticket.reference.clone()).into());
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
