//! Priority groups of consumers: overflow, pinned clients, priorities.

use everjet_conformance::{JetStream, Message};
use serde_json::{Value, json};

use crate::advisories::Listener;
use crate::{check_contains, check_error, start_with_orders};

const NEXT: &str = "$JS.API.CONSUMER.MSG.NEXT.ORDERS.c";

/// Asks for messages for ten seconds; `fields` are more fields of the request.
#[track_caller]
fn ask(js: &mut JetStream, fields: &str) -> String {
    let body = format!(r#"{{"expires":10000000000,{fields}}}"#);
    js.publish(NEXT, &[], &body)
}

/// The status that a request is answered with at once.
#[track_caller]
fn status(js: &mut JetStream, fields: &str) -> String {
    let inbox = ask(js, fields);
    let message = js.raw().message();
    assert_eq!(message.subject, inbox, "{message:?}");
    message.status().unwrap_or_else(|| panic!("{message:?}"))
}

#[track_caller]
fn group(policy: &str, more: &str) -> String {
    format!(r#""ack_policy":"explicit","priority_policy":"{policy}","priority_groups":["g"]{more}"#)
}

#[track_caller]
fn info(js: &mut JetStream) -> Value {
    js.api("CONSUMER.INFO.ORDERS.c", "")
}

#[track_caller]
fn pin(message: &Message) -> String {
    message
        .header("Nats-Pin-Id")
        .unwrap_or_else(|| panic!("no pin: {message:?}"))
}

#[test]
fn overflow_requests_wait_until_there_is_enough() {
    let (_server, mut js) = start_with_orders(3);
    js.create_consumer("ORDERS", "c", &group("overflow", ""));
    ask(&mut js, r#""group":"g","min_pending":4"#);
    ask(&mut js, r#""group":"g","min_ack_pending":2"#);
    js.wait_until("both wait", |js| info(js)["num_waiting"] == 2);
    assert_eq!(info(&mut js)["num_pending"], 3);
    ask(&mut js, r#""group":"g","min_pending":3"#);
    assert_eq!(js.raw().message().text(), "1");
    ask(
        &mut js,
        r#""group":"g","min_pending":9,"min_ack_pending":1"#,
    );
    assert_eq!(js.raw().message().text(), "2");
    // Now two wait for their acknowledgement.
    assert_eq!(js.raw().message().text(), "3");
    check_contains(&info(&mut js), &json!({"num_waiting": 1, "num_pending": 0}));
}

#[test]
fn overflow_wakes_up_when_messages_come() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", &group("overflow", ""));
    ask(&mut js, r#""group":"g","min_pending":2"#);
    js.raw().expect_quiet();
    js.publish_to("order.new", None, &[], "2");
    assert_eq!(js.raw().message().text(), "1");
}

#[test]
fn who_does_not_wait_gets_nothing_below_the_threshold() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", &group("overflow", ""));
    let inbox = js.publish(NEXT, &[], r#"{"group":"g","min_pending":2,"no_wait":true}"#);
    let answer = js.raw().message();
    assert_eq!(answer.subject, inbox);
    assert_eq!(answer.status().as_deref(), Some("404 No Messages"));
}

#[test]
fn lower_priorities_are_served_first_and_equal_ones_in_turn() {
    let (_server, mut js) = start_with_orders(0);
    js.create_consumer("ORDERS", "c", &group("prioritized", ""));
    js.raw().send(b"SUB take.* t\r\n");
    for (name, priority) in [("a", 5), ("b", 1), ("c", 5), ("d", 0), ("e", 1)] {
        let body =
            format!(r#"{{"batch":2,"expires":10000000000,"group":"g","priority":{priority}}}"#);
        js.publish_to(NEXT, Some(&format!("take.{name}")), &[], &body);
    }
    js.wait_until("all requests wait", |js| info(js)["num_waiting"] == 5);
    for number in 1..=9 {
        js.publish_to("order.new", None, &[], &number.to_string());
    }
    for number in 1..=9 {
        assert_eq!(js.raw().message().text(), number.to_string());
    }
    // Who came last was served once and waits for one more.
    let waiting = &info(&mut js)["num_waiting"];
    assert_eq!(*waiting, 1);
}

#[test]
fn a_pinned_client_gets_everything() {
    let (server, mut js) = start_with_orders(5);
    js.create_consumer("ORDERS", "c", &group("pinned_client", ""));
    let mut listener = Listener::connect(&server);
    check_contains(
        &info(&mut js),
        &json!({"config": {"priority_timeout": 120_000_000_000_u64}, "priority_groups": [{"group": "g", "pinned_ts": "0001-01-01T00:00:00Z"}]}),
    );
    ask(&mut js, r#""group":"g""#);
    let first = js.raw().message();
    let id = pin(&first);
    assert_eq!((first.text().as_str(), id.len()), ("1", 22));
    let event = listener.expect(
        "ADVISORY.CONSUMER.PINNED",
        "c",
        &json!({"account": "$G", "group": "g", "pinned_id": id}),
    );
    assert_eq!(
        event["type"],
        "io.nats.jetstream.advisory.v1.consumer_group_pinned"
    );
    let said = info(&mut js);
    assert_eq!(said["priority_groups"][0]["pinned_client_id"], id, "{said}");
    // Another client waits, a wrong one is told so.
    let other = ask(&mut js, r#""group":"g""#);
    js.raw().expect_quiet();
    let wrong = status(&mut js, r#""group":"g","id":"wrong""#);
    assert_eq!(wrong, "423 Nats-Pin-Id mismatch");
    ask(&mut js, &format!(r#""group":"g","batch":2,"id":"{id}""#));
    for text in ["2", "3"] {
        let message = js.raw().message();
        assert_eq!((message.text().as_str(), pin(&message)), (text, id.clone()));
    }
    let waits = js.publish(NEXT, &[], r#"{"group":"g","no_wait":true}"#);
    let answer = js.raw().message();
    assert_eq!(
        (answer.subject.clone(), answer.status().as_deref()),
        (waits, Some("404 No Messages"))
    );
    // The answer and the message that was waited for come in any order.
    let asked = js.publish("$JS.API.CONSUMER.UNPIN.ORDERS.c", &[], r#"{"group":"g"}"#);
    let two = [js.raw().message(), js.raw().message()];
    let (answers, messages): (Vec<_>, Vec<_>) =
        two.into_iter().partition(|one| one.subject == asked);
    assert_eq!(
        answers[0].text(),
        r#"{"type":"io.nats.jetstream.api.v1.consumer_unpin_response"}"#
    );
    listener.expect(
        "ADVISORY.CONSUMER.UNPINNED",
        "c",
        &json!({"account": "$G", "group": "g", "reason": "admin"}),
    );
    let next = &messages[0];
    assert_eq!(next.text(), "4", "{other}");
    assert_ne!(pin(next), id);
    listener.expect(
        "ADVISORY.CONSUMER.PINNED",
        "c",
        &json!({"pinned_id": pin(next)}),
    );
    let old = status(&mut js, &format!(r#""group":"g","id":"{id}""#));
    assert_eq!(old, "423 Nats-Pin-Id mismatch");
}

#[test]
fn a_client_that_is_not_heard_of_is_let_go() {
    let (server, mut js) = start_with_orders(2);
    let more = r#","priority_timeout":300000000"#;
    js.create_consumer("ORDERS", "c", &group("pinned_client", more));
    let mut listener = Listener::connect(&server);
    ask(&mut js, r#""group":"g""#);
    let id = pin(&js.raw().message());
    listener.expect("ADVISORY.CONSUMER.PINNED", "c", &json!({}));
    ask(&mut js, r#""group":"g""#);
    let second = js.raw().message();
    assert_eq!(second.text(), "2");
    assert_ne!(pin(&second), id);
    let event = listener.expect(
        "ADVISORY.CONSUMER.UNPINNED",
        "c",
        &json!({"group": "g", "reason": "timeout"}),
    );
    assert_eq!(
        event["type"],
        "io.nats.jetstream.advisory.v1.consumer_group_unpinned"
    );
    listener.expect(
        "ADVISORY.CONSUMER.PINNED",
        "c",
        &json!({"pinned_id": pin(&second)}),
    );
}

#[test]
fn a_request_with_a_pin_that_was_taken_away_ends() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", &group("pinned_client", ""));
    ask(&mut js, r#""group":"g""#);
    let id = pin(&js.raw().message());
    let waits = ask(&mut js, &format!(r#""group":"g","batch":3,"id":"{id}""#));
    js.api("CONSUMER.UNPIN.ORDERS.c", r#"{"group":"g"}"#);
    js.publish_to("order.new", None, &[], "2");
    let ended = js.raw().message();
    assert_eq!(ended.subject, waits);
    assert_eq!(ended.status().as_deref(), Some("423 Nats-Wrong-Pin-Id"));
    assert_eq!(ended.header("Nats-Pending-Messages").as_deref(), Some("3"));
    assert_eq!(ended.header("Nats-Pending-Bytes").as_deref(), Some("0"));
}

#[test]
fn the_pin_comes_after_the_headers_of_the_message() {
    let (_server, mut js) = start_with_orders(0);
    js.request_with("order.new", &[("A", "b")], "payload");
    js.create_consumer(
        "ORDERS",
        "c",
        &group("pinned_client", r#","headers_only":true"#),
    );
    ask(&mut js, r#""group":"g""#);
    let message = js.raw().message();
    let block = String::from_utf8_lossy(&message.headers).into_owned();
    let expected = format!(
        "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 7\r\nNats-Pin-Id: {}\r\n\r\n",
        pin(&message)
    );
    assert_eq!((block, message.text()), (expected, String::new()));
}

#[test]
fn an_acknowledgement_may_bring_the_next_request_of_the_group() {
    let (_server, mut js) = start_with_orders(2);
    js.create_consumer("ORDERS", "c", &group("pinned_client", ""));
    ask(&mut js, r#""group":"g""#);
    let first = js.raw().message();
    let body = format!(r#"+NXT {{"batch":1,"group":"g","id":"{}"}}"#, pin(&first));
    js.publish(&first.reply.clone().expect("an ack reply"), &[], &body);
    let second = js.raw().message();
    assert_eq!((second.text().as_str(), pin(&second)), ("2", pin(&first)));
}

#[test]
fn requests_are_held_against_the_policy() {
    let (_server, mut js) = start_with_orders(0);
    let check = |js: &mut JetStream, policy: &str, cases: &[(&str, &str)]| {
        js.api("CONSUMER.DELETE.ORDERS.c", "");
        let config = match policy {
            "none" => String::new(),
            policy => group(policy, ""),
        };
        js.create_consumer("ORDERS", "c", &config);
        for (fields, expected) in cases {
            let expected = format!("400 Bad Request - {expected}");
            assert_eq!(status(js, fields), expected, "{policy} {fields}");
        }
    };
    let missing = ("\"batch\":1", "Priority Group missing");
    let invalid = (r#""group":"h""#, "Invalid Priority Group");
    let priority = (
        r#""group":"g","priority":10"#,
        "Priority must be between 0 and 9",
    );
    let negative = (
        r#""group":"g","priority":-1"#,
        "Priority must be between 0 and 9",
    );
    let overflow = (
        r#""group":"g","min_pending":1"#,
        "Not a Overflow Priority consumer",
    );
    let pinned = (
        r#""group":"g","id":"x""#,
        "Not a Pinned Client Priority consumer",
    );
    check(&mut js, "none", &[overflow, pinned, priority, negative]);
    check(&mut js, "overflow", &[missing, invalid, pinned, priority]);
    check(
        &mut js,
        "prioritized",
        &[missing, invalid, overflow, pinned, negative],
    );
    check(
        &mut js,
        "pinned_client",
        &[missing, invalid, overflow, priority],
    );
}

#[test]
fn groups_of_a_configuration_are_checked() {
    let (_server, mut js) = start_with_orders(0);
    let invalid = "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    for (config, code, text) in [
        (
            json!({"priority_policy": "overflow"}),
            10159,
            "Setting PriorityPolicy requires at least one PriorityGroup to be set",
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": [""]}),
            10161,
            "Group name cannot be an empty string",
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["a b"]}),
            10162,
            invalid,
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["aaaaaaaaaaaaaaaaa"]}),
            10162,
            invalid,
        ),
        (
            json!({"priority_policy": "overflow", "priority_groups": ["a"], "deliver_subject": "d"}),
            10178,
            "priority groups can not be used with push consumers",
        ),
        (
            json!({"priority_groups": ["a"]}),
            10196,
            "consumer can not have priority groups when policy is none",
        ),
        (
            json!({"priority_timeout": 3}),
            10197,
            "PinnedTTL cannot be set when PriorityPolicy is none",
        ),
    ] {
        let body = json!({"stream_name": "ORDERS", "config": config}).to_string();
        check_error(&js.api("CONSUMER.CREATE.ORDERS.c", &body), 400, code, text);
    }
    let body = json!({"stream_name": "ORDERS", "config": {"priority_policy": "odd"}}).to_string();
    check_error(
        &js.api("CONSUMER.CREATE.ORDERS.c", &body),
        400,
        10025,
        r#"invalid JSON: unknown priority policy: "odd""#,
    );
}

#[test]
fn requests_to_unpin_are_checked() {
    let (_server, mut js) = start_with_orders(0);
    js.create_consumer("ORDERS", "c", &group("overflow", ""));
    js.create_consumer("ORDERS", "plain", "");
    let none = "Provided priority group does not exist for this consumer";
    let invalid = "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    for (call, body, (code, err_code), text) in [
        (
            "ORDERS.c",
            "",
            (400, 10025),
            "invalid JSON: unexpected end of JSON input",
        ),
        (
            "ORDERS.c",
            "{}",
            (400, 10025),
            "invalid JSON: consumer group not specified",
        ),
        ("ORDERS.c", r#"{"group":"zz"}"#, (400, 10160), none),
        ("ORDERS.plain", r#"{"group":"g"}"#, (400, 10160), none),
        ("ORDERS.c", r#"{"group":"a b"}"#, (400, 10162), invalid),
        (
            "ORDERS.nobody",
            r#"{"group":"g"}"#,
            (404, 10014),
            "consumer not found",
        ),
        (
            "NOTHING.c",
            r#"{"group":"g"}"#,
            (404, 10059),
            "stream not found",
        ),
    ] {
        let answer = js.api(&format!("CONSUMER.UNPIN.{call}"), body);
        check_error(&answer, code, err_code, text);
    }
    let answer = js.api("CONSUMER.UNPIN.ORDERS.c", r#"{"group":"g","more":1}"#);
    assert!(answer["error"].is_null(), "{answer}");
}

#[test]
fn policy_and_groups_can_be_changed() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", &group("overflow", ""));
    let level = |answer: &Value| answer["config"]["metadata"]["_nats.req.level"].clone();
    for policy in ["prioritized", "pinned_client", "overflow"] {
        let answer = js.create_consumer("ORDERS", "c", &group(policy, ""));
        assert_eq!(
            (answer["config"]["priority_policy"].as_str(), level(&answer)),
            (Some(policy), json!("1"))
        );
    }
    let answer = js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    assert_eq!(level(&answer), json!("0"));
    assert!(answer["priority_groups"].is_null(), "{answer}");
    ask(&mut js, r#""batch":1"#);
    assert_eq!(js.raw().message().text(), "1");
}
