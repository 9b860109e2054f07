//! `stream view`: stored messages, one after another. It never asks: it shows so many and says how to go on.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::{any_subject, duration, now};
use crate::output::Format;
use crate::output::message::{self, Shape};
use crate::reader::{Order, Ordered, Start};

/// The arguments of `stream view`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// How many messages to show; 0 shows all
    #[arg(default_value_t = 25)]
    size: u64,
    /// Begin at this sequence
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "since")]
    id: Option<u64>,
    /// Begin this long ago
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    since: Option<Duration>,
    /// Only messages of this subject
    #[arg(long, value_parser = any_subject)]
    subject: Option<String>,
    /// Show the bodies and nothing else
    #[arg(short, long)]
    raw: bool,
}

/// Shows messages.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    format.refuse_raw(flags.raw)?;
    let name = crate::api::name("stream", &flags.stream)?;
    let start = match (flags.id, flags.since) {
        (Some(sequence), _) => Start::Sequence(sequence.max(1)),
        (None, Some(ago)) => Start::Since(now().minus(ago)),
        (None, None) => Start::All,
    };
    let shape = match (format, flags.raw) {
        (Format::Json, _) => Shape::Json,
        (Format::Text, true) => Shape::Raw,
        (Format::Text, false) => Shape::Full,
    };
    let connection = Arc::new(settings.connect().await?);
    let order = Order {
        stream: name.to_owned(),
        filter: flags.subject.clone(),
        start,
        headers_only: false,
        wanted: (flags.size > 0).then_some(flags.size),
    };
    let mut reader = Ordered::open(connection, order).await?;
    let mut left = reader.waiting();
    let mut shown = 0;
    let mut next = None;
    while left > 0 && (flags.size == 0 || shown < flags.size) {
        let received = reader.next().await?;
        shown += 1;
        if let Some(stored) = &received.stored {
            left = stored.pending;
            next = Some(stored.sequence + 1);
        }
        message::print(&received, shown, shape)?;
    }
    reader.close().await;
    match (shown, next) {
        (0, _) if !format.is_json() => eprintln!("There are no such messages in stream {name}"),
        (_, Some(next)) if left > 0 => {
            eprintln!("{left} more messages; go on with --id {next}");
        }
        _ => {}
    }
    Ok(())
}
