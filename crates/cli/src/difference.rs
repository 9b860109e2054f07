//! The difference between a configuration that exists and one that was asked for, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::forms::{show_age, show_byte_limit, show_limit};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The field's name in the JetStream API.
    pub(crate) field: String,
    /// What exists, as shown to people.
    pub(crate) exists: String,
    /// What was asked for.
    pub(crate) asked: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            field,
            exists,
            asked,
        } = self;
        write!(f, "{field}: exists with {exists}, asked for {asked}")
    }
}

/// The fields that differ, by name. What the server fills in by itself is no difference, and neither are the several
/// ways to write a default.
pub(crate) fn between(exists: &Map<String, Value>, asked: &Map<String, Value>) -> Vec<Difference> {
    let names: BTreeSet<&String> = exists.keys().chain(asked.keys()).collect();
    names
        .into_iter()
        .filter_map(|field| {
            let there = canonical(field, exists.get(field));
            let wanted = canonical(field, asked.get(field));
            let chosen_by_server = wanted.is_null() && is_chosen_by_server(field);
            (there != wanted && !chosen_by_server).then(|| Difference {
                field: field.clone(),
                exists: show(field, &there),
                asked: show(field, &wanted),
            })
        })
        .collect()
}

/// Fields that the server fills in when they are not given.
fn is_chosen_by_server(field: &str) -> bool {
    matches!(
        field,
        "duplicate_window"
            | "consumer_limits"
            | "max_ack_pending"
            | "max_waiting"
            | "ack_wait"
            | "num_replicas"
            | "inactive_threshold"
            | "name"
    )
}

/// A value with all spellings of "not set" made null.
fn canonical(field: &str, value: Option<&Value>) -> Value {
    let value = value.cloned().unwrap_or(Value::Null);
    let is_unset = match &value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => text.is_empty() || is_default_word(field, text),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    };
    if is_unset {
        return Value::Null;
    }
    match value {
        Value::Object(fields) => {
            let kept: Map<String, Value> = fields
                .into_iter()
                // The server's own notes, such as the API level.
                .filter(|(key, _)| field != "metadata" || !key.starts_with("_nats."))
                .filter(|(key, value)| !canonical(key, Some(value)).is_null())
                .collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Object(kept)
            }
        }
        other => other,
    }
}

fn is_default_word(field: &str, text: &str) -> bool {
    matches!(
        (field, text),
        ("retention", "limits")
            | ("storage", "file")
            | ("discard", "old")
            | ("compression", "none")
            | ("persist_mode", "default")
            | ("deliver_policy", "all")
            | ("replay_policy", "instant")
    )
}

fn show(field: &str, value: &Value) -> String {
    let number = value.as_i64().unwrap_or(0);
    match field {
        "max_age" => return show_age(number),
        "max_bytes" | "max_msg_size" => return show_byte_limit(number),
        "max_msgs" | "max_msgs_per_subject" | "max_consumers" | "max_deliver" => {
            return show_limit(number);
        }
        "duplicate_window" | "ack_wait" | "inactive_threshold" | "idle_heartbeat" if number > 0 => {
            return show_age(number);
        }
        _ => {}
    }
    let default = match field {
        "retention" => json!("limits"),
        "storage" => json!("file"),
        "discard" => json!("old"),
        "compression" => json!("none"),
        "deliver_policy" => json!("all"),
        "replay_policy" => json!("instant"),
        _ => Value::Null,
    };
    match (value, default) {
        (Value::Null, Value::String(word)) => word,
        (Value::Null, _) => "nothing".to_owned(),
        (Value::String(text), _) => text.clone(),
        (Value::Bool(on), _) => on.to_string(),
        (value, _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exists: Value, asked: Value, expected: &[&str]) {
        let (Value::Object(exists), Value::Object(asked)) = (exists, asked) else {
            panic!("objects are compared");
        };
        let shown: Vec<String> = between(&exists, &asked)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn equal_meanings_do_not_differ() {
        check(
            json!({
                "name": "S", "subjects": ["a"], "retention": "limits", "max_msgs": -1, "max_age": 0,
                "duplicate_window": 120_000_000_000_i64, "sealed": false, "consumer_limits": {},
                "metadata": {"_nats.level": "0"}, "compression": "none", "num_replicas": 1,
            }),
            json!({"name": "S", "subjects": ["a"], "max_msgs": 0, "duplicate_window": 0, "num_replicas": 1}),
            &[],
        );
    }

    #[test]
    fn each_field_that_differs_is_shown_for_people() {
        check(
            json!({
                "subjects": ["a"], "max_age": 604_800_000_000_000_i64, "max_msg_size": 1_048_576,
                "retention": "limits", "no_ack": false, "max_msgs": -1,
                "metadata": {"team": "x", "_nats.level": "0"},
            }),
            json!({
                "subjects": ["a", "b"], "max_age": 86_400_000_000_000_i64, "max_msg_size": -1,
                "retention": "workqueue", "no_ack": true, "max_msgs": 5,
                "metadata": {"team": "y"}, "description": "text",
            }),
            &[
                "description: exists with nothing, asked for text",
                "max_age: exists with 7d0h0m0s, asked for 1d0h0m0s",
                "max_msg_size: exists with 1.0 MiB, asked for unlimited",
                "max_msgs: exists with unlimited, asked for 5",
                "metadata: exists with {\"team\":\"x\"}, asked for {\"team\":\"y\"}",
                "no_ack: exists with nothing, asked for true",
                "retention: exists with limits, asked for workqueue",
                "subjects: exists with [\"a\"], asked for [\"a\",\"b\"]",
            ],
        );
    }

    #[test]
    fn a_server_default_differs_only_when_another_value_is_asked_for() {
        check(
            json!({"duplicate_window": 120_000_000_000_i64}),
            json!({"duplicate_window": 30_000_000_000_i64}),
            &["duplicate_window: exists with 2m0s, asked for 30s"],
        );
    }
}
