//! What the SMTP server asks of the desk.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::desk::address::Address;
use crate::desk::envelope::{Envelope, Visit};
use crate::intake::rates::Rates;
use crate::intake::{Intake, Rejection};
use crate::login::Logins;
use crate::login::sasl::{Answer, Question};
use crate::metrics::{Metrics, Rate, Refusal};
use crate::net::limits::{Memory, network};
use crate::relay::probe::Probes;
use crate::smtp::body::Body;
use crate::smtp::reply::Reply;
use crate::smtp::server::Host;

/// How often the octets of a message are in memory while it is read, judged and filed.
const TIMES: u64 = 2;

/// Mail on its way to the intake, from the world and from members.
pub struct Inbound {
    pub intake: Arc<Intake>,
    pub logins: Arc<Logins>,
    /// For messages that were spooled and are read back whole.
    pub memory: Memory,
    /// Messages from the world, by the network that they come from.
    pub networks: Rates<IpAddr>,
    pub metrics: Arc<Metrics>,
    /// Messages that test the way out, and come back here.
    pub probes: Arc<Probes>,
}

impl Host for Inbound {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn login(&self, client: IpAddr, question: Question) -> Answer {
        self.logins.answer(client, self.now(), question).await
    }

    async fn recipient(&self, visit: &Visit, address: &Address) -> Result<(), Reply> {
        let taken = match &visit.login {
            Some(login) => self.intake.may_send(login, visit, address, self.now()),
            None if self.networks.is_spent(&network(visit.client), self.now()) => {
                self.metrics.count(Rate::Network);
                let text = "too much mail from your network within an hour; try again later";
                return Err(Reply::closing((4, 7, 0), text).because(Refusal::Rate));
            }
            None => self.intake.recipient(visit, address).await,
        };
        taken.map_err(refused)
    }

    async fn deliver(&self, envelope: Envelope, body: Body) -> Reply {
        let _room = self.memory.room(body.len(), TIMES).await;
        let raw = match read(body).await {
            Ok(raw) => raw,
            Err(error) => {
                tracing::error!(%error, "a spooled message can't be read");
                return Reply::try_again("the message could not be read back; try again later");
            }
        };
        let filed = if let Some(login) = &envelope.login {
            self.intake.submit(login, &envelope, raw).await
        } else if self.probes.take(&envelope, &raw) {
            return Reply::ok(format!("the test came back, as {}", envelope.id));
        } else {
            self.networks.count(network(envelope.client), envelope.at);
            self.intake.receive(&envelope, raw).await
        };
        match filed {
            Ok(accepted) => {
                let tickets: Vec<_> = accepted.tickets.iter().map(ToString::to_string).collect();
                Reply::ok(format!("{} as {}", tickets.join(", "), envelope.id))
            }
            Err(rejection) => refused(rejection),
        }
    }
}

/// The whole message; a spooled one is read where blocking is allowed.
async fn read(body: Body) -> io::Result<Vec<u8>> {
    if body.is_in_memory() {
        return body.read_all();
    }
    tokio::task::spawn_blocking(|| body.read_all()).await.map_err(io::Error::other)?
}

/// The reply that a refusal is.
fn refused(rejection: Rejection) -> Reply {
    Reply::new(rejection.code, rejection.enhanced, rejection.text).because(rejection.reason)
}
