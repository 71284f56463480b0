//! How fast transactions are: 16 writers, a message of 8 KiB and eight keys each, against the
//! machine's own append and fdatasync in groups of 16, in the same run.
//!
//! `cargo bench --bench transact [-- SECONDS]`; the rates wander, the ratio is what counts.

#![expect(clippy::cast_precision_loss, reason = "rates are not exact anyway")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guichet::store::{Counter, Options, Read, Store, StoreError, Table};

const WRITERS: u64 = 16;
const MESSAGE: usize = 8 * 1024;

static TICKETS: Table<u64, Vec<u8>> = Table::new(0x70, "tickets");
static ENTRIES: Table<(u64, u64), Vec<u8>> = Table::new(0x71, "entries");
static BY_STATUS: Table<(u64, u8, u64), ()> = Table::new(0x72, "by status");
static BY_MESSAGE_ID: Table<(u64, String), Vec<u64>> = Table::new(0x73, "by message id");
static COPIES: Table<u64, Vec<u8>> = Table::new(0x74, "copies");
static NUMBERS: Counter<u64> = Counter::new(0x70, "numbers");

fn main() {
    let seconds = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(4);
    let time = Duration::from_secs(seconds);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory to work in");
    let before = machine(dir.path(), time / 2);
    let (ours, latencies) = store(dir.path(), time);
    let after = machine(dir.path(), time / 2);
    let machine = f64::midpoint(before, after);
    let at = |percent: usize| latencies[latencies.len() * percent / 100].as_secs_f64() * 1000.0;
    println!("append + fdatasync, groups of 16   {machine:>9.0} messages/s ({before:.0} before, {after:.0} after)");
    println!("transact, 16 writers               {ours:>9.0} messages/s, p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
    println!("ratio                              {:>9.2} (at least 0.25)", ours / machine);
}

/// Messages a second that the machine takes: 16 of them appended, then fdatasync.
fn machine(dir: &Path, time: Duration) -> f64 {
    let path = dir.join("plain");
    let file = File::create(&path).expect("a file to write");
    let group = vec![7; MESSAGE * 16];
    let start = Instant::now();
    let mut written = 0u64;
    while start.elapsed() < time {
        file.write_all_at(&group, written * group.len() as u64).expect("room");
        file.sync_data().expect("a disk that works");
        written += 1;
    }
    let rate = (written * 16) as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("it was made above");
    rate
}

/// Transactions a second, and how long each took, in order.
fn store(dir: &Path, time: Duration) -> (f64, Vec<Duration>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let store = Store::open(&dir.join("store"), Options::default()).expect("a store");
    let start = Instant::now();
    let mut latencies = runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut latencies = Vec::new();
                    while start.elapsed() < time {
                        let began = Instant::now();
                        intake(&store, writer, latencies.len() as u64).await.expect("a commit");
                        latencies.push(began.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        let mut all = Vec::new();
        for writer in writers {
            all.extend(writer.await.expect("a writer"));
        }
        all
    });
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    runtime.block_on(store.close()).expect("an orderly end");
    latencies.sort_unstable();
    (rate, latencies)
}

/// What one mail writes, more or less.
async fn intake(store: &Store, writer: u64, n: u64) -> Result<(), StoreError> {
    let mail: Arc<[u8]> = vec![b'm'; MESSAGE].into();
    let id = format!("{writer:016x}{n:016x}@client.example");
    store
        .transact(|tx| {
            tx.get(&BY_MESSAGE_ID, &(1, id.clone()))?;
            let ticket = tx.allocate(&NUMBERS, &1)?;
            let raw = tx.put_raw(Arc::clone(&mail))?;
            tx.put(&TICKETS, &ticket, &vec![1; 300])?;
            tx.put(&ENTRIES, &(ticket, 1), &vec![2; 500])?;
            tx.put(&ENTRIES, &(ticket, 2), &vec![3; 150])?;
            tx.put(&BY_STATUS, &(1, 0, ticket), &())?;
            tx.put(&BY_MESSAGE_ID, &(1, id.clone()), &vec![ticket, raw.0])?;
            tx.put(&COPIES, &ticket, &vec![4; 200])
        })
        .await
}
