//! Failed logins are slowed, per name and per network.
//!
//! Each name and each network has a bucket of failures that leaks: when it is full, logins are not
//! tried until some of it has run out. An attempt takes its place before it is tried and gets it
//! back when it succeeds, so that many at once count as many.
//!
//! Buckets are cells of two tables of fixed size, found by a hash under a random key: memory is
//! bounded, and no flood of names makes it forget another's failures. Two names in one cell only
//! wait for each other.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::desk::pace::{Level, Pace};
use crate::net::limits::network;

/// Cells of each table.
const CELLS: usize = 1 << 16;
/// In which time one failure of a name is forgiven.
const FORGIVEN: SignedDuration = SignedDuration::from_mins(1);
/// How many times more than one name a whole network may fail, and is forgiven.
const NETWORK: u32 = 3;

/// Slows down whoever guesses. Times are handed in and need not be in order.
pub struct Throttle {
    names: Buckets,
    networks: Buckets,
    hasher: RandomState,
}

/// A login that is tried: failed, unless it is said to have [`succeeded`](Self::succeeded).
#[must_use = "what is not said to have succeeded has failed"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    name: Option<usize>,
    network: usize,
}

impl Throttle {
    /// A name may fail so often at once, and is forgiven one failure a minute; a network three
    /// times as much.
    #[must_use]
    pub fn new(failures: u32) -> Self {
        Self {
            names: Buckets::new(Pace::new(failures, FORGIVEN)),
            networks: Buckets::new(Pace::new(failures.saturating_mul(NETWORK), FORGIVEN / NETWORK.cast_signed())),
            hasher: RandomState::new(),
        }
    }

    /// Begins to try a login. `familiar`: the name is a member's who logged in from this network of
    /// late, so that no stranger's guesses are held against him there.
    ///
    /// # Errors
    /// How long to wait.
    pub fn begin(
        &self,
        name: &str,
        client: IpAddr,
        familiar: bool,
        now: Timestamp,
    ) -> Result<Attempt<'_>, SignedDuration> {
        let network = self.cell(&network(client));
        let name = (!familiar).then(|| self.cell(&name.to_lowercase()));
        self.networks.take(network, now)?;
        if let Some(name) = name
            && let Err(wait) = self.names.take(name, now)
        {
            self.networks.give_back(network);
            return Err(wait);
        }
        Ok(Attempt { throttle: self, name, network })
    }

    fn cell(&self, key: &impl std::hash::Hash) -> usize {
        usize::try_from(self.hasher.hash_one(key) % CELLS as u64).unwrap_or_default()
    }
}

impl Attempt<'_> {
    /// It was the right password: nothing is counted.
    pub fn succeeded(self) {
        self.throttle.networks.give_back(self.network);
        if let Some(name) = self.name {
            self.throttle.names.give_back(name);
        }
    }
}

/// Failures by the cell of whoever failed.
struct Buckets {
    pace: Pace,
    cells: Mutex<Box<[Level]>>,
}

impl Buckets {
    fn new(pace: Pace) -> Self {
        Self { pace, cells: Mutex::new(vec![Level::default(); CELLS].into_boxed_slice()) }
    }

    fn take(&self, cell: usize, now: Timestamp) -> Result<(), SignedDuration> {
        self.pace.take(&mut self.lock()[cell], 1, now)
    }

    fn give_back(&self, cell: usize) {
        self.pace.give_back(&mut self.lock()[cell], 1);
    }

    /// A cell is changed in one step, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, Box<[Level]>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Fails so many times; how many of them were tried at all.
    fn fail(throttle: &Throttle, name: &str, client: &str, familiar: bool, times: usize, now: Timestamp) -> usize {
        (0..times).filter(|_| throttle.begin(name, ip(client), familiar, now).is_ok()).count()
    }

    #[test]
    fn a_name_is_slowed_wherever_its_failures_come_from() {
        let throttle = Throttle::new(5);
        let tried: usize =
            (0..20).map(|n| fail(&throttle, "a@b.example", &format!("192.0.2.{n}"), false, 1, at(0))).sum();
        assert_eq!(tried, 5);
        assert_eq!(fail(&throttle, "A@B.example", "198.51.100.1", false, 1, at(0)), 0, "in any case");
        assert_eq!(fail(&throttle, "other@b.example", "198.51.100.1", false, 9, at(0)), 5);
        assert_eq!(fail(&throttle, "a@b.example", "192.0.2.1", false, 9, at(59)), 0);
        assert_eq!(fail(&throttle, "a@b.example", "192.0.2.1", false, 9, at(60)), 1);
        assert_eq!(fail(&throttle, "a@b.example", "192.0.2.1", false, 9, at(3600)), 5);
    }

    #[test]
    fn who_is_told_to_wait_so_long_is_let_in_then() {
        let throttle = Throttle::new(2);
        fail(&throttle, "a@b.example", "192.0.2.1", false, 2, at(0));
        let wait = throttle.begin("a@b.example", ip("192.0.2.1"), false, at(10)).err().unwrap();
        assert_eq!(wait, SignedDuration::from_secs(50));
        assert!(throttle.begin("a@b.example", ip("192.0.2.1"), false, at(60)).is_ok());
    }

    #[test]
    fn a_network_is_slowed_whatever_names_it_tries() {
        let throttle = Throttle::new(5);
        let try_names = |client: &str, now| -> usize {
            (0..50).map(|n| fail(&throttle, &format!("{client}{n}"), client, false, 1, now)).sum()
        };
        assert_eq!(try_names("2001:db8::1", at(0)), 15);
        assert_eq!(fail(&throttle, "x", "2001:db8::ffff", false, 1, at(0)), 0, "the same /64");
        assert_eq!(fail(&throttle, "x", "2001:db8:0:1::1", false, 1, at(0)), 1);
        assert_eq!(fail(&throttle, "y", "2001:db8::ffff", true, 1, at(0)), 0, "a familiar name is no way round");
    }

    #[test]
    fn an_attacker_locks_out_no_member_where_he_is_familiar() {
        let throttle = Throttle::new(5);
        (0..40).for_each(|n| drop(throttle.begin("a@b.example", ip(&format!("192.0.2.{n}")), false, at(0))));
        assert!(throttle.begin("a@b.example", ip("203.0.113.9"), false, at(0)).is_err());
        let own = throttle.begin("a@b.example", ip("203.0.113.9"), true, at(0));
        own.unwrap_or_else(|_| panic!("let in")).succeeded();
    }

    #[test]
    fn what_succeeds_counts_for_nothing_and_what_is_tried_at_once_counts_as_it_begins() {
        let throttle = Throttle::new(5);
        for _ in 0..100 {
            throttle
                .begin("a@b.example", ip("192.0.2.1"), false, at(0))
                .unwrap_or_else(|_| panic!("let in"))
                .succeeded();
        }
        let at_once: Vec<_> = (0..9).map(|_| throttle.begin("a@b.example", ip("192.0.2.1"), false, at(0))).collect();
        assert_eq!(at_once.iter().filter(|attempt| attempt.is_ok()).count(), 5);
    }
}
