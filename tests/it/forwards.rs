//! Mail that comes on from a support mailbox is the customer's, whatever it was forwarded by; and
//! what a member hands on becomes the ticket of whom it names, on evidence or by his yes.
//!
//! The shapes stand in `fixtures/forwards/`: facts, an empty line, the mail. `{dkim D}` stands for
//! a signature of the domain D over what is below it, `{broken dkim D}` for one that does not hold,
//! `{arc D RESULTS}` for a set of an ARC chain by D.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use guichet::actions::held;
use guichet::actions::property::Changes;
use guichet::desk::copy::Content;
use guichet::desk::entry::{Reason, State, Verified};
use guichet::trust::Signer;
use jiff::Timestamp;

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{Letter, letter, reply};
use crate::kit::sealer::{Seal, seal};
use crate::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const ACME: &str = "acme@desk.example.org";

/// A desk behind support@acme.com, where the customer's domain lets nobody else send its mail.
async fn desk() -> TestDesk {
    let desk = TestDesk::with("[limits]\nlook_alike = 1000\n").await;
    desk.members(&["alice", "bob"]).await;
    desk.edit("acme", Changes { public: Some(Some(address("support@acme.com"))), ..Changes::default() }).await;
    desk.dns.txt("customer.example", "v=spf1 ip4:192.0.2.1 -all");
    for domain in ["gmail.com", "acme.com", "fwd.example", "evil.example"] {
        desk.trust(domain);
    }
    desk
}

struct Shape {
    name: String,
    facts: HashMap<String, String>,
    mail: String,
}

fn shapes() -> Vec<Shape> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/forwards");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let (facts, mail) = text.split_once("\n\n").unwrap();
        let facts = facts.lines().map(|line| line.split_once(": ").unwrap());
        Shape {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            mail: mail.to_owned(),
        }
    };
    paths.iter().map(read).collect()
}

/// Puts in what signs and seals, from below; `None` where that takes a peer which is left out.
fn complete(mail: &str, signers: &HashMap<&str, Signer>) -> Option<String> {
    let mut done = String::new();
    for line in mail.split_inclusive('\n').rev() {
        let Some(order) = line.trim_end().strip_prefix('{').and_then(|line| line.strip_suffix('}')) else {
            done.insert_str(0, line);
            continue;
        };
        if let Some((domain, results)) = order.strip_prefix("arc ").and_then(|rest| rest.split_once(' ')) {
            done = seal(domain, results, Seal::Honest, &done)?;
            continue;
        }
        let (domain, signed) = match order.strip_prefix("broken dkim ") {
            Some(domain) => (domain, done.replace("fire", "ice")),
            None => (order.strip_prefix("dkim ").unwrap(), done.clone()),
        };
        let field = signers[domain].sign(signed.replace('\n', "\r\n").as_bytes(), Timestamp::now()).unwrap();
        done.insert_str(0, &field.replace("\r\n", "\n"));
    }
    Some(done)
}

/// Sends a mail, and gives the name of its ticket.
async fn post(desk: &TestDesk, name: &str, sender: &str, mail: &str) -> String {
    let answer = desk.send(sender, &[ACME], mail).await;
    desk.settled().await;
    let Some(rest) = answer.strip_prefix("250 2.0.0 ") else { panic!("{name}: {answer}") };
    rest.split(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_of_any_shape_is_the_customers_mail_and_so_is_his_answer() {
    let desk = desk().await;
    let domains =
        ["customer.example", "acme.com", "google.com", "microsoft.com", "messagingengine.com", "evil.example"];
    let signers: HashMap<_, _> = domains.into_iter().map(|domain| (domain, desk.signer(domain))).collect();
    let shapes = shapes();
    assert!(shapes.len() >= 15, "only {}", shapes.len());
    for expectation in ["expect", "trusting"] {
        if expectation == "trusting" {
            let names = ["gmail.com", "outlook.com", "fastmail.com", "fwd.example"];
            let add_forwarders = names.iter().map(|name| name.parse().unwrap()).collect();
            desk.edit("acme", Changes { add_forwarders, ..Changes::default() }).await;
        }
        for shape in &shapes {
            let name = format!("{} ({expectation})", shape.name);
            let (requester, evidence) = shape.facts[expectation].split_once(' ').unwrap();
            let mail = shape.mail.replace("<shape@", &format!("<{}-{expectation}@", shape.name));
            let Some(first) = complete(&mail, &signers) else { continue };
            let ticket = post(&desk, &name, &shape.facts["from"], &first).await;
            let entry = desk.newest(&ticket);
            assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), requester, "{name}");
            if evidence == "kept" {
                assert_eq!((entry.state, desk.readers(&entry).len()), (State::Kept, 0), "{name}");
                continue;
            }
            let verified = if evidence == "aligned" { Verified::Aligned } else { Verified::None };
            assert_eq!((entry.state, entry.verified), (State::Relayed, verified), "{name}: {:?}", entry.verdict);
            let whole = entry.text == "My printer is on fire." && desk.ticket(&ticket).subject == "Printer";
            assert!(whole || requester == "dave@example.com", "{name}: {}", entry.text);
            let (header, _) = mail.split_once("\n\n").unwrap();
            if !header.contains("\nFrom: Carol") {
                continue;
            }
            // A member answers to the customer, and the customer's next mail comes the same way.
            let copy = desk.last("bob@team.example").await;
            desk.post(&reply("Bob <bob@team.example>", &copy).text("Pour water.\n")).await;
            let minted = desk.newest(&ticket).minted_id.unwrap();
            let again = mail
                .replace("Subject: ", &format!("In-Reply-To: {minted}\nSubject: Re: "))
                .replace("-ID: <", "-ID: <re-");
            let again = complete(&again, &signers).unwrap();
            assert_eq!(post(&desk, &name, &shape.facts["from"], &again).await, ticket, "{name}");
            let entry = desk.newest(&ticket);
            let verified = if evidence == "aligned" { Verified::Aligned } else { Verified::MintedId };
            assert_eq!((entry.state, entry.verified), (State::Relayed, verified), "{name}");
        }
    }
}

/// The block that clients write.
const BLOCK: &str = "See below.\n\n---------- Forwarded message ---------\nFrom: Dave Low <dave@example.com>\n\
                     Date: Mon, 23 Nov 2026 at 09:00\nSubject: Printer\nTo: <alice@team.example>\n\nIt burns.\n";

fn forward() -> Letter {
    letter(ALICE).to(ACME).subject("Fwd: Printer").text(BLOCK)
}

fn attached() -> Letter {
    let inner = "From: Dave Low <dave@example.com>\nTo: alice@team.example\nSubject: Printer\n\
                 Date: Mon, 23 Nov 2026 09:00:00 +0000\nMessage-ID: <original@example.com>\n\nIt burns.\n";
    letter(ALICE).to(ACME).subject("Fwd: Printer").body(
        "multipart/mixed; boundary=b",
        &format!("--b\nContent-Type: text/plain\n\nSee below.\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_hands_on_on_evidence_is_a_ticket_for_its_writer() {
    let desk = desk().await;
    for (what, letter) in [
        ("as clients write it", forward()),
        ("attached", attached()),
        ("by a rule's words", forward().subject("TR: Printer").text(&BLOCK.replace("From:", "De :"))),
    ] {
        let ticket = desk.post(&letter).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.verified), (State::Relayed, Verified::None), "{what}");
        assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "dave@example.com", "{what}");
        assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com", "{what}");
        assert_eq!((entry.text.as_str(), desk.ticket(&ticket).subject.as_str()), ("It burns.", "Printer"), "{what}");
        assert_eq!(desk.readers(&entry), ["bob@team.example"], "{what}");
    }
    // Who wrote the original can go on in its thread.
    let next = letter("Dave Low <dave@example.com>").to(ACME).subject("Re: Printer").answers("<original@example.com>");
    assert_eq!(desk.post(&next).await, "acme-2", "the one with the original attached");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_evidence_a_forward_waits_for_a_members_yes() {
    let desk = desk().await;
    let no_date = BLOCK.replace("Date: Mon, 23 Nov 2026 at 09:00\n", "");
    let no_subject = BLOCK.replace("Subject: Printer\n", "");
    let two = BLOCK.replace("<dave@example.com>", "<dave@example.com>, Eve <eve@example.com>");
    let yahoo = "  ----- Forwarded Message ----- From: Dave Low <dave@example.com>To: Alice <alice@team.example>\
                 Sent: Monday, November 23, 2026, 09:00:00 AM GMTSubject: Printer\n It burns.\n";
    let within = format!("Edespäin lähetetty\nLähettäjä: Jane <jane@example.com>\n\n{BLOCK}");
    let bare = attached().message().replace("Message-ID: <original@example.com>\n", "");
    let bare = bare.split_once("\n\n").unwrap().1.to_owned();
    let bare = attached().text(&bare);
    for (what, letter, asked) in [
        ("in her name by somebody else", forward().by("x@evil.example"), false),
        ("attached, in her name by somebody else", attached().by("x@evil.example"), false),
        ("from no day", forward().text(&no_date), true),
        ("about nothing", forward().text(&no_subject), true),
        ("by two", forward().text(&two), true),
        ("as Yahoo writes it, on one line", forward().text(yahoo), true),
        ("within another's that is in no known form", forward().text(&within), true),
        ("attached, from nowhere", bare, true),
    ] {
        let (before, customer) =
            (desk.inbox("alice@team.example").await.len(), desk.inbox("dave@example.com").await.len());
        let ticket = desk.post(&letter).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Forward)), "{what}");
        assert_ne!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com", "{what}");
        // Her domain vouches for her or does not; a wave of forgeries would not tell her.
        let told = desk.inbox("alice@team.example").await.len() > before;
        assert!(asked || !told, "{what}");
        desk.accept(&ticket, entry.id, None).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.verified, entry.reason), (State::Relayed, Verified::Confirmed, None), "{what}");
        assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "dave@example.com", "{what}");
        let requester: Vec<_> = desk.ticket(&ticket).participants.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(requester, ["dave@example.com"], "{what}");
        let copies = desk.copies_of(&entry).into_iter().filter(|copy| copy.content == Content::Entry);
        let readers: Vec<_> = copies.map(|copy| copy.to.to_string()).collect();
        assert_eq!((entry.text.as_str(), readers), ("It burns.", vec!["bob@team.example".to_owned()]), "{what}");
        desk.post(&reply("Bob <bob@team.example>", &desk.last("bob@team.example").await)).await;
        assert_eq!(desk.inbox("dave@example.com").await.len(), customer + 1, "{what}: the answer goes to him");
    }
    let report = guichet::actions::verify::references(&desk.inside().0).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_property_asks_for_a_yes_to_every_forward() {
    let desk = desk().await;
    desk.edit("acme", Changes { strict: Some(true), ..Changes::default() }).await;
    let ticket = desk.post(&forward()).await;
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Forward)));
    let notice = desk.last("alice@team.example").await.replace("=\r\n", "");
    assert!(notice.contains("becomes a ticket of") && notice.contains("    dave@example.com"), "{notice}");
    assert!(desk.inbox("bob@team.example").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_by_mail_makes_a_held_forward_the_ticket_of_whom_it_names() {
    let desk = desk().await;
    desk.edit("acme", Changes { strict: Some(true), ..Changes::default() }).await;
    let ticket = desk.post(&forward()).await;
    let notice = desk.last("alice@team.example").await;
    assert!(field(&notice, "Reply-To").unwrap().starts_with("confirm+"), "{notice}");
    // Her client quotes the letter, and the forward in it.
    let quoted = notice.split_once("\r\n\r\n").unwrap().1.replace("=\r\n", "").replace("\r\n", "\n> ");
    let text = format!("yes\n\nOn Mon, 23 Nov 2026, Acme Support wrote:\n> {quoted}\n");
    assert_eq!(desk.post(&reply(ALICE, &notice).text(&text)).await, ticket);
    let entry = &desk.messages(&ticket)[0];
    assert_eq!((entry.state, entry.verified, entry.text.as_str()), (State::Relayed, Verified::Confirmed, "It burns."));
    assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com");
    assert!(desk.last("bob@team.example").await.contains("It burns."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_above_a_forward_leaves_it_in_its_members_hands() {
    for (what, commands, strict) in
        [("proven", "#assign zoe", false), ("asked about", "#assign zoe", true), ("no way", "#merge acme-1", true)]
    {
        let desk = desk().await;
        let customers = desk.post(&letter("carol@example.com").to(ACME).subject("Other")).await;
        desk.edit("acme", Changes { strict: Some(strict), ..Changes::default() }).await;
        let ticket = desk.post(&forward().text(&format!("{commands}\n\n{BLOCK}"))).await;
        if strict {
            desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("yes\n")).await;
        }
        let held = desk.messages(&ticket).remove(0);
        assert_eq!((held.state, held.reason), (State::Held, Some(Reason::Command)), "{what}");
        assert!(desk.last("alice@team.example").await.contains(commands), "{what}: she is told what was wrong");
        let accept = async || desk.act(|tx, act| Ok(held::accept(tx, act, &ticket, held.id, None).is_ok())).await;
        assert!(!accept().await, "{what}: it is wrong still");
        if commands.contains("zoe") {
            desk.members(&["zoe"]).await;
            assert!(accept().await, "{what}");
            let entry = desk.messages(&ticket).remove(0);
            assert_eq!((entry.state, entry.text.as_str()), (State::Relayed, "It burns."), "{what}");
            assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "dave@example.com", "{what}");
            assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com", "{what}");
            assert!(desk.last("zoe@team.example").await.contains("It burns."), "{what}");
        }
        assert!(desk.inbox("dave@example.com").await.is_empty(), "{what}: nobody writes to him yet");
        assert_eq!(desk.ticket(&customers).requester().unwrap().address.as_str(), "carol@example.com", "{what}");
    }
}

/// A login is all the evidence that there can be of who hands it on.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_hands_on_while_logged_in_needs_no_yes() {
    let desk = desk().await;
    desk.edit("acme", Changes { strict: Some(true), ..Changes::default() }).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    for letter in [forward(), attached(), forward().text(&BLOCK.replace("Date: Mon, 23 Nov 2026 at 09:00\n", ""))] {
        let ticket = alice.post(&letter).await;
        assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "dave@example.com");
        assert_eq!((desk.newest(&ticket).state, desk.newest(&ticket).text.as_str()), (State::Relayed, "It burns."));
    }
}

/// Nobody becomes a customer by the word of a mail who is of the team, or is the desk itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_forward_of_the_teams_own_mail_is_its_members() {
    let desk = desk().await;
    for name in ["bob@team.example", "acme@desk.example.org", "support@acme.com"] {
        let ticket = desk.post(&forward().text(&BLOCK.replace("dave@example.com", name))).await;
        assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "alice@team.example", "{name}");
        assert_eq!(desk.newest(&ticket).state, State::Relayed, "{name}");
    }
}
