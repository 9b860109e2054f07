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
    while is_over(&state.config, &state.store) {
        state.remove_first(entry, removals);
    }
}

/// Removes what is over the limits after they changed.
pub(crate) fn enforce_all(
    state: &mut StreamState,
    entry: EntryIndex,
    removals: &mut Vec<Removal>,
) {
    if let Some(limit) = limit(state.config.max_msgs_per_subject) {
        let subjects = u32::try_from(state.store.subjects().len()).unwrap_or(u32::MAX);
        for subject in 0..subjects {
            enforce_subject(state, entry, SubjectId(subject), limit, removals);
        }
    }
    while is_over(&state.config, &state.store) {
        state.remove_first(entry, removals);
    }
}

/// A limit of the configuration, which is -1 when there is none.
pub(crate) fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|limit| *limit > 0)
}

fn enforce_subject(
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

fn is_over(config: &StreamConfig, store: &StreamStore) -> bool {
    let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
    store.messages() > 0
        && (over(limit(config.max_msgs), store.messages())
            || over(limit(config.max_bytes), store.bytes()))
}
