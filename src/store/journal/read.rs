//! Raw bytes in the journal: where they are, and reading them there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::segment::file_name;
use crate::store::StoreError;
use crate::store::files::{File, Files};

/// Some bytes in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Piece {
    pub(in crate::store) segment: u64,
    pub(in crate::store) offset: u64,
    pub(in crate::store) length: u32,
    pub(in crate::store) checksum: u32,
}

/// Where raw bytes are: their pieces in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Place(pub(in crate::store) Vec<Piece>);

const PIECE: usize = 24;

impl Place {
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * PIECE);
        for piece in &self.0 {
            out.extend_from_slice(&piece.segment.to_be_bytes());
            out.extend_from_slice(&piece.offset.to_be_bytes());
            out.extend_from_slice(&piece.length.to_be_bytes());
            out.extend_from_slice(&piece.checksum.to_be_bytes());
        }
        out
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        let (pieces, rest) = bytes.as_chunks::<PIECE>();
        let piece = |chunk: &[u8; PIECE]| {
            Some(Piece {
                segment: u64::from_be_bytes(*chunk.first_chunk()?),
                offset: u64::from_be_bytes(*chunk[8..].first_chunk()?),
                length: u32::from_be_bytes(*chunk[16..].first_chunk()?),
                checksum: u32::from_be_bytes(*chunk[20..].first_chunk()?),
            })
        };
        if rest.is_empty() { pieces.iter().map(piece).collect::<Option<_>>().map(Self) } else { None }
    }
}

/// The segments, to read raw bytes from. A few are kept open.
pub(in crate::store) struct Segments {
    files: Arc<dyn Files>,
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

/// How many segments are kept open.
const OPEN: usize = 64;

impl Segments {
    pub(in crate::store) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, open: Mutex::default() }
    }

    pub(in crate::store) fn read(&self, place: &Place) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(place.0.iter().map(|piece| piece.length as usize).sum());
        for piece in &place.0 {
            let start = out.len();
            out.resize(start + piece.length as usize, 0);
            let read = self.file(piece.segment)?.read_at(&mut out[start..], piece.offset)?;
            if read < piece.length as usize || crc32fast::hash(&out[start..]) != piece.checksum {
                return Err(StoreError::Damaged { segment: piece.segment, offset: piece.offset });
            }
        }
        Ok(out)
    }

    fn file(&self, number: u64) -> Result<Arc<dyn File>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(other, _)| *other == number) {
            return Ok(Arc::clone(file));
        }
        let file = self.files.open(&file_name(number))?;
        if open.len() == OPEN {
            open.pop_front();
        }
        open.push_back((number, Arc::clone(&file)));
        Ok(file)
    }
}
