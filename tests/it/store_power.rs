//! What was acknowledged is there after the power failed, at whichever operation; nothing is there
//! by half.

use guichet::store::{OpenError, Store, StoreError};

use super::store_sim::{SimFiles, Unsynced};
use super::store_work::{model, small, state, step};

const STEPS: u64 = 14;

/// Opens, works, checkpoints twice and closes; answers the steps that were acknowledged.
async fn work(files: &SimFiles) -> Vec<u64> {
    let mut done = Vec::new();
    let Ok(store) = Store::open_with(files.parts("first"), small()) else { return done };
    for n in 0..STEPS {
        if step(&store, n).await.is_err() {
            break;
        }
        done.push(n);
        if n % 5 == 4 {
            // Its failure is no reason to stop.
            let _ = store.checkpoint();
        }
    }
    let _ = store.close().await;
    done
}

#[tokio::test]
async fn at_every_operation_of_commits_checkpoints_and_closing() {
    let files = SimFiles::default();
    assert_eq!(work(&files).await.len() as u64, STEPS);
    let operations = files.operations();
    assert!(operations > 60, "only {operations} operations");
    for off in 0..operations {
        let files = SimFiles::default();
        files.power_off_at(off);
        let done = work(&files).await;
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Some(off), Unsynced::Some(off + 1000)] {
            let files = files.restarted(unsynced);
            let store = Store::open_with(files.parts("second"), small())
                .unwrap_or_else(|error| panic!("power off at {off}, {unsynced:?}: {error}"));
            let found = state(&store);
            let mut more = done.clone();
            more.push(done.len() as u64);
            assert!(
                found == model(&done) || found == model(&more),
                "power off at {off}, {unsynced:?}: {done:?} were acknowledged, {found:?} is there"
            );
            // What was shown once stays, also when the power goes before anything else is written.
            let files = files.restarted(Unsynced::Lost);
            let store = Store::open_with(files.parts("third"), small()).unwrap();
            assert_eq!(state(&store), found, "power off at {off}, {unsynced:?}, opened, then again");
            // It goes on from there, through another loss of power.
            let mut all = found.0;
            step(&store, 100).await.unwrap();
            all.push(100);
            assert_eq!(state(&store), model(&all));
            let files = files.restarted(Unsynced::Lost);
            let store = Store::open_with(files.parts("fourth"), small()).unwrap();
            assert_eq!(state(&store), model(&all), "power off at {off}, {unsynced:?}, then once more");
            let report = store.verify().unwrap();
            assert!(report.is_clean(), "{:?}", report.problems);
        }
    }
}

#[tokio::test]
async fn the_marker_is_durable_from_opening_to_closing() {
    let marked = |files: &SimFiles| files.restarted(Unsynced::Lost).dump().contains_key("unclean");
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("first"), small()).unwrap();
    assert!(marked(&files));
    step(&store, 0).await.unwrap();
    assert!(marked(&files));
    store.close().await.unwrap();
    assert!(!marked(&files));
}

/// The files of a few steps in one segment, with where the last step's record starts in it.
async fn one_segment(steps: u64) -> (SimFiles, String, usize) {
    let files = SimFiles::default();
    let store = Store::open_with(files.parts("first"), guichet::store::Options::default()).unwrap();
    let mut before = 0;
    let mut name = String::new();
    for n in 0..steps {
        let segment = files.dump().into_iter().find(|(name, _)| name.starts_with("journal/"));
        before = segment.map_or(0, |(_, bytes)| bytes.len());
        step(&store, n).await.unwrap();
        name = files.dump().into_keys().find(|name| name.starts_with("journal/")).unwrap();
    }
    (files.restarted(Unsynced::Lost), name, before)
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_keeps_all_before_it() {
    let (files, name, before) = one_segment(4).await;
    let whole = files.dump()[&name].clone();
    for cut in before..=whole.len() {
        for zeros in [0, 1000] {
            let files = files.restarted(Unsynced::Lost);
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + zeros, 0);
            files.put(&name, &bytes);
            let store = Store::open_with(files.parts("second"), small()).unwrap();
            let found = state(&store);
            // The last octets are padding, and nothing is lost with them.
            let expected = if found.0.len() == 4 { model(&[0, 1, 2, 3]) } else { model(&[0, 1, 2]) };
            assert_eq!(found, expected, "cut at {cut}");
            assert!(cut + 16 > whole.len() || found.0.len() == 3, "cut at {cut}");
            let mut all = found.0;
            step(&store, 9).await.unwrap();
            all.push(9);
            if cut > before && all.len() == 4 {
                assert!(files.dump()[&name] == bytes, "a torn segment was written again");
            }
            let files = files.restarted(Unsynced::Lost);
            let store = Store::open_with(files.parts("third"), small()).unwrap();
            assert_eq!(state(&store), model(&all), "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_byte_flipped_before_the_tail_stops_the_start() {
    let (files, name, before) = one_segment(4).await;
    let whole = files.dump()[&name].clone();
    let mut refused = 0;
    for at in 0..before {
        let files = files.restarted(Unsynced::Lost);
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        files.put(&name, &bytes);
        match Store::open_with(files.parts("second"), small()) {
            Err(OpenError::Store(error @ StoreError::Damaged { segment, offset })) => {
                refused += 1;
                assert_eq!(segment, 1);
                assert!(offset <= at as u64, "{at}: {error}");
                assert!(error.to_string().contains(&format!("offset {offset}")), "{error}");
            }
            Err(other) => panic!("flipped at {at}: {other}"),
            // Padding says nothing.
            Ok(store) => assert_eq!(state(&store), model(&[0, 1, 2, 3]), "flipped at {at}"),
        }
    }
    assert!(refused * 10 > before * 9, "{refused} of {before}");
}
