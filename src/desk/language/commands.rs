//! The words of commands by mail, and what the desk answers to them. Members write them in either
//! language, whatever the property's own is.

use jiff::civil::Weekday;

use super::Language;
use crate::desk::command::{Allowed, Joins, Verb};
use crate::desk::ticket::{Priority, TicketRef};

/// How each command is called: in English, in French, and by what other words, those
/// [folded](fold).
const NAMES: [(Verb, &str, &str, &[&str]); 19] = [
    (Verb::Close, "close", "fermer", &["closed", "ferme", "fermee", "clore", "clos", "cloturer"]),
    (Verb::Open, "open", "ouvrir", &["reopen", "rouvrir", "reouvrir", "ouvert"]),
    (Verb::Pending, "pending", "attente", &["en-attente"]),
    (Verb::Snooze, "snooze", "reporter", &["differer", "plus-tard", "rappeler"]),
    (Verb::Assign, "assign", "assigner", &["attribuer", "affecter"]),
    (Verb::Follow, "follow", "suivre", &[]),
    (Verb::Unfollow, "unfollow", "ne-plus-suivre", &[]),
    (Verb::Tag, "tag", "étiquette", &["etiqueter", "tags", "etiquettes"]),
    (Verb::Untag, "untag", "sans-étiquette", &["desetiqueter"]),
    (Verb::Priority, "priority", "priorité", &[]),
    (Verb::Note, "note", "note", &["internal", "interne"]),
    (Verb::Cc, "cc", "copie", &[]),
    (Verb::Uncc, "uncc", "sans-copie", &[]),
    (Verb::Accept, "accept", "accepter", &[]),
    (Verb::Reject, "reject", "rejeter", &["refuser"]),
    (Verb::Spam, "spam", "indésirable", &["pourriel"]),
    (Verb::Merge, "merge", "fusionner", &[]),
    (Verb::Help, "help", "aide", &["commands", "commandes"]),
    (Verb::Status, "status", "état", &["statut"]),
];

/// A word that stands for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Me,
    Nobody,
    Priority(Priority),
    Joins(Joins),
    Tomorrow,
    Weekday(Weekday),
}

/// The words for values, folded.
const WORDS: [(&[&str], Word); 16] = [
    (&["me", "moi"], Word::Me),
    (&["none", "nobody", "personne"], Word::Nobody),
    (&["low", "basse", "bas", "faible"], Word::Priority(Priority::Low)),
    (&["normal", "normale", "moyenne"], Word::Priority(Priority::Normal)),
    (&["high", "haute", "haut", "elevee"], Word::Priority(Priority::High)),
    (&["urgent", "urgente", "urgence"], Word::Priority(Priority::Urgent)),
    (&["same", "meme"], Word::Joins(Joins::Same)),
    (&["cc", "copie"], Word::Joins(Joins::Cc)),
    (&["tomorrow", "demain"], Word::Tomorrow),
    (&["monday", "lundi"], Word::Weekday(Weekday::Monday)),
    (&["tuesday", "mardi"], Word::Weekday(Weekday::Tuesday)),
    (&["wednesday", "mercredi"], Word::Weekday(Weekday::Wednesday)),
    (&["thursday", "jeudi"], Word::Weekday(Weekday::Thursday)),
    (&["friday", "vendredi"], Word::Weekday(Weekday::Friday)),
    (&["saturday", "samedi"], Word::Weekday(Weekday::Saturday)),
    (&["sunday", "dimanche"], Word::Weekday(Weekday::Sunday)),
];

/// The command of a folded word.
#[must_use]
pub fn verb(name: &str) -> Option<Verb> {
    let is_named = |(_, english, french, others): &&(Verb, &str, &str, &[&str])| {
        *english == name || fold(french) == name || others.contains(&name)
    };
    NAMES.iter().find(is_named).map(|(verb, ..)| *verb)
}

/// The command whose name is nearest to a folded word that is none.
#[must_use]
pub fn near(name: &str) -> Option<Verb> {
    let names = NAMES.iter().flat_map(|(verb, english, french, others)| {
        let all = [(*english).to_owned(), fold(french)].into_iter().chain(others.iter().map(|name| (*name).to_owned()));
        all.map(|known| (strsim::damerau_levenshtein(&known, name), *verb))
    });
    names.filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(1)).min().map(|(_, verb)| verb)
}

/// What a value's word stands for, with or without its accents.
#[must_use]
pub fn word(value: &str) -> Option<Word> {
    let value = fold(value);
    WORDS.iter().find(|(names, _)| names.contains(&value.as_str())).map(|(_, word)| *word)
}

/// In lower case, without accents, with straight apostrophes: people leave accents out, and
/// keyboards put them in.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'à' | 'á' | 'â' | 'ä' => folded.push('a'),
            'è' | 'é' | 'ê' | 'ë' => folded.push('e'),
            'ì' | 'í' | 'î' | 'ï' => folded.push('i'),
            'ò' | 'ó' | 'ô' | 'ö' => folded.push('o'),
            'ù' | 'ú' | 'û' | 'ü' => folded.push('u'),
            'ç' => folded.push('c'),
            'œ' => folded.push_str("oe"),
            '’' => folded.push('\''),
            '\u{300}'..='\u{36f}' => {}
            c => folded.push(c),
        }
    }
    folded
}

impl Language {
    /// A command's name, with its `#`.
    #[must_use]
    pub fn command(self, verb: Verb) -> String {
        let name =
            NAMES.iter().find(|(known, ..)| *known == verb).map_or(
                verb.as_str(),
                |(_, english, french, _)| match self {
                    Self::En => english,
                    Self::Fr => french,
                },
            );
        format!("#{name}")
    }

    /// What may stand behind it, by example; empty where nothing may.
    fn example(self, verb: Verb) -> &'static str {
        match (self, verb) {
            (Self::En, Verb::Snooze) => " 2d",
            (Self::Fr, Verb::Snooze) => " 2j",
            (Self::En, Verb::Assign) => " alice",
            (Self::Fr, Verb::Assign) => " moi",
            (Self::En, Verb::Tag | Verb::Untag) => " refund",
            (Self::Fr, Verb::Tag | Verb::Untag) => " remboursement",
            (Self::En, Verb::Priority) => " high",
            (Self::Fr, Verb::Priority) => " haute",
            (Self::En, Verb::Cc | Verb::Uncc) => " dave@example.com",
            (Self::Fr, Verb::Cc | Verb::Uncc) => " david@example.com",
            (_, Verb::Merge) => " acme-7",
            (
                _,
                Verb::Close
                | Verb::Open
                | Verb::Pending
                | Verb::Follow
                | Verb::Unfollow
                | Verb::Note
                | Verb::Accept
                | Verb::Reject
                | Verb::Spam
                | Verb::Help
                | Verb::Status,
            ) => "",
        }
    }

    /// A command as it is written.
    #[must_use]
    pub fn usage(self, verb: Verb) -> String {
        self.command(verb) + self.example(verb)
    }

    /// What a command does, in a line or two.
    fn meaning(self, verb: Verb) -> &'static str {
        match (self, verb) {
            (Self::En, Verb::Close) => "closes the ticket",
            (Self::En, Verb::Open) => "opens it",
            (Self::En, Verb::Pending) => "lets it wait for the customer",
            (Self::En, Verb::Snooze) => "lets it sleep: 30min, 3h, 2d, 1w, tomorrow, monday, 2026-12-24",
            (Self::En, Verb::Assign) => "assigns it to a member or a department, to me, or to none",
            (Self::En, Verb::Follow) => "sends you what is written on it",
            (Self::En, Verb::Unfollow) => "ends that",
            (Self::En, Verb::Tag) => "adds a tag",
            (Self::En, Verb::Untag) => "takes a tag away",
            (Self::En, Verb::Priority) => "low, normal, high or urgent",
            (Self::En, Verb::Note) => "makes your text a note that stays within the team",
            (Self::En, Verb::Cc) => "adds somebody outside, who gets your text too",
            (Self::En, Verb::Uncc) => "takes somebody off it, who doesn’t get your text",
            (Self::En, Verb::Accept) => {
                "sends what waits, or lets its writer in: #accept 17, #accept same (the requester by another address), #accept cc (one more)"
            }
            (Self::En, Verb::Reject) => "turns down what waits: #reject 17",
            (Self::En, Verb::Spam) => "makes it spam",
            (Self::En, Verb::Merge) => "moves it into another ticket; your text goes there",
            (Self::En, Verb::Help) => "sends you this list",
            (Self::En, Verb::Status) => "sends you how the ticket stands",
            (Self::Fr, Verb::Close) => "ferme le ticket",
            (Self::Fr, Verb::Open) => "l’ouvre",
            (Self::Fr, Verb::Pending) => "le met en attente du client",
            (Self::Fr, Verb::Snooze) => "le met en sommeil\u{a0}: 30min, 3h, 2j, 1s, demain, lundi, 2026-12-24",
            (Self::Fr, Verb::Assign) => "l’attribue à un membre ou à un service, à moi, ou à personne",
            (Self::Fr, Verb::Follow) => "vous envoie ce qui s’y écrit",
            (Self::Fr, Verb::Unfollow) => "y met fin",
            (Self::Fr, Verb::Tag) => "ajoute une étiquette",
            (Self::Fr, Verb::Untag) => "retire une étiquette",
            (Self::Fr, Verb::Priority) => "basse, normale, haute ou urgente",
            (Self::Fr, Verb::Note) => "fait de votre texte une note qui reste au sein de l’équipe",
            (Self::Fr, Verb::Cc) => "ajoute une personne extérieure, qui reçoit aussi votre texte",
            (Self::Fr, Verb::Uncc) => "en retire une, qui ne reçoit pas votre texte",
            (Self::Fr, Verb::Accept) => {
                "envoie ce qui est retenu, ou admet son auteur\u{a0}: #accepter 17, #accepter même (le demandeur, depuis une autre adresse), #accepter copie (une personne de plus)"
            }
            (Self::Fr, Verb::Reject) => "écarte ce qui est retenu\u{a0}: #rejeter 17",
            (Self::Fr, Verb::Spam) => "le classe comme indésirable",
            (Self::Fr, Verb::Merge) => "le réunit à un autre ticket, où va aussi votre texte",
            (Self::Fr, Verb::Help) => "vous envoie cette liste",
            (Self::Fr, Verb::Status) => "vous envoie l’état du ticket",
        }
    }

    #[must_use]
    pub fn help_subject(self) -> &'static str {
        match self {
            Self::En => "Commands by mail",
            Self::Fr => "Commandes par courriel",
        }
    }

    /// What there is, of what a property allows.
    #[must_use]
    pub fn help(self, allowed: &Allowed) -> String {
        let (how, end) = match self {
            Self::En => (
                "Write commands above your text, one a line, in English or French. Nobody but the desk reads them; if one is wrong, nothing is done or sent, and you are told.",
                "A mail of commands alone sends nothing to anybody.",
            ),
            Self::Fr => (
                "Écrivez les commandes au-dessus de votre texte, une par ligne, en français ou en anglais. Personne ne les lit hormis le guichet\u{a0}; si l’une d’elles est incorrecte, rien n’est fait ni envoyé, et vous en êtes informé.",
                "Un courriel qui ne contient que des commandes n’envoie rien à personne.",
            ),
        };
        let known = NAMES.iter().map(|(verb, ..)| *verb).filter(|verb| allowed.allows(*verb));
        let list: Vec<String> = known.map(|verb| format!("{}\n    {}", self.usage(verb), self.meaning(verb))).collect();
        format!("{how}\n\n{}\n\n{end}\n", list.join("\n"))
    }

    /// What an answer to such a letter is.
    #[must_use]
    pub fn answer_is_note(self) -> &'static str {
        match self {
            Self::En => "An answer to this mail is a note to the team; commands in it count for the ticket.",
            Self::Fr => {
                "Une réponse à ce courriel est une note pour l’équipe\u{a0}; ses commandes valent pour le ticket."
            }
        }
    }

    #[must_use]
    pub fn wrong_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Not done, not sent: {subject}"),
            Self::Fr => format!("Ni fait, ni envoyé\u{a0}: {subject}"),
        }
    }

    /// What stands above the lines that are wrong.
    #[must_use]
    pub fn wrong(self, ticket: &TicketRef, lines: usize) -> String {
        match (self, lines) {
            (Self::En, 1) => {
                format!("Nothing of your message on {ticket} has been done or sent, since a command in it is wrong:")
            }
            (Self::En, _) => {
                format!("Nothing of your message on {ticket} has been done or sent, since commands in it are wrong:")
            }
            (Self::Fr, 1) => format!(
                "Rien de votre message sur {ticket} n’a été fait ni envoyé, car il contient une commande incorrecte\u{a0}:"
            ),
            (Self::Fr, _) => format!(
                "Rien de votre message sur {ticket} n’a été fait ni envoyé, car il contient des commandes incorrectes\u{a0}:"
            ),
        }
    }

    /// What to do about them.
    #[must_use]
    pub fn send_again(self, help: bool) -> String {
        let (again, with_help) = match self {
            Self::En => (
                "Correct your message and send it again in the same way as before. If the line was meant to be read, let your text begin with something else than “#”.",
                "The command #help lists what there is.",
            ),
            Self::Fr => (
                "Corrigez votre message et renvoyez-le de la même façon que la première fois. Si la ligne était à lire telle quelle, commencez votre texte par autre chose que «\u{a0}#\u{a0}».",
                "La commande #aide énumère celles qui existent.",
            ),
        };
        if help { format!("{again}\n{with_help}") } else { again.to_owned() }
    }

    /// The labels of what `#status` tells.
    #[must_use]
    pub fn label(self, label: Label) -> &'static str {
        match (self, label) {
            (Self::En, Label::Wakes) => "sleeps until",
            (Self::En, Label::Requester) => "Requester",
            (Self::En, Label::Others) => "Also on it",
            (Self::En, Label::Proposed) => "Named, not on it",
            (Self::En, Label::Followers) => "Followed by",
            (Self::En, Label::Tags) => "Tags",
            (Self::En, Label::Waiting) => "Waits for a decision",
            (Self::En, Label::Latest) => "Latest, newest first",
            (Self::Fr, Label::Wakes) => "en sommeil jusqu’au",
            (Self::Fr, Label::Requester) => "Demandeur",
            (Self::Fr, Label::Others) => "Aussi dans la conversation",
            (Self::Fr, Label::Proposed) => "Mentionnés, hors de la conversation",
            (Self::Fr, Label::Followers) => "Suivi par",
            (Self::Fr, Label::Tags) => "Étiquettes",
            (Self::Fr, Label::Waiting) => "Attend une décision",
            (Self::Fr, Label::Latest) => "Derniers éléments, le plus récent d’abord",
        }
    }
}

/// What `#status` tells of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Wakes,
    Requester,
    Others,
    Proposed,
    Followers,
    Tags,
    Waiting,
    Latest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_names_and_no_name_has_two() {
        let mut seen = std::collections::BTreeMap::new();
        for (name, known) in Verb::ALL {
            assert_eq!(verb(name), Some(*known), "{name}");
            let (_, english, french, others) = NAMES.iter().find(|(verb, ..)| verb == known).unwrap();
            for name in [*english, &fold(french)].into_iter().chain(others.iter().copied()) {
                assert_eq!(name, fold(name), "{name} is folded");
                let before = seen.insert(name.to_owned(), *known);
                assert!(before.is_none_or(|before| before == *known), "{name}");
            }
        }
        for (names, word) in WORDS {
            for name in names {
                assert_eq!(super::word(name), Some(word), "{name}");
            }
        }
    }

    #[test]
    fn help_lists_what_is_allowed() {
        for language in [Language::En, Language::Fr] {
            let all = language.help(&Allowed::All);
            for (_, verb) in Verb::ALL {
                assert!(all.contains(&format!("\n{}\n    ", language.usage(*verb))), "{verb} in {all}");
            }
            let some = language.help(&"close,note".parse().unwrap());
            assert!(some.contains(&language.usage(Verb::Close)) && !some.contains(&language.usage(Verb::Assign)));
        }
    }

    #[test]
    fn what_is_near() {
        for (name, verb) in [("clsoe", Some(Verb::Close)), ("assigne", Some(Verb::Assign)), ("noet", Some(Verb::Note))]
        {
            assert_eq!(near(name), verb, "{name}");
        }
        assert_eq!(near("christmas"), None);
    }
}
