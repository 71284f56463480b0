//! So many at once, and one more every so often: the leaky bucket that limits of rates are made of.

use jiff::{SignedDuration, Timestamp};

/// How much goes on, and how fast it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Milliseconds that all of it takes to come back, and that one does.
    most: i64,
    each: i64,
}

/// What is used up, as the time when all of it is back: milliseconds of the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(i64);

impl Pace {
    /// So many at once, at least one, and one more each time that so long has passed.
    #[must_use]
    pub fn new(most: u32, each: SignedDuration) -> Self {
        let each = i64::try_from(each.as_millis()).unwrap_or(i64::MAX >> 33).clamp(1, i64::MAX >> 33);
        Self { most: i64::from(most.max(1)) * each, each }
    }

    /// So many at once, which come back within an hour.
    #[must_use]
    pub fn an_hour(most: u32) -> Self {
        Self::new(most, SignedDuration::from_hours(1) / i32::try_from(most.max(1)).unwrap_or(i32::MAX))
    }

    /// Takes so many. More than there ever are at once are taken as soon as all of them are back.
    ///
    /// # Errors
    /// How long to wait until there are so many; nothing is taken.
    pub fn take(&self, level: &mut Level, count: usize, now: Timestamp) -> Result<(), SignedDuration> {
        let now = now.as_millisecond();
        let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(self.each).min(self.most);
        let after = level.0.max(now) + count;
        let wait = after - now - self.most;
        if wait > 0 {
            // Rounded up, so that whoever waits that long gets it.
            return Err(SignedDuration::from_secs((wait + 999) / 1000));
        }
        level.0 = after;
        Ok(())
    }

    /// Takes so many whether or not there are so many: what is missing has to come back before there is
    /// one again. Of more than there ever are at once the rest is forgiven.
    pub fn charge(&self, level: &mut Level, count: usize, now: Timestamp) {
        let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(self.each).min(self.most);
        level.0 = level.0.max(now.as_millisecond()) + count;
    }

    /// Gives back what was taken and not used.
    pub fn give_back(&self, level: &mut Level, count: usize) {
        level.0 -= i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(self.each).min(self.most);
    }

    /// Whether nothing is used up any more, so that the level can be forgotten.
    #[must_use]
    pub fn is_full(level: Level, now: Timestamp) -> bool {
        level.0 <= now.as_millisecond()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let pace = Pace::new(3, SignedDuration::from_secs(10));
        let mut level = Level::default();
        for (seconds, count, expected) in [
            (0, 2, Ok(())),
            (0, 2, Err(10)),
            (0, 1, Ok(())),
            (0, 1, Err(10)),
            (9, 1, Err(1)),
            (10, 1, Ok(())),
            (15, 3, Err(25)),
            (40, 9, Ok(())),
            (40, 1, Err(10)),
        ] {
            let taken = pace.take(&mut level, count, at(seconds)).map_err(|wait| wait.as_secs());
            assert_eq!(taken, expected, "{count} at {seconds}");
        }
        pace.give_back(&mut level, 1);
        assert!(pace.take(&mut level, 1, at(40)).is_ok());
        assert!(!Pace::is_full(level, at(69)) && Pace::is_full(level, at(70)));
        let mut level = Level::default();
        pace.charge(&mut level, 5, at(0));
        pace.charge(&mut level, 1, at(0));
        assert_eq!(pace.take(&mut level, 1, at(0)).map_err(|wait| wait.as_secs()), Err(20));
        assert!(pace.take(&mut level, 1, at(20)).is_ok());
        let hour = Pace::an_hour(1000);
        let mut level = Level::default();
        assert!(hour.take(&mut level, 1000, at(0)).is_ok() && hour.take(&mut level, 1, at(3)).is_err());
        assert!(hour.take(&mut level, 1, at(4)).is_ok() && hour.take(&mut level, 999, at(3600)).is_ok());
    }
}
