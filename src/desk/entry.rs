//! Entries: the items of a ticket.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox};
use super::id::{CopyId, EntryId, MemberId, RawId, TicketId};
use super::message_id::MessageId;
use super::ticket::{Person, Priority, Status, named};
use super::trace::TraceId;
use super::verdict::Verdict;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A public message.
    Message,
    /// For members only.
    Note,
    /// A transcript of a live conversation.
    Chat,
    /// Who changed what, when, by which door.
    Event,
}

/// The way in of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Smtp,
    Submission,
    Imap,
    Web,
    Chat,
    Api,
    Cli,
    Timer,
    Import,
}

named!(
    Door,
    "door",
    Smtp = "smtp",
    Submission = "submission",
    Imap = "imap",
    Web = "web",
    Chat = "chat",
    Api = "api",
    Cli = "cli",
    Timer = "timer",
    Import = "import"
);

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It went to those whom it was for.
    Relayed,
    /// It waits for a member's word.
    Held,
    /// It is on the ticket and goes to nobody.
    Kept,
    /// A member said no.
    Rejected,
}

/// Why an entry is held, kept or marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// From says a member, and nothing proves it.
    Unaligned,
    /// A member's reply address, another From than his.
    UnknownAddress,
    /// It answers something older than a colleague's public reply.
    Crossed,
    /// A command in it was wrong.
    Command,
    /// From is not who was asked.
    Unverified,
    /// A vacation notice or its like.
    AutoReply,
    /// A delivery report.
    Bounce,
    /// A read receipt (RFC 8098).
    Receipt,
    /// An answer to an invitation (RFC 5546).
    Calendar,
    /// A copy of ours that came back.
    Returned,
    /// The same message a second time.
    Duplicate,
    /// One more of many that look alike, from one sender.
    LookAlike,
    /// Mail between machines that belongs to no conversation.
    Automatic,
    /// An answer to a question of the desk: about a held entry, or about a member's address.
    Decision,
    /// Commands and nothing besides: there is nothing to send.
    OnlyCommands,
    /// A member hands on somebody's mail, and too little proves that he does, or whose it is.
    Forward,
    /// A provider asks whether a mailbox may forward here.
    Confirmation,
    /// The filter or a blocklist says so.
    Spam,
    /// A reader's complaint about a copy, by his provider (RFC 5965).
    Complaint,
    /// Statistics about mail in general: DMARC (RFC 7489 §7.2), TLS (RFC 8460).
    Statistics,
    /// One turn too many of an exchange that goes on by itself (`desk/exchange.rs`).
    Exchange,
}

/// What kind of machine wrote a message (`docs/mail.md`, Machines).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    Silent,
    Talking,
}

/// The evidence that the author is who the entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// He was logged in.
    Submission,
    /// A reply address made for him, with an address of his in From.
    Token,
    /// SPF or DKIM aligned with From's domain.
    Aligned,
    /// He answered an identifier that only its readers know.
    MintedId,
    /// A member confirmed it.
    Confirmed,
    None,
}

/// Who wrote an entry, as he was called then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    Person { person: Person, mailbox: Mailbox },
    System,
}

impl Author {
    #[must_use]
    pub fn person(&self) -> Option<Person> {
        match self {
            Self::Person { person, .. } => Some(*person),
            Self::System => None,
        }
    }

    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Person { mailbox, .. } => Some(mailbox),
            Self::System => None,
        }
    }

    #[must_use]
    pub fn is_member(&self) -> bool {
        matches!(self, Self::Person { person: Person::Member(_), .. })
    }
}

/// A part of a message that a reader would call an attachment, an inline image included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Decoded and made safe for a file name; never empty.
    pub name: String,
    /// `type/subtype`, in lower case.
    pub content_type: String,
    /// Octets after decoding.
    pub size: u64,
    /// Shown within the text (it has a Content-ID that the HTML names), not beside it.
    pub inline: bool,
}

/// A change of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Created,
    Status,
    Woken,
    Assignee,
    Priority,
    Tag,
    Untag,
    Requester,
    Participant,
    Follow,
    Unfollow,
    Accepted,
    Rejected,
    Merged,
    Continues,
    Returned,
    Duplicate,
    Bounce,
    Delayed,
    Failed,
    /// A report says that a copy reached its reader, or went on.
    Delivered,
    Notified,
    /// An address became one more of a member's.
    Address,
    /// Something on the ticket goes on by itself: it is kept, and nobody is sent more of it.
    Quiet,
    /// No copies go to an address any more, since they kept failing.
    Suspended,
    Resumed,
    /// A person held, released, retried or cancelled copies.
    Delivery,
    /// A public address stands in From no longer: its domain does not publish our key any more.
    PublicTakenBack,
}

/// An event's content: what changed, from which value to which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub what: What,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The line on top of members' copies, as it was when the entry was made. It never changes, so
/// that a copy is the same at each attempt and in IMAP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub status: Status,
    pub priority: Priority,
    /// The assignee's name.
    pub assignee: Option<String>,
    pub tags: Vec<String>,
    /// The contacts who are accepted.
    pub contacts: Vec<Mailbox>,
    /// The contacts who get a member's answer: those, and whom it would accept.
    pub answered: Vec<Mailbox>,
    /// Contacts who were named and get nothing until a member accepts them.
    pub proposed: Vec<Mailbox>,
}

/// An entry as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: EntryId,
    pub ticket: TicketId,
    pub kind: Kind,
    pub author: Author,
    pub state: State,
    pub reason: Option<Reason>,
    pub machine: Option<Machine>,
    pub verified: Verified,
    pub door: Door,
    pub at: Timestamp,
    /// The sender's own Message-ID, or one made where there was none.
    pub message_id: Option<MessageId>,
    /// Ours: what every copy of this entry bears.
    pub minted_id: Option<MessageId>,
    /// As the sender dated it.
    pub date: Option<Timestamp>,
    /// The entry that this one answers.
    pub parent: Option<EntryId>,
    /// Subject as it came, decoded.
    pub subject: String,
    /// The new text, without quotation and signature; at most [`Entry::LONGEST_TEXT`] octets.
    pub text: String,
    pub attachments: Vec<Attachment>,
    /// Who stands in To and Cc, without our own addresses.
    pub named: Vec<Mailbox>,
    /// The message itself.
    pub raw: Option<RawId>,
    pub verdict: Option<Verdict>,
    pub event: Option<Event>,
    pub facts: Option<Facts>,
    /// What readers are warned of: the author proved nothing.
    pub warning: Option<Reason>,
    /// The member in whose name a held entry would go out.
    pub claims: Option<MemberId>,
    /// The envelope's forward-path that led here.
    pub arrived_at: Option<Address>,
    /// The copies that were made of it.
    pub copies: Vec<CopyId>,
    /// Its member was told that an answer of his decided nothing. Once is enough: what answers the
    /// second time may be a machine that does not say so.
    #[serde(default)]
    pub explained: bool,
    /// The commands that its message began with and that were carried out: they don't go on.
    #[serde(default)]
    pub commands: Vec<String>,
    /// How many turns without a person it stands at the end of; 0 where a person set it off
    /// (`desk/exchange.rs`).
    #[serde(default)]
    pub turn: u8,
    /// It hands on somebody's mail: when it goes out it is his, and so is its ticket.
    #[serde(default)]
    pub hands_on: bool,
    /// The newest of colleagues' replies that its member was shown when he was asked about it.
    #[serde(default)]
    pub seen: Option<EntryId>,
    /// The name of the story that it is part of.
    #[serde(default)]
    pub trace: Option<TraceId>,
    /// What its mail's From says; the author may be called otherwise.
    #[serde(default)]
    pub from: Option<Address>,
    /// What the program calls itself by which it came (RFC 2971), where that is known.
    #[serde(default)]
    pub client: Option<String>,
}

impl Entry {
    /// Whether it waits for somebody's word: it is held, or is kept since it says that it is a member's
    /// and nothing proves that.
    #[must_use]
    pub fn waits(&self) -> bool {
        match self.state {
            State::Held => true,
            State::Kept => self.warning.is_some(),
            State::Relayed | State::Rejected => false,
        }
    }

    /// Whether it waits for this member's word.
    #[must_use]
    pub fn awaits(&self, member: MemberId) -> bool {
        self.state == State::Held && self.claims == Some(member)
    }

    /// The most octets of text that the entry itself holds; the whole is in the raw message.
    pub const LONGEST_TEXT: usize = 64 * 1024;
}
