//! What a postmaster does to copies: hold them back and let them go, try them at once, give them up.

use std::collections::BTreeMap;

use super::{Act, ActionError, copies, find, state};
use crate::desk::copy::{Copy, CopyState};
use crate::desk::entry::What;
use crate::desk::id::{CopyId, TicketId};
use crate::desk::ticket::named;
use crate::store::Tx;

/// The most readers that one event names; more are counted.
const MOST_NAMED: usize = 3;

/// What is done to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It is not offered to anybody until it is released. It does not grow too old meanwhile.
    Hold,
    /// It is offered at once, with its whole time before it.
    Release,
    /// The same for one that waits, or was given up.
    Retry,
    /// It is given up for good.
    Cancel,
}

named!(Verb, "action", Hold = "hold", Release = "release", Retry = "retry", Cancel = "cancel");

impl Verb {
    /// The states of copies that it is meant for where no copy is named, if the queue lists them. (A single
    /// one that has failed, was cancelled, or is late elsewhere can be retried as well.)
    #[must_use]
    pub fn states(self) -> &'static [CopyState] {
        match self {
            Self::Hold | Self::Retry => &[CopyState::Queued, CopyState::Deferred],
            Self::Release => &[CopyState::Held],
            Self::Cancel => &[CopyState::Queued, CopyState::Deferred, CopyState::Held],
        }
    }

    /// What a copy is afterwards, as an event tells it.
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Retry => "retried",
            Self::Cancel => "cancelled",
        }
    }
}

/// Does it to one copy, without an event.
///
/// # Errors
/// Where it makes no sense for a copy in this state; the text says which that is.
pub fn one(tx: &mut Tx<'_>, act: &Act<'_>, verb: Verb, id: CopyId) -> Result<Copy, ActionError> {
    let before = copies::get(tx, id)?;
    let waits = before.next_at.is_some();
    let no = |why: &str| Err(ActionError::refused(format!("copy {id} {why}")));
    match (verb, before.state) {
        (Verb::Hold, CopyState::Held) => return no("is held already"),
        (Verb::Hold, state) if !waits => return no(&format!("does not wait: it is {state}")),
        (Verb::Release, state) if state != CopyState::Held => return no(&format!("is not held: it is {state}")),
        (Verb::Retry, CopyState::Sent) => return no("was sent already"),
        (Verb::Retry, CopyState::Held) => return no("is held; release it instead"),
        (Verb::Cancel, state) if !waits && state != CopyState::Held => {
            return no(&format!("does not wait: it is {state}"));
        }
        _ => {}
    }
    let mut copy = before.clone();
    copy.updated_at = act.now;
    match verb {
        Verb::Hold => (copy.state, copy.next_at) = (CopyState::Held, None),
        Verb::Cancel => (copy.state, copy.next_at) = (CopyState::Cancelled, None),
        Verb::Release | Verb::Retry => {
            (copy.state, copy.next_at) = (CopyState::Queued, Some(act.now));
            copy.renewed_at = Some(act.now);
        }
    }
    copies::save(tx, Some(&before), &copy)?;
    Ok(copy)
}

/// Does it to one copy that a person named, with an event on its ticket.
///
/// # Errors
/// Those of [`one`].
pub fn named(tx: &mut Tx<'_>, act: &Act<'_>, verb: Verb, id: CopyId) -> Result<Copy, ActionError> {
    let copy = one(tx, act, verb, id)?;
    tell(tx, act, verb, copy.ticket, std::slice::from_ref(&copy))?;
    Ok(copy)
}

/// Does it to those of the copies for which it is meant, with one event a ticket; how many they are.
///
/// # Errors
/// Those of the store.
pub fn many(tx: &mut Tx<'_>, act: &Act<'_>, verb: Verb, ids: &[CopyId]) -> Result<usize, ActionError> {
    let mut done: BTreeMap<TicketId, Vec<Copy>> = BTreeMap::new();
    for id in ids {
        // They were looked up before: what became of them since is not for this to change.
        let copy = copies::get(tx, *id)?;
        if !verb.states().contains(&copy.state) || !copy.is_listed() {
            continue;
        }
        match one(tx, act, verb, *id) {
            Ok(copy) => done.entry(copy.ticket).or_default().push(copy),
            Err(ActionError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    for (ticket, copies) in &done {
        tell(tx, act, verb, *ticket, copies)?;
    }
    Ok(done.values().map(Vec::len).sum())
}

fn tell(tx: &mut Tx<'_>, act: &Act<'_>, verb: Verb, ticket: TicketId, copies: &[Copy]) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    let readers = if copies.len() > MOST_NAMED {
        format!("{} copies", copies.len())
    } else {
        copies.iter().map(|copy| copy.to.as_str()).collect::<Vec<_>>().join(", ")
    };
    state::event(tx, act, &ticket, What::Delivery, Some(readers), Some(verb.done().to_owned()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::actions::copies::{Attempt, attempted, tried};
    use crate::actions::testing::Office;
    use crate::desk::copy::Tried;
    use crate::desk::entry::Event;
    use crate::store::tables::QUEUE;
    use crate::store::{Order, Read};

    fn sent() -> Attempt {
        Attempt::Sent { reply: "250 ok".to_owned() }
    }

    async fn copies_of(office: &Office, ticket: TicketId) -> Vec<Copy> {
        let read = office.act(|tx, _| {
            let ids = find::entries(tx, ticket)?.into_iter().flat_map(|entry| entry.copies);
            ids.map(|id| copies::get(tx, id)).collect::<Result<Vec<_>, _>>()
        });
        read.await.unwrap()
    }

    async fn attempt(office: &Office, id: CopyId, attempt: Attempt) -> Copy {
        let server = Some("mx.example [192.0.2.1]");
        let done = office.act(|tx, act| {
            attempted(tx, act, id, &attempt, server)?;
            copies::get(tx, id)
        });
        done.await.unwrap()
    }

    fn due(office: &Office) -> usize {
        office.store.read(|view| view.range(&QUEUE, .., Order::Up, 100)).unwrap().len()
    }

    #[tokio::test]
    async fn what_a_clock_that_was_ahead_has_deferred_is_due_when_it_is_set_back() {
        let mut office = Office::open().await;
        let right = office.now;
        office.now += SignedDuration::from_hours(50);
        let ticket = office.ticket("carol").await;
        let copies = copies_of(&office, ticket.id).await;
        let next_at = office.now + SignedDuration::from_hours(1);
        attempt(&office, copies[0].id, Attempt::Deferred { reply: "450 later".to_owned(), next_at }).await;
        // Another that was deferred after the clock was right again.
        office.now = right;
        let next_at = right + SignedDuration::from_mins(5);
        attempt(&office, copies[1].id, Attempt::Deferred { reply: "450 later".to_owned(), next_at }).await;

        let from = (office.now, CopyId(u64::MAX));
        let read = office.act(|tx, act| Ok(copies::ahead(tx, act.now, from, 100)?));
        let (ids, last) = read.await.unwrap();
        assert_eq!((ids.as_slice(), last), ([copies[0].id].as_slice(), None));
        office.act(|tx, act| copies::recall(tx, act, &ids)).await.unwrap();
        let due: Vec<_> = copies_of(&office, ticket.id).await.iter().map(|copy| copy.next_at).collect();
        assert_eq!(due, [Some(right), Some(next_at)]);
        office.act(|tx, act| copies::recall(tx, act, &ids)).await.unwrap();
        let read = office.act(|tx, act| Ok(copies::ahead(tx, act.now, from, 1)?));
        assert_eq!(read.await.unwrap().0, [], "once is enough");
    }

    #[tokio::test]
    async fn what_is_held_waits_for_a_person_and_has_its_whole_time_then() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let ids: Vec<_> = copies_of(&office, ticket.id).await.iter().map(|copy| copy.id).collect();
        assert_eq!((ids.len(), due(&office)), (2, 2));
        assert_eq!(office.act(|tx, act| many(tx, act, Verb::Hold, &ids)).await.unwrap(), 2);
        assert_eq!(office.act(|tx, act| many(tx, act, Verb::Hold, &ids)).await.unwrap(), 0);
        assert_eq!(due(&office), 0);
        office.now += SignedDuration::from_hours(1000);
        let released = office.act(|tx, act| named(tx, act, Verb::Release, ids[0])).await.unwrap();
        assert_eq!((released.state, released.tried_since()), (CopyState::Queued, office.now));
        assert!(released.queued_at < office.now, "it is as old as it was");
        assert_eq!(due(&office), 1);
        let events = office.act(|tx, _| Ok(find::entries(tx, ticket.id)?)).await.unwrap();
        let events: Vec<_> = events.into_iter().filter_map(|entry| entry.event).collect();
        let event =
            |from: &str, to: &str| Event { what: What::Delivery, from: Some(from.to_owned()), to: Some(to.to_owned()) };
        assert_eq!(
            events,
            [event("alice@team.example, bob@team.example", "held"), event("alice@team.example", "released")]
        );
    }

    #[tokio::test]
    async fn each_verb_says_where_it_makes_no_sense() {
        let office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let copies = copies_of(&office, ticket.id).await;
        let (one, two) = (copies[0].id, copies[1].id);
        attempt(&office, one, sent()).await;
        office.act(|tx, act| named(tx, act, Verb::Cancel, two)).await.unwrap();
        for (verb, id, why) in [
            (Verb::Hold, one, "copy 1 does not wait: it is sent"),
            (Verb::Release, one, "copy 1 is not held: it is sent"),
            (Verb::Retry, one, "copy 1 was sent already"),
            (Verb::Cancel, one, "copy 1 does not wait: it is sent"),
            (Verb::Cancel, two, "copy 2 does not wait: it is cancelled"),
            (Verb::Hold, CopyId(9), "there is no copy 9"),
        ] {
            let error = office.act(|tx, act| named(tx, act, verb, id)).await.unwrap_err();
            assert_eq!(error.to_string(), why);
        }
        office.act(|tx, act| named(tx, act, Verb::Retry, two)).await.unwrap();
        office.act(|tx, act| named(tx, act, Verb::Hold, two)).await.unwrap();
        let error = office.act(|tx, act| named(tx, act, Verb::Retry, two)).await.unwrap_err();
        assert_eq!(error.to_string(), "copy 2 is held; release it instead");
        assert_eq!(office.act(|tx, act| many(tx, act, Verb::Cancel, &[one, two])).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_comes_of_an_offer_that_was_under_way_when_a_person_acted_is_true_all_the_same() {
        let office = Office::open().await;
        let later = || Attempt::Deferred { reply: "450 later".to_owned(), next_at: office.now };
        let no = || Attempt::Failed { reply: "550 no".to_owned() };
        for (verb, outcome, expected) in [
            (Verb::Hold, later(), CopyState::Held),
            (Verb::Hold, sent(), CopyState::Sent),
            (Verb::Hold, no(), CopyState::Failed),
            (Verb::Cancel, later(), CopyState::Cancelled),
            (Verb::Cancel, no(), CopyState::Cancelled),
            (Verb::Cancel, sent(), CopyState::Sent),
        ] {
            let ticket = office.ticket("carol").await;
            let id = copies_of(&office, ticket.id).await[0].id;
            office.act(|tx, act| named(tx, act, verb, id)).await.unwrap();
            let copy = attempt(&office, id, outcome.clone()).await;
            assert_eq!((copy.state, copy.next_at, copy.attempts), (expected, None, 1), "{verb} {outcome:?}");
            let kept = office.act(|tx, _| Ok(tried(tx, id)?)).await.unwrap();
            assert_eq!(kept.len(), 1);
        }
        assert_eq!(crate::actions::verify::references(&office.store).unwrap().problems, Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_first_and_the_last_offers_are_kept() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let id = copies_of(&office, ticket.id).await[0].id;
        for number in 1..=50 {
            office.now += SignedDuration::from_mins(1);
            let reply = format!("450 {number}");
            let copy = attempt(&office, id, Attempt::Deferred { reply: reply.clone(), next_at: office.now }).await;
            assert_eq!(copy.words(), Some(format!("{reply} (mx.example [192.0.2.1])")));
        }
        let kept = office.act(|tx, _| Ok(tried(tx, id)?)).await.unwrap();
        let numbers: Vec<_> = kept.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=Tried::FIRST).chain(51 - Tried::LAST..=50).collect::<Vec<_>>());
        assert!(kept.iter().all(|(number, tried)| tried.reply == format!("450 {number}")));
        assert_eq!(kept[0].1.server.as_deref(), Some("mx.example [192.0.2.1]"));
    }
}
