//! What a copy is on the wire: from the records that the commit fixed, the same bytes each time.

use std::collections::BTreeMap;

use crate::actions::{ActionError, Desk, find, state};
use crate::desk::address::{Address, Mailbox};
use crate::desk::copy::{Content, Copy, CopyState, Scope};
use crate::desk::entry::{Entry, Kind, State};
use crate::desk::id::{CopyId, EntryId, MemberId};
use crate::desk::letter::{Answer, Letter, LetterKind};
use crate::desk::property::Property;
use crate::desk::references::{Ancestor, references};
use crate::desk::ticket::{Person, Ticket};
use crate::desk::token::{
    BadToken, BounceToken, ClaimToken, ConfirmToken, ReplyToken, bounce_local, confirm_local, reply_local,
};
use crate::mime::copy::{BuildError, MemberLine, Plan, build, conversation, letter, sender_name};
use crate::store::tables::ENTRIES;
use crate::store::{Order, Read, StoreError};
use crate::trust::alignment::ascii;

/// How many entries before a copy's own are looked at for its References: more would not fit.
const MOST_ANCESTORS: usize = 60;

/// A message that is ready to be signed and sent.
pub struct Rendered {
    /// Header and body.
    pub message: Vec<u8>,
    /// `None` is `<>`.
    pub reverse_path: Option<Address>,
    pub to: Address,
    /// From's domain: whose signature it gets.
    pub domain: String,
    /// The body has octets beyond ASCII that must not be changed.
    pub eight_bit: bool,
}

/// Why a copy can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// It can never be sent; the text says why.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its ticket, entry, property or reader is gone, or names don't fit into an address.
    #[error("{0}")]
    Broken(String),
    /// The store could not be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ActionError> for RenderError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Store(error) => Self::Store(error),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<BadToken> for RenderError {
    fn from(error: BadToken) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Everything that a copy is made of.
struct Sources {
    property: Property,
    ticket: Ticket,
    entry: Entry,
    reader: Mailbox,
    is_member: bool,
}

/// A copy before it is written out: everything that the store has to say of it. So nobody waits for
/// the store while messages are taken apart and put together.
pub struct Draft {
    plan: Plan,
    source: Source,
    reverse_path: Option<Address>,
    to: Address,
}

enum Source {
    /// An entry's message as it came.
    Raw(Vec<u8>),
    /// Made from the records alone.
    Message(Vec<u8>),
}

/// Reads what a copy is made of. `signs`: whether there is a signature for a domain.
pub fn draft(tx: &impl Read, desk: &Desk, copy: &Copy, signs: impl Fn(&str) -> bool) -> Result<Draft, RenderError> {
    let sources = sources(tx, copy)?;
    let plan = plan(tx, desk, copy, &sources, signs)?;
    let source = match copy.content {
        Content::Entry => {
            let raw = sources.entry.raw.ok_or_else(|| RenderError::Broken("the entry has no message".into()))?;
            Source::Raw(tx.raw(raw)?)
        }
        Content::Conversation => {
            let mut entries = find::entries(tx, sources.ticket.id)?;
            // Public messages alone: his answer to this is public, and quotes it.
            let told = |entry: &Entry| entry.kind == Kind::Message && entry.state == State::Relayed;
            entries.retain(|entry| told(entry) && entry.at <= copy.queued_at);
            Source::Message(conversation(&entries, &plan))
        }
        Content::Letter(ref told) => Source::Message(letter(told, &plan)),
    };
    let response = matches!(&copy.content, Content::Letter(letter) if letter.kind == LetterKind::Response);
    let reverse_path = if response {
        None
    } else {
        let bounce = BounceToken(copy.id).encode(&desk.keys, copy.key)?;
        Some(address(&bounce_local(&bounce), desk)?)
    };
    Ok(Draft { plan, source, reverse_path, to: for_any_server(&copy.to) })
}

/// Whose reply address stands in a message as mailboxes keep it. The reader's own takes its place,
/// which has the same length.
pub const ANYBODY: MemberId = MemberId((1 << 38) - 1);

/// What a message in a mailbox is made of: as a member's copy of the entry, addressed to its property
/// and readable by [`ANYBODY`]. Its reply address is made with the key that makes new ones, which is
/// the second thing answered.
pub fn for_mailbox(
    tx: &impl Read,
    desk: &Desk,
    ticket: &Ticket,
    entry: &Entry,
) -> Result<(Plan, ReplyToken, u8), RenderError> {
    let property = find::property_by_id(tx, ticket.property)?;
    let to = property.forwarding_address(desk.domains.first());
    let scope = if entry.kind == Kind::Note { Scope::Note } else { Scope::Public };
    let copy = Copy {
        id: CopyId(0),
        property: ticket.property,
        ticket: ticket.id,
        entry: entry.id,
        person: Person::Member(ANYBODY),
        to: to.clone(),
        scope,
        content: Content::Entry,
        message_id: None,
        key: desk.keys.active(),
        state: CopyState::Sent,
        attempts: 0,
        queued_at: entry.at,
        next_at: None,
        reply: None,
        updated_at: entry.at,
        shrunk: false,
        server: None,
        renewed_at: None,
    };
    let sources = Sources {
        reader: Mailbox::new(property.name.clone(), for_any_server(&to)),
        property,
        ticket: ticket.clone(),
        entry: entry.clone(),
        is_member: true,
    };
    let mut plan = plan(tx, desk, &copy, &sources, |_| false)?;
    plan.eight_bit = true;
    Ok((plan, ReplyToken { ticket: ticket.id, person: copy.person, scope }, copy.key))
}

impl Draft {
    /// Writes the copy out.
    pub fn render(self) -> Result<Rendered, RenderError> {
        let Self { mut plan, source, reverse_path, to } = self;
        let message = match source {
            Source::Message(message) => message,
            Source::Raw(raw) => match build(&raw, &plan) {
                // Only what must stay as it is needs a server that takes 8-bit text.
                Err(BuildError::EightBit) => {
                    plan.eight_bit = true;
                    build(&raw, &plan)?
                }
                built => built?,
            },
        };
        let domain = plan.from.address.domain().to_owned();
        Ok(Rendered { message, reverse_path, to, domain, eight_bit: plan.eight_bit })
    }
}

fn sources(tx: &impl Read, copy: &Copy) -> Result<Sources, RenderError> {
    let ticket = find::ticket_by_id(tx, copy.ticket)?;
    Ok(Sources {
        property: find::property_by_id(tx, copy.property)?,
        entry: find::entry(tx, &ticket, copy.entry)?,
        ticket,
        reader: reader(tx, copy)?,
        is_member: matches!(copy.person, Person::Member(_)),
    })
}

fn reader(tx: &impl Read, copy: &Copy) -> Result<Mailbox, RenderError> {
    let name = match copy.person {
        Person::Contact(id) => find::contact_by_id(tx, id)?.name,
        Person::Member(id) => find::member_by_id(tx, id)?.name,
    };
    Ok(Mailbox::new(name, for_any_server(&copy.to)))
}

/// An address with its domain in A-labels (RFC 5890 §2.3.2.1): then only a local part beyond ASCII
/// needs a server with SMTPUTF8.
fn for_any_server(address: &Address) -> Address {
    Address::new(address.local(), &ascii(address.domain())).unwrap_or_else(|_| address.clone())
}

fn plan(
    tx: &impl Read,
    desk: &Desk,
    copy: &Copy,
    sources: &Sources,
    signs: impl Fn(&str) -> bool,
) -> Result<Plan, RenderError> {
    let Sources { property, ticket, entry, reader, is_member } = sources;
    let forwarding = property.forwarding_address(desk.domains.first());
    let public = property.public.as_ref().filter(|_| property.public_verified && !is_member).map(for_any_server);
    let public = public.filter(|public| signs(public.domain()));
    let writer = entry.author.mailbox().filter(|_| copy.content == Content::Entry);
    let name = writer.map_or_else(|| property.name.clone(), |writer| sender_name(writer, &property.name));
    let answer = match &copy.content {
        Content::Entry | Content::Conversation => Answer::Ticket,
        Content::Letter(letter) => letter.answer,
    };
    let reply_to = match (answer, copy.person) {
        (Answer::Decision, Person::Member(member)) => {
            let token = ConfirmToken { ticket: copy.ticket, entry: copy.entry, member };
            address(&confirm_local(&token.encode(&desk.keys, copy.key)?), desk)?
        }
        (Answer::Claim(claim), Person::Member(member)) => {
            let token = ClaimToken { member, claim };
            address(&confirm_local(&token.encode(&desk.keys, copy.key)?), desk)?
        }
        (Answer::Ticket, _) => {
            let token = ReplyToken { ticket: copy.ticket, person: copy.person, scope: copy.scope };
            address(&reply_local(&property.slug, &token.encode(&desk.keys, copy.key)?), desk)?
        }
        (Answer::Property | Answer::Decision | Answer::Claim(_), _) => forwarding.clone(),
    };
    let (in_reply_to, references) = match copy.content {
        // It answers what its reader sent, under the name that his client knows (RFC 3834 §3.1.6).
        Content::Letter(Letter { kind: LetterKind::Response, .. }) => {
            references(&[Ancestor { minted: None, ..ancestor(entry) }], !is_member)
        }
        // A notice stands alone: an answer to it must find no public message to answer.
        Content::Letter(_) => (None, Vec::new()),
        Content::Entry => references(&ancestors(tx, ticket, entry)?, !is_member),
        Content::Conversation => {
            let mut ancestors = ancestors(tx, ticket, entry)?;
            ancestors.push(ancestor(entry));
            references(&ancestors, !is_member)
        }
    };
    let missing = || RenderError::Broken("the entry was made without its facts".into());
    let message_id = copy.message_id.clone().or_else(|| entry.minted_id.clone()).ok_or_else(missing)?;
    let facts = match copy.content {
        // Who was just assigned sees himself there.
        Content::Conversation => state::facts(tx, ticket)?,
        _ => entry.facts.clone().ok_or_else(missing)?,
    };
    let others = facts
        .contacts
        .iter()
        .filter(|other| other.address != copy.to && writer.is_none_or(|writer| writer.address != other.address))
        .cloned()
        .collect();
    let requester = match ticket.requester() {
        Some(requester) => match requester.person {
            Person::Contact(id) => Mailbox::new(find::contact_by_id(tx, id)?.name, requester.address.clone()),
            Person::Member(_) => Mailbox::new("", requester.address.clone()),
        },
        None => Mailbox::new("", forwarding.clone()),
    };
    Ok(Plan {
        property: property.slug.clone(),
        from: Mailbox::new(name, public.unwrap_or_else(|| forwarding.clone())),
        reply_to,
        to: reader.clone(),
        subject: if entry.subject.is_empty() { ticket.subject.clone() } else { entry.subject.clone() },
        date: if copy.content == Content::Entry { entry.date.unwrap_or(entry.at) } else { copy.queued_at },
        message_id,
        in_reply_to,
        references,
        loop_header: forwarding.to_string(),
        language: property.language,
        for_member: is_member.then(|| MemberLine {
            reference: ticket.reference.clone(),
            requester,
            writer: writer.cloned(),
            facts,
            note: entry.kind == Kind::Note,
            warning: entry.warning.filter(|_| copy.content == Content::Entry),
            link: None,
            held: (entry.state == State::Held).then_some(entry.id),
        }),
        commands: entry.commands.clone(),
        others: if *is_member { Vec::new() } else { others },
        left_out: copy.shrunk.then(|| entry.attachments.clone()),
        eight_bit: false,
    })
}

/// What an entry answers, root first: by what it says itself, and where that is not known by the
/// order on the ticket, so that every reader's client shows one thread.
fn ancestors(tx: &impl Read, ticket: &Ticket, entry: &Entry) -> Result<Vec<Ancestor>, RenderError> {
    let before = (ticket.id, EntryId(0))..(ticket.id, entry.id);
    let mut known: BTreeMap<EntryId, Entry> = BTreeMap::new();
    let first = tx.range(&ENTRIES, before.clone(), Order::Up, 1)?;
    let newest = tx.range(&ENTRIES, before, Order::Down, MOST_ANCESTORS)?;
    let told = |entry: &Entry| entry.minted_id.is_some() && matches!(entry.state, State::Relayed | State::Kept);
    known.extend(first.into_iter().chain(newest).map(|((_, id), entry)| (id, entry)).filter(|(_, entry)| told(entry)));
    let mut chain = Vec::new();
    let mut at = entry;
    loop {
        let parent = at.parent.and_then(|parent| known.get(&parent)).filter(|parent| parent.id < at.id);
        let Some(parent) = parent.or_else(|| known.range(..at.id).next_back().map(|(_, entry)| entry)) else { break };
        chain.push(ancestor(parent));
        at = parent;
    }
    chain.reverse();
    Ok(chain)
}

fn ancestor(entry: &Entry) -> Ancestor {
    Ancestor {
        client_id: entry.message_id.clone(),
        minted: entry.minted_id.clone(),
        public: entry.kind == Kind::Message,
    }
}

/// An address of ours in the first local domain.
fn address(local: &str, desk: &Desk) -> Result<Address, RenderError> {
    Address::new(local, desk.domains.first()).map_err(|error| RenderError::Broken(format!("{local}: {error}")))
}
