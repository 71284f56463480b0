//! What the sender's domain proves of a message: SPF (RFC 7208), DKIM (RFC 6376), DMARC
//! (RFC 7489), ARC (RFC 8617), in one value that is kept with the entry.

use serde::{Deserialize, Serialize};

use super::forwarder::Forwarder;

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

/// A hop on the way here that wrote down what it had checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Whose record it is, in lower case: a seal's `d=`, or the authserv-id.
    pub domain: String,
    pub record: Record,
    /// What it says that passed for From's domain, if anything did.
    pub pass: Option<Pass>,
}

/// Where a hop wrote it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// A set of an ARC chain that holds (RFC 8617).
    Seal,
    /// The field Authentication-Results of the server that brought the message (RFC 8601).
    Results,
}

/// A check that passed, in a hop's words, for a domain aligned with From's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    pub method: Method,
    pub domain: String,
}

/// What was checked (RFC 8601 §2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Dkim,
    Spf,
    Dmarc,
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
    /// What hops on the way say of the message, where its own proofs did not get through: seals
    /// first, the newest first. Nothing in itself: [`Verdict::vouched`] says what a property
    /// believes.
    #[serde(default)]
    pub hops: Vec<Hop>,
    /// The hop that the property of the entry believed.
    #[serde(default)]
    pub believed: Option<Hop>,
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

    /// The hop whose word these forwarders' property takes: one that saw an aligned pass, and
    /// after which, as far as the chain of seals tells, the message was in such forwarders' hands
    /// alone. It proves the domain to whoever trusts the forwarder, and never the person.
    #[must_use]
    pub fn vouched(&self, forwarders: &[Forwarder]) -> Option<&Hop> {
        let trusted = |hop: &&Hop| forwarders.iter().any(|forwarder| forwarder.is(&hop.domain));
        let of = |record: Record| self.hops.iter().filter(move |hop| hop.record == record);
        let sealed = of(Record::Seal).take_while(trusted);
        sealed.chain(of(Record::Results).take(1).filter(trusted)).find(|hop| hop.pass.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_believed_if_it_is_trusted_and_nobody_else_came_after_it() {
        let hop = |domain: &str, record, pass: bool| Hop {
            domain: domain.to_owned(),
            record,
            pass: pass.then(|| Pass { method: Method::Dkim, domain: "example.com".to_owned() }),
        };
        let seal = |domain, pass| hop(domain, Record::Seal, pass);
        let results = |domain, pass| hop(domain, Record::Results, pass);
        let forwarders: Vec<Forwarder> = vec!["google.com".parse().unwrap(), "fwd.example".parse().unwrap()];
        for (what, hops, believed) in [
            ("no hop", vec![], None),
            ("a trusted seal", vec![seal("google.com", true)], Some("google.com")),
            ("a stranger's seal", vec![seal("evil.example", true)], None),
            ("a trusted seal that saw nothing pass", vec![seal("google.com", false)], None),
            ("two trusted hops", vec![seal("google.com", false), seal("mx.fwd.example", true)], Some("mx.fwd.example")),
            ("a stranger after a trusted one", vec![seal("evil.example", true), seal("google.com", true)], None),
            ("a stranger between", vec![seal("google.com", false), seal("evil.example", true)], None),
            (
                "a stranger between, and a trusted one first",
                vec![seal("google.com", false), seal("evil.example", false), seal("google.com", true)],
                None,
            ),
            ("results", vec![results("mx.fwd.example", true)], Some("mx.fwd.example")),
            ("a stranger's results", vec![results("mx.evil.example", true)], None),
            (
                "results beside a stranger's seal",
                vec![seal("evil.example", true), results("fwd.example", true)],
                Some("fwd.example"),
            ),
        ] {
            let verdict = Verdict { hops, ..Verdict::default() };
            assert_eq!(verdict.vouched(&forwarders).map(|hop| hop.domain.as_str()), believed, "{what}");
            assert_eq!(verdict.vouched(&[]), None, "{what}");
            assert!(!verdict.is_aligned());
        }
    }
}
