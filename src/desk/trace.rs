//! The story of one mail: the name that it has all the way, and what is remembered of its arrival.
//!
//! A message that comes by SMTP is named when its transaction begins; what is written at the desk,
//! and what time does to it, when it happens. The name stands in our trace field, in the answer to the
//! client, in every log line, and here, with the entries that the message made.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::entry::Door;
use super::envelope::Envelope;
use super::id::{EntryId, MemberId, TicketId};

/// The name of one message's story: lower-case letters, digits, `-` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(String);

/// A text that is no name of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace id is up to 64 lower-case letters, digits, hyphens and dots")]
pub struct TraceIdError;

impl TraceId {
    const LONGEST: usize = 64;

    /// A fresh one, of what does not come by SMTP. It has no dot, and those of messages have one.
    #[must_use]
    pub fn mint(random: [u8; 16]) -> Self {
        Self(BASE32_NOPAD.encode(&random[..10]).to_ascii_lowercase())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;

    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let right = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let is_one = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(right);
        if is_one { Ok(Self(text.to_owned())) } else { Err(TraceIdError) }
    }
}

impl TryFrom<String> for TraceId {
    type Error = TraceIdError;

    fn try_from(text: String) -> Result<Self, TraceIdError> {
        text.parse()
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is remembered under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub at: Timestamp,
    pub door: Door,
    /// How it arrived, where it came by SMTP.
    pub arrival: Option<Arrival>,
    /// What it made, events too, with the ticket that each was on then.
    pub entries: Vec<(TicketId, EntryId)>,
    /// How many more it made.
    pub more: u32,
}

/// The connection and the envelope that brought a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    pub client: IpAddr,
    /// What the client called itself.
    pub helo: String,
    /// Protocol version and cipher suite; `None` in clear.
    pub tls: Option<String>,
    /// Who was logged in.
    pub member: Option<MemberId>,
    pub reverse_path: Option<Address>,
    /// The first ones of the envelope.
    pub recipients: Vec<Address>,
    /// How many there were.
    pub count: u32,
    /// Octets, with our own trace field.
    pub size: u64,
}

impl Trace {
    /// The most entries that one is remembered to have made.
    const MOST_ENTRIES: usize = 100;

    /// One that has made nothing yet.
    #[must_use]
    pub fn begin(at: Timestamp, door: Door, arrival: Option<Arrival>) -> Self {
        Self { at, door, arrival, entries: Vec::new(), more: 0 }
    }

    /// It made an entry.
    pub fn made(&mut self, ticket: TicketId, entry: EntryId) {
        if self.entries.len() < Self::MOST_ENTRIES {
            self.entries.push((ticket, entry));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

impl Arrival {
    /// The most recipients, and octets of a greeting, that are remembered.
    const MOST_RECIPIENTS: usize = 20;
    const LONGEST_HELO: usize = 255;

    /// Of a message of so many octets.
    #[must_use]
    pub fn of(envelope: &Envelope, size: usize) -> Self {
        Self {
            client: envelope.client,
            helo: envelope.helo.chars().take(Self::LONGEST_HELO).collect(),
            tls: envelope.tls.clone(),
            member: envelope.login.as_ref().map(super::login::Login::member),
            reverse_path: envelope.reverse_path.clone(),
            recipients: envelope.recipients.iter().take(Self::MOST_RECIPIENTS).cloned().collect(),
            count: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
            size: size as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_those_of_sessions_have_a_dot() {
        for good in ["64a5e0f1b2c3d-1f.2", "abc", "a.b-c"] {
            assert_eq!(good.parse::<TraceId>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "<a@b>", "a_b", "é", &"x".repeat(65)] {
            assert_eq!(bad.parse::<TraceId>(), Err(TraceIdError), "{bad}");
        }
        let minted = TraceId::mint([0xff; 16]);
        assert_eq!((minted.as_str().len(), minted.as_str().contains('.')), (16, false));
        assert_eq!(minted.as_str().parse(), Ok(minted.clone()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut trace = Trace::begin(Timestamp::UNIX_EPOCH, Door::Smtp, None);
        for id in 0..150 {
            trace.made(TicketId(1), EntryId(id));
        }
        assert_eq!((trace.entries.len(), trace.more), (100, 50));
        let envelope = Envelope {
            client: IpAddr::from([192, 0, 2, 1]),
            helo: "é".repeat(1000),
            reverse_path: None,
            recipients: (0..99).map(|n| format!("a{n}@desk.example").parse().unwrap()).collect(),
            tls: None,
            extended: true,
            eight_bit: false,
            smtputf8: false,
            login: None,
            at: Timestamp::UNIX_EPOCH,
            id: "s.1".to_owned(),
        };
        let arrival = Arrival::of(&envelope, 10);
        assert_eq!((arrival.recipients.len(), arrival.count, arrival.helo.chars().count()), (20, 99, 255));
    }
}
