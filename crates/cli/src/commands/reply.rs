//! `reply`: answers requests with a fixed body, with themselves, or with the output of a command.

use std::time::Duration;

use clap::Args;
use everjet_values::{Entropy, SeededEntropy};
use futures_util::StreamExt;
use serde::Serialize;

use crate::commands::outgoing::template;
use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::{any_subject, duration, header, header_map};
use crate::output::{Format, json};
use crate::template::{Filling, Template, entropy};

/// The queue group of all responders that name none, as in the official tool.
const DEFAULT_QUEUE: &str = "NATS-RPLY-22";

/// The arguments of `reply`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("answer").required(true).args(["body", "echo", "command"]))]
pub(crate) struct Flags {
    /// The subject, wildcards allowed
    #[arg(value_parser = any_subject)]
    subject: String,
    /// The answer
    #[arg(allow_negative_numbers = true)]
    body: Option<String>,
    /// Answer with the request's own body
    #[arg(long)]
    echo: bool,
    /// Answer with what this command prints; it gets NATS_REQUEST_SUBJECT and NATS_REQUEST_BODY
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// The queue group that shares the requests
    #[arg(short, long, default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Stop after this many requests; 0 goes on
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Wait for a random time up to this before answering
    #[arg(long, value_parser = duration, value_name = "MAX")]
    sleep: Option<Duration>,
    /// A header Key:Value of the answer; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Send {{...}} as it is
    #[arg(long)]
    no_templates: bool,
}

enum Answer {
    Body(Template),
    Echo,
    Command(String),
}

/// One answered request, for programs.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    subject: &'a str,
    request_bytes: usize,
    answered: bool,
}

/// Answers requests.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let answer = match (&flags.body, &flags.command) {
        (Some(body), _) => Answer::Body(template(body, !flags.no_templates)),
        (None, Some(command)) => Answer::Command(command.clone()),
        (None, None) => Answer::Echo,
    };
    let headers: Vec<(String, Template)> = flags
        .headers
        .iter()
        .map(|(key, value)| (key.clone(), template(value, !flags.no_templates)))
        .collect();
    let connection = settings.connect().await?;
    let mut requests = connection
        .client
        .queue_subscribe(flags.subject.clone(), flags.queue.clone())
        .await
        .map_err(|error| Failure::other(format!("cannot listen on {}: {error}", flags.subject)))?;
    connection.round_trip(&[&flags.subject]).await?;
    if !format.is_json() {
        eprintln!(
            "Listening on \"{}\" in group \"{}\"",
            flags.subject, flags.queue
        );
    }
    let entropy = entropy();
    let mut number = 0;
    while flags.count == 0 || number < flags.count {
        let Some(request) = requests.next().await else {
            return Err(Failure::other("the connection is closed"));
        };
        number += 1;
        if let Some(max) = flags.sleep {
            tokio::time::sleep(random_up_to(max, &entropy)).await;
        }
        let to = request.reply.as_deref().map(str::to_owned);
        if let Some(to) = &to {
            let text = String::from_utf8_lossy(&request.payload);
            let filling = Filling::new(number, &text);
            let filled: Vec<(String, String)> = headers
                .iter()
                .map(|(key, value)| (key.clone(), value.expand(&filling, &entropy)))
                .collect();
            let body = match &answer {
                Answer::Body(template) => template.expand(&filling, &entropy).into_bytes(),
                Answer::Echo => request.payload.to_vec(),
                Answer::Command(command) => run_command(command, &request.subject, &text).await?,
            };
            send(&connection, to, &filled, body).await?;
        }
        if format.is_json() {
            json::print_line(&Line {
                number,
                subject: &request.subject,
                request_bytes: request.payload.len(),
                answered: to.is_some(),
            })?;
        } else {
            let what = if to.is_some() {
                "Answered"
            } else {
                "Nobody waits for an answer to"
            };
            eprintln!("[#{number}] {what} a message on \"{}\"", request.subject);
        }
    }
    // The last answer is still in this process; it must reach the server before the exit.
    connection.round_trip(&[]).await.map(drop)
}

async fn send(
    connection: &Connection,
    to: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<(), Failure> {
    let client = &connection.client;
    let sent = match header_map(headers)? {
        Some(headers) => {
            client
                .publish_with_headers(to.to_owned(), headers, body.into())
                .await
        }
        None => client.publish(to.to_owned(), body.into()).await,
    };
    sent.map_err(|error| Failure::other(format!("cannot answer: {error}")))
}

/// Runs a command by the shell and returns what it printed. Its failure is no reason to stop answering: the requester
/// gets what was printed, the user sees the failure.
async fn run_command(command: &str, subject: &str, body: &str) -> Result<Vec<u8>, Failure> {
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .env("NATS_REQUEST_SUBJECT", subject)
        .env("NATS_REQUEST_BODY", body)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit());
    // On another thread, so that the connection stays alive while a slow command runs.
    let output = tokio::task::spawn_blocking(move || shell.output())
        .await
        .map_err(|error| Failure::other(format!("cannot run {command:?}: {error}")))?
        .map_err(|error| Failure::file(format!("cannot run {command:?}"), error))?;
    if !output.status.success() {
        eprintln!("nats: warning: {command:?} ended with {}", output.status);
    }
    Ok(output.stdout)
}

fn random_up_to(max: Duration, entropy: &SeededEntropy) -> Duration {
    let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
    Duration::from_nanos(entropy.next_u64() % (nanos + 1))
}
