//! What the DNS has, held against what it should have; and what our policies' web server sends.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, RecordType};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::{self, Dmarc};

use super::expected::{Expected, Want, reverse_name};
use crate::desk::mta_sts::{Announcement, Policy};
use crate::desk::tls_report::Wish;
use crate::desk::verdict::Outcome;
use crate::net::answer::ask;
use crate::relay::https::{Https, HttpsError};
use crate::relay::mta_sts::{self, FetchError};
use crate::trust::Authenticator;
use crate::trust::keys::Algorithm;

/// What was found of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What the DNS has there; `None` where it has nothing, or did not answer.
    pub found: Option<String>,
    /// Whether it does what it should; `None` where that could not be found out.
    pub ok: Option<bool>,
    /// What to do, or to know.
    pub advice: Option<String>,
}

/// Asks the DNS.
pub struct Checker {
    pub resolver: TokioResolver,
    pub authenticator: Authenticator,
    /// What we call ourselves in EHLO.
    pub helo: String,
    /// The addresses that the DNS has for our host, or why they are not known.
    pub host: Result<Vec<IpAddr>, String>,
}

impl Checker {
    /// Looks for one record.
    pub async fn look(&self, expected: &Expected) -> Finding {
        let name = expected.name.as_str();
        match &expected.want {
            Want::Address { address, sure } => self.address(name, *address, *sure).await,
            Want::AnyAddress => match addresses(&self.resolver, name).await {
                Ok(found) if found.is_empty() => {
                    missing("publish the address that other servers reach this machine at")
                }
                Ok(found) => fine(join(&found)),
                Err(why) => unknown(&why),
            },
            Want::Exchange { host } => self.exchange(name, host).await,
            Want::Spf { senders, value } => self.spf(name, senders, value).await,
            Want::Key { public, algorithm, .. } => match ask(&self.resolver, name, RecordType::TXT).await.texts() {
                Ok(texts) => key(&texts, public, *algorithm),
                Err(why) => unknown(why),
            },
            Want::Dmarc { .. } => self.dmarc(name).await,
            Want::Announcement { announcement } => match self.marked(name, "v=STSv1").await {
                Ok(texts) => one(&texts, |text| match text.parse::<Announcement>() {
                    Ok(found) if found == *announcement => Ok(None),
                    Ok(_) => Err("the id is of another policy: put in the new one".into()),
                    Err(error) => Err(format!("others don't see it: it is {error}")),
                }),
                Err(why) => unknown(&why),
            },
            Want::Alias { host } => self.alias(name, host).await,
            Want::Reports { .. } => match self.marked(name, "v=TLSRPTv1").await {
                Ok(texts) => one(&texts, |text| match Wish::among(&[text]) {
                    Some(_) => Ok(None),
                    None => Err("it names no rua=mailto:… or rua=https://…: nobody gets the reports".into()),
                }),
                Err(why) => unknown(&why),
            },
            Want::Service { host, port } => self.service(name, host, *port).await,
            Want::NoService => match self.services(name).await {
                Err(why) => unknown(&why),
                Ok(found) if found.is_empty() => {
                    missing("publish it: until then mail clients may try other names and ports in vain")
                }
                Ok(found) if found.iter().all(|(.., host)| host.is_empty()) => fine(shown(&found)),
                Ok(found) => differs(shown(&found), "it names a server for what is off here".to_owned()),
            },
            Want::Pointer { host, address } => self.pointer(name, host, *address).await,
        }
    }

    async fn address(&self, name: &str, address: IpAddr, sure: bool) -> Finding {
        let kind = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        match ask(&self.resolver, name, kind).await.picked(ip) {
            Err(why) => unknown(why),
            Ok(found) if found.is_empty() => missing(format!("publish {address}")),
            Ok(found) if found.contains(&address) => fine(join(&found)),
            Ok(found) if sure => differs(join(&found), format!("{address} is missing there")),
            Ok(found) => Finding {
                advice: Some(format!(
                    "this machine itself has {address}: right if something before it takes its mail at the other address"
                )),
                ..fine(join(&found))
            },
        }
    }

    async fn exchange(&self, name: &str, host: &str) -> Finding {
        let answer = ask(&self.resolver, name, RecordType::MX).await;
        let found = answer.picked(|data| match data {
            RData::MX(mx) => Some((mx.preference, host_name(&mx.exchange.to_ascii()))),
            _ => None,
        });
        let mut found = match found {
            Ok(found) => found,
            Err(why) => return unknown(why),
        };
        found.sort();
        let shown =
            found.iter().map(|(preference, host)| format!("{preference} {host}")).collect::<Vec<_>>().join(", ");
        match found.iter().find(|(_, found)| found == host) {
            _ if found.is_empty() => missing("publish it: until then no mail for the domain comes here"),
            None => differs(shown, format!("mail for the domain goes elsewhere: add {host}")),
            Some((ours, _)) if found.iter().any(|(preference, _)| preference < ours) => Finding {
                advice: Some("others are preferred to this machine, and must bring the mail here".to_owned()),
                ..fine(shown)
            },
            Some(_) => fine(shown),
        }
    }

    async fn spf(&self, name: &str, senders: &[IpAddr], value: &str) -> Finding {
        let texts = match ask(&self.resolver, name, RecordType::TXT).await.texts() {
            Ok(texts) => texts,
            Err(why) => return unknown(why),
        };
        let is_spf = |text: &String| {
            let text = text.to_ascii_lowercase();
            text == "v=spf1" || text.starts_with("v=spf1 ")
        };
        let mut records = texts.into_iter().filter(is_spf);
        let Some(found) = records.next() else {
            // Elsewhere it is a hint.
            let hint = senders.is_empty() && value.contains("include:");
            return missing(if hint {
                "publish it"
            } else {
                "publish it: without it other servers doubt mail from here"
            });
        };
        if let Some(second) = records.next() {
            return differs(format!("{found}, {second}"), "two SPF records count as none: make them one".to_owned());
        }
        // Evaluation is more lenient here than elsewhere.
        if let Some(term) = wrong_term(&found) {
            let advice = format!("{term:?} is no term of SPF: other servers treat the record as if it were not there");
            return differs(found, advice);
        }
        // Where mail leaves by another machine, or the domain is not ours, there is nothing to evaluate.
        if senders.is_empty() {
            let includes = value.split(' ').find(|term| term.starts_with("include:"));
            return match includes {
                Some(include) if !found.split(' ').any(|term| term.trim_start_matches('+').eq_ignore_ascii_case(include)) => {
                    Finding { ok: Some(false), found: Some(found), advice: Some(format!("add {include}")) }
                }
                Some(_) => fine(found),
                None => Finding {
                    advice: Some("whether it names the machine that mail leaves by can't be seen from here: `guichet check --send` shows it".to_owned()),
                    ..fine(found)
                },
            };
        }
        let mut wrong = Vec::new();
        for sender in senders {
            match self.authenticator.may_send(*sender, &self.helo, name).await {
                Outcome::Pass => {}
                Outcome::TempError => {
                    return Finding {
                        found: Some(found),
                        ..unknown(&format!("it can't be evaluated for {sender} now"))
                    };
                }
                Outcome::PermError => {
                    wrong.push("it has an error: servers treat it as if it were not there".to_owned());
                }
                _ => {
                    let family = if sender.is_ipv4() { "ip4" } else { "ip6" };
                    wrong.push(format!("it does not let {sender} send: put {family}:{sender} before its all"));
                }
            }
        }
        wrong.dedup();
        if wrong.is_empty() { fine(found) } else { differs(found, wrong.join("; ")) }
    }

    async fn dmarc(&self, name: &str) -> Finding {
        let domain = name.strip_prefix("_dmarc.").unwrap_or(name);
        let texts = match self.marked(name, "v=DMARC1").await {
            Ok(texts) => texts,
            Err(why) => return unknown(&why),
        };
        // The policy of the domain above counts where there is none (RFC 7489 §6.6.3).
        let above = psl::domain_str(domain).filter(|above| *above != domain);
        let (texts, from) = match above {
            Some(above) if texts.is_empty() => match self.marked(&format!("_dmarc.{above}"), "v=DMARC1").await {
                Ok(texts) => (texts, Some(above)),
                Err(why) => return unknown(&why),
            },
            _ => (texts, None),
        };
        let mut finding = one(&texts, |text| match Dmarc::parse(text.as_bytes()) {
            Err(_) => Err("it can't be read, and counts as if it were not there".to_owned()),
            Ok(record) => {
                let policy =
                    if from.is_some() && record.sp != dmarc::Policy::Unspecified { record.sp } else { record.p };
                let weak = matches!(policy, dmarc::Policy::None | dmarc::Policy::Unspecified);
                Ok(weak.then(|| "p=none: others may use the domain's name, and are only reported".to_owned()))
            }
        });
        if let (Some(from), Some(found)) = (from, finding.found.as_mut()) {
            found.push_str(" (of ");
            found.push_str(from);
            found.push(')');
        }
        finding
    }

    async fn alias(&self, name: &str, host: &str) -> Finding {
        match (addresses(&self.resolver, name).await, &self.host) {
            (Err(why), _) => unknown(&why),
            (Ok(found), _) if found.is_empty() => missing("publish it: nobody finds this machine by that name"),
            (Ok(found), Err(why)) => Finding { found: Some(join(&found)), ..unknown(why) },
            (Ok(found), Ok(ours)) if found.iter().any(|address| ours.contains(address)) => fine(join(&found)),
            (Ok(found), Ok(_)) => differs(join(&found), format!("these are not the addresses of {host}")),
        }
    }

    async fn service(&self, name: &str, host: &str, port: u16) -> Finding {
        match self.services(name).await {
            Err(why) => unknown(&why),
            Ok(found) if found.is_empty() => {
                missing("publish it: until then mail clients have to be told the server's name and port")
            }
            Ok(found) => {
                let right = found.iter().any(|(.., found_port, found)| found == host && *found_port == port);
                let shown = shown(&found);
                if right { fine(shown) } else { differs(shown, format!("port {port} of {host} is not among them")) }
            }
        }
    }

    /// The servers of a service.
    async fn services(&self, name: &str) -> Result<Vec<Server>, String> {
        let answer = ask(&self.resolver, name, RecordType::SRV).await;
        let found = answer.picked(|data| match data {
            RData::SRV(srv) => Some((srv.priority, srv.weight, srv.port, host_name(&srv.target.to_ascii()))),
            _ => None,
        });
        found.map_err(str::to_owned)
    }

    async fn pointer(&self, name: &str, host: &str, address: IpAddr) -> Finding {
        debug_assert_eq!(name, reverse_name(address));
        let answer = ask(&self.resolver, name, RecordType::PTR).await;
        let found = answer.picked(|data| match data {
            RData::PTR(ptr) => Some(host_name(&ptr.0.to_ascii())),
            _ => None,
        });
        let found = match found {
            Ok(found) => found,
            Err(why) => return unknown(why),
        };
        let shown = found.join(", ");
        if found.is_empty() {
            return missing(format!("have whoever gave you {address} set its reverse name to {host}"));
        }
        if !found.iter().any(|found| found == host) {
            return differs(shown, format!("have whoever gave you {address} set its reverse name to {host}"));
        }
        match addresses(&self.resolver, host).await {
            Err(why) => unknown(&why),
            Ok(back) if back.contains(&address) => fine(shown),
            Ok(_) => differs(shown, format!("{host} does not have the address {address}: publish that too")),
        }
    }

    /// The TXT records that begin with a version.
    async fn marked(&self, name: &str, version: &str) -> Result<Vec<String>, String> {
        let texts = ask(&self.resolver, name, RecordType::TXT).await.texts().map_err(str::to_owned)?;
        let marked = |text: &String| text.get(..version.len()).is_some_and(|start| start.eq_ignore_ascii_case(version));
        Ok(texts.into_iter().filter(marked).collect())
    }
}

/// Fetches a domain's MTA-STS policy as others do, and holds it against ours.
pub async fn policy(web: &Https, domain: &str, ours: &Policy) -> Finding {
    match mta_sts::fetch(web, domain).await {
        Ok(found) if found == *ours => fine(on_a_line(&found)),
        Ok(found) => {
            let advice = "another policy is there: does this daemon answer at that address, and was it told to reload?";
            differs(on_a_line(&found), advice.to_owned())
        }
        Err(error @ FetchError::Https(HttpsError::NoAddress(_))) => {
            Finding { advice: Some(format!("{error}: publish its record above")), ..Finding::default() }
        }
        // Nobody answered, which may be so from here alone.
        Err(error @ FetchError::Https(HttpsError::Late(_) | HttpsError::Broken(..))) => {
            Finding { advice: Some(error.to_string()), ..Finding::default() }
        }
        Err(error @ FetchError::Https(HttpsError::Connect(..))) => {
            missing(format!("{error}; others need to reach web.listen_tls at port 443"))
        }
        Err(error) => missing(error.to_string()),
    }
}

fn on_a_line(policy: &Policy) -> String {
    policy.to_string().trim_end().replace("\r\n", "; ")
}

/// A host's addresses; an error where one family is not known and the other has none.
pub async fn addresses(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    let (four, six) = tokio::join!(ask(resolver, host, RecordType::A), ask(resolver, host, RecordType::AAAA));
    match (four.picked(ip), six.picked(ip)) {
        (Ok(four), Ok(six)) => Ok([four, six].concat()),
        (Ok(found), Err(why)) | (Err(why), Ok(found)) if found.is_empty() => Err(why.to_owned()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(why), Err(_)) => Err(why.to_owned()),
    }
}

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// The first term of an SPF record that makes the whole of it void (RFC 7208 §4.6.1, §12).
fn wrong_term(record: &str) -> Option<&str> {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let length = |text: &str, most: u8| text.is_empty() || text.parse::<u8>().is_ok_and(|bits| bits <= most);
    // `/24`, `//64`, `/24//64`, or nothing.
    let lengths = |text: &str| {
        let (four, six) = text.split_once("//").unwrap_or((text, ""));
        length(four.strip_prefix('/').unwrap_or(four), 32) && length(six, 128)
    };
    let is_right = |term: &str| {
        if let Some((name, _)) = term.split_once('=')
            && is_name(name)
        {
            return true;
        }
        let mechanism = term.strip_prefix(['+', '-', '~', '?']).unwrap_or(term);
        let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
        let (name, rest) = mechanism.split_at(end);
        let domain = rest.strip_prefix(':');
        let network = |most, is_address: fn(&str) -> bool| {
            let (address, bits) =
                domain.unwrap_or_default().split_once('/').unwrap_or((domain.unwrap_or_default(), ""));
            is_address(address) && length(bits, most)
        };
        match name.to_ascii_lowercase().as_str() {
            "all" => rest.is_empty(),
            "include" | "exists" => domain.is_some_and(|domain| !domain.is_empty()),
            "ptr" => rest.is_empty() || domain.is_some_and(|domain| !domain.is_empty()),
            "a" | "mx" => match domain {
                // A macro may have a slash in it.
                Some(domain) => !domain.is_empty() && !domain.starts_with('/'),
                None => lengths(rest),
            },
            "ip4" => network(32, |text| text.parse::<std::net::Ipv4Addr>().is_ok()),
            "ip6" => network(128, |text| text.parse::<std::net::Ipv6Addr>().is_ok()),
            _ => false,
        }
    };
    record.split(' ').skip(1).filter(|term| !term.is_empty()).find(|term| !is_right(term))
}

/// Whether one of a name's TXT records publishes a public key (RFC 6376 §3.6.1).
#[must_use]
pub fn key(texts: &[String], public: &str, algorithm: Algorithm) -> Finding {
    let keys: Vec<_> = texts.iter().filter(|text| tag(text, "p").is_some()).collect();
    let Some(first) = keys.first() else { return missing("publish it") };
    let right = keys.iter().find(|text| tag(text, "p").as_deref() == Some(public));
    let Some(found) = right else {
        let advice = if tag(first, "p").as_deref() == Some("") {
            "the key is revoked there: put in the value above"
        } else {
            "another key is there: put in the value above"
        };
        return differs((*first).clone(), advice.to_owned());
    };
    if keys.len() > 1 {
        return differs(
            (*found).clone(),
            "there are several records, and verifiers take any: leave this one".to_owned(),
        );
    }
    let lists = |name: &str, word: &str| {
        tag(found, name)
            .is_none_or(|list| list.split(':').any(|found| found == "*" || found.eq_ignore_ascii_case(word)))
    };
    let kind = tag(found, "k").unwrap_or_else(|| Algorithm::Rsa.to_string());
    if kind != algorithm.as_str() || tag(found, "v").is_some_and(|version| version != "DKIM1") {
        return differs(
            (*found).clone(),
            "its v= or k= makes it a key of another kind: put in the value above".to_owned(),
        );
    }
    let testing = tag(found, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y"));
    if !lists("h", "sha256") || !lists("s", "email") {
        return differs((*found).clone(), "its h= or s= keeps others from using it: put in the value above".to_owned());
    }
    let advice = testing.then(|| "t=y: others treat what it signed as unsigned; leave that out".to_owned());
    Finding { advice, ..fine((*found).clone()) }
}

/// A tag of a list such as `v=DKIM1; p=…`, without blanks (RFC 6376 §3.2).
fn tag(text: &str, name: &str) -> Option<String> {
    let (_, value) = text.split(';').filter_map(|part| part.split_once('=')).find(|(found, _)| found.trim() == name)?;
    Some(value.chars().filter(|c| !c.is_ascii_whitespace()).collect())
}

/// The one record that there should be, judged: `Ok` with what to know, or what is wrong.
fn one(texts: &[String], judge: impl FnOnce(&str) -> Result<Option<String>, String>) -> Finding {
    match texts {
        [] => missing("publish it"),
        [text] => match judge(text) {
            Ok(advice) => Finding { advice, ..fine(text.clone()) },
            Err(advice) => differs(text.clone(), advice),
        },
        several => differs(several.join(", "), "several records count as none: leave one".to_owned()),
    }
}

fn fine(found: String) -> Finding {
    Finding { found: Some(found), ok: Some(true), advice: None }
}

fn differs(found: String, advice: String) -> Finding {
    Finding { found: Some(found), ok: Some(false), advice: Some(advice) }
}

fn missing(advice: impl Into<String>) -> Finding {
    Finding { found: None, ok: Some(false), advice: Some(advice.into()) }
}

fn unknown(why: &str) -> Finding {
    Finding { found: None, ok: None, advice: Some(format!("the name servers did not say: {why}")) }
}

fn join(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Priority, weight, port and host of a record; no host is a word for "not here".
type Server = (u16, u16, u16, String);

fn shown(servers: &[Server]) -> String {
    let one = |(priority, weight, port, host): &Server| {
        format!("{priority} {weight} {port} {}", if host.is_empty() { "." } else { host })
    };
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn host_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_voids_an_spf_record_is_named() {
        for right in [
            "v=spf1",
            "v=spf1 mx -all",
            "v=spf1 a:mx.example.org/24//64 mx/24 a//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:::1  ~all",
            "v=spf1 include:_spf.example.org ?exists:%{ir}.%{v}._spf.%{d2} +ptr redirect=example.org",
            "v=spf1 A:example.org exp=why.%{d} x-new_thing.1=y MX",
        ] {
            assert_eq!(wrong_term(right), None, "{right}");
        }
        for (wrong, term) in [
            ("v=spf1 nonsense:x -all", "nonsense:x"),
            ("v=spf1 mx ip4:192.0.2.300 -all", "ip4:192.0.2.300"),
            ("v=spf1 ip4:192.0.2.0/33", "ip4:192.0.2.0/33"),
            ("v=spf1 ip4: -all", "ip4:"),
            ("v=spf1 ip4 -all", "ip4"),
            ("v=spf1 ip6:192.0.2.1 -all", "ip6:192.0.2.1"),
            ("v=spf1 include -all", "include"),
            ("v=spf1 mx: -all", "mx:"),
            ("v=spf1 all:x", "all:x"),
            ("v=spf1 a/99", "a/99"),
            ("v=spf1 192.0.2.1", "192.0.2.1"),
            ("v=spf1 mx, -all", "mx,"),
            ("v=spf1 =x", "=x"),
        ] {
            assert_eq!(wrong_term(wrong), Some(term), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_found_by_what_it_is() {
        let found = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            key(&texts, "ABCD", Algorithm::Rsa)
        };
        for right in ["v=DKIM1; k=rsa; p=ABCD", "p=AB CD", "v=DKIM1;h=sha1:sha256;s=*;p=ABCD;", "p=ABCD; t=y"] {
            assert_eq!(found(&[right]).ok, Some(true), "{right}");
        }
        assert!(found(&["p=ABCD; t=y"]).advice.is_some());
        assert_eq!(found(&["google-site-verification=x", "p=ABCD"]).ok, Some(true));
        for wrong in [
            &[][..],
            &["p="],
            &["p=ABCE"],
            &["v=spf1 -all"],
            &["p=ABCD; h=sha1"],
            &["p=ABCD; s=tlsrpt"],
            &["p=ABCD", "p=X"],
            &["v=DKIM2; p=ABCD"],
            &["k=ed25519; p=ABCD"],
        ] {
            assert_eq!(found(wrong).ok, Some(false), "{wrong:?}");
        }
        // Without k= it is an RSA key (RFC 6376 §3.6.1).
        for (text, ok) in [("v=DKIM1; p=ABCD", false), ("v=DKIM1; k=ed25519; p=ABCD", true)] {
            assert_eq!(key(&[text.to_owned()], "ABCD", Algorithm::Ed25519).ok, Some(ok), "{text}");
        }
    }
}
