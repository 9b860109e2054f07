//! The answer to a publish.

use everjet_values::StreamSequence;
use serde::{Deserialize, Serialize};

use crate::ApiError;
use crate::omit::{is_default, is_false};
use crate::render::append_json;

/// The answer to a publish, as a client decodes it. Servers use [`render_pub_ack`] and [`render_pub_ack_error`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PubAck {
    /// Why the message was not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    /// The stream that answers.
    pub stream: String,
    /// Sequence of the message; zero with an error.
    pub seq: StreamSequence,
    /// The domain of the server; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The message was stored before, as `seq`.
    #[serde(skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// Value of the counter.
    #[serde(rename = "val", skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Id of the batch.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub batch: String,
    /// Messages in the batch.
    #[serde(skip_serializing_if = "is_default")]
    pub count: u64,
}

/// Appends the answer to a publish that was stored, or was stored before as `seq`.
///
/// This is the most frequent answer of all, so it is rendered by hand. The blank before `true` is that of nats-server.
pub fn render_pub_ack(
    out: &mut Vec<u8>,
    stream: &str,
    domain: Option<&str>,
    seq: u64,
    duplicate: bool,
) {
    out.extend_from_slice(b"{\"stream\":\"");
    // A stream name has no character that JSON escapes, except by the rule of Go for `&` and `<`.
    append_text(out, stream);
    if let Some(domain) = domain {
        out.extend_from_slice(b"\",\"domain\":\"");
        append_text(out, domain);
    }
    out.extend_from_slice(b"\",\"seq\":");
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
    if duplicate {
        out.extend_from_slice(b",\"duplicate\": true");
    }
    out.push(b'}');
}

/// Appends the answer to a publish that added to a counter, which has `value` now: digits, perhaps after a sign.
pub fn render_counter_ack(
    out: &mut Vec<u8>,
    stream: &str,
    domain: Option<&str>,
    seq: u64,
    value: &str,
) {
    render_pub_ack(out, stream, domain, seq, false);
    out.pop();
    out.extend_from_slice(b",\"val\":\"");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends the answer to the commit of a batch, whose last message has the sequence `seq`.
pub fn render_batch_ack(
    out: &mut Vec<u8>,
    stream: &str,
    domain: Option<&str>,
    seq: u64,
    id: &str,
    count: u64,
) {
    render_pub_ack(out, stream, domain, seq, false);
    out.pop();
    out.extend_from_slice(b",\"batch\":");
    append_json(out, &id);
    out.extend_from_slice(b",\"count\":");
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.push(b'}');
}

/// The answers to many publishes of one stream: what is the same in all of them is rendered once.
#[derive(Clone, Debug)]
pub struct PubAcks {
    /// Up to the sequence.
    start: Vec<u8>,
    line: Vec<u8>,
}

/// One of [`PubAcks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAckLine<'a> {
    /// What follows the `sid` in the `MSG` that a receiver gets: size, answer, line ends.
    pub rest: &'a [u8],
    /// The answer, as [`render_pub_ack`] renders it.
    pub payload: &'a [u8],
}

impl PubAcks {
    /// The answers of a stream.
    #[must_use]
    pub fn new(stream: &str, domain: Option<&str>) -> Self {
        let mut start = Vec::with_capacity(48 + stream.len());
        render_pub_ack(&mut start, stream, domain, 0, false);
        start.truncate(start.len() - b"0}".len());
        let line = Vec::with_capacity(start.len() + 48);
        Self { start, line }
    }

    /// The answer to a publish that was stored as `seq`, and not before.
    pub fn stored(&mut self, seq: u64) -> PubAckLine<'_> {
        const END: &[u8] = b"}\r\n";
        let Self { start, line } = self;
        let (mut seq_digits, mut size_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let seq = seq_digits.format(seq).as_bytes();
        let size = start.len() + seq.len() + 1;
        line.clear();
        line.extend_from_slice(size_digits.format(size).as_bytes());
        line.extend_from_slice(b"\r\n");
        let from = line.len();
        line.extend_from_slice(start);
        line.extend_from_slice(seq);
        line.extend_from_slice(END);
        PubAckLine {
            rest: line,
            payload: &line[from..from + size],
        }
    }
}

/// Appends the answer to a publish that was refused. It never names the domain.
pub fn render_pub_ack_error(out: &mut Vec<u8>, stream: &str, error: &ApiError) {
    append_json(
        out,
        &PubAck {
            error: Some(error.clone()),
            stream: stream.to_owned(),
            ..PubAck::default()
        },
    );
}

/// Appends what stands between the quotes of a JSON string.
fn append_text(out: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    {
        out.extend_from_slice(text.as_bytes());
    } else {
        // The opening quote is written already and the caller writes the closing one.
        out.pop();
        append_json(out, &text);
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    fn check(stream: &str, domain: Option<&str>, seq: u64, duplicate: bool, expected: &str) {
        let mut out = Vec::new();
        render_pub_ack(&mut out, stream, domain, seq, duplicate);
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let ack: PubAck = serde_json::from_slice(&out).expect("it is JSON");
        assert_eq!(
            ack,
            PubAck {
                stream: stream.to_owned(),
                seq: StreamSequence(seq),
                domain: domain.unwrap_or_default().to_owned(),
                duplicate,
                ..PubAck::default()
            }
        );
    }

    #[test]
    fn many_answers_are_those_that_are_rendered_one_by_one() {
        for (stream, domain) in [("ORDERS", None), ("a<b", None), ("S", Some("hub"))] {
            let mut acks = PubAcks::new(stream, domain);
            for seq in [0, 1, 9, 10, 12_345, u64::MAX] {
                let mut payload = Vec::new();
                render_pub_ack(&mut payload, stream, domain, seq, false);
                let mut rest = format!("{}\r\n", payload.len()).into_bytes();
                rest.extend_from_slice(&payload);
                rest.extend_from_slice(b"\r\n");
                let line = acks.stored(seq);
                assert_eq!((line.payload, line.rest), (&payload[..], &rest[..]));
            }
        }
    }

    #[test]
    fn a_stored_message_is_answered_with_stream_and_sequence() {
        check("ORDERS", None, 1, false, r#"{"stream":"ORDERS","seq":1}"#);
        check(
            "ORDERS",
            None,
            u64::MAX,
            true,
            r#"{"stream":"ORDERS","seq":18446744073709551615,"duplicate": true}"#,
        );
        check(
            "A&\"B",
            Some("hub"),
            7,
            false,
            r#"{"stream":"A\u0026\"B","domain":"hub","seq":7}"#,
        );
    }

    #[test]
    fn a_counter_is_answered_with_its_value() {
        let mut out = Vec::new();
        render_counter_ack(&mut out, "C", Some("hub"), 7, "-12");
        let expected = r#"{"stream":"C","domain":"hub","seq":7,"val":"-12"}"#;
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let ack: PubAck = serde_json::from_slice(&out).expect("it is JSON");
        assert_eq!(ack.value, "-12");
    }

    #[test]
    fn a_refused_message_is_answered_with_sequence_zero() {
        let mut out = Vec::new();
        render_pub_ack_error(&mut out, "ORDERS", &ErrorCode::StreamNotMatch.error());
        assert_eq!(
            String::from_utf8_lossy(&out),
            concat!(
                r#"{"error":{"code":400,"err_code":10060,"description":"expected stream does not match"},"#,
                r#""stream":"ORDERS","seq":0}"#
            )
        );
    }
}
