//! Connections to the servers of one destination, kept for a while and used again: copies go out
//! one transaction each (VERP), and a connection a copy would cost more than the copies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::client::{Client, Opened, Outcome, Session, Transaction};
use super::mx::Finder;
use super::route::{NextHop, Place};

/// After so long no further server of a destination is begun with: who answers each of them slowly
/// must not hold a place for hours.
const LONGEST_SEARCH: Duration = Duration::from_mins(5);

/// How many connections there are, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The most at one time, to one destination.
    pub connections: usize,
    /// The most that wait unused, to all destinations together.
    pub idle_in_all: usize,
    /// The longest that one waits unused.
    pub idle: Duration,
    /// The longest that one is used.
    pub age: Duration,
    /// The most transactions that one carries.
    pub transactions: u32,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections: 10,
            idle_in_all: 100,
            idle: Duration::from_secs(15),
            age: Duration::from_mins(5),
            transactions: 100,
        }
    }
}

/// Where a pool's connections go.
pub enum Target {
    /// To one server.
    Hop(NextHop),
    /// To the servers of a domain, which is in A-labels.
    Domain(Arc<Finder>, String),
    /// The same, whatever it or they ask of the line, and uncounted.
    Anyhow(Arc<Finder>, String),
}

impl From<NextHop> for Target {
    fn from(hop: NextHop) -> Self {
        Self::Hop(hop)
    }
}

/// The connections to one destination.
pub struct Pool {
    client: Client,
    target: Target,
    limits: PoolLimits,
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
    room: Arc<Semaphore>,
}

/// A connection that waits, and its place among all that do.
pub struct Idle {
    session: Session,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub fn new(client: Client, target: impl Into<Target>, limits: PoolLimits) -> Self {
        Self::sharing(client, target, limits, Arc::new(Semaphore::new(limits.idle_in_all)))
    }

    /// One of several pools, whose connections wait in one common `room`.
    pub fn sharing(client: Client, target: impl Into<Target>, limits: PoolLimits, room: Arc<Semaphore>) -> Self {
        let slots = Semaphore::new(limits.connections.max(1));
        Self { client, target: target.into(), limits, slots, idle: Mutex::default(), room }
    }

    /// Delivers over a kept connection, or a new one; waits while all are in use. One outcome for
    /// each recipient, in their order.
    ///
    /// A kept connection that breaks off before anything is decided is no failure, and neither is a
    /// server that does not take us or breaks off in the same way, where there is another: the next
    /// one is tried (RFC 5321 §5.1). What a server says to a recipient, or after it was given
    /// the message, stands.
    pub async fn deliver(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        let _slot = self.slots.acquire().await;
        while let Some(mut session) = self.take() {
            let done = session.deliver(transaction).await;
            if !done.untouched {
                self.keep(session, done.alive);
                return done.outcomes;
            }
        }
        let all = |outcome| vec![outcome; transaction.recipients.len()];
        let begun = Instant::now();
        let hops = match &self.target {
            Target::Hop(hop) => vec![hop.clone()],
            Target::Domain(finder, domain) => match finder.hops(domain).await {
                Ok(hops) => hops,
                Err(outcome) => return all(outcome),
            },
            Target::Anyhow(finder, domain) => match finder.hops_anyhow(domain).await {
                Ok(hops) => hops,
                Err(outcome) => return all(outcome),
            },
        };
        let mut outcomes = Vec::new();
        for hop in &hops {
            if !outcomes.is_empty() && begun.elapsed() > LONGEST_SEARCH {
                break;
            }
            let opened = self.client.attempt(hop).await;
            self.count(hop, &opened);
            outcomes = match opened.session {
                Ok(mut session) => {
                    let done = session.deliver(transaction).await;
                    self.keep(session, done.alive);
                    if !done.untouched {
                        return done.outcomes;
                    }
                    done.outcomes
                }
                Err(reply) => all(Outcome::RouteDown(reply)),
            };
            tracing::debug!(%hop, ?outcomes, "a server did not take us");
        }
        outcomes
    }

    /// Tells how TLS went.
    fn count(&self, hop: &NextHop, opened: &Opened) {
        if let Target::Domain(finder, domain) = &self.target
            && let (Some(tally), Some(tls), Place::Found(host, _)) = (finder.tally(), &opened.tls, &hop.place)
        {
            let result = match tls {
                Ok(()) => Ok(()),
                Err(failure) => Err(failure),
            };
            tally.count(domain, &hop.security, host, opened.address, result);
        }
    }

    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.idle().is_empty()
    }

    /// Takes out the connections that have waited too long.
    #[must_use]
    pub fn expired(&self) -> Vec<Idle> {
        let mut idle = self.idle();
        let (expired, kept) = std::mem::take(&mut *idle).into_iter().partition(|idle| !self.is_fit(&idle.session));
        *idle = kept;
        expired
    }

    /// Takes out all waiting connections.
    #[must_use]
    pub fn all(&self) -> Vec<Idle> {
        std::mem::take(&mut *self.idle())
    }

    /// The connection that waited least, if it is still fit.
    fn take(&self) -> Option<Session> {
        let mut idle = self.idle();
        if self.is_fit(&idle.last()?.session) { idle.pop().map(|idle| idle.session) } else { None }
    }

    fn keep(&self, session: Session, alive: bool) {
        if !alive {
            return;
        }
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(place) if self.is_fit(&session) => self.idle().push(Idle { session, _place: place }),
            // Nobody has to wait for the goodbye, which is bounded.
            _ => drop(tokio::spawn(session.quit())),
        }
    }

    fn is_fit(&self, session: &Session) -> bool {
        session.idle() < self.limits.idle
            && session.age() < self.limits.age
            && session.transactions() < self.limits.transactions
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says goodbye on connections, all at once.
pub async fn quit(connections: Vec<Idle>) {
    let mut goodbyes = tokio::task::JoinSet::new();
    for idle in connections {
        goodbyes.spawn(idle.session.quit());
    }
    // One that breaks down is no concern of the others.
    while goodbyes.join_next().await.is_some() {}
}
