//! Push consumers: delivery, interest, heartbeats, flow control, queue groups.

use everjet_conformance::RawClient;

use crate::start_with_orders;

const CREATE: &str = r#""ack_policy":"explicit","deliver_subject":"pushed""#;

#[test]
fn delivery_starts_with_interest() {
    let (server, mut js) = start_with_orders(2);
    let created = js.create_consumer("ORDERS", "p", CREATE);
    assert!(created["push_bound"].is_null(), "{created}");
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB pushed 1\r\n");
    for text in ["1", "2"] {
        let message = client.message();
        assert_eq!(
            (message.subject.as_str(), message.text().as_str()),
            ("order.new", text)
        );
        assert!(
            message
                .reply
                .is_some_and(|reply| reply.starts_with("$JS.ACK.ORDERS.p.1."))
        );
    }
    assert_eq!(js.api("CONSUMER.INFO.ORDERS.p", "")["push_bound"], true);
    js.store("order.new", "3");
    assert_eq!(client.message().text(), "3");
}

#[test]
fn max_ack_pending_is_the_window() {
    let (server, mut js) = start_with_orders(3);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB pushed 1\r\n");
    client.expect_quiet();
    js.create_consumer("ORDERS", "p", &format!(r#"{CREATE},"max_ack_pending":1"#));
    let first = client.message();
    assert_eq!(first.text(), "1");
    assert_eq!(js.api("CONSUMER.INFO.ORDERS.p", "")["num_pending"], 2);
    let reply = first.reply.expect("an ack reply");
    client.send(format!("PUB {reply} 0\r\n\r\n").as_bytes());
    assert_eq!(client.message().text(), "2");
}

#[test]
fn heartbeats_say_where_the_consumer_is() {
    let (server, mut js) = start_with_orders(1);
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB pushed 1\r\n");
    client.expect_quiet();
    js.create_consumer(
        "ORDERS",
        "p",
        &format!(r#"{CREATE},"idle_heartbeat":100000000"#),
    );
    assert_eq!(client.message().text(), "1");
    let beat = client.message();
    assert_eq!(beat.status().as_deref(), Some("100 Idle Heartbeat"));
    assert_eq!(beat.header("Nats-Last-Consumer").as_deref(), Some("1"));
    assert_eq!(beat.header("Nats-Last-Stream").as_deref(), Some("1"));
    assert_eq!(
        client.message().status().as_deref(),
        Some("100 Idle Heartbeat")
    );
}

#[test]
fn flow_control_asks_and_waits_for_the_answer() {
    let (server, mut js) = start_with_orders(0);
    let body = "x".repeat(64 * 1_024);
    for _ in 0..64 {
        js.store("order.new", &body);
    }
    let mut client = RawClient::ready(server.port());
    client.send(b"SUB pushed 1\r\n");
    client.expect_quiet();
    let config = r#""ack_policy":"none","deliver_subject":"pushed","flow_control":true,"idle_heartbeat":1000000000"#;
    js.create_consumer("ORDERS", "p", config);
    let (mut received, mut asked) = (0, 0);
    while received < 64 {
        let message = client.message();
        match message.status().as_deref() {
            None => received += 1,
            Some("100 FlowControl Request") => {
                asked += 1;
                let reply = message.reply.expect("a flow control request has a reply");
                assert!(reply.starts_with("$JS.FC.ORDERS.p."), "{reply}");
                client.send(format!("PUB {reply} 0\r\n\r\n").as_bytes());
            }
            Some("100 Idle Heartbeat") => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(asked > 0, "4 MiB went out without a flow control request");
}

#[test]
fn members_of_a_deliver_group_share_the_work() {
    let (server, mut js) = start_with_orders(0);
    let mut members: Vec<RawClient> = (0..2)
        .map(|_| {
            let mut client = RawClient::ready(server.port());
            client.send(b"SUB pushed team 1\r\nSUB stop 2\r\n");
            client.expect_quiet();
            client
        })
        .collect();
    js.create_consumer(
        "ORDERS",
        "p",
        r#""ack_policy":"none","deliver_subject":"pushed","deliver_group":"team""#,
    );
    for number in 0..200 {
        js.store("order.new", &number.to_string());
    }
    js.wait_until("everything is delivered", |js| {
        js.api("CONSUMER.INFO.ORDERS.p", "")["delivered"]["stream_seq"] == 200
    });
    js.publish_to("stop", None, &[], "");
    let shares: Vec<usize> = members
        .iter_mut()
        .map(|member| {
            std::iter::from_fn(|| Some(member.message()))
                .take_while(|message| message.subject != "stop")
                .count()
        })
        .collect();
    assert_eq!(shares.iter().sum::<usize>(), 200, "{shares:?}");
    assert!(shares.iter().all(|share| *share > 40), "{shares:?}");
}

#[test]
fn a_pull_request_to_a_push_consumer_is_refused() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "p", CREATE);
    let answer = js.request("$JS.API.CONSUMER.MSG.NEXT.ORDERS.p", "").0;
    assert_eq!(
        answer.status().as_deref(),
        Some("409 Consumer is push based")
    );
}

#[test]
fn when_the_receiver_leaves_delivery_stops_and_goes_on_for_the_next() {
    let (server, mut js) = start_with_orders(0);
    js.create_consumer(
        "ORDERS",
        "p",
        r#""ack_policy":"explicit","deliver_subject":"pushed","ack_wait":500000000"#,
    );
    let mut first = RawClient::ready(server.port());
    first.send(b"SUB pushed 1\r\n");
    first.expect_quiet();
    js.store("order.new", "1");
    let message = first.message();
    let reply = message.reply.expect("an ack reply");
    first.send(format!("PUB {reply} 0\r\n\r\n").as_bytes());
    first.expect_quiet();
    drop(first);
    js.wait_until("the consumer is unbound", |js| {
        js.api("CONSUMER.INFO.ORDERS.p", "")["push_bound"].is_null()
    });
    js.store("order.new", "2");
    let mut second = RawClient::ready(server.port());
    second.send(b"SUB pushed 1\r\n");
    assert_eq!(second.message().text(), "2");
}
