//! Records of a segment file. All numbers are little-endian.
//!
//! ```text
//!  0  u32  checksum: CRC-32C of bytes 4 to the end, xor the salt of this place (stream, segment, offset)
//!  4  u32  length of the whole record
//!  8  u8   kind: 1 message, 2 removals, 3 skip
//!  9  u8   zero
//! 10  u16  subject length
//! 12  u32  header length
//! 16  u64  entry that caused the record
//! 24  u64  sequence: of the message; of the last message so far (removals); that comes next (skip)
//! 32  i64  time of the message, or of the last message so far, in nanoseconds since 1970
//! 40       subject, headers, payload; removals: a block of runs as the payload
//! ```
//! The salt makes a record valid in its place only: a copy of it at another offset, in another segment or in the payload
//! of a message does not pass. It depends on nothing but the place, so writing a record again gives the same bytes.

use everjet_values::{EntryIndex, StreamSequence, Timestamp};

use crate::StreamId;
use crate::checksum::crc32c;
use crate::sabotage::{PlantedBug, is_planted};
use crate::stream_store::{MessageView, NewMessage};

use super::runs::{Run, encode_runs};

/// Bytes before the subject.
pub(crate) const RECORD_HEADER: usize = 40;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// A message.
    Message = 1,
    /// Sequences that hold no message any more, in this segment or an earlier one.
    Removals = 2,
    /// The stream's sequence was moved forward.
    Skip = 3,
    /// A message whose bytes were overwritten on request. Only its place and sequence are left.
    Erased = 4,
}

/// The fields of a record that passed its check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) length: usize,
    pub(crate) entry: EntryIndex,
    /// The sequence and time fields, and the message when it is one (else only the payload is of use).
    pub(crate) message: MessageView<'a>,
}

/// What ties the checksums of a segment to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordSalt(u64);

impl RecordSalt {
    /// The salt of the segment of `stream` that begins with `first`.
    pub(crate) fn new(stream: StreamId, first: u64) -> Self {
        Self(mix(mix(stream.0).wrapping_add(first)))
    }

    /// The salt of the file that the segment was rewritten into for the `revision`-th time.
    pub(crate) fn revised(self, revision: u32) -> Self {
        match revision {
            0 => self,
            revision => Self(mix(self.0.wrapping_add(u64::from(revision)))),
        }
    }

    pub(crate) fn at(self, offset: u32) -> u32 {
        (mix(self.0 ^ u64::from(offset)) >> 32) as u32
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Length of the record of a message.
pub(crate) fn record_length(message: &NewMessage<'_>) -> usize {
    RECORD_HEADER + message.subject.len() + message.headers.len() + message.payload.len()
}

/// What a message counts for, from the length of its record: the formulas of nats-server.
pub(crate) fn message_size(record_length: u64, has_headers: bool, in_memory: bool) -> u64 {
    let parts = record_length - RECORD_HEADER as u64;
    match (in_memory, has_headers) {
        (true, _) => parts + 16,
        (false, false) => parts + 30,
        (false, true) => parts + 34,
    }
}

/// Appends the record of a message. Without a salt (in memory) the checksum stays zero.
///
/// # Panics
/// When the subject is longer than 65,535 bytes or the record longer than 4 GiB: the layers above refuse such.
#[inline]
pub(crate) fn put_message(
    out: &mut Vec<u8>,
    salt: Option<RecordSalt>,
    offset: u32,
    entry: EntryIndex,
    sequence: u64,
    message: &NewMessage<'_>,
) {
    let start = out.len();
    let header = Header {
        kind: RecordKind::Message,
        length: record_length(message),
        subject_length: message.subject.len(),
        header_length: message.headers.len(),
        entry,
        sequence,
        time: message.time,
    };
    out.reserve(header.length);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(message.subject);
    if !message.headers.is_empty() {
        out.extend_from_slice(message.headers);
    }
    out.extend_from_slice(message.payload);
    seal(out, start, salt, offset);
}

/// Appends a removal record.
pub(crate) fn put_removals(
    out: &mut Vec<u8>,
    salt: RecordSalt,
    offset: u32,
    entry: EntryIndex,
    last: (u64, Timestamp),
    runs: &[Run],
) {
    let start = out.len();
    out.resize(start + RECORD_HEADER, 0);
    encode_runs(runs, out);
    let header = Header::plain(RecordKind::Removals, out.len() - start, entry, last);
    let space = out
        .get_mut(start..start + RECORD_HEADER)
        .expect("the space was made above");
    space.copy_from_slice(&header.encode());
    seal(out, start, Some(salt), offset);
}

/// Appends a skip record.
pub(crate) fn put_skip(
    out: &mut Vec<u8>,
    salt: Option<RecordSalt>,
    offset: u32,
    entry: EntryIndex,
    next: (u64, Timestamp),
) {
    let start = out.len();
    out.extend_from_slice(&Header::plain(RecordKind::Skip, RECORD_HEADER, entry, next).encode());
    seal(out, start, salt, offset);
}

/// Appends what takes the place of the record of a message that is erased: as long as that was, nothing of it left.
pub(crate) fn put_erased(
    out: &mut Vec<u8>,
    salt: RecordSalt,
    offset: u32,
    message: (u64, Timestamp),
    length: usize,
) {
    let start = out.len();
    // Of no entry: whatever state is opened, the bytes are gone.
    let header = Header::plain(RecordKind::Erased, length, EntryIndex::ZERO, message);
    out.extend_from_slice(&header.encode());
    out.resize(start + length, 0);
    seal(out, start, Some(salt), offset);
}

/// Reads the record at the start of `bytes`, which lies at `offset` of its segment; `None` when nothing valid begins there.
pub(crate) fn parse_record(bytes: &[u8], salt: RecordSalt, offset: u32) -> Option<Fields<'_>> {
    let fields = view_record(bytes)?;
    let checksum = u32::from_le_bytes(*bytes.first_chunk()?);
    let is_sound = crc32c(bytes.get(4..fields.length)?) ^ salt.at(offset) == checksum;
    (is_sound || is_planted(PlantedBug::RecordUnchecked)).then_some(fields)
}

/// No stream gets so far, and what follows it can still be counted: a record that names a later sequence is none.
const SEQUENCE_MAX: u64 = 1 << 62;

/// Reads the record at the start of `bytes` without comparing its checksum: for bytes that never left memory, and to
/// tell cheaply that something is no record.
#[inline]
pub(crate) fn view_record(bytes: &[u8]) -> Option<Fields<'_>> {
    let header: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
    let length = usize::try_from(u32_at(header, 4)).ok()?;
    let kind = match header[8] {
        1 => RecordKind::Message,
        2 => RecordKind::Removals,
        3 => RecordKind::Skip,
        4 => RecordKind::Erased,
        _ => return None,
    };
    let sequence = u64_at(header, 24);
    if sequence > SEQUENCE_MAX {
        return None;
    }
    let body = bytes.get(RECORD_HEADER..length)?;
    let (subject, rest) =
        body.split_at_checked(usize::from(u16::from_le_bytes([header[10], header[11]])))?;
    let (headers, payload) = rest.split_at_checked(usize::try_from(u32_at(header, 12)).ok()?)?;
    Some(Fields {
        kind,
        length,
        entry: EntryIndex(u64_at(header, 16)),
        message: MessageView {
            sequence: StreamSequence(sequence),
            time: Timestamp::from_nanos(u64_at(header, 32).cast_signed()),
            subject,
            headers,
            payload,
        },
    })
}

struct Header {
    kind: RecordKind,
    length: usize,
    subject_length: usize,
    header_length: usize,
    entry: EntryIndex,
    sequence: u64,
    time: Timestamp,
}

impl Header {
    fn plain(kind: RecordKind, length: usize, entry: EntryIndex, at: (u64, Timestamp)) -> Self {
        Self {
            kind,
            length,
            subject_length: 0,
            header_length: 0,
            entry,
            sequence: at.0,
            time: at.1,
        }
    }

    fn encode(&self) -> [u8; RECORD_HEADER] {
        let subject_length =
            u16::try_from(self.subject_length).expect("subjects are refused above 65,535 bytes");
        let header_length =
            u32::try_from(self.header_length).expect("messages are refused above 1 GiB");
        let length = u32::try_from(self.length).expect("messages are refused above 1 GiB");
        let mut bytes = [0; RECORD_HEADER];
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes[10..12].copy_from_slice(&subject_length.to_le_bytes());
        bytes[12..16].copy_from_slice(&header_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.entry.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.time.as_nanos().to_le_bytes());
        bytes
    }
}

/// Makes a valid record fit another place: the checksum is that of the bytes and of the place.
///
/// # Panics
/// When `record` is shorter than a checksum.
pub(crate) fn move_record(record: &mut [u8], from: (RecordSalt, u32), to: (RecordSalt, u32)) {
    let checksum = record.first_chunk_mut().expect("a record has a checksum");
    let moved = u32::from_le_bytes(*checksum) ^ from.0.at(from.1) ^ to.0.at(to.1);
    *checksum = moved.to_le_bytes();
}

/// Fills in the checksum of the record that begins at `start`.
#[inline]
fn seal(out: &mut [u8], start: usize, salt: Option<RecordSalt>, offset: u32) {
    let Some(salt) = salt else { return };
    let record = out.get_mut(start..).expect("the record begins there");
    let (checksum, rest) = record.split_at_mut(4);
    checksum.copy_from_slice(&(crc32c(rest) ^ salt.at(offset)).to_le_bytes());
}

fn u32_at(header: &[u8; RECORD_HEADER], at: usize) -> u32 {
    u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(header: &[u8; RECORD_HEADER], at: usize) -> u64 {
    u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> (RecordSalt, Vec<u8>) {
        let salt = RecordSalt::new(StreamId(7), 100);
        let mut bytes = Vec::new();
        let message = NewMessage {
            time: Timestamp::from_nanos(-5),
            subject: b"order.new",
            headers: b"NATS/1.0\r\n\r\n",
            payload: b"{}",
        };
        put_message(&mut bytes, Some(salt), 64, EntryIndex(3), 101, &message);
        (salt, bytes)
    }

    #[test]
    fn a_record_reads_back_what_was_written() {
        let (salt, bytes) = message();
        let fields = parse_record(&bytes, salt, 64).expect("valid");
        assert_eq!(
            (fields.kind, fields.length),
            (RecordKind::Message, bytes.len())
        );
        assert_eq!(fields.entry, EntryIndex(3));
        assert_eq!(
            fields.message,
            MessageView {
                sequence: StreamSequence(101),
                time: Timestamp::from_nanos(-5),
                subject: b"order.new",
                headers: b"NATS/1.0\r\n\r\n",
                payload: b"{}",
            }
        );
    }

    #[test]
    fn the_layout_is_as_drawn() {
        let (_, bytes) = message();
        assert_eq!(bytes.len(), 40 + 9 + 12 + 2);
        assert_eq!(
            bytes[4..40],
            [
                63, 0, 0, 0, 1, 0, 9, 0, 12, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 101, 0, 0, 0, 0, 0,
                0, 0, 251, 255, 255, 255, 255, 255, 255, 255,
            ]
        );
    }

    #[test]
    fn no_flipped_bit_and_no_other_place_passes() {
        let (salt, bytes) = message();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_record(&wrong, salt, 64).is_none(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                parse_record(&bytes[..length], salt, 64).is_none(),
                "length {length}"
            );
        }
        assert!(parse_record(&bytes, salt, 65).is_none(), "another offset");
        assert!(parse_record(&bytes, RecordSalt::new(StreamId(7), 101), 64).is_none());
        assert!(parse_record(&bytes, RecordSalt::new(StreamId(8), 100), 64).is_none());
        assert!(
            parse_record(&bytes, salt.revised(1), 64).is_none(),
            "another revision"
        );
    }

    #[test]
    fn a_record_can_be_moved() {
        let (salt, mut bytes) = message();
        let target = salt.revised(2);
        move_record(&mut bytes, (salt, 64), (target, 8));
        assert!(parse_record(&bytes, target, 8).is_some());
        assert!(parse_record(&bytes, salt, 64).is_none());
    }

    #[test]
    fn messages_count_as_in_nats_server() {
        let check = |has_headers, in_memory, expected| {
            assert_eq!(
                message_size(RECORD_HEADER as u64 + 10, has_headers, in_memory),
                expected
            );
        };
        check(false, false, 22 + 10 + 8);
        check(true, false, 22 + 4 + 10 + 8);
        check(false, true, 10 + 16);
        check(true, true, 10 + 16);
    }
}
