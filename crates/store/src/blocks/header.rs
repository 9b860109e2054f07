//! One block: its header, and how bytes become one and come out of it again. All numbers are little-endian.
//!
//! ```text
//!  0  [8]  magic "EVJBLK\r\n"
//!  8  u32  header checksum: CRC-32C of bytes 12..64, xor the salt of the place (stream, segment, revision, kind of file)
//! 12  u32  length of the whole block in the file
//! 16  u64  position of the first byte it stands for
//! 24  u32  how many bytes it stands for, 1 to 131,072
//! 28  u32  CRC-32C of the body
//! 32  u32  1 if the body is an S2 block, 0 if it is the bytes as they are
//! 36  [28] how the body is sealed: see `seal::Stamp`; zeros if it is not
//! 64       body: the bytes, compressed if so, encrypted if so, and then followed by the tag of 16 bytes
//!     u32  length of the whole block again, so that the last block is found from the end of the file
//! ```

use super::Place;
use crate::checksum::crc32c;
use crate::seal::{Keys, STAMP_BYTES, Stamp, TAG_BYTES};
use crate::segment::mix;

pub(super) const MAGIC: &[u8; 8] = b"EVJBLK\r\n";
/// Bytes before the body.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes behind the body.
pub(super) const TRAILER_BYTES: usize = 4;
/// How many bytes a block stands for when it is written: enough to compress well, little enough that a single message is
/// read in a tenth of a millisecond.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// How many bytes a block may stand for when it is read.
const BLOCK_BYTES_MAX: u32 = 128 << 10;
const STAMP_AT: usize = 36;

#[derive(Clone, Copy)]
pub(super) struct BlockHeader {
    /// Length of the block in the file.
    pub(super) length: u32,
    /// Position of the first byte it stands for.
    pub(super) position: u64,
    /// How many bytes it stands for.
    pub(super) bytes: u32,
    checksum: u32,
    compressed: bool,
    stamp: Option<Stamp>,
}

impl BlockHeader {
    /// The header that begins with `bytes`, if it is a valid one of this place.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        if !bytes.starts_with(MAGIC) || number(bytes, 8)? != checksum(bytes, place) {
            return None;
        }
        let stamp = bytes.get(STAMP_AT..)?.first_chunk::<STAMP_BYTES>()?;
        let stamp = if *stamp == [0; STAMP_BYTES] {
            None
        } else {
            Some(Stamp::decode(stamp)?)
        };
        let header = Self {
            length: number(bytes, 12)?,
            position: u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            bytes: number(bytes, 24)?,
            checksum: number(bytes, 28)?,
            compressed: match number(bytes, 32)? {
                0 => false,
                1 => true,
                _ => return None,
            },
            stamp,
        };
        let around = HEADER_BYTES + TRAILER_BYTES + stamp.map_or(0, |_| TAG_BYTES);
        let body = (header.length as usize).checked_sub(around)?;
        let bytes = header.bytes as usize;
        let fits = if header.compressed {
            body < bytes
        } else {
            body == bytes
        };
        let is_sound = (1..=BLOCK_BYTES_MAX).contains(&header.bytes)
            && fits
            && header
                .position
                .checked_add(u64::from(header.bytes))
                .is_some();
        is_sound.then_some(header)
    }

    /// The position behind the last byte it stands for.
    pub(super) fn end(&self) -> u64 {
        self.position + u64::from(self.bytes)
    }

    /// The bytes that the block stands for, from the whole block; `None` when it is damaged or no key opens it.
    pub(super) fn unpack(
        &self,
        block: &mut [u8],
        place: Place,
        keys: Option<&Keys>,
    ) -> Option<Vec<u8>> {
        let end = block.len().checked_sub(TRAILER_BYTES)?;
        let body = block.get_mut(HEADER_BYTES..end)?;
        if crc32c(body) != self.checksum {
            return None;
        }
        let text: &[u8] = match &self.stamp {
            None => body,
            Some(stamp) => {
                let context = context(place, self.position, self.bytes, self.compressed);
                keys?.open(stamp, &context, body)?
            }
        };
        if !self.compressed {
            return Some(text.to_vec());
        }
        // What it claims to become is compared before any memory is given to it.
        let (length, _) = minlz::s2::decode_len(text).ok()?;
        let bytes = (length == self.bytes as usize)
            .then(|| minlz::s2::decode(text).ok())
            .flatten()?;
        (bytes.len() == length).then_some(bytes)
    }
}

/// Appends the block that stands for `bytes` at `position`. What compression does not make a sixteenth shorter stays as it is.
pub(super) fn pack(
    out: &mut Vec<u8>,
    bytes: &[u8],
    position: u64,
    place: Place,
    compress: bool,
    keys: Option<&Keys>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let compressed = compress
        .then(|| minlz::s2::encode(bytes))
        .filter(|packed| packed.len() + bytes.len() / 16 < bytes.len());
    out.extend_from_slice(compressed.as_deref().unwrap_or(bytes));
    let is_compressed = compressed.is_some();
    let count = u32::try_from(bytes.len()).expect("a block stands for few bytes");
    let body_at = start + HEADER_BYTES;
    let stamp = keys.map(|keys| {
        let context = context(place, position, count, is_compressed);
        let (stamp, tag) = keys.seal(&context, &mut out[body_at..]);
        out.extend_from_slice(&tag);
        stamp
    });
    let body_checksum = crc32c(&out[body_at..]);
    let length = out.len() - start + TRAILER_BYTES;
    let length = u32::try_from(length).expect("a block is little longer than its bytes");
    out.extend_from_slice(&length.to_le_bytes());
    let header = &mut out[start..body_at];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, MAGIC);
    put(12, &length.to_le_bytes());
    put(16, &position.to_le_bytes());
    put(24, &count.to_le_bytes());
    put(28, &body_checksum.to_le_bytes());
    put(32, &u32::from(is_compressed).to_le_bytes());
    if let Some(stamp) = stamp {
        put(STAMP_AT, &stamp.encode());
    }
    let header = out[start..].first_chunk().expect("it was put there above");
    let checksum = checksum(header, place).to_le_bytes();
    out[start + 8..start + 12].copy_from_slice(&checksum);
}

/// Makes the lengths and checksums of what looks like a block fit; it is not sealed.
#[cfg(feature = "fuzzing")]
pub(super) fn make_fit(block: &mut [u8], place: Place) {
    let length = u32::try_from(block.len()).expect("fuzzers make small inputs");
    let end = block.len() - TRAILER_BYTES;
    let compressed = number(block, 32).unwrap_or_default() & 1;
    if compressed == 0 {
        let bytes = u32::try_from(end - HEADER_BYTES).expect("smaller than the block");
        block[24..28].copy_from_slice(&bytes.to_le_bytes());
    }
    block[12..16].copy_from_slice(&length.to_le_bytes());
    let body = crc32c(&block[HEADER_BYTES..end]).to_le_bytes();
    block[28..32].copy_from_slice(&body);
    block[32..36].copy_from_slice(&compressed.to_le_bytes());
    block[STAMP_AT..HEADER_BYTES].fill(0);
    block[end..].copy_from_slice(&length.to_le_bytes());
    let header = block.first_chunk().expect("longer than a header");
    let checksum = checksum(header, place).to_le_bytes();
    block[8..12].copy_from_slice(&checksum);
}

/// What a sealed body is bound to.
fn context(place: Place, position: u64, bytes: u32, compressed: bool) -> [u8; 34] {
    let mut context = [0; 34];
    context[..8].copy_from_slice(&place.file.stream.0.to_le_bytes());
    context[8..16].copy_from_slice(&place.file.first.to_le_bytes());
    context[16..24].copy_from_slice(&position.to_le_bytes());
    context[24..28].copy_from_slice(&bytes.to_le_bytes());
    context[28..32].copy_from_slice(&place.file.revision.to_le_bytes());
    context[32] = place.kind as u8;
    context[33] = u8::from(compressed);
    context
}

fn checksum(header: &[u8; HEADER_BYTES], place: Place) -> u32 {
    let file = u64::from(place.file.revision) << 8 | place.kind as u64;
    let place = mix(mix(mix(place.file.stream.0).wrapping_add(place.file.first)) ^ file);
    crc32c(&header[12..]) ^ (place >> 32) as u32
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
