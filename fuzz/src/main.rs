//! All targets in one binary for libFuzzer, so that one link serves all. `fuzz/run` drives it.
//!
//! `GUICHET_FUZZ_TARGET` names the target; `GUICHET_FUZZ_SEEDS` a folder into which what it begins
//! with is written first.

#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::OnceLock;

use guichet_fuzz::{TARGETS, Target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn begin() {
    let name = std::env::var("GUICHET_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("GUICHET_FUZZ_TARGET must be one of: {}", names.join(" "));
        std::process::exit(2);
    };
    TARGET.get_or_init(|| target);
    if let Some(folder) = std::env::var_os("GUICHET_FUZZ_SEEDS") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("fuzz/ is in the repository");
        for (number, seed) in (target.seeds)(root).iter().enumerate() {
            std::fs::write(Path::new(&folder).join(format!("{number:04}")), seed).expect("the folder can be written");
        }
    }
    // libFuzzer's hook ends the process at every panic. Those that the code under test catches,
    // in libraries that it trusts no further, are no findings.
    drop(take_hook());
    set_hook(Box::new(|panic| eprintln!("{panic}")));
}

libfuzzer_sys::fuzz_target!(init: begin(), |data: &[u8]| {
    let target = TARGET.get().expect("it was set at the start");
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        std::process::abort();
    }
});
