//! How much mail goes on an hour: from a network, from a sender, into new tickets of a property.
//! Kept in memory: a start begins anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::desk::pace::{Level, Pace};

/// The most keys that are remembered; past it those who used least of their share are forgotten.
const MOST: usize = 50_000;

/// The share of each key.
#[derive(Debug)]
pub struct Rates<K> {
    pace: Pace,
    used: Mutex<HashMap<K, Level>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// So many at once for each key; they come back within an hour.
    #[must_use]
    pub fn an_hour(most: u32) -> Self {
        Self { pace: Pace::an_hour(most), used: Mutex::default() }
    }

    /// Whether a key has used up its share. Counts nothing.
    pub fn is_spent(&self, key: &K, now: Timestamp) -> bool {
        let mut level = self.lock().get(key).copied().unwrap_or_default();
        self.pace.take(&mut level, 1, now).is_err()
    }

    /// Counts one; `false` where the share was used up before.
    pub fn count(&self, key: K, now: Timestamp) -> bool {
        let mut used = self.lock();
        if used.len() >= MOST && !used.contains_key(&key) {
            make_room(&mut used, now);
        }
        self.pace.take(used.entry(key).or_default(), 1, now).is_ok()
    }

    /// A level is changed in one step, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Level>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets who has the whole of his share again and, unless that is most of them, the half that used least:
/// room for many, so that a flood of keys pays for it once in a while and not for each.
fn make_room<K: Eq + Hash>(used: &mut HashMap<K, Level>, now: Timestamp) {
    used.retain(|_, level| !Pace::is_full(*level, now));
    if used.len() > MOST / 2 {
        let mut levels: Vec<_> = used.values().copied().collect();
        let middle = levels.len() / 2;
        let (_, median, _) = levels.select_nth_unstable(middle);
        let median = *median;
        used.retain(|_, level| *level > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn each_key_has_its_share_and_gets_it_back() {
        let rates = Rates::an_hour(60);
        for n in 0..60 {
            assert!(!rates.is_spent(&"a", at(0)), "{n}");
            assert!(rates.count("a", at(0)), "{n}");
        }
        assert!(rates.is_spent(&"a", at(0)) && !rates.count("a", at(59)) && !rates.is_spent(&"b", at(0)));
        assert!(rates.count("a", at(60)) && !rates.count("a", at(60)), "one a minute comes back");
        assert!((0..60).all(|_| rates.count("a", at(3660))) && rates.is_spent(&"a", at(3660)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_busiest_stay() {
        let rates = Rates::an_hour(10);
        while rates.count(usize::MAX, at(0)) {}
        for n in 0..2 * MOST {
            rates.count(n, at(0));
        }
        assert!(rates.lock().len() <= MOST);
        assert!(rates.is_spent(&usize::MAX, at(0)));
    }
}
