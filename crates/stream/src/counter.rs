//! Counters (`allow_msg_counter`): every message adds to its subject's number, and its payload is the sum.
//!
//! The sum is decided when the message comes and is its record's payload. What came before it is the last message of the subject,
//! which is read on the spot when it is not in memory: the first increment of a subject in a while.

use std::collections::BTreeMap;

use everjet_api::{ApiError, Discard, ErrorCode, Retention, StreamConfig};
use everjet_store::StoredMessage;
use everjet_wire::{HeaderBuilder, Headers, strip};
use serde::{Deserialize, Serialize};

use crate::Publish;
use crate::decimal::Decimal;
use crate::state::StreamState;

/// What each of the streams that a counter is gathered from has counted, by stream and subject there.
const SOURCES: &str = "Nats-Counter-Sources";

/// The payload of a counter.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Value {
    val: String,
}

/// A message that adds to a counter, as it is stored.
#[derive(Debug)]
pub(crate) struct Counted {
    /// `None` for those that it came with.
    pub(crate) headers: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
    /// The sum.
    pub(crate) value: String,
}

impl Counted {
    /// What is stored instead of `publish`.
    pub(crate) fn publish<'a>(&'a self, publish: &Publish<'a>) -> Publish<'a> {
        Publish {
            headers: self.headers.as_deref().unwrap_or(publish.headers),
            payload: &self.payload,
            ..*publish
        }
    }
}

/// The rules for a configuration.
///
/// # Errors
/// The texts of nats-server.
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    if !config.allow_msg_counter {
        return Ok(());
    }
    let rules = [
        (
            config.discard == Discard::New,
            "counter stream cannot use discard new",
        ),
        (
            config.allow_msg_ttl,
            "counter stream cannot use message TTLs",
        ),
        (
            config.allow_msg_schedules,
            "counter stream cannot use message schedules",
        ),
        (
            config.retention != Retention::Limits,
            "counter stream can only use limits retention",
        ),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ErrorCode::StreamInvalidConfig.because(text)),
        None => Ok(()),
    }
}

/// Checks the increment of a publish, empty when there is none. `has_others` says whether it has a header that does not go with one.
///
/// # Errors
/// An increment that is no number, or that the stream, the payload or other headers do not allow.
pub(crate) fn check(
    config: &StreamConfig,
    increment: &[u8],
    payload: &[u8],
    has_others: bool,
) -> Result<(), ApiError> {
    if increment.is_empty() {
        return Ok(());
    }
    let code = if Decimal::parse(increment).is_none() {
        ErrorCode::MessageIncrInvalid
    } else if !config.allow_msg_counter {
        ErrorCode::MessageIncrDisabled
    } else if !payload.is_empty() {
        ErrorCode::MessageIncrPayload
    } else if has_others {
        ErrorCode::MessageIncrInvalid
    } else {
        return Ok(());
    };
    Err(code.error())
}

/// Refuses a message without increment in a stream of counters.
///
/// # Errors
/// [`ErrorCode::MessageIncrMissing`].
#[inline]
pub(crate) fn check_present(config: &StreamConfig, increment: &[u8]) -> Result<(), ApiError> {
    if config.allow_msg_counter && increment.is_empty() {
        return Err(ErrorCode::MessageIncrMissing.error());
    }
    Ok(())
}

/// What a message of a stream of counters, which passed all checks, adds up to.
///
/// # Errors
/// [`ErrorCode::MessageCounterBroken`] when the last message of its subject is no counter, or cannot be read.
pub(crate) fn count(state: &StreamState, publish: &Publish<'_>) -> Result<Counted, ApiError> {
    let last = last(state, publish.subject)?;
    let last = last.as_ref().map(|last| (last.headers(), last.payload()));
    count_on(last, publish)
}

/// What a message adds up to, on headers and payload of the last message of its subject.
///
/// # Errors
/// As [`count`].
pub(crate) fn count_on(
    last: Option<(&[u8], &[u8])>,
    publish: &Publish<'_>,
) -> Result<Counted, ApiError> {
    let increment = Headers(publish.headers).get("Nats-Incr");
    let increment = increment.and_then(Decimal::parse);
    let increment = increment.ok_or_else(|| ErrorCode::MessageIncrInvalid.error())?;
    let (before, sources) = match last {
        Some((headers, payload)) => (value(payload)?, sources(headers)?),
        None => (Decimal::default(), None),
    };
    let value = before.plus(&increment).to_string();
    Ok(Counted {
        headers: sources.map(|sources| with_sources(publish.headers, &sources)),
        // Digits and a sign: nothing to escape.
        payload: format!("{{\"val\":\"{value}\"}}").into_bytes(),
        value,
    })
}

/// The last message of a subject.
///
/// # Errors
/// [`ErrorCode::MessageCounterBroken`] when it cannot be read.
pub(crate) fn last(state: &StreamState, subject: &[u8]) -> Result<Option<StoredMessage>, ApiError> {
    let id = state.store.subjects().lookup(subject);
    let Some(sequence) = id.and_then(|id| state.store.last_of(id)) else {
        return Ok(None);
    };
    state.store.get(sequence).map(Some).map_err(|_| broken())
}

fn value(payload: &[u8]) -> Result<Decimal, ApiError> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| broken())?;
    Decimal::parse(value.val.as_bytes()).ok_or_else(broken)
}

/// What a message says about the streams it is gathered from, as it says it; that stays so until one of them says more.
fn sources(headers: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(sources) = Headers(headers).get(SOURCES) else {
        return Ok(None);
    };
    let read: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(sources).map_err(|_| broken())?;
    Ok((!read.is_empty()).then(|| sources.to_vec()))
}

fn with_sources(headers: &[u8], sources: &[u8]) -> Vec<u8> {
    let mut block = strip(headers, &[SOURCES]);
    block.truncate(block.len().saturating_sub(b"\r\n".len()));
    HeaderBuilder::going_on(block)
        .add(SOURCES, sources)
        .finish()
}

fn broken() -> ApiError {
    ErrorCode::MessageCounterBroken.error()
}
