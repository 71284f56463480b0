//! What the desk writes in mails of its own: notices to members, acknowledgements, and the
//! conversation so far.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Language;
use crate::desk::entry::Reason;
use crate::desk::ticket::TicketRef;

impl Language {
    #[must_use]
    pub fn held_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Not sent yet: {subject}"),
            Self::Fr => format!("Pas encore envoyé\u{a0}: {subject}"),
        }
    }

    #[must_use]
    pub fn held(self, ticket: &TicketRef) -> String {
        match self {
            Self::En => format!("Your message on {ticket} has not been sent yet."),
            Self::Fr => format!("Votre message sur {ticket} n’a pas encore été envoyé."),
        }
    }

    /// Why a member's message waits, in plain words.
    #[must_use]
    pub fn held_because(self, reason: Reason) -> &'static str {
        match (self, reason) {
            (Self::En, Reason::Unaligned) => {
                "It bears your address, but nothing proves that you sent it: neither SPF nor DKIM vouches for it."
            }
            (Self::En, Reason::Unverified) => {
                "It did not come to your personal reply address, and nothing else in it proves that you wrote it."
            }
            (Self::En, Reason::UnknownAddress) => {
                "It came to your personal reply address, but from an address that is not known to be yours."
            }
            (Self::En, Reason::Crossed) => "A colleague replied while you were writing. That reply is below.",
            (Self::En, Reason::Command) => "It begins with a command that was not understood.",
            (Self::En, Reason::Forward) => {
                "It hands on somebody else’s message. Once you confirm it, it becomes a ticket of the person below."
            }
            (Self::En, Reason::Spam) => "It was taken for spam.",
            (Self::En, Reason::LookAlike) => "Many messages that look alike came from this sender.",
            (
                Self::En,
                Reason::AutoReply
                | Reason::Bounce
                | Reason::Receipt
                | Reason::Calendar
                | Reason::Returned
                | Reason::Duplicate
                | Reason::Automatic
                | Reason::Decision
                | Reason::OnlyCommands
                | Reason::Confirmation
                | Reason::Complaint
                | Reason::Statistics
                | Reason::Exchange,
            ) => "It looks like a message that a machine wrote.",
            (Self::Fr, Reason::Unaligned) => {
                "Il porte votre adresse, mais rien ne prouve qu’il vient de vous\u{a0}: ni SPF ni DKIM ne le confirment."
            }
            (Self::Fr, Reason::Unverified) => {
                "Il n’est pas arrivé à votre adresse de réponse personnelle, et rien d’autre ne prouve qu’il vient de vous."
            }
            (Self::Fr, Reason::UnknownAddress) => {
                "Il est arrivé à votre adresse de réponse personnelle, mais depuis une adresse qui n’est pas connue comme la vôtre."
            }
            (Self::Fr, Reason::Crossed) => {
                "Un collègue a répondu pendant que vous écriviez. Sa réponse figure ci-dessous."
            }
            (Self::Fr, Reason::Command) => "Il commence par une commande qui n’a pas été comprise.",
            (Self::Fr, Reason::Forward) => {
                "Il transmet le message de quelqu’un d’autre. Après votre confirmation, il deviendra le ticket de la personne ci-dessous."
            }
            (Self::Fr, Reason::Spam) => "Il a été pris pour un courrier indésirable.",
            (Self::Fr, Reason::LookAlike) => "De nombreux messages semblables sont venus de cet expéditeur.",
            (
                Self::Fr,
                Reason::AutoReply
                | Reason::Bounce
                | Reason::Receipt
                | Reason::Calendar
                | Reason::Returned
                | Reason::Duplicate
                | Reason::Automatic
                | Reason::Decision
                | Reason::OnlyCommands
                | Reason::Confirmation
                | Reason::Complaint
                | Reason::Statistics
                | Reason::Exchange,
            ) => "Il ressemble à un message écrit par une machine.",
        }
    }

    /// How a member releases or drops what is held, by answering the notice.
    #[must_use]
    pub fn answer_yes_or_no(self) -> &'static str {
        match self {
            Self::En => "Reply with “yes” to send it, or with “no” to discard it.",
            Self::Fr => "Répondez «\u{a0}oui\u{a0}» pour l’envoyer, ou «\u{a0}non\u{a0}» pour l’abandonner.",
        }
    }

    /// How he makes the address that it came from his own besides.
    #[must_use]
    pub fn answer_always(self) -> &'static str {
        match self {
            Self::En => {
                "If the address above is yours, reply with “always” to send it and to be known by that address from now on. A mail to it will ask you to confirm that."
            }
            Self::Fr => {
                "Si l’adresse ci-dessus est la vôtre, répondez «\u{a0}toujours\u{a0}» pour l’envoyer et être reconnu désormais à cette adresse. Un message envoyé à celle-ci vous demandera de le confirmer."
            }
        }
    }

    /// How many more of a member's messages wait.
    #[must_use]
    pub fn more_wait(self, count: usize) -> String {
        match (self, count) {
            (Self::En, 1) => {
                "One more message in your name waits. You will be asked about it when you have answered this.".to_owned()
            }
            (Self::En, _) => format!(
                "{count} more messages in your name wait. You will be asked about the next one when you have answered this."
            ),
            (Self::Fr, 1) => {
                "Un autre message en votre nom est en attente. La question vous sera posée quand vous aurez répondu à celle-ci."
                    .to_owned()
            }
            (Self::Fr, _) => format!(
                "{count} autres messages en votre nom sont en attente. La question suivante vous sera posée quand vous aurez répondu à celle-ci."
            ),
        }
    }

    /// An answer that decides nothing.
    #[must_use]
    pub fn unclear(self, ticket: &TicketRef) -> String {
        match self {
            Self::En => format!(
                "Your answer about your message on {ticket} says neither “yes” nor “no” in a short first line. Nothing has been done: the message still waits."
            ),
            Self::Fr => format!(
                "Votre réponse au sujet de votre message sur {ticket} ne dit ni «\u{a0}oui\u{a0}» ni «\u{a0}non\u{a0}» dans une première ligne courte. Rien n’a été fait\u{a0}: le message est toujours en attente."
            ),
        }
    }

    #[must_use]
    pub fn too_late_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Already decided: {subject}"),
            Self::Fr => format!("Déjà décidé\u{a0}: {subject}"),
        }
    }

    /// An answer about something that was decided before. `sent`: it went out.
    #[must_use]
    pub fn too_late(self, ticket: &TicketRef, sent: bool) -> String {
        match (self, sent) {
            (Self::En, true) => {
                format!("Your message on {ticket} had already been sent when your answer came. It can’t be taken back.")
            }
            (Self::En, false) => {
                format!(
                    "Your message on {ticket} had already been discarded when your answer came. To say it, write it again."
                )
            }
            (Self::Fr, true) => format!(
                "Votre message sur {ticket} avait déjà été envoyé quand votre réponse est arrivée. Il ne peut plus être retenu."
            ),
            (Self::Fr, false) => format!(
                "Votre message sur {ticket} avait déjà été abandonné quand votre réponse est arrivée. Pour le dire, écrivez-le à nouveau."
            ),
        }
    }

    #[must_use]
    pub fn claim_subject(self, house: &str) -> String {
        match self {
            Self::En => format!("Is this your address? ({house})"),
            Self::Fr => format!("Est-ce votre adresse\u{a0}? ({house})"),
        }
    }

    /// To an address, whether it is a member's. `member`: his name and his login address.
    #[must_use]
    pub fn claim(self, address: &str, member: &str, house: &str) -> String {
        match self {
            Self::En => format!(
                "{member} says that {address} is one more address of theirs. What comes from it would then count as written by them at {house}.\n\nIf that is you, reply with “yes”.\nIf it is not, reply with “no”, or do nothing: this question ends by itself after 7 days.\n\n{house}"
            ),
            Self::Fr => format!(
                "{member} indique que l’adresse {address} est aussi la sienne. Ce qui en vient compterait alors comme écrit par cette personne chez {house}.\n\nSi c’est vous, répondez «\u{a0}oui\u{a0}».\nSinon, répondez «\u{a0}non\u{a0}» ou ne faites rien\u{a0}: cette question s’éteint d’elle-même au bout de 7 jours.\n\n{house}"
            ),
        }
    }

    #[must_use]
    pub fn claimed_subject(self, address: &str) -> String {
        match self {
            Self::En => format!("Now one of your addresses: {address}"),
            Self::Fr => format!("Désormais l’une de vos adresses\u{a0}: {address}"),
        }
    }

    /// To a member: an address has become his. `login`: by which the command line finds him.
    #[must_use]
    pub fn claimed(self, address: &str, login: &str) -> String {
        match self {
            Self::En => format!(
                "{address} has confirmed that it is yours: what you write from it now counts as written by you.\nTo take it away: guichet member edit {login} --remove-alias {address}"
            ),
            Self::Fr => format!(
                "{address} a confirmé être à vous\u{a0}: ce que vous écrivez depuis cette adresse compte désormais comme écrit par vous.\nPour la retirer\u{a0}: guichet member edit {login} --remove-alias {address}"
            ),
        }
    }

    /// How a member releases or drops what is held, at the desk.
    #[must_use]
    pub fn accept_or_reject(self, ticket: &TicketRef, entry: u64) -> String {
        match self {
            Self::En => format!(
                "To send it: guichet ticket accept {ticket} {entry}\nTo discard it: guichet ticket reject {ticket} {entry}"
            ),
            Self::Fr => format!(
                "Pour l’envoyer\u{a0}: guichet ticket accept {ticket} {entry}\nPour l’abandonner\u{a0}: guichet ticket reject {ticket} {entry}"
            ),
        }
    }

    #[must_use]
    pub fn your_text(self) -> &'static str {
        match self {
            Self::En => "Your text:",
            Self::Fr => "Votre texte\u{a0}:",
        }
    }

    #[must_use]
    pub fn colleagues_text(self, name: &str) -> String {
        match self {
            Self::En => format!("{name} wrote:"),
            Self::Fr => format!("{name} a écrit\u{a0}:"),
        }
    }

    #[must_use]
    pub fn failed_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Not delivered: {subject}"),
            Self::Fr => format!("Non remis\u{a0}: {subject}"),
        }
    }

    /// `tried`: for how long, in vain; nothing where it was refused.
    #[must_use]
    pub fn failed(self, ticket: &TicketRef, to: &str, tried: Option<SignedDuration>) -> String {
        let within = tried.map(|tried| self.span(tried));
        match (self, within) {
            (Self::En, None) => {
                format!("Your message on {ticket} could not be delivered to {to}. It will not be tried again.")
            }
            (Self::En, Some(within)) => format!(
                "Your message on {ticket} could not be delivered to {to} within {within}. It will not be tried again."
            ),
            (Self::Fr, None) => {
                format!("Votre message sur {ticket} n’a pas pu être remis à {to}. Il n’y aura pas de nouvel essai.")
            }
            (Self::Fr, Some(within)) => format!(
                "Votre message sur {ticket} n’a pas pu être remis à {to} en {within}. Il n’y aura pas de nouvel essai."
            ),
        }
    }

    #[must_use]
    pub fn delayed_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Not delivered yet: {subject}"),
            Self::Fr => format!("Pas encore remis\u{a0}: {subject}"),
        }
    }

    /// Before the list of who did not get a message yet, after it was tried for so long.
    #[must_use]
    pub fn delayed(self, ticket: &TicketRef, tried: SignedDuration) -> String {
        let tried = self.span(tried);
        match self {
            Self::En => format!("Your message on {ticket} has not been delivered after {tried} to:"),
            Self::Fr => format!("Après {tried}, votre message sur {ticket} n’a pas encore été remis à\u{a0}:"),
        }
    }

    /// So many more in a list.
    #[must_use]
    pub fn and_more(self, count: usize) -> String {
        match (self, count) {
            (Self::En, _) => format!("and {count} more"),
            (Self::Fr, 1) => "et 1 autre".to_owned(),
            (Self::Fr, _) => format!("et {count} autres"),
        }
    }

    /// What becomes of a message that is not delivered yet; it is tried for so long in all.
    #[must_use]
    pub fn delayed_goes_on(self, lifetime: SignedDuration) -> String {
        let lifetime = self.span(lifetime);
        match self {
            Self::En => format!(
                "It is still being tried, for {lifetime} in all; there is no need to send it again.\nShould it fail for good, you will be told."
            ),
            Self::Fr => format!(
                "Les essais continuent, pendant {lifetime} en tout\u{a0}; inutile de le renvoyer.\nUn échec définitif vous serait signalé."
            ),
        }
    }

    /// A time in its largest whole unit: `5 days`, `4 hours`, `90 minutes`.
    #[must_use]
    pub fn span(self, span: SignedDuration) -> String {
        let minutes = (span.as_secs() / 60).max(1);
        let (count, english, french) = match minutes {
            minutes if minutes % (24 * 60) == 0 => (minutes / (24 * 60), "day", "jour"),
            minutes if minutes % 60 == 0 => (minutes / 60, "hour", "heure"),
            minutes => (minutes, "minute", "minute"),
        };
        let (unit, plural) = match self {
            Self::En => (english, count != 1),
            Self::Fr => (french, count > 1),
        };
        format!("{count}{}{unit}{}", if self == Self::Fr { "\u{a0}" } else { " " }, if plural { "s" } else { "" })
    }

    /// That a reader got no copy, before the last failure, and what to do, after it.
    #[must_use]
    pub fn not_sent(self, ticket: &TicketRef, to: &str, address: &str, since: Timestamp) -> (String, String) {
        let since = self.time(since);
        match self {
            Self::En => (
                format!(
                    "Your message on {ticket} was not sent to {to}: mail to this address kept failing, so it gets none since {since}."
                ),
                format!("When the address works again: guichet contact resume {address}"),
            ),
            Self::Fr => (
                format!(
                    "Votre message sur {ticket} n’a pas été envoyé à {to}\u{a0}: les envois à cette adresse échouaient sans cesse, elle n’en reçoit donc plus depuis le {since}."
                ),
                format!("Quand l’adresse fonctionnera de nouveau\u{a0}: guichet contact resume {address}"),
            ),
        }
    }

    #[must_use]
    pub fn member_suspended_subject(self, member: &str) -> String {
        match self {
            Self::En => format!("No more copies to {member}"),
            Self::Fr => format!("Plus de copies à {member}"),
        }
    }

    /// That a member gets no copies, before the last failure, and what to do, after it.
    #[must_use]
    pub fn member_suspended(self, property: &str, member: &str, address: &str) -> (String, String) {
        match self {
            Self::En => (
                format!("{member} gets no more copies from {property}: mail to this address kept failing."),
                format!(
                    "When the address works again, any mail from it resumes them, and so does: guichet member resume {address}"
                ),
            ),
            Self::Fr => (
                format!(
                    "{member} ne reçoit plus de copies de {property}\u{a0}: les envois à cette adresse échouaient sans cesse."
                ),
                format!(
                    "Quand l’adresse fonctionnera de nouveau, tout courriel qui en vient les rétablira, de même que\u{a0}: guichet member resume {address}"
                ),
            ),
        }
    }

    #[must_use]
    pub fn public_taken_back_subject(self, public: &str) -> String {
        match self {
            Self::En => format!("Mail no longer comes from {public}"),
            Self::Fr => format!("Le courrier ne part plus de {public}"),
        }
    }

    /// That a public address stands in From no longer, and what to do.
    #[must_use]
    pub fn public_taken_back(self, property: &str, public: &str, forwarding: &str) -> String {
        let domain = public.rsplit('@').next().unwrap_or(public);
        match self {
            Self::En => format!(
                "Contacts of {property} now see {forwarding} as the sender instead of {public}: the DNS of {domain} no longer has the DKIM key by which mail from here proves that it may use this address. Without the key, other servers would take that mail for forged. Mail goes on in both directions.\n\nThe records that belong there: guichet dns {domain}\nWhen they are there again, {public} comes back by itself within an hour, or at once with: guichet dns --check"
            ),
            Self::Fr => format!(
                "Les contacts de {property} voient désormais {forwarding} comme expéditeur à la place de {public}\u{a0}: le DNS de {domain} ne contient plus la clé DKIM par laquelle le courrier parti d’ici prouve qu’il peut utiliser cette adresse. Sans cette clé, d’autres serveurs prendraient ce courrier pour un faux. Les échanges continuent dans les deux sens.\n\nLes enregistrements attendus\u{a0}: guichet dns {domain}\nQuand ils seront de nouveau en place, {public} reviendra de lui-même dans l’heure, ou tout de suite avec\u{a0}: guichet dns --check"
            ),
        }
    }

    #[must_use]
    pub fn quiet_subject(self, subject: &str) -> String {
        match self {
            Self::En => format!("Gone quiet: {subject}"),
            Self::Fr => format!("Mis en sourdine\u{a0}: {subject}"),
        }
    }

    /// That a ticket went quiet, and what to do.
    #[must_use]
    pub fn quiet(self, ticket: &TicketRef, writer: &str, reason: Reason) -> String {
        match self {
            Self::En => {
                let why = if reason == Reason::LookAlike {
                    format!("{writer} has sent many messages that look alike.")
                } else {
                    format!("{writer} seems to be a machine that answers our mail by itself.")
                };
                format!(
                    "{ticket} has gone quiet. {why} What comes next is kept on the ticket and sent to nobody; you will not be told again until one of you writes on it.\n\nTo read it: guichet ticket show {ticket}"
                )
            }
            Self::Fr => {
                let why = if reason == Reason::LookAlike {
                    format!("{writer} a envoyé de nombreux messages qui se ressemblent.")
                } else {
                    format!("{writer} semble être une machine qui répond d’elle-même à notre courrier.")
                };
                format!(
                    "{ticket} est mis en sourdine. {why} La suite est conservée sur le ticket sans être envoyée à personne\u{a0}; vous n’en serez plus avertis avant que l’un de vous y écrive.\n\nPour la lire\u{a0}: guichet ticket show {ticket}"
                )
            }
        }
    }

    #[must_use]
    pub fn received_subject(self, ticket: &TicketRef) -> String {
        match self {
            Self::En => format!("We have your message ({ticket})"),
            Self::Fr => format!("Nous avons bien reçu votre message ({ticket})"),
        }
    }

    /// The acknowledgement to a requester. It repeats nothing of what he wrote.
    #[must_use]
    pub fn received(self, ticket: &TicketRef, house: &str) -> String {
        let first = self.received_first();
        match self {
            Self::En => format!(
                "{first} {ticket}, and we will get back to you.\nTo add something, just reply to this mail.\n\n{house}"
            ),
            Self::Fr => format!(
                "{first} {ticket}, et nous reviendrons vers vous.\nPour le compléter, répondez simplement à ce courriel.\n\n{house}"
            ),
        }
    }

    /// How an acknowledgement begins, before the ticket's name: by this another desk's is known.
    #[must_use]
    pub fn received_first(self) -> &'static str {
        match self {
            Self::En => "Thank you for your message. It has reached us under the number",
            Self::Fr => "Merci pour votre message. Il nous est parvenu sous le numéro",
        }
    }

    /// What a new assignee reads first.
    #[must_use]
    pub fn conversation_so_far(self) -> &'static str {
        match self {
            Self::En => "The conversation so far, oldest first:",
            Self::Fr => "La conversation jusqu’ici, du plus ancien au plus récent\u{a0}:",
        }
    }

    #[must_use]
    pub fn internal_note(self) -> &'static str {
        match self {
            Self::En => "internal note",
            Self::Fr => "note interne",
        }
    }

    #[must_use]
    pub fn attachments(self) -> &'static str {
        match self {
            Self::En => "Attachments:",
            Self::Fr => "Pièces jointes\u{a0}:",
        }
    }

    /// How many older entries a long conversation does not show.
    #[must_use]
    pub fn earlier(self, count: usize) -> String {
        match self {
            Self::En => format!("[{count} earlier, on the ticket]"),
            Self::Fr => format!("[{count} plus anciens, sur le ticket]"),
        }
    }

    /// A date and time, in UTC.
    #[must_use]
    pub fn time(self, at: Timestamp) -> String {
        const MOIS: [&str; 12] = [
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "août",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ];
        let at = at.to_zoned(TimeZone::UTC);
        match self {
            Self::En => at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            Self::Fr => {
                let day = if at.day() == 1 { "1er".to_owned() } else { at.day().to_string() };
                let month = usize::try_from(at.month()).ok().and_then(|month| MOIS.get(month.wrapping_sub(1)));
                let month = month.expect("a month is one of twelve");
                format!("{day} {month} {} à {}", at.year(), at.strftime("%H:%M UTC"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        let at: Timestamp = "2026-08-01T05:06:07Z".parse().unwrap();
        assert_eq!(Language::En.time(at), "1 August 2026, 05:06 UTC");
        assert_eq!(Language::Fr.time(at), "1er août 2026 à 05:06 UTC");
    }
}
