//! Signatures: below `-- ` (RFC 3676 §4.3), where HTML says so, and what telephones add.

use super::super::text::Line;
use super::Kind;

/// How the line begins that telephones and webmails put last, in lower case.
const ADDED: [&str; 22] = [
    "sent from ",
    "sent with ",
    "sent via ",
    "get ",
    "envoyé d",
    "envoyé à partir d",
    "envoyé avec ",
    "envoyé via ",
    "obtenir ",
    "obtenez ",
    "télécharge",
    "von mein",
    "gesendet ",
    "outlook für ",
    "enviado d",
    "obtener ",
    "inviato da",
    "verstuurd ",
    "verzonden ",
    "skickat från ",
    "sendt fra ",
    "wysłane z ",
];

/// What such a line names besides: without one of these it is a sentence.
const PRODUCTS: [&str; 27] = [
    "iphone",
    "ipad",
    "android",
    "samsung",
    "galaxy",
    "huawei",
    "xiaomi",
    "pixel",
    "blackberry",
    "mobile",
    "mobil",
    "móvil",
    "smartphone",
    "téléphone",
    "telefon",
    "portable",
    "handy",
    "tablet",
    "outlook",
    "yahoo",
    "proton",
    "gmx",
    "web.de",
    "bluemail",
    "airmail",
    "mail for windows",
    "courrier pour windows",
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
    ADDED.iter().any(|start| lower.starts_with(start))
        && PRODUCTS.iter().any(|product| lower.contains(product))
        && !lower.trim_end().ends_with('?')
}
