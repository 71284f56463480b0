//! Who a client is that says it is a member, for every door with a login: SMTP submission, and
//! IMAP.
//!
//! [`sasl`] is the conversation, without I/O; its questions are answered here from the store, in the
//! same way and time for names that nobody has. [`throttle`] slows down whoever guesses. What comes
//! of it is a [`Login`], which nothing else makes.

pub mod sasl;
pub mod throttle;

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};

use self::sasl::{Answer, Denied, Question};
use self::throttle::Throttle;
use crate::actions::Desk;
use crate::actions::app_password::{self, Candidate};
use crate::desk::login::{self, AppPassword, Login, Mechanism, Use};
use crate::desk::scram::Keys;
use crate::metrics::{self, Metrics};
use crate::net::limits::network;
use crate::store::Store;

/// The most characters of a name in the log; an address has no more.
const LONGEST_NAME: usize = 254;
/// How long a network counts as one that a member logs in from.
const OF_LATE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Answers the questions of logins.
pub struct Logins {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub throttle: Throttle,
    pub metrics: Arc<Metrics>,
}

impl Logins {
    /// Answers one question of a client. What it is denied, it is denied alike whether or not the
    /// name is anybody's.
    pub async fn answer(self: &Arc<Self>, client: IpAddr, now: Timestamp, question: Question) -> Answer {
        let user: String = question.user().chars().take(LONGEST_NAME).collect();
        let mechanism = question.mechanism();
        let logins = Arc::clone(self);
        // Reading may wait for the disk, and keys take their time.
        let answer = tokio::task::spawn_blocking(move || logins.look(client, now, &question)).await;
        let answer = answer.unwrap_or_else(|error| {
            tracing::error!(%error, "a login could not be checked");
            Answer::Denied(Denied::Unavailable)
        });
        match &answer {
            Answer::Login(login, _) => {
                self.metrics.count(metrics::Login::Succeeded);
                self.used(client, now, login, mechanism).await;
            }
            Answer::Denied(reason) => {
                self.metrics.count(match reason {
                    Denied::Wrong => metrics::Login::Failed,
                    Denied::Slowed(_) => metrics::Login::Slowed,
                    Denied::Unavailable => metrics::Login::Unavailable,
                });
                tracing::info!(%client, user, mechanism = mechanism.as_str(), %reason, "login denied");
            }
            Answer::Salt { .. } => {}
        }
        answer
    }

    fn look(&self, client: IpAddr, now: Timestamp, question: &Question) -> Answer {
        let candidate = self.store.read(|view| app_password::candidate(view, &self.desk, question.user()));
        let Candidate { salt, passwords } = match candidate {
            Ok(candidate) => candidate,
            Err(error) => {
                tracing::error!(%error, "app passwords can't be read");
                return Answer::Denied(Denied::Unavailable);
            }
        };
        if let Question::Salt { .. } = question {
            return Answer::Salt { salt, random: BASE64.encode(&(self.desk.random)()) };
        }
        let familiar = passwords.iter().any(|password| comes_from(password, client, now));
        let attempt = match self.throttle.begin(question.user(), client, familiar, now) {
            Ok(attempt) => attempt,
            Err(wait) => return Answer::Denied(Denied::Slowed(wait)),
        };
        let found = match question {
            Question::Salt { .. } => None,
            Question::Password { password, .. } => {
                let said = Keys::of(&login::as_printed(password), &salt);
                login::by_password(&passwords, &said).map(|login| (login, None))
            }
            Question::Proof(proof) => login::by_proof(&passwords, proof).map(|(login, verdict)| (login, Some(verdict))),
        };
        match found {
            Some((login, verdict)) => {
                attempt.succeeded();
                Answer::Login(login, verdict)
            }
            None => Answer::Denied(Denied::Wrong),
        }
    }

    /// Writes the login down. One that can't be written down is one all the same.
    async fn used(&self, client: IpAddr, now: Timestamp, login: &Login, mechanism: Mechanism) {
        let last = Use { at: now, client, mechanism };
        let written = self.store.transact(|tx| app_password::used(tx, login, &last)).await;
        if let Err(error) = written {
            tracing::warn!(%error, "the last use of an app password can't be written down");
        }
    }
}

/// Whether a device came from a client's network of late.
fn comes_from(password: &AppPassword, client: IpAddr, now: Timestamp) -> bool {
    password
        .last_use
        .as_ref()
        .is_some_and(|last| network(last.client) == network(client) && now.duration_since(last.at) < OF_LATE)
}
