//! The MTA-STS policies of the domains that mail goes to (RFC 8461): announced in the DNS, fetched by
//! HTTPS, and kept in the store for as long as they say.
//!
//! A policy that was seen once holds until it ends, whatever becomes of the record that announced it
//! or of the server that has it: whoever sits on the line can keep both from us, but not make us
//! forget. What a fetch brings that is not a policy changes nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_resolver::TokioResolver;
use jiff::{SignedDuration, Timestamp};

use super::https::{Https, HttpsError};
use super::names::Names;
use crate::desk::mta_sts::{Announcement, KeptPolicy, Mode, Policy, PolicyError};
use crate::desk::tls_report::{FailureKind, TlsFailure};
use crate::store::tables::MTA_STS;
use crate::store::{Order, Read, Store, StoreError};

/// For so long a domain whose policy could not be fetched is not asked again (RFC 8461 §3.3).
const PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// After so long a policy is fetched again while it still holds, so that it does not end on a day when
/// it can't be fetched (RFC 8461 §10.2 wants it daily).
const REFRESH: SignedDuration = SignedDuration::from_hours(24);
/// The most domains of which is remembered that a fetch failed.
const MOST_FAILURES: usize = 4_096;
/// The most policies that are looked at to find those that have ended.
const PAGE: usize = 500;

/// Knows the policies of domains.
pub struct Policies {
    store: Store,
    names: Names,
    https: Https,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    /// Domains that are being asked, or did not answer of late: when, and for which announcement.
    asked: Mutex<BTreeMap<String, Arc<Asked>>>,
}

/// One at a time asks a domain; others wait for what he finds.
#[derive(Default)]
struct Asked {
    turn: tokio::sync::Mutex<Option<(Timestamp, String)>>,
}

/// What is known of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Of mode `enforce` or `testing`.
    pub policy: Option<Arc<Policy>>,
    /// Why a policy that is announced could not be fetched just now.
    pub failure: Option<TlsFailure>,
}

/// Why a fetch brought no policy.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Https(#[from] HttpsError),
    #[error("what it sends is no policy: {0}")]
    Policy(#[from] PolicyError),
}

impl Policies {
    pub fn new(
        store: Store,
        resolver: TokioResolver,
        https: Https,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { store, names: Names::new(resolver), https, now: Box::new(now), asked: Mutex::default() }
    }

    /// The policy that mail for a domain, which is in A-labels, is held to now.
    ///
    /// # Errors
    /// When the store can't be read: then nothing is known, and mail waits.
    pub async fn of(&self, domain: &str) -> Result<Known, StoreError> {
        let kept = self.kept(domain)?;
        let announced = self.announcement(domain).await;
        let Some(announced) = announced else { return Ok(Known::of(kept, None)) };
        if kept.as_ref().is_some_and(|kept| self.is_fresh(kept, &announced)) {
            return Ok(Known::of(kept, None));
        }
        let asked = self.asked(domain);
        let mut turn = asked.turn.lock().await;
        let now = (self.now)();
        // Somebody may have been here meanwhile.
        let kept = self.kept(domain)?;
        let lately =
            turn.as_ref().is_some_and(|(at, id)| *id == announced.id && now.duration_since(*at) < PAUSE && *at <= now);
        if lately || kept.as_ref().is_some_and(|kept| self.is_fresh(kept, &announced)) {
            return Ok(Known::of(kept, None));
        }
        // Also where nobody waits for the answer any more.
        *turn = Some((now, announced.id.clone()));
        match fetch(&self.https, domain).await {
            Ok(policy) => {
                let fetched = KeptPolicy { policy, id: announced.id, fetched_at: now };
                self.keep(domain, &fetched).await;
                *turn = None;
                Ok(Known::of(Some(fetched), None))
            }
            Err(error) => {
                tracing::warn!(domain, %error, kept = kept.is_some(), "an MTA-STS policy can't be fetched");
                let kind = match &error {
                    FetchError::Https(HttpsError::Tls(..)) => FailureKind::StsWebpkiInvalid,
                    FetchError::Https(_) => FailureKind::StsPolicyFetchError,
                    FetchError::Policy(_) => FailureKind::StsPolicyInvalid,
                };
                Ok(Known::of(kept, Some(TlsFailure { kind, words: error.to_string() })))
            }
        }
    }

    /// Forgets policies that have ended: to be called now and then. What a clock that was ahead has
    /// dated counts as fetched now: it would hold for as long besides as the clock was wrong.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget(&self) -> Result<(), StoreError> {
        let now = (self.now)();
        let is_wrong = |kept: &KeptPolicy| !kept.holds(now) || kept.fetched_at > now;
        let mut wrong = Vec::new();
        let mut after = Bound::Unbounded;
        loop {
            let span = (after, Bound::Unbounded);
            let page = self.store.read(|view| view.range(&MTA_STS, span, Order::Up, PAGE))?;
            let Some((last, _)) = page.last() else { break };
            after = Bound::Excluded(last.clone());
            wrong.extend(page.into_iter().filter(|(_, kept)| is_wrong(kept)).map(|(domain, _)| domain));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        self.store
            .transact(|tx| {
                for domain in &wrong {
                    match tx.get(&MTA_STS, domain)? {
                        Some(kept) if !kept.holds(now) => tx.delete(&MTA_STS, domain),
                        Some(kept) if kept.fetched_at > now => {
                            tx.put(&MTA_STS, domain, &KeptPolicy { fetched_at: now, ..kept })?;
                        }
                        _ => {}
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await
    }

    /// What is kept and has not ended.
    fn kept(&self, domain: &str) -> Result<Option<KeptPolicy>, StoreError> {
        let now = (self.now)();
        let kept = self.store.read(|view| view.get(&MTA_STS, &domain.to_owned()))?;
        Ok(kept.filter(|kept| kept.holds(now)))
    }

    fn is_fresh(&self, kept: &KeptPolicy, announced: &Announcement) -> bool {
        let age = (self.now)().duration_since(kept.fetched_at);
        let half = SignedDuration::from_secs(i64::from(kept.policy.max_age) / 2);
        kept.id == announced.id && !age.is_negative() && age < REFRESH.min(half)
    }

    async fn announcement(&self, domain: &str) -> Option<Announcement> {
        // Where the name servers fail it is as where they say nothing: what is kept holds.
        let texts = self.names.texts(&format!("_mta-sts.{domain}")).await.ok()?;
        Announcement::among(&texts)
    }

    /// What can't be written down holds for this mail all the same.
    async fn keep(&self, domain: &str, fetched: &KeptPolicy) {
        let domain = domain.to_owned();
        let written = self.store.transact(|tx| tx.put(&MTA_STS, &domain, fetched)).await;
        if let Err(error) = written {
            tracing::error!(domain, %error, "an MTA-STS policy can't be kept");
        }
    }

    fn asked(&self, domain: &str) -> Arc<Asked> {
        let mut all: MutexGuard<'_, _> = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_FAILURES {
            // Who is being asked stays; what is forgotten of the rest costs a fetch.
            all.retain(|_, asked| Arc::strong_count(asked) > 1);
        }
        Arc::clone(all.entry(domain.to_owned()).or_default())
    }
}

/// The policy that a domain's web server has now (RFC 8461 §3.3).
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(https: &Https, domain: &str) -> Result<Policy, FetchError> {
    let text = https.text(&Policy::host(domain), Policy::PATH, Policy::LONGEST).await?;
    Ok(text.parse()?)
}

impl Known {
    fn of(kept: Option<KeptPolicy>, failure: Option<TlsFailure>) -> Self {
        let policy = kept.map(|kept| kept.policy).filter(|policy| policy.mode != Mode::None);
        Self { policy: policy.map(Arc::new), failure }
    }
}
