//! The JSON API: what the command line acts through, on the unix socket `data_dir/api.sock` (mode
//! 0600, so whoever can speak to it is an administrator) or in process when no daemon runs.
//!
//! All paths are below `/api/v1`. Bodies and answers are JSON, the types of [`types`]; a failure
//! answers [`types::Failure`] with a status code that fits. Names in paths are percent-encoded
//! (RFC 3986 §2.1). Lists answer in pages: `limit` (50 unless said, 500 at most) and `after`, the
//! `next` of the page before. What changes something takes `as`, the address of the member who
//! does it; without it the system does. The request field `guichet-door: cli` says that a change
//! came by the command line and not by another client of the API.
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
//! | GET `/departments` | `property`, `limit`, `after` | [`types::Departments`] |
//! | POST `/properties/{slug}/departments` | [`types::NewDepartment`] | 201 [`types::Department`] |
//! | GET `/properties/{slug}/departments/{slug}` | | [`types::Department`] |
//! | PATCH `/properties/{slug}/departments/{slug}` | [`types::EditDepartment`] | [`types::Department`] |
//! | DELETE `/properties/{slug}/departments/{slug}` | | [`types::Removed`] |
//! | GET `/contacts` | `property`, `query`, `limit`, `after` | [`types::Contacts`] |
//! | GET `/contacts/{address}` | | [`types::Contact`] with its tickets |
//! | PATCH `/contacts/{address}` | [`types::EditContact`] | [`types::Contact`] |
//! | POST `/contacts/{address}/merge` | [`types::Merge`] | [`types::Contact`], the one that stays |
//! | GET `/tickets` | `property`, `status`, `assignee`, `tag`, `query`, `held=true`, `limit`, `after` | [`types::Tickets`] |
//! | POST `/tickets` | [`types::NewTicket`], `as` | 201 [`types::Ticket`] |
//! | GET `/tickets/{ref}` | | [`types::Ticket`] with its entries |
//! | GET `/tickets/{ref}/log` | | [`types::Log`]: its events alone |
//! | POST `/tickets/{ref}/actions` | [`types::Action`], `as` | [`types::Ticket`] with its entries |
//! | GET `/queue` | `state`, `limit`, `after` | [`types::Queue`] |
//! | GET `/queue/{id}` | | [`types::QueuedCopy`] |
//! | POST `/queue/{id}/retry`, `/queue/{id}/cancel` | | [`types::QueuedCopy`] |
//! | GET `/dns` | | [`types::Dns`] |
//! | POST `/verify` | | [`types::Verified`] |
//! | POST `/backup` | [`types::Backup`] | [`types::BackedUp`] |

pub mod types;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use tokio::net::UnixListener;

use crate::actions::Desk;
use crate::config::Config;
use crate::net::stop::Stop;
use crate::store::Store;

/// What the handlers act on.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub config: Arc<Config>,
}

/// All paths of the API.
pub fn router(app: App) -> Router {
    Router::new().with_state(app)
}

/// Opens the socket, for its owner alone. What an earlier daemon left there is removed: whoever
/// has the store's lock is the only one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until the word to stop; requests under way are answered.
pub async fn serve(listener: UnixListener, router: Router, mut stop: Stop) {
    let stopped = async move { stop.stopped().await };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the API stopped");
    }
}
