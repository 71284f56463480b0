//! A member's own addresses count once they have been asked, and nobody gets one by saying so.

use guichet::actions::{claim, find, member};
use guichet::desk::address::Address;
use guichet::desk::entry::{Entry, Reason, State, Verified, What};
use guichet::desk::id::EntryId;

use crate::kit::desk::{TestDesk, address, address_in, field};
use crate::kit::letter::{letter, reply};

const ALICE: &str = "Alice <alice@team.example>";
const HOME: &str = "Alice <alice@home.example>";
const CAROL: &str = "Carol <carol@example.com>";

/// A ticket, Alice's copy of it, and what she wrote to it from home, which is held.
struct Scene {
    desk: TestDesk,
    ticket: String,
    copy: String,
    held: EntryId,
    notice: String,
}

async fn scene(from: &str) -> Scene {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice"]).await;
    desk.trust("home.example");
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    let copy = desk.last("alice@team.example").await;
    desk.post(&reply(from, &copy).text("From home.\n")).await;
    let held = desk.newest(&ticket);
    assert_eq!((held.state, held.reason), (State::Held, Some(Reason::UnknownAddress)));
    let notice = desk.last("alice@team.example").await;
    Scene { desk, ticket, copy, held: held.id, notice }
}

impl Scene {
    fn held(&self) -> Entry {
        self.desk.read(|view| find::entry(view, &find::ticket(view, &self.ticket)?, self.held))
    }

    fn aliases(&self) -> Vec<Address> {
        self.desk.read(|view| find::member(view, "alice")).aliases
    }

    /// Addresses that were asked and may say yes.
    fn pending(&self) -> Vec<String> {
        let now = jiff::Timestamp::now();
        let pending = self.desk.read(|view| Ok(claim::pending(view, find::member(view, "alice")?.id, now)?));
        pending.into_iter().map(|claim| claim.address.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_becomes_a_members_when_he_and_it_say_so() {
    let scene = scene(HOME).await;
    let desk = &scene.desk;
    assert!(scene.notice.contains("alice@home.example") && scene.notice.contains("always"), "{}", scene.notice);
    desk.post(&reply(ALICE, &scene.notice).text("Always, please.\n")).await;
    assert_eq!((scene.held().state, scene.held().verified), (State::Relayed, Verified::Confirmed));
    assert!(desk.last("carol@example.com").await.contains("From home."));
    assert_eq!((scene.aliases(), scene.pending()), (vec![], vec!["alice@home.example".to_owned()]));

    let question = desk.last("alice@home.example").await;
    assert_eq!(field(&question, "Auto-Submitted").unwrap(), "auto-generated");
    assert!(!question.contains("From home.") && !question.contains("Help"), "nothing of the mail: {question}");
    let confirm = address_in(&question, "Reply-To");
    assert!(confirm.starts_with("confirm+") && confirm != address_in(&scene.notice, "Reply-To"), "{confirm}");
    // Until then it proves nothing.
    desk.post(&reply(HOME, &scene.copy).text("Again.\n")).await;
    assert_eq!(desk.newest(&scene.ticket).state, State::Held);

    desk.post(&reply(HOME, &question).text("yes\n")).await;
    assert_eq!((scene.aliases(), scene.pending()), (vec![address("alice@home.example")], vec![]));
    let answer = desk.newest(&scene.ticket);
    assert_eq!((answer.state, answer.reason), (State::Kept, Some(Reason::Decision)));
    let events = desk.entries(&scene.ticket).into_iter().filter_map(|entry| entry.event);
    let added: Vec<_> = events.filter(|event| event.what == What::Address).map(|event| event.to.unwrap()).collect();
    assert_eq!(added, ["alice@home.example"]);
    assert!(desk.last("alice@team.example").await.contains("confirmed that it is yours"), "she is told");

    desk.post(&reply(HOME, &scene.copy).text("And again.\n")).await;
    let entry = desk.newest(&scene.ticket);
    assert_eq!((entry.state, entry.verified), (State::Relayed, Verified::Token));
    assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "alice@team.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_alone_sends_and_makes_nothing_hers() {
    let scene = scene(HOME).await;
    scene.desk.post(&reply(ALICE, &scene.notice).text("yes\n")).await;
    assert_eq!(scene.held().state, State::Relayed);
    assert!(scene.pending().is_empty() && scene.desk.inbox("alice@home.example").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_strangers_do_not_confirm_an_address() {
    let scene = scene(HOME).await;
    let desk = &scene.desk;
    desk.post(&reply(ALICE, &scene.notice).text("always\n")).await;
    let question = desk.last("alice@home.example").await;
    let before = desk.settled().await.len();
    for (what, answer) in [
        ("a vacation notice", reply(HOME, &question).field("Auto-Submitted", "auto-replied").text("yes\n")),
        ("from <>", reply(HOME, &question).by("").text("yes\n")),
        ("a forward", reply(HOME, &question).subject("Fwd: Is this your address?").text("yes\n")),
        ("no word of it", reply(HOME, &question).text("Who are you?\n")),
        ("quoted", reply(HOME, &question).text("> yes\n")),
    ] {
        desk.post(&answer).await;
        assert!(scene.aliases().is_empty() && scene.pending().len() == 1, "{what}");
        assert_eq!(desk.newest(&scene.ticket).state, State::Kept, "{what}");
    }
    assert_eq!(desk.settled().await.len(), before, "and the address hears nothing more");
    let (local, domain) =
        address_in(&question, "Reply-To").split_once('@').map(|(l, d)| (l.to_owned(), d.to_owned())).unwrap();
    let guessed =
        format!("{}{}@{domain}", &local[..local.len() - 4], if local.ends_with("aaaa") { "eeee" } else { "aaaa" });
    let said = desk.offer(&letter(HOME).to(&guessed).text("yes\n")).await;
    assert!(said.starts_with("550 5.1.1"), "{said}");
    // The question about the mail is another one than that about the address.
    desk.post(&reply(HOME, &scene.notice).text("yes\n")).await;
    assert!(scene.aliases().is_empty());

    desk.post(&reply(HOME, &question).text("no\n")).await;
    desk.post(&reply(HOME, &question).text("yes\n")).await;
    assert!(scene.aliases().is_empty() && scene.pending().is_empty(), "a no is the end of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_became_anothers_meanwhile_stays_his() {
    let scene = scene(HOME).await;
    let desk = &scene.desk;
    desk.post(&reply(ALICE, &scene.notice).text("always\n")).await;
    let question = desk.last("alice@home.example").await;
    let changes = member::Changes { add_aliases: vec![address("alice@home.example")], ..member::Changes::default() };
    desk.act(|tx, act| member::edit(tx, act, "bob", changes.clone())).await;
    desk.post(&reply(HOME, &question).text("yes\n")).await;
    assert!(scene.aliases().is_empty());
    assert_eq!(desk.read(|view| find::member(view, "alice@home.example")).login.as_str(), "bob@team.example");
    assert!(desk.verify().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_goes_to_a_colleague_to_the_property_or_to_where_nothing_vouches() {
    for (what, from, sender) in [
        ("a colleague", "bob@team.example", None),
        ("one for whom nothing vouches", "alice@home.example", Some("x@evil.example")),
        ("a stranger for whom nothing vouches", "mallory@evil.example", None),
    ] {
        let desk = TestDesk::start().await;
        desk.members(&["alice", "bob"]).await;
        desk.department("billing", &["alice"]).await;
        let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
        let copy = desk.last("alice@team.example").await;
        let mail = reply(from, &copy).text("Refund it.\n");
        desk.post(&sender.map_or(mail.clone(), |sender| mail.by(sender))).await;
        let notice = desk.last("alice@team.example").await;
        assert!(notice.contains("yes") && !notice.contains("always"), "{what}: {notice}");
        // Who says it all the same is told what to write.
        desk.post(&reply(ALICE, &notice).text("always\n")).await;
        assert_eq!(desk.messages(&ticket)[1].state, State::Held, "{what}");
        assert!(desk.last("alice@team.example").await.contains("neither"), "{what}");
        assert!(desk.inbox(from).await.is_empty(), "{what}");
    }
}
