//! Other people's test suites, run through our verdict. What fails is listed here, so that a mend
//! shows, and in `docs/security.md` with what it means for us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guichet::desk::address::Address;
use guichet::desk::verdict::{Outcome, Verdict};
use guichet::mime::understand::{Limits, understand};
use guichet::trust::judge::{Authenticator, Origin};
use serde_json::{Map, Value};

use crate::kit::dns::Dns;

/// Cases of the SPF suite where the verdict is another than the suite's, for the library's sake.
const SPF_FAILS: &[(&str, &[(&str, Outcome)])] = &[
    (
        "a record with an error in it is followed as far as it can be read, where all of it is void",
        &[
            ("a-bad-cidr4", Outcome::Fail),
            ("a-bad-cidr6", Outcome::Fail),
            ("a-dual-cidr-ip4-err", Outcome::Pass),
            ("a-numeric", Outcome::Neutral),
            ("a-numeric-toplabel", Outcome::Neutral),
            ("a-only-toplabel", Outcome::Neutral),
            ("a-only-toplabel-trailing-dot", Outcome::Neutral),
            ("badip4", Outcome::Pass),
            ("cidr4-032", Outcome::Pass),
            ("cidr4-33", Outcome::Pass),
            ("cidr6-129", Outcome::Neutral),
            ("control-char-policy", Outcome::Pass),
            ("empty-modifier-name", Outcome::Neutral),
            ("exp-syntax-error", Outcome::Neutral),
            ("invalid-domain", Outcome::Fail),
            ("invalid-modifier", Outcome::Neutral),
            ("mx-bad-cidr4", Outcome::Fail),
            ("mx-bad-cidr6", Outcome::Fail),
            ("mx-numeric-top-label", Outcome::Neutral),
            ("non-ascii-mech", Outcome::Fail),
            ("non-ascii-policy", Outcome::Fail),
            ("redirect-syntax-error", Outcome::Neutral),
        ],
    ),
    (
        "of two records, the first is followed, where both are void",
        &[("multitxt1", Outcome::Fail), ("multitxt2", Outcome::Fail)],
    ),
    (
        "an address of one kind matches where the other is meant",
        &[("cidr6-0-ip4", Outcome::Pass), ("cidr6-ip4", Outcome::Pass), ("exists-ip6only", Outcome::Pass)],
    ),
    (
        "a name that nobody can ask for is a temporary error, where it matches nothing or is a permanent one",
        &[
            ("a-bad-domain", Outcome::TempError),
            ("a-bad-toplabel", Outcome::TempError),
            ("a-null", Outcome::TempError),
            ("hello-domain-literal", Outcome::TempError),
            ("invalid-domain-empty-label", Outcome::TempError),
            ("invalid-domain-long", Outcome::TempError),
            ("invalid-domain-long-via-macro", Outcome::TempError),
            ("invalid-hello-macro", Outcome::TempError),
            ("macro-mania-in-domain", Outcome::TempError),
            ("mx-bad-domain", Outcome::TempError),
            ("mx-bad-toplab", Outcome::TempError),
            ("mx-null", Outcome::TempError),
            ("p-macro-multiple", Outcome::TempError),
        ],
    ),
    (
        "strange but right records are refused",
        &[
            ("a-colon-domain", Outcome::PermError),
            ("a-colon-domain-ip4mapped", Outcome::PermError),
            ("modifier-charset-good", Outcome::PermError),
            ("mx-colon-domain", Outcome::PermError),
            ("mx-colon-domain-ip4mapped", Outcome::PermError),
            ("redirect-after-mechanisms2", Outcome::PermError),
        ],
    ),
    (
        "ptr does not match the domain itself",
        &[("ptr-match-implicit", Outcome::Fail), ("ptr-match-ip6", Outcome::Fail)],
    ),
    ("lookups that find nothing are not counted apart", &[("void-over-limit", Outcome::Neutral)]),
];

/// Envelope senders that are no [`Address`]: MAIL FROM refuses them, before anything is judged.
const UNREACHABLE: &[&str] = &["domain-literal", "dorky-sentinel", "emptylabel", "nolocalpart", "toolonglabel"];

/// The suite of RFC 7208 with its zones on a name server of the tests' own. A name that times out
/// there is one that fails here, which asks the same of us and takes no time.
#[tokio::test]
async fn the_suite_of_rfc_7208() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/spf/rfc7208-tests.json");
    let scenarios: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (mut run, mut unreachable, mut wrong) = (0, Vec::new(), Vec::new());
    for scenario in &scenarios {
        let dns = Dns::start().await;
        for (name, records) in scenario["zonedata"].as_object().unwrap() {
            publish(&dns, name, records.as_array().unwrap());
        }
        let authenticator = Authenticator::new(dns.resolver(), "receiver.example");
        for (name, case) in scenario["tests"].as_object().unwrap() {
            let said = case["mailfrom"].as_str().unwrap();
            let path: Option<Address> = said.parse().ok();
            if path.is_none() && !said.is_empty() {
                unreachable.push(name.as_str());
                continue;
            }
            let origin = Origin {
                client: case["host"].as_str().unwrap().parse().unwrap(),
                helo: case["helo"].as_str().unwrap(),
                reverse_path: path.as_ref(),
                from_domain: None,
            };
            let found = authenticator.judge(origin, b"Subject: x\r\n\r\n").await.spf;
            let expected = match &case["result"] {
                Value::Array(any) => any.iter().map(outcome).collect(),
                one => vec![outcome(one)],
            };
            run += 1;
            if !expected.contains(&found) {
                wrong.push((name.as_str(), found));
            }
        }
    }
    wrong.sort_unstable_by_key(|(name, _)| *name);
    unreachable.sort_unstable();
    assert_eq!(run + unreachable.len(), 203);
    assert_eq!(unreachable, UNREACHABLE);
    let mut known: Vec<_> = SPF_FAILS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    known.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(wrong, known);
}

fn outcome(value: &Value) -> Outcome {
    serde_json::from_value(value.clone()).unwrap()
}

/// One name of the suite's zones. A record of type SPF stands for one of type TXT, unless TXT is
/// given; a bare word `TIMEOUT` for all types that are not.
fn publish(dns: &Dns, name: &str, records: &[Value]) {
    let typed = || records.iter().filter_map(Value::as_object).flat_map(Map::iter);
    let has_txt = typed().any(|(kind, _)| kind == "TXT");
    if records.iter().any(|record| record == "TIMEOUT") {
        dns.fail_others(name);
    }
    for (kind, value) in typed() {
        let text = || value.as_str().unwrap();
        match kind.as_str() {
            "SPF" if has_txt => {}
            "TXT" if value == "NONE" => {}
            "SPF" | "TXT" => {
                let strings: Vec<_> = match value {
                    // On the wire there is at least one (RFC 1035 §3.3.14).
                    Value::Array(strings) if strings.is_empty() => vec![""],
                    Value::Array(strings) => strings.iter().map(|one| one.as_str().unwrap()).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                dns.strings(name, &strings);
            }
            "A" | "AAAA" => _ = dns.address(name, text().parse().unwrap()),
            "MX" => _ = dns.exchange(name, value[0].as_str().unwrap().parse().unwrap(), value[1].as_str().unwrap()),
            "PTR" => _ = dns.pointer(name, text()),
            "CNAME" => _ = dns.alias(name, text()),
            other => panic!("{other}"),
        }
    }
}

/// One case that the mail-auth crate ships.
struct Case {
    file: String,
    /// Names and the text that stands there.
    records: Vec<(String, String)>,
    message: String,
}

/// All of one subject, in order.
fn cases(subject: &str) -> Vec<Case> {
    let folder = fs::read_dir(sources_of("mail-auth").join("resources").join(subject)).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let (records, message) = text.split_once("\n\n").unwrap();
        let records = records.lines().map(|line| line.split_once(' ').unwrap());
        Case {
            file: path.file_name().unwrap().to_string_lossy().into_owned(),
            records: records.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            message: message.replace('\n', "\r\n"),
        }
    };
    files.iter().map(read).collect()
}

/// Where cargo keeps the sources of a crate that we are built with.
fn sources_of(name: &str) -> PathBuf {
    let cargo = |arguments: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Other platforms' crates need not be here.
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let wanted = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&cargo(&wanted)).unwrap();
    let found = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap();
    Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

async fn judged(records: &[(String, String)], message: &str) -> Verdict {
    let dns = Dns::start().await;
    for (name, value) in records {
        dns.txt(name, value);
    }
    let from = understand(message.as_bytes(), &Limits::default()).unwrap().from;
    let origin = Origin {
        client: "192.0.2.1".parse().unwrap(),
        helo: "mail.example",
        reverse_path: None,
        from_domain: from.first().map(|mailbox| mailbox.address.domain()),
    };
    Authenticator::new(dns.resolver(), "receiver.example").judge(origin, message.as_bytes()).await
}

fn outcomes(verdict: &Verdict) -> Vec<Outcome> {
    verdict.dkim.iter().map(|signature| signature.outcome).collect()
}

/// A message whose text is another.
fn altered(message: &str) -> String {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    format!("{header}\r\n\r\nSomething else.\r\n{body}")
}

#[tokio::test]
async fn the_dkim_cases_of_mail_auth() {
    use Outcome::{Fail, Pass};
    let expected: &[(&str, &[Outcome])] = &[
        ("001.txt", &[Pass, Pass]),
        ("002.txt", &[Pass]),
        ("003.txt", &[Pass, Pass]),
        ("004.txt", &[Pass]),
        // Its signature has expired since (`x=`, RFC 6376 §3.5), as ours says.
        ("005.txt", &[Fail]),
        ("006.txt", &[Pass]),
    ];
    let mut found = Vec::new();
    for Case { file, records, message } in cases("dkim") {
        found.push((file.clone(), outcomes(&judged(&records, &message).await)));
        let changed = judged(&records, &altered(&message)).await;
        assert!(!outcomes(&changed).contains(&Outcome::Pass) && !changed.is_aligned(), "{file}, altered");
    }
    let found: Vec<_> = found.iter().map(|(name, outcomes)| (name.as_str(), outcomes.as_slice())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_arc_cases_of_mail_auth() {
    for Case { file, records, message } in cases("arc") {
        let verdict = judged(&records, &message).await;
        assert_eq!(verdict.arc, Outcome::Pass, "{file}");
        // The first went through a list, which broke its writer's signature; Google says so.
        let hops: Vec<_> = verdict.hops.iter().map(|hop| (hop.domain.as_str(), hop.pass.is_some())).collect();
        assert_eq!(hops, if file == "001.txt" { vec![("google.com", false)] } else { vec![] }, "{file}");
        assert_eq!(judged(&records, &altered(&message)).await.arc, Outcome::Fail, "{file}, altered");
        assert_eq!(judged(&[], &message).await.arc, Outcome::PermError, "{file}, without keys");
    }
}
