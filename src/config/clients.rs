//! Where members' mail clients find the desk: what is told to them, and to those who set them up.

use std::net::SocketAddr;

use super::{Config, Domain, percent};

/// Where Apple's devices get their profile, `?email=` with the address.
pub const APPLE_PATH: &str = "/apple.mobileconfig";

/// The servers of the desk, as members' clients see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    pub hostname: Domain,
    /// Where they read (RFC 9051), the best way first; none where IMAP is off.
    pub imap: Vec<Port>,
    /// Where they send (RFC 6409), likewise.
    pub submission: Vec<Port>,
}

/// A port, and how it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u16,
    pub security: Security,
}

/// How a connection is encrypted; there is none that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// From the first octet on.
    Tls,
    StartTls,
}

impl Config {
    /// What the configuration tells: the first address of each key. Where another machine leads other
    /// ports here, nothing here knows it.
    #[must_use]
    pub fn clients(&self) -> Clients {
        let (imap, submission) = (&self.imap, &self.submission);
        Clients {
            hostname: self.hostname.clone(),
            imap: ports(&imap.listen_tls, &imap.listen),
            submission: ports(&submission.listen_tls, &submission.listen),
        }
    }
}

impl Clients {
    /// Whether a client can work here: what it can't read from is no account.
    #[must_use]
    pub fn are_served(&self) -> bool {
        !self.imap.is_empty()
    }

    /// Where Apple's devices get the profile for an address.
    #[must_use]
    pub fn apple_url(&self, address: &str) -> String {
        format!("https://{}{APPLE_PATH}?email={}", self.hostname, percent::escape(address))
    }
}

fn ports(tls: &[SocketAddr], plain: &[SocketAddr]) -> Vec<Port> {
    let first =
        |listen: &[SocketAddr], security| listen.first().map(|address| Port { number: address.port(), security });
    [first(tls, Security::Tls), first(plain, Security::StartTls)].into_iter().flatten().collect()
}
