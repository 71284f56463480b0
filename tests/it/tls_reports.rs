//! Who wants reports about TLS gets them once a day, and those that others send can be read.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64_MIME;
use flate2::Compression;
use flate2::write::GzEncoder;
use guichet::config::Direct;
use guichet::desk::tls_report::{Applied, Counts, FailureKind, PolicyKind, Report, TlsFailure};
use guichet::mime::tls_report::unpack;
use guichet::net::limits::Memory;
use guichet::relay::client::{Client, Tls};
use guichet::relay::destinations::Limits;
use guichet::relay::exit::{Exit, Way};
use guichet::relay::https::Https;
use guichet::relay::mx::{Finder, Ourselves};
use guichet::relay::pool::PoolLimits;
use guichet::relay::tally::Tally;
use guichet::relay::tls_reports::Reporter;
use guichet::relay::worker::Relay;
use guichet::store::tables::{ENTRIES, TICKETS, TLS_COUNTS};
use guichet::store::{Order, Read};
use guichet::trust::Signers;
use guichet::trust::judge::{Authenticator, Origin};
use jiff::Timestamp;

use crate::kit::authority::Authority;
use crate::kit::desk::TestDesk;
use crate::kit::sink::{Act, Sink};
use crate::kit::web::{Page, Web};

/// A desk with something to report about `example.com`, whose reports the mail server of
/// `reports.example` takes.
struct World {
    desk: TestDesk,
    reporter: Arc<Reporter>,
    host: Sink,
    web: Web,
    now: Arc<Mutex<Timestamp>>,
    /// The day that is reported about, counted from 1970: yesterday.
    day: i64,
}

impl World {
    async fn begin() -> Self {
        let start = Timestamp::now();
        let day = start.as_second() / 86_400 - 1;
        let desk = TestDesk::direct().await;
        // Nobody's certificate, and a zone that wants another.
        let host = Sink::new(&["PIPELINING"]).certified(&Authority::new().valid("else.example"));
        let host = desk.server_of("reports.example", 2, host).await;
        desk.dns.tlsa("mx.reports.example", 3, 1, 1, &[0; 32]);
        for name in ["reports.example", "mx.reports.example", "_25._tcp.mx.reports.example"] {
            desk.dns.authentic(name);
        }
        let authority = Authority::new();
        let page = Page::Raw("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n".to_owned());
        let web = Web::start(([127, 0, 0, 1], 0).into(), authority.valid("web.example").config(), page).await;
        desk.dns.address("web.example", web.address().ip());

        let direct = Direct {
            port: host.address().port(),
            allow_loopback: true,
            https_port: web.address().port(),
            tls_reports: true,
        };
        let resolver = desk.dns.resolver();
        let tls = Tls::with_roots(authority.roots()).unwrap();
        let https = Https::new(resolver.clone(), &tls, direct).unwrap();
        let ourselves = Ourselves { hostname: "mx.desk.example.org".to_owned(), listens: Vec::new() };
        let servers = desk.dns.servers().iter().map(|server| server.parse().unwrap()).collect();
        let validator = guichet::net::validator::Validator::new(servers).unwrap();
        let tally = Arc::new(Tally::new(Timestamp::now));
        let finder = Finder::new(resolver.clone(), direct, ourselves, || 0).with_validator(validator).with_tally(tally);
        let finder = Arc::new(finder);
        let client = Client::new("mx.desk.example.org", resolver, tls);
        let now = Arc::new(Mutex::new(start));
        let clock = Arc::clone(&now);
        let (store, rules) = desk.inside();
        let signers = Signers::default();
        signers.put(desk.signer("desk.example.org"));
        let relay = Relay {
            store,
            desk: rules,
            exit: Exit::to_servers(Way::Direct(Arc::clone(&finder)), client, PoolLimits::default()),
            signers: Arc::new(signers),
            limits: Limits { each: 1, in_all: 1 },
            memory: Memory::new(1 << 20),
            now: Box::new(move || *clock.lock().unwrap()),
            metrics: desk.metrics(),
        };
        let reporter = Arc::new(Reporter { relay: Arc::new(relay), finder, https });
        let world = Self { desk, reporter, host, web, now, day };
        world.count("example.com").await;
        world
    }

    /// One session that went well with a server of a domain, and one that did not.
    async fn count(&self, domain: &str) {
        let mut counts = Counts::default();
        let applied = Applied { kind: PolicyKind::Sts, lines: vec!["version: STSv1".into()], mx: vec!["*".into()] };
        let failure = TlsFailure { kind: FailureKind::CertificateExpired, words: "it expired".to_owned() };
        let ip = Some([192, 0, 2, 1].into());
        counts.add(applied.clone(), "mx.example.net", ip, Ok(()));
        counts.add(applied, "mx.example.net", ip, Err(&failure));
        let key = (self.day, domain.to_owned());
        self.desk.begin_to_act(|tx, _| Ok(tx.put(&TLS_COUNTS, &key, &counts)?)).await;
    }

    fn wants(&self, domain: &str, rua: &str) {
        self.desk.dns.txt(&format!("_smtp._tls.{domain}"), &format!("v=TLSRPTv1; rua={rua}"));
    }

    /// So many seconds after the day began.
    fn set_clock(&self, seconds: i64) {
        *self.now.lock().unwrap() = Timestamp::from_second(self.day * 86_400 + seconds).unwrap();
    }

    /// The day as it is written.
    fn date(&self) -> String {
        Timestamp::from_second(self.day * 86_400).unwrap().strftime("%F").to_string()
    }

    async fn send_due(&self) {
        let now = *self.now.lock().unwrap();
        self.reporter.send_due(now).await.unwrap();
    }

    /// Of how many days and domains counts are kept.
    fn kept(&self) -> usize {
        self.desk.read(|view| Ok(view.range(&TLS_COUNTS, .., Order::Up, 100)?)).len()
    }
}

fn check(report: &Report, date: &str) {
    assert_eq!(report.organization_name, "mx.desk.example.org");
    assert_eq!(report.contact_info, "postmaster@desk.example.org");
    assert_eq!(report.date_range.start_datetime, format!("{date}T00:00:00Z"));
    assert_eq!(report.date_range.end_datetime, format!("{date}T23:59:59Z"));
    assert_eq!(report.policies.len(), 1);
    let policy = &report.policies[0];
    assert_eq!((policy.policy.policy_type.as_str(), policy.policy.policy_domain.as_str()), ("sts", "example.com"));
    assert_eq!((policy.summary.total_successful_session_count, policy.summary.total_failure_session_count), (1, 1));
    let detail = &policy.failure_details[0];
    assert_eq!((detail.result_type.as_str(), detail.failed_session_count), ("certificate-expired", 1));
    assert_eq!(detail.receiving_mx_hostname.as_deref(), Some("mx.example.net"));
    assert_eq!(detail.receiving_ip.as_deref(), Some("192.0.2.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_goes_by_mail_signed_and_over_whatever_line_there_is() {
    let world = World::begin().await;
    world.wants("example.com", "mailto:tls@reports.example");
    world.send_due().await;
    let mail = &world.host.wait(1).await[0];
    assert_eq!((mail.from.as_str(), mail.to[0].as_str()), ("MAIL FROM:<>", "RCPT TO:<tls@reports.example>"));
    let parsed = mail_parser::MessageParser::new().parse(&mail.message).unwrap();
    let subject = format!(
        "Report Domain: example.com Submitter: mx.desk.example.org Report-ID: <{}-example.com@mx.desk.example.org>",
        world.date()
    );
    assert_eq!(parsed.subject(), Some(subject.as_str()));
    assert_eq!(parsed.header("TLS-Required").and_then(|value| value.as_text()), Some("No"));
    let text = String::from_utf8_lossy(&mail.message).into_owned();
    assert!(
        text.contains("report-type=tlsrpt") && text.contains("Content-Type: application/tlsrpt+gzip\r\n"),
        "{text}"
    );
    let name =
        format!("mx.desk.example.org!example.com!{}!{}!1.json.gz", world.day * 86_400, (world.day + 1) * 86_400 - 1);
    assert!(text.replace("\r\n\t", "").replace("\r\n ", "").contains(&name), "{text}");
    check(&unpack(parsed.attachment(0).unwrap().contents()).unwrap(), &world.date());
    let origin = Origin {
        client: [192, 0, 2, 9].into(),
        helo: "x.example",
        reverse_path: None,
        from_domain: Some("desk.example.org"),
    };
    let verdict = Authenticator::new(world.desk.dns.resolver(), "reports.example").judge(origin, &mail.message).await;
    assert!(verdict.is_aligned(), "{verdict:?}");

    // Once.
    assert_eq!(world.kept(), 0);
    world.send_due().await;
    assert_eq!(world.host.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_posted_where_that_is_wanted() {
    let world = World::begin().await;
    world.wants("example.com", "https://web.example/tls?domain=example.com");
    world.send_due().await;
    let asked = world.web.asked();
    assert_eq!(asked[0].line, "POST /tls?domain=example.com");
    assert!(asked[0].head.contains("content-type: application/tlsrpt+gzip\r\n"), "{}", asked[0].head);
    check(&unpack(&asked[0].body).unwrap(), &world.date());
    assert_eq!(world.kept(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_none_gets_none_and_today_is_not_over() {
    let world = World::begin().await;
    world.count("unasked.example").await;
    world.set_clock(86_399);
    world.wants("example.com", "mailto:tls@reports.example");
    world.send_due().await;
    assert_eq!((world.kept(), world.host.connections()), (2, 0));
    world.set_clock(86_400);
    world.send_due().await;
    assert_eq!((world.kept(), world.host.received().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_tried_again_for_two_days() {
    for (act, kept) in [
        (Act::Say("450 4.2.1 later".to_owned()), 1),
        (Act::SayAndClose("421 4.3.2 down".to_owned()), 1),
        (Act::Say("550 5.1.1 nobody".to_owned()), 0),
    ] {
        let world = World::begin().await;
        world.wants("example.com", "mailto:tls@reports.example");
        world.host.rule("RCPT", act.clone(), false);
        world.send_due().await;
        assert_eq!(world.kept(), kept, "{act:?}");
        if kept == 0 {
            continue;
        }
        world.host.behave();
        if matches!(act, Act::Say(_)) {
            world.send_due().await;
            assert_eq!((world.kept(), world.host.received().len()), (0, 1));
        } else {
            world.set_clock(3 * 86_400);
            world.send_due().await;
            assert_eq!((world.kept(), world.host.received().len()), (0, 0), "nobody wants it any more");
        }
    }
}

/// A report of another's, as mail to the postmaster.
fn report_mail(json: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(json).unwrap();
    let packed = BASE64_MIME.encode(&encoder.finish().unwrap());
    format!(
        "From: noreply@example.com\r\nTo: postmaster@desk.example.org\r\nSubject: Report Domain: desk.example.org \
         Submitter: example.com Report-ID: <1@example.com>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <1@example.com>\r\nTLS-Report-Domain: desk.example.org\r\nTLS-Report-Submitter: example.com\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=\"tlsrpt\"; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain\r\n\r\nThis is a report.\r\n--b\r\nContent-Type: application/tlsrpt+gzip\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{packed}\r\n--b--\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_comes_in_is_read_on_its_ticket() {
    let desk = TestDesk::start().await;
    let json = br#"{"organization-name":"Example Inc.","date-range":{"start-datetime":"2026-11-22T00:00:00Z",
        "end-datetime":"2026-11-22T23:59:59Z"},"contact-info":"tls@example.com","report-id":"1","policies":[{"policy":
        {"policy-type":"sts","policy-domain":"desk.example.org"},"summary":{"total-successful-session-count":7,
        "total-failure-session-count":2},"failure-details":[{"result-type":"certificate-expired",
        "receiving-mx-hostname":"mx.desk.example.org","failed-session-count":2}]}]}"#;
    let mut bomb = b"{\"report-id\":\"".to_vec();
    bomb.resize(200 << 20, b'x');
    bomb.extend(b"\"}");
    for mail in [report_mail(json), report_mail(&bomb).replace("<1@", "<2@")] {
        desk.send("noreply@example.com", &["postmaster@desk.example.org"], &mail).await;
    }
    let texts = desk.read(|view| {
        let entries = view.range(&ENTRIES, .., Order::Up, 100)?;
        Ok(entries.into_iter().map(|(_, entry)| entry.text).filter(|text| !text.is_empty()).collect::<Vec<_>>())
    });
    let expected = "This is a report.\n\nTLS report of Example Inc., 2026-11-22T00:00:00Z to 2026-11-22T23:59:59Z\n\n\
                    desk.example.org (sts): 7 sessions went well, 2 failed\n\
                    - 2 × certificate-expired at mx.desk.example.org";
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert_eq!(texts[0].trim_end(), expected);
    assert_eq!(texts[1].trim_end(), "This is a report.", "what unpacks without end is not unpacked");
    // It is kept, and nobody is told.
    let tickets = desk.read(|view| Ok(view.range(&TICKETS, .., Order::Up, 10)?));
    assert!(!tickets.is_empty() && desk.sink.received().is_empty());
}
