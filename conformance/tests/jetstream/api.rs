//! What goes for all requests of the API: who hears of them, what is counted, what is passed over.

use everjet_conformance::{JetStream, RawClient, ServerProcess};
use serde_json::{Value, json};

use crate::{check_contains, start, start_with_orders};

/// A connection that is subscribed to advisories.
fn listen(server: &ServerProcess, subject: &str) -> RawClient {
    let mut client = RawClient::ready(server.port());
    client.send(format!("SUB {subject} 1\r\n").as_bytes());
    client.expect_quiet();
    client
}

/// The next advisory: its subject, and what it says without what is different every time.
#[track_caller]
fn advisory(client: &mut RawClient) -> (String, Value) {
    let message = client.message();
    let mut body: Value = serde_json::from_slice(&message.payload).expect("JSON");
    let fields = body.as_object_mut().expect("an object");
    let id = fields.remove("id").expect("an id");
    assert_eq!(id.as_str().map(str::len), Some(22), "{message:?}");
    let time = fields.remove("timestamp").expect("a time");
    assert!(
        time.as_str().is_some_and(|time| time.ends_with('Z')),
        "{time}"
    );
    (message.subject, body)
}

fn counted(js: &mut JetStream) -> (u64, u64) {
    let info = js.api("INFO", "");
    let number = |name: &str| info["api"][name].as_u64().expect("a number");
    (number("total"), number("errors"))
}

#[test]
fn streams_that_come_change_and_go_are_told_of() {
    let (server, mut js) = start();
    let mut listener = listen(&server, "$JS.EVENT.ADVISORY.STREAM.>");
    let config = r#"{"name":"S","subjects":["s"]}"#;
    js.create_stream("S", config);
    // Nothing happens the second time.
    js.create_stream("S", config);
    js.api("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s","t"]}"#);
    js.api_error("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s..t"]}"#);
    assert_eq!(js.api("STREAM.DELETE.S", "")["success"], true);
    for (what, action) in [
        ("CREATED", "create"),
        ("UPDATED", "modify"),
        ("DELETED", "delete"),
    ] {
        let expected = json!({
            "type": "io.nats.jetstream.advisory.v1.stream_action",
            "stream": "S",
            "action": action,
        });
        assert_eq!(
            advisory(&mut listener),
            (format!("$JS.EVENT.ADVISORY.STREAM.{what}.S"), expected)
        );
    }
}

#[test]
fn every_answer_but_a_message_is_audited() {
    let (server, mut js) = start_with_orders(2);
    let mut listener = listen(&server, "$JS.EVENT.ADVISORY.API");
    js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":1}"#);
    for (call, body) in [
        ("INFO", ""),
        ("STREAM.INFO.NOPE", ""),
        ("STREAM.MSG.GET.ORDERS", r#"{"seq":9}"#),
        ("STREAM.MSG.DELETE.ORDERS", r#"{"seq":1}"#),
        ("STREAM.PURGE.ORDERS", r#"{"keep":0}"#),
        ("CONSUMER.NAMES.ORDERS", ""),
        ("STREAM.LEADER.STEPDOWN.ORDERS", ""),
    ] {
        let answer = js.api(call, body);
        let (subject, audit) = advisory(&mut listener);
        assert_eq!(subject, "$JS.EVENT.ADVISORY.API");
        check_contains(
            &audit,
            &json!({
                "type": "io.nats.jetstream.advisory.v1.api_audit",
                "subject": format!("$JS.API.{call}"),
                "client": {"acc": "$G", "kind": "Client", "client_type": "nats"},
            }),
        );
        let request = audit["request"].as_str().unwrap_or_default();
        assert_eq!(request, body, "{call}");
        let response = audit["response"].as_str().expect("text");
        let response: Value = serde_json::from_str(response).expect("JSON");
        assert_eq!(response, answer, "{call}");
    }
    // Who does not want the answer is heard of, too.
    js.publish_to("$JS.API.STREAM.NAMES", None, &[], "");
    assert_eq!(advisory(&mut listener).1["subject"], "$JS.API.STREAM.NAMES");
}

#[test]
fn requests_are_counted_when_they_are_answered() {
    let (_server, mut js) = start_with_orders(2);
    let before = counted(&mut js);
    js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":1}"#);
    let after = counted(&mut js);
    // The question itself, and not that a message was read.
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0));
    js.api("STREAM.NAMES", "");
    js.api("STREAM.INFO.NOPE", "");
    js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":9}"#);
    let last = counted(&mut js);
    assert_eq!((last.0 - after.0, last.1 - after.1), (4, 2));
}

#[test]
fn calls_that_do_not_exist_are_not_answered() {
    let (_server, mut js) = start_with_orders(1);
    let calls = [
        "FOO",
        "STREAM.FOO.ORDERS",
        "STREAM.INFO",
        "STREAM.INFO.ORDERS.x",
        "STREAM.TEMPLATE.NAMES",
        "CONSUMER.INFO.ORDERS",
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "ACCOUNT.PURGE.x",
    ];
    for call in calls {
        js.publish(&format!("$JS.API.{call}"), &[], "");
    }
    // The answer to this one is the first message that comes.
    check_contains(
        &js.api("STREAM.NAMES", ""),
        &json!({"streams": ["ORDERS"], "total": 1}),
    );
    js.raw().expect_quiet();
}

#[test]
fn a_body_that_is_neither_object_nor_list_is_passed_over_where_none_is_needed() {
    let (_server, mut js) = start_with_orders(1);
    for body in ["x", "\"x\"", "7", "null"] {
        for call in ["INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.ORDERS"] {
            let answer = js.api(call, body);
            assert!(answer["error"].is_null(), "{call} {body}: {answer}");
        }
    }
    for body in ["[]", "{", r#"{"x":1}"#] {
        assert_eq!(js.api_error("STREAM.NAMES", body), 10025, "{body}");
    }
}

#[test]
fn an_entry_of_a_list_does_not_tell_the_level_of_the_server() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let streams = js.api("STREAM.LIST", "");
    assert_eq!(
        streams["streams"][0]["config"]["metadata"],
        json!({"_nats.req.level": "0"})
    );
    let consumers = js.api("CONSUMER.LIST.ORDERS", "");
    assert_eq!(
        consumers["consumers"][0]["config"]["metadata"],
        json!({"_nats.req.level": "0"})
    );
    let one = js.api("STREAM.INFO.ORDERS", "");
    assert!(
        one["config"]["metadata"]["_nats.level"].is_string(),
        "{one}"
    );
}

#[test]
fn a_level_that_is_not_served_is_refused() {
    let (_server, mut js) = start_with_orders(1);
    for level in ["99", "x", "1.0"] {
        let headers = [("Nats-Required-Api-Level", level)];
        for (call, body) in [
            ("INFO", ""),
            ("STREAM.INFO.ORDERS", ""),
            ("STREAM.MSG.GET.ORDERS", r#"{"seq":1}"#),
        ] {
            let answer = js
                .request_with(&format!("$JS.API.{call}"), &headers, body)
                .json();
            check_contains(&answer["error"], &json!({"code": 412, "err_code": 10185}));
        }
    }
    for level in ["0", "1"] {
        let headers = [("Nats-Required-Api-Level", level), ("X", "y")];
        let answer = js
            .request_with("$JS.API.STREAM.MSG.GET.ORDERS", &headers, r#"{"seq":1}"#)
            .json();
        assert_eq!(answer["message"]["data"], "MQ==");
    }
}

#[test]
fn subjects_of_a_stream_come_in_pages() {
    let (_server, mut js) = start();
    js.create_stream("S", r#"{"name":"S","subjects":["s.*"]}"#);
    for subject in ["s.c", "s.a", "s.b"] {
        js.store(subject, "x");
    }
    for (offset, subjects) in [
        (0, json!({"s.a": 1, "s.b": 1, "s.c": 1})),
        (2, json!({"s.c": 1})),
    ] {
        let body = format!(r#"{{"subjects_filter":">","offset":{offset}}}"#);
        let answer = js.api("STREAM.INFO.S", &body);
        check_contains(
            &answer,
            &json!({"total": 3, "offset": offset, "limit": 100_000}),
        );
        assert_eq!(answer["state"]["subjects"], subjects, "{answer}");
    }
}

#[test]
fn names_come_in_pages_of_1024_and_infos_of_256() {
    let (_server, mut js) = start();
    for number in 0..260 {
        let name = format!("S{number:03}");
        let config = format!(r#"{{"name":"{name}","subjects":["s.{number}"],"storage":"memory"}}"#);
        js.create_stream(&name, &config);
    }
    let names = js.api("STREAM.NAMES", r#"{"offset":250}"#);
    check_contains(&names, &json!({"total": 260, "offset": 250, "limit": 1024}));
    assert_eq!(names["streams"].as_array().map(Vec::len), Some(10));
    let first = js.api("STREAM.LIST", "");
    check_contains(&first, &json!({"total": 260, "offset": 0, "limit": 256}));
    assert_eq!(first["streams"].as_array().map(Vec::len), Some(256));
    let last = js.api("STREAM.LIST", r#"{"offset":256}"#);
    assert_eq!(last["streams"][0]["config"]["name"], "S256");
    assert_eq!(last["streams"].as_array().map(Vec::len), Some(4));
    let beyond = js.api("STREAM.LIST", r#"{"offset":999}"#);
    check_contains(
        &beyond,
        &json!({"total": 260, "offset": 260, "streams": []}),
    );
}
