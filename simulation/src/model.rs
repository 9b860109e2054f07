//! Which messages should be there by limits and requests, in the most naive way.

use std::time::Duration;

use everjet_api::StreamConfig;
use everjet_store::StreamStore;
use everjet_values::{StreamSequence, Timestamp};

/// Subjects that messages are published on.
pub(crate) const SUBJECTS: [&str; 4] = ["order.new", "order.paid", "order.sent", "order.back"];

/// The messages of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    alive: Vec<Alive>,
    max_msgs: Option<usize>,
    max_msgs_per_subject: Option<usize>,
    max_age: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    sequence: u64,
    subject: usize,
    time: Timestamp,
}

impl Model {
    /// What a stream holds now.
    pub(crate) fn of(config: &StreamConfig, store: &StreamStore) -> Self {
        let mut model = Self::default();
        let removed = model.limit(config);
        assert!(removed.is_empty(), "nothing is there yet");
        for sequence in store.first_sequence().0..=store.last_sequence().0 {
            if let Ok(message) = store.get(StreamSequence(sequence)) {
                let is_subject = |subject: &&str| subject.as_bytes() == message.subject();
                model.alive.push(Alive {
                    sequence,
                    subject: SUBJECTS.iter().position(is_subject).unwrap_or_default(),
                    time: message.time,
                });
            }
        }
        model
    }

    /// The limits are these from now on. As all changes, returns the sequences that go.
    pub(crate) fn limit(&mut self, config: &StreamConfig) -> Vec<u64> {
        self.max_msgs = usize::try_from(config.max_msgs).ok();
        self.max_msgs_per_subject = usize::try_from(config.max_msgs_per_subject).ok();
        self.max_age = config.max_age.as_duration().filter(|age| !age.is_zero());
        self.enforce()
    }

    pub(crate) fn store(&mut self, sequence: u64, subject: usize, time: Timestamp) -> Vec<u64> {
        self.alive.push(Alive {
            sequence,
            subject,
            time,
        });
        self.enforce()
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Vec<u64> {
        self.take(|message| message.sequence == sequence)
    }

    /// Removes messages before `before` of one subject or of all, but for the `keep` newest.
    pub(crate) fn purge(&mut self, subject: Option<usize>, before: u64, keep: usize) -> Vec<u64> {
        let of = |message: &Alive| {
            subject.is_none_or(|subject| message.subject == subject) && message.sequence < before
        };
        let mut going = self.alive.iter().filter(|message| of(message)).count();
        going = going.saturating_sub(keep);
        self.take(|message| {
            let goes = of(message) && going > 0;
            going -= usize::from(goes);
            goes
        })
    }

    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<u64> {
        let Some(age) = self.max_age else {
            return Vec::new();
        };
        self.take(|message| message.time.plus(age) <= now)
    }

    /// Whether the store holds exactly these messages.
    ///
    /// # Errors
    /// A sequence that is there and should not be, or the other way round.
    pub(crate) fn check(&self, store: &StreamStore) -> Result<(), String> {
        if self.max_age.is_some() {
            // Messages go a little later than they may, so that they go together.
            return Ok(());
        }
        let mut alive = self.alive.iter().map(|message| message.sequence).peekable();
        for sequence in 1..=store.last_sequence().0 {
            let should = alive.next_if_eq(&sequence).is_some();
            if store.contains(StreamSequence(sequence)) != should {
                return Err(format!("message {sequence}: it should be there: {should}"));
            }
        }
        Ok(())
    }

    fn enforce(&mut self) -> Vec<u64> {
        let mut removed = Vec::new();
        if let Some(limit) = self.max_msgs_per_subject.filter(|limit| *limit > 0) {
            for subject in 0..SUBJECTS.len() {
                removed.extend(self.purge(Some(subject), u64::MAX, limit));
            }
        }
        if let Some(limit) = self.max_msgs.filter(|limit| *limit > 0) {
            removed.extend(self.purge(None, u64::MAX, limit));
        }
        removed
    }

    fn take(&mut self, mut goes: impl FnMut(&Alive) -> bool) -> Vec<u64> {
        let mut removed = Vec::new();
        self.alive.retain(|message| {
            let goes = goes(message);
            if goes {
                removed.push(message.sequence);
            }
            !goes
        });
        removed
    }
}
