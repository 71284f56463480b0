//! Members write from their own mail clients: what becomes of their mail, and what is refused.

use guichet::actions::app_password;
use guichet::desk::entry::{Door, Kind, State, Verified};

use super::kit::desk::{TestDesk, address_in, field};
use super::kit::letter::{letter, reply};
use super::kit::submit::{Agent, Client};

const ALICE: &str = "Alice <alice@team.example>";
const AS_ACME: &str = "Acme <acme@desk.example.org>";
const CAROL: &str = "carol@example.com";

/// Alice and Bob of acme, and Carol's ticket acme-1.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Broken pole")).await;
    desk
}

#[tokio::test]
async fn a_reply_goes_out_in_the_members_name_whatever_from_says() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let copy = desk.last("alice@team.example").await;
    assert_eq!(alice.post(&reply(AS_ACME, &copy).text("It is in the post.\n")).await, "acme-1");
    let entry = desk.newest("acme-1");
    assert_eq!((entry.door, entry.verified, entry.state), (Door::Submission, Verified::Submission, State::Relayed));
    assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "alice@team.example");
    assert!(entry.verdict.is_none());
    assert_eq!(desk.readers(&entry), [CAROL], "Alice wrote it, and Bob does not work on it");
    let sent = desk.last(CAROL).await;
    assert!(field(&sent, "From").unwrap().starts_with("Alice via Acme Support"), "{sent}");
    assert!(sent.contains("It is in the post.") && !sent.contains("Received:"), "{sent}");
}

#[tokio::test]
async fn a_ticket_is_composed_as_the_property() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let mail = letter(AS_ACME).to("Dan <dan@example.com>").to("erin@example.com").to("bob@team.example");
    assert_eq!(alice.post(&mail.subject("Your boots")).await, "acme-2");
    let ticket = desk.ticket("acme-2");
    assert_eq!(ticket.requester().unwrap().address.as_str(), "dan@example.com");
    assert_eq!(ticket.door, Door::Submission);
    assert_eq!(desk.readers(&desk.newest("acme-2")), ["bob@team.example", "dan@example.com", "erin@example.com"]);
    let answer = reply("dan@example.com", &desk.last("dan@example.com").await);
    assert_eq!(desk.post(&answer).await, "acme-2");
}

#[tokio::test]
async fn a_wrong_or_revoked_password_is_no_login() {
    let desk = desk().await;
    let password = desk.app_password("alice", "phone").await;
    let mut client = Client::connect(&desk).await;
    assert!(client.ask("MAIL FROM:<alice@team.example>").await.starts_with("530 5.7.0 "));
    let wrong = client.log_in("alice@team.example", "wrong").await;
    assert!(wrong.starts_with("535 5.7.8 "), "{wrong}");
    assert_eq!(client.log_in("nobody@team.example", "wrong").await, wrong);
    assert!(client.log_in("Alice@Team.example", &password.replace('-', "").to_uppercase()).await.starts_with("235 "));
    desk.act(|tx, _| app_password::revoke(tx, "alice", "phone")).await;
    let mail = letter(ALICE).to("acme@desk.example.org");
    assert!(client.send(&mail).await.starts_with("530 5.7.0 "), "a session ends with its password");
    let mut client = Client::connect(&desk).await;
    assert_eq!(client.log_in("alice@team.example", &password).await, wrong);
    let _ = (Kind::Note, address_in(&desk.last("alice@team.example").await, "Reply-To"));
}
