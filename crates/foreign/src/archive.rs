//! The archive that a backup of a stream is since nats-server 2.15, inside the compressed stream ([`crate::Framer`]).
//!
//! ```text
//! archive := "NATSARC1" entry*
//! entry   := name-length:uvarint time:varint (ns since 1970) sequence:uvarint header-length:uvarint payload-length:uvarint
//!            name headers payload
//! ```
//! In this order: `state.json`, `consumers/<name>` for each consumer, the messages with their subjects as names, and an entry in which
//! everything is zero and empty. Without that one the archive was cut off.

use everjet_values::Timestamp;

use crate::input::Input;

/// How an archive begins.
pub const ARCHIVE_MAGIC: &[u8] = b"NATSARC1";

/// Longest name, and most bytes of one entry that are read: no message of any server is larger.
const NAME_MAX: u64 = 1 << 20;
const CONTENT_MAX: u64 = 128 << 20;
/// Five numbers of up to ten bytes.
const HEAD_MAX: usize = 50;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveEntry<'a> {
    /// What it is, or the subject of a message.
    pub name: &'a [u8],
    /// When the message was stored.
    pub time: Timestamp,
    /// Sequence of a message; zero for everything else.
    pub sequence: u64,
    /// Header block of a message.
    pub headers: &'a [u8],
    /// The content.
    pub payload: &'a [u8],
}

impl ArchiveEntry<'_> {
    /// The entry that ends an archive.
    pub const END: Self = Self {
        name: b"",
        time: Timestamp::from_nanos(0),
        sequence: 0,
        headers: b"",
        payload: b"",
    };

    /// Adds the entry to an archive.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.name.len() as u64);
        let nanos = self.time.as_nanos();
        put_uvarint(out, ((nanos << 1) ^ (nanos >> 63)).cast_unsigned());
        put_uvarint(out, self.sequence);
        put_uvarint(out, self.headers.len() as u64);
        put_uvarint(out, self.payload.len() as u64);
        for part in [self.name, self.headers, self.payload] {
            out.extend_from_slice(part);
        }
    }
}

fn put_uvarint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Reads the first entry of `bytes`, and how long it is; `None` when there is more to come.
///
/// # Errors
/// What is wrong with it.
pub fn read_archive_entry(bytes: &[u8]) -> Result<Option<(ArchiveEntry<'_>, usize)>, &'static str> {
    let mut input = Input(bytes);
    let Some((name, time, sequence, headers, payload)) = head(&mut input) else {
        return if bytes.len() < HEAD_MAX {
            Ok(None)
        } else {
            Err("an entry of the archive does not begin as one")
        };
    };
    let is_too_long = name > NAME_MAX || headers > CONTENT_MAX || payload > CONTENT_MAX - headers;
    if is_too_long {
        return Err("an entry of the archive claims to be too long");
    }
    let mut take = |length: u64| input.take(usize::try_from(length).ok()?);
    let (Some(name), Some(headers), Some(payload)) = (take(name), take(headers), take(payload))
    else {
        return Ok(None);
    };
    let entry = ArchiveEntry {
        name,
        time: Timestamp::from_nanos(time),
        sequence,
        headers,
        payload,
    };
    Ok(Some((entry, bytes.len() - input.0.len())))
}

fn head(input: &mut Input<'_>) -> Option<(u64, i64, u64, u64, u64)> {
    Some((
        input.uvarint()?,
        input.varint()?,
        input.uvarint()?,
        input.uvarint()?,
        input.uvarint()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_out_as_they_went_in_and_not_before_they_are_whole() {
        let entries = [
            ArchiveEntry {
                name: b"state.json",
                payload: b"{}",
                ..ArchiveEntry::END
            },
            ArchiveEntry {
                name: b"order.new",
                time: Timestamp::from_nanos(1_795_242_280_129_320_430),
                sequence: u64::MAX,
                headers: b"NATS/1.0\r\n\r\n",
                payload: &[7; 300],
            },
            ArchiveEntry {
                name: b"old",
                time: Timestamp::from_nanos(-5),
                sequence: 1,
                ..ArchiveEntry::END
            },
            ArchiveEntry::END,
        ];
        for entry in entries {
            let mut bytes = Vec::new();
            entry.put(&mut bytes);
            let length = bytes.len();
            for cut in 0..length {
                assert_eq!(read_archive_entry(&bytes[..cut]), Ok(None), "{cut}");
            }
            bytes.extend_from_slice(b"more");
            assert_eq!(read_archive_entry(&bytes), Ok(Some((entry, length))));
        }
    }

    #[test]
    fn lengths_that_make_no_sense_are_refused() {
        for head in [
            [&[0xFF; 9][..], &[1, 0, 0, 0, 0]].concat(),
            [&[0, 0, 0][..], &[0xFF; 9], &[1, 0]].concat(),
            [&[0, 0, 0, 0][..], &[0xFF; 9], &[1]].concat(),
            vec![0xFF; HEAD_MAX],
        ] {
            assert!(read_archive_entry(&head).is_err(), "{head:?}");
        }
    }
}
