//! A property's public address: whether it stands in From, and who is told when it no longer does.

use super::post::{self, Opening};
use super::{Act, ActionError, find, notices, state};
use crate::desk::address::Mailbox;
use crate::desk::entry::{Author, Event, What};
use crate::desk::id::PropertyId;
use crate::desk::letter::Letter;
use crate::desk::property::Property;
use crate::desk::public::{Change, Sight, look};
use crate::desk::ticket::{Priority, Status};
use crate::store::Tx;
use crate::store::tables::PROPERTIES;

/// Writes down what the DNS said of our key in the domain of a property's public address, and tells
/// the property's admins where that takes the address back. `public` is whom it was asked for: a
/// property that has another address meanwhile is left alone.
pub fn looked(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: PropertyId,
    public: &str,
    sight: Sight,
) -> Result<Change, ActionError> {
    let mut property = find::property_by_id(tx, property)?;
    if property.removed || property.public.as_ref().is_none_or(|address| address.as_str() != public) {
        return Ok(Change::Nothing);
    }
    let (look, change) = look(property.public_verified, property.public_look, sight, act.now);
    property.public_look = Some(look);
    match change {
        Change::Nothing => {}
        Change::Verified => property.public_verified = true,
        Change::TakenBack => property.public_verified = false,
    }
    tx.put(&PROPERTIES, &property.id, &property)?;
    if change == Change::TakenBack {
        tell(tx, act, &property, public)?;
    }
    Ok(change)
}

/// A ticket that is closed from the start keeps what happened, and the letters.
fn tell(tx: &mut Tx<'_>, act: &Act<'_>, property: &Property, public: &str) -> Result<(), ActionError> {
    let forwarding = property.forwarding_address(act.desk.domains.first());
    let letter = Letter::public_taken_back(property.language, &property.name, public, forwarding.as_str());
    let opening = Opening {
        requester: Mailbox::new(property.name.clone(), forwarding),
        status: Status::Closed,
        priority: Priority::Normal,
        tags: Vec::new(),
        assignee: None,
        continues: None,
    };
    let ticket = post::open(tx, act, property, &letter.subject, opening)?;
    state::save(tx, None, &ticket)?;
    let event = Event { what: What::PublicTakenBack, from: Some(public.to_owned()), to: None };
    let mut entry = state::event_by(tx, act, &ticket, Author::System, event)?;
    entry.facts = Some(state::facts(tx, &ticket)?);
    for admin in find::admins(tx, property)? {
        notices::send(tx, act, &ticket, &mut entry, &admin, letter.clone())?;
    }
    Ok(())
}
