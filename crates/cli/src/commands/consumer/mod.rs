//! `consumer`: the commands that manage consumers.

mod add;
mod info;
mod list;
mod next;
mod remove;

use clap::Subcommand;

use crate::connect::Settings;
use crate::failure::Failure;
use crate::output::Format;

/// The commands of `consumer`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Create a consumer; succeeds when the very same consumer exists
    #[command(visible_aliases = ["create", "new"])]
    Add(Box<add::Flags>),
    /// List the consumers of a stream
    #[command(visible_alias = "list")]
    Ls(list::Flags),
    /// Show settings and progress of a consumer
    #[command(visible_aliases = ["nfo", "i"])]
    Info(info::Flags),
    /// Delete a consumer
    #[command(visible_aliases = ["delete", "del"])]
    Rm(remove::Flags),
    /// Take messages from a pull consumer
    Next(next::Flags),
}

/// Runs one of them.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(
    command: Command,
    settings: &impl Fn() -> Result<Settings, Failure>,
    format: Format,
) -> Result<(), Failure> {
    match command {
        Command::Add(flags) => add::run(&flags, settings, format).await,
        Command::Ls(flags) => list::run(&flags, &settings()?, format).await,
        Command::Info(flags) => info::run(&flags, &settings()?, format).await,
        Command::Rm(flags) => remove::run(&flags, &settings()?, format).await,
        Command::Next(flags) => next::run(&flags, &settings()?, format).await,
    }
}
