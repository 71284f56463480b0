//! Who may be in a mailbox no longer is out at once, and sees nothing of it any more.

use std::collections::BTreeMap;

use guichet::actions::department;
use guichet::actions::{Act, ActionError, app_password, member, property, ticket};
use guichet::desk::copy::Scope;
use guichet::desk::member::Role;
use guichet::desk::ticket::Status;
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
const ENDS: [(&str, End); 9] = [
    ("INBOX", ("her app password is revoked", revoke)),
    ("Drafts", ("she is removed", |tx, act| member::remove(tx, act, ALICE).map(drop))),
    ("acme/Open", ("she leaves the property", leave)),
    ("INBOX", ("she leaves the property", leave)),
    ("bulle/Open", ("the property is removed", |tx, act| property::remove(tx, act, "bulle").map(drop))),
    ("Sent", ("she leaves the property", leave)),
    ("Sent", ("the property is removed", |tx, act| property::remove(tx, act, "bulle").map(drop))),
    ("INBOX", ("she leaves a department", leave_department)),
    ("INBOX", ("the department is removed", |tx, act| department::remove(tx, act, "acme", "billing").map(drop))),
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
    assert!(put.status.starts_with("NO [NONEXISTENT] "), "{put:?}");
    assert!(desk.find("acme-2").is_none());
    desk.act(revoke).await;
    alice.say(&format!("APPEND INBOX {{{}+}}\r\n{}", mail.len(), mail)).await;
    assert!(alice.hears(|_| true).await.starts_with("* BYE "));
    assert!(desk.find("bulle-1").is_none());
}

#[tokio::test]
async fn whoever_is_of_another_property_sees_and_moves_nothing() {
    let desk = desk().await;
    desk.write("acme-1", Some("alice"), Scope::Public, "In the post.\n").await;
    let mut alice = Client::in_mailbox(&desk, "alice", "acme/Pending").await;
    let shown = alice.search("ALL").await;
    let message = alice.read(shown[0]).await;
    desk.act(leave).await;
    for status in [Status::Open, Status::Pending, Status::Closed, Status::Spam, Status::Trash] {
        desk.act(|tx, act| ticket::set_status(tx, act, "acme-1", status)).await;
        let before = (desk.ticket("acme-1"), desk.entries("acme-1"));
        let mut alice = Client::log_in(&desk, "alice").await;
        let all = alice.must("LIST \"\" *").await;
        assert!(!all.untagged.iter().any(|line| line.contains("acme")), "{all:?}");
        for mailbox in ["INBOX", "Archive", "Sent", "Junk", "Trash", "bulle/Open", "bulle/Members/Alice"] {
            alice.must(&format!("SELECT {mailbox}")).await;
            assert!(alice.search("ALL").await.is_empty(), "{mailbox}");
            let fetched = alice.must("UID FETCH 1:* (ENVELOPE BODY.PEEK[])").await;
            assert_eq!(fetched.untagged, [""; 0], "{mailbox}");
        }
        for mailbox in
            ["acme", "acme/Open", "acme/Closed", "acme/Notes", "acme/Departments/Billing", "acme/Members/Bob"]
        {
            for command in ["SELECT", "EXAMINE", "SUBSCRIBE", "STATUS"] {
                let items = if command == "STATUS" { " (MESSAGES)" } else { "" };
                let answer = alice.ask(&format!("{command} {mailbox}{items}")).await;
                assert!(answer.status.starts_with("NO [NONEXISTENT] "), "{command} {mailbox}: {answer:?}");
            }
            let put = alice.append(mailbox, "", &message).await;
            assert!(put.status.starts_with("NO [NONEXISTENT] "), "{mailbox}: {put:?}");
        }
        // Here it is a message of hers, and no ticket's.
        let put = alice.append("Archive", "", &message).await;
        assert!(put.is_ok(), "{put:?}");
        alice.must("SELECT Archive").await;
        alice.must("STORE 1:* +FLAGS (\\Flagged vip \\Deleted)").await;
        alice.must("CLOSE").await;
        assert_eq!((desk.ticket("acme-1"), desk.entries("acme-1")), before);
    }
}

#[tokio::test]
async fn what_a_member_sent_is_his_to_read_where_he_has_a_role() {
    let desk = desk().await;
    desk.write("acme-1", Some("alice"), Scope::Public, "In the post.\n").await;
    let mut alice = Client::log_in(&desk, "alice").await;
    let told = alice.must("STATUS Sent (MESSAGES UIDVALIDITY)").await;
    let before: u32 = told.between("UIDVALIDITY ", ")").parse().unwrap();
    assert!(told.untagged[0].contains("MESSAGES 1 "), "{told:?}");
    // What is her own stays so.
    let lunch = letter("Alice <alice@team.example>").to("erin@example.com").subject("Lunch").message();
    assert!(alice.append("Sent", "\\Seen", &lunch).await.is_ok());

    desk.act(leave).await;
    let told = alice.must("STATUS Sent (MESSAGES UIDVALIDITY)").await;
    let left: u32 = told.between("UIDVALIDITY ", ")").parse().unwrap();
    assert!(left > before && told.untagged[0].contains("MESSAGES 1 "), "{told:?}");
    alice.must("SELECT Sent").await;
    assert_eq!(alice.search("SUBJECT Lunch").await.len(), 1);
    assert!(alice.search("TEXT post").await.is_empty());
    // A client that files it again keeps what it has.
    let sent = desk.newest("acme-1").message_id.map(|id| format!("<{id}>")).unwrap_or_default();
    let again = letter("Alice <alice@team.example>").id(&sent).subject("Mine").message();
    assert!(alice.append("Sent", "\\Seen", &again).await.is_ok());
    assert_eq!(alice.search("ALL").await.len(), 2);

    let back = member::Changes { roles: BTreeMap::from([("acme".to_owned(), Role::Agent)]), ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", back.clone())).await;
    alice.say("NOOP").await;
    assert!(alice.hears(|_| true).await.starts_with("* BYE "));
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    assert_eq!(alice.search("TEXT post").await.len(), 1);
    assert_eq!(desk.verify().problems, [""; 0]);
}

#[tokio::test]
async fn what_somebody_had_who_left_is_in_the_inboxes_of_those_who_stay() {
    let desk = desk().await;
    let (carol, acme) = ("carol@example.com", "acme@desk.example.org");
    for subject in ["Closed pole", "Billed pole"] {
        desk.post(&letter(carol).to(acme).subject(subject)).await;
    }
    desk.act(|tx, act| {
        ticket::assign(tx, act, "acme-1", "alice")?;
        ticket::assign(tx, act, "acme-2", "alice")?;
        ticket::set_status(tx, act, "acme-2", Status::Closed)?;
        ticket::assign(tx, act, "acme-3", "billing")
    })
    .await;
    let mut bob = Client::in_mailbox(&desk, "bob", "INBOX").await;
    assert!(bob.search("ALL").await.is_empty());
    bob.idle().await;
    desk.act(|tx, act| department::remove(tx, act, "acme", "billing").map(drop)).await;
    bob.hears(|line| line == "* 1 EXISTS").await;
    desk.act(leave).await;
    bob.hears(|line| line == "* 2 EXISTS").await;
    // Also what comes to be open again later.
    desk.act(|tx, act| ticket::set_status(tx, act, "acme-2", Status::Open)).await;
    bob.hears(|line| line == "* 3 EXISTS").await;
    bob.done().await;
    for name in ["acme-1", "acme-2", "acme-3"] {
        assert_eq!(desk.ticket(name).assignee, None, "{name}");
    }
    assert_eq!(desk.verify().problems, [""; 0]);
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
