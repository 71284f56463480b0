//! Where outgoing mail goes next: the recipients' own servers, a smarthost, an LMTP server, or a
//! Maildir that captures it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::client::Server;
use super::dane::Dane;
use crate::config;
use crate::desk::address::Address;
use crate::desk::mta_sts::{Mode, Policy};
use crate::trust::alignment::ascii;

/// The next hop of all mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A server that takes mail for everyone.
    Host(NextHop),
    /// The servers that each recipient's domain names; [`mx`](super::mx) finds them.
    Direct(config::Direct),
    /// A Maildir: nothing leaves the machine.
    Capture(PathBuf),
}

/// What is waited for, paused and counted together: copies that go to the same servers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The one way out for everybody.
    Route,
    /// A domain, in lower case and A-labels.
    Domain(String),
}

impl Destination {
    /// The recipient's domain.
    #[must_use]
    pub fn domain_of(recipient: &Address) -> Self {
        Self::Domain(ascii(recipient.domain()).into_owned())
    }

    /// The domain, where it is one.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        match self {
            Self::Route => None,
            Self::Domain(domain) => Some(domain),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "the route",
            Self::Domain(domain) => domain,
        })
    }
}

/// A server and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub protocol: Protocol,
    pub place: Place,
    pub security: Security,
    pub credentials: Option<Credentials>,
}

impl NextHop {
    /// The same server at each of the addresses where it was found: one may take mail where another
    /// does not (RFC 5321 §5.1).
    pub fn each(&self) -> Vec<Self> {
        match &self.place {
            Place::Found(host, addresses) => {
                let at = |address: &SocketAddr| Place::Found(host.clone(), vec![*address]);
                addresses.iter().map(|address| Self { place: at(address), ..self.clone() }).collect()
            }
            Place::Host(..) | Place::Socket(_) => vec![self.clone()],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: an answer for each recipient.
    Lmtp,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host name or an address, and a port.
    Host(String, u16),
    /// A host by name, and where it was found: at least one address, in the order to try them.
    Found(String, Vec<SocketAddr>),
    /// A Unix socket.
    Socket(PathBuf),
}

impl Place {
    /// What is there, as people are told of it, once it is known at which address.
    #[must_use]
    pub fn server(&self, address: Option<IpAddr>) -> Server {
        let host = match self {
            Self::Host(host, _) | Self::Found(host, _) => host.clone(),
            Self::Socket(path) => path.display().to_string(),
        };
        Server { host, address }
    }
}

/// What is asked of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// In clear: LMTP.
    None,
    /// STARTTLS (RFC 3207) where it is offered, whoever's certificate it is; required, with the
    /// right certificate, where a password is to be sent to another machine.
    Opportunistic,
    /// STARTTLS with the right certificate, or nothing.
    StartTls,
    /// TLS from the first byte (RFC 8314 §3), with the right certificate.
    Implicit,
    /// STARTTLS with the right certificate, as the domain's MTA-STS policy wants it (RFC 8461 §4); in
    /// mode `testing` it is looked at, and mail goes all the same.
    MtaSts(Arc<Policy>),
    /// STARTTLS with what the server's zone says of its certificate (RFC 7672).
    Dane(Arc<Dane>),
}

impl Security {
    /// Whether nothing is sent over a line that is not as it should be.
    #[must_use]
    pub fn is_required(&self) -> bool {
        match self {
            Self::None | Self::Opportunistic => false,
            Self::StartTls | Self::Implicit | Self::Dane(_) => true,
            Self::MtaSts(policy) => policy.mode == Mode::Enforce,
        }
    }

    /// Who asks for TLS, in words, where it is whom mail goes to, and not our configuration.
    #[must_use]
    pub fn whose(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Opportunistic | Self::StartTls | Self::Implicit => None,
            Self::MtaSts(_) => Some("the domain's MTA-STS policy asks for it"),
            Self::Dane(_) => Some("the server's DANE records ask for it"),
        }
    }
}

/// A name and password for AUTH. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, hidden)", self.user)
    }
}

impl Route {
    /// The configured way out.
    ///
    /// # Errors
    /// When the file with the password can't be read.
    pub fn of(config: &config::Relay) -> io::Result<Self> {
        let smarthost = match config {
            config::Relay::Capture { maildir } => return Ok(Self::Capture(maildir.clone())),
            config::Relay::Direct(direct) => return Ok(Self::Direct(*direct)),
            config::Relay::Smarthost(smarthost) => smarthost,
        };
        let protocol = match smarthost.protocol {
            config::Protocol::Smtp => Protocol::Smtp,
            config::Protocol::Lmtp => Protocol::Lmtp,
        };
        Ok(Self::Host(NextHop {
            protocol,
            place: match &smarthost.endpoint {
                config::Endpoint::Tcp { host, port } => Place::Host(host.clone(), *port),
                config::Endpoint::Unix(path) => Place::Socket(path.clone()),
            },
            security: match smarthost.encryption {
                _ if protocol == Protocol::Lmtp => Security::None,
                config::Encryption::Opportunistic => Security::Opportunistic,
                config::Encryption::Required => Security::StartTls,
                config::Encryption::Implicit => Security::Implicit,
            },
            credentials: match &smarthost.login {
                Some(login) => Some(Credentials { user: login.user.clone(), password: login.password.read()? }),
                None => None,
            },
        }))
    }
}

/// Where it goes, without the credentials.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(hop) => hop.fmt(f),
            Self::Direct(_) => f.write_str("each domain's own servers"),
            Self::Capture(path) => write!(f, "the Maildir {}", path.display()),
        }
    }
}

/// Where it is, without the credentials.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, &self.security) {
            (Protocol::Lmtp, _) => "lmtp",
            (Protocol::Smtp, Security::Implicit) => "smtps",
            (Protocol::Smtp, security) if security.is_required() => "smtp+starttls",
            (Protocol::Smtp, _) => "smtp",
        };
        match &self.place {
            Place::Host(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}"),
            Place::Host(host, port) => write!(f, "{scheme}://{host}:{port}"),
            Place::Found(host, _) => write!(f, "{scheme}://{host}"),
            Place::Socket(path) => write!(f, "{scheme}:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn routes_are_shown_without_their_passwords() {
        for (more, shown) in [
            ("smarthost = \"smtp://127.0.0.1:2526\"", "smtp://127.0.0.1:2526"),
            ("smarthost = \"smtps://bob:top%40secret@mx.example.org\"", "smtps://mx.example.org:465"),
            ("smarthost = \"lmtp:/run/x.sock\"", "lmtp:/run/x.sock"),
        ] {
            let text = format!(
                "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\ndata_dir = \"/d\"\npostmaster = \"acme\"\n\
                 [relay]\nmode = \"smarthost\"\n{more}\n"
            );
            let config = config::Config::parse(&text, Path::new("/c/guichet.toml")).unwrap();
            let route = Route::of(&config.relay).unwrap();
            assert_eq!(route.to_string(), shown);
            assert!(!format!("{route:?}").contains("secret"), "{route:?}");
        }
    }
}
