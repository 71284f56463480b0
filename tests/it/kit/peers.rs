//! Other people's software that the tests hold ours against.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Node, with the packages of `tests/package.json` where its programs find them: in the folder that `tests/run`
/// names in `GUICHET_TEST_NODE`. `None`, with a line that says so, only where `GUICHET_WITHOUT_PEERS=1` asks
/// for it.
///
/// # Panics
/// When neither variable is set.
pub fn node() -> Option<Command> {
    let node = program("node")?;
    assert!(
        std::env::var_os("GUICHET_TEST_NODE").is_some(),
        "GUICHET_TEST_NODE is not set: run tests/run, or name a folder with the packages of tests/package.json; \
         GUICHET_WITHOUT_PEERS=1 leaves this test out"
    );
    Some(Command::new(node))
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

/// A mail client of the tests' own, or the hands of one.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients").join(name)
}

/// Runs a program that must end well; what it wrote.
pub async fn run(mut command: Command) -> String {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    said
}
