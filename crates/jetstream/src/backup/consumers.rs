//! Consumers in the archive of a backup.

use everjet_api::{
    ArchivedConsumer, ArchivedConsumerState, ArchivedDelivery, ArchivedPosition, StreamConfig,
};
use everjet_consumer::{
    Consumer, ConsumerId, ConsumerRules, ConsumerState, Delivery, Position, WaitingDelivery,
    normalise_config,
};
use everjet_store::StreamStore;
use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

/// A consumer as an archive shows it that ends with the message `last`.
pub(crate) fn archived(consumer: &Consumer, last: StreamSequence) -> ArchivedConsumer {
    let mut config = consumer.config.clone();
    config.name.clone_from(&consumer.name);
    let position = |position: Position| ArchivedPosition {
        consumer_seq: position.consumer,
        stream_seq: position.stream.min(last),
    };
    let state = &consumer.state;
    let waiting = || state.pending().iter().filter(|one| one.stream <= last);
    let delivery = |one: &Delivery| ArchivedDelivery {
        sequence: one.consumer.0,
        timestamp: one.deadline.as_nanos().saturating_sub(config.ack_wait.0),
    };
    ArchivedConsumer {
        state: ArchivedConsumerState {
            delivered: position(state.delivered()),
            ack_floor: position(state.ack_floor()),
            pending: waiting().map(|one| (one.stream.0, delivery(one))).collect(),
            redelivered: waiting()
                .filter(|one| one.count > 1)
                .map(|one| (one.stream.0, u64::from(one.count) - 1))
                .collect(),
        },
        config,
    }
}

/// The consumer that an archive shows, of a stream with these messages; the error says what is wrong with it.
pub(super) fn restored(
    name: &str,
    archived: ArchivedConsumer,
    stream: &StreamConfig,
    store: &StreamStore,
    (id, now): (ConsumerId, Timestamp),
) -> Result<Consumer, String> {
    let rules = ConsumerRules {
        stream,
        pedantic: false,
    };
    let config = normalise_config(archived.config, &rules).map_err(|error| error.description)?;
    let position = |position: ArchivedPosition| Position {
        consumer: position.consumer_seq,
        stream: position.stream_seq,
    };
    let state = &archived.state;
    let again = |stream| state.redelivered.get(&stream).copied().unwrap_or(0);
    let waiting: Option<Vec<_>> = state
        .pending
        .iter()
        .map(|(&stream, delivery)| {
            Some(WaitingDelivery {
                stream: StreamSequence(stream),
                consumer: ConsumerSequence(delivery.sequence),
                count: u32::try_from(again(stream).checked_add(1)?).ok()?,
                delivered_at: Timestamp::from_nanos(delivery.timestamp),
            })
        })
        .collect();
    let (delivered, floor) = (position(state.delivered), position(state.ack_floor));
    let state = waiting
        .and_then(|waiting| ConsumerState::restored(&config, delivered, floor, &waiting))
        .ok_or("its numbers contradict each other")?;
    let mut consumer = Consumer::create(id, name.to_owned(), now, config, store);
    // One that has not begun begins as its configuration says.
    if delivered.consumer > ConsumerSequence::ZERO {
        consumer.state = state;
    }
    Ok(consumer)
}
