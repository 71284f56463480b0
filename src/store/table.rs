//! Typed tables and counters over the store's bytes: what a key and a record look like there.
//!
//! Which tables the desk has is in `store::tables`; this file knows none of them.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::key::Key;

/// Prefixes below this one are the store's own.
pub const FIRST_PREFIX: u8 = 0x10;

/// Prefix of the index's own notes, which no journal holds.
pub(super) const NOTES: u8 = 0x00;
/// Prefix of counters: the next value of each.
pub(super) const COUNTERS: u8 = 0x01;
/// Prefix of the places of raw bytes in the journal.
pub(super) const RAWS: u8 = 0x02;

/// What a table's values are.
///
/// A stored value is one byte of [`VERSION`](Self::VERSION) and then the record in MessagePack,
/// structs as arrays. A field that is added at the end with `#[serde(default)]` opens old records
/// as they are; any other change needs a new version.
pub trait Record: Serialize + DeserializeOwned {
    /// The version that is written. A higher one in the store was written by a newer release.
    const VERSION: u8;

    /// Reads a record of an older version; `None` where it can't be.
    fn upgrade(_version: u8, _bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// An ordered table of `V` by `K`.
///
/// ```
/// use guichet::store::{Table, Read, Store};
/// static NAMES: Table<u64, String> = Table::new(0x70, "names");
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let store = Store::memory();
/// store.transact(|tx| tx.put(&NAMES, &7, &"Ada".to_owned())).await?;
/// assert_eq!(store.read(|view| view.get(&NAMES, &7))?.as_deref(), Some("Ada"));
/// # Ok::<(), guichet::store::StoreError>(())
/// # }).unwrap();
/// ```
pub struct Table<K, V> {
    prefix: u8,
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// A table whose keys start with `prefix`, at least [`FIRST_PREFIX`] and no other table's.
    /// The name is for messages to people. Put it in a `static` or a `const`.
    ///
    /// # Panics
    ///
    /// On a prefix that is the store's own; at compile time in a `const`.
    pub const fn new(prefix: u8, name: &'static str) -> Self {
        assert!(prefix >= FIRST_PREFIX, "that prefix is the store's own");
        Self { prefix, name, types: PhantomData }
    }

    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: Key, V: Record> Table<K, V> {
    pub(super) fn key(&self, key: &K) -> Vec<u8> {
        let mut out = vec![self.prefix];
        key.encode(&mut out);
        out
    }

    pub(super) fn read_key(&self, bytes: &[u8]) -> Result<K, StoreError> {
        let damaged = || StoreError::Record { table: self.name, why: "its key is not one of this table".into() };
        let mut rest = bytes.strip_prefix(&[self.prefix]).ok_or_else(damaged)?;
        let key = K::decode(&mut rest).ok_or_else(damaged)?;
        if rest.is_empty() { Ok(key) } else { Err(damaged()) }
    }

    pub(super) fn value(&self, record: &V) -> Result<Vec<u8>, StoreError> {
        let mut out = vec![V::VERSION];
        rmp_serde::encode::write(&mut out, record)
            .map_err(|error| StoreError::Record { table: self.name, why: error.to_string() })?;
        Ok(out)
    }

    pub(super) fn read_value(&self, bytes: &[u8]) -> Result<V, StoreError> {
        Stored::new(self, bytes).read()
    }
}

/// A record as it is stored.
pub struct Stored<'a, V> {
    table: &'static str,
    bytes: &'a [u8],
    types: PhantomData<fn() -> V>,
}

impl<'a, V: Record> Stored<'a, V> {
    pub(super) fn new<K>(table: &Table<K, V>, bytes: &'a [u8]) -> Self {
        Self { table: table.name, bytes, types: PhantomData }
    }

    /// Reads it.
    pub fn read(&self) -> Result<V, StoreError> {
        let (version, rest) = self.split()?;
        if version == V::VERSION {
            return self.decode(rest);
        }
        if version > V::VERSION {
            return Err(self.damaged(format!("version {version} was written by a newer release")));
        }
        let read = V::upgrade(version, rest);
        read.ok_or_else(|| self.damaged(format!("version {version} can't be read any more")))
    }

    /// Reads it as something that is written in the same form, and may borrow what it needs and pass
    /// over the rest. Records of an older version can only be [read](Self::read).
    pub fn glance<T: Deserialize<'a>>(&self) -> Result<T, StoreError> {
        match self.split()? {
            (version, rest) if version == V::VERSION => self.decode(rest),
            (version, _) => Err(self.damaged(format!("version {version} can't be read in part"))),
        }
    }

    /// A copy, for when the store may be read no longer.
    #[must_use]
    pub fn keep(&self) -> Kept<V> {
        Kept { table: self.table, bytes: self.bytes.to_vec(), types: PhantomData }
    }

    fn split(&self) -> Result<(u8, &'a [u8]), StoreError> {
        self.bytes
            .split_first()
            .map(|(version, rest)| (*version, rest))
            .ok_or_else(|| self.damaged("it is empty".into()))
    }

    fn decode<T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, StoreError> {
        rmp_serde::from_slice(bytes).map_err(|error| self.damaged(error.to_string()))
    }

    fn damaged(&self, why: String) -> StoreError {
        StoreError::Record { table: self.table, why }
    }
}

/// A copy of a record as it is stored.
pub struct Kept<V> {
    table: &'static str,
    bytes: Vec<u8>,
    types: PhantomData<fn() -> V>,
}

impl<V: Record> Kept<V> {
    #[must_use]
    pub fn stored(&self) -> Stored<'_, V> {
        Stored { table: self.table, bytes: &self.bytes, types: PhantomData }
    }
}

/// A family of counters, one a key, each starting at 1.
///
/// Values are handed out at once and never twice. Transactions that take from the same counter don't
/// conflict; one that fails leaves a gap.
pub struct Counter<K> {
    prefix: u8,
    name: &'static str,
    types: PhantomData<fn() -> K>,
}

impl<K> Counter<K> {
    /// Counters whose keys start with `prefix`, no other counter's. Tables and counters don't share
    /// prefixes' meaning: a table may have the same one.
    pub const fn new(prefix: u8, name: &'static str) -> Self {
        Self { prefix, name, types: PhantomData }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K: Key> Counter<K> {
    pub(super) fn key(&self, key: &K) -> Vec<u8> {
        let mut out = vec![COUNTERS, self.prefix];
        key.encode(&mut out);
        out
    }
}
