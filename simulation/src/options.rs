//! What a world is like.

use std::sync::Arc;
use std::time::Duration;

use everjet_api::{Compression, Nanos, Retention, Storage, StreamConfig};
use everjet_jetstream::StorageOptions;
use everjet_store::{Cipher, Encryption, JournalOptions, StoreKey, StoreOptions};
use everjet_values::{Entropy, SeededEntropy};

use crate::model::SUBJECTS;

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
    /// What a wide world has besides; `None` in a narrow one.
    pub wide: Option<Wide>,
}

/// What makes a world wide: its streams differ, its store may have a key, and clients do more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    /// Everything else follows from it.
    pub seed: u64,
    /// The key of the configuration.
    pub key: Option<Key>,
    /// Whether the clock is set back now and then while the server is down. Times of consumers follow it without an entry, so the
    /// whole state cannot be compared with that at the same entry.
    pub turns_back: bool,
    /// Whether clients publish atomic batches, too.
    pub batches: bool,
    /// How many times the store was opened: what a server draws at its start is never the same.
    pub starts: u64,
    /// Whether streams may have lifetimes, markers and rollups, and publishers ask for them.
    pub has_wishes: bool,
}

/// The key that a server is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The first one is 1.
    pub number: u16,
    /// Whether the one before is given, too.
    pub has_previous: bool,
    /// Whether there was a key when the store was made.
    pub from_the_start: bool,
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
        wide: None,
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

    /// Any wide world, by seed.
    #[must_use]
    pub fn wide(seed: u64) -> Self {
        let dice = SeededEntropy::new(seed ^ 0x7769_6465_776f_726c);
        let is_sealed = dice.next_u64().is_multiple_of(3);
        let key = Key {
            number: 1,
            has_previous: false,
            from_the_start: true,
        };
        Self {
            wide: Some(Wide {
                seed: dice.next_u64(),
                key: is_sealed.then_some(key),
                turns_back: dice.next_u64().is_multiple_of(4),
                // What other seeds do does not change by it.
                batches: seed % 8 == 7,
                starts: 0,
                has_wishes: dice.next_u64().is_multiple_of(4),
            }),
            // A wide world's streams have several consumers, and the model of retention knows of one.
            retention: Retention::Limits,
            ..Self::narrow(seed)
        }
    }

    /// Any narrow world, by seed. It stays the same whatever wide worlds get.
    #[must_use]
    pub fn narrow(seed: u64) -> Self {
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
            wide: None,
            retention: match dice.next_u64() % 6 {
                0 => Retention::WorkQueue,
                1 => Retention::Interest,
                _ => Retention::Limits,
            },
        }
    }

    /// These, for the next start.
    #[must_use]
    pub fn started(mut self, starts: u64) -> Self {
        if let Some(wide) = &mut self.wide {
            wide.starts = starts;
        }
        self
    }

    /// Whether the store was there before its key.
    pub(crate) fn got_key_later(&self) -> bool {
        let key = self.wide.and_then(|wide| wide.key);
        key.is_some_and(|key| !key.from_the_start)
    }

    /// Whether the state is compared with that at the same entry.
    pub(crate) fn compares_states(&self) -> bool {
        self.is_exact && !self.wide.is_some_and(|wide| wide.turns_back)
    }

    /// Whether what is written is sealed.
    pub(crate) fn is_sealed(&self) -> bool {
        self.wide.is_some_and(|wide| wide.key.is_some())
    }

    /// How many subjects there are.
    pub(crate) fn subjects(&self) -> u64 {
        match self.wide {
            Some(_) => SUBJECTS.len() as u64,
            None => 4,
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
            encryption: self.wide.and_then(|wide| wide.encryption()),
            ..StorageOptions::default()
        }
    }

    pub(crate) fn stream_config(&self, name: &str) -> StreamConfig {
        let config = self.plain_config(name);
        match self.wide {
            Some(wide) => wide.vary(config),
            None => config,
        }
    }

    fn plain_config(&self, name: &str) -> StreamConfig {
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

impl Wide {
    fn encryption(&self) -> Option<Encryption> {
        let key = self.key?;
        let text = |number: u16| StoreKey::new(format!("key {number}").as_bytes());
        let dice = SeededEntropy::new(self.seed.wrapping_add(self.starts << 32));
        Some(Encryption {
            key: text(key.number),
            previous: key.has_previous.then(|| text(key.number - 1)),
            cipher: match dice.next_u64() % 2 {
                0 => Cipher::ChaCha20Poly1305,
                _ => Cipher::Aes256Gcm,
            },
            entropy: Arc::new(dice),
        })
    }

    /// No two streams of a world have the same limits.
    fn vary(&self, mut config: StreamConfig) -> StreamConfig {
        config.allow_atomic = self.batches;
        let name = config
            .name
            .bytes()
            .fold(0, |name, byte| name * 31 + u64::from(byte));
        let dice = SeededEntropy::new(self.seed ^ (name << 7));
        let pick = |count: u64| usize::try_from(dice.next_u64() % count).expect("small");
        config.storage = [Storage::File, Storage::Memory][pick(6) / 5];
        config.compression = [Compression::None, Compression::S2][pick(2)];
        config.max_msgs = [-1, config.max_msgs, 60][pick(3)];
        config.max_msgs_per_subject = [-1, config.max_msgs_per_subject, 1, 3][pick(4)];
        if pick(4) == 0 {
            config.max_age = Nanos::from(Duration::from_secs(40));
        }
        if !self.has_wishes {
            return config;
        }
        config.allow_rollup_hdrs = pick(2) == 0;
        config.allow_msg_ttl = pick(2) == 0;
        if config.allow_msg_ttl && pick(2) == 0 {
            config.subject_delete_marker_ttl = Nanos::from(MARKER_LIFETIME);
            config.allow_rollup_hdrs = true;
        }
        config
    }
}

/// How long markers live, in worlds that have them. No message has a shorter lifetime.
pub(crate) const MARKER_LIFETIME: Duration = Duration::from_secs(15);

/// Bytes of a journal file that has to be made while somebody waits; no sound one is shorter.
pub(crate) const HURRIED_FILE_BYTES: u64 = 4608;
