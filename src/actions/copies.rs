//! Copies: made with an entry, moved on by the relay, by delivery reports and by people.

use std::ops::Bound;

use jiff::Timestamp;

use super::queue::{self, Verb};
use super::{Act, ActionError, find, notices, post, reach, state};
use crate::desk::copy::{Content, Copy, CopyState, Scope, Tried};
use crate::desk::entry::{Author, Entry, Event, Kind, State, What};
use crate::desk::fanout::Reader;
use crate::desk::id::{CopyId, EntryId, PropertyId};
use crate::desk::thread::Bond;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{COPIES, COPY_IDS, COPY_STATES, ENTRIES, QUEUE, TRIED};
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
    /// It is given up, by the server's word.
    Failed { reply: String },
    /// It is given up, since its time is over. `offered`: once more, with this reply; else these are
    /// the last words of its destination, which is down.
    Expired { reply: String, offered: bool },
    /// It is offered once more at once, with its attachments listed instead.
    TooLarge { reply: String },
}

/// A place in the queue: when it is due, and what.
pub type Place = (Timestamp, CopyId);

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
        server: None,
        renewed_at: None,
    };
    save(tx, None, &copy)?;
    Ok(copy.id)
}

/// Writes a copy with its place in the queue.
pub(super) fn save(tx: &mut Tx<'_>, before: Option<&Copy>, copy: &Copy) -> Result<(), StoreError> {
    let due = |copy: &Copy| copy.next_at.map(|at| (at, copy.id));
    let listed = |copy: &Copy| copy.is_listed().then_some((copy.state as u8, copy.id));
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

/// Writes down what became of one attempt to deliver a copy, and which `server` said so.
pub fn attempted(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    id: CopyId,
    attempt: &Attempt,
    server: Option<&str>,
) -> Result<(), ActionError> {
    let before = get(tx, id)?;
    let mut copy = before.clone();
    copy.updated_at = act.now;
    let (state, reply, next_at) = match attempt {
        Attempt::Sent { reply } => (CopyState::Sent, reply, None),
        Attempt::Deferred { reply, next_at } => (CopyState::Deferred, reply, Some(*next_at)),
        Attempt::Failed { reply } | Attempt::Expired { reply, .. } => (CopyState::Failed, reply, None),
        Attempt::TooLarge { reply } => {
            copy.shrunk = true;
            (CopyState::Deferred, reply, Some(act.now))
        }
    };
    if !matches!(attempt, Attempt::Expired { offered: false, .. }) {
        copy.attempts += 1;
        let tried = Tried { at: act.now, server: server.map(str::to_owned), outcome: state, reply: reply.clone() };
        remember(tx, &copy, &tried)?;
    }
    if !still_open(&before, state) {
        return Ok(tx.put(&COPIES, &copy.id, &copy)?);
    }
    copy.reply = Some(reply.clone());
    copy.server = server.map(str::to_owned);
    // Held meanwhile: it is not tried again.
    if before.state != CopyState::Held || state != CopyState::Deferred {
        copy.state = state;
        copy.next_at = next_at;
    }
    save(tx, Some(&before), &copy)?;
    match copy.state {
        CopyState::Sent => reach::sent(tx, act, &copy)?,
        CopyState::Failed => failed(tx, act, &copy, matches!(attempt, Attempt::Expired { .. }))?,
        CopyState::Queued | CopyState::Deferred | CopyState::Cancelled | CopyState::Held => {}
    }
    Ok(())
}

/// Whether an attempt still says what becomes of a copy. A person, or a delivery report, may have
/// decided while it was under way; that it was taken is true all the same.
fn still_open(copy: &Copy, outcome: CopyState) -> bool {
    match copy.state {
        CopyState::Held => true,
        CopyState::Cancelled => outcome == CopyState::Sent,
        CopyState::Queued | CopyState::Deferred => copy.next_at.is_some(),
        CopyState::Sent | CopyState::Failed => false,
    }
}

/// Keeps an offer, the newest of its copy; of many, the first ones and the last ones are kept.
fn remember(tx: &mut Tx<'_>, copy: &Copy, tried: &Tried) -> Result<(), StoreError> {
    if let Some(old @ 1..) = copy.attempts.checked_sub(Tried::LAST)
        && old > Tried::FIRST
    {
        tx.delete(&TRIED, &(copy.id, old));
    }
    tx.put(&TRIED, &(copy.id, copy.attempts), tried)
}

/// The offers of a copy that are kept, with their numbers.
pub fn tried(tx: &impl Read, id: CopyId) -> Result<Vec<(u32, Tried)>, StoreError> {
    let kept = tx.starting(&TRIED, (id,), Order::Up, usize::MAX)?;
    Ok(kept.into_iter().map(|((_, number), tried)| (number, tried)).collect())
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
    copy.server = None;
    copy.updated_at = act.now;
    if failed_for_good {
        copy.state = CopyState::Failed;
        copy.next_at = None;
    } else if copy.state == CopyState::Sent {
        copy.state = CopyState::Deferred;
    }
    save(tx, Some(&before), &copy)?;
    if failed_for_good {
        failed(tx, act, &copy, false)?;
    } else {
        let ticket = find::ticket_by_id(tx, copy.ticket)?;
        let event = Event { what: What::Delayed, from: Some(copy.to.to_string()), to: Some(words.to_owned()) };
        state::event_by(tx, act, &ticket, Author::System, event)?;
    }
    Ok(())
}

/// A copy failed: an event on the ticket, and once a letter to the author of the entry. `expired`: its
/// time was over, and nobody refused it for good.
fn failed(tx: &mut Tx<'_>, act: &Act<'_>, copy: &Copy, expired: bool) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, copy.ticket)?;
    let entry = tx.get(&ENTRIES, &(ticket.id, copy.entry))?;
    // A report about it has a story of its own.
    let act = &act.as_part_of(act.trace.clone().or_else(|| entry.and_then(|entry| entry.trace)));
    let event = Event { what: What::Failed, from: Some(copy.to.to_string()), to: copy.words() };
    state::event_by(tx, act, &ticket, Author::System, event)?;
    notices::failed(tx, act, &ticket, copy, expired)?;
    if expired { Ok(()) } else { reach::failed(tx, act, &ticket, copy) }
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

/// Cancels everything that waits for one person, on one property's tickets.
pub fn cancel_all(tx: &mut Tx<'_>, act: &Act<'_>, person: Person, property: PropertyId) -> Result<(), ActionError> {
    let due = tx.range(&QUEUE, .., Order::Up, usize::MAX)?.into_iter().map(|((_, id), ())| id);
    let held = tx.starting(&COPY_STATES, (CopyState::Held as u8,), Order::Up, usize::MAX)?;
    for id in due.chain(held.into_iter().map(|((_, id), ())| id)) {
        let copy = get(tx, id)?;
        if copy.person == person && copy.property == property {
            queue::one(tx, act, Verb::Cancel, id)?;
        }
    }
    Ok(())
}

/// Copies that wait, and since when or until when: up to `limit` of those before a place in the queue,
/// the last of them first.
pub fn due(tx: &impl Read, before: Place, limit: usize) -> Result<Vec<Place>, StoreError> {
    let due = tx.range(&QUEUE, ..before, Order::Down, limit)?;
    Ok(due.into_iter().map(|(place, ())| place).collect())
}

/// When the next copy is due after a time.
pub fn next_due(tx: &impl Read, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let place = (Bound::Excluded((after, CopyId(u64::MAX))), Bound::Unbounded);
    Ok(tx.range(&QUEUE, place, Order::Up, 1)?.first().map(|((at, _), ())| *at))
}

/// Copies due after a place that changed last at a time which is yet to come, since the clock was set
/// back; and the last place that was looked at, `None` at the end of the queue.
pub fn ahead(
    tx: &impl Read,
    now: Timestamp,
    after: Place,
    limit: usize,
) -> Result<(Vec<CopyId>, Option<Place>), StoreError> {
    let page = tx.range(&QUEUE, (Bound::Excluded(after), Bound::Unbounded), Order::Up, limit)?;
    let last = page.last().map(|(place, ())| *place).filter(|_| page.len() == limit);
    let mut ahead = Vec::new();
    for ((_, id), ()) in page {
        if tx.get(&COPIES, &id)?.is_some_and(|copy| copy.updated_at > now) {
            ahead.push(id);
        }
    }
    Ok((ahead, last))
}

/// Makes such copies due now: when they were to be tried was reckoned by a clock that was ahead.
pub fn recall(tx: &mut Tx<'_>, act: &Act<'_>, ids: &[CopyId]) -> Result<(), ActionError> {
    for id in ids {
        let before = get(tx, *id)?;
        if before.updated_at > act.now && before.next_at.is_some_and(|at| at > act.now) {
            let copy = Copy { next_at: Some(act.now), updated_at: act.now, ..before.clone() };
            save(tx, Some(&before), &copy)?;
        }
    }
    Ok(())
}

pub fn get(tx: &impl Read, id: CopyId) -> Result<Copy, ActionError> {
    tx.get(&COPIES, &id)?.ok_or_else(|| ActionError::NotFound { what: "copy", name: id.to_string(), near: Vec::new() })
}
