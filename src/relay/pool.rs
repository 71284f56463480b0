//! Connections to the next server, kept for a while and used again: copies go out one transaction
//! each (VERP), and a connection a copy would cost more than the copies.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::client::{Client, Outcome, Session, Transaction};
use super::route::NextHop;

/// How many connections there are, and how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The most at one time.
    pub connections: usize,
    /// The longest that one waits unused.
    pub idle: Duration,
    /// The longest that one is used.
    pub age: Duration,
    /// The most transactions that one carries.
    pub transactions: u32,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections: 10, idle: Duration::from_secs(15), age: Duration::from_mins(5), transactions: 100 }
    }
}

/// The connections to one next server.
pub struct Pool {
    client: Client,
    hop: NextHop,
    limits: PoolLimits,
    slots: Semaphore,
    idle: Mutex<Vec<Session>>,
}

impl Pool {
    pub fn new(client: Client, hop: NextHop, limits: PoolLimits) -> Self {
        let slots = Semaphore::new(limits.connections.max(1));
        Self { client, hop, limits, slots, idle: Mutex::default() }
    }

    /// Delivers over a kept connection, or a new one; waits while all are in use. One outcome for
    /// each recipient, in their order.
    ///
    /// A kept connection that the server has meanwhile closed is no failure: it is tried again on
    /// another, as long as the server had not answered anything.
    pub async fn deliver(&self, transaction: &Transaction<'_>) -> Vec<Outcome> {
        let _slot = self.slots.acquire().await;
        while let Some(mut session) = self.take() {
            let done = session.deliver(transaction).await;
            if !done.unheard {
                self.keep(session, done.alive);
                return done.outcomes;
            }
        }
        match self.client.open(&self.hop).await {
            Ok(mut session) => {
                let done = session.deliver(transaction).await;
                self.keep(session, done.alive);
                done.outcomes
            }
            Err(reply) => vec![Outcome::RouteDown(reply); transaction.recipients.len()],
        }
    }

    /// Says goodbye on the connections that have waited too long: to be called now and then.
    pub async fn sweep(&self) {
        let expired = {
            let mut idle = self.idle();
            let (expired, kept) = std::mem::take(&mut *idle).into_iter().partition(|session| !self.is_fit(session));
            *idle = kept;
            expired
        };
        quit(expired).await;
    }

    /// Says goodbye on all waiting connections: before the process ends.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.idle());
        quit(all).await;
    }

    /// The connection that waited least, if it is still fit.
    fn take(&self) -> Option<Session> {
        let mut idle = self.idle();
        if self.is_fit(idle.last()?) { idle.pop() } else { None }
    }

    fn keep(&self, session: Session, alive: bool) {
        if !alive {
            return;
        }
        if self.is_fit(&session) {
            self.idle().push(session);
        } else {
            // Nobody has to wait for the goodbye, which is bounded.
            tokio::spawn(session.quit());
        }
    }

    fn is_fit(&self, session: &Session) -> bool {
        session.idle() < self.limits.idle
            && session.age() < self.limits.age
            && session.transactions() < self.limits.transactions
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn quit(sessions: Vec<Session>) {
    let mut goodbyes = tokio::task::JoinSet::new();
    for session in sessions {
        goodbyes.spawn(session.quit());
    }
    // One that breaks down is no concern of the others.
    while goodbyes.join_next().await.is_some() {}
}
