//! One process at a time.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::OpenError;

/// How often a lock is tried that another process holds.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the directory if need be and locks it until the file is closed, by the process's death at
/// the latest. Waits up to `patience` for another holder.
pub(super) fn acquire(dir: &Path, patience: Duration) -> Result<File, OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.to_owned(), error };
    fs::create_dir_all(dir).map_err(unusable)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(dir.join("lock")).map_err(unusable)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(OpenError::Busy { dir: dir.to_owned() });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
        }
    }
}
