//! Whose turn it is: copies that are due, by where they go.
//!
//! Each destination has its own pace. It begins with one copy, gets one more at a time for each that
//! goes well, up to a limit, and is left alone for ever longer where it does not answer; nobody
//! else waits for it. Destinations that have something to send take turns.
//!
//! Pure: the time is an argument, and what is offered, and how, is the [`worker`](super::worker)'s.
//! The queue itself is in the store; here is as much of it as is likely to be sent next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};

use super::pause::{Outage, Pause};
use super::route::Destination;
pub use super::under_way::Limits;
use super::under_way::{Offer, UnderWay};
use crate::desk::id::CopyId;

/// The most copies of one destination that are kept here.
const MOST_WAITING: usize = 1_000;
/// The most of one that is paused: it is tried with one.
const MOST_PAUSED: usize = 8;
/// The most of all destinations together, beyond which no more are read.
const MOST_IN_ALL: usize = 50_000;

/// How long a copy waits at least that was turned back.
const TURNED_BACK: SignedDuration = SignedDuration::from_secs(1);

/// What an offer told about whatever comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The destination answers.
    Up,
    /// It answers, and broke off: less at a time.
    Broken,
    /// It can't be used now; its words.
    Down(String),
    /// Nothing: it was not asked.
    Nothing,
}

/// Copies that are due, by destination.
pub struct Destinations {
    states: BTreeMap<Destination, State>,
    under_way: UnderWay,
    /// Whose turn it was last.
    last: Option<Destination>,
    outage: Outage,
}

#[derive(Default)]
struct State {
    waiting: BTreeSet<Waiting>,
    /// There are more in the queue than were kept.
    more: bool,
    under_way: usize,
    /// How many may be under way.
    window: usize,
    pause: Option<Pause>,
    /// The host that its mail went to last: others may have the same.
    host: Option<String>,
    /// Not before this: its host had enough to do with others' mail.
    wait: Option<Timestamp>,
    /// An offer took long the last time.
    slow: bool,
}

/// A copy that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// Since when: the longest waiting goes first.
    pub since: Timestamp,
    pub id: CopyId,
    /// When it is given up.
    pub end: Timestamp,
}

/// What becomes of a copy that is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It waits for its turn.
    Kept,
    /// It waits, and this one no longer does, which has waited less. [`Destinations::wants_more`] tells
    /// when there is room for it again.
    InsteadOf(CopyId),
    /// Its time is up, and its destination is down; that one's last words.
    Ended(String),
}

impl State {
    /// How many are kept.
    fn most(&self) -> usize {
        if self.pause.is_some() { MOST_PAUSED } else { MOST_WAITING }
    }

    fn is_paused(&self, now: Timestamp) -> bool {
        self.pause.as_ref().is_some_and(|pause| pause.is_on(now))
    }

    fn is_free(&self, now: Timestamp) -> bool {
        !self.waiting.is_empty()
            && self.under_way < self.window.max(1)
            && !self.is_paused(now)
            && self.wait.is_none_or(|until| until <= now)
    }
}

impl Destinations {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { states: BTreeMap::new(), under_way: UnderWay::new(limits), last: None, outage: Outage::default() }
    }

    /// Whether there is room for copies that are read from the queue.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.states.values().map(|state| state.waiting.len()).sum::<usize>() < MOST_IN_ALL
    }

    /// Takes in a copy.
    pub fn push(&mut self, destination: Destination, waiting: Waiting, now: Timestamp) -> Taken {
        let state = self.states.entry(destination).or_default();
        if let Some(pause) = state.pause.as_ref().filter(|_| waiting.end <= now) {
            return Taken::Ended(pause.words.clone());
        }
        state.waiting.insert(waiting);
        if state.waiting.len() > state.most()
            && let Some(last) = state.waiting.pop_last()
        {
            state.more = true;
            return Taken::InsteadOf(last.id);
        }
        Taken::Kept
    }

    /// A person asked at a time for a copy to be sent: its destination is waited for no longer, unless
    /// it was found down since.
    pub fn urge(&mut self, destination: &Destination, asked: Timestamp) {
        if let Some(pause) = self.states.get_mut(destination).and_then(|state| state.pause.as_mut())
            && pause.begun < asked
        {
            pause.lift();
        }
    }

    /// The clock was set back: who was found down at a time that is yet to come is asked anew, and nobody
    /// waits by the clock that was.
    pub fn set_back(&mut self, now: Timestamp) {
        self.under_way.set_back(now);
        for state in self.states.values_mut() {
            state.wait = None;
            if let Some(pause) = state.pause.as_mut().filter(|pause| pause.begun > now) {
                pause.begun = now;
                pause.lift();
            }
        }
    }

    /// The next copy to offer, of the destination whose turn it is. It is under way until
    /// [`Self::ended`] is told. `taken` of the places in all are taken by other work.
    pub fn next(&mut self, now: Timestamp, taken: usize) -> Option<(Destination, CopyId)> {
        let places = self.under_way.places(now, taken);
        let last = self.last.as_ref();
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let until = last.map_or(Bound::Unbounded, Bound::Included);
        let is_free =
            |(_, state): &(&Destination, &State)| state.is_free(now) && places.has(state.slow, state.host.as_deref());
        let mut later = self.states.range::<Destination, _>((after, Bound::Unbounded));
        let mut earlier = self.states.range::<Destination, _>((Bound::Unbounded, until));
        let next = later.find(is_free).or_else(|| earlier.find(is_free)).map(|(destination, _)| destination.clone())?;
        let state = self.states.get_mut(&next)?;
        let waiting = state.waiting.pop_first()?;
        state.under_way += 1;
        state.wait = None;
        let (slow, host) = (state.slow, state.host.clone());
        self.under_way.begin(Offer { destination: next.clone(), waiting, begun: now, slow, host });
        self.last = Some(next.clone());
        Some((next, waiting.id))
    }

    /// Tells how an offer ended, and at which `host`, if at any. Copies that are no longer kept are
    /// given back.
    pub fn ended(&mut self, id: CopyId, heard: Heard, host: Option<&str>, now: Timestamp) -> Vec<CopyId> {
        let mut let_go = Vec::new();
        let Some(offer) = self.under_way.end(id) else { return let_go };
        let destination = &offer.destination;
        let Some(state) = self.states.get_mut(destination) else { return let_go };
        state.under_way = state.under_way.saturating_sub(1);
        if let Some(host) = host {
            state.host = Some(host.to_owned());
        }
        if heard != Heard::Nothing {
            state.slow = offer.took_long(now);
        }
        match heard {
            Heard::Nothing => {}
            Heard::Up => {
                self.outage.is_over();
                state.window = (state.window.max(1) + 1).min(self.under_way.most());
                if state.pause.take().is_some() {
                    tracing::info!(%destination, "up again");
                }
            }
            Heard::Broken => {
                self.outage.is_over();
                state.window = 1;
            }
            Heard::Down(words) => {
                state.window = 1;
                state.pause = Some(Pause::begin(destination, state.pause.take(), words, &mut self.outage, now));
                while state.waiting.len() > MOST_PAUSED
                    && let Some(last) = state.waiting.pop_last()
                {
                    state.more = true;
                    let_go.push(last.id);
                }
            }
        }
        let_go
    }

    /// Tells that a copy was not offered after all, since its `host` has enough to do with the mail of
    /// other domains. It waits again.
    pub fn turned_back(&mut self, id: CopyId, host: &str, now: Timestamp) {
        let Some(offer) = self.under_way.end(id) else { return };
        let state = self.states.entry(offer.destination).or_default();
        state.under_way = state.under_way.saturating_sub(1);
        state.host = Some(host.to_owned());
        // Whoever goes there has not told yet, or is counted from now on.
        state.wait = now.checked_add(TURNED_BACK).ok();
        state.waiting.insert(offer.waiting);
    }

    /// Until when a destination is left alone, where it is down.
    #[must_use]
    pub fn paused_until(&self, destination: &Destination) -> Option<Timestamp> {
        self.pause(destination).map(|(until, _)| until)
    }

    /// Until when, and with which last words.
    #[must_use]
    pub fn pause(&self, destination: &Destination) -> Option<(Timestamp, &str)> {
        self.states.get(destination)?.pause.as_ref().map(|pause| (pause.until, pause.words.as_str()))
    }

    /// The copies whose time is up while their destination is down, with its last words.
    pub fn expired(&mut self, now: Timestamp) -> Vec<(CopyId, String)> {
        let mut expired = Vec::new();
        for state in self.states.values_mut() {
            let Some(pause) = &state.pause else { continue };
            state.waiting.retain(|waiting| {
                let keep = waiting.end > now;
                if !keep {
                    expired.push((waiting.id, pause.words.clone()));
                }
                keep
            });
        }
        expired
    }

    /// Whether the queue should be read again from its head: somebody has sent most of what was kept
    /// of it.
    pub fn wants_more(&mut self, now: Timestamp) -> bool {
        let low = |state: &State| {
            let low = if state.pause.is_some() { 0 } else { MOST_WAITING / 4 };
            state.more && state.waiting.len() <= low && !state.is_paused(now)
        };
        let wants = self.states.values().any(low);
        if wants {
            self.states.values_mut().for_each(|state| state.more = false);
        }
        wants
    }

    /// When time alone changes something: a pause or a copy's time ends, an offer begins to be slow.
    #[must_use]
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let wakes = |state: &State| {
            let waits = Some(state).filter(|state| !state.waiting.is_empty() && state.under_way == 0)?;
            let Some(pause) = &waits.pause else { return waits.wait.filter(|wait| *wait > now) };
            waits.waiting.iter().map(|waiting| waiting.end).chain([pause.until]).min()
        };
        self.states.values().filter_map(wakes).chain(self.under_way.slows_at(now)).min()
    }

    /// Forgets destinations that nothing waits for. One that was down is remembered for as long
    /// again as its pause was. Answers which of those are forgotten.
    pub fn forget(&mut self, now: Timestamp) -> Vec<Destination> {
        let mut forgotten = Vec::new();
        self.states.retain(|destination, state| {
            let keep = !state.waiting.is_empty()
                || state.under_way > 0
                || state.more
                || state.pause.as_ref().is_some_and(|pause| !pause.is_past(now));
            if !keep && state.pause.is_some() {
                forgotten.push(destination.clone());
            }
            keep
        });
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn domain(name: &str) -> Destination {
        Destination::Domain(name.to_owned())
    }

    fn limits(each: usize) -> Limits {
        Limits { each, in_all: 10 }
    }

    /// Ends an offer to a destination.
    fn end(destinations: &mut Destinations, name: &str, heard: Heard, now: Timestamp) -> Vec<CopyId> {
        let name = domain(name);
        let (id, _) = destinations.under_way.iter().find(|(_, destination)| **destination == name).unwrap();
        destinations.ended(id, heard, None, now)
    }

    fn down() -> Heard {
        Heard::Down("421 no".to_owned())
    }

    fn copy(id: u64) -> Waiting {
        Waiting { since: at(0), id: CopyId(id), end: at(1_000_000) }
    }

    /// Copies of these destinations, numbered from 1.
    fn waiting(limit: usize, names: &[&str]) -> Destinations {
        let mut destinations = Destinations::new(limits(limit));
        for (number, name) in (1..).zip(names) {
            assert_eq!(destinations.push(domain(name), copy(number), at(0)), Taken::Kept);
        }
        destinations
    }

    fn turns(destinations: &mut Destinations, now: Timestamp) -> Vec<u64> {
        std::iter::from_fn(|| destinations.next(now, 0)).map(|(_, id)| id.0).collect()
    }

    #[test]
    fn each_begins_with_one_and_grows_with_what_goes_well() {
        let mut destinations = waiting(3, &["a"; 20]);
        assert_eq!(turns(&mut destinations, at(0)), [1]);
        let mut next = 2;
        for (heard, more) in [
            (Heard::Nothing, 1),
            (Heard::Up, 2),
            (Heard::Up, 2),
            (Heard::Up, 1),
            (Heard::Up, 1),
            (Heard::Broken, 0),
            (Heard::Up, 1),
            (Heard::Up, 2),
        ] {
            end(&mut destinations, "a", heard.clone(), at(0));
            let expected: Vec<_> = (next..next + more).collect();
            assert_eq!(turns(&mut destinations, at(0)), expected, "{heard:?}");
            next += more;
        }
    }

    #[test]
    fn destinations_take_turns_and_one_that_is_down_waits_alone() {
        let mut destinations = waiting(5, &["a", "a", "a", "b", "b", "c"]);
        assert_eq!(turns(&mut destinations, at(0)), [1, 4, 6]);
        end(&mut destinations, "a", down(), at(0));
        end(&mut destinations, "b", Heard::Up, at(0));
        end(&mut destinations, "c", Heard::Up, at(0));
        assert_eq!(turns(&mut destinations, at(29)), [5]);
        assert_eq!(destinations.wakes_at(at(0)), Some(at(30)));
        // Then it is tried with one.
        assert_eq!(turns(&mut destinations, at(30)), [2]);
        end(&mut destinations, "a", Heard::Up, at(31));
        assert_eq!(turns(&mut destinations, at(31)), [3]);
    }

    #[test]
    fn the_longest_waiting_goes_first_whenever_it_was_read() {
        let mut destinations = Destinations::new(limits(5));
        for (id, since) in [(1, 30), (2, 10), (3, 20)] {
            destinations.push(domain("a"), Waiting { since: at(since), ..copy(id) }, at(40));
        }
        for expected in [2, 3, 1] {
            assert_eq!(turns(&mut destinations, at(40)), [expected]);
            end(&mut destinations, "a", Heard::Nothing, at(40));
        }
    }

    #[test]
    fn copies_of_who_is_down_end_with_his_words() {
        let mut destinations = waiting(5, &["a", "a"]);
        let short = |id| Waiting { end: at(10), ..copy(id) };
        destinations.push(domain("a"), short(3), at(0));
        turns(&mut destinations, at(0));
        assert!(destinations.expired(at(20)).is_empty(), "he may still answer");
        end(&mut destinations, "a", down(), at(0));
        assert_eq!(destinations.wakes_at(at(0)), Some(at(10)));
        assert_eq!(destinations.expired(at(10)), [(CopyId(3), "421 no".to_owned())]);
        assert_eq!(destinations.push(domain("a"), short(4), at(10)), Taken::Ended("421 no".to_owned()));
        assert_eq!(turns(&mut destinations, at(30)), [2]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_more_is_asked_for_when_it_is_sent() {
        let mut destinations = Destinations::new(limits(5));
        let many = u64::try_from(MOST_WAITING).unwrap();
        for id in 1..=many {
            assert_eq!(destinations.push(domain("a"), copy(id), at(0)), Taken::Kept);
        }
        assert_eq!(destinations.push(domain("a"), copy(many + 1), at(0)), Taken::InsteadOf(CopyId(many + 1)));
        assert_eq!(destinations.push(domain("a"), copy(0), at(0)), Taken::InsteadOf(CopyId(many)));
        assert!(!destinations.wants_more(at(0)));
        assert_eq!(turns(&mut destinations, at(0)), [0]);
        // Down: a few to try with are enough.
        assert_eq!(end(&mut destinations, "a", down(), at(0)).len(), MOST_WAITING - 1 - MOST_PAUSED);
        assert_eq!(destinations.push(domain("a"), copy(many), at(0)), Taken::InsteadOf(CopyId(many)));
        assert!(!destinations.wants_more(at(100)));
        for turn in 0..MOST_PAUSED {
            assert_eq!(turns(&mut destinations, at(100)).len(), 1, "{turn}");
            end(&mut destinations, "a", Heard::Nothing, at(100));
        }
        assert!(destinations.wants_more(at(100)));
        assert!(!destinations.wants_more(at(100)), "it is asked for once");
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_nobody_alone_for_longer() {
        let mut destinations = waiting(5, &["a", "a", "a"]);
        turns(&mut destinations, at(7_200));
        destinations.ended(CopyId(1), down(), None, at(7_200));
        assert_eq!(turns(&mut destinations, at(60)), [0; 0]);
        destinations.set_back(at(60));
        assert_eq!(turns(&mut destinations, at(60)), [2]);
    }

    #[test]
    fn what_was_turned_back_or_is_slow_is_so_by_the_clock_that_is() {
        let mut destinations = waiting(2, &["a", "b"]);
        assert_eq!(turns(&mut destinations, at(7_200)), [1, 2]);
        destinations.turned_back(CopyId(1), "mx", at(7_200));
        destinations.set_back(at(60));
        assert_eq!(turns(&mut destinations, at(60)), [1]);
        assert_eq!(destinations.wakes_at(at(60)), Some(at(80)), "both begin to be slow then");
    }

    #[test]
    fn a_person_can_end_the_wait() {
        let mut destinations = waiting(5, &["a", "a", "a"]);
        turns(&mut destinations, at(0));
        end(&mut destinations, "a", down(), at(0));
        destinations.urge(&domain("a"), at(0));
        assert_eq!(turns(&mut destinations, at(1)), [0; 0], "he was asked since");
        destinations.urge(&domain("a"), at(1));
        assert_eq!(turns(&mut destinations, at(1)), [2]);
        end(&mut destinations, "a", down(), at(1));
        assert_eq!(destinations.wakes_at(at(0)), Some(at(61)), "and it grows on");
    }

    #[test]
    fn destinations_are_forgotten_with_their_last_copy_and_pause() {
        let mut destinations = waiting(5, &["a", "b"]);
        turns(&mut destinations, at(0));
        end(&mut destinations, "a", Heard::Up, at(0));
        end(&mut destinations, "b", down(), at(0));
        destinations.forget(at(60));
        assert_eq!(destinations.states.len(), 1);
        destinations.forget(at(61));
        assert!(destinations.states.is_empty());
    }

    #[test]
    fn slow_servers_give_their_places_to_others_and_have_so_many_of_their_own() {
        let names: Vec<_> = (0..30).map(|number| format!("slow{number}")).collect();
        let mut destinations = waiting(5, &names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(turns(&mut destinations, at(0)).len(), 10, "nobody knows yet");
        assert_eq!(destinations.wakes_at(at(0)), Some(at(20)));
        assert_eq!(turns(&mut destinations, at(19)).len(), 0);
        assert_eq!(turns(&mut destinations, at(20)).len(), 10, "those that took long count no more");
        assert_eq!(turns(&mut destinations, at(40)).len(), 0, "but for so many of them");

        // Once they are known, they never take the places of others.
        for id in destinations.under_way.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            destinations.ended(id, Heard::Broken, None, at(50));
        }
        turns(&mut destinations, at(50));
        for id in destinations.under_way.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            destinations.ended(id, Heard::Broken, None, at(100));
        }
        for (number, name) in (100..).zip(&names) {
            destinations.push(domain(name), copy(number), at(100));
        }
        assert_eq!(turns(&mut destinations, at(100)).len(), 10);
        for (number, name) in (200..).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]) {
            destinations.push(domain(name), copy(number), at(100));
        }
        assert_eq!(turns(&mut destinations, at(100)), (200..210).collect::<Vec<_>>());
        // Until they are quick again.
        destinations.ended(CopyId(200), Heard::Up, None, at(101));
        end(&mut destinations, "slow0", Heard::Up, at(101));
        destinations.push(domain("slow0"), copy(300), at(101));
        assert_eq!(turns(&mut destinations, at(101)).len(), 2);
    }

    #[test]
    fn domains_of_one_host_share_its_places() {
        let mut destinations = waiting(2, &["a", "b", "c", "d"]);
        assert_eq!(turns(&mut destinations, at(0)), [1, 2, 3, 4], "nobody knows yet");
        destinations.ended(CopyId(1), Heard::Up, Some("mx"), at(0));
        destinations.ended(CopyId(2), Heard::Up, Some("mx"), at(0));
        // It was found when it was looked up.
        destinations.turned_back(CopyId(3), "mx", at(0));
        destinations.ended(CopyId(4), Heard::Up, Some("other"), at(0));
        for (name, id) in [("a", 11), ("b", 12), ("d", 14), ("d", 15)] {
            destinations.push(domain(name), copy(id), at(0));
        }
        assert_eq!(turns(&mut destinations, at(0)), [11, 12, 14, 15]);
        assert_eq!(turns(&mut destinations, at(1)), [0; 0]);
        destinations.ended(CopyId(12), Heard::Up, Some("mx"), at(1));
        assert_eq!(turns(&mut destinations, at(1)), [3]);
    }

    #[test]
    fn what_was_turned_back_waits_a_moment() {
        let mut destinations = waiting(2, &["a"]);
        assert_eq!(turns(&mut destinations, at(0)), [1]);
        destinations.turned_back(CopyId(1), "mx", at(0));
        assert_eq!(turns(&mut destinations, at(0)), [0; 0]);
        assert_eq!(destinations.wakes_at(at(0)), Some(at(1)));
        assert_eq!(turns(&mut destinations, at(1)), [1]);
    }
}
