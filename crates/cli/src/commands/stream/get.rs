//! `stream get`: one stored message, by sequence or the last of a subject.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

use crate::api::{count_at, text_at};
use crate::connect::Settings;
use crate::failure::Failure;
use crate::forms::show_time;
use crate::output::{Format, json};

/// The arguments of `stream get`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["sequence", "last_for"]))]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// The sequence of the message
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// The last message of this subject
    #[arg(short = 'S', long, value_name = "SUBJECT", value_parser = crate::forms::any_subject)]
    last_for: Option<String>,
}

/// Shows a message.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let name = crate::api::name("stream", &flags.stream)?;
    let (request, which) = match (flags.sequence, &flags.last_for) {
        (Some(sequence), _) => (json!({"seq": sequence}), format!("message {sequence}")),
        (None, Some(subject)) => (
            json!({"last_by_subj": subject}),
            format!("the last message on {subject}"),
        ),
        (None, None) => {
            return Err(Failure::usage(
                "a sequence is missing; or ask for the last of a subject with --last-for",
            ));
        }
    };
    let connection = settings.connect().await?;
    let doing = format!("cannot get {which} of stream {name}");
    let answer = connection
        .api
        .call(&format!("STREAM.MSG.GET.{name}"), Some(&request), &doing)
        .await?;
    let message = answer.value.get("message").unwrap_or(&Value::Null);
    if format.is_json() {
        json::print(message)?;
        return Ok(());
    }
    show(&mut io::stdout().lock(), name, message)
}

fn show(out: &mut impl Write, stream: &str, message: &Value) -> Result<(), Failure> {
    writeln!(
        out,
        "Item: {stream}#{} received {} on Subject {}\n",
        count_at(message, "/seq"),
        show_time(text_at(message, "/time")),
        text_at(message, "/subject")
    )?;
    let headers = decode(text_at(message, "/hdrs"))?;
    let headers = String::from_utf8_lossy(&headers);
    // The block begins with the protocol's version and ends with an empty line.
    let lines: Vec<&str> = headers
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .collect();
    if !lines.is_empty() {
        writeln!(out, "Headers:")?;
        for line in lines {
            writeln!(out, "  {line}")?;
        }
        writeln!(out)?;
    }
    out.write_all(&decode(text_at(message, "/data"))?)?;
    writeln!(out)?;
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    STANDARD.decode(text).map_err(|error| {
        Failure::other(format!(
            "the server sent a message that is not base64: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_shows_headers_and_body() {
        let message = json!({
            "subject": "order.new", "seq": 7, "time": "2026-11-20T17:45:07.5Z",
            "hdrs": STANDARD.encode("NATS/1.0\r\nB: 2\r\nA: 1\r\n\r\n"),
            "data": STANDARD.encode("hi"),
        });
        let mut out = Vec::new();
        show(&mut out, "ORDERS", &message).expect("valid");
        assert_eq!(
            String::from_utf8_lossy(&out),
            "Item: ORDERS#7 received 2026-11-20 17:45:07 UTC on Subject order.new\n\nHeaders:\n  B: 2\n  A: 1\n\nhi\n"
        );
        let broken = json!({"data": "%"});
        assert!(show(&mut Vec::new(), "S", &broken).is_err());
    }
}
