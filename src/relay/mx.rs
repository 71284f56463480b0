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
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Outcome, Reply};
use super::dane::Dane;
use super::mta_sts::{Known, Policies};
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

/// Who is asked for names.
#[derive(Clone)]
pub(super) struct Names {
    resolver: TokioResolver,
    /// Asked instead where there is one: it tells what is authentic.
    validator: Option<Validator>,
}

/// What the name servers say of a name.
enum Said {
    /// Records of it, or of what it is an alias of, as that is called; and whether all of it is
    /// authentic.
    Records { records: Vec<RData>, owner: Name, authentic: bool },
    /// There is nothing.
    Nothing(ResponseCode),
}

/// A host as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Located {
    addresses: Vec<IpAddr>,
    /// Its TLSA records, with their base domain; authentic, and at least one.
    tlsa: Option<(String, Vec<TLSA>)>,
}

/// What became of the question for the addresses of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// In the order to try them, and what its zone says of its certificate.
    At(Vec<SocketAddr>, Option<(String, Vec<TLSA>)>),
    /// It is this daemon.
    Us,
    /// It has none that mail is sent to, whenever one asks; why.
    Nowhere(String),
    /// The name servers did not say; why.
    Unknown(String),
    /// Whether its zone asks for something can't be found out; why.
    Unproven(String),
}

impl Finder {
    /// `random` puts equally preferred hosts in an order.
    pub fn new(
        resolver: TokioResolver,
        direct: Direct,
        ourselves: Ourselves,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let names = Names { resolver, validator: None };
        Self { names, policies: None, tally: None, direct, ourselves, random: Box::new(random), deadline: DEADLINE }
    }

    /// Asking a validating name server for all of it, and keeping to DANE (RFC 7672).
    #[must_use]
    pub fn with_validator(mut self, validator: Validator) -> Self {
        self.names.validator = Some(validator);
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
        let (exchanges, authentic) = self.exchanges(domain).await?;
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
            self.count(domain, &Security::MtaSts(no_policy()), &format!("mta-sts.{domain}"), failure);
        }
        // In the order of the hosts, whichever answered first.
        answers.sort_by_key(|(place, _)| *place);
        let judged = hosts.into_iter().zip(answers.into_iter().map(|(_, answer)| self.judge(answer)));
        let kept = before_us(judged.collect(), |(exchange, _)| exchange, |(_, found)| *found == Found::Us);
        if kept.is_empty() {
            return Err(loops(domain));
        }
        let (mut hops, mut unsafe_, mut unknown, mut nowhere) = (Vec::new(), None, None, None);
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
                        Err(why) => unsafe_ = Some(why),
                    }
                }
                Found::Unproven(why) => {
                    let failure = TlsFailure { kind: FailureKind::DnssecInvalid, words: why.clone() };
                    let security = Security::Dane(Arc::new(Dane::new(&host, &host, domain, &[])));
                    self.count(domain, &security, &host, &failure);
                    unsafe_ = Some(format!("the TLSA records of {host} can't be found: {why}"));
                }
                Found::Unknown(why) => unknown = Some(format!("{host}: {why}")),
                Found::Nowhere(why) => nowhere = Some(format!("{host} {why}")),
                Found::Us => {}
            }
        }
        match (hops.is_empty(), unsafe_, unknown, nowhere) {
            (false, ..) => Ok(hops),
            (true, Some(why), ..) => {
                let text = format!("no mail server of {domain} may be used: {why}");
                Err(Outcome::RouteDown(Reply::ours_with([4, 7, 0], text)))
            }
            (true, None, Some(why), _) => Err(later(format!("no address for a mail server of {domain}: {why}"))),
            (true, None, None, why) => {
                let why = why.unwrap_or_default();
                Err(never([5, 4, 4], format!("no mail server of {domain} can be reached: {why}")))
            }
        }
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

    /// What the domain's MX records say, or the domain itself where there are none; and whether that is
    /// authentic.
    async fn exchanges(&self, domain: &str) -> Result<(Vec<Exchange>, bool), Outcome> {
        let Some(name) = absolute(domain) else {
            return Err(never([5, 1, 2], format!("{domain} is no domain name")));
        };
        // Where there are no MX records, the domain's addresses are of the same zone as their absence.
        let itself = || Ok((vec![Exchange { preference: 0, host: domain.to_owned() }], true));
        let (records, authentic) = match self.names.ask(&name, RecordType::MX).await {
            Ok(Said::Records { records, authentic, .. }) => (records, authentic),
            Ok(Said::Nothing(ResponseCode::NXDomain)) => {
                return Err(never([5, 1, 2], format!("there is no domain {domain}")));
            }
            Ok(Said::Nothing(_)) => return itself(),
            Err(error) => return Err(later(format!("the mail servers of {domain} can't be found: {error}"))),
        };
        let exchanges = records.iter().filter_map(|data| match data {
            RData::MX(mx) => Some(Exchange { preference: mx.preference, host: host(&mx.exchange) }),
            _ => None,
        });
        let (nulls, exchanges): (Vec<_>, Vec<_>) = exchanges.partition(|exchange| exchange.host.is_empty());
        match (exchanges.is_empty(), nulls.is_empty()) {
            // A null MX beside others means nothing (RFC 7505 §3).
            (false, _) => Ok((exchanges, authentic)),
            (true, false) => Err(never([5, 1, 10], format!("{domain} takes no mail (null MX)"))),
            (true, true) => itself(),
        }
    }

    /// Which of a host's addresses mail is sent to.
    fn judge(&self, answer: Result<Located, Found>) -> Found {
        let Located { addresses, tlsa } = match answer {
            Ok(located) => located,
            Err(found) => return found,
        };
        let at = |address: &IpAddr| SocketAddr::new(*address, self.direct.port);
        if addresses.iter().any(|address| self.ourselves.listen_at(at(address))) {
            return Found::Us;
        }
        let public = |address: &&IpAddr| may_be_elsewhere(**address, self.direct.allow_loopback);
        let public: Vec<_> = addresses.iter().filter(public).map(at).take(MOST_ADDRESSES).collect();
        match (public.is_empty(), addresses.first()) {
            (true, Some(address)) => Found::Nowhere(format!("has the address {address}, where no mail is sent")),
            (true, None) => Found::Nowhere("has no address".to_owned()),
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

impl Names {
    pub(super) fn new(resolver: TokioResolver) -> Self {
        Self { resolver, validator: None }
    }

    /// # Errors
    /// What went wrong: nothing is known.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Said, String> {
        let (code, answers, authentic) = match &self.validator {
            Some(validator) => {
                let answer = validator.ask(name, kind).await.map_err(|error| error.to_string())?;
                (answer.code, answer.records, answer.authentic)
            }
            None => match self.resolver.lookup(name.clone(), kind).await {
                Ok(lookup) => (ResponseCode::NoError, lookup.answers().to_vec(), false),
                Err(error) => match no_records(&error) {
                    Some(code) => (code, Vec::new(), false),
                    None => return Err(error.to_string()),
                },
            },
        };
        let owner = canonical(&answers, name);
        let of_owner = answers.iter().filter(|record| record.name == owner);
        let records: Vec<_> = of_owner.map(|record| record.data.clone()).collect();
        match records.is_empty() {
            true if code == ResponseCode::NXDomain => Ok(Said::Nothing(code)),
            true if answers.is_empty() => Ok(Said::Nothing(code)),
            _ => Ok(Said::Records { records, owner, authentic }),
        }
    }

    /// A host's addresses, IPv6 and IPv4 in turn, so that a family that leads nowhere costs one wait;
    /// and its TLSA records, where the MX that names it is `authentic`.
    async fn locate(&self, host: &str, authentic: bool) -> Result<Located, Found> {
        // An MX names a host (RFC 1035 §3.3.9), and `192.0.2.1.` is none.
        if host.parse::<IpAddr>().is_ok() {
            return Err(Found::Nowhere("is an address, and an MX must name a host".to_owned()));
        }
        let Some(name) = absolute(host) else { return Err(Found::Nowhere("is no host name".to_owned())) };
        let (six, four) = tokio::join!(self.ask(&name, RecordType::AAAA), self.ask(&name, RecordType::A));
        let mut unknown = None;
        // The host's own name, as its aliases lead there authentically.
        let (mut owner, mut proven) = (None, true);
        let mut of = |said: Result<Said, String>| match said {
            Ok(Said::Records { records, owner: at, authentic }) => {
                let addresses: Vec<_> = records.iter().filter_map(ip).collect();
                if !addresses.is_empty() {
                    proven &= authentic;
                    owner = Some(at);
                }
                addresses
            }
            Ok(Said::Nothing(_)) => Vec::new(),
            Err(error) => {
                unknown = Some(error);
                Vec::new()
            }
        };
        let (six, four): (Vec<_>, Vec<_>) = (of(six), of(four));
        let mut addresses = Vec::new();
        for turn in 0..six.len().max(four.len()) {
            addresses.extend(six.get(turn).into_iter().chain(four.get(turn)));
        }
        if let (Some(why), true) = (unknown, addresses.is_empty()) {
            return Err(Found::Unknown(why));
        }
        let tlsa = match owner {
            Some(owner) if authentic && self.validator.is_some() => self.tlsa(&name, owner, proven).await?,
            _ => None,
        };
        Ok(Located { addresses, tlsa })
    }

    /// The authentic TLSA records of a host, at its own name or, where it has none, as it is called
    /// (RFC 7672 §2.2.2, §2.2.3). No zone that is not signed is asked for them: some name servers do
    /// not bear it.
    async fn tlsa(&self, called: &Name, owner: Name, proven: bool) -> Result<Option<(String, Vec<TLSA>)>, Found> {
        let mut bases = Vec::new();
        if proven {
            bases.push(owner.clone());
        }
        if owner != *called {
            let alias_is_proven = proven
                || match self.ask(called, RecordType::CNAME).await {
                    Ok(Said::Records { authentic, .. }) => authentic,
                    Ok(Said::Nothing(_)) => false,
                    Err(why) => return Err(Found::Unproven(why)),
                };
            if alias_is_proven {
                bases.push(called.clone());
            }
        }
        for base in bases {
            let base = host(&base);
            let Some(name) = absolute(&format!("_25._tcp.{base}")) else { continue };
            match self.ask(&name, RecordType::TLSA).await {
                Ok(Said::Records { records, authentic: true, .. }) => {
                    let records: Vec<_> = records
                        .into_iter()
                        .filter_map(|data| if let RData::TLSA(tlsa) = data { Some(tlsa) } else { None })
                        .collect();
                    if !records.is_empty() {
                        return Ok(Some((base, records)));
                    }
                }
                Ok(_) => {}
                Err(why) => return Err(Found::Unproven(why)),
            }
        }
        Ok(None)
    }

    /// A host's addresses; none where there is none, or none is told.
    pub(super) async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.locate(host, false).await.map(|located| located.addresses).unwrap_or_default()
    }

    /// The texts of a name's TXT records (RFC 1035 §3.3.14).
    ///
    /// # Errors
    /// What went wrong: nothing is known.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let Some(name) = absolute(name) else { return Ok(Vec::new()) };
        let Said::Records { records, .. } = self.ask(&name, RecordType::TXT).await? else { return Ok(Vec::new()) };
        let text = |data: RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(records.into_iter().filter_map(text).collect())
    }
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// What a name is an alias of, by these records; itself, where it is none.
fn canonical(answers: &[Record], name: &Name) -> Name {
    let mut owner = name;
    // No more aliases than there are answers: a ring ends.
    for _ in answers {
        let alias = answers.iter().filter(|record| record.name == *owner).find_map(|record| match &record.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
        let Some(target) = alias else { break };
        owner = target;
    }
    owner.clone()
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

pub(super) fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn host(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// The name servers' word that there is nothing; `None`: they did not say.
fn no_records(error: &NetError) -> Option<ResponseCode> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            Some(none.response_code).filter(|code| matches!(code, ResponseCode::NoError | ResponseCode::NXDomain))
        }
        _ => None,
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
