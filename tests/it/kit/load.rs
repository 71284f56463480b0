//! Mail from many senders at once: new tickets and answers, each under a Message-ID of its own, and
//! a book of what was acknowledged.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::desk::{address_in, field};
use super::sink::Received;

/// How many customers write.
const CUSTOMERS: usize = 30;
/// How many of the newest copies are answered to.
const ANSWERABLE: usize = 40;

/// A new seed each time, or the one in `GUICHET_TEST_SEED`; printed, so that a failure can come again.
pub fn seed() -> u64 {
    let seed = std::env::var("GUICHET_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("GUICHET_TEST_SEED={seed}");
    seed
}

/// Random numbers that come again with their seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

/// A message that its sender wants to be rid of.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its Message-ID, without the angle brackets.
    pub id: String,
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

/// What was sent by all, and what was said of it.
pub struct Office {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
}

struct State {
    dice: Dice,
    written: usize,
    /// How many entries each message must make, whether it was acknowledged yet or not.
    composed: BTreeMap<String, usize>,
    acknowledged: Vec<String>,
    /// Who wrote what, of what was acknowledged.
    own: Vec<(String, String)>,
    /// The newest copies: reader, reply address, Message-ID.
    copies: Vec<(String, String, String)>,
}

/// How much was sent since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub acknowledged: usize,
    pub octets: usize,
}

impl Office {
    pub fn new(seed: u64) -> Self {
        let state = State {
            dice: Dice::new(seed),
            written: 0,
            composed: BTreeMap::new(),
            acknowledged: Vec::new(),
            own: Vec::new(),
            copies: Vec::new(),
        };
        Self { state: Mutex::new(state), progress: watch::Sender::default() }
    }

    /// How far the senders are, to wait for.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// What was acknowledged, and how many entries each message makes.
    pub fn acknowledged(&self) -> BTreeMap<String, usize> {
        let state = self.state();
        state.acknowledged.iter().map(|id| (id.clone(), state.composed[id])).collect()
    }

    /// All that anybody tried to send.
    pub fn composed(&self) -> BTreeMap<String, usize> {
        self.state().composed.clone()
    }

    /// Lets the senders answer what came out.
    pub fn saw(&self, received: &[Received]) {
        let copies = received.iter().rev().take(ANSWERABLE).map(|received| {
            let message = String::from_utf8_lossy(&received.message);
            (reader(received), address_in(&message, "Reply-To"), field(&message, "Message-ID").unwrap())
        });
        self.state().copies = copies.collect();
    }

    /// Sends one message after the other until the connection ends, or the server says that it
    /// stops; what was not acknowledged. Any other answer but `250` is a failure.
    pub async fn send(&self, server: SocketAddr, unfinished: Option<Mail>) -> Unfinished {
        let mut mail = unfinished;
        let Ok(mut client) = Client::connect(server).await else { return Unfinished { mail, in_data: false } };
        loop {
            let next = mail.take().unwrap_or_else(|| self.compose());
            let count = |octets| self.progress.send_modify(|progress| progress.octets += octets);
            match client.send(&next, count).await {
                Ok(reply) if reply.starts_with("250 ") => self.note(&next),
                Ok(reply) if reply.starts_with("421 ") => return Unfinished { mail: Some(next), in_data: false },
                Ok(reply) => panic!("{}: {reply}", next.id),
                Err(_) => return Unfinished { mail: Some(next), in_data: client.in_data },
            }
        }
    }

    /// Sends what is left over, once.
    pub async fn finish(&self, server: SocketAddr, mail: Mail) {
        let mut client = Client::connect(server).await.unwrap();
        let reply = client.send(&mail, |_| {}).await.unwrap();
        assert!(reply.starts_with("250 "), "{}: {reply}", mail.id);
        self.note(&mail);
    }

    fn note(&self, mail: &Mail) {
        let mut state = self.state();
        state.acknowledged.push(mail.id.clone());
        state.own.push((mail.from.clone(), mail.id.clone()));
        drop(state);
        self.progress.send_modify(|progress| progress.acknowledged += 1);
    }

    /// The next message: mostly a new ticket, sometimes for two properties, sometimes large, often
    /// an answer.
    pub fn compose(&self) -> Mail {
        let mut state = self.state();
        let state = &mut *state;
        state.written += 1;
        let number = state.written;
        let customer = format!("customer{}@example.com", state.dice.roll(CUSTOMERS));
        let to_acme = vec!["acme@desk.example.org".to_owned()];
        let copies = state.copies.len();
        let (from, to, thread, size) = match state.dice.roll(10) {
            0 => (customer, [to_acme, vec!["bulle@desk.example.org".to_owned()]].concat(), String::new(), 100),
            1 => (customer, to_acme, String::new(), 300 << 10),
            2..=4 if copies > 0 => {
                let (reader, reply_to, id) = state.copies[state.dice.roll(copies)].clone();
                (reader, vec![reply_to], format!("In-Reply-To: {id}\n"), 200)
            }
            5 if !state.own.is_empty() => {
                let (writer, id) = state.own[state.dice.roll(state.own.len())].clone();
                (writer, to_acme, format!("In-Reply-To: <{id}>\n"), 200)
            }
            _ => (customer, to_acme, String::new(), 1000),
        };
        let id = format!("load-{number}@{}", from.rsplit('@').next().unwrap());
        let text = format!(
            "From: <{from}>\nTo: {}\nSubject: Question {number}\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\
             Message-ID: <{id}>\n{thread}\n{}",
            to.join(", "),
            "What everybody asks sooner or later.\n".repeat(size / 36)
        );
        state.composed.insert(id.clone(), to.len());
        Mail { id, from, to, text }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a sender ended.
pub struct Unfinished {
    /// What it will send again.
    pub mail: Option<Mail>,
    /// Whether the connection ended after the server had said `354` and before it had answered.
    pub in_data: bool,
}

/// Whom a copy was for.
pub fn reader(received: &Received) -> String {
    let (_, path) = received.to[0].split_once('<').unwrap();
    path.split_once('>').unwrap().0.to_owned()
}

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Whether the server waits for the rest of a message, or the client for the answer to one.
    pub in_data: bool,
}

impl Client {
    pub async fn connect(server: SocketAddr) -> io::Result<Self> {
        let mut client = Self { stream: BufReader::new(TcpStream::connect(server).await?), in_data: false };
        client.answer().await?;
        client.say("EHLO client.example.com").await?;
        Ok(client)
    }

    /// The last reply to one message; the first that is no success, then. Tells `count` how many
    /// octets went out, in pieces.
    pub async fn send(&mut self, mail: &Mail, count: impl Fn(usize)) -> io::Result<String> {
        let mut lines = vec![format!("MAIL FROM:<{}>", mail.from)];
        lines.extend(mail.to.iter().map(|to| format!("RCPT TO:<{to}>")));
        lines.push("DATA".to_owned());
        for line in lines {
            let reply = self.say(&line).await?;
            count(line.len());
            if !reply.starts_with(['2', '3']) {
                return Ok(reply);
            }
        }
        self.in_data = true;
        let text = mail.text.replace('\n', "\r\n") + "\r\n.\r\n";
        for piece in text.as_bytes().chunks(700) {
            self.stream.write_all(piece).await?;
            count(piece.len());
        }
        let reply = self.answer().await?;
        self.in_data = false;
        Ok(reply)
    }

    /// One command and the last line of its reply.
    pub async fn say(&mut self, line: &str) -> io::Result<String> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.answer().await
    }

    /// The line itself, to begin TLS on; everything that was said on it has been read.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty());
        self.stream.into_inner()
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The last line of the next reply.
    pub async fn answer(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}
