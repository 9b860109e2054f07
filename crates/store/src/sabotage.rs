//! Bugs that can be planted on purpose, to see that the simulation finds them.
//!
//! Each is a line that somebody could leave out or turn around. The place concerned asks [`is_planted`], which is a constant
//! `false` unless the simulation is being built, and built with debug assertions: a server for use has no such branch in it and
//! no way to plant anything.

#[cfg(all(any(test, feature = "sim"), debug_assertions))]
use std::cell::Cell;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlantedBug {
    /// The journal calls records durable that it did not sync.
    AckBeforeSync,
    /// The name of a new journal file is not synced.
    JournalDirectoryNotSynced,
    /// A journal file gets its name before its header is durable.
    JournalHeaderNotSynced,
    /// Journal files go whose records were written after the checkpoint was captured.
    JournalReleasedEarly,
    /// A failed sync of the journal is tried again, and believed.
    FailedSyncRetried,
    /// Length, position and identity of a journal record are outside its checksum.
    HeadOutsideChecksum,
    /// A record counts when its head reached the disk, whatever its body is.
    TornRecordAccepted,
    /// Records of a recycled file's former life count: neither generation nor position is compared.
    NoChain,
    /// A tail that was given up counts again at the next start.
    TornTailComesBack,
    /// What a start found in the page cache only is taken for durable.
    RecoveredTailNotSynced,
    /// The manifest names segments that were not synced.
    SegmentsNotSynced,
    /// The manifest names segments whose names were not synced.
    SegmentDirectoryNotSynced,
    /// The manifest names consumer states whose names were not synced.
    ConsumerDirectoryNotSynced,
    /// A new manifest is renamed over the old one before it is synced.
    RenamedBeforeSync,
    /// The rename of a new manifest is not synced.
    ManifestDirectoryNotSynced,
    /// The checkpoint says that it ends one entry earlier than it does.
    CheckpointEntryOffByOne,
    /// The checkpoint keeps a consumer's older snapshot although its state has changed.
    ConsumerSnapshotTooOld,
    /// A stream that only the journal deletes stays in the next manifest.
    DeletedStreamComesBack,
    /// A stream that was emptied counts from one again.
    SequenceReused,
    /// An index of a later state than the manifest's is used.
    LaterIndexAccepted,
    /// The index of a segment that never came to be is left for the next one of the same name.
    LeftoverIndexKept,
    /// An index is used without a look at its checksum.
    IndexUnchecked,
    /// Removals are not written down with the checkpoint.
    RemovalsForgotten,
    /// What a dropped segment said about removals in earlier ones is not said again.
    RemovalsOfDroppedForgotten,
    /// A rewritten segment takes the place of the old ones before it is synced.
    CompactedNotSynced,
    /// Messages that were removed while their segment was rewritten are back afterwards.
    RemovalsWhileCompactedForgotten,
    /// A record of a segment counts without a look at its checksum.
    RecordUnchecked,
    /// Writing goes on in a segment behind damage.
    WrittenBehindDamage,
    /// Everything that a run seals gets the same number.
    NonceReused,
    /// What is written after a change of the key is sealed with the data key before.
    OldDataKeyUsed,
    /// Of all removals since the last checkpoint only the first neighbours are written down: half a purge.
    PurgeHalfWritten,
    /// A checkpoint file of a later state than the manifest's is used.
    LaterCheckpointAccepted,
    /// An erasure is answered before what was overwritten is synced.
    ErasureNotSynced,
    /// An erasure is answered before the journal's files are overwritten.
    JournalNotOverwritten,
    /// The messages of a batch are records of their own: a crash leaves some of them.
    BatchSplit,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::AckBeforeSync,
        Self::JournalDirectoryNotSynced,
        Self::JournalHeaderNotSynced,
        Self::JournalReleasedEarly,
        Self::FailedSyncRetried,
        Self::HeadOutsideChecksum,
        Self::TornRecordAccepted,
        Self::NoChain,
        Self::TornTailComesBack,
        Self::RecoveredTailNotSynced,
        Self::SegmentsNotSynced,
        Self::SegmentDirectoryNotSynced,
        Self::ConsumerDirectoryNotSynced,
        Self::RenamedBeforeSync,
        Self::ManifestDirectoryNotSynced,
        Self::CheckpointEntryOffByOne,
        Self::ConsumerSnapshotTooOld,
        Self::DeletedStreamComesBack,
        Self::SequenceReused,
        Self::LaterIndexAccepted,
        Self::LeftoverIndexKept,
        Self::IndexUnchecked,
        Self::RemovalsForgotten,
        Self::RemovalsOfDroppedForgotten,
        Self::CompactedNotSynced,
        Self::RemovalsWhileCompactedForgotten,
        Self::RecordUnchecked,
        Self::WrittenBehindDamage,
        Self::NonceReused,
        Self::OldDataKeyUsed,
        Self::PurgeHalfWritten,
        Self::LaterCheckpointAccepted,
        Self::ErasureNotSynced,
        Self::JournalNotOverwritten,
        Self::BatchSplit,
    ];
}

#[cfg(all(any(test, feature = "sim"), debug_assertions))]
std::thread_local! {
    static PLANTED: Cell<Option<PlantedBug>> = const { Cell::new(None) };
}

/// Plants a bug for everything that this thread does from now on; `None` removes it.
#[cfg(all(any(test, feature = "sim"), debug_assertions))]
pub fn plant(bug: Option<PlantedBug>) {
    PLANTED.set(bug);
}

/// Whether the bug is planted in this thread.
#[cfg(all(any(test, feature = "sim"), debug_assertions))]
#[must_use]
pub fn is_planted(bug: PlantedBug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Never.
#[cfg(not(all(any(test, feature = "sim"), debug_assertions)))]
#[inline(always)]
#[must_use]
pub const fn is_planted(_: PlantedBug) -> bool {
    false
}
