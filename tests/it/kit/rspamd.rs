//! A spam filter of the tests' own: an HTTP server on loopback that says what it is told to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with the next question.
#[derive(Clone, Debug)]
pub enum Says {
    /// Answers with an action and a score; it would reject from 15 on.
    Action(&'static str, f64),
    /// Answers 200 with this body.
    Body(String),
    /// Sends these very octets and closes.
    Raw(Vec<u8>),
    /// Sends a body that never ends, for as long as it is read.
    Endless,
    /// Reads the question and keeps silent.
    Nothing,
    /// Closes at once.
    HangUp,
}

/// One question, as it came.
#[derive(Clone, Debug)]
pub struct Question {
    /// The request line and the fields.
    pub head: String,
    pub message: Vec<u8>,
}

impl Question {
    /// The values of a field.
    pub fn field(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

struct State {
    says: Says,
    asked: Vec<Question>,
}

/// A running one; it ends with the runtime.
#[derive(Clone)]
pub struct Filter {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Filter {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let state = State { says: Says::Action("no action", 0.0), asked: Vec::new() };
        let filter = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let serving = filter.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let filter = serving.clone();
                tokio::spawn(async move { filter.converse(stream).await });
            }
        });
        filter
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The lines of `[spam]` that name it.
    pub fn config(&self) -> String {
        format!("[spam]\nrspamd = \"http://{}\"\n", self.address)
    }

    /// From now on it says this.
    pub fn says(&self, says: Says) {
        self.state().says = says;
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Question> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn converse(&self, mut stream: TcpStream) -> Option<()> {
        let says = self.state().says.clone();
        if let Says::HangUp = says {
            return None;
        }
        let question = read(&mut stream).await?;
        self.state().asked.push(question);
        let answer = match says {
            Says::Action(action, score) => ok(&format!(
                "{{\"is_skipped\":false,\"score\":{score},\"required_score\":15.0,\"action\":{action:?},\"symbols\":{{}}}}"
            )),
            Says::Body(body) => ok(&body),
            Says::Raw(octets) => octets,
            Says::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.ok()?;
                let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk).await.ok()?;
                }
            }
            Says::Nothing => std::future::pending().await,
            Says::HangUp => return None,
        };
        stream.write_all(&answer).await.ok()
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

/// One request with its body.
async fn read(stream: &mut TcpStream) -> Option<Question> {
    let mut octets = Vec::new();
    loop {
        stream.read_buf(&mut octets).await.ok().filter(|read| *read > 0)?;
        let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(octets[..end].to_vec()).unwrap();
        let mut question = Question { head, message: octets[end + 4..].to_vec() };
        let length: usize = question.field("Content-Length")[0].parse().unwrap();
        while question.message.len() < length {
            stream.read_buf(&mut question.message).await.ok().filter(|read| *read > 0)?;
        }
        return Some(question);
    }
}
