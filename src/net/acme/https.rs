//! The requests of ACME: HTTP/1.1 under TLS, one connection each, with bounds on time and size, since
//! even an authority may be slow or wrong.

use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::net::tls::certificate::reason;

/// For one request with its answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// For one address of a host.
const CONNECT: Duration = Duration::from_secs(10);
/// The most octets of an answer; certificate chains have some ten thousand.
const MOST_ANSWER: usize = 1 << 20;
/// The most seconds that an authority can ask us to wait; what waits is asked for anew before.
const LONGEST_RETRY: u64 = 86_400;
/// The most octets of its header.
const MOST_HEADER: usize = 64 << 10;

/// Who speaks with the authority.
#[derive(Clone)]
pub struct Https {
    resolver: TokioResolver,
    tls: Arc<ClientConfig>,
}

/// Why nobody can.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("{path}: no certificate of an authority could be read from it: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("no root certificates were found; install the system's ca-certificates package")]
    NoRoots,
    #[error("TLS can't be started: {0}")]
    Start(#[from] rustls::Error),
}

impl RootsError {
    /// The key of the configuration that names it.
    #[must_use]
    pub fn named_by(&self) -> &'static str {
        match self {
            Self::File { .. } => "tls.acme_ca",
            Self::NoRoots | Self::Start(_) => "tls.acme",
        }
    }
}

impl Https {
    /// Believes the authorities of the file, or the system's.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(resolver: TokioResolver, ca: Option<&Path>) -> Result<Self, RootsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        Ok(Self { resolver, tls: Arc::new(tls) })
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let uri = request.uri().clone();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        // The directory may name other addresses than it has itself.
        if uri.scheme_str() != Some("https") || host.is_empty() {
            return Err(format!("the authority names {uri}, which is no https:// address").into());
        }
        let name = ServerName::try_from(host.clone())?;
        let stream = self.connect(&host, uri.port_u16().unwrap_or(443)).await?;
        let stream = TlsConnector::from(self.tls).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MOST_HEADER)
            .handshake(TokioIo::new(stream))
            .await?;
        let request = relative(request, &uri)?;
        let answer = async {
            let (mut parts, body) = sender.send_request(request).await?.into_parts();
            bound_retry(&mut parts.headers);
            let body = Limited::new(body, MOST_ANSWER).collect().await?.to_bytes();
            Ok(BytesResponse::from(Response::from_parts(parts, Full::new(body))))
        };
        tokio::pin!(answer);
        // The connection is over when it has given all of the answer away; what it had trouble with, the
        // answer tells.
        tokio::select! {
            answered = &mut answer => answered,
            _ = connection => answer.await,
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let addresses: Vec<IpAddr> = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self
                .resolver
                .lookup_ip(host)
                .await
                .map_err(|error| format!("no address for {host}: {error}"))?
                .iter()
                .collect(),
        };
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(late) => failure = late.into(),
            }
        }
        Err(format!("no connection to {host}: {failure}").into())
    }
}

/// The authorities of the file, or the system's.
///
/// # Errors
/// [`RootsError`] when there is none.
pub fn roots(ca: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(RootsError::NoRoots) } else { Ok(roots) };
    };
    let unusable = |reason: String| RootsError::File { path: path.to_owned(), reason };
    let text = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    for root in CertificateDer::pem_slice_iter(&text) {
        let root = root.map_err(|error| unusable(reason(error)))?;
        roots.add(root).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it has no CERTIFICATE section".to_owned()));
    }
    Ok(roots)
}

type Failure = Box<dyn StdError + Send + Sync>;

/// The request as a server wants it: the path alone, and the host in a field (RFC 9112 §3.2.1).
fn relative(mut request: Request<BodyWrapper<Bytes>>, uri: &Uri) -> Result<Request<BodyWrapper<Bytes>>, Failure> {
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    request.headers_mut().insert(HOST, HeaderValue::from_str(&host)?);
    *request.uri_mut() = uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
    Ok(request)
}

/// The library adds the seconds of Retry-After to the time, and would panic where that has no room for
/// them.
fn bound_retry(headers: &mut HeaderMap) {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if seconds.is_some_and(|seconds| seconds > LONGEST_RETRY) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_RETRY));
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = timeout(DEADLINE, self.clone().exchange(request));
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer.map_err(Error::Other),
                Err(_) => Err(Error::Other("the authority did not answer in time".into())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_wants_us_to_wait_for_ever_is_taken_at_a_day() {
        for (said, kept) in [
            ("18446744073709551615", "86400"),
            ("86401", "86400"),
            ("5", "5"),
            ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT"),
            ("99999999999999999999999", "99999999999999999999999"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, said.parse().unwrap());
            bound_retry(&mut headers);
            assert_eq!(headers[RETRY_AFTER], kept);
        }
    }
}
