//! Mail that only reports on mail of ours: delivery reports, and copies that came back.

use super::arrival;
use super::{Arrival, Counts, Mail, Rejection};
use crate::actions::{Act, ActionError, copies, find, state};
use crate::desk::address::Address;
use crate::desk::entry::{Author, Event, Reason, What};
use crate::desk::id::{CopyId, RawId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::property::Property;
use crate::desk::recipient::{self, Target};
use crate::desk::thread::Bond;
use crate::intake::StoredDirectory;
use crate::metrics::Refusal;
use crate::mime::report::{Action, Report};
use crate::store::tables::MESSAGE_IDS;
use crate::store::{Read, Tx};

/// Mail at the envelope sender of a copy: a report on it (RFC 3464), or a vacation notice.
pub(super) fn at_copy(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    copy: CopyId,
    raw: RawId,
) -> Result<Arrival, ActionError> {
    let copy = copies::get(tx, copy)?;
    let ticket = find::ticket_by_id(tx, copy.ticket)?;
    let Some(report) = &mail.understood.report else {
        let reason = mail.machine.and_then(|(_, reason)| reason).unwrap_or(Reason::AutoReply);
        let property = find::property_by_id(tx, copy.property)?;
        return arrival::keep_on(tx, act, mail, property, ticket, &copy.to, raw, reason);
    };
    for recipient in &report.recipients {
        let who = recipient.final_recipient.as_ref().or(recipient.original_recipient.as_ref());
        let words = words(&recipient.status, &recipient.diagnostic);
        // A forwarder or a list reports for its own readers: that says nothing of our copy's.
        let about_copy = who == Some(&copy.to);
        match recipient.action {
            Action::Failed if about_copy => copies::reported(tx, act, copy.id, true, &words)?,
            Action::Delayed if about_copy => copies::reported(tx, act, copy.id, false, &words)?,
            Action::Failed | Action::Delayed => {
                bounce_event(tx, act, ticket.id, who.unwrap_or(&copy.to), &words)?;
            }
            Action::Delivered | Action::Relayed | Action::Expanded => {}
        }
    }
    Ok(Arrival::Filed(ticket.reference, Counts::default()))
}

/// A report that came to a property's own address: found by the identifier of what it reports on,
/// an event there and no more, since anybody can write one.
pub(super) fn elsewhere(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    report: &Report,
) -> Result<Arrival, ActionError> {
    let minted = report.original_id.as_ref().map(|id| minted(tx, property, id)).transpose()?.flatten();
    let Some(ticket) = minted else {
        return Ok(Arrival::Refused(
            Rejection::new(550, (5, 7, 1), "this delivery report is about no message that this server sent")
                .because(Refusal::Report),
        ));
    };
    let ticket = find::ticket_by_id(tx, ticket)?;
    for recipient in &report.recipients {
        let who = recipient.final_recipient.as_ref().or(recipient.original_recipient.as_ref());
        let words = words(&recipient.status, &recipient.diagnostic);
        if let (Some(who), Action::Failed | Action::Delayed) = (who, recipient.action) {
            bounce_event(tx, act, ticket.id, who, &words)?;
        }
    }
    Ok(Arrival::Filed(ticket.reference, Counts::default()))
}

/// A copy of ours that a support mailbox forwarded back: an event, and nothing else.
pub(super) fn returned(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    property: &Property,
) -> Result<Option<Arrival>, ActionError> {
    let understood = mail.understood;
    let own = property.forwarding_address(act.desk.domains.first());
    let looped =
        understood.loop_headers.iter().any(|value| value.trim().parse().is_ok_and(|value: Address| value == own));
    let by_id = understood.message_id.as_ref().map(|id| minted(tx, property, id)).transpose()?.flatten();
    if !looped && by_id.is_none() {
        return Ok(None);
    }
    let ticket = match by_id {
        Some(ticket) => Some(ticket),
        None => named_in_copy(tx, act, mail, property)?,
    };
    let Some(ticket) = ticket else {
        return Ok(Some(Arrival::Refused(
            Rejection::new(554, (5, 4, 6), "the message bears this server's own loop field: it goes round in circles")
                .because(Refusal::Loop),
        )));
    };
    let ticket = find::ticket_by_id(tx, ticket)?;
    let event = Event {
        what: What::Returned,
        from: mail.envelope.reverse_path.as_ref().map(ToString::to_string),
        to: understood.message_id.as_ref().map(ToString::to_string),
    };
    state::event_by(tx, act, &ticket, Author::System, event)?;
    Ok(Some(Arrival::Filed(ticket.reference, Counts::default())))
}

/// The ticket that a copy of ours names in its Reply-To or its ancestors.
fn named_in_copy(
    tx: &impl Read,
    act: &Act<'_>,
    mail: &Mail<'_>,
    property: &Property,
) -> Result<Option<TicketId>, ActionError> {
    let directory = StoredDirectory { tx, postmaster: None };
    for mailbox in &mail.understood.reply_to {
        let target = recipient::resolve(&mailbox.address, &act.desk.domains, &act.desk.keys, &directory)?;
        if let Ok(Target::Reply(of, token)) = target
            && of == property.id
        {
            return Ok(Some(token.ticket));
        }
    }
    for id in mail.understood.in_reply_to.iter().chain(mail.understood.references.iter().rev()) {
        if let Some(ticket) = minted(tx, property, id)? {
            return Ok(Some(ticket));
        }
    }
    Ok(None)
}

/// The ticket of the entry whose copies bear an identifier.
fn minted(tx: &impl Read, property: &Property, id: &MessageId) -> Result<Option<TicketId>, ActionError> {
    let bearers = tx.get(&MESSAGE_IDS, &(property.id, id.clone()))?.unwrap_or_default();
    Ok(bearers.iter().find(|bearer| bearer.bond == Bond::Minted).map(|bearer| bearer.ticket))
}

fn bounce_event(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: TicketId,
    who: &Address,
    words: &str,
) -> Result<(), ActionError> {
    let ticket = find::ticket_by_id(tx, ticket)?;
    let event = Event { what: What::Bounce, from: Some(who.to_string()), to: Some(words.to_owned()) };
    state::event_by(tx, act, &ticket, Author::System, event)?;
    Ok(())
}

/// The status code with the remote's own words.
fn words(status: &str, diagnostic: &str) -> String {
    if diagnostic.is_empty() { status.to_owned() } else { diagnostic.to_owned() }
}
