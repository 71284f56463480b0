//! Whether a message may speak for the one it says it is from (`docs/mail.md`, What it may do).

use super::copy::Scope;
use super::entry::{Reason, Verified};
use super::id::{ContactId, MemberId};
use super::login::Login;
use super::thread::Found;

/// Who From is, by address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// An address of a member of this property.
    Member(MemberId),
    /// An address of the property, or of another one: only of its own is a claim ever aligned.
    Property,
    /// Anybody else; the contact, if the address is known.
    Outside(Option<ContactId>),
}

/// For whom the reply address in the envelope was made, if it still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Member { id: MemberId, list: bool, scope: Scope },
    Contact { id: ContactId },
}

/// Whether the message hands on another, of somebody who could be a requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandsOn {
    Nothing,
    /// It names him, but not as mail clients do.
    Unclear,
    /// It names him, a date and a subject, as they do.
    Clear,
}

/// Everything that bears on the question, for mail that came in on port 25.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub writer: Writer,
    /// An SPF or DKIM pass is aligned with From's domain.
    pub aligned: bool,
    /// The property takes an aligned From as no proof of a member.
    pub strict: bool,
    pub holder: Option<Holder>,
    /// How else than by a reply address the ticket was found; `None` where it was not, so that
    /// without a holder it is a new one.
    pub found: Option<Found>,
    /// The writer is an accepted contact of the ticket.
    pub takes_part: bool,
    /// The answered entry named the writer in To or Cc.
    pub named_by_parent: bool,
    /// What a member's new ticket would be: his own, or somebody else's.
    pub hands_on: HandsOn,
}

/// Proof that a member speaks, and what it rests on. Only the authority table and a login make one;
/// what goes out in a member's name takes it as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    member: MemberId,
    verified: Verified,
}

impl Speaker {
    /// Whoever is logged in.
    #[must_use]
    pub fn logged_in(login: &Login) -> Self {
        Self { member: login.member(), verified: Verified::Submission }
    }

    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    #[must_use]
    pub fn verified(&self) -> Verified {
        self.verified
    }
}

/// What the message may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A public message or a note of this member.
    Member { speaker: Speaker, scope: Scope },
    /// A public message of a contact who takes part.
    Contact { verified: Verified },
    /// It opens the ticket and goes to members with a warning; the writer may become a participant.
    Unverified { propose: bool },
    /// It waits on the ticket; `ask` is the member whose own reply address it bore, or a list's that is
    /// his too, or for whom his domain vouches.
    Held { reason: Reason, ask: Option<MemberId> },
    /// A new ticket that nobody is told of: From says a member, and nothing proves it.
    Marked,
}

/// The authority table.
#[must_use]
pub fn decide(claim: &Claim) -> Authority {
    let own = |verified| move |member, scope| Authority::Member { speaker: Speaker { member, verified }, scope };
    match (claim.holder, claim.writer) {
        (Some(Holder::Member { id, list, scope }), writer) => {
            let speaker = match writer {
                Writer::Member(member) if list || member == id => Some(member),
                Writer::Property if !list => Some(id),
                _ => None,
            };
            match speaker {
                Some(member) if claim.aligned => own(Verified::Token)(member, scope),
                Some(member) => Authority::Held { reason: Reason::Unaligned, ask: Some(member) },
                None => Authority::Held { reason: Reason::UnknownAddress, ask: Some(id) },
            }
        }
        (holder, Writer::Member(member)) => match claim.found {
            Some(Found::Minted | Found::Entry | Found::Hint) if claim.aligned && !claim.strict => {
                own(Verified::Aligned)(member, Scope::Public)
            }
            // A number can be guessed, a contact's reply address is no proof of a member, and a strict
            // property wants his own: but his domain vouches for him, so he is told.
            Some(_) if claim.aligned => Authority::Held { reason: Reason::Unverified, ask: Some(member) },
            None if holder.is_some() && claim.aligned => {
                Authority::Held { reason: Reason::Unverified, ask: Some(member) }
            }
            None if holder.is_none() && claim.aligned && !claim.strict && claim.hands_on != HandsOn::Unclear => {
                own(Verified::Aligned)(member, Scope::Public)
            }
            // It would speak for two, so it waits for a yes even where only its From is known.
            None if holder.is_none() && claim.hands_on != HandsOn::Nothing => {
                Authority::Held { reason: Reason::Forward, ask: claim.aligned.then_some(member) }
            }
            None if holder.is_none() => Authority::Marked,
            _ => Authority::Held { reason: Reason::Unaligned, ask: None },
        },
        (None, Writer::Property) if claim.found.is_none() => Authority::Marked,
        (_, Writer::Property) => Authority::Held { reason: Reason::Unaligned, ask: None },
        (Some(Holder::Contact { id }), Writer::Outside(writer)) => {
            if writer == Some(id) {
                Authority::Contact { verified: Verified::Token }
            } else if claim.takes_part && claim.aligned {
                Authority::Contact { verified: Verified::Aligned }
            } else {
                Authority::Unverified { propose: claim.named_by_parent }
            }
        }
        (None, Writer::Outside(_)) => {
            let aligned_or = |other| if claim.aligned { Verified::Aligned } else { other };
            match claim.found {
                None => Authority::Contact { verified: aligned_or(Verified::None) },
                Some(Found::Minted) if claim.takes_part => {
                    Authority::Contact { verified: aligned_or(Verified::MintedId) }
                }
                Some(_) if claim.takes_part => Authority::Contact { verified: aligned_or(Verified::None) },
                Some(_) => Authority::Unverified { propose: claim.named_by_parent },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: MemberId = MemberId(1);
    const BOB: MemberId = MemberId(2);
    const CAROL: ContactId = ContactId(7);
    const DAVE: ContactId = ContactId(8);

    fn holder(list: bool) -> Holder {
        Holder::Member { id: ALICE, list, scope: Scope::Public }
    }

    fn speaks(member: MemberId, verified: Verified) -> Authority {
        Authority::Member { speaker: Speaker { member, verified }, scope: Scope::Public }
    }

    fn held(reason: Reason, ask: Option<MemberId>) -> Authority {
        Authority::Held { reason, ask }
    }

    #[test]
    fn each_row_of_the_table_and_its_nearest_neighbour() {
        let contact = Some(Holder::Contact { id: CAROL });
        let carol = Writer::Outside(Some(CAROL));
        let dave = Writer::Outside(Some(DAVE));
        let stranger = Writer::Outside(None);
        let base = Claim {
            writer: stranger,
            aligned: true,
            strict: false,
            holder: None,
            found: None,
            takes_part: false,
            named_by_parent: false,
            hands_on: HandsOn::Nothing,
        };
        let unaligned = Claim { aligned: false, ..base };
        for (row, claim, expected) in [
            (
                "member, his reply address",
                Claim { writer: Writer::Member(ALICE), holder: Some(holder(false)), ..base },
                speaks(ALICE, Verified::Token),
            ),
            (
                "the property's address, his reply address",
                Claim { writer: Writer::Property, holder: Some(holder(false)), ..base },
                speaks(ALICE, Verified::Token),
            ),
            (
                "the same in a strict property",
                Claim { writer: Writer::Member(ALICE), holder: Some(holder(false)), strict: true, ..base },
                speaks(ALICE, Verified::Token),
            ),
            (
                "the same unaligned",
                Claim { writer: Writer::Member(ALICE), holder: Some(holder(false)), ..unaligned },
                held(Reason::Unaligned, Some(ALICE)),
            ),
            (
                "another member with his reply address",
                Claim { writer: Writer::Member(BOB), holder: Some(holder(false)), ..base },
                held(Reason::UnknownAddress, Some(ALICE)),
            ),
            (
                "a stranger with his reply address",
                Claim { holder: Some(holder(false)), ..base },
                held(Reason::UnknownAddress, Some(ALICE)),
            ),
            (
                "an unaligned stranger with his reply address",
                Claim { holder: Some(holder(false)), ..unaligned },
                held(Reason::UnknownAddress, Some(ALICE)),
            ),
            (
                "list reply address, any member",
                Claim { writer: Writer::Member(BOB), holder: Some(holder(true)), ..base },
                speaks(BOB, Verified::Token),
            ),
            (
                "list reply address, a member, unaligned",
                Claim { writer: Writer::Member(BOB), holder: Some(holder(true)), ..unaligned },
                held(Reason::Unaligned, Some(BOB)),
            ),
            (
                "list reply address, a stranger",
                Claim { holder: Some(holder(true)), ..base },
                held(Reason::UnknownAddress, Some(ALICE)),
            ),
            (
                "list reply address, the property",
                Claim { writer: Writer::Property, holder: Some(holder(true)), ..base },
                held(Reason::UnknownAddress, Some(ALICE)),
            ),
            (
                "member, by minted id",
                Claim { writer: Writer::Member(ALICE), found: Some(Found::Minted), ..base },
                speaks(ALICE, Verified::Aligned),
            ),
            (
                "member, by entry id",
                Claim { writer: Writer::Member(ALICE), found: Some(Found::Entry), ..base },
                speaks(ALICE, Verified::Aligned),
            ),
            (
                "the same in a strict property",
                Claim { writer: Writer::Member(ALICE), found: Some(Found::Minted), strict: true, ..base },
                held(Reason::Unverified, Some(ALICE)),
            ),
            (
                "the same unaligned",
                Claim { writer: Writer::Member(ALICE), found: Some(Found::Minted), ..unaligned },
                held(Reason::Unaligned, None),
            ),
            (
                "member, by a guessed number",
                Claim { writer: Writer::Member(ALICE), found: Some(Found::Subject), ..base },
                held(Reason::Unverified, Some(ALICE)),
            ),
            (
                "member, a contact's reply address alone",
                Claim { writer: Writer::Member(ALICE), holder: contact, ..base },
                held(Reason::Unverified, Some(ALICE)),
            ),
            (
                "member, a contact's reply address and a minted id",
                Claim { writer: Writer::Member(ALICE), holder: contact, found: Some(Found::Minted), ..base },
                speaks(ALICE, Verified::Aligned),
            ),
            (
                "unaligned member, a contact's reply address",
                Claim { writer: Writer::Member(ALICE), holder: contact, ..unaligned },
                held(Reason::Unaligned, None),
            ),
            ("member, bare address", Claim { writer: Writer::Member(ALICE), ..base }, speaks(ALICE, Verified::Aligned)),
            ("unaligned member, bare address", Claim { writer: Writer::Member(ALICE), ..unaligned }, Authority::Marked),
            (
                "member, bare address, strict",
                Claim { writer: Writer::Member(ALICE), strict: true, ..base },
                Authority::Marked,
            ),
            (
                "member, a customer's mail handed on",
                Claim { writer: Writer::Member(ALICE), hands_on: HandsOn::Clear, ..base },
                speaks(ALICE, Verified::Aligned),
            ),
            (
                "the same, but not as clients write it",
                Claim { writer: Writer::Member(ALICE), hands_on: HandsOn::Unclear, ..base },
                held(Reason::Forward, Some(ALICE)),
            ),
            (
                "the same, strict",
                Claim { writer: Writer::Member(ALICE), hands_on: HandsOn::Clear, strict: true, ..base },
                held(Reason::Forward, Some(ALICE)),
            ),
            (
                "the same, unaligned",
                Claim { writer: Writer::Member(ALICE), hands_on: HandsOn::Clear, ..unaligned },
                held(Reason::Forward, None),
            ),
            (
                "a contact who hands somebody's mail on",
                Claim { writer: carol, hands_on: HandsOn::Clear, ..base },
                Authority::Contact { verified: Verified::Aligned },
            ),
            ("the property's address, bare", Claim { writer: Writer::Property, ..base }, Authority::Marked),
            (
                "the property's address, by minted id",
                Claim { writer: Writer::Property, found: Some(Found::Minted), ..base },
                held(Reason::Unaligned, None),
            ),
            (
                "contact, his reply address",
                Claim { writer: carol, holder: contact, ..unaligned },
                Authority::Contact { verified: Verified::Token },
            ),
            (
                "contact, by minted id",
                Claim { writer: carol, found: Some(Found::Minted), takes_part: true, ..unaligned },
                Authority::Contact { verified: Verified::MintedId },
            ),
            (
                "contact, by entry id",
                Claim { writer: carol, found: Some(Found::Entry), takes_part: true, ..unaligned },
                Authority::Contact { verified: Verified::None },
            ),
            (
                "contact, by number",
                Claim { writer: carol, found: Some(Found::Subject), takes_part: true, ..base },
                Authority::Contact { verified: Verified::Aligned },
            ),
            (
                "another with the contact's reply address",
                Claim { writer: dave, holder: contact, ..base },
                Authority::Unverified { propose: false },
            ),
            (
                "another accepted one with it",
                Claim { writer: dave, holder: contact, takes_part: true, ..base },
                Authority::Contact { verified: Verified::Aligned },
            ),
            (
                "the same unaligned",
                Claim { writer: dave, holder: contact, takes_part: true, ..unaligned },
                Authority::Unverified { propose: false },
            ),
            (
                "a colleague whom the parent named",
                Claim { writer: dave, found: Some(Found::Entry), named_by_parent: true, ..base },
                Authority::Unverified { propose: true },
            ),
            (
                "a stolen minted id",
                Claim { found: Some(Found::Minted), ..base },
                Authority::Unverified { propose: false },
            ),
            ("bare address, no member", unaligned, Authority::Contact { verified: Verified::None }),
            ("bare address, no member, aligned", base, Authority::Contact { verified: Verified::Aligned }),
        ] {
            assert_eq!(decide(&claim), expected, "{row}: {claim:?}");
        }
    }

    #[test]
    fn a_note_scoped_reply_address_makes_a_note() {
        let claim = Claim {
            writer: Writer::Member(ALICE),
            aligned: true,
            strict: false,
            holder: Some(Holder::Member { id: ALICE, list: false, scope: Scope::Note }),
            found: Some(Found::Minted),
            takes_part: false,
            named_by_parent: false,
            hands_on: HandsOn::Nothing,
        };
        assert_eq!(
            decide(&claim),
            Authority::Member { speaker: Speaker { member: ALICE, verified: Verified::Token }, scope: Scope::Note }
        );
    }
}
