//! A spam filter's opinion: rspamd, asked over HTTP with the message and its envelope.
//!
//! What it proposes is only read here; what it comes to is [`desk::spam`](crate::desk::spam)'s.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::blocklist::is_public;
use crate::desk::address::Address;
use crate::desk::envelope::Envelope;
use crate::desk::spam::{Action, Opinion};

/// The most octets of an answer; rspamd's own have a few thousand.
const MOST_ANSWER: usize = 1 << 20;
/// The most octets of its header.
const MOST_HEADER: usize = 64 << 10;
/// How long the client's name may take to find, and never more than a part of the whole: else a client
/// whose name server is silent would not be filtered. Not knowing it costs a mail some points.
const NAME_DEADLINE: Duration = Duration::from_secs(3);
const NAME_PART: u32 = 3;
/// The most recipients that are told.
const MOST_RECIPIENTS: usize = 100;

/// Where rspamd is.
pub struct Rspamd {
    pub host: String,
    pub port: u16,
    /// For the whole of an answer.
    pub deadline: Duration,
    /// Our own name.
    pub hostname: String,
    /// For the client's name.
    pub resolver: TokioResolver,
}

/// Why there is no opinion.
#[derive(Debug, thiserror::Error)]
pub enum NoOpinion {
    #[error("it did not answer in time")]
    Late,
    #[error("it can't be reached: {0}")]
    Away(#[from] io::Error),
    #[error("it does not speak HTTP: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("the envelope can't be told: {0}")]
    Envelope(#[from] hyper::http::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer broke off or is too long: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer can't be understood: {0}")]
    Nonsense(#[from] serde_json::Error),
    #[error("it proposes {0:?}, which is unknown here")]
    Action(String),
}

/// Of an answer of `/checkv2`, what is read.
#[derive(Deserialize)]
struct Answer {
    action: String,
    score: f64,
    required_score: f64,
}

impl Rspamd {
    /// What it thinks of a message.
    ///
    /// # Errors
    /// [`NoOpinion`]: then the message is unfiltered.
    pub async fn ask(&self, envelope: &Envelope, raw: Bytes) -> Result<Opinion, NoOpinion> {
        timeout(self.deadline, self.exchange(envelope, raw)).await.unwrap_or(Err(NoOpinion::Late))
    }

    async fn exchange(&self, envelope: &Envelope, raw: Bytes) -> Result<Opinion, NoOpinion> {
        let (name, stream) =
            tokio::join!(self.name_of(envelope.client), TcpStream::connect((self.host.as_str(), self.port)));
        let request = self.request(envelope, name.as_deref(), raw)?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MOST_HEADER)
            .handshake(TokioIo::new(stream?))
            .await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(NoOpinion::Status(response.status()));
            }
            let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await.map_err(NoOpinion::Body)?;
            read(&body.to_bytes())
        };
        tokio::pin!(answer);
        // The connection is over when it has given all of the answer away; what it had trouble with, the
        // answer tells.
        tokio::select! {
            opinion = &mut answer => opinion,
            _ = connection => answer.await,
        }
    }

    /// The message with what rspamd wants to know of its envelope, in fields of the request.
    fn request(&self, envelope: &Envelope, name: Option<&str>, raw: Bytes) -> Result<Request<Full<Bytes>>, NoOpinion> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/checkv2")
            .header(HOST, format!("{host}:{}", self.port))
            .header(CONTENT_LENGTH, raw.len())
            .header("Queue-Id", value(&envelope.id))
            .header("MTA-Name", value(&self.hostname))
            .header("IP", envelope.client.to_canonical().to_string())
            .header("Helo", value(&envelope.helo))
            .header("From", value(envelope.reverse_path.as_ref().map_or("<>", Address::as_str)));
        if let Some(name) = name {
            request = request.header("Hostname", value(name));
        }
        for recipient in envelope.recipients.iter().take(MOST_RECIPIENTS) {
            request = request.header("Rcpt", value(recipient.as_str()));
        }
        Ok(request.body(Full::new(raw))?)
    }

    /// The client's name, if the name has the client's address too.
    async fn name_of(&self, client: IpAddr) -> Option<String> {
        let client = client.to_canonical();
        if !is_public(client) {
            return None;
        }
        let find = async {
            let names = self.resolver.reverse_lookup(client).await.ok()?;
            let name = names.answers().iter().find_map(|record| match &record.data {
                RData::PTR(name) => Some(name.0.clone()),
                _ => None,
            })?;
            let addresses = self.resolver.lookup_ip(name.clone()).await.ok()?;
            let text = name.to_ascii();
            addresses.iter().any(|address| address == client).then(|| text.trim_end_matches('.').to_owned())
        };
        timeout(NAME_DEADLINE.min(self.deadline / NAME_PART), find).await.ok().flatten()
    }
}

/// A value that can't leave its field, whatever the client said.
fn value(text: &str) -> HeaderValue {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(512).collect();
    HeaderValue::from_bytes(clean.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn read(body: &[u8]) -> Result<Opinion, NoOpinion> {
    let answer: Answer = serde_json::from_slice(body)?;
    let action = Action::named(&answer.action).ok_or(NoOpinion::Action(answer.action))?;
    Ok(Opinion { action, score: answer.score, required: answer.required_score })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_nonsense_is_told() {
        let body = br#"{"is_skipped":false,"score":7.25,"required_score":15.0,"action":"add header",
            "symbols":{"X":{"name":"X","score":7.25}},"messages":{},"message-id":"a@b"}"#;
        assert_eq!(read(body).unwrap(), Opinion { action: Action::AddHeader, score: 7.25, required: 15.0 });
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"action":"reject"}"#,
            r#"{"action":"explode","score":1,"required_score":2}"#,
            r#"{"action":"reject","score":"1","required_score":2}"#,
            r#"{"action":"reject","score":NaN,"required_score":2}"#,
            r#"{"action":"reject","score":1e999,"required_score":2}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_that_a_client_says_leaves_its_field() {
        assert_eq!(value("a\r\nRcpt: b").as_bytes(), b"aRcpt: b");
        assert_eq!(value("é\0").as_bytes(), "é".as_bytes());
        assert_eq!(value(&"x".repeat(9_000)).len(), 512);
    }
}
