//! Messages as mailboxes show them: made of an entry once, kept, and the same ever after.
//!
//! What a message looks like is decided when it is first shown: the plan that its bytes are made by
//! is kept, and so is what IMAP says of them. One thing differs from member to member: the address
//! that an answer goes to. It is kept as nobody's and exchanged for the reader's own, which has the
//! same length.

use memchr::memmem;

use super::{Desk, Trouble};
use crate::actions::find;
use crate::desk::entry::Entry;
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::shape::{Rendering, Reply, Said, Shape};
use crate::desk::shelf::Row;
use crate::desk::ticket::Person;
use crate::desk::token::ReplyToken;
use crate::mime::copy::{Plan, build, conversation};
use crate::mime::shape::{fields::Fields, shape};
use crate::relay::render::{ANYBODY, for_mailbox};
use crate::store::tables::{ENTRIES, OWN, RENDERINGS, SAID, SHAPES};
use crate::store::{Read, StoreError, Tx, View};

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

/// Sees to it that messages have their shape: those that were never shown get it now.
pub async fn prepare(desk: &Desk, member: MemberId, items: &[Item]) -> Result<(), Trouble> {
    let missing = desk.store.read(|view| {
        let mut missing = Vec::new();
        for item in items {
            if view.get(&SHAPES, &item.entry)?.is_none() {
                missing.push(*item);
            }
        }
        Ok::<_, Trouble>(missing)
    })?;
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

/// What messages are searched by; nothing for one that is gone.
pub fn fields(view: &View<'_>, entry: EntryId) -> Result<Option<Fields>, Trouble> {
    let Some(said) = view.get(&SAID, &entry)? else { return Ok(None) };
    rmp_serde::from_slice(&said.0).map(Some).map_err(|error| Trouble::Broken(error.to_string()))
}

/// Exchanges nobody's reply address in octets for a member's, up to `end`.
pub fn make_his(desk: &Desk, member: MemberId, reply: Option<Reply>, octets: &mut [u8], end: usize) {
    let Some(Reply { ticket, scope, key }) = reply else { return };
    let token = |member| ReplyToken { ticket, person: Person::Member(member), scope }.encode(&desk.desk.keys, key);
    // A key that is gone: the address stays nobody's, and answers to it go to the property.
    let (Ok(nobodys), Ok(his)) = (token(ANYBODY), token(member)) else { return };
    let end = end.min(octets.len());
    let mut from = 0;
    while let Some(at) = memmem::find(&octets[from..end], nobodys.as_bytes()) {
        octets[from + at..][..his.len()].copy_from_slice(his.as_bytes());
        from += at + his.len();
    }
}
