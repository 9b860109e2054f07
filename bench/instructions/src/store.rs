//! What a stream does with a message. An operation is a message.

use std::hint::black_box;
use std::path::Path;

use everjet_api::StreamConfig;
use everjet_store::{SimDisk, StoreOptions, StreamId, StreamStore};
use everjet_stream::{Output, Publish, ServerLimits, Stream, normalise_config};
use everjet_values::Timestamp;

use crate::Case;

/// Messages in a round.
const ROUND: usize = 100;

pub(crate) const CASES: [Case; 2] = [
    // Checks, journal record, the record of the segment and its columns, the answer.
    Case {
        name: "store-file-128",
        rounds: 400,
        operations: ROUND as u64,
        prepare: || stored("file"),
    },
    Case {
        name: "store-memory-128",
        rounds: 400,
        operations: ROUND as u64,
        prepare: || stored("memory"),
    },
];

fn stored(storage: &str) -> Box<dyn FnMut()> {
    let config = format!(r#"{{"name":"BENCH","subjects":["bench.js"],"storage":"{storage}"}}"#);
    let config: StreamConfig = serde_json::from_str(&config).expect("it is one");
    let config = normalise_config(config, false, &ServerLimits::default()).expect("a valid one");
    let options = StoreOptions::default();
    let store = match storage {
        "file" => {
            let disk = SimDisk::new().shared();
            StreamStore::on_disk(disk, Path::new("/s").into(), StreamId(1), "BENCH", options)
        }
        _ => StreamStore::in_memory(options),
    };
    let mut now = Timestamp::from_nanos(1_795_195_616_500_000_000);
    let mut stream = Stream::create(StreamId(1), config, now, store);
    let mut out = Output::new();
    Box::new(move || {
        now = now.plus(std::time::Duration::from_micros(100));
        for _ in 0..ROUND {
            let publish = Publish {
                subject: black_box(b"bench.js"),
                reply: b"_INBOX.ack",
                headers: b"",
                payload: &[b'x'; 128],
            };
            stream.on_publish(now, &publish, &mut out);
        }
        assert_eq!(black_box(&out).effects.len(), ROUND);
        out.clear();
    })
}
