//! A member's mail client: TLS, AUTH, and the message.

use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::desk::TestDesk;
use super::letter::Letter;

/// A connection to the desk's port with TLS from the start.
pub struct Client(BufReader<TlsStream<TcpStream>>);

impl Client {
    /// Connects and says EHLO.
    pub async fn connect(desk: &TestDesk) -> Self {
        let stream = TcpStream::connect(desk.submission().0).await.unwrap();
        let name = ServerName::try_from("mx.desk.example.org").unwrap();
        let stream = connector(&desk.certificate()).connect(name, stream).await.unwrap();
        let mut client = Self(BufReader::new(stream));
        client.reply().await;
        client.ask("EHLO laptop.team.example").await;
        client
    }

    /// Logs in by PLAIN; the reply.
    pub async fn log_in(&mut self, user: &str, password: &str) -> String {
        let response = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
        self.ask(&format!("AUTH PLAIN {response}")).await
    }

    /// One command; the last line of its reply.
    pub async fn ask(&mut self, command: &str) -> String {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        self.reply().await
    }

    /// Sends a mail as far as it is taken; the last reply.
    pub async fn send(&mut self, letter: &Letter) -> String {
        let mut commands = vec![format!("MAIL FROM:<{}>", letter.sender())];
        commands.extend(letter.recipients().iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            let reply = self.ask(&command).await;
            if !reply.starts_with(['2', '3']) {
                self.ask("RSET").await;
                return reply;
            }
        }
        let message = letter.message().replace('\n', "\r\n");
        self.ask(&format!("{}\r\n.", message.trim_end_matches("\r\n"))).await
    }

    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the server closed the connection");
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }
}

/// Who is logged in, for one mail after the other.
pub struct Agent<'a> {
    desk: &'a TestDesk,
    client: Client,
}

impl<'a> Agent<'a> {
    /// A member with a device of his own.
    pub async fn log_in(desk: &'a TestDesk, who: &str) -> Self {
        let user = format!("{who}@team.example");
        let password = desk.app_password(&user, "laptop").await;
        let mut client = Client::connect(desk).await;
        let reply = client.log_in(&user, &password).await;
        assert!(reply.starts_with("235 2.7.0 "), "{reply}");
        Self { desk, client }
    }

    /// Sends a mail; the last reply.
    pub async fn offer(&mut self, letter: &Letter) -> String {
        let reply = self.client.send(letter).await;
        self.desk.settled().await;
        reply
    }

    /// Sends a mail that must be taken; the names of the tickets that it is on.
    pub async fn post(&mut self, letter: &Letter) -> String {
        let reply = self.offer(letter).await;
        let tickets = reply.strip_prefix("250 2.0.0 ").and_then(|rest| rest.split_once(" as "));
        let Some((tickets, _)) = tickets else { panic!("{reply} for {}", letter.message()) };
        tickets.to_owned()
    }

    /// Sends a mail that must be refused; why it was.
    pub async fn refused(&mut self, letter: &Letter) -> String {
        let reply = self.offer(letter).await;
        assert!(reply.starts_with("550 5.7.1 "), "{reply} for {}", letter.message());
        reply
    }
}

/// A TLS client that believes in one certificate.
pub fn connector(certificate: &Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
