//! FETCH (RFC 3501 §6.4.5): what is asked of messages, read a few at a time and written as it comes.

use std::collections::BTreeSet;

use super::command::{FetchItem, Partial, Section, What};
use super::flags;
use super::selected::{Selected, found};
use super::shapes::{Item, Source, make_his, prepare};
use super::write::{Out, literal, set};
use super::{Desk, Trouble};
use crate::actions::views;
use crate::desk::id::MemberId;
use crate::desk::shape::Shape;
use crate::desk::shelf::{Mine, Row, Trail, Turn};
use crate::mime::shape::section;
use crate::store::tables::{RENDERINGS, SHAPES, VIEW_LOG};
use crate::store::{Order, Read as _, StoreError, View};

/// Messages that are read at a time, where their text is not wanted, and where it is.
const MANY: usize = 500;
const FEW: usize = 8;

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

/// One message with what was read of it.
struct Found {
    uid: u32,
    row: Row,
    mine: Mine,
    shape: Option<Shape>,
    /// Its header, or all of it.
    octets: Vec<u8>,
    source: Option<Source>,
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
    let mut missing = Missing::default();
    for some in uids.chunks(if depth == Depth::Message { FEW } else { MANY }) {
        let mut rows = desk.store.read(|view| found(view, &selected.shelves, member, some))?;
        missing.gone |= rows.len() < some.len();
        if let Some(since) = wanted.changed_since {
            rows.retain(|(_, row, mine)| row.modseq.max(mine.modseq) > since);
        }
        if depth > Depth::Row {
            let items: Vec<_> = rows.iter().map(|(_, row, _)| Item::of(row)).collect();
            prepare(desk, member, &items).await?;
        }
        if wanted.reads() && !selected.read_only {
            see(desk, member, &mut rows).await?;
        }
        let read = |(uid, row, mine)| {
            desk.store.read(|view| {
                read(view, member, depth, Found { uid, row, mine, shape: None, octets: Vec::new(), source: None })
            })
        };
        let messages = rows.into_iter().map(read).collect::<Result<Vec<_>, Trouble>>()?;
        let messages = if depth == Depth::Message { render(messages).await? } else { messages };
        for mut message in messages {
            // Rows of what is being erased have nothing behind them.
            if depth > Depth::Row && message.shape.is_none() {
                missing.gone = true;
                continue;
            }
            let Some(number) = selected.number(message.uid) else { continue };
            if let Some(shape) = &message.shape {
                let end = shape.header as usize;
                make_his(desk, member, shape.reply, &mut message.octets, end);
            }
            missing.unknown_encoding |= !write(desk, member, number, &message, wanted, out.bytes);
            out.relieve().await?;
        }
    }
    Ok(missing)
}

fn read(view: &View<'_>, member: MemberId, depth: Depth, mut found: Found) -> Result<Found, Trouble> {
    let item = Item::of(&found.row);
    if depth >= Depth::Shape {
        found.shape = view.get(&SHAPES, &item.entry)?;
    }
    if depth == Depth::Header {
        found.octets = view.get(&RENDERINGS, &item.entry)?.map(|rendering| rendering.header).unwrap_or_default();
    }
    if depth == Depth::Message {
        found.source = Source::read(view, member, item)?;
        if found.source.is_none() {
            found.shape = None;
        }
    }
    Ok(found)
}

/// Makes the bytes of messages where that may take its time.
async fn render(messages: Vec<Found>) -> Result<Vec<Found>, Trouble> {
    let making = tokio::task::spawn_blocking(move || {
        let make = |mut message: Found| {
            message.octets = message.source.take().map(Source::bytes).unwrap_or_default();
            message
        };
        messages.into_iter().map(make).collect()
    });
    making.await.map_err(|error| Trouble::Broken(error.to_string()))
}

/// Marks messages as read by the member.
async fn see(desk: &Desk, member: MemberId, rows: &mut [(u32, Row, Mine)]) -> Result<(), Trouble> {
    let unseen: Vec<_> = rows.iter().filter(|(.., mine)| !mine.seen).map(|(_, row, _)| Item::of(row)).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let marking = desk.store.transact(|tx| {
        unseen
            .iter()
            .try_for_each(|item| views::set_mine(tx, member, (item.ticket, item.entry), |mine| mine.seen = true))
    });
    marking.await.map_err(Trouble::Store)?;
    for (.., mine) in rows {
        mine.seen = true;
    }
    Ok(())
}

/// One untagged FETCH; whether all encodings were known.
fn write(desk: &Desk, member: MemberId, number: u32, message: &Found, wanted: &Wanted<'_>, out: &mut Vec<u8>) -> bool {
    let mut known = true;
    out.extend_from_slice(format!("* {number} FETCH (").as_bytes());
    let mut first = true;
    let mut begin = |out: &mut Vec<u8>, name: &str| {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    };
    let named = |name: &FetchItem| wanted.items.contains(name);
    let Found { uid, row, mine, .. } = message;
    if wanted.uid && !named(&FetchItem::Uid) {
        begin(out, &format!("UID {uid}"));
    }
    for item in wanted.items {
        let shaped = |pick: fn(&Shape) -> &Vec<u8>| message.shape.as_ref().map(pick).cloned().unwrap_or_default();
        match item {
            FetchItem::Uid => begin(out, &format!("UID {uid}")),
            FetchItem::Flags => begin(out, &format!("FLAGS {}", flags::list(*uid, row, mine))),
            FetchItem::ModSeq => begin(out, &format!("MODSEQ ({})", row.modseq.max(mine.modseq))),
            FetchItem::EmailId => begin(out, &format!("EMAILID ({})", Item::of(row).email_id())),
            FetchItem::ThreadId => {
                let thread = Item::of(row).thread_id().map_or_else(|| "NIL".to_owned(), |id| format!("({id})"));
                begin(out, &format!("THREADID {thread}"));
            }
            FetchItem::InternalDate => {
                let at = message.shape.as_ref().map(|shape| shape.at).unwrap_or_default();
                begin(out, &format!("INTERNALDATE \"{}\"", at.strftime("%d-%b-%Y %H:%M:%S +0000")));
            }
            FetchItem::Rfc822Size => {
                begin(out, &format!("RFC822.SIZE {}", message.shape.as_ref().map_or(0, |shape| shape.size)));
            }
            FetchItem::Envelope => {
                begin(out, "ENVELOPE ");
                let mut envelope = shaped(|shape| &shape.envelope);
                let (reply, end) = (message.shape.as_ref().and_then(|shape| shape.reply), envelope.len());
                make_his(desk, member, reply, &mut envelope, end);
                out.extend_from_slice(&envelope);
            }
            FetchItem::Body => {
                begin(out, "BODY ");
                out.extend_from_slice(&shaped(|shape| &shape.body));
            }
            FetchItem::BodyStructure => {
                begin(out, "BODYSTRUCTURE ");
                out.extend_from_slice(&shaped(|shape| &shape.structure));
            }
            FetchItem::Section { section, partial, old_name, .. } => {
                let name = old_name.map_or_else(|| section_name(section, *partial), ToOwned::to_owned);
                begin(out, &name);
                out.push(b' ');
                match cut(&message.octets, section) {
                    Some(octets) => literal_of(out, &octets, *partial),
                    None => out.extend_from_slice(b"NIL"),
                }
            }
            FetchItem::Binary { part, partial, .. } => {
                begin(out, &format!("BINARY[{}]{} ", numbers(part), origin(*partial)));
                match section::binary(&message.octets, part) {
                    Ok(Some(octets)) if octets.contains(&0) => {
                        out.push(b'~');
                        literal_of(out, &octets, *partial);
                    }
                    Ok(Some(octets)) => literal_of(out, &octets, *partial),
                    Ok(None) => out.extend_from_slice(b"NIL"),
                    Err(section::UnknownEncoding) => {
                        known = false;
                        out.extend_from_slice(b"NIL");
                    }
                }
            }
            FetchItem::BinarySize(part) => {
                let size = section::binary_size(&message.octets, part);
                known &= size.is_ok();
                let size = size.ok().flatten().unwrap_or(0);
                begin(out, &format!("BINARY.SIZE[{}] {size}", numbers(part)));
            }
        }
    }
    if wanted.modseq && !named(&FetchItem::ModSeq) {
        begin(out, &format!("MODSEQ ({})", row.modseq.max(mine.modseq)));
    }
    out.extend_from_slice(b")\r\n");
    known
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

/// UIDs that left a mailbox after a change, of those that were asked for (RFC 7162 §3.2.6).
pub(super) fn vanished(
    view: &View<'_>,
    selected: &Selected,
    since: u64,
    asked: impl Fn(u32) -> bool,
) -> Result<Option<String>, StoreError> {
    let mut left = BTreeSet::new();
    for ((_, trail), turn) in
        view.range(&VIEW_LOG, (since.saturating_add(1), super::selected::FIRST).., Order::Up, usize::MAX)?
    {
        if let (Trail::Row(shelf, uid), Turn::Left) = (trail, turn)
            && selected.shelves.contains(&shelf)
            && asked(uid)
        {
            left.insert(uid);
        }
    }
    Ok((!left.is_empty()).then(|| set(left)))
}
