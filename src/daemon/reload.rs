//! SIGHUP: the configuration is read again, and what can be applied while serving is.
//!
//! That is `[tls]`. Of the other keys that changed it is said that they wait for a restart. A
//! configuration with an error changes nothing at all.

use super::Running;
use crate::config::{Config, ConfigError, Problem, check};
use crate::web;

/// The section that is applied without a restart.
const LIVE: &str = "tls.";

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Nothing changed: these are wrong.
    Kept(Vec<Problem>),
    /// `[tls]` is applied; these keys wait for a restart.
    Applied { waiting: Vec<String> },
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
        let changed = new.source.differs(&self.config.source);
        let waiting: Vec<_> = changed.into_iter().filter(|key| !key.starts_with(LIVE)).collect();
        if !waiting.is_empty() {
            tracing::warn!("changed, and not applied before a restart: {}", waiting.join(", "));
        }
        self.site.change(&new.tls);
        self.names.announce(web::site::policy(&new.hostname, &new.tls));
        self.keeper.begin_again(&new.tls).await;
        tracing::info!(config = %new.source.file.display(), "configuration read again");
        Reloaded::Applied { waiting }
    }
}

fn kept(problems: Vec<Problem>) -> Reloaded {
    for problem in &problems {
        tracing::error!("{problem}");
    }
    tracing::error!("the configuration has errors: everything stays as it was");
    Reloaded::Kept(problems)
}
