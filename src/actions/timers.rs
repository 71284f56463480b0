//! What time does to the desk: snoozed tickets wake, pending ones close, and members hear of held mail
//! that they were not told of at once, and of mail of theirs that does not arrive.

use jiff::{SignedDuration, Timestamp};

use super::{Act, ActionError, Desk, find, notices, state, undelivered};
use crate::desk::entry::{Author, Event, What};
use crate::desk::id::TicketId;
use crate::desk::ticket::Status;
use crate::store::tables::{SNOOZED, TICKET_LISTS, TICKETS};
use crate::store::{Order, Read, StoreError, Tx};

/// The most tickets that one transaction moves; the rest comes at the next turn.
const BATCH: usize = 100;

/// Wakes the snoozed tickets whose time has come, closes those that were pending for longer than
/// their property wants, and tells members of held mail. Answers how much there was to do.
pub fn tick(tx: &mut Tx<'_>, act: &Act<'_>) -> Result<usize, ActionError> {
    let due = tx.range(&SNOOZED, ..=(act.now, TicketId(u64::MAX)), Order::Up, BATCH)?;
    let mut moved = due.len() + notices::due(tx, act)? + undelivered::due(tx, act)?;
    for (key, ()) in due {
        let Some(before) = tx.get(&TICKETS, &key.1)? else {
            tx.delete(&SNOOZED, &key);
            continue;
        };
        let mut ticket = before.clone();
        let event = Event { what: What::Woken, from: Some(ticket.status.to_string()), to: Some("open".to_owned()) };
        ticket.status = Status::Open;
        ticket.status_since = act.now;
        ticket.wake_at = None;
        ticket.updated_at = act.now;
        state::event_by(tx, act, &ticket, Author::System, event)?;
        state::save(tx, Some(&before), &ticket)?;
    }
    for property in find::properties(tx)? {
        let Some(days) = property.auto_close_days else { continue };
        let Ok(since) = act.now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24)) else { continue };
        let pending = Status::Pending as u8;
        let first = (property.id, pending, Timestamp::MIN, TicketId(0));
        // Snoozed ones lie among them and stay; so look further than the batch.
        let stale =
            tx.range(&TICKET_LISTS, first..(property.id, pending, since, TicketId(0)), Order::Up, 100 * BATCH)?;
        for ((.., id), ()) in stale {
            let Some(before) = tx.get(&TICKETS, &id)? else { continue };
            if before.wake_at.is_some() || moved >= BATCH {
                continue;
            }
            moved += 1;
            let mut ticket = before.clone();
            state::set_status(tx, act, &mut ticket, Author::System, Status::Closed)?;
            ticket.updated_at = act.now;
            state::save(tx, Some(&before), &ticket)?;
        }
    }
    Ok(moved)
}

/// When the next snoozed ticket wakes, or a member is told of held mail or of what still waits.
pub fn next(tx: &impl Read, desk: &Desk) -> Result<Option<Timestamp>, StoreError> {
    let wakes = tx.range(&SNOOZED, .., Order::Up, 1)?.first().map(|((at, _), ())| *at);
    Ok(wakes.into_iter().chain(notices::next_due(tx)?).chain(undelivered::next_due(tx, desk)?).min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::{property, ticket};
    use crate::desk::entry::Entry;

    async fn events(office: &Office, id: TicketId) -> Vec<What> {
        let entries = office.act(|tx, _| Ok(find::entries(tx, id)?)).await.unwrap();
        entries.into_iter().filter_map(|entry: Entry| entry.event.map(|event| event.what)).collect()
    }

    #[tokio::test]
    async fn a_snoozed_ticket_wakes_at_its_time_and_not_before() {
        let mut office = Office::open().await;
        let made = office.ticket("carol").await;
        let name = made.reference.to_string();
        let until = office.now + SignedDuration::from_hours(48);
        office.act(|tx, act| ticket::snooze(tx, act, &name, until)).await.unwrap();
        office.now = until - SignedDuration::from_secs(1);
        assert_eq!(office.act(tick).await.unwrap(), 0);
        assert_eq!(office.store.read(|view| next(view, &office.desk)).unwrap(), Some(until));
        office.now = until;
        assert_eq!(office.act(tick).await.unwrap(), 1);
        let woken = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();
        assert_eq!((woken.status, woken.wake_at), (Status::Open, None));
        assert_eq!(events(&office, made.id).await.last(), Some(&What::Woken));
        assert_eq!(office.act(tick).await.unwrap(), 0, "it wakes once");
    }

    #[tokio::test]
    async fn a_pending_ticket_closes_by_itself_where_its_property_wants_that() {
        let mut office = Office::open().await;
        let quiet = office.ticket("carol").await.reference.to_string();
        let snoozed = office.ticket("dave").await.reference.to_string();
        let open = office.ticket("eve").await.reference.to_string();
        let far = office.now + SignedDuration::from_hours(24 * 100);
        office
            .act(|tx, act| {
                let changes = property::Changes { auto_close_days: Some(Some(7)), ..property::Changes::default() };
                property::edit(tx, act, "acme", changes)?;
                ticket::snooze(tx, act, &snoozed, far)?;
                ticket::set_status(tx, act, &quiet, Status::Pending)
            })
            .await
            .unwrap();
        office.now += SignedDuration::from_hours(24 * 7);
        assert_eq!(office.act(tick).await.unwrap(), 0, "not on the seventh day");
        office.now += SignedDuration::from_secs(1);
        assert_eq!(office.act(tick).await.unwrap(), 1);
        for (name, status) in [(quiet, Status::Closed), (snoozed, Status::Pending), (open, Status::Open)] {
            assert_eq!(office.act(|tx, _| find::ticket(tx, &name)).await.unwrap().status, status, "{name}");
        }
    }
}
