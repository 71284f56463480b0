//! sled as the index of what changed since the last table snapshots.
//!
//! A generation is a database in a directory of its own. Everything is in one tree, since sled's batches are atomic in one tree only. It is never flushed
//! on the commit path. Whatever it answers wrongly, or panics on, ends it: the journal is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::index::{Engine, Index, IndexError, Order, Span, Syncer, Write, as_slice, is_empty};
use super::journal::Position;
use super::table::NOTES;

/// The most keys in one batch: sled's memory for larger ones grows out of proportion.
const BATCH: usize = 300;

/// Under which key the position stands.
const POSITION: [u8; 1] = [NOTES];

/// Opens indexes in a directory of their own.
pub struct SledEngine {
    dir: PathBuf,
    cache: u64,
}

impl SledEngine {
    /// `cache` is the octets of pages that sled keeps; it takes more besides.
    pub fn new(dir: PathBuf, cache: u64) -> Self {
        Self { dir, cache }
    }

    fn dir_of(&self, generation: u64) -> PathBuf {
        self.dir.join(generation.to_string())
    }
}

impl Engine for SledEngine {
    fn generations(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn open(&self, generation: u64) -> Result<Box<dyn Index>, IndexError> {
        let dir = self.dir_of(generation);
        let db = guard(|| sled::Config::new().path(&dir).cache_capacity(self.cache).flush_every_ms(None).open())?;
        let position = match guard(|| db.get(POSITION))? {
            None => Position::default(),
            Some(bytes) => Position::decode(&bytes).ok_or_else(|| IndexError("its position is unreadable".into()))?,
        };
        Ok(Box::new(SledIndex { db, dir, position }))
    }

    fn delete(&self, generation: u64) -> io::Result<()> {
        remove(&self.dir_of(generation))
    }

    fn delete_all(&self) -> io::Result<()> {
        remove(&self.dir)
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

struct SledIndex {
    db: sled::Db,
    dir: PathBuf,
    position: Position,
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        guard(|| self.db.get(key)).map(|found| found.map(|value| value.to_vec()))
    }

    fn range(&self, span: &Span, order: Order, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), IndexError> {
        if is_empty(span) {
            return Ok(());
        }
        guard(|| {
            let mut range = self.db.range::<&[u8], _>((as_slice(&span.0), as_slice(&span.1)));
            while let Some(pair) = match order {
                Order::Up => range.next(),
                Order::Down => range.next_back(),
            } {
                let (key, value) = pair?;
                if !visit(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&mut self, writes: Vec<Write>, position: Position) -> Result<(), IndexError> {
        let mut left = writes.len();
        let mut batch = sled::Batch::default();
        for (n, (key, value)) in writes.into_iter().enumerate() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
            left -= 1;
            if (n + 1) % BATCH == 0 && left > 0 {
                let full = std::mem::take(&mut batch);
                guard(|| self.db.apply_batch(full))?;
            }
        }
        batch.insert(&POSITION, &position.encode());
        guard(|| self.db.apply_batch(batch))?;
        self.position = position;
        Ok(())
    }

    fn sync(&self) -> Syncer {
        let (db, dir) = (self.db.clone(), self.dir.clone());
        Box::new(move || {
            guard(|| db.flush())?;
            sync_all(dir).map_err(|error| IndexError(error.to_string()))
        })
    }

    fn position(&self) -> Position {
        self.position
    }
}

/// Makes the files and names in a directory and those below it durable: sled itself starts their
/// writing and does not wait for the disk.
fn sync_all(dir: PathBuf) -> io::Result<()> {
    let mut dirs = vec![dir];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            match fs::File::open(&path) {
                // sled removes what it no longer needs.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                file => file?.sync_all()?,
            }
        }
        fs::File::open(&dir)?.sync_all()?;
    }
    Ok(())
}

/// sled panics on some of what it can't read.
fn guard<T>(run: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| IndexError(error.to_string())),
        Err(_) => Err(IndexError("sled panicked".into())),
    }
}
