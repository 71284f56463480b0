//! Reading everything, and holding the index against the journal.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;

use serde::Serialize;

use super::files::Files;
use super::index::{Index as _, Order, Write};
use super::journal::{Chain, Place, Position, replay};
use super::table::{NOTES, RAWS};
use super::transaction::raw_id;
use super::{Shared, StoreError};

/// What `guichet verify` finds in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Segments of the journal that were read.
    pub segments: u64,
    /// Groups of transactions in them.
    pub groups: u64,
    /// Keys of the index that were compared with the journal.
    pub keys: u64,
    /// Raw messages whose bytes were read.
    pub raws: u64,
    /// What is wrong, a sentence each; the first [`VerifyReport::LISTED`] of them.
    pub problems: Vec<String>,
    /// How many problems there are in all.
    pub found: u64,
}

impl VerifyReport {
    pub const LISTED: usize = 100;

    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }

    fn problem(&mut self, text: String) {
        self.found += 1;
        if self.problems.len() < Self::LISTED {
            self.problems.push(text);
        }
    }
}

/// What the journal makes of every key that was not yet found in the index: fingerprints only, so
/// that a large store fits.
struct Expected {
    state: RandomState,
    values: HashMap<u64, u64>,
}

impl Expected {
    fn take_in(&mut self, writes: &[Write]) {
        for (key, value) in writes {
            let key = self.state.hash_one(key);
            match value {
                Some(value) => self.values.insert(key, self.state.hash_one(value)),
                None => self.values.remove(&key),
            };
        }
    }

    /// Whether this is what the key should be; if so it is settled.
    fn settles(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        let key = self.state.hash_one(key);
        let right = self.values.get(&key).copied() == value.map(|value| self.state.hash_one(value));
        if right {
            self.values.remove(&key);
        }
        right
    }

    fn forget(&mut self, key: &[u8]) {
        let key = self.state.hash_one(key);
        self.values.remove(&key);
    }
}

/// How many keys are compared at a time, while commits wait.
const CHUNK: usize = 1000;

/// Verifies a store that goes on meanwhile: what seems wrong is looked at again at the end, in one
/// state, with what was written since.
pub(super) fn verify(shared: &Shared) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let mut expected = Expected { state: RandomState::new(), values: HashMap::new() };
    let until = shared.state().index()?.position();
    let outcome = groups(&*shared.files, Position::default(), until, &mut |writes| {
        report.groups += 1;
        expected.take_in(&writes);
    });
    match outcome {
        Ok(segments) => report.segments = segments,
        // Without the journal there is nothing to hold the index against.
        Err(error) => {
            report.problem(error.to_string());
            return Ok(report);
        }
    }
    let mut doubtful = Vec::new();
    let mut from = Bound::Excluded(vec![NOTES, 0xff]);
    loop {
        let mut raws = Vec::new();
        let mut last = None;
        {
            let state = shared.state();
            let mut left = CHUNK;
            state.index()?.range(&(from, Bound::Unbounded), Order::Up, &mut |key, value| {
                report.keys += 1;
                if !expected.settles(key, Some(value)) && doubtful.len() < MOST_DOUBTFUL {
                    doubtful.push(key.to_vec());
                }
                if key.first() == Some(&RAWS) {
                    raws.push((key.to_vec(), value.to_vec()));
                }
                last = Some(key.to_vec());
                left -= 1;
                left > 0
            })?;
        }
        for (key, place) in raws {
            report.raws += 1;
            let outcome = Place::decode(&place).map(|place| shared.segments.read(&place));
            match outcome {
                Some(Ok(_)) => {}
                Some(Err(error)) => report.problem(format!("raw message {}: {error}", raw_id(&key))),
                None => report.problem(format!("raw message {}: its place is unreadable", raw_id(&key))),
            }
        }
        let Some(last) = last else { break };
        from = Bound::Excluded(last);
    }
    settle(shared, until, &mut expected, doubtful, &mut report)?;
    Ok(report)
}

/// More keys than these are not looked at a second time.
const MOST_DOUBTFUL: usize = 100_000;

/// Decides on what seemed wrong or was written since, in one state.
fn settle(
    shared: &Shared,
    since: Position,
    expected: &mut Expected,
    mut doubtful: Vec<Vec<u8>>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let state = shared.state();
    let index = state.index()?;
    groups(&*shared.files, since, index.position(), &mut |writes| {
        expected.take_in(&writes);
        doubtful.extend(writes.into_iter().map(|(key, _)| key));
    })?;
    doubtful.sort_unstable();
    doubtful.dedup();
    for key in doubtful {
        if !expected.settles(&key, index.get(&key)?.as_deref()) {
            let (table, rest) = key.split_first().unwrap_or((&0, &[]));
            report.problem(format!("the index differs from the journal in table {table:#04x} at key {rest:02x?}"));
            expected.forget(&key);
        }
    }
    if !expected.values.is_empty() {
        report.problem(format!("the index lacks {} keys that the journal has", expected.values.len()));
    }
    Ok(())
}

/// Shows the writes of every group between two positions; answers how many segments they are in.
fn groups(
    files: &dyn Files,
    from: Position,
    until: Position,
    visit: &mut dyn FnMut(Vec<Write>),
) -> Result<u64, StoreError> {
    let chain = Chain::open(files)?.until(until);
    replay(files, &chain, from, &mut |group, _| {
        visit(group.writes);
        Ok(())
    })?;
    Ok(chain.from(from.segment).count() as u64)
}

#[cfg(test)]
mod tests {
    use crate::store::index::Index as _;
    use crate::store::{Store, Table};

    static NUMBERS: Table<u64, u64> = Table::new(0x70, "numbers");

    #[tokio::test]
    async fn finds_what_the_index_has_wrong() {
        let store = Store::memory();
        for n in 0..10 {
            store.transact(|tx| tx.put(&NUMBERS, &n, &n)).await.unwrap();
        }
        let raw = store.transact(|tx| tx.put_raw(&b"mail"[..])).await.unwrap();
        let report = store.verify().unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.segments, report.groups, report.keys, report.raws), (1, 11, 12, 1));

        let spoil = |key: Vec<u8>, value: Option<Vec<u8>>| {
            let mut state = store.shared.state.write().unwrap();
            let index = state.index.as_mut().unwrap();
            let before = index.get(&key).unwrap();
            let position = index.position();
            index.apply(vec![(key, value)], position).unwrap();
            before
        };
        for (key, value) in [
            (NUMBERS.key(&3), Some(vec![1, 9])),
            (NUMBERS.key(&3), None),
            (NUMBERS.key(&30), Some(vec![1, 30])),
            (crate::store::transaction::raw_key(raw), Some(vec![0; 24])),
        ] {
            let before = spoil(key.clone(), value);
            assert!(!store.verify().unwrap().is_clean(), "{key:?}");
            spoil(key, before);
        }
        assert!(store.verify().unwrap().is_clean());
    }
}
