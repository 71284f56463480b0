//! The marks by which machines' mail is told from people's (RFC 3834 §5, RFC 2919, RFC 8098,
//! RFC 5546). Gathering them and judging them are apart, so that the judgement is one table.

use super::clean;
use super::header::Header;
use super::parts::Tree;
use crate::desk::entry::{Machine, Reason};

/// What was found, unjudged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub auto_submitted: Option<AutoSubmitted>,
    /// X-Autoreply, X-Autorespond, X-Auto-Reply-From and their kin, or `Precedence: auto_reply`.
    pub autoreply: bool,
    /// X-Auto-Response-Suppress with `OOF`, `AutoReply` or `All`: asks for no automatic answer, and says
    /// nothing about the writer.
    pub suppress: bool,
    /// `Precedence: bulk`, `list` or `junk`.
    pub bulk: bool,
    /// Any of List-Id, List-Post, List-Unsubscribe and so on (RFC 2369, RFC 2919).
    pub list: bool,
    /// A disposition notification (RFC 8098), or an Exchange read receipt.
    pub receipt: bool,
    /// The method of an invitation (RFC 5546 §1.4), in upper case.
    pub calendar: Option<String>,
}

/// The keyword of the field Auto-Submitted (RFC 3834 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoSubmitted {
    No,
    Replied,
    /// `auto-generated`, and what later standards add.
    Generated,
    /// `auto-notified` (RFC 5436 §2.7.1).
    Notified,
}

/// What the marks make of a message, and why; `None` is a person's mail. Silent wins over
/// talking. `null_reverse_path`: it came from `<>`, as reports do.
#[must_use]
pub fn machine(marks: &Marks, null_reverse_path: bool) -> Option<(Machine, Option<Reason>)> {
    use AutoSubmitted::{Generated, Notified, Replied};
    let method = marks.calendar.as_deref();
    let auto = marks.auto_submitted;
    let rules = [
        (marks.receipt, Machine::Silent, Some(Reason::Receipt)),
        (matches!(method, Some("REPLY" | "COUNTER" | "REFRESH")), Machine::Silent, Some(Reason::Calendar)),
        (auto == Some(Replied) || marks.autoreply, Machine::Silent, Some(Reason::AutoReply)),
        // Exchange calls its vacation notices generated, and sends them from `<>`.
        (null_reverse_path && matches!(auto, Some(Generated | Notified)), Machine::Silent, Some(Reason::AutoReply)),
        (null_reverse_path, Machine::Silent, Some(Reason::Automatic)),
        (matches!(auto, Some(Generated | Notified)), Machine::Talking, None),
        (marks.bulk || marks.list, Machine::Talking, None),
    ];
    rules.into_iter().find(|(applies, ..)| *applies).map(|(_, machine, reason)| (machine, reason))
}

/// The header's marks.
#[must_use]
pub fn of_header(header: &Header<'_>) -> Marks {
    let mut marks = Marks::default();
    for field in &header.fields {
        let name = field.name.to_ascii_lowercase();
        match name.as_str() {
            "auto-submitted" => {
                let found = auto_submitted(&field.text());
                // Two fields that disagree: what is not `no` counts.
                if marks.auto_submitted.is_none_or(|known| known == AutoSubmitted::No) {
                    marks.auto_submitted = Some(found);
                }
            }
            "precedence" | "x-precedence" => match field.text().to_ascii_lowercase().as_str() {
                "bulk" | "list" | "junk" => marks.bulk = true,
                "auto_reply" | "auto-reply" => marks.autoreply = true,
                _ => {}
            },
            "x-autoreply" | "x-autorespond" | "x-autoresponder" | "x-auto-reply-from" | "x-auto-response-id"
            | "x-autoreply-domain" | "x-autoreply-from" | "x-mail-autoreply" | "x-auto-reply" | "x-auto-response" => {
                let value = field.text();
                marks.autoreply |= !["no", "false", "0"].iter().any(|no| value.eq_ignore_ascii_case(no));
            }
            "x-auto-response-suppress" => {
                let wishes = ["oof", "autoreply", "all"];
                let text = field.text().to_ascii_lowercase();
                marks.suppress |= text.split([',', ' ', ';']).any(|wish| wishes.contains(&wish.trim()));
            }
            "list-id" | "list-post" | "list-unsubscribe" | "list-help" | "list-subscribe" | "list-owner"
            | "list-archive" | "mailing-list" => marks.list = true,
            _ => {}
        }
    }
    marks
}

fn auto_submitted(value: &str) -> AutoSubmitted {
    let keyword = value.split([';', ' ', '\t', '(']).next().unwrap_or_default().to_ascii_lowercase();
    match keyword.as_str() {
        "no" => AutoSubmitted::No,
        "auto-replied" | "auto-reply" => AutoSubmitted::Replied,
        "auto-notified" => AutoSubmitted::Notified,
        _ => AutoSubmitted::Generated,
    }
}

/// The parts' marks: receipts and invitations.
pub fn of_parts(tree: &Tree<'_>, marks: &mut Marks) {
    let Some(root) = tree.parts.first() else { return };
    let report_type = root.content_type.get("report-type").unwrap_or_default();
    marks.receipt = root.is("message/disposition-notification")
        || root.is("multipart/report")
            && (report_type.eq_ignore_ascii_case("disposition-notification")
                || root.children.iter().any(|child| tree.parts[*child].is("message/disposition-notification")));
    // Only where a client would act on it: not in attached messages.
    marks.calendar = visible(tree).find(|index| tree.parts[*index].is("text/calendar")).and_then(|index| {
        let part = &tree.parts[index];
        if let Some(method) = part.content_type.get("method") {
            return Some(clean::line(method, 20).to_ascii_uppercase());
        }
        let start = &part.body[..part.body.len().min(4096)];
        let text = String::from_utf8_lossy(&part.encoding.decode(start)).into_owned();
        text.lines().find_map(|line| {
            line.trim().strip_prefix("METHOD:").map(|method| clean::line(method, 20).to_ascii_uppercase())
        })
    });
}

/// The parts outside of embedded messages and attachments.
fn visible<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = usize> + 't {
    let mut waiting = vec![0];
    std::iter::from_fn(move || {
        loop {
            let index = waiting.pop()?;
            let part = tree.parts.get(index)?;
            if part.is("message/rfc822") {
                continue;
            }
            waiting.extend(part.children.iter().rev());
            if part.disposition.token != "attachment" {
                return Some(index);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(fields: &str, null: bool) -> Option<(Machine, Option<Reason>)> {
        let raw = format!("From: a@example.org\r\n{fields}\r\n\r\n");
        machine(&of_header(&Header::read(raw.as_bytes(), 100)), null)
    }

    #[test]
    fn who_is_a_machine() {
        let silent = |reason| Some((Machine::Silent, Some(reason)));
        let talking = Some((Machine::Talking, None));
        for (fields, null, expected) in [
            ("Subject: hello", false, None),
            ("Subject: Out of office", false, None),
            ("Auto-Submitted: no", false, None),
            ("X-Auto-Response-Suppress: All", false, None),
            ("Precedence: normal", false, None),
            ("X-Autoreply: no", false, None),
            ("Auto-Submitted: auto-replied", false, silent(Reason::AutoReply)),
            ("Auto-Submitted: Auto-Replied (vacation)", false, silent(Reason::AutoReply)),
            ("Auto-Submitted: auto-replied; owner-email=\"x\"", false, silent(Reason::AutoReply)),
            ("X-Autoreply: yes", false, silent(Reason::AutoReply)),
            ("X-Autorespond:", false, silent(Reason::AutoReply)),
            ("Precedence: auto_reply", false, silent(Reason::AutoReply)),
            ("Auto-Submitted: auto-replied\r\nPrecedence: bulk", false, silent(Reason::AutoReply)),
            ("Subject: x", true, silent(Reason::Automatic)),
            ("Auto-Submitted: auto-generated", true, silent(Reason::AutoReply)),
            ("Auto-Submitted: auto-generated", false, talking),
            ("Auto-Submitted: auto-notified", false, talking),
            ("Precedence: bulk", false, talking),
            ("Precedence: list", false, talking),
            ("List-Id: <x.example.org>", false, talking),
            ("Auto-Submitted: no\r\nAuto-Submitted: auto-replied", false, silent(Reason::AutoReply)),
        ] {
            assert_eq!(judge(fields, null), expected, "{fields}");
        }
        for (wishes, suppress) in [
            ("All", true),
            ("DR, RN, NRN, OOF, AutoReply", true),
            ("oof", true),
            ("DR,AutoReply", true),
            ("DR, RN, NRN", false),
            ("None", false),
        ] {
            let raw = format!("X-Auto-Response-Suppress: {wishes}\r\n\r\n");
            assert_eq!(of_header(&Header::read(raw.as_bytes(), 10)).suppress, suppress, "{wishes}");
        }
        for (method, expected) in [("REPLY", silent(Reason::Calendar)), ("REQUEST", None), ("CANCEL", None)] {
            let marks = Marks { calendar: Some(method.to_owned()), ..Marks::default() };
            assert_eq!(machine(&marks, false), expected, "{method}");
        }
    }
}
