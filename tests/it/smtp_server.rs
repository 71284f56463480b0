//! The SMTP server over real sockets, and over pipes where the clock has to jump: whole messages
//! arrive or are refused, nothing hangs, nobody takes more than his share, and a stop is orderly.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guichet::desk::address::Address;
use guichet::desk::envelope::{Envelope, Visit};
use guichet::login::sasl::{Answer, Denied, Question};
use guichet::net::limits::ConnectionLimits;
use guichet::net::listen::Listener;
use guichet::net::stop::{self, Stop, Stopper};
use guichet::net::tls::{Acceptor, CertificateFiles, Certificates};
use guichet::smtp::body::{Body, Spool};
use guichet::smtp::reply::Reply;
use guichet::smtp::server::{Deadlines, Host, Server, Settings, Start};
use guichet::smtp::session::{Service, SessionLimits};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_mins(1);

/// A host that keeps what it gets.
#[derive(Default)]
struct Desk {
    taken: Mutex<Vec<(Envelope, Vec<u8>)>>,
    /// Never answers when set.
    stuck: bool,
}

impl Host for Desk {
    fn now(&self) -> Timestamp {
        "2026-03-01T08:09:10Z".parse().unwrap()
    }

    async fn recipient(&self, _: &Visit, address: &Address) -> Result<(), Reply> {
        if address.local() == "acme" { Ok(()) } else { Err(Reply::no_such_recipient("nobody")) }
    }

    async fn login(&self, _: IpAddr, _: Question) -> Answer {
        Answer::Denied(Denied::Wrong)
    }

    async fn deliver(&self, envelope: Envelope, body: Body) -> Reply {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        let length = body.len();
        let bytes = body.read_all().unwrap();
        assert_eq!(bytes.len() as u64, length);
        self.taken.lock().unwrap().push((envelope, bytes));
        Reply::ok("taken")
    }
}

/// A server with its desk and a folder that goes away with it.
struct Bench {
    dir: TempDir,
    desk: Arc<Desk>,
    settings: Settings,
    stopper: Stopper,
    stop: Stop,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            hostname: "desk.example".into(),
            service: Service::World,
            limits: SessionLimits::default(),
            deadlines: Deadlines::default(),
            connections: ConnectionLimits::new(10, 10),
            spool: Spool::open(&dir.path().join("spool"), 64 << 10).unwrap(),
            tls: None,
            metrics: Arc::default(),
        };
        let (stopper, stop) = stop::channel();
        Self { dir, desk: Arc::default(), settings, stopper, stop }
    }

    fn server(&self) -> Arc<Server<Desk>> {
        Arc::new(Server::new(Arc::clone(&self.desk), self.settings.clone()))
    }

    /// Serves a real socket.
    fn listen(&self) -> (SocketAddr, JoinHandle<()>) {
        let listener = Listener::bind_all("smtp.listen", &["127.0.0.1:0"]).unwrap().remove(0);
        let address = listener.address();
        (address, tokio::spawn(self.server().serve(listener, Start::Plain, self.stop.clone())))
    }

    /// Serves one session over a pipe, so that no real time passes.
    fn pipe(&self, capacity: usize) -> (Client<DuplexStream>, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        let (server, stop) = (self.server(), self.stop.clone());
        let session =
            tokio::spawn(
                async move { server.converse(theirs, IpAddr::V4(Ipv4Addr::LOCALHOST), Start::Plain, stop).await },
            );
        (Client(BufReader::new(ours)), session)
    }

    fn taken(&self) -> Vec<(Envelope, Vec<u8>)> {
        std::mem::take(&mut *self.desk.taken.lock().unwrap())
    }
}

struct Client<S>(BufReader<S>);

impl Client<TcpStream> {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One whole reply, its last line; empty when the connection is closed.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    async fn expect(&mut self, start: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "expected {start:?}, got {reply:?}");
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.reply().await, "");
    }

    async fn ask(&mut self, command: &str, start: &str) {
        self.send(&format!("{command}\r\n")).await;
        self.expect(start).await;
    }

    async fn greet(&mut self) {
        self.expect("220 ").await;
        self.ask("EHLO client.example", "250 ").await;
    }

    /// As far as the 354 to DATA.
    async fn begin_message(&mut self) {
        self.ask("MAIL FROM:<bob@client.example>", "250 ").await;
        self.ask("RCPT TO:<acme@desk.example>", "250 ").await;
        self.ask("DATA", "354 ").await;
    }
}

#[tokio::test]
async fn a_message_arrives_with_its_trace_field_on_top() {
    let bench = Bench::new();
    let (address, _serving) = bench.listen();
    let mut client = Client::connect(address).await;
    client.greet().await;
    client.begin_message().await;
    client.ask("Subject: hi\r\n\r\n..dot\r\n.", "250 2.0.0 taken").await;
    client.ask("QUIT", "221 ").await;
    client.expect_end().await;

    let taken = bench.taken();
    let [(envelope, bytes)] = taken.as_slice() else { panic!("one message, not {}", taken.len()) };
    assert_eq!(envelope.client, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert!(envelope.extended && envelope.tls.is_none());
    let expected = format!(
        "Received: from client.example ([127.0.0.1])\r\n\tby desk.example with ESMTP id {}\r\n\
         \tfor <acme@desk.example>;\r\n\tSun, 01 Mar 2026 08:09:10 +0000\r\nSubject: hi\r\n\r\n.dot\r\n",
        envelope.id
    );
    assert_eq!(std::str::from_utf8(bytes).unwrap(), expected);
}

#[tokio::test]
async fn starttls_encrypts_and_forgets_what_was_said_before() {
    let mut bench = Bench::new();
    let files = CertificateFiles::self_signed(&bench.dir.path().join("certs"), &["desk.example".into()]).unwrap();
    bench.settings.tls = Some(Acceptor::for_mail(&Certificates::new(files.load().unwrap())).unwrap());
    let (address, _serving) = bench.listen();
    let mut client = Client::connect(address).await;
    client.greet().await;
    client.ask("STARTTLS\r\nMAIL FROM:<evil@client.example>", "220 ").await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("desk.example").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, client.0.into_inner()).await.unwrap();
    let mut client = Client(BufReader::new(stream));
    client.ask("MAIL FROM:<bob@client.example>", "503 5.5.1").await;
    client.ask("EHLO client.example", "250 ").await;
    client.begin_message().await;
    client.ask("Subject: hi\r\n\r\nsecret\r\n.", "250 2.0.0 taken").await;
    client.ask("QUIT", "221 ").await;
    client.expect_end().await;

    let (envelope, bytes) = bench.taken().remove(0);
    assert!(envelope.tls.as_deref().unwrap().starts_with("TLSv1.3 "), "{:?}", envelope.tls);
    assert!(String::from_utf8(bytes).unwrap().contains(" with ESMTPS id "));
}

#[tokio::test]
async fn a_large_message_goes_through_the_spool_and_leaves_nothing_there() {
    let bench = Bench::new();
    let (address, _serving) = bench.listen();
    let mut client = Client::connect(address).await;
    client.greet().await;
    client.begin_message().await;
    let lines: Vec<_> = (0..60_000).map(|n| format!("line {n}, and some more of it\r\n")).collect();
    let text = lines.concat();
    client.send(&format!("\r\n{text}.\r\n")).await;
    client.expect("250 2.0.0 taken").await;
    let bytes = bench.taken().remove(0).1;
    assert!(bytes.ends_with(text.as_bytes()));
    assert_eq!(std::fs::read_dir(bench.dir.path().join("spool")).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_spool_large_messages_wait_and_small_ones_go_on() {
    let bench = Bench::new();
    let (address, _serving) = bench.listen();
    std::fs::remove_dir(bench.dir.path().join("spool")).unwrap();
    let mut client = Client::connect(address).await;
    client.greet().await;
    client.begin_message().await;
    client.send(&format!("\r\n{}.\r\n", "0123456789\r\n".repeat(20_000))).await;
    client.expect("452 4.3.1").await;
    client.begin_message().await;
    client.ask("small\r\n.", "250 ").await;
    assert_eq!(bench.taken().len(), 1);
}

#[tokio::test]
async fn a_message_cut_off_is_no_message() {
    let bench = Bench::new();
    let (mut client, session) = bench.pipe(1024);
    client.greet().await;
    client.begin_message().await;
    client.send("Subject: hi\r\n\r\nhalf\r\n.\r").await;
    drop(client);
    session.await.unwrap();
    assert!(bench.taken().is_empty());
}

#[tokio::test]
async fn one_address_can_not_take_every_connection() {
    let mut bench = Bench::new();
    bench.settings.connections = ConnectionLimits::new(10, 2);
    let (address, _serving) = bench.listen();
    let mut first = Client::connect(address).await;
    first.expect("220 ").await;
    let mut second = Client::connect(address).await;
    second.expect("220 ").await;
    let mut third = Client::connect(address).await;
    third.expect("421 4.7.0 too many connections from your address").await;
    third.expect_end().await;
    first.ask("QUIT", "221 ").await;
    drop(first);
    while bench.settings.connections.held() > 1 {
        tokio::task::yield_now().await;
    }
    Client::connect(address).await.expect("220 ").await;
}

#[tokio::test]
async fn a_web_client_is_told_and_hung_up_on() {
    let bench = Bench::new();
    let (address, _serving) = bench.listen();
    let mut client = Client::connect(address).await;
    client.expect("220 ").await;
    client.send("GET / HTTP/1.1\r\nHost: desk.example\r\n\r\n").await;
    client.expect("554 5.5.1").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_stop_ends_idle_sessions_and_lets_a_transaction_finish() {
    let bench = Bench::new();
    let (address, serving) = bench.listen();
    let mut idle = Client::connect(address).await;
    idle.greet().await;
    let mut busy = Client::connect(address).await;
    busy.greet().await;
    busy.begin_message().await;
    bench.stopper.stop();
    idle.expect("421 4.3.2").await;
    idle.expect_end().await;
    busy.ask("last words\r\n.", "250 2.0.0 taken").await;
    busy.expect("421 4.3.2").await;
    busy.expect_end().await;
    drop((idle, busy));
    serving.await.unwrap();
    assert_eq!(bench.taken().len(), 1);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_does_not_finish_is_ended_with_the_drain() {
    let bench = Bench::new();
    let (mut client, session) = bench.pipe(1024);
    client.greet().await;
    client.begin_message().await;
    bench.stopper.stop();
    let start = Instant::now();
    client.expect("421 4.3.2").await;
    assert_eq!(start.elapsed().as_secs(), 30);
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_hung_up_on_after_five_minutes() {
    let bench = Bench::new();
    let (mut client, _session) = bench.pipe(1024);
    client.greet().await;
    let start = Instant::now();
    client.expect("421 4.4.2").await;
    client.expect_end().await;
    assert_eq!(start.elapsed().as_secs(), 5 * 60);
}

#[tokio::test(start_paused = true)]
async fn a_command_sent_in_drips_must_still_end_in_five_minutes() {
    let bench = Bench::new();
    let (mut client, _session) = bench.pipe(1024);
    client.greet().await;
    let start = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(MINUTE).await;
        client.send("x").await;
    }
    client.expect("421 4.4.2").await;
    assert_eq!(start.elapsed().as_secs(), 5 * 60);
}

#[tokio::test(start_paused = true)]
async fn a_message_may_pause_for_three_minutes_and_no_longer() {
    let bench = Bench::new();
    let (mut client, _session) = bench.pipe(1024);
    client.greet().await;
    client.begin_message().await;
    // The bare LF: a message that is only read to its end has the same time as any.
    for text in ["still here\r\n", "still\n", "here\r\n", "and\r\n", "here\r\n"] {
        tokio::time::sleep(MINUTE * 2).await;
        client.send(text).await;
    }
    let start = Instant::now();
    client.expect("421 4.4.2").await;
    assert_eq!(start.elapsed().as_secs(), 3 * 60);
    assert!(bench.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_in_drips_ends_after_an_hour() {
    let bench = Bench::new();
    let (mut client, session) = bench.pipe(1024);
    let start = Instant::now();
    client.greet().await;
    client.begin_message().await;
    for _ in 0..59 {
        tokio::time::sleep(MINUTE).await;
        client.send("x").await;
    }
    client.expect("421 4.4.2").await;
    assert_eq!(start.elapsed().as_secs(), 60 * 60);
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_let_go() {
    let bench = Bench::new();
    let (mut client, session) = bench.pipe(256);
    let start = Instant::now();
    // More replies than the pipe holds: the server can't send them and must not keep them all.
    let commands = "NOOP\r\n".repeat(90);
    assert!(client.0.write_all(commands.as_bytes()).await.is_err(), "the pipe breaks while we still write");
    session.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 3 * 60);
}

#[tokio::test(start_paused = true)]
async fn a_desk_that_does_not_answer_is_answered_for() {
    let mut bench = Bench::new();
    bench.desk = Arc::new(Desk { stuck: true, ..Desk::default() });
    let (mut client, _session) = bench.pipe(1024);
    client.greet().await;
    client.begin_message().await;
    let start = Instant::now();
    client.ask("x\r\n.", "451 4.3.0").await;
    assert_eq!(start.elapsed().as_secs(), 9 * 60, "before the client gives up after ten minutes");
    client.ask("NOOP", "250 ").await;
}

#[tokio::test]
async fn pipelined_mail_over_any_pipe_is_answered_in_order() {
    let bench = Bench::new();
    let (client, session) = bench.pipe(7);
    let (mut read, mut write) = tokio::io::split(client.0.into_inner());
    let mail = "MAIL FROM:<>\r\nRCPT TO:<acme@desk.example>\r\nRCPT TO:<who@desk.example>\r\nDATA\r\nhi\r\n.\r\n";
    let all = format!("EHLO client.example\r\n{}QUIT\r\n", mail.repeat(20));
    let writing = tokio::spawn(async move { write.write_all(all.as_bytes()).await.unwrap() });
    let mut replies = String::new();
    read.read_to_string(&mut replies).await.unwrap();
    writing.await.unwrap();
    session.await.unwrap();
    let codes: Vec<_> =
        replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].to_owned()).collect();
    let expected = [&["220", "250"][..], &["250", "250", "550", "354", "250"].repeat(20), &["221"]].concat();
    assert_eq!(codes, expected);
    assert_eq!(bench.taken().len(), 20);
}
