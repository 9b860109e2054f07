//! Deliveries that wait for their acknowledgement.

use std::collections::VecDeque;
use std::time::Duration;

use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

/// A delivery that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub stream: StreamSequence,
    /// Its first delivery.
    pub consumer: ConsumerSequence,
    /// How often it was delivered; at least 1.
    pub count: u32,
    /// When it is to be delivered again.
    pub deadline: Timestamp,
}

/// Deliveries that wait for their acknowledgement: a ring in the order of first delivery, which is also the order of
/// the stream. A consumer delivers a message for the first time only after all earlier ones of its choice.
///
/// Acknowledged entries become holes; holes at the front are dropped at once, so the front is what holds the ack floor
/// back. Looking up costs one guess for a consumer that takes every message, a binary search otherwise. Holes never
/// make up more than half of a large ring.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    ring: VecDeque<Delivery>,
    live: usize,
    redelivered: usize,
}

/// The count of an entry that is no more.
const HOLE: u32 = 0;
/// Rings up to this size are not worth compacting.
const COMPACT_FROM: usize = 1024;

impl Pending {
    /// Adds a first delivery.
    ///
    /// # Panics
    /// When it does not come after all others in both orders: that is a bug of the dispatcher.
    pub fn push(&mut self, delivery: Delivery) {
        if let Some(last) = self.ring.back() {
            assert!(
                last.stream < delivery.stream && last.consumer < delivery.consumer,
                "first deliveries come in the order of the stream"
            );
        }
        self.live += 1;
        self.redelivered += usize::from(delivery.count > 1);
        self.ring.push_back(delivery);
    }

    /// The delivery of a message.
    #[must_use]
    pub fn get(&self, stream: StreamSequence) -> Option<&Delivery> {
        self.ring.get(self.position(stream)?)
    }

    /// Notes that a message was delivered again.
    pub fn redelivered(&mut self, stream: StreamSequence, deadline: Timestamp) {
        if let Some(delivery) = self.entry(stream) {
            delivery.count = delivery.count.saturating_add(1);
            delivery.deadline = deadline;
            if delivery.count == 2 {
                self.redelivered += 1;
            }
        }
    }

    /// Moves the time at which a message is delivered again.
    pub fn set_deadline(&mut self, stream: StreamSequence, deadline: Timestamp) {
        if let Some(delivery) = self.entry(stream) {
            delivery.deadline = deadline;
        }
    }

    /// Moves all deadlines closer.
    pub(crate) fn set_back(&mut self, by: Duration) {
        for delivery in &mut self.ring {
            delivery.deadline = delivery.deadline.minus(by);
        }
    }

    /// Takes a message out.
    pub fn remove(&mut self, stream: StreamSequence) -> Removal {
        let Some(at) = self.position(stream) else {
            return Removal::Nothing;
        };
        let delivery = self.ring.get_mut(at).expect("position is inside the ring");
        self.redelivered -= usize::from(delivery.count > 1);
        delivery.count = HOLE;
        self.live -= 1;
        if at == 0 {
            self.drop_holes();
            return Removal::Front;
        }
        self.compact();
        Removal::Inside
    }

    /// Takes out every message up to and including `through`.
    pub fn remove_through(&mut self, through: StreamSequence) -> Removal {
        let mut removal = Removal::Nothing;
        while let Some(front) = self.ring.front()
            && front.stream <= through
        {
            self.live -= usize::from(front.count != HOLE);
            self.redelivered -= usize::from(front.count > 1);
            self.ring.pop_front();
            removal = Removal::Front;
        }
        self.drop_holes();
        removal
    }

    /// Takes out every message that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(StreamSequence) -> bool) -> Removal {
        let front = self.front().map(|front| front.stream);
        let before = self.live;
        self.ring
            .retain(|delivery| delivery.count != HOLE && keep(delivery.stream));
        self.live = self.ring.len();
        self.redelivered = self.ring.iter().filter(|entry| entry.count > 1).count();
        match self.front().map(|front| front.stream) {
            now if now != front => Removal::Front,
            _ if self.live < before => Removal::Inside,
            _ => Removal::Nothing,
        }
    }

    /// The earliest delivery that waits.
    #[must_use]
    pub fn front(&self) -> Option<&Delivery> {
        self.ring.front()
    }

    /// The message that was delivered last for the first time, of those since the earliest that waits.
    pub(crate) fn last(&self) -> Option<StreamSequence> {
        self.ring.back().map(|delivery| delivery.stream)
    }

    /// All of them, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.ring.iter().filter(|delivery| delivery.count != HOLE)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many of them were delivered more than once.
    #[must_use]
    pub fn redelivered_len(&self) -> usize {
        self.redelivered
    }

    fn entry(&mut self, stream: StreamSequence) -> Option<&mut Delivery> {
        let at = self.position(stream)?;
        self.ring.get_mut(at)
    }

    fn position(&self, stream: StreamSequence) -> Option<usize> {
        // Beyond the last entry is the common case of a new delivery; as far from the front in the ring as in the
        // stream is the common case of an acknowledgement.
        self.ring.back().filter(|last| stream <= last.stream)?;
        let distance = stream.0.checked_sub(self.ring.front()?.stream.0)?;
        let guess = usize::try_from(distance).ok().filter(|at| {
            self.ring
                .get(*at)
                .is_some_and(|entry| entry.stream == stream)
        });
        let at = match guess {
            Some(at) => at,
            None => self
                .ring
                .binary_search_by_key(&stream, |entry| entry.stream)
                .ok()?,
        };
        self.ring.get(at).filter(|entry| entry.count != HOLE)?;
        Some(at)
    }

    fn drop_holes(&mut self) {
        while self.ring.front().is_some_and(|entry| entry.count == HOLE) {
            self.ring.pop_front();
        }
        self.compact();
    }

    fn compact(&mut self) {
        if self.ring.len() > COMPACT_FROM && self.ring.len() > 2 * self.live {
            self.ring.retain(|entry| entry.count != HOLE);
        }
    }
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The message was not there.
    Nothing,
    /// The message was there, and earlier ones still wait.
    Inside,
    /// The earliest was taken out: the ack floor moves.
    Front,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(streams: &[u64]) -> Pending {
        let mut pending = Pending::default();
        for (at, stream) in streams.iter().enumerate() {
            pending.push(Delivery {
                stream: StreamSequence(*stream),
                consumer: ConsumerSequence(at as u64 + 1),
                count: 1,
                deadline: Timestamp::from_nanos(0),
            });
        }
        pending
    }

    fn remove(pending: &mut Pending, stream: u64) -> Removal {
        pending.remove(StreamSequence(stream))
    }

    fn streams(pending: &Pending) -> Vec<u64> {
        pending.iter().map(|entry| entry.stream.0).collect()
    }

    #[test]
    fn the_front_moves_past_holes() {
        let mut pending = pending(&[10, 20, 30, 40]);
        assert_eq!(remove(&mut pending, 20), Removal::Inside);
        assert_eq!(remove(&mut pending, 20), Removal::Nothing);
        assert_eq!(remove(&mut pending, 10), Removal::Front);
        assert_eq!(pending.front().map(|entry| entry.stream.0), Some(30));
        assert_eq!(streams(&pending), [30, 40]);
    }

    #[test]
    fn sequences_need_not_be_dense() {
        let mut pending = pending(&[10, 20, 30, 40]);
        assert_eq!(remove(&mut pending, 30), Removal::Inside);
        assert_eq!(remove(&mut pending, 40), Removal::Inside);
        assert_eq!(remove(&mut pending, 11), Removal::Nothing);
        assert_eq!(streams(&pending), [10, 20]);
    }

    #[test]
    fn removal_by_range_and_by_choice() {
        let mut pending = pending(&[10, 20, 30, 40]);
        assert_eq!(pending.remove_through(StreamSequence(25)), Removal::Front);
        assert_eq!(pending.remove_through(StreamSequence(25)), Removal::Nothing);
        assert_eq!(pending.retain(|stream| stream.0 != 40), Removal::Inside);
        assert_eq!(pending.retain(|_| true), Removal::Nothing);
        assert_eq!(pending.retain(|_| false), Removal::Front);
        assert!(pending.is_empty());
    }

    #[test]
    fn redeliveries_are_counted_once_a_message() {
        let mut pending = pending(&[10, 20]);
        pending.redelivered(StreamSequence(20), Timestamp::from_nanos(5));
        pending.redelivered(StreamSequence(20), Timestamp::from_nanos(6));
        assert_eq!(pending.redelivered_len(), 1);
        let entry = pending.get(StreamSequence(20));
        assert_eq!(
            entry.map(|entry| (entry.count, entry.deadline.as_nanos())),
            Some((3, 6))
        );
        remove(&mut pending, 20);
        assert_eq!(pending.redelivered_len(), 0);
    }

    #[test]
    fn one_stuck_message_does_not_keep_the_memory_of_all_later_ones() {
        let mut pending = Pending::default();
        for sequence in 1..=100_000 {
            pending.push(Delivery {
                stream: StreamSequence(sequence),
                consumer: ConsumerSequence(sequence),
                count: 1,
                deadline: Timestamp::from_nanos(0),
            });
            if sequence > 1 {
                remove(&mut pending, sequence);
            }
        }
        assert_eq!(streams(&pending), [1]);
        assert!(pending.ring.len() <= COMPACT_FROM + 1);
        assert_eq!(remove(&mut pending, 1), Removal::Front);
        assert!(pending.ring.is_empty());
    }
}
