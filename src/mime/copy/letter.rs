//! Mails that the desk itself writes: the conversation so far, and letters.

use std::fmt::Write as _;

use super::top::Top;
use super::{Plan, header, strip_text};
use crate::desk::address::Mailbox;
use crate::desk::entry::{Attachment, Entry, Kind};
use crate::desk::language::Language;
use crate::desk::letter::{Letter, LetterKind};
use crate::mime::encode;

/// The most octets of a conversation that a new assignee is sent; the newest entries count.
const LONGEST_CONVERSATION: usize = 256 * 1024;

/// The conversation so far, oldest entry first, for a new assignee: texts of messages and notes,
/// attachments by name. It is a human's mail like any copy, and is answered like one.
#[must_use]
pub fn conversation(entries: &[Entry], plan: &Plan) -> Vec<u8> {
    let language = plan.language;
    let mut pieces: Vec<String> = Vec::new();
    let mut room = LONGEST_CONVERSATION;
    let told = |entry: &&Entry| matches!(entry.kind, Kind::Message | Kind::Note | Kind::Chat);
    let count = entries.iter().filter(told).count();
    for entry in entries.iter().filter(told).rev() {
        let piece = told_entry(entry, language);
        match room.checked_sub(piece.len()) {
            Some(left) => room = left,
            None => break,
        }
        pieces.push(piece);
    }
    let mut text = Top::of(plan).map(|top| top.plain()).unwrap_or_default();
    text.push_str(language.conversation_so_far());
    text.push_str("\n\n");
    if pieces.len() < count {
        text.push_str(&language.earlier(count - pieces.len()));
        text.push_str("\n\n");
    }
    pieces.iter().rev().for_each(|piece| text.push_str(piece));

    let mut out = Vec::with_capacity(text.len() + 2_048);
    header(&mut out, plan);
    write_text(&mut out, &text);
    out
}

/// A mail in the desk's own words, marked so that no machine answers it (RFC 3834 §5).
#[must_use]
pub fn letter(letter: &Letter, plan: &Plan) -> Vec<u8> {
    let submitted = match letter.kind {
        LetterKind::Notice => "auto-generated",
        LetterKind::Response => "auto-replied",
    };
    let mut out = Vec::with_capacity(letter.text.len() + 2_048);
    header(&mut out, &Plan { subject: letter.subject.clone(), ..plan.clone() });
    encode::text(&mut out, "Auto-Submitted", submitted);
    encode::text(&mut out, "X-Auto-Response-Suppress", "All");
    write_text(&mut out, &letter.text);
    out
}

/// One entry of a conversation, with who wrote it and when above it.
fn told_entry(entry: &Entry, language: Language) -> String {
    let author = entry.author.mailbox().map_or("Guichet", Mailbox::label);
    let note = if entry.kind == Kind::Note { format!(" · {}", language.internal_note()) } else { String::new() };
    let mut out = format!("── {author} · {}{note}\n\n{}\n", language.time(entry.at), entry.text.trim());
    if !entry.attachments.is_empty() {
        let shown = |attachment: &Attachment| format!("{} ({})", attachment.name, language.size(attachment.size));
        let names: Vec<_> = entry.attachments.iter().map(shown).collect();
        let _ = write!(out, "\n{} {}\n", language.attachments(), names.join(", "));
    }
    out.push('\n');
    out
}

/// A body of plain text, in quoted-printable: any server takes it.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let text: String = strip_text(text).chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    out.extend_from_slice(b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
    out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    encode::quoted_printable(out, text.trim_end().as_bytes());
    out.extend_from_slice(b"\r\n");
}
