//! Messages of members that do not arrive: after a while their author is told, once an entry, who did
//! not get it yet. Nobody may think that silence means delivered (RFC 3461 has the same as *delayed*).

use jiff::Timestamp;

use super::{Act, ActionError, Desk, copies, find, notices, state};
use crate::desk::copy::{Content, Copy, CopyState};
use crate::desk::entry::{Author, Entry, Event, What};
use crate::desk::id::{EntryId, TicketId};
use crate::desk::letter::Letter;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{ENTRIES, UNDELIVERED};
use crate::store::{Order, Read, StoreError, Tx};

/// The most entries whose authors one transaction writes to.
const BATCH: usize = 100;
/// The most readers that one letter names.
const MOST_READERS: usize = 20;

/// Copies of an entry were queued: remembers to look after them.
pub(super) fn queued(tx: &mut Tx<'_>, act: &Act<'_>, entry: &Entry) -> Result<(), StoreError> {
    if entry.author.is_member() && !entry.copies.is_empty() {
        tx.put(&UNDELIVERED, &(act.now, entry.id), &entry.ticket)?;
    }
    Ok(())
}

/// Tells the authors of entries some of whose copies have waited for too long. Answers at how many
/// entries it looked.
pub(super) fn due(tx: &mut Tx<'_>, act: &Act<'_>) -> Result<usize, ActionError> {
    let Ok(before) = act.now.checked_sub(act.desk.patience.warning) else { return Ok(0) };
    let due = tx.range(&UNDELIVERED, ..=(before, EntryId(u64::MAX)), Order::Up, BATCH)?;
    for (key, ticket) in &due {
        tx.delete(&UNDELIVERED, key);
        tell(tx, act, *ticket, key.1)?;
    }
    Ok(due.len())
}

/// When the first of them is to be looked at.
pub(super) fn next_due(tx: &impl Read, desk: &Desk) -> Result<Option<Timestamp>, StoreError> {
    let first = tx.range(&UNDELIVERED, .., Order::Up, 1)?;
    Ok(first.first().and_then(|((at, _), _)| at.checked_add(desk.patience.warning).ok()))
}

fn tell(tx: &mut Tx<'_>, act: &Act<'_>, ticket: TicketId, entry: EntryId) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    let Some(mut entry) = tx.get(&ENTRIES, &(ticket.id, entry))? else { return Ok(()) };
    let Some(Person::Member(author)) = entry.author.person() else { return Ok(()) };
    let author = find::member_by_id(tx, author)?;
    let late = late(tx, &entry)?;
    if late.is_empty() || !author.is_of(ticket.property) {
        return Ok(());
    }
    event(tx, act, &ticket, &late)?;
    let mut readers = Vec::new();
    for copy in late.iter().take(MOST_READERS) {
        readers.push((notices::reader(tx, copy)?, copy.words()));
    }
    let language = find::property_by_id(tx, ticket.property)?.language;
    let letter = Letter::delayed(
        language,
        &ticket.reference,
        notices::subject(&ticket, &entry),
        &readers,
        late.len() - readers.len(),
        (act.desk.patience.warning, act.desk.patience.lifetime),
    );
    Ok(notices::send(tx, act, &ticket, &mut entry, &author, letter)?)
}

/// The copies of an entry that are still being tried. What a person holds is no news to people.
fn late(tx: &impl Read, entry: &Entry) -> Result<Vec<Copy>, ActionError> {
    let mut late = Vec::new();
    for id in &entry.copies {
        let copy = copies::get(tx, *id)?;
        let tried = matches!(copy.state, CopyState::Queued | CopyState::Deferred) && copy.next_at.is_some();
        if tried && copy.content == Content::Entry {
            late.push(copy);
        }
    }
    Ok(late)
}

fn event(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &Ticket, late: &[Copy]) -> Result<(), StoreError> {
    let readers: Vec<_> = late.iter().take(MOST_READERS).map(|copy| copy.to.as_str()).collect();
    let words = late.iter().find_map(Copy::words);
    let event = Event { what: What::Delayed, from: Some(readers.join(", ")), to: words };
    state::event_by(tx, act, ticket, Author::System, event)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::actions::copies::{Attempt, attempted};
    use crate::actions::queue::{self, Verb};
    use crate::actions::testing::{Office, content};
    use crate::actions::{post, property, ticket, timers};
    use crate::desk::copy::Scope;
    use crate::desk::id::CopyId;
    use crate::desk::language::Language;

    /// A public answer of Alice on a ticket of Carol; its copies' ids by reader.
    async fn answer(office: &Office, ticket: &Ticket) -> Vec<(String, CopyId)> {
        let name = ticket.reference.to_string();
        let written = office.act(|tx, act| {
            let alice = post::as_member(&find::member(tx, "alice")?);
            let content = content(tx, act)?;
            let (_, entry) = ticket::write(tx, &act.with_actor(alice), &name, Scope::Public, None, content)?;
            let ids = entry.copies.iter();
            ids.map(|id| Ok((copies::get(tx, *id)?.to.to_string(), *id))).collect::<Result<Vec<_>, ActionError>>()
        });
        written.await.unwrap()
    }

    async fn letters(office: &Office, ticket: &Ticket) -> Vec<(String, Letter)> {
        let all = office.act(|tx, _| {
            let ids = find::entries(tx, ticket.id)?.into_iter().flat_map(|entry| entry.copies);
            ids.map(|id| copies::get(tx, id)).collect::<Result<Vec<_>, _>>()
        });
        let letter = |copy: Copy| match copy.content {
            Content::Letter(letter) => Some((copy.to.to_string(), letter)),
            Content::Entry | Content::Conversation => None,
        };
        all.await.unwrap().into_iter().filter_map(letter).collect()
    }

    #[tokio::test]
    async fn who_wrote_what_does_not_arrive_is_told_once_after_four_hours() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let (sent, begun) = (answer(&office, &ticket).await, office.now);
        let carol = sent.iter().find(|(to, _)| to == "carol@team.example").unwrap().1;
        office.now += SignedDuration::from_mins(1);
        office
            .act(|tx, act| {
                let next_at = act.now;
                let later = Attempt::Deferred { reply: "450 4.7.1 greylisted".to_owned(), next_at };
                attempted(tx, act, carol, &later, Some("mx.example [192.0.2.1]"))?;
                for (_, id) in sent.iter().filter(|(_, id)| *id != carol) {
                    attempted(tx, act, *id, &Attempt::Sent { reply: "250 ok".to_owned() }, None)?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let due = begun + SignedDuration::from_hours(4);
        assert_eq!(office.store.read(|view| timers::next(view, &office.desk)).unwrap(), Some(due));
        office.now = due - SignedDuration::from_secs(1);
        assert_eq!(office.act(timers::tick).await.unwrap(), 0);
        office.now = due;
        for _ in 0..2 {
            office.act(timers::tick).await.unwrap();
        }
        let letters = letters(&office, &ticket).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        let (to, letter) = &letters[0];
        assert_eq!((to.as_str(), letter.subject.as_str()), ("alice@team.example", "Not delivered yet: Help"));
        assert_eq!(
            letter.text,
            "Your message on acme-1 has not been delivered after 4 hours to:\n\n    carol <carol@team.example>\n      \
             450 4.7.1 greylisted (mx.example [192.0.2.1])\n\nIt is still being tried, for 5 days in all; there is no \
             need to send it again.\nShould it fail for good, you will be told.\n"
        );
        let events = office.act(|tx, _| Ok(find::entries(tx, ticket.id)?)).await.unwrap();
        let told: Vec<_> =
            events.into_iter().filter_map(|entry| entry.event).filter(|e| e.what == What::Delayed).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(crate::actions::verify::references(&office.store).unwrap().problems, Vec::<String>::new());
    }

    #[tokio::test]
    async fn nobody_is_told_of_what_arrived_failed_or_is_held_nor_of_a_customers_mail() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let sent = answer(&office, &ticket).await;
        let failed = answer(&office, &ticket).await;
        let held = answer(&office, &ticket).await;
        office
            .act(|tx, act| {
                let outcomes = [
                    (&sent, Attempt::Sent { reply: "250".into() }),
                    (&failed, Attempt::Failed { reply: "550".into() }),
                ];
                for (copies, outcome) in &outcomes {
                    for (_, id) in *copies {
                        attempted(tx, act, *id, outcome, None)?;
                    }
                }
                let held: Vec<_> = held.iter().map(|(_, id)| *id).collect();
                queue::many(tx, act, Verb::Hold, &held)
            })
            .await
            .unwrap();
        office.now += SignedDuration::from_hours(5);
        office.act(timers::tick).await.unwrap();
        let letters = letters(&office, &ticket).await;
        assert!(letters.iter().all(|(_, letter)| letter.subject == "Not delivered: Help"), "{letters:?}");
    }

    #[tokio::test]
    async fn a_french_property_tells_in_french_and_what_was_merged_is_found() {
        let mut office = Office::open().await;
        let (one, two) = (office.ticket("carol").await, office.ticket("dave").await);
        let changes = || property::Changes { language: Some(Language::Fr), ..property::Changes::default() };
        office.act(|tx, act| property::edit(tx, act, "acme", changes())).await.unwrap();
        answer(&office, &one).await;
        let (from, into) = (one.reference.to_string(), two.reference.to_string());
        office.act(|tx, act| ticket::merge(tx, act, &from, &into)).await.unwrap();
        office.now += SignedDuration::from_hours(4);
        office.act(timers::tick).await.unwrap();
        let letters = letters(&office, &two).await;
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].1.subject, "Pas encore remis\u{a0}: Help");
        assert!(letters[0].1.text.starts_with("Après 4\u{a0}heures, votre message sur acme-2 n’a pas encore"));
        assert!(letters[0].1.text.contains("pendant 5\u{a0}jours en tout"), "{}", letters[0].1.text);
    }
}
