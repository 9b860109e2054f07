//! The command line of the server.

use crate::Overrides;
use crate::flags::{self, FLAGS, Flag};
use crate::overrides::Given;
use crate::signal::SignalRequest;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Start the server.
    Run(Overrides),
    /// Check the configuration file, say on standard error whether it is valid, and exit with 0 or 1.
    TestConfig(Overrides),
    /// Write `nats-server: v<version>` to standard output and exit with 0.
    Version,
    /// Write [`usage`] to standard output and exit with 0.
    Help,
    /// Tell a running server something and exit with 0.
    Signal(SignalRequest),
    /// Say what is wrong and exit.
    Refuse {
        /// A line for standard error.
        stderr: String,
        /// Whether [`usage`] follows on standard output.
        usage: bool,
        /// Exit code: 0 for a flag that does not exist, as nats-server does it; otherwise 1.
        exit: u8,
    },
}

/// Reads the command line, program name left out. Flags are written as Go's `flag` package takes them: one dash or
/// two, the value after a blank or after `=`; switches take a value only after `=`.
#[must_use]
pub fn parse_args(args: &[String]) -> Invocation {
    let mut overrides = Overrides::default();
    let (mut test, mut version, mut help) = (false, false, false);
    let mut rest = args.iter();
    let mut word = None;
    let mut signal = None;
    while let Some(arg) = rest.next() {
        if arg == "--" {
            word = rest.next();
            break;
        }
        let Some(name) = arg.strip_prefix('-').filter(|name| !name.is_empty()) else {
            word = Some(arg);
            break;
        };
        let name = name.strip_prefix('-').unwrap_or(name);
        if name.starts_with(['-', '=']) {
            return usage_error(format!("bad flag syntax: {arg}"));
        }
        let (name, attached) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        if flags::UNSUPPORTED.contains(&name) {
            return refuse(&format!(
                "flag -{name} is not supported by this version of Everjet yet (known to nats-server); remove it to \
                 start"
            ));
        }
        let Some(row) = flags::find(name) else {
            return usage_error(format!("flag provided but not defined: -{name}"));
        };
        let given = if row.value.is_none() {
            read_switch(name, attached)
        } else {
            match attached.or_else(|| rest.next().cloned()) {
                Some(value) => read_option(row.flag, name, value),
                None => Err(format!("flag needs an argument: -{name}")),
            }
        };
        let taken = match (row.flag, given) {
            (_, Err(text)) => return usage_error(text),
            (Flag::Signal, Ok(given)) => signalled(&mut signal, given),
            (Flag::Test, Ok(given)) => switched(&mut test, &given),
            (Flag::Version, Ok(given)) => switched(&mut version, &given),
            (Flag::Help, Ok(given)) => switched(&mut help, &given),
            (flag, Ok(given)) => overrides.take(flag, given),
        };
        if let Err(text) = taken {
            return refuse(&text);
        }
    }
    if version {
        return Invocation::Version;
    }
    if help {
        return Invocation::Help;
    }
    if let (None, Some(request)) = (word, signal) {
        return Invocation::Signal(request);
    }
    match word.map(|word| (word, word.to_ascii_lowercase())) {
        Some((_, lower)) if lower == "version" => Invocation::Version,
        Some((_, lower)) if lower == "help" => Invocation::Help,
        Some((word, _)) => refuse(&format!("unrecognized command: {word:?}")),
        None if test && overrides.config.is_none() => {
            refuse("must specify [-c, --config] option to check configuration file syntax")
        }
        None if test => Invocation::TestConfig(overrides),
        None => Invocation::Run(overrides),
    }
}

fn switched(switch: &mut bool, given: &Given) -> Result<(), String> {
    *switch = matches!(given, Given::Switch(true));
    Ok(())
}

fn signalled(signal: &mut Option<SignalRequest>, given: Given) -> Result<(), String> {
    if let Given::Text(text) = given {
        *signal = Some(SignalRequest::parse(&text)?);
    }
    Ok(())
}

fn read_switch(name: &str, attached: Option<String>) -> Result<Given, String> {
    let Some(value) = attached else {
        return Ok(Given::Switch(true));
    };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Given::Switch(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Given::Switch(false)),
        _ => Err(format!(
            "invalid boolean value {value:?} for -{name}: parse error"
        )),
    }
}

fn read_option(flag: Flag, name: &str, value: String) -> Result<Given, String> {
    if !matches!(flag, Flag::Port | Flag::TracedPayloadMax) {
        return Ok(Given::Text(value));
    }
    match value.parse() {
        Ok(number) => Ok(Given::Number(number)),
        Err(_) => Err(format!(
            "invalid value {value:?} for flag -{name}: parse error"
        )),
    }
}

fn usage_error(stderr: String) -> Invocation {
    Invocation::Refuse {
        stderr,
        usage: true,
        exit: 0,
    }
}

fn refuse(text: &str) -> Invocation {
    Invocation::Refuse {
        stderr: format!("nats-server: {text}"),
        usage: false,
        exit: 1,
    }
}

/// The help: every flag with what it does.
#[must_use]
pub fn usage() -> String {
    let mut text = String::from("\nUsage: nats-server [options]\n\nOptions:\n");
    for row in FLAGS {
        let names: Vec<String> = row
            .names
            .iter()
            .map(|name| {
                if name.len() <= 2 {
                    format!("-{name}")
                } else {
                    format!("--{name}")
                }
            })
            .collect();
        let mut left = names.join(", ");
        if let Some(value) = row.value {
            left.push_str(&format!(" <{value}>"));
        }
        text.push_str(&format!("    {left:<36} {}\n", row.help));
    }
    text.push_str(
        "\nCommands:\n    check <dir>                          Verify a store directory, repair it into a copy (check -h)\n    import-store <dir>                   Bring streams of nats-server over (import-store -h)\n",
    );
    text
}

#[cfg(test)]
mod tests;
