//! What a stream is: everything that survives.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use everjet_api::{Compression, Storage, StreamConfig};
use everjet_consumer::{Consumer, ConsumerId, Delivery};
use everjet_store::{StreamId, StreamStore};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};
use everjet_wire::Headers;

use crate::checks::MESSAGE_ID;
use crate::dedupe::Dedupe;
use crate::expiries::Expiries;
use crate::purge::Purging;

/// Into how many segments the messages of a stream with `max_age` are split by age, at the least.
const AGE_PARTS: u32 = 8;

/// Everything of a stream that survives. Only [`apply`](Self::apply) changes it.
pub(crate) struct StreamState {
    pub(crate) id: StreamId,
    pub(crate) config: StreamConfig,
    pub(crate) created: Timestamp,
    pub(crate) store: StreamStore,
    /// The last entry that was applied.
    pub(crate) entry: EntryIndex,
    /// The time of the last message; messages never get an earlier one.
    pub(crate) last_time: Timestamp,
    pub(crate) dedupe: Dedupe,
    pub(crate) expiries: Expiries,
    /// `Nats-Msg-Id` of the last message; empty when it had none.
    pub(crate) last_message_id: Vec<u8>,
    pub(crate) consumers: BTreeMap<ConsumerId, Consumer>,
    pub(crate) names: BTreeMap<String, ConsumerId>,
    /// The purge that was begun and is not over.
    pub(crate) purging: Option<Purging>,
    /// Deliveries that waited when their messages left the stream, since somebody last asked; nothing that survives.
    pub(crate) left_waiting: Vec<(ConsumerId, Delivery)>,
}

impl StreamState {
    /// A stream around its messages. Ids of messages inside the duplicate window are read from the messages.
    pub(crate) fn new(
        id: StreamId,
        config: StreamConfig,
        created: Timestamp,
        mut store: StreamStore,
        entry: EntryIndex,
    ) -> Self {
        store.set_compression(config.compression == Compression::S2);
        let mut state = Self {
            id,
            config,
            created,
            last_time: store.last_time(),
            store,
            entry,
            dedupe: Dedupe::default(),
            expiries: Expiries::default(),
            last_message_id: Vec::new(),
            consumers: BTreeMap::new(),
            names: BTreeMap::new(),
            purging: None,
            left_waiting: Vec::new(),
        };
        state.read_message_ids();
        state.read_lifetimes();
        state.set_segment_age();
        state
    }

    /// Tells the store how long a segment may gather messages, so that those that expire go with whole files: about an
    /// eighth more than what may be read lies on the disk.
    pub(crate) fn set_segment_age(&mut self) {
        let age = self.config.max_age.as_duration();
        let part = age.filter(|age| !age.is_zero()).map(|age| age / AGE_PARTS);
        self.store.set_segment_age(part);
    }

    /// Puts a consumer in.
    pub(crate) fn add_consumer(&mut self, consumer: Consumer) {
        self.names.insert(consumer.name.clone(), consumer.id);
        self.consumers.insert(consumer.id, consumer);
    }

    /// Takes a consumer out.
    pub(crate) fn remove_consumer(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.consumers.remove(&id)?;
        self.names.remove(&consumer.name);
        Some(consumer)
    }

    /// The consumer of this name.
    pub(crate) fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(self.names.get(name)?)
    }

    /// Whether changes go to the journal. A memory stream lives as long as the process.
    pub(crate) fn is_journaled(&self) -> bool {
        self.config.storage == Storage::File
    }

    /// How long message ids count.
    pub(crate) fn duplicate_window(&self) -> Duration {
        self.config
            .duplicate_window
            .as_duration()
            .unwrap_or_default()
    }

    /// A number that is the same for the same state, and most likely another one for any other: configuration,
    /// messages, consumers that are not volatile. Message ids are derived from the messages and the time.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.entry.0.hash(&mut hasher);
        let config = serde_json::to_vec(&self.config).expect("a configuration has string keys");
        config.hash(&mut hasher);
        let store = self.store.state();
        (store.messages, store.bytes, store.first_sequence.0).hash(&mut hasher);
        (store.last_sequence.0, store.last_time.as_nanos()).hash(&mut hasher);
        self.digest_messages(&mut hasher);
        if self.store.contains(self.store.last_sequence()) {
            self.last_message_id.hash(&mut hasher);
        }
        self.purging.as_ref().map(Purging::target).hash(&mut hasher);
        for consumer in self.consumers.values() {
            if !consumer.is_volatile() {
                consumer.encode().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn digest_messages(&self, hasher: &mut DefaultHasher) {
        let everything = self.store.select(&[]);
        let mut next = self
            .store
            .next_match(&everything, self.store.first_sequence());
        while let Some(sequence) = next {
            match self.store.get(sequence) {
                Ok(message) => {
                    (sequence.0, message.time.as_nanos()).hash(hasher);
                    (message.subject(), message.headers(), message.payload()).hash(hasher);
                }
                Err(error) => error.to_string().hash(hasher),
            }
            next = self.store.next_match(&everything, sequence.next());
        }
    }

    fn read_message_ids(&mut self) {
        // Only messages with headers can have an id; those without are not even read.
        let store = &self.store;
        if store.next_with_headers(store.first_sequence()).is_none() {
            return;
        }
        let from = self.last_time.minus(self.duplicate_window());
        let mut next = store.next_with_headers(store.first_at_or_after(from));
        while let Some(sequence) = next {
            self.read_message_id(sequence);
            next = self.store.next_with_headers(sequence.next());
        }
        let last = self.store.last_sequence();
        if self.store.next_with_headers(last) == Some(last)
            && let Ok(message) = self.store.get(last)
        {
            let id = Headers(message.headers()).get(MESSAGE_ID);
            self.last_message_id = id.unwrap_or_default().to_vec();
        }
    }

    /// Only messages with headers can have a lifetime. One that cannot be read has lost it with everything else.
    fn read_lifetimes(&mut self) {
        if !self.config.allow_msg_ttl {
            return;
        }
        let mut next = self.store.next_with_headers(self.store.first_sequence());
        while let Some(sequence) = next {
            if let Ok(message) = self.store.get(sequence) {
                let Self {
                    expiries, store, ..
                } = self;
                expiries.note(store, sequence, message.time, message.headers());
            }
            next = self.store.next_with_headers(sequence.next());
        }
    }

    /// Messages that cannot be read have lost their id with everything else.
    fn read_message_id(&mut self, sequence: StreamSequence) {
        if let Ok(message) = self.store.get(sequence)
            && let Some(id) = Headers(message.headers()).get(MESSAGE_ID)
            && !id.is_empty()
        {
            self.dedupe.insert(id, message.time, sequence);
        }
    }
}
