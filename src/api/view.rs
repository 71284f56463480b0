//! Records of the store as the API shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::types::{
    Assignee, AssigneeKind, AttachmentView, Author, AuthorKind, Claim, Confirmation, Contact, Copy, Department, Entry,
    Event, Member, Outage, Participant, ParticipantRole, Person, Property, QueuedCopy, Spam, Suspended, Ticket, Try,
};
use crate::actions::{ActionError, Desk, claim, confirmation, copies, find, reach};
use crate::desk;
use crate::desk::address::Address;
use crate::desk::entry::Kind;
use crate::desk::spam::Sentence;
use crate::desk::ticket::{Ground, Standing};
use crate::metrics::{self, Metrics};
use crate::store::Read;
use crate::trust::alignment::ascii;

type Shown<T> = Result<T, ActionError>;

pub(super) fn property(tx: &impl Read, desk: &Desk, property: &desk::property::Property) -> Shown<Property> {
    let forwarding = |domain: &String| property.forwarding_address(domain);
    let addresses = desk.domains.local.iter().map(forwarding).chain(property.addresses.iter().cloned());
    Ok(Property {
        slug: property.slug.clone(),
        name: property.name.clone(),
        language: property.language,
        addresses: addresses.collect(),
        forwarding_address: property.forwarding_address(desk.domains.first()),
        public: property.public.clone(),
        public_verified: property.public_verified,
        public_missing_since: property.public_look.and_then(|look| look.missing_since),
        default_assignee: assignee(tx, property.default_assignee)?,
        after_reply: property.after_reply,
        auto_close_days: property.auto_close_days,
        strict: property.strict,
        trusted: property.trusted.clone(),
        acknowledge: property.acknowledge,
        acknowledgements: property.acknowledgements.clone(),
        commands: property.commands.clone(),
        forwarders: property.forwarders.clone(),
        forwarding_confirmations: confirmation::list(tx, property.id)?.into_iter().map(confirmation).collect(),
        blocked: property.blocked.clone(),
        allowed: property.allowed.clone(),
        created_at: property.created_at,
    })
}

fn confirmation(asked: desk::confirmation::Confirmation) -> Confirmation {
    let desk::confirmation::Request { provider, mailbox, code, link } = asked.request;
    Confirmation { provider, mailbox, code, link, ticket: asked.ticket.to_string(), at: asked.at }
}

pub(super) fn member(tx: &impl Read, member: &desk::member::Member, now: Timestamp) -> Shown<Member> {
    let mut roles = BTreeMap::new();
    for (property, role) in &member.roles {
        roles.insert(find::property_by_id(tx, *property)?.slug.to_string(), *role);
    }
    let claims = claim::pending(tx, member.id, now)?.into_iter();
    let claims = claims.filter_map(|claim| Some(Claim { address: claim.address, expires_at: claim.expires_at? }));
    Ok(Member {
        address: member.login.clone(),
        name: member.name.clone(),
        aliases: member.aliases.clone(),
        list: member.list,
        roles,
        copies: member.copies,
        password: member.password.is_some(),
        claims: claims.collect(),
        suspended: suspended(tx, std::slice::from_ref(&member.login))?,
        created_at: member.created_at,
    })
}

pub(super) fn department(tx: &impl Read, desk: &Desk, department: &desk::department::Department) -> Shown<Department> {
    let property = find::property_by_id(tx, department.property)?;
    let local = format!("{}+{}", property.slug, department.slug);
    let mut members = Vec::with_capacity(department.members.len());
    for id in &department.members {
        let member = find::member_by_id(tx, *id)?;
        members.push(Person { name: member.name, address: member.login });
    }
    Ok(Department {
        address: Address::new(&local, desk.domains.first()).expect("two slugs and a + are a local part"),
        property: property.slug,
        slug: department.slug.clone(),
        name: department.name.clone(),
        members,
    })
}

/// A contact without his tickets.
pub(super) fn contact(tx: &impl Read, contact: &desk::contact::Contact) -> Shown<Contact> {
    Ok(Contact {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        addresses: contact.addresses.clone(),
        organisation: contact.organisation.clone(),
        note: contact.note.clone(),
        suspended: suspended(tx, &contact.addresses)?,
        created_at: contact.created_at,
        updated_at: contact.updated_at,
        tickets: None,
    })
}

/// Those of a person's addresses that get no copies.
fn suspended(tx: &impl Read, addresses: &[Address]) -> Shown<Vec<Suspended>> {
    let mut found = Vec::new();
    for address in addresses {
        if let Some(suspension) = reach::suspension(tx, address)? {
            found.push(Suspended { address: address.clone(), since: suspension.since, reason: suspension.words });
        }
    }
    Ok(found)
}

/// A ticket without its entries.
pub(super) fn ticket(tx: &impl Read, ticket: &desk::ticket::Ticket) -> Shown<Ticket> {
    let merged_into = match ticket.merged_into {
        Some(id) => Some(find::ticket_by_id(tx, id)?),
        None => None,
    };
    let mut requester = None;
    let mut participants = Vec::new();
    for participant in &ticket.participants {
        let name = name(tx, participant.person)?;
        let role = match participant.ground {
            Ground::Requester => {
                requester = Some(Person { name: name.clone(), address: participant.address.clone() });
                ParticipantRole::Requester
            }
            Ground::Cc => ParticipantRole::Cc,
            Ground::Follower => ParticipantRole::Follower,
        };
        participants.push(Participant {
            role,
            name,
            address: participant.address.clone(),
            state: participant.standing,
        });
    }
    for colleague in find::colleagues(tx, ticket.property, ticket.assignee)? {
        participants.push(Participant {
            role: ParticipantRole::Assignee,
            name: find::member_by_id(tx, colleague.id)?.name,
            address: colleague.address,
            state: Standing::Accepted,
        });
    }
    // A merged ticket gave its participants away.
    if requester.is_none()
        && let Some(participant) = merged_into.as_ref().and_then(desk::ticket::Ticket::requester)
    {
        requester = Some(Person { name: name(tx, participant.person)?, address: participant.address.clone() });
    }
    Ok(Ticket {
        reference: ticket.reference.to_string(),
        number: ticket.reference.number,
        property: ticket.reference.property.clone(),
        subject: ticket.subject.clone(),
        status: ticket.status,
        wake_at: ticket.wake_at,
        priority: ticket.priority,
        tags: ticket.tags.iter().cloned().collect(),
        door: ticket.door,
        merged_into: merged_into.map(|into| into.reference.to_string()),
        requester: requester.ok_or_else(|| {
            ActionError::refused(format!("{} has no requester; run: guichet verify", ticket.reference))
        })?,
        assignee: assignee(tx, ticket.assignee)?,
        participants,
        created_at: ticket.created_at,
        updated_at: ticket.updated_at,
        entries: None,
    })
}

/// A ticket with its entries.
pub(super) fn conversation(tx: &impl Read, record: &desk::ticket::Ticket) -> Shown<Ticket> {
    Ok(Ticket { entries: Some(entries(tx, record, |_| true)?), ..ticket(tx, record)? })
}

/// The entries of a ticket that are wanted, oldest first.
pub(super) fn entries(
    tx: &impl Read,
    ticket: &desk::ticket::Ticket,
    wanted: impl Fn(&desk::entry::Entry) -> bool,
) -> Shown<Vec<Entry>> {
    let all = find::entries(tx, ticket.id)?;
    all.iter().filter(|record| wanted(record)).map(|record| entry(tx, record)).collect()
}

/// Whether an entry only tells what changed.
pub(super) fn is_event(entry: &desk::entry::Entry) -> bool {
    entry.kind == Kind::Event
}

fn entry(tx: &impl Read, entry: &desk::entry::Entry) -> Shown<Entry> {
    let mut copies = Vec::with_capacity(entry.copies.len());
    for id in &entry.copies {
        let copy = copies::get(tx, *id)?;
        copies.push(Copy { to: copy.to, state: copy.state, attempts: copy.attempts, reply: copy.reply });
    }
    Ok(Entry { copies, ..entry_alone(entry) })
}

/// An entry without its copies.
pub(super) fn entry_alone(entry: &desk::entry::Entry) -> Entry {
    let attachments = entry.attachments.iter().map(|attachment| AttachmentView {
        name: attachment.name.clone(),
        content_type: attachment.content_type.clone(),
        size: attachment.size,
    });
    Entry {
        id: entry.id.to_string(),
        kind: entry.kind,
        author: author(&entry.author),
        state: entry.state,
        reason: entry.reason.or(entry.warning),
        machine: entry.machine,
        verified: entry.verified,
        message_id: entry.message_id.as_ref().or(entry.minted_id.as_ref()).map(|id| id.as_str().to_owned()),
        text: entry.text.clone(),
        attachments: attachments.collect(),
        copies: Vec::new(),
        event: entry.event.as_ref().map(|event| Event {
            what: event.what,
            from: event.from.clone(),
            to: event.to.clone(),
        }),
        spam: entry.verdict.as_ref().and_then(spam),
        door: entry.door,
        client: entry.client.clone(),
        at: entry.at,
    }
}

/// What filter and blocklists said, where one was asked and had a word.
fn spam(verdict: &desk::verdict::Verdict) -> Option<Spam> {
    let said = verdict.filter != Sentence::Unasked || verdict.listed.is_some();
    said.then(|| Spam {
        verdict: verdict.filter,
        score: verdict.score.map(|score| f64::from(score) / 100.0),
        listed: verdict.listed.clone(),
    })
}

fn author(author: &desk::entry::Author) -> Author {
    let Some(mailbox) = author.mailbox() else {
        return Author { kind: AuthorKind::System, name: String::new(), address: None };
    };
    Author {
        kind: if author.is_member() { AuthorKind::Member } else { AuthorKind::Contact },
        name: mailbox.name.clone(),
        address: Some(mailbox.address.clone()),
    }
}

fn assignee(tx: &impl Read, assignee: Option<desk::ticket::Assignee>) -> Shown<Option<Assignee>> {
    Ok(match assignee {
        None => None,
        Some(desk::ticket::Assignee::Member(id)) => {
            let member = find::member_by_id(tx, id)?;
            Some(Assignee { kind: AssigneeKind::Member, id: member.login.to_string(), name: member.name })
        }
        Some(desk::ticket::Assignee::Department(id)) => {
            let department = find::department_by_id(tx, id)?;
            Some(Assignee { kind: AssigneeKind::Department, id: department.slug.to_string(), name: department.name })
        }
    })
}

/// The names of tickets, each looked up once.
#[derive(Default)]
pub(super) struct Names(BTreeMap<desk::id::TicketId, String>);

impl Names {
    fn of(&mut self, tx: &impl Read, id: desk::id::TicketId) -> Shown<String> {
        if let Some(name) = self.0.get(&id) {
            return Ok(name.clone());
        }
        let name = find::ticket_by_id(tx, id)?.reference.to_string();
        self.0.insert(id, name.clone());
        Ok(name)
    }
}

/// A copy without its offers.
pub(super) fn queued(
    tx: &impl Read,
    names: &mut Names,
    metrics: Option<&Metrics>,
    copy: &desk::copy::Copy,
) -> Shown<QueuedCopy> {
    let destination = destination(copy);
    let waits = copy.next_at.is_some();
    let outage = metrics.filter(|_| waits).and_then(|metrics| metrics.outages.of(&destination));
    Ok(QueuedCopy {
        destination,
        id: copy.id.to_string(),
        ticket: names.of(tx, copy.ticket)?,
        entry: copy.entry.to_string(),
        to: copy.to.clone(),
        state: copy.state,
        attempts: copy.attempts,
        reply: copy.reply.clone(),
        server: copy.server.clone(),
        queued_at: copy.queued_at,
        next_at: copy.next_at,
        updated_at: copy.updated_at,
        outage: outage.map(self::outage),
        tries: None,
    })
}

/// A copy with its offers.
pub(super) fn with_tries(tx: &impl Read, metrics: Option<&Metrics>, copy: &desk::copy::Copy) -> Shown<QueuedCopy> {
    Ok(QueuedCopy { tries: Some(tries(tx, copy.id)?), ..queued(tx, &mut Names::default(), metrics, copy)? })
}

/// The offers of a copy that are kept.
pub(super) fn tries(tx: &impl Read, copy: desk::id::CopyId) -> Shown<Vec<Try>> {
    let shown = |(number, tried): (u32, desk::copy::Tried)| {
        let desk::copy::Tried { at, server, outcome, reply } = tried;
        Try { number, at, server, outcome, reply }
    };
    Ok(copies::tried(tx, copy)?.into_iter().map(shown).collect())
}

/// What a postmaster calls the destination of a copy: the recipient's domain, whichever way it goes.
pub(super) fn destination(copy: &desk::copy::Copy) -> String {
    ascii(copy.to.domain()).into_owned()
}

pub(super) fn outage(outage: metrics::Outage) -> Outage {
    let metrics::Outage { since, until, words } = outage;
    Outage { since, until, words }
}

fn name(tx: &impl Read, person: desk::ticket::Person) -> Shown<String> {
    Ok(match person {
        desk::ticket::Person::Contact(id) => find::contact_by_id(tx, id)?.name,
        desk::ticket::Person::Member(id) => find::member_by_id(tx, id)?.name,
    })
}
