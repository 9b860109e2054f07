//! `consumer info`: settings and progress of a consumer.

use std::io;

use clap::Args;
use serde_json::Value;

use crate::api::{is_on, number_at, text_at};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::{show_age, show_byte_limit, show_limit, show_number, show_time};
use crate::output::block::Block;
use crate::output::{Format, json};

/// The arguments of `consumer info`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// The consumer
    consumer: String,
}

/// Shows a consumer.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let stream = crate::api::name("stream", &flags.stream)?;
    let name = crate::api::name("consumer", &flags.consumer)?;
    let connection = settings.connect().await?;
    let doing = format!("cannot show consumer {name} of stream {stream}");
    let call = format!("CONSUMER.INFO.{stream}.{name}");
    let answer = connection.api.call(&call, None, &doing).await?;
    if format.is_json() {
        json::print_document(&answer.text)?;
    } else {
        describe(&answer.value)?;
    }
    Ok(())
}

/// Prints what the server says about a consumer.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn describe(info: &Value) -> io::Result<()> {
    let mut block = Block::new(format!(
        "Information for Consumer {} > {} created {}",
        text_at(info, "/stream_name"),
        text_at(info, "/name"),
        show_time(text_at(info, "/created"))
    ));
    block.heading("Configuration");
    write_settings(&mut block, info);
    block.heading("State");
    write_state(&mut block, info);
    block.print()
}

fn write_settings(block: &mut Block, info: &Value) {
    let config = info.get("config").unwrap_or(&Value::Null);
    let target = text_at(config, "/deliver_subject");
    block.value("Name", text_at(info, "/name"));
    block.value_unless_empty("Description", text_at(config, "/description"));
    block.value_unless_empty("Delivery Subject", target);
    block.value("Pull Mode", target.is_empty());
    block.value_unless_empty("Deliver Queue Group", text_at(config, "/deliver_group"));
    block.value_unless_empty("Filter Subject", text_at(config, "/filter_subject"));
    let filters = config.get("filter_subjects").and_then(Value::as_array);
    for filter in filters.into_iter().flatten().filter_map(Value::as_str) {
        block.value("Filter Subject", filter);
    }
    let policy = match text_at(config, "/deliver_policy") {
        "by_start_sequence" => format!("From Sequence {}", number_at(config, "/opt_start_seq")),
        "by_start_time" => format!("Since {}", show_time(text_at(config, "/opt_start_time"))),
        other => other.replace('_', " "),
    };
    block.value("Deliver Policy", policy);
    block.value("Ack Policy", text_at(config, "/ack_policy"));
    let wait = number_at(config, "/ack_wait");
    if wait > 0 {
        block.value("Ack Wait", show_age(wait));
    }
    block.value("Replay Policy", text_at(config, "/replay_policy"));
    block.value(
        "Maximum Deliveries",
        show_limit(number_at(config, "/max_deliver")),
    );
    for (label, key) in [
        ("Max Ack Pending", "/max_ack_pending"),
        ("Max Waiting Pulls", "/max_waiting"),
        ("Max Pull Batch", "/max_batch"),
    ] {
        let number = number_at(config, key);
        if number > 0 {
            block.value(label, show_number(number));
        }
    }
    for (label, key) in [
        ("Max Pull Expire", "/max_expires"),
        ("Idle Heartbeat", "/idle_heartbeat"),
        ("Inactive Threshold", "/inactive_threshold"),
    ] {
        let nanos = number_at(config, key);
        if nanos > 0 {
            block.value(label, show_age(nanos));
        }
    }
    let bytes = number_at(config, "/max_bytes");
    if bytes > 0 {
        block.value("Max Pull MaxBytes", show_byte_limit(bytes));
    }
    let waits = config.get("backoff").and_then(Value::as_array);
    let waits: Vec<String> = waits
        .into_iter()
        .flatten()
        .filter_map(Value::as_i64)
        .map(show_age)
        .collect();
    block.value_unless_empty("Backoff", &waits.join(", "));
    block.value_unless_empty("Sampling Rate", text_at(config, "/sample_freq"));
    for (label, key) in [
        ("Flow Control", "/flow_control"),
        ("Headers Only", "/headers_only"),
        ("Memory Storage", "/mem_storage"),
    ] {
        if is_on(config, key) {
            block.value(label, true);
        }
    }
}

fn write_state(block: &mut Block, info: &Value) {
    for (label, key) in [
        ("Last Delivered Message", "/delivered"),
        ("Acknowledgment Floor", "/ack_floor"),
    ] {
        let at = |field: &str| show_number(number_at(info, &format!("{key}/{field}")));
        block.value(
            label,
            format!(
                "Consumer sequence: {} Stream sequence: {}",
                at("consumer_seq"),
                at("stream_seq")
            ),
        );
    }
    let count = |path: &str| show_number(number_at(info, path));
    let acknowledges = text_at(info, "/config/ack_policy") != "none";
    if acknowledges {
        block.value("Outstanding Acks", count("/num_ack_pending"));
        block.value("Redelivered Messages", count("/num_redelivered"));
    }
    block.value("Unprocessed Messages", count("/num_pending"));
    if text_at(info, "/config/deliver_subject").is_empty() {
        block.value("Waiting Pulls", count("/num_waiting"));
    } else {
        block.value("Active Interest", is_on(info, "/push_bound"));
    }
    if is_on(info, "/paused") {
        block.value("Paused", true);
    }
}
