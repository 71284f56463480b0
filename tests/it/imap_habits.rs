//! Mail clients differ in how they move, delete, archive and undo, and in what they call mailboxes: each
//! way says to tickets what its user means.

use guichet::desk::copy::Scope;
use guichet::desk::entry::Door;
use guichet::desk::ticket::{Assignee, Priority, Status, Ticket};

use super::kit::desk::TestDesk;
use super::kit::imap::{Client, furnish};
use super::kit::letter::letter;

const ACME: &str = "acme@desk.example.org";
const CAROL: &str = "carol@example.com";

/// Alice and Bob of acme, the department of billing, and Carol's open ticket acme-1 with two messages.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["bob"]).await;
    desk.post(&letter(CAROL).to(ACME).subject("Broken pole").id("<pole@example.com>")).await;
    desk.post(&letter(CAROL).to(ACME).subject("Re: Broken pole").answers("<pole@example.com>")).await;
    desk
}

/// What is in the selected mailbox.
async fn uids(client: &mut Client) -> Vec<u32> {
    client.search("ALL").await
}

/// A move by a client that knows no MOVE: it copies, marks and expunges.
async fn move_by_copy(client: &mut Client, uid: u32, to: &str) {
    client.must(&format!("UID COPY {uid} {to}")).await;
    client.must(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
    client.must("EXPUNGE").await;
}

fn is_members(ticket: &Ticket) -> bool {
    matches!(ticket.assignee, Some(Assignee::Member(_)))
}

#[tokio::test]
async fn a_move_by_copy_says_no_more_than_a_move() {
    for (from, to, status) in [
        ("acme/Open", "acme/Members/Bob", Status::Open),
        ("acme/Open", "acme/Departments/Billing", Status::Open),
        ("acme/Open", "INBOX", Status::Open),
        ("INBOX", "acme/Open", Status::Open),
        ("INBOX", "acme/Pending", Status::Pending),
        ("INBOX", "acme/Closed", Status::Closed),
        ("acme/Open", "Junk", Status::Spam),
        ("INBOX", "Trash", Status::Trash),
    ] {
        let desk = desk().await;
        let mut alice = Client::in_mailbox(&desk, "alice", from).await;
        let before = uids(&mut alice).await;
        // Some take all messages of a thread at once, others one after the other.
        move_by_copy(&mut alice, before[0], to).await;
        assert_eq!(desk.ticket("acme-1").status, status, "{from} to {to}");
        if uids(&mut alice).await.contains(&before[1]) {
            move_by_copy(&mut alice, before[1], to).await;
        }
        let moved = desk.ticket("acme-1");
        assert_eq!(moved.status, status, "{from} to {to}");
        let after = uids(&mut alice).await;
        assert!(after.iter().all(|uid| !before.contains(uid)), "{from} to {to}: {before:?} {after:?}");
        let stays = status == Status::Open;
        assert_eq!(after.len(), if stays { 2 } else { 0 }, "{from} to {to}: what still stands there comes anew");
        // To delete it is another word.
        if stays {
            alice.must(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", after[0])).await;
            alice.must("EXPUNGE").await;
            assert_eq!(desk.ticket("acme-1").status, Status::Closed, "{from} to {to}");
        }
        assert_eq!(desk.verify().problems, [""; 0]);
    }
}

#[tokio::test]
async fn a_client_that_moves_by_putting_in_and_taking_out_closes_nothing() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "acme/Open").await;
    let before = uids(&mut alice).await;
    let message = alice.read(before[0]).await;
    assert!(alice.append("acme/Members/Bob", "", &message).await.is_ok());
    alice.must(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", before[0])).await;
    alice.must("EXPUNGE").await;
    let ticket = desk.ticket("acme-1");
    assert!(ticket.status == Status::Open && is_members(&ticket));
    // The other way round it is the same: closed for a moment, and open again in Bob's hands.
    let other = desk.post(&letter(CAROL).to(ACME).subject("Another")).await;
    alice.must("NOOP").await;
    let uid = alice.search("SUBJECT Another").await[0];
    let message = alice.read(uid).await;
    alice.must(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
    alice.must("EXPUNGE").await;
    assert!(alice.append("acme/Members/Bob", "", &message).await.is_ok());
    let ticket = desk.ticket(&other);
    assert!(ticket.status == Status::Open && is_members(&ticket));
}

#[tokio::test]
async fn each_way_to_delete_says_its_own() {
    for (from, how, status) in [
        ("INBOX", &["MOVE 1 Trash"][..], Status::Trash),
        ("INBOX", &["COPY 1 Trash", "EXPUNGE"], Status::Trash),
        ("INBOX", &["COPY 1 \"Deleted Messages\"", "EXPUNGE"], Status::Trash),
        ("INBOX", &["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"], Status::Closed),
        ("acme/Pending", &["STORE 1 +FLAGS (\\Deleted)", "CLOSE"], Status::Closed),
        ("acme/Departments/Billing", &["STORE 1 +FLAGS (\\Deleted)", "UID EXPUNGE 1:*"], Status::Closed),
        ("acme/Members/Bob", &["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"], Status::Closed),
        ("Junk", &["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"], Status::Trash),
        ("Archive", &["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"], Status::Closed),
        ("Trash", &["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"], Status::Trash),
        ("Archive", &["MOVE 1 Trash"], Status::Trash),
    ] {
        let desk = desk().await;
        let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
        if from != "INBOX" {
            alice.must(&format!("MOVE 1 {from}")).await;
            alice.must(&format!("SELECT {from}")).await;
        }
        for command in how {
            alice.must(command).await;
        }
        assert_eq!(desk.ticket("acme-1").status, status, "{from}: {how:?}");
        assert_eq!(desk.messages("acme-1").len(), 2, "nothing is destroyed");
        for mailbox in ["INBOX", "acme/Closed", "Junk", "Trash"] {
            alice.must(&format!("SELECT {mailbox}")).await;
            assert!(alice.search("DELETED").await.is_empty(), "{from}: {how:?}");
        }
    }
}

#[tokio::test]
async fn whoever_tidies_up_what_he_sent_throws_no_ticket_away() {
    let desk = desk().await;
    desk.write("acme-1", Some("alice"), Scope::Public, "In the post.\n").await;
    let before = desk.ticket("acme-1");
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    for to in ["Trash", "Junk"] {
        for command in ["MOVE", "COPY"] {
            let refused = alice.ask(&format!("{command} 1 {to}")).await;
            assert!(refused.status.starts_with("NO [CANNOT] what you sent is part of acme-1"), "{refused:?}");
        }
    }
    alice.must("STORE 1 +FLAGS (\\Deleted)").await;
    alice.must("EXPUNGE").await;
    assert_eq!((uids(&mut alice).await.len(), desk.ticket("acme-1")), (1, before));
    // With the rest of its thread it is content.
    let mut other = Client::in_mailbox(&desk, "alice", "acme/Pending").await;
    other.must("MOVE 1:* Trash").await;
    alice.must("MOVE 1 Trash").await;
    assert_eq!(desk.ticket("acme-1").status, Status::Trash);
}

#[tokio::test]
async fn what_clients_make_for_themselves_is_what_there_is() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    for name in ["Archives", "Archives/2026", "\"Deleted Messages\"", "\"Sent Items\"", "\"Junk E-mail\"", "Spam"] {
        let made = alice.must(&format!("CREATE {name}")).await;
        assert_eq!(made.status, "OK it is there, under another name", "{name}");
        alice.must(&format!("SUBSCRIBE {name}")).await;
        for list in ["LIST", "LSUB"] {
            let listed = alice.must(&format!("{list} \"\" {name}")).await;
            assert_eq!(listed.untagged.len(), 1, "{name}: {listed:?}");
            assert!(listed.untagged[0].ends_with(&format!(" {name}")), "{name}: {listed:?}");
        }
        alice.must(&format!("STATUS {name} (MESSAGES)")).await;
    }
    let all = alice.must("LIST \"\" *").await;
    assert!(!all.untagged.iter().any(|line| line.contains("Archives") || line.contains("Items")), "{all:?}");
    let again = alice.ask("CREATE archive").await;
    assert!(again.status.starts_with("NO [ALREADYEXISTS]"), "{again:?}");
    // A client that archives by the year finds what it put there.
    let moved = alice.must("MOVE 1 Archives/2026").await;
    assert!(moved.untagged.iter().any(|line| line.contains("COPYUID")), "{moved:?}");
    assert_eq!(desk.ticket("acme-1").status, Status::Closed);
    alice.must("SELECT Archives/2026").await;
    assert_eq!(uids(&mut alice).await.len(), 2);
    alice.must("MOVE 1 \"Deleted Items\"").await;
    assert_eq!(desk.ticket("acme-1").status, Status::Trash);
}

/// What a move changes, and its undoing makes as it was.
fn state(ticket: &Ticket) -> impl PartialEq + std::fmt::Debug + use<> {
    let Ticket { status, status_since, wake_at, assignee, priority, tags, participants, .. } = ticket.clone();
    (status, status_since, wake_at, assignee, priority, tags, participants)
}

/// Moves a message; the number that it has there.
async fn moved(client: &mut Client, uid: u32, to: &str) -> u32 {
    let moved = client.must(&format!("UID MOVE {uid} {to}")).await;
    moved.between("COPYUID ", "]").rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_move_is_undone_by_moving_back() {
    const MAILBOXES: [&str; 10] = [
        "INBOX",
        "acme/Open",
        "acme/Pending",
        "acme/Closed",
        "Archive",
        "Junk",
        "Trash",
        "acme/Departments/Billing",
        "acme/Members/Bob",
        "Sent",
    ];
    let desk = desk().await;
    desk.write("acme-1", Some("alice"), Scope::Public, "In the post.\n").await;
    desk.act(|tx, act| guichet::actions::ticket::set_status(tx, act, "acme-1", Status::Open)).await;
    let mut alice = Client::log_in(&desk, "alice").await;
    for from in MAILBOXES {
        // There it is first.
        if from == "Sent" {
            desk.act(|tx, act| guichet::actions::ticket::set_status(tx, act, "acme-1", Status::Open)).await;
        } else {
            alice.must("SELECT Sent").await;
            let way = if matches!(from, "Junk" | "Trash") { "acme/Pending" } else { from };
            let uid = *uids(&mut alice).await.last().unwrap();
            moved(&mut alice, uid, way).await;
            if way != from {
                alice.must(&format!("SELECT {way}")).await;
                let uid = *uids(&mut alice).await.last().unwrap();
                moved(&mut alice, uid, from).await;
            }
        }
        for to in MAILBOXES {
            if to == "Sent" || from == to || from == "Sent" && matches!(to, "Junk" | "Trash") {
                continue;
            }
            // It was not there by a move of hers, which this would undo.
            desk.act(|tx, act| {
                guichet::actions::ticket::tag(tx, act, "acme-1", "vip")?;
                guichet::actions::ticket::untag(tx, act, "acme-1", "vip")
            })
            .await;
            let before = state(&desk.ticket("acme-1"));
            alice.must(&format!("SELECT {from}")).await;
            let uid = *uids(&mut alice).await.last().unwrap();
            let there = moved(&mut alice, uid, to).await;
            alice.must(&format!("SELECT {to}")).await;
            let back = moved(&mut alice, there, from).await;
            assert_eq!(state(&desk.ticket("acme-1")), before, "{from} to {to} and back");
            alice.must(&format!("SELECT {from}")).await;
            assert!(uids(&mut alice).await.contains(&back), "{from} to {to} and back");
        }
    }
    assert_eq!(desk.verify().problems, [""; 0]);
}

#[tokio::test]
async fn moves_are_undone_one_after_the_other() {
    const WAY: [&str; 5] = ["INBOX", "acme/Pending", "acme/Members/Bob", "Archive", "Trash"];
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", WAY[0]).await;
    let mut uid = uids(&mut alice).await[0];
    let mut states = vec![state(&desk.ticket("acme-1"))];
    for to in &WAY[1..] {
        uid = moved(&mut alice, uid, to).await;
        alice.must(&format!("SELECT {to}")).await;
        states.push(state(&desk.ticket("acme-1")));
    }
    for to in WAY[..4].iter().rev() {
        uid = moved(&mut alice, uid, to).await;
        alice.must(&format!("SELECT {to}")).await;
        states.pop();
        assert_eq!(state(&desk.ticket("acme-1")), *states.last().unwrap(), "back to {to}");
    }
    // It is nobody's in the inbox, as at first. Where a move says nothing, nor does its undoing.
    assert_eq!(desk.ticket("acme-1").assignee, None);
    uid = moved(&mut alice, uid, "acme/Open").await;
    alice.must("SELECT acme/Open").await;
    moved(&mut alice, uid, "INBOX").await;
    assert_eq!(desk.ticket("acme-1").assignee, None);
    alice.must("SELECT INBOX").await;
    // What was deleted can be put back too.
    alice.must("STORE 1 +FLAGS (\\Deleted)").await;
    alice.must("EXPUNGE").await;
    assert_eq!(desk.ticket("acme-1").status, Status::Closed);
    alice.must("SELECT Archive").await;
    uid = uids(&mut alice).await[0];
    uid = moved(&mut alice, uid, "INBOX").await;
    assert_eq!(state(&desk.ticket("acme-1")), states[0]);
    alice.must("SELECT INBOX").await;
    uid = moved(&mut alice, uid, "acme/Pending").await;
    desk.act(|tx, act| guichet::actions::ticket::set_priority(tx, act, "acme-1", Priority::High)).await;
    alice.must("SELECT acme/Pending").await;
    moved(&mut alice, uid, "INBOX").await;
    assert!(is_members(&desk.ticket("acme-1")), "somebody else did something in between");
}

#[tokio::test]
async fn a_batch_is_moved_and_undone_as_one() {
    let desk = TestDesk::start().await;
    furnish(&desk).await;
    let mut alice = Client::in_mailbox(&desk, "alice", "acme/Open").await;
    let tickets = ["acme-1", "acme-2"];
    let before = tickets.map(|name| state(&desk.ticket(name)));
    let entries = tickets.map(|name| desk.entries(name).len());
    alice.must("STATUS Archive (UIDVALIDITY)").await;
    let commits = desk.read(|view| Ok(view.version()));
    alice.must("MOVE 1:* Archive").await;
    let whole = desk.read(|view| Ok(view.version()));
    assert_eq!(whole, commits + 1, "in one commit");
    assert!(uids(&mut alice).await.is_empty());
    for (name, entries) in tickets.iter().zip(entries) {
        let new = desk.entries(name).split_off(entries);
        assert_eq!(new.len(), 1, "one event a ticket");
        assert_eq!((new[0].door, new[0].event.is_some()), (Door::Imap, true));
    }
    alice.must("SELECT Archive").await;
    let closed = alice.search("NOT SUBJECT Old").await;
    let set = closed.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    alice.must(&format!("UID MOVE {set} acme/Open")).await;
    assert_eq!(tickets.map(|name| state(&desk.ticket(name))), before);
    // Where one of them can't go, none does.
    desk.act(|tx, act| {
        let changes = guichet::actions::member::Changes {
            roles: [("bulle".to_owned(), guichet::desk::member::Role::Agent)].into(),
            ..Default::default()
        };
        guichet::actions::member::edit(tx, act, "alice", changes)
    })
    .await;
    desk.post(&letter(CAROL).to("bulle@desk.example.org").subject("Bulles")).await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let refused = alice.ask("MOVE 1:* acme/Closed").await;
    assert!(refused.status.starts_with("NO [CANNOT] bulle-1 can't move to another property"), "{refused:?}");
    assert_eq!(tickets.map(|name| state(&desk.ticket(name))), before);
}
