//! Messages of a durable pull consumer, which goes on where it left off.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Order, Pulled, Puller, Received, Stored};
use crate::api::{count_at, text_at};
use crate::connect::Connection;
use crate::failure::Failure;

/// The messages one request asks for. What is asked for and then not shown would wait for its acknowledgement until the
/// server delivers it again, so nothing is fetched ahead.
const BATCH: u64 = 1;
/// The JetStream code for a consumer that does not exist.
const CONSUMER_NOT_FOUND: u64 = 10014;

/// The durable consumer to read.
pub(crate) struct Choice<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Whether the messages will be acknowledged.
    pub(crate) acknowledged: bool,
    /// Whether the user said where to begin, which only a new consumer can do.
    pub(crate) start_given: bool,
}

impl Choice<'_> {
    /// Whether an existing consumer with this configuration does what is asked for.
    fn check(&self, order: &Order, config: &Value) -> Result<(), String> {
        let pushes_to = text_at(config, "/deliver_subject");
        if !pushes_to.is_empty() {
            return Err(format!("it pushes its messages; subscribe to {pushes_to}"));
        }
        if text_at(config, "/ack_policy") != "none" && !self.acknowledged {
            return Err("it wants acknowledgements; add --ack".to_owned());
        }
        if self.start_given {
            return Err(
                "it exists and goes on where it left off; do not say where to begin".to_owned(),
            );
        }
        let filter = text_at(config, "/filter_subject");
        let has_many = config.get("filter_subjects").is_some();
        match &order.filter {
            Some(asked) if has_many || asked != filter => Err(format!(
                "it does not deliver just {asked}; give --stream {} and no subject to take what it delivers",
                order.stream
            )),
            _ => Ok(()),
        }
    }
}

/// A reader of a durable consumer.
pub(crate) struct Durable {
    puller: Puller,
    name: String,
    waiting: u64,
    /// How many messages are still wanted, if that is known.
    left: Option<u64>,
}

impl Durable {
    /// Uses the consumer that `choice` names, or creates it.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the consumer that exists does not fit, or the server's refusal.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        order: &Order,
        choice: &Choice<'_>,
    ) -> Result<Self, Failure> {
        let name = crate::api::name("consumer", choice.name)?;
        let call = format!("CONSUMER.INFO.{}.{name}", order.stream);
        let doing = format!("cannot use consumer {name} of stream {}", order.stream);
        let info = match connection.api.call(&call, None, &doing).await {
            Ok(info) => {
                choice
                    .check(order, info.value.get("config").unwrap_or(&Value::Null))
                    .map_err(|reason| Failure::usage(format!("{doing}: {reason}")))?;
                info
            }
            Err(failure) if failure.err_code() == Some(CONSUMER_NOT_FOUND) => {
                create(connection, order, name, choice.acknowledged).await?
            }
            Err(failure) => return Err(failure),
        };
        Ok(Self {
            puller: Puller::new(connection, &order.stream, name, BATCH).await?,
            name: name.to_owned(),
            waiting: count_at(&info.value, "/num_pending"),
            left: order.wanted,
        })
    }

    /// How many messages were there to deliver when reading began.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Waits for the next message; for ever when all that were wanted have come.
    ///
    /// # Errors
    /// [`Failure::Other`] when the consumer is gone.
    pub(crate) async fn next(&mut self) -> Result<Received, Failure> {
        if self.left == Some(0) {
            std::future::pending::<()>().await;
        }
        loop {
            match self.puller.next().await? {
                Pulled::Message(message) => {
                    self.left = self.left.map(|left| left.saturating_sub(1));
                    let stored = message.reply.as_deref().and_then(Stored::parse);
                    return Ok(Received { message, stored });
                }
                Pulled::Ended { status: 409, text } if text.contains("Deleted") => {
                    return Err(Failure::other(format!(
                        "consumer {} was deleted",
                        self.name
                    )));
                }
                // The server is away or the request was lost; it is asked again.
                Pulled::Ended {
                    status: 409 | 503, ..
                } => tokio::time::sleep(std::time::Duration::from_millis(250)).await,
                Pulled::Ended { .. } | Pulled::Silent => {}
            }
        }
    }
}

async fn create(
    connection: &Connection,
    order: &Order,
    name: &str,
    acknowledged: bool,
) -> Result<crate::api::Answer, Failure> {
    let mut config = json!({
        "name": name,
        "durable_name": name,
        "ack_policy": if acknowledged { "explicit" } else { "none" },
        "replay_policy": "instant",
        "max_deliver": -1,
    });
    if order.headers_only {
        config["headers_only"] = json!(true);
    }
    if let Some(filter) = &order.filter {
        config["filter_subject"] = json!(filter);
    }
    order.start.write(&mut config);
    let call = match &order.filter {
        Some(filter) => format!("CONSUMER.CREATE.{}.{name}.{filter}", order.stream),
        None => format!("CONSUMER.CREATE.{}.{name}", order.stream),
    };
    let request = json!({"stream_name": order.stream, "config": config, "action": "create"});
    let doing = format!("cannot create consumer {name} of stream {}", order.stream);
    connection.api.call(&call, Some(&request), &doing).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Start;

    fn check(filter: Option<&str>, choice: &Choice<'_>, config: &Value, expected: &str) {
        let order = Order {
            stream: "S".to_owned(),
            filter: filter.map(str::to_owned),
            start: Start::All,
            headers_only: false,
            wanted: None,
        };
        match choice.check(&order, config) {
            Ok(()) => assert_eq!(expected, "", "{config}"),
            Err(reason) => assert!(
                !expected.is_empty() && reason.contains(expected),
                "{config}: {reason}"
            ),
        }
    }

    #[test]
    fn an_existing_consumer_must_do_what_is_asked_for() {
        let choice = |acknowledged, start_given| Choice {
            name: "d",
            acknowledged,
            start_given,
        };
        let explicit = || json!({"ack_policy": "explicit", "filter_subject": "a"});
        check(Some("a"), &choice(true, false), &explicit(), "");
        check(None, &choice(true, false), &explicit(), "");
        check(Some("b"), &choice(true, false), &explicit(), "just b");
        check(Some("a"), &choice(false, false), &explicit(), "--ack");
        check(
            Some("a"),
            &choice(true, true),
            &explicit(),
            "where to begin",
        );
        let none = json!({"ack_policy": "none"});
        check(None, &choice(false, false), &none, "");
        check(Some("a"), &choice(false, false), &none, "just a");
        let push = json!({"ack_policy": "none", "deliver_subject": "x"});
        check(None, &choice(false, false), &push, "subscribe to x");
    }
}
