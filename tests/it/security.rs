//! `docs/security.md` names only places and tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_place_and_every_test_of_a_defence_is_there() {
    let tests = names_of_tests();
    let mut wrong = Vec::new();
    for row in rows() {
        for place in quoted(&row.places) {
            if !root().join(&place).is_file() {
                wrong.push(format!("{}: there is no {place}", row.attack));
            }
        }
        for test in quoted(&row.tests) {
            let there = if test.contains('/') { root().join(&test).is_file() } else { tests.contains(&test) };
            if !there {
                wrong.push(format!("{}: there is no test {test}", row.attack));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}

struct Row {
    attack: String,
    places: String,
    tests: String,
}

/// The rows of every table of defences.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [attack, _source, defence, places, tests] = cells[..] else { panic!("five cells, not {line}") };
        if attack != "attack" {
            assert!(!defence.is_empty() && !places.is_empty(), "{attack}: which defence, and where?");
            rows.push(Row { attack: attack.into(), places: places.into(), tests: tests.into() });
        }
    }
    assert!(rows.len() > 20, "only {} rows", rows.len());
    rows
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of all functions behind a test attribute.
fn names_of_tests() -> Vec<String> {
    let mut folders = vec![root().join("src"), root().join("tests")];
    let mut names = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                names.extend(tests_in(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    names
}

fn tests_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let line = line.strip_prefix("async ").unwrap_or(line);
        if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
            names.extend(name.split(['(', '<']).next().map(str::to_owned));
            is_test = false;
        }
    }
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
