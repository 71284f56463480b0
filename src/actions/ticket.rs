//! What people do to tickets that they name, besides writing on them.

use jiff::Timestamp;

use super::commands::{self, Said};
use super::post::{self, Opening};
use super::{Act, ActionError, Actor, change, find, state};
use crate::desk::address::{Address, Mailbox};
use crate::desk::copy::Scope;
use crate::desk::entry::{Entry, What};
use crate::desk::id::{EntryId, MemberId};
use crate::desk::mistake::Mistake;
use crate::desk::property::Property;
use crate::desk::ticket::{Assignee, Ground, Participant, Person, Priority, Standing, Status, Ticket};
use crate::store::tables::MEMBER_ADDRESSES;
use crate::store::{Read, Tx};

/// A ticket that a member composes.
#[derive(Clone, Debug)]
pub struct Composition {
    pub requester: Mailbox,
    pub cc: Vec<Mailbox>,
    /// Members who are to get what goes on.
    pub followers: Vec<MemberId>,
    pub priority: Priority,
    pub tags: Vec<String>,
    pub worker: Worker,
}

/// Who is to work on a ticket that a member composes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Its author, or the property's default where the system is the author.
    Author,
    Named(Option<Assignee>),
}

/// Opens a ticket with a member's message to its requester.
pub fn compose(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    composition: Composition,
    content: post::Content,
) -> Result<(Ticket, Entry), ActionError> {
    for mailbox in std::iter::once(&composition.requester).chain(&composition.cc) {
        if !find::is_outside(tx, act.desk, property.id, &mailbox.address)? {
            return Err(ActionError::refused(format!(
                "{} is an address of this desk or its team; a ticket goes to people outside",
                mailbox.address
            )));
        }
    }
    for tag in &composition.tags {
        change::check_tag(tag)?;
    }
    let assignee = match (composition.worker, &act.actor) {
        (Worker::Named(assignee), _) => assignee,
        (Worker::Author, Actor::Member { id, .. }) => Some(Assignee::Member(*id)),
        (Worker::Author, Actor::System) => property.default_assignee,
    };
    let opening = Opening {
        requester: composition.requester,
        status: property.after_reply,
        priority: composition.priority,
        tags: composition.tags,
        assignee,
        continues: None,
    };
    let mut ticket = post::open(tx, act, property, &content.subject, opening)?;
    for mailbox in &composition.cc {
        post::seat(tx, act, property, &mut ticket, mailbox)?;
    }
    for member in composition.followers {
        post::follow(tx, &mut ticket, member)?;
    }
    let standpoint = post::by_actor(tx, act, Scope::Public)?;
    let entry = commands::add(tx, act, property, None, &mut ticket, Said::new(content, standpoint))?;
    Ok((ticket, entry))
}

/// A public reply or a note by a logged-in door or the command line. `parent` is the entry that its
/// author saw last, where the door knows.
pub fn write(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    scope: Scope,
    parent: Option<EntryId>,
    content: post::Content,
) -> Result<(Ticket, Entry), ActionError> {
    let before = find::ticket(tx, reference)?;
    let mut ticket = before.clone();
    let property = find::property_by_id(tx, ticket.property)?;
    let mut standpoint = post::by_actor(tx, act, scope)?;
    standpoint.parent = parent;
    let entry = commands::add(tx, act, &property, Some(&before), &mut ticket, Said::new(content, standpoint))?;
    Ok((ticket, entry))
}

/// Changes a ticket by one function, saving it and the moment.
fn change(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    change: impl FnOnce(&mut Tx<'_>, &mut Ticket) -> Result<(), ActionError>,
) -> Result<Ticket, ActionError> {
    let before = find::ticket(tx, reference)?;
    let mut ticket = before.clone();
    change(tx, &mut ticket)?;
    if ticket != before {
        ticket.updated_at = act.now;
        state::save(tx, Some(&before), &ticket)?;
    }
    Ok(ticket)
}

/// Moves a ticket to a status.
pub fn set_status(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, status: Status) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::set_status(tx, act, ticket, status))
}

/// Makes a ticket pending until a moment.
pub fn snooze(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, until: Timestamp) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::snooze(tx, act, ticket, until))
}

/// Assigns a ticket, or takes it from whoever has it. Who is new to it gets the conversation so far.
pub fn assign(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, who: &str) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| {
        let property = find::property_by_id(tx, ticket.property)?;
        let assignee = find::assignee(tx, &property, who)?;
        change::assign(tx, act, &property, ticket, assignee)
    })
}

pub fn set_priority(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    priority: Priority,
) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::set_priority(tx, act, ticket, priority))
}

/// Adds a tag.
pub fn tag(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, tag: &str) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::tag(tx, act, ticket, tag))
}

/// Takes a tag away.
pub fn untag(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, tag: &str) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::untag(tx, act, ticket, tag))
}

/// Adds a contact who gets public messages.
pub fn cc(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, address: &Address) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| {
        let property = find::property_by_id(tx, ticket.property)?;
        change::cc(tx, act, &property, ticket, address)
    })
}

/// Takes a contact off a ticket.
pub fn uncc(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, address: &Address) -> Result<Ticket, ActionError> {
    change(tx, act, reference, |tx, ticket| change::uncc(tx, act, ticket, address))
}

/// Makes a member a follower.
pub fn follow(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, who: &str) -> Result<Ticket, ActionError> {
    let member = find::member(tx, who)?;
    change(tx, act, reference, |tx, ticket| change::follow(tx, act, ticket, &member))
}

/// Ends that.
pub fn unfollow(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, who: &str) -> Result<Ticket, ActionError> {
    let member = find::member(tx, who)?;
    change(tx, act, reference, |tx, ticket| change::unfollow(tx, act, ticket, &member))
}

/// Makes another contact the one that the ticket is for; the one before stays on it.
pub fn set_requester(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    reference: &str,
    address: &Address,
) -> Result<Ticket, ActionError> {
    if act.desk.is_local(address) || tx.get(&MEMBER_ADDRESSES, address)?.is_some() {
        return Err(ActionError::refused(format!("{address} is of the team; a requester is somebody outside")));
    }
    change(tx, act, reference, |tx, ticket| {
        let person = Person::Contact(post::contact_for(tx, act, &Mailbox::new("", address.clone()))?);
        let from = ticket.requester().map(|participant| participant.address.to_string());
        if ticket.requester().is_some_and(|participant| participant.person == person) {
            return Ok(());
        }
        ticket.participants.retain(|participant| participant.person != person);
        for participant in &mut ticket.participants {
            if participant.ground == Ground::Requester {
                participant.ground = Ground::Cc;
            }
        }
        let requester = Participant {
            person,
            ground: Ground::Requester,
            standing: Standing::Accepted,
            address: address.clone(),
            named_by_requester: false,
        };
        ticket.participants.insert(0, requester);
        state::event(tx, act, ticket, What::Requester, from, Some(address.to_string()))?;
        Ok(())
    })
}

/// Moves everything of one ticket into another of the same property, which goes on for both.
pub fn merge(tx: &mut Tx<'_>, act: &Act<'_>, reference: &str, into: &str) -> Result<Ticket, ActionError> {
    let source = find::ticket(tx, reference)?;
    let target = find::ticket(tx, into)?;
    if source.id == target.id {
        return Err(Mistake::OneTicket { one: reference.to_owned(), other: into.to_owned() }.into());
    }
    change::merge(tx, act, &source, source.clone(), &target)
}

/// Who acts when a command names a member: he must be of the ticket's property.
pub fn acting(tx: &impl Read, property: &Property, who: Option<&str>) -> Result<Actor, ActionError> {
    let Some(who) = who else { return Ok(Actor::System) };
    let member = find::member(tx, who)?;
    if !member.is_of(property.id) || member.list {
        return Err(ActionError::refused(format!("{} can't write for {}", member.login, property.slug)));
    }
    Ok(post::as_member(&member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::{Office, address, content};
    use crate::actions::{member, property};
    use crate::desk::copy::{Content, CopyState};
    use crate::store::Order;
    use crate::store::tables::{CONTACT_TICKETS, COPIES, TICKET_LISTS};

    async fn find_ticket(office: &Office, name: &str) -> Ticket {
        office.act(|tx, _| find::ticket(tx, name)).await.unwrap()
    }

    /// Readers with what they were sent, in order.
    async fn copies(office: &Office) -> Vec<(String, Content, CopyState)> {
        let all = office.act(|tx, _| Ok(tx.range(&COPIES, .., Order::Up, 100)?)).await.unwrap();
        all.into_iter().map(|(_, copy)| (copy.to.local().to_owned(), copy.content, copy.state)).collect()
    }

    #[tokio::test]
    async fn a_merged_ticket_is_found_under_its_old_name_with_everything_on_it() {
        let office = Office::open().await;
        let one = office.ticket("carol").await;
        let two = office.ticket("dave").await;
        let (first, second) = (one.reference.to_string(), two.reference.to_string());
        office.act(|tx, act| tag(tx, act, &first, "refund")).await.unwrap();
        let merged = office.act(|tx, act| merge(tx, act, &first, &second)).await.unwrap();
        assert_eq!(find_ticket(&office, &first).await, merged);
        assert_eq!(merged.participants.len(), 2);
        assert!(merged.tags.contains("refund"));
        let entries = office.act(|tx, _| Ok(find::entries(tx, two.id)?)).await.unwrap();
        assert_eq!(entries.iter().filter(|entry| entry.raw.is_some()).count(), 2);
        let listed = office.act(|tx, _| Ok(tx.range(&TICKET_LISTS, .., Order::Up, 10)?)).await.unwrap();
        assert_eq!(listed.len(), 1, "a merged ticket is in no list");
        let error = office.act(|tx, act| merge(tx, act, &first, &second)).await.unwrap_err();
        assert_eq!(error.to_string(), "acme-1 and acme-2 are one ticket already");
    }

    #[tokio::test]
    async fn who_is_assigned_anew_gets_the_conversation_and_the_others_nothing() {
        let office = Office::open().await;
        let name = office.ticket("carol").await.reference.to_string();
        assert_eq!(copies(&office).await.len(), 2, "both members hear of a ticket that nobody has");
        office.act(|tx, act| assign(tx, act, &name, "bob")).await.unwrap();
        let all = copies(&office).await;
        assert_eq!(all[2..], [("bob".to_owned(), Content::Conversation, CopyState::Queued)]);
        office.act(|tx, act| assign(tx, act, &name, "bob")).await.unwrap();
        assert_eq!(copies(&office).await.len(), 3, "again changes nothing");
        office.act(|tx, act| assign(tx, act, &name, "none")).await.unwrap();
        assert_eq!(find_ticket(&office, &name).await.assignee, None);
    }

    #[tokio::test]
    async fn a_member_who_leaves_gets_nothing_more_and_his_tickets_go_to_the_default() {
        let office = Office::open().await;
        let name = office.ticket("carol").await.reference.to_string();
        office.act(|tx, act| assign(tx, act, &name, "bob")).await.unwrap();
        office
            .act(|tx, act| {
                let default_assignee = Some("alice".to_owned());
                property::edit(tx, act, "acme", property::Changes { default_assignee, ..Default::default() })
            })
            .await
            .unwrap();
        let bob = office.act(|tx, act| member::remove(tx, act, "bob")).await.unwrap();
        let ticket = find_ticket(&office, &name).await;
        let alice = office.act(|tx, _| find::member(tx, "alice")).await.unwrap();
        assert_eq!(ticket.assignee, Some(Assignee::Member(alice.id)));
        for (reader, _, state) in copies(&office).await {
            let expected = if reader == "bob" { CopyState::Cancelled } else { CopyState::Queued };
            assert_eq!(state, expected, "{reader}");
        }
        let again = office.act(|tx, _| find::member(tx, "bob")).await.unwrap_err();
        assert!(again.to_string().starts_with("there is no member bob"), "{again}");
        assert!(bob.removed);
    }

    #[tokio::test]
    async fn a_new_requester_keeps_the_old_one_on_the_ticket() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let name = made.reference.to_string();
        let other: Address = "erin@example.com".parse().unwrap();
        let ticket = office.act(|tx, act| set_requester(tx, act, &name, &other)).await.unwrap();
        assert_eq!(ticket.requester().map(|requester| &requester.address), Some(&other));
        assert_eq!(ticket.participants[1].address, address("carol"));
        assert_eq!(ticket.participants[1].ground, Ground::Cc);
        let rows = office.act(|tx, _| Ok(tx.range(&CONTACT_TICKETS, .., Order::Up, 10)?)).await.unwrap();
        assert_eq!(rows.len(), 2, "both find the ticket in their history");
        for taken in ["alice@team.example", "acme@desk.example.org"] {
            let taken = taken.parse().unwrap();
            assert!(office.act(|tx, act| set_requester(tx, act, &name, &taken)).await.is_err(), "{taken}");
        }
    }

    #[tokio::test]
    async fn what_the_desk_writes_itself_goes_to_the_requester() {
        let office = Office::open().await;
        let name = office.ticket("carol").await.reference.to_string();
        let (ticket, entry) = office
            .act(|tx, act| {
                let content = content(tx, act)?;
                write(tx, act, &name, Scope::Public, None, content)
            })
            .await
            .unwrap();
        assert_eq!(ticket.status, Status::Pending);
        assert_eq!(entry.copies.len(), 1);
        let readers: Vec<_> = copies(&office).await.into_iter().map(|(to, ..)| to).collect();
        assert_eq!(readers[2..], ["carol"]);
    }
}
