//! Atomic batches: messages that are stored together or not at all (ADR-50).

use everjet_conformance::JetStream;
use serde_json::{Value, json};

use crate::{check_contains, check_error, start};

const ABANDONED: &str = "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S";

/// Publishes a message of a batch; `commit` is empty for one that does not end it. Returns what is answered.
#[track_caller]
fn member(
    js: &mut JetStream,
    id: &str,
    sequence: u64,
    commit: &str,
    more: &[(&str, &str)],
) -> String {
    let sequence = sequence.to_string();
    let mut headers = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", &*sequence)];
    if !commit.is_empty() {
        headers.push(("Nats-Batch-Commit", commit));
    }
    headers.extend_from_slice(more);
    js.request_with("s.a", &headers, "x").0.text()
}

#[track_caller]
fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer).expect(answer)
}

fn start_with_batches(more: &str) -> (everjet_conformance::ServerProcess, JetStream) {
    let (server, mut js) = start();
    let config = format!(r#"{{"name":"S","subjects":["s.>"],"allow_atomic":true{more}}}"#);
    js.create_stream("S", &config);
    (server, js)
}

#[test]
fn a_batch_is_stored_when_it_is_committed() {
    let (_server, mut js) = start_with_batches("");
    let info = js.api("STREAM.INFO.S", "");
    check_contains(&info["config"], &json!({"allow_atomic": true}));
    assert_eq!(info["config"]["metadata"]["_nats.req.level"], "2");
    assert_eq!(member(&mut js, "x", 1, "", &[]), "");
    assert_eq!(js.store("s.other", "1"), 1);
    assert_eq!(member(&mut js, "x", 2, "", &[]), "");
    assert_eq!(
        member(&mut js, "x", 3, "1", &[]),
        r#"{"stream":"S","seq":4,"batch":"x","count":3}"#
    );
    // Of a batch that another message ends, the last one says so in its place.
    assert_eq!(member(&mut js, "y", 1, "", &[]), "");
    assert_eq!(
        member(&mut js, "y", 2, "eob", &[]),
        r#"{"stream":"S","seq":5,"batch":"y","count":1}"#
    );
    let headers = |js: &mut JetStream, seq: u64| {
        js.api("STREAM.MSG.GET.S", &format!(r#"{{"seq":{seq}}}"#))["message"]["hdrs"].clone()
    };
    // NATS/1.0, Nats-Batch-Id: x, Nats-Batch-Sequence: 2
    assert_eq!(
        headers(&mut js, 3),
        "TkFUUy8xLjANCk5hdHMtQmF0Y2gtSWQ6IHgNCk5hdHMtQmF0Y2gtU2VxdWVuY2U6IDINCg0K"
    );
    // NATS/1.0, Nats-Batch-Id: y, Nats-Batch-Sequence: 1, Nats-Batch-Commit: 1
    assert_eq!(
        headers(&mut js, 5),
        "TkFUUy8xLjANCk5hdHMtQmF0Y2gtSWQ6IHkNCk5hdHMtQmF0Y2gtU2VxdWVuY2U6IDENCk5hdHMtQmF0Y2gtQ29tbWl0OiAxDQoNCg=="
    );
}

#[test]
fn a_batch_with_a_mistake_is_given_up_and_subscribers_hear_of_it() {
    let (_server, mut js) = start_with_batches("");
    js.raw().send(format!("SUB {ABANDONED} adv\r\n").as_bytes());
    js.raw().expect_quiet();
    let long = "x".repeat(65);
    for (id, sequence, commit, code, text) in [
        ("a", 2, "", 10176, "atomic publish batch is incomplete"),
        (
            "a",
            1001,
            "",
            10199,
            "atomic publish batch is too large: 1000",
        ),
        (&*long, 1, "", 10179, "atomic publish batch ID is invalid"),
        ("a", 1, "2", 10200, "atomic publish batch commit is invalid"),
    ] {
        check_error(
            &json_of(&member(&mut js, id, sequence, commit, &[])),
            400,
            code,
            text,
        );
    }
    let answer = js.request_with("s.a", &[("Nats-Batch-Id", "a")], "").json();
    check_error(&answer, 400, 10175, "atomic publish sequence is missing");
    assert_eq!(member(&mut js, "a", 1, "", &[]), "");
    let reply = js.publish(
        "s.a",
        &[("Nats-Batch-Id", "a"), ("Nats-Batch-Sequence", "3")],
        "",
    );
    let mut messages = [js.raw().message(), js.raw().message()];
    messages.sort_by_key(|message| message.subject != reply);
    let [refused, advisory] = messages;
    check_error(
        &json_of(&refused.text()),
        400,
        10176,
        "atomic publish batch is incomplete",
    );
    assert_eq!(advisory.subject, ABANDONED);
    let advisory = json_of(&advisory.text());
    check_contains(
        &advisory,
        &json!({
            "type": "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
            "stream": "S", "batch": "a", "reason": "incomplete",
        }),
    );
    assert!(advisory["id"].is_string() && advisory["timestamp"].is_string());
    assert_eq!(js.store("s.other", "1"), 1);
}

#[test]
fn all_messages_of_a_batch_must_pass() {
    let (_server, mut js) = start_with_batches("");
    js.request_with("s.old", &[("Nats-Msg-Id", "old")], "");
    let twice = ("Nats-Msg-Id", "new");
    for (first, second, code, text) in [
        (
            twice,
            twice,
            10201,
            "atomic publish batch contains duplicate message id",
        ),
        (
            ("Nats-Msg-Id", "old"),
            ("A", "b"),
            10201,
            "atomic publish batch contains duplicate message id",
        ),
        (
            ("Nats-Expected-Last-Msg-Id", "old"),
            ("A", "b"),
            10177,
            "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id",
        ),
        (
            ("A", "b"),
            ("Nats-Expected-Last-Sequence", "2"),
            10164,
            "wrong last sequence",
        ),
        (
            ("A", "b"),
            ("Nats-Expected-Last-Sequence", "1"),
            10071,
            "wrong last sequence: 2",
        ),
        (
            ("A", "b"),
            ("Nats-Expected-Last-Subject-Sequence", "0"),
            10164,
            "wrong last sequence",
        ),
        (
            ("Nats-Expected-Stream", "T"),
            ("A", "b"),
            10060,
            "expected stream does not match",
        ),
    ] {
        assert_eq!(member(&mut js, "a", 1, "", &[first]), "");
        let answer = member(&mut js, "a", 2, "1", &[second]);
        check_error(&json_of(&answer), 400, code, text);
    }
    let last = [("Nats-Expected-Last-Sequence", "1")];
    assert_eq!(member(&mut js, "a", 1, "", &last), "");
    let subject = [
        ("Nats-Expected-Last-Subject-Sequence", "1"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "s.old"),
    ];
    assert_eq!(
        member(&mut js, "a", 2, "1", &subject),
        r#"{"stream":"S","seq":3,"batch":"a","count":2}"#
    );
}

#[test]
fn a_stream_has_fifty_batches_at_once_and_a_batch_a_thousand_messages() {
    let (_server, mut js) = start_with_batches("");
    for number in 0..50 {
        assert_eq!(member(&mut js, &format!("b{number}"), 1, "", &[]), "");
    }
    let answer = json_of(&member(&mut js, "more", 1, "", &[]));
    check_error(&answer, 429, 10210, "atomic publish too many inflight");
    for sequence in 2..1000u64 {
        let sequence = sequence.to_string();
        let headers = [("Nats-Batch-Id", "b0"), ("Nats-Batch-Sequence", &*sequence)];
        js.publish_to("s.a", None, &headers, "x");
    }
    assert_eq!(
        member(&mut js, "b0", 1000, "1", &[]),
        r#"{"stream":"S","seq":1000,"batch":"b0","count":1000}"#
    );
    assert_eq!(member(&mut js, "more", 1, "", &[]), "");
}

#[test]
fn a_batch_needs_room_for_all_of_it() {
    let (_server, mut js) = start_with_batches(r#","discard":"new","max_msgs":2"#);
    assert_eq!(member(&mut js, "a", 1, "", &[]), "");
    assert_eq!(member(&mut js, "a", 2, "", &[]), "");
    let answer = json_of(&member(&mut js, "a", 3, "1", &[]));
    check_error(&answer, 503, 10077, "maximum messages exceeded");
    assert_eq!(member(&mut js, "a", 1, "", &[]), "");
    assert_eq!(json_of(&member(&mut js, "a", 2, "1", &[]))["seq"], 2);
}

#[test]
fn batches_can_be_switched_off_and_on() {
    let (_server, mut js) = start_with_batches("");
    assert_eq!(member(&mut js, "a", 1, "", &[]), "");
    js.api("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"]}"#);
    let answer = json_of(&member(&mut js, "a", 2, "1", &[]));
    check_error(&answer, 400, 10174, "atomic publish is disabled");
    let on = r#"{"name":"S","subjects":["s.>"],"allow_atomic":true}"#;
    assert_eq!(
        js.api("STREAM.UPDATE.S", on)["config"]["allow_atomic"],
        true
    );
    let answer = json_of(&member(&mut js, "a", 2, "1", &[]));
    check_error(&answer, 400, 10176, "atomic publish batch is incomplete");
    let mirror = r#"{"name":"M","mirror":{"name":"S"},"allow_atomic":true}"#;
    let answer = js.api("STREAM.CREATE.M", mirror);
    check_error(
        &answer,
        400,
        10198,
        "stream mirrors can not also use atomic publishing",
    );
}

#[test]
fn a_batch_survives_a_restart_whole() {
    let (mut server, mut js) = start_with_batches("");
    assert_eq!(member(&mut js, "a", 1, "", &[]), "");
    assert_eq!(json_of(&member(&mut js, "a", 2, "1", &[]))["seq"], 2);
    assert_eq!(member(&mut js, "b", 1, "", &[]), "");
    assert!(server.terminate().success());
    server.start_again();
    let mut js = JetStream::connect(&server);
    check_contains(
        &js.api("STREAM.INFO.S", "")["state"],
        &json!({"messages": 2, "last_seq": 2}),
    );
}
