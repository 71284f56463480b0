//! A server for outgoing mail, by SMTP or LMTP, that does what a script tells it and remembers what
//! it was told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::authority::Identity;
use super::ports::{free_port, neighbours};

/// How long a test waits for mail before it fails.
const PATIENCE: Duration = Duration::from_mins(5);

/// What the sink does instead of what a server would.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this, with a line end.
    Say(String),
    /// Says these bytes as they are.
    Raw(Vec<u8>),
    /// Says this and closes the connection.
    SayAndClose(String),
    /// Closes the connection.
    Close,
    /// Says nothing more, and reads on.
    Silence,
    /// Says this line again and again, for as long as anybody listens.
    Flood(String),
}

#[derive(Clone)]
struct Rule {
    when: String,
    act: Act,
    once: bool,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The arguments of MAIL and RCPT as given.
    pub from: String,
    pub to: Vec<String>,
    /// Header and body, dots undone.
    pub message: Vec<u8>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    connections: usize,
    clients: Vec<IpAddr>,
    commands: Vec<String>,
    received: Vec<Received>,
}

/// A running sink; it ends with the runtime.
#[derive(Clone)]
pub struct Sink {
    lmtp: bool,
    extensions: Arc<Vec<String>>,
    tls: Option<(TlsAcceptor, bool)>,
    roots: RootCertStore,
    address: Option<SocketAddr>,
    state: Arc<Mutex<State>>,
    count: Arc<watch::Sender<usize>>,
    talks: Arc<watch::Sender<usize>>,
}

impl Sink {
    /// One that offers `extensions`, one a line of EHLO.
    pub fn new(extensions: &[&str]) -> Self {
        Self {
            lmtp: false,
            extensions: Arc::new(extensions.iter().map(|text| (*text).to_owned()).collect()),
            tls: None,
            roots: RootCertStore::empty(),
            address: None,
            state: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
            talks: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Speaks LMTP.
    pub fn lmtp(mut self) -> Self {
        self.lmtp = true;
        self
    }

    /// Has a certificate for `name`; `implicit` TLS, or by STARTTLS, which is then offered.
    pub fn tls(mut self, name: &str, implicit: bool) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        self.roots.add(cert.der().clone()).unwrap();
        self.tls = Some((TlsAcceptor::from(Arc::new(config)), implicit));
        self
    }

    /// Has this certificate, and offers STARTTLS.
    pub fn certified(mut self, identity: &Identity) -> Self {
        self.tls = Some((TlsAcceptor::from(identity.config()), false));
        self
    }

    /// From now on, on a command that starts with `when`, does this instead. `CONNECT` is the
    /// greeting, `HANDSHAKE` the beginning of TLS, `BODY` the first byte of a message, `.` its
    /// end (LMTP: `. <recipient>`).
    pub fn on(self, when: &str, act: Act) -> Self {
        self.rule(when, act, false);
        self
    }

    /// The same while it runs; `once` is for the next time only.
    pub fn rule(&self, when: &str, act: Act, once: bool) {
        self.state().rules.push(Rule { when: when.to_owned(), act, once });
    }

    /// Takes back all that was scripted.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Listens on a free port of loopback.
    pub async fn start(self) -> Self {
        self.start_on((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap()
    }

    /// Listens there.
    pub async fn start_on(mut self, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        self.address = Some(listener.local_addr()?);
        let sink = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                sink.state().clients.push(from.ip());
                tokio::spawn(sink.clone().serve(stream));
            }
        });
        Ok(self)
    }

    /// Listen on one port, at 127.0.1.1, 127.0.1.2, …: as the servers of the internet, that all have the
    /// same.
    pub async fn start_as_neighbours(sinks: &[Self]) -> Vec<Self> {
        let addresses = neighbours(1, sinks.len());
        'port: loop {
            let port = free_port(&addresses);
            let mut started = Vec::new();
            for (sink, address) in sinks.iter().zip(&addresses) {
                // Somebody may have come between.
                match sink.clone().start_on(SocketAddr::new(*address, port)).await {
                    Ok(sink) => started.push(sink),
                    Err(_) => continue 'port,
                }
            }
            return started;
        }
    }

    /// Listens on a Unix socket.
    pub fn start_at(self, path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let sink = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(sink.clone().serve(stream));
            }
        });
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// The certificates that make its own believed.
    pub fn roots(&self) -> RootCertStore {
        self.roots.clone()
    }

    /// All commands of all connections, in the order they came.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Where the connections by TCP came from.
    pub fn clients(&self) -> Vec<IpAddr> {
        self.state().clients.clone()
    }

    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Waits until `count` messages have come in all.
    pub async fn wait(&self, count: usize) -> Vec<Received> {
        let mut counts = self.count.subscribe();
        let there = tokio::time::timeout(PATIENCE, counts.wait_for(|now| *now >= count)).await;
        assert!(there.is_ok(), "{} messages came, not {count}", self.received().len());
        self.received()
    }

    /// Waits until there have been `count` connections in all.
    pub async fn wait_for_connections(&self, count: usize) {
        let mut talks = self.talks.subscribe();
        let there = tokio::time::timeout(PATIENCE, talks.wait_for(|now| *now >= count)).await;
        assert!(there.is_ok(), "{} connections came, not {count}", self.connections());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, what: &str) -> Option<Act> {
        let mut state = self.state();
        let fits = |rule: &Rule| what.to_ascii_uppercase().starts_with(&rule.when.to_ascii_uppercase());
        // The newest rule wins.
        let index = state.rules.iter().rposition(fits)?;
        if state.rules[index].once { Some(state.rules.remove(index).act) } else { Some(state.rules[index].act.clone()) }
    }

    async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: S) {
        let number = {
            let mut state = self.state();
            state.connections += 1;
            state.connections - 1
        };
        self.talks.send_replace(number + 1);
        match &self.tls {
            Some((acceptor, true)) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = self.converse(BufReader::new(stream), number, true, true).await;
                }
            }
            starttls => {
                let offers = starttls.is_some();
                if let Ok(Some(stream)) = self.converse(BufReader::new(stream), number, true, !offers).await
                    && let Some((acceptor, _)) = &self.tls
                    && self.act("HANDSHAKE").is_none()
                    && let Ok(stream) = acceptor.accept(stream).await
                {
                    let _ = self.converse(BufReader::new(stream), number, false, true).await;
                }
            }
        }
    }

    /// Talks until the connection ends, or, with `Some`, until TLS is to start.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut line: BufReader<S>,
        number: usize,
        greet: bool,
        encrypted: bool,
    ) -> std::io::Result<Option<S>> {
        let (mut from, mut to) = (String::new(), Vec::new());
        if greet && !self.answer(&mut line, "CONNECT", "220 sink ESMTP").await? {
            return Ok(None);
        }
        loop {
            let mut command = String::new();
            if line.read_line(&mut command).await? == 0 {
                return Ok(None);
            }
            let command = command.trim_end();
            self.state().commands.push(command.to_owned());
            let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let usual = match verb.as_str() {
                "EHLO" | "LHLO" if (verb == "LHLO") == self.lmtp => {
                    let mut lines = vec!["sink".to_owned()];
                    lines.extend(self.extensions.iter().cloned());
                    if !encrypted {
                        lines.push("STARTTLS".to_owned());
                    }
                    let last = lines.len() - 1;
                    let line = |(index, line)| format!("250{}{line}", if index == last { ' ' } else { '-' });
                    lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
                }
                "EHLO" | "LHLO" => "500 5.5.1 other protocol".to_owned(),
                "HELO" | "RSET" | "NOOP" => "250 2.0.0 ok".to_owned(),
                "STARTTLS" => "220 2.0.0 go ahead".to_owned(),
                "AUTH" => "235 2.7.0 welcome".to_owned(),
                "MAIL" => "250 2.1.0 ok".to_owned(),
                "RCPT" if from.is_empty() => "503 5.5.1 no sender".to_owned(),
                "RCPT" => "250 2.1.5 ok".to_owned(),
                "DATA" if to.is_empty() => "503 5.5.1 no recipients".to_owned(),
                "DATA" => "354 go ahead".to_owned(),
                "QUIT" => "221 2.0.0 bye".to_owned(),
                _ => "500 5.5.2 unknown".to_owned(),
            };
            let said = self.act(command);
            let good = if verb == "DATA" { '3' } else { '2' };
            let takes = match &said {
                None => usual.starts_with(good),
                Some(Act::Say(text)) => text.starts_with(good),
                Some(_) => false,
            };
            if !self.perform(&mut line, said, &usual).await? || verb == "QUIT" {
                return Ok(None);
            }
            match verb.as_str() {
                "STARTTLS" if takes => return Ok(Some(line.into_inner())),
                "MAIL" if takes => {
                    command.clone_into(&mut from);
                    to.clear();
                }
                "RSET" => from.clear(),
                "RCPT" if takes => to.push(command.to_owned()),
                "DATA" if takes => {
                    let open = self.message(&mut line, number, &from, &std::mem::take(&mut to)).await?;
                    from.clear();
                    if !open {
                        return Ok(None);
                    }
                }
                _ => {}
            }
        }
    }

    async fn message<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        line: &mut BufReader<S>,
        connection: usize,
        from: &str,
        to: &[String],
    ) -> std::io::Result<bool> {
        if let Some(act) = self.act("BODY") {
            line.read_u8().await?;
            return self.perform(line, Some(act), "").await;
        }
        let mut message = Vec::new();
        loop {
            let mut text = Vec::new();
            if line.read_until(b'\n', &mut text).await? == 0 {
                return Ok(false);
            }
            if text == b".\r\n" {
                break;
            }
            message.extend(text.strip_prefix(b".").unwrap_or(&text));
        }
        let names: Vec<_> = if self.lmtp {
            to.iter().map(|to| format!(". {}", to.trim_start_matches("RCPT TO:"))).collect()
        } else {
            vec![".".to_owned()]
        };
        let mut taken = Vec::new();
        let mut open = true;
        for (index, name) in names.iter().enumerate() {
            let act = self.act(name);
            if act.as_ref().is_none_or(|act| matches!(act, Act::Say(text) if text.starts_with('2'))) {
                taken.extend(if self.lmtp { to.get(index).cloned() } else { None });
                if !self.lmtp {
                    taken = to.to_vec();
                }
            }
            open = open && self.perform(line, act, "250 2.0.0 taken").await?;
        }
        if !taken.is_empty() {
            let received = Received { connection, from: from.to_owned(), to: taken, message };
            self.state().received.push(received);
            self.count.send_modify(|count| *count += 1);
        }
        Ok(open)
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        line: &mut BufReader<S>,
        what: &str,
        usual: &str,
    ) -> std::io::Result<bool> {
        let act = self.act(what);
        self.perform(line, act, usual).await
    }

    /// Does what was scripted, or says the usual. Whether the connection is still open.
    async fn perform<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        line: &mut BufReader<S>,
        act: Option<Act>,
        usual: &str,
    ) -> std::io::Result<bool> {
        match act {
            None => line.write_all(format!("{usual}\r\n").as_bytes()).await?,
            Some(Act::Say(text)) => line.write_all(format!("{text}\r\n").as_bytes()).await?,
            Some(Act::Raw(bytes)) => line.write_all(&bytes).await?,
            Some(Act::Silence) => {
                tokio::io::copy(line, &mut tokio::io::sink()).await?;
                return Ok(false);
            }
            Some(Act::Close) => return Ok(false),
            Some(Act::SayAndClose(text)) => {
                line.write_all(format!("{text}\r\n").as_bytes()).await?;
                line.flush().await?;
                return Ok(false);
            }
            Some(Act::Flood(text)) => loop {
                line.write_all(format!("{text}\r\n").as_bytes()).await?;
            },
        }
        line.flush().await?;
        Ok(true)
    }
}
