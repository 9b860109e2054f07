//! `stream add`: creates a stream. It never asks: what no flag says is a default of the official tool.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::info;
use crate::api::{Api, text_at};
use crate::connect::Settings;
use crate::difference;
use crate::failure::Failure;
use crate::output::{Format, json};
use crate::stream_settings::StreamFlags;

/// The JetStream code for a stream of that name with another configuration.
const NAME_IN_USE: u64 = 10058;

/// The arguments of `stream add`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The name of the stream
    name: Option<String>,
    #[command(flatten)]
    settings: StreamFlags,
    /// Take defaults for everything that no flag says; this is always so here
    #[arg(long)]
    defaults: bool,
    /// Write the configuration to this file and create nothing
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Creates the stream.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(
    flags: &Flags,
    settings: &impl Fn() -> Result<Settings, Failure>,
    format: Format,
) -> Result<(), Failure> {
    let document = flags.settings.document(flags.name.as_deref())?;
    if let Some(path) = &flags.output {
        return write_config(path, &document, format);
    }
    let connection = settings()?.connect().await?;
    let name = document
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let doing = format!("cannot create stream {name}");
    let body = Value::Object(document.clone());
    // The answer does not tell whether an equal stream was there before.
    let info = format!("STREAM.INFO.{name}");
    let existed = connection.api.call(&info, None, &doing).await.is_ok();
    let created = connection
        .api
        .call(&format!("STREAM.CREATE.{name}"), Some(&body), &doing)
        .await;
    let answer = match created {
        Ok(answer) => answer,
        Err(failure) if failure.err_code() == Some(NAME_IN_USE) => {
            return Err(explain(&connection.api, &name, &document, failure).await);
        }
        Err(failure) => return Err(failure),
    };
    if format.is_json() {
        json::print_document(&answer.text)?;
        return Ok(());
    }
    if existed {
        info::print_line(&format!(
            "Stream {name} exists already with this configuration\n"
        ))?;
    } else {
        info::print_line(&format!("Stream {name} was created\n"))?;
    }
    info::describe(&answer.value)?;
    Ok(())
}

/// Writes a configuration to a file and says so.
///
/// # Errors
/// [`Failure::File`] when it cannot be written.
pub(crate) fn write_config(
    path: &std::path::Path,
    document: &Map<String, Value>,
    format: Format,
) -> Result<(), Failure> {
    let value = Value::Object(document.clone());
    std::fs::write(path, format!("{value:#}\n"))
        .map_err(|error| Failure::file(format!("cannot write {}", path.display()), error))?;
    if format.is_json() {
        json::print(&value)?;
    } else {
        eprintln!("Wrote the configuration to {}", path.display());
    }
    Ok(())
}

/// The refusal, with the difference between the stream that exists and the one asked for.
async fn explain(api: &Api, name: &str, asked: &Map<String, Value>, failure: Failure) -> Failure {
    let Failure::Refused { doing, mut error } = failure else {
        return failure;
    };
    let info = api
        .call(&format!("STREAM.INFO.{name}"), None, "cannot compare")
        .await;
    if let Ok(info) = info {
        let exists = info.value.get("config").and_then(Value::as_object);
        let mut lines = String::new();
        for difference in exists.map_or_else(Vec::new, |exists| difference::between(exists, asked))
        {
            lines.push_str(&format!("\n  {difference}"));
        }
        if text_at(&info.value, "/config/name") == name && !lines.is_empty() {
            error.description = format!("{} ({})", error.description, error.err_code);
            return Failure::other(format!("{doing}: {}{lines}", error.description));
        }
    }
    Failure::Refused { doing, error }
}
