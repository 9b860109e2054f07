//! A consumer that comes from elsewhere: from the store of another server.

use everjet_api::ConsumerConfig;
use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

use crate::consumer::SEQUENCE_MAX;
use crate::pending::Delivery;
use crate::state::{ConsumerState, Position, wait_after};

/// A delivery that waited for its acknowledgement elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingDelivery {
    /// The message.
    pub stream: StreamSequence,
    /// Its first delivery.
    pub consumer: ConsumerSequence,
    /// How often it was delivered; at least 1.
    pub count: u32,
    /// When it was delivered last.
    pub delivered_at: Timestamp,
}

impl ConsumerState {
    /// The state of a consumer of `config` that got as far elsewhere. `waiting` ascends in both sequences, behind the floor and up
    /// to what was delivered. `None` when the numbers cannot be those of one consumer.
    #[must_use]
    pub fn restored(
        config: &ConsumerConfig,
        delivered: Position,
        ack_floor: Position,
        waiting: &[WaitingDelivery],
    ) -> Option<Self> {
        let within =
            |consumer, stream| consumer <= delivered.consumer && stream <= delivered.stream;
        let fits = within(ack_floor.consumer, ack_floor.stream)
            && delivered.stream < SEQUENCE_MAX
            && delivered.consumer.0 < SEQUENCE_MAX.0
            && waiting.iter().all(|one| {
                within(one.consumer, one.stream)
                    && one.count > 0
                    && one.stream > ack_floor.stream
                    && one.consumer > ack_floor.consumer
            })
            && waiting
                .is_sorted_by(|one, next| one.stream < next.stream && one.consumer < next.consumer);
        if !fits {
            return None;
        }
        let mut state = Self {
            delivered,
            ack_floor,
            resume: delivered.stream.next(),
            ..Self::default()
        };
        for one in waiting {
            state.pending.push(Delivery {
                stream: one.stream,
                consumer: one.consumer,
                count: one.count,
                deadline: one.delivered_at.plus(wait_after(config, one.count)),
            });
        }
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use everjet_api::Nanos;

    use super::*;

    fn position(consumer: u64, stream: u64) -> Position {
        Position {
            consumer: ConsumerSequence(consumer),
            stream: StreamSequence(stream),
        }
    }

    fn restored(
        delivered: Position,
        ack_floor: Position,
        waiting: &[(u64, u64, u32)],
    ) -> Option<ConsumerState> {
        let config = ConsumerConfig {
            ack_wait: Nanos(30),
            ..ConsumerConfig::default()
        };
        let waiting: Vec<_> = waiting
            .iter()
            .map(|(stream, consumer, count)| WaitingDelivery {
                stream: StreamSequence(*stream),
                consumer: ConsumerSequence(*consumer),
                count: *count,
                delivered_at: Timestamp::from_nanos(100),
            })
            .collect();
        ConsumerState::restored(&config, delivered, ack_floor, &waiting)
    }

    #[test]
    fn a_restored_consumer_goes_on_where_it_was() {
        let waiting = [(4, 2, 2), (8, 4, 1), (9, 5, 1)];
        let state = restored(position(7, 9), position(1, 3), &waiting).expect("fits");
        assert_eq!(state.delivered(), position(7, 9));
        assert_eq!(state.ack_floor(), position(1, 3));
        assert_eq!(
            (state.pending().len(), state.pending().redelivered_len()),
            (3, 1)
        );
        assert_eq!(state.next_sequence(), StreamSequence(10));
        let front = state.pending().front().expect("three wait");
        assert_eq!(front.deadline, Timestamp::from_nanos(130));
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let check = |delivered, ack_floor, waiting: &[(u64, u64, u32)]| {
            assert!(
                restored(delivered, ack_floor, waiting).is_none(),
                "{waiting:?}"
            );
        };
        check(position(1, 3), position(1, 4), &[]);
        check(position(1, 3), position(2, 3), &[]);
        check(position(7, 9), position(1, 3), &[(3, 2, 1)]);
        check(position(7, 9), position(1, 3), &[(4, 1, 1)]);
        check(position(7, 9), position(1, 3), &[(10, 7, 1)]);
        check(position(7, 9), position(1, 3), &[(8, 8, 1)]);
        check(position(7, 9), position(1, 3), &[(4, 3, 1), (5, 2, 1)]);
        check(position(7, 9), position(1, 3), &[(4, 2, 0)]);
        check(position(1, u64::MAX), position(0, 0), &[]);
    }
}
