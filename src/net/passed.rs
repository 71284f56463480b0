//! Listening sockets that the service manager opened for us (`sd_listen_fds(3)`), by the names that
//! their units give them (`FileDescriptorName=`). So the daemon needs no right to low ports.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

use super::listen::Listener;

/// The name of a socket, after IANA's service names, and the key of the configuration in whose place
/// it is taken. `systemd/` has a unit for each.
const NAMES: [(&str, &str); 7] = [
    ("smtp", "smtp.listen"),
    ("submissions", "submission.listen_tls"),
    ("submission", "submission.listen"),
    ("imaps", "imap.listen_tls"),
    ("imap", "imap.listen"),
    ("http", "web.listen"),
    ("https", "web.listen_tls"),
];

/// Why a socket that was passed can't be served.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    #[error("LISTEN_FDNAMES={names} does not name {count} sockets")]
    Names { names: String, count: usize },
    #[error(
        "passes a socket named {name:?}, which nothing here serves; FileDescriptorName= must be one of {}",
        NAMES.map(|(name, _)| name).join(", ")
    )]
    Unknown { name: String },
    #[error(
        "the socket {name} is of another kind; its unit must have ListenStream= with a port or an address and port"
    )]
    Kind { name: String },
    #[error("the socket {name} is a connection; its unit must have Accept=no")]
    Connection { name: String },
    #[error("the socket {name} can't be used: {source}")]
    Other { name: String, source: io::Error },
}

/// The sockets that were passed and not yet taken.
#[derive(Debug, Default)]
pub struct Passed(Vec<(&'static str, TcpListener)>);

impl Passed {
    /// Those of this process's environment, which it takes them out of. Must be called while the
    /// process has one thread.
    ///
    /// # Errors
    /// [`PassedError`] for the first that can't be served.
    pub fn from_environment() -> Result<Self, PassedError> {
        let names = std::env::var("LISTEN_FDNAMES").ok();
        let mut sockets = ListenFd::from_env();
        let names = parted(names.as_deref(), sockets.len())?;
        let mut passed = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let Some((known, _)) = NAMES.iter().find(|(known, _)| *known == name) else {
                return Err(PassedError::Unknown { name });
            };
            match sockets.take_tcp_listener(index) {
                Ok(Some(socket)) => passed.add(known, socket)?,
                Ok(None) | Err(_) => return Err(PassedError::Kind { name }),
            }
        }
        Ok(passed)
    }

    fn add(&mut self, name: &'static str, socket: TcpListener) -> Result<(), PassedError> {
        match rustix::net::sockopt::socket_acceptconn(&socket) {
            Ok(true) => self.0.push((name, socket)),
            Ok(false) => return Err(PassedError::Connection { name: name.to_owned() }),
            Err(error) => return Err(PassedError::Other { name: name.to_owned(), source: error.into() }),
        }
        Ok(())
    }

    /// The sockets in the place of a key's addresses; none where its own are to be bound. Needs a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`PassedError::Other`] when the system refuses to have one served.
    pub fn take(&mut self, key: &str) -> Result<Vec<Listener>, PassedError> {
        let Some(name) = name(key) else { return Ok(Vec::new()) };
        self.0
            .extract_if(.., |(other, _)| *other == name)
            .map(|(name, socket)| {
                Listener::of(socket).map_err(|source| PassedError::Other { name: name.to_owned(), source })
            })
            .collect()
    }

    /// Whether there is one in the place of a key's addresses.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        name(key).is_some_and(|name| self.0.iter().any(|(other, _)| *other == name))
    }
}

/// The name of the sockets that are taken in the place of a key's addresses.
#[must_use]
pub fn name(key: &str) -> Option<&'static str> {
    NAMES.iter().find(|(_, other)| *other == key).map(|(name, _)| *name)
}

/// The names of so many sockets. Who passes none calls them all unknown, as `sd_listen_fds(3)` does.
fn parted(names: Option<&str>, count: usize) -> Result<Vec<String>, PassedError> {
    let names: Vec<_> = match names {
        _ if count == 0 => Vec::new(),
        Some(names) => names.split(':').map(str::to_owned).collect(),
        None => vec!["unknown".to_owned(); count],
    };
    if names.len() == count { Ok(names) } else { Err(PassedError::Names { names: names.join(":"), count }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_has_its_name() {
        assert_eq!(parted(Some("smtp:smtp"), 2).unwrap(), ["smtp", "smtp"]);
        assert_eq!(parted(None, 1).unwrap(), ["unknown"]);
        assert!(parted(Some("left over from a parent"), 0).unwrap().is_empty());
        let error = parted(Some("smtp"), 2).unwrap_err();
        assert_eq!(error.to_string(), "LISTEN_FDNAMES=smtp does not name 2 sockets");
    }

    #[tokio::test]
    async fn sockets_are_taken_by_the_key_that_they_stand_for_once() {
        let mut passed = Passed::default();
        for name in ["smtp", "submission", "smtp"] {
            passed.add(name, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        }
        assert!(passed.has("submission.listen") && !passed.has("submission.listen_tls"));
        assert_eq!(passed.take("smtp.listen").unwrap().len(), 2);
        assert_eq!(passed.take("smtp.listen").unwrap().len(), 0);
        assert_eq!(passed.take("submission.listen_tls").unwrap().len(), 0);
        assert_eq!(passed.take("submission.listen").unwrap().len(), 1);
    }

    #[test]
    fn a_connection_is_no_listening_socket() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
        let connection = TcpListener::from(std::os::fd::OwnedFd::from(connection));
        let error = Passed::default().add("smtp", connection).unwrap_err();
        assert!(error.to_string().contains("Accept=no"), "{error}");
    }
}
