//! The load: sessions that send one message after another, a new connection each, a command at a
//! time, as smtp-source does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::mails::Mail;

/// The longest wait for one answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends all mails over so many sessions at once; how long it took until the last was accepted, and
/// how long each took from its connection to its `250`, shortest first.
pub async fn send_all(
    server: SocketAddr,
    sessions: usize,
    mails: Arc<Vec<Mail>>,
) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let next = Arc::new(AtomicUsize::new(0));
    let taken = Arc::new(Mutex::new(Vec::with_capacity(mails.len())));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..sessions {
        let (next, mails, taken) = (Arc::clone(&next), Arc::clone(&mails), Arc::clone(&taken));
        tasks.spawn(async move {
            while let Some(mail) = mails.get(next.fetch_add(1, Ordering::Relaxed)) {
                let start = Instant::now();
                let accepted = send(server, mail).await?;
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(accepted - start);
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let time = start.elapsed();
    let mut taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    taken.sort();
    Ok((time, taken))
}

/// Sends one; when its `250` came.
pub async fn send(server: SocketAddr, mail: &Mail) -> anyhow::Result<Instant> {
    let mut stream = TcpStream::connect(server).await.with_context(|| format!("no connection to {server}"))?;
    stream.set_nodelay(true)?;
    answer(&mut stream, "220").await?;
    for (command, expected) in [
        ("EHLO client.example.com\r\n", "250"),
        (&format!("MAIL FROM:<{}>\r\n", mail.from), "250"),
        (&format!("RCPT TO:<{}>\r\n", mail.to), "250"),
        ("DATA\r\n", "354"),
    ] {
        stream.write_all(command.as_bytes()).await?;
        answer(&mut stream, expected).await?;
    }
    stream.write_all(&mail.data).await?;
    answer(&mut stream, "250").await?;
    let accepted = Instant::now();
    stream.write_all(b"QUIT\r\n").await?;
    answer(&mut stream, "221").await?;
    Ok(accepted)
}

/// Reads one reply, which is all that the server says before the next command.
async fn answer(stream: &mut TcpStream, expected: &str) -> anyhow::Result<()> {
    let mut reply = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.context("the server keeps silent")??;
        ensure!(read > 0, "the server hung up instead of {expected}");
        reply.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&reply);
        let Some(last) = text.strip_suffix("\r\n").map(|text| text.rsplit("\r\n").next().unwrap_or(text)) else {
            continue;
        };
        if last.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if !last.starts_with(expected) {
            bail!("{last} instead of {expected}");
        }
        return Ok(());
    }
}
