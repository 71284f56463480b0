//! Keeps what is shown true to a pair of files that somebody else renews.
//!
//! The files are looked at every few seconds instead of watched by inotify: that watches inodes, and
//! what renews certificates changes names (`certbot` moves a symbolic link two folders up, a secret
//! of Kubernetes swaps a directory, an NFS server tells nobody). Two calls of stat cost nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Certificate, CertificateFiles, Certificates, Shown, TlsError};
use crate::net::stop::Stop;

/// The longest between two looks.
pub const EVERY: Duration = Duration::from_secs(10);
/// How often one is reminded that nobody renewed it.
const REMINDER: SignedDuration = SignedDuration::from_hours(24);

/// Why a new certificate is not shown.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Unusable(#[from] TlsError),
    #[error("the certificate in {path} expired at {until}", path = .0.certificate.display(), until = .1)]
    Expired(CertificateFiles, Timestamp),
    #[error("the certificate in {path} does not hold before {from}; is the clock right?", path = .0.certificate.display(), from = .1)]
    Early(CertificateFiles, Timestamp),
}

/// What tells one state of a file from another: another inode, size or time.
type Stamp = [Option<(u64, u64, i64, i64, i64, i64)>; 2];

/// Looks at the files.
#[derive(Debug)]
pub struct Watch {
    files: CertificateFiles,
    /// What they should be for.
    names: Vec<String>,
    certificates: Certificates,
    every: Duration,
    /// As they were when they were read last.
    seen: Stamp,
    /// Files that could not be used once: they may be about to be whole.
    doubted: Option<Stamp>,
    reminded: Option<Timestamp>,
}

impl Watch {
    /// Shows what is in the files, and answers who goes on looking. Where they can't be used, what
    /// is shown stays, and is exchanged once they can.
    ///
    /// # Errors
    /// Beside the watch, why they can't be used.
    pub fn begin(
        files: CertificateFiles,
        names: Vec<String>,
        certificates: Certificates,
        every: Duration,
    ) -> (Self, Result<(), Refused>) {
        // First the state, then the content: what changes in between is seen by the next look.
        let seen = stamp(&files);
        let mut watch = Self { files, names, certificates, every, seen, doubted: None, reminded: None };
        let taken = watch.take();
        (watch, taken)
    }

    /// Looks until the word to stop.
    pub async fn run(mut self, mut stop: Stop) {
        loop {
            self.remind(Timestamp::now());
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(self.every) => self.look(),
            }
        }
    }

    fn look(&mut self) {
        let now = stamp(&self.files);
        if now == self.seen {
            return;
        }
        match self.take() {
            Ok(()) => {
                self.seen = now;
                self.doubted = None;
            }
            // Two files are not exchanged in one instant: only what stays so is worth a word.
            Err(_) if self.doubted != Some(now) => self.doubted = Some(now),
            Err(error) => {
                tracing::error!("{error}; the certificate before it stays in use");
                self.seen = now;
            }
        }
    }

    fn take(&mut self) -> Result<(), Refused> {
        let new = self.files.load()?;
        let (shown, now) = (self.certificates.shown(), Timestamp::now());
        // Much mail comes all the same.
        if let Some(text) = lacks(&new, &self.names) {
            tracing::warn!(certificate = %self.files.certificate.display(), "{text}");
        }
        if shown.named.is_empty() && shown.first.chain() == new.chain() {
            return Ok(());
        }
        // Something expired must not take the place of what others still believe.
        if !new.validity().holds_at(now) && shown.first.validity().holds_at(now) {
            let validity = new.validity();
            return Err(if now > validity.until {
                Refused::Expired(self.files.clone(), validity.until)
            } else {
                Refused::Early(self.files.clone(), validity.from)
            });
        }
        let until = new.validity().until;
        tracing::info!(certificate = %self.files.certificate.display(), %until, "certificate in use from now on");
        self.certificates.show(Shown { first: new.into(), named: BTreeMap::new() });
        self.reminded = None;
        Ok(())
    }

    /// Says once a day that a certificate ends soon.
    fn remind(&mut self, now: Timestamp) {
        let first = Arc::clone(&self.certificates.shown().first);
        let due = self.reminded.is_none_or(|last| now.duration_since(last).abs() >= REMINDER);
        if due && let Some(text) = ending(&first, now) {
            tracing::warn!(certificate = %self.files.certificate.display(), "{text}");
            self.reminded = Some(now);
        }
    }
}

/// What there is to say of the end of a certificate, where it is near.
#[must_use]
pub fn ending(certificate: &Certificate, now: Timestamp) -> Option<String> {
    let until = certificate.validity().until;
    if now > until {
        return Some(format!("the certificate expired at {until}; others don't believe it any more: renew it"));
    }
    (now >= certificate.late_from()).then(|| {
        let left = until.duration_since(now);
        let left = match left.as_hours() {
            hours if hours >= 48 => format!("{} days", hours / 24),
            hours => format!("{hours} hours"),
        };
        format!("the certificate ends in {left}, at {until}, and nobody renewed it yet")
    })
}

/// What there is to say of names that a certificate is not for.
#[must_use]
pub fn lacks(certificate: &Certificate, names: &[String]) -> Option<String> {
    let lacking: Vec<_> = names.iter().filter(|name| !certificate.is_for(name)).map(String::as_str).collect();
    (!lacking.is_empty())
        .then(|| format!("the certificate is not for {}; who looks for that does not believe it", lacking.join(", ")))
}

fn stamp(files: &CertificateFiles) -> Stamp {
    [&files.certificate, &files.key].map(|file| {
        let data = fs::metadata(file).ok()?;
        Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()))
    })
}
