//! What goes over the JSON API, field by field. Server and command line share these types, so a
//! name can't differ between them. Times are RFC 3339 in UTC, ids are texts.

pub mod trace;

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desk::address::Address;
use crate::desk::command::Allowed;
use crate::desk::confirmation::Provider;
use crate::desk::copy::CopyState;
use crate::desk::entry::{Door, Kind, Machine, Reason, State, Verified as Evidence, What};
use crate::desk::forwarder::Forwarder;
use crate::desk::language::Language;
use crate::desk::member::Role;
use crate::desk::sender::Sender;
use crate::desk::slug::{DepartmentSlug, PropertySlug};
use crate::desk::spam::Sentence;
use crate::desk::ticket::{Priority, Standing, Status};
use crate::trust::keys::Algorithm;
use crate::trust::ring::KeyState;

/// A failure: `{"error":{"code","message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: ErrorBody,
}

/// What went wrong, for a program and for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One of `invalid`, `not-found`, `conflict`, `forbidden`, `too-large`, `busy`, `internal`; on
    /// the command line also `usage` and `bad-config`.
    pub code: String,
    pub message: String,
}

/// Someone by name and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    pub address: Address,
}

/// Who works on a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignee {
    pub kind: AssigneeKind,
    /// A member's login address or a department's slug.
    pub id: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssigneeKind {
    Member,
    Department,
}

/// `GET /properties`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    pub properties: Vec<Property>,
    pub next: Option<String>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub slug: PropertySlug,
    pub name: String,
    pub language: Language,
    /// Every address that it takes mail at, the forwarding address first.
    pub addresses: Vec<Address>,
    pub forwarding_address: Address,
    pub public: Option<Address>,
    /// Whether contacts see the public address in From.
    pub public_verified: bool,
    /// Since when its domain's DKIM record was looked for and not there.
    #[serde(default)]
    pub public_missing_since: Option<Timestamp>,
    pub default_assignee: Option<Assignee>,
    pub after_reply: Status,
    pub auto_close_days: Option<u16>,
    pub strict: bool,
    /// Addresses of web forms and groups whose writer stands in Reply-To.
    pub trusted: Vec<Address>,
    /// Whether a requester is told that his message has arrived.
    pub acknowledge: bool,
    /// The text of that by language, where it is the property's own.
    pub acknowledgements: BTreeMap<Language, String>,
    /// The commands that members may give by mail: `all`, `none`, or `close,tag`.
    pub commands: Allowed,
    /// Domains whose word on SPF and DKIM of the mail that they forward counts.
    pub forwarders: Vec<Forwarder>,
    /// What providers asked it to confirm, the newest first.
    pub forwarding_confirmations: Vec<Confirmation>,
    /// Addresses and domains whose mail is refused.
    #[serde(default)]
    pub blocked: Vec<Sender>,
    /// Addresses and domains whose aligned mail no filter and no blocklist stops.
    #[serde(default)]
    pub allowed: Vec<Sender>,
    pub created_at: Timestamp,
}

/// A provider asks whether a mailbox may forward to a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub provider: Provider,
    /// The mailbox that wants to forward.
    pub mailbox: Option<Address>,
    pub code: Option<String>,
    /// On one of the provider's own hosts.
    pub link: Option<String>,
    /// Where the mail itself is kept.
    pub ticket: String,
    pub at: Timestamp,
}

/// `POST /properties`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProperty {
    pub slug: PropertySlug,
    pub name: String,
    #[serde(default)]
    pub addresses: Vec<Address>,
    #[serde(default)]
    pub public: Option<Address>,
    #[serde(default)]
    pub language: Language,
}

/// `PATCH /properties/{slug}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditProperty {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_addresses: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_addresses: Vec<Address>,
    /// `null` takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub public: Option<Option<Address>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// A member or department; `null` for nobody.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default_assignee: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_reply: Option<Status>,
    /// `null` turns it off.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub auto_close_days: Option<Option<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distrust: Vec<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<bool>,
    /// Texts by language; `null` goes back to the desk's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub acknowledgements: BTreeMap<Language, Option<String>>,
    /// `all`, `none`, or `close,tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<Allowed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_forwarders: Vec<Forwarder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_forwarders: Vec<Forwarder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unblock: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Sender>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disallow: Vec<Sender>,
}

/// `GET /members`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
    pub next: Option<String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The login address.
    pub address: Address,
    pub name: String,
    pub aliases: Vec<Address>,
    pub list: bool,
    /// His role in each property, by slug.
    pub roles: BTreeMap<String, Role>,
    /// Whether copies go to him by mail.
    pub copies: bool,
    /// Whether he has a password; it is never shown.
    pub password: bool,
    /// Addresses that he says are his, and that have not confirmed it yet.
    pub claims: Vec<Claim>,
    /// The login address, if it gets no copies since mail to it kept failing.
    pub suspended: Vec<Suspended>,
    pub created_at: Timestamp,
}

/// An address on its way to be a member's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub address: Address,
    /// Until when it may confirm that.
    pub expires_at: Timestamp,
}

/// `POST /members`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    pub address: Address,
    pub name: String,
    pub property: PropertySlug,
    #[serde(default = "agent")]
    pub role: Role,
    #[serde(default)]
    pub aliases: Vec<Address>,
    #[serde(default)]
    pub list: bool,
    #[serde(default)]
    pub password: Option<String>,
}

/// `PATCH /members/{address}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditMember {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new login address; the old one becomes an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_aliases: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_aliases: Vec<Address>,
    /// Roles to give or change, by slug.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_properties: Vec<PropertySlug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// `GET /members/{address}/app-passwords`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPasswords {
    pub app_passwords: Vec<AppPassword>,
}

/// A device that a member logs in from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    pub name: String,
    pub created_at: Timestamp,
    pub last_use: Option<LastUse>,
}

/// The last login of a device, to the minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    pub at: Timestamp,
    /// The network address that it came from.
    pub client: IpAddr,
    /// The SASL mechanism: `PLAIN`, `LOGIN` or `SCRAM-SHA-256`.
    pub mechanism: String,
}

/// `POST /members/{address}/app-passwords`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAppPassword {
    /// Which device it is for; no other of the member's has this name.
    pub name: String,
}

/// A password that was just made. Nobody can tell it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAppPassword {
    /// What to log in with.
    pub address: Address,
    pub name: String,
    pub password: String,
    pub created_at: Timestamp,
}

/// `GET /departments`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departments {
    pub departments: Vec<Department>,
    pub next: Option<String>,
}

/// A department.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Department {
    pub property: PropertySlug,
    pub slug: DepartmentSlug,
    pub name: String,
    /// Where mail for it goes, `slug+department@domain`.
    pub address: Address,
    pub members: Vec<Person>,
}

/// `POST /properties/{slug}/departments`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDepartment {
    pub slug: DepartmentSlug,
    pub name: String,
    #[serde(default)]
    pub members: Vec<Address>,
}

/// `PATCH /properties/{slug}/departments/{slug}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditDepartment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_members: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_members: Vec<Address>,
}

/// `GET /contacts`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contacts {
    pub contacts: Vec<Contact>,
    pub next: Option<String>,
}

/// An address that gets no copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    pub address: Address,
    pub since: Timestamp,
    /// The remote server's words at the last failure.
    pub reason: String,
}

/// A contact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    pub id: String,
    pub name: String,
    /// The first is the one shown.
    pub addresses: Vec<Address>,
    pub organisation: String,
    pub note: String,
    /// Those of his addresses that get no copies since mail to them kept failing.
    pub suspended: Vec<Suspended>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// His tickets, newest first, without entries; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tickets: Option<Vec<Ticket>>,
}

/// `PATCH /contacts/{address}`: what is absent stays, an empty text empties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditContact {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

/// `POST /contacts/{address}/merge`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// An address of the contact that stays.
    pub into: Address,
}

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

/// `GET /queue`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub copies: Vec<QueuedCopy>,
    pub next: Option<String>,
}

/// A copy, as the queue shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedCopy {
    pub id: String,
    pub ticket: String,
    pub entry: String,
    pub to: Address,
    /// The recipient's domain, in A-labels.
    pub destination: String,
    pub state: CopyState,
    pub attempts: u32,
    pub reply: Option<String>,
    /// The server that said `reply`, by name and address.
    pub server: Option<String>,
    pub queued_at: Timestamp,
    /// When it is offered next; `null` while it is held, and once it is sent, failed or cancelled.
    pub next_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    /// Why nothing is sent to its destination now, where that is so.
    pub outage: Option<Outage>,
    /// Its offers, the first and the last ones; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Vec<Try>>,
}

/// A destination, or the way out for everybody, to which nothing is sent until it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// A server's last words, or what kept us from hearing any.
    pub words: String,
}

/// One offer of a copy to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Counted from 1.
    pub number: u32,
    pub at: Timestamp,
    pub server: Option<String>,
    /// What it made of the copy: sent, deferred or failed.
    pub outcome: CopyState,
    pub reply: String,
}

/// `GET /queue/summary`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSummary {
    /// The most copies first.
    pub destinations: Vec<QueueDestination>,
    /// How many more destinations have copies that wait.
    pub more: usize,
    /// The one way out for everybody is down: all that waits, waits for it.
    pub outage: Option<Outage>,
}

/// The copies that wait for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDestination {
    pub destination: String,
    pub queued: u64,
    pub deferred: u64,
    pub held: u64,
    /// Since when the oldest waits.
    pub oldest_at: Timestamp,
    pub outage: Option<Outage>,
}

/// `POST /queue/actions`: what is done to which copies; one of `ticket`, `destination` and `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueAction {
    /// `hold`, `release`, `retry` or `cancel`.
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    #[serde(default)]
    pub all: bool,
    /// Where the answer before said to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// How many copies it was done to, and where to go on: one request does so many and no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDone {
    pub done: u64,
    pub next: Option<String>,
}

/// `GET /dns`, `POST /dns/check`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    pub records: Vec<DnsRecord>,
    /// MTA-STS policies, which are no records: we serve them.
    #[serde(default)]
    pub policies: Vec<DnsPolicy>,
}

/// The MTA-STS policy of a domain (RFC 8461 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPolicy {
    pub domain: String,
    pub url: String,
    /// With CRLF at the line ends.
    pub text: String,
}

/// How much depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Without it mail is lost, or refused by many.
    Required,
    /// Without it something works less well.
    Recommended,
    /// For whoever wants what it gives.
    Optional,
}

/// A record that should be in the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The domain that it is for.
    pub domain: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Names without a final dot; empty where the operator alone knows it.
    pub value: String,
    pub purpose: String,
    pub need: Need,
    /// What the DNS has there; `null` where it has nothing, or was not asked.
    pub found: Option<String>,
    /// Whether that does what it should; `null` where it was not asked, or did not answer.
    pub ok: Option<bool>,
    /// What to do, or to know.
    pub advice: Option<String>,
}

/// `GET /dkim`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dkim {
    pub domains: Vec<DkimDomain>,
}

/// A domain in whose name mail is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimDomain {
    pub domain: String,
    pub keys: Vec<DkimKey>,
}

/// One of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimKey {
    pub selector: String,
    pub algorithm: Algorithm,
    pub state: KeyState,
    /// Since when it has its state.
    pub since: Timestamp,
    /// Of an old one: from when on it is safe to retire it.
    pub retire_after: Option<Timestamp>,
    /// The TXT record that publishes it; `null` of a retired one.
    pub name: Option<String>,
    pub value: Option<String>,
}

/// `POST /dkim/{domain}/retire`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    pub selector: String,
    /// Also while mail that it signed may be under way.
    #[serde(default)]
    pub now: bool,
}

/// `POST /probe`: a message that tests the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub to: Address,
    /// Seconds to wait for it to come back, 600 at most; 60 for an address of ours and 10 for others,
    /// from where only a report comes back.
    pub wait: Option<u64>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    pub to: Address,
    pub message_id: String,
    pub date: String,
    /// Of each signature.
    pub signatures: Vec<ProbeSignature>,
    pub way: ProbeWay,
    pub state: ProbeState,
    /// What the next server said.
    pub reply: String,
    /// A report's words, where one came back.
    pub report: Option<String>,
    /// Milliseconds until it came back; `null`: it did not.
    pub back_after: Option<u64>,
    /// What came back, held against what was sent.
    pub findings: Vec<ProbeFinding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSignature {
    pub domain: String,
    pub selector: String,
}

/// How a probe went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeWay {
    /// As copies go.
    Route,
    /// Into the Maildir of mode `capture`.
    Captured,
    /// To our own port, since in mode `direct` mail for ourselves never leaves.
    Ourselves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// The next server took it.
    Sent,
    /// It was not taken now.
    Deferred,
    /// It was refused, or reported undeliverable.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFinding {
    pub what: String,
    /// `null`: it proves nothing.
    pub ok: Option<bool>,
    pub seen: String,
}

/// `POST /verify`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub ok: bool,
    /// How many of what was read.
    pub read: BTreeMap<String, u64>,
    pub problems: Vec<String>,
}

/// `POST /backup`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// An absolute path that doesn't exist yet, or an empty folder.
    pub directory: String,
}

/// What was copied, or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    pub directory: String,
    pub files: u64,
    /// Octets.
    pub size: u64,
}

/// `GET /metrics`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub metrics: Vec<Metric>,
}

/// One number, as Prometheus has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: MetricKind,
    pub help: String,
    /// What tells it from its siblings; at most one label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Only grows while the daemon runs.
    Counter,
    Gauge,
}

/// What was removed, by the name it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub removed: String,
}

/// Tells `null` from absent: what is present is `Some`.
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn agent() -> Role {
    Role::Agent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_key_stays_and_null_takes_away() {
        let edit: EditProperty = serde_json::from_str(r#"{"public":null}"#).unwrap();
        assert_eq!(edit, EditProperty { public: Some(None), ..EditProperty::default() });
        assert_eq!(serde_json::to_string(&edit).unwrap(), r#"{"public":null}"#);
        assert_eq!(serde_json::from_str::<EditProperty>("{}").unwrap(), EditProperty::default());
        assert!(serde_json::from_str::<EditProperty>(r#"{"nmae":"x"}"#).is_err());
    }

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
