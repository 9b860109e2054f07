//! One record of the journal: its layout, how it is stamped and how it is read back.
//!
//! All numbers are little endian.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | length of the whole record in bytes, this field included; 0 = nothing was written here |
//! | 4 | 4 | body checksum: CRC-32C of the body |
//! | 8 | 8 | generation of the file |
//! | 16 | 8 | LSN |
//! | 24 | 8 | stream id |
//! | 32 | 8 | entry index |
//! | 40 | 4 | unsynced: how many LSNs before this one were not known durable when it was written; 2^32-1 = unknown |
//! | 44 | 1 | kind |
//! | 45 | 1 | 1 if the body is sealed, else 0 |
//! | 46 | 1 | 1: a copy of it follows; 2: it is the copy of the record before; else 0 |
//! | 47 | 1 | zero |
//! | 48 | 4 | head checksum: CRC-32C of bytes 0..48 |
//! | 52 | … | body |
//!
//! Records that remove something, or say what there is, are written twice, one right behind the other: damage to one of the
//! two costs nothing. Both name the same stream and entry, and each has an LSN of its own.
//!
//! A sealed body is encrypted with the key of its file and followed by a tag of 16 bytes. The nonce is the LSN, the tag covers
//! bytes 0..4 and 8..48 of the head too. The checksums are of what is in the file: damage and torn tails are told without a
//! key.
//!
//! The head checksum covers the length, the identity and the body checksum, so together the two cover every byte. Body
//! checksums are computed where the record is made; the commit thread touches heads only. The generation in every record
//! keeps bytes of a recycled file from passing for new ones, the LSN keeps the order.

use everjet_values::EntryIndex;

use crate::checksum::crc32c;
use crate::identity::{Lsn, StreamId};
use crate::journal::report::RecordIdentity;
use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::{JournalKey, TAG_BYTES};

/// Bytes before the body.
pub(super) const HEAD_BYTES: usize = 52;
/// The kind that [`StreamId::SERVER`] records of the journal itself have: no body, says only what was synced before it.
pub(super) const KIND_MARK: u8 = 0;
/// `unsynced` of a record that proves nothing.
const UNSYNCED_UNKNOWN: u32 = u32::MAX;

/// A record read back from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalRecord<'a> {
    /// Its position in the journal.
    pub lsn: Lsn,
    /// The stream it belongs to; [`StreamId::SERVER`] for the server's own records.
    pub stream: StreamId,
    /// The entry of that stream's log.
    pub entry: EntryIndex,
    /// What the body is; the meaning belongs to the layers above.
    pub kind: u8,
    /// The body as it was written.
    pub body: &'a [u8],
}

/// Whether a record is written once or twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Copies {
    /// There is no copy.
    #[default]
    None,
    /// The next record is its copy.
    Follows,
    /// It is the copy of the record before.
    OfTheOneBefore,
}

impl Copies {
    fn encode(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Follows => 1,
            Self::OfTheOneBefore => 2,
        }
    }

    fn decode(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Follows),
            2 => Some(Self::OfTheOneBefore),
            _ => None,
        }
    }
}

/// A valid record in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    pub(super) record: JournalRecord<'a>,
    /// Whether the body is sealed: it has to be opened before it means anything.
    pub(super) sealed: bool,
    pub(super) copies: Copies,
    /// Everything up to here was durable when the record was written.
    pub(super) synced: Lsn,
    /// Bytes in the file.
    pub(super) length: usize,
}

impl Stored<'_> {
    /// Whether the record is the journal's own and nobody else's business.
    pub(super) fn is_mark(&self) -> bool {
        self.record.stream == StreamId::SERVER && self.record.kind == KIND_MARK
    }
}

/// Appends a record to `bytes`, complete but for what [`stamp`] adds.
///
/// # Panics
/// When the record is 4 GiB or longer, or `fill` shortens the vector.
pub(super) fn encode(
    bytes: &mut Vec<u8>,
    stream: StreamId,
    entry: EntryIndex,
    kind: u8,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    let start = bytes.len();
    bytes.resize(start + HEAD_BYTES, 0);
    fill(bytes);
    assert!(
        bytes.len() >= start + HEAD_BYTES,
        "a body is appended, nothing before it removed"
    );
    let (head, body) = bytes[start..].split_at_mut(HEAD_BYTES);
    let length = u32::try_from(HEAD_BYTES + body.len()).expect("a record is shorter than 4 GiB");
    put(head, 0, length.to_le_bytes());
    put(head, 4, crc32c(body).to_le_bytes());
    put(head, 24, stream.0.to_le_bytes());
    put(head, 32, entry.0.to_le_bytes());
    put(head, 44, [kind]);
}

/// Appends the record that begins at `start` and ends `bytes` once more, and says so in both.
pub(super) fn encode_copy(bytes: &mut Vec<u8>, start: usize) {
    let copy = bytes.len();
    bytes.extend_from_within(start..);
    put(&mut bytes[start..], COPIES_AT, [Copies::Follows.encode()]);
    put(
        &mut bytes[copy..],
        COPIES_AT,
        [Copies::OfTheOneBefore.encode()],
    );
}

/// Gives the record at the start of `bytes` its place and its head checksum; returns its length.
///
/// `synced` is the last position known durable now.
pub(super) fn stamp(bytes: &mut [u8], generation: u64, lsn: Lsn, synced: Lsn) -> usize {
    put_place(bytes, generation, lsn, synced);
    put_head_checksum(bytes);
    encoded_length(bytes)
}

/// [`stamp`] for a record that [`make_room_for_tags`] has made longer: seals its body too. A position must not be sealed twice
/// with the same key.
pub(super) fn stamp_sealed(
    bytes: &mut [u8],
    generation: u64,
    lsn: Lsn,
    synced: Lsn,
    key: &JournalKey,
) -> usize {
    let length = encoded_length(bytes);
    put(bytes, SEALED_AT, [1]);
    put_place(bytes, generation, lsn, synced);
    let (head, body) = bytes[..length].split_at_mut(HEAD_BYTES);
    let (text, room) = body.split_at_mut(body.len() - TAG_BYTES);
    room.copy_from_slice(&key.seal(lsn.0, &context(head), text));
    put(head, 4, crc32c(body).to_le_bytes());
    put_head_checksum(bytes);
    length
}

/// Appends the encoded records of `plain` to `out`, each with room for the tag behind its body.
pub(super) fn make_room_for_tags(mut plain: &[u8], out: &mut Vec<u8>) {
    while !plain.is_empty() {
        let (record, rest) = plain.split_at(encoded_length(plain));
        plain = rest;
        let start = out.len();
        out.extend_from_slice(record);
        out.extend_from_slice(&[0; TAG_BYTES]);
        let length =
            u32::try_from(record.len() + TAG_BYTES).expect("a record is shorter than 4 GiB");
        put(&mut out[start..], 0, length.to_le_bytes());
    }
}

/// The body of a sealed record, of which `bytes` are all; `None` when it is not what was sealed, or with another key.
pub(super) fn open_body(bytes: &[u8], key: &JournalKey) -> Option<Vec<u8>> {
    let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    let lsn = u64::from_le_bytes(number(head, 16)?);
    let mut body = body.to_vec();
    let length = key.open(lsn, &context(head), &mut body)?.len();
    body.truncate(length);
    Some(body)
}

/// What a sealed body is bound to: the head without its checksums.
fn context(head: &[u8]) -> [u8; 44] {
    let mut context = [0; 44];
    context[..4].copy_from_slice(&head[..4]);
    context[4..].copy_from_slice(&head[8..48]);
    context
}

fn put_place(bytes: &mut [u8], generation: u64, lsn: Lsn, synced: Lsn) {
    let unsynced = u32::try_from(lsn.0 - 1 - synced.0).unwrap_or(UNSYNCED_UNKNOWN);
    put(bytes, 8, generation.to_le_bytes());
    put(bytes, 16, lsn.0.to_le_bytes());
    put(bytes, 40, unsynced.to_le_bytes());
}

fn put_head_checksum(bytes: &mut [u8]) {
    let checksum = crc32c(&bytes[..48]);
    put(bytes, 48, checksum.to_le_bytes());
}

/// The length of the encoded record at the start of `bytes`, which this process has encoded.
pub(super) fn encoded_length(bytes: &[u8]) -> usize {
    number(bytes, 0)
        .map(u32::from_le_bytes)
        .expect("a batch holds whole records") as usize
}

/// The record at the start of `bytes`, when there is a whole and valid one of this `generation`.
pub(super) fn decode(bytes: &[u8], generation: u64) -> Option<Stored<'_>> {
    let length = u32::from_le_bytes(number(bytes, 0)?) as usize;
    let written = bytes.get(..length)?;
    let (head, body) = written.split_at_checked(HEAD_BYTES)?;
    let valid = (u64::from_le_bytes(number(head, 8)?) == generation
        || is_planted(PlantedBug::NoChain))
        && (u32::from_le_bytes(number(head, 48)?) == crc32c(&head[..48])
            || is_planted(PlantedBug::HeadOutsideChecksum))
        && (u32::from_le_bytes(number(head, 4)?) == crc32c(body)
            || is_planted(PlantedBug::TornRecordAccepted))
        && number(head, 47)? == [0];
    if !valid {
        return None;
    }
    let copies = Copies::decode(u8::from_le_bytes(number(head, COPIES_AT)?))?;
    let sealed = match number(head, SEALED_AT)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    let lsn = u64::from_le_bytes(number(head, 16)?);
    let synced = match u32::from_le_bytes(number(head, 40)?) {
        UNSYNCED_UNKNOWN => 0,
        unsynced => lsn.checked_sub(1)?.checked_sub(u64::from(unsynced))?,
    };
    let [kind] = number(head, 44)?;
    Some(Stored {
        record: JournalRecord {
            lsn: Lsn(lsn),
            stream: StreamId(u64::from_le_bytes(number(head, 24)?)),
            entry: EntryIndex(u64::from_le_bytes(number(head, 32)?)),
            kind,
            body,
        },
        sealed,
        copies,
        synced: Lsn(synced),
        length,
    })
}

/// Which record a damaged one was, when its head is sound and only its body is not: `bytes` begin with it.
pub(super) fn decode_identity(bytes: &[u8], generation: u64) -> Option<(Lsn, RecordIdentity)> {
    let head = bytes.get(..HEAD_BYTES)?;
    let is_sound = u64::from_le_bytes(number(head, 8)?) == generation
        && u32::from_le_bytes(number(head, 48)?) == crc32c(&head[..48]);
    let [kind] = number(head, 44)?;
    is_sound.then_some((
        Lsn(u64::from_le_bytes(number(head, 16)?)),
        RecordIdentity {
            stream: StreamId(u64::from_le_bytes(number(head, 24)?)),
            entry: EntryIndex(u64::from_le_bytes(number(head, 32)?)),
            kind,
        },
    ))
}

/// Where a record says whether it is sealed.
const SEALED_AT: usize = 45;
/// Where it says whether there are two of it.
const COPIES_AT: usize = 46;
/// Where in a record the generation is; searches for records look for it.
pub(super) const GENERATION_AT: usize = 8;

pub(super) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, StreamId(7), EntryIndex(9), 3, |body| {
            body.extend(b"hello")
        });
        let length = stamp(&mut bytes, 0xAB, Lsn(12), Lsn(10));
        assert_eq!(length, bytes.len());
        bytes
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let bytes = sample();
        let stored = decode(&bytes, 0xAB).unwrap();
        let expected = JournalRecord {
            lsn: Lsn(12),
            stream: StreamId(7),
            entry: EntryIndex(9),
            kind: 3,
            body: b"hello",
        };
        assert_eq!(stored.record, expected);
        assert_eq!((stored.synced, stored.length), (Lsn(10), HEAD_BYTES + 5));
    }

    #[test]
    fn no_flipped_bit_and_no_other_generation_passes() {
        let bytes = sample();
        assert!(decode(&bytes, 0xAC).is_none());
        assert!(decode(&bytes[..bytes.len() - 1], 0xAB).is_none());
        assert!(decode(&[0; 64], 0).is_none(), "zeros are no record");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged, 0xAB).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_sealed_record_opens_in_its_place_only() {
        let disk = crate::seal::testing::sealed_disk(&crate::sim_disk::SimDisk::new(), 1, 1);
        let keys = disk.keys().unwrap();
        let (key, other) = (keys.new_file(), keys.new_file());
        let mut plain = Vec::new();
        for body in [&b"hello"[..], b""] {
            encode(&mut plain, StreamId(7), EntryIndex(9), 3, |out| {
                out.extend(body)
            });
        }
        let mut bytes = Vec::new();
        make_room_for_tags(&plain, &mut bytes);
        let first = stamp_sealed(&mut bytes, 0xAB, Lsn(12), Lsn(10), &key);
        stamp_sealed(&mut bytes[first..], 0xAB, Lsn(13), Lsn(10), &key);
        assert!(!bytes.windows(5).any(|part| part == b"hello"));
        let stored = decode(&bytes, 0xAB).unwrap();
        assert!(stored.sealed);
        assert_eq!(
            (stored.length, stored.synced),
            (HEAD_BYTES + 5 + TAG_BYTES, Lsn(10))
        );
        assert_eq!(open_body(&bytes[..first], &key).unwrap(), b"hello");
        assert_eq!(open_body(&bytes[first..], &key).unwrap(), b"");
        assert!(open_body(&bytes[..first], &other).is_none());
        // What the checksums cannot tell, because somebody has made them fit: another stream, another kind.
        for at in [16, 24, 32, 40, 44] {
            let mut moved = bytes[..first].to_vec();
            moved[at] ^= 1;
            assert!(open_body(&moved, &key).is_none(), "byte {at}");
        }
    }

    #[test]
    fn too_far_behind_proves_nothing() {
        let mut bytes = sample();
        stamp(&mut bytes, 1, Lsn(1 << 40), Lsn(5));
        assert_eq!(decode(&bytes, 1).unwrap().synced, Lsn::ZERO);
    }
}
