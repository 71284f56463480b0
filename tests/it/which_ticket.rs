//! Which ticket a mail joins, and how often: rules 2 to 4 of the design, merges, duplicates,
//! several recipients, and mail that is broken in every way a ticket depends on.

use std::fmt::Write as _;

use guichet::actions::{find, member, property, ticket};
use guichet::desk::copy::Scope;
use guichet::desk::entry::{State, What};
use guichet::desk::id::{ContactId, CopyId, MemberId, TicketId};
use guichet::desk::ticket::{Assignee, Person, Status};
use guichet::desk::token::{BounceToken, ReplyToken};
use guichet::store::Tx;
use guichet::store::tables::TICKETS;
use jiff::SignedDuration;

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{letter, reply, reply_by_address};
use crate::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";

async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    desk
}

/// Makes a ticket as old as this in the status that it has.
async fn age(desk: &TestDesk, reference: &str, hours: i64) {
    desk.act(|tx: &mut Tx<'_>, act| {
        let mut ticket = find::ticket(tx, reference)?;
        ticket.status_since = act.now.checked_sub(SignedDuration::from_hours(hours)).unwrap();
        Ok(tx.put(&TICKETS, &ticket.id, &ticket)?)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_for_a_merged_ticket_joins_the_one_that_goes_on() {
    let desk = desk().await;
    let first = letter(CAROL).to("acme+billing@desk.example.org").subject("One");
    let one = desk.post(&first).await;
    let copy = desk.last("alice@team.example").await;
    desk.post(&reply(ALICE, &copy)).await;
    let carol = desk.last("carol@example.com").await;
    let two = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Two")).await;
    desk.act(|tx, act| ticket::merge(tx, act, &one, &two)).await;
    for (what, letter) in [
        ("by reply address", reply_by_address(CAROL, &carol)),
        ("by identifier", reply(CAROL, &carol).field("To", "acme@desk.example.org")),
        (
            "by the Message-ID of her own mail",
            letter(CAROL).to("acme@desk.example.org").answers(first.get("Message-ID").unwrap()),
        ),
        ("by number", letter(CAROL).to("acme@desk.example.org").subject(&format!("Still {one}"))),
        ("a member by reply address", reply(ALICE, &copy)),
    ] {
        assert_eq!(desk.post(&letter).await, two, "{what}");
    }
    assert_eq!(desk.messages(&two).len(), 3 + 5);
    let copies = desk.inbox("carol@example.com").await;
    assert_eq!(copies.len(), 2, "and Alice's answer went to her");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_long_closed_is_opened_by_its_own_matter_only() {
    let desk = desk().await;
    for (what, hours, subject, by, joins) in [
        ("closed for 29 days, another matter", 29 * 24, "New order", CAROL, true),
        ("closed for 31 days, another matter", 31 * 24, "New order", CAROL, false),
        ("closed for 31 days, the same matter", 31 * 24, "RE: AW: Old order", CAROL, true),
        ("closed for 31 days, another matter, a member", 31 * 24, "New order", ALICE, true),
    ] {
        let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Old order")).await;
        desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
        desk.act(|tx, act| ticket::set_status(tx, act, &ticket, Status::Closed)).await;
        age(&desk, &ticket, hours).await;
        let copy = desk.last(if by == CAROL { "carol@example.com" } else { "alice@team.example" }).await;
        let then = desk.post(&reply(by, &copy).subject(subject)).await;
        assert_eq!(then == ticket, joins, "{what}");
        if !joins {
            let (old, new) = (desk.ticket(&ticket), desk.ticket(&then));
            assert_eq!((old.status, new.continues), (Status::Closed, Some(old.id)), "{what}");
            assert_eq!(new.requester().unwrap().address.as_str(), "carol@example.com");
        } else if by == CAROL {
            assert_eq!(desk.ticket(&ticket).status, Status::Open, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_and_trash_come_back_for_proven_answers_only() {
    let desk = desk().await;
    for status in [Status::Spam, Status::Trash] {
        let first = letter(CAROL).to("acme+billing@desk.example.org");
        let ticket = desk.post(&first).await;
        desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
        let copy = desk.last("carol@example.com").await;
        desk.act(|tx, act| ticket::set_status(tx, act, &ticket, status)).await;
        let own = letter(CAROL).to("acme@desk.example.org").answers(first.get("Message-ID").unwrap());
        assert_eq!(desk.post(&own).await, ticket);
        assert_eq!(desk.ticket(&ticket).status, status, "her own Message-ID proves nothing");
        assert_eq!(desk.post(&reply(CAROL, &copy)).await, ticket);
        assert_eq!(desk.ticket(&ticket).status, Status::Open);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_mail_again_is_one_entry() {
    let desk = desk().await;
    let first = letter(CAROL).to("acme@desk.example.org").subject("Once");
    let ticket = desk.post(&first).await;
    let copies = desk.settled().await.len();
    assert_eq!(desk.post(&first).await, ticket, "as its client repeats it");
    assert_eq!(desk.ticket(&ticket).assignee, None);
    assert_eq!(desk.post(&first.clone().rcpt(&["acme+billing@desk.example.org"])).await, ticket, "by another way");
    assert!(matches!(desk.ticket(&ticket).assignee, Some(Assignee::Department(_))), "the department gets it");
    assert_eq!(desk.messages(&ticket).len(), 1);
    let arrivals = desk.entries(&ticket).iter().filter_map(|entry| entry.event.clone()).collect::<Vec<_>>();
    assert_eq!(arrivals.iter().filter(|event| event.what == What::Duplicate).count(), 2);
    assert!(desk.settled().await.len() <= copies + 2, "only those who are new to it hear of it");

    let answer = reply(CAROL, &desk.last("alice@team.example").await).field("To", "acme@desk.example.org");
    assert_eq!(desk.post(&answer).await, ticket);
    assert_eq!(desk.post(&answer).await, ticket);
    assert_eq!(desk.messages(&ticket).len(), 2, "an answer too");
    // What differs in one of the three is another mail.
    for (what, other) in [
        ("Message-ID", first.clone().id("<other@example.com>")),
        ("From", first.clone().field("From", "Dave <dave@example.com>")),
        ("Date", first.clone().field("Date", "Tue, 24 Nov 2026 10:00:00 +0000")),
    ] {
        assert_ne!(desk.post(&other).await, ticket, "{what}");
    }
    // Without a Message-ID it is known again all the same.
    let without = first.field("Message-ID", "").text("No name.\n");
    let ticket = desk.post(&without).await;
    assert_eq!(desk.post(&without).await, ticket);
    assert_eq!(desk.messages(&ticket).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mail_to_several_of_our_addresses() {
    let desk = desk().await;
    let both = letter(CAROL).to("acme@desk.example.org").to("bulle@desk.example.org");
    assert_eq!(desk.post(&both).await, "acme-1, bulle-1");
    for order in [
        ["acme@desk.example.org", "acme+billing@desk.example.org"],
        ["acme+billing@desk.example.org", "acme@desk.example.org"],
    ] {
        let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").rcpt(&order)).await;
        assert!(matches!(desk.ticket(&ticket).assignee, Some(Assignee::Department(_))), "{order:?}");
    }
    // A reply address is more specific than any.
    let copy = desk.last("alice@team.example").await;
    let answer = reply(ALICE, &copy);
    let to = answer.recipients()[0].clone();
    let ticket = desk.post(&answer.rcpt(&["acme@desk.example.org", &to, "acme+billing@desk.example.org"])).await;
    assert_eq!(ticket, "acme-3");
    assert_eq!(desk.messages("acme-3").len(), 2);
    // One wrong recipient is refused, the other gets it.
    let part = letter(CAROL).to("acme@desk.example.org");
    assert!(desk.offer(&part.clone().rcpt(&["nobody@desk.example.org"])).await.starts_with("550 5.1.1"));
    assert!(desk.offer(&part.clone().rcpt(&["carol@example.com"])).await.starts_with("550 5.7.1"));
    for to in ["postmaster@desk.example.org", "ABUSE@desk.example.org"] {
        assert!(desk.post(&part.clone().id(&format!("<{to}>")).rcpt(&[to])).await.starts_with("acme-"), "{to}");
    }
    desk.edit(
        "bulle",
        property::Changes { add_addresses: vec![address("info@desk.example.org")], ..Default::default() },
    )
    .await;
    assert_eq!(desk.post(&part.rcpt(&["Info@desk.example.org"])).await, "bulle-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_mail_is_taken_and_shown() {
    let desk = desk().await;
    let base = || letter(CAROL).to("acme@desk.example.org").subject("Broken");
    let many = |count: usize| {
        (0..count).fold(String::new(), |mut ids, at| {
            write!(ids, "\n <r{at}@example.com>").unwrap();
            ids
        })
    };
    for (what, letter, subject) in [
        ("no Message-ID", base().field("Message-ID", ""), "Broken"),
        ("two of them", base().more("Message-ID", "<two@example.com>"), "Broken"),
        ("a broken one", base().id("no id at all"), "Broken"),
        ("an empty one", base().field("Message-ID", "").more("Message-ID", ""), "Broken"),
        ("a very long one", base().id(&format!("<{}@example.com>", "x".repeat(900))), "Broken"),
        ("no Date", base().field("Date", ""), "Broken"),
        ("two of them", base().more("Date", "Tue, 24 Nov 2026 10:00:00 +0000"), "Broken"),
        ("a broken one", base().field("Date", "yesterday"), "Broken"),
        ("a date of the far future", base().field("Date", "Fri, 31 Dec 9999 23:59:59 +0000"), "Broken"),
        (
            "line breaks in the subject",
            base().subject("=?utf-8?q?Bro=0D=0ABcc=3A_x=40example.org?="),
            "Bro Bcc: x@example.org",
        ),
        ("no subject", base().field("Subject", ""), ""),
        ("8-bit octets in the header", base().subject("Größe"), "Größe"),
        ("an unknown charset", base().body("text/plain; charset=klingon", "Qapla'\n"), "Broken"),
        ("a broken Content-Type", base().body("text/;;;", "Hello\n"), "Broken"),
        ("a boundary that never comes", base().body("multipart/mixed; boundary=x", "Hello\n"), "Broken"),
        ("no boundary", base().body("multipart/mixed", "Hello\n"), "Broken"),
        ("an empty body", base().text(""), "Broken"),
        ("10,000 References", base().field("References", &many(10_000)), "Broken"),
    ] {
        let before = desk.inbox("alice@team.example").await.len();
        let ticket = desk.post(&letter).await;
        let entry = desk.newest(&ticket);
        assert_eq!(entry.state, State::Relayed, "{what}");
        assert_eq!(desk.ticket(&ticket).subject, subject, "{what}");
        assert!(entry.message_id.is_some() && entry.minted_id.is_some(), "{what}");
        let copies = desk.inbox("alice@team.example").await;
        assert_eq!(copies.len(), before + 1, "{what}");
        let copy = copies.last().unwrap();
        let header = copy.split("\r\n\r\n").next().unwrap();
        assert!(header.split("\r\n").all(|line| line.len() <= 998 && line.is_ascii()), "{what}: {header}");
        assert!(!header.contains("\r\nBcc"), "{what}");
        assert!(field(copy, "References").is_none_or(|ids| ids.len() <= 1_500), "{what}");
        // And it can be answered.
        assert_eq!(desk.post(&reply(ALICE, copy)).await, ticket, "{what}");
        let carol = desk.last("carol@example.com").await;
        assert!(field(&carol, "References").is_none_or(|ids| ids.len() <= 1_500), "{what}");
    }
    // References in a circle: two mails that each answer the other.
    let one = desk.post(&base().id("<c1@example.com>").field("References", "<c2@example.com>")).await;
    let two = desk.post(&base().id("<c2@example.com>").field("References", "<c1@example.com>")).await;
    assert_eq!(one, two);
    let third = base().id("<c3@example.com>").field("References", "<c3@example.com> <c1@example.com> <c2@example.com>");
    assert_eq!(desk.post(&third).await, one);
    assert_eq!(desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await, one);
    let copy = desk.last("carol@example.com").await;
    let ids = field(&copy, "References").unwrap();
    let mut known: Vec<_> = ids.split_whitespace().collect();
    known.sort_unstable();
    let all = known.len();
    known.dedup();
    assert_eq!(known.len(), all, "each id once: {ids}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_mail_again_is_one_entry_whatever_he_is_called() {
    let desk = desk().await;
    let alias = member::Changes { add_aliases: vec![address("alice@home.example")], ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", alias.clone())).await;
    desk.trust("home.example");
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org")).await;
    let answer = reply("Alice <alice@home.example>", &desk.last("alice@team.example").await);
    for _ in 0..2 {
        assert_eq!(desk.post(&answer).await, ticket);
    }
    assert_eq!(desk.messages(&ticket).len(), 2);
    assert_eq!(desk.inbox("carol@example.com").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_a_member_forwards_is_a_ticket_for_its_writer() {
    let desk = desk().await;
    let block = "See below.\n\n---------- Forwarded message ---------\nFrom: Dave Low <dave@example.com>\n\
                 Date: Mon, 23 Nov 2026 at 09:00\nSubject: Printer\nTo: <alice@team.example>\n\nIt burns.\n";
    let forward = letter(ALICE).to("acme@desk.example.org").subject("Fwd: Printer").text(block);
    let ticket = desk.post(&forward).await;
    assert_eq!(desk.post(&forward).await, ticket, "the same again");
    let entry = desk.newest(&ticket);
    assert_eq!(desk.messages(&ticket).len(), 1);
    assert_eq!(desk.ticket(&ticket).subject, "Printer");
    assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com");
    assert_eq!((entry.text.trim(), desk.readers(&entry)), ("It burns.", vec!["bob@team.example".to_owned()]));
    desk.post(&reply("Bob <bob@team.example>", &desk.last("bob@team.example").await)).await;
    assert_eq!(desk.inbox("dave@example.com").await.len(), 1, "the answer goes to him");
    for (what, letter, requester) in [
        ("another subject", forward.clone().id("<1@team.example>").subject("Printer"), "alice@team.example"),
        ("an unaligned one", forward.clone().id("<2@team.example>").by("x@evil.example"), "alice@team.example"),
        (
            "a colleague's mail",
            forward.clone().id("<3@team.example>").text(&block.replace("dave@example.com", "bob@team.example")),
            "alice@team.example",
        ),
        (
            "a customer who forwards",
            forward.id("<4@example.com>").field("From", CAROL).by("carol@example.com"),
            "carol@example.com",
        ),
    ] {
        let ticket = desk.post(&letter).await;
        assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), requester, "{what}");
    }
}

/// What was sent after the backup was made names tickets, people and copies that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_backup_does_not_know_is_the_bare_address() {
    let desk = desk().await;
    let known = desk.post(&letter(CAROL).to("acme@desk.example.org")).await;
    let keys = &desk.inside().1.keys;
    let (lost, alice) = (1 << 30, desk.read(|view| find::member(view, "alice")).id);
    let mut agent = Agent::log_in(&desk, "alice").await;
    for (what, ticket, person) in [
        ("a ticket", TicketId(lost), Person::Member(alice)),
        ("a contact", desk.ticket(&known).id, Person::Contact(ContactId(lost))),
        ("a member", desk.ticket(&known).id, Person::Member(MemberId(lost))),
    ] {
        let token = ReplyToken { ticket, person, scope: Scope::Public }.encode(keys, keys.active()).unwrap();
        let to = format!("acme+t{token}@desk.example.org");
        let ticket = desk.post(&letter(CAROL).to(&to).subject(what)).await;
        assert_ne!(ticket, known, "{what}");
        assert_eq!(desk.newest(&ticket).state, State::Relayed, "{what}");
        assert_ne!(agent.post(&letter(ALICE).to(&to).subject(what)).await, known, "{what}, by a member");
    }
    let bounce = BounceToken(CopyId(lost)).encode(keys, keys.active()).unwrap();
    let said =
        desk.offer(&letter("postmaster@example.com").by("").to(&format!("bounces+{bounce}@desk.example.org"))).await;
    assert!(said.starts_with("550 5.7.1"), "{said}");
}

/// A header without a body, and nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_says_nothing_is_taken_as_far_as_it_has_a_writer() {
    let desk = desk().await;
    let reply = desk.send("carol@example.com", &["acme@desk.example.org"], "From: carol@example.com").await;
    assert!(reply.starts_with("250 2.0.0 acme-1"), "{reply}");
    let reply = desk.send("carol@example.com", &["acme@desk.example.org"], "").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    let copy = desk.last("alice@team.example").await;
    assert_eq!(field(&copy, "From").unwrap(), "carol via Acme Support <acme@desk.example.org>");
}
