//! Changes of a consumer, and their form in the journal.

use std::time::Duration;

use everjet_values::StreamSequence;

use crate::codec::{Malformed, Reader, put_number};

/// One change of a [`ConsumerState`](crate::ConsumerState). The time is that of the record it travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message was delivered, for the first time unless it is pending.
    Delivered(StreamSequence),
    /// A message was acknowledged or terminated.
    Acked(StreamSequence),
    /// A message and all delivered before it were acknowledged.
    AckedThrough(StreamSequence),
    /// A message is to be delivered again after this time.
    Delayed(StreamSequence, Duration),
    /// The client still works on a message: its time begins anew.
    Progress(StreamSequence),
    /// A message is not delivered again, although nobody acknowledged it: it was delivered often enough, or it
    /// cannot be read.
    Abandoned(StreamSequence),
    /// A message was delivered often enough without acknowledgement, and its stream keeps it until somebody acknowledges it.
    Exhausted(StreamSequence),
}

const DELIVERED: u64 = 0;
const ACKED: u64 = 1;
const ACKED_THROUGH: u64 = 2;
const DELAYED: u64 = 3;
const PROGRESS: u64 = 4;
const ABANDONED: u64 = 5;
const EXHAUSTED: u64 = 6;

/// Largest sequence in a record: what a client may name as a start ([`crate::SEQUENCE_MAX`]) leaves room below it for more messages
/// than any disk holds, and above it the three bits of the kind.
const READABLE_MAX: u64 = 1 << 59;

/// Changes in the form of the journal, most often two bytes each.
///
/// Each change is an integer `zigzag(sequence - previous sequence) * 8 + kind`, where the previous sequence is that of
/// the change before in the same record, zero at first; [`Change::Delayed`] is followed by its nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeLog {
    bytes: Vec<u8>,
    previous: u64,
}

impl ChangeLog {
    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        let (kind, sequence) = match change {
            Change::Delivered(sequence) => (DELIVERED, sequence),
            Change::Acked(sequence) => (ACKED, sequence),
            Change::AckedThrough(sequence) => (ACKED_THROUGH, sequence),
            Change::Delayed(sequence, _) => (DELAYED, sequence),
            Change::Progress(sequence) => (PROGRESS, sequence),
            Change::Abandoned(sequence) => (ABANDONED, sequence),
            Change::Exhausted(sequence) => (EXHAUSTED, sequence),
        };
        let step = sequence.0.wrapping_sub(self.previous).cast_signed();
        let zigzag = ((step << 1) ^ (step >> 63)).cast_unsigned();
        // Sequences stay far below 2^60, so that the three bits of the kind fit.
        put_number(&mut self.bytes, (zigzag << 3) | kind);
        if let Change::Delayed(_, delay) = change {
            put_number(
                &mut self.bytes,
                u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX),
            );
        }
        self.previous = sequence.0;
    }

    /// The changes in the form of the journal.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets the changes and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.previous = 0;
    }

    /// Reads changes in the form of the journal, one after the other.
    pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Change, Malformed>> {
        let mut reader = Reader::new(bytes);
        let mut previous = 0u64;
        std::iter::from_fn(move || {
            (!reader.is_empty()).then(|| {
                let change = read_change(&mut reader, &mut previous);
                if change.is_err() {
                    reader = Reader::new(&[]);
                }
                change
            })
        })
    }
}

fn read_change(reader: &mut Reader<'_>, previous: &mut u64) -> Result<Change, Malformed> {
    let number = reader.number()?;
    let zigzag = number >> 3;
    let step = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
    *previous = previous.wrapping_add(step.cast_unsigned());
    if *previous > READABLE_MAX {
        return Err(Malformed);
    }
    let sequence = StreamSequence(*previous);
    Ok(match number & 7 {
        DELIVERED => Change::Delivered(sequence),
        ACKED => Change::Acked(sequence),
        ACKED_THROUGH => Change::AckedThrough(sequence),
        DELAYED => Change::Delayed(sequence, Duration::from_nanos(reader.number()?)),
        PROGRESS => Change::Progress(sequence),
        ABANDONED => Change::Abandoned(sequence),
        EXHAUSTED => Change::Exhausted(sequence),
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_as_they_were_pushed() {
        let changes = [
            Change::Delivered(StreamSequence(7)),
            Change::Delivered(StreamSequence(8)),
            Change::Acked(StreamSequence(1)),
            Change::AckedThrough(StreamSequence((1 << 56) + 7)),
            Change::Delayed(StreamSequence(3), Duration::from_secs(5)),
            Change::Progress(StreamSequence(3)),
            Change::Abandoned(StreamSequence(2)),
            Change::Exhausted(StreamSequence(4)),
        ];
        let mut log = ChangeLog::default();
        for change in changes {
            log.push(change);
        }
        let read: Result<Vec<_>, _> = ChangeLog::read(log.as_bytes()).collect();
        assert_eq!(read, Ok(changes.to_vec()));
    }

    #[test]
    fn neighbours_take_a_byte_each() {
        let mut log = ChangeLog::default();
        for sequence in 1_000_000..1_000_100 {
            log.push(Change::Delivered(StreamSequence(sequence)));
        }
        assert!(log.as_bytes().len() <= 99 + 4, "{}", log.as_bytes().len());
    }

    #[test]
    fn garbage_ends_with_an_error() {
        for bytes in [&b"\x80"[..], b"\x07", b"\x00\x07", b"\x00\x03", b"\x03\xff"] {
            let last = ChangeLog::read(bytes).last();
            assert_eq!(last, Some(Err(Malformed)), "{bytes:?}");
        }
    }
}
