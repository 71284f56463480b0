//! What follows for a message once it is known what it is, whose, and for which ticket: the entry,
//! and what it makes of its ticket.

use super::arrival::Case;
use super::looks::{Echo, Look, Sight};
use super::placed::Home;
use super::{Arrival, Counts, StoredDirectory, writer};
use crate::actions::commands::{self, Said};
use crate::actions::post::{self, Content, Opening, Standpoint};
use crate::actions::ticket::{self, Composition, Worker};
use crate::actions::{self, Act, ActionError, acknowledgement, find, notices};
use crate::desk::acknowledgement::{self as rules, Occasion};
use crate::desk::address::{Address, Mailbox};
use crate::desk::authority::{Holder, Speaker, Writer};
use crate::desk::command::Asked;
use crate::desk::confirmation::Request;
use crate::desk::copy::Scope;
use crate::desk::entry::{self, Entry, Machine, Reason, State, Verified};
use crate::desk::exchange::SLOW;
use crate::desk::fanout::Voice;
use crate::desk::id::{ContactId, EntryId, MemberId};
use crate::desk::recipient;
use crate::desk::thread::{Bond, Found};
use crate::desk::ticket::{Assignee, Ground, Person, Priority, Standing, Status, Ticket};
use crate::desk::verdict::Verdict;
use crate::mime::understand::Forwarded;
use crate::store::tables::ENTRIES;
use crate::store::{Order, Read, Tx};

/// Mail that is only kept: on its ticket, or on one that has a status from the start.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    machine: Option<Machine>,
    reason: Reason,
    status: Status,
) -> Result<Arrival, ActionError> {
    let (author, addresses) = person(tx, act, case)?;
    let standpoint = standpoint(case, author, addresses, Verified::None);
    let standpoint = Standpoint { machine, reason: Some(reason), ..standpoint };
    keep_as(tx, act, case, content(act, case), standpoint, status)
}

/// An answer to a question of the desk, whatever it decides: kept for members to see.
pub(super) fn keep_answer(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    reason: Reason,
) -> Result<Arrival, ActionError> {
    let (author, addresses) = writer(tx, act, case)?;
    let standpoint = standpoint(case, author, addresses, Verified::None);
    let machine = case.mail.machine.map(|(machine, _)| machine);
    let standpoint = Standpoint { machine, reason: Some(reason), scope: Scope::Note, ..standpoint };
    // What answers the same letter elsewhere must not be led to this ticket, and to its customer.
    let content = Content { mentioned: Vec::new(), conversation: None, ..content(act, case) };
    keep_as(tx, act, case, content, standpoint, Status::Closed)
}

fn keep_as(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    content: Content,
    standpoint: Standpoint,
    status: Status,
) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, case, case.author.mailbox.clone(), status)?,
    };
    let standpoint = Standpoint { state: State::Kept, ..standpoint };
    let entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    Ok(filed(&ticket, &entry))
}

/// The cap for mail that looks alike, from one sender: past it, the mail is kept and not relayed.
pub(super) fn look_alike(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<Option<Arrival>, ActionError> {
    if matches!(case.author.writer, Writer::Member(_)) {
        return Ok(None);
    }
    let Some(first) = case.mail.looks.too_many(&look(case), act.now) else { return Ok(None) };
    let ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => find::ticket_by_id(tx, first)?,
    };
    quiet(tx, act, case, &ticket, Reason::LookAlike).map(Some)
}

/// Keeps one more of what goes on by itself. The ticket's members are told of the first.
pub(super) fn quiet(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    before: &Ticket,
    reason: Reason,
) -> Result<Arrival, ActionError> {
    let mut ticket = before.clone();
    let (author, addresses) = writer(tx, act, case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(reason),
        machine: case.mail.machine.map(|(machine, _)| machine),
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let mut entry = post::add(tx, act, &case.property, Some(before), &mut ticket, content, standpoint)?;
    notices::quiet(tx, act, &mut ticket, &mut entry)?;
    Ok(filed(&ticket, &entry))
}

fn look(case: &Case<'_>) -> Look {
    Look::of(case.mail, case.property.id, &case.author.mailbox.address)
}

/// Whom a member who is logged in addresses besides the ticket: they get what he writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Addressed {
    /// People outside: on a ticket that is there they become accepted Cc; a new one is for the first.
    pub(super) contacts: Vec<Mailbox>,
    /// They follow the ticket.
    pub(super) colleagues: Vec<MemberId>,
}

/// What a member says, with the proof that he does: every message of a member goes through here,
/// whichever way it came. On a ticket it is a public reply, a note, or commands alone. Without one
/// it opens a ticket for whom he addresses, else for the customer whose mail he forwards, else for
/// himself.
pub(super) fn by_member(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    speaker: Speaker,
    scope: Scope,
    addressed: &Addressed,
) -> Result<Arrival, ActionError> {
    let (id, verified) = (speaker.member(), speaker.verified());
    let member = find::member_by_id(tx, id)?;
    let by_him = act.with_actor(post::as_member(&member));
    if let (None, [requester, cc @ ..]) = (&case.ticket, addressed.contacts.as_slice()) {
        let composition = Composition {
            requester: requester.clone(),
            cc: cc.to_vec(),
            followers: addressed.colleagues.clone(),
            priority: Priority::Normal,
            tags: Vec::new(),
            worker: Worker::Author,
        };
        let (ticket, entry) = ticket::compose(tx, &by_him, &case.property, composition, content(act, case))?;
        return Ok(filed(&ticket, &entry));
    }
    let author = entry::Author::Person { person: Person::Member(id), mailbox: member.mailbox() };
    let addresses = member.addresses();
    let Some(before) = case.ticket.clone() else {
        if let Some(forwarded) = writer::forwarded(case.mail)
            && find::is_outside(tx, act.desk, case.property.id, &forwarded.from.address)?
        {
            return forwarded_by(tx, &by_him, case, addresses, forwarded);
        }
        let mut ticket = open(tx, act, case, member.mailbox(), Status::Open)?;
        let standpoint = Standpoint {
            voice: Voice::Contact { to_contacts: false },
            ..standpoint(case, author, addresses, verified)
        };
        let said = Said { followed_by: addressed.colleagues.clone(), ..Said::new(content(act, case), standpoint) };
        let entry = commands::add(tx, &by_him, &case.property, None, &mut ticket, said)?;
        return Ok(filed(&ticket, &entry));
    };
    let mut ticket = before.clone();
    let scope = if answers_note(tx, case)? { Scope::Note } else { scope };
    let standpoint = Standpoint { voice: Voice::Member, scope, ..standpoint(case, author, addresses, verified) };
    learn_parents(tx, case, &ticket)?;
    let said = Said {
        content: content(act, case),
        standpoint,
        admits: addressed.contacts.clone(),
        followed_by: addressed.colleagues.clone(),
    };
    let entry = commands::add(tx, &by_him, &case.property, Some(&before), &mut ticket, said)?;
    Ok(filed(&ticket, &entry))
}

/// Whether a message answers a note: then it is one, whatever its reply address allows.
pub(super) fn answers_note(tx: &impl Read, case: &Case<'_>) -> Result<bool, ActionError> {
    let (Some(ticket), Some(parent)) = (&case.ticket, case.parent) else { return Ok(false) };
    Ok(tx.get(&ENTRIES, &(ticket.id, parent))?.is_some_and(|parent| parent.kind == entry::Kind::Note))
}

/// A ticket for the original sender of a mail that a member forwarded; `act` is the member's.
fn forwarded_by(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    forwarder: Vec<Address>,
    forwarded: &Forwarded,
) -> Result<Arrival, ActionError> {
    let mut ticket = open(tx, act, case, forwarded.from.clone(), Status::Open)?;
    if !forwarded.subject.is_empty() {
        ticket.subject.clone_from(&forwarded.subject);
    }
    let contact = post::contact_for(tx, act, &forwarded.from)?;
    let author = entry::Author::Person { person: Person::Contact(contact), mailbox: forwarded.from.clone() };
    let content = content(act, case);
    // The commands stand above what he forwards, which is the text.
    let asked = Asked { rest: forwarded.text.clone(), ..content.asked };
    let content = Content { text: forwarded.text.clone(), asked, ..content };
    let standpoint = standpoint(case, author, forwarder, Verified::None);
    let entry = commands::add(tx, act, &case.property, None, &mut ticket, Said::new(content, standpoint))?;
    Ok(filed(&ticket, &entry))
}

/// A provider asks to confirm a forward: kept on a ticket of its own that is closed from the start,
/// shown with the property, and told to those who may decide.
pub(super) fn confirmation(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &mut Case<'_>,
    request: Request,
) -> Result<Arrival, ActionError> {
    case.found = None;
    case.parent = None;
    let mut ticket = open(tx, act, case, case.author.mailbox.clone(), Status::Closed)?;
    let (author, addresses) = person(tx, act, case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(Reason::Confirmation),
        machine: Some(Machine::Silent),
        ..standpoint(case, author, addresses, Verified::Aligned)
    };
    let content = content(act, case);
    let mut entry = post::add(tx, act, &case.property, None, &mut ticket, content, standpoint)?;
    // A mailbox that forwards here may be what was asked, and not the desk.
    let asked = case.mail.understood.to.first().map_or(case.address, |to| &to.address);
    actions::confirmation::asked(tx, act, &case.property, &ticket, &mut entry, asked, request)?;
    Ok(filed(&ticket, &entry))
}

/// A contact's message on his ticket, or the first of a new one.
pub(super) fn by_contact(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    verified: Verified,
) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, case, case.author.mailbox.clone(), Status::Open)?,
    };
    let (author, addresses) = person(tx, act, case)?;
    let mut by_requester = false;
    if let Some(person) = author.person()
        && let Some(participant) = ticket.participant_mut(person)
    {
        // Answers go where he wrote from last.
        participant.address = case.author.mailbox.address.clone();
        by_requester = participant.ground == Ground::Requester;
    }
    let vouched = by_requester && case.author.aligned;
    let named = outsiders(act, case);
    post::propose(tx, act, &case.property, &mut ticket, &named, Standing::Proposed, vouched)?;
    learn_parents(tx, case, &ticket)?;
    let machine = case.mail.machine.map(|(machine, _)| machine);
    let standpoint =
        Standpoint { voice: Voice::of_contact(verified), machine, ..standpoint(case, author, addresses, verified) };
    let content = content(act, case);
    let mut entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    if before.is_none() {
        acknowledge(tx, act, case, &ticket, &mut entry)?;
    }
    Ok(counted(case, &ticket, &entry))
}

/// Tells the requester of a new ticket that his message has arrived, where the property wants that
/// and the mail allows it.
fn acknowledge(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
) -> Result<(), ActionError> {
    let writer = &case.author.mailbox.address;
    let ours = act.desk.is_local(writer) || find::property_of_public(tx, writer)?.is_some();
    if !case.property.acknowledge || ours || ticket.status != Status::Open {
        return Ok(());
    }
    let understood = case.mail.understood;
    let occasion = Occasion {
        aligned: case.author.aligned,
        machine: case.mail.machine.is_some(),
        suppressed: understood.marks.suppress,
        reverse_path: case.mail.envelope.reverse_path.as_ref(),
        writer,
        addressed: is_addressed(tx, act, case)?,
        answers: case.turn > 0 || rules::is_one(&understood.text.new) || is_echo(act, case),
    };
    if rules::is_wanted(&occasion) {
        let language = understood.language.unwrap_or(case.property.language);
        acknowledgement::send(tx, act, &case.property, ticket, entry, language)?;
    }
    Ok(())
}

/// Whether the same words opened a ticket a while ago, whoever said them: another desk acknowledges ours.
fn is_echo(act: &Act<'_>, case: &Case<'_>) -> bool {
    let echo = Echo::of(case.mail, case.property.id);
    !echo.is_short() && case.mail.looks.opened(&echo, act.now, SLOW).is_some()
}

/// Whether an address of the property stands in To or Cc.
fn is_addressed(tx: &impl Read, act: &Act<'_>, case: &Case<'_>) -> Result<bool, ActionError> {
    let directory = StoredDirectory { tx, postmaster: act.desk.postmaster.as_ref() };
    for mailbox in case.mail.understood.to.iter().chain(&case.mail.understood.cc) {
        if case.property.public.as_ref() == Some(&mailbox.address) {
            return Ok(true);
        }
        let target = recipient::resolve(&mailbox.address, &act.desk.domains, &act.desk.keys, &directory)?;
        if target.is_ok_and(|target| target.property() == Some(case.property.id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Somebody unknown on a known ticket: members hear of it with a warning, contacts don't.
pub(super) fn unverified(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    propose: bool,
) -> Result<Arrival, ActionError> {
    let Some(before) = case.ticket.clone() else {
        return by_contact(tx, act, case, Verified::None);
    };
    let mut ticket = before.clone();
    let (author, addresses) = person(tx, act, case)?;
    if propose {
        let writer = [case.author.mailbox.clone()];
        post::propose(tx, act, &case.property, &mut ticket, &writer, Standing::Proposed, false)?;
    }
    let standpoint = Standpoint {
        warning: Some(Reason::Unverified),
        reason: Some(Reason::Unverified),
        machine: case.mail.machine.map(|(machine, _)| machine),
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let entry = post::add(tx, act, &case.property, Some(&before), &mut ticket, content, standpoint)?;
    Ok(counted(case, &ticket, &entry))
}

/// Mail that says it is a member's, and waits for his word.
pub(super) fn hold(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    reason: Reason,
    ask: Option<MemberId>,
) -> Result<Arrival, ActionError> {
    let before = case.ticket.clone();
    let mut ticket = match case.ticket.clone() {
        Some(ticket) => ticket,
        None => open(tx, act, case, case.author.mailbox.clone(), Status::Open)?,
    };
    let (author, addresses) = writer(tx, act, case)?;
    let claimed = match case.author.writer {
        Writer::Member(id) => Some(id),
        _ => None,
    };
    let scope = match case.holder {
        _ if answers_note(tx, case)? => Scope::Note,
        Some(Holder::Member { scope, .. }) => scope,
        _ => Scope::Public,
    };
    let standpoint = Standpoint {
        state: State::Held,
        reason: Some(reason),
        warning: Some(reason),
        claims: ask.or(claimed),
        hands_on: reason == Reason::Forward,
        scope,
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let mut entry = post::add(tx, act, &case.property, before.as_ref(), &mut ticket, content, standpoint)?;
    if let Some(member) = ask {
        notices::held(tx, act, &ticket, &mut entry, member)?;
    }
    Ok(filed(&ticket, &entry))
}

/// A new ticket whose writer says he is a member, and can't be believed: there to be seen.
pub(super) fn marked(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<Arrival, ActionError> {
    let mut ticket = open(tx, act, case, case.author.mailbox.clone(), Status::Open)?;
    let (author, addresses) = person(tx, act, case)?;
    let standpoint = Standpoint {
        state: State::Kept,
        reason: Some(Reason::Unaligned),
        warning: Some(Reason::Unaligned),
        ..standpoint(case, author, addresses, Verified::None)
    };
    let content = content(act, case);
    let entry = post::add(tx, act, &case.property, None, &mut ticket, content, standpoint)?;
    Ok(filed(&ticket, &entry))
}

/// Mail that a member put among tickets by hand: a new one for whoever wrote it, who is sent nothing.
/// `act` is the member's, and so are these addresses: he has it.
pub(super) fn placed(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    case: &Case<'_>,
    home: Home,
    his: Vec<Address>,
) -> Result<(Ticket, Entry), ActionError> {
    let opening = Opening {
        requester: case.author.mailbox.clone(),
        status: home.status,
        priority: Priority::Normal,
        tags: Vec::new(),
        assignee: home.assignee,
        continues: None,
    };
    let mut ticket = post::open(tx, act, &case.property, &case.mail.understood.subject, opening)?;
    let (author, mut addresses) = person(tx, act, case)?;
    addresses.extend(his);
    post::propose(tx, act, &case.property, &mut ticket, &outsiders(act, case), Standing::Proposed, false)?;
    let machine = case.mail.machine.map(|(machine, _)| machine);
    let standpoint = Standpoint { machine, ..standpoint(case, author, addresses, Verified::None) };
    let entry = post::add(tx, act, &case.property, None, &mut ticket, content(act, case), standpoint)?;
    Ok((ticket, entry))
}

fn filed(ticket: &Ticket, entry: &Entry) -> Arrival {
    tracing::debug!(ticket = %ticket.reference, entry = %entry.id, state = ?entry.state, reason = ?entry.reason, "filed");
    // A ticket is as old as the entry that opened it.
    let opened = (ticket.created_at == entry.at).then_some(ticket.property);
    Arrival::Filed(ticket.reference.clone(), Counts { opened, sight: None })
}

/// The same for mail that is to be remembered: towards the cap for look-alikes, and by the ticket that
/// it opened.
fn counted(case: &Case<'_>, ticket: &Ticket, entry: &Entry) -> Arrival {
    let opened = || (Echo::of(case.mail, case.property.id), ticket.id);
    let sight = Sight { look: (look(case), ticket.id), opened: case.ticket.is_none().then(opened) };
    match filed(ticket, entry) {
        Arrival::Filed(reference, counts) => {
            Arrival::Filed(reference, Counts { sight: Some(Box::new(sight)), ..counts })
        }
        refused @ Arrival::Refused(_) => refused,
    }
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
    let subject = match handed_on(case) {
        Some(forwarded) if !forwarded.subject.is_empty() => &forwarded.subject,
        _ => &case.mail.understood.subject,
    };
    post::open(tx, act, &case.property, subject, opening)
}

/// The writer as his address says, a member or a contact, and a contact's addresses.
fn writer(tx: &mut Tx<'_>, act: &Act<'_>, case: &Case<'_>) -> Result<(entry::Author, Vec<Address>), ActionError> {
    let Writer::Member(id) = case.author.writer else { return person(tx, act, case) };
    let mailbox = Mailbox::new(find::member_by_id(tx, id)?.name, case.author.mailbox.address.clone());
    Ok((entry::Author::Person { person: Person::Member(id), mailbox }, Vec::new()))
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
        invited: case.holder.is_some() || case.found == Some(Found::Minted),
        scope: Scope::Public,
        state: State::Relayed,
        reason: None,
        warning: None,
        machine: None,
        parent: case.parent,
        claims: None,
        obeyed: None,
        turn: case.turn,
        hands_on: false,
    }
}

/// What the property's own mailbox handed on.
fn handed_on<'a>(case: &Case<'a>) -> Option<&'a Forwarded> {
    writer::forwarded(case.mail).filter(|_| case.author.handed_on)
}

fn content(act: &Act<'_>, case: &Case<'_>) -> Content {
    let understood = case.mail.understood;
    let mut mentioned: Vec<_> = understood.references.iter().chain(&understood.in_reply_to).cloned().collect();
    mentioned.extend(writer::forwarded(case.mail).and_then(|forwarded| forwarded.message_id.clone()));
    let verdict = case.mail.verdict;
    let believed = verdict.and_then(|verdict| verdict.vouched(&case.property.forwarders));
    let believed = believed.filter(|_| case.author.aligned).cloned();
    Content {
        message_id: Some(case.mail.message_id.clone()),
        date: understood.date,
        subject: understood.subject.clone(),
        text: handed_on(case).map_or(&understood.text.new, |forwarded| &forwarded.text).clone(),
        attachments: understood.attachments.clone(),
        raw: case.raw,
        named: outsiders(act, case),
        mentioned,
        conversation: understood.thread_index.as_ref().and_then(|index| index.conversation().try_into().ok()),
        verdict: verdict.map(|verdict| Verdict { believed, ..verdict.clone() }),
        arrived_at: Some(case.address.clone()),
        from: Some(case.mail.from.address.clone()),
        asked: commands::asked(understood),
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
