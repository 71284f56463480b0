//! One segment file: its header, and finding the records in it.

use std::hash::{BuildHasher as _, RandomState};

use super::Position;
use super::record::{ALIGNMENT, HEAD, LARGEST_BODY, Record, body_at, decode_head};
use crate::store::StoreError;
use crate::store::files::File;

/// The directory of the segments.
pub(in crate::store) const DIR: &str = "journal";

/// Octets before the first record.
pub(in crate::store) const HEADER: usize = 64;

const MAGIC: [u8; 8] = *b"GUICHETJ";
const FORMAT: u32 = 1;

/// What a segment says of itself, durable before anything else is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Header {
    pub(in crate::store) number: u64,
    /// The store's version where it begins.
    pub(in crate::store) version: u64,
    /// The segment before it, 0 for none, and where that one validly ends.
    pub(in crate::store) predecessor: u64,
    pub(in crate::store) predecessor_end: u64,
    /// Random; in the checksum of every record.
    pub(in crate::store) salt: u64,
}

impl Header {
    pub(in crate::store) fn new(number: u64, end: Position) -> Self {
        // The standard library's hasher is keyed at random; that is randomness enough here.
        let salt = RandomState::new().hash_one(number);
        Self { number, version: end.version, predecessor: end.segment, predecessor_end: end.offset, salt }
    }

    pub(in crate::store) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_be_bytes());
        let fields = [self.number, self.version, self.predecessor, self.predecessor_end, self.salt];
        for (place, field) in out[16..56].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        let checksum = crc32fast::hash(&out[..56]);
        out[56..60].copy_from_slice(&checksum.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let checksum = u32::from_be_bytes(*bytes[56..].first_chunk()?);
        if !bytes.starts_with(&MAGIC) || crc32fast::hash(&bytes[..56]) != checksum {
            return None;
        }
        if bytes[8..12] != FORMAT.to_be_bytes() {
            return None;
        }
        let (fields, _) = bytes[16..56].as_chunks::<8>();
        let mut fields = fields.iter().map(|field| u64::from_be_bytes(*field));
        Some(Self {
            number: fields.next()?,
            version: fields.next()?,
            predecessor: fields.next()?,
            predecessor_end: fields.next()?,
            salt: fields.next()?,
        })
    }
}

/// The name of a segment's file, with its directory.
pub(in crate::store) fn file_name(number: u64) -> String {
    format!("{DIR}/{number:016x}")
}

/// The number that a file name in the directory bears.
pub(in crate::store) fn number(name: &str) -> Option<u64> {
    if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None }
}

/// Reads a segment's header; `None` if the segment was never begun.
///
/// The header is durable before anything follows it. So where it is unreadable and something does
/// follow, it was damaged.
pub(super) fn read_header(file: &dyn File, number: u64) -> Result<Option<Header>, StoreError> {
    let mut bytes = [0; HEADER];
    let read = file.read_at(&mut bytes, 0)?;
    match Header::decode(&bytes) {
        Some(header) if header.number == number => Ok(Some(header)),
        _ if read < bytes.len() || is_zero(file, HEADER as u64)? => Ok(None),
        _ => Err(StoreError::Damaged { segment: number, offset: 0 }),
    }
}

/// What was found where a record may be.
pub(super) enum Next {
    Record(Record),
    /// Nothing that was wholly written.
    Nothing,
}

/// Reads the record at `offset` of a segment that has `limit` octets.
pub(super) fn next(file: &dyn File, header: &Header, offset: u64, limit: u64) -> Result<Next, StoreError> {
    let mut bytes = [0; HEAD];
    if body_at(offset) > limit || file.read_at(&mut bytes, offset)? < bytes.len() {
        return Ok(Next::Nothing);
    }
    let Some(head) = decode_head(&bytes, header, offset) else { return Ok(Next::Nothing) };
    let length = head.length as usize;
    if length > LARGEST_BODY || body_at(offset) + length as u64 > limit {
        return Ok(Next::Nothing);
    }
    let mut body = vec![0; length];
    if file.read_at(&mut body, body_at(offset))? < length || crc32fast::hash(&body) != head.checksum {
        return Ok(Next::Nothing);
    }
    Ok(Next::Record(Record { kind: head.kind, body }))
}

/// Looks at what follows the last record of the last segment: nothing (`false`) or something torn
/// (`true`).
///
/// # Errors
///
/// [`StoreError::Damaged`] if a record further on tells that what should be at `offset` was durable.
pub(super) fn check_tail(file: &dyn File, header: &Header, offset: u64, size: u64) -> Result<bool, StoreError> {
    let mut torn = false;
    let mut at = offset;
    while at < size {
        let mut chunk = vec![0; CHUNK];
        let read = file.read_at(&mut chunk, at)?;
        chunk.truncate(read);
        if read == 0 {
            break;
        }
        if chunk.iter().any(|byte| *byte != 0) {
            torn = true;
            for start in (0..chunk.len()).step_by(ALIGNMENT) {
                let Some(bytes) = chunk[start..].first_chunk() else { break };
                let place = at + start as u64;
                if decode_head(bytes, header, place).is_some_and(|head| head.synced > offset) {
                    return Err(StoreError::Damaged { segment: header.number, offset });
                }
            }
        }
        // The last head of a chunk may reach into the next one.
        at += if read == CHUNK { (CHUNK - HEAD + ALIGNMENT) as u64 } else { read as u64 };
    }
    Ok(torn)
}

const CHUNK: usize = 1024 * 1024;

fn is_zero(file: &dyn File, mut offset: u64) -> Result<bool, StoreError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read_at(&mut chunk, offset)?;
        if chunk[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < CHUNK {
            return Ok(true);
        }
        offset += read as u64;
    }
}
