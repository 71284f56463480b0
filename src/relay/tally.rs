//! How TLS went on the way to each domain, counted for the reports that it may want (RFC 8460): here
//! in memory, every minute into the store. What a crash takes is a minute of statistics.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::route::Security;
use crate::desk::mta_sts::Mode;
use crate::desk::tls_report::{Applied, Counts, PolicyKind, TlsFailure};
use crate::store::tables::TLS_COUNTS;
use crate::store::{Read, Store, StoreError};

/// Seconds in a day: reports are about days of UTC (RFC 8460 §4.1).
pub const DAY: i64 = 86_400;
/// The most domains of a day that are counted.
const MOST_DOMAINS: usize = 10_000;

/// The most domains that are written down in one transaction.
const AT_ONCE: usize = 100;

/// Counts.
pub struct Tally {
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the day since 1970, and the domain.
    counts: BTreeMap<(i64, String), Counts>,
    /// The domains that were counted in a day since the start.
    seen: (i64, BTreeSet<String>),
}

impl Tally {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Box::new(now), state: Mutex::default() }
    }

    /// One session with a server of a domain, which was held to `security`.
    pub fn count(
        &self,
        domain: &str,
        security: &Security,
        host: &str,
        address: Option<IpAddr>,
        result: Result<(), &TlsFailure>,
    ) {
        let day = (self.now)().as_second().div_euclid(DAY);
        let mut state = self.state();
        if state.seen.0 != day {
            state.seen = (day, BTreeSet::new());
        }
        if !state.seen.1.contains(domain) {
            if state.seen.1.len() >= MOST_DOMAINS {
                return;
            }
            state.seen.1.insert(domain.to_owned());
        }
        let counts = state.counts.entry((day, domain.to_owned())).or_default();
        counts.add(applied(security, host), host, address, result);
    }

    /// Writes down what was counted; what can't be written stays here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let some: BTreeMap<_, _> = {
                let mut state = self.state();
                let keys: Vec<_> = state.counts.keys().take(AT_ONCE).cloned().collect();
                keys.into_iter().filter_map(|key| state.counts.remove_entry(&key)).collect()
            };
            if some.is_empty() {
                return Ok(());
            }
            let written = store
                .transact(|tx| {
                    for (key, more) in &some {
                        let mut all = tx.get(&TLS_COUNTS, key)?.unwrap_or_default();
                        all.merge(more.clone());
                        tx.put(&TLS_COUNTS, key, &all)?;
                    }
                    Ok::<_, StoreError>(())
                })
                .await;
            if written.is_err() {
                let mut state = self.state();
                for (key, unwritten) in some {
                    state.counts.entry(key).or_default().merge(unwritten);
                }
                return written;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How reports call what a line was held to.
fn applied(security: &Security, host: &str) -> Applied {
    match security {
        Security::Dane(dane) => {
            Applied { kind: PolicyKind::Tlsa, lines: dane.published.clone(), mx: vec![host.to_owned()] }
        }
        // It was announced, and could not be had.
        Security::MtaSts(policy) if policy.mode == Mode::None => {
            Applied { kind: PolicyKind::Sts, lines: Vec::new(), mx: Vec::new() }
        }
        Security::MtaSts(policy) => Applied {
            kind: PolicyKind::Sts,
            lines: policy.to_string().lines().map(str::to_owned).collect(),
            mx: policy.mx.iter().map(ToString::to_string).collect(),
        },
        Security::None | Security::Opportunistic | Security::StartTls | Security::Implicit => {
            Applied { kind: PolicyKind::NoPolicyFound, lines: Vec::new(), mx: Vec::new() }
        }
    }
}
