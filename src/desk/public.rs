//! When a property's public address stands in From: only while its domain publishes our key, so
//! that what is sent in its name is signed in its name.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The least time between the two looks that take an address back: longer than a resolver remembers
/// that there was nothing.
pub const GRACE: SignedDuration = SignedDuration::from_mins(10);

/// What the DNS said of our key's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is there, with our key.
    Seen,
    /// It is not there, or another one is: the domain's own name servers say so.
    Missing,
    /// Nobody said anything.
    Unknown,
}

/// When the record was last looked for, whatever was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub at: Timestamp,
    /// Since when each look that was answered found nothing.
    pub missing_since: Option<Timestamp>,
}

/// What a look changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    /// The address stands in From from now on.
    Verified,
    /// It does no longer.
    TakenBack,
}

/// What a look at the record means. `verified`: whether the address stands in From now.
#[must_use]
pub fn look(verified: bool, before: Option<Look>, sight: Sight, now: Timestamp) -> (Look, Change) {
    let missing = before.and_then(|look| look.missing_since);
    match sight {
        Sight::Seen => {
            let change = if verified { Change::Nothing } else { Change::Verified };
            (Look { at: now, missing_since: None }, change)
        }
        Sight::Missing => {
            let since = missing.unwrap_or(now);
            let change =
                if verified && now.duration_since(since) >= GRACE { Change::TakenBack } else { Change::Nothing };
            (Look { at: now, missing_since: Some(since) }, change)
        }
        Sight::Unknown => (Look { at: now, missing_since: missing }, Change::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at minutes after each other; what came of them.
    fn looks(verified: bool, looks: &[(i64, Sight)]) -> Vec<Change> {
        let (mut verified, mut last) = (verified, None);
        let changes = looks.iter().map(|(minute, sight)| {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(*minute);
            let (look, change) = look(verified, last, *sight, now);
            last = Some(look);
            match change {
                Change::Verified => verified = true,
                Change::TakenBack => verified = false,
                Change::Nothing => {}
            }
            change
        });
        changes.collect()
    }

    #[test]
    fn a_record_that_is_seen_counts_at_once_and_one_that_is_gone_at_the_second_look() {
        use Change::{Nothing, TakenBack, Verified};
        use Sight::{Missing, Seen, Unknown};
        for (verified, seen, expected) in [
            (
                false,
                &[(0, Missing), (60, Missing), (61, Seen), (62, Seen)][..],
                &[Nothing, Nothing, Verified, Nothing][..],
            ),
            (true, &[(0, Missing), (60, Missing), (120, Missing)], &[Nothing, TakenBack, Nothing]),
            // The resolver only remembers its first answer.
            (true, &[(0, Missing), (1, Missing), (9, Missing), (10, Missing)], &[Nothing, Nothing, Nothing, TakenBack]),
            // It was there in between.
            (true, &[(0, Missing), (60, Seen), (120, Missing), (125, Missing)], &[Nothing, Nothing, Nothing, Nothing]),
            // Silence proves nothing, and excuses nothing.
            (true, &[(0, Unknown), (60, Unknown), (9999, Unknown)], &[Nothing, Nothing, Nothing]),
            (true, &[(0, Missing), (60, Unknown), (120, Missing)], &[Nothing, Nothing, TakenBack]),
            (false, &[(0, Unknown), (60, Seen)], &[Nothing, Verified]),
            (true, &[(0, Missing), (60, Missing), (70, Seen), (80, Missing)], &[Nothing, TakenBack, Verified, Nothing]),
        ] {
            assert_eq!(looks(verified, seen), expected, "{verified} {seen:?}");
        }
    }
}
