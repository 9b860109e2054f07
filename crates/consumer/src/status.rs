//! Statuses: empty messages whose header block tells a client how its request or subscription stands.
//!
//! Clients decide by code and text, so both are those of nats-server, byte for byte.

use everjet_wire::HeaderBuilder;

use crate::state::Position;

/// Part of a pull request that was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unserved {
    /// Messages.
    pub(crate) messages: i64,
    /// Bytes; zero when the request has no limit.
    pub(crate) bytes: i64,
}

/// A status without further headers, such as `404 No Messages`.
pub(crate) fn plain(code: u16, text: &str) -> Vec<u8> {
    HeaderBuilder::with_status(code, text).finish()
}

/// A status that ends a pull request before it was served completely.
pub(crate) fn ended(code: u16, text: &str, unserved: Unserved) -> Vec<u8> {
    HeaderBuilder::with_status(code, text)
        .add("Nats-Pending-Messages", unserved.messages.to_string())
        .add("Nats-Pending-Bytes", unserved.bytes.to_string())
        .finish()
}

/// `100 Idle Heartbeat`; `stalled` is the flow control request that was not answered yet.
pub(crate) fn heartbeat(delivered: Position, stalled: &[u8]) -> Vec<u8> {
    let mut headers = HeaderBuilder::with_status(100, "Idle Heartbeat")
        .add("Nats-Last-Consumer", delivered.consumer.to_string())
        .add("Nats-Last-Stream", delivered.stream.to_string());
    if !stalled.is_empty() {
        headers.push("Nats-Consumer-Stalled", stalled);
    }
    headers.finish()
}

/// Headers of a message whose payload is left out: the stored ones and the payload's size.
pub(crate) fn without_payload(stored: &[u8], payload_length: usize) -> Vec<u8> {
    with_line(stored, &format!("Nats-Msg-Size: {payload_length}\r\n\r\n"))
}

/// Headers of a message for the pinned client.
pub(crate) fn with_pin(headers: &[u8], pin: &str) -> Vec<u8> {
    with_line(headers, &format!("Nats-Pin-Id: {pin}\r\n\r\n"))
}

/// The headers, which may be none, with one line more and the empty one.
fn with_line(headers: &[u8], line: &str) -> Vec<u8> {
    match headers.strip_suffix(b"\r\n") {
        Some(lines) => [lines, line.as_bytes()].concat(),
        None => [b"NATS/1.0\r\n", line.as_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use everjet_values::{ConsumerSequence, StreamSequence};

    use super::*;

    fn check(headers: &[u8], expected: &str) {
        assert_eq!(String::from_utf8_lossy(headers), expected);
    }

    #[test]
    fn statuses_read_as_those_of_nats_server() {
        check(
            &plain(404, "No Messages"),
            "NATS/1.0 404 No Messages\r\n\r\n",
        );
        let unserved = Unserved {
            messages: 3,
            bytes: 0,
        };
        check(
            &ended(408, "Request Timeout", unserved),
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n",
        );
        let delivered = Position {
            consumer: ConsumerSequence(17),
            stream: StreamSequence(13),
        };
        check(
            &heartbeat(delivered, b""),
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 17\r\nNats-Last-Stream: 13\r\n\r\n",
        );
        check(
            &heartbeat(delivered, b"$JS.FC.S.C.abcd"),
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 17\r\nNats-Last-Stream: 13\r\n\
             Nats-Consumer-Stalled: $JS.FC.S.C.abcd\r\n\r\n",
        );
    }

    #[test]
    fn a_message_without_payload_tells_its_size() {
        check(
            &without_payload(b"", 5),
            "NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n",
        );
        check(
            &without_payload(b"NATS/1.0\r\nA: b\r\n\r\n", 12),
            "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 12\r\n\r\n",
        );
        check(
            &with_pin(b"NATS/1.0\r\nA: b\r\n\r\n", "p"),
            "NATS/1.0\r\nA: b\r\nNats-Pin-Id: p\r\n\r\n",
        );
    }
}
