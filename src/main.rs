//! The door: hands the command line what it sets going.

use std::process::ExitCode;

use guichet::cli::{self, House};
use guichet::daemon;

/// Gives back what a table snapshot took for a moment, which glibc's keeps for good.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let house = House {
        open: daemon::here::inside,
        serve: daemon::serve,
        demo: daemon::demo::demo,
        rebuild: daemon::here::rebuild,
        restore: daemon::here::restore,
    };
    cli::run(std::env::args_os(), house)
}
