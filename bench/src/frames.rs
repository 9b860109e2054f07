//! Taking apart what a server sends to a client that requests or answers.

use memchr::memchr;

/// One whole frame from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `PING`: wants a `PONG`.
    Ping,
    /// A message: its subject, its reply subject, and its headers and payload.
    Message {
        subject: &'a [u8],
        reply: &'a [u8],
        body: &'a [u8],
    },
}

/// The first frame in `bytes` and where the next one starts; none when it is not whole yet.
///
/// # Panics
/// At anything else, an error for example: the load is not what the server thinks.
pub(crate) fn next(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let line_end = memchr(b'\n', bytes)?;
    let line = &bytes[..line_end];
    if line == b"PING\r" {
        return Some((Frame::Ping, line_end + 1));
    }
    let mut fields = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .split(|&byte| byte == b' ');
    let start = [fields.next(), fields.next(), fields.next()];
    let rest = [fields.next(), fields.next(), fields.next(), fields.next()];
    let [Some(kind @ (b"MSG" | b"HMSG")), Some(subject), Some(_sid)] = start else {
        panic!("unexpected {:?}", String::from_utf8_lossy(line));
    };
    // With headers, their size comes before that of the whole.
    let (reply, size) = match (kind, rest) {
        (b"MSG", [Some(size), None, ..]) | (b"HMSG", [Some(_), Some(size), None, _]) => {
            (&b""[..], size)
        }
        (b"MSG", [Some(reply), Some(size), None, _])
        | (b"HMSG", [Some(reply), Some(_), Some(size), None]) => (reply, size),
        _ => panic!("unexpected {:?}", String::from_utf8_lossy(line)),
    };
    let size: usize = std::str::from_utf8(size)
        .ok()
        .and_then(|size| size.parse().ok())
        .expect("the server announces a size");
    let end = line_end + 1 + size + 2;
    let body = bytes.get(line_end + 1..end)?;
    let frame = Frame::Message {
        subject,
        reply,
        body: &body[..size],
    };
    Some((frame, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_taken_apart() {
        fn check(bytes: &str, expected: Option<(Frame<'_>, usize)>) {
            assert_eq!(next(bytes.as_bytes()), expected, "{bytes:?}");
        }
        let message = |reply, body| Frame::Message {
            subject: b"a",
            reply,
            body,
        };
        let (nothing, xx) = (&b""[..], &b"xx"[..]);
        check("MSG a 1 2\r\nxx\r\n", Some((message(nothing, xx), 15)));
        check(
            "MSG a 1 r.1 2\r\nxx\r\nMSG",
            Some((message(b"r.1", xx), 19)),
        );
        let with_headers = "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nxx\r\n";
        let body = b"NATS/1.0\r\n\r\nxx";
        check(with_headers, Some((message(nothing, body), 32)));
        check("MSG a 1 2\r\nxx\r", None);
        check("MSG a 1", None);
        check("PING\r\nMSG", Some((Frame::Ping, 6)));
        check("", None);
    }

    #[test]
    #[should_panic(expected = "unexpected \"-ERR 'Slow Consumer'")]
    fn an_error_of_the_server_ends_the_run() {
        let _ = next(b"-ERR 'Slow Consumer'\r\n");
    }
}
