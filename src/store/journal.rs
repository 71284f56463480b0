//! The journal.

use std::sync::{Mutex, PoisonError};

use super::StoreError;

/// A place in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// Some bytes in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// Where raw bytes are: their pieces in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(pub(super) Vec<Piece>);

impl Place {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() * 24);
        for piece in &self.0 {
            out.extend_from_slice(&piece.segment.to_be_bytes());
            out.extend_from_slice(&piece.offset.to_be_bytes());
            out.extend_from_slice(&piece.length.to_be_bytes());
            out.extend_from_slice(&piece.checksum.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (pieces, rest) = bytes.as_chunks::<24>();
        let piece = |chunk: &[u8; 24]| {
            Some(Piece {
                segment: u64::from_be_bytes(chunk[..8].try_into().ok()?),
                offset: u64::from_be_bytes(chunk[8..16].try_into().ok()?),
                length: u32::from_be_bytes(chunk[16..20].try_into().ok()?),
                checksum: u32::from_be_bytes(chunk[20..].try_into().ok()?),
            })
        };
        if rest.is_empty() { pieces.iter().map(piece).collect::<Option<_>>().map(Self) } else { None }
    }
}

/// The segments, to read.
#[derive(Default)]
pub(super) struct Segments {
    memory: Mutex<Vec<u8>>,
}

impl Segments {
    pub(super) fn read(&self, place: &Place) -> Result<Vec<u8>, StoreError> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        for piece in &place.0 {
            let damaged = StoreError::Damaged { segment: piece.segment, offset: piece.offset };
            let from = usize::try_from(piece.offset).map_err(|_| damaged.clone())?;
            let bytes = memory.get(from..from + piece.length as usize).ok_or(damaged)?;
            out.extend_from_slice(bytes);
        }
        Ok(out)
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<Position, StoreError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.extend_from_slice(bytes);
        Ok(Position { segment: 0, offset: (memory.len() - bytes.len()) as u64 })
    }
}
