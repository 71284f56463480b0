//! What can't be done, and what could be: the sentence of each [`Mistake`].

use super::Language;
use crate::desk::mistake::Mistake;

impl Language {
    /// One mistake, as a part of a sentence that begins small and has no full stop.
    #[must_use]
    pub fn mistake(self, mistake: &Mistake) -> String {
        match self {
            Self::En => english(mistake),
            Self::Fr => french(mistake),
        }
    }

    /// `; did you mean A or B?`, or nothing.
    fn did_you_mean(self, near: &[String]) -> String {
        match (self, near) {
            (_, []) => String::new(),
            (Self::En, near) => format!("; did you mean {}?", near.join(" or ")),
            (Self::Fr, near) => format!("\u{a0}; vouliez-vous dire {}\u{a0}?", near.join(" ou ")),
        }
    }

    /// Each wrong line with what is wrong about it.
    #[must_use]
    pub fn mistakes(self, wrong: &[(String, Mistake)]) -> String {
        let each = wrong.iter().map(|(line, mistake)| match self {
            Self::En => format!("{line}: {}", self.mistake(mistake)),
            Self::Fr => format!("{line}\u{a0}: {}", self.mistake(mistake)),
        });
        each.collect::<Vec<_>>().join("\n")
    }
}

fn english(mistake: &Mistake) -> String {
    let en = Language::En;
    match mistake {
        Mistake::Unknown { near } => {
            let near: Vec<String> = near.iter().map(|verb| en.command(*verb)).collect();
            format!("there is no such command{}", en.did_you_mean(&near))
        }
        Mistake::Missing(verb) => format!("it wants a value, as in: {}", en.usage(*verb)),
        Mistake::Alone(verb) => format!("{} stands alone in its line", en.command(*verb)),
        Mistake::TooMany(most) => format!("a mail may have {most} commands at most"),
        Mistake::TooManyValues(most) => format!("a command may have {most} values at most; write another line"),
        Mistake::Contradicts(line) => format!("it contradicts {line}"),
        Mistake::Below => "commands stand at the very top, above what is quoted".to_owned(),
        Mistake::NotAllowed(verb) => format!("{} is not allowed here", en.command(*verb)),
        Mistake::NewTicket(verb) => format!("{} needs a ticket that is there; answer a mail of it", en.command(*verb)),
        Mistake::NoteOutside => "a note stays among members; leave out the people outside".to_owned(),
        Mistake::WhenHeld(verb) => format!("{} is not done by a message that was held itself", en.command(*verb)),
        Mistake::NoTime => "not a time; write 30min, 3h, 2d, 1w, tomorrow, monday or 2026-12-24".to_owned(),
        Mistake::Past => "a ticket can only be snoozed until later than now".to_owned(),
        Mistake::TooFar => "that is more than a year away".to_owned(),
        Mistake::NoPriority => "a priority is low, normal, high or urgent".to_owned(),
        Mistake::NoAddress(text) => format!("{text:?} is not an address"),
        Mistake::NoNumber(text) => format!("{text:?} is not the number of an entry"),
        Mistake::NoEntry(text) => format!("{text:?} is neither the number of an entry nor same or cc"),
        Mistake::NoTicket(text) => format!("{text:?} is not a ticket; its name looks like acme-1042"),
        Mistake::NoTag { tag, longest } => format!(
            "{tag:?} can't be a tag: one word of up to {longest} characters, none of them ( ) {{ }} % * \" \\ ] , #"
        ),
        Mistake::NotThere { name, near } => format!("there is no {name} here{}", en.did_you_mean(near)),
        Mistake::Ambiguous { name, one, two } => format!("{name} is both {one} and {two}; give the whole address"),
        Mistake::NoRole { member, property } => format!(
            "{member} has no role in {property}; give him one with: guichet member edit {member} --property {property}"
        ),
        Mistake::OwnAddress(address) => format!("{address} is an address of this desk"),
        Mistake::Colleague { member, property, ticket } => {
            format!("{member} is a member of {property}; try: guichet ticket follow {ticket} {member}")
        }
        Mistake::TooManyPeople { ticket, most } => format!("{ticket} has {most} people on it already"),
        Mistake::TooManyTags { ticket, most } => format!("{ticket} has {most} tags already"),
        Mistake::NotFollowing { member, ticket } => format!("{member} does not follow {ticket}"),
        Mistake::OneTicket { one, other } => format!("{one} and {other} are one ticket already"),
        Mistake::OtherProperty => "tickets of two properties can't be merged: their members differ".to_owned(),
        Mistake::NotHeld(entry) => format!("entry {entry} is not held"),
        Mistake::WentOut(entry) => format!("entry {entry} went out already"),
        Mistake::WasRejected(entry) => format!("entry {entry} was rejected"),
        Mistake::Nameless(entry) => format!("entry {entry} is in no member's name; answer the ticket yourself"),
        Mistake::Left { member, property } => format!("{member} has left {property}"),
        Mistake::NoContact(entry) => format!("entry {entry} is not a contact's"),
        Mistake::NoRequester(ticket) => format!("{ticket} has no requester"),
        Mistake::NothingWaits(ticket) => format!("nothing on {ticket} waits for a decision"),
        Mistake::SeveralWait(entries) => {
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            format!("several entries wait, say which: {}", entries.join(", "))
        }
        Mistake::NoForward(entry) => format!("entry {entry} hands on no message that can be read"),
        Mistake::ForwardOfTeam { entry, address } => {
            format!("entry {entry} hands on a message of {address}, who is of the team by now")
        }
        Mistake::Commands(wrong) => format!("it begins with commands that are wrong:\n{}", en.mistakes(wrong)),
    }
}

fn french(mistake: &Mistake) -> String {
    let fr = Language::Fr;
    match mistake {
        Mistake::Unknown { near } => {
            let near: Vec<String> = near.iter().map(|verb| fr.command(*verb)).collect();
            format!("cette commande n’existe pas{}", fr.did_you_mean(&near))
        }
        Mistake::Missing(verb) => format!("il lui faut une valeur, par exemple\u{a0}: {}", fr.usage(*verb)),
        Mistake::Alone(verb) => format!("{} doit être seule sur sa ligne", fr.command(*verb)),
        Mistake::TooMany(most) => format!("un courriel peut contenir {most} commandes au plus"),
        Mistake::TooManyValues(most) => {
            format!("une commande peut avoir {most} valeurs au plus\u{a0}; ajoutez une ligne")
        }
        Mistake::Contradicts(line) => format!("elle contredit {line}"),
        Mistake::Below => "les commandes se placent tout en haut, au-dessus de ce qui est cité".to_owned(),
        Mistake::NotAllowed(verb) => format!("{} n’est pas permise ici", fr.command(*verb)),
        Mistake::NewTicket(verb) => {
            format!("{} suppose un ticket existant\u{a0}; répondez à l’un de ses courriels", fr.command(*verb))
        }
        Mistake::NoteOutside => "une note reste entre membres\u{a0}; retirez les destinataires extérieurs".to_owned(),
        Mistake::WhenHeld(verb) => format!("{} n’est pas exécutée par un message lui-même retenu", fr.command(*verb)),
        Mistake::NoTime => {
            "ce n’est pas un délai\u{a0}; écrivez 30min, 3h, 2j, 1s, demain, lundi ou 2026-12-24".to_owned()
        }
        Mistake::Past => "un ticket ne peut être mis en sommeil que jusqu’à un moment à venir".to_owned(),
        Mistake::TooFar => "c’est dans plus d’un an".to_owned(),
        Mistake::NoPriority => "une priorité est basse, normale, haute ou urgente".to_owned(),
        Mistake::NoAddress(text) => format!("«\u{a0}{text}\u{a0}» n’est pas une adresse"),
        Mistake::NoNumber(text) => format!("«\u{a0}{text}\u{a0}» n’est pas le numéro d’un élément"),
        Mistake::NoEntry(text) => {
            format!(
                "«\u{a0}{text}\u{a0}» n’est ni le numéro d’un élément, ni «\u{a0}même\u{a0}» ou «\u{a0}copie\u{a0}»"
            )
        }
        Mistake::NoTicket(text) => {
            format!("«\u{a0}{text}\u{a0}» n’est pas un ticket\u{a0}; son nom ressemble à acme-1042")
        }
        Mistake::NoTag { tag, longest } => format!(
            "«\u{a0}{tag}\u{a0}» ne peut pas être une étiquette\u{a0}: un mot de {longest} caractères au plus, sans ( ) {{ }} % * \" \\ ] , #"
        ),
        Mistake::NotThere { name, near } => {
            format!("«\u{a0}{name}\u{a0}» n’existe pas ici{}", fr.did_you_mean(near))
        }
        Mistake::Ambiguous { name, one, two } => {
            format!("{name} désigne à la fois {one} et {two}\u{a0}; donnez l’adresse entière")
        }
        Mistake::NoRole { member, property } => format!(
            "{member} n’a pas de rôle dans {property}\u{a0}; pour lui en donner un\u{a0}: guichet member edit {member} --property {property}"
        ),
        Mistake::OwnAddress(address) => format!("{address} est une adresse du guichet"),
        Mistake::Colleague { member, property, ticket } => {
            format!("{member} est membre de {property}\u{a0}; essayez\u{a0}: guichet ticket follow {ticket} {member}")
        }
        Mistake::TooManyPeople { ticket, most } => format!("{ticket} réunit déjà {most} personnes"),
        Mistake::TooManyTags { ticket, most } => format!("{ticket} a déjà {most} étiquettes"),
        Mistake::NotFollowing { member, ticket } => format!("{member} ne suit pas {ticket}"),
        Mistake::OneTicket { one, other } => format!("{one} et {other} ne font déjà qu’un"),
        Mistake::OtherProperty => {
            "des tickets de deux propriétés ne peuvent être réunis\u{a0}: leurs membres diffèrent".to_owned()
        }
        Mistake::NotHeld(entry) => format!("l’élément {entry} n’est pas retenu"),
        Mistake::WentOut(entry) => format!("l’élément {entry} est déjà parti"),
        Mistake::WasRejected(entry) => format!("l’élément {entry} a été écarté"),
        Mistake::Nameless(entry) => {
            format!("l’élément {entry} n’est au nom d’aucun membre\u{a0}; répondez vous-même au ticket")
        }
        Mistake::Left { member, property } => format!("{member} a quitté {property}"),
        Mistake::NoContact(entry) => format!("l’élément {entry} n’est pas d’un contact"),
        Mistake::NoRequester(ticket) => format!("{ticket} n’a pas de demandeur"),
        Mistake::NothingWaits(ticket) => format!("rien sur {ticket} n’attend de décision"),
        Mistake::SeveralWait(entries) => {
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            format!("plusieurs éléments attendent, précisez lequel\u{a0}: {}", entries.join(", "))
        }
        Mistake::NoForward(entry) => format!("l’élément {entry} ne transmet aucun message lisible"),
        Mistake::ForwardOfTeam { entry, address } => {
            format!("l’élément {entry} transmet un message de {address}, qui fait désormais partie de l’équipe")
        }
        Mistake::Commands(wrong) => format!("il commence par des commandes incorrectes\u{a0}:\n{}", fr.mistakes(wrong)),
    }
}
