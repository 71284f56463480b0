//! What the command line does to a store itself, when no daemon has it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::parts::names;
use super::{Opened, open, runtime, store_dir, store_failure};
use crate::actions::views;
use crate::api::types::{BackedUp, Verified};
use crate::api::upkeep::{self, copy_folder};
use crate::api::{self, App};
use crate::cli::{Failure, Inside};
use crate::config::Config;
use crate::dns::DKIM;
use crate::store::{Options, Store};

/// How far every counter moves on when a backup is put back: what was given out after it was made
/// must never name something new.
const COUNTER_GAP: u64 = 1_000_000;

/// Opens the store and the API on it, for one command. Must be called in a runtime's context.
pub fn inside(config: &Config) -> Result<Inside, Failure> {
    let opened = tokio::runtime::Handle::current().block_on(open(config))?;
    let config = Arc::new(config.clone());
    let names = Arc::new(names(&config, &opened));
    let Opened { store, desk } = opened;
    let app = App { store: store.clone(), desk, config, metrics: None, certificates: None, names, prober: None };
    Ok(Inside { router: api::router(app), store: Some(store) })
}

/// Builds the index from the whole journal, and verifies it.
pub fn rebuild(config: &Config) -> Result<Verified, Failure> {
    let store = Store::rebuild(&store_dir(&config.data_dir), Options::default()).map_err(store_failure)?;
    // A table snapshot of what was built makes the next start quick.
    store.checkpoint().map_err(anyhow::Error::from)?;
    let verified = upkeep::verified(&store).map_err(anyhow::Error::from)?;
    runtime()?.block_on(store.close()).map_err(anyhow::Error::from)?;
    Ok(verified)
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
    let source = backup.join(upkeep::STORE);
    if !source.is_dir() {
        return Err(anyhow::anyhow!("{} holds no backup: there is no {}", backup.display(), source.display()).into());
    }
    crate::config::check::create_data_dir(config).map_err(|problem| Failure::BadConfig(vec![problem]))?;
    let mut copied = copy_folder(&source, &target)?;
    let dkim = backup.join(DKIM);
    if dkim.is_dir() {
        let keys = copy_folder(&dkim, &config.data_dir.join(DKIM))?;
        copied.files += keys.files;
        copied.size += keys.size;
    }
    let store = Store::open(&target, Options::default()).map_err(store_failure)?;
    runtime()?
        .block_on(async {
            store.advance_counters(COUNTER_GAP).await?;
            let now = u32::try_from(Timestamp::now().as_second()).unwrap_or(u32::MAX);
            store.transact(|tx| views::renew_validity(tx, now)).await?;
            store.close().await
        })
        .map_err(anyhow::Error::from)?;
    Ok(BackedUp { directory: config.data_dir.display().to_string(), ..copied })
}
