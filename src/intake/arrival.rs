//! One message at one property: the marks, then the ticket, then what it may do there.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::SignedDuration;

use super::threads::StoredThreads;
use super::writer::{self, Author};
use super::{Arrival, Mail, report};
use crate::actions::post::{self, Content, Opening, Standpoint};
use crate::actions::{Act, ActionError, copies, find, held, state, ticket};
use crate::desk::address::{Address, Mailbox};
use crate::desk::authority::{self, Authority, Claim, Holder, Writer};
use crate::desk::copy::Scope;
use crate::desk::entry::{self, Entry, Event, Machine, Reason, State, Verified, What};
use crate::desk::fanout::Voice;
use crate::desk::id::{ContactId, DepartmentId, EntryId, MemberId, PropertyId, RawId, TicketId};
use crate::desk::property::Property;
use crate::desk::subject::{canonical_subject, is_forward, ticket_ref_in};
use crate::desk::thread::{self, Bond, Found, Signals};
use crate::desk::ticket::{Assignee, Person, Priority, Standing, Status, Ticket};
use crate::desk::token::ReplyToken;
use crate::store::tables::{ENTRIES, LOOK_ALIKES, LOOKS, LookAlikes, MESSAGE_IDS};
use crate::store::{Order, Read, Tx};

/// After this long a closed ticket is not opened by mail about something else.
const CLOSED_FOR_GOOD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of a message once its ticket was looked for.
struct Case<'a> {
    mail: &'a Mail<'a>,
    address: &'a Address,
    property: Property,
    department: Option<DepartmentId>,
    raw: RawId,
    author: Author,
    holder: Option<Holder>,
    /// The ticket that it belongs to; `None`: a new one.
    ticket: Option<Ticket>,
    /// How it was found, besides by a reply address.
    found: Option<Found>,
    parent: Option<EntryId>,
    /// The closed ticket that a new one goes on from.
    continues: Option<TicketId>,
}

/// Files a message at a property.
#[expect(clippy::too_many_arguments, reason = "what the envelope says of one recipient, taken apart")]
pub(super) fn at_property(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    property: PropertyId,
    department: Option<DepartmentId>,
    token: Option<ReplyToken>,
    raw: RawId,
) -> Result<Arrival, ActionError> {
    let property = find::property_by_id(tx, property)?;
    if let Some(arrival) = report::returned(tx, act, mail, &property)? {
        return Ok(arrival);
    }
    if let Some(report) = &mail.understood.report {
        return report::elsewhere(tx, act, &property, report);
    }
    let author = writer::author(tx, act.desk, &property, mail)?;
    let mut case = Case {
        mail,
        address,
        property,
        department,
        raw,
        author,
        holder: None,
        ticket: None,
        found: None,
        parent: None,
        continues: None,
    };
    locate(tx, &mut case, token)?;
    if let Some(arrival) = duplicate(tx, act, &case)? {
        return Ok(arrival);
    }
    if let Some((Machine::Silent, reason)) = mail.machine {
        return keep(tx, act, &case, Machine::Silent, reason.unwrap_or(Reason::Automatic));
    }
    start_anew(act, &mut case);
    if let Some(arrival) = look_alike(tx, act, &mut case)? {
        return Ok(arrival);
    }
    decide(tx, act, case)
}

/// Keeps a silent machine's mail on the ticket of the copy whose envelope sender it answers.
#[expect(clippy::too_many_arguments, reason = "what the envelope says of one recipient, taken apart")]
pub(super) fn keep_on(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    property: Property,
    ticket: Ticket,
    address: &Address,
    raw: RawId,
    reason: Reason,
) -> Result<Arrival, ActionError> {
    let author = writer::author(tx, act.desk, &property, mail)?;
    let case = Case {
        mail,
        address,
        property,
        department: None,
        raw,
        author,
        holder: None,
        ticket: Some(ticket),
        found: None,
        parent: None,
        continues: None,
    };
    keep(tx, act, &case, Machine::Silent, reason)
}

/// Rules 1 to 3.
fn locate(tx: &impl Read, case: &mut Case<'_>, token: Option<ReplyToken>) -> Result<(), ActionError> {
    let understood = case.mail.understood;
    let signals = Signals {
        in_reply_to: &understood.in_reply_to,
        references: &understood.references,
        conversation: understood.thread_index.as_ref().map(|index| index.conversation()),
        number: ticket_ref_in(&understood.subject, case.property.slug.as_str()),
        aligned: case.author.aligned,
    };
    let threads = StoredThreads { tx, property: case.property.id, writer: case.author.writer };
    let found = thread::find(&signals, &threads)?;
    if let Some(token) = token {
        let ticket = find::ticket_by_id(tx, token.ticket)?;
        if ticket.property == case.property.id {
            case.holder = holder(tx, &case.property, &ticket, token)?;
            if case.holder.is_some() {
                let same = found.filter(|found| found.ticket == ticket.id);
                case.found = same.map(|found| found.found);
                case.parent = same.and_then(|found| found.parent);
                case.ticket = Some(ticket);
                return Ok(());
            }
        }
    }
    if let Some(found) = found {
        case.ticket = Some(find::ticket_by_id(tx, found.ticket)?);
        case.found = Some(found.found);
        case.parent = found.parent;
    }
    Ok(())
}

/// For whom a reply address was made, unless that person was removed since.
fn holder(
    tx: &impl Read,
    property: &Property,
    ticket: &Ticket,
    token: ReplyToken,
) -> Result<Option<Holder>, ActionError> {
    Ok(match token.person {
        Person::Member(id) => {
            let member = find::member_by_id(tx, id)?;
            member.is_of(property.id).then_some(Holder::Member { id, list: member.list, scope: token.scope })
        }
        Person::Contact(id) => {
            let id = find::contact_by_id(tx, id)?.id;
            ticket.participant(Person::Contact(id)).map(|_| Holder::Contact { id })
        }
    })
}

/// The same message a second time: a further arrival, not relayed (RFC 1047).
fn duplicate(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<Option<Arrival>, ActionError> {
    let key = (case.property.id, case.mail.message_id.clone());
    for bearer in tx.get(&MESSAGE_IDS, &key)?.unwrap_or_default() {
        if bearer.bond != Bond::Own {
            continue;
        }
        let before = find::ticket_by_id(tx, bearer.ticket)?;
        let Some(entry) = tx.get(&ENTRIES, &(before.id, bearer.entry))? else { continue };
        let same_ticket = match &case.ticket {
            Some(ticket) => ticket.id == before.id,
            None => opened(tx, &before)? == Some(entry.id),
        };
        let same_from = entry.author.mailbox().is_some_and(|mailbox| mailbox.address == case.author.mailbox.address);
        if !same_ticket || !same_from || entry.date != case.mail.understood.date {
            continue;
        }
        let mut ticket = before.clone();
        let event =
            Event { what: What::Duplicate, from: Some(entry.id.to_string()), to: Some(case.address.to_string()) };
        state::event_by(tx, act, &ticket, entry::Author::System, event)?;
        if let (Some(department), None) = (case.department, ticket.assignee) {
            let assignee = Some(Assignee::Department(department));
            ticket::assign_to(tx, act, &case.property, &mut ticket, assignee)?;
        }
        ticket.updated_at = act.now;
        state::save(tx, Some(&before), &ticket)?;
        return Ok(Some(Arrival::Filed(ticket.reference)));
    }
    Ok(None)
}

/// The entry that opened a ticket.
fn opened(tx: &impl Read, ticket: &Ticket) -> Result<Option<EntryId>, ActionError> {
    Ok(tx.starting(&ENTRIES, (ticket.id,), Order::Up, 1)?.first().map(|(_, entry)| entry.id))
}

/// Mail about something else does not open a ticket that was closed long ago.
fn start_anew(act: &Act<'_>, case: &mut Case<'_>) {
    let Some(ticket) = &case.ticket else { return };
    let by_member =
        matches!(case.author.writer, Writer::Member(_)) || matches!(case.holder, Some(Holder::Member { .. }));
    let old = ticket.status == Status::Closed && act.now.duration_since(ticket.status_since) > CLOSED_FOR_GOOD;
    let other = canonical_subject(&ticket.subject) != canonical_subject(&case.mail.understood.subject);
    if old && other && !by_member {
        case.continues = Some(ticket.id);
        case.ticket = None;
        case.found = None;
        case.parent = None;
        case.holder = None;
    }
}

/// Mail of a machine that is only kept: on its ticket, or on one that is closed from the start.
fn keep(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    machine: Machine,
    reason: Reason,
) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, case, case.author.mailbox.clone(), Status::Closed)?,
    };
    let (author, addresses) = person(tx, act, case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(reason),
        machine: Some(machine),
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    Ok(filed(&ticket, &entry))
}

/// The cap for mail that looks alike, from one sender: past it, the mail is kept and not relayed.
fn look_alike(tx: &mut Tx<'_>, act: &Act<'_>, case: &mut Case<'_>) -> Result<Option<Arrival>, ActionError> {
    if matches!(case.author.writer, Writer::Member(_)) {
        return Ok(None);
    }
    let cap = act.desk.look_alikes;
    let key = (case.property.id, case.author.mailbox.address.clone(), looks(case.mail));
    let window = SignedDuration::from_mins(i64::from(cap.minutes));
    let Some(seen) = tx.get(&LOOK_ALIKES, &key)?.filter(|seen| act.now.duration_since(seen.since) <= window) else {
        return Ok(None);
    };
    let (property, address, looks) = key;
    let more = tx.allocate(&LOOKS, &(property, address, looks, seen.since))?;
    if more < u64::from(cap.count) {
        return Ok(None);
    }
    if case.ticket.is_none() {
        case.ticket = Some(find::ticket_by_id(tx, seen.ticket)?);
    }
    let machine = case.mail.machine.map(|(machine, _)| machine);
    let before = case.ticket.clone();
    let Some(mut ticket) = before.clone() else { return Ok(None) };
    let (author, addresses) = person(tx, act, case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(Reason::LookAlike),
        machine,
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    Ok(Some(filed(&ticket, &entry)))
}

/// Remembers the first of the mails that may come to look alike; [`look_alike`] counts the others.
fn remember_looks(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>, ticket: TicketId) -> Result<(), ActionError> {
    let key = (case.property.id, case.author.mailbox.address.clone(), looks(case.mail));
    let window = SignedDuration::from_mins(i64::from(act.desk.look_alikes.minutes));
    let seen = tx.get(&LOOK_ALIKES, &key)?;
    if seen.is_none_or(|seen| act.now.duration_since(seen.since) > window) {
        tx.put(&LOOK_ALIKES, &key, &LookAlikes { since: act.now, ticket })?;
    }
    Ok(())
}

/// What mails that look alike share: subject and beginning of the text, without digits and case.
fn looks(mail: &Mail<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let words = |text: &str, most: usize, hasher: &mut DefaultHasher| {
        for c in text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).take(most) {
            c.hash(hasher);
        }
        0u8.hash(hasher);
    };
    words(&canonical_subject(&mail.understood.subject), 200, &mut hasher);
    words(&mail.understood.text.new, 200, &mut hasher);
    hasher.finish()
}

/// The authority table, and what follows from it.
fn decide(tx: &mut Tx<'_>, act: &Act<'_>, case: Case<'_>) -> Result<Arrival, ActionError> {
    let takes_part = match (&case.ticket, case.author.writer) {
        (Some(ticket), Writer::Outside(Some(id))) => ticket
            .participant(Person::Contact(id))
            .is_some_and(|participant| participant.standing == Standing::Accepted),
        _ => false,
    };
    let named_by_parent = match (&case.ticket, case.parent) {
        (Some(ticket), Some(parent)) => tx
            .get(&ENTRIES, &(ticket.id, parent))?
            .is_some_and(|parent| parent.named.iter().any(|named| named.address == case.author.mailbox.address)),
        _ => false,
    };
    let claim = Claim {
        writer: case.author.writer,
        aligned: case.author.aligned,
        strict: case.property.strict,
        holder: case.holder,
        found: case.found,
        takes_part,
        named_by_parent,
    };
    match authority::decide(&claim) {
        Authority::Member { member, scope, verified } => by_member(tx, act, case, member, scope, verified),
        Authority::Contact { verified } => by_contact(tx, act, case, verified),
        Authority::Unverified { propose } => unverified(tx, act, case, propose),
        Authority::Held { reason, ask } => hold(tx, act, case, reason, ask),
        Authority::Marked => marked(tx, act, case),
    }
}

/// A member's public reply or note; from the bare address a ticket of his own, or of the customer
/// whose mail he forwards.
fn by_member(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: Case<'_>,
    id: MemberId,
    scope: Scope,
    verified: Verified,
) -> Result<Arrival, ActionError> {
    let member = find::member_by_id(tx, id)?;
    let author = entry::Author::Person { person: Person::Member(id), mailbox: member.mailbox() };
    let addresses = std::iter::once(member.login.clone()).chain(member.aliases.clone()).collect();
    let Some(before) = case.ticket.clone() else {
        if let Some(forwarded) =
            case.mail.understood.forwarded.clone().filter(|_| is_forward(&case.mail.understood.subject))
            && !act.desk.is_local(&forwarded.from.address)
            && find::member_at(tx, case.property.id, &forwarded.from.address)?.is_none()
        {
            return forwarded_by(tx, act, &case, addresses, forwarded);
        }
        let mut ticket = open(tx, act, &case, member.mailbox(), Status::Open)?;
        let standpoint = Standpoint {
            voice: Voice::Contact { to_contacts: false },
            ..standpoint(&case, author, addresses, verified)
        };
        let content = content(act, &case);
        let entry = post::add(tx, act, &case.property, None, &mut ticket, content, standpoint)?;
        return Ok(filed(&ticket, &entry));
    };
    let mut ticket = before.clone();
    // An answer to a note is a note, whatever the reply address allows.
    let parent_is_note = match case.parent {
        Some(parent) => tx.get(&ENTRIES, &(ticket.id, parent))?.is_some_and(|parent| parent.kind == entry::Kind::Note),
        None => false,
    };
    let scope = if parent_is_note { Scope::Note } else { scope };
    let mut standpoint = Standpoint { voice: Voice::Member, scope, ..standpoint(&case, author, addresses, verified) };
    let crosses = scope == Scope::Public && held::crossed(tx, &ticket, case.parent, &standpoint.author)?.is_some();
    if crosses {
        standpoint.state = State::Held;
        standpoint.reason = Some(Reason::Crossed);
        standpoint.claims = Some(id);
    }
    let named = outsiders(act, &case);
    let content = content(act, &case);
    post::propose(tx, act, &case.property, &mut ticket, &named, Standing::Proposed, false)?;
    learn_parents(tx, &case, &ticket)?;
    let entry = post::add(tx, act, &case.property, Some(&before), &mut ticket, content, standpoint)?;
    if crosses {
        copies::notify_held(tx, act, &ticket, entry.clone(), id)?;
    }
    Ok(filed(&ticket, &entry))
}

/// A ticket for the original sender of a mail that a member forwarded.
fn forwarded_by(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    forwarder: Vec<Address>,
    forwarded: crate::mime::understand::Forwarded,
) -> Result<Arrival, ActionError> {
    let mut ticket = open(tx, act, case, forwarded.from.clone(), Status::Open)?;
    if !forwarded.subject.is_empty() {
        ticket.subject.clone_from(&forwarded.subject);
    }
    let contact = post::contact_for(tx, act, &forwarded.from)?;
    let author = entry::Author::Person { person: Person::Contact(contact), mailbox: forwarded.from };
    let content = Content { text: forwarded.text, ..content(act, case) };
    let standpoint = standpoint(case, author, forwarder, Verified::None);
    let entry = post::add(tx, act, &case.property, None, &mut ticket, content, standpoint)?;
    Ok(filed(&ticket, &entry))
}

/// A contact's message on his ticket, or the first of a new one.
fn by_contact(tx: &mut Tx<'_>, act: &Act<'_>, case: Case<'_>, verified: Verified) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, &case, case.author.mailbox.clone(), Status::Open)?,
    };
    let (author, addresses) = person(tx, act, &case)?;
    let mut by_requester = false;
    if let Some(person) = author.person()
        && let Some(participant) = ticket.participant_mut(person)
    {
        // Answers go where he wrote from last.
        participant.address = case.author.mailbox.address.clone();
        by_requester = participant.ground == crate::desk::ticket::Ground::Requester;
    }
    let vouched = by_requester && case.author.aligned;
    let named = outsiders(act, &case);
    post::propose(tx, act, &case.property, &mut ticket, &named, Standing::Proposed, vouched)?;
    learn_parents(tx, &case, &ticket)?;
    let machine = case.mail.machine.map(|(machine, _)| machine);
    let standpoint =
        Standpoint { voice: Voice::of_contact(verified), machine, ..standpoint(&case, author, addresses, verified) };
    let content = content(act, &case);
    let entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    remember_looks(tx, act, &case, ticket.id)?;
    Ok(filed(&ticket, &entry))
}

/// Somebody unknown on a known ticket: members hear of it with a warning, contacts don't.
fn unverified(tx: &mut Tx<'_>, act: &Act<'_>, case: Case<'_>, propose: bool) -> Result<Arrival, ActionError> {
    let Some(before) = case.ticket.clone() else {
        return by_contact(tx, act, case, Verified::None);
    };
    let mut ticket = before.clone();
    let (author, addresses) = person(tx, act, &case)?;
    if propose {
        let writer = [case.author.mailbox.clone()];
        post::propose(tx, act, &case.property, &mut ticket, &writer, Standing::Proposed, false)?;
    }
    let standpoint = Standpoint {
        warning: Some(Reason::Unverified),
        reason: Some(Reason::Unverified),
        machine: case.mail.machine.map(|(machine, _)| machine),
        ..standpoint(&case, author, addresses, Verified::None)
    };
    let content = content(act, &case);
    let entry = post::add(tx, act, &case.property, Some(&before), &mut ticket, content, standpoint)?;
    remember_looks(tx, act, &case, ticket.id)?;
    Ok(filed(&ticket, &entry))
}

/// Mail that says it is a member's, and waits for his word.
fn hold(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: Case<'_>,
    reason: Reason,
    ask: Option<MemberId>,
) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, &case, case.author.mailbox.clone(), Status::Open)?,
    };
    let (author, addresses) = match case.author.writer {
        Writer::Member(id) => {
            let mailbox = Mailbox::new(find::member_by_id(tx, id)?.name, case.author.mailbox.address.clone());
            (entry::Author::Person { person: Person::Member(id), mailbox }, Vec::new())
        }
        _ => person(tx, act, &case)?,
    };
    let claimed = match case.author.writer {
        Writer::Member(id) => Some(id),
        _ => None,
    };
    let scope = match case.holder {
        Some(Holder::Member { scope, .. }) => scope,
        _ => Scope::Public,
    };
    let standpoint = Standpoint {
        state: State::Held,
        reason: Some(reason),
        warning: Some(reason),
        claims: ask.or(claimed),
        scope,
        ..standpoint(&case, author, addresses, Verified::None)
    };
    let content = content(act, &case);
    let entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    if let Some(member) = ask {
        copies::notify_held(tx, act, &ticket, entry.clone(), member)?;
    }
    Ok(filed(&ticket, &entry))
}

/// A new ticket whose writer says he is a member, and can't be believed: there to be seen.
fn marked(tx: &mut Tx<'_>, act: &Act<'_>, case: Case<'_>) -> Result<Arrival, ActionError> {
    let mut ticket = open(tx, act, &case, case.author.mailbox.clone(), Status::Open)?;
    let (author, addresses) = person(tx, act, &case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(Reason::Unaligned),
        warning: Some(Reason::Unaligned),
        ..standpoint(&case, author, addresses, Verified::None)
    };
    let content = content(act, &case);
    let entry = post::add(tx, act, &case.property, None, &mut ticket, content, standpoint)?;
    Ok(filed(&ticket, &entry))
}

fn filed(ticket: &Ticket, entry: &Entry) -> Arrival {
    tracing::debug!(ticket = %ticket.reference, entry = %entry.id, state = ?entry.state, reason = ?entry.reason, "filed");
    Arrival::Filed(ticket.reference.clone())
}

/// A new ticket for a requester, with the assignee that the recipient's department names.
fn open(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    requester: Mailbox,
    status: Status,
) -> Result<Ticket, ActionError> {
    let opening = Opening {
        requester,
        status,
        priority: Priority::Normal,
        tags: Vec::new(),
        assignee: case.department.map(Assignee::Department).or(case.property.default_assignee),
        continues: case.continues,
    };
    post::open(tx, act, &case.property, &case.mail.understood.subject, opening)
}

/// The writer as a contact, and all his addresses.
fn person(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(entry::Author, Vec<Address>), ActionError> {
    let id: ContactId = post::contact_for(tx, act, &case.author.mailbox)?;
    let author = entry::Author::Person { person: Person::Contact(id), mailbox: case.author.mailbox.clone() };
    Ok((author, find::contact_by_id(tx, id)?.addresses))
}

/// The usual standpoint of mail: relayed, public, of a contact whom other contacts don't hear.
fn standpoint(case: &Case<'_>, author: entry::Author, addresses: Vec<Address>, verified: Verified) -> Standpoint {
    Standpoint {
        author,
        voice: Voice::Contact { to_contacts: false },
        addresses,
        verified,
        scope: Scope::Public,
        state: State::Relayed,
        reason: None,
        warning: None,
        machine: None,
        parent: case.parent,
        claims: None,
    }
}

fn content(act: &Act<'_>, case: &Case<'_>) -> Content {
    let understood = case.mail.understood;
    let mentioned = understood.references.iter().chain(&understood.in_reply_to).cloned().collect();
    Content {
        message_id: Some(case.mail.message_id.clone()),
        date: understood.date,
        subject: understood.subject.clone(),
        text: understood.text.new.clone(),
        attachments: understood.attachments.clone(),
        raw: case.raw,
        named: outsiders(act, case),
        mentioned,
        conversation: understood.thread_index.as_ref().and_then(|index| index.conversation().try_into().ok()),
        verdict: Some(case.mail.verdict.clone()),
        arrived_at: Some(case.address.clone()),
    }
}

/// Who stands in To and Cc, without our own addresses and the writer.
fn outsiders(act: &Act<'_>, case: &Case<'_>) -> Vec<Mailbox> {
    let understood = case.mail.understood;
    let mut outsiders: Vec<Mailbox> = Vec::new();
    for mailbox in understood.to.iter().chain(&understood.cc) {
        let ours = act.desk.is_local(&mailbox.address)
            || case.property.public.as_ref() == Some(&mailbox.address)
            || mailbox.address == case.author.mailbox.address;
        if !ours && !outsiders.iter().any(|known| known.address == mailbox.address) {
            outsiders.push(mailbox.clone());
        }
    }
    outsiders
}

/// A smarthost that gave our copy another Message-ID: what a valid reply address answers under an
/// unknown name is remembered as the ticket's latest message.
fn learn_parents(tx: &mut Tx<'_>, case: &Case<'_>, ticket: &Ticket) -> Result<(), ActionError> {
    if case.holder.is_none() || case.found.is_some() {
        return Ok(());
    }
    let range = (ticket.id, EntryId(0))..=(ticket.id, EntryId(u64::MAX));
    let latest = tx.range(&ENTRIES, range, Order::Down, 100)?;
    let Some((_, latest)) = latest.into_iter().find(|(_, entry)| entry.minted_id.is_some()) else { return Ok(()) };
    for id in case.mail.understood.in_reply_to.iter().take(1) {
        post::bear(tx, ticket, latest.id, id, Bond::Own)?;
    }
    Ok(())
}
