//! Imports between simulated disks: power cuts and faults at every step, damage of every file. The source is what nats-server 2.15.1
//! wrote, see `crates/foreign/tests/fixtures`.

use std::path::Path;
use std::sync::Arc;

use everjet_jetstream::{OpenStore, OpenedStream, Paths, StorageOptions};
use everjet_store::{Cipher, Disk, Encryption, OpenMode, SimDisk, SimFault, StoreKey};
use everjet_values::{SeededEntropy, StreamSequence};

use super::Keys;
use super::arguments::Arguments;
use super::report::Totals;

const SOURCE: &str = "/old";
const TARGET: &str = "/new";
const STREAM: &str = "/old/jetstream/$G/streams/ORDERS";

macro_rules! fixture {
    ($file:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../foreign/tests/fixtures/plain/",
            $file
        ))
        .as_slice()
    };
}

fn files() -> Vec<(String, &'static [u8])> {
    let consumer = format!("{STREAM}/obs/work");
    let files = [
        (STREAM, "meta.inf", fixture!("meta.inf")),
        (STREAM, "meta.sum", fixture!("meta.sum")),
        (STREAM, "msgs/1.blk", fixture!("1.blk")),
        (STREAM, "msgs/index.db", fixture!("index.db")),
        (&consumer, "meta.inf", fixture!("consumer.meta.inf")),
        (&consumer, "meta.sum", fixture!("consumer.meta.sum")),
        (&consumer, "o.dat", fixture!("consumer.o.dat")),
    ];
    files
        .map(|(folder, name, bytes)| (format!("{folder}/{name}"), bytes))
        .to_vec()
}

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    let folder = path.parent().expect("files have folders");
    disk.create_dir_all(folder).expect("an endless disk");
    let file = disk.open(path, OpenMode::CreateNew).expect("a new file");
    file.write_all_at(bytes, 0).expect("an endless disk");
    file.sync().expect("an endless disk");
    disk.sync_dir(folder).expect("an endless disk");
}

/// A disk with the source on it.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    for (path, bytes) in files() {
        put(&disk, &path, bytes);
    }
    disk
}

fn arguments() -> Arguments {
    Arguments {
        source: SOURCE.into(),
        target: Some(TARGET.into()),
        ..Arguments::default()
    }
}

fn salvage() -> Arguments {
    Arguments {
        salvage: true,
        ..arguments()
    }
}

/// The outcome of an import and what it said.
fn import(disk: &SimDisk, arguments: &Arguments) -> (Result<Totals, String>, String) {
    import_with(disk, arguments, &Keys::default())
}

fn import_with(
    disk: &SimDisk,
    arguments: &Arguments,
    keys: &Keys,
) -> (Result<Totals, String>, String) {
    let mut said = String::new();
    let outcome = super::import(&disk.shared(), arguments, keys, &mut |line| {
        said.push_str(line);
        said.push('\n');
    });
    (outcome, said)
}

/// The streams that a server would find.
fn streams(disk: &SimDisk) -> Vec<OpenedStream> {
    streams_with(disk, None)
}

fn streams_with(disk: &SimDisk, encryption: Option<Encryption>) -> Vec<OpenedStream> {
    let options = StorageOptions {
        encryption,
        ..StorageOptions::default()
    };
    let shared: Arc<dyn Disk> = disk.shared();
    let store = OpenStore::open(&shared, &Paths::new(Path::new(TARGET)), &options);
    let store = store.expect("a store that can be opened");
    assert!(store.offline.is_empty());
    store.streams
}

/// The messages of a stream: sequence, subject, payload.
fn messages(stream: &mut OpenedStream) -> Vec<(u64, String, String)> {
    let store = stream.stream.store_mut();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let everything = store.select(&[]);
    let mut next = store.next_match(&everything, StreamSequence(1));
    let mut found = Vec::new();
    while let Some(sequence) = next {
        let message = store.get(sequence).expect("a sound store");
        found.push((sequence.0, text(message.subject()), text(message.payload())));
        next = store.next_match(&everything, sequence.next());
    }
    found
}

fn expected() -> Vec<(u64, String, String)> {
    let message = |number| {
        (
            number,
            format!("orders.{}", number % 3),
            format!("message {number}"),
        )
    };
    [3, 4].into_iter().chain(7..=12).map(message).collect()
}

#[track_caller]
fn check_imported(disk: &SimDisk) {
    let mut streams = streams(disk);
    assert_eq!(streams.len(), 1);
    let stream = &mut streams[0];
    assert_eq!(
        (stream.account.as_str(), stream.name.as_str()),
        ("$G", "ORDERS")
    );
    assert_eq!(messages(stream), expected());
    let state = stream.stream.store_mut().state();
    assert_eq!((state.messages, state.bytes), (8, 479));
    assert_eq!((state.first_sequence.0, state.last_sequence.0), (3, 12));
    assert_eq!(stream.stream.consumer_names(), ["work"]);
}

/// The source is as it was.
#[track_caller]
fn check_source(disk: &SimDisk) {
    let mut found: Vec<_> = disk
        .list_files()
        .into_iter()
        .filter(|path| path.starts_with(SOURCE))
        .collect();
    found.sort();
    let mut expected = files();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (path, (name, bytes)) in found.iter().zip(expected) {
        assert_eq!(path, Path::new(&name));
        assert_eq!(
            everjet_store::read_file(disk, path).expect("readable"),
            bytes
        );
    }
}

#[test]
fn an_encrypted_store_takes_streams_in_with_its_key_and_shows_nothing_of_them() {
    let disk = disk();
    let encryption = |key: &str, seed| Encryption {
        key: StoreKey::new(key.as_bytes()),
        previous: None,
        cipher: Cipher::Aes256Gcm,
        entropy: Arc::new(SeededEntropy::new(seed)),
    };
    let keys = |key, seed| Keys {
        target: Some(encryption(key, seed)),
        ..Keys::default()
    };
    let (outcome, said) = import_with(&disk, &arguments(), &keys("right", 1));
    assert_eq!(outcome.expect("an endless disk").messages, 8, "{said}");
    for (keys, why) in [
        (keys("wrong", 2), "does not open /new/jetstream/keyring.a"),
        (Keys::default(), "is encrypted: set jetstream"),
    ] {
        let (outcome, _) = import_with(&disk, &arguments(), &keys);
        let text = outcome.expect_err("it is locked");
        assert!(text.contains(why), "{text}");
    }
    let mut streams = streams_with(&disk, Some(encryption("right", 3)));
    assert_eq!(messages(&mut streams[0]), expected());
    let ours = disk.list_files();
    for path in ours.iter().filter(|path| path.starts_with(TARGET)) {
        let bytes = everjet_store::read_file(&disk, path).expect("readable");
        for marker in ["ORDERS", "orders.", "message 3"] {
            let shows = bytes
                .windows(marker.len())
                .any(|part| part == marker.as_bytes());
            assert!(!shows, "{marker} is in {}", path.display());
        }
    }
}

#[test]
fn a_stream_comes_over_whole_and_the_source_is_only_read() {
    let disk = disk();
    let (outcome, said) = import(&disk, &arguments());
    let expected = Totals {
        streams: 1,
        messages: 8,
        bytes: 479,
        consumers: 1,
        ..Totals::default()
    };
    assert_eq!(outcome, Ok(expected), "{said}");
    check_imported(&disk.crash(1));
    check_source(&disk);
    let (again, said) = import(&disk, &arguments());
    assert_eq!(again.expect("a refusal is no failure").refused, 1);
    assert!(said.contains("already has a stream of this name"), "{said}");
    check_imported(&disk);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let disk = disk();
    let before = disk.operations();
    let dry = Arguments {
        dry_run: true,
        ..arguments()
    };
    let (outcome, said) = import(&disk, &dry);
    assert_eq!(
        outcome.map(|totals| (totals.messages, totals.bytes)),
        Ok((8, 479)),
        "{said}"
    );
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_power_cut_leaves_all_of_a_stream_or_nothing_and_the_import_can_be_repeated() {
    let mut cuts = 0;
    for step in 1.. {
        let disk = disk();
        disk.fail_at(disk.operations() + step, SimFault::Cut);
        let (outcome, _) = import(&disk, &arguments());
        let was_cut = disk.is_cut();
        for seed in 0..6 {
            let after = disk.crash(seed);
            let found = streams(&after).len();
            if outcome.as_ref().is_ok_and(|totals| totals.streams == 1) {
                assert_eq!(found, 1, "step {step}, seed {seed}: reported and lost");
            }
            if found == 1 {
                check_imported(&after);
            }
            let (again, said) = import(&after, &arguments());
            let again = again.unwrap_or_else(|error| panic!("step {step}, seed {seed}: {error}"));
            assert_eq!(
                again.streams,
                1 - found as u64,
                "step {step}, seed {seed}: {said}"
            );
            check_imported(&after);
            check_source(&after);
            let marks = |path: &std::path::PathBuf| path.ends_with("import.partial");
            assert!(
                !after.list_files().iter().any(marks),
                "step {step}, seed {seed}"
            );
        }
        cuts += 1;
        if !was_cut {
            break;
        }
    }
    assert!(cuts > 30, "an import takes many steps: {cuts}");
}

#[test]
fn a_disk_that_refuses_leaves_nothing_partial() {
    for fault in [SimFault::Enospc, SimFault::Eio] {
        for step in 1.. {
            let disk = disk();
            let failing = disk.operations() + step;
            disk.fail_at(failing, fault);
            let (outcome, said) = import(&disk, &arguments());
            let failed = disk.operations() >= failing;
            match outcome {
                Ok(totals) if totals.streams == 1 => check_imported(&disk.crash(step)),
                Ok(totals) => panic!("step {step}: {totals:?}: {said}"),
                Err(why) => assert!(!why.is_empty()),
            }
            let after = disk.kill();
            let found = streams(&after).len();
            let (again, said) = import(&after, &arguments());
            assert_eq!(
                again.expect("the disk is sound again").streams,
                1 - found as u64,
                "{said}"
            );
            check_imported(&after);
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn damage_is_refused_and_named_and_the_rest_can_be_salvaged() {
    let expected = expected();
    for (path, bytes) in files() {
        for byte in 0..bytes.len() {
            let damaged = disk();
            damaged.flip_bit(Path::new(&path), byte as u64 * 8 + byte as u64 % 8);
            let what = format!("{path} byte {byte}");
            let (outcome, said) = import(&damaged, &arguments());
            let totals = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
            if totals.refused == 1 {
                assert!(streams(&damaged).is_empty(), "{what}");
                let (outcome, _) = import(&damaged, &salvage());
                outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
            } else if path.ends_with("index.db") {
                assert!(said.contains("index.db cannot be used"), "{what}: {said}");
            }
            for stream in &mut streams(&damaged) {
                let found = messages(stream);
                assert!(
                    found.iter().all(|message| expected.contains(message)),
                    "{what}: {found:?}"
                );
                let is_whole = totals.refused == 0;
                assert!(
                    !is_whole || found == expected,
                    "{what}: silently lost, {said}"
                );
            }
        }
    }
}

#[test]
fn without_the_last_bytes_of_a_crash_everything_before_comes_over() {
    let disk = disk();
    // The last record, a tombstone of 30 bytes, was being written; the index had not been.
    let block = format!("{STREAM}/msgs/1.blk");
    disk.truncate(Path::new(&block), 787 - 7);
    let (outcome, said) = import(&disk, &arguments());
    assert_eq!(outcome.map(|totals| totals.streams), Ok(1), "{said}");
    assert!(
        said.contains("a crash cut short") && said.contains("index.db is older"),
        "{said}"
    );
    // Message 2 was purged by that record, and the index knows it.
    check_imported(&disk);
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let stranger = "/new/jetstream/$G/streams/ORDERS/notes.txt";
    let disk = disk();
    drop(streams(&disk));
    put(&disk, stranger, b"mine");
    let (outcome, said) = import(&disk, &arguments());
    assert_eq!(outcome.map(|totals| totals.refused), Ok(1));
    assert!(
        said.contains("belongs to no stream; move it away"),
        "{said}"
    );
    assert!(disk.list_files().contains(&stranger.into()));
}

#[test]
fn other_accounts_need_a_place_here() {
    let disk = SimDisk::new();
    for (path, bytes) in files() {
        put(&disk, &path.replace("$G", "SALES"), bytes);
    }
    let (outcome, said) = import(&disk, &arguments());
    assert_eq!(outcome.map(|totals| totals.refused), Ok(1));
    assert!(said.contains("--into-account '$G'"), "{said}");
    let into = Arguments {
        into: Some("$G".to_owned()),
        ..arguments()
    };
    assert_eq!(import(&disk, &into).0.map(|totals| totals.streams), Ok(1));
    check_imported(&disk);
}

#[test]
fn a_directory_without_streams_of_nats_server_is_refused() {
    let disk = SimDisk::new();
    let (outcome, _) = import(&disk, &arguments());
    assert!(outcome.is_err_and(|error| error.contains("/old")));
    drop(streams(&disk));
    let ours = Arguments {
        source: TARGET.into(),
        ..arguments()
    };
    assert!(
        import(&disk, &ours)
            .0
            .is_err_and(|error| error.contains("no such stream"))
    );
}
