//! Undoing the compression of one message (RFC 7692, section 7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

/// What ends every message and is not sent: the empty block that a sync flush leaves. Behind it goes an empty last block, because
/// only the end of the stream tells that the message was whole.
const TAIL: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

/// Bytes of the tail that belong to the message.
const SYNC_BYTES: usize = 4;

/// The decompression of one message, fed in pieces of any size. Nothing is kept from message to message.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
    /// A last block came. Behind it there may only be zeros, with which some compressors fill up.
    ended: bool,
    /// Bytes of the tail that were fed.
    tail_fed: usize,
}

/// The payload is not what a compressor writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            state: Decompress::new(false),
            ended: false,
            tail_fed: 0,
        }
    }

    /// Takes some of `input` and appends at most `room` bytes to `plain`. Returns how many bytes of `input` it took; all of them
    /// unless the room was filled.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, Corrupt> {
        let taken = self.inflate(input, plain, room)?;
        let is_padding = |rest: &[u8]| rest.iter().all(|&byte| byte == 0);
        match self.ended {
            false => Ok(taken),
            true if is_padding(&input[taken..]) => Ok(input.len()),
            true => Err(Corrupt),
        }
    }

    /// Takes input up to the end of the stream, as long as there is room; returns how much that was.
    fn inflate(
        &mut self,
        input: &[u8],
        plain: &mut Vec<u8>,
        room: usize,
    ) -> Result<usize, Corrupt> {
        let end = plain.len() + room;
        let mut taken = 0;
        while !self.ended {
            let rest = &input[taken..];
            let filled = plain.len();
            // Most messages do not need all the room, and what is made ready must be written.
            let window = (rest.len() * 8).max(64).min(end - filled);
            if window == 0 {
                return Ok(taken);
            }
            plain.resize(filled + window, 0);
            let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(rest, &mut plain[filled..], FlushDecompress::None);
            let step_in = moved(in_before, self.state.total_in());
            let step_out = moved(out_before, self.state.total_out());
            plain.truncate(filled + step_out);
            taken += step_in;
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if step_in + step_out == 0 => return Ok(taken),
                Ok(_) => {}
                Err(_) => return Err(Corrupt),
            }
        }
        Ok(taken)
    }

    /// Goes on after the last byte of the message, as [`Self::feed`]. Returns whether the message is complete; if not, the room was
    /// filled.
    pub(crate) fn finish(&mut self, plain: &mut Vec<u8>, room: usize) -> Result<bool, Corrupt> {
        let end = plain.len() + room;
        while !self.ended {
            let filled = plain.len();
            if filled == end {
                return Ok(false);
            }
            // A last block may end with the sync flush; then nothing goes behind it.
            let until = match self.tail_fed {
                fed if fed < SYNC_BYTES => SYNC_BYTES,
                _ => TAIL.len(),
            };
            // The stream may end before it: in a last block whose end was taken while there was no room for what it stands for.
            let fed = self.inflate(&TAIL[self.tail_fed..until], plain, end - filled)?;
            self.tail_fed += fed;
            if fed == 0 && plain.len() == filled && !self.ended {
                // All is fed and written, and the stream does not end: something is missing in it.
                return Err(Corrupt);
            }
        }
        Ok(true)
    }
}

/// How far a counter went.
fn moved(before: u64, after: u64) -> usize {
    // Both steps are bounded by slices.
    usize::try_from(after - before).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    /// A message that ends in a last block instead of a sync flush.
    fn with_last_block(text: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(text.len() + 64);
        let mut state = Compress::new(Compression::fast(), false);
        let status = state.compress_vec(text, &mut compressed, FlushCompress::Finish);
        assert_eq!(status.ok(), Some(Status::StreamEnd));
        compressed
    }

    fn inflated(mut compressed: &[u8], room: usize) -> Result<Vec<u8>, Corrupt> {
        let mut inflater = Inflater::new();
        let mut all = Vec::new();
        let mut plain = Vec::new();
        while !compressed.is_empty() {
            let taken = inflater.feed(compressed, &mut plain, room)?;
            compressed = &compressed[taken..];
            all.append(&mut plain);
        }
        while !inflater.finish(&mut plain, room)? {
            all.append(&mut plain);
        }
        all.append(&mut plain);
        Ok(all)
    }

    #[test]
    fn a_last_block_may_end_where_the_room_does() {
        let text = b"PUB a 100\r\n".repeat(30);
        let compressed = with_last_block(&text);
        // Found by fuzzing: its end is taken together with the last copy, for which there is no room yet.
        let found = b"\n!\x00\x00\xc2/\x82\x82\x01#\x03\x82\x01#'\x02\x04!\x00\x01\x00!\x01";
        for compressed in [&compressed[..], found] {
            let whole = inflated(compressed, 1 << 16).expect("a whole message");
            for room in 1..=whole.len() + 1 {
                assert_eq!(inflated(compressed, room).as_ref(), Ok(&whole), "{room}");
            }
        }
        assert_eq!(inflated(&compressed, 1 << 16), Ok(text));
    }

    #[test]
    fn behind_a_last_block_there_may_be_zeros_and_nothing_else() {
        let compressed = with_last_block(b"hello");
        for (behind, is_fine) in [(&b"\0\0\0"[..], true), (b"\0\x01", false)] {
            for room in 1..10 {
                let got = inflated(&[&compressed, behind].concat(), room);
                assert_eq!(got.is_ok(), is_fine, "{room}");
            }
        }
    }
}
