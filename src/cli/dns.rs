//! `guichet dns`: the records that the domains need, to be pasted, and whether they are there.

use std::fmt::Write as _;

use clap::Args;
use hyper::Method;

use super::client::Call;
use super::output::{Output, clean_line, print, print_json, say};
use super::{Desk, Failure};
use crate::api::types::{Dns, DnsPolicy, DnsRecord, Need};
use crate::trust::keys::presentation;

/// How long resolvers may remember what is pasted, in seconds.
const TTL: u32 = 3600;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  guichet dns                      all records, with what each is for
  guichet dns acme.com --zone      those of one domain, as a zone file has them
  guichet dns --check              what is published, and what is missing

--check also acts on what it finds: a new DKIM key signs once its record is there, and a public
address comes into From. It fails where a required record is missing; for others it warns.")]
pub(super) struct DnsCommand {
    /// One of our domains, or that of a property's public address
    domain: Option<String>,
    /// Print them as a zone file has them (BIND)
    #[arg(long, conflicts_with_all = ["check", "json"])]
    zone: bool,
    /// Ask the DNS for them, and say what to change
    #[arg(long)]
    check: bool,
}

impl DnsCommand {
    pub(super) fn run(self, desk: &mut Desk<'_>) -> Result<(), Failure> {
        if self.check {
            let call = Call::new(Method::POST, &["dns", "check"]).query("domain", self.domain.as_ref());
            let (checked, value) = desk.client.ask::<Dns>(&call)?;
            if desk.output.json {
                print_json(&value)?;
            } else {
                print(&compared(&checked, desk.output))?;
            }
            return verdict(&checked);
        }
        let call = Call::get(&["dns"]).query("domain", self.domain.as_ref());
        desk.print(&call, |dns: &Dns, output| if self.zone { zone(dns) } else { table(dns, output) })
    }
}

/// Records under their domains, with what each is for. They are there to be copied, so nothing is cut.
pub(super) fn table(dns: &Dns, output: Output) -> String {
    let mut text = String::new();
    for domain in domains(&dns.records) {
        heading(&mut text, domain, output);
        for record in dns.records.iter().filter(|record| record.domain == domain) {
            let need = output.dim(need(record.need));
            let _ = writeln!(text, "  {:<5}  {}  {need}", record.kind, clean_line(&record.name));
            if !record.value.is_empty() {
                let _ = writeln!(text, "         {}", clean_line(&record.value));
            }
            let _ = writeln!(text, "         {}", output.dim(&clean_line(&record.purpose)));
        }
        for policy in policies(dns, domain) {
            let _ = writeln!(text, "  The policy, which this daemon serves at {}:", clean_line(&policy.url));
            policy.text.lines().for_each(|line| _ = writeln!(text, "         {}", clean_line(line)));
        }
    }
    text
}

/// What is published beside what should be.
fn compared(dns: &Dns, output: Output) -> String {
    let mut text = String::new();
    for domain in domains(&dns.records) {
        heading(&mut text, domain, output);
        for record in dns.records.iter().filter(|record| record.domain == domain) {
            let word = verdict_on(record.ok, record.found.is_some(), record.need, output);
            let needed = if record.ok == Some(true) { "" } else { need(record.need) };
            let line = format!("  {word}  {:<5}  {}  {}", record.kind, clean_line(&record.name), output.dim(needed));
            let _ = writeln!(text, "{}", line.trim_end());
            let mut fact = |name: &str, value: &str| _ = writeln!(text, "           {name:<9} {}", clean_line(value));
            if record.ok == Some(true) {
                if let Some(advice) = &record.advice {
                    fact("found", record.found.as_deref().unwrap_or_default());
                    fact("note", advice);
                }
                continue;
            }
            if !record.value.is_empty() {
                fact("expected", &record.value);
            }
            fact("found", record.found.as_deref().unwrap_or(nothing(record.ok)));
            if let Some(advice) = &record.advice {
                fact("to do", advice);
            }
            fact("for", &record.purpose);
        }
        for policy in policies(dns, domain) {
            let word = verdict_on(policy.ok, policy.found.is_some(), Need::Recommended, output);
            let _ = writeln!(text, "  {word}  policy  {}", clean_line(&policy.url));
            let mut fact = |name: &str, value: &str| _ = writeln!(text, "           {name:<9} {}", clean_line(value));
            if policy.ok == Some(true) {
                continue;
            }
            fact("expected", &policy.text.trim_end().replace("\r\n", "; "));
            fact("found", policy.found.as_deref().unwrap_or(nothing(policy.ok)));
            if let Some(advice) = &policy.advice {
                fact("to do", advice);
            }
            fact("for", "the MTA-STS policy, which others fetch there");
        }
    }
    text
}

/// What a finding is called, in its colour.
fn verdict_on(ok: Option<bool>, found: bool, need: Need, output: Output) -> String {
    let wrong = if need == Need::Required { "31" } else { "33" };
    let (word, style) = match (ok, found) {
        (Some(true), _) => ("ok", "32"),
        (Some(false), false) => ("missing", wrong),
        (Some(false), true) => ("differs", wrong),
        (None, _) => ("unknown", "33"),
    };
    output.style(style, &format!("{word:<7}"))
}

/// What stands for what was not found.
fn nothing(ok: Option<bool>) -> &'static str {
    if ok.is_some() { "nothing" } else { "no answer" }
}

/// Fails where a required record is missing, and warns about others.
fn verdict(checked: &Dns) -> Result<(), Failure> {
    let count = |need: Need, ok: Option<bool>| checked.records.iter().filter(|r| r.need == need && r.ok == ok).count();
    match count(Need::Recommended, Some(false)) {
        0 => {}
        1 => say("warning: 1 recommended record is missing or says something else"),
        several => say(&format!("warning: {several} recommended records are missing or say something else")),
    }
    for policy in checked.policies.iter().filter(|policy| policy.ok == Some(false)) {
        say(&format!("warning: the MTA-STS policy of {} is not what others fetch", policy.domain));
    }
    match (count(Need::Required, Some(false)), count(Need::Required, None)) {
        (0, 0) => Ok(()),
        (0, _) => Err(Failure::Busy("the name servers did not say whether all required records are there".to_owned())),
        (1, _) => Err(anyhow::anyhow!("1 required record is missing or says something else").into()),
        (several, _) => Err(anyhow::anyhow!("{several} required records are missing or say something else").into()),
    }
}

/// The records as a zone file has them (RFC 1035 §5.1), with what each is for. What lies outside of
/// the domain, or has to be put together with what is there, is a comment.
fn zone(dns: &Dns) -> String {
    let mut text = String::new();
    for domain in domains(&dns.records) {
        let _ = writeln!(text, "{}; {domain}", if text.is_empty() { "" } else { "\n" });
        for record in dns.records.iter().filter(|record| record.domain == domain) {
            let _ = writeln!(text, "; {}", clean_line(&record.purpose));
            let _ = writeln!(text, "{}", zone_line(record));
        }
        for policy in policies(dns, domain) {
            let _ = writeln!(text, "; the policy, which this daemon serves at {}:", clean_line(&policy.url));
            policy.text.lines().for_each(|line| _ = writeln!(text, ";   {}", clean_line(line)));
        }
    }
    text
}

fn zone_line(record: &DnsRecord) -> String {
    let value = match record.kind.as_str() {
        "TXT" => presentation(&record.value),
        "A" | "AAAA" if record.value.is_empty() => "(the address)".to_owned(),
        "A" | "AAAA" => record.value.clone(),
        // The root has its dot already.
        "SRV" if record.value.ends_with('.') => record.value.clone(),
        // All other values end in a host's name.
        _ => format!("{}.", record.value),
    };
    let line = clean_line(&format!("{}. {TTL} IN {} {value}", record.name, record.kind));
    let there_already = record.value.starts_with("v=spf1") || record.value.starts_with("v=DMARC1");
    let inside = record.name == record.domain || record.name.ends_with(&format!(".{}", record.domain));
    let aside = !inside || record.value.is_empty() || record.need == Need::Optional && there_already;
    if aside { format!("; {line}") } else { line }
}

fn heading(text: &mut String, domain: &str, output: Output) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}{}", output.bold(&clean_line(domain)));
}

/// In the order of the records, each once.
fn domains(records: &[DnsRecord]) -> Vec<&str> {
    let mut domains: Vec<&str> = Vec::new();
    for record in records {
        if !domains.contains(&record.domain.as_str()) {
            domains.push(&record.domain);
        }
    }
    domains
}

fn policies<'d>(dns: &'d Dns, domain: &'d str) -> impl Iterator<Item = &'d DnsPolicy> {
    dns.policies.iter().filter(move |policy| policy.domain == domain)
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Required => "required",
        Need::Recommended => "recommended",
        Need::Optional => "optional",
    }
}
