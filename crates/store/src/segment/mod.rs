//! The format of segment files: header, records, runs of removed sequences. Footers are indexes, see `index`.

mod header;
mod record;
mod runs;

pub(crate) use header::{HeaderError, SegmentHeader};
pub(crate) use record::{
    Fields, RECORD_HEADER, RecordKind, RecordSalt, message_size, mix, move_record, parse_record,
    put_erased, put_message, put_removals, put_skip, record_length, view_record,
};
pub(crate) use runs::{Run, decode_runs, encode_runs, merge_runs};
