//! A member's IMAP client over TLS, as simple as a test wants it, and a desk with something to read.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use guichet::actions::{ActionError, ticket};
use guichet::desk::copy::Scope;
use guichet::desk::ticket::Status;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::desk::TestDesk;
use super::letter::{Letter, letter};
use super::submit::connector;

/// After so long a test that waits says for what, and fails.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// TLS over a stream, with the desk's own certificate.
pub async fn encrypt(certificate: &Path, stream: Box<dyn Stream>) -> Box<dyn Stream> {
    let name = ServerName::try_from("mx.desk.example.org").unwrap();
    Box::new(connector(certificate).connect(name, stream).await.unwrap())
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Responses before the last one, each whole, with its literals.
    pub untagged: Vec<String>,
    /// The last one without its tag: `OK done`.
    pub status: String,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.status.starts_with("OK ")
    }

    /// What stands between two texts of the whole answer, the first place where it does.
    pub fn between(&self, before: &str, after: &str) -> String {
        let whole = format!("{}\n{}", self.untagged.join("\n"), self.status);
        let found = whole.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        found.unwrap_or_else(|| panic!("{before:?}…{after:?} is not in {whole}")).0.to_owned()
    }
}

/// A session.
pub struct Client {
    stream: Box<dyn Stream>,
    came: Vec<u8>,
    tags: u32,
}

impl Client {
    /// A session that has read the greeting.
    pub async fn connect(address: SocketAddr, certificate: &Path) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = encrypt(certificate, Box::new(stream)).await;
        let mut client = Self { stream, came: Vec::new(), tags: 0 };
        let greeting = client.response().await;
        assert!(greeting.starts_with("* OK "), "{greeting}");
        client
    }

    /// A session of a member, on a device of his own: the first is called `mail client`.
    pub async fn log_in(desk: &TestDesk, who: &str) -> Self {
        let user = format!("{who}@team.example");
        let mut device = "mail client".to_owned();
        let mut others = 1;
        let password = loop {
            match desk.try_app_password(&user, &device).await {
                Err(ActionError::Doubled(_)) => {
                    others += 1;
                    device = format!("mail client {others}");
                }
                made => break made.unwrap(),
            }
        };
        let mut client = Self::connect(desk.imap().0, &desk.certificate()).await;
        client.must(&format!("LOGIN {user} \"{password}\"")).await;
        client
    }

    /// The same, in a mailbox.
    pub async fn in_mailbox(desk: &TestDesk, who: &str, mailbox: &str) -> Self {
        let mut client = Self::log_in(desk, who).await;
        client.must(&format!("SELECT {mailbox}")).await;
        client
    }

    /// One command, and everything up to its end.
    pub async fn ask(&mut self, command: &str) -> Answer {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} {command}\r\n").as_bytes()).await;
        self.answer(&tag).await
    }

    /// One command that must end well; what was said besides.
    pub async fn must(&mut self, command: &str) -> Answer {
        let answer = self.ask(command).await;
        assert!(answer.is_ok(), "{command}: {answer:?}");
        answer
    }

    /// One command whose answer nobody waits for.
    pub async fn say(&mut self, command: &str) {
        self.tags += 1;
        self.send(format!("t{} {command}\r\n", self.tags).as_bytes()).await;
    }

    /// Puts a message into a mailbox. Its lines may end in LF alone.
    pub async fn append(&mut self, mailbox: &str, flags: &str, message: &str) -> Answer {
        let message = message.replace("\r\n", "\n").replace('\n', "\r\n");
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.send(format!("{tag} APPEND {mailbox} ({flags}) {{{}}}\r\n", message.len()).as_bytes()).await;
        let go = self.response().await;
        if !go.starts_with("+ ") {
            let status = go.strip_prefix(&format!("{tag} ")).unwrap_or_else(|| panic!("{go}")).to_owned();
            return Answer { untagged: Vec::new(), status };
        }
        self.send(format!("{message}\r\n").as_bytes()).await;
        self.answer(&tag).await
    }

    /// Begins to wait for news.
    pub async fn idle(&mut self) {
        self.tags += 1;
        self.send(format!("t{} IDLE\r\n", self.tags).as_bytes()).await;
        assert_eq!(self.response().await, "+ idling");
    }

    /// Waits for a response that is like this one. What comes before it is let go.
    pub async fn hears(&mut self, what: impl Fn(&str) -> bool) -> String {
        loop {
            let response = self.response().await;
            if what(&response) {
                return response;
            }
        }
    }

    /// Ends the wait; what had been said that nobody listened to.
    pub async fn done(&mut self) -> Answer {
        let tag = format!("t{}", self.tags);
        self.send(b"DONE\r\n").await;
        self.answer(&tag).await
    }

    /// The bytes of a message in the selected mailbox.
    pub async fn read(&mut self, uid: u32) -> String {
        let answer = self.must(&format!("UID FETCH {uid} BODY[]")).await;
        let fetched = answer.untagged.iter().find(|line| line.contains("BODY[] {"));
        let fetched = fetched.unwrap_or_else(|| panic!("no message {uid}: {answer:?}"));
        let (_, literal) = fetched.split_once("BODY[] {").unwrap();
        let (octets, rest) = literal.split_once("}\r\n").unwrap();
        rest[..octets.parse().unwrap()].to_owned()
    }

    /// The UIDs of what a search finds.
    pub async fn search(&mut self, keys: &str) -> Vec<u32> {
        let answer = self.must(&format!("UID SEARCH {keys}")).await;
        let found = answer.untagged.iter().find_map(|line| line.strip_prefix("* SEARCH"));
        found.unwrap_or_else(|| panic!("{answer:?}")).split_whitespace().map(|uid| uid.parse().unwrap()).collect()
    }

    async fn answer(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let response = self.response().await;
            if let Some(status) = response.strip_prefix(&format!("{tag} ")) {
                return Answer { untagged, status: status.to_owned() };
            }
            untagged.push(response);
        }
    }

    async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// One response with its literals, without the last line end.
    async fn response(&mut self) -> String {
        let mut at = 0;
        loop {
            let end = self.line_end(at).await;
            let line = String::from_utf8_lossy(&self.came[at..end]).into_owned();
            let literal = line.strip_suffix('}').and_then(|line| line.rsplit_once('{'));
            let Some(octets) = literal.and_then(|(_, octets)| octets.parse::<usize>().ok()) else {
                let response = String::from_utf8_lossy(&self.came[..end]).into_owned();
                self.came.drain(..end + 2);
                return response;
            };
            at = end + 2 + octets;
        }
    }

    /// Where the line ends that lies behind `from`, once it is there.
    async fn line_end(&mut self, from: usize) -> usize {
        loop {
            let rest = self.came.get(from..).unwrap_or_default();
            if let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
                return from + at;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.came)).await;
            let read = read.unwrap_or_else(|_| panic!("nothing more came after {}", self.came.escape_ascii())).unwrap();
            assert!(read > 0, "the server closed the connection after {}", self.came.escape_ascii());
        }
    }
}

/// A desk with something to read: Alice and Bob, Alice in the department of billing, and three mails of
/// Carol, of which Alice's department has the second, and the third is closed:
///
/// 1. `acme-1`, *Printer on fire*, plain, and Bob's answer to it;
/// 2. `acme-2`, *Invoice 42*, with an attachment and words that are not ASCII;
/// 3. `acme-3`, *Old question*.
pub async fn furnish(desk: &TestDesk) {
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice"]).await;
    for (number, letter) in LETTERS.iter().enumerate() {
        let (head, body) = letter.split_once("\n\n").unwrap();
        let mut mail = letter_of(number).text(body);
        for line in head.lines() {
            let (name, value) = line.split_once(": ").unwrap();
            mail = mail.field(name, value);
        }
        assert_eq!(desk.post(&mail).await, format!("acme-{}", number + 1));
        if number == 0 {
            desk.write("acme-1", Some("bob"), Scope::Public, "Leave the room, Carol.\n").await;
            desk.act(|tx, act| ticket::set_status(tx, act, "acme-1", Status::Open)).await;
        }
    }
    desk.act(|tx, act| {
        ticket::assign(tx, act, "acme-2", "billing")?;
        ticket::set_status(tx, act, "acme-3", Status::Closed)
    })
    .await;
}

fn letter_of(number: usize) -> Letter {
    letter("Carol Smith <carol@example.com>")
        .to("acme@desk.example.org")
        .id(&format!("<carol-{}@example.com>", number + 1))
        .field("Date", &format!("Mon, 23 Nov 2026 0{}:30:00 +0100", number + 8))
}

const LETTERS: [&str; 3] = [
    "Subject: Printer on fire

It is the one on the second floor.
Please come soon.
",
    "Subject: =?UTF-8?Q?Invoice_42_is_wrong_=E2=80=94_d=C3=A9j=C3=A0_pay=C3=A9?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"parts\"

--parts
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

The caf=C3=A9 was paid in October.
--parts
Content-Type: application/pdf; name=\"invoice.pdf\"
Content-Disposition: attachment; filename=\"invoice.pdf\"
Content-Transfer-Encoding: base64

JVBERi0xLjQKAAECAwQFBgcICQo=
--parts--
",
    "Subject: Old question

Do you still sell ribbons?
",
];
