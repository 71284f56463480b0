//! Which servers take a domain's mail (RFC 5321 §5.1, RFC 7505), which of them we talk to, and how safe
//! the line to each must be.
//!
//! What the DNS says is whatever the domain's owner wants it to say: lists are bounded, we are never
//! sent to ourselves, and never to an address that no server of the internet has. Nothing is kept
//! here: the resolver remembers.
//!
//! A host is talked to as its zone wants it (DANE, RFC 7672), else as the domain's policy wants it
//! (MTA-STS, RFC 8461), else opportunistically. One that can't be used as they want is left out.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Outcome, Reply};
use super::dane::Dane;
use super::mta_sts::{Known, Policies};
use super::names::{Located, Lost, Names, Said, absolute, host};
use super::route::{NextHop, Place, Protocol, Security};
use super::tally::Tally;
use crate::config::Direct;
use crate::desk::mta_sts::{Mode, Policy};
use crate::desk::tls_report::{FailureKind, TlsFailure};
use crate::net::validator::Validator;

/// The most hosts of one domain that are looked at, the most preferred.
const MOST_HOSTS: usize = 8;
/// The most addresses of one host that are tried.
const MOST_ADDRESSES: usize = 6;
/// How long all questions about one domain may take, unless [`Finder::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Finds the servers of domains.
pub struct Finder {
    names: Names,
    policies: Option<Policies>,
    tally: Option<Arc<Tally>>,
    direct: Direct,
    ourselves: Ourselves,
    random: Box<dyn Fn() -> u64 + Send + Sync>,
    deadline: Duration,
}

/// By what we know ourselves.
#[derive(Clone, Debug)]
pub struct Ourselves {
    /// In lower case.
    pub hostname: String,
    /// Where we take mail.
    pub listens: Vec<SocketAddr>,
}

/// A mail server of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exchange {
    preference: u16,
    /// In lower case, without the final dot.
    host: String,
}

/// The mail servers of a domain.
struct Exchanges {
    list: Vec<Exchange>,
    /// That these are its servers is authentic.
    authentic: bool,
    /// The name servers named them, or denied that there are any but the domain itself.
    sure: bool,
}

/// What became of the question for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// Here, in the order to try them; and what its zone says of its certificate.
    At(Vec<SocketAddr>, Option<(String, Vec<TLSA>)>),
    /// It is this daemon.
    Us,
    /// Mail can't be sent there.
    Lost(Lost),
}

/// Why hosts of a domain are left out, the last of each kind.
#[derive(Default)]
struct Missing {
    /// The line to it is not as its zone or the domain wants it.
    not_safe: Option<String>,
    /// Where it is, is not known.
    unknown: Option<String>,
    /// Mail can't be sent there.
    nowhere: Option<String>,
}

impl Missing {
    /// What it means where nobody is left. It is for ever only where all of it is, and the name servers
    /// are `sure` of whom they named.
    fn outcome(self, domain: &str, sure: bool) -> Outcome {
        match (self.not_safe, self.unknown, self.nowhere) {
            (Some(why), ..) => {
                let text = format!("no mail server of {domain} may be used: {why}");
                Outcome::RouteDown(Reply::ours_with([4, 7, 0], text))
            }
            (None, Some(why), _) => later(format!("no address for a mail server of {domain}: {why}")),
            (None, None, _) if !sure => {
                later(format!("the name servers of {domain} neither name its mail servers nor deny that it has any"))
            }
            (None, None, why) => {
                let why = why.unwrap_or_default();
                never([5, 4, 4], format!("no mail server of {domain} can be reached: {why}"))
            }
        }
    }
}

impl Finder {
    /// `random` puts equally preferred hosts in an order.
    pub fn new(
        resolver: TokioResolver,
        direct: Direct,
        ourselves: Ourselves,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let names = Names::new(resolver);
        Self { names, policies: None, tally: None, direct, ourselves, random: Box::new(random), deadline: DEADLINE }
    }

    /// Asking a validating name server for all of it, and keeping to DANE (RFC 7672).
    #[must_use]
    pub fn with_validator(mut self, validator: Validator) -> Self {
        self.names = self.names.with_validator(validator);
        self
    }

    /// Keeping to the policies of domains (RFC 8461).
    #[must_use]
    pub fn with_policies(mut self, policies: Policies) -> Self {
        self.policies = Some(policies);
        self
    }

    /// Counting what went wrong, for reports (RFC 8460).
    #[must_use]
    pub fn with_tally(mut self, tally: Arc<Tally>) -> Self {
        self.tally = Some(tally);
        self
    }

    /// Who counts.
    #[must_use]
    pub fn tally(&self) -> Option<&Tally> {
        self.tally.as_deref()
    }

    /// Who knows the policies of domains.
    #[must_use]
    pub fn policies(&self) -> Option<&Policies> {
        self.policies.as_ref()
    }

    /// With another limit for all questions about one domain.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The servers of a domain, which is in A-labels, in the order to try them: at least one.
    ///
    /// # Errors
    /// What it means for mail to the domain: [`Outcome::Failed`] where there never will be a server,
    /// [`Outcome::RouteDown`] where there is none now.
    pub async fn hops(&self, domain: &str) -> Result<Vec<NextHop>, Outcome> {
        self.find_in_time(domain, true).await
    }

    /// The same, whatever the domain or its servers ask of the line.
    ///
    /// # Errors
    /// As [`Self::hops`].
    pub async fn hops_anyhow(&self, domain: &str) -> Result<Vec<NextHop>, Outcome> {
        self.find_in_time(domain, false).await
    }

    /// The texts of a name's TXT records.
    ///
    /// # Errors
    /// What went wrong: nothing is known.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        match timeout(self.deadline, self.names.texts(name)).await {
            Ok(texts) => texts,
            Err(_) => Err("the name servers did not answer in time".to_owned()),
        }
    }

    async fn find_in_time(&self, domain: &str, safely: bool) -> Result<Vec<NextHop>, Outcome> {
        match timeout(self.deadline, self.find(domain, safely)).await {
            Ok(found) => found,
            Err(_) => Err(later(format!("the name servers of {domain} did not answer in time"))),
        }
    }

    /// `safely`: as the domain and its servers ask for.
    async fn find(&self, domain: &str, safely: bool) -> Result<Vec<NextHop>, Outcome> {
        let Exchanges { list: exchanges, authentic, sure } = self.exchanges(domain).await?;
        let is_us = |exchange: &Exchange| exchange.host == self.ourselves.hostname;
        let mut hosts = before_us(in_order(exchanges, &self.random), |exchange| exchange, is_us);
        if hosts.is_empty() {
            return Err(loops(domain));
        }
        hosts.truncate(MOST_HOSTS);
        let mut lookups = JoinSet::new();
        for (place, exchange) in hosts.iter().enumerate() {
            let (names, host) = (self.names.clone(), exchange.host.clone());
            lookups.spawn(async move { (place, names.locate(&host, authentic && safely).await) });
        }
        let policy = async {
            match &self.policies {
                Some(policies) if safely => policies.of(domain).await,
                _ => Ok(Known::default()),
            }
        };
        let (mut answers, known) = tokio::join!(lookups.join_all(), policy);
        let known = known.map_err(|error| later(format!("the policies of domains can't be read: {error}")))?;
        if let Some(failure) = &known.failure {
            self.count(domain, &Security::MtaSts(no_policy()), &Policy::host(domain), failure);
        }
        // In the order of the hosts, whichever answered first.
        answers.sort_by_key(|(place, _)| *place);
        let judged = hosts.into_iter().zip(answers.into_iter().map(|(_, answer)| self.judge(answer)));
        let kept = before_us(judged.collect(), |(exchange, _)| exchange, |(_, found)| *found == Found::Us);
        if kept.is_empty() {
            return Err(loops(domain));
        }
        let mut hops = Vec::new();
        let mut missing = Missing::default();
        for (exchange, found) in kept {
            let host = exchange.host;
            match found {
                Found::At(addresses, tlsa) => {
                    let dane = tlsa.map(|(base, records)| Dane::new(&base, &host, domain, &records));
                    match self.security(domain, &host, dane, known.policy.as_ref()) {
                        Ok(security) => hops.push(NextHop {
                            protocol: Protocol::Smtp,
                            place: Place::Found(host, addresses),
                            security,
                            credentials: None,
                        }),
                        Err(why) => missing.not_safe = Some(why),
                    }
                }
                Found::Lost(Lost::Unproven(why)) => {
                    let failure = TlsFailure { kind: FailureKind::DnssecInvalid, words: why.clone() };
                    let security = Security::Dane(Arc::new(Dane::new(&host, &host, domain, &[])));
                    self.count(domain, &security, &host, &failure);
                    missing.not_safe = Some(format!("the TLSA records of {host} can't be found: {why}"));
                }
                Found::Lost(Lost::Unknown(why)) => missing.unknown = Some(format!("{host}: {why}")),
                Found::Lost(Lost::Nowhere(why)) => missing.nowhere = Some(format!("{host} {why}")),
                Found::Us => {}
            }
        }
        if hops.is_empty() { Err(missing.outcome(domain, sure)) } else { Ok(hops) }
    }

    /// What is asked of the line to a host: what its zone says counts before what the domain says
    /// (RFC 8461 §2), and TLS with whomever where the zone says nothing that is understood.
    ///
    /// # Errors
    /// Why it can't be used.
    fn security(
        &self,
        domain: &str,
        host: &str,
        dane: Option<Dane>,
        policy: Option<&Arc<Policy>>,
    ) -> Result<Security, String> {
        let dane = match dane {
            Some(dane) if !dane.usable.is_empty() => return Ok(Security::Dane(Arc::new(dane))),
            other => other.map(|dane| Security::Dane(Arc::new(dane))),
        };
        if let Some(unusable) = &dane {
            let words = "no TLSA record is usable".to_owned();
            self.count(domain, unusable, host, &TlsFailure { kind: FailureKind::TlsaInvalid, words });
        }
        let Some(policy) = policy else { return Ok(dane.unwrap_or(Security::Opportunistic)) };
        let sts = Security::MtaSts(Arc::clone(policy));
        let enforced = policy.mode == Mode::Enforce;
        if policy.matches(host) {
            return Ok(if enforced { sts } else { dane.unwrap_or(sts) });
        }
        let words = format!("{host} is not among the servers that the domain's MTA-STS policy names");
        self.count(domain, &sts, host, &TlsFailure { kind: FailureKind::ValidationFailure, words: words.clone() });
        if enforced { Err(words) } else { Ok(dane.unwrap_or(Security::Opportunistic)) }
    }

    fn count(&self, domain: &str, security: &Security, host: &str, failure: &TlsFailure) {
        if let Some(tally) = &self.tally {
            tally.count(domain, security, host, None, Err(failure));
        }
    }

    /// What the domain's MX records say, or the domain itself where there are none.
    async fn exchanges(&self, domain: &str) -> Result<Exchanges, Outcome> {
        let Some(name) = absolute(domain) else {
            return Err(never([5, 1, 2], format!("{domain} is no domain name")));
        };
        // Where there are no MX records, the domain's addresses are of the same zone as their absence.
        let itself = |sure| {
            let list = vec![Exchange { preference: 0, host: domain.to_owned() }];
            Ok(Exchanges { list, authentic: true, sure })
        };
        let (records, authentic) = match self.names.ask(&name, RecordType::MX).await {
            Ok(Said::Records { records, authentic, .. }) => (records, authentic),
            Ok(Said::Nothing { code: ResponseCode::NXDomain, .. }) => {
                return Err(never([5, 1, 2], format!("there is no domain {domain}")));
            }
            Ok(Said::Nothing { sure, .. }) => return itself(sure),
            Err(error) => return Err(later(format!("the mail servers of {domain} can't be found: {error}"))),
        };
        let exchanges = records.iter().filter_map(|data| match data {
            RData::MX(mx) => Some(Exchange { preference: mx.preference, host: host(&mx.exchange) }),
            _ => None,
        });
        let (nulls, exchanges): (Vec<_>, Vec<_>) = exchanges.partition(|exchange| exchange.host.is_empty());
        match (exchanges.is_empty(), nulls.is_empty()) {
            // A null MX beside others means nothing (RFC 7505 §3).
            (false, _) => Ok(Exchanges { list: exchanges, authentic, sure: true }),
            (true, false) => Err(never([5, 1, 10], format!("{domain} takes no mail (null MX)"))),
            (true, true) => itself(true),
        }
    }

    /// Which of a host's addresses mail is sent to.
    fn judge(&self, answer: Result<Located, Lost>) -> Found {
        let Located { addresses, tlsa } = match answer {
            Ok(located) => located,
            Err(lost) => return Found::Lost(lost),
        };
        let at = |address: &IpAddr| SocketAddr::new(*address, self.direct.port);
        if addresses.iter().any(|address| self.ourselves.listen_at(at(address))) {
            return Found::Us;
        }
        let public = |address: &&IpAddr| may_be_elsewhere(**address, self.direct.allow_loopback);
        let public: Vec<_> = addresses.iter().filter(public).map(at).take(MOST_ADDRESSES).collect();
        match (public.is_empty(), addresses.first()) {
            (true, Some(address)) => {
                Found::Lost(Lost::Nowhere(format!("has the address {address}, where no mail is sent")))
            }
            (true, None) => Found::Lost(Lost::Nowhere("has no address".to_owned())),
            (false, _) => Found::At(public, tlsa),
        }
    }
}

impl Ourselves {
    /// Whether whoever connects there talks to this daemon. On all addresses of the machine: to
    /// none but these can a socket be bound.
    fn listen_at(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.listens.iter().filter(|listen| listen.port() == address.port()).any(|listen| {
            listen.ip().to_canonical() == ip || (listen.ip().is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
        })
    }
}

/// By preference, and equally preferred ones in any order (RFC 5321 §5.1).
fn in_order(exchanges: Vec<Exchange>, random: impl Fn() -> u64) -> Vec<Exchange> {
    let mut exchanges: Vec<_> =
        exchanges.into_iter().map(|exchange| (exchange.preference, random(), exchange)).collect();
    exchanges.sort_by_key(|(preference, random, _)| (*preference, *random));
    exchanges.into_iter().map(|(_, _, exchange)| exchange).collect()
}

/// Only those that are preferred to ourselves, who are one of them: what goes to the others comes
/// back to us (RFC 5321 §5.1).
fn before_us<T>(hosts: Vec<T>, exchange: impl Fn(&T) -> &Exchange, is_us: impl Fn(&T) -> bool) -> Vec<T> {
    let preference = |host: &T| exchange(host).preference;
    let ours = hosts.iter().filter(|host| is_us(host)).map(preference).min();
    hosts.into_iter().filter(|host| ours.is_none_or(|ours| preference(host) < ours)).collect()
}

/// What is counted where a policy is announced and can't be had.
fn no_policy() -> Arc<Policy> {
    Arc::new(Policy { mode: Mode::None, mx: Vec::new(), max_age: 0 })
}

/// Whether a mail server of the internet, or of a network of ours, can have the address. Never is it
/// this machine itself, nor whatever a switch or router answers by: who names his own MX could make
/// us talk to services that trust the machine.
pub(super) fn may_be_elsewhere(address: IpAddr, allow_loopback: bool) -> bool {
    match address.to_canonical() {
        ip if ip.is_loopback() => allow_loopback,
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            first != 0 && first < 224 && !ip.is_link_local()
        }
        // What is left of `::/96` is IPv4 in a form that nobody routes (RFC 4291 §2.5.5.1).
        IpAddr::V6(ip) => ip.segments()[..6] != [0; 6] && !ip.is_multicast() && !ip.is_unicast_link_local(),
    }
}

fn loops(domain: &str) -> Outcome {
    never([5, 4, 6], format!("mail for {domain} would come back to us: we are its mail server"))
}

fn never(enhanced: [u8; 3], text: String) -> Outcome {
    Outcome::Failed(Reply::ours_with(enhanced, text))
}

fn later(text: String) -> Outcome {
    Outcome::RouteDown(Reply::ours_with([4, 4, 3], text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(preference: u16, host: &str) -> Exchange {
        Exchange { preference, host: host.to_owned() }
    }

    #[test]
    fn preferred_hosts_come_first_and_equal_ones_in_any_order() {
        let list = vec![exchange(20, "c"), exchange(10, "a"), exchange(20, "d"), exchange(10, "b")];
        let names = |list: Vec<Exchange>| list.into_iter().map(|exchange| exchange.host).collect::<String>();
        let counter = std::cell::Cell::new(0);
        let up = || counter.replace(counter.get() + 1);
        assert_eq!(names(in_order(list.clone(), up)), "abcd");
        let down = || u64::MAX - up();
        assert_eq!(names(in_order(list, down)), "badc");
    }

    #[test]
    fn nobody_is_used_who_is_not_preferred_to_us() {
        let list =
            || vec![exchange(5, "a"), exchange(10, "b"), exchange(10, "us"), exchange(20, "us"), exchange(30, "c")];
        let names = |us: &'static str| {
            before_us(list(), |exchange| exchange, |exchange| exchange.host == us)
                .into_iter()
                .map(|e| e.host)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("us"), ["a"]);
        assert_eq!(names("a"), [""; 0]);
        assert_eq!(names("nobody").len(), 5);
    }

    #[test]
    fn where_no_mail_is_sent() {
        for (address, elsewhere) in [
            ("192.0.2.1", true),
            ("10.1.2.3", true),
            ("192.168.1.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("::ffff:192.0.2.1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::127.0.0.1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("::", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(may_be_elsewhere(address.parse().unwrap(), false), elsewhere, "{address}");
        }
        for (address, expected) in [("127.0.0.1", true), ("::1", true), ("169.254.0.1", false), ("::", false)] {
            assert_eq!(may_be_elsewhere(address.parse().unwrap(), true), expected, "{address}");
        }
    }

    #[test]
    fn we_are_known_by_where_we_listen() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let ourselves = |listen: &str| Ourselves { hostname: "mx.example".to_owned(), listens: vec![at(listen)] };
        for (listen, address, expected) in [
            ("192.0.2.1:25", "192.0.2.1:25", true),
            ("192.0.2.1:25", "[::ffff:192.0.2.1]:25", true),
            ("192.0.2.1:25", "192.0.2.2:25", false),
            ("192.0.2.1:2525", "192.0.2.1:25", false),
            ("[::]:25", "127.0.0.1:25", true),
            ("0.0.0.0:25", "127.0.0.1:25", true),
            ("[::]:25", "192.0.2.1:25", false),
            ("[::]:2525", "127.0.0.1:25", false),
        ] {
            assert_eq!(ourselves(listen).listen_at(at(address)), expected, "{listen} {address}");
        }
    }
}
