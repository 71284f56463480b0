//! Drives [`Session`]s over sockets: reads and writes with deadlines, keeps message bodies, starts
//! TLS, counts connections, stops in good order. Knows nothing of commands.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::desk::address::Address;
use crate::desk::envelope::{Envelope, Visit};
use crate::login::sasl::{Answer, Question};
use crate::metrics::{Connection, Message, Metrics, Protocol};
use crate::net::limits::{ConnectionLimits, Full};
use crate::net::listen::Listener;
use crate::net::serve::serve;
use crate::net::stop::Stop;
use crate::net::tls::Acceptor;

use super::body::{Body, BodyWriter, Spool};
use super::reply::Reply;
use super::session::{Effect, Service, Session, SessionLimits, Tls};
use super::trace;

/// Octets read at once.
const READ_BUFFER: usize = 16 << 10;
/// Octets of replies after which they are sent although more input is at hand, so that a client
/// that never reads can't make us keep replies.
const REPLY_BUFFER: usize = 8 << 10;
/// How long a closed connection is still read from: bytes left unread would make the system reset
/// it, and the client would never see the last reply.
const LINGER: Duration = Duration::from_secs(1);
/// How long after [`Deadlines::drain`] sessions may say their last word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What the server asks of whoever knows the desk.
pub trait Host: Send + Sync + 'static {
    /// The time that messages and log lines get.
    fn now(&self) -> Timestamp;

    /// Who somebody is that wants to log in. Asked on a [`Service::Submission`] port alone.
    fn login(&self, client: IpAddr, question: Question) -> impl Future<Output = Answer> + Send;

    /// Whether mail for `address` is taken from this client; else the reply that says why not (`550 5.1.1`
    /// for nobody here, `550 5.7.1` for a foreign domain). Called once for every RCPT.
    ///
    /// # Errors
    /// The refusal, 4xx or 5xx; `421` ends the session.
    fn recipient(&self, visit: &Visit, address: &Address) -> impl Future<Output = Result<(), Reply>> + Send;

    /// Takes a message. Answers 2xx only when it is on disk for good: the client forgets it then.
    ///
    /// The body begins with our own `Received` field ([`trace::received`]); nothing else is added
    /// to it or taken away, and there is no `Return-Path`: the reverse-path is in the envelope.
    /// The future may be dropped, at [`Deadlines::deliver`] and at the end of a shutdown; no 2xx was
    /// said then and the client comes again, perhaps with what was stored after all.
    fn deliver(&self, envelope: Envelope, body: Body) -> impl Future<Output = Reply> + Send;
}

/// How long each thing may take (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until a command is whole.
    pub command: Duration,
    /// Between two pieces of a message.
    pub data: Duration,
    /// From the start of the session, or from the last message, to the end of the next one. Bounds
    /// what a client can hold by sending an octet now and then.
    pub message: Duration,
    /// For [`Host::deliver`]; clients wait 10 minutes for the answer.
    pub deliver: Duration,
    /// Until the client has read our replies.
    pub write: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// After the word to stop, for transactions that have begun.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            command: Duration::from_mins(5),
            data: Duration::from_mins(3),
            message: Duration::from_hours(1),
            deliver: Duration::from_mins(9),
            write: Duration::from_mins(3),
            handshake: Duration::from_mins(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// What a server needs to know besides its host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it calls itself: in the greeting and in trace fields.
    pub hostname: String,
    pub service: Service,
    pub limits: SessionLimits,
    pub deadlines: Deadlines,
    pub connections: ConnectionLimits,
    pub spool: Spool,
    /// STARTTLS is advertised when there is one, on ports that don't begin with TLS.
    pub tls: Option<Acceptor>,
    pub metrics: Arc<Metrics>,
}

/// How connections to a port begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With our greeting.
    Plain,
    /// With a TLS handshake (RFC 8314 §3.3).
    Tls,
}

/// The server for one kind of port.
#[derive(Debug)]
pub struct Server<H> {
    host: Arc<H>,
    settings: Settings,
    sessions: AtomicU64,
}

impl<H: Host> Server<H> {
    #[must_use]
    pub fn new(host: Arc<H>, settings: Settings) -> Self {
        Self { host, settings, sessions: AtomicU64::new(0) }
    }

    /// Serves a listening socket until the word to stop. Then closes it, tells idle clients
    /// `421 4.3.2`, lets transactions that have begun end within [`Deadlines::drain`], and returns
    /// when the last session is over.
    pub async fn serve(self: Arc<Self>, listener: Listener, start: Start, stop: Stop) {
        let begin = |stream, peer| self.admit(stream, peer, start, stop.clone());
        serve(listener, stop.clone(), "SMTP", self.settings.deadlines.drain + LAST_WORD, begin).await;
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        start: Start,
        stop: Stop,
    ) -> Option<impl Future<Output = ()> + Send + use<H>> {
        let client = peer.ip().to_canonical();
        match self.settings.connections.admit(client) {
            Err(full) => {
                self.settings.metrics.count(Connection::TurnedAway);
                turn_away(stream, client, start, full);
                None
            }
            Ok(place) => {
                // Replies are sent whole, so waiting for more of them only costs time.
                let _ = stream.set_nodelay(true);
                self.settings.metrics.count(Connection::Taken);
                let open = self.settings.metrics.opened(Protocol::Smtp);
                let server = Arc::clone(self);
                Some(async move {
                    server.converse(stream, client, start, stop).await;
                    drop((place, open));
                })
            }
        }
    }

    /// One session over any stream, from the greeting, or the handshake, to the close.
    pub async fn converse<S>(&self, mut stream: S, client: IpAddr, start: Start, stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let tls = match start {
            Start::Tls => Tls::Active,
            Start::Plain if self.settings.tls.is_some() => Tls::Offered,
            Start::Plain => Tls::Unavailable,
        };
        let Settings { hostname, limits, service, .. } = &self.settings;
        let session = Session::new(hostname.clone(), client, self.session_id(), *limits, *service, tls);
        let now = Instant::now();
        let mut driver = Driver {
            server: self,
            session,
            stop,
            incoming: None,
            dropped: None,
            refused: None,
            replies: Vec::new(),
            waiting_since: now,
            message_since: now,
            drained_at: None,
        };
        let ended = match start {
            Start::Tls => self.encrypted(&mut driver, stream).await,
            Start::Plain => match driver.run(&mut stream).await {
                Ok(End::Closed) => Ok(()),
                Ok(End::StartTls) => self.encrypted(&mut driver, stream).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = ended {
            tracing::debug!(id = driver.session.id(), %client, %error, "SMTP session broken off");
        }
        driver.log_refused();
        if let Some(Incoming { envelope, .. }) = driver.incoming {
            self.settings.metrics.count(Message::BrokenOff);
            tracing::info!(id = envelope.id, %client, "the client left in the middle of a message");
        }
    }

    async fn encrypted<S>(&self, driver: &mut Driver<'_, H>, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Some(acceptor) = &self.settings.tls else { return Ok(()) };
        let handshake = acceptor.acceptor().accept(stream);
        let mut stream = timeout(self.settings.deadlines.handshake, handshake).await??;
        driver.session.negotiated(negotiated(stream.get_ref().1));
        driver.session.tls_started();
        driver.run(&mut stream).await?;
        Ok(())
    }

    /// Unique as long as the clock does not go back to the same microsecond at the same count.
    fn session_id(&self) -> String {
        let count = self.sessions.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{count:x}", self.host.now().as_microsecond())
    }
}

/// `TLSv1.3 TLS13_AES_256_GCM_SHA384`
pub(crate) fn negotiated(connection: &rustls::ServerConnection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str());
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let words: Vec<_> = version.into_iter().chain(suite).collect();
    words.join(" ").replacen('_', ".", 1)
}

/// Says why and closes. The few octets always fit into the buffer of a new socket.
fn turn_away(stream: TcpStream, client: IpAddr, start: Start, full: Full) {
    tracing::info!(%client, reason = %full, "connection refused");
    // Where a handshake is due, nothing can be said.
    if start == Start::Tls {
        return;
    }
    let mut reply = Vec::new();
    Reply::closing((4, 7, 0), full.to_string()).write(&mut reply);
    let _ = stream.into_std().and_then(|mut stream| io::Write::write(&mut stream, &reply));
}

/// How a stretch of the conversation ended.
enum End {
    Closed,
    StartTls,
}

/// What waiting for input came to.
enum Input {
    Octets(usize),
    Late,
    Stopping,
}

/// A message on its way in.
struct Incoming {
    envelope: Envelope,
    body: io::Result<BodyWriter>,
}

/// Recipients that were refused in one transaction, and what the first of them was told.
struct Refused {
    visit: Visit,
    count: usize,
    first: (Address, Reply),
}

/// One session with what it needs of the world.
struct Driver<'a, H> {
    server: &'a Server<H>,
    session: Session,
    stop: Stop,
    incoming: Option<Incoming>,
    /// The envelope of a message that was refused; the next reply says why.
    dropped: Option<Envelope>,
    /// The recipients of the present transaction that were refused.
    refused: Option<Refused>,
    replies: Vec<u8>,
    waiting_since: Instant,
    message_since: Instant,
    drained_at: Option<Instant>,
}

impl<H: Host> Driver<'_, H> {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<End> {
        let mut buffer = vec![0; READ_BUFFER].into_boxed_slice();
        let mut filled = 0;
        loop {
            let mut input = &buffer[..filled];
            if let Some(end) = self.carry_out(stream, &mut input).await? {
                return Ok(end);
            }
            self.send(stream).await?;
            filled = match self.read(stream, &mut buffer).await? {
                Input::Octets(0) => return Ok(End::Closed),
                Input::Octets(read) => read,
                Input::Late => {
                    self.session.close(Reply::closing((4, 4, 2), "you took too long"));
                    0
                }
                Input::Stopping => {
                    self.session.close(Reply::closing((4, 3, 2), "this server is shutting down; try again later"));
                    0
                }
            };
        }
    }

    /// Does what the session wants until it wants to read, or the conversation is over.
    async fn carry_out<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        input: &mut &[u8],
    ) -> io::Result<Option<End>> {
        let now = self.server.host.now();
        loop {
            match self.session.advance(now, input) {
                Effect::Read => return Ok(None),
                Effect::Reply(reply) => {
                    self.answer(&reply);
                    if self.replies.len() >= REPLY_BUFFER {
                        self.send(stream).await?;
                    }
                }
                Effect::Login(question) => {
                    let answer = self.server.host.login(self.session.client(), question).await;
                    self.session.login_answered(answer);
                }
                Effect::Recipient(visit, address) => {
                    let answer = self.server.host.recipient(&visit, &address).await;
                    if let Err(reply) = &answer {
                        self.refuse(visit, address, reply);
                    }
                    self.session.recipient_answered(answer);
                }
                Effect::Begin(envelope, announced) => {
                    self.log_refused();
                    self.begin(envelope, announced).await;
                }
                Effect::Content(octets) => self.content(octets).await,
                Effect::Discard => self.drop_message(),
                Effect::Complete => {
                    let reply = self.deliver().await;
                    self.message_since = Instant::now();
                    self.session.delivered(reply);
                }
                Effect::StartTls(reply) => {
                    reply.write(&mut self.replies);
                    self.send(stream).await?;
                    return Ok(Some(End::StartTls));
                }
                Effect::Close(reply) => {
                    self.drop_message();
                    self.answer(&reply);
                    self.send(stream).await?;
                    hang_up(stream).await;
                    return Ok(Some(End::Closed));
                }
            }
            self.waiting_since = Instant::now();
        }
    }

    /// Writes a reply down to be sent, and counts it if it refuses anything.
    fn answer(&mut self, reply: &Reply) {
        self.log_dropped(reply);
        if let Some(refusal) = reply.refusal() {
            self.server.settings.metrics.count(refusal);
        }
        reply.write(&mut self.replies);
    }

    async fn begin(&mut self, envelope: Envelope, announced: u64) {
        let settings = &self.server.settings;
        let field = trace::received(&envelope, &settings.hostname);
        let body = settings.spool.begin(announced.saturating_add(field.len() as u64));
        self.incoming = Some(Incoming { envelope, body: Ok(body) });
        self.content(field.as_bytes()).await;
    }

    /// Keeps octets of the message. When they can't be kept the rest is read and forgotten.
    async fn content(&mut self, octets: &[u8]) {
        let Some(Incoming { body, .. }) = &mut self.incoming else { return };
        let Ok(writer) = body else { return };
        if let Err(error) = writer.push(octets).await {
            *body = Err(error);
        }
    }

    async fn deliver(&mut self) -> Reply {
        let Some(Incoming { envelope, body }) = self.incoming.take() else {
            return Reply::try_again("the message was lost on its way in; send it again");
        };
        let body = match body {
            Ok(writer) => writer.finish().await,
            Err(error) => Err(error),
        };
        let (id, client, recipients) = (envelope.id.clone(), envelope.client, envelope.recipients.len());
        let (from, helo, tls) = (envelope.reverse_path.clone(), envelope.helo.clone(), envelope.tls.clone());
        let (size, reply) = match body {
            Err(error) => {
                tracing::error!(id, %error, "a message can't be kept in the spool");
                (0, Reply::no_room("no room for the message now; try again later"))
            }
            Ok(body) => {
                let size = body.len();
                let delivery = self.server.host.deliver(envelope, body);
                let late = |_| Reply::try_again("the message could not be stored in time; try again later");
                (size, timeout(self.server.settings.deadlines.deliver, delivery).await.unwrap_or_else(late))
            }
        };
        let from = from.as_ref().map_or("<>", Address::as_str);
        tracing::info!(id, %client, helo, tls, from, recipients, size, %reply, "message");
        self.count(&reply);
        reply
    }

    /// Counts a message by its answer.
    fn count(&self, reply: &Reply) {
        self.server.settings.metrics.count(match reply.code {
            ..400 => Message::Taken,
            400..500 => Message::Deferred,
            500.. => Message::Refused,
        });
    }

    fn drop_message(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.dropped = Some(incoming.envelope);
        }
    }

    fn log_dropped(&mut self, reply: &Reply) {
        if let Some(envelope) = self.dropped.take() {
            let from = envelope.reverse_path.as_ref().map_or("<>", Address::as_str);
            let recipients = envelope.recipients.len();
            tracing::info!(id = envelope.id, client = %envelope.client, from, recipients, %reply, "message not taken");
            self.count(reply);
        }
    }

    /// Counts a refused recipient; of a whole transaction there is one line.
    fn refuse(&mut self, visit: Visit, address: Address, reply: &Reply) {
        match &mut self.refused {
            Some(refused) if refused.visit.id == visit.id => refused.count += 1,
            _ => {
                self.log_refused();
                self.refused = Some(Refused { visit, count: 1, first: (address, reply.clone()) });
            }
        }
    }

    fn log_refused(&mut self) {
        if let Some(Refused { visit, count, first: (to, reply) }) = self.refused.take() {
            let from = visit.reverse_path.as_ref().map_or("<>", Address::as_str);
            tracing::info!(
                id = visit.id, client = %visit.client, helo = visit.helo, from, count, %to, %reply, "recipients refused"
            );
        }
    }

    /// Sends the replies that are due.
    async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let write = async {
            stream.write_all(&self.replies).await?;
            stream.flush().await
        };
        timeout(self.server.settings.deadlines.write, write).await??;
        self.replies.clear();
        self.waiting_since = Instant::now();
        Ok(())
    }

    /// Waits for input, for a deadline, or for the word to stop.
    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S, buffer: &mut [u8]) -> io::Result<Input> {
        let deadlines = self.server.settings.deadlines;
        loop {
            if self.stop.is_stopped() && !self.session.in_transaction() {
                return Ok(Input::Stopping);
            }
            let phase = if self.session.in_message() { deadlines.data } else { deadlines.command };
            let late = (self.waiting_since + phase).min(self.message_since + deadlines.message);
            let until = self.drained_at.map_or(late, |drained| drained.min(late));
            tokio::select! {
                biased;
                () = self.stop.stopped(), if self.drained_at.is_none() => {
                    self.drained_at = Some(Instant::now() + deadlines.drain);
                }
                read = stream.read(buffer) => {
                    if self.session.in_message() {
                        self.waiting_since = Instant::now();
                    }
                    return read.map(Input::Octets);
                }
                () = sleep_until(until) => {
                    return Ok(if until == late { Input::Late } else { Input::Stopping });
                }
            }
        }
    }
}

/// Closes our half, then reads what the client still sends, for a moment.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let farewell = async {
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the client is still there to hear it makes no difference any more.
    let _ = timeout(LINGER, farewell).await;
}
