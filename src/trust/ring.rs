//! A domain's ring of DKIM keys: which signs, which is about to, and which are still to be found in
//! the DNS for mail under way.
//!
//! ```text
//! new ── its record was seen ──→ active ── another became active ──→ old ──→ retired
//!  └──────────────────────────── given up ─────────────────────────────────────┘
//! ```
//!
//! Of each algorithm one key is active at most. A key signs once its record was seen: nothing here
//! makes one active by itself. Only the first keys of a domain of ours do so from the start, since
//! unsigned mail is no better than mail whose key nobody finds.
//!
//! A ring is the directory `<domain>/` with a file a key and the list `ring.json`, all of mode 0600.
//! The list is the truth, and each step is one change of it, made by a rename. A key that is not on it
//! was written just before a crash: it counts as new. A file of a key that the list calls retired was
//! to be removed. A directory without the list gets one: the newest key of each algorithm, by name, is
//! what a first one is, and all others are old.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keys::{Algorithm, DkimKeys, KeyError, PrivateKey, Record, Selector, write_whole};

/// How long the record of a key must stay in the DNS after it signed last: servers keep mail that
/// they can't deliver for five days (RFC 5321 §4.5.4.1), and readers' servers look when they get it.
pub const UNDER_WAY: SignedDuration = SignedDuration::from_hours(7 * 24);

const LIST: &str = "ring.json";

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Signs once its record was seen.
    New,
    /// Signs.
    Active,
    /// Signed; its record stays for mail under way.
    Old,
    /// Destroyed. Its name is not used again.
    Retired,
}

impl KeyState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Old => "old",
            Self::Retired => "retired",
        }
    }
}

/// A key on the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub selector: Selector,
    pub algorithm: Algorithm,
    pub state: KeyState,
    /// Since when it has its state.
    pub since: Timestamp,
    /// The public key in base64, as `p=` has it; a retired one's is not kept.
    #[serde(skip)]
    pub public: String,
}

/// What a new ring's first keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Of a domain of ours.
    Active,
    /// Of somebody else's domain, in whose name nothing may be signed before he agrees to it.
    New,
}

/// Why a key can't be retired.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// There is no such key, or it was retired before.
    #[error("{domain} has no key {selector}; `guichet dkim list` shows all")]
    Unknown { domain: String, selector: String },
    /// It signs.
    #[error(
        "{selector} signs the mail of {domain}; `guichet dkim rotate {domain}` makes another, which takes over once its record is seen"
    )]
    Signs { domain: String, selector: Selector },
    /// Mail that it signed may not have arrived yet.
    #[error(
        "{selector} signed until {since}, and mail of then may be under way: leave it until {until}; --now retires it all the same"
    )]
    UnderWay { selector: Selector, since: Timestamp, until: Timestamp },
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A domain's keys.
#[derive(Debug)]
pub struct Ring {
    domain: String,
    directory: PathBuf,
    keys: Vec<Key>,
    private: Vec<PrivateKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    keys: Vec<Key>,
}

impl Ring {
    /// Opens the ring of `domain`, in A-labels, below `directory` (`data_dir/dkim`); makes it, and a
    /// key of each algorithm that there is none of yet. Puts right what a crash left.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(directory: &Path, domain: &str, first: First, now: Timestamp) -> Result<Self, KeyError> {
        if domain.is_empty() || domain.starts_with('.') || domain.contains(['/', '\0']) {
            return Err(KeyError::Domain(domain.to_owned()));
        }
        let directory = directory.join(domain);
        let at = |source| KeyError::Io { path: directory.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at)?;
        let listed = read_list(&directory)?;
        let mut keys = listed.clone().unwrap_or_default();
        let mut files = Vec::new();
        for entry in fs::read_dir(&directory).map_err(at)? {
            let path = entry.map_err(at)?.path();
            match named(&path) {
                Named::Key(algorithm, selector) => files.push((algorithm, selector)),
                // A key that was not whole when the power went.
                Named::Unfinished => fs::remove_file(&path).map_err(at)?,
                Named::Other => {}
            }
        }
        files.sort();
        for (algorithm, selector) in files {
            match keys.iter().find(|key| key.selector == selector && key.algorithm == algorithm) {
                Some(key) if key.state == KeyState::Retired => {
                    fs::remove_file(PrivateKey::path(&directory, algorithm, &selector)).map_err(at)?;
                }
                Some(_) => {}
                None => {
                    let state = if listed.is_some() { KeyState::New } else { KeyState::Old };
                    keys.push(Key { selector, algorithm, state, since: now, public: String::new() });
                }
            }
        }
        let mut ring = Self { domain: domain.to_owned(), directory, keys, private: Vec::new() };
        let state = match first {
            First::Active => KeyState::Active,
            First::New => KeyState::New,
        };
        if listed.is_none() {
            for algorithm in Algorithm::ALL {
                if let Some(newest) = ring.keys.iter_mut().rfind(|key| key.algorithm == algorithm) {
                    newest.state = state;
                }
            }
        }
        for algorithm in Algorithm::ALL {
            let lives = |key: &Key| matches!(key.state, KeyState::New | KeyState::Active);
            if !ring.of(algorithm).any(lives) {
                ring.make(algorithm, state, now)?;
            }
        }
        for key in &mut ring.keys {
            if key.state != KeyState::Retired {
                let private = PrivateKey::read(&ring.directory, key.algorithm, key.selector.clone())?;
                key.public = private.public();
                ring.private.push(private);
            }
        }
        if listed.as_ref() != Some(&ring.bare()) {
            ring.save()?;
        }
        Ok(ring)
    }

    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// All keys, in the order in which they were made.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The record that publishes a key; `None` for a retired one.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<Record> {
        self.private(key).map(|private| private.record(&self.domain))
    }

    /// The keys that sign.
    #[must_use]
    pub fn signing(&self) -> DkimKeys {
        let active = self.keys.iter().filter(|key| key.state == KeyState::Active);
        DkimKeys::of(active.filter_map(|key| self.private(key)).map(PrivateKey::clone_key))
    }

    /// Whether an RSA key signs, which every verifier knows how to check.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.of(Algorithm::Rsa).any(|key| key.state == KeyState::Active)
    }

    /// Makes a new key of each algorithm that has none yet: those that take over once their records
    /// are seen. Called again, it makes nothing more until they have.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), KeyError> {
        for algorithm in Algorithm::ALL {
            if !self.of(algorithm).any(|key| key.state == KeyState::New) {
                self.make(algorithm, KeyState::New, now)?;
                self.save()?;
            }
        }
        Ok(())
    }

    /// The record of a new key was seen: it signs, and the one before it is old. Whether it was new.
    ///
    /// # Errors
    /// [`KeyError`]; then nothing has changed.
    pub fn activate(&mut self, selector: &Selector, now: Timestamp) -> Result<bool, KeyError> {
        let is_it = |key: &Key| key.selector == *selector && key.state == KeyState::New;
        let Some(algorithm) = self.keys.iter().find(|key| is_it(key)).map(|key| key.algorithm) else {
            return Ok(false);
        };
        self.change(|key| {
            if is_it(key) {
                (key.state, key.since) = (KeyState::Active, now);
            } else if key.algorithm == algorithm && key.state == KeyState::Active {
                (key.state, key.since) = (KeyState::Old, now);
            }
        })?;
        Ok(true)
    }

    /// Destroys a key that does not sign. `hurry`: also where mail that it signed may be under way.
    ///
    /// # Errors
    /// [`RetireError`].
    pub fn retire(&mut self, selector: &str, hurry: bool, now: Timestamp) -> Result<Key, RetireError> {
        let unknown = || RetireError::Unknown { domain: self.domain.clone(), selector: selector.to_owned() };
        let key = self.keys.iter().find(|key| key.selector.as_str() == selector).ok_or_else(unknown)?.clone();
        match key.state {
            KeyState::Retired => return Err(unknown()),
            KeyState::Active => return Err(RetireError::Signs { domain: self.domain.clone(), selector: key.selector }),
            KeyState::Old if !hurry && now < until(&key) => {
                return Err(RetireError::UnderWay { until: until(&key), selector: key.selector, since: key.since });
            }
            KeyState::Old | KeyState::New => {}
        }
        // The list first: a file that it calls retired is removed at the next opening.
        self.change(|listed| {
            if listed.selector == key.selector {
                (listed.state, listed.since, listed.public) = (KeyState::Retired, now, String::new());
            }
        })?;
        self.private.retain(|private| private.selector != key.selector);
        let path = PrivateKey::path(&self.directory, key.algorithm, &key.selector);
        fs::remove_file(&path).map_err(|source| KeyError::Io { path, source })?;
        Ok(Key { state: KeyState::Retired, since: now, ..key })
    }

    fn of(&self, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    fn private(&self, key: &Key) -> Option<&PrivateKey> {
        self.private.iter().find(|private| private.selector == key.selector && private.algorithm == key.algorithm)
    }

    /// A key under a name that no other ever had; not on the list yet.
    fn make(&mut self, algorithm: Algorithm, state: KeyState, now: Timestamp) -> Result<(), KeyError> {
        let selector = algorithm.selector(now, |selector| self.keys.iter().any(|key| key.selector == *selector));
        let private = PrivateKey::generate(algorithm, selector.clone())?;
        private.write(&self.directory)?;
        self.keys.push(Key { selector, algorithm, state, since: now, public: private.public() });
        self.private.push(private);
        Ok(())
    }

    /// Changes the list on disk, and then in memory.
    fn change(&mut self, change: impl Fn(&mut Key)) -> Result<(), KeyError> {
        let before = self.keys.clone();
        self.keys.iter_mut().for_each(change);
        self.save().inspect_err(|_| self.keys = before)
    }

    fn save(&self) -> Result<(), KeyError> {
        let text = serde_json::to_string_pretty(&List { keys: self.keys.clone() }).expect("texts alone");
        write_whole(&self.directory.join(LIST), (text + "\n").as_bytes())
    }

    /// The list as it is on disk: without public keys.
    fn bare(&self) -> Vec<Key> {
        self.keys.iter().map(|key| Key { public: String::new(), ..key.clone() }).collect()
    }
}

/// When a key that signed until its `since` may be retired.
#[must_use]
pub fn until(key: &Key) -> Timestamp {
    key.since.saturating_add(UNDER_WAY).unwrap_or(Timestamp::MAX)
}

fn read_list(directory: &Path) -> Result<Option<Vec<Key>>, KeyError> {
    let path = directory.join(LIST);
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice::<List>(&bytes) {
            Ok(list) => Ok(Some(list.keys)),
            Err(_) => Err(KeyError::List(path)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyError::Io { path, source }),
    }
}

enum Named {
    Key(Algorithm, Selector),
    Unfinished,
    Other,
}

/// What a file of a ring is, by its name.
fn named(path: &Path) -> Named {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Named::Other };
    let (name, unfinished) = name.strip_prefix('.').map_or((name, false), |name| (name, true));
    let Some((stem, kind)) = name.rsplit_once('.') else { return Named::Other };
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == kind);
    match (stem.parse::<Selector>(), algorithm) {
        (Ok(_), Some(_)) if unfinished => Named::Unfinished,
        (Ok(selector), Some(algorithm)) => Named::Key(algorithm, selector),
        _ => Named::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DOMAIN: &str = "desk.example";

    fn november() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn open(directory: &Path) -> Ring {
        Ring::open(directory, DOMAIN, First::Active, november()).unwrap()
    }

    /// `g202611r active, g202611e new`.
    fn states(ring: &Ring) -> String {
        let states = ring.keys.iter().map(|key| format!("{} {}", key.selector, key.state.as_str()));
        states.collect::<Vec<_>>().join(", ")
    }

    fn selector(text: &str) -> Selector {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_made_once_and_nobody_else_may_read_them() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path());
        assert_eq!(states(&first), "g202611r active, g202611e active");
        let later = "2027-01-01T00:00:00Z".parse().unwrap();
        let second = Ring::open(directory.path(), DOMAIN, First::Active, later).unwrap();
        assert_eq!(first.keys, second.keys);
        assert_eq!(first.signing().records(DOMAIN), second.signing().records(DOMAIN));
        for file in ["g202611r.rsa", "g202611e.ed25519", "ring.json"] {
            let mode = fs::metadata(directory.path().join(DOMAIN).join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let theirs = Ring::open(directory.path(), "acme.example", First::New, november()).unwrap();
        assert_eq!(states(&theirs), "g202611r new, g202611e new");
        assert!(!theirs.signs() && theirs.signing().records("acme.example").is_empty());
    }

    #[test]
    fn a_key_signs_from_when_its_record_was_seen_and_the_one_before_it_till_then() {
        let directory = tempfile::tempdir().unwrap();
        let mut ring = open(directory.path());
        ring.rotate(november()).unwrap();
        ring.rotate(november()).unwrap();
        assert_eq!(states(&ring), "g202611r active, g202611e active, g202611r2 new, g202611e2 new");
        let signing = |ring: &Ring| ring.signing().records(DOMAIN).into_iter().map(|record| record.name);
        assert_eq!(signing(&ring).collect::<Vec<_>>().len(), 2);
        assert!(ring.activate(&selector("g202611r2"), november()).unwrap());
        assert!(!ring.activate(&selector("g202611r2"), november()).unwrap());
        assert!(!ring.activate(&selector("g202611x"), november()).unwrap());
        let after = "g202611r old, g202611e active, g202611r2 active, g202611e2 new";
        assert_eq!(states(&ring), after);
        assert_eq!(states(&open(directory.path())), after);
        let names: Vec<_> = signing(&ring).collect();
        assert_eq!(names, ["g202611r2._domainkey.desk.example", "g202611e._domainkey.desk.example"]);
    }

    #[test]
    fn what_signs_is_never_destroyed_and_what_signed_not_before_its_mail_has_arrived() {
        let directory = tempfile::tempdir().unwrap();
        let mut ring = open(directory.path());
        assert!(matches!(ring.retire("g202611r", true, november()), Err(RetireError::Signs { .. })));
        assert!(matches!(ring.retire("nothing", true, november()), Err(RetireError::Unknown { .. })));
        ring.rotate(november()).unwrap();
        ring.activate(&selector("g202611r2"), november()).unwrap();
        ring.activate(&selector("g202611e2"), november()).unwrap();
        let early = november() + SignedDuration::from_hours(7 * 24 - 1);
        assert!(matches!(ring.retire("g202611r", false, early), Err(RetireError::UnderWay { .. })));
        ring.retire("g202611r", true, early).unwrap();
        ring.retire("g202611e", false, november() + UNDER_WAY).unwrap();
        for file in ["g202611r.rsa", "g202611e.ed25519"] {
            assert!(!directory.path().join(DOMAIN).join(file).exists(), "{file}");
        }
        assert!(matches!(ring.retire("g202611r", true, early), Err(RetireError::Unknown { .. })));
        // A new key that nobody wants; its name is used no more than the others'.
        ring.rotate(november()).unwrap();
        ring.retire("g202611r3", false, november()).unwrap();
        ring.rotate(november()).unwrap();
        let after = "g202611r retired, g202611e retired, g202611r2 active, g202611e2 active, \
                     g202611r3 retired, g202611e3 new, g202611r4 new";
        assert_eq!(states(&ring), after);
        assert_eq!(states(&open(directory.path())), after);
    }

    #[test]
    fn the_newest_keys_of_a_release_without_a_list_sign() {
        let directory = tempfile::tempdir().unwrap();
        let mut ring = open(directory.path());
        ring.rotate(november()).unwrap();
        fs::remove_file(directory.path().join(DOMAIN).join(LIST)).unwrap();
        let ring = open(directory.path());
        assert_eq!(states(&ring), "g202611r old, g202611r2 active, g202611e old, g202611e2 active");
    }

    #[test]
    fn a_missing_kind_is_made_and_the_other_kept() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path());
        for file in ["g202611e.ed25519", LIST] {
            fs::remove_file(directory.path().join(DOMAIN).join(file)).unwrap();
        }
        let second = open(directory.path());
        assert_eq!(first.signing().records("d")[0], second.signing().records("d")[0]);
        assert_ne!(first.signing().records("d")[1], second.signing().records("d")[1]);
    }

    #[test]
    fn what_is_damaged_is_named_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path());
        for file in ["g202611r.rsa", "g202611e.ed25519", LIST] {
            let path = directory.path().join(DOMAIN).join(file);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, "nonsense").unwrap();
            let error = Ring::open(directory.path(), DOMAIN, First::Active, november()).unwrap_err();
            assert!(error.to_string().contains(file), "{error}");
            fs::remove_file(&path).unwrap();
            if file != LIST {
                let error = Ring::open(directory.path(), DOMAIN, First::Active, november()).unwrap_err();
                assert!(matches!(&error, KeyError::Lost(lost) if *lost == path), "{error}");
            }
            fs::write(&path, whole).unwrap();
        }
        // What is advised helps, and no name is used twice.
        let folder = directory.path().join(DOMAIN);
        fs::remove_file(folder.join("g202611r.rsa")).unwrap();
        let list = fs::read_to_string(folder.join(LIST)).unwrap();
        fs::write(folder.join(LIST), list.replacen("\"active\"", "\"retired\"", 1)).unwrap();
        assert_eq!(states(&open(directory.path())), "g202611r retired, g202611e active, g202611r2 active");
        let error = Ring::open(directory.path(), "../x", First::Active, november()).unwrap_err();
        assert!(matches!(error, KeyError::Domain(_)));
    }

    /// Each state of the directory that a crash can leave, made by hand.
    #[test]
    fn every_step_is_done_or_can_be_done_again_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join(DOMAIN);
        open(directory.path());
        let list = fs::read(folder.join(LIST)).unwrap();

        // While a key was written, and after it was written and not yet listed.
        fs::write(folder.join(".g202611r2.rsa"), "-----BEGIN").unwrap();
        assert_eq!(states(&open(directory.path())), "g202611r active, g202611e active");
        assert!(!folder.join(".g202611r2.rsa").exists());
        open(directory.path()).rotate(november()).unwrap();
        fs::remove_file(folder.join("g202611e2.ed25519")).unwrap();
        fs::write(folder.join(LIST), &list).unwrap();
        let mut ring = open(directory.path());
        assert_eq!(states(&ring), "g202611r active, g202611e active, g202611r2 new");
        ring.rotate(november()).unwrap();
        let rotated = "g202611r active, g202611e active, g202611r2 new, g202611e2 new";
        assert_eq!(states(&open(directory.path())), rotated);

        // While the first keys of somebody else's domain were made: nothing signs for it that was not seen.
        let theirs = || Ring::open(directory.path(), "acme.example", First::New, november()).unwrap();
        theirs();
        fs::remove_file(directory.path().join("acme.example").join(LIST)).unwrap();
        assert_eq!(states(&theirs()), "g202611r new, g202611e new");

        // While the list was written.
        fs::write(folder.join(".ring.json"), "{").unwrap();
        assert_eq!(states(&open(directory.path())), rotated);

        // After a key was retired and before its file was removed.
        let file = fs::read(folder.join("g202611r2.rsa")).unwrap();
        open(directory.path()).retire("g202611r2", false, november()).unwrap();
        fs::write(folder.join("g202611r2.rsa"), file).unwrap();
        let after = "g202611r active, g202611e active, g202611r2 retired, g202611e2 new";
        assert_eq!(states(&open(directory.path())), after);
        assert!(!folder.join("g202611r2.rsa").exists());
    }
}
