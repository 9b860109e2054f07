//! The commands, one file each.

pub(crate) mod account;
pub(crate) mod consumer;
pub(crate) mod context;
pub(crate) mod outgoing;
pub(crate) mod publish;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod rtt;
pub(crate) mod stream;
pub(crate) mod subscribe;

use std::io::{IsTerminal, Write};

use crate::cli::{Cli, Command};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::output::Format;

/// Runs one command.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let format = Format::of(cli.json);
    let flags = cli.connection;
    let settings = || Settings::resolve(&flags);
    match cli.command {
        Command::Publish(command) => publish::run(command, &settings()?, format).await,
        Command::Subscribe(command) => subscribe::run(command, &settings()?, format).await,
        Command::Request(command) => request::run(command, &settings()?, format).await,
        Command::Reply(command) => reply::run(command, &settings()?, format).await,
        Command::Stream(command) => stream::run(command, &settings, format).await,
        Command::Consumer(command) => consumer::run(command, &settings, format).await,
        Command::Rtt(command) => rtt::run(&command, &settings()?, format).await,
        Command::Account(command) => account::run(&command, &settings()?, format).await,
        Command::Context(command) => context::run(&command, &flags, format),
    }
}

/// Asks before something is destroyed. `force` answers yes; without a terminal there is nobody to ask.
///
/// Returns whether to go on.
///
/// # Errors
/// [`Failure::Usage`] names the flag when there is no terminal.
pub(crate) fn confirm(question: &str, force: bool) -> Result<bool, Failure> {
    if force {
        return Ok(true);
    }
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure::usage(format!(
            "{question} There is no terminal to ask on; add -f or --force to say yes"
        )));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::file("cannot read the answer", error))?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Reads a JSON object from a file, as `--config` takes it.
///
/// # Errors
/// [`Failure::File`] when it cannot be read, [`Failure::Usage`] when it is not a JSON object.
pub(crate) fn read_config(
    path: &std::path::Path,
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::file(format!("cannot read {}", path.display()), error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is not a JSON object: {error}", path.display()))
    })
}
