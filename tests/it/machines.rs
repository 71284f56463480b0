//! Mail that machines write: kept where it belongs, told to those who must know, and never answered.

use std::fmt::Write as _;

use guichet::actions::property;
use guichet::desk::copy::CopyState;
use guichet::desk::entry::{Entry, Event, Machine, Reason, State, What};
use guichet::desk::ticket::Status;

use crate::kit::desk::{TestDesk, address, address_in, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const DAEMON: &str = "Mail Delivery System <mailer-daemon@example.com>";

/// A ticket where Carol wrote and Alice answered.
struct Scene {
    desk: TestDesk,
    ticket: String,
    /// The envelope sender of Carol's copy, and the copy.
    verp: String,
    copy: String,
}

async fn scene() -> Scene {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").subject("Help")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let copy = desk.last("carol@example.com").await;
    let received = desk.settled().await;
    let his = received.iter().rev().find(|received| received.to[0].contains("carol@example.com")).unwrap();
    let verp = his.from.split(['<', '>']).nth(1).unwrap().to_owned();
    assert!(verp.starts_with("bounces+"), "{verp}");
    Scene { desk, ticket, verp, copy }
}

impl Scene {
    /// Sends a mail that must land on the ticket as an entry that is kept and that nobody is sent.
    async fn kept(&self, what: &str, letter: &Letter) -> Entry {
        let before = self.desk.settled().await.len();
        let status = self.desk.ticket(&self.ticket).status;
        assert_eq!(self.desk.post(letter).await, self.ticket, "{what}");
        let entry = self.desk.newest(&self.ticket);
        assert_eq!((entry.state, entry.machine), (State::Kept, Some(Machine::Silent)), "{what}");
        assert_eq!(self.desk.settled().await.len(), before, "{what}: nobody is sent anything");
        assert_eq!(self.desk.ticket(&self.ticket).status, status, "{what}: it opens and closes nothing");
        entry
    }

    fn events(&self, what: What) -> Vec<Event> {
        let events = self.desk.entries(&self.ticket).into_iter().filter_map(|entry| entry.event);
        events.filter(|event| event.what == what).collect()
    }

    /// The state of Carol's copy, and the remote's words.
    fn carols(&self) -> (CopyState, String) {
        let entry = self.desk.messages(&self.ticket)[1].clone();
        let copy = self.desk.copies_of(&entry).into_iter().find(|copy| copy.to.as_str() == "carol@example.com");
        let copy = copy.unwrap();
        (copy.state, copy.reply.unwrap())
    }
}

/// A delivery report (RFC 3464) from `<>`.
fn report(to: &str, recipient: &str, action: &str, original: &str) -> Letter {
    let body = format!(
        "--b\nContent-Type: text/plain\n\nI could not deliver it.\n--b\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.com\n\nFinal-Recipient: rfc822; {recipient}\nAction: {action}\n\
         Status: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n--b\nContent-Type: message/rfc822\n\n\
         {original}\n--b--\n"
    );
    letter(DAEMON)
        .by("")
        .to(to)
        .subject("Undelivered Mail Returned to Sender")
        .field("Auto-Submitted", "auto-replied")
        .body("multipart/report; report-type=delivery-status; boundary=b", &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_copy_is_failed_and_its_author_is_told_once() {
    let scene = scene().await;
    assert_eq!(scene.carols().0, CopyState::Sent);
    let delayed = report(&scene.verp, "carol@example.com", "delayed", &scene.copy);
    assert_eq!(scene.desk.post(&delayed).await, scene.ticket);
    assert_eq!(scene.carols().0, CopyState::Deferred);
    assert_eq!(scene.events(What::Delayed).len(), 1);
    let before = scene.desk.inbox("alice@team.example").await.len();
    for _ in 0..2 {
        let failed = report(&scene.verp, "CAROL@example.com", "failed", &scene.copy);
        assert_eq!(scene.desk.post(&failed).await, scene.ticket);
    }
    assert_eq!(scene.carols(), (CopyState::Failed, "550 5.1.1 no such user".to_owned()));
    assert_eq!(scene.events(What::Failed).len(), 1);
    let alice = scene.desk.inbox("alice@team.example").await;
    assert_eq!(alice.len(), before + 1, "told once");
    let notice = alice.last().unwrap();
    assert!(notice.contains("carol@example.com") && notice.contains("no such user"), "{notice}");
    assert_eq!(field(notice, "Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(scene.desk.messages(&scene.ticket).len(), 2, "a report is no entry of its own");
    assert_eq!(scene.desk.inbox("bob@team.example").await.len(), 2, "and nobody else hears of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_anybody_could_have_written_fails_nothing() {
    let scene = scene().await;
    for (what, letter) in [
        ("a forwarder's, about its own reader", report(&scene.verp, "c.jones@far.example", "failed", &scene.copy)),
        ("at the property's address", report("acme@desk.example.org", "carol@example.com", "failed", &scene.copy)),
    ] {
        let before = scene.events(What::Bounce).len();
        assert_eq!(scene.desk.post(&letter).await, scene.ticket, "{what}");
        assert_eq!(scene.events(What::Bounce).len(), before + 1, "{what}");
        assert_eq!(scene.carols().0, CopyState::Sent, "{what}");
        assert_eq!(scene.desk.messages(&scene.ticket).len(), 2, "{what}");
    }
    let unknown = "Message-ID: <never@example.com>\nSubject: x\n\nx\n";
    let said = scene.desk.offer(&report("acme@desk.example.org", "carol@example.com", "failed", unknown)).await;
    assert!(said.starts_with("550 5.7.1"), "a report on no mail of ours: {said}");
    let guessed = scene.verp.replace("bounces+", "bounces+a").replacen("a@", "@", 1);
    let said = scene.desk.offer(&report(&guessed, "carol@example.com", "failed", &scene.copy)).await;
    assert!(said.starts_with("550 5.1.1"), "a guessed bounce address: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_machines_are_kept_on_their_ticket() {
    let scene = scene().await;
    let calendar = "BEGIN:VCALENDAR\nMETHOD:REPLY\nEND:VCALENDAR\n";
    let receipt = "--b\nContent-Type: text/plain\n\nRead.\n--b\nContent-Type: message/disposition-notification\n\n\
                   Final-Recipient: rfc822;carol@example.com\nDisposition: manual-action; displayed\n\n--b--\n";
    let at_verp = || letter(CAROL).to(&scene.verp).subject("Away");
    for (what, letter, reason) in [
        (
            "a vacation notice at the bounce address",
            at_verp().field("Auto-Submitted", "auto-replied"),
            Reason::AutoReply,
        ),
        ("the same from <>", at_verp().by("").field("Auto-Submitted", "auto-replied"), Reason::AutoReply),
        ("a vacation notice without any mark", at_verp(), Reason::AutoReply),
        (
            "a vacation notice at the reply address",
            reply_by_address(CAROL, &scene.copy).field("Auto-Submitted", "auto-replied (vacation)"),
            Reason::AutoReply,
        ),
        (
            "one by a field of its own kind",
            reply(CAROL, &scene.copy).field("X-Autoreply", "yes").field("To", "acme@desk.example.org"),
            Reason::AutoReply,
        ),
        (
            "an answer to an invitation",
            reply(CAROL, &scene.copy).body("text/calendar; method=REPLY", calendar),
            Reason::Calendar,
        ),
        (
            "a read receipt",
            reply(CAROL, &scene.copy)
                .by("")
                .body("multipart/report; report-type=disposition-notification; boundary=b", receipt),
            Reason::Receipt,
        ),
        ("anything else from <>", reply(CAROL, &scene.copy).by(""), Reason::Automatic),
        (
            "a colleague's vacation notice",
            reply_by_address(ALICE, &scene.desk.last("alice@team.example").await)
                .field("Auto-Submitted", "auto-replied"),
            Reason::AutoReply,
        ),
    ] {
        let entry = scene.kept(what, &letter).await;
        assert_eq!(entry.reason, Some(reason), "{what}");
    }
    // The nearest that is a person's.
    let suppress = reply(CAROL, &scene.copy).field("X-Auto-Response-Suppress", "All");
    assert_eq!(scene.desk.post(&suppress).await, scene.ticket);
    assert_eq!(scene.desk.newest(&scene.ticket).state, State::Relayed);

    // Without a ticket it becomes one that is closed from the start.
    let before = scene.desk.settled().await.len();
    let lost = letter("dave@example.com").to("acme@desk.example.org").field("Auto-Submitted", "auto-replied");
    let ticket = scene.desk.post(&lost).await;
    assert_eq!(scene.desk.ticket(&ticket).status, Status::Closed);
    assert_eq!(scene.desk.settled().await.len(), before, "and tells nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn talking_machines_are_heard_and_get_no_answer() {
    let scene = scene().await;
    for (what, letter) in [
        (
            "a newsletter",
            letter("news@shop.example")
                .to("acme@desk.example.org")
                .subject("Offers")
                .field("List-Unsubscribe", "<mailto:u@shop.example>")
                .field("Precedence", "bulk"),
        ),
        (
            "monitoring",
            letter("nagios@shop.example")
                .to("acme@desk.example.org")
                .subject("Disk full")
                .field("Auto-Submitted", "auto-generated"),
        ),
    ] {
        let ticket = scene.desk.post(&letter).await;
        let entry = scene.desk.newest(&ticket);
        assert_eq!((entry.state, entry.machine), (State::Relayed, Some(Machine::Talking)), "{what}");
        assert_eq!(scene.desk.readers(&entry), ["alice@team.example", "bob@team.example"], "{what}");
        assert_eq!(scene.desk.ticket(&ticket).status, Status::Open, "{what}");
    }
    for reader in ["news@shop.example", "nagios@shop.example"] {
        assert_eq!(scene.desk.inbox(reader).await.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_in_front_of_the_desk_hides_nobody() {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.trust("acme.example");
    desk.edit("acme", property::Changes { public: Some(Some(address("support@acme.example"))), ..Default::default() })
        .await;
    let by_group = letter("'Carol Jones' via Support <support@acme.example>")
        .by("support+bncBC@acme.example")
        .to("support@acme.example")
        .rcpt(&["acme@desk.example.org"])
        .subject("Help")
        .field("X-Original-From", "Carol Jones <carol@example.com>")
        .field("Reply-To", "Carol Jones <carol@example.com>")
        .field("List-Id", "<support.acme.example>")
        .field("Precedence", "list");
    let ticket = desk.post(&by_group).await;
    assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), "carol@example.com");
    let copy = desk.last("alice@team.example").await;
    assert_eq!(field(&copy, "From").unwrap(), "Carol Jones via Acme Support <acme@desk.example.org>");
    assert_eq!(field(&copy, "List-Id"), None);
    desk.post(&reply(ALICE, &copy)).await;
    let carol = desk.last("carol@example.com").await;
    // Her client answers the group's address, in the thread; the group hands it on.
    let again = reply("'Carol Jones' via Support <support@acme.example>", &carol)
        .by("support+bncBC@acme.example")
        .field("To", "support@acme.example")
        .rcpt(&["acme@desk.example.org"])
        .field("X-Original-From", CAROL)
        .field("Precedence", "list");
    assert_eq!(desk.post(&again).await, ticket);
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.warning), (State::Relayed, None));
    assert_eq!(desk.readers(&entry), ["alice@team.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_ours_that_comes_back_goes_nowhere() {
    let scene = scene().await;
    let copies = scene.desk.settled().await.len();
    let entries = scene.desk.messages(&scene.ticket).len();
    let renamed = {
        let id = field(&scene.copy, "Message-ID").unwrap();
        scene.copy.replacen(&format!("Message-ID: {id}"), "Message-ID: <new@relay.example>", 1)
    };
    let for_alice = scene.desk.last("alice@team.example").await;
    for (what, copy) in [("as it went", &scene.copy), ("renamed on the way", &renamed), ("a member's", &for_alice)] {
        let before = scene.events(What::Returned).len();
        let forwarded =
            format!("Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\n{}", copy.replace("\r\n", "\n"));
        let said = scene.desk.send("support@acme.example", &["acme@desk.example.org"], &forwarded).await;
        assert!(said.starts_with(&format!("250 2.0.0 {}", scene.ticket)), "{what}: {said}");
        assert_eq!(scene.events(What::Returned).len(), before + 1, "{what}");
    }
    assert_eq!(scene.desk.settled().await.len(), copies);
    assert_eq!(scene.desk.messages(&scene.ticket).len(), entries);
    // To another property it is mail like any other, and opens a ticket there.
    let said =
        scene.desk.send("support@acme.example", &["bulle@desk.example.org"], &scene.copy.replace("\r\n", "\n")).await;
    assert!(said.starts_with("250 2.0.0 bulle-1"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_went_through_too_many_servers_is_refused() {
    let scene = scene().await;
    let stamped = |count: usize| {
        let stamps = (0..count).fold(letter(CAROL).to("acme@desk.example.org"), |letter, _| {
            letter.more("Received", "from a by b; Mon, 23 Nov 2026 10:00:00 +0000")
        });
        stamps.subject(&count.to_string())
    };
    let said = scene.desk.offer(&stamped(51)).await;
    assert!(said.starts_with("554 5.4.6"), "{said}");
    scene.desk.post(&stamped(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mails_of_one_look_go_quiet_and_others_do_not() {
    let desk = TestDesk::with("[limits]\nlook_alike = 3\n").await;
    desk.members(&["alice"]).await;
    let alarm = |number: usize| {
        letter("nagios@example.com")
            .to("acme@desk.example.org")
            .subject(&format!("Disk {number} full"))
            .text(&format!("{number} percent at 10:{number:02}\n"))
            .field("Auto-Submitted", "auto-generated")
    };
    let mut tickets = String::new();
    for number in 1..=6 {
        write!(tickets, "{} ", desk.post(&alarm(number)).await).unwrap();
    }
    let inbox = desk.inbox("alice@team.example").await;
    assert_eq!(inbox.len(), 4, "three copies, and one letter for all that is kept");
    let told = inbox.last().unwrap();
    assert_eq!(field(told, "Subject").unwrap(), "Gone quiet: Disk 4 full");
    assert_eq!(field(told, "Auto-Submitted").unwrap(), "auto-generated");
    assert!(told.contains("acme-1 has gone quiet") && told.contains("nagios@example.com"), "{told}");
    let quiet = desk.entries("acme-1").into_iter().filter_map(|entry| entry.event);
    assert_eq!(quiet.filter(|event| event.what == What::Quiet).count(), 1);
    assert_eq!(tickets.split_whitespace().last(), Some("acme-1"), "the rest is kept on the first: {tickets}");
    let entry = desk.newest("acme-1");
    assert_eq!((entry.state, entry.reason), (State::Kept, Some(Reason::LookAlike)));
    // Another look, another sender, and a member.
    desk.post(&alarm(7).subject("Fan broken")).await;
    desk.post(&alarm(8).field("From", "other@example.com").by("other@example.com")).await;
    assert_eq!(desk.inbox("alice@team.example").await.len(), 6);
    let copy = desk.last("alice@team.example").await;
    for _ in 0..5 {
        desk.post(&reply(ALICE, &copy).text("Thanks.\n")).await;
    }
    assert_eq!(desk.inbox(&address_in(&copy, "To")).await.len(), 6);
    assert_eq!(desk.inbox("other@example.com").await.len(), 5, "what members write is not counted");
}
