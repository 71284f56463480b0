//! What an answer to a question of the desk decides.
//!
//! The first word that its writer wrote, in a short line, and nothing else: whoever means yes writes
//! that. What goes on and on behind the word is a sentence that only begins with it, as vacation
//! notices do that do not say what they are (`No longer here. From Monday on please write to …`).

/// What the first word of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Yes,
    No,
    /// Yes, and from this address from now on.
    Always,
}

/// The words, in every language: a reader answers in his own, whatever the question's was.
const WORDS: [(&str, Decision); 6] = [
    ("yes", Decision::Yes),
    ("oui", Decision::Yes),
    ("no", Decision::No),
    ("non", Decision::No),
    ("always", Decision::Always),
    ("toujours", Decision::Always),
];

/// The most characters of the line that decides: shorter than what mail programs fold a paragraph to,
/// and longer than what people write who answer by a word.
const LONGEST: usize = 60;

impl Decision {
    /// Reads the new text of an answer: its first line that is neither empty nor a quotation has at
    /// most 60 characters and begins with the word, in any case, bare or in quotation marks, and
    /// behind it come a blank, an end of a sentence, or nothing. So `Yes, please` and
    /// `«\u{a0}oui\u{a0}»` count; `yes?`, `yes/no` and `yesterday` do not.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let own = |line: &&str| !line.is_empty() && !line.starts_with('>');
        let line = text.lines().map(|line| line.trim_matches(is_blank)).find(own)?;
        if line.chars().nth(LONGEST).is_some() {
            return None;
        }
        let line = line.trim_start_matches(|c: char| is_blank(c) || is_quote(c));
        let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let ends = rest.chars().next().is_none_or(|c| is_blank(c) || is_quote(c) || ".,;:!…)".contains(c));
        let word = word.to_lowercase();
        WORDS.iter().find(|(known, _)| ends && *known == word).map(|(_, decision)| *decision)
    }
}

/// A blank of any width, also of none.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// What people put round a word that they were told to write, or that they stress.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '„' | '«' | '»' | '‘' | '’' | '*' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_decides() {
        for (text, decision) in [
            ("yes", Some(Decision::Yes)),
            ("Yes, please.", Some(Decision::Yes)),
            ("YES!", Some(Decision::Yes)),
            ("yes…", Some(Decision::Yes)),
            ("Oui.", Some(Decision::Yes)),
            ("oui\u{a0}!", Some(Decision::Yes)),
            ("\n\u{a0}\u{feff}\n  oui merci", Some(Decision::Yes)),
            ("\u{200b}yes", Some(Decision::Yes)),
            ("“yes”", Some(Decision::Yes)),
            ("«\u{a0}oui\u{a0}»", Some(Decision::Yes)),
            ("*Yes*", Some(Decision::Yes)),
            ("> Reply with “yes” to send it, or with “no” to discard it.\n\nyes\n", Some(Decision::Yes)),
            ("no", Some(Decision::No)),
            ("Non, merci", Some(Decision::No)),
            ("No\n\nyes", Some(Decision::No)),
            ("always", Some(Decision::Always)),
            ("Toujours.", Some(Decision::Always)),
            ("", None),
            ("ok", None),
            ("yesterday", None),
            ("Yes?", None),
            ("yes/no", None),
            ("yes-man", None),
            ("non-fiction", None),
            ("nonsense", None),
            ("Alice, yes", None),
            ("I say yes", None),
            ("> yes", None),
            ("-- \nyes", None),
            ("ouï", None),
            ("Yes please, that was me, from my phone. Sorry about that ...", Some(Decision::Yes)),
            ("Yes please, that was me, from my phone. Sorry about that ....", None),
            ("Oui, c’est bien moi, merci de l’envoyer à Mme Lefèvre.\n\nBob", Some(Decision::Yes)),
            ("No longer at Acme. From Monday on please write to my colleague Jane Doe.", None),
            ("No longer at Acme. From Monday on please write to my colleague\nJane Doe instead.", None),
            ("Non disponible jusqu’au 3 août prochain. Pour toute urgence, veuillez\nappeler le standard.", None),
            ("\u{ff59}es", None),
        ] {
            assert_eq!(Decision::read(text), decision, "{text:?}");
        }
    }
}
