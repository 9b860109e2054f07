//! The records of a message block. All numbers are little-endian.
//!
//! ```text
//!  0  u32  length of the whole record; the top bit: there are headers
//!  4  u64  sequence; bit 63: the message was erased, bit 62: a tombstone, the message of that sequence was removed
//! 12  i64  time in nanoseconds since 1970
//! 20  u16  subject length
//! 22       subject, [u32 header length, headers,] payload
//!    [8]   checksum of bytes 4 to 20, subject, headers and payload
//! ```
//! The checksum does not cover the lengths of subject and headers: where they end is told by what they look like.

use crate::checksum::Checksum;
use crate::input::Input;

/// Bytes before the subject.
const HEADER: usize = 22;
/// Longest record that nats-server takes for one.
const LENGTH_MAX: usize = 32 << 20;

const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const TOMBSTONE: u64 = 1 << 62;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A message.
    Message,
    /// There was a message; its bytes were overwritten.
    Erased,
    /// The message of that sequence, which may be in another block, was removed.
    Tombstone,
}

/// A record that passed its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it says.
    pub kind: RecordKind,
    /// The sequence it is about.
    pub sequence: u64,
    /// The time of the message in nanoseconds since 1970.
    pub time: i64,
    /// The subject; empty when there is no message.
    pub subject: &'a [u8],
    /// The header block; empty when there is none.
    pub headers: &'a [u8],
    /// The body.
    pub payload: &'a [u8],
    /// Where it begins in the unpacked block.
    pub offset: usize,
    /// How long it is.
    pub length: usize,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// It ends after the file does.
    CutShort,
    /// The lengths do not fit each other.
    Lengths,
    /// The checksum does not match.
    Checksum,
    /// What should be a subject or headers is none.
    Shape,
}

impl BadRecord {
    /// For a person.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::CutShort => "a record ends behind the end of the file",
            Self::Lengths => "the lengths of a record do not fit each other",
            Self::Checksum => "the checksum of a record does not match",
            Self::Shape => "the subject or the headers of a record are none",
        }
    }
}

/// What stands at one place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned<'a> {
    /// A record.
    Record(Record<'a>),
    /// Bytes that are none.
    Damage {
        /// Where they begin in the unpacked block.
        offset: usize,
        /// How many they are.
        length: usize,
        /// Why.
        why: BadRecord,
        /// They are the block's last and look like a write that a crash cut short.
        torn: bool,
    },
}

/// The records of a block, and what stands between them.
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    checksum: Checksum,
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8], checksum: Checksum) -> Self {
        Self {
            bytes,
            checksum,
            at: 0,
        }
    }

    /// The record at a position.
    fn parse(&self, at: usize) -> Result<Record<'a>, BadRecord> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let parts = split(rest)?;
        let sum = self
            .checksum
            .of(&[parts.identity, parts.subject, parts.headers, parts.payload]);
        if sum != parts.checksum {
            return Err(BadRecord::Checksum);
        }
        let kind = match parts.sequence {
            sequence if sequence & TOMBSTONE != 0 => RecordKind::Tombstone,
            sequence if sequence & ERASED != 0 || sequence == 0 => RecordKind::Erased,
            _ => RecordKind::Message,
        };
        let is_message = kind == RecordKind::Message;
        if is_message && !(is_subject(parts.subject) && is_headers(&parts)) {
            return Err(BadRecord::Shape);
        }
        Ok(Record {
            kind,
            sequence: parts.sequence & !(TOMBSTONE | ERASED),
            time: parts.time,
            subject: if is_message { parts.subject } else { &[] },
            headers: if is_message { parts.headers } else { &[] },
            payload: if is_message { parts.payload } else { &[] },
            offset: at,
            length: parts.length,
        })
    }

    /// Where records go on after bytes at `at` that are none: behind them when their length is right, else where a chain of records
    /// begins that reaches the end. A payload that holds records of its own is not taken for such a chain.
    fn resume(&self, at: usize) -> usize {
        let end = self.bytes.len();
        let rest = self.bytes.get(at..).unwrap_or_default();
        if let Ok(parts) = split(rest) {
            let next = at + parts.length;
            if next == end || self.parse(next).is_ok() {
                return next;
            }
        }
        (at + 1..end)
            .find(|&next| self.parse(next).is_ok() && self.is_chain(next))
            .unwrap_or(end)
    }

    fn is_chain(&self, mut at: usize) -> bool {
        while at < self.bytes.len() {
            match self.parse(at) {
                Ok(record) => at += record.length,
                Err(_) => return false,
            }
        }
        true
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Scanned<'a>;

    fn next(&mut self) -> Option<Scanned<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let offset = self.at;
        let why = match self.parse(offset) {
            Ok(record) => {
                self.at += record.length;
                return Some(Scanned::Record(record));
            }
            Err(why) => why,
        };
        self.at = self.resume(offset);
        let rest = self.bytes.get(offset..self.at).unwrap_or_default();
        let looks_torn = why == BadRecord::CutShort || rest.iter().all(|byte| *byte == 0);
        Some(Scanned::Damage {
            offset,
            length: rest.len(),
            why,
            torn: looks_torn && self.at == self.bytes.len(),
        })
    }
}

/// The parts of a record whose lengths fit.
struct Parts<'a> {
    length: usize,
    sequence: u64,
    time: i64,
    /// Sequence and time as the checksum covers them.
    identity: &'a [u8],
    subject: &'a [u8],
    has_headers: bool,
    headers: &'a [u8],
    payload: &'a [u8],
    checksum: [u8; Checksum::LENGTH],
}

fn split(bytes: &[u8]) -> Result<Parts<'_>, BadRecord> {
    parts(bytes).unwrap_or(Err(BadRecord::Lengths))
}

/// `None` when the lengths do not fit each other.
fn parts(bytes: &[u8]) -> Option<Result<Parts<'_>, BadRecord>> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Some(Err(BadRecord::CutShort));
    };
    let mut fields = Input(header);
    let length = fields.u32()?;
    let has_headers = length & HAS_HEADERS != 0;
    let length = usize::try_from(length & !HAS_HEADERS).ok()?;
    if !(HEADER + Checksum::LENGTH..=LENGTH_MAX).contains(&length) {
        return None;
    }
    let Some(record) = bytes.get(..length) else {
        return Some(Err(BadRecord::CutShort));
    };
    let (sequence, time) = (fields.u64()?, fields.u64()?.cast_signed());
    let (body, checksum) = record.get(HEADER..)?.split_last_chunk()?;
    let mut body = Input(body);
    let subject = body.take(usize::from(u16::from_le_bytes(*header.last_chunk()?)))?;
    let headers = if has_headers {
        let length = usize::try_from(body.u32()?).ok()?;
        body.take(length)?
    } else {
        &[]
    };
    Some(Ok(Parts {
        length,
        sequence,
        time,
        identity: header.get(4..20)?,
        subject,
        has_headers,
        headers,
        payload: body.0,
        checksum: *checksum,
    }))
}

/// Whether these can be the bytes of a subject: tokens between dots, without blanks, control characters or wildcards.
fn is_subject(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'.').all(|token| {
        !matches!(token, b"" | b"*" | b">")
            && token.iter().all(|byte| *byte > b' ' && *byte != 0x7F)
    })
}

/// Whether the headers are a block of headers that ends where it ends.
fn is_headers(parts: &Parts<'_>) -> bool {
    let headers = parts.headers;
    if !parts.has_headers {
        return true;
    }
    headers.starts_with(b"NATS/1.0")
        && headers.ends_with(b"\r\n\r\n")
        && !headers
            .get(..headers.len() - 1)
            .unwrap_or_default()
            .windows(4)
            .any(|four| four == b"\r\n\r\n")
}
