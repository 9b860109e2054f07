//! Delivering stored messages with the pauses they were stored with (`replay_policy: original`).

use everjet_api::{ConsumerConfig, ReplayPolicy};
use everjet_store::StoredMessage;
use everjet_values::{StreamSequence, Timestamp};

/// The pauses of the messages that were there when serving the consumer began; those that come later keep theirs by themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// The last message whose pause counts; unset when none does.
    through: StreamSequence,
    /// When the last message was delivered, and when it was stored.
    last: Option<(Timestamp, Timestamp)>,
    /// When the next message may be delivered.
    due_at: Option<Timestamp>,
}

impl Replay {
    /// The replay of a consumer of a stream that ends with this message.
    pub(crate) fn new(config: &ConsumerConfig, last: StreamSequence) -> Self {
        let through = match config.replay_policy {
            ReplayPolicy::Original => last,
            ReplayPolicy::Instant => StreamSequence::ZERO,
        };
        Self {
            through,
            ..Self::default()
        }
    }

    /// Whether a message may be delivered for the first time. If not, [`next_timer`](Self::next_timer) says when.
    pub(crate) fn is_time(&mut self, now: Timestamp, message: &StoredMessage) -> bool {
        let Some((delivered, stored)) = self.last.filter(|_| message.sequence <= self.through)
        else {
            return true;
        };
        let due_at = delivered.plus(message.time.since(stored));
        self.due_at = (due_at > now).then_some(due_at);
        self.due_at.is_none()
    }

    /// A message was delivered for the first time.
    pub(crate) fn delivered(&mut self, now: Timestamp, sequence: StreamSequence, time: Timestamp) {
        if sequence <= self.through {
            self.last = Some((now, time));
        }
    }

    /// The consumer begins anew: the next message waits for nothing.
    pub(crate) fn forget(&mut self) {
        self.last = None;
        self.due_at = None;
    }

    /// Whether a message that waits may be delivered by now, which is said once.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> bool {
        self.due_at.take_if(|at| *at <= now).is_some()
    }

    /// When a message that waits may be delivered.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.due_at
    }
}
