//! The daemon's doors: the sockets that it listens at, and where these are.

use std::net::SocketAddr;

use super::wrongly_passed;
use crate::cli::Failure;
use crate::config::Config;
use crate::net::beat::Heart;
use crate::net::listen::{ListenError, Listener};
use crate::net::passed::{Passed, name};

/// Something of each door.
#[derive(Clone, Debug, Default)]
pub struct Doors<T> {
    /// Mail from the world.
    pub smtp: T,
    /// Mail from members, by TLS from the start and by STARTTLS.
    pub submission_tls: T,
    pub submission: T,
    /// Members' mail clients that read, likewise.
    pub imap_tls: T,
    pub imap: T,
    /// HTTPS, and HTTP.
    pub web_tls: T,
    pub web: T,
}

/// Where they are, ports given by the system included.
pub type Addresses = Doors<Vec<SocketAddr>>;

impl Doors<Vec<Listener>> {
    /// Binds what the configuration names, or takes what was passed in its place. Nobody accepts yet;
    /// the heart asks whoever is going to.
    pub(super) fn open(config: &Config, mut passed: Passed, heart: &Heart) -> Result<Self, Failure> {
        let mut open = |key, addresses: &[SocketAddr]| {
            let listeners = listeners(config, key, addresses, &mut passed)?;
            Ok::<_, Failure>(listeners.into_iter().map(|listener| listener.watched(heart)).collect())
        };
        Ok(Self {
            smtp: open("smtp.listen", &config.smtp.listen)?,
            submission_tls: open("submission.listen_tls", &config.submission.listen_tls)?,
            submission: open("submission.listen", &config.submission.listen)?,
            imap_tls: open("imap.listen_tls", &config.imap.listen_tls)?,
            imap: open("imap.listen", &config.imap.listen)?,
            web_tls: open("web.listen_tls", &config.web.listen_tls)?,
            web: open("web.listen", &config.web.listen)?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        let addresses = |listeners: &[Listener]| listeners.iter().map(Listener::address).collect();
        Doors {
            smtp: addresses(&self.smtp),
            submission_tls: addresses(&self.submission_tls),
            submission: addresses(&self.submission),
            imap_tls: addresses(&self.imap_tls),
            imap: addresses(&self.imap),
            web_tls: addresses(&self.web_tls),
            web: addresses(&self.web),
        }
    }
}

/// The sockets that a key names, or those that were passed in their place.
fn listeners(
    config: &Config,
    key: &str,
    addresses: &[SocketAddr],
    passed: &mut Passed,
) -> Result<Vec<Listener>, Failure> {
    let problem = |text: String| Failure::BadConfig(vec![config.problem(key, text)]);
    if passed.has(key) && addresses.is_empty() && config.gives(key) {
        return Err(problem(format!(
            "is [] here, but systemd passes a socket for it: disable guichet-{}.socket, or leave the key out",
            name(key).unwrap_or_default()
        )));
    }
    let listeners = passed.take(key).map_err(|error| wrongly_passed(&error))?;
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Listener::bind_all(key, &addresses).map_err(|error: ListenError| {
        let text = error.to_string();
        problem(text.strip_prefix(&format!("{key}: ")).unwrap_or(&text).to_owned())
    })
}
