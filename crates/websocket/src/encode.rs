//! From bytes to frames.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::header::{OpCode, put_header};

/// Longest frame for a browser: they are said to do better with many small ones (as nats-server has it).
const BROWSER_FRAME_MAX: usize = 4096;

/// Up to this size nothing is compressed (as nats-server has it).
const UNCOMPRESSED_MAX: usize = 64;

/// The bytes that end a sync flush; the receiver adds them itself.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// What is kept of the buffer for compressed bytes.
const BUFFER_KEPT_MAX: usize = 256 * 1024;

/// How frames for one connection look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoder {
    /// Whether compression was agreed on.
    pub(crate) compression: bool,
    /// The client is a browser: frames are small.
    pub(crate) browser: bool,
    /// The client is Safari, which does not take compressed messages in several frames.
    pub(crate) safari: bool,
}

impl Encoder {
    /// Appends binary frames that carry `plain`. No frame is made of nothing.
    pub fn encode(self, plain: &[u8], deflater: &mut Deflater, wire: &mut Vec<u8>) {
        if self.compression
            && plain.len() > UNCOMPRESSED_MAX
            && let Some(compressed) = deflater.deflate(plain)
        {
            let frame_max = match self.browser && !self.safari {
                true => BROWSER_FRAME_MAX,
                false => usize::MAX,
            };
            put_message(wire, compressed, frame_max);
        } else {
            let frame_max = match self.browser {
                true => BROWSER_FRAME_MAX,
                false => plain.len(),
            };
            // Each frame is a message of its own: there are no bounds of messages to keep.
            for piece in plain.chunks(frame_max.max(1)) {
                put_header(wire, OpCode::Binary, true, false, piece.len());
                wire.extend_from_slice(piece);
            }
        }
    }
}

/// Appends one compressed message. Only its first frame says that it is compressed.
fn put_message(wire: &mut Vec<u8>, compressed: &[u8], frame_max: usize) {
    let mut rest = compressed;
    let mut op = OpCode::Binary;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(frame_max));
        put_header(
            wire,
            op,
            behind.is_empty(),
            op == OpCode::Binary,
            piece.len(),
        );
        wire.extend_from_slice(piece);
        (rest, op) = (behind, OpCode::Continuation);
    }
}

/// The compression of what is sent: about 300 KiB, shared by all connections of a thread, because nothing is kept from message to
/// message. Takes no memory until it is used.
#[derive(Default)]
pub struct Deflater {
    state: Option<Compress>,
    buffer: Vec<u8>,
}

impl Deflater {
    /// The compressed form of a message, if it is shorter.
    fn deflate(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let state = self
            .state
            .get_or_insert_with(|| Compress::new(Compression::fast(), false));
        state.reset();
        self.buffer.clear();
        self.buffer
            .shrink_to(BUFFER_KEPT_MAX.max(plain.len() + TAIL.len()));
        // What takes more than the plain bytes is not wanted; the tail is not sent.
        self.buffer.reserve(plain.len() + TAIL.len());
        let status = state.compress_vec(plain, &mut self.buffer, FlushCompress::Sync);
        // A full buffer may lack the end.
        let complete = matches!(status, Ok(Status::Ok))
            && state.total_in() == plain.len() as u64
            && self.buffer.len() < self.buffer.capacity();
        let compressed = self.buffer.strip_suffix(&TAIL)?;
        (complete && compressed.len() < plain.len()).then_some(compressed)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("used", &self.state.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder;

    fn encoder(compression: bool, browser: bool, safari: bool) -> Encoder {
        Encoder {
            compression,
            browser,
            safari,
        }
    }

    /// The first bytes and payload sizes of the frames, and the frames as a client would have sent them: masked with zeros.
    fn frames(mut wire: &[u8]) -> (Vec<(u8, usize)>, Vec<u8>) {
        let (mut heads, mut masked) = (Vec::new(), Vec::new());
        while let [first, length, ..] = *wire {
            let (size, header) = match length {
                126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
                127 => (usize::from_be_bytes(wire[2..10].try_into().unwrap()), 10),
                size => (usize::from(size), 2),
            };
            heads.push((first, size));
            masked.extend_from_slice(&[first, length | 0x80]);
            masked.extend_from_slice(&wire[2..header]);
            masked.extend_from_slice(&[0; 4]);
            masked.extend_from_slice(&wire[header..header + size]);
            wire = &wire[header + size..];
        }
        (heads, masked)
    }

    #[track_caller]
    fn check(encoder: Encoder, plain: &[u8], expected: impl Fn(&[(u8, usize)]) -> bool) {
        let mut wire = Vec::new();
        encoder.encode(plain, &mut Deflater::default(), &mut wire);
        let (heads, masked) = frames(&wire);
        assert!(expected(&heads), "{heads:?}");
        let mut decoded = Vec::new();
        let result = Decoder::new(encoder.compression, 1 << 20).decode(
            &mut &masked[..],
            &mut decoded,
            1 << 20,
            &mut Vec::new(),
        );
        assert_eq!(result, Ok(()));
        assert!(decoded == plain);
    }

    /// Bytes that do not get shorter.
    fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        };
        (0..size).map(next).collect()
    }

    /// Bytes that get about half as long.
    fn digits(size: usize) -> Vec<u8> {
        noise(size).iter().map(|byte| b'0' + byte % 10).collect()
    }

    #[test]
    fn one_frame_holds_it_all() {
        for size in [1, 125, 126, 65_535, 65_536, 200_000] {
            check(Encoder::default(), &noise(size), |heads| {
                heads == [(0x82, size)]
            });
        }
        check(Encoder::default(), b"", <[_]>::is_empty);
    }

    #[test]
    fn browsers_get_small_messages() {
        let browser = encoder(false, true, false);
        check(browser, &[b'a'; 4096], |heads| heads == [(0x82, 4096)]);
        check(browser, &[b'a'; 9000], |heads| {
            heads == [(0x82, 4096), (0x82, 4096), (0x82, 808)]
        });
    }

    #[test]
    fn more_than_64_bytes_are_compressed() {
        let compressing = encoder(true, false, false);
        check(compressing, &[b'a'; 64], |heads| heads == [(0x82, 64)]);
        check(
            compressing,
            &[b'a'; 65],
            |heads| matches!(heads, [(0xc2, size)] if *size < 65),
        );
        check(
            compressing,
            &digits(100_000),
            |heads| matches!(heads, [(0xc2, size)] if *size < 80_000),
        );
    }

    #[test]
    fn what_does_not_get_shorter_is_not_compressed() {
        for size in [65, 1000, 100_000] {
            check(encoder(true, false, false), &noise(size), |heads| {
                heads == [(0x82, size)]
            });
        }
    }

    #[test]
    fn browsers_get_compressed_messages_in_small_frames() {
        check(encoder(true, true, false), &digits(20_000), |heads| {
            let (last, before) = heads.split_last().unwrap();
            let (first, between) = before.split_first().unwrap();
            *first == (0x42, 4096)
                && between.iter().all(|frame| *frame == (0x00, 4096))
                && last.0 == 0x80
        });
        check(encoder(true, true, true), &digits(20_000), |heads| {
            matches!(heads, [(0xc2, _)])
        });
    }

    #[test]
    fn one_state_compresses_all_messages() {
        let mut deflater = Deflater::default();
        let compressing = encoder(true, false, false);
        let (mut once, mut again) = (Vec::new(), Vec::new());
        compressing.encode(&digits(1000), &mut deflater, &mut once);
        compressing.encode(&digits(600_000), &mut deflater, &mut Vec::new());
        compressing.encode(&digits(1000), &mut deflater, &mut again);
        assert_eq!(once, again);
        assert!(deflater.buffer.capacity() <= BUFFER_KEPT_MAX);
    }
}
