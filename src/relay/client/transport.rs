//! The line to a server: TCP or a Unix socket, in clear or under TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Client, Reply, Timeouts};
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
    verified: Arc<ClientConfig>,
    any: Arc<ClientConfig>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system has no certificates of authorities.
    #[error("no root certificates were found; install the system's ca-certificates package")]
    NoRoots,
    /// The library refused its own settings.
    #[error("TLS can't be started: {0}")]
    Start(#[from] rustls::Error),
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

    /// Believes these authorities only; with none, only opportunistic TLS is possible.
    ///
    /// # Errors
    /// [`TlsError::Start`].
    pub fn with_roots(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        Ok(Self {
            verified: Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()),
            any: Arc::new(
                builder()?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(AnyCertificate(Arc::clone(&provider))))
                    .with_no_client_auth(),
            ),
        })
    }

    /// Puts TLS on a line; `verified` wants the right certificate for `host`.
    pub(super) async fn start(
        &self,
        line: Box<dyn Line>,
        host: &str,
        verified: bool,
        timeouts: &Timeouts,
    ) -> Result<Box<dyn Line>, Reply> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Reply::ours(format!("{host} is no name that a certificate can have")))?;
        let config = if verified { &self.verified } else { &self.any };
        match timeout(timeouts.command, TlsConnector::from(Arc::clone(config)).connect(name, line)).await {
            Ok(Ok(line)) => Ok(Box::new(line)),
            Ok(Err(error)) => {
                let text = format!("no TLS with {host}: {error}");
                // A wrong certificate stays wrong until somebody acts; a lost connection may not.
                let refused = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some();
                Err(if refused { Reply::ours_with([5, 7, 5], text) } else { Reply::ours(text) })
            }
            Err(_) => Err(Reply::ours(format!("no TLS with {host} in time"))),
        }
    }
}

/// Believes any certificate: opportunistic TLS (RFC 7435) keeps listeners out where the other way
/// would be to talk in clear. Never used where a password is sent to another machine.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
