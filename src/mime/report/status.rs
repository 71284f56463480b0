//! Reports in fields (RFC 3464 §2, RFC 6533 §3).

use super::{Action, MOST_RECIPIENTS, Recipient};
use crate::desk::address::Address;
use crate::mime::clean;
use crate::mime::header::{Field, Header, line_end, trim_end};
use crate::mime::parts::Tree;

/// The recipients that a report names, if it is one in this form.
pub(super) fn read(tree: &Tree<'_>) -> Option<Vec<Recipient>> {
    let root = tree.parts.first()?;
    // Some gateways wrap the report in a mixed, some send its fields alone.
    let status = if root.is("multipart/report") || root.is("multipart/mixed") {
        let nested = root.children.first().and_then(|first| tree.parts.get(*first));
        let nested = nested.filter(|first| first.is("multipart/report")).into_iter().flat_map(|part| &part.children);
        let mut children = root.children.iter().chain(nested).filter_map(|child| tree.parts.get(*child));
        children.find(|part| part.is("message/delivery-status") || part.is("message/global-delivery-status"))?
    } else {
        Some(root).filter(|part| part.is("message/delivery-status"))?
    };
    let start = &status.body[..status.body.len().min(LONGEST)];
    Some(recipients(&status.encoding.decode(start)))
}

/// The most groups of fields that are looked at.
const MOST_GROUPS: usize = 1_000;
/// The most octets of fields that are looked at, as they are encoded.
const LONGEST: usize = 256 * 1024;

/// Groups of fields apart by empty lines; the first tells about the message.
fn recipients(octets: &[u8]) -> Vec<Recipient> {
    let mut found = Vec::new();
    let mut at = 0;
    for _ in 0..MOST_GROUPS {
        let start = at;
        // Up to the empty line, whatever is in it: each octet is looked at once.
        while at < octets.len() {
            let end = line_end(octets, at);
            let empty = trim_end(&octets[at..end]).is_empty();
            at = end;
            if empty {
                break;
            }
        }
        // With an end of its own: else a line that is no field would be taken for the start of a body.
        found.extend(recipient(&Header::read(&[&octets[start..at], b"\n\n"].concat(), 50)));
        if at >= octets.len() || found.len() >= MOST_RECIPIENTS {
            break;
        }
    }
    found
}

fn recipient(group: &Header<'_>) -> Option<Recipient> {
    let text = |name: &str| group.first(name).map(Field::text);
    let action = match text("Action")?.split_whitespace().next()?.to_ascii_lowercase().as_str() {
        // `expired` is SendGrid's.
        "failed" | "expired" => Action::Failed,
        "delayed" => Action::Delayed,
        "delivered" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => return None,
    };
    let status = clean::line(&text("Status").unwrap_or_default(), 100);
    let status = status.split([' ', '(']).next().unwrap_or_default();
    let diagnostic = text("Diagnostic-Code").unwrap_or_default();
    let diagnostic = match diagnostic.split_once(';') {
        // `smtp; 550 …`: what stands before it names the language of the rest.
        Some((kind, words)) if !kind.contains([' ', '&']) => words,
        _ => &diagnostic,
    };
    Some(Recipient {
        final_recipient: text("Final-Recipient").and_then(|value| typed_address(&value)),
        original_recipient: text("Original-Recipient").and_then(|value| typed_address(&value)),
        action,
        status: clean::line(status, 20),
        diagnostic: super::words_of(diagnostic),
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

        let unfolded =
            b"Reporting-MTA: dns; mx.example.org\n\nDiagnostic-Code: smtp; 550-first\n550 second\nAction: expired\n\
            Final-Recipient: rfc822; bob@example.org";
        let found = recipients(unfolded);
        assert_eq!((found.len(), found[0].action, found[0].diagnostic.as_str()), (1, Action::Failed, "550-first"));
    }
}
