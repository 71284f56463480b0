//! For how long a destination that is down is left alone, and what is said of it; and when so many are
//! down that it is we who reach nobody.

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
    /// One alarm when the route goes down, one line when a domain does, unless all are down. Offers that
    /// were under way when it went down end during the pause `before`, and make it no longer.
    pub fn begin(
        destination: &Destination,
        before: Option<Self>,
        words: String,
        outage: &mut Outage,
        now: Timestamp,
    ) -> Self {
        let backoff = Backoff::of(destination);
        let length = match before {
            Some(pause) if pause.is_on(now) => return pause,
            Some(pause) => (pause.length * 2).min(backoff.last),
            None => {
                if outage.one_more() {
                    tracing::error!(
                        %words,
                        "no domain of the last {} could be reached: see whether name servers and network answer",
                        Outage::ALL
                    );
                }
                backoff.first
            }
        };
        let until = now.saturating_add(length).unwrap_or(Timestamp::MAX);
        match (destination, length == backoff.first) {
            (Destination::Route, true) => {
                tracing::error!(%until, %words, "the route is down: nothing is sent until it answers");
            }
            (Destination::Domain(_), _) if outage.is_on() => {
                tracing::debug!(%destination, %until, %words, "down, as all are");
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

/// How many domains went down one after the other, and none answered in between: then it is no matter
/// of theirs, and one alarm says so instead of a line for each.
#[derive(Debug, Default)]
pub(super) struct Outage {
    in_a_row: u32,
}

impl Outage {
    /// So many are all.
    const ALL: u32 = 20;

    /// One more went down; whether all are down now, and were not before.
    fn one_more(&mut self) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.in_a_row == Self::ALL
    }

    pub fn is_on(&self) -> bool {
        self.in_a_row >= Self::ALL
    }

    /// Somebody answered.
    pub fn is_over(&mut self) {
        if self.is_on() {
            tracing::info!("domains can be reached again");
        }
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_are_down_one_after_the_other_are_one_alarm() {
        let (mut outage, mut alarms) = (Outage::default(), 0);
        let mut down = |outage: &mut Outage, name: u32| {
            let domain = Destination::Domain(format!("{name}.example"));
            let was_on = outage.is_on();
            let pause = Pause::begin(&domain, None, "no answer".to_owned(), outage, at(0));
            // The same one again is nothing new.
            Pause::begin(&domain, Some(pause), "no answer".to_owned(), outage, at(60));
            alarms += u32::from(outage.is_on() && !was_on);
        };
        for name in 1..Outage::ALL {
            down(&mut outage, name);
        }
        assert!(!outage.is_on());
        outage.is_over();
        for name in 0..5 * Outage::ALL {
            down(&mut outage, name);
        }
        assert_eq!((alarms, outage.is_on()), (1, true), "one that answered begins the count anew");
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn who_is_down_is_left_alone_for_ever_longer_times() {
        for (destination, first, last) in
            [(Destination::Route, 5, 300), (Destination::Domain("a.example".to_owned()), 30, 3600)]
        {
            let outage = &mut Outage::default();
            let mut pause = Pause::begin(&destination, None, String::new(), outage, at(0));
            assert_eq!(pause.until, at(first));
            // More were under way.
            let again = Pause::begin(&destination, Some(pause.clone()), String::new(), outage, at(first - 1));
            assert_eq!(again, pause);
            let mut now = first;
            for times in 1..10 {
                pause = Pause::begin(&destination, Some(pause), String::new(), outage, at(now));
                let length = (first << times).min(last);
                assert_eq!(pause.until, at(now + length));
                now += length;
            }
        }
    }
}
