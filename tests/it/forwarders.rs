//! What a forwarder says of the mail that it passes on counts where a property names it, for
//! contacts, as far as it is surely his: each row with what somebody else would forge.

use std::process::Command;

use guichet::actions::property::Changes;
use guichet::actions::reach;
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Entry, State, Verified};
use guichet::desk::verdict::{Method, Outcome, Record};

use crate::kit::desk::{TestDesk, address, address_in};
use crate::kit::letter::{letter, reply};
use crate::kit::sealer::{self, Seal, seal};
use crate::kit::sink::Act;

/// His domain's SPF fails from here, and nothing is signed.
const CAROL: &str = "Carol <carol@customer.example>";
const ACME: &str = "acme@desk.example.org";
const CAROLS: &str = "carol@customer.example";
/// The forwarder's envelope sender.
const FORWARDED: &str = "SRS0=x=carol@fwd.example";
/// What the trusted forwarder writes when the customer's mail was fine.
const FINE: &str = "mx.fwd.example; dkim=pass header.d=customer.example";

/// A desk whose acme believes fwd.example, where a stranger has a domain with SPF and DKIM too.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.dns.txt("customer.example", "v=spf1 ip4:192.0.2.1 -all");
    for domain in ["fwd.example", "evil.example"] {
        desk.trust(domain);
        sealer::publish(&desk, domain);
    }
    let forwarders = vec!["fwd.example".parse().unwrap()];
    desk.edit("acme", Changes { add_forwarders: forwarders, ..Changes::default() }).await;
    desk
}

/// A new mail of Carol's, as its forwarder sends it on.
fn mail() -> String {
    format!(
        "Received: from out.customer.example ([192.0.2.1]) by mx.fwd.example; Mon, 23 Nov 2026 10:00:00 +0000\n{}",
        letter(CAROL).to("support@acme.com").subject("Printer").message()
    )
}

/// Sends a mail by an envelope sender to an address, and gives the newest entry of its ticket.
async fn entry(desk: &TestDesk, what: &str, sender: &str, to: &str, message: &str) -> Entry {
    let answer = desk.send(sender, &[to], message).await;
    desk.settled().await;
    let Some(rest) = answer.strip_prefix("250 2.0.0 ") else { panic!("{what}: {answer}") };
    desk.newest(rest.split(' ').next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_counts_if_it_holds_and_whom_the_property_trusts_sealed_it_last() {
    let desk = desk().await;
    // Each a mail of its own, since one that came before is no entry.
    let by = |domain: &str, results: &str, message: &str| seal(domain, results, Seal::Honest, message).unwrap();
    let honest = || by("fwd.example", FINE, &mail());
    if seal("fwd.example", FINE, Seal::Honest, &mail()).is_none() {
        return;
    }
    let failed = "mx.fwd.example; dkim=fail header.d=customer.example";
    let again = "mx.fwd.example; arc=pass; dkim=fail header.d=customer.example";
    let in_its_name = "mx.fwd.example; dkim=pass header.d=customer.example";
    let unsealed = honest().split_inclusive('\n').skip_while(|line| !line.starts_with("ARC-Auth")).collect::<String>();
    for (what, message, believed) in [
        ("sealed, DKIM", honest(), Some(Method::Dkim)),
        (
            "sealed, SPF",
            by("fwd.example", "mx.fwd.example; spf=pass smtp.mailfrom=carol@customer.example", &mail()),
            Some(Method::Spf),
        ),
        (
            "sealed, DMARC",
            by("fwd.example", "mx.fwd.example; dmarc=pass header.from=customer.example", &mail()),
            Some(Method::Dmarc),
        ),
        (
            "sealed by two of the forwarder's hops, the first of which saw it pass",
            by("fwd.example", again, &honest()),
            Some(Method::Dkim),
        ),
        (
            "what passed is somebody else's",
            by("fwd.example", "mx.fwd.example; dkim=pass header.d=evil.example", &mail()),
            None,
        ),
        ("nothing passed", by("fwd.example", failed, &mail()), None),
        ("results as in a chain, without a seal", unsealed, None),
        (
            "sealed by a stranger",
            by("evil.example", "mx.evil.example; dkim=pass header.d=customer.example", &mail()),
            None,
        ),
        ("sealed by a stranger in the forwarder's name", by("evil.example", in_its_name, &mail()), None),
        (
            "sealed with a key that nobody published",
            seal("fwd.example", FINE, Seal::Unpublished, &mail()).unwrap(),
            None,
        ),
        (
            "a stranger after the forwarder",
            by("evil.example", "mx.evil.example; arc=pass; dkim=pass header.d=customer.example", &honest()),
            None,
        ),
        (
            "a stranger before the forwarder, who saw nothing pass",
            by("fwd.example", again, &by("evil.example", in_its_name, &mail())),
            None,
        ),
        (
            "cv=fail",
            by("fwd.example", "mx.fwd.example; arc=fail; dkim=pass header.d=customer.example", &honest()),
            None,
        ),
        ("the text changed since", honest().replace("Hello!", "Send money."), None),
        ("the subject changed since", honest().replace("Subject: Printer", "Subject: Money"), None),
        ("the results changed since", by("fwd.example", failed, &mail()).replace("dkim=fail", "dkim=pass"), None),
        (
            "results of the sender's before the forwarder's",
            format!("ARC-Authentication-Results: i=1; {FINE}\n{}", by("fwd.example", failed, &mail())),
            None,
        ),
        (
            "the first set taken away",
            {
                let both = by("fwd.example", again, &honest());
                let second = both.find("ARC-Seal: i=1").unwrap();
                let rest = both.find("Received: from").unwrap();
                format!("{}{}", &both[..second], &both[rest..])
            },
            None,
        ),
        (
            "a From above the one that was sealed",
            honest().replace("From: Carol", "From: Carol <c@other.example>\nX-From: Carol"),
            None,
        ),
    ] {
        let entry = entry(&desk, what, FORWARDED, ACME, &message).await;
        let verdict = entry.verdict.unwrap();
        assert!(!verdict.is_aligned(), "{what}: {verdict:?}");
        let found = verdict.believed.map(|hop| (hop.record, hop.domain, hop.pass.unwrap().method));
        assert_eq!(
            found,
            believed.map(|method| (Record::Seal, "fwd.example".to_owned(), method)),
            "{what}: {:?}",
            verdict.arc
        );
        let verified = if believed.is_some() { Verified::Aligned } else { Verified::None };
        assert_eq!((entry.state, entry.verified), (State::Relayed, verified), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_count_if_the_trusted_server_brought_the_mail_and_wrote_them_itself() {
    let desk = desk().await;
    desk.dns.address("mx.fwd.example", "192.0.2.7".parse().unwrap());
    desk.dns.address("here.fwd.example", "127.0.0.1".parse().unwrap());
    let fine = format!("Authentication-Results: {FINE}\n");
    let here = fine.replace("mx.fwd", "here.fwd");
    let bad = fine.replace("pass", "fail");
    // The sender's own field, which came to the forwarder with the mail.
    let with = |field: &str| mail().replacen("From: ", &format!("{field}From: "), 1);
    let two_traces = with("Received: from x by mx.fwd.example; Mon, 23 Nov 2026 09:00:00 +0000\n");
    let two_traces = two_traces.replacen("Received: from x", &format!("{fine}Received: from x"), 1);
    for (what, sender, message, believed) in [
        ("above its trace", FORWARDED, fine.clone() + &mail(), true),
        ("from a stranger's server", "x@evil.example", fine.clone() + &mail(), false),
        ("from a server of that name, with the customer's envelope sender", CAROLS, here + &mail(), true),
        ("from a server that neither SPF nor its name proves", CAROLS, fine.clone() + &mail(), false),
        ("in a stranger's name", FORWARDED, fine.replace("mx.fwd", "mx.evil") + &mail(), false),
        ("of a failure", FORWARDED, bad.clone() + &mail(), false),
        ("by the sender himself, passed on as it came", FORWARDED, with(&fine), false),
        ("by the sender himself, below the forwarder's own", FORWARDED, bad.clone() + &with(&fine), false),
        ("by the sender himself, between the forwarder's trace and one of his own", FORWARDED, two_traces, false),
        (
            "with no trace of the way to the forwarder",
            FORWARDED,
            fine.clone() + mail().split_once('\n').unwrap().1,
            false,
        ),
        ("the second of two", FORWARDED, bad + &fine + &mail(), false),
        ("as in a chain", FORWARDED, fine.replace(": mx", ": i=1; mx") + &mail(), false),
    ] {
        let entry = entry(&desk, what, sender, ACME, &message).await;
        let verdict = entry.verdict.unwrap();
        assert_eq!(verdict.believed.map(|hop| hop.record), believed.then_some(Record::Results), "{what}");
        assert_eq!(entry.verified, if believed { Verified::Aligned } else { Verified::None }, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_property_believes_whom_it_named_while_it_does() {
    let desk = desk().await;
    let results = |message: String| format!("Authentication-Results: {FINE}\n{message}");
    let here = entry(&desk, "acme", FORWARDED, ACME, &results(mail())).await;
    assert_eq!(here.verified, Verified::Aligned);
    let there = entry(&desk, "bulle", FORWARDED, "bulle@desk.example.org", &results(mail())).await;
    assert_eq!((there.verified, there.verdict.unwrap().believed), (Verified::None, None));
    let forwarders = vec!["fwd.example".parse().unwrap()];
    desk.edit("acme", Changes { remove_forwarders: forwarders, ..Changes::default() }).await;
    assert_eq!(entry(&desk, "acme", FORWARDED, ACME, &results(mail())).await.verified, Verified::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarders_are_named_by_what_people_know_them_as() {
    let mut desk = desk().await;
    desk.stop().await;
    let config = desk.config_file();
    let guichet = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
        let output =
            command.arg("--config").arg(&config).args(["--json", "property"]).args(arguments).output().unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&text).unwrap())
    };
    let forwarders = |edited: (Option<i32>, serde_json::Value)| edited.1["forwarders"].clone();
    assert_eq!(
        forwarders(guichet(&["edit", "acme", "--forwarder", "gmail.com"])),
        serde_json::json!(["fwd.example", "google.com"])
    );
    assert_eq!(
        forwarders(guichet(&["edit", "acme", "--remove-forwarder", "gmail.com"])),
        serde_json::json!(["fwd.example"])
    );
    let (code, error) = guichet(&["edit", "acme", "--remove-forwarder", "gmail.com"]);
    assert_eq!((code, &error["error"]["code"]), (Some(1), &"not-found".into()));
    assert_eq!(guichet(&["edit", "acme", "--forwarder", "com"]).0, Some(2));
}

/// Whoever broke into a forwarder must not speak for the team.
#[tokio::test(flavor = "multi_thread")]
async fn no_forwarder_vouches_for_a_member() {
    let desk = desk().await;
    let ticket = desk.post(&letter("carol@example.com").to(ACME).subject("Help")).await;
    let copy = desk.last("alice@team.example").await;
    let token = address_in(&copy, "Reply-To");
    let honest = "mx.fwd.example; dkim=pass header.d=team.example; spf=pass smtp.mailfrom=alice@team.example";
    let trace = "Received: from x ([192.0.2.1]) by mx.fwd.example; Mon, 23 Nov 2026 10:00:00 +0000\n";
    for to in [token.as_str(), ACME] {
        let answer = || trace.to_owned() + &reply("Alice <alice@team.example>", &copy).text("It is paid.\n").message();
        let Some(sealed) = seal("fwd.example", honest, Seal::Honest, &answer()) else { return };
        let reported = format!("Authentication-Results: {honest}\n{}", answer());
        for (what, message) in [("sealed", sealed), ("reported", reported)] {
            let entry = entry(&desk, what, FORWARDED, to, &message).await;
            assert_eq!(entry.ticket, desk.ticket(&ticket).id, "{what} to {to}");
            assert_eq!((entry.state, entry.verified), (State::Held, Verified::None), "{what} to {to}");
            let verdict = entry.verdict.unwrap();
            assert!(verdict.hops.iter().any(|hop| hop.pass.is_some()), "{what} to {to}: the forwarder did say so");
            assert_eq!(verdict.believed, None, "{what} to {to}");
        }
    }
    assert!(desk.inbox("carol@example.com").await.is_empty());
    // A new ticket in her name is only kept, too.
    let alone = format!("Authentication-Results: {honest}\n{trace}{}", letter("alice@team.example").to(ACME).message());
    assert_eq!(entry(&desk, "alone", FORWARDED, ACME, &alone).await.state, State::Kept);
}

/// A chain of which a key can't be looked up now proves nothing now, and loses no mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_fails_leaves_a_chain_unproven() {
    let desk = desk().await;
    let Some(sealed) = seal("fwd.example", FINE, Seal::Honest, &mail()) else { return };
    let selector = crate::kit::desk::rsa_key("fwd.example").0;
    desk.dns.fail(&format!("{selector}._domainkey.fwd.example"));
    let verdict = entry(&desk, "failing", FORWARDED, ACME, &sealed).await.verdict.unwrap();
    assert_eq!((verdict.arc, verdict.believed), (Outcome::TempError, None));
    assert!(verdict.temporary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarders_word_does_not_show_that_an_address_can_be_reached() {
    let desk = desk().await;
    let suspended = || desk.read(|view| Ok(reach::suspension(view, &address(CAROLS))?)).is_some();
    let Some(sealed) = seal("fwd.example", FINE, Seal::Honest, &mail()) else { return };
    let first = entry(&desk, "sealed", FORWARDED, ACME, &sealed).await;
    assert_eq!(first.verified, Verified::Aligned);
    desk.sink.rule("RCPT TO:<carol@", Act::Say("550 5.1.1 no such user".to_owned()), false);
    for _ in 0..5 {
        desk.write("acme-1", Some("alice"), Scope::Public, "Are you there?\n").await;
        desk.settled().await;
    }
    assert!(suspended());
    let sealed = seal("fwd.example", FINE, Seal::Honest, &mail()).unwrap();
    let believed = entry(&desk, "sealed once more", FORWARDED, ACME, &sealed).await;
    assert_eq!(believed.verified, Verified::Aligned);
    assert!(suspended(), "it vouches for the sender, and says nothing of his mailbox");
}

/// Meant so: whom the property lets vouch for its customers vouches for where it answers them.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_forwarders_word_earns_a_customer_an_acknowledgement() {
    let desk = desk().await;
    let changes =
        Changes { acknowledge: Some(true), public: Some(Some(address("support@acme.com"))), ..Changes::default() };
    desk.edit("acme", changes).await;
    for (what, results, told) in [
        ("nobody's word", String::new(), 0),
        ("a stranger's", format!("Authentication-Results: {}\n", FINE.replace("fwd", "evil")), 0),
        ("a failure", format!("Authentication-Results: {}\n", FINE.replace("pass", "fail")), 0),
        ("the forwarder's", format!("Authentication-Results: {FINE}\n"), 1),
    ] {
        entry(&desk, what, FORWARDED, ACME, &(results + &mail())).await;
        assert_eq!(desk.inbox(CAROLS).await.len(), told, "{what}");
    }
}
