//! Power cuts under load, and a soak with kills: programs for any server executable, too long or too privileged for a test.
//!
//! `cargo xtask power` and `cargo xtask soak` build and start it. What it runs and what it compares is `everjet_conformance::endurance`.
//! The one unsafe block of the test code is in [`volume`]: the request that shuts a file system down.

mod arguments;
mod power;
mod soak;
mod volume;

use std::process::ExitCode;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let result =
        Arguments::parse(std::env::args().skip(1)).and_then(|arguments| match arguments.command {
            Command::Power => power::run(&arguments),
            Command::Soak => soak::run(&arguments),
            Command::Possible => power::possible(),
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everjet-rig: {error}");
            ExitCode::FAILURE
        }
    }
}
