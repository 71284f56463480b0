//! The committer: one thread that puts waiting transactions in order, makes them durable a group at
//! a time, and shows them to readers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::conflict::Recent;
use super::index::{Index as _, Write};
use super::journal::{GroupWriter, Journal, LARGEST_BODY, Piece, Place};
use super::transaction::{Attempt, Stamped, raw_key};
use super::{Shared, StoreError, keep};
use crate::desk::id::RawId;

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
    Data(Data),
    /// Build the index again if it failed.
    Revive(oneshot::Sender<Result<(), StoreError>>),
    /// Say that it moves.
    Pulse(oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// One attempt that waits.
pub(super) struct Commit {
    /// The version that it saw.
    pub(super) start: u64,
    pub(super) attempt: Attempt,
    /// Where its large raw bytes were written.
    pub(super) streamed: Vec<(RawId, Place)>,
    pub(super) answer: oneshot::Sender<Result<Outcome, StoreError>>,
    /// Its share of what may wait.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A part of raw bytes to be written ahead of its transaction.
pub(super) struct Data {
    pub(super) bytes: Arc<[u8]>,
    pub(super) part: std::ops::Range<usize>,
    pub(super) answer: oneshot::Sender<Result<Piece, StoreError>>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// A group is written once it has this many octets, or this many transactions.
const GROUP_OCTETS: usize = 4 * 1024 * 1024;
const GROUP_COUNT: usize = 1024;

/// The largest transaction. A group with one of these on top still is a record that can be read.
pub(super) const LARGEST: usize = LARGEST_BODY / 2;

pub(super) struct Committer {
    shared: Arc<Shared>,
    journal: Journal,
    recent: Recent,
    /// Of the last transaction that was put in order, made or refused.
    version: u64,
    /// Keeps other processes out as long as it is open.
    _lock: Option<std::fs::File>,
}

/// The transactions of one group that stand.
struct Gathered {
    group: GroupWriter,
    writes: Vec<Write>,
    answers: Vec<oneshot::Sender<Result<Outcome, StoreError>>>,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal, lock: Option<std::fs::File>) -> Self {
        let version = journal.end().version;
        Self { shared, journal, recent: Recent::new(version), version, _lock: lock }
    }

    /// Serves until it is asked to close, or the last handle of the store is gone.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        let close = self.serve(requests);
        self.shared.budget.close();
        let outcome = keep::close(&self.shared, &mut self.journal);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "the store was not closed in order; its next start checks it");
        }
        drop(self);
        if let Some(answer) = close {
            let _ = answer.send(outcome);
        }
    }

    fn serve(&mut self, requests: &mpsc::Receiver<Request>) -> Option<oneshot::Sender<Result<(), StoreError>>> {
        while let Ok(first) = requests.recv() {
            let mut gathered =
                Gathered { group: GroupWriter::new(), writes: Vec::new(), answers: Vec::new(), permits: Vec::new() };
            let mut close = None;
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Commit(commit) => self.gather(commit, &mut gathered),
                    Request::Data(data) => {
                        let outcome = self.journal.append_data(&data.bytes[data.part]);
                        let _ = data.answer.send(outcome);
                    }
                    Request::Revive(answer) => {
                        let _ = answer.send(self.ready());
                        self.shared.mending.store(false, Ordering::Relaxed);
                    }
                    Request::Pulse(answer) => {
                        let _ = answer.send(());
                    }
                    Request::Close(answer) => close = Some(answer),
                }
                let full = gathered.group.len() >= GROUP_OCTETS || gathered.answers.len() >= GROUP_COUNT;
                next = if full || close.is_some() { None } else { requests.try_recv().ok() };
            }
            if !gathered.answers.is_empty() {
                self.commit(gathered);
                keep::snapshot_if_due(&self.shared, self.journal.appended());
            }
            if close.is_some() {
                return close;
            }
        }
        None
    }

    /// Adds an attempt to the group, unless somebody wrote what it read.
    fn gather(&mut self, commit: Commit, gathered: &mut Gathered) {
        if self.recent.conflicts(commit.start, &commit.attempt.reads) {
            let _ = commit.answer.send(Ok(Outcome::Conflict));
            return;
        }
        let pieces = || commit.streamed.iter().flat_map(|(_, place)| &place.0);
        if pieces().any(|piece| !self.journal.keeps(piece)) {
            let lost = StoreError::Io("a write before it failed".into());
            let _ = commit.answer.send(Err(lost));
            return;
        }
        let late = match self.stamped(&commit.attempt) {
            Ok(late) => late,
            Err(error) => {
                let _ = commit.answer.send(Err(error));
                return;
            }
        };
        self.version += 1;
        let first = gathered.writes.len();
        gathered.writes.extend(commit.attempt.writes);
        gathered.writes.extend(commit.attempt.counters.iter().map(|key| self.shared.counters.high_water(key)));
        gathered.writes.extend(late);
        for write in &gathered.writes[first..] {
            gathered.group.write(write);
            self.recent.wrote(self.version, &write.0);
        }
        for (id, bytes) in &commit.attempt.raws {
            match commit.streamed.iter().find(|(streamed, _)| streamed == id) {
                None => gathered.group.inline(*id, bytes),
                Some((_, place)) => {
                    gathered.group.streamed(*id, place);
                    gathered.writes.push((raw_key(*id), Some(place.encode())));
                }
            }
            self.recent.wrote(self.version, &raw_key(*id));
        }
        gathered.answers.push(commit.answer);
        gathered.permits.push(commit.permit);
    }

    /// What an attempt writes now that it is the next in order.
    fn stamped(&self, attempt: &Attempt) -> Result<Vec<Write>, StoreError> {
        if attempt.late.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.shared.state();
        let mut stamped = Stamped::new(self.version + 1, state.index()?, &self.shared.counters);
        for write in &attempt.late {
            write(&mut stamped)?;
        }
        let Stamped { taken, mut writes, .. } = stamped;
        writes.extend(taken.iter().map(|key| self.shared.counters.high_water(key)));
        Ok(writes)
    }

    /// Makes a group durable, then visible, and answers everybody in it.
    fn commit(&mut self, gathered: Gathered) {
        let Gathered { mut group, writes, answers, permits } = gathered;
        let outcome = self.write(&mut group, writes);
        drop(permits);
        if outcome.is_ok() {
            self.shared.changed.send_replace(self.version);
        }
        for answer in answers {
            // Whoever no longer waits doesn't mind.
            let _ = answer.send(outcome.clone().map(|()| Outcome::Committed));
        }
    }

    fn write(&mut self, group: &mut GroupWriter, mut writes: Vec<Write>) -> Result<(), StoreError> {
        let written = self.ready().and_then(|()| self.journal.append_group(group.body(self.version), self.version));
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        // Also after a failure: what was refused must not look like a conflict for ever.
        state.version = self.version;
        let at = written?;
        writes.extend(group.places(at.segment, at.offset));
        if let Ok(index) = &mut state.index
            && let Err(error) = index.apply(writes, self.journal.end())
        {
            // The group is durable, so its transactions stand. The next one has the index built again.
            tracing::error!(%error, "the index is given up");
            state.index = Err(error.into());
            keep::distrust(&self.shared);
        }
        Ok(())
    }

    /// Whether a group may be written: there is room, and an index to show it.
    fn ready(&mut self) -> Result<(), StoreError> {
        if self.shared.files.free()? < self.shared.options.keep_free {
            return Err(StoreError::Full);
        }
        keep::revive(&self.shared)
    }
}
