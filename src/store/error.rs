//! What can go wrong, and what the reader can do.

use std::path::PathBuf;

use crate::desk::id::RawId;

/// Why the store could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Temporary: it goes on once there is room.
    #[error("no space is left in the data directory; make room")]
    Full,
    /// Temporary as far as the caller can know: nothing of the transaction was kept.
    #[error("the data directory can't be written or read: {0}")]
    Io(String),
    /// Temporary: the index failed and is being given up; it is built again from the journal.
    #[error("{0}; it will be built again from the journal")]
    Index(#[from] super::index::IndexError),
    /// Stored bytes don't match their checksum. `guichet verify` tells how much is concerned;
    /// restore a backup.
    #[error("journal segment {segment} is damaged at offset {offset}; restore it from a backup")]
    Damaged { segment: u64, offset: u64 },
    /// A record can't be written or read as what its table holds.
    #[error("a record of table {table} is not readable: {why}")]
    Record { table: &'static str, why: String },
    /// No raw bytes are stored under this id.
    #[error("no message is stored under the raw id {0}")]
    NoRaw(RawId),
    /// One transaction wrote more than a record of the journal takes. Split it.
    #[error("a change of {0} bytes is more than one transaction takes")]
    TooLarge(usize),
    /// The store was closed, because the daemon stops.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same transaction may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Full | Self::Io(_) | Self::Index(_) | Self::Closed => true,
            Self::Damaged { .. } | Self::Record { .. } | Self::NoRaw(_) | Self::TooLarge(_) => false,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; stop it, or let it do the work", dir.display())]
    Busy { dir: PathBuf },
    /// The directory can't be made or written.
    #[error("{} can't be used: {error}", dir.display())]
    Directory { dir: PathBuf, error: std::io::Error },
    /// Something in it can't be read or written, or is damaged.
    #[error("the store can't be opened: {0}")]
    Store(#[from] StoreError),
}

impl From<std::io::Error> for OpenError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(error) => error,
            other => Self::Io(other.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}
