//! What SMTP says about a message besides its bytes (RFC 5321 §2.3.1).

use std::net::IpAddr;

use super::address::Address;
use super::login::Login;
use jiff::Timestamp;

/// What is known of a client and its message when it names a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The client's address.
    pub client: IpAddr,
    /// What the client called itself in EHLO or HELO.
    pub helo: String,
    /// The reverse-path; `None` is the null path `<>`.
    pub reverse_path: Option<Address>,
    /// How many recipients of this message were accepted so far.
    pub recipients: usize,
    /// Who is logged in, on a submission port.
    pub login: Option<Login>,
    /// The name that the message will have.
    pub id: String,
}

/// The envelope of one message and the session that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The client's address.
    pub client: IpAddr,
    /// What the client called itself in EHLO or HELO.
    pub helo: String,
    /// The reverse-path; `None` is the null path `<>`.
    pub reverse_path: Option<Address>,
    /// The forward-paths that were accepted, as given, at least one.
    pub recipients: Vec<Address>,
    /// Protocol version and cipher suite, as far as they are known; `None` in clear.
    pub tls: Option<String>,
    /// Whether EHLO was used (`ESMTP` in the trace field, RFC 5321 §4.4).
    pub extended: bool,
    /// `BODY=8BITMIME` was given (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` was given (RFC 6531).
    pub smtputf8: bool,
    /// Who is logged in, on a submission port.
    pub login: Option<Login>,
    /// When the message began to arrive.
    pub at: Timestamp,
    /// The message's name all the way (`desk/trace.rs`), unique.
    pub id: String,
}
