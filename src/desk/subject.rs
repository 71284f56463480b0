//! Subjects: what a conversation is called once the `Re:` of every language is off (RFC 5256
//! §2.1), and the ticket that a subject names.

/// What mail clients put before the subject of an answer, in lower case.
const ANSWER: [&str; 16] =
    ["re", "aw", "antw", "sv", "rif", "ref", "réf", "rép", "rep", "vs", "odp", "ynt", "r", "res", "回复", "答复"];
/// The same for a mail that is handed on.
const FORWARD: [&str; 12] = ["fwd", "fw", "tr", "wg", "rv", "i", "enc", "vb", "vl", "pd", "转发", "doorst"];

/// The subject without the prefixes of answers and forwards, tags of lists and gateways
/// (`[…]`), and the trailing `(fwd)`; blanks collapsed. Two subjects of one conversation are equal
/// in it without regard to case (RFC 5256 §2.1).
#[must_use]
pub fn canonical_subject(subject: &str) -> String {
    let collapsed = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = collapsed.as_str();
    loop {
        let before = text;
        text = text.trim();
        if let Some(start) = text.len().checked_sub(5)
            && text.get(start..).is_some_and(|end| end.eq_ignore_ascii_case("(fwd)"))
        {
            text = &text[..start];
        }
        if let Some((_, rest)) = prefix(text) {
            text = rest;
        }
        // A tag goes only if something stands after it. What has brackets within it is none.
        if let Some((tag, rest)) = text.strip_prefix('[').and_then(|inner| inner.split_once(']'))
            && !tag.contains('[')
            && !rest.trim().is_empty()
        {
            text = rest;
        }
        if let Some(inner) =
            text.get(..5).filter(|start| start.eq_ignore_ascii_case("[fwd:")).and_then(|_| text[5..].strip_suffix(']'))
        {
            text = inner;
        }
        if text == before {
            return text.to_owned();
        }
    }
}

/// Whether the outermost prefix says that the mail is handed on.
#[must_use]
pub fn is_forward(subject: &str) -> bool {
    let subject = subject.trim();
    let tagged = subject.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("[fwd:"));
    tagged || prefix(subject).is_some_and(|(forward, _)| forward)
}

/// Whether the outermost prefix says that the mail answers another.
#[must_use]
pub fn is_answer(subject: &str) -> bool {
    prefix(subject.trim()).is_some_and(|(forward, _)| !forward)
}

/// The number of the ticket `slug-number` that a subject names, apart from other words: for
/// `acme`, `[acme-1042]` but neither `xacme-1042` nor `acme-1042b`. The first one counts.
#[must_use]
pub fn ticket_ref_in(subject: &str, slug: &str) -> Option<u64> {
    ticket_refs_in(subject, slug, 1).into_iter().next()
}

/// The same for every ticket that a text names, at most `most`.
#[must_use]
pub fn ticket_refs_in(text: &str, slug: &str, most: usize) -> Vec<u64> {
    if slug.is_empty() {
        return Vec::new();
    }
    let text = text.to_ascii_lowercase();
    let name = format!("{}-", slug.to_ascii_lowercase());
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let numbers = text.match_indices(&name).filter_map(|(at, found)| {
        let rest = &text[at + found.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let bounded = !text[..at].ends_with(word) && !rest[end..].starts_with(word);
        bounded.then(|| rest[..end].parse().ok()).flatten()
    });
    let mut found = Vec::new();
    for number in numbers {
        if found.len() == most {
            break;
        }
        if !found.contains(&number) {
            found.push(number);
        }
    }
    found
}

/// `Re:`, `RE[2]:`, `Re (3) :`, `TR :` and so on: whether it forwards, and what follows.
fn prefix(text: &str) -> Option<(bool, &str)> {
    let (head, rest) = text.split_once([':', '：'])?;
    let head = head.trim_end();
    // A count: `Re[2]`, `Re^2`, `Re(2)`, `Re2` is none of these and no prefix.
    let name = head
        .strip_suffix([']', ')'])
        .and_then(|head| head.trim_end_matches(|c: char| c.is_ascii_digit()).strip_suffix(['[', '(']))
        .unwrap_or(head)
        .trim_end()
        .to_lowercase();
    let rest = rest.trim_start();
    if FORWARD.contains(&name.as_str()) {
        Some((true, rest))
    } else if ANSWER.contains(&name.as_str()) {
        Some((false, rest))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_conversation_is_called() {
        for (subject, canonical, forward) in [
            ("Printer", "Printer", false),
            ("Re: Printer", "Printer", false),
            ("RE: Re : re: Printer", "Printer", false),
            ("Fwd: Printer", "Printer", true),
            ("TR: Imprimante", "Imprimante", true),
            ("TR : RE : Imprimante", "Imprimante", true),
            ("WG: AW: Drucker", "Drucker", true),
            ("AW: Drucker", "Drucker", false),
            ("SV: Skrivare", "Skrivare", false),
            ("Rif: Stampante", "Stampante", false),
            ("RÉF : Imprimante", "Imprimante", false),
            ("Re[2]: Printer", "Printer", false),
            ("[acme] Re: Printer", "Printer", false),
            ("Re: [acme] [list] Printer", "Printer", false),
            ("Printer (fwd)", "Printer", false),
            ("[Fwd: Printer]", "Printer", true),
            ("Re: [Fwd: [Fwd: Re: [Fwd: Printer]]]", "Printer", false),
            ("[Fwd: Printer [floor 2] burns]", "Printer [floor 2] burns", true),
            ("[a [b] c] Printer", "[a [b] c] Printer", false),
            ("[urgent]", "[urgent]", false),
            ("Re:", "", false),
            ("Meeting: at ten", "Meeting: at ten", false),
            ("  a \t b ", "a b", false),
            ("", "", false),
        ] {
            assert_eq!(canonical_subject(subject), canonical, "{subject}");
            assert_eq!(is_forward(subject), forward, "{subject}");
            assert!(!(forward && is_answer(subject)), "{subject}");
        }
    }

    #[test]
    fn the_outermost_prefix_says_what_a_mail_is_for() {
        for (subject, answer) in [
            ("Re: x", true),
            ("AW: x", true),
            ("RE: Fwd: x", true),
            ("Fwd: Re: x", false),
            ("x", false),
            ("Note: x", false),
        ] {
            assert_eq!(is_answer(subject), answer, "{subject}");
        }
    }

    #[test]
    fn the_ticket_that_a_subject_names() {
        for (subject, number) in [
            ("Re: [acme-1042] Printer", Some(1042)),
            ("acme-1042", Some(1042)),
            ("ACME-7: hello", Some(7)),
            ("about acme-1 and acme-2", Some(1)),
            ("xacme-1042", None),
            ("my-acme-1042", None),
            ("acme-1042b", None),
            ("acme-1042-3", None),
            ("acme-", None),
            ("acme-99999999999999999999999", None),
            ("other-1042", None),
        ] {
            assert_eq!(ticket_ref_in(subject, "acme"), number, "{subject}");
        }
        assert_eq!(ticket_ref_in("élise acme-3", "acme"), Some(3));
    }
}
