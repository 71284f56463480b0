//! Mail that looks alike: past a number within a time, one sender's is kept and not relayed, so
//! that two machines that answer each other go quiet.
//!
//! Counted in memory: the cap is about minutes, and a start begins anew.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Mail;
use crate::desk::address::Address;
use crate::desk::id::{PropertyId, TicketId};
use crate::desk::subject::canonical_subject;

/// The most looks that are remembered; past it the older half is forgotten.
const MOST: usize = 50_000;
/// Letters of the subject, and of the text, that make a look.
const LETTERS: usize = 200;

/// From how many on, within which time, mail of one look from one sender goes quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookAlikeCap {
    pub count: u32,
    pub minutes: u32,
}

/// One sender's mail of one look to one property.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    property: PropertyId,
    sender: Address,
    hash: u64,
}

impl Look {
    /// What mails that look alike share: subject and beginning of the text, without digits and case.
    pub(super) fn of(mail: &Mail<'_>, property: PropertyId, sender: &Address) -> Self {
        let mut hasher = DefaultHasher::new();
        for text in [&canonical_subject(&mail.understood.subject), &mail.understood.text.new] {
            let letters = text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase);
            letters.take(LETTERS).for_each(|c| c.hash(&mut hasher));
            0_u8.hash(&mut hasher);
        }
        Self { property, sender: sender.clone(), hash: hasher.finish() }
    }
}

struct Seen {
    since: Timestamp,
    count: u32,
    /// Where the first of them went.
    ticket: TicketId,
}

/// What was seen lately.
pub struct Looks {
    cap: LookAlikeCap,
    seen: Mutex<HashMap<Look, Seen>>,
}

impl Looks {
    #[must_use]
    pub fn new(cap: LookAlikeCap) -> Self {
        Self { cap, seen: Mutex::default() }
    }

    /// The ticket of the first one, if there were too many since.
    pub(super) fn too_many(&self, look: &Look, now: Timestamp) -> Option<TicketId> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(look).filter(|seen| self.is_recent(seen, now) && seen.count >= self.cap.count).map(|seen| seen.ticket)
    }

    /// Counts one that was filed on a ticket.
    pub(super) fn count(&self, look: Look, ticket: TicketId, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            let mut times: Vec<_> = seen.values().map(|seen| seen.since).collect();
            let (_, median, _) = times.select_nth_unstable(MOST / 2);
            let median = *median;
            seen.retain(|_, seen| seen.since > median);
        }
        let known = seen.entry(look).or_insert(Seen { since: now, count: 0, ticket });
        if !self.is_recent(known, now) {
            *known = Seen { since: now, count: 0, ticket };
        }
        known.count = known.count.saturating_add(1);
    }

    fn is_recent(&self, seen: &Seen, now: Timestamp) -> bool {
        now.duration_since(seen.since) <= SignedDuration::from_mins(i64::from(self.cap.minutes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(hash: u64) -> Look {
        Look { property: PropertyId(1), sender: "robot@example.com".parse().unwrap(), hash }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_third_within_an_hour_is_too_many_and_later_they_count_anew() {
        let looks = Looks::new(LookAlikeCap { count: 2, minutes: 60 });
        for second in [0, 10] {
            assert_eq!(looks.too_many(&look(1), at(second)), None);
            looks.count(look(1), TicketId(7 + second.unsigned_abs()), at(second));
        }
        assert_eq!(looks.too_many(&look(1), at(20)), Some(TicketId(7)));
        assert_eq!(looks.too_many(&look(2), at(20)), None, "another look");
        assert_eq!(looks.too_many(&look(1), at(3601)), None);
        looks.count(look(1), TicketId(9), at(3601));
        assert_eq!(looks.too_many(&look(1), at(3602)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let looks = Looks::new(LookAlikeCap { count: 1, minutes: 60 });
        for n in 0..u32::try_from(MOST).unwrap() + 10 {
            looks.count(look(u64::from(n)), TicketId(1), at(i64::from(n)));
        }
        assert!(looks.seen.lock().unwrap().len() <= MOST);
        assert_eq!(looks.too_many(&look(50_009), at(50_009)), Some(TicketId(1)), "the newest are kept");
    }
}
