//! HPUB, HMSG and the answer when nobody listens.

use everjet_conformance::{RawClient, ServerProcess};

use crate::check;

#[test]
fn headers_round_trip_byte_for_byte() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true}
        A> SUB foo 1
        A> HPUB foo re 46 48
        A> NATS/1.0
        A> Key: a
        A> key:b
        A> Key:   second
        A> X:
        A>
        A> hi
        A< HMSG foo 1 re 46 48
        A< NATS/1.0
        A< Key: a
        A< key:b
        A< Key:   second
        A< X:
        A<
        A< hi
        "#,
    );
}

#[test]
fn a_client_without_headers_gets_the_payload_alone() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true}
        B> CONNECT {"verbose":false,"headers":false}
        B> SUB foo 1
        B> PING
        B< PONG
        A> HPUB foo 18 20
        A> NATS/1.0
        A> A: b
        A>
        A> hi
        B< MSG foo 1 2
        B< hi
        "#,
    );
}

#[test]
fn hpub_without_header_support_ends_the_connection() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":false}
        A> HPUB foo 12 14
        A closed
        "#,
    );
}

#[test]
fn headers_may_stand_without_payload() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true}
        A> SUB foo 1
        A> HPUB foo 12 12
        A> NATS/1.0
        A>
        A>
        A< HMSG foo 1 12 12
        A< NATS/1.0
        A<
        A<
        "#,
    );
}

#[test]
fn a_request_nobody_listens_to_is_answered_at_once() {
    let server = ServerProcess::start("");
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB _INBOX.a.* 9\r\nPUB nobody.home _INBOX.a.1 2\r\nhi\r\n");
    let message = client.message();
    assert_eq!(message.subject, "_INBOX.a.1");
    assert_eq!(message.sid, "9");
    assert_eq!(message.reply, None);
    assert_eq!(
        message.headers,
        b"NATS/1.0 503\r\nNats-Subject: nobody.home\r\n\r\n"
    );
    assert_eq!(message.payload, b"");
    client.expect_quiet();
}

#[test]
fn only_who_asked_for_no_responders_gets_the_answer() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true}
        A> SUB _INBOX.> 1
        A> PUB nobody _INBOX.1 0
        A>
        A> PING
        A< PONG
        "#,
    );
}

#[test]
fn the_answer_needs_a_subscription_of_the_requestor_itself() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        B> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        B> SUB _INBOX.> 1
        B> PING
        B< PONG
        A> PUB nobody _INBOX.1 0
        A>
        A> PING
        A< PONG
        B> PING
        B< PONG
        "#,
    );
}

#[test]
fn a_queue_member_is_a_responder() {
    check(
        r#"
        A> CONNECT {"verbose":false,"headers":true,"no_responders":true}
        A> SUB _INBOX.> 1
        A> SUB work workers 2
        A> PUB work _INBOX.1 0
        A>
        A< MSG work 2 _INBOX.1 0
        A<
        A> PING
        A< PONG
        "#,
    );
}
