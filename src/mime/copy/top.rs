//! The line on top of a copy: what a reader should know besides the text.

use std::fmt::Write as _;

use memchr::memmem;

use super::strip::strip_text;
use super::{MemberLine, Plan};
use crate::desk::address::Mailbox;
use crate::desk::language::Language;

/// Closes the line on top. In HTML too it is text: mail clients drop styles and borders where they
/// quote, and by the rule the line is found again (see `quoted.rs`).
pub const RULE: &str = "----------------------------------------";

/// What stands on top, line by line.
pub struct Top {
    /// Each with how it looks.
    lines: Vec<(String, Look)>,
    /// Where the first line leads to.
    link: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The ticket and its state.
    Head,
    Plain,
    Warning,
}

impl Top {
    /// What a plan has to say on top, if anything.
    #[must_use]
    pub fn of(plan: &Plan) -> Option<Self> {
        let language = plan.language;
        let mut lines = Vec::new();
        let mut link = None;
        if let Some(member) = &plan.for_member {
            link.clone_from(&member.link);
            lines.push((head(member, language), Look::Head));
            lines.extend(people(member, language));
        } else if !plan.others.is_empty() {
            lines.push((language.others(&labels(&plan.others)), Look::Plain));
        }
        if let Some(left_out) = &plan.left_out {
            lines.push((language.left_out().to_owned(), Look::Plain));
            for attachment in left_out {
                lines.push((format!("– {} ({})", attachment.name, language.size(attachment.size)), Look::Plain));
            }
        }
        for (line, _) in &mut lines {
            *line = clean(line);
        }
        (!lines.is_empty()).then_some(Self { lines, link })
    }

    /// For a text/plain part: the lines, a rule, a blank line; line ends are CRLF.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut out = String::new();
        for (line, _) in &self.lines {
            out.push_str(line);
            out.push_str("\r\n");
        }
        if let Some(link) = &self.link {
            out.push_str(link);
            out.push_str("\r\n");
        }
        out.push_str(RULE);
        out.push_str("\r\n\r\n");
        out
    }

    /// The same in ASCII alone, for text in a charset that nobody here knows.
    #[must_use]
    pub fn ascii(&self) -> String {
        let fold = |c: char| match c {
            '–' => '-',
            '·' => '|',
            '’' => '\'',
            '\u{a0}' => ' ',
            'à' | 'â' => 'a',
            'é' | 'è' | 'ê' => 'e',
            'ô' => 'o',
            'ç' => 'c',
            c if c.is_ascii() => c,
            _ => '?',
        };
        self.plain().chars().map(fold).collect()
    }

    /// HTML, in any charset that has ASCII in its place, with the line on top: before the first
    /// thing that shows, so that nothing in the mail can swallow it.
    #[must_use]
    pub fn onto_html(&self, html: &[u8]) -> Vec<u8> {
        let (before, behind) = html.split_at(first_content(html));
        [before, self.html().as_bytes(), behind].concat()
    }

    /// One block that brings its own looks, in ASCII.
    fn html(&self) -> String {
        let mut out = String::from(
            "<div style=\"display:block!important;visibility:visible!important;position:static!important;font:13px/1.5 sans-serif;color:#6b7280;margin:0 0 16px\">",
        );
        for (at, (line, look)) in self.lines.iter().enumerate() {
            if at > 0 {
                out.push_str("<br>\r\n");
            }
            let text = escaped(line);
            match (look, &self.link) {
                (Look::Head, Some(link)) => {
                    let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
                    let link = escaped(link);
                    let _ = write!(out, "<a href=\"{link}\" style=\"color:inherit\"><b>{name}</b></a> {rest}");
                }
                (Look::Head, None) => {
                    let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
                    let _ = write!(out, "<b>{name}</b> {rest}");
                }
                (Look::Plain, _) => out.push_str(&text),
                (Look::Warning, _) => {
                    let _ = write!(out, "<b style=\"color:#b45309\">{text}</b>");
                }
            }
        }
        let _ = write!(out, "<br>\r\n<span style=\"color:#d1d5db\">{RULE}</span></div>\r\n");
        out
    }
}

/// Where the content of an HTML page begins: behind `<body …>`, or where the first thing stands
/// that belongs to no head.
fn first_content(html: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += html[at..].len() - html[at..].trim_ascii_start().len();
        let rest = &html[at..];
        let length = if rest.starts_with(b"<!--") {
            memmem::find(rest, b"-->").map(|end| end + 3)
        } else if rest.starts_with(b"<!") || rest.starts_with(b"<?") {
            tag_length(rest)
        } else {
            let name: Vec<u8> = rest
                .iter()
                .skip(1)
                .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'/')
                .take(10)
                .map(u8::to_ascii_lowercase)
                .collect();
            match name.as_slice() {
                _ if !rest.starts_with(b"<") => None,
                b"body" => return at + tag_length(rest).unwrap_or(0),
                b"html" | b"head" | b"/head" | b"meta" | b"meta/" | b"link" | b"link/" | b"base" | b"base/" => {
                    tag_length(rest)
                }
                b"title" | b"style" | b"script" => {
                    let close = [b"</", name.as_slice()].concat();
                    let end = rest.windows(close.len()).position(|window| window.eq_ignore_ascii_case(&close));
                    end.and_then(|end| Some(end + tag_length(&rest[end..])?))
                }
                _ => None,
            }
        };
        match length {
            Some(length) => at += length,
            None => return at,
        }
    }
}

/// How long a tag is; a `>` within quotes does not end it.
fn tag_length(html: &[u8]) -> Option<usize> {
    let mut quote = None;
    let end = html.iter().position(|byte| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
        false
    });
    end.map(|end| end + 1)
}

/// The members' facts as header fields, for mail whose body can't be written to: words for programs,
/// and the warning for people.
#[must_use]
pub fn fields(member: &MemberLine, language: Language) -> Vec<(&'static str, String)> {
    let facts = &member.facts;
    let full = |list: &[Mailbox]| list.iter().map(Mailbox::shown).collect::<Vec<_>>().join(", ");
    let mut out = vec![
        ("Guichet-Ticket", member.reference.to_string()),
        ("Guichet-Requester", member.requester.shown()),
        ("Guichet-Status", facts.status.to_string()),
        ("Guichet-Priority", facts.priority.to_string()),
    ];
    out.extend(member.writer.iter().map(|writer| ("Guichet-From", writer.shown())));
    out.extend(facts.assignee.iter().map(|name| ("Guichet-Assignee", name.clone())));
    if !facts.tags.is_empty() {
        out.push(("Guichet-Tags", facts.tags.join(", ")));
    }
    if member.note {
        out.push(("Guichet-Scope", "note".to_owned()));
    }
    if let Some(warning) = member.warning {
        out.push(("Guichet-Warning", language.warning(warning).to_owned()));
    }
    if !facts.answered.is_empty() {
        out.push(("Guichet-Answer-To", full(&facts.answered)));
    }
    if !facts.proposed.is_empty() {
        out.push(("Guichet-Proposed", full(&facts.proposed)));
    }
    out.extend(member.link.iter().map(|link| ("Guichet-Link", link.clone())));
    for (_, value) in &mut out {
        *value = clean(value);
    }
    out
}

/// The ticket and its state, in one line.
fn head(member: &MemberLine, language: Language) -> String {
    let facts = &member.facts;
    let mut items = vec![member.reference.to_string(), language.status(facts.status).to_owned()];
    items.extend(language.priority(facts.priority).map(str::to_owned));
    items.push(language.assigned(facts.assignee.as_deref()));
    if !facts.tags.is_empty() {
        items.push(facts.tags.join(", "));
    }
    items.join(" · ")
}

/// Who wrote, what to beware of, who gets an answer.
fn people(member: &MemberLine, language: Language) -> Vec<(String, Look)> {
    let mut lines = Vec::new();
    let facts = &member.facts;
    match &member.writer {
        Some(writer) if writer.address == member.requester.address => {
            lines.push((language.from(&writer.shown()), Look::Plain));
        }
        Some(writer) => {
            let requester = language.requester(&member.requester.shown());
            lines.push((format!("{} · {requester}", language.from(&writer.shown())), Look::Plain));
        }
        None => lines.push((language.requester(&member.requester.shown()), Look::Plain)),
    }
    lines.extend(member.warning.map(|warning| (language.warning(warning).to_owned(), Look::Warning)));
    lines.extend(member.held.map(|entry| (language.waits(entry), Look::Warning)));
    if member.note {
        lines.push((language.note().to_owned(), Look::Plain));
    } else if !facts.answered.is_empty() {
        lines.push((language.answered(&labels(&facts.answered)), Look::Plain));
    }
    if !facts.proposed.is_empty() {
        let names: Vec<_> = facts.proposed.iter().map(Mailbox::shown).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        lines.push((language.proposed(&names), Look::Plain));
    }
    lines
}

fn labels(list: &[Mailbox]) -> Vec<&str> {
    list.iter().map(Mailbox::label).collect()
}

/// One line of text: no controls, no marks that turn the direction of writing, no token of ours,
/// and of a length that leaves room on the wire.
fn clean(line: &str) -> String {
    const LONGEST: usize = 600;
    let line: String = strip_text(line)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !super::is_bidi(*c))
        .collect();
    let line = line.trim();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_ascii() => out.push(c),
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_stands_before_the_first_thing_that_shows() {
        for (before, behind) in [
            ("", ""),
            ("", "Hello"),
            ("", "<p>Hello</p><body>"),
            (
                "<!DOCTYPE html>\r\n<html><head><meta x='>'><title><body></title></head>\r\n<BODY title=\"a>b\" >",
                "Hello",
            ),
            ("<html><head><style>p > a {}</style>", "<p>Hello</p></head><body>"),
            ("<!-- <body> --><html><!--[if mso]><xml/><![endif]--><body>", "x"),
            // What would swallow it does not.
            ("", "<!-- never closed <body>"),
            ("", "<style> never closed <body>"),
            ("", "<div style='display:none'><body>"),
            ("<html>", "<body never closed"),
            ("", "<"),
        ] {
            let html = format!("{before}{behind}");
            assert_eq!(first_content(html.as_bytes()), before.len(), "{html}");
        }
    }
}
