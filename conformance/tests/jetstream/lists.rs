//! STREAM.NAMES, STREAM.LIST, CONSUMER.NAMES, CONSUMER.LIST: filters, order, paging.

use everjet_conformance::executable;
use serde_json::{Value, json};

use crate::{check_contains, start, start_with_orders};

/// The names of a list; nats-server writes an empty list of stream names as null (docs/differences.md).
fn names(list: &Value) -> Vec<&str> {
    if list.is_null() && executable::is_reference() {
        return Vec::new();
    }
    let names = list.as_array().expect("a list, even when empty");
    names
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect()
}

#[test]
fn empty_lists_are_lists() {
    let (_server, mut js) = start();
    let all = js.api("STREAM.NAMES", "");
    check_contains(
        &all,
        &json!({"type": "io.nats.jetstream.api.v1.stream_names_response", "total": 0, "offset": 0, "limit": 1024}),
    );
    assert_eq!(names(&all["streams"]), Vec::<&str>::new());
    let all = js.api("STREAM.LIST", "");
    check_contains(
        &all,
        &json!({"type": "io.nats.jetstream.api.v1.stream_list_response", "total": 0, "offset": 0, "limit": 256, "streams": []}),
    );
    js.create_stream("S", r#"{"name":"S"}"#);
    let none = js.api("CONSUMER.NAMES.S", "");
    check_contains(
        &none,
        &json!({"type": "io.nats.jetstream.api.v1.consumer_names_response", "total": 0, "limit": 1024, "consumers": []}),
    );
    let none = js.api("CONSUMER.LIST.S", "");
    check_contains(
        &none,
        &json!({"type": "io.nats.jetstream.api.v1.consumer_list_response", "total": 0, "limit": 256, "consumers": []}),
    );
}

#[test]
fn streams_are_sorted_and_filtered_by_subject() {
    let (_server, mut js) = start();
    for name in ["C", "A", "B"] {
        js.create_stream(
            name,
            &format!(r#"{{"name":"{name}","subjects":["{name}.x.*"],"storage":"memory"}}"#),
        );
    }
    assert_eq!(
        names(&js.api("STREAM.NAMES", "{}")["streams"]),
        ["A", "B", "C"]
    );
    assert_eq!(
        names(&js.api("STREAM.NAMES", r#"{"subject":"B.x.y"}"#)["streams"]),
        ["B"]
    );
    assert_eq!(
        names(&js.api("STREAM.NAMES", r#"{"subject":"*.x.y"}"#)["streams"]),
        ["A", "B", "C"]
    );
    assert_eq!(
        names(&js.api("STREAM.NAMES", r#"{"subject":"nobody"}"#)["streams"]),
        Vec::<&str>::new()
    );
    let list = js.api("STREAM.LIST", "");
    let listed: Vec<&Value> = list["streams"].as_array().expect("a list").iter().collect();
    assert_eq!(listed.len(), 3);
    check_contains(
        listed[0],
        &json!({"config": {"name": "A"}, "state": {"messages": 0}}),
    );
    assert_eq!(js.api_error("STREAM.NAMES", r#"{"nope":1}"#), 10025);
}

#[test]
fn long_lists_come_in_pages() {
    let (_server, mut js) = start();
    for number in 0..300 {
        let name = format!("S{number:03}");
        js.create_stream(&name, &format!(r#"{{"name":"{name}","storage":"memory"}}"#));
    }
    let first = js.api("STREAM.LIST", "");
    check_contains(&first, &json!({"total": 300, "offset": 0, "limit": 256}));
    assert_eq!(first["streams"].as_array().map(Vec::len), Some(256));
    let second = js.api("STREAM.LIST", r#"{"offset":256}"#);
    check_contains(&second, &json!({"total": 300, "offset": 256, "limit": 256}));
    assert_eq!(second["streams"].as_array().map(Vec::len), Some(44));
    assert_eq!(second["streams"][0]["config"]["name"], "S256");
    let names = js.api("STREAM.NAMES", r#"{"offset":298}"#);
    check_contains(
        &names,
        &json!({"total": 300, "offset": 298, "limit": 1024, "streams": ["S298", "S299"]}),
    );
}

#[test]
fn consumers_are_listed_by_name() {
    let (_server, mut js) = start_with_orders(2);
    for name in ["b", "c", "a"] {
        js.create_consumer("ORDERS", name, r#""ack_policy":"explicit""#);
    }
    let all = js.api("CONSUMER.NAMES.ORDERS", "");
    check_contains(&all, &json!({"total": 3, "offset": 0}));
    assert_eq!(names(&all["consumers"]), ["a", "b", "c"]);
    let rest = js.api("CONSUMER.NAMES.ORDERS", r#"{"offset":2}"#);
    check_contains(&rest, &json!({"total": 3, "offset": 2, "consumers": ["c"]}));
    let list = js.api("CONSUMER.LIST.ORDERS", "");
    check_contains(
        &list["consumers"][0],
        &json!({"name": "a", "stream_name": "ORDERS", "num_pending": 2}),
    );
    assert_eq!(js.api_error("CONSUMER.NAMES.NOPE", ""), 10059);
    assert_eq!(js.api_error("CONSUMER.LIST.NOPE", ""), 10059);
}
