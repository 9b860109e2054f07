//! What clients were told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::Findings;

/// What a stream keeps by its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Everything that nobody removes.
    All,
    /// The latest message of each subject.
    Latest,
    /// So many of the newest.
    Newest(u64),
    /// What its consumer has not acknowledged.
    Unconsumed,
}

/// Whether a stream is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its creation was confirmed.
    Sure,
    /// A creation or deletion was asked for and not confirmed.
    Open,
    /// Its deletion was confirmed.
    Gone,
}

/// An acknowledged message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// [`super::payload::hash`] of the payload.
    pub(super) hash: u64,
    /// The last token of its subject.
    pub(super) key: u16,
}

/// What is known of one stream.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) keeps: Keeps,
    pub(super) presence: Presence,
    /// Which stream of this name it is; payloads name it.
    pub(super) incarnation: u64,
    /// Acknowledged messages that nobody asked to remove.
    pub(super) stored: BTreeMap<u64, Stored>,
    /// Removals that were asked for and not confirmed.
    pub(super) open: HashSet<u64>,
    /// Confirmed deletions and purges.
    pub(super) removed: HashSet<u64>,
    /// Acknowledgements that a consumer sent and nobody confirmed.
    pub(super) asked: HashSet<u64>,
    /// Confirmed acknowledgements of a consumer, above `floor`.
    pub(super) consumed: HashSet<u64>,
    /// Everything below is removed for sure.
    pub(super) removed_below: u64,
    /// The highest acknowledged sequence.
    pub(super) highest: u64,
    /// Up to here a check has found everything as it should be.
    pub(super) verified: u64,
    /// The consumer's floor at the last check.
    pub(super) floor: u64,
}

impl Facts {
    pub(super) fn new(keeps: Keeps, presence: Presence, incarnation: u64) -> Self {
        Self {
            keeps,
            presence,
            incarnation,
            stored: BTreeMap::new(),
            open: HashSet::new(),
            removed: HashSet::new(),
            asked: HashSet::new(),
            consumed: HashSet::new(),
            removed_below: 0,
            highest: 0,
            verified: 0,
            floor: 0,
        }
    }

    /// Whether the consumer of the stream was told that its acknowledgement of the message is kept.
    pub(super) fn is_consumed(&self, sequence: u64) -> bool {
        sequence <= self.floor || self.consumed.contains(&sequence)
    }

    /// A removal is asked for.
    pub(super) fn begin_removal(&mut self, sequences: &[u64]) {
        self.open.extend(sequences);
    }

    /// The removal is confirmed.
    pub(super) fn end_removal(&mut self, sequences: &[u64]) {
        for sequence in sequences {
            self.open.remove(sequence);
            if self.stored.remove(sequence).is_some() {
                self.removed.insert(*sequence);
            }
        }
    }

    /// Everything below `sequence` is gone for sure; what is known about it need not be kept.
    pub(super) fn end_removal_below(&mut self, sequence: u64) {
        self.removed_below = self.removed_below.max(sequence);
        self.stored = self.stored.split_off(&sequence);
        self.open.retain(|open| *open >= sequence);
        self.removed.retain(|removed| *removed >= sequence);
    }
}

/// What clients were told, of all streams. It grows over all restarts of the server.
#[derive(Debug, Default)]
pub struct Ledger {
    streams: Mutex<HashMap<String, Facts>>,
    /// What clients saw that must not be.
    seen: Mutex<Findings>,
    acknowledged: AtomicU64,
    consumed: AtomicU64,
    chores: AtomicU64,
    incarnations: AtomicU64,
}

impl Ledger {
    /// Messages acknowledged to publishers so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Acknowledgements of consumers that were confirmed so far.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::SeqCst)
    }

    /// Deletions, purges, creations and removals of streams that were confirmed so far.
    #[must_use]
    pub fn chores(&self) -> u64 {
        self.chores.load(Ordering::SeqCst)
    }

    /// What clients saw since the last call that must not be.
    #[must_use]
    pub fn take_seen(&self) -> Findings {
        std::mem::take(&mut self.seen.lock().expect("no panic while held"))
    }

    pub(super) fn streams(&self) -> MutexGuard<'_, HashMap<String, Facts>> {
        self.streams.lock().expect("no panic while held")
    }

    /// Reads or changes what is known of a stream.
    ///
    /// # Panics
    /// When there is no such stream: clients name only those they have entered.
    pub(super) fn with<T>(&self, stream: &str, change: impl FnOnce(&mut Facts) -> T) -> T {
        let mut streams = self.streams();
        change(streams.get_mut(stream).expect("entered before it is used"))
    }

    pub(super) fn next_incarnation(&self) -> u64 {
        self.incarnations.fetch_add(1, Ordering::SeqCst)
    }

    /// A publisher was told that its message has this sequence.
    pub(super) fn on_stored(&self, stream: &str, sequence: u64, stored: Stored) {
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        let twice = self.with(stream, |facts| {
            facts.highest = facts.highest.max(sequence);
            let removed = facts.removed.contains(&sequence) || sequence < facts.removed_below;
            // A consumer may have had it before its publisher heard of it.
            if facts.keeps == Keeps::Unconsumed && facts.is_consumed(sequence) {
                return false;
            }
            removed || facts.stored.insert(sequence, stored).is_some()
        });
        if twice {
            self.on_seen(|findings| {
                findings.reused += 1;
                findings.example(format!("{stream}: sequence {sequence} was given twice"));
            });
        }
    }

    /// A consumer was told that its acknowledgement is kept.
    pub(super) fn on_consumed(&self, stream: &str, sequence: u64) {
        self.consumed.fetch_add(1, Ordering::SeqCst);
        self.with(stream, |facts| {
            facts.asked.remove(&sequence);
            if facts.keeps == Keeps::Unconsumed {
                facts.stored.remove(&sequence);
            }
            facts.consumed.insert(sequence);
        });
    }

    pub(super) fn on_chore(&self) {
        self.chores.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn on_seen(&self, note: impl FnOnce(&mut Findings)) {
        note(&mut self.seen.lock().expect("no panic while held"));
    }
}
