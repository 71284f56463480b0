//! An address that a member wrote from becomes one of his: he says so, and who reads its mail says so
//! too.

use jiff::{SignedDuration, Timestamp};

use super::{Act, ActionError, copies, find, member, notices, post, state};
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
use crate::desk::verdict::Verdict;
use crate::store::tables::{CLAIM_IDS, CLAIMS, ENTRIES, MEMBERS};
use crate::store::{Order, Read, StoreError, Tx};

/// How long the address may answer.
const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The least time between two letters to one address for one member, and the time that his letters
/// are counted for.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// The most letters that one member causes in that time.
const MOST_LETTERS: usize = 5;
/// The most addresses that are remembered of one member; the oldest that wait for nothing go first.
const MOST: usize = 50;

impl AddressClaim {
    /// Whether a letter went to the address within a day.
    fn was_asked_lately(&self, now: Timestamp) -> bool {
        self.asked_at.is_some_and(|at| now.duration_since(at) < DAY)
    }
}

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
    // Whoever answers from a list is another member. And an address for which nothing vouches could
    // not speak for him: whatever came from it would be held again.
    let aligned = entry.verdict.as_ref().is_some_and(Verdict::is_aligned);
    if member.list || !aligned || member.has(&from.address) {
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
        let idle = |claim: &AddressClaim| !claim.is_pending(act.now) && !claim.was_asked_lately(act.now);
        let Some((id, _)) = known.iter().find(|(_, claim)| idle(claim)) else { return Ok(None) };
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
    let today = known.iter().filter(|(_, claim)| claim.was_asked_lately(act.now)).count();
    if claim.was_asked_lately(act.now) || today >= MOST_LETTERS {
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
            claim.expires_at = None;
            tx.put(&CLAIMS, &key, &claim)?;
            tx.put(&MEMBERS, &member.id, &member)?;
            let (login, address) = (member.login.to_string(), claim.address.to_string());
            let own = act.with_actor(post::as_member(&member));
            state::event(tx, &own, ticket, What::Address, Some(login), Some(address))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::post::Standpoint;
    use crate::actions::testing::{Office, address, content};
    use crate::actions::{held, member};
    use crate::desk::address::Mailbox;
    use crate::desk::entry::{Author, State, Verified};
    use crate::desk::fanout::Voice;
    use crate::desk::letter::Letter;
    use crate::desk::token::ConfirmToken;
    use crate::desk::verdict::Outcome;

    /// A mail to Alice's reply address on the ticket, from another address; its entry.
    async fn from(office: &Office, ticket: &Ticket, name: &str, aligned: bool) -> Entry {
        office
            .act(|tx, act| {
                let alice = find::member(tx, "alice")?;
                let property = find::property_by_id(tx, ticket.property)?;
                let mailbox = Mailbox::new("", address(name));
                let contact = post::contact_for(tx, act, &mailbox)?;
                let standpoint = Standpoint {
                    author: Author::Person { person: Person::Contact(contact), mailbox },
                    voice: Voice::Contact { to_contacts: false },
                    addresses: Vec::new(),
                    verified: Verified::None,
                    invited: true,
                    scope: Scope::Public,
                    state: State::Held,
                    reason: Some(Reason::UnknownAddress),
                    warning: None,
                    machine: None,
                    parent: None,
                    claims: Some(alice.id),
                    turn: 0,
                    hands_on: false,
                    obeyed: None,
                };
                let spf = if aligned { Outcome::Pass } else { Outcome::Fail };
                let mut content = content(tx, act)?;
                content.verdict = Some(Verdict { spf, spf_aligned: true, ..Verdict::default() });
                let before = find::ticket_by_id(tx, ticket.id)?;
                let mut after = before.clone();
                let mut entry = post::add(tx, act, &property, Some(&before), &mut after, content, standpoint)?;
                notices::held(tx, act, &after, &mut entry, alice.id)?;
                Ok(entry)
            })
            .await
            .unwrap()
    }

    /// Alice's answer to what she was asked about the entry.
    async fn answer(office: &Office, entry: &Entry, decision: Decision) {
        office
            .act(|tx, act| {
                let member = find::member(tx, "alice")?.id;
                let token = ConfirmToken { ticket: entry.ticket, entry: entry.id, member };
                held::decide(tx, act, token, Some(decision))
            })
            .await
            .unwrap();
    }

    /// What the desk wrote about an entry, and to whom.
    async fn letters(office: &Office, entry: &Entry) -> Vec<(String, Letter)> {
        let copies = office.act(|tx, _| {
            let entry = tx.get(&ENTRIES, &(entry.ticket, entry.id))?.expect("it was made");
            entry.copies.iter().map(|copy| copies::get(tx, *copy)).collect::<Result<Vec<_>, _>>()
        });
        let letter = |copy: crate::desk::copy::Copy| match copy.content {
            Content::Letter(letter) => Some((copy.to.to_string(), letter)),
            Content::Entry | Content::Conversation => None,
        };
        copies.await.unwrap().into_iter().filter_map(letter).collect()
    }

    async fn alices(office: &Office) -> (Member, Vec<AddressClaim>) {
        office
            .act(|tx, act| {
                let alice = find::member(tx, "alice")?;
                let pending = pending(tx, alice.id, act.now)?;
                Ok((alice, pending))
            })
            .await
            .unwrap()
    }

    fn hours(hours: i64) -> SignedDuration {
        SignedDuration::from_hours(hours)
    }

    #[tokio::test]
    async fn a_member_is_told_once_of_each_address_that_could_be_his() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        for (name, aligned, told) in [
            ("home", true, true),
            ("home", true, false),
            ("phone", true, true),
            ("forged", false, false),
            ("bob", true, false),
            ("forged", true, true),
        ] {
            let entry = from(&office, &ticket, name, aligned).await;
            let letters = letters(&office, &entry).await;
            assert_eq!(letters[0].1.text.contains("always"), told, "{name}: {}", letters[0].1.text);
            office.now += hours(1);
        }
    }

    #[tokio::test]
    async fn letters_to_an_address_are_one_a_day_and_a_members_few() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        let asked = async |office: &Office, name: &str| {
            let entry = from(office, &ticket, name, true).await;
            answer(office, &entry, Decision::Always).await;
            let entry = office.act(|tx, _| find::entry(tx, &ticket, entry.id)).await.unwrap();
            assert_eq!(entry.state, State::Relayed, "{name}: it goes out in any case");
            letters(office, &entry).await.iter().filter(|(to, _)| *to == address(name).to_string()).count()
        };
        assert_eq!(asked(&office, "home").await, 1);
        office.now += hours(1);
        assert_eq!(asked(&office, "home").await, 0, "asked today");
        for n in 0..4 {
            office.now += hours(1);
            assert_eq!(asked(&office, &format!("phone{n}")).await, 1, "{n}");
        }
        office.now += hours(1);
        assert_eq!(asked(&office, "phone9").await, 0, "five in a day are enough");
        office.now += hours(24);
        assert_eq!(asked(&office, "home").await, 1, "another day");
        assert_eq!(alices(&office).await.1.len(), 5);
    }

    #[tokio::test]
    async fn an_address_answers_within_a_week_and_may_be_withdrawn() {
        for (what, wait, withdrawn, decision, added) in [
            ("yes in time", hours(7 * 24) - SignedDuration::from_secs(1), false, Decision::Yes, true),
            ("yes too late", hours(7 * 24), false, Decision::Yes, false),
            ("no", hours(1), false, Decision::No, false),
            ("yes after it was withdrawn", hours(1), true, Decision::Yes, false),
        ] {
            let mut office = Office::open().await;
            let ticket = office.ticket("carol").await;
            let entry = from(&office, &ticket, "home", true).await;
            answer(&office, &entry, Decision::Always).await;
            let letters = letters(&office, &entry).await;
            let Some((_, Letter { answer: crate::desk::letter::Answer::Claim(claim), .. })) = letters.last() else {
                panic!("{what}: {letters:?}")
            };
            let (alice, pending) = alices(&office).await;
            assert_eq!(pending.len(), 1, "{what}");
            let token = ClaimToken { member: alice.id, claim: *claim };
            if withdrawn {
                let changes = member::Changes { remove_aliases: vec![address("home")], ..Default::default() };
                office.act(|tx, act| member::edit(tx, act, "alice", changes.clone())).await.unwrap();
                let again = office.act(|tx, act| member::edit(tx, act, "alice", changes.clone())).await;
                assert!(matches!(again, Err(ActionError::NotFound { .. })), "{what}");
            }
            office.now += wait;
            for decision in [decision, Decision::Yes] {
                office.act(|tx, act| answered(tx, act, &ticket, token, Some(decision))).await.unwrap();
            }
            let (alice, pending) = alices(&office).await;
            assert_eq!((alice.has(&address("home")), pending.len()), (added, 0), "{what}");
        }
    }

    #[tokio::test]
    async fn what_is_remembered_of_one_member_is_bounded_and_goes_with_him() {
        let mut office = Office::open().await;
        let ticket = office.ticket("carol").await;
        for n in 0..MOST + 5 {
            office.now += hours(1);
            from(&office, &ticket, &format!("home{n}"), true).await;
        }
        let known = |office: &Office| {
            let store = office.store.clone();
            store.read(|view| Ok::<_, StoreError>(view.range(&CLAIMS, .., Order::Up, 1_000)?.len())).unwrap()
        };
        assert_eq!(known(&office), MOST);
        office.act(|tx, act| member::remove(tx, act, "alice")).await.unwrap();
        assert_eq!(known(&office), 0);
    }
}
