//! Mail that only reports on mail of ours: delivery reports, and copies that came back.

use super::arrival;
use super::{Arrival, Counts, Mail, Rejection};
use crate::actions::{Act, ActionError, copies, find, state};
use crate::desk::address::{Address, Mailbox};
use crate::desk::entry::{Author, Event, Reason, What};
use crate::desk::envelope::Envelope;
use crate::desk::id::{CopyId, RawId, TicketId};
use crate::desk::message_id::MessageId;
use crate::desk::property::Property;
use crate::desk::recipient::{self, Target};
use crate::desk::thread::Bond;
use crate::intake::StoredDirectory;
use crate::metrics::Refusal;
use crate::mime::report::{self, Action, Form, Recipient, Report};
use crate::mime::understand::Understood;
use crate::store::tables::MESSAGE_IDS;
use crate::store::{Read, Tx};

/// The most events that one report makes.
const MOST_EVENTS: usize = 10;

/// A mail's delivery report. One in prose is believed to be one only from `<>`, or from a server's own
/// address: anybody may write about mail that was not delivered.
pub(super) fn believed<'a>(understood: &'a Understood, from: &Mailbox, envelope: &Envelope) -> Option<&'a Report> {
    let by_server = || envelope.reverse_path.is_none() || report::is_server(&from.address);
    understood.report.as_ref().filter(|report| report.form == Form::Status || by_server())
}

/// Mail at the envelope sender of a copy: a report on it (RFC 3464), or a vacation notice.
pub(super) fn at_copy(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    copy: CopyId,
    raw: RawId,
) -> Result<Arrival, ActionError> {
    // A restored backup knows nothing of what was sent after it was made.
    let Some(copy) = find::there(copies::get(tx, copy))? else { return Ok(unknown()) };
    let ticket = find::ticket_by_id(tx, copy.ticket)?;
    let Some(report) = mail.report else {
        let reason = mail.machine.and_then(|(_, reason)| reason).unwrap_or(Reason::AutoReply);
        let property = find::property_by_id(tx, copy.property)?;
        return arrival::keep_on(tx, act, mail, property, ticket, &copy.to, raw, reason);
    };
    // A forwarder or a list reports for its own readers: that says nothing of our copy's.
    let (about_copy, others): (Vec<_>, Vec<_>) =
        report.recipients.iter().partition(|recipient| who(recipient) == Some(&copy.to));
    let said = |action| about_copy.iter().find(|recipient| recipient.action == action);
    if let Some(failed) = said(Action::Failed) {
        copies::reported(tx, act, copy.id, true, &words(failed))?;
    } else if let Some(delayed) = said(Action::Delayed) {
        copies::reported(tx, act, copy.id, false, &words(delayed))?;
    } else if let Some(recipient) = about_copy.first() {
        noted(tx, act, ticket.id, &copy.to, recipient)?;
    }
    // Prose that names the reader may name its own postmaster besides.
    let others = others.iter().filter(|_| report.form == Form::Status || about_copy.is_empty());
    for recipient in others.take(MOST_EVENTS) {
        noted(tx, act, ticket.id, who(recipient).unwrap_or(&copy.to), recipient)?;
    }
    // It names nobody: what it says is there to be read.
    if report.recipients.is_empty() {
        let property = find::property_by_id(tx, copy.property)?;
        return arrival::keep_on(tx, act, mail, property, ticket, &copy.to, raw, Reason::Bounce);
    }
    Ok(Arrival::Filed(ticket.reference, Counts::default()))
}

/// A report that came to a property's own address: found by the identifier of what it reports on,
/// an event there and no more, since anybody can write one. One about no mail of ours is refused;
/// where it is in prose, it is left to the marks.
pub(super) fn elsewhere(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    report: &Report,
) -> Result<Option<Arrival>, ActionError> {
    let known = report.original_id.as_ref().map(|id| minted(tx, property, id)).transpose()?.flatten();
    let Some(ticket) = known else { return Ok((report.form == Form::Status).then(unknown)) };
    let ticket = find::ticket_by_id(tx, ticket)?;
    let named = report.recipients.iter().filter_map(|recipient| Some((who(recipient)?, recipient)));
    for (who, recipient) in named.take(MOST_EVENTS) {
        noted(tx, act, ticket.id, who, recipient)?;
    }
    Ok(Some(Arrival::Filed(ticket.reference, Counts::default())))
}

/// The refusal of what reports on nothing that we know of.
fn unknown() -> Arrival {
    Arrival::Refused(
        Rejection::new(550, (5, 7, 1), "this delivery report is about no message that this server sent")
            .because(Refusal::Report),
    )
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
    let ticket = ticket.map(|ticket| find::there(find::ticket_by_id(tx, ticket))).transpose()?.flatten();
    let Some(ticket) = ticket else {
        return Ok(Some(Arrival::Refused(
            Rejection::new(554, (5, 4, 6), "the message bears this server's own loop field: it goes round in circles")
                .because(Refusal::Loop),
        )));
    };
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
pub(super) fn minted(tx: &impl Read, property: &Property, id: &MessageId) -> Result<Option<TicketId>, ActionError> {
    let bearers = tx.get(&MESSAGE_IDS, &(property.id, id.clone()))?.unwrap_or_default();
    Ok(bearers.iter().find(|bearer| bearer.bond == Bond::Minted).map(|bearer| bearer.ticket))
}

/// What a report says of somebody, as an event and no more.
fn noted(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: TicketId,
    who: &Address,
    recipient: &Recipient,
) -> Result<(), ActionError> {
    let what = match recipient.action {
        Action::Failed | Action::Delayed => What::Bounce,
        Action::Delivered | Action::Relayed | Action::Expanded => What::Delivered,
    };
    let ticket = find::ticket_by_id(tx, ticket)?;
    let event = Event { what, from: Some(who.to_string()), to: Some(words(recipient)) };
    state::event_by(tx, act, &ticket, Author::System, event)?;
    Ok(())
}

fn who(recipient: &Recipient) -> Option<&Address> {
    recipient.final_recipient.as_ref().or(recipient.original_recipient.as_ref())
}

/// The remote's own words, else the status code.
fn words(recipient: &Recipient) -> String {
    if recipient.diagnostic.is_empty() { recipient.status.clone() } else { recipient.diagnostic.clone() }
}
