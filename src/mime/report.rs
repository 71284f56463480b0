//! Delivery-status reports (RFC 3464, RFC 6533): who did not get what, and why.
//!
//! Only reports in that form. [`read`] is the one place to add the forms that some servers use
//! instead.

use super::header::{Field, Header};
use super::parts::Tree;
use super::{clean, ids, words};
use crate::desk::address::Address;
use crate::desk::message_id::MessageId;

/// A report about a message that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub recipients: Vec<Recipient>,
    /// The identifiers in the returned message: its Message-ID.
    pub original_id: Option<MessageId>,
    /// Its loop headers of ours, unjudged.
    pub original_loops: Vec<String>,
    /// Its reverse-path, where the report says so (Return-Path of the returned header).
    pub original_return_path: Option<Address>,
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

/// No honest report of ours concerns more: each copy has one recipient.
const MOST_RECIPIENTS: usize = 100;

/// The message's report, if it is one.
#[must_use]
pub fn read(tree: &Tree<'_>) -> Option<Report> {
    let root = tree.parts.first()?;
    // Some gateways wrap the report in a mixed.
    let report = if root.is("multipart/report") {
        root
    } else {
        let wrapped = root.is("multipart/mixed").then(|| root.children.first()).flatten()?;
        tree.parts.get(*wrapped).filter(|part| part.is("multipart/report"))?
    };
    let children: Vec<_> = report.children.iter().filter_map(|child| tree.parts.get(*child)).collect();
    let status =
        children.iter().find(|part| part.is("message/delivery-status") || part.is("message/global-delivery-status"))?;
    let mut found = Report { recipients: recipients(&status.encoding.decode(status.body)), ..Report::default() };
    let original = children.iter().find(|part| {
        ["message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers"]
            .iter()
            .any(|kind| part.is(kind))
    });
    if let Some(part) = original {
        let octets = part.encoding.decode(part.body);
        let header = Header::of_part(&octets, 200);
        found.original_id = header.first("Message-ID").and_then(|field| ids::all(&field.text()).into_iter().next());
        found.original_loops =
            header.all("Guichet-Loop").take(20).map(|field| clean::line(&field.text(), 500)).collect();
        found.original_return_path =
            header.first("Return-Path").and_then(|field| field.text().trim_matches(['<', '>', ' ']).parse().ok());
    }
    Some(found)
}

/// Groups of fields apart by empty lines; the first tells about the message.
fn recipients(octets: &[u8]) -> Vec<Recipient> {
    let mut found = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() && found.len() < MOST_RECIPIENTS {
        let group = Header::read(rest, 50);
        found.extend(recipient(&group));
        // At least one line is consumed: an empty one is where the next group starts.
        let next = group.body_at.max(1).min(rest.len());
        rest = &rest[next..];
    }
    found
}

fn recipient(group: &Header<'_>) -> Option<Recipient> {
    let text = |name: &str| group.first(name).map(Field::text);
    let action = match text("Action")?.split_whitespace().next()?.to_ascii_lowercase().as_str() {
        "failed" => Action::Failed,
        "delayed" => Action::Delayed,
        "delivered" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => return None,
    };
    let status = clean::line(&text("Status").unwrap_or_default(), 100);
    let status = status.split([' ', '(']).next().unwrap_or_default();
    let diagnostic = text("Diagnostic-Code").unwrap_or_default();
    let diagnostic = diagnostic.split_once(';').map_or(diagnostic.as_str(), |(_, words)| words);
    Some(Recipient {
        final_recipient: text("Final-Recipient").and_then(|value| typed_address(&value)),
        original_recipient: text("Original-Recipient").and_then(|value| typed_address(&value)),
        action,
        status: clean::line(status, 20),
        diagnostic: clean::line(&words::decode(diagnostic), 1_000),
    })
}

/// `rfc822;bob@example.org`, with what servers make of it.
fn typed_address(value: &str) -> Option<Address> {
    let address = value.split_once(';').map_or(value, |(_, address)| address);
    address.trim().trim_matches(['<', '>', '"']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_of_a_report() {
        let octets = b"Reporting-MTA: dns; mx.example.org\r\nArrival-Date: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\n\
            Final-Recipient: rfc822; bob@example.org\r\nOriginal-Recipient: rfc822;b@example.org\r\nAction: failed\r\n\
            Status: 5.1.1 (bad)\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n  <bob@example.org> unknown\r\n\r\n\r\n\
            Final-Recipient: rfc822; eve@example.org\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\nAction: maybe\r\n";
        let found = recipients(octets);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].final_recipient.as_ref().unwrap().as_str(), "bob@example.org");
        assert_eq!(found[0].original_recipient.as_ref().unwrap().as_str(), "b@example.org");
        assert_eq!((found[0].action, found[0].status.as_str()), (Action::Failed, "5.1.1"));
        assert_eq!(found[0].diagnostic, "550 5.1.1 <bob@example.org> unknown");
        assert_eq!(found[1].action, Action::Delayed);
    }
}
