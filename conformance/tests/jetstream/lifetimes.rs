//! `Nats-TTL` and markers: messages that go by their own word, and what is left in their place.

use everjet_conformance::JetStream;
use serde_json::json;

use crate::{check_contains, check_error, start};

#[test]
fn a_message_goes_when_its_lifetime_is_over_and_others_stay() {
    let (mut server, mut js) = start();
    js.create_stream(
        "S",
        r#"{"name":"S","subjects":["s.>"],"allow_msg_ttl":true}"#,
    );
    js.request_with("s.never", &[("Nats-TTL", "never")], "x");
    js.request_with("s.long", &[("Nats-TTL", "1h")], "x");
    js.request_with("s.short", &[("Nats-TTL", "1")], "x");
    js.request_with("s.plain", &[], "x");
    js.wait_until("one message went", |js| {
        js.api("STREAM.INFO.S", "")["state"]["messages"] == 3
    });
    let info = js.api("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    let subjects = json!({"s.never": 1, "s.long": 1, "s.plain": 1});
    assert_eq!(info["state"]["subjects"], subjects);
    js.request_with("s.short", &[("Nats-TTL", "2s")], "x");
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    js.wait_until("a lifetime counts after a crash, too", |js| {
        js.api("STREAM.INFO.S", "")["state"]["messages"] == 3
    });
}

#[test]
fn lifetimes_that_are_not_allowed_or_mean_nothing_are_refused() {
    let (_server, mut js) = start();
    js.create_stream("N", r#"{"name":"N"}"#);
    let answer = js.request_with("N", &[("Nats-TTL", "5s")], "x").json();
    check_error(&answer, 400, 10166, "per-message TTL is disabled");
    js.create_stream("S", r#"{"name":"S","allow_msg_ttl":true}"#);
    for wrong in ["0", "500ms", "-1", "soon"] {
        let answer = js.request_with("S", &[("Nats-TTL", wrong)], "x").json();
        check_error(&answer, 400, 10165, "invalid per-message TTL");
    }
    for good in ["1", "1500ms", "NEVER", "00"] {
        let answer = js.request_with("S", &[("Nats-TTL", good)], "x").json();
        assert!(answer["error"].is_null(), "{good}: {answer}");
    }
    check_error(
        &js.api("STREAM.UPDATE.S", r#"{"name":"S"}"#),
        500,
        10052,
        "message TTL status can not be disabled",
    );
}

#[test]
fn markers_imply_lifetimes_and_rollups() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","deny_purge":true,"subject_delete_marker_ttl":1000000000}"#;
    let created = js.create_stream("S", config);
    check_contains(
        &created["config"],
        &json!({"allow_msg_ttl": true, "allow_rollup_hdrs": true, "deny_purge": false,
            "subject_delete_marker_ttl": 1_000_000_000, "metadata": {"_nats.req.level": "1"}}),
    );
    for (config, text) in [
        (
            r#""subject_delete_marker_ttl":1000000"#,
            "subject delete marker TTL must be at least 1 second",
        ),
        (
            r#""subject_delete_marker_ttl":-1"#,
            "subject delete marker TTL must not be negative",
        ),
        (
            r#""subject_delete_marker_ttl":1000000000,"pedantic":true"#,
            "subject delete marker cannot be set if message TTLs are disabled",
        ),
        (
            r#""subject_delete_marker_ttl":1000000000,"allow_msg_ttl":true,"pedantic":true"#,
            "subject delete marker cannot be set if roll-ups are disabled",
        ),
    ] {
        let body = format!(r#"{{"name":"M",{config}}}"#);
        check_error(&js.api("STREAM.CREATE.M", &body), 500, 10052, text);
    }
}

#[test]
fn the_last_message_of_a_subject_leaves_a_marker() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","subjects":["s.>"],"subject_delete_marker_ttl":3600000000000,"max_age":1000000000,
        "max_msgs_per_subject":1,"allow_direct":true}"#;
    js.create_stream("S", config);
    js.store("s.a", "x");
    js.request_with("s.b", &[("Nats-TTL", "never")], "x");
    js.wait_until("a marker is there", |js| {
        js.api("STREAM.INFO.S", "")["state"]["last_seq"] == 3
    });
    let marker = js.request("$JS.API.DIRECT.GET.S.s.a", "");
    let headers = String::from_utf8_lossy(&marker.0.headers).into_owned();
    let expected =
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\nNats-Rollup: sub\r\n";
    assert!(headers.starts_with(expected), "{headers}");
    assert_eq!(marker.0.text(), "");
    let info = js.api("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    check_contains(
        &info["state"],
        &json!({"messages": 2, "first_seq": 2, "last_seq": 3, "subjects": {"s.a": 1, "s.b": 1}}),
    );
}

#[test]
fn a_lifetime_is_not_shorter_than_that_of_a_marker() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","subjects":["s.>"],"subject_delete_marker_ttl":60000000000,"allow_direct":true}"#;
    js.create_stream("S", config);
    js.request_with("s.a", &[("Nats-TTL", "1s"), ("A", "b")], "x");
    let stored = js.request("$JS.API.DIRECT.GET.S.s.a", "");
    let headers = String::from_utf8_lossy(&stored.0.headers).into_owned();
    let expected = "NATS/1.0\r\nA: b\r\nNats-TTL: 60\r\n";
    assert!(headers.starts_with(expected), "{headers}");
}
