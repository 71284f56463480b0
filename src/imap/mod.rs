//! The desk in a mail client: tickets over IMAP (RFC 3501, RFC 9051).
//!
//! [`reader`] turns octets into [`command`]s; [`session`] knows which of them may come when, without
//! I/O; `office` carries them out on the desk for the member who is logged in; `server` drives it
//! all over a socket. A message is an entry, and the mailbox that it is in is its ticket's state:
//! `docs/imap.md` says how.

pub mod command;
pub mod reader;
