//! A server that is stuck keeps its own mail waiting and nobody else's, and its mail goes on its way
//! when it is back.

use guichet::actions::queue::{self, Verb};
use guichet::desk::copy::{Copy, CopyState};
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read};

use crate::kit::desk::{TestDesk, field};
use crate::kit::sink::{Act, Sink};

/// More than are offered at one time in all.
const MANY: usize = 60;

/// A ticket for each of these contacts.
async fn write_to(desk: &TestDesk, contacts: impl IntoIterator<Item = String>) {
    for contact in contacts {
        desk.begin_to_compose("acme", None, &[&contact], "Parcel", "It is on its way: déjà vu.").await;
    }
}

fn copies_to(desk: &TestDesk, domain: &str) -> Vec<Copy> {
    let all = desk.read(|view| Ok(view.range(&COPIES, .., Order::Up, 1_000)?));
    all.into_iter().map(|(_, copy)| copy).filter(|copy| copy.to.domain() == domain).collect()
}

/// The one copy to a domain, once it is in a state.
async fn until(desk: &TestDesk, domain: &str, state: CopyState) -> Copy {
    desk.until(|view| {
        let all = view.range(&COPIES, .., Order::Up, 1_000)?;
        let here = |copy: &Copy| copy.to.domain() == domain && copy.state == state;
        Ok(all.into_iter().map(|(_, copy)| copy).find(here))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_destination_delays_nobody_else() {
    let desk = TestDesk::direct().await;
    // One takes the connection and says nothing, one is not there at all.
    let silent = desk.server_of("silent.example", 2, Sink::new(&[])).await;
    silent.rule("CONNECT", Act::Silence, false);
    desk.dns.exchange("away.example", 10, "mx.away.example").address("mx.away.example", [127, 0, 1, 3].into());
    write_to(&desk, (0..MANY).map(|number| format!("bob{number}@silent.example"))).await;
    write_to(&desk, (0..MANY).map(|number| format!("eve{number}@away.example"))).await;
    silent.wait_for_connections(1).await;
    let down = until(&desk, "away.example", CopyState::Deferred).await;
    assert!(down.reply.as_ref().unwrap().contains("no connection to 127.0.1.3"), "{down:?}");

    write_to(&desk, ["carol@example.com".to_owned()]).await;
    assert_eq!(desk.sink.wait(1).await[0].to, ["RCPT TO:<carol@example.com>"]);
    // It begins with one: nobody who does not answer is asked twice at a time.
    assert_eq!(silent.connections(), 1);
    let waiting = copies_to(&desk, "silent.example");
    assert!(waiting.iter().all(|copy| copy.state == CopyState::Queued && copy.attempts == 0));
    let waiting = copies_to(&desk, "away.example").into_iter().filter(|copy| copy.attempts == 0).count();
    assert_eq!(waiting, MANY - 1, "the others wait for the destination, not for turns of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_goes_when_somebody_says_that_it_can() {
    let desk = TestDesk::direct().await;
    let host = desk.server_of("away.example", 2, Sink::new(&["PIPELINING"])).await;
    host.rule("CONNECT", Act::SayAndClose("421 4.3.2 down for a while".to_owned()), false);
    write_to(&desk, (0..MANY).map(|number| format!("eve{number}@away.example"))).await;
    let down = until(&desk, "away.example", CopyState::Deferred).await;
    assert_eq!(down.reply.as_deref(), Some("421 4.3.2 down for a while"));

    host.behave();
    desk.begin_to_act(|tx, act| queue::named(tx, act, Verb::Retry, down.id)).await;
    assert_eq!(host.wait(MANY).await.len(), MANY);
    assert!(host.connections() <= 1 + 5, "{} connections", host.connections());
    desk.settled().await;
    assert!(copies_to(&desk, "away.example").iter().all(|copy| copy.state == CopyState::Sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_enough_is_left_alone_whenever_it_says_so() {
    let desk = TestDesk::direct().await;
    for (number, when) in (2..).zip(["MAIL", "RCPT", "."]) {
        let domain = format!("enough{number}.example");
        let host = desk.server_of(&domain, number, Sink::new(&["PIPELINING"])).await;
        host.rule(when, Act::SayAndClose("421 4.7.0 too much for now".to_owned()), false);
        write_to(&desk, (0..3).map(|number| format!("eve{number}@{domain}"))).await;
        let copy = until(&desk, &domain, CopyState::Deferred).await;
        assert_eq!(copy.reply.as_deref(), Some("421 4.7.0 too much for now"), "{when}");
        write_to(&desk, ["carol@example.com".to_owned()]).await;
        desk.sink.wait(usize::from(number) - 1).await;
        assert_eq!(host.connections(), 1, "{when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisting_server_is_asked_again_by_the_usual_schedule_and_others_of_its_domain_go_on() {
    let desk = TestDesk::direct().await;
    let host = desk.server_of("grey.example", 2, Sink::new(&["PIPELINING"])).await;
    host.rule("RCPT TO:<new@", Act::Say("450 4.7.1 greylisted".to_owned()), false);
    write_to(&desk, ["new@grey.example".to_owned(), "known@grey.example".to_owned()]).await;
    assert_eq!(host.wait(1).await[0].to, ["RCPT TO:<known@grey.example>"]);
    let copy = until(&desk, "grey.example", CopyState::Deferred).await;
    assert_eq!((copy.attempts, copy.reply.as_deref()), (1, Some("450 4.7.1 greylisted")));
    assert!(copy.next_at.unwrap().duration_since(copy.updated_at).as_secs() >= 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_fit_for_the_server_that_takes_it() {
    let desk = TestDesk::direct().await;
    let old = desk.server_of("old.example", 2, Sink::new(&[])).await;
    let foreign = desk.server_of("xn--exmple-cua.de", 3, Sink::new(&[])).await;
    write_to(&desk, ["bob", "bjørn"].map(|name| format!("{name}@old.example"))).await;
    write_to(&desk, ["eve@exämple.de".to_owned()]).await;
    let plain = old.wait(1).await.remove(0);
    assert!(plain.message.is_ascii() && !plain.from.contains("8BITMIME"));
    let message = String::from_utf8(plain.message).unwrap();
    assert_eq!(field(&message, "To").as_deref(), Some("bob@old.example"));
    assert!(message.contains("DKIM-Signature:"));
    let failed = until(&desk, "old.example", CopyState::Failed).await;
    assert!(failed.to.as_str().starts_with("bjørn@"), "{failed:?}");
    assert!(failed.reply.as_ref().unwrap().starts_with("5.6.7 "), "{failed:?}");

    // A domain beyond ASCII has another spelling, which every server takes.
    let spelt = foreign.wait(1).await.remove(0);
    assert_eq!(spelt.to, ["RCPT TO:<eve@xn--exmple-cua.de>"]);
    assert!(spelt.message.is_ascii());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_arrive_fails_at_once_with_the_reason() {
    let desk = TestDesk::direct().await;
    desk.dns.exchange("null.example", 0, ".");
    desk.dns.exchange("ours.example", 10, "mx.desk.example.org");
    for (domain, words) in [("null.example", "5.1.10 "), ("unknown.example", "5.1.2 "), ("ours.example", "5.4.6 ")] {
        write_to(&desk, [format!("bob@{domain}")]).await;
        let copy = until(&desk, domain, CopyState::Failed).await;
        assert!(copy.reply.as_ref().unwrap().starts_with(words), "{copy:?}");
    }
}
