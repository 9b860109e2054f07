//! `stream`: the commands that manage streams.

mod add;
mod get;
mod info;
mod list;
mod remove;
mod view;

pub(crate) use add::write_config;

use clap::Subcommand;

use crate::connect::Settings;
use crate::failure::Failure;
use crate::output::Format;

/// The commands of `stream`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Create a stream; succeeds when the very same stream exists
    #[command(visible_aliases = ["create", "new"])]
    Add(Box<add::Flags>),
    /// List the streams
    #[command(visible_aliases = ["list", "l"])]
    Ls(list::Flags),
    /// Show settings and state of a stream
    #[command(visible_aliases = ["nfo", "i"])]
    Info(info::Flags),
    /// Delete a stream with its messages
    #[command(visible_aliases = ["delete", "del"])]
    Rm(remove::RemoveFlags),
    /// Delete messages of a stream
    Purge(remove::PurgeFlags),
    /// Show one stored message
    Get(get::Flags),
    /// Show stored messages, one after another
    View(view::Flags),
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
        Command::Rm(flags) => remove::remove(&flags, &settings()?, format).await,
        Command::Purge(flags) => remove::purge(&flags, &settings()?, format).await,
        Command::Get(flags) => get::run(&flags, &settings()?, format).await,
        Command::View(flags) => view::run(&flags, &settings()?, format).await,
    }
}
