//! Questions to the name servers: records of a name and of what it is an alias of, and the addresses
//! and TLSA records of a host.
//!
//! The shared resolver is asked, or in its place a validating name server of this machine, which tells
//! besides what is authentic.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::net::answer::{canonical, denial, names_authority};
use crate::net::validator::Validator;

/// Who is asked for names.
#[derive(Clone)]
pub(super) struct Names {
    resolver: TokioResolver,
    /// Asked instead where there is one.
    validator: Option<Validator>,
}

/// What the name servers say of a name.
pub(super) enum Said {
    /// Records of it, or of what it is an alias of, as that is called, at least one; and whether all of
    /// it is authentic.
    Records { records: Vec<RData>, owner: Name, authentic: bool },
    /// There is nothing; and whether who is responsible for the name says so (RFC 2308 §2.2). An answer
    /// about another name, of which nothing is left, says nothing.
    Nothing { code: ResponseCode, sure: bool },
}

/// A host as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    pub addresses: Vec<IpAddr>,
    /// Its TLSA records, with their base domain; authentic, and at least one.
    pub tlsa: Option<(String, Vec<TLSA>)>,
}

/// Why a host was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It has no address, and never one; why.
    Nowhere(String),
    /// The name servers did not say; why.
    Unknown(String),
    /// Whether its zone asks for something can't be found out; why.
    Unproven(String),
}

impl Names {
    pub(super) fn new(resolver: TokioResolver) -> Self {
        Self { resolver, validator: None }
    }

    /// Asking a validating name server instead.
    pub(super) fn with_validator(self, validator: Validator) -> Self {
        Self { validator: Some(validator), ..self }
    }

    /// # Errors
    /// What went wrong: nothing is known.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Said, String> {
        let (code, answers, authentic, sure) = match &self.validator {
            Some(validator) => {
                let answer = validator.ask(name, kind).await.map_err(|error| error.to_string())?;
                (answer.code, answer.records, answer.authentic, answer.names_authority)
            }
            None => match self.resolver.lookup(name.clone(), kind).await {
                Ok(lookup) => {
                    let sure = names_authority(lookup.authorities());
                    (ResponseCode::NoError, lookup.answers().to_vec(), false, sure)
                }
                Err(error) => match denial(&error) {
                    Some((code, sure)) => (code, Vec::new(), false, sure),
                    None => return Err(error.to_string()),
                },
            },
        };
        // Who asks for an alias does not ask for what it leads to.
        let owner = if kind == RecordType::CNAME { name.clone() } else { canonical(&answers, name) };
        let of_owner = answers.into_iter().filter(|record| record.name == owner);
        let records: Vec<_> = of_owner.map(|record| record.data).collect();
        if records.is_empty() {
            return Ok(Said::Nothing { code, sure: sure || code == ResponseCode::NXDomain });
        }
        Ok(Said::Records { records, owner, authentic })
    }

    /// A host's addresses, IPv6 and IPv4 in turn, so that a family that leads nowhere costs one wait;
    /// and its TLSA records, where the MX that names it is `authentic`.
    pub(super) async fn locate(&self, host: &str, authentic: bool) -> Result<Located, Lost> {
        // An MX names a host (RFC 1035 §3.3.9), and `192.0.2.1.` is none.
        if host.parse::<IpAddr>().is_ok() {
            return Err(Lost::Nowhere("is an address, and an MX must name a host".to_owned()));
        }
        let Some(name) = absolute(host) else { return Err(Lost::Nowhere("is no host name".to_owned())) };
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
            Ok(Said::Nothing { sure: true, .. }) => Vec::new(),
            Ok(Said::Nothing { sure: false, .. }) => {
                unknown = Some("the name servers neither name an address nor deny that there is one".to_owned());
                Vec::new()
            }
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
            return Err(Lost::Unknown(why));
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
    async fn tlsa(&self, called: &Name, owner: Name, proven: bool) -> Result<Option<(String, Vec<TLSA>)>, Lost> {
        let mut bases = Vec::new();
        if proven {
            bases.push(owner.clone());
        }
        if owner != *called {
            let alias_is_proven = proven
                || match self.ask(called, RecordType::CNAME).await {
                    Ok(Said::Records { authentic, .. }) => authentic,
                    Ok(Said::Nothing { .. }) => false,
                    Err(why) => return Err(Lost::Unproven(why)),
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
                Err(why) => return Err(Lost::Unproven(why)),
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

pub(super) fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

pub(super) fn host(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
