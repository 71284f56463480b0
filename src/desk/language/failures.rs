//! Why a message did not reach its reader, as a person says it: what the codes in a mail server's
//! words mean. The words themselves are in that server's language, and stand below as details.

use super::Language;
use crate::desk::reply_code::{basic, enhanced};

/// What there is to tell apart (RFC 3463 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NoDomain,
    NoMail,
    NoAddress,
    Disabled,
    Full,
    TooLarge,
    Format,
    Policy,
    Refused,
    NotTaken,
}

impl Why {
    fn of(words: &str) -> Self {
        match (enhanced(words), basic(words)) {
            (Some((5, 1, 2) | (5, 4, 4)), _) => Self::NoDomain,
            (Some((5, 1, 10)), _) => Self::NoMail,
            (Some((5, 1, 0..=6 | 9..)), _) | (None, Some(550 | 551 | 553)) => Self::NoAddress,
            (Some((5, 2, 1)), _) => Self::Disabled,
            (Some((4 | 5, 2, 2)), _) => Self::Full,
            (Some((5, 2, 3) | (5, 3, 4)), _) => Self::TooLarge,
            (Some((5, 6, _)), _) => Self::Format,
            (Some((5, 7, _)), _) => Self::Policy,
            (Some((5, ..)), _) | (None, Some(500..)) => Self::Refused,
            (Some(_) | None, _) => Self::NotTaken,
        }
    }
}

impl Language {
    /// Why a copy failed, by the words that it failed with.
    #[must_use]
    pub fn why_not_delivered(self, words: &str) -> &'static str {
        match (self, Why::of(words)) {
            (Self::En, Why::NoDomain) => "The domain of this address does not exist, or has no mail server.",
            (Self::En, Why::NoMail) => "The domain of this address takes no mail.",
            (Self::En, Why::NoAddress) => "The mail server there does not know this address.",
            (Self::En, Why::Disabled) => "This mailbox takes no mail at present.",
            (Self::En, Why::Full) => "The mailbox is full.",
            (Self::En, Why::TooLarge) => "The message is too large for the mail server there.",
            (Self::En, Why::Format) => "The mail server there does not take a message of this form.",
            (Self::En, Why::Policy) => "The mail server there refused the message by its rules.",
            (Self::En, Why::Refused) => "The mail server there refused the message.",
            (Self::En, Why::NotTaken) => "No mail server there took the message before its time was over.",
            (Self::Fr, Why::NoDomain) => {
                "Le domaine de cette adresse n’existe pas, ou n’a pas de serveur de messagerie."
            }
            (Self::Fr, Why::NoMail) => "Le domaine de cette adresse ne reçoit pas de courriel.",
            (Self::Fr, Why::NoAddress) => "Le serveur de messagerie du destinataire ne connaît pas cette adresse.",
            (Self::Fr, Why::Disabled) => "Cette boîte aux lettres ne reçoit pas de courriel actuellement.",
            (Self::Fr, Why::Full) => "La boîte aux lettres est pleine.",
            (Self::Fr, Why::TooLarge) => {
                "Le message est trop volumineux pour le serveur de messagerie du destinataire."
            }
            (Self::Fr, Why::Format) => {
                "Le serveur de messagerie du destinataire n’accepte pas un message de cette forme."
            }
            (Self::Fr, Why::Policy) => "Le serveur de messagerie du destinataire a refusé le message selon ses règles.",
            (Self::Fr, Why::Refused) => "Le serveur de messagerie du destinataire a refusé le message.",
            (Self::Fr, Why::NotTaken) => {
                "Aucun serveur de messagerie du destinataire n’a accepté le message dans le délai prévu."
            }
        }
    }

    /// What stands before a mail server's own words.
    #[must_use]
    pub fn details(self) -> &'static str {
        match self {
            Self::En => "Details:",
            Self::Fr => "Détails\u{a0}:",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_codes_mean() {
        for (words, why) in [
            ("5.1.2 there is no domain example.invalid", Why::NoDomain),
            ("5.4.4 no mail server of example.org can be reached", Why::NoDomain),
            ("5.1.10 example.org takes no mail (null MX)", Why::NoMail),
            ("550 5.1.1 <x@example.org> unknown", Why::NoAddress),
            ("550 no such user", Why::NoAddress),
            ("550 5.1.8 bad sender", Why::Refused),
            ("550 5.2.1 disabled", Why::Disabled),
            ("452 4.2.2 over quota", Why::Full),
            ("552 5.3.4 too big", Why::TooLarge),
            ("5.6.3 the server takes 7-bit mail only", Why::Format),
            ("550 5.7.1 blocked", Why::Policy),
            ("554 5.5.0 no", Why::Refused),
            ("554 no", Why::Refused),
            // A full mailbox, or a message that is too large (RFC 1870 §6): its words tell.
            ("552 exceeded storage allocation", Why::Refused),
            ("451 4.7.1 later", Why::NotTaken),
            ("no connection to mx.example.org: refused", Why::NotTaken),
            ("", Why::NotTaken),
        ] {
            assert_eq!(Why::of(words), why, "{words}");
        }
    }
}
