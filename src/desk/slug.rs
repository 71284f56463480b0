//! The short names of properties and departments, as they stand in addresses and ticket numbers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Local parts that no property may take, since they have a meaning of their own.
pub const RESERVED: [&str; 5] = ["bounces", "confirm", "postmaster", "abuse", "mailer-daemon"];

/// Why a text is not a slug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    /// Too long, empty, not starting with a letter, or with a character outside `[a-z0-9-]`.
    #[error("a slug is up to {0} of the characters a-z, 0-9 and -, with a letter first")]
    Shape(usize),
    /// One of [`RESERVED`].
    #[error("{0} is reserved; take another slug")]
    Reserved(String),
}

fn check(text: &str, longest: usize) -> Result<(), SlugError> {
    let shape = (1..=longest).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !shape {
        return Err(SlugError::Shape(longest));
    }
    if RESERVED.contains(&text) {
        return Err(SlugError::Reserved(text.to_owned()));
    }
    Ok(())
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $longest:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SlugError;

            fn from_str(text: &str) -> Result<Self, SlugError> {
                let text = text.to_ascii_lowercase();
                check(&text, $longest)?;
                Ok(Self(text))
            }
        }

        impl TryFrom<String> for $name {
            type Error = SlugError;

            fn try_from(text: String) -> Result<Self, SlugError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(slug: $name) -> Self {
                slug.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

slug!(
    /// A property's slug: up to 20 characters, so that a reply address fits into 64 octets.
    PropertySlug,
    20
);
slug!(
    /// A department's slug: up to 24 characters, shorter than any token.
    DepartmentSlug,
    24
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        assert_eq!("Acme-2".parse::<PropertySlug>().unwrap().as_str(), "acme-2");
        for bad in ["", "2acme", "-a", "a_b", "a.b", "é", "abcdefghijklmnopqrstu", "a+b"] {
            assert_eq!(bad.parse::<PropertySlug>(), Err(SlugError::Shape(20)), "{bad}");
        }
        assert_eq!("bounces".parse::<PropertySlug>(), Err(SlugError::Reserved("bounces".into())));
        assert!("abcdefghijklmnopqrstuvwx".parse::<DepartmentSlug>().is_ok());
    }
}
