//! Records as the store holds them.

use guichet::desk::contact::Contact;
use guichet::desk::copy::Copy;
use guichet::desk::department::Department;
use guichet::desk::entry::Entry;
use guichet::desk::member::Member;
use guichet::desk::property::Property;
use guichet::desk::ticket::Ticket;
use guichet::store::Record;

use super::options;

/// A damaged record is an error, never a panic; one that can be read is written so that it reads the
/// same.
///
/// Options: which table's.
pub fn records(data: &[u8]) {
    let ([table], octets) = options(data);
    match table.wrapping_sub(b'0') % 7 {
        0 => hold::<Entry>(octets),
        1 => hold::<Ticket>(octets),
        2 => hold::<Copy>(octets),
        3 => hold::<Contact>(octets),
        4 => hold::<Member>(octets),
        5 => hold::<Property>(octets),
        _ => hold::<Department>(octets),
    }
}

fn hold<R: Record>(octets: &[u8]) {
    let Ok(record) = rmp_serde::from_slice::<R>(octets) else { return };
    let written = rmp_serde::to_vec(&record).expect("what was read can be written");
    let again: R = rmp_serde::from_slice(&written).expect("what was written can be read");
    assert_eq!(rmp_serde::to_vec(&again).expect("the same"), written);
}
