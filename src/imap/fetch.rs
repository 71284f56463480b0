//! FETCH (RFC 3501 §6.4.5): what is asked of messages, read a few at a time and written as it comes.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::command::{FetchItem, Partial, Section, What};
use super::flags;
use super::selected::{FIRST, PAGE, Selected, found};
use super::shapes::{Exchange, Item, bytes, each, email_id, make, prepare, sizes, together};
use super::write::{Out, decimal, literal, set};
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

/// What one FETCH asks for.
pub(super) struct Wanted<'a> {
    pub items: &'a [FetchItem],
    /// The answer names the UID too.
    pub uid: bool,
    /// And the number of the last change.
    pub modseq: bool,
    pub changed_since: Option<u64>,
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
    fn depth(&self) -> Depth {
        self.items.iter().map(depth).max().unwrap_or(Depth::Row)
    }

    /// Whether that takes rows and flags. What does not is told from what is in memory and what is kept.
    fn needs_marks(&self) -> bool {
        let of_it = |item: &FetchItem| {
            matches!(item, FetchItem::Flags | FetchItem::ModSeq | FetchItem::ThreadId) || depth(item) == Depth::Message
        };
        self.modseq || self.changed_since.is_some() || self.reads() || self.items.iter().any(of_it)
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
    desk: &Desk,
    member: MemberId,
    selected: &Selected,
    uids: &[u32],
    wanted: &Wanted<'_>,
    out: &mut Out<'_>,
) -> Result<Missing, Trouble> {
    let depth = wanted.depth();
    let exchange = Exchange::new(desk, member);
    let mut teller = Teller { selected, wanted, exchange, missing: Missing::default() };
    let at_a_time = match depth {
        Depth::Row => MANY,
        Depth::Shape | Depth::Header | Depth::Message => SOME,
    };
    for some in uids.chunks(at_a_time) {
        let mut standing = desk.store.read(|view| stand(view, desk, member, selected, some, wanted.needs_marks()))?;
        teller.missing.gone |= standing.len() < some.len();
        if let Some(since) = wanted.changed_since {
            standing.retain(|one| one.marks.as_ref().is_some_and(|(row, mine)| row.modseq.max(mine.modseq) > since));
        }
        if wanted.reads() && !selected.read_only {
            see(desk, member, &mut standing).await?;
        }
        match depth {
            Depth::Row => standing.iter().for_each(|one| teller.tell(one, None, &[], out.bytes)),
            Depth::Shape | Depth::Header => {
                let mut new = teller.tell_kept(desk, depth, &standing, false, out.bytes)?;
                if !new.is_empty() {
                    let rows = desk.store.read(|view| found(view, &selected.shelves, member, &new))?;
                    make(desk, member, &rows.iter().map(|(_, row, _)| Item::of(row)).collect::<Vec<_>>()).await?;
                    new = teller.tell_kept(desk, depth, &standing, true, out.bytes)?;
                }
                // Rows of what is being erased have nothing behind them.
                teller.missing.gone |= !new.is_empty();
            }
            Depth::Message => {
                let items: Vec<_> = standing.iter().filter_map(Standing::item).collect();
                prepare(desk, member, &items).await?;
                teller.tell_whole(desk, member, &standing, &items, out).await?;
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
    for (_, mine) in standing.iter_mut().filter_map(|one| one.marks.as_mut()) {
        mine.seen = true;
    }
    Ok(())
}

/// Writes answers.
struct Teller<'a> {
    selected: &'a Selected,
    wanted: &'a Wanted<'a>,
    exchange: Exchange<'a>,
    missing: Missing,
}

impl Teller<'_> {
    /// Tells of messages what takes their text.
    async fn tell_whole(
        &mut self,
        desk: &Desk,
        member: MemberId,
        standing: &[Standing],
        items: &[Item],
        out: &mut Out<'_>,
    ) -> Result<(), Trouble> {
        let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
        let sizes = sizes(desk, items)?;
        let mut shapes: Vec<Option<Kept<Shape>>> = Vec::new();
        desk.store.read(|view| {
            each(view, &SHAPES, &entries, |_, stored| {
                shapes.push(stored.map(|stored| stored.keep()));
                Ok::<_, Trouble>(())
            })
        })?;
        let mut at = 0;
        while at < items.len() {
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
                self.tell(&standing[at + n], Some(shape), &octets, out.bytes);
                out.relieve().await?;
            }
            at += count;
        }
        Ok(())
    }

    /// Tells what is kept of messages, right from where it is kept. Answers which have nothing kept yet;
    /// for these it has to be made, and nothing was told then unless this is for the `last` time.
    fn tell_kept(
        &mut self,
        desk: &Desk,
        depth: Depth,
        standing: &[Standing],
        last: bool,
        out: &mut Vec<u8>,
    ) -> Result<Vec<u32>, Trouble> {
        let entries: Vec<_> = standing.iter().map(|one| one.entry).collect();
        let start = out.len();
        let mut new = Vec::new();
        desk.store.read(|view| {
            let mut shapes: Vec<Option<Kept<Shape>>> = Vec::new();
            each(view, &SHAPES, &entries, |at, stored| {
                match stored {
                    None => new.push(standing[at].uid),
                    Some(_) if !last && !new.is_empty() => {}
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
                let (Some(Some(shape)), Some(stored)) = (shapes.get(at), stored) else { return Ok::<_, Trouble>(()) };
                let shape: Glance<'_> = shape.stored().glance()?;
                let header = stored.glance::<RenderedHeader<'_>>()?.1;
                octets.clear();
                octets.extend_from_slice(header);
                self.exchange.make_his(shape.reply, &mut octets);
                self.tell(&standing[at], Some(shape), &octets, out);
                Ok(())
            })
        })?;
        if !last && !new.is_empty() {
            out.truncate(start);
        }
        Ok(new)
    }

    /// One untagged FETCH, of a message that the session counts.
    fn tell(&mut self, standing: &Standing, shape: Option<Glance<'_>>, octets: &[u8], out: &mut Vec<u8>) {
        let Standing { uid, entry, marks } = standing;
        let Some(number) = self.selected.number(*uid) else { return };
        let wanted = self.wanted;
        out.extend_from_slice(b"* ");
        decimal(out, u64::from(number));
        out.extend_from_slice(b" FETCH (");
        let start = out.len();
        let named = |name: &FetchItem| wanted.items.contains(name);
        let besides = |asked: bool, item| (asked && !named(&item)).then_some(item);
        let (first, last) = (besides(wanted.uid, FetchItem::Uid), besides(wanted.modseq, FetchItem::ModSeq));
        for item in first.iter().chain(wanted.items).chain(&last) {
            match item {
                FetchItem::Uid => {
                    begin(out, start, "UID ");
                    decimal(out, u64::from(*uid));
                }
                FetchItem::Flags => {
                    begin(out, start, "FLAGS ");
                    if let Some((row, mine)) = marks {
                        flags::write(out, *uid, row, mine);
                    }
                }
                FetchItem::ModSeq => {
                    begin(out, start, "MODSEQ (");
                    decimal(out, marks.as_ref().map_or(0, |(row, mine)| row.modseq.max(mine.modseq)));
                    out.push(b')');
                }
                FetchItem::EmailId => begin(out, start, &format!("EMAILID ({})", email_id(*entry))),
                FetchItem::ThreadId => {
                    let thread =
                        standing.item().map_or_else(|| "NIL".to_owned(), |item| format!("({})", item.thread_id()));
                    begin(out, start, &format!("THREADID {thread}"));
                }
                FetchItem::InternalDate => {
                    let at = shape.map(|shape| shape.at()).unwrap_or_default();
                    begin(out, start, &format!("INTERNALDATE \"{}\"", at.strftime("%d-%b-%Y %H:%M:%S +0000")));
                }
                FetchItem::Rfc822Size => {
                    begin(out, start, "RFC822.SIZE ");
                    decimal(out, shape.map_or(0, |shape| u64::from(shape.size)));
                }
                FetchItem::Envelope => {
                    begin(out, start, "ENVELOPE ");
                    let at = out.len();
                    out.extend_from_slice(shape.map_or(&[], |shape| shape.envelope));
                    self.exchange.make_his(shape.and_then(|shape| shape.reply), &mut out[at..]);
                }
                FetchItem::Body => {
                    begin(out, start, "BODY ");
                    out.extend_from_slice(shape.map_or(&[], |shape| shape.body));
                }
                FetchItem::BodyStructure => {
                    begin(out, start, "BODYSTRUCTURE ");
                    out.extend_from_slice(shape.map_or(&[], |shape| shape.structure));
                }
                FetchItem::Section { section, partial, old_name, .. } => {
                    let name = old_name.map_or_else(|| section_name(section, *partial), ToOwned::to_owned);
                    begin(out, start, &name);
                    out.push(b' ');
                    match cut(octets, section) {
                        Some(octets) => literal_of(out, &octets, *partial),
                        None => out.extend_from_slice(b"NIL"),
                    }
                }
                FetchItem::Binary { part, partial, .. } => {
                    begin(out, start, &format!("BINARY[{}]{} ", numbers(part), origin(*partial)));
                    match section::binary(octets, part) {
                        Ok(Some(octets)) if octets.contains(&0) => {
                            out.push(b'~');
                            literal_of(out, &octets, *partial);
                        }
                        Ok(Some(octets)) => literal_of(out, &octets, *partial),
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
                    begin(out, start, &format!("BINARY.SIZE[{}] {size}", numbers(part)));
                }
            }
        }
        out.extend_from_slice(b")\r\n");
    }
}

/// Begins an item of an answer whose items begin there.
fn begin(out: &mut Vec<u8>, start: usize, name: &str) {
    if out.len() > start {
        out.push(b' ');
    }
    out.extend_from_slice(name.as_bytes());
}

fn cut<'a>(octets: &'a [u8], section: &Section) -> Option<std::borrow::Cow<'a, [u8]>> {
    let what = match &section.what {
        What::Whole => section::What::Whole,
        What::Header => section::What::Header,
        What::HeaderFields(names) => section::What::HeaderFields(names),
        What::HeaderFieldsNot(names) => section::What::HeaderFieldsNot(names),
        What::Text => section::What::Text,
        What::Mime => section::What::Mime,
    };
    section::section(octets, &section.part, what)
}

fn literal_of(out: &mut Vec<u8>, octets: &[u8], partial: Option<Partial>) {
    let octets = match partial {
        None => octets,
        Some(Partial { first, count }) => {
            let rest = octets.get(first as usize..).unwrap_or_default();
            &rest[..rest.len().min(count as usize)]
        }
    };
    literal(out, octets);
}

fn numbers(part: &[u32]) -> String {
    part.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn origin(partial: Option<Partial>) -> String {
    partial.map(|partial| format!("<{}>", partial.first)).unwrap_or_default()
}

/// `BODY[1.2.HEADER.FIELDS (FROM)]<0>`
fn section_name(section: &Section, partial: Option<Partial>) -> String {
    let mut name = numbers(&section.part);
    let fields = |what: &str, fields: &[String]| format!("{what} ({})", fields.join(" "));
    let what = match &section.what {
        What::Whole => String::new(),
        What::Header => "HEADER".to_owned(),
        What::HeaderFields(names) => fields("HEADER.FIELDS", names),
        What::HeaderFieldsNot(names) => fields("HEADER.FIELDS.NOT", names),
        What::Text => "TEXT".to_owned(),
        What::Mime => "MIME".to_owned(),
    };
    if !name.is_empty() && !what.is_empty() {
        name.push('.');
    }
    format!("BODY[{name}{what}]{}", origin(partial))
}

/// UIDs that left a mailbox after a change, of those that were asked for (RFC 7162 §3.2.6). The log is
/// read a page at a time, so that nobody who writes waits for it.
pub(super) fn vanished(
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
        let page = desk.store.read(|view| view.range(&VIEW_LOG, (from, end), Order::Up, PAGE))?;
        for ((_, trail), turn) in &page {
            if let (Trail::Row(shelf, uid), Turn::Left) = (trail, turn)
                && selected.shelves.contains(shelf)
                && asked(*uid)
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
