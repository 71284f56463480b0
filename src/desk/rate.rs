//! How often something may happen: a budget a key, which fills again evenly.
//!
//! This is the generic cell rate algorithm: of each key only one moment is kept, the one at which its
//! budget will be full again. Kept in memory: rates are about minutes and hours, and a start begins
//! anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// The most keys that are remembered; past it those with the fullest budgets are forgotten.
const MOST: usize = 50_000;

/// So many within such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub count: u32,
    pub per: SignedDuration,
}

impl Quota {
    /// So many an hour.
    #[must_use]
    pub fn hourly(count: u32) -> Self {
        Self { count, per: SignedDuration::from_hours(1) }
    }

    /// What one costs, in the time after which it is there again.
    fn cost(self) -> SignedDuration {
        self.per / i32::try_from(self.count.max(1)).unwrap_or(i32::MAX)
    }
}

/// The budgets of all keys.
#[derive(Debug)]
pub struct Rates<K> {
    quota: Quota,
    /// When each budget will be full again; keys whose budget is full need not be here.
    full_at: Mutex<HashMap<K, Timestamp>>,
}

impl<K: Eq + Hash> Rates<K> {
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, full_at: Mutex::default() }
    }

    /// Whether the budget of a key is used up. Counts nothing.
    pub fn is_spent(&self, key: &K, now: Timestamp) -> bool {
        let owed = self.lock().get(key).map_or(SignedDuration::ZERO, |full_at| self.owed(*full_at, now));
        owed + self.quota.cost() > self.quota.per
    }

    /// Counts one. Beyond the budget nothing more is owed than all of it.
    pub fn count(&self, key: K, now: Timestamp) {
        let mut full_at = self.lock();
        if full_at.len() >= MOST && !full_at.contains_key(&key) {
            self.make_room(&mut full_at, now);
        }
        let place = full_at.entry(key).or_insert(now);
        let owed = (self.owed(*place, now) + self.quota.cost()).min(self.quota.per);
        *place = now.saturating_add(owed).unwrap_or(now);
    }

    /// Never more than the whole budget, also when the clock was put back.
    fn owed(&self, full_at: Timestamp, now: Timestamp) -> SignedDuration {
        full_at.duration_since(now).clamp(SignedDuration::ZERO, self.quota.per)
    }

    /// Forgets whose budget is full, and if that is not enough the half that owes least.
    fn make_room(&self, full_at: &mut HashMap<K, Timestamp>, now: Timestamp) {
        full_at.retain(|_, at| *at > now);
        if full_at.len() >= MOST {
            let mut times: Vec<_> = full_at.values().copied().collect();
            let (_, median, _) = times.select_nth_unstable(MOST / 2);
            let median = *median;
            full_at.retain(|_, at| *at > median);
        }
    }

    /// One moment a key can't be left half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Timestamp>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_budget_is_spent_and_fills_again_evenly() {
        let rates = Rates::new(Quota::hourly(60));
        for n in 0..60 {
            assert!(!rates.is_spent(&"a", at(0)), "{n}");
            rates.count("a", at(0));
        }
        assert!(rates.is_spent(&"a", at(0)) && !rates.is_spent(&"b", at(0)));
        assert!(rates.is_spent(&"a", at(59)) && !rates.is_spent(&"a", at(60)), "one a minute comes back");
        rates.count("a", at(60));
        assert!(rates.is_spent(&"a", at(60)));
        assert!(!rates.is_spent(&"a", at(3660)));
        for _ in 0..60 {
            rates.count("a", at(3660));
        }
        assert!(rates.is_spent(&"a", at(3660)), "and no more than all of it");
    }

    #[test]
    fn what_is_beyond_the_budget_is_not_owed_and_a_clock_put_back_locks_nobody_out() {
        let rates = Rates::new(Quota { count: 2, per: SignedDuration::from_secs(10) });
        for _ in 0..1000 {
            rates.count((), at(1_000_000));
        }
        assert!(rates.is_spent(&(), at(1_000_004)) && !rates.is_spent(&(), at(1_000_005)));
        assert!(rates.is_spent(&(), at(0)));
        rates.count((), at(0));
        assert!(!rates.is_spent(&(), at(5)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_busiest_stay() {
        let rates = Rates::new(Quota::hourly(10));
        for _ in 0..10 {
            rates.count(usize::MAX, at(0));
        }
        for n in 0..2 * MOST {
            rates.count(n, at(0));
        }
        assert!(rates.lock().len() <= MOST);
        assert!(rates.is_spent(&usize::MAX, at(0)));
        rates.count(0, at(3600));
        assert!(rates.lock().len() <= MOST);
    }
}
