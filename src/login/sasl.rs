//! The server's side of SASL (RFC 4422) by PLAIN (RFC 4616), LOGIN and SCRAM-SHA-256 (RFC 7677),
//! without I/O: messages and answers go in, what to do next comes out. How messages are written on
//! the wire is the protocol's matter.

use std::fmt;

use jiff::SignedDuration;

use crate::desk::login::{Login, Mechanism};
use crate::desk::scram::{Challenge, ClientFirst, Malformed, Proof, Salt};

/// One exchange of messages, from the choice of a mechanism to its outcome.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client's first message is due.
    First,
    /// LOGIN: the password is due.
    Password(String),
    /// SCRAM: the salt is asked for.
    Salt(ClientFirst),
    /// SCRAM: the client's final message is due.
    Final(Challenge),
    /// The login was asked for.
    Asked,
    /// SCRAM: the client's word that it has seen ours is due.
    Seen(Login),
    Over,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, and give [`Exchange::message`] what the client answers.
    Challenge(String),
    /// Find out, and give [`Exchange::answered`] the answer.
    Ask(Question),
    /// He is logged in.
    Done(Login),
    Denied(Denied),
    /// The client said what the mechanism has no place for.
    Malformed(&'static str),
}

/// What has to be known of whoever logs in.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether somebody has this password.
    Password { user: String, password: String, mechanism: Mechanism },
    /// The salt of somebody's passwords.
    Salt { user: String },
    /// Whether this proves that somebody has his password.
    Proof(Proof),
}

impl Question {
    /// The name, as it was given.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::Salt { user } => user,
            Self::Proof(proof) => &proof.user,
        }
    }

    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Password { mechanism, .. } => *mechanism,
            Self::Salt { .. } | Self::Proof(_) => Mechanism::ScramSha256,
        }
    }
}

/// Without the password.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({} by {})", self.user(), self.mechanism().as_str())
    }
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes; with what proves to a client of SCRAM that we know the password.
    Login(Login, Option<String>),
    /// The salt, and printable random text of ours.
    Salt {
        salt: Salt,
        random: String,
    },
    Denied(Denied),
}

/// Why nobody is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody has this name, or not this password.
    #[error("the address or the app password is wrong")]
    Wrong,
    /// Too many were wrong lately; to be tried again after so long.
    #[error("too many failed logins; try again in {} seconds", .0.as_secs())]
    Slowed(SignedDuration),
    /// It can't be found out now.
    #[error("logins can't be checked now; try again later")]
    Unavailable,
}

impl Exchange {
    /// Begins one. `initial` is what the client sent along with its choice.
    #[must_use]
    pub fn begin(mechanism: Mechanism, initial: Option<Vec<u8>>) -> (Self, Step) {
        let mut exchange = Self { mechanism, state: State::First };
        let step = match (initial, mechanism) {
            (Some(message), _) => exchange.message(&message),
            // Some clients want to be asked in exactly these words.
            (None, Mechanism::Login) => Step::Challenge("Username:".to_owned()),
            (None, Mechanism::Plain | Mechanism::ScramSha256) => Step::Challenge(String::new()),
        };
        (exchange, step)
    }

    /// The client's next message.
    pub fn message(&mut self, message: &[u8]) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), self.mechanism) {
            (State::First, Mechanism::Plain) => match plain(message) {
                Ok((user, password)) => self.ask_password(user, password),
                Err(step) => step,
            },
            (State::First, Mechanism::Login) => match text(message) {
                Some(user) => {
                    self.state = State::Password(user);
                    Step::Challenge("Password:".to_owned())
                }
                None => Step::Malformed("the user name is no text"),
            },
            (State::Password(user), _) => match text(message) {
                Some(password) => self.ask_password(user, password),
                None => Step::Malformed("the password is no text"),
            },
            (State::First, Mechanism::ScramSha256) => match ClientFirst::read(message) {
                Ok(first) => {
                    let question = Question::Salt { user: first.user.clone() };
                    self.state = State::Salt(first);
                    Step::Ask(question)
                }
                Err(error) => refused(error),
            },
            (State::Final(challenge), _) => match challenge.answered(message) {
                Ok(proof) => {
                    self.state = State::Asked;
                    Step::Ask(Question::Proof(proof))
                }
                Err(error) => refused(error),
            },
            (State::Seen(login), _) if message.is_empty() => Step::Done(login),
            (State::Seen(_) | State::Salt(_) | State::Asked | State::Over, _) => {
                Step::Malformed("the mechanism has no such message")
            }
        }
    }

    /// The answer to [`Step::Ask`].
    pub fn answered(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), answer) {
            (_, Answer::Denied(denied)) => Step::Denied(denied),
            (State::Salt(first), Answer::Salt { salt, random }) => {
                let challenge = first.answered(&salt, &random);
                let message = challenge.message().to_owned();
                self.state = State::Final(challenge);
                Step::Challenge(message)
            }
            (State::Asked, Answer::Login(login, None)) => Step::Done(login),
            (State::Asked, Answer::Login(login, Some(verdict))) => {
                self.state = State::Seen(login);
                Step::Challenge(verdict)
            }
            _ => Step::Denied(Denied::Unavailable),
        }
    }

    fn ask_password(&mut self, user: String, password: String) -> Step {
        self.state = State::Asked;
        Step::Ask(Question::Password { user, password, mechanism: self.mechanism })
    }
}

/// `[authzid] NUL authcid NUL passwd`. Whoever wants to act for another is nobody.
fn plain(message: &[u8]) -> Result<(String, String), Step> {
    let malformed = Step::Malformed("PLAIN is a name, NUL, the same name, NUL, and a password");
    let Ok(message) = std::str::from_utf8(message) else { return Err(malformed) };
    let parts: Vec<&str> = message.split('\0').collect();
    let &[authzid, user, password] = parts.as_slice() else { return Err(malformed) };
    if user.is_empty() || password.is_empty() {
        return Err(malformed);
    }
    if !authzid.is_empty() && authzid.to_lowercase() != user.to_lowercase() {
        return Err(Step::Denied(Denied::Wrong));
    }
    Ok((user.to_owned(), password.to_owned()))
}

/// Some clients end a text with NUL.
fn text(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?.trim_end_matches('\0');
    (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned())
}

fn refused(error: Malformed) -> Step {
    match error {
        Malformed::Authzid => Step::Denied(Denied::Wrong),
        Malformed::Syntax => Step::Malformed("this is no message of SCRAM-SHA-256"),
        Malformed::ChannelBinding => Step::Malformed("channel binding is not offered here"),
        Malformed::Extension => Step::Malformed("the client wants an extension of SCRAM that is not known here"),
        Malformed::Nonce => Step::Malformed("the client went on from another exchange"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::id::{AppPasswordId, MemberId};
    use crate::desk::login::{AppPassword, by_password};
    use crate::desk::scram::Keys;

    fn login() -> Login {
        let salt = Salt { octets: [0; 16], iterations: Salt::ITERATIONS };
        let password = AppPassword {
            id: AppPasswordId(1),
            member: MemberId(1),
            name: String::new(),
            salt,
            keys: Keys::of("x", &salt),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            last_use: None,
        };
        by_password(&[password], &Keys::of("x", &salt)).unwrap()
    }

    fn password(user: &str, password: &str, mechanism: Mechanism) -> Step {
        Step::Ask(Question::Password { user: user.into(), password: password.into(), mechanism })
    }

    #[test]
    fn plain_has_three_parts() {
        for (message, expected) in [
            (&b"\0a@b\0pw"[..], password("a@b", "pw", Mechanism::Plain)),
            (b"A@b\0a@b\0p w", password("a@b", "p w", Mechanism::Plain)),
            (b"root\0a@b\0pw", Step::Denied(Denied::Wrong)),
        ] {
            assert_eq!(Exchange::begin(Mechanism::Plain, Some(message.to_vec())).1, expected);
        }
        for message in [&b""[..], b"\0", b"\0a@b", b"a@b\0pw", b"\0\0pw", b"\0a@b\0", b"\0a\0b\0c", b"\0a\0\xff"] {
            let step = Exchange::begin(Mechanism::Plain, Some(message.to_vec())).1;
            assert!(matches!(step, Step::Malformed(_)), "{}: {step:?}", message.escape_ascii());
        }
    }

    #[test]
    fn login_asks_for_what_it_was_not_told() {
        let (mut exchange, step) = Exchange::begin(Mechanism::Login, None);
        assert_eq!(step, Step::Challenge("Username:".into()));
        assert_eq!(exchange.message(b"a@b\0"), Step::Challenge("Password:".into()));
        assert_eq!(exchange.message(b"pw"), password("a@b", "pw", Mechanism::Login));
        assert_eq!(exchange.answered(Answer::Login(login(), None)), Step::Done(login()));
        let (_, step) = Exchange::begin(Mechanism::Login, Some(b"a@b".to_vec()));
        assert_eq!(step, Step::Challenge("Password:".into()));
    }

    #[test]
    fn an_exchange_that_is_over_goes_nowhere() {
        let (mut exchange, _) = Exchange::begin(Mechanism::Plain, Some(b"\0a\0b".to_vec()));
        assert!(matches!(exchange.message(b"more"), Step::Malformed(_)));
        assert_eq!(exchange.answered(Answer::Login(login(), None)), Step::Denied(Denied::Unavailable));
        let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha256, Some(b"n,,n=a,r=x".to_vec()));
        assert_eq!(exchange.answered(Answer::Login(login(), None)), Step::Denied(Denied::Unavailable));
        let (mut exchange, _) = Exchange::begin(Mechanism::Plain, None);
        assert_eq!(exchange.answered(Answer::Denied(Denied::Wrong)), Step::Denied(Denied::Wrong));
        assert!(matches!(exchange.message(b"\0a\0b"), Step::Malformed(_)));
    }

    #[test]
    fn what_holds_a_password_does_not_show_it() {
        let (exchange, step) = Exchange::begin(Mechanism::Plain, Some(b"\0a@b\0hunter2".to_vec()));
        let auth = crate::desk::scram::ClientFirst::read(b"n,,n=hunter2,r=hunter2").unwrap();
        let keys = Keys::of("hunter2", &Salt { octets: [0; 16], iterations: Salt::ITERATIONS });
        let shown = format!("{exchange:?} {step:?} {auth:?} {keys:?}");
        assert!(!shown.contains("hunter2") && shown.contains("a@b by PLAIN"), "{shown}");
    }
}
