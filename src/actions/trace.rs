//! What is remembered of a mail's way in, and of what it made.

use super::Act;
use crate::desk::entry::Entry;
use crate::desk::trace::{Arrival, Trace};
use crate::store::tables::TRACES;
use crate::store::{Read, StoreError, Tx};

/// A message arrives: before anything is made of it.
pub fn arrived(tx: &mut Tx<'_>, act: &Act<'_>, arrival: Arrival) -> Result<(), StoreError> {
    let Some(id) = &act.trace else { return Ok(()) };
    tx.put(&TRACES, id, &Trace::begin(act.now, act.door, Some(arrival)))
}

/// An entry was made.
pub(super) fn made(tx: &mut Tx<'_>, act: &Act<'_>, entry: &Entry) -> Result<(), StoreError> {
    let Some(id) = &act.trace else { return Ok(()) };
    let mut trace = tx.get(&TRACES, id)?.unwrap_or_else(|| Trace::begin(act.now, act.door, None));
    trace.made(entry.ticket, entry.id);
    tx.put(&TRACES, id, &trace)
}
