//! The queue as a postmaster knows it: what waits, where, since when and why; and what he does about it.

use guichet::actions::copies::reported;
use guichet::actions::timers;
use guichet::actions::{Act as Doing, Actor};
use guichet::desk::copy::{Copy, CopyState};
use guichet::desk::entry::{Door, What};
use guichet::store::tables::{COPIES, QUEUE};
use guichet::store::{Order, Read};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::kit::daemon::Daemon;
use crate::kit::desk::TestDesk;
use crate::kit::sink::{Act, Sink};

const GREYLISTED: &str = "450 4.7.1 greylisted";
const SERVER: &str = "mx.example.net [127.0.0.1]";

async fn say(desk: &TestDesk, args: &[&str]) -> String {
    let (text, error, code) = desk.command(args).await;
    assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
    text
}

async fn ask(desk: &TestDesk, args: &[&str]) -> Value {
    serde_json::from_str(&say(desk, &[args, &["--json"]].concat()).await).unwrap()
}

/// The copies of a list, as `to state`.
fn rows(list: &Value) -> Vec<String> {
    let row = |copy: &Value| format!("{} {}", copy["to"].as_str().unwrap(), copy["state"].as_str().unwrap());
    list["copies"].as_array().unwrap().iter().map(row).collect()
}

fn copies(desk: &TestDesk) -> Vec<Copy> {
    let all = desk.read(|view| Ok(view.range(&COPIES, .., Order::Up, 1_000)?));
    all.into_iter().map(|(_, copy)| copy).collect()
}

/// Waits until so many copies are in a state.
async fn until(desk: &TestDesk, state: CopyState, count: usize) {
    desk.until(|view| {
        let all = view.range(&COPIES, .., Order::Up, 1_000)?;
        Ok((all.iter().filter(|(_, copy)| copy.state == state).count() == count).then_some(()))
    })
    .await;
}

/// A desk with mail to Bob (acme-1), Carol (acme-2) and Dave (acme-3) that their server greylists.
async fn greylisted() -> TestDesk {
    let desk = TestDesk::direct().await;
    desk.sink.rule("RCPT", Act::Say(GREYLISTED.to_owned()), false);
    for reader in ["bob@example.com", "carol@example.com", "dave@team.example"] {
        desk.begin_to_compose("acme", None, &[reader], "Parcel", "It is on its way.").await;
    }
    until(&desk, CopyState::Deferred, 3).await;
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_listed_by_state_destination_ticket_and_age_and_shown_with_every_attempt() {
    let desk = greylisted().await;
    let all = ask(&desk, &["queue", "list"]).await;
    assert_eq!(rows(&all), ["bob@example.com deferred", "carol@example.com deferred", "dave@team.example deferred"]);
    let bob = &all["copies"][0];
    for (name, value) in [
        ("destination", json!("example.com")),
        ("ticket", json!("acme-1")),
        ("attempts", json!(1)),
        ("reply", json!(GREYLISTED)),
        ("server", json!(SERVER)),
        ("outage", Value::Null),
    ] {
        assert_eq!(bob[name], value, "{name}");
    }
    for (args, found) in [
        (&["--destination", "Example.COM."][..], &["bob@example.com", "carol@example.com"][..]),
        (&["--destination", "example.org"], &[]),
        (&["--ticket", "acme-3"], &["dave@team.example"]),
        (&["--state", "deferred", "--ticket", "acme-2"], &["carol@example.com"]),
        (&["--state", "held"], &[]),
        (&["--state", "sent"], &[]),
        (&["--older-than", "2h"], &[]),
        (&["--older-than", "0m", "--limit", "2"], &["bob@example.com", "carol@example.com"]),
    ] {
        let list = ask(&desk, &[&["queue", "list"], args].concat()).await;
        let found: Vec<_> = found.iter().map(|to| format!("{to} deferred")).collect();
        assert_eq!(rows(&list), found, "{args:?}");
    }
    let first = ask(&desk, &["queue", "list", "--limit", "1"]).await;
    let rest = ask(&desk, &["queue", "list", "--after", first["next"].as_str().unwrap()]).await;
    assert_eq!((rows(&rest).len(), &rest["next"]), (2, &Value::Null));

    let table = say(&desk, &["queue", "list", "--ticket", "acme-1"]).await;
    assert!(table.starts_with("COPY  STATE     DESTINATION  TICKET  READER"), "{table}");
    assert!(table.contains(&format!("{GREYLISTED} ({SERVER})")), "{table}");
    let shown = say(&desk, &["queue", "show", bob["id"].as_str().unwrap()]).await;
    assert!(
        shown.lines().any(|line| line.contains("try 1") && line.ends_with(&format!("{SERVER} deferred: {GREYLISTED}"))),
        "{shown}"
    );
    let summary = ask(&desk, &["queue", "summary"]).await;
    assert_eq!(summary["destinations"][0]["destination"], "example.com");
    assert_eq!(
        (&summary["destinations"][0]["deferred"], &summary["destinations"][1]["deferred"]),
        (&json!(2), &json!(1))
    );
    assert_eq!((&summary["outage"], &summary["more"]), (&Value::Null, &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_holds_releases_retries_and_cancels_one_a_ticket_a_destination_or_all() {
    let desk = greylisted().await;
    assert_eq!(say(&desk, &["queue", "hold", "--ticket", "acme-1"]).await, "1 copy held\n");
    desk.sink.behave();
    assert_eq!(say(&desk, &["queue", "retry", "--destination", "example.com"]).await, "1 copy retried\n");
    assert_eq!(desk.sink.wait(1).await[0].to, ["RCPT TO:<carol@example.com>"]);
    until(&desk, CopyState::Sent, 1).await;
    assert_eq!(rows(&ask(&desk, &["queue", "list"]).await), ["bob@example.com held", "dave@team.example deferred"]);

    let dave =
        ask(&desk, &["queue", "list", "--state", "deferred"]).await["copies"][0]["id"].as_str().unwrap().to_owned();
    let cancelled = ask(&desk, &["queue", "cancel", &dave]).await;
    assert_eq!((&cancelled["state"], &cancelled["tries"][0]["reply"]), (&json!("cancelled"), &json!(GREYLISTED)));
    assert_eq!(ask(&desk, &["queue", "release", "--all"]).await, json!({ "done": 1 }));
    assert_eq!(desk.sink.wait(2).await[1].to, ["RCPT TO:<bob@example.com>"]);
    desk.settled().await;
    assert_eq!(rows(&ask(&desk, &["queue", "list"]).await), [""; 0]);
    assert_eq!(say(&desk, &["queue", "hold", "--all"]).await, "0 copies held\n");

    // What was cancelled by mistake can still go, if it is named.
    say(&desk, &["queue", "retry", &dave]).await;
    assert_eq!(desk.sink.wait(3).await[2].to, ["RCPT TO:<dave@team.example>"]);
    let happened = |ticket: &str| -> Vec<String> {
        let events = desk.entries(ticket).into_iter().filter_map(|entry| entry.event);
        let events = events.filter(|event| event.what == What::Delivery);
        events.map(|event| format!("{} {}", event.from.unwrap(), event.to.unwrap())).collect()
    };
    assert_eq!(happened("acme-1"), ["bob@example.com held", "bob@example.com released"]);
    assert_eq!(happened("acme-2"), ["carol@example.com retried"]);
    assert_eq!(happened("acme-3"), ["dave@team.example cancelled", "dave@team.example retried"]);
    assert!(desk.verify().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_has_taken_and_reports_late_is_not_sent_twice_but_by_name() {
    let desk = TestDesk::direct().await;
    desk.compose("acme", None, &["bob@example.com"], "Parcel", "Soon.").await;
    until(&desk, CopyState::Sent, 1).await;
    let id = copies(&desk)[0].id;
    desk.act(|tx, act| reported(tx, act, id, false, "4.4.1 no answer from host")).await;
    assert_eq!(copies(&desk)[0].state, CopyState::Deferred);
    assert_eq!(rows(&ask(&desk, &["queue", "list"]).await), [""; 0], "it waits elsewhere");
    for args in [&["--state", "deferred"][..], &["--ticket", "acme-1"]] {
        assert_eq!(rows(&ask(&desk, &[&["queue", "list"], args].concat()).await), [""; 0], "{args:?}");
    }
    assert_eq!(ask(&desk, &["queue", "summary"]).await["destinations"], json!([]));
    let metrics = say(&desk, &["metrics"]).await;
    assert!(metrics.contains("guichet_queue_copies{state=\"deferred\"} 0"), "{metrics}");
    assert!(desk.verify().is_clean());
    for verb in ["retry", "hold", "cancel"] {
        assert_eq!(ask(&desk, &["queue", verb, "--all"]).await, json!({ "done": 0 }), "{verb}");
    }
    say(&desk, &["queue", "retry", &id.to_string()]).await;
    desk.sink.wait(2).await;
    desk.settled().await;
    assert!(desk.verify().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_said_with_what_would() {
    let desk = greylisted().await;
    let id = copies(&desk)[0].id.to_string();
    say(&desk, &["queue", "hold", &id]).await;
    for (args, said, code) in [
        (&["queue", "hold", &id][..], format!("guichet: copy {id} is held already\n"), 1),
        (&["queue", "retry", &id], format!("guichet: copy {id} is held; release it instead\n"), 1),
        (&["queue", "release", "999"], "guichet: there is no copy 999\n".to_owned(), 1),
        (
            &["queue", "show", "x1"],
            "guichet: \"x1\" is no copy's number; `guichet queue list` has them\n".to_owned(),
            1,
        ),
        (&["queue", "hold", "--ticket", "acme-77"], "guichet: there is no ticket acme-77".to_owned(), 1),
        (&["queue", "list", "--after", "nowhere"], "guichet: after=nowhere: not a place in this list\n".to_owned(), 1),
        (&["queue", "show", ""], "error: a value is required for '<ID>'".to_owned(), 2),
        (&["queue", "hold"], "error: the following required arguments were not provided".to_owned(), 2),
        (&["queue", "list", "--older-than", "soon"], "error: invalid value 'soon'".to_owned(), 2),
    ] {
        let (out, error, exit) = desk.command(args).await;
        assert_eq!((out.as_str(), exit), ("", code), "{args:?}: {error}");
        assert!(error.starts_with(&said), "{args:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_keeps_what_is_held_and_nothing_of_it_goes() {
    let mut desk = greylisted().await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    assert_eq!(say(&desk, &["queue", "hold", "--destination", "example.com"]).await, "2 copies held\n");
    daemon.kill();
    desk.sink.behave();
    desk.resume().await;
    say(&desk, &["queue", "retry", "--all"]).await;
    assert_eq!(desk.sink.wait(1).await[0].to, ["RCPT TO:<dave@team.example>"]);
    desk.settled().await;
    assert_eq!(rows(&ask(&desk, &["queue", "list"]).await), ["bob@example.com held", "carol@example.com held"]);
    assert_eq!(desk.sink.received().len(), 1);
    say(&desk, &["queue", "release", "--all"]).await;
    desk.sink.wait(3).await;
    assert!(desk.verify().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_out_that_is_down_is_one_alarm_and_no_failure() {
    let desk = TestDesk::start().await;
    desk.sink.rule("CONNECT", Act::SayAndClose("554 5.3.2 not today".to_owned()), false);
    for number in 0..30 {
        desk.begin_to_compose("acme", None, &[&format!("bob{number}@example{number}.com")], "Parcel", "Soon.").await;
    }
    until(&desk, CopyState::Deferred, 1).await;
    let summary = ask(&desk, &["queue", "summary"]).await;
    assert_eq!(summary["outage"]["words"], "554 5.3.2 not today");
    assert_eq!(summary["destinations"].as_array().unwrap().len(), 30);
    let text = say(&desk, &["queue", "summary"]).await;
    assert!(text.starts_with("The way out is down since "), "{text}");
    assert_eq!(text.matches("554 5.3.2 not today").count(), 1, "{text}");
    // What was never offered says why.
    let queued = ask(&desk, &["queue", "list", "--state", "queued"]).await;
    assert!(queued["copies"].as_array().unwrap().len() >= 28);
    assert_eq!(queued["copies"][0]["outage"]["words"], "554 5.3.2 not today");
    assert!(copies(&desk).iter().all(|copy| matches!(copy.state, CopyState::Queued | CopyState::Deferred)));
    let metrics = say(&desk, &["metrics"]).await;
    assert!(metrics.lines().any(|line| line == "guichet_destinations_down 1"), "{metrics}");

    desk.sink.behave();
    say(&desk, &["queue", "retry", "--all"]).await;
    desk.sink.wait(30).await;
    desk.settled().await;
    assert_eq!(ask(&desk, &["queue", "summary"]).await, json!({ "destinations": [], "more": 0, "outage": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_four_hours_the_author_is_told_by_mail_who_has_not_got_his_message() {
    let desk = TestDesk::direct().await;
    desk.members(&["alice"]).await;
    desk.sink.rule("RCPT TO:<bob@", Act::Say(GREYLISTED.to_owned()), false);
    desk.compose("acme", Some("alice"), &["bob@example.com", "carol@example.com"], "Parcel", "Soon.").await;
    until(&desk, CopyState::Deferred, 1).await;
    let (store, inside) = desk.inside();
    let tick = async |minutes: i64| {
        let now = Timestamp::now() + SignedDuration::from_mins(minutes);
        let trace = None;
        let act = Doing { desk: &inside, now, door: Door::Timer, actor: Actor::System, trace, client: None };
        store.transact(|tx| timers::tick(tx, &act)).await.unwrap()
    };
    tick(239).await;
    assert!(desk.inbox("alice@team.example").await.is_empty());
    for minutes in [240, 300, 600] {
        tick(minutes).await;
    }
    // Its own time has not come yet by the daemon's clock.
    let letters: Vec<_> = copies(&desk).into_iter().filter(|copy| copy.to.as_str() == "alice@team.example").collect();
    assert_eq!(letters.len(), 1, "once an entry");
    say(&desk, &["queue", "retry", &letters[0].id.to_string()]).await;
    let inbox = desk.inbox("alice@team.example").await;
    for words in ["Subject: Not delivered yet: Parcel", "after 4 hours", "bob@example.com", GREYLISTED, SERVER] {
        assert!(inbox[0].contains(words), "{words} is missing in\n{}", inbox[0]);
    }
    assert!(!inbox[0].contains("carol@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_days_or_as_configured_a_copy_is_given_up_with_an_event_and_a_letter_to_its_author() {
    for (config, hours) in [("", 120), ("[limits]\nqueue_lifetime = \"2h\"\n", 2)] {
        let desk = TestDesk::direct_with(config).await;
        desk.members(&["alice"]).await;
        for reader in ["bob", "carol"] {
            desk.sink.rule(&format!("RCPT TO:<{reader}@"), Act::Say(GREYLISTED.to_owned()), false);
            desk.begin_to_compose("acme", Some("alice"), &[&format!("{reader}@example.com")], "Parcel", "Soon.").await;
        }
        until(&desk, CopyState::Deferred, 2).await;
        let [bob, carol] = ["bob@", "carol@"].map(|to| {
            let to = |copy: &Copy| copy.to.as_str().starts_with(to);
            copies(&desk).into_iter().find(to).unwrap()
        });
        // As if they had been queued so long ago, and were due now.
        desk.act(|tx, act| {
            for (copy, age) in [(&bob, hours * 60), (&carol, hours * 60 - 30)] {
                tx.delete(&QUEUE, &(copy.next_at.unwrap(), copy.id));
                tx.put(&QUEUE, &(act.now, copy.id), &())?;
                let queued_at = act.now - SignedDuration::from_mins(age);
                tx.put(&COPIES, &copy.id, &Copy { queued_at, next_at: Some(act.now), ..copy.clone() })?;
            }
            Ok(())
        })
        .await;
        until(&desk, CopyState::Failed, 1).await;
        let failed = copies(&desk).into_iter().find(|copy| copy.id == bob.id).unwrap();
        assert_eq!((failed.state, failed.attempts, failed.next_at), (CopyState::Failed, 2, None), "offered once more");
        assert_eq!(failed.words(), Some(format!("{GREYLISTED} ({SERVER})")));
        let events = desk.entries("acme-1").into_iter().filter_map(|entry| entry.event);
        let events: Vec<_> = events.filter(|event| event.what == What::Failed).collect();
        assert_eq!((events.len(), events[0].from.as_deref()), (1, Some("bob@example.com")));
        let inbox = desk.inbox("alice@team.example").await;
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        for words in ["Subject: Not delivered: Parcel", "bob@example.com", "before its time was over", GREYLISTED] {
            assert!(inbox[0].contains(words), "{words} is missing in\n{}", inbox[0]);
        }
        // The other has half an hour left, and is offered when that ends at the latest.
        let waiting = desk.until(|view| {
            let copy = view.get(&COPIES, &carol.id)?;
            Ok(copy.filter(|copy| copy.attempts == 2))
        });
        let waiting = waiting.await;
        assert_eq!(waiting.state, CopyState::Deferred);
        assert!(waiting.next_at.unwrap() <= waiting.queued_at + SignedDuration::from_hours(hours), "{waiting:?}");
        assert!(desk.verify().is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_of_one_provider_share_the_places_of_its_host() {
    let desk = TestDesk::direct_with("[limits]\ndeliveries_per_destination = 1\n").await;
    let other = desk.server_of("other.example", 2, Sink::new(&[])).await;
    desk.sink.rule("MAIL", Act::Silence, true);
    desk.begin_to_compose("acme", None, &["bob@example.com"], "Parcel", "Soon.").await;
    desk.sink.wait_for_connections(1).await;
    desk.begin_to_compose("acme", None, &["dave@team.example"], "Parcel", "Soon.").await;
    desk.begin_to_compose("acme", None, &["eve@other.example"], "Parcel", "Soon.").await;
    assert_eq!(other.wait(1).await[0].to, ["RCPT TO:<eve@other.example>"]);
    assert_eq!(desk.sink.connections(), 1);
    let dave = copies(&desk).into_iter().find(|copy| copy.to.as_str() == "dave@team.example").unwrap();
    assert_eq!((dave.state, dave.attempts), (CopyState::Queued, 0));
}
