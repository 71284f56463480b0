//! Listening sockets. All are bound before anything serves, so that a port in use is known while
//! the daemon can still say so and exit. What the service manager has bound is in
//! [`passed`](super::passed).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::beat::{Beat, Heart};
use super::passed;

/// The longest pause after an error that time may cure, no file descriptors left above all.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a configured address can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{key}: {text:?} is no address to listen on; write it like \"127.0.0.1:2525\" or \"[::]:25\"")]
    Address { key: String, text: String },
    #[error("{key}: {address} is in use by another program")]
    InUse { key: String, address: SocketAddr },
    #[error("{key}: {address} needs root, or the capability CAP_NET_BIND_SERVICE{}", unit(.key))]
    Privilege { key: String, address: SocketAddr },
    #[error("{key}: can't listen on {address}: {source}")]
    Other { key: String, address: SocketAddr, source: io::Error },
}

/// What else gives a port below 1024.
fn unit(key: &str) -> String {
    passed::name(key).map(|name| format!(", or systemd's guichet-{name}.socket")).unwrap_or_default()
}

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    beat: Option<Beat>,
}

impl Listener {
    /// Binds every address of a configuration key, such as `smtp.listen`. `[::]:25` listens on
    /// IPv4 too where the system has it so; `0.0.0.0:25` beside it is then already served and makes
    /// no second socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ListenError`] for the first address that can't be had; it names the key.
    pub fn bind_all(key: &str, addresses: &[impl AsRef<str>]) -> Result<Vec<Self>, ListenError> {
        let parse = |text: &str| {
            text.parse::<SocketAddr>().map_err(|_| ListenError::Address { key: key.to_owned(), text: text.to_owned() })
        };
        let mut addresses =
            addresses.iter().map(|text| parse(text.as_ref())).collect::<Result<Vec<SocketAddr>, _>>()?;
        addresses.sort_by_key(SocketAddr::is_ipv4);
        addresses.dedup();
        let mut bound: Vec<Self> = Vec::new();
        for address in addresses {
            match Self::bind(address) {
                Ok(listener) => bound.push(listener),
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && bound.iter().any(|listener| covers(listener.address, address)) => {}
                Err(source) => return Err(explain(key.to_owned(), address, source)),
            }
        }
        Ok(bound)
    }

    fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::of(std::net::TcpListener::bind(address)?)
    }

    /// One that listens already.
    pub(super) fn of(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        Ok(Self { address: socket.local_addr()?, socket, beat: None })
    }

    /// Has whoever accepts from it asked whether he comes round to [`accept`](Self::accept).
    #[must_use]
    pub fn watched(self, heart: &Heart) -> Self {
        Self { beat: Some(heart.beat(format!("the server at {}", self.address))), ..self }
    }

    /// The address, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Errors of one connection are passed over; when there are no file
    /// descriptors left, waits for some and goes on. May be dropped and called again.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        let mut pause = Duration::from_millis(10);
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = self.answer() => continue,
            };
            match accepted {
                Ok((stream, peer)) => return (stream, peer),
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %self.address, %error, "can't accept a connection; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn answer(&self) {
        match &self.beat {
            Some(beat) => beat.answer().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether a socket at `bound` takes the connections to `address` as well: `[::]` those to every
/// IPv4 address at its port.
fn covers(bound: SocketAddr, address: SocketAddr) -> bool {
    bound.is_ipv6() && bound.ip().is_unspecified() && address.is_ipv4() && bound.port() == address.port()
}

fn explain(key: String, address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { key, address },
        io::ErrorKind::PermissionDenied => ListenError::Privilege { key, address },
        _ => ListenError::Other { key, address, source },
    }
}

/// Errors that accept(2) reports for a connection that is gone already.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_or_used_address_is_named_with_its_key() {
        let first = Listener::bind_all("smtp.listen", &["127.0.0.1:0"]).unwrap();
        let used = first[0].address().to_string();
        let error = Listener::bind_all("smtp.listen", &["127.0.0.1:0", &used]).unwrap_err();
        assert_eq!(error.to_string(), format!("smtp.listen: {used} is in use by another program"));
        let error = Listener::bind_all("smtp.listen", &["localhost"]).unwrap_err();
        assert!(error.to_string().starts_with("smtp.listen: \"localhost\" is no address"), "{error}");
        let error = Listener::bind_all("smtp.listen", &["192.0.2.1:0"]).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
    }

    #[test]
    fn the_ipv6_wildcard_covers_ipv4_at_its_port() {
        for (bound, address, expected) in [
            ("[::]:25", "0.0.0.0:25", true),
            ("[::]:25", "127.0.0.1:25", true),
            ("[::]:25", "0.0.0.0:26", false),
            ("[::1]:25", "127.0.0.1:25", false),
            ("0.0.0.0:25", "127.0.0.1:25", false),
        ] {
            assert_eq!(covers(bound.parse().unwrap(), address.parse().unwrap()), expected, "{bound} {address}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_accepted() {
        let listener = Listener::bind_all("smtp.listen", &["127.0.0.1:0"]).unwrap().remove(0);
        let client = TcpStream::connect(listener.address()).await.unwrap();
        let (_, peer) = listener.accept().await;
        assert_eq!(peer, client.local_addr().unwrap());
    }
}
