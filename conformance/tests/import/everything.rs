//! Everything that a server says about its streams, without what differs between two servers with the same content.

use std::collections::BTreeMap;

use everjet_conformance::JetStream;
use serde_json::{Value, json};

/// By name of the stream.
pub(crate) type Everything = BTreeMap<String, Stream>;

/// A stream as it is seen from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) info: Value,
    /// The answer for every sequence from the first to the last.
    pub(crate) messages: Vec<Value>,
    pub(crate) consumers: Vec<Value>,
}

/// Asks for everything.
#[track_caller]
pub(crate) fn read_everything(js: &mut JetStream) -> Everything {
    let names = js.api("STREAM.NAMES", "");
    let names = names["streams"].as_array().cloned().unwrap_or_default();
    names
        .iter()
        .map(|name| {
            let name = name.as_str().expect("names are text");
            (name.to_owned(), read_stream(js, name))
        })
        .collect()
}

#[track_caller]
fn read_stream(js: &mut JetStream, name: &str) -> Stream {
    let info = js.api(
        &format!("STREAM.INFO.{name}"),
        r#"{"deleted_details":true,"subjects_filter":">"}"#,
    );
    assert!(info["error"].is_null(), "{info}");
    let mut state = info["state"].clone();
    if state["last_seq"] == 0
        && let Some(fields) = state.as_object_mut()
    {
        // Of a stream that never had a message nats-server says that message 0 is deleted.
        fields.remove("deleted");
        fields.remove("num_deleted");
    }
    let number = |key: &str| state[key].as_u64().unwrap_or(0);
    let messages = (number("first_seq")..=number("last_seq"))
        .map(|sequence| {
            let body = format!("{{\"seq\":{sequence}}}");
            let answer = js.api(&format!("STREAM.MSG.GET.{name}"), &body);
            json!({ "message": answer["message"], "error": answer["error"]["err_code"] })
        })
        .collect();
    let list = js.api(&format!("CONSUMER.LIST.{name}"), "");
    let consumers = list["consumers"].as_array().cloned().unwrap_or_default();
    let mut consumers: Vec<Value> = consumers.iter().map(consumer).collect();
    consumers.sort_by_key(|consumer| consumer["name"].to_string());
    Stream {
        info: json!({
            "created": info["created"],
            "config": config(&info["config"]),
            "state": state,
        }),
        messages,
        consumers,
    }
}

fn consumer(info: &Value) -> Value {
    let position = |key: &str| json!([info[key]["consumer_seq"], info[key]["stream_seq"]]);
    let mut config = config(&info["config"]);
    if let Some(fields) = config.as_object_mut() {
        // Older versions do not show the name of a durable consumer twice.
        fields.remove("name");
    }
    json!({
        "name": info["name"],
        "created": info["created"],
        "config": config,
        "delivered": position("delivered"),
        "ack_floor": position("ack_floor"),
        "num_ack_pending": info["num_ack_pending"],
        "num_redelivered": info["num_redelivered"],
        "num_pending": info["num_pending"],
    })
}

/// A configuration without what says which server shows it.
fn config(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(fields) = config.as_object_mut() {
        fields.remove("metadata");
        // Older versions leave out what they do not know yet.
        fields.retain(|_, value| *value != false);
    }
    config
}
