//! What the log says of a session: who logged in from where, and how it ended.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use tokio::time::Instant;

use super::seat::Seat;

/// One session, as it is told.
#[derive(Debug)]
pub(super) struct Log {
    id: String,
    client: IpAddr,
    /// How the connection is encrypted, `TLSv1.3 TLS13_AES_256_GCM_SHA384`; empty in clear.
    pub(super) tls: String,
    begun: Instant,
    /// Whoever logged in.
    user: Option<String>,
    /// What he had carried out.
    pub(super) commands: u64,
    /// Our last word.
    farewell: Option<String>,
}

impl Log {
    pub(super) fn new(id: String, client: IpAddr) -> Self {
        let tls = String::new();
        Self { id, client, tls, begun: Instant::now(), user: None, commands: 0, farewell: None }
    }

    /// Tells, once, who logged in.
    pub(super) fn seated(&mut self, seat: &Seat) {
        if self.user.is_none() {
            let Self { id, client, tls, .. } = &*self;
            let (user, agent) = (seat.member.login.to_string(), seat.agent());
            tracing::info!(id, %client, user, agent, tls, "IMAP login");
            self.user = Some(user);
        }
    }

    /// Remembers the last thing that we say.
    pub(super) fn farewell(&mut self, said: &[u8]) {
        let said = String::from_utf8_lossy(said);
        let line = said.lines().find_map(|line| line.strip_prefix("* BYE "));
        self.farewell = line.map(str::to_owned).or(self.farewell.take());
    }

    /// Tells the end of it, with what the client calls itself. Whoever never logged in is told of to
    /// those alone who look closely: half the world scans for servers.
    pub(super) fn end(self, seat: Option<&Seat>, ended: &io::Result<()>) {
        let Self { id, client, begun, user, commands, farewell, .. } = self;
        let reason = match (ended, farewell) {
            (_, Some(farewell)) => farewell,
            (Err(error), None) if !is_gone(error) => error.to_string(),
            (Ok(()) | Err(_), None) => "the client left".to_owned(),
        };
        let seconds = begun.elapsed().as_secs();
        let agent = seat.and_then(Seat::agent);
        if let Some(user) = user {
            tracing::info!(id, %client, user, agent, commands, seconds, reason, "IMAP session ended");
        } else {
            tracing::debug!(id, %client, seconds, reason, "IMAP session ended without a login");
        }
    }
}

/// Whether a client hung up in its own way: many never say LOGOUT, nor TLS' goodbye.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}
