//! The configuration of a consumer.

use std::collections::BTreeMap;

use everjet_values::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Nanos;
use crate::omit::{is_default, is_false};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// Where in the stream a consumer starts.
    DeliverPolicy {
        /// At the first message.
        #[default]
        All = "all",
        /// At the last message.
        Last = "last",
        /// After the last message.
        New = "new",
        /// At `opt_start_seq`.
        ByStartSequence = "by_start_sequence",
        /// At `opt_start_time`.
        ByStartTime = "by_start_time",
        /// With the last message of each subject.
        LastPerSubject = "last_per_subject",
    }
}

wire_enum! {
    /// What an acknowledgement acknowledges.
    AckPolicy {
        /// Nothing: a delivered message is done.
        #[default]
        None = "none",
        /// Its message and all before.
        All = "all",
        /// Its message.
        Explicit = "explicit",
        /// Everything up to a flow control answer.
        FlowControl = "flow_control",
    }
}

wire_enum! {
    /// How fast stored messages are delivered.
    ReplayPolicy {
        /// As fast as possible.
        #[default]
        Instant = "instant",
        /// With the pauses they were stored with.
        Original = "original",
    }
}

wire_enum! {
    /// Which pull requests of a priority group are served first.
    PriorityPolicy unknown as "priority policy" {
        /// No groups.
        #[default]
        None = "none",
        /// Only when enough is pending.
        Overflow = "overflow",
        /// One client, until it goes away.
        PinnedClient = "pinned_client",
        /// The lowest priority number.
        Prioritized = "prioritized",
    }
}

/// The configuration of a consumer, exactly as on the wire.
///
/// `Default` is what an empty object decodes to, before the server fills in its own defaults. Empty strings and lists
/// and zeros mean "not set".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerConfig {
    /// Name that makes the consumer outlive its clients.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub durable_name: String,
    /// Name; equal to `durable_name` when both are set.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text of at most 4,096 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where in the stream it starts.
    pub deliver_policy: DeliverPolicy,
    /// First sequence, with [`DeliverPolicy::ByStartSequence`].
    #[serde(skip_serializing_if = "is_default")]
    pub opt_start_seq: u64,
    /// First time, with [`DeliverPolicy::ByStartTime`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Timestamp>,
    /// What an acknowledgement acknowledges.
    pub ack_policy: AckPolicy,
    /// How long a delivery may stay unacknowledged; 30 s by default.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub ack_wait: Nanos,
    /// Most deliveries of one message; -1 is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_deliver: i64,
    /// Times between deliveries, in place of `ack_wait`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<Nanos>,
    /// Filter of the subjects; excludes `filter_subjects`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    /// Filters of the subjects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// How fast stored messages are delivered.
    pub replay_policy: ReplayPolicy,
    /// Bits a second, push only.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_limit_bps: u64,
    /// Share of acknowledgements that are sampled, such as `30%`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sample_freq: String,
    /// Most waiting pull requests; 512 by default.
    #[serde(skip_serializing_if = "is_default")]
    pub max_waiting: i64,
    /// Most unacknowledged deliveries; 1,000 by default, -1 is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
    /// Ask the client before sending more, push only.
    #[serde(skip_serializing_if = "is_false")]
    pub flow_control: bool,
    /// Leave the payload out.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
    /// Most messages of one pull request; zero is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_batch: i64,
    /// Longest `expires` of a pull request; zero is unlimited.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub max_expires: Nanos,
    /// Most bytes of one pull request; zero is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: i64,
    /// Subject to push to; empty makes it a pull consumer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_subject: String,
    /// Queue group of the subscriptions that are pushed to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deliver_group: String,
    /// Time without messages after which a heartbeat is sent, push only.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub idle_heartbeat: Nanos,
    /// Time without a client after which the consumer is removed.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub inactive_threshold: Nanos,
    /// Number of servers that hold its state; zero means as the stream.
    pub num_replicas: i64,
    /// Keep its state in memory.
    #[serde(skip_serializing_if = "is_false")]
    pub mem_storage: bool,
    /// Made by a mirror or source.
    #[serde(skip_serializing_if = "is_false")]
    pub direct: bool,
    /// Made for a mirror or source.
    #[serde(skip_serializing_if = "is_false")]
    pub sourcing: bool,
    /// Free keys and values, and those of the server, which begin with `_nats.`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Nothing is delivered before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Timestamp>,
    /// Names of the priority groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<String>,
    /// Which pull requests of a group are served first.
    #[serde(skip_serializing_if = "is_default")]
    pub priority_policy: PriorityPolicy,
    /// Time without a request after which a pinned client is let go.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub priority_timeout: Nanos,
}

impl ConsumerConfig {
    /// Whether messages are pushed to a subject.
    #[must_use]
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// Whether it outlives its clients.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !self.durable_name.is_empty()
    }

    /// Its name: `name`, else `durable_name`; empty when the server has to choose one.
    #[must_use]
    pub fn effective_name(&self) -> &str {
        if self.name.is_empty() {
            &self.durable_name
        } else {
            &self.name
        }
    }

    /// All its filters; none means every subject.
    #[must_use]
    pub fn filters(&self) -> Vec<&str> {
        if self.filter_subject.is_empty() {
            self.filter_subjects.iter().map(String::as_str).collect()
        } else {
            vec![&self.filter_subject]
        }
    }
}
