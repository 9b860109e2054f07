//! Checkpoints and replay: how a stream comes back.

use everjet_api::StreamConfig;
use everjet_consumer::Consumer;
use everjet_store::{StreamId, StreamStore};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::command::Command;
use crate::machine::Stream;
use crate::state::StreamState;

/// A consumer in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSnapshot {
    /// Its name.
    pub name: String,
    /// Its definition and state, for [`Stream::recover`].
    pub bytes: Vec<u8>,
}

/// A stream at one entry: together with the store's segments of the same moment it is what [`Stream::recover`] needs.
#[derive(Clone, Debug)]
pub struct StreamCheckpoint {
    /// The entry.
    pub entry: EntryIndex,
    /// The last sequence ever given to a message.
    pub last_sequence: StreamSequence,
    /// The configuration.
    pub config: StreamConfig,
    /// The consumers that survive, by number.
    pub consumers: Vec<ConsumerSnapshot>,
}

/// Why a stream cannot be had from its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoverError {
    /// The snapshot of a consumer is damaged or of a later version.
    Snapshot {
        /// The consumer.
        consumer: String,
    },
}

/// Why a journal record cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Records are missing before this one.
    Gap {
        /// The entry that comes next.
        expected: EntryIndex,
        /// The entry of the record.
        found: EntryIndex,
    },
    /// The record is not one of this stream, or of a later version.
    Malformed {
        /// Its entry.
        entry: EntryIndex,
        /// Its kind.
        kind: u8,
    },
}

impl Stream {
    /// A stream as it was at a checkpoint. Message ids inside the duplicate window are read from the messages, which
    /// may read from disk.
    ///
    /// # Errors
    /// [`RecoverError::Snapshot`]: leave that snapshot out to go on without the consumer.
    pub fn recover(
        id: StreamId,
        config: StreamConfig,
        created: Timestamp,
        store: StreamStore,
        consumers: &[ConsumerSnapshot],
        entry: EntryIndex,
    ) -> Result<Self, RecoverError> {
        let mut state = StreamState::new(id, config, created, store, entry);
        for snapshot in consumers {
            let consumer = Consumer::decode(&snapshot.bytes).ok();
            let consumer = consumer.filter(|consumer| consumer.name == snapshot.name);
            state.add_consumer(consumer.ok_or_else(|| RecoverError::Snapshot {
                consumer: snapshot.name.clone(),
            })?);
        }
        Ok(Self::of(state))
    }

    /// Applies a record of the journal. Records that the checkpoint holds already are left out.
    ///
    /// # Errors
    /// [`ReplayError`]: the journal does not belong to this stream. Further records do not fit either.
    pub fn replay(&mut self, entry: EntryIndex, kind: u8, body: &[u8]) -> Result<(), ReplayError> {
        if entry <= self.state.entry {
            return Ok(());
        }
        let expected = self.state.entry.next();
        if entry != expected {
            return Err(ReplayError::Gap {
                expected,
                found: entry,
            });
        }
        let malformed = |_| ReplayError::Malformed { entry, kind };
        let command = Command::decode(kind, body).map_err(malformed)?;
        self.removals.clear();
        self.state
            .apply(entry, &command, &mut self.removals)
            .map_err(malformed)?;
        Ok(())
    }

    /// The stream at its last entry. The store's segments must be taken before anything else changes.
    pub fn checkpoint(&mut self) -> StreamCheckpoint {
        let mut carried = std::mem::take(&mut self.carried);
        self.flush_to(&mut carried);
        self.carried = carried;
        let survives = |consumer: &&Consumer| !consumer.is_volatile();
        StreamCheckpoint {
            entry: self.state.entry,
            last_sequence: self.state.store.last_sequence(),
            config: self.state.config.clone(),
            consumers: self
                .state
                .consumers
                .values()
                .filter(survives)
                .map(|consumer| ConsumerSnapshot {
                    name: consumer.name.clone(),
                    bytes: consumer.encode(),
                })
                .collect(),
        }
    }
}
