//! `request`: sends requests and shows the replies.

use std::io::Write;
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode};
use clap::Args;
use futures_util::StreamExt;

use crate::commands::outgoing::{Outgoing, OutgoingFlags};
use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::{duration, literal_subject};
use crate::output::Format;
use crate::output::message::{self, Shape};
use crate::reader::Received;

/// The arguments of `request`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The subject
    #[arg(value_parser = literal_subject)]
    subject: String,
    #[command(flatten)]
    outgoing: OutgoingFlags,
    /// How many requests to send
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many replies to wait for; 0 takes all that come before the timeout
    #[arg(long, default_value_t = 1)]
    replies: u64,
    /// How long to wait for a further reply after the first
    #[arg(long, value_parser = duration, default_value = "300ms", value_name = "DURATION")]
    reply_timeout: Duration,
    /// Take replies until one is empty
    #[arg(long, conflicts_with = "replies")]
    wait_for_empty: bool,
    /// Show the bodies of the replies and nothing else
    #[arg(short, long)]
    raw: bool,
}

/// Sends requests.
///
/// # Errors
/// The reason for exit code 1: nobody answered, or fewer than asked for.
pub(crate) async fn run(flags: Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    format.refuse_raw(flags.raw)?;
    let mut outgoing = Outgoing::new(flags.outgoing.clone(), flags.count).await?;
    let connection = settings.connect().await?;
    let mut number = 0;
    while let Some((headers, body)) = outgoing.next(number + 1).await? {
        number += 1;
        if !flags.raw && !format.is_json() {
            eprintln!("Sending request on \"{}\"", flags.subject);
        }
        exchange(
            &flags,
            &connection,
            format,
            headers.unwrap_or_default(),
            body,
        )
        .await?;
    }
    Ok(())
}

async fn exchange(
    flags: &Flags,
    connection: &Connection,
    format: Format,
    headers: async_nats::HeaderMap,
    body: Vec<u8>,
) -> Result<(), Failure> {
    let failed = |error: String| Failure::other(format!("request on {}: {error}", flags.subject));
    let client = &connection.client;
    let inbox = client.new_inbox();
    let mut replies = client
        .subscribe(inbox.clone())
        .await
        .map_err(|error| failed(error.to_string()))?;
    let start = Instant::now();
    let to = flags.subject.clone();
    let sent = if headers.is_empty() {
        client.publish_with_reply(to, inbox, body.into()).await
    } else {
        client
            .publish_with_reply_and_headers(to, inbox, headers, body.into())
            .await
    };
    sent.map_err(|error| failed(error.to_string()))?;

    let mut received = 0;
    loop {
        let patience = match (received, flags.replies) {
            (0, _) => connection.timeout,
            // Everything until the timeout, which counts from the request.
            (_, 0) => connection.timeout.saturating_sub(start.elapsed()),
            _ => flags.reply_timeout,
        };
        let reply = match tokio::time::timeout(patience, replies.next()).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return Err(failed("the connection is closed".to_owned())),
            Err(_) => return finish(flags, connection, received),
        };
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(failed(
                "no responders; nobody listens there (503)".to_owned(),
            ));
        }
        if flags.wait_for_empty && reply.payload.is_empty() {
            return Ok(());
        }
        received += 1;
        show(flags, format, reply, received, start.elapsed())?;
        if !flags.wait_for_empty && received == flags.replies {
            return Ok(());
        }
    }
}

/// What it means that no further reply came.
fn finish(flags: &Flags, connection: &Connection, received: u64) -> Result<(), Failure> {
    match received {
        0 => Err(Failure::other(format!(
            "request on {}: no reply within {}",
            flags.subject,
            everjet_values::format_duration(connection.timeout)
        ))),
        _ if flags.wait_for_empty => Err(Failure::other(format!(
            "request on {}: no empty reply ended the {received} received",
            flags.subject
        ))),
        _ if received < flags.replies => Err(Failure::other(format!(
            "request on {}: {received} of {} replies came",
            flags.subject, flags.replies
        ))),
        _ => Ok(()),
    }
}

fn show(
    flags: &Flags,
    format: Format,
    reply: Message,
    number: u64,
    took: Duration,
) -> Result<(), Failure> {
    let received = Received {
        message: reply,
        stored: None,
    };
    if format.is_json() {
        message::print(&received, number, Shape::Json)?;
    } else if flags.raw {
        message::print(&received, number, Shape::Raw)?;
    } else {
        eprintln!(
            "Received with rtt {}",
            everjet_values::format_duration(took)
        );
        let mut out = std::io::stdout().lock();
        message::write_content(&mut out, &received.message)?;
        out.flush()?;
    }
    Ok(())
}
