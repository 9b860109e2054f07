//! Bodies of API requests.

use everjet_values::Timestamp;
use serde::{Deserialize, Serialize};

use crate::omit::{is_default, is_false};
use crate::wire_enum::wire_enum;
use crate::{ConsumerConfig, Nanos, StreamConfig};

/// Body of `STREAM.CREATE` and `STREAM.UPDATE`: a stream configuration with one more key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCreateRequest {
    /// What the stream shall be.
    #[serde(flatten)]
    pub config: StreamConfig,
    /// Refuse the request instead of changing a value in it.
    #[serde(skip_serializing_if = "is_false")]
    pub pedantic: bool,
}

/// Body of `STREAM.INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamInfoRequest {
    /// Number of subjects to skip.
    #[serde(skip_serializing_if = "is_default")]
    pub offset: i64,
    /// List the deleted sequences.
    #[serde(skip_serializing_if = "is_false")]
    pub deleted_details: bool,
    /// List the subjects that this filter matches; empty means none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subjects_filter: String,
}

/// Body of `STREAM.NAMES` and `STREAM.LIST`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamNamesRequest {
    /// Number of streams to skip.
    pub offset: i64,
    /// Only streams with a filter that overlaps this one; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

/// Body of `CONSUMER.NAMES` and `CONSUMER.LIST`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageRequest {
    /// Number of entries to skip.
    pub offset: i64,
}

/// Body of `STREAM.PURGE`. `seq` and `keep` exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PurgeRequest {
    /// Remove only subjects that this filter matches; empty means all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Remove only messages before this sequence; zero means all.
    #[serde(skip_serializing_if = "is_default")]
    pub seq: u64,
    /// Keep this many of the newest messages.
    #[serde(skip_serializing_if = "is_default")]
    pub keep: u64,
}

/// Body of `STREAM.MSG.GET` and `DIRECT.GET`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MsgGetRequest {
    /// The message with this sequence; with `next_by_subj` the first that may be returned.
    #[serde(skip_serializing_if = "is_default")]
    pub seq: u64,
    /// The last message of this subject or filter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_by_subj: String,
    /// The next message of this subject or filter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_by_subj: String,
    /// Most messages to return, direct only.
    #[serde(skip_serializing_if = "is_default")]
    pub batch: i64,
    /// Most bytes to return, direct only.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: i64,
    /// First time that may be returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// The last message of each of these filters, direct only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub multi_last: Vec<String>,
    /// With `multi_last`: as of this sequence.
    #[serde(skip_serializing_if = "is_default")]
    pub up_to_seq: u64,
    /// With `multi_last`: as of this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_time: Option<Timestamp>,
    /// Leave the headers out.
    #[serde(skip_serializing_if = "is_false")]
    pub no_hdr: bool,
}

/// Body of `STREAM.MSG.DELETE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MsgDeleteRequest {
    /// Sequence of the message.
    pub seq: u64,
    /// Do not overwrite its bytes.
    #[serde(skip_serializing_if = "is_false")]
    pub no_erase: bool,
}

wire_enum! {
    /// Whether a consumer must exist already.
    ConsumerAction unknown as "consumer action" {
        /// Either way.
        #[default]
        CreateOrUpdate = "",
        /// It must not exist, or be the same.
        Create = "create",
        /// It must exist.
        Update = "update",
    }
}

/// Body of the requests that create or change a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerCreateRequest {
    /// Its stream; equal to the one in the subject.
    pub stream_name: String,
    /// What the consumer shall be.
    pub config: ConsumerConfig,
    /// Whether it must exist already.
    pub action: ConsumerAction,
    /// Refuse the request instead of changing a value in it.
    #[serde(skip_serializing_if = "is_false")]
    pub pedantic: bool,
}

/// Body of `CONSUMER.PAUSE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerPauseRequest {
    /// Nothing is delivered before this time; unset or in the past: the consumer goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Timestamp>,
}

/// Body of `CONSUMER.RESET`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerResetRequest {
    /// The message to begin at; zero begins after the ack floor.
    #[serde(skip_serializing_if = "is_default")]
    pub seq: u64,
}

/// Body of `CONSUMER.UNPIN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerUnpinRequest {
    /// The priority group whose client is let go.
    pub group: String,
}

/// Body of `CONSUMER.MSG.NEXT`, see [`crate::PullRequest::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PullRequest {
    /// Most messages to deliver; at least 1 after [`crate::PullRequest::parse`].
    pub batch: i64,
    /// How long to wait; zero means for ever, or not at all with `no_wait`.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub expires: Nanos,
    /// Most bytes to deliver; zero is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub max_bytes: i64,
    /// Answer at once when nothing is there.
    #[serde(skip_serializing_if = "is_false")]
    pub no_wait: bool,
    /// Time without messages after which a heartbeat is sent.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub idle_heartbeat: Nanos,
    /// Priority group; empty means none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Serve only when this many messages are pending.
    #[serde(skip_serializing_if = "is_default")]
    pub min_pending: i64,
    /// Serve only when this many deliveries are unacknowledged.
    #[serde(skip_serializing_if = "is_default")]
    pub min_ack_pending: i64,
    /// Id of the pinned client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// 0 to 9, the lowest first.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: i64,
}
