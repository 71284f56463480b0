//! SIGHUP: the configuration is read again, and what can be applied while serving is.
//!
//! That is `[tls]`. Of the other keys that changed it is said that they wait for a restart. A
//! configuration with an error changes nothing at all.

use super::Running;
use crate::config::{Config, ConfigError, Problem, check};
use crate::web;

/// The section that is applied without a restart.
const LIVE: &str = "tls.";
/// What it speaks of: names in certificates and policies. It waits where these do.
const NAMES: [&str; 2] = ["hostname", "domains"];

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing changed: these are wrong.
    Kept(Vec<Problem>),
    Applied {
        /// The keys that changed and wait for a restart.
        waiting: Vec<String>,
        /// Why what was shown before is still shown.
        unusable: Option<Problem>,
    },
}

impl Running {
    /// Reads the configuration again, and certificates with it. All of what came of it is in the log.
    pub async fn reload(&mut self) -> Reloaded {
        let new = match Config::load(&self.config.source.file) {
            Ok(new) => new,
            Err(ConfigError { problems }) => return kept(problems),
        };
        let problems: Vec<_> =
            check::files(&new).into_iter().filter(|problem| !problem.key.starts_with(LIVE)).collect();
        if !problems.is_empty() {
            return kept(problems);
        }
        let mut waiting = new.source.differs(&self.config.source);
        waiting.retain(|key| !key.starts_with(LIVE));
        if waiting.iter().any(|key| NAMES.contains(&key.as_str())) {
            let changed = new.source.differs(&self.applied.source);
            waiting.extend(changed.into_iter().filter(|key| key.starts_with(LIVE)));
        } else {
            self.applied = new;
        }
        if !waiting.is_empty() {
            tracing::warn!("changed, and not applied before a restart: {}", waiting.join(", "));
        }
        let unusable = self.apply().await;
        match &unusable {
            None => tracing::info!(config = %self.config.source.file.display(), "configuration read again"),
            Some(problem) => {
                tracing::error!("{problem}; what was shown before is still shown");
            }
        }
        Reloaded::Applied { waiting, unusable }
    }

    /// Goes by the `[tls]` that was read last.
    async fn apply(&mut self) -> Option<Problem> {
        let tls = &self.applied.tls;
        self.site.change(tls);
        self.names.announce(web::site::policy(&self.config.hostname, tls), &tls.autoconfig);
        let unusable = self.keeper.begin_again(tls).await.err()?;
        Some(self.applied.problem(unusable.key, unusable.text))
    }
}

fn kept(problems: Vec<Problem>) -> Reloaded {
    for problem in &problems {
        tracing::error!("{problem}");
    }
    tracing::error!("the configuration has errors: everything stays as it was");
    Reloaded::Kept(problems)
}
