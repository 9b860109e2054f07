//! What a consumer has delivered and what was acknowledged.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use everjet_api::{AckPolicy, ConsumerConfig};
use everjet_values::{ConsumerSequence, StreamSequence, Timestamp};

use crate::change::Change;
use crate::pending::{Delivery, Pending, Removal};

/// A point in the deliveries of a consumer and in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// In deliveries.
    pub consumer: ConsumerSequence,
    /// In the stream.
    pub stream: StreamSequence,
}

/// What a consumer has delivered and what was acknowledged: the part that survives. Only
/// [`apply`](ConsumerState::apply) and the removal of messages from the stream change it, so the same entries give the
/// same state everywhere; times alone follow a clock that was set back ([`on_serving`](ConsumerState::on_serving)).
#[derive(Clone, Debug, Default)]
pub struct ConsumerState {
    /// The last delivery, and the message that was delivered last for the first time.
    pub(crate) delivered: Position,
    pub(crate) delivered_at: Timestamp,
    /// Everything up to here is done.
    pub(crate) ack_floor: Position,
    pub(crate) acked_at: Timestamp,
    pub(crate) pending: Pending,
    /// With deliver policy "last per subject": what is still to be delivered before `resume`, ascending.
    pub(crate) backlog: VecDeque<StreamSequence>,
    /// The first message that may be delivered once the backlog is.
    pub(crate) resume: StreamSequence,
    /// What was delivered as often as allowed and never acknowledged, of streams whose messages stay until they are: nobody
    /// waits for it and it is not delivered again, but a late acknowledgement still counts.
    pub(crate) exhausted: BTreeSet<StreamSequence>,
}

impl ConsumerState {
    /// A consumer that delivers `backlog` first, and then what is at or after `resume`.
    #[must_use]
    pub fn new(resume: StreamSequence, backlog: Vec<StreamSequence>) -> Self {
        let start = Position {
            consumer: ConsumerSequence::ZERO,
            stream: backlog.first().copied().unwrap_or(resume).previous(),
        };
        Self {
            delivered: start,
            ack_floor: start,
            backlog: backlog.into(),
            resume,
            ..Self::default()
        }
    }

    /// Makes a change that happened at `time`. Returns whether the state is another one now.
    pub fn apply(&mut self, time: Timestamp, config: &ConsumerConfig, change: Change) -> bool {
        match change {
            Change::Delivered(stream) => self.deliver(time, config, stream),
            Change::Acked(stream) => {
                let removal = self.pending.remove(stream);
                let late = removal == Removal::Nothing && self.exhausted.remove(&stream);
                self.acked(time, removal, late)
            }
            Change::AckedThrough(stream) => {
                let removal = self.pending.remove_through(stream);
                let late = self.drop_exhausted_through(stream);
                self.acked(time, removal, late)
            }
            Change::Delayed(stream, delay) => self.postpone(stream, time.plus(delay)),
            Change::Progress(stream) => self
                .pending
                .get(stream)
                .map(|delivery| wait_after(config, delivery.count))
                .is_some_and(|wait| self.postpone(stream, time.plus(wait))),
            Change::Abandoned(stream) => {
                let skipped = self.drop_from_backlog(stream);
                let removal = self.pending.remove(stream);
                self.settle(removal);
                skipped || removal != Removal::Nothing
            }
            Change::Exhausted(stream) => {
                let removal = self.pending.remove(stream);
                self.settle(removal);
                if removal != Removal::Nothing {
                    self.exhausted.insert(stream);
                }
                removal != Removal::Nothing
            }
        }
    }

    /// Begins anew at a message. With `keeps_backlog` what is left of the backlog comes first again, and what was delivered of it and not
    /// acknowledged.
    pub(crate) fn reset(&mut self, sequence: StreamSequence, keeps_backlog: bool) {
        let start = Position {
            consumer: ConsumerSequence::ZERO,
            stream: sequence.previous(),
        };
        let mut reset = Self {
            delivered: start,
            ack_floor: start,
            resume: sequence,
            ..Self::default()
        };
        if keeps_backlog {
            let again = self.pending.iter().map(|delivery| delivery.stream);
            let again = again.chain(self.exhausted.iter().copied());
            let mut backlog: Vec<_> = again
                .filter(|stream| *stream < self.resume)
                .chain(self.backlog.iter().copied())
                .filter(|stream| *stream >= sequence)
                .collect();
            backlog.sort_unstable();
            reset.backlog = backlog.into();
            reset.resume = self.resume.max(sequence);
        }
        *self = reset;
    }

    /// Serving begins at `now`. When that is before this consumer was last active, the clock was set back meanwhile, and what is pending
    /// would wait for its acknowledgement that much longer: its deadlines are set back as well.
    pub fn on_serving(&mut self, now: Timestamp) {
        let active_at = self.delivered_at.max(self.acked_at);
        if active_at > now {
            self.pending.set_back(active_at.since(now));
            // So that it is not done again with what is set back.
            self.delivered_at = self.delivered_at.min(now);
            self.acked_at = self.acked_at.min(now);
        }
    }

    /// A message that was delivered elsewhere and is not waited for is kept until it is acknowledged late, see
    /// [`exhausted`](Self::exhausted).
    pub fn hold(&mut self, stream: StreamSequence) {
        if stream <= self.delivered.stream && self.pending.get(stream).is_none() {
            self.exhausted.insert(stream);
        }
    }

    /// A message left the stream: nobody can acknowledge it any more, so it stops counting.
    pub fn on_removed(&mut self, stream: StreamSequence) {
        self.drop_from_backlog(stream);
        let removal = self.pending.remove(stream);
        self.settle(removal);
        if !self.exhausted.is_empty() {
            self.exhausted.remove(&stream);
        }
    }

    /// All messages up to and including `through` left the stream.
    pub fn on_removed_through(&mut self, through: StreamSequence) {
        while self.backlog.front().is_some_and(|first| *first <= through) {
            self.backlog.pop_front();
        }
        let removal = self.pending.remove_through(through);
        self.settle(removal);
        self.drop_exhausted_through(through);
    }

    /// Many messages left the stream; `contains` tells those that are still there.
    pub fn on_removed_many(&mut self, contains: impl Fn(StreamSequence) -> bool) {
        self.backlog.retain(|stream| contains(*stream));
        let removal = self.pending.retain(&contains);
        self.settle(removal);
        self.exhausted.retain(|stream| contains(*stream));
    }

    /// Whether a message whose subject is one of the consumer's is not done with: still to be delivered, or delivered and not
    /// acknowledged, however often.
    #[must_use]
    pub fn wants(&self, stream: StreamSequence) -> bool {
        stream >= self.next_sequence()
            || self.pending.get(stream).is_some()
            || self.exhausted.contains(&stream)
            || self.backlog.binary_search(&stream).is_ok()
    }

    /// Whether it keeps track of no single message: none can be removed that it would have to know of.
    #[must_use]
    pub fn tracks_nothing(&self) -> bool {
        self.pending.is_empty() && self.exhausted.is_empty() && self.backlog.is_empty()
    }

    /// How many single messages it keeps track of.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.pending.len() + self.exhausted.len() + self.backlog.len()
    }

    /// The last delivery, and the message that was delivered last for the first time.
    #[must_use]
    pub fn delivered(&self) -> Position {
        self.delivered
    }

    /// When something was delivered last; unset when nothing was.
    #[must_use]
    pub fn delivered_at(&self) -> Timestamp {
        self.delivered_at
    }

    /// Everything up to here is done.
    #[must_use]
    pub fn ack_floor(&self) -> Position {
        self.ack_floor
    }

    /// When something was acknowledged last; unset when nothing was.
    #[must_use]
    pub fn acked_at(&self) -> Timestamp {
        self.acked_at
    }

    /// What waits for acknowledgement.
    #[must_use]
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// What is delivered before everything else: the last message of each subject as of the consumer's creation.
    #[must_use]
    pub fn backlog(&self) -> &VecDeque<StreamSequence> {
        &self.backlog
    }

    /// What was delivered as often as allowed without acknowledgement, and is kept by the stream all the same.
    #[must_use]
    pub fn exhausted(&self) -> &BTreeSet<StreamSequence> {
        &self.exhausted
    }

    /// The first message that may be delivered next, after the backlog.
    #[must_use]
    pub fn next_sequence(&self) -> StreamSequence {
        self.resume.max(self.delivered.stream.next())
    }

    fn deliver(
        &mut self,
        time: Timestamp,
        config: &ConsumerConfig,
        stream: StreamSequence,
    ) -> bool {
        let again = self.pending.get(stream).map(|delivery| delivery.count);
        // A first delivery comes after all others. The dispatcher keeps to that; a record that does not is not ours.
        if again.is_none() && self.pending.last().is_some_and(|last| stream <= last) {
            return false;
        }
        self.delivered.consumer = self.delivered.consumer.next();
        self.delivered_at = time;
        if let Some(count) = again {
            let wait = wait_after(config, count.saturating_add(1));
            self.pending.redelivered(stream, time.plus(wait));
            return true;
        }
        self.drop_from_backlog(stream);
        self.delivered.stream = self.delivered.stream.max(stream);
        if config.ack_policy == AckPolicy::None {
            self.ack_floor = self.delivered;
        } else {
            self.pending.push(Delivery {
                stream,
                consumer: self.delivered.consumer,
                count: 1,
                deadline: time.plus(wait_after(config, 1)),
            });
        }
        true
    }

    /// `late`: something was acknowledged that nobody waited for any more.
    fn acked(&mut self, time: Timestamp, removal: Removal, late: bool) -> bool {
        if removal == Removal::Nothing && !late {
            return false;
        }
        self.acked_at = time;
        self.settle(removal);
        true
    }

    /// Moves the ack floor to just before what now holds it back.
    fn settle(&mut self, removal: Removal) {
        if removal == Removal::Front {
            self.ack_floor = self
                .pending
                .front()
                .map_or(self.delivered, |front| Position {
                    consumer: front.consumer.previous(),
                    stream: front.stream.previous(),
                });
        }
    }

    fn drop_exhausted_through(&mut self, through: StreamSequence) -> bool {
        if self.exhausted.first().is_none_or(|first| *first > through) {
            return false;
        }
        self.exhausted = self.exhausted.split_off(&through.next());
        true
    }

    fn postpone(&mut self, stream: StreamSequence, deadline: Timestamp) -> bool {
        let pending = self.pending.get(stream).is_some();
        self.pending.set_deadline(stream, deadline);
        pending
    }

    fn drop_from_backlog(&mut self, stream: StreamSequence) -> bool {
        if self.backlog.front() == Some(&stream) {
            self.backlog.pop_front();
            return true;
        }
        match self.backlog.binary_search(&stream) {
            Ok(at) => self.backlog.remove(at).is_some(),
            Err(_) => false,
        }
    }
}

/// How long the `count`-th delivery of a message may stay without acknowledgement.
pub(crate) fn wait_after(config: &ConsumerConfig, count: u32) -> Duration {
    if config.ack_policy == AckPolicy::FlowControl {
        // What it has is asked for, not delivered again.
        return Duration::MAX;
    }
    let step = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = config
        .backoff
        .get(step)
        .or(config.backoff.last())
        .unwrap_or(&config.ack_wait);
    wait.as_duration().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use everjet_api::Nanos;

    use super::*;

    fn config(ack_policy: AckPolicy) -> ConsumerConfig {
        ConsumerConfig {
            ack_policy,
            ack_wait: Nanos(30),
            ..ConsumerConfig::default()
        }
    }

    /// Applies the steps, one word each, at time 100, and shows `delivered floor pending redelivered`.
    fn check(policy: AckPolicy, steps: &str, expected: &str) {
        let config = config(policy);
        let mut state = ConsumerState::new(StreamSequence(1), Vec::new());
        for step in steps.split_whitespace() {
            let (kind, number) = step.split_at(1);
            let sequence = StreamSequence(number.parse().expect(step));
            let change = match kind {
                "d" => Change::Delivered(sequence),
                "a" => Change::Acked(sequence),
                "A" => Change::AckedThrough(sequence),
                "x" => Change::Abandoned(sequence),
                "e" => Change::Exhausted(sequence),
                "r" => {
                    state.on_removed(sequence);
                    continue;
                }
                "R" => {
                    state.on_removed_through(sequence);
                    continue;
                }
                _ => panic!("{step}"),
            };
            state.apply(Timestamp::from_nanos(100), &config, change);
        }
        let shown = format!(
            "{}/{} {}/{} {} {}",
            state.delivered.consumer,
            state.delivered.stream,
            state.ack_floor.consumer,
            state.ack_floor.stream,
            state.pending.len(),
            state.pending.redelivered_len(),
        );
        assert_eq!(shown, expected, "{steps}");
    }

    #[test]
    fn the_ack_floor_stops_at_the_first_gap() {
        let explicit = AckPolicy::Explicit;
        check(explicit, "d1 d2 d3", "3/3 0/0 3 0");
        check(explicit, "d1 d2 d3 a2", "3/3 0/0 2 0");
        check(explicit, "d1 d2 d3 a2 a1", "3/3 2/2 1 0");
        check(explicit, "d1 d2 d3 a2 a1 a3", "3/3 3/3 0 0");
        check(explicit, "d2 d5 d9 a2", "3/9 1/4 2 0");
        check(explicit, "d1 d2 a9 a1 a1", "2/2 1/1 1 0");
    }

    #[test]
    fn a_redelivery_counts_as_delivery_and_keeps_its_place() {
        let explicit = AckPolicy::Explicit;
        check(explicit, "d1 d2 d1", "3/2 0/0 2 1");
        check(explicit, "d1 d2 d1 a1", "3/2 1/1 1 0");
        check(explicit, "d1 d2 d1 a1 a2", "3/2 3/2 0 0");
        check(explicit, "d1 d2 d1 d3 a1", "4/3 1/1 2 0");
    }

    #[test]
    fn ack_all_takes_everything_before() {
        check(AckPolicy::All, "d1 d2 d3 A2", "3/3 2/2 1 0");
        check(AckPolicy::All, "d1 d2 d3 A3", "3/3 3/3 0 0");
        check(AckPolicy::All, "d1 d2 d3 A2 A1", "3/3 2/2 1 0");
    }

    #[test]
    fn without_acks_the_floor_follows_the_deliveries() {
        check(AckPolicy::None, "d1 d2 d7", "3/7 3/7 0 0");
    }

    #[test]
    fn removed_and_abandoned_messages_do_not_hold_the_floor() {
        let explicit = AckPolicy::Explicit;
        check(explicit, "d1 d2 d3 r1", "3/3 1/1 2 0");
        check(explicit, "d1 d2 d3 r2", "3/3 0/0 2 0");
        check(explicit, "d1 d2 d3 r2 a1", "3/3 2/2 1 0");
        check(explicit, "d1 d2 d3 R2", "3/3 2/2 1 0");
        check(explicit, "d1 d2 d3 R9", "3/3 3/3 0 0");
        check(explicit, "d1 d2 x1", "2/2 1/1 1 0");
    }

    #[test]
    fn what_is_exhausted_is_wanted_until_it_is_acknowledged_late_or_gone() {
        let config = config(AckPolicy::Explicit);
        let wanted = |steps: &[Change], removed: &[u64]| -> Vec<u64> {
            let mut state = ConsumerState::new(StreamSequence(1), Vec::new());
            for sequence in 1..=4 {
                let change = Change::Delivered(StreamSequence(sequence));
                state.apply(Timestamp::from_nanos(1), &config, change);
            }
            for step in steps {
                assert!(state.apply(Timestamp::from_nanos(2), &config, *step));
            }
            for sequence in removed {
                state.on_removed(StreamSequence(*sequence));
            }
            let all = (1..=5).map(StreamSequence);
            all.filter(|sequence| state.wants(*sequence))
                .map(|sequence| sequence.0)
                .collect()
        };
        let exhausted = |sequence| Change::Exhausted(StreamSequence(sequence));
        let acked = |sequence| Change::Acked(StreamSequence(sequence));
        let through = |sequence| Change::AckedThrough(StreamSequence(sequence));
        assert_eq!(wanted(&[exhausted(1), exhausted(2)], &[]), [1, 2, 3, 4, 5]);
        assert_eq!(wanted(&[exhausted(1), acked(1), acked(2)], &[]), [3, 4, 5]);
        assert_eq!(
            wanted(&[exhausted(1), exhausted(3), through(2)], &[]),
            [3, 4, 5]
        );
        assert_eq!(wanted(&[exhausted(1), exhausted(3)], &[3, 4]), [1, 2, 5]);
        check(AckPolicy::Explicit, "d1 d2 e1", "2/2 1/1 1 0");
    }

    #[test]
    fn deadlines_are_set_back_with_the_clock_and_only_once() {
        let config = config(AckPolicy::Explicit);
        let mut state = ConsumerState::new(StreamSequence(1), Vec::new());
        let at = Timestamp::from_nanos;
        state.apply(at(1_000), &config, Change::Delivered(StreamSequence(1)));
        let deadline = |state: &ConsumerState| state.pending().front().map(|one| one.deadline);
        let waits = deadline(&state).expect("is pending").since(at(1_000));
        for now in [1_000, 2_000] {
            state.on_serving(at(now));
            assert_eq!(deadline(&state), Some(at(1_000).plus(waits)), "{now}");
        }
        for _ in 0..2 {
            state.on_serving(at(400));
            assert_eq!(deadline(&state), Some(at(400).plus(waits)));
        }
    }

    #[test]
    fn deadlines_follow_backoff_naks_and_progress() {
        let mut config = config(AckPolicy::Explicit);
        let mut state = ConsumerState::new(StreamSequence(1), Vec::new());
        let one = StreamSequence(1);
        let mut at = |config: &ConsumerConfig, time: i64, change: Change| {
            state.apply(Timestamp::from_nanos(time), config, change);
            let front = state.pending.front().expect("pending");
            front.deadline.as_nanos()
        };
        assert_eq!(at(&config, 100, Change::Delivered(one)), 130);
        assert_eq!(at(&config, 110, Change::Progress(one)), 140);
        let delay = Duration::from_nanos(7);
        assert_eq!(at(&config, 120, Change::Delayed(one, delay)), 127);
        config.backoff = vec![Nanos(5), Nanos(50)];
        assert_eq!(at(&config, 127, Change::Delivered(one)), 177);
        assert_eq!(at(&config, 177, Change::Delivered(one)), 227);
        assert_eq!(at(&config, 200, Change::Progress(one)), 250);
    }

    #[test]
    fn the_backlog_comes_first_and_may_lose_messages() {
        let sequences = [3, 5, 8].map(StreamSequence);
        let mut state = ConsumerState::new(StreamSequence(10), sequences.to_vec());
        assert_eq!(state.delivered.stream, StreamSequence(2));
        let config = config(AckPolicy::Explicit);
        let now = Timestamp::from_nanos(0);
        assert!(state.apply(now, &config, Change::Delivered(StreamSequence(3))));
        state.on_removed(StreamSequence(5));
        assert!(state.apply(now, &config, Change::Abandoned(StreamSequence(8))));
        assert!(!state.apply(now, &config, Change::Abandoned(StreamSequence(8))));
        assert!(state.backlog.is_empty());
        assert_eq!(state.next_sequence(), StreamSequence(10));
    }
}
