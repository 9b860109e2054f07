//! Sizes of a stream store.

/// Sizes of a stream store. They bound files and memory and never change what the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// A segment that would grow past this is sealed and the next one begun. 4 KiB to 1 GiB (brought into range);
    /// default 32 MiB. A larger single message gets a segment of its own.
    pub segment_bytes_max: u64,
    /// Memory for recent messages that are already on disk. Default 8 MiB. Messages not written yet are always in memory.
    pub tail_bytes_max: usize,
    /// Streams with fewer messages in sealed segments get no `checkpoint.bin`: reading their index files costs little.
    /// Default 65,536.
    pub checkpoint_messages_min: u64,
    /// Size of the pieces in which messages are kept in memory. Default 64 KiB.
    pub chunk_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: 32 << 20,
            tail_bytes_max: 8 << 20,
            checkpoint_messages_min: 65_536,
            chunk_bytes: 64 << 10,
        }
    }
}
