//! Every RFC that a source cites stands in the table of `docs/rfcs.md`, with what is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

#[test]
fn every_cited_rfc_is_in_the_table() {
    let table = table();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("config")];
    let mut missing = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for number in cited(&fs::read_to_string(&path).unwrap()) {
                if !table.contains_key(&number) {
                    missing.insert(format!("RFC {number}, cited in {}", path.display()));
                }
            }
        }
    }
    let list: Vec<String> = missing.into_iter().collect();
    assert!(list.is_empty(), "missing in docs/rfcs.md:\n{}", list.join("\n"));
}

#[test]
fn the_table_is_in_order_and_says_how_far_each_is_followed() {
    let table = table();
    assert!(table.len() >= 20, "only {} rows", table.len());
    for (number, row) in &table {
        assert!(["Yes", "Partial", "No"].contains(&row.status.as_str()), "RFC {number}: {}", row.status);
        assert!(!row.title.is_empty(), "RFC {number}");
        assert!(row.status != "Partial" || !row.left_out.is_empty(), "RFC {number}: what is left out?");
    }
}

#[test]
fn citations_are_found_as_they_are_written() {
    let text = "RFC 5321 §4.1, RFC 6376; RFC\n7489, RFC2033, an RFC, RFCs 8314 and 8461";
    assert_eq!(cited(text).into_iter().collect::<Vec<_>>(), [2033, 5321, 6376, 7489, 8314]);
}

struct Row {
    title: String,
    status: String,
    left_out: String,
}

fn table() -> BTreeMap<u32, Row> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rfcs.md")).unwrap();
    let mut table = BTreeMap::new();
    let mut last = 0;
    for row in text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, title, status, left_out] = cells[..] else { panic!("four cells, not {row}") };
        let number: u32 = number.parse().unwrap_or_else(|_| panic!("a number first, not {row}"));
        assert!(number > last, "RFC {number} stands after {last}");
        last = number;
        table.insert(number, Row { title: title.into(), status: status.into(), left_out: left_out.into() });
    }
    table
}

/// The numbers after each `RFC` or `RFCs`.
fn cited(text: &str) -> BTreeSet<u32> {
    let after = |(at, _): (usize, &str)| {
        let rest = &text[at + 3..];
        let rest = rest.strip_prefix('s').unwrap_or(rest).trim_start_matches([' ', '\n', '/', '!']);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    text.match_indices("RFC").filter_map(after).collect()
}
