//! What the command line does to a store itself, when no daemon has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::{open, runtime, store_dir, store_failure};
use crate::api::types::{BackedUp, Verified};
use crate::api::{self, App};
use crate::cli::{Failure, Inside};
use crate::config::Config;
use crate::store::{Options, Store, VerifyReport};

/// How far every counter moves on when a backup is put back: what was given out after it was made
/// must never name something new.
const COUNTER_GAP: u64 = 1_000_000;

/// Opens the store and the API on it, for one command. Must be called in a runtime's context.
pub fn inside(config: &Config) -> Result<Inside, Failure> {
    let opened = tokio::runtime::Handle::current().block_on(open(config))?;
    let store = opened.store.clone();
    let app = App { store: opened.store, desk: opened.desk, config: Arc::new(config.clone()) };
    Ok(Inside { router: api::router(app), store: Some(store) })
}

/// Builds the index from the whole journal, and verifies it.
pub fn rebuild(config: &Config) -> Result<Verified, Failure> {
    let store = Store::rebuild(&store_dir(&config.data_dir), Options::default()).map_err(store_failure)?;
    let report = store.verify().map_err(anyhow::Error::from)?;
    runtime()?.block_on(store.close()).map_err(anyhow::Error::from)?;
    Ok(verified(&report))
}

/// What a verification found, as the API says it.
pub fn verified(report: &VerifyReport) -> Verified {
    let read =
        [("segments", report.segments), ("groups", report.groups), ("keys", report.keys), ("messages", report.raws)];
    Verified {
        ok: report.is_clean(),
        read: read.into_iter().map(|(name, count)| (name.to_owned(), count)).collect::<BTreeMap<_, _>>(),
        problems: report.problems.clone(),
    }
}

/// Puts a backup into a data directory that has no store.
pub fn restore(config: &Config, backup: &Path) -> Result<BackedUp, Failure> {
    let target = store_dir(&config.data_dir);
    if target.exists() {
        return Err(anyhow::anyhow!(
            "{} is there already; move it away first, a restore never overwrites a store",
            target.display()
        )
        .into());
    }
    let source = store_dir(backup);
    if !source.is_dir() {
        return Err(anyhow::anyhow!("{} holds no backup: there is no {}", backup.display(), source.display()).into());
    }
    crate::config::check::create_data_dir(config).map_err(|problem| Failure::BadConfig(vec![problem]))?;
    let mut copied = copy(&source, &target)?;
    let dkim = backup.join("dkim");
    if dkim.is_dir() {
        let keys = copy(&dkim, &config.data_dir.join("dkim"))?;
        copied.files += keys.files;
        copied.size += keys.size;
    }
    let store = Store::open(&target, Options::default()).map_err(store_failure)?;
    runtime()?
        .block_on(async {
            store.advance_counters(COUNTER_GAP).await?;
            store.close().await
        })
        .map_err(anyhow::Error::from)?;
    Ok(BackedUp { directory: config.data_dir.display().to_string(), ..copied })
}

/// Copies the store and the keys into an empty or missing directory, while the daemon goes on.
pub fn backup(config: &Config, store: &Store, directory: &Path) -> anyhow::Result<BackedUp> {
    store.copy_to(&store_dir(directory))?;
    let mut copied = counted(&store_dir(directory))?;
    let keys = config.data_dir.join("dkim");
    if keys.is_dir() {
        let keys = copy(&keys, &directory.join("dkim"))?;
        copied.files += keys.files;
        copied.size += keys.size;
    }
    Ok(BackedUp { directory: directory.display().to_string(), ..copied })
}

/// Copies a directory with what is in it, keeping modes, each file synced.
fn copy(from: &Path, to: &Path) -> anyhow::Result<BackedUp> {
    let context = |path: &Path| format!("{} can't be copied to {}", path.display(), to.display());
    fs::create_dir_all(to).with_context(|| context(from))?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    let mut copied = BackedUp { directory: to.display().to_string(), files: 0, size: 0 };
    for entry in fs::read_dir(from).with_context(|| context(from))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            let inner = copy(&entry.path(), &target)?;
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
