//! Copies: what one reader gets of one entry.
//!
//! Header fields are built, not filtered: nothing of the sender's header goes on but what is named
//! here. The body goes on part for part, byte for byte where it can: what changes is text that gets
//! our line on top, held a token of ours or quotes to a contact what members read, and what the next
//! server could not take. Signed and encrypted mail goes on unaltered. The same plan and message give the same bytes, so that a copy
//! is the same at each attempt. Signing (DKIM) is done elsewhere.

mod charset;
mod commands;
mod fields;
mod letter;
mod markup;
mod quoted;
mod render;
mod strip;
mod top;

use std::borrow::Cow;

use jiff::Timestamp;
use memchr::memchr2_iter;
use serde::{Deserialize, Serialize};

pub use self::letter::{conversation, letter};
pub use self::strip::{strip, strip_text};
use self::top::Top;
use super::encode;
use super::tree::{self, Part};
use crate::desk::address::{Address, Mailbox};
use crate::desk::entry::{Attachment, Facts, Reason};
use crate::desk::id::EntryId;
use crate::desk::language::Language;
use crate::desk::message_id::MessageId;
use crate::desk::slug::PropertySlug;
use crate::desk::ticket::TicketRef;

/// Everything about a copy that is not in the message itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The property's: by it the line on top is known where a member quotes it.
    pub property: PropertySlug,
    /// The property's address under the writer's name; see [`sender_name`].
    pub from: Mailbox,
    /// The reader's reply address.
    pub reply_to: Address,
    pub to: Mailbox,
    /// Decoded, as it came.
    pub subject: String,
    pub date: Timestamp,
    /// The minted one. Boundaries follow from it.
    pub message_id: MessageId,
    pub in_reply_to: Option<MessageId>,
    pub references: Vec<MessageId>,
    /// The value of `Guichet-Loop`: by it we know our own mail when it comes back.
    pub loop_header: String,
    /// The property's.
    pub language: Language,
    /// The commands that the text begins with: as many are taken from each part that shows it.
    pub commands: Vec<String>,
    /// What members read on top; `None` on a contact's copy.
    pub for_member: Option<MemberLine>,
    /// For a contact: who else takes part.
    pub others: Vec<Mailbox>,
    /// Attachments are left out and listed: a server refused the copy for its size.
    pub left_out: Option<Vec<Attachment>>,
    /// Whether the next server takes 8-bit bodies (RFC 6152).
    pub eight_bit: bool,
}

/// The line on top of a member's copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    pub reference: TicketRef,
    pub requester: Mailbox,
    /// Who wrote the entry: the copy's From does not show his address.
    pub writer: Option<Mailbox>,
    pub facts: Facts,
    /// The entry is a note.
    pub note: bool,
    pub warning: Option<Reason>,
    /// Where the ticket can be seen.
    pub link: Option<String>,
    /// The entry, where it waits to be let go.
    #[serde(default)]
    pub held: Option<EntryId>,
}

/// Why a copy can't be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Signed or encrypted text has 8-bit octets, and the next server takes none (RFC 3463 X.6.3).
    #[error("5.6.3 the signed or encrypted message has 8-bit text, which the next server does not take")]
    EightBit,
    /// Signed or encrypted text has what no server takes: a line over 998 octets, or a NUL.
    #[error(
        "5.6.3 the signed or encrypted message has a line over 998 octets or a NUL, which can't be sent on unaltered"
    )]
    Line,
}

/// The copy, header and body, without DKIM-Signature.
///
/// # Errors
/// [`BuildError`] for signed and encrypted mail alone; all else can be encoded anew.
pub fn build(raw: &[u8], plan: &Plan) -> Result<Vec<u8>, BuildError> {
    let raw = with_line_ends(raw);
    let root = tree::parse(&raw);
    let mut out = Vec::with_capacity(raw.len() + 4_096);
    header(&mut out, plan);
    carried(&mut out, &root);
    render::body(&mut out, &raw, &root, plan, Top::of(plan).as_ref())?;
    Ok(out)
}

/// A display name for From: `Jane Doe via Acme Support`. What could make it look like an address,
/// or break its field, is taken out, and so is a token of ours; a writer without a name is called by his local part.
#[must_use]
pub fn sender_name(writer: &Mailbox, house: &str) -> String {
    const LONGEST: usize = 60;
    let tidy = |name: &str| -> String {
        let name: String = name
            .split('@')
            .next()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
            .filter(|c| {
                !is_bidi(*c) && !matches!(c, '"' | '\\' | '<' | '>' | '“' | '”' | '„' | '«' | '»' | '＠' | '﹫')
            })
            .collect();
        let name = name.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        name.chars().take(LONGEST).collect::<String>().trim_end().to_owned()
    };
    let mut name = tidy(writer.name.trim_start_matches(['\'', '"']));
    if name.is_empty() {
        name = tidy(writer.address.local());
    }
    let house = tidy(house);
    let name = strip_text(&name);
    if house.is_empty() { name.into_owned() } else { format!("{name} via {house}") }
}

/// Marks that turn the direction of writing (UAX #9), by which a name can be made to read as
/// another.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The fields that we make ourselves.
fn header(out: &mut Vec<u8>, plan: &Plan) {
    encode::mailboxes(out, "From", std::slice::from_ref(&plan.from));
    encode::mailboxes(out, "Reply-To", &[Mailbox::new("", plan.reply_to.clone())]);
    encode::mailboxes(out, "To", std::slice::from_ref(&plan.to));
    encode::text(out, "Subject", &strip_text(&plan.subject));
    encode::date(out, plan.date);
    encode::ids(out, "Message-ID", [&plan.message_id]);
    if let Some(parent) = &plan.in_reply_to {
        encode::ids(out, "In-Reply-To", [parent]);
    }
    if !plan.references.is_empty() {
        encode::ids(out, "References", &plan.references);
    }
    encode::text(out, "Guichet-Loop", &plan.loop_header);
}

/// The sender's fields that go on, each in the form that it must have.
fn carried(out: &mut Vec<u8>, root: &Part<'_>) {
    const LONGEST: usize = 900;
    let value = |name: &str| {
        let value = String::from_utf8_lossy(root.field(name)?.value).into_owned();
        let words: Vec<_> = value.split_ascii_whitespace().collect();
        let value = strip_text(&words.join(" ")).into_owned();
        (!value.is_empty() && value.len() <= LONGEST).then_some(value)
    };
    if let Some(importance) = value("Importance").map(|value| value.to_ascii_lowercase())
        && matches!(importance.as_str(), "high" | "normal" | "low")
    {
        encode::text(out, "Importance", &importance);
    }
    if let Some(topic) = value("Thread-Topic") {
        // Its encoded words stand as they are.
        if topic.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            let mut field = encode::Field::new(out, "Thread-Topic");
            topic.split(' ').for_each(|word| field.token(word));
            field.end();
        } else {
            encode::text(out, "Thread-Topic", &topic);
        }
    }
    if let Some(index) = value("Thread-Index").map(|value| value.replace(' ', ""))
        && index.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    {
        let mut field = encode::Field::new(out, "Thread-Index");
        for piece in index.as_bytes().chunks(60) {
            field.token(std::str::from_utf8(piece).expect("checked to be ASCII"));
        }
        field.end();
    }
}

/// Every line end as CRLF (RFC 5321 §2.3.8): a bare CR or LF must not leave, and in between it
/// would hide what a line is.
fn with_line_ends(raw: &[u8]) -> Cow<'_, [u8]> {
    let is_bare = |at: usize| match raw[at] {
        b'\r' => raw.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || raw[at - 1] != b'\r',
        _ => false,
    };
    let mut bare = memchr2_iter(b'\r', b'\n', raw).filter(|at| is_bare(*at)).peekable();
    if bare.peek().is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 32);
    let mut kept = 0;
    for at in bare {
        out.extend_from_slice(&raw[kept..at]);
        out.extend_from_slice(b"\r\n");
        kept = at + 1;
    }
    out.extend_from_slice(&raw[kept..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
