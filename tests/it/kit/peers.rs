//! Other people's software that the tests hold ours against.

use std::path::PathBuf;

/// A Python with the peers installed, as `tests/run` names it in `GUICHET_TEST_PYTHON`. `None`,
/// with a line that says so, only where `GUICHET_WITHOUT_PEERS=1` asks for it.
///
/// # Panics
/// When neither variable is set.
pub fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("GUICHET_TEST_PYTHON") {
        return Some(python.into());
    }
    if std::env::var_os("GUICHET_WITHOUT_PEERS").is_some_and(|value| value == "1") {
        println!("left out: GUICHET_WITHOUT_PEERS=1, so no Python with dkimpy");
        return None;
    }
    panic!(
        "GUICHET_TEST_PYTHON is not set: run tests/run, or name a Python with dkimpy and pynacl; \
         GUICHET_WITHOUT_PEERS=1 leaves this test out"
    );
}

/// A program of that name on the `PATH`. `None`, with a line that says so, only where
/// `GUICHET_WITHOUT_PEERS=1` asks for it.
///
/// # Panics
/// When it is not installed.
pub fn program(name: &str) -> Option<PathBuf> {
    if std::env::var_os("GUICHET_WITHOUT_PEERS").is_some_and(|value| value == "1") {
        println!("left out: GUICHET_WITHOUT_PEERS=1, so no {name}");
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file());
    Some(found.unwrap_or_else(|| {
        panic!("{name} is not installed: run tests/run, which does that; GUICHET_WITHOUT_PEERS=1 leaves this test out")
    }))
}
