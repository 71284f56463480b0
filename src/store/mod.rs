//! The store: ordered typed tables with transactions, and raw messages, that survive anything.
//!
//! [`Store::transact`] reads, remembers what it read (keys and ranges), writes in one atomic batch,
//! and is run again when somebody else wrote there meanwhile. When it returns, what it wrote is on
//! disk. [`Store::read`] sees one state. Nothing above this module knows which engine runs below.
//!
//! `docs/store.md` has the formats and why the index may be trusted when.

mod commit;
mod conflict;
mod counters;
mod error;
mod index;
mod journal;
mod key;
mod record;
mod table;
pub mod tables;
mod transaction;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};

use tokio::sync::{RwLock as Gate, Semaphore, oneshot, watch};

pub use error::StoreError;
pub use index::{IndexError, Order};
pub use key::{Key, StartOf};
pub use table::{Counter, FIRST_PREFIX, Record, Table};
pub use transaction::{Read, Tx, View};

use crate::desk::id::RawId;
use commit::{Commit, Outcome, Request};
use counters::Counters;
use index::{Index, MemoryIndex};
use journal::Segments;
use transaction::Attempt;

/// A handle to the store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What all handles and the committer share.
pub(crate) struct Shared {
    state: RwLock<State>,
    counters: Counters,
    segments: Segments,
    /// Where transactions wait for the committer.
    queue: mpsc::Sender<Request>,
    /// Bytes that may wait there.
    budget: Arc<Semaphore>,
    /// Held by everyone for one attempt; alone by one that was in conflict too often.
    gate: Gate<()>,
    changed: watch::Sender<u64>,
}

/// What a reader sees.
struct State {
    index: Box<dyn Index>,
    /// Grows with every transaction.
    version: u64,
}

/// The most bytes that wait for the committer.
const BUDGET: u32 = 64 * 1024 * 1024;

/// After so many conflicts a transaction runs alone.
const PATIENCE: u32 = 8;

impl Store {
    /// A store in memory, for tests. It forgets everything when it is dropped.
    pub fn memory() -> Self {
        let (queue, requests) = mpsc::channel();
        let shared = Arc::new(Shared {
            state: RwLock::new(State { index: Box::new(MemoryIndex::default()), version: 0 }),
            counters: Counters::default(),
            segments: Segments::default(),
            queue,
            budget: Arc::new(Semaphore::new(BUDGET as usize)),
            gate: Gate::new(()),
            changed: watch::Sender::new(0),
        });
        let weak = Arc::downgrade(&shared);
        std::thread::spawn(move || commit::run(&weak, &requests));
        Self { shared }
    }

    /// Runs `f` on one state of the store and makes its writes in one atomic batch.
    ///
    /// When this returns `Ok`, they are on disk. If somebody else wrote meanwhile what `f` read,
    /// `f` is run again, so it must have no effects but on its `Tx`, and ask the store for nothing
    /// by another way. It runs on the caller's thread and had better not take long. Dropping the
    /// future does not tell whether the transaction happens.
    ///
    /// # Errors
    ///
    /// What `f` answers: then nothing is written. A [`StoreError`] of the commit: then nothing of
    /// it is kept, and [`StoreError::is_temporary`] says whether to try again.
    pub async fn transact<T, E>(&self, mut f: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send) -> Result<T, E>
    where
        E: From<StoreError> + Send,
        T: Send,
    {
        let mut conflicts = 0;
        loop {
            let (_beside, _alone);
            if conflicts < PATIENCE {
                _beside = self.shared.gate.read().await;
            } else {
                _alone = self.shared.gate.write().await;
            }
            let (value, start, attempt) = {
                let state = self.shared.state();
                let mut tx = Tx::new(View { shared: &self.shared, index: state.index.as_ref() });
                let value = f(&mut tx)?;
                (value, state.version, tx.finish())
            };
            if attempt.writes.is_empty() && attempt.raws.is_empty() && attempt.counters.is_empty() {
                return Ok(value);
            }
            match self.shared.commit(start, attempt).await? {
                Outcome::Committed => return Ok(value),
                Outcome::Conflict => conflicts += 1,
            }
        }
    }

    /// Runs `f` on one state of the store. It must not ask the store by another way.
    pub fn read<T, E>(&self, f: impl FnOnce(&View<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let state = self.shared.state();
        f(&View { shared: &self.shared, index: state.index.as_ref() })
    }

    /// A number that grows with every commit, to wait for the next one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Raw bytes that were stored with [`Tx::put_raw`].
    pub fn raw(&self, id: RawId) -> Result<Vec<u8>, StoreError> {
        self.read(|view| view.raw(id))
    }
}

impl Shared {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit(&self, start: u64, attempt: Attempt) -> Result<Outcome, StoreError> {
        let cost = u32::try_from(attempt.size()).unwrap_or(BUDGET).min(BUDGET);
        let permit = Arc::clone(&self.budget).acquire_many_owned(cost).await.map_err(|_| StoreError::Closed)?;
        let (answer, outcome) = oneshot::channel();
        let commit = Commit { start, attempt, answer, _permit: permit };
        self.queue.send(Request::Commit(commit)).map_err(|_| StoreError::Closed)?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NUMBERS: Table<u64, u64> = Table::new(0x70, "numbers");
    static TICKETS: Counter<u64> = Counter::new(0x70, "tickets");

    #[tokio::test(flavor = "multi_thread")]
    async fn sixteen_writers_lose_no_update() {
        let store = Store::memory();
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        store
                            .transact(|tx| {
                                let now = tx.get(&NUMBERS, &1)?.unwrap_or(0);
                                let id = tx.allocate(&TICKETS, &7)?;
                                tx.put(&NUMBERS, &(100 + id), &id)?;
                                tx.put(&NUMBERS, &1, &(now + 1))
                            })
                            .await?;
                    }
                    Ok::<(), StoreError>(())
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let (sum, rows) = store
            .read(|view| {
                Ok::<_, StoreError>((view.get(&NUMBERS, &1)?, view.range(&NUMBERS, 100.., Order::Up, usize::MAX)?))
            })
            .unwrap();
        assert_eq!(sum, Some(800));
        assert_eq!(rows.len(), 800);
    }
}
