//! The client for SMTP (RFC 5321) and LMTP (RFC 2033): offers messages to the next server and says,
//! for each recipient, what became of it.
//!
//! It knows nothing of tickets and keeps nothing: the queue above decides when to try and what an
//! outcome means for a copy. One [`Session`] is one connection; [`pool`](super::pool) keeps them.

mod data;
mod reply;
mod session;
mod transaction;
mod transport;

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;

pub use reply::{Reply, ReplyReader, Server};
pub use session::Session;
pub use transaction::Done;
pub use transport::{Tls, TlsError};

use super::route::NextHop;
use crate::desk::address::Address;
use crate::desk::tls_report::TlsFailure;

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Transaction<'m> {
    /// `None` is the null reverse-path `<>`.
    pub reverse_path: Option<Address>,
    /// At least one.
    pub recipients: Vec<Address>,
    /// Header and body.
    pub message: &'m [u8],
    /// The body has octets beyond ASCII, and must not be changed (RFC 6152).
    pub eight_bit: bool,
    /// The header has octets beyond ASCII (RFC 6531).
    pub smtputf8: bool,
}

/// What became of a message for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next server took it.
    Sent(Reply),
    /// Later, perhaps: a `4xx`, or the connection was lost. It may have been taken where the
    /// answer to the whole message was lost.
    Deferred(Reply),
    /// Never: a `5xx` for this recipient or this message.
    Failed(Reply),
    /// The route can't be used by anyone now; it says nothing about the recipient. Where the reply
    /// [is permanent](Reply::is_permanent), somebody has to put the configuration right.
    RouteDown(Reply),
    /// It was not offered: as much is under way to this server already as may be.
    Busy(Reply),
}

impl Outcome {
    #[must_use]
    pub fn reply(&self) -> &Reply {
        let (Self::Sent(reply)
        | Self::Deferred(reply)
        | Self::Failed(reply)
        | Self::RouteDown(reply)
        | Self::Busy(reply)) = self;
        reply
    }

    /// The same, said by a server, unless it is known who said it.
    #[must_use]
    pub fn by(self, server: &Server) -> Self {
        match self {
            Self::Sent(reply) => Self::Sent(reply.by(server)),
            Self::Deferred(reply) => Self::Deferred(reply.by(server)),
            Self::Failed(reply) => Self::Failed(reply.by(server)),
            Self::RouteDown(reply) => Self::RouteDown(reply.by(server)),
            Self::Busy(reply) => Self::Busy(reply.by(server)),
        }
    }
}

/// How long the client waits (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a name, and for a connection, each.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the answer to a command, as to EHLO, AUTH, MAIL and RCPT; for TLS.
    pub command: Duration,
    /// For the answer to DATA.
    pub data: Duration,
    /// For a piece of the message (64 KiB) to go out.
    pub block: Duration,
    /// For the answer to the message.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            greeting: Duration::from_mins(5),
            command: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            end: Duration::from_mins(10),
        }
    }
}

/// Opens sessions. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    helo: String,
    source: Vec<IpAddr>,
    resolver: TokioResolver,
    tls: Tls,
    timeouts: Timeouts,
}

impl Client {
    /// `helo` is what we call ourselves in EHLO (RFC 5321 §4.1.1.1).
    pub fn new(helo: impl Into<String>, resolver: TokioResolver, tls: Tls) -> Self {
        Self { helo: helo.into(), source: Vec::new(), resolver, tls, timeouts: Timeouts::default() }
    }

    /// With connections that come from these addresses of ours, one a family; a family without one
    /// is not used. From none: as the system chooses.
    #[must_use]
    pub fn from_addresses(mut self, source: Vec<IpAddr>) -> Self {
        self.source = source;
        self
    }

    /// With other waits.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Connects, greets, encrypts and logs in, as far as the hop asks for.
    ///
    /// # Errors
    /// What was said, or what went wrong: the route is down.
    pub async fn open(&self, hop: &NextHop) -> Result<Session, Reply> {
        self.attempt(hop).await.session
    }

    /// The same, and how TLS went.
    pub async fn attempt(&self, hop: &NextHop) -> Opened {
        match Session::open(self, hop, true).await {
            Ok(session) => Opened { tls: session.tls.clone(), address: session.address, session: Ok(session) },
            Err(error) => {
                let may_be_in_clear = !hop.security.is_required() && hop.credentials.is_none();
                let session = if error.in_handshake && may_be_in_clear {
                    // Without STARTTLS offered it would be in clear too.
                    Session::open(self, hop, false).await.map_err(|error| error.reply)
                } else {
                    Err(error.reply)
                };
                Opened { session, tls: error.tls.map(Err), address: error.address }
            }
        }
    }
}

/// What came of an attempt to talk to a server.
pub struct Opened {
    pub session: Result<Session, Reply>,
    /// How TLS went, for reports (RFC 8460 §4.3); `None` where it did not come to that.
    pub tls: Option<Result<(), TlsFailure>>,
    /// Who was talked to.
    pub address: Option<IpAddr>,
}
