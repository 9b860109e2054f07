//! Each error of the story: clear, and nothing lost.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use everjet_conformance::{JetStream, RawClient, ServerProcess, executable};

use crate::shell::{ADD, CONFIG, Said, files, ok, run_with_input, start};

/// Starts a server that must not come up, and returns what it said.
#[track_caller]
fn refused(folder: &std::path::Path, config: &str) -> Said {
    fs::write(folder.join("nats-server.conf"), config).expect("writable");
    let child = Command::new(executable::server())
        .args(["-c", "nats-server.conf", "-a", "127.0.0.1", "-p", "-1"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the executable starts");
    let start = Instant::now();
    while child.try_wait().expect("our own child").is_none() {
        if start.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            let output = child.wait_with_output().expect("our own child");
            panic!(
                "the server came up: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output: Output = child.wait_with_output().expect("our own child");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
fn stored(server: &ServerProcess) -> u64 {
    let info = JetStream::connect(server).api("STREAM.INFO.ORDERS", "");
    info["state"]["messages"]
        .as_u64()
        .unwrap_or_else(|| panic!("{info}"))
}

#[test]
fn a_message_over_1_mb() {
    let server = start();
    ok(&server, ADD);
    ok(&server, "nats pub order.new small");
    let said = run_with_input(&server, "nats pub order.new", &vec![b'x'; 1_048_577]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("1048576")
            || said.err.contains("1.0 MiB")
            || said.err.contains("payload"),
        "{said:?}"
    );
    // The limit of the stream below the limit of the server: the stream refuses, and says so.
    let small = ADD
        .replace("ORDERS", "SMALL")
        .replace("order.*", "small")
        .replace("1MB", "1KB");
    ok(&server, &small);
    let said = run_with_input(&server, "nats pub small", &vec![b'x'; 1_025]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("message size exceeds maximum allowed") && said.err.contains("10054"),
        "{said:?}"
    );
    // Past both clients' checks, on the wire.
    let mut raw = RawClient::ready(server.port());
    raw.send(b"PUB order.new _INBOX.1 1048577\r\n");
    assert_eq!(raw.line(), "-ERR 'Maximum Payload Violation'");
    assert_eq!(stored(&server), 1);
}

#[test]
fn a_second_server_on_the_same_store_dir() {
    let server = start();
    ok(&server, ADD);
    ok(&server, "nats pub order.new kept");
    let said = refused(server.directory(), CONFIG);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("jetstream_data") && said.err.contains("another"),
        "{said:?}"
    );
    ok(&server, "nats pub order.new more");
    assert_eq!(stored(&server), 2);
}

#[test]
fn a_store_dir_written_by_nats_server() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let stream = folder
        .path()
        .join("jetstream_data/jetstream/$G/streams/ORDERS");
    // The shape of a nats-server 2.15 stream with one message block; what the bytes say does not matter here.
    for (path, bytes) in [
        (
            "meta.inf",
            br#"{"created":"2026-01-01T00:00:00Z","name":"ORDERS"}"#.as_slice(),
        ),
        ("meta.sum", b"0123456789abcdef"),
        ("msgs/1.blk", b"\x20\x00\x00\x00not really"),
        ("msgs/index.db", b"\x16\x01"),
    ] {
        let file = stream.join(path);
        fs::create_dir_all(file.parent().expect("inside the folder")).expect("writable");
        fs::write(file, bytes).expect("writable");
    }
    let store = folder.path().join("jetstream_data");
    let before = files(&store);
    let said = refused(folder.path(), CONFIG);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("nats-server") && said.err.contains("jetstream_data"),
        "{said:?}"
    );
    assert_eq!(files(&store), before, "the directory was written to");
    assert_eq!(
        fs::read(stream.join("msgs/1.blk")).expect("there"),
        b"\x20\x00\x00\x00not really"
    );
}

#[test]
fn an_unknown_key_in_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let said = refused(
        folder.path(),
        &CONFIG.replace("enabled: true", "enabeld: true"),
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains("nats-server.conf:4:3: unknown field \"enabeld\""),
        "{said:?}"
    );
    assert!(
        !folder.path().join("jetstream_data").exists(),
        "a store was made for a configuration that is refused"
    );
}

#[test]
fn no_server_at_all() {
    let mut server = start();
    assert!(server.terminate().success());
    let url = server.url();
    crate::shell::fails(
        &server,
        "nats pub order.new hello",
        &[url.trim_start_matches("nats://")],
    );
}
