//! A table snapshot as the lowest layer of the index: found in it by key, read block by block.
//!
//! Only the first key of each block is held in memory, all of them in one piece. `docs/store.md` has
//! the format.

use std::ops::{Bound, Range};
use std::sync::Arc;

use super::StoreError;
use super::files::{File, Files};
use super::index::{IndexError, Order, Span, as_slice, is_empty};
use super::journal::Position;
use super::progress::Progress;
use super::snapshot::name;

const MAGIC: [u8; 8] = *b"GUICHETS";
const FORMAT: u32 = 2;
pub(super) const HEADER: usize = 8 + 4 + 24 + 4;
pub(super) const FOOTER: usize = 8 + 8 + 4;
/// Before a block: its length and checksum.
pub(super) const HEAD: usize = 8;
/// A block is complete with the pair that makes it at least this long.
pub(super) const BLOCK: usize = 4 * 1024;
const LARGEST_BLOCK: usize = 64 * 1024 * 1024;

/// A snapshot's file, open.
pub(super) struct Base {
    file: Arc<dyn File>,
    /// It holds all of the journal up to here, and nothing later.
    pub(super) start: Position,
    /// Octets of the file.
    pub(super) size: u64,
    blocks: Blocks,
    /// Where the blocks of pairs end.
    end: u64,
    count: u64,
}

/// Where the blocks begin, and with which keys.
#[derive(Default)]
struct Blocks {
    /// The first keys, one behind the other.
    keys: Vec<u8>,
    blocks: Vec<Block>,
}

struct Block {
    /// Where its first key is among them.
    first: Range<usize>,
    offset: u64,
}

impl Blocks {
    fn push(&mut self, first: &[u8], offset: u64) {
        let start = self.keys.len();
        self.keys.extend_from_slice(first);
        self.blocks.push(Block { first: start..self.keys.len(), offset });
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.blocks.iter().map(|block| (&self.keys[block.first.clone()], block.offset))
    }

    /// The block in which a key is if it is there: the last one that begins no later.
    fn of(&self, key: &[u8]) -> Option<usize> {
        self.blocks.partition_point(|block| self.keys[block.first.clone()] <= *key).checked_sub(1)
    }
}

impl Base {
    /// Opens the snapshot that starts at a position; `None` if it isn't whole. What the blocks hold
    /// is checked when they are read, or by [`check`](Self::check).
    pub(super) fn open(files: &dyn Files, start: Position) -> Result<Option<Self>, StoreError> {
        let file = files.open(&name(start))?;
        let size = file.size()?;
        let mut header = [0; HEADER];
        let mut footer = [0; FOOTER];
        let Some(footer_at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
        file.read_at(&mut header, 0)?;
        file.read_at(&mut footer, footer_at)?;
        let Some((end, count)) = decode_footer(&footer) else { return Ok(None) };
        if header != encode_header(start) {
            return Ok(None);
        }
        let mut blocks = Blocks::default();
        let mut at = end;
        while at < footer_at {
            let Some((bytes, next)) = read_block(&*file, at, footer_at)? else { return Ok(None) };
            for (first, offset) in Pairs(&bytes) {
                let Ok(offset) = offset.try_into() else { return Ok(None) };
                blocks.push(first, u64::from_be_bytes(offset));
            }
            at = next;
        }
        Ok(Some(Self { file, start, size, blocks, end, count }))
    }

    /// Reads everything: whether it is what was written.
    pub(super) fn check(&self, progress: &Progress) -> Result<bool, StoreError> {
        let mut at = HEADER as u64;
        let mut count = 0;
        for (key, offset) in self.blocks.iter() {
            let Some((bytes, next)) = read_block(&*self.file, at, self.end)? else { return Ok(false) };
            if offset != at || Pairs(&bytes).next().is_none_or(|(first, _)| first != key) {
                return Ok(false);
            }
            count += Pairs(&bytes).count() as u64;
            at = next;
            progress.moves();
        }
        Ok(at == self.end && count == self.count)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let Some(n) = self.blocks.of(key) else { return Ok(None) };
        let bytes = self.block(n)?;
        // In order, so what is greater ends the search.
        let found = Pairs(&bytes).find(|(other, _)| *other >= key);
        Ok(found.filter(|(other, _)| *other == key).map(|(_, value)| value.to_vec()))
    }

    /// Shows the span's keys and values in order until `visit` answers `false`.
    pub(super) fn range(
        &self,
        span: &Span,
        order: Order,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), IndexError> {
        let Some(most) = self.blocks.blocks.len().checked_sub(1) else { return Ok(()) };
        if is_empty(span) {
            return Ok(());
        }
        let (from, to) = (as_slice(&span.0), as_slice(&span.1));
        let first = key_of(from).and_then(|key| self.blocks.of(key)).unwrap_or(0);
        let last = match key_of(to) {
            None => most,
            Some(key) => match self.blocks.of(key) {
                None => return Ok(()),
                Some(last) => last,
            },
        };
        let after_start = |key: &[u8]| match from {
            Bound::Unbounded => true,
            Bound::Included(from) => key >= from,
            Bound::Excluded(from) => key > from,
        };
        let before_end = |key: &[u8]| match to {
            Bound::Unbounded => true,
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
        };
        let within = |key: &[u8]| after_start(key) && before_end(key);
        for step in 0..=last - first {
            match order {
                Order::Up => {
                    let bytes = self.block(first + step)?;
                    for (key, value) in Pairs(&bytes).filter(|(key, _)| within(key)) {
                        if !visit(key, value) {
                            return Ok(());
                        }
                    }
                }
                Order::Down => {
                    let bytes = self.block(last - step)?;
                    let pairs: Vec<_> = Pairs(&bytes).filter(|(key, _)| within(key)).collect();
                    for (key, value) in pairs.into_iter().rev() {
                        if !visit(key, value) {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn block(&self, n: usize) -> Result<Vec<u8>, IndexError> {
        let damaged = || IndexError(format!("the table snapshot {} is damaged", name(self.start)));
        let at = self.blocks.blocks.get(n).ok_or_else(damaged)?.offset;
        let read = read_block(&*self.file, at, self.end).map_err(|error| IndexError(error.to_string()))?;
        read.map(|(bytes, _)| bytes).ok_or_else(damaged)
    }
}

fn key_of(bound: Bound<&[u8]>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

pub(super) fn encode_header(start: Position) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&FORMAT.to_be_bytes());
    out[12..36].copy_from_slice(&start.encode());
    let checksum = crc32fast::hash(&out[..36]);
    out[36..].copy_from_slice(&checksum.to_be_bytes());
    out
}

/// The end of a snapshot: where its pairs end, and how many there are.
pub(super) fn encode_footer(end: u64, count: u64) -> [u8; FOOTER] {
    let mut out = [0; FOOTER];
    out[..8].copy_from_slice(&end.to_be_bytes());
    out[8..16].copy_from_slice(&count.to_be_bytes());
    let checksum = crc32fast::hash(&out[..16]);
    out[16..].copy_from_slice(&checksum.to_be_bytes());
    out
}

fn decode_footer(footer: &[u8; FOOTER]) -> Option<(u64, u64)> {
    let end = u64::from_be_bytes(*footer.first_chunk()?);
    let count = u64::from_be_bytes(*footer[8..].first_chunk()?);
    (*footer == encode_footer(end, count)).then_some((end, count))
}

/// Reads the block at `at` and where it ends; `None` if it isn't whole.
fn read_block(file: &dyn File, at: u64, limit: u64) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
    // One read gets the head and most blocks.
    let mut bytes = vec![0; HEAD + BLOCK + BLOCK / 2];
    let read = file.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let (Some(length), Some(sum)) = (head.first_chunk(), head.last_chunk()) else { return Ok(None) };
    let (length, sum) = (u32::from_be_bytes(*length) as usize, u32::from_be_bytes(*sum));
    let end = at + (HEAD + length) as u64;
    if length > LARGEST_BLOCK || end > limit {
        return Ok(None);
    }
    let known = bytes.len();
    bytes.resize(HEAD + length, 0);
    if known < bytes.len() {
        let rest = bytes.len() - known;
        if file.read_at(&mut bytes[known..], at + known as u64)? < rest {
            return Ok(None);
        }
    }
    bytes.drain(..HEAD);
    Ok((checksum(at, &bytes) == sum).then_some((bytes, end)))
}

/// A block counts at its place only.
pub(super) fn checksum(at: u64, block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at.to_be_bytes());
    hasher.update(block);
    hasher.finalize()
}

/// Adds a key and its value to a block.
pub(super) fn put(block: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    for bytes in [key, value] {
        let length = u32::try_from(bytes.len()).expect("a key or value has less than 4 GiB");
        block.extend_from_slice(&length.to_be_bytes());
        block.extend_from_slice(bytes);
    }
}

/// The keys and values in a block.
pub(super) struct Pairs<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((take(&mut self.0)?, take(&mut self.0)?))
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(bytes)
}
