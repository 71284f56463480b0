//! `guichet check --send`: what survives the way out and back.

use std::time::Duration;

use guichet::relay::client::Outcome;
use guichet::relay::probe::{End, Finding, Result, Way};

use crate::kit::desk::{DOMAIN, TestDesk, address, dkim_records};
use crate::kit::sink::{Act, Received};

const LONG: Duration = Duration::from_mins(1);

/// A desk whose keys are published.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.trust(DOMAIN);
    for record in dkim_records(DOMAIN) {
        desk.dns.txt(&record.name, &record.value);
    }
    desk
}

/// Sends a probe to an address of ours; the next server brings it back as `change` makes it, in an
/// envelope that it may change too.
async fn round(desk: &TestDesk, change: impl Fn(String, &mut String) -> String) -> Result {
    let before = desk.sink.received().len();
    let prober = desk.prober();
    let to = address("acme@desk.example.org");
    let probe = tokio::spawn(async move { prober.send(&to, LONG).await.unwrap() });
    let Received { from, message, .. } = desk.sink.wait(before + 1).await.pop().unwrap();
    let mut sender = from.split(['<', '>']).nth(1).unwrap().to_owned();
    let message = change(String::from_utf8(message).unwrap(), &mut sender);
    let reply = desk.send(&sender, &["acme@desk.example.org"], &message).await;
    assert!(reply.starts_with("250 2.0.0 the test came back"), "{reply}");
    probe.await.unwrap()
}

fn findings(result: &Result) -> &[Finding] {
    match &result.end {
        End::Back { findings, .. } => findings,
        other => panic!("{other:?}"),
    }
}

fn bad(result: &Result) -> Vec<&str> {
    findings(result).iter().filter(|finding| finding.ok == Some(false)).map(|finding| finding.what).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_smarthost_changes_is_told_and_what_it_leaves_is_not() {
    let desk = desk().await;
    let kept =
        round(&desk, |message, _| format!("Received: from a by b; Thu, 26 Nov 2026 10:00:00 +0000\n{message}")).await;
    assert_eq!(bad(&kept), Vec::<&str>::new());
    assert_eq!((kept.way, kept.signatures.len()), (Way::AsCopies, 2));
    let signatures = findings(&kept).iter().filter(|finding| finding.what == "signature");
    assert!(signatures.clone().count() == 2 && signatures.clone().all(|one| one.ok == Some(true)), "{kept:#?}");
    let line = |message: &str, name: &str| message.lines().find(|line| line.starts_with(name)).unwrap().to_owned();

    let rewritten = round(&desk, |message, _| {
        let id = line(&message, "Message-ID:");
        message.replace(&id, "Message-ID: <new@smarthost.example>")
    });
    let rewritten = rewritten.await;
    assert_eq!(bad(&rewritten), ["Message-ID", "signature", "signature"]);
    assert!(findings(&rewritten)[0].seen.contains("<new@smarthost.example>"), "{rewritten:#?}");
    let dated = round(&desk, |message, _| {
        let date = line(&message, "Date:");
        message.replace(&date, "Date: Thu, 1 Jan 1970 00:00:00 +0000")
    });
    assert_eq!(bad(&dated.await), ["Date", "signature", "signature"]);
    let unsigned = round(&desk, |message, _| message[message.find("From: ").unwrap()..].to_owned()).await;
    assert_eq!(bad(&unsigned), ["signature", "signature"]);
    assert!(findings(&unsigned).iter().any(|finding| finding.seen.ends_with(": gone")));
    let footer = round(&desk, |message, _| message + "--\r\nSent with love.\r\n").await;
    assert_eq!(bad(&footer), ["body", "signature", "signature"]);
    let renamed = round(&desk, |message, _| message.replace("Subject: ", "Subject: [SPAM?] ")).await;
    assert_eq!(bad(&renamed), ["other fields", "signature", "signature"]);
    let sender = round(&desk, |message, sender| {
        "smarthost@relay.example".clone_into(sender);
        message
    });
    assert_eq!(bad(&sender.await), ["envelope sender", "SPF"]);

    // A key that is not published is no fault of the route.
    desk.dns.forget(&dkim_records(DOMAIN)[0].name);
    let unpublished = round(&desk, |message, _| message).await;
    assert!(bad(&unpublished).len() <= 1, "{unpublished:#?}");
    // No ticket was opened by any of them.
    assert!(desk.find("acme-1").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_back_ends_in_time_and_what_is_refused_at_once() {
    let desk = desk().await;
    let prober = desk.prober();
    let ours = address("acme@desk.example.org");
    let lost = prober.send(&ours, Duration::from_millis(50)).await.unwrap();
    assert_eq!(lost.end, End::Silence);
    // Too late, it is mail like any other, and the next one is not confused by it.
    let late = desk.sink.received().pop().unwrap();
    let reply = desk.send("x@example.com", &["acme@desk.example.org"], &String::from_utf8(late.message).unwrap()).await;
    assert!(reply.starts_with("250 2.0.0 acme-1"), "{reply}");

    desk.sink.rule("RCPT", Act::Say("550 5.1.1 nobody of that name".to_owned()), true);
    let refused = prober.send(&address("nobody@example.com"), LONG).await.unwrap();
    assert!(matches!(refused.outcome, Outcome::Failed(_)) && refused.end == End::NotAwaited, "{refused:?}");
    desk.sink.rule("RCPT", Act::Say("451 4.3.0 later".to_owned()), true);
    let deferred = prober.send(&address("bob@example.com"), LONG).await.unwrap();
    assert!(matches!(deferred.outcome, Outcome::Deferred(_)), "{deferred:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_on_it_is_its_answer() {
    let desk = desk().await;
    let prober = desk.prober();
    let before = desk.sink.received().len();
    let probe = tokio::spawn(async move { prober.send(&address("nobody@example.com"), LONG).await.unwrap() });
    let sent = desk.sink.wait(before + 1).await.pop().unwrap();
    let sender = sent.from.split(['<', '>']).nth(1).unwrap().to_owned();
    let report = "From: MAILER-DAEMON@relay.example\nTo: x\nSubject: failed\nMIME-Version: 1.0\n\
                  Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n\
                  --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n\n\
                  Final-Recipient: rfc822; nobody@example.com\nAction: failed\nStatus: 5.1.1\n\
                  Diagnostic-Code: smtp; 550 nobody of that name\n\n--b--\n";
    let reply = desk.send("", &[&sender], report).await;
    assert!(reply.starts_with("250"), "{reply}");
    let End::Reported(words) = probe.await.unwrap().end else { panic!("a report") };
    assert_eq!(words, "5.1.1 550 nobody of that name");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_direct_mode_mail_for_ourselves_goes_to_our_own_port() {
    let desk = TestDesk::direct().await;
    for record in dkim_records(DOMAIN) {
        desk.dns.txt(&record.name, &record.value);
    }
    let config = desk.config_file();
    let run = async |args: Vec<&'static str>| {
        let config = config.clone();
        tokio::task::spawn_blocking(move || crate::kit::daemon::guichet(&config, &args)).await.unwrap()
    };
    let output = run(vec!["check", "--send", "acme@desk.example.org"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("mail for ourselves never leaves") && said.contains("holds"), "{said}");
    assert!(desk.find("acme-1").is_none());
    // Elsewhere it can't be seen from here.
    let output = run(vec!["check", "--send", "me@example.com", "--wait", "0"]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("Message-ID  must be <") && said.contains("header.d=desk.example.org"),
        "{said}"
    );
    desk.sink.rule("RCPT", Act::Say("550 5.1.1 nobody of that name".to_owned()), true);
    let output = run(vec!["check", "--send", "nobody@example.com"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Not sent to nobody@example.com: 550 5.1.1 nobody of that name"), "{said}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("550 5.1.1 nobody of that name"), "{said}");
}
