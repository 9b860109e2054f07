//! `consumer ls`: the consumers of a stream.

use clap::Args;
use everjet_values::Timestamp;
use serde_json::{Value, json};

use crate::api::{number_at, text_at};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::{now, show_ago, show_number, show_time};
use crate::output::table::Table;
use crate::output::{Format, json};

/// The arguments of `consumer ls`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// Only the names
    #[arg(short, long)]
    names: bool,
}

/// Lists the consumers.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let stream = crate::api::name("stream", &flags.stream)?;
    let connection = settings.connect().await?;
    let mut consumers = connection
        .api
        .pages(
            &format!("CONSUMER.LIST.{stream}"),
            &json!({}),
            "consumers",
            &format!("cannot list the consumers of stream {stream}"),
        )
        .await?;
    consumers.sort_by(|a, b| text_at(a, "/name").cmp(text_at(b, "/name")));
    let names: Vec<&str> = consumers
        .iter()
        .map(|consumer| text_at(consumer, "/name"))
        .collect();
    if format.is_json() {
        json::print(&names)?;
    } else if flags.names {
        use std::io::Write;
        for name in names {
            writeln!(std::io::stdout(), "{name}")?;
        }
    } else if consumers.is_empty() {
        eprintln!("There are no consumers of stream {stream}");
    } else {
        table(stream, &consumers).print()?;
    }
    Ok(())
}

fn table(stream: &str, consumers: &[Value]) -> Table {
    let mut table = Table::new(
        format!("Consumers of {stream}"),
        &[
            "Name",
            "Description",
            "Created",
            "Ack Pending",
            "Unprocessed",
            "Last Delivery",
        ],
    );
    let now = now();
    for consumer in consumers {
        let last = match Timestamp::parse(text_at(consumer, "/delivered/last_active")) {
            Ok(time) if !time.is_unset() => show_ago(now.since(time)),
            _ => "never".to_owned(),
        };
        table.row([
            text_at(consumer, "/name").to_owned(),
            text_at(consumer, "/config/description").to_owned(),
            show_time(text_at(consumer, "/created")),
            show_number(number_at(consumer, "/num_ack_pending")),
            show_number(number_at(consumer, "/num_pending")),
            last,
        ]);
    }
    table
}
