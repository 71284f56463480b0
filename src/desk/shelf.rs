//! Where a message stands, so that it can be seen in mailboxes.
//!
//! A message is an entry, and its ticket's state says on which *shelves* it stands: on one for the
//! status, and while somebody has to work on it on others for who that is. A mailbox is made of one
//! or more whole shelves. So a message has as few rows as it has shelves, however many members see
//! it, and a change of the ticket moves each of its messages once.
//!
//! A number on a shelf is given once in the whole desk, so that a mailbox made of several shelves has
//! unique numbers too (RFC 3501 §2.3.1.1).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Kind, Reason, State};
use super::id::{EntryId, MemberId, PropertyId, RawId, TicketId};
use super::message_id::MessageId;
use super::ticket::{Assignee, Person, Priority, Status, Ticket};

/// One shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Shelf {
    /// A property's tickets of one status.
    Status(PropertyId, Status),
    /// Its open tickets that one has, or nobody.
    Open(PropertyId, Option<Assignee>),
    /// Its open and pending tickets that one has.
    Work(PropertyId, Assignee),
    /// What a member wrote on a property's tickets.
    Sent(PropertyId, MemberId),
    /// What a member keeps for himself: no entry of any ticket.
    Own(MemberId, Place),
    /// Nothing stands here; by its peak it is known when a member's own flags changed last.
    Mine(MemberId),
}

/// Where a member keeps what is his own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    Drafts,
    Sent,
    Archive,
    Junk,
    Trash,
}

/// The shelves that a ticket's messages stand on. One that was merged into another has none.
#[must_use]
pub fn of_ticket(ticket: &Ticket) -> Vec<Shelf> {
    if ticket.merged_into.is_some() {
        return Vec::new();
    }
    let mut shelves = vec![Shelf::Status(ticket.property, ticket.status)];
    if ticket.status == Status::Open {
        shelves.push(Shelf::Open(ticket.property, ticket.assignee));
    }
    if let (Status::Open | Status::Pending, Some(assignee)) = (ticket.status, ticket.assignee) {
        shelves.push(Shelf::Work(ticket.property, assignee));
    }
    shelves
}

/// Whether an entry is a message that a mailbox can show: what was said.
#[must_use]
pub fn shows(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Message | Kind::Note) && entry.raw.is_some() && entry.minted_id.is_some()
}

/// The member who wrote an entry. What only says that it is his, for all that is known, is nobody's until
/// it is let go.
#[must_use]
pub fn author(entry: &Entry) -> Option<MemberId> {
    let claimed =
        matches!(entry.reason, Some(Reason::Unaligned | Reason::UnknownAddress | Reason::Unverified | Reason::Forward));
    match entry.author.person() {
        Some(Person::Member(member)) if entry.state == State::Relayed || !claimed => Some(member),
        _ => None,
    }
}

/// The shelves that an entry of a ticket stands on: the ticket's, and that of the member who wrote it, who
/// alone keeps what was rejected.
#[must_use]
pub fn of_entry(ticket: &Ticket, entry: &Entry) -> Vec<Shelf> {
    if !shows(entry) || ticket.merged_into.is_some() {
        return Vec::new();
    }
    let mut shelves = if entry.state == State::Rejected { Vec::new() } else { of_ticket(ticket) };
    shelves.extend(author(entry).map(|member| Shelf::Sent(ticket.property, member)));
    shelves
}

/// What all members see of a message besides what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The ticket is urgent.
    pub flagged: bool,
    /// A member answered this message.
    pub answered: bool,
    /// Its ticket's tags.
    pub keywords: BTreeSet<String>,
    /// It is no message yet.
    pub draft: bool,
    /// The member's own message that it was copied from, by the first of them (RFC 8474 §5.1).
    #[serde(default)]
    pub copy_of: Option<EntryId>,
}

impl Marks {
    /// Those of a message of this ticket.
    #[must_use]
    pub fn of(ticket: &Ticket, answered: bool) -> Self {
        let flagged = ticket.priority == Priority::Urgent;
        Self { flagged, answered, keywords: ticket.tags.clone(), ..Self::default() }
    }
}

/// A message on a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// `None` for what is a member's own.
    pub ticket: Option<TicketId>,
    pub entry: EntryId,
    /// The number of the commit that last changed it (RFC 7162 §3.1).
    pub modseq: u64,
    pub marks: Marks,
}

/// On which shelves a message stands, under which numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Within the transaction that puts it there, a number may still be 0.
    pub at: Vec<(Shelf, u32)>,
    pub marks: Marks,
    pub modseq: u64,
    /// Within a transaction, what it is taken from; else empty.
    pub from: Vec<(Shelf, u32)>,
}

/// What one member sees of a message's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mine {
    pub seen: bool,
    /// The numbers under which he marked it as deleted.
    pub deleted: BTreeSet<u32>,
    /// As [`Row::modseq`]; 0 before anything was said.
    pub modseq: u64,
    /// The ticket that the message was on then.
    pub ticket: Option<TicketId>,
}

/// A message of a member's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    pub raw: RawId,
    /// When it came.
    pub at: Timestamp,
    pub message_id: Option<MessageId>,
}

/// What a mailbox is made of that depends on who sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    pub shelves: Vec<Shelf>,
    /// Its UIDVALIDITY since.
    pub validity: u32,
}

/// What a ticket was before a member moved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub member: MemberId,
    /// The mailbox that he took it from, by its id.
    pub from: String,
    pub status: Status,
    pub status_since: Timestamp,
    pub wake_at: Option<Timestamp>,
    pub assignee: Option<Assignee>,
    /// When the ticket was as the move left it.
    pub moved_at: Timestamp,
}

/// A message that a member put into a mailbox without taking it out of where it was: the first half of a
/// move, where his client knows no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfMove {
    /// The mailbox that he put it into, by its id.
    pub to: String,
    pub at: Timestamp,
    /// How its ticket stood then.
    pub status: Status,
    pub assignee: Option<Assignee>,
}

/// How far the messages of a store that is older than its shelves were put on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shelved {
    /// Up to this one, in the order of tickets and entries.
    Through(TicketId, EntryId),
    /// All of them, or there were none: from here on whoever saves an entry puts it there.
    All,
}

/// What the log of changes names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trail {
    /// A message on a shelf.
    Row(Shelf, u32),
    /// What a member sees of one, on the ticket that it was on then.
    Mine(MemberId, Option<TicketId>, EntryId),
    /// What a member may see, or whether he may still be here.
    Rights(MemberId),
}

/// What the last commit that changed it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// It came, or its flags changed.
    Changed,
    /// It left the shelf.
    Left,
}

/// What is known of a shelf besides its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peak {
    /// The highest number that anything on it ever had.
    Uid,
    /// The number of the last commit that changed anything on it.
    ModSeq,
    /// Of [`Shelf::Mine`]: the number of the last commit that changed what the member may do.
    Rights,
}
