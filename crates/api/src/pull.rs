//! Pull requests, which come in three forms.

use serde_json::Value;

use crate::decode::{Request, UnknownFields};
use crate::{PullRequest, syntax};

impl PullRequest {
    /// Reads the body of `CONSUMER.MSG.NEXT`: empty for one message, a plain number of messages, or JSON, in which
    /// unknown fields are left out. Any other text asks for one message, as in nats-server.
    ///
    /// # Errors
    /// What is wrong with the JSON, to be sent as `400 Bad Request - <text>`.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let body = body.trim_ascii();
        if body.first() != Some(&b'{') {
            let batch = std::str::from_utf8(body)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(1);
            return Ok(Self::of_batch(batch));
        }
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            syntax::find_mistake(body)
                .map_or_else(|| error.to_string(), |mistake| mistake.in_pull())
        })?;
        let request = Self::from_value(value, UnknownFields::Ignore)?;
        Ok(Self {
            batch: request.batch.max(1),
            ..request
        })
    }

    /// Asks for `batch` messages, at least one, for as long as it takes.
    #[must_use]
    pub fn of_batch(batch: i64) -> Self {
        Self {
            batch: batch.max(1),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nanos;

    #[test]
    fn the_three_forms_are_read() {
        for (body, expected) in [
            ("", PullRequest::of_batch(1)),
            ("  ", PullRequest::of_batch(1)),
            ("10", PullRequest::of_batch(10)),
            (" 10 ", PullRequest::of_batch(10)),
            ("-5", PullRequest::of_batch(1)),
            ("nope", PullRequest::of_batch(1)),
            ("{}", PullRequest::of_batch(1)),
            (r#"{"batch":-1}"#, PullRequest::of_batch(1)),
            (r#"{"batch":3,"unknown":[1]}"#, PullRequest::of_batch(3)),
            (
                r#"{"batch":2,"expires":5000000000,"max_bytes":100,"no_wait":true,"idle_heartbeat":1000000,
                    "group":"a","min_pending":4,"min_ack_pending":5,"id":"x","priority":6}"#,
                PullRequest {
                    batch: 2,
                    expires: Nanos::from_secs(5),
                    max_bytes: 100,
                    no_wait: true,
                    idle_heartbeat: Nanos::from_millis(1),
                    group: "a".into(),
                    min_pending: 4,
                    min_ack_pending: 5,
                    id: "x".into(),
                    priority: 6,
                },
            ),
        ] {
            assert_eq!(PullRequest::parse(body.as_bytes()), Ok(expected), "{body}");
        }
    }

    /// The texts are those of nats-server 2.15.1; it names the type of a field differently.
    #[test]
    fn mistakes_are_told_as_nats_server_does() {
        for (body, text) in [
            (
                "{b}",
                "invalid character 'b' looking for beginning of object key string",
            ),
            (
                r#"{"batch":}"#,
                "invalid character '}' looking for beginning of value",
            ),
            (r#"{"batch":1"#, "unexpected end of JSON input"),
            (
                r#"{"no_wait":true} x"#,
                "invalid character 'x' after top-level value",
            ),
            (
                r#"{"no_wait":true}}"#,
                "invalid character '}' after top-level value",
            ),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (
                r#"{"batch":"x"}"#,
                "json: cannot unmarshal string into field batch of type int64",
            ),
            (
                r#"{"batch":1.5}"#,
                "json: cannot unmarshal number 1.5 into field batch of type int64",
            ),
        ] {
            assert_eq!(
                PullRequest::parse(body.as_bytes()),
                Err(text.to_owned()),
                "{body}"
            );
        }
    }
}
