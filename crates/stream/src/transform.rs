//! Storing messages under another subject than they were published with (`subject_transform`).
//!
//! What a message is called is decided before anything else looks at it and is part of its record: a transform may draw lots.

use everjet_api::{ApiError, ErrorCode, StreamConfig};
use everjet_subject::{SubjectTransform, is_valid_filter};
use everjet_values::{Entropy, SeededEntropy, StreamSequence, Timestamp};

/// The rules for a configuration.
///
/// # Errors
/// [`ErrorCode::StreamTransformInvalidSource`], [`ErrorCode::StreamTransformInvalidDestination`].
pub(crate) fn check_config(config: &StreamConfig) -> Result<(), ApiError> {
    let Some(transform) = &config.subject_transform else {
        return Ok(());
    };
    let source = &transform.source;
    if !source.is_empty() && !is_valid_filter(source.as_bytes()) {
        let why = format!("invalid subject {source}");
        return Err(ErrorCode::StreamTransformInvalidSource.because(why));
    }
    if transform.destination.is_empty() {
        return Ok(());
    }
    match SubjectTransform::mapping(source.as_bytes(), transform.destination.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => Err(ErrorCode::StreamTransformInvalidDestination.because(error)),
    }
}

/// The transform of a configuration that was checked; one without destination changes nothing.
pub(crate) fn of(config: &StreamConfig) -> Option<SubjectTransform> {
    let transform = config.subject_transform.as_ref()?;
    let (source, destination) = (&transform.source, &transform.destination);
    if destination.is_empty() {
        return None;
    }
    SubjectTransform::mapping(source.as_bytes(), destination.as_bytes()).ok()
}

/// Appends what a message is called in the stream to `into`. What the transform does not take keeps its subject.
pub(crate) fn rename(
    transform: &SubjectTransform,
    subject: &[u8],
    now: Timestamp,
    last: StreamSequence,
    into: &mut Vec<u8>,
) {
    let seed = now.as_nanos().unsigned_abs().wrapping_add(last.0 << 32);
    let lots = SeededEntropy::new(seed);
    let draw = || u32::try_from(lots.next_u64() >> 32).unwrap_or_default();
    if !transform.apply(subject, draw, into) {
        into.clear();
        into.extend_from_slice(subject);
    }
}
