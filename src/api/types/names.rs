//! What the DNS should say, the keys that it publishes, and tests of the way out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::desk::address::Address;
use crate::trust::keys::Algorithm;
use crate::trust::ring::KeyState;

/// `GET /dns`, `POST /dns/check`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    pub records: Vec<DnsRecord>,
    /// MTA-STS policies, which are no records: we serve them.
    #[serde(default)]
    pub policies: Vec<DnsPolicy>,
}

/// The MTA-STS policy of a domain (RFC 8461 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsPolicy {
    pub domain: String,
    pub url: String,
    /// With CRLF at the line ends.
    pub text: String,
    /// What the web server at `url` sends, on one line; `null` where it sends no policy, or was not
    /// asked.
    #[serde(default)]
    pub found: Option<String>,
    /// Whether that is `text`; `null` where it was not asked, or did not answer.
    #[serde(default)]
    pub ok: Option<bool>,
    /// What to do, or to know.
    #[serde(default)]
    pub advice: Option<String>,
}

/// How much depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Without it mail is lost, or refused by many.
    Required,
    /// Without it something works less well.
    Recommended,
    /// For whoever wants what it gives.
    Optional,
}

/// A record that should be in the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The domain that it is for.
    pub domain: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Names without a final dot; empty where the operator alone knows it.
    pub value: String,
    pub purpose: String,
    pub need: Need,
    /// What the DNS has there; `null` where it has nothing, or was not asked.
    pub found: Option<String>,
    /// Whether that does what it should; `null` where it was not asked, or did not answer.
    pub ok: Option<bool>,
    /// What to do, or to know.
    pub advice: Option<String>,
}

/// `GET /dkim`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dkim {
    pub domains: Vec<DkimDomain>,
}

/// A domain in whose name mail is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimDomain {
    pub domain: String,
    pub keys: Vec<DkimKey>,
}

/// One of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimKey {
    pub selector: String,
    pub algorithm: Algorithm,
    pub state: KeyState,
    /// Since when it has its state.
    pub since: Timestamp,
    /// Of an old one: from when on it is safe to retire it.
    pub retire_after: Option<Timestamp>,
    /// The TXT record that publishes it; `null` of a retired one.
    pub name: Option<String>,
    pub value: Option<String>,
}

/// `POST /dkim/{domain}/retire`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    pub selector: String,
    /// Also while mail that it signed may be under way.
    #[serde(default)]
    pub now: bool,
}

/// `POST /probe`: a message that tests the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    pub to: Address,
    /// Seconds to wait for it to come back, 600 at most; 60 for an address of ours and 10 for others,
    /// from where only a report comes back.
    pub wait: Option<u64>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    pub to: Address,
    pub message_id: String,
    pub date: String,
    /// Of each signature.
    pub signatures: Vec<ProbeSignature>,
    pub way: ProbeWay,
    pub state: ProbeState,
    /// What the next server said.
    pub reply: String,
    /// A report's words, where one came back.
    pub report: Option<String>,
    /// Milliseconds until it came back; `null`: it did not.
    pub back_after: Option<u64>,
    /// What came back, held against what was sent.
    pub findings: Vec<ProbeFinding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSignature {
    pub domain: String,
    pub selector: String,
}

/// How a probe went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeWay {
    /// As copies go.
    Route,
    /// Into the Maildir of mode `capture`.
    Captured,
    /// To our own port, since in mode `direct` mail for ourselves never leaves.
    Ourselves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// The next server took it.
    Sent,
    /// It was not taken now.
    Deferred,
    /// It was refused, or reported undeliverable.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFinding {
    pub what: String,
    /// `null`: it proves nothing.
    pub ok: Option<bool>,
    pub seen: String,
}
