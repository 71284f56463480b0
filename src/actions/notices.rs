//! Letters of the desk to members: composed in the transaction that makes them due, and queued like
//! copies.

use jiff::SignedDuration;

use super::{Act, ActionError, copies, find, post};
use crate::desk::address::Mailbox;
use crate::desk::copy::{Content, Copy, Scope};
use crate::desk::entry::{Entry, Reason, Verified};
use crate::desk::fanout::Reader;
use crate::desk::id::MemberId;
use crate::desk::letter::{Held, Letter};
use crate::desk::member::Member;
use crate::desk::ticket::{Person, Ticket};
use crate::store::tables::{ENTRIES, HELD_NOTICES};
use crate::store::{Read, StoreError, Tx};

/// The least time between two notices of held mail to one member.
const HELD_NOTICE_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Tells a member that an entry which says it is his is held: where anybody may have written it at
/// most once an hour, where he surely did always.
pub fn held(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    entry: &mut Entry,
    member: MemberId,
) -> Result<(), ActionError> {
    let member = find::member_by_id(tx, member)?;
    if entry.verified == Verified::None {
        let last = tx.get(&HELD_NOTICES, &member.id)?;
        if last.is_some_and(|last| act.now.duration_since(last) < HELD_NOTICE_EVERY) {
            return Ok(());
        }
        tx.put(&HELD_NOTICES, &member.id, &act.now)?;
    }
    let language = find::property_by_id(tx, ticket.property)?.language;
    let reason = entry.reason.unwrap_or(Reason::Unaligned);
    let crossed = match (reason, entry.parent) {
        (Reason::Crossed, Some(parent)) => post::crosses(tx, ticket, parent, &entry.author)?,
        _ => None,
    };
    let from = entry.author.mailbox().filter(|_| reason == Reason::UnknownAddress);
    let letter = Letter::held(
        language,
        &Held {
            ticket: &ticket.reference,
            entry: entry.id,
            subject: subject(ticket, entry),
            reason,
            detail: from.map(|mailbox| mailbox.address.as_str()),
            text: &entry.text,
            colleague: crossed.as_ref().and_then(|other| Some((other.author.mailbox()?, other.text.as_str()))),
            by_mail: false,
        },
    );
    Ok(send(tx, act, ticket, entry, &member, letter)?)
}

/// Tells the author of an entry, if he is a member, that a copy of it failed. A letter that fails
/// tells nobody: that would have no end.
pub(super) fn failed(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &Ticket, copy: &Copy) -> Result<(), ActionError> {
    if matches!(copy.content, Content::Letter(_)) {
        return Ok(());
    }
    let Some(mut entry) = tx.get(&ENTRIES, &(ticket.id, copy.entry))? else { return Ok(()) };
    let Some(Person::Member(author)) = entry.author.person() else { return Ok(()) };
    let author = find::member_by_id(tx, author)?;
    if !author.is_of(copy.property) || copy.person == Person::Member(author.id) {
        return Ok(());
    }
    let name = match copy.person {
        Person::Contact(id) => find::contact_by_id(tx, id)?.name,
        Person::Member(id) => find::member_by_id(tx, id)?.name,
    };
    let language = find::property_by_id(tx, ticket.property)?.language;
    let to = Mailbox::new(name, copy.to.clone());
    let reply = copy.reply.as_deref().unwrap_or_default();
    let letter = Letter::failed(language, &ticket.reference, subject(ticket, &entry), &to, reply);
    Ok(send(tx, act, ticket, &mut entry, &author, letter)?)
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

/// What a letter about an entry is about.
fn subject<'a>(ticket: &'a Ticket, entry: &'a Entry) -> &'a str {
    if entry.subject.is_empty() { &ticket.subject } else { &entry.subject }
}
