//! PUB: payloads, limits, pedantic checks, reserved replies.

use everjet_conformance::{RawClient, ServerProcess};

use crate::{check, check_with};

#[test]
fn a_message_reaches_every_matching_subscription_with_its_reply() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB order.* 1
        A> PING
        A< PONG
        B> CONNECT {"verbose":false}
        B> PUB order.new inbox.7 5
        B> hello
        A< MSG order.new 1 inbox.7 5
        A< hello
        "#,
    );
}

#[test]
fn an_empty_payload_is_legal() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB foo 0
        A>
        A< MSG foo 1 0
        A<
        "#,
    );
}

#[test]
fn a_payload_may_hold_any_bytes() {
    let server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    let payload: Vec<u8> = (0..=255).chain(*b"\r\nPUB foo 0\r\n").collect();
    client.send(b"SUB foo 1\r\n");
    client.send(format!("PUB foo {}\r\n", payload.len()).as_bytes());
    client.send(&payload);
    client.send(b"\r\n");
    assert_eq!(client.message().payload, payload);
    client.expect_quiet();
}

#[test]
fn a_payload_of_the_greatest_size_passes() {
    let server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    let payload = vec![b'x'; 1_048_576];
    client.send(b"SUB foo 1\r\nPUB foo 1048576\r\n");
    client.send(&payload);
    client.send(b"\r\n");
    assert_eq!(client.message().payload, payload);
}

#[test]
fn a_payload_over_the_limit_ends_the_connection_before_it_is_read() {
    check(
        r"
        A> PING
        A< PONG
        A> PUB foo 1048577
        A< -ERR 'Maximum Payload Violation'
        A closed
        ",
    );
    check_with(
        "max_payload: 16\n",
        r#"
        A> CONNECT {"verbose":false,"headers":true}
        A> PUB foo 16
        A> 0123456789abcdef
        A> PING
        A< PONG
        A> HPUB foo 12 17
        A< -ERR 'Maximum Payload Violation'
        A closed
        "#,
    );
}

#[test]
fn pedantic_names_a_bad_subject_and_still_delivers() {
    check(
        r#"
        A> CONNECT {"verbose":false,"pedantic":true}
        A> SUB foo.> 1
        A>| PUB foo.* 2\r\nhi\r\n
        A< -ERR 'Invalid Publish Subject'
        A< MSG foo.* 1 2
        A< hi
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn without_pedantic_wildcards_in_a_published_subject_are_letters() {
    check(
        r#"
        A> CONNECT {"verbose":false,"pedantic":false}
        A> SUB foo.bar 1
        A> SUB foo.* 2
        A> PUB foo.* 2
        A> hi
        A< MSG foo.* 2 2
        A< hi
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn replies_that_the_server_uses_itself_are_reserved() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB foo 1
        A> PUB foo $JS.ACK.a.b.1.1.1.1.0 2
        A> hi
        A< -ERR 'Permissions Violation for Publish with Reply of "$JS.ACK.a.b.1.1.1.1.0"'
        A> PUB foo _R_.x 2
        A> hi
        A< -ERR 'Permissions Violation for Publish with Reply of "_R_.x"'
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn subjects_between_servers_are_reserved() {
    check(
        r#"
        A> CONNECT {"verbose":false}
        A> SUB > 1
        A> PUB $NRG.x 0
        A>
        A< -ERR 'Permissions Violation for Publish to "$NRG.x"'
        A> PUB _GR_.x 0
        A>
        A< -ERR 'Permissions Violation for Publish to "_GR_.x"'
        A> PUB $GR.x 0
        A>
        A< -ERR 'Permissions Violation for Publish to "$GR.x"'
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let server = ServerProcess::start("");
    let mut subscriber = RawClient::ready(server.port());
    subscriber.send(b"SUB n.* 1\r\n");
    subscriber.expect_quiet();
    let mut publisher = RawClient::ready(server.port());
    let mut text = String::new();
    for n in 0..20_000 {
        let payload = n.to_string();
        text.push_str(&format!(
            "PUB n.{} {}\r\n{payload}\r\n",
            n % 7,
            payload.len()
        ));
    }
    publisher.send(text.as_bytes());
    for n in 0..20_000 {
        assert_eq!(subscriber.message().text(), n.to_string());
    }
}
