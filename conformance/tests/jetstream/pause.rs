//! Pausing consumers.

use std::time::{Duration, SystemTime};

use everjet_conformance::JetStream;
use serde_json::{Value, json};

use crate::advisories::Listener;
use crate::{check_contains, check_error, start_with_orders};

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c";
const NEVER: &str = "0001-01-01T00:00:00Z";
const FAR: &str = "2099-01-01T00:00:00Z";

/// The time in a number of milliseconds, as the API takes it.
fn soon(millis: u64) -> String {
    let at = SystemTime::now() + Duration::from_millis(millis);
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let nanos = i64::try_from(since.as_nanos()).expect("before 2262");
    everjet_values::Timestamp::from_nanos(nanos).to_string()
}

#[track_caller]
fn pause(js: &mut JetStream, until: &str) -> Value {
    let body = json!({"pause_until": until}).to_string();
    js.api("CONSUMER.PAUSE.ORDERS.c", &body)
}

#[track_caller]
fn info(js: &mut JetStream) -> Value {
    js.api("CONSUMER.INFO.ORDERS.c", "")
}

#[test]
fn a_paused_consumer_delivers_when_its_time_is_over() {
    let (server, mut js) = start_with_orders(2);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let mut listener = Listener::connect(&server);
    let until = soon(600);
    let answer = pause(&mut js, &until);
    assert_eq!(
        answer["type"],
        "io.nats.jetstream.api.v1.consumer_pause_response"
    );
    check_contains(&answer, &json!({"paused": true, "pause_until": until}));
    let remaining = answer["pause_remaining"].as_u64().expect("a duration");
    assert!((1..=600_000_000).contains(&remaining), "{answer}");
    listener.expect(
        "ADVISORY.CONSUMER.PAUSE",
        "c",
        &json!({"paused": true, "pause_until": until, "type": "io.nats.jetstream.advisory.v1.consumer_pause"}),
    );
    let said = info(&mut js);
    check_contains(
        &said,
        &json!({"paused": true, "num_pending": 2, "config": {"pause_until": until}}),
    );
    assert!(said["pause_remaining"].is_u64(), "{said}");
    js.publish(
        NEXT,
        &[],
        r#"{"batch":2,"expires":10000000000,"idle_heartbeat":200000000}"#,
    );
    let first = js.raw().message();
    assert_eq!(first.status().as_deref(), Some("100 Idle Heartbeat"));
    let delivered = std::iter::repeat_with(|| js.raw().message())
        .find(|message| message.status().is_none())
        .expect("a delivery");
    assert!(soon(0) >= until, "delivered before {until}");
    assert_eq!(
        (delivered.text(), js.raw().message().text()),
        ("1".into(), "2".into())
    );
    listener.expect(
        "ADVISORY.CONSUMER.PAUSE",
        "c",
        &json!({"paused": false, "pause_until": until}),
    );
    assert!(info(&mut js)["paused"].is_null());
}

#[test]
fn a_pause_ends_at_once_when_asked() {
    let (server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", "");
    let mut listener = Listener::connect(&server);
    for body in [
        "",
        "{}",
        r#"{"pause_until":null}"#,
        r#"{"pause_until":"2001-01-01T00:00:00Z"}"#,
    ] {
        check_contains(&pause(&mut js, FAR), &json!({"paused": true}));
        listener.expect("ADVISORY.CONSUMER.PAUSE", "c", &json!({"paused": true}));
        let answer = js.api("CONSUMER.PAUSE.ORDERS.c", body);
        check_contains(&answer, &json!({"paused": false, "pause_remaining": null}));
        listener.expect("ADVISORY.CONSUMER.PAUSE", "c", &json!({"paused": false}));
    }
    check_contains(
        &info(&mut js),
        &json!({"config": {"pause_until": "2001-01-01T00:00:00Z", "metadata": {"_nats.req.level": "1"}}}),
    );
    let answer = js.api("CONSUMER.PAUSE.ORDERS.c", "");
    check_contains(&answer, &json!({"pause_until": NEVER}));
    check_contains(
        &info(&mut js),
        &json!({"config": {"pause_until": null, "metadata": {"_nats.req.level": "0"}}}),
    );
    js.publish(NEXT, &[], "");
    assert_eq!(js.raw().message().text(), "1");
}

#[test]
fn who_does_not_wait_is_told_that_there_is_nothing() {
    let (_server, mut js) = start_with_orders(1);
    let paused = format!(r#""pause_until":"{FAR}""#);
    let created = js.create_consumer("ORDERS", "c", &paused);
    check_contains(&created, &json!({"paused": true, "num_pending": 1}));
    let status = js.request(NEXT, r#"{"no_wait":true}"#).0.status();
    assert_eq!(status.as_deref(), Some("404 No Messages"));
    let answer = js.request(NEXT, r#"{"batch":5,"expires":100000000,"no_wait":true}"#);
    assert_eq!(answer.0.status().as_deref(), Some("408 Request Timeout"));
    assert_eq!(
        answer.0.header("Nats-Pending-Messages").as_deref(),
        Some("5")
    );
}

#[test]
fn a_paused_push_consumer_sends_heartbeats() {
    let (_server, mut js) = start_with_orders(1);
    js.raw().send(b"SUB push p\r\n");
    js.raw().expect_quiet();
    let until = soon(500);
    let config =
        format!(r#""deliver_subject":"push","idle_heartbeat":100000000,"pause_until":"{until}""#);
    js.create_consumer("ORDERS", "c", &config);
    for _ in 0..2 {
        let status = js.raw().message().status();
        assert_eq!(status.as_deref(), Some("100 Idle Heartbeat"));
    }
    let delivered = std::iter::repeat_with(|| js.raw().message())
        .find(|message| message.status().is_none())
        .expect("a delivery");
    assert_eq!(delivered.text(), "1");
    assert!(soon(0) >= until, "delivered before {until}");
}

#[test]
fn creating_it_again_leaves_the_pause_as_it_is() {
    let (server, mut js) = start_with_orders(0);
    js.create_consumer("ORDERS", "c", "");
    pause(&mut js, FAR);
    let mut listener = Listener::connect(&server);
    for config in [
        "",
        r#""pause_until":"2098-01-01T00:00:00Z""#,
        r#""description":"x""#,
    ] {
        let answer = js.create_consumer("ORDERS", "c", config);
        check_contains(
            &answer,
            &json!({"paused": true, "config": {"pause_until": FAR}}),
        );
        listener.expect("ADVISORY.CONSUMER.PAUSE", "c", &json!({"paused": true}));
    }
    assert_eq!(info(&mut js)["config"]["description"], "x");
    listener.expect_nothing();
}

#[test]
fn a_pause_survives_a_restart() {
    let (mut server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", "");
    let until = soon(1_500);
    pause(&mut js, &until);
    drop(js);
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    check_contains(&info(&mut js), &json!({"config": {"pause_until": until}}));
    js.publish(NEXT, &[], r#"{"expires":10000000000}"#);
    assert_eq!(js.raw().message().text(), "1");
    assert!(soon(0) >= until, "delivered before {until}");
}

#[test]
fn requests_to_pause_are_checked() {
    let (_server, mut js) = start_with_orders(0);
    js.create_consumer("ORDERS", "c", "");
    let answer = js.api("CONSUMER.PAUSE.ORDERS.nobody", "{}");
    check_error(&answer, 404, 10014, "consumer not found");
    check_contains(&answer, &json!({"paused": false, "pause_until": NEVER}));
    let answer = js.api("CONSUMER.PAUSE.NOTHING.c", "{}");
    check_error(&answer, 404, 10059, "stream not found");
    let answer = js.api("CONSUMER.PAUSE.ORDERS.c", r#"{"x":1}"#);
    check_error(
        &answer,
        400,
        10025,
        r#"invalid JSON: json: unknown field "x""#,
    );
    let error = js.api_error("CONSUMER.PAUSE.ORDERS.c", r#"{"pause_until":"soon"}"#);
    assert_eq!(error, 10025);
}
