//! An address that keeps failing gets no copies for a while: told, shown, and ended by a person or by
//! mail that is surely of that address.

use guichet::actions::reach;
use guichet::desk::copy::{Copy, CopyState};
use guichet::desk::entry::What;
use guichet::desk::member::Role;

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{letter, reply};
use crate::kit::sink::Act;

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const GONE: &str = "550 5.1.1 no such user";

/// Lets a member write to the ticket; what became of the copy for one reader.
async fn write(desk: &TestDesk, ticket: &str, reader: &str) -> Copy {
    let entry = desk.write(ticket, Some("alice"), guichet::desk::copy::Scope::Public, "Are you there?\n").await;
    desk.settled().await;
    let entry = desk.entries(ticket).into_iter().find(|known| known.id == entry.id).unwrap();
    desk.copies_of(&entry).into_iter().find(|copy| copy.to.as_str() == reader).unwrap()
}

fn suspended(desk: &TestDesk, who: &str) -> bool {
    desk.read(|view| Ok(reach::suspension(view, &address(who))?)).is_some()
}

fn events(desk: &TestDesk, ticket: &str, what: What) -> usize {
    desk.entries(ticket).iter().filter(|e| e.event.as_ref().is_some_and(|event| event.what == what)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_who_can_not_be_reached_is_suspended_and_comes_back() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Help")).await;
    // What refuses the message, or its sender, tells nothing of the address.
    for refusal in ["550 5.7.1 blocked", "552 5.3.4 too big", "554 no", "550 5.1.8 bad sender"] {
        desk.sink.behave();
        desk.sink.rule("RCPT TO:<carol@", Act::Say(refusal.to_owned()), false);
        for _ in 0..2 {
            assert_eq!(write(&desk, &ticket, "carol@example.com").await.state, CopyState::Failed, "{refusal}");
        }
    }
    assert!(!suspended(&desk, "carol@example.com"));
    desk.sink.behave();
    desk.sink.rule("RCPT TO:<carol@", Act::Say(GONE.to_owned()), false);
    for count in 1..=5 {
        let copy = write(&desk, &ticket, "carol@example.com").await;
        assert_eq!((copy.state, copy.reply.as_deref()), (CopyState::Failed, Some(GONE)), "{count}");
        assert_eq!(suspended(&desk, "carol@example.com"), count == 5, "{count}");
    }
    assert_eq!(events(&desk, &ticket, What::Suspended), 1);
    // From now on nothing is offered; the copy says why, and its author is told at once.
    let offered = desk.sink.commands().len();
    let told = desk.inbox("alice@team.example").await.len();
    let copy = write(&desk, &ticket, "carol@example.com").await;
    assert_eq!(copy.state, CopyState::Cancelled);
    assert!(copy.reply.unwrap().contains(GONE));
    assert!(desk.sink.commands()[offered..].iter().all(|command| !command.contains("carol@")));
    let inbox = desk.inbox("alice@team.example").await;
    assert_eq!(inbox.len(), told + 1);
    let letter_to_alice = inbox.last().unwrap();
    assert_eq!(field(letter_to_alice, "Subject").unwrap(), "Not delivered: Help");
    assert!(letter_to_alice.contains("contact resume carol@example.com"), "{letter_to_alice}");
    // A person resumes it; the address lives again.
    desk.sink.behave();
    desk.act(|tx, _| reach::resume_contact(tx, "carol@example.com")).await;
    assert_eq!(write(&desk, &ticket, "carol@example.com").await.state, CopyState::Sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_something_failed_is_told_in_the_propertys_language() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.act(|tx, act| {
        let roles = [("bulle".to_owned(), Role::Admin)].into();
        let changes = guichet::actions::member::Changes { roles, ..Default::default() };
        guichet::actions::member::edit(tx, act, "alice", changes)
    })
    .await;
    let ticket = desk.post(&letter(CAROL).to("bulle@desk.example.org").subject("Aide")).await;
    let told = async || {
        let mail = desk.last("alice@team.example").await;
        let mail = mail_parser::MessageParser::new().parse(mail.as_bytes()).unwrap();
        mail.body_text(0).unwrap().replace("\r\n", "\n")
    };
    for (refusal, why) in [
        (GONE, "Le serveur de messagerie du destinataire ne connaît pas cette adresse."),
        ("552 5.2.2 over quota", "La boîte aux lettres est pleine."),
        ("554 5.7.1 no", "Le serveur de messagerie du destinataire a refusé le message selon ses règles."),
    ] {
        desk.sink.behave();
        desk.sink.rule("RCPT TO:<carol@", Act::Say(refusal.to_owned()), false);
        write(&desk, &ticket, "carol@example.com").await;
        let told = told().await;
        let end = format!("nouvel essai.\n{why}\n\nDétails\u{a0}:\n    {refusal} (127.0.0.1)\n");
        assert!(told.ends_with(&end), "{refusal}: {told}");
    }
    desk.sink.rule("RCPT TO:<carol@", Act::Say(GONE.to_owned()), false);
    for _ in 0..5 {
        write(&desk, &ticket, "carol@example.com").await;
    }
    let told = told().await;
    assert!(suspended(&desk, "carol@example.com") && told.contains("elle n’en reçoit donc plus depuis le "), "{told}");
    assert!(!told.contains("suspended"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_is_surely_of_an_address_resumes_it_and_no_other_does() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Help")).await;
    desk.sink.rule("RCPT TO:<carol@", Act::Say(GONE.to_owned()), false);
    for _ in 0..5 {
        write(&desk, &ticket, "carol@example.com").await;
    }
    // Anybody can write her name into From.
    desk.post(&letter(CAROL).to("acme@desk.example.org").by("x@evil.example").subject("I am Carol")).await;
    assert!(suspended(&desk, "carol@example.com"));
    let back = desk.post(&letter(CAROL).to("acme@desk.example.org").subject("I am back")).await;
    assert!(!suspended(&desk, "carol@example.com"));
    assert_eq!(events(&desk, &back, What::Resumed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_can_not_be_reached_is_told_of_to_the_admins_once() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.act(|tx, act| {
        let changes = guichet::actions::member::Changes {
            roles: [("acme".to_owned(), Role::Admin)].into(),
            ..Default::default()
        };
        guichet::actions::member::edit(tx, act, "alice", changes)
    })
    .await;
    desk.sink.rule("RCPT TO:<bob@", Act::Say(GONE.to_owned()), false);
    for number in 0..8 {
        let subject = format!("Question {number}");
        desk.post(&letter(CAROL).to("acme@desk.example.org").subject(&subject).text(&subject)).await;
    }
    assert!(suspended(&desk, "bob@team.example"));
    let told: Vec<_> = desk.inbox("alice@team.example").await;
    let told: Vec<_> = told.iter().filter(|mail| field(mail, "Subject").unwrap().contains("No more copies")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("member resume bob@team.example"), "{}", told[0]);
    // Bob writes, from where his domain vouches for him: his copies come again.
    desk.sink.behave();
    desk.post(&reply("Bob <bob@team.example>", &desk.last("alice@team.example").await).text("Here I am.\n")).await;
    assert!(!suspended(&desk, "bob@team.example"));
    desk.post(&letter(ALICE).to("acme@desk.example.org").subject("For all")).await;
    assert!(!desk.inbox("bob@team.example").await.is_empty());
}
