//! Letters of the desk to members: composed in the transaction that makes them due, and queued like
//! copies.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Act, ActionError, Actor, claim, copies, find, forward, member, post, reach, standing, state};
use crate::desk::address::Mailbox;
use crate::desk::command::Verb;
use crate::desk::copy::{Content, Copy, CopyState, Scope};
use crate::desk::entry::{Author, Entry, Event, Reason, State, Verified, What};
use crate::desk::fanout::Reader;
use crate::desk::id::MemberId;
use crate::desk::letter::{Held, Letter, Ways};
use crate::desk::member::{Member, Role};
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{ENTRIES, HELD_DUE, HELD_NOTICES, HELD_WAITING};
use crate::store::{Order, Read, StoreError, Tx};

/// The least time between two notices of held mail to one member that he did not ask for.
const HELD_NOTICE_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// The most waiting entries of one member that are counted.
const MOST_WAITING: usize = 10_000;
/// The most members whose hour is over that one transaction writes to.
const BATCH: usize = 100;

/// Entries that are looked at for who had a turn, the newest.
const MOST_TURNS: usize = 30;

/// Tells a member that an entry which says it is his is held: where he surely wrote it at once,
/// where anybody may have written it at most once an hour, over all tickets and properties. What
/// he is not told of then waits for [`next`] or for [`due`].
pub fn held(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
    member: MemberId,
) -> Result<(), ActionError> {
    let member = find::member_by_id(tx, member)?;
    if entry.verified != Verified::None {
        return tell(tx, act, ticket, entry, &member, 0);
    }
    if let Some(again) = quiet_until(tx, act, member.id)? {
        tx.put(&HELD_WAITING, &(member.id, entry.id), &ticket.id)?;
        return Ok(tx.put(&HELD_DUE, &(again, member.id), &())?);
    }
    tx.put(&HELD_NOTICES, &member.id, &act.now)?;
    let more = count_waiting(tx, member.id)?;
    tell(tx, act, ticket, entry, &member, more)
}

/// Tells a member who has just decided about one held entry of the oldest that he was not told of:
/// he is there, and the hour need not pass.
pub(super) fn next(tx: &mut Tx<'_>, act: &Act<'_>, member: &Member) -> Result<(), ActionError> {
    let Some((ticket, mut entry)) = oldest_waiting(tx, member)? else { return Ok(()) };
    tx.put(&HELD_NOTICES, &member.id, &act.now)?;
    let more = count_waiting(tx, member.id)?;
    tell(tx, act, &ticket, &mut entry, member, more)
}

/// An entry was decided about at another door: what its member was not told of is told when his hour
/// is over.
pub(super) fn decided(tx: &mut Tx<'_>, act: &Act<'_>, entry: &Entry) -> Result<(), ActionError> {
    let Some(member) = entry.claims else { return Ok(()) };
    tx.delete(&HELD_WAITING, &(member, entry.id));
    if count_waiting(tx, member)? > 0 {
        let at = quiet_until(tx, act, member)?.unwrap_or(act.now);
        tx.put(&HELD_DUE, &(at, member), &())?;
    }
    Ok(())
}

/// Tells the members whose hour is over of the oldest entry that they were not told of, and how many
/// more there are. Answers how many hours were over.
pub(super) fn due(tx: &mut Tx<'_>, act: &Act<'_>) -> Result<usize, ActionError> {
    let due = tx.range(&HELD_DUE, ..=(act.now, MemberId(u64::MAX)), Order::Up, BATCH)?;
    for (key, ()) in &due {
        tx.delete(&HELD_DUE, key);
        // He answered meanwhile, and was told of the next.
        if let Some(again) = quiet_until(tx, act, key.1)? {
            tx.put(&HELD_DUE, &(again, key.1), &())?;
        } else {
            let member = find::member_by_id(tx, key.1)?;
            next(tx, act, &member)?;
        }
    }
    Ok(due.len())
}

/// When the first of those hours is over.
pub(super) fn next_due(tx: &impl Read) -> Result<Option<Timestamp>, StoreError> {
    Ok(tx.range(&HELD_DUE, .., Order::Up, 1)?.first().map(|((at, _), ())| *at))
}

/// Until when a member is not written to about what anybody may have written.
fn quiet_until(tx: &impl Read, act: &Act<'_>, member: MemberId) -> Result<Option<Timestamp>, StoreError> {
    let last = tx.get(&HELD_NOTICES, &member)?;
    let until = last.and_then(|last| last.checked_add(HELD_NOTICE_EVERY).ok());
    Ok(until.filter(|until| act.now < *until))
}

/// The oldest entry that a member was not told of and that still waits for him. Forgets those before
/// it that do not, since he left their property.
fn oldest_waiting(tx: &mut Tx<'_>, member: &Member) -> Result<Option<(Ticket, Entry)>, ActionError> {
    for ((_, id), ticket) in tx.starting(&HELD_WAITING, (member.id,), Order::Up, MOST_WAITING)? {
        let ticket = find::ticket_by_id(tx, ticket)?;
        tx.delete(&HELD_WAITING, &(member.id, id));
        if let Some(entry) = tx.get(&ENTRIES, &(ticket.id, id))?
            && entry.awaits(member.id)
            && member.is_of(ticket.property)
        {
            return Ok(Some((ticket, entry)));
        }
    }
    Ok(None)
}

/// How many entries a member was not told of.
fn count_waiting(tx: &impl Read, member: MemberId) -> Result<usize, StoreError> {
    Ok(tx.starting(&HELD_WAITING, (member,), Order::Up, MOST_WAITING)?.len())
}

/// Writes to a member about one held entry; `more`: how many others he was not told of.
fn tell(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
    member: &Member,
    more: usize,
) -> Result<(), ActionError> {
    let language = find::property_by_id(tx, ticket.property)?.language;
    let reason = entry.reason.unwrap_or(Reason::Unaligned);
    let crossed = match reason {
        Reason::Crossed => post::crossing_held(tx, ticket, entry, member.id)?,
        _ => None,
    };
    entry.seen = crossed.as_ref().map(|other| other.id).or(entry.seen);
    let detail = match reason {
        Reason::UnknownAddress => entry.author.mailbox().map(|mailbox| mailbox.address.to_string()),
        Reason::Forward => forward::of(tx, entry)?.map(|forwarded| forwarded.from.address.to_string()),
        _ => None,
    };
    let address = claim::tell_once(tx, act, entry, member)?;
    // Nobody but he was sent the reply address that it came to. That a domain is his proves less.
    let ways = if reason == Reason::Unverified { Ways::AtDesk } else { Ways::ByMail { address: address.as_ref() } };
    let letter = Letter::held(
        language,
        &Held {
            ticket: &ticket.reference,
            entry: entry.id,
            subject: subject(ticket, entry),
            reason,
            detail: detail.as_deref(),
            text: &entry.text,
            colleague: crossed.as_ref().and_then(|other| Some((other.author.mailbox()?, other.text.as_str()))),
            ways,
            more,
        },
    );
    Ok(send(tx, act, ticket, entry, member, letter)?)
}

/// Tells a member once that an answer of his decided nothing: what would, or that the matter was
/// decided before.
pub(super) fn explain(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
    member: &Member,
) -> Result<(), ActionError> {
    if std::mem::replace(&mut entry.explained, true) {
        return Ok(());
    }
    let language = find::property_by_id(tx, ticket.property)?.language;
    let subject = subject(ticket, entry);
    let letter = if entry.awaits(member.id) {
        Letter::unclear(language, &ticket.reference, subject)
    } else {
        Letter::too_late(language, &ticket.reference, subject, entry.state == State::Relayed)
    };
    Ok(send(tx, act, ticket, entry, member, letter)?)
}

/// Gives a member his text back, with what is wrong about the commands that it begins with. The
/// entry is held.
pub(super) fn wrong(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &Ticket,
    entry: &mut Entry,
    wrong: &[(String, Mistake)],
) -> Result<(), ActionError> {
    let member = match (entry.claims, &act.actor) {
        (Some(claimed), _) => claimed,
        (None, Actor::Member { id, .. }) => *id,
        (None, Actor::System) => return Ok(()),
    };
    let member = find::member_by_id(tx, member)?;
    let help = property.commands.allows(Verb::Help);
    let subject = subject(ticket, entry);
    let letter = Letter::wrong_commands(property.language, &ticket.reference, subject, wrong, help, &entry.text);
    Ok(send(tx, act, ticket, entry, &member, letter)?)
}

/// Answers a member's `#help` and `#status`, in the mail of which entry they stand. To be called when
/// the entry has done to its ticket what it does, so that the letter tells that.
pub(super) fn asked(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &Ticket,
    entry: &mut Entry,
    member: &Member,
    asked_for: &BTreeSet<Verb>,
) -> Result<(), ActionError> {
    let language = property.language;
    for verb in asked_for {
        let letter = if *verb == Verb::Status {
            standing::letter(tx, property, ticket)?
        } else {
            Letter::asked_for(language, language.help_subject().to_owned(), &language.help(&property.commands))
        };
        send(tx, act, ticket, entry, member, letter)?;
    }
    Ok(())
}

/// Tells the author of an entry, if he is a member, that a copy of it failed. A letter that fails
/// tells nobody: that would have no end. `expired`: it was tried for as long as it may be.
pub(super) fn failed(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    copy: &Copy,
    expired: bool,
) -> Result<(), ActionError> {
    if matches!(copy.content, Content::Letter(_)) {
        return Ok(());
    }
    let Some(mut entry) = tx.get(&ENTRIES, &(ticket.id, copy.entry))? else { return Ok(()) };
    let Some(Person::Member(author)) = entry.author.person() else { return Ok(()) };
    let author = find::member_by_id(tx, author)?;
    if !author.is_of(copy.property) || copy.person == Person::Member(author.id) {
        return Ok(());
    }
    let language = find::property_by_id(tx, ticket.property)?.language;
    let to = reader(tx, copy)?;
    let said = (copy.reply.as_deref().unwrap_or_default(), copy.server.as_deref());
    let tried = expired.then_some(act.desk.patience.lifetime);
    let letter = Letter::failed(language, &ticket.reference, subject(ticket, &entry), &to, said, tried);
    Ok(send(tx, act, ticket, &mut entry, &author, letter)?)
}

/// Tells a member which contacts his entry was not sent to, since their addresses are suspended.
pub(super) fn not_sent(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &Ticket, entry: &mut Entry) -> Result<(), ActionError> {
    let Some(Person::Member(author)) = entry.author.person() else { return Ok(()) };
    for id in entry.copies.clone() {
        let copy = copies::get(tx, id)?;
        if copy.state == CopyState::Cancelled
            && matches!(copy.person, Person::Contact(_))
            && let Some(suspension) = reach::suspension(tx, &copy.to)?
        {
            let author = find::member_by_id(tx, author)?;
            let language = find::property_by_id(tx, ticket.property)?.language;
            let (to, subject) = (reader(tx, &copy)?, subject(ticket, entry));
            let letter = Letter::not_sent(language, &ticket.reference, subject, &to, &suspension);
            send(tx, act, ticket, entry, &author, letter)?;
        }
    }
    Ok(())
}

/// Tells a property's admins that a member gets no copies any more.
pub(super) fn suspended(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    copy: &Copy,
    member: MemberId,
) -> Result<(), ActionError> {
    let Some(mut entry) = tx.get(&ENTRIES, &(ticket.id, copy.entry))? else { return Ok(()) };
    let property = find::property_by_id(tx, copy.property)?;
    let (to, words) = (reader(tx, copy)?, copy.reply.as_deref().unwrap_or_default());
    let letter = Letter::suspended(property.language, &property.name, &to, words);
    for admin in find::members(tx)? {
        if admin.id != member && admin.roles.get(&property.id) == Some(&Role::Admin) {
            send(tx, act, ticket, &mut entry, &admin, letter.clone())?;
        }
    }
    Ok(())
}

/// Tells the ticket's members, once until one of them writes, that an entry and its like are only
/// kept. Who may be an end of what goes on by itself is not told, or the letter would be one more
/// thing to answer: a distribution address, and whoever had a turn in it.
pub fn quiet(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, entry: &mut Entry) -> Result<(), ActionError> {
    if ticket.quiet_since.is_some() {
        return Ok(());
    }
    let before = ticket.clone();
    ticket.quiet_since = Some(act.now);
    state::save(tx, Some(&before), ticket)?;
    let Some(writer) = entry.author.mailbox().cloned() else { return Ok(()) };
    let event = Event { what: What::Quiet, from: Some(writer.address.to_string()), to: None };
    state::event_by(tx, act, ticket, Author::System, event)?;
    let property = find::property_by_id(tx, ticket.property)?;
    let reason = entry.reason.unwrap_or(Reason::LookAlike);
    let letter = Letter::quiet(property.language, &ticket.reference, subject(ticket, entry), &writer, reason);
    let newest = tx.starting(&ENTRIES, (ticket.id,), Order::Down, MOST_TURNS)?;
    let turns: Vec<_> = newest.iter().filter(|(_, entry)| entry.turn > 0).map(|(_, entry)| &entry.author).collect();
    let mut team = find::team(tx, property.id, ticket)?;
    if team.is_empty() {
        team = member::audience(tx, &property)?;
    }
    for colleague in team {
        let member = find::member_by_id(tx, colleague.id)?;
        let had_a_turn = turns.iter().any(|author| author.person() == Some(Person::Member(member.id)));
        if colleague.copies && !member.list && !had_a_turn && !member.has(&writer.address) {
            send(tx, act, ticket, entry, &member, letter.clone())?;
        }
    }
    Ok(())
}

/// Queues a letter about an entry to a member, and saves the entry with it.
pub fn send(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
    member: &Member,
    letter: Letter,
) -> Result<(), StoreError> {
    let reader = Reader { person: Person::Member(member.id), address: member.login.clone(), scope: Scope::Note };
    let copy = copies::queue_content(tx, act, entry, ticket.property, reader, Content::Letter(letter))?;
    entry.copies.push(copy);
    tx.put(&ENTRIES, &(entry.ticket, entry.id), entry)
}

/// Whom a copy is for.
pub(super) fn reader(tx: &impl Read, copy: &Copy) -> Result<Mailbox, ActionError> {
    let name = match copy.person {
        Person::Contact(id) => find::contact_by_id(tx, id)?.name,
        Person::Member(id) => find::member_by_id(tx, id)?.name,
    };
    Ok(Mailbox::new(name, copy.to.clone()))
}

/// What a letter about an entry is about.
pub(super) fn subject<'a>(ticket: &'a Ticket, entry: &'a Entry) -> &'a str {
    if entry.subject.is_empty() { &ticket.subject } else { &entry.subject }
}
