//! `consumer add`: creates a consumer. It never asks, and it never changes a consumer that exists.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::info;
use crate::api::{Api, text_at};
use crate::commands::stream::write_config;
use crate::connect::Settings;
use crate::consumer_settings::ConsumerFlags;
use crate::difference;
use crate::failure::Failure;
use crate::output::{Format, json};

/// The JetStream codes for a consumer of that name with another configuration.
const EXISTS: [u64; 3] = [10148, 10105, 10013];

/// The arguments of `consumer add`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// The name of the consumer
    name: Option<String>,
    #[command(flatten)]
    settings: ConsumerFlags,
    /// Take defaults for everything that no flag says; this is always so here
    #[arg(long)]
    defaults: bool,
    /// Write the configuration to this file and create nothing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Creates the consumer.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(
    flags: &Flags,
    settings: &impl Fn() -> Result<Settings, Failure>,
    format: Format,
) -> Result<(), Failure> {
    let stream = crate::api::name("stream", &flags.stream)?;
    let document = flags.settings.document(flags.name.as_deref())?;
    if let Some(path) = &flags.output {
        return write_config(path, &document, format);
    }
    let connection = settings()?.connect().await?;
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let name = text("name").unwrap_or_default().to_owned();
    let call = match (name.as_str(), text("filter_subject")) {
        ("", _) => format!("CONSUMER.CREATE.{stream}"),
        (name, Some(filter)) => format!("CONSUMER.CREATE.{stream}.{name}.{filter}"),
        (name, None) => format!("CONSUMER.CREATE.{stream}.{name}"),
    };
    // Without a name there is nothing that could exist already, and the oldest form of the call knows no action.
    let mut request = json!({"stream_name": stream, "config": document});
    if !name.is_empty() {
        request["action"] = json!("create");
    }
    let doing = format!("cannot create consumer {name} of stream {stream}");
    let answer = match connection.api.call(&call, Some(&request), &doing).await {
        Ok(answer) => answer,
        Err(failure)
            if failure
                .err_code()
                .is_some_and(|code| EXISTS.contains(&code)) =>
        {
            return Err(explain(&connection.api, stream, &name, &document, failure).await);
        }
        Err(failure) => return Err(failure),
    };
    if format.is_json() {
        json::print_document(&answer.text)?;
    } else {
        info::describe(&answer.value)?;
    }
    Ok(())
}

/// The refusal, with the difference between the consumer that exists and the one asked for.
async fn explain(
    api: &Api,
    stream: &str,
    name: &str,
    asked: &Map<String, Value>,
    failure: Failure,
) -> Failure {
    let call = format!("CONSUMER.INFO.{stream}.{name}");
    let Ok(info) = api.call(&call, None, "cannot compare").await else {
        return failure;
    };
    if text_at(&info.value, "/name") != name {
        return failure;
    }
    let exists = info.value.get("config").and_then(Value::as_object);
    let mut lines = String::new();
    for difference in exists.map_or_else(Vec::new, |exists| difference::between(exists, asked)) {
        lines.push_str(&format!("\n  {difference}"));
    }
    Failure::other(format!("{failure}{lines}"))
}
