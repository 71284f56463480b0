//! Connections to the servers of one destination, kept for a while and used again: copies go out
//! one transaction each (VERP), and a connection a copy would cost more than the copies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::client::{Client, Opened, Outcome, Reply, Server, Session, Transaction};
use super::mx::Finder;
use super::route::{NextHop, Place};

/// After so long no further address of a destination's servers is begun with: who answers at each of
/// them slowly must not hold a place for hours.
const LONGEST_SEARCH: Duration = Duration::from_mins(5);
/// After so many that took the connection and did not take us no further one is asked: who has many
/// addresses and no place for us is not to hear it from each.
const MOST_REFUSALS: usize = 8;

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
    hosts: Arc<Hosts>,
}

/// A connection that waits, and its place among all that do.
pub struct Idle {
    session: Session,
    server: Server,
    _place: OwnedSemaphorePermit,
}

/// How much is under way to each host: many domains may have the same one, and each has a pool of its
/// own.
#[derive(Debug)]
pub struct Hosts {
    /// The most at one time, to one host.
    limit: usize,
    counts: Mutex<BTreeMap<String, usize>>,
}

/// One delivery to a host, for as long as it lasts.
struct Visit<'h> {
    hosts: &'h Hosts,
    host: String,
}

impl Hosts {
    /// With so many deliveries at one time to each.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), counts: Mutex::default() }
    }

    /// Begins a delivery, unless there are too many.
    fn visit(&self, host: &str) -> Option<Visit<'_>> {
        let mut counts = self.counts();
        let count = counts.entry(host.to_owned()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Visit { hosts: self, host: host.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut counts = self.hosts.counts();
        if let Some(count) = counts.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.host);
            }
        }
    }
}

impl Pool {
    pub fn new(client: Client, target: impl Into<Target>, limits: PoolLimits) -> Self {
        let (room, hosts) = (Semaphore::new(limits.idle_in_all), Hosts::new(limits.connections));
        Self::sharing(client, target, limits, Arc::new(room), Arc::new(hosts))
    }

    /// One of several pools, whose connections wait in one common `room`, and which may go to the same
    /// `hosts`.
    pub fn sharing(
        client: Client,
        target: impl Into<Target>,
        limits: PoolLimits,
        room: Arc<Semaphore>,
        hosts: Arc<Hosts>,
    ) -> Self {
        let slots = Semaphore::new(limits.connections.max(1));
        Self { client, target: target.into(), limits, slots, idle: Mutex::default(), room, hosts }
    }

    /// Delivers over a kept connection, or a new one; waits while all are in use. One outcome for
    /// each recipient, in their order.
    ///
    /// A kept connection that breaks off before anything is decided is no failure, and neither is a
    /// server that does not take us or breaks off in the same way, where it has another address or there
    /// is another: the next one is tried (RFC 5321 §5.1). What a server says to a recipient, or after it was given
    /// the message, stands. It is not offered to a host that has enough to do with other domains' mail.
    pub async fn deliver(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        let _slot = self.slots.acquire().await;
        let all = |outcome| vec![outcome; transaction.recipients.len()];
        while let Some((mut session, server)) = self.take() {
            let Some(_visit) = self.hosts.visit(&server.host) else {
                self.keep(session, &server, true);
                return all(busy(&server));
            };
            let done = session.deliver(transaction).await;
            if !done.untouched {
                self.keep(session, &server, done.alive);
                return done.outcomes.into_iter().map(|outcome| outcome.by(&server)).collect();
            }
        }
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
        let (mut outcomes, mut refusals) = (Vec::new(), 0);
        for hop in &hops.iter().flat_map(NextHop::each).collect::<Vec<_>>() {
            if !outcomes.is_empty() && (begun.elapsed() > LONGEST_SEARCH || refusals == MOST_REFUSALS) {
                break;
            }
            let server = hop.place.server(None);
            let Some(_visit) = self.hosts.visit(&server.host) else { return all(busy(&server)) };
            let opened = self.client.attempt(hop).await;
            self.count(hop, &opened);
            refusals += usize::from(opened.address.is_some());
            outcomes = match opened.session {
                Ok(mut session) => {
                    let server = hop.place.server(session.address());
                    let done = session.deliver(transaction).await;
                    self.keep(session, &server, done.alive);
                    let outcomes = done.outcomes.into_iter().map(|outcome| outcome.by(&server)).collect();
                    if !done.untouched {
                        return outcomes;
                    }
                    outcomes
                }
                Err(reply) => all(Outcome::RouteDown(reply.by(&server))),
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
    fn take(&self) -> Option<(Session, Server)> {
        let mut idle = self.idle();
        if self.is_fit(&idle.last()?.session) { idle.pop().map(|idle| (idle.session, idle.server)) } else { None }
    }

    fn keep(&self, session: Session, server: &Server, alive: bool) {
        if !alive {
            return;
        }
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(place) if self.is_fit(&session) => {
                self.idle().push(Idle { session, server: server.clone(), _place: place });
            }
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

fn busy(server: &Server) -> Outcome {
    Outcome::Busy(Reply::ours(format!("enough is under way to {}", server.host)).by(server))
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
