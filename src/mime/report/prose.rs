//! Reports in prose: what qmail, Exim, Sendmail, Courier, Exchange, Domino, GroupWise, Gmail, Yahoo
//! and others write where RFC 3464 was not heard of, or was lost on the way.
//!
//! Read by evidence, not by who wrote it: a sentence that says that a message was not delivered, in
//! a mail that calls itself a report, and the addresses that it names with the words behind each.
//! Whether such a mail may be believed is not decided here.

use super::{Action, MOST_RECIPIENTS, Recipient, words_of};
use crate::desk::address::Address;
use crate::desk::reply_code;
use crate::mime::header::Field;
use crate::mime::parts::Part;
use crate::mime::text::Line;
use crate::mime::words;

/// Lines that are looked at: what a report has to say, it says at its beginning.
const MOST_LINES: usize = 400;
/// The most octets of a line that are looked at.
const LONGEST_LINE: usize = 2_000;
/// The most lines of one server's words.
const MOST_WORD_LINES: usize = 6;

/// How a report calls itself, in lower case: anywhere in its subject.
const SUBJECTS: [&str; 29] = [
    "undeliver",
    "non-deliverable",
    "nondeliverable",
    "not deliver",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery status notification",
    "delivery notification",
    "delivery delayed",
    "delivery problem",
    "delivery report",
    "failure notice",
    "failure delivery",
    "failed delivery",
    "could not be delivered",
    "mail failure",
    "mail failed",
    "mail system error",
    "returned mail",
    "returned to sender",
    "could not send message",
    "delayed",
    "mail delivery status",
    "message status",
    "non remis",
    "échec de la remise",
    "échec de remise",
    "unzustellbar",
];

/// What a subject alone says of the outcome.
const SUBJECT_SAYS: [(&str, Action); 2] =
    [("notification (failure)", Action::Failed), ("notification (delay)", Action::Delayed)];

/// Sentences that say that something was not delivered, in lower case and with single blanks.
const FAILED: [&str; 39] = [
    "permanent error",
    "permanent fatal errors",
    "failed permanently",
    "not able to deliver",
    "wasn't able to deliver",
    "unable to deliver",
    "error has occurred while attempting to deliver",
    "error occurred while trying to deliver",
    "error delivering your mail",
    "transcript of session follows",
    "had delivery problems",
    "had delivery errors",
    "incorrectly constructed",
    "user unknown",
    "unknown user",
    "could not be delivered",
    "couldn't be delivered",
    "cannot be delivered",
    "wasn't delivered to",
    "was not delivered to",
    "not been delivered to",
    "delivery to the following recipient",
    "delivery has failed",
    "delivery failed",
    "did not reach",
    "could not be reached",
    "undeliverable",
    "failed addresses follow",
    "following addresses failed",
    "address not found",
    "could not be sent to",
    "returned to sender",
    "sorry, your mail could not be",
    "n'a pas pu être remis",
    "n'a pas été remis",
    "échec de la remise",
    "n'a pas pu être transmis",
    "konnte nicht zugestellt werden",
    "fehler bei der nachrichtenzustellung",
];

/// Sentences that say that it is still tried.
const DELAYED: [&str; 19] = [
    "has not yet been delivered",
    "not been delivered yet",
    "has not been delivered to all",
    "delivery is delayed",
    "delivery has been delayed",
    "has been delayed",
    "is delayed",
    "will be retried",
    "will be attempted again",
    "will continue to be attempted",
    "will keep trying",
    "still trying",
    "still being retried",
    "do not need to resend",
    "warning message only",
    "temporary problem delivering",
    "delivery incomplete",
    "la remise est retardée",
    "de nouvelles tentatives",
];

/// Sentences that end whatever hope the others left.
const GIVEN_UP: [&str; 9] = [
    "permanent error",
    "permanent fatal errors",
    "failed permanently",
    "given up",
    "giving up",
    "gave up",
    "stopped trying",
    "too long in the queue",
    "in the queue too long",
];

/// How the line before a returned message begins, in lower case.
const RETURNED: [&str; 17] = [
    "--- below this line is",
    "--- enclosed is",
    "--- the header of the original",
    "--- undelivered message",
    "------ this is a copy of",
    "------ this is the copy of",
    "----- original message",
    "----- message header follows",
    "----- unsent message",
    "---- start of returned message",
    "original message follows",
    "original message headers",
    "the original message follows",
    "message headers follow",
    "----- undelivered message",
    "received: from ",
    "return-path: <",
];

/// Whom a report in prose names, if the mail is one. Nobody, if it names only names.
pub(super) fn read(root: &Part<'_>, lines: &[Line]) -> Option<Vec<Recipient>> {
    let subject = root.header.first("Subject").map(Field::text).unwrap_or_default();
    let subject = plain(&words::decode(&subject));
    let named = root.header.first("X-Failed-Recipients");
    // Asked first: nearly all mail ends here, and its text need not be read once more.
    if named.is_none() && !SUBJECTS.iter().any(|known| subject.contains(known)) {
        return None;
    }
    let notice: Vec<&str> = notice(lines).collect();
    // Google's notices are in the language of their reader, their subjects in English.
    let outcome = SUBJECT_SAYS.into_iter().find_map(|(word, action)| subject.contains(word).then_some(action));
    let text = notice.iter().map(|line| plain(line)).collect::<Vec<_>>().join(" ");
    let says = |sentences: &[&str]| sentences.iter().any(|sentence| text.contains(sentence));
    let action = match (says(&DELAYED), says(&FAILED), says(&GIVEN_UP)) {
        (true, _, false) => Action::Delayed,
        (_, true, _) | (_, _, true) => Action::Failed,
        (_, false, false) => outcome?,
    };
    let mut found = recipients(&notice, action);
    for address in named.map(Field::text).unwrap_or_default().split(',').take(MOST_RECIPIENTS) {
        let Ok(address) = address.trim().trim_matches(['<', '>']).parse::<Address>() else { continue };
        if !found.iter().any(|known| known.final_recipient.as_ref() == Some(&address)) {
            found.insert(0, recipient(address, action, &first_code(&notice)));
        }
    }
    found.truncate(MOST_RECIPIENTS);
    Some(found)
}

/// The text of a report that returns the message without a part of its own: from its header on.
pub(super) fn returned(lines: &[Line]) -> String {
    let rest: Vec<_> = lines.iter().map(|line| line.text.as_str()).skip_while(|line| !begins_returned(line)).collect();
    let header = rest.iter().skip_while(|line| !is_field(line)).take(200);
    header.fold(String::new(), |text, line| text + line + "\n")
}

/// What the report itself says, without the message that it returns.
fn notice(lines: &[Line]) -> impl Iterator<Item = &str> {
    let lines = lines.iter().take(MOST_LINES).map(|line| line.text.as_str());
    lines.take_while(|line| !begins_returned(line)).map(|line| &line[..line.floor_char_boundary(LONGEST_LINE)])
}

fn begins_returned(line: &str) -> bool {
    let start = line.trim_start().chars().take(40).flat_map(char::to_lowercase).collect::<String>();
    RETURNED.iter().any(|known| start.starts_with(known))
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| {
        (2..60).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// In lower case, typewriter's apostrophes, single blanks.
fn plain(text: &str) -> String {
    let text = text.replace(['’', '‘', '`'], "'").to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every address in the notice, with the words that follow it.
fn recipients(notice: &[&str], action: Action) -> Vec<Recipient> {
    let mut places: Vec<(usize, usize, Address)> = Vec::new();
    'lines: for (number, line) in notice.iter().enumerate() {
        for (end, address) in addresses(line) {
            if places.len() >= MOST_RECIPIENTS {
                break 'lines;
            }
            if !places.iter().any(|(.., known)| *known == address) {
                places.push((number, end, address));
            }
        }
    }
    let ends = places.iter().skip(1).map(|(line, ..)| *line).chain([notice.len()]).collect::<Vec<_>>();
    let words = places.iter().zip(ends).map(|((line, end, _), until)| said(notice, *line, *end, until));
    let words: Vec<_> = words.collect();
    places.into_iter().zip(words).map(|((.., address), words)| recipient(address, action, &words)).collect()
}

fn recipient(address: Address, action: Action, words: &str) -> Recipient {
    let status = reply_code::enhanced(words).map(|(class, subject, detail)| format!("{class}.{subject}.{detail}"));
    Recipient {
        final_recipient: Some(address),
        original_recipient: None,
        action,
        status: status.unwrap_or_default(),
        diagnostic: words_of(words),
    }
}

/// The addresses in a line, each with where it ends.
fn addresses(line: &str) -> Vec<(usize, Address)> {
    let is_end = |c: char| c.is_whitespace() || "<>()[]{}\"',;:|".contains(c);
    let mut found = Vec::new();
    let mut at = 0;
    for word in line.split_inclusive(is_end) {
        at += word.len();
        let word = word.trim_end_matches(is_end);
        if word.contains('@')
            && let Ok(address) = word.trim_matches(['.', '!', '*', '=']).parse()
        {
            found.push((at, address));
        }
    }
    found
}

/// What is said of the address that ends at `end` of a line: the paragraph with a code, else the
/// first words behind it, before the line `until` where the next address stands.
fn said(notice: &[&str], line: usize, end: usize, until: usize) -> String {
    let rest = notice[line].get(end..).unwrap_or_default();
    let rest = rest.trim_start_matches([' ', '\t', '>', ')', ']', '"', '\'', ':', ';', '.', ',', '-']);
    let behind: Vec<&str> =
        std::iter::once(rest).chain(notice[line + 1..until.max(line + 1)].iter().copied()).collect();
    let with_code = |text: &&str| reply_code::enhanced(text).is_some() || reply_code::basic(text).is_some();
    // What ends in a colon only leads to what is meant.
    let with_words =
        |text: &&str| text.chars().filter(|c| c.is_alphabetic()).count() > 5 && !text.trim_end().ends_with(':');
    let start = behind.iter().position(with_code).or_else(|| behind.iter().position(with_words));
    let Some(start) = start else { return String::new() };
    let paragraph = behind[start..].iter().take_while(|text| !text.trim().is_empty());
    paragraph.take(MOST_WORD_LINES).map(|text| text.trim()).collect::<Vec<_>>().join(" ")
}

/// The first line of a notice with a code in it.
fn first_code(notice: &[&str]) -> String {
    let with_code = |text: &&&str| reply_code::enhanced(text).is_some() || reply_code::basic(text).is_some();
    notice.iter().find(with_code).map(|text| text.trim().to_owned()).unwrap_or_default()
}
