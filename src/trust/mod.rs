//! What the sending domain proves of a message, and what our own domains prove of ours.
//!
//! [`judge`] turns SPF, DKIM, DMARC and ARC into one [`Verdict`](crate::desk::verdict::Verdict);
//! [`blocklist`] and [`rspamd`] ask others what they know of the client
//! and think of the message; [`alignment`] says whether two domains belong together; [`sign`] makes the DKIM signatures of
//! outgoing mail with the keys that [`keys`] makes and keeps.
//!
//! Nothing here decides what becomes of a message: a failed check refuses nothing by itself.

pub mod alignment;
pub mod blocklist;
pub mod judge;
pub mod keys;
pub mod rspamd;
pub mod sign;

pub use judge::{Authenticator, Origin};
pub use sign::Signer;
