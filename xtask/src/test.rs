//! Everything CI runs, in one go.

use std::path::Path;

use crate::clients::{self, Platform};
use crate::instructions;
use crate::process::{cargo, exists, run, run_watched};
use crate::tidy;

/// What a missing Python, Node, Chromium or valgrind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Said at the end; what needs it is left out.
    Notice,
    /// A failure.
    Error,
}

/// The suites of conformance/ that nats-server must pass as well.
const SHARED_SUITES: [&str; 4] = ["protocol", "jetstream", "clients", "browser"];

/// Runs all checks and tests; the last lines say how many tests ran and what was left out.
///
/// # Errors
/// The first step that fails, except that tests run to their end.
pub(crate) fn everything(root: &Path, missing: Missing) -> Result<(), String> {
    tidy::run(root)?;
    run(cargo(root).args(["fmt", "--all", "--check"]))?;
    run(cargo(root).args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    let documentation = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--quiet",
    ];
    run(cargo(root)
        .args(documentation)
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    clients::provide_browser();
    let (present, absent): (Vec<_>, Vec<_>) = Platform::ALL
        .iter()
        .copied()
        .partition(|platform| platform.is_available());
    if missing == Missing::Error && !absent.is_empty() {
        return Err(format!(
            "not installed: {absent:?}; the runs of the official clients need them"
        ));
    }
    if missing == Missing::Error && !instructions::is_available() {
        return Err("not installed: valgrind; the instruction counts need it".to_owned());
    }
    clients::install(root, &present)?;
    // The black-box suites run the binaries, which `cargo test` alone does not promise to build.
    run(cargo(root).args([
        "build",
        "--quiet",
        "-p",
        "everjet-server",
        "-p",
        "everjet-cli",
    ]))?;
    let mut counted = Counts::default();
    let tests = run_tests(root, &absent, &mut counted);
    let documented = run_watched(
        cargo(root).args(["test", "--doc", "--workspace", "--quiet"]),
        |line| counted.read(line),
    );
    let instructions = count_instructions(root);
    println!("\n{counted}");
    for platform in absent {
        println!("NOT RUN: the client on {platform:?}; install {platform:?} and run this again");
    }
    if let Ok(Some(reason)) = &instructions {
        println!("NOT RUN: instruction counts; {reason}");
    }
    tests.and(documented).and(instructions.map(drop))
}

/// Compares the instruction counts with the recorded ones; the reason if that is not possible here.
fn count_instructions(root: &Path) -> Result<Option<String>, String> {
    if !instructions::is_available() {
        return Ok(Some("install valgrind and run this again".to_owned()));
    }
    Ok(
        match instructions::count(root, instructions::Mode::Compare)? {
            instructions::Outcome::Done => None,
            instructions::Outcome::OtherArchitecture(recorded) => {
                Some(format!("those of {recorded} are recorded"))
            }
        },
    )
}

/// Runs the suites that count only if nats-server passes them against the nats-server at `reference`.
///
/// # Errors
/// The executable is not there, or a test fails.
pub(crate) fn conformance(root: &Path, reference: &Path, rest: &[&str]) -> Result<(), String> {
    let reference = match reference.canonicalize() {
        Ok(path) => path,
        Err(error) => return Err(format!("{}: {error}", reference.display())),
    };
    let mut command = cargo(root);
    command.args(["test", "-p", "everjet-conformance", "--no-fail-fast"]);
    for suite in SHARED_SUITES {
        command.args(["--test", suite]);
    }
    command.args(rest);
    run(command
        .env("EVERJET_SERVER_BIN", reference)
        .env("EVERJET_REFERENCE", "1"))
}

fn run_tests(root: &Path, absent: &[Platform], counted: &mut Counts) -> Result<(), String> {
    let mut command = cargo(root);
    if exists("cargo-nextest") {
        command.args([
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--status-level",
            "fail",
        ]);
        if !absent.is_empty() {
            let prefixes: Vec<String> = absent
                .iter()
                .map(|platform| format!("test(/^{}_/)", platform.test_prefix()))
                .collect();
            command
                .arg("-E")
                .arg(format!("not ({})", prefixes.join(" | ")));
        }
    } else {
        command.args([
            "test",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
            "--quiet",
            "--",
        ]);
        for platform in absent {
            command
                .arg("--skip")
                .arg(format!("{}_", platform.test_prefix()));
        }
    }
    run_watched(&mut command, |line| counted.read(line))
}

/// Tests counted from the output of the runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Takes a summary line of `cargo nextest` or `cargo test`; any other line is passed over.
    fn read(&mut self, line: &str) {
        let Some((_, summary)) = line
            .split_once("Summary [")
            .or_else(|| line.split_once("test result:"))
        else {
            return;
        };
        let words: Vec<&str> = summary
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "timed" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "tests: {} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_counted() {
        fn check(line: &str, passed: u64, failed: u64, skipped: u64) {
            let mut counts = Counts::default();
            counts.read(line);
            assert_eq!(
                counts,
                Counts {
                    passed,
                    failed,
                    skipped
                },
                "{line}"
            );
        }
        check(
            "     Summary [  61.1s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped",
            10,
            2,
            3,
        );
        check(
            "     Summary [   1.3s] 5 tests run: 4 passed, 1 timed out, 0 skipped",
            4,
            1,
            0,
        );
        check(
            "test result: ok. 79 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.39s",
            79,
            0,
            1,
        );
        check("test protocol::foo ... ok", 0, 0, 0);
    }
}
