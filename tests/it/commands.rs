//! Commands by mail: a member has the whole desk in his mail client, a customer never sees a command,
//! and a wrong one does nothing at all.

use guichet::actions::{Act, Actor, find, held, member, property, ticket, verify};
use guichet::desk::copy::{Content, Scope};
use guichet::desk::entry::{Door, Entry, Kind, Reason, State, Verified, What};
use guichet::desk::member::Role;
use guichet::desk::ticket::{Assignee, Priority, Standing, Status, Ticket};
use jiff::{SignedDuration, Timestamp};

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{Letter, letter, reply};
use crate::kit::submit::Agent;

const ALICE: &str = "Alice <alice@team.example>";
const BOB: &str = "Bob <bob@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const DAVE: &str = "dave@example.com";
/// An envelope sender whose domain nothing vouches for.
const NOBODY: &str = "x@evil.example";

async fn desk() -> TestDesk {
    let desk = TestDesk::with("[limits]\nlook_alike = 1000\n").await;
    desk.members(&["alice", "bob", "zoe"]).await;
    desk.department("billing", &["alice", "bob"]).await;
    desk.department("sales", &["zoe"]).await;
    desk
}

/// A ticket of Carol's with the billing department, and Alice's copy of her mail.
async fn question(desk: &TestDesk) -> (String, String) {
    let first = letter(CAROL).to("acme+billing@desk.example.org").subject("My invoice").text("It is wrong.\n");
    let ticket = desk.post(&first).await;
    (ticket, desk.last("alice@team.example").await)
}

/// Everything that makes out a ticket but the moment of its last change.
fn made_out(ticket: &Ticket) -> Ticket {
    Ticket { updated_at: ticket.created_at, ..ticket.clone() }
}

fn events(desk: &TestDesk, ticket: &str) -> Vec<Entry> {
    desk.entries(ticket).into_iter().filter(|entry| entry.event.is_some()).collect()
}

/// What was written on a copy, by whatever part shows it, with the encoding undone.
fn shown(copy: &str) -> Vec<String> {
    let message = mail_parser::MessageParser::new().parse(copy.as_bytes()).unwrap();
    let texts = message.parts.iter().filter_map(|part| part.text_contents().map(str::to_owned));
    texts.collect()
}

/// The letter that the desk wrote last to somebody.
async fn letter_to(desk: &TestDesk, who: &str) -> String {
    let mail = desk.last(who).await;
    assert!(field(&mail, "Auto-Submitted").is_some(), "{mail}");
    shown(&mail).remove(0)
}

type Check = fn(&TestDesk, &Ticket);

fn assignee(desk: &TestDesk, ticket: &Ticket) -> Option<String> {
    desk.read(|view| find::assignee_name(view, ticket.assignee))
}

fn has(ticket: &Ticket, who: &str) -> bool {
    ticket.participants.iter().any(|participant| participant.address.as_str() == who)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_in_english_and_in_french() {
    let desk = desk().await;
    let rows: [(&str, &str, Check); 14] = [
        ("#close", "#fermer", |_, ticket| assert_eq!(ticket.status, Status::Closed)),
        ("#open", "#rouvrir", |_, ticket| assert_eq!(ticket.status, Status::Open)),
        ("#pending", "#attente", |_, ticket| assert_eq!((ticket.status, ticket.wake_at), (Status::Pending, None))),
        ("#spam", "#indésirable", |_, ticket| assert_eq!(ticket.status, Status::Spam)),
        ("#snooze 2d", "#reporter 2j", |_, ticket| {
            assert_eq!(ticket.status, Status::Pending);
            let sleeps = ticket.wake_at.unwrap().duration_since(Timestamp::now());
            assert!(sleeps > SignedDuration::from_hours(47) && sleeps <= SignedDuration::from_hours(48), "{sleeps}");
        }),
        ("#assign me", "#assigner moi", |desk, ticket| {
            assert_eq!(assignee(desk, ticket).as_deref(), Some("Alice"));
        }),
        ("#assign none", "#assigner personne", |_, ticket| assert_eq!(ticket.assignee, None)),
        ("#assign zoe", "#assigner zoe@team.example", |desk, ticket| {
            assert_eq!(assignee(desk, ticket).as_deref(), Some("Zoe"));
        }),
        ("#assign sales", "#attribuer sales", |_, ticket| {
            assert!(matches!(ticket.assignee, Some(Assignee::Department(_))));
        }),
        ("#tag refund vat", "#étiquette refund vat", |_, ticket| {
            assert_eq!(ticket.tags.iter().map(String::as_str).collect::<Vec<_>>(), ["refund", "vat"]);
        }),
        ("#priority high", "#priorité haute", |_, ticket| assert_eq!(ticket.priority, Priority::High)),
        ("#follow", "#suivre", |_, ticket| assert!(has(ticket, "alice@team.example"))),
        ("#unfollow", "#ne-plus-suivre", |_, ticket| assert!(!has(ticket, "alice@team.example"))),
        ("#cc dave@example.com", "#copie dave@example.com", |_, ticket| assert!(has(ticket, DAVE))),
    ];
    for (english, french, check) in rows {
        for command in [english, french] {
            let (ticket, copy) = question(&desk).await;
            let answer = reply(ALICE, &copy).body(
                "text/plain; charset=utf-8",
                &format!("{command}\n\nHere you are.\n\nOn Mon, 23 Nov 2026, Acme wrote:\n> It is wrong.\n"),
            );
            assert_eq!(desk.post(&answer.field("Content-Transfer-Encoding", "8bit")).await, ticket, "{command}");
            let entry = desk.newest(&ticket);
            assert_eq!((entry.state, entry.text.as_str()), (State::Relayed, "Here you are."), "{command}");
            assert_eq!(entry.commands, [command], "{command}");
            check(&desk, &desk.ticket(&ticket));
            let copy = desk.last("carol@example.com").await;
            let texts = shown(&copy);
            assert!(texts[0].contains("Here you are.") && !texts[0].contains('#'), "{command}: {copy}");
            for event in events(&desk, &ticket) {
                let author = event.author.mailbox().map(|mailbox| mailbox.address.to_string());
                assert_eq!((author.as_deref(), event.door), (Some("alice@team.example"), Door::Smtp), "{command}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_commands_are_one_change_and_copies_show_what_it_made() {
    let desk = desk().await;
    let (ticket, copy) = question(&desk).await;
    let text = "#Assign: me\n\n#tag refund\n#priorité haute\n#cc dave@example.com\n#fermer\n\nIt is paid back.\n";
    let answer = reply(ALICE, &copy).body("text/plain; charset=utf-8", text);
    desk.post(&answer.field("Content-Transfer-Encoding", "8bit")).await;
    let found = desk.ticket(&ticket);
    assert_eq!((found.status, found.priority), (Status::Closed, Priority::High));
    let entry = desk.newest(&ticket);
    // Dave is on it before the message goes out, and the line on top shows what Alice did.
    assert_eq!(desk.readers(&entry), ["carol@example.com", DAVE]);
    let facts = entry.facts.unwrap();
    assert_eq!((facts.status, facts.assignee.as_deref()), (Status::Closed, Some("Alice")));
    assert_eq!(facts.tags, ["refund"]);
    assert_eq!(events(&desk, &ticket).len(), 5);
    // #close beats what the property makes of a ticket after a reply; without it, that counts.
    desk.post(&reply(CAROL, &desk.last("carol@example.com").await).text("Thanks.\n")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("#uncc dave@example.com\nWelcome.\n")).await;
    assert_eq!(desk.ticket(&ticket).status, Status::Pending);
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["carol@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_by_command_stays_within_the_team() {
    let desk = desk().await;
    for command in ["#note", "#interne", "# Note:"] {
        let (ticket, copy) = question(&desk).await;
        let before = desk.inbox("carol@example.com").await.len();
        desk.post(&reply(ALICE, &copy).text(&format!("{command}\nShe never pays.\n"))).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.kind, entry.text.as_str()), (Kind::Note, "She never pays."), "{command}");
        assert_eq!(desk.readers(&entry), ["bob@team.example"], "{command}");
        assert_eq!(desk.inbox("carol@example.com").await.len(), before, "{command}");
        assert_eq!(desk.ticket(&ticket).status, Status::Open, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_does_nothing_and_sends_nothing_and_says_why() {
    let desk = desk().await;
    let other = desk.post(&letter("eve@example.com").to("bulle@desk.example.org")).await;
    for (lines, why) in [
        ("#noet", "there is no such command; did you mean #note?"),
        ("#close now", "#close stands alone in its line"),
        ("#assign", "it wants a value, as in: #assign alice"),
        ("#assign biling", "there is no biling here; did you mean billing?"),
        ("#tag a,b c#d", "\"c#d\" can't be a tag"),
        ("#untag paid", "there is no paid here"),
        ("#priority top", "a priority is low, normal, high or urgent"),
        ("#snooze 400d", "that is more than a year away"),
        ("#cc dave", "\"dave\" is not an address"),
        ("#cc acme@desk.example.org", "acme@desk.example.org is an address of this desk"),
        ("#cc bob@team.example", "bob@team.example is a member of acme"),
        ("#uncc gina@example.com", "there is no gina@example.com here"),
        ("#accept", "waits for a decision"),
        ("#reject 999", "there is no 999 here"),
        ("#merge acme-999", "there is no acme-999 here"),
        (&format!("#merge {other}"), "tickets of two properties can't be merged"),
        ("#merge bulle-999", "tickets of two properties can't be merged"),
        ("#close\n#open", "it contradicts #close"),
    ] {
        let (ticket, copy) = question(&desk).await;
        let before = (desk.ticket(&ticket), desk.entries(&ticket).len(), desk.inbox("carol@example.com").await.len());
        // The right ones beside it are not done either.
        let text = format!("#assign zoe\n#tag refund\n{lines}\n#cc eve@example.com\n\nDear Carol\n");
        let text = if lines.starts_with("#assign") { text.replacen("#assign zoe\n", "", 1) } else { text };
        desk.post(&reply(ALICE, &copy).cc(DAVE).text(&text)).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Command)), "{lines}");
        assert_eq!(entry.text.trim(), text.trim(), "{lines}: nothing of what he wrote is lost");
        let after =
            (desk.ticket(&ticket), desk.entries(&ticket).len() - 1, desk.inbox("carol@example.com").await.len());
        assert_eq!(made_out(&after.0), made_out(&before.0), "{lines}");
        assert_eq!((after.1, after.2), (before.1, before.2), "{lines}");
        let told = letter_to(&desk, "alice@team.example").await;
        let line = lines.lines().last().unwrap();
        let told: Vec<_> = told.lines().collect();
        let at =
            told.iter().position(|told| told.trim() == line).unwrap_or_else(|| panic!("{line} is not in {told:?}"));
        assert!(told[at + 1].contains(why), "{lines}: {}", told[at + 1]);
        assert!(told.contains(&"> Dear Carol"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_line_is_told_in_the_propertys_language() {
    let desk = desk().await;
    desk.act(|tx, act| {
        let roles = [("bulle".to_owned(), Role::Agent)].into();
        member::edit(tx, act, "alice", member::Changes { roles, ..Default::default() })
    })
    .await;
    desk.post(&letter(CAROL).to("bulle@desk.example.org").subject("Ma facture")).await;
    let copy = desk.last("alice@team.example").await;
    desk.post(&reply(ALICE, &copy).text("#femer\n#close\n#priority top\n\nBonjour\n")).await;
    let told = letter_to(&desk, "alice@team.example").await;
    for line in [
        "#femer\n      cette commande n’existe pas\u{a0}; vouliez-vous dire #fermer\u{a0}?\n",
        "#priority top\n      une priorité est basse, normale, haute ou urgente\n",
        "La commande #aide énumère celles qui existent.",
        "> Bonjour",
    ] {
        assert!(told.replace("\r\n", "\n").contains(line), "{line} is not in {told}");
    }
    assert!(!told.contains("    #close"), "what was right is not complained of: {told}");

    // Whatever can be wrong: in the order of the lines, and without a word of another language.
    let other = desk.post(&letter("eve@example.com").to("acme@desk.example.org")).await;
    let lines = [
        "#close now",
        "#assigner",
        "#assigner zoe",
        "#étiquette a,b c#d",
        "#sans-étiquette payé",
        "#priorité top",
        "#reporter 400j",
        "#reporter 2020-01-01",
        "#copie dave",
        "#copie bulle@desk.example.org",
        "#copie alice@team.example",
        "#sans-copie gina@example.com",
        "#accepter",
        "#accepter 999",
        "#accepter peut-être",
        "#rejeter même",
        "#fusionner bulle-999",
        "#fusionner 7",
    ];
    let wrong = async |text: String| {
        let mail = reply(ALICE, &copy).body("text/plain; charset=utf-8", &format!("{text}\n\nBonjour\n"));
        desk.post(&mail.field("Content-Transfer-Encoding", "8bit")).await;
        letter_to(&desk, "alice@team.example").await.replace("\r\n", "\n")
    };
    let told = wrong(lines.join("\n")).await;
    let shown: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("    #")).collect();
    let written: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix('#')).collect();
    assert_eq!(shown, written, "{told}");
    let others = [format!("#fusionner {other}"), "#fermer\n#ouvrir".to_owned(), "#tag a\n".repeat(21)];
    let mut letters = vec![told];
    for text in others {
        letters.push(wrong(text).await);
    }
    for told in letters {
        let words: Vec<_> = told.split(|c: char| !c.is_alphanumeric()).collect();
        for english in ["the", "is", "no", "not", "of", "and", "to", "there", "did", "newest", "already"] {
            assert!(!words.contains(&english), "{english} is not French: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_says_which_commands_it_allows() {
    let desk = desk().await;
    for (allowed, command, done) in [
        ("close,tag", "#close", true),
        ("close,tag", "#fermer", true),
        ("close,tag", "#assign me", false),
        ("none", "#close", false),
        ("all", "#assign me", true),
    ] {
        let changes = property::Changes { commands: Some(allowed.parse().unwrap()), ..Default::default() };
        desk.edit("acme", changes).await;
        let (ticket, copy) = question(&desk).await;
        desk.post(&reply(ALICE, &copy).text(&format!("{command}\nDone.\n"))).await;
        let state = if done { State::Relayed } else { State::Held };
        assert_eq!(desk.newest(&ticket).state, state, "{allowed}: {command}");
        if !done {
            let told = letter_to(&desk, "alice@team.example").await;
            assert!(told.contains("is not allowed here") && !told.contains("#help"), "{told}");
        }
    }
}

/// A mail that answers Alice's copy, or Carol's.
type Twin = fn(&str, &str) -> Letter;

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_anybody_else_are_text() {
    let desk = desk().await;
    let text = "#close\n#assign zoe\n#cc mallory@evil.example\n\nHello.\n";
    let twins: [(&str, Twin, State); 5] = [
        ("the member", |alice, _| reply(ALICE, alice), State::Relayed),
        ("the member, unaligned", |alice, _| reply(ALICE, alice).by(NOBODY), State::Held),
        ("a stranger with the member's reply address", |alice, _| reply("mallory@evil.example", alice), State::Held),
        ("the requester", |_, carol| reply(CAROL, carol), State::Relayed),
        (
            "a stranger with the requester's reply address",
            |_, carol| reply("mallory@evil.example", carol),
            State::Relayed,
        ),
    ];
    for (who, write, state) in twins {
        let (ticket, copy) = question(&desk).await;
        desk.post(&reply(BOB, &desk.last("bob@team.example").await).text("One moment.\n")).await;
        let (alice, carol) = (desk.last("alice@team.example").await, desk.last("carol@example.com").await);
        let before = desk.ticket(&ticket);
        assert_ne!(copy, alice);
        desk.post(&write(&alice, &carol).text(text)).await;
        let entry = desk.newest(&ticket);
        assert_eq!(entry.state, state, "{who}");
        let after = desk.ticket(&ticket);
        if who == "the member" {
            assert_eq!((after.status, assignee(&desk, &after).as_deref()), (Status::Closed, Some("Zoe")));
            continue;
        }
        assert_eq!((after.assignee, has(&after, "mallory@evil.example")), (before.assignee, false), "{who}");
        assert_ne!(after.status, Status::Closed, "{who}");
        assert_eq!(entry.text.trim(), text.trim(), "{who}: nothing is taken from it");
        assert!(entry.commands.is_empty(), "{who}");
        if state == State::Relayed {
            let copy = desk.last("bob@team.example").await;
            assert!(shown(&copy)[0].contains("#close\r\n#assign zoe"), "{who}: {copy}");
        }
    }
}

/// Mail as clients write it. Each says `#close`, `#tag vat` and "Done." in the ways that it has.
fn shapes() -> Vec<(&'static str, &'static str, String)> {
    let alternative = |plain: &str, html: &str| {
        let part = |kind: &str, body: &str| {
            format!("--b\nContent-Type: {kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}\n")
        };
        format!("{}{}--b--\n", part("text/plain", plain), part("text/html", html))
    };
    let plain = "#close\n#tag vat\n\nDone.\n";
    let (both, html) = ("multipart/alternative; boundary=b", "text/html; charset=utf-8");
    vec![
        (
            "Gmail",
            both,
            alternative(
                "#close\n#tag vat\n\nDone.\n\nOn Mon, 23 Nov 2026 at 10:00, Acme <acme@desk.example.org> wrote:\n\n> It is wrong.\n",
                "<div dir=\"ltr\">#close<div>#tag vat</div><div><br></div><div>Done.</div></div><br><div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" class=\"gmail_attr\">On Mon, 23 Nov 2026 at 10:00, Acme wrote:<br></div><blockquote class=\"gmail_quote\"><div>It is wrong.</div></blockquote></div>",
            ),
        ),
        (
            "Gmail, bold and with a link of its own making",
            both,
            alternative(
                "*#close*\n#tag vat\n\nDone.\n",
                "<div dir=\"ltr\"><b>#close</b><br>#tag <a href=\"http://vat\">vat</a><br><br>Done.</div>",
            ),
        ),
        (
            "Outlook",
            both,
            alternative(
                "#close\n\n#tag vat\n\n\u{a0}\n\nDone.\n\n\u{a0}\n\nFrom: Acme <acme@desk.example.org>\nSent: Monday, November 23, 2026 10:00 AM\nTo: Alice <alice@team.example>\nSubject: My invoice\n\nIt is wrong.\n",
                "<html xmlns:o=\"urn:schemas-microsoft-com:office:office\"><head><style><!-- p.MsoNormal {margin:0cm} --></style><!--[if gte mso 9]><xml></xml><![endif]--></head><body lang=EN-GB><div class=WordSection1><p class=MsoNormal><span lang=EN-US>#close<o:p></o:p></span></p><p class=MsoNormal><span>#</span><span>tag&nbsp;vat<o:p></o:p></span></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>Done.<o:p></o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Acme &lt;acme@desk.example.org&gt;<br><b>Sent:</b> Monday, November 23, 2026 10:00 AM<br><b>To:</b> Alice<br><b>Subject:</b> My invoice</p></div></div><p class=MsoNormal>It is wrong.</p></div></body></html>",
            ),
        ),
        (
            "Outlook on the web, HTML alone",
            html,
            "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body dir=\"ltr\"><div class=\"elementToProof\" style=\"font-family: Aptos\">#close</div><div class=\"elementToProof\">&#8203;#tag vat</div><div class=\"elementToProof\"><br></div><div class=\"elementToProof\">Done.</div><div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\"><b>From:</b> Acme<br></div><div>It is wrong.</div></body></html>\n".to_owned(),
        ),
        (
            "Apple Mail",
            both,
            alternative(
                plain,
                "<html><body style=\"overflow-wrap: break-word;\">#Close<div>#tag vat<br><div><br></div><div>Done.<br><blockquote type=\"cite\"><div>It is wrong.</div></blockquote></div></div></body></html>",
            ),
        ),
        (
            "Apple Mail on a phone, HTML alone",
            html,
            "<html><body dir=\"auto\"><div dir=\"ltr\"></div><div dir=\"ltr\">#Close.&nbsp;</div><div dir=\"ltr\">#tag “vat”</div><div dir=\"ltr\">Done.</div><div dir=\"ltr\"><br><blockquote type=\"cite\">On 23 Nov 2026, at 10:00, Acme wrote:<br></blockquote></div><blockquote type=\"cite\"><div dir=\"ltr\">It is wrong.</div></blockquote></body></html>\n".to_owned(),
        ),
        ("all in one element", html, "<p>#close<br/>#tag vat<br><br>Done.</p>\n".to_owned()),
        ("a list of elements on one line", html, "<div>#close</div><div>#tag&#xA0;vat</div><div>Done.</div>\n".to_owned()),
        ("the number sign as an entity", html, "<p>&#35;close</p><p>&num;tag vat</p><p>Done.</p>\n".to_owned()),
        (
            "an East Asian keyboard, a byte order mark, zero-width characters",
            "text/plain; charset=utf-8",
            "\u{feff}＃close\n\u{200b}#\u{200b}tag\u{3000}vat\n\nDone.\n".to_owned(),
        ),
        (
            "flowed text",
            "text/plain; charset=utf-8; format=flowed",
            "#close\n#tag vat\n\nDone.\n-- \nAlice\n".to_owned(),
        ),
        ("Latin-1", "text/plain; charset=iso-8859-1", plain.to_owned()),
        ("a charset that nobody knows", "text/plain; charset=x-none", plain.to_owned()),
        (
            "an image first",
            "multipart/mixed; boundary=m",
            format!("--m\nContent-Type: image/png\nContent-Disposition: inline; filename=a.png\n\nx\n--m\nContent-Type: text/plain\n\n{plain}--m--\n"),
        ),
        (
            "commands and text in two parts",
            "multipart/mixed; boundary=m",
            "--m\nContent-Type: text/plain\n\n#close\n--m\nContent-Type: text/plain\n\n#tag vat\n\nDone.\n--m--\n".to_owned(),
        ),
        (
            "a name on the text",
            "multipart/mixed; boundary=m",
            format!("--m\nContent-Type: text/plain; name=body.txt\nContent-Disposition: inline\n\n{plain}--m--\n"),
        ),
        (
            "a signed mail in the quotation",
            "text/plain",
            format!("{plain}\n> -----BEGIN PGP SIGNED MESSAGE-----\n> It is wrong.\n"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_never_reach_a_contacts_copy_in_any_part() {
    let desk = desk().await;
    for (name, content_type, body) in shapes() {
        let (ticket, copy) = question(&desk).await;
        let answer = reply(ALICE, &copy).body(content_type, &body);
        let answer = if content_type.starts_with("multipart/") {
            answer
        } else {
            answer.field("Content-Transfer-Encoding", "8bit")
        };
        desk.post(&answer).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason), (State::Relayed, None), "{name}: {}", entry.text);
        let found = desk.ticket(&ticket);
        assert_eq!((found.status, found.tags.contains("vat")), (Status::Closed, true), "{name}");
        assert!(!entry.text.contains("#close") && entry.text.contains("Done."), "{name}: {}", entry.text);
        for reader in ["carol@example.com", "bob@team.example"] {
            let copy = desk.last(reader).await;
            let texts = shown(&copy);
            let text = texts.join("\n").to_lowercase().replace(|c: char| c.is_whitespace() || c == '\u{200b}', "");
            let mine = text.split("itiswrong").next().unwrap().to_owned();
            for command in ["#close", "#tag", "＃close", "#35;close", "&num;"] {
                assert!(!mine.contains(command), "{name}, {reader}: {copy}");
            }
            // Each part that shows the text still does.
            let shows = texts.iter().filter(|text| text.contains("Done.")).count();
            assert_eq!(shows, if content_type.contains("alternative") { 2 } else { 1 }, "{name}, {reader}: {copy}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_lines_of_what_is_new_are_commands() {
    let desk = desk().await;
    for text in [
        "Dear Carol\n\n#close\n",
        "Write #close on top.\n",
        "#1 is paid back.\n",
        "# Summary\n\nIt is paid back.\n",
        "- #close\n",
        "It is paid back.\n\nOn Mon, 23 Nov 2026, Acme wrote:\n> #close\n",
        "It is paid back.\n\n-- \n#close\n",
    ] {
        let (ticket, copy) = question(&desk).await;
        desk.post(&reply(ALICE, &copy).text(text)).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, desk.ticket(&ticket).status), (State::Relayed, Status::Pending), "{text}");
        assert_eq!(desk.readers(&entry), ["bob@team.example", "carol@example.com"], "{text}");
    }
    // What is a signature alone is nobody's word, whatever it begins with.
    let (ticket, copy) = question(&desk).await;
    let signature = "<div><br></div><div class=\"gmail_signature\">#close<br>Alice</div>\n";
    desk.post(&reply(ALICE, &copy).body("text/html; charset=utf-8", signature)).await;
    let entry = desk.newest(&ticket);
    assert_eq!((entry.state, entry.commands.len()), (State::Relayed, 0), "{}", entry.text);
    assert_eq!(desk.ticket(&ticket).status, Status::Pending);
    // Below a quotation they could not be cut from what goes out.
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(ALICE, &copy).text("On Mon, 23 Nov 2026, Acme wrote:\n> It is wrong.\n\n#close\nDone.\n")).await;
    assert_eq!(desk.newest(&ticket).reason, Some(Reason::Command));
    let told = letter_to(&desk, "alice@team.example").await;
    assert!(told.contains("commands stand at the very top, above what is quoted"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_mail_is_not_searched() {
    let desk = desk().await;
    let (ticket, copy) = question(&desk).await;
    let signed =
        "--s\nContent-Type: text/plain\n\n#close\nDone.\n--s\nContent-Type: application/pgp-signature\n\nx\n--s--\n";
    let kind = "multipart/signed; boundary=s; protocol=\"application/pgp-signature\"";
    desk.post(&reply(ALICE, &copy).body(kind, signed)).await;
    assert_eq!(desk.ticket(&ticket).status, Status::Pending);
    assert!(desk.last("carol@example.com").await.contains("#close\r\nDone."));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_alone_send_nothing_to_anybody() {
    let desk = desk().await;
    for text in [
        "#assign me\n#tag vat\n",
        "#assign me\n#tag vat\n\n-- \nAlice\nAcme\n",
        "#assign me\n#tag vat\n\nOn Mon, 23 Nov 2026, Acme wrote:\n> It is wrong.\n",
        "#assign me\n#tag vat\n\nSent from my iPhone\n",
    ] {
        let (ticket, copy) = question(&desk).await;
        let before = desk.settled().await.len();
        let mail = reply(ALICE, &copy).text(text);
        assert_eq!(desk.post(&mail).await, ticket);
        let entry = desk.newest(&ticket);
        assert_eq!((entry.state, entry.reason), (State::Kept, Some(Reason::OnlyCommands)), "{text}");
        assert!(entry.text.contains("#assign me"), "what he wrote is there to be seen");
        assert_eq!(desk.settled().await.len(), before, "{text}");
        let found = desk.ticket(&ticket);
        assert_eq!(assignee(&desk, &found).as_deref(), Some("Alice"), "{text}");
        assert_eq!(found.status, Status::Open, "{text}");
        // It is known when it comes again.
        desk.post(&mail).await;
        assert_eq!(desk.messages(&ticket).len(), 2, "{text}");
        // Nobody is led to it by what they get later.
        desk.post(&reply(ALICE, &copy).text("Paid back.\n")).await;
        let references = field(&desk.last("carol@example.com").await, "References").unwrap();
        let id = mail.get("Message-ID").unwrap().to_owned();
        assert!(!references.contains(&id), "{references}");
    }
    // A file is something to send.
    let (ticket, copy) = question(&desk).await;
    let body = "--m\nContent-Type: text/plain\n\n#close\n--m\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=invoice.pdf\n\nx\n--m--\n";
    desk.post(&reply(ALICE, &copy).body("multipart/mixed; boundary=m", body)).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_status_come_back_to_who_asked() {
    let desk = desk().await;
    desk.edit("acme", property::Changes { commands: Some("help,status,close".parse().unwrap()), ..Default::default() })
        .await;
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(ALICE, &copy).text("#help\n")).await;
    let help = desk.last("alice@team.example").await;
    assert_eq!(field(&help, "Auto-Submitted").as_deref(), Some("auto-replied"));
    assert_eq!(field(&help, "Subject").as_deref(), Some("Commands by mail"));
    let text = shown(&help).remove(0);
    assert!(text.contains("#close") && !text.contains("#assign"), "only what is allowed: {text}");
    assert!(text.contains("An answer to this mail is a note to the team"), "{text}");

    desk.act(|tx, act| ticket::tag(tx, act, &ticket, "refund")).await;
    desk.act(|tx, act| ticket::cc(tx, act, &ticket, &address(DAVE))).await;
    desk.write(&ticket, Some("bob"), Scope::Note, "She is right.").await;
    desk.post(&reply(ALICE, &copy).text("Forged.\n").by(NOBODY)).await;
    let held = desk.newest(&ticket).id;
    desk.post(&reply(ALICE, &copy).text("#état\n\nWe look into it.\n")).await;
    let status = desk
        .inbox("alice@team.example")
        .await
        .into_iter()
        .rfind(|mail| field(mail, "Subject").is_some_and(|subject| subject == format!("{ticket}: My invoice")));
    let text = shown(status.as_ref().unwrap()).remove(0);
    for fact in [
        &format!("{ticket} · Pending · Assigned to Billing"),
        "Requester: Carol <carol@example.com>",
        "Also on it: dave@example.com",
        "Followed by: Bob, Alice",
        "Tags: refund",
        &format!("#{held} · Alice"),
        "internal note",
        "We look into it.",
        "It is wrong.",
    ] {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
    // What is said to the desk is not said to the customer, though it is in one thread with what is.
    let before = desk.inbox("carol@example.com").await.len();
    for (letter, answer) in [(help, "Thank you.\n"), (status.unwrap(), "#close\nThat will do.\n")] {
        desk.post(&reply(ALICE, &letter).text(answer)).await;
        let entry = desk.newest(&ticket);
        assert_eq!((entry.kind, entry.state), (Kind::Note, State::Relayed), "{answer}");
        assert_eq!(desk.inbox("carol@example.com").await.len(), before, "{answer}");
    }
    assert_eq!(desk.ticket(&ticket).status, Status::Closed);
    // Everything else is done in silence.
    let before = desk.inbox("alice@team.example").await.len();
    desk.post(&reply(ALICE, &copy).text("#close\n")).await;
    assert_eq!(desk.inbox("alice@team.example").await.len(), before);
    // A question at the bare address is a closed ticket that tells nobody.
    let before = desk.settled().await.len();
    let asked = desk.post(&letter(ALICE).to("acme@desk.example.org").subject("?").text("#aide\n")).await;
    assert_eq!(desk.ticket(&asked).status, Status::Closed);
    assert_eq!(desk.settled().await.len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_accepted_and_rejected_by_command() {
    let desk = desk().await;
    // The one entry that waits.
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(BOB, &desk.last("bob@team.example").await).by(NOBODY).text("From Bob's phone.\n")).await;
    let held = desk.newest(&ticket).id;
    desk.post(&reply(ALICE, &copy).text("#accept\n")).await;
    let entry = desk.read(|view| find::entry(view, &find::ticket(view, &ticket)?, held));
    assert_eq!((entry.state, entry.verified), (State::Relayed, Verified::Confirmed));
    assert!(desk.last("carol@example.com").await.contains("From Bob's phone."));

    // Two that wait: say which.
    let (ticket, copy) = question(&desk).await;
    for text in ["One.\n", "Two.\n"] {
        desk.post(&reply(BOB, &desk.last("bob@team.example").await).by(NOBODY).text(text)).await;
    }
    let waiting: Vec<_> = desk.messages(&ticket).iter().skip(1).map(|entry| entry.id).collect();
    desk.post(&reply(ALICE, &copy).text("#accept\n")).await;
    let told = letter_to(&desk, "alice@team.example").await;
    assert!(told.contains(&format!("say which: {}, {}", waiting[0], waiting[1])), "{told}");
    desk.post(&reply(ALICE, &copy).text(&format!("#accept {}\n#rejeter #{}\n", waiting[1], waiting[0]))).await;
    let states: Vec<_> = desk.messages(&ticket)[1..3].iter().map(|entry| entry.state).collect();
    assert_eq!(states, [State::Rejected, State::Relayed]);

    // An unverified writer joins, as the one or the other, when his own mail is answered.
    for (command, requester, readers) in [
        ("#accept", "carol@example.com", vec!["bob@team.example", "carol@example.com", "eve@example.com"]),
        ("#accepter copie", "carol@example.com", vec!["bob@team.example", "carol@example.com", "eve@example.com"]),
        ("#accept same", "eve2@example.com", vec!["bob@team.example", "eve2@example.com"]),
    ] {
        let (ticket, copy) = question(&desk).await;
        desk.post(&reply(ALICE, &copy).text("Which one?\n")).await;
        let eve = if command.ends_with("same") { "eve2@example.com" } else { "eve@example.com" };
        desk.post(&reply(eve, &desk.last("carol@example.com").await).text("The red one.\n")).await;
        let copy = desk.last("alice@team.example").await;
        desk.post(&reply(ALICE, &copy).text(&format!("{command}\n\nThank you.\n"))).await;
        assert_eq!(desk.ticket(&ticket).requester().unwrap().address.as_str(), requester, "{command}");
        assert_eq!(desk.readers(&desk.newest(&ticket)), readers, "{command}");
    }

    // Nothing waits: those whom the answered mail named.
    let first = letter("frank@example.com").to("acme+billing@desk.example.org").cc("gina@example.com").by(NOBODY);
    let ticket = desk.post(&first).await;
    let gina = |desk: &TestDesk| desk.participant(&ticket, "gina@example.com").unwrap().standing;
    assert_eq!(gina(&desk), Standing::Proposed);
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await).text("#accept\nHello both.\n")).await;
    assert_eq!(gina(&desk), Standing::Accepted);
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "frank@example.com", "gina@example.com"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_takes_the_message_along() {
    let desk = desk().await;
    let (first, _) = question(&desk).await;
    let second = desk.post(&letter("dan@example.com").to("acme+billing@desk.example.org").subject("The same")).await;
    let copy = desk.last("alice@team.example").await;
    let mail = reply(ALICE, &copy).text(&format!("#close\n#tag vat\n#merge {first}\n\nThis is one matter.\n"));
    assert_eq!(desk.post(&mail).await, first);
    let merged = desk.ticket(&second);
    assert_eq!((merged.reference.to_string(), merged.status), (first.clone(), Status::Closed));
    assert!(merged.tags.contains("vat"));
    let entry = desk.newest(&first);
    assert_eq!(entry.text, "This is one matter.");
    assert_eq!(desk.readers(&entry), ["bob@team.example", "carol@example.com", "dan@example.com"]);
    let told = events(&desk, &first);
    assert!(told.iter().any(|entry| entry.event.as_ref().unwrap().what == What::Merged));
    assert_eq!(verify::references(&desk.inside().0).unwrap().problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn held_mail_runs_its_commands_when_it_is_accepted() {
    let desk = desk().await;
    // By the desk.
    let (ticket, copy) = question(&desk).await;
    let text = "#assign me\n#close\n#cc dave@example.com\n\nIt is paid back.\n";
    desk.post(&reply(ALICE, &copy).by(NOBODY).text(text)).await;
    let held = desk.newest(&ticket);
    assert_eq!((held.state, held.text.trim()), (State::Held, text.trim()));
    assert_eq!(desk.ticket(&ticket).status, Status::Open);
    desk.accept(&ticket, held.id, None).await;
    let (entry, found) = (desk.newest(&ticket), desk.ticket(&ticket));
    assert_eq!((entry.state, entry.text.as_str()), (State::Relayed, "It is paid back."));
    assert_eq!((found.status, assignee(&desk, &found).as_deref()), (Status::Closed, Some("Alice")));
    let copies = desk.copies_of(&entry).into_iter().filter(|copy| copy.content == Content::Entry);
    assert_eq!(copies.map(|copy| copy.to.to_string()).collect::<Vec<_>>(), ["carol@example.com", DAVE]);
    assert!(!shown(&desk.last("carol@example.com").await)[0].contains('#'));
    for event in events(&desk, &ticket) {
        let what = event.event.unwrap().what;
        let by_alice = event.author.mailbox().is_some_and(|by| by.address == address("alice@team.example"));
        assert_eq!(by_alice, what != What::Accepted, "{what:?} is in her name");
    }

    // #status tells what the mail itself made of its ticket.
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(ALICE, &copy).by(NOBODY).text("#status\n#tag refund\n\nIt is paid back.\n")).await;
    desk.accept(&ticket, desk.newest(&ticket).id, None).await;
    let told = letter_to(&desk, "alice@team.example").await;
    for fact in [&format!("{ticket} · Pending · Assigned to Billing"), "Followed by: Alice", "Tags: refund"] {
        assert!(told.contains(fact), "{fact} is not in {told}");
    }

    // By a crossed member's own yes.
    let (ticket, alice) = question(&desk).await;
    let bob = desk.last("bob@team.example").await;
    desk.post(&reply(ALICE, &alice).text("It is paid back.\n")).await;
    desk.post(&reply(BOB, &bob).text("#tag vat\n#note\nI was faster.\n")).await;
    assert_eq!(desk.newest(&ticket).state, State::Relayed, "a note crosses nothing");
    desk.post(&reply(BOB, &bob).text("#tag refund\n#close\nWe never pay back.\n")).await;
    assert_eq!(desk.newest(&ticket).reason, Some(Reason::Crossed));
    assert!(!desk.ticket(&ticket).tags.contains("refund"));
    let asked = desk.last("bob@team.example").await;
    desk.post(&reply(BOB, &asked).text("yes\n")).await;
    let found = desk.ticket(&ticket);
    assert_eq!((found.status, found.tags.contains("refund")), (Status::Closed, true));

    // Wrong ones hold it on: an error at the desk, a letter by mail.
    let (ticket, alice) = question(&desk).await;
    let bob = desk.last("bob@team.example").await;
    desk.post(&reply(ALICE, &alice).text("It is paid back.\n")).await;
    desk.post(&reply(BOB, &bob).text("#clsoe\nWe never pay back.\n")).await;
    let held = desk.newest(&ticket);
    assert_eq!(held.reason, Some(Reason::Crossed));
    let (store, inside) = desk.inside();
    let refused = store
        .transact(|tx| {
            let act = Act {
                desk: &inside,
                now: Timestamp::now(),
                door: Door::Cli,
                actor: Actor::System,
                trace: None,
                client: None,
            };
            held::accept(tx, &act, &ticket, held.id, None)
        })
        .await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "it begins with commands that are wrong:\n#clsoe: there is no such command; did you mean #close?"
    );
    let asked = desk.last("bob@team.example").await;
    let before = desk.inbox("carol@example.com").await.len();
    desk.post(&reply(BOB, &asked).text("yes\n")).await;
    assert_eq!(desk.inbox("carol@example.com").await.len(), before);
    let entry = desk.read(|view| find::entry(view, &find::ticket(view, &ticket)?, held.id));
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Command)));
    let told = letter_to(&desk, "bob@team.example").await;
    assert!(told.contains("did you mean #close?"), "{told}");

    // So do those above a forward that waited for a yes.
    desk.edit("acme", property::Changes { strict: Some(true), ..Default::default() }).await;
    let text = "#assign zoe\n#priority urgent\n\n---------- Forwarded message ---------\nFrom: Dan <dan@example.com>\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nSubject: Broken\nTo: Alice <alice@team.example>\n\nIt is broken.\n";
    let ticket = desk.post(&letter(ALICE).to("acme@desk.example.org").subject("Fwd: Broken").text(text)).await;
    let held = desk.newest(&ticket);
    assert_eq!((held.state, desk.ticket(&ticket).priority), (State::Held, Priority::Normal));
    desk.accept(&ticket, held.id, None).await;
    let (entry, found) = (desk.newest(&ticket), desk.ticket(&ticket));
    assert_eq!(found.requester().unwrap().address, address("dan@example.com"));
    assert_eq!((assignee(&desk, &found).as_deref(), found.priority), (Some("Zoe"), Priority::Urgent));
    assert_eq!(entry.text, "It is broken.");
    assert!(!desk.last("zoe@team.example").await.contains("#assign"));
    desk.edit("acme", property::Changes { strict: Some(false), ..Default::default() }).await;

    // What was held decides about nothing else that is.
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(ALICE, &copy).by(NOBODY).text("Forged.\n")).await;
    let forged = desk.newest(&ticket).id;
    desk.post(&reply(ALICE, &copy).by(NOBODY).text(&format!("#accept {forged}\nHello.\n"))).await;
    let second = desk.newest(&ticket).id;
    desk.post(&reply(BOB, &desk.last("bob@team.example").await).text(&format!("#accept {second}\n"))).await;
    let told = letter_to(&desk, "bob@team.example").await;
    assert!(told.contains("is not done by a message that was held itself"), "{told}");
    let entry = desk.read(|view| find::entry(view, &find::ticket(view, &ticket)?, forged));
    assert_eq!(entry.state, State::Held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_may_begin_with_commands() {
    let desk = desk().await;
    // A member's own.
    let mail =
        letter(ALICE).to("acme@desk.example.org").subject("Call Carol").text("#assign sales\n#tag call\n\nToday.\n");
    let ticket = desk.post(&mail).await;
    let found = desk.ticket(&ticket);
    assert_eq!((assignee(&desk, &found).as_deref(), found.tags.len()), (Some("Sales"), 1));
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["zoe@team.example"]);
    assert!(!shown(&desk.last("zoe@team.example").await)[0].contains("#assign"));
    assert_eq!(desk.post(&mail).await, ticket, "the same mail once more opens nothing");
    // All of it in the subject.
    let ticket = desk.post(&letter(ALICE).to("acme@desk.example.org").subject("Call Dan").text("#assign zoe\n")).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["zoe@team.example"]);
    // For the customer whose mail he forwards.
    let text = "#assign sales\n#priority urgent\n\n---------- Forwarded message ---------\nFrom: Dan <dan@example.com>\nDate: Mon, 23 Nov 2026 10:00:00 +0000\nSubject: Broken\nTo: Alice <alice@team.example>\n\nIt is broken.\n";
    let ticket = desk.post(&letter(ALICE).to("acme@desk.example.org").subject("Fwd: Broken").text(text)).await;
    let found = desk.ticket(&ticket);
    assert_eq!(found.requester().unwrap().address, address("dan@example.com"));
    assert_eq!((assignee(&desk, &found).as_deref(), found.priority), (Some("Sales"), Priority::Urgent));
    assert_eq!(desk.newest(&ticket).text, "It is broken.");
    // What makes no sense there is wrong, and nobody hears of the ticket.
    for command in ["#merge acme-1", "#note", "#accept", "#assign nobody-here"] {
        let before = desk.inbox("zoe@team.example").await.len();
        let mail = letter(ALICE).to("acme@desk.example.org").subject("x").text(&format!("{command}\nHello.\n"));
        let ticket = desk.post(&mail).await;
        assert_eq!(desk.newest(&ticket).reason, Some(Reason::Command), "{command}");
        assert_eq!(desk.inbox("zoe@team.example").await.len(), before, "{command}");
        letter_to(&desk, "alice@team.example").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_logged_in_commands_in_the_same_way() {
    let desk = desk().await;
    let mut alice = Agent::log_in(&desk, "alice").await;
    // A composed ticket.
    let mail = letter("Acme <acme@desk.example.org>")
        .to("dan@example.com")
        .subject("Your order")
        .text("#tag order\n#close\n#assign zoe\n\nIt is on its way.\n");
    let ticket = alice.post(&mail).await;
    let found = desk.ticket(&ticket);
    assert_eq!((found.status, assignee(&desk, &found).as_deref()), (Status::Closed, Some("Zoe")));
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["dan@example.com", "zoe@team.example"]);
    let copy = desk.last("dan@example.com").await;
    assert!(shown(&copy)[0].contains("on its way") && !copy.contains("#close"), "{copy}");
    // A wrong one sends nothing to anybody.
    let wrong = letter("Acme <acme@desk.example.org>").to("eva@example.com").subject("x").text("#colse\n\nHello\n");
    alice.post(&wrong).await;
    assert!(desk.inbox("eva@example.com").await.is_empty());
    letter_to(&desk, "alice@team.example").await;
    // A reply, with somebody more in To: with a wrong command he is not on the ticket either.
    let (ticket, copy) = question(&desk).await;
    let to_dave = |text: &str| {
        let answer = reply(ALICE, &copy).text(text);
        let to = answer.recipients().remove(0);
        answer.field("To", &format!("{to}, {DAVE}"))
    };
    alice.post(&to_dave("#tga vat\nHello\n")).await;
    assert_eq!(desk.participant(&ticket, DAVE), None);
    assert!(events(&desk, &ticket).is_empty());
    alice.post(&to_dave("#note\nHello\n")).await;
    assert_eq!((desk.newest(&ticket).state, desk.participant(&ticket, DAVE)), (State::Held, None));
    alice.post(&to_dave("#tag vat\nHello\n")).await;
    assert_eq!(desk.readers(&desk.newest(&ticket)), ["bob@team.example", "carol@example.com", DAVE]);
    assert!(events(&desk, &ticket).iter().all(|entry| entry.door == Door::Submission));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_assigned_by_command_gets_the_conversation_and_its_commands_to_nobody() {
    let desk = desk().await;
    let (ticket, copy) = question(&desk).await;
    desk.post(&reply(ALICE, &copy).text("#close\nDone.\n")).await;
    desk.post(&reply(ALICE, &copy).text("#assign zoe\n")).await;
    let zoe = desk.last("zoe@team.example").await;
    assert!(zoe.contains("It is wrong.") && zoe.contains("Done.") && !zoe.contains("#close"), "{zoe}");
    let letters = desk.copies_of(&desk.newest(&ticket)).into_iter();
    assert_eq!(letters.filter(|copy| matches!(copy.content, Content::Letter(_))).count(), 0);
}
