//! Several layers read as one, in order of keys: the newest that has a key says what it is.

use std::ops::{Bound, Range};

use super::Layer;
use crate::store::index::{IndexError, Order, Span};
use crate::store::transaction::Pair;

/// How many pairs are taken from a layer at a time: few at first, since most ranges are short.
pub(super) const FIRST_CHUNK: usize = 4;
pub(super) const MOST_CHUNK: usize = 256;
/// After so many octets no more are taken, however few pairs they are.
pub(super) const MOST_OCTETS: usize = 256 * 1024;

/// Layers as one, in order of keys.
pub(in crate::store) struct Merged<'a> {
    pub(super) cursors: Vec<Cursor<'a>>,
    order: Order,
}

impl<'a> Merged<'a> {
    pub(super) fn new(layers: impl Iterator<Item = Layer<'a>>, span: &Span, order: Order, chunk: usize) -> Self {
        let cursor = |layer| Cursor {
            layer,
            order,
            left: Some(span.clone()),
            chunk,
            bytes: Vec::new(),
            taken: Vec::new(),
            next: 0,
        };
        Self { cursors: layers.map(cursor).collect(), order }
    }

    pub(in crate::store) fn next(&mut self) -> Result<Option<Pair>, IndexError> {
        self.show(|key, value| (key.to_vec(), value.to_vec()))
    }

    /// Shows the next pair, if there is one.
    pub(super) fn show<T>(&mut self, mut see: impl FnMut(&[u8], &[u8]) -> T) -> Result<Option<T>, IndexError> {
        loop {
            // The newest layer that has the next key decides what it is.
            let mut next: Option<usize> = None;
            for n in 0..self.cursors.len() {
                self.cursors[n].fill()?;
                let Some(key) = self.cursors[n].key() else { continue };
                let earlier = match (next.and_then(|next| self.cursors[next].key()), self.order) {
                    (None, _) => true,
                    (Some(known), Order::Up) => key < known,
                    (Some(known), Order::Down) => key > known,
                };
                if earlier {
                    next = Some(n);
                }
            }
            let Some(next) = next else { return Ok(None) };
            let (newer, older) = self.cursors.split_at_mut(next + 1);
            let Some(cursor) = newer.last_mut() else { return Ok(None) };
            for other in older {
                if other.key() == cursor.key() {
                    other.next += 1;
                }
            }
            let seen = cursor.key().zip(cursor.value()).map(|(key, value)| see(key, value));
            cursor.next += 1;
            if seen.is_some() {
                return Ok(seen);
            }
        }
    }
}

/// One layer's pairs, taken in chunks.
pub(super) struct Cursor<'a> {
    layer: Layer<'a>,
    order: Order,
    /// What was not looked at; `None` at the end.
    left: Option<Span>,
    chunk: usize,
    /// What was taken, keys and values one behind the other.
    pub(super) bytes: Vec<u8>,
    taken: Vec<Taken>,
    /// Which of them is next.
    next: usize,
}

/// Where a pair is among the bytes.
struct Taken {
    key: Range<usize>,
    /// `None` where it is deleted.
    value: Option<Range<usize>>,
}

impl Cursor<'_> {
    fn key(&self) -> Option<&[u8]> {
        Some(&self.bytes[self.taken.get(self.next)?.key.clone()])
    }

    fn value(&self) -> Option<&[u8]> {
        Some(&self.bytes[self.taken.get(self.next)?.value.clone()?])
    }

    fn fill(&mut self) -> Result<(), IndexError> {
        if self.next < self.taken.len() {
            return Ok(());
        }
        let Some(span) = self.left.take() else { return Ok(()) };
        self.bytes.clear();
        self.taken.clear();
        self.next = 0;
        let (bytes, taken, chunk) = (&mut self.bytes, &mut self.taken, self.chunk);
        let mut full = false;
        self.layer.range(&span, self.order, &mut |key, value| {
            let mut take = |piece: &[u8]| {
                let start = bytes.len();
                bytes.extend_from_slice(piece);
                start..bytes.len()
            };
            taken.push(Taken { key: take(key), value: value.map(&mut take) });
            full = taken.len() >= chunk || bytes.len() >= MOST_OCTETS;
            !full
        })?;
        if full && let Some(last) = self.taken.last() {
            let last = Bound::Excluded(self.bytes[last.key.clone()].to_vec());
            self.left = Some(match self.order {
                Order::Up => (last, span.1),
                Order::Down => (span.0, last),
            });
        }
        self.chunk = (self.chunk * 4).min(MOST_CHUNK);
        Ok(())
    }
}
