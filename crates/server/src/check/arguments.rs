//! The command line of `nats-server check`.

use std::path::PathBuf;

use crate::subcommand::{Word, Words};

/// What `check` is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The store directory.
    pub(crate) dir: PathBuf,
    /// Where what is readable is brought to; nowhere when `None`.
    pub(crate) repair: Option<PathBuf>,
    /// The file with the key of the store.
    pub(crate) key_file: Option<PathBuf>,
    /// Whether the report is a JSON document.
    pub(crate) json: bool,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To check.
    Check(Arguments),
    /// For help.
    Help,
}

pub(crate) const USAGE: &str = "
Usage: nats-server check [options] DIR

Reads DIR, a store directory of Everjet that no server uses, down to the last record, and explains what is wrong with it.
DIR is only read.

Options:
    --repair <copy>             Bring everything that can be read into a new store directory
    --key-file <file>           A file with the jetstream key of DIR; a copy has it too
    --json                      Report as a JSON document
    -h, --help                  Show this message

Exit status: 0 the store is sound, 1 damage was found, 2 it could not be checked, or not be repaired.
";

/// Reads what follows `check`. Options are written with one dash or two, the value after a blank or after `=`.
///
/// # Errors
/// What is wrong, for a person.
pub(crate) fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Arguments::default();
    let mut dir = None;
    let mut words = Words::new("check", args);
    while let Some(word) = words.next() {
        let option = match word {
            Word::Operand(path) if dir.is_none() => {
                dir = Some(path);
                continue;
            }
            Word::Operand(_) => {
                return Err("only one directory can be checked at a time".to_owned());
            }
            Word::Option(option) => option,
        };
        match option.parts() {
            ("h" | "help", false) => return Ok(Asked::Help),
            ("json", false) => asked.json = true,
            ("repair", _) => asked.repair = Some(words.value(&option)?.into()),
            ("key-file", _) => asked.key_file = Some(words.value(&option)?.into()),
            _ => return words.unknown(&option),
        }
    }
    asked.dir = dir.ok_or("the directory to check is missing")?;
    Ok(Asked::Check(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn options_are_read_in_every_form() {
        let check = |line: &str, repair: Option<&str>, json: bool| {
            let expected = Arguments {
                dir: "/store".into(),
                repair: repair.map(PathBuf::from),
                key_file: None,
                json,
            };
            assert_eq!(parsed(line), Ok(Asked::Check(expected)), "{line}");
        };
        check("/store", None, false);
        check("--json /store", None, true);
        check("/store -repair /copy", Some("/copy"), false);
        check("--repair=/copy /store -json", Some("/copy"), true);
        let Ok(Asked::Check(locked)) = parsed("/store --key-file=k") else {
            panic!("a store with a key");
        };
        assert_eq!(locked.key_file, Some("k".into()));
        assert_eq!(parsed("-h"), Ok(Asked::Help));
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let check = |line: &str, text: &str| {
            assert!(
                parsed(line).is_err_and(|error| error.contains(text)),
                "{line}"
            );
        };
        check("", "directory to check is missing");
        check("/a /b", "only one directory");
        check("/a --repair", "needs a value");
        check("/a --repair=", "needs a value");
        check("/a --json=yes", "not known");
        check("/a --fix", "option --fix is not known");
    }
}
