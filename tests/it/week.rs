//! A week of a desk by mail alone: two members and their customers, port 25 and submission, and no
//! other door once the desk is set up.

use guichet::desk::entry::{Door, Kind, Reason, State};
use guichet::desk::ticket::{Assignee, Priority, Status};

use crate::kit::desk::{TestDesk, address_in, field};
use crate::kit::letter::{letter, reply};
use crate::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const DAVE: &str = "Dave <dave@example.com>";
const ACME: &str = "acme@desk.example.org";
const AS_ACME: &str = "Acme Support <acme@desk.example.org>";

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_is_worked_by_mail_alone_for_a_week() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["bob"]).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let mut bob = Agent::log_in(&desk, "bob").await;

    // Monday. Carol writes, Alice hands it to billing without a word to her, and Bob asks Alice back.
    let invoice = desk.post(&letter(CAROL).to(ACME).subject("My invoice").text("It is wrong.\n")).await;
    let copy = desk.last("alice@team.example").await;
    let carol_before = desk.inbox("carol@example.com").await.len();
    assert_eq!(
        alice.post(&reply(ALICE, &copy).text("#assign billing\n#tag vat\n#priority high\n#note\nIs this VAT?\n")).await,
        invoice
    );
    let ticket = desk.ticket(&invoice);
    assert!(matches!(ticket.assignee, Some(Assignee::Department(_))));
    assert_eq!((ticket.priority, ticket.tags.contains("vat")), (Priority::High, true));
    // As the assignee he gets the conversation so far besides, in a mail of its own.
    let copies = desk.inbox("bob@team.example").await;
    let note = copies.iter().find(|copy| copy.contains("Is this VAT?")).unwrap();
    assert!(note.contains("Internal note"), "{note}");
    bob.post(&reply(BOB, note).text("It is.\n")).await;
    assert!(desk.last("alice@team.example").await.contains("It is."));
    assert_eq!(desk.inbox("carol@example.com").await.len(), carol_before, "notes are the team's own");

    // Tuesday. Bob answers from port 25, as his client has no submission set up at home.
    let copies = desk.inbox("bob@team.example").await;
    let public = copies.iter().rev().find(|copy| copy.contains("It is wrong.") && !copy.contains("Internal note"));
    assert_eq!(desk.post(&reply(BOB, public.unwrap()).text("A new invoice is attached.\n")).await, invoice);
    let answer = desk.last("carol@example.com").await;
    assert!(answer.contains("A new invoice is attached.") && !answer.contains("VAT"), "{answer}");
    assert_eq!(desk.ticket(&invoice).status, Status::Pending);

    // Wednesday. Carol thanks from another ticket of hers, which Alice merges into the first.
    let thanks = desk.post(&letter(CAROL).to(ACME).subject("Thanks").text("It is right now.\n")).await;
    assert_ne!(thanks, invoice);
    let copy = desk.last("alice@team.example").await;
    alice.post(&reply(ALICE, &copy).text(&format!("#merge {invoice}\n#close\n"))).await;
    let merged = desk.ticket(&thanks);
    assert_eq!((merged.reference.to_string(), merged.status), (invoice.clone(), Status::Closed));

    // Thursday. Alice composes as the property, to Dave with Erin in copy; Bob is a colleague on it.
    let letter_to_dave = letter(AS_ACME)
        .to(DAVE)
        .to("erin@example.com")
        .to("bob@team.example")
        .subject("Your order")
        .text("It left today.\n");
    let order = alice.post(&letter_to_dave).await;
    for reader in ["dave@example.com", "erin@example.com", "bob@team.example"] {
        assert!(desk.last(reader).await.contains("It left today."), "{reader}");
    }
    let to_dave = desk.last("dave@example.com").await;
    assert!(field(&to_dave, "From").unwrap().starts_with("Alice via Acme Support"), "{to_dave}");
    assert_eq!(desk.post(&reply(DAVE, &to_dave).text("Great.\n")).await, order);
    assert!(desk.last("erin@example.com").await.contains("Great."), "both are on it");

    // Friday. Somebody speaks in Alice's name; she is asked, and says no from her phone.
    let copy = desk.last("alice@team.example").await;
    let forged = reply(ALICE, &copy).by("x@evil.example").text("Send it back at once.\n");
    assert_eq!(desk.post(&forged).await, order);
    let asked = desk.last("alice@team.example").await;
    assert!(address_in(&asked, "Reply-To").starts_with("confirm+"), "{asked}");
    desk.post(&reply("Alice <alice@phone.example>", &asked).text("No!\n")).await;
    let messages = desk.messages(&order);
    let forged = messages.iter().find(|entry| entry.text.contains("at once")).unwrap();
    assert_eq!((forged.state, forged.reason), (State::Rejected, Some(Reason::Unaligned)));
    assert!(!desk.last("dave@example.com").await.contains("at once"));
    // In French, and with what was open done.
    let copies = desk.inbox("bob@team.example").await;
    let great = copies.iter().rev().find(|copy| copy.contains("Great.")).unwrap();
    bob.post(&reply(BOB, great).text("#étiquette livré\n#fermer\n\nBon week-end !\n")).await;
    let ticket = desk.ticket(&order);
    assert_eq!((ticket.status, ticket.tags.contains("livré")), (Status::Closed, true));
    let last = desk.last("dave@example.com").await;
    assert!(last.contains("Bon week-end") && !last.contains("fermer"), "{last}");

    // No other door was used, and everything that happened is on the tickets.
    for name in [&invoice, &order] {
        for entry in desk.entries(name) {
            assert!(matches!(entry.door, Door::Smtp | Door::Submission), "{name}: {entry:?}");
        }
    }
    let kinds = desk.messages(&invoice);
    assert!(
        kinds.iter().any(|entry| entry.kind == Kind::Note) && kinds.iter().any(|entry| entry.kind == Kind::Message)
    );
    assert!(desk.verify().problems.is_empty());
}
