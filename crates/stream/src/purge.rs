//! Purging: removing messages on request.

use everjet_consumer::SEQUENCE_MAX;
use everjet_store::{StreamStore, SubjectSet};
use everjet_values::{EntryIndex, StreamSequence};

use crate::apply::Removal;
use crate::state::StreamState;

/// Removes the messages before `sequence` (zero: all) whose subject matches `filter` (empty: all), except the newest
/// `keep` of them. Returns how many went.
///
/// Without a filter, a `sequence` past the end moves the end: the next message gets it.
pub(crate) fn purge(
    state: &mut StreamState,
    entry: EntryIndex,
    sequence: StreamSequence,
    keep: u64,
    filter: &[u8],
    removals: &mut Vec<Removal>,
) -> u64 {
    let everything = filter.is_empty() || filter == b">";
    let filters: &[&[u8]] = if everything { &[] } else { &[filter] };
    let set = state.store.select(filters);
    let end = if sequence == StreamSequence::ZERO {
        state.store.last_sequence().next()
    } else {
        sequence.min(SEQUENCE_MAX)
    };
    if everything {
        let end = end.min(keep_from(&state.store, &set, keep));
        let removed = state.remove_through(entry, end.previous(), removals);
        state.store.skip_to(entry, end);
        return removed;
    }
    let removed = purge_filtered(state, entry, &set, end, keep);
    for consumer in state.consumers.values_mut() {
        let store = &state.store;
        consumer
            .state
            .on_removed_many(|sequence| store.contains(sequence));
    }
    removals.push(Removal::Many);
    removed
}

/// The first of the newest `keep` messages; past the end for none.
fn keep_from(store: &StreamStore, everything: &SubjectSet, keep: u64) -> StreamSequence {
    if keep == 0 {
        return SEQUENCE_MAX;
    }
    let (mut low, mut high) = (store.first_sequence().0, store.last_sequence().0);
    while low < high {
        let middle = low + (high - low) / 2;
        if store.count_match(everything, StreamSequence(middle)) > keep {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    StreamSequence(low)
}

fn purge_filtered(
    state: &mut StreamState,
    entry: EntryIndex,
    set: &SubjectSet,
    end: StreamSequence,
    keep: u64,
) -> u64 {
    let mut going = Vec::new();
    let mut next = state.store.next_match(set, state.store.first_sequence());
    while let Some(sequence) = next.filter(|sequence| *sequence < end) {
        going.push(sequence);
        next = state.store.next_match(set, sequence.next());
    }
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    going.truncate(going.len().saturating_sub(keep));
    going
        .iter()
        .filter(|sequence| state.store.remove(entry, **sequence).is_some())
        .count() as u64
}
