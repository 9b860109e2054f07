//! Close frames: their status and text (RFC 6455, sections 5.5.1 and 7.4).

use crate::header::{CONTROL_PAYLOAD_MAX, OpCode, put_header};

/// Bytes of the text that fit a close frame behind the status.
const TEXT_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

/// What a close frame says in its first two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseStatus(u16);

impl CloseStatus {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the connection is of no more use.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer breaks the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The payload is not what it is said to be.
    pub const INVALID_DATA: Self = Self(1007);
    /// The peer breaks a rule of the server.
    pub const POLICY: Self = Self(1008);
    /// A message is larger than the server takes.
    pub const TOO_BIG: Self = Self(1009);
    /// The server cannot go on.
    pub const INTERNAL: Self = Self(1011);

    /// The status as a number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// A status as a peer may send it: those that stand for "nothing was received" or are reserved are not.
    pub(crate) fn received(code: u16) -> Option<Self> {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        valid.then_some(Self(code))
    }
}

/// Appends a close frame. A text that is too long for one ends with `...`.
pub fn put_close(wire: &mut Vec<u8>, status: CloseStatus, text: &str) {
    if text.len() <= TEXT_MAX {
        put_body(wire, status, &[text.as_bytes()]);
    } else {
        let cut = text.floor_char_boundary(TEXT_MAX - 3);
        put_body(wire, status, &[&text.as_bytes()[..cut], b"..."]);
    }
}

/// Appends a close frame that says nothing.
pub(crate) fn put_empty_close(wire: &mut Vec<u8>) {
    put_header(wire, OpCode::Close, true, false, 0);
}

fn put_body(wire: &mut Vec<u8>, status: CloseStatus, pieces: &[&[u8]]) {
    let length = 2 + pieces.iter().map(|piece| piece.len()).sum::<usize>();
    put_header(wire, OpCode::Close, true, false, length);
    wire.extend_from_slice(&status.0.to_be_bytes());
    for piece in pieces {
        wire.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[u8]) {
        let mut wire = Vec::new();
        put_close(&mut wire, CloseStatus::POLICY, text);
        assert_eq!(wire[..2], [0x88, u8::try_from(expected.len() + 2).unwrap()]);
        assert_eq!(wire[2..4], 1008_u16.to_be_bytes());
        assert_eq!(&wire[4..], expected);
    }

    #[test]
    fn the_text_follows_the_status() {
        check("", b"");
        check("Client Closed", b"Client Closed");
        check(&"a".repeat(123), "a".repeat(123).as_bytes());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        check(
            &"a".repeat(124),
            format!("{}...", "a".repeat(120)).as_bytes(),
        );
        check(
            &format!("a{}", "é".repeat(80)),
            format!("a{}...", "é".repeat(59)).as_bytes(),
        );
    }

    #[test]
    fn reserved_status_codes_are_not_received() {
        let valid: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseStatus::received(code).is_some())
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(valid, expected);
    }
}
