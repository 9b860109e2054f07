//! What a client receives.

use crate::Message;

/// A `PING` line.
pub const PING: &[u8] = b"PING\r\n";
/// A `PONG` line.
pub const PONG: &[u8] = b"PONG\r\n";
/// A `+OK` line.
pub const OK: &[u8] = b"+OK\r\n";

/// Appends `MSG subject sid [reply] size` and the payload. An empty `reply` is left out.
pub fn put_msg(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], reply: &[u8], payload: &[u8]) {
    let mut size = itoa::Buffer::new();
    let size = size.format(payload.len()).as_bytes();
    out.reserve(LINE_EXTRA + subject.len() + sid.len() + reply.len() + payload.len());
    put_start(out, b"MSG ", subject, sid, reply);
    out.extend_from_slice(size);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends `HMSG subject sid [reply] header-size total-size`, the header block and the payload. An empty `reply` is
/// left out; `headers` is a whole block with its empty line.
pub fn put_hmsg(
    out: &mut Vec<u8>,
    subject: &[u8],
    sid: &[u8],
    reply: &[u8],
    headers: &[u8],
    payload: &[u8],
) {
    let body = headers.len() + payload.len();
    let mut header_size = itoa::Buffer::new();
    let header_size = header_size.format(headers.len()).as_bytes();
    let mut size = itoa::Buffer::new();
    let size = size.format(body).as_bytes();
    out.reserve(LINE_EXTRA + subject.len() + sid.len() + reply.len() + body);
    put_start(out, b"HMSG ", subject, sid, reply);
    out.extend_from_slice(header_size);
    out.push(b' ');
    out.extend_from_slice(size);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends a message as the receiver can read it: without its headers when the receiver does not support them, and as
/// `MSG` when it has none.
pub fn put_message(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    sid: &[u8],
    receiver_supports_headers: bool,
) {
    let Message {
        subject,
        reply,
        headers,
        payload,
    } = *message;
    if headers.is_empty() || !receiver_supports_headers {
        put_msg(out, subject, sid, reply, payload);
    } else {
        put_hmsg(out, subject, sid, reply, headers, payload);
    }
}

/// Appends a `MSG` whose bytes from the reply subject on are known: [`PlainPublish::rest`](crate::PlainPublish::rest).
pub fn put_forwarded(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], rest: &[u8]) {
    out.reserve(LINE_EXTRA + subject.len() + sid.len() + rest.len());
    put_start(out, b"MSG ", subject, sid, &[]);
    out.extend_from_slice(rest);
}

/// Appends `-ERR 'text'`. Clients match the texts, and some close for good on one they do not know: use published ones
/// only.
pub fn put_err(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// More than operation, separators, two sizes and two line ends take.
const LINE_EXTRA: usize = 56;

/// Everything before the sizes.
fn put_start(out: &mut Vec<u8>, operation: &[u8], subject: &[u8], sid: &[u8], reply: &[u8]) {
    out.extend_from_slice(operation);
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_with_single_blanks() {
        let headers = b"NATS/1.0\r\nA: b\r\n\r\n";
        for (reply, headers, payload, supported, expected) in [
            ("", &b""[..], "hello", true, "MSG a.b 9 5\r\nhello\r\n"),
            ("", b"", "", true, "MSG a.b 9 0\r\n\r\n"),
            ("r.1", b"", "hi", false, "MSG a.b 9 r.1 2\r\nhi\r\n"),
            (
                "",
                headers,
                "hi",
                true,
                "HMSG a.b 9 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n",
            ),
            (
                "r.1",
                headers,
                "",
                true,
                "HMSG a.b 9 r.1 18 18\r\nNATS/1.0\r\nA: b\r\n\r\n\r\n",
            ),
            ("r.1", headers, "hi", false, "MSG a.b 9 r.1 2\r\nhi\r\n"),
        ] {
            let message = Message {
                subject: b"a.b",
                reply: reply.as_bytes(),
                headers,
                payload: payload.as_bytes(),
            };
            let mut out = b"+OK\r\n".to_vec();
            put_message(&mut out, &message, b"9", supported);
            let out = String::from_utf8(out).expect("a text");
            assert_eq!(out.strip_prefix("+OK\r\n"), Some(expected));
        }
    }

    #[test]
    fn one_reservation_is_enough() {
        let body = vec![b'x'; 1 << 20];
        let mut out = Vec::new();
        put_hmsg(&mut out, b"s", b"1", b"r", &body, &body);
        let capacity_max = LINE_EXTRA + 3 + 2 * body.len();
        assert!(out.len() <= capacity_max && out.capacity() <= capacity_max);
    }

    #[test]
    fn errors_are_quoted() {
        let mut out = Vec::new();
        put_err(&mut out, "Unknown Protocol Operation");
        assert_eq!(out, b"-ERR 'Unknown Protocol Operation'\r\n");
    }
}
