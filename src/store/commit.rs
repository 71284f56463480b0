//! The committer: one thread that puts waiting transactions in order.

use std::sync::{PoisonError, Weak, mpsc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::conflict::Recent;
use super::journal::{Piece, Place, Position};
use super::transaction::{Attempt, raw_key};
use super::{Shared, StoreError};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    /// Somebody wrote what it read; to be run again.
    Conflict,
}

/// What the committer is asked for.
pub(super) enum Request {
    Commit(Commit),
}

/// One attempt that waits.
pub(super) struct Commit {
    pub(super) start: u64,
    pub(super) attempt: Attempt,
    pub(super) answer: oneshot::Sender<Result<Outcome, StoreError>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Serves until the last handle of the store is gone.
pub(super) fn run(shared: &Weak<Shared>, requests: &mpsc::Receiver<Request>) {
    let mut recent = Recent::new(0);
    let mut version = 0;
    while let Ok(Request::Commit(commit)) = requests.recv() {
        let Some(shared) = shared.upgrade() else { return };
        if recent.conflicts(commit.start, &commit.attempt.reads) {
            let _ = commit.answer.send(Ok(Outcome::Conflict));
            continue;
        }
        version += 1;
        let mut writes: Vec<_> = commit.attempt.writes.into_iter().collect();
        writes.extend(commit.attempt.counters.iter().map(|key| shared.counters.high_water(key)));
        for (id, bytes) in &commit.attempt.raws {
            let Ok(at) = shared.segments.append(bytes) else { continue };
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let piece = Piece { segment: 0, offset: at.offset, length, checksum: 0 };
            writes.push((raw_key(*id), Some(Place(vec![piece]).encode())));
        }
        for (key, _) in &writes {
            recent.wrote(version, key);
        }
        let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let applied = state.index.apply(writes, Position::default());
        state.version = version;
        drop(state);
        shared.changed.send_replace(version);
        let _ = commit.answer.send(applied.map(|()| Outcome::Committed).map_err(StoreError::from));
    }
}
