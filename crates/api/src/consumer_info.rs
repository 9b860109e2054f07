//! What a consumer says about itself.

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::omit::is_false;
use crate::{ClusterInfo, ConsumerConfig, Nanos};

/// A position of a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SequenceInfo {
    /// In deliveries.
    pub consumer_seq: ConsumerSequence,
    /// In the stream.
    pub stream_seq: StreamSequence,
    /// When it last moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
}

/// State of a priority group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriorityGroupState {
    /// Name of the group.
    pub group: String,
    /// The client that is pinned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// Since when; unset when none is.
    pub pinned_ts: Timestamp,
}

/// What a consumer says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerInfo {
    /// Its stream.
    pub stream_name: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its configuration, defaults filled in.
    pub config: ConsumerConfig,
    /// The last delivery.
    pub delivered: SequenceInfo,
    /// Everything up to here is acknowledged.
    pub ack_floor: SequenceInfo,
    /// Deliveries that are not acknowledged.
    pub num_ack_pending: u64,
    /// Messages among them that were delivered more than once.
    pub num_redelivered: u64,
    /// Pull requests that wait.
    pub num_waiting: u64,
    /// Messages that were not delivered yet.
    pub num_pending: u64,
    /// Who holds it, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// Whether somebody subscribes to its deliver subject.
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    /// Whether it is paused.
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// For how long.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub pause_remaining: Nanos,
    /// When this was said.
    pub ts: Timestamp,
    /// Its priority groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<PriorityGroupState>,
}
