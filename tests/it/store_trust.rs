//! When sled is trusted, and that nothing is lost when it is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guichet::store::{OpenError, Options, Order, Read as _, Store};

use super::store_model::sled_parts;
use super::store_work::{ROWS, model, state, step};

const STEPS: u64 = 12;

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn options() -> Options {
    Options { segment_size: 1024 * 1024, ..Options::default() }
}

fn open(dir: &Path, boot: &str) -> Store {
    Store::open_with(sled_parts(dir, boot), options()).unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
}

async fn steps(store: &Store, steps: std::ops::Range<u64>) {
    for n in steps {
        step(store, n).await.unwrap();
    }
}

fn check(store: &Store, done: u64) {
    assert_eq!(state(store), model(&(0..done).collect::<Vec<_>>()));
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

/// The directory of what changed since the last snapshot.
fn newest_generation(dir: &Path) -> PathBuf {
    let index = dir.join("index");
    let numbers = fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    index.join(numbers.map(|name| name.parse::<u64>().unwrap()).max().unwrap().to_string())
}

/// A store as its process left it when it was killed, some way behind a snapshot; and the index
/// of an older moment.
async fn killed() -> (tempfile::TempDir, tempfile::TempDir) {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let live = tempfile::tempdir().unwrap();
    let store = open(live.path(), "0");
    steps(&store, 0..5).await;
    store.checkpoint().unwrap();
    copy_dir(&newest_generation(live.path()), old.path());
    steps(&store, 5..STEPS).await;
    copy_dir(live.path(), dir.path());
    (dir, old)
}

/// Damages an index, given its directory and one of an older moment.
type Spoil = fn(&Path, &Path);

fn spoil_blocks(index: &Path, mut spoil: impl FnMut(&mut [u8], usize)) {
    let mut bytes = fs::read(index.join("db")).unwrap();
    for (n, block) in bytes.chunks_mut(4096).enumerate() {
        spoil(block, n);
    }
    fs::write(index.join("db"), bytes).unwrap();
}

const SPOILS: [(&str, Spoil); 7] = [
    ("deleted", |index, _| fs::remove_dir_all(index).unwrap()),
    ("emptied", |index, _| {
        fs::remove_dir_all(index).unwrap();
        fs::create_dir(index).unwrap();
    }),
    ("truncated", |index, _| {
        let bytes = fs::read(index.join("db")).unwrap();
        fs::write(index.join("db"), &bytes[..bytes.len() / 3]).unwrap();
    }),
    ("every other block zeroed", |index, _| {
        spoil_blocks(index, |block, n| {
            if n % 2 == 0 {
                block.fill(0);
            }
        });
    }),
    ("every third block of an older moment", |index, old| {
        let old = fs::read(old.join("db")).unwrap();
        spoil_blocks(index, |block, n| match old.get(n * 4096..n * 4096 + block.len()) {
            Some(before) if n % 3 == 0 => block.copy_from_slice(before),
            _ => {}
        });
    }),
    ("all of an older moment", |index, old| {
        fs::remove_dir_all(index).unwrap();
        copy_dir(old, index);
    }),
    ("garbage for a configuration", |index, _| fs::write(index.join("conf"), b"garbage").unwrap()),
];

#[tokio::test]
async fn a_spoiled_index_under_another_boot_is_built_again() {
    let (killed, old) = killed().await;
    for (name, spoil) in SPOILS {
        println!("{name}");
        let dir = tempfile::tempdir().unwrap();
        copy_dir(killed.path(), dir.path());
        spoil(&newest_generation(dir.path()), old.path());
        let store = open(dir.path(), "1");
        check(&store, STEPS);
        steps(&store, STEPS..STEPS + 3).await;
        store.close().await.unwrap();
        check(&open(dir.path(), "2"), STEPS + 3);
    }
}

#[tokio::test]
async fn an_index_that_opens_and_is_silently_wrong_is_found_and_not_trusted_on_another_boot() {
    let (killed, _) = killed().await;
    let index = sled::open(newest_generation(killed.path())).unwrap();
    let rows = index.scan_prefix([0x71]).keys().step_by(2);
    rows.for_each(|key| drop(index.remove(key.unwrap()).unwrap()));
    drop(index);
    let copy = tempfile::tempdir().unwrap();
    copy_dir(killed.path(), copy.path());
    // On the same boot nothing tells, but for those who look.
    assert!(!open(copy.path(), "0").verify().unwrap().is_clean());
    check(&open(killed.path(), "1"), STEPS);
}

#[tokio::test]
async fn after_a_kill_on_the_same_boot_the_index_is_caught_up() {
    let (killed, old) = killed().await;
    check(&open(killed.path(), "0"), STEPS);
    // An index that can't be opened is built again on any boot.
    for name in ["deleted", "emptied", "garbage for a configuration", "all of an older moment"] {
        println!("{name}");
        let (_, spoil) = SPOILS.iter().find(|(other, _)| *other == name).unwrap();
        let (dir, _) = self::killed().await;
        spoil(&newest_generation(dir.path()), old.path());
        check(&open(dir.path(), "0"), STEPS);
    }
}

#[tokio::test]
async fn an_index_that_knows_more_than_the_journal_is_built_again() {
    let (early, late) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(late.path(), "0");
    steps(&store, 0..5).await;
    store.copy_to(early.path()).unwrap();
    steps(&store, 5..STEPS).await;
    store.close().await.unwrap();
    copy_dir(&late.path().join("index"), &early.path().join("index"));
    check(&open(early.path(), "0"), 5);
}

#[tokio::test]
async fn an_interrupted_building_is_done_again() {
    let (dir, _) = killed().await;
    // The marker as it is while the index is built.
    fs::write(dir.path().join("unclean"), "boot 0\nindex building\n").unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    drop(sled::open(dir.path().join("index/1")).unwrap());
    check(&open(dir.path(), "0"), STEPS);
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() {
    let (dir, _) = killed().await;
    let snapshots = dir.path().join("snapshots");
    for entry in fs::read_dir(&snapshots).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    check(&open(dir.path(), "1"), STEPS);
}

#[tokio::test]
async fn a_process_killed_while_a_snapshot_is_written_loses_nothing() {
    let (live, early) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(live.path(), "0");
    steps(&store, 0..5).await;
    // What the killed process wrote of it; the rest was in its memory.
    copy_dir(&newest_generation(live.path()), early.path());
    store.checkpoint().unwrap();
    steps(&store, 5..STEPS).await;
    for written in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(live.path(), dir.path());
        copy_dir(early.path(), &dir.path().join("index/1"));
        if !written {
            fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
        }
        let store = open(dir.path(), "0");
        check(&store, STEPS);
        store.checkpoint().unwrap();
        steps(&store, STEPS..STEPS + 3).await;
        store.close().await.unwrap();
        check(&open(dir.path(), "1"), STEPS + 3);
        fs::write(dir.path().join("unclean"), "boot 1\nindex whole\n").unwrap();
        check(&open(dir.path(), "2"), STEPS + 3);
    }
}

#[tokio::test]
async fn a_snapshot_that_spoils_under_a_running_store_is_replaced() {
    let (dir, _) = killed().await;
    let store = open(dir.path(), "0");
    for entry in fs::read_dir(dir.path().join("snapshots")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let error = store.read(|view| view.range(&ROWS, .., Order::Up, 100)).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    steps(&store, STEPS..STEPS + 1).await;
    check(&store, STEPS + 1);
}

#[tokio::test]
async fn a_copy_opens_and_is_one_state() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path(), "0");
    steps(&store, 0..7).await;
    store.checkpoint().unwrap();
    steps(&store, 7..9).await;
    store.copy_to(copy.path()).unwrap();
    assert!(store.copy_to(copy.path()).is_err(), "it is not empty any more");
    steps(&store, 9..STEPS).await;
    check(&open(copy.path(), "0"), 9);
    check(&store, STEPS);
}

#[tokio::test]
async fn rebuilding_takes_the_journal_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    steps(&store, 0..STEPS).await;
    store.checkpoint().unwrap();
    store.close().await.unwrap();
    let store = Store::rebuild(dir.path(), options()).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 0);
    check(&store, STEPS);
}

#[tokio::test]
async fn two_processes_never_have_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let impatient = Options { lock_wait: Duration::ZERO, ..options() };
    let outcome = Store::open(dir.path(), impatient.clone());
    assert!(matches!(outcome, Err(OpenError::Busy { .. })));
    steps(&store, 0..1).await;
    store.close().await.unwrap();
    check(&Store::open(dir.path(), impatient).unwrap(), 1);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file, options()).err().unwrap();
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}
