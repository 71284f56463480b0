//! The marks by which machines' mail is told from people's (RFC 3834 §5, RFC 2919, RFC 8098,
//! RFC 5546, RFC 5965). Gathering them and judging them are apart, so that the judgement is one
//! table.

use super::clean;
use super::header::Header;
use super::parts::Tree;
use super::words;
use crate::desk::entry::{Machine, Reason};

/// What was found, unjudged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub auto_submitted: Option<AutoSubmitted>,
    /// X-Autoreply, X-Autorespond, X-Auto-Reply-From and their kin, or `Precedence: auto_reply`.
    pub autoreply: bool,
    /// The subject begins as the subjects of vacation notices do. People write such subjects too, so
    /// alone it says nothing.
    pub away: bool,
    /// X-Auto-Response-Suppress with `OOF`, `AutoReply` or `All`: asks for no automatic answer, and says
    /// nothing about the writer.
    pub suppress: bool,
    /// A rule of an Exchange mailbox sent or handed it on: a notice, or a customer's mail.
    pub inbox_rule: bool,
    /// `Precedence: bulk` or `junk`.
    pub bulk: bool,
    /// Any of List-Id, List-Post, List-Unsubscribe and so on (RFC 2369, RFC 2919), or
    /// `Precedence: list`.
    pub list: bool,
    /// A disposition notification (RFC 8098), or an Exchange read receipt.
    pub receipt: bool,
    /// A complaint about mail that somebody got, by his provider (RFC 5965).
    pub complaint: bool,
    /// Statistics about mail in general: DMARC (RFC 7489 §7.2), TLS (RFC 8460).
    pub aggregate: bool,
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
    let generated = matches!(auto, Some(Generated | Notified));
    // What a person's mail through a list or a group may bear too is left out.
    let hint = generated || !marks.list && (marks.suppress || marks.inbox_rule || marks.bulk);
    let rules = [
        (marks.receipt, Machine::Silent, Some(Reason::Receipt)),
        (matches!(method, Some("REPLY" | "COUNTER" | "REFRESH")), Machine::Silent, Some(Reason::Calendar)),
        (marks.complaint, Machine::Silent, Some(Reason::Complaint)),
        (marks.aggregate, Machine::Silent, Some(Reason::Statistics)),
        (auto == Some(Replied) || marks.autoreply, Machine::Silent, Some(Reason::AutoReply)),
        // Exchange calls its vacation notices generated, and sends them from `<>`.
        (null_reverse_path && generated, Machine::Silent, Some(Reason::AutoReply)),
        (marks.away && (hint || null_reverse_path), Machine::Silent, Some(Reason::AutoReply)),
        (null_reverse_path, Machine::Silent, Some(Reason::Automatic)),
        (generated, Machine::Talking, None),
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
            "precedence" | "x-precedence" | "preference" => match field.text().to_ascii_lowercase().as_str() {
                "bulk" | "junk" => marks.bulk = true,
                "list" => marks.list = true,
                "auto_reply" | "auto-reply" | "autoreply" => marks.autoreply = true,
                _ => {}
            },
            "x-autoreply"
            | "x-autorespond"
            | "x-autoresponder"
            | "x-auto-reply-from"
            | "x-auto-response-id"
            | "x-autoreply-domain"
            | "x-autoreply-from"
            | "x-mail-autoreply"
            | "x-auto-reply"
            | "x-auto-response"
            | "x-autoresponse"
            | "x-vacation"
            | "x-fc-machinegenerated" => {
                let value = field.text();
                marks.autoreply |= !["no", "false", "0"].iter().any(|no| value.eq_ignore_ascii_case(no));
            }
            "x-auto-response-suppress" => {
                let wishes = ["oof", "autoreply", "all"];
                let text = field.text().to_ascii_lowercase();
                marks.suppress |= text.split([',', ' ', ';']).any(|wish| wishes.contains(&wish.trim()));
            }
            // All that iCloud says: it sets no Auto-Submitted, and writes from the address of whom it answers for.
            "x-apple-action" => marks.autoreply |= field.text().eq_ignore_ascii_case("vacation"),
            // Kerio: `Reply`, and other words for what it hands on.
            "x-autogenerated" => marks.autoreply |= field.text().eq_ignore_ascii_case("reply"),
            // `9; Autoresponder`
            "x-post-messageclass" => marks.autoreply |= field.text().to_ascii_lowercase().contains("autoresponder"),
            // Where cPanel's programs deliver to, and no mailbox.
            "delivered-to" => marks.autoreply |= field.text().eq_ignore_ascii_case("autoresponder"),
            "subject" => marks.away |= begins_as_a_notice(&words::decode(&field.text())),
            "x-ms-exchange-inbox-rules-loop" => marks.inbox_rule = true,
            "content-class" => marks.receipt |= field.text().eq_ignore_ascii_case("urn:content-classes:mdn"),
            "tls-report-domain" => marks.aggregate = true,
            "list-id" | "list-post" | "list-unsubscribe" | "list-help" | "list-subscribe" | "list-owner"
            | "list-archive" | "mailing-list" => marks.list = true,
            _ => {}
        }
    }
    marks
}

/// How vacation notices call themselves, in lower case.
const NOTICES: [&str; 33] = [
    "auto:",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "automatic reply",
    "automatic response",
    "automated reply",
    "automated response",
    "out of office",
    "out-of-office",
    "out of the office",
    "vacation:",
    "vacation notice",
    "vacation reply",
    "on vacation",
    "away from",
    "yahoo! auto response",
    "réponse automatique",
    "reponse automatique",
    "message automatique",
    "absence du bureau",
    "absent du bureau",
    "absence:",
    "message d'absence",
    "notification d'absence",
    "automatische antwort",
    "abwesenheit",
    "respuesta automática",
    "risposta automatica",
    "automatisch antwoord",
];

fn begins_as_a_notice(subject: &str) -> bool {
    let subject = clean::line(subject, 200).to_lowercase().replace(['\u{a0}', '\u{202f}'], " ");
    let subject = subject.replace('’', "'").replace(" :", ":");
    NOTICES.iter().any(|notice| subject.trim_start().starts_with(notice))
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

/// The parts' marks: receipts, complaints, statistics and invitations.
pub fn of_parts(tree: &Tree<'_>, marks: &mut Marks) {
    let Some(root) = tree.parts.first() else { return };
    let report_type = root.content_type.get("report-type").unwrap_or_default();
    let reports = |kind: &str, part: &str| {
        root.is(part)
            || root.is("multipart/report")
                && (report_type.eq_ignore_ascii_case(kind)
                    || root.children.iter().any(|child| tree.parts[*child].is(part)))
    };
    marks.receipt |= reports("disposition-notification", "message/disposition-notification");
    marks.complaint = reports("feedback-report", "message/feedback-report");
    marks.aggregate |= reports("tlsrpt", "application/tlsrpt+gzip")
        || reports("tlsrpt", "application/tlsrpt+json")
        || has_dmarc_report(tree);
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

/// An attachment that is named as RFC 7489 §7.2.1.1 wants it: `receiver!domain!begin!end.xml.gz`.
fn has_dmarc_report(tree: &Tree<'_>) -> bool {
    tree.parts.iter().take(3).any(|part| {
        let archive = ["application/gzip", "application/zip", "application/x-gzip", "application/x-zip-compressed"];
        let name = part.disposition.get("filename").or_else(|| part.content_type.get("name")).unwrap_or_default();
        let name: Vec<_> = name.split('!').collect();
        let time = |text: &str| text.len() >= 10 && text.bytes().take(10).all(|b| b.is_ascii_digit());
        archive.iter().any(|kind| part.is(kind)) && name.len() >= 4 && time(name[2]) && time(name[3])
    })
}

/// The parts outside of embedded messages and attachments.
fn visible<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = usize> + 't {
    let mut waiting = vec![0];
    std::iter::from_fn(move || {
        loop {
            let index = waiting.pop()?;
            let part = tree.parts.get(index)?;
            if part.is("message/rfc822") || part.is("message/global") {
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
            ("Subject: Automatic reply: Help", false, None),
            ("Subject: Out of office\r\nList-Id: <x.example.org>\r\nPrecedence: list", false, talking),
            ("Subject: Out of office\r\nList-Id: <x.example.org>\r\nPrecedence: bulk", false, talking),
            ("Subject: Re: Automatic reply: Help\r\nX-Auto-Response-Suppress: All", false, None),
            ("Subject: Fwd: Out of office\r\nX-Auto-Response-Suppress: All", false, None),
            ("Subject: Out of office\r\nX-Auto-Response-Suppress: None", false, None),
            ("X-MS-Exchange-Inbox-Rules-Loop: a@example.org", false, None),
            ("X-Autogenerated: Forward", false, None),
            ("X-Apple-Action: SPAM", false, None),
            ("Delivered-To: a@example.org", false, None),
            ("Subject: Automatic reply: Help\r\nX-Auto-Response-Suppress: All", false, silent(Reason::AutoReply)),
            ("Subject: Out of Office AutoReply: Help\r\nPrecedence: bulk", false, silent(Reason::AutoReply)),
            (
                "Subject: =?utf-8?q?R=C3=A9ponse_automatique=C2=A0:_A?=\r\nX-MS-Exchange-Inbox-Rules-Loop: a@b",
                false,
                silent(Reason::AutoReply),
            ),
            ("Subject: AUTO: Bob is out\r\nAuto-Submitted: auto-generated", false, silent(Reason::AutoReply)),
            ("Subject: Absence du bureau", true, silent(Reason::AutoReply)),
            ("Preference: auto_reply", false, silent(Reason::AutoReply)),
            ("X-Autogenerated: Reply", false, silent(Reason::AutoReply)),
            ("X-Apple-Action: VACATION", false, silent(Reason::AutoReply)),
            ("X-POST-MessageClass: 9; Autoresponder", false, silent(Reason::AutoReply)),
            ("Delivered-To: Autoresponder", false, silent(Reason::AutoReply)),
            ("Content-Class: urn:content-classes:mdn", false, silent(Reason::Receipt)),
            ("TLS-Report-Domain: example.org", false, silent(Reason::Statistics)),
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
