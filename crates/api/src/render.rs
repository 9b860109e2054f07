//! API answers as bytes.

use std::io;

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
