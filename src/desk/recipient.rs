//! What an envelope recipient means here (`docs/mail.md`, Addresses).
//!
//! The property is found from the envelope alone, never from To.

use super::address::Address;
use super::id::{CopyId, DepartmentId, PropertyId};
use super::slug::{DepartmentSlug, PropertySlug};
use super::token::{self, BounceToken, ClaimToken, ConfirmToken, Keys, ReplyToken};

/// The names under which the desk takes mail.
pub trait Directory {
    type Error;

    /// The property with this slug, unless it was removed.
    fn property(&self, slug: &PropertySlug) -> Result<Option<PropertyId>, Self::Error>;
    /// The property that has this further address, exactly.
    fn property_at(&self, address: &Address) -> Result<Option<PropertyId>, Self::Error>;
    /// A property's department.
    fn department(&self, property: PropertyId, slug: &DepartmentSlug) -> Result<Option<DepartmentId>, Self::Error>;
    /// The property that gets `postmaster@` and `abuse@`.
    fn postmaster(&self) -> Result<Option<PropertyId>, Self::Error>;
}

/// What is configured about addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domains {
    /// Where forwarding addresses live, in lower case; the first is the one that we write.
    pub local: Vec<String>,
    /// Which characters part a slug from what follows. `+` always, `-` and `=` when enabled.
    pub delimiters: Vec<char>,
}

impl Domains {
    #[must_use]
    pub fn is_local(&self, address: &Address) -> bool {
        self.local.iter().any(|domain| domain == address.domain())
    }

    /// The domain of forwarding, reply and bounce addresses.
    #[must_use]
    pub fn first(&self) -> &str {
        self.local.first().map_or("localhost", String::as_str)
    }
}

/// Where mail for one recipient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A property's inbox.
    Property(PropertyId),
    Department(PropertyId, DepartmentId),
    /// A reply address with a good MAC.
    Reply(PropertyId, ReplyToken),
    /// The envelope sender of a copy of ours.
    Bounce(CopyId),
    /// Where a member decides about a held entry of his.
    Confirm(ConfirmToken),
    /// Where the reader of an address says whether it is a member's.
    Claim(ClaimToken),
}

impl Target {
    #[must_use]
    pub fn property(&self) -> Option<PropertyId> {
        match self {
            Self::Property(property) | Self::Department(property, _) | Self::Reply(property, _) => Some(*property),
            Self::Bounce(_) | Self::Confirm(_) | Self::Claim(_) => None,
        }
    }

    /// Among several recipients of one property the most specific wins.
    #[must_use]
    pub fn specificity(&self) -> u8 {
        match self {
            Self::Property(_) => 0,
            Self::Department(..) => 1,
            Self::Reply(..) => 2,
            Self::Bounce(_) | Self::Confirm(_) | Self::Claim(_) => 3,
        }
    }
}

/// Why a recipient is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `550 5.7.1`: not one of our domains.
    #[error("this server takes mail for its own domains only")]
    Foreign,
    /// `550 5.1.1`: one of our domains, nobody of that name.
    #[error("no such address here")]
    Unknown,
    /// `550 5.1.1`: a reply, bounce or confirm address that we did not make.
    #[error("that is no valid reply address; write to the address without the part after the delimiter")]
    BadToken,
}

/// Finds out what a recipient means.
pub fn resolve<D: Directory>(
    address: &Address,
    domains: &Domains,
    keys: &Keys,
    directory: &D,
) -> Result<Result<Target, Refusal>, D::Error> {
    if !domains.is_local(address) {
        return Ok(Err(Refusal::Foreign));
    }
    if let Some(property) = directory.property_at(address)? {
        return Ok(Ok(Target::Property(property)));
    }
    let local = address.local().to_lowercase();
    if let "postmaster" | "abuse" = local.as_str() {
        return Ok(directory.postmaster()?.map(Target::Property).ok_or(Refusal::Unknown));
    }
    if let Some(token) = token::bounce_detail(&local) {
        return Ok(BounceToken::decode(keys, token)
            .map(|token| Target::Bounce(token.0))
            .map_err(|_| Refusal::BadToken));
    }
    if let Some(token) = token::confirm_detail(&local) {
        return Ok(ConfirmToken::decode(keys, token).map(Target::Confirm).map_err(|_| Refusal::BadToken));
    }
    if let Some(token) = token::claim_detail(&local) {
        return Ok(ClaimToken::decode(keys, token).map(Target::Claim).map_err(|_| Refusal::BadToken));
    }
    if let Ok(slug) = local.parse::<PropertySlug>()
        && let Some(property) = directory.property(&slug)?
    {
        return Ok(Ok(Target::Property(property)));
    }
    // The longest slug first: with `-` enabled, `acme-eu-billing` is acme-eu's before acme's.
    let mut found = Err(Refusal::Unknown);
    for (at, delimiter) in local.char_indices().rev().filter(|(_, c)| domains.delimiters.contains(c)) {
        let Ok(slug) = local[..at].parse::<PropertySlug>() else { continue };
        let Some(property) = directory.property(&slug)? else { continue };
        let detail = &local[at + delimiter.len_utf8()..];
        if let Some(token) = token::reply_detail(detail) {
            match ReplyToken::decode(keys, token) {
                Ok(token) => return Ok(Ok(Target::Reply(property, token))),
                Err(_) => found = Err(Refusal::BadToken),
            }
        } else if let Ok(slug) = detail.parse::<DepartmentSlug>()
            && let Some(department) = directory.department(property, &slug)?
        {
            return Ok(Ok(Target::Department(property, department)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::desk::copy::Scope;
    use crate::desk::id::{ClaimId, EntryId, MemberId, TicketId};
    use crate::desk::ticket::Person;

    /// Properties acme (1) with the department billing, and acme-eu (2); help@desk.example.org is acme's.
    struct Desk;

    impl Directory for Desk {
        type Error = Infallible;

        fn property(&self, slug: &PropertySlug) -> Result<Option<PropertyId>, Infallible> {
            Ok(match slug.as_str() {
                "acme" => Some(PropertyId(1)),
                "acme-eu" => Some(PropertyId(2)),
                _ => None,
            })
        }

        fn property_at(&self, address: &Address) -> Result<Option<PropertyId>, Infallible> {
            Ok((address.local() == "help").then_some(PropertyId(1)))
        }

        fn department(&self, property: PropertyId, slug: &DepartmentSlug) -> Result<Option<DepartmentId>, Infallible> {
            Ok((property.0 == 1 && slug.as_str() == "billing").then_some(DepartmentId(5)))
        }

        fn postmaster(&self) -> Result<Option<PropertyId>, Infallible> {
            Ok(Some(PropertyId(1)))
        }
    }

    #[test]
    fn what_a_recipient_means() {
        let keys = Keys::new(1, [(1, [7; 32])]).unwrap();
        let token = ReplyToken { ticket: TicketId(9), person: Person::Member(MemberId(3)), scope: Scope::Note };
        let local = token.encode(&keys, 1).unwrap();
        let bounce = BounceToken(CopyId(4)).encode(&keys, 1).unwrap();
        let confirms = ConfirmToken { ticket: TicketId(9), entry: EntryId(2), member: MemberId(3) };
        let confirm = confirms.encode(&keys, 1).unwrap();
        let claims = ClaimToken { member: MemberId(3), claim: ClaimId(4) };
        let claim = claims.encode(&keys, 1).unwrap();
        let plus = Domains { local: vec!["desk.example.org".into(), "desk.example.com".into()], delimiters: vec!['+'] };
        let dash = Domains { delimiters: vec!['+', '-', '='], ..plus.clone() };
        let acme = Ok(Target::Property(PropertyId(1)));
        let billing = Ok(Target::Department(PropertyId(1), DepartmentId(5)));
        for (local_part, domains, expected) in [
            ("acme", &plus, acme),
            ("ACME", &plus, acme),
            ("help", &plus, acme),
            ("postmaster", &plus, acme),
            ("Abuse", &plus, acme),
            ("acme-eu", &plus, Ok(Target::Property(PropertyId(2)))),
            ("acme+billing", &plus, billing),
            ("Acme+Billing", &plus, billing),
            ("acme-billing", &plus, Err(Refusal::Unknown)),
            ("acme-billing", &dash, billing),
            ("acme=billing", &dash, billing),
            ("acme-eu", &dash, Ok(Target::Property(PropertyId(2)))),
            ("acme+sales", &plus, Err(Refusal::Unknown)),
            ("acme-eu+billing", &plus, Err(Refusal::Unknown)),
            ("nobody", &plus, Err(Refusal::Unknown)),
            ("bounces", &plus, Err(Refusal::Unknown)),
            ("confirm+abc", &plus, Err(Refusal::Unknown)),
            (&format!("acme+t{local}"), &plus, Ok(Target::Reply(PropertyId(1), token))),
            (&format!("ACME+T{}", local.to_uppercase()), &plus, Ok(Target::Reply(PropertyId(1), token))),
            (&format!("acme-t{local}"), &dash, Ok(Target::Reply(PropertyId(1), token))),
            (&format!("acme+t{}", bounce.clone() + "aaaaaaaa"), &plus, Err(Refusal::BadToken)),
            (&format!("bounces+{bounce}"), &plus, Ok(Target::Bounce(CopyId(4)))),
            (&format!("confirm+{confirm}"), &plus, Ok(Target::Confirm(confirms))),
            (&format!("Confirm+{}", confirm.to_uppercase()), &plus, Ok(Target::Confirm(confirms))),
            (&format!("confirm-{confirm}"), &dash, Err(Refusal::Unknown)),
            (&format!("confirm+{}", confirm.replace(&confirm[46..], "aaaa")), &plus, Err(Refusal::BadToken)),
            (&format!("confirm+{claim}"), &plus, Ok(Target::Claim(claims))),
            (&format!("confirm+{local}"), &plus, Err(Refusal::BadToken)),
            (&format!("bounces+{}", bounce.replace(&bounce[30..], "aaaa")), &plus, Err(Refusal::BadToken)),
        ] {
            let address = Address::new(local_part, "Desk.example.org").unwrap();
            let Ok(found) = resolve(&address, domains, &keys, &Desk);
            assert_eq!(found, expected, "{local_part}");
        }
        let Ok(found) = resolve(&"acme@example.net".parse().unwrap(), &plus, &keys, &Desk);
        assert_eq!(found, Err(Refusal::Foreign));
        let Ok(found) = resolve(&"acme@desk.example.com".parse().unwrap(), &plus, &keys, &Desk);
        assert_eq!(found, acme);
    }
}
