//! A stream compressed in frames, as backups are: the chunks that compressed blocks have as well (see `compress.rs`), written and read piece
//! by piece.

use crc_fast::crc32_iscsi;

use crate::compress::unpack_chunk;

/// How a compressed stream begins.
const IDENTIFIER: &[u8] = b"\xFF\x06\x00\x00S2sTwO";
const IDENTIFIER_KIND: u8 = 0xFF;
/// Longest content of a chunk that is written.
const BLOCK_MAX: usize = 1 << 20;
/// Longest chunk that is read: what four MiB may become at worst.
const CHUNK_BYTES_MAX: usize = 5 << 20;
/// Kind and length of a chunk.
const HEAD: usize = 4;

/// Compresses a stream.
#[derive(Debug, Default)]
pub struct Framer {
    /// What was not compressed yet.
    waiting: Vec<u8>,
    begun: bool,
}

impl Framer {
    /// Takes the next bytes, and adds to `out` what is compressed of them and of those before.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < BLOCK_MAX {
            return;
        }
        let whole = self.waiting.len() / BLOCK_MAX * BLOCK_MAX;
        let rest = self.waiting.split_off(whole);
        let blocks = std::mem::replace(&mut self.waiting, rest);
        for block in blocks.chunks(BLOCK_MAX) {
            self.put(block, out);
        }
    }

    /// Adds all the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.put(&rest, out);
        }
    }

    fn put(&mut self, block: &[u8], out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(IDENTIFIER);
        }
        let compressed = minlz::s2::encode(block);
        let (kind, body) = if compressed.len() < block.len() {
            (0, compressed.as_slice())
        } else {
            (1, block)
        };
        let length = u32::try_from(body.len() + 4).expect("a block is at most 1 MiB");
        let [low, middle, high, _] = length.to_le_bytes();
        out.extend_from_slice(&[kind, low, middle, high]);
        out.extend_from_slice(&masked_checksum(block).to_le_bytes());
        out.extend_from_slice(body);
    }
}

/// Decompresses a stream.
#[derive(Debug, Default)]
pub struct Unframer {
    /// Chunks that were not unpacked yet, from `at` on; the last one may not be whole.
    packed: Vec<u8>,
    at: usize,
    begun: bool,
}

impl Unframer {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.packed.drain(..self.at);
        self.at = 0;
        self.packed.extend_from_slice(bytes);
    }

    /// Adds to `out` what the next chunk holds, at most four MiB; false when it is not there yet.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub fn unpack(&mut self, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        let rest = self.packed.get(self.at..).unwrap_or_default();
        let &[kind, low, middle, high, ..] = rest else {
            return Ok(false);
        };
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        if !self.begun && kind != IDENTIFIER_KIND {
            return Err("the compressed stream does not begin as one");
        }
        if length > CHUNK_BYTES_MAX {
            return Err("a compressed chunk claims to be too long");
        }
        let Some(chunk) = rest.get(..HEAD + length) else {
            return Ok(false);
        };
        unpack_chunk(chunk, out)?;
        self.at += chunk.len();
        self.begun = true;
        Ok(true)
    }

    /// Whether all that came was unpacked: nothing is cut off.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at == self.packed.len()
    }
}

/// The CRC-32C of a chunk as it is written.
pub(crate) fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
        .rotate_right(15)
        .wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Vec<u8> {
        let noise = (0..1_500_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
        let mut bytes: Vec<u8> = noise.collect();
        bytes.extend(b"the same again ".repeat(100_000));
        bytes
    }

    fn framed(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (mut framer, mut out) = (Framer::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            framer.push(piece, &mut out);
        }
        framer.finish(&mut out);
        out
    }

    fn unframed(framed: &[u8], piece: usize) -> Result<Vec<u8>, &'static str> {
        let (mut unframer, mut out) = (Unframer::default(), Vec::new());
        for piece in framed.chunks(piece) {
            unframer.push(piece);
            while unframer.unpack(&mut out)? {}
        }
        if unframer.is_at_end() {
            Ok(out)
        } else {
            Err("cut off")
        }
    }

    #[test]
    fn what_was_framed_comes_out_again_whatever_the_pieces() {
        let bytes = content();
        for piece in [bytes.len(), 77_777] {
            let framed = framed(&bytes, piece);
            assert!(framed.len() < bytes.len());
            for piece in [framed.len(), 4_093] {
                assert!(unframed(&framed, piece) == Ok(bytes.clone()), "{piece}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_noticed() {
        let content = b"abc".repeat(1000);
        let framed = framed(&content, 9000);
        for at in 0..framed.len() {
            let mut damaged = framed.clone();
            damaged[at] ^= 0x10;
            assert_ne!(unframed(&damaged, 9000), Ok(content.clone()), "byte {at}");
            let cut = &framed[..at];
            assert_ne!(unframed(cut, 9000), Ok(content.clone()), "{at} bytes");
        }
    }
}
