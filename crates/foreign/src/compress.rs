//! Compressed blocks.
//!
//! ```text
//! block  := "cmp" algorithm:u8 (1 is S2) original-length:uvarint stream, then the last 8 bytes of the block as they were
//! stream := chunks { type:u8 length:u24 body }
//!   0xFF  stream identifier        0x00  crc:u32 and an S2 block     0x01  crc:u32 and bytes as they were
//!   0x80 to 0xFE  to be skipped
//! ```
//! `crc` is the CRC-32C of the bytes as they were, rotated right by 15 bits and moved by a constant.

use crate::checksum::Checksum;
use crate::frames::masked_checksum;
use crate::input::Input;

const S2: u8 = 1;
/// Longest content of a chunk, by the format of the stream.
const CHUNK_MAX: usize = 4 << 20;
/// Longest block that is unpacked: nats-server's largest are a few MiB, or one message of at most 32 MiB.
const LENGTH_MAX: usize = 256 << 20;

/// A block as it was before it was compressed.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) bytes: Vec<u8>,
    /// Chunks that could not be read: position in the file and why. Their bytes are missing from `bytes`.
    pub(crate) damage: Vec<(usize, &'static str)>,
}

/// The block as it was: unpacked when it is compressed. The error is the number of an algorithm that is not known.
pub(crate) fn unpack(bytes: Vec<u8>) -> Result<Unpacked, u8> {
    let Some((algorithm, body_at)) = header(&bytes) else {
        return Ok(Unpacked {
            bytes,
            damage: Vec::new(),
        });
    };
    if algorithm != S2 {
        return Err(algorithm);
    }
    let body = bytes.get(body_at..).unwrap_or_default();
    let split = body.len().saturating_sub(Checksum::LENGTH);
    let (stream, tail) = body.split_at(split);
    let mut unpacked = Unpacked {
        bytes: Vec::new(),
        damage: Vec::new(),
    };
    let mut input = Input(stream);
    while !input.0.is_empty() {
        let at = body_at + stream.len() - input.0.len();
        if let Err(what) = chunk(&mut input, &mut unpacked.bytes) {
            unpacked.damage.push((at, what));
        }
    }
    unpacked.bytes.extend_from_slice(tail);
    Ok(unpacked)
}

/// The algorithm of a compressed block and where its body begins.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut input = Input(bytes);
    if input.take(3)? != b"cmp" {
        return None;
    }
    let algorithm = input.byte()?;
    input.uvarint()?;
    // Algorithm 0 is "none": such a header is never written.
    Some((algorithm, bytes.len() - input.0.len()))
}

/// Adds what a whole chunk holds to `out`.
pub(crate) fn unpack_chunk(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut unpacked = Vec::new();
    chunk(&mut Input(bytes), &mut unpacked)?;
    out.extend_from_slice(&unpacked);
    Ok(())
}

/// Reads one chunk. After an error the input stands behind the chunk, or at the end when its length makes no sense.
fn chunk(input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let Some((kind, body)) = chunk_body(input) else {
        input.0 = &[];
        return Err("a compressed chunk is longer than the file");
    };
    match kind {
        0xFF if matches!(body, b"S2sTwO" | b"sNaPpY") => Ok(()),
        0xFF => Err("the compressed stream does not begin as one"),
        0 | 1 => {
            let (checksum, data) = body
                .split_first_chunk::<4>()
                .ok_or("a compressed chunk is too short")?;
            let unpacked = if kind == 1 {
                data.to_vec()
            } else {
                block(data, LENGTH_MAX.saturating_sub(out.len()).min(CHUNK_MAX))?
            };
            if u32::from_le_bytes(*checksum) != masked_checksum(&unpacked) {
                return Err("the checksum of a compressed chunk does not match");
            }
            out.extend_from_slice(&unpacked);
            Ok(())
        }
        0x80..=0xFE => Ok(()),
        _ => Err("a compressed chunk is of no known kind"),
    }
}

fn chunk_body<'a>(input: &mut Input<'a>) -> Option<(u8, &'a [u8])> {
    let kind = input.byte()?;
    let length = input.take(3)?;
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    Some((kind, input.take(length)?))
}

fn block(data: &[u8], length_max: usize) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "a compressed chunk cannot be unpacked";
    let (length, _) = minlz::s2::decode_len(data).map_err(|_| DAMAGED)?;
    if length > length_max {
        return Err("a compressed chunk claims to be too long");
    }
    minlz::s2::decode(data).map_err(|_| DAMAGED)
}
