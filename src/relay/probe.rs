//! A message that tests the way out: sent as copies are, recognised when it comes back, and held
//! against what left.
//!
//! It opens no ticket. While it is out, whoever takes mail from the world asks [`Probes::take`]
//! whether a message is it, by a field with 128 random bits, or a report on it, by its envelope
//! sender.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::tz::TimeZone;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::client::{Outcome, Transaction};
use super::exit::Exit;
use super::route::{NextHop, Place, Protocol, Security};
use super::worker::Relay;
use crate::desk::address::Address;
use crate::desk::envelope::Envelope;
use crate::desk::id::CopyId;
use crate::desk::token::{BounceToken, bounce_local};
use crate::desk::verdict::{self, Verdict};
use crate::mime::header::{Field, Header};
use crate::mime::understand::{Limits, understand};
use crate::trust::alignment::ascii;
use crate::trust::{Authenticator, Origin};

/// By which a probe is known.
const FIELD: &str = "Guichet-Probe";
/// The fields that are held against each other.
const COMPARED: [&str; 6] = ["From", "To", "Subject", "Reply-To", "MIME-Version", "Content-Type"];
/// More of a header is not looked at.
const MOST_FIELDS: usize = 1_000;

/// The largest number of a copy that a token takes; no desk ever counts so far.
const LAST_COPY: u64 = (1 << 40) - 1;

/// Probes that are out.
#[derive(Default)]
pub struct Probes(Mutex<BTreeMap<String, Waiting>>);

struct Waiting {
    sender: Address,
    back: oneshot::Sender<Back>,
}

/// What came back.
enum Back {
    /// The probe, with the envelope that it came in.
    Itself(Box<Envelope>, Vec<u8>),
    /// A report on it.
    Report(Vec<u8>),
}

impl Probes {
    /// Whether a message is a probe that is out, or a report on one. Then it is taken, and opens no
    /// ticket.
    pub fn take(&self, envelope: &Envelope, raw: &[u8]) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            return false;
        }
        let header = Header::read(raw, MOST_FIELDS);
        if let Some(token) = header.first(FIELD).map(Field::text)
            && let Some(probe) = waiting.remove(&token)
        {
            return probe.back.send(Back::Itself(Box::new(envelope.clone()), raw.to_vec())).is_ok();
        }
        let reported = waiting.iter().find(|(_, probe)| envelope.recipients.contains(&probe.sender));
        let Some(token) = reported.map(|(token, _)| token.clone()) else { return false };
        waiting.remove(&token).is_some_and(|probe| probe.back.send(Back::Report(raw.to_vec())).is_ok())
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a probe went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As copies go.
    AsCopies,
    /// Into the Maildir: it left nothing.
    Captured,
    /// Straight to our own port: in direct mode, mail for ourselves never leaves.
    ToOurselves,
}

/// What became of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Result {
    pub message_id: String,
    pub date: String,
    /// Each signature's domain and selector.
    pub signatures: Vec<(String, String)>,
    pub way: Way,
    pub outcome: Outcome,
    pub end: End,
}

/// What was heard of it after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was not taken, or nothing was waited for.
    NotAwaited,
    /// Nothing, in the time that was given.
    Silence,
    /// It was reported undeliverable, with these words.
    Reported(String),
    /// It came back.
    Back { after: Duration, findings: Vec<Finding> },
}

/// One thing that a route may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    /// `None`: it proves nothing either way.
    pub ok: Option<bool>,
    /// What was seen, and what follows from it.
    pub seen: String,
}

/// Sends probes.
pub struct Prober {
    pub relay: Arc<Relay>,
    pub probes: Arc<Probes>,
    pub authenticator: Authenticator,
    /// Where we take mail ourselves.
    pub listens: Vec<SocketAddr>,
    /// Whether mail goes straight to domains' own servers.
    pub direct: bool,
}

struct Probe {
    token: String,
    sender: Address,
    message_id: String,
    date: String,
    signatures: Vec<(String, String)>,
    /// Signatures and all.
    message: Vec<u8>,
}

impl Prober {
    /// Whether mail for the address comes back to this daemon.
    #[must_use]
    pub fn is_ours(&self, to: &Address) -> bool {
        self.relay.desk.is_local(to)
    }

    /// Sends a probe and waits, at most for `wait`, until it or a report on it comes back.
    ///
    /// # Errors
    /// Why none can be made.
    pub async fn send(&self, to: &Address, wait: Duration) -> std::result::Result<Result, String> {
        // In A-labels: then only a local part beyond ASCII needs a server with SMTPUTF8.
        let to = &Address::new(to.local(), &ascii(to.domain())).unwrap_or_else(|_| to.clone());
        let probe = self.make(to)?;
        let (back, coming) = oneshot::channel();
        self.probes.waiting().insert(probe.token.clone(), Waiting { sender: probe.sender.clone(), back });
        // Also when the request is given up.
        let _forget = Forget { probes: &self.probes, token: &probe.token };
        let begun = Instant::now();
        let transaction = Transaction {
            reverse_path: Some(probe.sender.clone()),
            recipients: vec![to.clone()],
            message: &probe.message,
            eight_bit: false,
            smtputf8: !to.is_ascii(),
        };
        let (way, outcome) = self.deliver(&probe, &transaction).await;
        let awaited = matches!(outcome, Outcome::Sent(_)) && way != Way::Captured;
        let end = if awaited {
            match timeout(wait, coming).await {
                Ok(Ok(Back::Itself(envelope, raw))) => {
                    let after = begun.elapsed();
                    End::Back { after, findings: self.compare(&probe, way, &envelope, &raw).await }
                }
                Ok(Ok(Back::Report(raw))) => End::Reported(words(&raw)),
                Ok(Err(_)) | Err(_) => End::Silence,
            }
        } else {
            End::NotAwaited
        };
        tracing::info!(%to, outcome = %outcome.reply(), "a probe was sent");
        let Probe { message_id, date, signatures, .. } = probe;
        Ok(Result { message_id, date, signatures, way, outcome, end })
    }

    async fn deliver(&self, probe: &Probe, transaction: &Transaction<'_>) -> (Way, Outcome) {
        let exit = &self.relay.exit;
        let to_us = self.direct && transaction.recipients.iter().any(|to| self.is_ours(to));
        let (way, mut outcomes) = match (exit, self.listens.first()) {
            (Exit::Servers(servers), Some(listen)) if to_us => {
                let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                let all = listen.ip().is_unspecified();
                let ips = if all { loopback.to_vec() } else { vec![listen.ip()] };
                let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect();
                let place = Place::Found(self.relay.desk.hostname.clone(), addresses);
                let security = Security::Opportunistic;
                let hop = NextHop { protocol: Protocol::Smtp, place, security, credentials: None };
                (Way::ToOurselves, servers.deliver_to(hop, transaction).await)
            }
            (Exit::Servers(_), _) => (Way::AsCopies, exit.deliver(&probe.token, transaction).await),
            (Exit::Capture(_), _) => {
                (Way::Captured, exit.deliver(&format!("probe-{}", probe.token), transaction).await)
            }
        };
        (way, outcomes.pop().expect("there is an outcome for the one recipient"))
    }

    fn make(&self, to: &Address) -> std::result::Result<Probe, String> {
        let Relay { desk, signers, now, .. } = &*self.relay;
        let now = now();
        let domain = desk.domains.first();
        let random = (desk.random)();
        let token = HEXLOWER.encode(&random);
        // Of no copy that there ever is; another one for each probe, so that reports are told apart.
        let number = u64::from(u32::from_be_bytes([random[0], random[1], random[2], random[3]]));
        let bounce = BounceToken(CopyId(LAST_COPY - number)).encode(&desk.keys, desk.keys.active());
        let bounce = bounce.map_err(|error| error.to_string())?;
        let sender = Address::new(&bounce_local(&bounce), domain).map_err(|error| error.to_string())?;
        let message_id = desk.mint().to_string();
        let date = now.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let body = body(&desk.hostname);
        let message = format!(
            "From: Guichet <postmaster@{domain}>\r\nTo: {to}\r\nReply-To: postmaster@{domain}\r\n\
             Subject: Guichet: test\r\nDate: {date}\r\nMessage-ID: {message_id}\r\n{FIELD}: {token}\r\n\
             Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{body}"
        );
        let signer = signers.get(domain).ok_or_else(|| format!("there is no key for {domain}"))?;
        let fields = signer.sign(message.as_bytes(), now).map_err(|error| error.to_string())?;
        let signatures = signatures(fields.as_bytes());
        Ok(Probe { token, sender, message_id, date, signatures, message: (fields + &message).into_bytes() })
    }

    /// Holds what came back against what left.
    async fn compare(&self, probe: &Probe, way: Way, envelope: &Envelope, raw: &[u8]) -> Vec<Finding> {
        let (sent, came) = (Header::read(&probe.message, MOST_FIELDS), Header::read(raw, MOST_FIELDS));
        let value = |header: &Header<'_>, name: &str| {
            let text = header.first(name).map(Field::text).unwrap_or_default();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let mut findings = vec![
            kept(
                "Message-ID",
                &value(&sent, "Message-ID"),
                &value(&came, "Message-ID"),
                "answers name an identifier that we don't know; only reply addresses find their tickets",
            ),
            kept("Date", &value(&sent, "Date"), &value(&came, "Date"), "readers see another time than the writer's"),
        ];
        let other = COMPARED.into_iter().filter(|name| value(&sent, name) != value(&came, name));
        let other: Vec<_> = other.map(|name| format!("{name} is now {:?}", value(&came, name))).collect();
        findings.push(Finding {
            what: "other fields",
            ok: Some(other.is_empty()),
            seen: if other.is_empty() { "unchanged".to_owned() } else { other.join("; ") },
        });
        findings.push(body_finding(&probe.message[sent.body_at..], raw.get(came.body_at..).unwrap_or_default()));
        let sender_kept = envelope.reverse_path.as_ref() == Some(&probe.sender);
        findings.push(Finding {
            what: "envelope sender",
            ok: Some(sender_kept),
            seen: match &envelope.reverse_path {
                _ if sender_kept => "unchanged".to_owned(),
                Some(path) => format!("{path}: reports on failed copies don't come back to us"),
                None => "empty: reports on failed copies don't come back to us".to_owned(),
            },
        });
        let domain = self.relay.desk.domains.first();
        let origin = Origin {
            client: envelope.client,
            helo: &envelope.helo,
            reverse_path: envelope.reverse_path.as_ref(),
            from_domain: Some(domain),
        };
        let verdict = self.authenticator.judge(origin, raw).await;
        findings.extend(probe.signatures.iter().map(|(domain, selector)| signature(&verdict, domain, selector)));
        if way == Way::AsCopies {
            findings.push(Finding {
                what: "SPF",
                ok: match verdict.spf {
                    verdict::Outcome::Pass => Some(true),
                    verdict::Outcome::TempError => None,
                    _ => Some(false),
                },
                seen: format!("{} for {}, which brought it", word(verdict.spf), envelope.client.to_canonical()),
            });
        }
        let encrypted = if envelope.tls.is_some() { "encrypted" } else { "in the clear" };
        findings.push(Finding { what: "last hop", ok: None, seen: encrypted.to_owned() });
        findings
    }
}

struct Forget<'p> {
    probes: &'p Probes,
    token: &'p str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.probes.waiting().remove(self.token);
    }
}

/// Lines that some servers change: one beyond ASCII, one that begins with From, one with a dot.
fn body(hostname: &str) -> String {
    let mut body = format!("This message tests the way out of {hostname}. Nothing needs to be done.\r\n");
    let _ = write!(body, "Ce message v=C3=A9rifie l'envoi de {hostname}. Il n'y a rien =C3=A0 faire.\r\n\r\n");
    body.push_str("From here on: a line that begins with a word that some servers change.\r\n.\r\n");
    body.push_str(". A line that begins with a dot / une ligne qui commence par un point.\r\n");
    body
}

/// Domain and selector of each DKIM signature.
fn signatures(header: &[u8]) -> Vec<(String, String)> {
    let header = Header::read(header, MOST_FIELDS);
    let tag = |text: &str, name: &str| {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        tags.map(|(found, value)| (found.trim(), value.trim()))
            .find(|(found, _)| *found == name)
            .map(|tag| tag.1.to_owned())
    };
    let fields = header.fields.iter().filter(|field| field.is("DKIM-Signature"));
    fields.filter_map(|field| Some((tag(&field.text(), "d")?, tag(&field.text(), "s")?))).collect()
}

fn kept(what: &'static str, sent: &str, came: &str, otherwise: &str) -> Finding {
    if sent == came {
        return Finding { what, ok: Some(true), seen: "unchanged".to_owned() };
    }
    let came = if came.is_empty() { "gone" } else { came };
    Finding { what, ok: Some(false), seen: format!("{came}: {otherwise}") }
}

fn body_finding(sent: &[u8], came: &[u8]) -> Finding {
    let (ok, seen) = match came.strip_prefix(sent.trim_ascii_end()) {
        Some(rest) if rest.trim_ascii().is_empty() => (true, "unchanged"),
        Some(_) => (false, "something was added to it"),
        None => (false, "changed, or encoded anew"),
    };
    Finding { what: "body", ok: Some(ok), seen: seen.to_owned() }
}

fn signature(verdict: &Verdict, domain: &str, selector: &str) -> Finding {
    let is_it = |found: &&verdict::Signature| found.domain == domain && found.selector == selector;
    let outcome = verdict.dkim.iter().find(is_it).map(|found| found.outcome);
    let (ok, seen) = match outcome {
        None => (Some(false), "gone".to_owned()),
        Some(verdict::Outcome::Pass) => (Some(true), "holds".to_owned()),
        Some(verdict::Outcome::Fail) => (Some(false), "broken by what was changed on the way".to_owned()),
        Some(verdict::Outcome::TempError) => (None, "its record could not be asked for".to_owned()),
        Some(_) => (Some(false), "its record is not there, or has another key: `guichet dns --check`".to_owned()),
    };
    Finding { what: "signature", ok, seen: format!("{selector} of {domain}: {seen}") }
}

fn word(outcome: verdict::Outcome) -> &'static str {
    match outcome {
        verdict::Outcome::Pass => "pass",
        verdict::Outcome::Fail => "fail",
        verdict::Outcome::SoftFail => "softfail",
        verdict::Outcome::Neutral => "neutral",
        verdict::Outcome::None => "none",
        verdict::Outcome::TempError => "temperror",
        verdict::Outcome::PermError => "permerror",
    }
}

/// A report's reason, on one line.
fn words(raw: &[u8]) -> String {
    let report = understand(raw, &Limits::default()).ok().and_then(|understood| understood.report);
    let recipient = report.and_then(|report| report.recipients.into_iter().next());
    let words = recipient.map(|recipient| format!("{} {}", recipient.status, recipient.diagnostic));
    words
        .map(|words| words.trim().to_owned())
        .filter(|words| !words.is_empty())
        .unwrap_or_else(|| "no reason given".into())
}
