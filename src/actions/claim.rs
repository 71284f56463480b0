//! An address that a member wrote from becomes one of his: he says so, and who reads its mail says so
//! too.

use jiff::{SignedDuration, Timestamp};

use super::{Act, ActionError, copies, find, member, notices, state};
use crate::desk::address::Address;
use crate::desk::copy::{Content, Scope};
use crate::desk::decision::Decision;
use crate::desk::entry::{Entry, Reason, What};
use crate::desk::fanout::Reader;
use crate::desk::id::{ClaimId, MemberId};
use crate::desk::letter::Letter;
use crate::desk::member::{AddressClaim, Member};
use crate::desk::property::Property;
use crate::desk::ticket::{Person, Ticket};
use crate::desk::token::ClaimToken;
use crate::store::tables::{CLAIM_IDS, CLAIMS, ENTRIES, MEMBERS};
use crate::store::{Order, Read, StoreError, Tx};

/// How long the address may answer.
const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The least time between two letters to one address for one member, and the time that his letters
/// are counted for.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The most letters that one member causes in that time.
const MOST_LETTERS: usize = 5;
/// The most addresses that are remembered of one member; of those that were never asked the oldest
/// go first.
const MOST: usize = 50;

/// What is known of the addresses that one member may have, oldest first.
pub fn of(tx: &impl Read, member: MemberId) -> Result<Vec<(ClaimId, AddressClaim)>, StoreError> {
    let all = tx.starting(&CLAIMS, (member,), Order::Up, usize::MAX)?;
    Ok(all.into_iter().map(|((_, id), claim)| (id, claim)).collect())
}

/// The addresses of a member that were asked and may still say yes.
pub fn pending(tx: &impl Read, member: MemberId, now: Timestamp) -> Result<Vec<AddressClaim>, StoreError> {
    Ok(of(tx, member)?.into_iter().map(|(_, claim)| claim).filter(|claim| claim.is_pending(now)).collect())
}

/// The address that a held entry came from, if its member could make it his.
fn claimable(tx: &impl Read, act: &Act<'_>, entry: &Entry, member: &Member) -> Result<Option<Address>, ActionError> {
    let Some(from) = entry.author.mailbox().filter(|_| entry.reason == Some(Reason::UnknownAddress)) else {
        return Ok(None);
    };
    // Whoever answers from a list is another member.
    if member.list || member.has(&from.address) {
        return Ok(None);
    }
    match member::is_free(tx, act, &from.address) {
        Ok(()) => Ok(Some(from.address.clone())),
        Err(ActionError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// The same, where he was not told yet that he can; it is written down that he is now.
pub(super) fn tell_once(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    entry: &Entry,
    member: &Member,
) -> Result<Option<Address>, ActionError> {
    let Some(address) = claimable(tx, act, entry, member)? else { return Ok(None) };
    let known = of(tx, member.id)?;
    if known.iter().any(|(_, claim)| claim.address == address) {
        return Ok(None);
    }
    if known.len() >= MOST {
        let Some((id, _)) = known.iter().find(|(_, claim)| claim.asked_at.is_none()) else { return Ok(None) };
        tx.delete(&CLAIMS, &(member.id, *id));
    }
    let id = ClaimId(tx.allocate(&CLAIM_IDS, &())?);
    let claim = AddressClaim {
        address: address.clone(),
        ticket: entry.ticket,
        entry: entry.id,
        told_at: act.now,
        asked_at: None,
        expires_at: None,
    };
    tx.put(&CLAIMS, &(member.id, id), &claim)?;
    Ok(Some(address))
}

/// Asks the address that a held entry came from whether it is this member's, since he says so.
/// Answers `false`, and does nothing, where he was not told that he could say it of this entry.
pub(super) fn ask(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    property: &Property,
    entry: &mut Entry,
    member: &Member,
) -> Result<bool, ActionError> {
    let Some(address) = claimable(tx, act, entry, member)? else { return Ok(false) };
    let known = of(tx, member.id)?;
    let Some((id, mut claim)) = known.iter().find(|(_, claim)| claim.address == address).cloned() else {
        return Ok(false);
    };
    let lately = |claim: &AddressClaim| claim.asked_at.is_some_and(|at| act.now.duration_since(at) < DAY);
    if lately(&claim) || known.iter().filter(|(_, claim)| lately(claim)).count() >= MOST_LETTERS {
        return Ok(true);
    }
    claim.asked_at = Some(act.now);
    claim.expires_at = act.now.checked_add(LIFETIME).ok();
    (claim.ticket, claim.entry) = (entry.ticket, entry.id);
    tx.put(&CLAIMS, &(member.id, id), &claim)?;
    let letter = Letter::claim(property.language, &address, &member.mailbox(), &property.name, id);
    let reader = Reader { person: Person::Member(member.id), address, scope: Scope::Note };
    let copy = copies::queue_content(tx, act, entry, property.id, reader, Content::Letter(letter))?;
    entry.copies.push(copy);
    tx.put(&ENTRIES, &(entry.ticket, entry.id), entry)?;
    Ok(true)
}

/// The claim that a token names.
pub fn get(tx: &impl Read, token: ClaimToken) -> Result<Option<AddressClaim>, StoreError> {
    tx.get(&CLAIMS, &(token.member, token.claim))
}

/// What the address says. A yes within its time makes it the member's, if it is nobody else's by
/// then; a no ends the matter; anything else changes nothing.
pub fn answered(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    ticket: &Ticket,
    token: ClaimToken,
    decision: Option<Decision>,
) -> Result<(), ActionError> {
    let Some(mut claim) = get(tx, token)?.filter(|claim| claim.is_pending(act.now)) else { return Ok(()) };
    let key = (token.member, token.claim);
    match decision {
        None => {}
        Some(Decision::No) => {
            claim.expires_at = None;
            tx.put(&CLAIMS, &key, &claim)?;
        }
        Some(Decision::Yes | Decision::Always) => {
            let mut member = find::member_by_id(tx, token.member)?;
            if member.removed {
                return Ok(());
            }
            match member::add_alias(tx, act, &mut member, claim.address.clone()) {
                Ok(()) => {}
                Err(ActionError::Store(error)) => return Err(error.into()),
                // It became somebody's meanwhile; its time runs out.
                Err(_) => return Ok(()),
            }
            tx.delete(&CLAIMS, &key);
            tx.put(&MEMBERS, &member.id, &member)?;
            let (login, address) = (member.login.to_string(), claim.address.to_string());
            state::event(tx, act, ticket, What::Address, Some(login), Some(address))?;
            if member.is_of(ticket.property)
                && let Some(mut entry) = tx.get(&ENTRIES, &(ticket.id, claim.entry))?
            {
                let language = find::property_by_id(tx, ticket.property)?.language;
                let letter = Letter::claimed(language, &claim.address, &member.login);
                notices::send(tx, act, ticket, &mut entry, &member, letter)?;
            }
        }
    }
    Ok(())
}

/// Takes back what a member said of an address; whether there was anything pending.
pub(super) fn withdraw(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    member: MemberId,
    address: &Address,
) -> Result<bool, StoreError> {
    for (id, mut claim) in of(tx, member)? {
        if claim.address == *address && claim.is_pending(act.now) {
            claim.expires_at = None;
            tx.put(&CLAIMS, &(member, id), &claim)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets everything about the addresses of a member who is removed.
pub(super) fn forget(tx: &mut Tx<'_>, member: MemberId) -> Result<(), StoreError> {
    for (id, _) in of(tx, member)? {
        tx.delete(&CLAIMS, &(member, id));
    }
    Ok(())
}
