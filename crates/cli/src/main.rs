//! The command line tool `nats`: a client of NATS servers, built on the official client library.
//!
//! It parses arguments, talks to a server and prints; it decides nothing about streams itself. Requests to JetStream
//! are made with plain JSON documents, so that `--json` shows what the server said and no field is lost to a type that
//! does not know it.
#![forbid(unsafe_code)]

mod api;
mod cli;
mod commands;
mod connect;
mod consumer_settings;
mod context;
mod difference;
mod failure;
mod forms;
mod keeper;
mod output;
mod publisher;
mod reader;
mod retention;
mod stream_settings;
mod template;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("nats: error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // A read of standard input may still be waiting; it must not hold the exit back.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("nats: error: {failure}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Help and version go to standard output with code 0; a mistake goes to standard error with code 1, never clap's 2.
fn usage(error: &clap::Error) -> ExitCode {
    let bare = std::env::args_os().len() <= 1;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print_help(error);
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if bare => {
            print_help(error);
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("nats: error: a command is missing\n\n{}", error.render());
            ExitCode::FAILURE
        }
        _ => {
            eprint!("nats: {}", error.render());
            ExitCode::FAILURE
        }
    }
}

fn print_help(error: &clap::Error) {
    use std::io::Write;
    // Nothing is left to do when the reader of the help went away.
    let _ = write!(std::io::stdout(), "{}", error.render());
}
