//! Mails that the desk writes itself, besides copies of what people wrote: composed from the
//! sentences of [`language`](super::language) when the event happens, and kept in those words, so
//! that every attempt to deliver one gives the same bytes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::address::Mailbox;
use super::entry::Reason;
use super::id::EntryId;
use super::language::Language;
use super::ticket::TicketRef;

/// A mail in the desk's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub subject: String,
    /// Plain text, lines ending in LF.
    pub text: String,
    pub kind: LetterKind,
    pub answer: Answer,
}

/// What makes the desk write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LetterKind {
    /// Something happened that its reader should know: `auto-generated` (RFC 3834 §5).
    Notice,
    /// Somebody's mail arrived: `auto-replied`, and sent from `<>` (RFC 3834 §3.3).
    Response,
}

/// Where an answer to a letter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To the property, like any new mail.
    Property,
    /// To its ticket: the reader's reply address.
    Ticket,
    /// It decides about the held entry that the letter is about: the confirm address.
    Decision,
}

/// What a member is told of an entry of his that waits.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub ticket: &'a TicketRef,
    pub entry: EntryId,
    pub subject: &'a str,
    pub reason: Reason,
    /// More than the reason says: the command that was not understood, the address it came from.
    pub detail: Option<&'a str>,
    /// What he wrote.
    pub text: &'a str,
    /// Who answered before him, and what.
    pub colleague: Option<(&'a Mailbox, &'a str)>,
    /// He can decide by answering the letter; else it names the commands that do.
    pub by_mail: bool,
}

impl Letter {
    /// To a member: a message of his waits.
    #[must_use]
    pub fn held(language: Language, held: &Held<'_>) -> Self {
        let mut text = format!("{}\n{}\n", language.held(held.ticket), language.held_because(held.reason));
        if let Some(detail) = held.detail {
            let _ = write!(text, "\n{}\n", quoted(detail, "    "));
        }
        let next = if held.by_mail {
            language.answer_yes_or_no().to_owned()
        } else {
            language.accept_or_reject(held.ticket, held.entry.0)
        };
        let _ = write!(text, "\n{next}\n");
        if let Some((colleague, theirs)) = held.colleague {
            let _ = write!(text, "\n{}\n\n{}\n", language.colleagues_text(colleague.label()), quoted(theirs, "> "));
        }
        let _ = write!(text, "\n{}\n\n{}\n", language.your_text(), quoted(held.text, "> "));
        Self {
            subject: language.held_subject(held.subject),
            text,
            kind: LetterKind::Notice,
            answer: if held.by_mail { Answer::Decision } else { Answer::Property },
        }
    }

    /// To an author: a copy did not reach its reader. `reply`: the remote server's words.
    #[must_use]
    pub fn failed(language: Language, ticket: &TicketRef, subject: &str, to: &Mailbox, reply: &str) -> Self {
        let reader = if to.name.is_empty() { to.address.to_string() } else { format!("{} <{}>", to.name, to.address) };
        Self {
            subject: language.failed_subject(subject),
            text: format!("{}\n\n{}\n", language.failed(ticket, &reader), quoted(reply, "    ")),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To a requester: his message has arrived. Repeats nothing of it.
    #[must_use]
    pub fn received(language: Language, ticket: &TicketRef, house: &str) -> Self {
        Self {
            subject: language.received_subject(ticket),
            text: language.received(ticket, house),
            kind: LetterKind::Response,
            answer: Answer::Ticket,
        }
    }
}

/// Each line behind a mark.
#[must_use]
pub fn quoted(text: &str, mark: &str) -> String {
    text.trim().lines().map(|line| format!("{mark}{line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
