//! The queue at work: copies that are due are claimed, rendered, signed, offered to the next
//! server, and what it said is written down.
//!
//! The [`reader`](super::reader) finds them, [`destinations`](super::destinations) says in which order
//! they go. A claim is a lease in memory: the store has one owner, so a claim can't outlive its
//! holder, and after a crash every copy that was not written down as sent is offered again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Outcome, Transaction};
use super::destinations::{Destinations, Heard, Taken, Waiting};
use super::exit::Exit;
use super::reader::Reader;
use super::render::{Draft, RenderError, draft};
use super::route::Destination;
use super::schedule::next_attempt;
use crate::actions::copies::{self, Attempt};
use crate::actions::{Act, ActionError, Actor, Desk};
use crate::desk::copy::{Content, Copy, CopyState};
use crate::desk::entry::Door;
use crate::desk::id::CopyId;
use crate::desk::ticket::Person;
use crate::metrics::{self, Metrics};
use crate::net::beat::Beat;
use crate::net::limits::Memory;
use crate::net::stop::Stop;
use crate::store::tables::ENTRIES;
use crate::store::{Store, StoreError};
use crate::trust::Signer;

/// The longest sleep: clocks are put right now and then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The shortest one, where nothing but the time wakes.
const SHORTEST_SLEEP: Duration = Duration::from_millis(500);
/// How often connections and destinations that nobody needs are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait before what became of a copy is written down again that could not be.
const WRITE_AGAIN: Duration = Duration::from_secs(2);
/// How often the octets of a copy are in memory while it is made, signed and sent.
const TIMES: u64 = 3;
/// How long deliveries under way may take when the daemon stops.
pub const DRAIN: Duration = Duration::from_secs(20);

/// The relay of one daemon.
pub struct Relay {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub exit: Exit,
    /// Signatures by domain; the first local domain's for every other.
    pub signers: BTreeMap<String, Signer>,
    /// Copies under way at one time.
    pub concurrency: usize,
    /// Copies that are offered to one destination at one time.
    pub per_destination: usize,
    /// How long a copy is tried, from when it was queued.
    pub lifetime: SignedDuration,
    /// For copies of large messages under way.
    pub memory: Memory,
    pub now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    pub metrics: Arc<Metrics>,
}

/// What came of offering a copy.
enum Offer {
    /// This, which is to be written down.
    Attempted(Attempt, Heard),
    /// Its destination is down, with these words. It waits for that, up to the end of its time.
    Down { words: String, end: Timestamp },
    /// It can't be read now: nothing is known and nothing is written, it stays due.
    Unread(StoreError),
    /// It is wanted no longer.
    Unwanted,
}

/// A piece of work that ended.
enum Ended {
    Offered(Destination, Offer),
    /// What became of a copy is written down; whether it is due again.
    Written {
        again: bool,
    },
    /// It can't be. Offered again the copy would be sent again, and so it is left alone until the next
    /// start.
    Unwritten,
}

/// The state of a relay at work.
struct Work {
    reader: Reader,
    destinations: Destinations,
    tasks: JoinSet<(CopyId, Ended)>,
    /// Whose task it is, and where the copy is being offered.
    under_way: BTreeMap<task::Id, (CopyId, Option<Destination>)>,
    stop: Stop,
}

impl Relay {
    /// Delivers until told to stop; then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: Stop, beat: Beat) {
        let mut changed = self.store.changed();
        let mut work = Work {
            reader: Reader::begin(),
            destinations: Destinations::new(self.per_destination),
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            stop: stop.clone(),
        };
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = (self.now)();
            for (id, words) in work.destinations.expired(now) {
                self.write(&mut work, id, Attempt::Failed { reply: words });
            }
            if work.destinations.wants_more(now) {
                work.reader.read_whole();
            }
            if work.destinations.has_room() {
                self.read(&mut work, now);
            }
            // Those who write are counted too: while the disk is full, nothing more is offered.
            while work.under_way.len() < self.concurrency
                && let Some((destination, id)) = work.destinations.next(now)
            {
                self.offer(&mut work, id, destination);
            }
            let wait = self.wait(&work, now);
            tokio::select! {
                () = stop.stopped() => break,
                () = beat.answer() => {}
                Some(done) = work.tasks.join_next_with_id() => self.done(&mut work, done),
                _ = changed.changed() => {
                    changed.mark_unchanged();
                    work.reader.read_newest();
                }
                _ = sweep.tick() => {
                    work.destinations.forget(now);
                    let relay = Arc::clone(&self);
                    tokio::spawn(async move { relay.exit.sweep().await });
                }
                () = tokio::time::sleep(wait) => work.reader.read_newest(),
            }
        }
        let drain = async {
            while let Some(done) = work.tasks.join_next_with_id().await {
                self.done(&mut work, done);
            }
        };
        let _ = tokio::time::timeout(DRAIN, drain).await;
        self.exit.close().await;
    }

    /// Takes in a page of the queue.
    fn read(self: &Arc<Self>, work: &mut Work, now: Timestamp) {
        let page = match work.reader.read(&self.store, now) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "the queue can't be read");
                return;
            }
        };
        for found in page {
            let (destination, end) = match &found.copy {
                Some(copy) => (self.exit.destination(&copy.to), self.end(copy)),
                // The attempt tells what is wrong with it.
                None => (Destination::Route, Timestamp::MAX),
            };
            if let Some(copy) = &found.copy
                && copy.state == CopyState::Queued
                && copy.attempts > 0
            {
                work.destinations.urge(&destination, copy.updated_at);
            }
            let waiting = Waiting { since: found.since, id: found.id, end };
            match work.destinations.push(destination, waiting, now) {
                Taken::Kept => {}
                Taken::InsteadOf(other) => work.reader.forget(other),
                Taken::Ended(words) => self.write(work, found.id, Attempt::Failed { reply: words }),
            }
        }
    }

    /// Until something is to be read, due, or tried again.
    fn wait(&self, work: &Work, now: Timestamp) -> Duration {
        let reads = work.reader.rests_for().filter(|_| work.destinations.has_room());
        if reads == Some(Duration::ZERO) {
            return Duration::ZERO;
        }
        let due = self.store.read(|view| copies::next_due(view, now)).ok().flatten();
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        let times = due.into_iter().chain(work.destinations.wakes_at()).map(until).chain(reads);
        // What waits for a place is woken by whoever leaves one; so never spin on it.
        times.min().unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    fn offer(self: &Arc<Self>, work: &mut Work, id: CopyId, destination: Destination) {
        let (relay, to) = (Arc::clone(self), destination.clone());
        let task = work.tasks.spawn(async move {
            let offer = match relay.attempt(id).await {
                Ok(offer) => offer,
                Err(error) if error.is_temporary() => Offer::Unread(error),
                // One damaged message must not stand in the way of all others.
                Err(error) => Offer::Attempted(Attempt::Failed { reply: error.to_string() }, Heard::Nothing),
            };
            (id, Ended::Offered(to, offer))
        });
        work.under_way.insert(task.id(), (id, Some(destination)));
    }

    fn write(self: &Arc<Self>, work: &mut Work, id: CopyId, attempt: Attempt) {
        self.metrics.count(match &attempt {
            Attempt::Sent { .. } => metrics::Attempt::Sent,
            Attempt::Deferred { .. } | Attempt::TooLarge { .. } => metrics::Attempt::Deferred,
            Attempt::Failed { .. } => metrics::Attempt::Failed,
        });
        let (relay, stop) = (Arc::clone(self), work.stop.clone());
        let task = work.tasks.spawn(async move {
            let again = matches!(attempt, Attempt::TooLarge { .. });
            let written = relay.write_down(id, &attempt, stop).await;
            (id, if written { Ended::Written { again } } else { Ended::Unwritten })
        });
        work.under_way.insert(task.id(), (id, None));
    }

    /// Goes on after a piece of work.
    fn done(self: &Arc<Self>, work: &mut Work, done: Result<(task::Id, (CopyId, Ended)), JoinError>) {
        let (id, ended) = match done {
            Ok((task, (id, ended))) => {
                work.under_way.remove(&task);
                (id, ended)
            }
            Err(error) => {
                tracing::error!(%error, "an offer broke down");
                if let Some((_, Some(destination))) = work.under_way.remove(&error.id()) {
                    self.heard(work, &destination, Heard::Nothing);
                }
                // What came of it is unknown: it is as good as unwritten.
                return;
            }
        };
        match ended {
            Ended::Offered(destination, Offer::Attempted(attempt, heard)) => {
                self.heard(work, &destination, heard);
                self.write(work, id, attempt);
            }
            Ended::Offered(destination, Offer::Down { words, end }) => {
                let until = self.heard(work, &destination, Heard::Down(words.clone()));
                let attempt = match until {
                    Some(until) if (self.now)() < end => Attempt::Deferred { reply: words, next_at: until.min(end) },
                    _ => Attempt::Failed { reply: words },
                };
                self.write(work, id, attempt);
            }
            Ended::Offered(destination, Offer::Unread(error)) => {
                tracing::error!(copy = %id, %error, "a copy can't be read");
                work.reader.forget(id);
                self.heard(work, &destination, Heard::Down(error.to_string()));
            }
            Ended::Offered(destination, Offer::Unwanted) => {
                work.reader.forget(id);
                self.heard(work, &destination, Heard::Nothing);
            }
            Ended::Written { again } => {
                work.reader.forget(id);
                if again {
                    work.reader.read_newest();
                }
            }
            Ended::Unwritten => {}
        }
    }

    /// Tells how an offer ended; until when its destination is left alone, if it is.
    fn heard(&self, work: &mut Work, destination: &Destination, heard: Heard) -> Option<Timestamp> {
        for id in work.destinations.ended(destination, heard, (self.now)()) {
            work.reader.forget(id);
        }
        work.destinations.paused_until(destination)
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

    /// Offers one copy.
    async fn attempt(&self, id: CopyId) -> Result<Offer, StoreError> {
        let Some(octets) = self.store.read(|view| view_copy(view, id)?.map(|copy| octets(view, &copy)).transpose())?
        else {
            return Ok(Offer::Unwanted);
        };
        let _room = self.memory.room(octets, TIMES).await;
        let now = (self.now)();
        let prepared = self.store.read(|view| {
            let Some(copy) = view_copy(view, id)? else { return Ok(None) };
            let draft = draft(view, &self.desk, &copy);
            Ok::<_, StoreError>(Some((copy, draft)))
        })?;
        let Some((copy, draft)) = prepared else { return Ok(Offer::Unwanted) };
        let failed = |reply: String| Ok(Offer::Attempted(Attempt::Failed { reply }, Heard::Nothing));
        let rendered = match draft.and_then(Draft::render) {
            Ok(rendered) => rendered,
            Err(RenderError::Store(error)) => return Err(error),
            Err(error) => return failed(error.to_string()),
        };
        let signer = self.signers.get(&rendered.domain).or_else(|| self.signers.get(self.desk.domains.first()));
        let mut message = match signer.map(|signer| signer.sign(&rendered.message, now)).transpose() {
            Ok(fields) => fields.unwrap_or_default().into_bytes(),
            Err(error) => return failed(error.to_string()),
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
        let Some(outcome) = outcomes.into_iter().next() else { return Ok(Offer::Unwanted) };
        tracing::info!(
            copy = %id, ticket = %copy.ticket, to = %copy.to, attempt = copy.attempts + 1,
            outcome = name(&outcome), reply = %outcome.reply(), "offered"
        );
        Ok(self.judge(&copy, outcome))
    }

    /// When a copy is given up.
    fn end(&self, copy: &Copy) -> Timestamp {
        copy.queued_at.saturating_add(self.lifetime).unwrap_or(Timestamp::MAX)
    }

    /// What an outcome means for the copy, and for its destination.
    fn judge(&self, copy: &Copy, outcome: Outcome) -> Offer {
        match outcome {
            Outcome::Sent(reply) => Offer::Attempted(Attempt::Sent { reply: reply.to_string() }, Heard::Up),
            Outcome::Deferred(reply) => {
                let jitter = (self.desk.random)()[0];
                let next = next_attempt(copy.attempts + 1, copy.queued_at, self.lifetime, (self.now)(), jitter);
                let (code, reply) = (reply.code, reply.to_string());
                let heard = match code {
                    // Whenever it is said, it is said of the service (RFC 5321 §3.8).
                    Some(421) => Heard::Down(reply.clone()),
                    None => Heard::Broken,
                    Some(_) => Heard::Up,
                };
                match next {
                    Some(next_at) => Offer::Attempted(Attempt::Deferred { reply, next_at }, heard),
                    None => Offer::Attempted(Attempt::Failed { reply }, heard),
                }
            }
            // A member's copy that is too large goes once more without its attachments.
            Outcome::Failed(reply)
                if reply.is_about_size() && !copy.shrunk && is_members(copy) && copy.content == Content::Entry =>
            {
                Offer::Attempted(Attempt::TooLarge { reply: reply.to_string() }, Heard::Up)
            }
            Outcome::Failed(reply) => Offer::Attempted(Attempt::Failed { reply: reply.to_string() }, Heard::Up),
            Outcome::RouteDown(reply) => Offer::Down { words: reply.to_string(), end: self.end(copy) },
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
