//! What opening a journal found.

use std::path::PathBuf;

use everjet_values::EntryIndex;

use crate::identity::{Lsn, StreamId};

/// What [`Journal::open`](super::Journal::open) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Files that were read.
    pub files: usize,
    /// Records that were visited.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Where the journal was cut because its last write had not reached the disk whole; normal after a crash.
    pub torn: Option<TornTail>,
    /// What was durable once and cannot be read any more. Never empty silently: each is to be logged, shown in health, and its
    /// bytes copied to the quarantine folder before the file is released.
    pub damage: Vec<JournalDamage>,
    /// Where the end of the journal is lost ([`LostRecords::last`] is `None`): how many records that can have been at most.
    pub lost_at_most: u64,
}

/// The end of a journal whose last write was cut short. Nothing after it had been acknowledged as durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where in it the first incomplete record starts.
    pub offset: u64,
    /// The position that record would have had.
    pub first: Lsn,
    /// Whole records behind it, given up with it.
    pub records: u64,
}

/// Records that were or may have been durable and are damaged or missing. What can be read behind them was visited all the same.
/// Several files that were lost together name the same positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalDamage {
    /// The file that fails its check, or after which a file is missing.
    pub path: PathBuf,
    /// Where in the file the damage starts.
    pub offset: u64,
    /// Bytes to the next valid record, or to the end of the file.
    pub length: u64,
    /// The positions lost; `None` when only bytes beside the records (the file's header) are damaged, or one of the two copies
    /// of a record.
    pub lost: Option<LostRecords>,
    /// Which record was lost, when it is one and its head can be read.
    pub record: Option<RecordIdentity>,
}

/// What the head of a record says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordIdentity {
    /// The stream; [`StreamId::SERVER`] for records of the server.
    pub stream: StreamId,
    /// The entry of its log.
    pub entry: EntryIndex,
    /// What the body was.
    pub kind: u8,
}

/// Positions without a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRecords {
    /// The first one.
    pub first: Lsn,
    /// The last one; `None` when it is not known how many there were.
    pub last: Option<Lsn>,
}
