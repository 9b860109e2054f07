//! What lies in the store directory, and what may be deleted there.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, ServerProcess};

use crate::shell::{ADD, files, ok, orders_folder, start};

fn has(folder: &Path, extension: &str) -> bool {
    files(folder)
        .iter()
        .any(|file| file.extension().is_some_and(|found| found == extension))
}

/// Size of all segments, which hold a header at least.
fn segment_bytes(folder: &Path) -> u64 {
    let segments = files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|found| found == "seg"));
    segments
        .map(|file| fs::metadata(folder.join(file)).map_or(0, |data| data.len()))
        .sum()
}

fn contains(folder: &Path, needle: &[u8]) -> bool {
    let segments = files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|found| found == "seg"));
    segments
        .map(|file| fs::read(folder.join(file)).unwrap_or_default())
        .any(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
}

#[track_caller]
fn orders(server: &ServerProcess) -> std::path::PathBuf {
    orders_folder(server).expect("the stream has a folder")
}

#[test]
fn messages_reach_their_segment_within_a_second_of_quiet() {
    let server = start();
    ok(&server, ADD);
    ok(&server, "nats pub order.new find-me-in-the-segment");
    let start = Instant::now();
    // A second, and what a busy machine adds to it.
    while !contains(&orders(&server), b"find-me-in-the-segment") {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            files(&orders(&server))
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_clean_stop_leaves_segments_indexes_and_metadata() {
    let mut server = start();
    ok(&server, ADD);
    ok(&server, "nats pub order.new hello-in-the-file");
    ok(
        &server,
        "nats consumer add ORDERS billing --pull --ack explicit",
    );
    assert!(server.terminate().success());
    let folder = orders(&server);
    assert!(
        has(&folder, "seg") && segment_bytes(&folder) > 0,
        "{:?}",
        files(&folder)
    );
    assert!(has(&folder, "idx"), "{:?}", files(&folder));
    assert!(folder.join("meta.json").is_file(), "{:?}", files(&folder));
    assert!(
        folder.join("consumers/billing").is_dir(),
        "{:?}",
        files(&folder)
    );
    assert!(contains(&folder, b"hello-in-the-file"));
    let meta = fs::read_to_string(folder.join("meta.json")).expect("metadata is text");
    assert!(meta.contains("order.*"), "{meta}");
}

#[test]
fn deleting_derived_files_changes_nothing() {
    let mut server = start();
    ok(&server, ADD);
    let mut js = JetStream::connect(&server);
    for number in 1..=500 {
        assert_eq!(
            js.store(&format!("order.{}", number % 5), &format!("body {number}")),
            number
        );
    }
    for sequence in [7, 8, 100] {
        assert_eq!(
            js.api(
                "STREAM.MSG.DELETE.ORDERS",
                &format!("{{\"seq\":{sequence}}}")
            )["success"],
            true
        );
    }
    let before = contents(&mut js);
    assert!(server.terminate().success());
    let folder = orders(&server);
    let mut deleted = 0;
    for file in files(&folder) {
        if file.extension().is_some_and(|extension| extension == "idx")
            || file.ends_with("checkpoint.bin")
        {
            fs::remove_file(folder.join(&file)).expect("our own file");
            deleted += 1;
        }
    }
    assert!(deleted > 0, "nothing to delete in {:?}", files(&folder));
    server.start_again();
    assert_eq!(contents(&mut JetStream::connect(&server)), before);
}

/// The state and every message of ORDERS.
fn contents(js: &mut JetStream) -> Vec<serde_json::Value> {
    let info = js.api(
        "STREAM.INFO.ORDERS",
        r#"{"deleted_details":true,"subjects_filter":">"}"#,
    );
    let last = info["state"]["last_seq"].as_u64().expect("a number");
    let mut all = vec![info["state"].clone(), info["config"].clone()];
    all.extend(
        (1..=last)
            .map(|sequence| js.api("STREAM.MSG.GET.ORDERS", &format!("{{\"seq\":{sequence}}}"))),
    );
    all
}

#[test]
fn removing_the_stream_removes_its_folder() {
    let server = start();
    ok(&server, ADD);
    ok(&server, "nats pub order.new hello");
    let folder = orders(&server);
    ok(&server, "nats stream rm ORDERS -f");
    let start = Instant::now();
    while folder.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            files(&folder)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let listed = ok(&server, "nats stream ls --json");
    assert!(!listed.out.contains("ORDERS"), "{listed:?}");
}
