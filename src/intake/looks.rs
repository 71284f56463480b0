//! Mail that looks alike: past a number within a time, one sender's is kept and not relayed, so
//! that two machines that answer each other go quiet.
//!
//! Counted in memory: the cap is about minutes, and a start begins anew.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Mail;
use crate::desk::address::Address;
use crate::desk::exchange::AT_ONCE;
use crate::desk::id::{PropertyId, TicketId};
use crate::desk::subject::canonical_subject;

/// The most looks that are remembered; past it the older half is forgotten.
const MOST: usize = 50_000;
/// Letters of the subject, and of the text, that make a look.
const LETTERS: usize = 200;
/// Letters of a text from which on it speaks for itself.
const ENOUGH: usize = 20;
/// How many times as often as one sender all of one network may open tickets in the same words.
const ANYBODY: u32 = 2;
/// How often people may say the same few words.
const FEW_TIMES: usize = 3;

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
            letters(text).for_each(|c| c.hash(&mut hasher));
            0_u8.hash(&mut hasher);
        }
        Self { property, sender: sender.clone(), hash: hasher.finish() }
    }
}

/// The same words from the same corner of the net, whoever they say they are from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Echo {
    property: PropertyId,
    network: IpAddr,
    words: Words,
}

impl Echo {
    pub(super) fn of(mail: &Mail<'_>, property: PropertyId) -> Self {
        let words = Words::of(&mail.understood.subject, &mail.understood.text.new);
        Self { property, network: network(mail.envelope.client), words }
    }

    /// Whether the words are so few that people who know nothing of each other say the same.
    pub(super) fn is_short(&self) -> bool {
        self.words.few
    }
}

/// What stands for the words of a mail. An answering program often puts the subject that it answers
/// into its own, and so the subject counts only where the text says next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Words {
    hash: u64,
    few: bool,
}

impl Words {
    pub(super) fn of(subject: &str, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        letters(text).for_each(|c| c.hash(&mut hasher));
        let few = letters(text).count() < ENOUGH;
        if few {
            letters(&canonical_subject(subject)).for_each(|c| c.hash(&mut hasher));
        }
        Self { hash: hasher.finish(), few }
    }

    /// Whether somebody who said them so often before repeats himself as programs do: people thank
    /// each other in the same few words.
    pub(super) fn repeated(self, times: usize) -> bool {
        times >= if self.few { FEW_TIMES } else { 1 }
    }
}

fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).take(LETTERS)
}

/// The part of an address that a network of servers has in common: /24, /64.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xff).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

struct Seen {
    since: Timestamp,
    count: u32,
    /// Where the first of them went.
    ticket: TicketId,
}

/// The ticket that certain words opened last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub ticket: TicketId,
    /// How many they opened in a row, each at once after the one before.
    pub count: u32,
    pub at: Timestamp,
}

/// What is to be remembered of a mail once it is filed.
pub(super) struct Sight {
    /// Its look, and where it went.
    pub look: (Look, TicketId),
    /// The ticket that it opened.
    pub opened: Option<(Echo, TicketId)>,
}

/// What was seen lately.
pub struct Looks {
    cap: LookAlikeCap,
    seen: Mutex<HashMap<Look, Seen>>,
    opened: Mutex<HashMap<Echo, Opened>>,
}

impl Looks {
    #[must_use]
    pub fn new(cap: LookAlikeCap) -> Self {
        Self { cap, seen: Mutex::default(), opened: Mutex::default() }
    }

    /// The ticket of the first one, if there were too many since.
    pub(super) fn too_many(&self, look: &Look, now: Timestamp) -> Option<TicketId> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(look).filter(|seen| self.is_recent(seen, now) && seen.count >= self.cap.count).map(|seen| seen.ticket)
    }

    /// The ticket that the same words opened last, if that is no longer ago.
    pub(super) fn opened(&self, echo: &Echo, now: Timestamp, within: SignedDuration) -> Option<Opened> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(echo).filter(|opened| now.duration_since(opened.at) <= within).copied()
    }

    /// Whether words opened more tickets in a row than they may, whoever says them.
    pub(super) fn is_endless(&self, opened: &Opened) -> bool {
        opened.count >= self.cap.count.saturating_mul(ANYBODY)
    }

    /// Remembers a mail that was filed.
    pub(super) fn remember(&self, sight: Sight, now: Timestamp) {
        let (look, ticket) = sight.look;
        self.count(look, ticket, now);
        if let Some((echo, ticket)) = sight.opened {
            let before = self.opened(&echo, now, AT_ONCE).map_or(0, |opened| opened.count);
            let mut known = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            make_room(&mut known, |opened| opened.at);
            known.insert(echo, Opened { ticket, count: before.saturating_add(1), at: now });
        }
    }

    fn count(&self, look: Look, ticket: TicketId, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut seen, |seen| seen.since);
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

/// Forgets the older half of what is full.
fn make_room<K, V>(map: &mut HashMap<K, V>, at: impl Fn(&V) -> Timestamp) {
    if map.len() >= MOST {
        let mut times: Vec<_> = map.values().map(&at).collect();
        let (_, median, _) = times.select_nth_unstable(MOST / 2);
        let median = *median;
        map.retain(|_, value| at(value) > median);
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
