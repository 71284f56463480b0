//! What others lack is not our senders' loss: name servers that keep silent, a next server that is
//! not there.

use std::net::Ipv4Addr;
use std::time::Duration;

use guichet::actions::queue::{self, Verb};
use guichet::desk::copy::CopyState;
use guichet::desk::envelope::Envelope;
use guichet::desk::verdict::Outcome;
use guichet::intake::Intake;
use guichet::intake::gate::Gate;
use guichet::intake::looks::{LookAlikeCap, Looks};
use guichet::intake::quota::Quota;
use guichet::store::tables::{COPIES, ENTRIES};
use guichet::store::{Order, Read};
use guichet::trust::Authenticator;
use jiff::Timestamp;
use rustix::process::Resource;

use crate::kit::daemon::Daemon;
use crate::kit::desk::{TestDesk, address, send};
use crate::kit::load::{Client, Mail};
use crate::kit::sink::Act;

/// Larger than what stays in memory, so that it is spooled.
const LARGE: usize = 400_000;
const ACME: &str = "acme@desk.example.org";

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_taken_although_no_name_server_answers() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    for name in ["example.com", "_dmarc.example.com", "one._domainkey.example.com"] {
        desk.dns.silence(name);
    }
    let (store, rules) = desk.inside();
    let trust =
        Authenticator::new(desk.dns.resolver(), "mx.desk.example.org").with_deadline(Duration::from_millis(200));
    let intake = Intake {
        store,
        desk: rules,
        trust,
        looks: Looks::new(LookAlikeCap { count: 10, minutes: 60 }),
        quota: Quota::new(10),
        gate: Gate::open(10, 10),
    };
    let envelope = Envelope {
        client: Ipv4Addr::LOCALHOST.into(),
        helo: "client.example.com".to_owned(),
        reverse_path: Some(address("carol@example.com")),
        recipients: vec![address(ACME)],
        tls: None,
        extended: true,
        eight_bit: false,
        smtputf8: false,
        login: None,
        at: Timestamp::now(),
        id: "one".to_owned(),
    };
    let raw = b"From: <carol@example.com>\r\nTo: <acme@desk.example.org>\r\nSubject: Slow\r\n\
        Message-ID: <slow@example.com>\r\nDKIM-Signature: v=1; a=ed25519-sha256; d=example.com; s=one; h=From;\r\n \
        bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n\r\nHello.\r\n";
    let accepted = intake.receive(&envelope, raw.to_vec()).await.unwrap();
    assert_eq!(accepted.tickets[0].to_string(), "acme-1");
    let entry = desk.messages("acme-1").remove(0);
    let verdict = entry.verdict.as_ref().unwrap();
    assert!(verdict.temporary, "{verdict:?}");
    assert_eq!(verdict.spf, Outcome::TempError);
    assert_eq!(desk.readers(&entry), ["alice@team.example"]);
    assert_eq!(desk.inbox("alice@team.example").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_next_server_is_away_copies_wait_with_the_reason_and_go_when_it_is_back() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.sink.rule("CONNECT", Act::SayAndClose("554 5.3.2 not today".to_owned()), false);
    for number in 1..=3 {
        let reply = desk.send(&format!("carol{number}@example.com"), &[ACME], &mail(number, 10).text).await;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    // At least the first one offered hears it, and nothing fails for it.
    let deferred = desk
        .until(|view| {
            let all = view.range(&COPIES, .., Order::Up, 100)?;
            let copies: Vec<_> = all.into_iter().map(|(_, copy)| copy).collect();
            assert!(copies.iter().all(|copy| matches!(copy.state, CopyState::Queued | CopyState::Deferred)));
            Ok(copies.into_iter().find(|copy| copy.state == CopyState::Deferred))
        })
        .await;
    assert!(deferred.reply.as_ref().unwrap().contains("not today"), "{deferred:?}");
    assert!(deferred.next_at.unwrap() > Timestamp::now());
    assert!(desk.sink.received().is_empty());

    desk.sink.behave();
    desk.restart().await;
    desk.act(|tx, act| {
        for (id, _) in tx.range(&COPIES, .., Order::Up, 100)? {
            // A restarted daemon may have sent it already.
            let _ = queue::one(tx, act, Verb::Retry, id);
        }
        Ok(())
    })
    .await;
    assert_eq!(desk.settled().await.len(), 6, "three mails, two members, each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_down_is_alarmed_once() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    desk.sink.rule("CONNECT", Act::SayAndClose("554 5.3.2 not today".to_owned()), false);
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    for number in 1..=2 {
        let reply = send(daemon.address, "carol@example.com", &[ACME], mail(number, 10).text.as_bytes()).await;
        assert!(reply.starts_with("250 "), "{reply}");
        // The second one is tried when the route is, after a pause.
        desk.sink.wait_for_connections(number).await;
    }
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    let alarms: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(alarms.len(), 1, "{log}");
    assert!(alarms[0].contains("the route is down"), "{log}");
    assert!(log.contains("554 5.3.2 not today"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_out_of_file_descriptors_lets_nothing_get_lost_and_goes_on() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    let mut early = Client::connect(daemon.address).await.unwrap();
    assert!(early.send(&mail(1, 10), |_| {}).await.unwrap().starts_with("250 "));
    desk.sink.wait(1).await;

    daemon.limit(Resource::Nofile, Some(0));
    let reply = early.send(&mail(2, LARGE), |_| {}).await.unwrap();
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    let reply = early.send(&mail(3, 10), |_| {}).await.unwrap();
    assert!(reply.starts_with("250 "), "what needs no file is taken: {reply}");
    // The system takes this connection, the daemon can't yet.
    let address = daemon.address;
    let late = tokio::spawn(async move { Client::connect(address).await });
    let reply = early.say("NOOP").await.unwrap();
    assert!(reply.starts_with("250 "), "{reply}");

    daemon.limit(Resource::Nofile, None);
    let mut late = late.await.unwrap().unwrap();
    for (number, size) in [(2, LARGE), (4, 10)] {
        let reply = late.send(&mail(number, size), |_| {}).await.unwrap();
        assert!(reply.starts_with("250 "), "{reply}");
    }
    daemon.terminate();
    let (status, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    desk.resume().await;
    assert!(desk.verify().is_clean());
    let mut ids = desk.read(|view| {
        let entries = view.range(&ENTRIES, .., Order::Up, 100)?;
        Ok(entries.into_iter().filter_map(|(_, entry)| entry.message_id).map(|id| id.to_string()).collect::<Vec<_>>())
    });
    ids.sort();
    assert_eq!(ids, ["<1@example.com>", "<2@example.com>", "<3@example.com>", "<4@example.com>"]);
}

fn mail(number: usize, size: usize) -> Mail {
    let id = format!("{number}@example.com");
    let text = format!(
        "From: <carol{number}@example.com>\nTo: {ACME}\nSubject: Number {number}\nMessage-ID: <{id}>\n\n{}",
        "Hello.\n".repeat(size / 7)
    );
    Mail { id, from: format!("carol{number}@example.com"), to: vec![ACME.to_owned()], text }
}
