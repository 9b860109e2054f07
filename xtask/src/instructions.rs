//! Instruction counts of the hot paths: fixed work under valgrind, compared with the recorded figures.
//!
//! Times on a shared machine vary by half, instructions by less than a tenth of a per cent. Each case runs twice, the second time
//! with twice the rounds; the difference is free of start and preparation. Valgrind shows the program the same processor on every
//! machine that has AVX2, so the choices made at run time by memchr and the C library are the same too; a figure still belongs to
//! its architecture, compiler and C library, which is why the file names them.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::clients::target;
use crate::process::{cargo, exists, output, run};

/// How much more than recorded is an error, in per cent.
const GROWTH_MAX: f64 = 3.0;
/// Where the figures are, from the root.
const RECORDED: &str = "bench/instructions.txt";
const TOOL: &str = "valgrind";

/// What to do with the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Compare them with the recorded ones.
    Compare,
    /// Record them.
    Record,
}

/// How a run that did not fail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The counts were compared or recorded.
    Done,
    /// The recorded figures are those of another architecture.
    OtherArchitecture(String),
}

/// Whether the tool that counts is here.
pub(crate) fn is_available() -> bool {
    exists(TOOL)
}

/// Counts all cases.
///
/// # Errors
/// Something cannot be built or run, a case is not recorded, or takes over [`GROWTH_MAX`] per cent more than recorded.
pub(crate) fn count(root: &Path, mode: Mode) -> Result<Outcome, String> {
    let file = root.join(RECORDED);
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    let recorded = match mode {
        Mode::Record => Recorded::default(),
        Mode::Compare => Recorded::parse(&fs::read_to_string(&file).map_err(named)?)?,
    };
    let here = environment()?;
    if mode == Mode::Compare && !here.starts_with(recorded.architecture()) {
        return Ok(Outcome::OtherArchitecture(
            recorded.architecture().to_owned(),
        ));
    }
    let program = build(root)?;
    let mut counted = Vec::new();
    for case in cases(&program)? {
        let instructions = case.count(&program)?;
        println!("{:<28} {instructions:>10.1}", case.name);
        counted.push((case.name, instructions));
    }
    let counted = Recorded {
        environment: here,
        figures: counted,
    };
    match mode {
        Mode::Record => fs::write(&file, counted.render()).map_err(named)?,
        Mode::Compare => compare(&recorded, &counted)?,
    }
    Ok(Outcome::Done)
}

/// Work that is counted, as the program lists it.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    name: String,
    rounds: u64,
    operations: u64,
}

impl Case {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let rounds = words.next()?.parse().ok()?;
        let operations = words.next()?.parse().ok()?;
        Some(Self {
            name,
            rounds,
            operations,
        })
    }

    /// Instructions an operation.
    fn count(&self, program: &Path) -> Result<f64, String> {
        let total = |rounds: u64| {
            let mut command = Command::new(TOOL);
            command
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(program)
                .args(["run", &self.name, &rounds.to_string()]);
            let text = output(&mut command)?;
            collected(&text).ok_or_else(|| format!("{TOOL} says no count:\n{text}"))
        };
        let (once, twice) = thread::scope(|scope| {
            let once = scope.spawn(|| total(self.rounds));
            let twice = total(2 * self.rounds);
            (once.join().expect("a count does not panic"), twice)
        });
        let difference = twice?.saturating_sub(once?);
        Ok(difference as f64 / (self.rounds * self.operations) as f64)
    }
}

/// The total in callgrind's output.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected : ")?;
    rest.lines().next()?.trim().parse().ok()
}

fn build(root: &Path) -> Result<PathBuf, String> {
    run(cargo(root).args([
        "build",
        "--release",
        "--quiet",
        "-p",
        "everjet-instructions",
    ]))?;
    Ok(target(root).join("release/everjet-instructions"))
}

fn cases(program: &Path) -> Result<Vec<Case>, String> {
    let list = output(Command::new(program).arg("list"))?;
    let cases = list.lines();
    let cases = cases.map(|line| Case::parse(line).ok_or_else(|| format!("not a case: {line:?}")));
    cases.collect()
}

/// What the figures depend on beside the sources; the architecture comes first.
fn environment() -> Result<String, String> {
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let tool = output(Command::new(TOOL).arg("--version"))?;
    let libc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let libc = libc.unwrap_or_else(|_| "another C library".to_owned());
    let parts = [std::env::consts::ARCH, &rustc, &libc, &tool].map(str::trim);
    Ok(parts.join(", "))
}

/// The recorded figures: name and instructions an operation.
#[derive(Debug, Default, PartialEq)]
struct Recorded {
    environment: String,
    figures: Vec<(String, f64)>,
}

const ENVIRONMENT: &str = "# Counted with: ";

impl Recorded {
    fn parse(text: &str) -> Result<Self, String> {
        let mut recorded = Self::default();
        for line in text.lines() {
            if let Some(environment) = line.strip_prefix(ENVIRONMENT) {
                environment.clone_into(&mut recorded.environment);
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                let figure = line.split_once(' ').and_then(|(name, figure)| {
                    Some((name.to_owned(), figure.trim().parse().ok()?))
                });
                let figure = figure.ok_or_else(|| format!("{RECORDED}: {line:?} is no figure"))?;
                recorded.figures.push(figure);
            }
        }
        Ok(recorded)
    }

    fn render(&self) -> String {
        let mut text = String::from(
            "# Instructions an operation. `cargo xtask instructions` compares with them, `cargo xtask instructions --record`\n\
             # writes them.\n",
        );
        let _ = writeln!(text, "{ENVIRONMENT}{}", self.environment);
        for (name, instructions) in &self.figures {
            let _ = writeln!(text, "{name:<28} {instructions:>10.1}");
        }
        text
    }

    fn architecture(&self) -> &str {
        self.environment.split(',').next().unwrap_or_default()
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let found = self.figures.iter().find(|(own, _)| own == name);
        found.map(|(_, figure)| *figure)
    }
}

/// Says what changed.
///
/// # Errors
/// What must not be: growth, and figures without a counterpart.
fn compare(recorded: &Recorded, counted: &Recorded) -> Result<(), String> {
    let mut problems = Vec::new();
    for (name, now) in &counted.figures {
        let Some(before) = recorded.figure(name) else {
            problems.push(format!("{name} is not recorded"));
            continue;
        };
        let growth = (now / before - 1.0) * 100.0;
        if growth > GROWTH_MAX {
            problems.push(format!("{name}: {before:.1} to {now:.1}, {growth:+.1} %"));
        } else if growth < -GROWTH_MAX {
            println!("{name}: {before:.1} to {now:.1}, {growth:+.1} %; record it to keep it");
        }
    }
    for (name, _) in &recorded.figures {
        if counted.figure(name).is_none() {
            problems.push(format!("{name} is recorded and no longer counted"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    if recorded.environment != counted.environment {
        problems.push(format!(
            "recorded with {}, counted with {}",
            recorded.environment, counted.environment
        ));
    }
    Err(format!(
        "instructions:\n  {}\nif that is meant: cargo xtask instructions --record",
        problems.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(figures: &[(&str, f64)]) -> Recorded {
        let figures = figures.iter();
        Recorded {
            environment: "x86_64, rustc 1".to_owned(),
            figures: figures
                .map(|(name, figure)| ((*name).to_owned(), *figure))
                .collect(),
        }
    }

    #[test]
    fn what_is_recorded_can_be_read_again() {
        let recorded = figures(&[("decode-pub-16", 412.5), ("a", 1.0)]);
        let read = Recorded::parse(&recorded.render());
        assert_eq!(read.as_ref(), Ok(&recorded));
        assert_eq!(recorded.architecture(), "x86_64");
        for broken in ["decode", "decode many"] {
            assert!(Recorded::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn growth_above_three_per_cent_is_an_error() {
        fn check(now: &[(&str, f64)], expected: Option<&str>) {
            let recorded = figures(&[("a", 100.0)]);
            match (compare(&recorded, &figures(now)), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => assert!(error.contains(text), "{error}"),
                (got, _) => panic!("{now:?}: {got:?}"),
            }
        }
        check(&[("a", 102.9)], None);
        check(&[("a", 103.1)], Some("a: 100.0 to 103.1, +3.1 %"));
        check(&[("a", 50.0)], None);
        check(&[("a", 100.0), ("b", 1.0)], Some("b is not recorded"));
        check(&[], Some("a is recorded and no longer counted"));
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let text = "==1== Events    : Ir\n==1== Collected : 66082973\n==1== \n==1== I   refs: 66,082,973\n";
        assert_eq!(collected(text), Some(66_082_973));
        assert_eq!(collected("==1== nothing"), None);
    }

    #[test]
    fn cases_are_listed_with_their_sizes() {
        let case = Case {
            name: "a".to_owned(),
            rounds: 400,
            operations: 64,
        };
        assert_eq!(Case::parse("a 400 64"), Some(case));
        assert_eq!(Case::parse("a 400"), None);
    }
}
