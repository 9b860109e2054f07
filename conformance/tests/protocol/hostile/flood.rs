//! Peers that ask for too much of what is legal.

use everjet_conformance::{ServerProcess, executable};

use super::{
    Asking, MEBIBYTE, Neighbours, QUIET, expect_grown_less_than, expect_refused, line, quiet,
    settle, talk_until,
};

#[test]
fn subscriptions_end_at_their_maximum_and_the_connection_goes_on() {
    let server = ServerProcess::start("max_subscriptions: 1000\n");
    let mut neighbours = Neighbours::of(&server);
    let mut flooding = quiet(&server);
    let subscribe = |number: u32| format!("SUB flood.{number} {number}\r\n");
    let flood: String = (0..3000).map(subscribe).collect();
    flooding.send(flood.as_bytes());
    neighbours.talk();
    for _ in 0..2000 {
        assert_eq!(line(&mut flooding), "-ERR 'maximum subscriptions exceeded'");
    }
    settle(&mut flooding);
    // Room is made by leaving, and only as much as was left.
    flooding.send(b"UNSUB 7\r\nSUB flood.a a\r\nSUB flood.b b\r\nPUB flood.999 1\r\nx\r\n");
    flooding.send(b"PUB flood.a 1\r\ny\r\nPUB flood.b 1\r\nz\r\nPUB flood.1000 1\r\nz\r\n");
    assert_eq!(line(&mut flooding), "-ERR 'maximum subscriptions exceeded'");
    assert_eq!(flooding.message().sid, "999");
    assert_eq!(flooding.message().sid, "a");
    settle(&mut flooding);
    neighbours.talk();
}

#[test]
fn a_hundred_thousand_subscriptions_are_gone_with_their_connection() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut asking = Asking::of(&server);
    let mut flooding = quiet(&server);
    for thousand in 0..100 {
        let subscribe =
            |number: u32| format!("SUB flood.{thousand}.{number}.* {thousand}.{number}\r\n");
        let flood: String = (0..1000).map(subscribe).collect();
        flooding.send(flood.as_bytes());
        if thousand % 20 == 0 {
            neighbours.talk();
        }
    }
    settle(&mut flooding);
    assert!(!asking.is_unanswered("flood.99.999.x"));
    drop(flooding);
    for subject in ["flood.99.999.x", "flood.0.0.x", "flood.50.500.x"] {
        talk_until(&mut neighbours, "a subscription stays", || {
            asking.is_unanswered(subject)
        });
    }
}

#[test]
fn a_hundred_thousand_subscriptions_to_one_subject_leave_as_easily() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut asking = Asking::of(&server);
    let mut flooding = quiet(&server);
    let subscribe = |number: u32| format!("SUB flood {number}\r\n");
    let flood: String = (0..100_000).map(subscribe).collect();
    flooding.send(flood.as_bytes());
    settle(&mut flooding);
    neighbours.talk();
    drop(flooding);
    talk_until(&mut neighbours, "a subscription stays", || {
        asking.is_unanswered("flood")
    });
}

#[test]
fn who_asks_for_very_many_deliveries_leaves_the_others_their_turn() {
    let server = ServerProcess::start("write_deadline: \"2s\"\n");
    let mut neighbours = Neighbours::of(&server);
    // One who publishes to itself, and one who has another for it: the server meets them on different threads or the same.
    let mut both: Vec<_> = (0..3).map(|_| quiet(&server)).collect();
    for client in &mut both[..2] {
        let subscribe = |number: u32| format!("SUB many {number}\r\n");
        let flood: String = (0..1500).map(subscribe).collect();
        client.send(flood.as_bytes());
        settle(client);
    }
    for publisher in [1, 2] {
        // 300 KB that mean sixty million deliveries. Whoever sends them may be closed before they are taken.
        let _ = both[publisher].try_send(&b"PUB many 0\r\n\r\n".repeat(20_000));
        for _ in 0..200 {
            neighbours.talk();
        }
    }
    // Both who do not read are closed in the end.
    talk_until(&mut neighbours, "a connection stays open", || {
        server.log().matches("Slow Consumer").count() >= 2
    });
}

#[test]
fn leaving_what_was_never_joined_costs_nothing() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut flooding = quiet(&server);
    let before = server.resident_bytes();
    for thousand in 0..100 {
        let leave = |number: u32| format!("UNSUB {thousand}-{number} {number}\r\n");
        let flood: String = (0..1000).map(leave).collect();
        flooding.send(flood.as_bytes());
        if thousand % 20 == 0 {
            neighbours.talk();
        }
    }
    settle(&mut flooding);
    expect_grown_less_than(&server, before, 24 * MEBIBYTE);
}

#[test]
fn a_million_distinct_subjects_leave_nothing_behind() {
    // Ours only: what it remembers of subjects is bounded.
    if executable::is_reference() {
        return;
    }
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut listening = quiet(&server);
    listening.send(b"SUB distinct.*.999 1\r\nSUB distinct.none.> 2\r\n");
    settle(&mut listening);
    let mut publishing = quiet(&server);
    let mut before = 0;
    for thousand in 0..1000 {
        let publish = |number: u32| format!("PUB distinct.{thousand}.{number} 0\r\n\r\n");
        let batch: String = (0..1000).map(publish).collect();
        publishing.send(batch.as_bytes());
        let message = listening.message();
        assert_eq!(message.subject, format!("distinct.{thousand}.999"));
        if thousand % 100 == 0 {
            neighbours.talk();
        }
        if thousand == 50 {
            before = server.resident_bytes();
        }
    }
    expect_grown_less_than(&server, before, 16 * MEBIBYTE);
}

#[test]
fn who_announces_a_payload_gets_memory_for_what_has_come() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let before = server.resident_bytes();
    let mut holding = Vec::new();
    for number in 0..300 {
        let mut client = server.connect();
        client.send(QUIET);
        client.send(b"PUB held 1048576\r\n");
        // Beyond what fits the buffers of the kernel and the server's readers, and little.
        let part = if number % 2 == 0 { 1 } else { 20 * 1024 };
        client.send(&vec![b'x'; part]);
        holding.push(client);
        if number % 50 == 0 {
            neighbours.talk();
        }
    }
    // Everybody gets a turn until all of it has been read.
    for _ in 0..50 {
        neighbours.talk();
    }
    // 300 MiB were announced, 3 MiB sent.
    expect_grown_less_than(&server, before, 48 * MEBIBYTE);
    neighbours.talk();
}

#[test]
fn connections_beyond_the_maximum_are_told_so() {
    let server = ServerProcess::start("max_connections: 4\n");
    let mut neighbours = Neighbours::of(&server);
    let (third, fourth) = (quiet(&server), quiet(&server));
    for _ in 0..100 {
        let mut refused = server.connect();
        assert!(refused.line().starts_with("INFO "));
        expect_refused(&mut refused, "maximum connections exceeded");
        neighbours.talk();
    }
    drop(third);
    // The place of who has left is free, once the server has noticed.
    talk_until(&mut neighbours, "the place stays taken", || {
        let mut client = server.connect();
        assert!(client.line().starts_with("INFO "));
        client.send(b"CONNECT {\"verbose\":false}\r\nPING\r\n");
        let line = client.try_line();
        line.is_ok_and(|line| line == "PONG")
    });
    drop(fourth);
}
