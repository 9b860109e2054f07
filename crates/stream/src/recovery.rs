//! Checkpoints and replay: how a stream comes back.

use everjet_api::StreamConfig;
use everjet_consumer::codec::Malformed;
use everjet_consumer::{Consumer, SEQUENCE_MAX};
use everjet_store::{JournalBatch, JournalRecord, StreamId, StreamStore};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::command::{Command, sequences_at_most};
use crate::limits;
use crate::machine::Stream;
use crate::runs::Runs;
use crate::state::StreamState;

/// So many records are decoded and their subjects looked for together: what that brings into the processor's cache stays there
/// until it is used.
const TOGETHER: usize = 64;

/// Fewer are not worth it.
const WORTHWHILE: usize = 8;

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

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gap { expected, found } => {
                write!(
                    f,
                    "the record of entry {expected} is missing, entry {found} came instead"
                )
            }
            Self::Malformed { entry, kind } => write!(
                f,
                "the record of entry {entry} (kind {kind}) does not fit: it is damaged, or of a later version"
            ),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Stream {
    /// A stream as it was at a checkpoint, and the consumers whose snapshots are damaged or of a later version: they are lost,
    /// and records about them are passed over. Message ids inside the duplicate window are read from the messages, which may read
    /// from disk.
    #[must_use]
    pub fn recover(
        id: StreamId,
        config: StreamConfig,
        created: Timestamp,
        store: StreamStore,
        consumers: &[ConsumerSnapshot],
        entry: EntryIndex,
    ) -> (Self, Vec<String>) {
        let mut state = StreamState::new(id, config, created, store, entry);
        let mut lost = Vec::new();
        for snapshot in consumers {
            let consumer = Consumer::decode(&snapshot.bytes).ok();
            match consumer.filter(|consumer| consumer.name == snapshot.name) {
                Some(consumer) => state.add_consumer(consumer),
                None => lost.push(snapshot.name.clone()),
            }
        }
        let mut stream = Self::of(state);
        stream.recovered_at = entry;
        stream.has_lost_consumers = !lost.is_empty();
        (stream, lost)
    }

    /// A stream whose messages and consumers come from elsewhere, as of `entry`, which is that of the last change in `store`.
    ///
    /// What is over a limit goes, and deliveries of messages that are not there are given up. With interest retention nothing else goes:
    /// what its consumers are done with was kept for a reason. Messages with a lifetime of their own go on from when they were stored:
    /// those whose time is over are due at once.
    #[must_use]
    pub fn imported(
        id: StreamId,
        config: StreamConfig,
        created: Timestamp,
        store: StreamStore,
        consumers: Vec<Consumer>,
        entry: EntryIndex,
    ) -> Self {
        let mut state = StreamState::new(id, config, created, store, entry);
        for mut consumer in consumers {
            let store = &state.store;
            consumer
                .state
                .on_removed_many(|sequence| store.contains(sequence));
            state.add_consumer(consumer);
        }
        limits::enforce_all(&mut state, entry, &mut Vec::new());
        let mut stream = Self::of(state);
        stream.hold_unwanted();
        stream
    }

    /// Lets a consumer whose state is older than the stream's forget messages that were removed since.
    pub fn forget_removed(&mut self, consumer: &str) {
        let Some(&id) = self.state.names.get(consumer) else {
            return;
        };
        let store = &self.state.store;
        if let Some(consumer) = self.state.consumers.get_mut(&id) {
            consumer
                .state
                .on_removed_many(|sequence| store.was_stored(sequence));
        }
    }

    /// Applies a record of the journal. Records that the checkpoint holds already are left out.
    ///
    /// # Errors
    /// [`ReplayError`]: the journal does not belong to this stream. Further records do not fit either.
    pub fn replay(&mut self, entry: EntryIndex, kind: u8, body: &[u8]) -> Result<(), ReplayError> {
        self.replay_decoded(entry, kind, Command::decode(kind, body))
    }

    /// Applies records of the journal one after the other, as [`Stream::replay`] does.
    ///
    /// # Errors
    /// [`ReplayError`], and which record it is.
    pub fn replay_all(
        &mut self,
        records: &[JournalRecord<'_>],
    ) -> Result<(), (usize, ReplayError)> {
        self.expect_messages(records);
        if records.len() < WORTHWHILE {
            for (at, record) in records.iter().enumerate() {
                self.replay(record.entry, record.kind, record.body)
                    .map_err(|error| (at, error))?;
            }
            return Ok(());
        }
        for (at, records) in (0..).step_by(TOGETHER).zip(records.chunks(TOGETHER)) {
            let mut commands = Vec::with_capacity(TOGETHER);
            let mut subjects: Vec<&[u8]> = Vec::with_capacity(TOGETHER);
            for record in records {
                let command = Command::decode(record.kind, record.body);
                subjects.push(match command {
                    Ok(Command::Publish { subject, .. }) => subject,
                    _ => &[],
                });
                commands.push(command);
            }
            self.look_ahead(&subjects);
            for (number, (record, command)) in records.iter().zip(commands).enumerate() {
                self.state.store.next_comes();
                self.replay_decoded(record.entry, record.kind, command)
                    .map_err(|error| (at + number, error))?;
            }
        }
        Ok(())
    }

    /// Lets the store make room for the messages among `records`.
    fn expect_messages(&mut self, records: &[JournalRecord<'_>]) {
        let is_new = |record: &&JournalRecord<'_>| record.entry > self.state.entry;
        let messages = records
            .iter()
            .filter(|record| sequences_at_most(record.kind) > 0)
            .filter(is_new);
        let (count, bytes) = messages.fold((0, 0), |(count, bytes), record| {
            (count + 1, bytes + record.body.len())
        });
        self.state.store.expect(count, bytes);
    }

    fn replay_decoded(
        &mut self,
        entry: EntryIndex,
        kind: u8,
        command: Result<Command<'_>, Malformed>,
    ) -> Result<(), ReplayError> {
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
        let command = command.map_err(malformed)?;
        self.removals.clear();
        if self.is_about_a_lost_consumer(&command) {
            self.state.entry = entry;
            if let Command::ConsumerSettled { removed, .. } = command {
                // Its messages do not come back with it.
                let runs = Runs::decode(removed).map_err(malformed)?;
                self.state.remove_runs(entry, &runs, &mut self.removals);
            }
            return Ok(());
        }
        self.state
            .apply(entry, &command, &mut self.removals)
            .map_err(malformed)?;
        Ok(())
    }

    /// Applies a record although records before it are missing: for bringing back what is readable, never for serving.
    ///
    /// Messages keep their sequences: each record names its own, and those that no record names are lost. Of records behind a gap
    /// only messages and configurations count; acknowledgements and removals build on what is missing. Returns whether the
    /// record counts.
    pub fn salvage(&mut self, entry: EntryIndex, kind: u8, body: &[u8]) -> bool {
        if entry <= self.state.entry {
            return true;
        }
        self.has_gap |= entry != self.state.entry.next();
        if self.has_gap {
            let counts = match Command::decode(kind, body) {
                Ok(
                    Command::Publish { sequence, .. }
                    | Command::Batch {
                        first: sequence, ..
                    },
                ) if sequence <= SEQUENCE_MAX => {
                    self.state.store.lose_through(entry, sequence.previous());
                    true
                }
                Ok(
                    Command::Skipped { .. } | Command::Lost { .. } | Command::ConfigUpdated { .. },
                ) => true,
                _ => false,
            };
            if !counts {
                self.state.entry = entry;
                return false;
            }
        }
        self.state.entry = EntryIndex(entry.0 - 1);
        self.replay(entry, kind, body).is_ok()
    }

    /// Leaves a gap of `count` sequences: so many messages may have been lost with the end of the journal. The record of it is added to
    /// `journal`, and has to be durable before the stream is served.
    pub fn leave_gap(&mut self, count: u64, journal: &mut JournalBatch) {
        let last = self.state.store.last_sequence().0;
        let command = Command::Lost {
            through: StreamSequence(last.saturating_add(count)).min(SEQUENCE_MAX),
        };
        let entry = self.state.entry.next();
        if self.state.is_journaled() {
            command.record(journal, self.state.id, entry);
        }
        self.state
            .apply(entry, &command, &mut self.removals)
            .expect("it was made from the state it is applied to");
    }

    /// Whether a record concerns a consumer that was there at the checkpoint and has no snapshot any more.
    fn is_about_a_lost_consumer(&self, command: &Command<'_>) -> bool {
        match command {
            Command::ConsumerChanged { consumer, .. }
            | Command::ConsumerSettled { consumer, .. }
            | Command::ConsumerUpdated { consumer, .. }
            | Command::ConsumerDeleted { consumer } => {
                consumer.0 <= self.recovered_at.0 && !self.state.consumers.contains_key(consumer)
            }
            _ => false,
        }
    }

    /// The stream at its last entry. The store's segments must be taken before anything else changes. A purge that goes on is
    /// finished.
    pub fn checkpoint(&mut self) -> StreamCheckpoint {
        let mut carried = std::mem::take(&mut self.carried);
        self.flush_to(&mut carried);
        self.finish_purge(&mut carried);
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
