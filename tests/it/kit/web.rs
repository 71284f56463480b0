//! A web server of the tests' own, by HTTPS, that answers as a script tells it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What it answers.
#[derive(Clone, Debug)]
pub enum Page {
    /// 200, as text/plain.
    Text(String),
    /// These bytes, as they are.
    Raw(String),
    /// 200, as text/plain, so many octets; with their number told before, or not.
    Endless { octets: u64, told: bool },
    /// Nothing, until the client goes.
    Silence,
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and target.
    pub line: String,
    /// The header fields, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Octets that were sent in all.
    sent: u64,
}

/// A running server; it ends with the runtime.
#[derive(Clone)]
pub struct Web {
    address: SocketAddr,
    page: Arc<Mutex<Page>>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    state: Arc<Mutex<State>>,
}

impl Web {
    /// On a free port of an address.
    pub async fn start(at: SocketAddr, config: Arc<ServerConfig>, page: Page) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let web = Self {
            address: listener.local_addr().unwrap(),
            page: Arc::new(Mutex::new(page)),
            config: Arc::new(Mutex::new(config)),
            state: Arc::default(),
        };
        let server = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let config = Arc::clone(&server.config.lock().unwrap_or_else(PoisonError::into_inner));
                    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                        let _ = server.serve(BufReader::new(stream)).await;
                    }
                });
            }
        });
        web
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers this.
    pub fn say(&self, page: Page) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }

    /// From now on has another certificate.
    pub fn certify(&self, config: Arc<ServerConfig>) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }

    /// Octets that were taken from it, or are on their way.
    pub fn sent(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sent
    }

    async fn serve<S: AsyncReadExt + AsyncWriteExt + Unpin>(&self, mut stream: BufReader<S>) -> std::io::Result<()> {
        let (mut line, mut head) = (String::new(), String::new());
        stream.read_line(&mut line).await?;
        loop {
            let mut field = String::new();
            if stream.read_line(&mut field).await? == 0 || field == "\r\n" {
                break;
            }
            head.push_str(&field.to_ascii_lowercase());
        }
        let length = head.lines().find_map(|field| field.strip_prefix("content-length:"));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        stream.read_exact(&mut body).await?;
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.push(Asked { line, head, body });
        let page = self.page.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = match page {
            Page::Text(text) => {
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            }
            Page::Raw(text) => text,
            Page::Endless { octets, told } => {
                let length =
                    if told { format!("Content-Length: {octets}\r\n") } else { "Connection: close\r\n".into() };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{length}\r\n");
                stream.write_all(head.as_bytes()).await?;
                let piece = vec![b'x'; 64 * 1024];
                for _ in 0..octets.div_ceil(64 * 1024) {
                    stream.write_all(&piece).await?;
                    self.state.lock().unwrap_or_else(PoisonError::into_inner).sent += 64 * 1024;
                }
                String::new()
            }
            Page::Silence => {
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                return Ok(());
            }
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await
    }
}
