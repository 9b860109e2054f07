//! Messages of a durable pull consumer, which goes on where it left off.

use std::sync::Arc;

use serde_json::json;

use super::{Order, Pulled, Puller, Received, Stored};
use crate::api::{count_at, text_at};
use crate::connect::Connection;
use crate::failure::Failure;

/// The messages one request asks for. What is asked for and then not shown would wait for its acknowledgement until the
/// server delivers it again, so nothing is fetched ahead.
const BATCH: u64 = 1;
/// The JetStream code for a consumer that does not exist.
const CONSUMER_NOT_FOUND: u64 = 10014;

/// A reader of a durable consumer.
pub(crate) struct Durable {
    puller: Puller,
    name: String,
    waiting: u64,
    /// How many messages are still wanted, if that is known.
    left: Option<u64>,
}

impl Durable {
    /// Uses the consumer `name` of the ordered stream, or creates it. `acknowledged` says whether the caller
    /// acknowledges what it gets; a consumer that waits for acknowledgements is refused otherwise, since it would
    /// deliver everything again.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the consumer does not fit, or the server's refusal.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        order: &Order,
        name: &str,
        acknowledged: bool,
    ) -> Result<Self, Failure> {
        crate::api::name("consumer", name)?;
        let call = format!("CONSUMER.INFO.{}.{name}", order.stream);
        let doing = format!("cannot use consumer {name} of stream {}", order.stream);
        let info = match connection.api.call(&call, None, &doing).await {
            Ok(info) => info,
            Err(failure) if failure.err_code() == Some(CONSUMER_NOT_FOUND) => {
                create(connection, order, name, acknowledged).await?
            }
            Err(failure) => return Err(failure),
        };
        if !text_at(&info.value, "/config/deliver_subject").is_empty() {
            return Err(Failure::usage(format!(
                "{doing}: it pushes to a subject; subscribe to that one instead"
            )));
        }
        if text_at(&info.value, "/config/ack_policy") != "none" && !acknowledged {
            return Err(Failure::usage(format!(
                "{doing}: it wants acknowledgements; add --ack"
            )));
        }
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
