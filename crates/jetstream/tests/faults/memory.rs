//! What all streams together keep in memory of what is on disk has one bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use everjet_store::MemoryOptions;
use serde_json::json;

use crate::rig::{Rig, stream_config, wait_until};
use crate::seams::error_of;

const STREAMS: [&str; 3] = ["A", "B", "C"];
const MESSAGES: u64 = 200;
const OPTIONS: MemoryOptions = MemoryOptions {
    // Nothing read stays, so that each look at an old message is a read.
    read_bytes_max: 1000,
    tail_bytes_max: 100_000,
    open_files_max: 2,
    spare_bytes_max: 50_000,
};

/// The number in message `sequence` of a stream.
fn get(rig: &mut Rig, stream: &str, sequence: u64) -> u64 {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let answer = rig.ask(&subject, json!({ "seq": sequence }).to_string());
    let subject = answer["message"]["subject"].as_str();
    let number = subject.and_then(|subject| subject.rsplit('.').next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn recent_messages_and_old_ones_have_a_bound_each_for_all_streams() {
    let mut rig = Rig::with_memory(OPTIONS);
    let payload = vec![b'x'; 1000];
    for stream in STREAMS {
        let config = stream_config(stream, &format!("{stream}.>"), "file");
        let created = rig.ask(&format!("$JS.API.STREAM.CREATE.{stream}"), config);
        assert_eq!(error_of(&created), None, "{created}");
        for number in 1..MESSAGES {
            rig.publish(&format!("{stream}.{number}"), &payload);
        }
        rig.store(&format!("{stream}.{MESSAGES}"), &payload);
    }
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    rig.faults.set_reads(move |path| {
        let thread = std::thread::current();
        let is_for_an_answer = thread
            .name()
            .is_some_and(|name| name.starts_with("reader-"));
        if is_for_an_answer && path.extension().is_some_and(|kind| kind == "seg") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    wait_until("the first messages of all to be let go", || {
        STREAMS.iter().all(|stream| {
            let before = read.load(Ordering::SeqCst);
            assert_eq!(get(&mut rig, stream, 1), 1);
            read.load(Ordering::SeqCst) > before
        })
    });
    let fits = |rig: &Rig| {
        let kept = rig.memory_use().tail_bytes;
        (OPTIONS.tail_bytes_max / 2..=OPTIONS.tail_bytes_max).contains(&kept)
    };
    wait_until("the bound", || fits(&rig));
    for sequence in 1..=MESSAGES {
        for stream in STREAMS {
            assert_eq!(get(&mut rig, stream, sequence), sequence);
        }
        let used = rig.memory_use();
        assert!(used.read_bytes <= OPTIONS.read_bytes_max, "{used:?}");
        assert!(used.open_files <= OPTIONS.open_files_max, "{used:?}");
    }
    wait_until("the bound", || fits(&rig));
    let before = read.load(Ordering::SeqCst);
    for stream in STREAMS {
        assert_eq!(get(&mut rig, stream, MESSAGES), MESSAGES);
    }
    assert_eq!(
        read.load(Ordering::SeqCst),
        before,
        "each has its last ones"
    );
}
