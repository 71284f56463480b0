//! What members put into mailboxes by hand: notes, mail of other accounts, drafts, and what the desk
//! knows already.

use guichet::actions::{held, member, property, ticket};
use guichet::desk::entry::{Door, Kind, Reason, State, Verified, What};
use guichet::desk::member::Role;
use guichet::desk::ticket::{Assignee, Status};

use super::kit::daemon::guichet;
use super::kit::desk::{TestDesk, address, field};
use super::kit::imap::{Answer, Client};
use super::kit::letter::{Letter, letter};
use super::kit::submit::Agent;

const ACME: &str = "acme@desk.example.org";
const CAROL: &str = "carol@example.com";
const ALICE: &str = "Alice <alice@team.example>";
const DORA: &str = "Dora Quist <dora@example.net>";

/// Alice and Bob of acme, and Carol's ticket acme-1.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.post(&letter(CAROL).to(ACME).subject("Broken pole").id("<pole@example.com>")).await;
    desk
}

/// The only message of the selected mailbox.
async fn only(client: &mut Client) -> String {
    let all = client.search("ALL").await;
    assert_eq!(all.len(), 1, "{all:?}");
    client.read(all[0]).await
}

/// What a client saves of an answer to a message that it shows.
fn answer(from: &str, shown: &str, text: &str) -> Letter {
    let id = field(shown, "Message-ID").unwrap();
    let subject = format!("Re: {}", field(shown, "Subject").unwrap());
    letter(from).subject(&subject).answers(&id).field("References", &id).text(text)
}

#[track_caller]
fn refused(answer: &Answer, why: &str) {
    assert!(answer.status.starts_with("NO [CANNOT] ") && answer.status.contains(why), "{}", answer.status);
}

#[tokio::test]
async fn an_answer_that_is_put_into_notes_is_a_note() {
    let desk = desk().await;
    let mut alice = Client::log_in(&desk, "alice").await;
    alice.must("ID (\"name\" \"Thunderbird\" \"version\" \"140.5\")").await;
    alice.must("SELECT INBOX").await;
    let shown = only(&mut alice).await;
    let body = "--b\nContent-Type: text/plain\n\n#tag vip\nThe pole is on back order.\n\
                --b\nContent-Type: text/csv\nContent-Disposition: attachment; filename=\"stock.csv\"\n\nnone\n--b--\n";
    let note = answer(ALICE, &shown, "").body("multipart/mixed; boundary=\"b\"", body).cc("dora@example.net");
    let put = alice.append("acme/Notes", "\\Seen", &note.message()).await;
    assert!(put.status.starts_with("OK "), "{put:?}");
    desk.settled().await;

    let entry = desk.newest("acme-1");
    assert_eq!((entry.kind, entry.state), (Kind::Note, State::Relayed));
    assert_eq!((entry.door, entry.verified), (Door::Imap, Verified::Submission));
    assert_eq!(entry.client.as_deref(), Some("Thunderbird 140.5"));
    assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "alice@team.example");
    assert_eq!(entry.text.trim(), "The pole is on back order.");
    assert_eq!(entry.attachments[0].name, "stock.csv");
    assert_eq!(desk.readers(&entry), Vec::<String>::new(), "nobody else works on it, and Carol hears nothing");
    assert!(desk.inbox("dora@example.net").await.is_empty());
    let ticket = desk.ticket("acme-1");
    assert_eq!((ticket.status, ticket.tags.contains("vip")), (Status::Open, true));
    let tagged = desk.entries("acme-1").into_iter().find(|entry| entry.event.is_some()).unwrap();
    assert_eq!((tagged.door, tagged.client.as_deref()), (Door::Imap, Some("Thunderbird 140.5")));
    // It is on the ticket, where he who wrote it has read it.
    alice.must("NOOP").await;
    assert!(alice.search("UNSEEN").await.is_empty());
    assert_eq!(alice.search("ALL").await.len(), 2);

    // A client that lost its connection does it again.
    assert!(alice.append("acme/Notes", "", &note.message()).await.is_ok());
    assert_eq!(desk.messages("acme-1").len(), 2);
    // By the customer's own Message-ID, in a client that has that mail from elsewhere.
    let by_own = letter(ALICE).field("References", "<unknown@example.com> <pole@example.com>").text("Still none.\n");
    assert!(alice.append("acme/Notes", "", &by_own.message()).await.is_ok());
    assert_eq!((desk.newest("acme-1").text.trim(), desk.newest("acme-1").kind), ("Still none.", Kind::Note));
    // Nothing is obeyed where a command is wrong, and he gets his text back.
    assert!(
        alice.append("acme/Notes", "", &answer(ALICE, &shown, "#assign nobody.knows\nHim?\n").message()).await.is_ok()
    );
    let held = desk.newest("acme-1");
    assert_eq!((held.state, held.reason), (State::Held, Some(Reason::Command)));
    assert!(desk.last("alice@team.example").await.contains("nobody.knows"));
}

#[tokio::test]
async fn what_can_be_no_note_is_refused_with_the_way_out() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let shown = only(&mut alice).await;
    let put = |client: Answer, why: &str| refused(&client, why);
    put(alice.append("acme/Notes", "", &letter(ALICE).message()).await, "write the note as a reply to one of its");
    let strange = letter(ALICE).answers("<else@example.com>");
    put(alice.append("acme/Notes", "", &strange.message()).await, "no ticket of acme has what this answers");
    let customers = answer(DORA, &shown, "I wait too.\n");
    put(alice.append("acme/Notes", "", &customers.message()).await, "dora@example.net wrote this");
    put(alice.append("acme/Notes", "", &shown).await, "this message is on acme-1 already");
    let two = answer(ALICE, &shown, "Who?\n").more("From", DORA);
    put(alice.append("acme/Notes", "", &two.message()).await, "exactly one From");
    assert_eq!(desk.messages("acme-1").len(), 1);
    let elsewhere = alice.append("bulle/Notes", "", &answer(ALICE, &shown, "Hm.\n").message()).await;
    assert!(elsewhere.status.starts_with("NO [NONEXISTENT] "), "{elsewhere:?}");
}

#[tokio::test]
async fn a_mail_of_another_account_becomes_a_ticket_of_its_sender_who_hears_nothing() {
    let desk = desk().await;
    desk.department("billing", &["bob"]).await;
    desk.edit("acme", property::Changes { acknowledge: Some(true), ..Default::default() }).await;
    let mut bob = Client::log_in(&desk, "bob").await;
    bob.must("ID (\"name\" \"Mail\")").await;
    bob.must("SELECT INBOX").await;
    let mail = letter(DORA).to("bob@home.example").subject("Your invoice").text("#close\nIt is wrong.\n");
    let put = bob.append("INBOX", "\\Seen \\Flagged", &mail.message()).await;
    assert!(put.status.starts_with("OK [APPENDUID "), "{put:?}");
    desk.settled().await;

    let ticket = desk.ticket("acme-2");
    assert_eq!((ticket.subject.as_str(), ticket.status, ticket.door), ("Your invoice", Status::Open, Door::Imap));
    assert_eq!((ticket.assignee, ticket.requester().unwrap().address.as_str()), (None, "dora@example.net"));
    let entry = desk.newest("acme-2");
    assert_eq!((entry.kind, entry.verified, entry.client.as_deref()), (Kind::Message, Verified::None, Some("Mail")));
    assert!(!entry.author.is_member());
    assert_eq!(entry.text.trim(), "#close\nIt is wrong.", "a customer commands nothing");
    assert_eq!(desk.readers(&entry), ["alice@team.example"], "as of other new tickets; Bob has it");
    assert!(desk.inbox("dora@example.net").await.is_empty());
    let uid = put.between("APPENDUID ", "]").split_once(' ').unwrap().1.to_owned();
    let flags = bob.must(&format!("UID FETCH {uid} (FLAGS)")).await;
    assert!(flags.between("FLAGS (", ")").contains("\\Seen"), "{flags:?}");
    assert!(bob.read(uid.parse().unwrap()).await.contains("It is wrong."));

    // Where it is put it is whose.
    let next = |number: usize| letter(DORA).subject(&format!("Question {number}")).text(&format!("Number {number}?\n"));
    for (number, mailbox) in
        [(3, "acme/Departments/Billing"), (4, "acme/Members/Alice"), (5, "acme/Open"), (6, "acme/Pending")]
    {
        let put = bob.append(mailbox, "", &next(number).message()).await;
        assert!(put.status.starts_with("OK [APPENDUID "), "{mailbox}: {put:?}");
    }
    desk.settled().await;
    let billing = Assignee::Department(
        desk.read(|view| {
            let acme = guichet::actions::find::property(view, "acme")?;
            guichet::actions::find::department(view, &acme, "billing")
        })
        .id,
    );
    assert_eq!(desk.ticket("acme-3").assignee, Some(billing));
    assert!(matches!(desk.ticket("acme-4").assignee, Some(Assignee::Member(_))));
    assert_eq!(desk.readers(&desk.newest("acme-4")), ["alice@team.example"]);
    assert_eq!((desk.ticket("acme-5").status, desk.ticket("acme-6").status), (Status::Open, Status::Pending));
    assert!(desk.inbox("dora@example.net").await.is_empty());

    // What answers a ticket is on it: she wrote to him instead of to the desk.
    let late = letter(CAROL).to("bob@home.example").answers("<pole@example.com>").text("And the wire too.\n");
    assert!(bob.append("acme/Departments/Billing", "", &late.message()).await.is_ok());
    desk.settled().await;
    assert_eq!(desk.newest("acme-1").text.trim(), "And the wire too.");
    assert_eq!(desk.ticket("acme-1").assignee, Some(billing));
    assert!(desk.find("acme-7").is_none());
    assert!(!desk.inbox(CAROL).await.iter().any(|mail| mail.contains("wire")));
}

#[tokio::test]
async fn what_can_be_no_ticket_is_refused_or_kept() {
    let desk = desk().await;
    let mut alice = Client::log_in(&desk, "alice").await;
    for (mailbox, mail, why) in [
        ("INBOX", letter("Bob <bob@team.example>"), "bob@team.example is of the desk or its team"),
        ("acme/Open", letter("acme@desk.example.org"), "acme@desk.example.org is of the desk or its team"),
        ("acme/Members/Bob", letter(DORA).more("From", CAROL), "exactly one From"),
        ("acme/Pending", letter(DORA).field("From", ""), "exactly one From"),
        ("acme/Closed", letter(DORA), "no ticket has this message"),
        ("acme/Departments", letter(DORA), "only holds other mailboxes"),
    ] {
        refused(&alice.append(mailbox, "", &mail.message()).await, why);
    }
    refused(&alice.append("INBOX", "", "\0\u{1}nothing at all").await, "exactly one From");
    let mut bob = Client::log_in(&desk, "bob").await;
    for mailbox in ["Archive", "Junk", "Trash"] {
        let mail = letter(DORA).subject("An old newsletter");
        assert!(alice.append(mailbox, "", &mail.message()).await.is_ok());
        alice.must(&format!("SELECT {mailbox}")).await;
        assert!(only(&mut alice).await.contains("An old newsletter"));
        bob.must(&format!("SELECT {mailbox}")).await;
        assert!(bob.search("ALL").await.is_empty(), "it is nobody's but hers");
    }
    assert!(desk.find("acme-2").is_none());
}

#[tokio::test]
async fn a_mail_in_the_inbox_is_for_the_property_that_it_names() {
    let desk = desk().await;
    desk.edit(
        "bulle",
        property::Changes { public: Some(Some(address("bonjour@bulle.example"))), ..Default::default() },
    )
    .await;
    let both = member::Changes { roles: [("bulle".to_owned(), Role::Agent)].into(), ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", both.clone())).await;
    let mut alice = Client::log_in(&desk, "alice").await;
    let mut bob = Client::log_in(&desk, "bob").await;
    let silent = letter(DORA).to("alice@home.example");
    refused(&alice.append("INBOX", "", &silent.message()).await, "put it into acme/Open, or another's");
    for (mail, name) in [
        (letter(DORA).to("bonjour@bulle.example"), "bulle-1"),
        (letter(DORA).to("alice@home.example").field("Delivered-To", "bulle@desk.example.org"), "bulle-2"),
        (letter(DORA).cc("Support <acme+t@desk.example.org>").to(ACME), "acme-2"),
    ] {
        assert!(alice.append("INBOX", "", &mail.message()).await.is_ok());
        assert!(desk.find(name).is_some(), "{name}");
    }
    // Bob is of acme alone.
    assert!(bob.append("INBOX", "", &letter(DORA).to("bonjour@bulle.example").message()).await.is_ok());
    assert!(desk.find("acme-3").is_some() && desk.find("bulle-3").is_none());
    // What one property knows is news to the other.
    let shared = letter(DORA).id("<shared@example.net>");
    assert!(alice.append("acme/Open", "", &shared.message()).await.is_ok());
    assert!(alice.append("bulle/Open", "", &shared.message()).await.is_ok());
    assert!(desk.find("acme-4").is_some() && desk.find("bulle-3").is_some());
}

#[tokio::test]
async fn what_the_desk_knows_is_as_if_it_was_copied() {
    let desk = desk().await;
    desk.post(&letter(CAROL).to(ACME).answers("<pole@example.com>").id("<more@example.com>")).await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let uids = alice.search("ALL").await;
    let (first, second) = (alice.read(uids[0]).await, alice.read(uids[1]).await);
    for (message, mailbox, status) in [
        (&first, "Archive", Status::Closed),
        // A second time it says nothing else, nor does another message of the ticket.
        (&first, "Archive", Status::Closed),
        (&second, "acme/Closed", Status::Closed),
        (&first, "acme/Pending", Status::Pending),
        (&second, "Trash", Status::Trash),
        (&second, "Trash", Status::Trash),
        (&first, "Junk", Status::Spam),
        (&first, "acme/Members/Bob", Status::Open),
    ] {
        let put = alice.append(mailbox, "", message).await;
        assert!(put.status.starts_with("OK [APPENDUID "), "{mailbox}: {put:?}");
        assert_eq!(desk.ticket("acme-1").status, status, "{mailbox}");
    }
    assert!(matches!(desk.ticket("acme-1").assignee, Some(Assignee::Member(_))));
    // The customer's own mail, as another account has it.
    let own = letter(CAROL).to(ACME).subject("Broken pole").id("<pole@example.com>");
    assert!(alice.append("Archive", "", &own.message()).await.is_ok());
    assert_eq!(desk.ticket("acme-1").status, Status::Closed);

    // On a ticket that another one took over.
    desk.post(&letter(CAROL).to(ACME).subject("The same pole")).await;
    desk.act(|tx, act| ticket::merge(tx, act, "acme-1", "acme-2")).await;
    let put = alice.append("acme/Pending", "", &first).await;
    assert!(put.status.starts_with("OK [APPENDUID "), "{put:?}");
    assert_eq!(desk.ticket("acme-2").status, Status::Pending);
    assert!(desk.find("acme-3").is_none());
    assert_eq!(desk.messages("acme-2").len(), 3);
}

#[tokio::test]
async fn a_client_that_puts_back_all_that_it_has_of_its_inbox_changes_nothing() {
    let desk = desk().await;
    desk.post(&letter(CAROL).to(ACME).answers("<pole@example.com>")).await;
    desk.post(&letter(DORA).to(ACME).subject("Another")).await;
    desk.act(|tx, act| ticket::assign(tx, act, "acme-2", "bob")).await;
    let mut bob = Client::in_mailbox(&desk, "bob", "INBOX").await;
    let before = [desk.entries("acme-1"), desk.entries("acme-2")];
    let uids = bob.search("ALL").await;
    assert_eq!(uids.len(), 3);
    for uid in &uids {
        let message = bob.read(*uid).await;
        let put = bob.append("INBOX", "", &message).await;
        assert!(put.status.ends_with(&format!(" {uid}] appended")), "{put:?}");
    }
    assert_eq!([desk.entries("acme-1"), desk.entries("acme-2")], before);
    assert!(desk.ticket("acme-1").assignee.is_none() && desk.find("acme-3").is_none());
    assert_eq!(bob.search("ALL").await, uids);
}

#[tokio::test]
async fn drafts_are_replaced_and_moved_and_leave_nothing_behind() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Drafts").await;
    let draft = |text: &str| letter(ALICE).to(CAROL).id("<draft@team.example>").text(text).message();
    let mut last = None;
    for text in ["A\n", "A bit\n", "A bit more\n"] {
        let put = alice.append("Drafts", "\\Draft \\Seen", &draft(text)).await;
        let uid = put.between("APPENDUID ", "]").split_once(' ').unwrap().1.to_owned();
        if let Some(before) = last.replace(uid) {
            alice.must(&format!("UID STORE {before} +FLAGS.SILENT (\\Deleted)")).await;
            alice.must(&format!("UID EXPUNGE {before}")).await;
        }
    }
    assert!(only(&mut alice).await.contains("A bit more"));
    assert_eq!(alice.search("DRAFT SEEN").await.len(), 1);
    for (from, to) in [("Drafts", "Trash"), ("Trash", "Drafts"), ("Drafts", "Archive"), ("Archive", "Trash")] {
        alice.must(&format!("SELECT {from}")).await;
        let moved = alice.must(&format!("UID MOVE 1:* {to}")).await;
        assert!(moved.untagged.iter().any(|line| line.contains("COPYUID")), "{moved:?}");
        assert!(alice.search("ALL").await.is_empty());
    }
    alice.must("SELECT Trash").await;
    assert!(only(&mut alice).await.contains("A bit more"));
    alice.must("STORE 1 +FLAGS (\\Deleted)").await;
    alice.must("CLOSE").await;
    alice.must("SELECT Trash").await;
    assert!(alice.search("ALL").await.is_empty());
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(desk.find("acme-2").is_none());
}

#[tokio::test]
async fn a_draft_that_is_moved_into_notes_is_a_note() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let shown = only(&mut alice).await;
    let note = answer(ALICE, &shown, "Ask Bob.\n");
    assert!(alice.append("Drafts", "\\Draft \\Seen", &note.message()).await.is_ok());
    assert!(alice.append("Drafts", "\\Draft", &letter(ALICE).subject("No answer").message()).await.is_ok());
    alice.must("SELECT Drafts").await;
    refused(&alice.ask("MOVE 2 acme/Notes").await, "write the note as a reply");
    refused(&alice.ask("COPY 2 acme/Open").await, "alice@team.example is of the desk");
    assert!(alice.must("MOVE 1 acme/Notes").await.untagged.iter().any(|line| line == "* 1 EXPUNGE"));
    assert!(only(&mut alice).await.contains("No answer"));
    assert_eq!((desk.newest("acme-1").kind, desk.newest("acme-1").text.trim()), (Kind::Note, "Ask Bob."));
    // What came to another account and was kept here first.
    assert!(alice.append("Archive", "", &letter(DORA).subject("Kept").message()).await.is_ok());
    alice.must("SELECT Archive").await;
    let moved = alice.must("MOVE 1 acme/Open").await;
    assert!(moved.untagged.iter().any(|line| line.contains("COPYUID")), "{moved:?}");
    assert_eq!(desk.ticket("acme-2").requester().unwrap().address.as_str(), "dora@example.net");
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_client_files_as_sent_is_what_the_desk_sent() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    let mail = letter("Acme <acme@desk.example.org>").to("erin@example.com").subject("Your order");
    assert_eq!(Agent::log_in(&desk, "alice").await.post(&mail).await, "acme-2");
    let put = alice.append("Sent", "\\Seen", &mail.message()).await;
    let shown = only(&mut alice).await;
    let uid = alice.search("SEEN").await[0];
    assert!(put.status.ends_with(&format!(" {uid}] appended")), "{put:?}");
    assert!(field(&shown, "Subject").unwrap().contains("Your order"));
    assert_eq!(
        desk.newest("acme-2").message_id.unwrap().as_str(),
        mail.get("Message-ID").unwrap().trim_matches(['<', '>'])
    );
    // What was sent by another server is his own.
    let elsewhere = letter(ALICE).to("erin@example.com").subject("Lunch");
    assert!(alice.append("Sent", "\\Seen", &elsewhere.message()).await.is_ok());
    assert_eq!(alice.search("ALL").await.len(), 2);
    let mut bob = Client::in_mailbox(&desk, "bob", "Sent").await;
    assert!(bob.search("ALL").await.is_empty());
}

#[tokio::test]
async fn what_a_client_files_before_it_sends_is_there_once() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    let mail = letter("Acme <acme@desk.example.org>").to("erin@example.com").subject("Your order");
    let elsewhere = letter(ALICE).to("erin@example.com").subject("Lunch");
    for message in [&mail, &elsewhere] {
        assert!(alice.append("Sent", "\\Seen", &message.message()).await.is_ok());
    }
    // What she keeps in other places is hers.
    for mailbox in ["Archive", "Drafts"] {
        assert!(alice.append(mailbox, "", &mail.message()).await.is_ok());
    }
    assert_eq!(alice.search("ALL").await.len(), 2);
    alice.idle().await;
    assert_eq!(Agent::log_in(&desk, "alice").await.post(&mail).await, "acme-2");
    alice.hears(|line| line == "* 1 EXPUNGE").await;
    alice.done().await;
    assert_eq!(alice.search("SUBJECT order").await.len(), 1, "one mail is one message");
    assert_eq!(alice.search("SUBJECT Lunch").await.len(), 1);

    // By her own provider's server, which proves that it is hers.
    let by_provider = letter(ALICE).to(ACME).subject("A pole for me");
    assert!(alice.append("Sent", "\\Seen", &by_provider.message()).await.is_ok());
    desk.post(&by_provider).await;
    alice.must("NOOP").await;
    assert_eq!(alice.search("SUBJECT pole").await.len(), 1);
    let found = alice.must("UID FETCH 1:* (THREADID)").await;
    assert_eq!(found.untagged.iter().filter(|line| line.contains(" FETCH (")).count(), 3);

    // Others keep it as a draft until it is sent, and move that then.
    alice.must("SELECT Drafts").await;
    let copied = alice.must("COPY 1 Sent").await;
    assert!(copied.status.contains("COPYUID"), "{copied:?}");
    let moved = alice.must("MOVE 1 Sent").await;
    assert!(moved.untagged.iter().any(|line| line.contains("COPYUID")), "{moved:?}");
    assert!(alice.search("ALL").await.is_empty());
    alice.must("SELECT Sent").await;
    assert_eq!(alice.search("SUBJECT order").await.len(), 1);
    alice.must("SELECT Archive").await;
    assert_eq!(alice.search("SUBJECT order").await.len(), 1);
    let found = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_else_sends_takes_nothing_from_sent() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "Sent").await;
    let mail = letter(ALICE).to(ACME).id("<hers@team.example>").subject("Hers");
    assert!(alice.append("Sent", "\\Seen", &mail.message()).await.is_ok());
    // Nothing proves that she wrote it, nor does Bob's word.
    desk.offer(&letter(ALICE).by("mallory@example.net").to(ACME).id("<hers@team.example>").subject("Forged")).await;
    let bobs = letter("Acme <acme@desk.example.org>").to("erin@example.com").id("<hers@team.example>").subject("His");
    Agent::log_in(&desk, "bob").await.post(&bobs).await;
    alice.must("NOOP").await;
    assert_eq!(alice.search("ALL").await.len(), 1);
    assert_eq!(alice.search("SUBJECT Hers").await.len(), 1);
}

#[tokio::test]
async fn what_is_done_in_a_mail_client_is_told_with_its_name() {
    let desk = desk().await;
    let user = "alice@team.example";
    let password = desk.app_password(user, "phone").await;
    let mut alice = Client::connect(desk.imap().0, &desk.certificate()).await;
    // Most say it before they log in.
    alice.must("ID (\"name\" \"iPhone Mail\" \"version\" \"22B83\" \"os\" \"iOS\")").await;
    alice.must(&format!("LOGIN {user} \"{password}\"")).await;
    alice.must("SELECT INBOX").await;
    alice.must("STORE 1 +FLAGS (\\Flagged vip)").await;
    alice.must("MOVE 1 Archive").await;
    let told: Vec<_> = desk.entries("acme-1").into_iter().filter(|entry| entry.event.is_some()).collect();
    let whats: Vec<_> = told.iter().map(|entry| entry.event.as_ref().unwrap().what).collect();
    assert_eq!(whats, [What::Priority, What::Tag, What::Status]);
    for entry in told {
        assert_eq!((entry.door, entry.client.as_deref()), (Door::Imap, Some("iPhone Mail 22B83")));
        assert_eq!(entry.author.mailbox().unwrap().address.as_str(), user);
    }
    let said = |args: &'static [&str]| {
        let file = desk.config_file();
        tokio::task::spawn_blocking(move || String::from_utf8(guichet(&file, args).stdout).unwrap())
    };
    let log = said(&["ticket", "log", "acme-1"]).await.unwrap();
    assert_eq!(log.matches("imap, iPhone Mail 22B83").count(), 3, "{log}");
    let shown = said(&["ticket", "show", "acme-1", "--json"]).await.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["entries"][0]["client"], serde_json::Value::Null);
    assert_eq!(shown["entries"][1]["client"], "iPhone Mail 22B83");
}

#[tokio::test]
async fn what_is_accepted_is_shown_without_what_was_the_matter() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let asked = only(&mut alice).await;
    let reply_to = field(&asked, "Message-ID").unwrap();
    desk.post(&letter(DORA).to(ACME).answers("<pole@example.com>").field("References", &reply_to).text("And I?")).await;
    alice.must("NOOP").await;
    let uid = *alice.search("TEXT \"And I?\"").await.last().unwrap();
    let before = alice.read(uid).await;
    assert!(before.contains("Careful: this came from an address that is not known"), "{before}");

    let entry = desk.entries("acme-1").into_iter().find(|entry| entry.warning.is_some()).unwrap().id;
    desk.act(|tx, act| held::accept(tx, act, "acme-1", entry, Some(held::As::Cc))).await;
    alice.must("NOOP").await;
    let now = *alice.search("TEXT \"And I?\"").await.last().unwrap();
    assert!(now > uid, "under another number");
    let after = alice.read(now).await;
    assert!(after.contains("And I?") && !after.contains("Careful"), "{after}");
}

#[tokio::test]
async fn what_is_held_says_so_and_a_forgery_is_nobodys_until_it_is_let_go() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let shown = only(&mut alice).await;
    let forged = answer(ALICE, &shown, "Send the money.").to(&field(&shown, "Reply-To").unwrap());
    desk.post(&forged.by("mallory@evil.example")).await;
    let entry = desk.newest("acme-1");
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Unaligned)));

    // She is the one who knows that she did not write it.
    alice.must("NOOP").await;
    let unseen = alice.search("UNSEEN TEXT \"Send the money\"").await;
    assert_eq!(unseen.len(), 1, "{unseen:?}");
    let text = alice.read(unseen[0]).await;
    let way = format!("Not sent on yet. A reply that begins with #accept {} lets it go", entry.id);
    assert!(text.contains("Careful: nothing proves") && text.replace("=\r\n", "").contains(&way), "{text}");
    alice.must("SELECT Sent").await;
    assert_eq!(alice.search("ALL").await, [0; 0]);

    desk.act(|tx, act| held::accept(tx, act, "acme-1", entry.id, None)).await;
    alice.must("NOOP").await;
    let hers = alice.search("SEEN").await;
    assert_eq!(hers.len(), 1, "now it is hers");
    assert!(!alice.read(hers[0]).await.contains("Not sent on"));
    assert_eq!(desk.verify().problems, [""; 0]);
}

#[tokio::test]
async fn a_forgery_that_is_rejected_is_nowhere() {
    let desk = desk().await;
    let mut alice = Client::in_mailbox(&desk, "alice", "INBOX").await;
    let shown = only(&mut alice).await;
    let forged = answer(ALICE, &shown, "Send the money.").to(&field(&shown, "Reply-To").unwrap());
    desk.post(&forged.by("mallory@evil.example")).await;
    let entry = desk.newest("acme-1").id;
    desk.act(|tx, act| held::reject(tx, act, "acme-1", entry)).await;
    for mailbox in ["INBOX", "Sent", "acme/Open"] {
        alice.must(&format!("SELECT {mailbox}")).await;
        assert_eq!(alice.search("TEXT \"Send the money\"").await, [0; 0], "{mailbox}");
    }
    assert_eq!(desk.verify().problems, [""; 0]);
}
