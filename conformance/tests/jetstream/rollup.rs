//! `Nats-Rollup`: messages that take the place of those before them.

use serde_json::json;

use crate::{check_contains, check_error, start};

#[test]
fn a_rollup_takes_the_place_of_its_subject_or_of_all() {
    let (_server, mut js) = start();
    let config = r#"{"name":"S","subjects":["s.>"],"allow_rollup_hdrs":true}"#;
    let created = js.create_stream("S", config);
    check_contains(&created["config"], &json!({"allow_rollup_hdrs": true}));
    for subject in ["s.a", "s.b", "s.a"] {
        js.store(subject, "x");
    }
    let rolled = js.request_with("s.a", &[("Nats-Rollup", "sub")], "x");
    assert_eq!(rolled.0.text(), r#"{"stream":"S","seq":4}"#);
    let info = js.api("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    check_contains(
        &info["state"],
        &json!({"messages": 2, "first_seq": 2, "last_seq": 4, "subjects": {"s.a": 1, "s.b": 1}}),
    );
    let rolled = js.request_with("s.c", &[("Nats-Rollup", "all")], "x");
    assert_eq!(rolled.0.text(), r#"{"stream":"S","seq":5}"#);
    let info = js.api("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    check_contains(
        &info["state"],
        &json!({"messages": 1, "first_seq": 5, "last_seq": 5, "subjects": {"s.c": 1}}),
    );
}

#[test]
fn rollups_that_are_not_allowed_or_mean_nothing_are_refused() {
    let (_server, mut js) = start();
    js.create_stream("N", r#"{"name":"N"}"#);
    let answer = js.request_with("N", &[("Nats-Rollup", "sub")], "x").json();
    check_error(&answer, 500, 10111, "rollup not permitted");
    js.create_stream("S", r#"{"name":"S","allow_rollup_hdrs":true}"#);
    let answer = js
        .request_with("S", &[("Nats-Rollup", "Other")], "x")
        .json();
    check_error(&answer, 500, 10111, r#"rollup value invalid: "other""#);
    let update = r#"{"name":"S","allow_rollup_hdrs":true,"deny_purge":true}"#;
    check_error(
        &js.api("STREAM.UPDATE.S", update),
        500,
        10052,
        "roll-ups require the purge permission",
    );
}

#[test]
fn what_a_message_expects_is_looked_at_before_whether_it_is_a_duplicate() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","allow_rollup_hdrs":true}"#);
    let id = ("Nats-Msg-Id", "a");
    js.request_with("S", &[id], "x");
    let answer = js.request_with("S", &[id, ("Nats-Expected-Last-Sequence", "9")], "x");
    check_error(&answer.json(), 400, 10071, "wrong last sequence: 1");
    for later in [("Nats-Expected-Last-Msg-Id", "b"), ("Nats-Rollup", "other")] {
        let answer = js.request_with("S", &[id, later], "x").json();
        check_contains(&answer, &json!({"seq": 1, "duplicate": true}));
    }
}
