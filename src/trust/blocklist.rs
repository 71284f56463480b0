//! DNS blocklists (RFC 5782): whether one of them names a client.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How long all lists together may take to answer, unless [`Blocklists::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer is remembered, also that there was none: a session asks for each recipient.
const REMEMBERED: Duration = Duration::from_mins(5);
/// The most answers that are remembered; past it all are forgotten.
const MOST: usize = 10_000;

/// The lists that are asked.
pub struct Blocklists {
    resolver: TokioResolver,
    zones: Vec<String>,
    deadline: Duration,
    known: Mutex<HashMap<IpAddr, (Instant, Option<String>)>>,
}

impl Blocklists {
    /// Lists by their zones, as in `zen.example.org`.
    #[must_use]
    pub fn new(resolver: TokioResolver, zones: Vec<String>) -> Self {
        Self { resolver, zones, deadline: DEADLINE, known: Mutex::default() }
    }

    /// With another limit for all lists together.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The first list, in the order of the configuration, that names a client. A list that does not
    /// answer in time, or answers that it is not to be asked, names nobody.
    pub async fn naming(&self, client: IpAddr) -> Option<String> {
        let client = client.to_canonical();
        if self.zones.is_empty() || !is_public(client) {
            return None;
        }
        let known = self.lock().get(&client).cloned();
        if let Some((asked, answer)) = known
            && asked.elapsed() < REMEMBERED
        {
            return answer;
        }
        let answer = self.ask(client).await;
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(client, (Instant::now(), answer.clone()));
        answer
    }

    async fn ask(&self, client: IpAddr) -> Option<String> {
        let reversed = reversed(client);
        let mut asked = JoinSet::new();
        for (place, zone) in self.zones.iter().enumerate() {
            let (resolver, name) = (self.resolver.clone(), format!("{reversed}.{zone}."));
            asked.spawn(async move {
                let answer = resolver.ipv4_lookup(name).await;
                let listed = answer.is_ok_and(|answer| {
                    answer
                        .answers()
                        .iter()
                        .any(|record| matches!(&record.data, RData::A(address) if is_listing(address.0)))
                });
                listed.then_some(place)
            });
        }
        let mut first: Option<usize> = None;
        let all = async {
            while let Some(answer) = asked.join_next().await {
                if let Ok(Some(place)) = answer {
                    first = Some(first.map_or(place, |known| known.min(place)));
                }
            }
        };
        if timeout(self.deadline, all).await.is_err() {
            tracing::warn!(%client, "a blocklist did not answer in time");
        }
        first.map(|place| self.zones[place].clone())
    }

    /// An answer is put in whole, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (Instant, Option<String>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer says that the client is listed. In 127.255.255.0/24 lists say that we are not
/// to ask, and what is outside 127.0.0.0/8 was said by somebody else than the list (RFC 5782 §2.1).
fn is_listing(answer: Ipv4Addr) -> bool {
    answer.is_loopback() && answer.octets()[..3] != [127, 255, 255]
}

/// Octets or nibbles, the last first (RFC 5782 §2.1, §2.4).
pub fn reversed(client: IpAddr) -> String {
    match client {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(address) => {
            let mut name = String::with_capacity(63);
            for octet in address.octets().iter().rev() {
                let dot = if name.is_empty() { "" } else { "." };
                let _ = write!(name, "{dot}{:x}.{:x}", octet & 0xf, octet >> 4);
            }
            name
        }
    }
}

/// Whether an address is one of the public Internet: nobody outside is told of any other, and no list
/// knows it.
#[must_use]
pub fn is_public(client: IpAddr) -> bool {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || shared)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_address_backwards() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        assert_eq!(
            reversed("2001:db8:1:2:3:4:567:89ab".parse().unwrap()),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        );
    }

    #[test]
    fn only_public_addresses_are_asked_about() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["192.0.2.1", "8.8.8.8", "100.128.0.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_answer_that_is_none_lists_nobody() {
        for (answer, listed) in
            [("127.0.0.2", true), ("127.0.0.10", true), ("127.255.255.254", false), ("192.0.2.1", false)]
        {
            assert_eq!(is_listing(answer.parse().unwrap()), listed, "{answer}");
        }
    }
}
