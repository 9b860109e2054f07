//! `consumer rm`: deletes a consumer.

use clap::Args;

use crate::commands::confirm;
use crate::connect::Settings;
use crate::failure::Failure;
use crate::output::{Format, json};

/// The arguments of `consumer rm`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// The consumer
    consumer: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Deletes the consumer.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let stream = crate::api::name("stream", &flags.stream)?;
    let name = crate::api::name("consumer", &flags.consumer)?;
    if !confirm(
        &format!("Really delete consumer {name} of stream {stream}?"),
        flags.force,
    )? {
        return Ok(());
    }
    let connection = settings.connect().await?;
    let doing = format!("cannot delete consumer {name} of stream {stream}");
    let call = format!("CONSUMER.DELETE.{stream}.{name}");
    let answer = connection.api.call(&call, None, &doing).await?;
    if format.is_json() {
        json::print_document(&answer.text)?;
    } else {
        eprintln!("Consumer {name} of stream {stream} was deleted");
    }
    Ok(())
}
