//! The command lines of `nats-server check` and `nats-server import-store`: options with one dash or two, the value after a blank
//! or after `=`, and names of directories in between.

use std::path::PathBuf;

/// What follows the name of a subcommand, read one by one.
pub(crate) struct Words<'a> {
    command: &'static str,
    rest: std::slice::Iter<'a, String>,
}

/// One of them.
pub(crate) enum Word<'a> {
    /// No option.
    Operand(PathBuf),
    /// An option.
    Option(OptionWord<'a>),
}

/// An option as it was written.
pub(crate) struct OptionWord<'a> {
    written: &'a str,
    name: &'a str,
    attached: Option<&'a str>,
}

impl<'a> Words<'a> {
    /// The words behind `command`.
    pub(crate) fn new(command: &'static str, args: &'a [String]) -> Self {
        Self {
            command,
            rest: args.iter(),
        }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Option<Word<'a>> {
        let written = self.rest.next()?;
        let Some(option) = written
            .strip_prefix('-')
            .filter(|option| !option.is_empty())
        else {
            return Some(Word::Operand(written.into()));
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, attached) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        Some(Word::Option(OptionWord {
            written,
            name,
            attached,
        }))
    }

    /// The value of an option.
    ///
    /// # Errors
    /// There is none, or an empty one.
    pub(crate) fn value(&mut self, option: &OptionWord<'_>) -> Result<String, String> {
        let attached = option.attached.map(str::to_owned);
        attached
            .or_else(|| self.rest.next().cloned())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{} needs a value", option.written))
    }

    /// What to say about an option that the command does not have.
    pub(crate) fn unknown<T>(&self, option: &OptionWord<'_>) -> Result<T, String> {
        let Self { command, .. } = self;
        Err(format!(
            "option {} is not known to {command}",
            option.written
        ))
    }
}

impl<'a> OptionWord<'a> {
    /// Its name without dashes, and whether a value is attached to it.
    pub(crate) fn parts(&self) -> (&'a str, bool) {
        (self.name, self.attached.is_some())
    }
}
