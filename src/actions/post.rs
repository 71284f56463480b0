//! Adding a message or a note to a ticket, or opening a ticket with it: the one way for all doors.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Act, ActionError, Actor, copies, find, member, notices, own, state, trace, undelivered, views};
use crate::desk::address::{Address, Mailbox};
use crate::desk::command::{Asked, Verb};
use crate::desk::contact::Contact;
use crate::desk::copy::Scope;
use crate::desk::entry::{Attachment, Author, Door, Entry, Kind, Machine, Reason, State, Verified, What};
use crate::desk::fanout::{Occasion, Voice, accepted_by_answer, readers};
use crate::desk::id::{ContactId, EntryId, MemberId, RawId, TicketId};
use crate::desk::member::Member;
use crate::desk::message_id::MessageId;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::thread::{Bearer, Bond};
use crate::desk::ticket::{Assignee, Ground, Participant, Person, Priority, Standing, Status, Ticket, TicketRef};
use crate::desk::verdict::Verdict;
use crate::store::tables::{
    CONTACT_ADDRESSES, CONTACT_IDS, CONTACTS, CONVERSATIONS, ENTRIES, ENTRY_IDS, MESSAGE_IDS, NUMBERS, TICKET_IDS,
};
use crate::store::{Order, Read, StoreError, Tx};

/// The most tickets or entries that one identifier is remembered for.
const MOST_BEARERS: usize = 64;
/// The most mentioned identifiers of one message that are remembered: the root's neighbourhood and
/// the newest are what a colleague's answer can name.
const MOST_MENTIONED: usize = 20;
/// The most participants of one ticket. Whom a mail only names beyond that is not remembered; whom
/// somebody lets in beyond that is a [`Mistake`].
const MOST_PARTICIPANTS: usize = 100;

/// What a message is, whichever door it came by.
#[derive(Clone, Debug)]
pub struct Content {
    /// The sender's own Message-ID.
    pub message_id: Option<MessageId>,
    pub date: Option<Timestamp>,
    pub subject: String,
    /// The new text.
    pub text: String,
    pub attachments: Vec<Attachment>,
    pub raw: RawId,
    /// To and Cc without our own addresses.
    pub named: Vec<Mailbox>,
    /// In-Reply-To and References.
    pub mentioned: Vec<MessageId>,
    /// Outlook's conversation.
    pub conversation: Option<[u8; 22]>,
    pub verdict: Option<Verdict>,
    pub arrived_at: Option<Address>,
    /// The address in From of a mail.
    pub from: Option<Address>,
    /// The commands that a mail begins with. They count only where a member's authority was
    /// proven ([`commands::add`](super::commands::add)); to everybody else they are text.
    pub asked: Asked,
}

/// What the commands of a member's mail did that bears on the message behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obeyed {
    /// The lines themselves: they don't go on.
    pub lines: Vec<String>,
    /// They said what becomes of the status.
    pub status: bool,
    /// The member does not want to follow what he writes on.
    pub aside: bool,
    /// He asked for these letters, to be written when all is done.
    pub asked_for: BTreeSet<Verb>,
}

/// Who says it, and with what right.
#[derive(Clone, Debug)]
pub struct Standpoint {
    pub author: Author,
    pub voice: Voice,
    /// All addresses of the author, to which nothing of it goes.
    pub addresses: Vec<Address>,
    pub verified: Verified,
    /// He used a valid reply address, or answered an identifier that only its readers know.
    pub invited: bool,
    pub scope: Scope,
    pub state: State,
    pub reason: Option<Reason>,
    pub warning: Option<Reason>,
    pub machine: Option<Machine>,
    pub parent: Option<EntryId>,
    pub claims: Option<MemberId>,
    /// The commands that were carried out before.
    pub obeyed: Option<Obeyed>,
    /// How many turns without a person it stands at the end of.
    pub turn: u8,
    /// It hands on somebody's mail.
    pub hands_on: bool,
}

/// How a new ticket starts.
#[derive(Clone, Debug)]
pub struct Opening {
    pub requester: Mailbox,
    pub status: Status,
    pub priority: Priority,
    pub tags: Vec<String>,
    pub assignee: Option<Assignee>,
    pub continues: Option<TicketId>,
}

/// A new ticket, not yet saved: [`add`] its first entry.
pub fn open(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    subject: &str,
    opening: Opening,
) -> Result<Ticket, ActionError> {
    let contact = contact_for(tx, act, &opening.requester)?;
    let requester = Participant {
        person: Person::Contact(contact),
        ground: Ground::Requester,
        standing: Standing::Accepted,
        address: opening.requester.address,
        named_by_requester: false,
    };
    Ok(Ticket {
        id: TicketId(tx.allocate(&TICKET_IDS, &())?),
        reference: TicketRef { property: property.slug.clone(), number: tx.allocate(&NUMBERS, &property.id)? },
        property: property.id,
        subject: subject.to_owned(),
        status: opening.status,
        wake_at: None,
        priority: opening.priority,
        tags: opening.tags.into_iter().collect(),
        assignee: opening.assignee,
        participants: vec![requester],
        door: act.door,
        merged_into: None,
        continues: opening.continues,
        created_at: act.now,
        updated_at: act.now,
        status_since: act.now,
        quiet_since: None,
    })
}

/// Adds an entry to a ticket, makes its copies, moves the ticket's status, and saves both.
///
/// `before` is the ticket as the store has it, `None` for a new one.
pub fn add(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    before: Option<&Ticket>,
    ticket: &mut Ticket,
    content: Content,
    mut standpoint: Standpoint,
) -> Result<Entry, ActionError> {
    // Whose commands were carried out was looked at before, on the ticket that he answered.
    if standpoint.obeyed.is_none() {
        hold_if_crossed(tx, ticket, &mut standpoint)?;
    }
    let obeyed = standpoint.obeyed.unwrap_or_default();
    let public = standpoint.scope == Scope::Public;
    let id = EntryId(tx.allocate(&ENTRY_IDS, &())?);
    let mut entry = Entry {
        id,
        ticket: ticket.id,
        kind: if public { Kind::Message } else { Kind::Note },
        author: standpoint.author,
        state: standpoint.state,
        reason: standpoint.reason,
        machine: standpoint.machine,
        verified: standpoint.verified,
        door: act.door,
        at: act.now,
        message_id: content.message_id,
        // What goes to nobody is nothing to answer.
        minted_id: (standpoint.reason != Some(Reason::OnlyCommands)).then(|| act.desk.mint()),
        date: content.date,
        parent: standpoint.parent,
        subject: content.subject,
        text: bounded(content.text),
        attachments: content.attachments,
        named: content.named,
        raw: Some(content.raw),
        verdict: content.verdict,
        event: None,
        facts: None,
        warning: standpoint.warning,
        claims: standpoint.claims,
        arrived_at: content.arrived_at,
        copies: Vec::new(),
        explained: false,
        commands: obeyed.lines.clone(),
        turn: standpoint.turn,
        hands_on: standpoint.hands_on,
        seen: None,
        trace: act.trace.clone(),
        from: content.from,
        client: act.client.clone(),
    };
    // First what the message makes of the ticket, so that the line on top of its copies shows that.
    if entry.state == State::Relayed {
        match standpoint.voice {
            Voice::Member => speak(tx, act, property, ticket, before.is_none(), &obeyed, &entry)?,
            Voice::Contact { .. } if before.is_none() => {}
            Voice::Contact { .. } => {
                // Spam and trash stay where they are, but for whom we wrote to.
                if standpoint.invited || !matches!(ticket.status, Status::Spam | Status::Trash) {
                    state::set_status(tx, act, ticket, entry.author.clone(), Status::Open)?;
                }
            }
        }
    }
    relay(tx, act, property, ticket, &mut entry, standpoint.voice, &standpoint.addresses)?;
    index(tx, ticket, &entry, &content.mentioned, content.conversation)?;
    tx.put(&ENTRIES, &(ticket.id, entry.id), &entry)?;
    trace::made(tx, act, &entry)?;
    ticket.updated_at = act.now;
    state::save(tx, before, ticket)?;
    views::entry_saved(tx, ticket, &entry)?;
    own::arrived(tx, &entry)?;
    if let (Some(Reason::Crossed), Some(member)) = (entry.reason, entry.claims) {
        notices::held(tx, act, ticket, &mut entry, member)?;
    }
    Ok(entry)
}

/// Holds a member's public reply, by any door, that answers something older than a colleague's.
fn hold_if_crossed(tx: &impl Read, ticket: &Ticket, standpoint: &mut Standpoint) -> Result<(), StoreError> {
    if is_crossed(tx, ticket, standpoint)? {
        standpoint.state = State::Held;
        standpoint.reason = Some(Reason::Crossed);
        standpoint.claims = match standpoint.author.person() {
            Some(Person::Member(member)) => Some(member),
            _ => None,
        };
    }
    Ok(())
}

/// Whether it is a member's public reply that answers something older than a colleague's.
pub(super) fn is_crossed(tx: &impl Read, ticket: &Ticket, standpoint: &Standpoint) -> Result<bool, StoreError> {
    let live = standpoint.state == State::Relayed && standpoint.voice == Voice::Member;
    match (standpoint.author.person(), standpoint.parent) {
        (Some(Person::Member(member)), Some(parent)) if live && standpoint.scope == Scope::Public => {
            Ok(crossing(tx, ticket, parent, member)?.is_some())
        }
        _ => Ok(false),
    }
}

/// The newest of colleagues' public replies that a held entry's member has neither answered nor been
/// shown: his would cross it.
pub(super) fn crossing_held(
    tx: &impl Read,
    ticket: &Ticket,
    entry: &Entry,
    member: MemberId,
) -> Result<Option<Entry>, StoreError> {
    crossing(tx, ticket, entry.seen.or(entry.parent).unwrap_or(entry.id), member)
}

/// The newest public reply of a member's colleagues that is later than an entry.
fn crossing(tx: &impl Read, ticket: &Ticket, after: EntryId, member: MemberId) -> Result<Option<Entry>, StoreError> {
    let later = (ticket.id, EntryId(after.0 + 1))..=(ticket.id, EntryId(u64::MAX));
    let later = tx.range(&ENTRIES, later, Order::Down, usize::MAX)?;
    Ok(later.into_iter().map(|(_, entry)| entry).find(|entry| {
        entry.kind == Kind::Message
            && entry.state == State::Relayed
            && entry.author.is_member()
            && entry.author.person() != Some(Person::Member(member))
    }))
}

/// What a member's entry makes of its ticket: he follows it, and a public answer accepts whom the
/// requester named and moves the status, unless it opened the ticket. What he commanded comes first.
pub fn speak(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    opens: bool,
    obeyed: &Obeyed,
    entry: &Entry,
) -> Result<(), ActionError> {
    if let Some(Person::Member(id)) = entry.author.person()
        && !obeyed.aside
    {
        follow(tx, ticket, id)?;
    }
    ticket.quiet_since = None;
    if let Some(parent) = entry.parent {
        views::set_answered(tx, ticket.id, parent, true)?;
    }
    if entry.kind == Kind::Message && !opens {
        accept_named(tx, act, ticket)?;
        if !obeyed.status {
            state::set_status(tx, act, ticket, entry.author.clone(), property.after_reply)?;
        }
    }
    Ok(())
}

/// Makes the copies of an entry for everyone whom it is for, if it is relayed.
pub fn relay(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &Ticket,
    entry: &mut Entry,
    voice: Voice,
    writer_addresses: &[Address],
) -> Result<(), ActionError> {
    entry.facts = Some(state::facts(tx, ticket)?);
    if entry.state != State::Relayed {
        return Ok(());
    }
    let assignees = find::colleagues(tx, property.id, ticket.assignee)?;
    let mut followers = Vec::new();
    for participant in &ticket.participants {
        if let Person::Member(id) = participant.person {
            let member = find::member_by_id(tx, id)?;
            if member.is_of(property.id) {
                followers.push(find::colleague(&member));
            }
        }
    }
    let nobody = assignees.is_empty() && followers.is_empty();
    let everyone = if nobody { member::audience(tx, property)? } else { Vec::new() };
    let scope = if entry.kind == Kind::Note { Scope::Note } else { Scope::Public };
    let occasion = Occasion {
        scope,
        voice,
        writer: entry.author.person(),
        writer_addresses,
        participants: &ticket.participants,
        assignees: &assignees,
        followers: &followers,
        everyone: &everyone,
        named: if entry.door == Door::Smtp { &entry.named } else { &[] },
    };
    let ours = |address: &Address| act.desk.is_local(address) || property.public.as_ref() == Some(address);
    for reader in readers(&occasion, ours) {
        entry.copies.push(copies::queue(tx, act, entry, property.id, reader)?);
    }
    undelivered::queued(tx, act, entry)?;
    notices::not_sent(tx, act, ticket, entry)
}

/// A member's public answer accepts the first few contacts whom an aligned requester named.
fn accept_named(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket) -> Result<(), StoreError> {
    for person in accepted_by_answer(&ticket.participants) {
        if let Some(participant) = ticket.participant_mut(person) {
            participant.standing = Standing::Accepted;
            let address = participant.address.to_string();
            state::event(tx, act, ticket, What::Participant, None, Some(address))?;
        }
    }
    Ok(())
}

/// Makes a member a follower.
pub fn follow(tx: &impl Read, ticket: &mut Ticket, id: MemberId) -> Result<(), ActionError> {
    if ticket.participant(Person::Member(id)).is_none() {
        let member = find::member_by_id(tx, id)?;
        ticket.participants.push(Participant {
            person: Person::Member(id),
            ground: Ground::Follower,
            standing: Standing::Accepted,
            address: member.login,
            named_by_requester: false,
        });
    }
    Ok(())
}

/// Adds contacts to a ticket whom somebody named; those who are there already stay as they are.
pub fn propose(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    named: &[Mailbox],
    standing: Standing,
    named_by_requester: bool,
) -> Result<(), ActionError> {
    for mailbox in named {
        let known = ticket.participants.iter_mut().find(|participant| participant.address == mailbox.address);
        if let Some(known) = known {
            // Whom somebody named before, the requester may name in a mail that is surely his.
            known.named_by_requester |= named_by_requester && known.standing == Standing::Proposed;
            continue;
        }
        let outside = find::is_outside(tx, act.desk, property.id, &mailbox.address)?;
        if !outside || ticket.participants.len() >= MOST_PARTICIPANTS {
            continue;
        }
        let person = Person::Contact(contact_for(tx, act, mailbox)?);
        if ticket.participant(person).is_none() {
            ticket.participants.push(Participant {
                person,
                ground: Ground::Cc,
                standing,
                address: mailbox.address.clone(),
                named_by_requester,
            });
        }
    }
    Ok(())
}

/// Makes a contact an accepted participant, and tells so in an event, if he is none yet.
///
/// # Errors
/// As [`seat`].
pub fn admit(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    mailbox: &Mailbox,
) -> Result<(), ActionError> {
    if seat(tx, act, property, ticket, mailbox)? {
        state::event(tx, act, ticket, What::Participant, None, Some(mailbox.address.to_string()))?;
    }
    Ok(())
}

/// The same without an event; whether he was none.
///
/// # Errors
/// [`Mistake::OwnAddress`] for whoever is not outside, [`Mistake::TooManyPeople`]: whom a member
/// addresses is on the ticket, or the member hears that he is not.
pub fn seat(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    mailbox: &Mailbox,
) -> Result<bool, ActionError> {
    let person = find::contact_at(tx, &mailbox.address)?.map(|contact| Person::Contact(contact.id));
    let is_he = |known: &&mut Participant| known.address == mailbox.address || Some(known.person) == person;
    if let Some(known) = ticket.participants.iter_mut().find(is_he) {
        if known.standing == Standing::Accepted {
            return Ok(false);
        }
        known.standing = Standing::Accepted;
        known.address = mailbox.address.clone();
        return Ok(true);
    }
    if !find::is_outside(tx, act.desk, property.id, &mailbox.address)? {
        return Err(Mistake::OwnAddress(mailbox.address.clone()).into());
    }
    if ticket.participants.len() >= MOST_PARTICIPANTS {
        return Err(Mistake::TooManyPeople { ticket: ticket.reference.clone(), most: MOST_PARTICIPANTS }.into());
    }
    propose(tx, act, property, ticket, std::slice::from_ref(mailbox), Standing::Accepted, false)?;
    Ok(true)
}

/// The contact with this address; a new one where nobody has it. Gives him the name, if he has none.
pub fn contact_for(tx: &mut Tx<'_>, act: &Act<'_>, mailbox: &Mailbox) -> Result<ContactId, ActionError> {
    if let Some(mut contact) = find::contact_at(tx, &mailbox.address)? {
        if contact.name.is_empty() && !mailbox.name.is_empty() {
            contact.name.clone_from(&mailbox.name);
            contact.updated_at = act.now;
            tx.put(&CONTACTS, &contact.id, &contact)?;
        }
        return Ok(contact.id);
    }
    let contact = Contact {
        id: ContactId(tx.allocate(&CONTACT_IDS, &())?),
        name: mailbox.name.clone(),
        addresses: vec![mailbox.address.clone()],
        organisation: String::new(),
        note: String::new(),
        created_at: act.now,
        updated_at: act.now,
        merged_into: None,
    };
    tx.put(&CONTACT_ADDRESSES, &mailbox.address, &contact.id)?;
    tx.put(&CONTACTS, &contact.id, &contact)?;
    Ok(contact.id)
}

/// A member as the author of something.
#[must_use]
pub fn as_member(member: &Member) -> Actor {
    Actor::Member { id: member.id, mailbox: member.mailbox() }
}

/// The standpoint of whoever acts by a logged-in door or the command line.
pub fn by_actor(tx: &impl Read, act: &Act<'_>, scope: Scope) -> Result<Standpoint, ActionError> {
    let addresses = match &act.actor {
        Actor::System => Vec::new(),
        Actor::Member { id, .. } => {
            let member = find::member_by_id(tx, *id)?;
            member.addresses()
        }
    };
    Ok(Standpoint {
        author: act.author(),
        voice: Voice::Member,
        addresses,
        verified: Verified::Submission,
        invited: true,
        scope,
        state: State::Relayed,
        reason: None,
        warning: None,
        machine: None,
        parent: None,
        claims: None,
        obeyed: None,
        turn: 0,
        hands_on: false,
    })
}

/// Remembers by which identifiers an answer to the entry will be known.
fn index(
    tx: &mut Tx<'_>,
    ticket: &Ticket,
    entry: &Entry,
    mentioned: &[MessageId],
    conversation: Option<[u8; 22]>,
) -> Result<(), StoreError> {
    let own = entry.message_id.iter().map(|id| (id, Bond::Own));
    let minted = entry.minted_id.iter().map(|id| (id, Bond::Minted));
    let mentioned = mentioned.iter().rev().take(MOST_MENTIONED).map(|id| (id, Bond::Mentioned));
    for (id, bond) in own.chain(minted).chain(mentioned) {
        bear(tx, ticket, entry.id, id, bond)?;
    }
    if let Some(conversation) = conversation {
        let key = (ticket.property, conversation);
        let mut tickets = tx.get(&CONVERSATIONS, &key)?.unwrap_or_default();
        if !tickets.contains(&ticket.id) && tickets.len() < MOST_BEARERS {
            tickets.push(ticket.id);
            tx.put(&CONVERSATIONS, &key, &tickets)?;
        }
    }
    Ok(())
}

/// Ties one identifier to an entry. A mentioned one is not remembered where an entry bears it.
pub fn bear(tx: &mut Tx<'_>, ticket: &Ticket, entry: EntryId, id: &MessageId, bond: Bond) -> Result<(), StoreError> {
    let key = (ticket.property, id.clone());
    let mut bearers = tx.get(&MESSAGE_IDS, &key)?.unwrap_or_default();
    if bond == Bond::Mentioned && bearers.iter().any(|bearer| bearer.ticket == ticket.id) {
        return Ok(());
    }
    if bearers.len() < MOST_BEARERS {
        bearers.push(Bearer { ticket: ticket.id, entry, bond });
        tx.put(&MESSAGE_IDS, &key, &bearers)?;
    }
    Ok(())
}

/// The text as the entry itself holds it; the whole is in the raw message.
pub(super) fn bounded(mut text: String) -> String {
    const CUT: char = '…';
    if text.len() > Entry::LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(Entry::LONGEST_TEXT - CUT.len_utf8()));
        text.push(CUT);
    }
    text
}
