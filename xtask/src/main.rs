//! Chores of the repository: what the compiler does not check, and running everything that is checked.
#![forbid(unsafe_code)]

mod clients;
mod instructions;
mod process;
mod rig;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--all]                everything CI runs: tidy, format, lints, documentation, all tests, the official clients,
                              instruction counts (--all: a missing Python, Node, Chromium or valgrind is an error, not a notice)
  tidy                        layers, file sizes, unsafe code, names that do not belong
  clients                     installs the official clients of Python and Node under target/clients
  instructions [--record]     counts the instructions of the hot paths under valgrind and compares them with
                              bench/instructions.txt (--record: writes them there)
  fixture                     writes crates/jetstream/tests/fixtures/unreleased, a small store in the format of this version
  conformance PATH [ARGS]     runs the black-box suites that nats-server must pass too against the nats-server at PATH
  power [--cuts N] [--seconds MAX] [--seed N] [--server PATH]
                              cuts the power under load and compares what is served then with what was acknowledged; needs root
  soak [--minutes N] [--seed N] [--server PATH]
                              mixed load and kill -9 every few seconds, with the same comparison; 30 minutes if nothing is said
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let result = match arguments.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["test"] => test::everything(&root, test::Missing::Notice),
        ["test", "--all"] => test::everything(&root, test::Missing::Error),
        ["clients"] => clients::install(&root, clients::Platform::ALL),
        ["instructions"] => count_instructions(&root, instructions::Mode::Compare),
        ["instructions", "--record"] => count_instructions(&root, instructions::Mode::Record),
        ["fixture"] => write_fixture(&root),
        ["conformance", reference, rest @ ..] => {
            test::conformance(&root, Path::new(reference), rest)
        }
        [command @ ("power" | "soak"), rest @ ..] => rig::run(&root, command, rest),
        ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown command\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A test writes it: it needs what the tests have.
fn write_fixture(root: &Path) -> Result<(), String> {
    const TEST: &str = "fixtures::write_the_fixture_of_this_version";
    let mut command = process::cargo(root);
    command.args(["test", "-q", "-p", "everjet-jetstream", "--test", "faults"]);
    command.args(["--", "--ignored", "--exact", TEST]);
    process::output(&mut command).map(|_| ())
}

fn count_instructions(root: &Path, mode: instructions::Mode) -> Result<(), String> {
    match instructions::count(root, mode)? {
        instructions::Outcome::Done => Ok(()),
        instructions::Outcome::OtherArchitecture(recorded) => {
            println!("NOT RUN: instruction counts; those of {recorded} are recorded");
            Ok(())
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}
