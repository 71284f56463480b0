//! What can go wrong, and what the reader can do.

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

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error.to_string()),
        }
    }
}
