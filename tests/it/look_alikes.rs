//! The cap for mail that looks alike: a form that runs wild makes some tickets, not thousands.

use guichet::desk::entry::{Reason, State};

use crate::kit::desk::TestDesk;
use crate::kit::letter::letter;

fn alarm(n: u32, from: &str, subject: &str) -> String {
    format!(
        "From: {from}\nTo: acme@desk.example.org\nSubject: {subject} {n}\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\
         Message-ID: <{n}.{}@example.com>\n\nThe disk is full, it says {n}.\n",
        subject.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_cap_mail_of_one_look_is_kept_on_the_first_ticket() {
    let desk = TestDesk::with("[limits]\nlook_alike = 3").await;
    let acme = ["acme@desk.example.org"];
    for n in 1..=5 {
        let reply = desk.send("box@example.com", &acme, &alarm(n, "box@example.com", "Alarm")).await;
        // Numbers make no difference between looks.
        let ticket = if n <= 3 { n } else { 1 };
        assert!(reply.starts_with(&format!("250 2.0.0 acme-{ticket} ")), "{n}: {reply}");
    }
    let kept = |reference: &str| {
        desk.messages(reference).iter().filter(|entry| entry.reason == Some(Reason::LookAlike)).count()
    };
    assert_eq!((kept("acme-1"), kept("acme-2"), kept("acme-3")), (2, 0, 0));
    assert!(desk.messages("acme-1").iter().skip(1).all(|entry| entry.state == State::Kept));

    for (from, subject) in [("box@example.com", "Something else"), ("other@example.com", "Alarm")] {
        let reply = desk.send(from, &acme, &alarm(9, from, subject)).await;
        assert!(!reply.starts_with("250 2.0.0 acme-1 "), "{from} {subject}: {reply}");
    }
}

/// A program that answers our copies from another address each time, and bears nothing of ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_words_at_once_from_ever_new_addresses_of_one_network_go_quiet_too() {
    let desk = TestDesk::with("[limits]\nlook_alike = 5").await;
    desk.members(&["alice"]).await;
    let answer = |number: u32| {
        letter(&format!("r{number}@strange.example"))
            .to("acme@desk.example.org")
            .subject(&format!("[#{number}] Received"))
            .text("Thank you. Your request has reached us, and somebody will answer it.\n")
    };
    for number in 1..=10 {
        assert_eq!(desk.post(&answer(number)).await, format!("acme-{number}"));
    }
    let told = desk.inbox("alice@team.example").await.len();
    for number in 11..=15 {
        assert_eq!(desk.post(&answer(number)).await, "acme-10", "{number}");
        let entry = desk.newest("acme-10");
        assert_eq!((entry.state, entry.reason), (State::Kept, Some(Reason::Exchange)), "{number}");
    }
    assert_eq!(desk.inbox("alice@team.example").await.len(), told + 1, "its members are told once");
    let other = letter("carol@example.com").to("acme@desk.example.org").text("I have a question about my printer.\n");
    assert_eq!(desk.post(&other).await, "acme-11", "who says something else is heard");
}
