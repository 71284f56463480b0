//! The messages of the mailbox: 4 KiB each, and none like another. Each customer writes two.

use std::fmt::Write as _;

/// Octets of a message, header and body.
const SIZE: usize = 4 << 10;

/// A word that is in the text of one message of a hundred.
pub const RARE: &str = "zeppelin";

/// A message of the mailbox.
pub struct Message {
    /// The customer who writes it.
    pub name: String,
    pub address: String,
    pub subject: String,
    /// Without angle brackets.
    pub id: String,
    /// That of the one it answers.
    pub answers: Option<String>,
    pub text: String,
    pub raw: Vec<u8>,
}

/// The n-th message: every second one goes on from the one before.
pub fn message(n: u32) -> Message {
    let ticket = n / 2;
    let name = format!("Customer {ticket}");
    let address = format!("customer{ticket}@customers.example");
    let topic = format!("{} {} number {ticket}", word(ticket), word(ticket / 7 + 5));
    let (subject, answers) = if n.is_multiple_of(2) {
        (topic, None)
    } else {
        (format!("Re: {topic}"), Some(format!("{}.box@customers.example", n - 1)))
    };
    let id = format!("{n}.box@customers.example");
    let mut raw = format!(
        "From: {name} <{address}>\r\nTo: Acme Support <acme@desk.example.org>\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 {:02}:{:02}:{:02} +0000\r\nMessage-ID: <{id}>\r\n",
        n / 3_600 % 24,
        n / 60 % 60,
        n % 60
    );
    if let Some(answers) = &answers {
        let _ = write!(raw, "In-Reply-To: <{answers}>\r\nReferences: <{answers}>\r\n");
    }
    raw.push_str("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
    let head = raw.len();
    let mut line = 0;
    while raw.len() < SIZE {
        raw.push_str("The");
        for step in 0..9 {
            let _ = write!(raw, " {}", word(n.wrapping_mul(31).wrapping_add(line * 7 + step * step)));
        }
        raw.push_str(if line == 20 && n % 100 == 42 { " zeppelin.\r\n" } else { ".\r\n" });
        line += 1;
    }
    let text = raw[head..].replace("\r\n", "\n");
    Message { name, address, subject, id, answers, text, raw: raw.into_bytes() }
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
