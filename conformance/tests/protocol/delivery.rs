//! Slow receivers and the end of a server.

use std::time::Duration;

use everjet_conformance::{RawClient, ServerProcess, executable};

#[test]
fn a_receiver_that_does_not_read_is_closed_and_others_get_everything() {
    let server = ServerProcess::start("max_pending: 2097152\nwrite_deadline: \"1s\"\n");
    let mut slow = RawClient::ready(server.port());
    slow.send(b"SUB flood 1\r\n");
    slow.expect_quiet();
    let mut fast = RawClient::ready(server.port());
    fast.send(b"SUB flood 1\r\n");
    fast.expect_quiet();
    let mut publisher = RawClient::ready(server.port());
    let message = [b"PUB flood 65536\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
    for number in 0..512 {
        publisher.send(&message);
        // In step, so that the fast receiver cannot become a slow one on a busy machine.
        assert_eq!(fast.message().subject, "flood", "message {number}");
    }
    slow.set_patience(Duration::from_secs(20));
    let mut got = 0;
    while slow.try_message().is_ok() {
        got += 1;
    }
    assert!(got < 512, "the slow receiver got everything");
}

#[test]
fn sigterm_ends_the_process_and_its_connections() {
    let mut server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    let status = server.terminate();
    assert!(status.success(), "{status}");
    client.expect_closed();
}

#[test]
fn the_version_line_is_what_scripts_match() {
    let output = std::process::Command::new(executable::server())
        .arg("-v")
        .output()
        .expect("the executable runs");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("nats-server: v2."), "{text}");
}

#[test]
fn an_unknown_option_of_the_configuration_is_named_with_its_place() {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let file = folder.path().join("bad.conf");
    std::fs::write(&file, "port: -1\nno_such_option: 1\n").expect("writable");
    let output = std::process::Command::new(executable::server())
        .arg("-c")
        .arg(&file)
        .output()
        .expect("the executable runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("bad.conf:2:1: unknown field \"no_such_option\""),
        "{text}"
    );
}

#[test]
fn a_configuration_without_values_is_no_error() {
    let server = ServerProcess::start("# Nothing yet.\n");
    RawClient::ready(server.port()).expect_quiet();
}
