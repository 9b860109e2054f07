//! What a world is like.

use std::time::Duration;

use everjet_api::{Nanos, Retention, StreamConfig};
use everjet_jetstream::StorageOptions;
use everjet_store::{JournalOptions, StoreOptions};
use everjet_values::{Entropy, SeededEntropy};

/// What a world is like. Files are small, so that rolling, recycling and dropping happen all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldOptions {
    /// Streams, named S0, S1, …
    pub streams: u64,
    /// `max_msgs` of the streams; -1 for none.
    pub max_msgs: i64,
    /// `max_msgs_per_subject` of the streams; -1 for none.
    pub max_msgs_per_subject: i64,
    /// `max_age` of the streams; `None` for none.
    pub max_age: Option<Duration>,
    /// Payloads have up to 8 times as many bytes; 0: all have the same size, and so their records.
    pub payload_words_max: u64,
    /// Whether several messages in a row have the same subject, so that a purge of it empties whole segments.
    pub bursts: bool,
    /// Bytes of a prepared journal file.
    pub journal_file_bytes: u64,
    /// Released journal files that are kept to be used again.
    pub spares_max: usize,
    /// Bytes of records that a stream keeps in memory after they were written.
    pub tail_bytes_max: usize,
    /// Whether the state is compared with that at the same entry before the cut, and the messages with a model of the limits. On
    /// damage neither holds. Costs a look at every message with each change.
    pub is_exact: bool,
    /// Retention of the streams.
    pub retention: Retention,
}

impl WorldOptions {
    /// Two streams without limits.
    pub const PLAIN: Self = Self {
        streams: 2,
        max_msgs: -1,
        max_msgs_per_subject: -1,
        max_age: None,
        payload_words_max: 30,
        bursts: false,
        journal_file_bytes: 8192,
        spares_max: 1,
        tail_bytes_max: 2048,
        is_exact: true,
        retention: Retention::Limits,
    };

    /// Two work queues.
    pub const QUEUES: Self = Self {
        retention: Retention::WorkQueue,
        ..Self::PLAIN
    };

    /// One stream with tight limits.
    pub const LIMITED: Self = Self {
        streams: 1,
        max_msgs: 12,
        max_msgs_per_subject: 5,
        ..Self::PLAIN
    };

    /// Any world, by seed.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let dice = SeededEntropy::new(seed ^ 0x6f70_7469_6f6e_7321);
        let one_in = |times: u64| dice.next_u64().is_multiple_of(times);
        Self {
            streams: 1 + dice.next_u64() % 3,
            max_msgs: if one_in(2) { 12 } else { -1 },
            max_msgs_per_subject: if one_in(3) { 5 } else { -1 },
            max_age: one_in(4).then_some(Duration::from_secs(40)),
            payload_words_max: [0, 2, 30, 100, 200]
                [usize::try_from(dice.next_u64() % 5).expect("small")],
            bursts: one_in(2),
            journal_file_bytes: if one_in(2) { 8192 } else { 6144 },
            spares_max: if one_in(2) { 1 } else { 2 },
            tail_bytes_max: if one_in(2) { 2048 } else { 0 },
            is_exact: true,
            retention: match dice.next_u64() % 6 {
                0 => Retention::WorkQueue,
                1 => Retention::Interest,
                _ => Retention::Limits,
            },
        }
    }

    pub(crate) fn storage(&self) -> StorageOptions {
        StorageOptions {
            store: StoreOptions {
                segment_bytes_max: 4096,
                tail_bytes_max: self.tail_bytes_max,
                checkpoint_messages_min: 1,
                chunk_bytes: 1024,
            },
            journal: JournalOptions {
                file_bytes: self.journal_file_bytes,
                hurried_file_bytes: HURRIED_FILE_BYTES,
                spares_max: self.spares_max,
                salt: 7,
            },
            ..StorageOptions::default()
        }
    }

    pub(crate) fn stream_config(&self, name: &str) -> StreamConfig {
        StreamConfig {
            name: name.to_owned(),
            subjects: vec!["order.>".to_owned()],
            retention: self.retention,
            max_msgs: self.max_msgs,
            max_msgs_per_subject: self.max_msgs_per_subject,
            max_age: Nanos::from(self.max_age.unwrap_or_default()),
            ..StreamConfig::default()
        }
    }
}

/// Bytes of a journal file that has to be made while somebody waits; no sound one is shorter.
pub(crate) const HURRIED_FILE_BYTES: u64 = 4608;
