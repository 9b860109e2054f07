//! Applying committed commands: the only place where a stream's state changes.

use everjet_api::{Compression, ConsumerConfig};
use everjet_consumer::codec::Malformed;
use everjet_consumer::{ChangeLog, Consumer, ConsumerId, SEQUENCE_MAX};
use everjet_store::{NewMessage, RemoveBudget, Removed};
use everjet_subject::SubjectId;
use everjet_values::{EntryIndex, StreamSequence, Timestamp};
use everjet_wire::Headers;

use crate::Publish;
use crate::checks::{HEADERS_MAX, MESSAGE_ID, SUBJECT_MAX};
use crate::command::Command;
use crate::runs::Runs;
use crate::state::StreamState;
use crate::{batch, limits, purge, rollup};

/// Subject of what takes the place of a message that is not stored. Nothing is ever found under it.
const PLACEHOLDER: &[u8] = b"-";

/// A message that left the stream, for those who count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// One message.
    One(StreamSequence, Option<SubjectId>),
    /// All up to this one.
    Through(StreamSequence),
    /// More than is worth telling one by one.
    Many,
}

/// What becomes of a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageFate {
    /// It is stored.
    Stored,
    /// It takes a sequence, and is not stored: no consumer wants it.
    Skipped,
}

/// What applying a command did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The message that was stored, or took a sequence.
    pub(crate) stored: Option<StreamSequence>,
    /// How many messages were removed on request or for their age.
    pub(crate) removed: u64,
}

impl StreamState {
    /// Makes the change that entry `entry` stands for. Messages that left are added to `removals`.
    ///
    /// # Errors
    /// [`Malformed`] when the command does not fit the state: the record is not one of this stream.
    pub(crate) fn apply(
        &mut self,
        entry: EntryIndex,
        command: &Command<'_>,
        removals: &mut Vec<Removal>,
    ) -> Result<Applied, Malformed> {
        self.entry = entry;
        let mut applied = Applied::default();
        match *command {
            Command::Publish {
                time,
                sequence,
                subject,
                headers,
                payload,
            } => {
                if sequence != self.store.last_sequence().next() {
                    return Err(Malformed);
                }
                if subject.is_empty() || subject.len() > SUBJECT_MAX || headers.len() > HEADERS_MAX
                {
                    return Err(Malformed);
                }
                let message = NewMessage {
                    time: time.max(self.last_time),
                    subject,
                    headers,
                    payload,
                };
                applied.stored = Some(self.store_message(entry, &message, removals));
            }
            Command::ConsumerChanged {
                time,
                consumer,
                changes,
            } => self.change_consumer(time, consumer, changes)?,
            Command::ConsumerCreated { time, name, config } => {
                if self.names.contains_key(name) {
                    return Err(Malformed);
                }
                self.create_consumer(ConsumerId(entry.0), name, time, read_config(config)?);
            }
            Command::ConsumerUpdated { consumer, config } => {
                let consumer = self.consumers.get_mut(&consumer).ok_or(Malformed)?;
                consumer.config = read_config(config)?;
            }
            Command::ConsumerDeleted { consumer } => {
                self.remove_consumer(consumer).ok_or(Malformed)?;
            }
            Command::ConsumerReset { consumer, sequence } => {
                let consumer = self.consumers.get_mut(&consumer).ok_or(Malformed)?;
                consumer.reset(sequence)?;
            }
            Command::Purged {
                sequence,
                keep,
                filter,
            } => applied.removed = purge::purge(self, entry, sequence, keep, filter, removals),
            Command::MessageRemoved { sequence } => {
                applied.removed = u64::from(self.remove(entry, sequence, removals));
            }
            Command::MessageErased { sequence } => {
                let removed = self.store.erase(entry, sequence);
                if removed.is_none() {
                    // A crash came when it was overwritten and no checkpoint said so yet: its file knows already that it is gone,
                    // the consumers do not.
                    self.tell_consumers(sequence);
                }
                applied.removed = u64::from(self.note_removed(sequence, removed, removals));
            }
            Command::ConfigUpdated { config } => {
                self.config = serde_json::from_slice(config).map_err(|_| Malformed)?;
                self.set_segment_age();
                let is_compressed = self.config.compression == Compression::S2;
                self.store.set_compression(is_compressed);
                limits::enforce_all(self, entry, removals);
            }
            Command::Expired { through } => {
                self.note_left_waiting(StreamSequence::ZERO, through);
                applied.removed = self.remove_through(entry, through, removals);
            }
            Command::MessagesExpired { removed } => {
                let last = self.store.last_sequence().0;
                for run in Runs::decode(removed)?.iter() {
                    for sequence in (*run.start()..=last.min(*run.end())).map(StreamSequence) {
                        applied.removed += u64::from(self.remove(entry, sequence, removals));
                    }
                }
            }
            Command::PurgeBegun { through, filter } => {
                if self.purging.is_some() {
                    return Err(Malformed);
                }
                let set = purge::select(self, filter);
                purge::begin(self, filter, set, through);
            }
            Command::PurgeStepped { through } => {
                let all = RemoveBudget::UNLIMITED;
                purge::step(self, entry, all, through, removals).ok_or(Malformed)?;
            }
            Command::Skipped { time, message_id } => {
                applied.stored = Some(self.skip_message(entry, time, message_id));
            }
            Command::ConsumerSettled {
                time,
                consumer,
                removed,
                changes,
            } => {
                let runs = Runs::decode(removed)?;
                self.change_consumer(time, consumer, changes)?;
                applied.removed = self.remove_runs(entry, &runs, removals);
            }
            Command::Unwanted { removed } => {
                let runs = Runs::decode(removed)?;
                applied.removed = self.remove_runs(entry, &runs, removals);
            }
            Command::Lost { through } => {
                if through > SEQUENCE_MAX {
                    return Err(Malformed);
                }
                self.store.lose_through(entry, through);
            }
            Command::Batch {
                time,
                first,
                members,
            } => {
                if first != self.store.last_sequence().next() {
                    return Err(Malformed);
                }
                // All is read before anything changes.
                for member in batch::decode(members)? {
                    applied.stored = Some(self.store_member(entry, time, &member, removals));
                }
            }
        }
        Ok(applied)
    }

    /// Begins a consumer where its configuration says.
    pub(crate) fn create_consumer(
        &mut self,
        id: ConsumerId,
        name: &str,
        created: Timestamp,
        config: ConsumerConfig,
    ) {
        let consumer = Consumer::create(id, name.to_owned(), created, config, &self.store);
        self.add_consumer(consumer);
    }

    /// Removes one message. Returns whether there was one.
    pub(crate) fn remove(
        &mut self,
        entry: EntryIndex,
        sequence: StreamSequence,
        removals: &mut Vec<Removal>,
    ) -> bool {
        let removed = self.store.remove(entry, sequence);
        self.note_removed(sequence, removed, removals)
    }

    fn note_removed(
        &mut self,
        sequence: StreamSequence,
        removed: Option<Removed>,
        removals: &mut Vec<Removal>,
    ) -> bool {
        let Some(removed) = removed else {
            return false;
        };
        self.tell_consumers(sequence);
        removals.push(Removal::One(sequence, Some(removed.subject)));
        true
    }

    fn tell_consumers(&mut self, sequence: StreamSequence) {
        self.note_left_waiting(sequence, sequence);
        for consumer in self.consumers.values_mut() {
            consumer.state.on_removed(sequence);
        }
    }

    /// Removes all messages up to `through`. Returns how many there were.
    pub(crate) fn remove_through(
        &mut self,
        entry: EntryIndex,
        through: StreamSequence,
        removals: &mut Vec<Removal>,
    ) -> u64 {
        let removed = self.store.remove_through(entry, through);
        for consumer in self.consumers.values_mut() {
            consumer.state.on_removed_through(through);
        }
        removals.push(Removal::Through(through));
        removed
    }

    /// Removes the first message.
    pub(crate) fn remove_first(&mut self, entry: EntryIndex, removals: &mut Vec<Removal>) {
        let first = self.store.first_sequence();
        let subject = self.store.subject_id(first);
        self.note_left_waiting(first, first);
        self.store.remove_through(entry, first);
        for consumer in self.consumers.values_mut() {
            consumer.state.on_removed_through(first);
        }
        removals.push(Removal::One(first, subject));
    }

    fn store_message(
        &mut self,
        entry: EntryIndex,
        message: &NewMessage<'_>,
        removals: &mut Vec<Removal>,
    ) -> StreamSequence {
        let sequence = self.store.append(entry, message);
        self.last_time = message.time;
        self.last_message_id.clear();
        if !message.headers.is_empty()
            && let Some(id) = Headers(message.headers).get(MESSAGE_ID)
            && !id.is_empty()
        {
            self.last_message_id.extend_from_slice(id);
            self.dedupe.expire(message.time, self.duplicate_window());
            self.dedupe.insert(id, message.time, sequence);
        }
        if self.config.allow_msg_ttl && !message.headers.is_empty() {
            let Self {
                expiries, store, ..
            } = self;
            expiries.note(store, sequence, message.time, message.headers);
        }
        // What it takes the place of makes room for it: nothing else goes for that.
        rollup::apply(self, entry, sequence, message.headers, removals);
        limits::enforce(self, entry, sequence, removals);
        sequence
    }

    /// Stores a message of a batch. What rolls up and is not stored removes all the same what it would take the place of.
    fn store_member(
        &mut self,
        entry: EntryIndex,
        time: Timestamp,
        member: &batch::Member<'_>,
        removals: &mut Vec<Removal>,
    ) -> StreamSequence {
        if member.fate == MessageFate::Stored {
            let message = NewMessage {
                time: time.max(self.last_time),
                subject: member.subject,
                headers: member.headers,
                payload: member.payload,
            };
            return self.store_message(entry, &message, removals);
        }
        let id = Headers(member.headers).get(MESSAGE_ID);
        let skipped = self.skip_message(entry, time, id.unwrap_or_default());
        let publish = Publish {
            subject: member.subject,
            reply: b"",
            headers: member.headers,
            payload: member.payload,
        };
        if let Some(Command::Purged {
            sequence,
            keep,
            filter,
        }) = rollup::of_skipped(&self.config, &publish)
        {
            purge::purge(self, entry, sequence, keep, filter, removals);
        }
        skipped
    }

    /// Gives the next sequence to no message: a placeholder takes it and is erased at once, in memory still, so that its time survives
    /// and nothing reads as a message even when damage takes the record of its removal. A skip record would begin a segment.
    fn skip_message(
        &mut self,
        entry: EntryIndex,
        time: Timestamp,
        message_id: &[u8],
    ) -> StreamSequence {
        let placeholder = NewMessage {
            time: time.max(self.last_time),
            subject: PLACEHOLDER,
            headers: b"",
            payload: b"",
        };
        let sequence = self.store.append(entry, &placeholder);
        self.store.erase(entry, sequence);
        self.last_time = placeholder.time;
        self.last_message_id.clear();
        self.last_message_id.extend_from_slice(message_id);
        if !message_id.is_empty() {
            self.dedupe.expire(self.last_time, self.duplicate_window());
            self.dedupe.insert(message_id, self.last_time, sequence);
        }
        sequence
    }

    fn change_consumer(
        &mut self,
        time: Timestamp,
        id: ConsumerId,
        changes: &[u8],
    ) -> Result<(), Malformed> {
        let consumer = self.consumers.get_mut(&id).ok_or(Malformed)?;
        for change in ChangeLog::read(changes) {
            consumer.state.apply(time, &consumer.config, change?);
        }
        Ok(())
    }
}

fn read_config(json: &[u8]) -> Result<ConsumerConfig, Malformed> {
    serde_json::from_slice(json).map_err(|_| Malformed)
}
