//! Counters in memory. What is persisted is resolved by the committer, so that two transactions
//! that take from one counter don't conflict.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::index::{Index, Write};

/// The next value of every counter that was used since the store was opened.
#[derive(Default)]
pub(super) struct Counters {
    next: Mutex<HashMap<Vec<u8>, u64>>,
}

impl Counters {
    /// Takes the counter's next value.
    pub(super) fn next(&self, key: &[u8], index: &dyn Index) -> Result<u64, StoreError> {
        let mut counters = self.lock();
        if let Some(next) = counters.get_mut(key) {
            *next += 1;
            return Ok(*next - 1);
        }
        let value = index.get(key)?.map_or(1, |bytes| persisted(&bytes));
        counters.insert(key.to_vec(), value + 1);
        Ok(value)
    }

    /// Moves a counter on by `gap`.
    pub(super) fn skip(&self, key: &[u8], persisted_value: &[u8], gap: u64) {
        let mut counters = self.lock();
        let next = counters.entry(key.to_vec()).or_insert_with(|| persisted(persisted_value));
        *next += gap;
    }

    /// What is to be persisted of a counter with a group: all that was taken so far, also by
    /// transactions that come later or never.
    pub(super) fn high_water(&self, key: &[u8]) -> Write {
        let next = self.lock().get(key).copied().unwrap_or(1);
        (key.to_vec(), Some(next.to_be_bytes().to_vec()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, u64>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn persisted(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(1, u64::from_be_bytes)
}
