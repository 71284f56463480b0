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
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::{Outcome, Server, Transaction};
use super::clock::Clock;
use super::destinations::{Destinations, Heard, Limits, Taken, Waiting};
use super::exit::Exit;
use super::reader::Reader;
use super::render::{Draft, RenderError, draft};
use super::route::Destination;
use super::schedule::next_attempt;
use crate::actions::copies::{self, Attempt};
use crate::actions::{Act, ActionError, Actor, Desk, find};
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
use crate::trust::Signers;

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
/// How many copies are looked at in one go after the clock was set.
const RECALLED: usize = 256;
/// How long deliveries under way may take when the daemon stops.
pub const DRAIN: Duration = Duration::from_secs(20);

/// The relay of one daemon.
pub struct Relay {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub exit: Exit,
    /// The first local domain's signs for every domain that has none.
    pub signers: Arc<Signers>,
    /// How many copies are under way at one time.
    pub limits: Limits,
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
    /// Its host has enough to do with the mail of other domains.
    Busy(String),
}

/// A piece of work that ended.
enum Ended {
    Offered(Destination, Offer, Option<Server>),
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

impl Work {
    /// How much is only written down.
    fn writing(&self) -> usize {
        self.under_way.values().filter(|(_, destination)| destination.is_none()).count()
    }
}

impl Relay {
    /// Delivers until told to stop; then lets what is under way end.
    pub async fn run(self: Arc<Self>, mut stop: Stop, beat: Beat) {
        let mut changed = self.store.changed();
        let mut work = Work {
            reader: Reader::begin(),
            destinations: Destinations::new(self.limits),
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            stop: stop.clone(),
        };
        let mut clock = Clock::begin((self.now)(), Instant::now());
        tokio::spawn(Arc::clone(&self).recall(stop.clone()));
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = (self.now)();
            if let Some(by) = clock.look(now, Instant::now()) {
                self.set(&mut work, by, now);
            }
            for (id, words) in work.destinations.expired(now) {
                self.expire(&mut work, id, words, now);
            }
            if work.destinations.wants_more(now) {
                work.reader.read_whole();
            }
            if work.destinations.has_room() {
                self.read(&mut work, now);
            }
            // Those who write are counted too: while the disk is full, nothing more is offered.
            while let Some((destination, id)) = work.destinations.next(now, work.writing()) {
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
                    for destination in work.destinations.forget(now) {
                        self.metrics.outages.ended(destination.domain());
                    }
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

    /// The clock was set. What it made due is tried; what it would keep back is not kept back.
    fn set(self: &Arc<Self>, work: &mut Work, by: SignedDuration, now: Timestamp) {
        if by.is_negative() {
            tracing::warn!("the clock was set back by {:#}: what waited by it is tried now", by.abs());
            work.destinations.set_back(now);
            tokio::spawn(Arc::clone(self).recall(work.stop.clone()));
        } else {
            tracing::warn!(
                "the clock was set forward by {by:#}: what waited is tried now, and given up where its time is over; \
                 `guichet queue retry` sends that again"
            );
        }
    }

    /// Makes due now what a clock that was ahead has deferred.
    async fn recall(self: Arc<Self>, stop: Stop) {
        let now = (self.now)();
        let mut place = Some((now, CopyId(u64::MAX)));
        while let Some(after) = place.filter(|_| !stop.is_stopped()) {
            place = match self.recall_page(now, after).await {
                Ok(last) => last,
                Err(error) => {
                    return tracing::error!(%error, "what a clock that was ahead has deferred can't be made due");
                }
            };
        }
    }

    async fn recall_page(&self, now: Timestamp, after: copies::Place) -> Result<Option<copies::Place>, ActionError> {
        let (ids, last) = self.store.read(|view| copies::ahead(view, now, after, RECALLED))?;
        if !ids.is_empty() {
            let recalled = self.store.transact(|tx| {
                let act =
                    Act { desk: &self.desk, now, door: Door::Timer, actor: Actor::System, trace: None, client: None };
                copies::recall(tx, &act, &ids)
            });
            recalled.await?;
        }
        Ok(last)
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
                && let Some(asked) = copy.renewed_at
            {
                work.destinations.urge(&destination, asked);
            }
            if found.again {
                continue;
            }
            let waiting = Waiting { since: found.since, id: found.id, end };
            match work.destinations.push(destination, waiting, now) {
                Taken::Kept => {}
                Taken::InsteadOf(other) => work.reader.forget(other),
                Taken::Ended(words) => self.expire(work, found.id, words, now),
            }
        }
    }

    /// Gives up a copy whose destination was down until its time was over, with that one's last words;
    /// unless a person gave it a new time meanwhile.
    fn expire(self: &Arc<Self>, work: &mut Work, id: CopyId, words: String, now: Timestamp) {
        let read = self.store.read(|view| {
            let copy = view_copy(view, id)?;
            copy.map(|copy| Ok::<_, StoreError>((about(view, &copy)?, copy))).transpose()
        });
        match read {
            Ok(Some((about, copy))) if self.end(&copy) <= now => {
                let About { trace, ticket, .. } = about;
                tracing::info!(id = trace, copy = %id, ticket, to = %copy.to, reply = words, "given up");
                self.write(work, id, Attempt::Expired { reply: words, offered: false }, None);
            }
            // It is found again where it is still wanted.
            _ => work.reader.forget(id),
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
        let times = due.into_iter().chain(work.destinations.wakes_at(now)).map(until).chain(reads);
        // What waits for a place is woken by whoever leaves one; so never spin on it.
        times.min().unwrap_or(LONGEST_SLEEP).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    fn offer(self: &Arc<Self>, work: &mut Work, id: CopyId, destination: Destination) {
        let (relay, to) = (Arc::clone(self), destination.clone());
        let task = work.tasks.spawn(async move {
            let (offer, server) = match relay.attempt(id).await {
                Ok(offered) => offered,
                Err(error) if error.is_temporary() => (Offer::Unread(error), None),
                // One damaged message must not stand in the way of all others.
                Err(error) => {
                    tracing::error!(copy = %id, %error, outcome = "failed", "can't be offered");
                    (Offer::Attempted(Attempt::Failed { reply: error.to_string() }, Heard::Nothing), None)
                }
            };
            (id, Ended::Offered(to, offer, server))
        });
        work.under_way.insert(task.id(), (id, Some(destination)));
    }

    fn write(self: &Arc<Self>, work: &mut Work, id: CopyId, attempt: Attempt, server: Option<Server>) {
        self.metrics.count(match &attempt {
            Attempt::Sent { .. } => metrics::Attempt::Sent,
            Attempt::Deferred { .. } | Attempt::TooLarge { .. } => metrics::Attempt::Deferred,
            Attempt::Failed { .. } | Attempt::Expired { .. } => metrics::Attempt::Failed,
        });
        let (relay, stop) = (Arc::clone(self), work.stop.clone());
        let task = work.tasks.spawn(async move {
            let again = matches!(attempt, Attempt::TooLarge { .. });
            let written = relay.write_down(id, &attempt, server.as_ref(), stop).await;
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
                if let Some((id, Some(destination))) = work.under_way.remove(&error.id()) {
                    self.heard(work, id, &destination, Heard::Nothing, None);
                }
                // What came of it is unknown: it is as good as unwritten.
                return;
            }
        };
        match ended {
            Ended::Offered(destination, Offer::Attempted(attempt, heard), server) => {
                self.heard(work, id, &destination, heard, server.as_ref());
                self.write(work, id, attempt, server);
            }
            Ended::Offered(destination, Offer::Down { words, end }, server) => {
                let until = self.heard(work, id, &destination, Heard::Down(words.clone()), server.as_ref());
                let attempt = match until {
                    Some(until) if (self.now)() < end => Attempt::Deferred { reply: words, next_at: until.min(end) },
                    _ => Attempt::Expired { reply: words, offered: true },
                };
                self.write(work, id, attempt, server);
            }
            Ended::Offered(destination, Offer::Unread(error), _) => {
                tracing::error!(copy = %id, %error, "a copy can't be read");
                work.reader.forget(id);
                self.heard(work, id, &destination, Heard::Down(error.to_string()), None);
            }
            Ended::Offered(destination, Offer::Unwanted, _) => {
                work.reader.forget(id);
                self.heard(work, id, &destination, Heard::Nothing, None);
            }
            Ended::Offered(_, Offer::Busy(host), _) => work.destinations.turned_back(id, &host, (self.now)()),
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
    fn heard(
        &self,
        work: &mut Work,
        id: CopyId,
        destination: &Destination,
        heard: Heard,
        server: Option<&Server>,
    ) -> Option<Timestamp> {
        let now = (self.now)();
        // One way out for everybody has no other to share its host with.
        let host = server.filter(|_| destination.domain().is_some()).map(|server| server.host.as_str());
        for id in work.destinations.ended(id, heard, host, now) {
            work.reader.forget(id);
        }
        let pause = work.destinations.pause(destination);
        match pause {
            Some((until, words)) => self.metrics.outages.begun(destination.domain(), until, words, now),
            None => self.metrics.outages.ended(destination.domain()),
        }
        pause.map(|(until, _)| until)
    }

    /// Writes down what became of an attempt; whether that is done. While the store can't be written,
    /// tries again and keeps the copy: let go, it would be due and be sent once more each time. So on
    /// a full disk as many copies as [`Self::limits`] allow wait here, and the rest is not offered.
    async fn write_down(&self, id: CopyId, attempt: &Attempt, server: Option<&Server>, mut stop: Stop) -> bool {
        let server = server.map(ToString::to_string);
        let mut told = false;
        loop {
            let now = (self.now)();
            let written = self
                .store
                .transact(|tx| {
                    let act = Act {
                        desk: &self.desk,
                        now,
                        door: Door::Smtp,
                        actor: Actor::System,
                        trace: None,
                        client: None,
                    };
                    copies::attempted(tx, &act, id, attempt, server.as_deref())
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

    /// Offers one copy; what came of it, and which server was asked.
    async fn attempt(&self, id: CopyId) -> Result<(Offer, Option<Server>), StoreError> {
        let about = self.store.read(|view| view_copy(view, id)?.map(|copy| about(view, &copy)).transpose())?;
        let Some(About { octets, trace, ticket }) = about else {
            return Ok((Offer::Unwanted, None));
        };
        let _room = self.memory.room(octets, TIMES).await;
        let now = (self.now)();
        let prepared = self.store.read(|view| {
            let Some(copy) = view_copy(view, id)? else { return Ok(None) };
            let draft = draft(view, &self.desk, &copy, |domain| self.signers.get(domain).is_some());
            Ok::<_, StoreError>(Some((copy, draft)))
        })?;
        let Some((copy, draft)) = prepared else { return Ok((Offer::Unwanted, None)) };
        let attempt = copy.attempts + 1;
        let failed = |reply: String| {
            tracing::error!(
                id = trace, copy = %id, ticket, to = %copy.to, attempt, outcome = "failed", reply, "can't be offered"
            );
            Ok((Offer::Attempted(Attempt::Failed { reply }, Heard::Nothing), None))
        };
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
        let Some(outcome) = outcomes.into_iter().next() else { return Ok((Offer::Unwanted, None)) };
        let server = outcome.reply().server.clone();
        if !matches!(outcome, Outcome::Busy(_)) {
            tracing::info!(
                id = trace, copy = %id, ticket, to = %copy.to, attempt,
                server = server.as_ref().map(ToString::to_string), outcome = name(&outcome),
                reply = %outcome.reply(), "offered"
            );
        }
        Ok((self.judge(&copy, outcome), server))
    }

    /// When a copy is given up.
    fn end(&self, copy: &Copy) -> Timestamp {
        copy.tried_since().saturating_add(self.desk.patience.lifetime).unwrap_or(Timestamp::MAX)
    }

    /// What an outcome means for the copy, and for its destination.
    fn judge(&self, copy: &Copy, outcome: Outcome) -> Offer {
        match outcome {
            Outcome::Sent(reply) => Offer::Attempted(Attempt::Sent { reply: reply.to_string() }, Heard::Up),
            Outcome::Deferred(reply) => {
                let jitter = (self.desk.random)()[0];
                let next = next_attempt(
                    copy.attempts + 1,
                    copy.tried_since(),
                    self.desk.patience.lifetime,
                    (self.now)(),
                    jitter,
                );
                let (code, reply) = (reply.code, reply.to_string());
                let heard = match code {
                    // Whenever it is said, it is said of the service (RFC 5321 §3.8).
                    Some(421) => Heard::Down(reply.clone()),
                    None => Heard::Broken,
                    Some(_) => Heard::Up,
                };
                match next {
                    Some(next_at) => Offer::Attempted(Attempt::Deferred { reply, next_at }, heard),
                    None => Offer::Attempted(Attempt::Expired { reply, offered: true }, heard),
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
            Outcome::Busy(reply) => Offer::Busy(reply.server.map(|server| server.host).unwrap_or_default()),
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

/// What is to be known of a copy before it is made.
struct About {
    /// About how large it is: attachments make mail large.
    octets: u64,
    /// The name of the message that it is of.
    trace: Option<String>,
    /// The name of the ticket that it is on.
    ticket: Option<String>,
}

fn about(view: &impl crate::store::Read, copy: &Copy) -> Result<About, StoreError> {
    // Its ticket may have become a part of another.
    let ticket = match find::ticket_by_id(view, copy.ticket) {
        Ok(ticket) => Some(ticket),
        Err(ActionError::Store(error)) => return Err(error),
        Err(_) => None,
    };
    let entry = view.get(&ENTRIES, &(ticket.as_ref().map_or(copy.ticket, |ticket| ticket.id), copy.entry))?;
    let attachments = entry.iter().flat_map(|entry| &entry.attachments);
    let decoded: u64 = attachments.map(|attachment| attachment.size).sum();
    let trace = entry.and_then(|entry| entry.trace).map(|trace| trace.to_string());
    let ticket = ticket.map(|ticket| ticket.reference.to_string());
    Ok(About { octets: decoded / 3 * 4, trace, ticket })
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
        Outcome::Busy(_) => "busy",
    }
}
