//! Opens the store, starts the parts in order, and stops them in the other.
//!
//! Everything that can be wrong is found before anything listens: first what the config says, then
//! the data directory, the keys and the ports.

pub mod demo;
pub mod here;
pub mod inbound;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use hickory_resolver::TokioResolver;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use self::inbound::Inbound;
use crate::actions::{Act, ActionError, Actor, Desk, timers};
use crate::api::{self, App, upkeep};
use crate::cli::Failure;
use crate::config::{self, Blocklisted, Config};
use crate::desk::entry::Door;
use crate::desk::recipient::Domains;
use crate::desk::spam::{Listed, Thresholds};
use crate::desk::token::Keys;
use crate::dns::Names;
use crate::intake::Intake;
use crate::intake::gate::Gate;
use crate::intake::looks::{LookAlikeCap, Looks};
use crate::intake::quota::Quota;
use crate::intake::rates::Rates;
use crate::login::Logins;
use crate::login::throttle::Throttle;
use crate::metrics::Metrics;
use crate::net::limits::{ConnectionLimits, Memory};
use crate::net::listen::Listener;
use crate::net::resolver::resolver;
use crate::net::stop::{self, Stop};
use crate::net::tls::{Acceptor, CertificateFiles};
use crate::relay::client::{Client, Tls};
use crate::relay::exit::{Exit, Way};
use crate::relay::mx::{Finder, Ourselves};
use crate::relay::pool::PoolLimits;
use crate::relay::probe::{Prober, Probes};
use crate::relay::route::Route;
use crate::relay::worker::Relay;
use crate::smtp::body::Spool;
use crate::smtp::data::ContentLimits;
use crate::smtp::server::{Deadlines, Server, Settings, Start};
use crate::smtp::session::{Service, SessionLimits};
use crate::store::tables::{TOKEN_KEYS, TokenKey};
use crate::store::{OpenError, Options, Order, Read, Store};
use crate::sys::{logs, notify, signals};
use crate::trust::Authenticator;
use crate::trust::blocklist::Blocklists;
use crate::trust::rspamd::Rspamd;

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
    let dir = config.data_dir.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&store_dir(&dir), Options::default()))
        .await
        .context("the store could not be opened")?
        .map_err(store_failure)?;
    open_on(config, store).await
}

/// The same on a store that somebody else opened.
pub async fn open_on(config: &Config, store: Store) -> Result<Opened, Failure> {
    let keys = token_keys(&store).await?;
    Ok(Opened { desk: Arc::new(desk(config, keys)), store })
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

fn desk(config: &Config, keys: Keys) -> Desk {
    let random = SystemRandom::new();
    Desk {
        hostname: config.hostname.to_string(),
        domains: Domains {
            local: config.domains.iter().map(ToString::to_string).collect(),
            delimiters: config.smtp.delimiters.clone(),
        },
        keys,
        postmaster: config.postmaster.parse().ok(),
        acknowledgements: u32::try_from(config.limits.acknowledgements).unwrap_or(u32::MAX),
        random: Box::new(move || {
            let mut bytes = [0; 16];
            random.fill(&mut bytes).expect("the system's random numbers do not fail once they have begun");
            bytes
        }),
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
    runtime()?.block_on(async move {
        let mut signals = signals::Signals::new().context("signals can't be heard")?;
        let running = start(&config).await?;
        notify::ready(&running.status());
        loop {
            match signals.next().await {
                signals::Wish::Stop => break,
                // Certificates are read again at a restart.
                signals::Wish::Reload => tracing::warn!("there is nothing that SIGHUP reads again; restart instead"),
            }
        }
        notify::stopping();
        running.stop().await;
        Ok(())
    })
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
    servers: JoinSet<()>,
    parts: JoinSet<()>,
    stop_servers: stop::Stopper,
    stop_parts: stop::Stopper,
}

/// Starts all parts. When it returns, the ports are open and the store is.
pub async fn start(config: &Config) -> Result<Running, Failure> {
    config::check::create_data_dir(config).map_err(|problem| Failure::BadConfig(vec![problem]))?;
    let problems = config::check::files(config);
    if !problems.is_empty() {
        return Err(Failure::BadConfig(problems));
    }
    for warning in config::check::warnings(config) {
        tracing::warn!("{warning}");
    }
    start_on(config, open(config).await?)
}

/// The same on a store that is open already; the data directory is there. Must be called in a runtime.
pub fn start_on(config: &Config, opened: Opened) -> Result<Running, Failure> {
    let Opened { store, desk } = &opened;
    let resolver = resolver(&config.resolvers.iter().map(ToString::to_string).collect::<Vec<_>>())
        .map_err(|error| Failure::BadConfig(vec![config.problem("dns.resolvers", error.to_string())]))?;
    let acceptor = acceptor(config)?;
    let names = Arc::new(names(&Arc::new(config.clone()), &opened));
    names.load().map_err(anyhow::Error::from)?;
    let world = listeners(config, "smtp.listen", &config.smtp.listen)?;
    let members_tls = listeners(config, "submission.listen_tls", &config.submission.listen_tls)?;
    let members = listeners(config, "submission.listen", &config.submission.listen)?;
    let exit = exit(config, &resolver, world.iter().map(Listener::address).collect())?;
    let spool_dir = config.data_dir.join("spool");
    let memory = usize::try_from(config.limits.message_memory).unwrap_or(usize::MAX);
    let spool = Spool::open(&spool_dir, memory).with_context(|| format!("{} can't be used", spool_dir.display()))?;
    let socket = api::listen(&config.api_socket()).context("the API's socket can't be opened")?;

    let (stop_servers, servers_stop) = stop::channel();
    let (stop_parts, parts_stop) = stop::channel();
    let mut servers = JoinSet::new();
    let mut parts = JoinSet::new();
    let metrics = Arc::new(Metrics::default());
    let gate = gate(config, &resolver, &metrics);
    let probes = Arc::new(Probes::default());
    let intake = Intake {
        store: store.clone(),
        desk: Arc::clone(desk),
        trust: Authenticator::new(resolver.clone(), config.hostname.to_string()),
        looks: Looks::new(LookAlikeCap {
            count: at_most(config.limits.look_alike),
            minutes: u32::try_from(config.limits.look_alike_window.as_secs() / 60).unwrap_or(u32::MAX),
        }),
        quota: Quota::new(at_most(config.limits.submitted_recipients)),
        gate,
    };
    let failures = at_most(config.limits.failed_logins);
    let logins = Logins {
        store: store.clone(),
        desk: Arc::clone(desk),
        throttle: Throttle::new(failures),
        metrics: Arc::clone(&metrics),
    };
    let host = Arc::new(Inbound {
        intake,
        logins: Arc::new(logins),
        memory: Memory::new(MEMORY),
        networks: Rates::an_hour(at_most(config.limits.network_messages)),
        metrics: Arc::clone(&metrics),
        probes: Arc::clone(&probes),
    });
    let settings = |service| smtp_settings(config, service, acceptor.clone(), spool.clone(), &metrics);
    let smtp = Arc::new(Server::new(Arc::clone(&host), settings(Service::World)));
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
    let relay = Arc::new(Relay {
        store: store.clone(),
        desk: Arc::clone(desk),
        exit,
        signers: names.signers(),
        concurrency: config.limits.deliveries,
        per_destination: config.limits.deliveries_per_destination,
        lifetime: SignedDuration::try_from(config.limits.queue_lifetime).unwrap_or(SignedDuration::MAX),
        memory: Memory::new(MEMORY),
        now: Box::new(Timestamp::now),
        metrics: Arc::clone(&metrics),
    });
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
        names: Arc::clone(&names),
        prober: Some(Arc::clone(&prober)),
    };
    servers.spawn(api::serve(socket, api::router(app), servers_stop));
    parts.spawn(relay.run(parts_stop.clone()));
    parts.spawn(Arc::clone(&names).run(parts_stop.clone()));
    parts.spawn(run_timers(store.clone(), Arc::clone(desk), parts_stop));
    tracing::info!(hostname = %config.hostname, ?smtp, ?submission_tls, ?submission, "serving");
    Ok(Running {
        opened,
        metrics,
        names,
        prober,
        smtp,
        submission_tls,
        submission,
        servers,
        parts,
        stop_servers,
        stop_parts,
    })
}

impl Running {
    /// One line for the service manager.
    fn status(&self) -> String {
        let ports = |addresses: &[SocketAddr]| {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(", ")
        };
        let submission: Vec<_> = self.submission_tls.iter().chain(&self.submission).copied().collect();
        if submission.is_empty() {
            return format!("SMTP on {}", ports(&self.smtp));
        }
        format!("SMTP on {}; submission on {}", ports(&self.smtp), ports(&submission))
    }

    /// Stops what takes, then what sends, then closes the store.
    pub async fn stop(mut self) {
        self.stop_servers.stop();
        while self.servers.join_next().await.is_some() {}
        self.stop_parts.stop();
        while self.parts.join_next().await.is_some() {}
        if let Err(error) = self.opened.store.close().await {
            tracing::error!(%error, "the store was not closed cleanly; it will be checked at the next start");
        }
    }
}

/// What time does to tickets, as it passes.
async fn run_timers(store: Store, desk: Arc<Desk>, mut stop: Stop) {
    loop {
        let now = Timestamp::now();
        let moved = store
            .transact(|tx| timers::tick(tx, &Act { desk: &desk, now, door: Door::Timer, actor: Actor::System }))
            .await;
        let wait = match moved {
            Ok(0) => {
                let next = store.read(|view| timers::next(view)).ok().flatten();
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
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The sockets that a key names.
fn listeners(config: &Config, key: &str, addresses: &[SocketAddr]) -> Result<Vec<Listener>, Failure> {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Listener::bind_all(key, &addresses)
        .map_err(|error| Failure::BadConfig(vec![config.problem(key, error.to_string())]))
}

fn smtp_settings(
    config: &Config,
    service: Service,
    acceptor: Acceptor,
    spool: Spool,
    metrics: &Arc<Metrics>,
) -> Settings {
    let limits = &config.limits;
    Settings {
        hostname: config.hostname.to_string(),
        service,
        limits: SessionLimits {
            content: ContentLimits { message: config.smtp.max_message_size, ..ContentLimits::default() },
            recipients: limits.recipients,
            errors: u32::try_from(limits.errors).unwrap_or(u32::MAX),
            ..SessionLimits::default()
        },
        deadlines: Deadlines {
            command: limits.idle,
            message: limits.data,
            drain: limits.drain,
            ..Deadlines::default()
        },
        connections: ConnectionLimits::new(limits.connections, limits.connections_per_address),
        spool,
        tls: Some(acceptor),
        metrics: Arc::clone(metrics),
    }
}

/// Who is asked about mail from the world, and how much of it goes on an hour.
fn gate(config: &Config, resolver: &TokioResolver, metrics: &Arc<Metrics>) -> Gate {
    let (spam, limits) = (&config.spam, &config.limits);
    let rspamd = spam.rspamd.as_ref().map(|place| Rspamd {
        host: place.host.clone(),
        port: place.port,
        deadline: spam.timeout,
        hostname: config.hostname.to_string(),
        resolver: resolver.clone(),
    });
    let zones: Vec<_> = spam.blocklists.iter().map(ToString::to_string).collect();
    Gate {
        rspamd,
        thresholds: Thresholds { reject: spam.reject_score, spam: spam.spam_score },
        blocklists: (!zones.is_empty()).then(|| Blocklists::new(resolver.clone(), zones)),
        listed: match spam.blocklisted {
            Blocklisted::Reject => Listed::Reject,
            Blocklisted::Spam => Listed::Spam,
        },
        senders: Rates::an_hour(at_most(limits.sender_messages)),
        new_tickets: Rates::an_hour(at_most(limits.new_tickets)),
        metrics: Arc::clone(metrics),
    }
}

fn at_most(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// The configured certificate, or a self-signed one.
fn acceptor(config: &Config) -> Result<Acceptor, Failure> {
    let (files, key) = if let Some(tls) = &config.tls {
        (CertificateFiles { certificate: tls.certificate.clone(), key: tls.key.clone() }, "tls.certificate")
    } else {
        let files = CertificateFiles::self_signed(&config.data_dir.join("certs"), &[config.hostname.to_string()]);
        (files.map_err(anyhow::Error::from)?, "tls")
    };
    let server = files.load().map_err(|error| Failure::BadConfig(vec![config.problem(key, error.to_string())]))?;
    Ok(Acceptor::new(server))
}

/// The keys that sign, and the eye on their records. Nothing is read yet.
pub fn names(config: &Arc<Config>, opened: &Opened) -> Names {
    Names::new(Arc::clone(config), opened.store.clone(), Arc::clone(&opened.desk), Timestamp::now)
}

/// The way out; `listens` is where we take mail.
fn exit(config: &Config, resolver: &TokioResolver, listens: Vec<SocketAddr>) -> Result<Exit, Failure> {
    let route = Route::of(&config.relay)
        .map_err(|error| Failure::BadConfig(vec![config.problem("relay.password_file", error.to_string())]))?;
    let way = match route {
        Route::Capture(maildir) => {
            let problem =
                |error: io::Error| Failure::BadConfig(vec![config.problem("relay.capture", error.to_string())]);
            return Exit::to_maildir(maildir).map_err(problem);
        }
        Route::Host(hop) => Way::Hop(hop),
        Route::Direct(direct) => {
            let ourselves = Ourselves { hostname: config.hostname.to_string(), listens };
            Way::Direct(Arc::new(Finder::new(resolver.clone(), direct, ourselves, random_number)))
        }
    };
    let helo = config.egress.helo.as_ref().unwrap_or(&config.hostname);
    let client = Client::new(helo.to_string(), resolver.clone(), Tls::system().map_err(anyhow::Error::from)?)
        .from_addresses(config.egress.source.clone());
    let limits = PoolLimits { connections: config.limits.deliveries_per_destination, ..PoolLimits::default() };
    Ok(Exit::to_servers(way, client, limits))
}

/// Any number. One that is not at all random costs fairness alone.
fn random_number() -> u64 {
    let mut bytes = [0; 8];
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
