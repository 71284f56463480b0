//! Reading and writing the tables: [`View`] sees one state, [`Tx`] also writes and remembers, and
//! [`Stamped`] writes what depends on the order of the transactions.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::conflict::Reads;
use super::counters::Counters;
use super::index::{Index, Order, Span, Write, is_empty, starting_with};
use super::key::{Key, StartOf};
use super::table::{COUNTERS, Counter, RAWS, Record, Stored, Table};
use super::{Shared, StoreError};
use crate::desk::id::RawId;
use crate::store::journal::Place;

/// A key with its value, as bytes.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Reading of one consistent state of the store.
pub trait Read {
    /// The bytes under a key.
    #[doc(hidden)]
    fn get_bytes(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` pairs of a span, in order.
    #[doc(hidden)]
    fn span_bytes(&self, span: Span, order: Order, limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// Raw bytes that were stored with [`Tx::put_raw`], checked against their checksum.
    fn raw(&self, id: RawId) -> Result<Vec<u8>, StoreError>;

    /// Whether raw bytes are stored under this id, without reading them.
    fn has_raw(&self, id: RawId) -> Result<bool, StoreError> {
        Ok(self.get_bytes(raw_key(id))?.is_some())
    }

    fn get<K: Key, V: Record>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        self.get_bytes(table.key(key))?.map(|bytes| table.read_value(&bytes)).transpose()
    }

    /// Up to `limit` pairs of a range of keys; with [`Order::Down`] the highest ones, highest first.
    fn range<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        range: impl RangeBounds<K>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        decode(table, &self.span_bytes(span(table, &range), order, limit)?)
    }

    /// Up to `limit` pairs whose keys begin with these components: `(property,)` or
    /// `(property, status)` in a table by `(PropertyId, Status, TicketId)`.
    fn starting<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
        start: impl StartOf<K>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let mut bytes = vec![table.prefix()];
        start.encode_start(&mut bytes);
        decode(table, &self.span_bytes(starting_with(bytes), order, limit)?)
    }

    /// Shows up to `limit` records of a range of keys in order, as they are stored: for whoever needs a
    /// little of many.
    fn visit<K: Key, V: Record, E: From<StoreError>>(
        &self,
        table: &Table<K, V>,
        range: impl RangeBounds<K>,
        limit: usize,
        mut see: impl FnMut(K, Stored<'_, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (key, value) in self.span_bytes(span(table, &range), Order::Up, limit)? {
            see(table.read_key(&key)?, Stored::new(table, &value))?;
        }
        Ok(())
    }

    /// Shows one record, if it is there, as [`visit`](Self::visit) does.
    fn glance<K: Key, V: Record, T>(
        &self,
        table: &Table<K, V>,
        key: &K,
        see: impl FnOnce(Stored<'_, V>) -> T,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.get_bytes(table.key(key))?.map(|bytes| see(Stored::new(table, &bytes))))
    }
}

fn span<K: Key, V: Record>(table: &Table<K, V>, range: &impl RangeBounds<K>) -> Span {
    let whole = starting_with(vec![table.prefix()]);
    let from = match range.start_bound() {
        Bound::Unbounded => whole.0,
        bound => bound.map(|key| table.key(key)),
    };
    let to = match range.end_bound() {
        Bound::Unbounded => whole.1,
        bound => bound.map(|key| table.key(key)),
    };
    (from, to)
}

fn decode<K: Key, V: Record>(table: &Table<K, V>, pairs: &[Pair]) -> Result<Vec<(K, V)>, StoreError> {
    pairs.iter().map(|(key, value)| Ok((table.read_key(key)?, table.read_value(value)?))).collect()
}

/// One state of the store, to read only.
pub struct View<'a> {
    pub(super) shared: &'a Shared,
    pub(super) index: &'a dyn Index,
    pub(super) version: u64,
}

impl View<'_> {
    /// The number of the last commit in this state.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Read for View<'_> {
    fn get_bytes(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.index.get(&key)?)
    }

    fn span_bytes(&self, span: Span, order: Order, limit: usize) -> Result<Vec<Pair>, StoreError> {
        merge(self.index, &BTreeMap::new(), &span, order, limit)
    }

    /// Without a copy of them all.
    fn visit<K: Key, V: Record, E: From<StoreError>>(
        &self,
        table: &Table<K, V>,
        range: impl RangeBounds<K>,
        limit: usize,
        mut see: impl FnMut(K, Stored<'_, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut left, mut outcome) = (limit, Ok(()));
        if left == 0 {
            return outcome;
        }
        let visited = self.index.range(&span(table, &range), Order::Up, &mut |key, value| {
            left -= 1;
            outcome = match table.read_key(key) {
                Ok(key) => see(key, Stored::new(table, value)),
                Err(error) => Err(error.into()),
            };
            outcome.is_ok() && left > 0
        });
        visited.map_err(StoreError::from)?;
        outcome
    }

    fn raw(&self, id: RawId) -> Result<Vec<u8>, StoreError> {
        let place = self.index.get(&raw_key(id))?.ok_or(StoreError::NoRaw(id))?;
        self.shared.segments.read(&Place::decode(&place).ok_or(StoreError::NoRaw(id))?)
    }
}

/// One attempt of a transaction: a state to read, and the writes to be made on it.
pub struct Tx<'a> {
    view: View<'a>,
    reads: RefCell<Reads>,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    counters: BTreeSet<Vec<u8>>,
    raws: Vec<(RawId, Arc<[u8]>)>,
    late: BTreeMap<Vec<u8>, Late>,
    /// Which of it goes first, and in which order.
    ahead: BTreeMap<Vec<u8>, usize>,
}

/// What an attempt leaves to the committer.
pub(super) struct Attempt {
    pub(super) reads: Reads,
    pub(super) writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(super) counters: BTreeSet<Vec<u8>>,
    pub(super) raws: Vec<(RawId, Arc<[u8]>)>,
    pub(super) late: Vec<Late>,
}

/// What writes once the transaction has its place.
pub(super) type Late = Arc<dyn Fn(&mut Stamped<'_>) -> Result<(), StoreError> + Send + Sync>;

/// About what one of those writes.
const LATE: usize = 1024;

impl Attempt {
    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.raws.is_empty() && self.counters.is_empty() && self.late.is_empty()
    }

    /// About how much memory it takes while it waits, and at least what it takes in its group;
    /// raw bytes of more than `inline` octets don't count.
    pub(super) fn size(&self, inline: usize) -> usize {
        let writes = self.writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len) + 64);
        let counters = self.counters.iter().map(|key| key.len() + 64);
        let raws = self.raws.iter().map(|(_, bytes)| bytes.len()).filter(|length| *length <= inline).map(|n| n + 64);
        256 + writes.sum::<usize>() + counters.sum::<usize>() + raws.sum::<usize>() + self.late.len() * LATE
    }
}

impl<'a> Tx<'a> {
    pub(super) fn new(view: View<'a>) -> Self {
        Self {
            view,
            reads: RefCell::default(),
            writes: BTreeMap::new(),
            counters: BTreeSet::new(),
            raws: Vec::new(),
            late: BTreeMap::new(),
            ahead: BTreeMap::new(),
        }
    }

    pub(super) fn finish(self) -> Attempt {
        let Self { reads, writes, counters, raws, late, ahead, .. } = self;
        let mut late: Vec<_> = late.into_iter().collect();
        late.sort_by_key(|(key, _)| ahead.get(key).copied().unwrap_or(usize::MAX));
        let late = late.into_iter().map(|(_, write)| write).collect();
        Attempt { reads: reads.into_inner(), writes, counters, raws, late }
    }

    pub fn put<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K, record: &V) -> Result<(), StoreError> {
        self.writes.insert(table.key(key), Some(table.value(record)?));
        Ok(())
    }

    /// Deletes a key, whether or not it is there.
    pub fn delete<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K) {
        self.writes.insert(table.key(key), None);
    }

    /// Does something as a whole or not at all: when `f` fails, what it wrote is forgotten and the
    /// transaction goes on. What it read still counts, and what it allocated is not given again.
    pub fn attempt<T, E>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let (writes, raws, late) = (self.writes.clone(), self.raws.len(), self.late.clone());
        let done = f(self);
        if done.is_err() {
            self.writes = writes;
            self.raws.truncate(raws);
            self.late = late;
        }
        done
    }

    /// The next value of a counter, 1 at first. Nobody else gets it, also when this attempt fails.
    pub fn allocate<K: Key>(&mut self, counter: &Counter<K>, key: &K) -> Result<u64, StoreError> {
        self.next(counter.key(key))
    }

    /// Stores bytes as they are, a message for instance; [`Read::raw`] gives them back. A transaction
    /// that may be attempted again had better hand in a clone of one `Arc`: large bytes are then
    /// written once.
    pub fn put_raw(&mut self, bytes: impl Into<Arc<[u8]>>) -> Result<RawId, StoreError> {
        let id = RawId(self.next(vec![COUNTERS, RAWS])?);
        self.raws.push((id, bytes.into()));
        Ok(id)
    }

    /// Has `f` write for a key once the transaction has its place in the order of all: what it is
    /// given there grows from commit to commit, in the order in which readers see them. It is run by
    /// the committer, on which everybody waits, after all else that the transaction wrote; what is
    /// asked for again for the same key is done instead.
    pub fn at_commit<K: Key, V: Record>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        f: impl Fn(&mut Stamped<'_>) -> Result<(), StoreError> + Send + Sync + 'static,
    ) {
        self.late.insert(table.key(key), Arc::new(f));
    }

    /// Has what is written for a key [at the commit](Self::at_commit) go before that for all others, which
    /// goes in the order of the keys; of several, the one that was named first goes first.
    pub fn ahead_at_commit<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K) {
        let place = self.ahead.len();
        self.ahead.entry(table.key(key)).or_insert(place);
    }

    /// Leaves out the next `gap` values of every counter.
    pub(super) fn skip_counters(&mut self, gap: u64) -> Result<(), StoreError> {
        self.view.index.range(&starting_with(vec![COUNTERS]), Order::Up, &mut |key, next| {
            self.view.shared.counters.skip(key, next, gap);
            self.counters.insert(key.to_vec());
            true
        })?;
        Ok(())
    }

    fn next(&mut self, key: Vec<u8>) -> Result<u64, StoreError> {
        let value = self.view.shared.counters.next(&key, self.view.index)?;
        self.counters.insert(key);
        Ok(value)
    }
}

/// A transaction that has its place in the order of all.
pub struct Stamped<'a> {
    version: u64,
    index: &'a dyn Index,
    counters: &'a Counters,
    pub(super) taken: BTreeSet<Vec<u8>>,
    pub(super) writes: Vec<Write>,
}

impl<'a> Stamped<'a> {
    pub(super) fn new(version: u64, index: &'a dyn Index, counters: &'a Counters) -> Self {
        Self { version, index, counters, taken: BTreeSet::new(), writes: Vec::new() }
    }

    /// The number of the commit: higher than that of any before it.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The next value of a counter from which nobody takes otherwise: higher than what commits before
    /// this one took.
    pub fn next<K: Key>(&mut self, counter: &Counter<K>, key: &K) -> Result<u64, StoreError> {
        let key = counter.key(key);
        let value = self.counters.next(&key, self.index)?;
        self.taken.insert(key);
        Ok(value)
    }

    pub fn put<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K, record: &V) -> Result<(), StoreError> {
        self.writes.push((table.key(key), Some(table.value(record)?)));
        Ok(())
    }

    /// Deletes a key, whether or not it is there.
    pub fn delete<K: Key, V: Record>(&mut self, table: &Table<K, V>, key: &K) {
        self.writes.push((table.key(key), None));
    }
}

impl Read for Tx<'_> {
    fn get_bytes(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = self.writes.get(&key) {
            return Ok(written.clone());
        }
        let value = self.view.index.get(&key)?;
        self.reads.borrow_mut().keys.push(key);
        Ok(value)
    }

    fn span_bytes(&self, span: Span, order: Order, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let found = merge(self.view.index, &self.writes, &span, order, limit)?;
        // What lies beyond the last pair was not seen, so it can't matter.
        let seen = match (order, found.last()) {
            (Order::Up, Some((last, _))) if found.len() == limit => (span.0, Bound::Included(last.clone())),
            (Order::Down, Some((last, _))) if found.len() == limit => (Bound::Included(last.clone()), span.1),
            (_, None) if limit == 0 => return Ok(found),
            _ => span,
        };
        self.reads.borrow_mut().spans.push(seen);
        Ok(found)
    }

    fn raw(&self, id: RawId) -> Result<Vec<u8>, StoreError> {
        if let Some((_, bytes)) = self.raws.iter().find(|(own, _)| *own == id) {
            return Ok(bytes.to_vec());
        }
        self.reads.borrow_mut().keys.push(raw_key(id));
        self.view.raw(id)
    }
}

/// Where the index keeps the place of raw bytes.
pub(super) fn raw_key(id: RawId) -> Vec<u8> {
    let mut key = vec![RAWS];
    id.encode(&mut key);
    key
}

/// The id in such a key.
pub(super) fn raw_id(key: &[u8]) -> RawId {
    key.get(1..).and_then(|mut id| RawId::decode(&mut id)).unwrap_or(RawId(0))
}

/// Reads a span of the index as it would be with `writes` made.
fn merge(
    index: &dyn Index,
    writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    span: &Span,
    order: Order,
    limit: usize,
) -> Result<Vec<Pair>, StoreError> {
    let mut found = Vec::new();
    if limit == 0 || is_empty(span) {
        return Ok(found);
    }
    let own = writes.range::<Vec<u8>, _>((span.0.as_ref(), span.1.as_ref()));
    let own: Box<dyn Iterator<Item = _>> = match order {
        Order::Up => Box::new(own),
        Order::Down => Box::new(own.rev()),
    };
    let mut own = own.peekable();
    index.range(span, order, &mut |key, value| {
        let mut covered = false;
        while let Some((written, _)) = own.peek() {
            let before = match order {
                Order::Up => written.as_slice() <= key,
                Order::Down => written.as_slice() >= key,
            };
            if !before {
                break;
            }
            covered |= written.as_slice() == key;
            if let Some((written, Some(value))) = own.next() {
                found.push((written.clone(), value.clone()));
                if found.len() == limit {
                    return false;
                }
            }
        }
        if !covered {
            found.push((key.to_vec(), value.to_vec()));
        }
        found.len() < limit
    })?;
    for (key, value) in own {
        if found.len() == limit {
            break;
        }
        if let Some(value) = value {
            found.push((key.clone(), value.clone()));
        }
    }
    Ok(found)
}
