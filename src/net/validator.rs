//! A name server on this machine that checks DNSSEC (RFC 4035), and is believed when it says that an
//! answer is authentic: the AD bit (RFC 6840 §5.7, §5.8).
//!
//! It validates, we do not: a validator is a program of its own, kept by people who do nothing else.
//! Nothing but loopback is between it and us, so that the bit is its word and nobody else's. Nothing
//! is remembered here, since it remembers. The shared [resolver](super::resolver) can't be asked
//! instead: it does not tell the bit.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::names_authority;

/// How long one question to one server may take: it may have to ask the world.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often each server is asked.
const ATTEMPTS: usize = 2;
/// The longest answer by UDP.
const PAYLOAD: u16 = 1232;

/// Validating name servers on loopback.
#[derive(Clone, Debug)]
pub struct Validator {
    servers: Vec<SocketAddr>,
}

/// What one of them said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it has checked all of it: the records and the aliases on the way, or that there are
    /// none.
    pub authentic: bool,
    /// `NOERROR` or `NXDOMAIN`.
    pub code: ResponseCode,
    pub records: Vec<Record>,
    /// Who is responsible for the name is named, as where something is denied (RFC 2308 §2.2).
    pub names_authority: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// As it says where signatures don't hold: which of the two it is, is not told.
    #[error("the validating name server answers {0}: it can't be found, or its DNSSEC is broken")]
    Refused(ResponseCode),
    #[error("the validating name server {0} does not answer")]
    Silence(SocketAddr),
}

impl Validator {
    /// `None` where not all of them are on loopback, or there is none.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>) -> Option<Self> {
        let canonical = |server: SocketAddr| SocketAddr::new(server.ip().to_canonical(), server.port());
        let servers: Vec<_> = servers.into_iter().map(canonical).collect();
        let local = !servers.is_empty() && servers.iter().all(|server| server.ip().is_loopback());
        local.then_some(Self { servers })
    }

    /// Warns where it does not even know the root for authentic: then no answer ever is.
    pub async fn try_out(&self) {
        match self.ask(&Name::root(), RecordType::SOA).await {
            Ok(answer) if answer.authentic => {}
            Ok(_) => tracing::warn!(
                servers = ?self.servers,
                "dns.validating is on, but the name server does not check DNSSEC, or does not say so; \
                 until it does, nothing is known of DANE"
            ),
            Err(error) => tracing::warn!(%error, "dns.validating is on, but the root can't be asked for"),
        }
    }

    /// Asks one after the other until one knows.
    ///
    /// # Errors
    /// [`NoAnswer`]; then nothing is known, and whoever must not be deceived waits.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, NoAnswer> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            for server in &self.servers {
                let error = match timeout(PATIENCE, exchange(*server, name, kind)).await {
                    Ok(Some(answer)) => match answer.metadata.response_code {
                        code @ (ResponseCode::NoError | ResponseCode::NXDomain) => {
                            let authentic = answer.metadata.authentic_data;
                            let names_authority = names_authority(&answer.authorities);
                            return Ok(Answer { authentic, code, records: answer.answers, names_authority });
                        }
                        code => NoAnswer::Refused(code),
                    },
                    Ok(None) | Err(_) => NoAnswer::Silence(*server),
                };
                last = Some(error);
            }
            if matches!(last, Some(NoAnswer::Refused(_))) {
                break;
            }
        }
        Err(last.expect("there is at least one server"))
    }
}

/// One question by UDP, and by TCP where the answer is too long for that. `None`: no answer to it.
async fn exchange(server: SocketAddr, name: &Name, kind: RecordType) -> Option<Message> {
    let question = Query::query(name.clone(), kind);
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.metadata.authentic_data = true;
    query.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    query.set_edns(edns);
    let bytes = query.to_vec().ok()?;
    let fits = |answer: &Message| answer.metadata.id == query.metadata.id && answer.queries == [question.clone()];

    let any = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(&bytes).await.ok()?;
    let mut buffer = vec![0; usize::from(PAYLOAD)];
    let answer = loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if fits(&answer) => break answer,
            _ => {}
        }
    };
    if !answer.metadata.truncation {
        return Some(answer);
    }
    let mut stream = TcpStream::connect(server).await.ok()?;
    let mut framed = u16::try_from(bytes.len()).ok()?.to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await.ok()?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut buffer).await.ok()?;
    Message::from_vec(&buffer).ok().filter(|answer| fits(answer) && !answer.metadata.truncation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_believed() {
        let validator =
            |servers: &[&str]| Validator::new(servers.iter().map(|server| server.parse().unwrap()).collect());
        assert!(validator(&["127.0.0.1:53", "[::1]:53", "[::ffff:127.0.0.1]:53"]).is_some());
        for none in [&[][..], &["192.0.2.1:53"], &["127.0.0.1:53", "192.0.2.1:53"]] {
            assert!(validator(none).is_none(), "{none:?}");
        }
    }
}
