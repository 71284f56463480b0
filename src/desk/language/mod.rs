//! The languages that the desk itself writes, and everything it says in them.
//!
//! Each sentence stands once here, in all languages side by side, so that none is forgotten.
//! Texts are plain; whoever puts them into HTML escapes them.

pub mod commands;
mod failures;
mod forwards;
mod mistakes;
mod notices;

use serde::{Deserialize, Serialize};

use super::entry::Reason;
use super::id::EntryId;
use super::ticket::{Priority, Status, named};

/// A property's language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    En,
    Fr,
}

named!(Language, "language", En = "en", Fr = "fr");

/// The most names that a list spells out.
const NAMES: usize = 12;

/// The line on top of copies.
impl Language {
    #[must_use]
    pub fn status(self, status: Status) -> &'static str {
        match (self, status) {
            (Self::En, Status::Open) => "Open",
            (Self::En, Status::Pending) => "Pending",
            (Self::En, Status::Closed) => "Closed",
            (Self::En, Status::Spam) => "Spam",
            (Self::En, Status::Trash) => "Trash",
            (Self::Fr, Status::Open) => "Ouvert",
            (Self::Fr, Status::Pending) => "En attente",
            (Self::Fr, Status::Closed) => "Fermé",
            (Self::Fr, Status::Spam) => "Indésirable",
            (Self::Fr, Status::Trash) => "Corbeille",
        }
    }

    /// A priority worth a word; the normal one is none.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Option<&'static str> {
        Some(match (self, priority) {
            (_, Priority::Normal) => return None,
            (Self::En, Priority::Low) => "Low priority",
            (Self::En, Priority::High) => "High priority",
            (_, Priority::Urgent) => "Urgent",
            (Self::Fr, Priority::Low) => "Priorité basse",
            (Self::Fr, Priority::High) => "Priorité haute",
        })
    }

    #[must_use]
    pub fn assigned(self, name: Option<&str>) -> String {
        match (self, name) {
            (Self::En, Some(name)) => format!("Assigned to {name}"),
            (Self::En, None) => "Unassigned".to_owned(),
            (Self::Fr, Some(name)) => format!("Attribué à {name}"),
            (Self::Fr, None) => "Non attribué".to_owned(),
        }
    }

    /// Who wrote what follows.
    #[must_use]
    pub fn from(self, writer: &str) -> String {
        match self {
            Self::En => format!("From {writer}"),
            // With a colon, so that no name needs an elision (d’Alice).
            Self::Fr => format!("De\u{a0}: {writer}"),
        }
    }

    /// Whom the ticket is for, where somebody else wrote.
    #[must_use]
    pub fn requester(self, name: &str) -> String {
        match self {
            Self::En => format!("Requester: {name}"),
            Self::Fr => format!("Demandeur\u{a0}: {name}"),
        }
    }

    /// Who gets a public answer.
    #[must_use]
    pub fn answered(self, names: &[&str]) -> String {
        let names = self.list(names);
        match self {
            Self::En => format!("Your reply goes to {names}."),
            Self::Fr => format!("Votre réponse sera envoyée à {names}."),
        }
    }

    /// Who was named and gets nothing until a member lets him in.
    #[must_use]
    pub fn proposed(self, names: &[&str]) -> String {
        let names = self.list(names);
        match self {
            Self::En => format!("Not on the conversation, and without a copy of your reply: {names}."),
            Self::Fr => format!("Hors de la conversation, sans copie de votre réponse\u{a0}: {names}."),
        }
    }

    #[must_use]
    pub fn note(self) -> &'static str {
        match self {
            Self::En => "Internal note: your reply stays within the team.",
            Self::Fr => "Note interne\u{a0}: votre réponse reste au sein de l’équipe.",
        }
    }

    /// That a message reached nobody else yet, and what lets it.
    #[must_use]
    pub fn waits(self, entry: EntryId) -> String {
        match self {
            Self::En => format!(
                "Not sent on yet. A reply that begins with #accept {entry} lets it go, one with #reject {entry} turns it down."
            ),
            Self::Fr => format!(
                "Pas encore transmis. Une réponse qui commence par #accepter {entry} le laisse partir, par #rejeter {entry} le refuse."
            ),
        }
    }

    /// What a reader should know before he trusts or answers an entry.
    #[must_use]
    pub fn warning(self, reason: Reason) -> &'static str {
        match (self, reason) {
            (Self::En, Reason::Unaligned) => "Careful: nothing proves that the sender is who the message says.",
            (Self::En, Reason::UnknownAddress | Reason::Unverified) => {
                "Careful: this came from an address that is not known on this conversation."
            }
            (Self::En, Reason::Crossed) => "This crossed with a colleague’s reply.",
            (Self::En, Reason::Command) => "A command in this message was not understood.",
            (Self::En, Reason::AutoReply) => "This is an automatic reply.",
            (Self::En, Reason::Bounce) => "This is a delivery report.",
            (Self::En, Reason::Receipt) => "This is a read receipt.",
            (Self::En, Reason::Calendar) => "This is an answer to an invitation.",
            (Self::En, Reason::Returned) => "This is one of our own messages that came back.",
            (Self::En, Reason::Duplicate) => "This message came before.",
            (Self::En, Reason::LookAlike) => "This is one of many look-alike messages from this sender.",
            (Self::En, Reason::Automatic) => "A machine wrote this.",
            (Self::En, Reason::Decision) => "This is an answer to a question of the desk.",
            (Self::En, Reason::OnlyCommands) => "This message held commands alone.",
            (Self::En, Reason::Forward) => "Careful: a forwarded message in a member’s name, without enough proof.",
            (Self::En, Reason::Confirmation) => "A provider asks to confirm a forward.",
            (Self::En, Reason::Spam) => "Careful: this was taken for spam.",
            (Self::En, Reason::Complaint) => "A reader’s provider says that he called a message of ours spam.",
            (Self::En, Reason::Statistics) => "This is a report about mail in general.",
            (Self::En, Reason::Exchange) => "This answers mail that no person wrote, and so on.",
            (Self::Fr, Reason::Unaligned) => {
                "Attention\u{a0}: rien ne prouve que l’expéditeur est bien celui que le message indique."
            }
            (Self::Fr, Reason::UnknownAddress | Reason::Unverified) => {
                "Attention\u{a0}: ce message vient d’une adresse inconnue dans cette conversation."
            }
            (Self::Fr, Reason::Crossed) => "Ce message a croisé la réponse d’un collègue.",
            (Self::Fr, Reason::Command) => "Une commande de ce message n’a pas été comprise.",
            (Self::Fr, Reason::AutoReply) => "Ceci est une réponse automatique.",
            (Self::Fr, Reason::Bounce) => "Ceci est un rapport de remise.",
            (Self::Fr, Reason::Receipt) => "Ceci est un accusé de lecture.",
            (Self::Fr, Reason::Calendar) => "Ceci est une réponse à une invitation.",
            (Self::Fr, Reason::Returned) => "Ceci est l’un de nos propres messages, revenu à nous.",
            (Self::Fr, Reason::Duplicate) => "Ce message est déjà arrivé une fois.",
            (Self::Fr, Reason::LookAlike) => "Cet expéditeur a envoyé de nombreux messages semblables à celui-ci.",
            (Self::Fr, Reason::Automatic) => "Ce message a été écrit par une machine.",
            (Self::Fr, Reason::Decision) => "Ceci est une réponse à une question du guichet.",
            (Self::Fr, Reason::OnlyCommands) => "Ce message ne contenait que des commandes.",
            (Self::Fr, Reason::Forward) => {
                "Attention\u{a0}: un message transféré au nom d’un membre, sans preuve suffisante."
            }
            (Self::Fr, Reason::Confirmation) => "Un fournisseur demande de confirmer un transfert.",
            (Self::Fr, Reason::Spam) => "Attention\u{a0}: ce message a été pris pour un courrier indésirable.",
            (Self::Fr, Reason::Complaint) => {
                "Le fournisseur d’un lecteur signale que celui-ci a classé un de nos messages comme indésirable."
            }
            (Self::Fr, Reason::Statistics) => "Ceci est un rapport sur le courrier en général.",
            (Self::Fr, Reason::Exchange) => {
                "Ce message répond à du courrier que personne n’a écrit, et ainsi de suite."
            }
        }
    }

    /// Who else takes part, for a contact.
    #[must_use]
    pub fn others(self, names: &[&str]) -> String {
        let names = self.list(names);
        match self {
            Self::En => format!("Also on this conversation: {names}."),
            Self::Fr => format!("Participent aussi à cette conversation\u{a0}: {names}."),
        }
    }

    /// What stands before the names of attachments that were left out for the message's size.
    #[must_use]
    pub fn left_out(self) -> &'static str {
        match self {
            Self::En => "Left out, since your mail server found the message too large:",
            Self::Fr => {
                "Pièces jointes retirées, car votre serveur de messagerie a jugé le message trop volumineux\u{a0}:"
            }
        }
    }

    /// A number of octets, in the unit that suits it.
    #[must_use]
    pub fn size(self, octets: u64) -> String {
        let (units, point) = match self {
            Self::En => (["bytes", "kB", "MB", "GB"], '.'),
            Self::Fr => (["octets", "ko", "Mo", "Go"], ','),
        };
        if octets < 1_000 {
            return format!("{octets} {}", units[0]);
        }
        let (unit, divisor) = match octets {
            0..1_000_000 => (units[1], 100),
            1_000_000..1_000_000_000 => (units[2], 100_000),
            _ => (units[3], 100_000_000),
        };
        let tenths = octets / divisor;
        format!("{}{point}{} {unit}", tenths / 10, tenths % 10)
    }

    /// `A, B and C`; a long list ends in a count.
    #[must_use]
    pub fn list(self, names: &[&str]) -> String {
        let (and, others) = match self {
            Self::En => ("and", "others"),
            Self::Fr => ("et", "autres"),
        };
        match names {
            [] => String::new(),
            [name] => (*name).to_owned(),
            _ if names.len() > NAMES => {
                let (shown, rest) = names.split_at(NAMES - 1);
                format!("{} {and} {} {others}", shown.join(", "), rest.len())
            }
            [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_sizes_read_well() {
        let en = Language::En;
        let fr = Language::Fr;
        assert_eq!(en.list(&["A"]), "A");
        assert_eq!(en.list(&["A", "B", "C"]), "A, B and C");
        assert_eq!(fr.list(&["A", "B"]), "A et B");
        assert!(en.list(&["X"; 40]).ends_with("X, X and 29 others"));
        for (octets, english, french) in [
            (0, "0 bytes", "0 octets"),
            (999, "999 bytes", "999 octets"),
            (1_000, "1.0 kB", "1,0 ko"),
            (3_250_000, "3.2 MB", "3,2 Mo"),
            (5_000_000_000, "5.0 GB", "5,0 Go"),
        ] {
            assert_eq!((en.size(octets).as_str(), fr.size(octets).as_str()), (english, french));
        }
    }
}
