//! The client of a consumer that is pinned: all messages go to it, as long as it is heard of.

use std::time::Duration;

use everjet_api::{ConsumerEvent, UnpinReason};
use everjet_values::Timestamp;

/// The client that is pinned.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    group: String,
    id: String,
    since: Timestamp,
    silent_at: Timestamp,
    patience: Duration,
}

/// A client that is not pinned any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unpinned {
    group: String,
}

impl Pin {
    /// Pins a client of the group.
    pub(crate) fn new(now: Timestamp, group: String, id: String, patience: Duration) -> Self {
        Self {
            group,
            id,
            since: now,
            silent_at: now.plus(patience),
            patience,
        }
    }

    /// What the client has to show.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What the client has to show, and since when.
    pub(crate) fn shown(&self) -> (&str, Timestamp) {
        (&self.id, self.since)
    }

    /// The client was heard of.
    pub(crate) fn heard(&mut self, now: Timestamp) {
        self.silent_at = now.plus(self.patience);
    }

    /// When it is let go if it is not heard of before.
    pub(crate) fn silent_at(&self) -> Timestamp {
        self.silent_at
    }

    /// Whether it was not heard of for too long.
    pub(crate) fn is_silent(&self, now: Timestamp) -> bool {
        self.silent_at <= now
    }

    /// Lets go of the client.
    pub(crate) fn end(self) -> Unpinned {
        Unpinned { group: self.group }
    }
}

impl Unpinned {
    /// What subscribers are told.
    pub(crate) fn event(self, reason: UnpinReason) -> ConsumerEvent {
        ConsumerEvent::Unpinned {
            group: self.group,
            reason,
        }
    }
}
