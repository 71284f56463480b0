//! The index: every key with its latest value, and how much of the journal is in it.
//!
//! The journal is the truth; an index can always be built again from it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

use super::journal::Position;

/// A key with what it becomes; `None` deletes it.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

/// A range of keys, as bytes.
pub type Span = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Why an index can't go on. Whatever it is, the index is given up and built again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the index failed: {0}")]
pub struct IndexError(pub String);

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// In which direction a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the lowest key on.
    Up,
    /// From the highest key on.
    Down,
}

/// An ordered map of bytes. One writer at a time, and no reader beside it.
pub trait Index: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Shows the span's keys and values in order until `visit` answers `false`.
    fn range(&self, span: &Span, order: Order, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), IndexError>;

    /// Makes the writes, in their order, and notes that the journal up to `position` is in. What a
    /// process that dies leaves behind is some prefix of the writes, with a position that is no
    /// later than them.
    fn apply(&mut self, writes: Vec<Write>, position: Position) -> Result<(), IndexError>;

    /// What makes everything applied so far survive the machine's death. To be run without holding
    /// up anybody.
    fn sync(&self) -> Syncer;

    /// How much of the journal is in.
    fn position(&self) -> Position;
}

/// Makes an index durable.
pub type Syncer = Box<dyn FnOnce() -> Result<(), IndexError> + Send>;

/// Where indexes come from. One store has one or two of them, called by numbers.
pub trait Engine: Send + Sync {
    /// The numbers of those from before, in order.
    fn generations(&self) -> io::Result<Vec<u64>>;

    /// Opens the one that is there, or a new one.
    fn open(&self, generation: u64) -> Result<Box<dyn Index>, IndexError>;

    /// Removes one if it is there. It must not be open.
    fn delete(&self, generation: u64) -> io::Result<()>;

    /// Removes whatever is there.
    fn delete_all(&self) -> io::Result<()>;
}

/// An engine that keeps its index in memory, and so builds it at each opening.
#[derive(Default)]
pub struct MemoryEngine;

impl Engine for MemoryEngine {
    fn generations(&self) -> io::Result<Vec<u64>> {
        Ok(Vec::new())
    }

    fn open(&self, _: u64) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(MemoryIndex::default()))
    }

    fn delete(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn delete_all(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The index of the memory engine.
#[derive(Clone, Default)]
pub struct MemoryIndex {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Position,
}

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.map.get(key).cloned())
    }

    fn range(&self, span: &Span, order: Order, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), IndexError> {
        if is_empty(span) {
            return Ok(());
        }
        let mut range = self.map.range::<[u8], _>((as_slice(&span.0), as_slice(&span.1)));
        while let Some((key, value)) = match order {
            Order::Up => range.next(),
            Order::Down => range.next_back(),
        } {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: Vec<Write>, position: Position) -> Result<(), IndexError> {
        for (key, value) in writes {
            match value {
                Some(value) => self.map.insert(key, value),
                None => self.map.remove(&key),
            };
        }
        self.position = position;
        Ok(())
    }

    fn sync(&self) -> Syncer {
        Box::new(|| Ok(()))
    }

    fn position(&self) -> Position {
        self.position
    }
}

/// Everything that starts with these bytes.
pub(super) fn starting_with(start: Vec<u8>) -> Span {
    let mut end = start.clone();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return (Bound::Included(start), Bound::Excluded(end));
        }
    }
    (Bound::Included(start), Bound::Unbounded)
}

/// Whether nothing can be in a span. `BTreeMap::range` panics on some of these.
pub(super) fn is_empty((from, to): &Span) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
    }
}

pub(super) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
