//! Requests to the JSON API: over the daemon's unix socket, or, when none runs, to the same router
//! opened in this process.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tower::ServiceExt;

use super::Failure;
use crate::api::types;
use crate::config::Config;
use crate::config::percent::escape;
use crate::store::Store;

/// One request: method, target below `/api/v1` and JSON body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: Option<Value>,
}

impl Call {
    /// A request for the path made of `segments`, each of them encoded.
    pub(super) fn new(method: Method, segments: &[&str]) -> Self {
        let target = segments.iter().fold(String::new(), |path, segment| path + "/" + &escape(segment));
        Self { method, target, body: None }
    }

    pub(super) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    pub(super) fn post(segments: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::POST, segments).with(body)
    }

    pub(super) fn patch(segments: &[&str], body: &impl Serialize) -> Self {
        Self::new(Method::PATCH, segments).with(body)
    }

    pub(super) fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// Adds a query parameter when there is a value.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            self.target = self.target + name + "=" + &escape(&value.to_string());
        }
        self
    }

    fn with(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_value(body).expect("request types are maps of texts, numbers and lists"));
        self
    }
}

/// The API in this process.
pub struct Inside {
    pub router: Router,
    /// The store under it, to be closed when the command has done its work.
    pub store: Option<Store>,
}

/// The way to the API.
pub(super) struct Client<'a> {
    config: &'a Config,
    open: fn(&Config) -> Result<Inside, Failure>,
    /// Once no daemon answered: the API in this process.
    inside: Option<Inside>,
    runtime: Runtime,
}

impl<'a> Client<'a> {
    /// `open` opens the store and makes the router when no daemon runs.
    pub(super) fn new(config: &'a Config, open: fn(&Config) -> Result<Inside, Failure>) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| anyhow::anyhow!("cannot start: {error}"))?;
        Ok(Self { config, open, inside: None, runtime })
    }

    /// Whether a daemon answers on the socket.
    pub(super) fn daemon_runs(config: &Config) -> bool {
        std::os::unix::net::UnixStream::connect(config.api_socket()).is_ok()
    }

    /// The answer as JSON.
    pub(super) fn call(&mut self, call: &Call) -> Result<Value, Failure> {
        let request = || {
            let (bytes, length) = match &call.body {
                Some(body) => {
                    let bytes = body.to_string();
                    (Body::from(bytes.clone()), bytes.len())
                }
                None => (Body::empty(), 0),
            };
            Request::builder()
                .method(call.method.clone())
                .uri(format!("/api/v1{}", call.target))
                .header(header::HOST, "guichet")
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, length)
                .header("guichet-door", "cli")
                .body(bytes)
                .expect("the target is percent-encoded")
        };
        if self.inside.is_none() {
            let socket = self.config.api_socket();
            match self.runtime.block_on(UnixStream::connect(&socket)) {
                Ok(stream) => return self.runtime.block_on(over_socket(stream, request())),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                    self.open_here()?;
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    let owner = fs::metadata(&self.config.data_dir).map(|data| data.uid()).ok();
                    return Err(not_the_owner(self.config, owner));
                }
                Err(error) => return Err(anyhow::anyhow!("{}: {error}", socket.display()).into()),
            }
        }
        let router = self.inside.as_ref().map(|inside| inside.router.clone()).expect("open_here made it or failed");
        self.runtime.block_on(async {
            let response = match router.oneshot(request()).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            answer(response).await
        })
    }

    /// The answer as one of the API's types, with the JSON that it came as.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, call: &Call) -> Result<(T, Value), Failure> {
        let value = self.call(call)?;
        let typed = T::deserialize(&value).map_err(|error| {
            anyhow::anyhow!("the daemon's answer is not understood ({error}); is it another release?")
        })?;
        Ok((typed, value))
    }

    fn open_here(&mut self) -> Result<(), Failure> {
        let data_dir = &self.config.data_dir;
        let owner = match fs::metadata(data_dir) {
            Ok(metadata) => metadata.uid(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = format!("{} does not exist; `guichet init` makes it", data_dir.display());
                return Err(Failure::BadConfig(vec![self.config.problem("data_dir", text)]));
            }
            Err(error) => return Err(Failure::BadConfig(vec![self.config.problem("data_dir", error.to_string())])),
        };
        if rustix::process::geteuid().as_raw() != owner {
            return Err(not_the_owner(self.config, Some(owner)));
        }
        let _inside = self.runtime.enter();
        self.inside = Some((self.open)(self.config)?);
        Ok(())
    }
}

impl Drop for Client<'_> {
    /// A store that is not closed has to be looked through at the next start.
    fn drop(&mut self) {
        if let Some(store) = self.inside.take().and_then(|inside| inside.store)
            && let Err(error) = self.runtime.block_on(store.close())
        {
            eprintln!("warning: the store was not closed cleanly: {error}");
        }
    }
}

/// Files made by another user could not be written by the daemon later.
fn not_the_owner(config: &Config, owner: Option<u32>) -> Failure {
    let owner = owner.map_or_else(|| "its owner".to_owned(), |uid| format!("user {uid}, its owner"));
    let dir = config.data_dir.display();
    Failure::Other(anyhow::anyhow!("{dir} is worked on by {owner}, only; run this as that user, with sudo -u"))
}

async fn over_socket(stream: UnixStream, request: Request<Body>) -> Result<Value, Failure> {
    let lost = |error: hyper::Error| anyhow::anyhow!("the daemon went away: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(lost)?;
    let value = answer(response.map(Body::new)).await;
    connection.abort();
    value
}

async fn answer(response: Response<Body>) -> Result<Value, Failure> {
    let status = response.status();
    let body =
        response.into_body().collect().await.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?;
    let bytes = body.to_bytes();
    if status.is_success() {
        return Ok(serde_json::from_slice(&bytes)
            .map_err(|error| anyhow::anyhow!("the daemon's answer is not JSON: {error}"))?);
    }
    if let Ok(failure) = serde_json::from_slice::<types::Failure>(&bytes) {
        return Err(Failure::Api(failure.error));
    }
    let text = String::from_utf8_lossy(&bytes);
    Err(anyhow::anyhow!("the daemon answered {status}: {}", text.trim()).into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::extract::Path as Segment;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, post};
    use axum::{Json, extract};
    use serde_json::json;

    use super::*;

    fn router() -> Router {
        Router::new()
            .route(
                "/api/v1/members/{address}",
                get(|Segment(address): Segment<String>, headers: HeaderMap| async move {
                    Json(json!({ "address": address, "door": headers["guichet-door"].to_str().unwrap() }))
                }),
            )
            .route(
                "/api/v1/properties",
                post(|extract::Json(body): extract::Json<Value>| async move {
                    let error = json!({ "error": { "code": "conflict", "message": body["slug"] } });
                    (StatusCode::CONFLICT, Json(error))
                }),
            )
    }

    fn config(folder: &Path) -> Config {
        let text = "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \".\"\n\
                    postmaster = \"acme\"\nrelay.mode = \"capture\"\n";
        Config::parse(text, &folder.join("guichet.toml")).unwrap()
    }

    fn talk(client: &mut Client<'_>) {
        let value = client.call(&Call::get(&["members", "a/b?c%@example.org"])).unwrap();
        assert_eq!(value, json!({ "address": "a/b?c%@example.org", "door": "cli" }));
        let Err(Failure::Api(error)) = client.call(&Call::post(&["properties"], &json!({ "slug": "acme" }))) else {
            panic!("a conflict");
        };
        assert_eq!((error.code.as_str(), error.message.as_str()), ("conflict", "acme"));
    }

    #[test]
    fn both_ways_ask_the_same_and_hear_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut here = Client::new(&config, |_| Ok(Inside { router: router(), store: None })).unwrap();
        talk(&mut here);

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async { tokio::net::UnixListener::bind(config.api_socket()).unwrap() });
        runtime.spawn(async move { axum::serve(listener, router()).await });
        assert!(Client::daemon_runs(&config));
        let mut there = Client::new(&config, |_| panic!("a daemon answers")).unwrap();
        talk(&mut there);
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        drop(std::os::unix::net::UnixListener::bind(config.api_socket()).unwrap());
        assert!(!Client::daemon_runs(&config));
        talk(&mut Client::new(&config, |_| Ok(Inside { router: router(), store: None })).unwrap());
    }

    #[test]
    fn a_busy_store_and_a_missing_folder_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut busy = Client::new(&config, |_| Err(Failure::Busy("held".into()))).unwrap();
        assert_eq!(busy.call(&Call::get(&["members"])).unwrap_err().exit(), 75);
        folder.close().unwrap();
        let mut gone = Client::new(&config, |_| panic!("not opened")).unwrap();
        assert_eq!(gone.call(&Call::get(&["members"])).unwrap_err().exit(), 78);
    }

    #[test]
    fn queries_are_encoded() {
        let call =
            Call::get(&["tickets"]).query("query", Some("a&b=é")).query("tag", None::<&str>).query("limit", Some(5));
        assert_eq!(call.target, "/tickets?query=a%26b%3D%C3%A9&limit=5");
    }
}
