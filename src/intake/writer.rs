//! Who wrote a message (`docs/mail.md`, Who wrote it).

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;

use super::{Mail, Rejection};
use crate::actions::{ActionError, Desk, find};
use crate::desk::address::{Address, Mailbox};
use crate::desk::authority::Writer;
use crate::desk::envelope::Envelope;
use crate::desk::id::PropertyId;
use crate::desk::member::Member;
use crate::desk::message_id::MessageId;
use crate::desk::property::Property;
use crate::desk::recipient::Target;
use crate::desk::subject::is_forward;
use crate::desk::verdict::Verdict;
use crate::metrics::Refusal;
use crate::mime::understand::{Forwarded, Problem, Understood};
use crate::store::Read;

/// The one mailbox in From. More or fewer are refused: nobody could say who speaks.
///
/// A report from `<>` whose From can't be read is taken all the same, as the postmaster's of the
/// host that sent it: refused, it would be lost (RFC 5321 §6.1).
pub fn from(understood: &Understood, envelope: &Envelope) -> Result<Mailbox, Rejection> {
    match one(understood) {
        Some(one) => Ok(one.clone()),
        None if envelope.reverse_path.is_none() && understood.from.len() <= 1 => {
            let postmaster = || format!("postmaster@{}", envelope.helo).parse().ok();
            let fallback = || postmaster().map(|address| Mailbox::new("", address));
            understood.from.first().cloned().or_else(fallback).ok_or_else(refused)
        }
        None => Err(refused()),
    }
}

/// The one mailbox in the one From field.
pub fn one(understood: &Understood) -> Option<&Mailbox> {
    match understood.from.as_slice() {
        [one] if understood.from_fields == 1 && !understood.problems.contains(&Problem::GroupFrom) => Some(one),
        _ => None,
    }
}

pub fn refused() -> Rejection {
    Rejection::new(550, (5, 7, 1), "the message needs exactly one From field with exactly one address")
        .because(Refusal::Writer)
}

/// Who a message is from, after the forms and groups that a property trusts, and what he is to it.
pub struct Author {
    pub mailbox: Mailbox,
    pub writer: Writer,
    /// Whether his domain vouches for him, for somebody outside also by the word of a forwarder that
    /// the property believes; never for one whom a form or group only names.
    pub aligned: bool,
    /// The property's own mailbox handed his message on by itself: the message is what it handed on.
    pub handed_on: bool,
}

impl Author {
    /// A member who is logged in, as he is seen in a property.
    pub fn logged_in(tx: &impl Read, member: &Member, property: PropertyId) -> Result<Self, ActionError> {
        let writer = if member.is_of(property) {
            Writer::Member(member.id)
        } else {
            Writer::Outside(find::contact_at(tx, &member.login)?.map(|contact| contact.id))
        };
        Ok(Self { mailbox: member.mailbox(), writer, aligned: true, handed_on: false })
    }
}

/// Finds out who wrote a message for one property.
pub fn author(tx: &impl Read, desk: &Desk, property: &Property, mail: &Mail<'_>) -> Result<Author, ActionError> {
    let from = &mail.from;
    let aligned = mail.verdict.is_some_and(Verdict::is_aligned);
    // A forwarder's word opens no door that only members go through: it counts for others.
    let vouched = |verdict: &Verdict| verdict.vouched(&property.forwarders).is_some();
    let proven = aligned || mail.verdict.is_some_and(vouched);
    let of_desk = desk.is_local(&from.address);
    let of_property = is_of(tx, desk, property, &from.address)?;
    if proven && (of_property || property.trusted.contains(&from.address)) {
        let named = mail.understood.original_from.as_ref().or(match mail.understood.reply_to.as_slice() {
            [one] if one.address != from.address => Some(one),
            _ => None,
        });
        // A rule of the support mailbox that forwards, and does not redirect: the mail is the
        // mailbox's, the message in it the customer's.
        let forwarded = forwarded(mail).filter(|forwarded| of_property && forwarded.well_formed);
        let original = named.or(forwarded.map(|forwarded| &forwarded.from));
        if let Some(original) = original
            && find::is_outside(tx, desk, property.id, &original.address)?
        {
            let contact = find::contact_at(tx, &original.address)?.map(|contact| contact.id);
            let writer = Writer::Outside(contact);
            return Ok(Author { mailbox: original.clone(), writer, aligned: false, handed_on: named.is_none() });
        }
    }
    let writer = match find::member_at(tx, property.id, &from.address)? {
        Some(member) if member.list => Writer::Outside(None),
        Some(member) => Writer::Member(member.id),
        None if of_property || of_desk => Writer::Property,
        None => Writer::Outside(find::contact_at(tx, &from.address)?.map(|contact| contact.id)),
    };
    let aligned = match writer {
        Writer::Outside(_) => proven,
        Writer::Member(_) => aligned,
        // We sign for every property alike: whoever got a copy from another one could send it on.
        Writer::Property => aligned && of_property,
    };
    Ok(Author { mailbox: from.clone(), writer, aligned, handed_on: false })
}

/// Whether an address is a property's or its departments'.
pub fn is_of(tx: &impl Read, desk: &Desk, property: &Property, address: &Address) -> Result<bool, ActionError> {
    if property.public.as_ref() == Some(address) {
        return Ok(true);
    }
    if !desk.is_local(address) {
        return Ok(false);
    }
    Ok(match super::resolve(tx, desk, address)? {
        Ok(Target::Property(id) | Target::Department(id, _)) => id == property.id,
        Ok(Target::Reply(..) | Target::Bounce(_) | Target::Confirm(_) | Target::Claim(_)) | Err(_) => false,
    })
}

/// The message that a mail hands on, if its subject says that it does.
pub fn forwarded<'a>(mail: &Mail<'a>) -> Option<&'a Forwarded> {
    mail.understood.forwarded.as_ref().filter(|_| is_forward(&mail.understood.subject))
}

/// The sender's Message-ID, or one made of what the message says: so a second arrival of the same
/// message gets the same.
pub fn message_id(understood: &Understood, desk: &Desk) -> MessageId {
    if let Some(id) = &understood.message_id {
        return id.clone();
    }
    let Some(date) = understood.date else { return desk.mint() };
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(date.to_string().as_bytes());
    for mailbox in understood.from.iter().chain(&understood.to).chain(&understood.cc) {
        hash.update(mailbox.address.key().as_bytes());
        hash.update(b"\n");
    }
    hash.update(understood.subject.as_bytes());
    hash.update(understood.text.new.as_bytes());
    let hash = hash.finish();
    let name = BASE32_NOPAD.encode(&hash.as_ref()[..20]).to_ascii_lowercase();
    format!("{name}@{}", desk.hostname).parse().unwrap_or_else(|_| desk.mint())
}
