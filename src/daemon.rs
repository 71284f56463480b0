//! Opens the store, starts the parts in order, and stops them in the other.
//!
//! Everything that can be wrong is found before anything listens: first what the config says, then
//! the data directory, the keys and the ports.

pub mod demo;
pub mod here;
pub mod inbound;
mod parts;
pub mod reload;
mod service;
mod tls;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use self::inbound::Inbound;
use self::tls::Keeper;
use crate::actions::{Act, ActionError, Actor, Desk, timers};
use crate::api::{self, App, upkeep};
use crate::cli::Failure;
use crate::config::{self, Config, Problem};
use crate::desk::entry::Door;
use crate::desk::token::Keys;
use crate::dns::Names;
use crate::imap::news::News;
use crate::metrics::Metrics;
use crate::net::beat::{Beat, Heart};
use crate::net::limits::Memory;
use crate::net::listen::Listener;
use crate::net::passed::{Passed, PassedError};
use crate::net::resolver::resolver;
use crate::net::stop::{self, Stop};
use crate::net::tls::{Acceptor, Certificates};
use crate::relay::destinations::Limits;
use crate::relay::probe::{Prober, Probes};
use crate::relay::tls_reports::Reporter;
use crate::relay::worker::{self, Relay};
use crate::smtp::body::Spool;
use crate::smtp::server::{Server, Start};
use crate::smtp::session::Service;
use crate::store::tables::{TOKEN_KEYS, TokenKey};
use crate::store::{OpenError, Options, Order, Progress, Read as _, Store};
use crate::sys::logs;
use crate::trust::Authenticator;
use crate::web;

/// The longest between two looks at what time does to tickets.
const TIMER: Duration = Duration::from_secs(30);

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
    let options = Options { progress, ..Options::default() };
    let store = tokio::task::spawn_blocking(move || Store::open(&store_dir(&dir), options))
        .await
        .context("the store could not be opened")?
        .map_err(store_failure)?;
    open_on(config, store).await
}

/// The same on a store that somebody else opened.
pub async fn open_on(config: &Config, store: Store) -> Result<Opened, Failure> {
    let keys = token_keys(&store).await?;
    Ok(Opened { desk: Arc::new(parts::desk(config, keys)), store })
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
    logs::start().map_err(|error| anyhow::anyhow!(error))?;
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
    Failure::BadConfig(vec![Problem {
        file: "systemd".into(),
        line: None,
        key: String::new(),
        text: error.to_string(),
    }])
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
    /// Where SMTP listens, ports given by the system included.
    pub smtp: Vec<SocketAddr>,
    /// Where members submit, by TLS from the start and by STARTTLS.
    pub submission_tls: Vec<SocketAddr>,
    pub submission: Vec<SocketAddr>,
    /// Where mail clients read, by TLS from the start and by STARTTLS.
    pub imap_tls: Vec<SocketAddr>,
    pub imap: Vec<SocketAddr>,
    /// Where HTTPS and HTTP are answered.
    pub web_tls: Vec<SocketAddr>,
    pub web: Vec<SocketAddr>,
    /// What it was started with.
    config: Config,
    keeper: Keeper,
    site: web::site::Site,
    /// Asks the loops of all parts whether they move.
    heart: Arc<Heart>,
    servers: JoinSet<()>,
    parts: JoinSet<()>,
    stop_servers: stop::Stopper,
    stop_parts: stop::Stopper,
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

fn start_parts(config: &Config, opened: Opened, mut passed: Passed) -> Result<Running, Failure> {
    let Opened { store, desk } = &opened;
    let resolver = resolver(&config.resolvers.iter().map(ToString::to_string).collect::<Vec<_>>())
        .map_err(|error| Failure::BadConfig(vec![config.problem("dns.resolvers", error.to_string())]))?;
    let mut keeper = Keeper::new(config, &resolver)?;
    let acceptor = |made: Result<Acceptor, _>| made.map_err(anyhow::Error::from);
    let mail = acceptor(Acceptor::for_mail(&keeper.certificates))?;
    let https = acceptor(Acceptor::for_web(&keeper.certificates))?;
    let names = Arc::new(parts::names(&Arc::new(config.clone()), &opened));
    names.load().map_err(anyhow::Error::from)?;
    let heart = Arc::new(Heart::default());
    let mut listeners = |key, addresses: &[SocketAddr]| parts::listeners(config, key, addresses, &mut passed, &heart);
    let world = listeners("smtp.listen", &config.smtp.listen)?;
    let members_tls = listeners("submission.listen_tls", &config.submission.listen_tls)?;
    let members = listeners("submission.listen", &config.submission.listen)?;
    let readers_tls = listeners("imap.listen_tls", &config.imap.listen_tls)?;
    let readers = listeners("imap.listen", &config.imap.listen)?;
    let web_tls = listeners("web.listen_tls", &config.web.listen_tls)?;
    let web = listeners("web.listen", &config.web.listen)?;
    let (exit, direct) = parts::exit(config, &resolver, store, world.iter().map(Listener::address).collect())?;
    let spool_dir = config.data_dir.join("spool");
    let memory = usize::try_from(config.limits.message_memory).unwrap_or(usize::MAX);
    let spool = Spool::open(&spool_dir, memory).with_context(|| format!("{} can't be used", spool_dir.display()))?;
    let socket = api::listen(&config.api_socket()).context("the API's socket can't be opened")?;

    let (stop_servers, servers_stop) = stop::channel();
    let (stop_parts, parts_stop) = stop::channel();
    let mut servers = JoinSet::new();
    let mut parts = JoinSet::new();
    let metrics = Arc::new(Metrics::default());
    let probes = Arc::new(Probes::default());
    let host = Arc::new(parts::inbound(config, &opened, &resolver, &metrics, &probes));
    let settings = |service| parts::mail_settings(config, service, mail.clone(), spool.clone(), &metrics);
    let smtp = Arc::new(Server::new(Arc::clone(&host), settings(Service::World)));
    let news = Arc::new(News::default());
    let imap_server = parts::imap(config, &opened, &host.logins, &news, mail.clone(), spool.clone());
    let imap_server = Arc::new(imap_server);
    let submission = Arc::new(Server::new(host, settings(Service::Submission)));
    let mut serve = |server: &Arc<Server<Inbound>>, listeners: Vec<Listener>, start| -> Vec<SocketAddr> {
        let addresses = listeners.iter().map(Listener::address).collect();
        for listener in listeners {
            servers.spawn(Arc::clone(server).serve(listener, start, servers_stop.clone()));
        }
        addresses
    };
    let smtp = serve(&smtp, world, Start::Plain);
    let submission_tls = serve(&submission, members_tls, Start::Tls);
    let submission = serve(&submission, members, Start::Plain);
    let mut serve_imap = |listeners: Vec<Listener>, start| -> Vec<SocketAddr> {
        let addresses = listeners.iter().map(Listener::address).collect();
        for listener in listeners {
            servers.spawn(Arc::clone(&imap_server).serve(listener, start, servers_stop.clone()));
        }
        addresses
    };
    let imap_tls = serve_imap(readers_tls, Start::Tls);
    let imap = serve_imap(readers, Start::Plain);
    let site = web::site::Site::new(config, keeper.certificates.clone());
    let web_server = Arc::new(parts::web_server(config, &site));
    let mut serve_web = |listeners: Vec<Listener>, tls: Option<&Acceptor>| -> Vec<SocketAddr> {
        let addresses = listeners.iter().map(Listener::address).collect();
        for listener in listeners {
            servers.spawn(Arc::clone(&web_server).serve(listener, tls.cloned(), servers_stop.clone()));
        }
        addresses
    };
    let web_tls = serve_web(web_tls, Some(&https));
    let web = serve_web(web, None);
    let relay = Arc::new(Relay {
        store: store.clone(),
        desk: Arc::clone(desk),
        exit,
        signers: names.signers(),
        limits: Limits { each: config.limits.deliveries_per_destination, in_all: config.limits.deliveries },
        memory: Memory::new(MEMORY),
        now: Box::new(Timestamp::now),
        metrics: Arc::clone(&metrics),
    });
    if let Some((finder, https)) = direct {
        let reporter = Arc::new(Reporter { relay: Arc::clone(&relay), finder, https });
        parts.spawn(reporter.run(parts_stop.clone()));
    }
    let prober = Arc::new(Prober {
        relay: Arc::clone(&relay),
        probes,
        authenticator: Authenticator::new(resolver.clone(), config.hostname.to_string()),
        listens: smtp.clone(),
        direct: matches!(config.relay, config::Relay::Direct(_)),
    });
    let app = App {
        store: store.clone(),
        desk: Arc::clone(desk),
        config: Arc::new(config.clone()),
        metrics: Some(Arc::clone(&metrics)),
        certificates: Some(keeper.certificates.clone()),
        names: Arc::clone(&names),
        prober: Some(Arc::clone(&prober)),
    };
    servers.spawn(api::serve(socket, api::router(app), servers_stop, heart.beat("the API")));
    parts.spawn(relay.run(parts_stop.clone(), heart.beat("the queue")));
    parts.spawn(Arc::clone(&names).run(parts_stop.clone()));
    parts.spawn(news.follow(store.clone(), parts_stop.clone()));
    parts.spawn(run_timers(store.clone(), Arc::clone(desk), parts_stop, heart.beat("the timers")));
    // Once the web listeners answer, an authority may look.
    keeper.begin(&config.tls);
    tracing::info!(hostname = %config.hostname, ?smtp, ?submission_tls, ?submission, ?imap_tls, ?imap, ?web_tls, ?web, "serving");
    Ok(Running {
        opened,
        metrics,
        names,
        prober,
        smtp,
        submission_tls,
        submission,
        imap_tls,
        imap,
        web_tls,
        web,
        config: config.clone(),
        keeper,
        site,
        heart,
        servers,
        parts,
        stop_servers,
        stop_parts,
    })
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
        self.stop_servers.stop();
        let servers = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.limits.drain + LAST_WORD, servers).await.is_err() {
            tracing::warn!("a request to the API is cut off at the end of the shutdown");
            self.servers.shutdown().await;
        }
        self.stop_parts.stop();
        while self.parts.join_next().await.is_some() {}
        if let Err(error) = self.opened.store.close().await {
            tracing::error!(%error, "the store was not closed cleanly; it will be checked at the next start");
        }
    }
}

/// What time does to tickets, as it passes.
async fn run_timers(store: Store, desk: Arc<Desk>, mut stop: Stop, beat: Beat) {
    loop {
        let now = Timestamp::now();
        let tick = store.transact(|tx| {
            let trace = Some(desk.mint_trace());
            timers::tick(tx, &Act { desk: &desk, now, door: Door::Timer, actor: Actor::System, trace })
        });
        // The store may be long about it, while it builds its index again.
        let moved = beat.during(tick).await;
        let wait = match moved {
            Ok(0) => {
                let next = store.read(|view| timers::next(view, &desk)).ok().flatten();
                let until = next.map_or(SignedDuration::MAX, |next| next.duration_since(now));
                Duration::try_from(until).unwrap_or(Duration::ZERO).clamp(Duration::from_millis(200), TIMER)
            }
            // More may wait than one transaction moves.
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::error!(%error, "tickets can't be woken or closed");
                TIMER
            }
        };
        tokio::select! {
            () = stop.stopped() => return,
            () = beat.answer() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
