//! Members write from their own mail clients: what becomes of their mail, and what is refused.

use std::net::IpAddr;
use std::sync::Arc;

use guichet::actions::{app_password, find, property};
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Door, Kind, Reason, State, Verified, What};
use guichet::desk::login::Mechanism;
use guichet::desk::ticket::{Standing, Status};
use guichet::login::Logins;
use guichet::login::sasl::{Answer, Denied, Question};
use guichet::login::throttle::Throttle;
use jiff::{SignedDuration, Timestamp};

use super::kit::desk::{TestDesk, address, field};
use super::kit::letter::{Letter, letter, reply, reply_by_address};
use super::kit::submit::{Agent, Client};

const ALICE: &str = "Alice <alice@team.example>";
const AS_ACME: &str = "Acme <acme@desk.example.org>";
const ACME: &str = "acme@desk.example.org";
const CAROL: &str = "carol@example.com";

/// Alice and Bob of acme, and Carol's ticket acme-1.
async fn desk() -> TestDesk {
    with("").await
}

async fn with(more: &str) -> TestDesk {
    let desk = TestDesk::with(more).await;
    desk.members(&["alice", "bob"]).await;
    desk.post(&letter(CAROL).to(ACME).subject("Broken pole")).await;
    desk
}

/// What a client leaves behind in its Sent folder, answered to whom it went.
fn from_sent(mail: &Letter, to: &str) -> Letter {
    let subject = format!("Re: {}", mail.get("Subject").unwrap_or_default());
    letter(AS_ACME).to(to).subject(&subject).answers(mail.get("Message-ID").unwrap())
}

#[tokio::test]
async fn a_reply_goes_out_in_the_members_name_whatever_from_says() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let copy = desk.last("alice@team.example").await;
    for from in [ALICE, AS_ACME] {
        assert_eq!(alice.post(&reply(from, &copy).text("It is in the post.\n")).await, "acme-1");
        let entry = desk.newest("acme-1");
        assert_eq!((entry.door, entry.verified, entry.state), (Door::Submission, Verified::Submission, State::Relayed));
        assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "alice@team.example");
        assert_eq!(entry.verdict, None);
        assert_eq!(desk.readers(&entry), [CAROL], "Alice wrote it, and nobody else works on it");
        let sent = desk.last(CAROL).await;
        assert!(field(&sent, "From").unwrap().starts_with("Alice via Acme Support"), "{sent}");
        assert!(sent.contains("It is in the post.") && !sent.contains("Received:"), "{sent}");
    }
    assert_eq!(desk.ticket("acme-1").status, Status::Pending);
    let raw = desk.read(|view| Ok(guichet::store::Read::raw(view, desk.newest("acme-1").raw.unwrap())?));
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains(" with ESMTPSA id "), "{raw}");
}

#[tokio::test]
async fn a_note_stays_among_members() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    alice.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    desk.write("acme-1", Some("bob"), Scope::Note, "Do we have a pole?").await;
    let note = desk.last("alice@team.example").await;
    assert_eq!(alice.post(&reply(ALICE, &note).text("Two.\n")).await, "acme-1");
    let entry = desk.newest("acme-1");
    assert_eq!((entry.kind, desk.readers(&entry)), (Kind::Note, vec!["bob@team.example".to_owned()]));

    let refused = alice.refused(&reply(ALICE, &note).to("dan@example.com")).await;
    assert!(refused.contains("a note, which stays among members"), "{refused}");
    let to_carol = letter(AS_ACME).to(CAROL).answers(&field(&note, "Message-ID").unwrap());
    let refused = alice.refused(&to_carol).await;
    assert!(refused.contains("a note, which stays among members"), "{refused}");
    assert_eq!(desk.newest("acme-1").id, entry.id, "what is refused leaves nothing");
}

#[tokio::test]
async fn whom_a_reply_names_besides_joins_the_ticket() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let mail = reply(ALICE, &desk.last("alice@team.example").await).to("Dan <dan@example.com>").to("bob@team.example");
    alice.post(&mail).await;
    assert_eq!(desk.readers(&desk.newest("acme-1")), ["bob@team.example", CAROL, "dan@example.com"]);
    assert_eq!(desk.participant("acme-1", "dan@example.com").unwrap().standing, Standing::Accepted);
    let joined = desk.entries("acme-1").into_iter().filter_map(|entry| Some((entry.author, entry.event?)));
    let joined: Vec<_> = joined.filter(|(_, event)| event.what == What::Participant).collect();
    let [(author, event)] = joined.as_slice() else { panic!("{joined:?}") };
    assert_eq!(event.to.as_deref(), Some("dan@example.com"));
    assert!(author.is_member(), "Alice let him in");
}

#[tokio::test]
async fn a_reply_address_is_for_whom_it_was_made() {
    let desk = desk().await;
    let mut bob = Agent::log_in(&desk, "bob").await;
    let of_alice = reply("Bob <bob@team.example>", &desk.last("alice@team.example").await);
    let refused = bob.refused(&of_alice).await;
    assert!(refused.contains("made for somebody else"), "{refused}");
    desk.write("acme-1", Some("alice"), Scope::Public, "Hello").await;
    let of_carol = reply("Bob <bob@team.example>", &desk.last(CAROL).await);
    assert!(bob.refused(&of_carol).await.contains("made for somebody else"));
    desk.remove_member("alice").await;
    // Whom it was made for is gone: it is the bare address, and the ticket is found by what it answers.
    assert_eq!(bob.post(&of_alice).await, "acme-1");
}

#[tokio::test]
async fn a_ticket_is_composed_as_the_property() {
    let desk = desk().await;
    desk.department("billing", &["bob@team.example"]).await;
    let public = Some(Some(address("support@acme.example")));
    desk.edit("acme", property::Changes { public, ..property::Changes::default() }).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let mail = letter(AS_ACME).to("Dan <dan@example.com>").to("erin@example.com").to("bob@team.example").to(ACME);
    let mail = mail.subject("Your boots");
    assert_eq!(alice.post(&mail).await, "acme-2");
    let ticket = desk.ticket("acme-2");
    assert_eq!(ticket.requester().unwrap().address.as_str(), "dan@example.com");
    assert_eq!((ticket.door, ticket.status), (Door::Submission, Status::Pending));
    let entry = desk.newest("acme-2");
    assert_eq!((entry.verified, entry.door), (Verified::Submission, Door::Submission));
    assert_eq!(desk.readers(&entry), ["bob@team.example", "dan@example.com", "erin@example.com"]);
    let contact = desk.read(|view| find::contact_at(view, &address("dan@example.com"))).unwrap();
    assert_eq!(contact.name, "Dan");
    let answer = reply("dan@example.com", &desk.last("dan@example.com").await);
    assert_eq!(desk.post(&answer).await, "acme-2");

    // The client lost our answer, and sends it again.
    assert_eq!(alice.post(&mail).await, "acme-2");
    assert_eq!(desk.messages("acme-2").len(), 2);
    for (from, ticket) in [("acme+billing@desk.example.org", "acme-3"), ("Support <Support@Acme.example>", "acme-4")] {
        assert_eq!(alice.post(&letter(from).to("dan@example.com").by("alice@team.example")).await, ticket);
    }
}

#[tokio::test]
async fn an_answer_from_the_sent_folder_joins_its_ticket() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let first = letter(AS_ACME).to("dan@example.com").subject("Your boots");
    assert_eq!(alice.post(&first).await, "acme-2");
    let more = from_sent(&first, "dan@example.com").to("erin@example.com");
    assert_eq!(alice.post(&more).await, "acme-2");
    assert_eq!(desk.readers(&desk.newest("acme-2")), ["dan@example.com", "erin@example.com"]);
    // Whoever was not addressed must not read it.
    assert_eq!(alice.post(&from_sent(&first, "frank@example.com")).await, "acme-3");
    assert_eq!(desk.readers(&desk.newest("acme-3")), ["frank@example.com"]);
    assert_eq!(desk.messages("acme-2").len(), 2);
}

#[tokio::test]
async fn mail_to_the_desks_own_addresses_is_a_ticket_of_the_members_own() {
    let desk = desk().await;
    desk.department("billing", &["bob@team.example"]).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let mail = letter(ALICE).to("acme+billing@desk.example.org").to(ACME).subject("My expenses");
    assert_eq!(alice.post(&mail).await, "acme-2", "one ticket, at the most specific address");
    let entry = desk.newest("acme-2");
    assert_eq!(entry.verified, Verified::Submission);
    assert_eq!(desk.readers(&entry), ["bob@team.example"]);
    // Where she has no role she is a contact.
    assert_eq!(alice.post(&letter(ALICE).to("bulle@desk.example.org").subject("Bonjour")).await, "bulle-1");
    assert_eq!(desk.ticket("bulle-1").requester().unwrap().address.as_str(), "alice@team.example");
    assert!(!desk.newest("bulle-1").author.is_member());
    // A customer's mail that she hands on is the customer's.
    let forward = "---------- Forwarded message ---------\nFrom: Gina <gina@example.com>\n\
        Date: Mon, 23 Nov 2026 at 10:00\nSubject: Gloves\nTo: <alice@team.example>\n\nDo you have gloves?\n";
    assert_eq!(alice.post(&letter(ALICE).to(ACME).subject("Fwd: Gloves").text(forward)).await, "acme-3");
    assert_eq!(desk.ticket("acme-3").requester().unwrap().address.as_str(), "gina@example.com");
}

#[tokio::test]
async fn what_the_desk_does_not_send_is_refused_with_what_to_do() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let copy = desk.last("alice@team.example").await;
    let dan = "dan@example.com";
    for (mail, why) in [
        (letter(ALICE).to(dan), "send as acme@desk.example.org, or answer the mail that the desk sent you"),
        (letter(ALICE).to(dan).to(ACME), "send as acme@desk.example.org"),
        (letter("Bob <bob@team.example>").to(ACME), "From is neither an address of yours"),
        (letter("bulle@desk.example.org").to(dan), "From is neither an address of yours"),
        (letter("dan@example.com").to("erin@example.com"), "From is neither an address of yours"),
        (reply("bob@team.example", &copy), "From is neither an address of yours"),
        (letter(AS_ACME).to("bob@team.example"), "a ticket needs somebody outside"),
        (letter(AS_ACME).to(dan).rcpt(&[dan, "erin@example.com"]), "put blind recipients into To or Cc"),
        (letter(AS_ACME).to(ACME).rcpt(&[dan, "erin@example.com"]), "put blind recipients into To or Cc"),
        (letter(AS_ACME).to(dan).field("Auto-Submitted", "auto-replied"), "no automatic answers"),
        (letter(AS_ACME).to(dan).field("Guichet-Loop", ACME), "forward it instead"),
        (letter(AS_ACME).to(dan).field("From", "a@team.example, b@team.example"), "exactly one address"),
    ] {
        let refused = alice.refused(&mail).await;
        assert!(refused.contains(why), "{refused}\n{}", mail.message());
    }
    let blind = reply(ALICE, &copy).rcpt(&[&reply(ALICE, &copy).recipients()[0], "erin@example.com"]);
    assert!(alice.refused(&blind).await.contains("put blind recipients into To or Cc"));
    for (to, reply) in [
        ("nobody@desk.example.org", "550 5.1.1 "),
        ("acme+taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@desk.example.org", "550 5.1.1 "),
    ] {
        let refused = alice.offer(&letter(AS_ACME).to(to)).await;
        assert!(refused.starts_with(reply), "{refused}");
    }
    assert_eq!(desk.messages("acme-1").len(), 1);
    assert!(desk.read(|view| Ok(find::ticket(view, "acme-2").is_err())), "nothing of it is on the desk");
}

#[tokio::test]
async fn one_blind_recipient_alone_has_nobody_to_hide_from_and_oneself_is_none() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let own_copy = letter(AS_ACME).to("dan@example.com").rcpt(&["dan@example.com", "alice@team.example"]);
    assert_eq!(alice.post(&own_copy).await, "acme-2");
    assert_eq!(desk.readers(&desk.newest("acme-2")), ["dan@example.com"]);
    let blind = letter(AS_ACME).to(ACME).rcpt(&["erin@example.com"]);
    assert_eq!(alice.post(&blind).await, "acme-3");
    assert_eq!(desk.ticket("acme-3").requester().unwrap().address.as_str(), "erin@example.com");
}

#[tokio::test]
async fn a_crossed_reply_is_held_and_an_automatic_one_kept() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let copy = desk.last("alice@team.example").await;
    desk.write("acme-1", Some("bob"), Scope::Public, "I have sent one.").await;
    alice.post(&reply(ALICE, &copy)).await;
    let entry = desk.newest("acme-1");
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Crossed)));
    assert!(desk.last("alice@team.example").await.contains("I have sent one."));
    alice.post(&reply_by_address(ALICE, &copy).field("Auto-Submitted", "auto-replied")).await;
    let entry = desk.newest("acme-1");
    assert_eq!((entry.state, entry.reason), (State::Kept, Some(Reason::AutoReply)));
}

#[tokio::test]
async fn what_a_client_leaves_out_is_added() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let bare = letter(AS_ACME).to("dan@example.com").id("").field("Date", "").by("");
    assert_eq!(alice.post(&bare).await, "acme-2");
    let entry = desk.newest("acme-2");
    assert_eq!(entry.date, Some(entry.at));
    let raw = desk.read(|view| Ok(guichet::store::Read::raw(view, entry.raw.unwrap())?));
    let raw = String::from_utf8(raw).unwrap();
    assert_eq!(field(&raw, "Message-ID"), Some(format!("<{}>", entry.message_id.unwrap())));
    assert!(field(&raw, "Date").is_some());
}

#[tokio::test]
async fn recipients_an_hour_are_capped() {
    let desk = with("[limits]\nsubmitted_recipients = 3\n").await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    alice.post(&letter(AS_ACME).to("dan@example.com").to("erin@example.com")).await;
    let reply = alice.offer(&letter(AS_ACME).to("frank@example.com").to("gina@example.com")).await;
    assert!(reply.starts_with("450 4.7.1 more than 3 recipients within an hour; try again in "), "{reply}");
    let refused = letter(ALICE).to("dan@example.com");
    alice.refused(&refused).await;
    alice.post(&letter(AS_ACME).to("frank@example.com")).await;
    let mut bob = Agent::log_in(&desk, "bob").await;
    bob.post(&letter(AS_ACME).to("frank@example.com")).await;
}

#[tokio::test]
async fn who_is_on_the_ticket_counts_as_a_recipient_however_he_came_there() {
    let desk = with("[limits]\nsubmitted_recipients = 6\n").await;
    let copy = desk.last("alice@team.example").await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let commands = "#cc dan@example.com, erin@example.com\n#cc frank@example.com\n\nHello all.\n";
    alice.post(&reply(ALICE, &copy).text(commands)).await;
    assert_eq!(desk.readers(&desk.newest("acme-1")).len(), 4);
    // A note goes to nobody outside.
    desk.write("acme-1", None, Scope::Note, "Is that so?").await;
    alice.post(&reply(ALICE, &desk.last("alice@team.example").await).text("Yes.\n")).await;
    // The sixth is free: what it brings besides is missing for the next.
    alice.post(&reply(ALICE, &copy).text("And once more.\n")).await;
    let refused = alice.offer(&reply(ALICE, &copy).text("And again.\n")).await;
    assert!(refused.starts_with("450 4.7.1 more than 6 recipients within an hour"), "{refused}");
}

#[tokio::test]
async fn whom_a_member_addresses_is_on_the_ticket_or_the_member_hears_that_he_is_not() {
    let desk = desk().await;
    let public = Some(Some(address("support@acme.example")));
    desk.edit("acme", property::Changes { public, ..property::Changes::default() }).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let first = desk.last("alice@team.example").await;
    let people = |from: usize, to: usize| (from..to).map(|n| format!("p{n}@example.com")).collect::<Vec<_>>();
    let to = |people: &[String]| people.iter().fold(reply_by_address(ALICE, &first), |mail, who| mail.to(who));
    alice.post(&to(&people(0, 60))).await;
    assert_eq!(desk.readers(&desk.newest("acme-1")).len(), 61);
    let before = desk.newest("acme-1").id;
    let refused = alice.refused(&to(&people(60, 99))).await;
    assert!(refused.contains("acme-1 has 100 people on it already"), "{refused}");
    assert_eq!(desk.newest("acme-1").id, before, "nothing of it is on the ticket");
    alice.post(&to(&people(60, 98))).await;
    assert_eq!(desk.readers(&desk.newest("acme-1")).len(), 99);
    for (line, why) in [
        ("#cc p99@example.com", "acme-1 has 100 people on it already"),
        ("#cc support@acme.example", "support@acme.example is an address of this desk"),
    ] {
        alice.post(&reply_by_address(ALICE, &first).text(&format!("{line}\n\nHello.\n"))).await;
        assert_eq!(desk.newest("acme-1").reason, Some(Reason::Command), "{line}");
        let told = desk.last("alice@team.example").await;
        assert!(told.contains(why), "{line}: {told}");
    }
}

#[tokio::test]
async fn a_contact_is_let_in_by_any_of_his_addresses() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    desk.post(&letter("dan@example.com").to(ACME).subject("Gloves")).await;
    desk.post(&letter("dan@home.example").to(ACME).subject("More gloves")).await;
    desk.act(|tx, act| guichet::actions::contact::merge(tx, act, "dan@home.example", "dan@example.com").map(drop))
        .await;
    // Named by somebody whom nothing vouches for, he is only proposed.
    let first = letter("erin@example.com").to(ACME).cc("dan@example.com").by("x@evil.example").subject("Hats");
    let ticket = desk.post(&first).await;
    assert_eq!(desk.participant(&ticket, "dan@example.com").unwrap().standing, Standing::Proposed);
    let copy = desk.last("alice@team.example").await;
    alice.post(&reply(ALICE, &copy).text("#cc dan@home.example\n\nHello both.\n")).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["dan@home.example", "erin@example.com"]);
}

#[tokio::test]
async fn a_list_members_reply_address_is_every_members() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let new = guichet::actions::member::New {
            login: address("all@team.example"),
            name: "Everybody".to_owned(),
            property: "acme".to_owned(),
            role: guichet::desk::member::Role::Agent,
            aliases: Vec::new(),
            list: true,
            password: None,
        };
        guichet::actions::member::add(tx, act, new)
    })
    .await;
    desk.post(&letter(CAROL).to(ACME).subject("Another")).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let of_all = reply(ALICE, &desk.last("all@team.example").await);
    assert_eq!(alice.post(&of_all).await, "acme-2");
    assert_eq!(desk.newest("acme-2").author.mailbox().unwrap().address.as_str(), "alice@team.example");
    let added = desk.try_app_password("all@team.example", "phone").await;
    assert!(added.unwrap_err().to_string().contains("a list member has no login"));
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
    let used = desk.read(|view| app_password::list(view, "alice")).remove(0).last_use.unwrap();
    assert_eq!((used.client, used.mechanism), ("127.0.0.1".parse().unwrap(), Mechanism::Plain));

    desk.act(|tx, _| app_password::revoke(tx, "alice", "phone")).await;
    let mail = letter(ALICE).to(ACME);
    assert!(client.send(&mail).await.starts_with("530 5.7.0 "), "a session ends with its password");
    let mut client = Client::connect(&desk).await;
    assert_eq!(client.log_in("alice@team.example", &password).await, wrong);

    let mut bob = Agent::log_in(&desk, "bob").await;
    desk.remove_member("bob").await;
    assert!(bob.offer(&mail).await.starts_with("530 5.7.0 "));
}

/// Somebody's login, as a client's question.
fn question(user: &str, password: &str) -> Question {
    Question::Password { user: user.to_owned(), password: password.to_owned(), mechanism: Mechanism::Plain }
}

#[tokio::test]
async fn who_guesses_is_slowed_and_locks_out_nobody_at_home() {
    let desk = desk().await;
    let password = desk.app_password("alice", "phone").await;
    let (store, rules) = desk.inside();
    let logins = Arc::new(Logins { store, desk: rules, throttle: Throttle::new(3), metrics: Arc::default() });
    let now = Timestamp::now();
    let at = |seconds| now + SignedDuration::from_secs(seconds);
    let log_in = async |client: &str, now, user: &str, password: &str| {
        let client: IpAddr = client.parse().unwrap();
        logins.answer(client, now, question(user, password)).await
    };
    let alice = "alice@team.example";
    let is_login = |answer: &Answer| matches!(answer, Answer::Login(..));
    assert!(is_login(&log_in("192.0.2.1", at(0), alice, &password).await));
    for user in [alice, "nobody@team.example"] {
        for n in 0..3 {
            let answer = log_in(&format!("198.51.100.{n}"), at(1), user, "guess").await;
            assert_eq!(answer, Answer::Denied(Denied::Wrong), "{user} {n}");
        }
        let answer = log_in("198.51.100.9", at(1), user, "guess").await;
        assert_eq!(answer, Answer::Denied(Denied::Slowed(SignedDuration::from_secs(60))), "{user}");
    }
    assert!(!is_login(&log_in("203.0.113.7", at(1), alice, &password).await), "from elsewhere she waits too");
    assert!(is_login(&log_in("192.0.2.1", at(1), alice, &password).await), "at home she does not");
    assert!(is_login(&log_in("203.0.113.7", at(61), alice, &password).await));
    let month = 31 * 24 * 3600;
    for n in 0..3 {
        log_in(&format!("198.51.100.{n}"), at(month), alice, "guess").await;
    }
    assert!(!is_login(&log_in("192.0.2.1", at(month), alice, &password).await), "home is where she was of late");
    let of_network = async || {
        let mut tried = 0;
        for n in 0..20 {
            let answer = log_in("2001:db8::1", at(2 * month), &format!("user{n}"), "guess").await;
            tried += usize::from(answer == Answer::Denied(Denied::Wrong));
        }
        tried
    };
    assert_eq!((of_network().await, of_network().await), (9, 0));
}
