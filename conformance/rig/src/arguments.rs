//! The command line.

use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "\
usage: everjet-rig power --server PATH [--cuts N] [--seconds MAX] [--seed N]
       everjet-rig soak  --server PATH [--minutes N] [--seed N]
       everjet-rig possible
  possible   says whether power can be cut here
  --cuts     power cuts; default 100
  --seconds  a cut comes at the latest so long after the streams were created or served again; default 6
  --minutes  how long the soak takes; default 30
  --seed     of all choices; default 1";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Power cuts.
    Power,
    /// Kills.
    Soak,
    /// Whether a file system can be mounted and shut down.
    Possible,
}

/// The command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) command: Command,
    /// The server executable.
    pub(crate) server: PathBuf,
    pub(crate) cuts: u64,
    pub(crate) seconds: u64,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

impl Arguments {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// What is wrong, and the usage.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let command = match arguments.next().as_deref() {
            Some("power") => Command::Power,
            Some("soak") => Command::Soak,
            Some("possible") => Command::Possible,
            _ => return Err(USAGE.to_owned()),
        };
        let mut parsed = Self {
            command,
            server: PathBuf::new(),
            cuts: 100,
            seconds: 6,
            duration: Duration::from_secs(30 * 60),
            seed: 1,
        };
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{name} {value}: not a number\n{USAGE}"))
            };
            match (name.as_str(), command) {
                ("--server", Command::Power | Command::Soak) => {
                    parsed.server = PathBuf::from(value)
                }
                ("--seed", Command::Power | Command::Soak) => parsed.seed = number()?,
                ("--cuts", Command::Power) => parsed.cuts = number()?,
                ("--seconds", Command::Power) => parsed.seconds = number()?.max(1),
                ("--minutes", Command::Soak) => {
                    parsed.duration = Duration::from_secs(number()?.saturating_mul(60));
                }
                _ => return Err(format!("{name}: unknown option\n{USAGE}")),
            }
        }
        if command != Command::Possible && !parsed.server.is_file() {
            let server = parsed.server.display();
            return Err(format!("--server {server}: no such executable\n{USAGE}"));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_belong_to_their_command() {
        let program = std::env::current_exe().expect("a running test has an executable");
        let server = program.display();
        let parsed = parse(&format!("power --server {server} --cuts 3 --seed 9")).expect("is fine");
        assert_eq!(
            (parsed.command, parsed.cuts, parsed.seconds, parsed.seed),
            (Command::Power, 3, 6, 9)
        );
        let parsed = parse(&format!("soak --server {server} --minutes 2")).expect("is fine");
        assert_eq!(parsed.duration, Duration::from_secs(120));
        for (line, error) in [
            (String::new(), "usage"),
            (format!("soak --server {server} --cuts 3"), "unknown option"),
            (format!("power --server {server} --cuts"), "needs a value"),
            (format!("power --server {server} --cuts x"), "not a number"),
            ("power".to_owned(), "no such executable"),
        ] {
            let refused = parse(&line).expect_err("is refused");
            assert!(refused.contains(error), "{line}: {refused}");
        }
    }
}
