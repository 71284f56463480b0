//! What changes a ticket that the caller holds and saves: every verb once, for whoever names its
//! ticket ([`ticket`](super::ticket)) and for commands by mail ([`commands`](super::commands)).

use jiff::Timestamp;

use super::{Act, ActionError, Actor, copies, find, post, state, views};
use crate::desk::address::{Address, Mailbox};
use crate::desk::copy::Scope;
use crate::desk::entry::What;
use crate::desk::fanout::Reader;
use crate::desk::member::Member;
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Assignee, Ground, Participant, Person, Priority, Status, Ticket};
use crate::store::Tx;
use crate::store::tables::ENTRIES;

/// The most tags of a ticket, and the most characters of one.
const MOST_TAGS: usize = 50;
const LONGEST_TAG: usize = 50;

/// Moves it to a status.
pub fn set_status(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, status: Status) -> Result<(), ActionError> {
    state::set_status(tx, act, ticket, act.author(), status)
}

/// Makes it pending until a moment.
pub fn snooze(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, until: Timestamp) -> Result<(), ActionError> {
    if until <= act.now {
        return Err(Mistake::Past.into());
    }
    let from = ticket.status.to_string();
    ticket.status = Status::Pending;
    ticket.status_since = act.now;
    ticket.wake_at = Some(until);
    state::event(tx, act, ticket, What::Status, Some(from), Some(format!("pending until {until}")))?;
    Ok(())
}

/// Assigns it, or takes it from whoever has it. Who is new to it gets the conversation so far.
pub fn assign(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    assignee: Option<Assignee>,
) -> Result<(), ActionError> {
    if ticket.assignee == assignee {
        return Ok(());
    }
    let had = find::colleagues(tx, property.id, ticket.assignee)?;
    let from = find::assignee_name(tx, ticket.assignee)?;
    ticket.assignee = assignee;
    let to = find::assignee_name(tx, assignee)?;
    state::event(tx, act, ticket, What::Assignee, from, to)?;
    let readers = find::colleagues(tx, property.id, assignee)?
        .into_iter()
        .filter(|new| new.copies && !had.iter().any(|old| old.id == new.id))
        .filter(|new| ticket.participant(Person::Member(new.id)).is_none())
        .filter(|new| !matches!(act.actor, Actor::Member { id, .. } if id == new.id))
        .map(|new| Reader { person: Person::Member(new.id), address: new.address, scope: Scope::Public })
        .collect::<Vec<_>>();
    copies::queue_conversation(tx, act, ticket, &readers)
}

pub fn set_priority(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &mut Ticket,
    priority: Priority,
) -> Result<(), ActionError> {
    if ticket.priority != priority {
        let (from, to) = (ticket.priority.to_string(), priority.to_string());
        ticket.priority = priority;
        state::event(tx, act, ticket, What::Priority, Some(from), Some(to))?;
    }
    Ok(())
}

/// Adds a tag.
pub fn tag(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, tag: &str) -> Result<(), ActionError> {
    check_tag(tag)?;
    if ticket.tags.len() >= MOST_TAGS && !ticket.tags.contains(tag) {
        return Err(Mistake::TooManyTags { ticket: ticket.reference.clone(), most: MOST_TAGS }.into());
    }
    if ticket.tags.insert(tag.to_owned()) {
        state::event(tx, act, ticket, What::Tag, None, Some(tag.to_owned()))?;
    }
    Ok(())
}

/// Takes a tag away.
pub fn untag(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, tag: &str) -> Result<(), ActionError> {
    if !ticket.tags.remove(tag) {
        return Err(ActionError::NotFound {
            what: "tag",
            name: format!("{tag} on {}", ticket.reference),
            near: ticket.tags.iter().take(3).cloned().collect(),
        });
    }
    state::event(tx, act, ticket, What::Untag, Some(tag.to_owned()), None)?;
    Ok(())
}

/// A tag is one word, so that it can be an IMAP keyword (RFC 3501 §9, atom).
pub(super) fn check_tag(tag: &str) -> Result<(), Mistake> {
    let fine = !tag.is_empty()
        && tag.chars().count() <= LONGEST_TAG
        && tag.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"(){%*\"\\],#".contains(c));
    if fine { Ok(()) } else { Err(Mistake::NoTag { tag: tag.to_owned(), longest: LONGEST_TAG }) }
}

/// Adds a contact who gets public messages.
pub fn cc(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    address: &Address,
) -> Result<(), ActionError> {
    if let Some(member) = find::member_at(tx, property.id, address)? {
        return Err(Mistake::Colleague {
            member: member.login,
            property: property.slug.clone(),
            ticket: ticket.reference.clone(),
        }
        .into());
    }
    post::admit(tx, act, property, ticket, &Mailbox::new("", address.clone()))
}

/// Takes a contact off it.
pub fn uncc(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, address: &Address) -> Result<(), ActionError> {
    let at = ticket
        .participants
        .iter()
        .position(|participant| participant.ground == Ground::Cc && participant.address == *address);
    let Some(at) = at else {
        let known = ticket.participants.iter().filter(|participant| participant.ground == Ground::Cc);
        return Err(ActionError::NotFound {
            what: "participant",
            name: format!("{address} on {}", ticket.reference),
            near: known.map(|participant| participant.address.to_string()).take(3).collect(),
        });
    };
    ticket.participants.remove(at);
    state::event(tx, act, ticket, What::Participant, Some(address.to_string()), None)?;
    Ok(())
}

/// Makes a member a follower.
pub fn follow(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, member: &Member) -> Result<(), ActionError> {
    if !member.is_of(ticket.property) {
        let (member, property) = (member.login.clone(), ticket.reference.property.clone());
        return Err(Mistake::NoRole { member, property }.into());
    }
    if ticket.participant(Person::Member(member.id)).is_none() {
        post::follow(tx, ticket, member.id)?;
        state::event(tx, act, ticket, What::Follow, None, Some(member.login.to_string()))?;
    }
    Ok(())
}

/// Ends that.
pub fn unfollow(tx: &mut Tx<'_>, act: &Act<'_>, ticket: &mut Ticket, member: &Member) -> Result<(), ActionError> {
    let before = ticket.participants.len();
    ticket.participants.retain(|participant| participant.person != Person::Member(member.id));
    if ticket.participants.len() == before {
        let (member, ticket) = (member.login.clone(), ticket.reference.clone());
        return Err(Mistake::NotFollowing { member, ticket }.into());
    }
    state::event(tx, act, ticket, What::Unfollow, Some(member.login.to_string()), None)?;
    Ok(())
}

/// Moves everything of one ticket into another of the same property, which goes on for both, and
/// saves both. `before` is the source as the store has it.
pub fn merge(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    before: &Ticket,
    mut source: Ticket,
    into: &Ticket,
) -> Result<Ticket, ActionError> {
    let mut target = into.clone();
    if source.property != target.property {
        return Err(Mistake::OtherProperty.into());
    }
    let mut moved = Vec::new();
    for mut entry in find::entries(tx, source.id)? {
        tx.delete(&ENTRIES, &(source.id, entry.id));
        views::entry_gone(tx, source.id, entry.id)?;
        entry.ticket = target.id;
        tx.put(&ENTRIES, &(target.id, entry.id), &entry)?;
        moved.push(entry);
    }
    for participant in std::mem::take(&mut source.participants) {
        if target.participant(participant.person).is_none() {
            let ground = if participant.ground == Ground::Requester { Ground::Cc } else { participant.ground };
            target.participants.push(Participant { ground, ..participant });
        }
    }
    target.tags.append(&mut source.tags);
    target.priority = target.priority.max(source.priority);
    source.merged_into = Some(target.id);
    source.wake_at = None;
    source.updated_at = act.now;
    target.updated_at = act.now;
    let (from, to) = (source.reference.to_string(), target.reference.to_string());
    state::event(tx, act, &target, What::Merged, Some(from), Some(to))?;
    state::save(tx, Some(before), &source)?;
    state::save(tx, Some(into), &target)?;
    for entry in moved {
        views::entry_saved(tx, &target, &entry)?;
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words() {
        for good in ["refund", "größe", "a-b_c"] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["", "two words", "a,b", "(x)", "#x", &"x".repeat(51)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }
}
