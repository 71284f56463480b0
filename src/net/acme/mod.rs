//! Certificates from an authority that speaks ACME (RFC 8555): asked for, renewed and shown without
//! anybody's help.
//!
//! Each name has a certificate of its own, so that a name that can't be had, for its DNS is wrong or
//! gone, keeps no other from being renewed. Names are proven on the listeners that `[web]` has:
//! by a certificate on the HTTPS one (TLS-ALPN-01, RFC 8737), by a text on the plain one (HTTP-01,
//! RFC 8555 §8.3); where there are both, a failed attempt is followed by one of the other kind. Until a
//! name is had, what was shown before is shown, and nothing else waits.

pub mod https;
pub mod state;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, KeyAuthorization, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use self::https::Https;
use self::state::{Failed, State};
use crate::config::Acme;
use crate::net::stop::Stop;
use crate::net::tls::files::ending;
use crate::net::tls::validity::Validity;
use crate::net::tls::{Answering, Certificate, Certificates, Shown, TlsError};

/// The longest between two looks at what is due, so that a clock that was put right is noticed.
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// How long an authority may take to look at a name, and to make a certificate.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_mins(3));
/// What kinds of problems begin with (RFC 8555 §6.7).
const ERRORS: &str = "urn:ietf:params:acme:error:";
/// The most octets of an authority's words.
const MOST_WORDS: usize = 1_000;

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// On the HTTPS listener.
    TlsAlpn,
    /// On the plain HTTP listener.
    Http,
}

impl Proof {
    fn kind(self) -> ChallengeType {
        match self {
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Http => ChallengeType::Http01,
        }
    }
}

/// Why there is no certificate for a name.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Away(Error),
    #[error("what the authority answers is no ACME ({0}); is tls.acme_directory right?")]
    Nonsense(serde_json::Error),
    #[error("the authority refuses it: {0}")]
    Refused(String),
    #[error("the authority offers none of the proofs that we have listeners for; it offers {0}")]
    NoProof(String),
    #[error("{0}")]
    Make(#[from] rcgen::Error),
    #[error("{0}")]
    Library(#[from] rustls::Error),
    #[error("{0}")]
    Unusable(#[from] TlsError),
    #[error("what it made is for other names")]
    OtherName,
    #[error("what it made does not hold now; is the clock right?")]
    OtherTime,
    #[error("what it made can't be kept: {0}")]
    Keep(#[from] io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(in_words(&problem)),
            Error::Json(error) => Self::Nonsense(error),
            error => Self::Away(error),
        }
    }
}

/// Asks, and asks again.
pub struct Renewer {
    acme: Acme,
    /// At least one.
    proofs: Vec<Proof>,
    state: State,
    certificates: Certificates,
    https: Https,
    /// Whether what failed before is tried at once, as somebody who mended it expects.
    at_once: bool,
    /// When each certificate was obtained, of those that this one obtained.
    obtained: BTreeMap<String, Timestamp>,
    /// What failed last of each name, here too: a full disk must not make us ask without a pause.
    failed: BTreeMap<String, Failed>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Shows what was obtained before, of those names; each until it has a newer one.
pub fn show_kept(acme: &Acme, data_dir: &Path, certificates: &Certificates) {
    let state = State::new(data_dir, &acme.directory);
    let mut shown = Shown::clone(&certificates.shown());
    shown.named.retain(|name, _| acme.names.iter().any(|own| own.as_str() == name));
    certificates.show(shown);
    for (place, name) in acme.names.iter().enumerate() {
        match state.certificate(name.as_str()) {
            Ok(Some(certificate)) => certificates.show_for(name.as_str(), certificate, place == 0),
            Ok(None) => {}
            Err(error) => tracing::error!("{error}; a new certificate is asked for"),
        }
    }
}

impl Renewer {
    /// Goes on from what is kept. What is shown stays until there is something newer: see [`show_kept`].
    #[must_use]
    pub fn new(acme: Acme, proofs: Vec<Proof>, data_dir: &Path, certificates: Certificates, https: Https) -> Self {
        let state = State::new(data_dir, &acme.directory);
        let names = acme.names.iter().map(ToString::to_string);
        let failed = names.filter_map(|name| Some((state.failed(&name)?, name))).map(|(failed, name)| (name, failed));
        let (failed, obtained) = (failed.collect(), BTreeMap::new());
        let now = Box::new(Timestamp::now);
        Self { acme, proofs, state, certificates, https, at_once: false, obtained, failed, now }
    }

    /// The same, and what failed before is tried at once.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self { at_once: true, ..self }
    }

    /// The same by another clock.
    #[must_use]
    pub fn by(self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Box::new(now), ..self }
    }

    /// Asks and asks again until the word to stop.
    pub async fn run(mut self, mut stop: Stop) {
        loop {
            let wait = self.next().duration_since((self.now)());
            let wait = Duration::try_from(wait).unwrap_or(Duration::ZERO).min(LONGEST_WAIT);
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(wait) => {}
            }
            tokio::select! {
                () = stop.stopped() => return,
                () = self.renew() => {}
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.acme.names.iter().map(ToString::to_string).collect()
    }

    /// When something is due.
    fn next(&self) -> Timestamp {
        self.names().iter().map(|name| self.due(name)).min().unwrap_or(Timestamp::MAX)
    }

    /// When a name is due: after two thirds of its certificate's life, and not before the pause that
    /// a failure brings.
    fn due(&self, name: &str) -> Timestamp {
        let renewal = match self.state.certificate(name) {
            Ok(Some(certificate)) if certificate.is_for(name) => {
                // By a clock that is ahead a new certificate is old already: not one after the other.
                let Validity { from, until } = certificate.validity();
                let again = |at: &Timestamp| at.checked_add(until.duration_since(from) / 3).unwrap_or(Timestamp::MAX);
                let again = self.obtained.get(name).filter(|at| **at <= (self.now)()).map(again);
                certificate.renewal_from().max(again.unwrap_or(Timestamp::MIN))
            }
            _ => Timestamp::MIN,
        };
        match self.failed.get(name) {
            // A clock that went back must not make it wait for years.
            Some(failed) if !self.at_once && failed.at <= (self.now)() => renewal.max(failed.again_at()),
            _ => renewal,
        }
    }

    /// Does what is due now.
    pub async fn renew(&mut self) {
        let names: Vec<_> = self.names().into_iter().filter(|name| self.due(name) <= (self.now)()).collect();
        self.at_once = false;
        for name in names {
            let before = self.failed.get(&name).map_or(0, |failed| failed.times);
            // With two kinds of proof, the next attempt takes the other one.
            let mut proofs = self.proofs.clone();
            proofs.rotate_left(before as usize % self.proofs.len().max(1));
            match self.obtain(&name, &proofs).await {
                Ok(certificate) => {
                    let until = certificate.validity().until;
                    tracing::info!(name, %until, directory = %self.acme.directory, "certificate obtained");
                    self.show(&name, certificate);
                    self.failed.remove(&name);
                    self.obtained.insert(name, (self.now)());
                }
                Err(failure) => self.note(&name, before.saturating_add(1), &failure),
            }
        }
    }

    /// Remembers what went wrong for the so many-th time, and says it.
    fn note(&mut self, name: &str, times: u32, failure: &Failure) {
        let words = failure.to_string();
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_WORDS).collect();
        let failed = Failed { times, at: (self.now)(), words };
        if let Err(error) = self.state.fail(name, &failed) {
            tracing::warn!(name, %error, "what went wrong can't be written down; a restart will try at once");
        }
        let (words, again) = (&failed.words, failed.again_at());
        let ends = match self.state.certificate(name) {
            Ok(Some(certificate)) => ending(&certificate, (self.now)())
                .unwrap_or_else(|| format!("the one before holds until {}", certificate.validity().until)),
            _ => "there is none yet, and a self-signed one is shown".to_owned(),
        };
        tracing::error!(
            name, times, %again, directory = %self.acme.directory,
            "no certificate could be had: {words}; {ends}; SIGHUP tries again at once",
        );
        self.failed.insert(name.to_owned(), failed);
    }

    fn show(&self, name: &str, certificate: Certificate) {
        let first = self.acme.names.first().is_some_and(|first| first.as_str() == name);
        self.certificates.show_for(name, certificate, first);
    }

    async fn obtain(&self, name: &str, proofs: &[Proof]) -> Result<Certificate, Failure> {
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(name.to_owned())];
        let order = match account.new_order(&NewOrder::new(&identifiers)).await {
            // It may have been forgotten, or given up: then we are somebody new.
            Err(Error::Api(problem)) if is_about_account(&problem) => {
                self.state.forget_account()?;
                self.account().await?.new_order(&NewOrder::new(&identifiers)).await
            }
            order => order,
        };
        let mut order = order?;
        let answering = self.prove(name, &mut order, proofs).await?;
        if order.state().status == OrderStatus::Pending {
            match order.poll_ready(&PATIENCE).await {
                Ok(OrderStatus::Ready) => {}
                Ok(_) | Err(Error::Api(_)) => return Err(refusal(&mut order).await),
                Err(error) => return Err(error.into()),
            }
        }
        drop(answering);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let certificate = self.state.lay_down(name, &key.serialize_pem(), &chain)?;
        if !certificate.is_for(name) {
            return Err(Failure::OtherName);
        }
        if !certificate.validity().holds_at((self.now)()) {
            return Err(Failure::OtherTime);
        }
        self.state.keep(name)?;
        Ok(certificate)
    }

    async fn account(&self) -> Result<Account, Failure> {
        let builder = || Account::builder_with_http(Box::new(self.https.clone()));
        if let Some(credentials) = self.state.account() {
            return Ok(builder().from_credentials(credentials).await?);
        }
        let contact = self.acme.contact.iter().map(|address| format!("mailto:{address}")).collect::<Vec<_>>();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        // Whoever says acme = true has agreed to the authority's terms.
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder().create(&new, self.acme.directory.clone(), None).await?;
        self.state.keep_account(&credentials)?;
        tracing::info!(account = account.id(), directory = %self.acme.directory, "account made with the authority");
        Ok(account)
    }

    /// Puts the proofs up that an order wants and says so; they stand until the answer is dropped.
    async fn prove(&self, name: &str, order: &mut Order, proofs: &[Proof]) -> Result<Vec<Answering>, Failure> {
        let mut answering = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                // It remembers an earlier proof.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Failure::Refused(format!("its authorization is {other:?}"))),
            }
            let offered = |proof: &&Proof| authorization.challenges.iter().any(|one| one.r#type == proof.kind());
            let Some(proof) = proofs.iter().find(offered) else {
                let offered = authorization.challenges.iter().map(|one| format!("{:?}", one.r#type));
                return Err(Failure::NoProof(offered.collect::<Vec<_>>().join(", ")));
            };
            let Some(mut challenge) = authorization.challenge(proof.kind()) else { continue };
            let said = challenge.key_authorization();
            answering.push(match proof {
                Proof::Http => self.certificates.answer_token(&challenge.token, said.as_str()),
                Proof::TlsAlpn => self.certificates.answer_name(name, challenge_certificate(name, &said)?),
            });
            challenge.set_ready().await?;
        }
        Ok(answering)
    }
}

/// What answers for a name while an authority looks (RFC 8737 §3).
fn challenge_certificate(name: &str, said: &KeyAuthorization) -> Result<CertifiedKey, Failure> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(said.digest().as_ref())];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    // Unchecked: the library would refuse an extension that is critical and that it does not know.
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Whether an order is refused because of who asks: an account that it does not know (RFC 8555 §7.3.1),
/// or that was deactivated (§7.3.6).
fn is_about_account(problem: &instant_acme::Problem) -> bool {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(ERRORS));
    matches!(kind, Some("accountDoesNotExist" | "unauthorized"))
}

/// What the authority found, which stands at the challenge (RFC 8555 §7.1.6, §8).
async fn refusal(order: &mut Order) -> Failure {
    let mut words = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            words.extend(state.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(in_words));
        }
    }
    if let Some(error) = &order.state().error {
        words.push(in_words(error));
    }
    if words.is_empty() {
        return Failure::Refused("it did not say why, or did not look in time".to_owned());
    }
    words.dedup();
    Failure::Refused(words.join("; "))
}

/// A problem in the authority's words, with its kind.
fn in_words(problem: &instant_acme::Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("without a kind");
    let kind = kind.strip_prefix(ERRORS).unwrap_or(kind);
    format!("{} ({kind})", problem.detail.as_deref().unwrap_or("without a word"))
}
