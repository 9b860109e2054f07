//! Giving back the space of removed messages: segments that are mostly dead are rewritten without them, and small ones that
//! are left become one.
//!
//! Three steps, as with writes: [`take_compaction`] under the stream's lock says what to rewrite, [`Compaction::rewrite`] does it
//! away from the lock, [`finish_compaction`] puts the new segment in place of the old ones. The old files stay until a manifest
//! that names the new one is durable; a crash before leaves a file that no manifest names. What was removed in between is removed
//! in the new segment, too: every removal is also said by a record in a later segment or by the journal.
//!
//! [`take_compaction`]: crate::StreamStore::take_compaction
//! [`finish_compaction`]: crate::StreamStore::finish_compaction

mod choose;
mod rewrite;
mod switch;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::index::Columns;
use crate::segment::{RecordSalt, Run};
use crate::{Disk, Fault, StreamId};

use super::file_id::FileId;

/// Segments to be rewritten as one. Made by [`StreamStore::take_compaction`]; one at a time for each store.
///
/// [`StreamStore::take_compaction`]: crate::StreamStore::take_compaction
#[must_use = "it does nothing by itself"]
pub struct Compaction {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    stream: StreamId,
    /// Whether the new file is compressed.
    compress: bool,
    name: String,
    target: FileId,
    /// The time of the last message before the first of the sources.
    created: i64,
    sources: Vec<Source>,
    messages: Vec<Kept>,
    /// Which sequences from the target's first up to the next segment hold no message.
    holes: Vec<Run>,
    /// First and last sequence of each segment before the sources: what is said about them is said again.
    earlier: Vec<Run>,
    /// As of when this was taken.
    entry: EntryIndex,
    last: (u64, Timestamp),
}

/// A segment to be rewritten.
struct Source {
    id: FileId,
    salt: RecordSalt,
    /// What its removal records say about segments before it.
    foreign: Arc<Vec<u8>>,
    /// Messages it had when this was taken.
    messages: u64,
}

/// A message that stays.
#[derive(Clone, Copy)]
struct Kept {
    source: u32,
    subject: u32,
    start: u32,
    end: u32,
    sequence: u64,
}

/// A segment that was rewritten: its file and its name are durable, and nothing names it yet.
#[must_use = "without being put in place it is a file that nobody names"]
pub struct Compacted {
    target: FileId,
    created: i64,
    sources: Vec<(FileId, u64)>,
    columns: Columns,
    foreign: Arc<Vec<u8>>,
    /// Where the records end, and the file.
    end: u32,
    length: u64,
}

/// Why segments were not rewritten. Nothing changed, and the new file is gone if the disk let it go.
#[derive(Debug)]
pub enum CompactionError {
    /// The driver did not want to go on.
    Stopped,
    /// A message fails its check: the segment stays as it is.
    Damaged {
        /// The segment's file.
        file: PathBuf,
        /// The message.
        sequence: StreamSequence,
    },
    /// The disk failed.
    Fault(Fault),
}

impl fmt::Display for CompactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Damaged { file, sequence } => write!(
                f,
                "message {sequence} is damaged in {}; the file is kept as it is",
                file.display()
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CompactionError {}

impl Compaction {
    /// Bytes of the records that stay: what is read and written again.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let length = |kept: &Kept| u64::from(kept.end - kept.start);
        self.messages.iter().map(length).sum()
    }

    /// How many files become one.
    #[must_use]
    pub fn files(&self) -> usize {
        self.sources.len()
    }
}
