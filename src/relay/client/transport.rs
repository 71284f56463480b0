//! The line to a server: TCP or a Unix socket, in clear or under TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Client, Reply, Timeouts};
use crate::desk::tls_report::{FailureKind, TlsFailure};
use crate::relay::dane::Dane;
use crate::relay::route::Place;

/// The most addresses of one host that are tried.
const MOST_ADDRESSES: usize = 8;

/// A stream of bytes both ways, whatever carries it.
pub(super) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A connected line.
pub(super) struct Connected {
    pub line: Box<dyn Line>,
    /// Whether nobody but this machine sees what passes.
    pub local: bool,
    /// Who is at its other end; `None` on a Unix socket.
    pub address: Option<IpAddr>,
}

/// Connects to the first address of a place that answers.
pub(super) async fn connect(place: &Place, client: &Client) -> Result<Connected, Reply> {
    let timeouts = &client.timeouts;
    match place {
        Place::Socket(path) => match timeout(timeouts.connect, UnixStream::connect(path)).await {
            Ok(Ok(stream)) => Ok(Connected { line: Box::new(stream), local: true, address: None }),
            Ok(Err(error)) => Err(Reply::ours(format!("no connection to {}: {error}", path.display()))),
            Err(_) => Err(Reply::ours(format!("no connection to {} in time", path.display()))),
        },
        Place::Host(host, port) => {
            let found = match host.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => match timeout(timeouts.connect, client.resolver.lookup_ip(host.as_str())).await {
                    Ok(Ok(found)) => found.iter().take(MOST_ADDRESSES).collect(),
                    Ok(Err(error)) => return Err(Reply::ours(format!("no address for {host}: {error}"))),
                    Err(_) => return Err(Reply::ours(format!("no address for {host} in time"))),
                },
            };
            let addresses: Vec<_> = found.into_iter().map(|address| SocketAddr::new(address, *port)).collect();
            connect_to(host, &addresses, client).await
        }
        Place::Found(host, addresses) => connect_to(host, addresses, client).await,
    }
}

async fn connect_to(host: &str, addresses: &[SocketAddr], client: &Client) -> Result<Connected, Reply> {
    let mut failure = format!("no address for {host}");
    for address in addresses {
        match timeout(client.timeouts.connect, dial(*address, &client.source)).await {
            Ok(Ok(stream)) => {
                // Commands are small and answered one by one: waiting to fill packets costs time.
                let _ = stream.set_nodelay(true);
                let ip = address.ip();
                return Ok(Connected {
                    line: Box::new(stream),
                    local: ip.to_canonical().is_loopback(),
                    address: Some(ip),
                });
            }
            Ok(Err(error)) => failure = format!("no connection to {address}: {error}"),
            Err(_) => failure = format!("no connection to {address} in time"),
        }
    }
    Err(Reply::ours(failure))
}

/// Connects from the source of the address' family. Where there are sources, a family without one is
/// not used.
async fn dial(address: SocketAddr, sources: &[IpAddr]) -> io::Result<TcpStream> {
    if sources.is_empty() {
        return TcpStream::connect(address).await;
    }
    let Some(source) = sources.iter().find(|source| source.is_ipv4() == address.is_ipv4()) else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "no source address of its family is configured"));
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(*source, 0))?;
    socket.connect(address).await
}

/// What certificates the client believes.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// By the system's authorities; `None` where there are none, and no name can be proven.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system has no certificates of authorities.
    #[error("no root certificates were found; install the system's ca-certificates package")]
    NoRoots,
    /// The library refused its own settings.
    #[error("TLS can't be started: {0}")]
    Start(#[from] VerifierBuilderError),
}

/// Whose certificate is the right one.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// Anybody's: opportunistic TLS (RFC 7435) keeps listeners out where the other way would be to
    /// talk in clear. Never where a password is sent to another machine.
    Anybody,
    /// The host's, by an authority that the system believes.
    Host,
    /// What the host's zone says.
    Zone(Arc<Dane>),
}

/// An encrypted line.
pub(super) struct Encrypted {
    pub line: Box<dyn Line>,
    /// What was wrong with the certificate, where that did not matter.
    pub doubt: Option<TlsFailure>,
}

impl Tls {
    /// Believes the authorities that the system does.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn system() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(TlsError::NoRoots) } else { Self::with_roots(roots) }
    }

    /// Believes these authorities only; with none, only opportunistic TLS and DANE are possible.
    ///
    /// # Errors
    /// [`TlsError::Start`].
    pub fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = if roots.is_empty() {
            None
        } else {
            Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?)
        };
        Ok(Self { provider, authorities })
    }

    /// For a web server, whose certificate has to be right.
    pub(in crate::relay) fn web(&self) -> Result<ClientConfig, rustls::Error> {
        let (expected, doubt) = (Expected::Host, OnceLock::new());
        self.config(&Arc::new(Check { tls: self.clone(), expected, required: true, doubt }))
    }

    /// Without resumption: a connection that is resumed shows no certificate.
    fn config(&self, check: &Arc<Check>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(check) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// Puts TLS on a line to `host`. Where the right certificate is not `required`, any other does too.
    pub(super) async fn start(
        &self,
        line: Box<dyn Line>,
        host: &str,
        expected: Expected,
        required: bool,
        timeouts: &Timeouts,
    ) -> Result<Encrypted, TlsFailure> {
        let name = match &expected {
            Expected::Zone(dane) => dane.base.clone(),
            Expected::Anybody | Expected::Host => host.to_owned(),
        };
        let failure = |kind, words| TlsFailure { kind, words };
        let name = ServerName::try_from(name).map_err(|_| {
            failure(FailureKind::CertificateHostMismatch, format!("{host} is no name that a certificate can have"))
        })?;
        let check = Arc::new(Check { tls: self.clone(), expected, required, doubt: OnceLock::new() });
        let config = self.config(&check).map_err(|error| failure_of(&error))?;
        match timeout(timeouts.command, TlsConnector::from(Arc::new(config)).connect(name, line)).await {
            Ok(Ok(line)) => Ok(Encrypted { line: Box::new(line), doubt: check.doubt.get().map(failure_of) }),
            Ok(Err(error)) => Err(match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
                Some(error) => failure_of(error),
                None => failure(FailureKind::ValidationFailure, error.to_string()),
            }),
            Err(_) => Err(failure(FailureKind::ValidationFailure, "the handshake did not end in time".to_owned())),
        }
    }
}

/// As reports call it.
fn failure_of(error: &rustls::Error) -> TlsFailure {
    let kind = match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => FailureKind::CertificateExpired,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => FailureKind::CertificateHostMismatch,
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => FailureKind::CertificateNotTrusted,
        _ => FailureKind::ValidationFailure,
    };
    let words = match error {
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "the certificate matches no TLSA record".to_owned()
        }
        // The same today and tomorrow: reports count by these words.
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!("the certificate expired on {}", day(*not_after))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!("the certificate is valid from {} on", day(*not_before))
        }
        error => error.to_string(),
    };
    TlsFailure { kind, words }
}

fn day(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "another day".to_owned(), |time| time.strftime("%F").to_string())
}

/// Holds the certificate of one connection against what is expected.
#[derive(Debug)]
struct Check {
    tls: Tls,
    expected: Expected,
    required: bool,
    /// What was wrong with it, where that is no reason to end the handshake.
    doubt: OnceLock<rustls::Error>,
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = match (&self.expected, &self.tls.authorities) {
            (Expected::Anybody, _) => Ok(()),
            (Expected::Zone(dane), _) => dane.check(end_entity, intermediates, now, &self.tls.provider),
            (Expected::Host, Some(authorities)) => {
                authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now).map(drop)
            }
            (Expected::Host, None) => Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        match checked {
            Err(error) if self.required => Err(error),
            Err(error) => {
                // One handshake shows one certificate.
                let _ = self.doubt.set(error);
                Ok(ServerCertVerified::assertion())
            }
            Ok(()) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.tls.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.tls.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
