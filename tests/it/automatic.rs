//! What machines send, after what named servers and services write: each shape under
//! `fixtures/machines/` is decided as its table says, by whoever reads it and by a whole desk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use guichet::desk::copy::CopyState;
use guichet::desk::entry::{Machine, State, What};
use guichet::desk::ticket::Status;
use guichet::mime::marks;
use guichet::mime::report::{self, Action, Form, Recipient};
use guichet::mime::understand::{Limits, understand};
use serde::Deserialize;

use crate::kit::desk::{TestDesk, address, field};
use crate::kit::letter::{letter, reply};

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "carol@example.com";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    server: String,
    from: String,
    to: String,
    is: Is,
    reason: Option<String>,
    recipient: Option<String>,
    words: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Is {
    Person,
    Talking,
    Silent,
    Failed,
    Delayed,
    Noted,
    Delivered,
}

/// What stands for the names in braces.
struct Names {
    copy: String,
    reply: String,
    id: String,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        let property = "acme@desk.example.org";
        [("copy", &*self.copy), ("reply", &self.reply), ("id", &self.id), ("carol", CAROL), ("property", property)]
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/machines")
}

fn decisions() -> BTreeMap<String, Decision> {
    toml::from_str(&fs::read_to_string(folder().join("decisions.toml")).unwrap()).unwrap()
}

fn mail(name: &str) -> String {
    String::from_utf8(fs::read(folder().join(name).with_extension("eml")).unwrap()).unwrap()
}

#[test]
fn every_mail_has_a_decision_and_many_servers_are_among_them() {
    let decisions = decisions();
    let mut mails: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    mails.sort();
    assert_eq!(mails, decisions.keys().cloned().collect::<Vec<_>>());
    let servers: std::collections::BTreeSet<_> =
        decisions.values().filter_map(|decision| decision.server.split([' ', ',']).next()).collect();
    assert!(mails.len() >= 40 && servers.len() >= 12, "{} of {servers:?}", mails.len());
}

#[test]
fn each_is_read_as_what_it_is() {
    let names = Names {
        copy: "bounces+caaaaaaaaaaaaaaaaaaaaaa@desk.example.org".to_owned(),
        reply: "acme+taaaaaaaaaaaaaaaaaaaaaa@desk.example.org".to_owned(),
        id: "original@mx.desk.example.org".to_owned(),
    };
    let mut wrong = Vec::new();
    for (name, decision) in decisions() {
        let said = understand(names.fill(&mail(&name)).as_bytes(), &Limits::default()).unwrap();
        let null = decision.from == "<>";
        let machine = marks::machine(&said.marks, null);
        let by_server = null || report::is_server(&said.from[0].address);
        let believed = said.report.as_ref().filter(|report| report.form == Form::Status || by_server);
        let kind = machine.map(|(machine, _)| machine);
        let reason = machine.and_then(|(_, reason)| reason).map(|reason| serde_json::to_value(reason).unwrap());
        let reason = reason.as_ref().and_then(serde_json::Value::as_str);
        let recipient = decision.recipient.as_deref().map(|recipient| address(&names.fill(recipient)));
        let of_him = |known: &&Recipient| known.final_recipient == recipient;
        let told = believed.and_then(|report| report.recipients.iter().find(of_him));
        let words = told.map(|told| if told.diagnostic.is_empty() { &told.status } else { &told.diagnostic });
        let right = match decision.is {
            Is::Person => kind.is_none() && believed.is_none(),
            Is::Talking => kind == Some(Machine::Talking) && believed.is_none(),
            Is::Silent if decision.reason.as_deref() == Some("bounce") => {
                believed.is_some_and(|report| report.original_id.is_none())
            }
            Is::Silent => kind == Some(Machine::Silent) && reason == decision.reason.as_deref() && believed.is_none(),
            Is::Failed | Is::Delayed | Is::Noted | Is::Delivered => {
                let action = told.map(|told| match told.action {
                    Action::Failed => "failed",
                    Action::Delayed => "delayed",
                    Action::Delivered | Action::Relayed | Action::Expanded => "delivered",
                });
                let expected = match decision.is {
                    Is::Delayed => "delayed",
                    Is::Delivered => "delivered",
                    _ => "failed",
                };
                action == Some(expected) && words.cloned() == decision.words.as_ref().map(|words| names.fill(words))
            }
        };
        if !right {
            wrong.push(format!("{name}: {:?}, but {machine:?}, {:#?}", decision.is, said.report));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_gets_each_does_as_the_table_says() {
    let desk = TestDesk::with("[limits]\nlook_alike = 1000000\n").await;
    desk.members(&["alice", "bob"]).await;
    for (name, decision) in decisions() {
        let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").subject(&format!("Help with {name}"))).await;
        desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
        let sent = desk.settled().await;
        let his = sent.iter().rev().find(|received| received.to[0].contains(CAROL)).unwrap();
        let copy = String::from_utf8_lossy(&his.message).into_owned();
        let names = Names {
            copy: his.from.split(['<', '>']).nth(1).unwrap().to_owned(),
            reply: field(&copy, "Reply-To").unwrap(),
            id: field(&copy, "Message-ID").unwrap().trim_matches(['<', '>']).to_owned(),
        };
        let count = |received: &[crate::kit::sink::Received], reader: &str| {
            received.iter().filter(|received| received.to[0].contains(reader)).count()
        };
        let entries = desk.messages(&ticket).len();
        let status = desk.ticket(&ticket).status;
        let to = names.fill(&format!("{{{}}}", decision.to));
        let sender = decision.from.trim_matches(['<', '>']);
        let said = desk.send(sender, &[&to], &names.fill(&mail(&name))).await;
        let on = said.strip_prefix("250 2.0.0 ").and_then(|rest| rest.split_once(" as ")).map(|(on, _)| on.to_owned());
        let on = on.unwrap_or_else(|| panic!("{name}: {said}"));
        let after = desk.settled().await;
        let mailed = (count(&after, "alice@") - count(&sent, "alice@"), count(&after, "bob@") - count(&sent, "bob@"));
        assert_eq!(after.len(), sent.len() + mailed.0 + mailed.1, "{name}: nobody but members is sent anything");

        let answered = desk.messages(&ticket)[1].clone();
        let his = desk.copies_of(&answered).into_iter().find(|copy| copy.to.as_str() == CAROL).unwrap();
        let words = decision.words.as_deref().map(|words| names.fill(words));
        let events = |what: What| {
            let events = desk.entries(&ticket).into_iter().filter_map(|entry| entry.event);
            events.filter(|event| event.what == what).map(|event| (event.from, event.to)).collect::<Vec<_>>()
        };
        let event = |what: What| {
            let recipient = decision.recipient.as_deref().map(|recipient| names.fill(recipient));
            assert_eq!(events(what), [(recipient, words.clone())], "{name}");
        };
        let expected = match decision.is {
            Is::Failed => {
                event(What::Failed);
                assert_eq!(events(What::Bounce), [], "{name}: nobody else is named");
                CopyState::Failed
            }
            Is::Delayed => {
                event(What::Delayed);
                CopyState::Deferred
            }
            Is::Noted => {
                event(What::Bounce);
                CopyState::Sent
            }
            Is::Delivered => {
                event(What::Delivered);
                CopyState::Sent
            }
            Is::Person | Is::Talking | Is::Silent => CopyState::Sent,
        };
        assert_eq!(his.state, expected, "{name}");
        match decision.is {
            Is::Failed | Is::Delayed | Is::Noted | Is::Delivered => {
                assert_eq!(on, ticket, "{name}");
                assert_eq!(desk.messages(&ticket).len(), entries, "{name}: a report is no entry of its own");
                // The author is told of what failed, and of nothing else.
                assert_eq!(mailed, (usize::from(decision.is == Is::Failed), 0), "{name}");
                if matches!(decision.is, Is::Failed | Is::Delayed) {
                    assert_eq!(his.reply, words, "{name}");
                }
            }
            Is::Silent => {
                let entry = desk.newest(&on);
                let reason = entry.reason.map(|reason| serde_json::to_value(reason).unwrap());
                assert_eq!((entry.state, entry.machine), (State::Kept, Some(Machine::Silent)), "{name}");
                assert_eq!(reason.unwrap().as_str(), decision.reason.as_deref(), "{name}");
                assert_eq!(mailed, (0, 0), "{name}");
                let of_it = decision.to != "property" || mail(&name).contains("{id}");
                assert_eq!(on == ticket, of_it, "{name}: on {on}");
                let expected = if of_it { status } else { Status::Closed };
                assert_eq!(desk.ticket(&on).status, expected, "{name}: it opens and closes nothing");
            }
            Is::Person | Is::Talking => {
                let entry = desk.newest(&on);
                let machine = (decision.is == Is::Talking).then_some(Machine::Talking);
                assert_eq!((entry.state, entry.machine), (State::Relayed, machine), "{name}");
                assert_eq!(on == ticket, decision.to == "reply", "{name}");
                assert_eq!(mailed.0, 1, "{name}");
                assert_eq!(desk.ticket(&on).status, Status::Open, "{name}");
            }
        }
    }
}

#[test]
fn hostile_reports_are_read_within_bounds() {
    let limits = Limits::default();
    let group = |n: usize| format!("Final-Recipient: rfc822; r{n}@example.com\nAction: failed\nStatus: 5.1.1\n\n");
    let groups = (0..10_000).map(group).collect::<String>();
    let prose = (0..10_000).map(|n| format!("<r{n}@example.com>: 550 5.1.1 no\n")).collect::<Vec<_>>().concat();
    let line = (0..10_000).map(|n| format!("<r{n}@example.com> ")).collect::<Vec<_>>().concat();
    let report = |encoding: &str, fields: &str| {
        format!(
            "From: mailer-daemon@example.com\nSubject: Undelivered\nMIME-Version: 1.0\nContent-Type: multipart/report; \
             report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nIt could not be delivered.\n\
             --b\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: {encoding}\n\n{fields}\n--b--\n"
        )
    };
    let written =
        |text: &str| format!("From: mailer-daemon@example.com\nSubject: failure notice\n\nPermanent error.\n{text}\n");
    let nested = (0..500).fold("Action: failed\n".to_owned(), |inner, n| {
        format!("Content-Type: multipart/report; boundary=b{n}\n\n--b{n}\n{inner}\n--b{n}--\n")
    });
    for (what, mail, most) in [
        ("ten thousand recipients", report("7bit", &groups), report::MOST_RECIPIENTS),
        ("in prose", written(&prose), report::MOST_RECIPIENTS),
        ("in one line of prose", written(&line), report::MOST_RECIPIENTS),
        ("base64 without end", report("base64", &"QQpB".repeat(2_000_000)), 0),
        (
            "zeros",
            report(
                "7bit",
                &format!("Final-Recipient: rfc822; r\0@example.com\nAction: fa\0iled\n{}", "\0".repeat(100_000)),
            ),
            1,
        ),
        ("zeros in prose", written(&format!("<a\0b@example.com>: \0 550 {}", "\0".repeat(100_000))), 1),
        ("nested", nested, 0),
        (
            "words without end",
            report(
                "7bit",
                &format!(
                    "Final-Recipient: rfc822; a@example.com\nAction: failed\nDiagnostic-Code: smtp; {}",
                    "&amp;".repeat(1_000_000)
                ),
            ),
            1,
        ),
    ] {
        let said = understand(mail.as_bytes(), &limits).unwrap();
        let recipients = said.report.map(|report| report.recipients).unwrap_or_default();
        assert!(recipients.len() <= most, "{what}: {}", recipients.len());
        assert!(recipients.iter().all(|one| one.diagnostic.len() <= 1_000 && one.status.len() <= 20), "{what}");
        assert!(recipients.iter().all(|one| !one.diagnostic.contains(['\0', '\n'])), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_many_makes_few_events_and_fails_no_other_copy() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let ticket = desk.post(&letter(CAROL).to("acme@desk.example.org").subject("Help")).await;
    desk.post(&reply(ALICE, &desk.last("alice@team.example").await)).await;
    let sent = desk.settled().await;
    let his = sent.iter().rev().find(|received| received.to[0].contains(CAROL)).unwrap();
    let verp = his.from.split(['<', '>']).nth(1).unwrap();
    let group = |n: usize| format!("Final-Recipient: rfc822; r{n}@example.com\nAction: failed\nStatus: 5.1.1\n\n");
    let report = format!(
        "From: mailer-daemon@example.com\nTo: {verp}\nSubject: Undelivered\nMIME-Version: 1.0\nContent-Type: \
         multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n{}\n--b--\n",
        (0..10_000).map(group).collect::<String>()
    );
    let said = desk.send("", &[verp], &report).await;
    assert!(said.starts_with("250"), "{said}");
    let bounces = desk.entries(&ticket).into_iter().filter_map(|entry| entry.event);
    assert_eq!(bounces.filter(|event| event.what == What::Bounce).count(), 10);
    let answered = desk.messages(&ticket)[1].clone();
    assert!(desk.copies_of(&answered).iter().all(|copy| copy.state == CopyState::Sent));
}
