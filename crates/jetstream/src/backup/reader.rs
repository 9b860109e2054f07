//! An archive as it comes in, piece by piece.

use std::sync::Arc;

use everjet_api::{ArchivedConsumer, StreamConfig, StreamInfo, StreamState};
use everjet_foreign::{ARCHIVE_MAGIC, ArchiveEntry, Unframer, read_archive_entry};
use everjet_routing::Turn;
use everjet_store::NewMessage;
use everjet_subject::is_valid_literal;
use everjet_values::{StreamSequence, Timestamp};

use super::restoring::Restoring;
use crate::host::Host;
use crate::intake::ImportedMessage;

/// Bytes that descriptions of consumers may take: they are in memory until the messages are there.
const CONSUMER_BYTES_MAX: usize = 64 << 20;

/// Reads a backup into a stream.
pub(super) struct Reader {
    host: Arc<Host>,
    config: Option<StreamConfig>,
    unframer: Unframer,
    /// What was unpacked and not read.
    unpacked: Vec<u8>,
    phase: Phase,
    state: StreamState,
    stream: Option<Restoring>,
    consumer_bytes: usize,
    last_time: Timestamp,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Magic,
    State,
    Consumers(u64),
    Messages,
    /// Nothing.
    End,
}

impl Reader {
    pub(super) fn new(host: Arc<Host>, config: StreamConfig) -> Self {
        Self {
            host,
            config: Some(config),
            unframer: Unframer::default(),
            unpacked: Vec::new(),
            phase: Phase::Magic,
            state: StreamState::default(),
            stream: None,
            consumer_bytes: 0,
            last_time: Timestamp::UNSET,
        }
    }

    /// Takes the next piece; the error says what is wrong with it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.unframer.push(bytes);
        // One chunk at a time, for what it becomes may be much longer.
        while self.unframer.unpack(&mut self.unpacked)? {
            let unpacked = std::mem::take(&mut self.unpacked);
            let read = self.read(&unpacked)?;
            self.unpacked = unpacked;
            self.unpacked.drain(..read);
        }
        Ok(())
    }

    /// The backup is complete: the stream exists when this returns.
    pub(super) fn finish(mut self, turn: &mut Turn) -> Result<StreamInfo, String> {
        let is_whole = self.unframer.is_at_end() && self.unpacked.is_empty();
        let ended = self.phase == Phase::End && is_whole;
        match self.stream.take() {
            Some(stream) if ended => {
                let last_time = self.last_time.max(self.state.last_ts);
                stream.finish((self.state.last_seq, last_time), turn)
            }
            Some(mut stream) => {
                stream.abandon();
                Err("backup was truncated".to_owned())
            }
            None => Err("unexpected end of the backup".to_owned()),
        }
    }

    /// Removes everything that was taken in.
    pub(super) fn abandon(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.abandon();
        }
    }

    /// Reads the whole entries in `bytes`, and returns how long they are.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if self.phase == Phase::Magic {
                let Some(magic) = rest.get(..ARCHIVE_MAGIC.len()) else {
                    return Ok(at);
                };
                if magic != ARCHIVE_MAGIC {
                    return Err(
                        "this is no backup of nats-server 2.15 or later; older ones (tar) are not \
                         supported"
                            .to_owned(),
                    );
                }
                self.phase = Phase::State;
                at += magic.len();
                continue;
            }
            if self.phase == Phase::End {
                return if rest.is_empty() {
                    Ok(at)
                } else {
                    Err("the backup goes on behind its end".to_owned())
                };
            }
            let Some((entry, length)) = read_archive_entry(rest)? else {
                return Ok(at);
            };
            self.take_entry(&entry)?;
            at += length;
        }
    }

    fn take_entry(&mut self, entry: &ArchiveEntry<'_>) -> Result<(), String> {
        self.phase = match self.phase {
            Phase::State => self.take_state(entry)?,
            Phase::Consumers(left) => self.take_consumer(entry, left)?,
            Phase::Messages => self.take_message(entry)?,
            Phase::Magic | Phase::End => unreachable!("no entry is read then"),
        };
        Ok(())
    }

    fn take_state(&mut self, entry: &ArchiveEntry<'_>) -> Result<Phase, String> {
        if entry.name != b"state.json" {
            return Err("expected state.json first".to_owned());
        }
        let state: StreamState = serde_json::from_slice(entry.payload)
            .map_err(|error| format!("error in state.json: {error}"))?;
        let (first, last) = (state.first_seq.0, state.last_seq.0);
        let is_new = first == 0 && last == 0;
        let fits = if state.messages == 0 {
            is_new || last.checked_add(1) == Some(first)
        } else {
            first > 0 && first <= last && state.messages <= last - first + 1
        };
        if !fits || last >= u64::MAX / 2 {
            return Err("error in state.json: its numbers contradict each other".to_owned());
        }
        let config = self.config.take().expect("the state comes once");
        self.stream = Some(Restoring::begin(&self.host, config, state.bytes)?);
        let consumers = state.consumer_count;
        self.state = state;
        Ok(after_consumers(consumers))
    }

    fn take_consumer(&mut self, entry: &ArchiveEntry<'_>, left: u64) -> Result<Phase, String> {
        let name = std::str::from_utf8(entry.name).ok();
        let Some(name) = name.and_then(|name| name.strip_prefix("consumers/")) else {
            let name = String::from_utf8_lossy(entry.name);
            return Err(format!("expected consumer, found {name:?}"));
        };
        self.consumer_bytes += entry.payload.len();
        if self.consumer_bytes > CONSUMER_BYTES_MAX {
            return Err("the consumers take too much memory".to_owned());
        }
        everjet_api::check_consumer_name(name)
            .map_err(|error| format!("failed to add consumer {name:?}: {}", error.description))?;
        let consumer: ArchivedConsumer = serde_json::from_slice(entry.payload)
            .map_err(|error| format!("failed to decode consumer {name:?} state: {error}"))?;
        if let Some(stream) = &mut self.stream {
            stream.push_consumer(name, consumer);
        }
        Ok(after_consumers(left - 1))
    }

    fn take_message(&mut self, entry: &ArchiveEntry<'_>) -> Result<Phase, String> {
        if entry.sequence == 0 {
            return if *entry == ArchiveEntry::END {
                Ok(Phase::End)
            } else {
                Err("expected message sequence".to_owned())
            };
        }
        let (sequence, Some(stream)) = (entry.sequence, &mut self.stream) else {
            unreachable!("the state came before");
        };
        let is_in_order = sequence > stream.last_sequence().0 && sequence >= self.state.first_seq.0;
        if !is_in_order {
            return Err(format!("message sequence {sequence} out of order"));
        }
        if sequence > self.state.last_seq.0 {
            return Err(format!(
                "message sequence {sequence} is beyond the last one"
            ));
        }
        let size = (entry.headers.len() + entry.payload.len()) as u64;
        if stream.message_max().is_some_and(|most| size > most) {
            return Err(format!(
                "message sequence {sequence} exceeds maximum message size"
            ));
        }
        if !is_valid_literal(entry.name) {
            return Err(format!("message sequence {sequence} has no valid subject"));
        }
        self.last_time = entry.time;
        stream.push(&ImportedMessage {
            sequence: StreamSequence(sequence),
            message: NewMessage {
                time: entry.time,
                subject: entry.name,
                headers: entry.headers,
                payload: entry.payload,
            },
        })?;
        Ok(Phase::Messages)
    }
}

fn after_consumers(left: u64) -> Phase {
    match left {
        0 => Phase::Messages,
        left => Phase::Consumers(left),
    }
}
