//! Mails that the desk writes itself, besides copies of what people wrote: composed from the
//! sentences of [`language`](super::language) when the event happens, and kept in those words, so
//! that every attempt to deliver one gives the same bytes.

use std::fmt::Write as _;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::address::{Address, Mailbox};
use super::confirmation::Confirmation;
use super::entry::Reason;
use super::id::{ClaimId, EntryId};
use super::language::Language;
use super::mistake::Mistake;
use super::reach::Suspension;
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
    /// It decides whether the address that gets the letter is a member's: a confirm address of
    /// another kind.
    Claim(ClaimId),
}

/// How a member decides about what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways<'a> {
    /// At the desk: the letter names the commands that do it.
    AtDesk,
    /// By answering the letter. `address`: he can make it one of his by the way.
    ByMail { address: Option<&'a Address> },
}

/// What a member is told of an entry of his that waits.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub ticket: &'a TicketRef,
    pub entry: EntryId,
    pub subject: &'a str,
    pub reason: Reason,
    /// More than the reason says: the command that was not understood, the address it came from, the
    /// one whom it hands a message on of.
    pub detail: Option<&'a str>,
    /// What he wrote.
    pub text: &'a str,
    /// Who answered before him, and what.
    pub colleague: Option<(&'a Mailbox, &'a str)>,
    pub ways: Ways<'a>,
    /// How many more of his wait, and he was not told.
    pub more: usize,
}

impl Letter {
    /// To a member: a message of his waits.
    #[must_use]
    pub fn held(language: Language, held: &Held<'_>) -> Self {
        let mut text = format!("{}\n{}\n", language.held(held.ticket), language.held_because(held.reason));
        if let Some(detail) = held.detail {
            let _ = write!(text, "\n{}\n", quoted(detail, "    "));
        }
        let next = match held.ways {
            Ways::ByMail { .. } => language.answer_yes_or_no().to_owned(),
            Ways::AtDesk => language.accept_or_reject(held.ticket, held.entry.0),
        };
        let _ = write!(text, "\n{next}\n");
        if let Ways::ByMail { address: Some(_) } = held.ways {
            let _ = writeln!(text, "{}", language.answer_always());
        }
        if held.more > 0 {
            let _ = write!(text, "\n{}\n", language.more_wait(held.more));
        }
        if let Some((colleague, theirs)) = held.colleague {
            let _ = write!(text, "\n{}\n\n{}\n", language.colleagues_text(colleague.label()), quoted(theirs, "> "));
        }
        let _ = write!(text, "\n{}\n\n{}\n", language.your_text(), quoted(held.text, "> "));
        Self {
            subject: language.held_subject(held.subject),
            text,
            kind: LetterKind::Notice,
            answer: if held.ways == Ways::AtDesk { Answer::Property } else { Answer::Decision },
        }
    }

    /// To a member: his answer decides nothing, and what would.
    #[must_use]
    pub fn unclear(language: Language, ticket: &TicketRef, subject: &str) -> Self {
        Self {
            subject: language.held_subject(subject),
            text: format!("{}\n\n{}\n", language.unclear(ticket), language.answer_yes_or_no()),
            kind: LetterKind::Notice,
            answer: Answer::Decision,
        }
    }

    /// To a member: what he decides was decided before, otherwise. `sent`: it went out.
    #[must_use]
    pub fn too_late(language: Language, ticket: &TicketRef, subject: &str, sent: bool) -> Self {
        Self {
            subject: language.too_late_subject(subject),
            text: language.too_late(ticket, sent),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To an address: is it this member's?
    #[must_use]
    pub fn claim(language: Language, address: &Address, member: &Mailbox, house: &str, claim: ClaimId) -> Self {
        Self {
            subject: language.claim_subject(house),
            text: language.claim(address.as_str(), &member.shown(), house),
            kind: LetterKind::Notice,
            answer: Answer::Claim(claim),
        }
    }

    /// To a member: an address has become one of his.
    #[must_use]
    pub fn claimed(language: Language, address: &Address, login: &Address) -> Self {
        Self {
            subject: language.claimed_subject(address.as_str()),
            text: language.claimed(address.as_str(), login.as_str()),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To a member: a command in his message was wrong, so that nothing of it was done. `wrong`: each
    /// line with what is wrong about it; `help`: whether he may ask what there is.
    #[must_use]
    pub fn wrong_commands(
        language: Language,
        ticket: &TicketRef,
        subject: &str,
        wrong: &[(String, Mistake)],
        help: bool,
        text: &str,
    ) -> Self {
        let mut out = format!("{}\n", language.wrong(ticket, wrong.len()));
        for (line, mistake) in wrong {
            let _ = write!(out, "\n    {line}\n{}\n", quoted(&language.mistake(mistake), "      "));
        }
        let _ = write!(out, "\n{}\n", language.send_again(help));
        let _ = write!(out, "\n{}\n\n{}\n", language.your_text(), quoted(text, "> "));
        Self { subject: language.wrong_subject(subject), text: out, kind: LetterKind::Notice, answer: Answer::Property }
    }

    /// To a member who asked by a command: which commands there are, or how a ticket stands. It is in
    /// the thread of his mail, so its reply address makes a note of an answer to it.
    #[must_use]
    pub fn asked_for(language: Language, subject: String, text: &str) -> Self {
        let text = format!("{text}\n{}\n", language.answer_is_note());
        Self { subject, text, kind: LetterKind::Response, answer: Answer::Ticket }
    }

    /// To an author: a copy did not reach its reader. `reply`: what it failed with. `tried`: for how long
    /// it was tried in vain; nothing where it was refused.
    #[must_use]
    pub fn failed(
        language: Language,
        ticket: &TicketRef,
        subject: &str,
        to: &Mailbox,
        (reply, server): (&str, Option<&str>),
        tried: Option<SignedDuration>,
    ) -> Self {
        Self {
            subject: language.failed_subject(subject),
            text: format!("{}\n{}", language.failed(ticket, &to.shown(), tried), failure(language, reply, server)),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To an author: these readers did not get his message yet. Each with the last words about it;
    /// `more` are not named. It was tried for `tried`, and will be for `lifetime` in all.
    #[must_use]
    pub fn delayed(
        language: Language,
        ticket: &TicketRef,
        subject: &str,
        readers: &[(Mailbox, Option<String>)],
        more: usize,
        (tried, lifetime): (SignedDuration, SignedDuration),
    ) -> Self {
        let mut text = format!("{}\n", language.delayed(ticket, tried));
        for (reader, words) in readers {
            let _ = write!(text, "\n    {}\n", reader.shown());
            if let Some(words) = words {
                let _ = writeln!(text, "{}", quoted(words, "      "));
            }
        }
        if more > 0 {
            let _ = write!(text, "\n    {}\n", language.and_more(more));
        }
        let _ = write!(text, "\n{}\n", language.delayed_goes_on(lifetime));
        Self { subject: language.delayed_subject(subject), text, kind: LetterKind::Notice, answer: Answer::Property }
    }

    /// To an admin: a provider asks whether a mailbox may forward to the property. `to`: where.
    #[must_use]
    pub fn forwarding(language: Language, confirmation: &Confirmation, to: &Address) -> Self {
        let request = &confirmation.request;
        let mailbox = request.mailbox.as_ref();
        let mut text = format!("{}\n", language.forwarding_asked(request.provider.label(), mailbox, to));
        if let Some(code) = &request.code {
            let _ = write!(text, "\n{}\n\n    {code}\n", language.forwarding_code());
        }
        if let Some(link) = &request.link {
            let _ = write!(text, "\n{}\n\n    {link}\n", language.forwarding_link(request.code.is_some()));
        }
        let _ = write!(text, "\n{}\n", language.forwarding_else(&confirmation.ticket));
        Self { subject: language.forwarding_subject(mailbox), text, kind: LetterKind::Notice, answer: Answer::Property }
    }

    /// To an author: a reader gets no copy, since his address is suspended.
    #[must_use]
    pub fn not_sent(
        language: Language,
        ticket: &TicketRef,
        subject: &str,
        to: &Mailbox,
        suspension: &Suspension,
    ) -> Self {
        let said = language.not_sent(ticket, &to.shown(), to.address.as_str(), suspension.since);
        Self {
            subject: language.failed_subject(subject),
            text: format!("{}\n{}\n{}\n", said.0, failure(language, &suspension.words, None), said.1),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To an admin: copies to a member are suspended. `reply`: what the last one failed with.
    #[must_use]
    pub fn suspended(language: Language, property: &str, member: &Mailbox, reply: &str) -> Self {
        let said = language.member_suspended(property, &member.shown(), member.address.as_str());
        Self {
            subject: language.member_suspended_subject(member.label()),
            text: format!("{}\n{}\n{}\n", said.0, failure(language, reply, None), said.1),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To an admin: a public address stands in From no longer. `forwarding`: which one does instead.
    #[must_use]
    pub fn public_taken_back(language: Language, property: &str, public: &str, forwarding: &str) -> Self {
        Self {
            subject: language.public_taken_back_subject(public),
            text: format!("{}\n", language.public_taken_back(property, public, forwarding)),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To the members of a ticket: what goes on by itself there is only kept from now on.
    #[must_use]
    pub fn quiet(language: Language, ticket: &TicketRef, subject: &str, writer: &Mailbox, reason: Reason) -> Self {
        Self {
            subject: language.quiet_subject(subject),
            text: format!("{}\n", language.quiet(ticket, &writer.shown(), reason)),
            kind: LetterKind::Notice,
            answer: Answer::Property,
        }
    }

    /// To a requester: his message has arrived. Repeats nothing of it. `own`: the property's text, in
    /// which `{ticket}` stands for the ticket's number; else there is one of ours.
    #[must_use]
    pub fn received(language: Language, ticket: &TicketRef, house: &str, own: Option<&str>) -> Self {
        let text = own.map(|text| text.replace("{ticket}", &ticket.to_string()));
        Self {
            subject: language.received_subject(ticket),
            text: text.unwrap_or_else(|| language.received(ticket, house)),
            kind: LetterKind::Response,
            answer: Answer::Ticket,
        }
    }
}

/// Why something failed, in the reader's language and in a mail server's; which `server`'s.
fn failure(language: Language, words: &str, server: Option<&str>) -> String {
    let details = match server {
        Some(server) => format!("{} ({server})", words.trim_end()),
        None => words.to_owned(),
    };
    format!("{}\n\n{}\n{}\n", language.why_not_delivered(words), language.details(), quoted(&details, "    "))
}

/// Each line behind a mark.
#[must_use]
pub fn quoted(text: &str, mark: &str) -> String {
    text.trim().lines().map(|line| format!("{mark}{line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
