//! The DKIM keys of our own domains: made once, kept in files of mode 0600, published in DNS.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
use data_encoding::BASE64;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

/// A selector (RFC 6376 §3.1): the label under `_domainkey` that names a key.
///
/// Ours are one label of lower-case letters, digits and hyphens, so that they are file names too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(String);

/// A text that is no [`Selector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a selector is up to 63 of the characters a-z, 0-9 and -, a letter or digit first")]
pub struct SelectorError;

impl Selector {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let fine = (1..=63).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fine { Ok(Self(text.to_owned())) } else { Err(SelectorError) }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or directory can't be read, made or synced.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file holds no key of its kind.
    #[error("{path} holds no PKCS #8 private key of its kind in PEM; put it right or remove it to get a new one",
        path = .0.display())]
    Unreadable(PathBuf),
    /// The name can't be a domain's and so no directory's.
    #[error("{0:?} is no domain that mail can be signed for")]
    Domain(String),
    /// The cryptographic library made no key.
    #[error("no DKIM key could be made; is the system out of randomness?")]
    Generate,
}

/// The two keys that a domain signs with: RSA of 2,048 bits for everyone, Ed25519 (RFC 8463) for
/// those who can.
pub struct DkimKeys {
    pub rsa_selector: Selector,
    pub ed25519_selector: Selector,
    rsa: PrivatePkcs8KeyDer<'static>,
    ed25519: PrivatePkcs8KeyDer<'static>,
    rsa_public: Vec<u8>,
    ed25519_public: Vec<u8>,
}

/// A DNS record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The full name, without a final dot.
    pub name: String,
    /// `TXT`.
    pub kind: &'static str,
    /// The whole value, as a resolver puts it together.
    pub value: String,
}

impl Record {
    /// The value as a zone file wants it: strings of at most 255 octets in quotes (RFC 1035 §5.1,
    /// RFC 6376 §3.6.2.2).
    #[must_use]
    pub fn presentation(&self) -> String {
        let chunks: Vec<_> = self
            .value
            .as_bytes()
            .chunks(255)
            .map(|chunk| format!("\"{}\"", String::from_utf8_lossy(chunk).replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        chunks.join(" ")
    }
}

impl DkimKeys {
    /// Makes a pair of keys with selectors after the month: `g202611r` and `g202611e`.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate(now: Timestamp) -> Result<Self, KeyError> {
        let month = now.to_zoned(TimeZone::UTC).strftime("g%Y%m").to_string();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().map_err(|_| KeyError::Generate)?;
        let ed25519 = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1()).map_err(|_| KeyError::Generate)?;
        Self::from_der(
            Selector(format!("{month}r")),
            rsa.as_ref().to_vec(),
            Selector(format!("{month}e")),
            ed25519.as_ref().to_vec(),
        )
        .ok_or(KeyError::Generate)
    }

    /// Reads the keys of `domain` below `directory` (`data_dir/dkim`), the newest of each kind by
    /// name, and makes a pair first where one is missing. Files are
    /// `<domain>/<selector>.rsa` and `<domain>/<selector>.ed25519`, PKCS #8 in PEM, mode 0600.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_generate(directory: &Path, domain: &str, now: Timestamp) -> Result<Self, KeyError> {
        if domain.is_empty() || domain.starts_with('.') || domain.contains(['/', '\0']) {
            return Err(KeyError::Domain(domain.to_owned()));
        }
        let directory = directory.join(domain);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at(&directory))?;
        let (found_rsa, found_ed25519) = (newest(&directory, "rsa")?, newest(&directory, "ed25519")?);
        let (rsa, ed25519) = if let (Some(rsa), Some(ed25519)) = (&found_rsa, &found_ed25519) {
            (rsa.clone(), ed25519.clone())
        } else {
            let fresh = Self::generate(now)?;
            let keep = |found: Option<(Selector, PathBuf)>, selector: &Selector, kind, key| match found {
                Some(found) => Ok(found),
                None => write(&directory, selector, kind, key).map(|path| (selector.clone(), path)),
            };
            (
                keep(found_rsa, &fresh.rsa_selector, "rsa", &fresh.rsa)?,
                keep(found_ed25519, &fresh.ed25519_selector, "ed25519", &fresh.ed25519)?,
            )
        };
        let rsa_der = read(&rsa.1)?;
        if RsaKeyPair::from_pkcs8(&rsa_der).is_err() {
            return Err(KeyError::Unreadable(rsa.1));
        }
        let ed25519_der = read(&ed25519.1)?;
        Self::from_der(rsa.0, rsa_der, ed25519.0, ed25519_der).ok_or(KeyError::Unreadable(ed25519.1))
    }

    /// The TXT records that let others verify what `domain` signs.
    #[must_use]
    pub fn records(&self, domain: &str) -> Vec<Record> {
        let record = |selector: &Selector, algorithm: &str, public: &[u8]| Record {
            name: format!("{selector}._domainkey.{domain}"),
            kind: "TXT",
            value: format!("v=DKIM1; k={algorithm}; p={}", BASE64.encode(public)),
        };
        vec![
            record(&self.rsa_selector, "rsa", &self.rsa_public),
            record(&self.ed25519_selector, "ed25519", &self.ed25519_public),
        ]
    }

    pub(super) fn rsa(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.rsa
    }

    pub(super) fn ed25519(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.ed25519
    }

    fn from_der(rsa_selector: Selector, rsa: Vec<u8>, ed25519_selector: Selector, ed25519: Vec<u8>) -> Option<Self> {
        let rsa_pair = RsaKeyPair::from_pkcs8(&rsa).ok()?;
        let rsa_public: PublicKeyX509Der<'_> = rsa_pair.public_key().as_der().ok()?;
        let ed25519_pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&ed25519).ok()?;
        Some(Self {
            rsa_selector,
            ed25519_selector,
            rsa_public: rsa_public.as_ref().to_vec(),
            ed25519_public: ed25519_pair.public_key().as_ref().to_vec(),
            rsa: rsa.into(),
            ed25519: ed25519.into(),
        })
    }
}

/// Never shows a private key.
impl fmt::Debug for DkimKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DkimKeys({}, {})", self.rsa_selector, self.ed25519_selector)
    }
}

/// The key file of a kind whose selector sorts last.
fn newest(directory: &Path, kind: &str) -> Result<Option<(Selector, PathBuf)>, KeyError> {
    let at = |source| KeyError::Io { path: directory.to_owned(), source };
    let mut found = None;
    for entry in fs::read_dir(directory).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.extension().is_none_or(|extension| extension != kind) {
            continue;
        }
        let selector = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Selector>().ok());
        if let Some(selector) = selector
            && found.as_ref().is_none_or(|(best, _)| *best < selector)
        {
            found = Some((selector, path));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let text = fs::read(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| KeyError::Unreadable(path.to_owned()))?;
    Ok(der.secret_pkcs8_der().to_vec())
}

/// Writes a key beside its final name, syncs, renames, syncs the directory: after a crash there
/// is a whole key or none.
fn write(directory: &Path, selector: &Selector, kind: &str, key: &PrivatePkcs8KeyDer<'_>) -> Result<PathBuf, KeyError> {
    let path = directory.join(format!("{selector}.{kind}"));
    let unfinished = directory.join(format!(".{selector}.{kind}"));
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in BASE64.encode(key.secret_pkcs8_der()).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        // The directories may be new as well; a key that vanished would leave its record a lie.
        directory
            .ancestors()
            .take(3)
            .filter(|ancestor| !ancestor.as_os_str().is_empty())
            .try_for_each(|ancestor| File::open(ancestor)?.sync_all())
    })();
    written.map_err(|source| KeyError::Io { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn november() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn keys_are_made_once_and_nobody_else_may_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let first = DkimKeys::load_or_generate(directory.path(), "desk.example", november()).unwrap();
        assert_eq!((first.rsa_selector.as_str(), first.ed25519_selector.as_str()), ("g202611r", "g202611e"));
        let later = "2027-01-01T00:00:00Z".parse().unwrap();
        let second = DkimKeys::load_or_generate(directory.path(), "desk.example", later).unwrap();
        assert_eq!(first.records("desk.example"), second.records("desk.example"));
        for file in ["g202611r.rsa", "g202611e.ed25519"] {
            let mode = fs::metadata(directory.path().join("desk.example").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_missing_kind_is_made_and_the_other_kept() {
        let directory = tempfile::tempdir().unwrap();
        let first = DkimKeys::load_or_generate(directory.path(), "desk.example", november()).unwrap();
        fs::remove_file(directory.path().join("desk.example/g202611e.ed25519")).unwrap();
        let second = DkimKeys::load_or_generate(directory.path(), "desk.example", november()).unwrap();
        assert_eq!(first.records("d")[0], second.records("d")[0]);
        assert_ne!(first.records("d")[1], second.records("d")[1]);
    }

    #[test]
    fn a_damaged_key_is_named_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        DkimKeys::load_or_generate(directory.path(), "desk.example", november()).unwrap();
        for file in ["g202611r.rsa", "g202611e.ed25519"] {
            let path = directory.path().join("desk.example").join(file);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, "nonsense").unwrap();
            let error = DkimKeys::load_or_generate(directory.path(), "desk.example", november()).unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
            fs::write(&path, whole).unwrap();
        }
        assert!(matches!(DkimKeys::load_or_generate(directory.path(), "../x", november()), Err(KeyError::Domain(_))));
    }

    #[test]
    fn records_fit_into_zone_files() {
        let keys = DkimKeys::generate(november()).unwrap();
        let records = keys.records("desk.example");
        assert_eq!(records[0].name, "g202611r._domainkey.desk.example");
        assert!(records[0].value.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
        assert!(records[1].value.starts_with("v=DKIM1; k=ed25519; p="));
        let text = records[0].presentation();
        let strings: Vec<_> = text.split("\" \"").map(|string| string.trim_matches('"')).collect();
        assert!(strings.len() == 2 && strings.iter().all(|string| string.len() <= 255), "{text}");
        assert_eq!(strings.concat(), records[0].value);
        assert!(!format!("{keys:?}").contains("MII"));
    }

    #[test]
    fn selectors() {
        assert_eq!("g202611r".parse::<Selector>().unwrap().to_string(), "g202611r");
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "é"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
