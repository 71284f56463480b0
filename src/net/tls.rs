//! TLS for servers: certificates from PEM files, or a self-signed one that is made once and kept.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

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
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's own certificate first.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The self-signed certificate for `names` in `dir` (`self-signed.pem`, and `self-signed.key`
    /// that only its owner may read). Both are made where either is missing; what is there is kept,
    /// so that whoever pinned it goes on finding it.
    ///
    /// # Errors
    /// [`TlsError::Make`] when a name is none that a certificate can bear, [`TlsError::File`] when
    /// the files can't be written.
    pub fn self_signed(dir: &Path, names: &[String]) -> Result<Self, TlsError> {
        let files = Self { certificate: dir.join("self-signed.pem"), key: dir.join("self-signed.key") };
        if files.certificate.exists() && files.key.exists() {
            return Ok(files);
        }
        let made = rcgen::generate_simple_self_signed(names)
            .map_err(|source| TlsError::Make { names: names.to_vec(), source })?;
        DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(|source| file_error(dir, source))?;
        write(&files.key, 0o600, &made.signing_key.serialize_pem())?;
        write(&files.certificate, 0o644, &made.cert.pem())?;
        Ok(files)
    }

    /// Reads the files into what a server needs: TLS 1.2 and 1.3, no client certificates.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that is missing, unreadable or not what it should be.
    pub fn load(&self) -> Result<ServerConfig, TlsError> {
        let certificate = |reason: &dyn ToString| TlsError::Certificate {
            path: self.certificate.clone(),
            reason: reason.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| certificate(&error))?;
        if chain.is_empty() {
            return Err(certificate(&"it has no CERTIFICATE section"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError::Key { path: self.key.clone(), reason: error.to_string() })?;
        let pair = |source| TlsError::Pair { certificate: self.certificate.clone(), key: self.key.clone(), source };
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)
    }
}

/// Writes beside the place and renames into it, so that no half of a file is ever found there.
fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let attempt = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source }
}

/// The certificate that a server answers with, which can be exchanged while it serves. Clones
/// share it.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<RwLock<Arc<ServerConfig>>>);

impl Acceptor {
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(config))))
    }

    /// Handshakes from now on use `config`; connections that stand go on with what they have.
    pub fn replace(&self, config: ServerConfig) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// For one handshake.
    #[must_use]
    pub fn current(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
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
        files.load().unwrap();
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
}
