//! What clients know: what they sent, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use everjet_stream::Stream;
use everjet_values::StreamSequence;

use crate::model::SUBJECTS;

/// What is known about all streams, by name.
pub type Ledgers = BTreeMap<String, Ledger>;

/// What clients know about one stream, and what the world around it knows.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Whether its creation was acknowledged.
    pub created: bool,
    /// Whether its deletion was asked for and not answered.
    pub deleting: bool,
    /// Payload of every message that was ever sent and given a sequence, acknowledged or not.
    pub sent: BTreeMap<u64, Vec<u8>>,
    /// Number of the subject of each of them.
    pub subjects: BTreeMap<u64, usize>,
    /// Entry of each of them.
    pub entries: BTreeMap<u64, u64>,
    /// First and last sequence of batches.
    pub batches: BTreeMap<u64, u64>,
    /// Bytes that must not be on the disk any more, for a message whose erasure was answered.
    pub erased: Vec<Erased>,
    /// Whether files of it may be in blocks, where nothing is overwritten.
    pub in_blocks: bool,
    /// Whether it is in memory only: a restart ends it.
    pub volatile: bool,
    /// Sequences whose PubAck arrived.
    pub acknowledged: BTreeSet<u64>,
    /// Sequences that a request or a limit may have removed: asked for, answered or not.
    pub maybe_removed: BTreeSet<u64>,
    /// Sequences whose removal was answered.
    pub removed: BTreeSet<u64>,
    /// Grows when the consumer is to be deleted: what was known about it before is void.
    pub consumer_generation: u64,
    /// Whether the consumer's creation was answered.
    pub consumer: bool,
    /// Stream sequences whose acknowledgement was answered.
    pub consumed: BTreeSet<u64>,
    /// Whether an answered acknowledgement says that the message is removed.
    pub acks_remove: bool,
    /// The highest stream sequence that was ever delivered.
    pub delivered: u64,
    /// Digests of the state, by entry.
    pub digests: BTreeMap<u64, u64>,
    /// Entries up to here were durable when something was answered.
    pub durable_entry: u64,
    /// What was created and durable when something was written last.
    pub claimed: (bool, u64),
    /// Entries up to here are known durable by something that was written after them, or by the manifest.
    pub proven_entry: u64,
    /// Whether something was written after the creation became durable, or the manifest names the stream.
    pub created_proven: bool,
}

/// What must be nowhere on the disk.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The message.
    pub sequence: u64,
    /// What tells its payload from all others.
    pub payload: Vec<u8>,
    /// A piece of its record in the journal, sealed or not, if there was one.
    pub journal: Option<Vec<u8>>,
}

impl Ledger {
    /// What can be known by a look at a stream: it holds what it holds, and has to keep that.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let mut ledger = Self {
            created: true,
            created_proven: true,
            durable_entry: stream.entry().0,
            proven_entry: stream.entry().0,
            ..Self::default()
        };
        let store = stream.store();
        for sequence in store.first_sequence().0..=store.last_sequence().0 {
            if let Ok(message) = store.get(StreamSequence(sequence)) {
                ledger.sent.insert(sequence, message.payload().to_vec());
                let is_subject = |subject: &&str| subject.as_bytes() == message.subject();
                if let Some(subject) = SUBJECTS.iter().position(is_subject) {
                    ledger.subjects.insert(sequence, subject);
                }
                ledger.acknowledged.insert(sequence);
            } else if !store.contains(StreamSequence(sequence)) {
                ledger.removed.insert(sequence);
            }
        }
        ledger
    }

    /// Compares what clients know with what a recovered stream says.
    ///
    /// # Errors
    /// What does not agree.
    pub fn check(&self, stream: &Stream) -> Result<(), String> {
        let store = stream.store();
        let last = store.last_sequence();
        let highest = self.acknowledged.last().copied().unwrap_or(0);
        if last.0 < highest {
            return Err(format!(
                "sequence {highest} was acknowledged, the stream ends at {last}"
            ));
        }
        if last.0 < self.delivered {
            return Err(format!(
                "message {} was delivered, the stream ends at {last}",
                self.delivered
            ));
        }
        self.check_batches(last.0)?;
        self.check_messages(stream)?;
        self.check_kept(stream)?;
        self.check_state(stream)
    }

    /// What was sent and acknowledged is there as it was sent, what was removed is not.
    ///
    /// # Errors
    /// A message that is lost, back, or another one.
    pub fn check_kept(&self, stream: &Stream) -> Result<(), String> {
        for (sequence, payload) in &self.sent {
            let found = stream.store().get(StreamSequence(*sequence)).ok();
            let is_lost = found.is_none()
                && self.acknowledged.contains(sequence)
                && !self.maybe_removed.contains(sequence);
            if is_lost {
                return Err(format!("acknowledged message {sequence} is lost"));
            }
            if found.is_some() && self.removed.contains(sequence) {
                return Err(format!(
                    "message {sequence} is back after its removal was acknowledged"
                ));
            }
            if found.is_some_and(|message| message.payload() != payload) {
                return Err(format!("message {sequence} is another one than was sent"));
            }
        }
        Ok(())
    }

    /// Whatever became of the disk: no message has another payload than was sent, and there is none that was not.
    ///
    /// # Errors
    /// A wrong message.
    pub fn check_messages(&self, stream: &Stream) -> Result<(), String> {
        let store = stream.store();
        for sequence in store.first_sequence().0..=store.last_sequence().0 {
            let Ok(message) = store.get(StreamSequence(sequence)) else {
                continue;
            };
            match self.sent.get(&sequence) {
                None => return Err(format!("message {sequence} was never sent")),
                Some(payload) if payload != message.payload() => {
                    return Err(format!(
                        "message {sequence} has another payload than was sent"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The state is exactly one that the stream was in, not before the last one that was promised.
    fn check_state(&self, stream: &Stream) -> Result<(), String> {
        let entry = stream.entry().0;
        if entry < self.durable_entry {
            return Err(format!(
                "entry {} was durable, the stream is back at entry {entry}",
                self.durable_entry
            ));
        }
        match self.digests.get(&entry) {
            Some(digest) if *digest != stream.digest() => Err(format!(
                "the state at entry {entry} is another one than it was"
            )),
            _ => Ok(()),
        }
    }

    /// The stream came back at its present entry: what was sent and did not survive never happened, its sequences may be given again.
    pub fn rewind(&mut self, stream: &Stream) {
        let last = stream.store().last_sequence().0;
        self.sent.retain(|sequence, _| *sequence <= last);
        self.subjects.retain(|sequence, _| *sequence <= last);
        self.batches.retain(|first, _| *first <= last);
        self.entries.retain(|sequence, _| *sequence <= last);
        self.maybe_removed.retain(|sequence| *sequence <= last);
        self.digests.retain(|entry, _| *entry <= stream.entry().0);
        self.created = true;
        self.deleting = false;
        self.durable_entry = stream.entry().0;
        self.claimed = (self.created_proven, self.proven_entry);
    }
}
