//! Backups of streams: the bodies of their requests, answers and advisories, and what their archives say about consumers.

use std::collections::BTreeMap;

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::advisory::{Advice, AdvisedClient};
use crate::omit::{is_default, is_false};
use crate::{ConsumerConfig, StreamConfig, StreamState};

/// Body of `STREAM.SNAPSHOT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotRequest {
    /// Where the backup shall go.
    pub deliver_subject: String,
    /// Leave the consumers out.
    #[serde(skip_serializing_if = "is_false")]
    pub no_consumers: bool,
    /// Bytes of a message; zero means the default.
    #[serde(skip_serializing_if = "is_default")]
    pub chunk_size: i64,
    /// Bytes that may be on their way; zero means the default.
    #[serde(skip_serializing_if = "is_default")]
    pub window_size: i64,
    /// Check all messages before. They are checked as they are read, always.
    #[serde(skip_serializing_if = "is_false")]
    pub jsck: bool,
}

/// Answer to `STREAM.SNAPSHOT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotResponse {
    /// The configuration, which the backup does not hold.
    pub config: StreamConfig,
    /// The stream as it is when the backup begins.
    pub state: StreamState,
}

/// Body of `STREAM.RESTORE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreRequest {
    /// What the stream shall be.
    pub config: StreamConfig,
    /// What [`SnapshotResponse`] said.
    pub state: StreamState,
}

/// Answer to `STREAM.RESTORE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreResponse {
    /// Where the backup is to be sent.
    pub deliver_subject: String,
}

/// A consumer in the archive of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedConsumer {
    /// Its configuration.
    pub config: ConsumerConfig,
    /// How far it got.
    pub state: ArchivedConsumerState,
}

/// How far a consumer in an archive got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchivedConsumerState {
    /// The last delivery.
    pub delivered: ArchivedPosition,
    /// Everything up to here is done.
    pub ack_floor: ArchivedPosition,
    /// What waits for its acknowledgement, by sequence in the stream.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<u64, ArchivedDelivery>,
    /// How often messages were delivered again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub redelivered: BTreeMap<u64, u64>,
}

/// Sequences in consumer and stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchivedPosition {
    /// Of the delivery.
    pub consumer_seq: ConsumerSequence,
    /// Of the message.
    pub stream_seq: StreamSequence,
}

/// A delivery in an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ArchivedDelivery {
    /// Its sequence in the consumer.
    pub sequence: u64,
    /// When it was made, in nanoseconds since 1970.
    pub timestamp: i64,
}

/// A backup begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotCreated<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// The stream as it is.
    pub state: &'a StreamState,
    /// Who asked for it.
    pub client: &'a AdvisedClient,
}

/// A backup was delivered, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotCompleted<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Who asked for it.
    pub client: &'a AdvisedClient,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub error: &'a str,
}

/// A backup is going to be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreCreated<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// Who asked for it.
    pub client: &'a AdvisedClient,
}

/// A backup was received to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreCompleted<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Bytes that were received.
    pub bytes: u64,
    /// Who asked for it.
    pub client: &'a AdvisedClient,
}

impl Advice for SnapshotCreated<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.snapshot_create"
    }
}

impl Advice for SnapshotCompleted<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.snapshot_complete"
    }
}

impl Advice for RestoreCreated<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.restore_create"
    }
}

impl Advice for RestoreCompleted<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.restore_complete"
    }
}
