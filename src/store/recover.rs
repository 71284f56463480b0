//! Opening: whether the index may be trusted, and building it again where not.

use std::sync::Arc;

use super::error::{OpenError, StoreError};
use super::files::Files;
use super::index::{Engine, Index, IndexError, Write};
use super::journal::{Chain, Group, Position, Tail, replay};
use super::marker::{self, Left};
use super::snapshot;

/// An index that holds all of the journal.
pub(super) struct Recovered {
    pub(super) index: Box<dyn Index>,
    pub(super) chain: Chain,
    pub(super) tail: Tail,
    /// Octets of the newest snapshot, and where it starts.
    pub(super) snapshot: Option<snapshot::Snapshot>,
}

/// Opens the index that is there if it can be trusted, and else builds it again.
///
/// Sets the unclean marker before it touches the index.
pub(super) fn open(files: &Arc<dyn Files>, engine: &dyn Engine, boot: &str) -> Result<Recovered, OpenError> {
    let left = marker::read(&**files, boot)?;
    if left != Left::Suspect && engine.exists() {
        marker::set(&**files, boot, marker::Index::Whole)?;
        match trusted(&**files, engine) {
            Ok(recovered) => return Ok(recovered),
            Err(Distrust::Index(why)) => tracing::warn!(%why, "the index can't be used and is built again"),
            Err(Distrust::Store(error)) => return Err(error.into()),
        }
    } else if engine.exists() {
        tracing::warn!("the machine stopped without closing the store; its index is built again");
    }
    rebuild(files, engine, boot)
}

/// Why an index is not used.
enum Distrust {
    Index(String),
    /// The journal itself is unreadable; another index won't help.
    Store(StoreError),
}

impl From<IndexError> for Distrust {
    fn from(error: IndexError) -> Self {
        Self::Index(error.to_string())
    }
}

impl From<StoreError> for Distrust {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Index(error) => error.into(),
            other => Self::Store(other),
        }
    }
}

fn trusted(files: &dyn Files, engine: &dyn Engine) -> Result<Recovered, Distrust> {
    let chain = Chain::open(files)?;
    let mut index = engine.open()?;
    let position = index.position();
    if !chain.holds(files, position)? {
        return Err(Distrust::Index("it knows more than the journal".into()));
    }
    let tail = catch_up(files, &chain, position, index.as_mut())?;
    Ok(Recovered { index, chain, tail, snapshot: None })
}

/// Deletes the index and builds it from the newest whole snapshot and the journal behind it.
pub(super) fn rebuild(files: &Arc<dyn Files>, engine: &dyn Engine, boot: &str) -> Result<Recovered, OpenError> {
    let files = &**files;
    let chain = Chain::open(files)?;
    marker::set(files, boot, marker::Index::Building)?;
    let (mut index, found) = from_snapshot(files, engine, &chain)?;
    let start = found.map_or(Position::default(), |snapshot| snapshot.start);
    let tail = catch_up(files, &chain, start, index.as_mut())?;
    if let Some(snapshot) = found
        && snapshot.end > tail.end
    {
        // It was durable when the snapshot was complete, and now it isn't there.
        return Err(StoreError::Damaged { segment: tail.end.segment, offset: tail.end.offset }.into());
    }
    index.sync()().map_err(StoreError::from)?;
    marker::set(files, boot, marker::Index::Whole)?;
    Ok(Recovered { index, chain, tail, snapshot: found })
}

type Started = (Box<dyn Index>, Option<snapshot::Snapshot>);

/// A fresh index, filled from the newest snapshot that is whole.
fn from_snapshot(files: &dyn Files, engine: &dyn Engine, chain: &Chain) -> Result<Started, OpenError> {
    for start in snapshot::list(files)?.into_iter().rev() {
        if !chain.holds(files, start)? {
            continue;
        }
        engine.delete()?;
        let mut index = engine.open().map_err(StoreError::from)?;
        // Until the end its position is the journal's start: an index that is being built is never used.
        let read = snapshot::read(files, start, &mut |writes| Ok(index.apply(writes, Position::default())?))?;
        if let Some(snapshot) = read {
            return Ok((index, Some(snapshot)));
        }
        tracing::warn!(file = snapshot::name(start), "a table snapshot is damaged; an older one is taken");
    }
    engine.delete()?;
    Ok((engine.open().map_err(StoreError::from)?, None))
}

/// How many writes are gathered from the journal before they go to the index.
const GATHERED: usize = 3000;

fn catch_up(files: &dyn Files, chain: &Chain, from: Position, index: &mut dyn Index) -> Result<Tail, StoreError> {
    let mut writes: Vec<Write> = Vec::new();
    let mut last = from;
    let tail = replay(files, chain, from, &mut |group: Group, position| {
        writes.extend(group.writes);
        last = position;
        if writes.len() >= GATHERED {
            index.apply(std::mem::take(&mut writes), position)?;
        }
        Ok(())
    })?;
    if !writes.is_empty() || index.position() < last {
        index.apply(writes, last)?;
    }
    Ok(tail)
}
