//! The decoder of the client protocol.

use everjet_wire::{
    DecodeError, Decoded, Frame, Limits, Message, decode, decode_plain_publish, put_message,
};

use crate::input::{Input, pieces};

/// What the decoder makes of a stream of bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The frames, each written as a client of few words would write it.
    frames: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Bytes are left that are no frame yet.
    Incomplete {
        /// How many.
        left: usize,
        /// What the decoder says that the frame takes.
        needed: usize,
    },
    Refused(DecodeError),
}

/// However the bytes of a client are cut, they are the same frames, or are refused for the same reason; a frame that is
/// written again is read as the same frame, by the short way too where that reads it at all, and a message that is delivered
/// arrives as it was sent.
///
/// The first two bytes choose limits and cuts.
pub fn check_decode(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = limits(input.byte());
    let seed = u64::from(input.byte());
    let bytes = input.rest();
    let whole = read(&[bytes], &limits);
    assert_eq!(read(&pieces(bytes, seed), &limits), whole);
    if bytes.len() <= 512 {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single, &limits), whole);
    }
}

/// Limits of all sizes.
pub(crate) fn limits(mut choice: u8) -> Limits {
    Limits {
        control_line_max: Input::choose(&mut choice, [4096, 512, 64, 16]),
        payload_max: Input::choose(&mut choice, [1 << 20, 1024, 8, 0]),
        headers: Input::choose(&mut choice, [true, false]),
    }
}

/// Reads as a connection does: what is no frame yet is kept and decoded again with more behind it.
fn read(pieces: &[&[u8]], limits: &Limits) -> Outcome {
    let mut held: Vec<u8> = Vec::new();
    let mut frames = Vec::new();
    let mut needed_before = 0;
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut used = 0;
        loop {
            check_plain(&held[used..], limits);
            match decode(&held[used..], limits) {
                Ok(Decoded::Frame { frame, used: size }) => {
                    assert!(0 < size && size <= held.len() - used);
                    assert!(needed_before == 0 || needed_before == size, "{size}");
                    check_frame(&frame, limits);
                    frames.push(written(&frame));
                    used += size;
                    needed_before = 0;
                }
                Ok(Decoded::Incomplete { needed }) => {
                    let left = held.len() - used;
                    assert!(needed == 0 || needed > left, "{needed} of {left}");
                    // A line says what its frame takes, and that does not change.
                    assert!(needed_before == 0 || needed_before == needed, "{needed}");
                    assert!(needed <= limits.control_line_max + limits.payload_max + 64);
                    needed_before = needed;
                    break;
                }
                Err(error) => {
                    let end = End::Refused(error);
                    return Outcome { frames, end };
                }
            }
        }
        held.drain(..used);
        // A line without end does not grow.
        assert!(needed_before > 0 || held.len() <= limits.control_line_max + 64);
    }
    let end = End::Incomplete {
        left: held.len(),
        needed: needed_before,
    };
    Outcome { frames, end }
}

/// What the short way reads, the long one reads the same.
fn check_plain(bytes: &[u8], limits: &Limits) {
    if let Some(plain) = decode_plain_publish(bytes, limits) {
        let frame = Frame::Publish(plain.message);
        let used = plain.used;
        assert_eq!(decode(bytes, limits), Ok(Decoded::Frame { frame, used }));
        let start = [b"PUB ", plain.message.subject, b" "].concat();
        assert_eq!([&start, plain.rest].concat(), bytes[..used]);
    }
}

fn check_frame(frame: &Frame<'_>, limits: &Limits) {
    let again = written(frame);
    let read = Decoded::Frame {
        frame: *frame,
        used: again.len(),
    };
    assert_eq!(decode(&again, limits), Ok(read));
    if let Frame::Publish(message) = frame {
        assert!(message.headers.len() + message.payload.len() <= limits.payload_max);
        for supports_headers in [true, false] {
            check_delivery(message, supports_headers);
        }
    }
}

/// The frame as a client of few words writes it.
fn written(frame: &Frame<'_>) -> Vec<u8> {
    let words: Vec<&[u8]> = match *frame {
        Frame::Publish(message) => return published(&message),
        Frame::Connect(json) => vec![b"CONNECT", json],
        Frame::Subscribe {
            subject,
            queue: b"",
            sid,
        } => vec![b"SUB", subject, sid],
        Frame::Subscribe {
            subject,
            queue,
            sid,
        } => vec![b"SUB", subject, queue, sid],
        Frame::Unsubscribe { sid, max: None } => vec![b"UNSUB", sid],
        Frame::Unsubscribe {
            sid,
            max: Some(max),
        } => return format_line(&[b"UNSUB", sid, max.to_string().as_bytes()]),
        Frame::Ping => vec![b"PING"],
        Frame::Pong => vec![b"PONG"],
        Frame::Info(json) => vec![b"INFO", json],
        Frame::Ok => vec![b"+OK"],
        Frame::Err(text) => vec![b"-ERR", text],
    };
    format_line(&words)
}

fn published(message: &Message<'_>) -> Vec<u8> {
    let Message {
        subject,
        reply,
        headers,
        payload,
    } = *message;
    let header_size = headers.len().to_string();
    let size = (headers.len() + payload.len()).to_string();
    let mut words: Vec<&[u8]> = vec![b"PUB", subject];
    if !reply.is_empty() {
        words.push(reply);
    }
    if !headers.is_empty() {
        words[0] = b"HPUB";
        words.push(header_size.as_bytes());
    }
    words.push(size.as_bytes());
    [&format_line(&words), headers, payload, b"\r\n"].concat()
}

fn format_line(words: &[&[u8]]) -> Vec<u8> {
    let mut line = words.join(&b' ');
    line.extend_from_slice(b"\r\n");
    line
}

/// Reads a rendered delivery word by word, the simple way.
fn check_delivery(message: &Message<'_>, supports_headers: bool) {
    let mut out = Vec::new();
    put_message(&mut out, message, b"9", supports_headers);
    let end = out.iter().position(|byte| *byte == b'\n').expect("a line");
    let (line, body) = out.split_at(end + 1);
    let line = line.strip_suffix(b"\r\n").expect("a whole line");
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let headers = if supports_headers {
        message.headers
    } else {
        b""
    };
    let mut expected = vec![if headers.is_empty() {
        b"MSG".to_vec()
    } else {
        b"HMSG".to_vec()
    }];
    expected.extend([message.subject.to_vec(), b"9".to_vec()]);
    expected.extend((!message.reply.is_empty()).then(|| message.reply.to_vec()));
    expected.extend((!headers.is_empty()).then(|| headers.len().to_string().into_bytes()));
    expected.push(
        (headers.len() + message.payload.len())
            .to_string()
            .into_bytes(),
    );
    assert_eq!(words, expected);
    assert_eq!(body, [headers, message.payload, b"\r\n"].concat());
}
