//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::rows::{self, Row};

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: everjet-bench compare --ours PATH --reference PATH [options]
       everjet-bench rows

  --ours PATH        the server executable to measure
  --reference PATH   the server executable to measure it against
  --rows A,B,...     only these rows (default: all; `rows` lists them)
  --pairs N          pairs of runs a row (default 5, at most 100)
  --seconds S        length of a run, 0.2 to 30 (default 2.5)

Store directories are made under TMPDIR: it should be on the disk that matters, not in memory.
";

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Invocation {
    Help,
    Rows,
    Compare(Options),
}

/// A comparison to run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) ours: PathBuf,
    pub(crate) reference: PathBuf,
    pub(crate) rows: Vec<&'static Row>,
    pub(crate) pairs: usize,
    pub(crate) length: Duration,
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Invocation, String> {
    match arguments.next().as_deref() {
        Some("compare") => {}
        Some("rows") => return Ok(Invocation::Rows),
        Some("-h" | "--help" | "help") => return Ok(Invocation::Help),
        other => return Err(format!("unknown command {:?}", other.unwrap_or_default())),
    }
    let (mut ours, mut reference) = (None, None);
    let mut selected: Vec<&'static Row> = rows::ALL.iter().collect();
    let mut pairs = 5;
    let mut length = Duration::from_millis(2_500);
    while let Some(name) = arguments.next() {
        if name == "-h" || name == "--help" {
            return Ok(Invocation::Help);
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--ours" => ours = Some(PathBuf::from(value)),
            "--reference" => reference = Some(PathBuf::from(value)),
            "--rows" => selected = value.split(',').map(row).collect::<Result<_, _>>()?,
            "--pairs" => pairs = number(&name, &value, 1.0, 100.0)? as usize,
            "--seconds" => length = Duration::from_secs_f64(number(&name, &value, 0.2, 30.0)?),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(Invocation::Compare(Options {
        ours: ours.ok_or("--ours is missing")?,
        reference: reference.ok_or("--reference is missing")?,
        rows: selected,
        pairs,
        length,
    }))
}

fn row(name: &str) -> Result<&'static Row, String> {
    let found = rows::ALL.iter().find(|row| row.name == name);
    found.ok_or_else(|| format!("no row {name:?}; `everjet-bench rows` lists them"))
}

fn number(name: &str, value: &str, min: f64, max: f64) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!(
            "{name} wants a number from {min} to {max}, not {value:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<(usize, usize), &str>) {
        let got = parse(line.split_whitespace().map(str::to_owned));
        match (got, expected) {
            (Ok(Invocation::Compare(options)), Ok((rows, pairs))) => {
                assert_eq!((options.rows.len(), options.pairs), (rows, pairs), "{line}");
            }
            (Err(error), Err(text)) => assert!(error.contains(text), "{line}: {error}"),
            (got, _) => panic!("{line}: {got:?}"),
        }
    }

    #[test]
    fn the_command_line_is_checked() {
        check("compare --ours a --reference b", Ok((rows::ALL.len(), 5)));
        check(
            "compare --ours a --reference b --rows core-1to1,js-sync-lazy --pairs 3",
            Ok((2, 3)),
        );
        check("compare --ours a", Err("--reference is missing"));
        check(
            "compare --ours a --reference b --rows nope",
            Err("no row \"nope\""),
        );
        check(
            "compare --ours a --reference b --pairs 0",
            Err("--pairs wants a number"),
        );
        check("compare --ours", Err("--ours needs a value"));
        check("compare --wat 1", Err("unknown option --wat"));
        check("", Err("unknown command"));
    }
}
