//! Who gets a copy, row by row, by real mail.

use guichet::actions::{copies, member, property, ticket};
use guichet::desk::copy::{Content, CopyState, Scope};
use guichet::desk::entry::{Kind, State};
use guichet::desk::ticket::{Standing, Status};

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{letter, reply};
use crate::kit::sink::Act;

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const DAVE: &str = "Dave <dave@example.com>";
const NOBODY: &str = "x@evil.example";

async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob", "zoe"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_is_told_to_whom_it_is_assigned_else_to_all_who_want_it() {
    let desk = desk().await;
    let all = ["alice@team.example", "bob@team.example", "zoe@team.example"];
    let told = async |to: &str| {
        let ticket = desk.post(&letter(CAROL).to(to)).await;
        (desk.readers(&desk.newest(&ticket)), desk.ticket(&ticket).assignee.is_some())
    };
    let own = |readers: &[&str]| readers.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told("acme@desk.example.org").await, (own(&all), false));
    assert_eq!(told("acme+billing@desk.example.org").await, (own(&all[..2]), true));
    assert_eq!(told("ACME+Billing@Desk.Example.ORG").await, (own(&all[..2]), true));
    let silent = member::Changes { copies: Some(false), ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", silent.clone())).await;
    assert_eq!(told("acme@desk.example.org").await, (own(&all[1..]), false));
    assert_eq!(told("acme+billing@desk.example.org").await, (own(&all[1..2]), true));
    desk.edit("acme", property::Changes { default_assignee: Some("zoe".to_owned()), ..Default::default() }).await;
    assert_eq!(told("acme@desk.example.org").await, (own(&all[2..]), true));
    assert_eq!(told("acme+billing@desk.example.org").await, (own(&all[1..2]), true));
    assert_eq!(desk.inbox("carol@example.com").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_gets_nothing_at_any_of_his_addresses_and_nobody_gets_two() {
    let desk = desk().await;
    let alias = member::Changes { add_aliases: vec![address("alice@home.example")], ..Default::default() };
    desk.act(|tx, act| member::edit(tx, act, "alice", alias.clone())).await;
    desk.trust("home.example");
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org")).await;
    // Alice follows, and is of the department that has the ticket: two grounds.
    desk.act(|tx, act| ticket::follow(tx, act, &ticket, "alice")).await;
    desk.post(&reply("alice@home.example", &desk.last("alice@team.example").await)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com"]);
    desk.post(&reply(CAROL, &desk.last("carol@example.com").await)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["alice@team.example", "bob@team.example"]);
    // A member gets the copy though he stands in To: it has his reply address.
    let named = reply(CAROL, &desk.last("carol@example.com").await).cc(ALICE);
    desk.post(&named).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["alice@team.example", "bob@team.example"]);
    assert_eq!(desk.participant(&ticket, "alice@home.example"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_in_to_or_cc_has_the_mail_already() {
    let desk = desk().await;
    let first = letter(CAROL).to("acme+billing@desk.example.org").cc(DAVE);
    let ticket = desk.post(&first).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["alice@team.example", "bob@team.example"]);
    assert_eq!(desk.participant(&ticket, "dave@example.com").unwrap().standing, Standing::Proposed);
    let copy = desk.last("alice@team.example").await;
    assert!(copy.contains("Your reply goes to Carol and Dave."), "{copy}");
    // She answers, and her client sends it to Dave too.
    desk.post(&reply(ALICE, &copy).cc(DAVE)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com"]);
    // The same by the command line: nobody else brings it to him.
    desk.write(&ticket, Some("alice"), Scope::Public, "Done.").await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com", "dave@example.com"]);
    let dave = desk.last("dave@example.com").await;
    assert!(dave.contains("Carol"), "who else gets it stands in the body: {dave}");
    assert_eq!(field(&dave, "Cc"), None);
    assert_eq!(field(&dave, "To").unwrap(), "Dave <dave@example.com>");
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_hear_each_other_once_both_are_known() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").cc(DAVE)).await;
    // Nobody of the team answered yet: Dave is not accepted.
    let more = letter(CAROL).to("acme@desk.example.org").subject(&format!("{ticket} more"));
    desk.post(&more).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["alice@team.example", "bob@team.example"]);
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let carol = desk.last("carol@example.com").await;
    let bare = "acme@desk.example.org";
    let members = ["alice@team.example", "bob@team.example"];
    let all = ["alice@team.example", "bob@team.example", "dave@example.com"];
    for (what, letter, readers) in [
        ("her own reply address, unaligned", reply(CAROL, &carol).by(NOBODY), &all[..]),
        ("an identifier, aligned", reply(CAROL, &carol).field("To", bare), &all),
        ("an identifier, unaligned", reply(CAROL, &carol).field("To", bare).by(NOBODY), &members),
        ("somebody else", reply("eve@example.com", &carol), &members),
    ] {
        desk.post(&letter).await;
        assert_eq!(desk.readers(&desk.newest(&ticket)), readers, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_accepts_five_whom_an_aligned_requester_named_and_nobody_else() {
    let desk = desk().await;
    let first = letter(CAROL).to("acme+billing@desk.example.org");
    let many = (1..=7).fold(first, |letter, number| letter.cc(&format!("c{number}@example.com")));
    let ticket = desk.post(&many).await;
    let copy = desk.last("alice@team.example").await;
    let text = copy.replace("=\r\n", "");
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    let goes_to = line("Your reply goes to");
    assert!(goes_to.contains("c5@example.com") && !goes_to.contains("c6@example.com"), "{copy}");
    let not_to = line("Not on the conversation");
    assert!(not_to.contains("c6@example.com and c7@example.com") && !not_to.contains("c5@example.com"), "{copy}");
    desk.post(&reply(ALICE, &copy).cc("from-alice@example.com")).await;
    let readers = desk.readers(&desk.newest(&ticket));
    let expected: Vec<_> = (1..=5).map(|number| format!("c{number}@example.com")).collect();
    assert_eq!(readers[1..6], expected, "{readers:?}");
    assert_eq!(readers.len(), 7, "{readers:?}");
    // A second answer accepts no more of them, nor whom the member named himself.
    desk.post(&reply(BOB, &desk.last("bob@team.example").await)).await;
    let readers = desk.readers(&desk.newest(&ticket));
    assert_eq!(readers.len(), 7, "{readers:?}");
    desk.act(|tx, act| ticket::cc(tx, act, &ticket, &address("c7@example.com"))).await;
    desk.write(&ticket, None, Scope::Public, "All of you.").await;
    assert!(desk.readers(&desk.newest(&ticket)).contains(&"c7@example.com".to_owned()));

    // Whom an unaligned requester named is not accepted, until she names him in a mail that is hers.
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").cc(DAVE).by(NOBODY)).await;
    let copy = desk.last("alice@team.example").await;
    desk.post(&reply(ALICE, &copy)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com"]);
    desk.post(&reply(CAROL, &desk.last("carol@example.com").await).cc(DAVE)).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com", "dave@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_members_read_on_top_does_not_go_out_by_quotation() {
    let desk = desk().await;
    let parts = |text: &str, html: &str| {
        let part = |kind: &str, body: &str| {
            format!("--b\nContent-Type: {kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}\n")
        };
        format!("{}{}--b--\n", part("text/plain", text), part("text/html", html))
    };
    let alternative = "multipart/alternative; boundary=b";
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org")).await;
    desk.act(|tx, act| ticket::tag(tx, act, &ticket, "troublemaker")).await;
    // From an address that is not known there: members are warned.
    let question = letter("eve@example.com").answers(&desk.newest(&ticket).message_id.unwrap().to_string());
    let body = parts("Is it broken?", "<div>Is it <i>broken</i>?</div>");
    desk.post(&question.to("acme@desk.example.org").body(alternative, &body)).await;
    let copy = desk.last("alice@team.example").await;
    let message = mail_parser::MessageParser::new().parse(copy.as_bytes()).unwrap();
    let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    let internal = ["troublemaker", "Careful: ", "Assigned to", "eve@example.com"];
    for what in internal {
        assert!(text.contains(what) && html.contains(what), "{what} is not in\n{text}\n{html}");
    }
    let text: String = text.lines().flat_map(|line| ["> ", line, "\n"]).collect();
    let body = parts(
        &format!("Yes, {ticket} is.\n\n{text}"),
        &format!("<p>Yes, {ticket} is.</p><blockquote type=\"cite\">{html}</blockquote>"),
    );
    desk.post(&reply(ALICE, &copy).body(alternative, &body)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com"]);
    let copy = desk.last("carol@example.com").await;
    for what in internal {
        assert!(!copy.contains(what), "{what} is in {copy}");
    }
    for what in ["\n> Is it broken?", "<i>broken</i>?</div></blockquote>"] {
        assert!(copy.contains(what), "{what} is not in {copy}");
    }
    assert_eq!(copy.matches(&format!("Yes, {ticket} is.")).count(), 2, "{copy}");
    assert!(desk.last("bob@team.example").await.contains("> Is it broken?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_stays_within_the_team() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").cc(DAVE)).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    desk.write(&ticket, Some("bob"), Scope::Note, "Don't trust her.").await;
    let note = desk.newest(&ticket);
    assert_eq!((note.kind, desk.readers(&note)), (Kind::Note, vec!["alice@team.example".to_owned()]));
    let minted = note.minted_id.unwrap().to_string();
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("I do.\n")).await;
    // What contacts are sent later does not even name the note.
    desk.write(&ticket, Some("bob"), Scope::Public, "Dear Carol").await;
    for reader in ["carol@example.com", "dave@example.com"] {
        let copies = desk.inbox(reader).await;
        assert!(copies.iter().all(|copy| !copy.contains("trust her") && !copy.contains("I do.")), "{reader}");
        let last = copies.last().unwrap();
        let named = field(last, "References").unwrap() + &field(last, "In-Reply-To").unwrap();
        assert!(!named.contains(minted.trim_matches(['<', '>'])), "{reader}: {named}");
    }
    assert!(
        field(&desk.last("alice@team.example").await, "References").unwrap().contains(minted.trim_matches(['<', '>']))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_assigned_anew_brings_the_conversation_so_far() {
    let desk = desk().await;
    let ticket = desk.post(&letter(CAROL).to("acme+billing@desk.example.org").text("It is broken.\n")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("Which one?\n")).await;
    desk.write(&ticket, Some("bob"), Scope::Note, "The red one.").await;
    desk.act(|tx, act| ticket::assign(tx, act, &ticket, "zoe")).await;
    let mut zoe = desk.inbox("zoe@team.example").await;
    // Two copies leave at once, in whichever order.
    zoe.sort_by_key(|mail| mail.contains("The red one."));
    let at = |text: &str| zoe[0].find(text).unwrap_or_else(|| panic!("{text} is not in {}", zoe[0]));
    let order = ["Assigned to Zoe", "It is broken.", "Which one?"].map(at);
    assert!(order.is_sorted(), "{}", zoe[0]);
    assert!(!zoe[0].contains("Internal note: your reply"), "{}", zoe[0]);
    // What she answers is public and quotes it, so notes come each as a mail of its own.
    assert_eq!(zoe.len(), 2);
    assert!(!zoe[0].contains("The red one.") && zoe[1].contains("The red one."), "{}", zoe[1]);
    let mine = desk.post(&reply("Zoe <zoe@team.example>", &zoe[1])).await;
    assert_eq!((mine, desk.newest(&ticket).kind), (ticket.clone(), Kind::Note));
    // Her answer to that is a public reply, whichever way her client names it.
    for answer in [
        reply("Zoe <zoe@team.example>", &zoe[0]),
        reply("Zoe <zoe@team.example>", &zoe[0]).field("References", "").field("To", "acme@desk.example.org"),
    ] {
        assert_eq!(desk.post(&answer).await, ticket);
        let entry = desk.newest(&ticket);
        assert_eq!((entry.kind, entry.state), (Kind::Message, State::Relayed));
        assert_eq!(desk.readers(&entry), ["alice@team.example", "bob@team.example", "carol@example.com"]);
    }
    // Who had it already gets nothing twice.
    desk.act(|tx, act| ticket::assign(tx, act, &ticket, "alice")).await;
    assert!(!desk.copies_of(&desk.newest(&ticket)).iter().any(|copy| copy.content == Content::Conversation));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composed_ticket_goes_to_its_requester_and_its_assignee() {
    let desk = desk().await;
    desk.edit("acme", property::Changes { default_assignee: Some("billing".to_owned()), ..Default::default() }).await;
    let ticket =
        desk.compose("acme", None, &["carol@example.com", "dave@example.com"], "Your order", "It is late.").await;
    let entry = desk.newest(&ticket);
    assert_eq!(
        desk.readers(&entry),
        ["alice@team.example", "bob@team.example", "carol@example.com", "dave@example.com"]
    );
    assert_eq!(desk.ticket(&ticket).status, Status::Pending);
    let carol = desk.last("carol@example.com").await;
    assert_eq!(field(&carol, "Subject").unwrap(), "Your order");
    assert_eq!(desk.post(&reply(CAROL, &carol)).await, ticket, "her answer lands on it");

    let ticket = desk.compose("acme", Some("zoe"), &["carol@example.com"], "Hello", "Hello.").await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["carol@example.com"], "the assignee is the author");
    desk.post(&reply(CAROL, &desk.last("carol@example.com").await)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["zoe@team.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_removed_member_is_cancelled_and_his_tickets_go_on() {
    let desk = desk().await;
    desk.edit("acme", property::Changes { default_assignee: Some("zoe".to_owned()), ..Default::default() }).await;
    let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org")).await;
    desk.act(|tx, act| ticket::assign(tx, act, &ticket, "bob")).await;
    desk.write(&ticket, None, Scope::Public, "Hello Carol").await;
    desk.sink.rule("RCPT TO:<bob@team.example>", Act::Say("450 4.2.0 later".to_owned()), false);
    desk.post(&reply(CAROL, &desk.last("carol@example.com").await)).await;
    let entry = desk.newest(&ticket);
    let state = |to: &str| {
        let copies = desk.copies_of(&desk.newest(&ticket));
        copies.into_iter().find(|copy| copy.to.as_str() == to).map(|copy| copy.state)
    };
    assert_eq!(state("bob@team.example"), Some(CopyState::Deferred));
    desk.remove_member("bob").await;
    assert_eq!(state("bob@team.example"), Some(CopyState::Cancelled));
    assert!(desk.read(|view| Ok(copies::next_due(view, jiff::Timestamp::MIN)?)).is_none(), "nothing waits");
    assert!(
        desk.ticket(&ticket).participants.iter().all(|participant| participant.address.as_str() != "bob@team.example")
    );
    desk.post(&letter(CAROL).to("acme@desk.example.org").answers(&format!("<{}>", entry.message_id.unwrap().as_str())))
        .await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["zoe@team.example"]);
}
