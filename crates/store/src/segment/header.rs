//! The header of a segment file. All numbers are little-endian.
//!
//! ```text
//!  0  [8]  magic "EVJSEG\r\n"
//!  8  u32  checksum: CRC-32C of bytes 12 to the end of the header
//! 12  u32  format version, 1
//! 16  u32  length of the header, a multiple of 8: the first record follows
//! 20  u32  length of the stream's name
//! 24  u64  stream id
//! 32  u64  first sequence: the first message of the segment has it
//! 40  i64  time of the last message before the segment began, or of its first one; nanoseconds since 1970
//! 48       the stream's name, then zeros
//! ```

use everjet_values::Timestamp;

use crate::StreamId;
use crate::checksum::crc32c;

const MAGIC: &[u8; 8] = b"EVJSEG\r\n";
const FIXED: usize = 48;
/// The version of the format that this code writes, and the newest that it reads.
const SEGMENT_VERSION: u32 = 1;

/// Who a segment file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader<'a> {
    pub(crate) stream: StreamId,
    pub(crate) first: u64,
    pub(crate) created: Timestamp,
    pub(crate) name: &'a [u8],
}

impl<'a> SegmentHeader<'a> {
    /// Bytes that the header of a stream named `name` takes.
    pub(crate) fn length(name: &[u8]) -> usize {
        (FIXED + name.len()).next_multiple_of(8)
    }

    /// Appends the header.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let length = Self::length(self.name);
        let number = |value: usize| {
            u32::try_from(value)
                .expect("stream names are short")
                .to_le_bytes()
        };
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        body.extend_from_slice(&number(length));
        body.extend_from_slice(&number(self.name.len()));
        body.extend_from_slice(&self.stream.0.to_le_bytes());
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend_from_slice(&self.created.as_nanos().to_le_bytes());
        body.extend_from_slice(self.name);
        body.resize(length - 12, 0);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&crc32c(&body).to_le_bytes());
        out.extend_from_slice(&body);
        assert_eq!(out.len() - start, length);
    }

    /// Reads a header.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        Self::parts(bytes).unwrap_or(Err(HeaderError::Damaged))
    }

    fn parts(bytes: &'a [u8]) -> Option<Result<Self, HeaderError>> {
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let wide = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let body = bytes.get(12..usize::try_from(number(16)?).ok()?)?;
        if bytes.first_chunk()? != MAGIC || crc32c(body) != number(8)? {
            return None;
        }
        if number(12)? != SEGMENT_VERSION {
            let newer = HeaderError::Newer {
                version: number(12)?,
                supported: SEGMENT_VERSION,
            };
            return Some(Err(newer));
        }
        let name_end = FIXED.checked_add(usize::try_from(number(20)?).ok()?)?;
        Some(Ok(Self {
            stream: StreamId(wide(24)?),
            first: wide(32)?,
            created: Timestamp::from_nanos(wide(40)?.cast_signed()),
            name: bytes.get(FIXED..name_end)?,
        }))
    }
}

/// Why a file does not begin with a header that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// It is not a header, or fails its check.
    Damaged,
    /// A newer version wrote it.
    Newer {
        /// The version of the file.
        version: u32,
        /// The newest version that can be read.
        supported: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_passes() {
        let header = SegmentHeader {
            stream: StreamId(3),
            first: 17,
            created: Timestamp::from_nanos(5),
            name: b"ORDERS",
        };
        let mut bytes = Vec::new();
        header.put(&mut bytes);
        assert_eq!(bytes.len(), SegmentHeader::length(b"ORDERS"));
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let expected = Err(HeaderError::Damaged);
            assert_eq!(SegmentHeader::parse(&wrong), expected, "bit {bit}");
        }
        bytes[12] = 2;
        let checksum = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            SegmentHeader::parse(&bytes),
            Err(HeaderError::Newer {
                version: 2,
                supported: 1
            })
        );
    }
}
