//! The header of a segment file. All numbers are little-endian.
//!
//! ```text
//!  0  [8]  magic "EVJSEG\r\n"
//!  8  u32  checksum: CRC-32C of bytes 12 to the end of the header
//! 12  u32  format version: 1, or 2 in a file that the segment was rewritten into
//! 16  u32  length of the header, a multiple of 8: the first record follows
//! 20  u32  length of the stream's name
//! 24  u64  stream id
//! 32  u64  first sequence: the first message of the segment has it
//! 40  i64  time of the last message before the segment began, or of its first one; nanoseconds since 1970
//! 48  u64  version 2: how many times the segment was rewritten, as in the name of the file
//! ..       the stream's name, then zeros
//! ```

use everjet_values::Timestamp;

use crate::StreamId;
use crate::checksum::crc32c;

const MAGIC: &[u8; 8] = b"EVJSEG\r\n";
const FIXED: usize = 48;
/// What a rewritten segment has more.
const REVISION: usize = 8;
/// The version of the format of segments as they are first written.
const VERSION: u32 = 1;
/// The version of those that were rewritten, and the newest that this code reads.
const VERSION_REWRITTEN: u32 = 2;

/// Who a segment file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader<'a> {
    pub(crate) stream: StreamId,
    pub(crate) first: u64,
    /// How many times the segment was rewritten.
    pub(crate) revision: u32,
    pub(crate) created: Timestamp,
    pub(crate) name: &'a [u8],
}

impl<'a> SegmentHeader<'a> {
    /// Bytes that the header of a segment of a stream named `name` takes.
    pub(crate) fn length(name: &[u8], revision: u32) -> usize {
        (fixed(revision) + name.len()).next_multiple_of(8)
    }

    /// Appends the header.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let length = Self::length(self.name, self.revision);
        let number = |value: usize| {
            u32::try_from(value)
                .expect("stream names are short")
                .to_le_bytes()
        };
        let mut body = Vec::with_capacity(length);
        let version = match self.revision {
            0 => VERSION,
            _ => VERSION_REWRITTEN,
        };
        body.extend_from_slice(&version.to_le_bytes());
        body.extend_from_slice(&number(length));
        body.extend_from_slice(&number(self.name.len()));
        body.extend_from_slice(&self.stream.0.to_le_bytes());
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend_from_slice(&self.created.as_nanos().to_le_bytes());
        if self.revision > 0 {
            body.extend_from_slice(&u64::from(self.revision).to_le_bytes());
        }
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
        let version = number(12)?;
        if version > VERSION_REWRITTEN {
            let newer = HeaderError::Newer {
                version,
                supported: VERSION_REWRITTEN,
            };
            return Some(Err(newer));
        }
        let revision = match version {
            VERSION => 0,
            VERSION_REWRITTEN => u32::try_from(wide(48)?).ok().filter(|&at| at > 0)?,
            _ => return None,
        };
        let name_start = fixed(revision);
        let name_end = name_start.checked_add(usize::try_from(number(20)?).ok()?)?;
        Some(Ok(Self {
            stream: StreamId(wide(24)?),
            first: wide(32)?,
            revision,
            created: Timestamp::from_nanos(wide(40)?.cast_signed()),
            name: bytes.get(name_start..name_end)?,
        }))
    }
}

/// Where the stream's name begins.
fn fixed(revision: u32) -> usize {
    match revision {
        0 => FIXED,
        _ => FIXED + REVISION,
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
        for revision in [0, 3] {
            check(revision);
        }
    }

    fn check(revision: u32) {
        let header = SegmentHeader {
            stream: StreamId(3),
            first: 17,
            revision,
            created: Timestamp::from_nanos(5),
            name: b"ORDERS",
        };
        let mut bytes = Vec::new();
        header.put(&mut bytes);
        assert_eq!(bytes.len(), SegmentHeader::length(b"ORDERS", revision));
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let expected = Err(HeaderError::Damaged);
            assert_eq!(SegmentHeader::parse(&wrong), expected, "bit {bit}");
        }
        bytes[12] = 3;
        let checksum = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(
            SegmentHeader::parse(&bytes),
            Err(HeaderError::Newer {
                version: 3,
                supported: 2
            })
        );
    }
}
