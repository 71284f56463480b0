//! Spam: what the filter, blocklists and a property's own lists say decides, and it decides nothing
//! about members and about what answers us.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use guichet::actions::{find, held, property};
use guichet::daemon::inbound::Inbound;
use guichet::desk::copy::CopyState;
use guichet::desk::entry::{Reason, State};
use guichet::desk::envelope::Envelope;
use guichet::desk::spam::{Action, Listed, Sentence};
use guichet::desk::ticket::Status;
use guichet::intake::Intake;
use guichet::intake::gate::Gate;
use guichet::intake::looks::{LookAlikeCap, Looks};
use guichet::intake::quota::Quota;
use guichet::intake::rates::Rates;
use guichet::login::Logins;
use guichet::login::throttle::Throttle;
use guichet::metrics::{Filter as Filtered, Metrics, Rate, Refusal};
use guichet::net::limits::{ConnectionLimits, Memory};
use guichet::net::stop;
use guichet::smtp::body::Spool;
use guichet::smtp::server::{Deadlines, Server, Settings, Start};
use guichet::smtp::session::{Service, SessionLimits};
use guichet::trust::Authenticator;
use guichet::trust::blocklist::Blocklists;
use guichet::trust::rspamd::Rspamd;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::kit::desk::{TestDesk, address_in, field};
use crate::kit::dns::Dns;
use crate::kit::letter::{letter, reply};
use crate::kit::rspamd::{Filter, Says};

const ACME: &str = "acme@desk.example.org";
const CAROL: &str = "Carol <carol@example.com>";
const EVE: &str = "Eve <eve@evil.example>";

async fn desk(more: &str) -> (TestDesk, Filter) {
    let filter = Filter::start().await;
    let desk = TestDesk::with(&format!("{}{more}", filter.config())).await;
    desk.members(&["alice"]).await;
    (desk, filter)
}

/// The verdict that a ticket's newest message bears.
fn sentence(desk: &TestDesk, reference: &str) -> Sentence {
    desk.newest(reference).verdict.unwrap().filter
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_of_the_filter_does_what_it_says() {
    let (desk, filter) = desk("").await;
    for (action, status) in [
        ("no action", Status::Open),
        ("add header", Status::Spam),
        ("rewrite subject", Status::Spam),
        ("quarantine", Status::Spam),
        ("discard", Status::Spam),
    ] {
        filter.says(Says::Action(action, 7.25));
        let ticket = desk.post(&letter(CAROL).to(ACME).subject(action)).await;
        let entry = desk.newest(&ticket);
        assert_eq!(desk.ticket(&ticket).status, status, "{action}");
        assert_eq!(entry.verdict.as_ref().unwrap().score, Some(725), "{action}");
        let told: &[&str] = if status == Status::Open { &["alice@team.example"] } else { &[] };
        assert_eq!(desk.readers(&entry), told, "{action}");
        let kept = (entry.state, entry.reason) == (State::Kept, Some(Reason::Spam));
        assert_eq!(kept, status == Status::Spam, "{action}");
    }
    for (action, code) in [("reject", "550 5.7.1 "), ("soft reject", "451 4.7.1 "), ("greylist", "451 4.7.1 ")] {
        filter.says(Says::Action(action, 16.0));
        let answer = desk.offer(&letter(CAROL).to(ACME).subject(action)).await;
        assert!(answer.starts_with(code), "{action}: {answer}");
    }
    let metrics = desk.metrics();
    let counted = [Filtered::Ham, Filtered::Spam, Filtered::Later, Filtered::Reject].map(|v| metrics.counted(v));
    assert_eq!(counted, [1, 4, 2, 1]);
    assert_eq!((metrics.counted(Refusal::Spam), metrics.counted(Refusal::Greylisted)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_gets_the_message_and_its_envelope() {
    let (desk, filter) = desk("").await;
    desk.post(&letter(CAROL).to(ACME).rcpt(&[ACME, "bulle@desk.example.org"]).text("Some text.\n")).await;
    desk.post(&letter("Mailer <mailer@example.com>").by("").to(ACME)).await;
    let [first, second] = filter.asked().try_into().unwrap();
    assert!(first.head.starts_with("POST /checkv2 HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(first.field("From"), ["carol@example.com"]);
    assert_eq!(first.field("Rcpt"), [ACME, "bulle@desk.example.org"]);
    assert_eq!(first.field("IP"), ["127.0.0.1"]);
    assert_eq!(first.field("Helo"), ["client.example.com"]);
    assert_eq!(first.field("MTA-Name"), ["mx.desk.example.org"]);
    assert_eq!(first.field("Queue-Id").len(), 1);
    assert!(first.field("Hostname").is_empty(), "nobody is asked about an address of this machine");
    let text = String::from_utf8(first.message).unwrap();
    assert!(text.starts_with("Received: from ") && text.contains("\r\n\r\nSome text.\r\n"), "{text}");
    assert_eq!(second.field("From"), ["<>"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_of_the_configuration_take_the_place_of_the_filters() {
    let (desk, filter) = desk("reject_score = 20\nspam_score = 4.5\n").await;
    for (action, score, expected) in
        [("no action", 4.4, "open"), ("no action", 4.5, "spam"), ("reject", 19.0, "spam"), ("no action", 20.0, "550")]
    {
        filter.says(Says::Action(action, score));
        let answer = desk.offer(&letter(CAROL).to(ACME).subject(&format!("{action} {score}"))).await;
        if expected == "550" {
            assert!(answer.starts_with("550 5.7.1 "), "{answer}");
            continue;
        }
        let ticket = answer.strip_prefix("250 2.0.0 ").and_then(|rest| rest.split(' ').next()).unwrap();
        assert_eq!(desk.ticket(ticket).status.as_str(), expected, "{action} {score}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_taken_unfiltered_where_the_filter_has_no_opinion() {
    let (desk, filter) = desk("timeout = \"1s\"\n").await;
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(2 << 20));
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let says = [
        Says::Body("{}".into()),
        Says::Body("not JSON".into()),
        Says::Body(r#"{"action":"explode","score":1,"required_score":15}"#.into()),
        Says::Body(r#"{"action":"reject","score":"high","required_score":15}"#.into()),
        Says::Body(huge),
        Says::Raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into()),
        Says::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{".into()),
        Says::Raw(b"220 this is no HTTP\r\n".into()),
        Says::Raw(header.into()),
        Says::Endless,
        Says::Nothing,
        Says::HangUp,
    ];
    let count = says.len() as u64;
    for (n, says) in says.into_iter().enumerate() {
        let what = format!("{says:.40?}");
        filter.says(says);
        let ticket = desk.post(&letter(CAROL).to(ACME).subject(&"x".repeat(n + 1))).await;
        assert_eq!(desk.ticket(&ticket).status, Status::Open, "{what}");
        assert_eq!(sentence(&desk, &ticket), Sentence::Unfiltered, "{what}");
        assert_eq!(desk.readers(&desk.newest(&ticket)), ["alice@team.example"], "{what}");
    }
    assert_eq!(desk.metrics().counted(Filtered::Unfiltered), count);

    // And where nothing listens at all.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let alone = TestDesk::with(&format!("[spam]\nrspamd = \"http://127.0.0.1:{port}\"\n")).await;
    let ticket = alone.post(&letter(CAROL).to(ACME)).await;
    assert_eq!(sentence(&alone, &ticket), Sentence::Unfiltered);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_answers_to_what_we_wrote_are_never_spam() {
    let (desk, filter) = desk("").await;
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    let alice = desk.last("alice@team.example").await;
    filter.says(Says::Action("reject", 99.0));
    let asked = filter.asked().len();

    assert_eq!(desk.post(&reply("Alice <alice@team.example>", &alice)).await, ticket);
    let carol = desk.last("carol@example.com").await;
    assert_eq!(desk.post(&reply(CAROL, &carol).text("By the reply address.\n")).await, ticket);
    assert_eq!(filter.asked().len(), asked, "what comes to a reply address is not shown to anybody");

    // To the bare address, known by the identifier that only the readers of the copy know.
    let minted = letter(CAROL).to(ACME).answers(&field(&carol, "Message-ID").unwrap());
    assert_eq!(desk.post(&minted).await, ticket);
    let own = desk.post(&letter("Alice <alice@team.example>").to(ACME).subject("My own")).await;
    for reference in [&ticket, &own] {
        assert_eq!(desk.newest(reference).state, State::Relayed, "{reference}");
        assert_eq!(sentence(&desk, reference), Sentence::Reject, "{reference}");
    }
    // Who only says so is not believed.
    let forged = letter("Alice <alice@team.example>").by("x@evil.example").to(ACME).subject("Forged");
    assert!(desk.offer(&forged).await.starts_with("550 5.7.1 "));
    // Nor does a guessed number help.
    let guessed = letter(EVE).to(ACME).subject(&format!("Re: [{ticket}] Help"));
    assert!(desk.offer(&guessed).await.starts_with("550 5.7.1 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrongly_taken_for_spam_is_let_through_by_a_member() {
    let (desk, filter) = desk("").await;
    filter.says(Says::Action("add header", 8.0));
    let ticket = desk.post(&letter(CAROL).to(ACME)).await;
    let entry = desk.newest(&ticket);
    assert!(desk.copies_of(&entry).is_empty());
    desk.act(|tx, act| held::accept(tx, act, &ticket, entry.id, None)).await;
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.reason, desk.ticket(&ticket).status), (State::Relayed, None, Status::Open));
    assert_eq!(desk.readers(&entry), ["alice@team.example"]);
}

/// Else whoever is silent about his own name would be let in unfiltered.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_name_server_is_silent_is_filtered_all_the_same() {
    let (filter, dns) = (Filter::start().await, Dns::start().await);
    filter.says(Says::Action("reject", 20.0));
    dns.silence("7.2.0.192.in-addr.arpa");
    dns.pointer("8.2.0.192.in-addr.arpa", "mail.example.com").address("mail.example.com", [192, 0, 2, 8].into());
    dns.pointer("9.2.0.192.in-addr.arpa", "mail.example.com");
    let rspamd = Rspamd {
        host: "127.0.0.1".to_owned(),
        port: filter.port(),
        deadline: Duration::from_secs(3),
        hostname: "mx.desk.example.org".to_owned(),
        resolver: dns.resolver(),
    };
    for (client, name) in [("192.0.2.7", None), ("192.0.2.8", Some("mail.example.com")), ("192.0.2.9", None)] {
        let envelope = Envelope {
            client: client.parse().unwrap(),
            helo: "mail.example.com".to_owned(),
            reverse_path: None,
            recipients: vec![ACME.parse().unwrap()],
            tls: None,
            extended: true,
            eight_bit: false,
            smtputf8: false,
            login: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            id: "1.1".to_owned(),
        };
        let opinion = rspamd.ask(&envelope, b"Subject: x\r\n\r\nx\r\n".as_slice().into()).await;
        assert_eq!(opinion.unwrap().action, Action::Reject, "{client}");
        assert_eq!(filter.asked().last().unwrap().field("Hostname"), Vec::from_iter(name), "{client}");
    }
}

async fn lists(desk: &TestDesk, block: &[&str], allow: &[&str]) {
    let senders = |list: &[&str]| list.iter().map(|sender| sender.parse().unwrap()).collect();
    let changes = property::Changes { block: senders(block), allow: senders(allow), ..Default::default() };
    desk.edit("acme", changes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_sender_is_refused_by_whatever_way_and_a_member_never() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    desk.post(&reply("Alice <alice@team.example>", &desk.last("alice@team.example").await)).await;
    let carol = desk.last("carol@example.com").await;
    lists(&desk, &["carol@example.com", "evil.example", "team.example"], &[]).await;
    let before = desk.messages(&ticket).len();
    for (what, letter) in [
        ("his new mail", letter(CAROL).to(ACME)),
        ("by a valid reply address", reply(CAROL, &carol)),
        ("by a minted id", letter(CAROL).to(ACME).answers(&field(&carol, "Message-ID").unwrap())),
        ("a subdomain", letter("x@mail.evil.example").to(ACME)),
        ("the reverse-path", letter("Dave <dave@example.com>").by("bounces@evil.example").to(ACME)),
        ("a department", letter(EVE).to("acme+nothing@desk.example.org").rcpt(&[ACME])),
    ] {
        let answer = desk.offer(&letter).await;
        assert_eq!(answer, "550 5.7.1 Acme Support takes no mail from this sender", "{what}");
    }
    assert_eq!(desk.messages(&ticket).len(), before);
    assert_eq!(desk.metrics().counted(Refusal::Blocked), 6);
    // The member's whole domain is blocked.
    desk.post(&letter("Alice <alice@team.example>").to(ACME)).await;
    // Another property has lists of its own; what it takes acme keeps, and nobody hears of it.
    let both = letter(CAROL).to(ACME).rcpt(&[ACME, "bulle@desk.example.org"]);
    assert_eq!(desk.post(&both).await, "acme-3, bulle-1");
    assert_eq!(desk.ticket("acme-3").status, Status::Spam);

    let changes = property::Changes { unblock: vec!["carol@example.com".parse().unwrap()], ..Default::default() };
    desk.edit("acme", changes).await;
    assert_eq!(desk.post(&reply(CAROL, &carol)).await, ticket);
    let refused = desk.read(|view| Ok(find::property(view, "acme")?.blocked.len()));
    assert_eq!(refused, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_sender_is_let_in_only_while_his_domain_vouches_for_him() {
    let (desk, filter) = desk("").await;
    lists(&desk, &[], &["example.com"]).await;
    filter.says(Says::Action("reject", 20.0));
    let ticket = desk.post(&letter(CAROL).to(ACME)).await;
    assert_eq!((desk.ticket(&ticket).status, sentence(&desk, &ticket)), (Status::Open, Sentence::Reject));
    let forged = desk.offer(&letter(CAROL).by("eve@evil.example").to(ACME)).await;
    assert!(forged.starts_with("550 5.7.1 "), "{forged}");
    assert!(desk.offer(&letter("Dave <dave@example.net>").to(ACME)).await.starts_with("550 5.7.1 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_to_two_properties_is_refused_only_where_both_would() {
    let (desk, filter) = desk("").await;
    lists(&desk, &[], &["example.com"]).await;
    let both = [ACME, "bulle@desk.example.org"];
    filter.says(Says::Action("reject", 20.0));
    // acme always lets her in; bulle keeps it where it can be seen, since nobody is told of a refusal.
    assert_eq!(desk.post(&letter(CAROL).to(ACME).rcpt(&both)).await, "acme-1, bulle-1");
    assert_eq!(desk.ticket("acme-1").status, Status::Open);
    assert_eq!((desk.ticket("bulle-1").status, desk.newest("bulle-1").reason), (Status::Spam, Some(Reason::Spam)));
    assert!(desk.offer(&letter(EVE).to(ACME).rcpt(&both)).await.starts_with("550 5.7.1 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_propertys_ceiling_stops_new_tickets_and_no_answer() {
    let desk = TestDesk::with("[limits]\nnew_tickets = 2\n").await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("One")).await;
    let alice = desk.last("alice@team.example").await;
    desk.post(&letter(EVE).to(ACME).subject("Two")).await;
    let full = desk.offer(&letter(EVE).to(ACME).subject("Three")).await;
    assert_eq!(full, "451 4.7.1 Acme Support gets too many new messages at the moment; try again later");
    let silent = letter(EVE).to(ACME).subject("Away").field("Auto-Submitted", "auto-replied");
    assert!(desk.offer(&silent).await.starts_with("451 4.7.1 "), "a machine's mail opens tickets too");

    assert_eq!(desk.post(&reply("Alice <alice@team.example>", &alice)).await, ticket);
    let carol = desk.last("carol@example.com").await;
    assert_eq!(desk.post(&reply(CAROL, &carol)).await, ticket);
    desk.post(&letter("Alice <alice@team.example>").to(ACME).subject("A member's")).await;
    assert_eq!(desk.post(&letter(EVE).to("bulle@desk.example.org").subject("Another property")).await, "bulle-1");
    // Taken by one, it is taken by both: the client would not hear that one of them wants it later.
    let both = letter(EVE).to(ACME).rcpt(&[ACME, "bulle@desk.example.org"]).subject("Both");
    assert!(desk.post(&both).await.starts_with("acme-"));
    assert_eq!(desk.metrics().counted(Rate::Property), 2);
    assert_eq!(desk.metrics().counted(Refusal::Rate), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_a_rate_that_nobody_else_can_use_up() {
    let desk = TestDesk::with("[limits]\nsender_messages = 2\n").await;
    for n in 0..3 {
        let forged = letter(CAROL).by("eve@evil.example").to(ACME).subject(&"x".repeat(n + 1));
        assert!(desk.offer(&forged).await.starts_with("250 "), "forged mail costs Carol nothing");
    }
    for n in 0..2 {
        desk.post(&letter(CAROL).to(ACME).subject(&"y".repeat(n + 1))).await;
    }
    let third = desk.offer(&letter(CAROL).to(ACME).subject("z")).await;
    assert_eq!(third, "450 4.7.1 too much mail from carol@example.com within an hour; try again later");
    desk.post(&letter("Dave <dave@example.com>").to(ACME)).await;
    assert_eq!(desk.metrics().counted(Rate::Sender), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_a_rate_and_is_told_by_421() {
    let desk = TestDesk::with("[limits]\nnetwork_messages = 2\n").await;
    for n in 0..2 {
        desk.post(&letter(CAROL).to(ACME).subject(&"x".repeat(n + 1))).await;
    }
    let third = desk.offer(&letter(CAROL).to(ACME)).await;
    assert_eq!(third, "421 4.7.0 too much mail from your network within an hour; try again later");
    assert_eq!(desk.metrics().counted(Rate::Network), 1);
}

/// A server beside the daemon, on the same store, that takes its clients for whom they say.
struct Listing {
    desk: TestDesk,
    server: Server<Inbound>,
    metrics: Arc<Metrics>,
    _stopper: stop::Stopper,
    stop: stop::Stop,
}

impl Listing {
    async fn start(listed: Listed) -> Self {
        let desk = TestDesk::start().await;
        desk.members(&["alice"]).await;
        let (store, rules) = desk.inside();
        let metrics = Arc::new(Metrics::default());
        let zones = ["one.example", "two.example", "slow.example"].map(str::to_owned).to_vec();
        let gate = Gate {
            blocklists: Some(Blocklists::new(desk.dns.resolver(), zones).with_deadline(Duration::from_millis(200))),
            listed,
            ..Gate::open(1000, 1000)
        };
        let intake = Intake {
            store: store.clone(),
            desk: Arc::clone(&rules),
            trust: Authenticator::new(desk.dns.resolver(), "mx.desk.example.org"),
            looks: Looks::new(LookAlikeCap { count: 1000, minutes: 60 }),
            quota: Quota::new(10),
            gate,
        };
        let logins = Logins { store, desk: rules, throttle: Throttle::new(10), metrics: Arc::clone(&metrics) };
        let inbound = Inbound {
            intake: Arc::new(intake),
            logins: Arc::new(logins),
            memory: Memory::new(1 << 20),
            networks: Rates::an_hour(1000),
            metrics: Arc::clone(&metrics),
            probes: Arc::default(),
        };
        let settings = Settings {
            hostname: "mx.desk.example.org".to_owned(),
            service: Service::World,
            limits: SessionLimits::default(),
            deadlines: Deadlines::default(),
            connections: ConnectionLimits::new(10, 10),
            spool: Spool::open(&desk.dir.path().join("spool"), 64 << 10).unwrap(),
            tls: None,
            metrics: Arc::clone(&metrics),
        };
        let (stopper, stop) = stop::channel();
        Self { desk, server: Server::new(Arc::new(inbound), settings), metrics, _stopper: stopper, stop }
    }

    /// What a client hears at RCPT, and at the end of its message where that was taken.
    async fn send(&self, client: &str, from: &str, to: &str) -> (String, Option<String>) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let client: IpAddr = client.parse().unwrap();
        let ((), heard) = tokio::join!(self.server.converse(theirs, client, Start::Plain, self.stop.clone()), async {
            let mut stream = BufReader::new(ours);
            let mut replies = Vec::new();
            let message = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: {client}\r\n\r\nHello.\r\n.\r\n");
            let rcpt = format!("RCPT TO:<{to}>\r\n");
            for said in ["", "HELO x.example\r\n", &format!("MAIL FROM:<{from}>\r\n"), &rcpt, "DATA\r\n", &message] {
                stream.write_all(said.as_bytes()).await.unwrap();
                let mut reply = String::new();
                stream.read_line(&mut reply).await.unwrap();
                replies.push(reply.trim_end().to_owned());
                if !reply.starts_with(['2', '3']) {
                    break;
                }
            }
            (replies[3].clone(), replies.get(5).cloned())
        });
        heard
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_a_blocklist_names_is_refused_where_it_hears_why() {
    let listing = Listing::start(Listed::Reject).await;
    let dns = &listing.desk.dns;
    dns.address("7.2.0.192.two.example", "127.0.0.4".parse().unwrap());
    dns.address(
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.one.example",
        "127.0.0.2".parse().unwrap(),
    );
    // A list that wants no question of ours, somebody who answers for every name, one that fails.
    dns.address("8.2.0.192.one.example", "127.255.255.254".parse().unwrap());
    dns.address("9.2.0.192.one.example", "198.51.100.1".parse().unwrap());
    dns.fail("10.2.0.192.one.example").silence("11.2.0.192.slow.example");
    dns.address("11.2.0.192.two.example", "127.0.0.2".parse().unwrap());

    let refused = |list: &str| {
        format!("550 5.7.1 your address is on the blocklist {list}; write to postmaster@ if it should not be")
    };
    for (client, list) in [("192.0.2.7", "two.example"), ("2001:db8::1", "one.example"), ("192.0.2.11", "two.example")]
    {
        let heard = listing.send(client, "carol@example.com", ACME).await;
        assert_eq!(heard, (refused(list), None), "{client}");
    }
    assert_eq!(listing.metrics.counted(Refusal::Blocklist), 3);
    for client in ["192.0.2.8", "192.0.2.9", "192.0.2.10"] {
        let (rcpt, end) = listing.send(client, "carol@example.com", ACME).await;
        assert!(rcpt.starts_with("250 ") && end.unwrap().starts_with("250 "), "{client}");
    }
    // Whoever is listed by mistake can say so.
    let (_, end) = listing.send("192.0.2.7", "carol@example.com", "postmaster@desk.example.org").await;
    let ticket = end.unwrap().split(' ').nth(2).unwrap().to_owned();
    assert_eq!(listing.desk.ticket(&ticket).status, Status::Spam);
    assert_eq!(listing.desk.newest(&ticket).verdict.unwrap().listed.as_deref(), Some("two.example"));

    // What answers us is no business of lists.
    let ticket = listing.desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    listing.desk.post(&reply("Alice <alice@team.example>", &listing.desk.last("alice@team.example").await)).await;
    let carol = listing.desk.last("carol@example.com").await;
    let to = address_in(&carol, "Reply-To");
    let (_, end) = listing.send("192.0.2.7", "carol@example.com", &to).await;
    assert!(end.unwrap().starts_with(&format!("250 2.0.0 {ticket} ")));

    // This machine and private networks are nobody's business either.
    let asked = dns.queries();
    for client in ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"] {
        assert!(listing.send(client, "eve@evil.example", "nobody@desk.example.org").await.0.starts_with("550 5.1.1"));
        let lists = Blocklists::new(dns.resolver(), vec!["one.example".into()]);
        assert!(lists.naming(client.parse().unwrap()).await.is_none());
    }
    assert_eq!(dns.queries(), asked);

    // Where somebody is always let in, From decides, after DATA.
    dns.txt("friend.example", "v=spf1 ip4:192.0.2.7 -all");
    lists(&listing.desk, &[], &["friend.example"]).await;
    let (_, end) = listing.send("192.0.2.7", "bob@friend.example", ACME).await;
    assert!(end.unwrap().starts_with("250 "));
    let (rcpt, end) = listing.send("192.0.2.7", "carol@example.com", ACME).await;
    assert_eq!((rcpt.as_str(), end), ("250 2.1.5 recipient ok", Some(refused("two.example"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_senders_notice_is_refused_at_a_copys_own_address_and_a_report_is_not() {
    let (desk, _filter) = desk("").await;
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    desk.post(&reply("Alice <alice@team.example>", &desk.last("alice@team.example").await)).await;
    let received = desk.settled().await;
    let copy = received.iter().rfind(|mail| mail.to[0].contains("carol@example.com")).unwrap();
    let bounces = copy.from.split(['<', '>']).nth(1).unwrap();
    let notice = |number: u32| {
        letter(CAROL).to(bounces).id(&format!("<away{number}@example.com>")).field("Auto-Submitted", "auto-replied")
    };
    assert_eq!(desk.post(&notice(1)).await, ticket);
    lists(&desk, &["example.com"], &[]).await;
    for notice in [notice(2), notice(3).by("")] {
        let said = desk.offer(&notice).await;
        assert!(said.starts_with("550 5.7.1"), "{said}");
    }
    let report = "--b\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.com\n\n\
                  Final-Recipient: rfc822; carol@example.com\nAction: failed\nStatus: 5.1.1\n--b--\n";
    let kind = "multipart/report; report-type=delivery-status; boundary=b";
    let report = letter("postmaster@example.com").by("").to(bounces).body(kind, report);
    assert_eq!(desk.post(&report).await, ticket);
    let entry = desk.messages(&ticket).into_iter().find(|entry| entry.author.is_member()).unwrap();
    assert!(desk.copies_of(&entry).iter().any(|copy| copy.state == CopyState::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocklist_may_make_spam_instead() {
    let listing = Listing::start(Listed::Spam).await;
    listing.desk.dns.address("7.2.0.192.one.example", "127.0.0.2".parse().unwrap());
    let (_, end) = listing.send("192.0.2.7", "carol@example.com", ACME).await;
    assert!(end.unwrap().starts_with("250 2.0.0 acme-1 "));
    let entry = listing.desk.newest("acme-1");
    assert_eq!((listing.desk.ticket("acme-1").status, entry.state), (Status::Spam, State::Kept));
    assert!(listing.desk.readers(&entry).is_empty());
}
