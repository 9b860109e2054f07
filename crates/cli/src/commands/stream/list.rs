//! `stream ls`: the streams of the account.

use clap::Args;
use everjet_values::{Timestamp, format_size};
use serde_json::{Value, json};

use crate::api::{count_at, number_at, text_at};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::{now, show_ago, show_number, show_time};
use crate::output::table::Table;
use crate::output::{Format, json};

/// The arguments of `stream ls`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Only streams that store this subject
    #[arg(long, value_parser = crate::forms::any_subject)]
    subject: Option<String>,
    /// Only the names
    #[arg(short, long)]
    names: bool,
    /// Also the streams behind key-value buckets and the like
    #[arg(short, long)]
    all: bool,
}

/// Lists the streams.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let connection = settings.connect().await?;
    let body = match &flags.subject {
        Some(subject) => json!({"subject": subject}),
        None => json!({}),
    };
    let mut streams = connection
        .api
        .pages("STREAM.LIST", &body, "streams", "cannot list streams")
        .await?;
    streams.retain(|stream| flags.all || !is_internal(text_at(stream, "/config/name")));
    streams.sort_by(|a, b| text_at(a, "/config/name").cmp(text_at(b, "/config/name")));
    let names: Vec<&str> = streams
        .iter()
        .map(|stream| text_at(stream, "/config/name"))
        .collect();
    if format.is_json() {
        json::print(&names)?;
    } else if flags.names {
        for name in names {
            super::info::print_line(name)?;
        }
    } else if streams.is_empty() {
        eprintln!("There are no streams");
    } else {
        table(&streams).print()?;
    }
    Ok(())
}

/// Streams that belong to a layer above: key-value buckets, object stores, MQTT.
fn is_internal(name: &str) -> bool {
    ["KV_", "OBJ_", "$MQTT_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn table(streams: &[Value]) -> Table {
    let mut table = Table::new(
        "Streams",
        &[
            "Name",
            "Description",
            "Created",
            "Messages",
            "Size",
            "Last Message",
        ],
    );
    let now = now();
    for stream in streams {
        let last = Timestamp::parse(text_at(stream, "/state/last_ts"));
        let last = match last {
            Ok(time) if !time.is_unset() => show_ago(now.since(time)),
            _ => "never".to_owned(),
        };
        table.row([
            text_at(stream, "/config/name").to_owned(),
            text_at(stream, "/config/description").to_owned(),
            show_time(text_at(stream, "/created")),
            show_number(number_at(stream, "/state/messages")),
            format_size(count_at(stream, "/state/bytes")),
            last,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_upper_layers_are_internal() {
        for (name, internal) in [
            ("ORDERS", false),
            ("KV_b", true),
            ("OBJ_b", true),
            ("KV", false),
        ] {
            assert_eq!(is_internal(name), internal, "{name}");
        }
    }
}
