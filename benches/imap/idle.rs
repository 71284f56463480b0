//! Many clients that idle, watched by one thread: when each of them hears of a new message.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::epoll;
use rustls::ClientConnection;

use super::client::{Client, Door};

/// All who idle.
pub struct Idlers {
    epoll: rustix::fd::OwnedFd,
    clients: Vec<Idler>,
}

struct Idler {
    tls: ClientConnection,
    socket: TcpStream,
    /// What was said since the last whole line.
    rest: Vec<u8>,
    /// Messages in the mailbox, as it was last told.
    exists: u32,
    /// When it was told of as many as are waited for.
    seen: Option<Instant>,
}

impl Idlers {
    /// Connects so many, one after the other, and has each select the mailbox and idle.
    pub fn gather(door: &Door, mailbox: &str, count: usize) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(count);
        for n in 0..count {
            let one = || {
                let mut client = Client::connect(door)?;
                let exists = exists(client.command(&format!("SELECT {mailbox}"))?).context("nothing EXISTS")?;
                let (tls, socket) = client.idle()?;
                socket.set_nonblocking(true)?;
                anyhow::Ok(Idler { tls, socket, rest: Vec::new(), exists, seen: None })
            };
            let client = one().with_context(|| format!("connection {} of {count}", n + 1))?;
            let at = epoll::EventData::new_u64(n as u64);
            epoll::add(&epoll, &client.socket, at, epoll::EventFlags::IN)?;
            clients.push(client);
        }
        Ok(Self { epoll, clients })
    }

    /// How many messages the mailbox has, as most were told.
    pub fn exists(&self) -> u32 {
        self.clients.iter().map(|client| client.exists).max().unwrap_or(0)
    }

    /// Reads until everybody knows of so many messages, or patience ends; when each did.
    pub fn until(&mut self, exists: u32, patience: Duration) -> anyhow::Result<Vec<Option<Instant>>> {
        for client in &mut self.clients {
            client.seen = (client.exists >= exists).then(Instant::now);
        }
        let start = Instant::now();
        let mut events = Vec::with_capacity(256);
        while self.clients.iter().any(|client| client.seen.is_none()) && start.elapsed() < patience {
            let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let at = usize::try_from(event.data.u64())?;
                self.clients[at].read(exists).with_context(|| format!("connection {}", at + 1))?;
            }
        }
        Ok(self.clients.iter().map(|client| client.seen).collect())
    }
}

impl Idler {
    fn read(&mut self, wanted: u32) -> anyhow::Result<()> {
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => bail!("the server hung up"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            self.tls.process_new_packets()?;
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = self.tls.reader().read(&mut buffer) {
                self.rest.extend_from_slice(&buffer[..read]);
            }
        }
        let Some(end) = memchr::memrchr(b'\n', &self.rest) else { return Ok(()) };
        if let Some(exists) = exists(&self.rest[..=end]) {
            self.exists = exists;
            if exists >= wanted && self.seen.is_none() {
                self.seen = Some(Instant::now());
            }
        }
        self.rest.drain(..=end);
        Ok(())
    }
}

/// The last `* N EXISTS` among some lines.
fn exists(lines: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(lines).ok()?;
    let count = |line: &str| line.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok();
    text.lines().rev().find_map(count)
}
