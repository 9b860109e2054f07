//! CONSUMER.CREATE in its three forms, INFO, DELETE.

use serde_json::json;

use crate::{check_contains, check_error, start_with_orders};

#[test]
fn a_created_consumer_is_echoed_with_its_defaults() {
    let (_server, mut js) = start_with_orders(3);
    let created = js.create_consumer(
        "ORDERS",
        "c",
        r#""ack_policy":"explicit","filter_subject":"order.new""#,
    );
    check_contains(
        &created,
        &json!({"type": "io.nats.jetstream.api.v1.consumer_create_response", "stream_name": "ORDERS", "name": "c",
            "config": {"durable_name": "c", "name": "c", "deliver_policy": "all", "ack_policy": "explicit",
                "ack_wait": 30_000_000_000_u64, "max_deliver": -1, "filter_subject": "order.new", "replay_policy": "instant",
                "max_waiting": 512, "max_ack_pending": 1000, "num_replicas": 0},
            "delivered": {"consumer_seq": 0, "stream_seq": 0}, "ack_floor": {"consumer_seq": 0, "stream_seq": 0},
            "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 0, "num_pending": 3}),
    );
    let info = js.api("CONSUMER.INFO.ORDERS.c", "");
    check_contains(
        &info,
        &json!({"type": "io.nats.jetstream.api.v1.consumer_info_response", "name": "c", "created": created["created"], "num_pending": 3}),
    );
}

#[test]
fn an_absent_ack_policy_means_none() {
    let (_server, mut js) = start_with_orders(0);
    let created = js.create_consumer("ORDERS", "c", "");
    assert_eq!(created["config"]["ack_policy"], "none");
}

#[test]
fn the_three_subjects_of_creation_make_the_same_consumers() {
    let (_server, mut js) = start_with_orders(0);
    let ephemeral = js.api(
        "CONSUMER.CREATE.ORDERS",
        r#"{"stream_name":"ORDERS","config":{"ack_policy":"explicit"}}"#,
    );
    let name = ephemeral["name"]
        .as_str()
        .expect("the server chose a name")
        .to_owned();
    assert_eq!(name.len(), 8, "{name}");
    let body = r#"{"stream_name":"ORDERS","config":{"name":"named","ack_policy":"explicit"}}"#;
    let named = js.api("CONSUMER.CREATE.ORDERS.named", body);
    check_contains(
        &named,
        &json!({"name": "named", "config": {"name": "named"}}),
    );
    let body = r#"{"stream_name":"ORDERS","config":{"name":"f","ack_policy":"explicit","filter_subject":"order.a.*"}}"#;
    let filtered = js.api("CONSUMER.CREATE.ORDERS.f.order.a.*", body);
    check_contains(
        &filtered,
        &json!({"name": "f", "config": {"filter_subject": "order.a.*"}}),
    );
    assert_eq!(js.api("CONSUMER.NAMES.ORDERS", "")["total"], 3);
}

#[test]
fn the_same_again_succeeds_and_actions_decide_about_another() {
    let (_server, mut js) = start_with_orders(0);
    let body = |action: &str, wait: u64| {
        format!(
            r#"{{"stream_name":"ORDERS","action":"{action}","config":{{"durable_name":"c","name":"c","ack_policy":"explicit","ack_wait":{wait}}}}}"#
        )
    };
    let missing = js.api("CONSUMER.CREATE.ORDERS.c", &body("update", 1_000_000_000));
    check_error(&missing, 400, 10149, "consumer does not exist");
    let first = js.api("CONSUMER.CREATE.ORDERS.c", &body("create", 1_000_000_000));
    assert!(first["error"].is_null(), "{first}");
    let again = js.api("CONSUMER.CREATE.ORDERS.c", &body("create", 1_000_000_000));
    assert_eq!(again["created"], first["created"]);
    let other = js.api("CONSUMER.CREATE.ORDERS.c", &body("create", 2_000_000_000));
    check_error(&other, 400, 10148, "consumer already exists");
    let updated = js.api("CONSUMER.CREATE.ORDERS.c", &body("update", 2_000_000_000));
    assert_eq!(updated["config"]["ack_wait"], 2_000_000_000_u64);
    let upserted = js.api("CONSUMER.CREATE.ORDERS.c", &body("", 3_000_000_000));
    assert_eq!(upserted["config"]["ack_wait"], 3_000_000_000_u64);
}

#[test]
fn requests_that_cannot_be_are_refused_with_their_code() {
    let (_server, mut js) = start_with_orders(0);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    let create = |config: &str| format!(r#"{{"stream_name":"ORDERS","config":{{{config}}}}}"#);
    let named = r#""name":"n","ack_policy":"explicit""#;
    for (call, body, code) in [
        (
            "CONSUMER.CREATE.NOPE.n",
            r#"{"stream_name":"NOPE","config":{"name":"n"}}"#.to_owned(),
            10059,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            r#"{"stream_name":"OTHER","config":{"name":"n"}}"#.to_owned(),
            10056,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"nonsense\":1")),
            10025,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n.order.a",
            create(&format!("{named},\"filter_subject\":\"order.b\"")),
            10131,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"filter_subject\":\"order.a\",\"filter_subjects\":[\"order.b\"]"
            )),
            10136,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"filter_subjects\":[\"order.*\",\"order.b\"]"
            )),
            10138,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"filter_subjects\":[\"\",\"order.b\"]")),
            10139,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"opt_start_seq\":4")),
            10094,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"deliver_subject\":\"d.*\"")),
            10079,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"deliver_subject\":\"order.cycle\"")),
            10081,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"deliver_subject\":\"d\",\"max_waiting\":5"
            )),
            10080,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"deliver_subject\":\"d\",\"flow_control\":true"
            )),
            10108,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"flow_control\":true,\"idle_heartbeat\":1000000000"
            )),
            10088,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"idle_heartbeat\":1000000000")),
            10088,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!("{named},\"rate_limit_bps\":1000")),
            10086,
        ),
        (
            "CONSUMER.CREATE.ORDERS.n",
            create(&format!(
                "{named},\"backoff\":[1000000000,2000000000],\"max_deliver\":1"
            )),
            10116,
        ),
        (
            "CONSUMER.DURABLE.CREATE.ORDERS.d",
            create(r#""ack_policy":"explicit""#),
            10018,
        ),
        (
            "CONSUMER.DURABLE.CREATE.ORDERS.d",
            create(r#""durable_name":"e","ack_policy":"explicit""#),
            10017,
        ),
        (
            "CONSUMER.CREATE.ORDERS",
            create(r#""durable_name":"e","ack_policy":"explicit""#),
            10020,
        ),
        (
            "CONSUMER.CREATE.ORDERS.c",
            create(r#""durable_name":"c","name":"c","ack_policy":"none""#),
            10012,
        ),
        ("CONSUMER.INFO.ORDERS.nope", String::new(), 10014),
        ("CONSUMER.INFO.NOPE.c", String::new(), 10059),
        ("CONSUMER.INFO.ORDERS.c", "x".to_owned(), 10038),
        ("CONSUMER.DELETE.ORDERS.nope", String::new(), 10014),
        ("CONSUMER.DELETE.NOPE.c", String::new(), 10059),
        ("CONSUMER.DELETE.ORDERS.c", "x".to_owned(), 10038),
    ] {
        assert_eq!(js.api_error(call, &body), code, "{call} {body}");
    }
}

#[test]
fn a_deleted_consumer_is_gone() {
    let (_server, mut js) = start_with_orders(1);
    js.create_consumer("ORDERS", "c", r#""ack_policy":"explicit""#);
    assert_eq!(
        js.api("STREAM.INFO.ORDERS", "")["state"]["consumer_count"],
        1
    );
    let answer = js.api("CONSUMER.DELETE.ORDERS.c", "");
    check_contains(
        &answer,
        &json!({"type": "io.nats.jetstream.api.v1.consumer_delete_response", "success": true}),
    );
    check_error(
        &js.api("CONSUMER.INFO.ORDERS.c", ""),
        404,
        10014,
        "consumer not found",
    );
    assert_eq!(
        js.api("STREAM.INFO.ORDERS", "")["state"]["consumer_count"],
        0
    );
}

#[test]
fn an_unused_ephemeral_consumer_goes_away() {
    let (_server, mut js) = start_with_orders(0);
    let body = r#"{"stream_name":"ORDERS","config":{"name":"e","ack_policy":"explicit","inactive_threshold":200000000}}"#;
    assert!(js.api("CONSUMER.CREATE.ORDERS.e", body)["error"].is_null());
    js.wait_until("the consumer is gone", |js| {
        js.api("CONSUMER.INFO.ORDERS.e", "")["error"]["err_code"] == 10014
    });
}

#[test]
fn deliver_policies_choose_where_to_start() {
    let (_server, mut js) = start_with_orders(3);
    js.store("order.old", "4");
    js.store("order.new", "5");
    for (name, config, pending) in [
        ("all", r#""deliver_policy":"all""#, 5),
        ("last", r#""deliver_policy":"last""#, 1),
        ("new", r#""deliver_policy":"new""#, 0),
        (
            "from",
            r#""deliver_policy":"by_start_sequence","opt_start_seq":4"#,
            2,
        ),
        (
            "each",
            r#""deliver_policy":"last_per_subject","filter_subject":"order.*""#,
            2,
        ),
        ("old", r#""filter_subject":"order.old""#, 1),
        ("two", r#""filter_subjects":["order.old","order.new"]"#, 5),
    ] {
        let created = js.create_consumer("ORDERS", name, config);
        assert_eq!(created["num_pending"], pending, "{name}");
    }
    let time = js.api("STREAM.MSG.GET.ORDERS", r#"{"seq":3}"#)["message"]["time"].clone();
    let config = format!(r#""deliver_policy":"by_start_time","opt_start_time":{time}"#);
    assert_eq!(
        js.create_consumer("ORDERS", "since", &config)["num_pending"],
        3
    );
}
