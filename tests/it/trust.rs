//! What a verdict may be relied on for: a domain is proven by SPF or DKIM and by nothing less, and
//! a name server that fails loses no mail.

use std::net::IpAddr;
use std::time::Duration;

use guichet::desk::address::Address;
use guichet::desk::verdict::{Outcome, Policy, Verdict};
use guichet::trust::judge::{Authenticator, Origin};
use guichet::trust::keys::DkimKeys;
use guichet::trust::ring::{First, Ring};
use guichet::trust::sign::Signer;
use jiff::Timestamp;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::kit::dns::Dns;

const CLIENT: &str = "192.0.2.1";
const MAIL: &str = "From: Bob <bob@example.com>\r\nTo: help@desk.example\r\nSubject: Printer\r\n\
                    Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nIt is on fire.\r\n";

async fn judge(dns: &Dns, reverse_path: &str, from: &str, raw: &[u8]) -> Verdict {
    let path: Option<Address> = reverse_path.parse().ok();
    let origin = Origin {
        client: CLIENT.parse().unwrap(),
        helo: "mail.example.com",
        reverse_path: path.as_ref(),
        from_domain: Some(from),
    };
    Authenticator::new(dns.resolver(), "desk.example").judge(origin, raw).await
}

/// A signer for a domain, its keys published.
fn signer(dns: &Dns, domain: &str) -> Signer {
    let keys = DkimKeys::generate(Timestamp::now()).unwrap();
    for record in keys.records(domain) {
        dns.txt(&record.name, &record.value);
    }
    Signer::new(domain, &keys).unwrap()
}

fn signed(signer: &Signer, message: &str) -> String {
    signer.sign(message.as_bytes(), Timestamp::now()).unwrap() + message
}

fn outcomes(verdict: &Verdict) -> Vec<Outcome> {
    verdict.dkim.iter().map(|signature| signature.outcome).collect()
}

#[tokio::test]
async fn spf_proves_the_domain_of_the_reverse_path() {
    let dns = Dns::start().await;
    dns.txt("example.com", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.txt("bounce.example.com", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.txt("other.example", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.txt("far.example.com", "v=spf1 ip4:198.51.100.0/24 -all");
    dns.txt("soft.example.com", "v=spf1 ~all");
    dns.txt("broken.example.com", "v=spf1 ip4:nonsense -all");
    dns.txt("loop.example.com", "v=spf1 include:loop.example.com -all");
    dns.txt("mail.example.com", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.fail("failing.example.com").address("bare.example.com", CLIENT.parse().unwrap());
    for (path, from, spf, domain, aligned, temporary) in [
        ("bob@example.com", "example.com", Outcome::Pass, "example.com", true, false),
        ("b@bounce.example.com", "example.com", Outcome::Pass, "bounce.example.com", true, false),
        ("b@bounce.example.com", "news.example.com", Outcome::Pass, "bounce.example.com", true, false),
        ("bob@other.example", "example.com", Outcome::Pass, "other.example", false, false),
        ("b@far.example.com", "example.com", Outcome::Fail, "far.example.com", true, false),
        ("b@soft.example.com", "example.com", Outcome::SoftFail, "soft.example.com", true, false),
        ("b@broken.example.com", "example.com", Outcome::PermError, "broken.example.com", true, false),
        ("b@loop.example.com", "example.com", Outcome::PermError, "loop.example.com", true, false),
        ("b@failing.example.com", "example.com", Outcome::TempError, "failing.example.com", true, true),
        ("b@bare.example.com", "example.com", Outcome::None, "bare.example.com", true, false),
        ("", "example.com", Outcome::Pass, "mail.example.com", true, false),
    ] {
        let verdict = judge(&dns, path, from, MAIL.as_bytes()).await;
        assert_eq!((verdict.spf, verdict.spf_domain.as_str()), (spf, domain), "{path}");
        assert_eq!((verdict.spf_aligned, verdict.temporary), (aligned, temporary), "{path}");
        assert_eq!(verdict.is_aligned(), spf == Outcome::Pass && aligned, "{path}");
    }
}

#[tokio::test]
async fn an_include_loop_costs_few_queries() {
    let dns = Dns::start().await;
    for n in 0..40 {
        dns.txt(&format!("s{n}.example"), &format!("v=spf1 include:s{}.example a:x{n}.example -all", n + 1));
    }
    let verdict = judge(&dns, "bob@s0.example", "s0.example", MAIL.as_bytes()).await;
    assert_eq!(verdict.spf, Outcome::PermError);
    assert!(dns.queries() < 40, "{}", dns.queries());
}

#[tokio::test]
async fn dkim_proves_the_signing_domain() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "mail.example.com");
    let message = signed(&signer, MAIL);
    for (from, aligned) in [("example.com", true), ("mail.example.com", true), ("example.org", false)] {
        let verdict = judge(&dns, "x@elsewhere.example", from, message.as_bytes()).await;
        assert_eq!(outcomes(&verdict), [Outcome::Pass, Outcome::Pass], "{from}");
        assert_eq!(verdict.is_aligned(), aligned, "{from}");
        assert_eq!(verdict.dkim[0].domain, "mail.example.com");
    }
    for (what, changed) in [
        ("body", message.replace("on fire", "fine")),
        ("subject", message.replace("Subject: Printer", "Subject: Money")),
        ("a second From", message.replace("From: Bob", "From: Eve <eve@example.com>\r\nFrom: Bob")),
        ("a field that was absent", message.replace("Subject: ", "Reply-To: eve@evil.example\r\nSubject: ")),
        ("a content type", message.replace("Subject: ", "Content-Type: text/html\r\nSubject: ")),
    ] {
        let verdict = judge(&dns, "x@elsewhere.example", "example.com", changed.as_bytes()).await;
        assert_eq!(outcomes(&verdict), [Outcome::Fail, Outcome::Fail], "{what}");
        assert!(!verdict.is_aligned(), "{what}");
    }
}

#[tokio::test]
async fn signatures_that_prove_nothing() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "example.com");
    let message = signed(&signer, MAIL);
    // With a body length, anything may follow; the signature is named and counts for nothing.
    let verdict = judge(&dns, "", "example.com", message.replace("; t=", "; l=5; t=").as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::Neutral, Outcome::Neutral]);
    assert_eq!(verdict.dkim[0].domain, "example.com");
    let verdict = judge(&dns, "", "example.com", message.replace("rsa-sha256", "rsa-sha1").as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::Pass, Outcome::PermError]);
    let verdict = judge(&dns, "", "example.com", message.replace("h=From:From:", "h=").as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::PermError, Outcome::PermError]);
    let verdict = judge(&dns, "", "example.com", message.replace("d=example.com", "d=nokey.example").as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::PermError, Outcome::PermError]);
    assert!(!verdict.temporary);
    let garbled = format!("DKIM-Signature: nonsense\r\nDKIM-Signature: v=1; a=\r\n{MAIL}");
    let verdict = judge(&dns, "", "example.com", garbled.as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::Neutral, Outcome::Neutral]);
}

#[tokio::test]
async fn many_signatures_cost_few_queries_and_the_aligned_one_counts() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "example.com");
    let own = signer.sign(MAIL.as_bytes(), Timestamp::now()).unwrap();
    let mut message = String::new();
    for n in 0..100 {
        message.push_str(&own.replace("d=example.com", &format!("d=evil{n}.example")));
    }
    message += &own;
    message += MAIL;
    let before = dns.queries();
    let verdict = judge(&dns, "", "example.com", message.as_bytes()).await;
    assert_eq!(verdict.dkim.len(), 8);
    assert!(verdict.is_aligned());
    assert!(dns.queries() - before < 20, "{}", dns.queries() - before);
}

#[tokio::test]
async fn dmarc_says_what_the_domain_asks_for() {
    let dns = Dns::start().await;
    dns.txt("example.com", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.txt("_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine");
    dns.txt("_dmarc.lax.example", "v=DMARC1; p=none").fail("_dmarc.failing.example");
    dns.txt("evil.example", "v=spf1 +all");
    for (path, from, dmarc, policy, temporary) in [
        ("bob@example.com", "example.com", Outcome::Pass, Policy::Reject, false),
        ("eve@evil.example", "example.com", Outcome::Fail, Policy::Reject, false),
        ("eve@evil.example", "lax.example", Outcome::Fail, Policy::None, false),
        ("eve@evil.example", "without.example", Outcome::None, Policy::None, false),
        ("eve@evil.example", "failing.example", Outcome::TempError, Policy::None, true),
    ] {
        let verdict = judge(&dns, path, from, MAIL.as_bytes()).await;
        assert_eq!((verdict.dmarc, verdict.dmarc_policy), (dmarc, policy), "{path} {from}");
        assert_eq!(verdict.temporary, temporary, "{path} {from}");
    }
    let origin =
        Origin { client: CLIENT.parse().unwrap(), helo: "evil.example", reverse_path: None, from_domain: None };
    let verdict = Authenticator::new(dns.resolver(), "desk.example").judge(origin, MAIL.as_bytes()).await;
    assert_eq!((verdict.dmarc, verdict.is_aligned()), (Outcome::None, false));
}

#[tokio::test]
async fn a_name_server_that_fails_is_a_temporary_error() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "example.com");
    let message = signed(&signer, MAIL);
    dns.fail("example.com");
    let verdict = judge(&dns, "bob@example.com", "example.com", message.as_bytes()).await;
    assert_eq!(verdict.spf, Outcome::TempError);
    assert!(verdict.is_aligned() && !verdict.temporary, "DKIM proves it, so SPF could add nothing");

    let keys = message.split("; s=").skip(1).filter_map(|rest| rest.split(';').next());
    for selector in keys {
        dns.fail(&format!("{selector}._domainkey.example.com"));
    }
    let verdict = judge(&dns, "bob@example.com", "example.com", message.as_bytes()).await;
    assert_eq!(outcomes(&verdict), [Outcome::TempError, Outcome::TempError]);
    assert!(!verdict.is_aligned() && verdict.temporary);
}

#[tokio::test]
async fn a_silent_name_server_ends_with_the_deadline() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "example.com");
    let message = signed(&signer, MAIL);
    dns.silence("example.com").silence("_dmarc.example.com");
    let selectors = message.split("; s=").skip(1).filter_map(|rest| rest.split(';').next());
    for selector in selectors {
        dns.silence(&format!("{selector}._domainkey.example.com"));
    }
    let path: Address = "bob@example.com".parse().unwrap();
    let origin = Origin {
        client: CLIENT.parse::<IpAddr>().unwrap(),
        helo: "mail.example.com",
        reverse_path: Some(&path),
        from_domain: Some("example.com"),
    };
    let verdict = Authenticator::new(dns.resolver(), "desk.example")
        .with_deadline(Duration::from_millis(200))
        .judge(origin, message.as_bytes())
        .await;
    assert_eq!((verdict.spf, verdict.dmarc), (Outcome::TempError, Outcome::TempError));
    assert_eq!(outcomes(&verdict), [Outcome::TempError, Outcome::TempError]);
    assert_eq!(verdict.spf_domain, "example.com");
    assert!(verdict.temporary);
}

#[tokio::test]
async fn addresses_and_domains_are_known_in_every_spelling() {
    let dns = Dns::start().await;
    dns.txt("xn--exmple-cua.de", "v=spf1 ip4:192.0.2.1 ip4:127.0.0.1 -all");
    let authenticator = Authenticator::new(dns.resolver(), "desk.example");
    let path: Address = "bob@Exämple.de".parse().unwrap();
    for (client, from, aligned) in [
        ("192.0.2.1", "exämple.de", true),
        ("::ffff:192.0.2.1", "XN--EXMPLE-CUA.de", true),
        ("127.0.0.1", "mail.exämple.de", true),
        ("192.0.2.2", "exämple.de", false),
        ("192.0.2.1", "example.de", false),
    ] {
        let origin = Origin {
            client: client.parse().unwrap(),
            helo: "[192.0.2.1]",
            reverse_path: Some(&path),
            from_domain: Some(from),
        };
        let verdict = authenticator.judge(origin, MAIL.as_bytes()).await;
        assert_eq!(verdict.is_aligned(), aligned, "{client} {from}");
        assert_eq!(verdict.spf_domain, "xn--exmple-cua.de");
    }
    let origin = Origin { client: CLIENT.parse().unwrap(), helo: "[192.0.2.1]", reverse_path: None, from_domain: None };
    assert_eq!(authenticator.judge(origin, MAIL.as_bytes()).await.spf, Outcome::None);
}

#[tokio::test]
async fn a_chain_of_forwarders_is_noted_and_proves_nothing() {
    let dns = Dns::start().await;
    let directory = tempfile::tempdir().unwrap();
    let keys = Ring::open(directory.path(), "list.example", First::Active, Timestamp::now()).unwrap().signing();
    for record in keys.records("list.example") {
        dns.txt(&record.name, &record.value);
    }
    let pem = directory.path().join(format!("list.example/{}.rsa", keys.rsa().unwrap().selector));
    let key = RsaKey::<Sha256>::from_key_der(PrivateKeyDer::from_pem_file(pem).unwrap()).unwrap();
    let message = AuthenticatedMessage::parse(MAIL.as_bytes()).unwrap();
    let results = AuthenticationResults::new("list.example");
    let set = ArcSealer::from_key(key)
        .domain("list.example")
        .selector(keys.rsa().unwrap().selector.as_str())
        .headers(["From", "To", "Subject"])
        .seal(&message, &results, &ArcOutput::default())
        .unwrap();
    let sealed = set.to_header() + MAIL;
    for (message, arc) in [
        (sealed.clone(), Outcome::Pass),
        (sealed.replace("Subject: Printer", "Subject: Money"), Outcome::Fail),
        (sealed.replace("on fire", "fine"), Outcome::Fail),
        (MAIL.to_owned(), Outcome::None),
        (set.to_header().repeat(30) + MAIL, Outcome::PermError),
    ] {
        let verdict = judge(&dns, "", "list.example", message.as_bytes()).await;
        assert_eq!((verdict.arc, verdict.is_aligned()), (arc, false));
    }
}

#[tokio::test]
async fn a_record_too_long_for_one_packet_is_read_whole() {
    let dns = Dns::start().await;
    let others = (0..150).map(|n| format!("ip4:198.51.100.{n} ")).collect::<Vec<_>>().concat();
    dns.txt("example.com", &format!("v=spf1 {others}ip4:192.0.2.1 -all"));
    let verdict = judge(&dns, "bob@example.com", "example.com", MAIL.as_bytes()).await;
    assert_eq!(verdict.spf, Outcome::Pass);
}

#[tokio::test]
async fn damaged_signatures_prove_nothing_and_harm_nobody() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "example.com");
    let whole = signed(&signer, MAIL).replace("DKIM-Signature", "ARC-Message-Signature: i=1;").into_bytes();
    let whole = [signed(&signer, MAIL).trim_end_matches(MAIL).as_bytes(), &whole].concat();
    let origin = Origin {
        client: CLIENT.parse().unwrap(),
        helo: "mail.example.com",
        reverse_path: None,
        from_domain: Some("example.com"),
    };
    let authenticator = Authenticator::new(dns.resolver(), "desk.example");
    let header = whole.len() - MAIL.len();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        // A linear congruential generator (Knuth): the same damage on every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..300 {
        let mut damaged = whole.clone();
        for _ in 0..=random(3) {
            let at = random(header);
            match random(3) {
                0 => damaged[at] = b";:=\r\n \0\xff9a"[random(10)],
                1 => drop(damaged.remove(at)),
                _ => damaged.insert(at, b";:=\r\n \0\xff9a"[random(10)]),
            }
        }
        let verdict = authenticator.judge(origin, &damaged).await;
        assert!(verdict.dkim.len() <= 16);
    }
}

#[tokio::test]
async fn what_is_hardly_a_message_is_judged_too() {
    let dns = Dns::start().await;
    // In a task, as the daemon does it.
    let other = dns.clone();
    let verdict = tokio::spawn(async move { judge(&other, "bob@example.com", "example.com", MAIL.as_bytes()).await });
    assert!(!verdict.await.unwrap().is_aligned());
    for raw in [&b""[..], b"\r\n", b"no header at all", b"\xff\xfe\r\n\r\n\x00", b"From: x\r\n"] {
        let verdict = judge(&dns, "bob@example.com", "example.com", raw).await;
        assert!(!verdict.is_aligned() && verdict.dkim.is_empty());
    }
}

/// Bodies on which signers and verifiers have disagreed.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("plain", b"It is on fire.\r\n".to_vec()),
        ("empty", Vec::new()),
        ("one empty line", b"\r\n".to_vec()),
        ("blanks only", b" \r\n\t \r\n".to_vec()),
        ("trailing empty lines", b"text\r\n\r\n\r\n".to_vec()),
        ("trailing lines of blanks", b"text\r\n \r\n\t\r\n   \r\n".to_vec()),
        ("blanks before the end", b"text  \t \r\n".to_vec()),
        ("blank lines inside", b"a\r\n \r\n\r\n b \t c\r\n".to_vec()),
        ("8-bit", "Ça brûle, déjà.\r\n".as_bytes().to_vec()),
        ("a long line", [vec![b'x'; 5_000], b"\r\n".to_vec()].concat()),
        ("no end of line", b"text".to_vec()),
    ]
}

fn with_body(body: &[u8]) -> Vec<u8> {
    let header = "From: =?utf-8?q?Zo=C3=A9?= via Acme <acme@desk.example>\r\nTo: bob@example.com\r\n\
                  Subject: Re:  a folded\r\n\tsubject   with   blanks \r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
                  Message-ID: <1@desk.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Guichet-Loop: acme\r\nAuto-Submitted: auto-generated\r\n\r\n";
    [header.as_bytes(), body].concat()
}

#[tokio::test]
async fn our_own_signatures_verify() {
    let dns = Dns::start().await;
    let signer = signer(&dns, "desk.example");
    for (what, body) in bodies() {
        let message = with_body(&body);
        let signature = signer.sign(&message, Timestamp::now()).unwrap();
        assert!(signature.lines().all(|line| line.len() <= 78), "{signature}");
        let verdict = judge(&dns, "", "desk.example", &[signature.as_bytes(), &message].concat()).await;
        assert_eq!(outcomes(&verdict), [Outcome::Pass, Outcome::Pass], "{what}");
    }
}

#[tokio::test]
async fn what_dkimpy_signs_is_believed() {
    let Some(python) = crate::kit::peers::python() else { return };
    let dns = Dns::start().await;
    let directory = tempfile::tempdir().unwrap();
    let keys = Ring::open(directory.path(), "desk.example", First::Active, Timestamp::now()).unwrap().signing();
    for record in keys.records("desk.example") {
        dns.txt(&record.name, &record.value);
    }
    let bodies = bodies();
    for (index, (_, body)) in bodies.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{index}.eml")), with_body(body)).unwrap();
    }
    let script = concat!(
        "import dkim, pathlib, sys\n",
        "directory, selector = pathlib.Path(sys.argv[1]), sys.argv[2]\n",
        "key = (directory / 'desk.example' / (selector + '.rsa')).read_bytes()\n",
        "for path in directory.glob('*.eml'):\n",
        "    message = path.read_bytes()\n",
        "    for header in (b'relaxed', b'simple'):\n",
        "        for body in (b'relaxed', b'simple'):\n",
        "            how = (header, body)\n",
        "            signature = dkim.sign(message, selector.encode(), b'desk.example', key, canonicalize=how)\n",
        "            name = f'{path.stem}.{header.decode()}.{body.decode()}.signed'\n",
        "            (directory / name).write_bytes(signature + message)\n",
    );
    let mut python = std::process::Command::new(python);
    let output =
        python.args(["-c", script]).arg(directory.path()).arg(keys.rsa().unwrap().selector.as_str()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (index, (what, _)) in bodies.iter().enumerate() {
        for how in ["relaxed.relaxed", "relaxed.simple", "simple.relaxed", "simple.simple"] {
            let message = std::fs::read(directory.path().join(format!("{index}.{how}.signed"))).unwrap();
            let verdict = judge(&dns, "", "desk.example", &message).await;
            assert_eq!(outcomes(&verdict), [Outcome::Pass], "{what}, {how}");
        }
    }
}

#[test]
fn our_own_signatures_verify_with_dkimpy() {
    let Some(python) = crate::kit::peers::python() else { return };
    let keys = DkimKeys::generate(Timestamp::now()).unwrap();
    let signer = Signer::new("desk.example", &keys).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let records: Vec<_> = keys.records("desk.example").into_iter().map(|r| (r.name, r.value)).collect();
    std::fs::write(directory.path().join("records.json"), serde_json::to_vec(&records).unwrap()).unwrap();
    let bodies = bodies();
    for (index, (_, body)) in bodies.iter().enumerate() {
        let message = with_body(body);
        let signature = signer.sign(&message, Timestamp::now()).unwrap();
        let whole = [signature.as_bytes(), &message].concat();
        std::fs::write(directory.path().join(format!("{index}.eml")), whole).unwrap();
    }
    let script = concat!(
        "import dkim, json, pathlib, sys\n",
        "directory = pathlib.Path(sys.argv[1])\n",
        "records = {name + '.': value for name, value in json.loads((directory / 'records.json').read_text())}\n",
        "txt = lambda name, timeout=5: records[name.decode()].encode()\n",
        "for path in sorted(directory.glob('*.eml'), key=lambda path: int(path.stem)):\n",
        "    for index in (0, 1):\n",
        "        ok = dkim.DKIM(path.read_bytes()).verify(idx=index, dnsfunc=txt)\n",
        "        print(path.stem, index, 'pass' if ok else 'fail')\n",
    );
    let output = std::process::Command::new(python).args(["-c", script]).arg(directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 2 * bodies.len());
    for line in said.lines() {
        let index: usize = line.split(' ').next().unwrap().parse().unwrap();
        assert!(line.ends_with("pass"), "{line}: {}", bodies[index].0);
    }
}
