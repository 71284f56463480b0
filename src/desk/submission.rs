//! What a member's own mail is, sent while logged in (`docs/mail.md`, Mail from members).

use super::address::Address;
use super::copy::Scope;

/// Whose address stands in From. Whatever it is, the author is who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The member's own.
    Own,
    /// A property's where he has a role.
    Property,
    Other,
}

/// What the mail answers by its In-Reply-To or References, in the property of its From.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Note,
    /// Something public, and whether the ticket's requester is among the recipients.
    Public {
        to_requester: bool,
    },
}

/// How the mail came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Written,
    /// A client answered by itself: he is away, he has read it.
    Automatic,
    /// A copy that the desk sent, sent on as it is ("redirect").
    Resent,
}

/// All that decides.
#[derive(Clone, Copy, Debug)]
pub struct Submission {
    pub sender: Sender,
    pub manner: Manner,
    /// The scope of the reply addresses of his among the recipients, the narrowest.
    pub reply: Option<Scope>,
    /// Whether a property's or department's own address is among the recipients.
    pub inbox: bool,
    /// Recipients outside: neither addresses of the desk nor of colleagues.
    pub outsiders: usize,
    /// Those of them whom neither To nor Cc names, and who take no part in the ticket.
    pub blind: usize,
    pub answered: Option<Answered>,
}

/// What it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// A public message or a note on the tickets of the reply addresses.
    Reply,
    /// A public message on the ticket that it answers.
    Join,
    /// A new ticket for the first recipient outside.
    Compose,
    /// A ticket of his own, or what mail to the desk's own addresses becomes.
    Own,
}

/// Why it is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// He belongs to no property.
    NoRole,
    Resent,
    Automatic,
    From,
    OwnFrom,
    NoteToOutsiders,
    AnswersNote,
    Blind,
    Nobody,
}

impl Refusal {
    /// What to say, and what to do instead. `from` is an address that he may send from, which all who
    /// belong to a property have.
    #[must_use]
    pub fn text(self, from: Option<&Address>) -> String {
        let from = from.map_or("your property", Address::as_str);
        match self {
            Self::NoRole => "you have no role in any property of this desk".to_owned(),
            Self::Resent => {
                "this is a copy that the desk sent, sent once more; forward it instead, or answer it".to_owned()
            }
            Self::Automatic => "the desk sends no automatic answers to others".to_owned(),
            Self::From => format!("From is neither an address of yours nor of a desk of yours; send as {from}"),
            Self::OwnFrom => {
                format!(
                    "the desk sends nothing outside as you; send as {from}, or answer the mail that the desk sent you"
                )
            }
            Self::NoteToOutsiders => {
                "this answers a note, which stays among members; take the others out, or answer the customer's message"
                    .to_owned()
            }
            Self::AnswersNote => {
                "this quotes a note, which stays among members; write a new mail, or answer the customer's message"
                    .to_owned()
            }
            Self::Blind => {
                "everybody on a ticket can see who is on it; put blind recipients into To or Cc, or write to them apart"
                    .to_owned()
            }
            Self::Nobody => {
                format!("a ticket needs somebody outside; for a ticket of your own write to {from}")
            }
        }
    }
}

/// The row for mail that goes to questions of the desk alone, whatever stands in From.
///
/// # Errors
/// [`Refusal::Resent`].
pub fn decide_answer(manner: Manner) -> Result<(), Refusal> {
    match manner {
        Manner::Resent => Err(Refusal::Resent),
        // An automatic one is kept, and decides nothing.
        Manner::Automatic | Manner::Written => Ok(()),
    }
}

/// The table.
///
/// # Errors
/// [`Refusal`]; then nothing of the mail is taken.
pub fn decide(mail: &Submission) -> Result<Course, Refusal> {
    decide_answer(mail.manner)?;
    match by_recipients(mail)? {
        Course::Join | Course::Compose if mail.manner == Manner::Automatic => Err(Refusal::Automatic),
        course => Ok(course),
    }
}

fn by_recipients(mail: &Submission) -> Result<Course, Refusal> {
    let outside = mail.outsiders > 0;
    match (mail.sender, mail.reply) {
        (Sender::Other, _) => Err(Refusal::From),
        (_, Some(Scope::Note)) if outside => Err(Refusal::NoteToOutsiders),
        (_, Some(_)) if mail.blind > 0 => Err(Refusal::Blind),
        (_, Some(_)) => Ok(Course::Reply),
        (Sender::Own, None) if outside => Err(Refusal::OwnFrom),
        (Sender::Property, None) if outside => match mail.answered {
            Some(Answered::Note) => Err(Refusal::AnswersNote),
            Some(Answered::Public { to_requester: true }) if mail.blind > 0 => Err(Refusal::Blind),
            Some(Answered::Public { to_requester: true }) => Ok(Course::Join),
            // Whoever is not addressed must not read it: it opens a ticket of its own.
            Some(Answered::Public { to_requester: false }) | None => {
                // One alone has nobody to hide from.
                if mail.blind > 0 && mail.outsiders > 1 { Err(Refusal::Blind) } else { Ok(Course::Compose) }
            }
        },
        (Sender::Own | Sender::Property, None) if mail.inbox => Ok(Course::Own),
        (Sender::Own | Sender::Property, None) => Err(Refusal::Nobody),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table_and_its_nearest_neighbour() {
        let base = Submission {
            sender: Sender::Property,
            manner: Manner::Written,
            reply: None,
            inbox: false,
            outsiders: 1,
            blind: 0,
            answered: None,
        };
        let own = Submission { sender: Sender::Own, ..base };
        let note = Some(Scope::Note);
        let public = Some(Scope::Public);
        let automatic = Submission { manner: Manner::Automatic, ..base };
        let resent = Submission { manner: Manner::Resent, ..base };
        let answers = |to_requester| Some(Answered::Public { to_requester });
        for (row, mail, expected) in [
            ("to his reply address", Submission { reply: public, outsiders: 0, ..own }, Ok(Course::Reply)),
            ("the same as the property", Submission { reply: public, outsiders: 0, ..base }, Ok(Course::Reply)),
            ("and to others", Submission { reply: public, outsiders: 2, ..own }, Ok(Course::Reply)),
            ("and to the desk", Submission { reply: public, outsiders: 0, inbox: true, ..own }, Ok(Course::Reply)),
            ("and to others unseen", Submission { reply: public, blind: 1, ..own }, Err(Refusal::Blind)),
            ("a note", Submission { reply: note, outsiders: 0, ..own }, Ok(Course::Reply)),
            ("a note to others", Submission { reply: note, ..own }, Err(Refusal::NoteToOutsiders)),
            ("a note to others unseen", Submission { reply: note, blind: 1, ..own }, Err(Refusal::NoteToOutsiders)),
            ("as somebody else", Submission { sender: Sender::Other, ..base }, Err(Refusal::From)),
            (
                "as somebody else to his reply address",
                Submission { sender: Sender::Other, reply: public, outsiders: 0, ..base },
                Err(Refusal::From),
            ),
            ("as himself to others", own, Err(Refusal::OwnFrom)),
            ("as himself to others and the desk", Submission { inbox: true, ..own }, Err(Refusal::OwnFrom)),
            ("as himself to the desk", Submission { inbox: true, outsiders: 0, ..own }, Ok(Course::Own)),
            ("as the property to the desk", Submission { inbox: true, outsiders: 0, ..base }, Ok(Course::Own)),
            ("as the property to colleagues alone", Submission { outsiders: 0, ..base }, Err(Refusal::Nobody)),
            ("as himself to colleagues alone", Submission { outsiders: 0, ..own }, Err(Refusal::Nobody)),
            ("as the property to others", base, Ok(Course::Compose)),
            ("to others and the desk", Submission { inbox: true, ..base }, Ok(Course::Compose)),
            ("to one unseen", Submission { blind: 1, ..base }, Ok(Course::Compose)),
            ("to one seen and one unseen", Submission { outsiders: 2, blind: 1, ..base }, Err(Refusal::Blind)),
            ("to two unseen", Submission { outsiders: 2, blind: 2, ..base }, Err(Refusal::Blind)),
            ("an answer to the requester", Submission { answered: answers(true), ..base }, Ok(Course::Join)),
            (
                "an answer to the requester, and to one unseen",
                Submission { answered: answers(true), outsiders: 2, blind: 1, ..base },
                Err(Refusal::Blind),
            ),
            ("an answer to somebody else", Submission { answered: answers(false), ..base }, Ok(Course::Compose)),
            ("an answer as himself", Submission { answered: answers(true), ..own }, Err(Refusal::OwnFrom)),
            ("an automatic answer to others", automatic, Err(Refusal::Automatic)),
            (
                "an automatic answer to the requester",
                Submission { answered: answers(true), ..automatic },
                Err(Refusal::Automatic),
            ),
            (
                "an automatic answer to his reply address",
                Submission { reply: public, outsiders: 0, ..automatic },
                Ok(Course::Reply),
            ),
            ("an automatic answer to the desk", Submission { inbox: true, outsiders: 0, ..automatic }, Ok(Course::Own)),
            ("a copy sent on to others", resent, Err(Refusal::Resent)),
            (
                "a copy sent on to his reply address",
                Submission { reply: public, outsiders: 0, ..resent },
                Err(Refusal::Resent),
            ),
            ("an answer to a note", Submission { answered: Some(Answered::Note), ..base }, Err(Refusal::AnswersNote)),
        ] {
            assert_eq!(decide(&mail), expected, "{row}");
        }
        assert_eq!(decide_answer(Manner::Written), Ok(()));
        assert_eq!(decide_answer(Manner::Automatic), Ok(()), "kept");
        assert_eq!(decide_answer(Manner::Resent), Err(Refusal::Resent));
    }
}
