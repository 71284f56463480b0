//! Signatures: below `-- ` (RFC 3676 §4.3), where HTML says so, and what telephones add.

use super::super::text::Line;
use super::Kind;

/// What telephones and webmails put last, in lower case.
const ADDED: [&str; 37] = [
    "sent from my ",
    "sent from mail for ",
    "sent from outlook",
    "sent from yahoo",
    "sent from proton",
    "sent from samsung",
    "sent from the ",
    "sent from a mobile",
    "sent with proton",
    "sent with airmail",
    "sent via ",
    "get outlook for ",
    "get bluemail for ",
    "envoyé de mon ",
    "envoyé de ma ",
    "envoyé depuis ",
    "envoyé à partir d",
    "envoyé avec ",
    "envoyé via ",
    "obtenir outlook pour ",
    "obtenez outlook pour ",
    "télécharger outlook pour ",
    "téléchargez outlook pour ",
    "von meinem ",
    "gesendet von ",
    "gesendet mit ",
    "outlook für ",
    "enviado desde ",
    "enviado do meu ",
    "enviado de mi ",
    "obtener outlook para ",
    "inviato da",
    "verstuurd vanaf ",
    "verzonden vanaf ",
    "skickat från min ",
    "sendt fra min ",
    "wysłane z ",
];

/// Longer than this is a sentence.
const LONGEST_ADDED: usize = 160;

/// Marks signatures among new lines, run by run: a quotation ends a run.
pub(super) fn mark(lines: &[Line], kinds: &mut [Kind]) {
    let mut start = 0;
    while start < kinds.len() {
        let length = kinds[start..].iter().take_while(|kind| is_text(**kind)).count();
        if length == 0 {
            start += 1;
            continue;
        }
        mark_run(&lines[start..start + length], &mut kinds[start..start + length]);
        start += length;
    }
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::New | Kind::Signature)
}

fn mark_run(lines: &[Line], kinds: &mut [Kind]) {
    // The first separator: below it may stand more of them, from lists and gateways.
    if let Some(at) = lines.iter().position(|line| line.text == "--" || line.text == "-- ") {
        kinds[at..].fill(Kind::Signature);
    }
    // The last lines with a word, as long as they are what a telephone adds.
    for at in (0..lines.len()).rev() {
        let text = lines[at].text.trim();
        if text.is_empty() || kinds[at] == Kind::Signature {
            continue;
        }
        if !is_added(text) {
            break;
        }
        kinds[at] = Kind::Signature;
    }
}

fn is_added(text: &str) -> bool {
    if text.len() > LONGEST_ADDED {
        return false;
    }
    let lower = text.trim_start_matches(['*', '_', '[', '(', '<', ' ']).to_lowercase();
    ADDED.iter().any(|start| lower.starts_with(start)) && !lower.trim_end().ends_with('?')
}
