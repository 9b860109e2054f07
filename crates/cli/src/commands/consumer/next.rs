//! `consumer next`: takes messages from a pull consumer and says what becomes of them.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::duration;
use crate::output::Format;
use crate::output::message::{self, Shape};
use crate::reader::{Pulled, Puller, Received, Stored};

/// The arguments of `consumer next`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The stream
    stream: String,
    /// The consumer
    consumer: String,
    /// How many messages to take
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Acknowledge the messages (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Do not acknowledge the messages
    #[arg(long, conflicts_with_all = ["nak", "term"])]
    no_ack: bool,
    /// Give the messages back
    #[arg(long, conflicts_with_all = ["term", "ack"])]
    nak: bool,
    /// Say that the messages must not be delivered again
    #[arg(long, conflicts_with = "ack")]
    term: bool,
    /// Show the bodies and nothing else
    #[arg(short, long)]
    raw: bool,
    /// How long to wait for each message [default: the timeout]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    wait: Option<Duration>,
}

/// What to tell the server about a message, and how that is called.
struct Verdict {
    body: &'static str,
    done: &'static str,
}

impl Flags {
    fn verdict(&self) -> Option<Verdict> {
        if self.nak {
            let (body, done) = ("-NAK", "Gave the message back");
            return Some(Verdict { body, done });
        }
        if self.term {
            let (body, done) = ("+TERM", "Terminated the message");
            return Some(Verdict { body, done });
        }
        let (body, done) = ("+ACK", "Acknowledged message");
        (!self.no_ack).then_some(Verdict { body, done })
    }
}

/// Takes messages.
///
/// # Errors
/// The reason for exit code 1: there were fewer messages than asked for.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    format.refuse_raw(flags.raw)?;
    let stream = crate::api::name("stream", &flags.stream)?;
    let name = crate::api::name("consumer", &flags.consumer)?;
    let wait = flags.wait.unwrap_or(settings.timeout());
    if wait < Duration::from_millis(1) {
        return Err(Failure::usage("--wait must be at least 1ms"));
    }
    let connection = settings.connect().await?;
    // The answer for a consumer that is missing has the server's words; a pull request would only hear nothing.
    let doing = format!("cannot take messages from consumer {name} of stream {stream}");
    let call = format!("CONSUMER.INFO.{stream}.{name}");
    let info = connection.api.call(&call, None, &doing).await?;
    if !crate::api::text_at(&info.value, "/config/deliver_subject").is_empty() {
        return Err(Failure::other(format!(
            "{doing}: it pushes its messages; subscribe to {} instead",
            crate::api::text_at(&info.value, "/config/deliver_subject")
        )));
    }
    let acknowledges = crate::api::text_at(&info.value, "/config/ack_policy") != "none";
    if !acknowledges && (flags.nak || flags.term) {
        return Err(Failure::usage(format!(
            "{doing}: it takes no acknowledgements; leave --nak and --term out"
        )));
    }
    let verdict = flags.verdict().filter(|_| acknowledges);
    let mut puller = Puller::with_expiry(&connection, stream, name, 1, wait).await?;
    for taken in 0..flags.count {
        match puller.next().await? {
            Pulled::Message(message) => {
                let stored = message.reply.as_deref().and_then(Stored::parse);
                let received = Received { message, stored };
                show(flags, &received, taken + 1, format)?;
                if let Some(verdict) = &verdict {
                    tell(&connection, &received, verdict, flags, format).await?;
                }
            }
            Pulled::Ended {
                status: 404 | 408, ..
            }
            | Pulled::Silent => {
                let shown = everjet_values::format_duration(wait);
                return Err(Failure::other(match taken {
                    0 => format!("{doing}: no message within {shown}"),
                    _ => format!(
                        "{doing}: {taken} of {} came, no further one within {shown}",
                        flags.count
                    ),
                }));
            }
            Pulled::Ended { status, text } => {
                return Err(Failure::other(format!("{doing}: {text} ({status})")));
            }
        }
    }
    Ok(())
}

fn show(flags: &Flags, received: &Received, number: u64, format: Format) -> Result<(), Failure> {
    if format.is_json() {
        message::print(received, number, Shape::Json)?;
        return Ok(());
    }
    if flags.raw {
        message::print(received, number, Shape::Raw)?;
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    if let Some(stored) = &received.stored {
        let now = crate::forms::now().to_string();
        writeln!(
            out,
            "[{}] subj: {} / tries: {} / cons seq: {} / str seq: {} / pending: {}\n",
            now.get(11..19).unwrap_or_default(),
            received.message.subject,
            stored.delivered,
            stored.consumer_sequence,
            stored.sequence,
            stored.pending
        )?;
    }
    message::write_content(&mut out, &received.message)?;
    out.flush()?;
    Ok(())
}

/// Tells the server what became of a message, and waits until it has noted that.
async fn tell(
    connection: &Connection,
    received: &Received,
    verdict: &Verdict,
    flags: &Flags,
    format: Format,
) -> Result<(), Failure> {
    let Some(reply) = &received.message.reply else {
        return Err(Failure::other(
            "the message has no acknowledgement subject; the server did not deliver it from a stream",
        ));
    };
    connection
        .client
        .request(reply.clone(), verdict.body.into())
        .await
        .map_err(|error| {
            Failure::other(format!(
                "the server did not confirm the acknowledgement, so the message may come again: {error}"
            ))
        })?;
    if !flags.raw && !format.is_json() {
        eprintln!("{}", verdict.done);
    }
    Ok(())
}
