//! Serving a listening socket: whoever connects is served in a task of his own, until the word to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use super::listen::Listener;
use super::stop::Stop;

/// Serves until the word to stop, then closes the socket and waits so long for those who are being
/// served. `begin` answers how somebody is served, or `None` for whom it has turned away; `what` they are
/// is for the log.
pub async fn serve<W>(
    listener: Listener,
    mut stop: Stop,
    what: &'static str,
    grace: Duration,
    begin: impl Fn(TcpStream, SocketAddr) -> Option<W>,
) where
    W: Future<Output = ()> + Send + 'static,
{
    let ended = |ended: Result<(), JoinError>| {
        if let Err(error) = ended {
            tracing::error!(%error, what, "a session broke down");
        }
    };
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(over) = sessions.join_next(), if !sessions.is_empty() => ended(over),
            (stream, peer) = listener.accept() => {
                if let Some(work) = begin(stream, peer) {
                    sessions.spawn(work);
                }
            }
        }
    }
    drop(listener);
    let rest = async {
        while let Some(over) = sessions.join_next().await {
            ended(over);
        }
    };
    if timeout(grace, rest).await.is_err() {
        tracing::warn!(sessions = sessions.len(), what, "sessions are cut off at the end of the shutdown");
        sessions.shutdown().await;
    }
}
