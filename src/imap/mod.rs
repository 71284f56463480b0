//! The desk in a mail client: tickets over IMAP (RFC 3501, RFC 9051).
//!
//! [`reader`] turns octets into [`command`]s; [`session`] knows which of them may come when, without
//! I/O; [`seat`] carries them out on the desk for the member who is logged in; [`server`] drives it
//! all over a socket. A message is an entry, and the mailbox that it is in is its ticket's state:
//! `docs/imap.md` says how.

pub mod append;
pub mod command;
mod deflate;
mod fetch;
mod flags;
mod listing;
mod log;
#[cfg(test)]
mod model;
mod moves;
pub mod news;
pub mod reader;
pub mod rolls;
mod search;
pub mod seat;
mod select;
pub mod selected;
pub mod server;
pub mod session;
pub mod shapes;
pub mod write;

use std::io;
use std::sync::Arc;

use crate::actions::{self, ActionError};
use crate::intake::Intake;
use crate::net::limits::Memory;
use crate::relay::render::RenderError;
use crate::store::{Store, StoreError};

/// What mailboxes are read from and changed on.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub desk: Arc<actions::Desk>,
    /// What is put into mailboxes goes this way.
    pub intake: Arc<Intake>,
    /// The largest message that APPEND takes, in octets (RFC 7889).
    pub append_limit: u64,
    pub rolls: Arc<rolls::Rolls>,
    /// For large messages on their way in and out.
    pub memory: Arc<Memory>,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The client asked for what there is not, or may not be done; the text says what can be.
    #[error("{text}")]
    No { code: Option<&'static str>, text: String },
    /// What the client said makes no sense here.
    #[error("{0}")]
    Bad(String),
    /// The member may be here no longer.
    #[error("{0}")]
    Bye(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something on the desk is not as it must be.
    #[error("{0}")]
    Broken(String),
    /// The client is gone, or reads too slowly.
    #[error(transparent)]
    Client(#[from] io::Error),
}

impl Trouble {
    fn no(code: &'static str, text: impl Into<String>) -> Self {
        Self::No { code: Some(code), text: text.into() }
    }
}

impl From<ActionError> for Trouble {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Store(error) => Self::Store(error),
            other => Self::No { code: Some("CANNOT"), text: other.to_string() },
        }
    }
}

impl From<RenderError> for Trouble {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Store(error) => Self::Store(error),
            other => Self::Broken(other.to_string()),
        }
    }
}
