//! What a mail says: the message as a whole, its new text, and reports.

use std::fmt::Debug;

use guichet::desk::entry::Attachment;
use guichet::mime::attachments::safe_name;
use guichet::mime::header::Header;
use guichet::mime::reply_text::{self as separation, Purpose};
use guichet::mime::report::{Action, Form, Report};
use guichet::mime::text::{Line, Mark, Text};
use guichet::mime::understand::{Limits, Understood, understand};
use guichet::mime::{clean, html_text, marks, parts, report as reports, text};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::options;

/// Any message is understood, twice the same, within its limits, and so that nothing in what is told
/// of it commands whoever is shown it; no From hides.
pub fn message(data: &[u8]) {
    let limits = Limits { text: 100_000, ..Limits::default() };
    let Ok(said) = understand(data, &limits) else { return };
    assert_eq!(understand(data, &limits).as_ref(), Ok(&said), "understood otherwise the second time");
    if let Some(fields) = from_fields(data) {
        assert_eq!(said.from_fields, fields, "From fields");
    }
    check(&said, &limits);
    [&said.from, &said.to, &said.cc].into_iter().for_each(can_be_stored);
    [&said.in_reply_to, &said.references].into_iter().for_each(can_be_stored);
    can_be_stored(&said.message_id);
    can_be_stored(&said.date);
    can_be_stored(&said.attachments);
    for null_reverse_path in [false, true] {
        let _ = marks::machine(&said.marks, null_reverse_path);
    }
}

/// The From fields of a message, found by looking at nothing else: lines up to the first empty one.
/// Where none is empty, nobody can say where the header ends.
fn from_fields(raw: &[u8]) -> Option<usize> {
    let lines: Vec<_> =
        raw.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    let end = lines[..lines.len() - 1].iter().position(|line| line.is_empty())?;
    Some(lines[..end].iter().filter(|line| is_from(line)).count())
}

fn is_from(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|octet| *octet == b':') else { return false };
    let blanks = line[..colon].iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    line[..colon - blanks].eq_ignore_ascii_case(b"from")
}

fn check(said: &Understood, limits: &Limits) {
    let people = [&said.from, &said.reply_to, &said.to, &said.cc];
    assert!(people.iter().all(|list| list.len() <= limits.mailboxes));
    assert!(said.references.len() <= limits.references + 1 && said.in_reply_to.len() <= 20);
    assert!(said.problems.is_sorted() && said.loop_headers.len() <= 20);
    is_line(&said.subject, Understood::LONGEST_SUBJECT);
    said.loop_headers.iter().for_each(|line| is_line(line, 500));
    people.into_iter().flatten().chain(&said.sender).for_each(|one| is_line(&one.name, 200));
    is_text(&said.text);
    said.attachments.iter().for_each(is_safe);
    if let Some(report) = &said.report {
        check_report(report);
    }
    if let Some(forwarded) = &said.forwarded {
        is_line(&forwarded.subject, Understood::LONGEST_SUBJECT);
        is_clean(&forwarded.text);
        is_clean(&forwarded.comment);
    }
}

/// Whatever the desk keeps of a mail it can read again.
fn can_be_stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(kept: &T) {
    let written = rmp_serde::to_vec(kept).expect("what was understood can be written");
    assert_eq!(rmp_serde::from_slice::<T>(&written).as_ref().ok(), Some(kept));
}

fn is_line(text: &str, most: usize) {
    assert!(text.len() <= most, "{} octets", text.len());
    assert_eq!(clean::line(text, most), text, "no clean line");
}

fn is_clean(text: &str) {
    assert_eq!(clean::lines(text), text, "no clean text");
}

fn is_text(text: &Text) {
    for text in [&text.new, &text.quoted, &text.signature] {
        is_clean(text);
    }
}

fn is_safe(attachment: &Attachment) {
    let name = &attachment.name;
    assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.') && name.len() <= 255, "{name:?}");
    assert_eq!(safe_name(name), *name, "a safe name is not safe");
    is_line(&attachment.content_type, 255);
}

/// Whatever a text is made of, each of its words ends up in what is new, quoted or signature; and
/// something is always new.
///
/// Options: the purpose (bits 0 and 1), plain or HTML (bit 2).
pub fn reply_text(data: &[u8]) {
    let ([ways], octets) = options(data);
    let text = String::from_utf8_lossy(octets);
    let purpose = [Purpose::New, Purpose::Answer, Purpose::Forward, Purpose::Answer][usize::from(ways & 3)];
    let lines: Vec<Line> = if ways & 4 == 0 {
        clean::lines(&text).split('\n').map(|line| Line { text: line.to_owned(), mark: Mark::None }).collect()
    } else {
        html_text::lines(&text)
    };
    assert!(lines.iter().all(|line| !line.text.contains('\n')));
    let (text, forwarded) = separation::separate(&lines, purpose);
    is_text(&text);
    assert!(forwarded.is_none() || purpose == Purpose::Forward);
    let all = separation::whole(&lines);
    assert_eq!(bare(&text.new).is_empty(), bare(&all).is_empty(), "of {all:?} nothing is new");
    let kept: Vec<_> = [&text.new, &text.quoted, &text.signature].into_iter().flat_map(|text| bare(text)).collect();
    for word in bare(&all) {
        assert!(kept.contains(&word), "{word:?} is in none of {text:?}");
    }
}

/// The words of a text without the marks of quotation in front of its lines.
fn bare(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.trim_start_matches(['>', ' ']).split_whitespace()).collect()
}

/// A report is read within bounds, and one in fields reads the same when it is written again.
pub fn report(data: &[u8]) {
    let Some(report) = read_report(data) else { return };
    check_report(&report);
    if report.form == Form::Prose {
        return;
    }
    assert_eq!(read_report(&written(&report)).as_ref(), Some(&report), "written again it says something else");
}

fn read_report(raw: &[u8]) -> Option<Report> {
    let limits = Limits::default();
    let tree = parts::read(raw, Header::read(raw, limits.fields), &limits);
    let lines = text::read(&tree, &limits, &mut Vec::new()).lines;
    reports::read(&tree, &lines)
}

fn check_report(report: &Report) {
    assert!(report.recipients.len() <= 100 && report.original_loops.len() <= 20);
    report.original_loops.iter().for_each(|line| is_line(line, 500));
    for recipient in &report.recipients {
        is_line(&recipient.diagnostic, 1_000);
        is_line(&recipient.status, 1_000);
    }
}

/// The report as RFC 3464 and RFC 6533 would have it.
fn written(report: &Report) -> Vec<u8> {
    let mut lines = vec![
        "Content-Type: multipart/report; boundary=b; report-type=delivery-status".to_owned(),
        "\r\n--b\r\nContent-Type: message/global-delivery-status\r\n".to_owned(),
        "Reporting-MTA: dns; mx.example".to_owned(),
    ];
    for recipient in &report.recipients {
        let action = match recipient.action {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        };
        lines.push(format!("\r\nAction: {action}"));
        lines.extend(recipient.original_recipient.iter().map(|address| format!("Original-Recipient: utf-8;{address}")));
        lines.extend(recipient.final_recipient.iter().map(|address| format!("Final-Recipient: utf-8;{address}")));
        lines.push(format!("Status: {}", recipient.status));
        lines.push(format!("Diagnostic-Code: smtp;{}", recipient.diagnostic.replace('&', "&amp;")));
    }
    lines.push("\r\n--b\r\nContent-Type: message/global-headers\r\n".to_owned());
    lines.extend(report.original_id.iter().map(|id| format!("Message-ID: {id}")));
    lines.extend(report.original_loops.iter().map(|value| format!("Guichet-Loop: {value}")));
    lines.extend(report.original_return_path.iter().map(|address| format!("Return-Path: <{address}>")));
    lines.push("\r\n--b--\r\n".to_owned());
    lines.join("\r\n").into_bytes()
}
