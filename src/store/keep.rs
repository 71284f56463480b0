//! The store's upkeep beside its transactions: snapshots, a failed index, closing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::base::Base;
use super::index::{Index as _, IndexError};
use super::journal::Journal;
use super::layers::Frozen;
use super::{Shared, StoreError, marker, recover, snapshot};

/// When the next snapshot is due.
#[derive(Default)]
pub(super) struct Upkeep {
    /// Held while a snapshot is written.
    writing: Mutex<()>,
    /// Octets of the journal behind the last one, when the store was opened.
    before: u64,
    /// Octets that were appended to the journal since, when the last one was begun.
    begun_at: AtomicU64,
    /// Octets of the last one.
    size: AtomicU64,
}

impl Upkeep {
    pub(super) fn new(size: u64, before: u64) -> Self {
        Self { size: AtomicU64::new(size), before, ..Self::default() }
    }

    fn is_due(&self, every: u64, appended: u64) -> bool {
        let begun_at = self.begun_at.load(Ordering::Relaxed);
        let grown = if begun_at == 0 { self.before + appended } else { appended - begun_at };
        grown >= every.max(self.size.load(Ordering::Relaxed) / 4)
    }
}

/// Writes a table snapshot, and has it take the place of what it was made of.
pub(super) fn checkpoint(shared: &Shared) -> Result<(), StoreError> {
    let _one = shared.upkeep.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let frozen = freeze(shared)?;
    let mut pairs = frozen.pairs();
    let written = snapshot::write(&*shared.files, frozen.end, &mut || {
        if shared.budget.is_closed() {
            return Err(StoreError::Closed);
        }
        Ok(pairs.next()?)
    });
    drop(pairs);
    if matches!(written, Err(StoreError::Index(_))) {
        shared.state().index()?.give_up();
    }
    written?;
    let base = Base::open(&*shared.files, frozen.end)?
        .ok_or_else(|| StoreError::Io("a table snapshot can't be read as it was written".into()))?;
    shared.upkeep.size.store(base.size, Ordering::Relaxed);
    shared.state.write().unwrap_or_else(PoisonError::into_inner).index_mut()?.adopt(base);
    shared.engine.delete(frozen.into_number())?;
    Ok(snapshot::remove_outdated(&*shared.files)?)
}

/// Has a fresh generation of the index take what comes, and answers what to make a snapshot of.
fn freeze(shared: &Shared) -> Result<Frozen, StoreError> {
    let number = {
        let state = shared.state();
        let layers = state.index()?;
        (!layers.has_frozen()).then(|| layers.next_number())
    };
    // Making a generation takes a moment, so nobody waits for that.
    let fresh = match number {
        None => None,
        Some(number) => {
            shared.engine.delete(number)?;
            Some((number, shared.engine.open(number)?))
        }
    };
    let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
    let layers = state.index_mut()?;
    if let Some((number, fresh)) = fresh {
        layers.freeze(number, fresh)?;
    }
    layers.frozen().ok_or(StoreError::Closed)
}

/// Begins a snapshot on a thread of its own if enough was appended since the last one: the larger
/// of the option and a fourth of the last one's size, so that a large store doesn't only copy itself.
pub(super) fn snapshot_if_due(shared: &Arc<Shared>, appended: u64) {
    let upkeep = &shared.upkeep;
    if !upkeep.is_due(shared.options.snapshot_every, appended) || upkeep.writing.try_lock().is_err() {
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
    // One that could not be read is still open.
    let unreadable = IndexError("it could not be read".into());
    shared.state.write().unwrap_or_else(PoisonError::into_inner).index = Err(unreadable.into());
    let recovered = recover::rebuild(&shared.files, &*shared.engine, &shared.boot, &shared.options.progress)
        .map_err(StoreError::from)?;
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
