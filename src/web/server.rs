//! Reads requests and writes answers: one for each connection, which ends with it. All that asks here
//! (authorities, servers that fetch a policy, mail clients that are set up) asks once; and what is open for a moment can't be
//! held open (Slowloris).

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::site::{self, Scheme, Site};
use crate::net::limits::ConnectionLimits;
use crate::net::listen::Listener;
use crate::net::serve::serve;
use crate::net::stop::Stop;
use crate::net::tls::{ACME_PROTOCOL, Acceptor};

/// The most octets of a request's header, and the most fields in it.
const MOST_HEADER: usize = 16 << 10;
const MOST_FIELDS: usize = 64;
/// The most octets of a body that is read; Outlook's have some hundred.
const MOST_BODY: usize = 16 << 10;
/// How long after the word to stop an answer may go on.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long each thing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    pub handshake: Duration,
    /// Until a request's header is whole.
    pub header: Duration,
    /// For a connection in all, after the handshake.
    pub whole: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { handshake: seconds(10), header: seconds(10), whole: seconds(30) }
    }
}

/// The server of the web listeners.
#[derive(Debug)]
pub struct Server {
    pub site: Site,
    pub connections: ConnectionLimits,
    pub deadlines: Deadlines,
}

impl Server {
    /// Serves a listening socket until the word to stop, over TLS where there is an acceptor. What is
    /// being answered then has a moment to end.
    pub async fn serve(self: Arc<Self>, listener: Listener, tls: Option<Acceptor>, stop: Stop) {
        serve(listener, stop, "web", LAST_WORD, |stream, peer| self.admit(stream, peer, tls.clone())).await;
    }

    /// Whoever is too many is hung up on: there is no word for it before the handshake.
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Acceptor>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let client = peer.ip().to_canonical();
        let place = match self.connections.admit(client) {
            Ok(place) => place,
            Err(full) => {
                tracing::info!(%client, reason = %full, "web connection refused");
                return None;
            }
        };
        let server = Arc::clone(self);
        Some(async move {
            if let Err(reason) = server.converse(stream, tls).await {
                tracing::debug!(%client, reason, "web connection broken off");
            }
            drop(place);
        })
    }

    async fn converse(&self, stream: TcpStream, tls: Option<Acceptor>) -> Result<(), String> {
        let Deadlines { handshake, whole, .. } = self.deadlines;
        let late = |_| "it took too long".to_owned();
        let Some(tls) = tls else {
            return timeout(whole, self.answer(stream, Scheme::Http)).await.map_err(late)?;
        };
        let accepted = timeout(handshake, tls.acceptor().accept(stream)).await.map_err(late)?;
        let stream = accepted.map_err(|error| error.to_string())?;
        // The handshake was all that the authority wanted to see (RFC 8737 §3).
        if stream.get_ref().1.alpn_protocol() == Some(ACME_PROTOCOL) {
            return Ok(());
        }
        timeout(whole, self.answer(stream, Scheme::Https)).await.map_err(late)?
    }

    async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin, scheme: Scheme) -> Result<(), String> {
        let service = service_fn(async |request: Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let answer: Response<_> = if self.site.reads(scheme, &parts) {
                match Limited::new(body, MOST_BODY).collect().await {
                    Ok(body) => self.site.answer(scheme, &parts, &body.to_bytes()),
                    Err(_) => site::too_long(),
                }
            } else {
                self.site.answer(scheme, &parts, &[])
            };
            Ok::<_, Infallible>(answer)
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.deadlines.header)
            .max_buf_size(MOST_HEADER)
            .max_headers(MOST_FIELDS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await
            .map_err(|error| error.to_string())
    }
}
