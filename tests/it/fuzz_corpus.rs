//! What the fuzz targets hold, held at every change: each target over all that it begins with, over
//! every input that was ever found to break it, and over a number of mutations of both, the same at
//! every run. `fuzz/README.md` tells how to look for more.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::kit::load::Dice;

#[path = "../../fuzz/src/lib.rs"]
pub mod targets;

use targets::{TARGETS, Target};

/// How many mutations a target runs, and of how many octets in all: enough to shake it, few enough
/// for a build without optimisation.
const MUTATIONS: usize = 3_000;
const OCTETS: usize = 4_000_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in a target's folder, by name; none where it has no such folder.
fn files(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz").join(kind).join(target);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// All that a target begins with, each with its name.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut inputs = [files("corpus", target.name), files("regressions", target.name)].concat();
    let seeds = (target.seeds)(root()).into_iter().enumerate();
    inputs.extend(seeds.map(|(at, seed)| (format!("seed {at}"), seed)));
    assert!(!inputs.is_empty(), "{} begins with nothing", target.name);
    inputs
}

/// Runs a target; where it breaks, what to feed it again is in the message.
fn hold(target: &Target, name: &str, input: &[u8]) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    assert!(held, "{} breaks over {name}: {}", target.name, input.escape_ascii());
}

fn hold_everything(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let inputs = inputs(target);
    for (name, input) in &inputs {
        hold(target, name, input);
    }
    let mut dice = Dice::new(1);
    let mut octets = 0;
    for round in 0..MUTATIONS {
        let (name, input) = &inputs[dice.roll(inputs.len())];
        let mut input = input.clone();
        for _ in 0..=dice.roll(4) {
            mutate(&mut input, &inputs[dice.roll(inputs.len())].1, &mut dice);
        }
        octets += input.len();
        if octets > OCTETS {
            break;
        }
        hold(target, &format!("mutation {round} of {name}"), &input);
    }
}

/// Does one harm to an input, perhaps with a piece of another.
fn mutate(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    const SPECIAL: &[u8] = b"\r\n\0\"<>()@:;,.=-#&\xc3\x80 ";
    let at = dice.roll(input.len() + 1);
    let end = (at + 1 + dice.roll(60)).min(input.len());
    match dice.roll(7) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        3 => input.insert(at, SPECIAL[dice.roll(SPECIAL.len())]),
        4 => {
            let from = dice.roll(other.len() + 1);
            input.splice(at..end, other[from..(from + 100).min(other.len())].iter().copied());
        }
        5 => {
            if let Some(octet) = input.get_mut(at) {
                *octet = u8::try_from(dice.roll(256)).unwrap();
            }
        }
        _ => {
            if let Some(octet) = input.get_mut(at) {
                *octet ^= 0x20;
            }
        }
    }
}

/// A test for each target, so that they run side by side, and one that none is forgotten.
macro_rules! every_target {
    ($($test:ident $name:literal),+ $(,)?) => {
        $(#[test] fn $test() { hold_everything($name); })+

        #[test]
        fn every_target_is_run_and_every_folder_is_a_targets() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),+]);
            let known: BTreeSet<_> = names.into_iter().map(str::to_owned).collect();
            for kind in ["corpus", "regressions"] {
                for entry in fs::read_dir(root().join("fuzz").join(kind)).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    assert!(known.contains(&name), "fuzz/{kind}/{name} is no target's");
                }
            }
        }
    };
}

every_target! {
    dialogues_hold_however_they_are_split "session",
    messages_end_where_they_end "content",
    addresses_hold "address",
    recipients_are_who_they_are "recipient",
    lists_of_mailboxes_hold "mailboxes",
    encoded_words_hold "words",
    messages_are_understood "message",
    no_word_of_a_text_is_lost "reply-text",
    reports_hold "report",
    commands_are_told_from_text "command-lines",
    commands_go_to_nobody "commands",
    copies_are_sound "copy",
    what_imap_says_of_a_message_holds "shape",
    threads_hold "threads",
    replies_of_the_next_server_hold "next-server",
    imap_commands_hold "imap",
    what_clients_are_told_holds "clients",
    policies_and_reports_hold "tls",
    records_hold "records",
    configs_hold "config",
}
