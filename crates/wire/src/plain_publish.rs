//! The publish that clients write nearly always, read in one pass.

use crate::{Limits, Message};

/// A `PUB` in the form in which clients write it: capitals, single blanks, a size without leading zeros, CR LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainPublish<'a> {
    /// The message; it has no headers.
    pub message: Message<'a>,
    /// The frame behind subject and blank: reply subject if there is one, size, payload, line ends. It is what follows subject
    /// and `sid` in the `MSG` that a receiver gets.
    pub rest: &'a [u8],
    /// How many bytes the frame took; the next one starts there.
    pub used: usize,
}

/// Reads the first frame in `bytes` when it is a whole [`PlainPublish`] within the limits; of everything else
/// [`decode`](crate::decode()) knows what it is, and it reads these too, only slower.
#[inline]
#[must_use]
pub fn decode_plain_publish<'a>(bytes: &'a [u8], limits: &Limits) -> Option<PlainPublish<'a>> {
    const NAME: &[u8; 4] = b"PUB ";
    if bytes.first_chunk() != Some(NAME) {
        return None;
    }
    let (subject, after) = word(bytes, NAME.len())?;
    let (reply, (size, line_end)) = match size(bytes, after) {
        Some(size) => (&[][..], size),
        None => {
            let (reply, after) = word(bytes, after)?;
            (reply, size(bytes, after)?)
        }
    };
    let arguments = line_end - LINE_END.len() - NAME.len();
    if arguments > limits.control_line_max || size > limits.payload_max {
        return None;
    }
    let payload = bytes.get(line_end..line_end + size)?;
    let used = line_end + size + LINE_END.len();
    if bytes.get(line_end + size..used)? != LINE_END {
        return None;
    }
    Some(PlainPublish {
        message: Message {
            subject,
            reply,
            headers: &[],
            payload,
        },
        rest: bytes.get(after..used)?,
        used,
    })
}

const LINE_END: &[u8; 2] = b"\r\n";

/// The word from `start` that one blank ends, and where the next word starts. None also when fewer than eight bytes follow:
/// a whole frame is hardly ever so short.
#[inline]
fn word(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    const ONES: u64 = u64::MAX / 255;
    let mut at = start;
    loop {
        let chunk = u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        // The top bit of every byte that is at most a blank; right up to the first of them.
        let ends = chunk.wrapping_sub(ONES * 0x21) & !chunk & (ONES * 0x80);
        if ends != 0 {
            let end = at + ends.trailing_zeros() as usize / 8;
            let is_word = end > start && bytes.get(end) == Some(&b' ');
            return is_word.then_some((bytes.get(start..end)?, end + 1));
        }
        at += size_of::<u64>();
    }
}

/// The number of one to nine digits from `start` that ends the line, and where the line ends.
#[inline]
fn size(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut size = 0;
    let mut at = start;
    loop {
        let byte = *bytes.get(at)?;
        if !byte.is_ascii_digit() {
            break;
        }
        if at - start == 9 {
            return None;
        }
        size = size * 10 + usize::from(byte - b'0');
        at += 1;
    }
    let leads_with_zero = at - start > 1 && bytes.get(start) == Some(&b'0');
    let end = at + LINE_END.len();
    let ends = at > start && !leads_with_zero && bytes.get(at..end)? == LINE_END;
    ends.then_some((size, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoded, Frame, decode};

    fn limits() -> Limits {
        Limits {
            control_line_max: 40,
            payload_max: 12,
            headers: true,
        }
    }

    /// Reads a frame in both ways; returns what follows the subject.
    fn rest_of(frame: &str) -> Option<&str> {
        let bytes = frame.as_bytes();
        let plain = decode_plain_publish(bytes, &limits())?;
        let expected = Decoded::Frame {
            frame: Frame::Publish(plain.message),
            used: plain.used,
        };
        assert_eq!(decode(bytes, &limits()), Ok(expected), "{frame:?}");
        Some(std::str::from_utf8(plain.rest).expect("text"))
    }

    #[test]
    fn what_clients_write_is_read_and_its_rest_is_what_a_receiver_gets() {
        for (frame, rest) in [
            ("PUB a 5\r\nhello\r\n", "5\r\nhello\r\n"),
            ("PUB a.long.subject 5\r\nhello\r\nPING", "5\r\nhello\r\n"),
            ("PUB 12 5\r\nhello\r\n", "5\r\nhello\r\n"),
            ("PUB aaaaaaaa 0\r\n\r\n......", "0\r\n\r\n"),
            ("PUB a r.1 5\r\nhello\r\n", "r.1 5\r\nhello\r\n"),
            ("PUB a 7r 5\r\nhello\r\n", "7r 5\r\nhello\r\n"),
            ("PUB a 12 5\r\nhello\r\n", "12 5\r\nhello\r\n"),
            (
                "PUB \u{e9}t\u{e9} 12\r\nPUB a 0\r\nxx\r\r\n",
                "12\r\nPUB a 0\r\nxx\r\r\n",
            ),
        ] {
            assert_eq!(rest_of(frame), Some(rest), "{frame:?}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_decoder() {
        for frame in [
            "",
            "PUB",
            "pub a 5\r\nhello\r\n",
            "HPUB a 5\r\nhello\r\n",
            "PUB  a 5\r\nhello\r\n",
            "PUB a  5\r\nhello\r\n",
            "PUB a\t5\r\nhello\r\n",
            "PUB a 5 \r\nhello\r\n",
            "PUB a 5\nhello\r\n......",
            "PUB a 05\r\nhello\r\n",
            "PUB a 5\r\nhello\n\n",
            "PUB a 5\r\nhello!\r\n",
            "PUB a r\r\nhello\r\n",
            "PUB a r s 5\r\nhello\r\n",
            "PUB a\u{1} 5\r\nhello\r\n",
            "PUB a 0000000005\r\nhello\r\n",
            "PUB a 1000000000\r\nhello\r\n",
            "PUB a 13\r\nmore than it may\r\n",
            "PUB a.subject.longer.than.a.line.may.be.and.more 5\r\nhello\r\n",
        ] {
            assert_eq!(rest_of(frame), None, "{frame:?}");
        }
        let frame = "PUB subject reply 5\r\nhello\r\n";
        assert!(rest_of(frame).is_some());
        for end in 0..frame.len() {
            assert_eq!(rest_of(&frame[..end]), None, "cut at {end}");
        }
    }
}
