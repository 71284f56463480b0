//! Messages as mailboxes show them: made of an entry once, kept, and the same ever after.
//!
//! What a message looks like is decided when it is first shown: the plan that its bytes are made by
//! is kept, and so is what IMAP says of them. One thing differs from member to member: the address
//! that an answer goes to. It is kept as nobody's and exchanged for the reader's own, which has the
//! same length.

use super::{Desk, Trouble};
use crate::actions::find;
use crate::desk::entry::Entry;
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::shape::{Rendering, Reply, Said, Shape};
use crate::desk::shelf::Row;
use crate::desk::ticket::Person;
use crate::desk::token::ReplyToken;
use crate::mime::copy::{Plan, build, conversation};
use crate::mime::shape::fields::{Fields, Searched};
use crate::mime::shape::shape;
use crate::relay::render::{ANYBODY, for_mailbox};
use crate::store::tables::{ENTRIES, OWN, RENDERINGS, SAID, SHAPES};
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

    /// Its name for good (RFC 8474 §5.1).
    #[must_use]
    pub fn email_id(self) -> String {
        format!("e{}", self.entry)
    }

    /// Its ticket's (RFC 8474 §5.2).
    #[must_use]
    pub fn thread_id(self) -> Option<String> {
        self.ticket.map(|ticket| format!("t{ticket}"))
    }
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
    source: Source,
    at: jiff::Timestamp,
    reply: Option<Reply>,
}

impl New {
    fn read(view: &View<'_>, desk: &Desk, member: MemberId, item: Item) -> Result<Option<Self>, Trouble> {
        let Some(ticket) = item.ticket else {
            let Some(own) = view.get(&OWN, &(member, item.entry))? else { return Ok(None) };
            let source = Source { raw: view.raw(own.raw)?, plan: None };
            return Ok(Some(Self { item, source, at: own.at, reply: None }));
        };
        let Some(entry) = view.get(&ENTRIES, &(ticket, item.entry))? else { return Ok(None) };
        let Some(raw) = entry.raw else { return Ok(None) };
        let ticket = find::ticket_by_id(view, ticket)?;
        let (plan, token, key) = for_mailbox(view, &desk.desk, &ticket, &entry)?;
        let reply = Some(Reply { ticket: token.ticket, scope: token.scope, key });
        let at = entry.at;
        let source = Source { raw: view.raw(raw)?, plan: Some(Box::new((plan, entry))) };
        Ok(Some(Self { item, source, at, reply }))
    }

    fn make(self) -> Result<Made, Trouble> {
        let Self { item, source, at, reply } = self;
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
        Ok(Made { entry: item.entry, shape, rendering: Rendering { plan, header }, said: Said(said) })
    }
}

/// What is to be kept of a message.
struct Made {
    entry: EntryId,
    shape: Shape,
    rendering: Rendering,
    said: Said,
}

impl Made {
    /// Somebody else may have been first: then his is what it looks like.
    fn keep(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if tx.get(&SHAPES, &self.entry)?.is_none() {
            tx.put(&SHAPES, &self.entry, &self.shape)?;
            tx.put(&RENDERINGS, &self.entry, &self.rendering)?;
            tx.put(&SAID, &self.entry, &self.said)?;
        }
        Ok(())
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

/// Gives messages their shape that have none.
pub(super) async fn make(desk: &Desk, member: MemberId, missing: &[Item]) -> Result<(), Trouble> {
    for few in missing.chunks(AT_A_TIME) {
        let new = desk.store.read(|view| {
            let each = few.iter().map(|item| New::read(view, desk, member, *item));
            each.filter_map(Result::transpose).collect::<Result<Vec<_>, Trouble>>()
        })?;
        let making = tokio::task::spawn_blocking(move || new.into_iter().map(New::make).collect::<Result<Vec<_>, _>>());
        let made = making.await.map_err(|error| Trouble::Broken(error.to_string()))??;
        desk.store.transact(|tx| made.iter().try_for_each(|made| made.keep(tx))).await.map_err(Trouble::Store)?;
    }
    Ok(())
}

/// Messages that are made at a time: all of their bytes are in memory then.
const AT_A_TIME: usize = 32;

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
