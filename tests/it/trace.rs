//! One story a mail: what happened to it, by whatever name one knows it.

use serde_json::{Value, json};

use crate::kit::daemon::Daemon;
use crate::kit::desk::{TestDesk, field, send};
use crate::kit::letter::{letter, reply};
use crate::kit::sink::Act;

async fn trace(desk: &TestDesk, what: &str) -> String {
    let (text, error, code) = desk.command(&["trace", what]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{what}");
    text
}

async fn stories(desk: &TestDesk, what: &str) -> Vec<Value> {
    let (text, error, _) = desk.command(&["trace", what, "--json"]).await;
    assert_eq!(error, "");
    let stories: Value = serde_json::from_str(&text).unwrap();
    stories["stories"].as_array().unwrap().clone()
}

/// The name that a client was told of its message.
fn told(reply: &str) -> String {
    reply.rsplit_once(" as ").unwrap().1.to_owned()
}

/// Whether these stand in a text, in this order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { panic!("{part} does not follow in\n{text}") };
        rest = after;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_an_answered_mail_is_told_in_order_whichever_name_one_has() {
    let desk = TestDesk::direct().await;
    desk.members(&["alice"]).await;
    desk.sink.rule("RCPT TO:<carol@", Act::Say("450 4.7.1 greylisted".to_owned()), true);
    let question =
        letter("Carol <carol@example.com>").to("acme@desk.example.org").subject("Invoice").id("<q@example.com>");
    let question_id = told(&desk.offer(&question).await);
    let copy = desk.last("alice@team.example").await;
    let answer_id = told(&desk.offer(&reply("Alice <alice@team.example>", &copy)).await);
    desk.settled().await;

    let answer = desk.newest("acme-1");
    let copy_id = desk.copies_of(&answer)[0].id.to_string();
    let by_trace = trace(&desk, &answer_id).await;
    let minted = answer.minted_id.as_ref().unwrap().to_string();
    for name in [answer.message_id.as_ref().unwrap().as_str(), &minted, &format!("<{minted}>"), &copy_id] {
        assert_eq!(trace(&desk, name).await, by_trace, "{name}");
    }
    in_order(
        &by_trace,
        &[
            &answer_id,
            "came by smtp from 127.0.0.1 (client.example.com), in clear; from <alice@team.example> to acme+t",
            "SPF pass (team.example), DKIM none, DMARC none, aligned",
            "joined acme-1 at acme+t",
            "in answer to #1, of Alice <alice@team.example>, verified: token; relayed",
            &format!("copy {copy_id} to carol@example.com queued"),
            &format!("copy {copy_id} try 1 at mx.example.net [127.0.0.1]: deferred, 450 4.7.1 greylisted"),
            &format!("copy {copy_id} is tried next at "),
        ],
    );
    desk.command(&["queue", "retry", &copy_id]).await;
    desk.settled().await;
    in_order(
        &trace(&desk, &copy_id).await,
        &["try 1 at", "try 2 at mx.example.net [127.0.0.1]: sent, 250 2.0.0 taken\n"],
    );

    // The ticket tells of both, and of what a person did.
    let ticket = trace(&desk, "acme-1").await;
    in_order(&ticket, &[&question_id, "opened acme-1 at acme@desk.example.org", "to alice@team.example", &answer_id]);
    let both = stories(&desk, "ACME-1").await;
    assert_eq!(both.iter().map(|story| story["id"].as_str().unwrap()).collect::<Vec<_>>(), [&question_id, &answer_id]);
    assert_eq!(both[0]["arrival"]["from"], "carol@example.com");
    assert_eq!(both[0]["entries"][0]["proofs"]["spf"], "pass");
    // It is the name in our trace field, too.
    let entry = &desk.messages("acme-1")[0];
    let raw = desk.read(|view| Ok(guichet::store::Read::raw(view, entry.raw.unwrap())?));
    let received = field(&String::from_utf8_lossy(&raw), "Received").unwrap();
    assert!(received.contains(&format!(" id {question_id} for <acme@desk.example.org>;")), "{received}");
    assert!(desk.verify().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_the_desk_has_a_story_and_what_only_reports_has_one_too() {
    let desk = TestDesk::direct().await;
    desk.members(&["alice"]).await;
    desk.sink.rule("RCPT TO:<bob@", Act::Say("550 5.1.1 no such user".to_owned()), false);
    desk.compose("acme", Some("alice"), &["bob@example.com"], "Parcel", "It is on its way.").await;
    desk.settled().await;
    let (made, _, _) = desk.command(&["ticket", "close", "acme-1", "--json"]).await;
    assert!(made.contains("closed"));
    let copy = desk.copies_of(&desk.messages("acme-1")[0])[0].id.to_string();
    in_order(
        &trace(&desk, &copy).await,
        &["opened acme-1", "try 1 at mx.example.net [127.0.0.1]: failed, 550 5.1.1 no such user", "letter, copy "],
    );

    // The same mail a second time: an event, and a story that names it.
    let question =
        letter("Carol <carol@example.com>").to("acme@desk.example.org").subject("Invoice").id("<q@example.com>");
    desk.offer(&question).await;
    let again = told(&desk.offer(&question).await);
    let story = &stories(&desk, &again).await[0];
    assert_eq!(story["entries"][0]["event"]["what"], "duplicate");
    assert_eq!(story["arrival"]["client"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nothing_has_is_a_clear_error() {
    let desk = TestDesk::start().await;
    for (what, said) in [
        ("nothing@example.org", "there is no mail with the Message-ID nothing@example.org"),
        ("<nothing@example.org>", "there is no mail with the Message-ID <nothing@example.org>"),
        ("999", "there is no copy 999"),
        ("acme-99", "there is no ticket acme-99"),
        ("64a5e0f1b2c3d-1f.1", "there is no mail with the trace id 64a5e0f1b2c3d-1f.1"),
        (
            "What?",
            "\"What?\" is neither a Message-ID (with an @), nor a ticket (acme-1042), a copy's number, or a trace id",
        ),
    ] {
        let (out, error, code) = desk.command(&["trace", what]).await;
        assert_eq!((out.as_str(), code), ("", 1), "{what}");
        assert!(error.starts_with(&format!("guichet: {said}")), "{error}");
    }
    assert_eq!(desk.command(&["trace", ""]).await.2, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_line_for_each_message_in_and_each_attempt_out_with_one_name() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    let taken = letter("Carol <carol@example.com>").to("acme@desk.example.org").message();
    let reply = send(daemon.address, "carol@example.com", &["acme@desk.example.org"], taken.as_bytes()).await;
    let id = told(&reply);
    desk.sink.wait(1).await;
    let refused = send(daemon.address, "carol@example.com", &["nobody@desk.example.org"], b"").await;
    assert!(refused.starts_with("550 5.1.1 "), "{refused}");
    let two = letter("Carol <carol@example.com>").field("From", "").to("acme@desk.example.org").message();
    let reply = send(daemon.address, "carol@example.com", &["acme@desk.example.org"], two.as_bytes()).await;
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    daemon.terminate();
    let (_, log) = tokio::task::spawn_blocking(|| daemon.wait()).await.unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&format!("id=\"{id}\""))).collect();
    assert_eq!(lines.len(), 2, "{log}");
    in_order(lines[0], &["message", "client=127.0.0.1", "from=\"carol@example.com\"", "250 2.0.0 acme-1 as"]);
    in_order(
        lines[1],
        &[
            "offered",
            "copy=1",
            "ticket=\"acme-1\"",
            "to=alice@team.example",
            "server=",
            "outcome=\"sent\"",
            "250 2.0.0 taken",
        ],
    );
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("recipients refused")).collect();
    assert_eq!(refusals.len(), 1, "{log}");
    in_order(refusals[0], &["id=", "count=1", "to=nobody@desk.example.org", "550 5.1.1"]);
    assert!(log.lines().any(|line| line.contains("message") && line.contains("reply=550 5.7.1")), "{log}");
    desk.resume().await;
    assert_eq!(stories(&desk, &id).await[0]["id"], json!(id));
}
