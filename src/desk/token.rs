//! The tokens in our addresses: who may answer where, which copy bounced, which entry is released.
//!
//! A token is a few identifiers and an HMAC-SHA256 (RFC 2104) over them, cut to 112 bits, in
//! lower-case base32 (RFC 4648 §6) without padding. Each use has a key of its own, derived from
//! the secret, so that a token of one use is nothing in another. A token proves that we made it;
//! whether the person may still use it is the ticket's matter.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE32_NOPAD;

use super::copy::Scope;
use super::id::{ClaimId, ContactId, CopyId, EntryId, MemberId, TicketId};
use super::slug::PropertySlug;
use super::ticket::Person;

/// Stands in the first octet, so that the layout can change.
const VERSION: u8 = 1;
/// Octets of the MAC that are kept.
const MAC: usize = 14;
/// The local part before the delimiter in envelope senders.
const BOUNCES: &str = "bounces";
/// The local part before the delimiter in addresses that decide: about a held entry, or about an
/// address that a member says is his.
const CONFIRM: &str = "confirm";

/// The secrets that tokens are made and checked with. New tokens take the active one; older ones
/// stay to verify.
#[derive(Clone)]
pub struct Keys {
    active: u8,
    ring: BTreeMap<u8, Derived>,
}

/// One secret's keys, one a use.
#[derive(Clone)]
struct Derived {
    reply: hmac::Key,
    bounce: hmac::Key,
    confirm: hmac::Key,
    claim: hmac::Key,
    salt: hmac::Key,
}

/// Why a token can't be read, or be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not of the length or the alphabet of its use.
    #[error("this is no token")]
    Shape,
    /// Made by a later release.
    #[error("the token is of version {0}, which this release does not know")]
    Version(u8),
    /// Its key is not in the ring.
    #[error("the token needs key {0}, which is not kept")]
    Key(u8),
    /// Guessed, damaged, or made for another use.
    #[error("the token was not made here")]
    Mac,
    /// An identifier is too large for its field: 40 bits, for persons 38.
    #[error("an identifier is too large for a token")]
    Range,
}

impl Keys {
    /// A ring of secrets by their ids.
    ///
    /// # Errors
    /// [`BadToken::Key`] when the active one is not among them.
    pub fn new(active: u8, secrets: impl IntoIterator<Item = (u8, [u8; 32])>) -> Result<Self, BadToken> {
        let ring: BTreeMap<u8, Derived> = secrets.into_iter().map(|(id, secret)| (id, Derived::from(secret))).collect();
        if ring.contains_key(&active) { Ok(Self { active, ring }) } else { Err(BadToken::Key(active)) }
    }

    /// The id of the key that new tokens are made with.
    #[must_use]
    pub fn active(&self) -> u8 {
        self.active
    }

    /// A salt that only we can tell of a name, the same for good: by the oldest key, since a salt
    /// that changes would tell that nobody has the name.
    #[must_use]
    pub fn salt(&self, name: &str) -> [u8; 16] {
        let oldest = self.ring.values().next().expect("a ring has its active key");
        let mut salt = [0; 16];
        salt.copy_from_slice(&hmac::sign(&oldest.salt, name.as_bytes()).as_ref()[..16]);
        salt
    }

    fn get(&self, id: u8) -> Result<&Derived, BadToken> {
        self.ring.get(&id).ok_or(BadToken::Key(id))
    }
}

impl From<[u8; 32]> for Derived {
    fn from(secret: [u8; 32]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let derive = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, label).as_ref());
        Self {
            reply: derive(b"reply"),
            bounce: derive(b"bounce"),
            confirm: derive(b"confirm"),
            claim: derive(b"claim"),
            salt: derive(b"salt"),
        }
    }
}

/// Shows which keys there are, never what they are.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("active", &self.active).field("ring", &self.ring.keys()).finish()
    }
}

/// What a reply address says: one ticket, one person, one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyToken {
    pub ticket: TicketId,
    pub person: Person,
    pub scope: Scope,
}

impl ReplyToken {
    /// Characters of an encoded one. With the longest slug, a delimiter and the `t` it makes a local
    /// part of exactly 64 octets.
    pub const LENGTH: usize = 42;

    /// Encodes it under one key of the ring.
    ///
    /// # Errors
    /// [`BadToken::Key`] and [`BadToken::Range`].
    pub fn encode(&self, keys: &Keys, key: u8) -> Result<String, BadToken> {
        let (kind, id) = match self.person {
            Person::Contact(ContactId(id)) => (0, id),
            Person::Member(MemberId(id)) => (1, id),
        };
        let scope = u64::from(self.scope == Scope::Note);
        if id >> 38 != 0 {
            return Err(BadToken::Range);
        }
        seal(&keys.get(key)?.reply, key, &[self.ticket.0, scope << 39 | kind << 38 | id])
    }

    /// Reads one, in any case.
    ///
    /// # Errors
    /// All of [`BadToken`] but [`BadToken::Range`].
    pub fn decode(keys: &Keys, text: &str) -> Result<Self, BadToken> {
        let [ticket, person] = open(keys, |keys| &keys.reply, text)?;
        let id = person & ((1 << 38) - 1);
        Ok(Self {
            ticket: TicketId(ticket),
            person: if person >> 38 & 1 == 0 { Person::Contact(ContactId(id)) } else { Person::Member(MemberId(id)) },
            scope: if person >> 39 & 1 == 0 { Scope::Public } else { Scope::Note },
        })
    }
}

/// What an envelope sender of ours says (VERP): the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BounceToken(pub CopyId);

impl BounceToken {
    /// Characters of an encoded one.
    pub const LENGTH: usize = 34;

    /// Encodes it under one key of the ring.
    ///
    /// # Errors
    /// [`BadToken::Key`] and [`BadToken::Range`].
    pub fn encode(&self, keys: &Keys, key: u8) -> Result<String, BadToken> {
        seal(&keys.get(key)?.bounce, key, &[self.0.0])
    }

    /// Reads one, in any case.
    ///
    /// # Errors
    /// All of [`BadToken`] but [`BadToken::Range`].
    pub fn decode(keys: &Keys, text: &str) -> Result<Self, BadToken> {
        let [copy] = open(keys, |keys| &keys.bounce, text)?;
        Ok(Self(CopyId(copy)))
    }
}

/// What releases a held entry: the entry, and the member who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmToken {
    pub ticket: TicketId,
    pub entry: EntryId,
    pub member: MemberId,
}

impl ConfirmToken {
    /// Characters of an encoded one.
    pub const LENGTH: usize = 50;

    /// Encodes it under one key of the ring.
    ///
    /// # Errors
    /// [`BadToken::Key`] and [`BadToken::Range`].
    pub fn encode(&self, keys: &Keys, key: u8) -> Result<String, BadToken> {
        seal(&keys.get(key)?.confirm, key, &[self.ticket.0, self.entry.0, self.member.0])
    }

    /// Reads one, in any case.
    ///
    /// # Errors
    /// All of [`BadToken`] but [`BadToken::Range`].
    pub fn decode(keys: &Keys, text: &str) -> Result<Self, BadToken> {
        let [ticket, entry, member] = open(keys, |keys| &keys.confirm, text)?;
        Ok(Self { ticket: TicketId(ticket), entry: EntryId(entry), member: MemberId(member) })
    }
}

/// What makes an address one of a member's: the claim that was written down when he said so. Only
/// who reads the mail of that address is ever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimToken {
    pub member: MemberId,
    pub claim: ClaimId,
}

impl ClaimToken {
    /// Characters of an encoded one: another number than of a [`ConfirmToken`], which has the same
    /// word before it.
    pub const LENGTH: usize = 42;

    /// Encodes it under one key of the ring.
    ///
    /// # Errors
    /// [`BadToken::Key`] and [`BadToken::Range`].
    pub fn encode(&self, keys: &Keys, key: u8) -> Result<String, BadToken> {
        seal(&keys.get(key)?.claim, key, &[self.member.0, self.claim.0])
    }

    /// Reads one, in any case.
    ///
    /// # Errors
    /// All of [`BadToken`] but [`BadToken::Range`].
    pub fn decode(keys: &Keys, text: &str) -> Result<Self, BadToken> {
        let [member, claim] = open(keys, |keys| &keys.claim, text)?;
        Ok(Self { member: MemberId(member), claim: ClaimId(claim) })
    }
}

/// The local part of a reply address, `slug+t<token>`.
#[must_use]
pub fn reply_local(slug: &PropertySlug, token: &str) -> String {
    format!("{slug}+t{token}")
}

/// The local part of a copy's envelope sender, `bounces+<token>`.
#[must_use]
pub fn bounce_local(token: &str) -> String {
    format!("{BOUNCES}+{token}")
}

/// The local part of an address that decides, `confirm+<token>`, for both kinds of token.
#[must_use]
pub fn confirm_local(token: &str) -> String {
    format!("{CONFIRM}+{token}")
}

/// The token in what stands behind a property's slug and the delimiter, if that has the shape of
/// one. No department's slug has: it is too short. What has the shape and does not verify is
/// refused, never taken for something else.
#[must_use]
pub fn reply_detail(detail: &str) -> Option<&str> {
    let token = detail.strip_prefix(['t', 'T'])?;
    shaped(token, ReplyToken::LENGTH).then_some(token)
}

/// The token in a local part of the shape `bounces+<token>`.
#[must_use]
pub fn bounce_detail(local: &str) -> Option<&str> {
    behind(local, BOUNCES, BounceToken::LENGTH)
}

/// The token in a local part of the shape `confirm+<token>`, of the length that decides about a
/// held entry.
#[must_use]
pub fn confirm_detail(local: &str) -> Option<&str> {
    behind(local, CONFIRM, ConfirmToken::LENGTH)
}

/// The same, of the length that decides about a member's address.
#[must_use]
pub fn claim_detail(local: &str) -> Option<&str> {
    behind(local, CONFIRM, ClaimToken::LENGTH)
}

/// Whether a local part has the shape of an address that decides.
#[must_use]
pub fn is_confirm(local: &str) -> bool {
    confirm_detail(local).or_else(|| claim_detail(local)).is_some()
}

fn behind<'a>(local: &'a str, word: &str, length: usize) -> Option<&'a str> {
    let (before, token) = local.split_once('+')?;
    (before.eq_ignore_ascii_case(word) && shaped(token, length)).then_some(token)
}

/// Whether a text has a token's length and alphabet, in any case.
fn shaped(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(is_token_byte)
}

/// Whether an octet may stand in a token, in any case.
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte)
}

/// Version, key id, fields of five octets, MAC; as lower-case base32.
fn seal(mac: &hmac::Key, key: u8, fields: &[u64]) -> Result<String, BadToken> {
    let mut bytes = vec![VERSION, key];
    for field in fields {
        let octets = field.to_be_bytes();
        let (high, low) = octets.split_at(3);
        if high.iter().any(|octet| *octet != 0) {
            return Err(BadToken::Range);
        }
        bytes.extend_from_slice(low);
    }
    let tag = hmac::sign(mac, &bytes);
    bytes.extend(tag.as_ref().iter().take(MAC));
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// The fields of a token that verifies. The decoder refuses unused bits that are not zero, so each
/// token has one spelling a case.
fn open<const N: usize>(keys: &Keys, of: impl Fn(&Derived) -> &hmac::Key, text: &str) -> Result<[u64; N], BadToken> {
    let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| BadToken::Shape)?;
    if bytes.len() != 2 + 5 * N + MAC {
        return Err(BadToken::Shape);
    }
    let (body, given) = bytes.split_at(2 + 5 * N);
    if body[0] != VERSION {
        return Err(BadToken::Version(body[0]));
    }
    let tag = hmac::sign(of(keys.get(body[1])?), body);
    constant_time::verify_slices_are_equal(&tag.as_ref()[..MAC], given).map_err(|_| BadToken::Mac)?;
    let mut fields = [0; N];
    for (field, octets) in fields.iter_mut().zip(body[2..].chunks_exact(5)) {
        *field = octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(2, [(1, [1; 32]), (2, [2; 32])]).unwrap()
    }

    #[test]
    fn every_field_survives_in_either_case() {
        let keys = keys();
        for ticket in [0, 1, 1042, (1 << 40) - 1] {
            for id in [0, 1, 77, (1 << 38) - 1] {
                for person in [Person::Contact(ContactId(id)), Person::Member(MemberId(id))] {
                    for scope in [Scope::Public, Scope::Note] {
                        for key in [1, 2] {
                            let token = ReplyToken { ticket: TicketId(ticket), person, scope };
                            let text = token.encode(&keys, key).unwrap();
                            assert_eq!(text.len(), ReplyToken::LENGTH);
                            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
                            assert_eq!(ReplyToken::decode(&keys, &text), Ok(token));
                            assert_eq!(ReplyToken::decode(&keys, &text.to_ascii_uppercase()), Ok(token));
                        }
                    }
                }
            }
        }
        let bounce = BounceToken(CopyId(123_456_789_012));
        let text = bounce.encode(&keys, 2).unwrap();
        assert_eq!((text.len(), BounceToken::decode(&keys, &text)), (BounceToken::LENGTH, Ok(bounce)));
        let confirm = ConfirmToken { ticket: TicketId(5), entry: EntryId(6), member: MemberId(7) };
        let text = confirm.encode(&keys, 1).unwrap();
        assert_eq!((text.len(), ConfirmToken::decode(&keys, &text)), (ConfirmToken::LENGTH, Ok(confirm)));
        let claim = ClaimToken { member: MemberId(7), claim: ClaimId(8) };
        let text = claim.encode(&keys, 2).unwrap();
        assert_eq!((text.len(), ClaimToken::decode(&keys, &text)), (ClaimToken::LENGTH, Ok(claim)));
    }

    #[test]
    fn any_other_character_anywhere_fails() {
        let keys = keys();
        let token = ReplyToken { ticket: TicketId(1042), person: Person::Member(MemberId(3)), scope: Scope::Public };
        let text = token.encode(&keys, 2).unwrap();
        for at in 0..text.len() {
            for other in ('a'..='z').chain('2'..='7').chain(['0', '1', '8', '=', '+', 'é']) {
                let damaged: String = text.chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect();
                if damaged != text {
                    assert!(ReplyToken::decode(&keys, &damaged).is_err(), "{damaged}");
                }
            }
            assert!(ReplyToken::decode(&keys, &text[..at]).is_err());
        }
        assert!(ReplyToken::decode(&keys, &format!("{text}a")).is_err());
    }

    #[test]
    fn a_token_is_good_for_its_use_and_its_keys_only() {
        let keys = keys();
        let derived = keys.get(2).unwrap();
        let wrong = seal(&derived.bounce, 2, &[1042, 3]).unwrap();
        assert_eq!(ReplyToken::decode(&keys, &wrong), Err(BadToken::Mac));
        let wrong = seal(&derived.reply, 2, &[9]).unwrap();
        assert_eq!(BounceToken::decode(&keys, &wrong), Err(BadToken::Mac));
        assert_eq!(ConfirmToken::decode(&keys, &seal(&derived.reply, 2, &[1, 2, 3]).unwrap()), Err(BadToken::Mac));
        for other in [&derived.reply, &derived.confirm] {
            assert_eq!(ClaimToken::decode(&keys, &seal(other, 2, &[7, 8]).unwrap()), Err(BadToken::Mac));
        }

        let text = BounceToken(CopyId(9)).encode(&keys, 1).unwrap();
        let rotated = Keys::new(2, [(2, [2; 32])]).unwrap();
        assert_eq!(BounceToken::decode(&rotated, &text), Err(BadToken::Key(1)));
        let strange = Keys::new(1, [(1, [9; 32])]).unwrap();
        assert_eq!(BounceToken::decode(&strange, &text), Err(BadToken::Mac));
        assert_eq!(Keys::new(3, [(2, [2; 32])]).unwrap_err(), BadToken::Key(3));
        assert_eq!(BounceToken(CopyId(9)).encode(&rotated, 7), Err(BadToken::Key(7)));
    }

    #[test]
    fn what_does_not_fit_is_not_made() {
        let keys = keys();
        assert_eq!(BounceToken(CopyId(1 << 40)).encode(&keys, 1), Err(BadToken::Range));
        let token = ReplyToken { ticket: TicketId(1), person: Person::Member(MemberId(1 << 38)), scope: Scope::Note };
        assert_eq!(token.encode(&keys, 1), Err(BadToken::Range));
    }

    #[test]
    fn local_parts_fit_and_are_told_apart() {
        let keys = keys();
        let slug: PropertySlug = "abcdefghijklmnopqrst".parse().unwrap();
        let token = ReplyToken { ticket: TicketId(1), person: Person::Member(MemberId(1)), scope: Scope::Public };
        let text = token.encode(&keys, 2).unwrap();
        let local = reply_local(&slug, &text);
        assert_eq!(local.len(), 64);
        assert_eq!(reply_detail(local.split_once('+').unwrap().1), Some(text.as_str()));
        assert_eq!(reply_detail(&format!("T{}", text.to_uppercase())), Some(text.to_uppercase().as_str()));
        assert_eq!(reply_detail("tttttttttttttttttttttttt"), None); // the longest department
        assert_eq!(reply_detail(&text), None);
        assert_eq!(reply_detail(&format!("t{text}x")), None);

        let text = BounceToken(CopyId(1)).encode(&keys, 2).unwrap();
        assert_eq!(bounce_detail(&bounce_local(&text).to_uppercase()), Some(text.to_uppercase().as_str()));
        assert_eq!(confirm_detail(&bounce_local(&text)), None);
        let text =
            ConfirmToken { ticket: TicketId(1), entry: EntryId(2), member: MemberId(3) }.encode(&keys, 2).unwrap();
        assert_eq!(confirm_detail(&confirm_local(&text)), Some(text.as_str()));
        assert!(confirm_local(&text).len() <= 64);
        assert_eq!(confirm_detail("confirm"), None);
        assert_eq!(claim_detail(&confirm_local(&text)), None);
        let text = ClaimToken { member: MemberId(1), claim: ClaimId(2) }.encode(&keys, 2).unwrap();
        assert_eq!(claim_detail(&confirm_local(&text)), Some(text.as_str()));
        assert_eq!(confirm_detail(&confirm_local(&text)), None);
    }

    #[test]
    fn keys_do_not_show() {
        assert_eq!(format!("{:?}", keys()), "Keys { active: 2, ring: [1, 2] }");
    }
}
