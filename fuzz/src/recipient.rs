//! Envelope recipients and the tokens in them.

use std::convert::Infallible;

use guichet::desk::address::Address;
use guichet::desk::copy::Scope;
use guichet::desk::id::{ClaimId, ContactId, CopyId, DepartmentId, EntryId, MemberId, PropertyId, TicketId};
use guichet::desk::recipient::{Directory, Domains, Target, resolve};
use guichet::desk::slug::{DepartmentSlug, PropertySlug};
use guichet::desk::ticket::Person;
use guichet::desk::token::{self, BadToken, BounceToken, ClaimToken, ConfirmToken, Keys, ReplyToken};

use super::options;

/// acme (1) with the department billing, acme-eu (2), and help@desk.example.
struct Desk;

impl Directory for Desk {
    type Error = Infallible;

    fn property(&self, slug: &PropertySlug) -> Result<Option<PropertyId>, Infallible> {
        Ok(["acme", "acme-eu"].iter().position(|known| *known == slug.as_str()).map(|at| PropertyId(at as u64 + 1)))
    }

    fn property_at(&self, address: &Address) -> Result<Option<PropertyId>, Infallible> {
        Ok((address.key() == "help@desk.example").then_some(PropertyId(1)))
    }

    fn department(&self, property: PropertyId, slug: &DepartmentSlug) -> Result<Option<DepartmentId>, Infallible> {
        Ok((property == PropertyId(1) && slug.as_str() == "billing").then_some(DepartmentId(7)))
    }

    fn postmaster(&self) -> Result<Option<PropertyId>, Infallible> {
        Ok(Some(PropertyId(1)))
    }
}

/// Whoever a recipient names, it means the same in any case; a token is good exactly as it was made,
/// for its own use and under its own keys; what does not verify names nobody.
///
/// The input is an address after eight octets of options, which make the tokens that stand in the
/// place of `{reply}`, `{bounce}`, `{confirm}` and `{claim}`, and say what is wrong with them.
pub fn recipient(data: &[u8]) {
    let ([ticket, person, shift, key, at, letter, one, two], text) = options(data);
    let keys = Keys::new(2, [(1, [one; 32]), (2, [two; 32])]).expect("the active key is there");
    let id = |octet: u8| u64::from(octet) << (shift % 31);
    let person =
        if shift & 64 == 0 { Person::Contact(ContactId(id(person))) } else { Person::Member(MemberId(id(person))) };
    let scope = if shift & 128 == 0 { Scope::Public } else { Scope::Note };
    let key = 1 + key % 2;

    let reply = ReplyToken { ticket: TicketId(id(ticket)), person, scope };
    let bounce = BounceToken(CopyId(id(ticket)));
    let confirm = ConfirmToken { ticket: TicketId(id(ticket)), entry: EntryId(id(at)), member: MemberId(id(one)) };
    let claim = ClaimToken { member: MemberId(id(ticket)), claim: ClaimId(id(two)) };
    let written =
        [reply.encode(&keys, key), bounce.encode(&keys, key), confirm.encode(&keys, key), claim.encode(&keys, key)];
    let [reply_text, bounce_text, confirm_text, claim_text] = written.map(|token| token.expect("such ids fit"));

    // As it was made, in any case, under our keys; one letter changed, it is no token any more.
    let others = Keys::new(1, [(1, [!one; 32]), (2, [!two; 32])]).expect("the active key is there");
    let hold = |text: &str, read: &dyn Fn(&Keys, &str) -> Option<bool>| {
        assert_eq!((read(&keys, text), read(&keys, &text.to_uppercase())), (Some(true), Some(true)), "{text}");
        assert_eq!(read(&others, text), None, "{text} under others' keys");
        let broken = changed(text, at, letter);
        assert_eq!(read(&keys, &broken).is_some(), broken.eq_ignore_ascii_case(text), "{broken}");
    };
    hold(&reply_text, &|keys, text| ReplyToken::decode(keys, text).ok().map(|token| token == reply));
    hold(&bounce_text, &|keys, text| BounceToken::decode(keys, text).ok().map(|token| token == bounce));
    hold(&confirm_text, &|keys, text| ConfirmToken::decode(keys, text).ok().map(|token| token == confirm));
    hold(&claim_text, &|keys, text| ClaimToken::decode(keys, text).ok().map(|token| token == claim));

    let text = String::from_utf8_lossy(text)
        .replace("{reply}", &reply_text)
        .replace("{bounce}", &bounce_text)
        .replace("{confirm}", &confirm_text)
        .replace("{claim}", &claim_text);
    let Ok(address) = text.parse::<Address>() else { return };
    for delimiters in [vec!['+'], vec!['+', '-', '=']] {
        let domains = Domains { local: vec!["desk.example".to_owned()], delimiters };
        let Ok(found) = resolve(&address, &domains, &keys, &Desk);
        let key: Address = address.key().parse().expect("a key is an address");
        let Ok(same) = resolve(&key, &domains, &keys, &Desk);
        assert_eq!(found, same, "{address} in lower case is somebody else");
        let Ok(target) = found else { continue };
        assert_eq!(address.domain(), "desk.example");
        let local = address.local().to_lowercase();
        let made = |token: &dyn Fn(u8) -> Result<String, BadToken>, local: &dyn Fn(&str) -> bool| {
            let made = [1, 2].into_iter().filter_map(|key| token(key).ok()).any(|made| local(&made));
            assert!(made, "{address} was not made by us");
        };
        match target {
            Target::Reply(_, token) => {
                made(&|key| token.encode(&keys, key), &|made| local.ends_with(&format!("t{made}")));
            }
            Target::Bounce(copy) => {
                made(&|key| BounceToken(copy).encode(&keys, key), &|made| token::bounce_local(made) == local);
            }
            Target::Confirm(token) => {
                made(&|key| token.encode(&keys, key), &|made| token::confirm_local(made) == local);
            }
            Target::Claim(token) => made(&|key| token.encode(&keys, key), &|made| token::confirm_local(made) == local),
            Target::Property(PropertyId(id)) => {
                let names: &[&str] = if id == 1 { &["acme", "help", "postmaster", "abuse"] } else { &["acme-eu"] };
                assert!(names.contains(&local.as_str()), "{address}");
            }
            Target::Department(property, department) => {
                assert_eq!((property, department), (PropertyId(1), DepartmentId(7)));
                assert!(local.starts_with("acme") && local.ends_with("billing"), "{address}");
            }
        }
    }
}

/// The token with one letter in another's place.
fn changed(token: &str, at: u8, letter: u8) -> String {
    let mut octets = token.as_bytes().to_vec();
    let at = usize::from(at) % octets.len();
    octets[at] = b"abcdefghijklmnopqrstuvwxyz234567ABCXYZ018=+ "[usize::from(letter) % 44];
    String::from_utf8(octets).expect("all of it is ASCII")
}
