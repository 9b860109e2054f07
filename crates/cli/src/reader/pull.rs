//! Pull requests of one consumer.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use serde_json::json;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::forms::nanos;

/// How long one request waits at the server when the caller has no limit of its own.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it is still there while there is nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// What came of a pull request.
#[derive(Debug)]
pub(crate) enum Pulled {
    /// A message.
    Message(Message),
    /// The request is over: the status and its text.
    Ended {
        /// 404 and 408 for nothing there, 409 for a reason in the text, 503 for no such consumer.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// Neither a message nor a heartbeat came when one was due.
    Silent,
}

/// Asks a pull consumer for messages, one request after another.
pub(crate) struct Puller {
    client: Client,
    subject: String,
    inbox: String,
    replies: Subscriber,
    batch: u64,
    expires: Duration,
    /// Messages that the current request may still bring; 0 when there is none.
    outstanding: u64,
}

impl Puller {
    /// Requests of `batch` messages that wait as long as the server lets them.
    ///
    /// # Errors
    /// [`Failure::Other`] when the connection is closed.
    pub(crate) async fn new(
        connection: &Connection,
        stream: &str,
        consumer: &str,
        batch: u64,
    ) -> Result<Self, Failure> {
        Self::with_expiry(connection, stream, consumer, batch, EXPIRES).await
    }

    /// Requests of `batch` messages that wait for `expires`.
    ///
    /// # Errors
    /// [`Failure::Other`] when the connection is closed.
    pub(crate) async fn with_expiry(
        connection: &Connection,
        stream: &str,
        consumer: &str,
        batch: u64,
        expires: Duration,
    ) -> Result<Self, Failure> {
        let inbox = connection.client.new_inbox();
        let replies = connection
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| Failure::other(format!("cannot subscribe: {error}")))?;
        Ok(Self {
            client: connection.client.clone(),
            subject: connection
                .api
                .subject(&format!("CONSUMER.MSG.NEXT.{stream}.{consumer}")),
            inbox,
            replies,
            batch,
            expires,
            outstanding: 0,
        })
    }

    /// Waits for the next message or the end of the request; the first call, and each after an end, makes a request.
    ///
    /// # Errors
    /// [`Failure::Other`] when the connection is closed.
    pub(crate) async fn next(&mut self) -> Result<Pulled, Failure> {
        // The server refuses heartbeats of more than half the expiry.
        let heartbeat = HEARTBEAT.min(self.expires / 2);
        let beats = heartbeat >= Duration::from_millis(100);
        if self.outstanding == 0 {
            let mut request = json!({"batch": self.batch, "expires": nanos(self.expires)});
            if beats {
                request["idle_heartbeat"] = json!(nanos(heartbeat));
            }
            self.client
                .publish_with_reply(
                    self.subject.clone(),
                    self.inbox.clone(),
                    request.to_string().into(),
                )
                .await
                .map_err(|error| Failure::other(format!("cannot ask for messages: {error}")))?;
            self.outstanding = self.batch;
        }
        let patience = if beats {
            heartbeat * 2 + Duration::from_secs(1)
        } else {
            self.expires + Duration::from_secs(1)
        };
        loop {
            let Ok(reply) = tokio::time::timeout(patience, self.replies.next()).await else {
                self.outstanding = 0;
                return Ok(Pulled::Silent);
            };
            let message = reply.ok_or_else(|| Failure::other("the connection is closed"))?;
            match message.status {
                None => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    return Ok(Pulled::Message(message));
                }
                Some(status) if status.as_u16() == 100 => {}
                Some(status) => {
                    self.outstanding = 0;
                    return Ok(Pulled::Ended {
                        status: status.as_u16(),
                        text: message.description.unwrap_or_default(),
                    });
                }
            }
        }
    }
}
