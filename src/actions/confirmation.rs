//! Forwarding confirmations: kept for the property, and told to those who may decide.

use jiff::SignedDuration;

use super::{Act, ActionError, find, notices};
use crate::desk::address::Address;
use crate::desk::confirmation::{Confirmation, Request};
use crate::desk::entry::Entry;
use crate::desk::id::PropertyId;
use crate::desk::letter::Letter;
use crate::desk::property::Property;
use crate::desk::ticket::Ticket;
use crate::store::tables::CONFIRMATIONS;
use crate::store::{Read, StoreError, Tx};

/// Anybody with a mailbox at a provider can have it ask: so many letters go out within
/// [`NOTICES_WITHIN`], and the rest is only kept.
const MOST_NOTICES: usize = 5;
const NOTICES_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// What a property was asked, the newest first.
pub fn list(tx: &impl Read, property: PropertyId) -> Result<Vec<Confirmation>, StoreError> {
    Ok(tx.get(&CONFIRMATIONS, &property)?.unwrap_or_default())
}

/// Keeps a request that came with an entry, and writes to the property's admins; to all its members
/// where it has no admin. `to`: the address that would be forwarded to.
pub fn asked(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &Ticket,
    entry: &mut Entry,
    to: &Address,
    request: Request,
) -> Result<(), ActionError> {
    let mut all = list(tx, property.id)?;
    let lately = all.iter().filter(|known| act.now.duration_since(known.at) < NOTICES_WITHIN).count();
    let confirmation = Confirmation { request, at: act.now, ticket: ticket.reference.clone() };
    if lately < MOST_NOTICES {
        for member in find::admins(tx, property)? {
            let letter = Letter::forwarding(property.language, &confirmation, to);
            notices::send(tx, act, ticket, entry, &member, letter)?;
        }
    }
    all.insert(0, confirmation);
    all.truncate(Confirmation::MOST);
    Ok(tx.put(&CONFIRMATIONS, &property.id, &all)?)
}
