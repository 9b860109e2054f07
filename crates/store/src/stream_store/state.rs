//! What a store says about itself.

use everjet_subject::SubjectId;
use everjet_values::{StreamSequence, Timestamp};

/// Counts and ends of a store, as `StreamInfo.state` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreState {
    /// Messages that can be read.
    pub messages: u64,
    /// Their size as nats-server counts it: in a file 30 bytes plus subject, payload and, when there are headers, 4 bytes
    /// plus headers; in memory 16 bytes plus subject, headers and payload.
    pub bytes: u64,
    /// The first message; one past `last_sequence` when there is none.
    pub first_sequence: StreamSequence,
    /// When the first message was stored; unset when there is none.
    pub first_time: Timestamp,
    /// The last sequence given out; it stays when messages are removed.
    pub last_sequence: StreamSequence,
    /// When the last message was stored; it stays when messages are removed.
    pub last_time: Timestamp,
    /// Subjects that have messages.
    pub subjects: u64,
    /// Sequences between first and last that hold no message.
    pub deleted: u64,
}

/// A message that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What it counted for in [`StoreState::bytes`].
    pub bytes: u64,
    /// Its subject.
    pub subject: SubjectId,
}
