//! What transactions read, and whether somebody wrote there since.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::index::{Span, as_slice, is_empty};

/// What one attempt of a transaction read.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) spans: Vec<Span>,
}

/// The last writes, each with the version that it made.
///
/// It forgets the oldest; a transaction that started before what is remembered counts as conflicting.
pub(super) struct Recent {
    last: BTreeMap<Vec<u8>, u64>,
    order: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    /// Writes up to this version may be forgotten.
    forgotten: u64,
}

/// How many bytes of keys are remembered, twice over.
const REMEMBERED: usize = 8 * 1024 * 1024;

/// What a remembered key costs besides its bytes.
const OVERHEAD: usize = 64;

impl Recent {
    pub(super) fn new(version: u64) -> Self {
        Self { last: BTreeMap::new(), order: VecDeque::new(), bytes: 0, forgotten: version }
    }

    /// Whether anything of `reads` was written after version `start`.
    pub(super) fn conflicts(&self, start: u64, reads: &Reads) -> bool {
        if start < self.forgotten {
            return true;
        }
        reads.keys.iter().any(|key| self.last.get(key).is_some_and(|version| *version > start))
            || reads.spans.iter().any(|span| self.written(start, span))
    }

    fn written(&self, start: u64, span: &Span) -> bool {
        !is_empty(span)
            && self
                .last
                .range::<[u8], (Bound<&[u8]>, Bound<&[u8]>)>((as_slice(&span.0), as_slice(&span.1)))
                .any(|(_, version)| *version > start)
    }

    pub(super) fn wrote(&mut self, version: u64, key: &[u8]) {
        self.last.insert(key.to_vec(), version);
        self.order.push_back((version, key.to_vec()));
        self.bytes += key.len() + OVERHEAD;
        while self.bytes > REMEMBERED {
            let Some((version, key)) = self.order.pop_front() else { break };
            self.bytes -= key.len() + OVERHEAD;
            if self.last.get(&key) == Some(&version) {
                self.last.remove(&key);
            }
            self.forgotten = self.forgotten.max(version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Reads {
        Reads { keys: vec![text.into()], spans: vec![] }
    }

    fn span(from: &str, to: &str) -> Reads {
        Reads { keys: vec![], spans: vec![(Bound::Included(from.into()), Bound::Excluded(to.into()))] }
    }

    #[test]
    fn a_later_write_to_what_was_read_conflicts() {
        let mut recent = Recent::new(10);
        recent.wrote(11, b"b");
        for (reads, start, conflicts) in [
            (key("b"), 10, true),
            (key("b"), 11, false),
            (key("a"), 10, false),
            (span("a", "c"), 10, true),
            (span("a", "b"), 10, false),
            (span("c", "a"), 10, false),
            (span("a", "c"), 11, false),
            (key("z"), 9, true),
        ] {
            assert_eq!(recent.conflicts(start, &reads), conflicts, "{:?} {:?} {start}", reads.keys, reads.spans);
        }
    }

    #[test]
    fn what_is_forgotten_conflicts() {
        let mut recent = Recent::new(0);
        let big = vec![b'x'; REMEMBERED / 2];
        recent.wrote(1, b"a");
        recent.wrote(2, &big);
        assert!(!recent.conflicts(1, &key("z")));
        recent.wrote(3, b"b");
        recent.wrote(4, &[b"y", &big[..]].concat());
        assert!(recent.conflicts(1, &key("z")));
        assert!(!recent.conflicts(4, &key("z")));
        assert!(recent.bytes <= REMEMBERED);
    }
}
