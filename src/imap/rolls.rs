//! Which messages mailboxes hold, kept in memory for all sessions: whoever selects a mailbox that another
//! session has selected shares what that one knows, and neither reads all rows again.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::selected::FIRST;
use crate::desk::id::EntryId;
use crate::desk::shelf::{Row, Shelf, Trail, Turn};
use crate::store::tables::{ROWS, VIEW_LOG};
use crate::store::{Read, Store, StoreError, View};

/// How many changes are caught up with before it costs less to read all rows anew, besides a quarter of
/// the messages.
const FEW_CHANGES: usize = 1_000;
/// Rows that are read at a time where there is no hurry.
const ROWS_AT_ONCE: usize = 5_000;
/// Messages on rolls that nobody uses, of all mailboxes.
const UNUSED: usize = 500_000;

/// The messages of a mailbox at one state of the store.
#[derive(Debug, Default)]
pub struct Roll {
    /// In ascending order.
    uids: Vec<u32>,
    /// Whose they are.
    entries: Vec<EntryId>,
    /// At least the keywords that they have.
    keywords: Arc<BTreeSet<String>>,
}

impl Roll {
    #[must_use]
    pub fn uids(&self) -> &[u32] {
        &self.uids
    }

    /// In the order of the UIDs.
    #[must_use]
    pub fn entries(&self) -> &[EntryId] {
        &self.entries
    }

    /// The entry whose message has this UID.
    #[must_use]
    pub fn entry(&self, uid: u32) -> Option<EntryId> {
        self.uids.binary_search(&uid).ok().map(|at| self.entries[at])
    }

    #[must_use]
    pub fn keywords(&self) -> &Arc<BTreeSet<String>> {
        &self.keywords
    }

    #[cfg(test)]
    pub(super) fn with(uids: &[u32]) -> Self {
        let entries = uids.iter().map(|uid| EntryId(u64::from(*uid))).collect();
        Self { uids: uids.to_vec(), entries, keywords: Arc::default() }
    }

    /// Reads all rows of some shelves.
    fn read(view: &impl Read, shelves: &[Shelf]) -> Result<Self, StoreError> {
        let mut reading = Reading::of(shelves);
        while reading.page(view, usize::MAX)? {}
        Ok(reading.into_roll())
    }

    /// What the log says of it since a commit.
    fn follow(&self, view: &impl Read, shelves: &[Shelf], since: u64) -> Result<Followed, StoreError> {
        let limit = FEW_CHANGES + self.uids.len() / 4;
        let (mut came, mut left, mut changed, mut seen) = (Vec::new(), BTreeSet::new(), Vec::new(), 0);
        let from = (Bound::Included((since + 1, FIRST)), Bound::Unbounded);
        view.visit(&VIEW_LOG, from, limit, |(_, trail), turn| {
            seen += 1;
            if let Trail::Row(shelf, uid) = trail
                && shelves.contains(&shelf)
            {
                let known = self.uids.binary_search(&uid).is_ok();
                match (turn.read()?, known) {
                    (Turn::Changed, false) => came.push((uid, shelf)),
                    (Turn::Changed, true) => changed.push((uid, shelf)),
                    (Turn::Left, true) => drop(left.insert(uid)),
                    (Turn::Left, false) => {}
                }
            }
            Ok::<_, StoreError>(())
        })?;
        if seen == limit {
            return Ok(Followed::TooFar);
        }
        let row =
            |(uid, shelf): (u32, Shelf)| Ok::<_, StoreError>(view.get(&ROWS, &(shelf, uid))?.map(|row| (uid, row)));
        let mut keywords = None;
        let mut learn = |row: &Row| {
            for keyword in row.marks.keywords.difference(&self.keywords) {
                keywords.get_or_insert_with(|| BTreeSet::clone(&self.keywords)).insert(keyword.clone());
            }
        };
        for one in changed {
            if let Some((_, row)) = row(one)? {
                learn(&row);
            }
        }
        came.sort_unstable();
        let came = came.into_iter().map(row).filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        for (_, row) in &came {
            learn(row);
        }
        if came.is_empty() && left.is_empty() && keywords.is_none() {
            return Ok(Followed::Same);
        }
        let known = self.uids.iter().copied().zip(self.entries.iter().copied());
        let stays = known.filter(|(uid, _)| !left.contains(uid));
        let mut messages: Vec<_> = stays.chain(came.iter().map(|(uid, row)| (*uid, row.entry))).collect();
        // Numbers grow with the commits, so what came stands behind what is known; but not behind what was
        // read of one shelf after it came to another.
        if came.first().map(|(uid, _)| uid) < self.uids.last() {
            messages.sort_unstable_by_key(|(uid, _)| *uid);
        }
        let (uids, entries) = messages.into_iter().unzip();
        let keywords = keywords.map_or_else(|| Arc::clone(&self.keywords), Arc::new);
        Ok(Followed::To(Self { uids, entries, keywords }))
    }
}

/// A roll while its rows are read.
struct Reading<'a> {
    shelves: &'a [Shelf],
    /// The last row that was read, of the first of these shelves.
    last: Option<u32>,
    messages: Vec<(u32, EntryId)>,
    keywords: BTreeSet<String>,
}

impl<'a> Reading<'a> {
    fn of(shelves: &'a [Shelf]) -> Self {
        Self { shelves, last: None, messages: Vec::new(), keywords: BTreeSet::new() }
    }

    /// Reads so many rows more of one shelf; whether there may be others.
    fn page(&mut self, view: &impl Read, rows: usize) -> Result<bool, StoreError> {
        let Some((shelf, others)) = self.shelves.split_first() else { return Ok(false) };
        let before = self.messages.len();
        let from = self.last.map_or(Bound::Included((*shelf, 0)), |uid| Bound::Excluded((*shelf, uid)));
        view.visit(&ROWS, (from, Bound::Included((*shelf, u32::MAX))), rows, |(_, uid), row| {
            let row = row.read()?;
            self.messages.push((uid, row.entry));
            self.last = Some(uid);
            self.keywords.extend(row.marks.keywords);
            Ok::<_, StoreError>(())
        })?;
        if self.messages.len() - before < rows {
            (self.shelves, self.last) = (others, None);
        }
        Ok(!self.shelves.is_empty())
    }

    fn into_roll(mut self) -> Roll {
        self.messages.sort_unstable_by_key(|(uid, _)| *uid);
        let (uids, entries) = self.messages.into_iter().unzip();
        Roll { uids, entries, keywords: Arc::new(self.keywords) }
    }
}

/// What became of a roll.
enum Followed {
    Same,
    To(Roll),
    TooFar,
}

/// The rolls of mailboxes.
#[derive(Debug, Default)]
pub struct Rolls {
    kept: Mutex<Kept>,
}

/// Rolls by their shelves, each with the number of the commit that it is as of.
type Kept = HashMap<Vec<Shelf>, (u64, Arc<Roll>)>;

impl Rolls {
    /// Has the roll of some shelves at hand, so that whoever asks for it only catches up: rows are read a
    /// page at a time, and nobody who writes waits for all of them.
    pub fn make_ready(&self, store: &Store, shelves: &[Shelf]) -> Result<(), StoreError> {
        if self.lock().contains_key(shelves) {
            return Ok(());
        }
        let mut reading = Reading::of(shelves);
        let mut began = None;
        while store.read(|view| {
            began.get_or_insert(view.version());
            reading.page(view, ROWS_AT_ONCE)
        })? {}
        let roll = Arc::new(reading.into_roll());
        self.lock().entry(shelves.to_vec()).or_insert((began.unwrap_or(0), roll));
        Ok(())
    }

    /// The roll of some shelves.
    pub fn of(&self, view: &View<'_>, shelves: &[Shelf]) -> Result<Arc<Roll>, StoreError> {
        let now = view.version();
        let known = self.lock().get(shelves).cloned();
        let roll = match known {
            Some((at, roll)) if at == now => return Ok(roll),
            Some((at, roll)) if at < now => match roll.follow(view, shelves, at)? {
                Followed::Same => roll,
                Followed::To(roll) => Arc::new(roll),
                Followed::TooFar => Arc::new(Roll::read(view, shelves)?),
            },
            _ => Arc::new(Roll::read(view, shelves)?),
        };
        let mut kept = self.lock();
        match kept.get(shelves) {
            // Somebody else was first: all are to share his.
            Some((at, others)) if *at == now => return Ok(Arc::clone(others)),
            Some((at, _)) if *at > now => return Ok(roll),
            _ => {}
        }
        kept.insert(shelves.to_vec(), (now, Arc::clone(&roll)));
        let unused = |roll: &Arc<Roll>| Arc::strong_count(roll) == 1;
        if kept.values().filter(|(_, roll)| unused(roll)).map(|(_, roll)| roll.uids.len() + 64).sum::<usize>() > UNUSED
        {
            kept.retain(|_, (_, roll)| !unused(roll));
        }
        Ok(roll)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::{find, ticket};
    use crate::desk::ticket::Status;

    #[tokio::test]
    async fn a_roll_that_follows_is_the_one_that_is_read() {
        let office = Office::open().await;
        let rolls = Rolls::default();
        let mut names = Vec::new();
        for n in 0..12 {
            let made = office.ticket("carol").await;
            let name = made.reference.to_string();
            let other = if n % 3 == 0 { &name } else { &names[n / 2] };
            let status = [Status::Closed, Status::Open, Status::Pending, Status::Open][n % 4];
            office
                .act(|tx, act| {
                    ticket::tag(tx, act, other, &format!("word{n}"))?;
                    ticket::set_status(tx, act, other, status)
                })
                .await
                .unwrap();
            names.push(name);
            let property = office.act(|tx, _| find::property(tx, "acme")).await.unwrap().id;
            for shelves in [
                vec![Shelf::Status(property, Status::Open)],
                vec![Shelf::Status(property, Status::Closed), Shelf::Status(property, Status::Pending)],
            ] {
                office
                    .store
                    .read(|view| {
                        let (kept, read) = (rolls.of(view, &shelves)?, Roll::read(view, &shelves)?);
                        assert_eq!((kept.uids(), kept.entries()), (read.uids(), read.entries()));
                        assert!(kept.keywords().is_superset(read.keywords()));
                        assert!(Arc::ptr_eq(&kept, &rolls.of(view, &shelves)?), "all share one");
                        Ok::<_, StoreError>(())
                    })
                    .unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_changes_elsewhere_makes_no_new_roll() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let shelves = [Shelf::Status(made.property, Status::Open)];
        let rolls = Rolls::default();
        let before = office.store.read(|view| rolls.of(view, &shelves)).unwrap();
        let closed = office.ticket("dave").await.reference.to_string();
        office.act(|tx, act| ticket::set_status(tx, act, &closed, Status::Closed)).await.unwrap();
        office.act(|tx, act| ticket::tag(tx, act, &closed, "late")).await.unwrap();
        let after = office.store.read(|view| rolls.of(view, &shelves)).unwrap();
        assert!(Arc::ptr_eq(&before, &after));
    }

    #[tokio::test]
    async fn a_roll_that_is_read_while_the_desk_goes_on_is_the_one_that_is_read_at_once() {
        let office = Office::open().await;
        let first = office.ticket("carol").await;
        let shelves = [Shelf::Status(first.property, Status::Open), Shelf::Status(first.property, Status::Closed)];
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for n in 0..6 {
            let made = office.ticket(&format!("dave{n}")).await.reference.to_string();
            if n % 2 == 0 { &mut open } else { &mut closed }.push(made);
        }
        for made in &closed {
            office.act(|tx, act| ticket::set_status(tx, act, made, Status::Closed)).await.unwrap();
        }
        let mut reading = Reading::of(&shelves);
        let mut began = None;
        let (mut pages, mut second) = (0, false);
        loop {
            let more = office.store.read(|view| {
                began.get_or_insert(view.version());
                reading.page(view, 2)
            });
            let more = more.unwrap();
            // Some come and go on either shelf, before what was read and behind it.
            match pages {
                0 => {
                    let one = open.pop().unwrap();
                    office.act(|tx, act| ticket::set_status(tx, act, &one, Status::Closed)).await.unwrap();
                    office.ticket("erin").await;
                }
                1 => {
                    let one = closed.pop().unwrap();
                    office.act(|tx, act| ticket::set_status(tx, act, &one, Status::Open)).await.unwrap();
                    office.act(|tx, act| ticket::tag(tx, act, &one, "late")).await.unwrap();
                }
                _ if reading.shelves.len() == 1 && !second => {
                    second = true;
                    // One comes that is not seen any more, and behind it one that is.
                    office.ticket("frank").await;
                    let back = first.reference.to_string();
                    office.act(|tx, act| ticket::set_status(tx, act, &back, Status::Closed)).await.unwrap();
                }
                _ => {}
            }
            pages += 1;
            if !more {
                break;
            }
        }
        assert!(pages > 3 && second);
        let roll = reading.into_roll();
        office
            .store
            .read(|view| {
                let read = Roll::read(view, &shelves)?;
                let Followed::To(followed) = roll.follow(view, &shelves, began.unwrap())? else {
                    panic!("it has changed")
                };
                assert_eq!((followed.uids(), followed.entries()), (read.uids(), read.entries()));
                assert!(followed.keywords().is_superset(read.keywords()));
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
}
