//! What an envelope recipient means here (design: Addresses).
//!
//! The property is found from the envelope alone, never from To.

use super::address::Address;
use super::id::{CopyId, DepartmentId, EntryId, PropertyId};
use super::slug::{DepartmentSlug, PropertySlug};
use super::token::{BounceToken, ConfirmToken, Keys, ReplyToken};

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
    /// The release of a held entry.
    Confirm(EntryId),
}

impl Target {
    #[must_use]
    pub fn property(&self) -> Option<PropertyId> {
        match self {
            Self::Property(property) | Self::Department(property, _) | Self::Reply(property, _) => Some(*property),
            Self::Bounce(_) | Self::Confirm(_) => None,
        }
    }

    /// Among several recipients of one property the most specific wins.
    #[must_use]
    pub fn specificity(&self) -> u8 {
        match self {
            Self::Property(_) => 0,
            Self::Department(..) => 1,
            Self::Reply(..) => 2,
            Self::Confirm(_) | Self::Bounce(_) => 3,
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
    if let Some(token) = local.strip_prefix("bounces+") {
        return Ok(BounceToken::decode(keys, token).map(|token| Target::Bounce(token.copy)).map_err(|_| Refusal::BadToken));
    }
    if let Some(token) = local.strip_prefix("confirm+") {
        return Ok(ConfirmToken::decode(keys, token)
            .map(|token| Target::Confirm(token.entry))
            .map_err(|_| Refusal::BadToken));
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
        let tag = &local[at + delimiter.len_utf8()..];
        if let Ok(slug) = tag.parse::<DepartmentSlug>() {
            if let Some(department) = directory.department(property, &slug)? {
                return Ok(Ok(Target::Department(property, department)));
            }
        } else if let Some(token) = tag.strip_prefix('t') {
            match ReplyToken::decode(keys, token) {
                Ok(token) => return Ok(Ok(Target::Reply(property, token))),
                Err(_) => found = Err(Refusal::BadToken),
            }
        }
    }
    Ok(found)
}
