//! Bytes made to pass for blocks, for fuzzing.

use super::Place;
use super::header::{self, HEADER_BYTES, MAGIC, TRAILER_BYTES};

/// `data` as blocks one after the other: each with the length, position and kind that it names, as far as there is so much, and with
/// checksums that fit.
pub(crate) fn fit(data: &[u8], place: Place) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let mut rest = &mut bytes[..];
    while rest.len() > HEADER_BYTES + TRAILER_BYTES {
        let named = rest.get(12).map_or(0, |byte| usize::from(*byte));
        let length = (HEADER_BYTES + TRAILER_BYTES + 1 + named).min(rest.len());
        let (block, behind) = rest.split_at_mut(length);
        block[..8].copy_from_slice(MAGIC);
        header::make_fit(block, place);
        rest = behind;
    }
    bytes
}

/// Appends the block that stands for `bytes` at position 0.
pub(crate) fn pack(out: &mut Vec<u8>, bytes: &[u8], place: Place, compress: bool) {
    header::pack(out, bytes, 0, place, compress, None);
}
