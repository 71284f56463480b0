//! The store: ordered typed tables with transactions, and raw messages, that survive anything.
//!
//! [`Store::transact`] reads, remembers what it read (keys and ranges), writes in one atomic batch,
//! and is run again when somebody else wrote there meanwhile. When it returns, what it wrote is on
//! disk. [`Store::read`] sees one state. Nothing above this module knows which engine runs below.
//!
//! `docs/store.md` has the formats and why the index may be trusted when.

mod base;
mod commit;
mod conflict;
mod copy;
mod counters;
mod error;
pub mod files;
mod index;
mod journal;
mod keep;
mod key;
mod layers;
mod lock;
mod marker;
mod progress;
mod record;
mod recover;
mod sled;
mod snapshot;
mod table;
pub mod tables;
mod transaction;
mod verify;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, RwLock as Gate, Semaphore, oneshot, watch};

pub use self::sled::SledEngine;
pub use error::{OpenError, StoreError};
pub use index::{Engine, Index, IndexError, MemoryEngine, MemoryIndex, Order, Span, Syncer, Write};
pub use journal::Position;
pub use key::{Key, StartOf};
pub use progress::{Progress, Step, Work};
pub use table::{Counter, FIRST_PREFIX, Kept, Record, Stored, Table};
pub use transaction::{Read, Stamped, Tx, View};
pub use verify::VerifyReport;

use crate::desk::id::RawId;
use commit::{Commit, Committer, Data, Outcome, Request};
use counters::Counters;
use files::{Files, MemoryFiles, RealFiles};
use journal::{Journal, Piece, Place, Segments};
use keep::Upkeep;
use layers::Layers;
use transaction::Attempt;

/// A handle to the store; clones are the same store.
///
/// When the last one is dropped, the store is closed in the background; [`Store::close`] waits.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// Where transactions wait for the committer, which ends when this does.
    queue: mpsc::Sender<Request>,
}

/// How a store is run. The defaults suit a desk.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long opening waits for another process to let go.
    pub lock_wait: Duration,
    /// Octets after which a new segment of the journal is begun.
    pub segment_size: u64,
    /// A table snapshot is written each time the journal grew by so many octets, or by a fourth of
    /// the last snapshot's size where that is more.
    pub snapshot_every: u64,
    /// Octets that are kept in memory of what changed since the last table snapshot.
    pub cache: u64,
    /// Transactions are refused with [`StoreError::Full`] while fewer octets are free.
    pub keep_free: u64,
    /// Tells how far the index is, at the opening and whenever it is built again later.
    pub progress: Progress,
}

impl Default for Options {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            lock_wait: Duration::from_secs(10),
            segment_size: 64 * MIB,
            snapshot_every: 256 * MIB,
            cache: 16 * MIB,
            keep_free: 64 * MIB,
            progress: Progress::default(),
        }
    }
}

/// What a store stands on; tests hand in their own.
pub struct Parts {
    pub files: Arc<dyn Files>,
    pub engine: Box<dyn Engine>,
    /// The kernel's name for this boot of the machine.
    pub boot: String,
}

/// What the handles, the committer and the upkeep share.
pub(crate) struct Shared {
    state: RwLock<State>,
    counters: Counters,
    segments: Segments,
    /// Octets that may wait for the committer.
    budget: Arc<Semaphore>,
    /// Held by everyone for one attempt; alone by one that was in conflict too often.
    gate: Gate<()>,
    changed: watch::Sender<u64>,
    /// A reader found the index failed and asked for a new one.
    mending: AtomicBool,
    files: Arc<dyn Files>,
    engine: Box<dyn Engine>,
    boot: String,
    options: Options,
    upkeep: Upkeep,
}

/// What a reader sees.
struct State {
    /// Or why there is none.
    index: Result<Layers, StoreError>,
    /// Grows with every transaction.
    version: u64,
}

impl State {
    fn index(&self) -> Result<&Layers, StoreError> {
        self.index.as_ref().map_err(Clone::clone)
    }

    fn index_mut(&mut self) -> Result<&mut Layers, StoreError> {
        self.index.as_mut().map_err(|error| error.clone())
    }

    fn is_failed(&self) -> bool {
        match &self.index {
            Ok(layers) => layers.is_failed(),
            Err(error) => matches!(error, StoreError::Index(_)),
        }
    }
}

/// The most octets that wait for the committer.
const BUDGET: u32 = 64 * 1024 * 1024;

/// After so many conflicts a transaction runs alone.
const PATIENCE: u32 = 8;

/// Raw bytes of more than this are written ahead of their transaction, in parts.
const INLINE: usize = 256 * 1024;
const PART: usize = 512 * 1024;

impl Store {
    /// A store in memory, for tests. It forgets everything when it is dropped.
    pub fn memory() -> Self {
        let parts =
            Parts { files: Arc::new(MemoryFiles::default()), engine: Box::new(MemoryEngine), boot: String::new() };
        Self::open_parts(parts, Options::default(), None).expect("opening memory can't fail")
    }

    /// Opens the store in a directory, and makes it where there is none.
    ///
    /// The index is used as it is if the store was closed in order, or only its process died; else
    /// it is built again from the last table snapshot and the journal.
    ///
    /// # Errors
    ///
    /// [`OpenError::Busy`] if another process has it for longer than [`Options::lock_wait`].
    /// [`StoreError::Damaged`] if a part of the journal that was durable can't be read.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let (lock, parts) = embedded(dir, &options)?;
        Self::open_parts(parts, options, Some(lock))
    }

    /// Opens a store on other parts than the machine's.
    pub fn open_with(parts: Parts, options: Options) -> Result<Self, OpenError> {
        Self::open_parts(parts, options, None)
    }

    /// Builds the index of the store in a directory again from its whole journal, trusting neither
    /// the index nor a table snapshot.
    pub fn rebuild(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let (lock, parts) = embedded(dir, &options)?;
        // The marker first: the index is not whole from here on.
        marker::set(&*parts.files, &parts.boot, marker::Index::Building)?;
        snapshot::remove_all(&*parts.files)?;
        Self::open_parts(parts, options, Some(lock))
    }

    fn open_parts(parts: Parts, options: Options, lock: Option<std::fs::File>) -> Result<Self, OpenError> {
        let Parts { files, engine, boot } = parts;
        let recovered = recover::open(&files, &*engine, &boot, &options.progress)?;
        let journal = Journal::open(Arc::clone(&files), &recovered.chain, &recovered.tail, options.segment_size)?;
        let version = journal.end().version;
        let from = recovered.snapshot.map_or(Position::default(), |snapshot| snapshot.start);
        let since = recovered.chain.octets(from, journal.end());
        let shared = Arc::new(Shared {
            state: RwLock::new(State { index: Ok(recovered.index), version }),
            counters: Counters::default(),
            segments: Segments::new(Arc::clone(&files)),
            budget: Arc::new(Semaphore::new(BUDGET as usize)),
            gate: Gate::new(()),
            changed: watch::Sender::new(version),
            mending: AtomicBool::new(false),
            files,
            engine,
            boot,
            options,
            upkeep: Upkeep::new(recovered.snapshot.map_or(0, |snapshot| snapshot.size), since),
        });
        let committer = Committer::new(Arc::clone(&shared), journal, lock);
        let (queue, requests) = mpsc::channel();
        std::thread::Builder::new().name("store-commit".into()).spawn(move || committer.run(&requests))?;
        Ok(Self { shared, queue })
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
        let mut streamed = Vec::new();
        let mut conflicts = 0;
        loop {
            if self.shared.state().is_failed() {
                self.revive().await?;
            }
            let (_beside, _alone);
            if conflicts < PATIENCE {
                _beside = self.shared.gate.read().await;
            } else {
                _alone = self.shared.gate.write().await;
            }
            let (value, start, attempt) = {
                let state = self.shared.state();
                let mut tx = Tx::new(View { shared: &self.shared, index: state.index()?, version: state.version });
                let value = f(&mut tx)?;
                (value, state.version, tx.finish())
            };
            if attempt.is_empty() {
                return Ok(value);
            }
            match self.commit(start, attempt, &mut streamed).await? {
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
        let index = state.index().inspect_err(|_| self.mend())?;
        f(&View { shared: &self.shared, index, version: state.version })
    }

    /// A number that grows with every commit, to wait for the next one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Raw bytes that were stored with [`Tx::put_raw`].
    pub fn raw(&self, id: RawId) -> Result<Vec<u8>, StoreError> {
        self.read(|view| view.raw(id))
    }

    /// How far the index is: always whole, but while it is built again.
    pub fn progress(&self) -> watch::Receiver<Step> {
        self.shared.options.progress.follow()
    }

    /// Writes a table snapshot. The store goes on meanwhile; it does this by itself now and then.
    /// Blocks until it is done.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        keep::checkpoint(&self.shared)
    }

    /// Reads all of the journal and every raw message, and holds the index against the journal. The
    /// store goes on meanwhile. Blocks until it is done.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        verify::verify(&self.shared)
    }

    /// Copies one state of the store into an empty or missing directory, where [`Store::open`] finds
    /// it. The store goes on meanwhile. Blocks until the copy is durable.
    pub fn copy_to(&self, dir: &Path) -> Result<(), StoreError> {
        copy::copy_to(&self.shared, dir)
    }

    /// Moves every counter on by `gap`: after a restore no old identifier may name something new.
    pub async fn advance_counters(&self, gap: u64) -> Result<(), StoreError> {
        self.transact(|tx| tx.skip_counters(gap)).await
    }

    /// Waits until the committer comes round to its requests, behind those that wait already: proof
    /// that it moves.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if there is none any more.
    pub async fn pulse(&self) -> Result<(), StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.ask(Request::Pulse(answer))?;
        outcome.await.map_err(|_| StoreError::Closed)
    }

    /// Closes the store: what was queued is made, everything later is refused with
    /// [`StoreError::Closed`], and the directory is free when this returns.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (answer, outcome) = oneshot::channel();
        if self.queue.send(Request::Close(answer)).is_err() {
            return Ok(());
        }
        outcome.await.unwrap_or(Ok(()))
    }

    /// Asks once that a failed index is built again, and does not wait for it.
    fn mend(&self) {
        if !self.shared.mending.swap(true, Ordering::Relaxed) {
            // Nobody waits for the answer; and a store that is closed needs no index.
            let _ = self.ask(Request::Revive(oneshot::channel().0));
        }
    }

    /// Has a failed index built again.
    async fn revive(&self) -> Result<(), StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.ask(Request::Revive(answer))?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    async fn commit(
        &self,
        start: u64,
        attempt: Attempt,
        streamed: &mut Vec<(Arc<[u8]>, Place)>,
    ) -> Result<Outcome, StoreError> {
        let mut places = Vec::new();
        for (id, bytes) in attempt.raws.iter().filter(|(_, bytes)| bytes.len() > INLINE) {
            let done = streamed.iter().find(|(done, _)| Arc::ptr_eq(done, bytes)).map(|(_, place)| place.clone());
            let place = match done {
                Some(place) => place,
                None => self.stream(bytes).await?,
            };
            streamed.push((Arc::clone(bytes), place.clone()));
            places.push((*id, place));
        }
        let size = attempt.size(INLINE);
        if size > commit::LARGEST {
            return Err(StoreError::TooLarge(size));
        }
        let permit = self.permit(size).await?;
        let (answer, outcome) = oneshot::channel();
        self.ask(Request::Commit(Commit { start, attempt, streamed: places, answer, permit }))?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes large raw bytes ahead, a part at a time, so that others' groups go on between.
    async fn stream(&self, bytes: &Arc<[u8]>) -> Result<Place, StoreError> {
        let mut pieces = Vec::new();
        for from in (0..bytes.len()).step_by(PART) {
            let part = from..bytes.len().min(from + PART);
            pieces.push(self.part(bytes, part).await?);
        }
        Ok(Place(pieces))
    }

    async fn part(&self, bytes: &Arc<[u8]>, part: Range<usize>) -> Result<Piece, StoreError> {
        let permit = self.permit(part.len()).await?;
        let (answer, piece) = oneshot::channel();
        self.ask(Request::Data(Data { bytes: Arc::clone(bytes), part, answer, _permit: permit }))?;
        piece.await.map_err(|_| StoreError::Closed)?
    }

    async fn permit(&self, octets: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let share = u32::try_from(octets).unwrap_or(BUDGET).min(BUDGET);
        Arc::clone(&self.shared.budget).acquire_many_owned(share).await.map_err(|_| StoreError::Closed)
    }

    fn ask(&self, request: Request) -> Result<(), StoreError> {
        self.queue.send(request).map_err(|_| StoreError::Closed)
    }
}

impl Shared {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks a directory, and the parts of an embedded store in it.
fn embedded(dir: &Path, options: &Options) -> Result<(std::fs::File, Parts), OpenError> {
    let lock = lock::acquire(dir, options.lock_wait)?;
    let parts = Parts {
        files: Arc::new(RealFiles::new(dir.to_owned())),
        engine: Box::new(SledEngine::new(dir.join("index"), options.cache)),
        boot: marker::boot_id(),
    };
    Ok((lock, parts))
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

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_numbered_at_the_commit_is_seen_in_the_order_of_its_numbers() {
        static LATE: Counter<()> = Counter::new(0x71, "late");
        let store = Store::memory();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    for turn in 0..50_u64 {
                        let slot = 1_000_000 + task * 1_000 + turn;
                        let numbered = store.transact(|tx| {
                            // Only the last word for a key counts.
                            tx.at_commit(&NUMBERS, &slot, |_| panic!("it was asked for again"));
                            tx.at_commit(&NUMBERS, &slot, |stamp| {
                                let number = stamp.next(&LATE, &())?;
                                stamp.put(&NUMBERS, &number, &stamp.version())
                            });
                            Ok::<(), StoreError>(())
                        });
                        numbered.await?;
                    }
                    Ok::<(), StoreError>(())
                })
            })
            .collect();
        let watcher = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut seen = 0;
                while seen < 400 {
                    let rows = store.read(|view| view.range(&NUMBERS, .., Order::Up, usize::MAX))?;
                    // Whoever has seen a number has seen all before it.
                    assert!(rows.iter().map(|(number, _)| *number).eq(1..=rows.len() as u64));
                    assert!(rows.is_sorted_by(|a, b| a.1 < b.1));
                    seen = rows.len();
                    tokio::task::yield_now().await;
                }
                Ok::<(), StoreError>(())
            })
        };
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        watcher.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_is_numbered_at_the_commit_is_in_the_order_that_was_asked_for() {
        static LATE: Counter<()> = Counter::new(0x71, "late");
        let store = Store::memory();
        let numbered = store.transact(|tx| {
            for key in 1..=4 {
                tx.at_commit(&NUMBERS, &key, move |stamp| {
                    let number = stamp.next(&LATE, &())?;
                    stamp.put(&NUMBERS, &key, &number)
                });
            }
            for ahead in [4, 2, 4] {
                tx.ahead_at_commit(&NUMBERS, &ahead);
            }
            Ok::<(), StoreError>(())
        });
        numbered.await.unwrap();
        let rows = store.read(|view| view.range(&NUMBERS, 1..=4, Order::Up, usize::MAX)).unwrap();
        assert_eq!(rows, [(1, 3), (2, 2), (3, 4), (4, 1)]);
    }

    #[tokio::test]
    async fn an_attempt_that_fails_leaves_nothing_and_the_transaction_goes_on() {
        let store = Store::memory();
        let raw = store
            .transact(|tx| {
                tx.put(&NUMBERS, &1, &10)?;
                tx.put(&NUMBERS, &2, &20)?;
                let failed = tx.attempt(|tx| {
                    tx.put(&NUMBERS, &1, &11)?;
                    tx.delete(&NUMBERS, &2);
                    tx.put(&NUMBERS, &3, &30)?;
                    let raw = tx.put_raw(b"forgotten".to_vec())?;
                    assert_eq!((tx.get(&NUMBERS, &1)?, tx.get(&NUMBERS, &2)?), (Some(11), None));
                    Err::<(), _>(StoreError::NoRaw(raw))
                });
                let Err(StoreError::NoRaw(raw)) = failed else { panic!("{failed:?}") };
                assert_eq!(tx.range(&NUMBERS, .., Order::Up, 9)?, [(1, 10), (2, 20)]);
                tx.attempt(|tx| tx.put(&NUMBERS, &4, &40))?;
                Ok::<_, StoreError>(raw)
            })
            .await
            .unwrap();
        let kept = store.read(|view| view.range(&NUMBERS, .., Order::Up, 9)).unwrap();
        assert_eq!(kept, [(1, 10), (2, 20), (4, 40)]);
        assert!(!store.read(|view| view.has_raw(raw)).unwrap());
    }
}
