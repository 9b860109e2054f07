//! The parser from outside: cases, blanks, line ends, split reads, what ends a connection.

use everjet_conformance::{RawClient, ServerProcess};

use crate::{check, check_with};

#[test]
fn verbs_may_be_written_in_any_case() {
    check(
        r#"
        A> connect {"verbose":false}
        A> sUb foo 1
        A> pUb foo 2
        A> hi
        A< MSG foo 1 2
        A< hi
        A> unsub 1
        A> ping
        A< PONG
        "#,
    );
}

#[test]
fn blanks_and_tabs_between_arguments_may_repeat() {
    check(
        r#"
        A> CONNECT   {"verbose":false}
        A>| SUB  \t foo \t 1 \r\n
        A>| PUB \t foo   2 \r\nhi\r\n
        A< MSG foo 1 2
        A< hi
        "#,
    );
}

#[test]
fn a_control_line_may_end_in_a_bare_newline() {
    check(
        r#"
        A>| CONNECT {"verbose":false}\nSUB foo 1\nPUB foo 2\nhi\r\nPING\n
        A< MSG foo 1 2
        A< hi
        A< PONG
        "#,
    );
}

#[test]
fn ping_and_pong_skip_what_follows() {
    check(
        r"
        A> PING and some words
        A< PONG
        A> PONG and more
        A> PING
        A< PONG
        ",
    );
}

#[test]
fn info_and_ok_from_a_client_are_ignored() {
    check(
        r#"
        A> INFO {"some":"thing"}
        A> +OK
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn a_payload_must_end_in_a_line_end() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> PUB foo 2
        A> hihi
        A< -ERR 'Unknown Protocol Operation'
        A closed
        "#,
    );
}

#[test]
fn an_unknown_verb_is_answered_and_ends_the_connection() {
    check(
        r"
        A> HELLO you
        A< -ERR 'Unknown Protocol Operation'
        A closed
        ",
    );
}

#[test]
fn a_known_verb_with_bad_arguments_ends_the_connection_without_a_word() {
    for line in [
        "SUB foo",
        "SUB a b c d",
        "PUB foo",
        "PUB foo bar baz 1",
        "PUB foo x",
        "PUB foo -1",
        "HPUB foo 10 5",
        "HPUB foo 5",
        "UNSUB 1 2 3",
        "-ERR 'why'",
    ] {
        let server = ServerProcess::start("");
        let mut client = RawClient::ready(server.port());
        client.send(format!("{line}\r\n").as_bytes());
        client.expect_closed();
    }
}

#[test]
fn verbs_that_only_servers_send_are_unknown_from_clients() {
    for line in [
        "MSG foo 1 2",
        "HMSG foo 1 2 3",
        "RS+ $G foo",
        "LS+ foo",
        "RMSG $G foo 0",
        "A+ $G",
        "UNSUB",
    ] {
        check(&format!(
            "A> {line}\nA< -ERR 'Unknown Protocol Operation'\nA closed\n"
        ));
    }
}

#[test]
fn a_control_line_has_a_greatest_length() {
    let long = "x".repeat(5_000);
    check(&format!(
        r"
        A> SUB {long} 1
        A< -ERR 'maximum control line exceeded'
        A closed
        "
    ));
    check_with(
        "max_control_line: 64\n",
        &format!(
            "A> PUB {} 0\nA< -ERR 'maximum control line exceeded'\nA closed\n",
            "y".repeat(80)
        ),
    );
}

#[test]
fn an_unfinished_control_line_counts_too() {
    check_with(
        "max_control_line: 512\n",
        &format!(
            "A>| SUB {}\nA< -ERR 'maximum control line exceeded'\nA closed\n",
            "x".repeat(600)
        ),
    );
}

/// A dialogue with every verb a client sends, and what must come back for it.
const DIALOGUE: &[u8] = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n\
    SUB foo.* 1\r\nSUB foo.> workers 22\r\nPUB foo.a 5\r\nhe\r\nl\r\nHPUB foo.b r 12 14\r\nNATS/1.0\r\n\r\nok\r\n\
    PUB foo.c 0\r\n\r\nUNSUB 22\r\nPING\r\n";

fn answers(client: &mut RawClient) -> Vec<(String, String, Vec<u8>)> {
    (0..6)
        .map(|_| {
            let message = client.message();
            (
                message.subject,
                message.sid,
                [message.headers, message.payload].concat(),
            )
        })
        .collect()
}

#[test]
fn a_dialogue_may_be_split_at_every_byte() {
    let server = ServerProcess::start("");
    for at in 1..DIALOGUE.len() {
        let mut client = server.connect();
        assert!(client.line().starts_with("INFO"));
        let (first, second) = DIALOGUE.split_at(at);
        client.send(first);
        // Another connection's round trip lets the server read the first part alone in nearly every round.
        let mut other = server.connect();
        assert!(other.line().starts_with("INFO"));
        client.send(second);
        let mut got = answers(&mut client);
        assert_eq!(client.line(), "PONG", "split at {at}");
        got.sort();
        let expected = |subject: &str, sid: &str, body: &[u8]| {
            (subject.to_owned(), sid.to_owned(), body.to_vec())
        };
        assert_eq!(
            got,
            [
                expected("foo.a", "1", b"he\r\nl"),
                expected("foo.a", "22", b"he\r\nl"),
                expected("foo.b", "1", b"NATS/1.0\r\n\r\nok"),
                expected("foo.b", "22", b"NATS/1.0\r\n\r\nok"),
                expected("foo.c", "1", b""),
                expected("foo.c", "22", b""),
            ],
            "split at {at}"
        );
    }
}

#[test]
fn a_dialogue_may_come_byte_by_byte() {
    let server = ServerProcess::start("");
    let mut client = server.connect();
    assert!(client.line().starts_with("INFO"));
    for byte in DIALOGUE {
        client.send(std::slice::from_ref(byte));
    }
    assert_eq!(answers(&mut client).len(), 6);
    assert_eq!(client.line(), "PONG");
}
