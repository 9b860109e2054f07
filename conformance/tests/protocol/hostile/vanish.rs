//! Peers that come and go, or go without a word.

use std::net::TcpStream;
use std::time::Duration;

use everjet_conformance::ServerProcess;
use rustix::net::sockopt::set_socket_linger;

use super::{Asking, MEBIBYTE, Neighbours, expect_grown_less_than, quiet, settle, talk_until};

/// Closing sends a reset.
fn reset(socket: &TcpStream) {
    let set = set_socket_linger(socket, Some(Duration::ZERO));
    set.expect("a socket takes options");
}

#[test]
fn thousands_that_leave_at_once_leave_nothing_behind() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let files = server.open_files();
    let before = server.resident_bytes();
    for round in 0..20 {
        let mut all: Vec<_> = (0..150).map(|_| server.connect()).collect();
        for (number, client) in all.iter_mut().enumerate() {
            // Some leave before the greeting, some in the midst of a line, some in the midst of a payload, some with a reset.
            match (number + round) % 5 {
                0 => {}
                1 => client.send(b"CONNECT {\"verb"),
                2 => client.send(b"SUB gone.* 1\r\nPUB gone 1000\r\nx"),
                3 => client.send(b"SUB gone.* 1\r\n"),
                _ => reset(client.socket()),
            }
        }
        drop(all);
        neighbours.talk();
    }
    let mut asking = Asking::of(&server);
    talk_until(&mut neighbours, "a subscription stays", || {
        asking.is_unanswered("gone.x")
    });
    // One more than before: the one who asks.
    talk_until(&mut neighbours, "a socket stays open", || {
        server.open_files() <= files + 1
    });
    expect_grown_less_than(&server, before, 32 * MEBIBYTE);
}

#[test]
fn who_resets_the_connection_is_gone_with_its_subscriptions() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut asking = Asking::of(&server);
    let mut leaving = quiet(&server);
    leaving.send(b"SUB reset.> 1\r\nSUB reset.> workers 2\r\n");
    settle(&mut leaving);
    assert!(!asking.is_unanswered("reset.x"));
    reset(leaving.socket());
    drop(leaving);
    talk_until(&mut neighbours, "a subscription stays", || {
        asking.is_unanswered("reset.x")
    });
}

#[test]
fn who_leaves_while_it_is_written_to_disturbs_nobody() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut reading = quiet(&server);
    reading.send(b"SUB busy 1\r\n");
    settle(&mut reading);
    let mut publishing = quiet(&server);
    let batch = format!("PUB busy 4096\r\n{}\r\n", "x".repeat(4096)).repeat(20);
    for round in 0..40 {
        let mut leaving = quiet(&server);
        leaving.send(b"SUB busy 1\r\n");
        settle(&mut leaving);
        publishing.send(batch.as_bytes());
        if round % 2 == 0 {
            reset(leaving.socket());
        }
        drop(leaving);
        for _ in 0..20 {
            assert_eq!(reading.message().payload.len(), 4096);
        }
    }
    settle(&mut reading);
    neighbours.talk();
}
