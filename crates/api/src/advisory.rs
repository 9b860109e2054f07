//! Advisories and metrics: what subscribers of `$JS.EVENT.>` are told. The frame is that of all of them; here are those about
//! streams and the API.

use everjet_values::Timestamp;
use serde::Serialize;

use crate::omit::is_default;

/// Subject of the advisory about every API request.
pub const API_AUDIT_SUBJECT: &str = "$JS.EVENT.ADVISORY.API";
/// Subject of the advisory about API requests that were dropped.
pub const API_LIMIT_SUBJECT: &str = "$JS.EVENT.ADVISORY.API.LIMIT_REACHED";

/// What an advisory has besides what happened.
#[derive(Clone, Copy, Debug)]
pub struct AdvisoryFrame<'a> {
    /// A name of its own.
    pub id: &'a str,
    /// When it was made.
    pub time: Timestamp,
    /// The JetStream domain of the server, if it has one.
    pub domain: Option<&'a str>,
}

/// What an advisory tells.
pub trait Advice: Serialize {
    /// Its type, such as `io.nats.jetstream.advisory.v1.stream_action`.
    fn kind(&self) -> &'static str;
}

/// Who asked for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AdvisedClient {
    /// Number of the connection.
    #[serde(skip_serializing_if = "is_default")]
    pub id: u64,
    /// Name of the account.
    pub acc: String,
    /// Name of the server it is connected to.
    pub server: String,
    /// Always `Client`.
    pub kind: &'static str,
    /// Always `nats`.
    pub client_type: &'static str,
}

/// An API request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiAudit<'a> {
    /// Name of the server that answered.
    pub server: &'a str,
    /// Who asked.
    pub client: &'a AdvisedClient,
    /// What for.
    pub subject: &'a str,
    /// The body of the request.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub request: &'a str,
    /// The body of the answer.
    pub response: &'a str,
}

/// API requests were dropped, for too many waited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiLimitReached<'a> {
    /// Name of the server that dropped them.
    pub server: &'a str,
    /// How many.
    pub dropped: u64,
}

/// A stream was created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamActed<'a> {
    /// Its name.
    pub stream: &'a str,
    /// What was done.
    pub action: StreamAction,
}

/// What was done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamAction {
    /// It is there from now on.
    Create,
    /// Its configuration was updated.
    Modify,
    /// It is gone.
    Delete,
}

impl StreamAction {
    /// The subject of the advisory.
    #[must_use]
    pub fn subject(self, stream: &str) -> String {
        let what = match self {
            Self::Create => "CREATED",
            Self::Modify => "UPDATED",
            Self::Delete => "DELETED",
        };
        format!("$JS.EVENT.ADVISORY.STREAM.{what}.{stream}")
    }
}

/// An atomic batch was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchAbandoned<'a> {
    /// The stream it was for.
    pub stream: &'a str,
    /// Its id.
    pub batch: &'a str,
    /// Why, in one word.
    pub reason: &'a str,
}

impl BatchAbandoned<'_> {
    /// The subject of the advisory.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{}", self.stream)
    }
}

impl Advice for BatchAbandoned<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.stream_batch_abandoned"
    }
}

impl Advice for ApiAudit<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.api_audit"
    }
}

impl Advice for ApiLimitReached<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.api_limit_reached"
    }
}

impl Advice for StreamActed<'_> {
    fn kind(&self) -> &'static str {
        "io.nats.jetstream.advisory.v1.stream_action"
    }
}

/// The body of an advisory.
#[must_use]
pub fn render_advisory<T: Advice>(frame: AdvisoryFrame<'_>, advice: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct Advisory<'a, T> {
        r#type: &'static str,
        id: &'a str,
        timestamp: Timestamp,
        #[serde(flatten)]
        advice: &'a T,
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<&'a str>,
    }
    crate::to_json(&Advisory {
        r#type: advice.kind(),
        id: frame.id,
        timestamp: frame.time,
        advice,
        domain: frame.domain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advisory_has_the_published_keys_in_their_order() {
        let frame = AdvisoryFrame {
            id: "abc",
            time: Timestamp::from_nanos(0),
            domain: Some("hub"),
        };
        let acted = StreamActed {
            stream: "S",
            action: StreamAction::Modify,
        };
        let body = render_advisory(frame, &acted);
        assert_eq!(
            String::from_utf8_lossy(&body),
            r#"{"type":"io.nats.jetstream.advisory.v1.stream_action","id":"abc","timestamp":"1970-01-01T00:00:00Z","stream":"S","action":"modify","domain":"hub"}"#
        );
    }

    #[test]
    fn a_batch_that_was_given_up_is_told_of_with_its_reason() {
        let frame = AdvisoryFrame {
            id: "abc",
            time: Timestamp::from_nanos(0),
            domain: None,
        };
        let abandoned = BatchAbandoned {
            stream: "S",
            batch: "b<1>",
            reason: "timeout",
        };
        assert_eq!(
            abandoned.subject(),
            "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S"
        );
        assert_eq!(
            String::from_utf8_lossy(&render_advisory(frame, &abandoned)),
            r#"{"type":"io.nats.jetstream.advisory.v1.stream_batch_abandoned","id":"abc","timestamp":"1970-01-01T00:00:00Z","stream":"S","batch":"b\u003c1\u003e","reason":"timeout"}"#
        );
    }

    #[test]
    fn an_audit_leaves_out_a_request_without_a_body() {
        let frame = AdvisoryFrame {
            id: "abc",
            time: Timestamp::from_nanos(0),
            domain: None,
        };
        let client = AdvisedClient {
            id: 7,
            acc: "$G".to_owned(),
            server: "n".to_owned(),
            kind: "Client",
            client_type: "nats",
        };
        let audit = ApiAudit {
            server: "n",
            client: &client,
            subject: "$JS.API.INFO",
            request: "",
            response: "{}",
        };
        assert_eq!(
            String::from_utf8_lossy(&render_advisory(frame, &audit)),
            r#"{"type":"io.nats.jetstream.advisory.v1.api_audit","id":"abc","timestamp":"1970-01-01T00:00:00Z","server":"n","client":{"id":7,"acc":"$G","server":"n","kind":"Client","client_type":"nats"},"subject":"$JS.API.INFO","response":"{}"}"#
        );
    }
}
