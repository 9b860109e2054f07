//! Advisories and metrics of consumers.

use everjet_conformance::{JetStream, Message, RawClient, ServerProcess};
use serde_json::{Value, json};

use crate::{check_contains, check_error, start, start_with_orders};

/// Somebody who listens to what is told about consumers.
pub(crate) struct Listener(RawClient);

impl Listener {
    #[track_caller]
    pub(crate) fn connect(server: &ServerProcess) -> Self {
        let mut client = RawClient::ready(server.port());
        client.send(b"SUB $JS.EVENT.ADVISORY.CONSUMER.> a\r\nSUB $JS.EVENT.METRIC.> m\r\n");
        client.expect_quiet();
        Self(client)
    }

    /// The next event is of this kind, about this consumer of ORDERS, and has these fields.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: &str, consumer: &str, fields: &Value) -> Value {
        let message = self.0.message();
        let subject = format!("$JS.EVENT.{kind}.ORDERS.{consumer}");
        assert_eq!(message.subject, subject, "{}", message.text());
        let event: Value = serde_json::from_slice(&message.payload).expect("an event is JSON");
        check_contains(&event, &json!({"stream": "ORDERS", "consumer": consumer}));
        check_contains(&event, fields);
        assert_eq!(event["id"].as_str().map(str::len), Some(22), "{event}");
        assert!(event["timestamp"].is_string(), "{event}");
        event
    }

    /// Nothing was told since.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self) {
        self.0.expect_quiet();
    }
}

#[track_caller]
fn take(js: &mut JetStream, count: usize) -> Vec<Message> {
    let body = format!(r#"{{"batch":{count},"expires":20000000000}}"#);
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], &body);
    (0..count).map(|_| js.raw().message()).collect()
}

#[track_caller]
fn ack(js: &mut JetStream, message: &Message, body: &str) {
    let reply = message.reply.as_deref().expect("an ack reply");
    js.request(reply, body);
}

#[test]
fn creation_and_deletion_are_told() {
    let (server, mut js) = start_with_orders(0);
    let mut listener = Listener::connect(&server);
    js.create_consumer("ORDERS", "c", "");
    let event = listener.expect(
        "ADVISORY.CONSUMER.CREATED",
        "c",
        &json!({"action": "create"}),
    );
    assert_eq!(
        event["type"],
        "io.nats.jetstream.advisory.v1.consumer_action"
    );
    // The same again creates nothing.
    js.create_consumer("ORDERS", "c", "");
    js.create_consumer("ORDERS", "d", r#""mem_storage":true"#);
    listener.expect("ADVISORY.CONSUMER.CREATED", "d", &json!({}));
    js.api("CONSUMER.DELETE.ORDERS.c", "");
    listener.expect(
        "ADVISORY.CONSUMER.DELETED",
        "c",
        &json!({"action": "delete"}),
    );
    js.api("STREAM.DELETE.ORDERS", "");
    listener.expect("ADVISORY.CONSUMER.DELETED", "d", &json!({}));
    listener.expect_nothing();
}

#[test]
fn an_unused_consumer_that_goes_is_told() {
    let (server, mut js) = start_with_orders(0);
    let mut listener = Listener::connect(&server);
    js.create_consumer("ORDERS", "c", r#""inactive_threshold":200000000"#);
    listener.expect("ADVISORY.CONSUMER.CREATED", "c", &json!({}));
    listener.expect("ADVISORY.CONSUMER.DELETED", "c", &json!({}));
}

#[test]
fn naks_and_terms_are_told_with_their_delivery() {
    let (server, mut js) = start_with_orders(3);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let mut listener = Listener::connect(&server);
    let messages = take(&mut js, 3);
    ack(&mut js, &messages[1], r#"-NAK {"delay":60000000000}"#);
    let fields = json!({"consumer_seq": 2, "stream_seq": 2, "deliveries": 1, "type": "io.nats.jetstream.advisory.v1.nak"});
    listener.expect("ADVISORY.CONSUMER.MSG_NAKED", "c", &fields);
    ack(&mut js, &messages[2], "+TERM  not an order ");
    let event = listener.expect(
        "ADVISORY.CONSUMER.MSG_TERMINATED",
        "c",
        &json!({"consumer_seq": 3, "stream_seq": 3, "deliveries": 1, "reason": "not an order"}),
    );
    assert_eq!(event["type"], "io.nats.jetstream.advisory.v1.terminated");
    ack(&mut js, &messages[0], "+TERM");
    let event = listener.expect(
        "ADVISORY.CONSUMER.MSG_TERMINATED",
        "c",
        &json!({"stream_seq": 1}),
    );
    assert!(event["reason"].is_null(), "{event}");
    // Nobody waits for it any more.
    ack(&mut js, &messages[0], "-NAK");
    listener.expect_nothing();
}

#[test]
fn a_message_that_was_delivered_often_enough_is_told_once() {
    let (server, mut js) = start_with_orders(1);
    let config = r#""ack_policy":"explicit","max_deliver":2,"ack_wait":100000000"#;
    js.create_consumer("ORDERS", "c", config);
    let mut listener = Listener::connect(&server);
    take(&mut js, 1);
    take(&mut js, 1);
    // nats-server notices when it would deliver again.
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], "");
    let event = listener.expect(
        "ADVISORY.CONSUMER.MAX_DELIVERIES",
        "c",
        &json!({"stream_seq": 1, "deliveries": 2}),
    );
    assert_eq!(event["type"], "io.nats.jetstream.advisory.v1.max_deliver");
    assert!(event["consumer_seq"].is_null(), "{event}");
    listener.expect_nothing();
}

#[test]
fn a_message_that_leaves_while_it_is_pending_is_told() {
    let (server, mut js) = start_with_orders(4);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let mut listener = Listener::connect(&server);
    take(&mut js, 3);
    let gone = |sequence: u64| json!({"consumer_seq": sequence, "stream_seq": sequence, "deliveries": 1, "reason": "Unacknowledged message was deleted"});
    js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#);
    listener.expect("ADVISORY.CONSUMER.MSG_TERMINATED", "c", &gone(2));
    let limited = r#"{"name":"ORDERS","subjects":["order.>"],"max_msgs":2}"#;
    js.api("STREAM.UPDATE.ORDERS", limited);
    listener.expect("ADVISORY.CONSUMER.MSG_TERMINATED", "c", &gone(1));
    js.store("order.new", "5");
    listener.expect("ADVISORY.CONSUMER.MSG_TERMINATED", "c", &gone(3));
    js.store("order.new", "6");
    take(&mut js, 2);
    // Who purges knows that.
    js.api("STREAM.PURGE.ORDERS", "");
    listener.expect_nothing();
}

#[test]
fn a_pending_message_that_grows_too_old_is_told() {
    let (server, mut js) = start_with_orders(2);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let mut listener = Listener::connect(&server);
    take(&mut js, 2);
    let aged = r#"{"name":"ORDERS","subjects":["order.>"],"max_age":300000000,"duplicate_window":100000000}"#;
    js.api("STREAM.UPDATE.ORDERS", aged);
    let mut gone: Vec<u64> = (0..2)
        .map(|_| {
            let event = listener.expect("ADVISORY.CONSUMER.MSG_TERMINATED", "c", &json!({}));
            event["stream_seq"].as_u64().expect("a sequence")
        })
        .collect();
    gone.sort_unstable();
    assert_eq!(gone, [1, 2]);
}

#[test]
fn sampled_acknowledgements_are_told() {
    let (server, mut js) = start_with_orders(3);
    let config = r#""ack_policy":"explicit","sample_freq":"100%""#;
    let created = js.create_consumer("ORDERS", "c", config);
    assert_eq!(created["config"]["sample_freq"], "100%");
    let mut listener = Listener::connect(&server);
    let messages = take(&mut js, 3);
    ack(&mut js, &messages[0], "");
    let event = listener.expect(
        "METRIC.CONSUMER.ACK",
        "c",
        &json!({"consumer_seq": 1, "stream_seq": 1, "deliveries": 1}),
    );
    assert_eq!(event["type"], "io.nats.jetstream.metric.v1.consumer_ack");
    let ack_time = event["ack_time"].as_u64().expect("a time");
    assert!((1..20_000_000_000).contains(&ack_time), "{event}");
    // What is acknowledged already is not sampled, and work in progress is no acknowledgement.
    ack(&mut js, &messages[0], "");
    ack(&mut js, &messages[1], "+WPI");
    let next = messages[1].reply.clone().expect("an ack reply");
    js.publish(&next, &[], "+NXT");
    listener.expect("METRIC.CONSUMER.ACK", "c", &json!({"stream_seq": 2}));
    listener.expect_nothing();
    js.create_consumer(
        "ORDERS",
        "c",
        r#""ack_policy":"explicit","sample_freq":"0""#,
    );
    ack(&mut js, &messages[2], "");
    listener.expect_nothing();
}

#[test]
fn a_sample_frequency_is_a_number_of_percent() {
    let (_server, mut js) = start_with_orders(0);
    for (text, why) in [
        ("abc", r#"strconv.Atoi: parsing "abc": invalid syntax"#),
        ("50%%", r#"strconv.Atoi: parsing "50%": invalid syntax"#),
        ("0.5", r#"strconv.Atoi: parsing "0.5": invalid syntax"#),
        (" 5", r#"strconv.Atoi: parsing " 5": invalid syntax"#),
        ("-5%", "<nil>"),
    ] {
        let config = json!({"name": "c", "ack_policy": "explicit", "sample_freq": text});
        let body = json!({"stream_name": "ORDERS", "config": config});
        let answer = js.api("CONSUMER.CREATE.ORDERS.c", &body.to_string());
        let text = format!("failed to parse consumer sampling configuration: {why}");
        check_error(&answer, 400, 10095, &text);
    }
}

#[test]
fn a_stream_keeps_what_nobody_else_listens_to() {
    let (_server, mut js) = start();
    let subjects = r#"["$JS.EVENT.ADVISORY.STREAM.*.ORDERS","$JS.EVENT.ADVISORY.CONSUMER.>"]"#;
    js.create_stream(
        "EVENTS",
        &format!(r#"{{"name":"EVENTS","subjects":{subjects}}}"#),
    );
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    js.create_consumer("ORDERS", "c", "");
    js.api("STREAM.DELETE.ORDERS", "");
    let request = r#"{"subjects_filter":">"}"#;
    let mut info = Value::Null;
    js.wait_until("four advisories", |js| {
        info = js.api("STREAM.INFO.EVENTS", request);
        info["state"]["messages"] == 4
    });
    let kept = json!({
        "$JS.EVENT.ADVISORY.STREAM.CREATED.ORDERS": 1,
        "$JS.EVENT.ADVISORY.STREAM.DELETED.ORDERS": 1,
        "$JS.EVENT.ADVISORY.CONSUMER.CREATED.ORDERS.c": 1,
        "$JS.EVENT.ADVISORY.CONSUMER.DELETED.ORDERS.c": 1,
    });
    assert_eq!(info["state"]["subjects"], kept);
}
