//! One connection: greeting, EHLO, STARTTLS, AUTH, and the exchange of commands and replies.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::reply::ReplyReader;
use super::transport::{Connected, Expected, Line, connect};
use super::{Client, Reply, Server, Timeouts};
use crate::desk::tls_report::{FailureKind, TlsFailure};
use crate::relay::route::{Credentials, NextHop, Place, Protocol, Security};

/// The size of one read.
const READ: usize = 4 * 1024;
/// How long a failing server is listened to for its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An open connection to the next server, ready for a transaction.
pub struct Session {
    pub(super) line: Box<dyn Line>,
    pub(super) protocol: Protocol,
    pub(super) extensions: Extensions,
    pub(super) timeouts: Timeouts,
    buffer: Vec<u8>,
    /// How many transactions it has carried.
    pub(super) transactions: u32,
    opened: Instant,
    pub(super) used: Instant,
    /// Who is at its other end; `None` on a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// How TLS went; `None` where none was thought of.
    pub(super) tls: Option<Result<(), TlsFailure>>,
}

/// Why a session did not come to be.
pub(super) struct OpenError {
    pub reply: Reply,
    /// What was wrong with TLS, where it was that.
    pub tls: Option<TlsFailure>,
    /// The handshake failed: in clear it might go on.
    pub in_handshake: bool,
    /// Who was talked to.
    pub address: Option<IpAddr>,
}

impl OpenError {
    /// The same, of who was talked to.
    fn by(self, server: &Server) -> Self {
        Self { reply: self.reply.by(server), address: server.address, ..self }
    }
}

impl From<Reply> for OpenError {
    fn from(reply: Reply) -> Self {
        Self { reply, tls: None, in_handshake: false, address: None }
    }
}

/// What the server offers (RFC 5321 §4.1.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub pipelining: bool,
    /// The largest message in octets (RFC 1870); `Some(0)` is no fixed limit.
    pub size: Option<u64>,
    pub eight_bit: bool,
    pub smtputf8: bool,
    pub starttls: bool,
    pub auth_plain: bool,
    pub auth_login: bool,
}

impl Extensions {
    fn read(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.text.lines().skip(1) {
            let line = line.to_ascii_uppercase();
            // Old servers write AUTH=LOGIN.
            let mut words = line.split([' ', '=']);
            match words.next().unwrap_or_default() {
                "PIPELINING" => found.pipelining = true,
                "SIZE" => found.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "STARTTLS" => found.starttls = true,
                "AUTH" => words.for_each(|mechanism| match mechanism {
                    "PLAIN" => found.auth_plain = true,
                    "LOGIN" => found.auth_login = true,
                    _ => {}
                }),
                _ => {}
            }
        }
        found
    }
}

impl Session {
    /// Opens a connection; without `may_encrypt` an offer of STARTTLS is not taken.
    pub(super) async fn open(client: &Client, hop: &NextHop, may_encrypt: bool) -> Result<Self, OpenError> {
        let connected = connect(&hop.place, client).await?;
        let server = hop.place.server(connected.address);
        Self::open_on(connected, client, hop, may_encrypt).await.map_err(|error| error.by(&server))
    }

    async fn open_on(
        connected: Connected,
        client: &Client,
        hop: &NextHop,
        may_encrypt: bool,
    ) -> Result<Self, OpenError> {
        let host = match &hop.place {
            Place::Host(host, _) | Place::Found(host, _) => host.as_str(),
            Place::Socket(_) => "localhost",
        };
        let password_at_risk = hop.credentials.is_some() && !connected.local;
        let required = hop.security.is_required() || password_at_risk;
        let expected = match &hop.security {
            Security::Opportunistic if password_at_risk => Expected::Host,
            Security::None | Security::Opportunistic => Expected::Anybody,
            Security::StartTls | Security::Implicit | Security::MtaSts(_) => Expected::Host,
            Security::Dane(dane) => Expected::Zone(Arc::clone(dane)),
        };
        // What the configuration asks for stays wrong until somebody acts; others may put theirs right.
        let class = if hop.security.whose().is_some() { 4 } else { 5 };
        let no_tls = |failure: TlsFailure| {
            let why = hop.security.whose().map(|whose| format!("; {whose}, and nothing was sent")).unwrap_or_default();
            let text = format!("no TLS with {host}: {}{why}", failure.words);
            // A wrong certificate stays wrong; a lost connection may not.
            let reply = if required { Reply::ours_with([class, 7, 5], text) } else { Reply::ours(text) };
            OpenError { reply, tls: Some(failure), in_handshake: true, address: None }
        };
        let start = async |line: Box<dyn Line>| {
            client.tls.start(line, host, expected.clone(), required, &client.timeouts).await.map_err(&no_tls)
        };
        let mut encrypted = hop.security == Security::Implicit;
        let line = if encrypted { start(connected.line).await?.line } else { connected.line };
        let now = Instant::now();
        let mut session = Self {
            line,
            protocol: hop.protocol,
            extensions: Extensions::default(),
            timeouts: client.timeouts,
            buffer: Vec::new(),
            transactions: 0,
            opened: now,
            used: now,
            address: connected.address,
            tls: None,
        };
        let greeting = session.reply(client.timeouts.greeting).await?;
        if greeting.code != Some(220) {
            return Err(greeting.into());
        }
        session.hello(&client.helo, !required).await?;

        let offered = session.extensions.starttls;
        let starttls = match hop.security {
            Security::None | Security::Implicit => false,
            _ => required || (may_encrypt && offered),
        };
        let without = |words: String| TlsFailure { kind: FailureKind::StarttlsNotSupported, words };
        if starttls {
            if !offered {
                let why =
                    hop.security.whose().map_or(", which is required".to_owned(), |whose| format!(", and {whose}"));
                let text = format!("{host} offers no STARTTLS{why}; nothing was sent");
                let failure = Some(without("STARTTLS is not offered".to_owned()));
                return Err(OpenError { tls: failure, ..Reply::ours_with([class, 7, 10], text).into() });
            }
            let reply = session.command("STARTTLS").await?;
            if reply.is_positive() {
                // What came before the handshake may be anybody's (RFC 3207 §6).
                session.expect_silence()?;
                let started = start(session.line).await?;
                session.line = started.line;
                session.tls = Some(started.doubt.map_or(Ok(()), Err));
                encrypted = true;
                session.hello(&client.helo, false).await?;
            } else {
                let failure = without(format!("STARTTLS is refused: {reply}"));
                if let Some(whose) = hop.security.whose().filter(|_| required) {
                    let text = format!("{host} refuses STARTTLS ({reply}), and {whose}; nothing was sent");
                    return Err(OpenError { tls: Some(failure), ..Reply::ours_with([class, 7, 10], text).into() });
                }
                // Whoever runs a smarthost for us can put it right; nobody's server goes without mail for it.
                let is_ours = !matches!(hop.place, Place::Found(..));
                if required || (is_ours && reply.is_permanent()) {
                    return Err(OpenError { tls: Some(failure), ..reply.into() });
                }
                session.tls = Some(Err(failure));
            }
        } else if !encrypted && !offered && hop.security != Security::None {
            session.tls = Some(Err(without("STARTTLS is not offered".to_owned())));
        }
        if let Some(credentials) = &hop.credentials {
            if !(encrypted || connected.local) {
                let text = format!("the line to {host} is not encrypted; the password was not sent");
                return Err(Reply::ours_with([5, 7, 11], text).into());
            }
            session.authenticate(credentials).await?;
        }
        Ok(session)
    }

    /// Who is at the other end; `None` on a Unix socket.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// How long ago it was opened.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// How long ago it was last used.
    pub fn idle(&self) -> Duration {
        self.used.elapsed()
    }

    /// How many transactions it has carried.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Says goodbye and closes (RFC 5321 §4.1.1.10); the answer matters to nobody.
    pub async fn quit(mut self) {
        let _ = timeout(LAST_WORDS, async {
            let _ = self.command("QUIT").await;
            self.line.shutdown().await
        })
        .await;
    }

    /// EHLO or LHLO; HELO for a server that knows no EHLO, unless it has to know STARTTLS.
    async fn hello(&mut self, hostname: &str, fallback: bool) -> Result<(), Reply> {
        let verb = match self.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let reply = self.command(&format!("{verb} {hostname}")).await?;
        if reply.is_positive() {
            self.extensions = Extensions::read(&reply);
            return Ok(());
        }
        if !(fallback && self.protocol == Protocol::Smtp && reply.is_permanent()) {
            return Err(reply);
        }
        let reply = self.command(&format!("HELO {hostname}")).await?;
        self.extensions = Extensions::default();
        if reply.is_positive() { Ok(()) } else { Err(reply) }
    }

    /// AUTH (RFC 4954) by PLAIN (RFC 4616), or LOGIN where that is all there is.
    async fn authenticate(&mut self, credentials: &Credentials) -> Result<(), Reply> {
        let Credentials { user, password } = credentials;
        let reply = if self.extensions.auth_plain {
            let response = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
            self.command(&format!("AUTH PLAIN {response}")).await?
        } else if self.extensions.auth_login {
            let mut reply = self.command("AUTH LOGIN").await?;
            for word in [user, password] {
                if reply.code != Some(334) {
                    break;
                }
                reply = self.command(&BASE64.encode(word.as_bytes())).await?;
            }
            reply
        } else {
            let text = "the server offers no AUTH by PLAIN or LOGIN, but a user and password are configured";
            return Err(Reply::ours_with([5, 7, 4], text));
        };
        if reply.code == Some(235) { Ok(()) } else { Err(reply) }
    }

    /// Sends one command and waits for its reply. `Err`: the session is over.
    pub(super) async fn command(&mut self, command: &str) -> Result<Reply, Reply> {
        self.expect_silence()?;
        self.send(format!("{command}\r\n").as_bytes()).await?;
        self.reply(self.timeouts.command).await
    }

    /// Sends bytes. Where that fails, the server's last words are the reason, if it has any.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Reply> {
        let sent = async {
            self.line.write_all(bytes).await?;
            self.line.flush().await
        };
        let reason = match timeout(self.timeouts.block, sent).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("the connection was lost: {error}"),
            Err(_) => "the server stopped reading".to_owned(),
        };
        match self.reply(LAST_WORDS).await {
            Ok(reply) if !reply.is_positive() => Err(reply),
            Err(reply) if reply.code.is_some() => Err(reply),
            _ => Err(Reply::ours(reason)),
        }
    }

    /// Waits for the next reply, so long in all. `Err`: the session is over, as after a `421`
    /// (RFC 5321 §3.8).
    pub(super) async fn reply(&mut self, within: Duration) -> Result<Reply, Reply> {
        let mut reader = ReplyReader::default();
        let reply = async {
            loop {
                if let Some(reply) = reader.take(&mut self.buffer)? {
                    return Ok(reply);
                }
                let mut chunk = [0; READ];
                match self.line.read(&mut chunk).await {
                    Ok(0) => return Err(Reply::ours("the server closed the connection")),
                    Ok(length) => self.buffer.extend(&chunk[..length]),
                    Err(error) => return Err(Reply::ours(format!("the connection was lost: {error}"))),
                }
            }
        };
        match timeout(within, reply).await {
            Ok(Ok(reply)) if reply.code == Some(421) => Err(reply),
            Ok(reply) => reply,
            Err(_) => Err(Reply::ours(format!("the server said nothing for {} seconds", within.as_secs()))),
        }
    }

    /// Fails where the server has said more than it was asked for: from then on its replies could
    /// be taken for answers to something else.
    pub(super) fn expect_silence(&mut self) -> Result<(), Reply> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match ReplyReader::default().take(&mut self.buffer) {
            Ok(Some(reply)) if reply.code == Some(421) => Err(reply),
            _ => Err(Reply::ours("the server answered what it was not asked")),
        }
    }
}
