//! `publish`: sends messages, and waits for the acknowledgement when a stream stores them.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::commands::outgoing::{Outgoing, OutgoingFlags};
use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::{any_subject, duration, literal_subject};
use crate::output::{Format, json};
use crate::publisher::{Published, Publisher, Sent, Ticket};

/// Above this many messages there is no line for each, and the server is asked only at the end whether all arrived.
const EACH_MAX: u64 = 20;

/// How many messages may wait for their acknowledgement when many are sent.
const WINDOW: usize = 256;

/// The arguments of `publish`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The subject
    #[arg(value_parser = literal_subject)]
    subject: String,
    #[command(flatten)]
    outgoing: OutgoingFlags,
    /// How many messages to send
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The pause between two messages
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    sleep: Option<Duration>,
    /// The reply subject that the messages carry
    #[arg(long, value_parser = any_subject, value_name = "SUBJECT")]
    reply: Option<String>,
    /// Insist on a stream that stores the subject
    #[arg(short = 'J', long, conflicts_with = "reply")]
    jetstream: bool,
    /// Say nothing when all goes well
    #[arg(short, long)]
    quiet: bool,
}

/// One published message, for programs.
#[derive(Serialize)]
struct Line<'a> {
    subject: &'a str,
    bytes: usize,
    /// `null` when this user is not told.
    stored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
}

/// Publishes.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let mut outgoing = Outgoing::new(flags.outgoing, flags.count).await?;
    let connection = settings.connect().await?;
    let reply = flags.reply.as_deref();
    let mut publisher = Publisher::open(&connection, &flags.subject, reply).await?;
    if flags.jetstream {
        publisher.insist_on_stream()?;
    }
    let report = Report {
        subject: &flags.subject,
        format,
        quiet: flags.quiet,
        each: flags.count <= EACH_MAX,
    };
    let window = if report.each || flags.sleep.is_some() {
        1
    } else {
        WINDOW
    };
    let mut waiting = VecDeque::new();
    let mut last = None;
    let mut number = 0;
    while let Some((headers, body)) = outgoing.next(number + 1).await? {
        if let (Some(pause), true) = (flags.sleep, number > 0) {
            tokio::time::sleep(pause).await;
        }
        number += 1;
        let bytes = body.len();
        match publisher.send(headers, body).await? {
            Sent::Awaiting(ticket) => waiting.push_back((ticket, bytes)),
            Sent::Done(published) => {
                if report.each {
                    settle(&connection, &flags.subject, &published).await?;
                }
                report.message(&published, bytes)?;
                last = Some(published);
            }
        }
        if waiting.len() >= window {
            last = report.oldest(&mut publisher, &mut waiting).await?;
        }
    }
    while !waiting.is_empty() {
        last = report.oldest(&mut publisher, &mut waiting).await?;
    }
    if let Some(published) = last {
        settle(&connection, &flags.subject, &published).await?;
        report.total(number, &published);
    }
    Ok(())
}

/// Makes sure that the server took a message that nothing acknowledges, before anything is said about it.
async fn settle(
    connection: &Connection,
    subject: &str,
    published: &Published,
) -> Result<(), Failure> {
    match published {
        Published::Stored { .. } => Ok(()),
        _ => connection.round_trip(&[subject]).await.map(drop),
    }
}

struct Report<'a> {
    subject: &'a str,
    format: Format,
    quiet: bool,
    each: bool,
}

impl Report<'_> {
    /// Waits for the acknowledgement of the message that waits longest, and reports it.
    async fn oldest(
        &self,
        publisher: &mut Publisher<'_>,
        waiting: &mut VecDeque<(Ticket, usize)>,
    ) -> Result<Option<Published>, Failure> {
        let Some((ticket, bytes)) = waiting.pop_front() else {
            return Ok(None);
        };
        let published = publisher.acknowledged(ticket).await?;
        self.message(&published, bytes)?;
        Ok(Some(published))
    }

    fn message(&self, published: &Published, bytes: usize) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        if self.format.is_json() {
            json::print_line(&self.line(published, bytes))?;
        } else if self.each {
            let what = format!("{bytes} bytes");
            eprintln!("{}", describe(self.subject, published, &what));
        }
        Ok(())
    }

    fn total(&self, count: u64, published: &Published) {
        if self.format.is_json() || self.each || self.quiet {
            return;
        }
        match published {
            Published::Stored {
                stream, sequence, ..
            } => {
                eprintln!("Stored {count} messages in {stream}, the last with sequence {sequence}");
            }
            _ => eprintln!(
                "{}",
                describe(self.subject, published, &format!("{count} messages"))
            ),
        }
    }

    fn line<'b>(&'b self, published: &'b Published, bytes: usize) -> Line<'b> {
        let mut line = Line {
            subject: self.subject,
            bytes,
            stored: Some(false),
            stream: None,
            sequence: None,
            duplicate: None,
        };
        match published {
            Published::Stored {
                stream,
                sequence,
                duplicate,
            } => {
                line.stored = Some(true);
                line.stream = Some(stream);
                line.sequence = Some(*sequence);
                line.duplicate = Some(*duplicate);
            }
            Published::Unacknowledged { stream, .. } => {
                line.stored = None;
                line.stream = Some(stream);
            }
            Published::Unknown => line.stored = None,
            Published::NotStored => {}
        }
        line
    }
}

/// What became of `what`, for example of `31 bytes`.
fn describe(subject: &str, published: &Published, what: &str) -> String {
    match published {
        Published::Stored {
            stream,
            sequence,
            duplicate: false,
        } => format!("Stored in {stream}, sequence {sequence}"),
        Published::Stored {
            stream,
            sequence,
            duplicate: true,
        } => format!("{stream} has this message already, sequence {sequence} (duplicate)"),
        Published::Unacknowledged { stream, reason } => {
            format!("Published {what} to \"{subject}\" for stream {stream}; {reason}")
        }
        Published::Unknown => format!(
            "Published {what} to \"{subject}\"; whether a stream stores it is not known to this user"
        ),
        Published::NotStored => {
            format!("Published {what} to \"{subject}\"; no stream stores this subject")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_message_is_said_in_one_line() {
        let stored = |duplicate| Published::Stored {
            stream: "ORDERS".to_owned(),
            sequence: 1,
            duplicate,
        };
        for (published, text) in [
            (stored(false), "Stored in ORDERS, sequence 1"),
            (
                stored(true),
                "ORDERS has this message already, sequence 1 (duplicate)",
            ),
            (
                Published::NotStored,
                "Published 31 bytes to \"order.new\"; no stream stores this subject",
            ),
        ] {
            assert_eq!(describe("order.new", &published, "31 bytes"), text);
        }
    }
}
