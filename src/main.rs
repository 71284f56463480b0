//! The door: hands the command line what it sets going.

use std::process::ExitCode;

use guichet::cli::{self, Failure, House};

fn main() -> ExitCode {
    let house = House {
        open: |_| Err(Failure::from(anyhow::anyhow!("this part isn't wired yet"))),
        serve: |_| Err(Failure::from(anyhow::anyhow!("this part isn't wired yet"))),
        demo: |_| Err(Failure::from(anyhow::anyhow!("this part isn't wired yet"))),
        rebuild: |_| Err(Failure::from(anyhow::anyhow!("this part isn't wired yet"))),
        restore: |_, _| Err(Failure::from(anyhow::anyhow!("this part isn't wired yet"))),
    };
    cli::run(std::env::args_os(), house)
}
