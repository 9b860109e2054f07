//! Kinds of acknowledgement, ack policies, redelivery.

use everjet_conformance::{JetStream, Message, ServerProcess};
use serde_json::{Value, json};

use crate::{check_contains, start_with_orders};

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c";

#[track_caller]
fn start_consuming(count: u64, config: &str) -> (ServerProcess, JetStream) {
    let (server, mut js) = start_with_orders(count);
    js.create_consumer("ORDERS", "c", config);
    (server, js)
}

#[track_caller]
fn take(js: &mut JetStream, count: usize) -> Vec<Message> {
    js.publish(
        NEXT,
        &[],
        &format!(r#"{{"batch":{count},"expires":20000000000}}"#),
    );
    (0..count).map(|_| js.raw().message()).collect()
}

/// Acknowledges and waits for the server's confirmation.
#[track_caller]
fn ack(js: &mut JetStream, message: &Message, body: &str) {
    let reply = message
        .reply
        .as_deref()
        .expect("a delivery has an ack reply");
    let confirmed = js.request(reply, body);
    assert_eq!(confirmed.0.payload, b"", "{confirmed:?}");
    assert_eq!(confirmed.0.status(), None, "{confirmed:?}");
}

fn delivered(message: &Message) -> u64 {
    let reply = message
        .reply
        .as_deref()
        .expect("a delivery has an ack reply");
    reply
        .split('.')
        .nth(4)
        .and_then(|count| count.parse().ok())
        .expect("the fifth token counts deliveries")
}

#[track_caller]
fn info(js: &mut JetStream) -> Value {
    js.api("CONSUMER.INFO.ORDERS.c", "")
}

#[test]
fn the_floor_stops_at_the_first_gap() {
    let (_server, mut js) = start_consuming(4, r#""ack_policy":"explicit""#);
    let messages = take(&mut js, 4);
    ack(&mut js, &messages[0], "");
    ack(&mut js, &messages[2], "+ACK");
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 1, "consumer_seq": 1}, "num_ack_pending": 2, "delivered": {"stream_seq": 4}}),
    );
    ack(&mut js, &messages[1], "+OK");
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 3}, "num_ack_pending": 1}),
    );
    ack(&mut js, &messages[1], "");
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 3}, "num_ack_pending": 1}),
    );
}

#[test]
fn ack_all_takes_everything_before() {
    let (_server, mut js) = start_consuming(4, r#""ack_policy":"all""#);
    let messages = take(&mut js, 4);
    ack(&mut js, &messages[2], "");
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 3}, "num_ack_pending": 1}),
    );
}

#[test]
fn ack_none_needs_none() {
    let (_server, mut js) = start_consuming(2, r#""ack_policy":"none""#);
    take(&mut js, 2);
    check_contains(
        &info(&mut js),
        &json!({"num_ack_pending": 0, "num_pending": 0, "delivered": {"stream_seq": 2}}),
    );
}

#[test]
fn a_nak_brings_the_message_back_at_once() {
    let (_server, mut js) = start_consuming(1, r#""ack_policy":"explicit""#);
    let first = take(&mut js, 1).remove(0);
    assert_eq!(delivered(&first), 1);
    ack(&mut js, &first, "-NAK");
    let second = take(&mut js, 1).remove(0);
    assert_eq!((second.text().as_str(), delivered(&second)), ("1", 2));
    check_contains(
        &info(&mut js),
        &json!({"num_redelivered": 1, "num_ack_pending": 1}),
    );
}

#[test]
fn a_nak_may_ask_for_a_delay() {
    let (_server, mut js) = start_consuming(2, r#""ack_policy":"explicit""#);
    let first = take(&mut js, 1).remove(0);
    ack(&mut js, &first, r#"-NAK {"delay": 200000000}"#);
    let next = take(&mut js, 2);
    assert_eq!((next[0].text().as_str(), delivered(&next[0])), ("2", 1));
    assert_eq!((next[1].text().as_str(), delivered(&next[1])), ("1", 2));
}

#[test]
fn an_unacknowledged_message_comes_back_after_ack_wait() {
    let (_server, mut js) = start_consuming(1, r#""ack_policy":"explicit","ack_wait":200000000"#);
    let messages = take(&mut js, 1);
    assert_eq!(delivered(&messages[0]), 1);
    let again = take(&mut js, 1);
    assert_eq!((again[0].text().as_str(), delivered(&again[0])), ("1", 2));
}

#[test]
fn backoff_sets_the_waits_of_redelivery() {
    let config = r#""ack_policy":"explicit","max_deliver":3,"backoff":[100000000,200000000]"#;
    let (_server, mut js) = start_consuming(1, config);
    for count in 1..=3 {
        assert_eq!(delivered(&take(&mut js, 1)[0]), count);
    }
}

#[test]
fn progress_puts_redelivery_off() {
    let (_server, mut js) = start_consuming(1, r#""ack_policy":"explicit","ack_wait":1000000000"#);
    let message = take(&mut js, 1).remove(0);
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(1_500) {
        ack(&mut js, &message, "+WPI");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    check_contains(
        &info(&mut js),
        &json!({"num_redelivered": 0, "num_ack_pending": 1}),
    );
}

#[test]
fn a_terminated_message_never_comes_back() {
    let (_server, mut js) = start_consuming(2, r#""ack_policy":"explicit","ack_wait":200000000"#);
    let first = take(&mut js, 1).remove(0);
    ack(&mut js, &first, "+TERM it makes no sense");
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 1}, "num_ack_pending": 0}),
    );
    let next = take(&mut js, 2);
    assert!(next.iter().all(|message| message.text() == "2"), "{next:?}");
}

#[test]
fn max_deliver_ends_redelivery() {
    let (_server, mut js) = start_consuming(
        1,
        r#""ack_policy":"explicit","ack_wait":100000000,"max_deliver":2"#,
    );
    assert_eq!(delivered(&take(&mut js, 1)[0]), 1);
    assert_eq!(delivered(&take(&mut js, 1)[0]), 2);
    js.publish(NEXT, &[], r#"{"batch":1,"expires":500000000}"#);
    assert_eq!(
        js.raw().message().status().as_deref(),
        Some("408 Request Timeout")
    );
}

#[test]
fn next_acknowledges_and_pulls() {
    let (_server, mut js) = start_consuming(3, r#""ack_policy":"explicit""#);
    let first = take(&mut js, 1).remove(0);
    let reply = first.reply.expect("an ack reply");
    let second = js.publish(&reply, &[], "+NXT");
    let message = js.raw().message();
    assert_eq!(
        (message.subject.as_str(), message.text().as_str()),
        ("order.new", "2"),
        "to {second}"
    );
    check_contains(
        &info(&mut js),
        &json!({"ack_floor": {"stream_seq": 1}, "num_ack_pending": 1}),
    );
    js.publish(
        &message.reply.expect("an ack reply"),
        &[],
        r#"+NXT {"batch":1}"#,
    );
    assert_eq!(js.raw().message().text(), "3");
}

#[test]
fn a_malformed_acknowledgement_changes_nothing() {
    let (_server, mut js) = start_consuming(1, r#""ack_policy":"explicit""#);
    take(&mut js, 1);
    for subject in [
        "$JS.ACK.ORDERS.c.1.1",
        "$JS.ACK.ORDERS.c.x.y.z.0.0",
        "$JS.ACK.ORDERS.c.1.9.9.1.0",
    ] {
        js.publish_to(subject, None, &[], "");
    }
    check_contains(
        &info(&mut js),
        &json!({"num_ack_pending": 1, "ack_floor": {"stream_seq": 0}}),
    );
}

#[test]
fn the_longer_form_of_the_ack_subject_is_understood() {
    let (_server, mut js) = start_consuming(1, r#""ack_policy":"explicit""#);
    let message = take(&mut js, 1).remove(0);
    let reply = message.reply.expect("an ack reply");
    // The domain, none here, and the hash of the account $G.
    let long = reply.replacen("$JS.ACK.", "$JS.ACK._.szMpdrwD.", 1);
    js.publish_to(&long, None, &[], "");
    js.wait_until("the message is acknowledged", |js| {
        info(js)["num_ack_pending"] == 0
    });
}

#[test]
fn a_deleted_message_is_not_waited_for() {
    let (_server, mut js) = start_consuming(3, r#""ack_policy":"explicit""#);
    assert_eq!(
        js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#)["success"],
        true
    );
    let messages = take(&mut js, 2);
    assert_eq!(messages[1].text(), "3");
    let tokens: Vec<&str> = messages[1]
        .reply
        .as_deref()
        .expect("an ack reply")
        .split('.')
        .collect();
    // Stream sequence 3 is the second delivery.
    assert_eq!((tokens[5], tokens[6], tokens[8]), ("3", "2", "0"));
}
