//! What `$JS.API.INFO` says about an account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit::is_default;

/// Limits of an account; -1 is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLimits {
    /// Bytes in memory streams.
    pub max_memory: i64,
    /// Bytes in file streams.
    pub max_storage: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers.
    pub max_consumers: i64,
    /// Unacknowledged deliveries of a consumer.
    pub max_ack_pending: i64,
    /// Bytes of one memory stream.
    pub memory_max_stream_bytes: i64,
    /// Bytes of one file stream.
    pub storage_max_stream_bytes: i64,
    /// Every stream must set `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    /// No limits.
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// What an account, or one tier of it, uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountTier {
    /// Bytes in memory streams.
    pub memory: u64,
    /// Bytes in file streams.
    pub storage: u64,
    /// Bytes promised to memory streams.
    pub reserved_memory: u64,
    /// Bytes promised to file streams.
    pub reserved_storage: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// Its limits.
    pub limits: AccountLimits,
}

/// Counters of API requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiStats {
    /// Level of the API that the server has, see [`crate::API_LEVEL`].
    pub level: u32,
    /// Requests answered.
    pub total: u64,
    /// Of those, answered with an error.
    pub errors: u64,
    /// Requests being worked on.
    #[serde(skip_serializing_if = "is_default")]
    pub inflight: u64,
}

/// What `$JS.API.INFO` says about an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountInfo {
    /// Bytes in memory streams.
    pub memory: u64,
    /// Bytes in file streams.
    pub storage: u64,
    /// Bytes promised to memory streams.
    pub reserved_memory: u64,
    /// Bytes promised to file streams.
    pub reserved_storage: u64,
    /// Streams.
    pub streams: u64,
    /// Consumers.
    pub consumers: u64,
    /// Its limits.
    pub limits: AccountLimits,
    /// The domain of the server; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Counters of API requests.
    pub api: ApiStats,
    /// The same by tier (`R1`, `R3`), when the account has tiers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, AccountTier>,
}
