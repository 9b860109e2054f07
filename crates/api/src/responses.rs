//! Bodies of API responses, without the envelope that [`crate::render_response`] adds.

use std::collections::BTreeMap;

use everjet_values::{StreamSequence, Timestamp};
use serde::{Deserialize, Serialize};

use crate::omit::is_false;
use crate::{ConsumerInfo, Nanos, StreamInfo};

/// Most names in one answer.
pub const NAMES_PAGE_LIMIT: u64 = 1024;
/// Most infos in one answer.
pub const LIST_PAGE_LIMIT: u64 = 256;
/// Most subjects in one `STREAM.INFO` answer.
pub const SUBJECTS_PAGE_LIMIT: u64 = 100_000;

/// Which part of a list an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Entries there are.
    pub total: u64,
    /// Entries skipped.
    pub offset: u64,
    /// Most entries of one answer.
    pub limit: u64,
}

/// Answer to `STREAM.CREATE` and `STREAM.UPDATE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCreateResponse {
    /// The stream.
    #[serde(flatten)]
    pub info: StreamInfo,
    /// Whether the request was to create it.
    #[serde(skip_serializing_if = "is_false")]
    pub did_create: bool,
}

/// Answer to `STREAM.INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamInfoResponse {
    /// Which part of the subjects is shown; all zero when they were not asked for.
    #[serde(flatten)]
    pub page: Page,
    /// The stream.
    #[serde(flatten)]
    pub info: StreamInfo,
}

/// Answer to `STREAM.NAMES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamNamesResponse {
    /// Which part is shown.
    #[serde(flatten)]
    pub page: Page,
    /// Names in alphabetical order.
    pub streams: Vec<String>,
}

/// Answer to `STREAM.LIST`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamListResponse {
    /// Which part is shown.
    #[serde(flatten)]
    pub page: Page,
    /// Streams in alphabetical order.
    pub streams: Vec<StreamInfo>,
    /// Streams that exist and cannot be served, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub offline: BTreeMap<String, String>,
}

/// Answer to `STREAM.DELETE`, `STREAM.MSG.DELETE` and `CONSUMER.DELETE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessResponse {
    /// Always true; a failure is an error.
    pub success: bool,
}

impl SuccessResponse {
    /// It was done.
    pub const DONE: Self = Self { success: true };
}

/// Answer to `STREAM.PURGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeResponse {
    /// Always true; a failure is an error.
    pub success: bool,
    /// Messages removed.
    pub purged: u64,
}

/// Answer to `STREAM.MSG.GET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsgGetResponse {
    /// The message.
    pub message: StoredMessage,
}

/// A message as `STREAM.MSG.GET` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredMessage {
    /// Its subject.
    pub subject: String,
    /// Its sequence.
    pub seq: StreamSequence,
    /// Its header block, base64 on the wire.
    #[serde(
        rename = "hdrs",
        with = "crate::base64_bytes",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub headers: Vec<u8>,
    /// Its payload, base64 on the wire.
    #[serde(with = "crate::base64_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// When it was stored.
    pub time: Timestamp,
}

/// Answer to `CONSUMER.PAUSE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerPauseResponse {
    /// Whether nothing is delivered now.
    pub paused: bool,
    /// Until when; unset when no time was given.
    pub pause_until: Timestamp,
    /// For how long.
    #[serde(skip_serializing_if = "Nanos::is_zero")]
    pub pause_remaining: Nanos,
}

/// Answer to `CONSUMER.RESET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerResetResponse {
    /// The consumer as it is now.
    #[serde(flatten)]
    pub info: ConsumerInfo,
    /// The message it begins at.
    pub reset_seq: u64,
}

/// Answer to `CONSUMER.UNPIN`: nothing but that it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerUnpinResponse {}

/// Answer to `CONSUMER.NAMES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerNamesResponse {
    /// Which part is shown.
    #[serde(flatten)]
    pub page: Page,
    /// Names in alphabetical order.
    pub consumers: Vec<String>,
}

/// Answer to `CONSUMER.LIST`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConsumerListResponse {
    /// Which part is shown.
    #[serde(flatten)]
    pub page: Page,
    /// Consumers in alphabetical order.
    pub consumers: Vec<ConsumerInfo>,
}
