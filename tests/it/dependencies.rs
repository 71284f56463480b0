//! Every dependency stands in `docs/dependencies.md`, with what it is for and what would do instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_table_has_the_direct_dependencies_and_only_these() {
    assert_eq!(names_in_manifest(), rows().into_iter().map(|row| row.name).collect());
}

#[test]
fn each_row_says_what_for_what_instead_and_under_which_licence() {
    for row in rows() {
        for (cell, what) in [(&row.purpose, "what for"), (&row.instead, "without it"), (&row.licence, "licence")] {
            assert!(!cell.is_empty(), "{}: {what} is empty", row.name);
        }
    }
}

struct Row {
    name: String,
    purpose: String,
    instead: String,
    licence: String,
}

/// The table whose heading begins with `| crate |`.
fn rows() -> Vec<Row> {
    let text = read("docs/dependencies.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, purpose, instead, licence] = cells[..] else { panic!("four cells, not {line}") };
        Row { name: name.into(), purpose: purpose.into(), instead: instead.into(), licence: licence.into() }
    };
    let rows: Vec<Row> = table.take_while(|line| line.starts_with('|')).map(row).collect();
    assert!(rows.is_sorted_by(|one, next| one.name < next.name), "the rows are not in order, or one is there twice");
    rows
}

/// The keys of `[dependencies]`; each is on a line of its own.
fn names_in_manifest() -> BTreeSet<String> {
    let text = read("Cargo.toml");
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim().to_owned()))
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}
