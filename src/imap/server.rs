//! Drives [`Session`]s over sockets: reads and writes with deadlines, starts TLS and compression, keeps
//! what is appended, tells those who idle of news, and stops in good order. Knows nothing of commands.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::append::Appending;
use super::deflate::Deflated;
use super::log::Log;
use super::news::{News, Waiting};
use super::seat::Seat;
use super::session::{Effect, Session, Tls, introduced};
use super::write::Out;
use super::{Desk, Trouble};
use crate::login::Logins;
use crate::metrics::{ImapConnection, Metrics, Protocol};
use crate::net::limits::{ConnectionLimits, Full};
use crate::net::listen::Listener;
use crate::net::serve::serve;
use crate::net::stop::Stop;
use crate::net::tls::Acceptor;
use crate::smtp::body::Spool;
use crate::smtp::server::{Start, negotiated};

/// Octets that are read at once.
const READ_BUFFER: usize = 8 << 10;
/// The same from somebody who idles: DONE.
const IDLE_BUFFER: usize = 128;

/// A connection, encrypted or compressed or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How long each thing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until whoever has not logged in says something.
    pub guest: Duration,
    /// The same for members: at least 30 minutes (RFC 3501 §5.4).
    pub member: Duration,
    /// Between two pieces of a message.
    pub data: Duration,
    /// Until the client has read what we said.
    pub write: Duration,
    pub handshake: Duration,
    /// After the word to stop, for commands that are being carried out.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            guest: Duration::from_mins(2),
            member: Duration::from_mins(31),
            data: Duration::from_mins(3),
            write: Duration::from_mins(3),
            handshake: Duration::from_mins(1),
            drain: Duration::from_secs(30),
        }
    }
}

/// The IMAP server.
pub struct Server {
    pub hostname: String,
    pub desk: Desk,
    pub logins: Arc<Logins>,
    pub news: Arc<News>,
    pub tls: Option<Acceptor>,
    pub spool: Spool,
    pub connections: ConnectionLimits,
    pub deadlines: Deadlines,
    /// Commands without sense before a connection is closed.
    pub errors: u32,
    pub metrics: Arc<Metrics>,
}

impl Server {
    /// Serves a listening socket until the word to stop, and returns when the last session is over.
    pub async fn serve(self: Arc<Self>, listener: Listener, start: Start, stop: Stop) {
        let begin = |stream, peer| self.admit(stream, peer, start, stop.clone());
        serve(listener, stop.clone(), "IMAP", self.deadlines.drain, begin).await;
    }

    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        start: Start,
        stop: Stop,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let client = peer.ip().to_canonical();
        match self.connections.admit(client) {
            Err(full) => {
                self.metrics.count(ImapConnection::TurnedAway);
                turn_away(stream, client, start, full);
                None
            }
            Ok(place) => {
                let _ = stream.set_nodelay(true);
                self.metrics.count(ImapConnection::Taken);
                let open = self.metrics.opened(Protocol::Imap);
                let server = Arc::clone(self);
                Some(async move {
                    server.converse(stream, client, start, stop).await;
                    drop((place, open));
                })
            }
        }
    }

    /// One session over any stream, from the greeting, or the handshake, to the close.
    pub async fn converse<S>(&self, stream: S, client: IpAddr, start: Start, stop: Stop)
    where
        S: Stream + 'static,
    {
        let mut stream: Box<dyn Stream> = Box::new(stream);
        let mut log = Log::new(session_id(), client);
        let tls = match start {
            Start::Tls => match self.encrypt(stream).await {
                Ok((encrypted, how)) => {
                    (stream, log.tls) = (encrypted, how);
                    Tls::Active
                }
                Err(error) => return log.end(None, &Err(error)),
            },
            Start::Plain if self.tls.is_some() => Tls::Offered,
            Start::Plain => Tls::Unavailable,
        };
        let session = Session::new(tls, self.desk.append_limit, self.errors);
        let said = session.greeting(&self.hostname);
        let mut driver = Driver {
            server: self,
            client,
            session,
            seat: None,
            append: None,
            introduced: Vec::new(),
            said,
            stop,
            waiting: None,
            log,
        };
        let ended = driver.run(&mut stream).await;
        driver.log.end(driver.seat.as_ref(), &ended);
    }

    /// Begins TLS; how it is encrypted is told.
    async fn encrypt(&self, stream: Box<dyn Stream>) -> io::Result<(Box<dyn Stream>, String)> {
        let acceptor = self.tls.as_ref().ok_or_else(|| io::Error::other("there is no certificate"))?;
        let encrypted = timeout(self.deadlines.handshake, acceptor.acceptor().accept(stream)).await??;
        let how = negotiated(encrypted.get_ref().1);
        Ok((Box::new(encrypted), how))
    }
}

/// Unique as long as the clock does not go back to the same microsecond at the same count.
fn session_id() -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let count = SESSIONS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-i{count:x}", Timestamp::now().as_microsecond())
}

fn turn_away(stream: TcpStream, client: IpAddr, start: Start, full: Full) {
    tracing::info!(%client, reason = %full, "connection refused");
    if start == Start::Plain {
        let said = format!("* BYE [UNAVAILABLE] {full}\r\n");
        let _ = stream.into_std().and_then(|mut stream| io::Write::write(&mut stream, said.as_bytes()));
    }
}

/// What waiting came to.
enum Woken {
    Octets(usize),
    Late,
    Stopping,
    News(u64),
}

/// One session with what it needs of the world.
struct Driver<'a> {
    server: &'a Server,
    client: IpAddr,
    session: Session,
    seat: Option<Seat>,
    append: Option<Appending>,
    /// What the client said of itself; most do before they log in.
    introduced: Vec<(String, Option<String>)>,
    /// What is to be sent.
    said: Vec<u8>,
    stop: Stop,
    /// What wakes a session that idles.
    waiting: Option<Waiting>,
    log: Log,
}

impl Driver<'_> {
    async fn run(&mut self, stream: &mut Box<dyn Stream>) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER];
        let (mut at, mut filled) = (0, 0);
        loop {
            let mut input = &buffer[at..filled];
            let before = input.len();
            let effect = self.session.advance(&mut input);
            let taken = before - input.len();
            let mut next = Some(effect);
            let mut read = false;
            while let Some(effect) = next.take() {
                match effect {
                    Effect::Read => read = true,
                    Effect::Say(said) => self.say(stream, &said).await?,
                    Effect::Login(question) => {
                        let answer = self.server.logins.answer(self.client, Timestamp::now(), question).await;
                        next = Some(self.session.login_answered(answer));
                    }
                    Effect::Introduced { tag, client } => {
                        if let Some(seat) = &mut self.seat {
                            seat.introduce(&client);
                        }
                        self.introduced = client;
                        self.say(stream, &introduced(&tag)).await?;
                    }
                    Effect::Enable { tag, names } => {
                        let enabled = self.seat.as_mut().map(|seat| seat.enable(&names)).unwrap_or_default();
                        let line = [&["* ENABLED"], &*enabled].concat().join(" ");
                        self.say(stream, format!("{line}\r\n{tag} OK enabled\r\n").as_bytes()).await?;
                    }
                    Effect::Perform(tagged) => {
                        self.log.commands += 1;
                        let done = match &mut self.seat {
                            Some(seat) => {
                                let mut out = Out::new(stream, self.server.deadlines.write, &mut self.said);
                                seat.perform(&tagged, &mut out).await
                            }
                            None => Err(Trouble::Bad("log in first".into())),
                        };
                        next = Some(self.session.performed(&tagged.tag, done));
                    }
                    Effect::Append(mailbox) => match self.seat.as_mut().map(|seat| seat.appends_to(&mailbox)) {
                        Some(Err(trouble)) => next = Some(self.session.refuse_append(trouble)),
                        _ => self.append = Some(Appending::new(mailbox)),
                    },
                    Effect::Message(message) => {
                        if let Some(append) = &mut self.append
                            && !append.announce(message, &self.server.spool, self.server.desk.append_limit)
                        {
                            next = Some(self.session.refuse_message());
                        }
                    }
                    Effect::Octets(octets) => {
                        if let Some(append) = &mut self.append {
                            append.push(octets).await;
                        }
                    }
                    Effect::MessageEnd => {
                        if let Some(append) = &mut self.append {
                            append.end().await;
                        }
                    }
                    Effect::AppendEnd(tag) => {
                        self.log.commands += 1;
                        let done = match (&mut self.seat, self.append.take()) {
                            (Some(seat), Some(append)) => {
                                let mut out = Out::new(stream, self.server.deadlines.write, &mut self.said);
                                seat.append(append, &mut out).await
                            }
                            _ => Err(Trouble::Bad("log in first".into())),
                        };
                        next = Some(self.session.performed(&tag, done));
                    }
                    Effect::StartTls(said) => {
                        self.say(stream, &said).await?;
                        self.send(stream).await?;
                        let clear = std::mem::replace(stream, Box::new(tokio::io::empty()) as Box<dyn Stream>);
                        (*stream, self.log.tls) = self.server.encrypt(clear).await?;
                        self.session.tls_started();
                        self.introduced.clear();
                        // Whatever came before the handshake was said by nobody in particular.
                        (at, filled) = (0, 0);
                        read = true;
                    }
                    Effect::Compress(said) => {
                        self.say(stream, &said).await?;
                        self.send(stream).await?;
                        let plain = std::mem::replace(stream, Box::new(tokio::io::empty()) as Box<dyn Stream>);
                        let rest = buffer[at + taken..filled].to_vec();
                        (at, filled) = (0, 0);
                        *stream = Box::new(Deflated::new(plain, rest));
                        read = true;
                    }
                    Effect::Close(said) => {
                        self.end(stream, &said).await?;
                        let _ = timeout(self.server.deadlines.write, stream.shutdown()).await;
                        return Ok(());
                    }
                }
                if let Some(login) = self.session.logged_in() {
                    match Seat::take(self.server.desk.clone(), login, self.client) {
                        Ok(mut seat) => {
                            seat.introduce(&self.introduced);
                            self.seat = Some(seat);
                        }
                        Err(trouble) => next = Some(self.session.close(&trouble.to_string())),
                    }
                }
            }
            if let Some(seat) = &self.seat {
                self.log.seated(seat);
            }
            at = if filled == 0 { 0 } else { at + taken };
            if !self.session.is_appending() {
                self.append = None;
            }
            if !read {
                if at < filled {
                    // Whoever says much at once lets others have their turn.
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let idling = self.session.is_idling();
            if !idling {
                self.waiting = None;
            } else if self.waiting.is_none()
                && let Some(trouble) = self.begin_to_wait(stream).await
            {
                return self.dismiss(stream, &trouble).await;
            }
            self.send(stream).await?;
            (at, filled) = (0, 0);
            // Many idle for long, and say little.
            if idling {
                self.said = Vec::new();
            }
            buffer.resize(if idling { IDLE_BUFFER } else { READ_BUFFER }, 0);
            buffer.shrink_to_fit();
            match self.wait(stream, &mut buffer).await? {
                Woken::Octets(0) => return Ok(()),
                Woken::Octets(octets) => filled = octets,
                Woken::News(since) => {
                    if let Some(trouble) = self.tell(stream, since).await {
                        return self.dismiss(stream, &trouble).await;
                    }
                }
                Woken::Late => {
                    return self.end(stream, b"* BYE you were silent too long\r\n").await;
                }
                Woken::Stopping => {
                    return self.end(stream, b"* BYE [UNAVAILABLE] this server is shutting down\r\n").await;
                }
            }
        }
    }

    /// Has whoever idles from now on be woken by what is new. What came before is told in one breath with the
    /// word that he may idle: what follows close behind that, Thunderbird sees no sooner than the next news.
    async fn begin_to_wait(&mut self, stream: &mut Box<dyn Stream>) -> Option<Trouble> {
        let seat = self.seat.as_ref()?;
        self.waiting = Some(self.server.news.wait_for(seat.watches()));
        self.tell(stream, 0).await
    }

    /// Waits for octets, or for what is to be told to whoever idles.
    async fn wait(&mut self, stream: &mut Box<dyn Stream>, buffer: &mut [u8]) -> io::Result<Woken> {
        let patience = match &self.append {
            Some(_) => self.server.deadlines.data,
            None if self.session.is_logged_in() => self.server.deadlines.member,
            None => self.server.deadlines.guest,
        };
        let waiting = &self.waiting;
        let news = async {
            match waiting {
                Some(waiting) => waiting.news().await,
                None => std::future::pending().await,
            }
        };
        let stopped = self.stop.stopped();
        tokio::select! {
            biased;
            () = stopped => Ok(Woken::Stopping),
            read = timeout(patience, stream.read(buffer)) => match read {
                Ok(octets) => octets.map(Woken::Octets),
                Err(_) => Ok(Woken::Late),
            },
            since = news => Ok(Woken::News(since)),
        }
    }

    /// Tells whoever idles what is new.
    async fn tell(&mut self, stream: &mut Box<dyn Stream>, since: u64) -> Option<Trouble> {
        let seat = self.seat.as_mut()?;
        let mut out = Out::new(stream, self.server.deadlines.write, &mut self.said);
        seat.news(since, &mut out).await.err()
    }

    /// Ends a session that can't go on, and says why.
    async fn dismiss(&mut self, stream: &mut Box<dyn Stream>, trouble: &Trouble) -> io::Result<()> {
        let Effect::Close(said) = self.session.close(&trouble.to_string()) else { return Ok(()) };
        self.end(stream, &said).await
    }

    /// Says the last word.
    async fn end(&mut self, stream: &mut Box<dyn Stream>, said: &[u8]) -> io::Result<()> {
        self.log.farewell(said);
        self.say(stream, said).await?;
        self.send(stream).await
    }

    async fn say(&mut self, stream: &mut Box<dyn Stream>, said: &[u8]) -> io::Result<()> {
        self.said.extend_from_slice(said);
        Out::new(stream, self.server.deadlines.write, &mut self.said).relieve().await
    }

    async fn send(&mut self, stream: &mut Box<dyn Stream>) -> io::Result<()> {
        Out::new(stream, self.server.deadlines.write, &mut self.said).send().await
    }
}
