//! The checksum of everything the store writes.

use crc_fast::CrcAlgorithm::Crc32Iscsi;

/// CRC-32C (CRC-32/ISCSI: polynomial 0x1EDC6F41, reflected, start and final xor 0xFFFFFFFF) of `bytes`, with the
/// processor's instructions where it has them.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of `parts` as if they were one run of bytes.
#[must_use]
pub fn crc32c_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).expect("the algorithm yields 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_values_hold() {
        // RFC 3720, appendix B.4, and the catalogue's check value.
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c_parts(&[b"1234", b"", b"56789"]), 0xE306_9283);
    }
}
