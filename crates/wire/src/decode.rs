//! From the bytes of a client to frames.

use memchr::memchr;

use crate::{DecodeError, Frame, Message};

/// What a connection allows; part of it becomes known with its `CONNECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument part of a line in bytes: without the operation, one separator and the line end. 4096 unless
    /// configured.
    pub control_line_max: usize,
    /// Largest headers and payload together in bytes. 1 MiB unless configured.
    pub payload_max: usize,
    /// Whether `HPUB` is allowed: the server supports headers and `CONNECT` asked for them.
    pub headers: bool,
}

impl Default for Limits {
    /// The limits before `CONNECT` of a server that is not configured otherwise.
    fn default() -> Self {
        Self {
            control_line_max: 4096,
            payload_max: 1 << 20,
            headers: false,
        }
    }
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame.
    Frame {
        /// The frame, borrowing from the bytes.
        frame: Frame<'a>,
        /// How many bytes it took; the next frame starts there.
        used: usize,
    },
    /// More bytes are needed.
    Incomplete {
        /// How many bytes the frame has in total once its line has said so, otherwise 0.
        needed: usize,
    },
}

/// Reads the first frame in `bytes`.
///
/// Keeps no state: when the frame is incomplete, call again from its start with more bytes. What is wrong is refused as
/// soon as it is seen: an operation by its first wrong byte, a line when it is too long even without an end, a payload
/// that is too large by its announced size.
///
/// Operations are read in any case, runs of blanks and tabs count as one separator, and lines may end in a bare LF;
/// payloads end in exactly CRLF. Unlike nats-server, which skips it without bound, what follows `PING`, `PONG` and
/// `+OK` on their line counts towards [`Limits::control_line_max`], and so do leading blanks.
///
/// # Errors
/// A [`DecodeError`]; the connection is to be closed.
pub fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Decoded<'a>, DecodeError> {
    // What clients of this decade send is told apart by four bytes; everything else is spelled out.
    let (operation, start) = match bytes.first_chunk::<4>() {
        Some(b"PUB ") => (Operation::Publish, 4),
        Some(b"HPUB") if bytes.get(4) == Some(&b' ') => (Operation::PublishHeaders, 5),
        _ => match operation(bytes)? {
            Some(found) => found,
            None => return Ok(INCOMPLETE),
        },
    };
    let Some(line) = line(bytes, start, limits)? else {
        return Ok(INCOMPLETE);
    };
    let frame = match operation {
        Operation::Publish => return publish(bytes, &line, limits),
        Operation::PublishHeaders => return publish_headers(bytes, &line, limits),
        Operation::Subscribe => subscribe(line.arguments)?,
        Operation::Unsubscribe => unsubscribe(line.arguments)?,
        Operation::Ping => Frame::Ping,
        Operation::Pong => Frame::Pong,
        Operation::Connect => Frame::Connect(trim_start(line.arguments)),
        Operation::Info => Frame::Info(trim_start(line.arguments)),
        Operation::Ok => Frame::Ok,
        Operation::Err => Frame::Err(trim_start(line.arguments)),
    };
    let used = line.end;
    Ok(Decoded::Frame { frame, used })
}

const INCOMPLETE: Decoded<'static> = Decoded::Incomplete { needed: 0 };

#[derive(Clone, Copy)]
enum Operation {
    Connect,
    Publish,
    PublishHeaders,
    Subscribe,
    Unsubscribe,
    Ping,
    Pong,
    Info,
    Ok,
    Err,
}

/// Name, operation, and whether a blank has to follow the name. No name starts another.
const OPERATIONS: [(&[u8], Operation, bool); 10] = [
    (b"PING", Operation::Ping, false),
    (b"PONG", Operation::Pong, false),
    (b"PUB", Operation::Publish, true),
    (b"HPUB", Operation::PublishHeaders, true),
    (b"SUB", Operation::Subscribe, true),
    (b"UNSUB", Operation::Unsubscribe, true),
    (b"CONNECT", Operation::Connect, false),
    (b"INFO", Operation::Info, false),
    (b"+OK", Operation::Ok, false),
    (b"-ERR", Operation::Err, true),
];

/// The operation and where its arguments start; none while the bytes are the beginning of one.
fn operation(bytes: &[u8]) -> Result<Option<(Operation, usize)>, DecodeError> {
    for (name, operation, wants_blank) in OPERATIONS {
        let known = bytes.len().min(name.len());
        let (head, rest) = bytes.split_at(known);
        if !name
            .get(..known)
            .is_some_and(|name| name.eq_ignore_ascii_case(head))
        {
            continue;
        }
        return match rest.first() {
            None => Ok(None),
            Some(byte) if is_blank(*byte) => Ok(Some((operation, known + 1))),
            Some(_) if wants_blank => Err(DecodeError::UnknownOperation),
            Some(_) => Ok(Some((operation, known))),
        };
    }
    Err(DecodeError::UnknownOperation)
}

/// A whole control line.
struct Line<'a> {
    /// What follows the operation and one separator, without the line end.
    arguments: &'a [u8],
    /// Where the line ends in the bytes it was read from, its end included.
    end: usize,
}

/// The line whose arguments start at `start`; none when it has no end yet.
fn line<'a>(
    bytes: &'a [u8],
    start: usize,
    limits: &Limits,
) -> Result<Option<Line<'a>>, DecodeError> {
    let rest = bytes.get(start..).unwrap_or_default();
    // A line of legal length ends in this window, so a line without end is not searched over and over to the end of
    // a large buffer.
    let window = limits.control_line_max.saturating_add(2);
    let rest = rest.get(..window).unwrap_or(rest);
    let feed = memchr(b'\n', rest);
    let arguments = rest.get(..feed.unwrap_or(rest.len())).unwrap_or_default();
    let arguments = arguments.strip_suffix(b"\r").unwrap_or(arguments);
    if arguments.len() > limits.control_line_max {
        return Err(DecodeError::ControlLineTooLong);
    }
    Ok(feed.map(|feed| Line {
        arguments,
        end: start + feed + 1,
    }))
}

/// `PUB subject [reply] size`, then the payload.
fn publish<'a>(
    bytes: &'a [u8],
    line: &Line<'a>,
    limits: &Limits,
) -> Result<Decoded<'a>, DecodeError> {
    let (rest, size) = trailing_size(line.arguments)?;
    let (subject, reply) = subject_and_reply(rest)?;
    if size > limits.payload_max {
        return Err(DecodeError::PayloadTooLarge);
    }
    let body = match body(bytes, line.end, size)? {
        Body::Whole(body) => body,
        Body::Missing { needed } => return Ok(Decoded::Incomplete { needed }),
    };
    let message = Message {
        subject,
        reply,
        headers: &[],
        payload: body,
    };
    Ok(whole(message, line, size))
}

/// `HPUB subject [reply] header-size total-size`, then headers and payload.
fn publish_headers<'a>(
    bytes: &'a [u8],
    line: &Line<'a>,
    limits: &Limits,
) -> Result<Decoded<'a>, DecodeError> {
    if !limits.headers {
        return Err(DecodeError::HeaderViolation);
    }
    let (rest, size) = trailing_size(line.arguments)?;
    let (rest, header_size) = trailing_size(rest)?;
    let (subject, reply) = subject_and_reply(rest)?;
    if header_size > size {
        return Err(DecodeError::Malformed);
    }
    if size > limits.payload_max {
        return Err(DecodeError::PayloadTooLarge);
    }
    let body = match body(bytes, line.end, size)? {
        Body::Whole(body) => body,
        Body::Missing { needed } => return Ok(Decoded::Incomplete { needed }),
    };
    let (headers, payload) = body
        .split_at_checked(header_size)
        .ok_or(DecodeError::Malformed)?;
    let message = Message {
        subject,
        reply,
        headers,
        payload,
    };
    Ok(whole(message, line, size))
}

fn whole<'a>(message: Message<'a>, line: &Line<'_>, size: usize) -> Decoded<'a> {
    Decoded::Frame {
        frame: Frame::Publish(message),
        used: line.end + size + CRLF.len(),
    }
}

const CRLF: &[u8; 2] = b"\r\n";

enum Body<'a> {
    Whole(&'a [u8]),
    Missing { needed: usize },
}

/// The `size` bytes from `start`, which CRLF has to follow. `size` has at most nine digits, so sums do not overflow.
fn body(bytes: &[u8], start: usize, size: usize) -> Result<Body<'_>, DecodeError> {
    let end = start + size;
    let Some((before, after)) = bytes.split_at_checked(end) else {
        let needed = end + CRLF.len();
        return Ok(Body::Missing { needed });
    };
    match after {
        [b'\r', b'\n', ..] => Ok(Body::Whole(before.get(start..).unwrap_or_default())),
        [] | [b'\r'] => Ok(Body::Missing {
            needed: end + CRLF.len(),
        }),
        _ => Err(DecodeError::PayloadNotTerminated),
    }
}

/// `SUB subject [queue] sid`.
fn subscribe(arguments: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let mut words = words(arguments);
    let words = (words.next(), words.next(), words.next(), words.next());
    let (subject, queue, sid) = match words {
        (Some(subject), Some(sid), None, _) => (subject, &[][..], sid),
        (Some(subject), Some(queue), Some(sid), None) => (subject, queue, sid),
        _ => return Err(DecodeError::Malformed),
    };
    Ok(Frame::Subscribe {
        subject,
        queue,
        sid,
    })
}

/// `UNSUB sid [max]`. As in nats-server a maximum that is zero or no number at all means now.
fn unsubscribe(arguments: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let mut words = words(arguments);
    let (Some(sid), max, None) = (words.next(), words.next(), words.next()) else {
        return Err(DecodeError::Malformed);
    };
    let max = max.and_then(count).filter(|max| *max > 0);
    Ok(Frame::Unsubscribe { sid, max })
}

/// The words of a `SUB` or `UNSUB` line. Unlike in `PUB` lines a CR separates too.
fn words(arguments: &[u8]) -> impl Iterator<Item = &[u8]> {
    arguments
        .split(|byte| is_blank(*byte) || *byte == b'\r')
        .filter(|word| !word.is_empty())
}

/// A decimal number that fits; none otherwise.
fn count(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Splits the last word off the arguments of a publish and reads it as a size of one to nine digits, which is what
/// nats-server takes. Goes backwards: the size is short and the subject is not.
fn trailing_size(arguments: &[u8]) -> Result<(&[u8], usize), DecodeError> {
    let arguments = trim_end(arguments);
    let mut size = 0;
    let mut scale = 1;
    let mut rest = arguments;
    while let [before @ .., digit @ b'0'..=b'9'] = rest {
        if scale > 100_000_000 {
            return Err(DecodeError::Malformed);
        }
        size += usize::from(digit - b'0') * scale;
        scale *= 10;
        rest = before;
    }
    match rest {
        [.., byte] if is_blank(*byte) && scale > 1 => Ok((rest, size)),
        _ => Err(DecodeError::Malformed),
    }
}

/// One or two words.
fn subject_and_reply(arguments: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let arguments = trim_start(trim_end(arguments));
    let Some(blank) = arguments.iter().position(|byte| is_blank(*byte)) else {
        return match arguments {
            [] => Err(DecodeError::Malformed),
            subject => Ok((subject, &[])),
        };
    };
    let (subject, reply) = arguments.split_at(blank);
    let reply = trim_start(reply);
    if reply.iter().any(|byte| is_blank(*byte)) {
        return Err(DecodeError::Malformed);
    }
    Ok((subject, reply))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
