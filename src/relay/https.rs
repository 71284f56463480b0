//! Short exchanges with web servers of the domains that mail goes to: their policies are fetched,
//! and reports are handed to them.
//!
//! As everywhere outwards, what a name server says is not trusted: no address where no server of the
//! internet is, no redirect, nothing without end, a certificate for the name that was asked for.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::client::Tls;
use super::mx::may_be_elsewhere;
use super::names::Names;
use crate::config::Direct;

/// How long an exchange may take, from the name to the last octet: mail waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a connection to one address may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 4;
/// The longest head of an answer.
const LONGEST_HEAD: usize = 16 * 1024;

/// Asks web servers. Cheap to clone.
#[derive(Clone)]
pub struct Https {
    names: Names,
    tls: Arc<ClientConfig>,
    direct: Direct,
    patience: Duration,
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpsError {
    #[error("no address for {0}")]
    NoAddress(String),
    #[error("no connection to {0}: {1}")]
    Connect(String, String),
    /// The certificate is not valid, or the handshake failed.
    #[error("no TLS with {0}: {1}")]
    Tls(String, String),
    #[error("{0} broke off: {1}")]
    Broken(String, String),
    /// Also a redirect, which leads nowhere (RFC 8461 §3.3).
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    #[error("{0} sends {1:?}, and not text/plain")]
    Type(String, String),
    #[error("{0} sends more than {1} octets")]
    TooLong(String, usize),
    #[error("{0} did not answer in time")]
    Late(String),
}

impl Https {
    /// Believes the authorities that `tls` believes.
    ///
    /// # Errors
    /// When the library refuses its own settings.
    pub fn new(resolver: TokioResolver, tls: &Tls, direct: Direct) -> Result<Self, rustls::Error> {
        Ok(Self { names: Names::new(resolver), tls: Arc::new(tls.web()?), direct, patience: PATIENCE })
    }

    /// With another limit for a whole exchange.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A text of at most `longest` octets.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub async fn text(&self, host: &str, path: &str, longest: usize) -> Result<String, HttpsError> {
        let request = Request::builder().method(Method::GET).uri(path).header(HOST, host);
        let request = request.header(USER_AGENT, "guichet").body(Full::default());
        let answer = self.exchange(host, self.direct.https_port, request, longest, true).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Hands something over; what is answered does not matter, if only it is taken.
    ///
    /// # Errors
    /// [`HttpsError`].
    pub async fn post(
        &self,
        host: &str,
        port: Option<u16>,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<(), HttpsError> {
        let request = Request::builder().method(Method::POST).uri(path).header(HOST, host).header(CONTENT_TYPE, kind);
        let request = request.header(USER_AGENT, "guichet").header(CONTENT_LENGTH, body.len());
        let port = port.unwrap_or(self.direct.https_port);
        self.exchange(host, port, request.body(Full::from(body)), LONGEST_HEAD, false).await.map(drop)
    }

    async fn exchange(
        &self,
        host: &str,
        port: u16,
        request: hyper::http::Result<Request<Full<Bytes>>>,
        longest: usize,
        wants_text: bool,
    ) -> Result<Bytes, HttpsError> {
        let broken = |error: &dyn ToString| HttpsError::Broken(host.to_owned(), error.to_string());
        let request = request.map_err(|error| broken(&error))?;
        let exchange = async {
            let stream = self.connect(host, port).await?;
            let tls = |error: &dyn ToString| HttpsError::Tls(host.to_owned(), error.to_string());
            let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(&error))?;
            let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
            let stream = TokioIo::new(stream.map_err(|error| tls(&error))?);
            let (mut sender, connection) = http1::Builder::new()
                .max_buf_size(LONGEST_HEAD)
                .handshake(stream)
                .await
                .map_err(|error| broken(&error))?;
            let talk = async {
                let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
                let status = answer.status();
                if !(status == StatusCode::OK || (!wants_text && status.is_success())) {
                    return Err(HttpsError::Status(host.to_owned(), status));
                }
                let kind = answer.headers().get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
                let kind = kind.unwrap_or_default().into_owned();
                let essence = kind.split(';').next().unwrap_or_default().trim();
                if wants_text && !essence.eq_ignore_ascii_case("text/plain") {
                    return Err(HttpsError::Type(host.to_owned(), kind));
                }
                match Limited::new(answer.into_body(), longest).collect().await {
                    Ok(body) => Ok(body.to_bytes()),
                    Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                        Err(HttpsError::TooLong(host.to_owned(), longest))
                    }
                    Err(error) => Err(broken(&error)),
                }
            };
            let mut talk = pin!(talk);
            // The connection is driven beside, and may end before all that it brought is read.
            tokio::select! {
                answer = &mut talk => answer,
                _ = connection => talk.await,
            }
        };
        match timeout(self.patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpsError::Late(host.to_owned())),
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, HttpsError> {
        let found = self.names.addresses(host).await;
        let public = |address: &IpAddr| may_be_elsewhere(*address, self.direct.allow_loopback);
        let mut failure = HttpsError::NoAddress(host.to_owned());
        for address in found.into_iter().filter(public).take(MOST_ADDRESSES) {
            let address = SocketAddr::new(address, port);
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = HttpsError::Connect(address.to_string(), error.to_string()),
                Err(_) => failure = HttpsError::Connect(address.to_string(), "no answer".to_owned()),
            }
        }
        Err(failure)
    }
}
