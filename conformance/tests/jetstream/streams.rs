//! INFO, STREAM.CREATE, UPDATE, INFO, DELETE, PURGE.

use serde_json::json;

use crate::{check_contains, check_error, start, start_with_orders};

#[test]
fn account_info_counts_what_is_there() {
    let (_server, mut js) = start();
    let empty = js.api("INFO", "");
    check_contains(
        &empty,
        &json!({"type": "io.nats.jetstream.api.v1.account_info_response", "memory": 0, "storage": 0, "streams": 0, "consumers": 0,
            "limits": {"max_memory": -1, "max_storage": -1, "max_streams": -1, "max_consumers": -1}}),
    );
    assert!(
        empty["api"]["level"].is_u64() && empty["api"]["total"].is_u64(),
        "{empty}"
    );
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    js.store("order.new", "hello");
    let info = js.api("INFO", "");
    check_contains(&info, &json!({"streams": 1, "consumers": 1}));
    assert!(
        info["storage"].as_u64().is_some_and(|bytes| bytes > 0),
        "{info}"
    );
}

#[test]
fn a_created_stream_is_echoed_with_its_defaults() {
    let (_server, mut js) = start();
    let created = js.create_stream(
        "ORDERS",
        r#"{"name":"ORDERS","subjects":["order.*"],"max_msgs":0}"#,
    );
    check_contains(
        &created,
        &json!({"type": "io.nats.jetstream.api.v1.stream_create_response", "did_create": true,
            "config": {"name": "ORDERS", "subjects": ["order.*"], "retention": "limits", "storage": "file", "discard": "old",
                "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
                "max_msg_size": -1, "num_replicas": 1, "duplicate_window": 120_000_000_000_u64,
                "compression": "none", "allow_direct": false, "sealed": false, "deny_delete": false, "deny_purge": false,
                "allow_rollup_hdrs": false},
            "state": {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0, "consumer_count": 0,
                "first_ts": "0001-01-01T00:00:00Z", "last_ts": "0001-01-01T00:00:00Z"}}),
    );
    assert!(
        created["created"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{created}"
    );
    assert!(
        created["config"]["metadata"]["_nats.ver"].is_string(),
        "{created}"
    );
}

#[test]
fn a_stream_without_subjects_stores_its_own_name() {
    let (_server, mut js) = start();
    let created = js.create_stream("ORDERS", r#"{"name":"ORDERS"}"#);
    check_contains(&created, &json!({"config": {"subjects": ["ORDERS"]}}));
}

#[test]
fn creating_the_same_again_succeeds_and_another_fails() {
    let (_server, mut js) = start();
    let config = r#"{"name":"ORDERS","subjects":["order.*"],"max_age":604800000000000}"#;
    let first = js.create_stream("ORDERS", config);
    let again = js.create_stream("ORDERS", config);
    assert_eq!(first["created"], again["created"]);
    let other = js.api(
        "STREAM.CREATE.ORDERS",
        r#"{"name":"ORDERS","subjects":["order.*"]}"#,
    );
    check_error(
        &other,
        400,
        10058,
        "stream name already in use with a different configuration",
    );
    assert_eq!(
        other["type"],
        "io.nats.jetstream.api.v1.stream_create_response"
    );
}

#[test]
fn requests_that_cannot_be_are_refused_with_their_code() {
    let (_server, mut js) = start_with_orders(0);
    for (call, body, code) in [
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"DIFFERENT","subjects":["x"]}"#,
            10056,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["order.new"]}"#,
            10065,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x"],"num_replicas":3}"#,
            10074,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x"],"num_replicas":-1}"#,
            10133,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x"],"max_age":1000}"#,
            10052,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x","x"]}"#,
            10052,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x..y"]}"#,
            10052,
        ),
        (
            "STREAM.CREATE.OTHER",
            r#"{"name":"OTHER","subjects":["x"],"nonsense":1}"#,
            10025,
        ),
        ("STREAM.CREATE.OTHER", r#"{"name":"#, 10025),
        ("STREAM.CREATE.OTHER", "", 10056),
        (
            "STREAM.UPDATE.OTHER",
            r#"{"name":"OTHER","subjects":["x"]}"#,
            10059,
        ),
        (
            "STREAM.UPDATE.ORDERS",
            r#"{"name":"ORDERS","subjects":["order.>"],"storage":"memory"}"#,
            10052,
        ),
        ("STREAM.INFO.OTHER", "", 10059),
        ("STREAM.DELETE.OTHER", "", 10059),
        ("STREAM.DELETE.ORDERS", "x", 10038),
        ("STREAM.PURGE.OTHER", "", 10059),
        ("STREAM.PURGE.ORDERS", r#"{"seq":2,"keep":2}"#, 10003),
    ] {
        assert_eq!(js.api_error(call, body), code, "{call} {body}");
    }
}

#[test]
fn an_unknown_field_is_named() {
    let (_server, mut js) = start();
    let answer = js.api(
        "STREAM.CREATE.OTHER",
        r#"{"name":"OTHER","subjects":["x"],"nonsense":1}"#,
    );
    check_error(
        &answer,
        400,
        10025,
        "invalid JSON: json: unknown field \"nonsense\"",
    );
}

#[test]
fn an_update_changes_limits_and_prunes_at_once() {
    let (_server, mut js) = start_with_orders(5);
    let updated = js.api(
        "STREAM.UPDATE.ORDERS",
        r#"{"name":"ORDERS","subjects":["order.>"],"max_msgs":2}"#,
    );
    check_contains(
        &updated,
        &json!({"type": "io.nats.jetstream.api.v1.stream_update_response", "config": {"max_msgs": 2},
            "state": {"messages": 2, "first_seq": 4, "last_seq": 5}}),
    );
}

#[test]
fn compression_is_chosen_shown_and_changed() {
    let (mut server, mut js) = start();
    let config = |storage: &str, compression: &str| {
        format!(
            r#"{{"name":"C","subjects":["c.>"],"storage":"{storage}","compression":"{compression}"}}"#
        )
    };
    for storage in ["memory", "file"] {
        let created = js.api("STREAM.CREATE.C", &config(storage, "s2"));
        check_contains(&created, &json!({"config": {"compression": "s2"}}));
        for (round, compression) in ["none", "s2", "none", "s2"].into_iter().enumerate() {
            for number in 1..=20 {
                let body = format!("{number} {:1000}", "compressible");
                assert_eq!(js.store("c.x", &body), 20 * round as u64 + number);
            }
            let updated = js.api("STREAM.UPDATE.C", &config(storage, compression));
            check_contains(&updated, &json!({"config": {"compression": compression}}));
        }
        if storage == "memory" {
            js.api("STREAM.DELETE.C", "");
        }
    }
    let unknown = js.api("STREAM.CREATE.D", r#"{"name":"D","compression":"lz4"}"#);
    check_contains(
        &unknown,
        &json!({"error": {"code": 400, "err_code": 10025}}),
    );
    assert!(server.terminate().success());
    server.start_again();
    let mut js = everjet_conformance::JetStream::connect(&server);
    let info = js.api("STREAM.INFO.C", "");
    check_contains(
        &info,
        &json!({"config": {"compression": "s2"}, "state": {"messages": 80}}),
    );
    for sequence in [1, 30, 50, 80] {
        let request = format!(r#"{{"seq":{sequence}}}"#);
        let message = js.api("STREAM.MSG.GET.C", &request);
        check_contains(
            &message,
            &json!({"message": {"subject": "c.x", "seq": sequence}}),
        );
    }
}

#[test]
fn stream_info_counts_messages_subjects_and_gaps() {
    let (_server, mut js) = start_with_orders(3);
    js.store("order.old", "x");
    assert_eq!(
        js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#)["success"],
        true
    );
    let info = js.api("STREAM.INFO.ORDERS", "");
    check_contains(
        &info,
        &json!({"type": "io.nats.jetstream.api.v1.stream_info_response", "total": 0, "offset": 0, "limit": 0,
            "state": {"messages": 3, "first_seq": 1, "last_seq": 4, "num_subjects": 2, "num_deleted": 1, "consumer_count": 0}}),
    );
    let details = js.api(
        "STREAM.INFO.ORDERS",
        r#"{"deleted_details":true,"subjects_filter":"order.*"}"#,
    );
    check_contains(
        &details,
        &json!({"total": 2, "state": {"deleted": [2], "subjects": {"order.new": 2, "order.old": 1}}}),
    );
}

#[test]
fn purge_takes_all_a_subject_up_to_a_sequence_or_all_but_some() {
    let purged = |body: &str| {
        let (_server, mut js) = start_with_orders(4);
        js.store("order.old", "x");
        js.store("order.old", "y");
        let answer = js.api("STREAM.PURGE.ORDERS", body);
        check_contains(
            &answer,
            &json!({"type": "io.nats.jetstream.api.v1.stream_purge_response", "success": true}),
        );
        let state = js.api("STREAM.INFO.ORDERS", "")["state"].clone();
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        (
            number(&answer["purged"]),
            number(&state["messages"]),
            number(&state["first_seq"]),
            number(&state["last_seq"]),
        )
    };
    assert_eq!(purged(""), (6, 0, 7, 6));
    assert_eq!(purged(r#"{"filter":"order.new"}"#), (4, 2, 5, 6));
    assert_eq!(purged(r#"{"filter":"order.old"}"#), (2, 4, 1, 6));
    assert_eq!(purged(r#"{"seq":3}"#), (2, 4, 3, 6));
    assert_eq!(purged(r#"{"keep":1}"#), (5, 1, 6, 6));
    assert_eq!(purged(r#"{"filter":"order.new","keep":1}"#), (3, 3, 4, 6));
}

#[test]
fn a_deleted_stream_is_gone_and_its_subjects_are_free() {
    let (_server, mut js) = start_with_orders(2);
    let answer = js.api("STREAM.DELETE.ORDERS", "");
    check_contains(
        &answer,
        &json!({"type": "io.nats.jetstream.api.v1.stream_delete_response", "success": true}),
    );
    check_error(
        &js.api("STREAM.INFO.ORDERS", ""),
        404,
        10059,
        "stream not found",
    );
    js.create_stream("AGAIN", r#"{"name":"AGAIN","subjects":["order.>"]}"#);
    assert_eq!(js.store("order.new", "x"), 1);
}

#[test]
fn a_memory_stream_works_like_one_of_files() {
    let (_server, mut js) = start();
    let created = js.create_stream(
        "FAST",
        r#"{"name":"FAST","subjects":["fast"],"storage":"memory"}"#,
    );
    assert_eq!(created["config"]["storage"], "memory");
    assert_eq!(js.store("fast", "x"), 1);
    let message = js.api("STREAM.MSG.GET.FAST", r#"{"seq":1}"#);
    assert_eq!(message["message"]["data"], "eA==");
}

#[test]
fn an_unknown_api_subject_gets_no_answer() {
    let (_server, mut js) = start();
    js.publish("$JS.API.NOT.A.THING", &[], "");
    let info = js.request("$JS.API.INFO", "").json();
    assert!(info["error"].is_null(), "{info}");
}

#[test]
fn requests_to_a_server_without_jetstream_find_nobody() {
    let server = everjet_conformance::ServerProcess::start("");
    let mut js = everjet_conformance::JetStream::connect(&server);
    let answer = js.request("$JS.API.INFO", "");
    assert_eq!(answer.0.status().as_deref(), Some("503"), "{answer:?}");
}
