//! Records, segments, indexes, stream stores, recovery and the shared journal; files only through [`Disk`].
//!
//! No policy lives here: what to keep, what to refuse and when to expire is decided by the layers above.
#![forbid(unsafe_code)]

mod blocks;
mod checked_file;
mod checksum;
mod disk;
mod fault;
mod foreign;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identity;
mod index;
mod journal;
mod manifest;
mod memory;
mod overlay_disk;
mod quarantine;
mod sabotage;
mod seal;
mod segment;
#[cfg(any(test, feature = "sim"))]
mod sim_disk;
mod stream_store;

pub use checked_file::{holds_checked_file, read_checked_file, write_checked_file};
pub use checksum::{crc32c, crc32c_parts};
pub use disk::{
    DirEntry, Disk, DiskFile, Job, OpenMode, read_exact_at, read_file, write_file_atomically,
};
pub use fault::{Attempt, Fault};
pub use foreign::{foreign_store, foreign_store_beside};
pub use identity::{Lsn, StreamId};
pub use journal::{
    Durable, Journal, JournalBatch, JournalDamage, JournalOpening, JournalOptions, JournalPlace,
    JournalRecord, JournalReport, JournalStart, LostRecords, RecordIdentity, RecoveredTail, Scrub,
    Spare, SpareJob, TornTail,
};
pub use manifest::{Manifest, ManifestConsumer, ManifestSegment, ManifestStore, ManifestStream};
pub use memory::{MemoryOptions, MemoryUse, StoreMemory};
pub use overlay_disk::OverlayDisk;
pub use quarantine::{quarantine_bytes, quarantine_file};
#[cfg(all(any(test, feature = "sim"), debug_assertions))]
pub use sabotage::plant;
pub use sabotage::{PlantedBug, is_planted};
pub use seal::{
    Cipher, Encryption, KeyringError, KeyringNote, Keys, OpenedKeyring, SealedDisk, StoreKey,
    open_keyring,
};
#[cfg(any(test, feature = "sim"))]
pub use sim_disk::{SimDisk, SimFault};
pub use stream_store::{
    CheckedSegment, CheckpointWrite, ColdRead, Compacted, Compaction, CompactionError, Damage,
    Fetched, Lasts, LastsUpTo, Lookup, LostMessages, MessageView, NewMessage, ObsoleteFiles,
    OpenReport, ReadError, RemoveBudget, Removed, SavedSegments, SegmentCheck, SegmentWrites,
    StoreOptions, StoreState, StoredMessage, StreamStore, SubjectSet, WrittenSegments,
    checkpoint_problem, index_problem, segment_length,
};
