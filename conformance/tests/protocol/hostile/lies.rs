//! Peers that say what is not so, or what makes no sense.

use everjet_conformance::{RawClient, ServerProcess};

use super::{Neighbours, expect_refused, quiet, settle};

/// Sends the bytes on a connection of its own; what comes back is this and then the end.
#[track_caller]
fn expect_closed_after(server: &ServerProcess, sent: &[u8], answers: &[&str]) {
    let mut client = quiet(server);
    client.send(sent);
    for answer in answers {
        assert_eq!(client.line(), *answer, "{}", sent.escape_ascii());
    }
    client.expect_closed();
}

/// Sends the bytes; what comes back is exactly this, and the connection stays.
#[track_caller]
fn expect_answer(client: &mut RawClient, sent: &[u8], answer: &[u8]) {
    client.send(sent);
    let got = client.try_bytes(answer.len()).expect("an answer");
    assert_eq!(
        got.escape_ascii().to_string(),
        answer.escape_ascii().to_string(),
        "{}",
        sent.escape_ascii()
    );
    settle(client);
}

#[test]
fn sizes_that_are_none_end_the_connection_without_a_word() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    for line in [
        "HPUB a 20 10",
        "HPUB a -1 10",
        "HPUB a 5 -1",
        "HPUB a 99999999999999999999 5",
        "HPUB a 5 99999999999999999999",
        "HPUB a 5 4294967301",
        "PUB a 99999999999999999999",
        "PUB a 18446744073709551616",
        "PUB a 4294967296",
        "PUB a -0",
        "PUB a +5",
        "PUB a 0x5",
        "PUB a 5.0",
        "PUB a 5e0",
    ] {
        let sent = format!("{line}\r\nhello\r\nPING\r\n");
        expect_closed_after(&server, sent.as_bytes(), &[]);
        neighbours.talk();
    }
}

#[test]
fn sizes_that_are_too_large_are_refused_before_the_payload() {
    let server = ServerProcess::start("max_payload: 1000\n");
    let mut neighbours = Neighbours::of(&server);
    for line in [
        "PUB a 1001",
        "PUB a 999999999",
        "HPUB a 12 1001",
        "HPUB a 1001 1001",
        "HPUB a 0 999999999",
    ] {
        let sent = format!("{line}\r\n");
        let answer = "-ERR 'Maximum Payload Violation'";
        expect_closed_after(&server, sent.as_bytes(), &[answer]);
        neighbours.talk();
    }
}

#[test]
fn payloads_of_another_length_than_announced_end_the_connection() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut listening = quiet(&server);
    listening.send(b"SUB a 1\r\n");
    settle(&mut listening);
    for sent in [
        &b"PUB a 5\r\nhi\r\nPING\r\n"[..],
        b"PUB a 2\r\nhello\r\nPING\r\n",
        b"PUB a 2\r\nhi\nPING\r\n",
        b"PUB a 0\r\nhi\r\n",
        b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhello\r\n",
    ] {
        let answer = "-ERR 'Unknown Protocol Operation'";
        expect_closed_after(&server, sent, &[answer]);
        neighbours.talk();
    }
    // Nothing of it was a message.
    settle(&mut listening);
}

#[test]
fn nothing_behind_an_error_is_heard() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut listening = quiet(&server);
    listening.send(b"SUB > 1\r\n");
    settle(&mut listening);
    let garbage: Vec<u8> = (0..200_000_u32).map(|number| (number * 31) as u8).collect();
    for wrong in [
        &b"FOO\r\n"[..],
        b"\x00\r\n",
        b"\r\n",
        b"MSG a 1 0\r\n\r\n",
        b"\xff\xfe",
    ] {
        let mut client = quiet(&server);
        client.send(b"PUB before 0\r\n\r\n");
        let after = b"PUB after 0\r\n\r\nSUB > 1\r\n".repeat(100);
        let _ = client.try_send(&[wrong, &after, &garbage].concat());
        expect_refused(&mut client, "Unknown Protocol Operation");
        assert_eq!(listening.message().subject, "before");
        settle(&mut listening);
    }
    drop(listening);
    neighbours.talk();
}

#[test]
fn bytes_that_are_no_text_are_names_like_others() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    for (sent, answer) in [
        (
            &b"SUB a\xff\x00b 1\r\nPUB a\xff\x00b 2\r\nhi\r\n"[..],
            &b"MSG a\xff\x00b 1 2\r\nhi\r\n"[..],
        ),
        (
            b"SUB b q\x00\xff s\x00\xff\r\nPUB b 2\r\nhi\r\n",
            b"MSG b s\x00\xff 2\r\nhi\r\n",
        ),
        (b"SUB \x00 2\r\nPUB \x00 0\r\n\r\n", b"MSG \x00 2 0\r\n\r\n"),
        (
            b"SUB c 3\r\nPUB c r\xff\x00 2\r\nhi\r\n",
            b"MSG c 3 r\xff\x00 2\r\nhi\r\n",
        ),
        (
            b"SUB d 4\r\nHPUB d 20 22\r\nNATS/1.0\r\nA\x00: \xfe\x00\r\n\r\nhi\r\n",
            b"HMSG d 4 20 22\r\nNATS/1.0\r\nA\x00: \xfe\x00\r\n\r\nhi\r\n",
        ),
        // A header block is not looked at, whatever it is.
        (
            b"SUB e 5\r\nHPUB e 4 6\r\n\xff\x00\xff\x00hi\r\n",
            b"HMSG e 5 4 6\r\n\xff\x00\xff\x00hi\r\n",
        ),
        (
            b"SUB f 6\r\nHPUB f 2 2\r\n\r\n\r\n",
            b"HMSG f 6 2 2\r\n\r\n\r\n",
        ),
        // An overlong encoding of a dot is no dot.
        (
            b"SUB g.* 7\r\nPUB g\xc0\xaex 0\r\n\r\nPUB g.\xc0\xae 0\r\n\r\n",
            b"MSG g.\xc0\xae 7 0\r\n\r\n",
        ),
    ] {
        expect_answer(&mut quiet(&server), sent, answer);
        neighbours.talk();
    }
}

#[test]
fn subjects_that_are_none_are_told_so_and_the_connection_stays() {
    let server = ServerProcess::start("");
    let mut client = quiet(&server);
    for subject in [
        &b"."[..],
        b"a..b",
        b".a",
        b"a.",
        b">.a",
        b"a.>.b",
        b"..\xff",
    ] {
        let sent = [b"SUB ", subject, b" 1\r\n"].concat();
        expect_answer(&mut client, &sent, b"-ERR 'Invalid Subject'\r\n");
    }
}

#[test]
fn a_large_header_block_arrives_as_it_was_sent() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    let mut client = quiet(&server);
    client.send(b"SUB large 1\r\n");
    for block in [
        [b"NATS/1.0\r\nA: ", &[b'x'; 64 * 1024][..], b"\r\n\r\n"].concat(),
        [b"NATS/1.0\r\n", &b"A: b\r\n".repeat(12_000)[..], b"\r\n"].concat(),
        vec![b'\n'; 64 * 1024],
    ] {
        let line = format!("HPUB large {} {}\r\n", block.len(), block.len() + 2);
        client.send(&[line.as_bytes(), &block, b"hi\r\n"].concat());
        let message = client.message();
        assert_eq!(message.text(), "hi");
        assert!(message.headers == block, "the block has changed");
    }
    neighbours.talk();
}

#[test]
fn connect_options_may_be_odd() {
    let server = ServerProcess::start("");
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(600), close.repeat(600));
    let long = "n".repeat(3900);
    for members in [
        "\"verbose\":true,\"verbose\":false".to_owned(),
        "\"verbose\":false,\"verbose\":null".to_owned(),
        format!("\"verbose\":false,\"name\":\"{long}\""),
        format!("\"verbose\":false,\"x\":{}", nested("[", "]")),
        format!("\"verbose\":false,\"x\":{}", nested("{\"\":", "}")),
        "\"verbose\":false,\"\":1e5,\"\\u0000\":-0".to_owned(),
    ] {
        let mut client = server.connect();
        assert!(client.line().starts_with("INFO "));
        client.send(format!("CONNECT {{{members}}}\r\nPING\r\n").as_bytes());
        assert_eq!(client.line(), "PONG", "{members}");
    }
    // What is not UTF-8 is replaced.
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO "));
    client.send(b"CONNECT {\"verbose\":false,\"name\":\"\xff\xc0\"}\r\nPING\r\n");
    assert_eq!(client.line(), "PONG");
}

#[test]
fn connect_options_that_are_none_end_the_connection_without_a_word() {
    let server = ServerProcess::start("");
    let mut neighbours = Neighbours::of(&server);
    for options in [
        &b""[..],
        b"[]",
        b"{",
        b"{}}",
        b"{\"verbose\":}",
        b"{\"verbose\":1}",
        b"{\"name\":5}",
        b"{\"name\":\"\x00\"}",
        b"{\"protocol\":1e99}",
        b"{\"protocol\":1.5}",
        b"{\"import\":[]}",
        b"{'verbose':false}",
        b"{\"\\ud800\":1,}",
    ] {
        let mut client = server.connect();
        assert!(client.line().starts_with("INFO "));
        client.send(&[b"CONNECT ", options, b"\r\n"].concat());
        client.expect_closed();
        neighbours.talk();
    }
}
