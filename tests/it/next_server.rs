//! What the next server may do to our mail, and what becomes of it: each recipient has his own
//! outcome, a wrong password fails no queue, and no server can hold us up for ever.

use std::path::Path;
use std::time::Duration;

use guichet::config::Config;
use guichet::desk::address::Address;
use guichet::relay::client::{Client, Outcome, Timeouts, Tls, Transaction};
use guichet::relay::exit::Exit;
use guichet::relay::pool::{Pool, PoolLimits, quit};
use guichet::relay::route::{NextHop, Route};

use crate::kit::dns::Dns;
use crate::kit::sink::{Act, Sink};

const MODERN: [&str; 5] = ["PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN"];
const OLD: [&str; 0] = [];
const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn transaction(recipients: &[&str]) -> Transaction<'static> {
    Transaction {
        reverse_path: Some("bounces+1@desk.example".parse().unwrap()),
        recipients: addresses(recipients),
        message: MESSAGE,
        eight_bit: false,
        smtputf8: false,
    }
}

/// The next hop that a config names; `smtp+starttls:` stands for `starttls = "required"`.
fn hop(url: &str) -> NextHop {
    let (url, more) = match url.strip_prefix("smtp+starttls:") {
        Some(rest) => (format!("smtp:{rest}"), "starttls = \"required\""),
        None => (url.to_owned(), ""),
    };
    let text = format!(
        "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\ndata_dir = \"/d\"\npostmaster = \"acme\"\n\
         [relay]\nmode = \"smarthost\"\nsmarthost = \"{url}\"\n{more}\n"
    );
    let config = Config::parse(&text, Path::new("guichet.toml")).unwrap();
    match Route::of(&config.relay).unwrap() {
        Route::Host(hop) => hop,
        Route::Capture(_) | Route::Direct(_) => unreachable!("a URL is one server"),
    }
}

/// A client that waits long enough for any machine.
async fn client(sink: &Sink) -> Client {
    client_that_waits(sink, Duration::from_mins(1)).await
}

async fn client_that_waits(sink: &Sink, wait: Duration) -> Client {
    let timeouts =
        Timeouts { connect: Duration::from_mins(1), greeting: wait, command: wait, data: wait, block: wait, end: wait };
    let dns = Dns::start().await;
    dns.address("relay.example", "127.0.0.1".parse().unwrap());
    Client::new("desk.example", dns.resolver(), Tls::with_roots(sink.roots()).unwrap()).with_timeouts(timeouts)
}

async fn pool(sink: &Sink, scheme: &str) -> Pool {
    let url = format!("{scheme}{}", sink.address());
    Pool::new(client(sink).await, hop(&url), PoolLimits::default())
}

/// One that gives up soon where the sink is told to keep silent: it must, whatever the wait.
async fn pool_for(sink: &Sink, act: &Act) -> Pool {
    let wait = if matches!(act, Act::Silence) { Duration::from_millis(200) } else { Duration::from_mins(1) };
    let url = format!("smtp://{}", sink.address());
    Pool::new(client_that_waits(sink, wait).await, hop(&url), PoolLimits::default())
}

fn kinds(outcomes: &[Outcome]) -> Vec<&'static str> {
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Sent(_) => "sent",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
        Outcome::RouteDown(_) => "down",
        Outcome::Busy(_) => "busy",
    };
    outcomes.iter().map(kind).collect()
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

#[tokio::test]
async fn a_message_arrives_as_it_was() {
    for extensions in [&MODERN[..], &OLD[..]] {
        let sink = Sink::new(extensions).start().await;
        let outcomes =
            pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com", "eve@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["sent", "sent"]);
        assert_eq!(outcomes[0].reply().to_string(), "250 2.0.0 taken");
        let received = sink.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].message, MESSAGE);
        let size = if extensions.is_empty() { "" } else { " SIZE=29" };
        assert_eq!(received[0].from, format!("MAIL FROM:<bounces+1@desk.example>{size}"));
        assert_eq!(received[0].to, ["RCPT TO:<bob@example.com>", "RCPT TO:<eve@example.com>"]);
    }
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let sink = Sink::new(&["PIPELINING"]).start().await;
    let message = [b"Subject: x\r\n\r\n".to_vec(), b".0123456789abcdef\r\n".repeat(20_000)].concat();
    let outcomes = pool(&sink, "smtp://")
        .await
        .deliver(&Transaction { message: &message, ..transaction(&["bob@example.com"]) })
        .await;
    assert_eq!(kinds(&outcomes), ["sent"]);
    assert!(sink.received()[0].message == message);
}

#[tokio::test]
async fn each_recipient_has_his_own_outcome() {
    for extensions in [&MODERN[..], &OLD[..]] {
        let sink = Sink::new(extensions)
            .on("RCPT TO:<gone@", say("550 5.1.1 no such user"))
            .on("RCPT TO:<full@", say("452 4.2.2 mailbox full"))
            .on("RCPT TO:<login@", say("530 5.7.0 authentication required"))
            .start()
            .await;
        let pool = pool(&sink, "smtp://").await;
        let recipients = ["gone@example.com", "bob@example.com", "full@example.com", "login@example.com"];
        let outcomes = pool.deliver(&transaction(&recipients)).await;
        assert_eq!(kinds(&outcomes), ["failed", "sent", "deferred", "down"], "{extensions:?}");
        assert_eq!(outcomes[0].reply().to_string(), "550 5.1.1 no such user");
        assert_eq!(sink.received()[0].to, ["RCPT TO:<bob@example.com>"]);

        // All refused: nobody gets an empty message, and the connection is good for the next.
        let outcomes = pool.deliver(&transaction(&["gone@example.com", "full@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["failed", "deferred"], "{extensions:?}");
        let outcomes = pool.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["sent"], "{extensions:?}");
        assert_eq!((sink.connections(), sink.received().len()), (1, 2));
    }
}

#[tokio::test]
async fn a_server_that_wants_a_message_for_nobody_gets_an_empty_one_and_is_not_believed() {
    let sink = Sink::new(&MODERN).on("RCPT", say("550 5.1.1 no")).on("DATA", say("354 go ahead")).start().await;
    let pool = pool(&sink, "smtp://").await;
    assert_eq!(kinds(&pool.deliver(&transaction(&["gone@example.com"])).await), ["failed"]);
    sink.behave();
    assert_eq!(kinds(&pool.deliver(&transaction(&["bob@example.com"])).await), ["sent"]);
    assert_eq!((sink.connections(), sink.received().len()), (1, 1));
}

#[tokio::test]
async fn refusals_of_the_whole_transaction() {
    for extensions in [&MODERN[..], &OLD[..]] {
        for (when, said, expected) in [
            ("MAIL", "550 5.7.1 not you", "failed"),
            ("MAIL", "451 4.3.0 later", "deferred"),
            ("MAIL", "530 5.7.0 login first", "down"),
            ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", "down"),
            ("DATA", "554 5.5.1 no", "failed"),
            ("DATA", "451 4.3.0 later", "deferred"),
            ("DATA", "530 5.7.0 login first", "down"),
            ("DATA", "250 what", "deferred"),
            (".", "554 5.7.1 spam", "failed"),
            (".", "552 5.3.4 too big", "failed"),
            (".", "451 4.7.1 greylisted", "deferred"),
            (".", "354 what", "deferred"),
        ] {
            let sink = Sink::new(extensions).on(when, say(said)).start().await;
            let outcomes =
                pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com", "eve@example.com"])).await;
            assert_eq!(kinds(&outcomes), [expected, expected], "{when} {said}");
            assert_eq!(outcomes[0].reply().to_string(), said);
            assert_eq!(outcomes[0].reply().is_about_size(), said.contains("too big"));
            assert!(sink.received().is_empty());
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_ready_takes_the_route_down_and_fails_nobody() {
    for (when, act) in [
        ("CONNECT", say("554 5.7.1 your address is blocked")),
        ("CONNECT", say("421 4.3.2 busy")),
        ("CONNECT", Act::Close),
        ("CONNECT", Act::Silence),
        ("CONNECT", say("HTTP/1.1 400 Bad Request")),
        ("CONNECT", Act::Raw(vec![0x16, 3, 1, 0, 0, 0])),
        ("CONNECT", Act::Flood("220-hello".to_owned())),
        ("CONNECT", Act::Flood("220-".to_owned())),
        ("CONNECT", Act::Raw(b"220 hello\r\n250 early\r\n".to_vec())),
        ("EHLO", say("421 4.3.2 closing")),
        ("EHLO", say("451 later")),
        ("EHLO", Act::Close),
        ("EHLO", Act::Flood("250-X".to_owned())),
    ] {
        let sink = Sink::new(&MODERN).on(when, act.clone()).start().await;
        let outcomes = pool_for(&sink, &act).await.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["down"], "{when} {act:?}: {outcomes:?}");
        assert!(outcomes[0].reply().to_string().len() < 600);
    }
    let sink = Sink::new(&MODERN).on("EHLO", say("550 no")).on("HELO", say("550 5.7.1 not you")).start().await;
    let outcomes = pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(outcomes[0].reply().to_string(), "550 5.7.1 not you");
    assert!(outcomes[0].reply().is_permanent(), "which alarms");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("smtp://{nobody}"), "smtp://unknown.example:25".to_owned(), "lmtp:/nowhere/x.sock".to_owned()] {
        let pool = Pool::new(client(&sink).await, hop(&url), PoolLimits::default());
        assert_eq!(kinds(&pool.deliver(&transaction(&["bob@example.com"])).await), ["down"], "{url}");
    }
}

#[tokio::test]
async fn a_server_without_ehlo_is_spoken_to_plainly() {
    let sink = Sink::new(&MODERN).on("EHLO", say("502 5.5.1 unknown")).start().await;
    let outcomes = pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["sent"]);
    assert_eq!(sink.commands()[..3], ["EHLO desk.example", "HELO desk.example", "MAIL FROM:<bounces+1@desk.example>"]);
}

#[tokio::test]
async fn a_server_that_breaks_off_defers() {
    for extensions in [&MODERN[..], &OLD[..]] {
        for (when, act) in [
            ("MAIL", Act::Close),
            ("MAIL", Act::Silence),
            ("MAIL", Act::SayAndClose("421 4.3.2 closing".to_owned())),
            ("MAIL", Act::Flood("250-x".to_owned())),
            ("RCPT", Act::Close),
            ("RCPT", Act::SayAndClose("421 4.3.2 closing".to_owned())),
            ("RCPT", Act::Raw(b"250 one\r\n250 two\r\n250 three\r\n354 go\r\n".to_vec())),
            ("RCPT", Act::Raw(b"\xff\xff\xff\xff\r\n".to_vec())),
            ("DATA", Act::Close),
            ("DATA", Act::Silence),
            ("DATA", Act::Raw(b"354 go ahead\r\n250 taken\r\n".to_vec())),
            ("BODY", Act::Close),
            ("BODY", Act::SayAndClose("421 4.3.2 closing".to_owned())),
            (".", Act::Close),
            (".", Act::Silence),
            (".", Act::SayAndClose("421 4.3.2 closing".to_owned())),
        ] {
            let sink = Sink::new(extensions).on(when, act.clone()).start().await;
            let hasty = pool_for(&sink, &act).await;
            let outcomes = hasty.deliver(&transaction(&["bob@example.com"])).await;
            assert_eq!(kinds(&outcomes), ["deferred"], "{when} {act:?}: {outcomes:?}");
            if when == "." && !matches!(act, Act::SayAndClose(_)) {
                assert!(outcomes[0].reply().text.contains("may have been taken"), "{outcomes:?}");
            }
            if matches!(act, Act::Silence) {
                continue;
            }
            sink.behave();
            let outcomes = hasty.deliver(&transaction(&["bob@example.com"])).await;
            assert_eq!(kinds(&outcomes), ["sent"], "a fresh connection after {when} {act:?}");
        }
    }
}

#[tokio::test]
async fn what_the_server_can_not_take_fails_before_it_is_offered() {
    let sink = Sink::new(&["SIZE 20"]).start().await;
    let outcomes = pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["failed"]);
    assert!(outcomes[0].reply().is_about_size(), "{outcomes:?}");

    let sink = Sink::new(&OLD).start().await;
    let pool = pool(&sink, "smtp://").await;
    let eight_bit = Transaction { eight_bit: true, ..transaction(&["bob@example.com"]) };
    let outcomes = pool.deliver(&eight_bit).await;
    assert!(outcomes[0].reply().to_string().starts_with("5.6.3"), "{outcomes:?}");
    let utf8 = Transaction { smtputf8: true, ..transaction(&["bob@example.com"]) };
    let outcomes = pool.deliver(&utf8).await;
    assert!(outcomes[0].reply().to_string().starts_with("5.6.7"), "{outcomes:?}");
    let outcomes = pool.deliver(&transaction(&["zoé@example.com", "bob@exämple.de"])).await;
    assert_eq!(kinds(&outcomes), ["failed", "sent"]);
    assert_eq!(sink.received()[0].to, ["RCPT TO:<bob@xn--exmple-cua.de>"]);
    assert_eq!(sink.commands().iter().filter(|command| command.starts_with("MAIL")).count(), 1);
}

#[tokio::test]
async fn what_the_server_can_take_is_announced() {
    let sink = Sink::new(&MODERN).start().await;
    let pool = pool(&sink, "smtp://").await;
    let transaction = Transaction { eight_bit: true, ..transaction(&["zoé@exämple.de"]) };
    assert_eq!(kinds(&pool.deliver(&transaction).await), ["sent"]);
    let null = Transaction {
        reverse_path: None,
        eight_bit: false,
        recipients: addresses(&["bob@example.com"]),
        ..transaction
    };
    assert_eq!(kinds(&pool.deliver(&null).await), ["sent"]);
    let received = sink.received();
    assert_eq!(received[0].from, "MAIL FROM:<bounces+1@desk.example> SIZE=29 BODY=8BITMIME SMTPUTF8");
    assert_eq!(received[0].to, ["RCPT TO:<zoé@exämple.de>"]);
    assert_eq!(received[1].from, "MAIL FROM:<> SIZE=29");
}

#[tokio::test]
async fn a_server_that_says_much_is_heard_to_the_end() {
    let many: Vec<_> = (0..60).map(|number| format!("X-EXTENSION-{number}")).collect();
    let extensions: Vec<_> = many.iter().map(String::as_str).chain(["SIZE 100000"]).collect();
    let sink = Sink::new(&extensions).tls("127.0.0.1", false).start().await;
    let outcomes = pool(&sink, "smtp://").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["sent"]);
    assert_eq!(sink.commands()[1], "STARTTLS");
    assert!(sink.commands().iter().any(|command| command.contains(" SIZE=")), "{:?}", sink.commands());
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp.sock");
    let sink = Sink::new(&["PIPELINING"])
        .lmtp()
        .on("RCPT TO:<gone@", say("550 5.1.1 no such user"))
        .on(". <full@", say("452 4.2.2 full"))
        .on(". <never@", say("554 5.7.1 never"))
        .start_at(&path);
    let pool = Pool::new(client(&sink).await, hop(&format!("lmtp:{}", path.display())), PoolLimits::default());
    let recipients =
        ["bob@example.com", "gone@example.com", "full@example.com", "never@example.com", "eve@example.com"];
    let outcomes = pool.deliver(&transaction(&recipients)).await;
    assert_eq!(kinds(&outcomes), ["sent", "failed", "deferred", "failed", "sent"]);
    assert_eq!(sink.commands()[0], "LHLO desk.example");
    assert_eq!(sink.received()[0].to, ["RCPT TO:<bob@example.com>", "RCPT TO:<eve@example.com>"]);
    // Half the answers, then nothing: who was answered for is done.
    sink.rule(". <eve@", Act::Close, true);
    let outcomes = pool.deliver(&transaction(&["bob@example.com", "eve@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["sent", "deferred"]);

    let sink = Sink::new(&[]).lmtp().start().await;
    let pool = Pool::new(client(&sink).await, hop(&format!("lmtp://{}", sink.address())), PoolLimits::default());
    assert_eq!(kinds(&pool.deliver(&transaction(&["bob@example.com"])).await), ["sent"]);
}

#[tokio::test]
async fn encryption_is_taken_where_it_is_offered_and_the_right_one_required_where_it_must_be() {
    let port = |sink: &Sink| sink.address().port();
    for (name, implicit, scheme, host, expected) in [
        ("relay.example", false, "smtp", "relay.example", "sent"),
        ("other.example", false, "smtp", "relay.example", "sent"),
        ("relay.example", false, "smtp+starttls", "relay.example", "sent"),
        ("other.example", false, "smtp+starttls", "relay.example", "down"),
        ("relay.example", true, "smtps", "relay.example", "sent"),
        ("other.example", true, "smtps", "relay.example", "down"),
        ("127.0.0.1", true, "smtps", "127.0.0.1", "sent"),
    ] {
        let sink = Sink::new(&MODERN).tls(name, implicit).start().await;
        let url = format!("{scheme}://{host}:{}", port(&sink));
        let pool = Pool::new(client(&sink).await, hop(&url), PoolLimits::default());
        let outcomes = pool.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), [expected], "{url} with a certificate for {name}: {outcomes:?}");
        assert_eq!(outcomes[0].reply().is_permanent(), expected == "down", "a wrong certificate alarms");
        if !implicit && expected == "sent" {
            let commands = sink.commands();
            assert_eq!(commands[..3], ["EHLO desk.example", "STARTTLS", "EHLO desk.example"], "{url}");
        }
    }
    let sink = Sink::new(&MODERN).start().await;
    let outcomes = pool(&sink, "smtp+starttls://").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["down"], "not offered");
    assert!(!sink.commands().iter().any(|command| command.starts_with("MAIL")));
}

#[tokio::test]
async fn starttls_that_goes_wrong() {
    for (act, scheme, expected) in [
        (say("454 4.7.0 not now"), "smtp://", "sent"),
        (say("454 4.7.0 not now"), "smtp+starttls://", "down"),
        (say("501 5.5.1 no"), "smtp://", "down"),
        (Act::Raw(b"220 go ahead\r\n250 injected\r\n".to_vec()), "smtp://", "down"),
    ] {
        let sink = Sink::new(&MODERN).tls("127.0.0.1", false).on("STARTTLS", act.clone()).start().await;
        let outcomes = pool(&sink, scheme).await.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), [expected], "{act:?} {scheme}: {outcomes:?}");
    }
    // A handshake that fails: in clear where that is all one can have, else not at all.
    for (scheme, expected) in [("smtp://", "sent"), ("smtp+starttls://", "down")] {
        let sink = Sink::new(&MODERN).tls("127.0.0.1", false).on("HANDSHAKE", Act::Close).start().await;
        let outcomes = pool(&sink, scheme).await.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), [expected], "{scheme}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_login_goes_over_a_safe_line_and_a_wrong_one_fails_nobody() {
    // "\0bob\0secret", "bob", "secret"
    let plain = "AUTH PLAIN AGJvYgBzZWNyZXQ=";
    let sink = Sink::new(&MODERN).start().await;
    let outcomes = pool(&sink, "smtp://bob:secret@").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["sent"]);
    assert_eq!(sink.commands()[1], plain);

    let sink = Sink::new(&["AUTH=LOGIN"])
        .on("AUTH LOGIN", say("334 VXNlcm5hbWU6"))
        .on("Ym9i", say("334 UGFzc3dvcmQ6"))
        .on("c2VjcmV0", say("235 2.7.0 welcome"))
        .start()
        .await;
    let outcomes = pool(&sink, "smtp://bob:secret@").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["sent"]);

    for reply in ["535 5.7.8 wrong password", "454 4.7.0 later", "534 5.7.9 stronger"] {
        let sink = Sink::new(&MODERN).on("AUTH", say(reply)).start().await;
        let outcomes = pool(&sink, "smtp://bob:secret@").await.deliver(&transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["down"]);
        assert_eq!(outcomes[0].reply().to_string(), reply);
        assert_eq!(outcomes[0].reply().is_permanent(), reply.starts_with('5'));
    }
    let sink = Sink::new(&["AUTH CRAM-MD5"]).start().await;
    let outcomes = pool(&sink, "smtp://bob:secret@").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!(kinds(&outcomes), ["down"]);
    assert!(outcomes[0].reply().is_permanent() && !format!("{outcomes:?}").contains("secret"));
    let sink = Sink::new(&MODERN).tls("127.0.0.1", true).start().await;
    let outcomes = pool(&sink, "smtps://bob:secret@").await.deliver(&transaction(&["bob@example.com"])).await;
    assert_eq!((kinds(&outcomes), sink.commands()[1].as_str()), (vec!["sent"], plain));
}

#[tokio::test]
async fn connections_are_used_again_within_bounds() {
    let sink = Sink::new(&MODERN).start().await;
    let url = format!("smtp://{}", sink.address());
    let limits = PoolLimits { transactions: 3, ..PoolLimits::default() };
    let pool = Pool::new(client(&sink).await, hop(&url), limits);
    for _ in 0..7 {
        assert_eq!(kinds(&pool.deliver(&transaction(&["bob@example.com"])).await), ["sent"]);
    }
    let by_connection: Vec<_> = sink.received().iter().map(|received| received.connection).collect();
    assert_eq!(by_connection, [0, 0, 0, 1, 1, 1, 2]);

    // Closed by the server while it waited: tried again on a fresh one, not deferred.
    sink.rule("MAIL", Act::SayAndClose("421 4.4.2 idle too long".to_owned()), true);
    assert_eq!(kinds(&pool.deliver(&transaction(&["bob@example.com"])).await), ["sent"]);
    assert_eq!(sink.connections(), 4);
    quit(pool.all()).await;
    assert_eq!(sink.commands().last().unwrap(), "QUIT");

    let old = Pool::new(client(&sink).await, hop(&url), PoolLimits { idle: Duration::ZERO, ..limits });
    for _ in 0..2 {
        assert_eq!(kinds(&old.deliver(&transaction(&["bob@example.com"])).await), ["sent"]);
    }
    assert_eq!(sink.connections(), 6);
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let sink = Sink::new(&MODERN).start().await;
    let url = format!("smtp://{}", sink.address());
    let pool = Pool::new(client(&sink).await, hop(&url), PoolLimits { connections: 2, ..PoolLimits::default() });
    let pool = std::sync::Arc::new(pool);
    let mut deliveries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let pool = std::sync::Arc::clone(&pool);
        deliveries.spawn(async move { pool.deliver(&transaction(&["bob@example.com"])).await });
    }
    for outcomes in deliveries.join_all().await {
        assert_eq!(kinds(&outcomes), ["sent"]);
    }
    assert_eq!(sink.wait(20).await.len(), 20);
    assert!(sink.connections() <= 2);
}

#[tokio::test]
async fn a_captured_copy_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let exit = Exit::to_maildir(directory.path().join("outbox")).unwrap();
    for _ in 0..2 {
        let outcomes = exit.deliver("copy-1", &transaction(&["bob@example.com"])).await;
        assert_eq!(kinds(&outcomes), ["sent"]);
    }
    let captured = std::fs::read(directory.path().join("outbox/new/copy-1.guichet")).unwrap();
    assert!(captured.ends_with(MESSAGE));
    assert_eq!(kinds(&exit.deliver("../x", &transaction(&["bob@example.com"])).await), ["down"]);
}
