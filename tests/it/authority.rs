//! Nobody speaks for an agent: every row of the authority table by real mail, each with the row
//! next to it that must not fire.

use guichet::actions::{find, held, member, property, ticket};
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Entry, Kind, Reason, State, Verified};
use guichet::desk::member::Role;
use guichet::desk::ticket::{Standing, Status};

use crate::kit::desk::{TestDesk, address, address_in, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const MALLORY: &str = "Mallory <mallory@evil.example>";
/// An envelope sender whose domain nothing vouches for.
const NOBODY: &str = "x@evil.example";

/// A ticket where Carol wrote and Alice answered, and what everyone was sent last.
struct Scene {
    ticket: String,
    first: Letter,
    /// Alice's copy of Carol's mail.
    alice: String,
    /// Bob's copy of Alice's answer.
    bob: String,
    /// Carol's copy of Alice's answer.
    carol: String,
    /// Alice's answer as her client sent it.
    answer: Letter,
}

async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    desk.trust("acme.example");
    desk.edit("acme", property::Changes { public: Some(Some(address("support@acme.example"))), ..Default::default() })
        .await;
    let alias = member::Changes { add_aliases: vec![address("alice@home.example")], ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", alias.clone())).await;
    desk.trust("home.example");
    desk
}

async fn scene(desk: &TestDesk) -> Scene {
    let first = letter(CAROL).to("acme+billing@desk.example.org").subject("Help");
    let ticket = desk.post(&first).await;
    let alice = desk.last("alice@team.example").await;
    let answer = reply(ALICE, &alice).cc("Erin <erin@example.com>");
    assert_eq!(desk.post(&answer).await, ticket);
    let bob = desk.last("bob@team.example").await;
    let carol = desk.last("carol@example.com").await;
    Scene { ticket, first, alice, bob, carol, answer }
}

/// Who is said to have written an entry, what became of it, and who was sent it.
fn seen(desk: &TestDesk, entry: &Entry) -> (String, State, Option<Reason>, Verified, Vec<String>) {
    let author = entry.author.mailbox().unwrap().address.to_string();
    (author, entry.state, entry.reason, entry.verified, desk.readers(entry))
}

type Row<'a> = (&'a str, fn(&Scene) -> Letter, &'a str, State, Option<Reason>, Verified, &'a [&'a str]);

async fn hold_against(desk: &TestDesk, rows: &[Row<'_>]) {
    for (what, write, author, state, reason, verified, readers) in rows {
        let scene = scene(desk).await;
        let letter = write(&scene);
        assert_eq!(desk.post(&letter).await, scene.ticket, "{what}");
        let entry = desk.newest(&scene.ticket);
        let found = seen(desk, &entry);
        let expected =
            ((*author).to_owned(), *state, *reason, *verified, readers.iter().map(ToString::to_string).collect());
        assert_eq!(found, expected, "{what}");
        assert_eq!(entry.kind, Kind::Message, "{what}");
        let warned = entry.reason == Some(Reason::Unverified) && entry.state == State::Relayed;
        assert_eq!(entry.warning.is_some(), warned || entry.state == State::Held, "{what}");
        let status =
            if entry.state == State::Held || author.contains("@team.example") { Status::Pending } else { Status::Open };
        assert_eq!(desk.ticket(&scene.ticket).status, status, "{what}");
    }
}

const TO_BOB_AND_CAROL: &[&str] = &["bob@team.example", "carol@example.com"];
const TO_MEMBERS: &[&str] = &["alice@team.example", "bob@team.example"];

#[tokio::test(flavor = "multi_thread")]
async fn a_member_speaks_by_his_reply_address_and_an_aligned_from() {
    let desk = desk().await;
    let signer = desk.signer("team.example");
    hold_against(
        &desk,
        &[
            (
                "his reply address, SPF",
                |scene| reply(ALICE, &scene.alice),
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Token,
                TO_BOB_AND_CAROL,
            ),
            (
                "another address of his",
                |scene| reply("Alice <alice@home.example>", &scene.alice),
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Token,
                TO_BOB_AND_CAROL,
            ),
            (
                "the property's public address",
                |scene| reply("Acme <support@acme.example>", &scene.alice),
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Token,
                TO_BOB_AND_CAROL,
            ),
            (
                "his reply address in capitals",
                |scene| {
                    let to = address_in(&scene.alice, "Reply-To").to_uppercase();
                    reply(ALICE, &scene.alice).rcpt(&[&to])
                },
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Token,
                TO_BOB_AND_CAROL,
            ),
            (
                "no reply address, but an identifier that only readers know",
                |scene| reply(ALICE, &scene.alice).field("To", "acme@desk.example.org"),
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Aligned,
                TO_BOB_AND_CAROL,
            ),
            (
                "no reply address, but the Message-ID of an entry; the customer has it already",
                |scene| {
                    letter(BOB).to("acme@desk.example.org").cc(CAROL).answers(scene.answer.get("Message-ID").unwrap())
                },
                "bob@team.example",
                State::Relayed,
                None,
                Verified::Aligned,
                &["alice@team.example"],
            ),
        ],
    )
    .await;

    let scene = scene(&desk).await;
    let by_dkim = reply(ALICE, &scene.alice).by(NOBODY);
    desk.post(&by_dkim.clone().signed(&signer)).await;
    assert_eq!(desk.newest(&scene.ticket).state, State::Relayed, "DKIM vouches for what SPF does not");
    let damaged = by_dkim.id("<damaged@team.example>").signed(&signer).text("Send money.\n");
    desk.post(&damaged).await;
    assert_eq!(desk.newest(&scene.ticket).state, State::Held, "a broken signature vouches for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_says_that_it_is_a_members_is_held_and_reaches_no_customer() {
    // The member whose reply address it bore, or whose domain vouches for him, is asked; once an
    // hour, so each case has its own desk.
    let asked: &[&str] = &["alice@team.example"];
    let rows: &[Row<'_>] = &[
        (
            "his reply address, unaligned",
            |scene| reply(ALICE, &scene.alice).by(NOBODY),
            "alice@team.example",
            State::Held,
            Some(Reason::Unaligned),
            Verified::None,
            asked,
        ),
        (
            "the property's public address, unaligned",
            |scene| reply("Acme <support@acme.example>", &scene.alice).by(NOBODY),
            "support@acme.example",
            State::Held,
            Some(Reason::Unaligned),
            Verified::None,
            asked,
        ),
        (
            "another member with his reply address",
            |scene| reply(BOB, &scene.alice),
            "bob@team.example",
            State::Held,
            Some(Reason::UnknownAddress),
            Verified::None,
            asked,
        ),
        (
            "a stranger with his reply address",
            |scene| reply(MALLORY, &scene.alice),
            "mallory@evil.example",
            State::Held,
            Some(Reason::UnknownAddress),
            Verified::None,
            asked,
        ),
        (
            "the customer with a member's reply address",
            |scene| reply(CAROL, &scene.alice),
            "carol@example.com",
            State::Held,
            Some(Reason::UnknownAddress),
            Verified::None,
            asked,
        ),
        (
            "an identifier that only readers know, unaligned",
            |scene| reply(ALICE, &scene.carol).by(NOBODY).field("To", "acme@desk.example.org"),
            "alice@team.example",
            State::Held,
            Some(Reason::Unaligned),
            Verified::None,
            &[],
        ),
        (
            "a number, aligned",
            |scene| letter(ALICE).to("acme@desk.example.org").subject(&format!("[{}] Refund", scene.ticket)),
            "alice@team.example",
            State::Held,
            Some(Reason::Unverified),
            Verified::None,
            asked,
        ),
        (
            "a customer's reply address, aligned",
            |scene| reply_by_address(ALICE, &scene.carol),
            "alice@team.example",
            State::Held,
            Some(Reason::Unverified),
            Verified::None,
            asked,
        ),
        (
            "the property's address and an identifier, aligned",
            |scene| reply("Acme <support@acme.example>", &scene.carol).field("To", "acme@desk.example.org"),
            "support@acme.example",
            State::Held,
            Some(Reason::Unaligned),
            Verified::None,
            &[],
        ),
    ];
    for row in rows {
        hold_against(&desk().await, std::slice::from_ref(row)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_speaks_by_address_and_others_are_heard_with_a_warning() {
    let desk = desk().await;
    let held_open = Some(Reason::Unverified);
    hold_against(
        &desk,
        &[
            (
                "his reply address, unaligned",
                |scene| reply(CAROL, &scene.carol).by(NOBODY),
                "carol@example.com",
                State::Relayed,
                None,
                Verified::Token,
                TO_MEMBERS,
            ),
            (
                "an identifier of ours, unaligned",
                |scene| reply(CAROL, &scene.carol).by(NOBODY).field("To", "acme@desk.example.org"),
                "carol@example.com",
                State::Relayed,
                None,
                Verified::MintedId,
                TO_MEMBERS,
            ),
            (
                "the Message-ID of his own mail, unaligned",
                |scene| {
                    let id = scene.first.get("Message-ID").unwrap();
                    letter(CAROL).to("acme@desk.example.org").by(NOBODY).answers(id)
                },
                "carol@example.com",
                State::Relayed,
                None,
                Verified::None,
                TO_MEMBERS,
            ),
            (
                "the ticket's number, aligned",
                |scene| letter(CAROL).to("acme@desk.example.org").subject(&format!("About {}", scene.ticket)),
                "carol@example.com",
                State::Relayed,
                None,
                Verified::Aligned,
                TO_MEMBERS,
            ),
            (
                "a stranger with his reply address",
                |scene| reply(MALLORY, &scene.carol),
                "mallory@evil.example",
                State::Relayed,
                held_open,
                Verified::None,
                TO_MEMBERS,
            ),
            (
                "a stranger with a stolen identifier",
                |scene| reply(MALLORY, &scene.carol).field("To", "acme@desk.example.org"),
                "mallory@evil.example",
                State::Relayed,
                held_open,
                Verified::None,
                TO_MEMBERS,
            ),
            (
                "one whom the answered mail named",
                |scene| {
                    letter("Erin <erin@example.com>")
                        .to("acme@desk.example.org")
                        .answers(scene.answer.get("Message-ID").unwrap())
                },
                "erin@example.com",
                State::Relayed,
                held_open,
                Verified::None,
                TO_MEMBERS,
            ),
        ],
    )
    .await;
    let proposed = |reference: &str, address: &str| desk.participant(reference, address).map(|found| found.standing);
    assert_eq!(proposed("acme-5", "mallory@evil.example"), None, "a stranger takes no part");
    assert_eq!(proposed("acme-6", "mallory@evil.example"), None);
    assert_eq!(proposed("acme-7", "erin@example.com"), Some(Standing::Proposed));
    let warned = desk.last("alice@team.example").await;
    assert!(warned.contains("an address that is not known on this conversation"), "{warned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_mails_that_do_not_join_a_ticket() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    let number = format!("About {}", scene.ticket);
    for (what, letter) in [
        ("a number from somebody who does not take part", letter("dave@example.com").subject(&number)),
        ("a number, unaligned", letter(CAROL).by(NOBODY).subject(&number)),
        ("an unknown identifier", letter(CAROL).answers("<unknown@example.com>")),
        ("the same subject", letter(CAROL).subject("Re: Help")),
    ] {
        let ticket = desk.post(&letter.to("acme@desk.example.org")).await;
        assert_ne!(ticket, scene.ticket, "{what}");
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason), (State::Relayed, None), "{what}");
    }
    let reply_to = address_in(&scene.alice, "Reply-To");
    let (token, domain) = reply_to.split_once('@').unwrap();
    let other = if token.ends_with('a') { 'e' } else { 'a' };
    let guessed = format!("{}{other}@{domain}", &token[..token.len() - 1]);
    let said = desk.offer(&letter(ALICE).to(&guessed)).await;
    assert!(said.starts_with("550 5.1.1"), "a guessed token: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_in_a_members_name() {
    let desk = desk().await;
    let to_acme = |from: &str| letter(from).to("acme@desk.example.org").subject("New");
    for (what, letter, state, reason, readers) in [
        ("aligned", to_acme(ALICE), State::Relayed, None, &["bob@team.example"][..]),
        ("unaligned", to_acme(ALICE).by(NOBODY), State::Kept, Some(Reason::Unaligned), &[]),
        ("the property's own address", to_acme("support@acme.example"), State::Kept, Some(Reason::Unaligned), &[]),
        ("a member of no property here", to_acme("zoe@team.example"), State::Relayed, None, TO_MEMBERS),
    ] {
        let ticket = desk.post(&letter).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason, desk.readers(&entry)), (state, reason, own(readers)), "{what}");
        // Nobody was told of what is marked, so it stands in the list of what waits until somebody decides.
        let (listed, ..) = desk.command(&["ticket", "list", "--held"]).await;
        assert_eq!(listed.contains(&ticket), reason.is_some(), "{what}: {listed}");
        if reason.is_some() {
            let verb = if what == "unaligned" { "reject" } else { "accept" };
            let (_, error, code) = desk.command(&["ticket", verb, &ticket, &entry.id.to_string()]).await;
            assert_eq!((error.as_str(), code), ("", 0), "{what}");
            assert_eq!(desk.command(&["ticket", "list", "--held"]).await.0, "No tickets.\n", "{what}");
        }
    }
}

fn own(readers: &[&str]) -> Vec<String> {
    readers.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_property_wants_the_reply_address() {
    let desk = desk().await;
    desk.edit("acme", property::Changes { strict: Some(true), ..Default::default() }).await;
    hold_against(
        &desk,
        &[
            (
                "his reply address",
                |scene| reply(ALICE, &scene.alice),
                "alice@team.example",
                State::Relayed,
                None,
                Verified::Token,
                TO_BOB_AND_CAROL,
            ),
            (
                "an identifier, aligned",
                |scene| reply(ALICE, &scene.alice).field("To", "acme@desk.example.org"),
                "alice@team.example",
                State::Held,
                Some(Reason::Unverified),
                Verified::None,
                &["alice@team.example"],
            ),
        ],
    )
    .await;
    let ticket = desk.post(&letter(ALICE).to("acme@desk.example.org")).await;
    assert_eq!(desk.newest(&ticket).state, State::Kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_members_reply_address_serves_every_member_and_nobody_else() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let new = member::New {
            login: address("all@lists.example"),
            name: "Everybody".to_owned(),
            property: "acme".to_owned(),
            role: Role::Agent,
            aliases: Vec::new(),
            list: true,
            password: None,
        };
        member::add(tx, act, new)
    })
    .await;
    desk.department("sales", &["all@lists.example"]).await;
    desk.trust("lists.example");
    for (what, from, state, author) in [
        ("a member", ALICE, State::Relayed, "alice@team.example"),
        ("another member", BOB, State::Relayed, "bob@team.example"),
        ("a stranger", MALLORY, State::Held, "mallory@evil.example"),
        ("the list itself", "all@lists.example", State::Held, "all@lists.example"),
        ("the property", "support@acme.example", State::Held, "support@acme.example"),
    ] {
        let ticket = desk.post(&letter(CAROL).to("acme+sales@desk.example.org")).await;
        let copy = desk.last("all@lists.example").await;
        desk.post(&reply(from, &copy)).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.author.mailbox().unwrap().address.as_str()), (state, author), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_address_outlives_nobody_who_was_removed() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    // Erin joins, gets a copy, and is taken off again.
    desk.act(|tx, act| ticket::cc(tx, act, &scene.ticket, &address("erin@example.com"))).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let erin = desk.last("erin@example.com").await;
    desk.act(|tx, act| ticket::uncc(tx, act, &scene.ticket, &address("erin@example.com"))).await;
    desk.remove_member("bob").await;

    for (what, letter, joins) in [
        ("a former member by his address alone", reply_by_address(BOB, &scene.bob), false),
        ("a former member with an identifier", reply(BOB, &scene.bob), true),
        ("a former participant by his address alone", reply_by_address("erin@example.com", &erin), false),
        ("a former participant with an identifier", reply("erin@example.com", &erin), true),
    ] {
        let ticket = desk.post(&letter).await;
        let entry = desk.newest(&ticket);
        assert_eq!(ticket == scene.ticket, joins, "{what}");
        assert!(!entry.author.is_member(), "{what}");
        assert_eq!(entry.warning.is_some(), joins, "{what}");
        assert_eq!(desk.readers(&entry), ["alice@team.example"], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_groups_name_their_writer_once_they_are_trusted_and_aligned() {
    let desk = desk().await;
    let form = |from: &str| letter(from).to("acme@desk.example.org");
    let by_form = form("Form <forms@acme.example>").field("Reply-To", "Dave <dave@example.com>");
    let written_by = async |letter: Letter| {
        let entry = desk.newest(&desk.post(&letter).await);
        assert_eq!(
            entry.verified == Verified::None,
            entry.author.mailbox().unwrap().address.as_str() == "dave@example.com"
        );
        entry.author.mailbox().unwrap().address.to_string()
    };
    assert_eq!(written_by(by_form.clone()).await, "forms@acme.example", "nobody trusted it yet");
    let trust = vec![address("forms@acme.example")];
    desk.edit("acme", property::Changes { trust, ..property::Changes::default() }).await;
    for (what, letter, writer) in [
        ("Reply-To", by_form.clone().id("<1@x.example>"), "dave@example.com"),
        (
            "X-Original-From goes first",
            form("forms@acme.example")
                .field("X-Original-From", "Dave <dave@example.com>")
                .field("Reply-To", "other@example.com"),
            "dave@example.com",
        ),
        (
            "the property's own address, a group",
            form("'Dave' via Support <support@acme.example>").field("X-Original-From", "Dave <dave@example.com>"),
            "dave@example.com",
        ),
        ("another address", form("other@acme.example").field("Reply-To", "dave@example.com"), "other@acme.example"),
        (
            "two in Reply-To",
            form("forms@acme.example").field("Reply-To", "dave@example.com, erin@example.com"),
            "forms@acme.example",
        ),
        ("a member is never believed", form("forms@acme.example").field("Reply-To", ALICE), "forms@acme.example"),
        (
            "nor one of our addresses",
            form("forms@acme.example").field("Reply-To", "acme@desk.example.org"),
            "forms@acme.example",
        ),
    ] {
        assert_eq!(written_by(letter).await, writer, "{what}");
    }
    let unaligned = desk.newest(&desk.post(&by_form.id("<2@x.example>").by(NOBODY)).await);
    assert_eq!(unaligned.author.mailbox().unwrap().address.as_str(), "forms@acme.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_needs_exactly_one_writer() {
    let desk = desk().await;
    let base = || letter(ALICE).to("acme@desk.example.org");
    for (what, letter) in [
        ("two fields", base().more("From", CAROL)),
        ("two mailboxes", base().field("From", "alice@team.example, carol@example.com")),
        ("a group of one", base().field("From", "Team: alice@team.example;")),
        ("an empty group", base().field("From", "Team:;")),
        ("a group of two", base().field("From", "Team: alice@team.example, carol@example.com;")),
        ("no field", base().field("From", "")),
        ("no address", base().field("From", "Alice")),
    ] {
        let reply = desk.offer(&letter).await;
        assert!(reply.starts_with("550 5.7.1"), "{what}: {reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_note_is_a_note() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    desk.write(&scene.ticket, Some("alice"), Scope::Note, "She is a friend.").await;
    let note = desk.last("bob@team.example").await;
    assert!(note.contains("Internal note"), "{note}");
    let id = field(&note, "Message-ID").unwrap();
    for (what, letter) in [
        ("the note's reply address", reply_by_address(BOB, &note)),
        ("a public reply address, but the note's identifier", reply_by_address(BOB, &scene.bob).answers(&id)),
        ("the bare address and the note's identifier", letter(BOB).to("acme@desk.example.org").answers(&id)),
    ] {
        assert_eq!(desk.post(&letter).await, scene.ticket, "{what}");
        let entry = desk.newest(&scene.ticket);
        assert_eq!((entry.kind, entry.state), (Kind::Note, State::Relayed), "{what}");
        assert_eq!(desk.readers(&entry), ["alice@team.example"], "{what}");
    }
    // Nor does a yes make it anything else.
    desk.post(&reply_by_address(BOB, &scene.bob).answers(&id).by(NOBODY)).await;
    let held = desk.newest(&scene.ticket);
    assert_eq!((held.kind, held.state), (Kind::Note, State::Held));
    let before = desk.inbox("carol@example.com").await.len();
    desk.post(&reply(BOB, &desk.last("bob@team.example").await).text("yes\n")).await;
    let entry = desk.read(|view| find::entry(view, &find::ticket(view, &scene.ticket)?, held.id));
    assert_eq!((entry.kind, entry.state), (Kind::Note, State::Relayed));
    assert_eq!(desk.inbox("carol@example.com").await.len(), before);

    desk.post(&reply(BOB, &scene.bob)).await;
    assert_eq!(desk.newest(&scene.ticket).kind, Kind::Message, "what answers a message is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_crosses_a_colleagues_waits_and_shows_him_that() {
    let desk = desk().await;
    let first = letter(CAROL).to("acme+billing@desk.example.org").subject("Help");
    let ticket = desk.post(&first).await;
    let (alice, bob) = (desk.last("alice@team.example").await, desk.last("bob@team.example").await);
    desk.post(&reply(ALICE, &alice).text("It is paid back.\n")).await;
    desk.post(&reply(BOB, &bob).text("We never pay back.\n")).await;
    let crossed = desk.newest(&ticket);
    assert_eq!((crossed.state, crossed.reason), (State::Held, Some(Reason::Crossed)));
    assert_eq!(desk.inbox("carol@example.com").await.len(), 1);
    let notice = desk.last("bob@team.example").await;
    assert!(notice.contains("It is paid back.") && notice.contains("We never pay back."), "{notice}");
    assert_eq!(field(&notice, "Auto-Submitted").unwrap(), "auto-generated");
    assert!(field(&notice, "Reply-To").unwrap().starts_with("confirm+"), "{notice}");

    // He wrote it, so he is told each time; once an hour is for what anybody may have written.
    desk.post(&reply(BOB, &bob).text("Never ever.\n")).await;
    assert!(desk.last("bob@team.example").await.contains("Never ever."));

    desk.accept(&ticket, crossed.id, None).await;
    let carol = desk.last("carol@example.com").await;
    assert!(carol.contains("We never pay back."), "{carol}");
    let entry = desk.read(|view| find::entry(view, &find::ticket(view, &ticket)?, crossed.id));
    assert_eq!((entry.state, entry.verified), (State::Relayed, Verified::Confirmed));

    // He who has seen the colleague's reply crosses nothing, nor does he who answers himself.
    for (who, copy) in [(ALICE, desk.last("alice@team.example").await), (ALICE, alice)] {
        desk.post(&reply(who, &copy)).await;
    }
    let entries = desk.messages(&ticket);
    let states: Vec<_> = entries.iter().rev().take(2).map(|entry| entry.state).collect();
    assert_eq!(states, [State::Held, State::Relayed], "the older one crosses Bob's");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_mail_is_asked_about_once_an_hour_and_goes_out_or_not() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    let before = desk.inbox("alice@team.example").await.len();
    for text in ["One.\n", "Two.\n", "Three.\n"] {
        desk.post(&reply(ALICE, &scene.alice).by(NOBODY).text(text)).await;
    }
    let inbox = desk.inbox("alice@team.example").await;
    assert_eq!(inbox.len(), before + 1, "asked once");
    assert!(inbox.last().unwrap().contains("One."));
    assert_eq!(desk.inbox("carol@example.com").await.len(), 1, "and the customer hears nothing");

    let held: Vec<_> = desk.messages(&scene.ticket).into_iter().filter(|entry| entry.state == State::Held).collect();
    let [one, two, three] = held.as_slice() else { panic!("{} are held", held.len()) };
    desk.accept(&scene.ticket, two.id, None).await;
    desk.act(|tx, act| held::reject(tx, act, &scene.ticket, one.id)).await;
    let carol = desk.inbox("carol@example.com").await;
    assert_eq!(carol.len(), 2);
    assert!(
        carol[1].contains("Two.") && field(&carol[1], "From").unwrap().starts_with("Alice via Acme"),
        "{}",
        carol[1]
    );
    let states: Vec<_> = [one, two, three]
        .map(|entry| desk.read(|view| find::entry(view, &find::ticket(view, &scene.ticket)?, entry.id)).state)
        .into();
    assert_eq!(states, [State::Rejected, State::Relayed, State::Held]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_writer_is_let_in_as_the_same_person_or_as_another() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    desk.post(&reply("Carol <carol@home.test>", &scene.carol).text("From my phone.\n")).await;
    let same = desk.newest(&scene.ticket);
    assert_eq!(same.warning, Some(Reason::Unverified));
    desk.accept(&scene.ticket, same.id, Some(held::As::Same)).await;
    let contact = desk.read(|view| find::contact(view, "carol@home.test"));
    assert!(contact.has(&address("carol@example.com")), "{contact:?}");
    assert_eq!(desk.ticket(&scene.ticket).requester().unwrap().address.as_str(), "carol@home.test");

    desk.post(&reply("Dave <dave@example.com>", &scene.carol)).await;
    let other = desk.newest(&scene.ticket);
    desk.accept(&scene.ticket, other.id, Some(held::As::Cc)).await;
    assert_eq!(desk.participant(&scene.ticket, "dave@example.com").unwrap().standing, Standing::Accepted);

    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let entry = desk.newest(&scene.ticket);
    assert_eq!(desk.readers(&entry), ["bob@team.example", "carol@home.test", "dave@example.com"]);
    // Both addresses are hers: neither hears what she writes.
    desk.post(&reply(CAROL, &desk.last("carol@home.test").await)).await;
    let entry = desk.newest(&scene.ticket);
    assert_eq!((entry.warning, entry.verified), (None, Verified::Token));
    assert_eq!(desk.readers(&entry), ["alice@team.example", "bob@team.example", "dave@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_property_is_a_contact_here() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let new = member::New {
            login: address("zoe@team.example"),
            name: "Zoé".to_owned(),
            property: "bulle".to_owned(),
            role: Role::Admin,
            aliases: Vec::new(),
            list: false,
            password: None,
        };
        member::add(tx, act, new)
    })
    .await;
    let scene = scene(&desk).await;
    desk.post(&reply("zoe@team.example", &scene.carol)).await;
    let entry = desk.newest(&scene.ticket);
    assert_eq!((entry.state, entry.reason), (State::Relayed, Some(Reason::Unverified)));
    assert!(!entry.author.is_member());
    assert_eq!(desk.readers(&entry), TO_MEMBERS);
    let ticket = desk.post(&letter("zoe@team.example").to("acme@desk.example.org")).await;
    let entry = desk.newest(&ticket);
    assert!(!entry.author.is_member());
    assert_eq!(desk.readers(&entry), TO_MEMBERS);
}
