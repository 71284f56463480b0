//! Held mail is workable by mail: the member who was asked answers yes or no, and nobody and nothing
//! else decides.

use guichet::actions::{Act, Actor, find, held, member, property, ticket, timers, verify};
use guichet::desk::copy::{Content, Scope};
use guichet::desk::entry::{Door, Entry, Event, Kind, Reason, State, Verified, What};
use guichet::desk::id::EntryId;
use guichet::desk::letter::{Answer, Letter as Told};
use guichet::desk::member::Role;
use guichet::desk::ticket::Status;
use jiff::{SignedDuration, Timestamp};

use crate::kit::desk::{TestDesk, address, address_in, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};
use crate::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const NOBODY: &str = "x@evil.example";

async fn desk() -> TestDesk {
    let desk = TestDesk::with("[limits]\nlook_alike = 1000\n").await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    desk
}

/// A reply of Bob's that crossed Alice's, and the letter that asks him about it.
struct Asked {
    ticket: String,
    entry: EntryId,
    notice: String,
}

async fn asked(desk: &TestDesk) -> Asked {
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    let (alice, bob) = (desk.last("alice@team.example").await, desk.last("bob@team.example").await);
    desk.post(&reply(ALICE, &alice).text("It is paid back.\n")).await;
    desk.post(&reply(BOB, &bob).text("We never pay back.\n")).await;
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Crossed)));
    Asked { ticket, entry: entry.id, notice: desk.last("bob@team.example").await }
}

impl Asked {
    fn entry(&self, desk: &TestDesk) -> Entry {
        desk.read(|view| find::entry(view, &find::ticket(view, &self.ticket)?, self.entry))
    }

    fn events(&self, desk: &TestDesk) -> Vec<Event> {
        desk.entries(&self.ticket).into_iter().filter_map(|entry| entry.event).collect()
    }
}

/// What the desk told of an entry in letters of its own, oldest first.
fn letters(desk: &TestDesk, entry: &Entry) -> Vec<Told> {
    let letter = |content: Content| if let Content::Letter(letter) = content { Some(letter) } else { None };
    desk.copies_of(entry).into_iter().filter_map(|copy| letter(copy.content)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_word_of_an_answer_decides_and_nothing_else() {
    let desk = desk().await;
    let quoted = "On Mon, 23 Nov 2026, Acme Support wrote:\n> Not sent yet.\n> Reply with “yes” to send it, or with “no” to discard it.\n>\n";
    let outlook = "\n-----Original Message-----\nFrom: Acme Support <acme@desk.example.org>\nSent: Monday\nTo: Bob\nSubject: Not sent yet: Help\n\nyes\n";
    let plain = "text/plain; charset=utf-8";
    let html = "text/html; charset=utf-8";
    for (content_type, body, state) in [
        (plain, "yes\n".to_owned(), State::Relayed),
        (plain, "Yes, please.\n\n-- \nBob\n".to_owned(), State::Relayed),
        (plain, "YES!\n".to_owned(), State::Relayed),
        (plain, "\u{a0}\n\u{a0}Oui\u{a0}!\n".to_owned(), State::Relayed),
        (plain, format!("yes\n\n{quoted}"), State::Relayed),
        (plain, format!("{quoted}\nyes\n\n-- \nBob\n"), State::Relayed),
        (plain, format!("yes\n{outlook}"), State::Relayed),
        (
            html,
            "<div>Oui.</div><br><div class=\"gmail_quote\"><blockquote>no</blockquote></div>".to_owned(),
            State::Relayed,
        ),
        (html, "<p class=MsoNormal>&nbsp;</p><p><b>Yes</b></p>".to_owned(), State::Relayed),
        (plain, "no\n".to_owned(), State::Rejected),
        (plain, "Non merci\n".to_owned(), State::Rejected),
        (plain, "No.\n\nyes\n".to_owned(), State::Rejected),
        (plain, "ok\n".to_owned(), State::Held),
        (plain, "Yes?\n".to_owned(), State::Held),
        (plain, "yes/no\n".to_owned(), State::Held),
        (plain, "Yesterday.\n".to_owned(), State::Held),
        (plain, "Not sure, yes\n".to_owned(), State::Held),
        (plain, "always\n".to_owned(), State::Held),
        (plain, "\n".to_owned(), State::Held),
        (plain, quoted.to_owned(), State::Held),
        (plain, "> yes\n".to_owned(), State::Held),
        (plain, "-- \nyes\n".to_owned(), State::Held),
        (plain, outlook.to_owned(), State::Held),
        (plain, "Sent from my iPhone\n\n> yes\n".to_owned(), State::Held),
        (html, "<div class=\"gmail_signature\">Yes Ltd</div>".to_owned(), State::Held),
        (html, "<blockquote type=\"cite\">yes</blockquote>".to_owned(), State::Held),
    ] {
        let asked = asked(&desk).await;
        let before = desk.inbox("carol@example.com").await.len();
        let answer = reply(BOB, &asked.notice).body(content_type, &body).field("Content-Transfer-Encoding", "8bit");
        assert_eq!(desk.post(&answer).await, asked.ticket, "{body}");
        let entry = asked.entry(&desk);
        assert_eq!(entry.state, state, "{body}");
        let heard = desk.inbox("carol@example.com").await.len() - before;
        assert_eq!(heard, usize::from(state == State::Relayed), "{body}");
        let answer = desk.newest(&asked.ticket);
        assert_eq!((answer.kind, answer.state), (Kind::Note, State::Kept), "{body}: the answer is there to be seen");
        assert!(answer.raw.is_some() && answer.reason == Some(Reason::Decision), "{body}");
        assert!(desk.readers(&answer).is_empty(), "{body}: and goes to nobody");
        assert_eq!(
            letters(&desk, &entry).len(),
            1 + usize::from(state == State::Held),
            "{body}: what to write is told"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_is_the_members_and_says_how() {
    let desk = desk().await;
    let asked = asked(&desk).await;
    assert!(field(&asked.notice, "Reply-To").unwrap().starts_with("confirm+"), "{}", asked.notice);
    // From is not asked: it may be his telephone.
    desk.post(&reply("bob@phone.example", &asked.notice).by(NOBODY).text("yes\n")).await;
    let entry = asked.entry(&desk);
    assert_eq!((entry.state, entry.verified, entry.reason), (State::Relayed, Verified::Confirmed, None));
    assert_eq!(entry.author.mailbox().unwrap().address.as_str(), "bob@team.example");
    assert_eq!(desk.ticket(&asked.ticket).status, Status::Pending);
    let carol = desk.last("carol@example.com").await;
    assert!(
        carol.contains("We never pay back.") && field(&carol, "From").unwrap().starts_with("Bob via Acme"),
        "{carol}"
    );
    let event = desk
        .entries(&asked.ticket)
        .into_iter()
        .find(|entry| entry.event.as_ref().is_some_and(|event| event.what == What::Accepted));
    let event = event.unwrap();
    assert_eq!((event.door, event.author.mailbox().unwrap().address.as_str()), (Door::Smtp, "bob@team.example"));
    let answer = desk.messages(&asked.ticket).pop().unwrap();
    assert_eq!(answer.author.mailbox().unwrap().address.as_str(), "bob@phone.example", "who answered, as he says");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_what_is_handed_on_release_nothing_and_are_not_answered() {
    type Make = fn(Letter) -> Letter;
    let desk = desk().await;
    let report = "multipart/report; report-type=delivery-status; boundary=b";
    let rows: [(&str, Make, Reason); 10] = [
        ("a vacation notice", |answer| answer.field("Auto-Submitted", "auto-replied"), Reason::AutoReply),
        (
            "one of Exchange",
            |answer| answer.by("").field("Auto-Submitted", "auto-generated").field("X-Auto-Response-Suppress", "All"),
            Reason::AutoReply,
        ),
        ("one from <> without a mark", |answer| answer.by(""), Reason::Automatic),
        ("an old autoresponder", |answer| answer.field("X-Autoreply", "yes"), Reason::AutoReply),
        ("Precedence", |answer| answer.field("Precedence", "auto_reply"), Reason::AutoReply),
        ("a talking machine", |answer| answer.field("Auto-Submitted", "auto-generated"), Reason::Automatic),
        ("a list", |answer| answer.field("List-Id", "<x.example>"), Reason::Automatic),
        (
            "a receipt",
            |answer| {
                answer.body(
                "multipart/report; report-type=disposition-notification; boundary=b",
                "--b\n\nyes\n--b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; bob@team.example\nDisposition: manual-action/MDN-sent-manually; displayed\n--b--\n",
            )
            },
            Reason::Receipt,
        ),
        ("a forward", |answer| answer.subject("Fwd: Not sent yet: Help"), Reason::Decision),
        ("a forward in French", |answer| answer.subject("TR: Not sent yet: Help"), Reason::Decision),
    ];
    let bounce = "--b\n\nyes\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.team.example\n\nFinal-Recipient: rfc822; bob@team.example\nAction: failed\nStatus: 5.1.1\n--b--\n";
    for (what, make, reason) in rows {
        let asked = asked(&desk).await;
        let before = desk.settled().await.len();
        desk.post(&make(reply(BOB, &asked.notice).text("yes\n"))).await;
        assert_eq!(asked.entry(&desk).state, State::Held, "{what}");
        let kept = desk.newest(&asked.ticket);
        assert_eq!((kept.state, kept.reason), (State::Kept, Some(reason)), "{what}");
        assert_eq!(desk.settled().await.len(), before, "{what}: nobody is sent anything");
        desk.post(&reply(BOB, &asked.notice).text("yes\n")).await;
        assert_eq!(asked.entry(&desk).state, State::Relayed, "{what}: the person can still answer");
    }
    let asked = asked(&desk).await;
    let before = desk.settled().await.len();
    desk.post(&reply("postmaster@team.example", &asked.notice).body(report, bounce)).await;
    assert_eq!((asked.entry(&desk).state, desk.settled().await.len()), (State::Held, before), "a delivery report");
    assert_eq!(desk.newest(&asked.ticket).reason, Some(Reason::Bounce));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacation_notice_that_does_not_say_that_it_is_one_decides_nothing() {
    let desk = desk().await;
    for (subject, text) in [
        ("Automatic reply: Not sent yet: Help", "Yes, we are open again on Monday.\n"),
        ("Out of office: Not sent yet: Help", "No\n"),
        ("Réponse automatique : Not sent yet: Help", "Oui\n"),
        ("Re: Not sent yet: Help", "Yes, we have your mail and somebody of our team will answer it within two days.\n"),
        ("Re: Not sent yet: Help", "No longer at Acme. From Monday on please write to my colleague\nJane instead.\n"),
    ] {
        let asked = asked(&desk).await;
        desk.post(&reply(BOB, &asked.notice).subject(subject).text(text)).await;
        assert_eq!(asked.entry(&desk).state, State::Held, "{subject}: {text}");
        assert_eq!(desk.newest(&asked.ticket).reason, Some(Reason::Decision), "{subject}: {text}");
        desk.post(&reply(BOB, &asked.notice).text("yes\n")).await;
        assert_eq!(asked.entry(&desk).state, State::Relayed, "{subject}: {text}: the person can still answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_to_what_a_colleague_answered_meanwhile_is_asked_again_with_that() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    let (alice, bob) = (desk.last("alice@team.example").await, desk.last("bob@team.example").await);
    let hold = async |text: &str| {
        desk.post(&reply("bob@phone.example", &bob).by(NOBODY).text(text)).await;
        Asked { ticket: ticket.clone(), entry: desk.newest(&ticket).id, notice: String::new() }
    };
    let heard = async || desk.inbox("carol@example.com").await.len();
    let held = hold("We never pay back.\n").await;
    let question = desk.last("bob@team.example").await;
    let before = heard().await;
    desk.post(&reply(ALICE, &alice).text("It is paid back.\n")).await;
    desk.post(&reply(BOB, &question).text("yes\n")).await;
    let entry = held.entry(&desk);
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Crossed)));
    assert_eq!((entry.verified, entry.author.is_member()), (Verified::Confirmed, true), "that it is his is settled");
    let again = desk.last("bob@team.example").await;
    assert!(again.contains("It is paid back.") && again.contains("We never pay back."), "{again}");

    // And once more, with what he has not seen yet; what he has seen holds nothing back.
    desk.write(&ticket, Some("alice"), Scope::Public, "In two days.\n").await;
    desk.post(&reply(BOB, &again).text("yes\n")).await;
    assert_eq!(held.entry(&desk).state, State::Held);
    let third = desk.last("bob@team.example").await;
    assert!(third.contains("In two days."), "{third}");
    assert_eq!(heard().await, before + 2, "of Alice's alone");
    let (note, waits) = (hold("#note\n\nShe is a friend.\n").await, hold("Never ever.\n").await);
    desk.post(&reply(BOB, &third).text("yes\n")).await;
    assert_eq!((held.entry(&desk).state, heard().await), (State::Relayed, before + 3));

    // A note crosses nothing, and who accepts at the desk has the ticket before him.
    let question = desk.last("bob@team.example").await;
    assert!(question.contains("She is a friend."), "{question}");
    desk.write(&ticket, Some("alice"), Scope::Public, "In one day.\n").await;
    desk.post(&reply(BOB, &question).text("yes\n")).await;
    assert_eq!((note.entry(&desk).kind, note.entry(&desk).state), (Kind::Note, State::Relayed));
    desk.accept(&ticket, waits.entry, None).await;
    assert_eq!(waits.entry(&desk).state, State::Relayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_decides_about_one_entry_once_and_only_in_the_envelope() {
    let desk = desk().await;
    let (one, other) = (asked(&desk).await, asked(&desk).await);
    let confirm = address_in(&one.notice, "Reply-To");

    // Another's name in the header, or a damaged one in the envelope, decides nothing.
    let in_header =
        letter(BOB).to(&confirm).subject("Re: Not sent yet: Help").text("yes\n").rcpt(&["acme@desk.example.org"]);
    let ticket = desk.post(&in_header).await;
    assert_ne!(ticket, one.ticket);
    let (local, domain) = confirm.split_once('@').unwrap();
    let damaged = format!("{}{}@{domain}", &local[..local.len() - 2], if local.ends_with("aa") { "ee" } else { "aa" });
    let said = desk.offer(&letter(BOB).to(&damaged).text("yes\n")).await;
    assert!(said.starts_with("550 5.1.1"), "{said}");
    // Nor does the token under another's key: as a reply address of the property.
    let said = desk.offer(&letter(BOB).to(&confirm.replace("confirm+", "acme+t")).text("yes\n")).await;
    assert!(said.starts_with("550 5.1.1"), "{said}");
    assert_eq!(one.entry(&desk).state, State::Held);

    desk.post(&letter(BOB).to(&confirm.to_uppercase().replace("DESK.EXAMPLE.ORG", "Desk.Example.org")).text("yes\n"))
        .await;
    assert_eq!((one.entry(&desk).state, other.entry(&desk).state), (State::Relayed, State::Held));

    // Used: what was done is done, he who says otherwise is told so once, and all of it is on the ticket.
    let heard = desk.inbox("carol@example.com").await.len();
    let told = desk.inbox("bob@team.example").await.len();
    for text in ["yes\n", "no\n", "no\n", "hm\n"] {
        assert_eq!(desk.post(&reply(BOB, &one.notice).text(text)).await, one.ticket);
        assert_eq!(desk.newest(&one.ticket).text.trim(), text.trim());
    }
    assert_eq!(one.entry(&desk).state, State::Relayed);
    assert_eq!(desk.inbox("carol@example.com").await.len(), heard);
    let inbox = desk.inbox("bob@team.example").await;
    assert_eq!(inbox.len(), told + 1);
    assert!(inbox.last().unwrap().contains("already been sent"), "{}", inbox.last().unwrap());

    // By another door meanwhile: a yes does not bring back what was turned down.
    desk.act(|tx, act| held::reject(tx, act, &other.ticket, other.entry)).await;
    desk.post(&reply(BOB, &other.notice).text("yes\n")).await;
    assert_eq!(other.entry(&desk).state, State::Rejected);
    assert!(desk.last("bob@team.example").await.contains("already been discarded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_twice_is_one_answer() {
    let desk = desk().await;
    let asked = asked(&desk).await;
    let answer = reply(BOB, &asked.notice).text("hm\n");
    for _ in 0..3 {
        desk.post(&answer).await;
    }
    assert_eq!(desk.newest(&asked.ticket).text, "hm");
    assert_eq!(asked.events(&desk).iter().filter(|event| event.what == What::Duplicate).count(), 2);
    assert_eq!(letters(&desk, &asked.entry(&desk)).len(), 2);
    // What he is told the first time is told once, whatever he writes.
    desk.post(&reply(BOB, &asked.notice).text("hm hm\n")).await;
    let told = letters(&desk, &asked.entry(&desk));
    assert_eq!(told.len(), 2);
    assert!(told[1].text.contains("neither “yes” nor “no”") && told[1].answer == Answer::Decision);
    let explained = desk.last("bob@team.example").await;
    desk.post(&reply(BOB, &explained).text("yes\n")).await;
    assert_eq!(asked.entry(&desk).state, State::Relayed, "and can be answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_goes_to_the_property_instead_reaches_no_customer() {
    let desk = desk().await;
    let asked = asked(&desk).await;
    desk.post(&reply(BOB, &asked.notice).text("hm\n")).await;
    let heard = desk.inbox("carol@example.com").await.len();
    let elsewhere = reply(BOB, &asked.notice).field("To", "acme@desk.example.org").text("yes\n");
    assert_ne!(desk.post(&elsewhere).await, asked.ticket);
    assert_eq!((asked.entry(&desk).state, desk.inbox("carol@example.com").await.len()), (State::Held, heard));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_who_is_no_member_any_more() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let roles = [("bulle".to_owned(), Role::Agent)].into();
        member::edit(tx, act, "bob", member::Changes { roles, ..member::Changes::default() })
    })
    .await;
    let (revoked, removed) = (asked(&desk).await, asked(&desk).await);
    let leave = member::Changes { remove_properties: vec!["acme".to_owned()], ..member::Changes::default() };
    desk.act(|tx, act| member::edit(tx, act, "bob", leave.clone())).await;
    let before = desk.settled().await.len();
    desk.post(&reply(BOB, &revoked.notice).text("yes\n")).await;
    desk.remove_member("bob").await;
    desk.post(&reply(BOB, &removed.notice).text("yes\n")).await;
    for asked in [&revoked, &removed] {
        assert_eq!(asked.entry(&desk).state, State::Held);
        assert_eq!(desk.newest(&asked.ticket).reason, Some(Reason::Decision), "and it is there to be seen");
    }
    assert_eq!(desk.settled().await.len(), before, "nobody is sent anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_all_its_recipients() {
    let desk = desk().await;
    let (one, other) = (asked(&desk).await, asked(&desk).await);
    let both = [address_in(&one.notice, "Reply-To"), address_in(&other.notice, "Reply-To")];
    desk.post(&letter(BOB).to(&both[0]).to(&both[1]).text("no\n")).await;
    assert_eq!((one.entry(&desk).state, other.entry(&desk).state), (State::Rejected, State::Rejected));

    // The property's own address is less exact, and another property's is another matter.
    let asked = asked(&desk).await;
    let confirm = address_in(&asked.notice, "Reply-To");
    let to = letter(BOB).to(&confirm).to("acme@desk.example.org").to("bulle@desk.example.org").text("yes\n");
    let tickets = desk.post(&to).await;
    assert_eq!(tickets, format!("{}, bulle-1", asked.ticket));
    assert_eq!(asked.entry(&desk).state, State::Relayed);

    // A reply address of another ticket besides: a message there, and the decision here.
    let asked = self::asked(&desk).await;
    let carol = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Other")).await;
    let bob = desk.last("bob@team.example").await;
    let confirm = address_in(&asked.notice, "Reply-To");
    desk.post(&reply(BOB, &bob).to(&confirm).text("yes\n")).await;
    assert_eq!(asked.entry(&desk).state, State::Relayed);
    assert_eq!(desk.newest(&carol).text, "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mail_answers_two_questions_about_a_ticket_and_is_a_reply_to_it() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    let (alice, bob) = (desk.last("alice@team.example").await, desk.last("bob@team.example").await);
    desk.post(&reply(ALICE, &alice)).await;
    let mut confirm = Vec::new();
    for text in ["Never.\n", "Never ever.\n"] {
        desk.post(&reply(BOB, &bob).text(text)).await;
        confirm.push(address_in(&desk.last("bob@team.example").await, "Reply-To"));
    }
    let copy = desk.last("alice@team.example").await;
    let answer = reply(ALICE, &copy).to(&confirm[0]).to(&confirm[1]).text("no\n");
    assert_eq!(desk.post(&answer).await, ticket);
    assert_eq!(desk.post(&answer).await, ticket, "and a second arrival of it changes nothing");
    let entries = desk.messages(&ticket);
    let states: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.state)).collect();
    let (message, note) = (Kind::Message, Kind::Note);
    assert_eq!(states[2..4], [(message, State::Rejected), (message, State::Rejected)]);
    let mut answers = states[4..].to_vec();
    answers.sort_by_key(|(kind, _)| *kind == note);
    assert_eq!(answers, [(message, State::Relayed), (note, State::Kept), (note, State::Kept)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_is_logged_in_answers_for_himself_and_for_nobody_else() {
    let desk = desk().await;
    let asked = asked(&desk).await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    let said = alice.refused(&reply(ALICE, &asked.notice).text("yes\n")).await;
    assert!(said.contains("put to somebody else"), "{said}");
    assert_eq!(asked.entry(&desk).state, State::Held);

    let mut bob = Agent::log_in(&desk, "bob").await;
    bob.post(&reply(BOB, &asked.notice).field("Auto-Submitted", "auto-replied").text("yes\n")).await;
    assert_eq!(asked.entry(&desk).state, State::Held, "his client's automatic answer");
    // From is not asked here either.
    assert_eq!(bob.post(&reply("bob@phone.example", &asked.notice).text("yes\n")).await, asked.ticket);
    assert_eq!((asked.entry(&desk).state, asked.entry(&desk).verified), (State::Relayed, Verified::Confirmed));
    let answer = desk.newest(&asked.ticket);
    assert_eq!((answer.door, answer.reason), (Door::Submission, Some(Reason::Decision)));
    assert_eq!(answer.author.mailbox().unwrap().address.as_str(), "bob@team.example", "who is logged in");

    // The property's own address is less exact, as by port 25.
    let asked = self::asked(&desk).await;
    let both = reply(BOB, &asked.notice).to("acme@desk.example.org").text("no\n");
    let tickets = bob.post(&both).await;
    assert_eq!(tickets, asked.ticket);
    assert_eq!(asked.entry(&desk).state, State::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_only_vouched_for_by_his_domain_decides_at_the_desk() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    desk.post(&letter(ALICE).to("acme@desk.example.org").subject(&format!("[{ticket}] Refund"))).await;
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Unverified)));
    let notice = desk.last("alice@team.example").await;
    assert_eq!(field(&notice, "Reply-To").unwrap(), "acme@desk.example.org");
    assert!(notice.contains(&format!("guichet ticket accept {ticket} {}", entry.id)), "{notice}");

    desk.post(&reply_by_address(BOB, &desk.last("bob@team.example").await).by(NOBODY)).await;
    let notice = desk.last("bob@team.example").await;
    assert!(field(&notice, "Reply-To").unwrap().starts_with("confirm+"), "his own reply address: {notice}");
    desk.post(&reply(BOB, &notice).text("yes\n")).await;
    assert_eq!(desk.messages(&ticket)[2].state, State::Relayed);
}

/// Forged replies to tickets of two properties, as many as asked for.
async fn forge(desk: &TestDesk, count: usize) -> Vec<(String, EntryId)> {
    desk.act(|tx, act| {
        let roles = [("bulle".to_owned(), Role::Agent)].into();
        member::edit(tx, act, "alice", member::Changes { roles, ..member::Changes::default() })
    })
    .await;
    let mut copies = Vec::new();
    for to in ["acme+billing@desk.example.org", "bulle@desk.example.org"] {
        let ticket = desk.post(&letter(CAROL).to(to).subject("Help")).await;
        copies.push((ticket, desk.last("alice@team.example").await));
    }
    let mut held = Vec::new();
    for number in 0..count {
        let (ticket, copy) = &copies[number % 2];
        let from = if number % 3 == 0 { ALICE.to_owned() } else { format!("m{number}@evil.example") };
        desk.post(&reply(&from, copy).by(NOBODY).text(&format!("Forgery {number}.\n"))).await;
        held.push((ticket.clone(), desk.newest(ticket).id));
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_forgeries_are_one_mail_an_hour_and_none_of_them_is_lost() {
    let desk = desk().await;
    let before = 2;
    let held = forge(&desk, 50).await;
    let inbox = desk.inbox("alice@team.example").await;
    assert_eq!(inbox.len(), before + 1, "one notice for fifty");
    assert!(inbox[before].contains("Forgery 0.") && !inbox[before].contains("more message"), "{}", inbox[before]);
    let entry =
        |(ticket, id): &(String, EntryId)| desk.read(|view| find::entry(view, &find::ticket(view, ticket)?, *id));
    let told = || held.iter().map(entry).filter(|entry| !letters(&desk, entry).is_empty()).count();

    // When the hour is over she is told of the next, and how many there are.
    let (store, inside) = desk.inside();
    let tick = async |minutes: i64| {
        let now = Timestamp::now() + SignedDuration::from_mins(minutes);
        let turn = store.transact(|tx| {
            timers::tick(
                tx,
                &Act { desk: &inside, now, door: Door::Timer, actor: Actor::System, trace: None, client: None },
            )
        });
        turn.await.unwrap()
    };
    assert_eq!((tick(58).await, told()), (0, 1));
    tick(61).await;
    assert_eq!(told(), 2);
    let second = letters(&desk, &entry(&held[1]));
    assert!(
        second[0].text.contains("Forgery 1.") && second[0].text.contains("48 autres messages"),
        "{}",
        second[0].text
    );
    for minutes in [62, 150, 600] {
        tick(minutes).await;
    }
    assert_eq!(told(), 2, "nobody is pressed who does not answer");

    // Who answers is there, and is asked about one after the other.
    let mut notice = inbox[before].clone();
    for number in 2..6 {
        desk.post(&reply(ALICE, &notice).text("no\n")).await;
        let inbox = desk.inbox("alice@team.example").await;
        assert_eq!(inbox.len(), before + number, "each answer brings one");
        notice = inbox.last().unwrap().clone();
        assert!(notice.contains(&format!("Forgery {number}.")), "{notice}");
    }
    // What was decided at the desk is not asked about.
    for (ticket, id) in &held[7..] {
        desk.act(|tx, act| held::reject(tx, act, ticket, *id)).await;
    }
    desk.post(&reply(ALICE, &notice).text("no\n")).await;
    let last = desk.last("alice@team.example").await;
    assert!(last.contains("Forgery 6.") && !last.contains("more message"), "{last}");
    desk.post(&reply(ALICE, &last).text("no\n")).await;
    assert_eq!(desk.last("alice@team.example").await, last, "nothing waits any more");
    assert_eq!(desk.inbox("carol@example.com").await.len(), 0, "and the customer never heard of any of it");
    assert_eq!(verify::references(&store).unwrap().problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_at_the_desk_lets_the_next_be_asked_when_the_hour_is_over() {
    let desk = desk().await;
    let held = forge(&desk, 3).await;
    let (store, inside) = desk.inside();
    let told = |at: usize| {
        let (ticket, id) = &held[at];
        let entry = desk.read(|view| find::entry(view, &find::ticket(view, ticket)?, *id));
        letters(&desk, &entry).len()
    };
    for (minutes, expected) in [(61, [1, 1, 0]), (90, [1, 1, 0])] {
        let now = Timestamp::now() + SignedDuration::from_mins(minutes);
        let turn = store.transact(|tx| {
            timers::tick(
                tx,
                &Act { desk: &inside, now, door: Door::Timer, actor: Actor::System, trace: None, client: None },
            )
        });
        turn.await.unwrap();
        assert_eq!([told(0), told(1), told(2)], expected, "after {minutes} minutes");
    }
    for (minutes, expected) in [(100, 0), (122, 1)] {
        let now = Timestamp::now() + SignedDuration::from_mins(minutes);
        let turn = store.transact(|tx| {
            let act = Act { desk: &inside, now, door: Door::Cli, actor: Actor::System, trace: None, client: None };
            if expected == 0 {
                held::reject(tx, &act, &held[1].0, held[1].1)?;
            }
            timers::tick(tx, &act)
        });
        turn.await.unwrap();
        assert_eq!(told(2), expected, "after {minutes} minutes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_finds_its_entry_on_the_ticket_that_took_it_over() {
    let desk = desk().await;
    let asked = asked(&desk).await;
    let into = desk.post(&letter("dave@example.com").to("acme@desk.example.org").subject("Other")).await;
    desk.act(|tx, act| ticket::merge(tx, act, &asked.ticket, &into)).await;
    assert_eq!(desk.post(&reply(BOB, &asked.notice).text("yes\n")).await, into);
    assert_eq!(asked.entry(&desk).state, State::Relayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_french_to_a_french_property() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let roles = [("bulle".to_owned(), Role::Agent)].into();
        member::edit(tx, act, "alice", member::Changes { roles, ..member::Changes::default() })
    })
    .await;
    desk.edit("bulle", property::Changes { default_assignee: Some("alice".to_owned()), ..Default::default() }).await;
    let ticket = desk.post(&letter(CAROL).to("bulle@desk.example.org").subject("Aide")).await;
    let copy = desk.last("alice@team.example").await;
    desk.post(&reply("alice@phone.example", &copy).by(NOBODY).text("C’est fait.\n")).await;
    let notice = desk.last("alice@team.example").await;
    assert!(field(&notice, "Reply-To").unwrap().starts_with("confirm+"), "{notice}");
    desk.post(&reply(ALICE, &notice).text("Oui, merci\n")).await;
    assert_eq!(desk.messages(&ticket)[1].state, State::Relayed);
    assert!(
        desk.last("carol@example.com").await.contains("C=E2=80=99est fait")
            || desk.last("carol@example.com").await.contains("C’est fait")
    );
    assert_eq!(address("alice@team.example"), desk.messages(&ticket)[1].author.mailbox().unwrap().address);
}
