//! Opens the store, starts the parts in order, and stops them in the other.
//!
//! Everything that can be wrong is found before anything listens: first what the config says, then
//! the data directory, the keys and the ports.

mod crew;
pub mod demo;
pub mod doors;
pub mod here;
pub mod inbound;
mod parts;
pub mod reload;
mod service;
mod timers;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;
use tokio::time::timeout;

use self::crew::Crew;
use self::doors::{Addresses, Doors};
use self::tls::Keeper;
use crate::actions::{ActionError, Desk, shelving};
use crate::api::{self, App, upkeep};
use crate::cli::Failure;
use crate::config::{self, Config, Problem};
use crate::desk::token::Keys;
use crate::dns::Names;
use crate::imap::news::News;
use crate::metrics::Metrics;
use crate::net::beat::Heart;
use crate::net::passed::{Passed, PassedError};
use crate::net::tls::Certificates;
use crate::relay::probe::Prober;
use crate::relay::tls_reports::Reporter;
use crate::relay::worker;
use crate::smtp::server::{Server, Start};
use crate::smtp::session::Service;
use crate::store::tables::{TOKEN_KEYS, TokenKey};
use crate::store::{OpenError, Options, Order, Progress, Read as _, Store, StoreError, Work};
use crate::sys::logs;
use crate::web::site::Site;

/// Octets of large messages that are in memory on their way in, and as many on their way out.
const MEMORY: u64 = 256 << 20;

/// The desk with its store, which whoever acts on it needs.
pub struct Opened {
    pub store: Store,
    pub desk: Arc<Desk>,
}

/// Opens the store of a config and reads what acting on it needs; makes both the first time.
pub async fn open(config: &Config) -> Result<Opened, Failure> {
    open_telling(config, Progress::default()).await
}

/// The same for somebody who wants to know how far it is.
async fn open_telling(config: &Config, progress: Progress) -> Result<Opened, Failure> {
    let dir = config.data_dir.clone();
    let options = Options { progress: progress.clone(), ..Options::default() };
    let store = tokio::task::spawn_blocking(move || Store::open(&store_dir(&dir), options))
        .await
        .context("the store could not be opened")?
        .map_err(store_failure)?;
    on(config, store, &progress).await
}

/// The same on a store that somebody else opened.
pub async fn open_on(config: &Config, store: Store) -> Result<Opened, Failure> {
    on(config, store, &Progress::default()).await
}

async fn on(config: &Config, store: Store, progress: &Progress) -> Result<Opened, Failure> {
    let keys = token_keys(&store).await?;
    upgrade(&store, progress).await.map_err(anyhow::Error::from)?;
    Ok(Opened { desk: Arc::new(parts::desk(config, keys)), store })
}

/// Brings what an older release stored up to this one. Whoever is stopped meanwhile goes on the next
/// time.
async fn upgrade(store: &Store, progress: &Progress) -> Result<(), StoreError> {
    let last = store.read(|view| shelving::outstanding(view))?;
    if let Some(last) = last {
        tracing::info!(tickets = last.0, "the messages of an older store get their places in mailboxes");
        progress.begin(Work::Upgrading, last.0);
    }
    let mut done = 0;
    while let Some(ticket) = store.transact(|tx| shelving::step(tx, shelving::PAGE)).await? {
        progress.read(ticket.0 - done);
        done = ticket.0;
    }
    if last.is_some() {
        progress.end();
    }
    Ok(())
}

/// Where the store lies in the data directory.
pub fn store_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join(upkeep::STORE)
}

/// What can't be opened, as the command line tells it.
pub fn store_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Busy { .. } => Failure::Busy(error.to_string()),
        // Its text has that of its source in it.
        other => Failure::Other(anyhow::anyhow!("{other}")),
    }
}

/// The secrets that tokens are made with; the first is made with the store.
async fn token_keys(store: &Store) -> Result<Keys, Failure> {
    let mut secret = [0; 32];
    SystemRandom::new().fill(&mut secret).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let created_at = Timestamp::now();
    let ring = store
        .transact(|tx| {
            let ring = tx.range(&TOKEN_KEYS, .., Order::Up, 256)?;
            if !ring.is_empty() {
                return Ok(ring);
            }
            let key = TokenKey { secret, created_at };
            tx.put(&TOKEN_KEYS, &1, &key)?;
            Ok::<_, ActionError>(vec![(1, key)])
        })
        .await
        .map_err(anyhow::Error::from)?;
    let active = ring.last().map_or(1, |(id, _)| *id);
    Ok(Keys::new(active, ring.into_iter().map(|(id, key)| (id, key.secret))).map_err(anyhow::Error::from)?)
}

/// Runs the daemon until a signal stops it.
pub fn serve(config: Config) -> Result<(), Failure> {
    logs::start().map_err(|text| wrong("the environment", text))?;
    // As long as there is one thread.
    let passed = Passed::from_environment().map_err(|error| wrongly_passed(&error))?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async move { service::run(&config, passed).await });
    // Nobody waits for what was cut off.
    runtime.shutdown_background();
    ended
}

/// Other sockets would be passed only by other units.
fn wrongly_passed(error: &PassedError) -> Failure {
    wrong("systemd", error.to_string())
}

/// What is no better at another start, though it stands in no file.
fn wrong(place: &str, text: String) -> Failure {
    Failure::BadConfig(vec![Problem { file: place.into(), line: None, key: String::new(), text }])
}

/// The runtime of the daemon and of commands that act in this process.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads can be started")
}

/// A daemon at work.
pub struct Running {
    pub opened: Opened,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The keys, and the eye on their records.
    pub names: Arc<Names>,
    /// Tests the way out.
    pub prober: Arc<Prober>,
    /// Where it listens.
    pub listens: Addresses,
    /// What it was started with, and what was read last: [`reload`] applies some of it.
    config: Config,
    applied: Config,
    keeper: Keeper,
    site: Site,
    /// Asks the loops of all parts whether they move.
    heart: Arc<Heart>,
    /// Who takes, and who sends and looks after things.
    servers: Crew,
    workers: Crew,
}

/// Starts all parts. When it returns, the ports are open and the store is.
pub async fn start(config: &Config) -> Result<Running, Failure> {
    start_with(config, Passed::default(), Progress::default()).await
}

/// The same with sockets that somebody else opened, for somebody who wants to know how far it is.
async fn start_with(config: &Config, passed: Passed, progress: Progress) -> Result<Running, Failure> {
    config::check::create_data_dir(config).map_err(|problem| Failure::BadConfig(vec![problem]))?;
    let problems = config::check::files(config);
    if !problems.is_empty() {
        return Err(Failure::BadConfig(problems));
    }
    for warning in config::check::warnings(config) {
        tracing::warn!("{warning}");
    }
    start_parts(config, open_telling(config, progress).await?, passed)
}

/// The same on a store that is open already; the data directory is there. Must be called in a runtime.
pub fn start_on(config: &Config, opened: Opened) -> Result<Running, Failure> {
    start_parts(config, opened, Passed::default())
}

fn start_parts(config: &Config, opened: Opened, passed: Passed) -> Result<Running, Failure> {
    // What can be wrong is found here.
    let resolver = parts::resolver(config)?;
    let mut keeper = Keeper::new(config, &resolver)?;
    let (mail_tls, web_tls) = parts::acceptors(&keeper.certificates)?;
    let names = Arc::new(parts::names(&Arc::new(config.clone()), &opened));
    names.load().map_err(anyhow::Error::from)?;
    parts::look_for_postmaster(config, &opened.store)?;
    let spool = parts::spool(config)?;
    let heart = Arc::new(Heart::default());
    let doors = Doors::open(config, passed, &heart)?;
    let listens = doors.addresses();
    let (exit, direct) = parts::exit(config, &resolver, &opened.store, &listens)?;
    let socket = api::listen(&config.api_socket()).context("the API's socket can't be opened")?;

    // Who does what.
    let metrics = Arc::new(Metrics::default());
    let relay = Arc::new(parts::relay(config, &opened, exit, names.signers(), &metrics));
    let prober = Arc::new(parts::prober(config, &relay, &resolver, &listens));
    let inbound = Arc::new(parts::inbound(config, &opened, &resolver, &metrics, &prober.probes));
    let mail = |service| {
        let settings = parts::mail_settings(config, service, mail_tls.clone(), spool.clone(), &metrics);
        Arc::new(Server::new(Arc::clone(&inbound), settings))
    };
    let (world, members) = (mail(Service::World), mail(Service::Submission));
    let news = Arc::new(News::default());
    let readers = parts::imap(config, &opened, &inbound, &news, mail_tls.clone(), spool.clone());
    let readers = Arc::new(readers);
    let site = Site::new(config, keeper.certificates.clone(), !listens.web_tls.is_empty());
    let web = Arc::new(parts::web_server(config, &site));
    let router = api::router(App {
        store: opened.store.clone(),
        desk: Arc::clone(&opened.desk),
        config: Arc::new(config.clone()),
        metrics: Some(Arc::clone(&metrics)),
        certificates: Some(keeper.certificates.clone()),
        names: Arc::clone(&names),
        prober: Some(Arc::clone(&prober)),
    });

    // To work.
    let (mut servers, mut workers) = (Crew::new(), Crew::new());
    servers.serve(doors.smtp, |socket, stop| Arc::clone(&world).serve(socket, Start::Plain, stop));
    servers.serve(doors.submission_tls, |socket, stop| Arc::clone(&members).serve(socket, Start::Tls, stop));
    servers.serve(doors.submission, |socket, stop| Arc::clone(&members).serve(socket, Start::Plain, stop));
    servers.serve(doors.imap_tls, |socket, stop| Arc::clone(&readers).serve(socket, Start::Tls, stop));
    servers.serve(doors.imap, |socket, stop| Arc::clone(&readers).serve(socket, Start::Plain, stop));
    servers.serve(doors.web_tls, |socket, stop| Arc::clone(&web).serve(socket, Some(web_tls.clone()), stop));
    servers.serve(doors.web, |socket, stop| Arc::clone(&web).serve(socket, None, stop));
    servers.begin(|stop| api::serve(socket, router, stop, heart.beat("the API")));
    if let Some((finder, https)) = direct {
        let reporter = Arc::new(Reporter { relay: Arc::clone(&relay), finder, https });
        workers.begin(|stop| reporter.run(stop));
    }
    workers.begin(|stop| relay.run(stop, heart.beat("the queue")));
    workers.begin(|stop| Arc::clone(&names).run(stop));
    workers.begin(|stop| news.follow(opened.store.clone(), stop));
    workers.begin(|stop| timers::run(opened.store.clone(), Arc::clone(&opened.desk), stop, heart.beat("the timers")));
    // The web is served: an authority may look.
    keeper.begin(&config.tls, &listens);
    let Doors { smtp, submission_tls, submission, imap_tls, imap, web_tls, web } = &listens;
    let hostname = &config.hostname;
    tracing::info!(%hostname, ?smtp, ?submission_tls, ?submission, ?imap_tls, ?imap, ?web_tls, ?web, "serving");
    let (config, applied) = (config.clone(), config.clone());
    Ok(Running { opened, metrics, names, prober, listens, config, applied, keeper, site, heart, servers, workers })
}

/// What sessions that were told to end get on top of `limits.drain`, for their last word.
const LAST_WORD: Duration = Duration::from_secs(10);

/// What closing the store may take.
const CLOSE: Duration = Duration::from_secs(30);

/// The longest that [`Running::stop`] takes with that `limits.drain`, unless the disk is very slow.
#[must_use]
pub fn longest_stop(drain: Duration) -> Duration {
    drain + LAST_WORD + worker::DRAIN + CLOSE
}

impl Running {
    /// What is shown to those who connect.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.keeper.certificates
    }

    /// Whether all parts come round within the time, the store's committer too: what the service
    /// manager's watchdog is told.
    ///
    /// # Errors
    /// The names of those that don't.
    pub async fn alive(&self, patience: Duration) -> Result<(), Vec<String>> {
        service::alive(patience, &self.heart, &self.opened.store).await
    }

    /// Stops what takes, within `limits.drain`, then what sends, then closes the store.
    pub async fn stop(mut self) {
        self.keeper.stop().await;
        self.servers.stop();
        if timeout(self.config.limits.drain + LAST_WORD, self.servers.ended()).await.is_err() {
            tracing::warn!("a request to the API is cut off at the end of the shutdown");
            self.servers.cut_off().await;
        }
        self.workers.stop();
        self.workers.ended().await;
        if let Err(error) = self.opened.store.close().await {
            tracing::error!(%error, "the store was not closed cleanly; it will be checked at the next start");
        }
    }
}
