//! The records that the domains of a desk need, without asking anybody.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::config::{Config, Domain, Relay, Tls};
use crate::desk::mta_sts::{Announcement, Policy};
use crate::trust::blocklist::reversed;
use crate::trust::keys::Algorithm;
use crate::trust::ring::{Key, KeyState, Ring, until};

/// How much depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it mail is lost, or refused by many.
    Required,
    /// Without it something works less well, or is proven less well.
    Recommended,
    /// For whoever wants what it gives.
    Optional,
}

/// A record that should be in the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The domain that it is for: one of ours, or that of a property's public address.
    pub domain: String,
    /// The full name, without a final dot.
    pub name: String,
    pub want: Want,
    pub need: Need,
    pub purpose: String,
}

/// What a record must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The host has this address; `sure`: because the configuration says so.
    Address { address: IpAddr, sure: bool },
    /// The host has an address. Nothing here tells which: this machine stands behind another.
    AnyAddress,
    /// The host takes the domain's mail.
    Exchange { host: String },
    /// Mail from these addresses passes SPF. Empty: nothing here tells which they are.
    Spf { value: String, senders: Vec<IpAddr> },
    /// Others may check by it what a key signed.
    Key { value: String, public: String, algorithm: Algorithm },
    /// There is a DMARC policy.
    Dmarc { value: String },
    /// The MTA-STS policy is announced.
    Announcement { announcement: Announcement },
    /// The name is another one for the host.
    Alias { host: String },
    /// TLS reports are wanted.
    Reports { value: String },
    /// Mail clients find the host.
    Service { host: String, port: u16 },
    /// Mail clients don't look for what is not there (RFC 6186 §3.4).
    NoService,
    /// The address's reverse name is the host's.
    Pointer { host: String, address: IpAddr },
}

impl Expected {
    /// `A`, `MX`, `TXT`, ….
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.want {
            Want::Address { address: IpAddr::V6(_), .. } => "AAAA",
            Want::Address { .. } | Want::AnyAddress => "A",
            Want::Exchange { .. } => "MX",
            Want::Spf { .. }
            | Want::Key { .. }
            | Want::Dmarc { .. }
            | Want::Announcement { .. }
            | Want::Reports { .. } => "TXT",
            Want::Alias { .. } => "CNAME",
            Want::Service { .. } | Want::NoService => "SRV",
            Want::Pointer { .. } => "PTR",
        }
    }

    /// What to publish, names without a final dot, but for that of the root; empty where the operator alone knows.
    #[must_use]
    pub fn value(&self) -> String {
        match &self.want {
            Want::Address { address, .. } => address.to_string(),
            Want::AnyAddress => String::new(),
            Want::Exchange { host } => format!("10 {host}"),
            Want::Spf { value, .. } | Want::Key { value, .. } | Want::Dmarc { value } | Want::Reports { value } => {
                value.clone()
            }
            Want::Announcement { announcement } => announcement.to_string(),
            Want::Alias { host } | Want::Pointer { host, .. } => host.clone(),
            Want::Service { host, port } => format!("0 1 {port} {host}"),
            Want::NoService => "0 0 0 .".to_owned(),
        }
    }
}

/// Where mail comes in and goes out, as far as it can be known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The addresses that other servers find us at.
    pub host: Vec<IpAddr>,
    /// Whether the configuration names them.
    pub host_sure: bool,
    /// The addresses that our connections come from.
    pub senders: Vec<IpAddr>,
}

/// A domain in whose name mail goes out for a property, without being ours.
pub struct PublicDomain<'a> {
    pub ring: &'a Ring,
    /// The public addresses in it.
    pub addresses: Vec<String>,
}

/// The records of the host and of each of our domains. `rings` has one for every domain.
pub fn of_ours(
    config: &Config,
    places: &Places,
    policy: Option<&Policy>,
    rings: &[&Ring],
    now: Timestamp,
) -> Vec<Expected> {
    let mut records = of_host(config, places);
    for (domain, ring) in config.domains.iter().zip(rings) {
        of_domain(&mut records, config, places, policy, domain, ring, now);
    }
    records
}

/// Who receives TLS reports (RFC 8460) about a domain of ours.
#[must_use]
pub fn reports_to(domain: &str) -> String {
    format!("postmaster@{domain}")
}

fn of_host(config: &Config, places: &Places) -> Vec<Expected> {
    let domain = config.first_domain().to_string();
    let hostname = config.hostname.to_string();
    let helo = config.egress.helo.as_ref().unwrap_or(&config.hostname).to_string();
    let record = |name: String, want, need, purpose: &str| Expected {
        domain: domain.clone(),
        name,
        want,
        need,
        purpose: purpose.to_owned(),
    };
    let mut records = Vec::new();
    let purpose = "where this machine is found";
    if places.host.is_empty() {
        let purpose = "where this machine is found: its public IPv4 address, and an AAAA record for IPv6";
        records.push(record(hostname.clone(), Want::AnyAddress, Need::Required, purpose));
    }
    for address in &places.host {
        let want = Want::Address { address: *address, sure: places.host_sure };
        records.push(record(hostname.clone(), want, Need::Required, purpose));
    }
    if matches!(config.relay, Relay::Smarthost(_)) {
        return records;
    }
    let sends = matches!(config.relay, Relay::Direct(_));
    let need = if sends { Need::Required } else { Need::Recommended };
    if helo != hostname {
        for address in &places.senders {
            let want = Want::Address { address: *address, sure: true };
            records.push(record(
                helo.clone(),
                want,
                need,
                "the name that we send under has the address that we send from",
            ));
        }
    }
    for address in &places.senders {
        let want = Want::Pointer { host: helo.clone(), address: *address };
        let purpose = "servers refuse mail from addresses without a name; whoever gave you the address sets it";
        records.push(record(reverse_name(*address), want, need, purpose));
    }
    if !config.domains.iter().any(|domain| domain.as_str() == helo) {
        let value = spf("a", config, "-all");
        let want = Want::Spf { value, senders: places.senders.clone() };
        let purpose = "who may send under this name: acknowledgements have no other sender (RFC 7208, 2.4)";
        records.push(record(helo, want, Need::Recommended, purpose));
    }
    records
}

fn of_domain(
    records: &mut Vec<Expected>,
    config: &Config,
    places: &Places,
    policy: Option<&Policy>,
    domain: &Domain,
    ring: &Ring,
    now: Timestamp,
) {
    let host = || config.hostname.to_string();
    let mut add = |name: String, want, need, purpose: &str| {
        records.push(Expected { domain: domain.to_string(), name, want, need, purpose: purpose.to_owned() });
    };
    let name = domain.to_string();
    add(name.clone(), Want::Exchange { host: host() }, Need::Required, "mail for the domain comes to this machine");
    let (value, senders, purpose) = match &config.relay {
        Relay::Capture { .. } | Relay::Direct(_) => {
            (spf("mx", config, "-all"), places.senders.clone(), "only this machine may send for the domain")
        }
        Relay::Smarthost(_) => (
            spf("mx", config, "~all"),
            Vec::new(),
            "who may send for the domain; put in what the smarthost's operator asks for",
        ),
    };
    add(name, Want::Spf { value, senders }, Need::Required, purpose);
    of_ring(records, ring, None, now);
    let mut add = |name: String, want, need, purpose: &str| {
        records.push(Expected { domain: domain.to_string(), name, want, need, purpose: purpose.to_owned() });
    };
    let dmarc = Want::Dmarc { value: "v=DMARC1; p=quarantine".to_owned() };
    let purpose = "mail in the domain's name without our signature is suspect";
    add(format!("_dmarc.{domain}"), dmarc, Need::Recommended, purpose);
    if let Some(policy) = policy {
        let alias = Want::Alias { host: host() };
        add(Policy::host(domain.as_str()), alias, Need::Recommended, "where others fetch the MTA-STS policy, from us");
        let want = Want::Announcement { announcement: policy.announcement() };
        let purpose = "there is an MTA-STS policy; another policy has another id";
        add(format!("_mta-sts.{domain}"), want, Need::Recommended, purpose);
    }
    let reports = Want::Reports { value: format!("v=TLSRPTv1; rua=mailto:{}", reports_to(domain.as_str())) };
    add(format!("_smtp._tls.{domain}"), reports, Need::Optional, "others report when their mail to us fails for TLS");
    of_services(records, config, domain);
}

/// The records by which a mail client that knows an address of the domain finds the servers that it
/// reads from and sends by (RFC 6186, RFC 8314 §5.1).
fn of_services(records: &mut Vec<Expected>, config: &Config, domain: &Domain) {
    let (imap, submission) = (&config.imap, &config.submission);
    let services = [
        ("_imaps", &imap.listen_tls, "mail clients find where to read"),
        ("_imap", &imap.listen, "mail clients find where to read"),
        ("_submissions", &submission.listen_tls, "mail clients find where to send"),
        ("_submission", &submission.listen, "mail clients find where to send"),
    ];
    // Where no client is served, none comes.
    if services.iter().all(|(_, listen, _)| listen.is_empty()) {
        return;
    }
    for (service, listen, purpose) in services {
        let (want, purpose) = match listen.first() {
            Some(listen) => {
                (Want::Service { host: config.hostname.to_string(), port: listen.port() }, purpose.to_owned())
            }
            None => (Want::NoService, "mail clients do not look for it: it is off here".to_owned()),
        };
        let name = format!("{service}._tcp.{domain}");
        records.push(Expected { domain: domain.to_string(), name, want, need: Need::Optional, purpose });
    }
}

/// The records that lead the mail clients of a domain's people here, as `tls.autoconfig` wants it.
pub fn of_clients(records: &mut Vec<Expected>, config: &Config, domain: &Domain) {
    let host = || config.hostname.to_string();
    let mut add = |name: String, want, need, purpose: &str| {
        records.push(Expected { domain: domain.to_string(), name, want, need, purpose: purpose.to_owned() });
    };
    let [autoconfig, autodiscover] = Tls::client_hosts(domain);
    let alias = || Want::Alias { host: host() };
    add(autoconfig, alias(), Need::Recommended, "where Thunderbird and others ask for the servers of an address");
    add(autodiscover, alias(), Need::Recommended, "where Outlook asks for them");
    let port = config.web.listen_tls.first().map_or(443, std::net::SocketAddr::port);
    let want = Want::Service { host: host(), port };
    add(format!("_autodiscover._tcp.{domain}"), want, Need::Optional, "where Outlook asks besides");
    of_services(records, config, domain);
}

/// The records of a domain of public addresses, which has its mail elsewhere.
pub fn of_public(records: &mut Vec<Expected>, config: &Config, public: &PublicDomain<'_>, now: Timestamp) {
    let domain = public.ring.domain().to_owned();
    let addresses = public.addresses.join(", ");
    of_ring(records, public.ring, Some(&addresses), now);
    let mut add = |name: String, want, purpose: String| {
        records.push(Expected { domain: domain.clone(), name, want, need: Need::Optional, purpose });
    };
    let value = format!("v=spf1 include:{} ~all", config.first_domain());
    let purpose =
        "a hint only, since bounces come back to the desk's own domain: add its include: to the record that is there"
            .to_owned();
    add(domain.clone(), Want::Spf { value, senders: Vec::new() }, purpose);
    let value = "v=DMARC1; p=none".to_owned();
    let purpose = "mail from here passes any policy once the keys above are published, relaxed or strict".to_owned();
    add(format!("_dmarc.{domain}"), Want::Dmarc { value }, purpose);
}

/// The records of keys. `addresses`: those that the domain is for, where it is not ours.
fn of_ring(records: &mut Vec<Expected>, ring: &Ring, addresses: Option<&str>, now: Timestamp) {
    for key in ring.keys() {
        let Some(record) = ring.record(key) else { continue };
        let (need, purpose) = match (key.state, addresses) {
            (KeyState::Active, None) => (Need::Required, "verifies the signature of what we send".to_owned()),
            (KeyState::Active, Some(addresses)) => {
                (Need::Recommended, format!("proves that mail from here may come from {addresses}"))
            }
            (KeyState::New, Some(addresses)) if !ring.signs() => {
                (Need::Recommended, format!("once it is there, contacts see {addresses} in From"))
            }
            (KeyState::New, _) => (Need::Recommended, "the next key: signs from when this is seen".to_owned()),
            (KeyState::Old, _) if now < until(key) => (Need::Recommended, kept(key)),
            (KeyState::Old | KeyState::Retired, _) => continue,
        };
        let want = Want::Key { value: record.value, public: key.public.clone(), algorithm: key.algorithm };
        records.push(Expected { domain: ring.domain().to_owned(), name: record.name, want, need, purpose });
    }
}

fn kept(key: &Key) -> String {
    format!("keep it until {}: mail that this key signed is under way", until(key).strftime("%F"))
}

/// Who may send, where this machine does it alone: the sources of its connections, where they are
/// configured (RFC 7208 §5.6), besides the addresses that `first` stands for.
fn spf(first: &str, config: &Config, all: &str) -> String {
    let sources = config.egress.source.iter().map(|source| match source {
        IpAddr::V4(v4) => format!(" ip4:{v4}"),
        IpAddr::V6(v6) => format!(" ip6:{v6}"),
    });
    format!("v=spf1 {first}{} {all}", sources.collect::<String>())
}

/// The name that has an address's PTR record (RFC 1035 §3.5, RFC 3596 §2.5).
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    let zone = if address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    format!("{}.{zone}", reversed(address))
}
