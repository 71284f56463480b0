//! DKIM keys: made, kept in files of mode 0600, and the records that publish them (RFC 6376 §3.6.1).
//!
//! Which of a domain's keys signs, and which comes after it, is the [`ring`](super::ring)'s.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
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
use serde::{Deserialize, Serialize};

/// A selector (RFC 6376 §3.1): the label under `_domainkey` that names a key.
///
/// Ours are one label of lower-case letters, digits and hyphens, so that they are file names too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What to do about a key that can't be used.
const WAY_OUT: &str =
    "put it back from a backup, or write \"retired\" for its state in ring.json: another is made then";

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
    #[error("{} holds no PKCS #8 private key of its kind in PEM; {WAY_OUT}", .0.display())]
    Unreadable(PathBuf),
    /// The file of a key is gone.
    #[error("{} is not there, and ring.json beside it lists that key; {WAY_OUT}", .0.display())]
    Lost(PathBuf),
    /// A list of keys can't be understood.
    #[error("{} is no list of DKIM keys; put it right, or remove it: then the newest key of each kind signs", .0.display())]
    List(PathBuf),
    /// The name can't be a domain's and so no directory's.
    #[error("{0:?} is no domain that mail can be signed for")]
    Domain(String),
    /// The cryptographic library made no key.
    #[error("no DKIM key could be made; is the system out of randomness?")]
    Generate,
}

/// What a key signs by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Of 2,048 bits: for everyone.
    Rsa,
    /// RFC 8463: for those who can.
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ed25519];

    /// As `k=` in its record has it (RFC 6376 §3.6.1, RFC 8463 §4), and the end of its file's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The selector of a key that is made now: `g202611r`, or `g202611r2` where that is taken.
    pub(super) fn selector(self, now: Timestamp, taken: impl Fn(&Selector) -> bool) -> Selector {
        let month = now.to_zoned(TimeZone::UTC).strftime("g%Y%m").to_string();
        let letter = &self.as_str()[..1];
        let names = std::iter::once(String::new()).chain((2..).map(|number: u32| number.to_string()));
        let mut selectors = names.map(|number| Selector(format!("{month}{letter}{number}")));
        selectors.find(|selector| !taken(selector)).expect("there is no end of numbers")
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A private key with its name.
pub struct PrivateKey {
    pub selector: Selector,
    pub algorithm: Algorithm,
    der: PrivatePkcs8KeyDer<'static>,
    public: Vec<u8>,
}

impl PrivateKey {
    /// # Errors
    /// [`KeyError::Generate`].
    pub(super) fn generate(algorithm: Algorithm, selector: Selector) -> Result<Self, KeyError> {
        let der = match algorithm {
            Algorithm::Rsa => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Generate)?;
                der.as_ref().to_vec()
            }
            Algorithm::Ed25519 => {
                let der = Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1());
                der.map_err(|_| KeyError::Generate)?.as_ref().to_vec()
            }
        };
        Self::from_der(algorithm, selector, der).ok_or(KeyError::Generate)
    }

    fn from_der(algorithm: Algorithm, selector: Selector, der: Vec<u8>) -> Option<Self> {
        let public = match algorithm {
            Algorithm::Rsa => {
                let key = RsaKeyPair::from_pkcs8(&der).ok()?;
                let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
                public.as_ref().to_vec()
            }
            Algorithm::Ed25519 => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
                key.public_key().as_ref().to_vec()
            }
        };
        Some(Self { selector, algorithm, public, der: der.into() })
    }

    /// The file of a key in its domain's directory.
    pub(super) fn path(directory: &Path, algorithm: Algorithm, selector: &Selector) -> PathBuf {
        directory.join(format!("{selector}.{algorithm}"))
    }

    /// Reads a key from its domain's directory.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Lost`], [`KeyError::Unreadable`].
    pub(super) fn read(directory: &Path, algorithm: Algorithm, selector: Selector) -> Result<Self, KeyError> {
        let path = Self::path(directory, algorithm, &selector);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Lost(path.clone()),
            _ => KeyError::Io { path: path.clone(), source },
        })?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| KeyError::Unreadable(path.clone()))?;
        let der = der.secret_pkcs8_der().to_vec();
        Self::from_der(algorithm, selector, der).ok_or(KeyError::Unreadable(path))
    }

    /// Writes it into its domain's directory: after a crash there is a whole key or none.
    pub(super) fn write(&self, directory: &Path) -> Result<(), KeyError> {
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in BASE64.encode(self.der.secret_pkcs8_der()).as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        write_whole(&Self::path(directory, self.algorithm, &self.selector), pem.as_bytes())
    }

    /// The public key as `p=` in its record has it.
    #[must_use]
    pub fn public(&self) -> String {
        BASE64.encode(&self.public)
    }

    /// The TXT record that lets others verify what it signs for `domain`.
    #[must_use]
    pub fn record(&self, domain: &str) -> Record {
        Record {
            name: format!("{}._domainkey.{domain}", self.selector),
            kind: "TXT",
            value: format!("v=DKIM1; k={}; p={}", self.algorithm, self.public()),
        }
    }

    pub(super) fn der(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.der
    }

    pub(super) fn clone_key(&self) -> Self {
        Self {
            selector: self.selector.clone(),
            algorithm: self.algorithm,
            der: self.der.clone_key(),
            public: self.public.clone(),
        }
    }
}

/// Never shows the key.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, {})", self.selector, self.algorithm)
    }
}

/// The keys that a domain signs with, one of each algorithm at most.
#[derive(Debug)]
pub struct DkimKeys {
    rsa: Option<PrivateKey>,
    ed25519: Option<PrivateKey>,
}

impl DkimKeys {
    /// Makes a pair of keys with selectors after the month: `g202611r` and `g202611e`.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate(now: Timestamp) -> Result<Self, KeyError> {
        let make = |algorithm: Algorithm| PrivateKey::generate(algorithm, algorithm.selector(now, |_| false));
        Ok(Self { rsa: Some(make(Algorithm::Rsa)?), ed25519: Some(make(Algorithm::Ed25519)?) })
    }

    /// Of several keys of an algorithm the last counts.
    pub(super) fn of(keys: impl IntoIterator<Item = PrivateKey>) -> Self {
        let mut pair = Self { rsa: None, ed25519: None };
        for key in keys {
            match key.algorithm {
                Algorithm::Rsa => pair.rsa = Some(key),
                Algorithm::Ed25519 => pair.ed25519 = Some(key),
            }
        }
        pair
    }

    /// The TXT records that let others verify what `domain` signs.
    #[must_use]
    pub fn records(&self, domain: &str) -> Vec<Record> {
        self.rsa.iter().chain(&self.ed25519).map(|key| key.record(domain)).collect()
    }

    /// Whether nothing can be signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rsa.is_none() && self.ed25519.is_none()
    }

    #[must_use]
    pub fn rsa(&self) -> Option<&PrivateKey> {
        self.rsa.as_ref()
    }

    #[must_use]
    pub fn ed25519(&self) -> Option<&PrivateKey> {
        self.ed25519.as_ref()
    }
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

/// A TXT record's value as a zone file wants it: strings of at most 255 octets in quotes (RFC 1035
/// §5.1, RFC 6376 §3.6.2.2).
#[must_use]
pub fn presentation(value: &str) -> String {
    let string =
        |chunk: &[u8]| format!("\"{}\"", String::from_utf8_lossy(chunk).replace('\\', "\\\\").replace('"', "\\\""));
    value.as_bytes().chunks(255).map(string).collect::<Vec<_>>().join(" ")
}

/// Writes a file of mode 0600 beside its final name, syncs, renames, syncs the directories above it,
/// which may be new as well: after a crash there is all of it or none.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let written = (|| {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let unfinished = directory.join(format!(".{}", name.to_string_lossy()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        // A key that vanished would leave its record a lie.
        directory
            .ancestors()
            .take(3)
            .filter(|ancestor| !ancestor.as_os_str().is_empty())
            .try_for_each(|ancestor| File::open(ancestor)?.sync_all())
    })();
    written.map_err(|source| KeyError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_fit_into_zone_files() {
        let keys = DkimKeys::generate("2026-11-23T12:00:00Z".parse().unwrap()).unwrap();
        let records = keys.records("desk.example");
        assert_eq!(records[0].name, "g202611r._domainkey.desk.example");
        assert!(records[0].value.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
        assert!(records[1].value.starts_with("v=DKIM1; k=ed25519; p="));
        let text = presentation(&records[0].value);
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
