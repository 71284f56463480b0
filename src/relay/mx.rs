//! Which servers take a domain's mail (RFC 5321 §5.1, RFC 7505), and which of them we talk to.
//!
//! What the DNS says is whatever the domain's owner wants it to say: lists are bounded, we are never
//! sent to ourselves, and never to an address that no server of the internet has. Nothing is kept
//! here: the resolver remembers. Every host is talked to opportunistically; a policy that wants more of
//! the line (MTA-STS, DANE) would put its [`Security`] into the hops that leave here.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Outcome, Reply};
use super::route::{NextHop, Place, Protocol, Security};
use crate::config::Direct;

/// The most hosts of one domain that are looked at, the most preferred.
const MOST_HOSTS: usize = 8;
/// The most addresses of one host that are tried.
const MOST_ADDRESSES: usize = 6;
/// How long all questions about one domain may take, unless [`Finder::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// Finds the servers of domains.
pub struct Finder {
    resolver: TokioResolver,
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
    /// The name servers named them, or denied that there are any but the domain itself.
    sure: bool,
}

/// What became of the question for the addresses of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// In the order to try them.
    At(Vec<SocketAddr>),
    /// It is this daemon.
    Us,
    /// It has none that mail is sent to, whenever one asks; why.
    Nowhere(String),
    /// The name servers did not say; why.
    Unknown(String),
}

impl Finder {
    /// `random` puts equally preferred hosts in an order.
    pub fn new(
        resolver: TokioResolver,
        direct: Direct,
        ourselves: Ourselves,
        random: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { resolver, direct, ourselves, random: Box::new(random), deadline: DEADLINE }
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
        match timeout(self.deadline, self.find(domain)).await {
            Ok(found) => found,
            Err(_) => Err(later(format!("the name servers of {domain} did not answer in time"))),
        }
    }

    async fn find(&self, domain: &str) -> Result<Vec<NextHop>, Outcome> {
        let Exchanges { list: exchanges, sure } = self.exchanges(domain).await?;
        let is_us = |exchange: &Exchange| exchange.host == self.ourselves.hostname;
        let mut hosts = before_us(in_order(exchanges, &self.random), |exchange| exchange, is_us);
        if hosts.is_empty() {
            return Err(loops(domain));
        }
        hosts.truncate(MOST_HOSTS);
        let mut lookups = JoinSet::new();
        for (place, exchange) in hosts.iter().enumerate() {
            let (resolver, host) = (self.resolver.clone(), exchange.host.clone());
            lookups.spawn(async move { (place, addresses(&resolver, &host).await) });
        }
        // In the order of the hosts, whichever answered first.
        let mut answers = lookups.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        let judged = hosts.into_iter().zip(answers.into_iter().map(|(_, answer)| self.judge(answer)));
        let kept = before_us(judged.collect(), |(exchange, _)| exchange, |(_, found)| *found == Found::Us);
        if kept.is_empty() {
            return Err(loops(domain));
        }
        let (mut hops, mut unknown, mut nowhere) = (Vec::new(), None, None);
        for (exchange, found) in kept {
            match found {
                Found::At(addresses) => hops.push(NextHop {
                    protocol: Protocol::Smtp,
                    place: Place::Found(exchange.host, addresses),
                    security: Security::Opportunistic,
                    credentials: None,
                }),
                Found::Unknown(why) => unknown = Some(format!("{}: {why}", exchange.host)),
                Found::Nowhere(why) => nowhere = Some(format!("{} {why}", exchange.host)),
                Found::Us => {}
            }
        }
        match (hops.is_empty(), unknown, nowhere) {
            (false, ..) => Ok(hops),
            (true, Some(why), _) => Err(later(format!("no address for a mail server of {domain}: {why}"))),
            (true, None, _) if !sure => Err(later(format!(
                "the name servers of {domain} neither name its mail servers nor deny that it has any"
            ))),
            (true, None, why) => {
                let why = why.unwrap_or_default();
                Err(never([5, 4, 4], format!("no mail server of {domain} can be reached: {why}")))
            }
        }
    }

    /// What the domain's MX records say, or the domain itself where there are none.
    async fn exchanges(&self, domain: &str) -> Result<Exchanges, Outcome> {
        let itself = |sure| Exchanges { list: vec![Exchange { preference: 0, host: domain.to_owned() }], sure };
        let Some(name) = absolute(domain) else {
            return Err(never([5, 1, 2], format!("{domain} is no domain name")));
        };
        let lookup = match self.resolver.lookup(name.clone(), RecordType::MX).await {
            Ok(lookup) => lookup,
            Err(error) => match no_records(&error) {
                Some(ResponseCode::NXDomain) => {
                    return Err(never([5, 1, 2], format!("there is no domain {domain}")));
                }
                Some(_) => return Ok(itself(is_denied(&error))),
                None => return Err(later(format!("the mail servers of {domain} can't be found: {error}"))),
            },
        };
        let exchanges: Vec<_> = records(&lookup, &name)
            .filter_map(|data| match data {
                RData::MX(mx) => Some(Exchange { preference: mx.preference, host: host(&mx.exchange) }),
                _ => None,
            })
            .collect();
        let (nulls, exchanges): (Vec<_>, Vec<_>) = exchanges.into_iter().partition(|exchange| exchange.host.is_empty());
        match (exchanges.is_empty(), nulls.is_empty()) {
            // A null MX beside others means nothing (RFC 7505 §3).
            (false, _) => Ok(Exchanges { list: exchanges, sure: true }),
            (true, false) => Err(never([5, 1, 10], format!("{domain} takes no mail (null MX)"))),
            (true, true) => Ok(itself(true)),
        }
    }

    /// Which of a host's addresses mail is sent to.
    fn judge(&self, answer: Result<Vec<IpAddr>, Found>) -> Found {
        let addresses = match answer {
            Ok(addresses) => addresses,
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
            (false, _) => Found::At(public),
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

/// A host's addresses, IPv6 and IPv4 in turn, so that a family that leads nowhere costs one wait.
async fn addresses(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, Found> {
    // An MX names a host (RFC 1035 §3.3.9), and `192.0.2.1.` is none.
    if host.parse::<IpAddr>().is_ok() {
        return Err(Found::Nowhere("is an address, and an MX must name a host".to_owned()));
    }
    let Some(name) = absolute(host) else { return Err(Found::Nowhere("is no host name".to_owned())) };
    let (six, four) =
        tokio::join!(resolver.lookup(name.clone(), RecordType::AAAA), resolver.lookup(name.clone(), RecordType::A));
    let mut unknown = None;
    let mut of = |lookup: Result<Lookup, NetError>| match lookup {
        Ok(lookup) => records(&lookup, &name).filter_map(ip).collect(),
        Err(error) => {
            if no_records(&error).is_none() {
                unknown = Some(error.to_string());
            } else if !is_denied(&error) {
                unknown = Some("the name servers neither name an address nor deny that there is one".to_owned());
            }
            Vec::new()
        }
    };
    let (six, four): (Vec<_>, Vec<_>) = (of(six), of(four));
    let mut addresses = Vec::new();
    for turn in 0..six.len().max(four.len()) {
        addresses.extend(six.get(turn).into_iter().chain(four.get(turn)));
    }
    match unknown {
        Some(why) if addresses.is_empty() => Err(Found::Unknown(why)),
        _ => Ok(addresses),
    }
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// What an answer says of a name, or of what it is an alias of.
fn records<'l>(lookup: &'l Lookup, name: &Name) -> impl Iterator<Item = &'l RData> {
    let answers = lookup.answers();
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
    let owner = owner.clone();
    answers.iter().filter(move |record| record.name == owner).map(|record| &record.data)
}

/// Whether a mail server of the internet, or of a network of ours, can have the address. Never is it
/// this machine itself, nor whatever a switch or router answers by: who names his own MX could make
/// us talk to services that trust the machine.
fn may_be_elsewhere(address: IpAddr, allow_loopback: bool) -> bool {
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

fn absolute(name: &str) -> Option<Name> {
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

/// Whether the name servers' word that there is nothing is one about what was asked: that a name does
/// not exist, or has no such records, as who is responsible for it says (RFC 2308 §2.2). An answer about
/// another name, of which nothing is left, says nothing.
fn is_denied(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            none.response_code == ResponseCode::NXDomain || none.soa.is_some()
        }
        _ => false,
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
