//! `nats-server check`: a store is damaged in many ways; the check says so, and a server starts on the repaired copy and serves what
//! is left.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use everjet_conformance::{JetStream, ServerProcess, executable};
use serde_json::Value;
use tempfile::TempDir;

const MESSAGES: u64 = 200;

/// Runs `check` on a store directory.
fn check(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(executable::server())
        .arg("check")
        .args(arguments)
        .arg(directory)
        .output()
        .expect("the server under test runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A store with 200 messages, of which number 3 was removed, and a consumer that acknowledged ten; stopped cleanly or killed.
fn store(end: fn(&mut ServerProcess)) -> ServerProcess {
    let mut server = ServerProcess::start_jetstream();
    let mut js = JetStream::connect(&server);
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    js.create_consumer("ORDERS", "worker", r#""ack_policy":"all""#);
    for number in 1..=MESSAGES {
        let body = format!("marked-{number:03}");
        assert_eq!(js.store(&format!("order.{}", number % 7), &body), number);
    }
    let deleted = js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":3,"no_erase":true}"#);
    assert_eq!(deleted["success"], true, "{deleted}");
    drop(js);
    end(&mut server);
    server
}

fn stop(server: &mut ServerProcess) {
    assert!(server.terminate().success());
}

/// The files below `folder` whose names end like this.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Copies the store, all but the zeros that the journal keeps ready.
fn copied(store: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory can be made");
    for path in files(store, "") {
        let below = path.strip_prefix(store).expect("it was found there");
        let target = copy.path().join("jetstream").join(below);
        fs::create_dir_all(target.parent().expect("a folder")).expect("writable");
        if !path.to_string_lossy().ends_with(".spare") {
            fs::copy(&path, target).expect("there is room");
        }
    }
    copy
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("long enough");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("writable");
}

/// Where files of this kind hold a text.
fn place_of(path: &Path, wanted: &str) -> Option<u64> {
    let bytes = fs::read(path).expect("it is there");
    let mut windows = bytes.windows(wanted.len());
    windows
        .position(|window| window == wanted.as_bytes())
        .map(|at| at as u64)
}

/// Checks a damaged store: the status is 1 and the report says these words. A server on the repaired copy has so many messages, a new
/// one gets a sequence that was never used, and the copy is sound once the server has stopped.
#[track_caller]
fn check_damage(name: &str, store: &Path, says: &[&str], messages: u64) {
    let before = fs::metadata(store)
        .expect("it is there")
        .modified()
        .expect("a time");
    let copy = tempfile::tempdir().expect("a temporary directory can be made");
    let target = copy.path().join("copy");
    let output = check(store, &["--repair", &target.display().to_string()]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{name}: {said}");
    for words in says {
        assert!(said.contains(words), "{name}: no \"{words}\" in {said}");
    }
    let after = fs::metadata(store)
        .expect("it is there")
        .modified()
        .expect("a time");
    assert_eq!(before, after, "{name}: the original is not written");
    let config = format!("jetstream: {{ store_dir: \"{}\" }}\n", target.display());
    let mut server = ServerProcess::start(&config);
    let mut js = JetStream::connect(&server);
    let state = js.api("STREAM.INFO.ORDERS", "")["state"].take();
    assert_eq!(state["messages"], messages, "{name}: {said}");
    let mut read = 0;
    for sequence in 1..=MESSAGES {
        let answer = js.api("STREAM.MSG.GET.ORDERS", &format!("{{\"seq\":{sequence}}}"));
        read += u64::from(answer["error"] == Value::Null);
    }
    assert_eq!(read, messages, "{name}");
    assert!(js.store("order.new", "next") > MESSAGES, "{name}");
    drop(js);
    stop(&mut server);
    let again = check(&target, &[]);
    assert_eq!(again.status.code(), Some(0), "{name}: {}", text(&again));
}

#[test]
fn a_sound_store_is_sound_and_one_in_use_is_not_checked() {
    let mut server = store(|_| {});
    let served = check(&server.store(), &[]);
    assert_eq!(served.status.code(), Some(2), "{}", text(&served));
    assert!(text(&served).contains("in use by another server"));
    stop(&mut server);
    let sound = check(&server.store(), &[]);
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound));
    let line = "stream $G/ORDERS: 199 messages, sequences 1 to 200, 1 consumers";
    assert!(text(&sound).contains(line), "{}", text(&sound));
    let json = check(&server.store(), &["--json"]);
    let report: Value = serde_json::from_slice(&json.stdout).expect("a JSON document");
    assert_eq!(report["sound"], true);
    assert_eq!(report["findings"], serde_json::json!([]));
    assert_eq!(report["streams"][0]["messages"], 199);
    for arguments in [&["--fix"][..], &["/a/b/c"]] {
        assert_eq!(check(&server.store(), arguments).status.code(), Some(2));
    }
}

#[test]
fn damage_of_every_kind_is_said_and_the_rest_is_served_from_the_copy() {
    let server = store(stop);
    let original = server.store();
    let damaged = |name: &str, damage: &dyn Fn(&Path), says: &[&str], messages: u64| {
        let copy = copied(&original);
        let folder = copy.path().join("jetstream");
        damage(&folder);
        check_damage(name, &folder, says, messages);
    };
    let segment = |folder: &Path| files(folder, ".seg").remove(0);
    damaged(
        "a payload",
        &|folder| {
            let path = segment(folder);
            flip(&path, place_of(&path, "marked-100").expect("it was stored"));
        },
        &[
            "loss: stream ORDERS:",
            "sequence 100 cannot be read",
            "what to do:",
        ],
        198,
    );
    damaged(
        "the payload of a removed message",
        &|folder| {
            let path = segment(folder);
            flip(&path, place_of(&path, "marked-003").expect("it was stored"));
        },
        &[
            "damage without loss:",
            "messages 3 to 3 were removed before",
        ],
        199,
    );
    damaged(
        "the header of a segment",
        &|folder| flip(&segment(folder), 20),
        &["the header fails its check"],
        199,
    );
    damaged(
        "an index",
        &|folder| flip(&files(folder, ".idx")[0], 100),
        &["damage without loss:", ".idx"],
        199,
    );
    damaged(
        "a slot of the manifest",
        &|folder| flip(&files(folder, "manifest.a")[0], 100),
        &["manifest.a", "the checksum does not match"],
        199,
    );
    damaged(
        "the identity of a stream",
        &|folder| fs::write(&files(folder, "meta.json")[0], "").expect("writable"),
        &["meta.json", "nothing is lost"],
        199,
    );
    damaged(
        "a consumer",
        &|folder| flip(&files(folder, ".state")[0], 60),
        &["consumer worker of stream ORDERS is lost"],
        199,
    );
    damaged(
        "a segment that is cut",
        &|folder| {
            let path = segment(folder);
            let at = place_of(&path, "marked-101").expect("it was stored");
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .expect("it is there");
            file.set_len(at).expect("writable");
        },
        &[
            "the file is too short",
            "sequences 101 to 200 cannot be read",
        ],
        99,
    );
    damaged(
        "a segment that is gone",
        &|folder| fs::remove_file(segment(folder)).expect("it is there"),
        &["the file is missing", "sequences 1 to 200 cannot be read"],
        0,
    );
    damaged(
        "both slots of the manifest",
        &|folder| {
            flip(&files(folder, "manifest.a")[0], 100);
            flip(&files(folder, "manifest.b")[0], 100);
        },
        &["no usable manifest", "the server does not start"],
        199,
    );
}

#[test]
fn a_sealed_segment_and_its_footer_are_verified() {
    let mut server = ServerProcess::start_jetstream();
    let mut js = JetStream::connect(&server);
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    for number in 1..=MESSAGES {
        let body = format!("marked-{number:03}{}", "x".repeat(170_000));
        assert_eq!(js.store("order.new", &body), number);
    }
    drop(js);
    stop(&mut server);
    let store = server.store();
    let segments = files(&store, ".seg");
    assert!(segments.len() > 1, "the first is sealed");
    assert_eq!(check(&store, &[]).status.code(), Some(0));
    let length = fs::metadata(&segments[0]).expect("it is there").len();
    flip(&segments[0], length - 20);
    check_damage(
        "the footer",
        &store,
        &["the footer fails its check"],
        MESSAGES,
    );
    flip(&segments[0], length - 20);
    flip(&segments[0], length / 2);
    let output = check(&store, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(
        said.contains("cannot be read") && said.contains("199 messages"),
        "{said}"
    );
}

#[test]
fn a_killed_server_leaves_a_store_that_is_sound() {
    let server = store(ServerProcess::kill);
    let output = check(&server.store(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("199 messages, sequences 1 to 200"));
}
