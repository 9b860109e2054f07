//! What fuzzing checks: one function of bytes for each decoder of what a peer or a disk says. A function panics when
//! something is wrong.
//!
//! The fuzz targets of `fuzz/` call them with what coverage suggests; the tests of this crate with the corpus that was
//! kept, and with small changes of it.
#![forbid(unsafe_code)]

mod api;
mod client;
mod config;
mod connect;
mod decode;
mod headers;
mod input;
mod proxy;
mod storage;
mod stream;
mod subjects;
mod trace;
mod transform;
mod values;
mod websocket;

pub use api::{check_api, check_api_subjects};
pub use client::check_client;
pub use config::check_config;
pub use connect::check_connect;
pub use decode::check_decode;
pub use headers::check_headers;
pub use proxy::check_proxy;
pub use storage::{
    check_block, check_checkpoint, check_consumer, check_index, check_journal_file,
    check_journal_record, check_keyring, check_manifest, check_segment_file, check_segment_header,
    check_segment_record,
};
pub use stream::{check_replay_records, check_stream};
pub use subjects::check_subjects;
pub use trace::check_trace;
pub use transform::check_transform;
pub use values::check_values;
pub use websocket::{check_upgrade, check_websocket};

/// A function that panics when something is wrong with how these bytes are taken.
pub type Check = fn(&[u8]);

/// Every target: its name, which is that of its binary and its corpus too, and what it checks.
pub const TARGETS: [(&str, Check); 27] = [
    ("decode", check_decode),
    ("headers", check_headers),
    ("connect", check_connect),
    ("proxy", check_proxy),
    ("trace", check_trace),
    ("websocket", check_websocket),
    ("upgrade", check_upgrade),
    ("client", check_client),
    ("subjects", check_subjects),
    ("transform", check_transform),
    ("values", check_values),
    ("config", check_config),
    ("api", check_api),
    ("api_subjects", check_api_subjects),
    ("stream", check_stream),
    ("replay_records", check_replay_records),
    ("consumer", check_consumer),
    ("journal_record", check_journal_record),
    ("segment_record", check_segment_record),
    ("segment_header", check_segment_header),
    ("index", check_index),
    ("checkpoint", check_checkpoint),
    ("manifest", check_manifest),
    ("keyring", check_keyring),
    ("journal_file", check_journal_file),
    ("segment_file", check_segment_file),
    ("block", check_block),
];
