//! Advisories about messages that left the stream while a consumer waited for their acknowledgement.

use everjet_api::{ConsumerEvent, EventDelivery, REMOVED_REASON};
use everjet_values::StreamSequence;

use crate::machine::Stream;
use crate::state::StreamState;

/// Most of them that are told at once.
const TOLD_MAX: usize = 4096;

impl StreamState {
    /// Notes whose acknowledgement is waited for of the messages in this range, which leave. On request they go in a purge, of which
    /// nothing is told.
    pub(crate) fn note_left_waiting(&mut self, first: StreamSequence, last: StreamSequence) {
        let Self {
            consumers,
            left_waiting,
            ..
        } = self;
        for consumer in consumers.values() {
            let pending = consumer.state.pending();
            if pending.is_empty() {
                continue;
            }
            let room = TOLD_MAX.saturating_sub(left_waiting.len());
            if first == last {
                let waiting = pending.get(first).filter(|_| room > 0);
                left_waiting.extend(waiting.map(|delivery| (consumer.id, *delivery)));
            } else {
                let waiting = pending.iter().filter(|delivery| delivery.stream >= first);
                let waiting = waiting.take_while(|delivery| delivery.stream <= last);
                left_waiting.extend(waiting.take(room).map(|delivery| (consumer.id, *delivery)));
            }
        }
    }
}

impl Stream {
    /// Tells what was noted.
    pub(crate) fn tell_left_waiting(&mut self) {
        if self.state.left_waiting.is_empty() {
            return;
        }
        for (id, delivery) in self.state.left_waiting.drain(..) {
            let Some(consumer) = self.state.consumers.get(&id) else {
                continue;
            };
            let event = ConsumerEvent::Terminated {
                delivery: EventDelivery {
                    consumer_seq: delivery.consumer,
                    stream_seq: delivery.stream,
                    deliveries: u64::from(delivery.count),
                },
                reason: REMOVED_REASON.to_owned(),
            };
            self.advisories.push(&consumer.name, event);
        }
    }
}
