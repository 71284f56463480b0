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
use tokio::task::{self, JoinSet};

use super::client::{Outcome, Transaction};
use super::exit::Exit;
use super::render::{Draft, RenderError, draft};
use super::schedule::next_attempt;
use crate::actions::copies::{self, Attempt};
use crate::actions::{Act, ActionError, Actor, Desk};
use crate::desk::copy::{Content, Copy};
use crate::desk::entry::Door;
use crate::desk::id::CopyId;
use crate::desk::ticket::Person;
use crate::metrics::{self, Metrics};
use crate::net::limits::Memory;
use crate::net::stop::Stop;
use crate::store::tables::ENTRIES;
use crate::store::{Store, StoreError};
use crate::trust::Signer;

/// How long nothing is offered to a route that was down: the first wait, doubled up to the last.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const LAST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// The longest sleep: clocks are put right now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long to wait before what became of a copy is written down again that could not be.
const WRITE_AGAIN: Duration = Duration::from_secs(2);
/// How often the octets of a copy are in memory while it is made, signed and sent.
const TIMES: u64 = 3;
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
    /// How long a copy is tried, from when it was queued.
    pub lifetime: SignedDuration,
    /// For copies of large messages under way.
    pub memory: Memory,
    /// A place for each copy whose message is in memory: a few more than there are connections, so
    /// that the next one is signed by the time one is free.
    pub loaded: Semaphore,
    pub now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pub metrics: Arc<Metrics>,
}

/// A route that was found down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    until: Timestamp,
    length: SignedDuration,
}

/// What an offer tells about whatever comes after it.
enum Heard {
    /// The route answers.
    Up,
    /// The route, or the store, is down.
    Down,
    /// What became of the copy can't be written down. Offered again it would be sent again, and so
    /// it is left alone until the next start.
    Unwritten,
}

impl Relay {
    /// Delivers until told to stop; then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut changed = self.store.changed();
        let mut leases: BTreeMap<CopyId, task::Id> = BTreeMap::new();
        let mut unwritten = BTreeSet::new();
        // Read from the queue, and not begun yet.
        let mut waiting = VecDeque::new();
        let mut under_way: JoinSet<(CopyId, Heard)> = JoinSet::new();
        let mut pause: Option<Pause> = None;
        loop {
            changed.mark_unchanged();
            let now = (self.now)();
            let paused = pause.as_ref().is_some_and(|pause| pause.until > now);
            // A route that was down is tried with one copy first.
            let most = if pause.is_some() { 1 } else { self.concurrency };
            if !paused {
                if waiting.is_empty() && leases.len() < most {
                    let taken = leases.keys().chain(&unwritten).copied().collect();
                    waiting = self.due(now, most, &taken);
                }
                while leases.len() < most
                    && let Some(id) = waiting.pop_front()
                {
                    let (relay, stop) = (Arc::clone(&self), stop.clone());
                    let task = under_way.spawn(async move { (id, relay.offer(id, stop).await) });
                    leases.insert(id, task.id());
                }
            }
            // Where all places are taken, whoever ends wakes the loop.
            let wait = if paused || waiting.is_empty() { self.sleep(now, pause.as_ref()) } else { LONGEST_SLEEP };
            tokio::select! {
                () = stop.stopped() => break,
                Some(done) = under_way.join_next() => {
                    let (id, heard) = match done {
                        Ok((id, heard)) => (Some(id), heard),
                        Err(error) => {
                            tracing::error!(%error, "an offer broke down");
                            let lease = leases.iter().find(|(_, task)| **task == error.id());
                            (lease.map(|(id, _)| *id), Heard::Unwritten)
                        }
                    };
                    if let Some(id) = id {
                        leases.remove(&id);
                        match heard {
                            Heard::Up => pause = route_heard(pause, true, (self.now)()),
                            Heard::Down => pause = route_heard(pause, false, (self.now)()),
                            Heard::Unwritten => {
                                unwritten.insert(id);
                            }
                        }
                    }
                }
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait) => self.exit.sweep().await,
            }
        }
        let _ = tokio::time::timeout(DRAIN, async { while under_way.join_next().await.is_some() {} }).await;
        self.exit.close().await;
    }

    /// The next copies that are due and not taken, the longest waiting first. Many at once, so that a
    /// long queue is not read from its head for each of them.
    fn due(&self, now: Timestamp, most: usize, taken: &BTreeSet<CopyId>) -> VecDeque<CopyId> {
        match self.store.read(|view| copies::due(view, now, taken.len() + most)) {
            Ok(due) => due.into_iter().filter(|id| !taken.contains(id)).collect(),
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

    /// Offers one copy.
    async fn offer(&self, id: CopyId, stop: Stop) -> Heard {
        let attempted = {
            let _place = self.loaded.acquire().await;
            self.attempt(id).await
        };
        let (attempt, up) = match attempted {
            Ok(Some(attempt)) => attempt,
            Ok(None) => return Heard::Up,
            Err(error) if error.is_temporary() => {
                // Nothing is known, nothing is written, it stays due.
                tracing::error!(copy = %id, %error, "a copy can't be read");
                return Heard::Down;
            }
            // One damaged message must not stand in the way of all others.
            Err(error) => (Attempt::Failed { reply: error.to_string() }, true),
        };
        self.metrics.count(match &attempt {
            Attempt::Sent { .. } => metrics::Attempt::Sent,
            Attempt::Deferred { .. } | Attempt::TooLarge { .. } => metrics::Attempt::Deferred,
            Attempt::Failed { .. } => metrics::Attempt::Failed,
        });
        match (self.write_down(id, &attempt, stop).await, up) {
            (false, _) => Heard::Unwritten,
            (true, true) => Heard::Up,
            (true, false) => Heard::Down,
        }
    }

    /// Writes down what became of an attempt; whether that is done. While the store can't be written,
    /// tries again and keeps the copy: let go, it would be due and be sent once more each time. So on
    /// a full disk [`Self::concurrency`] copies wait here, and the rest is not offered.
    async fn write_down(&self, id: CopyId, attempt: &Attempt, mut stop: Stop) -> bool {
        let mut told = false;
        loop {
            let now = (self.now)();
            let written = self
                .store
                .transact(|tx| {
                    let act = Act { desk: &self.desk, now, door: Door::Smtp, actor: Actor::System };
                    copies::attempted(tx, &act, id, attempt)
                })
                .await;
            let Err(error) = written else { return true };
            let temporary = matches!(&error, ActionError::Store(error) if error.is_temporary());
            if !temporary || stop.is_stopped() {
                tracing::error!(
                    copy = %id, ?attempt, %error,
                    "what became of a copy is not written down; it is offered again at the next start"
                );
                return false;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::error!(copy = %id, %error, "what became of a copy can't be written down yet");
            }
            tokio::select! {
                () = stop.stopped() => {}
                () = tokio::time::sleep(WRITE_AGAIN) => {}
            }
        }
    }

    async fn attempt(&self, id: CopyId) -> Result<Option<(Attempt, bool)>, StoreError> {
        let Some(octets) = self.store.read(|view| view_copy(view, id)?.map(|copy| octets(view, &copy)).transpose())?
        else {
            return Ok(None);
        };
        let _room = self.memory.room(octets, TIMES).await;
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
            reverse_path: rendered.reverse_path,
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

    /// A copy that met a route which is down waits for the route and not for a turn of its own.
    fn when_up(&self, copy: &Copy, reply: String) -> Attempt {
        let now = (self.now)();
        let end = copy.queued_at.saturating_add(self.lifetime).unwrap_or(Timestamp::MAX);
        match now.checked_add(FIRST_PAUSE) {
            Ok(next_at) if now < end => Attempt::Deferred { reply, next_at },
            _ => Attempt::Failed { reply },
        }
    }

    /// What an outcome means for the copy, and whether the route is up.
    fn judge(&self, copy: &Copy, outcome: Outcome) -> (Attempt, bool) {
        let later = |reply: String| {
            let jitter = (self.desk.random)()[0];
            match next_attempt(copy.attempts + 1, copy.queued_at, self.lifetime, (self.now)(), jitter) {
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
            Outcome::RouteDown(reply) => (self.when_up(copy, reply.to_string()), false),
        }
    }
}

/// One alarm when the route goes down, one line when it is up again. Offers that were under way when
/// it went down end during the pause, and make it no longer.
fn route_heard(pause: Option<Pause>, up: bool, now: Timestamp) -> Option<Pause> {
    let until = |length| now.saturating_add(length).unwrap_or(Timestamp::MAX);
    match (pause, up) {
        (None, true) => None,
        (Some(_), true) => {
            tracing::info!("the route is up again");
            None
        }
        (None, false) => {
            let pause = Pause { until: until(FIRST_PAUSE), length: FIRST_PAUSE };
            tracing::error!(until = %pause.until, "the route is down: nothing is sent until it answers");
            Some(pause)
        }
        (Some(pause), false) if pause.until > now => Some(pause),
        (Some(pause), false) => {
            let length = (pause.length * 2).min(LAST_PAUSE);
            tracing::warn!(until = %until(length), "the route is still down");
            Some(Pause { until: until(length), length })
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

/// About how large a copy is: attachments make mail large.
fn octets(view: &impl crate::store::Read, copy: &Copy) -> Result<u64, StoreError> {
    let entry = view.get(&ENTRIES, &(copy.ticket, copy.entry))?;
    let decoded: u64 = entry.map_or(0, |entry| entry.attachments.iter().map(|attachment| attachment.size).sum());
    Ok(decoded / 3 * 4)
}

fn is_members(copy: &Copy) -> bool {
    matches!(copy.person, Person::Member(_))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_down_is_left_alone_for_ever_longer_times() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let down = route_heard(None, false, at(0));
        assert_eq!(down, Some(Pause { until: at(5), length: FIRST_PAUSE }));
        // Forty-nine more were under way.
        assert_eq!(route_heard(down, false, at(1)), down);
        let later = route_heard(down, false, at(5));
        assert_eq!(later, Some(Pause { until: at(15), length: FIRST_PAUSE * 2 }));
        let long = Some(Pause { until: at(0), length: LAST_PAUSE });
        assert_eq!(route_heard(long, false, at(10)).unwrap().length, LAST_PAUSE);
        assert_eq!(route_heard(later, true, at(16)), None);
        assert_eq!(route_heard(None, true, at(16)), None);
    }
}
