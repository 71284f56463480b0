//! TLS for servers: which certificate is shown, and to whom.
//!
//! [`Certificates`] holds what is shown now. All listeners share it, and it can be exchanged while
//! they serve: a handshake takes what is there, and connections that stand go on with what they have.
//! [`files`] keeps it true to files, [`acme`](super::acme) to an authority.

pub mod certificate;
pub mod files;
pub mod inspect;
pub mod validity;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use certificate::{Certificate, CertificateFiles, TlsError};

/// What an authority asks for when it looks at port 443 (RFC 8737 §6.2).
pub const ACME_PROTOCOL: &[u8] = b"acme-tls/1";
const HTTP_1_1: &[u8] = b"http/1.1";

/// What servers show. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shown: watch::Sender<Arc<Shown>>,
    challenges: Mutex<Challenges>,
}

/// What is shown at one moment.
#[derive(Clone, Debug)]
pub struct Shown {
    /// To whoever asks for no name, or for one that has none of its own.
    pub first: Arc<Certificate>,
    /// In lower case.
    pub named: BTreeMap<String, Arc<Certificate>>,
}

/// What an authority is to find while it looks.
#[derive(Debug, Default)]
struct Challenges {
    /// Name → the certificate that answers for it (RFC 8737 §3).
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// Token → key authorization (RFC 8555 §8.3).
    by_token: HashMap<String, String>,
}

/// A challenge that is answered until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Answering {
    certificates: Certificates,
    what: What,
}

#[derive(Debug)]
enum What {
    Name(String),
    Token(String),
}

impl Certificates {
    /// Shows one certificate to everybody.
    #[must_use]
    pub fn new(first: Certificate) -> Self {
        let shown = Shown { first: Arc::new(first), named: BTreeMap::new() };
        Self(Arc::new(Shared { shown: watch::Sender::new(Arc::new(shown)), challenges: Mutex::default() }))
    }

    /// What is shown now.
    #[must_use]
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.0.shown.borrow())
    }

    /// Hears of every change of what is shown.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Shown>> {
        self.0.shown.subscribe()
    }

    /// Handshakes from now on show this.
    pub fn show(&self, shown: Shown) {
        self.0.shown.send_replace(Arc::new(shown));
    }

    /// Exchanges the certificate of one name; `first`: that of everybody without one as well.
    pub fn show_for(&self, name: &str, certificate: Certificate, first: bool) {
        let certificate = Arc::new(certificate);
        self.0.shown.send_modify(|place| {
            let mut shown = Shown::clone(place);
            shown.named.insert(name.to_owned(), Arc::clone(&certificate));
            if first {
                shown.first = certificate;
            }
            *place = Arc::new(shown);
        });
    }

    /// Until when each one holds, by the name that it is for.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, Timestamp)> {
        let shown = self.shown();
        let mut expiries: Vec<_> =
            shown.named.iter().map(|(name, certificate)| (name.clone(), certificate.validity().until)).collect();
        if !shown.named.values().any(|certificate| Arc::ptr_eq(certificate, &shown.first)) {
            expiries.insert(0, (String::from("*"), shown.first.validity().until));
        }
        expiries
    }

    /// Shows a certificate to the authority that looks at a name (RFC 8737).
    pub fn answer_name(&self, name: &str, certificate: CertifiedKey) -> Answering {
        self.challenges().by_name.insert(name.to_owned(), Arc::new(certificate));
        Answering { certificates: self.clone(), what: What::Name(name.to_owned()) }
    }

    /// Says a key authorization to the authority that asks for a token (RFC 8555 §8.3).
    pub fn answer_token(&self, token: &str, authorization: &str) -> Answering {
        self.challenges().by_token.insert(token.to_owned(), authorization.to_owned());
        Answering { certificates: self.clone(), what: What::Token(token.to_owned()) }
    }

    /// The key authorization for a token, while an authority is to find it.
    #[must_use]
    pub fn authorization(&self, token: &str) -> Option<String> {
        self.challenges().by_token.get(token).cloned()
    }

    /// Maps can't be left half changed, so a poisoned lock is as good as a sound one.
    fn challenges(&self) -> MutexGuard<'_, Challenges> {
        self.0.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut challenges = self.certificates.challenges();
        match &self.what {
            What::Name(name) => drop(challenges.by_name.remove(name)),
            What::Token(token) => drop(challenges.by_token.remove(token)),
        }
    }
}

/// What chooses for one listener.
#[derive(Debug)]
struct Resolver {
    certificates: Certificates,
    /// Whether authorities look here.
    challenged: bool,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        // An authority offers this one protocol alone (RFC 8737 §3).
        if self.challenged && hello.alpn().is_some_and(|offered| offered.eq([ACME_PROTOCOL])) {
            return self.certificates.challenges().by_name.get(&name?).cloned();
        }
        let shown = self.certificates.shown();
        let certificate = name.and_then(|name| shown.named.get(&name)).unwrap_or(&shown.first);
        Some(Arc::clone(certificate.key()))
    }
}

/// TLS 1.2 and 1.3 as servers of one kind speak it, without client certificates. Clones share it,
/// and with it the sessions that clients may resume.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// For mail.
    ///
    /// # Errors
    /// When the library refuses its own settings.
    pub fn for_mail(certificates: &Certificates) -> Result<Self, TlsError> {
        Self::new(certificates, false, &[])
    }

    /// For HTTP/1.1, and authorities that look at a name.
    ///
    /// # Errors
    /// As for mail.
    pub fn for_web(certificates: &Certificates) -> Result<Self, TlsError> {
        Self::new(certificates, true, &[HTTP_1_1, ACME_PROTOCOL])
    }

    fn new(certificates: &Certificates, challenged: bool, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let resolver = Resolver { certificates: certificates.clone(), challenged };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Start)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// For a handshake.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}
