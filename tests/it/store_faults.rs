//! A disk that is full or fails: a temporary error, nothing by half, nothing refused that comes
//! back, and on it goes once there is room.

use std::future::Future as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use guichet::desk::id::RawId;
use guichet::store::{Engine, Index, IndexError, MemoryIndex, Options, Order, Parts, Position};
use guichet::store::{Span, Store, StoreError, Syncer, Write};

use super::store_sim::{Fault, SimFiles, Unsynced};
use super::store_work::{LARGE, model, small, state, step};

const STEPS: u64 = 12;

/// Does the steps and answers which were acknowledged.
async fn work(store: &Store) -> Vec<u64> {
    let mut done = Vec::new();
    for n in 0..STEPS {
        match step(store, n).await {
            Ok(()) => done.push(n),
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        if n % 5 == 4 {
            let _ = store.checkpoint();
        }
    }
    done
}

#[tokio::test]
async fn at_every_operation() {
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("first"), small()).unwrap();
    let first = files.operations();
    assert_eq!(work(&store).await.len() as u64, STEPS);
    let operations = files.operations();
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        for from in first..operations {
            for length in [1, 2, 3, 7] {
                let fault = Fault { from, until: from + length, kind };
                let files = SimFiles::default();
                let store = Store::open_with(files.parts("first"), small()).unwrap();
                files.fail(Some(fault));
                let mut done = work(&store).await;
                files.fail(None);
                assert_eq!(state(&store), model(&done), "{fault:?}");
                step(&store, 100).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                done.push(100);
                for unsynced in [Unsynced::Kept, Unsynced::Lost, Unsynced::Some(from)] {
                    let files = files.restarted(unsynced);
                    let store = Store::open_with(files.parts("second"), small())
                        .unwrap_or_else(|error| panic!("{fault:?}, {unsynced:?}: {error}"));
                    assert_eq!(state(&store), model(&done), "{fault:?}, {unsynced:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_refused_on_a_full_disk_does_not_come_back_after_a_kill() {
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("first"), small()).unwrap();
    let first = files.operations();
    work(&store).await;
    for from in first..files.operations() {
        // Two operations fail: a sync, say, and the making of the next segment. Then it is killed.
        let fault = Fault { from, until: from + 2, kind: ErrorKind::StorageFull };
        let files = SimFiles::default();
        let store = Store::open_with(files.parts("first"), small()).unwrap();
        files.fail(Some(fault));
        let mut done = Vec::new();
        for n in 0..STEPS {
            if step(&store, n).await.is_err() {
                break;
            }
            done.push(n);
        }
        let store = Store::open_with(files.restarted(Unsynced::Kept).parts("first"), small()).unwrap();
        assert_eq!(state(&store), model(&done), "{fault:?}");
    }
}

#[tokio::test]
async fn a_message_whose_first_part_was_lost_to_another_failure_is_refused() {
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("first"), Options::default()).unwrap();
    step(&store, 0).await.unwrap();
    let before = files.operations();
    // Asked once, it hands in its first part and waits, since that can't be written yet.
    let mut large = Box::pin(step(&store, LARGE));
    let polled = files.standing_still(|| large.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    assert!(polled.is_pending());
    while files.operations() == before {
        std::thread::yield_now();
    }
    // Another one's failure takes the segment with it, and that part.
    let now = files.operations();
    files.fail(Some(Fault { from: now, until: now + 1, kind: ErrorKind::StorageFull }));
    step(&store, 1).await.unwrap_err();
    files.fail(None);
    let error = large.await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    step(&store, LARGE).await.unwrap();
    let store = Store::open_with(files.restarted(Unsynced::Lost).parts("second"), small()).unwrap();
    assert_eq!(state(&store), model(&[0, LARGE]));
}

/// An engine whose index fails once, at a given write.
struct Failing(Arc<AtomicU32>);

struct FailingIndex {
    inner: MemoryIndex,
    left: Arc<AtomicU32>,
}

impl Engine for Failing {
    fn generations(&self) -> std::io::Result<Vec<u64>> {
        Ok(Vec::new())
    }

    fn open(&self, _: u64) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(FailingIndex { inner: MemoryIndex::default(), left: Arc::clone(&self.0) }))
    }

    fn delete(&self, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn delete_all(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Index for FailingIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.get(key)
    }

    fn range(&self, span: &Span, order: Order, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), IndexError> {
        self.inner.range(span, order, visit)
    }

    fn apply(&mut self, mut writes: Vec<Write>, position: Position) -> Result<(), IndexError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            writes.truncate(1);
            self.inner.apply(writes, position)?;
            return Err(IndexError("as the test wants it".into()));
        }
        self.inner.apply(writes, position)
    }

    fn sync(&self) -> Syncer {
        self.inner.sync()
    }

    fn position(&self) -> Position {
        self.inner.position()
    }
}

#[tokio::test]
async fn a_failing_index_is_built_again_and_nothing_is_lost() {
    let files = SimFiles::default();
    let engine = Box::new(Failing(Arc::new(AtomicU32::new(6))));
    let store = Store::open_with(Parts { engine, ..files.parts("first") }, small()).unwrap();
    for n in 0..5 {
        step(&store, n).await.unwrap();
    }
    let reading = store.raw(RawId(1)).unwrap_err();
    assert!(matches!(reading, StoreError::Index(_)) && reading.is_temporary());
    step(&store, 5).await.unwrap();
    assert_eq!(state(&store), model(&[0, 1, 2, 3, 4, 5]));
    assert!(store.verify().unwrap().is_clean());
    store.close().await.unwrap();
}

#[tokio::test]
async fn who_only_reads_has_a_failing_index_built_again_too() {
    let files = SimFiles::default();
    let engine = Box::new(Failing(Arc::new(AtomicU32::new(6))));
    let store = Store::open_with(Parts { engine, ..files.parts("first") }, small()).unwrap();
    for n in 0..5 {
        step(&store, n).await.unwrap();
    }
    store.raw(RawId(1)).unwrap_err();
    while store.raw(RawId(1)).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(state(&store), model(&[0, 1, 2, 3, 4]));
}

#[tokio::test]
async fn too_little_room_refuses_before_anything_is_written() {
    let files = SimFiles::default();
    let options = Options { keep_free: u64::MAX, ..small() };
    // The simulated disk says that it has less than that.
    let store = Store::open_with(files.parts("first"), options).unwrap();
    files.say_free(1000);
    let before = files.operations();
    assert!(matches!(step(&store, 0).await, Err(StoreError::Full)));
    assert_eq!(files.operations(), before);
    files.say_free(u64::MAX);
    step(&store, 1).await.unwrap();
    assert_eq!(state(&store), model(&[1]));
}
