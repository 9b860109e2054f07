//! The messages of a batch as bytes, while they are staged and in the journal.
//!
//! Each is a byte that says what becomes of it (0: it is stored; 1: it only takes a sequence, because no consumer wants it), then
//! subject, headers and payload as bytes of [`everjet_consumer::codec`].

use everjet_consumer::codec::{Malformed, Reader, put_bytes};

use crate::Publish;
use crate::apply::MessageFate;
use crate::checks::{HEADERS_MAX, SUBJECT_MAX};

const STORED: u8 = 0;
const SKIPPED: u8 = 1;

/// Fewest bytes that a message takes: what says what becomes of it, three lengths, a subject.
const MEMBER_BYTES_MIN: usize = 5;

/// One message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) fate: MessageFate,
    pub(crate) subject: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Member<'a> {
    /// The message as it was published, but for its reply subject.
    pub(super) fn publish(&self) -> Publish<'a> {
        Publish {
            subject: self.subject,
            reply: b"",
            headers: self.headers,
            payload: self.payload,
        }
    }

    /// Appends it to `out`.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.fate {
            MessageFate::Stored => STORED,
            MessageFate::Skipped => SKIPPED,
        });
        put_bytes(out, self.subject);
        put_bytes(out, self.headers);
        put_bytes(out, self.payload);
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let fate = match reader.byte()? {
            STORED => MessageFate::Stored,
            SKIPPED => MessageFate::Skipped,
            _ => return Err(Malformed),
        };
        let member = Self {
            fate,
            subject: reader.bytes()?,
            headers: reader.bytes()?,
            payload: reader.bytes()?,
        };
        let fits = !member.subject.is_empty()
            && member.subject.len() <= SUBJECT_MAX
            && member.headers.len() <= HEADERS_MAX;
        if fits { Ok(member) } else { Err(Malformed) }
    }
}

/// All messages of a batch; there is at least one.
///
/// # Errors
/// [`Malformed`]: then nothing of it may be applied.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Member<'_>>, Malformed> {
    let mut members = Vec::with_capacity((bytes.len() / MEMBER_BYTES_MIN).min(1024));
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        members.push(Member::read(&mut reader)?);
    }
    if members.is_empty() {
        return Err(Malformed);
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_as_they_were_written() {
        let mut bytes = Vec::new();
        let members = [
            (MessageFate::Stored, &b"a.b"[..], &b"NATS/1.0\r\n\r\n"[..]),
            (MessageFate::Skipped, b"c", b""),
        ]
        .map(|(fate, subject, headers)| Member {
            fate,
            subject,
            headers,
            payload: b"hello",
        });
        for member in members {
            member.put(&mut bytes);
        }
        assert_eq!(decode(&bytes), Ok(members.to_vec()));
        for end in 0..bytes.len() {
            let cut = decode(&bytes[..end]);
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut.len() == 1), "{end}");
        }
        assert_eq!(decode(b""), Err(Malformed));
        assert_eq!(decode(b"\x02\x01a\x00\x00"), Err(Malformed));
        assert_eq!(decode(b"\x00\x00\x00\x00"), Err(Malformed));
    }
}
