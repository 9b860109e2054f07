//! Reading single messages.

use everjet_api::{ApiError, ErrorCode, MsgGetRequest, OneMessage};
use everjet_store::{Lookup, ReadError, StoredMessage};
use everjet_subject::{has_wildcards, is_valid_filter};
use everjet_values::StreamSequence;

use crate::state::StreamState;

/// The sequence of a message that was looked for, and the message or where it is on disk.
pub type Looked = Result<(StreamSequence, Lookup<StoredMessage>), ReadError>;

/// The message that a request asks for, or what has to be read to find it.
///
/// # Errors
/// [`ErrorCode::BadRequest`] when it asks for none or for several things at once, [`ErrorCode::NoMessageFound`], and
/// [`ErrorCode::StreamGeneral`] when the message is there and cannot be read.
pub(crate) fn message(
    state: &StreamState,
    request: &MsgGetRequest,
) -> Result<Lookup<StoredMessage>, ApiError> {
    check(request)?;
    let sequence = match find(state, request) {
        Lookup::Ready(found) => found.ok_or_else(|| ErrorCode::NoMessageFound.error())?,
        Lookup::Cold(read) => return Ok(Lookup::Cold(read)),
    };
    state
        .store
        .lookup(sequence, None)
        .map_err(|error| match error {
            ReadError::NotFound | ReadError::Deleted => ErrorCode::NoMessageFound.error(),
            error => ErrorCode::StreamGeneral.because(error),
        })
}

/// Several messages: the sequence of each, and the message or where it is on disk. What was read back before is not asked, and a
/// subject is looked for as it is: the caller has checked that it has no wildcards.
pub(crate) fn several(state: &StreamState, wanted: &[OneMessage<'_>]) -> Vec<Looked> {
    let store = &state.store;
    let subject = |wanted: &_| match *wanted {
        OneMessage::Sequence(_) => None,
        OneMessage::LastOf(subject) => Some(subject),
    };
    let subjects: Vec<&[u8]> = wanted.iter().filter_map(subject).collect();
    let mut lasts = store.last_of_all(&subjects).into_iter();
    let sequence = |wanted: &_| match *wanted {
        OneMessage::Sequence(sequence) => Some(StreamSequence(sequence)),
        OneMessage::LastOf(_) => lasts.next().flatten(),
    };
    let sequences: Vec<_> = wanted.iter().map(sequence).collect();
    let look_up = |sequence: Option<StreamSequence>| {
        let sequence = sequence.ok_or(ReadError::NotFound)?;
        Ok((sequence, store.lookup_one(sequence)?))
    };
    sequences.into_iter().map(look_up).collect()
}

fn check(request: &MsgGetRequest) -> Result<(), ApiError> {
    let by_last = !request.last_by_subj.is_empty();
    let by_next = !request.next_by_subj.is_empty();
    let by_time = request.start_time.is_some();
    let by_sequence = request.seq > 0;
    let nothing = !(by_last || by_next || by_time || by_sequence);
    let several = (by_last && (by_next || by_sequence || by_time)) || (by_sequence && by_time);
    let for_direct_get = request.batch > 0
        || request.max_bytes > 0
        || !request.multi_last.is_empty()
        || request.up_to_seq > 0
        || request.up_to_time.is_some();
    if nothing || several || for_direct_get {
        return Err(ErrorCode::BadRequest.error());
    }
    Ok(())
}

fn find(state: &StreamState, request: &MsgGetRequest) -> Lookup<Option<StreamSequence>> {
    let store = &state.store;
    if !request.last_by_subj.is_empty() {
        return Lookup::Ready(last(state, request.last_by_subj.as_bytes()));
    }
    let from = match request.start_time.map(|time| store.search_time(time)) {
        Some(Lookup::Ready(from)) => from,
        Some(Lookup::Cold(read)) => return Lookup::Cold(read),
        None => StreamSequence(request.seq),
    };
    Lookup::Ready(next(state, request, from))
}

fn next(
    state: &StreamState,
    request: &MsgGetRequest,
    from: StreamSequence,
) -> Option<StreamSequence> {
    let store = &state.store;
    if !request.next_by_subj.is_empty() {
        let filter = request.next_by_subj.as_bytes();
        let set = is_valid_filter(filter).then(|| store.select(&[filter]))?;
        return store.next_match(&set, from);
    }
    if request.start_time.is_some() {
        return store.next_match(&store.select(&[]), from);
    }
    Some(from)
}

fn last(state: &StreamState, filter: &[u8]) -> Option<StreamSequence> {
    if !is_valid_filter(filter) {
        return None;
    }
    if has_wildcards(filter) {
        let set = state.store.select(&[filter]);
        return state.store.last_per_subject(&set).pop();
    }
    state.store.last_of(state.store.subjects().lookup(filter)?)
}
