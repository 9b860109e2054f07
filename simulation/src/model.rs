//! Which messages should be there by limits and requests, in the most naive way.

use std::time::Duration;

use everjet_api::StreamConfig;
use everjet_store::StreamStore;
use everjet_subject::matches;
use everjet_values::{StreamSequence, Timestamp, parse_duration};
use everjet_wire::Headers;

/// Subjects that messages are published on; in narrow worlds, on the first four.
pub(crate) const SUBJECTS: [&str; 12] = [
    "order.new",
    "order.paid",
    "order.sent",
    "order.back",
    "order.new.eu",
    "order.new.us",
    "order.sent.eu",
    "order.eu.1",
    "order.eu.2",
    "order.eu.2.late",
    "order.us.1",
    "order.x",
];

/// The messages of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    alive: Vec<Alive>,
    max_msgs: Option<usize>,
    max_msgs_per_subject: Option<usize>,
    max_age: Option<Duration>,
    /// Messages may have lifetimes.
    has_lifetimes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Alive {
    sequence: u64,
    subject: usize,
    time: Timestamp,
    lifetime: Lifetime,
}

/// What a message says about how long it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Nothing.
    #[default]
    Unsaid,
    /// It does not grow too old.
    Never,
    /// It goes so long after it was stored.
    For(Duration),
}

impl Lifetime {
    fn read(headers: &[u8]) -> Self {
        let text = Headers(headers)
            .get("Nats-TTL")
            .map(String::from_utf8_lossy);
        match text.as_deref() {
            None => Self::Unsaid,
            Some("never") => Self::Never,
            Some(text) => Self::For(parse_duration(text).expect("lifetimes are written as such")),
        }
    }
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
                    lifetime: Lifetime::read(message.headers()),
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
        self.has_lifetimes = config.allow_msg_ttl;
        self.enforce()
    }

    pub(crate) fn store(
        &mut self,
        sequence: u64,
        subject: usize,
        time: Timestamp,
        lifetime: Lifetime,
    ) -> Vec<u64> {
        self.alive.push(Alive {
            sequence,
            subject,
            time,
            lifetime,
        });
        self.enforce()
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Vec<u64> {
        self.take(|message| message.sequence == sequence)
    }

    /// Removes messages before `before` of one subject or of all, but for the `keep` newest.
    pub(crate) fn purge(&mut self, subject: Option<usize>, before: u64, keep: usize) -> Vec<u64> {
        self.purge_where(
            |of| subject.is_none_or(|subject| of == subject),
            before,
            keep,
        )
    }

    /// As [`Model::purge`], of the subjects that match a filter.
    pub(crate) fn purge_filter(&mut self, filter: &str, before: u64, keep: usize) -> Vec<u64> {
        let is_in = |of: usize| matches(filter.as_bytes(), SUBJECTS[of].as_bytes());
        self.purge_where(is_in, before, keep)
    }

    fn purge_where(&mut self, is_in: impl Fn(usize) -> bool, before: u64, keep: usize) -> Vec<u64> {
        let of = |message: &Alive| is_in(message.subject) && message.sequence < before;
        let mut going = self.alive.iter().filter(|message| of(message)).count();
        going = going.saturating_sub(keep);
        self.take(|message| {
            let goes = of(message) && going > 0;
            going -= usize::from(goes);
            goes
        })
    }

    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<u64> {
        let max_age = self.max_age;
        self.take(|message| {
            let goes_after = |age: Duration| message.time.plus(age) <= now;
            match message.lifetime {
                Lifetime::Never => false,
                Lifetime::For(lifetime) if goes_after(lifetime) => true,
                _ => max_age.is_some_and(goes_after),
            }
        })
    }

    /// Whether the store holds exactly these messages.
    ///
    /// # Errors
    /// A sequence that is there and should not be, or the other way round.
    pub(crate) fn check(&self, store: &StreamStore) -> Result<(), String> {
        let mut alive = self.alive.iter().map(|message| message.sequence).peekable();
        for sequence in 1..=store.last_sequence().0 {
            let should = alive.next_if_eq(&sequence).is_some();
            if !should && self.is_expiring() {
                // Messages go a little later than they may, so that they go together.
                continue;
            }
            if store.contains(StreamSequence(sequence)) != should {
                return Err(format!("message {sequence}: it should be there: {should}"));
            }
        }
        Ok(())
    }

    /// Whether messages go with time.
    pub(crate) fn is_expiring(&self) -> bool {
        self.max_age.is_some() || self.has_lifetimes
    }

    /// The sequences that should be there.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.alive.iter().map(|message| message.sequence)
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
