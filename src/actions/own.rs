//! What members keep for themselves in their mailboxes: drafts, messages of theirs that belong to no
//! ticket, and which mailboxes they see.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::views;
use crate::desk::id::{EntryId, MemberId, RawId};
use crate::desk::message_id::MessageId;
use crate::desk::shelf::{Marks, Own, Place};
use crate::store::tables::{ENTRY_IDS, OWN, SUBSCRIPTIONS};
use crate::store::{Read, StoreError, Tx};

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
    let entry = EntryId(tx.allocate(&ENTRY_IDS, &())?);
    tx.put(&OWN, &(member, entry), &Own { raw, at, message_id })?;
    views::own_saved(tx, member, entry, Some(place), marks)?;
    Ok(entry)
}

/// Puts it elsewhere.
pub fn put(tx: &mut Tx<'_>, member: MemberId, entry: EntryId, place: Place) -> Result<(), StoreError> {
    let Some(marks) = views::own_marks(tx, entry)? else { return Ok(()) };
    views::own_saved(tx, member, entry, Some(place), marks)
}

/// Puts another one of it elsewhere.
pub fn copy(tx: &mut Tx<'_>, member: MemberId, entry: EntryId, place: Place) -> Result<Option<EntryId>, StoreError> {
    let (Some(own), Some(marks)) = (tx.get(&OWN, &(member, entry))?, views::own_marks(tx, entry)?) else {
        return Ok(None);
    };
    let marks = Marks { copy_of: marks.copy_of.or(Some(entry)), ..marks };
    let copy = EntryId(tx.allocate(&ENTRY_IDS, &())?);
    tx.put(&OWN, &(member, copy), &own)?;
    views::own_saved(tx, member, copy, Some(place), marks)?;
    Ok(Some(copy))
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
    tx.delete(&OWN, &(member, entry));
    views::mine_gone(tx, member, entry)?;
    views::own_saved(tx, member, entry, None, Marks::default())
}
