//! Pull requests: what they bring and which statuses end them.

use everjet_conformance::{JetStream, Message};

use crate::{start, start_with_orders};

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c";

#[track_caller]
fn start_pulling(count: u64, config: &str) -> (everjet_conformance::ServerProcess, JetStream) {
    let (server, mut js) = start_with_orders(count);
    let comma = if config.is_empty() { "" } else { "," };
    js.create_consumer(
        "ORDERS",
        "c",
        &format!(r#""ack_policy":"explicit"{comma}{config}"#),
    );
    (server, js)
}

#[track_caller]
fn pull(js: &mut JetStream, body: &str) {
    js.publish(NEXT, &[], body);
}

#[track_caller]
fn next(js: &mut JetStream) -> Message {
    js.raw().message()
}

#[track_caller]
fn expect_messages(js: &mut JetStream, expected: &[&str]) {
    for text in expected {
        let message = next(js);
        assert_eq!((message.status(), message.text().as_str()), (None, *text));
    }
}

#[track_caller]
fn expect_status(js: &mut JetStream, status: &str) -> Message {
    let message = next(js);
    assert_eq!(message.status().as_deref(), Some(status), "{message:?}");
    assert_eq!(message.payload, b"");
    message
}

/// The API answers on another path than the one that takes pull requests, so the number may come a moment later.
#[track_caller]
fn wait_for_waiting(js: &mut JetStream, count: u64) {
    js.wait_until("the number of waiting requests", |js| {
        js.api("CONSUMER.INFO.ORDERS.c", "")["num_waiting"] == count
    });
}

#[test]
fn a_delivery_has_the_stored_subject_and_an_ack_reply_of_nine_tokens() {
    let (_server, mut js) = start_pulling(3, "");
    pull(&mut js, "");
    let message = next(&mut js);
    assert_eq!(message.subject, "order.new");
    assert_eq!(message.sid, "js");
    let reply = message.reply.expect("a delivery has an ack reply");
    let tokens: Vec<&str> = reply.split('.').collect();
    let [
        "$JS",
        "ACK",
        "ORDERS",
        "c",
        delivered,
        stream_seq,
        consumer_seq,
        time,
        pending,
    ] = tokens[..]
    else {
        panic!("{reply}");
    };
    assert_eq!(
        (delivered, stream_seq, consumer_seq, pending),
        ("1", "1", "1", "2")
    );
    assert!(
        time.parse::<u64>()
            .is_ok_and(|time| time > 1_700_000_000_000_000_000),
        "{time}"
    );
}

#[test]
fn stored_headers_come_with_the_delivery() {
    let (_server, mut js) = start_pulling(0, "");
    js.request_with(
        "order.new",
        &[("Some-Key", "a"), ("some-key", "b"), ("Some-Key", "c")],
        "body",
    );
    pull(&mut js, "");
    let message = next(&mut js);
    assert_eq!(
        message.headers,
        b"NATS/1.0\r\nSome-Key: a\r\nsome-key: b\r\nSome-Key: c\r\n\r\n"
    );
    assert_eq!(message.text(), "body");
}

#[test]
fn a_request_may_be_empty_a_number_or_json() {
    let (_server, mut js) = start_pulling(6, "");
    pull(&mut js, "");
    expect_messages(&mut js, &["1"]);
    pull(&mut js, "2");
    expect_messages(&mut js, &["2", "3"]);
    pull(&mut js, r#"{"batch":3,"unknown_is_fine":true}"#);
    expect_messages(&mut js, &["4", "5", "6"]);
}

#[test]
fn a_waiting_request_gets_what_is_published_later() {
    let (_server, mut js) = start_pulling(0, "");
    pull(&mut js, r#"{"batch":2,"expires":20000000000}"#);
    js.publish_to("order.new", None, &[], "later");
    expect_messages(&mut js, &["later"]);
    wait_for_waiting(&mut js, 1);
    js.publish_to("order.new", None, &[], "last");
    expect_messages(&mut js, &["last"]);
    wait_for_waiting(&mut js, 0);
}

#[test]
fn no_wait_ends_with_404_when_there_is_nothing() {
    let (_server, mut js) = start_pulling(2, "");
    pull(&mut js, r#"{"batch":5,"no_wait":true}"#);
    expect_messages(&mut js, &["1", "2"]);
    let end = expect_status(&mut js, "404 No Messages");
    assert_eq!(end.header("Nats-Pending-Messages"), None);
    pull(&mut js, r#"{"batch":5,"no_wait":true}"#);
    expect_status(&mut js, "404 No Messages");
}

#[test]
fn an_expired_request_says_how_much_of_it_was_left() {
    let (_server, mut js) = start_pulling(1, "");
    pull(&mut js, r#"{"batch":5,"expires":150000000}"#);
    expect_messages(&mut js, &["1"]);
    let end = expect_status(&mut js, "408 Request Timeout");
    assert_eq!(end.header("Nats-Pending-Messages").as_deref(), Some("4"));
    assert_eq!(end.header("Nats-Pending-Bytes").as_deref(), Some("0"));
}

#[test]
fn no_wait_with_expires_waits_for_the_first_message_only() {
    let (_server, mut js) = start_pulling(0, "");
    pull(
        &mut js,
        r#"{"batch":5,"no_wait":true,"expires":20000000000}"#,
    );
    js.publish_to("order.new", None, &[], "first");
    expect_messages(&mut js, &["first"]);
    let end = next(&mut js);
    assert!(
        end.status()
            .is_some_and(|status| status.starts_with("404") || status.starts_with("408")),
        "{end:?}"
    );
}

#[test]
fn idle_heartbeats_come_while_a_request_waits() {
    let (_server, mut js) = start_pulling(1, "");
    pull(
        &mut js,
        r#"{"batch":2,"expires":2000000000,"idle_heartbeat":100000000}"#,
    );
    expect_messages(&mut js, &["1"]);
    let beat = expect_status(&mut js, "100 Idle Heartbeat");
    assert_eq!(beat.header("Nats-Last-Consumer").as_deref(), Some("1"));
    assert_eq!(beat.header("Nats-Last-Stream").as_deref(), Some("1"));
    expect_status(&mut js, "100 Idle Heartbeat");
}

#[test]
fn requests_that_make_no_sense_are_400() {
    let (_server, mut js) = start_pulling(1, "");
    pull(
        &mut js,
        r#"{"batch":1,"expires":1000000000,"idle_heartbeat":900000000}"#,
    );
    expect_status(&mut js, "400 Bad Request - heartbeat value too large");
    pull(&mut js, "{bad");
    let bad = next(&mut js);
    assert!(
        bad.status()
            .is_some_and(|status| status.starts_with("400 Bad Request - ")),
        "{bad:?}"
    );
}

#[test]
fn limits_of_the_consumer_bind_its_requests() {
    let (_server, mut js) = start_pulling(
        3,
        r#""max_batch":2,"max_expires":1000000000,"max_bytes":1000"#,
    );
    pull(&mut js, r#"{"batch":3}"#);
    expect_status(&mut js, "409 Exceeded MaxRequestBatch of 2");
    pull(&mut js, r#"{"batch":1,"expires":2000000000}"#);
    expect_status(&mut js, "409 Exceeded MaxRequestExpires of 1s");
    pull(&mut js, r#"{"batch":1,"max_bytes":2000}"#);
    expect_status(&mut js, "409 Exceeded MaxRequestMaxBytes of 1000");
}

#[test]
fn max_bytes_ends_a_request() {
    let (_server, mut js) = start_pulling(0, "");
    js.store("order.new", &"x".repeat(300));
    js.store("order.new", &"y".repeat(300));
    pull(&mut js, r#"{"batch":10,"max_bytes":600}"#);
    assert_eq!(next(&mut js).text(), "x".repeat(300));
    let end = expect_status(&mut js, "409 Message Size Exceeds MaxBytes");
    assert_eq!(end.header("Nats-Pending-Messages").as_deref(), Some("9"));
    assert!(end.header("Nats-Pending-Bytes").is_some());
    pull(&mut js, "");
    assert_eq!(next(&mut js).text(), "y".repeat(300));
}

#[test]
fn too_many_waiting_requests_are_refused_unless_they_have_a_heartbeat() {
    let (_server, mut js) = start_pulling(0, r#""max_waiting":1"#);
    pull(&mut js, r#"{"batch":1,"expires":20000000000}"#);
    pull(&mut js, r#"{"batch":1,"expires":20000000000}"#);
    expect_status(&mut js, "409 Exceeded MaxWaiting");
    pull(
        &mut js,
        r#"{"batch":1,"expires":20000000000,"idle_heartbeat":5000000000}"#,
    );
    wait_for_waiting(&mut js, 1);
}

#[test]
fn deleting_the_consumer_ends_its_requests() {
    let (_server, mut js) = start_pulling(0, "");
    pull(&mut js, r#"{"batch":1,"expires":20000000000}"#);
    wait_for_waiting(&mut js, 1);
    js.publish("$JS.API.CONSUMER.DELETE.ORDERS.c", &[], "");
    let (first, second) = (next(&mut js), next(&mut js));
    let mut got = [first.status(), second.status()];
    got.sort();
    assert_eq!(got, [None, Some("409 Consumer Deleted".to_owned())]);
}

#[test]
fn a_request_to_nobody_is_503() {
    let (_server, mut js) = start_with_orders(0);
    assert_eq!(js.request(NEXT, "").0.status().as_deref(), Some("503"));
    let (_server, mut js) = start();
    assert_eq!(js.request(NEXT, "").0.status().as_deref(), Some("503"));
}

#[test]
fn max_ack_pending_pauses_and_an_ack_goes_on() {
    let (_server, mut js) = start_pulling(3, r#""max_ack_pending":1"#);
    pull(&mut js, r#"{"batch":3,"expires":20000000000}"#);
    let first = next(&mut js);
    assert_eq!(first.text(), "1");
    let info = js.api("CONSUMER.INFO.ORDERS.c", "");
    assert_eq!(
        (&info["num_ack_pending"], &info["num_pending"]),
        (&1.into(), &2.into())
    );
    js.publish_to(&first.reply.expect("an ack reply"), None, &[], "");
    assert_eq!(next(&mut js).text(), "2");
}

#[test]
fn requests_are_served_in_turn() {
    let (_server, mut js) = start_pulling(0, "");
    let a = js.publish(NEXT, &[], r#"{"batch":2,"expires":20000000000}"#);
    let b = js.publish(NEXT, &[], r#"{"batch":2,"expires":20000000000}"#);
    assert_ne!(a, b);
    wait_for_waiting(&mut js, 2);
    for number in 1..=4 {
        js.publish_to("order.new", None, &[], &number.to_string());
    }
    expect_messages(&mut js, &["1", "2", "3", "4"]);
    wait_for_waiting(&mut js, 0);
}

#[test]
fn a_filter_skips_what_does_not_match() {
    let (_server, mut js) = start_with_orders(0);
    for (subject, body) in [
        ("order.a", "1"),
        ("order.b", "2"),
        ("order.a", "3"),
        ("order.c.d", "4"),
    ] {
        js.store(subject, body);
    }
    js.create_consumer(
        "ORDERS",
        "c",
        r#""ack_policy":"explicit","filter_subjects":["order.a","order.c.>"]"#,
    );
    pull(&mut js, r#"{"batch":9,"no_wait":true}"#);
    expect_messages(&mut js, &["1", "3", "4"]);
    expect_status(&mut js, "404 No Messages");
}

#[test]
fn headers_only_leaves_the_body_behind() {
    let (_server, mut js) = start_pulling(0, r#""headers_only":true"#);
    js.store("order.new", "12345");
    pull(&mut js, "");
    let message = next(&mut js);
    assert_eq!(message.header("Nats-Msg-Size").as_deref(), Some("5"));
    assert_eq!(message.payload, b"");
}
