//! The door: hands the command line what it sets going.

use std::process::ExitCode;

use guichet::cli::{self, Failure, House};

fn main() -> ExitCode {
    let house = House {
        open: |_| Err(Failure::from(anyhow::anyhow!("not in this build"))),
        serve: |_| Err(Failure::from(anyhow::anyhow!("not in this build"))),
        demo: |_| Err(Failure::from(anyhow::anyhow!("not in this build"))),
        rebuild: |_| Err(Failure::from(anyhow::anyhow!("not in this build"))),
        restore: |_, _| Err(Failure::from(anyhow::anyhow!("not in this build"))),
    };
    cli::run(std::env::args_os(), house)
}
