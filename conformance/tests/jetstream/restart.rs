//! What a clean stop and a new start leave as it was.

use everjet_conformance::JetStream;
use serde_json::{Value, json};

use crate::{check_contains, start_with_orders};

/// What must be equal before and after: configuration and state, without times of the answer itself.
fn snapshot(js: &mut JetStream) -> (Value, Value) {
    let mut stream = js.api(
        "STREAM.INFO.ORDERS",
        r#"{"deleted_details":true,"subjects_filter":">"}"#,
    );
    let mut consumer = js.api("CONSUMER.INFO.ORDERS.c", "");
    for answer in [&mut stream, &mut consumer] {
        let fields = answer.as_object_mut().expect("an object");
        // The server's own name is new with every start unless it is configured.
        fields.retain(|key, _| key != "ts" && key != "cluster");
    }
    for place in ["delivered", "ack_floor"] {
        if let Some(fields) = consumer[place].as_object_mut() {
            fields.remove("last_active");
        }
    }
    (stream, consumer)
}

#[test]
fn streams_consumers_and_acknowledgements_survive() {
    let (mut server, mut js) = start_with_orders(5);
    js.request_with("order.old", &[("Nats-Msg-Id", "six"), ("X", "y")], "6");
    assert_eq!(
        js.api("STREAM.MSG.DELETE.ORDERS", r#"{"seq":2}"#)["success"],
        true
    );
    js.create_consumer(
        "ORDERS",
        "c",
        r#""ack_policy":"explicit","description":"the one""#,
    );
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], "3");
    for _ in 0..3 {
        let message = js.raw().message();
        if message.text() != "3" {
            js.publish_to(&message.reply.expect("an ack reply"), None, &[], "");
        }
    }
    js.wait_until("the acknowledgements are in", |js| {
        js.api("CONSUMER.INFO.ORDERS.c", "")["num_ack_pending"] == 1
    });
    let before = snapshot(&mut js);
    check_contains(
        &before.1,
        &json!({"ack_floor": {"consumer_seq": 1}, "delivered": {"stream_seq": 4}}),
    );

    assert!(server.terminate().success());
    server.start_again();

    let mut js = JetStream::connect(&server);
    let after = snapshot(&mut js);
    assert_eq!(after.0, before.0);
    assert_eq!(after.1, before.1);
    let again = js
        .request_with("order.old", &[("Nats-Msg-Id", "six")], "6")
        .json();
    assert_eq!(
        (&again["seq"], &again["duplicate"]),
        (&6.into(), &true.into())
    );
    assert_eq!(js.store("order.new", "7"), 7);
    js.publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c", &[], "3");
    let texts: Vec<String> = (0..3).map(|_| js.raw().message().text()).collect();
    assert_eq!(texts, ["5", "6", "7"]);
}

#[test]
fn sequences_go_on_after_a_purge_and_a_restart() {
    let (mut server, mut js) = start_with_orders(3);
    assert_eq!(js.api("STREAM.PURGE.ORDERS", "")["purged"], 3);
    assert!(server.terminate().success());
    server.start_again();
    let mut js = JetStream::connect(&server);
    check_contains(
        &js.api("STREAM.INFO.ORDERS", ""),
        &json!({"state": {"messages": 0, "first_seq": 4, "last_seq": 3}}),
    );
    assert_eq!(js.store("order.new", "x"), 4);
}
