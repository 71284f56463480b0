//! The mail of the load: 8 KiB each, and none like another, as desks get it.

use std::fmt::Write as _;

use guichet::trust::Signer;
use guichet::trust::keys::{DkimKeys, Record};
use jiff::Timestamp;

/// Where it goes.
pub const TO: &str = "acme@desk.example.org";
/// Octets of a message, header and body.
const SIZE: usize = 8_192;
/// How many new messages lie between one and its answer, so that what is answered was accepted:
/// more than there are sessions.
const BETWEEN: u32 = 64;
/// How many domains the writers of signed mail have.
const DOMAINS: u32 = 20;

/// One message with its envelope.
pub struct Mail {
    /// Empty: the null reverse-path.
    pub from: String,
    pub to: String,
    /// As it goes over the wire after DATA, with the dot at its end.
    pub data: Vec<u8>,
}

/// New messages, each of another writer.
pub fn new_ones(count: u32) -> Vec<Mail> {
    (0..count).map(|n| mail(n, None, "example.com")).collect()
}

/// Half of them new, half of them answers of the same writer to one of those.
pub fn half_answers(count: u32) -> Vec<Mail> {
    (0..count).map(|n| mail(n, answered(n), "example.com")).collect()
}

/// How many tickets these make.
pub fn tickets_of_half_answers(count: u32) -> u32 {
    (0..count).map(|n| u32::from(answered(n).is_none())).sum()
}

fn answered(n: u32) -> Option<u32> {
    (n % 2 == 1 && n > 2 * BETWEEN).then(|| n - 1 - 2 * BETWEEN)
}

/// Domains with an RSA-2048 key each.
pub struct Domains(Vec<(String, Signer, DkimKeys)>);

impl Domains {
    pub fn new() -> anyhow::Result<Self> {
        let domain = |n| {
            let name = format!("sender{n}.example");
            let keys = DkimKeys::generate(Timestamp::now())?;
            Ok((name.clone(), Signer::new(name, &keys)?, keys))
        };
        Ok(Self((0..DOMAINS).map(domain).collect::<anyhow::Result<_>>()?))
    }

    /// What the domains publish: SPF for this machine, a DKIM key, a DMARC policy.
    pub fn records(&self) -> Vec<(String, String)> {
        let mut records = Vec::new();
        for (name, _, keys) in &self.0 {
            records.push((name.clone(), "v=spf1 ip4:127.0.0.1 -all".to_owned()));
            records.push((format!("_dmarc.{name}"), "v=DMARC1; p=reject".to_owned()));
            records.extend(keys.records(name).into_iter().map(|Record { name, value, .. }| (name, value)));
        }
        records
    }

    /// Signed by rsa-sha256, half of them answers.
    pub fn signed(&self, count: u32) -> anyhow::Result<Vec<Mail>> {
        let sign = |n: u32| {
            // Who answers is who wrote before.
            let writer = answered(n).unwrap_or(n);
            let (name, signer, _) = &self.0[usize::try_from(writer % DOMAINS)?];
            let mut mail = mail(n, answered(n), name);
            let fields = signer.sign(mail.data.strip_suffix(b".\r\n").unwrap_or_default(), Timestamp::now())?;
            // Most of the world signs by RSA alone.
            let rsa = fields.rfind("DKIM-Signature:").map_or("", |at| &fields[at..]);
            mail.data.splice(0..0, rsa.bytes());
            Ok(mail)
        };
        (0..count).map(sign).collect()
    }
}

fn mail(n: u32, answered: Option<u32>, domain: &str) -> Mail {
    let writer = answered.unwrap_or(n);
    let from = format!("writer{writer}@{domain}");
    let subject = format!("{} of the {} {}", word(writer), word(writer / 11 + 3), word(writer / 121 + 5));
    let mut text = format!("From: Writer {writer} <{from}>\r\nTo: Acme Support <{TO}>\r\n");
    let re = if answered.is_some() { "Re: " } else { "" };
    let _ = write!(text, "Subject: {re}{subject} {writer}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n");
    let _ = write!(text, "Message-ID: <{n}.mail@{domain}>\r\n");
    if let Some(answered) = answered {
        let id = format!("<{answered}.mail@{domain}>");
        let _ = write!(text, "In-Reply-To: {id}\r\nReferences: {id}\r\n");
    }
    text.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
    let mut line = 0;
    while text.len() < SIZE {
        let quoted = answered.is_some() && line > 12;
        if answered.is_some() && line == 12 {
            text.push_str("\r\nOn Mon, 23 Nov 2026 at 09:00, Acme Support wrote:\r\n");
        }
        let _ = write!(text, "{}The", if quoted { "> " } else { "" });
        for step in 0..8 {
            let _ = write!(text, " {}", word(n.wrapping_mul(31) + line * 7 + step * step));
        }
        text.push_str(".\r\n");
        line += 1;
    }
    text.push_str(".\r\n");
    Mail { from, to: TO.to_owned(), data: text.into_bytes() }
}

fn word(n: u32) -> &'static str {
    const WORDS: [&str; 16] = [
        "order", "invoice", "parcel", "account", "broken", "colour", "address", "monday", "printer", "late", "refund",
        "garden", "small", "delivery", "question", "ticket",
    ];
    // Mixed, so that no two texts are alike.
    let mixed = (n ^ (n >> 16)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    WORDS[(mixed >> 28) as usize]
}
