//! A whole day of a desk by IMAP and submission alone: two members in their mail clients and a customer, and
//! each thing that one does is at once in the other's client and on the ticket.

use std::process::Command;

use serde_json::Value;

use super::kit::desk::{TestDesk, field};
use super::kit::imap::{Answer, Client};
use super::kit::letter::{letter, reply, reply_by_address};
use super::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const ACME: &str = "acme@desk.example.org";

/// What `guichet ticket show REF --json` prints.
fn show(desk: &TestDesk, reference: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.arg("--config").arg(desk.config_file()).args(["ticket", "show", reference, "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The events of a ticket: what changed, to what, by which door.
fn events(ticket: &Value) -> Vec<String> {
    let events = ticket["entries"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "event");
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let told = |entry: &Value| {
        let (event, door) = (&entry["event"], word(&entry["door"]));
        // Which entry was accepted is a number.
        let to = if event["what"] == "accepted" { "it".to_owned() } else { word(&event["to"]) };
        format!("{} {to} {door}", word(&event["what"]))
    };
    events.map(told).collect()
}

/// All messages of a mailbox with what is shared of their flags, as a member sees them.
async fn view(client: &mut Client, mailbox: &str) -> Vec<String> {
    client.must(&format!("EXAMINE {mailbox}")).await;
    let Answer { untagged, .. } = client.must("UID FETCH 1:* (EMAILID FLAGS)").await;
    let fetched = untagged.into_iter().filter(|line| line.contains(" FETCH ("));
    fetched.map(|line| line.replace("\\Seen ", "").replace("\\Seen", "").replace(" )", ")")).collect()
}

/// Both members see the same everywhere.
async fn alike(desk: &TestDesk) {
    let (mut alice, mut bob) = (Client::log_in(desk, "alice").await, Client::log_in(desk, "bob").await);
    for mailbox in ["acme/Open", "acme/Pending", "acme/Closed", "acme/Departments/Billing", "acme/Members/Bob", "Trash"]
    {
        assert_eq!(view(&mut alice, mailbox).await, view(&mut bob, mailbox).await, "{mailbox}");
    }
}

/// Waits until a client that idles was told that there are so many messages.
async fn hears_of(client: &mut Client, count: u32) {
    let line = format!("* {count} EXISTS");
    client.hears(|response| response == line).await;
}

/// The one message that a search finds.
async fn the_one(client: &mut Client, keys: &str) -> u32 {
    let found = client.search(keys).await;
    assert_eq!(found.len(), 1, "{keys}: {found:?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_by_imap_and_submission_alone() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["bob"]).await;
    let mut alice_sends = Agent::log_in(&desk, "alice").await;
    let mut bob_sends = Agent::log_in(&desk, "bob").await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let mut bob = Client::in_mailbox(&desk, "bob", "INBOX").await;

    // In the morning Carol writes, and writes once more. Both hear of it while they wait.
    alice.idle().await;
    bob.idle().await;
    let first = letter(CAROL).to(ACME).subject("Coffee machine").text("It hisses.\n");
    let coffee = desk.post(&first).await;
    hears_of(&mut alice, 1).await;
    hears_of(&mut bob, 1).await;
    let id = first.get("Message-ID").unwrap().to_owned();
    let second = letter(CAROL).to(ACME).subject("Re: Coffee machine").answers(&id).text("Now it smokes.\n");
    assert_eq!(desk.post(&second).await, coffee);
    hears_of(&mut alice, 2).await;
    hears_of(&mut bob, 2).await;
    alice.done().await;
    bob.done().await;

    // Alice archives the conversation by mistake, and Bob, who sees it leave, puts it back.
    bob.idle().await;
    alice.must("UID MOVE 1:* Archive").await;
    bob.hears(|response| response.ends_with(" EXPUNGE")).await;
    bob.hears(|response| response.ends_with(" EXPUNGE")).await;
    bob.done().await;
    assert_eq!(show(&desk, &coffee)["status"], "closed");
    alice.idle().await;
    bob.must("SELECT Archive").await;
    bob.must("MOVE 1:* acme/Open").await;
    hears_of(&mut alice, 2).await;
    alice.done().await;
    let ticket = show(&desk, &coffee);
    assert_eq!((&ticket["status"], &ticket["assignee"]), (&"open".into(), &Value::Null));
    alike(&desk).await;

    // Alice gives it to Bob, by moving it to him; in his inbox it stays.
    bob.must("SELECT INBOX").await;
    assert_eq!(bob.search("ALL").await.len(), 2);
    alice.must("MOVE 1 acme/Members/Bob").await;
    assert_eq!(alice.search("ALL").await.len(), 0);
    bob.must("NOOP").await;
    assert_eq!(bob.search("ALL").await.len(), 2);
    assert_eq!(show(&desk, &coffee)["assignee"]["id"], "bob@team.example");

    // Bob stars it and tags it; in Alice's client both its messages say so while she waits.
    alice.must("SELECT acme/Open").await;
    alice.idle().await;
    let uid = bob.search("ALL").await[0];
    bob.must(&format!("UID STORE {uid} +FLAGS (\\Flagged)")).await;
    alice.hears(|response| response.starts_with("* 1 FETCH (") && response.contains("\\Flagged")).await;
    alice.hears(|response| response.starts_with("* 2 FETCH (") && response.contains("\\Flagged")).await;
    bob.must(&format!("UID STORE {uid} +FLAGS (kitchen)")).await;
    alice.hears(|response| response.starts_with("* 2 FETCH (") && response.contains("kitchen")).await;
    alice.done().await;
    let ticket = show(&desk, &coffee);
    assert_eq!((&ticket["priority"], &ticket["tags"]), (&"urgent".into(), &serde_json::json!(["kitchen"])));
    // What each has read is his own.
    assert_eq!((bob.search("UNSEEN").await.len(), alice.search("UNSEEN").await.len()), (2, 2));

    // Alice drops a note for him into Notes, in answer to what Carol wrote; her client has a name.
    alice.must("ID (\"name\" \"Hand\" \"version\" \"1\")").await;
    let smoke = {
        let uid = the_one(&mut alice, "BODY smokes").await;
        alice.read(uid).await
    };
    let note = letter(ALICE).subject("Re: Coffee machine").text("Its guarantee is over.\n");
    let nowhere = alice.append("acme/Notes", "\\Seen", &note.message()).await;
    assert!(nowhere.status.starts_with("NO [CANNOT] "), "{nowhere:?}");
    let known = desk.inbox("carol@example.com").await.len();
    bob.idle().await;
    let note = note.answers(&field(&smoke, "Message-ID").unwrap());
    let noted = alice.append("acme/Notes", "\\Seen", &note.message()).await;
    assert!(noted.is_ok(), "{noted:?}");
    hears_of(&mut bob, 3).await;
    bob.done().await;
    assert_eq!(bob.search("BODY guarantee").await.len(), 1);
    assert_eq!(desk.inbox("carol@example.com").await.len(), known, "a note is the team's own");
    let ticket = show(&desk, &coffee);
    let entry = ticket["entries"].as_array().unwrap().iter().rfind(|entry| entry["kind"] == "note").unwrap();
    assert_eq!((&entry["author"]["name"], &entry["door"]), (&"Alice".into(), &"imap".into()));
    assert_eq!(entry["client"], "Hand 1");

    // He reads what she wrote last and answers it by submission.
    let newest = the_one(&mut bob, "BODY smokes").await;
    let asked = bob.read(newest).await;
    assert_eq!((bob.search("UNSEEN").await.len(), alice.search("UNSEEN").await.len()), (2, 1));
    let answer = reply(BOB, &asked).text("Pull the plug, Carol.\n");
    assert_eq!(bob_sends.post(&answer).await, coffee);
    let received = desk.last("carol@example.com").await;
    assert!(received.contains("Pull the plug, Carol.") && !received.contains("bob@team.example"), "{received}");
    assert_eq!(show(&desk, &coffee)["status"], "pending");
    bob.must("NOOP").await;
    assert_eq!(bob.search("ALL").await.len(), 0);
    // His client files what it sent; it is there once.
    let sent = bob.append("Sent", "\\Seen", &answer.message()).await;
    assert!(sent.is_ok(), "{sent:?}");
    bob.must("EXAMINE Sent").await;
    assert_eq!(bob.search("ALL").await.len(), 1);
    alice.must("SELECT acme/Pending").await;
    assert_eq!(alice.search("ANSWERED").await.len(), 1);
    assert_eq!(alice.search("ALL").await.len(), 4);
    alike(&desk).await;

    // Carol answers. Both read that, and both answer: whoever is second is asked whether he still means it.
    alice.must("SELECT acme/Open").await;
    alice.idle().await;
    assert_eq!(desk.post(&reply(CAROL, &received).text("It is quiet now. And my coffee?\n")).await, coffee);
    alice.hears(|response| response.ends_with(" EXISTS")).await;
    alice.done().await;
    bob.must("SELECT INBOX").await;
    let (hers, his) = (the_one(&mut alice, "BODY quiet").await, the_one(&mut bob, "BODY quiet").await);
    let (hers, his) = (alice.read(hers).await, bob.read(his).await);
    assert_eq!(field(&hers, "Message-ID"), field(&his, "Message-ID"));
    assert_ne!(field(&hers, "Reply-To"), field(&his, "Reply-To"), "an answer is its reader's own");
    let before = desk.inbox("carol@example.com").await.len();
    alice_sends.post(&reply(ALICE, &hers).text("I bring you one.\n")).await;
    bob_sends.post(&reply(BOB, &his).text("There is none today.\n")).await;
    let received = desk.inbox("carol@example.com").await;
    assert_eq!(received.len(), before + 1, "the second answer waits");
    assert!(received.last().unwrap().contains("I bring you one."));
    let ticket = show(&desk, &coffee);
    let held = ticket["entries"].as_array().unwrap().iter().rfind(|entry| entry["kind"] == "message").unwrap();
    assert_eq!((&held["state"], &held["reason"]), (&"held".into(), &"crossed".into()));
    alike(&desk).await;
    let notice = desk.last("bob@team.example").await;
    assert!(notice.contains("I bring you one."), "{notice}");
    bob_sends.offer(&reply_by_address(BOB, &notice).text("Yes\n")).await;
    assert!(desk.last("carol@example.com").await.contains("There is none today."));

    // Dave wrote to Bob himself. He drags that in, twice by mistake, and it is one ticket, of which Dave is
    // told nothing.
    let private = letter("Dave <dave@example.com>").to("bob@private.example").subject("Tea").text("Have you any?\n");
    alice.must("SELECT acme/Open").await;
    alice.idle().await;
    for _ in 0..2 {
        let dragged = bob.append("acme/Open", "", &private.message()).await;
        assert!(dragged.is_ok(), "{dragged:?}");
    }
    alice.hears(|response| response.ends_with(" EXISTS")).await;
    alice.done().await;
    let hers = the_one(&mut alice, "SUBJECT Tea").await;
    assert!(alice.read(hers).await.contains("Have you any?"));
    let tea = show(&desk, "acme-2");
    assert_eq!((&tea["requester"]["address"], &tea["door"]), (&"dave@example.com".into(), &"imap".into()));
    assert!(desk.inbox("dave@example.com").await.is_empty() && desk.find("acme-3").is_none());

    // In the evening Alice cleans up: junk into Junk, and what is done is deleted, which archives it.
    let junk =
        desk.post(&letter("Eve <eve@example.com>").to(ACME).subject("You won").text("A coffee machine.\n")).await;
    alice.must("SELECT INBOX").await;
    let won = the_one(&mut alice, "SUBJECT won").await;
    alice.must(&format!("UID STORE {won} +FLAGS ($Junk)")).await;
    assert_eq!(show(&desk, &junk)["status"], "spam");
    alice.must("SELECT acme/Pending").await;
    alice.must("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    alice.must("EXPUNGE").await;
    assert_eq!(alice.search("ALL").await.len(), 0);
    let ticket = show(&desk, &coffee);
    assert_eq!(ticket["status"], "closed");
    alike(&desk).await;

    // The ticket tells the day.
    assert_eq!(
        events(&ticket),
        [
            "status closed imap",
            "status open imap",
            "assignee Bob imap",
            "priority urgent imap",
            "tag kitchen imap",
            "status pending submission",
            "status open smtp",
            "status pending submission",
            "accepted it submission",
            "status closed imap",
        ]
    );
    assert_eq!(desk.verify().problems, [""; 0]);
}
