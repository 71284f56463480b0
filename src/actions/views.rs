//! Keeping what mailboxes show: each message of a ticket stands on the shelves that the ticket's state
//! says, from the same commit on that changed the ticket.
//!
//! Whoever saves a ticket or an entry calls one of these; the numbers of messages and of changes are
//! given when the transaction has its place among all, so that nobody ever sees a later one before an
//! earlier.

use crate::desk::entry::Entry;
use crate::desk::folder::{Folder, Folders};
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::shape::{Rendering, Said, Shape};
use crate::desk::shelf::{self, Gathered, Marks, Mine, Peak, Place, Row, Shelf, Shown, Trail, Turn};
use crate::desk::ticket::Ticket;
use crate::store::tables::{GATHERED, MINE, PEAKS, RENDERINGS, ROWS, SAID, SHAPES, SHOWN, UIDS, VALIDITY, VIEW_LOG};
use crate::store::{Order, Read, Stamped, StoreError, Tx};

/// A ticket was saved: its messages follow it.
pub(super) fn ticket_saved(tx: &mut Tx<'_>, before: &Ticket, ticket: &Ticket) -> Result<(), StoreError> {
    let shelves = shelf::of_ticket(ticket);
    let marks = |ticket: &Ticket| Marks::of(ticket, false);
    if shelves == shelf::of_ticket(before) && marks(ticket) == marks(before) {
        return Ok(());
    }
    for ((_, entry), shown) in tx.starting(&SHOWN, (Some(ticket.id),), Order::Up, usize::MAX)? {
        let marks = Marks::of(ticket, shown.marks.answered);
        let (sent, follows): (Vec<_>, Vec<_>) =
            shown.at.iter().map(|(shelf, _)| *shelf).partition(|shelf| matches!(shelf, Shelf::Sent(..)));
        // What was rejected is with its author alone.
        let followed = shelves.iter().copied().filter(|_| !follows.is_empty());
        let shelves = followed.chain(sent.into_iter().filter(|_| ticket.merged_into.is_none())).collect();
        put(tx, (Some(ticket.id), entry), shown, shelves, marks)?;
    }
    Ok(())
}

/// An entry was saved on a ticket, which is saved too.
pub(super) fn entry_saved(tx: &mut Tx<'_>, ticket: &Ticket, entry: &Entry) -> Result<(), StoreError> {
    let key = (Some(ticket.id), entry.id);
    let shelves = shelf::of_entry(ticket, entry);
    if shelves.is_empty() {
        return gone(tx, key);
    }
    let shown = tx.get(&SHOWN, &key)?.unwrap_or_default();
    let marks = Marks::of(ticket, shown.marks.answered);
    put(tx, key, shown, shelves, marks)?;
    // Nobody has yet to read what he wrote himself.
    if let Some(member) = shelf::author(entry) {
        set_mine(tx, member, (Some(ticket.id), entry.id), |mine| mine.seen = true)?;
    }
    Ok(())
}

/// An entry is to be seen anew, since what it says of itself has changed: under other numbers, for
/// what stands under a number never changes (RFC 3501 §2.3.1.1).
pub(super) fn entry_renewed(tx: &mut Tx<'_>, ticket: &Ticket, entry: &Entry) -> Result<(), StoreError> {
    gone(tx, (Some(ticket.id), entry.id))?;
    entry_saved(tx, ticket, entry)
}

/// An entry left a ticket.
pub(super) fn entry_gone(tx: &mut Tx<'_>, ticket: TicketId, entry: EntryId) -> Result<(), StoreError> {
    gone(tx, (Some(ticket), entry))
}

/// A message leaves all shelves, and what it looked like is forgotten.
fn gone(tx: &mut Tx<'_>, key: (Option<TicketId>, EntryId)) -> Result<(), StoreError> {
    let Some(shown) = tx.get(&SHOWN, &key)? else { return Ok(()) };
    tx.delete(&SHAPES, &key.1);
    tx.delete(&RENDERINGS, &key.1);
    tx.delete(&SAID, &key.1);
    let marks = shown.marks.clone();
    put(tx, key, shown, Vec::new(), marks)
}

/// Keeps what a message looks like that stood at these places, and what it is made of, found and sorted
/// by. Somebody else may have been first: then his is what it looks like. Where it stands elsewhere by
/// now, it may look otherwise, and nothing is kept.
pub fn keep_shape(
    tx: &mut Tx<'_>,
    key: (Option<TicketId>, EntryId),
    stood: &[(Shelf, u32)],
    shape: &Shape,
    rendering: &Rendering,
    said: &Said,
) -> Result<(), StoreError> {
    let stands = tx.get(&SHOWN, &key)?.is_some_and(|shown| shown.at == stood);
    if stands && tx.get(&SHAPES, &key.1)?.is_none() {
        tx.put(&SHAPES, &key.1, shape)?;
        tx.put(&RENDERINGS, &key.1, rendering)?;
        tx.put(&SAID, &key.1, said)?;
    }
    Ok(())
}

/// A member's answer to an entry, or his word that there is or is none.
pub fn set_answered(tx: &mut Tx<'_>, ticket: TicketId, entry: EntryId, answered: bool) -> Result<(), StoreError> {
    let key = (Some(ticket), entry);
    let Some(shown) = tx.get(&SHOWN, &key)? else { return Ok(()) };
    let marks = Marks { answered, ..shown.marks.clone() };
    let shelves = shown.at.iter().map(|(shelf, _)| *shelf).collect();
    put(tx, key, shown, shelves, marks)
}

/// Changes what one member sees of a message's flags.
pub fn set_mine(
    tx: &mut Tx<'_>,
    member: MemberId,
    (ticket, entry): (Option<TicketId>, EntryId),
    change: impl FnOnce(&mut Mine),
) -> Result<(), StoreError> {
    let key = (member, entry);
    let before = tx.get(&MINE, &key)?.unwrap_or_default();
    let mut mine = before.clone();
    change(&mut mine);
    if mine == before {
        return Ok(());
    }
    tx.put(&MINE, &key, &mine)?;
    tx.at_commit(&MINE, &key, move |stamp| {
        stamp.delete(&VIEW_LOG, &(mine.modseq, Trail::Mine(member, mine.ticket, entry)));
        let mine = Mine { modseq: stamp.version(), ticket, ..mine.clone() };
        stamp.put(&VIEW_LOG, &(mine.modseq, Trail::Mine(member, ticket, entry)), &Turn::Changed)?;
        stamp.put(&PEAKS, &(Shelf::Mine(member), Peak::ModSeq), &mine.modseq)?;
        stamp.put(&MINE, &key, &mine)
    });
    Ok(())
}

/// A member's flags of a message that is gone for good.
pub(super) fn mine_gone(tx: &mut Tx<'_>, member: MemberId, entry: EntryId) -> Result<(), StoreError> {
    let key = (member, entry);
    if let Some(mine) = tx.get(&MINE, &key)? {
        tx.delete(&MINE, &key);
        tx.at_commit(&MINE, &key, move |stamp| {
            stamp.delete(&VIEW_LOG, &(mine.modseq, Trail::Mine(member, mine.ticket, entry)));
            stamp.delete(&MINE, &key);
            Ok(())
        });
    }
    Ok(())
}

/// A member may see other things than before, or be here no longer: sessions of his that wait are to
/// look round.
pub(super) fn rights_changed(tx: &mut Tx<'_>, member: MemberId) -> Result<(), StoreError> {
    let key = (Shelf::Mine(member), Peak::Rights);
    let before = tx.get(&PEAKS, &key)?;
    tx.at_commit(&PEAKS, &key, move |stamp| {
        if let Some(before) = before {
            stamp.delete(&VIEW_LOG, &(before, Trail::Rights(member)));
        }
        let now = stamp.version();
        stamp.put(&VIEW_LOG, &(now, Trail::Rights(member)), &Turn::Changed)?;
        stamp.put(&PEAKS, &key, &now)
    });
    Ok(())
}

/// UIDVALIDITY of a mailbox: one number for the desk; for those that are made of what the member has a
/// part in his own, and new when that is other than it was. `None` where it has to be
/// [given](give_validity) first.
pub fn validity(
    tx: &impl Read,
    member: MemberId,
    folder: Folder,
    shelves: &[Shelf],
) -> Result<Option<u32>, StoreError> {
    if !Folders::is_gathered(folder) {
        return tx.get(&VALIDITY, &());
    }
    let gathered = tx.get(&GATHERED, &(member, folder.id()))?.filter(|gathered| gathered.shelves == shelves);
    Ok(gathered.map(|gathered| gathered.validity))
}

/// The same; where there is none it is given. `now` in seconds since 1970: higher than any before.
pub fn give_validity(
    tx: &mut Tx<'_>,
    member: MemberId,
    folder: Folder,
    shelves: &[Shelf],
    now: u32,
) -> Result<u32, StoreError> {
    if let Some(known) = validity(tx, member, folder, shelves)? {
        return Ok(known);
    }
    let base = if let Some(base) = tx.get(&VALIDITY, &())? {
        base
    } else {
        tx.put(&VALIDITY, &(), &now)?;
        now
    };
    if !Folders::is_gathered(folder) {
        return Ok(base);
    }
    let key = (member, folder.id());
    let least = tx.get(&GATHERED, &key)?.map_or(base, |before| before.validity + 1);
    let gathered = Gathered { shelves: shelves.to_vec(), validity: least.max(now) };
    tx.put(&GATHERED, &key, &gathered)?;
    Ok(gathered.validity)
}

/// Ends what all numbers of messages meant: what was given out after a backup was made is given out
/// again to others once it is put back (RFC 3501 §2.3.1.1). `now` in seconds since 1970, so that
/// UIDVALIDITY is higher than any that was told before.
pub fn renew_validity(tx: &mut Tx<'_>, now: u32) -> Result<(), StoreError> {
    let mut highest = tx.get(&VALIDITY, &())?.unwrap_or(0);
    for (key, gathered) in tx.range(&GATHERED, .., Order::Up, usize::MAX)? {
        highest = highest.max(gathered.validity);
        tx.delete(&GATHERED, &key);
    }
    tx.put(&VALIDITY, &(), &now.max(highest.saturating_add(1)))
}

/// A message that still stands under a number on one of these shelves comes to stand there under
/// another.
pub fn renumber(
    tx: &mut Tx<'_>,
    key: (Option<TicketId>, EntryId),
    shelves: &[Shelf],
    uid: u32,
) -> Result<(), StoreError> {
    let Some(shown) = tx.get(&SHOWN, &key)? else { return Ok(()) };
    let stands = |(shelf, number): &&(Shelf, u32)| *number == uid && shelves.contains(shelf);
    let Some((here, _)) = shown.at.iter().find(stands).copied() else { return Ok(()) };
    let marks = shown.marks.clone();
    let all: Vec<_> = shown.at.iter().map(|(shelf, _)| *shelf).collect();
    let others = all.iter().copied().filter(|shelf| *shelf != here).collect();
    put(tx, key, shown, others, marks.clone())?;
    let shown = tx.get(&SHOWN, &key)?.unwrap_or_default();
    put(tx, key, shown, all, marks)
}

/// A message that a client moved gets its numbers before those that come along with it, and after those that
/// the client named before it. It is told of them at once (RFC 4315 §3), and Thunderbird looks for what else
/// is new only above.
pub fn number_first(tx: &mut Tx<'_>, ticket: TicketId, entry: EntryId) {
    tx.ahead_at_commit(&SHOWN, &(Some(ticket), entry));
}

/// A message of a member's own is in this place, or nowhere.
pub(super) fn own_saved(
    tx: &mut Tx<'_>,
    member: MemberId,
    entry: EntryId,
    place: Option<Place>,
    marks: Marks,
) -> Result<(), StoreError> {
    let key = (None, entry);
    let Some(place) = place else { return gone(tx, key) };
    let shown = tx.get(&SHOWN, &key)?.unwrap_or_default();
    put(tx, key, shown, vec![Shelf::Own(member, place)], marks)
}

/// The same, where it is.
pub(super) fn own_marked(tx: &mut Tx<'_>, entry: EntryId, marks: Marks) -> Result<(), StoreError> {
    let key = (None, entry);
    let shown = tx.get(&SHOWN, &key)?.unwrap_or_default();
    let shelves = shown.at.iter().map(|(shelf, _)| *shelf).collect();
    put(tx, key, shown, shelves, marks)
}

/// What is marked on a message of a member's own; nothing where it is gone.
pub(super) fn own_marks(tx: &impl Read, entry: EntryId) -> Result<Option<Marks>, StoreError> {
    Ok(tx.get(&SHOWN, &(None, entry))?.map(|shown| shown.marks))
}

/// Puts a message on these shelves and no others, with these marks.
fn put(
    tx: &mut Tx<'_>,
    key: (Option<TicketId>, EntryId),
    shown: Shown,
    shelves: Vec<Shelf>,
    marks: Marks,
) -> Result<(), StoreError> {
    let stays = shown.at.len() == shelves.len() && shown.at.iter().all(|(shelf, _)| shelves.contains(shelf));
    if stays && shown.marks == marks {
        return Ok(());
    }
    let number = |shelf: Shelf| shown.at.iter().find(|(known, _)| *known == shelf).map_or(0, |(_, uid)| *uid);
    let at: Vec<_> = shelves.into_iter().map(|shelf| (shelf, number(shelf))).collect();
    let mut from = shown.from;
    from.extend(shown.at.iter().filter(|place| place.1 != 0 && !at.contains(place)));
    let shown = Shown { at, marks, modseq: shown.modseq, from };
    tx.put(&SHOWN, &key, &shown)?;
    tx.at_commit(&SHOWN, &key, move |stamp| settle(stamp, key, &shown));
    Ok(())
}

/// Gives the numbers, and writes the rows down.
fn settle(stamp: &mut Stamped<'_>, key: (Option<TicketId>, EntryId), shown: &Shown) -> Result<(), StoreError> {
    let (before, modseq) = (shown.modseq, stamp.version());
    for &(shelf, uid) in &shown.from {
        let trail = Trail::Row(shelf, uid);
        stamp.delete(&ROWS, &(shelf, uid));
        stamp.delete(&VIEW_LOG, &(before, trail));
        stamp.put(&VIEW_LOG, &(modseq, trail), &Turn::Left)?;
        stamp.put(&PEAKS, &(shelf, Peak::ModSeq), &modseq)?;
    }
    let mut at = Vec::with_capacity(shown.at.len());
    for &(shelf, uid) in &shown.at {
        let uid = if uid == 0 {
            let uid = stamp.next(&UIDS, &())?;
            stamp.put(&PEAKS, &(shelf, Peak::Uid), &uid)?;
            // Four thousand million moves of messages: other limits come first.
            u32::try_from(uid).map_err(|_| StoreError::Io("there are no numbers for messages any more".into()))?
        } else {
            stamp.delete(&VIEW_LOG, &(before, Trail::Row(shelf, uid)));
            uid
        };
        let row = Row { ticket: key.0, entry: key.1, modseq, marks: shown.marks.clone() };
        stamp.put(&ROWS, &(shelf, uid), &row)?;
        stamp.put(&VIEW_LOG, &(modseq, Trail::Row(shelf, uid)), &Turn::Changed)?;
        stamp.put(&PEAKS, &(shelf, Peak::ModSeq), &modseq)?;
        at.push((shelf, uid));
    }
    if at.is_empty() {
        stamp.delete(&SHOWN, &key);
        return Ok(());
    }
    stamp.put(&SHOWN, &key, &Shown { at, marks: shown.marks.clone(), modseq, from: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::{find, held, ticket};
    use crate::desk::ticket::{Assignee, Priority, Status};

    /// Every row, with its number.
    async fn rows(office: &Office) -> Vec<((Shelf, u32), Row)> {
        office.act(|tx, _| Ok(tx.range(&ROWS, .., Order::Up, 1_000)?)).await.unwrap()
    }

    /// Whether rows, places, log and peaks say the same.
    async fn check(office: &Office) {
        let rows = rows(office).await;
        let (shown, log, peaks) = office
            .act(|tx, _| {
                Ok((
                    tx.range(&SHOWN, .., Order::Up, 1_000)?,
                    tx.range(&VIEW_LOG, .., Order::Up, 10_000)?,
                    tx.range(&PEAKS, .., Order::Up, 1_000)?,
                ))
            })
            .await
            .unwrap();
        let places: usize = shown.iter().map(|(_, shown)| shown.at.len()).sum();
        assert_eq!(places, rows.len());
        for ((shelf, uid), row) in &rows {
            let (_, shown) = shown.iter().find(|(key, _)| *key == (row.ticket, row.entry)).unwrap();
            assert!(shown.at.contains(&(*shelf, *uid)) && shown.from.is_empty());
            assert_eq!((shown.modseq, &shown.marks), (row.modseq, &row.marks));
            let of_row = log.iter().filter(|((_, trail), _)| *trail == Trail::Row(*shelf, *uid));
            assert_eq!(of_row.map(|((at, _), turn)| (*at, *turn)).collect::<Vec<_>>(), [(row.modseq, Turn::Changed)]);
            let peak = |what| peaks.iter().find(|((of, peak), _)| of == shelf && *peak == what).map(|(_, n)| *n);
            assert!(peak(Peak::Uid).unwrap() >= u64::from(*uid));
            assert!(peak(Peak::ModSeq).unwrap() >= row.modseq);
        }
        let mut uids: Vec<_> = rows.iter().map(|((_, uid), _)| *uid).collect();
        uids.sort_unstable();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
    }

    fn on(rows: &[((Shelf, u32), Row)], shelf: Shelf) -> Vec<u32> {
        rows.iter().filter(|((of, _), _)| *of == shelf).map(|((_, uid), _)| *uid).collect()
    }

    #[tokio::test]
    async fn messages_follow_their_ticket_and_never_bear_a_number_again() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let (name, property) = (made.reference.to_string(), made.property);
        let open = Shelf::Status(property, Status::Open);
        let first = rows(&office).await;
        assert_eq!(on(&first, open).len(), 1);
        assert_eq!(on(&first, Shelf::Open(property, None)).len(), 1);
        check(&office).await;

        office.act(|tx, act| ticket::assign(tx, act, &name, "bob")).await.unwrap();
        let bob = office.act(|tx, _| find::member(tx, "bob")).await.unwrap().id;
        let assigned = rows(&office).await;
        assert_eq!(on(&assigned, open), on(&first, open), "it is as open as before");
        assert!(on(&assigned, Shelf::Open(property, None)).is_empty());
        let his = Assignee::Member(bob);
        assert_eq!(on(&assigned, Shelf::Open(property, Some(his))).len(), 1);
        assert_eq!(on(&assigned, Shelf::Work(property, his)).len(), 1);
        check(&office).await;

        office.act(|tx, act| ticket::set_status(tx, act, &name, Status::Pending)).await.unwrap();
        let pending = rows(&office).await;
        assert_eq!(on(&pending, Shelf::Work(property, his)), on(&assigned, Shelf::Work(property, his)));
        assert!(on(&pending, Shelf::Open(property, Some(his))).is_empty());
        office.act(|tx, act| ticket::set_status(tx, act, &name, Status::Open)).await.unwrap();
        let again = rows(&office).await;
        assert!(on(&again, open)[0] > on(&pending, Shelf::Status(property, Status::Pending))[0]);
        check(&office).await;

        office
            .act(|tx, act| {
                ticket::tag(tx, act, &name, "refund")?;
                ticket::set_priority(tx, act, &name, Priority::Urgent)
            })
            .await
            .unwrap();
        let marked = rows(&office).await;
        assert_eq!(on(&marked, open), on(&again, open));
        for (_, row) in &marked {
            assert!(row.marks.flagged && row.marks.keywords.contains("refund") && row.modseq > again[0].1.modseq);
        }
        check(&office).await;
    }

    #[tokio::test]
    async fn a_merged_ticket_takes_its_messages_along() {
        let office = Office::open().await;
        let one = office.ticket("carol").await;
        let two = office.ticket("dave").await;
        let (first, second) = (one.reference.to_string(), two.reference.to_string());
        office.act(|tx, act| ticket::set_status(tx, act, &first, Status::Closed)).await.unwrap();
        office.act(|tx, act| ticket::merge(tx, act, &first, &second)).await.unwrap();
        let rows = rows(&office).await;
        assert_eq!(on(&rows, Shelf::Status(one.property, Status::Open)).len(), 2);
        assert!(on(&rows, Shelf::Status(one.property, Status::Closed)).is_empty());
        assert!(rows.iter().all(|(_, row)| row.ticket == Some(two.id)));
        check(&office).await;
    }

    #[tokio::test]
    async fn what_a_member_wrote_is_sent_and_seen_and_answers() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let name = made.reference.to_string();
        let asked = office.act(|tx, _| Ok(find::entries(tx, made.id)?)).await.unwrap();
        let asked = asked.iter().find(|entry| shelf::shows(entry)).unwrap().id;
        let (bob, written) = office.reply("bob", &name, Some(asked)).await;
        let rows = rows(&office).await;
        assert_eq!(on(&rows, Shelf::Sent(made.property, bob)).len(), 1);
        let mine = office.act(|tx, _| Ok(tx.get(&MINE, &(bob, written.id))?)).await.unwrap().unwrap();
        assert!(mine.seen && mine.modseq > 0);
        let answered: Vec<_> = rows.iter().filter(|(_, row)| row.marks.answered).map(|(_, row)| row.entry).collect();
        assert!(!answered.is_empty() && answered.iter().all(|entry| *entry == asked));
        check(&office).await;
    }

    #[tokio::test]
    async fn a_rejected_message_is_seen_no_more() {
        let office = Office::open().await;
        let held = office.held("carol").await;
        let name = held.0.reference.to_string();
        let before = rows(&office).await;
        assert!(before.iter().any(|(_, row)| row.entry == held.1.id));
        office.act(|tx, act| held::reject(tx, act, &name, held.1.id)).await.unwrap();
        let after = rows(&office).await;
        assert!(after.iter().all(|(_, row)| row.entry != held.1.id));
        check(&office).await;
    }

    #[tokio::test]
    async fn what_is_rejected_stays_with_the_member_who_wrote_it() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let name = made.reference.to_string();
        let asked = office.act(|tx, _| Ok(find::entries(tx, made.id)?)).await.unwrap()[0].id;
        office.reply("alice", &name, Some(asked)).await;
        let (bob, crossed) = office.reply("bob", &name, Some(asked)).await;
        office.act(|tx, act| held::reject(tx, act, &name, crossed.id)).await.unwrap();
        let his = |rows: &[((Shelf, u32), Row)]| {
            let his = rows.iter().filter(|(_, row)| row.entry == crossed.id);
            his.map(|((shelf, _), _)| *shelf).collect::<Vec<_>>()
        };
        assert_eq!(his(&rows(&office).await), [Shelf::Sent(made.property, bob)]);
        // Wherever its ticket goes.
        for status in [Status::Closed, Status::Open] {
            office.act(|tx, act| ticket::set_status(tx, act, &name, status)).await.unwrap();
            assert_eq!(his(&rows(&office).await), [Shelf::Sent(made.property, bob)]);
        }
        check(&office).await;
        let found = crate::actions::verify::references(&office.store).unwrap();
        assert_eq!(found.problems, Vec::<String>::new());
    }
}
