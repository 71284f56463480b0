//! The lines by which mail clients introduce what they quote or hand on.
//!
//! Tables by language; a pattern alone is not believed: it needs a date, an address or quoted
//! lines behind it, so that prose which ends in "wrote:" stays prose.

use super::super::text::{Line, Mark};
use super::Purpose;

/// What begins at a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// So many lines that introduce quoted ones.
    Attribution(usize),
    /// From here on all is quotation.
    ToTheEnd,
    /// From here on stands a mail that is handed on.
    Forward,
}

/// How attributions begin and what verb they have, by language. All in lower case.
const ATTRIBUTIONS: [(&str, &[&str]); 14] = [
    ("on ", &["wrote", "writes"]),
    ("le ", &["a écrit", "écrit", "a ecrit"]),
    ("am ", &["schrieb", "schrieb:"]),
    ("el ", &["escribió", "ha escrito"]),
    ("il ", &["ha scritto", "scrive"]),
    ("op ", &["schreef", "heeft"]),
    ("em ", &["escreveu"]),
    ("a ", &["escreveu"]),
    ("den ", &["skrev"]),
    ("dne ", &["napsal"]),
    ("w dniu ", &["napisał", "pisze"]),
    ("dnia ", &["napisał", "pisze"]),
    ("pe ", &["a scris"]),
    ("vào ", &["đã viết"]),
];

/// Words between dashes above an answered message.
const ANSWERED: [&str; 15] = [
    "original message",
    "original appointment",
    "message d'origine",
    "message d’origine",
    "message original",
    "message initial",
    "mail original",
    "ursprüngliche nachricht",
    "originalnachricht",
    "urspruengliche nachricht",
    "mensaje original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "mensagem original",
    "ursprungligt meddelande",
];

/// Words between dashes above a message that is handed on.
const HANDED_ON: [&str; 11] = [
    "forwarded message",
    "message transféré",
    "message transfere",
    "message réexpédié",
    "courriel transféré",
    "weitergeleitete nachricht",
    "mensaje reenviado",
    "messaggio inoltrato",
    "doorgestuurd bericht",
    "mensagem encaminhada",
    "vidarebefordrat meddelande",
];

/// The same, as Apple Mail writes it, without dashes.
const HANDED_ON_PLAIN: [&str; 9] = [
    "begin forwarded message:",
    "début du message réexpédié",
    "début du message transféré",
    "début de message transféré",
    "anfang der weitergeleiteten nachricht:",
    "inicio del mensaje reenviado:",
    "inizio messaggio inoltrato:",
    "begin doorgestuurd bericht:",
    "início da mensagem encaminhada:",
];

/// The labels of a header that stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    From,
    Sent,
    To,
    Cc,
    Subject,
}

const LABELS: [(Label, &[&str]); 5] = [
    (Label::From, &["from", "de", "von", "da", "van", "från", "fra", "od", "expéditeur"]),
    (
        Label::Sent,
        &[
            "sent",
            "date",
            "envoyé",
            "envoyé le",
            "gesendet",
            "datum",
            "enviado",
            "enviado el",
            "enviada em",
            "inviato",
            "data",
            "fecha",
            "verzonden",
            "skickat",
            "sendt",
        ],
    ),
    (Label::To, &["to", "à", "a", "an", "para", "aan", "till", "til", "pour", "destinataire"]),
    (Label::Cc, &["cc", "kopie", "copie", "copie à", "cópia", "copia"]),
    (
        Label::Subject,
        &["subject", "objet", "betreff", "asunto", "oggetto", "onderwerp", "assunto", "ämne", "emne", "sujet"],
    ),
];

/// The most lines over which an attribution is wrapped.
const LONGEST_ATTRIBUTION: usize = 5;
/// How far the labels of a header may lie apart, in lines.
const LONGEST_HEADER: usize = 12;

/// What begins at a line that is not quoted.
pub(super) fn at(lines: &[Line], at: usize, purpose: Purpose) -> Option<Head> {
    let line = lines.get(at)?;
    let text = line.text.trim();
    if text.is_empty() && line.mark != Mark::QuoteFrom {
        return None;
    }
    let lower = text.to_lowercase();
    if is_forward(&lower) {
        return Some(Head::Forward);
    }
    if line.mark == Mark::QuoteFrom || is_separator(&lower) || purpose != Purpose::New && is_header(lines, at) {
        return Some(Head::ToTheEnd);
    }
    if line.mark == Mark::Attribution {
        return Some(Head::Attribution(1));
    }
    attribution(lines, at)
}

pub(super) fn is_forward(lower: &str) -> bool {
    let dashed = lower.starts_with("--").then(|| undash(lower));
    // Mutt adds by whom it is.
    dashed.is_some_and(|words| HANDED_ON.contains(&words) || words.starts_with("forwarded message from "))
        || glued(lower).is_some()
        || HANDED_ON_PLAIN.iter().any(|words| {
            lower.strip_prefix(words).is_some_and(|rest| rest.trim_matches([' ', ':', '\u{a0}', '\u{202f}']).is_empty())
        })
}

/// `-----Original Message-----` and kin.
pub(super) fn is_separator(lower: &str) -> bool {
    lower.starts_with("--") && ANSWERED.contains(&undash(lower))
}

/// The header that Yahoo writes into the line that announces it: `----- Forwarded Message ----- From:
/// Jane <jane@example.com>To: …Sent: …Subject: …`, without anything between a value and the next label.
/// A line for each.
pub(super) fn glued(line: &str) -> Option<Vec<String>> {
    let (words, mut rest) = line.trim().strip_prefix("-----")?.split_once("-----")?;
    if !HANDED_ON.contains(&undash(&words.to_lowercase())) {
        return None;
    }
    rest = rest.trim();
    let mut lines = Vec::new();
    for next in ["to:", "cc:", "sent:", "subject:"] {
        // Letters keep their length: these are of ASCII.
        if let Some(at) = rest.to_ascii_lowercase().find(next) {
            lines.push(rest[..at].to_owned());
            rest = &rest[at..];
        }
    }
    lines.push(rest.to_owned());
    (label(lines.first()?)?.0 == Label::From && lines.len() > 2).then_some(lines)
}

/// `----- End forwarded message -----`
pub(super) fn is_forwards_end(lower: &str) -> bool {
    lower.starts_with("--") && undash(lower) == "end forwarded message"
}

fn undash(lower: &str) -> &str {
    lower.trim_matches(['-', ' '])
}

/// A line `Label: value`, with the stars that plain text gets for bold.
pub(super) fn label(text: &str) -> Option<(Label, &str)> {
    let text = text.trim_start_matches([' ', '*']);
    let (name, value) = text.split_once(':')?;
    if name.len() > 30 {
        return None;
    }
    let name = name.trim_matches([' ', '*', '\u{a0}', '\u{202f}']).to_lowercase();
    let label = LABELS.iter().find(|(_, names)| names.contains(&name.as_str()))?.0;
    Some((label, value.trim_matches([' ', '*', '\u{a0}', '\u{202f}'])))
}

/// A header begins here: Outlook's way to quote, and that of French webmails.
fn is_header(lines: &[Line], at: usize) -> bool {
    let Some((first, value)) = lines.get(at).and_then(|line| label(&line.text)) else { return false };
    if !matches!(first, Label::From | Label::Sent) || value.is_empty() {
        return false;
    }
    let mut found = Vec::new();
    for line in lines[at..].iter().take(LONGEST_HEADER) {
        match label(&line.text) {
            Some((label, _)) => found.push(label),
            // A long list of recipients is wrapped.
            None if line.text.starts_with([' ', '\t']) || line.text.trim().is_empty() => {}
            None if found.last().is_some_and(|last| matches!(last, Label::To | Label::Cc)) => {}
            None => break,
        }
    }
    found.contains(&Label::From)
        && found.contains(&Label::Subject)
        && (found.contains(&Label::Sent) || found.contains(&Label::To))
}

/// `On … wrote:`, over up to five lines.
fn attribution(lines: &[Line], at: usize) -> Option<Head> {
    let mut joined = String::new();
    for length in 1..=LONGEST_ATTRIBUTION {
        let text = lines.get(at + length - 1)?.text.trim();
        if text.is_empty() || text.starts_with('>') || joined.len() > 500 {
            return None;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(&text.to_lowercase());
        let ends = joined.ends_with(':') || joined.ends_with("wrote");
        if length == 1 && !may_begin(&joined) {
            return None;
        }
        if ends {
            return judge(&joined, lines, at + length)
                .map(|to_the_end| if to_the_end { Head::ToTheEnd } else { Head::Attribution(length) });
        }
    }
    None
}

/// Whether a first line can be that of an attribution, so that other lines cost nothing more.
fn may_begin(lower: &str) -> bool {
    ATTRIBUTIONS.iter().any(|(start, _)| lower.starts_with(start))
        || lower.starts_with(|c: char| c.is_ascii_digit())
        || (lower.ends_with(':') && ATTRIBUTIONS.iter().any(|(_, verbs)| verbs.iter().any(|verb| lower.contains(verb))))
}

/// Whether a text is an attribution, by what it says and what follows it; and if so, whether all
/// that follows is the quotation.
fn judge(joined: &str, lines: &[Line], next: usize) -> Option<bool> {
    let quoted_next =
        lines[next..].iter().find(|line| !line.text.trim().is_empty()).is_some_and(|line| line.text.starts_with('>'));
    let body = joined.trim_end_matches([':', ' ', '\u{a0}', '\u{202f}']);
    let known = ATTRIBUTIONS.iter().any(|(start, verbs)| {
        joined.starts_with(start) && verbs.iter().any(|verb| body.ends_with(verb) || holds_word(body, verb))
    });
    let verb = ATTRIBUTIONS.iter().any(|(_, verbs)| verbs.iter().any(|verb| body.ends_with(verb)));
    // `2026-11-20 10:00 GMT+01:00 Acme <support@acme.example>:`
    let dated = joined.starts_with(|c: char| c.is_ascii_digit()) && (body.ends_with('>') || verb);
    let has_digit = body.bytes().any(|b| b.is_ascii_digit());
    if quoted_next {
        return (known || verb || dated).then_some(false);
    }
    let nothing_follows = lines[next..].iter().all(|line| line.text.trim().is_empty());
    let certain = has_digit && (body.contains('@') || body.contains(':') || body.matches(',').count() >= 1);
    ((known || dated) && certain && !nothing_follows).then_some(true)
}

fn holds_word(text: &str, word: &str) -> bool {
    text.split(|c: char| c.is_whitespace() || c == ',').any(|found| found == word)
}
