//! What is being offered: how much at one time, which of it takes long, and at which hosts.
//!
//! Who keeps us waiting does not keep others waiting: an offer that takes long gives its place back, as
//! long as there are not too many of them, and from then on its destination gets none but one of
//! those for the slow. And many domains may have their mail at one host, which has so many places and
//! no more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::destinations::Waiting;
use super::route::Destination;
use crate::desk::id::CopyId;

/// An offer that takes so long is slow: hardly a server takes half of it on a good day.
const SLOW: SignedDuration = SignedDuration::from_secs(20);

/// How much is under way at one time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To one destination, and to one host.
    pub each: usize,
    /// In all; besides, as many again whose servers are slow.
    pub in_all: usize,
}

/// A copy that is being offered.
pub(super) struct Offer {
    pub destination: Destination,
    pub waiting: Waiting,
    pub begun: Timestamp,
    /// Its destination was known to be slow.
    pub slow: bool,
    /// Where its destination's mail was known to go.
    pub host: Option<String>,
}

impl Offer {
    /// Whether it has taken long by itself.
    pub fn took_long(&self, now: Timestamp) -> bool {
        now.duration_since(self.begun) >= SLOW
    }

    fn is_slow(&self, now: Timestamp) -> bool {
        self.slow || self.took_long(now)
    }
}

/// The offers of now.
pub(super) struct UnderWay {
    limits: Limits,
    offers: BTreeMap<CopyId, Offer>,
}

/// For whom there is a place.
pub(super) struct Places<'o> {
    each: usize,
    quick: bool,
    slow: bool,
    hosts: BTreeMap<&'o str, usize>,
}

impl UnderWay {
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { each: limits.each.max(1), in_all: limits.in_all.max(1) };
        Self { limits, offers: BTreeMap::new() }
    }

    /// The most to one destination.
    pub fn most(&self) -> usize {
        self.limits.each
    }

    pub fn begin(&mut self, offer: Offer) {
        self.offers.insert(offer.waiting.id, offer);
    }

    pub fn end(&mut self, id: CopyId) -> Option<Offer> {
        self.offers.remove(&id)
    }

    /// What is free; `taken` of the places in all are taken by other work.
    pub fn places(&self, now: Timestamp, taken: usize) -> Places<'_> {
        let Limits { each, in_all } = self.limits;
        let slow = self.offers.values().filter(|offer| offer.is_slow(now)).count();
        // Where too many are slow, they take the places of others after all.
        let quick = self.offers.len() - slow + slow.saturating_sub(in_all);
        let mut hosts = BTreeMap::new();
        for host in self.offers.values().filter_map(|offer| offer.host.as_deref()) {
            *hosts.entry(host).or_default() += 1;
        }
        Places { each, quick: quick + taken < in_all, slow: taken < in_all && slow < in_all, hosts }
    }

    /// When the next of them begins to be slow.
    pub fn slows_at(&self, now: Timestamp) -> Option<Timestamp> {
        let quick = self.offers.values().filter(|offer| !offer.is_slow(now));
        quick.filter_map(|offer| offer.begun.checked_add(SLOW).ok()).min()
    }

    /// The clock was set back: what began at a time that is yet to come began now.
    pub fn set_back(&mut self, now: Timestamp) {
        for offer in self.offers.values_mut() {
            offer.begun = offer.begun.min(now);
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (CopyId, &Destination)> {
        self.offers.iter().map(|(id, offer)| (*id, &offer.destination))
    }
}

impl Places<'_> {
    /// Whether there is one for a destination that is known to be slow or not, and whose mail is known to
    /// go to a host.
    pub fn has(&self, slow: bool, host: Option<&str>) -> bool {
        let free = if slow { self.slow } else { self.quick };
        free && host.and_then(|host| self.hosts.get(host)).is_none_or(|count| *count < self.each)
    }
}
