//! `stream info`: settings and state of a stream.

use std::io::{self, Write};

use clap::Args;
use everjet_values::format_size;
use serde_json::Value;

use crate::api::{count_at, is_on, number_at, text_at};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::{show_age, show_byte_limit, show_limit, show_number, show_time};
use crate::output::block::Block;
use crate::output::{Format, json};

/// The arguments of `stream info`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// Only the state
    #[arg(long)]
    state: bool,
}

/// Shows a stream.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let name = crate::api::name("stream", &flags.stream)?;
    let connection = settings.connect().await?;
    let doing = format!("cannot show stream {name}");
    let answer = connection
        .api
        .call(&format!("STREAM.INFO.{name}"), None, &doing)
        .await?;
    match (format, flags.state) {
        (Format::Json, false) => json::print_document(&answer.text)?,
        (Format::Json, true) => json::print(answer.value.get("state").unwrap_or(&Value::Null))?,
        (Format::Text, false) => describe(&answer.value)?,
        (Format::Text, true) => {
            let mut block = Block::new(format!("State of Stream {name}"));
            write_state(&mut block, &answer.value);
            block.print()?;
        }
    }
    Ok(())
}

/// Prints one line on standard output.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Prints what the server says about a stream.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn describe(info: &Value) -> io::Result<()> {
    let mut block = Block::new(format!(
        "Information for Stream {} created {}",
        text_at(info, "/config/name"),
        show_time(text_at(info, "/created"))
    ));
    write_settings(&mut block, info);
    write_limits(&mut block, info);
    block.heading("State");
    write_state(&mut block, info);
    block.print()
}

fn write_settings(block: &mut Block, info: &Value) {
    block.value_unless_empty("Description", text_at(info, "/config/description"));
    block.value_unless_empty("Subjects", &texts_at(info, "/config/subjects"));
    block.value("Replicas", number_at(info, "/config/num_replicas"));
    block.value("Storage", capitalised(text_at(info, "/config/storage")));
    let compression = text_at(info, "/config/compression");
    if !matches!(compression, "" | "none") {
        block.value("Compression", compression);
    }
    block.value_unless_empty("Mirror", text_at(info, "/config/mirror/name"));
    let sources = info.pointer("/config/sources").and_then(Value::as_array);
    for source in sources.into_iter().flatten() {
        block.value("Source", text_at(source, "/name"));
    }
    let metadata = info.pointer("/config/metadata").and_then(Value::as_object);
    let metadata = metadata.into_iter().flatten();
    for (key, value) in metadata.filter(|(key, _)| !key.starts_with("_nats.")) {
        block.value(
            "Metadata",
            format!("{key}={}", value.as_str().unwrap_or("")),
        );
    }

    block.heading("Options");
    block.value(
        "Retention",
        match text_at(info, "/config/retention") {
            "workqueue" => "Work Queue".to_owned(),
            other => capitalised(other),
        },
    );
    block.value("Acknowledgments", !is_on(info, "/config/no_ack"));
    block.value(
        "Discard Policy",
        capitalised(text_at(info, "/config/discard")),
    );
    block.value(
        "Duplicate Window",
        show_age(number_at(info, "/config/duplicate_window")),
    );
    block.value("Direct Get", is_on(info, "/config/allow_direct"));
    block.value("Allows Msg Delete", !is_on(info, "/config/deny_delete"));
    block.value("Allows Purge", !is_on(info, "/config/deny_purge"));
    block.value(
        "Allows Per-Message TTL",
        is_on(info, "/config/allow_msg_ttl"),
    );
    block.value("Allows Rollups", is_on(info, "/config/allow_rollup_hdrs"));
    if is_on(info, "/config/sealed") {
        block.value("Sealed", true);
    }
}

fn write_limits(block: &mut Block, info: &Value) {
    let count = |path: &str| show_limit(number_at(info, path));
    let bytes = |path: &str| show_byte_limit(number_at(info, path));
    block.heading("Limits");
    block.value("Maximum Messages", count("/config/max_msgs"));
    block.value("Maximum Per Subject", count("/config/max_msgs_per_subject"));
    block.value("Maximum Bytes", bytes("/config/max_bytes"));
    block.value("Maximum Age", show_age(number_at(info, "/config/max_age")));
    block.value("Maximum Message Size", bytes("/config/max_msg_size"));
    block.value("Maximum Consumers", count("/config/max_consumers"));
}

fn write_state(block: &mut Block, info: &Value) {
    block.value("Messages", show_number(number_at(info, "/state/messages")));
    block.value("Bytes", format_size(count_at(info, "/state/bytes")));
    for (label, sequence, time) in [
        ("First Sequence", "/state/first_seq", "/state/first_ts"),
        ("Last Sequence", "/state/last_seq", "/state/last_ts"),
    ] {
        let sequence = show_number(number_at(info, sequence));
        let time = show_time(text_at(info, time));
        if time == "never" || time.is_empty() {
            block.value(label, sequence);
        } else {
            block.value(label, format!("{sequence} @ {time}"));
        }
    }
    let deleted = number_at(info, "/state/num_deleted");
    if deleted > 0 {
        block.value("Deleted Messages", show_number(deleted));
    }
    block.value(
        "Active Consumers",
        show_number(number_at(info, "/state/consumer_count")),
    );
    let subjects = number_at(info, "/state/num_subjects");
    if subjects > 0 {
        block.value("Number of Subjects", show_number(subjects));
    }
}

fn texts_at(value: &Value, path: &str) -> String {
    let texts = value.pointer(path).and_then(Value::as_array);
    texts
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
