//! Strangers who try to speak for a member: every trick with its honest twin, by real mail, signed
//! by a program that is not ours. What counts is what the customer reads.

use std::io::Write as _;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use guichet::desk::copy::Scope;
use guichet::desk::entry::{Reason, State};
use guichet::desk::ticket::Status;
use guichet::store::tables::{TOKEN_KEYS, TokenKey};
use guichet::store::{Order, Read};
use guichet::trust::keys::DkimKeys;
use guichet::trust::ring::{First, Ring};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::kit::desk::{DOMAIN, TestDesk, address_in};
use crate::kit::letter::{Letter, letter, reply, reply_by_address};
use crate::kit::peers;

const ALICE: &str = "Alice <alice@team.example>";
const CAROL: &str = "Carol <carol@example.com>";
const MALLORY: &str = "mallory@evil.example";
const ACME: &str = "acme@desk.example.org";

/// A ticket of Carol's that Alice has answered, and what both were sent last.
struct Scene {
    ticket: String,
    alice: String,
    carol: String,
}

/// A desk where Mallory has a domain of his own, with SPF and all.
async fn desk() -> TestDesk {
    let desk = TestDesk::start().await;
    desk.members(&["alice", "bob"]).await;
    desk.trust("evil.example");
    desk
}

async fn scene(desk: &TestDesk) -> Scene {
    let ticket = desk.post(&letter(CAROL).to(ACME).subject("Help")).await;
    let alice = desk.last("alice@team.example").await;
    assert_eq!(desk.post(&reply(ALICE, &alice).text("We are on it.\n")).await, ticket);
    Scene { ticket, alice, carol: desk.last("carol@example.com").await }
}

/// What Carol reads of a mail that is offered: whether it is taken, and whether she is sent a copy.
async fn reaches_carol(desk: &TestDesk, letter: &Letter) -> bool {
    let before = desk.inbox("carol@example.com").await.len();
    let answer = desk.offer(letter).await;
    let after = desk.inbox("carol@example.com").await.len();
    assert!(answer.starts_with("250") || after == before, "{answer}, and it went out all the same");
    after > before
}

/// How a stranger's signer is made to differ from an honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signing {
    Honest,
    /// `x=` lies in the past (RFC 6376 §3.5).
    Expired,
    /// `l=`: more may follow behind the signed part.
    Length,
}

/// A domain with a DKIM key, whose mail dkimpy signs.
struct Domain {
    name: &'static str,
    selector: String,
    folder: TempDir,
}

impl Domain {
    fn new(name: &'static str) -> (Self, DkimKeys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Ring::open(folder.path(), name, First::Active, Timestamp::now()).unwrap().signing();
        (Self { name, selector: keys.rsa().unwrap().selector.to_string(), folder }, keys)
    }

    /// The name of the record with the key, for whoever publishes it or something else there.
    fn record(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.name)
    }

    fn publish(&self, desk: &TestDesk, keys: &DkimKeys) {
        for record in keys.records(self.name) {
            desk.dns.txt(&record.name, &record.value);
        }
    }

    /// A letter's text with dkimpy's signature on top; `None` where peers are left out.
    fn sign(&self, letter: &Letter, how: Signing) -> Option<String> {
        const SCRIPT: &str = "import dkim, sys
folder, domain, selector, how = sys.argv[1:]
key = open(f'{folder}/{domain}/{selector}.rsa', 'rb').read()
inner = dkim.DKIM.gen_header
def gen_header(self, fields, *more, **named):
    if how == 'Expired':
        fields = [f if f[0] != b't' else (b't', b'1000000000') for f in fields]
        at = [f[0] for f in fields].index(b't') + 1
        fields.insert(at, (b'x', b'1000003600'))
    return inner(self, fields, *more, **named)
dkim.DKIM.gen_header = gen_header
message = sys.stdin.buffer.read()
signature = dkim.sign(message, selector.encode(), domain.encode(), key, length=how == 'Length')
sys.stdout.buffer.write(signature)
";
        let mut command = Command::new(peers::python()?);
        command.args(["-c", SCRIPT]).arg(self.folder.path()).args([self.name, &self.selector, &format!("{how:?}")]);
        let mut python = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let message = letter.message().replace('\n', "\r\n");
        python.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success());
        Some(String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n") + &letter.message())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_speaks_for_its_own_domain_while_its_key_stands_and_for_nobody_else() {
    let desk = desk().await;
    let ((team, team_keys), (evil, evil_keys)) = (Domain::new("team.example"), Domain::new("evil.example"));
    let (stolen, _) = Domain::new("team.example");
    team.publish(&desk, &team_keys);
    evil.publish(&desk, &evil_keys);
    for (what, domain, how, from, goes_out) in [
        ("the member's domain", &team, Signing::Honest, ALICE, true),
        ("a stranger's own domain", &evil, Signing::Honest, ALICE, false),
        ("a stranger's own domain, honestly named", &evil, Signing::Honest, MALLORY, false),
        ("the member's domain, expired", &team, Signing::Expired, ALICE, false),
        ("the member's domain, with room behind it", &team, Signing::Length, ALICE, false),
        ("a key that nobody published", &stolen, Signing::Honest, ALICE, false),
    ] {
        let scene = scene(&desk).await;
        // By somebody's server, so that SPF says nothing for the member.
        let letter = reply(from, &scene.alice).by(MALLORY).text("Your refund is on its way.\n");
        let Some(signed) = domain.sign(&letter, how) else { return };
        let before = desk.inbox("carol@example.com").await.len();
        let answer = desk.send(MALLORY, &[&address_in(&scene.alice, "Reply-To")], &signed).await;
        assert!(answer.starts_with("250"), "{what}: {answer}");
        assert_eq!(desk.inbox("carol@example.com").await.len() > before, goes_out, "{what}");
        let state = if goes_out { State::Relayed } else { State::Held };
        assert_eq!(desk.newest(&scene.ticket).state, state, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_revoked_or_replaced_speaks_no_more() {
    let ((team, keys), (_, others)) = (Domain::new("team.example"), Domain::new("team.example"));
    let published = |keys: &DkimKeys| {
        keys.records("team.example").into_iter().find(|record| record.name.starts_with(&team.selector)).unwrap().value
    };
    for (what, record, goes_out) in [
        ("as published", published(&keys), true),
        ("revoked (RFC 6376 §3.6.1)", "v=DKIM1; p=".to_owned(), false),
        ("replaced", others.records("team.example")[0].value.clone(), false),
    ] {
        // Each has a desk of its own, since keys are remembered for an hour.
        let desk = desk().await;
        let scene = scene(&desk).await;
        desk.dns.txt(&team.record(), &record);
        let letter = reply(ALICE, &scene.alice).by(MALLORY);
        let Some(signed) = team.sign(&letter, Signing::Honest) else { return };
        let before = desk.inbox("carol@example.com").await.len();
        let answer = desk.send(MALLORY, &[&address_in(&scene.alice, "Reply-To")], &signed).await;
        assert!(answer.starts_with("250"), "{what}: {answer}");
        assert_eq!(desk.inbox("carol@example.com").await.len() > before, goes_out, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_in_from_is_who_speaks_whatever_stands_around_it() {
    let desk = desk().await;
    let scene = scene(&desk).await;
    let encoded = format!("=?utf-8?b?{}?= <{MALLORY}>", BASE64.encode("Alice <alice@team.example>".as_bytes()));
    // Mallory's mail is aligned with his own domain; each tries to be taken for Alice.
    for (what, from) in [
        ("her name", format!("Alice <{MALLORY}>")),
        ("her address as his name", format!("\"alice@team.example\" <{MALLORY}>")),
        ("her whole mailbox as his name", format!("\"Alice <alice@team.example>\" <{MALLORY}>")),
        ("the same, encoded", encoded),
        ("her address in a comment before", format!("(alice@team.example) {MALLORY}")),
        ("her address in a comment behind", format!("{MALLORY} (alice@team.example)")),
        ("a comment within", "mallory(alice@team.example)@evil.example".to_owned()),
        ("her address as a quoted local part", "\"alice@team.example\"@evil.example".to_owned()),
        ("a source route", "<@team.example:mallory@evil.example>".to_owned()),
        ("hers as a route to him", "<alice@team.example:mallory@evil.example>".to_owned()),
        ("an angle too many", format!("Alice <alice@team.example> <{MALLORY}>")),
        ("a NUL between", format!("alice@team.example\0<{MALLORY}>")),
        ("a domain below his", "alice@team.example.evil.example".to_owned()),
        ("letters that look alike", "alice@tеam.example".to_owned()),
        ("the reading direction turned", format!("\u{202e}elpmaxe.maet@ecila\u{202c} <{MALLORY}>")),
        ("a second field", format!("{MALLORY}\nFrom: {ALICE}")),
        ("a second field first", format!("{ALICE}\nFrom: {MALLORY}")),
        ("a second mailbox", format!("{MALLORY}, {ALICE}")),
        ("a group of both", format!("Team: {MALLORY}, {ALICE};")),
        ("a folded second mailbox", format!("{MALLORY},\n {ALICE}")),
        ("a field name with a blank", format!("{MALLORY}\nFrom : {ALICE}")),
        ("Sender", format!("{MALLORY}\nSender: {ALICE}")),
        ("Resent-From", format!("{MALLORY}\nResent-From: {ALICE}")),
        ("X-Original-From, from nobody whom the property trusts", format!("{MALLORY}\nX-Original-From: {ALICE}")),
        ("Reply-To", format!("{MALLORY}\nReply-To: {ALICE}")),
    ] {
        let letter = reply(MALLORY, &scene.alice).field("From", &from).text("Send money.\n");
        assert!(!reaches_carol(&desk, &letter).await, "{what}");
        let entry = desk.newest(&scene.ticket);
        assert!(entry.text != "Send money." || entry.state != State::Relayed, "{what}");
    }
    // And the other way round: Alice in From, and Mallory's proofs around it.
    for (what, letter) in [
        ("his reverse-path", reply(ALICE, &scene.alice).by(MALLORY)),
        ("his name in Sender", reply(ALICE, &scene.alice).by(MALLORY).field("Sender", MALLORY)),
        ("no reverse-path", reply(ALICE, &scene.alice).by("")),
        ("a comment behind hers", reply(ALICE, &scene.alice).by(MALLORY).field("From", "alice@team.example (Alice)")),
        ("her domain in capitals", reply(ALICE, &scene.alice).by(MALLORY).field("From", "alice@TEAM.EXAMPLE")),
    ] {
        assert!(!reaches_carol(&desk, &letter).await, "{what}");
    }
    // The honest twins, which differ in nothing else.
    for (what, letter) in [
        ("plain", reply(ALICE, &scene.alice)),
        ("a comment", reply(ALICE, &scene.alice).field("From", "alice@team.example (Alice, of Acme)")),
        ("capitals", reply(ALICE, &scene.alice).field("From", "ALICE@Team.Example")),
        ("folded", reply(ALICE, &scene.alice).field("From", "Alice\n <alice@team.example>")),
        ("another Sender", reply(ALICE, &scene.alice).field("Sender", "secretary@team.example")),
    ] {
        assert!(reaches_carol(&desk, &letter).await, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_address_counts_in_the_envelope_and_for_its_own_ticket_person_and_scope() {
    let desk = desk().await;
    let (one, two) = (scene(&desk).await, scene(&desk).await);
    let token = address_in(&one.alice, "Reply-To");
    let local = token.split_once('@').unwrap().0.to_owned();
    let (_, secret) = local.split_once("+t").unwrap();

    // Only the envelope counts: in To, in Cc and in the text it is a piece of text.
    for (what, letter) in [
        ("in To", letter(MALLORY).to(&token).rcpt(&[ACME])),
        ("in Cc", letter(MALLORY).to(ACME).cc(&token)),
        ("in the text", letter(MALLORY).to(ACME).text(&format!("> Reply-To: {token}\n"))),
        ("folded in To", letter(MALLORY).to(&token.replacen('+', "\n +", 1)).rcpt(&[ACME])),
    ] {
        let ticket = desk.post(&letter).await;
        assert!(ticket != one.ticket && ticket != two.ticket, "{what}");
    }
    // In any case it is the same one, and nothing else is.
    assert!(reaches_carol(&desk, &reply_by_address(ALICE, &one.alice).rcpt(&[&token.to_uppercase()])).await);
    for (what, to) in [
        ("of another property's name", format!("nobody+t{secret}@desk.example.org")),
        ("cut by one", format!("{}@desk.example.org", &local[..local.len() - 1])),
        ("made longer by one", format!("{local}a@desk.example.org")),
        ("another delimiter", format!("acme-t{secret}@desk.example.org")),
        ("as a bounce address", format!("bounces+{secret}@desk.example.org")),
        ("as a confirm address", format!("confirm+{secret}@desk.example.org")),
        ("letters swapped", format!("acme+t{}@desk.example.org", secret.chars().rev().collect::<String>())),
    ] {
        let answer = desk.offer(&reply_by_address(ALICE, &one.alice).rcpt(&[&to])).await;
        assert!(answer.starts_with("550 5.1.1"), "{what}: {answer}");
    }
    // Under another property's name a good one is that property's bare address: nothing of acme moves.
    let entries = desk.entries(&one.ticket).len();
    let elsewhere = desk.post(&reply(ALICE, &one.alice).rcpt(&[&format!("bulle+t{secret}@desk.example.org")])).await;
    assert!(elsewhere.starts_with("bulle-"), "{elsewhere}");
    assert_eq!(desk.entries(&one.ticket).len(), entries);

    // The ticket is the token's, whatever identifier was stolen for the header.
    let mixed = reply(ALICE, &two.alice).rcpt(&[&token]);
    assert_eq!(desk.post(&mixed).await, one.ticket);
    // A contact's is no member's, and one contact's is not another's.
    let stolen = reply_by_address(MALLORY, &one.carol);
    assert!(!reaches_carol(&desk, &stolen).await);
    assert_eq!(desk.newest(&one.ticket).reason, Some(Reason::Unverified));
    let hers = reply_by_address(ALICE, &one.carol);
    assert!(!reaches_carol(&desk, &hers).await, "a member at a customer's reply address");
    assert_eq!(desk.newest(&one.ticket).state, State::Held);
}

#[tokio::test(flavor = "multi_thread")]
async fn reply_addresses_outlive_a_new_key_and_end_with_their_own() {
    let mut desk = desk().await;
    let scene = scene(&desk).await;
    let key = TokenKey { secret: [9; 32], created_at: Timestamp::now() };
    desk.act(|tx, _| Ok(tx.put(&TOKEN_KEYS, &2, &key)?)).await;
    desk.restart().await;
    assert!(reaches_carol(&desk, &reply(ALICE, &scene.alice)).await, "made with the key before");
    let newer = desk.last("carol@example.com").await;
    assert_ne!(address_in(&newer, "Reply-To"), address_in(&scene.carol, "Reply-To"), "made with the new one");

    let first = desk.read(|view| Ok(view.range(&TOKEN_KEYS, .., Order::Up, 1)?))[0].0;
    desk.act(|tx, _| {
        tx.delete(&TOKEN_KEYS, &first);
        Ok(())
    })
    .await;
    desk.restart().await;
    let answer = desk.offer(&reply(ALICE, &scene.alice)).await;
    assert!(answer.starts_with("550 5.1.1"), "{answer}");
    assert_eq!(desk.post(&reply(CAROL, &newer)).await, scene.ticket);
    assert_eq!(desk.ticket(&scene.ticket).status, Status::Open);
}

/// We sign for all our properties alike, and one property's customer may have somebody's member's
/// reply address.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_another_property_sent_on_speaks_for_nobody() {
    let desk = desk().await;
    desk.signer(DOMAIN);
    let scene = scene(&desk).await;
    let other = desk.post(&letter(MALLORY).to("bulle@desk.example.org").subject("Hello")).await;
    desk.write(&other, None, Scope::Public, "Your refund is on its way.\n").await;
    let copy = desk.last(MALLORY).await;
    let before = desk.inbox("carol@example.com").await.len();
    let answer = desk.send(MALLORY, &[&address_in(&scene.alice, "Reply-To")], &copy).await;
    assert!(answer.starts_with(&format!("250 2.0.0 {} ", scene.ticket)), "{answer}");
    let entry = desk.newest(&scene.ticket);
    assert!(entry.verdict.unwrap().is_aligned(), "our signature holds");
    assert_eq!((entry.state, entry.reason), (State::Held, Some(Reason::Unaligned)));
    assert_eq!(desk.inbox("carol@example.com").await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_written_to_because_a_mail_names_him() {
    let desk = desk().await;
    let victim = "victim@victim.example";
    for (what, letter) in [
        ("Reply-To", letter(CAROL).to(ACME).field("Reply-To", victim)),
        ("Cc, by a requester whom nothing proves", letter("x@unproven.example").to(ACME).cc(victim)),
        ("Sender", letter(CAROL).to(ACME).field("Sender", victim)),
        ("Return-Receipt-To", letter(CAROL).to(ACME).field("Return-Receipt-To", victim)),
        ("Disposition-Notification-To", letter(CAROL).to(ACME).field("Disposition-Notification-To", victim)),
        ("Errors-To", letter(CAROL).to(ACME).field("Errors-To", victim)),
        ("X-Original-From", letter(CAROL).to(ACME).field("X-Original-From", victim)),
        ("a member's answer named in Cc by a stranger", {
            let scene = scene(&desk).await;
            reply(MALLORY, &scene.carol).cc(victim)
        }),
    ] {
        let ticket = desk.post(&letter).await;
        // A member answers, as he would.
        let copy = desk.last("alice@team.example").await;
        assert_eq!(desk.post(&reply(ALICE, &copy)).await, ticket, "{what}");
        assert!(desk.inbox(victim).await.is_empty(), "{what}");
    }
}
