//! `Nats-Incr`: messages that add to a number.

use serde_json::json;

use crate::{check_contains, check_error, start};

#[test]
fn each_subject_counts_and_the_payload_is_the_sum() {
    let (mut server, mut js) = start();
    let config = r#"{"name":"C","subjects":["c.>"],"allow_msg_counter":true,"allow_direct":true}"#;
    let created = js.create_stream("C", config);
    check_contains(
        &created["config"],
        &json!({"allow_msg_counter": true, "metadata": {"_nats.req.level": "2"}}),
    );
    for (subject, increment, answer) in [
        ("c.a", "+0012", r#"{"stream":"C","seq":1,"val":"12"}"#),
        ("c.b", "1", r#"{"stream":"C","seq":2,"val":"1"}"#),
        (
            "c.a",
            "-99999999999999999999999999999999",
            r#"{"stream":"C","seq":3,"val":"-99999999999999999999999999999987"}"#,
        ),
    ] {
        let ack = js.request_with(subject, &[("Nats-Incr", increment)], "");
        assert_eq!(ack.0.text(), answer);
    }
    let stored = js.request("$JS.API.DIRECT.GET.C.c.a", "");
    assert_eq!(
        stored.0.text(),
        r#"{"val":"-99999999999999999999999999999987"}"#
    );
    let increment = stored.0.header("Nats-Incr");
    assert_eq!(
        increment.as_deref(),
        Some("-99999999999999999999999999999999")
    );
    assert!(server.terminate().success());
    server.start_again();
    let mut js = everjet_conformance::JetStream::connect(&server);
    let ack = js.request_with("c.b", &[("Nats-Incr", "-3")], "");
    assert_eq!(ack.0.text(), r#"{"stream":"C","seq":4,"val":"-2"}"#);
    check_error(
        &js.api("STREAM.UPDATE.C", r#"{"name":"C","subjects":["c.>"]}"#),
        500,
        10052,
        "stream configuration update can not change message counter setting",
    );
}

#[test]
fn what_is_no_increment_is_refused() {
    let (_server, mut js) = start();
    js.create_stream("N", r#"{"name":"N"}"#);
    js.create_stream("C", r#"{"name":"C","allow_msg_counter":true}"#);
    let one = ("Nats-Incr", "1");
    let invalid = "message counter increment is invalid";
    for (subject, headers, payload, code, text) in [
        ("N", vec![one], "", 10168, "message counters is disabled"),
        ("N", vec![("Nats-Incr", "one")], "", 10171, invalid),
        (
            "C",
            vec![],
            "",
            10169,
            "message counter increment is missing",
        ),
        (
            "C",
            vec![],
            "x",
            10169,
            "message counter increment is missing",
        ),
        ("C", vec![one], "x", 10170, "message counter has payload"),
        ("C", vec![("Nats-Incr", "1_0")], "", 10171, invalid),
        (
            "C",
            vec![one, ("Nats-Expected-Stream", "C")],
            "",
            10171,
            invalid,
        ),
        (
            "C",
            vec![one, ("Nats-Expected-Last-Sequence", "0")],
            "",
            10171,
            invalid,
        ),
        ("C", vec![one, ("Nats-Rollup", "sub")], "", 10171, invalid),
        (
            "C",
            vec![one, ("Nats-TTL", "5")],
            "",
            10166,
            "per-message TTL is disabled",
        ),
    ] {
        let answer = js.request_with(subject, &headers, payload).json();
        check_error(&answer, 400, code, text);
    }
}

#[test]
fn an_increment_with_an_id_counts_once() {
    let (_server, mut js) = start();
    js.create_stream("C", r#"{"name":"C","allow_msg_counter":true}"#);
    let headers = [("Nats-Incr", "5"), ("Nats-Msg-Id", "a")];
    let ack = js.request_with("C", &headers, "");
    assert_eq!(ack.0.text(), r#"{"stream":"C","seq":1,"val":"5"}"#);
    let ack = js.request_with("C", &headers, "");
    assert_eq!(ack.0.text(), r#"{"stream":"C","seq":1,"duplicate": true}"#);
    let ack = js.request_with("C", &headers[..1], "");
    assert_eq!(ack.0.text(), r#"{"stream":"C","seq":2,"val":"10"}"#);
}

#[test]
fn counters_do_not_go_with_everything() {
    let (_server, mut js) = start();
    for (with, text) in [
        (
            r#""discard":"new""#,
            "counter stream cannot use discard new",
        ),
        (
            r#""allow_msg_ttl":true"#,
            "counter stream cannot use message TTLs",
        ),
        (
            r#""allow_msg_schedules":true"#,
            "counter stream cannot use message schedules",
        ),
        (
            r#""retention":"workqueue""#,
            "counter stream can only use limits retention",
        ),
    ] {
        let body = format!(r#"{{"name":"C","allow_msg_counter":true,{with}}}"#);
        check_error(&js.api("STREAM.CREATE.C", &body), 500, 10052, text);
    }
}
