//! FETCH (RFC 3501 §6.4.5): what is asked of messages, read a few at a time and written as it comes.

mod piece;

use std::collections::BTreeSet;
use std::ops::Bound;

use self::piece::{Piece, cut, numbers, origin, section_name};
use super::command::{FetchItem, What};
use super::flags;
use super::seat::Seat;
use super::selected::{FIRST, PAGE, Selected, found, mine};
use super::shapes::{Exchange, Item, bytes, each, email_id, make, prepare, sizes, thread_id, together};
use super::write::{Out, decimal, set};
use super::{Desk, Trouble};
use crate::actions::views;
use crate::desk::id::{EntryId, MemberId};
use crate::desk::shape::{Glance, RenderedHeader, Shape};
use crate::desk::shelf::{Mine, Row, Trail, Turn};
use crate::mime::shape::section;
use crate::store::tables::{RENDERINGS, SHAPES, VIEW_LOG};
use crate::store::{Kept, Order, Read as _, StoreError, View};

/// Messages that are read at a time where their flags are wanted, and where more is.
const MANY: usize = 500;
const SOME: usize = 125;
/// Octets that are written before the client is waited for: whoever asks three hundred times for a large
/// message holds it in memory once.
const MUCH: usize = 1 << 20;
/// Octets of a header that is read as whole messages are.
const LARGE_HEADER: u32 = 64 << 10;

/// What one FETCH asks for.
pub(super) struct Wanted<'a> {
    pub items: &'a [FetchItem],
    /// The answer names the UID too.
    pub uid: bool,
    /// And the number of the last change.
    pub modseq: bool,
    pub changed_since: Option<u64>,
    /// But for messages, by their UIDs in ascending order, that were changed last by these commits: the
    /// client knows of that.
    pub known: &'a [(u32, u64)],
}

/// How much of messages has to be read for some items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Row,
    Shape,
    Header,
    Message,
}

impl Wanted<'_> {
    /// What each answer has, in its order.
    fn in_order(&self) -> Vec<&FetchItem> {
        let besides = |asked: bool, item: &'static FetchItem| (asked && !self.items.contains(item)).then_some(item);
        let (first, last) = (besides(self.uid, &FetchItem::Uid), besides(self.modseq, &FetchItem::ModSeq));
        first.into_iter().chain(self.items).chain(last).collect()
    }

    fn depth(&self) -> Depth {
        self.items.iter().map(depth).max().unwrap_or(Depth::Row)
    }

    /// Whether that takes rows and flags. What does not is told from what is in memory and what is kept.
    fn needs_marks(&self) -> bool {
        let of_it = |item: &FetchItem| match item {
            FetchItem::Flags | FetchItem::ModSeq | FetchItem::EmailId | FetchItem::ThreadId => true,
            item => depth(item) == Depth::Message,
        };
        self.modseq
            || self.changed_since.is_some()
            || !self.known.is_empty()
            || self.reads()
            || self.items.iter().any(of_it)
    }

    /// Whether whoever asks for this reads the message.
    fn reads(&self) -> bool {
        self.items
            .iter()
            .any(|item| matches!(item, FetchItem::Section { peek: false, .. } | FetchItem::Binary { peek: false, .. }))
    }
}

fn depth(item: &FetchItem) -> Depth {
    match item {
        FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq | FetchItem::EmailId | FetchItem::ThreadId => Depth::Row,
        FetchItem::InternalDate
        | FetchItem::Rfc822Size
        | FetchItem::Envelope
        | FetchItem::Body
        | FetchItem::BodyStructure => Depth::Shape,
        FetchItem::Section { section, .. } => match section.what {
            What::Header | What::HeaderFields(_) | What::HeaderFieldsNot(_) if section.part.is_empty() => Depth::Header,
            _ => Depth::Message,
        },
        FetchItem::Binary { .. } | FetchItem::BinarySize(_) => Depth::Message,
    }
}

/// One message as it stands in the mailbox.
struct Standing {
    uid: u32,
    entry: EntryId,
    /// What its row and the member's flags say, where that is asked.
    marks: Option<(Row, Mine)>,
}

impl Standing {
    fn item(&self) -> Option<Item> {
        self.marks.as_ref().map(|(row, _)| Item::of(row))
    }

    /// The number of its last change.
    fn modseq(&self) -> u64 {
        self.marks.as_ref().map_or(0, |(row, mine)| row.modseq.max(mine.modseq))
    }
}

/// What a FETCH could not bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// A message is gone.
    pub gone: bool,
    /// A part is encoded in a way that nobody here knows (RFC 3516 §4.3).
    pub unknown_encoding: bool,
}

/// Answers a FETCH for these messages.
pub(super) async fn fetch(
    seat: &Seat,
    selected: &Selected,
    uids: &[u32],
    wanted: &Wanted<'_>,
    out: &mut Out<'_>,
) -> Result<Missing, Trouble> {
    let (desk, member) = (&seat.desk, seat.member.id);
    let depth = wanted.depth();
    let exchange = Exchange::new(desk, member);
    let mut teller =
        Teller { seat, selected, items: wanted.in_order(), likely: 1, exchange, missing: Missing::default() };
    let at_a_time = match depth {
        Depth::Row => MANY,
        Depth::Shape | Depth::Header | Depth::Message => SOME,
    };
    for some in uids.chunks(at_a_time) {
        seat.may_go_on(selected)?;
        let mut standing = desk.store.read(|view| stand(view, desk, member, selected, some, wanted.needs_marks()))?;
        teller.missing.gone |= standing.len() < some.len();
        if let Some(since) = wanted.changed_since {
            standing.retain(|one| one.modseq() > since);
        }
        if !wanted.known.is_empty() {
            standing.retain(|one| wanted.known.binary_search(&(one.uid, one.modseq())).is_err());
        }
        if wanted.reads() && !selected.read_only {
            see(desk, member, &mut standing).await?;
        }
        match depth {
            Depth::Row => standing.iter().for_each(|one| teller.tell(one, None, &[], out.bytes)),
            Depth::Shape | Depth::Header => {
                let mut rest = &standing[..];
                while !rest.is_empty() {
                    let mut pass = teller.tell_kept(desk, depth, rest, false, out.bytes)?;
                    if !pass.new.is_empty() {
                        let rows = desk.store.read(|view| found(view, &selected.shelves, member, &pass.new))?;
                        make(desk, member, &rows.iter().map(|(_, row, _)| Item::of(row)).collect::<Vec<_>>()).await?;
                        pass = teller.tell_kept(desk, depth, rest, true, out.bytes)?;
                    }
                    // Rows of what is being erased have nothing behind them.
                    teller.missing.gone |= !pass.new.is_empty();
                    out.relieve().await?;
                    if !pass.large.is_empty() {
                        let large = desk.store.read(|view| stand(view, desk, member, selected, &pass.large, true))?;
                        teller.tell_whole(&large, out).await?;
                    }
                    rest = &rest[pass.told..];
                    if !rest.is_empty() {
                        seat.may_go_on(selected)?;
                    }
                }
            }
            Depth::Message => {
                let items: Vec<_> = standing.iter().filter_map(Standing::item).collect();
                prepare(desk, member, &items).await?;
                teller.tell_whole(&standing, out).await?;
            }
        }
        out.relieve().await?;
    }
    Ok(teller.missing)
}

/// Which of these messages stand in the mailbox, with their marks where those are needed.
fn stand(
    view: &View<'_>,
    desk: &Desk,
    member: MemberId,
    selected: &Selected,
    uids: &[u32],
    marks: bool,
) -> Result<Vec<Standing>, StoreError> {
    if marks {
        let found = found(view, &selected.shelves, member, uids)?.into_iter();
        return Ok(found
            .map(|(uid, row, mine)| Standing { uid, entry: row.entry, marks: Some((row, mine)) })
            .collect());
    }
    let roll = desk.rolls.of(view, &selected.shelves)?;
    Ok(uids.iter().filter_map(|uid| Some(Standing { uid: *uid, entry: roll.entry(*uid)?, marks: None })).collect())
}

/// Marks messages as read by the member.
async fn see(desk: &Desk, member: MemberId, standing: &mut [Standing]) -> Result<(), Trouble> {
    let unseen: Vec<_> = standing
        .iter()
        .filter(|one| one.marks.as_ref().is_some_and(|(_, mine)| !mine.seen))
        .filter_map(Standing::item)
        .collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let marking = desk.store.transact(|tx| {
        unseen
            .iter()
            .try_for_each(|item| views::set_mine(tx, member, (item.ticket, item.entry), |mine| mine.seen = true))
    });
    marking.await.map_err(Trouble::Store)?;
    let entries = standing.iter().map(|one| one.entry);
    let now = desk.store.read(|view| mine(view, member, entries))?;
    for (one, now) in standing.iter_mut().zip(now) {
        if let Some((_, mine)) = &mut one.marks {
            *mine = now;
        }
    }
    Ok(())
}

/// How far telling what is kept of some messages came.
struct Pass {
    /// So many of them are done with.
    told: usize,
    /// Nothing is kept of these yet, by UID.
    new: Vec<u32>,
    /// What is kept of these is too large to be told with others'.
    large: Vec<u32>,
}

/// Writes answers.
struct Teller<'a> {
    seat: &'a Seat,
    selected: &'a Selected,
    items: Vec<&'a FetchItem>,
    /// The next message's number, most likely.
    likely: u32,
    exchange: Exchange<'a>,
    missing: Missing,
}

impl Teller<'_> {
    /// Tells of messages what takes their text.
    async fn tell_whole(&mut self, standing: &[Standing], out: &mut Out<'_>) -> Result<(), Trouble> {
        let (desk, member) = (&self.seat.desk, self.seat.member.id);
        let items: Vec<_> = standing.iter().filter_map(Standing::item).collect();
        let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
        let sizes = sizes(desk, &items)?;
        let mut shapes: Vec<Option<Kept<Shape>>> = Vec::new();
        desk.store.read(|view| {
            each(view, &SHAPES, &entries, |_, stored| {
                shapes.push(stored.map(|stored| stored.keep()));
                Ok::<_, Trouble>(())
            })
        })?;
        let mut at = 0;
        while at < items.len() {
            self.seat.may_go_on(self.selected)?;
            let (count, octets) = together(sizes[at..].iter().copied());
            let (messages, _room) = bytes(desk, member, &items[at..at + count], octets).await?;
            for (n, message) in messages.into_iter().enumerate() {
                let (Some(shape), Some(mut octets)) = (&shapes[at + n], message) else {
                    self.missing.gone = true;
                    continue;
                };
                let shape: Glance<'_> = shape.stored().glance()?;
                let end = octets.len().min(shape.header as usize);
                self.exchange.make_his(shape.reply, &mut octets[..end]);
                self.tell_by_items(&standing[at + n], shape, &octets, out).await?;
            }
            at += count;
        }
        Ok(())
    }

    /// Tells what is kept of messages, right from where it is kept, until that is much. Of those that
    /// have nothing kept yet it has to be made, and nothing was told then unless this is for the `last`
    /// time.
    fn tell_kept(
        &mut self,
        desk: &Desk,
        depth: Depth,
        standing: &[Standing],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Pass, Trouble> {
        let entries: Vec<_> = standing.iter().map(|one| one.entry).collect();
        let start = out.len();
        let is_much = |out: &Vec<u8>| out.len() - start >= MUCH;
        let mut pass = Pass { told: standing.len(), new: Vec::new(), large: Vec::new() };
        desk.store.read(|view| {
            let mut shapes: Vec<Option<Kept<Shape>>> = Vec::new();
            each(view, &SHAPES, &entries, |at, stored| {
                match stored {
                    _ if is_much(out) => pass.told = pass.told.min(at),
                    None => pass.new.push(standing[at].uid),
                    Some(_) if !last && !pass.new.is_empty() => {}
                    Some(stored) if depth == Depth::Shape => {
                        self.tell(&standing[at], Some(stored.glance()?), &[], out);
                    }
                    Some(stored) => {
                        shapes.resize_with(at, || None);
                        shapes.push(Some(stored.keep()));
                    }
                }
                Ok::<_, Trouble>(())
            })?;
            let mut octets = Vec::new();
            each(view, &RENDERINGS, if shapes.is_empty() { &[] } else { &entries }, |at, stored| {
                if is_much(out) {
                    pass.told = pass.told.min(at);
                    return Ok::<_, Trouble>(());
                }
                let (Some(Some(shape)), Some(stored)) = (shapes.get(at), stored) else { return Ok(()) };
                let shape: Glance<'_> = shape.stored().glance()?;
                if shape.header > LARGE_HEADER {
                    pass.large.push(standing[at].uid);
                    return Ok(());
                }
                let header = stored.glance::<RenderedHeader<'_>>()?.1;
                octets.clear();
                octets.extend_from_slice(header);
                self.exchange.make_his(shape.reply, &mut octets);
                self.tell(&standing[at], Some(shape), &octets, out);
                Ok(())
            })
        })?;
        if !last && !pass.new.is_empty() {
            out.truncate(start);
        }
        Ok(pass)
    }

    /// The number of a message that the session counts: mostly the one after the last.
    fn number(&mut self, uid: u32) -> Option<u32> {
        let number = self.selected.number_near(uid, self.likely)?;
        self.likely = number + 1;
        Some(number)
    }

    /// One untagged FETCH, of a message that the session counts.
    fn tell(&mut self, standing: &Standing, shape: Option<Glance<'_>>, octets: &[u8], out: &mut Vec<u8>) {
        let Some(number) = self.number(standing.uid) else { return };
        begin(out, number);
        for at in 0..self.items.len() {
            if let Some(piece) = self.write(at, standing, shape, octets, out) {
                piece.announce(out);
                piece.put(piece.octets(), out);
            }
        }
        out.extend_from_slice(b")\r\n");
    }

    /// The same, where each item may be large.
    async fn tell_by_items(
        &mut self,
        standing: &Standing,
        shape: Glance<'_>,
        octets: &[u8],
        out: &mut Out<'_>,
    ) -> Result<(), Trouble> {
        let Some(number) = self.number(standing.uid) else { return Ok(()) };
        begin(out.bytes, number);
        for at in 0..self.items.len() {
            if let Some(piece) = self.write(at, standing, Some(shape), octets, out.bytes) {
                piece.announce(out.bytes);
                for some in piece.octets().chunks(MUCH) {
                    piece.put(some, out.bytes);
                    out.relieve().await?;
                }
            }
            out.relieve().await?;
            if octets.len() > MUCH {
                // To find a part takes time that others want too.
                tokio::task::yield_now().await;
            }
        }
        out.bytes.extend_from_slice(b")\r\n");
        Ok(out.relieve().await?)
    }

    /// One item of an answer, but for the piece of the message that it ends with.
    fn write<'o>(
        &mut self,
        at: usize,
        standing: &Standing,
        shape: Option<Glance<'_>>,
        octets: &'o [u8],
        out: &mut Vec<u8>,
    ) -> Option<Piece<'o>> {
        if at > 0 {
            out.push(b' ');
        }
        let mut name = |name: &str| out.extend_from_slice(name.as_bytes());
        match self.items[at] {
            FetchItem::Uid => {
                name("UID ");
                decimal(out, u64::from(standing.uid));
            }
            FetchItem::Flags => {
                name("FLAGS ");
                if let Some((row, mine)) = &standing.marks {
                    flags::write(out, standing.uid, row, mine);
                }
            }
            FetchItem::ModSeq => {
                name("MODSEQ (");
                decimal(out, standing.modseq());
                out.push(b')');
            }
            FetchItem::EmailId => {
                let email = standing.marks.as_ref().map(|(row, _)| email_id(row)).unwrap_or_default();
                name(&format!("EMAILID ({email})"));
            }
            FetchItem::ThreadId => {
                let thread = standing.marks.as_ref().map(|(row, _)| thread_id(row)).unwrap_or_default();
                name(&format!("THREADID ({thread})"));
            }
            FetchItem::InternalDate => {
                let at = shape.map(|shape| shape.at()).unwrap_or_default();
                name(&format!("INTERNALDATE \"{}\"", at.strftime("%d-%b-%Y %H:%M:%S +0000")));
            }
            FetchItem::Rfc822Size => {
                name("RFC822.SIZE ");
                decimal(out, shape.map_or(0, |shape| u64::from(shape.size)));
            }
            FetchItem::Envelope => {
                name("ENVELOPE ");
                let start = out.len();
                out.extend_from_slice(shape.map_or(&[], |shape| shape.envelope));
                self.exchange.make_his(shape.and_then(|shape| shape.reply), &mut out[start..]);
            }
            FetchItem::Body => {
                name("BODY ");
                out.extend_from_slice(shape.map_or(&[], |shape| shape.body));
            }
            FetchItem::BodyStructure => {
                name("BODYSTRUCTURE ");
                out.extend_from_slice(shape.map_or(&[], |shape| shape.structure));
            }
            FetchItem::Section { section, partial, old_name, .. } => {
                match old_name {
                    Some(old) => name(old),
                    None => name(&section_name(section, *partial)),
                }
                out.push(b' ');
                match cut(octets, section) {
                    Some(whole) => return Some(Piece { whole, partial: *partial, binary: false }),
                    None => out.extend_from_slice(b"NIL"),
                }
            }
            FetchItem::Binary { part, partial, .. } => {
                name(&format!("BINARY[{}]{} ", numbers(part), origin(*partial)));
                match section::binary(octets, part) {
                    Ok(Some(whole)) => return Some(Piece { whole, partial: *partial, binary: true }),
                    Ok(None) => out.extend_from_slice(b"NIL"),
                    Err(section::UnknownEncoding) => {
                        self.missing.unknown_encoding = true;
                        out.extend_from_slice(b"NIL");
                    }
                }
            }
            FetchItem::BinarySize(part) => {
                let size = section::binary_size(octets, part);
                self.missing.unknown_encoding |= size.is_err();
                let size = size.ok().flatten().unwrap_or(0);
                name(&format!("BINARY.SIZE[{}] {size}", numbers(part)));
            }
        }
        None
    }
}

/// Begins an untagged FETCH.
fn begin(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(b"* ");
    decimal(out, u64::from(number));
    out.extend_from_slice(b" FETCH (");
}

/// UIDs that left a mailbox after a change, of those that were asked for (RFC 7162 §3.2.6). The log is
/// read a page at a time, so that nobody who writes waits for it.
pub(super) async fn vanished(
    desk: &Desk,
    selected: &Selected,
    since: u64,
    asked: impl Fn(u32) -> bool,
) -> Result<Option<String>, Trouble> {
    let mut left = BTreeSet::new();
    // What left later the session is told as it is told of all else.
    let end = Bound::Excluded((selected.synced() + 1, FIRST));
    let mut from = Bound::Included((since.saturating_add(1), FIRST));
    if since >= selected.synced() {
        return Ok(None);
    }
    loop {
        tokio::task::yield_now().await;
        let page = desk.store.read(|view| view.range(&VIEW_LOG, (from, end), Order::Up, PAGE))?;
        for ((_, trail), turn) in &page {
            if let (Trail::Row(shelf, uid), Turn::Left) = (trail, turn)
                && selected.shelves.contains(shelf)
                && asked(*uid)
                // Of what it still counts the session is told when its number goes (RFC 7162 §3.2.10).
                && selected.number(*uid).is_none()
            {
                left.insert(*uid);
            }
        }
        match page.last().filter(|_| page.len() == PAGE) {
            Some((last, _)) => from = Bound::Excluded(*last),
            None => return Ok((!left.is_empty()).then(|| set(left))),
        }
    }
}
#[cfg(test)]
mod tests;
