//! Message identifiers (RFC 5322 §3.6.4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Message-ID without its angle brackets.
///
/// What senders write is often not what the grammar says; any run of printable characters without
/// blanks and angle brackets, of up to [`MessageId::LONGEST`] octets, is taken, so that replies to
/// it find their ticket. Only [grammatical](MessageId::is_grammatical) ones are sent on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(String);

/// A text that can't be a Message-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a Message-ID is up to 900 printable characters without blanks")]
pub struct MessageIdError;

impl MessageId {
    /// The most octets that are taken: more do not fit on a line (RFC 5322 §2.1.1).
    pub const LONGEST: usize = 900;
    /// The most octets that are sent on in References.
    pub const LONGEST_SENT: usize = 250;

    /// Without the angle brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fresh one from 128 random bits.
    #[must_use]
    pub fn mint(random: [u8; 16], domain: &str) -> Self {
        Self(format!("{}@{domain}", data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase()))
    }

    /// Whether it follows the grammar (`dot-atom@dot-atom` or a domain literal, ASCII) and is at
    /// most [`MessageId::LONGEST_SENT`] octets, so that other servers leave it alone.
    #[must_use]
    pub fn is_grammatical(&self) -> bool {
        let atoms = |text: &str| {
            text.split('.').all(|atom| {
                !atom.is_empty()
                    && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
            })
        };
        let literal = |text: &str| {
            text.strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'))
                .is_some_and(|text| text.bytes().all(|b| b.is_ascii_graphic() && !b"[]\\".contains(&b)))
        };
        self.0.len() <= Self::LONGEST_SENT
            && self.0.split_once('@').is_some_and(|(left, right)| atoms(left) && (atoms(right) || literal(right)))
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    /// Takes it with or without angle brackets.
    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let text = text.trim();
        let text = text.strip_prefix('<').unwrap_or(text);
        let text = text.strip_suffix('>').unwrap_or(text);
        let fine = !text.is_empty()
            && text.len() <= Self::LONGEST
            && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '<' && c != '>');
        if fine { Ok(Self(text.to_owned())) } else { Err(MessageIdError) }
    }
}

impl TryFrom<String> for MessageId {
    type Error = MessageIdError;

    fn try_from(text: String) -> Result<Self, MessageIdError> {
        text.parse()
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.0
    }
}

/// With angle brackets, as in a header field.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammatical_or_only_usable() {
        for (text, grammatical) in [
            ("<a.b@example.org>", true),
            ("a@[127.0.0.1]", true),
            ("no-at-sign", false),
            ("a@b@c", false),
            ("a..b@example.org", false),
            ("é@example.org", false),
        ] {
            assert_eq!(text.parse::<MessageId>().unwrap().is_grammatical(), grammatical, "{text}");
        }
        for bad in ["", "<>", "a b@c", "a<b@c", "a\r\nb@c"] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
        assert!(MessageId::mint([7; 16], "desk.example.org").is_grammatical());
    }
}
