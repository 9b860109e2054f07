//! The store directory of nats-server 2.10 to 2.15 as bytes: what is needed to read one, and nothing to write one. And backups of streams,
//! which are read and written.
//!
//! ```text
//! <store_dir>/jetstream/<account>/streams/<stream>/
//!   meta.inf  meta.sum  meta.key        definition, its checksum, the sealed key when it is encrypted
//!   msgs/<n>.blk  msgs/<n>.key          message blocks, numbered from 1
//!   msgs/index.db                       the state as of the last clean stop, or of a few minutes ago
//!   obs/<consumer>/meta.inf  meta.sum  meta.key  o.dat
//! ```
//! Bytes in, values out; files are read above. Facts about the format are from the sources of nats-server 2.15 and from what
//! it wrote; the tests read such files.
#![forbid(unsafe_code)]

mod archive;
mod block;
mod checksum;
mod cipher;
mod compress;
mod consumer_state;
mod frames;
mod index;
mod input;
mod meta;
mod record;
mod recovery;
mod sequence_set;

pub use archive::{ARCHIVE_MAGIC, ArchiveEntry, read_archive_entry};
pub use block::{Block, BlockError};
pub use checksum::Checksum;
pub use cipher::{AssetKey, StoreKey, block_context, consumer_context, unseal};
pub use consumer_state::{ForeignConsumerState, PendingDelivery};
pub use frames::{Framer, Unframer};
pub use index::{BlockState, Index, IndexError};
pub use meta::{ConsumerMeta, MetaError, StreamMeta};
pub use record::{BadRecord, Record, RecordKind, Scanned};
pub use recovery::{Plan, Survey, Verdict};
pub use sequence_set::SequenceSet;
