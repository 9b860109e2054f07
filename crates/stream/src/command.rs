//! Committed commands and their form in the journal.
//!
//! A record's kind says which command its body holds. Times are part of the body, so that replaying needs no clock.
//! Numbers, bytes and times are those of [`everjet_consumer::codec`]; fields follow each other without padding.
//!
//! | kind | command | body |
//! | --- | --- | --- |
//! | 1 | publish | time, sequence number, subject bytes, header bytes, payload to the end |
//! | 2 | consumer changed | time, consumer number, changes to the end |
//! | 3 | consumer created | time, name bytes, configuration (JSON) to the end |
//! | 4 | consumer updated | consumer number, configuration (JSON) to the end |
//! | 5 | consumer deleted | consumer number |
//! | 6 | purged | sequence number, keep number, filter to the end |
//! | 7 | message removed | sequence number |
//! | 8 | configuration updated | configuration (JSON) to the end |
//! | 9 | expired | sequence number of the last one that goes |
//! | 10 | message erased | sequence number |
//! | 11 | purge begun | sequence number of the last one that may go, filter to the end |
//! | 12 | purge stepped | sequence number up to which it came |
//! | 13 | skipped | time, message id to the end |
//! | 14 | consumer settled | time, consumer number, bytes with the runs of what goes, changes to the end |
//! | 15 | unwanted | runs of what goes to the end |
//! | 16 | lost | sequence number of the last one that may have been given |
//! | 20 | messages expired | runs of what goes to the end |
//! | 40 | consumer reset | consumer number, sequence number of the first that it may deliver |
//! | 30 | batch | time, sequence number of its first message, members to the end |
//!
//! Runs are those of [`crate::runs`], members those of [`crate::batch`].
//!
//! All but 1, 2, 13, 14 and 30 are written twice: what they did is not undone by damage to one record.

use everjet_consumer::ConsumerId;
use everjet_consumer::codec::{Malformed, Reader, put_bytes, put_number, put_time};
use everjet_store::{JournalBatch, StreamId};
use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::batch;

/// A change of a stream that was decided. Applying it to the same state gives the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// A message is stored. It has passed all checks.
    Publish {
        time: Timestamp,
        /// The one after the last: a record says by itself which message it is, also when those before it are damaged.
        sequence: StreamSequence,
        subject: &'a [u8],
        headers: &'a [u8],
        payload: &'a [u8],
    },
    /// A consumer delivered and was acknowledged.
    ConsumerChanged {
        time: Timestamp,
        consumer: ConsumerId,
        /// In the form of [`everjet_consumer::ChangeLog`].
        changes: &'a [u8],
    },
    /// A consumer begins; the entry's index becomes its number.
    ConsumerCreated {
        time: Timestamp,
        name: &'a str,
        config: &'a [u8],
    },
    /// A consumer's configuration changed.
    ConsumerUpdated {
        consumer: ConsumerId,
        config: &'a [u8],
    },
    /// A consumer ends.
    ConsumerDeleted { consumer: ConsumerId },
    /// A consumer begins anew at a message.
    ConsumerReset {
        consumer: ConsumerId,
        sequence: StreamSequence,
    },
    /// Messages are removed on request; the fields are those of the request.
    Purged {
        sequence: StreamSequence,
        keep: u64,
        filter: &'a [u8],
    },
    /// One message is removed on request.
    MessageRemoved { sequence: StreamSequence },
    /// One message is removed on request, and its bytes are overwritten.
    MessageErased { sequence: StreamSequence },
    /// The stream's configuration changed.
    ConfigUpdated { config: &'a [u8] },
    /// Messages up to here are too old.
    Expired { through: StreamSequence },
    /// Messages up to a sequence whose subject matches are to be removed in steps. Another purge is not going on.
    PurgeBegun {
        through: StreamSequence,
        filter: &'a [u8],
    },
    /// Of the purge that was begun all messages up to here are removed. It is over when that is all it is about.
    PurgeStepped { through: StreamSequence },
    /// A message was published that no consumer wants: it takes a sequence and is not stored.
    Skipped {
        time: Timestamp,
        message_id: &'a [u8],
    },
    /// A consumer delivered and was acknowledged, and messages go because of it.
    ConsumerSettled {
        time: Timestamp,
        consumer: ConsumerId,
        /// In the form of [`crate::runs`].
        removed: &'a [u8],
        changes: &'a [u8],
    },
    /// Messages go that no consumer wants any more.
    Unwanted {
        /// In the form of [`crate::runs`].
        removed: &'a [u8],
    },
    /// Messages may have been lost with a part of the journal: their sequences, up to here, are not given again.
    Lost { through: StreamSequence },
    /// Messages are too old, one by one.
    MessagesExpired {
        /// In the form of [`crate::runs`].
        removed: &'a [u8],
    },
    /// Messages are stored together. All have passed all checks.
    Batch {
        time: Timestamp,
        /// As that of a publish.
        first: StreamSequence,
        /// In the form of [`crate::batch`].
        members: &'a [u8],
    },
}

const PUBLISH: u8 = 1;
const CONSUMER_CHANGED: u8 = 2;
const CONSUMER_CREATED: u8 = 3;
const CONSUMER_UPDATED: u8 = 4;
const CONSUMER_DELETED: u8 = 5;
const PURGED: u8 = 6;
const MESSAGE_REMOVED: u8 = 7;
const CONFIG_UPDATED: u8 = 8;
const EXPIRED: u8 = 9;
const MESSAGE_ERASED: u8 = 10;
const PURGE_BEGUN: u8 = 11;
const PURGE_STEPPED: u8 = 12;
const SKIPPED: u8 = 13;
const CONSUMER_SETTLED: u8 = 14;
const UNWANTED: u8 = 15;
const LOST: u8 = 16;
const MESSAGES_EXPIRED: u8 = 20;
const CONSUMER_RESET: u8 = 40;
const BATCH: u8 = 30;

/// How many sequences a record of this kind in a stream's journal takes at most.
#[must_use]
pub fn sequences_at_most(kind: u8) -> u64 {
    match kind {
        PUBLISH | SKIPPED => 1,
        BATCH => batch::MESSAGES_MAX,
        _ => 0,
    }
}

/// What a record of this kind in a stream's journal says, in words.
#[must_use]
pub fn describe_record(kind: u8) -> &'static str {
    match kind {
        PUBLISH | SKIPPED => "a message",
        BATCH => "a batch of messages",
        CONSUMER_CHANGED | CONSUMER_SETTLED => "deliveries and acknowledgements of a consumer",
        CONSUMER_CREATED => "the creation of a consumer",
        CONSUMER_UPDATED => "a consumer's new configuration",
        CONSUMER_DELETED => "the deletion of a consumer",
        PURGED | PURGE_BEGUN | PURGE_STEPPED => "a purge",
        MESSAGE_REMOVED | MESSAGE_ERASED => "the removal of a message",
        CONFIG_UPDATED => "a new configuration",
        EXPIRED | MESSAGES_EXPIRED => "the removal of old messages",
        UNWANTED => "the removal of messages that no consumer wants",
        LOST => "a note about lost messages",
        CONSUMER_RESET => "a consumer that began anew",
        _ => "a change",
    }
}

impl<'a> Command<'a> {
    /// The kind of its record.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Publish { .. } => PUBLISH,
            Self::ConsumerChanged { .. } => CONSUMER_CHANGED,
            Self::ConsumerCreated { .. } => CONSUMER_CREATED,
            Self::ConsumerUpdated { .. } => CONSUMER_UPDATED,
            Self::ConsumerDeleted { .. } => CONSUMER_DELETED,
            Self::Purged { .. } => PURGED,
            Self::MessageRemoved { .. } => MESSAGE_REMOVED,
            Self::MessageErased { .. } => MESSAGE_ERASED,
            Self::ConfigUpdated { .. } => CONFIG_UPDATED,
            Self::Expired { .. } => EXPIRED,
            Self::PurgeBegun { .. } => PURGE_BEGUN,
            Self::PurgeStepped { .. } => PURGE_STEPPED,
            Self::Skipped { .. } => SKIPPED,
            Self::ConsumerSettled { .. } => CONSUMER_SETTLED,
            Self::Unwanted { .. } => UNWANTED,
            Self::Lost { .. } => LOST,
            Self::MessagesExpired { .. } => MESSAGES_EXPIRED,
            Self::ConsumerReset { .. } => CONSUMER_RESET,
            Self::Batch { .. } => BATCH,
        }
    }

    /// Appends its record to `batch`: twice, but for what makes up nearly all of a journal and loses no more than a message, or
    /// what a consumer redelivers.
    pub(crate) fn record(&self, batch: &mut JournalBatch, stream: StreamId, entry: EntryIndex) {
        let fill = |body: &mut Vec<u8>| self.encode(body);
        match self {
            Self::Publish { .. }
            | Self::Skipped { .. }
            | Self::Batch { .. }
            | Self::ConsumerChanged { .. }
            | Self::ConsumerSettled { .. } => {
                batch.push(stream, entry, self.kind(), fill);
            }
            _ => batch.push_twice(stream, entry, self.kind(), fill),
        }
    }

    /// Appends the body of its record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Publish {
                time,
                sequence,
                subject,
                headers,
                payload,
            } => {
                out.reserve(34 + subject.len() + headers.len() + payload.len());
                put_time(out, time);
                put_number(out, sequence.0);
                put_bytes(out, subject);
                put_bytes(out, headers);
                out.extend_from_slice(payload);
            }
            Self::ConsumerChanged {
                time,
                consumer,
                changes,
            } => {
                put_time(out, time);
                put_number(out, consumer.0);
                out.extend_from_slice(changes);
            }
            Self::ConsumerCreated { time, name, config } => {
                put_time(out, time);
                put_bytes(out, name.as_bytes());
                out.extend_from_slice(config);
            }
            Self::ConsumerUpdated { consumer, config } => {
                put_number(out, consumer.0);
                out.extend_from_slice(config);
            }
            Self::ConsumerDeleted { consumer } => put_number(out, consumer.0),
            Self::ConsumerReset { consumer, sequence } => {
                put_number(out, consumer.0);
                put_number(out, sequence.0);
            }
            Self::Purged {
                sequence,
                keep,
                filter,
            } => {
                put_number(out, sequence.0);
                put_number(out, keep);
                out.extend_from_slice(filter);
            }
            Self::MessageRemoved { sequence } | Self::MessageErased { sequence } => {
                put_number(out, sequence.0)
            }
            Self::ConfigUpdated { config } => out.extend_from_slice(config),
            Self::Expired { through } | Self::PurgeStepped { through } | Self::Lost { through } => {
                put_number(out, through.0);
            }
            Self::PurgeBegun { through, filter } => {
                put_number(out, through.0);
                out.extend_from_slice(filter);
            }
            Self::Skipped { time, message_id } => {
                put_time(out, time);
                out.extend_from_slice(message_id);
            }
            Self::ConsumerSettled {
                time,
                consumer,
                removed,
                changes,
            } => {
                put_time(out, time);
                put_number(out, consumer.0);
                put_bytes(out, removed);
                out.extend_from_slice(changes);
            }
            Self::Unwanted { removed } | Self::MessagesExpired { removed } => {
                out.extend_from_slice(removed)
            }
            Self::Batch {
                time,
                first,
                members,
            } => {
                out.reserve(18 + members.len());
                put_time(out, time);
                put_number(out, first.0);
                out.extend_from_slice(members);
            }
        }
    }

    /// Reads a record that [`encode`](Self::encode) wrote.
    pub(crate) fn decode(kind: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let command = match kind {
            PUBLISH => Self::Publish {
                time: reader.time()?,
                sequence: StreamSequence(reader.number()?),
                subject: reader.bytes()?,
                headers: reader.bytes()?,
                payload: reader.rest(),
            },
            CONSUMER_CHANGED => Self::ConsumerChanged {
                time: reader.time()?,
                consumer: ConsumerId(reader.number()?),
                changes: reader.rest(),
            },
            CONSUMER_CREATED => Self::ConsumerCreated {
                time: reader.time()?,
                name: reader.text()?,
                config: reader.rest(),
            },
            CONSUMER_UPDATED => Self::ConsumerUpdated {
                consumer: ConsumerId(reader.number()?),
                config: reader.rest(),
            },
            CONSUMER_DELETED => Self::ConsumerDeleted {
                consumer: ConsumerId(reader.number()?),
            },
            CONSUMER_RESET => Self::ConsumerReset {
                consumer: ConsumerId(reader.number()?),
                sequence: StreamSequence(reader.number()?),
            },
            PURGED => Self::Purged {
                sequence: StreamSequence(reader.number()?),
                keep: reader.number()?,
                filter: reader.rest(),
            },
            MESSAGE_REMOVED => Self::MessageRemoved {
                sequence: StreamSequence(reader.number()?),
            },
            MESSAGE_ERASED => Self::MessageErased {
                sequence: StreamSequence(reader.number()?),
            },
            CONFIG_UPDATED => Self::ConfigUpdated {
                config: reader.rest(),
            },
            EXPIRED => Self::Expired {
                through: StreamSequence(reader.number()?),
            },
            PURGE_BEGUN => Self::PurgeBegun {
                through: StreamSequence(reader.number()?),
                filter: reader.rest(),
            },
            PURGE_STEPPED => Self::PurgeStepped {
                through: StreamSequence(reader.number()?),
            },
            SKIPPED => Self::Skipped {
                time: reader.time()?,
                message_id: reader.rest(),
            },
            CONSUMER_SETTLED => Self::ConsumerSettled {
                time: reader.time()?,
                consumer: ConsumerId(reader.number()?),
                removed: reader.bytes()?,
                changes: reader.rest(),
            },
            UNWANTED => Self::Unwanted {
                removed: reader.rest(),
            },
            LOST => Self::Lost {
                through: StreamSequence(reader.number()?),
            },
            MESSAGES_EXPIRED => Self::MessagesExpired {
                removed: reader.rest(),
            },
            BATCH => Self::Batch {
                time: reader.time()?,
                first: StreamSequence(reader.number()?),
                members: reader.rest(),
            },
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use everjet_values::{Entropy, SeededEntropy};

    use super::*;

    fn commands() -> Vec<Command<'static>> {
        let time = Timestamp::from_nanos(1_795_195_616_500_000_000);
        let consumer = ConsumerId(300);
        let sequence = StreamSequence(1 << 40);
        vec![
            Command::Publish {
                time,
                sequence,
                subject: b"orders.new",
                headers: b"NATS/1.0\r\nA: b\r\n\r\n",
                payload: b"hello",
            },
            Command::Publish {
                time,
                sequence,
                subject: b"a",
                headers: b"",
                payload: b"",
            },
            Command::ConsumerChanged {
                time,
                consumer,
                changes: b"\x08\x08",
            },
            Command::ConsumerCreated {
                time,
                name: "worker",
                config: b"{}",
            },
            Command::ConsumerUpdated {
                consumer,
                config: b"{}",
            },
            Command::ConsumerDeleted { consumer },
            Command::Purged {
                sequence,
                keep: 3,
                filter: b"orders.>",
            },
            Command::MessageRemoved { sequence },
            Command::MessageErased { sequence },
            Command::ConfigUpdated { config: b"{}" },
            Command::Expired { through: sequence },
            Command::PurgeBegun {
                through: sequence,
                filter: b"orders.*",
            },
            Command::PurgeStepped { through: sequence },
            Command::Skipped {
                time,
                message_id: b"",
            },
            Command::Skipped {
                time,
                message_id: b"id",
            },
            Command::ConsumerSettled {
                time,
                consumer,
                removed: b"\x08\x00",
                changes: b"\x08\x08",
            },
            Command::Unwanted {
                removed: b"\x08\x00",
            },
            Command::Lost { through: sequence },
            Command::MessagesExpired {
                removed: b"\x08\x00",
            },
            Command::Batch {
                time,
                first: sequence,
                members: b"\0\x01a\0\0",
            },
        ]
    }

    #[test]
    fn commands_come_back_as_they_were_written() {
        for command in commands() {
            let mut body = Vec::new();
            command.encode(&mut body);
            assert_eq!(Command::decode(command.kind(), &body), Ok(command));
        }
    }

    #[test]
    fn garbage_never_panics_and_unknown_kinds_are_refused() {
        let entropy = SeededEntropy::new(3);
        for command in commands() {
            let mut body = Vec::new();
            command.encode(&mut body);
            for _ in 0..2_000 {
                let mut damaged = body.clone();
                damaged.truncate(usize::try_from(entropy.next_u64() % 40).expect("small"));
                for byte in &mut damaged {
                    if entropy.next_u64().is_multiple_of(4) {
                        *byte = entropy.next_u64().to_le_bytes()[0];
                    }
                }
                let _ = Command::decode(command.kind(), &damaged);
            }
        }
        assert_eq!(Command::decode(0, b""), Err(Malformed));
        assert_eq!(Command::decode(16, b""), Err(Malformed));
        assert_eq!(Command::decode(EXPIRED, b"\x01\x02"), Err(Malformed));
    }
}
