//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::rows::{self, Group, Row};

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
usage: everjet-bench compare --ours PATH --reference PATH [options]
       everjet-bench rows

  --ours PATH        the server executable to measure
  --reference PATH   the server executable to measure it against
  --group NAME       core, jetstream, store or all (default: all)
  --rows A,B,...     only these rows (`rows` lists them)
  --pairs N          pairs of runs a row, at most 100 (default: as `rows` says)
  --seconds S        length of a run, 0.2 to 30 (default: as `rows` says)
  --scale F          share of the messages, keys and streams of the store rows, 0.001 to 1 (default: 1)
  --write PAGE       puts the table of each group into this Markdown file, between its two marker lines; not with --rows

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
    /// The page that gets the tables.
    pub(crate) write: Option<PathBuf>,
    /// Share of the messages, keys and streams of a row with a prepared store.
    pub(crate) scale: f64,
    pairs: Option<usize>,
    length: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ours: PathBuf::new(),
            reference: PathBuf::new(),
            rows: Vec::new(),
            write: None,
            scale: 1.0,
            pairs: None,
            length: None,
        }
    }
}

impl Options {
    /// How many pairs of runs a row gets.
    pub(crate) fn pairs(&self, row: &Row) -> usize {
        self.pairs.unwrap_or(row.pairs)
    }

    /// How long a run of the row is.
    pub(crate) fn length(&self, row: &Row) -> Duration {
        self.length
            .unwrap_or_else(|| Duration::from_secs_f64(row.seconds))
    }

    /// The groups that have a row here.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Group> {
        let has = |group| self.rows.iter().any(|row| row.group == group);
        Group::ALL.into_iter().filter(move |group| has(*group))
    }
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Invocation, String> {
    match arguments.next().as_deref() {
        Some("compare") => {}
        Some("rows") => return Ok(Invocation::Rows),
        Some("-h" | "--help" | "help") => return Ok(Invocation::Help),
        other => return Err(format!("unknown command {:?}", other.unwrap_or_default())),
    }
    let (mut ours, mut reference, mut rows, mut groups) = (None, None, None, None);
    let mut options = Options::default();
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
            "--group" => groups = Some(group(&value)?),
            "--rows" => rows = Some(value.split(',').map(row).collect::<Result<_, _>>()?),
            "--pairs" => options.pairs = Some(number(&name, &value, 1.0, 100.0)? as usize),
            "--seconds" => {
                options.length = Some(Duration::from_secs_f64(number(&name, &value, 0.2, 30.0)?));
            }
            "--scale" => options.scale = number(&name, &value, 0.001, 1.0)?,
            "--write" => options.write = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    options.ours = ours.ok_or("--ours is missing")?;
    options.reference = reference.ok_or("--reference is missing")?;
    options.rows = match (rows, groups) {
        (Some(_), Some(_)) => return Err("--rows and --group exclude each other".to_owned()),
        (Some(_), None) if options.write.is_some() => {
            return Err("--write wants whole groups, not --rows".to_owned());
        }
        (Some(rows), None) => rows,
        (None, groups) => {
            let groups = groups.unwrap_or(&Group::ALL);
            rows::all()
                .filter(|row| groups.contains(&row.group))
                .collect()
        }
    };
    Ok(Invocation::Compare(options))
}

fn group(name: &str) -> Result<&'static [Group], String> {
    match name {
        "core" => Ok(&[Group::Core]),
        "jetstream" => Ok(&[Group::JetStream]),
        "store" => Ok(&[Group::Store]),
        "all" => Ok(&Group::ALL),
        _ => Err(format!(
            "no group {name:?}; there are core, jetstream, store and all"
        )),
    }
}

fn row(name: &str) -> Result<&'static Row, String> {
    let found = rows::all().find(|row| row.name == name);
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

    /// Number of rows, and pairs and seconds of the first one.
    fn check(line: &str, expected: Result<(usize, usize, f64), &str>) {
        let got = parse(line.split_whitespace().map(str::to_owned));
        match (got, expected) {
            (Ok(Invocation::Compare(options)), Ok(expected)) => {
                let first = options.rows[0];
                let seconds = options.length(first).as_secs_f64();
                let got = (options.rows.len(), options.pairs(first), seconds);
                assert_eq!(got, expected, "{line}");
            }
            (Err(error), Err(text)) => assert!(error.contains(text), "{line}: {error}"),
            (got, _) => panic!("{line}: {got:?}"),
        }
    }

    #[test]
    fn the_command_line_is_checked() {
        const BOTH: &str = "compare --ours a --reference b";
        let check_options = |options: &str, expected| check(&format!("{BOTH} {options}"), expected);
        let all = rows::all().count();
        check_options("", Ok((all, 5, 1.5)));
        check_options("--group core", Ok((17, 5, 1.5)));
        check_options("--group jetstream --write page.md", Ok((6, 5, 2.5)));
        check_options("--group all --seconds 0.5", Ok((all, 5, 0.5)));
        check_options("--rows core-idle,js-sync-lazy", Ok((2, 2, 1.5)));
        check_options("--rows core-idle --pairs 3", Ok((1, 3, 1.5)));
        check_options("--rows nope", Err("no row \"nope\""));
        check_options("--group nope", Err("no group \"nope\""));
        check_options("--rows core-idle --group core", Err("exclude"));
        check_options("--rows core-idle --write a", Err("whole groups"));
        check_options("--pairs 0", Err("--pairs wants a number"));
        check_options("--scale 2", Err("--scale wants a number"));
        check_options("--wat 1", Err("unknown option --wat"));
        check("compare --ours a", Err("--reference is missing"));
        check("compare --ours", Err("--ours needs a value"));
        check("", Err("unknown command"));
    }

    #[test]
    fn groups_follow_from_the_rows() {
        let only = |names: &[&str]| Options {
            rows: names.iter().filter_map(|name| row(name).ok()).collect(),
            ..Options::default()
        };
        let check = |names: &[&str], expected: &[Group]| {
            assert_eq!(only(names).groups().collect::<Vec<_>>(), expected);
        };
        check(&["js-sync-lazy"], &[Group::JetStream]);
        check(
            &["js-sync-lazy", "core-idle"],
            &[Group::Core, Group::JetStream],
        );
        check(&[], &[]);
    }
}
