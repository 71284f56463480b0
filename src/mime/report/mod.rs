//! Delivery reports: who did not get what, and why. In the form of the standards (RFC 3464,
//! RFC 6522, RFC 6533), and in the prose of servers that know none.

mod prose;
mod status;

use super::header::Header;
use super::parts::Tree;
use super::text::Line;
use super::{clean, html_text, ids, words};
use crate::desk::address::Address;
use crate::desk::message_id::MessageId;

/// A report about a message that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub form: Form,
    /// At most [`MOST_RECIPIENTS`]; of prose, whoever it names.
    pub recipients: Vec<Recipient>,
    /// The identifiers in the returned message: its Message-ID.
    pub original_id: Option<MessageId>,
    /// Its loop headers of ours, unjudged.
    pub original_loops: Vec<String>,
    /// Its reverse-path, where the report says so (Return-Path of the returned header).
    pub original_return_path: Option<Address>,
}

/// How a report says what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// In fields for machines (RFC 3464).
    #[default]
    Status,
    /// In sentences for people, that anybody can write: it counts only from `<>` or a server's own
    /// address, and as much as the address that it came to.
    Prose,
}

/// What became of one recipient (RFC 3464 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub final_recipient: Option<Address>,
    pub original_recipient: Option<Address>,
    pub action: Action,
    /// `5.1.1`; empty when it is not said.
    pub status: String,
    /// The remote server's words, in one line of at most 1,000 octets.
    pub diagnostic: String,
}

/// RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}

/// The most recipients of a report; no honest one of ours concerns more, since each copy has one.
pub const MOST_RECIPIENTS: usize = 100;
/// The most octets of a returned header, as they are encoded.
const LONGEST_HEADER: usize = 256 * 1024;
/// The most octets of a remote server's words.
const LONGEST_WORDS: usize = 1_000;

/// The message's report, if it is one. `lines`: its text, as a reader would see it.
#[must_use]
pub fn read(tree: &Tree<'_>, lines: &[Line]) -> Option<Report> {
    let root = tree.parts.first()?;
    let mut report = match status::read(tree) {
        // Where the fields name nobody, the text beside them may.
        Some(recipients) if recipients.is_empty() => {
            Report { recipients: prose::read(root, lines).unwrap_or_default(), ..Report::default() }
        }
        Some(recipients) => Report { recipients, ..Report::default() },
        None => Report { form: Form::Prose, recipients: prose::read(root, lines)?, ..Report::default() },
    };
    let returned = ["message/rfc822", "message/global"];
    let header_only = ["text/rfc822-headers", "message/rfc822-headers", "message/global-headers"];
    let original = tree.parts.iter().skip(1).find(|part| returned.iter().chain(&header_only).any(|kind| part.is(kind)));
    match original {
        Some(part) => {
            let start = &part.body[..part.body.len().min(LONGEST_HEADER)];
            originals(&mut report, &Header::of_part(&part.encoding.decode(start), 200));
        }
        // What is returned without a part of its own stands at the end of the text.
        None if report.form == Form::Prose => {
            originals(&mut report, &Header::read(prose::returned(lines).as_bytes(), 200));
        }
        None => {}
    }
    Some(report)
}

/// Whether an address is one that servers write from, and people do not.
#[must_use]
pub fn is_server(address: &Address) -> bool {
    let local = address.local().to_ascii_lowercase();
    ["mailer-daemon", "mailerdaemon", "mail-daemon", "mailer_daemon", "mdaemon", "postmaster"].contains(&local.as_str())
        || local.starts_with("microsoftexchange")
}

/// What names the message that is returned.
fn originals(report: &mut Report, header: &Header<'_>) {
    report.original_id = header.first("Message-ID").and_then(|field| ids::all(&field.text()).into_iter().next());
    report.original_loops = header.all("Guichet-Loop").take(20).map(|field| clean::line(&field.text(), 500)).collect();
    report.original_return_path =
        header.first("Return-Path").and_then(|field| field.text().trim_matches(['<', '>', ' ']).parse().ok());
}

/// The message that a read receipt (RFC 8098 §3.2.5) or a complaint (RFC 5965 §2) is about.
#[must_use]
pub fn concerned(tree: &Tree<'_>) -> Option<MessageId> {
    let named = [
        ("message/disposition-notification", "Original-Message-ID"),
        ("message/rfc822", "Message-ID"),
        ("text/rfc822-headers", "Message-ID"),
    ];
    named.iter().find_map(|(kind, field)| {
        let part = tree.parts.iter().find(|part| part.is(kind))?;
        let octets = part.encoding.decode(&part.body[..part.body.len().min(LONGEST_HEADER)]);
        // The fields of a notification stand where others have their text.
        let header = Header::of_part(&octets, 200);
        header.first(field).and_then(|field| ids::all(&field.text()).into_iter().next())
    })
}

/// A remote server's words in one line: encoded words and HTML entities decoded, line ends gone.
fn words_of(text: &str) -> String {
    let text = words::decode(text);
    clean::line(&html_text::entities(clean::start(&text, 8 * LONGEST_WORDS)), LONGEST_WORDS)
}
