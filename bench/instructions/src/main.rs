//! Fixed work for counting instructions: `cargo xtask instructions` runs it under valgrind, which shows a change of one per cent on
//! a machine where times vary by half.
//!
//! `everjet-instructions list` prints name, rounds and operations a round of each case; `everjet-instructions run NAME ROUNDS`
//! prepares a case and runs it that often. The difference between two numbers of rounds is free of the preparation.
#![forbid(unsafe_code)]

mod decode;
mod matching;
mod render;
mod sink;
mod store;

use std::process::ExitCode;

/// Work that is counted.
struct Case {
    name: &'static str,
    /// Rounds that suffice: a few million instructions.
    rounds: u64,
    /// Operations in a round.
    operations: u64,
    prepare: fn() -> Box<dyn FnMut()>,
}

fn cases() -> impl Iterator<Item = &'static Case> {
    let decode = decode::CASES.iter();
    let routing = decode.chain(&matching::CASES).chain(&render::CASES);
    routing.chain(&store::CASES)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for case in cases() {
                println!("{} {} {}", case.name, case.rounds, case.operations);
            }
            ExitCode::SUCCESS
        }
        ["run", name, rounds] => {
            let case = cases().find(|case| case.name == *name);
            match (case, rounds.parse()) {
                (Some(case), Ok(rounds)) => {
                    run(case, rounds);
                    ExitCode::SUCCESS
                }
                _ => usage(),
            }
        }
        _ => usage(),
    }
}

fn run(case: &Case, rounds: u64) {
    let mut round = (case.prepare)();
    for _ in 0..rounds {
        round();
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: everjet-instructions list | run NAME ROUNDS");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_runs() {
        let mut names = HashSet::new();
        for case in cases() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            run(case, 2);
        }
    }
}
