//! Markers: what is stored when the last message of a subject grew too old, so that whoever watches the subject learns of it
//! (`subject_delete_marker_ttl`).
//!
//! A marker is a message like others. It rolls up its subject, so that it comes and the old message goes in one step, and it has
//! a lifetime.

use everjet_api::{ApiError, ErrorCode, Nanos, StreamConfig};
use everjet_values::format_duration;
use everjet_wire::{HeaderBuilder, Headers};

use crate::{rollup, ttl};

const REASON: &str = "Nats-Marker-Reason";
const KV_OPERATION: &str = "KV-Operation";

/// The rules for a configuration, and what markers imply for the rest of it.
///
/// # Errors
/// The text of nats-server.
pub(crate) fn normalise(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let invalid = |text: &str| Err(ErrorCode::StreamInvalidConfig.because(text));
    let lifetime = config.subject_delete_marker_ttl;
    if lifetime < Nanos::ZERO {
        return invalid("subject delete marker TTL must not be negative");
    }
    if lifetime.is_zero() {
        return Ok(());
    }
    if lifetime < Nanos::from_secs(1) {
        return invalid("subject delete marker TTL must be at least 1 second");
    }
    if !config.allow_msg_ttl {
        if pedantic {
            return invalid("subject delete marker cannot be set if message TTLs are disabled");
        }
        config.allow_msg_ttl = true;
    }
    if !config.allow_rollup_hdrs {
        if pedantic {
            return invalid("subject delete marker cannot be set if roll-ups are disabled");
        }
        config.allow_rollup_hdrs = true;
        config.deny_purge = false;
    }
    Ok(())
}

/// The headers of a marker; `None` where the stream has none.
pub(crate) fn headers(config: &StreamConfig) -> Option<Vec<u8>> {
    let lifetime = config.subject_delete_marker_ttl.as_duration()?;
    let lifetime = std::time::Duration::from_secs(lifetime.as_secs());
    if lifetime.is_zero() {
        return None;
    }
    let block = HeaderBuilder::new()
        .add(REASON, "MaxAge")
        .add(ttl::HEADER, format_duration(lifetime))
        .add(rollup::HEADER, "sub");
    Some(block.finish())
}

/// Whether a message with these headers is a marker, so that none follows it: one of the server's, or that of a purged key.
pub(crate) fn is_marker(headers: &[u8]) -> bool {
    let headers = Headers(headers);
    let has_reason = headers.get(REASON).is_some_and(|reason| !reason.is_empty());
    has_reason || headers.get(KV_OPERATION) == Some(b"PURGE")
}
