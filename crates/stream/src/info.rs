//! What a stream and its consumers say about themselves.

use everjet_api::{
    ConsumerInfo, LostMessages, PriorityGroupState, SequenceInfo, StreamInfo, StreamInfoRequest,
    StreamState as Counters, add_level_metadata,
};
use everjet_consumer::{Consumer, Dispatcher, Position};
use everjet_values::{StreamSequence, Timestamp};

use crate::state::StreamState;

/// Most deleted sequences that are listed.
const DELETED_MAX: usize = 1 << 20;

/// Most damaged sequences that are listed.
const LOST_MAX: usize = 10_000;

/// What the stream says about itself, besides what only the server knows.
pub(crate) fn stream(
    state: &StreamState,
    now: Timestamp,
    request: &StreamInfoRequest,
) -> StreamInfo {
    let mut config = state.config.clone();
    add_level_metadata(&mut config.metadata);
    StreamInfo {
        config,
        created: state.created,
        state: counters(state, request),
        ts: now,
        ..StreamInfo::default()
    }
}

fn counters(state: &StreamState, request: &StreamInfoRequest) -> Counters {
    let store = state.store.state();
    let is_new = store.messages == 0 && store.last_sequence == StreamSequence::ZERO;
    let mut counters = Counters {
        messages: store.messages,
        bytes: store.bytes,
        // Before its first message a stream shows no first sequence.
        first_seq: if is_new {
            StreamSequence::ZERO
        } else {
            store.first_sequence
        },
        first_ts: store.first_time,
        last_seq: store.last_sequence,
        last_ts: store.last_time,
        num_subjects: store.subjects,
        num_deleted: store.deleted,
        consumer_count: state.consumers.len() as u64,
        ..Counters::default()
    };
    let lost = state.store.lost(LOST_MAX);
    if !lost.sequences.is_empty() {
        counters.lost = Some(LostMessages {
            msgs: lost.sequences,
            bytes: lost.bytes,
        });
    }
    if request.deleted_details {
        counters.deleted = (store.first_sequence.0..=store.last_sequence.0)
            .map(StreamSequence)
            .filter(|sequence| !state.store.contains(*sequence))
            .take(DELETED_MAX)
            .collect();
    }
    if !request.subjects_filter.is_empty() {
        let subjects = state.store.subjects();
        let mut found = std::collections::BTreeMap::new();
        subjects.for_each_match(request.subjects_filter.as_bytes(), |id| {
            let count = state.store.count_of(id);
            if count > 0 {
                let name = String::from_utf8_lossy(subjects.name(id)).into_owned();
                found.insert(name, count);
            }
        });
        counters.subjects = Some(found);
    }
    counters
}

/// What a consumer says about itself.
pub(crate) fn consumer(
    state: &StreamState,
    now: Timestamp,
    consumer: &Consumer,
    dispatcher: Option<&mut Dispatcher>,
) -> ConsumerInfo {
    let mut config = consumer.config.clone();
    add_level_metadata(&mut config.metadata);
    let mut info = ConsumerInfo {
        stream_name: state.config.name.clone(),
        name: consumer.name.clone(),
        created: consumer.created,
        config,
        delivered: position(consumer.state.delivered(), consumer.state.delivered_at()),
        ack_floor: position(consumer.state.ack_floor(), consumer.state.acked_at()),
        num_ack_pending: consumer.state.pending().len() as u64,
        num_redelivered: redelivered(consumer),
        ts: now,
        ..ConsumerInfo::default()
    };
    if let Some(until) = consumer.config.pause_until.filter(|until| *until > now) {
        info.paused = true;
        info.pause_remaining = until.since(now).into();
    }
    info.priority_groups = groups(consumer, dispatcher.as_deref());
    if let Some(dispatcher) = dispatcher {
        info.num_waiting = dispatcher.num_waiting() as u64;
        info.num_pending = dispatcher.num_pending(consumer, &state.store);
        info.push_bound = consumer.config.is_push() && dispatcher.has_receiver();
    }
    info
}

/// The priority group; nats-server tells of the first only.
fn groups(consumer: &Consumer, dispatcher: Option<&Dispatcher>) -> Vec<PriorityGroupState> {
    let (pinned_client_id, pinned_ts) = dispatcher.and_then(Dispatcher::pinned).unzip();
    let first = consumer.config.priority_groups.first();
    let state = first.map(|group| PriorityGroupState {
        group: group.clone(),
        pinned_client_id: pinned_client_id.unwrap_or_default().to_owned(),
        pinned_ts: pinned_ts.unwrap_or(Timestamp::UNSET),
    });
    state.into_iter().collect()
}

/// How many messages were delivered again and are not acknowledged, those that are not delivered once more included.
fn redelivered(consumer: &Consumer) -> u64 {
    let waiting = consumer.state.pending().redelivered_len();
    let exhausted = match consumer.config.max_deliver {
        1 => 0,
        _ => consumer.state.exhausted().len(),
    };
    (waiting + exhausted) as u64
}

fn position(position: Position, last_active: Timestamp) -> SequenceInfo {
    SequenceInfo {
        consumer_seq: position.consumer,
        stream_seq: position.stream,
        last_active: (!last_active.is_unset()).then_some(last_active),
    }
}
