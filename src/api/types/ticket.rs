//! Tickets with their entries, and what is done to them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Assignee, Person};
use crate::desk::address::Address;
use crate::desk::copy::CopyState;
use crate::desk::entry::{Door, Kind, Machine, Reason, State, Verified as Evidence, What};
use crate::desk::slug::PropertySlug;
use crate::desk::spam::Sentence;
use crate::desk::ticket::{Priority, Standing, Status};

/// `GET /tickets`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tickets {
    pub tickets: Vec<Ticket>,
    pub next: Option<String>,
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    #[serde(rename = "ref")]
    pub reference: String,
    pub number: u64,
    pub property: PropertySlug,
    pub subject: String,
    pub status: Status,
    pub wake_at: Option<Timestamp>,
    pub priority: Priority,
    pub tags: Vec<String>,
    pub door: Door,
    /// The ticket that took over its entries.
    pub merged_into: Option<String>,
    pub requester: Person,
    pub assignee: Option<Assignee>,
    pub participants: Vec<Participant>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Oldest first; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
}

/// Someone on a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    pub role: ParticipantRole,
    pub name: String,
    pub address: Address,
    pub state: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantRole {
    Requester,
    Cc,
    Assignee,
    Follower,
}

/// One item of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub kind: Kind,
    pub author: Author,
    pub state: State,
    pub reason: Option<Reason>,
    pub machine: Option<Machine>,
    pub verified: Evidence,
    /// The sender's own where there was one.
    pub message_id: Option<String>,
    pub text: String,
    pub attachments: Vec<AttachmentView>,
    pub copies: Vec<Copy>,
    pub event: Option<Event>,
    /// What the filter and the blocklists said; absent where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spam: Option<Spam>,
    pub door: Door,
    /// What the mail client calls itself by which it came, if it does.
    #[serde(default)]
    pub client: Option<String>,
    pub at: Timestamp,
}

/// What is thought of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spam {
    pub verdict: Sentence,
    /// The filter's score.
    pub score: Option<f64>,
    /// The DNS blocklist that names the client.
    pub listed: Option<String>,
}

/// Who wrote an entry; the system has neither name nor address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    pub kind: AuthorKind,
    pub name: String,
    pub address: Option<Address>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorKind {
    Contact,
    Member,
    System,
}

/// An attachment as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentView {
    pub name: String,
    #[serde(rename = "type")]
    pub content_type: String,
    /// Octets.
    pub size: u64,
}

/// A copy of an entry, as its ticket shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub to: Address,
    pub state: CopyState,
    pub attempts: u32,
    pub reply: Option<String>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub what: What,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// `GET /tickets/{ref}/log`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    pub entries: Vec<Entry>,
}

/// `POST /tickets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTicket {
    pub property: PropertySlug,
    pub to: Address,
    #[serde(default)]
    pub to_name: String,
    pub subject: String,
    #[serde(default)]
    pub cc: Vec<Address>,
    /// A member's address or its unique local part, or a department's slug.
    #[serde(default)]
    pub assign: Option<String>,
    #[serde(default)]
    pub priority: Priority,
    #[serde(default)]
    pub tags: Vec<String>,
    pub text: String,
    #[serde(default)]
    pub attachments: Vec<NewAttachment>,
}

/// A file to send along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    pub name: String,
    pub content_type: String,
    /// In base64 (RFC 4648 §4).
    pub data: String,
}

/// `POST /tickets/{ref}/actions`: one verb, `{"action":"reply","text":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    Reply {
        text: String,
        #[serde(default)]
        attachments: Vec<NewAttachment>,
        #[serde(default)]
        close: bool,
    },
    Note {
        text: String,
        #[serde(default)]
        attachments: Vec<NewAttachment>,
    },
    Assign {
        /// As in [`NewTicket::assign`]; `null` for nobody.
        to: Option<String>,
    },
    Status {
        status: Status,
    },
    Snooze {
        until: Timestamp,
    },
    Tag {
        tag: String,
    },
    Untag {
        tag: String,
    },
    Priority {
        priority: Priority,
    },
    Cc {
        address: Address,
    },
    Uncc {
        address: Address,
    },
    Follow {
        member: String,
    },
    Unfollow {
        member: String,
    },
    Accept {
        entry: String,
        /// What the writer becomes, where he is unknown to the ticket.
        #[serde(default, rename = "as")]
        writer: Option<AcceptAs>,
    },
    Reject {
        entry: String,
    },
    Merge {
        into: String,
    },
    Requester {
        address: Address,
    },
}

/// What the writer of an accepted entry becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceptAs {
    /// The address is one more of the contact's.
    Same,
    /// A participant of his own.
    Cc,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_named_by_their_verb() {
        for (json, action) in [
            (
                r#"{"action":"reply","text":"hello"}"#,
                Action::Reply { text: "hello".into(), attachments: Vec::new(), close: false },
            ),
            (r#"{"action":"assign","to":null}"#, Action::Assign { to: None }),
            (
                r#"{"action":"accept","entry":"7","as":"cc"}"#,
                Action::Accept { entry: "7".into(), writer: Some(AcceptAs::Cc) },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Action>(json).unwrap(), action, "{json}");
        }
        assert!(serde_json::from_str::<Action>(r#"{"action":"tag","tag":"x","y":1}"#).is_err());
    }
}
