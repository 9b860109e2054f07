//! Publishing to one subject: with the stream's acknowledgement of each message when a stream stores the subject.

use std::collections::HashMap;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde_json::Value;

use crate::api::{count_at, error_of, is_on, text_at};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::keeper::{Keeper, keepers};

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// A stream has stored it.
    Stored {
        /// The stream.
        stream: String,
        /// The message's sequence in it.
        sequence: u64,
        /// The stream had it already, by its message id.
        duplicate: bool,
    },
    /// It was sent; a stream stores its subject but does not say whether it did.
    Unacknowledged {
        /// The stream.
        stream: String,
        /// Why there is no acknowledgement.
        reason: &'static str,
    },
    /// It was sent to whoever listens; no stream stores its subject.
    NotStored,
    /// It was sent; this user is not told whether a stream stores its subject.
    Unknown,
}

/// A message that was handed to the server.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Its acknowledgement is due; [`Publisher::acknowledged`] waits for it.
    Awaiting(Ticket),
    /// Nothing more will be heard of it.
    Done(Published),
}

/// Stands for the acknowledgement of one message.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

/// Publishes messages to one subject.
pub(crate) struct Publisher<'a> {
    connection: &'a Connection,
    subject: &'a str,
    reply: Option<&'a str>,
    keeper: Option<Keeper>,
    /// Whether the server told which stream stores the subject, if any.
    is_known: bool,
    acks: Acks,
}

/// The reply subjects of messages, numbered below one inbox, and the acknowledgements that came there.
struct Acks {
    inbox: String,
    incoming: Subscriber,
    sent: u64,
    /// What came before it was asked for.
    early: HashMap<u64, Message>,
}

impl<'a> Publisher<'a> {
    /// Publishes to `subject`, which has no wildcards. With a `reply`, acknowledgements go there and are not waited for.
    ///
    /// # Errors
    /// As [`keepers`], or [`Failure::Other`] when the connection is closed.
    pub(crate) async fn open(
        connection: &'a Connection,
        subject: &'a str,
        reply: Option<&'a str>,
    ) -> Result<Self, Failure> {
        let found = keepers(connection, subject).await?;
        let is_known = found.is_some();
        let keeper = found.into_iter().flatten().next();
        let inbox = connection.client.new_inbox();
        let incoming = connection.client.subscribe(format!("{inbox}.*")).await;
        Ok(Self {
            connection,
            subject,
            reply,
            keeper,
            is_known,
            acks: Acks {
                inbox,
                incoming: incoming
                    .map_err(|error| Failure::other(format!("cannot subscribe: {error}")))?,
                sent: 0,
                early: HashMap::new(),
            },
        })
    }

    /// Makes sure that a stream stores the subject.
    ///
    /// # Errors
    /// [`Failure::Other`] when none does, or when the server does not tell.
    pub(crate) fn insist_on_stream(&self) -> Result<(), Failure> {
        match (&self.keeper, self.is_known) {
            (Some(_), _) => Ok(()),
            (None, true) => Err(Failure::other(format!(
                "no stream stores {}; nothing was published",
                self.subject
            ))),
            (None, false) => Err(Failure::other(format!(
                "whether a stream stores {} is not known to this user; nothing was published",
                self.subject
            ))),
        }
    }

    /// Hands one message to the server. Messages arrive in the order of these calls.
    ///
    /// # Errors
    /// [`Failure::Other`] when it cannot be sent.
    pub(crate) async fn send(
        &mut self,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
    ) -> Result<Sent, Failure> {
        let reason = match (&self.keeper, self.reply) {
            (None, reply) => {
                self.hand_over(reply.map(str::to_owned), headers, body)
                    .await?;
                return Ok(Sent::Done(if self.is_known {
                    Published::NotStored
                } else {
                    Published::Unknown
                }));
            }
            (Some(keeper), None) if keeper.acknowledges => {
                self.acks.sent += 1;
                let number = self.acks.sent;
                let reply = format!("{}.{number}", self.acks.inbox);
                self.hand_over(Some(reply), headers, body).await?;
                return Ok(Sent::Awaiting(Ticket(number)));
            }
            (Some(_), None) => "which does not acknowledge messages",
            (Some(_), Some(_)) => "its acknowledgement goes to the reply subject",
        };
        self.hand_over(self.reply.map(str::to_owned), headers, body)
            .await?;
        Ok(Sent::Done(Published::Unacknowledged {
            stream: self.stream().to_owned(),
            reason,
        }))
    }

    /// Waits for the acknowledgement of a message.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the stream refuses the message, [`Failure::Other`] when nothing comes in time.
    pub(crate) async fn acknowledged(&mut self, ticket: Ticket) -> Result<Published, Failure> {
        let timeout = self.connection.timeout;
        let message = match tokio::time::timeout(timeout, self.acks.take(ticket.0)).await {
            Ok(message) => message?,
            Err(_) => {
                return Err(Failure::other(format!(
                    "stream {} did not acknowledge the message within {}; it may have stored it",
                    self.stream(),
                    everjet_values::format_duration(timeout)
                )));
            }
        };
        self.read_ack(&message)
    }

    fn read_ack(&self, message: &Message) -> Result<Published, Failure> {
        let doing = format!("stream {} did not store the message", self.stream());
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(Failure::other(format!(
                "{doing}: it is not there any more (503)"
            )));
        }
        let ack: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        if let Some(error) = error_of(&ack) {
            return Err(Failure::Refused { doing, error });
        }
        if text_at(&ack, "/stream").is_empty() {
            return Err(Failure::other(format!(
                "{} was answered by something else than stream {}",
                self.subject,
                self.stream()
            )));
        }
        Ok(Published::Stored {
            stream: text_at(&ack, "/stream").to_owned(),
            sequence: count_at(&ack, "/seq"),
            duplicate: is_on(&ack, "/duplicate"),
        })
    }

    fn stream(&self) -> &str {
        self.keeper.as_ref().map_or("", |keeper| &keeper.name)
    }

    async fn hand_over(
        &self,
        reply: Option<String>,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let client = &self.connection.client;
        let (to, body) = (self.subject.to_owned(), body.into());
        let sent = match (reply, headers) {
            (None, None) => client.publish(to, body).await,
            (None, Some(headers)) => client.publish_with_headers(to, headers, body).await,
            (Some(reply), None) => client.publish_with_reply(to, reply, body).await,
            (Some(reply), Some(headers)) => {
                client
                    .publish_with_reply_and_headers(to, reply, headers, body)
                    .await
            }
        };
        sent.map_err(|error| Failure::other(format!("cannot publish to {}: {error}", self.subject)))
    }
}

impl Acks {
    /// Waits for the acknowledgement with this number.
    async fn take(&mut self, number: u64) -> Result<Message, Failure> {
        loop {
            if let Some(message) = self.early.remove(&number) {
                return Ok(message);
            }
            let Some(message) = self.incoming.next().await else {
                return Err(Failure::other("the connection is closed"));
            };
            let came = message.subject.rsplit('.').next();
            if let Some(came) = came.and_then(|token| token.parse().ok()) {
                self.early.insert(came, message);
            }
        }
    }
}
