//! Peers that are slow on purpose: byte by byte, without an end, without reading.

use everjet_conformance::ServerProcess;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::{
    Asking, MEBIBYTE, Neighbours, expect_grown_less_than, expect_refused, quiet, read_to_the_end,
    send_until_closed, settle, talk_until,
};

#[test]
fn who_connects_byte_by_byte_is_out_of_time() {
    let server = ServerProcess::start("authorization: { token: t, timeout: 0.5 }\n");
    let mut neighbours = Neighbours::with(&server, "\"auth_token\":\"t\",");
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut slow {
        assert!(client.line().starts_with("INFO "));
    }
    // A credential that is right counts only when it has come whole.
    let connect = b"CONNECT {\"auth_token\":\"t\"";
    for byte in connect {
        for client in &mut slow {
            let _ = client.try_send(&[*byte]);
        }
        neighbours.talk();
    }
    for client in &mut slow {
        expect_refused(client, "Authentication Timeout");
        neighbours.talk();
    }
}

#[test]
fn who_says_nothing_is_out_of_time() {
    let server = ServerProcess::start("authorization: { token: t, timeout: 0.3 }\n");
    let mut neighbours = Neighbours::with(&server, "\"auth_token\":\"t\",");
    let mut silent = server.connect();
    assert!(silent.line().starts_with("INFO "));
    neighbours.talk();
    expect_refused(&mut silent, "Authentication Timeout");
    neighbours.talk();
}

#[test]
fn a_control_line_without_end_is_refused_however_it_comes() {
    let server = ServerProcess::start("max_control_line: 1024\n");
    let mut neighbours = Neighbours::of(&server);
    let before = server.resident_bytes();
    for (start, piece) in [
        (&b"PUB "[..], 1),
        (b"SUB ", 7),
        (b"UNSUB ", 100),
        (b"CONNECT {\"name\":\"", 1000),
    ] {
        let mut endless = quiet(&server);
        endless.send(start);
        for _ in 0..3000 / piece {
            // It may be closed by now.
            let _ = endless.try_send(&vec![b'x'; piece]);
        }
        expect_refused(&mut endless, "maximum control line exceeded");
        neighbours.talk();
    }
    // Who does not even look at the answer is cut off all the same.
    let endless = quiet(&server);
    send_until_closed(&endless, &[b'x'; 100_000], 1024 * MEBIBYTE);
    neighbours.talk();
    expect_grown_less_than(&server, before, 16 * MEBIBYTE);
}

#[test]
fn an_oversize_control_line_is_refused_before_its_end() {
    let server = ServerProcess::start("max_control_line: 512\n");
    let mut neighbours = Neighbours::of(&server);
    let mut client = quiet(&server);
    client.send(b"PUB ");
    neighbours.talk();
    client.send(&[b'x'; 400]);
    neighbours.talk();
    client.send(&[b'x'; 400]);
    expect_refused(&mut client, "maximum control line exceeded");
    neighbours.talk();
}

#[test]
fn who_stops_reading_is_closed_and_all_others_get_everything() {
    let server = ServerProcess::start("max_pending: 1048576\nwrite_deadline: \"2s\"\n");
    let mut neighbours = Neighbours::of(&server);
    let mut stalled: Vec<_> = (0..3).map(|_| quiet(&server)).collect();
    for client in &mut stalled {
        let small = set_socket_recv_buffer_size(client.socket(), 65_536);
        small.expect("a socket takes options");
        client.send(b"SUB fast.> 1\r\n");
        settle(client);
    }
    let mut reading = quiet(&server);
    reading.send(b"SUB fast.> 1\r\n");
    settle(&mut reading);
    let before = server.resident_bytes();
    let mut publisher = quiet(&server);
    let payload = "x".repeat(16 * 1024);
    let rounds = 64;
    let mut sent = 0;
    for round in 0..rounds {
        let batch = format!("PUB fast.{round} {}\r\n{payload}\r\n", payload.len()).repeat(16);
        publisher.send(batch.as_bytes());
        sent += batch.len() as u64;
        for _ in 0..16 {
            let message = reading.message();
            assert_eq!(message.subject, format!("fast.{round}"));
            assert_eq!(message.payload.len(), payload.len());
        }
        if round % 8 == 0 {
            neighbours.talk();
        }
    }
    for client in &stalled {
        let got = read_to_the_end(client);
        assert!(got < sent, "{got} of {sent} bytes were delivered");
    }
    settle(&mut reading);
    neighbours.talk();
    expect_grown_less_than(&server, before, 48 * MEBIBYTE);
}

#[test]
fn who_sends_pings_without_reading_the_pongs_is_closed() {
    let server =
        ServerProcess::start("max_payload: 65536\nmax_pending: 262144\nwrite_deadline: \"2s\"\n");
    let mut neighbours = Neighbours::of(&server);
    let before = server.resident_bytes();
    let flooding = quiet(&server);
    let small = set_socket_recv_buffer_size(flooding.socket(), 65_536);
    small.expect("a socket takes options");
    send_until_closed(&flooding, &b"PING\r\n".repeat(20_000), 1024 * MEBIBYTE);
    neighbours.talk();
    expect_grown_less_than(&server, before, 16 * MEBIBYTE);
}

#[test]
fn who_does_not_answer_pings_is_stale() {
    let server = ServerProcess::start("ping_interval: \"250ms\"\nping_max: 1\n");
    let mut neighbours = Neighbours::of(&server);
    let mut half_open = quiet(&server);
    half_open.send(b"SUB half.open 1\r\n");
    let mut lines = vec![half_open.line()];
    while lines.last().is_some_and(|line| line == "PING") {
        // The neighbours answer theirs.
        neighbours.talk();
        lines.push(half_open.line());
    }
    assert_eq!(lines.pop().as_deref(), Some("-ERR 'Stale Connection'"));
    assert!(!lines.is_empty());
    half_open.expect_closed();
    // Nobody listens there any more.
    let mut asking = Asking::of(&server);
    talk_until(&mut neighbours, "the subscription stays", || {
        asking.is_unanswered("half.open")
    });
}
