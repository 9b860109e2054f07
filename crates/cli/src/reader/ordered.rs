//! A stream's messages in order, without gap and without duplicate.
//!
//! A short-lived consumer without acknowledgements delivers them. When a delivery is missing, the consumer is gone or
//! the server was away, a new one is made that starts after the last message seen.

use std::time::Duration;

use everjet_values::{Timestamp, token};
use serde_json::{Value, json};

use super::{Pulled, Puller, Received, Stored};
use crate::api::count_at;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::forms::nanos;
use crate::template::entropy;

/// How long the server keeps the consumer of a reader that went away.
const INACTIVE: Duration = Duration::from_secs(30);
/// The pause before something that just went wrong is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// The most messages one request asks for.
const BATCH: u64 = 200;
/// The JetStream code for a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10059;

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first message that is stored.
    All,
    /// What is stored from now on.
    New,
    /// The last message that is stored.
    Last,
    /// The last message of each subject.
    LastPerSubject,
    /// The first message stored at this time or later.
    Since(Timestamp),
    /// This sequence, or the first after it.
    Sequence(u64),
}

impl Start {
    /// The fields of a consumer configuration that begins here.
    pub(crate) fn write(self, config: &mut Value) {
        let policy = match self {
            Self::All => "all",
            Self::New => "new",
            Self::Last => "last",
            Self::LastPerSubject => "last_per_subject",
            Self::Since(time) => {
                config["opt_start_time"] = json!(time.to_string());
                "by_start_time"
            }
            Self::Sequence(sequence) => {
                config["opt_start_seq"] = json!(sequence);
                "by_start_sequence"
            }
        };
        config["deliver_policy"] = json!(policy);
    }
}

/// What to read.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The stream.
    pub(crate) stream: String,
    /// Only subjects that match; `None` for all.
    pub(crate) filter: Option<String>,
    /// Where to begin.
    pub(crate) start: Start,
    /// Leave the bodies out.
    pub(crate) headers_only: bool,
    /// How many messages are wanted at most, if that is known.
    pub(crate) wanted: Option<u64>,
}

/// A reader in stream order.
pub(crate) struct Ordered {
    connection: std::sync::Arc<Connection>,
    order: Order,
    consumer: String,
    puller: Puller,
    delivered: u64,
    /// The sequence of the last message seen; `None` until the start is known as a sequence.
    last_seen: Option<u64>,
    waiting: u64,
}

impl Ordered {
    /// Begins to read.
    ///
    /// # Errors
    /// The server's refusal, or why there is no answer.
    pub(crate) async fn open(
        connection: std::sync::Arc<Connection>,
        order: Order,
    ) -> Result<Self, Failure> {
        let (consumer, info) = create_consumer(&connection, &order, order.start).await?;
        let puller = new_puller(&connection, &order, &consumer).await?;
        // With the last of each subject, what was seen of one subject says nothing about the others.
        let last_seen = (order.start != Start::LastPerSubject)
            .then(|| count_at(&info, "/delivered/stream_seq"));
        Ok(Self {
            connection,
            order,
            consumer,
            puller,
            delivered: 0,
            last_seen,
            waiting: count_at(&info, "/num_pending"),
        })
    }

    /// How many messages were there to deliver when reading began.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Waits for the next message, however long it takes and however often the server goes away.
    ///
    /// # Errors
    /// [`Failure`] when the stream is gone or the server refuses to go on.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        loop {
            match self.puller.next().await? {
                Pulled::Message(message) => {
                    let stored = message.reply.as_deref().and_then(Stored::parse);
                    match stored {
                        Some(stored) if stored.consumer_sequence == self.delivered + 1 => {
                            self.delivered = stored.consumer_sequence;
                            self.last_seen = Some(stored.sequence);
                            return Ok(Received {
                                message,
                                stored: Some(stored),
                            });
                        }
                        _ => self.restart().await?,
                    }
                }
                Pulled::Ended {
                    status: 404 | 408, ..
                } => {}
                Pulled::Ended { status: 409, text } if !text.contains("Deleted") => {
                    // A limit or a change of the server; asking again at once could spin.
                    tokio::time::sleep(RETRY).await;
                }
                Pulled::Ended { .. } | Pulled::Silent => self.restart().await?,
            }
        }
    }

    /// Removes the consumer. Not removing it is no harm: the server does so when nobody asks it any more.
    pub(crate) async fn close(&self) {
        let call = format!("CONSUMER.DELETE.{}.{}", self.order.stream, self.consumer);
        let _ = self
            .connection
            .api
            .call(&call, None, "cannot delete the consumer")
            .await;
    }

    /// Makes a new consumer that starts after the last message seen.
    async fn restart(&mut self) -> Result<(), Failure> {
        self.close().await;
        let start = match self.last_seen {
            Some(last_seen) => Start::Sequence(last_seen + 1),
            None => self.order.start,
        };
        loop {
            match create_consumer(&self.connection, &self.order, start).await {
                Ok((consumer, _)) => {
                    self.puller = new_puller(&self.connection, &self.order, &consumer).await?;
                    self.consumer = consumer;
                    self.delivered = 0;
                    return Ok(());
                }
                Err(failure) if failure.err_code() == Some(STREAM_NOT_FOUND) => {
                    return Err(failure);
                }
                // The server is away or still starting: keep trying, the user can stop this.
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

async fn new_puller(
    connection: &Connection,
    order: &Order,
    consumer: &str,
) -> Result<Puller, Failure> {
    let batch = order.wanted.unwrap_or(BATCH).clamp(1, BATCH);
    Puller::new(connection, &order.stream, consumer, batch).await
}

/// Creates the consumer; returns its name and what the server says about it.
async fn create_consumer(
    connection: &Connection,
    order: &Order,
    start: Start,
) -> Result<(String, Value), Failure> {
    let name = format!("nats-cli-{}", token(&entropy(), 12));
    let mut config = json!({
        "name": name,
        "ack_policy": "none",
        "replay_policy": "instant",
        "max_deliver": 1,
        "num_replicas": 1,
        "mem_storage": true,
        "inactive_threshold": nanos(INACTIVE),
    });
    if order.headers_only {
        config["headers_only"] = json!(true);
    }
    if let Some(filter) = &order.filter {
        config["filter_subject"] = json!(filter);
    }
    start.write(&mut config);
    let call = match &order.filter {
        Some(filter) => format!("CONSUMER.CREATE.{}.{name}.{filter}", order.stream),
        None => format!("CONSUMER.CREATE.{}.{name}", order.stream),
    };
    let request = json!({"stream_name": order.stream, "config": config, "action": "create"});
    let doing = format!("cannot read stream {}", order.stream);
    let answer = connection.api.call(&call, Some(&request), &doing).await?;
    Ok((name, answer.value))
}
