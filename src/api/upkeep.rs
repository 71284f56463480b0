//! `/verify`, `/backup`: what an administrator asks of the whole.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use axum::Json;
use axum::extract::State;

use super::App;
use super::failure::ApiError;
use super::request::Body;
use super::types::{BackedUp, Backup, Verified};
use crate::actions::verify::references;
use crate::config::Config;
use crate::dns::{DKIM, Names};
use crate::store::{Store, StoreError};

/// The folder of the store in the data directory, and in a backup.
pub const STORE: &str = "store";

pub(super) async fn verify(State(app): State<App>) -> Result<Json<Verified>, ApiError> {
    Ok(Json(apart(move || verified(&app.store)).await??))
}

/// Reads the whole store: the journal and the index, and then whatever names something.
pub fn verified(store: &Store) -> Result<Verified, StoreError> {
    let report = store.verify()?;
    let references = references(store)?;
    let read = [
        ("segments", report.segments),
        ("groups", report.groups),
        ("keys", report.keys),
        ("messages", report.raws),
        ("tickets", references.tickets),
        ("entries", references.entries),
        ("copies", references.copies),
    ];
    Ok(Verified {
        ok: report.is_clean() && references.problems.is_empty(),
        read: read.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        problems: report.problems.into_iter().chain(references.problems).collect(),
    })
}

pub(super) async fn backup(
    State(app): State<App>,
    Body(Backup { directory }): Body<Backup>,
) -> Result<Json<BackedUp>, ApiError> {
    apart(move || {
        let target = Path::new(&directory);
        if !target.is_absolute() {
            return Err(ApiError::invalid(format!("{directory}: give a path that starts with /")));
        }
        let usable = fs::create_dir_all(target).and_then(|()| Ok(fs::read_dir(target)?.next().is_none()));
        match usable {
            Ok(true) => {}
            Ok(false) => return Err(ApiError::invalid(format!("{directory} is not empty; give a new folder"))),
            Err(error) => {
                let may = match error.kind() {
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                        "; under systemd, ReadWritePaths= in the daemon's unit says where it may write"
                    }
                    _ => "",
                };
                return Err(ApiError::invalid(format!("{directory} can't be used: {error}{may}")));
            }
        }
        copy_all(&app.config, &app.store, &app.names, target)
            .map(Json)
            .map_err(|error| ApiError::internal(format!("{error:#}")))
    })
    .await?
}

/// Copies the store and the keys into an empty directory, while the daemon goes on.
fn copy_all(config: &Config, store: &Store, names: &Names, directory: &Path) -> anyhow::Result<BackedUp> {
    let copy = directory.join(STORE);
    store.copy_to(&copy)?;
    let mut copied = counted(&copy)?;
    let keys = config.data_dir.join(DKIM);
    if keys.is_dir() {
        let keys = names.at_rest(|| copy_folder(&keys, &directory.join(DKIM)))?;
        copied.files += keys.files;
        copied.size += keys.size;
    }
    fs::File::open(directory)?.sync_all()?;
    Ok(BackedUp { directory: directory.display().to_string(), ..copied })
}

/// Copies a folder with what is in it, keeping modes, each file synced.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<BackedUp> {
    let context = |path: &Path| format!("{} can't be copied to {}", path.display(), to.display());
    fs::create_dir_all(to).with_context(|| context(from))?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    let mut copied = BackedUp { directory: to.display().to_string(), files: 0, size: 0 };
    for entry in fs::read_dir(from).with_context(|| context(from))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            let inner = copy_folder(&entry.path(), &target)?;
            copied.files += inner.files;
            copied.size += inner.size;
        } else {
            copied.size += fs::copy(entry.path(), &target).with_context(|| context(&entry.path()))?;
            copied.files += 1;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()?;
    Ok(copied)
}

fn counted(directory: &Path) -> anyhow::Result<BackedUp> {
    let mut found = BackedUp { directory: directory.display().to_string(), files: 0, size: 0 };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let inner = counted(&entry.path())?;
            found.files += inner.files;
            found.size += inner.size;
        } else {
            found.files += 1;
            found.size += entry.metadata()?.len();
        }
    }
    Ok(found)
}

/// Runs what blocks for long beside the threads that serve.
pub(super) async fn apart<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(f).await.map_err(|error| ApiError::internal(error.to_string()))
}
