//! What is kept of ACME in the data directory, below `acme/` in a folder for each authority's
//! directory, so that a change of authority and back finds everything again:
//!
//! - `account.json`: the account's key and address;
//! - `NAME.pem`: the certificate of a name and its key in one file, so that they are exchanged together;
//! - `NAME.failed`: what went wrong last, until it goes right. It outlives a restart, so that a daemon
//!   that is started again and again does not wear out what the authority allows.
//!
//! Whatever is written has mode 0600.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use instant_acme::AccountCredentials;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::net::tls::certificate::write;
use crate::net::tls::{Certificate, CertificateFiles, TlsError};

/// The pause after the first failure; doubled with each one more.
const FIRST_PAUSE: Duration = Duration::from_mins(5);
/// The longest pause. Let's Encrypt allows five failures an hour for a name.
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// The folder of one authority.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// What went wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// How often since it last went right.
    pub times: u32,
    /// The last time.
    pub at: Timestamp,
    /// The authority's words, or what kept us from it.
    pub words: String,
}

impl Failed {
    /// When it is tried again by itself.
    #[must_use]
    pub fn again_at(&self) -> Timestamp {
        let doubled = 1_u32.checked_shl(self.times.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.checked_mul(doubled).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        self.at.checked_add(SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    }
}

impl State {
    /// For a directory, below the data directory. Nothing is made yet.
    #[must_use]
    pub fn new(data_dir: &Path, directory: &str) -> Self {
        // Its host to be read by people, and a number to tell directories of one host apart.
        let host = directory.strip_prefix("https://").unwrap_or(directory);
        let host: String = host
            .chars()
            .take_while(|c| !matches!(c, '/' | ':'))
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
            .take(80)
            .collect();
        let number = digest::digest(&digest::SHA256, directory.as_bytes());
        let number = HEXLOWER.encode(number.as_ref().get(..4).unwrap_or_default());
        Self { folder: data_dir.join("acme").join(format!("{host}-{number}")) }
    }

    /// The file with a name's certificate and key.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// The certificate of a name; `None`: there was none yet.
    ///
    /// # Errors
    /// When there is one that can't be used.
    pub fn certificate(&self, name: &str) -> Result<Option<Certificate>, TlsError> {
        let file = self.file(name);
        if !file.exists() {
            return Ok(None);
        }
        CertificateFiles { certificate: file.clone(), key: file }.load().map(Some)
    }

    /// Lays down a new certificate beside the one of a name, to be looked at.
    ///
    /// # Errors
    /// [`TlsError`] when it can't be used, or not be written.
    pub fn lay_down(&self, name: &str, key: &str, chain: &str) -> Result<Certificate, TlsError> {
        let fresh = self.fresh_file(name);
        self.make()
            .and_then(|()| write(&fresh, 0o600, &format!("{key}{chain}")))
            .map_err(|source| TlsError::Write { path: fresh.clone(), source })?;
        CertificateFiles { certificate: fresh.clone(), key: fresh }.load()
    }

    /// Puts what was laid down in the place of the one before, and forgets what went wrong before.
    ///
    /// # Errors
    /// When the one before stays.
    pub fn keep(&self, name: &str) -> io::Result<()> {
        fs::rename(self.fresh_file(name), self.file(name))?;
        let _ = fs::remove_file(self.failure_file(name));
        Ok(())
    }

    /// What went wrong with a name last, if nothing went right since.
    #[must_use]
    pub fn failed(&self, name: &str) -> Option<Failed> {
        serde_json::from_slice(&fs::read(self.failure_file(name)).ok()?).ok()
    }

    /// Remembers what went wrong.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn fail(&self, name: &str, failed: &Failed) -> io::Result<()> {
        self.make()?;
        let text = serde_json::to_string(failed).expect("a number, a time and a text");
        write(&self.failure_file(name), 0o600, &text)
    }

    /// The account's credentials; `None` where there are none, or none that can be read.
    #[must_use]
    pub fn account(&self) -> Option<AccountCredentials> {
        serde_json::from_slice(&fs::read(self.account_file()).ok()?).ok()
    }

    /// # Errors
    /// When they can't be written.
    pub fn keep_account(&self, credentials: &AccountCredentials) -> io::Result<()> {
        self.make()?;
        let text = serde_json::to_string(credentials).expect("texts");
        write(&self.account_file(), 0o600, &text)
    }

    /// Forgets an account that the authority does not know any more.
    ///
    /// # Errors
    /// When the file stays.
    pub fn forget_account(&self) -> io::Result<()> {
        match fs::remove_file(self.account_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    fn failure_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.failed"))
    }

    fn fresh_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.fresh"))
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_authority_has_a_folder_of_its_own() {
        let folder = |directory: &str| State::new(Path::new("data"), directory).folder;
        assert!(folder("https://acme.example/dir").to_str().unwrap().starts_with("data/acme/acme.example-"));
        assert_ne!(folder("https://acme.example/dir"), folder("https://acme.example/other"));
        assert!(folder("https://[::1]:14000/../dir").parent().unwrap().ends_with("acme"));
    }

    #[test]
    fn what_fails_waits_longer_each_time_and_a_restart_does_not_forget_it() {
        let dir = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let mut pauses = Vec::new();
        for times in 1..10 {
            let failed = Failed { times, at, words: "no".to_owned() };
            State::new(dir.path(), "https://a.example/").fail("b.example", &failed).unwrap();
            assert_eq!(State::new(dir.path(), "https://a.example/").failed("b.example"), Some(failed.clone()));
            pauses.push(failed.again_at().duration_since(at).as_secs() / 60);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
        let often = Failed { times: u32::MAX, at: Timestamp::MAX, words: String::new() };
        assert_eq!(often.again_at(), Timestamp::MAX);
    }

    #[test]
    fn a_certificate_is_kept_whole_and_for_our_eyes_only() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path(), "https://a.example/");
        assert!(state.certificate("b.example").unwrap().is_none());
        let failed = Failed { times: 1, at: Timestamp::UNIX_EPOCH, words: "no".to_owned() };
        state.fail("b.example", &failed).unwrap();
        let made = rcgen::generate_simple_self_signed(["b.example".to_owned()]).unwrap();
        let (key, chain) = (made.signing_key.serialize_pem(), made.cert.pem());
        assert!(state.lay_down("b.example", &key, &chain).unwrap().is_for("b.example"));
        assert!(state.certificate("b.example").unwrap().is_none());
        state.keep("b.example").unwrap();
        assert_eq!(state.failed("b.example"), None);
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(state.lay_down("b.example", &other, &chain), Err(TlsError::Pair { .. })));
        assert!(state.certificate("b.example").unwrap().is_some());
        assert_eq!(fs::metadata(state.file("b.example")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
