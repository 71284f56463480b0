//! A wrong config is told in one line for each thing that is wrong, with its place, and exit 78.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Each folder of `fixtures/config` holds a `guichet.toml` and what `check` says of it.
#[test]
fn wrong_configs_are_told_line_by_line() {
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    for case in cases {
        let expected = fs::read_to_string(case.join("expected")).unwrap();
        for command in ["check", "serve"] {
            let output = guichet(&case, &[command, "--config", "guichet.toml"]);
            let name = case.display();
            assert_eq!(String::from_utf8_lossy(&output.stderr), expected, "{name}, {command}");
            assert_eq!(output.status.code(), Some(78), "{name}, {command}");
            assert!(output.stdout.is_empty(), "{name}, {command}");
        }
    }
}

/// Under `--json` the same lines come in the shape of the API's errors.
#[test]
fn wrong_configs_are_told_in_json() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/several-at-once");
    let output = guichet(&case, &["ticket", "list", "--config", "guichet.toml", "--json"]);
    assert_eq!(output.status.code(), Some(78));
    let body: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(body["error"]["code"], "bad-config");
    let expected = fs::read_to_string(case.join("expected")).unwrap();
    assert_eq!(body["error"]["message"].as_str(), Some(expected.trim_end()));
}

#[test]
fn no_password_is_ever_repeated() {
    for case in cases() {
        let expected = fs::read_to_string(case.join("expected")).unwrap();
        assert!(!expected.contains("hunter2"), "{}", case.display());
    }
}

#[test]
fn check_names_what_the_machine_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \"data\"\npostmaster = \"acme\"\n\
         [smtp]\nlisten = [\"{}\"]\n[submission]\nlisten_tls = []\nlisten = []\n[imap]\nlisten_tls = []\n\
         [relay]\nmode = \"capture\"\n",
        taken.local_addr().unwrap()
    );
    fs::write(folder.path().join("guichet.toml"), text).unwrap();
    let output = guichet(folder.path(), &["check", "--config", "guichet.toml"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[0].starts_with("warning: guichet.toml:13: relay.mode: \"capture\" is for trying out"), "{told}");
    assert!(lines[1].starts_with("guichet.toml:3: data_dir: data does not exist"), "{told}");
    assert!(lines[2].starts_with("guichet.toml:6: smtp.listen: 127.0.0.1:"), "{told}");
    assert_eq!(output.status.code(), Some(78));

    drop(taken);
    fs::create_dir(folder.path().join("data")).unwrap();
    let output = guichet(folder.path(), &["check", "--config", "guichet.toml"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "guichet.toml: all is well.\n");
    assert!(output.status.success());
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn guichet(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guichet")).args(args).current_dir(folder).output().unwrap()
}
