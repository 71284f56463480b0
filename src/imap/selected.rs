//! A mailbox that a session has selected: which messages it was told of under which numbers, and what
//! came and went since.
//!
//! A session numbers the messages that it was told of; what has left is numbered on until the session
//! may be told so (RFC 3501 §7.4.1).

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::command::{Bound as End, Set, Uids};
use super::rolls::{Roll, Rolls};
use crate::desk::folder::Folder;
use crate::desk::id::{EntryId, MemberId, PropertyId};
use crate::desk::shelf::{Mine, Row, Shelf, Trail, Turn};
use crate::desk::ticket::Status;
use crate::store::tables::{MINE, ROWS, SHOWN, VIEW_LOG};
use crate::store::{Order, Read, StoreError, View};

/// Log entries that are read at a time.
pub(super) const PAGE: usize = 1_000;

/// Messages whose flags are read at a time, so that nobody who writes waits for those of a whole mailbox.
pub(super) const MINE_AT_ONCE: usize = 1_000;

/// A selected mailbox.
#[derive(Debug)]
pub struct Selected {
    pub folder: Folder,
    pub shelves: Vec<Shelf>,
    pub validity: u32,
    /// By EXAMINE.
    pub read_only: bool,
    member: MemberId,
    /// All messages, as far as the log was read.
    roll: Arc<Roll>,
    /// The keywords that the session was told of.
    keywords: Arc<BTreeSet<String>>,
    /// What the session counts, in ascending order, where that is more: those included that left and
    /// were not announced.
    counted: Option<Vec<u32>>,
    /// Those that left and were not announced.
    left: BTreeSet<u32>,
    /// How far the log was read.
    synced: u64,
}

/// What a session has not been told yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// There are more messages.
    pub more: bool,
    /// UIDs whose flags changed, of those that the session knew.
    pub changed: BTreeSet<u32>,
}

impl Selected {
    /// Selects a mailbox that has this roll in a state of the store.
    pub fn open(
        view: &View<'_>,
        folder: Folder,
        shelves: Vec<Shelf>,
        roll: Arc<Roll>,
        validity: u32,
        read_only: bool,
        member: MemberId,
    ) -> Self {
        let synced = view.version();
        let keywords = Arc::clone(roll.keywords());
        let left = BTreeSet::new();
        Self { folder, shelves, validity, read_only, member, roll, keywords, counted: None, left, synced }
    }

    /// The keywords that it was told of.
    #[must_use]
    pub fn keywords(&self) -> &BTreeSet<String> {
        &self.keywords
    }

    /// Whether a roll of the mailbox has keywords that the session was not told of; it is told now.
    pub fn learn(&mut self, roll: &Roll) -> bool {
        let now = roll.keywords();
        let is_new = !Arc::ptr_eq(now, &self.keywords) && !now.is_subset(&self.keywords);
        if is_new {
            self.keywords = Arc::clone(now);
        }
        is_new
    }

    /// All messages, as far as the log was read.
    #[must_use]
    pub fn roll(&self) -> &Arc<Roll> {
        &self.roll
    }

    /// How many messages the session counts.
    #[must_use]
    pub fn count(&self) -> usize {
        self.uids().len()
    }

    /// All UIDs that it counts.
    #[must_use]
    pub fn uids(&self) -> &[u32] {
        self.counted.as_deref().unwrap_or(self.roll.uids())
    }

    /// Its number for a UID.
    #[must_use]
    pub fn number(&self, uid: u32) -> Option<u32> {
        self.uids().binary_search(&uid).ok().map(numbered)
    }

    /// The same, where one is likely.
    #[must_use]
    pub fn number_near(&self, uid: u32, likely: u32) -> Option<u32> {
        let there = likely.checked_sub(1).and_then(|at| self.uids().get(at as usize)) == Some(&uid);
        if there { Some(likely) } else { self.number(uid) }
    }

    /// What numbers stand for: their UIDs, in ascending order and each once. Numbers that there are
    /// none for are left out where they are UIDs; else the answer is `None` (RFC 3501 §6.4.8, §9).
    #[must_use]
    pub fn resolve(&self, set: &Set, by_uid: bool, saved: &BTreeSet<u32>) -> Option<Vec<u32>> {
        let known = self.uids();
        let Set::Ranges(ranges) = set else {
            return Some(saved.iter().copied().filter(|uid| known.binary_search(uid).is_ok()).collect());
        };
        let mut uids = Vec::new();
        for (first, end) in self.spans(ranges, by_uid)? {
            uids.extend_from_slice(&known[first..end]);
        }
        Some(uids)
    }

    /// The same for whoever only asks whether a message is among them: it takes as much memory as the
    /// set has ranges, however many messages they name.
    #[must_use]
    pub fn named(&self, ranges: &[(End, End)], by_uid: bool) -> Option<Uids> {
        let known = self.uids();
        Some(self.spans(ranges, by_uid)?.into_iter().map(|(first, end)| (known[first], known[end - 1])).collect())
    }

    /// The positions that ranges stand for, from the first of each to behind its last; none is empty, and
    /// none begins before another ends.
    fn spans(&self, ranges: &[(End, End)], by_uid: bool) -> Option<Vec<(usize, usize)>> {
        let known = self.uids();
        let last = if by_uid { known.last().copied().unwrap_or(0) } else { numbered_len(known.len()) };
        let number = |end: End| match end {
            End::Number(number) => number,
            End::Last => last,
        };
        let mut spans = Vec::with_capacity(ranges.len());
        for (one, other) in ranges {
            let (one, other) = (number(*one), number(*other));
            let (from, to) = (one.min(other), one.max(other));
            if by_uid {
                let first = known.partition_point(|uid| *uid < from);
                let end = known.partition_point(|uid| *uid <= to);
                spans.push((first, end));
            } else {
                if from == 0 || to > last {
                    return None;
                }
                spans.push((from as usize - 1, to as usize));
            }
        }
        spans.sort_unstable();
        let mut done = 0;
        spans.retain_mut(|(first, end)| {
            *first = done.max(*first);
            done = done.max(*end);
            *first < *end
        });
        Some(spans)
    }

    /// The number of the commit that the session knows the mailbox as of.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Nothing before a commit concerns it.
    pub fn skip_to(&mut self, commit: u64) {
        self.synced = self.synced.max(commit.saturating_sub(1));
    }

    /// Reads what changed since it last did.
    pub fn sync(&mut self, view: &View<'_>, rolls: &Rolls) -> Result<News, StoreError> {
        let mut news = News::default();
        let now = view.version();
        if now == self.synced {
            return Ok(news);
        }
        let known = |uid: &u32| self.uids().binary_search(uid).is_ok();
        let (mut came, mut left) = (Vec::new(), BTreeSet::new());
        let mut from = Bound::Included((self.synced + 1, FIRST));
        loop {
            let page = view.range(&VIEW_LOG, (from, Bound::Unbounded), Order::Up, PAGE)?;
            for ((_, trail), turn) in &page {
                match (trail, turn) {
                    (Trail::Row(shelf, uid), Turn::Changed) if self.shelves.contains(shelf) => {
                        if known(uid) {
                            news.changed.insert(*uid);
                        } else {
                            came.push(*uid);
                        }
                    }
                    (Trail::Row(shelf, uid), Turn::Left) if self.shelves.contains(shelf) && known(uid) => {
                        left.insert(*uid);
                    }
                    (Trail::Mine(member, ticket, entry), _) if *member == self.member => {
                        let shown = view.get(&SHOWN, &(*ticket, *entry))?.unwrap_or_default();
                        let here = shown.at.iter().filter(|(shelf, _)| self.shelves.contains(shelf));
                        news.changed.extend(here.map(|(_, uid)| *uid));
                    }
                    _ => {}
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { break };
            from = Bound::Excluded(*last);
        }
        came.sort_unstable();
        came.dedup();
        // Numbers grow with the commits: what came stands behind what is known.
        debug_assert!(came.first() > self.uids().last() || came.is_empty());
        news.more = !came.is_empty();
        self.left.append(&mut left);
        self.counted = if self.left.is_empty() {
            None
        } else {
            let mut counted = self.counted.take().unwrap_or_else(|| self.roll.uids().to_vec());
            counted.extend(came);
            Some(counted)
        };
        self.roll = rolls.of(view, &self.shelves)?;
        debug_assert_eq!(self.count(), self.roll.uids().len() + self.left.len());
        let counted = self.counted.as_deref().unwrap_or(self.roll.uids());
        news.changed.retain(|uid| !self.left.contains(uid) && counted.binary_search(uid).is_ok());
        self.synced = now;
        Ok(news)
    }

    /// Forgets what left, which the session is told: the UIDs, each with the number that it has when
    /// those before it are forgotten.
    pub fn forget(&mut self) -> Vec<(u32, u32)> {
        let left = std::mem::take(&mut self.left);
        let mut told = Vec::with_capacity(left.len());
        for uid in left {
            // Each before it took one from its number.
            told.extend(self.number(uid).map(|number| (uid, number - numbered_len(told.len()))));
        }
        self.counted = None;
        told
    }

    /// Whether a message left that the session was not told of.
    #[must_use]
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }
}

/// A position in what a session counts, as the number that the client says.
fn numbered(position: usize) -> u32 {
    numbered_len(position + 1)
}

fn numbered_len(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The first key of a commit in the log.
pub(super) const FIRST: Trail = Trail::Row(Shelf::Status(PropertyId(0), Status::Open), 0);

/// Messages on some shelves by their numbers, which are in ascending order; those that left are not
/// there. With what the member sees of their flags.
pub fn found(
    view: &impl Read,
    shelves: &[Shelf],
    member: MemberId,
    uids: &[u32],
) -> Result<Vec<(u32, Row, Mine)>, StoreError> {
    let (Some(&first), Some(&last)) = (uids.first(), uids.last()) else { return Ok(Vec::new()) };
    let mut standing = Vec::with_capacity(uids.len());
    let limit = 2 * uids.len() + 8;
    for shelf in shelves {
        // Numbers are given in the whole desk, so how many lie between says little; the first page
        // tells whether reading on costs less than asking for each.
        let (before, mut seen, mut rest) = (standing.len(), 0, uids);
        view.visit(&ROWS, (*shelf, first)..=(*shelf, last), limit, |(_, uid), row| {
            seen += 1;
            // Both are in order.
            while rest.first().is_some_and(|wanted| *wanted < uid) {
                rest = &rest[1..];
            }
            if rest.first() == Some(&uid) {
                standing.push((uid, row.read()?, Mine::default()));
            }
            Ok::<_, StoreError>(())
        })?;
        if seen == limit {
            standing.truncate(before);
            for uid in uids {
                let row = view.get(&ROWS, &(*shelf, *uid))?;
                standing.extend(row.map(|row| (*uid, row, Mine::default())));
            }
        }
    }
    if shelves.len() > 1 {
        standing.sort_unstable_by_key(|(uid, ..)| *uid);
    }
    let mine = mine(view, member, standing.iter().map(|(_, row, _)| row.entry))?;
    for (one, mine) in standing.iter_mut().zip(mine) {
        one.2 = mine;
    }
    Ok(standing)
}

/// What a member sees of the flags of some messages, in their order.
pub fn mine(
    view: &impl Read,
    member: MemberId,
    entries: impl Iterator<Item = EntryId> + Clone,
) -> Result<Vec<Mine>, StoreError> {
    let count = entries.clone().count();
    let (Some(first), Some(last)) = (entries.clone().min(), entries.clone().max()) else { return Ok(Vec::new()) };
    let limit = 2 * count + 8;
    let page = view.range(&MINE, (member, first)..=(member, last), Order::Up, limit)?;
    if page.len() == limit {
        return entries.map(|entry| Ok(view.get(&MINE, &(member, entry))?.unwrap_or_default())).collect();
    }
    let find = |entry| page.binary_search_by_key(&entry, |((_, entry), _)| *entry).map(|at| page[at].1.clone());
    Ok(entries.map(|entry| find(entry).unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(uids: &[u32]) -> Selected {
        Selected {
            folder: Folder::Inbox,
            shelves: Vec::new(),
            validity: 1,
            read_only: false,
            member: MemberId(1),
            roll: Arc::new(Roll::with(uids)),
            keywords: Arc::default(),
            counted: None,
            left: BTreeSet::new(),
            synced: 0,
        }
    }

    fn ranges(ranges: &[(u32, u32)]) -> Set {
        let end = |number| if number == 0 { End::Last } else { End::Number(number) };
        Set::Ranges(ranges.iter().map(|(one, other)| (end(*one), end(*other))).collect())
    }

    #[test]
    fn numbers_stand_for_messages() {
        let inbox = selected(&[3, 7, 8, 20]);
        let none = BTreeSet::new();
        // 0 is `*` here.
        for (set, by_uid, expected) in [
            (&[(1, 0)][..], false, Some(vec![3, 7, 8, 20])),
            (&[(0, 0)], false, Some(vec![20])),
            (&[(4, 2), (2, 3)], false, Some(vec![7, 8, 20])),
            (&[(1, 5)], false, None),
            (&[(1, 5)], true, Some(vec![3])),
            (&[(8, 4_294_967_295)], true, Some(vec![8, 20])),
            (&[(100, 0)], true, Some(vec![20])),
            (&[(4, 6), (9, 19)], true, Some(vec![])),
        ] {
            assert_eq!(inbox.resolve(&ranges(set), by_uid, &none), expected, "{set:?} {by_uid}");
        }
        let Set::Ranges(several) = ranges(&[(20, 8), (3, 3), (8, 9)]) else { unreachable!() };
        let named = inbox.named(&several, true).unwrap();
        assert_eq!([3, 7, 8, 20].map(|uid| named.has(uid)), [true, false, true, true]);
        assert!(inbox.named(&several, false).is_none());
        assert_eq!(selected(&[]).resolve(&ranges(&[(1, 0)]), false, &none), None);
        assert_eq!(selected(&[]).resolve(&ranges(&[(1, 0)]), true, &none), Some(vec![]));
        let saved = BTreeSet::from([2, 7, 20]);
        assert_eq!(inbox.resolve(&Set::Saved, true, &saved), Some(vec![7, 20]));
    }

    #[test]
    fn what_left_is_counted_until_the_session_is_told() {
        let mut inbox = selected(&[7, 20]);
        inbox.counted = Some(vec![3, 7, 8, 20]);
        inbox.left.extend([3, 8]);
        assert_eq!((inbox.count(), inbox.number(20)), (4, Some(4)));
        // Each number is right once those before were taken out.
        assert_eq!(inbox.forget(), [(3, 1), (8, 2)]);
        assert_eq!((inbox.count(), inbox.number(20), inbox.number(8)), (2, Some(2), None));
    }
}
