//! Frames as a log shows them when the protocol is traced.

use std::fmt::Write;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::put_quoted;

/// Keys of `CONNECT` whose values nobody may read in a log, in lower case.
const SECRETS: [&str; 5] = ["auth_token", "jwt", "pass", "proxy_sig", "sig"];

const REDACTED: &str = "[REDACTED]";

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceDirection {
    /// From the client.
    In,
    /// To the client.
    Out,
}

impl TraceDirection {
    const fn arrow(self) -> &'static str {
        match self {
            Self::In => "<<-",
            Self::Out => "->>",
        }
    }
}

/// How much of a message is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Bytes of a payload that are shown, headers included; `None` for all (`max_traced_msg_len`).
    pub payload_max: Option<usize>,
    /// Whether only the headers of a message are shown (`trace_headers`).
    pub headers_only: bool,
}

/// Shows whole frames, a line of text each and one more for the payload of a message: `<<- [PUB foo 5]`,
/// `<<- MSG_PAYLOAD: ["hello"]`, `->> [OK]`. Secrets of `CONNECT` are left out, and so is `INFO` to clients.
pub fn trace(
    mut bytes: &[u8],
    direction: TraceDirection,
    options: &TraceOptions,
    mut show: impl FnMut(&str),
) {
    while let Some(feed) = memchr::memchr(b'\n', bytes) {
        let (line, rest) = bytes.split_at(feed + 1);
        let line = String::from_utf8_lossy(line.trim_ascii());
        bytes = rest;
        let (verb, arguments) = match line.split_once([' ', '\t']) {
            Some((verb, arguments)) => (verb.to_ascii_uppercase(), arguments.trim_start()),
            None => (line.to_ascii_uppercase(), ""),
        };
        if let Some(text) = control_line(direction, &verb, arguments) {
            show(&format!("{} [{text}]", direction.arrow()));
        }
        let Some((headers, total)) = sizes(&verb, arguments) else {
            continue;
        };
        let payload = bytes.get(..total).unwrap_or(bytes);
        bytes = bytes.get(total.saturating_add(2)..).unwrap_or_default();
        if let Some(text) = payload_text(payload, headers, options) {
            show(&format!("{} MSG_PAYLOAD: [{text}]", direction.arrow()));
        }
    }
}

fn control_line(direction: TraceDirection, verb: &str, arguments: &str) -> Option<String> {
    Some(match (direction, verb) {
        (TraceDirection::Out, "INFO") => return None,
        (TraceDirection::Out, "+OK") => "OK".to_owned(),
        (TraceDirection::Out, "-ERR") => format!("-ERR {}", arguments.trim_matches('\'')),
        (_, "CONNECT") => format!("CONNECT {}", without_secrets(arguments)),
        // A CONNECT without a blank behind it is none that can be taken apart here.
        (_, _) if verb.starts_with("CONNECT") => format!("CONNECT {REDACTED}"),
        _ if arguments.is_empty() => verb.to_owned(),
        _ => format!("{verb} {arguments}"),
    })
}

/// Bytes of the headers and of the whole payload behind the line, if it is that of a message.
fn sizes(verb: &str, arguments: &str) -> Option<(usize, usize)> {
    let mut last = arguments.split_ascii_whitespace().rev();
    let mut number = || last.next()?.parse::<usize>().ok();
    match verb {
        "PUB" | "MSG" => number().map(|total| (0, total)),
        "HPUB" | "HMSG" => {
            let total = number()?;
            number().map(|headers| (headers, total))
        }
        _ => None,
    }
}

fn payload_text(payload: &[u8], headers: usize, options: &TraceOptions) -> Option<String> {
    let shown = if options.headers_only {
        let headers = payload.get(..headers)?;
        headers.strip_suffix(b"\r\n\r\n").unwrap_or(headers)
    } else {
        payload
    };
    if shown.is_empty() {
        return None;
    }
    let cut = options
        .payload_max
        .and_then(|max| shown.get(..max))
        .filter(|cut| cut.len() < shown.len());
    let mut quoted = Vec::new();
    put_quoted(&mut quoted, cut.unwrap_or(shown));
    let mut text = String::from_utf8_lossy(&quoted).into_owned();
    if cut.is_some() {
        text.insert_str(text.len() - 1, "...");
    }
    Some(text)
}

/// The options of a `CONNECT` in their order, secrets replaced. What is not JSON may hold a password anywhere: nothing of it is shown.
fn without_secrets(json: &str) -> String {
    let Ok(Pairs(pairs)) = serde_json::from_str(json) else {
        return REDACTED.to_owned();
    };
    let mut text = String::from("{");
    for (key, value) in pairs {
        let is_secret = SECRETS.contains(&key.to_ascii_lowercase().as_str());
        let value = if is_secret && value != "" {
            Value::from(REDACTED)
        } else {
            value
        };
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a text cannot fail.
        let _ = write!(text, "{comma}{}:{value}", Value::from(key));
    }
    text.push('}');
    text
}

/// An object as it was written: in order, and with repeated keys.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(direction: TraceDirection, options: TraceOptions, bytes: &[u8], expected: &[&str]) {
        let mut lines = Vec::new();
        trace(bytes, direction, &options, |line| {
            lines.push(line.to_owned());
        });
        assert_eq!(lines, expected);
    }

    /// As nats-server 2.15.1 shows them with `-DV`.
    #[test]
    fn frames_are_shown_as_nats_server_shows_them() {
        check(
            TraceDirection::In,
            TraceOptions::default(),
            b"pub \t foo.a  5\r\nhello\r\nHPUB foo.b rep 12 16\r\nNATS/1.0\r\n\r\nabcd\r\nPING\nSUB foo q 7\r\nUNSUB 7 9\r\nPUB x 0\r\n\r\n",
            &[
                "<<- [PUB foo.a  5]",
                "<<- MSG_PAYLOAD: [\"hello\"]",
                "<<- [HPUB foo.b rep 12 16]",
                "<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nabcd\"]",
                "<<- [PING]",
                "<<- [SUB foo q 7]",
                "<<- [UNSUB 7 9]",
                "<<- [PUB x 0]",
            ],
        );
        check(
            TraceDirection::Out,
            TraceOptions::default(),
            b"INFO {} \r\n+OK\r\nPONG\r\n-ERR 'Invalid Subject'\r\nMSG a 1 2\r\nhi\r\nHMSG b 2 r 12 12\r\nNATS/1.0\r\n\r\n\r\n",
            &[
                "->> [OK]",
                "->> [PONG]",
                "->> [-ERR Invalid Subject]",
                "->> [MSG a 1 2]",
                "->> MSG_PAYLOAD: [\"hi\"]",
                "->> [HMSG b 2 r 12 12]",
                "->> MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\n\"]",
            ],
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let connect = |json: &str, expected: &str| {
            let line = format!("CONNECT {json}\r\n");
            let expected = format!("<<- [CONNECT {expected}]");
            let options = TraceOptions::default();
            check(TraceDirection::In, options, line.as_bytes(), &[&expected]);
        };
        connect(
            r#"{"verbose":true,"user":"ada","pass":"s3\"cret","Auth_Token" : "x","sig":"y","jwt":"","name":"pass","pass":["z"]}"#,
            r#"{"verbose":true,"user":"ada","pass":"[REDACTED]","Auth_Token":"[REDACTED]","sig":"[REDACTED]","jwt":"","name":"pass","pass":"[REDACTED]"}"#,
        );
        connect("{}", "{}");
        connect(r#"{"pass":"s3cret""#, "[REDACTED]");
        connect(r#"{"pass":"s3cret"} "pass":"s3cret""#, "[REDACTED]");
        check(
            TraceDirection::In,
            TraceOptions::default(),
            b"CONNECT{\"pass\":\"x\"}\r\n",
            &["<<- [CONNECT [REDACTED]]"],
        );
    }

    #[test]
    fn payloads_are_cut_where_asked() {
        let options = |payload_max, headers_only| TraceOptions {
            payload_max,
            headers_only,
        };
        let frame = b"HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n";
        let cut = |options, expected: &str| {
            check(
                TraceDirection::In,
                options,
                frame,
                &["<<- [HPUB a 12 17]", expected],
            );
        };
        cut(options(Some(4), false), "<<- MSG_PAYLOAD: [\"NATS...\"]");
        cut(
            options(Some(17), false),
            "<<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\nhello\"]",
        );
        cut(options(None, true), "<<- MSG_PAYLOAD: [\"NATS/1.0\"]");
        cut(options(Some(6), true), "<<- MSG_PAYLOAD: [\"NATS/1...\"]");
        check(
            TraceDirection::In,
            options(None, true),
            b"PUB a 2\r\nhi\r\n",
            &["<<- [PUB a 2]"],
        );
    }
}
