//! Table snapshots: the whole index in one sorted file, so that building it again needs that file
//! and the journal since, not the whole journal.
//!
//! It is written while the store goes on, a chunk at a time. So its keys are from different moments
//! between `start` and `end`; with the journal from `start` on replayed over it, every key is right.
//! `docs/store.md` has the format.

use std::io;
use std::ops::Bound;

use super::StoreError;
use super::files::{File, Files};
use super::index::{Index, Order, Span, Write};
use super::journal::Position;
use super::table::NOTES;

/// The directory of the snapshots.
pub(super) const DIR: &str = "snapshots";
const NEW: &str = "snapshots/new";
const MAGIC: [u8; 8] = *b"GUICHETS";
const FORMAT: u32 = 1;
const HEADER: usize = 8 + 4 + 24 + 4;
/// Before a block: its length and checksum.
const HEAD: usize = 8;
/// About how large a block is; also how much is read of the index at a time.
const BLOCK: usize = 256 * 1024;
const LARGEST_BLOCK: usize = 64 * 1024 * 1024;
/// How many snapshots are kept.
const KEPT: usize = 2;

/// A whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Replay starts here.
    pub(super) start: Position,
    /// So far the journal was durable when the snapshot was complete.
    pub(super) end: Position,
    /// Octets of the file.
    pub(super) size: u64,
}

/// What is done with the index while nothing changes it.
pub(super) type Look<'a> = &'a mut dyn FnMut(&dyn Index) -> Result<(), StoreError>;

/// Writes a snapshot and removes the ones before the last two.
///
/// `with_index` runs a closure on the index as it is at that moment; it is called once a block.
pub(super) fn write(
    files: &dyn Files,
    with_index: &mut dyn FnMut(Look<'_>) -> Result<(), StoreError>,
) -> Result<Snapshot, StoreError> {
    files.create_dir(DIR)?;
    let mut start = Position::default();
    with_index(&mut |index| {
        start = index.position();
        Ok(())
    })?;
    let file = files.create(NEW)?;
    let mut at = write_header(&*file, start)?;
    let mut from = Bound::Excluded(vec![NOTES, 0xff]);
    let mut end = start;
    let mut count = 0u64;
    loop {
        let mut block = Vec::new();
        let mut last = None;
        let span: Span = (from, Bound::Unbounded);
        with_index(&mut |index| {
            end = index.position();
            index.range(&span, Order::Up, &mut |key, value| {
                put(&mut block, key);
                put(&mut block, value);
                count += 1;
                last = Some(key.to_vec());
                block.len() < BLOCK
            })?;
            Ok(())
        })?;
        let Some(last) = last else { break };
        at = write_block(&*file, at, &block)?;
        from = Bound::Excluded(last);
    }
    let mut trailer = count.to_be_bytes().to_vec();
    trailer.extend_from_slice(&end.encode());
    at = write_block(&*file, at, &[])?;
    at = write_block(&*file, at, &trailer)?;
    file.sync()?;
    files.rename(NEW, &name(start))?;
    files.sync_dir(DIR)?;
    let outdated = list(files)?.into_iter().rev().skip(KEPT);
    for old in outdated {
        files.remove(&name(old))?;
    }
    Ok(Snapshot { start, end, size: at })
}

/// Where the snapshots that are there start, in order.
pub(super) fn list(files: &dyn Files) -> io::Result<Vec<Position>> {
    let mut found: Vec<_> = files.list(DIR)?.iter().filter_map(|name| parse(name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// Shows a snapshot's keys and values block by block; `None` if it is not whole. What was shown
/// until then is to be thrown away.
pub(super) fn read(
    files: &dyn Files,
    start: Position,
    visit: &mut dyn FnMut(Vec<Write>) -> Result<(), StoreError>,
) -> Result<Option<Snapshot>, StoreError> {
    let file = files.open(&name(start))?;
    let mut header = [0; HEADER];
    file.read_at(&mut header, 0)?;
    if header != encode_header(start) {
        return Ok(None);
    }
    let mut at = HEADER as u64;
    let mut count = 0;
    while let Some(block) = read_block(&*file, &mut at)? {
        if block.is_empty() {
            let Some(trailer) = read_block(&*file, &mut at)? else { return Ok(None) };
            let Some((total, end)) = trailer.split_first_chunk() else { return Ok(None) };
            let Some(end) = Position::decode(end) else { return Ok(None) };
            return Ok((u64::from_be_bytes(*total) == count).then_some(Snapshot { start, end, size: at }));
        }
        let mut rest = &block[..];
        let mut writes = Vec::new();
        while !rest.is_empty() {
            let (Some(key), Some(value)) = (take(&mut rest), take(&mut rest)) else { return Ok(None) };
            writes.push((key, Some(value)));
        }
        count += writes.len() as u64;
        visit(writes)?;
    }
    Ok(None)
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

fn encode_header(start: Position) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_be_bytes());
    out[12..36].copy_from_slice(&start.encode());
    let checksum = crc32fast::hash(&out[..36]);
    out[36..].copy_from_slice(&checksum.to_be_bytes());
    out
}

fn write_header(file: &dyn File, start: Position) -> io::Result<u64> {
    file.write_at(&encode_header(start), 0)?;
    Ok(HEADER as u64)
}

fn write_block(file: &dyn File, at: u64, block: &[u8]) -> Result<u64, StoreError> {
    let length = u32::try_from(block.len()).map_err(|_| StoreError::TooLarge(block.len()))?;
    let mut bytes = Vec::with_capacity(HEAD + block.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&checksum(at, block).to_be_bytes());
    bytes.extend_from_slice(block);
    file.write_at(&bytes, at)?;
    Ok(at + bytes.len() as u64)
}

fn read_block(file: &dyn File, at: &mut u64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut head = [0; HEAD];
    if file.read_at(&mut head, *at)? < HEAD {
        return Ok(None);
    }
    let (length, sum) = head.split_at(4);
    let (Some(length), Some(sum)) = (length.first_chunk(), sum.first_chunk()) else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > LARGEST_BLOCK {
        return Ok(None);
    }
    let mut block = vec![0; length];
    if file.read_at(&mut block, *at + HEAD as u64)? < length || checksum(*at, &block) != u32::from_be_bytes(*sum) {
        return Ok(None);
    }
    *at += (HEAD + length) as u64;
    Ok(Some(block))
}

/// A block counts at its place only.
fn checksum(at: u64, block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_be_bytes());
    hasher.update(block);
    hasher.finalize()
}

fn put(block: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a key or value has less than 4 GiB");
    block.extend_from_slice(&length.to_be_bytes());
    block.extend_from_slice(bytes);
}

fn take(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::MemoryFiles;
    use crate::store::index::MemoryIndex;

    fn filled(position: Position) -> MemoryIndex {
        let mut index = MemoryIndex::default();
        let writes = (0u32..5000).map(|n| ([&[0x20][..], &n.to_be_bytes()].concat(), Some(vec![7; 100]))).collect();
        index.apply(writes, position).unwrap();
        index
    }

    fn position(offset: u64) -> Position {
        Position { segment: 1, offset, version: 3 }
    }

    fn write_one(files: &MemoryFiles, index: &MemoryIndex) -> Snapshot {
        write(files, &mut |run| run(index)).unwrap()
    }

    fn read_all(files: &MemoryFiles, start: Position) -> Option<usize> {
        let mut count = 0;
        read(files, start, &mut |writes| {
            count += writes.len();
            Ok(())
        })
        .unwrap()
        .map(|_| count)
    }

    #[test]
    fn reads_back_whole_or_not_at_all() {
        let files = MemoryFiles::default();
        let snapshot = write_one(&files, &filled(position(64)));
        assert_eq!(read_all(&files, position(64)), Some(5000));
        let file = files.open(&name(position(64))).unwrap();
        for at in (0..snapshot.size).step_by(997) {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_at(&[byte[0] ^ 0x10], at).unwrap();
            assert_eq!(read_all(&files, position(64)), None, "flipped at {at}");
            file.write_at(&byte, at).unwrap();
        }
        file.set_size(snapshot.size - 1).unwrap();
        assert_eq!(read_all(&files, position(64)), None);
    }

    #[test]
    fn the_last_two_are_kept() {
        let files = MemoryFiles::default();
        for offset in [64, 128, 256] {
            write_one(&files, &filled(position(offset)));
        }
        assert_eq!(list(&files).unwrap(), [position(128), position(256)]);
    }
}
