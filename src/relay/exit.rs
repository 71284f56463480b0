//! The way out: whichever [`Route`](super::route::Route) is configured, one function that delivers.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::capture::Capture;
use super::client::{Client, Outcome, Reply, Transaction};
use super::mx::Finder;
use super::pool::{Hosts, Pool, PoolLimits, Target, quit};
use super::route::{Destination, NextHop};
use crate::desk::address::Address;
use crate::trust::alignment::ascii;

/// An open way out.
pub enum Exit {
    Servers(Box<Servers>),
    Capture(Capture),
}

/// Servers, and the connections to them.
pub struct Servers {
    client: Client,
    way: Way,
    limits: PoolLimits,
    /// Only destinations that somebody delivers to, or that a connection waits for.
    pools: Mutex<BTreeMap<Destination, Arc<Pool>>>,
    room: Arc<Semaphore>,
    hosts: Arc<Hosts>,
}

/// Which servers they are.
pub enum Way {
    /// One for everybody.
    Hop(NextHop),
    /// Those of each recipient's domain.
    Direct(Arc<Finder>),
}

impl Exit {
    /// To servers. None is asked for anything before there is mail.
    #[must_use]
    pub fn to_servers(way: Way, client: Client, limits: PoolLimits) -> Self {
        let room = Arc::new(Semaphore::new(limits.idle_in_all));
        let hosts = Arc::new(Hosts::new(limits.connections));
        Self::Servers(Box::new(Servers { client, way, limits, pools: Mutex::default(), room, hosts }))
    }

    /// Into a Maildir, which is made.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn to_maildir(directory: PathBuf) -> io::Result<Self> {
        Capture::open(directory).map(Self::Capture)
    }

    /// What mail for a recipient waits with.
    #[must_use]
    pub fn destination(&self, recipient: &Address) -> Destination {
        match self {
            Self::Servers(servers) => servers.destination(recipient),
            Self::Capture(_) => Destination::Route,
        }
    }

    /// Delivers one message; one outcome for each recipient, in their order. They are of one
    /// destination. `name` is the copy's own, of letters, digits, `-`, `.` and `_`: captured twice
    /// under one name is captured once.
    pub async fn deliver(&self, name: &str, transaction: &Transaction<'_>) -> Vec<Outcome> {
        match self {
            Self::Servers(servers) => servers.deliver(transaction).await,
            Self::Capture(capture) => {
                let outcome = match write(capture, name, transaction).await {
                    Ok(()) => Outcome::Sent(Reply::ours("captured")),
                    Err(error) => Outcome::RouteDown(Reply::ours(format!("the Maildir can't be written: {error}"))),
                };
                vec![outcome; transaction.recipients.len()]
            }
        }
    }

    /// Delivers one message over whatever line there is, and as a captured one nowhere: a report on what
    /// is wrong with TLS must arrive all the same (RFC 8460 §3). On a connection of its own, which
    /// nothing else is sent by.
    pub async fn deliver_anyhow(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        match self {
            Self::Servers(servers) => servers.deliver_anyhow(transaction).await,
            Self::Capture(_) => vec![Outcome::Sent(Reply::ours("left out")); transaction.recipients.len()],
        }
    }

    /// Closes connections that have waited too long, and forgets destinations that nothing goes to:
    /// to be called now and then.
    pub async fn sweep(&self) {
        if let Self::Servers(servers) = self {
            let expired = servers.pools().values().flat_map(|pool| pool.expired()).collect();
            servers.forget();
            quit(expired).await;
        }
    }

    /// Closes all waiting connections: before the process ends.
    pub async fn close(&self) {
        if let Self::Servers(servers) = self {
            let all = servers.pools().values().flat_map(|pool| pool.all()).collect();
            quit(all).await;
        }
    }
}

impl Servers {
    fn destination(&self, recipient: &Address) -> Destination {
        match self.way {
            Way::Hop(_) => Destination::Route,
            Way::Direct(_) => Destination::domain_of(recipient),
        }
    }

    async fn deliver(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        match transaction.recipients.first() {
            Some(recipient) => self.pool(recipient).deliver(transaction).await,
            None => Vec::new(),
        }
    }

    async fn deliver_anyhow(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        let Way::Direct(finder) = &self.way else { return self.deliver(transaction).await };
        let Some(recipient) = transaction.recipients.first() else { return Vec::new() };
        let target = Target::Anyhow(Arc::clone(finder), ascii(recipient.domain()).into_owned());
        self.deliver_alone(target, transaction).await
    }

    /// Delivers one message to a server of the caller's choice, by a connection that nobody else uses.
    pub async fn deliver_to(&self, hop: NextHop, transaction: &Transaction<'_>) -> Vec<Outcome> {
        self.deliver_alone(Target::Hop(hop), transaction).await
    }

    async fn deliver_alone(&self, target: Target, transaction: &Transaction<'_>) -> Vec<Outcome> {
        let (room, hosts) = (Arc::clone(&self.room), Arc::clone(&self.hosts));
        let pool = Pool::sharing(self.client.clone(), target, self.limits, room, hosts);
        let outcomes = pool.deliver(transaction).await;
        quit(pool.all()).await;
        outcomes
    }

    fn pool(&self, recipient: &Address) -> Arc<Pool> {
        let make = || {
            let target = match &self.way {
                Way::Hop(hop) => Target::Hop(hop.clone()),
                Way::Direct(finder) => Target::Domain(Arc::clone(finder), ascii(recipient.domain()).into_owned()),
            };
            let (room, hosts) = (Arc::clone(&self.room), Arc::clone(&self.hosts));
            Arc::new(Pool::sharing(self.client.clone(), target, self.limits, room, hosts))
        };
        Arc::clone(self.pools().entry(self.destination(recipient)).or_insert_with(make))
    }

    /// Who delivers has a pool of his own: one that nobody else has is used by nobody.
    fn forget(&self) {
        self.pools().retain(|_, pool| Arc::strong_count(pool) > 1 || !pool.is_empty());
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<Destination, Arc<Pool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
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
