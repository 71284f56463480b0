//! `/dns`, `/verify`, `/backup`: what an administrator asks of the whole.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::App;
use super::failure::ApiError;
use super::request::Body;
use super::types::{BackedUp, Backup, Dns, DnsRecord, Verified};
use crate::actions::verify::references;
use crate::config::{Config, Relay};
use crate::store::{Store, StoreError};
use crate::trust::keys::{DkimKeys, KeyError};

/// The folders of a backup, as they are in the data directory.
pub const STORE: &str = "store";
pub const DKIM: &str = "dkim";

pub(super) async fn dns(State(app): State<App>) -> Result<Json<Dns>, ApiError> {
    let records = apart(move || records(&app.config)).await?;
    Ok(Json(Dns { records: records.map_err(|error| ApiError::internal(error.to_string()))? }))
}

/// What each of our domains needs in the DNS. The DKIM keys are made if they are not there yet.
fn records(config: &Config) -> Result<Vec<DnsRecord>, KeyError> {
    let mut records = Vec::new();
    for domain in &config.domains {
        let domain = domain.as_str();
        let record = |name: String, kind: &str, value: String, purpose: &str| DnsRecord {
            domain: domain.to_owned(),
            name,
            kind: kind.to_owned(),
            value,
            purpose: purpose.to_owned(),
            found: None,
            ok: None,
        };
        let to_us = "mail for the domain comes to this machine, whose name needs an A or AAAA record";
        records.push(record(domain.to_owned(), "MX", format!("10 {}", config.hostname), to_us));
        let (spf, may_send) = match &config.relay {
            Relay::Capture { .. } | Relay::Direct(_) => (spf(config), "only this machine may send for the domain"),
            Relay::Smarthost(_) => (
                "v=spf1 mx ~all".to_owned(),
                "who may send for the domain; put in what the smarthost's operator asks for",
            ),
        };
        records.push(record(domain.to_owned(), "TXT", spf, may_send));
        let keys = DkimKeys::load_or_generate(&config.data_dir.join(DKIM), domain, Timestamp::now())?;
        for key in keys.records(domain) {
            records.push(record(key.name, key.kind, key.value, "verifies the signature of what we send"));
        }
        let policy = "mail in the domain's name without our signature is suspect";
        records.push(record(format!("_dmarc.{domain}"), "TXT", "v=DMARC1; p=quarantine".to_owned(), policy));
    }
    Ok(records)
}

/// Who may send for a domain where this machine does it alone: the sources of its connections, where
/// they are configured (RFC 7208 §5.6), besides the addresses that take its mail.
fn spf(config: &Config) -> String {
    let sources = config.egress.source.iter().map(|source| match source {
        IpAddr::V4(v4) => format!(" ip4:{v4}"),
        IpAddr::V6(v6) => format!(" ip6:{v6}"),
    });
    format!("v=spf1 mx{} -all", sources.collect::<String>())
}

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
        copy_all(&app.config, &app.store, target).map(Json).map_err(|error| ApiError::internal(format!("{error:#}")))
    })
    .await?
}

/// Copies the store and the keys into an empty directory, while the daemon goes on.
fn copy_all(config: &Config, store: &Store, directory: &Path) -> anyhow::Result<BackedUp> {
    let copy = directory.join(STORE);
    store.copy_to(&copy)?;
    let mut copied = counted(&copy)?;
    let keys = config.data_dir.join(DKIM);
    if keys.is_dir() {
        let keys = copy_folder(&keys, &directory.join(DKIM))?;
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
async fn apart<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(f).await.map_err(|error| ApiError::internal(error.to_string()))
}
