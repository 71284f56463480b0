//! `guichet dns` and `guichet dkim`: what is to be published, whether it is, and keys that rotate by
//! what the DNS shows.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use guichet::config::{Config, Direct};
use guichet::daemon::Opened;
use guichet::desk::mta_sts::{Mode, Policy};
use guichet::dns::check::Finding;
use guichet::dns::expected::{Expected, Need};
use guichet::dns::{Names, Of};
use guichet::net::resolver::outside_view;
use guichet::net::stop;
use guichet::relay::client::Tls;
use guichet::relay::https::Https;
use guichet::store::Store;
use guichet::trust::ring::{KeyState, RetireError, UNDER_WAY};
use guichet::{dns::NamesError, trust::keys::Record};
use jiff::Timestamp;
use serde_json::Value;

use crate::kit::authority::Authority;
use crate::kit::daemon::Daemon;
use crate::kit::desk::{DOMAIN, TestDesk, dkim_records};
use crate::kit::dns::Dns;
use crate::kit::letter::letter;
use crate::kit::peers;
use crate::kit::web::{Page, Web};

const HOST: &str = "mx.desk.example.org";
const SENDER: &str = "192.0.2.25";
const POINTER: &str = "25.2.0.192.in-addr.arpa";

/// A config file of a desk that listens and sends at addresses of its own.
fn config(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("guichet.toml");
    let text = format!(
        "hostname = \"{HOST}\"\ndomains = [\"{DOMAIN}\"]\ndata_dir = \"data\"\npostmaster = \"acme\"\n\
         [smtp]\nlisten = [\"192.0.2.25:25\", \"[2001:db8::25]:25\"]\n\
         [relay]\nmode = \"direct\"\nsource = [\"192.0.2.26\", \"2001:db8::26\"]\n"
    );
    fs::create_dir_all(folder.join("data")).unwrap();
    fs::write(&file, text).unwrap();
    file
}

fn guichet(config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.args(args).arg("--config").arg(config).stdin(Stdio::null()).output().unwrap()
}

fn ok(config: &Path, args: &[&str]) -> String {
    let output = guichet(config, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn records(config: &Path, args: &[&str]) -> Vec<(String, String, String)> {
    let json: Value = serde_json::from_str(&ok(config, &[args, &["--json"]].concat())).unwrap();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let all = json["records"].as_array().unwrap().iter();
    all.map(|record| (text(record, "name"), text(record, "type"), text(record, "value"))).collect()
}

#[test]
fn every_record_that_an_operator_needs_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    ok(&config, &["property", "add", "acme", "--name", "Acme", "--public", "support@acme.example"]);
    let all = records(&config, &["dns"]);
    let shown: Vec<_> = all.iter().map(|(name, kind, value)| format!("{name} {kind} {value}")).collect();
    for expected in [
        "mx.desk.example.org A 192.0.2.25",
        "mx.desk.example.org AAAA 2001:db8::25",
        "26.2.0.192.in-addr.arpa PTR mx.desk.example.org",
        "6.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx.desk.example.org",
        "mx.desk.example.org TXT v=spf1 a ip4:192.0.2.26 ip6:2001:db8::26 -all",
        "desk.example.org MX 10 mx.desk.example.org",
        "desk.example.org TXT v=spf1 mx ip4:192.0.2.26 ip6:2001:db8::26 -all",
        "_dmarc.desk.example.org TXT v=DMARC1; p=quarantine",
        "_smtp._tls.desk.example.org TXT v=TLSRPTv1; rua=mailto:postmaster@desk.example.org",
        "_submissions._tcp.desk.example.org SRV 0 1 465 mx.desk.example.org",
        "_submission._tcp.desk.example.org SRV 0 1 587 mx.desk.example.org",
        "_imaps._tcp.desk.example.org SRV 0 1 993 mx.desk.example.org",
        "_imap._tcp.desk.example.org SRV 0 0 0 .",
        "acme.example TXT v=spf1 include:desk.example.org ~all",
        "_dmarc.acme.example TXT v=DMARC1; p=none",
    ] {
        assert!(shown.iter().any(|shown| shown == expected), "{expected} is not in\n{}", shown.join("\n"));
    }
    for domain in [DOMAIN, "acme.example"] {
        let keys = all.iter().filter(|(name, ..)| name.ends_with(&format!("._domainkey.{domain}")));
        assert_eq!(keys.filter(|(.., value)| value.starts_with("v=DKIM1; k=")).count(), 2, "{domain}");
    }
    // There is no policy, and mail clients are led here by nobody's domain.
    assert!(
        !shown.iter().any(|shown| shown.contains("mta-sts") || shown.contains("autoconfig")),
        "{}",
        shown.join("\n")
    );

    let one = records(&config, &["dns", "ACME.example."]);
    assert!(one.len() == 4 && one.iter().all(|(name, ..)| name.ends_with("acme.example")), "{one:?}");
    let text = ok(&config, &["dns"]);
    for (name, _, value) in &all {
        assert!(text.contains(name) && text.contains(value), "{name} {value} is not in\n{text}");
    }
    let output = guichet(&config, &["dns", "example.net"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("desk.example.org, acme.example"));

    // The domain of a public address comes here: it has the records of ours, once.
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(&format!("[\"{DOMAIN}\"]"), &format!("[\"{DOMAIN}\", \"acme.example\"]"))).unwrap();
    let all = records(&config, &["dns", "acme.example"]);
    let spf: Vec<_> = all.iter().filter(|(.., value)| value.starts_with("v=spf1")).map(|(.., value)| value).collect();
    assert_eq!(spf, ["v=spf1 mx ip4:192.0.2.26 ip6:2001:db8::26 -all"]);
    let names: BTreeSet<_> = all.iter().map(|(name, kind, _)| (name, kind)).collect();
    assert_eq!(names.len(), all.len(), "{all:#?}");
    assert_eq!(ok(&config, &["dkim", "list"]).matches("acme.example").count(), 2);
}

#[test]
fn a_machine_behind_another_is_found_where_its_mail_leaves_from() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[\"192.0.2.25:25\", \"[2001:db8::25]:25\"]", "[\"127.0.0.1:2525\"]")).unwrap();
    let all = records(&config, &["dns"]);
    let of = |kind: &str| {
        all.iter().filter(|(_, found, _)| found == kind).map(|(_, _, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((of("A"), of("AAAA"), of("PTR").len()), (vec!["192.0.2.26"], vec!["2001:db8::26"], 2), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_policy_is_printed_and_asked_for_with_the_records_that_announce_it() {
    let dns = Dns::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let more = format!(
        "[tls]\nacme = true\nmta_sts = \"enforce\"\n[web]\nlisten_tls = [\"192.0.2.25:443\"]\n[dns]\nresolvers = [{:?}]\n",
        dns.servers()[0]
    );
    fs::write(&config, fs::read_to_string(&config).unwrap() + &more).unwrap();
    let run = async |args: &'static [&'static str]| {
        let config = config.clone();
        let output = tokio::task::spawn_blocking(move || guichet(&config, args)).await.unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let url = "https://mta-sts.desk.example.org/.well-known/mta-sts.txt";
    let lines = ["version: STSv1", "mode: enforce", "mx: mx.desk.example.org", "max_age: 1209600"];
    for (args, before) in [(&["dns"][..], "         "), (&["dns", "--zone"], ";   ")] {
        let (text, code) = run(args).await;
        let shown: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(before)).collect();
        assert!(code == Some(0) && text.contains(url), "{text}");
        assert!(lines.iter().all(|line| shown.contains(line)), "{text}");
    }
    let policy = |text: &str| serde_json::from_str::<Value>(text).unwrap()["policies"][0].clone();
    let (text, _) = run(&["dns", "--json"]).await;
    assert_eq!(policy(&text)["text"], lines.map(|line| format!("{line}\r\n")).concat());
    assert_eq!((&policy(&text)["url"], &policy(&text)["ok"]), (&url.into(), &Value::Null));
    // It has no name yet, so nobody is asked.
    let (text, code) = run(&["dns", "--check"]).await;
    let told = text.split_once(&format!("unknown  policy  {url}\n")).unwrap().1;
    assert!(code == Some(1) && told.contains("no address for mta-sts.desk.example.org: publish its record"), "{text}");
}

#[test]
fn mail_clients_of_other_domains_are_led_here_where_the_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let text = fs::read_to_string(&config).unwrap();
    let led = "[web]\nlisten_tls = [\"[::]:443\"]\n[tls]\nacme = true\nautoconfig = [\"Team.example\"]\n\
               [imap]\nlisten = [\"[::]:143\"]\n[submission]\nlisten = []\n";
    fs::write(&config, format!("{text}{led}")).unwrap();
    let shown = |(name, kind, value): &(String, String, String)| format!("{name} {kind} {value}");
    let one: Vec<_> = records(&config, &["dns", "TEAM.example"]).iter().map(shown).collect();
    assert_eq!(
        one,
        [
            "autoconfig.team.example CNAME mx.desk.example.org",
            "autodiscover.team.example CNAME mx.desk.example.org",
            "_autodiscover._tcp.team.example SRV 0 1 443 mx.desk.example.org",
            "_imaps._tcp.team.example SRV 0 1 993 mx.desk.example.org",
            "_imap._tcp.team.example SRV 0 1 143 mx.desk.example.org",
            "_submissions._tcp.team.example SRV 0 1 465 mx.desk.example.org",
            "_submission._tcp.team.example SRV 0 0 0 .",
        ]
    );
    let all: Vec<_> = records(&config, &["dns"]).iter().map(shown).collect();
    assert!(one.iter().all(|record| all.contains(record)), "{all:#?}");
    let loaded = Config::load(&config).unwrap();
    let guichet::config::Certificates::Acme(acme) = loaded.tls.certificates else { panic!("acme") };
    let names: Vec<_> = acme.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["mx.desk.example.org", "autoconfig.team.example", "autodiscover.team.example"]);

    // A desk that serves no mail clients says nothing of them.
    fs::write(&config, format!("{text}[imap]\nlisten_tls = []\n[submission]\nlisten_tls = []\nlisten = []\n")).unwrap();
    assert!(!records(&config, &["dns"]).iter().any(|(_, kind, _)| kind == "SRV"));
}

#[test]
fn bind_reads_the_zone_as_it_is_pasted() {
    let Some(named_checkzone) = peers::program("named-checkzone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    ok(&config, &["property", "add", "acme", "--name", "Acme", "--public", "support@acme.example"]);
    for domain in [DOMAIN, "acme.example"] {
        let head = format!(
            "{domain}. 300 IN SOA ns.{domain}. me.{domain}. 1 1d 1h 1w 1h\n{domain}. 300 IN NS ns.{domain}.\nns.{domain}. 300 IN A 192.0.2.53\n"
        );
        let zone = ok(&config, &["dns", domain, "--zone"]);
        let file = folder.path().join("zone");
        fs::write(&file, head + &zone).unwrap();
        let checked = Command::new(&named_checkzone)
            .args(["-i", "full", "-k", "fail", "-D", "-s", "full", domain])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("ignoring"), "{said}\n{zone}");
        // What BIND understood is what JSON says.
        let understood: Vec<_> = String::from_utf8_lossy(&checked.stdout).lines().filter_map(understood).collect();
        for (name, kind, value) in records(&config, &["dns", domain]) {
            let aside = kind == "PTR" || domain != DOMAIN && !value.starts_with("v=DKIM1");
            let there = understood.contains(&(name.clone(), kind.clone(), value.clone()));
            assert_ne!(there, aside, "{name} {kind} {value}\n{zone}\n{understood:#?}");
        }
    }
}

/// A line of a zone file as BIND writes it: name, type and value, strings put together, names
/// without final dots.
fn understood(line: &str) -> Option<(String, String, String)> {
    let mut parts = line.split_whitespace();
    let (name, _ttl, _class, kind) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let value = if kind == "TXT" {
        line.split_once("TXT")?.1.trim().trim_matches('"').split("\" \"").collect()
    } else {
        parts
            .map(|part| part.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(part))
            .collect::<Vec<_>>()
            .join(" ")
    };
    Some((name.trim_end_matches('.').to_owned(), kind.to_owned(), value))
}

/// Publishes everything that a desk of direct delivery needs.
fn publish(dns: &Dns) {
    publish_but_keys(dns);
    publish_keys(dns, &dkim_records(DOMAIN));
}

fn publish_but_keys(dns: &Dns) {
    let address: IpAddr = SENDER.parse().unwrap();
    dns.address(HOST, address).pointer(POINTER, HOST).txt(HOST, "v=spf1 a -all");
    dns.exchange(DOMAIN, 10, HOST).txt(DOMAIN, "v=spf1 mx -all").txt("_dmarc.desk.example.org", "v=DMARC1; p=reject");
    dns.txt("_smtp._tls.desk.example.org", "v=TLSRPTv1; rua=mailto:tls@example.net");
}

fn publish_keys(dns: &Dns, records: &[Record]) {
    for record in records {
        dns.txt(&record.name, &record.value);
    }
}

async fn check(desk: &TestDesk) -> Vec<(Expected, Finding)> {
    desk.names_from(&[SENDER], None).check(Of::All).await.unwrap().records
}

/// What is not in order, `need name TYPE: found; advice`.
fn wrong(checked: &[(Expected, Finding)]) -> Vec<String> {
    let bad = checked.iter().filter(|(expected, finding)| finding.ok != Some(true) && expected.need != Need::Optional);
    bad.map(|(expected, finding)| {
        let (found, advice) = (finding.found.as_deref().unwrap_or("-"), finding.advice.as_deref().unwrap_or("-"));
        format!("{:?} {} {}: {found}; {advice}", expected.need, expected.name, expected.kind())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_right_is_found_right_and_what_is_not_is_told_with_what_to_change() {
    let desk = TestDesk::start().await;
    let dns = &desk.dns;
    publish(dns);
    assert_eq!(wrong(&check(&desk).await), Vec::<String>::new());

    // SPF by what it does, not by its letters.
    for right in
        ["v=spf1 ip4:192.0.2.0/24 ?all", "V=SPF1 a:mx.desk.example.org -all", "v=spf1 redirect=mx.desk.example.org"]
    {
        dns.forget(DOMAIN).exchange(DOMAIN, 10, HOST).txt(DOMAIN, right).txt(DOMAIN, "something else");
        assert_eq!(wrong(&check(&desk).await), Vec::<String>::new(), "{right}");
    }
    let rsa = &dkim_records(DOMAIN)[0];
    let name = rsa.name.as_str();
    for (what, records, told) in [
        (
            DOMAIN,
            &["v=spf1 ip4:192.0.2.99 -all"][..],
            "does not let 192.0.2.25 send: put ip4:192.0.2.25 before its all",
        ),
        (DOMAIN, &["v=spf1 mx -all", "v=spf1 a -all"], "two SPF records count as none"),
        (DOMAIN, &["v=spf1 nonsense:x -all"], "is no term of SPF"),
        (DOMAIN, &["v=spf10 mx"], "Required desk.example.org TXT: -; "),
        (name, &[], "publish it"),
        (name, &["v=DKIM1; k=rsa; p=AAAA"], "another key is there"),
        (name, &["v=DKIM1; p="], "the key is revoked there"),
        ("_dmarc.desk.example.org", &["v=DMARC1; p=everything"], "it can't be read"),
        ("_dmarc.desk.example.org", &["v=DMARC1; p=none", "v=DMARC1; p=reject"], "several records count as none"),
        (POINTER, &[], "set its reverse name to mx.desk.example.org"),
    ] {
        dns.forget(what);
        if what == DOMAIN {
            dns.exchange(DOMAIN, 10, HOST);
        }
        for record in records {
            dns.txt(what, record);
        }
        let wrong = wrong(&check(&desk).await);
        assert!(wrong.len() == 1 && wrong[0].contains(told), "{what} {records:?}: {wrong:#?}");
        dns.forget(DOMAIN).forget(name).forget("_dmarc.desk.example.org").forget(POINTER).forget(HOST);
        for record in dkim_records(DOMAIN) {
            dns.forget(&record.name);
        }
        dns.forget("_smtp._tls.desk.example.org");
        publish(dns);
    }

    // The key in other words, and the policy of the domain above.
    let public = rsa.value.rsplit("p=").next().unwrap();
    let (begin, end) = public.split_at(100);
    dns.forget(name).txt(name, &format!("p={begin} {end}; h=sha1:sha256; s=*; t=s"));
    dns.forget("_dmarc.desk.example.org").txt("_dmarc.example.org", "v=DMARC1; p=quarantine");
    let checked = check(&desk).await;
    assert_eq!(wrong(&checked), Vec::<String>::new());

    // Mail that goes elsewhere, and a name with other addresses than the one that we send from.
    dns.forget(DOMAIN).exchange(DOMAIN, 10, "mx.elsewhere.example").txt(DOMAIN, "v=spf1 a:mx.desk.example.org -all");
    let told = wrong(&check(&desk).await);
    assert!(
        told.len() == 1 && told[0].contains("mail for the domain goes elsewhere: add mx.desk.example.org"),
        "{told:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_announced_and_found_where_it_is_fetched_from() {
    let (desk, authority) = (TestDesk::start().await, Authority::new());
    publish(&desk.dns);
    desk.dns.address(HOST, Ipv4Addr::LOCALHOST.into());
    let policy = |max_age| -> Policy {
        format!("version: STSv1\r\nmode: enforce\r\nmx: {HOST}\r\nmax_age: {max_age}\r\n").parse().unwrap()
    };
    let page = |policy: &Policy| Page::Text(policy.to_string());
    let ours = policy(86_400);
    let host = "mta-sts.desk.example.org";
    let place = (Ipv4Addr::LOCALHOST, 0).into();
    let web = Web::start(place, authority.valid(host).config(), page(&ours)).await;
    let direct = Direct { https_port: web.address().port(), allow_loopback: true, ..Direct::default() };
    let names = |policy: &Policy| {
        let tls = Tls::with_roots(authority.roots()).unwrap();
        let https = Https::new(outside_view(&desk.dns.servers()).unwrap(), &tls, direct).unwrap();
        Arc::new(desk.unshared_names(&[SENDER], Some(policy.clone())).with_web(https))
    };
    let checked = names(&ours).check(Of::Domain(DOMAIN.to_owned())).await.unwrap();
    let told = wrong(&checked.records);
    assert!(told.len() == 2 && told.iter().all(|line| line.starts_with("Recommended ")), "{told:#?}");
    assert_eq!(checked.policies[0].1.ok, None, "nobody is asked where there is no name: {:?}", checked.policies);
    let record = |name: &str| checked.records.iter().find(|(one, _)| one.name == name).unwrap().0.clone();
    assert_eq!(record(host).value(), HOST);
    // The name server of the tests follows no aliases.
    desk.dns.address(host, Ipv4Addr::LOCALHOST.into());
    let announcement = record("_mta-sts.desk.example.org");
    desk.dns.txt(&announcement.name, &announcement.value());
    let checked = names(&ours).check(Of::All).await.unwrap();
    assert_eq!(wrong(&checked.records), Vec::<String>::new());
    let found = Finding {
        found: Some(format!("version: STSv1; mode: enforce; mx: {HOST}; max_age: 86400")),
        ok: Some(true),
        advice: None,
    };
    assert_eq!(checked.policies, [(DOMAIN.to_owned(), found)]);
    assert!(web.asked().iter().all(|asked| asked.line == "GET /.well-known/mta-sts.txt" && asked.head.contains(host)));

    // What others would not take for our policy.
    let raw = |head: &str| Page::Raw(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"));
    for (page, found, told) in [
        (page(&policy(604_800)), true, "another policy is there"),
        (Page::Text("<html>".to_owned()), false, "is no policy"),
        (raw("404 Not Found"), false, "404"),
        (raw("301 Moved\r\nLocation: https://www.example.org/"), false, "301"),
        (raw("200 OK\r\nContent-Type: text/html"), false, "text/plain"),
        (Page::Endless { octets: 1 << 20, told: false }, false, "more than 65536 octets"),
    ] {
        web.say(page.clone());
        let (_, finding) = names(&ours).check(Of::All).await.unwrap().policies.remove(0);
        assert_eq!((finding.ok, finding.found.is_some()), (Some(false), found), "{page:?}: {finding:?}");
        assert!(finding.advice.as_ref().unwrap().contains(told), "{page:?}: {finding:?}");
    }
    web.say(page(&ours));
    web.certify(authority.valid(HOST).config());
    let (_, finding) = names(&ours).check(Of::All).await.unwrap().policies.remove(0);
    assert_eq!(
        (finding.ok, finding.found),
        (Some(false), None),
        "a certificate for another name: {:?}",
        finding.advice
    );
    web.certify(authority.valid(host).config());

    // Another policy has another id, and others keep the old one until they see it.
    let next = policy(604_800);
    web.say(page(&next));
    let checked = names(&next).check(Of::All).await.unwrap();
    let told = wrong(&checked.records);
    assert!(told.len() == 1 && told[0].contains("the id is of another policy"), "{told:#?}");
    assert_eq!(checked.policies[0].1.ok, Some(true));
    // What senders do not take for an announcement is none.
    for text in ["v=STSv1", "V=STSv1; id=a;", "v=STSv1; id=a-b;"] {
        desk.dns.forget(&announcement.name).txt(&announcement.name, text);
        let told = wrong(&names(&next).check(Of::All).await.unwrap().records);
        assert!(told.len() == 1 && told[0].contains("others don't see it"), "{text}: {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_host_is_not_known_its_aliases_are_not_called_wrong() {
    let desk = TestDesk::start().await;
    publish(&desk.dns);
    desk.dns.address("mta-sts.desk.example.org", Ipv4Addr::LOCALHOST.into()).fail(HOST);
    let policy = Policy::ours(Mode::Testing, HOST);
    let names = desk.names_from(&[SENDER], Some(policy));
    let checked = names.check(Of::All).await.unwrap();
    let (_, finding) = checked.records.iter().find(|(one, _)| one.name == "mta-sts.desk.example.org").unwrap();
    assert_eq!((finding.ok, finding.found.as_deref()), (None, Some("127.0.0.1")), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_says_nothing_is_not_taken_for_one_that_says_no() {
    let desk = TestDesk::start().await;
    publish(&desk.dns);
    desk.dns.fail("_dmarc.desk.example.org").fail(&dkim_records(DOMAIN)[0].name);
    let checked = check(&desk).await;
    let unknown: Vec<_> = checked.iter().filter(|(_, finding)| finding.ok.is_none()).collect();
    assert_eq!(unknown.len(), 2, "{unknown:#?}");
    assert!(unknown.iter().all(|(_, finding)| finding.advice.as_ref().unwrap().contains("did not say")));
    assert!(checked.iter().all(|(expected, finding)| finding.ok != Some(false) || expected.need == Need::Optional));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_fails_for_what_is_required_and_warns_about_the_rest() {
    let dns = Dns::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let resolvers = format!("[dns]\nresolvers = [{:?}]\n", dns.servers()[0]);
    let text = fs::read_to_string(&config).unwrap().replace("192.0.2.26\", \"2001:db8::26", SENDER) + &resolvers;
    fs::write(&config, text.replace(", \"[2001:db8::25]:25\"", "")).unwrap();
    let run = async |args: &'static [&'static str]| {
        let config = config.clone();
        tokio::task::spawn_blocking(move || guichet(&config, args)).await.unwrap()
    };
    let keys: Value = serde_json::from_slice(&run(&["dkim", "list", "--json"]).await.stdout).unwrap();
    for key in keys["domains"][0]["keys"].as_array().unwrap() {
        dns.txt(key["name"].as_str().unwrap(), key["value"].as_str().unwrap());
    }
    publish_but_keys(&dns);
    let output = run(&["dns", "--check"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    // Services: one as it should be, one that is nowhere as it should be, one elsewhere, one not there.
    dns.service("_imaps._tcp.desk.example.org", HOST, 993).service("_imap._tcp.desk.example.org", "", 0);
    dns.service("_submission._tcp.desk.example.org", HOST, 25);
    let json: Value = serde_json::from_slice(&run(&["dns", "--check", "--json"]).await.stdout).unwrap();
    for (service, ok, found) in [
        ("_imaps", true, Some("0 1 993 mx.desk.example.org")),
        ("_imap", true, Some("0 0 0 .")),
        ("_submissions", false, None),
        ("_submission", false, Some("0 1 25 mx.desk.example.org")),
    ] {
        let name = format!("{service}._tcp.desk.example.org");
        let record = json["records"].as_array().unwrap().iter().find(|record| record["name"] == *name).unwrap();
        assert_eq!((record["ok"].as_bool(), record["found"].as_str()), (Some(ok), found), "{record}");
    }
    dns.forget("_imap._tcp.desk.example.org").service("_imap._tcp.desk.example.org", HOST, 143);
    let told = run(&["dns", "--check"]).await.stdout;
    assert!(String::from_utf8_lossy(&told).contains("it names a server for what is off here"));
    dns.forget("_dmarc.desk.example.org");
    let output = run(&["dns", "--check"]).await;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: 1 recommended record is missing"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("expected  v=DMARC1; p=quarantine"));
    dns.forget(DOMAIN);
    let output = run(&["dns", "--check", "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mx = json["records"].as_array().unwrap().iter().find(|record| record["type"] == "MX").unwrap();
    assert_eq!((&mx["ok"], &mx["found"], &mx["need"]), (&Value::Bool(false), &Value::Null, &"required".into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 required records are missing"), "{output:?}");
    dns.fail(DOMAIN);
    assert_eq!(run(&["dns", "--check"]).await.status.code(), Some(75));
}

/// Which keys have which state, `g…r active`.
fn states(names: &Names) -> Vec<KeyState> {
    names.list().unwrap()[0].keys.iter().map(|(key, _)| key.state).collect()
}

/// Checks every signature by dkimpy, which asks the tests' name server by dnspython; the selectors.
fn verified(python: &Path, dns: &Dns, message: &str) -> Vec<String> {
    const SCRIPT: &str = r#"
import dkim, dns.resolver, re, sys
host, port = sys.argv[1].split(":")
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = [host], int(port)
def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    return b"".join(resolver.resolve(name, "TXT")[0].strings)
message = sys.stdin.buffer.read()
for index in range(len(re.findall(rb"(?m)^DKIM-Signature:", message))):
    verifier = dkim.DKIM(message)
    assert verifier.verify(idx=index, dnsfunc=txt), index
    print(verifier.selector.decode(), verifier.domain.decode())
"#;
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, &dns.servers()[0]])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), message.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_finds_the_key_of_every_copy_all_through_a_rotation() {
    use KeyState::{Active, New, Old, Retired};
    let Some(python) = peers::python() else { return };
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let first = dkim_records(DOMAIN);
    publish_keys(&desk.dns, &first);
    let selector = |record: &Record| format!("{} {DOMAIN}", record.name.split('.').next().unwrap());
    let names = desk.names();
    // Each time a copy goes out, and somebody else verifies it by what the DNS has.
    let signed_by = async |desk: &TestDesk| {
        desk.post(&letter("carol@example.com").to("acme@desk.example.org")).await;
        let mut selectors = verified(&python, &desk.dns, &desk.last("alice@team.example").await);
        selectors.sort();
        selectors
    };
    let pair = |one: &Record, two: &Record| {
        let mut pair = vec![selector(one), selector(two)];
        pair.sort();
        pair
    };
    assert_eq!(signed_by(&desk).await, pair(&first[0], &first[1]));
    let rotating = Arc::clone(&names);
    tokio::task::spawn_blocking(move || rotating.rotate(DOMAIN).unwrap()).await.unwrap();
    assert_eq!(states(&names), [Active, Active, New, New]);
    names.look().await.unwrap();
    assert_eq!(signed_by(&desk).await, pair(&first[0], &first[1]));
    let next: Vec<_> = names.list().unwrap()[0].keys[2..].iter().map(|(_, record)| record.clone().unwrap()).collect();

    // One record is there before the other; a name server that fails changes nothing.
    publish_keys(&desk.dns, &next[..1]);
    desk.dns.fail(&next[0].name);
    names.look().await.unwrap();
    assert_eq!(states(&names), [Active, Active, New, New]);
    desk.dns.mend(&next[0].name).txt(&next[1].name, "v=DKIM1; k=ed25519; p=AAAA");
    names.look().await.unwrap();
    assert_eq!(states(&names), [Old, Active, Active, New]);
    assert_eq!(signed_by(&desk).await, pair(&next[0], &first[1]));
    drop(names);
    desk.restart().await;
    let names = desk.names();
    assert_eq!(states(&names), [Old, Active, Active, New]);
    assert_eq!(signed_by(&desk).await, pair(&next[0], &first[1]));
    desk.dns.forget(&next[1].name);
    publish_keys(&desk.dns, &next[1..]);
    names.look().await.unwrap();
    assert_eq!(states(&names), [Old, Old, Active, Active]);
    assert_eq!(signed_by(&desk).await, pair(&next[0], &next[1]));

    // What signs is kept, and so is what signed a moment ago.
    let [old, new] = [&first[0], &next[0]].map(|record| record.name.split('.').next().unwrap().to_owned());
    let refused = |result: Result<_, NamesError>| match result {
        Err(NamesError::Retire(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(names.retire(DOMAIN, &new, true)), RetireError::Signs { .. }));
    assert!(matches!(refused(names.retire(DOMAIN, &old, false)), RetireError::UnderWay { .. }));
    let kept =
        |names: &Names| names.expected(&Of::All).unwrap().iter().filter(|one| one.name.contains("_domainkey")).count();
    assert_eq!(kept(&names), 4);
    let later = desk.names_at(Timestamp::now() + UNDER_WAY);
    assert_eq!(kept(&later), 2);
    later.retire(DOMAIN, &old, false).unwrap();
    assert_eq!(states(&later), [Retired, Old, Active, Active]);
}

#[test]
fn a_rotation_goes_on_where_a_kill_interrupted_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guichet.toml");
    let text = format!(
        "hostname = \"{HOST}\"\ndomains = [\"{DOMAIN}\"]\ndata_dir = \"data\"\npostmaster = \"acme\"\n\
         [smtp]\nlisten = [\"127.0.0.1:0\"]\n[submission]\nlisten = []\nlisten_tls = []\n[imap]\nlisten_tls = []\n\
         [relay]\nmode = \"capture\"\n[dns]\nresolvers = [\"127.0.0.1:9\"]\n"
    );
    fs::write(&file, text).unwrap();
    let daemon = Daemon::start(&file);
    let rotated: Value = serde_json::from_str(&ok(&file, &["dkim", "rotate", DOMAIN, "--json"])).unwrap();
    daemon.kill();
    let daemon = Daemon::start(&file);
    let again: Value = serde_json::from_str(&ok(&file, &["dkim", "rotate", DOMAIN, "--json"])).unwrap();
    assert_eq!(rotated, again, "asked again, it makes no more keys");
    let listed: Value = serde_json::from_str(&ok(&file, &["dkim", "list", "--json"])).unwrap();
    assert_eq!(listed["domains"][0], rotated);
    let selector = rotated["keys"][2]["selector"].as_str().unwrap();
    ok(&file, &["dkim", "retire", DOMAIN, selector]);
    daemon.kill();
    let output = guichet(&file, &["dkim", "retire", DOMAIN, selector]);
    assert_eq!(output.status.code(), Some(1));
    let text = ok(&file, &["dkim", "list"]);
    assert!(text.contains("retired") && text.contains("signs once its record is seen"), "{text}");
    let text = ok(&file, &["dkim", "rotate", DOMAIN]);
    assert!(text.contains("Publish these records:") && text.contains("go on signing until they are seen"), "{text}");
}

#[tokio::test]
async fn the_end_of_the_daemon_waits_for_no_name_server() {
    let (folder, dns) = (tempfile::tempdir().unwrap(), Dns::start().await);
    let text = format!(
        "hostname = \"{HOST}\"\ndomains = [\"{DOMAIN}\"]\ndata_dir = \"data\"\npostmaster = \"acme\"\n\
         [relay]\nmode = \"capture\"\n[dns]\nresolvers = [\"{}\"]\n",
        dns.servers()[0]
    );
    let config = Arc::new(Config::parse(&text, &folder.path().join("guichet.toml")).unwrap());
    let Opened { store, desk } = guichet::daemon::open_on(&config, Store::memory()).await.unwrap();
    let names = Arc::new(Names::new(config, store, desk, Timestamp::now));
    // Keys whose records are awaited, from a server that has become silent.
    let shown = names.rotate(DOMAIN).unwrap();
    for record in shown.keys.iter().filter_map(|(_, record)| record.as_ref()) {
        dns.silence(&record.name);
    }
    // Time passes when nobody has anything to do but to wait for it.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let (stopper, stop) = stop::channel();
    let looking = tokio::spawn(Arc::clone(&names).run(stop));
    while dns.queries() == 0 {
        tokio::task::yield_now().await;
    }
    stopper.stop();
    looking.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
