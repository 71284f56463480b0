//! Reports about TLS between mail servers (RFC 8460): what is counted of our deliveries, the report
//! that is made of it or came from others, and where a domain wants its reports.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::address::{Address, check_domain};

/// What went wrong with TLS (RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// STARTTLS was not offered, or refused.
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    /// Anything else about the handshake, or about a server that no policy names.
    ValidationFailure,
    /// No TLSA record was usable.
    TlsaInvalid,
    /// The validating name server found no answer, or none that holds.
    DnssecInvalid,
    /// The announced policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is no policy.
    StsPolicyInvalid,
    /// The policy's own server has no valid certificate.
    StsWebpkiInvalid,
}

/// One thing that went wrong, in words besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    pub kind: FailureKind,
    /// For `failure-reason-code`.
    pub words: String,
}

/// Which kind of policy a line was held to (RFC 8460 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    Tlsa,
    Sts,
    NoPolicyFound,
}

/// A policy that was applied, as reports repeat it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub kind: PolicyKind,
    /// The lines of the policy, or the TLSA records.
    pub lines: Vec<String>,
    /// The servers that it is about.
    pub mx: Vec<String>,
}

/// What was counted for one domain in one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    policies: Vec<PolicyCounts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PolicyCounts {
    applied: Applied,
    good: u64,
    bad: u64,
    failures: Vec<FailureCount>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FailureCount {
    kind: FailureKind,
    host: String,
    address: Option<IpAddr>,
    words: String,
    count: u64,
}

impl Counts {
    /// The most policies of a domain that are told apart in a day.
    const MOST_POLICIES: usize = 16;
    /// The most failures of a policy that are told apart: the rest are in its sum alone.
    const MOST_FAILURES: usize = 32;
    /// The most characters of a failure's words.
    const LONGEST_WORDS: usize = 200;

    /// One session more with a server at an address.
    pub fn add(&mut self, applied: Applied, host: &str, address: Option<IpAddr>, result: Result<(), &TlsFailure>) {
        let Some(policy) = self.policy(applied) else { return };
        let Err(failure) = result else {
            policy.good += 1;
            return;
        };
        policy.bad += 1;
        let words: String = failure.words.chars().take(Self::LONGEST_WORDS).collect();
        policy.note(FailureCount { kind: failure.kind, host: host.to_owned(), address, words, count: 1 });
    }

    /// With what was counted besides.
    pub fn merge(&mut self, other: Self) {
        for more in other.policies {
            let Some(policy) = self.policy(more.applied) else { continue };
            policy.good += more.good;
            policy.bad += more.bad;
            for failure in more.failures {
                policy.note(failure);
            }
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// As a report on `domain`; dates and names are put in by whoever sends it.
    #[must_use]
    pub fn report(&self, domain: &str) -> Vec<PolicyReport> {
        let policy = |counted: &PolicyCounts| PolicyReport {
            policy: PolicyInReport {
                policy_type: match counted.applied.kind {
                    PolicyKind::Tlsa => "tlsa",
                    PolicyKind::Sts => "sts",
                    PolicyKind::NoPolicyFound => "no-policy-found",
                }
                .to_owned(),
                policy_string: counted.applied.lines.clone(),
                policy_domain: domain.to_owned(),
                mx_host: counted.applied.mx.clone(),
            },
            summary: Summary { total_successful_session_count: counted.good, total_failure_session_count: counted.bad },
            failure_details: counted.failures.iter().map(detail).collect(),
        };
        self.policies.iter().map(policy).collect()
    }

    fn policy(&mut self, applied: Applied) -> Option<&mut PolicyCounts> {
        let place = self.policies.iter().position(|policy| policy.applied == applied);
        let place = match place {
            Some(place) => place,
            None if self.policies.len() < Self::MOST_POLICIES => {
                self.policies.push(PolicyCounts { applied, good: 0, bad: 0, failures: Vec::new() });
                self.policies.len() - 1
            }
            None => return None,
        };
        self.policies.get_mut(place)
    }
}

fn detail(failure: &FailureCount) -> FailureDetail {
    FailureDetail {
        result_type: failure.kind.to_string(),
        receiving_mx_hostname: Some(failure.host.clone()),
        receiving_ip: failure.address.map(|address| address.to_string()),
        failed_session_count: failure.count,
        failure_reason_code: Some(failure.words.clone()),
        ..FailureDetail::default()
    }
}

impl PolicyCounts {
    fn note(&mut self, failure: FailureCount) {
        let same = |known: &&mut FailureCount| {
            (known.kind, &known.host, known.address, &known.words)
                == (failure.kind, &failure.host, failure.address, &failure.words)
        };
        if let Some(known) = self.failures.iter_mut().find(same) {
            known.count += failure.count;
        } else if self.failures.len() < Counts::MOST_FAILURES {
            self.failures.push(failure);
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        })
    }
}

/// A report (RFC 8460 §4.4). What others write is read as far as it can be: nothing has to be there, and
/// of long lists only the beginning is kept, since a few kilobytes unpack to a million empty entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Report {
    pub organization_name: String,
    pub date_range: DateRange,
    pub contact_info: String,
    pub report_id: String,
    #[serde(deserialize_with = "beginning")]
    pub policies: Vec<PolicyReport>,
}

/// From and to, RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DateRange {
    pub start_datetime: String,
    pub end_datetime: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PolicyReport {
    pub policy: PolicyInReport,
    pub summary: Summary,
    #[serde(deserialize_with = "beginning", skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<FailureDetail>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PolicyInReport {
    pub policy_type: String,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    pub policy_domain: String,
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Summary {
    pub total_successful_session_count: u64,
    pub total_failure_session_count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FailureDetail {
    pub result_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    pub failed_session_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
}

/// The beginning of a list: one entry more than is shown, which tells that there are more.
fn beginning<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(Beginning(PhantomData))
}

struct Beginning<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Beginning<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() <= Report::MOST_SHOWN {
            match list.next_element()? {
                Some(entry) => kept.push(entry),
                None => return Ok(kept),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
}

/// The beginning of a list of texts; some write a text where a list should be.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_any(OneOrMany)
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_unit<E>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<String>, A::Error> {
        Beginning(PhantomData).visit_seq(list)
    }
}

impl Report {
    /// The most policies, and the most failures of each, that are shown.
    const MOST_SHOWN: usize = 50;
    /// The most octets of [`Self::text`].
    const LONGEST_TEXT: usize = 32 * 1024;

    /// As people read it: a line for each policy, and under it one for each failure.
    #[must_use]
    pub fn text(&self) -> String {
        let range = &self.date_range;
        let (from, to, by) = (line(&range.start_datetime), line(&range.end_datetime), line(&self.organization_name));
        let mut text = format!("TLS report of {by}, {from} to {to}\n");
        for PolicyReport { policy, summary, failure_details: failures } in self.policies.iter().take(Self::MOST_SHOWN) {
            let (good, bad) = (summary.total_successful_session_count, summary.total_failure_session_count);
            let (domain, kind) = (line(&policy.policy_domain), line(&policy.policy_type));
            let _ = writeln!(text, "\n{domain} ({kind}): {good} sessions went well, {bad} failed");
            for failure in failures.iter().take(Self::MOST_SHOWN) {
                let _ = write!(text, "- {} × {}", failure.failed_session_count, line(&failure.result_type));
                for (before, value) in [
                    (" at ", &failure.receiving_mx_hostname),
                    (" ", &failure.receiving_ip),
                    (" from ", &failure.sending_mta_ip),
                    (": ", &failure.failure_reason_code),
                    (" ", &failure.additional_information),
                ] {
                    if let Some(value) = value {
                        let _ = write!(text, "{before}{}", line(value));
                    }
                }
                text.push('\n');
            }
            shortened(&mut text, failures.len());
        }
        shortened(&mut text, self.policies.len());
        let too_long = text.as_bytes().get(..=Self::LONGEST_TEXT);
        if let Some(end) = too_long.and_then(|text| text.iter().rposition(|byte| *byte == b'\n')) {
            text.truncate(end + 1);
            text.push_str(MORE);
        }
        text
    }
}

/// What stands where something was left out.
const MORE: &str = "… and more\n";

fn shortened(text: &mut String, count: usize) {
    if count > Report::MOST_SHOWN {
        text.push_str(MORE);
    }
}

/// One line of bounded length, whatever was written.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Where a domain wants its reports: the TXT record at `_smtp._tls.` (RFC 8460 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// At least one.
    pub to: Vec<ReportTo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportTo {
    Mail(Address),
    /// Host, port where another than usual is named, and path with its slash.
    Https {
        host: String,
        port: Option<u16>,
        path: String,
    },
}

impl Wish {
    /// The most places that a report is sent to.
    const MOST: usize = 4;

    /// The one wish among a name's TXT records; two, or a broken one, are as none.
    pub fn among<T: AsRef<str>>(records: &[T]) -> Option<Self> {
        let version = |text: &&str| text.split(';').next().is_some_and(|first| first.trim_end() == "v=TLSRPTv1");
        let mut wishes = records.iter().map(AsRef::as_ref).filter(version);
        let (Some(only), None) = (wishes.next(), wishes.next()) else { return None };
        let rua = only.split(';').skip(1).find_map(|field| field.trim().strip_prefix("rua="))?;
        let to: Vec<_> = rua.split(',').filter_map(|place| place.trim().parse().ok()).take(Self::MOST).collect();
        (!to.is_empty()).then_some(Self { to })
    }
}

impl FromStr for ReportTo {
    type Err = ();

    /// `mailto:` without further fields, or `https:` (RFC 8460 §3).
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(address) = text.strip_prefix("mailto:") {
            return address.parse().map(Self::Mail).map_err(drop);
        }
        let rest = text.strip_prefix("https://").filter(|rest| rest.bytes().all(|b| b.is_ascii_graphic())).ok_or(())?;
        let (place, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(drop)?)),
            None => (place, None),
        };
        check_domain(host).map_err(drop)?;
        Ok(Self::Https { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sts() -> Applied {
        Applied { kind: PolicyKind::Sts, lines: vec!["version: STSv1".into()], mx: vec!["*.example.com".into()] }
    }

    fn expired(words: &str) -> TlsFailure {
        TlsFailure { kind: FailureKind::CertificateExpired, words: words.to_owned() }
    }

    #[test]
    fn sessions_are_counted_by_policy_and_failure() {
        let (mut one, mut two) = (Counts::default(), Counts::default());
        let ip = Some(IpAddr::from([192, 0, 2, 1]));
        one.add(sts(), "mx.example.com", ip, Ok(()));
        one.add(sts(), "mx.example.com", ip, Err(&expired("since yesterday")));
        two.add(sts(), "mx.example.com", ip, Err(&expired("since yesterday")));
        two.add(sts(), "mx.example.com", None, Err(&expired("since yesterday")));
        let none = Applied { kind: PolicyKind::NoPolicyFound, lines: Vec::new(), mx: Vec::new() };
        two.add(none, "mx.example.com", ip, Ok(()));
        one.merge(two);
        let report = one.report("example.com");
        assert_eq!(report.len(), 2);
        assert_eq!(report[0].summary, Summary { total_successful_session_count: 1, total_failure_session_count: 3 });
        let counts: Vec<_> = report[0].failure_details.iter().map(|detail| detail.failed_session_count).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(report[1].policy.policy_type, "no-policy-found");
    }

    #[test]
    fn nothing_piles_up() {
        let mut counts = Counts::default();
        for number in 0..1_000 {
            counts.add(sts(), "mx.example.com", None, Err(&expired(&format!("{number} {}", "x".repeat(1_000)))));
            let lines = vec![number.to_string()];
            counts.add(Applied { lines, ..sts() }, "mx.example.com", None, Ok(()));
        }
        let report = counts.report("example.com");
        assert_eq!(report.len(), Counts::MOST_POLICIES);
        assert_eq!(report[0].failure_details.len(), Counts::MOST_FAILURES);
        assert_eq!(report[0].summary.total_failure_session_count, 1_000, "the sum is right all the same");
    }

    #[test]
    fn a_report_is_read_as_others_write_it() {
        let json = r#"{"organization-name":"Company-X\r\nInjected","date-range":{"start-datetime":"2016-04-01T00:00:00Z",
            "end-datetime":"2016-04-01T23:59:59Z"},"contact-info":null,"report-id":"5065","policies":[{"policy":
            {"policy-type":"sts","policy-string":["version: STSv1"],"policy-domain":"company-y.example",
            "mx-host":"*.mail.company-y.example"},"summary":{"total-successful-session-count":5326,
            "total-failure-session-count":303},"failure-details":[{"result-type":"certificate-expired",
            "sending-mta-ip":"2001:db8:abcd:12::1","receiving-mx-hostname":"mx1.mail.company-y.example",
            "failed-session-count":100,"new":{}}]},{}]}"#;
        let report: Report = serde_json::from_str(&json.replace("null", "\"\"")).unwrap();
        let text = report.text();
        assert!(text.starts_with("TLS report of Company-X  Injected, 2016-04-01T00:00:00Z to 2016-04-01T23:59:59Z\n"));
        assert!(text.contains("\ncompany-y.example (sts): 5326 sessions went well, 303 failed\n"), "{text}");
        let line = "- 100 × certificate-expired at mx1.mail.company-y.example from 2001:db8:abcd:12::1\n";
        assert!(text.contains(line), "{text}");
        let long = Report { policies: vec![PolicyReport::default(); 10_000], ..report };
        assert!(long.text().len() < 10_000 && long.text().ends_with("… and more\n"));
        let words = FailureDetail { failure_reason_code: Some("é".repeat(1_000)), ..FailureDetail::default() };
        let policy = PolicyReport { failure_details: vec![words; 50], ..PolicyReport::default() };
        let text = Report { policies: vec![policy; 50], ..Report::default() }.text();
        assert!((20_000..40_000).contains(&text.len()) && text.ends_with("é\n… and more\n"), "{}", text.len());
    }

    #[test]
    fn of_long_lists_the_beginning_is_kept() {
        let many = |entry: &str| format!("[{}]", vec![entry; 100_000].join(","));
        let read = |policies: &str| serde_json::from_str::<Report>(&format!(r#"{{"policies":{policies}}}"#)).unwrap();
        let policies = read(&many("{}"));
        assert_eq!(policies.policies.len(), Report::MOST_SHOWN + 1);
        let (texts, failures) = (many(r#""x""#), many("{}"));
        let policy = format!(r#"{{"policy-string":{texts},"mx-host":{texts}}}"#);
        let failures = read(&format!(r#"[{{"policy":{policy},"failure-details":{failures}}}]"#));
        let PolicyReport { policy, failure_details, .. } = &failures.policies[0];
        for length in [policy.policy_string.len(), policy.mx_host.len(), failure_details.len()] {
            assert_eq!(length, Report::MOST_SHOWN + 1);
        }
        assert!([policies, failures].iter().all(|report| report.text().ends_with("… and more\n")));
    }

    #[test]
    fn where_reports_are_wanted() {
        let to = |text: &str| Wish::among(&[text]).map(|wish| wish.to);
        let mail = |text: &str| ReportTo::Mail(text.parse().unwrap());
        assert_eq!(to("v=TLSRPTv1; rua=mailto:a@example.com"), Some(vec![mail("a@example.com")]));
        let https = |host: &str, port, path: &str| ReportTo::Https { host: host.into(), port, path: path.into() };
        assert_eq!(
            to("v=TLSRPTv1;rua=https://Reports.example.com/v1/tls?a=b,mailto:a@example.com , ftp://x;"),
            Some(vec![https("reports.example.com", None, "/v1/tls?a=b"), mail("a@example.com")])
        );
        assert_eq!(to("v=TLSRPTv1; rua=https://a.example:8443"), Some(vec![https("a.example", Some(8443), "/")]));
        for none in [
            "v=TLSRPTv1",
            "v=TLSRPTv2; rua=mailto:a@example.com",
            "v=TLSRPTv1; rua=mailto:a",
            "v=TLSRPTv1; rua=https://",
            "v=TLSRPTv1; rua=https://a b/",
            "v=TLSRPTv1; rua=https://u@h.example/",
            "v=TLSRPTv1; rua=http://a.example/",
        ] {
            assert_eq!(to(none), None, "{none}");
        }
        let one = "v=TLSRPTv1; rua=mailto:a@example.com";
        assert_eq!(Wish::among(&[one, one]), None);
        assert!(Wish::among(&["v=spf1 -all", one]).is_some());
    }
}
