//! Which destinations are down now: the relay's own knowledge, for whoever asks why mail waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// Where nothing is sent for the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it was first found down.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// The last words of a server, or what kept us from hearing any.
    pub words: String,
}

/// All that is down: domains by name, or, under no name, the one way out for everybody.
#[derive(Debug, Default)]
pub struct Outages(Mutex<BTreeMap<Option<String>, Outage>>);

impl Outages {
    /// A destination is down.
    pub fn begun(&self, domain: Option<&str>, until: Timestamp, words: &str, now: Timestamp) {
        let mut all = self.all();
        let outage =
            all.entry(domain.map(str::to_owned)).or_insert_with(|| Outage { since: now, until, words: String::new() });
        outage.until = until;
        words.clone_into(&mut outage.words);
    }

    /// A destination answers again, or nothing is for it any more.
    pub fn ended(&self, domain: Option<&str>) {
        self.all().remove(&domain.map(str::to_owned));
    }

    /// What keeps mail for a domain waiting: the way out for everybody, or else the domain's own servers.
    #[must_use]
    pub fn of(&self, domain: &str) -> Option<Outage> {
        let all = self.all();
        all.get(&None).or_else(|| all.get(&Some(domain.to_owned()))).cloned()
    }

    /// The one of everybody's way out.
    #[must_use]
    pub fn of_route(&self) -> Option<Outage> {
        self.all().get(&None).cloned()
    }

    /// How many destinations are down.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Option<String>, Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_its_first_failure_to_the_first_success() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let outages = Outages::default();
        outages.begun(Some("a.example"), at(30), "421 no", at(0));
        outages.begun(Some("a.example"), at(90), "450 no", at(30));
        let outage = Outage { since: at(0), until: at(90), words: "450 no".to_owned() };
        assert_eq!((outages.of("a.example"), outages.of("b.example")), (Some(outage), None));
        outages.begun(None, at(100), "554 go away", at(95));
        assert_eq!(outages.of("b.example").unwrap().words, "554 go away");
        assert_eq!((outages.count(), outages.of_route().is_some()), (2, true));
        outages.ended(None);
        outages.ended(Some("a.example"));
        assert_eq!(outages.count(), 0);
    }
}
