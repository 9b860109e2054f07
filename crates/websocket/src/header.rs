//! Frame headers (RFC 6455, section 5.2).
//!
//! ```text
//! offset 0   bit 7 last frame of its message, bit 6 compressed (RSV1), bits 5-4 zero, bits 3-0 opcode
//! offset 1   bit 7 masked, bits 6-0 length; 126: 16 bits follow, 127: 64 bits follow
//! then       the length, big-endian, 0, 2 or 8 bytes
//! then       the masking key, 4 bytes if masked
//! ```

use crate::Violation;
use crate::mask::Mask;

/// The longest header: with a length of 64 bits and a masking key.
pub(crate) const HEADER_MAX: usize = 14;

/// Bytes of the payload of a control frame.
pub(crate) const CONTROL_PAYLOAD_MAX: usize = 125;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpCode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl OpCode {
    fn of(byte: u8) -> Result<Self, Violation> {
        Ok(match byte & 0xf {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(Violation::UnknownOpCode(other)),
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a frame that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) op: OpCode,
    /// The last frame of its message.
    pub(crate) last: bool,
    pub(crate) compressed: bool,
    /// Bytes of the payload, as announced.
    pub(crate) length: u64,
    pub(crate) mask: Mask,
}

/// What follows from the first bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The header is not complete before it has so many bytes.
    Needs(usize),
    /// The header, and its size.
    Header(Header, usize),
}

impl Header {
    /// Reads the beginning of a frame.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Violation> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(Parsed::Needs(2));
        };
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBits);
        }
        if second & MASKED == 0 {
            return Err(Violation::NotMasked);
        }
        let op = OpCode::of(first)?;
        let (last, compressed) = (first & FINAL != 0, first & COMPRESSED != 0);
        let short = second & !MASKED;
        if op.is_control() {
            if usize::from(short) > CONTROL_PAYLOAD_MAX {
                return Err(Violation::ControlTooLong);
            }
            if !last {
                return Err(Violation::ControlFragmented);
            }
        }
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let size = 2 + extended + 4;
        let (Some(extended), Some(key)) = (
            rest.get(..extended),
            rest.get(extended..).and_then(<[u8]>::first_chunk),
        ) else {
            return Ok(Parsed::Needs(size));
        };
        let length = match extended.len() {
            0 => u64::from(short),
            _ => extended
                .iter()
                .fold(0, |length, &byte| (length << 8) | u64::from(byte)),
        };
        if length > i64::MAX.cast_unsigned() {
            return Err(Violation::LengthTooLarge);
        }
        let header = Self {
            op,
            last,
            compressed,
            length,
            mask: Mask::new(*key),
        };
        Ok(Parsed::Header(header, size))
    }
}

/// Appends the header of a frame to a client, which is not masked.
pub(crate) fn put_header(
    wire: &mut Vec<u8>,
    op: OpCode,
    last: bool,
    compressed: bool,
    length: usize,
) {
    let mut first = op as u8;
    if last {
        first |= FINAL;
    }
    if compressed {
        first |= COMPRESSED;
    }
    wire.push(first);
    if let (Ok(short), true) = (u8::try_from(length), length <= CONTROL_PAYLOAD_MAX) {
        wire.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        wire.push(126);
        wire.extend_from_slice(&medium.to_be_bytes());
    } else {
        wire.push(127);
        wire.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_length(length: usize, expected: &[u8]) {
        let mut wire = Vec::new();
        put_header(&mut wire, OpCode::Binary, true, false, length);
        assert_eq!(wire, expected);
        // As a client sends it.
        wire[1] |= MASKED;
        let size = wire.len() + 4;
        while wire.len() < size {
            match Header::parse(&wire) {
                Ok(Parsed::Needs(needed)) => assert!(wire.len() < needed && needed <= size),
                other => panic!("{other:?} of {wire:?}"),
            }
            wire.push(7);
        }
        let header = Header {
            op: OpCode::Binary,
            last: true,
            compressed: false,
            length: length as u64,
            mask: Mask::new([7; 4]),
        };
        assert_eq!(Header::parse(&wire), Ok(Parsed::Header(header, size)));
    }

    #[test]
    fn lengths_take_7_16_or_64_bits() {
        check_length(0, &[0x82, 0]);
        check_length(125, &[0x82, 125]);
        check_length(126, &[0x82, 126, 0, 126]);
        check_length(65_535, &[0x82, 126, 255, 255]);
        check_length(65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn the_longest_header_fits() {
        let frame = [[0x82, 0xff, 0, 0, 0, 0, 0].as_slice(), &[1; 7]].concat();
        assert_eq!(frame.len(), HEADER_MAX);
        let parsed = Header::parse(&frame);
        assert!(matches!(parsed, Ok(Parsed::Header(_, HEADER_MAX))));
    }
}
