//! One record of a segment, and the group of transactions in it.

use super::read::{Piece, Place};
use super::segment::Header;
use crate::desk::id::RawId;
use crate::store::index::Write;
use crate::store::transaction::raw_key;

/// Octets before a record's body.
pub(super) const HEAD: usize = 32;

/// Records start at multiples of this.
pub(super) const ALIGNMENT: usize = 16;

/// The largest body that is written or read.
pub(in crate::store) const LARGEST_BODY: usize = 64 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"GREC";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The writes of a group of transactions.
    Group = 1,
    /// Raw bytes that a later group refers to.
    Data = 2,
}

/// What stands before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) length: u32,
    pub(super) checksum: u32,
    /// How far the segment was durable when the record was written: what lies before that and is
    /// not readable was damaged, not torn.
    pub(super) synced: u64,
}

/// A record as it was read.
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
}

impl Record {
    /// Where the next record starts, if this one is at `offset`.
    pub(super) fn end(&self, offset: u64) -> u64 {
        (body_at(offset) + self.body.len() as u64).next_multiple_of(ALIGNMENT as u64)
    }
}

/// Where the body of the record at `offset` is.
pub(super) fn body_at(offset: u64) -> u64 {
    offset + HEAD as u64
}

/// A record for one place of one segment, padded.
pub(super) fn encode(kind: Kind, body: &[u8], segment: &Header, offset: u64, synced: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind as u8, 0, 0, 0]);
    out.extend_from_slice(&u32::try_from(body.len()).expect("a body has less than 4 GiB").to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    out.extend_from_slice(&synced.to_be_bytes());
    let checksum = head_checksum(&out, segment, offset);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out
}

/// Reads what stands before a body, if it was written for this place.
pub(super) fn decode_head(bytes: &[u8; HEAD], segment: &Header, offset: u64) -> Option<Head> {
    if !bytes.starts_with(&MAGIC) {
        return None;
    }
    let number = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u32::from_be_bytes);
    if number(24) != head_checksum(&bytes[..24], segment, offset) {
        return None;
    }
    let kind = match bytes[4] {
        1 => Kind::Group,
        2 => Kind::Data,
        _ => return None,
    };
    let synced = u64::from(number(16)) << 32 | u64::from(number(20));
    Some(Head { kind, length: number(8), checksum: number(12), synced })
}

/// The segment's salt is in it, which no sender of mail knows: so bytes in a message can't pass for
/// a record.
fn head_checksum(head: &[u8], segment: &Header, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.salt.to_be_bytes());
    hasher.update(&segment.number.to_be_bytes());
    hasher.update(&offset.to_be_bytes());
    hasher.update(head);
    hasher.finalize()
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const INLINE: u8 = 3;
const STREAMED: u8 = 4;

/// Builds the body of a group.
pub(in crate::store) struct GroupWriter {
    body: Vec<u8>,
    inline: Vec<(RawId, Piece)>,
}

impl GroupWriter {
    pub(in crate::store) fn new() -> Self {
        Self { body: vec![0; size_of::<u64>()], inline: Vec::new() }
    }

    pub(in crate::store) fn write(&mut self, (key, value): &Write) {
        self.body.push(if value.is_some() { PUT } else { DELETE });
        self.length(key.len());
        self.body.extend_from_slice(key);
        if let Some(value) = value {
            self.length(value.len());
            self.body.extend_from_slice(value);
        }
    }

    /// Raw bytes in the group itself.
    pub(in crate::store) fn inline(&mut self, id: RawId, bytes: &[u8]) {
        self.body.push(INLINE);
        self.body.extend_from_slice(&id.0.to_be_bytes());
        let checksum = crc32fast::hash(bytes);
        self.body.extend_from_slice(&checksum.to_be_bytes());
        self.length(bytes.len());
        let piece = Piece {
            segment: 0,
            offset: self.body.len() as u64,
            length: u32::try_from(bytes.len()).expect("inline bytes are few"),
            checksum,
        };
        self.inline.push((id, piece));
        self.body.extend_from_slice(bytes);
    }

    /// Raw bytes that were written before.
    pub(in crate::store) fn streamed(&mut self, id: RawId, place: &Place) {
        let place = place.encode();
        self.body.push(STREAMED);
        self.body.extend_from_slice(&id.0.to_be_bytes());
        self.length(place.len());
        self.body.extend_from_slice(&place);
    }

    /// Octets so far.
    pub(in crate::store) fn len(&self) -> usize {
        self.body.len()
    }

    /// The body; `version` is the store's after the group.
    pub(in crate::store) fn body(&mut self, version: u64) -> &[u8] {
        self.body[..size_of::<u64>()].copy_from_slice(&version.to_be_bytes());
        &self.body
    }

    /// Where the inline bytes are, the body being at `segment` and `offset`.
    pub(in crate::store) fn places(&self, segment: u64, offset: u64) -> impl Iterator<Item = Write> + '_ {
        self.inline.iter().map(move |(id, piece)| {
            let place = Place(vec![Piece { segment, offset: offset + piece.offset, ..*piece }]);
            (raw_key(*id), Some(place.encode()))
        })
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a group has less than 4 GiB");
        self.body.extend_from_slice(&length.to_be_bytes());
    }
}

/// A group as it was read: what it makes of the index.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Group {
    pub(in crate::store) version: u64,
    pub(in crate::store) writes: Vec<Write>,
}

impl Group {
    /// Reads a body that is at `offset` of `segment`; `None` if it is none.
    pub(super) fn read(body: &[u8], segment: u64, offset: u64) -> Option<Self> {
        let mut rest = body;
        let version = u64::from_be_bytes(take(&mut rest)?);
        let mut writes = Vec::new();
        while !rest.is_empty() {
            let [kind] = take(&mut rest)?;
            writes.push(match kind {
                PUT => (bytes(&mut rest)?.to_vec(), Some(bytes(&mut rest)?.to_vec())),
                DELETE => (bytes(&mut rest)?.to_vec(), None),
                INLINE => {
                    let id = RawId(u64::from_be_bytes(take(&mut rest)?));
                    let checksum = u32::from_be_bytes(take(&mut rest)?);
                    let raw = bytes(&mut rest)?;
                    let at = body.len() - rest.len() - raw.len();
                    let length = u32::try_from(raw.len()).ok()?;
                    let piece = Piece { segment, offset: offset + at as u64, length, checksum };
                    (raw_key(id), Some(Place(vec![piece]).encode()))
                }
                STREAMED => {
                    let id = RawId(u64::from_be_bytes(take(&mut rest)?));
                    (raw_key(id), Some(bytes(&mut rest)?.to_vec()))
                }
                _ => return None,
            });
        }
        Some(Self { version, writes })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(take(rest)?) as usize;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Position;

    #[test]
    fn a_group_reads_as_it_was_written() {
        let mut writer = GroupWriter::new();
        let place = Place(vec![Piece { segment: 1, offset: 2, length: 3, checksum: 4 }]);
        writer.write(&(b"a".to_vec(), Some(b"1".to_vec())));
        writer.write(&(b"b".to_vec(), None));
        writer.inline(RawId(7), b"mail");
        writer.streamed(RawId(8), &place);
        let body = writer.body(9).to_vec();
        let group = Group::read(&body, 5, 1000).unwrap();
        let inline = writer.places(5, 1000).next().unwrap();
        assert_eq!(group.version, 9);
        assert_eq!(
            group.writes,
            [
                (b"a".to_vec(), Some(b"1".to_vec())),
                (b"b".to_vec(), None),
                inline,
                (raw_key(RawId(8)), Some(place.encode())),
            ]
        );
        for cut in 9..body.len() {
            let whole = Group::read(&body[..cut], 5, 1000);
            assert!(whole.is_none_or(|whole| whole.writes.len() < 4), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_counts_at_its_place_only() {
        let end = Position { segment: 1, offset: 64, version: 0 };
        let (here, there) = (Header::new(2, end), Header::new(3, end));
        let bytes = encode(Kind::Data, b"body", &here, 64, 48);
        let head = bytes.first_chunk().unwrap();
        assert_eq!(bytes.len() % 16, 0);
        let read = decode_head(head, &here, 64).unwrap();
        assert_eq!((read.kind, read.length, read.synced), (Kind::Data, 4, 48));
        assert!(decode_head(head, &here, 80).is_none());
        assert!(decode_head(head, &there, 64).is_none());
    }
}
