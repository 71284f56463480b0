//! The mail servers of those that the desk writes to, each with its own manners.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::dns::Dns;

/// How a server takes mail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    Good,
    /// It thinks before each answer.
    Slow,
    /// Now and then it hangs up, or is busy, at one point or another.
    Broken,
    /// It takes the connection and says nothing.
    Silent,
    /// It knows nobody.
    Refusing,
}

/// The domains, each with a server of its own.
const DOMAINS: [(&str, Manners); 6] = [
    ("good.example", Manners::Good),
    ("slow.example", Manners::Slow),
    ("broken.example", Manners::Broken),
    ("silent.example", Manners::Silent),
    ("gone.example", Manners::Refusing),
    // Takes everything, and reports later that it could not.
    ("bouncing.example", Manners::Good),
];
/// How long a slow server thinks.
const THOUGHT: Duration = Duration::from_millis(700);
/// One in so many is treated badly, by a broken server.
const DICE: u32 = 3;

/// A mail that one of them took.
pub struct Copy {
    pub from: String,
    pub to: String,
    pub message: Vec<u8>,
}

/// All of them, at one port of loopback addresses of their own.
pub struct Servers {
    pub port: u16,
    taken: Arc<AtomicU32>,
    mended: Arc<AtomicBool>,
}

impl Servers {
    /// Starts them and says in the DNS where they are; besides them what they take.
    pub async fn start(dns: &Dns) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<Copy>)> {
        let (tell, copies) = mpsc::unbounded_channel();
        let listeners = listen().await?;
        let port = listeners.first().context("no server")?.local_addr()?.port();
        let servers = Self { port, taken: Arc::default(), mended: Arc::default() };
        for ((domain, manners), listener) in DOMAINS.into_iter().zip(listeners) {
            let host = format!("mx.{domain}");
            dns.exchange(domain, 10, &host).address(&host, listener.local_addr()?.ip());
            // The people's mail to the desk.
            dns.txt(domain, "v=spf1 ip4:127.0.0.1 -all").txt(&format!("_dmarc.{domain}"), "v=DMARC1; p=reject");
            let (tell, taken, mended) = (tell.clone(), Arc::clone(&servers.taken), Arc::clone(&servers.mended));
            tokio::spawn(async move {
                let mut number = 0_u32;
                while let Ok((stream, _)) = listener.accept().await {
                    number = number.wrapping_add(1);
                    let visit = Visit {
                        manners,
                        number,
                        tell: tell.clone(),
                        taken: Arc::clone(&taken),
                        mended: Arc::clone(&mended),
                    };
                    // Whether the client or the server hung up is no concern of others.
                    tokio::spawn(async move { visit.serve(stream).await });
                }
            });
        }
        dns.txt("_dmarc.example", "none");
        Ok((servers, copies))
    }

    /// How many mails they took.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// From now on all are good, but for those that know nobody.
    pub fn mend(&self) {
        self.mended.store(true, Ordering::Relaxed);
    }
}

/// At one port that is free at all of the addresses.
async fn listen() -> io::Result<Vec<TcpListener>> {
    loop {
        let mut listeners: Vec<TcpListener> = Vec::new();
        for last in (1..).take(DOMAINS.len()) {
            let port = listeners.first().map_or(Ok(0), |first| first.local_addr().map(|address| address.port()))?;
            match TcpListener::bind((IpAddr::from(Ipv4Addr::new(127, 0, 31, last)), port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => break,
                Err(error) => return Err(error),
            }
        }
        if listeners.len() == DOMAINS.len() {
            return Ok(listeners);
        }
    }
}

/// One connection.
struct Visit {
    manners: Manners,
    number: u32,
    tell: mpsc::UnboundedSender<Copy>,
    taken: Arc<AtomicU32>,
    mended: Arc<AtomicBool>,
}

impl Visit {
    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        if self.is(Manners::Silent) {
            // Until the client has had enough.
            let mut line = String::new();
            while !self.mended.load(Ordering::Relaxed) && stream.read_line(&mut line).await? > 0 {}
            return Ok(());
        }
        self.say(&mut stream, "220 mx.example ESMTP").await?;
        let (mut from, mut to, mut step) = (String::new(), String::new(), self.number);
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            step = step.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let unlucky = self.is(Manners::Broken) && (step >> 16).is_multiple_of(DICE);
            let path = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
                "EHLO" => "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME",
                "MAIL" if unlucky => return self.say(&mut stream, "421 4.3.2 busy").await,
                "MAIL" => {
                    from = path();
                    "250 ok"
                }
                "RCPT" if self.manners == Manners::Refusing => "550 5.1.1 nobody of that name",
                "RCPT" if unlucky => "450 4.2.0 come back later",
                "RCPT" => {
                    to = path();
                    "250 ok"
                }
                "DATA" if to.is_empty() => "554 5.5.1 no recipient",
                "DATA" => {
                    self.say(&mut stream, "354 go on").await?;
                    let message = content(&mut stream).await?;
                    if unlucky {
                        return Ok(());
                    }
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    // At the end nobody reads any more.
                    let copy = Copy { from: std::mem::take(&mut from), to: std::mem::take(&mut to), message };
                    let _ = self.tell.send(copy);
                    "250 ok"
                }
                "QUIT" => return self.say(&mut stream, "221 bye").await,
                _ => "250 ok",
            };
            self.say(&mut stream, reply).await?;
            line.clear();
        }
        Ok(())
    }

    fn is(&self, manners: Manners) -> bool {
        self.manners == manners && !self.mended.load(Ordering::Relaxed)
    }

    async fn say(&self, stream: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
        if self.is(Manners::Slow) {
            tokio::time::sleep(THOUGHT).await;
        }
        stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }
}

/// A message up to its dot.
async fn content(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if &message[start..] == b".\r\n" {
            message.truncate(start);
            return Ok(message);
        }
        if message[start] == b'.' {
            message.remove(start);
        }
    }
}
