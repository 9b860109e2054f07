//! From frames to the bytes that they carry.

use std::fmt;

use crate::close::{CloseStatus, put_close, put_empty_close};
use crate::header::{HEADER_MAX, Header, OpCode, Parsed, put_header};
use crate::inflate::{Corrupt, Inflater};
use crate::mask::Mask;

/// Masked bytes that are handed to the decompression at a time.
const PIECE_BYTES: usize = 1024;

/// What a client sends after the upgrade, fed in pieces of any size.
///
/// Payloads are passed on as they come: no frame and no message is ever gathered. Between frames the decoder owns no memory; within a
/// compressed message it owns the state of the decompression (about 40 KiB).
#[derive(Debug)]
pub struct Decoder {
    /// Whether compression was agreed on.
    compression: bool,
    /// Most bytes that a compressed message may stand for.
    inflated_max: u64,
    state: State,
    message: Message,
    inflater: Option<Box<Inflater>>,
    /// What the compressed message has brought so far.
    inflated: u64,
}

/// Where in a frame the decoder is.
#[derive(Debug)]
enum State {
    /// In the header; the bytes of it that came.
    Header([u8; HEADER_MAX], u8),
    /// In the payload of a frame with data: bytes to come, and their mask.
    Data { left: u64, mask: Mask, last: bool },
    /// Behind the last byte of a compressed message, which may stand for more than there was room for.
    Tail,
    /// In the payload of a control frame.
    Control {
        op: OpCode,
        left: usize,
        mask: Mask,
        payload: Vec<u8>,
    },
}

/// What kind of message the frames belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// The next data frame begins one.
    None,
    Plain,
    Compressed,
}

/// The peer's frames end here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub cause: Cause,
    /// The close frame that answers it. Nothing may be sent behind it; empty when the connection is closed with another one.
    pub close: Vec<u8>,
}

/// Why a peer's frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer closed.
    Closed,
    /// The peer broke the protocol.
    Violation(Violation),
    /// A compressed message stands for more bytes than allowed.
    TooLarge,
}

/// How a peer broke the protocol. Shown as nats-server words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A bit is set that no extension uses.
    ReservedBits,
    /// A frame says that it is compressed, and nobody agreed on that.
    NotNegotiated,
    /// A client's frame is not masked.
    NotMasked,
    /// An opcode without meaning.
    UnknownOpCode(u8),
    /// A control frame with more than 125 bytes.
    ControlTooLong,
    /// A control frame in pieces.
    ControlFragmented,
    /// A control frame that says it is compressed.
    ControlCompressed,
    /// A message begins before the last one ended.
    MessageNotFinished,
    /// A frame goes on with a message that did not begin, or says again that it is compressed.
    Continuation,
    /// A length with the highest bit set.
    LengthTooLarge,
    /// A close frame with half a status.
    CloseOfOneByte,
    /// A close frame with a status that must not be sent.
    CloseStatus(u16),
    /// A compressed message that no compressor wrote.
    Deflate,
}

impl Violation {
    /// The status of the close frame that answers it.
    #[must_use]
    pub fn status(self) -> CloseStatus {
        match self {
            Self::Deflate => CloseStatus::INVALID_DATA,
            _ => CloseStatus::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "RSV2 and RSV3 must be clear",
            Self::NotNegotiated => {
                "compressed frame received without negotiated permessage-deflate"
            }
            Self::NotMasked => "mask bit missing",
            Self::UnknownOpCode(code) => return write!(f, "unknown opcode {code}"),
            Self::ControlTooLong => "control frame length bigger than maximum allowed of 125 bytes",
            Self::ControlFragmented => "control frame does not have final bit set",
            Self::ControlCompressed => "control frame must not be compressed",
            Self::MessageNotFinished => {
                "new message started before final frame for previous message was received"
            }
            Self::Continuation => "invalid continuation frame",
            Self::LengthTooLarge => "invalid 64-bit payload length",
            Self::CloseOfOneByte => "close frame payload cannot be 1 byte",
            Self::CloseStatus(code) => return write!(f, "invalid close status code {code}"),
            Self::Deflate => "corrupt compressed message",
        })
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        let mut close = Vec::new();
        put_close(&mut close, violation.status(), &violation.to_string());
        Self {
            cause: Cause::Violation(violation),
            close,
        }
    }
}

impl From<Corrupt> for End {
    fn from(_: Corrupt) -> Self {
        Violation::Deflate.into()
    }
}

impl Decoder {
    /// The decoder of a connection; `compression` as it was agreed on. A compressed message that stands for more than `inflated_max`
    /// bytes ends the connection.
    #[must_use]
    pub fn new(compression: bool, inflated_max: u64) -> Self {
        Self {
            compression,
            inflated_max,
            state: State::between(),
            message: Message::None,
            inflater: None,
            inflated: 0,
        }
    }

    /// Takes bytes from the wire and appends what they carry to `plain` until that holds `plain_max` bytes; appends to `answer` what
    /// the peer is to get at once: pongs. Returns with `wire` empty unless `plain` is full: call again then, even with
    /// an empty `wire`.
    ///
    /// # Errors
    /// [`End`]: nothing that comes later counts; what was appended does.
    pub fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), End> {
        while plain.len() < plain_max {
            let room = plain_max - plain.len();
            match &mut self.state {
                State::Tail => {
                    if !self.end_inflated(plain, room)? {
                        return Ok(());
                    }
                }
                State::Header(bytes, count) => {
                    let Some(header) = gather_header(bytes, count, wire)? else {
                        return Ok(());
                    };
                    self.on_header(&header)?;
                }
                State::Control { left, payload, .. } if *left > 0 => {
                    let Some(piece) = take(wire, *left) else {
                        return Ok(());
                    };
                    *left -= piece.len();
                    payload.extend_from_slice(piece);
                }
                State::Control {
                    op, mask, payload, ..
                } => {
                    mask.apply(payload);
                    let (op, payload) = (*op, std::mem::take(payload));
                    self.state = State::between();
                    on_control(op, &payload, answer)?;
                }
                State::Data { left: 0, last, .. } => {
                    let last = *last;
                    self.end_frame(last);
                }
                State::Data { .. } if wire.is_empty() => return Ok(()),
                State::Data { .. } if self.message == Message::Compressed => {
                    self.inflate(wire, plain, room)?;
                }
                State::Data { left, mask, .. } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(room);
                    let piece = take(wire, most).unwrap_or_default();
                    let start = plain.len();
                    plain.extend_from_slice(piece);
                    mask.apply(&mut plain[start..]);
                    mask.advance(piece.len());
                    *left -= piece.len() as u64;
                }
            }
        }
        Ok(())
    }

    fn on_header(&mut self, header: &Header) -> Result<(), Violation> {
        if header.compressed && !self.compression {
            return Err(Violation::NotNegotiated);
        }
        match header.op {
            OpCode::Close | OpCode::Ping | OpCode::Pong => {
                if header.compressed {
                    return Err(Violation::ControlCompressed);
                }
                self.state = State::Control {
                    op: header.op,
                    // Checked with the header: at most 125.
                    left: usize::try_from(header.length).unwrap_or_default(),
                    mask: header.mask,
                    payload: Vec::new(),
                };
                return Ok(());
            }
            OpCode::Continuation => {
                if self.message == Message::None || header.compressed {
                    return Err(Violation::Continuation);
                }
            }
            OpCode::Text | OpCode::Binary => {
                if self.message != Message::None {
                    return Err(Violation::MessageNotFinished);
                }
                self.message = match header.compressed {
                    true => Message::Compressed,
                    false => Message::Plain,
                };
            }
        }
        self.state = State::Data {
            left: header.length,
            mask: header.mask,
            last: header.last,
        };
        Ok(())
    }

    /// Behind the payload of a data frame.
    fn end_frame(&mut self, last: bool) {
        self.state = match (last, self.message) {
            (true, Message::Compressed) => State::Tail,
            _ => State::between(),
        };
        if last && self.message == Message::Plain {
            self.message = Message::None;
        }
    }

    /// Decompresses some of the payload.
    fn inflate(&mut self, wire: &mut &[u8], plain: &mut Vec<u8>, room: usize) -> Result<(), End> {
        let State::Data { left, mask, .. } = &mut self.state else {
            return Ok(());
        };
        let inflater = self
            .inflater
            .get_or_insert_with(|| Box::new(Inflater::new()));
        let mut buffer = [0; PIECE_BYTES];
        let most = usize::try_from(*left).unwrap_or(usize::MAX);
        let count = wire.len().min(most).min(PIECE_BYTES);
        let piece = &mut buffer[..count];
        piece.copy_from_slice(&wire[..count]);
        mask.apply(piece);
        let before = plain.len();
        let taken = inflater.feed(piece, plain, room)?;
        // What was not taken for lack of room is unmasked again next time.
        *wire = &wire[taken..];
        mask.advance(taken);
        *left -= taken as u64;
        self.count_inflated(plain.len() - before)
    }

    /// Behind the payload of a compressed message. Returns whether it is complete.
    fn end_inflated(&mut self, plain: &mut Vec<u8>, room: usize) -> Result<bool, End> {
        let before = plain.len();
        let inflater = self
            .inflater
            .get_or_insert_with(|| Box::new(Inflater::new()));
        let complete = inflater.finish(plain, room)?;
        self.count_inflated(plain.len() - before)?;
        if complete {
            self.state = State::between();
            self.message = Message::None;
            self.inflater = None;
            self.inflated = 0;
        }
        Ok(complete)
    }

    fn count_inflated(&mut self, bytes: usize) -> Result<(), End> {
        self.inflated += bytes as u64;
        match self.inflated > self.inflated_max {
            true => Err(End {
                cause: Cause::TooLarge,
                close: Vec::new(),
            }),
            false => Ok(()),
        }
    }
}

impl State {
    /// Before the first byte of a frame.
    fn between() -> Self {
        Self::Header([0; HEADER_MAX], 0)
    }
}

/// Takes bytes of the header; returns it when it is complete.
fn gather_header(
    bytes: &mut [u8; HEADER_MAX],
    count: &mut u8,
    wire: &mut &[u8],
) -> Result<Option<Header>, Violation> {
    loop {
        let held = usize::from(*count);
        let needed = match Header::parse(&bytes[..held])? {
            Parsed::Header(header, _) => return Ok(Some(header)),
            Parsed::Needs(needed) => needed,
        };
        let Some(piece) = take(wire, needed - held) else {
            return Ok(None);
        };
        bytes[held..held + piece.len()].copy_from_slice(piece);
        // At most 14.
        *count += u8::try_from(piece.len()).unwrap_or_default();
    }
}

/// Takes at most `most` bytes of the wire; `None` if there are none.
fn take<'a>(wire: &mut &'a [u8], most: usize) -> Option<&'a [u8]> {
    if wire.is_empty() {
        return None;
    }
    let (piece, rest) = wire.split_at(wire.len().min(most));
    *wire = rest;
    Some(piece)
}

fn on_control(op: OpCode, payload: &[u8], answer: &mut Vec<u8>) -> Result<(), End> {
    match op {
        OpCode::Ping => {
            put_header(answer, OpCode::Pong, true, false, payload.len());
            answer.extend_from_slice(payload);
            Ok(())
        }
        OpCode::Close => Err(End {
            cause: Cause::Closed,
            close: close_answer(payload)?,
        }),
        _ => Ok(()),
    }
}

/// A close frame is answered with its own status and text.
fn close_answer(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    let mut answer = Vec::new();
    match payload {
        [] => put_empty_close(&mut answer),
        [_] => return Err(Violation::CloseOfOneByte),
        &[high, low, ref text @ ..] => {
            let code = u16::from_be_bytes([high, low]);
            let status = CloseStatus::received(code).ok_or(Violation::CloseStatus(code))?;
            match str::from_utf8(text) {
                Ok(text) => put_close(&mut answer, status, text),
                Err(_) => {
                    let text = "invalid utf8 body in close frame";
                    put_close(&mut answer, CloseStatus::INVALID_DATA, text);
                }
            }
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
