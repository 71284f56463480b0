//! A member's forward that was held: his word makes it the ticket of whom it names.

use super::{Act, ActionError, find, post};
use crate::desk::entry::{Author, Entry, State, Verified};
use crate::desk::fanout::Voice;
use crate::desk::member::Member;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Ground, Participant, Person, Standing, Ticket};
use crate::mime::understand::{Forwarded, Limits, understand};
use crate::store::{Read, StoreError, Tx};

/// Lets a held forward go out as the original sender's message, and makes him the requester.
pub(super) fn release(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    entry: &mut Entry,
    member: &Member,
) -> Result<(), ActionError> {
    let forwarded = of(tx, entry)?.ok_or(Mistake::NoForward(entry.id))?;
    if !find::is_outside(tx, act.desk, property.id, &forwarded.from.address)? {
        return Err(Mistake::ForwardOfTeam { entry: entry.id, address: forwarded.from.address }.into());
    }
    let person = Person::Contact(post::contact_for(tx, act, &forwarded.from)?);
    // Until now the ticket was for the member's own address.
    ticket.participants.retain(|known| known.ground != Ground::Requester && known.person != person);
    let requester = Participant {
        person,
        ground: Ground::Requester,
        standing: Standing::Accepted,
        address: forwarded.from.address.clone(),
        named_by_requester: false,
    };
    ticket.participants.insert(0, requester);
    if !forwarded.subject.is_empty() {
        ticket.subject.clone_from(&forwarded.subject);
    }
    entry.author = Author::Person { person, mailbox: forwarded.from };
    entry.text = post::bounded(forwarded.text);
    entry.state = State::Relayed;
    entry.verified = Verified::Confirmed;
    entry.reason = None;
    entry.warning = None;
    let his: Vec<_> = std::iter::once(member.login.clone()).chain(member.aliases.clone()).collect();
    post::relay(tx, act, property, ticket, entry, Voice::Contact { to_contacts: false }, &his)
}

/// What the message of an entry hands on.
pub(super) fn of(tx: &impl Read, entry: &Entry) -> Result<Option<Forwarded>, StoreError> {
    let Some(raw) = entry.raw else { return Ok(None) };
    Ok(understand(&tx.raw(raw)?, &Limits::default()).ok().and_then(|said| said.forwarded))
}
