//! Answers to questions of the desk: whether a held entry goes out, whether an address is a member's.
//!
//! The address that they come to is the proof, and who they are from is not asked: it may be the
//! same telephone. What is asked is that a person wrote them. All of them are kept on the ticket.

use super::arrival::{self, Case};
use super::writer::{self, Author};
use super::{Arrival, Mail, Rejection, filing};
use crate::actions::{Act, ActionError, claim, find, held};
use crate::desk::address::Address;
use crate::desk::decision::Decision;
use crate::desk::entry::Reason;
use crate::desk::id::{EntryId, RawId, TicketId};
use crate::desk::member::Member;
use crate::desk::subject::is_forward;
use crate::desk::ticket::Ticket;
use crate::desk::token::{ClaimToken, ConfirmToken};
use crate::store::tables::{ENTRIES, TICKETS};
use crate::store::{Read, Tx};

/// Mail at the address that decides about a held entry. `by`: the member who is logged in, if one is.
pub(super) fn on_held(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    token: ConfirmToken,
    raw: RawId,
    by: Option<&Member>,
) -> Result<Arrival, ActionError> {
    let Some(ticket) = still_there(tx, token.ticket, token.entry)? else { return Ok(gone()) };
    let (arrival, fresh) = keep(tx, act, mail, address, ticket, raw, by)?;
    if fresh && is_persons(mail) {
        held::decide(tx, act, token, decision(mail))?;
    }
    Ok(arrival)
}

/// Mail at the address that decides whether an address is a member's.
pub(super) fn on_claim(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    token: ClaimToken,
    raw: RawId,
    by: Option<&Member>,
) -> Result<Arrival, ActionError> {
    let Some(claim) = claim::get(tx, token)? else { return Ok(gone()) };
    let Some(ticket) = still_there(tx, claim.ticket, claim.entry)? else { return Ok(gone()) };
    let (arrival, fresh) = keep(tx, act, mail, address, ticket.clone(), raw, by)?;
    if fresh && is_persons(mail) {
        claim::answered(tx, act, &ticket, token, decision(mail))?;
    }
    Ok(arrival)
}

/// What the writer's own words decide. Where none are his, the whole message stands for new, and
/// decides nothing: it may be a signature, or the question itself.
fn decision(mail: &Mail<'_>) -> Option<Decision> {
    let text = &mail.understood.text;
    Decision::read(&text.new).filter(|_| !text.nothing_new)
}

/// Whether a person wrote the mail, and wrote it here: no machine, no report, nothing handed on.
fn is_persons(mail: &Mail<'_>) -> bool {
    let understood = mail.understood;
    mail.machine.is_none()
        && mail.report.is_none()
        && understood.forwarded.is_none()
        && !is_forward(&understood.subject)
}

/// Keeps the answer on its ticket, for members to see; whether it came for the first time.
fn keep(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    ticket: Ticket,
    raw: RawId,
    by: Option<&Member>,
) -> Result<(Arrival, bool), ActionError> {
    let property = find::property_by_id(tx, ticket.property)?;
    let author = match by {
        Some(member) => Author::logged_in(tx, member, property.id)?,
        None => writer::author(tx, act.desk, &property, mail)?,
    };
    let case = Case::on(mail, address, property, author, ticket, raw);
    if let Some(arrival) = arrival::duplicate(tx, act, &case)? {
        return Ok((arrival, false));
    }
    let reason = match mail.machine {
        Some((_, reason)) => reason.unwrap_or(Reason::Automatic),
        None if mail.report.is_some() => Reason::Bounce,
        None => Reason::Decision,
    };
    Ok((filing::keep_answer(tx, act, &case, reason)?, true))
}

/// The ticket that has an entry now.
fn still_there(tx: &impl Read, ticket: TicketId, entry: EntryId) -> Result<Option<Ticket>, ActionError> {
    if tx.get(&TICKETS, &ticket)?.is_none() {
        return Ok(None);
    }
    let ticket = find::ticket_by_id(tx, ticket)?;
    Ok(tx.get(&ENTRIES, &(ticket.id, entry))?.map(|_| ticket))
}

/// The desk made the address, and what it is about was lost or removed since.
fn gone() -> Arrival {
    Arrival::Refused(Rejection::new(550, (5, 1, 1), "the question that this address was for is not open any more"))
}
