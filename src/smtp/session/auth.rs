//! AUTH (RFC 4954) on a submission port, once TLS is active.

use data_encoding::BASE64;

use super::{Effect, Mode, Service, Session, Tls};
use crate::desk::login::Mechanism;
use crate::login::sasl::{Answer, Denied, Exchange, Step};
use crate::smtp::command::Auth;
use crate::smtp::reply::Reply;

impl Session {
    /// The line of EHLO's answer, where logging in is possible (RFC 4954 §3).
    pub(super) fn auth_offered(&self) -> String {
        if self.service != Service::Submission || self.tls != Tls::Active {
            return String::new();
        }
        let mechanisms: Vec<_> = Mechanism::ALL.iter().map(|mechanism| mechanism.as_str()).collect();
        format!("\nAUTH {}", mechanisms.join(" "))
    }

    /// Why no mail is taken yet: on a submission port only from whom is logged in (RFC 6409 §4.3),
    /// which takes TLS (RFC 8314 §3.3).
    pub(super) fn login_refusal(&self) -> Option<Reply> {
        match (self.service, &self.login, self.tls) {
            (Service::World, ..) | (_, Some(_), _) => None,
            (Service::Submission, None, Tls::Active) => {
                Some(Reply::new(530, (5, 7, 0), "log in first, with AUTH and an app password"))
            }
            (Service::Submission, None, Tls::Offered | Tls::Unavailable) => {
                Some(Reply::new(530, (5, 7, 0), "say STARTTLS first, then log in with AUTH"))
            }
        }
    }

    pub(super) fn auth(&mut self, auth: &Auth) {
        if let Some(refusal) = self.auth_refusal() {
            return self.refuse(refusal);
        }
        let Some(mechanism) = Mechanism::named(&auth.mechanism) else {
            return self.refuse(Reply::new(504, (5, 5, 4), "the mechanisms are those that EHLO tells"));
        };
        let initial = match auth.initial.as_deref() {
            None => None,
            // An empty one (RFC 4954 §4).
            Some("=") => Some(Vec::new()),
            Some(text) => match BASE64.decode(text.as_bytes()) {
                Ok(octets) => Some(octets),
                Err(_) => return self.refuse(not_base64()),
            },
        };
        let (exchange, step) = Exchange::begin(mechanism, initial);
        self.auth_step(exchange, step);
    }

    fn auth_refusal(&self) -> Option<Reply> {
        if self.service == Service::World {
            return Some(Reply::new(502, (5, 5, 1), "nobody logs in on this port; members send on 465 or 587"));
        }
        if self.tls != Tls::Active {
            return Some(Reply::new(538, (5, 7, 11), "encrypt first: say STARTTLS, then AUTH"));
        }
        if !matches!(self.greeted, Some((_, true))) {
            return Some(Reply::new(503, (5, 5, 1), "say EHLO first"));
        }
        if self.login.is_some() {
            return Some(Reply::new(503, (5, 5, 1), "you are logged in already"));
        }
        self.transaction
            .is_some()
            .then(|| Reply::new(503, (5, 5, 1), "no AUTH between MAIL and the end of the message"))
    }

    /// The client's answer to a challenge, a line in base64.
    pub(super) fn auth_line(&mut self, line: &[u8]) {
        let Mode::Auth(mut exchange) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let line = line.trim_ascii_end();
        if line == b"*" {
            return self.refuse(Reply::new(501, (5, 7, 0), "the login is cancelled"));
        }
        let Ok(message) = BASE64.decode(line) else { return self.refuse(not_base64()) };
        let step = exchange.message(&message);
        self.auth_step(exchange, step);
    }

    /// The answer to [`Effect::Login`].
    pub fn login_answered(&mut self, answer: Answer) {
        if !matches!(self.mode, Mode::AuthAsked(_)) {
            return;
        }
        let Mode::AuthAsked(mut exchange) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let step = exchange.answered(answer);
        self.auth_step(exchange, step);
    }

    fn auth_step(&mut self, exchange: Exchange, step: Step) {
        match step {
            Step::Challenge(text) => {
                self.mode = Mode::Auth(exchange);
                self.say(Reply::plain(334, BASE64.encode(text.as_bytes())));
            }
            Step::Ask(question) => {
                self.mode = Mode::AuthAsked(exchange);
                self.due.push_back(Effect::Login(question));
            }
            Step::Done(login) => {
                self.login = Some(login);
                self.say(Reply::new(235, (2, 7, 0), "welcome"));
            }
            Step::Denied(denied) => self.refuse(denial(denied)),
            Step::Malformed(why) => self.refuse(Reply::new(501, (5, 5, 2), why)),
        }
    }
}

fn not_base64() -> Reply {
    Reply::new(501, (5, 5, 2), "that is not base64")
}

/// RFC 4954 §6.
fn denial(denied: Denied) -> Reply {
    match denied {
        Denied::Wrong => Reply::new(535, (5, 7, 8), denied.to_string()),
        Denied::Slowed(_) | Denied::Unavailable => Reply::new(454, (4, 7, 0), denied.to_string()),
    }
}
