//! When pending messages are to be delivered again, and in which order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use everjet_values::{StreamSequence, Timestamp};

use crate::pending::{Delivery, Pending};

/// Deadlines of pending messages and the queue of those that are due.
///
/// It is derived from [`Pending`], which has the last word: an entry here counts only while the message is pending with
/// exactly this deadline, so acknowledgements need not look anything up here. Stale entries are dropped when they reach
/// the front, and all at once when they outnumber the pending messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redelivery {
    /// Deadlines in the order they were set, which is their own order as long as all waits are equal.
    ordered: VecDeque<(Timestamp, StreamSequence)>,
    /// Those that would break that order: other steps of a backoff, negative acknowledgements.
    others: BinaryHeap<Reverse<(Timestamp, StreamSequence)>>,
    due: VecDeque<StreamSequence>,
}

/// The deadline of what is not delivered again.
const NEVER: Timestamp = Timestamp::from_nanos(i64::MAX);
/// Stale entries up to this number are not worth collecting.
const COMPACT_FROM: usize = 1024;

impl Redelivery {
    /// The deadlines of what is pending.
    pub(crate) fn of(pending: &Pending) -> Self {
        let mut redelivery = Self::default();
        for delivery in pending.iter() {
            redelivery.push(delivery);
        }
        redelivery
    }

    /// Notes the deadline of a delivery, or a new one.
    pub(crate) fn push(&mut self, delivery: &Delivery) {
        if delivery.deadline == NEVER {
            return;
        }
        let item = (delivery.deadline, delivery.stream);
        if self.ordered.back().is_none_or(|last| *last <= item) {
            self.ordered.push_back(item);
        } else {
            self.others.push(Reverse(item));
        }
    }

    /// Moves what is due by `now` to the queue. Returns what was delivered `deliver_max` times already and is not to be
    /// delivered again.
    pub(crate) fn collect(
        &mut self,
        now: Timestamp,
        pending: &Pending,
        deliver_max: u32,
    ) -> Vec<StreamSequence> {
        self.compact(pending);
        let mut exhausted = Vec::new();
        while let Some(item) = self.front()
            && (item.0 <= now || !is_current(pending, item))
        {
            self.pop_front();
            match pending.get(item.1) {
                Some(delivery) if delivery.deadline != item.0 => {}
                Some(delivery) if delivery.count >= deliver_max => exhausted.push(item.1),
                Some(_) => self.due.push_back(item.1),
                None => {}
            }
        }
        exhausted
    }

    /// The next message that is due; it stays in the queue.
    pub(crate) fn next_due(&mut self, now: Timestamp, pending: &Pending) -> Option<Delivery> {
        while let Some(stream) = self.due.front() {
            // Acknowledged, delivered again or postponed meanwhile: it has another entry, or none is needed.
            match pending.get(*stream) {
                Some(delivery) if delivery.deadline <= now => return Some(*delivery),
                _ => self.due.pop_front(),
            };
        }
        None
    }

    /// How many messages are due; may count some that were settled since.
    pub(crate) fn due_len(&self) -> usize {
        self.due.len()
    }

    /// When something becomes due next; may be too early, never too late.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.front().map(|item| item.0)
    }

    fn front(&self) -> Option<(Timestamp, StreamSequence)> {
        let other = self.others.peek().map(|Reverse(item)| *item);
        match (self.ordered.front().copied(), other) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }

    fn pop_front(&mut self) {
        let front = self.front();
        if front == self.ordered.front().copied() {
            self.ordered.pop_front();
        } else {
            self.others.pop();
        }
    }

    fn compact(&mut self, pending: &Pending) {
        while let Some(item) = self.ordered.front()
            && !is_current(pending, *item)
        {
            self.ordered.pop_front();
        }
        let entries = self.ordered.len() + self.others.len() + self.due.len();
        if entries > COMPACT_FROM + 4 * pending.len() {
            self.ordered.retain(|item| is_current(pending, *item));
            self.others
                .retain(|Reverse(item)| is_current(pending, *item));
            self.due.retain(|stream| pending.get(*stream).is_some());
        }
    }
}

fn is_current(pending: &Pending, (deadline, stream): (Timestamp, StreamSequence)) -> bool {
    pending
        .get(stream)
        .is_some_and(|delivery| delivery.deadline == deadline)
}

#[cfg(test)]
mod tests {
    use everjet_values::ConsumerSequence;

    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn pending(deadlines: &[i64]) -> Pending {
        let mut pending = Pending::default();
        for (number, deadline) in (1..).zip(deadlines) {
            pending.push(Delivery {
                stream: StreamSequence(number),
                consumer: ConsumerSequence(number),
                count: 1,
                deadline: at(*deadline),
            });
        }
        pending
    }

    fn next(redelivery: &mut Redelivery, now: i64, pending: &Pending) -> Option<u64> {
        assert!(redelivery.collect(at(now), pending, 5).is_empty());
        redelivery
            .next_due(at(now), pending)
            .map(|delivery| delivery.stream.0)
    }

    #[test]
    fn messages_become_due_in_the_order_of_their_deadlines() {
        let mut pending = pending(&[30, 10, 20]);
        let mut redelivery = Redelivery::of(&pending);
        assert_eq!(redelivery.next_deadline(), Some(at(10)));
        assert_eq!(next(&mut redelivery, 9, &pending), None);
        assert_eq!(next(&mut redelivery, 30, &pending), Some(2));
        pending.remove(StreamSequence(2));
        assert_eq!(next(&mut redelivery, 30, &pending), Some(3));
        pending.redelivered(StreamSequence(3), at(50));
        assert_eq!(next(&mut redelivery, 30, &pending), Some(1));
    }

    #[test]
    fn a_postponed_message_is_not_due() {
        let mut pending = pending(&[10]);
        let mut redelivery = Redelivery::of(&pending);
        redelivery.collect(at(10), &pending, 5);
        pending.set_deadline(StreamSequence(1), at(40));
        redelivery.push(pending.front().expect("pending"));
        assert_eq!(next(&mut redelivery, 39, &pending), None);
        assert_eq!(redelivery.next_deadline(), Some(at(40)));
        assert_eq!(next(&mut redelivery, 40, &pending), Some(1));
    }

    #[test]
    fn what_was_delivered_often_enough_is_given_up_when_it_would_be_due() {
        let mut pending = pending(&[10, 10]);
        pending.redelivered(StreamSequence(2), at(20));
        let mut redelivery = Redelivery::of(&pending);
        assert_eq!(redelivery.collect(at(20), &pending, 2), [StreamSequence(2)]);
        assert_eq!(next(&mut redelivery, 20, &pending), Some(1));
    }

    #[test]
    fn settled_messages_leave_no_memory_behind() {
        let mut pending = pending(&[1_000_000]);
        let mut redelivery = Redelivery::of(&pending);
        for number in 2..50_000 {
            let stream = StreamSequence(number);
            pending.push(Delivery {
                stream,
                consumer: ConsumerSequence(number),
                count: 1,
                deadline: at(1_000_000 + i64::try_from(number).expect("small")),
            });
            redelivery.push(pending.get(stream).expect("just pushed"));
            pending.remove(stream);
            redelivery.collect(at(0), &pending, 5);
        }
        assert!(redelivery.ordered.len() <= COMPACT_FROM + 8);
    }
}
