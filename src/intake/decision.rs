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
use crate::desk::id::RawId;
use crate::desk::member::Member;
use crate::desk::subject::is_forward;
use crate::desk::ticket::Ticket;
use crate::desk::token::{ClaimToken, ConfirmToken};
use crate::store::tables::ENTRIES;
use crate::store::{Read, Tx};

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// Whether a held entry goes out.
    Held(ConfirmToken),
    /// Whether an address is a member's.
    Claim(ClaimToken),
}

impl Question {
    /// The ticket of the entry that it was asked about, if both are still there.
    fn ticket(self, tx: &impl Read) -> Result<Option<Ticket>, ActionError> {
        let about = match self {
            Self::Held(token) => Some((token.ticket, token.entry)),
            Self::Claim(token) => claim::get(tx, token)?.map(|claim| (claim.ticket, claim.entry)),
        };
        let Some((ticket, entry)) = about else { return Ok(None) };
        let Some(ticket) = find::there(find::ticket_by_id(tx, ticket))? else { return Ok(None) };
        Ok(tx.get(&ENTRIES, &(ticket.id, entry))?.map(|_| ticket))
    }
}

/// Mail at the address that a question of the desk is answered at. `by`: the member who is logged in,
/// if one is.
pub(super) fn answer(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    question: Question,
    raw: RawId,
    by: Option<&Member>,
) -> Result<Arrival, ActionError> {
    let Some(ticket) = question.ticket(tx)? else {
        let text = "the question that this address was for is not open any more";
        return Ok(Arrival::Refused(Rejection::new(550, (5, 1, 1), text)));
    };
    let (arrival, fresh) = keep(tx, act, mail, address, ticket.clone(), raw, by)?;
    if fresh && is_persons(mail) {
        match question {
            Question::Held(token) => held::decide(tx, act, token, decision(mail))?,
            Question::Claim(token) => claim::answered(tx, act, &ticket, token, decision(mail))?,
        }
    }
    Ok(arrival)
}

/// What the writer's own words decide. Where none are his, the whole message stands for new, and
/// decides nothing: it may be a signature, or the question itself.
fn decision(mail: &Mail<'_>) -> Option<Decision> {
    let text = &mail.understood.text;
    Decision::read(&text.new).filter(|_| !text.nothing_new)
}

/// Whether a person wrote the mail, and wrote it here: no machine, no report, nothing handed on. A
/// subject that begins as vacation notices' do is enough here: what answers a letter of ours begins
/// with the letter's.
fn is_persons(mail: &Mail<'_>) -> bool {
    let understood = mail.understood;
    mail.machine.is_none()
        && mail.report.is_none()
        && !understood.marks.away
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
