//! Keepalive and its error.

use everjet_conformance::{RawClient, ServerProcess};

#[test]
fn a_client_that_never_answers_pings_is_stale() {
    let server = ServerProcess::start("ping_interval: \"50ms\"\nping_max: 2\n");
    let mut client = RawClient::ready(server.port());
    let mut pings = 0;
    loop {
        match client.line().as_str() {
            "PING" => pings += 1,
            "-ERR 'Stale Connection'" => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(pings >= 2, "{pings}");
    client.expect_closed();
}

#[test]
fn a_client_that_talks_and_never_answers_stays() {
    let server = ServerProcess::start("ping_interval: \"50ms\"\nping_max: 1\n");
    let mut talker = RawClient::ready(server.port());
    talker.send(b"SUB foo 1\r\n");
    // Another connection's PINGs are the clock: each comes after one interval.
    let mut silent = RawClient::ready(server.port());
    let clock = std::thread::spawn(move || {
        for _ in 0..8 {
            assert_eq!(silent.line(), "PING");
            silent.send(b"PONG\r\n");
        }
    });
    while !clock.is_finished() {
        talker.send(b"PUB foo 0\r\n\r\n");
        loop {
            match talker.line().as_str() {
                "PING" => {}
                "MSG foo 1 0" => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(talker.line(), "");
    }
    clock.join().expect("the server asks whether it is there");
}

#[test]
fn a_client_that_answers_pings_stays() {
    let server = ServerProcess::start("ping_interval: \"50ms\"\nping_max: 1\n");
    let mut client = RawClient::ready(server.port());
    for _ in 0..6 {
        assert_eq!(client.line(), "PING");
        client.send(b"PONG\r\n");
    }
    client.send(b"SUB foo 1\r\nPUB foo 0\r\n\r\n");
    assert_eq!(client.message().subject, "foo");
}
