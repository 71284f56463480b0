//! Table snapshots: all tables at one moment in one sorted file. The index is the last of them with
//! what changed since; so opening needs no more of the journal than that.
//!
//! This file writes them; [`Base`] reads them. `docs/store.md` has the format.

use std::io;

use super::StoreError;
use super::base::{BLOCK, Base, FOOTER, HEAD, HEADER, Pairs, checksum, encode_footer, encode_header, put};
use super::files::{File, Files};
use super::journal::Position;
use super::transaction::Pair;

/// The directory of the snapshots.
pub(super) const DIR: &str = "snapshots";
const NEW: &str = "snapshots/new";
/// How many snapshots are kept: the older one is for the case that the newer one is damaged.
const KEPT: usize = 2;
/// Octets that are written at a time.
const CHUNK: usize = 1024 * 1024;
/// After so many octets they are synced, so that the journal's syncs don't wait for all of them.
const SYNC_EVERY: u64 = 16 * 1024 * 1024;

/// Writes the snapshot of a position from its pairs in order of their keys. Durable when it returns.
pub(super) fn write(
    files: &dyn Files,
    start: Position,
    pairs: &mut dyn FnMut() -> Result<Option<Pair>, StoreError>,
) -> Result<(), StoreError> {
    files.create_dir(DIR)?;
    let mut out = Out { file: &*files.create(NEW)?, bytes: Vec::new(), written: 0, synced: 0 };
    out.bytes.extend_from_slice(&encode_header(start));
    debug_assert_eq!(out.bytes.len(), HEADER);
    // What the index of blocks will hold, in one piece.
    let mut firsts = Vec::new();
    let mut block = Vec::new();
    let mut count = 0;
    while let Some((key, value)) = pairs()? {
        if block.is_empty() {
            put(&mut firsts, &key, &out.at().to_be_bytes());
        }
        put(&mut block, &key, &value);
        count += 1;
        if block.len() >= BLOCK {
            out.block(&mut block)?;
        }
    }
    out.block(&mut block)?;
    let end = out.at();
    for (first, offset) in Pairs(&firsts) {
        put(&mut block, first, offset);
        if block.len() >= BLOCK {
            out.block(&mut block)?;
        }
    }
    out.block(&mut block)?;
    let footer: [u8; FOOTER] = encode_footer(end, count);
    out.bytes.extend_from_slice(&footer);
    out.flush()?;
    out.file.sync()?;
    files.rename(NEW, &name(start))?;
    Ok(files.sync_dir(DIR)?)
}

/// A file that is written from its beginning to its end.
struct Out<'a> {
    file: &'a dyn File,
    bytes: Vec<u8>,
    written: u64,
    synced: u64,
}

impl Out<'_> {
    fn at(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    /// Writes a block unless it is empty, and empties it.
    fn block(&mut self, block: &mut Vec<u8>) -> Result<(), StoreError> {
        if block.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(block.len()).map_err(|_| StoreError::TooLarge(block.len()))?;
        let sum = checksum(self.at(), block);
        self.bytes.reserve(HEAD + block.len());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&sum.to_be_bytes());
        self.bytes.append(block);
        if self.bytes.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.bytes, self.written)?;
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        if self.written - self.synced >= SYNC_EVERY {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

/// Where the snapshots that are there start, in order.
pub(super) fn list(files: &dyn Files) -> io::Result<Vec<Position>> {
    let mut found: Vec<_> = files.list(DIR)?.iter().filter_map(|name| parse(name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The newest snapshot, if it opens.
pub(super) fn newest(files: &dyn Files) -> Result<Option<Base>, StoreError> {
    match list(files)?.last() {
        Some(start) => Base::open(files, *start),
        None => Ok(None),
    }
}

/// Removes all snapshots but the last two.
pub(super) fn remove_outdated(files: &dyn Files) -> io::Result<()> {
    for start in list(files)?.into_iter().rev().skip(KEPT) {
        files.remove(&name(start))?;
    }
    Ok(())
}

/// Removes all snapshots.
pub(super) fn remove_all(files: &dyn Files) -> io::Result<()> {
    for start in list(files)? {
        files.remove(&name(start))?;
    }
    files.create_dir(DIR)?;
    files.sync_dir(DIR)
}

/// The name of a snapshot's file, with its directory.
pub(super) fn name(start: Position) -> String {
    format!("{DIR}/{:016x}-{:016x}-{:016x}", start.segment, start.offset, start.version)
}

fn parse(name: &str) -> Option<Position> {
    let mut numbers = name.split('-').map(|part| u64::from_str_radix(part, 16));
    let (Some(Ok(segment)), Some(Ok(offset)), Some(Ok(version)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    Some(Position { segment, offset, version })
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::store::files::MemoryFiles;
    use crate::store::index::Order;
    use crate::store::progress::Progress;

    const PAIRS: u32 = 5000;

    fn key(n: u32) -> Vec<u8> {
        [&[0x20][..], &n.to_be_bytes()].concat()
    }

    fn position(offset: u64) -> Position {
        Position { segment: 1, offset, version: 3 }
    }

    /// A snapshot of the even numbers.
    fn written(files: &MemoryFiles, start: Position) -> Base {
        let mut pairs = (0..PAIRS).map(|n| (key(2 * n), vec![7; 100]));
        write(files, start, &mut || Ok(pairs.next())).unwrap();
        Base::open(files, start).unwrap().unwrap()
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let base = written(&MemoryFiles::default(), position(64));
        assert!(base.check(&Progress::default()).unwrap());
        for n in 0..2 * PAIRS + 2 {
            let there = n % 2 == 0 && n < 2 * PAIRS;
            assert_eq!(base.get(&key(n)).unwrap(), there.then(|| vec![7; 100]), "{n}");
        }
        for below in [&[][..], &[0x1f], &[0x20]] {
            assert_eq!(base.get(below).unwrap(), None);
        }
    }

    #[test]
    fn ranges_are_in_order_both_ways() {
        let base = written(&MemoryFiles::default(), position(64));
        let all: Vec<_> = (0..PAIRS).map(|n| key(2 * n)).collect();
        for (from, to) in [
            (Bound::Unbounded, Bound::Unbounded),
            (Bound::Included(key(100)), Bound::Excluded(key(2000))),
            (Bound::Excluded(key(100)), Bound::Included(key(2000))),
            (Bound::Included(key(101)), Bound::Included(key(101))),
            (Bound::Excluded(key(2 * PAIRS)), Bound::Unbounded),
            (Bound::Unbounded, Bound::Excluded(vec![0x20])),
            (Bound::Included(vec![0x10]), Bound::Included(key(0))),
        ] {
            let span = (from, to);
            let inside = |key: &&Vec<u8>| std::ops::RangeBounds::contains(&span, *key);
            let mut expected: Vec<_> = all.iter().filter(inside).cloned().collect();
            for order in [Order::Up, Order::Down] {
                let mut found = Vec::new();
                base.range(&span, order, &mut |key, _| {
                    found.push(key.to_vec());
                    true
                })
                .unwrap();
                assert_eq!(found, expected, "{span:?} {order:?}");
                expected.reverse();
            }
        }
    }

    #[test]
    fn what_was_read_is_written_before_much_more_is_read() {
        let files = MemoryFiles::default();
        let value = vec![7; 1000];
        let (mut read, mut most) = (0_u64, 0);
        let mut pairs = (0..PAIRS).map(|n| (key(n), value.clone()));
        write(&files, position(64), &mut || {
            most = most.max(read.saturating_sub(files.open(NEW)?.size()?));
            read += value.len() as u64;
            Ok(pairs.next())
        })
        .unwrap();
        assert!(read > 4 * CHUNK as u64, "there is enough to write");
        assert!(most <= (CHUNK + BLOCK + value.len()) as u64, "{most} octets wait");
    }

    #[test]
    fn damage_anywhere_is_found() {
        let files = MemoryFiles::default();
        let base = written(&files, position(64));
        let whole =
            || Base::open(&files, position(64)).unwrap().is_some_and(|base| base.check(&Progress::default()).unwrap());
        let file = files.open(&name(position(64))).unwrap();
        for at in (0..base.size).step_by(997).chain([base.size - 1]) {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 0x10], at).unwrap();
            assert!(!whole(), "flipped at {at}");
            file.write_at(&byte, at).unwrap();
        }
        assert!(whole());
        for size in [base.size - 1, 30, 0] {
            file.set_size(size).unwrap();
            assert!(!whole(), "cut at {size}");
        }
    }

    #[test]
    fn a_snapshot_of_nothing_is_whole() {
        let files = MemoryFiles::default();
        write(&files, position(64), &mut || Ok(None)).unwrap();
        let base = Base::open(&files, position(64)).unwrap().unwrap();
        assert!(base.check(&Progress::default()).unwrap());
        assert_eq!(base.get(&key(1)).unwrap(), None);
        base.range(&(Bound::Unbounded, Bound::Unbounded), Order::Down, &mut |_, _| panic!("there is none")).unwrap();
    }

    #[test]
    fn the_last_two_are_kept() {
        let files = MemoryFiles::default();
        for offset in [64, 128, 256] {
            written(&files, position(offset));
        }
        remove_outdated(&files).unwrap();
        assert_eq!(list(&files).unwrap(), [position(128), position(256)]);
        assert_eq!(newest(&files).unwrap().unwrap().start, position(256));
    }
}
