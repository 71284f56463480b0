//! A message from a text and attachments: what an entry is in the store when no mail client wrote
//! it but the command line or the API.

use jiff::Timestamp;

use super::encode;
use crate::desk::address::Mailbox;
use crate::desk::message_id::MessageId;

/// What a message is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    pub subject: String,
    pub date: Timestamp,
    /// Boundaries follow from it.
    pub message_id: MessageId,
    pub in_reply_to: Option<MessageId>,
    pub references: Vec<MessageId>,
    /// The text, with any line ends.
    pub text: String,
    pub attachments: Vec<File>,
}

/// A file to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: String,
    /// `type/subtype`; what is no such thing is sent as `application/octet-stream`.
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// The message (RFC 5322), ASCII with CRLF line ends; addresses beyond ASCII stand in UTF-8.
#[must_use]
pub fn compose(message: &Composed) -> Vec<u8> {
    let size: usize = message.attachments.iter().map(|file| file.bytes.len() / 2 * 3).sum();
    let mut out = Vec::with_capacity(size + message.text.len() * 2 + 2_048);
    encode::mailboxes(&mut out, "From", std::slice::from_ref(&message.from));
    if !message.to.is_empty() {
        encode::mailboxes(&mut out, "To", &message.to);
    }
    if !message.cc.is_empty() {
        encode::mailboxes(&mut out, "Cc", &message.cc);
    }
    encode::text(&mut out, "Subject", &message.subject);
    encode::date(&mut out, message.date);
    encode::ids(&mut out, "Message-ID", [&message.message_id]);
    if let Some(parent) = &message.in_reply_to {
        encode::ids(&mut out, "In-Reply-To", [parent]);
    }
    if !message.references.is_empty() {
        encode::ids(&mut out, "References", &message.references);
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    if message.attachments.is_empty() {
        text_part(&mut out, &message.text);
        return out;
    }
    // Everything inside is quoted-printable or base64, and `=_` can't come about in either.
    let boundary = format!("=_{}", strip_to_token(message.message_id.as_str()));
    let mut field = encode::Field::new(&mut out, "Content-Type");
    field.token("multipart/mixed");
    field.parameter("boundary", &boundary);
    field.end();
    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
    text_part(&mut out, &message.text);
    for file in &message.attachments {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        attachment(&mut out, file);
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    out
}

fn text_part(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    // A carriage return alone is a line end of its own on some systems.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    encode::quoted_printable(out, text.trim_end().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn attachment(out: &mut Vec<u8>, file: &File) {
    let is_type = file.content_type.split_once('/').is_some_and(|(major, minor)| {
        let word = |word: &str| !word.is_empty() && word.len() < 60 && word.bytes().all(encode::is_token);
        // A composite type must not be encoded (RFC 2045 §6.4).
        word(major) && word(minor) && !matches!(major.to_ascii_lowercase().as_str(), "message" | "multipart")
    });
    let mut field = encode::Field::new(out, "Content-Type");
    field.token(if is_type { &file.content_type } else { "application/octet-stream" });
    if file.name.is_ascii() {
        field.parameter("name", &file.name);
    }
    field.end();
    let mut field = encode::Field::new(out, "Content-Disposition");
    field.token("attachment");
    field.parameter("filename", &file.name);
    field.end();
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    encode::base64(out, &file.bytes);
}

/// The letters and digits of an identifier, as many as a boundary takes (RFC 2046 §5.1.1).
fn strip_to_token(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).take(40).collect()
}
