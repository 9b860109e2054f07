//! What the publisher of a fast batch hears while it publishes.

use serde::Serialize;

use crate::ApiError;
use crate::pub_ack::render_pub_ack;
use crate::render::append_json;

/// A message to the publisher of a fast batch, as JSON with a `type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum BatchFlow {
    /// The batch is stored up to a message, but for gaps; the next acknowledgement comes after so many more.
    Ack {
        /// The message, by its number in the batch.
        seq: u64,
        /// Messages from one acknowledgement to the next.
        msgs: u16,
    },
    /// Messages are missing.
    Gap {
        /// The number that was expected.
        last_seq: u64,
        /// The number that came.
        seq: u64,
    },
    /// A message was refused.
    Err {
        /// Its number in the batch.
        seq: u64,
        /// Why.
        error: ApiError,
    },
}

impl BatchFlow {
    /// The document.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        append_json(&mut out, self);
        out
    }
}

/// The answer to a batch that is over with its first message, which was stored before as `seq`.
#[must_use]
pub fn render_duplicate_batch_ack(stream: &str, seq: u64, id: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    render_pub_ack(&mut out, stream, None, seq, true);
    out.pop();
    out.extend_from_slice(b",\"batch\":");
    append_json(&mut out, &id);
    out.extend_from_slice(b",\"count\":1}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn flow_reads_as_that_of_nats_server() {
        for (flow, text) in [
            (
                BatchFlow::Ack { seq: 4, msgs: 2 },
                r#"{"type":"ack","seq":4,"msgs":2}"#,
            ),
            (
                BatchFlow::Gap {
                    last_seq: 2,
                    seq: 3,
                },
                r#"{"type":"gap","last_seq":2,"seq":3}"#,
            ),
            (
                BatchFlow::Err {
                    seq: 2,
                    error: ErrorCode::StreamNotMatch.error(),
                },
                r#"{"type":"err","seq":2,"error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(flow.render()).expect("text"), text);
        }
        assert_eq!(
            render_duplicate_batch_ack("S", 18, "k"),
            br#"{"stream":"S","seq":18,"duplicate": true,"batch":"k","count":1}"#
        );
    }
}
