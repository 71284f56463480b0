//! Every table of the desk: its prefix, its key, its record.
//!
//! Prefixes are never reused. Keys sort as their parts do, so that a range over the first part is
//! a range over the table.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Counter, Record, Table};
use crate::desk::address::Address;
use crate::desk::confirmation::Confirmation;
use crate::desk::contact::Contact;
use crate::desk::copy::{Copy, Tried};
use crate::desk::department::Department;
use crate::desk::entry::Entry;
use crate::desk::id::{
    AppPasswordId, ClaimId, ContactId, CopyId, DepartmentId, EntryId, MemberId, PropertyId, TicketId,
};
use crate::desk::login::AppPassword;
use crate::desk::member::{AddressClaim, Member};
use crate::desk::message_id::MessageId;
use crate::desk::mta_sts::KeptPolicy;
use crate::desk::property::Property;
use crate::desk::reach::Reach;
use crate::desk::shape::{Rendering, Said, Shape};
use crate::desk::shelf::{Gathered, HalfMove, Mine, Move, Own, Peak, Row, Shelf, Shelved, Shown, Trail, Turn};
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::desk::thread::Bearer;
use crate::desk::ticket::Ticket;
use crate::desk::tls_report::Counts;
use crate::desk::trace::{Trace, TraceId};

/// The secrets that tokens are made with, by key id; the highest makes new ones.
pub const TOKEN_KEYS: Table<u8, TokenKey> = Table::new(16, "token_keys");

pub const PROPERTIES: Table<PropertyId, Property> = Table::new(20, "properties");
pub const PROPERTY_SLUGS: Table<PropertySlug, PropertyId> = Table::new(21, "property_slugs");
/// Further addresses in the local domains.
pub const PROPERTY_ADDRESSES: Table<Address, PropertyId> = Table::new(22, "property_addresses");
/// Well-known addresses elsewhere that forward here.
pub const PUBLIC_ADDRESSES: Table<Address, PropertyId> = Table::new(23, "public_addresses");
/// What providers asked a property to confirm, the newest first.
pub const CONFIRMATIONS: Table<PropertyId, Vec<Confirmation>> = Table::new(27, "confirmations");

pub const MEMBERS: Table<MemberId, Member> = Table::new(30, "members");
pub const MEMBER_ADDRESSES: Table<Address, MemberId> = Table::new(31, "member_addresses");
/// When a member was last told by mail that something of his is held.
pub const HELD_NOTICES: Table<MemberId, Timestamp> = Table::new(32, "held_notices");
/// Apart from the members, since each login is written here.
pub const APP_PASSWORDS: Table<(MemberId, AppPasswordId), AppPassword> = Table::new(33, "app_passwords");
/// Held entries that their member was not told of yet, with the ticket that each was on then.
pub const HELD_WAITING: Table<(MemberId, EntryId), TicketId> = Table::new(34, "held_waiting");
/// When a member who was not told of everything is written to again.
pub const HELD_DUE: Table<(Timestamp, MemberId), ()> = Table::new(35, "held_due");
/// Addresses that a member wrote from, on their way to be his.
pub const CLAIMS: Table<(MemberId, ClaimId), AddressClaim> = Table::new(36, "claims");

/// Which members of a property hear by mail of what nobody works on: found when it is first asked, and
/// forgotten when one of them changes.
pub const AUDIENCES: Table<PropertyId, Vec<MemberId>> = Table::new(37, "audiences");

pub const DEPARTMENTS: Table<DepartmentId, Department> = Table::new(40, "departments");
pub const DEPARTMENT_SLUGS: Table<(PropertyId, DepartmentSlug), DepartmentId> = Table::new(41, "department_slugs");

pub const CONTACTS: Table<ContactId, Contact> = Table::new(50, "contacts");
pub const CONTACT_ADDRESSES: Table<Address, ContactId> = Table::new(51, "contact_addresses");
/// The tickets that a contact takes part in.
pub const CONTACT_TICKETS: Table<(ContactId, TicketId), ()> = Table::new(52, "contact_tickets");

pub const TICKETS: Table<TicketId, Ticket> = Table::new(60, "tickets");
pub const TICKET_NUMBERS: Table<(PropertyId, u64), TicketId> = Table::new(61, "ticket_numbers");
/// Tickets by status and last change: the lists of the desk, and what closes by itself.
pub const TICKET_LISTS: Table<(PropertyId, u8, Timestamp, TicketId), ()> = Table::new(62, "ticket_lists");
/// Snoozed tickets by the time at which they wake.
pub const SNOOZED: Table<(Timestamp, TicketId), ()> = Table::new(63, "snoozed");

pub const ENTRIES: Table<(TicketId, EntryId), Entry> = Table::new(70, "entries");
/// Who bears or mentions a Message-ID in a property.
pub const MESSAGE_IDS: Table<(PropertyId, MessageId), Vec<Bearer>> = Table::new(71, "message_ids");
/// The tickets of an Outlook conversation, by the first 22 octets of Thread-Index.
pub const CONVERSATIONS: Table<(PropertyId, [u8; 22]), Vec<TicketId>> = Table::new(72, "conversations");

pub const COPIES: Table<CopyId, Copy> = Table::new(80, "copies");
/// Copies that wait, by the time at which they are offered next.
pub const QUEUE: Table<(Timestamp, CopyId), ()> = Table::new(81, "queue");
/// Copies by state, those that the queue lists (`Copy::is_listed`).
pub const COPY_STATES: Table<(u8, CopyId), ()> = Table::new(82, "copy_states");
/// The offers of a copy, counted from 1: the first ones and the last ones.
pub const TRIED: Table<(CopyId, u32), Tried> = Table::new(83, "tried");
/// Members' entries, by when their copies were queued, until their authors were told which of those
/// still wait; with the ticket that each was on then.
pub const UNDELIVERED: Table<(Timestamp, EntryId), TicketId> = Table::new(84, "undelivered");

/// How each message came and what it made, by the name that it has all the way.
pub const TRACES: Table<TraceId, Trace> = Table::new(85, "traces");

/// How many acknowledgements went out lately.
pub const ACKNOWLEDGEMENTS: Table<(), Acknowledgements> = Table::new(90, "acknowledgements");
/// When an address last got one.
pub const ACKNOWLEDGED: Table<Address, Timestamp> = Table::new(91, "acknowledged");
/// The same by time, to be forgotten.
pub const ACKNOWLEDGED_AT: Table<(Timestamp, Address), ()> = Table::new(92, "acknowledged_at");

/// Addresses that failed lately, and whether they are suspended.
pub const REACH: Table<Address, Reach> = Table::new(95, "reach");

/// The MTA-STS policies of domains that mail goes to, by domain in A-labels.
pub const MTA_STS: Table<String, KeptPolicy> = Table::new(100, "mta_sts");
/// How TLS went to a domain in a day since 1970, until that is reported.
pub const TLS_COUNTS: Table<(i64, String), Counts> = Table::new(101, "tls_counts");

/// Messages on their shelves, by the number that each has there.
pub const ROWS: Table<(Shelf, u32), Row> = Table::new(110, "rows");
/// On which shelves a message stands; `None` is for what is a member's own.
pub const SHOWN: Table<(Option<TicketId>, EntryId), Shown> = Table::new(111, "shown");
/// What members see of messages' flags, where that is anything.
pub const MINE: Table<(MemberId, EntryId), Mine> = Table::new(112, "mine");
/// The last change of each row and of each member's flags, by the number of its commit; of rows that
/// are gone, that they left.
pub const VIEW_LOG: Table<(u64, Trail), Turn> = Table::new(113, "view_log");
/// What is kept of messages that a mailbox has shown.
pub const SHAPES: Table<EntryId, Shape> = Table::new(115, "shapes");
pub const RENDERINGS: Table<EntryId, Rendering> = Table::new(116, "renderings");
pub const SAID: Table<EntryId, Said> = Table::new(117, "said");
/// What members keep in their mailboxes that is no entry of a ticket.
pub const OWN: Table<(MemberId, EntryId), Own> = Table::new(118, "own");
/// The same by their Message-IDs.
pub const OWN_IDS: Table<(MemberId, MessageId, EntryId), ()> = Table::new(125, "own_ids");
/// When a member's mailbox was last made of other shelves than before, with those it is made of now.
pub const GATHERED: Table<(MemberId, String), Gathered> = Table::new(119, "gathered");
/// The mailboxes that members see, where they chose them.
pub const SUBSCRIPTIONS: Table<MemberId, Vec<String>> = Table::new(120, "subscriptions");
/// The last moves of a ticket in one member's mail client, the newest last, to be undone.
pub const MOVES: Table<TicketId, Vec<Move>> = Table::new(121, "moves");
/// What members put into mailboxes and may yet take out of others, as clients move that know no MOVE.
pub const HALF_MOVED: Table<(MemberId, EntryId), HalfMove> = Table::new(124, "half_moved");
/// Since when numbers of messages are these numbers, as UIDVALIDITY says it.
pub const VALIDITY: Table<(), u32> = Table::new(122, "validity");
/// Whether the messages of an older store were put on their shelves.
pub const SHELVED: Table<(), Shelved> = Table::new(123, "shelved");
/// How far each shelf has come.
pub const PEAKS: Table<(Shelf, Peak), u64> = Table::new(114, "peaks");

pub const PROPERTY_IDS: Counter<()> = Counter::new(1, "property ids");
pub const MEMBER_IDS: Counter<()> = Counter::new(2, "member ids");
pub const DEPARTMENT_IDS: Counter<()> = Counter::new(3, "department ids");
pub const CONTACT_IDS: Counter<()> = Counter::new(4, "contact ids");
pub const TICKET_IDS: Counter<()> = Counter::new(5, "ticket ids");
/// The numbers in tickets' names, counted per property.
pub const NUMBERS: Counter<PropertyId> = Counter::new(6, "ticket numbers");
pub const ENTRY_IDS: Counter<()> = Counter::new(7, "entry ids");
pub const COPY_IDS: Counter<()> = Counter::new(8, "copy ids");
pub const APP_PASSWORD_IDS: Counter<()> = Counter::new(9, "app password ids");
pub const CLAIM_IDS: Counter<()> = Counter::new(10, "claim ids");
/// The numbers of messages on shelves, given at the commit.
pub const UIDS: Counter<()> = Counter::new(11, "message uids");

/// A secret that tokens are made with.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenKey {
    pub secret: [u8; 32],
    pub created_at: Timestamp,
}

/// How many acknowledgements went out since a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgements {
    pub since: Timestamp,
    pub count: u32,
}

impl Record for Acknowledgements {
    const VERSION: u8 = 1;
}

impl Record for TokenKey {
    const VERSION: u8 = 1;
}

impl Record for Vec<Confirmation> {
    const VERSION: u8 = 1;
}

impl Record for Vec<Bearer> {
    const VERSION: u8 = 1;
}
