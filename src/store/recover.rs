//! Opening: whether the index may be trusted, and building it again where not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::base::Base;
use super::error::{OpenError, StoreError};
use super::files::Files;
use super::index::{Engine, Index as _, IndexError};
use super::journal::{Chain, Group, Position, Tail, replay};
use super::layers::Layers;
use super::marker::{self, Left};
use super::progress::{Progress, Work};
use super::snapshot;

/// An index that holds all of the journal.
pub(super) struct Recovered {
    pub(super) index: Layers,
    pub(super) chain: Chain,
    pub(super) tail: Tail,
    pub(super) snapshot: Option<Found>,
}

/// The snapshot that the index stands on.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) start: Position,
    /// Octets of the file.
    pub(super) size: u64,
}

impl Found {
    fn of(base: &Base) -> Self {
        Self { start: base.start, size: base.size }
    }
}

/// Opens the index that is there if it can be trusted, and else builds it again.
///
/// Sets the unclean marker before it touches the index.
pub(super) fn open(
    files: &Arc<dyn Files>,
    engine: &dyn Engine,
    boot: &str,
    progress: &Progress,
) -> Result<Recovered, OpenError> {
    let left = marker::read(&**files, boot)?;
    let there = !engine.generations()?.is_empty();
    if left != Left::Suspect && there {
        marker::set(&**files, boot, marker::Index::Whole)?;
        match trusted(&**files, engine, progress) {
            Ok(recovered) => return Ok(recovered),
            Err(Distrust::Index(why)) => tracing::warn!(%why, "the index can't be used and is built again"),
            Err(Distrust::Store(error)) => return Err(error.into()),
        }
    } else if there {
        tracing::warn!("the machine stopped without closing the store; its index is built again");
    }
    rebuild(files, engine, boot, progress)
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

fn trusted(files: &dyn Files, engine: &dyn Engine, progress: &Progress) -> Result<Recovered, Distrust> {
    let chain = Chain::open(files)?;
    let base = snapshot::newest(files)?;
    let snapshot = base.as_ref().map(Found::of);
    let mut index = Layers::open(engine, base)?;
    let position = index.position();
    if !chain.holds(files, position)? {
        return Err(Distrust::Index("it knows more than the journal".into()));
    }
    progress.begin(Work::Reading, chain.size_from(files, position)?);
    let tail = catch_up(files, &chain, position, &mut index, progress)?;
    progress.end();
    Ok(Recovered { index, chain, tail, snapshot })
}

/// Deletes the index but for the newest whole snapshot, and builds it from that and the journal
/// behind it.
pub(super) fn rebuild(
    files: &Arc<dyn Files>,
    engine: &dyn Engine,
    boot: &str,
    progress: &Progress,
) -> Result<Recovered, OpenError> {
    let files = &**files;
    // How much there is to read is known behind the snapshot.
    progress.begin(Work::Rebuilding, 1);
    let chain = Chain::open(files)?;
    marker::set(files, boot, marker::Index::Building)?;
    engine.delete_all()?;
    let base = newest_whole(files, &chain, progress)?;
    let snapshot = base.as_ref().map(Found::of);
    let start = snapshot.map_or(Position::default(), |snapshot| snapshot.start);
    let mut index = Layers::open(engine, base).map_err(StoreError::from)?;
    progress.begin(Work::Rebuilding, chain.size_from(files, start)?);
    let tail = catch_up(files, &chain, start, &mut index, progress)?;
    progress.end();
    if start > tail.end {
        // As above: less can be read than was there.
        return Err(StoreError::Damaged { segment: tail.end.segment, offset: tail.end.offset }.into());
    }
    index.sync()().map_err(StoreError::from)?;
    marker::set(files, boot, marker::Index::Whole)?;
    Ok(Recovered { index, chain, tail, snapshot })
}

/// The newest snapshot of which every octet is right. Newer ones are removed: a later opening must
/// not take one of them for the one below its index.
fn newest_whole(files: &dyn Files, chain: &Chain, progress: &Progress) -> Result<Option<Base>, StoreError> {
    for start in snapshot::list(files)?.into_iter().rev() {
        let base = Base::open(files, start)?;
        if let Some(base) = base
            && base.check(progress)?
        {
            if !chain.holds(files, start)? {
                // The journal was durable up to there when the snapshot was begun.
                return Err(StoreError::Damaged { segment: start.segment, offset: start.offset });
            }
            return Ok(Some(base));
        }
        tracing::warn!(file = snapshot::name(start), "a table snapshot is damaged; an older one is taken");
        files.remove(&snapshot::name(start))?;
    }
    Ok(None)
}

/// How many keys are gathered from the journal before they go to the index, in order: a key that is
/// written again and again goes there once, and neighbours go to the same pages.
const GATHERED: usize = 20_000;

fn catch_up(
    files: &dyn Files,
    chain: &Chain,
    from: Position,
    index: &mut Layers,
    progress: &Progress,
) -> Result<Tail, StoreError> {
    let mut writes = BTreeMap::new();
    let mut last = from;
    let tail = replay(files, chain, from, &mut |group: Group, position| {
        writes.extend(group.writes);
        progress.read(chain.octets(last, position));
        last = position;
        if writes.len() >= GATHERED {
            index.apply(std::mem::take(&mut writes).into_iter().collect(), position)?;
        }
        Ok(())
    })?;
    if !writes.is_empty() || index.position() < last {
        index.apply(writes.into_iter().collect(), last)?;
    }
    Ok(tail)
}
