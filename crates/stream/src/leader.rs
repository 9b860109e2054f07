//! What only the server needs that serves a stream: which consumers have something to do, and when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use everjet_consumer::{ConsumerId, Dispatcher};
use everjet_values::{StreamSequence, Timestamp};

use crate::apply::Removal;

/// What only the server needs that serves a stream. Built by [`Stream::lead`](crate::Stream::lead); nothing of it
/// survives.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    slots: BTreeMap<ConsumerId, Slot>,
    /// Consumers to poll, each once.
    ready: VecDeque<ConsumerId>,
    /// Consumers that wait for messages to become durable.
    hungry: Vec<ConsumerId>,
    /// When to wake consumers, one entry a consumer.
    timers: BTreeSet<(Timestamp, ConsumerId)>,
    /// Messages up to here may be delivered.
    durable: StreamSequence,
    /// How many volatile consumers there were; they are numbered down from the largest number.
    volatile: u64,
}

#[derive(Debug)]
struct Slot {
    dispatcher: Dispatcher,
    is_ready: bool,
    is_hungry: bool,
    timer: Option<Timestamp>,
}

impl Leader {
    /// Begins with messages durable up to `durable` and no consumer.
    pub(crate) fn new(durable: StreamSequence) -> Self {
        Self {
            durable,
            ..Self::default()
        }
    }

    /// Begins anew, without the consumers of this one. Volatile consumers keep their numbers.
    pub(crate) fn successor(&self, durable: StreamSequence) -> Self {
        Self {
            volatile: self.volatile,
            ..Self::new(durable)
        }
    }

    /// Begins to serve a consumer.
    pub(crate) fn add(&mut self, id: ConsumerId, dispatcher: Dispatcher) {
        let slot = Slot {
            dispatcher,
            is_ready: false,
            is_hungry: false,
            timer: None,
        };
        self.slots.insert(id, slot);
        self.mark_ready(id);
        self.schedule(id);
    }

    /// Stops serving a consumer.
    pub(crate) fn remove(&mut self, id: ConsumerId) -> Option<Dispatcher> {
        let slot = self.slots.remove(&id)?;
        if let Some(timer) = slot.timer {
            self.timers.remove(&(timer, id));
        }
        Some(slot.dispatcher)
    }

    /// The number of a new volatile consumer. Entries never get there.
    pub(crate) fn next_volatile(&mut self) -> ConsumerId {
        self.volatile += 1;
        ConsumerId(u64::MAX - self.volatile)
    }

    /// The dispatcher of a consumer.
    pub(crate) fn dispatcher(&mut self, id: ConsumerId) -> Option<&mut Dispatcher> {
        Some(&mut self.slots.get_mut(&id)?.dispatcher)
    }

    /// All dispatchers.
    pub(crate) fn dispatchers(&mut self) -> impl Iterator<Item = &mut Dispatcher> {
        self.slots.values_mut().map(|slot| &mut slot.dispatcher)
    }

    /// Messages up to here may be delivered.
    pub(crate) fn durable(&self) -> StreamSequence {
        self.durable
    }

    /// More messages may be delivered.
    pub(crate) fn on_durable(&mut self, through: StreamSequence) {
        if through <= self.durable {
            return;
        }
        self.durable = through;
        for id in std::mem::take(&mut self.hungry) {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.is_hungry = false;
                self.mark_ready(id);
            }
        }
    }

    /// Messages left the stream.
    pub(crate) fn on_removals(&mut self, removals: &mut Vec<Removal>) {
        // Mostly there are one or two, of a limit; what a consumer is done with, others mostly looked at before, too.
        let only_one = |removal: &Removal| match removal {
            Removal::One(sequence, _) => Some(*sequence),
            _ => None,
        };
        let last = removals
            .iter()
            .map(only_one)
            .try_fold(StreamSequence::ZERO, |last, one| Some(last.max(one?)));
        for dispatcher in self.slots.values_mut().map(|slot| &mut slot.dispatcher) {
            if last.is_some_and(|last| dispatcher.is_past(last)) {
                continue;
            }
            for removal in removals.iter() {
                match *removal {
                    Removal::One(sequence, subject) => dispatcher.on_removed(sequence, subject),
                    Removal::Through(through) => dispatcher.on_removed_through(through),
                    Removal::Many => dispatcher.on_removed_many(),
                }
            }
        }
        removals.clear();
    }

    /// The consumer may have something to deliver.
    pub(crate) fn mark_ready(&mut self, id: ConsumerId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && !slot.is_ready
        {
            slot.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// The consumer waits for messages to become durable.
    pub(crate) fn mark_hungry(&mut self, id: ConsumerId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && !slot.is_hungry
        {
            slot.is_hungry = true;
            self.hungry.push(id);
        }
    }

    /// The next consumer to poll.
    pub(crate) fn next_ready(&mut self) -> Option<ConsumerId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.is_ready = false;
                return Some(id);
            }
        }
        None
    }

    /// How many consumers are to be polled.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Looks at the consumer's timer again. Entries may be too early: they are corrected when they fire.
    pub(crate) fn schedule(&mut self, id: ConsumerId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let wanted = slot.dispatcher.next_timer();
        let later = match (slot.timer, wanted) {
            (Some(set), Some(wanted)) => wanted >= set,
            (Some(_), None) => true,
            (None, None) => return,
            (None, Some(_)) => false,
        };
        if later {
            return;
        }
        if let Some(set) = slot.timer {
            self.timers.remove(&(set, id));
        }
        slot.timer = wanted;
        if let Some(wanted) = wanted {
            self.timers.insert((wanted, id));
        }
    }

    /// The next consumer whose timer fires by `now`.
    pub(crate) fn next_expired(&mut self, now: Timestamp) -> Option<ConsumerId> {
        let (at, id) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.timer = None;
        }
        Some(id)
    }

    /// When the next consumer is to be woken.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }
}
