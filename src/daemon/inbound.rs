//! What the SMTP server asks of the desk.

use std::io;

use jiff::Timestamp;

use crate::desk::address::Address;
use crate::desk::envelope::Envelope;
use crate::intake::{Intake, Rejection};
use crate::smtp::body::Body;
use crate::smtp::reply::Reply;
use crate::smtp::server::Host;

/// Mail from the world on its way to the intake.
pub struct Inbound {
    pub intake: Intake,
}

impl Host for Inbound {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn recipient(&self, address: &Address) -> Result<(), Reply> {
        self.intake.recipient(address).map_err(reply)
    }

    async fn deliver(&self, envelope: Envelope, body: Body) -> Reply {
        let raw = match read(body).await {
            Ok(raw) => raw,
            Err(error) => {
                tracing::error!(%error, "a spooled message can't be read");
                return Reply::try_again("the message could not be read back; try again later");
            }
        };
        match self.intake.receive(&envelope, raw).await {
            Ok(accepted) => {
                let tickets: Vec<_> = accepted.tickets.iter().map(ToString::to_string).collect();
                Reply::ok(format!("{} as {}", tickets.join(", "), envelope.id))
            }
            Err(rejection) => reply(rejection),
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

fn reply(rejection: Rejection) -> Reply {
    Reply::new(rejection.code, rejection.enhanced, rejection.text)
}
