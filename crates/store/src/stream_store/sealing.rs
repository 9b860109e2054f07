//! Indexes and footers of segments that are being written. What is in them is taken under the stream's lock, where that costs next to
//! nothing; they are made by whoever writes them.

use std::sync::{Arc, OnceLock};

use everjet_subject::SubjectNames;

use crate::index::{Columns, FrameHead};

use super::segment::Segment;

/// What the index of a segment is made of.
pub(super) struct IndexSource {
    head: FrameHead,
    columns: Columns,
    foreign: Arc<Vec<u8>>,
    names: SubjectNames,
}

/// The footer of a segment that was sealed, and its columns as they will be in memory.
pub(super) struct Sealing {
    source: IndexSource,
    made: OnceLock<Made>,
}

struct Made {
    footer: Arc<Vec<u8>>,
    packed: Columns,
}

impl IndexSource {
    /// The segment as it is now; `head` but for what is the segment's.
    pub(super) fn of(segment: &Segment, head: FrameHead, names: &SubjectNames) -> Self {
        let head = FrameHead {
            first: segment.first,
            covered: segment.end,
            whole: segment.sealed,
            ..head
        };
        Self {
            head,
            columns: segment.columns.clone(),
            foreign: Arc::clone(&segment.foreign),
            names: names.clone(),
        }
    }

    /// The bytes. Takes milliseconds.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.head.encode(&self.columns, &self.foreign, &self.names)
    }
}

impl Sealing {
    /// The segment, whose columns are sealed, as it is now.
    pub(super) fn of(segment: &Segment, head: FrameHead, names: &SubjectNames) -> Self {
        Self {
            source: IndexSource::of(segment, head, names),
            made: OnceLock::new(),
        }
    }

    /// The footer. The first call takes milliseconds.
    pub(super) fn footer(&self) -> &Arc<Vec<u8>> {
        &self.made().footer
    }

    /// Columns of the segment, as they are now, made small. The first call takes milliseconds.
    pub(super) fn pack(&self, columns: &Columns) -> Columns {
        columns.repacked(&self.source.columns, &self.made().packed)
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let mut packed = self.source.columns.clone();
            packed.pack();
            Made {
                footer: Arc::new(self.source.encode()),
                packed,
            }
        })
    }
}
