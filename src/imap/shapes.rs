//! Messages as mailboxes show them: made of an entry once, kept, and the same ever after.
//!
//! What a message looks like is decided when it is first shown: the plan that its bytes are made by
//! is kept, and so is what IMAP says of them. One thing differs from member to member: the address
//! that an answer goes to. It is kept as nobody's and exchanged for the reader's own, which has the
//! same length.

use tokio::sync::SemaphorePermit;

use super::{Desk, Trouble};
use crate::actions::{find, views};
use crate::desk::entry::Entry;
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::shape::{Glance, Rendering, Reply, Said, Shape};
use crate::desk::shelf::{Row, Shelf, Shown};
use crate::desk::ticket::Person;
use crate::desk::token::ReplyToken;
use crate::mime::copy::{Plan, build, conversation};
use crate::mime::shape::fields::{Fields, Searched};
use crate::mime::shape::shape;
use crate::net::limits::keep;
use crate::relay::render::{ANYBODY, for_mailbox};
use crate::store::tables::{ENTRIES, OWN, RENDERINGS, SHAPES, SHOWN};
use crate::store::{Read, Record, StoreError, Stored, Table, Tx, View};

/// A message, whoever keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// `None` for what is the member's own.
    pub ticket: Option<TicketId>,
    pub entry: EntryId,
}

impl Item {
    #[must_use]
    pub fn of(row: &Row) -> Self {
        Self { ticket: row.ticket, entry: row.entry }
    }
}

/// A message's name for good; a copy has that of what it was copied from (RFC 8474 §5.1).
#[must_use]
pub fn email_id(row: &Row) -> String {
    format!("e{}", original(row))
}

/// The name of its thread: the ticket (RFC 8474 §5.2). What is on no ticket is with its copies a thread of
/// its own: NIL would say the same, but `ImapFlow` 1.3 breaks off reading the whole response at it.
#[must_use]
pub fn thread_id(row: &Row) -> String {
    row.ticket.map_or_else(|| format!("o{}", original(row)), |ticket| format!("t{ticket}"))
}

fn original(row: &Row) -> EntryId {
    row.marks.copy_of.unwrap_or(row.entry)
}

/// What a message is made of, read from one state of the store.
pub struct Source {
    raw: Vec<u8>,
    /// `None` for what is shown as it came.
    plan: Option<Box<(Plan, Entry)>>,
}

impl Source {
    /// Reads what a message that was shown before is made of.
    pub fn read(view: &View<'_>, member: MemberId, item: Item) -> Result<Option<Self>, Trouble> {
        let Some(ticket) = item.ticket else { return own(view, member, item.entry) };
        let Some(entry) = view.get(&ENTRIES, &(ticket, item.entry))? else { return Ok(None) };
        let (Some(raw), Some(rendering)) = (entry.raw, view.get(&RENDERINGS, &item.entry)?) else { return Ok(None) };
        let plan = rmp_serde::from_slice(&rendering.plan).map_err(|error| Trouble::Broken(error.to_string()))?;
        Ok(Some(Self { raw: view.raw(raw)?, plan: Some(Box::new((plan, entry))) }))
    }

    /// The bytes of the message, as nobody's. Takes as long as the message is large.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let Some((plan, entry)) = self.plan.map(|plan| *plan) else { return self.raw };
        // What is signed and has a form that can't be sent is shown by its text.
        build(&self.raw, &plan).unwrap_or_else(|_| conversation(&[entry], &plan))
    }
}

fn own(view: &View<'_>, member: MemberId, entry: EntryId) -> Result<Option<Source>, Trouble> {
    let Some(own) = view.get(&OWN, &(member, entry))? else { return Ok(None) };
    Ok(Some(Source { raw: view.raw(own.raw)?, plan: None }))
}

/// A message that was never shown, with what is decided now.
struct New {
    item: Item,
    /// Where it stood then.
    stood: Vec<(Shelf, u32)>,
    source: Source,
    at: jiff::Timestamp,
    reply: Option<Reply>,
}

impl New {
    fn read(view: &View<'_>, desk: &Desk, member: MemberId, item: Item) -> Result<Option<Self>, Trouble> {
        let Some(Shown { at: stood, .. }) = view.get(&SHOWN, &(item.ticket, item.entry))? else { return Ok(None) };
        let Some(ticket) = item.ticket else {
            let Some(own) = view.get(&OWN, &(member, item.entry))? else { return Ok(None) };
            let source = Source { raw: view.raw(own.raw)?, plan: None };
            return Ok(Some(Self { item, stood, source, at: own.at, reply: None }));
        };
        let Some(entry) = view.get(&ENTRIES, &(ticket, item.entry))? else { return Ok(None) };
        let Some(raw) = entry.raw else { return Ok(None) };
        let ticket = find::ticket_by_id(view, ticket)?;
        let (plan, token, key) = for_mailbox(view, &desk.desk, &ticket, &entry)?;
        let reply = Some(Reply { ticket: token.ticket, scope: token.scope, key });
        let at = entry.at;
        let source = Source { raw: view.raw(raw)?, plan: Some(Box::new((plan, entry))) };
        Ok(Some(Self { item, stood, source, at, reply }))
    }

    fn make(self) -> Result<Made, Trouble> {
        let Self { item, stood, source, at, reply } = self;
        let broken = |error: rmp_serde::encode::Error| Trouble::Broken(error.to_string());
        let plan = source
            .plan
            .as_ref()
            .map(|plan| rmp_serde::to_vec(&plan.0))
            .transpose()
            .map_err(broken)?
            .unwrap_or_default();
        let bytes = source.bytes();
        let made = shape(&bytes);
        let header = bytes.get(..made.header as usize).unwrap_or_default().to_vec();
        let said = rmp_serde::to_vec(&made.fields).map_err(broken)?;
        let shape = Shape {
            size: made.size,
            header: made.header,
            at,
            reply,
            envelope: made.envelope,
            body: made.body,
            structure: made.structure,
        };
        Ok(Made { item, stood, shape, rendering: Rendering { plan, header }, said: Said(said) })
    }
}

/// What is to be kept of a message.
struct Made {
    item: Item,
    stood: Vec<(Shelf, u32)>,
    shape: Shape,
    rendering: Rendering,
    said: Said,
}

impl Made {
    fn keep(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let Self { item, stood, shape, rendering, said } = self;
        views::keep_shape(tx, (item.ticket, item.entry), stood, shape, rendering, said)
    }
}

/// Shows what a table has of some entries, in their order; `None` for those that it has nothing of.
pub(super) fn each<V: Record, E: From<StoreError>>(
    view: &impl Read,
    table: &Table<EntryId, V>,
    entries: &[EntryId],
    mut see: impl FnMut(usize, Option<Stored<'_, V>>) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    // Entries of a mailbox mostly lie close together, and to read on costs less than to look for each.
    if let (true, [first, .., last]) = (entries.is_sorted_by(|one, other| one < other), entries) {
        view.visit(table, *first..=*last, 2 * entries.len() + 8, |entry, stored| {
            while entries.get(at).is_some_and(|wanted| *wanted < entry) {
                see(at, None)?;
                at += 1;
            }
            if entries.get(at) == Some(&entry) {
                see(at, Some(stored))?;
                at += 1;
            }
            Ok::<_, E>(())
        })?;
    }
    for (at, entry) in entries.iter().enumerate().skip(at) {
        if let Some(seen) = view.glance(table, entry, |stored| see(at, Some(stored)))? {
            seen?;
        } else {
            see(at, None)?;
        }
    }
    Ok(())
}

/// Sees to it that messages have their shape: those that were never shown get it now.
pub async fn prepare(desk: &Desk, member: MemberId, items: &[Item]) -> Result<(), Trouble> {
    let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
    let missing = desk.store.read(|view| {
        let mut missing = Vec::new();
        each(view, &SHAPES, &entries, |at, stored| {
            missing.extend(stored.is_none().then(|| items[at]));
            Ok::<_, Trouble>(())
        })?;
        Ok::<_, Trouble>(missing)
    })?;
    make(desk, member, &missing).await
}

/// Gives messages their shape that have none, some at a time.
pub(super) async fn make(desk: &Desk, member: MemberId, mut missing: &[Item]) -> Result<(), Trouble> {
    while !missing.is_empty() {
        let (mut new, mut octets, mut read) = (Vec::new(), 0, 0);
        desk.store.read(|view| {
            while read < missing.len().min(KEPT_AT_A_TIME) && octets < MUCH {
                let one = New::read(view, desk, member, missing[read])?;
                octets += one.as_ref().map_or(0, |one| one.source.raw.len() as u64);
                new.extend(one);
                read += 1;
            }
            Ok::<_, Trouble>(())
        })?;
        missing = &missing[read..];
        let _room = desk.memory.room(octets, TIMES).await;
        let making = tokio::task::spawn_blocking(move || new.into_iter().map(New::make).collect::<Result<Vec<_>, _>>());
        let made = making.await.map_err(|error| Trouble::Broken(error.to_string()))??;
        desk.store.transact(|tx| made.iter().try_for_each(|made| made.keep(tx))).await.map_err(Trouble::Store)?;
    }
    Ok(())
}

/// What is made of so many messages is kept in one commit.
const KEPT_AT_A_TIME: usize = 32;

/// Reads the bytes of some messages that have their shape, as nobody's; nothing for those that are gone.
/// Their sizes, all together, are `octets`.
pub(super) async fn bytes<'a>(
    desk: &'a Desk,
    member: MemberId,
    items: &[Item],
    octets: u64,
) -> Result<(Vec<Option<Vec<u8>>>, Option<SemaphorePermit<'a>>), Trouble> {
    let mut room = desk.memory.room(octets, TIMES).await;
    let sources = desk
        .store
        .read(|view| items.iter().map(|item| Source::read(view, member, *item)).collect::<Result<Vec<_>, _>>())?;
    let making =
        tokio::task::spawn_blocking(move || sources.into_iter().map(|source| source.map(Source::bytes)).collect());
    let made = making.await.map_err(|error| Trouble::Broken(error.to_string()))?;
    // A client may take long to read it; others are not to wait for more than is held meanwhile.
    keep(&mut room, octets);
    Ok((made, room))
}

/// How many octets messages have, as they are shown; 0 for those that are gone.
pub(super) fn sizes(desk: &Desk, items: &[Item]) -> Result<Vec<u32>, Trouble> {
    let entries: Vec<_> = items.iter().map(|item| item.entry).collect();
    let mut sizes = Vec::with_capacity(entries.len());
    desk.store.read(|view| {
        each(view, &SHAPES, &entries, |_, stored| {
            let shape = stored.map(|stored| stored.glance::<Glance<'_>>().map(|shape| shape.size)).transpose()?;
            sizes.push(shape.unwrap_or(0));
            Ok::<_, Trouble>(())
        })
    })?;
    Ok(sizes)
}

/// How often the octets of a message are in memory while it is made.
const TIMES: u64 = 3;
/// Messages whose bytes are in memory together, and how many octets they have at most unless it is one.
const FEW: usize = 16;
const MUCH: u64 = 1 << 20;

/// Parts messages of these sizes into groups whose bytes may be in memory together; answers how many the
/// next group has.
pub(super) fn together(sizes: impl IntoIterator<Item = u32>) -> (usize, u64) {
    let (mut count, mut octets) = (0, 0);
    for size in sizes {
        let more = octets + u64::from(size);
        if count > 0 && (more > MUCH || count == FEW) {
            break;
        }
        (count, octets) = (count + 1, more);
    }
    (count, octets)
}

/// What messages are sorted by, of what is kept for it.
pub(super) fn fields(said: &[u8]) -> Result<Fields, Trouble> {
    rmp_serde::from_slice(said).map_err(|error| Trouble::Broken(error.to_string()))
}

/// What they are searched by.
pub(super) fn searched(said: &[u8]) -> Result<Searched<'_>, Trouble> {
    rmp_serde::from_slice(said).map_err(|error| Trouble::Broken(error.to_string()))
}

/// Exchanges nobody's reply address in messages for a member's.
pub(super) struct Exchange<'a> {
    desk: &'a Desk,
    member: MemberId,
    /// Nobody's and his, as they were made last: messages of one ticket often follow each other.
    last: Option<(Reply, String, String)>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(desk: &'a Desk, member: MemberId) -> Self {
        Self { desk, member, last: None }
    }

    /// Does so in some octets of a message.
    pub(super) fn make_his(&mut self, reply: Option<Reply>, octets: &mut [u8]) {
        let Some(reply) = reply else { return };
        if self.last.as_ref().is_none_or(|(last, ..)| *last != reply) {
            let Reply { ticket, scope, key } = reply;
            let token =
                |member| ReplyToken { ticket, person: Person::Member(member), scope }.encode(&self.desk.desk.keys, key);
            // A key that is gone: the address stays nobody's, and answers to it go to the property.
            let (Ok(nobodys), Ok(his)) = (token(ANYBODY), token(self.member)) else { return };
            self.last = Some((reply, nobodys, his));
        }
        let Some((_, nobodys, his)) = &self.last else { return };
        let mut from = 0;
        while let Some(at) = find(&octets[from..], nobodys.as_bytes()) {
            octets[from + at..][..his.len()].copy_from_slice(his.as_bytes());
            from += at + his.len();
        }
    }
}

/// Where a text is in a short one. What `memmem` makes ready for each text that it looks for costs more
/// than to look.
fn find(octets: &[u8], text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(*text.first()?, octets).find(|at| octets[*at..].starts_with(text))
}
