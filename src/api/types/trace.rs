//! `GET /trace/{what}`: the stories of mails.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Author, Event, Outage, Spam, Try};
use crate::desk::address::Address;
use crate::desk::copy::CopyState;
use crate::desk::entry::{Door, Kind, Machine, Reason, State, Verified};
use crate::desk::verdict::Outcome;

/// What became of one or several mails, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stories {
    pub stories: Vec<Story>,
    /// How many older ones were left out.
    pub more: usize,
}

/// What became of one mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The name that it has in the log; `null` for what an earlier release took.
    pub id: Option<String>,
    /// When it began to arrive, or was written.
    pub at: Timestamp,
    pub door: Door,
    /// How it came; `null` where it did not come by SMTP.
    pub arrival: Option<Arrival>,
    /// What it made, events too.
    pub entries: Vec<Made>,
    /// How many more it made.
    pub more: u32,
}

/// The connection and the envelope that brought a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    pub client: IpAddr,
    pub helo: String,
    /// Protocol version and cipher suite; `null` in clear.
    pub tls: Option<String>,
    /// The login address of the member who was logged in.
    pub member: Option<Address>,
    /// The reverse-path; `null` is `<>`.
    pub from: Option<Address>,
    /// The first recipients.
    pub recipients: Vec<Address>,
    /// How many there were.
    pub count: u32,
    /// Octets.
    pub size: u64,
}

/// An entry that a mail made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    pub ticket: String,
    pub entry: String,
    pub kind: Kind,
    /// It opened the ticket.
    pub opened: bool,
    pub author: Author,
    pub state: State,
    pub reason: Option<Reason>,
    pub machine: Option<Machine>,
    pub verified: Verified,
    /// The sender's own where there was one.
    pub message_id: Option<String>,
    /// The recipient by whose address it came here.
    pub arrived_at: Option<Address>,
    /// The entry that it answers.
    pub answers: Option<String>,
    pub proofs: Option<Proofs>,
    pub spam: Option<Spam>,
    pub event: Option<Event>,
    pub copies: Vec<Sent>,
    pub at: Timestamp,
}

/// What was checked of the sender's domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    pub spf: Outcome,
    /// The domain that SPF was checked for.
    pub spf_domain: String,
    pub dkim: Vec<Signature>,
    pub dmarc: Outcome,
    pub arc: Outcome,
    /// SPF or DKIM vouches for From's domain.
    pub aligned: bool,
    /// The forwarder whose word was taken.
    pub believed: Option<String>,
}

/// A DKIM signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub domain: String,
    pub outcome: Outcome,
}

/// A copy of an entry, or a letter about it, with its offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub id: String,
    pub to: Address,
    pub content: Carried,
    pub state: CopyState,
    pub attempts: u32,
    pub reply: Option<String>,
    pub server: Option<String>,
    pub queued_at: Timestamp,
    pub next_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    pub outage: Option<Outage>,
    pub tries: Vec<Try>,
}

/// What a copy carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carried {
    /// The entry itself.
    Entry,
    /// The conversation so far.
    Conversation,
    /// What the desk has to say of it.
    Letter,
}
