//! What the DNS should say of this desk, whether it does, and what follows from that: which DKIM key
//! signs, and whether a property's public address stands in From.
//!
//! [`expected`] lists the records, [`check`] asks for them, and [`Names`] holds the keys that some of
//! them publish and acts on what it sees: daily, hourly while something is awaited, and whenever an
//! operator asks. Nothing here writes into the DNS.

pub mod check;
pub mod expected;
mod place;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RecordType;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use self::check::{Checker, Finding};
use self::expected::{Expected, PublicDomain, Want};
use crate::actions::{Act, ActionError, Actor, Desk, find, public_address};
use crate::config::{Config, Direct, Domain, Relay};
use crate::desk::entry::Door;
use crate::desk::id::PropertyId;
use crate::desk::mta_sts::Policy;
use crate::desk::property::Property;
use crate::desk::public::{Change, Sight};
use crate::net::answer::ask;
use crate::net::resolver::outside_view;
use crate::net::stop::Stop;
use crate::relay::client::Tls;
use crate::relay::https::Https;
use crate::store::{Store, StoreError};
use crate::trust::alignment::ascii;
use crate::trust::keys::{Algorithm, KeyError, Record, Selector};
use crate::trust::ring::{First, Key, KeyState, RetireError, Ring};
use crate::trust::sign::SignError;
use crate::trust::{Authenticator, Signer, Signers};

/// The folder of the keys in the data directory, and in a backup.
pub const DKIM: &str = "dkim";

/// How often it is looked whether anything is due.
const TICK: Duration = Duration::from_mins(10);
/// The time between two looks, while a record is awaited or missed, and otherwise.
const SOON: SignedDuration = SignedDuration::from_hours(1);
const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// The most questions at one time.
const MOST_AT_ONCE: usize = 16;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Retire(#[from] RetireError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error("{0}")]
    Resolver(String),
    /// A domain that is neither ours nor a public address's.
    #[error("mail is signed for no domain {name}; for these it is: {}", .known.join(", "))]
    Domain { name: String, known: Vec<String> },
    /// A task broke down.
    #[error("{0}")]
    Broken(String),
}

impl From<StoreError> for NamesError {
    fn from(error: StoreError) -> Self {
        Self::Action(error.into())
    }
}

/// The keys of all domains in whose name we send, and the eye on their records.
pub struct Names {
    config: Arc<Config>,
    store: Store,
    desk: Arc<Desk>,
    /// One of its own, which forgets before each look.
    resolver: Result<TokioResolver, String>,
    policy: RwLock<Option<Policy>>,
    /// Fetches our policies as others do; `None`: one is made when it is needed.
    web: Option<Https>,
    /// Domains whose people's mail clients are led here.
    autoconfig: RwLock<Vec<Domain>>,
    signers: Arc<Signers>,
    rings: Mutex<BTreeMap<String, Ring>>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What was found of everything that should be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub records: Vec<(Expected, Finding)>,
    /// Of the domains that have the policy that we serve, what their web servers send.
    pub policies: Vec<(String, Finding)>,
}

/// A domain's keys, as they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub domain: String,
    pub keys: Vec<(Key, Option<Record>)>,
}

/// Whose records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    All,
    Domain(String),
}

/// Domains of public addresses, in A-labels, with the properties that have them.
type Publics = BTreeMap<String, Vec<Property>>;

/// A key whose record is looked for.
struct Wanted {
    domain: String,
    key: Key,
    name: String,
}

impl Names {
    /// Nothing is read or asked yet. `now` is the time.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        desk: Arc<Desk>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        let servers: Vec<_> = config.resolvers.iter().map(ToString::to_string).collect();
        Self {
            resolver: outside_view(&servers).map_err(|error| error.to_string()),
            autoconfig: RwLock::new(config.tls.autoconfig.clone()),
            config,
            store,
            desk,
            policy: RwLock::default(),
            web: None,
            signers: Arc::default(),
            rings: Mutex::default(),
            now: Box::new(now),
        }
    }

    /// With the MTA-STS policy that we serve, to be announced.
    #[must_use]
    pub fn with_policy(self, policy: Option<Policy>) -> Self {
        Self { policy: RwLock::new(policy), ..self }
    }

    /// Asking web servers in another way than anybody would.
    #[must_use]
    pub fn with_web(self, web: Https) -> Self {
        Self { web: Some(web), ..self }
    }

    /// We serve another MTA-STS policy from now on, and the mail clients of other domains.
    pub fn announce(&self, policy: Option<Policy>, autoconfig: &[Domain]) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        *self.autoconfig.write().unwrap_or_else(PoisonError::into_inner) = autoconfig.to_vec();
    }

    /// Whether mail clients that know an address of the domain are led here.
    #[must_use]
    pub fn leads_clients_of(&self, domain: &str) -> bool {
        let autoconfig = self.autoconfig.read().unwrap_or_else(PoisonError::into_inner);
        autoconfig.iter().any(|known| known.as_str() == ascii(domain))
    }

    /// What signs, now and after each change of keys.
    #[must_use]
    pub fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers)
    }

    /// Reads the keys of our domains, made the first time, and those of public addresses that there
    /// are. Blocks.
    pub fn load(&self) -> Result<(), NamesError> {
        let mut rings = self.rings();
        for domain in &self.config.domains {
            self.ring(&mut rings, domain.as_str())?;
        }
        for domain in self.public_domains()?.keys() {
            if self.directory().join(domain).is_dir() {
                self.ring(&mut rings, domain)?;
            }
        }
        Ok(())
    }

    /// What should be published, without asking. Makes the keys that there are none of yet. Blocks.
    pub fn expected(&self, of: &Of) -> Result<Vec<Expected>, NamesError> {
        self.expected_at(of, &place::places(&self.config))
    }

    /// The MTA-STS policy that we serve for our domains.
    #[must_use]
    pub fn policy(&self) -> Option<Policy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for everything that should be published, after acting on what is seen of the keys.
    pub async fn check(self: &Arc<Self>, of: Of) -> Result<Checked, NamesError> {
        self.look().await?;
        let resolver = self.resolver.clone().map_err(NamesError::Resolver)?;
        let mut places = place::places(&self.config);
        let hostname = self.config.hostname.to_string();
        let host = check::addresses(&resolver, &hostname).await;
        // What this machine does not know of itself, others find in the DNS.
        let known = host.as_deref().unwrap_or_default();
        for places in [&mut places.host, &mut places.senders].into_iter().filter(|places| places.is_empty()) {
            places.extend_from_slice(known);
        }
        let names = Arc::clone(self);
        let expected = apart(move || names.expected_at(&of, &places)).await?;
        let helo = self.config.egress.helo.as_ref().unwrap_or(&self.config.hostname).to_string();
        let authenticator = Authenticator::new(resolver.clone(), hostname);
        let checker = Arc::new(Checker { resolver, authenticator, helo, host });
        let looked = each(expected.clone().into_iter(), move |expected| {
            let checker = Arc::clone(&checker);
            async move { checker.look(&expected).await }
        });
        let looked = looked.await?;
        let policies = self.check_policies(&expected).await?;
        Ok(Checked { records: expected.into_iter().zip(looked).collect(), policies })
    }

    /// Fetches the policies that some of these records announce.
    async fn check_policies(&self, expected: &[Expected]) -> Result<Vec<(String, Finding)>, NamesError> {
        let announced = expected.iter().filter(|record| matches!(record.want, Want::Announcement { .. }));
        let domains: Vec<_> = announced.map(|record| record.domain.clone()).collect();
        let (Some(ours), false) = (self.policy(), domains.is_empty()) else { return Ok(Vec::new()) };
        let web = self.web();
        let found = each(domains.clone().into_iter(), move |domain| {
            let (web, ours) = (web.clone(), ours.clone());
            async move {
                match web {
                    Ok(web) => check::policy(&web, &domain, &ours).await,
                    Err(why) => Finding { advice: Some(why), ..Finding::default() },
                }
            }
        });
        Ok(domains.into_iter().zip(found.await?).collect())
    }

    /// Who asks web servers: by what the outside sees, and as the authorities of the system have it.
    fn web(&self) -> Result<Https, String> {
        if let Some(web) = &self.web {
            return Ok(web.clone());
        }
        let direct = match self.config.relay {
            Relay::Direct(direct) => direct,
            Relay::Capture { .. } | Relay::Smarthost(_) => Direct::default(),
        };
        let tls = Tls::system().map_err(|error| error.to_string())?;
        Https::new(self.resolver.clone()?, &tls, direct).map_err(|error| error.to_string())
    }

    /// Looks for the records of keys that are awaited, and of those that public addresses stand on, and
    /// acts on it: a new key whose record is there signs from now on; a public address comes into From,
    /// or leaves it.
    pub async fn look(self: &Arc<Self>) -> Result<(), NamesError> {
        let resolver = self.resolver.clone().map_err(NamesError::Resolver)?;
        resolver.clear_cache();
        let names = Arc::clone(self);
        let (wanted, publics) = apart(move || names.wanted()).await?;
        let questions: Vec<_> = wanted.iter().map(|wanted| (wanted.name.clone(), wanted.key.clone())).collect();
        let seen = each(questions.into_iter(), move |(name, key)| {
            let resolver = resolver.clone();
            async move {
                match ask(&resolver, &name, RecordType::TXT).await.texts() {
                    Ok(texts) if check::key(&texts, &key.public, key.algorithm).ok == Some(true) => Sight::Seen,
                    Ok(_) => Sight::Missing,
                    Err(_) => Sight::Unknown,
                }
            }
        });
        let seen: Vec<_> = wanted.into_iter().zip(seen.await?).collect();
        let names = Arc::clone(self);
        let acted = apart(move || {
            names.switch(&seen)?;
            Ok::<_, NamesError>(seen)
        });
        let seen = acted.await?;
        for (domain, properties) in publics {
            for property in properties {
                self.judge(&domain, &property, &seen).await?;
            }
        }
        Ok(())
    }

    /// Looks daily, and hourly while something is awaited or missed, until it is told to stop.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut last: Option<Timestamp> = None;
        loop {
            let now = (self.now)();
            let names = Arc::clone(&self);
            let pending = apart(move || names.is_pending()).await.unwrap_or(true);
            if is_due(last, now, pending) {
                let looked = tokio::select! {
                    () = stop.stopped() => return,
                    looked = self.look() => looked,
                };
                if let Err(error) = looked {
                    tracing::error!(%error, "the DNS was not looked at; it is tried again within an hour");
                }
                last = Some(now);
            }
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// All keys of all domains. Blocks.
    pub fn list(&self) -> Result<Vec<Shown>, NamesError> {
        let domains = self.domains()?;
        let mut rings = self.rings();
        domains.iter().map(|domain| Ok(shown(self.ring(&mut rings, domain)?))).collect()
    }

    /// Makes the next keys of a domain; those that sign go on until the records of these are seen.
    /// Blocks.
    pub fn rotate(&self, domain: &str) -> Result<Shown, NamesError> {
        let domain = self.known(domain)?;
        let mut rings = self.rings();
        let now = (self.now)();
        let ring = self.ring(&mut rings, &domain)?;
        ring.rotate(now)?;
        tracing::info!(domain, "new DKIM keys were made; they sign once their records are seen");
        Ok(shown(ring))
    }

    /// Destroys a key that does not sign. Blocks.
    pub fn retire(&self, domain: &str, selector: &str, hurry: bool) -> Result<Shown, NamesError> {
        let domain = self.known(domain)?;
        let mut rings = self.rings();
        let now = (self.now)();
        let ring = self.ring(&mut rings, &domain)?;
        ring.retire(selector, hurry, now)?;
        tracing::info!(domain, selector, "a DKIM key was destroyed");
        Ok(shown(ring))
    }

    /// Does something while no key changes. Blocks.
    pub fn at_rest<T>(&self, f: impl FnOnce() -> T) -> T {
        let _rings = self.rings();
        f()
    }

    fn expected_at(&self, of: &Of, places: &expected::Places) -> Result<Vec<Expected>, NamesError> {
        let autoconfig = self.autoconfig.read().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = match of {
            Of::All => None,
            Of::Domain(domain) if self.leads_clients_of(domain) => Some(ascii(domain).into_owned()),
            Of::Domain(domain) => Some(self.known(domain)?),
        };
        let publics = self.public_domains()?;
        let now = (self.now)();
        let mut rings = self.rings();
        for domain in self.config.domains.iter().map(ToString::to_string).chain(publics.keys().cloned()) {
            self.ring(&mut rings, &domain)?;
        }
        let ours: Vec<_> = self.config.domains.iter().filter_map(|domain| rings.get(domain.as_str())).collect();
        let mut records = expected::of_ours(&self.config, places, self.policy().as_ref(), &ours, now);
        for (domain, properties) in publics.iter().filter(|(domain, _)| !self.is_ours(domain)) {
            let addresses = properties.iter().filter_map(|property| property.public.as_ref());
            let addresses = addresses.map(ToString::to_string).collect();
            if let Some(ring) = rings.get(domain) {
                expected::of_public(&mut records, &self.config, &PublicDomain { ring, addresses }, now);
            }
        }
        for domain in &autoconfig {
            expected::of_clients(&mut records, &self.config, domain);
        }
        records.retain(|record| wanted.as_ref().is_none_or(|wanted| *wanted == record.domain));
        Ok(records)
    }

    /// Every domain that mail is signed for.
    fn domains(&self) -> Result<Vec<String>, NamesError> {
        let ours = self.config.domains.iter().map(ToString::to_string);
        Ok(ours.chain(self.public_domains()?.into_keys().filter(|domain| !self.is_ours(domain))).collect())
    }

    /// A public address was elsewhere when it was given; its domain may have come here since.
    fn is_ours(&self, domain: &str) -> bool {
        self.config.domains.iter().any(|ours| ours.as_str() == domain)
    }

    /// One of them, as somebody wrote it.
    fn known(&self, name: &str) -> Result<String, NamesError> {
        let domain = ascii(name.trim_end_matches('.')).into_owned();
        let known = self.domains()?;
        if known.contains(&domain) { Ok(domain) } else { Err(NamesError::Domain { name: name.to_owned(), known }) }
    }

    fn public_domains(&self) -> Result<Publics, NamesError> {
        let mut domains = Publics::new();
        for property in self.store.read(|view| find::properties(view))? {
            if let Some(public) = &property.public {
                domains.entry(ascii(public.domain()).into_owned()).or_default().push(property);
            }
        }
        Ok(domains)
    }

    /// The keys to be looked for, and the properties that some of them matter to.
    fn wanted(&self) -> Result<(Vec<Wanted>, Publics), NamesError> {
        let mut publics = self.public_domains()?;
        let mut rings = self.rings();
        for domain in &self.config.domains {
            self.ring(&mut rings, domain.as_str())?;
        }
        // Nobody can have published a key that was never made.
        publics.retain(|domain, _| rings.contains_key(domain) || self.directory().join(domain).is_dir());
        for domain in publics.keys() {
            self.ring(&mut rings, domain)?;
        }
        let mut wanted = Vec::new();
        for ring in rings.values() {
            let is_public = publics.contains_key(ring.domain());
            let ours = self.is_ours(ring.domain());
            for key in ring.keys() {
                let look = match key.state {
                    KeyState::New => ours || is_public,
                    KeyState::Active => is_public && key.algorithm == Algorithm::Rsa,
                    KeyState::Old | KeyState::Retired => false,
                };
                if let (true, Some(record)) = (look, ring.record(key)) {
                    wanted.push(Wanted { domain: ring.domain().to_owned(), key: key.clone(), name: record.name });
                }
            }
        }
        Ok((wanted, publics))
    }

    /// Lets new keys sign whose records were seen.
    fn switch(&self, seen: &[(Wanted, Sight)]) -> Result<(), NamesError> {
        let mut rings = self.rings();
        let now = (self.now)();
        for (wanted, _) in
            seen.iter().filter(|(wanted, sight)| wanted.key.state == KeyState::New && *sight == Sight::Seen)
        {
            let ring = self.ring(&mut rings, &wanted.domain)?;
            let selector: &Selector = &wanted.key.selector;
            if ring.activate(selector, now)? {
                tracing::info!(domain = wanted.domain, %selector, "the record of a new DKIM key is there: it signs");
                self.signers.put(Signer::new(wanted.domain.as_str(), &ring.signing())?);
            }
        }
        Ok(())
    }

    /// Whether a property's public address stands in From after what was seen.
    async fn judge(&self, domain: &str, property: &Property, seen: &[(Wanted, Sight)]) -> Result<(), NamesError> {
        let Some(public) = property.public.as_ref().map(ToString::to_string) else { return Ok(()) };
        // The one that signs now, which may have been new when it was looked for.
        let signs = {
            let rings = self.rings();
            rings.get(domain).and_then(|ring| {
                let active = |key: &&Key| key.state == KeyState::Active && key.algorithm == Algorithm::Rsa;
                ring.keys().iter().find(active).map(|key| key.selector.clone())
            })
        };
        let of_domain =
            seen.iter().filter(|(wanted, _)| wanted.domain == domain && wanted.key.algorithm == Algorithm::Rsa);
        let sight = match signs {
            Some(signs) => of_domain.clone().find(|(wanted, _)| wanted.key.selector == signs),
            None => of_domain.clone().next(),
        };
        let Some((_, sight)) = sight else { return Ok(()) };
        let now = (self.now)();
        let id: PropertyId = property.id;
        let change = self.store.transact(|tx| {
            let trace = Some(self.desk.mint_trace());
            let act = Act { desk: &self.desk, now, door: Door::Timer, actor: Actor::System, trace, client: None };
            public_address::looked(tx, &act, id, &public, *sight)
        });
        match change.await? {
            Change::Nothing => {}
            Change::Verified => tracing::info!(property = %property.slug, public, "the public address stands in From"),
            Change::TakenBack => tracing::warn!(
                property = %property.slug, public,
                "the public address stands in From no longer: its domain does not publish our DKIM key"
            ),
        }
        Ok(())
    }

    /// Whether a record is awaited or missed.
    fn is_pending(&self) -> Result<bool, NamesError> {
        let (wanted, publics) = self.wanted()?;
        let missed = |property: &Property| {
            !property.public_verified || property.public_look.is_some_and(|look| look.missing_since.is_some())
        };
        Ok(wanted.iter().any(|wanted| wanted.key.state == KeyState::New) || publics.values().flatten().any(missed))
    }

    /// The ring of a domain, opened the first time.
    fn ring<'r>(&self, rings: &'r mut BTreeMap<String, Ring>, domain: &str) -> Result<&'r mut Ring, NamesError> {
        if !rings.contains_key(domain) {
            let first = if self.is_ours(domain) { First::Active } else { First::New };
            let ring = Ring::open(&self.directory(), domain, first, (self.now)())?;
            let signing = ring.signing();
            if !signing.is_empty() {
                self.signers.put(Signer::new(domain, &signing)?);
            }
            rings.insert(domain.to_owned(), ring);
        }
        Ok(rings.get_mut(domain).expect("it was put in if it was not there"))
    }

    fn directory(&self) -> PathBuf {
        self.config.data_dir.join(DKIM)
    }

    /// A ring changes in memory after it did on disk, so a poisoned lock is as good as a sound one.
    fn rings(&self) -> MutexGuard<'_, BTreeMap<String, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is time to look again; `pending`: while a record is awaited or missed.
fn is_due(last: Option<Timestamp>, now: Timestamp, pending: bool) -> bool {
    let wait = if pending { SOON } else { DAILY };
    // A clock that was put back must not stop it.
    last.is_none_or(|last| now.duration_since(last) >= wait || now < last)
}

fn shown(ring: &mut Ring) -> Shown {
    let keys = ring.keys().iter().map(|key| (key.clone(), ring.record(key))).collect();
    Shown { domain: ring.domain().to_owned(), keys }
}

/// Does something for each, some of them at one time; what came of each, in their order.
async fn each<T, R, F>(all: impl Iterator<Item = T>, mut f: impl FnMut(T) -> F) -> Result<Vec<R>, NamesError>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut done = Vec::new();
    for (place, item) in all.enumerate() {
        if tasks.len() >= MOST_AT_ONCE
            && let Some(one) = tasks.join_next().await
        {
            done.push(one);
        }
        let task = f(item);
        tasks.spawn(async move { (place, task.await) });
    }
    while let Some(one) = tasks.join_next().await {
        done.push(one);
    }
    let done: Result<Vec<_>, _> = done.into_iter().collect();
    let mut done: Vec<(usize, R)> = done.map_err(|error| NamesError::Broken(error.to_string()))?;
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Runs what blocks beside the threads that serve.
async fn apart<T: Send + 'static>(f: impl FnOnce() -> Result<T, NamesError> + Send + 'static) -> Result<T, NamesError> {
    tokio::task::spawn_blocking(f).await.map_err(|error| NamesError::Broken(error.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_looked_for_daily_and_hourly_while_one_is_awaited() {
        let now = Timestamp::UNIX_EPOCH;
        let ago = |minutes| Some(now - SignedDuration::from_mins(minutes));
        for (last, pending, due) in [
            (None, false, true),
            (ago(59), true, false),
            (ago(60), true, true),
            (ago(60), false, false),
            (ago(24 * 60 - 1), false, false),
            (ago(24 * 60), false, true),
            (ago(-1), false, true),
        ] {
            assert_eq!(is_due(last, now, pending), due, "{last:?} {pending}");
        }
    }
}
