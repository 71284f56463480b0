//! The parts of the daemon, each as the configuration wants it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use hickory_resolver::TokioResolver;
use jiff::{SignedDuration, Timestamp};

use super::doors::Addresses;
use super::inbound::Inbound;
use super::{MEMORY, Opened};
use crate::actions::{ActionError, Desk, Patience, find};
use crate::cli::Failure;
use crate::config::{self, Blocklisted, Config, check};
use crate::desk::recipient::Domains;
use crate::desk::spam::{Listed, Thresholds};
use crate::desk::token::Keys;
use crate::dns::Names;
use crate::imap;
use crate::imap::news::News;
use crate::intake::Intake;
use crate::intake::gate::Gate;
use crate::intake::looks::{LookAlikeCap, Looks};
use crate::intake::quota::Quota;
use crate::intake::rates::Rates;
use crate::login::Logins;
use crate::login::throttle::Throttle;
use crate::metrics::Metrics;
use crate::net::limits::{ConnectionLimits, Memory};
use crate::net::resolver;
use crate::net::tls::{Acceptor, Certificates};
use crate::net::validator::Validator;
use crate::relay::client::{Client, Tls};
use crate::relay::destinations::Limits;
use crate::relay::exit::{Exit, Way};
use crate::relay::https::Https;
use crate::relay::mta_sts::Policies;
use crate::relay::mx::{Finder, Ourselves};
use crate::relay::pool::PoolLimits;
use crate::relay::probe::{Prober, Probes};
use crate::relay::route::Route;
use crate::relay::tally::Tally;
use crate::relay::worker::Relay;
use crate::smtp::body::Spool;
use crate::smtp::data::ContentLimits;
use crate::smtp::server::{Deadlines, Settings};
use crate::smtp::session::{Service, SessionLimits};
use crate::store::Store;
use crate::trust::blocklist::Blocklists;
use crate::trust::rspamd::Rspamd;
use crate::trust::{Authenticator, Signers};
use crate::web;
use crate::web::site::Site;

/// The rules of the desk.
pub(super) fn desk(config: &Config, keys: Keys) -> Desk {
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
        patience: Patience {
            warning: signed(config.limits.queue_warning),
            lifetime: signed(config.limits.queue_lifetime),
        },
        random: Box::new(move || {
            let mut bytes = [0; 16];
            random.fill(&mut bytes).expect("the system's random numbers do not fail once they have begun");
            bytes
        }),
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Who is asked about names.
pub(super) fn resolver(config: &Config) -> Result<TokioResolver, Failure> {
    let servers: Vec<_> = config.resolvers.iter().map(ToString::to_string).collect();
    resolver::resolver(&servers)
        .map_err(|error| Failure::BadConfig(vec![config.problem("dns.resolvers", error.to_string())]))
}

/// TLS on the ports of mail, and on those of the web.
pub(super) fn acceptors(certificates: &Certificates) -> anyhow::Result<(Acceptor, Acceptor)> {
    Ok((Acceptor::for_mail(certificates)?, Acceptor::for_web(certificates)?))
}

/// Where large messages wait on their way in.
pub(super) fn spool(config: &Config) -> anyhow::Result<Spool> {
    let folder = config.data_dir.join("spool");
    let memory = usize::try_from(config.limits.message_memory).unwrap_or(usize::MAX);
    Spool::open(&folder, memory).with_context(|| format!("{} can't be used", folder.display()))
}

/// Says where mail for the postmaster goes to another property than the one that is named.
pub(super) fn look_for_postmaster(config: &Config, store: &Store) -> anyhow::Result<()> {
    match store.read(|view| find::property(view, &config.postmaster)) {
        Ok(_) => {}
        Err(missing @ ActionError::NotFound { .. }) => {
            tracing::warn!("{}", check::no_postmaster(config, &missing));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// How mail is taken from the world, or from members.
pub(super) fn mail_settings(
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

/// What the SMTP servers ask: the way in, and who may log in.
pub(super) fn inbound(
    config: &Config,
    opened: &Opened,
    resolver: &TokioResolver,
    metrics: &Arc<Metrics>,
    probes: &Arc<Probes>,
) -> Inbound {
    let (limits, Opened { store, desk }) = (&config.limits, opened);
    let cap = LookAlikeCap {
        count: at_most(limits.look_alike),
        minutes: u32::try_from(limits.look_alike_window.as_secs() / 60).unwrap_or(u32::MAX),
    };
    let intake = Intake {
        store: store.clone(),
        desk: Arc::clone(desk),
        trust: Authenticator::new(resolver.clone(), config.hostname.to_string()),
        looks: Looks::new(cap),
        quota: Quota::new(at_most(limits.submitted_recipients)),
        gate: gate(config, resolver, metrics),
    };
    let logins = Logins {
        store: store.clone(),
        desk: Arc::clone(desk),
        throttle: Throttle::new(at_most(limits.failed_logins)),
        metrics: Arc::clone(metrics),
    };
    Inbound {
        intake: Arc::new(intake),
        logins: Arc::new(logins),
        memory: Memory::new(MEMORY),
        networks: Rates::an_hour(at_most(limits.network_messages)),
        metrics: Arc::clone(metrics),
        probes: Arc::clone(probes),
    }
}

/// Who answers mail clients.
pub(super) fn imap(
    config: &Config,
    opened: &Opened,
    host: &Inbound,
    news: &Arc<News>,
    tls: Acceptor,
    spool: Spool,
) -> imap::server::Server {
    let limits = &config.limits;
    imap::server::Server {
        hostname: config.hostname.to_string(),
        desk: imap::Desk {
            store: opened.store.clone(),
            desk: Arc::clone(&opened.desk),
            intake: Arc::clone(&host.intake),
            append_limit: config.smtp.max_message_size,
            rolls: Arc::default(),
            memory: Arc::new(Memory::new(MEMORY)),
        },
        logins: Arc::clone(&host.logins),
        news: Arc::clone(news),
        tls: Some(tls),
        spool,
        connections: ConnectionLimits::new(limits.imap_connections, limits.imap_connections_per_address),
        deadlines: imap::server::Deadlines { drain: limits.drain, ..imap::server::Deadlines::default() },
        errors: at_most(limits.errors),
        metrics: Arc::clone(&host.metrics),
    }
}

/// Who answers on the web listeners.
pub(super) fn web_server(config: &Config, site: &Site) -> web::server::Server {
    web::server::Server {
        site: site.clone(),
        connections: ConnectionLimits::new(config.limits.connections, config.limits.connections_per_address),
        deadlines: web::server::Deadlines::default(),
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

/// The keys that sign and the eye on their records; nothing is read yet.
pub(super) fn names(config: &Arc<Config>, opened: &Opened) -> Names {
    let policy = web::site::policy(&config.hostname, &config.tls);
    let names = Names::new(Arc::clone(config), opened.store.clone(), Arc::clone(&opened.desk), Timestamp::now);
    names.with_policy(policy)
}

/// Who knows the servers of domains, and who asks their web servers.
pub(super) type Direct = (Arc<Finder>, Https);

/// The way out, and what reports on it.
pub(super) fn exit(
    config: &Config,
    resolver: &TokioResolver,
    store: &Store,
    listens: &Addresses,
) -> Result<(Exit, Option<Direct>), Failure> {
    let route = Route::of(&config.relay)
        .map_err(|error| Failure::BadConfig(vec![config.problem("relay.password_file", error.to_string())]))?;
    let system = || Tls::system().map_err(anyhow::Error::from);
    let (way, tls, known) = match route {
        Route::Capture(maildir) => {
            let problem =
                |error: io::Error| Failure::BadConfig(vec![config.problem("relay.capture", error.to_string())]);
            return Ok((Exit::to_maildir(maildir).map_err(problem)?, None));
        }
        Route::Host(hop) => (Way::Hop(hop), system()?, None),
        Route::Direct(direct) => {
            let tls = system()?;
            let https = Https::new(resolver.clone(), &tls, direct).map_err(anyhow::Error::from)?;
            let policies = Policies::new(store.clone(), resolver.clone(), https.clone(), Timestamp::now);
            let ourselves = Ourselves { hostname: config.hostname.to_string(), listens: listens.smtp.clone() };
            let mut finder = Finder::new(resolver.clone(), direct, ourselves, random_number).with_policies(policies);
            if let Some(validator) = config.validating.then(|| Validator::new(config.resolvers.clone())).flatten() {
                let tried = validator.clone();
                tokio::spawn(async move { tried.try_out().await });
                finder = finder.with_validator(validator);
            }
            if direct.tls_reports {
                finder = finder.with_tally(Arc::new(Tally::new(Timestamp::now)));
            }
            let finder = Arc::new(finder);
            (Way::Direct(Arc::clone(&finder)), tls, Some((finder, https)))
        }
    };
    let helo = config.egress.helo.as_ref().unwrap_or(&config.hostname);
    let client = Client::new(helo.to_string(), resolver.clone(), tls).from_addresses(config.egress.source.clone());
    let limits = PoolLimits { connections: config.limits.deliveries_per_destination, ..PoolLimits::default() };
    Ok((Exit::to_servers(way, client, limits), known))
}

/// Who takes copies out, by that way.
pub(super) fn relay(
    config: &Config,
    opened: &Opened,
    exit: Exit,
    signers: Arc<Signers>,
    metrics: &Arc<Metrics>,
) -> Relay {
    Relay {
        store: opened.store.clone(),
        desk: Arc::clone(&opened.desk),
        exit,
        signers,
        limits: Limits { each: config.limits.deliveries_per_destination, in_all: config.limits.deliveries },
        memory: Memory::new(MEMORY),
        now: Box::new(Timestamp::now),
        metrics: Arc::clone(metrics),
    }
}

/// Who tests the way out.
pub(super) fn prober(config: &Config, relay: &Arc<Relay>, resolver: &TokioResolver, listens: &Addresses) -> Prober {
    Prober {
        relay: Arc::clone(relay),
        probes: Arc::default(),
        authenticator: Authenticator::new(resolver.clone(), config.hostname.to_string()),
        listens: listens.smtp.clone(),
        direct: matches!(config.relay, config::Relay::Direct(_)),
    }
}

/// Any number. One that is not at all random costs fairness alone.
fn random_number() -> u64 {
    let mut bytes = [0; 8];
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
