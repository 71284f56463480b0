//! A certificate chain with its key, from PEM, and found to belong together; or a self-signed one
//! that is made once and kept.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::validity::Validity;

/// How long before its end a certificate is worth a warning, or a quarter of its life where that
/// is less: some authorities give a day.
const LATE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: no certificate could be read from it: {reason}")]
    Certificate { path: PathBuf, reason: String },
    #[error("{path}: no private key could be read from it: {reason}")]
    Key { path: PathBuf, reason: String },
    #[error("the certificate in {certificate} and the key in {key} don't work together: {source}")]
    Pair { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("no certificate can be made for {names:?}: {source}")]
    Make { names: Vec<String>, source: rcgen::Error },
    #[error("{path} can't be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} can't be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("TLS can't be started: {0}")]
    Start(#[source] rustls::Error),
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's own certificate first.
    pub certificate: PathBuf,
    /// May be the same file.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The self-signed certificate for `names` in `dir` (`self-signed.pem`, and `self-signed.key`
    /// that only its owner may read). Both are made where either is missing; what is there is kept,
    /// so that whoever pinned it goes on finding it.
    ///
    /// # Errors
    /// [`TlsError::Make`] when a name is none that a certificate can bear, [`TlsError::Write`] when
    /// the files can't be written.
    pub fn self_signed(dir: &Path, names: &[String]) -> Result<Self, TlsError> {
        let files = Self { certificate: dir.join("self-signed.pem"), key: dir.join("self-signed.key") };
        if files.certificate.exists() && files.key.exists() {
            return Ok(files);
        }
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|source| TlsError::Make { names: names.to_vec(), source })?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Write { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(failed(dir))?;
        write(&files.key, 0o600, &made.signing_key.serialize_pem()).map_err(failed(&files.key))?;
        write(&files.certificate, 0o644, &made.cert.pem()).map_err(failed(&files.certificate))?;
        Ok(files)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that is missing, unreadable or not what it should be.
    pub fn load(&self) -> Result<Certificate, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        let certificate = |reason: String| TlsError::Certificate { path: self.certificate.clone(), reason };
        let chain = CertificateDer::pem_slice_iter(&read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| certificate(reason(error)))?;
        let Some(own) = chain.first() else {
            return Err(certificate("it has no CERTIFICATE section".to_owned()));
        };
        let validity =
            Validity::of(own).ok_or_else(|| certificate("its first one is no X.509 certificate".to_owned()))?;
        let text = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::Key {
            path: self.key.clone(),
            reason: match error {
                _ if is_encrypted(&text) => {
                    "it is encrypted with a passphrase, which nobody could give at a start".to_owned()
                }
                pem::Error::NoItemsFound => "it has no PRIVATE KEY section".to_owned(),
                other => reason(other),
            },
        })?;
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| match source {
                rustls::Error::InconsistentKeys(_) | rustls::Error::InvalidCertificate(_) => {
                    TlsError::Pair { certificate: self.certificate.clone(), key: self.key.clone(), source }
                }
                _ => TlsError::Key {
                    path: self.key.clone(),
                    reason: "TLS wants one of RSA with 2048 bits or more, ECDSA or Ed25519".to_owned(),
                },
            })?;
        Ok(Certificate { key: Arc::new(key), validity })
    }

    /// The key of the configuration that names what can't be used.
    #[must_use]
    pub fn named_by(&self, error: &TlsError) -> &'static str {
        match error {
            TlsError::Key { .. } => "tls.key",
            TlsError::Read { path, .. } if *path == self.key && *path != self.certificate => "tls.key",
            _ => "tls.certificate",
        }
    }
}

/// What is wrong with a text in PEM; nothing of it is told, since it may be a key's.
pub(in crate::net) fn reason(error: pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle of a section".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is not as it should be".to_owned(),
        pem::Error::Base64Decode(_) => "a section is not in base64".to_owned(),
        other => other.to_string(),
    }
}

/// PKCS #8 says so in the label, what OpenSSL wrote before it in a field.
fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// A certificate that can be shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl Certificate {
    /// The chain, the server's own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it is for a host's name.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let (Some(own), Ok(name)) = (self.chain().first(), ServerName::try_from(host)) else { return false };
        ParsedCertificate::try_from(own).is_ok_and(|own| rustls::client::verify_server_name(&own, &name).is_ok())
    }

    /// From when on it is worth a warning that nothing took its place.
    #[must_use]
    pub fn late_from(&self) -> Timestamp {
        let Validity { from, until } = self.validity;
        let late = LATE.min(until.duration_since(from) / 4).max(SignedDuration::ZERO);
        until.checked_sub(late).unwrap_or(until)
    }

    /// When somebody who renews it himself should: after two thirds of its life.
    #[must_use]
    pub fn renewal_from(&self) -> Timestamp {
        let Validity { from, until } = self.validity;
        let third = (until.duration_since(from) / 3).max(SignedDuration::ZERO);
        until.checked_sub(third).unwrap_or(until)
    }

    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// Writes beside the place and renames into it, so that no half of a file is ever found there.
pub(in crate::net) fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let beside = path.with_added_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once_with_a_private_key() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        let files = CertificateFiles::self_signed(&certs, &["desk.example".into()]).unwrap();
        let made = files.load().unwrap();
        assert!(made.is_for("desk.example") && made.is_for("Desk.Example") && !made.is_for("mx.desk.example"));
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        let first = fs::read(&files.certificate).unwrap();
        CertificateFiles::self_signed(&certs, &["desk.example".into()]).unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), first);
        assert_eq!(fs::read_dir(&certs).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let one = CertificateFiles::self_signed(&dir.path().join("one"), &["a.example".into()]).unwrap();
        let two = CertificateFiles::self_signed(&dir.path().join("two"), &["b.example".into()]).unwrap();
        let mixed = CertificateFiles { certificate: one.certificate.clone(), key: two.key };
        assert!(matches!(mixed.load(), Err(TlsError::Pair { .. })));
        let swapped = CertificateFiles { certificate: one.key.clone(), key: one.key.clone() };
        assert!(matches!(swapped.load(), Err(TlsError::Certificate { .. })));
        let missing = CertificateFiles { certificate: one.certificate, key: dir.path().join("none") };
        assert!(missing.load().unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn what_is_late_and_when_to_renew_follow_the_life_of_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        for (days, renewal, late) in [(90, 30, 14), (6, 2, 1), (365, 121, 14)] {
            let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = params.not_before + std::time::Duration::from_hours(days * 24);
            let key = rcgen::KeyPair::generate().unwrap();
            let files = CertificateFiles { certificate: dir.path().join("c"), key: dir.path().join("k") };
            fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
            fs::write(&files.key, key.serialize_pem()).unwrap();
            let certificate = files.load().unwrap();
            let before_end = |at| certificate.validity().until.duration_since(at).as_hours() / 24;
            assert_eq!((before_end(certificate.renewal_from()), before_end(certificate.late_from())), (renewal, late));
        }
    }
}
