//! `subject_transform` and `republish`: other subjects than messages were published with.

use everjet_conformance::JetStream;
use serde_json::json;

use crate::{check_contains, check_error, start};

#[test]
fn messages_are_stored_under_what_the_transform_makes_of_their_subject() {
    let (_server, mut js) = start();
    let config = |transform: &str| format!(r#"{{"name":"S","subjects":["s.>"]{transform}}}"#);
    let transform = r#","subject_transform":{"src":"s.*","dest":"t.{{wildcard(1)}}.x"}"#;
    let created = js.create_stream("S", &config(transform));
    let echoed = json!({"src": "s.*", "dest": "t.{{wildcard(1)}}.x"});
    check_contains(&created["config"], &json!({"subject_transform": echoed}));
    js.store("s.a", "1");
    js.store("s.a.b", "2");
    let expects = [("Nats-Expected-Last-Subject-Sequence", "1")];
    assert_eq!(js.request_with("s.a", &expects, "3").json()["seq"], 3);
    js.api("STREAM.UPDATE.S", &config(""));
    js.store("s.a", "4");
    let info = js.api("STREAM.INFO.S", r#"{"subjects_filter":">"}"#);
    let subjects = json!({"s.a": 1, "s.a.b": 1, "t.a.x": 2});
    check_contains(&info["state"], &json!({"subjects": subjects}));
}

#[test]
fn each_rule_for_transforms_has_its_error() {
    let (_server, mut js) = start();
    for (source, destination, code, text) in [
        (
            "s b",
            "t.>",
            10155,
            "stream transform source: invalid subject s b",
        ),
        (
            "s..b",
            "t.>",
            10155,
            "stream transform source: invalid subject s..b",
        ),
        ("s.*", "t.>", 10156, "stream transform: invalid subject"),
        (
            "s.*",
            "t.{{wildcard(2)}}",
            10156,
            "stream transform: invalid mapping destination: wildcard index out of range in {{wildcard(2)}}: [2]",
        ),
        (
            "s.*",
            "t.{{turn(1)}}",
            10156,
            "stream transform: invalid mapping destination: unknown function in {{turn(1)}}",
        ),
        (
            "s.*",
            "t..c",
            10156,
            "stream transform: invalid mapping destination: invalid transform",
        ),
    ] {
        let transform = json!({"src": source, "dest": destination});
        let body = json!({"name": "S", "subjects": ["s.>"], "subject_transform": transform});
        let answer = js.api("STREAM.CREATE.S", &body.to_string());
        check_error(&answer, 400, code, text);
    }
}

/// Publishes and returns what came on `again.>` before the acknowledgement: subject, headers without the time, body.
fn published_again(js: &mut JetStream, subject: &str, headers: &[(&str, &str)]) -> [String; 3] {
    js.publish(subject, headers, "hello");
    let message = js.raw().message();
    let text = String::from_utf8_lossy(&message.headers).into_owned();
    let is_time = |line: &&str| line.starts_with("Nats-Time-Stamp: 2");
    assert_eq!(text.lines().filter(is_time).count(), 1, "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| !is_time(line)).collect();
    let ack = js.raw().message();
    assert!(ack.text().starts_with(r#"{"stream":"S","seq":"#), "{ack:?}");
    [message.subject.clone(), lines.join("|"), message.text()]
}

#[test]
fn stored_messages_are_published_again_before_they_are_acknowledged() {
    let (_server, mut js) = start();
    let config =
        |republish: &str| format!(r#"{{"name":"S","subjects":["s.>"],"republish":{republish}}}"#);
    js.create_stream(
        "S",
        &config(r#"{"src":"s.*","dest":"again.{{wildcard(1)}}"}"#),
    );
    js.raw().send(b"SUB again.> again\r\n");
    js.raw().expect_quiet();
    assert_eq!(
        published_again(&mut js, "s.a", &[]),
        [
            "again.a",
            "NATS/1.0|Nats-Stream: S|Nats-Subject: s.a|Nats-Sequence: 1|Nats-Last-Sequence: 0|",
            "hello"
        ]
    );
    assert_eq!(
        published_again(&mut js, "s.a", &[("A", "b")]),
        [
            "again.a",
            "NATS/1.0|A: b|Nats-Stream: S|Nats-Subject: s.a|Nats-Sequence: 2|Nats-Last-Sequence: 1|",
            "hello"
        ]
    );
    js.store("s.a.b", "nobody hears of it");
    js.api(
        "STREAM.UPDATE.S",
        &config(r#"{"src":">","dest":"again.>","headers_only":true}"#),
    );
    assert_eq!(
        published_again(&mut js, "s.a.b", &[]),
        [
            "again.s.a.b",
            "NATS/1.0|Nats-Stream: S|Nats-Subject: s.a.b|Nats-Sequence: 4|Nats-Last-Sequence: 3|Nats-Msg-Size: 5|",
            ""
        ]
    );
}

#[test]
fn each_rule_for_republishing_has_its_error() {
    let (_server, mut js) = start();
    let cycle = "stream configuration for republish destination forms a cycle";
    for (republish, more, status, code, text) in [
        (r#"{"src":"s.>","dest":"s.x.>"}"#, "", 500, 10052, cycle),
        (r#"{"src":">","dest":">"}"#, "", 500, 10052, cycle),
        (
            r#"{"src":"s.*","dest":"again.>"}"#,
            "",
            500,
            10052,
            "stream configuration for republish with transform from 's.*' to 'again.>' not valid",
        ),
        (
            r#"{"dest":"again.>"}"#,
            r#","pedantic":true"#,
            400,
            10157,
            "pedantic mode: republish source can not be empty",
        ),
        (
            r#"{"src":">","dest":">"}"#,
            r#","subject_transform":{"src":"s.>","dest":"t.>"},"pedantic":true"#,
            400,
            10157,
            "pedantic mode: implicit republish based on subject transform",
        ),
    ] {
        let body = format!(r#"{{"name":"S","subjects":["s.>"],"republish":{republish}{more}}}"#);
        check_error(&js.api("STREAM.CREATE.S", &body), status, code, text);
    }
    let body = r#"{"name":"S","subjects":["s.>"],"republish":{"src":">","dest":">"},
        "subject_transform":{"src":"s.>","dest":"t.>"}}"#;
    let created = js.create_stream("S", body);
    check_contains(
        &created["config"],
        &json!({"republish": {"src": "t.>", "dest": "t.>"}}),
    );
}
