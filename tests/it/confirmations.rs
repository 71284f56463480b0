//! What a provider asks before it forwards here reaches those who may decide, and nothing else
//! passes for it.

use std::collections::BTreeMap;
use std::process::Command;

use guichet::actions::confirmation;
use guichet::actions::{member, property};
use guichet::desk::confirmation::Confirmation;
use guichet::desk::entry::{Machine, Reason, State};
use guichet::desk::id::PropertyId;
use guichet::desk::member::Role;
use guichet::desk::ticket::Status;
use serde_json::Value;

use crate::kit::desk::{TestDesk, field};
use crate::kit::letter::{Letter, letter};

const GOOGLE: &str = "Gmail Team <forwarding-noreply@google.com>";
const LINK: &str = "https://mail-settings.google.com/mail/vf-%5BANGjdJ8-x_y%5D-9wVQ";

/// Alice is acme's admin, Bob an agent; google.com's mail is its own.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.act(|tx, act| {
        let changes =
            member::Changes { roles: BTreeMap::from([("acme".to_owned(), Role::Admin)]), ..member::Changes::default() };
        member::edit(tx, act, "alice@team.example", changes)
    })
    .await;
    desk.trust("google.com");
    desk.trust("evil.example");
    desk
}

fn gmail(mailbox: &str) -> Letter {
    letter(GOOGLE)
        .to("acme@desk.example.org")
        .by("x+bncB@google.com")
        .subject(&format!("(#123456789) Gmail Forwarding Confirmation - Receive Mail from {mailbox}"))
        .text(&format!(
            "{mailbox} has requested to automatically forward mail to your email\naddress acme@desk.example.org.\n\
             Confirmation code: 123456789\n\nTo allow it, please click the link below to confirm the request:\n\n{LINK}\n\n\
             If you accidentally clicked the link, click this one to cancel:\n{}\n",
            LINK.replace("vf-", "uf-")
        ))
}

fn asked(desk: &TestDesk) -> Vec<Confirmation> {
    desk.read(|view| Ok(confirmation::list(view, PropertyId(1))?))
}

#[tokio::test(flavor = "multi_thread")]
async fn gmails_request_is_shown_with_the_property_and_mailed_to_its_admins_alone() {
    let mut desk = desk().await;
    let ticket = desk.post(&gmail("support@acme.com")).await;
    let entry = desk.newest(&ticket);
    assert_eq!(
        (entry.state, entry.reason, entry.machine),
        (State::Kept, Some(Reason::Confirmation), Some(Machine::Silent))
    );
    assert_eq!(desk.ticket(&ticket).status, Status::Closed);
    assert_eq!(desk.readers(&entry), ["alice@team.example"]);
    let letter = desk.last("alice@team.example").await.replace("=\r\n", "").replace("=3D", "=");
    assert!(letter.contains("support@acme.com") && letter.contains("123456789") && letter.contains(LINK), "{letter}");
    assert!(!letter.contains("/mail/uf-"), "the link that declines is nobody's business");
    assert_eq!(field(&letter, "Auto-Submitted").as_deref(), Some("auto-generated"));

    assert_eq!(desk.post(&gmail("other@acme.com")).await, "acme-2", "another request is another ticket");
    desk.stop().await;
    let shown = Command::new(env!("CARGO_BIN_EXE_guichet"))
        .args(["--config", desk.config_file().to_str().unwrap(), "--json", "property", "show", "acme"])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let all = shown["forwarding_confirmations"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["mailbox"], &all[0]["ticket"]), (&"other@acme.com".into(), &"acme-2".into()));
    assert_eq!(
        (&all[1]["provider"], &all[1]["code"], &all[1]["link"]),
        (&"gmail".into(), &"123456789".into(), &LINK.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_french_property_is_told_in_french() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let changes = member::Changes {
            roles: BTreeMap::from([("bulle".to_owned(), Role::Agent)]),
            ..member::Changes::default()
        };
        member::edit(tx, act, "bob@team.example", changes)
    })
    .await;
    desk.post(&gmail("aide@bulle.fr").field("To", "bulle@desk.example.org")).await;
    // It has no admin, so all its members are told.
    let letter = desk.last("bob@team.example").await.replace("=\r\n", "");
    assert!(letter.contains("Si votre =C3=A9quipe") && letter.contains("aide@bulle.fr"), "{letter}");
    assert!(desk.inbox("alice@team.example").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_request_is_mail_like_any_other() {
    let desk = desk().await;
    let elsewhere = "https://mail-settings.google.com.evil.example/mail/vf-%5Bx";
    for (what, letter) in [
        ("Google in From, by somebody else", gmail("support@acme.com").by("x@evil.example")),
        ("Google in From, from nowhere", gmail("support@acme.com").by("")),
        (
            "somebody else",
            gmail("support@acme.com")
                .field("From", "Gmail Team <forwarding-noreply@evil.example>")
                .by("x@evil.example"),
        ),
        ("Google about something else", gmail("support@acme.com").field("From", "Google <no-reply@google.com>")),
        (
            "with nothing but a link elsewhere",
            gmail("support@acme.com").subject("Gmail Forwarding Confirmation").text(&format!("Click {elsewhere}\n")),
        ),
    ] {
        let ticket = desk.post(&letter).await;
        assert_ne!(desk.newest(&ticket).reason, Some(Reason::Confirmation), "{what}");
        assert!(asked(&desk).is_empty(), "{what}");
    }
    // From a sender whom the property blocks, not even Google.
    let block = |block: &[&str], unblock: &[&str]| {
        let senders = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        property::Changes { block: senders(block), unblock: senders(unblock), ..property::Changes::default() }
    };
    desk.edit("acme", block(&["google.com"], &[])).await;
    assert!(desk.offer(&gmail("support@acme.com")).await.starts_with("550 5.7.1"));
    assert!(asked(&desk).is_empty());
    desk.edit("acme", block(&[], &["google.com"])).await;
    // A link elsewhere beside a code of Google's own is left out.
    desk.post(&gmail("support@acme.com").text(&format!("Confirmation code: 123456789\n{elsewhere}\n"))).await;
    assert_eq!(asked(&desk)[0].request.link, None);
    assert!(!desk.last("alice@team.example").await.contains("evil.example"));
}

/// Anybody with a mailbox can have Google ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_is_bounded_in_what_is_kept_and_whom_it_tells() {
    let desk = desk().await;
    for number in 0..13 {
        desk.post(&gmail(&format!("x{number}@evil.example"))).await;
    }
    let all = asked(&desk);
    assert_eq!(all.len(), Confirmation::MOST);
    assert_eq!(all[0].request.mailbox.as_ref().unwrap().as_str(), "x12@evil.example");
    assert_eq!(desk.inbox("alice@team.example").await.len(), 5);
    let twice = gmail("support@acme.com");
    let ticket = desk.post(&twice).await;
    assert_eq!(desk.post(&twice).await, ticket, "the same mail again is no further request");
}
