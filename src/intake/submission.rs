//! Mail from members who are logged in. The rules are those of
//! [`desk::submission`](crate::desk::submission); here is found out what they ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

use super::arrival::{self, Case};
use super::decision::{self, Question};
use super::filing::{self, Addressed};
use super::writer::{self, Author};
use super::{Accepted, Arrival, Counts, Intake, Mail, Rejection};
use crate::actions::{Act, ActionError, Desk, app_password, find, trace};
use crate::desk::address::{Address, Mailbox};
use crate::desk::authority::{Holder, Speaker};
use crate::desk::copy::Scope;
use crate::desk::entry::{Door, Machine, Reason};
use crate::desk::envelope::{Envelope, Visit};
use crate::desk::id::{DepartmentId, MemberId, PropertyId, RawId};
use crate::desk::login::Login;
use crate::desk::member::Member;
use crate::desk::recipient::{Refusal as NotHere, Target};
use crate::desk::submission::{Answered, Course, Manner, Refusal, Sender, Submission, decide, decide_answer};
use crate::desk::thread::Found;
use crate::desk::ticket::{Participant, Person, Standing, Status, Ticket, TicketRef};
use crate::desk::token::ReplyToken;
use crate::desk::trace::Arrival as Way;
use crate::metrics::{Rate, Refusal as NotTaken};
use crate::mime::marks;
use crate::mime::understand::{Problem, Understood};
use crate::store::{Read, Tx};

impl Intake {
    /// Whether a member who is logged in may send to an address, as far as that shows before the
    /// message.
    pub fn may_send(&self, login: &Login, visit: &Visit, address: &Address, now: Timestamp) -> Result<(), Rejection> {
        self.store.read(|view| {
            let member = logged_in(view, login)?;
            recipient(view, &self.desk, &member, address).map(|_| ())
        })?;
        self.quota
            .allows(login.member(), visit.recipients + 1, now)
            .inspect_err(|_| self.gate.metrics.count(Rate::Member))
    }

    /// Takes a member's message, or says why not; as [`Self::receive`] does.
    pub async fn submit(&self, login: &Login, envelope: &Envelope, raw: Vec<u8>) -> Result<Accepted, Rejection> {
        let mut understood = super::read(&raw)?;
        let raw = complete(raw, &mut understood, &self.desk, envelope.at);
        let mail = Mail {
            envelope,
            machine: marks::machine(&understood.marks, false),
            report: None,
            message_id: writer::message_id(&understood, &self.desk),
            from: writer::one(&understood).ok_or_else(writer::refused)?.clone(),
            understood: &understood,
            verdict: None,
            looks: &self.looks,
            gate: &self.gate,
            must_keep: true,
        };
        let recipients = envelope.recipients.len();
        let taken = self.quota.take(login.member(), recipients, envelope.at);
        taken.inspect_err(|_| self.gate.metrics.count(Rate::Member))?;
        let raw: Arc<[u8]> = raw.into();
        let filed = self
            .store
            .transact(|tx| {
                let act = super::act(&self.desk, envelope, Door::Submission);
                trace::arrived(tx, &act, Way::of(envelope, raw.len()))?;
                let raw = tx.put_raw(Arc::clone(&raw))?;
                file(tx, &act, &mail, login, raw)
            })
            .await;
        let filed = filed.inspect_err(|_| self.quota.give_back(login.member(), recipients))?;
        self.quota.charge(login.member(), filed.reached.saturating_sub(recipients), envelope.at);
        self.count(filed.counts, envelope.at);
        Ok(filed.accepted)
    }
}

/// Adds what a client left out (RFC 6409 §8.1 and §8.2).
fn complete(raw: Vec<u8>, understood: &mut Understood, desk: &Desk, now: Timestamp) -> Vec<u8> {
    let mut fields = String::new();
    if understood.problems.contains(&Problem::NoMessageId) {
        let id = writer::message_id(understood, desk);
        fields = format!("Message-ID: <{id}>\r\n");
        understood.message_id = Some(id);
    }
    if understood.problems.contains(&Problem::NoDate)
        && let Ok(date) = rfc2822::to_string(&now.to_zoned(TimeZone::UTC))
    {
        fields = format!("{fields}Date: {date}\r\n");
        understood.date = Some(now);
    }
    if fields.is_empty() { raw } else { [fields.into_bytes(), raw].concat() }
}

/// Who is logged in, unless that has ended since.
fn logged_in(tx: &impl Read, login: &Login) -> Result<Member, Rejection> {
    let ended = || {
        Rejection::new(530, (5, 7, 0), "your app password was revoked; log in with another").because(NotTaken::Login)
    };
    app_password::member(tx, login)?.ok_or_else(ended)
}

/// What a recipient is to whoever is logged in.
#[derive(Clone, Copy, Debug)]
enum Recipient {
    /// A reply address that he may use.
    Reply(PropertyId, ReplyToken),
    /// A property's own address, or its department's.
    Inbox(PropertyId, Option<DepartmentId>),
    /// Where he answers a question of the desk.
    Question(Question),
    /// Anybody.
    Person,
}

fn recipient(tx: &impl Read, desk: &Desk, member: &Member, address: &Address) -> Result<Recipient, Rejection> {
    match super::resolve(tx, desk, address)? {
        Ok(Target::Property(property)) => Ok(Recipient::Inbox(property, None)),
        Ok(Target::Department(property, department)) => Ok(Recipient::Inbox(property, Some(department))),
        Ok(Target::Reply(property, token)) => match holder(tx, property, token)? {
            Some(Holder::Member { id, list, .. }) if id == member.id || (list && member.is_of(property)) => {
                Ok(Recipient::Reply(property, token))
            }
            Some(_) => Err(Rejection::new(
                550,
                (5, 7, 1),
                "this reply address was made for somebody else; answer the mail that the desk sent to you",
            )),
            // Whom it was made for is gone: it is the bare address.
            None => Ok(Recipient::Inbox(property, None)),
        },
        Ok(Target::Confirm(token)) => put_to(tx, member, token.member, Question::Held(token)),
        Ok(Target::Claim(token)) => put_to(tx, member, token.member, Question::Claim(token)),
        Ok(Target::Bounce(_)) => {
            Err(Rejection::new(550, (5, 7, 1), "this address takes delivery reports from other servers alone"))
        }
        Err(NotHere::Foreign) => match find::property_of_public(tx, address)? {
            Some(property) => Ok(Recipient::Inbox(property, None)),
            None => Ok(Recipient::Person),
        },
        Err(refusal @ (NotHere::Unknown | NotHere::BadToken)) => Err(refusal.into()),
    }
}

/// A question of the desk, if it was put to whoever is logged in, or to a list: whoever reads that may
/// answer for it, as he may from its reply address.
fn put_to(tx: &impl Read, member: &Member, asked: MemberId, question: Question) -> Result<Recipient, Rejection> {
    let asked = find::member_by_id(tx, asked)?;
    let list = asked.list && asked.roles.keys().any(|property| member.is_of(*property));
    if asked.id == member.id || list {
        Ok(Recipient::Question(question))
    } else {
        Err(Rejection::new(550, (5, 7, 1), "this question was put to somebody else"))
    }
}

fn holder(tx: &impl Read, property: PropertyId, token: ReplyToken) -> Result<Option<Holder>, ActionError> {
    let made = arrival::made_for(tx, &find::property_by_id(tx, property)?, token)?;
    Ok(made.map(|(_, holder)| holder))
}

/// The envelope's recipients, sorted; without the member himself, who has what he wrote.
#[derive(Debug, Default)]
struct Recipients {
    replies: Vec<(Address, PropertyId, ReplyToken)>,
    /// The most specific of each property.
    inboxes: BTreeMap<PropertyId, (Address, Option<DepartmentId>)>,
    /// In the order of To and Cc, then those whom neither names.
    people: Vec<Mailbox>,
    questions: Vec<(Address, Question)>,
}

impl Recipients {
    fn of(tx: &impl Read, desk: &Desk, member: &Member, mail: &Mail<'_>) -> Result<Self, Rejection> {
        let mut sorted = Self::default();
        for address in &mail.envelope.recipients {
            if member.has(address) {
                continue;
            }
            match recipient(tx, desk, member, address)? {
                Recipient::Reply(property, token) => sorted.replies.push((address.clone(), property, token)),
                Recipient::Inbox(property, department) => {
                    let inbox = sorted.inboxes.entry(property).or_insert_with(|| (address.clone(), department));
                    if inbox.1.is_none() && department.is_some() {
                        *inbox = (address.clone(), department);
                    }
                }
                Recipient::Question(question) => sorted.questions.push((address.clone(), question)),
                Recipient::Person => {
                    let named = named(mail, address).cloned();
                    sorted.people.push(named.unwrap_or_else(|| Mailbox::new("", address.clone())));
                }
            }
        }
        let place = |mailbox: &Mailbox| header(mail).position(|named| named.address == mailbox.address);
        sorted.people.sort_by_key(|mailbox| place(mailbox).unwrap_or(usize::MAX));
        Ok(sorted)
    }

    /// Whether nobody else is meant than the desk that asked.
    fn is_questions(&self) -> bool {
        !self.questions.is_empty() && self.replies.is_empty() && self.inboxes.is_empty() && self.people.is_empty()
    }

    /// Those who are of a property's team, and those who are not.
    fn addressed(&self, tx: &impl Read, property: PropertyId) -> Result<Addressed, ActionError> {
        let mut addressed = Addressed::default();
        for mailbox in &self.people {
            match find::member_at(tx, property, &mailbox.address)? {
                Some(colleague) => addressed.colleagues.push(colleague.id),
                None => addressed.contacts.push(mailbox.clone()),
            }
        }
        Ok(addressed)
    }
}

fn header<'a>(mail: &'a Mail<'_>) -> impl Iterator<Item = &'a Mailbox> {
    mail.understood.to.iter().chain(&mail.understood.cc)
}

fn named<'a>(mail: &'a Mail<'_>, address: &Address) -> Option<&'a Mailbox> {
    header(mail).find(|mailbox| mailbox.address == *address)
}

/// What became of a message.
struct Filed {
    accepted: Accepted,
    counts: Vec<Counts>,
    /// How many people outside are on the tickets that it was written on.
    reached: usize,
}

/// Files a member's message: all of it, or nothing.
fn file(tx: &mut Tx<'_>, act: &Act<'_>, mail: &Mail<'_>, login: &Login, raw: RawId) -> Result<Filed, Rejection> {
    let member = logged_in(tx, login)?;
    let manner = match mail.machine {
        _ if !mail.understood.loop_headers.is_empty() => Manner::Resent,
        Some((Machine::Silent, _)) => Manner::Automatic,
        Some((Machine::Talking, _)) | None => Manner::Written,
    };
    let recipients = Recipients::of(tx, act.desk, &member, mail)?;
    // First, since it may change the tickets that are looked at from here on.
    let answered_on = answer(tx, act, mail, &member, &recipients, raw)?;
    if recipients.is_questions() {
        decide_answer(manner).map_err(|refusal| refused(tx, act.desk, refusal, None))?;
        return Ok(Filed { accepted: Accepted { tickets: answered_on }, counts: Vec::new(), reached: 0 });
    }
    let (sender, home) = sender(tx, act.desk, &member, &mail.from.address)?;
    // Who writes as himself is where he writes to.
    let there = recipients.inboxes.keys().find(|property| member.is_of(**property));
    let home = there.copied().filter(|_| sender == Sender::Own).unwrap_or(home);
    let replies = replies(tx, mail, &member, &recipients, raw)?;
    let first = replies.first().map(|(case, _)| case);
    let addressed = recipients.addressed(tx, first.map_or(home, |case| case.property.id))?;
    let own = match addressed.contacts.first() {
        Some(to) if first.is_none() => Some(case(tx, mail, &member, &to.address, home, None, None, raw)?),
        _ => None,
    };
    let answered = own.as_ref().map(|case| answered(tx, case, &addressed)).transpose()?.flatten();
    let on_ticket = match answered {
        Some(Answered::Public { to_requester: true }) => own.as_ref().and_then(|case| case.ticket.as_ref()),
        _ => first.and_then(|case| case.ticket.as_ref()),
    };
    let unseen = |mailbox: &&Mailbox| named(mail, &mailbox.address).is_none() && !takes_part(on_ticket, mailbox);
    let course = decide(&Submission {
        sender,
        manner,
        reply: replies.first().map(|(_, scope)| *scope),
        inbox: !recipients.inboxes.is_empty(),
        outsiders: addressed.contacts.len(),
        blind: addressed.contacts.iter().filter(unseen).count(),
        answered,
    })
    .map_err(|refusal| refused(tx, act.desk, refusal, Some(home)))?;

    let speaker = Speaker::logged_in(login);
    // Within a property the most specific address counts.
    let mut served = BTreeSet::new();
    for ticket in &answered_on {
        served.insert(find::ticket_named(tx, &ticket.to_string())?.property);
    }
    let mut filing = Filing { tx, act, speaker, served, tickets: Vec::new(), counts: Vec::new(), reached: 0 };
    match (course, own) {
        (Course::Reply, _) => {
            let mut addressed = addressed;
            for (case, scope) in &replies {
                filing.speak(case, *scope, &std::mem::take(&mut addressed))?;
            }
        }
        (Course::Join, Some(case)) => filing.speak(&case, Scope::Public, &addressed)?,
        (Course::Compose, Some(mut case)) => {
            (case.ticket, case.found, case.parent) = (None, None, None);
            filing.speak(&case, Scope::Public, &addressed)?;
        }
        (Course::Join | Course::Compose, None) | (Course::Own, _) => {}
    }
    for (property, (address, department)) in &recipients.inboxes {
        if !filing.served.contains(property) {
            let case = case(filing.tx, mail, &member, address, *property, *department, None, raw)?;
            if member.is_of(*property) {
                let colleagues = recipients.addressed(filing.tx, *property)?.colleagues;
                filing.speak(&case, Scope::Public, &Addressed { contacts: Vec::new(), colleagues })?;
            } else {
                filing.arrive(&case)?;
            }
        }
    }
    let Filing { mut tickets, counts, reached, .. } = filing;
    tickets.extend(answered_on);
    tickets.sort();
    tickets.dedup();
    Ok(Filed { accepted: Accepted { tickets }, counts, reached })
}

/// Answers the questions of the desk among the recipients; the tickets that they were about.
fn answer(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    member: &Member,
    recipients: &Recipients,
    raw: RawId,
) -> Result<Vec<TicketRef>, Rejection> {
    let mut tickets = Vec::new();
    for (address, question) in &recipients.questions {
        match decision::answer(tx, act, mail, address, *question, raw, Some(member))? {
            Arrival::Filed(ticket, _) => tickets.push(ticket),
            Arrival::Refused(rejection) => return Err(rejection),
        }
    }
    Ok(tickets)
}

/// The tickets of his reply addresses, and what he may write there; notes first.
fn replies<'a>(
    tx: &impl Read,
    mail: &'a Mail<'a>,
    member: &Member,
    recipients: &'a Recipients,
    raw: RawId,
) -> Result<Vec<(Case<'a>, Scope)>, ActionError> {
    let mut replies = Vec::new();
    for (address, property, token) in &recipients.replies {
        let case = case(tx, mail, member, address, *property, None, Some(*token), raw)?;
        let scope = match case.holder {
            Some(Holder::Member { scope: Scope::Note, .. }) => Scope::Note,
            _ if filing::answers_note(tx, &case)? => Scope::Note,
            _ => Scope::Public,
        };
        replies.push((case, scope));
    }
    // Two addresses of one ticket are one answer to it, by the narrower scope.
    replies.sort_by_key(|(_, scope)| *scope != Scope::Note);
    let mut seen = BTreeSet::new();
    replies.retain(|(case, _)| case.ticket.as_ref().is_none_or(|ticket| seen.insert(ticket.id)));
    Ok(replies)
}

/// Whose address From has, and the property that the mail is to be sent for.
fn sender(tx: &impl Read, desk: &Desk, member: &Member, from: &Address) -> Result<(Sender, PropertyId), Rejection> {
    let first = member.roles.keys().next().copied();
    let first = first.ok_or_else(|| refused(tx, desk, Refusal::NoRole, None))?;
    if member.has(from) {
        return Ok((Sender::Own, first));
    }
    let property = match super::resolve(tx, desk, from)? {
        Ok(Target::Property(property) | Target::Department(property, _)) => Some(property),
        Ok(Target::Reply(..) | Target::Bounce(_) | Target::Confirm(_) | Target::Claim(_))
        | Err(NotHere::Unknown | NotHere::BadToken) => None,
        Err(NotHere::Foreign) => find::property_of_public(tx, from)?,
    };
    Ok(match property.filter(|property| member.is_of(*property)) {
        Some(property) => (Sender::Property, property),
        None => (Sender::Other, first),
    })
}

/// A refusal, with the address of the property that he may send from.
fn refused(tx: &impl Read, desk: &Desk, refusal: Refusal, home: Option<PropertyId>) -> Rejection {
    match home.map(|home| find::property_by_id(tx, home)).transpose() {
        Ok(property) => {
            let from = property.map(|property| property.forwarding_address(desk.domains.first()));
            Rejection::new(550, (5, 7, 1), refusal.text(from.as_ref()))
        }
        Err(error) => error.into(),
    }
}

/// One recipient's view of the mail, with the ticket that it is found to belong to.
#[expect(clippy::too_many_arguments, reason = "what the envelope says of one recipient, taken apart")]
fn case<'a>(
    tx: &impl Read,
    mail: &'a Mail<'a>,
    member: &Member,
    address: &'a Address,
    property: PropertyId,
    department: Option<DepartmentId>,
    token: Option<ReplyToken>,
    raw: RawId,
) -> Result<Case<'a>, ActionError> {
    let author = Author::logged_in(tx, member, property)?;
    let property = find::property_by_id(tx, property)?;
    let mut case = Case { department, ..Case::new(mail, address, property, author, raw) };
    arrival::locate(tx, &mut case, token)?;
    Ok(case)
}

/// What the mail answers by an identifier that an entry bears.
fn answered(tx: &impl Read, case: &Case<'_>, addressed: &Addressed) -> Result<Option<Answered>, ActionError> {
    let (Some(ticket), Some(Found::Minted | Found::Entry)) = (&case.ticket, case.found) else { return Ok(None) };
    if filing::answers_note(tx, case)? {
        return Ok(Some(Answered::Note));
    }
    let Some(requester) = ticket.requester() else { return Ok(None) };
    let mut to_requester = false;
    for mailbox in &addressed.contacts {
        let contact = find::contact_at(tx, &mailbox.address)?;
        to_requester |= mailbox.address == requester.address
            || contact.is_some_and(|contact| Person::Contact(contact.id) == requester.person);
    }
    Ok(Some(Answered::Public { to_requester }))
}

fn takes_part(ticket: Option<&Ticket>, mailbox: &Mailbox) -> bool {
    ticket.is_some_and(|ticket| {
        ticket
            .participants
            .iter()
            .any(|participant| participant.address == mailbox.address && participant.standing == Standing::Accepted)
    })
}

/// How many people outside get what is said on a ticket.
fn outside(ticket: &Ticket) -> usize {
    let gets_it = |participant: &&Participant| {
        matches!(participant.person, Person::Contact(_)) && participant.standing == Standing::Accepted
    };
    ticket.participants.iter().filter(gets_it).count()
}

/// What was filed so far.
struct Filing<'a, 'b, 'c> {
    tx: &'a mut Tx<'b>,
    act: &'a Act<'c>,
    speaker: Speaker,
    served: BTreeSet<PropertyId>,
    tickets: Vec<TicketRef>,
    counts: Vec<Counts>,
    reached: usize,
}

impl Filing<'_, '_, '_> {
    /// What the member says in a property of his.
    fn speak(&mut self, case: &Case<'_>, scope: Scope, addressed: &Addressed) -> Result<(), Rejection> {
        let arrival = match self.kept(case)? {
            Some(arrival) => arrival,
            None => filing::by_member(self.tx, self.act, case, self.speaker, scope, addressed)?,
        };
        if let (Arrival::Filed(ticket, _), Scope::Public) = (&arrival, scope) {
            self.reached += outside(&find::ticket(self.tx, &ticket.to_string())?);
        }
        self.filed(case, arrival)
    }

    /// What he writes to others' property, where he is a contact.
    fn arrive(&mut self, case: &Case<'_>) -> Result<(), Rejection> {
        let arrival = match self.kept(case)? {
            Some(arrival) => arrival,
            None => arrival::decide(self.tx, self.act, case)?,
        };
        self.filed(case, arrival)
    }

    /// A client that sends the same again, or answers by itself.
    fn kept(&mut self, case: &Case<'_>) -> Result<Option<Arrival>, ActionError> {
        if let Some(arrival) = arrival::duplicate(self.tx, self.act, case)? {
            return Ok(Some(arrival));
        }
        match case.mail.machine {
            Some((machine @ Machine::Silent, reason)) => {
                let reason = reason.unwrap_or(Reason::Automatic);
                filing::keep(self.tx, self.act, case, Some(machine), reason, Status::Closed).map(Some)
            }
            Some((Machine::Talking, _)) | None => Ok(None),
        }
    }

    fn filed(&mut self, case: &Case<'_>, arrival: Arrival) -> Result<(), Rejection> {
        match arrival {
            Arrival::Filed(ticket, counts) => {
                self.served.insert(case.property.id);
                self.tickets.push(ticket);
                // What members submit has a limit of its own.
                self.counts.push(Counts { opened: None, ..counts });
                Ok(())
            }
            Arrival::Refused(rejection) => Err(rejection),
        }
    }
}
