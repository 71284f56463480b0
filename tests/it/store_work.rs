//! Work for a store whose outcome can be told from which steps were acknowledged.

use std::collections::BTreeMap;

use guichet::desk::id::RawId;
use guichet::store::{Counter, Options, Order, Read, Store, StoreError, Table};

pub static ROWS: Table<u64, Vec<u64>> = Table::new(0x70, "rows");
static DONE: Table<(u64, u64), ()> = Table::new(0x71, "done");
static NUMBERS: Counter<u64> = Counter::new(0x70, "numbers");

/// Segments so small that every few steps begin a new one.
pub fn small() -> Options {
    Options { segment_size: 4096, snapshot_every: u64::MAX, ..Options::default() }
}

/// A step with a message that is streamed in two parts, as is every tenth after it.
pub const LARGE: u64 = 6;

/// What step `n` stores as it is.
fn message(n: u64) -> Vec<u8> {
    let length = if n % 10 == LARGE { 700_000 } else { 50 + n % 100 };
    (0..length).map(|at| u8::try_from((at * 7 + n) % 251).unwrap()).collect()
}

/// Does step `n`.
pub async fn step(store: &Store, n: u64) -> Result<(), StoreError> {
    let message: std::sync::Arc<[u8]> = message(n).into();
    store
        .transact(|tx| {
            let before = tx.range(&ROWS, .., Order::Down, 3)?;
            let number = tx.allocate(&NUMBERS, &9)?;
            let raw = tx.put_raw(message.clone())?;
            tx.put(&ROWS, &(n % 7), &vec![n, raw.0, number, before.len() as u64])?;
            tx.delete(&ROWS, &((n + 3) % 7));
            tx.put(&DONE, &(1, n), &())
        })
        .await
}

/// What is in the store: the steps that were done, and which step each row is from. Checks what
/// belongs to a row on the way.
pub fn state(store: &Store) -> (Vec<u64>, BTreeMap<u64, u64>) {
    let read = store.read(|view| {
        let done = view.starting(&DONE, (1,), Order::Up, usize::MAX)?;
        let rows = view.range(&ROWS, .., Order::Up, usize::MAX)?;
        for (_, row) in &rows {
            assert!(view.raw(RawId(row[1]))? == message(row[0]), "the message of step {} differs", row[0]);
        }
        let mut numbers: Vec<_> = rows.iter().map(|(_, row)| row[2]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), rows.len(), "a number was given twice");
        Ok::<_, StoreError>((done, rows))
    });
    let (done, rows) = read.unwrap();
    (done.into_iter().map(|((_, n), ())| n).collect(), rows.into_iter().map(|(key, row)| (key, row[0])).collect())
}

/// What should be in the store after these steps.
pub fn model(done: &[u64]) -> (Vec<u64>, BTreeMap<u64, u64>) {
    let mut rows = BTreeMap::new();
    for n in done {
        rows.insert(n % 7, *n);
        rows.remove(&((n + 3) % 7));
    }
    (done.to_vec(), rows)
}
