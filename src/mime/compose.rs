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

/// The type that a file is sent as: as given, in lower case, or `application/octet-stream` where
/// that is no type, or a composite one, which must not be encoded (RFC 2045 §6.4).
#[must_use]
pub fn media_type(given: &str) -> String {
    let given = given.trim().to_ascii_lowercase();
    let composite = given.starts_with("message/") || given.starts_with("multipart/");
    if encode::is_media_type(&given) && !composite { given } else { "application/octet-stream".to_owned() }
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
    let mut field = encode::Field::new(out, "Content-Type");
    field.token(&media_type(&file.content_type));
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

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders};

    use super::*;

    fn message() -> Composed {
        Composed {
            from: Mailbox::new("Zoé Martin", "zoe@team.example".parse().unwrap()),
            to: vec![Mailbox::new("Doe, Jane", "jane@example.com".parse().unwrap())],
            cc: vec![Mailbox::new("", "paul@example.com".parse().unwrap())],
            subject: "Votre commande n° 88".to_owned(),
            date: "2026-11-23T09:13:52Z".parse().unwrap(),
            message_id: "mzxw6ytboi@desk.example.org".parse().unwrap(),
            in_reply_to: Some("a@b.example".parse().unwrap()),
            references: vec!["r@b.example".parse().unwrap(), "a@b.example".parse().unwrap()],
            text: "Bonjour,\n\nc’est parti.\r\nFrom now on = fine\n.\n".to_owned(),
            attachments: Vec::new(),
        }
    }

    fn file(name: &str, content_type: &str, bytes: &[u8]) -> File {
        File { name: name.to_owned(), content_type: content_type.to_owned(), bytes: bytes.to_vec() }
    }

    fn assert_wire(raw: &[u8]) {
        let text = std::str::from_utf8(raw).unwrap();
        assert!(text.is_ascii() && text.ends_with("\r\n"), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    }

    #[test]
    fn what_is_composed_is_read_again() {
        let raw = compose(&message());
        assert_wire(&raw);
        let parsed = MessageParser::new().parse(&raw).unwrap();
        assert_eq!(parsed.subject(), Some("Votre commande n° 88"));
        assert_eq!(parsed.from().unwrap().first().unwrap().name(), Some("Zoé Martin"));
        assert_eq!(parsed.to().unwrap().first().unwrap().name(), Some("Doe, Jane"));
        assert_eq!(parsed.cc().unwrap().first().unwrap().address(), Some("paul@example.com"));
        assert_eq!(parsed.message_id(), Some("mzxw6ytboi@desk.example.org"));
        assert_eq!(parsed.references().as_text_list().unwrap().len(), 2);
        let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
        assert_eq!(text, "Bonjour,\n\nc’est parti.\nFrom now on = fine\n.\n");
        assert_eq!(raw, compose(&message()));
    }

    #[test]
    fn files_arrive_under_their_names() {
        let every: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let long = format!("{}.txt", "très long ".repeat(30));
        let files = [
            ("plan.pdf", "application/pdf", every.as_slice()),
            ("été \"2026\".txt", "text/plain", b"--=_mzxw6ytboideskexampleorg--\r\n"),
            (&long, "image/png", b""),
            ("mail.eml", "message/rfc822", b"Subject: x\n\n"),
            ("x\r\nBcc: v@example.com\r\n\r\n", "evil\r\nX: y/z", b"x"),
        ];
        let message =
            Composed { attachments: files.map(|(name, kind, bytes)| file(name, kind, bytes)).to_vec(), ..message() };
        let raw = compose(&message);
        assert_wire(&raw);
        let parsed = MessageParser::new().parse(&raw).unwrap();
        assert_eq!(parsed.attachment_count(), files.len());
        for (at, (name, _, bytes)) in (0..).zip(files) {
            let part = parsed.attachment(at).unwrap();
            assert_eq!(part.contents(), bytes, "{name}");
            let flat = name.replace("\r\n\r\n", " ").replace("\r\n", " ");
            assert_eq!(part.attachment_name().map(str::trim), Some(flat.trim()), "{name}");
        }
        assert!(!String::from_utf8(raw).unwrap().contains("\r\nBcc"));
    }

    #[test]
    fn nothing_to_say_is_a_message_too() {
        let raw = compose(&Composed {
            text: String::new(),
            subject: String::new(),
            to: Vec::new(),
            cc: Vec::new(),
            ..message()
        });
        assert_wire(&raw);
        assert_eq!(MessageParser::new().parse(&raw).unwrap().body_text(0).unwrap().trim(), "");
    }
}
