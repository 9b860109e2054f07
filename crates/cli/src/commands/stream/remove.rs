//! `stream rm` and `stream purge`: what deletes.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::api::count_at;
use crate::commands::confirm;
use crate::connect::Settings;
use crate::failure::Failure;
use crate::output::{Format, json};

/// The arguments of `stream rm`.
#[derive(Args, Debug)]
pub(crate) struct RemoveFlags {
    /// The stream
    stream: String,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// The arguments of `stream purge`.
#[derive(Args, Debug)]
pub(crate) struct PurgeFlags {
    /// The stream
    stream: String,
    /// Only messages of this subject
    #[arg(long, value_parser = crate::forms::any_subject)]
    subject: Option<String>,
    /// Only messages before this sequence
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "keep")]
    seq: Option<u64>,
    /// Keep this many of the newest messages
    #[arg(long, value_name = "COUNT")]
    keep: Option<u64>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Deletes a stream.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn remove(
    flags: &RemoveFlags,
    settings: &Settings,
    format: Format,
) -> Result<(), Failure> {
    let name = crate::api::name("stream", &flags.stream)?;
    if !confirm(
        &format!("Really delete stream {name} with all its messages?"),
        flags.force,
    )? {
        return Ok(());
    }
    let connection = settings.connect().await?;
    let doing = format!("cannot delete stream {name}");
    let answer = connection
        .api
        .call(&format!("STREAM.DELETE.{name}"), None, &doing)
        .await?;
    if format.is_json() {
        json::print_document(&answer.text)?;
    } else {
        eprintln!("Stream {name} was deleted");
    }
    Ok(())
}

/// Deletes messages of a stream.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn purge(
    flags: &PurgeFlags,
    settings: &Settings,
    format: Format,
) -> Result<(), Failure> {
    let name = crate::api::name("stream", &flags.stream)?;
    if !confirm(
        &format!("Really delete messages of stream {name}?"),
        flags.force,
    )? {
        return Ok(());
    }
    let connection = settings.connect().await?;
    let mut request = Map::new();
    if let Some(subject) = &flags.subject {
        request.insert("filter".to_owned(), json!(subject));
    }
    if let Some(sequence) = flags.seq {
        request.insert("seq".to_owned(), json!(sequence));
    }
    if let Some(keep) = flags.keep {
        request.insert("keep".to_owned(), json!(keep));
    }
    let body = (!request.is_empty()).then_some(Value::Object(request));
    let doing = format!("cannot purge stream {name}");
    let answer = connection
        .api
        .call(&format!("STREAM.PURGE.{name}"), body.as_ref(), &doing)
        .await?;
    if format.is_json() {
        json::print_document(&answer.text)?;
    } else {
        let purged = count_at(&answer.value, "/purged");
        eprintln!("Purged {purged} messages from stream {name}");
    }
    Ok(())
}
