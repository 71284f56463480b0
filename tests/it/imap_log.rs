//! The log says of each IMAP session who logged in, from where and how, and how it ended.

use guichet::net::tls::CertificateFiles;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::kit::authority::{believer, shake};
use crate::kit::daemon::Daemon;
use crate::kit::desk::TestDesk;

/// A client at the port with TLS from the start.
struct Client(BufReader<TlsStream<TcpStream>>);

impl Client {
    async fn connect(desk: &TestDesk, port: &str) -> Self {
        let files = CertificateFiles { certificate: desk.certificate(), key: desk.certificate().with_extension("key") };
        let own = files.load().unwrap().chain()[0].clone();
        let stream = shake(&believer(own), "mx.desk.example.org", TcpStream::connect(port).await.unwrap()).await;
        Self(BufReader::new(stream.unwrap()))
    }

    /// Says something, and reads up to a line that begins so.
    async fn say(&mut self, said: &str, until: &str) {
        self.0.write_all(said.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        let mut line = String::new();
        while !line.starts_with(until) {
            line.clear();
            assert!(self.0.read_line(&mut line).await.unwrap() > 0, "{until} did not come");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_and_an_end_are_told_of_each_member_and_a_guest_is_not() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let password = desk.app_password("alice", "laptop").await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    let status = daemon.start.last().unwrap().value("STATUS").unwrap().to_owned();
    let port = status.split("IMAP on ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let login = format!("a LOGIN alice@team.example {password}\r\n");

    let mut polite = Client::connect(&desk, &port).await;
    polite.say(&login, "a OK ").await;
    polite.say("b ID (\"name\" \"Thunder\\\"bird\" \"version\" \"140\")\r\n", "b OK ").await;
    polite.say("c SELECT INBOX\r\nd NOOP\r\n", "d OK ").await;
    polite.say("e LOGOUT\r\n", "e OK ").await;
    let mut gone = Client::connect(&desk, &port).await;
    gone.say(&login, "a OK ").await;
    drop(gone);
    let mut guesses = Client::connect(&desk, &port).await;
    guesses.say("a LOGIN alice@team.example wrong\r\n", "a NO ").await;
    guesses.say("b LOGOUT\r\n", "b OK ").await;
    let mut stays = Client::connect(&desk, &port).await;
    stays.say(&login, "a OK ").await;
    daemon.terminate();
    stays.say("", "* BYE [UNAVAILABLE] this server is shutting down").await;
    let (status, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
    assert!(status.success(), "{log}");

    let logins: Vec<_> = log.lines().filter(|line| line.contains("IMAP login")).collect();
    assert_eq!(logins.len(), 3, "{log}");
    for line in &logins {
        for field in ["client=127.0.0.1", "user=\"alice@team.example\"", "tls=\"TLSv1.3 "] {
            assert!(line.contains(field), "{field}: {line}");
        }
    }
    let denied = log.lines().find(|line| line.contains("login denied")).unwrap();
    assert!(denied.contains("user=\"alice@team.example\"") && !log.contains(&password), "{log}");
    let id = |line: &str| line.split("id=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let ends: Vec<_> = log.lines().filter(|line| line.contains("IMAP session ended")).collect();
    assert_eq!(ends.len(), 3, "{log}");
    let end = |login: &str| *ends.iter().find(|line| id(line) == id(login)).unwrap();
    for (login, fields) in [
        (logins[0], &["agent=\"Thunder\\\"bird 140\"", "commands=2", "seconds=", "reason=\"until next time\""][..]),
        (logins[1], &["commands=0", "reason=\"the client left\""]),
        (logins[2], &["commands=0", "reason=\"[UNAVAILABLE] this server is shutting down\""]),
    ] {
        for field in fields.iter().chain(&["user=\"alice@team.example\"", "client=127.0.0.1"]) {
            assert!(end(login).contains(field), "{field}: {}", end(login));
        }
    }
}
