//! What members keep for themselves in their mailboxes: drafts, messages of theirs that belong to no
//! ticket, and which mailboxes they see.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{ActionError, find, views};
use crate::desk::entry::Entry;
use crate::desk::id::{EntryId, MemberId, RawId, TicketId};
use crate::desk::member::Member;
use crate::desk::message_id::MessageId;
use crate::desk::shelf::{self, Marks, Own, Place, Shelf};
use crate::store::tables::{ENTRY_IDS, OWN, OWN_IDS, SHOWN, SUBSCRIPTIONS};
use crate::store::{Order, Read, StoreError, Tx};

/// A message to be kept.
#[derive(Clone, Debug)]
pub struct New {
    pub raw: RawId,
    /// When it came, as whoever brings it says.
    pub at: Timestamp,
    pub message_id: Option<MessageId>,
    pub marks: Marks,
}

/// Keeps a message.
pub fn add(tx: &mut Tx<'_>, member: MemberId, place: Place, new: New) -> Result<EntryId, StoreError> {
    let New { raw, at, message_id, marks } = new;
    keep(tx, member, place, &Own { raw, at, message_id }, marks)
}

/// Keeps it, under a number of its own.
fn keep(tx: &mut Tx<'_>, member: MemberId, place: Place, own: &Own, marks: Marks) -> Result<EntryId, StoreError> {
    let entry = EntryId(tx.allocate(&ENTRY_IDS, &())?);
    tx.put(&OWN, &(member, entry), own)?;
    if let Some(id) = &own.message_id {
        tx.put(&OWN_IDS, &(member, id.clone(), entry), &())?;
    }
    views::own_saved(tx, member, entry, Some(place), marks)?;
    Ok(entry)
}

/// Puts it elsewhere; answers what it is there. Among what he sent that is the desk's own, where a ticket
/// has it: one mail is one message.
pub fn put(
    tx: &mut Tx<'_>,
    member: &Member,
    entry: EntryId,
    place: Place,
) -> Result<(Option<TicketId>, EntryId), ActionError> {
    if let Some(written) = written_there(tx, member, entry, place)? {
        remove(tx, member.id, entry)?;
        return Ok((Some(written.ticket), written.id));
    }
    if let Some(marks) = views::own_marks(tx, entry)? {
        views::own_saved(tx, member.id, entry, Some(place), marks)?;
    }
    Ok((None, entry))
}

/// Puts another one of it elsewhere; answers what that is, as [`put`] does, `None` where it is gone.
pub fn copy(
    tx: &mut Tx<'_>,
    member: &Member,
    entry: EntryId,
    place: Place,
) -> Result<Option<(Option<TicketId>, EntryId)>, ActionError> {
    if let Some(written) = written_there(tx, member, entry, place)? {
        return Ok(Some((Some(written.ticket), written.id)));
    }
    let (Some(own), Some(marks)) = (tx.get(&OWN, &(member.id, entry))?, views::own_marks(tx, entry)?) else {
        return Ok(None);
    };
    let marks = Marks { copy_of: marks.copy_of.or(Some(entry)), ..marks };
    Ok(Some((None, keep(tx, member.id, place, &own, marks)?)))
}

/// What a ticket has of a message that comes to stand among what he sent.
fn written_there(tx: &impl Read, member: &Member, entry: EntryId, place: Place) -> Result<Option<Entry>, ActionError> {
    if place != Place::Sent {
        return Ok(None);
    }
    let id = tx.get(&OWN, &(member.id, entry))?.and_then(|own| own.message_id);
    id.map_or(Ok(None), |id| written(tx, member, &id))
}

/// What he wrote under a Message-ID, on a ticket of a property where he has a role.
pub fn written(tx: &impl Read, member: &Member, id: &MessageId) -> Result<Option<Entry>, ActionError> {
    for property in find::properties(tx)?.iter().filter(|property| member.is_of(property.id)) {
        let entry = find::bearer(tx, property.id, id)?;
        let his = |entry: &Entry| shelf::author(entry) == Some(member.id) && shelf::shows(entry);
        if let Some(entry) = entry.filter(his) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// A ticket has what he wrote: what his client filed as sent before goes.
pub(super) fn arrived(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let (Some(member), Some(id)) = (shelf::author(entry), &entry.message_id) else { return Ok(()) };
    if !shelf::shows(entry) {
        return Ok(());
    }
    for ((.., filed), ()) in tx.starting(&OWN_IDS, (member, id.clone()), Order::Up, usize::MAX)? {
        let shown = tx.get(&SHOWN, &(None, filed))?.unwrap_or_default();
        if shown.at.iter().any(|(shelf, _)| *shelf == Shelf::Own(member, Place::Sent)) {
            remove(tx, member, filed)?;
        }
    }
    Ok(())
}

/// Changes what is marked on it.
pub fn mark(tx: &mut Tx<'_>, entry: EntryId, change: impl FnOnce(&mut Marks)) -> Result<(), StoreError> {
    let Some(mut marks) = views::own_marks(tx, entry)? else { return Ok(()) };
    change(&mut marks);
    views::own_marked(tx, entry, marks)
}

/// The mailboxes that a member sees without asking, by their ids.
pub fn subscribe(tx: &mut Tx<'_>, member: MemberId, folders: &BTreeSet<String>) -> Result<(), StoreError> {
    tx.put(&SUBSCRIPTIONS, &member, &folders.iter().cloned().collect())
}

/// Forgets it.
pub fn remove(tx: &mut Tx<'_>, member: MemberId, entry: EntryId) -> Result<(), StoreError> {
    if let Some(id) = tx.get(&OWN, &(member, entry))?.and_then(|own| own.message_id) {
        tx.delete(&OWN_IDS, &(member, id, entry));
    }
    tx.delete(&OWN, &(member, entry));
    views::mine_gone(tx, member, entry)?;
    views::own_saved(tx, member, entry, None, Marks::default())
}
