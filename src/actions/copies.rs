//! Copies: made with an entry, moved on by the relay, by delivery reports and by people.

use std::ops::Bound;

use jiff::Timestamp;

use super::{Act, ActionError, find, notices, post, reach, state};
use crate::desk::copy::{Content, Copy, CopyState, Scope};
use crate::desk::entry::{Author, Entry, Event, Kind, State, What};
use crate::desk::fanout::Reader;
use crate::desk::id::{CopyId, EntryId, PropertyId};
use crate::desk::thread::Bond;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{COPIES, COPY_IDS, COPY_STATES, ENTRIES, QUEUE};
use crate::store::{Order, Read, StoreError, Tx};

/// The most notes that a new assignee is sent, the newest.
const MOST_NOTES: usize = 20;

/// What the next server, or the route to it, said of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It took it.
    Sent { reply: String },
    /// It is offered again at a time.
    Deferred { reply: String, next_at: Timestamp },
    /// It is given up.
    Failed { reply: String },
    /// It is offered once more at once, with its attachments listed instead.
    TooLarge { reply: String },
}

/// Queues the copy of an entry for one reader.
pub fn queue(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    entry: &Entry,
    property: PropertyId,
    reader: Reader,
) -> Result<CopyId, StoreError> {
    queue_content(tx, act, entry, property, reader, Content::Entry)
}

/// Queues something else about an entry: the conversation so far, or a letter. What is for a suspended
/// address is cancelled from the start, and says why.
pub fn queue_content(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    entry: &Entry,
    property: PropertyId,
    reader: Reader,
    content: Content,
) -> Result<CopyId, StoreError> {
    let own = !matches!(content, Content::Entry);
    let suspension = reach::suspension(tx, &reader.address)?;
    let copy = Copy {
        id: CopyId(tx.allocate(&COPY_IDS, &())?),
        property,
        ticket: entry.ticket,
        entry: entry.id,
        person: reader.person,
        to: reader.address,
        scope: reader.scope,
        content,
        message_id: own.then(|| act.desk.mint()),
        key: act.desk.keys.active(),
        state: if suspension.is_some() { CopyState::Cancelled } else { CopyState::Queued },
        attempts: 0,
        queued_at: act.now,
        next_at: suspension.is_none().then_some(act.now),
        reply: suspension.map(|suspension| {
            format!(
                "not sent: copies to this address are suspended since {:.0}; {}",
                suspension.since, suspension.words
            )
        }),
        updated_at: act.now,
        shrunk: false,
    };
    save(tx, None, &copy)?;
    Ok(copy.id)
}

/// Writes a copy with its place in the queue.
fn save(tx: &mut Tx<'_>, before: Option<&Copy>, copy: &Copy) -> Result<(), StoreError> {
    let due = |copy: &Copy| copy.next_at.map(|at| (at, copy.id));
    let listed = |copy: &Copy| (copy.state != CopyState::Sent).then_some((copy.state as u8, copy.id));
    let (old_due, old_listed) = (before.and_then(due), before.and_then(listed));
    if old_due != due(copy) {
        if let Some(key) = old_due {
            tx.delete(&QUEUE, &key);
        }
        if let Some(key) = due(copy) {
            tx.put(&QUEUE, &key, &())?;
        }
    }
    if old_listed != listed(copy) {
        if let Some(key) = old_listed {
            tx.delete(&COPY_STATES, &key);
        }
        if let Some(key) = listed(copy) {
            tx.put(&COPY_STATES, &key, &())?;
        }
    }
    tx.put(&COPIES, &copy.id, copy)
}

/// Writes down what became of one attempt to deliver a copy.
pub fn attempted(tx: &mut Tx<'_>, act: &Act<'_>, id: CopyId, attempt: &Attempt) -> Result<(), ActionError> {
    let before = get(tx, id)?;
    // It was cancelled, or a delivery report came, while the attempt was under way.
    if before.next_at.is_none() {
        return Ok(());
    }
    let mut copy = before.clone();
    copy.attempts += 1;
    copy.updated_at = act.now;
    let (state, reply, next_at) = match attempt {
        Attempt::Sent { reply } => (CopyState::Sent, reply, None),
        Attempt::Deferred { reply, next_at } => (CopyState::Deferred, reply, Some(*next_at)),
        Attempt::Failed { reply } => (CopyState::Failed, reply, None),
        Attempt::TooLarge { reply } => {
            copy.shrunk = true;
            (CopyState::Deferred, reply, Some(act.now))
        }
    };
    copy.state = state;
    copy.reply = Some(reply.clone());
    copy.next_at = next_at;
    save(tx, Some(&before), &copy)?;
    match state {
        CopyState::Sent => reach::sent(tx, act, &copy)?,
        CopyState::Failed => failed(tx, act, &copy)?,
        CopyState::Queued | CopyState::Deferred | CopyState::Cancelled => {}
    }
    Ok(())
}

/// What a delivery report at the copy's own envelope sender says (RFC 3464 §2.3.3).
pub fn reported(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    id: CopyId,
    failed_for_good: bool,
    words: &str,
) -> Result<(), ActionError> {
    let before = get(tx, id)?;
    if matches!(before.state, CopyState::Failed | CopyState::Cancelled) {
        return Ok(());
    }
    let mut copy = before.clone();
    copy.reply = Some(words.to_owned());
    copy.updated_at = act.now;
    if failed_for_good {
        copy.state = CopyState::Failed;
        copy.next_at = None;
    } else if copy.state == CopyState::Sent {
        copy.state = CopyState::Deferred;
    }
    save(tx, Some(&before), &copy)?;
    if failed_for_good {
        failed(tx, act, &copy)?;
    } else {
        let ticket = find::ticket_by_id(tx, copy.ticket)?;
        let event = Event { what: What::Delayed, from: Some(copy.to.to_string()), to: Some(words.to_owned()) };
        state::event_by(tx, act, &ticket, Author::System, event)?;
    }
    Ok(())
}

/// A copy failed: an event on the ticket, and once a letter to the author of the entry.
fn failed(tx: &mut Tx<'_>, act: &Act<'_>, copy: &Copy) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, copy.ticket)?;
    let event = Event { what: What::Failed, from: Some(copy.to.to_string()), to: copy.reply.clone() };
    state::event_by(tx, act, &ticket, Author::System, event)?;
    notices::failed(tx, act, &ticket, copy)?;
    reach::failed(tx, act, &ticket, copy)
}

/// The conversation so far, for somebody who was assigned and did not have it. It hangs on the
/// newest public message, so that an answer to it is public too, and bears an identifier of its
/// own: a client that has that message already must not take it for the same. Notes follow as mails of
/// their own: his public answer quotes the conversation, and must have no note in it.
pub fn queue_conversation(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    readers: &[Reader],
) -> Result<(), ActionError> {
    let newest = tx.range(&ENTRIES, (ticket.id, EntryId(0))..=(ticket.id, EntryId(u64::MAX)), Order::Down, 1_000)?;
    let shown = |entry: &Entry| entry.kind == Kind::Message && entry.state == State::Relayed;
    let Some(mut entry) = newest.iter().map(|(_, entry)| entry).find(|entry| shown(entry)).cloned() else {
        return Ok(());
    };
    for reader in readers {
        let copy = queue_content(tx, act, &entry, ticket.property, reader.clone(), Content::Conversation)?;
        if let Some(id) = get(tx, copy)?.message_id {
            post::bear(tx, ticket, entry.id, &id, Bond::Minted)?;
        }
        entry.copies.push(copy);
    }
    tx.put(&ENTRIES, &(entry.ticket, entry.id), &entry)?;
    let notes = newest.into_iter().map(|(_, entry)| entry);
    let notes = notes.filter(|entry| entry.kind == Kind::Note && entry.state == State::Relayed).take(MOST_NOTES);
    for mut note in notes.collect::<Vec<_>>().into_iter().rev() {
        for reader in readers {
            let reader = Reader { scope: Scope::Note, ..reader.clone() };
            let copy = queue(tx, act, &note, ticket.property, reader)?;
            note.copies.push(copy);
        }
        tx.put(&ENTRIES, &(note.ticket, note.id), &note)?;
    }
    Ok(())
}

/// Offers a waiting or failed copy at once.
pub fn retry(tx: &mut Tx<'_>, act: &Act<'_>, id: CopyId) -> Result<Copy, ActionError> {
    let before = get(tx, id)?;
    if matches!(before.state, CopyState::Sent) {
        return Err(ActionError::refused(format!("copy {id} was sent already")));
    }
    let mut copy = before.clone();
    copy.state = CopyState::Queued;
    copy.next_at = Some(act.now);
    // A new life: what had run out of time gets it again.
    copy.queued_at = act.now;
    copy.updated_at = act.now;
    save(tx, Some(&before), &copy)?;
    Ok(copy)
}

/// Takes a waiting copy out of the queue for good.
pub fn cancel(tx: &mut Tx<'_>, act: &Act<'_>, id: CopyId) -> Result<Copy, ActionError> {
    let before = get(tx, id)?;
    if before.next_at.is_none() {
        return Err(ActionError::refused(format!("copy {id} does not wait: it is {}", before.state)));
    }
    let mut copy = before.clone();
    copy.state = CopyState::Cancelled;
    copy.next_at = None;
    copy.updated_at = act.now;
    save(tx, Some(&before), &copy)?;
    Ok(copy)
}

/// Cancels everything that waits for one person, on one property's tickets.
pub fn cancel_all(tx: &mut Tx<'_>, act: &Act<'_>, person: Person, property: PropertyId) -> Result<(), ActionError> {
    for ((_, id), ()) in tx.range(&QUEUE, .., Order::Up, usize::MAX)? {
        let copy = get(tx, id)?;
        if copy.person == person && copy.property == property {
            cancel(tx, act, id)?;
        }
    }
    Ok(())
}

/// Copies that wait, and since when or until when: up to `limit` of those before a place in the queue,
/// the last of them first.
pub fn due(tx: &impl Read, before: (Timestamp, CopyId), limit: usize) -> Result<Vec<(Timestamp, CopyId)>, StoreError> {
    let due = tx.range(&QUEUE, ..before, Order::Down, limit)?;
    Ok(due.into_iter().map(|(place, ())| place).collect())
}

/// When the next copy is due after a time.
pub fn next_due(tx: &impl Read, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let place = (Bound::Excluded((after, CopyId(u64::MAX))), Bound::Unbounded);
    Ok(tx.range(&QUEUE, place, Order::Up, 1)?.first().map(|((at, _), ())| *at))
}

pub fn get(tx: &impl Read, id: CopyId) -> Result<Copy, ActionError> {
    tx.get(&COPIES, &id)?.ok_or_else(|| ActionError::NotFound { what: "copy", name: id.to_string(), near: Vec::new() })
}
