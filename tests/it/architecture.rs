//! Who may import whom: the table in `docs/architecture.md` held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn nobody_imports_what_the_table_does_not_allow() {
    let table = table();
    let mut wrong = Vec::new();
    for (module, file) in sources() {
        let allowed = table.get(&module).unwrap_or_else(|| panic!("{module} is missing in docs/architecture.md"));
        let text = fs::read_to_string(&file).unwrap();
        for import in imports(&text) {
            let free = import == module || allowed.contains("all") || allowed.contains(&import);
            // What isn't a module of ours is a macro or an item of lib.rs.
            if table.contains_key(&import) && !free {
                wrong.push(format!("{} imports {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_names_every_module_and_only_these() {
    let modules: BTreeSet<String> = sources().into_iter().map(|(module, _)| module).collect();
    let named: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(modules, named);
}

#[test]
fn nobody_above_the_store_names_an_engine() {
    for (module, file) in sources() {
        if module == "store" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            assert!(!line.contains("sled::"), "{}: {line}", file.display());
        }
    }
}

#[test]
fn imports_are_found_in_every_way_of_writing_them() {
    let text = "use crate::desk::slug;\nuse crate::{mime, store::{Tx, tables}, trust};\n\
                fn f() { crate::relay::go(); }\n// crate::smtp in a comment\nuse crate::{\n    actions::open,\n    \
                intake,\n};\npub(crate) fn g() {}\nuse guichet::cli;\n";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["actions", "cli", "desk", "intake", "mime", "relay", "store", "trust"]);
}

/// Module → what it may import, from the table whose heading is `| module | may import |`.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = text.lines().skip_while(|line| *line != "| module | may import |").skip(2);
    let mut table = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [modules, may] = cells[..] else { panic!("two cells, not {row}") };
        let names = |cell: &str| -> BTreeSet<String> {
            cell.split(',').map(str::trim).filter(|name| *name != "nothing of ours").map(str::to_owned).collect()
        };
        for module in names(modules) {
            table.insert(module, names(may));
        }
    }
    assert!(!table.is_empty(), "docs/architecture.md has no table");
    table
}

/// The top-level modules that a source names by `crate::` or, in the binary, `guichet::`.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for start in ["crate::", "guichet::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(first_names(group)),
                None => found.extend(name(rest)),
            }
        }
    }
    found
}

/// The first name of each path in a group, `{a, b::{c, d}, e::f}` without its opening brace.
fn first_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(name(item.trim_start())),
            _ => {}
        }
        if c == ',' && depth == 0 { item.clear() } else { item.push(c) }
    }
    names.extend(name(item.trim_start()));
    names
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Every source file with its top-level module; `lib.rs` only lists them.
fn sources() -> Vec<(String, PathBuf)> {
    let src = root().join("src");
    let mut folders = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
                let module = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned();
                if module != "lib" {
                    sources.push((module, path));
                }
            }
        }
    }
    sources.sort();
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
