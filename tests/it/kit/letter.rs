//! Mail as clients write it, and answers to the copies that they were sent.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use guichet::trust::Signer;
use jiff::Timestamp;

use super::desk::{address_in, field};

/// One mail with its envelope. The envelope follows the header where nothing else is said.
#[derive(Clone, Debug)]
pub struct Letter {
    from: String,
    sender: Option<String>,
    recipients: Option<Vec<String>>,
    fields: Vec<(String, String)>,
    body: String,
    /// Fields of a signature.
    signature: String,
}

/// A mail from a mailbox, `Name <address>` or an address, with a Date and a Message-ID of its own.
pub fn letter(from: &str) -> Letter {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let domain = address_of(from).rsplit_once('@').map_or("example.com", |(_, domain)| domain).to_owned();
    let (hours, minutes, seconds) = (number / 3600 % 24, number / 60 % 60, number % 60);
    Letter {
        from: from.to_owned(),
        sender: None,
        recipients: None,
        fields: vec![
            ("From".into(), from.into()),
            ("Date".into(), format!("Mon, 23 Nov 2026 {hours:02}:{minutes:02}:{seconds:02} +0000")),
            ("Message-ID".into(), format!("<m{number}@{domain}>")),
        ],
        body: "Hello!\n".to_owned(),
        signature: String::new(),
    }
}

/// The answer that a client makes of a copy: to its Reply-To, in its thread by both fields.
pub fn reply(from: &str, copy: &str) -> Letter {
    let id = field(copy, "Message-ID").unwrap();
    let known = field(copy, "References").map(|ids| ids + " ").unwrap_or_default();
    reply_by_address(from, copy).field("In-Reply-To", &id).field("References", &format!("{known}{id}"))
}

/// The answer of a client that names nothing but the address that it answers to.
pub fn reply_by_address(from: &str, copy: &str) -> Letter {
    let subject = field(copy, "Subject").unwrap_or_default();
    let subject = if subject.starts_with("Re:") { subject } else { format!("Re: {subject}") };
    letter(from).to(&address_in(copy, "Reply-To")).subject(&subject)
}

impl Letter {
    /// Puts a recipient into To.
    pub fn to(self, to: &str) -> Self {
        let before = self.get("To").map(|known| format!("{known}, ")).unwrap_or_default();
        self.field("To", &format!("{before}{to}"))
    }

    /// Puts a mailbox into Cc that another server brings it to.
    pub fn cc(self, cc: &str) -> Self {
        let recipients = self.recipients();
        let before = self.get("Cc").map(|known| format!("{known}, ")).unwrap_or_default();
        let mut letter = self.field("Cc", &format!("{before}{cc}"));
        letter.recipients = Some(recipients);
        letter
    }

    pub fn subject(self, subject: &str) -> Self {
        self.field("Subject", subject)
    }

    pub fn id(self, id: &str) -> Self {
        self.field("Message-ID", id)
    }

    pub fn answers(self, id: &str) -> Self {
        self.field("In-Reply-To", id)
    }

    /// Sets a field; an empty value takes it away.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        if value.is_empty() { self } else { self.more(name, value) }
    }

    /// Adds a field, even if there is one of that name.
    pub fn more(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.body);
        self
    }

    /// MIME fields and a body.
    pub fn body(self, content_type: &str, body: &str) -> Self {
        self.field("MIME-Version", "1.0").field("Content-Type", content_type).text(body)
    }

    /// The envelope's reverse-path; an empty one is `<>`.
    pub fn by(mut self, sender: &str) -> Self {
        self.sender = Some(sender.to_owned());
        self
    }

    /// The envelope's recipients.
    pub fn rcpt(mut self, recipients: &[&str]) -> Self {
        self.recipients = Some(recipients.iter().map(ToString::to_string).collect());
        self
    }

    /// Signs it as it is now.
    pub fn signed(mut self, signer: &Signer) -> Self {
        let message = self.message().replace('\n', "\r\n");
        self.signature = signer.sign(message.as_bytes(), Timestamp::now()).unwrap().replace("\r\n", "\n");
        self
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn sender(&self) -> String {
        self.sender.clone().unwrap_or_else(|| address_of(&self.from))
    }

    pub fn recipients(&self) -> Vec<String> {
        self.recipients
            .clone()
            .unwrap_or_else(|| self.get("To").unwrap_or_default().split(", ").map(address_of).collect())
    }

    /// Header and body; lines end in LF.
    pub fn message(&self) -> String {
        let mut message = self.signature.clone();
        for (name, value) in &self.fields {
            writeln!(message, "{name}: {value}").unwrap();
        }
        message.push('\n');
        message.push_str(&self.body);
        message
    }
}

fn address_of(mailbox: &str) -> String {
    mailbox.rsplit_once('<').map_or(mailbox, |(_, rest)| rest.trim_end_matches('>')).trim().to_owned()
}
