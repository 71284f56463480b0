//! What the desk writes about forwarding.

use super::Language;
use crate::desk::address::Address;
use crate::desk::ticket::TicketRef;

impl Language {
    #[must_use]
    pub fn forwarding_subject(self, mailbox: Option<&Address>) -> String {
        match (self, mailbox) {
            (Self::En, Some(mailbox)) => format!("Please confirm: forwarding from {mailbox}"),
            (Self::En, None) => "Please confirm: forwarding to this desk".to_owned(),
            (Self::Fr, Some(mailbox)) => format!("À confirmer\u{a0}: transfert depuis {mailbox}"),
            (Self::Fr, None) => "À confirmer\u{a0}: transfert vers ce guichet".to_owned(),
        }
    }

    /// Who asks for what.
    #[must_use]
    pub fn forwarding_asked(self, provider: &str, mailbox: Option<&Address>, to: &Address) -> String {
        match (self, mailbox) {
            (Self::En, Some(mailbox)) => {
                format!("{provider} asks whether mail to {mailbox} may be forwarded to {to}.")
            }
            (Self::En, None) => format!("{provider} asks whether a mailbox may forward its mail to {to}."),
            (Self::Fr, Some(mailbox)) => {
                format!("{provider} demande si le courrier de {mailbox} peut être transféré à {to}.")
            }
            (Self::Fr, None) => {
                format!("{provider} demande si une boîte aux lettres peut transférer son courrier à {to}.")
            }
        }
    }

    #[must_use]
    pub fn forwarding_code(self) -> &'static str {
        match self {
            Self::En => "If your team asked for this, confirm it with this code:",
            Self::Fr => "Si votre équipe l’a demandé, confirmez avec ce code\u{a0}:",
        }
    }

    #[must_use]
    pub fn forwarding_link(self, after_code: bool) -> &'static str {
        match (self, after_code) {
            (Self::En, true) => "or by opening this link:",
            (Self::En, false) => "If your team asked for this, confirm it by opening this link:",
            (Self::Fr, true) => "ou en ouvrant ce lien\u{a0}:",
            (Self::Fr, false) => "Si votre équipe l’a demandé, confirmez en ouvrant ce lien\u{a0}:",
        }
    }

    #[must_use]
    pub fn forwarding_else(self, ticket: &TicketRef) -> String {
        match self {
            Self::En => format!(
                "If nobody of your team did, do nothing: unconfirmed, nothing is forwarded.\nThe provider’s own message is kept on {ticket}."
            ),
            Self::Fr => format!(
                "Si personne de votre équipe ne l’a demandé, ne faites rien\u{a0}: sans confirmation, rien n’est transféré.\nLe message du fournisseur est conservé sur {ticket}."
            ),
        }
    }
}
