//! The whole index, as layers: the last table snapshot, and above it what changed since.
//!
//! What changed is in a *generation*, an index of the engine's. When a snapshot is due, the
//! generation is frozen and another one takes what comes; the snapshot is written from the last one
//! and the frozen generation, which nobody changes any more, takes its place, and the generation is
//! deleted. So the engine never holds more than what came since the last snapshot but one, and
//! opening it, or building it again, takes that long at most.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::base::Base;
use super::index::{Engine, Index, IndexError, Order, Span, Syncer, Write};
use super::journal::Position;
use super::table::NOTES;
use merged::{FIRST_CHUNK, MOST_CHUNK, Merged};

mod merged;

/// Under which key a generation says where it begins.
const SINCE: [u8; 2] = [NOTES, 1];

/// What a generation holds for a key: a value, or that it is deleted below.
const VALUE: u8 = 1;
const DELETED: [u8; 1] = [0];

/// All layers.
pub(super) struct Layers {
    base: Option<Arc<Base>>,
    frozen: Option<Generation<Arc<dyn Index>>>,
    active: Generation<Box<dyn Index>>,
    position: Position,
    /// Whether something could not be read.
    failed: AtomicBool,
}

/// An index of the changes since a position.
#[derive(Clone)]
struct Generation<I> {
    number: u64,
    since: Position,
    index: I,
}

/// The layers that a snapshot is made of. Nothing changes them.
pub(super) struct Frozen {
    base: Option<Arc<Base>>,
    index: Arc<dyn Index>,
    number: u64,
    /// They hold all of the journal up to here.
    pub(super) end: Position,
}

impl Layers {
    /// The layers as a process left them, or a first generation above the snapshot. Deletes
    /// generations that are in the snapshot.
    pub(super) fn open(engine: &dyn Engine, base: Option<Base>) -> Result<Self, IndexError> {
        let start = base.as_ref().map_or(Position::default(), |base| base.start);
        let mut generations = Vec::new();
        for number in engine.generations()? {
            let index = engine.open(number)?;
            match index.get(&SINCE)?.map(|bytes| Position::decode(&bytes)) {
                Some(None) => return Err(IndexError("a generation's beginning is unreadable".into())),
                Some(Some(since)) if since >= start => generations.push(Generation { number, since, index }),
                // It is in the snapshot; or it was being made, and nothing is in it.
                Some(Some(_)) | None => {
                    drop(index);
                    engine.delete(number)?;
                }
            }
        }
        if generations.first().is_some_and(|first| first.since != start) {
            return Err(IndexError("the snapshot below it is not there".into()));
        }
        let last = generations.iter().map(|generation| generation.number).max().unwrap_or(0);
        let mut generations = generations.into_iter();
        let layers = |frozen, active: Generation<Box<dyn Index>>| {
            let position = active.index.position();
            Self { base: base.map(Arc::new), frozen, active, position, failed: AtomicBool::new(false) }
        };
        let Some(first) = generations.next() else {
            return Ok(layers(None, begin(engine, last + 1, start)?));
        };
        match (generations.next(), generations.next()) {
            (None, _) => Ok(layers(None, first)),
            (Some(active), None) => {
                let mut active = active;
                let reached = first.index.position();
                if reached < active.since {
                    // A process that was killed may not have written the end of a frozen generation.
                    // The journal is replayed from there into the later one, which has it all then.
                    note_since(&mut *active.index, reached)?;
                    active.since = reached;
                }
                let frozen = Generation { number: first.number, since: first.since, index: Arc::from(first.index) };
                Ok(layers(Some(frozen), active))
            }
            (Some(_), Some(_)) => Err(IndexError("it has too many generations".into())),
        }
    }

    /// Whether something could not be read: then they are to be built again.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Has them built again: something in them can't be read.
    pub(super) fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Which number the next generation has.
    pub(super) fn next_number(&self) -> u64 {
        self.active.number + 1
    }

    /// Whether a snapshot was begun and not completed.
    pub(super) fn has_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Has a fresh generation take what comes from now on, unless one is frozen already.
    pub(super) fn freeze(&mut self, number: u64, mut fresh: Box<dyn Index>) -> Result<(), IndexError> {
        if self.frozen.is_none() {
            note_since(&mut *fresh, self.position)?;
            let fresh = Generation { number, since: self.position, index: fresh };
            let Generation { number, since, index } = std::mem::replace(&mut self.active, fresh);
            self.frozen = Some(Generation { number, since, index: Arc::from(index) });
        }
        Ok(())
    }

    /// What the next snapshot is made of; `None` while nothing is frozen.
    pub(super) fn frozen(&self) -> Option<Frozen> {
        let frozen = self.frozen.as_ref()?;
        Some(Frozen {
            base: self.base.clone(),
            index: Arc::clone(&frozen.index),
            number: frozen.number,
            end: self.active.since,
        })
    }

    /// Takes a snapshot of what is frozen in its place. The frozen generation can be deleted then.
    pub(super) fn adopt(&mut self, base: Base) {
        self.frozen = None;
        self.base = Some(Arc::new(base));
    }

    /// The layers below the active generation, newest first.
    fn below(&self) -> impl Iterator<Item = Layer<'_>> {
        let frozen = self.frozen.iter().map(|frozen| Layer::Recent(&*frozen.index));
        frozen.chain(self.base.iter().map(|base| Layer::Base(base)))
    }

    fn layers(&self) -> impl Iterator<Item = Layer<'_>> {
        std::iter::once(Layer::Recent(&*self.active.index)).chain(self.below())
    }
}

impl Index for Layers {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        get(self.layers(), key).inspect_err(|_| self.give_up())
    }

    fn range(&self, span: &Span, order: Order, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), IndexError> {
        let mut merged = Merged::new(self.layers(), span, order, FIRST_CHUNK);
        let mut next = || merged.show(|key, value| visit(key, value)).inspect_err(|_| self.give_up());
        while next()? == Some(true) {}
        Ok(())
    }

    fn apply(&mut self, writes: Vec<Write>, position: Position) -> Result<(), IndexError> {
        let mut marked = Vec::with_capacity(writes.len());
        for (key, value) in writes {
            let value = match value {
                Some(mut value) => {
                    value.insert(0, VALUE);
                    Some(value)
                }
                // Only what is below needs a mark: a queue's keys that come and go leave none.
                None => get(self.below(), &key)?.map(|_| DELETED.to_vec()),
            };
            marked.push((key, value));
        }
        self.active.index.apply(marked, position)?;
        self.position = position;
        Ok(())
    }

    fn sync(&self) -> Syncer {
        let active = self.active.index.sync();
        let frozen = self.frozen.as_ref().map(|frozen| frozen.index.sync());
        Box::new(move || {
            active()?;
            frozen.map_or(Ok(()), |sync| sync())
        })
    }

    fn position(&self) -> Position {
        self.position
    }
}

impl Frozen {
    /// Everything in it, in order of keys.
    pub(super) fn pairs(&self) -> Merged<'_> {
        let base = self.base.as_deref().map(Layer::Base);
        let layers = std::iter::once(Layer::Recent(&*self.index)).chain(base);
        Merged::new(layers, &(Bound::Excluded(vec![NOTES, 0xff]), Bound::Unbounded), Order::Up, MOST_CHUNK)
    }

    /// Lets go of it, to have its generation deleted: the number.
    pub(super) fn into_number(self) -> u64 {
        self.number
    }
}

fn begin(engine: &dyn Engine, number: u64, since: Position) -> Result<Generation<Box<dyn Index>>, IndexError> {
    let mut index = engine.open(number)?;
    note_since(&mut *index, since)?;
    Ok(Generation { number, since, index })
}

fn note_since(index: &mut dyn Index, since: Position) -> Result<(), IndexError> {
    index.apply(vec![(SINCE.to_vec(), Some(since.encode().to_vec()))], since)
}

/// What a layer has for a key.
enum Held {
    Value(Vec<u8>),
    /// A lower layer may have a value; it doesn't count.
    Deleted,
}

/// Sees a key with its value, `None` where it is deleted, and answers whether to go on.
type Visit<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> bool;

/// One layer to read.
#[derive(Clone, Copy)]
enum Layer<'a> {
    Base(&'a Base),
    Recent(&'a dyn Index),
}

impl Layer<'_> {
    /// What the layer says of a key, if it says anything.
    fn get(self, key: &[u8]) -> Result<Option<Held>, IndexError> {
        Ok(match self {
            Self::Base(base) => base.get(key)?.map(Held::Value),
            Self::Recent(index) => index.get(key)?.map(|value| match unmark(&value) {
                Some(value) => Held::Value(value.to_vec()),
                None => Held::Deleted,
            }),
        })
    }

    fn range(self, span: &Span, order: Order, visit: Visit<'_>) -> Result<(), IndexError> {
        match self {
            Self::Base(base) => base.range(span, order, &mut |key, value| visit(key, Some(value))),
            Self::Recent(index) => index.range(span, order, &mut |key, value| visit(key, unmark(value))),
        }
    }
}

fn unmark(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(&[VALUE])
}

/// The value of a key in layers, newest first.
fn get<'a>(layers: impl Iterator<Item = Layer<'a>>, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
    for layer in layers {
        match layer.get(key)? {
            Some(Held::Value(value)) => return Ok(Some(value)),
            Some(Held::Deleted) => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::{Mutex, MutexGuard};

    use super::merged::MOST_OCTETS;
    use super::*;
    use crate::store::files::MemoryFiles;
    use crate::store::index::MemoryIndex;
    use crate::store::snapshot;

    /// An engine whose indexes outlive their closing.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<BTreeMap<u64, MemoryIndex>>>);

    struct OnShelf(Shelf, u64);

    impl Shelf {
        fn all(&self) -> MutexGuard<'_, BTreeMap<u64, MemoryIndex>> {
            self.0.lock().unwrap()
        }
    }

    impl Engine for Shelf {
        fn generations(&self) -> io::Result<Vec<u64>> {
            Ok(self.all().keys().copied().collect())
        }

        fn open(&self, number: u64) -> Result<Box<dyn Index>, IndexError> {
            self.all().entry(number).or_default();
            Ok(Box::new(OnShelf(self.clone(), number)))
        }

        fn delete(&self, number: u64) -> io::Result<()> {
            self.all().remove(&number);
            Ok(())
        }

        fn delete_all(&self) -> io::Result<()> {
            self.all().clear();
            Ok(())
        }
    }

    impl Index for OnShelf {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
            self.0.all()[&self.1].get(key)
        }

        fn range(
            &self,
            span: &Span,
            order: Order,
            visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
        ) -> Result<(), IndexError> {
            self.0.all()[&self.1].range(span, order, visit)
        }

        fn apply(&mut self, writes: Vec<Write>, position: Position) -> Result<(), IndexError> {
            self.0.all().get_mut(&self.1).unwrap().apply(writes, position)
        }

        fn sync(&self) -> Syncer {
            Box::new(|| Ok(()))
        }

        fn position(&self) -> Position {
            self.0.all()[&self.1].position()
        }
    }

    /// Layers, what should be in them, and everything that was ever done to them.
    struct Desk {
        engine: Shelf,
        files: MemoryFiles,
        layers: Layers,
        model: BTreeMap<Vec<u8>, Vec<u8>>,
        journal: Vec<Vec<Write>>,
    }

    fn position(version: u64) -> Position {
        Position { segment: 1, offset: 64 + version, version }
    }

    impl Desk {
        fn new() -> Self {
            let engine = Shelf::default();
            let layers = Layers::open(&engine, None).unwrap();
            let (files, model, journal) = (MemoryFiles::default(), BTreeMap::new(), Vec::new());
            Self { engine, files, layers, model, journal }
        }

        /// The step that a number stands for: some keys are written, and some deleted.
        fn step(&mut self, n: u64) {
            let key = |n: u64| vec![0x20, u8::try_from(n % 40).unwrap()];
            let writes: Vec<Write> = vec![
                (key(n), Some(n.to_be_bytes().to_vec())),
                (key(n * 7 + 3), None),
                (key(n * 11 + 5), (!n.is_multiple_of(3)).then(|| vec![1; 3])),
            ];
            for (key, value) in &writes {
                match value {
                    Some(value) => self.model.insert(key.clone(), value.clone()),
                    None => self.model.remove(key),
                };
            }
            self.journal.push(writes.clone());
            self.layers.apply(writes, position(self.journal.len() as u64)).unwrap();
        }

        fn freeze(&mut self) {
            let number = self.layers.next_number();
            self.layers.freeze(number, self.engine.open(number).unwrap()).unwrap();
        }

        fn write_snapshot(&self) -> Position {
            let frozen = self.layers.frozen().unwrap();
            let mut pairs = frozen.pairs();
            snapshot::write(&self.files, frozen.end, &mut || Ok(pairs.next()?)).unwrap();
            frozen.end
        }

        /// As after the process died: opened again, with the journal replayed.
        fn restart(&mut self) -> Position {
            let base = snapshot::newest(&self.files).unwrap();
            self.layers = Layers::open(&self.engine, base).unwrap();
            let from = self.layers.position();
            for version in from.version..self.journal.len() as u64 {
                let writes = self.journal[usize::try_from(version).unwrap()].clone();
                self.layers.apply(writes, position(version + 1)).unwrap();
            }
            from
        }

        fn check(&self, when: &str) {
            for n in 0..41 {
                let key = vec![0x20, n];
                assert_eq!(self.layers.get(&key).unwrap().as_ref(), self.model.get(&key), "{when}, key {n}");
            }
            for (from, to) in [(0, 255), (3, 30), (7, 7), (8, 9)] {
                let span = (Bound::Included(vec![0x20, from]), Bound::Excluded(vec![0x20, to]));
                let inside = |pair: &(&Vec<u8>, &Vec<u8>)| pair.0[1] >= from && pair.0[1] < to;
                let mut expected: Vec<_> =
                    self.model.iter().filter(inside).map(|(k, v)| (k.clone(), v.clone())).collect();
                for order in [Order::Up, Order::Down] {
                    let mut found = Vec::new();
                    self.layers
                        .range(&span, order, &mut |key, value| {
                            found.push((key.to_vec(), value.to_vec()));
                            true
                        })
                        .unwrap();
                    assert_eq!(found, expected, "{when}, {from} to {to}, {order:?}");
                    expected.reverse();
                }
            }
        }
    }

    #[test]
    fn layers_are_one_index_before_while_and_after_a_snapshot_is_written() {
        let mut desk = Desk::new();
        for round in 0..6u64 {
            for n in 0..15 {
                desk.step(round * 100 + n);
                desk.check("one generation");
            }
            desk.freeze();
            for n in 15..30 {
                desk.step(round * 100 + n);
                desk.check("two generations");
            }
            let start = desk.write_snapshot();
            if round % 2 == 0 {
                desk.layers.adopt(Base::open(&desk.files, start).unwrap().unwrap());
                desk.check("a new snapshot");
            }
            // In odd rounds the process dies before it takes the snapshot that is written.
            desk.restart();
            desk.check("opened again");
            assert_eq!(desk.engine.all().len(), 1, "what the snapshot has is deleted");
        }
    }

    #[test]
    fn reading_all_of_it_holds_few_octets_however_large_the_values_are() {
        const LARGE: usize = 100 * 1024;
        let mut desk = Desk::new();
        let writes: Vec<Write> = (0..100).map(|n| (vec![0x20, n], Some(vec![n; LARGE]))).collect();
        desk.layers.apply(writes, position(1)).unwrap();
        desk.freeze();
        let frozen = desk.layers.frozen().unwrap();
        let mut pairs = frozen.pairs();
        for n in 0..100 {
            assert_eq!(pairs.next().unwrap().unwrap(), (vec![0x20, n], vec![n; LARGE]));
            let held: usize = pairs.cursors.iter().map(|cursor| cursor.bytes.len()).sum();
            assert!(held < MOST_OCTETS + LARGE, "{held} octets after {n}");
        }
        assert!(pairs.next().unwrap().is_none());
    }

    #[test]
    fn a_frozen_generation_that_lost_its_end_is_caught_up() {
        for lost_later_one in [false, true] {
            let mut desk = Desk::new();
            (0..10).for_each(|n| desk.step(n));
            let early = desk.engine.all()[&1].clone();
            (10..20).for_each(|n| desk.step(n));
            desk.freeze();
            (20..30).for_each(|n| desk.step(n));
            // The process dies; of the first generation less was written than of the second.
            desk.engine.all().insert(1, early);
            if lost_later_one {
                desk.engine.all().insert(2, MemoryIndex::default());
            }
            assert_eq!(desk.restart(), position(10));
            desk.check("caught up");
            // And again, now with nothing to catch up.
            if lost_later_one {
                desk.freeze();
                desk.write_snapshot();
            } else {
                assert_eq!(desk.restart(), position(30));
                desk.check("opened twice");
                let start = desk.write_snapshot();
                assert_eq!(start, position(10), "the frozen one ends where it lost the rest");
            }
            desk.restart();
            desk.check("above the snapshot");
            // Another boot: the snapshot and the journal are all there is.
            desk.engine.delete_all().unwrap();
            desk.restart();
            desk.check("built again");
        }
    }

    #[test]
    fn a_generation_without_its_snapshot_is_refused() {
        let mut desk = Desk::new();
        (0..10).for_each(|n| desk.step(n));
        desk.freeze();
        let start = desk.write_snapshot();
        desk.layers.adopt(Base::open(&desk.files, start).unwrap().unwrap());
        desk.engine.delete(1).unwrap();
        snapshot::remove_all(&desk.files).unwrap();
        assert!(Layers::open(&desk.engine, None).is_err());
    }
}
