//! Telling a requester that his message has arrived: how often, and in which words.

use jiff::{SignedDuration, Timestamp};

use super::{Act, ActionError, copies, post};
use crate::desk::address::Address;
use crate::desk::copy::{Content, Scope};
use crate::desk::entry::Entry;
use crate::desk::fanout::Reader;
use crate::desk::language::Language;
use crate::desk::letter::Letter;
use crate::desk::property::Property;
use crate::desk::thread::Bond;
use crate::desk::ticket::Ticket;
use crate::store::tables::{ACKNOWLEDGED, ACKNOWLEDGED_AT, ACKNOWLEDGEMENTS, Acknowledgements, ENTRIES};
use crate::store::{Order, Read, Tx};

/// The least time between two acknowledgements to one address, over all properties.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// The time that the ceiling of all acknowledgements is counted for.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Addresses that are forgotten at once, when their day is over.
const FORGOTTEN: usize = 10;

/// Queues the acknowledgement of the entry that opened a ticket to the ticket's requester, and saves
/// the entry with it; nothing where he had one lately, or too many went out.
pub fn send(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &Ticket,
    entry: &mut Entry,
    language: Language,
) -> Result<(), ActionError> {
    let Some(requester) = ticket.requester() else { return Ok(()) };
    if !count(tx, act, &requester.address)? {
        return Ok(());
    }
    let own = property.acknowledgements.get(&language).map(String::as_str);
    let letter = Letter::received(language, &ticket.reference, &property.name, own);
    let reader = Reader { person: requester.person, address: requester.address.clone(), scope: Scope::Public };
    let copy = copies::queue_content(tx, act, entry, property.id, reader, Content::Letter(letter))?;
    // What answers it by its name alone belongs here too.
    if let Some(id) = copies::get(tx, copy)?.message_id {
        post::bear(tx, ticket, entry.id, &id, Bond::Minted)?;
    }
    entry.copies.push(copy);
    Ok(tx.put(&ENTRIES, &(entry.ticket, entry.id), entry)?)
}

/// Takes one of those that may go out, if there is one left for this address and for all.
fn count(tx: &mut Tx<'_>, act: &Act<'_>, address: &Address) -> Result<bool, ActionError> {
    let recent = |at: Timestamp, window| act.now.duration_since(at) < window;
    let last = tx.get(&ACKNOWLEDGED, address)?;
    if last.is_some_and(|last| recent(last, EVERY)) {
        return Ok(false);
    }
    let fresh = Acknowledgements { since: act.now, count: 0 };
    let mut all = tx.get(&ACKNOWLEDGEMENTS, &())?.filter(|all| recent(all.since, WINDOW)).unwrap_or(fresh);
    if all.count >= act.desk.acknowledgements {
        return Ok(false);
    }
    all.count += 1;
    tx.put(&ACKNOWLEDGEMENTS, &(), &all)?;
    if let Some(last) = last {
        tx.delete(&ACKNOWLEDGED_AT, &(last, address.clone()));
    }
    tx.put(&ACKNOWLEDGED, address, &act.now)?;
    tx.put(&ACKNOWLEDGED_AT, &(act.now, address.clone()), &())?;
    // Each that goes out forgets a few whose day is over: what is kept is bounded by the ceiling.
    for ((at, address), ()) in tx.range(&ACKNOWLEDGED_AT, .., Order::Up, FORGOTTEN)? {
        if !recent(at, EVERY) {
            tx.delete(&ACKNOWLEDGED_AT, &(at, address.clone()));
            tx.delete(&ACKNOWLEDGED, &address);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::actions::find;
    use crate::actions::testing::Office;
    use crate::desk::copy::Copy;

    /// Opens a ticket of acme's that this person wrote, and acknowledges it; the letter, if there is
    /// one.
    async fn open(office: &Office, from: &str) -> Option<Copy> {
        let ticket = office.ticket(from).await;
        office
            .act(|tx, act| {
                let property = find::property_by_id(tx, ticket.property)?;
                let mut entry = find::entries(tx, ticket.id)?.remove(0);
                let before = entry.copies.len();
                send(tx, act, &property, &ticket, &mut entry, Language::En)?;
                entry.copies.get(before).map(|copy| copies::get(tx, *copy)).transpose()
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_address_is_told_once_a_day() {
        let mut office = Office::open().await;
        let copy = open(&office, "carol").await.unwrap();
        assert_eq!(copy.to.as_str(), "carol@team.example");
        assert!(open(&office, "Carol").await.is_none(), "the same address, written otherwise");
        assert!(open(&office, "dave").await.is_some());
        office.now += EVERY - SignedDuration::from_secs(1);
        assert!(open(&office, "carol").await.is_none());
        office.now += SignedDuration::from_secs(1);
        assert!(open(&office, "carol").await.is_some());
        assert!(open(&office, "carol").await.is_none());
    }

    #[tokio::test]
    async fn all_of_them_stay_below_a_ceiling_and_what_is_remembered_is_bounded() {
        let mut office = Office::open().await;
        Arc::get_mut(&mut office.desk).unwrap().acknowledgements = 3;
        for hour in 0..30 {
            for (n, goes_out) in [(1, true), (2, true), (3, true), (4, false)] {
                let sent = open(&office, &format!("carol{hour}.{n}")).await.is_some();
                assert_eq!(sent, goes_out, "number {n} of hour {hour}");
            }
            office.now += WINDOW;
        }
        let (by_address, by_time) = office
            .act(|tx, _| {
                let by_address = tx.range(&ACKNOWLEDGED, .., Order::Up, 1_000)?.len();
                Ok((by_address, tx.range(&ACKNOWLEDGED_AT, .., Order::Up, 1_000)?.len()))
            })
            .await
            .unwrap();
        assert_eq!(by_address, by_time);
        assert!((72..=75).contains(&by_time), "a day's: {by_time}");
    }

    #[tokio::test]
    async fn a_property_has_its_own_words() {
        let office = Office::open().await;
        let text = "Your number is {ticket}, not {number}.\n";
        let changes = crate::actions::property::Changes {
            acknowledgements: [(Language::En, Some(text.to_owned()))].into(),
            ..Default::default()
        };
        office.act(|tx, act| crate::actions::property::edit(tx, act, "acme", changes.clone())).await.unwrap();
        let Content::Letter(letter) = open(&office, "carol").await.unwrap().content else { panic!("a letter") };
        assert_eq!(letter.text, "Your number is acme-1, not {number}.\n");
    }
}
