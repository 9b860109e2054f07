//! Messages that leave because nobody wants them any more: retention by work queue and by interest.
//!
//! Decided by whoever serves the stream, from what its consumers are done with; what leaves is part of the command, mostly of
//! the one that says what the consumer did. One command names all messages of a turn.

use everjet_api::{AckPolicy, Retention};
use everjet_consumer::{Change, ChangeLog, ConsumerId};
use everjet_store::JournalBatch;
use everjet_values::{EntryIndex, StreamSequence};

use crate::Output;
use crate::apply::Removal;
use crate::command::Command;
use crate::machine::Stream;
use crate::runs::Runs;
use crate::state::StreamState;

/// Removals that consumers are told one by one; more of them at once, and they count anew what is left.
const TOLD_MAX: u64 = 4096;

/// Runs of one command, a few bytes each: what goes with a consumer may be half of a large stream.
const RUNS_MAX: usize = 64 << 10;

/// Which messages go that no consumer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// All of them.
    All,
    /// Those that a consumer had and is done with. What matches no consumer stays: it may have been for one that was lost.
    Done,
}

/// Shorter runs are removed message by message.
const LONG_RUN: u64 = 64;

impl StreamState {
    /// Removes messages that nobody wants any more. Returns how many there were.
    pub(crate) fn remove_runs(
        &mut self,
        entry: EntryIndex,
        runs: &Runs,
        removals: &mut Vec<Removal>,
    ) -> u64 {
        let before = self.store.messages();
        let are_few = runs.sequences() <= TOLD_MAX;
        // Whoever is the only consumer is done with them, so nothing that it counts changes.
        let tells = self.consumers.len() > 1;
        for run in runs.iter() {
            let last = (*run.end()).min(self.store.last_sequence().0);
            if last - run.start() >= LONG_RUN && !(tells && are_few) {
                self.remove_long_run(entry, *run.start(), last);
                continue;
            }
            for sequence in (*run.start()..=last).map(StreamSequence) {
                let removed = self.store.remove(entry, sequence);
                if let Some(removed) = removed.filter(|_| tells && are_few) {
                    removals.push(Removal::One(sequence, Some(removed.subject)));
                }
            }
        }
        if tells && !are_few {
            removals.push(Removal::Many);
        }
        for consumer in self.consumers.values_mut() {
            let state = &mut consumer.state;
            if state.tracks_nothing() {
                continue;
            }
            if state.tracked() as u64 <= runs.sequences() {
                state.on_removed_many(|sequence| !runs.contains(sequence));
                continue;
            }
            for sequence in runs.iter().cloned().flatten() {
                state.on_removed(StreamSequence(sequence));
            }
        }
        before - self.store.messages()
    }

    fn remove_long_run(&mut self, entry: EntryIndex, first: u64, last: u64) {
        if first <= self.store.first_sequence().0 {
            self.store.remove_through(entry, StreamSequence(last));
            return;
        }
        let everything = self.store.select(&[]);
        let mut next = StreamSequence(first);
        while let Some(sequence) = self.store.next_match(&everything, next)
            && sequence.0 <= last
        {
            self.store.remove(entry, sequence);
            next = sequence.next();
        }
    }
}

impl Stream {
    /// Whether messages leave when consumers are done with them.
    pub(crate) fn removes_what_is_done(&self) -> bool {
        self.state.config.retention != Retention::Limits
    }

    /// Notes what a consumer will be done with by a change that is about to be made.
    pub(crate) fn note_settled(&mut self, id: ConsumerId, change: Change) {
        if !self.removes_what_is_done() {
            return;
        }
        let settled = &mut self.gathered.settled;
        match change {
            Change::Acked(sequence) => settled.push(sequence),
            Change::AckedThrough(through) => {
                let Some(consumer) = self.state.consumers.get(&id) else {
                    return;
                };
                let state = &consumer.state;
                let pending = state.pending().iter().map(|delivery| delivery.stream);
                settled.extend(pending.take_while(|sequence| *sequence <= through));
                settled.extend(state.exhausted().range(..=through));
            }
            _ => {}
        }
    }

    /// Notes what a consumer without acknowledgements is done with: everything it delivered.
    pub(crate) fn note_delivered(&mut self, id: ConsumerId) {
        if !self.removes_what_is_done() {
            return;
        }
        let consumer = self.state.consumers.get(&id);
        if consumer.is_some_and(|consumer| consumer.config.ack_policy == AckPolicy::None) {
            let changes = ChangeLog::read(self.gathered.log.as_bytes());
            let delivered = changes.filter_map(|change| match change {
                Ok(Change::Delivered(sequence)) => Some(sequence),
                _ => None,
            });
            self.gathered.settled.extend(delivered);
        }
    }

    /// What goes of what was settled since this was asked last.
    pub(crate) fn take_settled(&mut self) -> Runs {
        if self.gathered.settled.is_empty() {
            return Runs::default();
        }
        let mut settled = std::mem::take(&mut self.gathered.settled);
        if self.state.config.retention == Retention::Interest {
            let Self {
                state, interest, ..
            } = self;
            settled.retain(|sequence| {
                let subject = state.store.subject_id(*sequence);
                subject.is_some_and(|subject| !interest.wants(state, *sequence, subject))
            });
        }
        let runs = Runs::of(&mut settled);
        settled.clear();
        self.gathered.settled = settled;
        runs
    }

    /// With interest retention: removes the messages that no consumer wants, of those whose subject is in one of `filters`.
    pub(crate) fn remove_unwanted(&mut self, filters: &[&[u8]], out: &mut Output) {
        self.flush(out);
        self.remove_unwanted_to(Unwanted::All, filters, &mut out.journal);
    }

    /// The same when nothing is gathered.
    pub(crate) fn remove_unwanted_to(
        &mut self,
        which: Unwanted,
        filters: &[&[u8]],
        journal: &mut JournalBatch,
    ) {
        if self.state.config.retention != Retention::Interest || self.state.store.messages() == 0 {
            return;
        }
        let mut next = self.state.store.first_sequence();
        while let Some(runs) = self.unwanted_from(which, filters, &mut next) {
            let mut removed = Vec::new();
            runs.encode(&mut removed);
            let command = Command::Unwanted { removed: &removed };
            self.commit_to(&command, journal);
        }
    }

    /// Messages of a stream that comes from elsewhere, and that no consumer seems to want: the other server knew why it kept them. So
    /// those who had them may still acknowledge them.
    pub(crate) fn hold_unwanted(&mut self) {
        if self.state.config.retention != Retention::Interest {
            return;
        }
        let mut next = self.state.store.first_sequence();
        while let Some(runs) = self.unwanted_from(Unwanted::Done, &[], &mut next) {
            let StreamState {
                store, consumers, ..
            } = &mut self.state;
            for consumer in consumers.values_mut() {
                let set = store.select(&consumer.filters());
                for sequence in runs.iter().cloned().flatten().map(StreamSequence) {
                    let subject = store.subject_id(sequence);
                    if subject.is_some_and(|subject| set.contains(subject)) {
                        consumer.state.hold(sequence);
                    }
                }
            }
        }
    }

    /// The next messages that nobody wants; as many as go into one command.
    fn unwanted_from(
        &mut self,
        which: Unwanted,
        filters: &[&[u8]],
        next: &mut StreamSequence,
    ) -> Option<Runs> {
        let Self {
            state, interest, ..
        } = self;
        let store = &state.store;
        let mut runs = Runs::default();
        if state.consumers.is_empty() {
            runs.push(store.first_sequence()..=store.last_sequence());
            return (which == Unwanted::All && store.messages() > 0).then_some(runs);
        }
        // A consumer of everything wants all that it was not given yet.
        let all = state
            .consumers
            .values()
            .filter(|consumer| consumer.filters().is_empty());
        let end = all
            .map(|consumer| consumer.state.next_sequence())
            .min()
            .unwrap_or(store.last_sequence().next());
        let set = store.select(filters);
        while let Some(sequence) = store.next_match(&set, *next).filter(|found| *found < end) {
            *next = sequence.next();
            let Some(subject) = store.subject_id(sequence) else {
                continue;
            };
            let may_go = which == Unwanted::All || interest.is_for_anybody(state, subject);
            if may_go && !interest.wants(state, sequence, subject) {
                runs.push(sequence..=sequence);
                if runs.len() >= RUNS_MAX {
                    break;
                }
            }
        }
        (!runs.is_empty()).then_some(runs)
    }
}
