//! Consumers whose answers to flow control acknowledge (`ack_policy: flow_control`).

use everjet_conformance::{JetStream, Message, RawClient, ServerProcess};
use serde_json::{Value, json};

use crate::{check_contains, check_error, start_with_orders};

/// Somebody who receives what the consumer pushes.
fn receiver(server: &ServerProcess) -> RawClient {
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB push p\r\n");
    client.expect_quiet();
    client
}

#[track_caller]
fn info(js: &mut JetStream) -> Value {
    js.api("CONSUMER.INFO.ORDERS.c", "")
}

/// The next flow control request.
#[track_caller]
fn request(receiver: &mut RawClient) -> Message {
    std::iter::repeat_with(|| receiver.message())
        .find(|message| message.status().as_deref() == Some("100 FlowControl Request"))
        .expect("messages until it comes")
}

/// Answers a flow control request: everything up to here was received.
#[track_caller]
fn answer(js: &mut JetStream, request: &Message, last: u64) {
    let reply = request.reply.as_deref().expect("a reply subject");
    let last = last.to_string();
    let headers = [
        ("Nats-Last-Consumer", last.as_str()),
        ("Nats-Last-Stream", last.as_str()),
    ];
    js.publish_to(reply, None, &headers, "");
}

const CONFIG: &str = r#""ack_policy":"flow_control","deliver_subject":"push""#;

#[test]
fn an_answer_acknowledges_what_it_says() {
    let (server, mut js) = start_with_orders(9);
    let mut receiver = receiver(&server);
    let created = js.create_consumer("ORDERS", "c", &format!(r#"{CONFIG},"max_ack_pending":4"#));
    check_contains(
        &created,
        &json!({"config": {"flow_control": true, "idle_heartbeat": 1_000_000_000, "max_deliver": -1, "max_ack_pending": 4, "ack_wait": null, "metadata": {"_nats.req.level": "4"}}}),
    );
    let messages: Vec<_> = (0..4).map(|_| receiver.message()).collect();
    assert_eq!(messages[3].text(), "4");
    let asked = request(&mut receiver);
    js.wait_until("four are pending", |js| info(js)["num_ack_pending"] == 4);
    // An acknowledgement of a message is none.
    js.publish_to(
        messages[0].reply.as_deref().expect("a reply"),
        None,
        &[],
        "",
    );
    answer(&mut js, &asked, 3);
    for text in ["5", "6", "7"] {
        assert_eq!(receiver.message().text(), text);
    }
    js.wait_until("the floor moved", |js| {
        info(js)["ack_floor"]["stream_seq"] == 3
    });
    check_contains(
        &info(&mut js),
        &json!({"num_ack_pending": 4, "ack_floor": {"consumer_seq": 3}, "num_pending": 2}),
    );
    // An answer to what nobody asks any more says nothing.
    let next = request(&mut receiver);
    answer(&mut js, &asked, 7);
    answer(&mut js, &next, 5);
    assert_eq!(receiver.message().text(), "8");
    js.wait_until("the floor moved", |js| {
        info(js)["ack_floor"]["stream_seq"] == 5
    });
}

#[test]
fn with_the_heartbeat_comes_a_request_when_something_is_pending() {
    let (server, mut js) = start_with_orders(2);
    let mut receiver = receiver(&server);
    js.create_consumer("ORDERS", "c", CONFIG);
    for text in ["1", "2"] {
        assert_eq!(receiver.message().text(), text);
    }
    let beat = receiver.message();
    assert_eq!(beat.status().as_deref(), Some("100 Idle Heartbeat"));
    assert_eq!(beat.header("Nats-Last-Stream").as_deref(), Some("2"));
    let asked = request(&mut receiver);
    answer(&mut js, &asked, 2);
    js.wait_until("nothing is pending", |js| info(js)["num_ack_pending"] == 0);
    let beat = receiver.message();
    assert_eq!(beat.status().as_deref(), Some("100 Idle Heartbeat"));
    assert_eq!(beat.header("Nats-Consumer-Stalled"), None);
    assert_eq!(
        receiver.message().status().as_deref(),
        Some("100 Idle Heartbeat")
    );
}

#[test]
fn answers_remove_messages_of_a_work_queue() {
    let (server, mut js) = start_with_orders(0);
    js.api("STREAM.DELETE.ORDERS", "");
    js.create_stream(
        "ORDERS",
        r#"{"name":"ORDERS","subjects":["order.>"],"retention":"workqueue"}"#,
    );
    let mut receiver = receiver(&server);
    js.create_consumer("ORDERS", "c", &format!(r#"{CONFIG},"max_ack_pending":2"#));
    for text in ["1", "2", "3"] {
        js.store("order.new", text);
    }
    let asked = request(&mut receiver);
    answer(&mut js, &asked, 2);
    assert_eq!(receiver.message().text(), "3");
    js.wait_until("two went", |js| {
        js.api("STREAM.INFO.ORDERS", "")["state"]["messages"] == 1
    });
}

#[test]
fn what_does_not_go_with_it_is_refused() {
    let (_server, mut js) = start_with_orders(0);
    for (config, code, text) in [
        (
            json!({"deliver_subject": ""}),
            10218,
            "flow control ack policy requires a push based consumer",
        ),
        (
            json!({"max_ack_pending": -1}),
            10220,
            "flow control ack policy requires max ack pending",
        ),
        (
            json!({"ack_wait": 5}),
            10221,
            "flow control ack policy requires unset ack wait",
        ),
        (
            json!({"backoff": [5]}),
            10221,
            "flow control ack policy requires unset ack wait",
        ),
        (
            json!({"max_deliver": 5}),
            10222,
            "flow control ack policy requires unset max deliver",
        ),
    ] {
        let mut full = json!({"ack_policy": "flow_control", "deliver_subject": "push"});
        for (key, value) in config.as_object().expect("an object") {
            full[key] = value.clone();
        }
        let body = json!({"stream_name": "ORDERS", "config": full});
        let answer = js.api("CONSUMER.CREATE.ORDERS.c", &body.to_string());
        check_error(&answer, 400, code, text);
    }
    for (more, code, text) in [
        (
            json!({}),
            10219,
            "flow control ack policy requires flow control",
        ),
        (
            json!({"flow_control": true}),
            10052,
            "flow control ack policy heartbeat needs to be 1s",
        ),
    ] {
        let mut full = json!({"ack_policy": "flow_control", "deliver_subject": "push"});
        for (key, value) in more.as_object().expect("an object") {
            full[key] = value.clone();
        }
        let body = json!({"stream_name": "ORDERS", "config": full, "pedantic": true});
        let answer = js.api("CONSUMER.CREATE.ORDERS.c", &body.to_string());
        assert_eq!(
            (
                &answer["error"]["err_code"],
                &answer["error"]["description"]
            ),
            (&json!(code), &json!(text)),
        );
    }
}
