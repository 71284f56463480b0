//! Programs that answer the desk's mail, and bear no mark of it: whatever they answer, and wherever
//! to, it ends by itself within a few messages, and people are heard as before.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use guichet::actions::property;
use guichet::desk::entry::{Reason, State, What};
use guichet::store::tables::ENTRIES;
use guichet::store::{Order, Read};
use jiff::SignedDuration;

use crate::kit::desk::{TestDesk, address_in, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};
use crate::kit::peers::program;
use crate::kit::sink::Received;

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const ACME: &str = "acme@desk.example.org";
/// The most mails, both ways, between the desk and one of its correspondents: what a person set off,
/// and five more.
const MOST: usize = 6;

/// Somebody whose mailbox answers whatever it gets: his address, and the answer to his `n`th mail.
type Responder<'a> = (&'a str, &'a dyn Fn(&str, usize) -> Letter);

/// Lets them answer until nobody has anything to answer any more; how many mails went to and from
/// each, but for what came before.
async fn answered(desk: &TestDesk, responders: &[Responder<'_>]) -> Vec<usize> {
    answered_after(desk, 0, responders).await
}

/// The same, each so many minutes after what he answers.
async fn answered_after(desk: &TestDesk, minutes: i64, responders: &[Responder<'_>]) -> Vec<usize> {
    let mut counts = vec![0; responders.len()];
    let mut answers = vec![0; responders.len()];
    let mut seen = 0;
    loop {
        let received = desk.settled().await;
        let Some(mail) = received.get(seen) else { return counts };
        seen += 1;
        let Some(at) = responders.iter().position(|(address, _)| is_for(mail, address)) else { continue };
        answers[at] += 1;
        counts[at] += 2;
        assert!(counts[at] < 40, "{} and the desk would go on for ever: {}", responders[at].0, history(desk));
        let copy = String::from_utf8_lossy(&mail.message).into_owned();
        age(desk, minutes).await;
        let said = desk.offer(&responders[at].1(&copy, answers[at])).await;
        assert!(said.starts_with("250"), "{said}");
    }
}

/// Makes everything that was said on a desk so much older.
async fn age(desk: &TestDesk, minutes: i64) {
    desk.begin_to_act(|tx, _| {
        for (key, mut entry) in tx.range(&ENTRIES, .., Order::Up, 1_000)? {
            entry.at -= SignedDuration::from_mins(minutes);
            tx.put(&ENTRIES, &key, &entry)?;
        }
        Ok(())
    })
    .await;
}

/// Who said what so far, for a test that fails.
fn history(desk: &TestDesk) -> String {
    let told = (1..=10).flat_map(|number| {
        let ticket = format!("acme-{number}");
        let found = desk.find(&ticket).map(|_| desk.messages(&ticket)).unwrap_or_default().into_iter();
        found.map(move |entry| {
            let writer = entry.author.mailbox().map(|mailbox| mailbox.address.to_string()).unwrap_or_default();
            format!("\n{ticket} {writer} {:?} {:?} turn {}: {}", entry.state, entry.reason, entry.turn, entry.subject)
        })
    });
    told.collect()
}

fn is_for(mail: &Received, address: &str) -> bool {
    mail.to[0].starts_with(&format!("RCPT TO:<{address}>"))
}

/// How many entries of all tickets were kept as turns of an exchange, and how many letters said so.
fn quiet(desk: &TestDesk, tickets: usize) -> (usize, usize) {
    let (mut kept, mut told) = (0, 0);
    for number in 1..=tickets {
        let entries = desk.entries(&format!("acme-{number}"));
        let turns = entries.iter().filter(|entry| entry.reason == Some(Reason::Exchange));
        kept += turns.inspect(|entry| assert_eq!(entry.state, State::Kept)).count();
        told += entries.iter().filter(|e| e.event.as_ref().is_some_and(|event| event.what == What::Quiet)).count();
    }
    (kept, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_desks_that_are_each_others_members_stop() {
    let [here, there] = pair().await;
    here.post(&letter(CAROL).to(ACME).subject("Help").text("My printer is on fire.\n")).await;
    let exchanged = between(&here, &there, 0, |_, _, message| message).await;
    assert_eq!(exchanged, 1, "the other desk has it, and does not send back to whom it came from");
    assert_eq!(there.messages("bulle-1").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_desks_stop_also_where_one_strips_every_mark_and_writes_from_a_new_address_each_time() {
    let [here, there] = pair().await;
    here.post(&letter(CAROL).to(ACME).subject("Help").text("My printer is on fire.\n")).await;
    let strip = |_, number, message: String| strip(&format!("r{number}@proxy.example"), number, &message, &GONE);
    let exchanged = between(&here, &there, 0, strip).await;
    assert!(exchanged <= 5, "{exchanged} mails");
    // Nothing is lost: what ended it is on a ticket, and the person on the team was told, once.
    let told = here.inbox("alice@team.example").await;
    let told: Vec<_> = told.iter().filter(|mail| field(mail, "Subject").unwrap().starts_with("Gone quiet")).collect();
    assert_eq!((quiet(&here, 2), told.len()), ((1, 1), 1));
    // Carol goes on as if nothing had been.
    here.post(&letter(CAROL).to(ACME).subject("Fire").text("It burns still.\n")).await;
    assert_eq!(here.newest("acme-3").state, State::Relayed);
}

/// Whichever of them strips what, and writes as whom, and however long it takes.
#[tokio::test(flavor = "multi_thread")]
async fn two_desks_stop_whatever_is_stripped_and_rewritten_between_them_and_however_slow_they_are() {
    let few = &GONE[..5];
    for (what, there_alone, anew, minutes, gone) in [
        ("every mark, from one address", false, false, 0, &GONE[..]),
        ("every mark, one way", true, true, 0, &GONE),
        ("every mark, one way, from one address", true, false, 0, &GONE),
        ("what the loop is told by", false, true, 0, few),
        ("what the loop is told by, from one address", false, false, 0, few),
        ("every mark, slowly", false, true, 25, &GONE),
        ("every mark, from one address, slowly", false, false, 25, &GONE),
    ] {
        let [here, there] = pair().await;
        here.post(&letter(CAROL).to(ACME).subject("Help").text("My printer is on fire.\n")).await;
        let change = |from_there: bool, number, message: String| {
            let from = format!("r{}@proxy.example", if anew { number } else { 0 });
            if there_alone && !from_there { message } else { strip(&from, number, &message, gone) }
        };
        let exchanged = between(&here, &there, minutes, change).await;
        assert!(exchanged <= 5, "{what}: {exchanged} mails{}", history(&here));
        assert!(exchanged > 1 || there_alone, "{what}: they do talk");
    }
}

/// What tells where a mail comes from: first what the loop is told by.
const GONE: [&str; 10] = [
    "auto-submitted",
    "from",
    "guichet-loop",
    "in-reply-to",
    "references",
    "dkim-signature",
    "message-id",
    "thread-index",
    "thread-topic",
    "x-auto-response-suppress",
];

/// A mail without some fields, from another address.
fn strip(from: &str, number: usize, message: &str, gone: &[&str]) -> String {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let header = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let stays = |line: &&str| !gone.contains(&line.split(':').next().unwrap().to_ascii_lowercase().as_str());
    let header = header.split("\r\n").filter(stays).collect::<Vec<_>>().join("\r\n");
    let id =
        if gone.contains(&"message-id") { format!("Message-ID: <r{number}@proxy.example>\r\n") } else { String::new() };
    format!("From: {from}\r\n{id}{header}\r\n\r\n{body}")
}

/// Two desks, each of which has the other for a member.
async fn pair() -> [TestDesk; 2] {
    let here = TestDesk::start().await;
    here.members(&["alice"]).await;
    here.list_member("acme", "bulle@two.example").await;
    let there = TestDesk::of("two.example").await;
    there.list_member("bulle", ACME).await;
    for desk in [&here, &there] {
        for domain in ["desk.example.org", "two.example", "proxy.example"] {
            desk.trust(domain);
        }
    }
    [here, there]
}

/// Carries mail between two desks, changed by what stands between them and after so many minutes, until
/// there is none; how many. `change` is told whether it comes from there, and its number.
async fn between(
    here: &TestDesk,
    there: &TestDesk,
    minutes: i64,
    change: impl Fn(bool, usize, String) -> String,
) -> usize {
    let desks = [(here, there, "bulle@two.example"), (there, here, ACME)];
    let mut seen = [0, 0];
    let mut carried = 0;
    loop {
        let before = carried;
        for (at, (from, to, house)) in desks.iter().enumerate() {
            let received = from.settled().await;
            for mail in &received[seen[at]..] {
                let recipient = mail.to[0].split(['<', '>']).nth(1).unwrap();
                let domain = house.split_once('@').unwrap().1;
                let recipient = match recipient.split_once('@').unwrap().1 {
                    // What stands between them brings its own answers to the other.
                    "proxy.example" => house,
                    known if known == domain => recipient,
                    _ => continue,
                };
                carried += 1;
                assert!(carried < 40, "they would go on for ever");
                let message = change(at == 1, carried, String::from_utf8_lossy(&mail.message).into_owned());
                age(here, minutes).await;
                age(there, minutes).await;
                // Rewritten in the envelope as well, so that its domain vouches for it.
                let sender = address_in(&message, "From");
                let said = to.send(&sender, &[recipient], &message).await;
                assert!(said.starts_with("250"), "{said}");
            }
            seen[at] = received.len();
        }
        if carried == before {
            return carried;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_desks_that_acknowledge_each_other_stop_also_where_every_mark_is_stripped() {
    for stripped in [false, true] {
        let here = TestDesk::start().await;
        here.members(&["alice"]).await;
        let there = TestDesk::of("two.example").await;
        let on = || property::Changes { acknowledge: Some(true), ..property::Changes::default() };
        here.edit("acme", on()).await;
        there.edit("bulle", on()).await;
        for desk in [&here, &there] {
            for domain in ["desk.example.org", "two.example", "proxy.example"] {
                desk.trust(domain);
            }
        }
        // One writes to the other, by whatever accident.
        let first = letter("bulle@two.example").to(ACME).subject("Help").text("My printer is on fire.\n");
        here.post(&first).await;
        let exchanged = between(&here, &there, 0, |_, number, message| {
            if stripped { strip(&format!("r{number}@proxy.example"), number, &message, &GONE) } else { message }
        });
        let exchanged = exchanged.await;
        assert!(exchanged <= 5, "{exchanged} mails");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_behind_a_list_that_acknowledges_from_anywhere_in_its_domain_stops() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.list_member("acme", "help@other.example").await;
    desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    let acknowledge = |_: &str, n: usize| {
        letter(&format!("r{n}@other.example"))
            .to(ACME)
            .subject(&format!("[#{n}] We have your request"))
            .text(&format!("Thank you. Your request {n} has reached us, and somebody will answer it.\n"))
    };
    let counts = answered(&desk, &[("help@other.example", &acknowledge)]).await;
    // Three copies, and three that answer them.
    assert_eq!(counts, [MOST]);
    assert_eq!(quiet(&desk, 3), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_mailbox_and_a_customers_that_answer_everything_stop() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    let away = |who: &'static str| {
        move |copy: &str, _: usize| {
            reply_by_address(who, copy).text("I am not there this week, and will answer you when I am back.\n")
        }
    };
    let (alice, carol) = (away(ALICE), away(CAROL));
    let counts = answered(&desk, &[("alice@team.example", &alice), ("carol@example.com", &carol)]).await;
    assert!(counts.iter().all(|count| *count <= MOST), "{counts:?}");
    assert_eq!(quiet(&desk, 1), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_contacts_that_answer_each_other_stop_whatever_they_say() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.post(&letter(CAROL).to(ACME).cc("dave@example.com").subject("Help")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let words = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let says = |who: &'static str| {
        move |copy: &str, n: usize| reply_by_address(who, copy).text(&format!("Message {} of the day.\n", words[n]))
    };
    let (carol, dave) = (says(CAROL), says("Dave <dave@example.com>"));
    let counts = answered(&desk, &[("carol@example.com", &carol), ("dave@example.com", &dave)]).await;
    assert!(counts.iter().all(|count| *count <= MOST), "{counts:?}");
    assert!(quiet(&desk, 1).0 >= 1);
    // Alice writes: that is a person, and it is heard, and so is what answers her.
    let copies = desk.inbox("alice@team.example").await;
    let copy = copies.iter().rev().find(|mail| field(mail, "Auto-Submitted").is_none()).unwrap();
    desk.post(&reply(ALICE, copy).text("Please stop.\n")).await;
    let copy = desk.last("carol@example.com").await;
    desk.post(&reply(CAROL, &copy).text("Sorry, a person again.\n")).await;
    assert_eq!(desk.newest("acme-1").state, State::Relayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn mailboxes_that_answer_everything_after_a_while_stop() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.post(&letter(CAROL).to(ACME).cc("dave@example.com").subject("Help")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("We look into it.\n")).await;
    let away = |who: &'static str| {
        move |copy: &str, _: usize| {
            reply_by_address(who, copy).text("I am not there this week, and will answer you when I am back.\n")
        }
    };
    let (carol, dave) = (away(CAROL), away("Dave <dave@example.com>"));
    let counts = answered_after(&desk, 25, &[("carol@example.com", &carol), ("dave@example.com", &dave)]).await;
    assert!(counts.iter().all(|count| *count <= MOST), "{counts:?}{}", history(&desk));
    assert!(quiet(&desk, 1).0 >= 1);
}

/// A text that one keeps ready is no machine's, as long as what it answers is said anew.
#[tokio::test(flavor = "multi_thread")]
async fn people_who_say_the_same_again_after_a_while_are_heard() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to(ACME).cc("dave@example.com").subject("Help")).await;
    for number in ["one", "two", "three"] {
        age(&desk, 25).await;
        desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("Please send us a picture of it.\n"))
            .await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed, "{number}");
        for (who, address) in [(CAROL, "carol@example.com"), ("Dave <dave@example.com>", "dave@example.com")] {
            age(&desk, 25).await;
            let text = format!("This is picture number {number}, as you can see.\n");
            desk.post(&reply(who, &desk.last(address).await).text(&text)).await;
            assert_eq!(desk.newest(&ticket).state, State::Relayed, "{number} {who}");
        }
    }
    // Twice the same, since nobody answered.
    for _ in 0..2 {
        age(&desk, 25).await;
        let copy = desk.last("carol@example.com").await;
        desk.post(&reply(CAROL, &copy).text("Is there any news of my printer by now?\n")).await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_away_who_answer_to_the_desks_own_address_stop() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    let away = |who: &'static str| {
        move |copy: &str, _: usize| {
            let subject = format!("Away: {}", field(copy, "Subject").unwrap());
            letter(who)
                .to(&address_in(copy, "From"))
                .subject(&subject)
                .text("I am away until Monday, and it is nice.\n")
        }
    };
    let (alice, bob) = (away(ALICE), away("Bob <bob@team.example>"));
    let counts = answered(&desk, &[("alice@team.example", &alice), ("bob@team.example", &bob)]).await;
    assert!(counts.iter().all(|count| *count <= MOST), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_mailbox_that_answers_in_another_name_reaches_nobody_and_stops() {
    for bare in [false, true] {
        let desk = TestDesk::start().await;
        desk.members(&["alice"]).await;
        desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
        let before = desk.inbox("carol@example.com").await.len();
        let other = move |copy: &str, n: usize| {
            let from = format!("robot{n}@strange.example");
            let to = address_in(copy, if bare { "From" } else { "Reply-To" });
            let quoted = copy.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "\n> ");
            letter(&from).to(&to).subject("Received").text(&format!("We have it.\n\n> {quoted}\n"))
        };
        let counts = answered(&desk, &[("alice@team.example", &other)]).await;
        assert!(counts[0] <= MOST, "{counts:?}");
        assert_eq!(desk.inbox("carol@example.com").await.len(), before);
    }
}

/// What Dovecot's vacation action (RFC 5230) makes of a copy: whom it answers, and its message.
fn vacation(sieve_test: &Path, received: &Received, reader: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let owner = fs::metadata(dir.path()).unwrap();
    // Dovecot delivers to nobody's mailbox as root.
    let (user, group) = match owner.uid() {
        0 => ("nobody".to_owned(), "nogroup".to_owned()),
        uid => (uid.to_string(), owner.gid().to_string()),
    };
    let path = |name: &str| dir.path().join(name);
    fs::write(
        path("dovecot.conf"),
        format!(
            "protocols =\nssl = no\nlog_path = /dev/stderr\nfirst_valid_uid = 0\nmail_uid = {user}\nmail_gid = {group}\n\
             mail_location = maildir:{0}/Mail\nmail_home = {0}\nbase_dir = {0}/run\nstate_dir = {0}/state\n\
             postmaster_address = postmaster@team.example\n",
            dir.path().display()
        ),
    )
    .unwrap();
    let script = format!("require \"vacation\";\nvacation :addresses \"{reader}\" \"I am away until Monday.\";\n");
    fs::write(path("away.sieve"), script).unwrap();
    fs::write(path("mail.eml"), &received.message).unwrap();
    for name in ["dovecot.conf", "away.sieve", "mail.eml"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let sender = received.from.split(['<', '>']).nth(1).unwrap();
    let ran = Command::new(sieve_test)
        .arg("-c")
        .arg(path("dovecot.conf"))
        .args(["-e", "-a", reader, "-r", reader, "-f", sender])
        .arg(path("away.sieve"))
        .arg(path("mail.eml"))
        .env("HOME", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let Some((message, rest)) = said.split_once("\nRECIPIENT: ") else {
        panic!("{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    };
    (rest.lines().next().unwrap().to_owned(), message.replace("\r\n", "\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dovecots_vacation_is_kept_with_its_marks_or_without() {
    let Some(sieve_test) = program("sieve-test") else { return };
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let received = desk.settled().await;
    for reader in ["alice@team.example", "carol@example.com"] {
        let copy = received.iter().rfind(|mail| is_for(mail, reader)).unwrap();
        let (recipient, message) = vacation(&sieve_test, copy, reader);
        assert!(recipient.starts_with("bounces+"), "it answers the envelope's sender (RFC 3834 §4): {recipient}");
        let bare: Vec<_> = message
            .lines()
            .filter(|line| {
                let marks = ["Auto-Submitted:", "Precedence:", "X-Auto-Response-Suppress:", "X-Sieve:", "References:"];
                !marks.iter().any(|mark| line.starts_with(mark))
            })
            .collect();
        for (sender, message) in [("", message.clone()), (reader, bare.join("\n"))] {
            let said = desk.send(sender, &[&recipient], &message).await;
            assert!(said.starts_with(&format!("250 2.0.0 {ticket} ")), "{said}");
            assert_eq!(desk.settled().await.len(), received.len(), "nobody hears of it");
            let entry = desk.newest(&ticket);
            assert_eq!((entry.state, entry.reason), (State::Kept, Some(Reason::AutoReply)));
            assert!(entry.text.contains("I am away"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_write_fast_are_heard() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    let ticket = desk.post(&letter(CAROL).to(ACME).cc("dave@example.com").subject("Help")).await;
    // A customer who forgets, and forgets again.
    for _ in 0..6 {
        let copy = desk.last("alice@team.example").await;
        desk.post(&letter(CAROL).to(ACME).answers(&field(&copy, "Message-ID").unwrap()).text("And the file.\n")).await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed);
    }
    // A member who sends twice what she keeps ready.
    for text in ["There is none.\n", "I see no such thing here.\n"] {
        let copy = desk.last("alice@team.example").await;
        desk.post(&reply(ALICE, &copy).text("Please send us a picture of the label.\n")).await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed, "{text}");
        desk.post(&reply(CAROL, &desk.last("carol@example.com").await).text(text)).await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed, "{text}");
    }
    // A quick talk, with thanks in the same words, and a colleague who has a word in it.
    for _ in 0..3 {
        desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("Try again.\n")).await;
        assert_eq!(desk.newest(&ticket).state, State::Relayed);
        for (who, address) in [(CAROL, "carol@example.com"), ("Dave <dave@example.com>", "dave@example.com")] {
            desk.post(&reply(who, &desk.last(address).await).text("Thank you!\n")).await;
            assert_eq!(desk.newest(&ticket).state, State::Relayed, "{who}");
        }
    }
}
