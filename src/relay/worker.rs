//! The queue at work: copies that are due are claimed, rendered, signed, offered to the next
//! server, and what it said is written down.
//!
//! A claim is a lease in memory: the store has one owner, so a claim can't outlive its holder, and
//! after a crash every copy that was not written down as sent is offered again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Outcome, Transaction};
use super::exit::Exit;
use super::render::{Draft, RenderError, draft};
use super::schedule::next_attempt;
use crate::actions::copies::{self, Attempt};
use crate::actions::{Act, ActionError, Actor, Desk};
use crate::desk::copy::{Content, Copy};
use crate::desk::entry::Door;
use crate::desk::id::CopyId;
use crate::net::stop::Stop;
use crate::store::{Store, StoreError};
use crate::trust::Signer;

/// How long nothing is offered to a route that was down: the first wait, doubled up to the last.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const LAST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// The longest sleep: clocks are put right now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long deliveries under way may take when the daemon stops.
const DRAIN: Duration = Duration::from_secs(20);

/// The relay of one daemon.
pub struct Relay {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub exit: Exit,
    /// Signatures by domain; the first local domain's for every other.
    pub signers: BTreeMap<String, Signer>,
    /// Copies under way at one time.
    pub concurrency: usize,
    /// A place for each copy whose message is in memory: a few more than there are connections, so
    /// that the next one is signed by the time one is free.
    pub loaded: Semaphore,
    pub now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A route that was found down.
struct Pause {
    until: Timestamp,
    length: SignedDuration,
}

impl Relay {
    /// Delivers until told to stop; then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut changed = self.store.changed();
        let mut leases = BTreeSet::new();
        // Read from the queue, and not begun yet.
        let mut waiting = VecDeque::new();
        let mut under_way: JoinSet<(CopyId, bool)> = JoinSet::new();
        let mut pause: Option<Pause> = None;
        loop {
            changed.mark_unchanged();
            let now = (self.now)();
            let paused = pause.as_ref().is_some_and(|pause| pause.until > now);
            // A route that was down is tried with one copy first.
            let most = if pause.is_some() { 1 } else { self.concurrency };
            if !paused {
                if waiting.is_empty() && leases.len() < most {
                    waiting = self.due(now, &leases, most);
                }
                while leases.len() < most
                    && let Some(id) = waiting.pop_front()
                {
                    leases.insert(id);
                    let relay = Arc::clone(&self);
                    under_way.spawn(async move { (id, relay.offer(id).await) });
                }
            }
            // Where all places are taken, whoever ends wakes the loop.
            let wait = if paused || waiting.is_empty() { self.sleep(now, pause.as_ref()) } else { LONGEST_SLEEP };
            tokio::select! {
                () = stop.stopped() => break,
                Some(done) = under_way.join_next() => {
                    if let Ok((id, up)) = done {
                        leases.remove(&id);
                        pause = self.route_heard(pause, up);
                    }
                }
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait) => self.exit.sweep().await,
            }
        }
        let _ = tokio::time::timeout(DRAIN, async { while under_way.join_next().await.is_some() {} }).await;
        self.exit.close().await;
    }

    /// The next copies that are due and not leased, the longest waiting first. Many at once, so that
    /// a long queue is not read from its head for each of them.
    fn due(&self, now: Timestamp, leases: &BTreeSet<CopyId>, most: usize) -> VecDeque<CopyId> {
        match self.store.read(|view| copies::due(view, now, leases.len() + most)) {
            Ok(due) => due.into_iter().filter(|id| !leases.contains(id)).collect(),
            Err(error) => {
                tracing::error!(%error, "the queue can't be read");
                VecDeque::new()
            }
        }
    }

    /// Until the next copy is due, or the route is tried again.
    fn sleep(&self, now: Timestamp, pause: Option<&Pause>) -> Duration {
        let due = self.store.read(|view| copies::next_due(view)).ok().flatten();
        let until = match (due, pause) {
            (Some(due), Some(pause)) => Some(due.max(pause.until)),
            (due, _) => due,
        };
        let wait = until
            .map_or(LONGEST_SLEEP, |until| Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO));
        // What is due and leased ends by itself and wakes the loop; so never spin on it.
        wait.clamp(Duration::from_millis(500), LONGEST_SLEEP)
    }

    /// One alarm when a route goes down, one line when it is up again.
    fn route_heard(&self, pause: Option<Pause>, up: bool) -> Option<Pause> {
        match (pause, up) {
            (None, true) => None,
            (Some(_), true) => {
                tracing::info!("the route is up again");
                None
            }
            (pause, false) => {
                let length = pause.map_or(FIRST_PAUSE, |pause| (pause.length * 2).min(LAST_PAUSE));
                let until = (self.now)().saturating_add(length).unwrap_or(Timestamp::MAX);
                tracing::error!(%until, "the route is down: nothing is sent until it answers");
                Some(Pause { until, length })
            }
        }
    }

    /// Offers one copy; whether the route is up.
    async fn offer(&self, id: CopyId) -> bool {
        let attempted = {
            let _place = self.loaded.acquire().await;
            self.attempt(id).await
        };
        let (attempt, up) = match attempted {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return true,
            Err(error) => {
                // The store can't be read: nothing is known, nothing is written, it stays due.
                tracing::error!(copy = %id, %error, "a copy can't be read");
                return false;
            }
        };
        let now = (self.now)();
        let written = self
            .store
            .transact(|tx| {
                let act = Act { desk: &self.desk, now, door: Door::Smtp, actor: Actor::System };
                copies::attempted(tx, &act, id, &attempt)
            })
            .await;
        if let Err(error) = written {
            tracing::error!(copy = %id, %error, "what became of a copy can't be written down; it may be sent twice");
            return false;
        }
        up
    }

    async fn attempt(&self, id: CopyId) -> Result<Option<(Attempt, bool)>, StoreError> {
        let now = (self.now)();
        let prepared = self.store.read(|view| {
            let Some(copy) = view_copy(view, id)? else { return Ok(None) };
            let draft = draft(view, &self.desk, &copy);
            Ok::<_, StoreError>(Some((copy, draft)))
        })?;
        let Some((copy, draft)) = prepared else { return Ok(None) };
        let rendered = match draft.and_then(Draft::render) {
            Ok(rendered) => rendered,
            Err(RenderError::Store(error)) => return Err(error),
            Err(error) => {
                return Ok(Some((Attempt::Failed { reply: error.to_string() }, true)));
            }
        };
        let signer = self.signers.get(&rendered.domain).or_else(|| self.signers.get(self.desk.domains.first()));
        let mut message = match signer.map(|signer| signer.sign(&rendered.message, now)).transpose() {
            Ok(fields) => fields.unwrap_or_default().into_bytes(),
            Err(error) => return Ok(Some((Attempt::Failed { reply: error.to_string() }, true))),
        };
        message.extend_from_slice(&rendered.message);
        let transaction = Transaction {
            smtputf8: !rendered.to.is_ascii() || !header_is_ascii(&message),
            reverse_path: Some(rendered.reverse_path),
            recipients: vec![rendered.to],
            message: &message,
            eight_bit: rendered.eight_bit,
        };
        let outcomes = self.exit.deliver(&format!("copy-{id}"), &transaction).await;
        let Some(outcome) = outcomes.into_iter().next() else { return Ok(None) };
        tracing::info!(
            copy = %id, ticket = %copy.ticket, to = %copy.to, attempt = copy.attempts + 1,
            outcome = name(&outcome), reply = %outcome.reply(), "offered"
        );
        Ok(Some(self.judge(&copy, outcome)))
    }

    /// What an outcome means for the copy, and whether the route is up.
    fn judge(&self, copy: &Copy, outcome: Outcome) -> (Attempt, bool) {
        let later = |reply: String| {
            let jitter = (self.desk.random)()[0];
            match next_attempt(copy.attempts + 1, copy.queued_at, (self.now)(), jitter) {
                Some(next_at) => Attempt::Deferred { reply, next_at },
                None => Attempt::Failed { reply },
            }
        };
        match outcome {
            Outcome::Sent(reply) => (Attempt::Sent { reply: reply.to_string() }, true),
            Outcome::Deferred(reply) => (later(reply.to_string()), true),
            // A member's copy that is too large goes once more without its attachments.
            Outcome::Failed(reply)
                if reply.is_about_size() && !copy.shrunk && is_members(copy) && copy.content == Content::Entry =>
            {
                (Attempt::TooLarge { reply: reply.to_string() }, true)
            }
            Outcome::Failed(reply) => (Attempt::Failed { reply: reply.to_string() }, true),
            Outcome::RouteDown(reply) => (later(reply.to_string()), false),
        }
    }
}

fn view_copy(view: &impl crate::store::Read, id: CopyId) -> Result<Option<Copy>, StoreError> {
    match copies::get(view, id) {
        Ok(copy) => Ok(Some(copy).filter(|copy| copy.next_at.is_some())),
        Err(ActionError::Store(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

fn is_members(copy: &Copy) -> bool {
    matches!(copy.person, crate::desk::ticket::Person::Member(_))
}

fn header_is_ascii(message: &[u8]) -> bool {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(message.len());
    message[..end].is_ascii()
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Sent(_) => "sent",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
        Outcome::RouteDown(_) => "route down",
    }
}
