//! For how long a destination that is down is left alone, and what is said of it.

use jiff::{SignedDuration, Timestamp};

use super::route::Destination;

/// A destination that was found down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub begun: Timestamp,
    pub until: Timestamp,
    length: SignedDuration,
    /// What it said last, or what kept us from hearing it.
    pub words: String,
}

/// Left alone for `first`, doubled up to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Backoff {
    first: SignedDuration,
    last: SignedDuration,
}

impl Backoff {
    /// Of a server that somebody runs for us: it is asked for often.
    const ROUTE: Self = Self { first: SignedDuration::from_secs(5), last: SignedDuration::from_mins(5) };
    /// Of anybody's: RFC 5321 §4.5.4.1 would have it asked every half hour or less, after the first times.
    const DOMAIN: Self = Self { first: SignedDuration::from_secs(30), last: SignedDuration::from_hours(1) };

    fn of(destination: &Destination) -> Self {
        match destination {
            Destination::Route => Self::ROUTE,
            Destination::Domain(_) => Self::DOMAIN,
        }
    }
}

impl Pause {
    /// One alarm when the route goes down, one line when a domain does. Offers that were under way when
    /// it went down end during the pause `before`, and make it no longer.
    pub fn begin(destination: &Destination, before: Option<Self>, words: String, now: Timestamp) -> Self {
        let backoff = Backoff::of(destination);
        let length = match before {
            Some(pause) if pause.is_on(now) => return pause,
            Some(pause) => (pause.length * 2).min(backoff.last),
            None => backoff.first,
        };
        let until = now.saturating_add(length).unwrap_or(Timestamp::MAX);
        match (destination, length == backoff.first) {
            (Destination::Route, true) => {
                tracing::error!(%until, %words, "the route is down: nothing is sent until it answers");
            }
            (Destination::Domain(_), true) => {
                tracing::warn!(%destination, %until, %words, "down: nothing is sent to it until it answers");
            }
            (_, false) => tracing::warn!(%destination, %until, %words, "still down"),
        }
        Self { begun: now, until, length, words }
    }

    pub fn is_on(&self, now: Timestamp) -> bool {
        self.until > now
    }

    /// It ends: who is down is asked at once.
    pub fn lift(&mut self) {
        self.until = Timestamp::MIN;
    }

    /// Whether as long again has passed since it ended.
    pub fn is_past(&self, now: Timestamp) -> bool {
        self.until.saturating_add(self.length).is_ok_and(|end| end < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn who_is_down_is_left_alone_for_ever_longer_times() {
        for (destination, first, last) in
            [(Destination::Route, 5, 300), (Destination::Domain("a.example".to_owned()), 30, 3600)]
        {
            let mut pause = Pause::begin(&destination, None, String::new(), at(0));
            assert_eq!(pause.until, at(first));
            // More were under way.
            assert_eq!(Pause::begin(&destination, Some(pause.clone()), String::new(), at(first - 1)), pause);
            let mut now = first;
            for times in 1..10 {
                pause = Pause::begin(&destination, Some(pause), String::new(), at(now));
                let length = (first << times).min(last);
                assert_eq!(pause.until, at(now + length));
                now += length;
            }
        }
    }
}
