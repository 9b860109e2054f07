//! What subscribers are told about a consumer: advisories and metrics.

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};
use serde::Serialize;

use crate::Nanos;

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

/// What an event has besides what happened.
#[derive(Clone, Copy, Debug)]
pub struct EventFrame<'a> {
    /// A name of its own.
    pub id: &'a str,
    /// When it happened.
    pub time: Timestamp,
    /// The account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The JetStream domain of the server, if it has one.
    pub domain: Option<&'a str>,
}

/// The fields of all kinds, in the order of nats-server.
#[derive(Default, Serialize)]
struct Document<'a> {
    r#type: &'a str,
    id: &'a str,
    timestamp: Timestamp,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
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

impl ConsumerEvent {
    /// The subject it is published on.
    #[must_use]
    pub fn subject(&self, stream: &str, consumer: &str) -> String {
        let kind = match self {
            Self::Created => "ADVISORY.CONSUMER.CREATED",
            Self::Deleted => "ADVISORY.CONSUMER.DELETED",
            Self::DeliveredOftenEnough { .. } => "ADVISORY.CONSUMER.MAX_DELIVERIES",
            Self::Naked(_) => "ADVISORY.CONSUMER.MSG_NAKED",
            Self::Terminated { .. } => "ADVISORY.CONSUMER.MSG_TERMINATED",
            Self::Acknowledged { .. } => "METRIC.CONSUMER.ACK",
            Self::Paused { .. } => "ADVISORY.CONSUMER.PAUSE",
            Self::Pinned { .. } => "ADVISORY.CONSUMER.PINNED",
            Self::Unpinned { .. } => "ADVISORY.CONSUMER.UNPINNED",
        };
        format!("$JS.EVENT.{kind}.{stream}.{consumer}")
    }

    /// The document that is published.
    #[must_use]
    pub fn render(&self, frame: &EventFrame<'_>) -> Vec<u8> {
        let mut document = Document {
            r#type: self.kind(),
            id: frame.id,
            timestamp: frame.time,
            stream: frame.stream,
            consumer: frame.consumer,
            domain: frame.domain,
            ..Document::default()
        };
        match self {
            Self::Created => document.action = Some("create"),
            Self::Deleted => document.action = Some("delete"),
            Self::DeliveredOftenEnough {
                stream_seq,
                deliveries,
            } => {
                document.stream_seq = Some(*stream_seq);
                document.deliveries = Some(*deliveries);
            }
            Self::Naked(delivery) => document.set_delivery(*delivery),
            Self::Terminated { delivery, reason } => {
                document.set_delivery(*delivery);
                document.reason = (!reason.is_empty()).then_some(reason);
            }
            Self::Acknowledged { delivery, ack_time } => {
                document.set_delivery(*delivery);
                document.ack_time = Some(*ack_time);
            }
            Self::Paused { paused, until } => {
                document.paused = Some(*paused);
                document.pause_until = Some(*until);
            }
            Self::Pinned { group, id } => {
                document.set_group(frame.account, group);
                document.pinned_id = Some(id);
            }
            Self::Unpinned { group, reason } => {
                document.set_group(frame.account, group);
                document.reason = Some(match reason {
                    UnpinReason::Admin => "admin",
                    UnpinReason::Timeout => "timeout",
                });
            }
        }
        serde_json::to_vec(&document).expect("strings, numbers and times always serialise")
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Created | Self::Deleted => "io.nats.jetstream.advisory.v1.consumer_action",
            Self::DeliveredOftenEnough { .. } => "io.nats.jetstream.advisory.v1.max_deliver",
            Self::Naked(_) => "io.nats.jetstream.advisory.v1.nak",
            Self::Terminated { .. } => "io.nats.jetstream.advisory.v1.terminated",
            Self::Acknowledged { .. } => "io.nats.jetstream.metric.v1.consumer_ack",
            Self::Paused { .. } => "io.nats.jetstream.advisory.v1.consumer_pause",
            Self::Pinned { .. } => "io.nats.jetstream.advisory.v1.consumer_group_pinned",
            Self::Unpinned { .. } => "io.nats.jetstream.advisory.v1.consumer_group_unpinned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let frame = EventFrame {
                id: "i",
                time: Timestamp::from_nanos(0),
                account: "$G",
                stream: "S",
                consumer: "C",
                domain: None,
            };
            let (kind, fields) = fields.split_once('@').expect("a type and fields");
            assert_eq!(event.subject("S", "C"), format!("$JS.EVENT.{subject}.S.C"));
            assert_eq!(
                String::from_utf8_lossy(&event.render(&frame)),
                format!(
                    r#"{{"type":"io.nats.jetstream.{kind}","id":"i","timestamp":"1970-01-01T00:00:00Z",{fields}}}"#
                )
            );
        }
    }
}
