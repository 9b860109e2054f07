//! Checks of the journal's records, for fuzzing.

use everjet_values::EntryIndex;

use super::batch::JournalBatch;
use super::file::{HEADER_BYTES, Header};
use super::record::{HEAD_BYTES, decode, encode, encoded_length, put, stamp};
use crate::checksum::crc32c;
use crate::identity::{Lsn, StreamId};

pub(crate) const GENERATION: u64 = 0x1122_3344_5566_7788;

pub(crate) fn visit_records(batch: &JournalBatch, visit: &mut dyn FnMut(EntryIndex, u8, &[u8])) {
    let mut bytes = batch.encoded().to_vec();
    let mut rest = &mut bytes[..];
    let mut lsn = Lsn::FIRST;
    while !rest.is_empty() {
        let length = encoded_length(rest);
        stamp(rest, GENERATION, lsn, Lsn(lsn.0 - 1));
        let stored = decode(rest, GENERATION).expect("a batch holds whole records");
        assert_eq!((stored.length, stored.record.lsn), (length, lsn));
        visit(stored.record.entry, stored.record.kind, stored.record.body);
        rest = &mut rest[length..];
        lsn = Lsn(lsn.0 + 1);
    }
}

/// A file of this generation: a sound header, and `data` as records with lengths that there is room for, and with checksums that fit.
pub(crate) fn file_of_records(data: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + data.len() as u64;
    let header = Header {
        generation: GENERATION,
        first: Lsn::FIRST,
        synced: Lsn(data.first().map_or(0, |byte| u64::from(*byte))),
        length,
    };
    let mut bytes = header.encode().to_vec();
    bytes.resize(usize::try_from(HEADER_BYTES).expect("small"), 0);
    bytes.extend_from_slice(data);
    let mut rest = bytes
        .get_mut(usize::try_from(HEADER_BYTES).expect("small")..)
        .unwrap_or_default();
    while rest.len() >= HEAD_BYTES {
        let named = rest.first().map_or(0, |byte| usize::from(*byte));
        let length = (HEAD_BYTES + named % 64).min(rest.len());
        let (record, behind) = rest.split_at_mut(length);
        rest = behind;
        // One in eight stays as it is: damage.
        if named >= 224 {
            continue;
        }
        put(
            record,
            0,
            u32::try_from(length).expect("small").to_le_bytes(),
        );
        put(record, 8, GENERATION.to_le_bytes());
        put(record, 17, [0; 7]);
        let body = crc32c(&record[HEAD_BYTES..]).to_le_bytes();
        put(record, 4, body);
        put(record, 45, [0]);
        put(record, 47, [0]);
        let checksum = crc32c(&record[..48]);
        put(record, 48, checksum.to_le_bytes());
    }
    bytes
}

pub(crate) fn check_record(data: &[u8]) {
    let generation = data
        .get(8..16)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    if let Some(stored) = decode(data, generation) {
        assert!(stored.length <= data.len());
        assert!(decode(data, generation ^ 1).is_none());
    }
    if data.len() < HEAD_BYTES {
        return;
    }
    // The same with lengths and checksums that fit.
    let mut fitting = data.to_vec();
    let length = u32::try_from(data.len()).expect("fuzzers make small inputs");
    put(&mut fitting, 0, length.to_le_bytes());
    put(&mut fitting, 4, crc32c(&data[HEAD_BYTES..]).to_le_bytes());
    put(&mut fitting, 45, [0, data[46] % 3, 0]);
    let checksum = crc32c(&fitting[..48]);
    put(&mut fitting, 48, checksum.to_le_bytes());
    let Some(stored) = decode(&fitting, generation) else {
        // Only a synced mark before the beginning of time is refused.
        return;
    };
    assert!(stored.synced < stored.record.lsn || stored.record.lsn == Lsn(0));
    let record = stored.record;
    let mut again = Vec::new();
    encode(
        &mut again,
        record.stream,
        record.entry,
        record.kind,
        |out| {
            out.extend_from_slice(record.body);
        },
    );
    if record.lsn > Lsn(0) {
        put(&mut again, 46, [data[46] % 3]);
        stamp(&mut again, generation, record.lsn, stored.synced);
        let read = decode(&again, generation).expect("it was written here");
        assert_eq!((read.record, read.length), (record, stored.length));
    }
    assert!(record.stream == StreamId::SERVER || !stored.is_mark());
    assert!(decode(&fitting[..fitting.len() - 1], generation).is_none());
}
