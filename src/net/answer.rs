//! One question to the DNS, and which of three things came of it: records, the word that there are
//! none, or no word.

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Records of the name, or of what it is an alias of; at least one.
    Records(Vec<RData>),
    /// The name servers say that there is none.
    Nothing,
    /// They said nothing that counts; why.
    Unknown(String),
}

impl Answer {
    /// What `pick` takes of the records, or why they are not known.
    pub fn picked<T>(&self, pick: impl FnMut(&RData) -> Option<T>) -> Result<Vec<T>, &str> {
        match self {
            Self::Records(records) => Ok(records.iter().filter_map(pick).collect()),
            Self::Nothing => Ok(Vec::new()),
            Self::Unknown(why) => Err(why),
        }
    }

    /// TXT records, each with its strings put together (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
    pub fn texts(&self) -> Result<Vec<String>, &str> {
        self.picked(|data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        })
    }
}

/// Asks for the records of a complete name, with or without its final dot. Records about another name
/// count for nothing, but for what the name is an alias of (RFC 5452 §6).
pub async fn ask(resolver: &TokioResolver, name: &str, kind: RecordType) -> Answer {
    let Ok(mut absolute) = Name::from_ascii(name) else { return Answer::Nothing };
    absolute.set_fqdn(true);
    let unclear = || Answer::Unknown("the name servers neither name any nor deny that there are any".to_owned());
    match resolver.lookup(absolute.clone(), kind).await {
        Ok(lookup) => {
            let records: Vec<_> = of(&lookup, &absolute).filter(|data| data.record_type() == kind).cloned().collect();
            match records.is_empty() {
                false => Answer::Records(records),
                true if names_authority(lookup.authorities()) => Answer::Nothing,
                true => unclear(),
            }
        }
        Err(error) => match denial(&error) {
            Some((_, true)) => Answer::Nothing,
            Some((_, false)) => unclear(),
            None => Answer::Unknown(error.to_string()),
        },
    }
}

/// The name servers' word that there is nothing, and whether it counts: that there is no such name, or
/// that it has no such records, where [who is responsible](names_authority) says so. An answer about
/// another name, of which nothing is left, says neither. `None`: they gave no word.
#[must_use]
pub fn denial(error: &NetError) -> Option<(ResponseCode, bool)> {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return None };
    match none.response_code {
        ResponseCode::NXDomain => Some((ResponseCode::NXDomain, true)),
        ResponseCode::NoError => Some((ResponseCode::NoError, none.soa.is_some())),
        _ => None,
    }
}

/// Whether who is responsible for a name stands beside an answer, as where something is denied
/// (RFC 2308 §2.2).
#[must_use]
pub fn names_authority(authorities: &[Record]) -> bool {
    authorities.iter().any(|record| record.record_type() == RecordType::SOA)
}

/// What an answer says of a name, or of what it is an alias of.
fn of<'l>(lookup: &'l Lookup, name: &Name) -> impl Iterator<Item = &'l RData> {
    let answers = lookup.answers();
    let owner = canonical(answers, name);
    answers.iter().filter(move |record| record.name == owner).map(|record| &record.data)
}

/// What a name is an alias of, by these records; itself, where it is none.
#[must_use]
pub fn canonical(answers: &[Record], name: &Name) -> Name {
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
