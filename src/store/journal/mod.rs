//! The journal: append-only segment files of checksummed records. It is the truth of the store.
//!
//! `docs/store.md` has the format. Here are its segments as a chain; `segment` knows one of them,
//! `record` one record, `read` the raw bytes in them.

mod read;
mod record;
mod segment;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use super::StoreError;
use super::files::{File, Files};

pub(super) use read::{Piece, Place, Segments};
pub(super) use record::{Group, GroupWriter, LARGEST_BODY};
pub(super) use segment::{DIR, file_name};

use record::Kind;
use segment::{Header, Next};

/// How far in the journal: the state of the store after everything before this place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    /// Octets from the start of the segment's file.
    pub offset: u64,
    /// The store's version there: how many transactions there were.
    pub version: u64,
}

impl Position {
    pub(super) fn encode(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.segment.to_be_bytes());
        out[8..16].copy_from_slice(&self.offset.to_be_bytes());
        out[16..].copy_from_slice(&self.version.to_be_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        match (numbers, rest) {
            ([segment, offset, version], []) => Some(Self {
                segment: u64::from_be_bytes(*segment),
                offset: u64::from_be_bytes(*offset),
                version: u64::from_be_bytes(*version),
            }),
            _ => None,
        }
    }
}

/// Where a segment's first record is.
const FIRST: u64 = segment::HEADER as u64;

/// The segments that count, in order, each with where it validly ends; the last one's end is not
/// known before it is read.
pub(super) struct Chain {
    headers: BTreeMap<u64, Header>,
    /// Where the last one ends, as far as it is wanted; unknown when the chain was just opened.
    until: Option<u64>,
    /// The highest number that any file bears, counting or not.
    highest: u64,
}

/// One segment of a chain.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) header: Header,
    /// Where it validly ends, as its successor states; `None` for the last.
    pub(super) end: Option<u64>,
}

impl Chain {
    /// Reads the headers of all segments and follows the last one back to the first.
    ///
    /// A segment that no successor names was given up before anything in it counted.
    pub(super) fn open(files: &dyn Files) -> Result<Self, StoreError> {
        let mut found = BTreeMap::new();
        let mut highest = 0;
        for name in files.list(DIR)? {
            let Some(number) = segment::number(&name) else { continue };
            highest = highest.max(number);
            let file = match files.open(&file_name(number)) {
                // Given up and removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?,
            };
            if let Some(header) = segment::read_header(&*file, number)? {
                found.insert(number, header);
            }
        }
        let mut headers = BTreeMap::new();
        let mut next = found.last_key_value().map(|(_, header)| *header);
        while let Some(header) = next {
            headers.insert(header.number, header);
            next = match header.predecessor {
                0 => None,
                number => Some(*found.get(&number).ok_or(StoreError::Damaged { segment: number, offset: 0 })?),
            };
        }
        Ok(Self { headers, until: None, highest })
    }

    /// The chain up to a position that is known to be durable.
    pub(super) fn until(mut self, position: Position) -> Self {
        self.headers.split_off(&(position.segment + 1));
        self.until = Some(position.offset);
        self
    }

    /// The segments from `number` on.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = Link> + '_ {
        let following = self.headers.values().skip(1).map(|next| Some(next.predecessor_end));
        let links = self.headers.values().zip(following.chain([self.until]));
        links.map(|(header, end)| Link { header: *header, end }).filter(move |link| link.header.number >= number)
    }

    /// The first place of the journal.
    pub(super) fn start(&self) -> Position {
        match self.headers.values().next() {
            Some(first) => Position { segment: first.number, offset: FIRST, version: first.version },
            None => Position::default(),
        }
    }

    /// Whether a position lies in the chain, as far as that is known without reading it.
    pub(super) fn holds(&self, files: &dyn Files, position: Position) -> Result<bool, StoreError> {
        if position == Position::default() {
            return Ok(true);
        }
        let Some(link) = self.from(position.segment).next() else { return Ok(false) };
        let end = match link.end {
            Some(end) => end,
            None => files.open(&file_name(link.header.number))?.size()?,
        };
        Ok(link.header.number == position.segment && position.offset <= end)
    }
}

impl Chain {
    /// Octets of the journal from one position to a later one.
    pub(super) fn octets(&self, from: Position, to: Position) -> u64 {
        if from.segment == to.segment {
            return to.offset.saturating_sub(from.offset);
        }
        let links = self.from(from.segment).filter(|link| link.header.number <= to.segment);
        let octets = links.map(|link| {
            let number = link.header.number;
            let start = if number == from.segment { from.offset } else { FIRST };
            let end = if number == to.segment { to.offset } else { link.end.unwrap_or(to.offset) };
            end.saturating_sub(start)
        });
        octets.sum()
    }

    /// Octets of the journal from a position to where its last file ends, room that was only set
    /// aside there included.
    pub(super) fn size_from(&self, files: &dyn Files, from: Position) -> Result<u64, StoreError> {
        let Some(last) = self.headers.keys().next_back().copied() else { return Ok(0) };
        let offset = match self.until {
            Some(offset) => offset,
            None => files.open(&file_name(last))?.size()?,
        };
        Ok(self.octets(from, Position { segment: last, offset, ..from }))
    }
}

/// Where reading the chain ended.
pub(super) struct Tail {
    pub(super) end: Position,
    /// Whether something that isn't a record follows: what a dying machine had not yet synced.
    pub(super) torn: bool,
}

/// Shows `visit` every group from `from` on, with the position after it.
///
/// # Errors
///
/// [`StoreError::Damaged`] if bytes that had been synced are not what was written.
pub(super) fn replay(
    files: &dyn Files,
    chain: &Chain,
    from: Position,
    visit: &mut dyn FnMut(Group, Position) -> Result<(), StoreError>,
) -> Result<Tail, StoreError> {
    let mut at = if from == Position::default() { chain.start() } else { from };
    let mut torn = false;
    for link in chain.from(at.segment) {
        let number = link.header.number;
        let file = files.open(&file_name(number))?;
        let mut offset = if number == at.segment { at.offset } else { FIRST };
        let size = file.size()?;
        at = Position { segment: number, offset, version: at.version };
        loop {
            if link.end == Some(offset) {
                break;
            }
            let limit = link.end.unwrap_or(size);
            match segment::next(&*file, &link.header, offset, limit)? {
                Next::Record(record) => {
                    let body_at = record::body_at(offset);
                    offset = record.end(offset);
                    if record.kind == Kind::Group {
                        let damaged = StoreError::Damaged { segment: number, offset };
                        let group = Group::read(&record.body, number, body_at).ok_or(damaged)?;
                        at = Position { segment: number, offset, version: group.version };
                        visit(group, at)?;
                    } else {
                        at.offset = offset;
                    }
                }
                Next::Nothing if link.end.is_some() => return Err(StoreError::Damaged { segment: number, offset }),
                Next::Nothing => {
                    torn = segment::check_tail(&*file, &link.header, offset, size)?;
                    break;
                }
            }
        }
    }
    Ok(Tail { end: at, torn })
}

/// The journal, to append to. Only the committer has it.
pub(super) struct Journal {
    files: Arc<dyn Files>,
    segment_size: u64,
    /// The segment that is written; `None` before the first write and after a failure.
    current: Option<Open>,
    /// The end of everything that counts.
    end: Position,
    highest: u64,
    /// Ends of segments that were given up, for pieces that were written beyond them.
    given_up: BTreeMap<u64, u64>,
    appended: u64,
}

struct Open {
    file: Arc<dyn File>,
    header: Header,
    /// Where the next record goes: at or after the end of what counts.
    offset: u64,
    reserved: u64,
}

/// How much room is set aside at a time.
const RESERVE: u64 = 4 * 1024 * 1024;

impl Journal {
    /// Goes on behind `tail`: in its segment if that ends cleanly, otherwise in a new one.
    pub(super) fn open(
        files: Arc<dyn Files>,
        chain: &Chain,
        tail: &Tail,
        segment_size: u64,
    ) -> Result<Self, StoreError> {
        let end = tail.end;
        let mut current = None;
        if let Some(header) = chain.headers.get(&end.segment) {
            let file = files.open(&file_name(end.segment))?;
            // What is replayed counts from now on, so it has to be durable.
            file.sync()?;
            if !tail.torn && end.offset < segment_size {
                let reserved = file.size()?;
                current = Some(Open { file, header: *header, offset: end.offset, reserved });
            }
        }
        Ok(Self { files, segment_size, current, end, highest: chain.highest, given_up: BTreeMap::new(), appended: 0 })
    }

    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Octets that were appended since it was opened.
    pub(super) fn appended(&self) -> u64 {
        self.appended
    }

    /// Writes a group, makes it and all before it durable, and returns where its body is.
    ///
    /// After an error it never comes back: the segment is given up.
    pub(super) fn append_group(&mut self, body: &[u8], version: u64) -> Result<Position, StoreError> {
        let at = self.append(Kind::Group, body)?;
        let (number, offset) = match &self.current {
            Some(open) => (open.header.number, open.offset),
            None => return Err(StoreError::Io("the segment is gone".into())),
        };
        if let Err(error) = self.sync() {
            self.give_up();
            return Err(error);
        }
        self.end = Position { segment: number, offset, version };
        Ok(at)
    }

    /// Writes raw bytes that a later group refers to. They are durable when that group is.
    pub(super) fn append_data(&mut self, bytes: &[u8]) -> Result<Piece, StoreError> {
        let at = self.append(Kind::Data, bytes)?;
        let length = u32::try_from(bytes.len()).map_err(|_| StoreError::TooLarge(bytes.len()))?;
        Ok(Piece { segment: at.segment, offset: at.offset, length, checksum: crc32fast::hash(bytes) })
    }

    /// Whether a piece is still in a part of the journal that counts.
    pub(super) fn keeps(&self, piece: &Piece) -> bool {
        self.given_up.get(&piece.segment).is_none_or(|end| piece.offset + u64::from(piece.length) <= *end)
    }

    /// Cuts off what was set aside, so that a closed journal is as large as what is in it.
    pub(super) fn trim(&mut self) -> Result<(), StoreError> {
        if let Some(open) = self.current.take() {
            if open.offset == self.end.offset {
                open.file.set_size(open.offset)?;
            }
            open.file.sync()?;
        }
        Ok(())
    }

    fn append(&mut self, kind: Kind, body: &[u8]) -> Result<Position, StoreError> {
        let record = |open: &Open, synced: u64| record::encode(kind, body, &open.header, open.offset, synced);
        let full = self.current.as_ref().is_some_and(|open| open.offset >= self.segment_size);
        if full || self.current.is_none() {
            self.turn_over()?;
        }
        let end = self.end;
        let open = self.current.as_mut().ok_or_else(|| StoreError::Io("no segment could be made".into()))?;
        let synced = if open.header.number == end.segment { end.offset } else { FIRST };
        let bytes = record(open, synced);
        let after = open.offset + bytes.len() as u64;
        let outcome = if after > open.reserved {
            let target = after.next_multiple_of(RESERVE).min(self.segment_size.max(after));
            open.file.reserve(target).map(|()| open.reserved = target)
        } else {
            Ok(())
        };
        match outcome.and_then(|()| open.file.write_at(&bytes, open.offset)) {
            Ok(()) => {
                let at = Position { segment: open.header.number, offset: record::body_at(open.offset), version: 0 };
                open.offset = after;
                self.appended += bytes.len() as u64;
                Ok(at)
            }
            Err(error) => {
                self.give_up();
                Err(error.into())
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        match &self.current {
            Some(open) => Ok(open.file.sync()?),
            None => Ok(()),
        }
    }

    /// Ends the current segment, which is good, and begins the next one.
    fn turn_over(&mut self) -> Result<(), StoreError> {
        if let Some(open) = &self.current {
            // Pieces behind the last group count once a group refers to them.
            let (number, offset) = (open.header.number, open.offset);
            if let Err(error) = open.file.sync() {
                self.give_up();
                return Err(error.into());
            }
            self.end = Position { segment: number, offset, version: self.end.version };
            self.current = None;
        }
        self.begin()
    }

    /// Never writes the current segment again, and says so in a successor's header if it can.
    ///
    /// Where even that fails, what didn't count is cut off; the next write tries again.
    fn give_up(&mut self) {
        let Some(open) = self.current.take() else { return };
        let end = if open.header.number == self.end.segment { self.end.offset } else { FIRST };
        self.given_up.insert(open.header.number, end);
        if self.begin().is_err() {
            let _ = open.file.set_size(end).and_then(|()| open.file.sync());
        }
    }

    /// Makes a new segment behind the end of what counts.
    fn begin(&mut self) -> Result<(), StoreError> {
        let number = self.highest + 1;
        let header = Header::new(number, self.end);
        let made = self.files.create_dir(DIR).and_then(|()| {
            self.highest = number;
            let file = self.files.create(&file_name(number))?;
            file.write_at(&header.encode(), 0)?;
            file.sync()?;
            self.files.sync_dir(DIR)?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                self.current = Some(Open { file, header, offset: FIRST, reserved: 0 });
                Ok(())
            }
            Err(error) => {
                // Best gone: an empty segment would only be in the way.
                match self.files.remove(&file_name(number)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => tracing::debug!(%error, number, "left over"),
                    _ => {}
                }
                Err(error.into())
            }
        }
    }
}
