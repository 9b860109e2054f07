//! Messages on their way in and out of a store.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use everjet_values::{StreamSequence, Timestamp};

use crate::Fault;

/// A message to be stored. The subject has at most 65,535 bytes; headers and payload together stay below 1 GiB.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// When it is stored; not before the message before it.
    pub time: Timestamp,
    /// The subject, without wildcards.
    pub subject: &'a [u8],
    /// The header block from `NATS/1.0` to the empty line; empty when there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// A message in memory, borrowed from its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Position in the stream.
    pub sequence: StreamSequence,
    /// When it was stored.
    pub time: Timestamp,
    /// The subject it was stored under.
    pub subject: &'a [u8],
    /// The header block; empty when there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
}

/// A stored message. Cloning shares the bytes.
#[derive(Clone)]
pub struct StoredMessage {
    /// Position in the stream.
    pub sequence: StreamSequence,
    /// When it was stored.
    pub time: Timestamp,
    buffer: Arc<Vec<u8>>,
    start: usize,
    subject_length: usize,
    header_length: usize,
    payload_length: usize,
}

impl StoredMessage {
    /// A message whose subject, headers and payload lie one after the other in `buffer` from `start`, as in `view`.
    pub(crate) fn new(buffer: Arc<Vec<u8>>, start: usize, view: &MessageView<'_>) -> Self {
        let message = Self {
            sequence: view.sequence,
            time: view.time,
            subject_length: view.subject.len(),
            header_length: view.headers.len(),
            payload_length: view.payload.len(),
            buffer,
            start,
        };
        assert!(
            message.end() <= message.buffer.len(),
            "the message lies in its buffer"
        );
        message
    }

    /// The subject it was stored under.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        self.part(self.start..self.start + self.subject_length)
    }

    /// The header block from `NATS/1.0` to the empty line; empty when there is none.
    #[must_use]
    pub fn headers(&self) -> &[u8] {
        let start = self.start + self.subject_length;
        self.part(start..start + self.header_length)
    }

    /// The body.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.part(self.end() - self.payload_length..self.end())
    }

    /// All parts, borrowed.
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        MessageView {
            sequence: self.sequence,
            time: self.time,
            subject: self.subject(),
            headers: self.headers(),
            payload: self.payload(),
        }
    }

    fn end(&self) -> usize {
        self.start + self.subject_length + self.header_length + self.payload_length
    }

    fn part(&self, range: Range<usize>) -> &[u8] {
        self.buffer
            .get(range)
            .expect("the constructor checked that all parts lie in the buffer")
    }
}

impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl PartialEq for StoredMessage {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

/// Why a message cannot be had.
#[derive(Clone, Debug)]
pub enum ReadError {
    /// The sequence is past the last one, or before the stream's first message.
    NotFound,
    /// There was a message and it was removed, or the sequence was skipped.
    Deleted,
    /// The message was stored and its bytes fail their check or are gone.
    Damaged {
        /// The segment file that holds, or held, the message.
        file: PathBuf,
        /// The message's sequence.
        sequence: StreamSequence,
    },
    /// The disk failed; asking again may succeed.
    Fault(Fault),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such message"),
            Self::Deleted => f.write_str("the message was removed"),
            Self::Damaged { file, sequence } => write!(
                f,
                "message {sequence} is damaged in {}; restore the file from a copy or purge the message",
                file.display()
            ),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}
