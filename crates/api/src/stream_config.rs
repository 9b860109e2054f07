//! The configuration of a stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Nanos;
use crate::omit::{is_default, is_false};
use crate::source::{StreamSource, SubjectTransform};
use crate::wire_enum::wire_enum;

wire_enum! {
    /// What makes a stream let go of a message.
    Retention {
        /// Only the limits of the stream.
        #[default]
        Limits = "limits",
        /// When every consumer that wants it has acknowledged it.
        Interest = "interest",
        /// When the one consumer that wants it has acknowledged it.
        WorkQueue = "workqueue",
    }
}

wire_enum! {
    /// Where messages live.
    Storage {
        /// In segment files.
        #[default]
        File = "file",
        /// In memory: gone when the server stops.
        Memory = "memory",
    }
}

wire_enum! {
    /// What happens to a message that would break a limit.
    Discard {
        /// It is stored and the oldest messages are removed.
        #[default]
        Old = "old",
        /// It is refused.
        New = "new",
    }
}

wire_enum! {
    /// Compression of stored messages.
    Compression {
        /// Stored as they came.
        #[default]
        None = "none",
        /// Compressed with S2.
        S2 = "s2",
    }
}

wire_enum! {
    /// When a published message is on stable storage.
    PersistMode {
        /// As the server is configured.
        #[default]
        Default = "default",
        /// Some time after its acknowledgement.
        Async = "async",
    }
}

/// Which servers may hold a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// Name of the cluster; empty means any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Tags that a server must all carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Server that shall lead; only legal in step-down requests.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred: String,
}

/// Publish every stored message again under another subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Republish {
    /// Filter of the stored subjects; empty means all.
    #[serde(rename = "src", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Subject, with mapping tokens, to publish to.
    #[serde(rename = "dest")]
    pub destination: String,
    /// Leave the payload out.
    #[serde(skip_serializing_if = "is_false")]
    pub headers_only: bool,
}

/// Upper limits and defaults for the consumers of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumerLimits {
    /// Longest `inactive_threshold`, and its default; zero means no limit.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub inactive_threshold: Nanos,
    /// Largest `max_ack_pending`, and its default; zero means no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: i64,
}

/// The configuration of a stream, exactly as on the wire.
///
/// `Default` is what an empty object decodes to, before the server fills in its own defaults. Limits are signed: -1
/// means unlimited. Empty strings and lists mean "not set".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    /// Name: 1 to 255 characters without blanks, `.`, `*`, `>` and path separators.
    pub name: String,
    /// Free text of at most 4,096 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Filters of the subjects that are stored; by default the name of the stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// What makes the stream let go of a message.
    pub retention: Retention,
    /// Most consumers; -1 is unlimited.
    pub max_consumers: i64,
    /// Most messages; -1 is unlimited.
    pub max_msgs: i64,
    /// Most bytes, headers and record overhead included; -1 is unlimited.
    pub max_bytes: i64,
    /// Longest time a message is kept; zero is for ever.
    pub max_age: Nanos,
    /// Most messages of one subject; -1 is unlimited.
    pub max_msgs_per_subject: i64,
    /// Largest message, headers included, in bytes; -1 is unlimited.
    pub max_msg_size: i32,
    /// What happens to a message that would break a limit.
    pub discard: Discard,
    /// Where messages live.
    pub storage: Storage,
    /// Number of servers that hold the stream, 1 to 5.
    pub num_replicas: i64,
    /// Publishes are not answered.
    #[serde(skip_serializing_if = "is_false")]
    pub no_ack: bool,
    /// How long a `Nats-Msg-Id` is remembered.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub duplicate_window: Nanos,
    /// Which servers may hold the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// The stream that this one copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    /// Streams whose messages are taken in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    /// Compression of stored messages.
    pub compression: Compression,
    /// Sequence of the first message; zero means 1.
    #[serde(skip_serializing_if = "is_default")]
    pub first_seq: u64,
    /// Change of the subject before a message is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    /// Publish every stored message again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    /// Messages can be read with `DIRECT.GET`.
    pub allow_direct: bool,
    /// Answer `DIRECT.GET` for the stream that is mirrored.
    pub mirror_direct: bool,
    /// With discard new: refuse per subject.
    #[serde(skip_serializing_if = "is_false")]
    pub discard_new_per_subject: bool,
    /// Nothing can be added, removed or changed any more.
    pub sealed: bool,
    /// Messages can not be deleted one by one.
    pub deny_delete: bool,
    /// Messages can not be purged.
    pub deny_purge: bool,
    /// `Nats-Rollup` is honoured.
    pub allow_rollup_hdrs: bool,
    /// Limits of the consumers.
    pub consumer_limits: ConsumerLimits,
    /// `Nats-TTL` is honoured.
    pub allow_msg_ttl: bool,
    /// How long a marker stands for an expired subject; zero means no markers.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub subject_delete_marker_ttl: Nanos,
    /// `Nats-Incr` is honoured.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_counter: bool,
    /// Atomic batches are accepted.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_atomic: bool,
    /// `Nats-Schedule` is honoured.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_msg_schedules: bool,
    /// When a published message is on stable storage.
    #[serde(skip_serializing_if = "is_default")]
    pub persist_mode: PersistMode,
    /// Fast batches are accepted.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_batched: bool,
    /// Free keys and values, and those of the server, which begin with `_nats.`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}
