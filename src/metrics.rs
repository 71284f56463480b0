//! What the daemon counts of its own work (`docs/metrics.md`).
//!
//! One [`Metrics`] a daemon, handed to whoever counts. Counters only grow and begin anew with the
//! daemon; they are bumped once something is done, never in a transaction, which may run again.
//! What stands in the store (the queue, tickets) is not counted here but read when it is asked for.

mod outages;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use outages::{Outage, Outages};

/// A counter with one label, as Prometheus has it.
#[derive(Debug)]
pub struct Family {
    /// Without the prefix `guichet_` and the suffix `_total`.
    pub name: &'static str,
    /// What is counted, in one line.
    pub help: &'static str,
    /// What `values` are of.
    pub label: &'static str,
    pub values: &'static [&'static str],
}

/// One thing that can be counted.
pub trait Counted: Copy {
    /// Its place in [`FAMILIES`].
    const FAMILY: usize;

    /// Its place among the family's values.
    fn value(self) -> usize;
}

macro_rules! families {
    ($($type:ident $name:literal $label:literal $help:literal {
        $($(#[$doc:meta])* $case:ident = $value:literal),+ $(,)?
    })+) => {
        /// The families in the order of [`FAMILIES`].
        enum Place { $($type),+ }

        $(
            #[doc = $help]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $type { $($(#[$doc])* $case),+ }

            impl Counted for $type {
                const FAMILY: usize = Place::$type as usize;

                fn value(self) -> usize {
                    self as usize
                }
            }
        )+

        /// All counters, in the order in which they are printed.
        pub static FAMILIES: &[Family] = &[
            $(Family { name: $name, help: $help, label: $label, values: &[$($value),+] }),+
        ];
    };
}

families! {
    Connection "connections" "outcome" "SMTP connections, by whether they were let in." {
        Taken = "taken",
        TurnedAway = "turned-away",
    }
    ImapConnection "imap_connections" "outcome" "IMAP connections, by whether they were let in." {
        Taken = "taken",
        TurnedAway = "turned-away",
    }
    Message "messages" "outcome" "Messages that clients began to send, by what became of them." {
        /// Answered 2xx: on disk, on a ticket.
        Taken = "taken",
        /// Answered 4xx: the client comes again.
        Deferred = "deferred",
        /// Answered 5xx.
        Refused = "refused",
        /// The client left in the middle.
        BrokenOff = "broken-off",
    }
    Refusal "refusals" "reason" "Answers 4xx and 5xx to SMTP clients, by the reason." {
        /// Nobody of that name here, or a bad token.
        Unknown = "unknown-recipient",
        /// Somebody else's domain, or a path through us.
        Foreign = "foreign-domain",
        /// Not one mailbox in one From.
        Writer = "writer",
        /// Went round in circles.
        Loop = "loop",
        /// A delivery report on nothing of ours.
        Report = "report",
        /// More fields or octets than are read.
        TooMuch = "too-much",
        /// The property's own block list.
        Blocked = "blocked",
        /// A DNS blocklist names the client.
        Blocklist = "blocklist",
        /// The filter said reject.
        Spam = "spam",
        /// The filter said later.
        Greylisted = "greylisted",
        /// A rate of `[limits]`; which one is in `rate_limits`.
        Rate = "rate",
        /// No room, or a store that fails.
        Store = "store",
        /// No command, or not now; an address or a parameter that is none.
        Syntax = "syntax",
        /// A CR or LF of its own, a NUL, a line without end.
        Content = "content",
        /// Not encrypted or not logged in, where that must be; a login that failed.
        Login = "login",
        /// Too many recipients, errors, or commands without mail.
        TooMany = "too-many",
        /// The client took too long.
        Late = "late",
        /// The daemon is shutting down.
        Stopping = "stopping",
        /// What a member may not submit, and the like.
        Other = "other",
    }
    Rate "rate_limits" "kind" "Refusals for a rate, by the kind of rate." {
        /// Messages of a client's network.
        Network = "network",
        /// Messages of one From.
        Sender = "sender",
        /// New tickets of a property.
        Property = "property",
        /// Recipients of a member who is logged in.
        Member = "member",
    }
    Filter "filter_verdicts" "verdict" "What the spam filter's answers came to; unfiltered where there was none." {
        Ham = "ham",
        Spam = "spam",
        Later = "later",
        Reject = "reject",
        Unfiltered = "unfiltered",
    }
    Attempt "copies" "outcome" "Offers of copies to the next server, by what it made of them." {
        Sent = "sent",
        Deferred = "deferred",
        Failed = "failed",
    }
    Login "logins" "outcome" "Logins, by what came of them." {
        Succeeded = "succeeded",
        Failed = "failed",
        /// Not tried, since too many had failed before.
        Slowed = "slowed",
        /// Not tried, since the store failed.
        Unavailable = "unavailable",
    }
}

/// The counters of one daemon.
#[derive(Debug)]
pub struct Metrics {
    counters: Vec<Vec<AtomicU64>>,
    /// By [`Protocol`].
    open: [AtomicU64; 2],
    /// Where mail can't go now.
    pub outages: Outages,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Imap,
}

/// A connection that is open; counted until it is dropped.
#[derive(Debug)]
pub struct Open(Arc<Metrics>, Protocol);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open[self.1 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let zeros = |family: &Family| family.values.iter().map(|_| AtomicU64::new(0)).collect();
        Self { counters: FAMILIES.iter().map(zeros).collect(), open: Default::default(), outages: Outages::default() }
    }
}

impl Metrics {
    /// Counts one.
    pub fn count<C: Counted>(&self, what: C) {
        self.counters[C::FAMILY][what.value()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn counted<C: Counted>(&self, what: C) -> u64 {
        self.counters[C::FAMILY][what.value()].load(Ordering::Relaxed)
    }

    /// Counts a connection for as long as it is open.
    pub fn opened(self: &Arc<Self>, protocol: Protocol) -> Open {
        self.open[protocol as usize].fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self), protocol)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self, protocol: Protocol) -> u64 {
        self.open[protocol as usize].load(Ordering::Relaxed)
    }

    /// Every counter with its value, in the order of [`FAMILIES`].
    pub fn all(&self) -> impl Iterator<Item = (&'static Family, &'static str, u64)> + '_ {
        FAMILIES.iter().zip(&self.counters).flat_map(|(family, counters)| {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            family.values.iter().zip(counters).map(move |(value, counter)| (family, *value, load(counter)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_counted_under_its_own_name() {
        let metrics = Metrics::default();
        metrics.count(Rate::Sender);
        metrics.count(Attempt::Failed);
        metrics.count(Attempt::Failed);
        assert_eq!((metrics.counted(Attempt::Failed), metrics.counted(Attempt::Sent)), (2, 0));
        let seen: Vec<_> = metrics.all().filter(|(.., count)| *count > 0).collect();
        let seen: Vec<_> = seen.iter().map(|(family, value, count)| (family.name, *value, *count)).collect();
        assert_eq!(seen, [("rate_limits", "sender", 1), ("copies", "failed", 2)]);
    }

    #[test]
    fn connections_are_open_until_they_are_dropped() {
        let metrics = Arc::new(Metrics::default());
        let (one, two) = (metrics.opened(Protocol::Imap), metrics.opened(Protocol::Imap));
        assert_eq!((metrics.open(Protocol::Imap), metrics.open(Protocol::Smtp)), (2, 0));
        drop(one);
        assert_eq!(metrics.open(Protocol::Imap), 1);
        drop(two);
        assert_eq!(metrics.open(Protocol::Imap), 0);
    }
}
