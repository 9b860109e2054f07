//! Records on their way to the journal.

use everjet_values::EntryIndex;

use super::record;
use crate::identity::StreamId;

/// Encoded records that wait for the journal. They have everything but what only the journal knows: LSN, generation and the
/// synced mark.
#[derive(Debug, Default)]
pub struct JournalBatch {
    bytes: Vec<u8>,
    records: u64,
}

impl JournalBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; `fill` appends its body to the vector it is given and touches nothing before.
    ///
    /// Kind 0 of [`StreamId::SERVER`] is the journal's own.
    ///
    /// # Panics
    /// When the body is 4 GiB or longer, or `fill` shortens the vector.
    pub fn push(
        &mut self,
        stream: StreamId,
        entry: EntryIndex,
        kind: u8,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        record::encode(&mut self.bytes, stream, entry, kind, fill);
        self.records += 1;
    }

    /// As [`JournalBatch::push`], twice: for a record whose loss would bring back what was removed, or lose more than a message.
    /// Readers get both, with the same entry; the second says nothing new.
    ///
    /// # Panics
    /// As [`JournalBatch::push`].
    pub fn push_twice(
        &mut self,
        stream: StreamId,
        entry: EntryIndex,
        kind: u8,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        record::encode(&mut self.bytes, stream, entry, kind, fill);
        record::encode_copy(&mut self.bytes, start);
        self.records += 2;
    }

    /// Moves the records of `other` to the end of this batch; `other` is empty afterwards.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.bytes.append(&mut other.bytes);
            self.records += std::mem::take(&mut other.records);
        }
    }

    /// Drops all records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records = 0;
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.records
    }

    /// The bytes the records take in the journal.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn encoded_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
