//! Every verb of the desk, once.
//!
//! A door (mail, command line, API) calls a function of this module inside a transaction of the
//! store; the rules are those of [`desk`](crate::desk), and what a function writes is all there or
//! not at all. Nothing here does I/O of its own, and time comes with the [`Act`].

pub mod acknowledgement;
pub mod app_password;
pub mod change;
pub mod claim;
pub mod commands;
pub mod confirmation;
pub mod contact;
pub mod copies;
pub mod department;
pub mod find;
mod forward;
pub mod gesture;
pub mod held;
pub mod member;
pub mod notices;
pub mod own;
pub mod post;
pub mod property;
pub mod public_address;
pub mod queue;
pub mod reach;
pub mod shelving;
mod standing;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod ticket;
pub mod timers;
pub mod trace;
mod undelivered;
pub mod verify;
pub mod views;

use jiff::{SignedDuration, Timestamp};

use crate::desk::address::{Address, Mailbox};
use crate::desk::entry::{Author, Door};
use crate::desk::id::MemberId;
use crate::desk::language::Language;
use crate::desk::message_id::MessageId;
use crate::desk::mistake::Mistake;
use crate::desk::recipient::Domains;
use crate::desk::slug::PropertySlug;
use crate::desk::ticket::Person;
use crate::desk::token::Keys;
use crate::desk::trace::TraceId;
use crate::store::StoreError;

/// What is the same for every action of one daemon.
pub struct Desk {
    /// Our own name: the right side of the identifiers that we mint.
    pub hostname: String,
    pub domains: Domains,
    pub keys: Keys,
    /// The property that gets `postmaster@` and `abuse@`.
    pub postmaster: Option<PropertySlug>,
    /// Acknowledgements that go out within an hour, all properties together.
    pub acknowledgements: u32,
    pub patience: Patience,
    /// 128 fresh random bits.
    pub random: Box<dyn Fn() -> [u8; 16] + Send + Sync>,
}

/// How long copies may wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After this the author of an entry is told which of its copies still wait.
    pub warning: SignedDuration,
    /// After this a copy is given up.
    pub lifetime: SignedDuration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { warning: SignedDuration::from_hours(4), lifetime: SignedDuration::from_hours(120) }
    }
}

impl Desk {
    /// A fresh Message-ID of ours.
    #[must_use]
    pub fn mint(&self) -> MessageId {
        MessageId::mint((self.random)(), &self.hostname)
    }

    /// A fresh name for the story of what does not come by SMTP.
    #[must_use]
    pub fn mint_trace(&self) -> TraceId {
        TraceId::mint((self.random)())
    }

    /// Whether an address lies in one of our domains: no copy ever goes there.
    #[must_use]
    pub fn is_local(&self, address: &Address) -> bool {
        self.domains.is_local(address)
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    System,
    Member { id: MemberId, mailbox: Mailbox },
}

/// One action: who, when, by which door.
pub struct Act<'a> {
    pub desk: &'a Desk,
    pub now: Timestamp,
    pub door: Door,
    pub actor: Actor,
    /// The name of the story that whatever it makes is part of.
    pub trace: Option<TraceId>,
    /// What the program calls itself by which a member acts, if it does.
    pub client: Option<String>,
}

impl Act<'_> {
    /// The actor as an entry's author.
    #[must_use]
    pub fn author(&self) -> Author {
        match &self.actor {
            Actor::System => Author::System,
            Actor::Member { id, mailbox } => Author::Person { person: Person::Member(*id), mailbox: mailbox.clone() },
        }
    }

    /// The same action by somebody else.
    #[must_use]
    pub fn with_actor(&self, actor: Actor) -> Act<'_> {
        Act {
            desk: self.desk,
            now: self.now,
            door: self.door,
            actor,
            trace: self.trace.clone(),
            client: self.client.clone(),
        }
    }

    /// The same action as a part of another story.
    #[must_use]
    pub fn as_part_of(&self, trace: Option<TraceId>) -> Act<'_> {
        Act {
            desk: self.desk,
            now: self.now,
            door: self.door,
            actor: self.actor.clone(),
            trace,
            client: self.client.clone(),
        }
    }
}

/// Why an action was not done. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// What was named is not there.
    #[error("there is no {what} {name}{}", did_you_mean(.near))]
    NotFound { what: &'static str, name: String, near: Vec<String> },
    /// The name or address is somebody's already.
    #[error("{what} {name} is taken{}", taken_by(.by))]
    Taken { what: &'static str, name: String, by: String },
    /// It is there already; the text says what to do.
    #[error("{0}")]
    Doubled(String),
    /// What was asked makes no sense as things are; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// The same, in a form that has words in every language.
    #[error("{}", Language::En.mistake(.0))]
    Mistake(Mistake),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Mistake> for ActionError {
    fn from(mistake: Mistake) -> Self {
        Self::Mistake(mistake)
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

fn taken_by(by: &str) -> String {
    if by.is_empty() { String::new() } else { format!(" by {by}") }
}

impl ActionError {
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}
