//! The JSON API: what the command line acts through, on the unix socket `data_dir/api.sock` (mode
//! 0600, so whoever can speak to it is an administrator) or in process when no daemon runs.
//!
//! All paths are below `/api/v1`. Bodies and answers are JSON, the types of [`types`]; a failure
//! answers [`types::Failure`] with a status code that fits. Names in paths are percent-encoded
//! (RFC 3986 §2.1). Lists answer in pages: `limit` (50 unless said, 500 at most) and `after`, the
//! `next` of the page before; a page may be shorter than that while `next` says that there is
//! more. A ticket that was merged is shown as it is, with `merged_into`; what acts on it acts on
//! the one that goes on. What changes a ticket takes `as`, the address of the member who does it; without it the
//! system does. The request field `guichet-door: cli` says that a change came by the command line
//! and not by another client of the API.
//!
//! | method and path | body, `query` | answer |
//! |---|---|---|
//! | GET `/properties` | `limit`, `after` | [`types::Properties`] |
//! | POST `/properties` | [`types::NewProperty`] | 201 [`types::Property`] |
//! | GET `/properties/{slug}` | | [`types::Property`] |
//! | PATCH `/properties/{slug}` | [`types::EditProperty`] | [`types::Property`] |
//! | DELETE `/properties/{slug}` | | [`types::Removed`] |
//! | GET `/members` | `property`, `limit`, `after` | [`types::Members`] |
//! | POST `/members` | [`types::NewMember`] | 201 [`types::Member`] |
//! | GET `/members/{address}` | | [`types::Member`] |
//! | PATCH `/members/{address}` | [`types::EditMember`] | [`types::Member`] |
//! | DELETE `/members/{address}` | | [`types::Removed`] |
//! | POST `/members/{address}/resume` | | [`types::Member`] |
//! | GET `/members/{address}/setup` | | [`types::Setup`]: what his mail client is told |
//! | GET `/members/{address}/app-passwords` | | [`types::AppPasswords`] |
//! | POST `/members/{address}/app-passwords` | [`types::NewAppPassword`] | 201 [`types::MadeAppPassword`], the one time that it is told |
//! | DELETE `/members/{address}/app-passwords/{name}` | | [`types::Removed`] |
//! | GET `/departments` | `property`, `limit`, `after` | [`types::Departments`] |
//! | POST `/properties/{slug}/departments` | [`types::NewDepartment`] | 201 [`types::Department`] |
//! | GET `/properties/{slug}/departments/{slug}` | | [`types::Department`] |
//! | PATCH `/properties/{slug}/departments/{slug}` | [`types::EditDepartment`] | [`types::Department`] |
//! | DELETE `/properties/{slug}/departments/{slug}` | | [`types::Removed`] |
//! | GET `/contacts` | `property`, `query`, `limit`, `after` | [`types::Contacts`] |
//! | GET `/contacts/{address}` | | [`types::Contact`] with its tickets |
//! | PATCH `/contacts/{address}` | [`types::EditContact`] | [`types::Contact`] |
//! | POST `/contacts/{address}/merge` | [`types::Merge`] | [`types::Contact`], the one that stays |
//! | POST `/contacts/{address}/resume` | | [`types::Contact`] |
//! | GET `/tickets` | `property`, `status`, `assignee`, `tag`, `query`, `held=true`, `limit`, `after` | [`types::Tickets`] |
//! | POST `/tickets` | [`types::NewTicket`], `as` | 201 [`types::Ticket`] |
//! | GET `/tickets/{ref}` | | [`types::Ticket`] with its entries |
//! | GET `/tickets/{ref}/log` | | [`types::Log`]: its events alone |
//! | POST `/tickets/{ref}/actions` | [`types::Action`], `as` | [`types::Ticket`] with its entries |
//! | GET `/queue` | `state`, `destination`, `ticket`, `before` (queued), `limit`, `after` | [`types::Queue`] |
//! | GET `/queue/summary` | | [`types::QueueSummary`] |
//! | POST `/queue/actions` | [`types::QueueAction`] | [`types::QueueDone`] |
//! | GET `/queue/{id}` | | [`types::QueuedCopy`] with its offers |
//! | POST `/queue/{id}/hold`, `…/release`, `…/retry`, `…/cancel` | | [`types::QueuedCopy`] with its offers |
//! | GET `/trace/{what}` | a Message-ID, a ticket, a copy's number or a trace id | [`types::trace::Stories`] |
//! | GET `/metrics` | | [`types::Metrics`] |
//! | GET `/dns` | `domain` | [`types::Dns`] |
//! | POST `/dns/check` | `domain` | [`types::Dns`] |
//! | GET `/dkim` | | [`types::Dkim`] |
//! | POST `/dkim/{domain}/rotate` | | [`types::DkimDomain`] |
//! | POST `/dkim/{domain}/retire` | [`types::Retire`] | [`types::DkimDomain`] |
//! | POST `/probe` | [`types::Probe`] | [`types::Probed`] |
//! | POST `/verify` | | [`types::Verified`] |
//! | POST `/backup` | [`types::Backup`] | [`types::BackedUp`] |

mod app_passwords;
mod compose;
mod contacts;
mod departments;
mod failure;
mod list;
mod members;
mod metrics;
mod names;
mod probe;
mod properties;
mod queue;
mod request;
mod setup;
mod tickets;
mod trace;
pub mod types;
pub mod upkeep;
mod view;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::serve::Listener;
use jiff::Timestamp;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use self::failure::ApiError;
use self::request::Caller;
use crate::actions::{Act, ActionError, Actor, Desk};
use crate::config::Config;
use crate::dns::Names;
use crate::metrics::Metrics;
use crate::net::beat::Beat;
use crate::net::stop::Stop;
use crate::net::tls::Certificates;
use crate::relay::probe::Prober;
use crate::store::tables::TRACES;
use crate::store::{Read, Store, Tx, View};

/// What the handlers act on.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub config: Arc<Config>,
    /// The counters of the daemon; `None` where a command acts without one.
    pub metrics: Option<Arc<Metrics>>,
    /// What the daemon shows to those who connect; `None` where a command acts without one.
    pub certificates: Option<Certificates>,
    /// The keys that sign, and the eye on their records.
    pub names: Arc<Names>,
    /// Tests the way out; `None` where a command acts without a daemon, which has one.
    pub prober: Option<Arc<Prober>>,
}

/// All paths of the API.
pub fn router(app: App) -> Router {
    let most = usize::try_from(app.config.limits.request_size).unwrap_or(usize::MAX);
    let paths = Router::new()
        .route("/properties", get(properties::list).post(properties::add))
        .route("/properties/{slug}", get(properties::show).patch(properties::edit).delete(properties::remove))
        .route("/members", get(members::list).post(members::add))
        .route("/members/{address}", get(members::show).patch(members::edit).delete(members::remove))
        .route("/members/{address}/setup", get(setup::show))
        .route("/members/{address}/app-passwords", get(app_passwords::list).post(app_passwords::add))
        .route("/members/{address}/app-passwords/{name}", delete(app_passwords::revoke))
        .route("/members/{address}/resume", post(members::resume))
        .route("/departments", get(departments::list))
        .route("/properties/{slug}/departments", post(departments::add))
        .route(
            "/properties/{slug}/departments/{department}",
            get(departments::show).patch(departments::edit).delete(departments::remove),
        )
        .route("/contacts", get(contacts::list))
        .route("/contacts/{address}", get(contacts::show).patch(contacts::edit))
        .route("/contacts/{address}/merge", post(contacts::merge))
        .route("/contacts/{address}/resume", post(contacts::resume))
        .route("/tickets", get(list::list).post(tickets::add))
        .route("/tickets/{ref}", get(tickets::show))
        .route("/tickets/{ref}/log", get(tickets::log))
        .route("/tickets/{ref}/actions", post(tickets::act))
        .route("/queue", get(queue::list))
        .route("/queue/summary", get(queue::summary))
        .route("/queue/actions", post(queue::act_on_many))
        .route("/queue/{id}", get(queue::show))
        .route("/queue/{id}/{verb}", post(queue::act))
        .route("/trace/{what}", get(trace::show))
        .route("/metrics", get(metrics::show))
        .route("/dns", get(names::dns))
        .route("/dns/check", post(names::check))
        .route("/dkim", get(names::keys))
        .route("/dkim/{domain}/rotate", post(names::rotate))
        .route("/dkim/{domain}/retire", post(names::retire))
        .route("/probe", post(probe::send))
        .route("/verify", post(upkeep::verify))
        .route("/backup", post(upkeep::backup));
    Router::new()
        .nest("/api/v1", paths)
        .fallback(async || ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || ApiError::method())
        .layer(DefaultBodyLimit::max(most))
        .with_state(app)
}

impl App {
    /// Runs `f` on one state of the store, beside the threads that serve.
    async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&View<'_>, &Self) -> Result<T, ActionError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        let read = tokio::task::spawn_blocking(move || app.store.read(|view| f(view, &app)));
        Ok(read.await.map_err(|error| ApiError::internal(error.to_string()))??)
    }

    /// Makes a change: all of `f`, or nothing. The actor is the system; `f` may put another.
    async fn change<T: Send>(
        &self,
        caller: &Caller,
        mut f: impl FnMut(&mut Tx<'_>, &Act<'_>) -> Result<T, ActionError> + Send,
    ) -> Result<T, ApiError> {
        let now = Timestamp::now();
        let trace = self.desk.mint_trace();
        let act = Act {
            desk: &self.desk,
            now,
            door: caller.door,
            actor: Actor::System,
            trace: Some(trace.clone()),
            client: None,
        };
        let done = self.store.transact(|tx| f(tx, &act)).await?;
        if let Ok(Some(made)) = self.store.read(|view| view.get(&TRACES, &trace)) {
            tracing::info!(id = %trace, door = %caller.door, entries = made.entries.len(), "changed at the desk");
        }
        Ok(done)
    }
}

/// Opens the socket, for its owner alone. What an earlier daemon left there is replaced: whoever
/// has the store's lock is the only one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // Under another name until its rights are right: nobody else may open it for even a moment.
    let beside = path.with_extension("new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&beside, path)?;
    Ok(listener)
}

/// Serves until the word to stop; requests under way are answered.
pub async fn serve(socket: UnixListener, router: Router, mut stop: Stop, beat: Beat) {
    let listener = Watched { socket, beat };
    let stopped = async move { stop.stopped().await };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the API stopped");
    }
}

/// The socket; whoever accepts from it is asked whether he comes round.
struct Watched {
    socket: UnixListener,
    beat: Beat,
}

impl Listener for Watched {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            tokio::select! {
                accepted = Listener::accept(&mut self.socket) => return accepted,
                () = self.beat.answer() => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::desk::recipient::Domains;
    use crate::desk::token::Keys;

    fn api() -> Router {
        let text = "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\npostmaster = \"acme\"\n\
                    relay.mode = \"capture\"\nlimits.request_size = \"4KiB\"\nlimits.attachments = 1\n";
        let config = Config::parse(text, Path::new("guichet.toml")).unwrap();
        let desk = Desk {
            hostname: "desk.example.org".to_owned(),
            domains: Domains { local: vec!["desk.example.org".to_owned()], delimiters: vec!['+'] },
            keys: Keys::new(1, [(1, [7; 32])]).unwrap(),
            postmaster: None,
            acknowledgements: 100,
            patience: crate::actions::Patience::default(),
            random: Box::new(|| [7; 16]),
        };
        let (store, desk, config) = (Store::memory(), Arc::new(desk), Arc::new(config));
        let names = Arc::new(Names::new(Arc::clone(&config), store.clone(), Arc::clone(&desk), Timestamp::now));
        router(App { store, desk, config, metrics: None, certificates: None, names, prober: None })
    }

    async fn ask(api: &Router, method: &str, target: &str, body: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(target).body(Body::from(body.to_owned())).unwrap();
        let Ok(response) = api.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{method} {target}: no JSON")))
    }

    #[tokio::test]
    async fn every_failure_is_json_with_a_status_that_fits() {
        let api = api();
        let (status, made) = ask(&api, "POST", "/api/v1/properties", r#"{"slug":"acme","name":"Acme"}"#).await;
        assert_eq!((status, &made["forwarding_address"]), (201, &json!("acme@desk.example.org")));
        let large = "x".repeat(5_000);
        for (method, target, body, status, code) in [
            ("GET", "/", "", 404, "not-found"),
            ("GET", "/api/v1/nothing", "", 404, "not-found"),
            ("PUT", "/api/v1/properties", "", 405, "invalid"),
            ("POST", "/api/v1/properties", "{", 400, "invalid"),
            ("POST", "/api/v1/properties", r#"{"slug":"acme","name":"x","colour":"red"}"#, 400, "invalid"),
            ("POST", "/api/v1/properties", r#"{"slug":"bounces","name":"x"}"#, 400, "invalid"),
            ("POST", "/api/v1/properties", r#"{"slug":"acme","name":"x"}"#, 409, "conflict"),
            ("POST", "/api/v1/properties", &large, 413, "too-large"),
            ("GET", "/api/v1/properties/acm", "", 404, "not-found"),
            ("GET", "/api/v1/properties/%ff", "", 400, "invalid"),
            ("GET", "/api/v1/tickets?limit=0", "", 400, "invalid"),
            ("GET", "/api/v1/tickets?colour=red", "", 400, "invalid"),
            ("GET", "/api/v1/tickets/acme", "", 422, "invalid"),
            ("POST", "/api/v1/tickets/acme-1/actions?as=a&by=b", r#"{"action":"tag","tag":"x"}"#, 400, "invalid"),
            ("POST", "/api/v1/backup", r#"{"directory":"relative"}"#, 422, "invalid"),
        ] {
            let (answered, error) = ask(&api, method, target, body).await;
            assert_eq!((answered, &error["error"]["code"]), (status, &json!(code)), "{method} {target}: {error}");
            assert!(!error["error"]["message"].as_str().unwrap().is_empty(), "{method} {target}");
        }
    }

    #[tokio::test]
    async fn what_is_composed_is_checked_and_nothing_is_left_of_what_is_not() {
        let api = api();
        ask(&api, "POST", "/api/v1/properties", r#"{"slug":"acme","name":"Acme"}"#).await;
        let new = |more: Value| {
            let mut new = json!({ "property": "acme", "to": "bob@example.com", "subject": "Hello", "text": "Hi" });
            new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            new.to_string()
        };
        let file = |data: &str| json!({ "name": "../../etc/passwd", "content_type": "Text/Plain", "data": data });
        for refused in [
            json!({ "text": " \n" }),
            json!({ "subject": "\r\n" }),
            json!({ "attachments": [file("not base64!")] }),
            json!({ "attachments": [file("SGk="), file("SGk=")] }),
            json!({ "to": "acme@desk.example.org" }),
            json!({ "tags": ["two words"] }),
        ] {
            assert_eq!(ask(&api, "POST", "/api/v1/tickets", &new(refused.clone())).await.0, 422, "{refused}");
        }
        for unknown in [json!({ "assign": "nobody" }), json!({ "property": "shop" })] {
            assert_eq!(ask(&api, "POST", "/api/v1/tickets", &new(unknown.clone())).await.0, 404, "{unknown}");
        }
        let (_, list) = ask(&api, "GET", "/api/v1/tickets", "").await;
        assert_eq!(list, json!({ "tickets": [], "next": null }));

        let given = json!({ "subject": "Hello\r\nBcc: x@example.com", "attachments": [file("SGk=")] });
        let (status, made) = ask(&api, "POST", "/api/v1/tickets", &new(given)).await;
        assert_eq!((status, &made["subject"]), (201, &json!("Hello Bcc: x@example.com")));
        assert_eq!(made["entries"][0]["door"], "api");
        assert_eq!(made["entries"][0]["attachments"], json!([{ "name": "passwd", "type": "text/plain", "size": 2 }]));
    }
}
