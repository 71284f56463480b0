//! The verdict on one received message: SPF (RFC 7208), DKIM (RFC 6376, 8301, 8463), DMARC
//! (RFC 7489) and ARC (RFC 8617), by the mail-auth crate.
//!
//! A verdict is always reached: what the DNS did not answer in time counts as a temporary error,
//! and what can't be read as no proof.

use std::net::IpAddr;
use std::panic::catch_unwind;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use mail_auth::arc::ArcError;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::headers::Header;
use mail_auth::dkim::{Canonicalization, DkimError};
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, Error, MessageAuthenticator, SpfOutput, SpfResult, dkim,
    dmarc,
};
use tokio::time::{Instant, timeout_at};

use super::alignment::{aligned, ascii};
use super::hops;
use crate::desk::address::Address;
use crate::desk::verdict::{Outcome, Policy, Signature, Verdict};

/// How long a verdict may take in all, unless [`Authenticator::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(20);
/// The most DKIM signatures that are checked; those aligned with From come first.
const MOST_SIGNATURES: usize = 8;
/// The most header fields that one signature may name: each is searched for in the header.
const MOST_SIGNED_FIELDS: usize = 200;
/// The most ARC sets that are checked: each costs a query or two.
const MOST_ARC_SETS: usize = 10;

/// Where a message came from: what it is judged by besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// What it called itself in EHLO or HELO.
    pub helo: &'a str,
    /// The reverse-path; `None` is `<>`.
    pub reverse_path: Option<&'a Address>,
    /// The domain of the one mailbox in From; `None` where there is none, or more than one: then
    /// nothing is aligned and DMARC does not apply.
    pub from_domain: Option<&'a str>,
}

/// Judges messages. Cheap to clone; clones share the resolver's cache.
#[derive(Clone)]
pub struct Authenticator {
    dns: MessageAuthenticator,
    hostname: String,
    deadline: Duration,
}

impl Authenticator {
    /// `hostname` is our own name, for SPF's `%{r}` (RFC 7208 §7.3).
    pub fn new(resolver: TokioResolver, hostname: impl Into<String>) -> Self {
        Self { dns: MessageAuthenticator(resolver), hostname: hostname.into(), deadline: DEADLINE }
    }

    /// With another limit for the whole of a verdict.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The verdict on `raw`, a whole message.
    ///
    /// Of a signature with a body length (`l=`, RFC 6376 §8.2) nothing is taken as proof: what
    /// follows the signed part can be anybody's. Nor of one by rsa-sha1 (RFC 8301 §3.1) or one
    /// that leaves From unsigned (RFC 6376 §5.4).
    ///
    /// `raw` begins with our own trace field, if we wrote one.
    pub async fn judge(&self, origin: Origin<'_>, raw: &[u8]) -> Verdict {
        let deadline = Instant::now() + self.deadline;
        let from = origin.from_domain.map(ascii);
        let mut message = read(raw, from.as_deref());

        let dkim = async {
            match message.as_mut() {
                Some(message) => self.dkim(message, from.as_deref(), deadline).await,
                None => (Vec::new(), Vec::new()),
            }
        };
        let (spf, (mut dkim, checked)) = tokio::join!(self.spf(origin, deadline), dkim);
        let passed: Vec<_> = checked.iter().filter_map(Checked::output).collect();

        let arc = async {
            match &message {
                Some(message) => self.arc(message, deadline).await,
                None => Outcome::None,
            }
        };
        let dmarc = async {
            match &message {
                Some(message) => self.dmarc(message, &passed, &spf, deadline).await,
                None => (Outcome::None, Policy::None),
            }
        };
        let (arc, (dmarc, dmarc_policy)) = tokio::join!(arc, dmarc);

        dkim.splice(0..0, checked.into_iter().map(|checked| checked.signature));
        let spf_domain = ascii(spf.domain()).into_owned();
        let mut verdict = Verdict {
            spf: spf_outcome(spf.result()),
            spf_aligned: from.as_deref().is_some_and(|from| aligned(&spf_domain, from)),
            spf_domain,
            dkim,
            dmarc,
            dmarc_policy,
            arc,
            temporary: false,
            hops: Vec::new(),
            believed: None,
            ..Verdict::default()
        };
        if let (false, Some(message), Some(from)) = (verdict.is_aligned(), &message, from.as_deref()) {
            if verdict.arc == Outcome::Pass {
                verdict.hops = hops::sealed(message, from);
            }
            if let Some(hop) = hops::reported(message, from)
                && self.brought(&hop.domain, origin.client, &verdict, deadline).await
            {
                verdict.hops.push(hop);
            }
        }
        // Where alignment is proven already, no further answer could change it.
        verdict.temporary = !verdict.is_aligned()
            && ([verdict.spf, verdict.dmarc, verdict.arc].contains(&Outcome::TempError)
                || verdict.dkim.iter().any(|signature| signature.outcome == Outcome::TempError));
        verdict
    }

    /// What SPF says of mail that `client` sends with an envelope sender in `domain`.
    pub async fn may_send(&self, client: IpAddr, helo: &str, domain: &str) -> Outcome {
        let Ok(sender) = Address::new("postmaster", domain) else { return Outcome::None };
        let origin = Origin { client, helo, reverse_path: Some(&sender), from_domain: None };
        spf_outcome(self.spf(origin, Instant::now() + self.deadline).await.result())
    }

    /// Whether a server of this name brought the message: SPF proves its domain, or its name has the
    /// client's address.
    async fn brought(&self, server: &str, client: IpAddr, verdict: &Verdict, deadline: Instant) -> bool {
        if verdict.spf == Outcome::Pass && aligned(server, &verdict.spf_domain) {
            return true;
        }
        let client = client.to_canonical();
        let found = timeout_at(deadline, self.dns.0.lookup_ip(format!("{server}."))).await;
        found.is_ok_and(|found| found.is_ok_and(|found| found.iter().any(|address| address == client)))
    }

    async fn spf(&self, origin: Origin<'_>, deadline: Instant) -> SpfOutput {
        let client = origin.client.to_canonical();
        let helo: String = ascii(origin.helo).chars().take(255).collect();
        let sender = origin.reverse_path.map(|path| format!("{}@{}", path.local(), ascii(path.domain())));
        if sender.is_none() && !is_domain(&helo) {
            return SpfOutput::new(helo);
        }
        let parameters = match &sender {
            Some(sender) => SpfParameters::verify_mail_from(client, &helo, &self.hostname, sender),
            None => SpfParameters::verify_ehlo(client, &helo, &self.hostname),
        };
        timeout_at(deadline, self.dns.verify_spf(parameters)).await.unwrap_or_else(|_| {
            let domain = origin.reverse_path.map_or(helo.as_str(), Address::domain);
            SpfOutput::new(domain.to_owned()).with_result(SpfResult::TempError)
        })
    }

    /// Checks the signatures of a message one by one, so that a name server that keeps silent
    /// spoils its own signature only. Returns those that could not be checked, and the checked.
    async fn dkim<'x>(
        &self,
        message: &mut AuthenticatedMessage<'x>,
        from: Option<&str>,
        deadline: Instant,
    ) -> (Vec<Signature>, Vec<Checked<'x>>) {
        let signature = |found: &dkim::Signature, outcome| {
            let domain = ascii(&found.d).into_owned();
            let aligned = from.is_some_and(|from| aligned(&domain, from));
            Signature { domain, selector: found.s.clone(), outcome, aligned }
        };
        // Kept away from the library's check, which would report them again and again.
        let unread = std::mem::take(&mut message.errors);
        let unread = unread
            .iter()
            .filter(|header| header.name.trim_ascii().eq_ignore_ascii_case(b"DKIM-Signature"))
            .take(MOST_SIGNATURES)
            .map(|header| match dkim::Signature::parse(header.value) {
                Ok(found) => signature(&found, Outcome::Neutral),
                Err(_) => Signature {
                    domain: String::new(),
                    selector: String::new(),
                    outcome: Outcome::Neutral,
                    aligned: false,
                },
            })
            .collect();

        let mut headers = std::mem::take(&mut message.dkim_headers);
        headers.sort_by_key(|header| !from.is_some_and(|from| aligned(&header.header.d, from)));
        headers.truncate(MOST_SIGNATURES);
        let mut checked = Vec::with_capacity(headers.len());
        for mut header in headers {
            // Reports and third parties' signatures (RFC 6651, RFC 6541) only cost queries.
            header.header.r = false;
            header.header.atps = None;
            let outcome = if usable(&header.header) {
                message.dkim_headers = vec![header.clone()];
                match timeout_at(deadline, self.dns.verify_dkim(&*message)).await {
                    Ok(outputs) => outputs.first().map_or(Outcome::None, |output| dkim_outcome(output.result())),
                    Err(_) => Outcome::TempError,
                }
            } else {
                Outcome::PermError
            };
            checked.push(Checked { signature: signature(&header.header, outcome), header });
        }
        message.dkim_headers.clear();
        (unread, checked)
    }

    async fn arc(&self, message: &AuthenticatedMessage<'_>, deadline: Instant) -> Outcome {
        if message.as_headers.len() > MOST_ARC_SETS
            || !hops::usable(message)
            || message.ams_headers.last().is_some_and(|header| header.header.h.len() > MOST_SIGNED_FIELDS)
        {
            return Outcome::PermError;
        }
        match timeout_at(deadline, self.dns.verify_arc(message)).await {
            Ok(output) => dkim_outcome(output.result()),
            Err(_) => Outcome::TempError,
        }
    }

    async fn dmarc(
        &self,
        message: &AuthenticatedMessage<'_>,
        dkim: &[DkimOutput<'_>],
        spf: &SpfOutput,
        deadline: Instant,
    ) -> (Outcome, Policy) {
        if message.from.is_empty() {
            return (Outcome::None, Policy::None);
        }
        let parameters = DmarcParameters::new(message, dkim, spf.domain(), spf);
        match timeout_at(deadline, self.dns.verify_dmarc(parameters)).await {
            Ok(output) => {
                let outcome = match output.result() {
                    DmarcResult::Pass => Outcome::Pass,
                    DmarcResult::Fail(_) => Outcome::Fail,
                    DmarcResult::TempError(_) => Outcome::TempError,
                    DmarcResult::PermError(_) => Outcome::PermError,
                    DmarcResult::None => Outcome::None,
                };
                let policy = match output.policy() {
                    dmarc::Policy::Quarantine => Policy::Quarantine,
                    dmarc::Policy::Reject => Policy::Reject,
                    dmarc::Policy::None | dmarc::Policy::Unspecified => Policy::None,
                };
                (outcome, policy)
            }
            Err(_) => (Outcome::TempError, Policy::None),
        }
    }
}

/// A signature that was looked at, with the field it stands in.
struct Checked<'x> {
    signature: Signature,
    header: Header<'x, dkim::Signature>,
}

impl Checked<'_> {
    /// What DMARC wants to know of it.
    fn output(&self) -> Option<DkimOutput<'_>> {
        match self.signature.outcome {
            Outcome::Pass => Some(DkimOutput::pass().with_signature(&self.header.header)),
            Outcome::TempError => {
                let error = Error::Dns(mail_auth::DnsError::Resolver(String::new()));
                Some(DkimOutput::temp_err(error).with_signature(&self.header.header))
            }
            _ => None,
        }
    }
}

/// Reads a message for the checks. `None` when it has no header that can be read; a panic of the
/// parser counts as that.
fn read<'x>(raw: &'x [u8], from: Option<&str>) -> Option<AuthenticatedMessage<'x>> {
    let mut message = catch_unwind(|| AuthenticatedMessage::parse(raw)).ok().flatten()?;
    // The caller has decided which mailbox is the writer's.
    message.from = from.map(|domain| format!("from@{domain}")).into_iter().collect();
    hash_blank_ends(&mut message);
    Some(message)
}

/// Corrects the body hashes of a message that ends in lines of blanks: relaxed canonicalization
/// ignores them (RFC 6376 §3.4.4), the library does not.
fn hash_blank_ends(message: &mut AuthenticatedMessage<'_>) {
    let body = message.raw_body();
    let text = without_blank_end(body);
    if !body[text.len()..].iter().any(|b| matches!(b, b' ' | b'\t')) {
        return;
    }
    let text = text.to_vec();
    for (canonicalization, algorithm, length, hash) in &mut message.body_hashes {
        if *canonicalization == Canonicalization::Relaxed {
            *hash = algorithm.hash(canonicalization.canonical_body(&text, *length)).as_ref().to_vec();
        }
    }
}

/// A body without the blanks and line ends at its end.
pub(super) fn without_blank_end(body: &[u8]) -> &[u8] {
    let end = body.iter().rposition(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).map_or(0, |last| last + 1);
    &body[..end]
}

/// Whether a pass of this signature would prove anything.
fn usable(signature: &dkim::Signature) -> bool {
    signature.a != Algorithm::RsaSha1
        && signature.h.len() <= MOST_SIGNED_FIELDS
        && signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
}

/// Whether what a client called itself can be checked at all (RFC 7208 §4.3): `[192.0.2.1]` and
/// `localhost` can't.
fn is_domain(helo: &str) -> bool {
    helo.contains('.')
        && helo.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

fn spf_outcome(result: SpfResult) -> Outcome {
    match result {
        SpfResult::Pass => Outcome::Pass,
        SpfResult::Fail => Outcome::Fail,
        SpfResult::SoftFail => Outcome::SoftFail,
        SpfResult::Neutral => Outcome::Neutral,
        SpfResult::TempError => Outcome::TempError,
        SpfResult::PermError => Outcome::PermError,
        SpfResult::None => Outcome::None,
    }
}

/// A body that was changed and an expired signature are failures in the words of RFC 8601
/// §2.7.1, which the library calls neutral.
fn dkim_outcome(result: &DkimResult) -> Outcome {
    match result {
        DkimResult::Pass => Outcome::Pass,
        DkimResult::Neutral(
            Error::Dkim(DkimError::FailedBodyHashMatch | DkimError::SignatureExpired)
            | Error::Arc(ArcError::FailedBodyHashMatch | ArcError::SignatureExpired),
        )
        | DkimResult::Fail(_) => Outcome::Fail,
        DkimResult::Neutral(_) => Outcome::Neutral,
        DkimResult::PermError(_) => Outcome::PermError,
        DkimResult::TempError(_) => Outcome::TempError,
        DkimResult::None => Outcome::None,
    }
}
