//! When to look at which connection again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use everjet_routing::ConnectionId;
use everjet_values::Timestamp;

use crate::mailbox::Place;

/// Due times of a reactor's connections, one or two a connection. Nothing is ever removed early: who finds that nothing
/// is due sets the next time, and a connection that is gone is recognised by its number.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, usize, u64)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, place: Place) {
        self.heap.push(Reverse((at, place.slot, place.id.0)));
    }

    /// Takes one place that is due, with the time that was set for it.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Place)> {
        let Reverse((at, slot, id)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        let id = ConnectionId(id);
        Some((at, Place { slot, id }))
    }

    /// When the next place is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_in_order_of_time_and_not_early() {
        let mut timers = Timers::default();
        let at = Timestamp::from_nanos;
        for (slot, nanos) in [(0, 30), (1, 10), (2, 20)] {
            let id = ConnectionId(slot as u64 + 100);
            timers.set(at(nanos), Place { slot, id });
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        let due: Vec<usize> = std::iter::from_fn(|| timers.pop_due(at(20)))
            .map(|(_, place)| place.slot)
            .collect();
        assert_eq!(due, [1, 2]);
        assert_eq!(timers.next(), Some(at(30)));
    }
}
