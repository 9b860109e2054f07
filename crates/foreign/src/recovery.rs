//! Which messages of the blocks count: what the index says when it is up to date, else what the records say themselves.

use std::collections::HashMap;

use crate::index::Index;
use crate::record::{Record, RecordKind};
use crate::sequence_set::SequenceSet;

/// Where the truth about removed messages is.
#[derive(Debug)]
pub enum Plan {
    /// nats-server was stopped: the index fits the blocks and says everything.
    Indexed(Box<Index>),
    /// The index is missing, damaged or older than the blocks: tombstones say what was removed on request. What limits removed may
    /// be there again and has to be removed once more, as nats-server does when it starts.
    Rebuilt {
        /// Removed sequences, filled by the [`Survey`].
        removed: SequenceSet,
        /// No message before this one is left.
        first_sequence: u64,
    },
}

impl Plan {
    /// A plan without an index, or with one that is older than the blocks: what it knows to be removed does not come back.
    #[must_use]
    pub fn rebuilt(older: Option<&Index>) -> Self {
        Self::Rebuilt {
            removed: older.map(|index| index.deleted.clone()).unwrap_or_default(),
            first_sequence: older.map_or(0, |index| index.first_sequence),
        }
    }

    /// Whether the index is used.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        matches!(self, Self::Indexed(_))
    }

    /// Whether a block's file counts at all.
    #[must_use]
    pub fn wants_block(&self, number: u32) -> bool {
        match self {
            Self::Indexed(index) => index.block(number).is_some(),
            Self::Rebuilt { .. } => true,
        }
    }

    /// Whether the message of this sequence in this block was not removed.
    #[must_use]
    pub fn is_live(&self, block: u32, sequence: u64) -> bool {
        match self {
            Self::Indexed(index) => index.block(block).is_some_and(|state| {
                (state.first_sequence..=state.last_sequence).contains(&sequence)
                    && !index.deleted.contains(sequence)
            }),
            Self::Rebuilt {
                removed,
                first_sequence,
            } => sequence >= *first_sequence && !removed.contains(sequence),
        }
    }
}

/// What a first reading of all blocks learns.
#[derive(Debug, Default)]
pub struct Survey {
    /// Messages that count. Without an index, those whose tombstone came later are among them.
    pub messages: u64,
    /// What they count for, as nats-server counts: the length of their records.
    pub bytes: u64,
    /// The first of them; zero when there is none.
    pub first_sequence: u64,
    /// The last sequence that anything names.
    pub last_sequence: u64,
    /// The time that goes with it.
    pub last_time: i64,
    /// Messages whose time is before that of the message before them.
    pub times_going_back: u64,
    previous_sequence: u64,
    previous_time: i64,
    /// With an index: how many messages of each subject are still to come.
    expected: HashMap<Vec<u8>, u64>,
    checks_subjects: bool,
}

/// What the survey makes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A message that counts.
    Live,
    /// A message that was removed, or something else than a message.
    Nothing,
    /// The index knows no further message of this subject: the length of the subject, which no checksum covers, is damaged.
    WrongSubject,
}

impl Survey {
    /// A survey of blocks to be read in order.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut survey = Self::default();
        if let Plan::Indexed(index) = plan {
            survey.expected = index.subjects.iter().cloned().collect();
            survey.checks_subjects = !index.subjects.is_empty();
            survey.last_sequence = index.last_sequence;
            survey.last_time = index.last_time;
        }
        survey
    }

    /// Takes in the next record.
    pub fn record(&mut self, plan: &mut Plan, block: u32, record: &Record<'_>) -> Verdict {
        if record.sequence >= self.last_sequence && !plan.is_indexed() {
            self.last_sequence = record.sequence;
            self.last_time = record.time;
        }
        match record.kind {
            RecordKind::Tombstone => {
                if let Plan::Rebuilt { removed, .. } = plan {
                    removed.insert(record.sequence);
                }
                Verdict::Nothing
            }
            RecordKind::Erased => Verdict::Nothing,
            RecordKind::Message => self.message(plan, block, record),
        }
    }

    fn message(&mut self, plan: &Plan, block: u32, record: &Record<'_>) -> Verdict {
        // Sequences only go up; a record that does not is a copy of one that was read.
        if record.sequence <= self.previous_sequence || !plan.is_live(block, record.sequence) {
            return Verdict::Nothing;
        }
        self.previous_sequence = record.sequence;
        if self.checks_subjects {
            match self.expected.get_mut(record.subject) {
                Some(count) if *count > 0 => *count -= 1,
                _ => return Verdict::WrongSubject,
            }
        }
        if self.messages == 0 {
            self.first_sequence = record.sequence;
        }
        self.messages += 1;
        self.bytes += record.length as u64;
        self.times_going_back += u64::from(record.time < self.previous_time);
        self.previous_time = record.time;
        Verdict::Live
    }

    /// With an index: whether every message that it counts was found.
    #[must_use]
    pub fn is_complete(&self, plan: &Plan) -> bool {
        match plan {
            Plan::Indexed(index) => {
                index.messages == self.messages && self.expected.values().all(|count| *count == 0)
            }
            Plan::Rebuilt { .. } => true,
        }
    }
}
