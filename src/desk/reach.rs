//! Whether an address can be reached: what failed lately, and when to stop trying.
//!
//! An address that keeps refusing is suspended: it gets no copies until a person says so or mail of
//! its own proves that it lives. Only refusals of the address itself count
//! ([`reply_code::refuses_address`](super::reply_code::refuses_address)).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::CopyId;

/// So many failures in a row are enough, however fast they came.
pub const IN_A_ROW: usize = 5;
/// So many are enough where they lie at least [`APART`] from first to last.
pub const ON_DAYS: usize = 3;
pub const APART: SignedDuration = SignedDuration::from_hours(24);
/// What lies longer back says nothing any more.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What was taken and not reported on for so long has arrived.
const ARRIVED: SignedDuration = SignedDuration::from_hours(24);

/// What is known of an address that failed. A good one has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// In a row, the newest last; of one copy at most once.
    pub failures: Vec<(CopyId, Timestamp)>,
    /// The oldest copy since then that the next server took, and that may still bounce.
    pub sent: Option<(CopyId, Timestamp)>,
    pub suspended: Option<Suspension>,
}

/// That an address gets no copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    pub since: Timestamp,
    /// The remote server's words at the last failure.
    pub words: String,
}

impl Reach {
    /// A copy failed for the address's sake; whether this suspends it.
    pub fn failed(&mut self, copy: CopyId, at: Timestamp, words: &str) -> bool {
        if self.suspended.is_some() || self.failures.iter().any(|(known, _)| *known == copy) {
            return false;
        }
        match self.sent {
            Some((sent, _)) if sent == copy => self.sent = None,
            Some((_, sent)) if at.duration_since(sent) >= ARRIVED => self.forget(),
            _ => {}
        }
        self.failures.retain(|(_, before)| at.duration_since(*before) < FORGOTTEN);
        self.failures.push((copy, at));
        let first = self.failures.first().map_or(at, |(_, first)| *first);
        let enough =
            self.failures.len() >= IN_A_ROW || self.failures.len() >= ON_DAYS && at.duration_since(first) >= APART;
        self.suspended = enough.then(|| Suspension { since: at, words: words.to_owned() });
        enough
    }

    /// The next server took a copy, which proves something only if nothing comes back.
    pub fn sent(&mut self, copy: CopyId, at: Timestamp) {
        match self.sent {
            Some((_, sent)) if at.duration_since(sent) >= ARRIVED => self.forget(),
            Some(_) => {}
            None => self.sent = Some((copy, at)),
        }
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.suspended.is_none()
    }

    fn forget(&mut self) {
        self.failures.clear();
        self.sent = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
    }

    /// Copies by number, with the hour at which each was sent (`+`) or failed (`-`); whether the
    /// last suspends the address.
    fn after(story: &[(char, u64, i64)]) -> bool {
        let mut reach = Reach::default();
        let mut suspended = false;
        for (what, copy, hour) in story {
            match what {
                '+' => reach.sent(CopyId(*copy), at(*hour)),
                _ => suspended = reach.failed(CopyId(*copy), at(*hour), "550 5.1.1 nobody"),
            }
        }
        suspended
    }

    #[test]
    fn when_an_address_is_suspended() {
        for (what, story, expected) in [
            ("two on two days", vec![('-', 1, 0), ('-', 2, 30)], false),
            ("three on one day", vec![('-', 1, 0), ('-', 2, 1), ('-', 3, 2)], false),
            ("three on two days", vec![('-', 1, 0), ('-', 2, 1), ('-', 3, 24)], true),
            ("four at once", vec![('-', 1, 0), ('-', 2, 0), ('-', 3, 0), ('-', 4, 0)], false),
            ("five at once", vec![('-', 1, 0), ('-', 2, 0), ('-', 3, 0), ('-', 4, 0), ('-', 5, 0)], true),
            ("one copy five times", vec![('-', 1, 0), ('-', 1, 9), ('-', 1, 20), ('-', 1, 30), ('-', 1, 40)], false),
            ("three over half a year", vec![('-', 1, 0), ('-', 2, 2_000), ('-', 3, 4_000)], false),
            ("one between that arrived", vec![('-', 1, 0), ('-', 2, 1), ('+', 3, 2), ('-', 4, 27)], false),
            (
                "the same, seen when the next was taken",
                vec![('-', 1, 0), ('-', 2, 1), ('+', 3, 2), ('+', 4, 27), ('-', 5, 28)],
                false,
            ),
            ("one between that came back", vec![('-', 1, 0), ('+', 2, 1), ('-', 2, 2), ('-', 3, 26)], true),
            ("one between that may come back yet", vec![('-', 1, 0), ('-', 2, 1), ('+', 3, 23), ('-', 4, 25)], true),
        ] {
            assert_eq!(after(&story), expected, "{what}");
        }
    }

    #[test]
    fn what_is_suspended_is_so_once() {
        let mut reach = Reach::default();
        for copy in 0..5 {
            reach.failed(CopyId(copy), at(0), "550 no");
        }
        assert_eq!(reach.suspended, Some(Suspension { since: at(0), words: "550 no".to_owned() }));
        assert!(!reach.failed(CopyId(9), at(50), "550 never"));
        assert_eq!(reach.suspended.unwrap().since, at(0));
    }
}
