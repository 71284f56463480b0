//! Who may be in a mailbox no longer is out at once, and sees nothing of it any more.

use std::collections::BTreeMap;

use guichet::actions::department;
use guichet::actions::{Act, ActionError, app_password, member, property};
use guichet::desk::copy::Scope;
use guichet::desk::member::Role;
use guichet::store::Tx;

use super::kit::desk::{TestDesk, address};
use super::kit::imap::Client;
use super::kit::letter::letter;

const ALICE: &str = "alice@team.example";

/// What ends something of Alice's, in words.
type End = (&'static str, fn(&mut Tx<'_>, &Act<'_>) -> Result<(), ActionError>);

/// She has also a role in bulle, so that she is somebody without the one in acme.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice"]).await;
    let both = member::Changes { roles: BTreeMap::from([("bulle".to_owned(), Role::Agent)]), ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", both.clone())).await;
    desk.post(&letter("carol@example.com").to("acme@desk.example.org").subject("Broken pole")).await;
    desk
}

fn revoke(tx: &mut Tx<'_>, _: &Act<'_>) -> Result<(), ActionError> {
    for password in app_password::list(tx, ALICE)? {
        app_password::revoke(tx, ALICE, &password.name)?;
    }
    Ok(())
}

fn leave(tx: &mut Tx<'_>, act: &Act<'_>) -> Result<(), ActionError> {
    let changes = member::Changes { remove_properties: vec!["acme".to_owned()], ..Default::default() };
    member::edit(tx, act, ALICE, changes).map(drop)
}

fn leave_department(tx: &mut Tx<'_>, _: &Act<'_>) -> Result<(), ActionError> {
    let changes = department::Changes { remove_members: vec![ALICE.to_owned()], ..Default::default() };
    department::edit(tx, "acme", "billing", changes).map(drop)
}

/// Each with a mailbox that it takes from her.
const ENDS: [(&str, End); 7] = [
    ("INBOX", ("her app password is revoked", revoke)),
    ("Drafts", ("she is removed", |tx, act| member::remove(tx, act, ALICE).map(drop))),
    ("acme/Open", ("she leaves the property", leave)),
    ("INBOX", ("she leaves the property", leave)),
    ("bulle/Open", ("the property is removed", |tx, act| property::remove(tx, act, "bulle").map(drop))),
    ("INBOX", ("she leaves a department", leave_department)),
    ("INBOX", ("the department is removed", |tx, _| department::remove(tx, "acme", "billing").map(drop))),
];

#[tokio::test]
async fn a_session_that_idles_is_woken_and_told_to_go() {
    for (mailbox, (what, end)) in ENDS {
        let desk = desk().await;
        let mut alice = Client::in_mailbox(&desk, "alice", mailbox).await;
        alice.idle().await;
        desk.act(end).await;
        let last = alice.hears(|line| !line.contains("still here")).await;
        assert!(last.starts_with("* BYE "), "{mailbox}, {what}: {last}");
    }
}

#[tokio::test]
async fn the_next_command_is_the_last_and_tells_nothing() {
    let commands = ["FETCH 1 (ENVELOPE BODY[])", "SEARCH TEXT pole", "STORE 1 +FLAGS (\\Seen)", "NOOP"];
    for (mailbox, (what, end)) in ENDS {
        for command in commands {
            let desk = desk().await;
            let mut alice = Client::in_mailbox(&desk, "alice", mailbox).await;
            desk.act(end).await;
            alice.say(command).await;
            let last = alice.hears(|_| true).await;
            assert!(last.starts_with("* BYE "), "{mailbox}, {what}, {command}: {last}");
        }
    }
}

#[tokio::test]
async fn nothing_is_put_among_tickets_by_whoever_may_no_longer() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Drafts").await;
    desk.act(leave).await;
    let mail = letter("dora@example.net").to("alice@home.example").message();
    let put = alice.append("acme/Open", "", &mail).await;
    assert!(put.status.starts_with("NO [TRYCREATE] "), "{put:?}");
    assert!(desk.find("acme-2").is_none());
    desk.act(revoke).await;
    alice.say(&format!("APPEND INBOX {{{}+}}\r\n{}", mail.len(), mail)).await;
    assert!(alice.hears(|_| true).await.starts_with("* BYE "));
    assert!(desk.find("bulle-1").is_none());
}

#[tokio::test]
async fn what_a_member_sent_from_a_property_that_he_left_moves_nothing_there() {
    let desk = desk().await;
    desk.write("acme-1", Some("alice"), Scope::Public, "In the post.\n").await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    assert_eq!(alice.search("ALL").await.len(), 1);
    desk.act(leave).await;
    let before = (desk.ticket("acme-1"), desk.entries("acme-1"));
    for command in ["STORE 1 +FLAGS (\\Flagged)", "STORE 1 +FLAGS (vip)", "MOVE 1 Archive", "COPY 1 INBOX"] {
        let answer = alice.ask(command).await;
        assert!(answer.status.starts_with("NO [CANNOT] you have no role in acme any more"), "{command}: {answer:?}");
    }
    assert_eq!((desk.ticket("acme-1"), desk.entries("acme-1")), before);
}

#[tokio::test]
async fn whoever_is_not_concerned_stays() {
    let desk = desk().await;
    let mut bob = Client::in_mailbox(&desk, "bob", "INBOX").await;
    bob.idle().await;
    desk.app_password(ALICE, "laptop").await;
    desk.act(leave).await;
    desk.act(|tx, _| app_password::revoke(tx, ALICE, "laptop").map(drop)).await;
    let other = desk.app_password("bob@team.example", "phone").await;
    assert!(!other.is_empty());
    desk.act(|tx, _| app_password::revoke(tx, "bob", "phone").map(drop)).await;
    let more = member::Changes { add_aliases: vec![address("rob@team.example")], ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "bob", more.clone())).await;
    desk.post(&letter("carol@example.com").to("acme@desk.example.org").subject("Another")).await;
    assert_eq!(bob.hears(|line| line.contains("EXISTS")).await, "* 2 EXISTS");
    assert!(bob.done().await.is_ok());
}
