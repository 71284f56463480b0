//! Mail addresses and mailboxes.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A mail address, `local@domain` (RFC 5321 §4.1.2, with UTF-8 as RFC 6531 §3.3 allows).
///
/// Written as it was given, except that the domain is in lower case. Compared, ordered and hashed
/// without regard to case: no host that matters tells `Bob@` from `bob@`, and people don't.
/// Quoted local parts, source routes and address literals are refused: nobody can be told from
/// another by them, and old relays were opened with them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    text: String,
    at: usize,
}

/// Why a text is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or nothing before it.
    #[error("an address looks like name@example.org")]
    Shape,
    /// The part before the `@` is longer than 64 octets (RFC 5321 §4.5.3.1.1).
    #[error("the part before the @ is longer than 64 octets")]
    LocalTooLong,
    /// A character that no address has outside quotes, or a misplaced dot.
    #[error("the part before the @ has a character or a dot where none may be")]
    Local,
    /// The part after the `@` is not a domain name (RFC 1035 §2.3.1, 255 octets at most).
    #[error("the part after the @ is not a domain name")]
    Domain,
}

impl Address {
    /// The part before the `@`, as written.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain, in lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The whole address as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What two spellings of one address share: all in lower case. The key of every index.
    #[must_use]
    pub fn key(&self) -> String {
        lower(&self.text)
    }

    /// Whether a server without SMTPUTF8 (RFC 6531) can take it.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// An address from its two parts.
    ///
    /// # Errors
    /// [`AddressError`] when either part is not what its name says.
    pub fn new(local: &str, domain: &str) -> Result<Self, AddressError> {
        let domain = lower(domain);
        check_local(local)?;
        check_domain(&domain)?;
        // A few letters are longer in lower case, where the key has to be an address as well.
        if !local.is_ascii() {
            check_local(&lower(local))?;
        }
        let mut text = String::with_capacity(local.len() + domain.len() + 1);
        text.push_str(local);
        text.push('@');
        text.push_str(&domain);
        Ok(Self { at: local.len(), text })
    }
}

/// Letter by letter: [`str::to_lowercase`] writes a sigma as its neighbours want it, so that two
/// spellings of one name would differ.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::Shape);
    }
    if local.len() > 64 {
        return Err(AddressError::LocalTooLong);
    }
    let atext = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
    };
    if local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(atext)) {
        Ok(())
    } else {
        Err(AddressError::Local)
    }
}

/// Whether a text is a domain name: labels of letters, digits, hyphens and underscores, or beyond
/// ASCII; 63 octets a label, 253 in all.
pub(super) fn check_domain(domain: &str) -> Result<(), AddressError> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || (!c.is_ascii() && c.is_alphanumeric()))
    };
    if domain.len() <= 253 && domain.split('.').all(label) { Ok(()) } else { Err(AddressError::Domain) }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Shape)?;
        Self::new(local, domain)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.text.is_ascii() && other.text.is_ascii() {
            let (one, two) = (self.text.bytes(), other.text.bytes());
            return one.map(|b| b.to_ascii_lowercase()).cmp(two.map(|b| b.to_ascii_lowercase()));
        }
        self.text.chars().flat_map(char::to_lowercase).cmp(other.text.chars().flat_map(char::to_lowercase))
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for c in self.text.chars().flat_map(char::to_lowercase) {
            c.hash(state);
        }
    }
}

/// An address with the name that stands before it in a header field (RFC 5322 §3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The display name, decoded; empty when there is none.
    pub name: String,
    pub address: Address,
}

impl Mailbox {
    #[must_use]
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        Self { name: name.into(), address }
    }

    /// `Name <address>`, or the address alone.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.name.is_empty() { self.address.to_string() } else { format!("{} <{}>", self.name, self.address) }
    }

    /// The name, or the address where there is none: what a reader is shown.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.name.is_empty() { self.address.as_str() } else { &self.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_equal() {
        let one: Address = "Bob.Smith@Example.ORG".parse().unwrap();
        let two: Address = "bob.smith@example.org".parse().unwrap();
        assert_eq!(one, two);
        assert_eq!(one.as_str(), "Bob.Smith@example.org");
        assert_eq!(one.key(), two.key());
        assert_eq!("É@exemple.fr".parse::<Address>().unwrap(), "é@exemple.fr".parse().unwrap());
        let one: Address = "ΟΔΟΣ@ΟΔΟΣ.example".parse().unwrap();
        assert_eq!((one.key().as_str(), one.domain()), ("οδοσ@οδοσ.example", "οδοσ.example"));
        assert_eq!(one, "οδοσ@οδοσ.example".parse().unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("", AddressError::Shape),
            ("bob", AddressError::Shape),
            ("@example.org", AddressError::Shape),
            ("bob@", AddressError::Domain),
            ("bob@exa mple.org", AddressError::Domain),
            ("bob@-example.org", AddressError::Domain),
            ("bob@example..org", AddressError::Domain),
            ("bob@[127.0.0.1]", AddressError::Domain),
            // In lower case it ends in a mark that is no letter.
            ("bob@İ.example", AddressError::Domain),
            ("b ob@example.org", AddressError::Local),
            ("bob.@example.org", AddressError::Local),
            ("\"bob\"@example.org", AddressError::Local),
            ("@a.example,@b.example:bob@example.org", AddressError::Local),
            ("bob\r\n@example.org", AddressError::Local),
            (
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org",
                AddressError::LocalTooLong,
            ),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err(), error, "{text}");
        }
    }
}
