//! One message at one property: the marks, then the ticket, then what it may do there.

use jiff::SignedDuration;

use super::filing::Addressed;
use super::threads::StoredThreads;
use super::writer::{self, Author};
use super::{Arrival, Counts, Mail, exchange, filing, gate, report};
use crate::actions::{Act, ActionError, Desk, change, find, reach, state};
use crate::desk::address::Address;
use crate::desk::authority::{self, Authority, Claim, HandsOn, Holder, Writer};
use crate::desk::entry::{self, Entry, Event, Machine, Reason, What};
use crate::desk::id::{DepartmentId, EntryId, PropertyId, RawId, TicketId};
use crate::desk::property::Property;
use crate::desk::spam::{Fate, Why};
use crate::desk::subject::{canonical_subject, ticket_ref_in};
use crate::desk::thread::{self, Bond, Found, Signals};
use crate::desk::ticket::{Assignee, Person, Standing, Status, Ticket};
use crate::desk::token::{self, ReplyToken};
use crate::desk::verdict::Verdict;
use crate::mime::confirmation;
use crate::mime::ids::ThreadIndex;
use crate::store::tables::{ENTRIES, MESSAGE_IDS};
use crate::store::{Read, Tx};

/// After this long a closed ticket is not opened by mail about something else.
const CLOSED_FOR_GOOD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of a message once its ticket was looked for.
pub(super) struct Case<'a> {
    pub(super) mail: &'a Mail<'a>,
    pub(super) address: &'a Address,
    pub(super) property: Property,
    pub(super) department: Option<DepartmentId>,
    pub(super) raw: RawId,
    pub(super) author: Author,
    pub(super) holder: Option<Holder>,
    /// The ticket that it belongs to; `None`: a new one.
    pub(super) ticket: Option<Ticket>,
    /// How it was found, besides by a reply address.
    pub(super) found: Option<Found>,
    pub(super) parent: Option<EntryId>,
    /// The closed ticket that a new one goes on from.
    pub(super) continues: Option<TicketId>,
    /// How many turns without a person it stands at the end of (`desk/exchange.rs`).
    pub(super) turn: u8,
}

impl<'a> Case<'a> {
    /// Of mail whose ticket was not looked for yet.
    pub(super) fn new(
        mail: &'a Mail<'a>,
        address: &'a Address,
        property: Property,
        author: Author,
        raw: RawId,
    ) -> Self {
        Self {
            mail,
            address,
            property,
            department: None,
            raw,
            author,
            holder: None,
            ticket: None,
            found: None,
            parent: None,
            continues: None,
            turn: 0,
        }
    }

    /// Of mail whose address names its ticket.
    pub(super) fn on(
        mail: &'a Mail<'a>,
        address: &'a Address,
        property: Property,
        author: Author,
        ticket: Ticket,
        raw: RawId,
    ) -> Self {
        Self { ticket: Some(ticket), ..Self::new(mail, address, property, author, raw) }
    }
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
    if let Some(report) = mail.report
        && let Some(arrival) = report::elsewhere(tx, act, &property, report)?
    {
        return Ok(arrival);
    }
    let author = writer::author(tx, act.desk, &property, mail)?;
    // Whose mail arrives can be reached; a forwarder's word for it is not enough.
    let himself = mail.verdict.is_some_and(Verdict::is_aligned) && author.mailbox.address == mail.from.address;
    let resumed = himself && reach::proved(tx, &mail.from.address)?;
    let arrival = file(tx, act, mail, address, property, author, department, token, raw)?;
    if let (true, Arrival::Filed(reference, _)) = (resumed, &arrival) {
        let ticket = find::ticket(tx, &reference.to_string())?;
        let event = Event { what: What::Resumed, from: None, to: Some(mail.from.address.to_string()) };
        state::event_by(tx, act, &ticket, entry::Author::System, event)?;
    }
    Ok(arrival)
}

/// Files mail of a known writer.
#[expect(clippy::too_many_arguments, reason = "what the envelope says of one recipient, taken apart")]
fn file(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    property: Property,
    author: Author,
    department: Option<DepartmentId>,
    token: Option<ReplyToken>,
    raw: RawId,
) -> Result<Arrival, ActionError> {
    let mut case = Case { department, ..Case::new(mail, address, property, author, raw) };
    locate(tx, &mut case, token)?;
    if let Some(arrival) = duplicate(tx, act, &case)? {
        return Ok(arrival);
    }
    // Who asks to forward here is believed in his own domain's name alone.
    let aligned = mail.verdict.is_some_and(Verdict::is_aligned);
    let believed = aligned && !gate::is_blocked(&case);
    if let Some(request) = confirmation::read(mail.understood).filter(|_| believed) {
        return filing::confirmation(tx, act, &mut case, request);
    }
    let mut authority = authority_over(tx, act.desk, &case)?;
    let fate = gate::at(&case, authority);
    if let Fate::Refused(why) = fate {
        return Ok(gate::refusal(&case, why));
    }
    let silent = mail.machine.filter(|(machine, _)| *machine == Machine::Silent);
    if let (None, Some(id), true) = (&case.ticket, &mail.understood.concerns, silent.is_some())
        && let Some(ticket) = report::minted(tx, &case.property, id)?
    {
        case.ticket = Some(find::ticket_by_id(tx, ticket)?);
    }
    if (fate == Fate::Spam || silent.is_some())
        && let Some(full) = gate::ceiling(act, &case, authority)
    {
        return Ok(full);
    }
    if fate == Fate::Spam {
        let machine = mail.machine.map(|(machine, _)| machine);
        return filing::keep(tx, act, &case, machine, Reason::Spam, Status::Spam);
    }
    if let Some((machine, reason)) = silent {
        let reason = if mail.report.is_some() { Reason::Bounce } else { reason.unwrap_or(Reason::Automatic) };
        return filing::keep(tx, act, &case, Some(machine), reason, Status::Closed);
    }
    if start_anew(act, &mut case) {
        authority = authority_over(tx, act.desk, &case)?;
    }
    if let Some(arrival) = filing::look_alike(tx, act, &case)? {
        return Ok(arrival);
    }
    if let Some(full) = gate::ceiling(act, &case, authority) {
        return Ok(full);
    }
    if let Some(arrival) = exchange(tx, act, &mut case, authority)? {
        return Ok(arrival);
    }
    obey(tx, act, &case, authority)
}

/// Keeps mail on the ticket of the copy whose envelope sender it answers: a machine's, unless the
/// property blocks its writer, or a report that names nobody.
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
    let case = Case::on(mail, address, property, author, ticket, raw);
    let blocked = gate::is_blocked(&case) && !matches!(case.author.writer, Writer::Member(_));
    if mail.report.is_none() && blocked && !mail.must_keep {
        return Ok(gate::refusal(&case, Why::Blocked));
    }
    filing::keep(tx, act, &case, Some(Machine::Silent), reason, Status::Closed)
}

/// Rules 1 to 3.
pub(super) fn locate(tx: &impl Read, case: &mut Case<'_>, token: Option<ReplyToken>) -> Result<(), ActionError> {
    let understood = case.mail.understood;
    let signals = Signals {
        in_reply_to: &understood.in_reply_to,
        references: &understood.references,
        conversation: understood.thread_index.as_ref().map(ThreadIndex::conversation),
        number: ticket_ref_in(&understood.subject, case.property.slug.as_str()),
        aligned: case.author.aligned,
    };
    let threads = StoredThreads { tx, property: case.property.id, writer: case.author.writer };
    let found = thread::find(&signals, &threads)?;
    if let Some(token) = token
        && let Some((ticket, holder)) = made_for(tx, &case.property, token)?
    {
        let same = found.filter(|found| found.ticket == ticket.id);
        case.found = same.map(|found| found.found);
        case.parent = same.and_then(|found| found.parent);
        case.ticket = Some(ticket);
        case.holder = Some(holder);
        return Ok(());
    }
    if let Some(found) = found {
        case.ticket = Some(find::ticket_by_id(tx, found.ticket)?);
        case.found = Some(found.found);
        case.parent = found.parent;
    }
    Ok(())
}

/// The ticket of a reply address and for whom it was made. `None` where it is the bare address: that
/// person was removed since, or a restored backup knows nothing of it.
pub(super) fn made_for(
    tx: &impl Read,
    property: &Property,
    token: ReplyToken,
) -> Result<Option<(Ticket, Holder)>, ActionError> {
    let Some(ticket) = find::there(find::ticket_by_id(tx, token.ticket))? else { return Ok(None) };
    if ticket.property != property.id {
        return Ok(None);
    }
    let holder = match token.person {
        Person::Member(id) => find::there(find::member_by_id(tx, id))?
            .filter(|member| member.is_of(property.id))
            .map(|member| Holder::Member { id, list: member.list, scope: token.scope }),
        Person::Contact(id) => find::there(find::contact_by_id(tx, id))?
            .filter(|contact| ticket.participant(Person::Contact(contact.id)).is_some())
            .map(|contact| Holder::Contact { id: contact.id }),
    };
    Ok(holder.map(|holder| (ticket, holder)))
}

/// The same message a second time: a further arrival, not relayed (RFC 1047).
pub(super) fn duplicate(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<Option<Arrival>, ActionError> {
    let key = (case.property.id, case.mail.message_id.clone());
    for bearer in tx.get(&MESSAGE_IDS, &key)?.unwrap_or_default() {
        if bearer.bond != Bond::Own {
            continue;
        }
        let before = find::ticket_by_id(tx, bearer.ticket)?;
        let Some(entry) = tx.get(&ENTRIES, &(before.id, bearer.entry))? else { continue };
        let same_ticket = match &case.ticket {
            Some(ticket) => ticket.id == before.id,
            // It opened its ticket.
            None => entry.at == before.created_at,
        };
        let same_date = entry.date == case.mail.understood.date;
        let same_from = entry.from.as_ref() == Some(&case.mail.from.address);
        if !same_ticket || !same_date || !same_from || !same_matter(&entry, case) {
            continue;
        }
        let mut ticket = before.clone();
        let event =
            Event { what: What::Duplicate, from: Some(entry.id.to_string()), to: Some(case.address.to_string()) };
        state::event_by(tx, act, &ticket, entry::Author::System, event)?;
        if let (Some(department), None) = (case.department, ticket.assignee) {
            let assignee = Some(Assignee::Department(department));
            change::assign(tx, act, &case.property, &mut ticket, assignee)?;
        }
        ticket.updated_at = act.now;
        state::save(tx, Some(&before), &ticket)?;
        return Ok(Some(Arrival::Filed(ticket.reference, Counts::default())));
    }
    Ok(None)
}

/// Whether an entry came for what this message comes for: one mail may answer two questions of the
/// desk, and be a message on their ticket besides.
fn same_matter(entry: &Entry, case: &Case<'_>) -> bool {
    let asks = |address: &Address| token::is_confirm(address.local());
    let questions = [entry.arrived_at.as_ref().filter(|at| asks(at)), Some(case.address).filter(|at| asks(at))];
    questions[0] == questions[1]
}

/// Mail about something else does not open a ticket that was closed long ago; whether it is such.
fn start_anew(act: &Act<'_>, case: &mut Case<'_>) -> bool {
    let Some(ticket) = &case.ticket else { return false };
    let by_member =
        matches!(case.author.writer, Writer::Member(_)) || matches!(case.holder, Some(Holder::Member { .. }));
    let old = ticket.status == Status::Closed && act.now.duration_since(ticket.status_since) > CLOSED_FOR_GOOD;
    let other = canonical_subject(&ticket.subject) != canonical_subject(&case.mail.understood.subject);
    let anew = old && other && !by_member;
    if anew {
        case.continues = Some(ticket.id);
        case.ticket = None;
        case.found = None;
        case.parent = None;
        case.holder = None;
    }
    anew
}

/// Of what would go on to somebody: does it answer what no person wrote, and so on? Then it is kept.
fn exchange(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &mut Case<'_>,
    authority: Authority,
) -> Result<Option<Arrival>, ActionError> {
    if matches!(authority, Authority::Held { .. } | Authority::Marked) {
        return Ok(None);
    }
    let (step, belongs) = exchange::step(tx, act, case)?;
    case.turn = step.turn();
    let ended = belongs.filter(|_| step.is_too_much());
    ended.map(|ticket| filing::quiet(tx, act, case, &ticket, Reason::Exchange)).transpose()
}

/// What the authority table says of a case.
fn authority_over(tx: &impl Read, desk: &Desk, case: &Case<'_>) -> Result<Authority, ActionError> {
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
    let hands_on = match writer::forwarded(case.mail) {
        Some(forwarded) if find::is_outside(tx, desk, case.property.id, &forwarded.from.address)? => {
            if forwarded.well_formed { HandsOn::Clear } else { HandsOn::Unclear }
        }
        _ => HandsOn::Nothing,
    };
    let claim = Claim {
        writer: case.author.writer,
        aligned: case.author.aligned,
        strict: case.property.strict,
        holder: case.holder,
        found: case.found,
        takes_part,
        named_by_parent,
        hands_on,
    };
    Ok(authority::decide(&claim))
}

/// The authority table, and what follows from it.
pub(super) fn decide(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<Arrival, ActionError> {
    let authority = authority_over(tx, act.desk, case)?;
    obey(tx, act, case, authority)
}

/// What follows from what a message may do.
fn obey(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>, authority: Authority) -> Result<Arrival, ActionError> {
    match authority {
        Authority::Member { speaker, scope } => filing::by_member(tx, act, case, speaker, scope, &Addressed::default()),
        Authority::Contact { verified } => filing::by_contact(tx, act, case, verified),
        Authority::Unverified { propose } => filing::unverified(tx, act, case, propose),
        Authority::Held { reason, ask } => filing::hold(tx, act, case, reason, ask),
        Authority::Marked => filing::marked(tx, act, case),
    }
}
