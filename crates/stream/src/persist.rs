//! `persist_mode`: how soon a published message has to be on stable storage.
//!
//! `async` allows a server to acknowledge what a power cut may still take. This one does not make use of it: all who wait share
//! a sync, so waiting for it costs little.

use everjet_api::{ApiError, ErrorCode, PersistMode, Storage, StreamConfig};

/// The rules for a configuration.
///
/// # Errors
/// The texts of nats-server.
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    if config.persist_mode != PersistMode::Async {
        return Ok(());
    }
    let rules = [
        (
            config.storage != Storage::File,
            "async persist mode is only supported on file storage",
        ),
        (
            config.allow_atomic,
            "async persist mode is not supported with atomic batch publish",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::StreamInvalidConfig.because(text)),
        None => Ok(()),
    }
}
