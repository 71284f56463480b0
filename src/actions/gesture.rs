//! What members say to tickets by what they do with messages in their mail clients.
//!
//! Moving a message moves its ticket; putting it back where it was taken from makes the ticket what it
//! was before, exactly; and what it was before that, where that is put back next.

use jiff::SignedDuration;

use super::{Act, ActionError, Actor, change, find, state};
use crate::desk::entry::What;
use crate::desk::folder::{self, Folder, Gesture};
use crate::desk::id::{EntryId, MemberId, TicketId};
use crate::desk::property::Property;
use crate::desk::shelf::{HalfMove, Move};
use crate::desk::ticket::{Assignee, Priority, Status, Ticket};
use crate::store::tables::{ENTRIES, HALF_MOVED, MOVES};
use crate::store::{Order, Read, StoreError, Tx};

/// Moves of one ticket that can be undone, one after the other.
const MOST_UNDONE: usize = 10;

/// How long it may take a client to say both halves of a move: it does so at once, or when it is next online.
const BETWEEN_HALVES: SignedDuration = SignedDuration::from_hours(1);
/// Halves that are looked at when another comes, whether they are too old.
const MOST_FORGOTTEN: usize = 20;

/// Moves a ticket from one of a member's mailboxes, or from wherever it is, into another.
///
/// # Errors
/// Those of [`movable`].
pub fn move_ticket(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    member: MemberId,
    ticket: TicketId,
    from: Option<Folder>,
    to: Folder,
) -> Result<(), ActionError> {
    let Movable { ticket: before, property, mut moves, way } = movable(tx, act, member, ticket, from, to)?;
    let mut ticket = before.clone();
    match &way {
        Way::Back(last) => restore(tx, act, &property, &mut ticket, last)?,
        Way::On(gesture) => carry_out(tx, act, &property, &mut ticket, member, *gesture)?,
    }
    if ticket != before {
        ticket.updated_at = act.now.max(before.updated_at);
        state::save(tx, Some(&before), &ticket)?;
    }
    // By the time of the last change the next move knows that nothing came between.
    match (way, from) {
        (Way::Back(_), _) => moves.last_mut().into_iter().for_each(|last| last.moved_at = ticket.updated_at),
        (Way::On(_), Some(from)) => {
            if moves.len() == MOST_UNDONE {
                moves.remove(0);
            }
            // Also where it said nothing, so that to undo it says nothing either.
            moves.push(Move {
                member,
                from: from.id(),
                status: before.status,
                status_since: before.status_since,
                wake_at: before.wake_at,
                assignee: before.assignee,
                moved_at: ticket.updated_at,
            });
        }
        (Way::On(_), None) => {}
    }
    if moves.is_empty() {
        tx.delete(&MOVES, &ticket.id);
    } else {
        tx.put(&MOVES, &ticket.id, &moves)?;
    }
    Ok(())
}

/// A ticket that may be moved, and what that means.
pub struct Movable {
    ticket: Ticket,
    property: Property,
    /// Those of the member that nothing came after, without one that is undone.
    moves: Vec<Move>,
    way: Way,
}

/// What a move is.
enum Way {
    /// It undoes another one.
    Back(Move),
    On(Gesture),
}

/// Whether a ticket may be moved into a mailbox: whoever moves many asks this of all of them first.
///
/// # Errors
/// [`ActionError::Refused`] where that means nothing, for a ticket of another property than the mailbox's,
/// where the one who acts has no role in it, and where one would throw away a ticket by what he sent.
pub fn movable(
    tx: &impl Read,
    act: &Act<'_>,
    member: MemberId,
    ticket: TicketId,
    from: Option<Folder>,
    to: Folder,
) -> Result<Movable, ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    if folder::property(to).is_some_and(|property| property != ticket.property) {
        return Err(ActionError::refused(format!("{} can't move to another property", ticket.reference)));
    }
    let property = at_home(tx, act, &ticket)?;
    let mut moves = tx.get(&MOVES, &ticket.id)?.unwrap_or_default();
    if moves.last().is_none_or(|last| last.member != member || last.moved_at != ticket.updated_at) {
        moves.clear();
    }
    let way = match (moves.pop_if(|last| last.from == to.id()), folder::gesture(to)) {
        (Some(last), _) => Way::Back(last),
        (None, Some(gesture)) => {
            stays_with_sent(&ticket, from, gesture)?;
            Way::On(gesture)
        }
        (None, None) => {
            return Err(ActionError::refused(
                "a ticket's message can't be put there; see the mailboxes under its property",
            ));
        }
    };
    Ok(Movable { ticket, property, moves, way })
}

fn carry_out(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    member: MemberId,
    gesture: Gesture,
) -> Result<(), ActionError> {
    match gesture {
        Gesture::Status(status) => change::set_status(tx, act, ticket, status),
        Gesture::Mine => {
            change::set_status(tx, act, ticket, Status::Open)?;
            change::assign(tx, act, property, ticket, Some(Assignee::Member(member)))
        }
        Gesture::Assign(assignee) => {
            if !matches!(ticket.status, Status::Open | Status::Pending) {
                change::set_status(tx, act, ticket, Status::Open)?;
            }
            change::assign(tx, act, property, ticket, Some(assignee))
        }
    }
}

/// Whoever tidies up what he sent throws no ticket away.
fn stays_with_sent(ticket: &Ticket, from: Option<Folder>, gesture: Gesture) -> Result<(), ActionError> {
    match gesture {
        Gesture::Status(status @ (Status::Spam | Status::Trash))
            if from == Some(Folder::Sent) && ticket.status != status =>
        {
            let name = &ticket.reference;
            Err(ActionError::refused(format!(
                "what you sent is part of {name}, and stays with it; to throw {name} away move it from where it is listed"
            )))
        }
        Gesture::Status(_) | Gesture::Mine | Gesture::Assign(_) => Ok(()),
    }
}

/// A member has put a message of a ticket into a mailbox, and not taken it out of another. Clients that
/// know no MOVE do so next, and say no more by that: see [`finishes_move`].
pub fn half_moved(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    member: MemberId,
    (ticket, entry): (TicketId, EntryId),
    to: Folder,
) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    // Nothing is taken out of where the others stand.
    if !matches!(ticket.status, Status::Open | Status::Pending) {
        return Ok(());
    }
    // What he never took out anywhere is forgotten, a few for each that comes.
    for (key, half) in tx.starting(&HALF_MOVED, (member,), Order::Up, MOST_FORGOTTEN)? {
        if act.now.duration_since(half.at) > BETWEEN_HALVES {
            tx.delete(&HALF_MOVED, &key);
        }
    }
    let half = HalfMove { to: to.id(), at: act.now, status: ticket.status, assignee: ticket.assignee };
    Ok(tx.put(&HALF_MOVED, &(member, entry), &half)?)
}

/// Whether a member who takes a message out of a mailbox only finishes a move: he has just put it into
/// another, where it stands still. That is forgotten now.
pub fn finishes_move(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    member: MemberId,
    (ticket, entry): (TicketId, EntryId),
    from: Folder,
) -> Result<bool, ActionError> {
    let key = (member, entry);
    let Some(half) = tx.get(&HALF_MOVED, &key)? else { return Ok(false) };
    tx.delete(&HALF_MOVED, &key);
    let ticket = find::ticket_by_id(tx, ticket)?;
    let stands = (ticket.status, ticket.assignee) == (half.status, half.assignee);
    Ok(stands && half.to != from.id() && act.now.duration_since(half.at) <= BETWEEN_HALVES)
}

/// A ticket's property, where the one who acts has a role in it: he may have lost it since he was let in.
fn at_home(tx: &impl Read, act: &Act<'_>, ticket: &Ticket) -> Result<Property, ActionError> {
    let property = find::property_by_id(tx, ticket.property)?;
    if let Actor::Member { id, .. } = act.actor
        && (property.removed || !find::member_by_id(tx, id)?.is_of(property.id))
    {
        return Err(ActionError::refused(format!("you have no role in {} any more", property.slug)));
    }
    Ok(property)
}

/// Makes a ticket what it was before a move. Nobody is told of it: whom it is given back to has had it,
/// unless he has left since.
fn restore(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    ticket: &mut Ticket,
    last: &Move,
) -> Result<(), ActionError> {
    match last.wake_at {
        Some(wake_at) if wake_at > act.now => {
            change::snooze(tx, act, ticket, wake_at)?;
            ticket.status_since = last.status_since;
        }
        // It would have woken by now.
        Some(_) => change::set_status(tx, act, ticket, Status::Open)?,
        None => {
            change::set_status(tx, act, ticket, last.status)?;
            ticket.status_since = last.status_since;
        }
    }
    if ticket.assignee != last.assignee && state::may_have(tx, property.id, last.assignee)? {
        let from = find::assignee_name(tx, ticket.assignee)?;
        ticket.assignee = last.assignee;
        let to = find::assignee_name(tx, ticket.assignee)?;
        state::event(tx, act, ticket, What::Assignee, from, to)?;
    }
    Ok(())
}

/// A star: the ticket is urgent, or has again the priority that it had before.
pub fn star(tx: &mut Tx<'_>, act: &Act<'_>, ticket: TicketId, on: bool) -> Result<(), ActionError> {
    change_ticket(tx, act, ticket, |tx, ticket| {
        if on == (ticket.priority == Priority::Urgent) {
            return Ok(());
        }
        let priority = if on { Priority::Urgent } else { before_star(tx, ticket.id)? };
        change::set_priority(tx, act, ticket, priority)
    })
}

/// The priority that a ticket had before it was made urgent last.
fn before_star(tx: &impl Read, ticket: TicketId) -> Result<Priority, StoreError> {
    let entries = tx.range(&ENTRIES, (ticket, EntryId(0))..=(ticket, EntryId(u64::MAX)), Order::Down, usize::MAX)?;
    let events = entries.into_iter().filter_map(|(_, entry)| entry.event);
    let mut priorities = events.filter(|event| event.what == What::Priority);
    let from = priorities.next().and_then(|event| event.from?.parse().ok());
    Ok(from.filter(|priority| *priority != Priority::Urgent).unwrap_or_default())
}

/// A keyword: a tag of the ticket, or what a mail client says of junk (IANA's registry of IMAP keywords).
pub fn keyword(tx: &mut Tx<'_>, act: &Act<'_>, ticket: TicketId, keyword: &str, on: bool) -> Result<(), ActionError> {
    change_ticket(tx, act, ticket, |tx, ticket| {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("$Junk") || is("$NotJunk") {
            let junk = is("$Junk");
            let says = on && (ticket.status == Status::Spam) != junk;
            let status = if junk { Status::Spam } else { Status::Open };
            return if says { change::set_status(tx, act, ticket, status) } else { Ok(()) };
        }
        let known = ticket.tags.iter().find(|tag| tag.eq_ignore_ascii_case(keyword)).cloned();
        match (known, on) {
            (None, true) => change::tag(tx, act, ticket, keyword),
            (Some(tag), false) => change::untag(tx, act, ticket, &tag),
            (Some(_), true) | (None, false) => Ok(()),
        }
    })
}

fn change_ticket(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: TicketId,
    change: impl FnOnce(&mut Tx<'_>, &mut Ticket) -> Result<(), ActionError>,
) -> Result<(), ActionError> {
    let before = find::ticket_by_id(tx, ticket)?;
    at_home(tx, act, &before)?;
    let mut ticket = before.clone();
    change(tx, &mut ticket)?;
    if ticket != before {
        ticket.updated_at = act.now;
        state::save(tx, Some(&before), &ticket)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::testing::Office;
    use crate::actions::{member, post, ticket};

    async fn gestured(office: &Office, id: TicketId, from: Folder, to: Folder) -> Result<Ticket, ActionError> {
        office
            .act(|tx, act| {
                let bob = find::member(tx, "bob")?;
                let act = act.with_actor(post::as_member(&bob));
                move_ticket(tx, &act, bob.id, id, Some(from), to)?;
                find::ticket_by_id(tx, id)
            })
            .await
    }

    #[tokio::test]
    async fn what_is_put_back_is_what_it_was() {
        let mut office = Office::open().await;
        let made = office.ticket("carol").await;
        let (name, acme) = (made.reference.to_string(), made.property);
        let until = office.now + SignedDuration::from_hours(48);
        office.act(|tx, act| ticket::snooze(tx, act, &name, until)).await.unwrap();
        let snoozed = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();

        let (pending, archive) = (Folder::Pending(acme), Folder::Archive);
        assert_eq!(gestured(&office, made.id, pending, archive).await.unwrap().status, Status::Closed);
        office.now += SignedDuration::from_secs(5);
        let back = gestured(&office, made.id, archive, pending).await.unwrap();
        assert_eq!((back.status, back.wake_at), (Status::Pending, snoozed.wake_at));

        // From the inbox, where it was nobody's, and back: not his for that.
        office.act(|tx, act| ticket::set_status(tx, act, &name, Status::Open)).await.unwrap();
        gestured(&office, made.id, Folder::Inbox, Folder::Trash).await.unwrap();
        let back = gestured(&office, made.id, Folder::Trash, Folder::Inbox).await.unwrap();
        assert_eq!((back.status, back.assignee), (Status::Open, None));

        // Somebody else did something meanwhile: a move is a move then.
        gestured(&office, made.id, Folder::Inbox, archive).await.unwrap();
        office.now += SignedDuration::from_secs(5);
        office.act(|tx, act| ticket::tag(tx, act, &name, "late")).await.unwrap();
        let back = gestured(&office, made.id, archive, Folder::Inbox).await.unwrap();
        assert!(matches!(back.assignee, Some(Assignee::Member(_))) && back.status == Status::Open);
    }

    #[tokio::test]
    async fn what_would_have_woken_meanwhile_is_open_when_it_is_put_back() {
        let mut office = Office::open().await;
        let made = office.ticket("carol").await;
        let (name, pending) = (made.reference.to_string(), Folder::Pending(made.property));
        let until = office.now + SignedDuration::from_hours(1);
        office.act(|tx, act| ticket::snooze(tx, act, &name, until)).await.unwrap();
        gestured(&office, made.id, pending, Folder::Archive).await.unwrap();
        office.now += SignedDuration::from_hours(2);
        let back = gestured(&office, made.id, Folder::Archive, pending).await.unwrap();
        assert_eq!((back.status, back.wake_at), (Status::Open, None));
    }

    #[tokio::test]
    async fn nothing_is_given_back_to_whoever_has_left() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let (name, pending) = (made.reference.to_string(), Folder::Pending(made.property));
        office.act(|tx, act| ticket::assign(tx, act, &name, "alice")).await.unwrap();
        gestured(&office, made.id, Folder::Open(made.property), Folder::Inbox).await.unwrap();
        gestured(&office, made.id, Folder::Inbox, Folder::Archive).await.unwrap();
        office.act(|tx, act| member::remove(tx, act, "alice")).await.unwrap();
        gestured(&office, made.id, Folder::Archive, Folder::Inbox).await.unwrap();
        let back = gestured(&office, made.id, Folder::Inbox, Folder::Open(made.property)).await.unwrap();
        let bob = office.act(|tx, _| find::member(tx, "bob")).await.unwrap().id;
        assert_eq!((back.status, back.assignee), (Status::Open, Some(Assignee::Member(bob))));
        let moved = gestured(&office, made.id, Folder::Open(made.property), pending).await.unwrap();
        assert_eq!(moved.status, Status::Pending);
    }

    #[tokio::test]
    async fn whoever_lost_his_role_since_he_was_let_in_moves_nothing() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let changes = member::Changes { remove_properties: vec!["acme".to_owned()], ..Default::default() };
        office.act(|tx, act| member::edit(tx, act, "bob", changes.clone())).await.unwrap();
        for to in [Folder::Archive, Folder::Inbox, Folder::Pending(made.property)] {
            let refused = gestured(&office, made.id, Folder::Inbox, to).await.unwrap_err();
            assert_eq!(refused.to_string(), "you have no role in acme any more");
        }
        let refused = office.act(|tx, act| {
            let bob = find::member(tx, "bob")?;
            star(tx, &act.with_actor(post::as_member(&bob)), made.id, true)
        });
        assert!(refused.await.is_err());
    }

    #[tokio::test]
    async fn a_move_says_what_its_mailbox_says() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let (id, acme) = (made.id, made.property);
        let bob = office.act(|tx, _| find::member(tx, "bob")).await.unwrap().id;
        let his = gestured(&office, id, Folder::Archive, Folder::Member(acme, bob)).await.unwrap();
        assert_eq!((his.status, his.assignee), (Status::Open, Some(Assignee::Member(bob))));
        let spam = gestured(&office, id, Folder::Inbox, Folder::Junk).await.unwrap();
        assert_eq!(spam.status, Status::Spam);
        for nowhere in [Folder::Sent, Folder::Drafts, Folder::Notes(acme), Folder::Property(acme)] {
            assert!(gestured(&office, id, Folder::Inbox, nowhere).await.is_err(), "{nowhere:?}");
        }
        let elsewhere = Folder::Open(crate::desk::id::PropertyId(acme.0 + 1));
        assert!(gestured(&office, id, Folder::Junk, elsewhere).await.is_err());
    }

    #[tokio::test]
    async fn the_other_half_of_a_move_is_said_once_soon_elsewhere_and_of_what_stands() {
        let mut office = Office::open().await;
        let made = office.ticket("carol").await;
        let (name, acme) = (made.reference.to_string(), made.property);
        let (bob, entry) =
            office.act(|tx, _| Ok((find::member(tx, "bob")?.id, find::entries(tx, made.id)?[0].id))).await.unwrap();
        let key = (made.id, entry);
        let (open, his) = (Folder::Open(acme), Folder::Member(acme, bob));
        let put = async |office: &Office, to| {
            gestured(office, made.id, open, to).await.unwrap();
            office.act(|tx, act| half_moved(tx, act, bob, key, to)).await.unwrap();
        };
        let taken = async |office: &Office, who, from| {
            office.act(|tx, act| finishes_move(tx, act, who, key, from)).await.unwrap()
        };

        put(&office, his).await;
        assert!(!taken(&office, MemberId(bob.0 + 1), open).await, "somebody else's");
        assert!(taken(&office, bob, open).await);
        assert!(!taken(&office, bob, open).await, "twice");
        put(&office, his).await;
        assert!(!taken(&office, bob, his).await, "out of where it was put");
        put(&office, his).await;
        office.act(|tx, act| ticket::assign(tx, act, &name, "none")).await.unwrap();
        assert!(!taken(&office, bob, open).await, "it was given to others");
        put(&office, his).await;
        office.act(|tx, act| ticket::tag(tx, act, &name, "vip")).await.unwrap();
        office.now += BETWEEN_HALVES;
        assert!(taken(&office, bob, open).await);
        put(&office, his).await;
        office.now += BETWEEN_HALVES + SignedDuration::from_secs(1);
        assert!(!taken(&office, bob, open).await, "too late");
        put(&office, Folder::Archive).await;
        assert!(!taken(&office, bob, Folder::Inbox).await, "it is closed");

        let other = office.ticket("dave").await;
        put(&office, his).await;
        office.now += BETWEEN_HALVES + SignedDuration::from_secs(1);
        let key = office.act(|tx, _| Ok((other.id, find::entries(tx, other.id)?[0].id))).await.unwrap();
        office.act(|tx, act| half_moved(tx, act, bob, key, his)).await.unwrap();
        let kept = office.act(|tx, _| Ok(tx.range(&HALF_MOVED, .., Order::Up, 10)?)).await.unwrap();
        assert_eq!(
            kept.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
            [(bob, key.1)],
            "the others are forgotten"
        );
    }

    #[tokio::test]
    async fn stars_and_keywords() {
        let office = Office::open().await;
        let made = office.ticket("carol").await;
        let name = made.reference.to_string();
        office.act(|tx, act| ticket::set_priority(tx, act, &name, Priority::Low)).await.unwrap();
        office.act(|tx, act| star(tx, act, made.id, true)).await.unwrap();
        let starred = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();
        assert_eq!(starred.priority, Priority::Urgent);
        office.act(|tx, act| star(tx, act, made.id, false)).await.unwrap();
        let plain = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();
        assert_eq!(plain.priority, Priority::Low);

        for (word, on) in [("Refund", true), ("refund", true), ("vip", true), ("VIP", false), ("none", false)] {
            office.act(|tx, act| keyword(tx, act, made.id, word, on)).await.unwrap();
        }
        let tagged = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();
        assert_eq!(tagged.tags.into_iter().collect::<Vec<_>>(), ["Refund"]);
        for (word, on, status) in [
            ("$NotJunk", true, Status::Open),
            ("$junk", true, Status::Spam),
            ("$Junk", false, Status::Spam),
            ("$NotJunk", true, Status::Open),
        ] {
            office.act(|tx, act| keyword(tx, act, made.id, word, on)).await.unwrap();
            let ticket = office.act(|tx, _| find::ticket(tx, &name)).await.unwrap();
            assert_eq!(ticket.status, status, "{word} {on}");
        }
    }
}
