//! What the sending domain proves of a message, and what our own domains prove of ours.
//!
//! [`judge`] turns SPF, DKIM, DMARC and ARC into one [`Verdict`](crate::desk::verdict::Verdict);
//! [`blocklist`] and [`rspamd`] ask others what they know of the client
//! and think of the message; [`alignment`] says whether two domains belong together; [`sign`] makes the DKIM signatures of
//! outgoing mail with the keys that [`keys`] makes, of which a domain's [`ring`] says what each does. What other servers wrote down of their
//! own checks is read by `results`, and gathered by `hops`.
//!
//! Nothing here decides what becomes of a message: a failed check refuses nothing by itself.

pub mod alignment;
pub mod blocklist;
mod hops;
pub mod judge;
pub mod keys;
mod results;
pub mod ring;
pub mod rspamd;
pub mod sign;

pub use judge::{Authenticator, Origin};
pub use sign::{Signer, Signers};
