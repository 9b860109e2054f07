//! Letting a consumer begin anew.

use everjet_conformance::{JetStream, Message};
use serde_json::{Value, json};

use crate::{check_contains, check_error, start_with_orders};

#[track_caller]
fn take(js: &mut JetStream, count: usize) -> Vec<Message> {
    let body = format!(r#"{{"batch":{count},"expires":20000000000}}"#);
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], &body);
    (0..count).map(|_| js.raw().message()).collect()
}

#[track_caller]
fn texts(js: &mut JetStream, count: usize) -> Vec<String> {
    take(js, count).iter().map(Message::text).collect()
}

#[track_caller]
fn ack(js: &mut JetStream, message: &Message) {
    let reply = message.reply.as_deref().expect("an ack reply");
    js.request(reply, "");
}

#[track_caller]
fn reset(js: &mut JetStream, body: &str) -> Value {
    js.api("CONSUMER.RESET.ORDERS.c", body)
}

#[test]
fn without_a_sequence_it_begins_after_the_floor() {
    let (mut server, mut js) = start_with_orders(6);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let messages = take(&mut js, 5);
    for done in [0, 1, 3] {
        ack(&mut js, &messages[done]);
    }
    let answer = reset(&mut js, "");
    check_contains(
        &answer,
        &json!({
            "type": "io.nats.jetstream.api.v1.consumer_reset_response", "reset_seq": 3, "name": "c", "num_ack_pending": 0, "num_pending": 4,
            "delivered": {"consumer_seq": 0, "stream_seq": 2, "last_active": null}, "ack_floor": {"consumer_seq": 0, "stream_seq": 2},
        }),
    );
    let again = take(&mut js, 2);
    let reply = again[0].reply.as_deref().expect("an ack reply");
    assert!(reply.starts_with("$JS.ACK.ORDERS.c.1.3.1."), "{reply}");
    assert_eq!(again[1].text(), "4");
    // What was delivered before is not waited for, and not confirmed.
    let before = messages[4].reply.as_deref().expect("an ack reply");
    js.publish(before, &[], "");
    let info = js.api("CONSUMER.INFO.ORDERS.c", "");
    check_contains(&info, &json!({"num_ack_pending": 2, "num_pending": 2}));
    let answer = reset(&mut js, r#"{"seq":5}"#);
    check_contains(&answer, &json!({"reset_seq": 5, "num_pending": 2}));
    drop(js);
    server.terminate();
    server.start_again();
    let mut js = JetStream::connect(&server);
    assert_eq!(texts(&mut js, 2), ["5", "6"]);
}

#[test]
fn a_reset_survives_a_crash() {
    let (mut server, mut js) = start_with_orders(3);
    js.create_consumer("ORDERS", "c", "");
    take(&mut js, 3);
    // nats-server writes what was delivered a little later, and would find that after the crash.
    check_contains(&reset(&mut js, r#"{"seq":2}"#), &json!({"reset_seq": 2}));
    if everjet_conformance::executable::is_reference() {
        return;
    }
    drop(js);
    server.kill();
    server.start_again();
    let mut js = JetStream::connect(&server);
    assert_eq!(texts(&mut js, 2), ["2", "3"]);
}

#[test]
fn requests_that_wait_are_served_anew() {
    let (_server, mut js) = start_with_orders(3);
    js.create_consumer("ORDERS", "c", "");
    take(&mut js, 3);
    js.publish(
        "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c",
        &[],
        r#"{"batch":2,"expires":20000000000}"#,
    );
    js.raw().expect_quiet();
    let asked = js.publish("$JS.API.CONSUMER.RESET.ORDERS.c", &[], r#"{"seq":2}"#);
    let three: Vec<_> = (0..3).map(|_| js.raw().message()).collect();
    let (answers, messages): (Vec<_>, Vec<_>) =
        three.into_iter().partition(|one| one.subject == asked);
    check_contains(
        &serde_json::from_slice(&answers[0].payload).expect("JSON"),
        &json!({"num_waiting": 1}),
    );
    assert_eq!(
        (messages[0].text(), messages[1].text()),
        ("2".into(), "3".into())
    );
}

#[test]
fn it_may_begin_where_nothing_is_yet() {
    let (_server, mut js) = start_with_orders(2);
    js.create_consumer("ORDERS", "c", "");
    let answer = reset(&mut js, r#"{"seq":4}"#);
    check_contains(
        &answer,
        &json!({"num_pending": 0, "delivered": {"stream_seq": 3}}),
    );
    js.store("order.new", "3");
    js.store("order.new", "4");
    assert_eq!(texts(&mut js, 1), ["4"]);
}

#[test]
fn it_may_not_begin_where_it_would_not_have_begun() {
    let (_server, mut js) = start_with_orders(5);
    for (policy, allowed, refused) in [
        (
            r#""deliver_policy":"by_start_sequence","opt_start_seq":3"#,
            Some(3),
            Some("below start seq"),
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2001-01-01T00:00:00Z""#,
            Some(1),
            None,
        ),
        (
            r#""deliver_policy":"by_start_time","opt_start_time":"2099-01-01T00:00:00Z""#,
            Some(6),
            Some("below start time"),
        ),
        (r#""deliver_policy":"new""#, None, Some("not allowed")),
        (r#""deliver_policy":"last""#, None, Some("not allowed")),
        (
            r#""deliver_policy":"last_per_subject","filter_subject":"order.>""#,
            None,
            Some("not allowed"),
        ),
    ] {
        js.create_consumer("ORDERS", "c", policy);
        if let Some(sequence) = allowed {
            let answer = reset(&mut js, &json!({"seq": sequence}).to_string());
            check_contains(&answer, &json!({"reset_seq": sequence}));
        }
        if let Some(why) = refused {
            let answer = reset(&mut js, r#"{"seq":2}"#);
            check_error(&answer, 400, 10204, &format!("invalid reset: {why}"));
            assert_eq!(answer["reset_seq"], 0, "{answer}");
        }
        assert!(reset(&mut js, "{}")["reset_seq"].as_u64() > Some(0));
        js.api("CONSUMER.DELETE.ORDERS.c", "");
    }
}

#[test]
fn with_interest_retention_what_nobody_wants_any_more_goes() {
    let (_server, mut js) = start_with_orders(0);
    js.api("STREAM.DELETE.ORDERS", "");
    js.create_stream(
        "ORDERS",
        r#"{"name":"ORDERS","subjects":["order.>"],"retention":"interest"}"#,
    );
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    for text in ["1", "2", "3"] {
        js.store("order.new", text);
    }
    reset(&mut js, r#"{"seq":3}"#);
    js.wait_until("two went", |js| {
        js.api("STREAM.INFO.ORDERS", "")["state"]["messages"] == 1
    });
    assert_eq!(texts(&mut js, 1), ["3"]);
}

#[test]
fn requests_that_make_no_sense_are_refused_and_unknown_consumers_do_not_answer() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", "");
    for body in ["[]", r#"{"seq":"a"}"#, r#"{"seq":-1}"#, "{"] {
        let answer = reset(&mut js, body);
        assert_eq!(answer["error"]["err_code"], 10025, "{body}");
        assert_eq!(answer["reset_seq"], 0, "{body}");
    }
    // Unknown fields are passed over.
    check_contains(&reset(&mut js, r#"{"x":1}"#), &json!({"reset_seq": 1}));
    js.publish("$JS.API.CONSUMER.RESET.ORDERS.nobody", &[], "");
    js.publish("$JS.API.CONSUMER.RESET.NOTHING.c", &[], "");
    // Whoever does not wait for the answer changes nothing.
    take(&mut js, 1);
    js.publish_to("$JS.API.CONSUMER.RESET.ORDERS.c", None, &[], r#"{"seq":1}"#);
    let info = js.api("CONSUMER.INFO.ORDERS.c", "");
    check_contains(&info, &json!({"delivered": {"consumer_seq": 1}}));
}
