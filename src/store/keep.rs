//! The store's upkeep beside its transactions: checkpoints and snapshots, a failed index, closing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::journal::Journal;
use super::snapshot::{self, Snapshot};
use super::{Shared, StoreError, marker, recover};

/// When the next snapshot is due.
#[derive(Default)]
pub(super) struct Upkeep {
    /// Held while a snapshot is written.
    writing: Mutex<()>,
    /// Octets that were appended to the journal when the last one was begun.
    begun_at: AtomicU64,
    /// Octets of the last one.
    size: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(last: Option<Snapshot>) -> Self {
        Self { size: AtomicU64::new(last.map_or(0, |snapshot| snapshot.size)), ..Self::default() }
    }
}

/// Makes the index durable and writes a table snapshot.
pub(super) fn checkpoint(shared: &Shared) -> Result<(), StoreError> {
    let _one = shared.upkeep.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let sync = shared.state().index()?.sync();
    sync()?;
    let snapshot = snapshot::write(&*shared.files, &mut |run| {
        if shared.budget.is_closed() {
            return Err(StoreError::Closed);
        }
        run(shared.state().index()?)
    })?;
    shared.upkeep.size.store(snapshot.size, Ordering::Relaxed);
    Ok(())
}

/// Begins a snapshot on a thread of its own if enough was appended since the last one: the larger
/// of the option and a fourth of the last one's size, so that a large store doesn't only copy itself.
pub(super) fn snapshot_if_due(shared: &Arc<Shared>, appended: u64) {
    let upkeep = &shared.upkeep;
    let every = shared.options.snapshot_every.max(upkeep.size.load(Ordering::Relaxed) / 4);
    if appended - upkeep.begun_at.load(Ordering::Relaxed) < every || upkeep.writing.try_lock().is_err() {
        return;
    }
    upkeep.begun_at.store(appended, Ordering::Relaxed);
    let shared = Arc::clone(shared);
    let work = move || match checkpoint(&shared) {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => tracing::warn!(%error, "no table snapshot was written; the last one stands"),
    };
    if let Err(error) = std::thread::Builder::new().name("store-snapshot".into()).spawn(work) {
        tracing::warn!(%error, "no table snapshot was begun");
    }
}

/// Notes on disk that the index is not whole, for the case that the process dies before it is again.
pub(super) fn distrust(shared: &Shared) {
    if let Err(error) = marker::set(&*shared.files, &shared.boot, marker::Index::Building) {
        tracing::warn!(%error, "a failed index could not be marked; if this process dies, run guichet rebuild");
    }
}

/// Builds an index again that was given up. Only the committer does this.
pub(super) fn revive(shared: &Shared) -> Result<(), StoreError> {
    if !shared.state().is_failed() {
        return Ok(());
    }
    // A checkpoint may still have the old index in hand.
    let _one = shared.upkeep.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let recovered = recover::rebuild(&shared.files, &*shared.engine, &shared.boot).map_err(StoreError::from)?;
    let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
    state.index = Ok(recovered.index);
    tracing::info!("the index was built again");
    Ok(())
}

/// Closes in order: a durable index, a trimmed journal, no marker.
///
/// Readers find the store closed, whatever the outcome.
pub(super) fn close(shared: &Shared, journal: &mut Journal) -> Result<(), StoreError> {
    let _one = shared.upkeep.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let index = {
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut state.index, Err(StoreError::Closed))
    };
    let synced = index.and_then(|index| Ok(index.sync()()?));
    journal.trim()?;
    synced?;
    marker::clear(&*shared.files)?;
    Ok(())
}
