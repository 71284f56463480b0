//! Which of the desk's types are stored as they are.

use jiff::Timestamp;

use super::table::Record;
use crate::desk::contact::Contact;
use crate::desk::copy::{Copy, Tried};
use crate::desk::department::Department;
use crate::desk::entry::Entry;
use crate::desk::id::{ContactId, CopyId, DepartmentId, EntryId, MemberId, PropertyId, RawId, TicketId};
use crate::desk::login::AppPassword;
use crate::desk::member::{AddressClaim, Member};
use crate::desk::mta_sts::KeptPolicy;
use crate::desk::property::Property;
use crate::desk::reach::Reach;
use crate::desk::shape::{Rendering, Said, Shape};
use crate::desk::shelf::{Gathered, HalfMove, Mine, Move, Own, Row, Shelved, Shown, Turn};
use crate::desk::ticket::Ticket;
use crate::desk::tls_report::Counts;
use crate::desk::trace::Trace;

macro_rules! records {
    ($($type:ty),+ $(,)?) => {$(
        impl Record for $type {
            const VERSION: u8 = 1;
        }
    )+};
}

records!(
    Property,
    Member,
    AddressClaim,
    Department,
    Contact,
    Ticket,
    Entry,
    Copy,
    Tried,
    Trace,
    AppPassword,
    Reach,
    KeptPolicy,
    Counts,
    Row,
    Shown,
    Mine,
    Turn,
    Own,
    Shelved,
    Gathered,
    Vec<Move>,
    HalfMove,
    Shape,
    Rendering,
    Said
);
records!(PropertyId, MemberId, DepartmentId, ContactId, TicketId, EntryId, CopyId, RawId, Timestamp);
records!(Vec<PropertyId>, Vec<MemberId>, Vec<DepartmentId>, Vec<ContactId>, Vec<TicketId>, Vec<EntryId>, Vec<CopyId>);
records!((TicketId, EntryId), Vec<(TicketId, EntryId)>);
records!((), bool, u8, u32, u64, String, Vec<String>, Vec<u8>, Vec<u64>);
