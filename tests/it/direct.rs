//! Mail straight to the servers that a domain names: which of them, in which order, and never where a
//! name server would lead us astray.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use guichet::config::Direct;
use guichet::net::answer::ask;
use guichet::net::validator::Validator;
use guichet::relay::client::{Client, Outcome, Timeouts, Tls, Transaction};
use guichet::relay::exit::{Exit, Way};
use guichet::relay::mx::{Finder, Ourselves};
use guichet::relay::pool::PoolLimits;
use guichet::relay::route::Place;
use hickory_resolver::proto::rr::RecordType;

use crate::kit::desk::address;
use crate::kit::dns::Dns;
use crate::kit::sink::{Act, Sink};

const US: &str = "mx.desk.example.org";
const MESSAGE: &[u8] = b"Subject: x\r\n\r\nHello.\r\n";
/// The host of the first, second … of [`Internet::hosts`].
const HOSTS: [&str; 3] = ["one.example.net", "two.example.net", "three.example.net"];

/// Name server, and mail servers on loopback addresses of their own: 127.0.1.1, 127.0.1.2, ….
struct Internet {
    dns: Dns,
    hosts: Vec<Sink>,
    direct: Direct,
    ourselves: Ourselves,
    source: Vec<IpAddr>,
    /// The name server is asked as one that checks DNSSEC.
    validating: bool,
    wait: Duration,
}

impl Internet {
    /// With mail servers that are known by the names in [`HOSTS`].
    async fn of(count: usize) -> Self {
        let dns = Dns::start().await;
        let sinks: Vec<_> = (0..count).map(|_| Sink::new(&["PIPELINING", "SIZE 1000", "8BITMIME"])).collect();
        let hosts = Sink::start_as_neighbours(&sinks).await;
        for (name, host) in HOSTS.iter().zip(&hosts) {
            dns.address(name, host.address().ip());
        }
        let port = hosts[0].address().port();
        let ourselves = Ourselves { hostname: US.to_owned(), listens: Vec::new() };
        let direct = Direct { port, allow_loopback: true, https_port: 443, tls_reports: false };
        Self { dns, hosts, direct, ourselves, source: Vec::new(), validating: false, wait: Duration::from_mins(1) }
    }

    fn finder(&self) -> Finder {
        // 0, 1, 1, 0, …: of two equal hosts now the one is first and now the other.
        let calls = AtomicU64::new(0);
        let random = move || [0, 1, 1, 0][usize::try_from(calls.fetch_add(1, Ordering::Relaxed) % 4).unwrap()];
        let finder = Finder::new(self.dns.resolver(), self.direct, self.ourselves.clone(), random);
        if !self.validating {
            return finder;
        }
        let servers = self.dns.servers().iter().map(|server| server.parse().unwrap()).collect();
        finder.with_validator(Validator::new(servers).unwrap())
    }

    fn exit(&self) -> Exit {
        let wait = self.wait;
        let connect = Duration::from_mins(1);
        let timeouts = Timeouts { connect, greeting: wait, command: wait, data: wait, block: wait, end: wait };
        let client = Client::new(US, self.dns.resolver(), Tls::with_roots(rustls::RootCertStore::empty()).unwrap())
            .with_timeouts(timeouts)
            .from_addresses(self.source.clone());
        Exit::to_servers(Way::Direct(Arc::new(self.finder())), client, PoolLimits::default())
    }

    /// What becomes of a mail.
    async fn send(&self, to: &str) -> Outcome {
        deliver(&self.exit(), to).await
    }

    /// Who got how many mails.
    fn received(&self) -> Vec<usize> {
        self.hosts.iter().map(|host| host.received().len()).collect()
    }

    fn connections(&self) -> Vec<usize> {
        self.hosts.iter().map(Sink::connections).collect()
    }

    /// Where a domain's mail would go.
    async fn hops(&self, domain: &str) -> Vec<(String, Vec<SocketAddr>)> {
        let hops = self.finder().hops(domain).await.unwrap();
        let found = |place| match place {
            Place::Found(host, addresses) => (host, addresses),
            other => panic!("{other:?}"),
        };
        hops.into_iter().map(|hop| found(hop.place)).collect()
    }
}

async fn deliver(exit: &Exit, to: &str) -> Outcome {
    let transaction = Transaction {
        reverse_path: Some(address("bounces+1@desk.example.org")),
        recipients: vec![address(to)],
        message: MESSAGE,
        eight_bit: false,
        smtputf8: false,
    };
    exit.deliver("copy-1", &transaction).await.remove(0)
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

fn is_sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Sent(_))
}

#[tokio::test]
async fn the_preferred_server_gets_the_mail_and_the_next_one_where_it_does_not_take_us() {
    let close = |text: &str| Act::SayAndClose(text.to_owned());
    for (when, act) in [
        ("CONNECT", say("421 4.3.2 busy")),
        ("CONNECT", close("554 5.7.1 your address is blocked")),
        ("CONNECT", Act::Close),
        ("CONNECT", Act::Silence),
        ("EHLO", say("451 4.3.0 later")),
        ("EHLO", Act::Close),
        ("MAIL", close("421 4.3.2 closing")),
        ("MAIL", Act::Close),
        ("RCPT", close("421 4.3.2 closing")),
        ("RCPT", Act::Close),
        ("DATA", close("421 4.3.2 closing")),
    ] {
        let mut internet = Internet::of(2).await;
        internet.dns.exchange("example.com", 20, HOSTS[1]).exchange("example.com", 10, HOSTS[0]);
        assert!(is_sent(&internet.send("bob@example.com").await));
        assert_eq!(internet.received(), [1, 0]);

        if matches!(act, Act::Silence) {
            internet.wait = Duration::from_millis(200);
        }
        internet.hosts[0].rule(when, act.clone(), false);
        let outcome = internet.send("bob@example.com").await;
        assert!(is_sent(&outcome), "{when} {act:?}: {outcome:?}");
        assert_eq!(internet.received(), [1, 1], "{when} {act:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_take_us_at_one_address_is_asked_at_its_next() {
    for (when, act) in [
        ("CONNECT", say("421 4.3.2 busy")),
        ("CONNECT", say("554 5.7.1 your address is blocked")),
        ("CONNECT", Act::Close),
        ("EHLO", Act::Close),
        ("MAIL", Act::Close),
    ] {
        let internet = Internet::of(2).await;
        for host in &internet.hosts {
            internet.dns.address("mx.example.com", host.address().ip());
        }
        internet.dns.exchange("example.com", 10, "mx.example.com");
        internet.hosts[0].rule(when, act.clone(), false);
        let outcome = internet.send("bob@example.com").await;
        assert!(is_sent(&outcome), "{when} {act:?}: {outcome:?}");
        assert_eq!(internet.received(), [0, 1], "{when} {act:?}");
        assert_eq!(outcome.reply().server.as_ref().unwrap().to_string(), "mx.example.com [127.0.1.2]");
        // What it says of the mail stands, as of any server.
        internet.hosts[0].behave();
        internet.hosts[0].rule("RCPT", say("450 4.7.1 greylisted"), false);
        assert!(matches!(internet.send("bob@example.com").await, Outcome::Deferred(_)));
        assert_eq!(internet.received(), [0, 1]);
    }
}

#[tokio::test]
async fn who_has_many_addresses_and_no_place_for_us_is_not_asked_at_each() {
    let internet = Internet::of(12).await;
    for (number, host) in internet.hosts.iter().enumerate() {
        host.rule("CONNECT", say("421 4.3.2 busy"), false);
        let name = if number < 6 { "a.example.com" } else { "b.example.com" };
        internet.dns.address(name, host.address().ip());
    }
    internet.dns.exchange("example.com", 10, "a.example.com").exchange("example.com", 20, "b.example.com");
    let outcome = internet.send("bob@example.com").await;
    assert!(matches!(outcome, Outcome::RouteDown(_)), "{outcome:?}");
    assert_eq!(internet.connections().iter().sum::<usize>(), 8);
}

#[tokio::test]
async fn what_a_server_says_of_a_recipient_or_after_the_message_stands() {
    for (when, act, failed) in [
        ("RCPT", say("450 4.7.1 greylisted"), false),
        ("RCPT", say("550 5.1.1 no such user"), true),
        ("MAIL", say("451 4.3.0 later"), false),
        (".", say("451 4.3.0 later"), false),
        (".", say("554 5.7.1 spam"), true),
        // It may have been taken: a second server could make it two.
        ("BODY", Act::Close, false),
        (".", Act::Close, false),
        (".", Act::SayAndClose("421 4.3.2 closing".to_owned()), false),
    ] {
        let internet = Internet::of(2).await;
        internet.dns.exchange("example.com", 10, HOSTS[0]).exchange("example.com", 20, HOSTS[1]);
        internet.hosts[0].rule(when, act.clone(), false);
        let outcome = internet.send("bob@example.com").await;
        let expected = if failed { "failed" } else { "deferred" };
        assert!(
            matches!((&outcome, failed), (Outcome::Failed(_), true) | (Outcome::Deferred(_), false)),
            "{when} {act:?}: {outcome:?}, not {expected}"
        );
        assert_eq!(internet.connections(), [1, 0], "{when} {act:?}");
    }
}

#[tokio::test]
async fn equally_preferred_servers_share_the_mail() {
    let internet = Internet::of(2).await;
    internet.dns.exchange("example.com", 10, HOSTS[0]).exchange("example.com", 10, HOSTS[1]);
    let finder = internet.finder();
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(finder.hops("example.com").await.unwrap()[0].place.clone());
    }
    assert_ne!(first[0], first[1]);
    assert_eq!(first[..2], first[2..]);
}

#[tokio::test]
async fn a_server_is_found_by_mx_by_the_domains_own_address_and_through_aliases() {
    let internet = Internet::of(1).await;
    let dns = &internet.dns;
    let ip = internet.hosts[0].address().ip();
    dns.exchange("mx.example", 0, HOSTS[0]);
    dns.address("bare.example", ip);
    dns.alias("alias.example", "mx.example");
    dns.alias("alias-to-bare.example", "bare.example");
    dns.alias("aliased-host.example.net", HOSTS[0]);
    dns.exchange("to-alias.example", 10, "aliased-host.example.net");
    dns.exchange("UPPER.example", 10, "ONE.Example.Net");
    dns.exchange("xn--exmple-cua.de", 10, HOSTS[0]);
    let domains =
        ["mx.example", "bare.example", "alias.example", "alias-to-bare.example", "to-alias.example", "upper.example"];
    for domain in domains.into_iter().chain(["exämple.de"]) {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(is_sent(&outcome), "{domain}: {outcome:?}");
    }
    assert_eq!(internet.received(), [7]);
    let commands = internet.hosts[0].commands();
    assert!(commands.contains(&"RCPT TO:<bob@xn--exmple-cua.de>".to_owned()), "{commands:?}");
    assert!(commands.contains(&format!("EHLO {US}")), "{commands:?}");
}

#[tokio::test]
async fn domains_that_take_no_mail_fail_at_once_and_name_servers_that_fail_defer() {
    let mut internet = Internet::of(1).await;
    internet.wait = Duration::from_millis(500);
    let dns = &internet.dns;
    dns.exchange("null.example", 0, ".");
    dns.exchange("null-and-more.example", 0, ".").exchange("null-and-more.example", 10, HOSTS[0]);
    dns.empty("empty.example");
    dns.exchange("lost.example", 10, "nowhere.example.net");
    dns.alias("nothing.example", "empty.example");
    dns.exchange("literal.example", 10, "127.0.1.1");
    dns.alias("ring.example", "gnir.example").alias("gnir.example", "ring.example");
    dns.fail("failing.example");
    dns.exchange("host-failing.example", 10, "failing.example.net").fail("failing.example.net");
    dns.exchange("one-failing.example", 10, "failing.example.net").exchange("one-failing.example", 20, HOSTS[0]);
    dns.exchange("truncated.example", 10, HOSTS[0]).truncate("truncated.example");
    for (domain, failed, words) in [
        ("null.example", true, "5.1.10 null.example takes no mail (null MX)"),
        ("unknown.example", true, "5.1.2 there is no domain unknown.example"),
        ("empty.example", true, "5.4.4 no mail server of empty.example can be reached: empty.example has no address"),
        ("lost.example", true, "5.4.4 "),
        ("nothing.example", true, "5.4.4 "),
        ("literal.example", true, "5.4.4 "),
        ("ring.example", false, "4.4.3 "),
        ("failing.example", false, "4.4.3 the mail servers of failing.example can't be found: "),
        ("host-failing.example", false, "4.4.3 no address for a mail server of host-failing.example: "),
        ("truncated.example", false, "4.4.3 "),
    ] {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        let kind = matches!(outcome, Outcome::Failed(_));
        assert!(kind || matches!(outcome, Outcome::RouteDown(_)), "{domain}: {outcome:?}");
        assert_eq!(kind, failed, "{domain}: {outcome:?}");
        assert!(outcome.reply().to_string().starts_with(words), "{domain}: {outcome:?}");
    }
    assert_eq!(internet.connections(), [0]);
    for domain in ["null-and-more.example", "one-failing.example"] {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(is_sent(&outcome), "{domain}: {outcome:?}");
    }
}

#[tokio::test]
async fn name_servers_that_say_nothing_defer_in_time() {
    let internet = Internet::of(1).await;
    internet.dns.silence("silent.example");
    internet.dns.exchange("host-silent.example", 10, "silent.example.net").silence("silent.example.net");
    let finder = internet.finder().with_deadline(Duration::from_millis(200));
    for domain in ["silent.example", "host-silent.example"] {
        let outcome = finder.hops(domain).await.unwrap_err();
        assert!(matches!(outcome, Outcome::RouteDown(_)), "{outcome:?}");
        let words = format!("4.4.3 the name servers of {domain} did not answer in time");
        assert_eq!(outcome.reply().to_string(), words);
    }
}

#[tokio::test]
async fn an_answer_about_another_name_is_none_and_the_domain_is_asked_about_again() {
    let mut internet = Internet::of(1).await;
    internet.dns.exchange("lied.example", 10, HOSTS[0]).lie("lied.example", "other.example");
    internet.dns.exchange("host-lied.example", 10, "mx.example").address("mx.example", [127, 0, 1, 1].into());
    internet.dns.lie("mx.example", "other.example");
    for validating in [false, true] {
        internet.validating = validating;
        for domain in ["lied.example", "host-lied.example"] {
            let outcome = internet.send(&format!("bob@{domain}")).await;
            assert!(matches!(outcome, Outcome::RouteDown(_)), "{validating} {domain}: {outcome:?}");
            let words = outcome.reply().to_string();
            assert!(words.starts_with("4.4.3 ") && words.contains("neither name"), "{words}");
        }
    }
    assert_eq!(internet.connections(), [0]);
}

#[tokio::test]
async fn that_there_is_nothing_is_told_from_an_answer_that_does_not_say() {
    let dns = Dns::start().await;
    dns.empty("empty.example").alias("alias.example", "empty.example").txt("there.example", "x");
    dns.fail("failing.example").txt("lied.example", "x").lie("lied.example", "other.example");
    for (name, there, known) in [
        ("there.example", 1, true),
        ("empty.example", 0, true),
        ("alias.example", 0, true),
        ("missing.example", 0, true),
        ("lied.example", 0, false),
        ("failing.example", 0, false),
    ] {
        let answer = ask(&dns.resolver(), name, RecordType::TXT).await;
        assert_eq!(answer.texts().map(|texts| texts.len()).ok(), known.then_some(there), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn no_name_server_leads_us_to_this_machine_or_to_where_no_server_is() {
    let mut internet = Internet::of(1).await;
    internet.dns.exchange("evil.example", 10, HOSTS[0]);
    internet.dns.exchange("local.example", 10, "localhost");
    internet.dns.exchange("cloud.example", 10, "metadata.example.net");
    internet.dns.address("metadata.example.net", "169.254.169.254".parse().unwrap());
    internet.dns.address("bare.example", "0.0.0.0".parse().unwrap());
    internet.dns.address("bare.example", Ipv6Addr::LOCALHOST.into());
    internet.direct.allow_loopback = false;
    for domain in ["evil.example", "local.example", "cloud.example", "bare.example"] {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{domain}: {outcome:?}");
        let words = outcome.reply().to_string();
        assert!(words.starts_with("5.4.4 ") && words.ends_with(", where no mail is sent"), "{words}");
    }
    assert_eq!(internet.connections(), [0]);

    // It costs nothing where there is another server.
    internet.direct.allow_loopback = true;
    internet.dns.exchange("cloud.example", 20, HOSTS[0]);
    let outcome = internet.send("bob@cloud.example").await;
    assert!(is_sent(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn mail_never_comes_back_to_us() {
    let mut internet = Internet::of(3).await;
    let ip = internet.hosts[1].address();
    internet.dns.address(US, "192.0.2.1".parse().unwrap());
    internet.dns.exchange("ours.example", 10, US);
    internet.dns.exchange("by-address.example", 10, HOSTS[1]);
    internet.dns.address("bare.example", ip.ip());
    internet.ourselves.listens = vec![ip];
    for domain in ["ours.example", "by-address.example", "bare.example", US] {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "{domain}: {outcome:?}");
        let words = format!("5.4.6 mail for {domain} would come back to us: we are its mail server");
        assert_eq!(outcome.reply().to_string(), words);
    }
    // We are its backup: only who is preferred to us is asked.
    for (domain, ours) in [("backup.example", US), ("backup-by-address.example", HOSTS[1])] {
        internet.dns.exchange(domain, 10, HOSTS[0]).exchange(domain, 20, ours).exchange(domain, 30, HOSTS[2]);
        internet.dns.exchange(domain, 20, HOSTS[2]);
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(is_sent(&outcome), "{domain}: {outcome:?}");
    }
    internet.hosts[0].rule("CONNECT", Act::Close, false);
    for domain in ["backup.example", "backup-by-address.example"] {
        let outcome = internet.send(&format!("bob@{domain}")).await;
        assert!(matches!(outcome, Outcome::RouteDown(_)), "{domain}: {outcome:?}");
    }
    assert_eq!(internet.received(), [2, 0, 0]);
    assert_eq!(internet.connections(), [4, 0, 0]);
}

#[tokio::test]
async fn lists_of_servers_and_addresses_are_cut() {
    let internet = Internet::of(1).await;
    for number in 0..100 {
        let host = format!("mx{number}.example.net");
        internet.dns.exchange("many.example", number, &host);
        for last in 1..=20 {
            internet.dns.address(&host, IpAddr::from([192, 0, 2, last]));
        }
    }
    let hops = internet.hops("many.example").await;
    let hosts: Vec<_> = hops.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts.len(), 8);
    assert_eq!((hosts[0], hosts[7]), ("mx0.example.net", "mx7.example.net"));
    assert!(hops.iter().all(|(_, addresses)| addresses.len() == 6));
    assert!(internet.dns.queries() <= 1 + 1 + 2 * 8, "{} queries", internet.dns.queries());
}

#[tokio::test]
async fn ipv6_comes_first_and_both_are_tried_from_the_configured_addresses() {
    let mut internet = Internet::of(2).await;
    let (four, port) = (internet.hosts[0].address(), internet.direct.port);
    let six = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
    for address in [four.ip(), internet.hosts[1].address().ip(), six.ip()] {
        internet.dns.address("both.example", address);
    }
    let hops = internet.hops("both.example").await;
    assert_eq!(hops, [("both.example".to_owned(), vec![six, four, internet.hosts[1].address()])]);
    // Nobody listens at the first.
    assert!(is_sent(&internet.send("bob@both.example").await));
    assert_eq!(internet.received(), [1, 0]);

    if let Ok(host) = Sink::new(&[]).start_on(six).await {
        assert!(is_sent(&internet.send("bob@both.example").await));
        assert_eq!((host.received().len(), internet.received()), (1, vec![1, 0]));
        // With a source of the other family alone, it is not used.
        internet.source = vec!["127.0.2.9".parse().unwrap()];
        assert!(is_sent(&internet.send("bob@both.example").await));
        assert_eq!((host.received().len(), internet.received()), (1, vec![2, 0]));
        assert_eq!(internet.hosts[0].clients().last(), internet.source.first());
    }
}

#[tokio::test]
async fn what_the_chosen_server_can_not_take_fails() {
    let internet = Internet::of(1).await;
    internet.dns.exchange("example.com", 10, HOSTS[0]);
    let outcome = internet.send("bjørn@example.com").await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert!(outcome.reply().to_string().starts_with("5.6.7 "), "{outcome:?}");
}

#[tokio::test]
async fn connections_are_used_again_for_their_own_domain() {
    let internet = Internet::of(1).await;
    internet.dns.exchange("example.com", 10, HOSTS[0]).exchange("example.org", 10, HOSTS[0]);
    let exit = internet.exit();
    for _ in 0..3 {
        assert!(is_sent(&deliver(&exit, "bob@example.com").await));
        assert!(is_sent(&deliver(&exit, "bob@Example.org").await));
    }
    assert_eq!((internet.received(), internet.connections()), (vec![6], vec![2]));
    exit.close().await;
    assert_eq!(internet.hosts[0].commands().iter().filter(|command| *command == "QUIT").count(), 2);
}
