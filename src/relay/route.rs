//! Where outgoing mail goes next: a smarthost, an LMTP server, or a Maildir that captures it.
//!
//! Delivery straight to the recipients' own servers (MX) is none of them.

use std::fmt;
use std::io;
use std::path::PathBuf;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::config;

/// The next hop of all mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A server that takes mail for everyone.
    Host(NextHop),
    /// A Maildir: nothing leaves the machine.
    Capture(PathBuf),
}

/// A server and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub protocol: Protocol,
    pub place: Place,
    pub security: Security,
    pub credentials: Option<Credentials>,
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
    /// A Unix socket.
    Socket(PathBuf),
}

/// What is asked of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Why a text names no route. Never repeats the text: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The part before the first `:` is none that is known.
    #[error("a smarthost starts with smtp://, smtp+starttls://, smtps://, lmtp:// or lmtp:/path")]
    Scheme,
    /// There is no host, or none that can be one.
    #[error("a smarthost looks like smtp://user:password@host:port; the host is missing or wrong")]
    Host,
    /// The port is missing where there is no usual one, or no number from 1 to 65535.
    #[error("the smarthost's port is missing or no number from 1 to 65535")]
    Port,
    /// A `%` without two hexadecimal digits, a control character, or a name without a password.
    #[error("the smarthost's user or password is wrong: both are needed, with %40 for @, %3A for : and %2F for /")]
    Credentials,
    /// There is something after the host and port.
    #[error("a smarthost ends after its port; there is something behind")]
    Rest,
}

impl Route {
    /// A smarthost as the configuration names it: `smtp://[user:password@]host[:25]`,
    /// `smtp+starttls://…[:587]`, `smtps://…[:465]`, `lmtp://host:port` or `lmtp:/path/of/socket`.
    /// User and password are percent-decoded (RFC 3986 §2.1), addresses in brackets are IPv6.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let (scheme, rest) = text.split_once(':').ok_or(RouteError::Scheme)?;
        let (protocol, security, usual_port) = match scheme.to_ascii_lowercase().as_str() {
            "smtp" => (Protocol::Smtp, Security::Opportunistic, Some(25)),
            "smtp+starttls" => (Protocol::Smtp, Security::StartTls, Some(587)),
            "smtps" => (Protocol::Smtp, Security::Implicit, Some(465)),
            "lmtp" => (Protocol::Lmtp, Security::None, None),
            _ => return Err(RouteError::Scheme),
        };
        let socket = rest.strip_prefix("//").filter(|path| path.starts_with('/')).or(Some(rest));
        if protocol == Protocol::Lmtp
            && let Some(path) = socket.filter(|path| path.starts_with('/') && !path.starts_with("//"))
        {
            let place = Place::Socket(path.into());
            return Ok(Self::Host(NextHop { protocol, place, security, credentials: None }));
        }
        let rest = rest.strip_prefix("//").ok_or(RouteError::Host)?;
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(Credentials::parse(credentials)?), authority),
            None => (None, rest),
        };
        if credentials.is_some() && protocol == Protocol::Lmtp {
            return Err(RouteError::Credentials);
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(RouteError::Rest);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(RouteError::Host)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| RouteError::Host)?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(RouteError::Port)?) };
                (host, port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let plausible = |c: char| c.is_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(plausible) {
            return Err(RouteError::Host);
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(RouteError::Port)?,
            None => usual_port.ok_or(RouteError::Port)?,
        };
        let place = Place::Host(host.to_owned(), port);
        Ok(Self::Host(NextHop { protocol, place, security, credentials }))
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

impl Credentials {
    fn parse(text: &str) -> Result<Self, RouteError> {
        let (user, password) = text.split_once(':').ok_or(RouteError::Credentials)?;
        let (user, password) = (decode(user)?, decode(password)?);
        // NUL parts the fields of AUTH PLAIN (RFC 4616 §2).
        let fine = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if fine(&user) && fine(&password) { Ok(Self { user, password }) } else { Err(RouteError::Credentials) }
    }
}

fn decode(text: &str) -> Result<String, RouteError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2).ok_or(RouteError::Credentials)?;
            bytes.extend(HEXLOWER_PERMISSIVE.decode(digits).map_err(|_| RouteError::Credentials)?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| RouteError::Credentials)
}

/// Where it goes, without the credentials.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(hop) => hop.fmt(f),
            Self::Capture(path) => write!(f, "the Maildir {}", path.display()),
        }
    }
}

/// Where it is, without the credentials.
impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, self.security) {
            (Protocol::Lmtp, _) => "lmtp",
            (Protocol::Smtp, Security::None | Security::Opportunistic) => "smtp",
            (Protocol::Smtp, Security::StartTls) => "smtp+starttls",
            (Protocol::Smtp, Security::Implicit) => "smtps",
        };
        match &self.place {
            Place::Host(host, port) if host.contains(':') => write!(f, "{scheme}://[{host}]:{port}"),
            Place::Host(host, port) => write!(f, "{scheme}://{host}:{port}"),
            Place::Socket(path) => write!(f, "{scheme}:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_and_how_they_are_shown() {
        for (text, shown, credentials) in [
            ("smtp://127.0.0.1:2526", "smtp://127.0.0.1:2526", None),
            ("smtp://relay.example", "smtp://relay.example:25", None),
            ("SMTP://relay.example/", "smtp://relay.example:25", None),
            ("smtp+starttls://relay.example", "smtp+starttls://relay.example:587", None),
            ("smtps://bob:secret@relay.example", "smtps://relay.example:465", Some(("bob", "secret"))),
            ("smtps://bob%40x.org:a%3ab%2f%C3%A9@h:1", "smtps://h:1", Some(("bob@x.org", "a:b/é"))),
            ("smtp://bob@x.org:se@cret@h:1", "smtp://h:1", Some(("bob@x.org", "se@cret"))),
            ("smtp://[::1]:2526", "smtp://[::1]:2526", None),
            ("smtp://[::1]", "smtp://[::1]:25", None),
            ("lmtp:/run/x.sock", "lmtp:/run/x.sock", None),
            ("lmtp:///run/x.sock", "lmtp:/run/x.sock", None),
            ("lmtp://127.0.0.1:24", "lmtp://127.0.0.1:24", None),
        ] {
            let route = Route::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(route.to_string(), shown);
            let Route::Host(hop) = &route else { panic!("{text}") };
            let found = hop.credentials.as_ref().map(|c| (c.user.as_str(), c.password.as_str()));
            assert_eq!(found, credentials, "{text}");
            let debug = format!("{route:?} {route}");
            assert!(!debug.contains("secret") && !debug.contains("se@cret"), "{debug}");
        }
    }

    #[test]
    fn what_is_no_route_says_what_is_wrong_and_nothing_secret() {
        for (text, error) in [
            ("", RouteError::Scheme),
            ("relay.example", RouteError::Scheme),
            ("relay.example:25", RouteError::Scheme),
            ("http://relay.example", RouteError::Scheme),
            ("smtp:relay.example", RouteError::Host),
            ("smtp:///run/x.sock", RouteError::Rest),
            ("smtp://", RouteError::Host),
            ("smtp://:25", RouteError::Host),
            ("smtp://a b:25", RouteError::Host),
            ("smtp://[::1", RouteError::Host),
            ("smtp://[x]:25", RouteError::Host),
            ("smtp://h:0", RouteError::Port),
            ("smtp://h:99999", RouteError::Port),
            ("smtp://h:", RouteError::Port),
            ("lmtp://h", RouteError::Port),
            ("smtp://h:25/x", RouteError::Rest),
            ("smtp://bob@h:25", RouteError::Credentials),
            ("smtp://bob:@h:25", RouteError::Credentials),
            ("smtp://bob:secret%4@h:25", RouteError::Credentials),
            ("smtp://bob:secret%zz@h:25", RouteError::Credentials),
            ("smtp://bob:secret%00@h:25", RouteError::Credentials),
            ("smtp://bob:secret%0d%0aQUIT@h:25", RouteError::Credentials),
            ("lmtp://bob:secret@h:24", RouteError::Credentials),
        ] {
            let found = Route::parse(text).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("secret"));
        }
    }
}
