//! What the sender's domain proves of a message: SPF (RFC 7208), DKIM (RFC 6376), DMARC
//! (RFC 7489), ARC (RFC 8617), in one value that is kept with the entry.

use serde::{Deserialize, Serialize};

use super::spam::Sentence;

/// The outcome of one check, in the words of RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    Fail,
    SoftFail,
    Neutral,
    #[default]
    None,
    TempError,
    PermError,
}

/// What DMARC's policy asks for (RFC 7489 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    None,
    Quarantine,
    Reject,
}

/// One DKIM signature and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The signing domain (`d=`), in lower case.
    pub domain: String,
    pub selector: String,
    pub outcome: Outcome,
    /// Whether `domain` is aligned with From's domain in relaxed mode.
    pub aligned: bool,
}

/// Everything that was found out about one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub spf: Outcome,
    /// The domain that SPF was checked for: the reverse-path's, or HELO's where that is null.
    pub spf_domain: String,
    /// Whether that domain is aligned with From's in relaxed mode.
    pub spf_aligned: bool,
    pub dkim: Vec<Signature>,
    pub dmarc: Outcome,
    pub dmarc_policy: Policy,
    pub arc: Outcome,
    /// A DNS answer was missing that might have changed the outcome.
    pub temporary: bool,
    /// What the spam filter's answer came to.
    #[serde(default)]
    pub filter: Sentence,
    /// Its score, in hundredths.
    #[serde(default)]
    pub score: Option<i32>,
    /// The DNS blocklist that names the client.
    #[serde(default)]
    pub listed: Option<String>,
}

impl Verdict {
    /// Whether an SPF or DKIM pass is aligned with From's domain, whether or not that domain
    /// publishes a DMARC policy. It proves the domain, not the person.
    #[must_use]
    pub fn is_aligned(&self) -> bool {
        (self.spf == Outcome::Pass && self.spf_aligned)
            || self.dkim.iter().any(|signature| signature.outcome == Outcome::Pass && signature.aligned)
    }
}
