//! What a mail says: who wrote it, what it answers, the new text, what is attached, and whether a
//! machine wrote it. The one entry to reading mail.
//!
//! Bytes in, [`Understood`] out; no network, no clock, no store. Whatever the bytes are, it neither
//! panics nor takes more than time linear in their number: what is past a limit is left aside and
//! told in [`Understood::problems`]. Only a header section too large to be read whole is refused,
//! since a second From could hide in the rest of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use mail_parser::DateTime;
use serde::{Deserialize, Serialize};

use super::header::Header;
use super::ids::{self, ThreadIndex};
use super::marks::Marks;
use super::parts::{self, Part, Tree};
use super::reply_text::Purpose;
use super::report::Report;
use super::text::{self, Text};
use super::{attachments, clean, languages, mailboxes, marks, report, tls_report, words};
use crate::desk::address::Mailbox;
use crate::desk::entry::Attachment;
use crate::desk::language::Language;
use crate::desk::message_id::MessageId;
use crate::desk::subject;

/// How much of a message is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields in the header section; more is [`TooMuch::Fields`].
    pub fields: usize,
    /// Octets of the header section; more is [`TooMuch::Header`].
    pub header: usize,
    /// Fields that are kept of a part's header.
    pub part_fields: usize,
    /// Parts within parts.
    pub nesting: usize,
    /// Parts in all.
    pub parts: usize,
    /// Mailboxes that are kept of a field.
    pub mailboxes: usize,
    /// Identifiers that are kept of References, besides the first.
    pub references: usize,
    /// Octets of decoded text that are looked at.
    pub text: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fields: 5_000,
            header: 2 * 1024 * 1024,
            part_fields: 100,
            nesting: 20,
            parts: 1_000,
            mailboxes: 500,
            references: 100,
            text: 1024 * 1024,
        }
    }
}

/// A message that SMTP should refuse (`552 5.3.4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    #[error("the message has more than {0} header fields; send it without the trace of its way")]
    Fields(usize),
    #[error("the message's header is longer than {0} octets; send it to fewer recipients at once")]
    Header(usize),
}

/// What a mail says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// Every mailbox of every From field.
    pub from: Vec<Mailbox>,
    /// How many From fields there are; one is right (RFC 5322 §3.6).
    pub from_fields: usize,
    pub sender: Option<Mailbox>,
    pub reply_to: Vec<Mailbox>,
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// Who wrote it before a list or a form put itself into From: X-Original-From, else
    /// X-Original-Sender.
    pub original_from: Option<Mailbox>,
    /// Decoded, in one line, at most [`Understood::LONGEST_SUBJECT`] octets.
    pub subject: String,
    pub date: Option<Timestamp>,
    /// The first usable one; `problems` tells of more than one.
    pub message_id: Option<MessageId>,
    pub in_reply_to: Vec<MessageId>,
    /// As written: the root first, the newest last.
    pub references: Vec<MessageId>,
    pub thread_index: Option<ThreadIndex>,
    /// Received fields: how many servers it went through.
    pub received: usize,
    /// Values of the fields `Guichet-Loop`, unjudged.
    pub loop_headers: Vec<String>,
    /// The one of ours that its writer reads, if it says.
    pub language: Option<Language>,
    pub marks: Marks,
    pub text: Text,
    pub attachments: Vec<Attachment>,
    pub protection: Protection,
    pub report: Option<Report>,
    /// The message that a read receipt or a complaint is about.
    pub concerns: Option<MessageId>,
    pub forwarded: Option<Forwarded>,
    /// Oddities, each once.
    pub problems: Vec<Problem>,
}

impl Understood {
    /// Octets.
    pub const LONGEST_SUBJECT: usize = 1_000;
    /// In-Reply-To names what is answered; more than this is noise.
    const MOST_ANSWERED: usize = 20;
    const MOST_LOOPS: usize = 20;
}

/// Whether the body is signed or encrypted, and so must not be changed or can't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    #[default]
    None,
    /// multipart/signed (RFC 1847), S/MIME signed data, or an inline OpenPGP signature.
    Signed,
    /// multipart/encrypted, S/MIME enveloped data, or an inline OpenPGP message.
    Encrypted,
}

/// A mail that somebody handed on within his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Who wrote the original.
    pub from: Mailbox,
    pub subject: String,
    /// As the original says; `None` where it stands in words that we don't read.
    pub date: Option<Timestamp>,
    /// The original's text.
    pub text: String,
    /// What the forwarder wrote above it.
    pub comment: String,
    /// It says by whom it is, from when, and about what, each once, as every client writes it; and it is
    /// not one that stands within another.
    pub well_formed: bool,
    /// The original's own identifier, where the original is attached.
    pub message_id: Option<MessageId>,
}

/// Something odd about a message that a reader of its ticket may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    NoFrom,
    SeveralFrom,
    /// From uses group syntax.
    GroupFrom,
    /// From has a piece without a usable address.
    BrokenFrom,
    NoDate,
    BrokenDate,
    SeveralDates,
    NoMessageId,
    BrokenMessageId,
    SeveralMessageIds,
    SeveralSubjects,
    /// A line of the header is no field.
    BrokenHeader,
    /// A charset that nobody knows; the text is a guess.
    UnknownCharset,
    /// The octets are not in the charset that was claimed; the text is a guess.
    WrongCharset,
    /// A boundary is missing, never used or never closed.
    BrokenBoundary,
    /// Parts nested too deep were not looked into.
    TooDeep,
    /// Parts past the limit were not looked at.
    TooManyParts,
    /// More text than is looked at.
    TextCut,
    /// Nothing to read: no text, no attachment.
    NoBody,
}

/// Reads a message as it came, from the first octet of its header.
///
/// # Errors
/// [`TooMuch`] when the header section is larger than `limits` say.
pub fn understand(raw: &[u8], limits: &Limits) -> Result<Understood, TooMuch> {
    let header = Header::read(raw, limits.fields);
    if header.cut {
        return Err(TooMuch::Fields(limits.fields));
    }
    if header.body_at.min(raw.len()) > limits.header {
        return Err(TooMuch::Header(limits.header));
    }
    let mut said = Understood::default();
    identify(&header, limits, &mut said);
    said.language = languages::preferred(&header);
    said.marks = marks::of_header(&header);
    let tree = parts::read(raw, header, limits);
    read_body(&tree, limits, &mut said);
    said.problems.sort_unstable();
    said.problems.dedup();
    Ok(said)
}

/// Everything that the header fields say.
fn identify(header: &Header<'_>, limits: &Limits, said: &mut Understood) {
    let texts = |name: &'static str| header.all(name).map(super::header::Field::text).collect::<Vec<_>>();
    let people = |name: &'static str| {
        let mut list: Vec<Mailbox> =
            texts(name).iter().flat_map(|value| mailboxes::read(value, limits.mailboxes).list).collect();
        list.truncate(limits.mailboxes);
        list
    };
    let problems = &mut said.problems;
    if header.broken_lines {
        problems.push(Problem::BrokenHeader);
    }
    for value in texts("From") {
        said.from_fields += 1;
        let found = mailboxes::read(&value, limits.mailboxes);
        said.from.extend(found.list);
        if found.group {
            problems.push(Problem::GroupFrom);
        }
        if found.broken > 0 {
            problems.push(Problem::BrokenFrom);
        }
    }
    said.from.truncate(limits.mailboxes);
    if said.from_fields > 1 || said.from.len() > 1 {
        problems.push(Problem::SeveralFrom);
    }
    if said.from.is_empty() {
        problems.push(Problem::NoFrom);
    }
    said.sender = people("Sender").into_iter().next();
    said.reply_to = people("Reply-To");
    said.to = people("To");
    said.cc = people("Cc");
    said.original_from =
        ["X-Original-From", "X-Original-Sender"].into_iter().find_map(|name| people(name).into_iter().next());

    let subjects = texts("Subject");
    if subjects.len() > 1 {
        problems.push(Problem::SeveralSubjects);
    }
    said.subject = subjects.first().map(|subject| one_line(subject)).unwrap_or_default();

    let dates = texts("Date");
    if dates.len() > 1 {
        problems.push(Problem::SeveralDates);
    }
    match dates.first() {
        None => problems.push(Problem::NoDate),
        Some(date) => {
            said.date = read_date(date);
            if said.date.is_none() {
                problems.push(Problem::BrokenDate);
            }
        }
    }

    let own = texts("Message-ID");
    if own.len() > 1 {
        problems.push(Problem::SeveralMessageIds);
    }
    said.message_id = own.iter().find_map(|value| ids::all(value).into_iter().next());
    if own.is_empty() {
        problems.push(Problem::NoMessageId);
    } else if said.message_id.as_ref().is_none_or(|id| !id.is_grammatical()) {
        problems.push(Problem::BrokenMessageId);
    }
    let mut answered: Vec<MessageId> = texts("In-Reply-To").iter().flat_map(|value| ids::all(value)).collect();
    answered.truncate(Understood::MOST_ANSWERED);
    said.in_reply_to = ids::bounded(answered, Understood::MOST_ANSWERED);
    let references = texts("References").iter().flat_map(|value| ids::all(value)).collect();
    said.references = ids::bounded(references, limits.references);
    said.thread_index = header.first("Thread-Index").and_then(|field| ThreadIndex::read(&field.text()));
    said.received = header.all("Received").count();
    said.loop_headers =
        header.all("Guichet-Loop").take(Understood::MOST_LOOPS).map(|field| clean::line(&field.text(), 500)).collect();
}

/// Everything that the parts say.
fn read_body(tree: &Tree<'_>, limits: &Limits, said: &mut Understood) {
    said.problems.extend_from_slice(&tree.problems);
    marks::of_parts(tree, &mut said.marks);
    said.protection = protection(tree);
    let mut body = text::read(tree, limits, &mut said.problems);
    said.report = report::read(tree, &body.lines);
    if said.marks.complaint || said.marks.receipt {
        said.concerns = report::concerned(tree);
    }
    said.attachments = attachments::list(tree, &body.used);
    if said.protection == Protection::None {
        said.protection = inline_protection(&body.lines);
        if said.protection == Protection::Signed {
            strip_armour(&mut body.lines);
        }
    }
    said.text = Text::default();
    if said.protection != Protection::Encrypted {
        let (separated, block) = super::reply_text::separate(&body.lines, purpose(said));
        said.text = Text { from_html: body.from_html, ..separated };
        said.forwarded = block.or_else(|| attached_forward(tree, limits, said));
    }
    // What is for programs to read is put into words, under those of who sent it.
    if let Some(report) = tls_report::read(tree) {
        let words = said.text.new.trim_end();
        let between = if words.is_empty() { "" } else { "\n\n" };
        said.text.new = format!("{words}{between}{}", report.text());
    }
    if said.text.is_blank() && said.attachments.is_empty() && said.protection == Protection::None {
        said.problems.push(Problem::NoBody);
    }
}

fn purpose(said: &Understood) -> Purpose {
    let answers = !said.in_reply_to.is_empty()
        || !said.references.is_empty()
        || said.thread_index.as_ref().is_some_and(|index| index.parent().is_some());
    if subject::is_forward(&said.subject) {
        Purpose::Forward
    } else if answers || subject::is_answer(&said.subject) {
        Purpose::Answer
    } else {
        Purpose::New
    }
}

/// A subject or a name from a header field, fit to show.
pub(super) fn one_line(value: &str) -> String {
    clean::line(&words::decode(clean::start(value, 64 * 1024)), Understood::LONGEST_SUBJECT)
}

/// A date (RFC 5322 §3.3).
pub(super) fn read_date(value: &str) -> Option<Timestamp> {
    read_sent(value).map(|(at, _)| at)
}

/// A date, and the day that it was where it was written. The parser is another's code on foreign bytes:
/// a panic is no date.
pub(super) fn read_sent(value: &str) -> Option<(Timestamp, civil::Date)> {
    let value = clean::start(value, 200);
    let date = catch_unwind(AssertUnwindSafe(|| {
        DateTime::parse_rfc822(value).filter(DateTime::is_valid).map(|date| {
            let day = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
            (date.to_timestamp(), day)
        })
    }));
    let (seconds, day) = date.ok().flatten()?;
    let at = Timestamp::from_second(seconds).ok()?;
    let day = match day {
        (Ok(year), Ok(month), Ok(day)) => civil::Date::new(year, month, day).ok(),
        _ => None,
    };
    // A 31st of February is some day, too.
    Some((at, day.unwrap_or_else(|| at.to_zoned(TimeZone::UTC).date())))
}

/// By the outermost part, as a reader's client would.
fn protection(tree: &Tree<'_>) -> Protection {
    let Some(root) = tree.parts.first() else { return Protection::None };
    match root.content_type.token.as_str() {
        "multipart/encrypted" => Protection::Encrypted,
        "multipart/signed" => Protection::Signed,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => match root.content_type.get("smime-type") {
            Some(kind) if kind.eq_ignore_ascii_case("signed-data") => Protection::Signed,
            _ => Protection::Encrypted,
        },
        // A list or a scanner that adds a footer wraps the protected part.
        "multipart/mixed" => {
            let first = root.children.first().and_then(|child| tree.parts.get(*child));
            match first.map(|part: &Part<'_>| part.content_type.token.as_str()) {
                Some("multipart/encrypted") => Protection::Encrypted,
                Some("multipart/signed") => Protection::Signed,
                _ => Protection::None,
            }
        }
        _ => Protection::None,
    }
}

/// OpenPGP armour in the text itself (RFC 9580 §6.2), but not in a quotation.
fn inline_protection(lines: &[text::Line]) -> Protection {
    for line in lines.iter().take(200) {
        match line.text.trim_end() {
            "-----BEGIN PGP MESSAGE-----" => return Protection::Encrypted,
            "-----BEGIN PGP SIGNED MESSAGE-----" => return Protection::Signed,
            _ => {}
        }
    }
    Protection::None
}

/// Leaves of an inline signed text what was signed (RFC 9580 §7).
fn strip_armour(lines: &mut Vec<text::Line>) {
    let (mut in_head, mut in_signature) = (false, false);
    lines.retain(|line| {
        let text = line.text.trim_end();
        in_head |= text == "-----BEGIN PGP SIGNED MESSAGE-----";
        in_signature |= text == "-----BEGIN PGP SIGNATURE-----";
        let keep = !in_head && !in_signature;
        in_head &= !text.is_empty();
        in_signature &= text != "-----END PGP SIGNATURE-----";
        keep
    });
}

/// A message attached to a mail whose subject says that it hands something on.
fn attached_forward(tree: &Tree<'_>, limits: &Limits, said: &Understood) -> Option<Forwarded> {
    if said.report.is_some() || !subject::is_forward(&said.subject) {
        return None;
    }
    let root = tree.parts.first()?;
    let message = std::iter::once(root)
        .chain(root.children.iter().filter_map(|child| tree.parts.get(*child)))
        .find(|part| part.is("message/rfc822"))?;
    // One level only: the forwarded mail's own forwards stay its text.
    let header = Header::of_part(message.body, limits.part_fields);
    let mut inner = Understood::default();
    identify(&header, limits, &mut inner);
    let [from] = inner.from.as_slice() else { return None };
    let from = from.clone();
    let tree = parts::read(message.body, header, limits);
    let body = text::read(&tree, limits, &mut inner.problems);
    Some(Forwarded {
        from,
        subject: inner.subject,
        date: inner.date,
        text: super::reply_text::whole(&body.lines),
        comment: said.text.new.clone(),
        well_formed: inner.from_fields == 1 && inner.date.is_some() && inner.message_id.is_some(),
        message_id: inner.message_id,
    })
}
