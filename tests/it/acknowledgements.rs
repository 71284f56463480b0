//! A requester may be told that his message has arrived: where the property wants it, and so that the
//! desk never writes to whom it should not.

use std::process::Command;

use guichet::actions::{ActionError, copies, property};
use guichet::desk::copy::{Content, Copy};
use guichet::desk::language::Language;
use guichet::desk::letter::LetterKind;
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read};

use crate::kit::desk::{TestDesk, address, address_in, field};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};

const CAROL: &str = "Carol <carol@example.com>";

async fn desk(more: &str) -> TestDesk {
    let desk = TestDesk::with(more).await;
    desk.members(&["alice"]).await;
    desk.trust("acme.example");
    for slug in ["acme", "bulle"] {
        let changes = property::Changes { acknowledge: Some(true), ..property::Changes::default() };
        desk.edit(slug, changes).await;
    }
    let public = Some(Some(address("support@acme.example")));
    desk.edit("acme", property::Changes { public, ..property::Changes::default() }).await;
    desk
}

fn first(from: &str) -> Letter {
    letter(from).to("acme@desk.example.org").subject("My secret plan").text("Do not repeat this.\n")
}

/// The acknowledgements that were queued so far.
fn sent(desk: &TestDesk) -> Vec<Copy> {
    let all = desk.read(|view| {
        let ids = view.range(&COPIES, .., Order::Up, 1_000)?;
        ids.into_iter().map(|(id, _)| copies::get(view, id)).collect::<Result<Vec<_>, ActionError>>()
    });
    let is_response =
        |copy: &Copy| matches!(&copy.content, Content::Letter(letter) if letter.kind == LetterKind::Response);
    all.into_iter().filter(is_response).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_is_told_the_number_and_nothing_of_what_he_wrote() {
    let desk = desk("").await;
    let mail = first(CAROL);
    let ticket = desk.post(&mail).await;
    let received = desk.settled().await;
    let his = received.iter().find(|received| received.to[0].contains("carol@example.com")).unwrap();
    assert!(his.from.starts_with("MAIL FROM:<>"), "{}", his.from);
    let told = desk.last("carol@example.com").await;
    assert!(!told.contains("secret") && !told.contains("repeat"), "{told}");
    assert_eq!(field(&told, "Subject").unwrap(), format!("We have your message ({ticket})"));
    assert_eq!(field(&told, "Auto-Submitted").unwrap(), "auto-replied");
    assert_eq!(field(&told, "X-Auto-Response-Suppress").unwrap(), "All");
    assert_eq!(field(&told, "In-Reply-To"), mail.get("Message-ID").map(str::to_owned));
    assert_eq!(field(&told, "References"), mail.get("Message-ID").map(str::to_owned));
    assert_eq!(field(&told, "From").unwrap(), "Acme Support <acme@desk.example.org>");
    assert!(told.contains("DKIM-Signature"), "{told}");

    // His reply address, and what answers it by its name alone, lead to the ticket.
    assert!(address_in(&told, "Reply-To").starts_with("acme+t"));
    assert_eq!(desk.post(&reply_by_address(CAROL, &told).text("More.\n")).await, ticket);
    let by_id = letter(CAROL).to("acme@desk.example.org").answers(&field(&told, "Message-ID").unwrap());
    assert_eq!(desk.post(&by_id).await, ticket);
    assert_eq!(sent(&desk).len(), 1, "a ticket is acknowledged once");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_keeps_the_desk_quiet() {
    let desk = desk("").await;
    desk.edit("acme", property::Changes { trust: vec![address("forms@acme.example")], ..Default::default() }).await;
    let quiet = [
        ("nothing vouches for it", first("a@example.com").by("x@evil.example")),
        ("another domain vouches for it", first("a@example.com").by("x@team.example")),
        ("from <>", first("b@example.com").by("")),
        ("a role's reverse-path", first("c@example.com").by("bounces+17@example.com")),
        ("a role", first("noreply@example.com")),
        ("a postmaster", first("Postmaster@example.com")),
        ("a list's owner", first("owner-news@example.com")),
        ("a vacation notice", first("d@example.com").field("Auto-Submitted", "auto-replied")),
        ("an alarm", first("e@example.com").field("Auto-Submitted", "auto-generated")),
        ("a newsletter", first("f@example.com").field("List-Unsubscribe", "<https://x.example>")),
        ("Precedence", first("g@example.com").field("Precedence", "bulk")),
        ("Exchange says no", first("h@example.com").field("X-Auto-Response-Suppress", "DR, OOF, AutoReply")),
        ("a blind copy", first("i@example.com").field("To", "somebody@example.com").rcpt(&["acme@desk.example.org"])),
        ("another property is addressed", first("i@example.com").field("To", "bulle@desk.example.org").rcpt(&["acme@desk.example.org"])),
        ("a form's writer", first("forms@acme.example").field("Reply-To", "j@example.com")),
        ("a member", first("alice@team.example")),
        ("a member's forward", first("alice@team.example").subject("Fwd: Help").text(
            "---------- Forwarded message ---------\nFrom: Carl <carl@example.com>\nDate: Mon, 23 Nov 2026\nSubject: Help\nTo: <alice@team.example>\n\nHelp!\n",
        )),
    ];
    for (what, mail) in quiet {
        desk.post(&mail).await;
        assert_eq!(
            sent(&desk).iter().map(|copy| copy.to.to_string()).collect::<Vec<_>>(),
            Vec::<String>::new(),
            "{what}"
        );
    }
    for (count, (what, mail)) in [
        (
            "the public address in To",
            first("k@example.com").field("To", "support@acme.example").rcpt(&["acme@desk.example.org"]),
        ),
        (
            "in Cc",
            first("l@example.com")
                .field("To", "x@example.com")
                .field("Cc", "ACME@desk.example.org")
                .rcpt(&["acme@desk.example.org"]),
        ),
        ("only read receipts are unwanted", first("m@example.com").field("X-Auto-Response-Suppress", "DR, RN, NRN")),
        ("no machine after all", first("n@example.com").field("Auto-Submitted", "no")),
    ]
    .into_iter()
    .enumerate()
    {
        desk.post(&mail).await;
        assert_eq!(sent(&desk).len(), count + 1, "{what}");
    }
    let changes = property::Changes { acknowledge: Some(false), ..property::Changes::default() };
    desk.edit("acme", changes).await;
    desk.post(&first("z@example.com")).await;
    assert_eq!(sent(&desk).len(), 4, "the property does not want it");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_a_day_and_address_over_all_properties_and_after_a_restart() {
    let mut desk = desk("[limits]\nacknowledgements = 2\n").await;
    desk.post(&first(CAROL)).await;
    desk.post(&first("CAROL@example.com").to("bulle@desk.example.org").rcpt(&["bulle@desk.example.org"])).await;
    assert_eq!(sent(&desk).len(), 1);
    desk.restart().await;
    desk.post(&first(CAROL)).await;
    assert_eq!(sent(&desk).len(), 1);
    desk.post(&first("dave@example.com")).await;
    assert_eq!(sent(&desk).len(), 2);
    desk.restart().await;
    desk.post(&first("erin@example.com")).await;
    assert_eq!(sent(&desk).len(), 2, "two an hour is the limit here");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_in_the_language_of_the_mail_and_in_the_propertys_words() {
    let desk = desk("").await;
    let own = [(Language::Fr, Some("Merci ! Votre numéro : {ticket}.".to_owned()))].into();
    desk.edit("acme", property::Changes { acknowledgements: own, ..property::Changes::default() }).await;
    for (from, fields, subject, text) in [
        ("a", &[][..], "We have your message", "Thank you"),
        ("b", &[("Content-Language", "fr-FR")][..], "Nous avons", "Merci !"),
        ("c", &[("Accept-Language", "de, fr;q=0.5, en;q=0.1")][..], "Nous avons", "Votre num"),
        ("d", &[("Content-Language", "de")][..], "We have your message", "Thank you"),
    ] {
        let from = format!("{from}@example.com");
        let mail = fields.iter().fold(first(&from), |mail, (name, value)| mail.field(name, value));
        let ticket = desk.post(&mail).await;
        let letter = sent(&desk).pop().unwrap();
        let Content::Letter(letter) = letter.content else { panic!("a letter") };
        assert!(letter.subject.starts_with(subject) && letter.text.contains(text), "{letter:?}");
        assert!(letter.text.contains(&ticket), "{letter:?}");
    }
    let ours = [(Language::Fr, None)].into();
    desk.edit("acme", property::Changes { acknowledgements: ours, ..property::Changes::default() }).await;
    desk.post(&first("e@example.com").field("Content-Language", "fr")).await;
    assert!(desk.last("e@example.com").await.contains("Merci pour votre message"));
    // A French property, where the mail does not say.
    desk.post(&first("f@example.com").field("To", "bulle@desk.example.org")).await;
    assert!(desk.last("f@example.com").await.contains("Merci pour votre message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_desks_that_acknowledge_each_other_stop_at_once() {
    let desk = desk("").await;
    desk.post(&first(CAROL)).await;
    let told = desk.last("carol@example.com").await;
    // Carol's address is a desk too, and acknowledges what it got.
    let theirs = reply(CAROL, &told).by("").field("Auto-Submitted", "auto-replied").text("We have your message.\n");
    desk.post(&theirs).await;
    let unmarked = letter(CAROL).to("acme@desk.example.org").subject("We have your message (other-1)");
    desk.post(&unmarked).await;
    assert_eq!(sent(&desk).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_acknowledges_from_a_new_address_each_time_is_told_once() {
    let desk = desk("").await;
    desk.trust("other.example");
    for number in 1..=3 {
        let theirs = first(&format!("r{number}@other.example"))
            .subject(&format!("[#{number}] Received"))
            .text("Your request has reached us, and somebody will answer it.\n");
        desk.post(&theirs).await;
        assert_eq!(sent(&desk).len(), 1, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_turns_them_on_and_takes_their_text_from_a_file() {
    let mut desk = desk("").await;
    let changes = property::Changes { acknowledge: Some(false), ..property::Changes::default() };
    desk.edit("acme", changes).await;
    let text = desk.dir.path().join("thanks.txt");
    std::fs::write(&text, "We will call you. Your number: {ticket}\n").unwrap();
    let edit = |desk: &TestDesk, arguments: &[&str]| {
        let mut guichet = Command::new(env!("CARGO_BIN_EXE_guichet"));
        guichet.arg("--config").arg(desk.config_file()).args(["--json", "property", "edit", "acme"]).args(arguments);
        guichet.output().unwrap()
    };
    let told = async |desk: &TestDesk, who: &str| {
        desk.post(&first(&format!("{who}@example.com"))).await;
        desk.inbox(&format!("{who}@example.com")).await.pop()
    };
    assert_eq!(told(&desk, "a").await, None);

    let named = format!("en={}", text.display());
    desk.stop().await;
    let done = edit(&desk, &["--acknowledge", "on", "--acknowledgement", &named]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    desk.resume().await;
    let letter = told(&desk, "b").await.unwrap();
    assert!(letter.contains("We will call you. Your number: acme-2"), "{letter}");

    desk.stop().await;
    assert!(!edit(&desk, &["--acknowledgement", "en=/nowhere/thanks.txt"]).status.success());
    std::fs::write(&text, [0xff, 0xfe]).unwrap();
    assert!(!edit(&desk, &["--acknowledgement", &named]).status.success(), "no text");
    assert!(edit(&desk, &["--remove-acknowledgement", "en"]).status.success());
    desk.resume().await;
    assert!(told(&desk, "c").await.unwrap().contains("Thank you for your message."), "in our words again");
    desk.stop().await;
    assert!(edit(&desk, &["--acknowledge", "off"]).status.success());
    desk.resume().await;
    assert_eq!(told(&desk, "d").await, None);
}
