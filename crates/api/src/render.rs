//! API answers as bytes.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everjet_values::{StreamSequence, Timestamp};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use crate::{ApiError, ResponseType};

/// Renders the answer to an API request: the type, then the fields of `result`. An error carries the empty lists and
/// zeros that clients expect with this type.
///
/// # Panics
/// When `result` does not serialise to a JSON object: a bug, since all answers are structs of this crate.
#[must_use]
pub fn render_response(kind: ResponseType, result: Result<impl Serialize, &ApiError>) -> Vec<u8> {
    match result {
        Ok(body) => envelope(kind, &to_json(&body)),
        Err(error) => render_error(kind, error),
    }
}

/// Renders the answer to an API request that failed.
#[must_use]
pub fn render_error(kind: ResponseType, error: &ApiError) -> Vec<u8> {
    let mut body = b"{\"error\":".to_vec();
    body.extend_from_slice(&to_json(error));
    body.extend_from_slice(kind.error_fields().as_bytes());
    body.push(b'}');
    envelope(kind, &body)
}

/// Appends the answer to `STREAM.MSG.GET` that shows a message, as [`render_response`] renders a
/// [`MsgGetResponse`](crate::MsgGetResponse), without a copy of the message.
pub fn render_message(
    out: &mut Vec<u8>,
    subject: &[u8],
    sequence: StreamSequence,
    (headers, payload): (&[u8], &[u8]),
    time: Timestamp,
) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(ResponseType::StreamMsgGet.as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":{\"subject\":");
    append_json(out, &String::from_utf8_lossy(subject));
    out.extend_from_slice(b",\"seq\":");
    out.extend_from_slice(itoa::Buffer::new().format(sequence.0).as_bytes());
    for (name, bytes) in [("hdrs", headers), ("data", payload)] {
        if !bytes.is_empty() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            put_base64(out, bytes);
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(time.text().as_str().as_bytes());
    out.extend_from_slice(b"\"}}");
}

fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let space = out.get_mut(start..).unwrap_or_default();
    STANDARD
        .encode_slice(bytes, space)
        .expect("four characters for every three bytes");
}

/// Puts the type in front of the fields of `object`.
fn envelope(kind: ResponseType, object: &[u8]) -> Vec<u8> {
    let fields = object.strip_prefix(b"{").expect("answers are JSON objects");
    let mut out = Vec::with_capacity(object.len() + 80);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_str().as_bytes());
    out.push(b'"');
    if fields != b"}" {
        out.push(b',');
    }
    out.extend_from_slice(fields);
    out
}

/// JSON as Go writes it: `<`, `>`, `&` and the two Unicode line separators are escaped.
///
/// # Panics
/// When `value` can not be JSON, such as a map with keys that are not text: a bug.
#[must_use]
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    append_json(&mut out, value);
    out
}

/// Appends what [`to_json`] gives.
///
/// # Panics
/// As [`to_json`].
pub(crate) fn append_json(out: &mut Vec<u8>, value: &impl Serialize) {
    value
        .serialize(&mut Serializer::with_formatter(out, GoFormatter))
        .expect("types of the API are JSON and memory does not fail");
}

/// The compact form with Go's additional escapes.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain = fragment;
        while let Some(at) = plain.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, rest) = plain.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            let mut characters = rest.chars();
            if let Some(escaped) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(escaped))?;
            }
            plain = characters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, SuccessResponse};

    #[test]
    fn text_is_escaped_as_go_does() {
        for (text, json) in [
            ("plain", r#""plain""#),
            ("orders.>", r#""orders.\u003e""#),
            ("<a&b>", r#""\u003ca\u0026b\u003e""#),
            ("\u{2028}x\u{2029}", r#""\u2028x\u2029""#),
            (
                "tab\tquote\"back\\ bell\u{7} del\u{7f}",
                "\"tab\\tquote\\\"back\\\\ bell\\u0007 del\u{7f}\"",
            ),
            ("\u{8}\u{c}\n\r", r#""\b\f\n\r""#),
            ("caf\u{e9} \u{1f600}", "\"caf\u{e9} \u{1f600}\""),
        ] {
            assert_eq!(String::from_utf8_lossy(&to_json(&text)), json);
        }
    }

    #[test]
    fn a_message_is_shown_like_any_other_answer() {
        for (subject, headers, payload, time) in [
            ("orders.new", "", "", Timestamp::UNSET),
            (
                "a.<\"b\">",
                "NATS/1.0\r\nA: b\r\n\r\n",
                "x",
                Timestamp::from_nanos(1),
            ),
            (
                "caf\u{e9}",
                "",
                "four",
                Timestamp::from_nanos(1_700_000_000_120_000_000),
            ),
            ("s", "NATS/1.0\r\n\r\n", "", Timestamp::from_nanos(0)),
        ] {
            let message = crate::StoredMessage {
                subject: subject.to_owned(),
                seq: StreamSequence(u64::MAX),
                headers: headers.into(),
                data: payload.into(),
                time,
            };
            let mut shown = Vec::new();
            let parts = (headers.as_bytes(), payload.as_bytes());
            render_message(&mut shown, subject.as_bytes(), message.seq, parts, time);
            let response = Ok(crate::MsgGetResponse { message });
            let expected = render_response(ResponseType::StreamMsgGet, response);
            assert_eq!(String::from_utf8(shown), String::from_utf8(expected));
        }
    }

    #[test]
    fn the_type_comes_first() {
        #[derive(Serialize)]
        struct Nothing {}
        let shown = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is UTF-8");
        assert_eq!(
            shown(render_response(
                ResponseType::StreamDelete,
                Ok(SuccessResponse::DONE)
            )),
            r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true}"#
        );
        assert_eq!(
            shown(render_response(ResponseType::ConsumerUnpin, Ok(Nothing {}))),
            r#"{"type":"io.nats.jetstream.api.v1.consumer_unpin_response"}"#
        );
        let failed: Result<Nothing, _> = Err(&ErrorCode::StreamNotFound.error());
        assert_eq!(
            shown(render_response(ResponseType::StreamPurge, failed)),
            concat!(
                r#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","error":{"code":404,"err_code":10059,"#,
                r#""description":"stream not found"},"purged":0}"#
            )
        );
    }
}
