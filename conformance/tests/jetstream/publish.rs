//! Publish acknowledgements, expectations, dedupe, limits.

use everjet_conformance::{RawClient, Reply};
use serde_json::json;

use crate::{check_contains, check_error, start, start_with_orders};

#[test]
fn an_acknowledgement_names_stream_and_sequence() {
    let (_server, mut js) = start_with_orders(0);
    assert_eq!(
        js.request("order.new", "x").0.text(),
        r#"{"stream":"ORDERS","seq":1}"#
    );
    assert_eq!(
        js.request("order.new", "y").0.text(),
        r#"{"stream":"ORDERS","seq":2}"#
    );
}

#[test]
fn many_publishers_that_wait_each_get_their_own_answers() {
    let (server, mut js) = start_with_orders(0);
    let connect = |number: usize| {
        let mut client = RawClient::ready(server.port());
        client.send(format!("SUB _INBOX.{number} 1\r\n").as_bytes());
        client.expect_quiet();
        client
    };
    let mut publishers: Vec<RawClient> = (0..24).map(connect).collect();
    let mut stored = Vec::new();
    for _ in 0..20 {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            publisher.send(format!("PUB order.new _INBOX.{number} 1\r\nx\r\n").as_bytes());
        }
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let answer = publisher.message();
            assert_eq!(answer.subject, format!("_INBOX.{number}"));
            stored.push(Reply(answer).json()["seq"].as_u64());
        }
    }
    stored.sort_unstable();
    assert!(stored.into_iter().eq((1..=24 * 20).map(Some)));
    assert_eq!(js.store("order.new", "x"), 24 * 20 + 1);
}

#[test]
fn a_message_without_reply_is_stored_without_a_word() {
    let (_server, mut js) = start_with_orders(0);
    js.publish_to("order.new", None, &[], "quiet");
    assert_eq!(js.store("order.new", "x"), 2);
}

#[test]
fn a_message_id_is_stored_once() {
    let (_server, mut js) = start_with_orders(0);
    let id = [("Nats-Msg-Id", "a")];
    assert_eq!(
        js.request_with("order.new", &id, "x").0.text(),
        r#"{"stream":"ORDERS","seq":1}"#
    );
    assert_eq!(
        js.request_with("order.new", &id, "x").0.text(),
        r#"{"stream":"ORDERS","seq":1,"duplicate": true}"#
    );
    assert_eq!(
        js.request_with("order.old", &id, "x").json()["duplicate"],
        true
    );
    assert_eq!(js.store("order.new", "y"), 2);
}

#[test]
fn a_message_id_is_forgotten_after_the_window() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","duplicate_window":200000000}"#);
    let id = [("Nats-Msg-Id", "a")];
    assert_eq!(js.request_with("S", &id, "x").json()["seq"], 1);
    js.wait_until("the id is forgotten", |js| {
        js.request_with("S", &id, "x").json()["duplicate"].is_null()
    });
}

#[test]
fn expectations_are_checked_before_anything_is_stored() {
    let (_server, mut js) = start_with_orders(2);
    js.request_with("order.old", &[("Nats-Msg-Id", "third")], "3");
    for (header, value, code, description) in [
        (
            "Nats-Expected-Stream",
            "OTHER",
            10060,
            "expected stream does not match",
        ),
        (
            "Nats-Expected-Last-Sequence",
            "2",
            10071,
            "wrong last sequence: 3",
        ),
        (
            "Nats-Expected-Last-Subject-Sequence",
            "1",
            10071,
            "wrong last sequence: 2",
        ),
        (
            "Nats-Expected-Last-Subject-Sequence",
            "0",
            10071,
            "wrong last sequence: 2",
        ),
        (
            "Nats-Expected-Last-Msg-Id",
            "second",
            10070,
            "wrong last msg ID: third",
        ),
    ] {
        let answer = js.request_with("order.new", &[(header, value)], "x").json();
        check_error(&answer, 400, code, description);
        check_contains(&answer, &json!({"stream": "ORDERS", "seq": 0}));
    }
    for (header, value, seq) in [
        ("Nats-Expected-Stream", "ORDERS", 4),
        ("Nats-Expected-Last-Sequence", "4", 5),
        ("Nats-Expected-Last-Subject-Sequence", "5", 6),
    ] {
        assert_eq!(
            js.request_with("order.new", &[(header, value)], "x").json()["seq"],
            seq,
            "{header}"
        );
    }
    let first = js
        .request_with(
            "order.first",
            &[("Nats-Expected-Last-Subject-Sequence", "0")],
            "x",
        )
        .json();
    assert_eq!(first["seq"], 7);
}

#[test]
fn zero_expects_an_empty_stream() {
    let (_server, mut js) = start_with_orders(0);
    let nothing = [("Nats-Expected-Last-Sequence", "0")];
    assert_eq!(js.request_with("order.new", &nothing, "x").json()["seq"], 1);
    assert_eq!(
        js.request_with("order.new", &nothing, "x").json()["error"]["err_code"],
        10071
    );
}

#[test]
fn a_message_larger_than_the_stream_allows_is_refused() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","max_msg_size":10}"#);
    assert_eq!(js.store("S", "0123456789"), 1);
    let answer = js.request("S", "0123456789a").json();
    check_error(&answer, 400, 10054, "message size exceeds maximum allowed");
    check_contains(&answer, &json!({"stream": "S", "seq": 0}));
}

#[test]
fn discard_old_drops_the_oldest() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","max_msgs":3}"#);
    for number in 1..=5 {
        assert_eq!(js.store("S", "x"), number);
    }
    check_contains(
        &js.api("STREAM.INFO.S", ""),
        &json!({"state": {"messages": 3, "first_seq": 3, "last_seq": 5}}),
    );
}

#[test]
fn discard_new_refuses_the_newest() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","max_msgs":2,"discard":"new"}"#);
    js.store("S", "1");
    js.store("S", "2");
    check_error(
        &js.request("S", "3").json(),
        503,
        10077,
        "maximum messages exceeded",
    );
    assert_eq!(
        js.api("STREAM.MSG.DELETE.S", r#"{"seq":1}"#)["success"],
        true
    );
    assert_eq!(js.store("S", "3"), 3);
}

#[test]
fn bytes_are_limited_too() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","max_bytes":1000,"discard":"new"}"#);
    js.store("S", &"x".repeat(500));
    check_error(
        &js.request("S", &"x".repeat(500)).json(),
        503,
        10077,
        "maximum bytes exceeded",
    );
    js.create_stream("T", r#"{"name":"T","max_bytes":1000}"#);
    js.store("T", &"x".repeat(500));
    js.store("T", &"x".repeat(500));
    check_contains(
        &js.api("STREAM.INFO.T", ""),
        &json!({"state": {"messages": 1, "first_seq": 2}}),
    );
}

#[test]
fn each_subject_may_be_limited() {
    let (_server, mut js) = start();
    js.create_stream(
        "S",
        r#"{"name":"S","subjects":["s.*"],"max_msgs_per_subject":1}"#,
    );
    js.store("s.a", "1");
    js.store("s.b", "2");
    js.store("s.a", "3");
    check_contains(
        &js.api("STREAM.INFO.S", r#"{"deleted_details":true}"#),
        &json!({"state": {"messages": 2, "first_seq": 2, "last_seq": 3, "num_subjects": 2}}),
    );
    js.create_stream(
        "N",
        r#"{"name":"N","subjects":["n.*"],"max_msgs_per_subject":1,"discard":"new","discard_new_per_subject":true}"#,
    );
    js.store("n.a", "1");
    check_error(
        &js.request("n.a", "2").json(),
        503,
        10077,
        "maximum messages per subject exceeded",
    );
    assert_eq!(js.store("n.b", "2"), 2);
}

#[test]
fn messages_grow_too_old() {
    let (_server, mut js) = start();
    js.create_stream(
        "S",
        r#"{"name":"S","max_age":300000000,"duplicate_window":300000000}"#,
    );
    js.store("S", "x");
    js.wait_until("the message is too old", |js| {
        js.api("STREAM.INFO.S", "")["state"]["messages"] == 0
    });
    check_contains(
        &js.api("STREAM.INFO.S", ""),
        &json!({"state": {"first_seq": 2, "last_seq": 1}}),
    );
    assert_eq!(js.store("S", "y"), 2);
}

#[test]
fn a_stream_may_be_told_not_to_answer() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","no_ack":true}"#);
    js.publish("S", &[], "x");
    js.wait_until("the message is stored", |js| {
        js.api("STREAM.INFO.S", "")["state"]["messages"] == 1
    });
}

#[test]
fn who_published_is_not_stored() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","allow_direct":true}"#);
    let info = ("Nats-Request-Info", "{}");
    js.request_with("S", &[info, ("A", "b")], "x");
    js.request_with("S", &[info], "x");
    for (sequence, expected) in [(1, "NATS/1.0\r\nA: b\r\n"), (2, "NATS/1.0\r\n")] {
        let wanted = json!({"seq": sequence}).to_string();
        let stored = js.request("$JS.API.DIRECT.GET.S", &wanted).0;
        let headers = String::from_utf8_lossy(&stored.headers).into_owned();
        let (stored, _) = headers.split_once("Nats-Stream: S").expect("its place");
        assert_eq!(stored, expected);
    }
}

#[test]
fn a_stream_may_persist_later() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","persist_mode":"async"}"#;
    let created = js.create_stream("S", config);
    check_contains(
        &created["config"],
        &json!({"persist_mode": "async", "metadata": {"_nats.req.level": "2"}}),
    );
    assert_eq!(js.store("S", "x"), 1);
    check_error(
        &js.api("STREAM.UPDATE.S", r#"{"name":"S"}"#),
        500,
        10052,
        "stream configuration update can not change persist mode",
    );
    check_error(
        &js.api(
            "STREAM.CREATE.M",
            r#"{"name":"M","persist_mode":"async","storage":"memory"}"#,
        ),
        500,
        10052,
        "async persist mode is only supported on file storage",
    );
}

#[test]
fn a_sealed_stream_stays_sealed() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","allow_rollup_hdrs":true}"#);
    js.store("S", "x");
    let update = r#"{"name":"S","sealed":true,"allow_rollup_hdrs":true}"#;
    let sealed = js.api("STREAM.UPDATE.S", update);
    check_contains(
        &sealed["config"],
        &json!({"sealed": true, "deny_delete": true, "deny_purge": true, "discard": "new",
            "allow_rollup_hdrs": false}),
    );
    let answer = js.request("S", "x").json();
    check_error(&answer, 400, 10109, "invalid operation on sealed stream");
    check_error(
        &js.api("STREAM.UPDATE.S", r#"{"name":"S"}"#),
        500,
        10052,
        "stream configuration update can not unseal a sealed stream",
    );
}
