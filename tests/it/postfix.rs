//! Mail to Postfix, found by BIND: what two real servers make of what we send, and what we make of
//! what they say, at once or later.

use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use guichet::desk::copy::{Copy, CopyState};
use guichet::desk::entry::What;
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read};

use crate::kit::authority::Authority;
use crate::kit::desk::{TestDesk, field};
use crate::kit::letter::letter;
use crate::kit::named::Named;
use crate::kit::ports::free_port;
use crate::kit::postfix::{Postfix, Wanted};
use crate::kit::signed_zones::{SignedZones, Signing, Zone};

const FULL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 31, 1));
const PLAIN: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 31, 2));
const SMALL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 31, 3));
const HASTY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 31, 4));
/// Whoever may send as example.com.
const SENDERS: &str = "@ IN TXT \"v=spf1 ip4:127.0.0.1 -all\"";

/// A desk whose mail goes to one Postfix: with all that it can, as an old server, as one that takes
/// small mails only, and as one that takes mail for whom it does not know.
struct World {
    desk: TestDesk,
    postfix: Postfix,
    _named: Named,
}

impl World {
    /// `None` where Postfix or BIND are left out.
    async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// With these zones besides.
    async fn with(more: &[(&str, &str)]) -> Option<Self> {
        let port = free_port(&[FULL, PLAIN, SMALL, HASTY]);
        let zone = |address| format!("@ IN MX 10 mx\nmx IN A {address}");
        let zones = [FULL, PLAIN, SMALL, HASTY].map(zone);
        let known = [
            ("full.example", zones[0].as_str()),
            ("team.example", zones[0].as_str()),
            ("plain.example", zones[1].as_str()),
            ("small.example", zones[2].as_str()),
            ("hasty.example", zones[3].as_str()),
            ("example.com", SENDERS),
            (".", ""),
        ];
        let named = Named::start(&[&known, more].concat())?;
        let desk = TestDesk::direct_by(named.address(), port).await;
        let old = ["smtputf8_enable=no", "smtpd_tls_security_level=none", "smtpd_discard_ehlo_keywords=8bitmime"];
        let postfix = Postfix::start(&Wanted {
            listens: &[
                (FULL, &[]),
                (PLAIN, &old),
                (SMALL, &["message_size_limit=6000"]),
                (HASTY, &["smtpd_reject_unlisted_recipient=no"]),
            ],
            port,
            certificate: &Authority::new().issue(&["mx.postfix.example"]),
            domains: &[
                "full.example",
                "team.example",
                "plain.example",
                "small.example",
                "hasty.example",
                "backup.example",
                "bare.example",
                "www.bare.example",
            ],
            mailboxes: &[
                ("bob@full.example", "bob"),
                ("bjørn@full.example", "bjorn"),
                ("bob@plain.example", "plain"),
                ("bob@small.example", "small"),
                ("alice@team.example", "alice"),
                ("bob@backup.example", "found"),
                ("bob@bare.example", "found"),
                ("bob@www.bare.example", "found"),
            ],
            relay: desk.address(),
        })?;
        Some(Self { desk, postfix, _named: named })
    }

    /// Writes to somebody, and waits until the copy is no longer queued.
    async fn write(&self, to: &str, text: &str) -> Copy {
        write(&self.desk, to, text).await
    }

    async fn copy(&self, to: &str, reached: impl Fn(CopyState) -> bool) -> Copy {
        copy(&self.desk, to, reached).await
    }
}

async fn write(desk: &TestDesk, to: &str, text: &str) -> Copy {
    desk.begin_to_compose("acme", None, &[to], "Parcel", text).await;
    copy(desk, to, |state| state != CopyState::Queued).await
}

async fn copy(desk: &TestDesk, to: &str, reached: impl Fn(CopyState) -> bool) -> Copy {
    let wanted = |copy: &Copy| copy.to.as_str() == to && reached(copy.state);
    let found = desk.until(|view| {
        let all = view.range(&COPIES, .., Order::Down, 1_000)?;
        Ok(all.into_iter().map(|(_, copy)| copy).find(wanted))
    });
    found.await
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_takes_what_it_can_and_its_no_is_told_in_its_words() {
    let Some(world) = World::start().await else { return };
    let text = "Déjà vu.";

    let copy = world.write("bob@full.example", text).await;
    assert_eq!(copy.state, CopyState::Sent, "{copy:?}");
    assert!(copy.words().unwrap().starts_with("250 2.0.0 Ok: queued as "), "{copy:?}");
    assert!(copy.words().unwrap().ends_with(" (mx.full.example [127.0.31.1])"), "{copy:?}");
    let mail = world.postfix.mails("bob", 1).remove(0);
    assert!(mail.contains("(using TLSv1.3 with cipher "), "{mail}");

    let copy = world.write("bjørn@full.example", text).await;
    assert_eq!(copy.state, CopyState::Sent, "{copy:?}");
    let mail = world.postfix.mails("bjorn", 1).remove(0);
    assert!(mail.contains("Delivered-To: bjørn@full.example\n") && mail.contains("with UTF8SMTPS id "), "{mail}");

    // An old server: no TLS, no 8-bit text, no addresses beyond ASCII.
    let copy = world.write("bob@plain.example", text).await;
    assert_eq!(copy.state, CopyState::Sent, "{copy:?}");
    let mail = world.postfix.mails("plain", 1).remove(0);
    assert!(mail.is_ascii() && mail.contains("with ESMTP id ") && mail.contains("D=C3=A9j=C3=A0 vu."), "{mail}");
    let copy = world.write("bjørn@plain.example", text).await;
    assert_eq!(copy.state, CopyState::Failed, "{copy:?}");
    assert!(copy.reply.as_ref().unwrap().starts_with("5.6.7 "), "{copy:?}");

    let copy = world.write("bob@small.example", text).await;
    assert_eq!(copy.state, CopyState::Sent, "{copy:?}");
    let copy = world.write("eve@small.example", &format!("{text}\n").repeat(1_000)).await;
    assert_eq!(copy.state, CopyState::Failed, "{copy:?}");
    let reply = copy.reply.as_ref().unwrap();
    assert!(reply.starts_with("5.3.4 ") && reply.ends_with(" octets, the server takes 6000"), "{copy:?}");

    let copy = world.write("nobody@full.example", text).await;
    assert_eq!(copy.state, CopyState::Failed, "{copy:?}");
    let words = "550 5.1.1 <nobody@full.example>: Recipient address rejected: User unknown in virtual mailbox table \
                 (mx.full.example [127.0.31.1])";
    assert_eq!(copy.words().as_deref(), Some(words));
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_8_bit_text_reaches_postfix_as_it_is_or_not_at_all() {
    let Some(world) = World::start().await else { return };
    world.desk.members(&["alice"]).await;
    world.desk.list_member("acme", "bob@plain.example").await;
    let body = "--s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ndéjà vu\n--s\n\
                Content-Type: application/pgp-signature\n\nx\n--s--\n";
    let kind = "multipart/signed; boundary=s; protocol=\"application/pgp-signature\"; micalg=pgp-sha256";
    world.desk.post(&letter("Carol <carol@example.com>").to("acme@desk.example.org").body(kind, body)).await;
    let mail = world.postfix.mails("alice", 1).remove(0);
    assert!(mail.contains("\n\ndéjà vu\n--s\n"), "{mail}");
    let copy = world.copy("bob@plain.example", |state| state != CopyState::Queued).await;
    assert_eq!(copy.state, CopyState::Failed, "{copy:?}");
    assert!(copy.reply.as_ref().unwrap().starts_with("5.6.3 "), "{copy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postfix_took_and_could_not_deliver_comes_back_and_fails_the_copy_in_its_words() {
    let Some(world) = World::start().await else { return };
    world.desk.members(&["alice"]).await;
    let gone = "gone@hasty.example";
    let ticket = world.desk.begin_to_compose("acme", Some("alice"), &[gone], "Parcel", "It is here.").await;
    let copy = world.copy(gone, |state| state == CopyState::Failed).await;
    assert!(copy.reply.as_ref().unwrap().contains("unknown user: \"gone@hasty.example\""), "{copy:?}");
    let events = world.desk.entries(&ticket).into_iter().filter_map(|entry| entry.event);
    assert_eq!(events.filter(|event| event.what == What::Failed).count(), 1);
    assert_eq!(world.desk.messages(&ticket).len(), 1, "the report is no message of its own");

    // Its author is told, by the same Postfix.
    world.desk.settled().await;
    let notice = world.postfix.mails("alice", 1).remove(0);
    assert!(notice.contains(gone) && notice.contains("unknown user"), "{notice}");
    assert_eq!(field(&notice.replace('\n', "\r\n"), "Auto-Submitted").as_deref(), Some("auto-generated"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_server_is_found_as_its_zone_says_or_the_copy_says_why_not() {
    use CopyState::{Deferred, Failed, Sent};
    let backup = format!("@ IN MX 10 away\n@ IN MX 20 mx\naway IN A 127.0.31.99\nmx IN A {FULL}");
    let bare = format!("@ IN A {FULL}\nwww IN CNAME @");
    let Some(world) = World::with(&[
        ("backup.example", &backup),
        ("bare.example", &bare),
        ("names.example", "ring IN CNAME gnir\ngnir IN CNAME ring\ntext IN TXT x"),
        ("null.example", "@ IN MX 0 ."),
        ("ours.example", "@ IN MX 10 mx.desk.example.org."),
        ("gone.example", "@ IN MX 10 gone"),
        ("local.example", "@ IN MX 10 mx\nmx IN A 169.254.1.1"),
    ])
    .await
    else {
        return;
    };
    for (domain, state, words, server) in [
        ("backup.example", Sent, "250 2.0.0 Ok: queued as ", "(mx.backup.example [127.0.31.1])"),
        ("bare.example", Sent, "250 2.0.0 Ok: queued as ", "(bare.example [127.0.31.1])"),
        ("www.bare.example", Sent, "250 2.0.0 Ok: queued as ", "(www.bare.example [127.0.31.1])"),
        ("ring.names.example", Deferred, "4.4.3 ", ""),
        ("text.names.example", Failed, "5.4.4 no mail server of text.names.example can be reached: ", ""),
        ("missing.names.example", Failed, "5.1.2 there is no domain missing.names.example", ""),
        ("null.example", Failed, "5.1.10 null.example takes no mail (null MX)", ""),
        ("ours.example", Failed, "5.4.6 mail for ours.example would come back to us", ""),
        ("gone.example", Failed, "5.4.4 no mail server of gone.example can be reached: ", ""),
        ("local.example", Failed, "5.4.4 no mail server of local.example can be reached: ", "where no mail is sent"),
    ] {
        let copy = world.write(&format!("bob@{domain}"), "It is here.").await;
        let said = copy.words().unwrap();
        assert!(copy.state == state && said.starts_with(words) && said.ends_with(server), "{domain}: {copy:?}");
    }
    assert_eq!(world.postfix.mails("found", 3).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn postfix_gets_mail_where_its_certificate_is_what_its_signed_zone_says() {
    let certificate = Authority::new().issue(&["mx.postfix.example"]);
    let right = HEXLOWER.encode(digest::digest(&digest::SHA256, &certificate.own()).as_ref());
    let zone = |name, key: &str| Zone {
        name,
        records: format!("@ IN MX 10 mx\nmx IN A {FULL}\n_25._tcp.mx IN TLSA 3 0 1 {key}\n"),
        signing: Signing::Signed,
    };
    let zones = [zone("right.example", &right), zone("wrong.example", &"0".repeat(64))];
    let Some(named) = SignedZones::start(&zones) else { return };
    let port = free_port(&[FULL]);
    let desk = TestDesk::direct_by_with(named.address(), port, "validating = true\n").await;
    let Some(postfix) = Postfix::start(&Wanted {
        listens: &[(FULL, &[])],
        port,
        certificate: &certificate,
        domains: &["right.example", "wrong.example"],
        mailboxes: &[("bob@right.example", "bob"), ("bob@wrong.example", "bob")],
        relay: desk.address(),
    }) else {
        return;
    };
    let refused = write(&desk, "bob@wrong.example", "It is here.").await;
    let words = "4.7.5 no TLS with mx.wrong.example: the certificate matches no TLSA record; the server's DANE records \
                 ask for it, and nothing was sent (mx.wrong.example [127.0.31.1])";
    assert_eq!((refused.state, refused.words().as_deref()), (CopyState::Deferred, Some(words)));
    let sent = write(&desk, "bob@right.example", "It is here.").await;
    assert_eq!(sent.state, CopyState::Sent, "{sent:?}");
    let mails = postfix.mails("bob", 1);
    assert!(mails.len() == 1 && mails[0].contains("(using TLSv1.3 with cipher "), "{mails:?}");
}
