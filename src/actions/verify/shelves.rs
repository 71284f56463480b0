//! Whether what mailboxes show is what tickets and entries say, and what members have in them of
//! their own is whole.

use super::{References, each, has_entry};
use crate::desk::entry::Entry;
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::shelf::{self, Marks, Peak, Shelf, Shelved, Trail, Turn};
use crate::desk::ticket::Ticket;
use crate::store::tables::{ENTRIES, MEMBERS, MINE, OWN, OWN_IDS, PEAKS, ROWS, SHELVED, SHOWN, VIEW_LOG};
use crate::store::{Read, Store, StoreError, View};

/// Holds an entry against where it stands. `ticket` is its own.
pub(super) fn entry(view: &View<'_>, found: &mut References, ticket: &Ticket, entry: &Entry) -> Result<(), StoreError> {
    let (id, name) = (entry.id, &ticket.reference);
    let wanted = shelf::of_entry(ticket, entry);
    let Some(shown) = view.get(&SHOWN, &(Some(ticket.id), id))? else {
        // In a store of an older release, until a daemon has opened it.
        let to_come = match view.get(&SHELVED, &())? {
            Some(Shelved::All) => false,
            Some(Shelved::Through(last, before)) => (last, before) < (ticket.id, id),
            None => true,
        };
        found.expect(wanted.is_empty() || to_come, || format!("entry {id} of {name} is in no mailbox"));
        return Ok(());
    };
    let right = shown.at.len() == wanted.len() && shown.at.iter().all(|(shelf, _)| wanted.contains(shelf));
    found.expect(right, || format!("entry {id} of {name} is not in the mailboxes where it belongs"));
    let marks = Marks::of(ticket, shown.marks.answered);
    found.expect(!right || shown.marks == marks, || format!("entry {id} has other flags than {name} says"));
    Ok(())
}

/// Everything else that mailboxes are made of.
pub(super) fn check(store: &Store, found: &mut References) -> Result<(), StoreError> {
    each(store, &SHOWN, |view, (ticket, entry), shown| {
        let there = match ticket {
            Some(ticket) => view.get(&ENTRIES, &(*ticket, *entry))?.is_some(),
            None => match shown.at.as_slice() {
                [(Shelf::Own(member, _), _)] => view.get(&OWN, &(*member, *entry))?.is_some(),
                _ => false,
            },
        };
        found.expect(there, || format!("{} stands in mailboxes and is not there", named(*ticket, *entry)));
        found.expect(shown.from.is_empty(), || format!("{} was moved by half", named(*ticket, *entry)));
        for place in &shown.at {
            let row = view.get(&ROWS, place)?;
            let same = row.is_some_and(|row| {
                (row.ticket, row.entry) == (*ticket, *entry) && row.modseq == shown.modseq && row.marks == shown.marks
            });
            found.expect(same, || format!("{} does not stand under its number {}", named(*ticket, *entry), place.1));
        }
        Ok(())
    })?;
    each(store, &ROWS, |view, (shelf, uid), row| {
        let place = (*shelf, *uid);
        let shown = view.get(&SHOWN, &(row.ticket, row.entry))?;
        let stands = shown.is_some_and(|shown| shown.at.contains(&place));
        found.expect(stands, || {
            format!("the number {uid} in a mailbox is of {}, which does not stand there", named(row.ticket, row.entry))
        });
        let told = view.get(&VIEW_LOG, &(row.modseq, Trail::Row(*shelf, *uid)))?;
        found.expect(told == Some(Turn::Changed), || {
            format!("the log does not tell of the number {uid} in a mailbox, which changed last in {}", row.modseq)
        });
        let peak = |peak| Ok::<_, StoreError>(view.get(&PEAKS, &(*shelf, peak))?.unwrap_or(0));
        let low = peak(Peak::Uid)? < u64::from(*uid) || peak(Peak::ModSeq)? < row.modseq;
        found.expect(!low, || format!("a mailbox does not know that it came as far as the number {uid}"));
        Ok(())
    })?;
    each(store, &VIEW_LOG, |view, (at, trail), turn| {
        let right = match (trail, turn) {
            (Trail::Row(shelf, uid), Turn::Changed) => {
                view.get(&ROWS, &(*shelf, *uid))?.is_some_and(|row| row.modseq == *at)
            }
            (Trail::Row(shelf, uid), Turn::Left) => view.get(&ROWS, &(*shelf, *uid))?.is_none(),
            (Trail::Mine(member, _, entry), _) => {
                view.get(&MINE, &(*member, *entry))?.is_some_and(|mine| mine.modseq == *at)
            }
            (Trail::Rights(member), _) => view.get(&PEAKS, &(Shelf::Mine(*member), Peak::Rights))? == Some(*at),
        };
        found.expect(right && *at <= view.version(), || {
            format!("the log tells in {at} of {}, which is not so", of(trail))
        });
        Ok(())
    })?;
    members(store, found)
}

/// What is a member's own: his flags, and his messages.
fn members(store: &Store, found: &mut References) -> Result<(), StoreError> {
    each(store, &MINE, |view, (member, entry), mine| {
        let there = match mine.ticket {
            Some(ticket) => has_entry(view, ticket, *entry)?,
            None => view.get(&OWN, &(*member, *entry))?.is_some(),
        };
        found.expect(there, || {
            format!("member {member} has flags of {}, which is not there", named(mine.ticket, *entry))
        });
        let told = view.get(&VIEW_LOG, &(mine.modseq, Trail::Mine(*member, mine.ticket, *entry)))?.is_some();
        let peak = view.get(&PEAKS, &(Shelf::Mine(*member), Peak::ModSeq))?.unwrap_or(0);
        found.expect(told && peak >= mine.modseq, || {
            format!("the log does not tell of member {member}'s flags of {}", named(mine.ticket, *entry))
        });
        Ok(())
    })?;
    each(store, &OWN, |view, (member, entry), own| {
        let owner = view.get(&MEMBERS, member)?.is_some();
        found.expect(owner, || format!("message {entry} is member {member}'s own, who is nobody"));
        found.expect(view.has_raw(own.raw)?, || format!("the octets of message {entry} are not there"));
        let shown = view.get(&SHOWN, &(None, *entry))?;
        let placed = shown.is_some_and(|shown| is_his(*member, &shown.at));
        found.expect(placed, || format!("message {entry} of member {member}'s own is in no mailbox of his"));
        let listed = match &own.message_id {
            Some(id) => view.get(&OWN_IDS, &(*member, id.clone(), *entry))?.is_some(),
            None => true,
        };
        found.expect(listed, || format!("message {entry} of member {member}'s own is not found by its Message-ID"));
        Ok(())
    })?;
    each(store, &OWN_IDS, |view, (member, id, entry), ()| {
        let bears = view.get(&OWN, &(*member, *entry))?.is_some_and(|own| own.message_id.as_ref() == Some(id));
        found.expect(bears, || format!("{id} leads to message {entry} of a member's own, which does not bear it"));
        Ok(())
    })
}

fn is_his(member: MemberId, at: &[(Shelf, u32)]) -> bool {
    matches!(at, [(Shelf::Own(owner, _), _)] if *owner == member)
}

/// A message as the sentences call it.
fn named(ticket: Option<TicketId>, entry: EntryId) -> String {
    match ticket {
        Some(_) => format!("entry {entry}"),
        None => format!("message {entry} of a member's own"),
    }
}

fn of(trail: &Trail) -> String {
    match trail {
        Trail::Row(_, uid) => format!("the number {uid} in a mailbox"),
        Trail::Mine(member, ticket, entry) => format!("member {member}'s flags of {}", named(*ticket, *entry)),
        Trail::Rights(member) => format!("what member {member} may see"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::verify::references;
    use crate::actions::{app_password, find, own, ticket, views};
    use crate::desk::id::RawId;
    use crate::desk::shelf::{Mine, Own, Place};
    use crate::desk::ticket::Status;
    use crate::store::{Order, Tx};

    /// A ticket with its one entry, and a draft of Bob's.
    struct Desk {
        office: Office,
        ticket: Ticket,
        entry: EntryId,
        bob: MemberId,
        draft: EntryId,
    }

    /// A desk with all that mailboxes are made of.
    async fn desk() -> Desk {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let entry = office.act(|tx, _| Ok(find::entries(tx, made.id)?)).await.unwrap()[0].id;
        let bob = office.act(|tx, _| find::member(tx, "bob")).await.unwrap().id;
        let draft = office
            .act(|tx, act| {
                let raw = tx.put_raw(b"Subject: later\r\n\r\n".to_vec())?;
                let message_id = Some("later@team.example".parse().unwrap());
                let new = own::New { raw, at: act.now, message_id, marks: Marks::default() };
                app_password::add(tx, act, "bob", "phone")?;
                app_password::revoke(tx, "bob", "phone")?;
                Ok(own::add(tx, bob, Place::Drafts, new)?)
            })
            .await
            .unwrap();
        for key in [(Some(made.id), entry), (None, draft)] {
            office.act(|tx, _| Ok(views::set_mine(tx, bob, key, |mine| mine.seen = true)?)).await.unwrap();
        }
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
        Desk { office, ticket: made, entry, bob, draft }
    }

    /// What is found once something was done that nobody does.
    async fn found(spoil: impl Fn(&mut Tx<'_>, &Desk) -> Result<(), StoreError> + Send + Sync) -> String {
        let desk = desk().await;
        desk.office.act(|tx, _| Ok(spoil(tx, &desk)?)).await.unwrap();
        references(&desk.office.store).unwrap().problems.join("\n")
    }

    fn first_row(tx: &impl Read) -> Result<((Shelf, u32), shelf::Row), StoreError> {
        Ok(tx.range(&ROWS, .., Order::Up, 1)?.remove(0))
    }

    #[tokio::test]
    async fn every_loose_end_of_a_mailbox_is_found() {
        let problems = found(|tx, desk| {
            tx.put(&SHELVED, &(), &Shelved::All)?;
            tx.delete(&SHOWN, &(Some(desk.ticket.id), desk.entry));
            Ok(())
        });
        let problems = problems.await;
        for problem in ["entry 1 of acme-1 is in no mailbox", "is of entry 1, which does not stand there"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, desk| {
            let key = (Some(desk.ticket.id), desk.entry);
            let mut shown = tx.get(&SHOWN, &key)?.unwrap();
            shown.at[0].0 = Shelf::Status(desk.ticket.property, Status::Trash);
            shown.from = vec![shown.at[1]];
            tx.put(&SHOWN, &key, &shown)
        });
        let problems = problems.await;
        for problem in [
            "entry 1 of acme-1 is not in the mailboxes where it belongs",
            "entry 1 was moved by half",
            "entry 1 does not stand under its number",
        ] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, desk| {
            let key = (Some(desk.ticket.id), desk.entry);
            let mut shown = tx.get(&SHOWN, &key)?.unwrap();
            shown.marks.flagged = true;
            tx.put(&SHOWN, &key, &shown)
        });
        assert!(problems.await.contains("entry 1 has other flags than acme-1 says"));

        let problems = found(|tx, _| {
            let (place, _) = first_row(tx)?;
            tx.delete(&ROWS, &place);
            Ok(())
        });
        let problems = problems.await;
        for problem in ["entry 1 does not stand under its number 1", "of the number 1 in a mailbox, which is not so"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, _| {
            let ((shelf, uid), row) = first_row(tx)?;
            tx.delete(&VIEW_LOG, &(row.modseq, Trail::Row(shelf, uid)));
            tx.put(&PEAKS, &(shelf, Peak::Uid), &0)
        });
        let problems = problems.await;
        for problem in ["the log does not tell of the number 1", "does not know that it came as far as the number 1"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, _| {
            let ((shelf, uid), row) = first_row(tx)?;
            tx.put(&VIEW_LOG, &(row.modseq + 1, Trail::Row(shelf, uid)), &Turn::Left)
        });
        assert!(problems.await.contains("of the number 1 in a mailbox, which is not so"));

        let problems = found(|tx, desk| {
            tx.delete(&ENTRIES, &(desk.ticket.id, desk.entry));
            Ok(())
        });
        let problems = problems.await;
        for problem in ["entry 1 stands in mailboxes and is not there", "has flags of entry 1, which is not there"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }
    }

    #[tokio::test]
    async fn every_loose_end_of_what_is_a_members_own_is_found() {
        let problems = found(|tx, desk| {
            tx.delete(&OWN, &(desk.bob, desk.draft));
            Ok(())
        });
        let problems = problems.await;
        for problem in [
            "of a member's own stands in mailboxes and is not there",
            "has flags of message",
            "of a member's own, which does not bear it",
        ] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, desk| {
            tx.delete(&OWN_IDS, &(desk.bob, "later@team.example".parse().unwrap(), desk.draft));
            Ok(())
        });
        assert!(problems.await.contains("of member 2's own is not found by its Message-ID"));

        let problems = found(|tx, desk| {
            let nobody = MemberId(99);
            let own = Own { raw: RawId(9_999), at: jiff::Timestamp::UNIX_EPOCH, message_id: None };
            tx.put(&OWN, &(nobody, EntryId(desk.draft.0 + 1)), &own)
        });
        let problems = problems.await;
        for problem in ["is member 99's own, who is nobody", "the octets of message", "is in no mailbox of his"] {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, desk| {
            let key = (desk.bob, desk.entry);
            let mine = tx.get(&MINE, &key)?.unwrap();
            tx.put(&MINE, &key, &Mine { modseq: mine.modseq + 1, ticket: Some(desk.ticket.id), ..mine })
        });
        let problems = problems.await;
        for problem in
            ["the log does not tell of member 2's flags of entry 1", "of member 2's flags of entry 1, which is"]
        {
            assert!(problems.contains(problem), "{problem} is not in\n{problems}");
        }

        let problems = found(|tx, desk| tx.put(&PEAKS, &(Shelf::Mine(desk.bob), Peak::Rights), &1));
        assert!(problems.await.contains("of what member 2 may see, which is not so"));
    }

    #[tokio::test]
    async fn what_happens_in_mailboxes_leaves_no_loose_end() {
        let Desk { office, ticket: made, entry, bob, draft } = desk().await;
        let name = made.reference.to_string();
        let other = office.ticket("dave").await.reference.to_string();
        office
            .act(|tx, act| {
                ticket::assign(tx, act, &name, "bob")?;
                ticket::tag(tx, act, &name, "vip")
            })
            .await
            .unwrap();
        let member = office.act(|tx, _| find::member(tx, "bob")).await.unwrap();
        office.act(|tx, _| own::put(tx, &member, draft, Place::Trash)).await.unwrap();
        let copy = office.act(|tx, _| own::copy(tx, &member, draft, Place::Archive)).await.unwrap().unwrap();
        office.act(|tx, _| Ok(views::set_mine(tx, bob, copy, |mine| mine.seen = true)?)).await.unwrap();
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
        office.act(|tx, _| Ok(own::remove(tx, bob, draft)?)).await.unwrap();
        office.act(|tx, act| ticket::merge(tx, act, &name, &other)).await.unwrap();
        office.act(|tx, _| app_password::revoke_all(tx, bob).map_err(Into::into)).await.unwrap();
        let mine = office.act(|tx, _| Ok(tx.get(&MINE, &(bob, draft))?)).await.unwrap();
        assert_eq!(mine, None, "nothing is left of it");
        assert!(office.act(|tx, _| Ok(tx.get(&MINE, &(bob, entry))?)).await.unwrap().is_some());
        assert_eq!(references(&office.store).unwrap().problems, Vec::<String>::new());
    }
}
