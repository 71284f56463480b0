//! Notices that somebody set the clock, by the one that nobody can set.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// By less than this a clock is put right now and then.
const NOTABLE: SignedDuration = SignedDuration::from_secs(60);

/// What time it was when one last looked.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    time: Timestamp,
    seen: Instant,
}

impl Clock {
    #[must_use]
    pub fn begin(time: Timestamp, seen: Instant) -> Self {
        Self { time, seen }
    }

    /// By how much the clock was set since one last looked, if by more than a minute: forward, or
    /// back where it is negative.
    pub fn look(&mut self, time: Timestamp, seen: Instant) -> Option<SignedDuration> {
        let passed = SignedDuration::try_from(seen.saturating_duration_since(self.seen)).unwrap_or(SignedDuration::MAX);
        let by = time.duration_since(self.time).saturating_sub(passed);
        *self = Self { time, seen };
        (by.abs() >= NOTABLE).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_set_is_told_and_what_passed_is_not() {
        let (start, begun) = (Timestamp::from_second(1_800_000_000).unwrap(), Instant::now());
        let mut clock = Clock::begin(start, begun);
        // Seconds on either clock since the start, and by how many it was set.
        for (time, passed, set) in [
            (30, 30, None),
            (100, 90, None),
            (7_290, 90, Some(7_190)),
            (7_320, 120, None),
            (120, 120, Some(-7_200)),
            (121, 121, None),
        ] {
            let time = start + SignedDuration::from_secs(time);
            let found = clock.look(time, begun + Duration::from_secs(passed));
            assert_eq!(found, set.map(SignedDuration::from_secs));
        }
    }
}
