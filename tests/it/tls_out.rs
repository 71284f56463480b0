//! How safe the line to a server must be: as its zone says (DANE), else as its domain says (MTA-STS),
//! and never less. What can't be had so waits.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use guichet::actions::queue::{self, Verb};
use guichet::config::Direct;
use guichet::desk::copy::{Copy, CopyState};
use guichet::desk::mta_sts::{Mode, Policy};
use guichet::desk::tls_report::PolicyReport;
use guichet::net::resolver::resolver;
use guichet::net::validator::Validator;
use guichet::relay::client::{Client, Outcome, Tls, Transaction};
use guichet::relay::exit::{Exit, Way};
use guichet::relay::https::Https;
use guichet::relay::mta_sts::Policies;
use guichet::relay::mx::{Finder, Ourselves};
use guichet::relay::pool::PoolLimits;
use guichet::relay::tally::Tally;
use guichet::store::tables::{COPIES, MTA_STS, TLS_COUNTS};
use guichet::store::{Order, Read, Store};
use hickory_resolver::TokioResolver;
use jiff::{SignedDuration, Timestamp};

use crate::kit::authority::{Authority, Identity};
use crate::kit::desk::{TestDesk, address};
use crate::kit::dns::Dns;
use crate::kit::signed_zones::{SignedZones, Signing, Zone};
use crate::kit::sink::{Act, Sink};
use crate::kit::web::{Page, Web};

const US: &str = "mx.desk.example.org";
const MESSAGE: &[u8] = b"Subject: x\r\n\r\nHello.\r\n";
const ONE: &str = "one.example.net";
const TWO: &str = "two.example.net";

/// A domain `example.com` with mail servers at 127.0.1.1, 127.0.1.2, …, a web server with its policy,
/// and a name server.
struct World {
    dns: Dns,
    web: Web,
    authority: Authority,
    hosts: Vec<Sink>,
    direct: Direct,
    store: Store,
    tally: Arc<Tally>,
    now: Arc<Mutex<Timestamp>>,
    validating: bool,
    patience: Duration,
    /// Asked instead of `dns`.
    name_server: Option<SocketAddr>,
}

impl World {
    /// With one server for each: its certificate, or none and no STARTTLS.
    async fn of(authority: Authority, identities: &[Option<Identity>]) -> Self {
        let dns = Dns::start().await;
        let sink = |identity: &Option<Identity>| {
            let sink = Sink::new(&["PIPELINING"]);
            if let Some(identity) = identity { sink.certified(identity) } else { sink }
        };
        let hosts = Sink::start_as_neighbours(&identities.iter().map(sink).collect::<Vec<_>>()).await;
        for ((name, host), preference) in [ONE, TWO].iter().zip(&hosts).zip([10, 20]) {
            dns.address(name, host.address().ip()).exchange("example.com", preference, name);
        }
        let page = Page::Text(policy("enforce", &[ONE, TWO]));
        let web = Web::start(([127, 0, 0, 1], 0).into(), authority.valid("mta-sts.example.com").config(), page).await;
        dns.address("mta-sts.example.com", web.address().ip());
        let direct = Direct {
            port: hosts[0].address().port(),
            allow_loopback: true,
            https_port: web.address().port(),
            tls_reports: true,
        };
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_800_000_000).unwrap()));
        let clock = Arc::clone(&now);
        let tally = Arc::new(Tally::new(move || *clock.lock().unwrap()));
        let (store, patience) = (Store::memory(), Duration::from_mins(1));
        Self { dns, web, authority, hosts, direct, store, tally, now, validating: false, patience, name_server: None }
    }

    /// With one server whose certificate is right.
    async fn right() -> Self {
        let authority = Authority::new();
        let identity = authority.valid(ONE);
        Self::of(authority, &[Some(identity)]).await
    }

    /// With one server whose certificate is nobody's.
    async fn wrong() -> Self {
        let identity = Authority::new().valid(ONE);
        Self::of(Authority::new(), &[Some(identity)]).await
    }

    /// The domain announces a policy.
    fn announce(&self, id: &str) {
        self.dns.forget("_mta-sts.example.com").txt("_mta-sts.example.com", &format!("v=STSv1; id={id};"));
    }

    /// Name servers say that everything about the domain and its server is authentic.
    fn sign(&mut self) {
        self.validating = true;
        for name in ["example.com", ONE, TWO, "_25._tcp.one.example.net", "_25._tcp.two.example.net"] {
            self.dns.authentic(name);
        }
    }

    /// A daemon that just started: it knows what is in the store.
    fn exit(&self) -> Exit {
        let client = Client::new(US, self.resolver(), self.tls());
        Exit::to_servers(Way::Direct(Arc::new(self.finder())), client, PoolLimits::default())
    }

    fn servers(&self) -> Vec<String> {
        self.name_server.map_or(self.dns.servers(), |server| vec![server.to_string()])
    }

    fn resolver(&self) -> TokioResolver {
        resolver(&self.servers()).unwrap()
    }

    fn tls(&self) -> Tls {
        Tls::with_roots(self.authority.roots()).unwrap()
    }

    fn finder(&self) -> Finder {
        let (resolver, tls) = (self.resolver(), self.tls());
        let https = Https::new(resolver.clone(), &tls, self.direct).unwrap().with_patience(self.patience);
        let clock = Arc::clone(&self.now);
        let policies = Policies::new(self.store.clone(), resolver.clone(), https, move || *clock.lock().unwrap());
        let ourselves = Ourselves { hostname: US.to_owned(), listens: Vec::new() };
        let finder = Finder::new(resolver, self.direct, ourselves, || 0)
            .with_policies(policies)
            .with_tally(Arc::clone(&self.tally));
        if !self.validating {
            return finder;
        }
        let servers = self.servers().iter().map(|server| server.parse().unwrap()).collect();
        finder.with_validator(Validator::new(servers).unwrap())
    }

    async fn send(&self) -> Outcome {
        deliver(&self.exit()).await
    }

    fn pass(&self, time: SignedDuration) {
        let mut now = self.now.lock().unwrap();
        *now += time;
    }

    /// Who got how many mails.
    fn received(&self) -> Vec<usize> {
        self.hosts.iter().map(|host| host.received().len()).collect()
    }

    /// Whether the last mail to the first host went under TLS.
    fn encrypted(&self) -> bool {
        self.hosts[0].commands().iter().any(|command| command == "STARTTLS")
    }

    fn policies_fetched(&self) -> usize {
        self.web.asked().len()
    }

    /// Mail waits, with words that say why, and nobody got any.
    async fn waits(&self, code: &str, words: &str) {
        let outcome = self.send().await;
        let Outcome::RouteDown(reply) = &outcome else { panic!("{words}: {outcome:?}") };
        let reply = reply.to_string();
        assert!(reply.starts_with(code) && reply.contains(words), "{code} {words}: {reply}");
        assert!(self.received().iter().all(|count| *count == 0), "{reply}");
    }

    /// Mail goes.
    async fn goes(&self) {
        let outcome = self.send().await;
        assert!(matches!(outcome, Outcome::Sent(_)), "{outcome:?}");
    }

    /// What is counted, as it would be reported.
    async fn counted(&self, about: &str) -> Vec<PolicyReport> {
        self.tally.write(&self.store).await.unwrap();
        let all = self.store.read(|view| view.range(&TLS_COUNTS, .., Order::Up, 100)).unwrap();
        let about = all.iter().filter(|((_, domain), _)| domain == about);
        about.flat_map(|((_, domain), counts)| counts.report(domain)).collect()
    }

    /// The same in short: kind of policy, how many went well and failed, and the failures.
    async fn counts(&self) -> Vec<(String, u64, u64, Vec<String>)> {
        self.counts_of("example.com").await
    }

    async fn counts_of(&self, domain: &str) -> Vec<(String, u64, u64, Vec<String>)> {
        let short = |report: PolicyReport| {
            let kinds = report.failure_details.into_iter().map(|detail| detail.result_type).collect();
            let (good, bad) =
                (report.summary.total_successful_session_count, report.summary.total_failure_session_count);
            (report.policy.policy_type, good, bad, kinds)
        };
        self.counted(domain).await.into_iter().map(short).collect()
    }
}

fn policy(mode: &str, mx: &[&str]) -> String {
    let text = format!("version: STSv1\nmode: {mode}\nmx: {}\nmax_age: 604800\n", mx.join("\nmx: "));
    text.parse::<Policy>().unwrap();
    text
}

async fn deliver(exit: &Exit) -> Outcome {
    deliver_to(exit, "bob@example.com").await
}

async fn deliver_to(exit: &Exit, to: &str) -> Outcome {
    let transaction = Transaction {
        reverse_path: Some(address("bounces+1@desk.example.org")),
        recipients: vec![address(to)],
        message: MESSAGE,
        eight_bit: false,
        smtputf8: false,
    };
    exit.deliver("copy-1", &transaction).await.remove(0)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_policy_is_kept_to_where_the_server_is_as_it_should_be() {
    let world = World::right().await;
    world.announce("1");
    world.goes().await;
    assert!(world.encrypted());
    let asked = world.web.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "GET /.well-known/mta-sts.txt");
    assert!(asked[0].head.contains("host: mta-sts.example.com\r\n"), "{}", asked[0].head);
    assert_eq!(world.counts().await, [("sts".to_owned(), 1, 0, Vec::new())]);
}

#[tokio::test]
async fn nothing_is_sent_where_the_certificate_is_not_right() {
    for (make, name, until, words, kind) in [
        (true, "other.example.net", 2100, "not valid for name", "certificate-host-mismatch"),
        (true, ONE, 2000, "expired", "certificate-expired"),
        (false, ONE, 2100, "UnknownIssuer", "certificate-not-trusted"),
    ] {
        let authority = Authority::new();
        let identity = if make { authority.until(name, until) } else { Authority::new().until(name, until) };
        let world = World::of(authority, &[Some(identity)]).await;
        world.announce("1");
        world.waits("4.7.5 no TLS with one.example.net: ", words).await;
        world.waits("4.7.5 ", "the domain's MTA-STS policy asks for it, and nothing was sent").await;
        assert_eq!(world.counts().await, [("sts".to_owned(), 0, 2, texts(&[kind]))]);
    }
}

#[tokio::test]
async fn nothing_is_sent_where_starttls_fails() {
    let offered_and = |act: Act| (true, Some(("STARTTLS", act)));
    for (offered, rule) in [
        (false, None),
        offered_and(Act::Say("454 4.7.0 not now".to_owned())),
        offered_and(Act::Say("501 5.5.1 what?".to_owned())),
        offered_and(Act::Close),
        offered_and(Act::Raw(b"220 go\r\n250 injected\r\n".to_vec())),
        (true, Some(("HANDSHAKE", Act::Close))),
        (true, Some(("EHLO", Act::Say("500 5.5.1 HELO alone".to_owned())))),
    ] {
        let authority = Authority::new();
        let identity = offered.then(|| authority.valid(ONE));
        let world = World::of(authority, &[identity]).await;
        world.announce("1");
        if let Some((when, act)) = rule.clone() {
            world.hosts[0].rule(when, act, false);
        }
        let outcome = world.send().await;
        assert!(matches!(outcome, Outcome::RouteDown(_)), "{rule:?}: {outcome:?}");
        assert_eq!(world.received(), [0], "{rule:?}");
        let commands = world.hosts[0].commands();
        assert!(!commands.iter().any(|command| command.starts_with("MAIL")), "{rule:?}: {commands:?}");
        if matches!(&rule, Some((_, Act::Say(text))) if text.starts_with("454")) {
            let words = "4.7.10 one.example.net refuses STARTTLS (454 4.7.0 not now), and the domain's MTA-STS policy \
                         asks for it; nothing was sent";
            assert_eq!(outcome.reply().to_string(), words);
        }
        if !offered {
            let words = "4.7.10 one.example.net offers no STARTTLS, and the domain's MTA-STS policy asks for it; \
                         nothing was sent";
            assert_eq!(outcome.reply().to_string(), words);
        }
    }
}

#[tokio::test]
async fn the_next_server_gets_the_mail_where_the_first_is_not_as_it_should_be() {
    // Its certificate is wrong, or the policy does not name it.
    for named in [&[ONE, TWO][..], &[TWO]] {
        let authority = Authority::new();
        let other = Authority::new();
        let first = if named.len() == 2 { other.valid(ONE) } else { authority.valid(ONE) };
        let second = authority.valid(TWO);
        let world = World::of(authority, &[Some(first), Some(second)]).await;
        world.web.say(Page::Text(policy("enforce", named)));
        world.announce("1");
        world.goes().await;
        assert_eq!(world.received(), [0, 1], "{named:?}");
        assert_eq!(world.hosts[0].connections(), named.len() - 1, "{named:?}");
    }
}

#[tokio::test]
async fn a_server_that_the_policy_does_not_name_gets_nothing() {
    let world = World::right().await;
    world.web.say(Page::Text(policy("enforce", &["*.one.example.net", "example.com"])));
    world.announce("1");
    let words = "no mail server of example.com may be used: one.example.net is not among the servers that the \
                 domain's MTA-STS policy names";
    world.waits("4.7.0 ", words).await;
    assert_eq!(world.hosts[0].connections(), 0);
    assert_eq!(world.counts().await, [("sts".to_owned(), 0, 1, texts(&["validation-failure"]))]);
}

#[tokio::test]
async fn a_policy_on_trial_is_reported_on_and_stops_nothing() {
    let world = World::wrong().await;
    world.web.say(Page::Text(policy("testing", &[ONE])));
    world.announce("1");
    world.goes().await;
    assert!(world.encrypted());
    assert_eq!(world.counts().await, [("sts".to_owned(), 0, 1, texts(&["certificate-not-trusted"]))]);
    world.hosts[0].rule("HANDSHAKE", Act::Close, false);
    world.goes().await;
    assert_eq!(world.received(), [2]);
}

#[tokio::test]
async fn without_a_policy_tls_is_taken_as_it_comes() {
    let world = World::wrong().await;
    world.goes().await;
    assert!(world.encrypted());
    world.hosts[0].rule("HANDSHAKE", Act::Close, false);
    world.goes().await;
    // A server that offers what it then refuses is no worse than one that does not offer it.
    for refusal in ["454 4.7.0 not now", "502 5.5.1 not at all"] {
        world.hosts[0].behave();
        world.hosts[0].rule("STARTTLS", Act::Say(refusal.to_owned()), false);
        world.goes().await;
    }
    assert_eq!((world.received(), world.policies_fetched()), (vec![4], 0));
    world.hosts[0].behave();
    // A policy that ends the use of policies.
    world.announce("1");
    world.web.say(Page::Text("version: STSv1\nmode: none\nmax_age: 86400\n".to_owned()));
    world.goes().await;
    assert_eq!((world.received(), world.policies_fetched()), (vec![5], 1));
    let failures = texts(&["validation-failure", "starttls-not-supported", "starttls-not-supported"]);
    assert_eq!(world.counts().await, [("no-policy-found".to_owned(), 2, 3, failures)]);
}

/// What a web server may do instead of sending a policy.
fn broken_pages() -> Vec<(&'static str, Page, &'static str)> {
    let good = policy("enforce", &[ONE]);
    let answer = |head: &str| Page::Raw(format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{good}", good.len()));
    vec![
        ("100 MiB", Page::Endless { octets: 100 << 20, told: true }, "sts-policy-fetch-error"),
        ("100 MiB, untold", Page::Endless { octets: 100 << 20, told: false }, "sts-policy-fetch-error"),
        ("redirect", answer("302 Found\r\nLocation: https://mta-sts.example.com/other"), "sts-policy-fetch-error"),
        ("missing", answer("404 Not Found\r\nContent-Type: text/plain"), "sts-policy-fetch-error"),
        ("another 2xx", answer("203 Hm\r\nContent-Type: text/plain"), "sts-policy-fetch-error"),
        ("HTML", answer("200 OK\r\nContent-Type: text/html"), "sts-policy-fetch-error"),
        ("no type", answer("200 OK"), "sts-policy-fetch-error"),
        ("no HTTP", Page::Raw("220 smtp\r\n".to_owned()), "sts-policy-fetch-error"),
        ("nothing", Page::Raw(String::new()), "sts-policy-fetch-error"),
        ("endless head", Page::Raw(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 20))), "sts-policy-fetch-error"),
        ("silence", Page::Silence, "sts-policy-fetch-error"),
        ("no policy", Page::Text("<html>".to_owned()), "sts-policy-invalid"),
        (
            "a policy without servers",
            Page::Text("version: STSv1\nmode: enforce\nmax_age: 1\n".into()),
            "sts-policy-invalid",
        ),
    ]
}

#[tokio::test]
async fn what_is_no_policy_changes_nothing() {
    for (what, page, kind) in broken_pages() {
        let mut world = World::wrong().await;
        world.patience = if what == "silence" { Duration::from_millis(300) } else { Duration::from_mins(1) };
        world.announce("1");
        world.web.say(page.clone());
        world.goes().await;
        assert!(world.web.sent() < 8 << 20, "{what}: {} octets", world.web.sent());
        assert_eq!(world.policies_fetched(), 1, "{what}");
        assert!(world.counts().await.contains(&("sts".to_owned(), 0, 1, texts(&[kind]))), "{what}");

        // With one from before it is kept to.
        let mut world = World::wrong().await;
        world.patience = if what == "silence" { Duration::from_millis(300) } else { Duration::from_mins(1) };
        world.announce("1");
        world.waits("4.7.5 ", "UnknownIssuer").await;
        world.announce("2");
        world.web.say(page);
        world.waits("4.7.5 ", "UnknownIssuer").await;
        assert_eq!(world.policies_fetched(), 2, "{what}");
    }
}

#[tokio::test]
async fn a_policys_own_server_must_prove_its_name() {
    let other = Authority::new();
    for identity in [other.valid("mta-sts.example.com"), other.until("mta-sts.example.com", 2000)] {
        let world = World::wrong().await;
        world.announce("1");
        world.web.certify(identity.config());
        world.goes().await;
        assert_eq!(world.policies_fetched(), 0);
        assert!(world.counts().await.contains(&("sts".to_owned(), 0, 1, texts(&["sts-webpki-invalid"]))));
    }
    let world = World::wrong().await;
    world.announce("1");
    world.web.certify(world.authority.valid("www.example.com").config());
    world.goes().await;
    assert_eq!(world.policies_fetched(), 0);
}

#[tokio::test]
async fn a_policy_is_kept_for_as_long_as_it_says_whatever_becomes_of_its_announcement() {
    let world = World::wrong().await;
    world.announce("1");
    world.waits("4.7.5 ", "UnknownIssuer").await;
    let kept = world.store.read(|view| view.get(&MTA_STS, &"example.com".to_owned())).unwrap().unwrap();
    assert_eq!((kept.policy.mode, kept.id.as_str()), (Mode::Enforce, "1"));
    // Whoever sits on the line can take away both; a start in between changes nothing.
    world.web.say(Page::Silence);
    for take in [true, false] {
        world.dns.forget("_mta-sts.example.com");
        if take {
            world.dns.fail("_mta-sts.example.com");
        }
        world.waits("4.7.5 ", "UnknownIssuer").await;
    }
    assert_eq!(world.policies_fetched(), 1);
    world.pass(SignedDuration::from_secs(604_800 - 1));
    world.waits("4.7.5 ", "UnknownIssuer").await;
    world.pass(SignedDuration::from_secs(1));
    world.goes().await;
}

#[tokio::test]
async fn a_policy_that_was_fetched_by_a_clock_that_was_ahead_ends_as_it_would() {
    let mut world = World::wrong().await;
    world.announce("1");
    world.pass(SignedDuration::from_hours(24 * 365));
    world.waits("4.7.5 ", "UnknownIssuer").await;
    world.pass(SignedDuration::from_hours(-24 * 365));
    // It is asked for again, and what can't be had again is kept to.
    world.web.say(Page::Silence);
    world.patience = Duration::from_millis(300);
    world.waits("4.7.5 ", "UnknownIssuer").await;
    assert_eq!(world.policies_fetched(), 2);
    world.finder().policies().unwrap().forget().await.unwrap();
    world.dns.forget("_mta-sts.example.com");
    world.pass(SignedDuration::from_secs(604_800 - 1));
    world.waits("4.7.5 ", "UnknownIssuer").await;
    world.pass(SignedDuration::from_secs(1));
    world.goes().await;
    world.finder().policies().unwrap().forget().await.unwrap();
    assert!(world.store.read(|view| view.range(&MTA_STS, .., Order::Up, 10)).unwrap().is_empty());
}

#[tokio::test]
async fn a_policy_is_fetched_when_another_is_announced_and_now_and_then() {
    let world = World::right().await;
    world.announce("1");
    let exit = world.exit();
    for _ in 0..3 {
        assert!(matches!(deliver(&exit).await, Outcome::Sent(_)));
        world.goes().await;
    }
    assert_eq!(world.policies_fetched(), 1, "it is remembered, by the process and by the store");
    world.announce("2");
    world.web.say(Page::Text(policy("enforce", &[TWO])));
    world.hosts[0].behave();
    let outcome = world.send().await;
    assert!(matches!(outcome, Outcome::RouteDown(_)), "{outcome:?}");
    assert_eq!(world.policies_fetched(), 2);
    // Before it ends it is fetched again, in time.
    world.web.say(Page::Text(policy("enforce", &[ONE])));
    world.pass(SignedDuration::from_hours(24));
    world.goes().await;
    assert_eq!(world.policies_fetched(), 3);
}

#[tokio::test]
async fn a_server_without_a_policy_is_not_asked_for_it_with_every_mail() {
    let world = World::wrong().await;
    world.announce("1");
    world.web.say(Page::Raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned()));
    // Each of two connections asks; one domain has one that is being asked.
    let exit = world.exit();
    let (one, two) = tokio::join!(deliver(&exit), deliver(&exit));
    assert!(matches!((&one, &two), (Outcome::Sent(_), Outcome::Sent(_))), "{one:?} {two:?}");
    exit.close().await;
    assert!(matches!(deliver(&exit).await, Outcome::Sent(_)));
    assert_eq!(world.policies_fetched(), 1);
    exit.close().await;
    world.pass(SignedDuration::from_mins(5));
    assert!(matches!(deliver(&exit).await, Outcome::Sent(_)));
    assert_eq!(world.policies_fetched(), 2);
}

#[tokio::test]
async fn the_servers_zone_says_which_certificate_is_the_right_one() {
    // By nobody's authority, expired, and of another name: only the zone counts.
    let identity = Authority::new().until("else.example", 2000);
    let key = sha256(&identity.public_key);
    let mut world = World::of(Authority::new(), &[Some(identity)]).await;
    world.sign();
    world.dns.tlsa(ONE, 3, 1, 1, &key);
    world.goes().await;
    assert!(world.encrypted());
    let counted = world.counted("example.com").await;
    assert_eq!(counted[0].policy.policy_type, "tlsa");
    assert!(counted[0].policy.policy_string[0].starts_with("3 1 1 "), "{counted:?}");
    assert_eq!(counted[0].policy.mx_host, [ONE]);
    assert_eq!(counted[0].summary.total_successful_session_count, 1);

    // Another one does not do, whoever vouches for it.
    let mut world = World::right().await;
    world.sign();
    world.announce("1");
    world.dns.tlsa(ONE, 3, 1, 1, &key);
    let words = "no TLS with one.example.net: the certificate matches no TLSA record; the server's DANE records ask \
                 for it, and nothing was sent";
    world.waits("4.7.5 ", words).await;
    assert_eq!(world.counts().await, [("tlsa".to_owned(), 0, 1, texts(&["validation-failure"]))]);
}

#[tokio::test]
async fn a_zone_may_name_its_own_authority() {
    for (name, good) in [(ONE, true), ("example.com", true), ("else.example", false)] {
        let own = Authority::new();
        let identity = own.valid(name);
        let authority = sha256(&identity.chain[1]);
        let mut world = World::of(Authority::new(), &[Some(identity)]).await;
        world.sign();
        world.dns.tlsa(ONE, 2, 0, 1, &authority);
        if good {
            world.goes().await;
        } else {
            world.waits("4.7.5 ", "not valid for name").await;
        }
    }
}

#[tokio::test]
async fn where_the_zone_asks_for_tls_nothing_goes_in_clear() {
    let mut world = World::of(Authority::new(), &[None]).await;
    world.sign();
    world.dns.tlsa(ONE, 3, 1, 1, &[0; 32]);
    let words = "one.example.net offers no STARTTLS, and the server's DANE records ask for it; nothing was sent";
    world.waits("4.7.10 ", words).await;
    // Also where nothing is understood of what it asks for.
    let mut world = World::of(Authority::new(), &[None]).await;
    world.sign();
    world.dns.tlsa(ONE, 1, 1, 1, &[0; 32]);
    world.waits("4.7.10 ", words).await;
    let mut world = World::wrong().await;
    world.sign();
    world.dns.tlsa(ONE, 1, 1, 1, &[0; 32]).tlsa(ONE, 3, 1, 9, &[0; 32]);
    world.goes().await;
    assert!(world.encrypted());
    world.hosts[0].rule("HANDSHAKE", Act::Close, false);
    assert!(matches!(world.send().await, Outcome::RouteDown(_)));
    let failures = texts(&["tlsa-invalid", "validation-failure"]);
    assert_eq!(world.counts().await, [("tlsa".to_owned(), 1, 3, failures)]);
}

#[tokio::test]
async fn records_that_nobody_vouches_for_mean_nothing() {
    let all = ["example.com", ONE, "_25._tcp.one.example.net"];
    for missing in all {
        let mut world = World::wrong().await;
        world.validating = true;
        for name in all.into_iter().filter(|name| *name != missing) {
            world.dns.authentic(name);
        }
        world.dns.tlsa(ONE, 3, 1, 1, &[0; 32]);
        world.goes().await;
        // A name server that knows nothing of them is not asked where they would not count.
        let asked = world.dns.asked().contains(&"_25._tcp.one.example.net".to_owned());
        assert_eq!(asked, missing == all[2], "{missing}");
    }
    // Nor where no name server here checks.
    let mut world = World::wrong().await;
    world.sign();
    world.validating = false;
    world.dns.tlsa(ONE, 3, 1, 1, &[0; 32]);
    world.goes().await;
    assert!(!world.dns.asked().contains(&"_25._tcp.one.example.net".to_owned()));
}

#[tokio::test]
async fn where_it_can_not_be_found_out_what_a_zone_asks_for_mail_waits() {
    let mut world = World::right().await;
    world.sign();
    world.dns.fail("_25._tcp.one.example.net");
    let words = "no mail server of example.com may be used: the TLSA records of one.example.net can't be found: the \
                 validating name server answers Server Failure";
    world.waits("4.7.0 ", words).await;
    assert_eq!(world.hosts[0].connections(), 0);
    assert_eq!(world.counts().await, [("tlsa".to_owned(), 0, 1, texts(&["dnssec-invalid"]))]);
    // Also where its mail servers or their addresses are not proven: that may be an attack.
    for name in ["example.com", ONE] {
        let mut world = World::right().await;
        world.sign();
        world.dns.fail(name);
        world.waits("4.4.3 ", "the validating name server answers").await;
    }
}

#[tokio::test]
async fn the_zone_counts_before_the_policy() {
    // The certificate is what the zone says; the policy does not even name the server.
    let identity = Authority::new().valid(ONE);
    let key = sha256(&identity.public_key);
    let mut world = World::of(Authority::new(), &[Some(identity)]).await;
    world.sign();
    world.announce("1");
    world.web.say(Page::Text(policy("enforce", &[TWO])));
    world.dns.tlsa(ONE, 3, 1, 1, &key);
    world.goes().await;
    // Where nothing is understood of what it says, the policy counts.
    let mut world = World::wrong().await;
    world.sign();
    world.announce("1");
    world.dns.tlsa(ONE, 1, 1, 1, &[0; 32]);
    world.waits("4.7.5 ", "the domain's MTA-STS policy asks for it").await;
}

#[tokio::test]
async fn servers_with_and_without_records_stand_beside_each_other() {
    let (one, two) = (Authority::new().valid(ONE), Authority::new().valid(TWO));
    let mut world = World::of(Authority::new(), &[Some(one), Some(two)]).await;
    world.sign();
    world.dns.tlsa(ONE, 3, 1, 1, &[0; 32]);
    world.goes().await;
    assert_eq!(world.received(), [0, 1]);
}

#[tokio::test]
async fn records_are_looked_for_where_an_alias_leads_and_where_it_starts() {
    for (at, whole_way, expected) in [
        (ONE, true, "tlsa"),
        (ONE, false, "no-policy-found"),
        ("mail.example.com", true, "tlsa"),
        ("mail.example.com", false, "tlsa"),
    ] {
        let identity = Authority::new().valid("else.example");
        let key = sha256(&identity.public_key);
        let mut world = World::of(Authority::new(), &[Some(identity)]).await;
        world.validating = true;
        world.dns.forget("example.com").exchange("example.com", 10, "mail.example.com");
        world.dns.alias("mail.example.com", ONE).tlsa(at, 3, 1, 1, &key);
        for name in ["example.com", "mail.example.com", &format!("_25._tcp.{at}")] {
            world.dns.authentic(name);
        }
        if whole_way {
            world.dns.authentic(ONE);
        }
        world.goes().await;
        let kinds: Vec<_> = world.counts().await.into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [expected], "{at} {whole_way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_are_believed_where_their_signatures_hold() {
    let identity = Authority::new().valid("else.example");
    let key: String = HEXLOWER.encode(&sha256(&identity.public_key));
    let zeros = "0".repeat(64);
    let records = |key: &str| format!("@ IN MX 10 mx\nmx IN A 127.0.1.1\n_25._tcp.mx IN TLSA 3 1 1 {key}\n");
    let zone = |name, records, signing| Zone { name, records, signing };
    let Some(named) = SignedZones::start(&[
        zone("right.example", records(&key), Signing::Signed),
        zone("wrong.example", records(&zeros), Signing::Signed),
        zone("silent.example", "@ IN MX 10 mx\nmx IN A 127.0.1.1\n".to_owned(), Signing::Signed),
        zone("plain.example", records(&zeros), Signing::Unsigned),
        zone("outside.example", "@ IN MX 10 mx.plain.example.\n".to_owned(), Signing::Signed),
        zone("apex.example", format!("@ IN A 127.0.1.1\n_25._tcp IN TLSA 3 1 1 {zeros}\n"), Signing::Signed),
        zone("forged-key.example", records(&key), Signing::Broken("3 1 1", "3 0 1")),
        zone("forged-server.example", records(&key), Signing::Broken("10 mx", "20 mx")),
        zone("forged-address.example", records(&key), Signing::Broken("127.0.1.1", "127.0.1.2")),
    ]) else {
        return;
    };
    let mut world = World::of(Authority::new(), &[Some(identity)]).await;
    world.name_server = Some(named.address());
    world.validating = true;
    let exit = world.exit();
    let mut taken = 0;
    for (domain, expected) in [
        ("right.example", Ok("tlsa")),
        ("wrong.example", Err("4.7.5 no TLS with mx.wrong.example: the certificate matches no TLSA record")),
        ("silent.example", Ok("no-policy-found")),
        ("plain.example", Ok("no-policy-found")),
        ("outside.example", Ok("no-policy-found")),
        ("apex.example", Err("4.7.5 no TLS with apex.example: the certificate matches no TLSA record")),
        ("forged-key.example", Err("4.7.0 no mail server of forged-key.example may be used: the TLSA records of ")),
        ("forged-server.example", Err("4.4.3 the mail servers of forged-server.example can't be found: ")),
        ("forged-address.example", Err("4.4.3 no address for a mail server of forged-address.example: ")),
    ] {
        let outcome = deliver_to(&exit, &format!("bob@{domain}")).await;
        match expected {
            Ok(kind) => {
                assert!(matches!(outcome, Outcome::Sent(_)), "{domain}: {outcome:?}");
                taken += 1;
                let kinds: Vec<_> = world.counts_of(domain).await.into_iter().map(|(kind, ..)| kind).collect();
                assert_eq!(kinds, [kind], "{domain}");
            }
            Err(words) => {
                assert!(matches!(outcome, Outcome::RouteDown(_)), "{domain}: {outcome:?}");
                assert!(outcome.reply().to_string().starts_with(words), "{domain}: {outcome:?}");
            }
        }
        assert_eq!(world.received(), [taken], "{domain}");
    }
}

/// All the way from the configuration to the copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_waits_for_tls_says_so_and_goes_when_it_can() {
    let desk = TestDesk::direct_with("validating = true\n").await;
    let identity = Authority::new().valid("else.example");
    let host = desk.server_of("safe.example", 2, Sink::new(&["PIPELINING"]).certified(&identity)).await;
    desk.dns.tlsa("mx.safe.example", 3, 1, 1, &[0; 32]);
    for name in ["safe.example", "mx.safe.example", "_25._tcp.mx.safe.example"] {
        desk.dns.authentic(name);
    }
    desk.begin_to_compose("acme", None, &["bob@safe.example"], "Parcel", "It is on its way.").await;
    let copy = |state| {
        desk.until(move |view| {
            let all = view.range(&COPIES, .., Order::Up, 1_000)?;
            Ok(all.into_iter().map(|(_, copy)| copy).find(|copy: &Copy| copy.state == state))
        })
    };
    let waiting = copy(CopyState::Deferred).await;
    let words = "4.7.5 no TLS with mx.safe.example: the certificate matches no TLSA record; the server's DANE records \
                 ask for it, and nothing was sent";
    assert_eq!(waiting.reply.as_deref(), Some(words));
    assert!(!host.commands().iter().any(|command| command.starts_with("MAIL")));

    desk.dns.forget("_25._tcp.mx.safe.example");
    desk.dns.tlsa("mx.safe.example", 3, 1, 1, &sha256(&identity.public_key));
    desk.begin_to_act(|tx, act| queue::named(tx, act, Verb::Retry, waiting.id)).await;
    assert_eq!(host.wait(1).await[0].to, ["RCPT TO:<bob@safe.example>"]);
    copy(CopyState::Sent).await;
}
