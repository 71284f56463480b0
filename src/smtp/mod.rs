//! The server side of SMTP (RFC 5321): from bytes on a socket to an [`Envelope`] with a [`Body`].
//!
//! [`session`] is the protocol, a state machine without I/O, on top of [`mod@line`], [`command`]
//! and [`data`] (the message). [`server`] drives it over a socket with deadlines and limits and asks a
//! [`Host`] what the desk knows: whether a recipient exists, and to take a message. What a message
//! means is not decided here.
//!
//! [`Envelope`]: crate::desk::envelope::Envelope
//! [`Body`]: body::Body
//! [`Host`]: server::Host

pub mod body;
pub mod command;
pub mod data;
pub mod line;
pub mod reply;
pub mod server;
pub mod session;
pub mod trace;
