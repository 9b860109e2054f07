//! STREAM.MSG.GET, STREAM.MSG.DELETE, DIRECT.GET.

use serde_json::json;

use crate::{check_contains, check_error, start, start_with_orders};

#[test]
fn a_stored_message_is_read_by_sequence_and_by_subject() {
    let (_server, mut js) = start_with_orders(2);
    js.request_with("order.old", &[("X", "y")], "three");
    js.store("order.new", "4");
    let second = js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":2}"#);
    check_contains(
        &second,
        &json!({"type": "io.nats.jetstream.api.v1.stream_msg_get_response",
            "message": {"subject": "order.new", "seq": 2, "data": "Mg=="}}),
    );
    assert!(
        second["message"]["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{second}"
    );
    assert!(second["message"].get("hdrs").is_none(), "{second}");
    let third = js.api("STREAM.MSG.GET.ORDERS", r#"{"last_by_subj":"order.old"}"#);
    // "NATS/1.0\r\nX: y\r\n\r\n" in base64.
    check_contains(
        &third,
        &json!({"message": {"seq": 3, "data": "dGhyZWU=", "hdrs": "TkFUUy8xLjANClg6IHkNCg0K"}}),
    );
    let next = js.api(
        "STREAM.MSG.GET.ORDERS",
        r#"{"seq":3,"next_by_subj":"order.new"}"#,
    );
    assert_eq!(next["message"]["seq"], 4);
}

#[test]
fn a_message_that_is_not_there_is_404() {
    let (_server, mut js) = start_with_orders(1);
    check_error(
        &js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":9}"#),
        404,
        10037,
        "no message found",
    );
    check_error(
        &js.api("STREAM.MSG.GET.ORDERS", r#"{"last_by_subj":"order.no"}"#),
        404,
        10037,
        "no message found",
    );
    assert_eq!(js.api_error("STREAM.MSG.GET.ORDERS", ""), 10003);
    assert_eq!(js.api_error("STREAM.MSG.GET.ORDERS", "{}"), 10003);
    assert_eq!(
        js.api_error(
            "STREAM.MSG.GET.ORDERS",
            r#"{"seq":1,"last_by_subj":"order.new"}"#
        ),
        10003
    );
    assert_eq!(js.api_error("STREAM.MSG.GET.NOPE", r#"{"seq":1}"#), 10059);
}

#[test]
fn a_deleted_message_is_gone_and_the_others_stay() {
    let (_server, mut js) = start_with_orders(3);
    let answer = js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#);
    check_contains(
        &answer,
        &json!({"type": "io.nats.jetstream.api.v1.stream_msg_delete_response", "success": true}),
    );
    assert_eq!(js.api_error("STREAM.MSG.GET.ORDERS", r#"{"seq":2}"#), 10037);
    assert_eq!(
        js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":3}"#)["message"]["data"],
        "Mw=="
    );
    assert_eq!(
        js.api_error("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#),
        10043
    );
    assert_eq!(
        js.api_error("STREAM.MSG.DELETE.ORDERS", r#"{"seq":99}"#),
        10057
    );
    assert!(js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":1,"no_erase":true}"#)["error"].is_null());
    check_contains(
        &js.api("STREAM.INFO.ORDERS", ""),
        &json!({"state": {"messages": 1, "first_seq": 3, "last_seq": 3}}),
    );
}

#[test]
fn deny_delete_holds() {
    let (_server, mut js) = start();
    js.create_stream("KEEP", r#"{"name":"KEEP","deny_delete":true}"#);
    js.store("KEEP", "x");
    assert_eq!(
        js.api_error("STREAM.MSG.DELETE.KEEP", r#"{"seq":1}"#),
        10057
    );
}

#[test]
fn a_direct_get_answers_with_the_message_itself() {
    let (_server, mut js) = start();
    js.create_stream(
        "D",
        r#"{"name":"D","subjects":["d.*"],"allow_direct":true}"#,
    );
    js.store("d.a", "one");
    js.request_with("d.b", &[("X", "y")], "two");
    let first = js.request("$JS.API.DIRECT.GET.D", r#"{"seq":1}"#).0;
    assert_eq!(first.text(), "one");
    let headers = String::from_utf8_lossy(&first.headers).into_owned();
    assert!(headers.starts_with("NATS/1.0\r\nNats-Stream: D\r\nNats-Subject: d.a\r\nNats-Sequence: 1\r\nNats-Time-Stamp: "), "{headers}");
    let second = js.request("$JS.API.DIRECT.GET.D.d.b", "").0;
    assert_eq!(second.text(), "two");
    let headers = String::from_utf8_lossy(&second.headers).into_owned();
    assert!(
        headers.starts_with("NATS/1.0\r\nX: y\r\nNats-Stream: D\r\n"),
        "{headers}"
    );
    let last = js
        .request("$JS.API.DIRECT.GET.D", r#"{"last_by_subj":"d.a"}"#)
        .0;
    assert_eq!(last.header("Nats-Sequence").as_deref(), Some("1"));
    let missing = js.request("$JS.API.DIRECT.GET.D", r#"{"seq":7}"#).0;
    assert_eq!(missing.status().as_deref(), Some("404 Message Not Found"));
    let empty = js.request("$JS.API.DIRECT.GET.D", "").0;
    assert_eq!(empty.status().as_deref(), Some("408 Empty Request"));
}

#[test]
fn a_stream_without_direct_access_has_no_responder() {
    let (_server, mut js) = start_with_orders(1);
    assert_eq!(
        js.request("$JS.API.DIRECT.GET.ORDERS", r#"{"seq":1}"#)
            .0
            .status()
            .as_deref(),
        Some("503")
    );
    assert_eq!(
        js.request("$JS.API.DIRECT.GET.NOPE", r#"{"seq":1}"#)
            .0
            .status()
            .as_deref(),
        Some("503")
    );
}
