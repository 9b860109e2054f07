//! Keeping a stream inside its limits by removing its oldest messages.

use everjet_api::StreamConfig;
use everjet_store::StreamStore;
use everjet_subject::SubjectId;
use everjet_values::{EntryIndex, StreamSequence};

use crate::apply::Removal;
use crate::state::StreamState;

/// Removes what the message `stored` pushed over a limit. The limits of the stream come after that of the subject, so
/// that no more goes than has to.
pub(crate) fn enforce(
    state: &mut StreamState,
    entry: EntryIndex,
    stored: StreamSequence,
    removals: &mut Vec<Removal>,
) {
    if let Some(limit) = limit(state.config.max_msgs_per_subject)
        && let Some(subject) = state.store.subject_id(stored)
    {
        enforce_subject(state, entry, subject, limit, removals);
    }
    while is_over(&state.config, state.store.messages(), state.store.bytes()) {
        state.remove_first(entry, removals);
    }
}

/// Removes what is over the limits after they changed. That may be much: the stream's own limits are kept with one
/// removal.
pub(crate) fn enforce_all(state: &mut StreamState, entry: EntryIndex, removals: &mut Vec<Removal>) {
    if let Some(limit) = limit(state.config.max_msgs_per_subject) {
        let subjects = u32::try_from(state.store.subjects().len()).unwrap_or(u32::MAX);
        for subject in 0..subjects {
            enforce_subject(state, entry, SubjectId(subject), limit, removals);
        }
    }
    if let Some(through) = last_over(&state.config, &state.store) {
        state.note_left_waiting(StreamSequence::ZERO, through);
        state.remove_through(entry, through, removals);
    }
}

/// The last of the oldest messages that have to go to get inside the limits; `None` when none has to.
fn last_over(config: &StreamConfig, store: &StreamStore) -> Option<StreamSequence> {
    let everything = store.select(&[]);
    let (mut messages, mut bytes) = (store.messages(), store.bytes());
    let mut next = store.first_sequence();
    let mut last = None;
    while is_over(config, messages, bytes)
        && let Some(sequence) = store.next_match(&everything, next)
    {
        messages = messages.saturating_sub(1);
        bytes = bytes.saturating_sub(store.size_of(sequence).unwrap_or(0));
        next = sequence.next();
        last = Some(sequence);
    }
    last
}

/// A limit of the configuration, which is -1 when there is none.
pub(crate) fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|limit| *limit > 0)
}

/// Removes the oldest messages of a subject until it has `limit`.
pub(crate) fn enforce_subject(
    state: &mut StreamState,
    entry: EntryIndex,
    subject: SubjectId,
    limit: u64,
    removals: &mut Vec<Removal>,
) {
    while state.store.count_of(subject) > limit
        && let Some(first) = state.store.first_of(subject)
    {
        if !state.remove(entry, first, removals) {
            return;
        }
    }
}

fn is_over(config: &StreamConfig, messages: u64, bytes: u64) -> bool {
    let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
    messages > 0 && (over(limit(config.max_msgs), messages) || over(limit(config.max_bytes), bytes))
}
