//! Where mail goes: Debian's smtp-sink, which counts, and one of our own that says when.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A running smtp-sink.
pub struct Sink {
    pub address: SocketAddr,
    child: Child,
    messages: Arc<AtomicU32>,
}

impl Sink {
    pub async fn start() -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new("smtp-sink");
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let mut child = command
            .args(["-c", &address.to_string(), "1000"])
            .stdout(Stdio::piped())
            .spawn()
            .context("smtp-sink can't be started; it is in Debian's package postfix")?;
        let mut output = child.stdout.take().context("smtp-sink has no output")?;
        let messages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&messages);
        std::thread::spawn(move || {
            // `sess=1 quit=1 mesg=5`, again and again, each with a carriage return at its end.
            let (mut buffer, mut line) = ([0; 4_096], String::new());
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                line.push_str(&String::from_utf8_lossy(&buffer[..read]));
                if let Some((whole, rest)) = line.rsplit_once('\r') {
                    let last = whole.rsplit_once("mesg=").and_then(|(_, count)| count.trim().parse().ok());
                    if let Some(last) = last {
                        counted.store(last, Ordering::Relaxed);
                    }
                    line = rest.to_owned();
                }
            }
        });
        let sink = Self { address, child, messages };
        until_it_listens(address).await?;
        Ok(sink)
    }

    /// Waits until so many messages have come in all; when the last of them was seen.
    pub async fn until(&self, messages: u32, patience: Duration) -> anyhow::Result<Instant> {
        let start = Instant::now();
        while self.messages.load(Ordering::Relaxed) < messages {
            let seen = self.messages.load(Ordering::Relaxed);
            ensure!(start.elapsed() < patience, "only {seen} of {messages} messages were relayed in {patience:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Instant::now())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sink in this process that tells when each message is offered.
pub struct Clock {
    pub address: SocketAddr,
    pub offered: mpsc::UnboundedReceiver<Instant>,
}

impl Clock {
    pub fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (tell, offered) = mpsc::unbounded_channel();
        // A thread of its own: what it sees must not wait for the sender of the mail.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(converse(stream, tell.clone()));
                }
            });
        });
        Ok(Self { address, offered })
    }
}

async fn converse(stream: TcpStream, tell: mpsc::UnboundedSender<Instant>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 clock\r\n").await?;
    let (mut line, mut in_message) = (String::new(), false);
    while stream.read_line(&mut line).await? > 0 {
        let reply: &[u8] = match line.get(..4).unwrap_or(&line) {
            ".\r\n" if in_message => {
                in_message = false;
                b"250 ok\r\n"
            }
            _ if in_message => b"",
            "EHLO" => b"250-clock\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "MAIL" => {
                let _ = tell.send(Instant::now());
                b"250 ok\r\n"
            }
            "DATA" => {
                in_message = true;
                b"354 go on\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await?;
        line.clear();
    }
    Ok(())
}

/// A port of this machine that nobody has now.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits for a server that was just started.
pub async fn until_it_listens(address: SocketAddr) -> anyhow::Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        ensure!(start.elapsed() < Duration::from_secs(20), "nothing listens on {address} after 20 seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
