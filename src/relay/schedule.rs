//! When a copy that could not be delivered is tried again (RFC 5321 §4.5.4.1).

use jiff::{SignedDuration, Timestamp};

/// The first waits; each later one is twice the one before, up to [`LONGEST_WAIT`].
const WAITS: [SignedDuration; 5] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(1),
];
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(4);

/// When to try again after `attempts` attempts, the last of which ended `now`; `None`: give up,
/// `lifetime` after the copy was queued.
///
/// `jitter` is any random number: it spreads copies that were deferred together over an eighth of
/// the wait more. The last attempt is made when the lifetime ends.
#[must_use]
pub fn next_attempt(
    attempts: u32,
    queued_at: Timestamp,
    lifetime: SignedDuration,
    now: Timestamp,
    jitter: u8,
) -> Option<Timestamp> {
    let end = queued_at.saturating_add(lifetime).ok()?;
    if now >= end {
        return None;
    }
    let index = attempts.saturating_sub(1) as usize;
    let wait = WAITS.get(index).copied().unwrap_or_else(|| {
        let doublings = u32::try_from(index - WAITS.len() + 1).unwrap_or(u32::MAX).min(8);
        (WAITS[WAITS.len() - 1] * 2_i32.pow(doublings)).min(LONGEST_WAIT)
    });
    let spread = wait * i32::from(jitter) / (8 * i32::from(u8::MAX));
    let next = now.saturating_add(wait + spread).ok()?;
    Some(next.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: SignedDuration = SignedDuration::from_hours(5 * 24);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + 60 * minutes).unwrap()
    }

    #[test]
    fn waits_grow_for_the_lifetime_and_end() {
        for (attempts, minutes) in
            [(0, 1), (1, 1), (2, 5), (3, 15), (4, 30), (5, 60), (6, 120), (7, 240), (8, 240), (u32::MAX, 240)]
        {
            assert_eq!(next_attempt(attempts, at(0), DAYS, at(0), 0), Some(at(minutes)), "{attempts}");
        }
        let (mut now, mut attempts) = (at(0), 0);
        while let Some(next) = next_attempt(attempts, at(0), DAYS, now, 0) {
            assert!(next > now);
            (now, attempts) = (next, attempts + 1);
        }
        assert_eq!(now, at(5 * 24 * 60));
        assert!((30..40).contains(&attempts), "{attempts}");
    }

    #[test]
    fn jitter_spreads_by_an_eighth_at_most() {
        assert_eq!(next_attempt(7, at(0), DAYS, at(0), u8::MAX), Some(at(270)));
        assert!(next_attempt(1, at(0), DAYS, at(0), 100).unwrap() > at(1));
    }

    #[test]
    fn a_clock_that_jumped_does_no_harm() {
        assert_eq!(next_attempt(1, at(0), DAYS, at(-600), 0), Some(at(-599)));
        assert_eq!(next_attempt(1, at(0), DAYS, at(1_000_000), 0), None);
        assert_eq!(next_attempt(1, Timestamp::MAX, DAYS, Timestamp::MAX, 0), None);
    }
}
