//! `subscribe`: shows messages.
//!
//! A subject that streams store is read from the streams: first what is stored, then what comes, in one go and so
//! without gap and without duplicate. What no stream stores comes from a plain subscription beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::{any_subject, duration, now};
use crate::keeper::{Keeper, keepers};
use crate::output::Format;
use crate::output::message::{self, Document, Shape};
use crate::reader::{Choice, Durable, Order, Ordered, Received, Start};

/// How long the clean-up at the end may take.
const CLOSING: Duration = Duration::from_secs(1);
/// How many messages may wait between the readers and standard output.
const QUEUE: usize = 256;

/// The arguments of `subscribe`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// The subjects, wildcards allowed; with --stream there need be none
    #[arg(value_parser = any_subject)]
    subjects: Vec<String>,
    /// Share the messages with the other members of this queue group; always a plain subscription
    #[arg(long, value_name = "GROUP", conflicts_with_all = ["stream", "durable", "all", "new", "last", "last_per_subject", "since", "start_sequence", "ack", "terminate_at_end"])]
    queue: Option<String>,
    /// Stop after this many messages
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop when no message came for this long
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    wait: Option<Duration>,
    /// Show the bodies and nothing else
    #[arg(short, long, conflicts_with_all = ["headers_only", "subjects_only", "dump"])]
    raw: bool,
    /// Show no bodies
    #[arg(long, conflicts_with_all = ["subjects_only", "dump"])]
    headers_only: bool,
    /// Show nothing but the subjects
    #[arg(long, conflicts_with = "dump")]
    subjects_only: bool,
    /// Write each message as JSON to a numbered file in this folder, or to standard output for -
    #[arg(long, value_name = "FOLDER", allow_hyphen_values = true)]
    dump: Option<String>,
    /// Do not show messages of these subjects; may be repeated
    #[arg(short = 'I', long = "ignore-subject", value_name = "SUBJECT", value_parser = any_subject)]
    ignored: Vec<String>,
    /// Read this stream
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Read through this durable consumer, which goes on where it left off
    #[arg(long, value_name = "CONSUMER")]
    durable: Option<String>,
    /// Acknowledge the messages to the durable consumer
    #[arg(long, requires = "durable")]
    ack: bool,
    /// Begin with the first stored message, and insist on a stream
    #[arg(long, group = "start")]
    all: bool,
    /// Only new messages: a plain subscription unless --stream or --durable is given
    #[arg(long, group = "start")]
    new: bool,
    /// Begin with the last stored message
    #[arg(long, group = "start")]
    last: bool,
    /// Begin with the last stored message of each subject
    #[arg(long, group = "start")]
    last_per_subject: bool,
    /// Begin with messages stored this long ago
    #[arg(long, group = "start", value_parser = duration, value_name = "DURATION")]
    since: Option<Duration>,
    /// Begin with this sequence
    #[arg(long, group = "start", value_name = "SEQUENCE", value_parser = clap::value_parser!(u64).range(1..))]
    start_sequence: Option<u64>,
    /// Stop at the end of what is stored
    #[arg(short = 'T', long, conflicts_with = "new")]
    terminate_at_end: bool,
}

impl Flags {
    /// Where the flags say that reading begins; `None` when they do not say.
    fn start(&self) -> Option<Start> {
        if self.all {
            return Some(Start::All);
        }
        if self.new {
            return Some(Start::New);
        }
        if self.last {
            return Some(Start::Last);
        }
        if self.last_per_subject {
            return Some(Start::LastPerSubject);
        }
        let since = self.since.map(|ago| Start::Since(now().minus(ago)));
        since.or_else(|| self.start_sequence.map(Start::Sequence))
    }

    /// Whether only a stream can give what is asked for.
    fn insists_on_a_stream(&self) -> bool {
        let from_store = self.start().is_some_and(|start| start != Start::New);
        from_store || self.stream.is_some() || self.durable.is_some() || self.terminate_at_end
    }

    fn is_plain(&self) -> bool {
        self.queue.is_some() || (self.new && !self.insists_on_a_stream())
    }
}

/// What a reader tells the command.
enum Event {
    Message(Box<Received>),
    /// A stream's reader has shown everything that was stored.
    End,
    Failed(Failure),
}

/// Shows messages.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(flags: Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    if flags.subjects.is_empty() && flags.stream.is_none() {
        return Err(Failure::usage(
            "a subject is missing; or name a stream with --stream",
        ));
    }
    let output = Output::new(&flags, format)?;
    let connection = Arc::new(settings.connect().await?);
    let (events, mut incoming) = mpsc::channel(QUEUE);
    let mut readers = open(&flags, &connection, format, &events).await?;
    drop(events);
    let outcome = show(&flags, &connection, &output, readers.len(), &mut incoming).await;
    // A reader that waits to hand a message on must not wait for ever.
    incoming.close();
    for (stop, task) in readers.drain(..) {
        drop(stop);
        let _ = tokio::time::timeout(CLOSING, task).await;
    }
    outcome
}

/// Shows messages until one of the flags says that it is enough.
async fn show(
    flags: &Flags,
    connection: &Connection,
    output: &Output,
    readers: usize,
    incoming: &mut mpsc::Receiver<Event>,
) -> Result<(), Failure> {
    let mut ended = 0;
    let mut shown = 0;
    // The end of what is stored may already be there, when nothing is stored.
    while !(flags.terminate_at_end && ended == readers) {
        let event = match flags.wait {
            Some(patience) => match tokio::time::timeout(patience, incoming.recv()).await {
                Ok(event) => event,
                Err(_) => return Ok(()),
            },
            None => incoming.recv().await,
        };
        match event {
            Some(Event::Message(received)) => {
                let subject = received.message.subject.as_bytes();
                let is_ignored = flags
                    .ignored
                    .iter()
                    .any(|filter| everjet_subject::matches(filter.as_bytes(), subject));
                if !is_ignored {
                    shown += 1;
                    output.show(&received, shown)?;
                }
                if flags.ack {
                    acknowledge(connection, &received).await?;
                }
                if flags.count == Some(shown) {
                    return Ok(());
                }
            }
            Some(Event::End) => ended += 1,
            Some(Event::Failed(failure)) => return Err(failure),
            None => return Err(Failure::other("the connection is closed")),
        }
    }
    Ok(())
}

/// A reader of a stream at work, and what stops it when it is dropped.
type Running = (oneshot::Sender<()>, JoinHandle<()>);

/// Opens everything that has to be read; returns the readers of streams.
async fn open(
    flags: &Flags,
    connection: &Arc<Connection>,
    format: Format,
    events: &mpsc::Sender<Event>,
) -> Result<Vec<Running>, Failure> {
    let mut readers = Vec::new();
    if let (Some(stream), true) = (&flags.stream, flags.subjects.is_empty()) {
        readers.push(open_stream(flags, connection, format, events, stream, None).await?);
        return Ok(readers);
    }
    let mut plain = Vec::new();
    for subject in &flags.subjects {
        let found = if flags.is_plain() {
            Vec::new()
        } else if let Some(stream) = &flags.stream {
            let reader =
                open_stream(flags, connection, format, events, stream, Some(subject)).await?;
            readers.push(reader);
            continue;
        } else {
            keepers(connection, subject).await?.unwrap_or_default()
        };
        if found.is_empty() && flags.insists_on_a_stream() {
            return Err(Failure::other(format!("no stream stores {subject}")));
        }
        if let (Some(durable), [first, second, ..]) = (&flags.durable, found.as_slice()) {
            return Err(Failure::usage(format!(
                "{subject} is stored by {} and {} at least; say with --stream to which of them durable {durable} belongs",
                first.name, second.name
            )));
        }
        // The plain subscription first: a message that is published in between is then not lost.
        if !is_covered(subject, &found) && !flags.insists_on_a_stream() {
            open_plain(flags, connection, events, subject, &found).await?;
        }
        for keeper in &found {
            let name = &keeper.name;
            let reader =
                open_stream(flags, connection, format, events, name, Some(subject)).await?;
            readers.push(reader);
        }
        if found.is_empty() {
            plain.push(subject);
        }
    }
    // Whoever waits for the lines below and then publishes must be able to rely on them.
    let subjects: Vec<&str> = flags.subjects.iter().map(String::as_str).collect();
    connection.round_trip(&subjects).await?;
    if !format.is_json() {
        for subject in plain {
            eprintln!("Subscribing on {subject}");
        }
    }
    Ok(readers)
}

/// Whether everything on `subject` is stored by the streams together.
fn is_covered(subject: &str, keepers: &[Keeper]) -> bool {
    kept(keepers).any(|stored| everjet_subject::is_subset(subject.as_bytes(), stored.as_bytes()))
}

fn kept(keepers: &[Keeper]) -> impl Iterator<Item = &String> {
    keepers.iter().flat_map(|keeper| &keeper.subjects)
}

/// Opens a plain subscription that leaves out what `stored_by` deliver.
async fn open_plain(
    flags: &Flags,
    connection: &Arc<Connection>,
    events: &mpsc::Sender<Event>,
    subject: &str,
    stored_by: &[Keeper],
) -> Result<(), Failure> {
    let client = &connection.client;
    let subscribed = match &flags.queue {
        Some(queue) => {
            client
                .queue_subscribe(subject.to_owned(), queue.clone())
                .await
        }
        None => client.subscribe(subject.to_owned()).await,
    };
    let mut messages = subscribed
        .map_err(|error| Failure::other(format!("cannot subscribe on {subject}: {error}")))?;
    let stored: Vec<String> = kept(stored_by).cloned().collect();
    let (connection, events) = (connection.clone(), events.clone());
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let is_stored = stored.iter().any(|filter| {
                everjet_subject::matches(filter.as_bytes(), message.subject.as_bytes())
            });
            let is_shown = !is_stored && !connection.is_own_traffic(&message);
            let received = Received {
                message,
                stored: None,
            };
            if is_shown
                && events
                    .send(Event::Message(Box::new(received)))
                    .await
                    .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// Opens a reader of a stream, and says what it will show first.
async fn open_stream(
    flags: &Flags,
    connection: &Arc<Connection>,
    format: Format,
    events: &mpsc::Sender<Event>,
    stream: &str,
    subject: Option<&String>,
) -> Result<Running, Failure> {
    crate::api::name("stream", stream)?;
    let start = flags.start();
    let order = Order {
        stream: stream.to_owned(),
        // A filter for everything is none: it would be refused by a stream that stores less.
        filter: subject.filter(|subject| *subject != ">").cloned(),
        start: start.unwrap_or(Start::All),
        headers_only: flags.headers_only,
        // Ignored messages do not count.
        wanted: flags.count.filter(|_| flags.ignored.is_empty()),
    };
    let reader = match &flags.durable {
        Some(durable) => {
            let choice = Choice {
                name: durable,
                acknowledged: flags.ack,
                start_given: start.is_some(),
            };
            Reader::Durable(Durable::open(connection, &order, &choice).await?)
        }
        None => Reader::Ordered(Ordered::open(connection.clone(), order).await?),
    };
    let waiting = reader.waiting();
    if !format.is_json() {
        let on = subject
            .map(|subject| format!(" on {subject}"))
            .unwrap_or_default();
        let messages = if waiting == 1 { "message" } else { "messages" };
        if start.is_none() && flags.durable.is_none() {
            eprintln!(
                "{stream} holds {waiting} {messages}{on}, shown first; --new shows only new ones"
            );
        } else {
            eprintln!("Reading stream {stream}{on}: {waiting} {messages} to begin with");
        }
    }
    let (stop, stopped) = oneshot::channel();
    let events = events.clone();
    let task = tokio::spawn(async move {
        let mut reader = reader;
        tokio::select! {
            () = forward(&mut reader, waiting, events) => {}
            _ = stopped => {}
        }
        reader.close().await;
    });
    Ok((stop, task))
}

enum Reader {
    Ordered(Ordered),
    Durable(Durable),
}

impl Reader {
    fn waiting(&self) -> u64 {
        match self {
            Self::Ordered(reader) => reader.waiting(),
            Self::Durable(reader) => reader.waiting(),
        }
    }

    async fn next(&mut self) -> Result<Received, Failure> {
        match self {
            Self::Ordered(reader) => reader.next().await,
            Self::Durable(reader) => reader.next().await,
        }
    }

    /// Removes what only this reader needed.
    async fn close(&self) {
        match self {
            Self::Ordered(reader) => reader.close().await,
            Self::Durable(_) => {}
        }
    }
}

/// Hands a reader's messages on, and once that everything stored was shown.
async fn forward(reader: &mut Reader, waiting: u64, events: mpsc::Sender<Event>) {
    let mut is_at_end = waiting == 0;
    if is_at_end && events.send(Event::End).await.is_err() {
        return;
    }
    loop {
        let event = match reader.next().await {
            Ok(received) => Event::Message(Box::new(received)),
            Err(failure) => {
                let _ = events.send(Event::Failed(failure)).await;
                return;
            }
        };
        let none_left = matches!(&event, Event::Message(received)
            if received.stored.as_ref().is_none_or(|stored| stored.pending == 0));
        if events.send(event).await.is_err() {
            return;
        }
        if none_left && !is_at_end {
            is_at_end = true;
            if events.send(Event::End).await.is_err() {
                return;
            }
        }
    }
}

/// Acknowledges a message and waits until the server has noted it.
async fn acknowledge(connection: &Connection, received: &Received) -> Result<(), Failure> {
    let Some(reply) = received.message.reply.clone() else {
        return Ok(());
    };
    connection
        .client
        .request(reply, "+ACK".into())
        .await
        .map(drop)
        .map_err(|error| {
            Failure::other(format!(
                "the server did not confirm an acknowledgement: {error}"
            ))
        })
}

/// Where messages are shown.
enum Output {
    Standard(Shape),
    Folder(PathBuf),
}

impl Output {
    fn new(flags: &Flags, format: Format) -> Result<Self, Failure> {
        let shape = match (&flags.dump, format) {
            (Some(target), _) if target == "-" => Shape::Dump,
            (Some(folder), _) => {
                std::fs::create_dir_all(folder)
                    .map_err(|error| Failure::file(format!("cannot create {folder}"), error))?;
                return Ok(Self::Folder(PathBuf::from(folder)));
            }
            (None, Format::Json) => Shape::Json,
            (None, Format::Text) if flags.raw => Shape::Raw,
            (None, Format::Text) if flags.headers_only => Shape::HeadersOnly,
            (None, Format::Text) if flags.subjects_only => Shape::SubjectOnly,
            (None, Format::Text) => Shape::Full,
        };
        if format.is_json() && (flags.raw || flags.headers_only || flags.subjects_only) {
            return Err(Failure::usage(
                "--json shows messages as objects; leave --raw, --headers-only and --subjects-only out",
            ));
        }
        Ok(Self::Standard(shape))
    }

    fn show(&self, received: &Received, number: u64) -> Result<(), Failure> {
        match self {
            Self::Standard(shape) => message::print(received, number, *shape)?,
            Self::Folder(folder) => {
                let path = folder.join(format!("{number}.json"));
                let text = serde_json::to_string_pretty(&Document::new(received))
                    .map_err(|error| Failure::other(error.to_string()))?;
                std::fs::write(&path, text).map_err(|error| {
                    Failure::file(format!("cannot write {}", path.display()), error)
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(subjects: &[&str]) -> Keeper {
        Keeper {
            name: "S".to_owned(),
            subjects: subjects.iter().map(ToString::to_string).collect(),
            acknowledges: true,
        }
    }

    #[test]
    fn a_subject_is_covered_when_one_stored_subject_contains_it() {
        let keepers = [keeper(&["order.*"]), keeper(&["a", "b.>"])];
        for (subject, covered) in [
            ("order.new", true),
            ("order.*", true),
            ("order.>", false),
            (">", false),
            ("b.c.d", true),
            ("c", false),
        ] {
            assert_eq!(is_covered(subject, &keepers), covered, "{subject}");
        }
        assert!(!is_covered("order.new", &[]));
    }
}
