//! Rollups: a message that takes the place of all before it, of its subject or of the stream (`Nats-Rollup`).
//!
//! What goes is part of storing the message, so that both survive together or not at all, and replaying decides nothing:
//! the header is in the record, and whether the stream honours it is in the configuration.

use everjet_api::{ApiError, ErrorCode, StreamConfig};
use everjet_subject::has_wildcards;
use everjet_values::{EntryIndex, StreamSequence};
use everjet_wire::Headers;

use crate::Publish;
use crate::apply::Removal;
use crate::command::Command;
use crate::limits;
use crate::state::StreamState;

/// The header that asks for it.
pub(crate) const HEADER: &str = "Nats-Rollup";

/// What a message takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollup {
    /// All messages of its subject.
    Subject,
    /// All messages of the stream.
    All,
}

impl Rollup {
    /// Reads the header's value.
    fn parse(value: &[u8]) -> Option<Self> {
        match value.to_ascii_lowercase().as_slice() {
            b"sub" => Some(Self::Subject),
            b"all" => Some(Self::All),
            _ => None,
        }
    }

    /// What a message of a stream with this configuration takes the place of.
    pub(crate) fn of(config: &StreamConfig, headers: &[u8]) -> Option<Self> {
        if headers.is_empty() || !is_allowed(config) {
            return None;
        }
        Self::parse(Headers(headers).get(HEADER)?)
    }
}

/// The rules for a configuration.
///
/// # Errors
/// The text of nats-server.
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    if config.allow_rollup_hdrs && config.deny_purge {
        return Err(ErrorCode::StreamInvalidConfig.because("roll-ups require the purge permission"));
    }
    Ok(())
}

/// Checks the header of a publish; empty when there is none.
///
/// # Errors
/// [`ErrorCode::StreamRollupFailed`] where the stream does not allow it, or for another value.
pub(crate) fn check(config: &StreamConfig, value: &[u8]) -> Result<(), ApiError> {
    if value.is_empty() {
        return Ok(());
    }
    if !is_allowed(config) {
        return Err(ErrorCode::StreamRollupFailed.because("rollup not permitted"));
    }
    if Rollup::parse(value).is_none() {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        let text = format!("rollup value invalid: {value:?}");
        return Err(ErrorCode::StreamRollupFailed.because(text));
    }
    Ok(())
}

/// Removes what the message `stored` takes the place of. All of it goes at once: streams that use this keep a few messages a
/// subject.
pub(crate) fn apply(
    state: &mut StreamState,
    entry: EntryIndex,
    stored: StreamSequence,
    headers: &[u8],
    removals: &mut Vec<Removal>,
) {
    match Rollup::of(&state.config, headers) {
        None => {}
        Some(Rollup::All) => {
            state.remove_through(entry, stored.previous(), removals);
        }
        Some(Rollup::Subject) => {
            if let Some(subject) = state.store.subject_id(stored) {
                limits::enforce_subject(state, entry, subject, 1, removals);
            }
        }
    }
}

/// What a message that is not stored, because no consumer wants it, removes all the same.
pub(crate) fn of_skipped<'a>(config: &StreamConfig, publish: &Publish<'a>) -> Option<Command<'a>> {
    let filter = match Rollup::of(config, publish.headers)? {
        Rollup::All => b"",
        // A subject that looks like a filter would take others with it.
        Rollup::Subject if has_wildcards(publish.subject) => return None,
        Rollup::Subject => publish.subject,
    };
    Some(Command::Purged {
        sequence: StreamSequence::ZERO,
        keep: 0,
        filter,
    })
}

fn is_allowed(config: &StreamConfig) -> bool {
    config.allow_rollup_hdrs && !config.deny_purge
}
