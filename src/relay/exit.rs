//! The way out: whichever [`Route`] is configured, one function that delivers.

use std::io;

use super::capture::Capture;
use super::client::{Client, Outcome, Reply, Transaction};
use super::pool::{Pool, PoolLimits};
use super::route::Route;

/// An opened route.
pub enum Exit {
    Pool(Box<Pool>),
    Capture(Capture),
}

impl Exit {
    /// Opens a route. A captured one's Maildir is made; a server is not asked before there is mail.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(route: Route, client: Client, limits: PoolLimits) -> io::Result<Self> {
        Ok(match route {
            Route::Host(hop) => Self::Pool(Box::new(Pool::new(client, hop, limits))),
            Route::Capture(directory) => Self::Capture(Capture::open(directory)?),
        })
    }

    /// Delivers one message; one outcome for each recipient, in their order. `name` is the copy's
    /// own, of letters, digits, `-`, `.` and `_`: captured twice under one name is captured once.
    pub async fn deliver(&self, name: &str, transaction: &Transaction<'_>) -> Vec<Outcome> {
        match self {
            Self::Pool(pool) => pool.deliver(transaction).await,
            Self::Capture(capture) => {
                let outcome = match write(capture, name, transaction).await {
                    Ok(()) => Outcome::Sent(Reply::ours("captured")),
                    Err(error) => Outcome::RouteDown(Reply::ours(format!("the Maildir can't be written: {error}"))),
                };
                vec![outcome; transaction.recipients.len()]
            }
        }
    }

    /// Closes connections that have waited too long: to be called now and then.
    pub async fn sweep(&self) {
        if let Self::Pool(pool) = self {
            pool.sweep().await;
        }
    }

    /// Closes all waiting connections: before the process ends.
    pub async fn close(&self) {
        if let Self::Pool(pool) = self {
            pool.close().await;
        }
    }
}

/// Writes where blocking is allowed: syncing a file takes as long as the disk does.
async fn write(capture: &Capture, name: &str, transaction: &Transaction<'_>) -> io::Result<()> {
    let (capture, name, message) = (capture.clone(), name.to_owned(), transaction.message.to_vec());
    let (reverse_path, recipients) = (transaction.reverse_path.clone(), transaction.recipients.clone());
    tokio::task::spawn_blocking(move || {
        let transaction =
            Transaction { reverse_path, recipients, message: &message, eight_bit: false, smtputf8: false };
        capture.write(&name, &transaction)
    })
    .await
    .map_err(io::Error::other)?
}
