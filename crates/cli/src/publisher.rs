//! Publishing one message: with the stream's acknowledgement when a stream stores its subject.

use std::collections::HashMap;

use async_nats::{HeaderMap, RequestErrorKind};
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
}

/// Publishes messages and remembers which stream stores which subject.
pub(crate) struct Publisher<'a> {
    connection: &'a Connection,
    keepers: HashMap<String, Option<Keeper>>,
}

impl<'a> Publisher<'a> {
    /// Publishes over `connection`.
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            keepers: HashMap::new(),
        }
    }

    /// The stream that stores a subject without wildcards; asked once for each subject.
    ///
    /// # Errors
    /// As [`keepers`].
    pub(crate) async fn keeper(&mut self, subject: &str) -> Result<Option<Keeper>, Failure> {
        if let Some(known) = self.keepers.get(subject) {
            return Ok(known.clone());
        }
        let found = match keepers(&self.connection.api, subject).await {
            Ok(found) => found.into_iter().next(),
            // Users without the right to ask get no answer. Their message can still go out.
            Err(Failure::NoAnswer { .. }) => {
                eprintln!("nats: warning: the server does not say which stream stores {subject}");
                None
            }
            Err(failure) => return Err(failure),
        };
        self.keepers.insert(subject.to_owned(), found.clone());
        Ok(found)
    }

    /// Publishes one message and waits for the acknowledgement when a stream stores it. With a `reply` the
    /// acknowledgement goes there and is not waited for.
    ///
    /// # Errors
    /// [`Failure::Refused`] when the stream refuses it, [`Failure::Other`] when it cannot be sent or the
    /// acknowledgement does not come.
    pub(crate) async fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
    ) -> Result<Published, Failure> {
        let keeper = self.keeper(subject).await?;
        match (keeper, reply) {
            (Some(keeper), None) if keeper.acknowledges => {
                self.store(&keeper, subject, headers, body).await
            }
            (keeper, reply) => {
                self.send(subject, reply, headers, body).await?;
                Ok(match keeper {
                    Some(keeper) => Published::Unacknowledged {
                        stream: keeper.name,
                        reason: if reply.is_some() {
                            "its acknowledgement goes to the reply subject"
                        } else {
                            "which does not acknowledge messages"
                        },
                    },
                    None => Published::NotStored,
                })
            }
        }
    }

    async fn send(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let client = &self.connection.client;
        let headers = headers.unwrap_or_default();
        let (to, body) = (subject.to_owned(), body.into());
        let sent = match (reply, headers.is_empty()) {
            (None, true) => client.publish(to, body).await,
            (None, false) => client.publish_with_headers(to, headers, body).await,
            (Some(reply), true) => client.publish_with_reply(to, reply.to_owned(), body).await,
            (Some(reply), false) => {
                client
                    .publish_with_reply_and_headers(to, reply.to_owned(), headers, body)
                    .await
            }
        };
        sent.map_err(|error| Failure::other(format!("cannot publish to {subject}: {error}")))
    }

    async fn store(
        &self,
        keeper: &Keeper,
        subject: &str,
        headers: Option<HeaderMap>,
        body: Vec<u8>,
    ) -> Result<Published, Failure> {
        let mut request = async_nats::Request::new().payload(body.into());
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let doing = format!("stream {} did not store the message", keeper.name);
        let answer = self
            .connection
            .client
            .send_request(subject.to_owned(), request);
        let answer = answer.await.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => Failure::other(format!(
                "stream {} did not acknowledge the message within {}; it may have stored it",
                keeper.name,
                everjet_values::format_duration(self.connection.timeout)
            )),
            RequestErrorKind::NoResponders => {
                Failure::other(format!("{doing}: it is not there any more (503)"))
            }
            _ => Failure::other(format!("{doing}: {}", deepest(&error))),
        })?;
        let ack: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
        if let Some(error) = error_of(&ack) {
            return Err(Failure::Refused { doing, error });
        }
        if text_at(&ack, "/stream").is_empty() {
            return Err(Failure::other(format!(
                "{subject} was answered by something else than stream {}",
                keeper.name
            )));
        }
        Ok(Published::Stored {
            stream: text_at(&ack, "/stream").to_owned(),
            sequence: count_at(&ack, "/seq"),
            duplicate: is_on(&ack, "/duplicate"),
        })
    }
}

/// The first cause of an error, in its words.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
