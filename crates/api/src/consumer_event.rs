//! What subscribers are told about a consumer: advisories and metrics.

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};
use serde::{Serialize, Serializer};

use crate::Nanos;
use crate::advisory::Advice;

/// Why a message that waited for its acknowledgement was given up: it left the stream.
pub const REMOVED_REASON: &str = "Unacknowledged message was deleted";

/// Something about a consumer that subscribers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerEvent {
    /// It was created.
    Created,
    /// It was deleted, or nobody used it for too long.
    Deleted,
    /// A message was delivered as often as allowed and not acknowledged.
    DeliveredOftenEnough {
        /// The message.
        stream_seq: StreamSequence,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A client wants a message again.
    Naked(EventDelivery),
    /// A message is not delivered any more.
    Terminated {
        /// The delivery.
        delivery: EventDelivery,
        /// Why; empty when nobody said.
        reason: String,
    },
    /// An acknowledgement that was sampled.
    Acknowledged {
        /// The delivery.
        delivery: EventDelivery,
        /// From the delivery to the acknowledgement.
        ack_time: Nanos,
    },
    /// It is paused, or goes on.
    Paused {
        /// Whether it is paused now.
        paused: bool,
        /// Until when; unset when it never was.
        until: Timestamp,
    },
    /// A client was pinned.
    Pinned {
        /// The priority group.
        group: String,
        /// What the client has to show.
        id: String,
    },
    /// A client is not pinned any more.
    Unpinned {
        /// The priority group.
        group: String,
        /// Why.
        reason: UnpinReason,
    },
}

/// A delivery as events name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDelivery {
    /// Sequence of the delivery.
    pub consumer_seq: ConsumerSequence,
    /// Sequence of the message.
    pub stream_seq: StreamSequence,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// Why a client is not pinned any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpinReason {
    /// Somebody asked for it.
    Admin,
    /// It was not heard of for too long.
    Timeout,
}

/// What happened, and to which consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerAdvice<'a> {
    /// The account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// What happened.
    pub event: &'a ConsumerEvent,
}

/// The fields of all kinds, in the order of nats-server.
#[derive(Default, Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    stream: &'a str,
    consumer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_seq: Option<ConsumerSequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_seq: Option<StreamSequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_time: Option<Nanos>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn set_delivery(&mut self, delivery: EventDelivery) {
        self.consumer_seq = Some(delivery.consumer_seq);
        self.stream_seq = Some(delivery.stream_seq);
        self.deliveries = Some(delivery.deliveries);
    }

    fn set_group(&mut self, account: &'a str, group: &'a str) {
        self.account = Some(account);
        self.group = Some(group);
    }
}

impl ConsumerAdvice<'_> {
    /// The subject it is published on.
    #[must_use]
    pub fn subject(&self) -> String {
        let kind = match self.event {
            ConsumerEvent::Created => "ADVISORY.CONSUMER.CREATED",
            ConsumerEvent::Deleted => "ADVISORY.CONSUMER.DELETED",
            ConsumerEvent::DeliveredOftenEnough { .. } => "ADVISORY.CONSUMER.MAX_DELIVERIES",
            ConsumerEvent::Naked(_) => "ADVISORY.CONSUMER.MSG_NAKED",
            ConsumerEvent::Terminated { .. } => "ADVISORY.CONSUMER.MSG_TERMINATED",
            ConsumerEvent::Acknowledged { .. } => "METRIC.CONSUMER.ACK",
            ConsumerEvent::Paused { .. } => "ADVISORY.CONSUMER.PAUSE",
            ConsumerEvent::Pinned { .. } => "ADVISORY.CONSUMER.PINNED",
            ConsumerEvent::Unpinned { .. } => "ADVISORY.CONSUMER.UNPINNED",
        };
        format!("$JS.EVENT.{kind}.{}.{}", self.stream, self.consumer)
    }

    /// What is published besides the frame.
    fn document(&self) -> Document<'_> {
        let mut document = Document {
            stream: self.stream,
            consumer: self.consumer,
            ..Document::default()
        };
        match self.event {
            ConsumerEvent::Created => document.action = Some("create"),
            ConsumerEvent::Deleted => document.action = Some("delete"),
            ConsumerEvent::DeliveredOftenEnough {
                stream_seq,
                deliveries,
            } => {
                document.stream_seq = Some(*stream_seq);
                document.deliveries = Some(*deliveries);
            }
            ConsumerEvent::Naked(delivery) => document.set_delivery(*delivery),
            ConsumerEvent::Terminated { delivery, reason } => {
                document.set_delivery(*delivery);
                document.reason = (!reason.is_empty()).then_some(reason);
            }
            ConsumerEvent::Acknowledged { delivery, ack_time } => {
                document.set_delivery(*delivery);
                document.ack_time = Some(*ack_time);
            }
            ConsumerEvent::Paused { paused, until } => {
                document.paused = Some(*paused);
                document.pause_until = Some(*until);
            }
            ConsumerEvent::Pinned { group, id } => {
                document.set_group(self.account, group);
                document.pinned_id = Some(id);
            }
            ConsumerEvent::Unpinned { group, reason } => {
                document.set_group(self.account, group);
                document.reason = Some(match reason {
                    UnpinReason::Admin => "admin",
                    UnpinReason::Timeout => "timeout",
                });
            }
        }
        document
    }
}

impl Serialize for ConsumerAdvice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document().serialize(serializer)
    }
}

impl Advice for ConsumerAdvice<'_> {
    fn kind(&self) -> &'static str {
        match self.event {
            ConsumerEvent::Created | ConsumerEvent::Deleted => {
                "io.nats.jetstream.advisory.v1.consumer_action"
            }
            ConsumerEvent::DeliveredOftenEnough { .. } => {
                "io.nats.jetstream.advisory.v1.max_deliver"
            }
            ConsumerEvent::Naked(_) => "io.nats.jetstream.advisory.v1.nak",
            ConsumerEvent::Terminated { .. } => "io.nats.jetstream.advisory.v1.terminated",
            ConsumerEvent::Acknowledged { .. } => "io.nats.jetstream.metric.v1.consumer_ack",
            ConsumerEvent::Paused { .. } => "io.nats.jetstream.advisory.v1.consumer_pause",
            ConsumerEvent::Pinned { .. } => "io.nats.jetstream.advisory.v1.consumer_group_pinned",
            ConsumerEvent::Unpinned { .. } => {
                "io.nats.jetstream.advisory.v1.consumer_group_unpinned"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advisory::{AdvisoryFrame, render_advisory};

    /// The documents are those of nats-server 2.15.1, with another id and time.
    #[test]
    fn events_read_as_those_of_nats_server() {
        let delivery = EventDelivery {
            consumer_seq: ConsumerSequence(4),
            stream_seq: StreamSequence(3),
            deliveries: 2,
        };
        let group = || "a".to_owned();
        for (event, subject, fields) in [
            (
                ConsumerEvent::Created,
                "ADVISORY.CONSUMER.CREATED",
                r#"advisory.v1.consumer_action@"stream":"S","consumer":"C","action":"create""#,
            ),
            (
                ConsumerEvent::DeliveredOftenEnough {
                    stream_seq: StreamSequence(3),
                    deliveries: 2,
                },
                "ADVISORY.CONSUMER.MAX_DELIVERIES",
                r#"advisory.v1.max_deliver@"stream":"S","consumer":"C","stream_seq":3,"deliveries":2"#,
            ),
            (
                ConsumerEvent::Naked(delivery),
                "ADVISORY.CONSUMER.MSG_NAKED",
                r#"advisory.v1.nak@"stream":"S","consumer":"C","consumer_seq":4,"stream_seq":3,"deliveries":2"#,
            ),
            (
                ConsumerEvent::Terminated {
                    delivery,
                    reason: "x".to_owned(),
                },
                "ADVISORY.CONSUMER.MSG_TERMINATED",
                r#"advisory.v1.terminated@"stream":"S","consumer":"C","consumer_seq":4,"stream_seq":3,"deliveries":2,"reason":"x""#,
            ),
            (
                ConsumerEvent::Acknowledged {
                    delivery,
                    ack_time: Nanos(99),
                },
                "METRIC.CONSUMER.ACK",
                r#"metric.v1.consumer_ack@"stream":"S","consumer":"C","consumer_seq":4,"stream_seq":3,"ack_time":99,"deliveries":2"#,
            ),
            (
                ConsumerEvent::Paused {
                    paused: false,
                    until: Timestamp::UNSET,
                },
                "ADVISORY.CONSUMER.PAUSE",
                r#"advisory.v1.consumer_pause@"stream":"S","consumer":"C","paused":false,"pause_until":"0001-01-01T00:00:00Z""#,
            ),
            (
                ConsumerEvent::Pinned {
                    group: group(),
                    id: "p".to_owned(),
                },
                "ADVISORY.CONSUMER.PINNED",
                r#"advisory.v1.consumer_group_pinned@"account":"$G","stream":"S","consumer":"C","group":"a","pinned_id":"p""#,
            ),
            (
                ConsumerEvent::Unpinned {
                    group: group(),
                    reason: UnpinReason::Timeout,
                },
                "ADVISORY.CONSUMER.UNPINNED",
                r#"advisory.v1.consumer_group_unpinned@"account":"$G","stream":"S","consumer":"C","group":"a","reason":"timeout""#,
            ),
        ] {
            let frame = AdvisoryFrame {
                id: "i",
                time: Timestamp::from_nanos(0),
                domain: None,
            };
            let advice = ConsumerAdvice {
                account: "$G",
                stream: "S",
                consumer: "C",
                event: &event,
            };
            let (kind, fields) = fields.split_once('@').expect("a type and fields");
            assert_eq!(advice.subject(), format!("$JS.EVENT.{subject}.S.C"));
            assert_eq!(
                String::from_utf8_lossy(&render_advisory(frame, &advice)),
                format!(
                    r#"{{"type":"io.nats.jetstream.{kind}","id":"i","timestamp":"1970-01-01T00:00:00Z",{fields}}}"#
                )
            );
        }
    }
}
