//! Both engines against a `BTreeMap`: random operations alone, and many writers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use guichet::store::files::RealFiles;
use guichet::store::{Counter, Options, Order, Parts, Read, SledEngine, Store, StoreError, Table, Tx, View};

use super::store_sim::{Random, SimFiles};

static ROWS: Table<(u8, String), u64> = Table::new(0x70, "rows");
static OTHERS: Table<(u8, String), u64> = Table::new(0x71, "others");
static TEXTS: Table<u8, String> = Table::new(0x72, "texts");
static COUNTER: Counter<u8> = Counter::new(0x70, "counter");

type Model = BTreeMap<(u8, String), u64>;

/// Where a store can be opened again.
enum Place {
    Memory(SimFiles),
    Sled(tempfile::TempDir),
}

impl Place {
    fn both() -> [Self; 2] {
        [Self::Memory(SimFiles::default()), Self::Sled(tempfile::tempdir().unwrap())]
    }

    fn open(&self, boot: &str) -> Store {
        let options = Options { segment_size: 64 * 1024, snapshot_every: 100_000, ..Options::default() };
        match self {
            Self::Memory(files) => Store::open_with(files.parts(boot), options).unwrap(),
            Self::Sled(dir) => Store::open_with(sled_parts(dir.path(), boot), options).unwrap(),
        }
    }
}

pub fn sled_parts(dir: &Path, boot: &str) -> Parts {
    Parts {
        files: Arc::new(RealFiles::new(dir.to_owned())),
        engine: Box::new(SledEngine::new(dir.join("index"), 8 * 1024 * 1024)),
        boot: boot.to_owned(),
    }
}

fn key(random: &mut Random) -> (u8, String) {
    let text = ["", "a", "a\0", "ab", "b", "é", "zz"][usize::try_from(random.below(7)).unwrap()];
    (u8::try_from(random.below(4)).unwrap(), text.to_owned())
}

/// A random range, as the store and the model see it, read in both.
fn compare_range(reader: &impl Read, model: &Model, random: &mut Random) {
    let (from, to) = (key(random), key(random));
    let limit = [0, 1, 3, usize::MAX][usize::try_from(random.below(4)).unwrap()];
    let order = if random.below(2) == 0 { Order::Up } else { Order::Down };
    let in_order = |pairs: Vec<(&(u8, String), &u64)>| {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key.clone(), *value)).collect();
        if order == Order::Down {
            pairs.reverse();
        }
        pairs.truncate(limit);
        pairs
    };
    let (found, expected) = match random.below(5) {
        0 => (reader.range(&ROWS, .., order, limit), in_order(model.iter().collect())),
        1 => (reader.range(&ROWS, from.clone().., order, limit), in_order(model.range(from..).collect())),
        2 => (reader.range(&ROWS, ..=to.clone(), order, limit), in_order(model.range(..=to).collect())),
        3 => (
            reader.starting(&ROWS, (from.0,), order, limit),
            in_order(model.iter().filter(|(key, _)| key.0 == from.0).collect()),
        ),
        _ => (
            reader.range(&ROWS, from.clone()..to.clone(), order, limit),
            in_order(model.iter().filter(|(key, _)| **key >= from && **key < to).collect()),
        ),
    };
    assert_eq!(found.unwrap(), expected);
}

#[derive(Debug)]
struct Abandoned;

impl From<StoreError> for Abandoned {
    fn from(error: StoreError) -> Self {
        panic!("{error}")
    }
}

/// Some reads and writes of one transaction, on the store and the model alike.
fn random_transaction(tx: &mut Tx<'_>, model: &mut Model, random: &mut Random) -> Result<u64, Abandoned> {
    for _ in 0..random.below(8) {
        let key = key(random);
        match random.below(5) {
            0 | 1 => {
                let value = random.next();
                tx.put(&ROWS, &key, &value)?;
                model.insert(key, value);
            }
            2 => {
                tx.delete(&ROWS, &key);
                model.remove(&key);
            }
            3 => assert_eq!(tx.get(&ROWS, &key)?, model.get(&key).copied()),
            _ => compare_range(tx, model, random),
        }
    }
    let number = tx.allocate(&COUNTER, &3)?;
    if random.below(5) == 0 { Err(Abandoned) } else { Ok(number) }
}

#[tokio::test]
async fn random_transactions_and_reopening() {
    let seed = std::env::var("GUICHET_SEED").map_or(20_261, |seed| seed.parse().unwrap());
    println!("GUICHET_SEED={seed}");
    for place in Place::both() {
        let mut random = Random::new(seed);
        let mut model = Model::new();
        let mut highest = 0;
        let mut store = place.open("0");
        for round in 0..600 {
            if random.below(60) == 0 {
                // Closed in order, or another boot: both engines come back the same.
                store.close().await.unwrap();
                let boot = if random.below(2) == 0 { "0".to_owned() } else { round.to_string() };
                store = place.open(&boot);
            }
            if random.below(40) == 0 {
                store.checkpoint().unwrap();
            }
            let mut next = model.clone();
            let mut first = Some(());
            let outcome = store
                .transact(|tx| {
                    assert!(first.take().is_some(), "nobody else is there to conflict with");
                    random_transaction(tx, &mut next, &mut random)
                })
                .await;
            if let Ok(number) = outcome {
                model = next;
                assert!(number > highest, "{number} after {highest}");
                highest = number;
            }
            let look = |view: &View<'_>| {
                compare_range(view, &model, &mut random);
                Ok::<_, StoreError>(())
            };
            store.read(look).unwrap();
        }
        let all = store.read(|view| view.range(&ROWS, .., Order::Up, usize::MAX)).unwrap();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        let none = store.read(|view| view.range(&OTHERS, .., Order::Up, usize::MAX)).unwrap();
        assert_eq!(none, []);
        let report = store.verify().unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
    }
}

const WRITERS: u64 = 24;
const ROUNDS: u64 = 30;
const ACCOUNTS: u64 = 5;

fn account(n: u64) -> (u8, String) {
    (0, n.to_string())
}

/// Moves something between two accounts, and sees the same sum at any time.
fn transfer(tx: &mut Tx<'_>, from: u64, to: u64) -> Result<(), StoreError> {
    let sum: u64 = tx.starting(&ROWS, (0,), Order::Up, usize::MAX)?.iter().map(|(_, value)| value).sum();
    assert_eq!(sum, ACCOUNTS * 1000);
    let had = tx.get(&ROWS, &account(from))?.unwrap_or(0);
    tx.put(&ROWS, &account(from), &(had - 1))?;
    let had = tx.get(&ROWS, &account(to))?.unwrap_or(0);
    tx.put(&ROWS, &account(to), &(had + 1))
}

/// Takes one of three seats if a range says that one is free, else frees one: who trusts a range
/// that changed meanwhile makes a fourth.
fn seat(tx: &mut Tx<'_>, who: u64) -> Result<(), StoreError> {
    let taken = tx.starting(&OTHERS, (1,), Order::Up, usize::MAX)?;
    assert!(taken.len() <= 3, "{taken:?}");
    match taken.first() {
        Some((first, _)) if taken.len() == 3 => {
            tx.delete(&OTHERS, first);
            Ok(())
        }
        _ => tx.put(&OTHERS, &(1, format!("{who:04}")), &who),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_at_once_are_as_if_one_after_another() {
    for place in Place::both() {
        let store = place.open("0");
        store.transact(|tx| (0..ACCOUNTS).try_for_each(|n| tx.put(&ROWS, &account(n), &1000))).await.unwrap();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut random = Random::new(writer);
                    let mut numbers = Vec::new();
                    for round in 0..ROUNDS {
                        let from = random.below(ACCOUNTS);
                        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
                        let number = store
                            .transact(|tx| {
                                transfer(tx, from, to)?;
                                seat(tx, writer * ROUNDS + round)?;
                                let number = tx.allocate(&COUNTER, &1)?;
                                tx.put(&ROWS, &(9, format!("{number:05}")), &writer)?;
                                Ok::<_, StoreError>(number)
                            })
                            .await
                            .unwrap();
                        numbers.push(number);
                    }
                    numbers
                })
            })
            .collect();
        let mut numbers = BTreeSet::new();
        for writer in writers {
            for number in writer.await.unwrap() {
                assert!(numbers.insert(number), "{number} was given twice");
            }
        }
        for boot in ["0", "1"] {
            store.close().await.unwrap();
            let store = place.open(boot);
            store
                .read(|view| {
                    let sum: u64 =
                        view.starting(&ROWS, (0,), Order::Up, usize::MAX)?.iter().map(|(_, value)| value).sum();
                    assert_eq!(sum, ACCOUNTS * 1000);
                    let rows = view.starting(&ROWS, (9,), Order::Up, usize::MAX)?;
                    let rows: BTreeSet<u64> = rows.iter().map(|((_, text), _)| text.parse().unwrap()).collect();
                    assert_eq!(rows, numbers);
                    assert!(view.starting(&OTHERS, (1,), Order::Up, usize::MAX)?.len() <= 3);
                    Ok::<_, StoreError>(())
                })
                .unwrap();
            store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn taking_from_one_counter_is_no_conflict() {
    for place in Place::both() {
        let store = place.open("0");
        let attempts = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let writers: Vec<_> = (0..16)
            .map(|_| {
                let (store, attempts) = (store.clone(), Arc::clone(&attempts));
                tokio::spawn(async move {
                    for _ in 0..10 {
                        let work = |tx: &mut Tx<'_>| {
                            attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            let number = tx.allocate(&COUNTER, &1)?;
                            tx.put(&ROWS, &(1, number.to_string()), &number)
                        };
                        store.transact(work).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 160);
    }
}

#[tokio::test]
async fn counters_move_on_together() {
    let store = Store::memory();
    let take = async |key: u8| store.transact(|tx| tx.allocate(&COUNTER, &key)).await.unwrap();
    assert_eq!((take(1).await, take(1).await, take(2).await), (1, 2, 1));
    store.advance_counters(1_000_000).await.unwrap();
    assert_eq!((take(1).await, take(2).await, take(3).await), (1_000_003, 1_000_002, 1));
}

#[tokio::test]
async fn what_is_too_large_or_missing_is_said() {
    let store = Store::memory();
    let text = "x".repeat(1024 * 1024);
    let outcome = store.transact(|tx| (0..40).try_for_each(|n| tx.put(&TEXTS, &n, &text))).await;
    assert!(matches!(outcome, Err(StoreError::TooLarge(_))));
    assert_eq!(store.read(|view| view.get(&TEXTS, &0)).unwrap(), None);
    let missing = guichet::desk::id::RawId(5);
    assert!(matches!(store.raw(missing), Err(StoreError::NoRaw(id)) if id == missing));
    store.close().await.unwrap();
    assert!(matches!(store.raw(missing), Err(StoreError::Closed)));
    let late = store.transact(|tx| tx.put(&TEXTS, &0, &String::new())).await;
    assert!(matches!(late, Err(StoreError::Closed)));
}
