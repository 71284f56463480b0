//! Contacts: changed and merged by people; made by the mail they write.

use super::{Act, ActionError, find};
use crate::desk::contact::Contact;
use crate::desk::ticket::{Ground, Person};
use crate::mime::clean;
use crate::store::tables::{CONTACT_ADDRESSES, CONTACT_TICKETS, CONTACTS, TICKETS};
use crate::store::{Order, Read, StoreError, Tx};

/// The most octets of a name or organisation, and of a note.
const LONGEST_LINE: usize = 200;
const LONGEST_NOTE: usize = 20_000;

/// What is to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub note: Option<String>,
    pub organisation: Option<String>,
}

/// Changes what is known of a contact.
pub fn edit(tx: &mut Tx<'_>, act: &Act<'_>, address: &str, changes: Changes) -> Result<Contact, ActionError> {
    let mut contact = find::contact(tx, address)?;
    if let Some(name) = changes.name {
        contact.name = clean::line(&name, LONGEST_LINE);
    }
    if let Some(note) = changes.note {
        clean::start(&clean::lines(&note), LONGEST_NOTE).clone_into(&mut contact.note);
    }
    if let Some(organisation) = changes.organisation {
        contact.organisation = clean::line(&organisation, LONGEST_LINE);
    }
    contact.updated_at = act.now;
    tx.put(&CONTACTS, &contact.id, &contact)?;
    Ok(contact)
}

/// Makes two contacts one: the second keeps its name and takes the first's addresses and tickets.
pub fn merge(tx: &mut Tx<'_>, act: &Act<'_>, address: &str, into: &str) -> Result<Contact, ActionError> {
    let source = find::contact(tx, address)?;
    let target = find::contact(tx, into)?;
    if source.id == target.id {
        return Err(ActionError::refused(format!("{address} and {into} are one contact already")));
    }
    Ok(absorb(tx, act, source, target)?)
}

/// The merge itself.
pub(super) fn absorb(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mut source: Contact,
    mut target: Contact,
) -> Result<Contact, StoreError> {
    for address in std::mem::take(&mut source.addresses) {
        tx.put(&CONTACT_ADDRESSES, &address, &target.id)?;
        if !target.has(&address) {
            target.addresses.push(address);
        }
    }
    if target.name.is_empty() {
        target.name = std::mem::take(&mut source.name);
    }
    if target.organisation.is_empty() {
        target.organisation = std::mem::take(&mut source.organisation);
    }
    if !source.note.is_empty() {
        if !target.note.is_empty() {
            target.note.push('\n');
        }
        target.note.push_str(&source.note);
    }
    let (old, new) = (Person::Contact(source.id), Person::Contact(target.id));
    for ((contact, id), ()) in tx.starting(&CONTACT_TICKETS, (source.id,), Order::Up, usize::MAX)? {
        tx.delete(&CONTACT_TICKETS, &(contact, id));
        tx.put(&CONTACT_TICKETS, &(target.id, id), &())?;
        let Some(mut ticket) = tx.get(&TICKETS, &id)? else { continue };
        let already = ticket.participant(new).is_some();
        let was_requester = ticket.participant(old).is_some_and(|old| old.ground == Ground::Requester);
        if already && was_requester {
            // He is the requester now, whatever else he was.
            ticket.participants.retain(|participant| participant.person != new);
        } else if already {
            ticket.participants.retain(|participant| participant.person != old);
        }
        if let Some(participant) = ticket.participant_mut(old) {
            participant.person = new;
        }
        tx.put(&TICKETS, &id, &ticket)?;
    }
    source.merged_into = Some(target.id);
    source.updated_at = act.now;
    target.updated_at = act.now;
    tx.put(&CONTACTS, &source.id, &source)?;
    tx.put(&CONTACTS, &target.id, &target)?;
    Ok(target)
}
