//! A mail client that waits: IMAP over TLS (port 993), one command at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// The longest wait for some octets.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where somebody logs in, and as whom.
#[derive(Clone, Debug)]
pub struct Door {
    pub address: SocketAddr,
    pub user: String,
    pub password: String,
}

/// A connection of somebody who is logged in.
pub struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    commands: u32,
    answer: Vec<u8>,
}

impl Client {
    /// Connects, begins TLS without a session from before, and logs in.
    pub fn connect(door: &Door) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(door.address).with_context(|| format!("no connection to {}", door.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("desk.example.org")?;
        let stream = StreamOwned::new(ClientConnection::new(trusting()?, name)?, socket);
        let mut client = Self { stream, commands: 0, answer: Vec::new() };
        client.until(b"* OK")?;
        client.command(&format!("LOGIN \"{}\" \"{}\"", door.user, door.password))?;
        Ok(client)
    }

    /// Says a command and reads until it is carried out; all that was answered.
    pub fn command(&mut self, command: &str) -> anyhow::Result<&[u8]> {
        let tag = self.say(command.as_bytes(), b"")?;
        self.done(&tag).with_context(|| command.chars().take(60).collect::<String>())?;
        Ok(&self.answer)
    }

    /// The same, however it ends: the last line says so.
    pub fn ask(&mut self, command: &str) -> anyhow::Result<&[u8]> {
        let tag = self.say(command.as_bytes(), b"")?;
        self.until(&tag).with_context(|| command.chars().take(60).collect::<String>())?;
        Ok(&self.answer)
    }

    /// Puts a message into a mailbox; the server is not asked whether it takes it.
    pub fn append(&mut self, mailbox: &str, message: &[u8]) -> anyhow::Result<()> {
        let command = format!("APPEND {mailbox} {{{}+}}\r\n", message.len());
        let tag = self.say(command.as_bytes(), message)?;
        self.done(&tag)
    }

    /// Begins to idle; what is read from here on is news.
    pub fn idle(mut self) -> anyhow::Result<(ClientConnection, TcpStream)> {
        self.say(b"IDLE", b"")?;
        self.until(b"+ ")?;
        Ok((self.stream.conn, self.stream.sock))
    }

    fn say(&mut self, command: &[u8], message: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.commands += 1;
        let tag = format!("b{:05}", self.commands).into_bytes();
        self.stream.write_all(&[&tag, b" ".as_slice(), command, message, b"\r\n"].concat())?;
        self.stream.flush()?;
        Ok(tag)
    }

    fn done(&mut self, tag: &[u8]) -> anyhow::Result<()> {
        let wanted = [tag, b" OK"].concat();
        self.read(|line| line.starts_with(tag))?;
        let last = last_line(&self.answer);
        ensure!(last.starts_with(&wanted), "the server says {}", String::from_utf8_lossy(last).trim_end());
        Ok(())
    }

    fn until(&mut self, beginning: &[u8]) -> anyhow::Result<()> {
        self.read(|line| line.starts_with(beginning))
    }

    /// Reads until the last whole line is the one looked for: nobody says more after it.
    fn read(&mut self, is_last: impl Fn(&[u8]) -> bool) -> anyhow::Result<()> {
        self.answer.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the server hung up after {}", String::from_utf8_lossy(last_line(&self.answer))),
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("nothing was answered"),
            }
            if self.answer.ends_with(b"\r\n") && is_last(last_line(&self.answer)) {
                return Ok(());
            }
        }
    }
}

fn last_line(text: &[u8]) -> &[u8] {
    let without = text.strip_suffix(b"\r\n").unwrap_or(text);
    memchr::memrchr(b'\n', without).map_or(text, |at| &text[at + 1..])
}

/// How often something stands in an answer.
pub fn count(answer: &[u8], what: &str) -> usize {
    memchr::memmem::find_iter(answer, what.as_bytes()).count()
}

/// How long something takes.
pub fn time<T>(what: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Duration, T)> {
    let start = Instant::now();
    let done = what()?;
    Ok((start.elapsed(), done))
}

fn trusting() -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes everybody's certificate: both servers have made theirs themselves.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
