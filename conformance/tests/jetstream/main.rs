//! JetStream as raw JSON and raw messages: requests, acknowledgements, deliveries.

mod acks;
mod advisories;
mod api;
mod backup;
mod batch;
mod consumers;
mod counters;
mod direct;
mod domain;
mod flow_acks;
mod ingest;
mod lifetimes;
mod lists;
mod mapped;
mod messages;
mod pace;
mod pause;
mod priority;
mod publish;
mod pull;
mod push;
mod reset;
mod restart;
mod retention;
mod rollup;
mod streams;

use everjet_conformance::{JetStream, ServerProcess};
use serde_json::Value;

/// A fresh server with JetStream, and a connection to it.
#[track_caller]
fn start() -> (ServerProcess, JetStream) {
    let server = ServerProcess::start_jetstream();
    let js = JetStream::connect(&server);
    (server, js)
}

/// The same, with the stream ORDERS on `order.>` and `count` messages `1`, `2`, ... on `order.new`.
#[track_caller]
fn start_with_orders(count: u64) -> (ServerProcess, JetStream) {
    let (server, mut js) = start();
    js.create_stream("ORDERS", r#"{"name":"ORDERS","subjects":["order.>"]}"#);
    for number in 1..=count {
        assert_eq!(js.store("order.new", &number.to_string()), number);
    }
    (server, js)
}

/// Every key of `expected` is in `actual` with that value, objects inside likewise; `actual` may hold more.
#[track_caller]
fn check_contains(actual: &Value, expected: &Value) {
    if let Err(path) = contains(actual, expected) {
        panic!("at {path}\nexpected {expected:#}\nin {actual:#}");
    }
}

fn contains(actual: &Value, expected: &Value) -> Result<(), String> {
    let Value::Object(fields) = expected else {
        return if actual == expected {
            Ok(())
        } else {
            Err(String::new())
        };
    };
    for (key, value) in fields {
        contains(&actual[key], value).map_err(|path| format!(".{key}{path}"))?;
    }
    Ok(())
}

/// The answer is this error; the text is compared as well.
#[track_caller]
fn check_error(answer: &Value, code: u64, err_code: u64, description: &str) {
    let expected = serde_json::json!({"error": {"code": code, "err_code": err_code, "description": description}});
    check_contains(answer, &expected);
}
