//! What a publish must satisfy, in order. Run once, before the message becomes an entry.

use everjet_api::{ApiError, Discard, ErrorCode, Storage, StreamConfig};
use everjet_subject::{has_wildcards, is_valid_filter, matches};
use everjet_values::{StreamSequence, Timestamp};
use everjet_wire::Headers;

use crate::Publish;
use crate::counter;
use crate::limits::limit;
use crate::rollup;
use crate::state::StreamState;
use crate::ttl;

/// Header that says who published, for those inside the server.
pub(crate) const REQUEST_INFO: &str = "Nats-Request-Info";

/// Header with the id that makes a message a duplicate of another one.
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Largest header block.
pub(crate) const HEADERS_MAX: usize = 65_535;

/// Longest subject of a stored message, which its record counts in 16 bits.
pub(crate) const SUBJECT_MAX: usize = 65_535;

/// Largest record: subject, headers and payload together, as in nats-server.
pub(crate) const RECORD_MAX: usize = 32 << 20;

/// What a publish that passed all checks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A message to store.
    Stored {
        /// Whether it has a header of the server's own, which is not stored.
        has_request_info: bool,
    },
    /// The same message as one that was stored.
    Duplicate(StreamSequence),
    /// A message that no consumer wants, so that it only takes a sequence.
    Skipped,
}

/// The headers that checks look at; empty when missing.
#[derive(Clone, Copy, Debug, Default)]
struct PublishHeaders<'a> {
    message_id: &'a [u8],
    expected_stream: &'a [u8],
    expected_last_sequence: &'a [u8],
    expected_last_subject_sequence: &'a [u8],
    expected_last_subject: &'a [u8],
    expected_last_message_id: &'a [u8],
    rollup: &'a [u8],
    ttl: &'a [u8],
    increment: &'a [u8],
    batch_id: &'a [u8],
    schedule: &'a [u8],
    source: &'a [u8],
    request_info: &'a [u8],
}

impl<'a> PublishHeaders<'a> {
    fn read(block: &'a [u8]) -> Self {
        let mut headers = Self::default();
        for (name, value) in Headers(block).iter() {
            let field = match name {
                b"Nats-Msg-Id" => &mut headers.message_id,
                b"Nats-Expected-Stream" => &mut headers.expected_stream,
                b"Nats-Expected-Last-Sequence" => &mut headers.expected_last_sequence,
                b"Nats-Expected-Last-Subject-Sequence" => {
                    &mut headers.expected_last_subject_sequence
                }
                b"Nats-Expected-Last-Subject-Sequence-Subject" => {
                    &mut headers.expected_last_subject
                }
                b"Nats-Expected-Last-Msg-Id" => &mut headers.expected_last_message_id,
                b"Nats-Rollup" => &mut headers.rollup,
                b"Nats-TTL" => &mut headers.ttl,
                b"Nats-Incr" => &mut headers.increment,
                b"Nats-Batch-Id" => &mut headers.batch_id,
                b"Nats-Schedule" => &mut headers.schedule,
                b"Nats-Stream-Source" => &mut headers.source,
                b"Nats-Request-Info" => &mut headers.request_info,
                _ => continue,
            };
            // The first one counts.
            if field.is_empty() {
                *field = value;
            }
        }
        headers
    }
}

/// Runs all checks. `wanted` says whether the message is to be stored.
///
/// # Errors
/// The error for the publisher, of the first check that fails.
pub(crate) fn all(
    state: &StreamState,
    now: Timestamp,
    publish: &Publish<'_>,
    wanted: bool,
) -> Result<Admission, ApiError> {
    check_size(&state.config, publish)?;
    check_sealed(&state.config)?;
    if !publish.headers.is_empty() {
        return with_headers(state, now, publish, wanted);
    }
    counter::check_present(&state.config, b"")?;
    if !wanted {
        // It needs no room.
        return Ok(Admission::Skipped);
    }
    check_room(state, publish)?;
    Ok(Admission::Stored {
        has_request_info: false,
    })
}

/// As [`all`] from the headers on, when there are any.
fn with_headers(
    state: &StreamState,
    now: Timestamp,
    publish: &Publish<'_>,
    wanted: bool,
) -> Result<Admission, ApiError> {
    let headers = PublishHeaders::read(publish.headers);
    if let Some(sequence) = check_headers(state, now, publish, &headers)? {
        return Ok(Admission::Duplicate(sequence));
    }
    if !wanted {
        return Ok(Admission::Skipped);
    }
    ttl::check_valid(headers.ttl)?;
    check_room(state, publish)?;
    Ok(Admission::Stored {
        has_request_info: !headers.request_info.is_empty(),
    })
}

/// Everything that headers ask for. The sequence is that of the message of which this one is a duplicate.
///
/// The order is that of nats-server: a message that comes again and expects a sequence is refused for that, before anybody sees that
/// it is a duplicate.
fn check_headers(
    state: &StreamState,
    now: Timestamp,
    publish: &Publish<'_>,
    headers: &PublishHeaders<'_>,
) -> Result<Option<StreamSequence>, ApiError> {
    check_batch(&state.config, headers)?;
    check_counter(&state.config, publish, headers)?;
    check_stream(&state.config, headers)?;
    ttl::check_allowed(&state.config, headers.ttl)?;
    check_last_subject_sequence(state, publish, headers)?;
    check_last_sequence(state, headers)?;
    check_schedule(headers)?;
    check_source(headers)?;
    if let Some(sequence) = duplicate(state, now, headers) {
        return Ok(Some(sequence));
    }
    check_last_message_id(state, headers)?;
    rollup::check(&state.config, headers.rollup)?;
    counter::check_present(&state.config, headers.increment)?;
    Ok(None)
}

/// Whether the stream takes the subject that a message was published with.
///
/// # Errors
/// [`ErrorCode::StreamNotMatch`].
#[inline]
pub(crate) fn check_subject(config: &StreamConfig, publish: &Publish<'_>) -> Result<(), ApiError> {
    let belongs = config
        .subjects
        .iter()
        .any(|filter| matches(filter.as_bytes(), publish.subject));
    // The stream's subjects changed while the message was on its way.
    ensure(belongs, ErrorCode::StreamNotMatch)
}

/// Whether a message is small enough. A counter's is asked again when it is known what will be stored.
///
/// # Errors
/// The limit that it breaks.
#[inline]
pub(crate) fn check_size(config: &StreamConfig, publish: &Publish<'_>) -> Result<(), ApiError> {
    check_message_size(config, publish)?;
    let size = publish.headers.len() + publish.payload.len();
    ensure(
        publish.headers.len() <= HEADERS_MAX,
        ErrorCode::StreamHeaderExceedsMaximum,
    )?;
    if publish.subject.len() > SUBJECT_MAX {
        return Err(ErrorCode::StreamStoreFailed.because("message subject too long"));
    }
    if publish.subject.len() + size > RECORD_MAX {
        return Err(ErrorCode::StreamStoreFailed.because("message too large"));
    }
    Ok(())
}

/// The stream's own limit.
///
/// # Errors
/// [`ErrorCode::StreamMessageExceedsMaximum`].
pub(crate) fn check_message_size(
    config: &StreamConfig,
    publish: &Publish<'_>,
) -> Result<(), ApiError> {
    let size = publish.headers.len() + publish.payload.len();
    let fits = limit(config.max_msg_size.into()).is_none_or(|limit| size as u64 <= limit);
    ensure(fits, ErrorCode::StreamMessageExceedsMaximum)
}

pub(crate) fn check_sealed(config: &StreamConfig) -> Result<(), ApiError> {
    ensure(!config.sealed, ErrorCode::StreamSealed)
}

/// Members of a batch get here one by one, when it is committed.
fn check_batch(config: &StreamConfig, headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
    ensure(
        config.allow_atomic || headers.batch_id.is_empty(),
        ErrorCode::AtomicPublishDisabled,
    )
}

fn check_stream(config: &StreamConfig, headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
    let expected = headers.expected_stream;
    ensure(
        expected.is_empty() || expected == config.name.as_bytes(),
        ErrorCode::StreamNotMatch,
    )
}

fn check_source(headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
    ensure(
        headers.source.is_empty(),
        ErrorCode::MessageStreamSourceHeader,
    )
}

/// Adding to a counter goes with no expectation and no rollup.
fn check_counter(
    config: &StreamConfig,
    publish: &Publish<'_>,
    headers: &PublishHeaders<'_>,
) -> Result<(), ApiError> {
    let others = [
        headers.rollup,
        headers.expected_stream,
        headers.expected_last_message_id,
        headers.expected_last_subject,
        headers.expected_last_sequence,
        headers.expected_last_subject_sequence,
    ];
    let has_others = others.iter().any(|value| !value.is_empty());
    counter::check(config, headers.increment, publish.payload, has_others)
}

fn duplicate(
    state: &StreamState,
    now: Timestamp,
    headers: &PublishHeaders<'_>,
) -> Option<StreamSequence> {
    if headers.message_id.is_empty() {
        return None;
    }
    let window = state.duplicate_window();
    state.dedupe.find(headers.message_id, now, window)
}

fn check_last_subject_sequence(
    state: &StreamState,
    publish: &Publish<'_>,
    headers: &PublishHeaders<'_>,
) -> Result<(), ApiError> {
    if headers.expected_last_subject_sequence.is_empty() {
        return ensure(
            headers.expected_last_subject.is_empty(),
            ErrorCode::StreamExpectedLastSeqPerSubjectInvalid,
        );
    }
    let subject = match headers.expected_last_subject {
        b"" => publish.subject,
        subject => subject,
    };
    let last = last_of(state, subject);
    expect_sequence(headers.expected_last_subject_sequence, last)
}

/// The last message of a subject or filter; zero when there is none.
fn last_of(state: &StreamState, subject: &[u8]) -> StreamSequence {
    if !is_valid_filter(subject) {
        return StreamSequence::ZERO;
    }
    let last = if has_wildcards(subject) {
        let set = state.store.select(&[subject]);
        state.store.last_per_subject(&set).pop()
    } else {
        let id = state.store.subjects().lookup(subject);
        id.and_then(|id| state.store.last_of(id))
    };
    last.unwrap_or_default()
}

fn check_last_sequence(state: &StreamState, headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
    if headers.expected_last_sequence.is_empty() {
        return Ok(());
    }
    expect_sequence(headers.expected_last_sequence, state.store.last_sequence())
}

/// What is not a number is no sequence that there could be.
pub(crate) fn expect_sequence(expected: &[u8], last: StreamSequence) -> Result<(), ApiError> {
    let expected = std::str::from_utf8(expected)
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    if expected == Some(last.0) {
        return Ok(());
    }
    Err(ErrorCode::StreamWrongLastSequence.error().with("seq", last))
}

fn check_last_message_id(
    state: &StreamState,
    headers: &PublishHeaders<'_>,
) -> Result<(), ApiError> {
    let expected = headers.expected_last_message_id;
    if expected.is_empty() || expected == state.last_message_id {
        return Ok(());
    }
    let last = String::from_utf8_lossy(&state.last_message_id);
    Err(ErrorCode::StreamWrongLastMsgId.error().with("id", last))
}

fn check_schedule(headers: &PublishHeaders<'_>) -> Result<(), ApiError> {
    ensure(
        headers.schedule.is_empty(),
        ErrorCode::MessageSchedulesDisabled,
    )
}

/// With discard new: the message must fit. A message that replaces one of its subject needs no room for itself.
#[inline]
fn check_room(state: &StreamState, publish: &Publish<'_>) -> Result<(), ApiError> {
    match state.config.discard {
        Discard::Old => Ok(()),
        Discard::New => check_space(state, publish),
    }
}

fn check_space(state: &StreamState, publish: &Publish<'_>) -> Result<(), ApiError> {
    let config = &state.config;
    let full = |text: &str| Err(ErrorCode::StreamStoreFailed.because(text));
    let size = stored_size(config.storage, publish);
    let has_messages = limit(config.max_msgs).is_some_and(|limit| state.store.messages() >= limit);
    let has_bytes = limit(config.max_bytes).is_some_and(|limit| state.store.bytes() + size > limit);
    if !has_messages && !has_bytes && !config.discard_new_per_subject {
        // What would be replaced makes no difference, and looking for it is dear.
        return Ok(());
    }
    let replaced = replaced_by(state, publish.subject);
    if has_messages && replaced.is_none() {
        return full("maximum messages exceeded");
    }
    if has_bytes && replaced.is_none_or(|replaced| replaced < size) {
        return full("maximum bytes exceeded");
    }
    if replaced.is_some() && config.discard_new_per_subject {
        return full("maximum messages per subject exceeded");
    }
    Ok(())
}

/// Size of the message that goes when one of this subject comes; `None` when the subject has room.
fn replaced_by(state: &StreamState, subject: &[u8]) -> Option<u64> {
    let limit = limit(state.config.max_msgs_per_subject)?;
    let id = state.store.subjects().lookup(subject)?;
    if state.store.count_of(id) < limit {
        return None;
    }
    state
        .store
        .first_of(id)
        .and_then(|first| state.store.size_of(first))
}

/// What the message will count for, see [`everjet_store::StoreState::bytes`].
pub(crate) fn stored_size(storage: Storage, publish: &Publish<'_>) -> u64 {
    let content = publish.subject.len() + publish.headers.len() + publish.payload.len();
    let overhead = match storage {
        Storage::Memory => 16,
        Storage::File if publish.headers.is_empty() => 30,
        Storage::File => 34,
    };
    (content + overhead) as u64
}

fn ensure(holds: bool, code: ErrorCode) -> Result<(), ApiError> {
    if holds { Ok(()) } else { Err(code.error()) }
}
