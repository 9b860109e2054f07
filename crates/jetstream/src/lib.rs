//! JetStream's drivers: stream actors, group commit, checkpoints, recovery and the API; and the operating system's disk.
//!
//! What is decided is decided in `everjet-stream`; here it is read, written, scheduled and answered. [`JetStream`] serves one
//! account's streams from one store directory.

mod actor;
mod advisories;
mod api;
mod backup;
mod cadence;
mod check;
mod checkpoint;
mod chores;
mod commit;
mod compactor;
mod finding;
mod findings;
mod folders;
mod health;
mod helpers;
mod host;
mod housekeeper;
mod import;
mod in_turn;
mod inlets;
mod intake;
mod open;
mod os_disk;
mod paths;
mod read_ahead;
mod records;
mod registry;
mod render;
mod replay;
mod report;
mod scrub;
mod timers;
mod usage;

pub use check::{
    CheckError, CheckReport, CheckedStream, RepairError, RepairReport, RepairedStream, check_store,
    repair_store,
};
pub use checkpoint::{Captured, Checkpointer};
pub use commit::SyncPolicy;
pub use finding::{Finding, Severity};
pub use health::{Health, HealthStatus};
pub use host::{JetStream, JetStreamConfig, Seams, StartError};
pub use import::{ImportError, ImportStore, Imported, StreamImport};
pub use intake::ImportedMessage;
pub use open::{OfflineStream, OpenError, OpenStore, OpenedStream, StorageOptions};
pub use os_disk::OsDisk;
pub use paths::Paths;
pub use records::{record_stream_created, record_stream_deleted};
pub use report::{Level, Report};
pub use scrub::{ScrubOptions, ScrubProgress};
pub use usage::UsageLimits;
