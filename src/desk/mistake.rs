//! What can't be done of what a person asked of a ticket: in cases, so that each has its sentence in
//! every language ([`Language::mistake`](super::language::Language::mistake)).

use super::address::Address;
use super::command::Verb;
use super::id::EntryId;
use super::slug::PropertySlug;
use super::ticket::TicketRef;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No command has this name; one that is near.
    Unknown {
        near: Option<Verb>,
    },
    /// It wants a value.
    Missing(Verb),
    /// It stands alone in its line.
    Alone(Verb),
    /// More commands than one mail may have.
    TooMany(usize),
    /// More values than one command may have.
    TooManyValues(usize),
    /// An earlier line says otherwise.
    Contradicts(String),
    /// A quotation stands above it.
    Below,
    /// The property does not allow it.
    NotAllowed(Verb),
    /// It needs a ticket that is there already.
    NewTicket(Verb),
    /// A note can't go to people outside.
    NoteOutside,
    /// It would be done by a mail that somebody else let pass.
    WhenHeld(Verb),
    /// Not a time that is understood.
    NoTime,
    Past,
    /// More than a year away.
    TooFar,
    NoPriority,
    NoAddress(String),
    /// Not the number of an entry.
    NoNumber(String),
    /// Neither that nor how its writer is to join.
    NoEntry(String),
    /// Not the name of a ticket.
    NoTicket(String),
    /// What a tag can't be.
    NoTag {
        tag: String,
        longest: usize,
    },
    /// Nothing here is called so; what is near.
    NotThere {
        name: String,
        near: Vec<String>,
    },
    /// Two members have this name.
    Ambiguous {
        name: String,
        one: Address,
        two: Address,
    },
    /// A member of other properties alone.
    NoRole {
        member: Address,
        property: PropertySlug,
    },
    /// An address of the desk itself.
    OwnAddress(Address),
    /// A member, where only somebody outside can be named.
    Colleague {
        member: Address,
        property: PropertySlug,
        ticket: TicketRef,
    },
    /// The ticket has as many people on it as it may.
    TooManyPeople {
        ticket: TicketRef,
        most: usize,
    },
    /// The ticket has as many tags as it may.
    TooManyTags {
        ticket: TicketRef,
        most: usize,
    },
    NotFollowing {
        member: Address,
        ticket: TicketRef,
    },
    OneTicket {
        one: String,
        other: String,
    },
    OtherProperty,
    /// The entry waits for nobody.
    NotHeld(EntryId),
    WentOut(EntryId),
    WasRejected(EntryId),
    /// A held entry that is in no member's name.
    Nameless(EntryId),
    /// The member in whose name it is has left.
    Left {
        member: Address,
        property: PropertySlug,
    },
    /// Its writer can't join: he is no contact.
    NoContact(EntryId),
    NoRequester(TicketRef),
    NothingWaits(TicketRef),
    /// Several entries wait, and none was named.
    SeveralWait(Vec<EntryId>),
    /// A held forward in which nothing is found that was forwarded.
    NoForward(EntryId),
    /// A held forward of somebody who is of the team by now.
    ForwardOfTeam {
        entry: EntryId,
        address: Address,
    },
    /// The commands that a held entry begins with are wrong, each with its line.
    Commands(Vec<(String, Mistake)>),
}
