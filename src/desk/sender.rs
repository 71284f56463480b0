//! Whom a property blocks or always lets in: one address, or a domain with all below it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::{Address, AddressError, check_domain};

/// An address or a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sender {
    Address(Address),
    /// In lower case; all its subdomains too.
    Domain(String),
}

/// The most that one list of one property holds.
pub const MOST_SENDERS: usize = 1_000;

impl Sender {
    /// Whether an address is meant. `ascii` gives domains in the one form in which they are
    /// compared (RFC 5890 §2.3.2.1).
    #[must_use]
    pub fn covers(&self, address: &Address, ascii: fn(&str) -> Cow<'_, str>) -> bool {
        let domain = ascii(address.domain());
        match self {
            Self::Address(listed) => {
                listed.local().to_lowercase() == address.local().to_lowercase() && ascii(listed.domain()) == domain
            }
            Self::Domain(listed) => {
                let listed = ascii(listed);
                domain.strip_suffix(&*listed).is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
        }
    }
}

impl FromStr for Sender {
    type Err = AddressError;

    /// `bob@example.com`, `example.com`, or `@example.com` as some write it.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix('@').unwrap_or(text) {
            domain if !domain.contains('@') => {
                check_domain(domain)?;
                Ok(Self::Domain(domain.to_lowercase()))
            }
            _ => Ok(Self::Address(text.parse()?)),
        }
    }
}

impl TryFrom<String> for Sender {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Sender> for String {
    fn from(sender: Sender) -> Self {
        sender.to_string()
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Domain(domain) => f.pad(domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(domain: &str) -> Cow<'_, str> {
        Cow::Borrowed(domain)
    }

    fn ascii(domain: &str) -> Cow<'_, str> {
        Cow::Owned(domain.replace("exämple.de", "xn--exmple-cua.de"))
    }

    #[test]
    fn an_address_or_a_domain_with_all_below_it() {
        for (listed, address, covered) in [
            ("eve@evil.example", "Eve@EVIL.example", true),
            ("eve@evil.example", "eve+2@evil.example", false),
            ("eve@evil.example", "eve@mail.evil.example", false),
            ("evil.example", "eve@evil.example", true),
            ("@Evil.example", "eve@a.b.evil.example", true),
            ("evil.example", "eve@notevil.example", false),
            ("evil.example", "eve@evil.example.com", false),
            ("example", "eve@evil.example", true),
            ("exämple.de", "eve@mail.EXÄMPLE.de", true),
        ] {
            let sender: Sender = listed.parse().unwrap();
            assert_eq!(sender.covers(&address.parse().unwrap(), plain), covered, "{listed}");
        }
        for listed in ["exämple.de", "xn--exmple-cua.de", "bob@exämple.de"] {
            let sender: Sender = listed.parse().unwrap();
            assert!(sender.covers(&"bob@xn--exmple-cua.de".parse().unwrap(), ascii), "{listed}");
        }
        for bad in ["", "@", "a b", "a@b@c d", "-x.example", "@bob@x y"] {
            assert!(bad.parse::<Sender>().is_err(), "{bad}");
        }
    }
}
