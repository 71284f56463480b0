//! Addresses that keep failing: suspended, shown, and resumed by a person or by mail of their own.

use super::{Act, ActionError, find, notices, state};
use crate::desk::address::Address;
use crate::desk::contact::Contact;
use crate::desk::copy::Copy;
use crate::desk::entry::{Author, Event, What};
use crate::desk::member::Member;
use crate::desk::reach::{Reach, Suspension};
use crate::desk::reply_code;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::REACH;
use crate::store::{Read, StoreError, Tx};

/// Since when and why an address gets no copies.
pub fn suspension(tx: &impl Read, address: &Address) -> Result<Option<Suspension>, StoreError> {
    Ok(tx.get(&REACH, address)?.and_then(|reach| reach.suspended))
}

/// A copy failed for good. If its address refuses, and once too often: an event on the ticket, and a
/// letter to the property's admins where the address is a member's.
pub(super) fn failed(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &Ticket, copy: &Copy) -> Result<(), ActionError> {
    let words = copy.reply.as_deref().unwrap_or_default();
    if !reply_code::refuses_address(words) {
        return Ok(());
    }
    let mut reach = tx.get(&REACH, &copy.to)?.unwrap_or_default();
    let suspended = reach.failed(copy.id, act.now, words);
    save(tx, &copy.to, &reach)?;
    if suspended {
        let event = Event { what: What::Suspended, from: Some(copy.to.to_string()), to: Some(words.to_owned()) };
        state::event_by(tx, act, ticket, Author::System, event)?;
        if let Person::Member(member) = copy.person {
            notices::suspended(tx, act, ticket, copy, member)?;
        }
    }
    Ok(())
}

/// The next server took a copy.
pub(super) fn sent(tx: &mut Tx<'_>, act: &Act<'_>, copy: &Copy) -> Result<(), StoreError> {
    let Some(mut reach) = tx.get(&REACH, &copy.to)? else { return Ok(()) };
    reach.sent(copy.id, act.now);
    save(tx, &copy.to, &reach)
}

/// Mail that is surely of this address: it lives. Whether it was suspended.
pub fn proved(tx: &mut Tx<'_>, address: &Address) -> Result<bool, StoreError> {
    let Some(reach) = tx.get(&REACH, address)? else { return Ok(false) };
    tx.delete(&REACH, address);
    Ok(reach.suspended.is_some())
}

/// Sends copies to a contact again, at whichever of his addresses are suspended, or at the one that
/// was named.
pub fn resume_contact(tx: &mut Tx<'_>, who: &str) -> Result<Contact, ActionError> {
    let contact = find::contact(tx, who)?;
    let named = who.parse::<Address>().ok().filter(|address| contact.has(address));
    resume_any(tx, who, named.as_ref().map_or(&contact.addresses[..], std::slice::from_ref))?;
    Ok(contact)
}

/// Sends copies to a member again.
pub fn resume_member(tx: &mut Tx<'_>, who: &str) -> Result<Member, ActionError> {
    let member = find::member(tx, who)?;
    resume_any(tx, who, std::slice::from_ref(&member.login))?;
    Ok(member)
}

fn resume_any(tx: &mut Tx<'_>, who: &str, addresses: &[Address]) -> Result<(), ActionError> {
    let mut resumed = false;
    for address in addresses {
        resumed |= proved(tx, address)?;
    }
    if resumed { Ok(()) } else { Err(ActionError::refused(format!("copies to {who} are not suspended"))) }
}

fn save(tx: &mut Tx<'_>, address: &Address, reach: &Reach) -> Result<(), StoreError> {
    if reach.is_good() {
        tx.delete(&REACH, address);
        return Ok(());
    }
    tx.put(&REACH, address, reach)
}
