//! Forwarders whose word a property takes: what they say of SPF and DKIM of the mail that they
//! pass on counts for its writer (`docs/decisions.md`, Forwards).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::check_domain;

/// The domain of a forwarder: the `d=` of its ARC seals (RFC 8617 §4.1.3), or what its
/// authserv-ids lie in (RFC 8601 §2.5). In lower case, in A-labels, and below a public suffix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Forwarder(String);

/// Why a text names no [`Forwarder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwarderError {
    #[error("a forwarder is named by a domain, such as gmail.com")]
    Domain,
    #[error("nobody forwards mail for all domains below a public suffix; name one of them")]
    PublicSuffix,
}

/// Providers by the name that people know, and the domain that they seal with.
const SEALS_AS: [(&str, &str); 8] = [
    ("gmail.com", "google.com"),
    ("googlemail.com", "google.com"),
    ("outlook.com", "microsoft.com"),
    ("hotmail.com", "microsoft.com"),
    ("live.com", "microsoft.com"),
    ("office365.com", "microsoft.com"),
    ("onmicrosoft.com", "microsoft.com"),
    ("fastmail.com", "messagingengine.com"),
];

impl Forwarder {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a domain, in lower case, is the forwarder's or lies below it.
    #[must_use]
    pub fn is(&self, domain: &str) -> bool {
        domain.strip_suffix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for Forwarder {
    type Err = ForwarderError;

    fn from_str(text: &str) -> Result<Self, ForwarderError> {
        let domain = text.trim().trim_end_matches('.').to_ascii_lowercase();
        if !domain.is_ascii() || !domain.contains('.') || check_domain(&domain).is_err() {
            return Err(ForwarderError::Domain);
        }
        let seals_as = SEALS_AS.iter().find(|(known, _)| *known == domain).map(|(_, seals_as)| *seals_as);
        let domain = seals_as.map_or(domain, str::to_owned);
        if psl::domain_str(&domain).is_none() {
            return Err(ForwarderError::PublicSuffix);
        }
        Ok(Self(domain))
    }
}

impl TryFrom<String> for Forwarder {
    type Error = ForwarderError;

    fn try_from(text: String) -> Result<Self, ForwarderError> {
        text.parse()
    }
}

impl From<Forwarder> for String {
    fn from(forwarder: Forwarder) -> Self {
        forwarder.0
    }
}

impl fmt::Display for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarder_is_named_by_the_domain_that_it_seals_with() {
        for (text, expected) in [
            ("google.com", Ok("google.com")),
            ("Gmail.com.", Ok("google.com")),
            ("outlook.com", Ok("microsoft.com")),
            ("mx.acme.com", Ok("mx.acme.com")),
            ("xn--exmple-cua.de", Ok("xn--exmple-cua.de")),
            ("exämple.de", Err(ForwarderError::Domain)),
            ("localhost", Err(ForwarderError::Domain)),
            ("carol@gmail.com", Err(ForwarderError::Domain)),
            ("", Err(ForwarderError::Domain)),
            ("co.uk", Err(ForwarderError::PublicSuffix)),
            ("github.io", Err(ForwarderError::PublicSuffix)),
        ] {
            let found = text.parse::<Forwarder>();
            assert_eq!(found.as_ref().map(Forwarder::as_str), expected.as_ref().map(|text| *text), "{text}");
        }
    }

    #[test]
    fn names_below_are_the_forwarders_and_names_that_only_end_alike_are_not() {
        let forwarder: Forwarder = "google.com".parse().unwrap();
        for (domain, is) in [
            ("google.com", true),
            ("mx.google.com", true),
            ("notgoogle.com", false),
            ("google.com.evil.example", false),
        ] {
            assert_eq!(forwarder.is(domain), is, "{domain}");
        }
    }
}
