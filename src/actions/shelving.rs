//! Putting the messages of a store that is older than its shelves onto them, so that mailboxes show
//! what came before there were any. A page at a time: whoever is stopped goes on where he was.

use std::ops::Bound;

use super::views;
use crate::desk::entry::{Entry, State};
use crate::desk::id::TicketId;
use crate::desk::shelf::Shelved;
use crate::desk::ticket::Ticket;
use crate::store::tables::{ENTRIES, SHELVED, TICKETS};
use crate::store::{Order, Read, StoreError, Tx};

/// Entries that one transaction looks at.
pub const PAGE: usize = 200;

/// The ticket up to which there is something to do: `None` where all is done, or nothing is there.
pub fn outstanding(view: &impl Read) -> Result<Option<TicketId>, StoreError> {
    if view.get(&SHELVED, &())? == Some(Shelved::All) {
        return Ok(None);
    }
    Ok(view.range(&TICKETS, .., Order::Down, 1)?.first().map(|(id, _)| *id))
}

/// Puts up to so many entries where they belong; answers how far it is, `None` once all is done.
pub fn step(tx: &mut Tx<'_>, most: usize) -> Result<Option<TicketId>, StoreError> {
    let from = match tx.get(&SHELVED, &())? {
        Some(Shelved::All) => return Ok(None),
        Some(Shelved::Through(ticket, entry)) => Bound::Excluded((ticket, entry)),
        None => Bound::Unbounded,
    };
    let page = tx.range(&ENTRIES, (from, Bound::Unbounded), Order::Up, most)?;
    let mut ticket: Option<Ticket> = None;
    for ((id, _), entry) in &page {
        if ticket.as_ref().is_none_or(|ticket| ticket.id != *id) {
            ticket = tx.get(&TICKETS, id)?;
        }
        // Whose ticket is not there `guichet verify` tells.
        if let Some(ticket) = &ticket {
            shelve(tx, ticket, entry)?;
        }
    }
    let on = page.last().filter(|_| page.len() == most).map(|((ticket, entry), _)| (*ticket, *entry));
    let done = on.map_or(Shelved::All, |(ticket, entry)| Shelved::Through(ticket, entry));
    tx.put(&SHELVED, &(), &done)?;
    Ok(on.map(|(ticket, _)| ticket))
}

fn shelve(tx: &mut Tx<'_>, ticket: &Ticket, entry: &Entry) -> Result<(), StoreError> {
    views::entry_saved(tx, ticket, entry)?;
    // What it answers is older, and so was put there before.
    match entry.parent {
        Some(parent) if entry.author.is_member() && entry.state == State::Relayed => {
            views::set_answered(tx, ticket.id, parent, true)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::verify::references;
    use crate::actions::{find, ticket};
    use crate::desk::shelf::{self, Shelf};
    use crate::store::tables::{MINE, PEAKS, ROWS, SHOWN, VIEW_LOG};

    /// What mailboxes show, without the numbers under which they do.
    async fn shown(office: &Office) -> Vec<(Shelf, TicketId, u64, shelf::Marks)> {
        let rows = office.act(|tx, _| Ok(tx.range(&ROWS, .., Order::Up, 1_000)?)).await.unwrap();
        let mut shown: Vec<_> =
            rows.into_iter().map(|((shelf, _), row)| (shelf, row.ticket.unwrap(), row.entry.0, row.marks)).collect();
        shown.sort_by_key(|(shelf, ticket, entry, _)| (*shelf, *ticket, *entry));
        shown
    }

    /// What a release before mailboxes would have left.
    async fn forget(office: &Office) {
        office
            .act(|tx, _| {
                for (key, _) in tx.range(&ROWS, .., Order::Up, 1_000)? {
                    tx.delete(&ROWS, &key);
                }
                for (key, _) in tx.range(&SHOWN, .., Order::Up, 1_000)? {
                    tx.delete(&SHOWN, &key);
                }
                for (key, _) in tx.range(&VIEW_LOG, .., Order::Up, 1_000)? {
                    tx.delete(&VIEW_LOG, &key);
                }
                for (key, _) in tx.range(&PEAKS, .., Order::Up, 1_000)? {
                    tx.delete(&PEAKS, &key);
                }
                for (key, _) in tx.range(&MINE, .., Order::Up, 1_000)? {
                    tx.delete(&MINE, &key);
                }
                tx.delete(&SHELVED, &());
                Ok(())
            })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_older_store_shows_what_it_would_show_had_it_been_made_today() {
        let office = Office::open().await;
        let one = office.ticket("carol").await;
        let two = office.ticket("dave").await.reference.to_string();
        let three = office.ticket("erin").await.reference.to_string();
        office.held("mallory").await;
        let name = one.reference.to_string();
        let asked = office.act(|tx, _| Ok(find::entries(tx, one.id)?)).await.unwrap()[0].id;
        let (bob, written) = office.reply("bob", &name, Some(asked)).await;
        office
            .act(|tx, act| {
                ticket::tag(tx, act, &name, "refund")?;
                ticket::assign(tx, act, &two, "bob")?;
                ticket::merge(tx, act, &three, &two)
            })
            .await
            .unwrap();
        let before = shown(&office).await;
        assert!(before.iter().any(|(.., marks)| marks.answered), "{before:?}");

        forget(&office).await;
        assert!(outstanding_in(&office).is_some());
        // An old store can be verified before it is brought up to date.
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
        // Two entries at a time, and each step is one that a stopped daemon goes on from.
        let mut steps = 1;
        while office.act(|tx, _| Ok(step(tx, 2)?)).await.unwrap().is_some() {
            assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
            steps += 1;
        }
        assert!(steps > 3, "{steps}");
        assert_eq!(shown(&office).await, before);
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
        let mine = office.act(|tx, _| Ok(tx.get(&MINE, &(bob, written.id))?)).await.unwrap();
        assert!(mine.unwrap().seen, "he wrote it himself");
        assert_eq!(outstanding_in(&office), None);
        // Once it is done nothing is looked at again.
        let version = office.store.read(|view| Ok::<_, StoreError>(view.version())).unwrap();
        assert_eq!(office.act(|tx, _| Ok(step(tx, 2)?)).await.unwrap(), None);
        assert_eq!(office.store.read(|view| Ok::<_, StoreError>(view.version())).unwrap(), version);
    }

    fn outstanding_in(office: &Office) -> Option<TicketId> {
        office.store.read(|view| outstanding(view)).unwrap()
    }
}
