//! One file of the journal: its name and its header.
//!
//! A file is named `<generation as 16 hexadecimal digits>.wal`. Its header, numbers little endian:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | `EVERJWAL` |
//! | 8 | 4 | format version, 2 |
//! | 12 | 4 | zero |
//! | 16 | 8 | generation, as in the name |
//! | 24 | 8 | first LSN: records of older files from here on are void |
//! | 32 | 8 | synced: the last LSN known durable when the file was begun |
//! | 40 | 8 | length of the file |
//! | 48 | 4 | CRC-32C of bytes 0..48 |
//! | 52 | 12 | zero |
//! | 64 | 32 | the key of sealed records, see below; anything if there are none |
//! | 96 | 32 | zero |
//! | 128 | 28 | how the file was closed, see below; anything if it was not |
//! | 156 | 4 | zero |
//! | 160 | 28 | the file that follows, see below; anything as long as there is none |
//! | 188 | … | zero |
//! | 4096 | … | records, one after the other |
//!
//! A file of a store with keys names its key twice, in the header and in its last 32 bytes: what becomes unreadable with one
//! place must not be all its records. The copies, where `seal::KeyName` is the cipher, the data key and a salt:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | generation, as in the name |
//! | 8 | 20 | which key: `seal::KeyName` |
//! | 28 | 4 | CRC-32C of bytes 0..28 |
//!
//! An orderly stop closes the file: nothing is ever appended to it again. What a start knows already of a closed file it need
//! not read. A file that was not closed, or whose note fails its check, is searched to its end.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | generation, as in the name |
//! | 8 | 8 | where its records end |
//! | 16 | 8 | next LSN: that of its last record, which is a mark, plus one |
//! | 24 | 4 | CRC-32C of bytes 0..24 |
//!
//! When the next file is begun, the one before notes it: should the next one be gone, a start knows that there was one. The
//! note is durable before anything in the next file is said to be.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | generation of this file |
//! | 8 | 8 | generation of the next one |
//! | 16 | 8 | first LSN of the next one |
//! | 24 | 4 | CRC-32C of bytes 0..24 |
//!
//! A prepared file is called `<…>.spare`, one in preparation `<…>.new`; its length and its header are durable before it is
//! renamed to `.wal`. The generation only grows, by a step that cannot be
//! guessed from outside.

use std::io;
use std::path::{Path, PathBuf};

use everjet_values::{Entropy, SeededEntropy};

use super::record::{self, HEAD_BYTES, number, put};
use crate::checksum::crc32c;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::fault::Fault;
use crate::identity::Lsn;
use crate::seal::{JournalKey, KEY_NAME_BYTES, Keys};

/// Where the first record is.
pub(super) const HEADER_BYTES: u64 = 4096;
const FIELDS_BYTES: usize = 52;
/// Where the header names the key.
const KEY_AT: usize = 64;
/// Bytes that naming the key takes, at the end of the file too.
pub(super) const KEY_BYTES: usize = 32;
/// Where the header says how the file was closed.
pub(super) const CLOSED_AT: u64 = 128;
const CLOSED_BYTES: usize = 28;
/// Where a file says which one follows.
pub(super) const SUCCESSOR_AT: u64 = 160;
const SUCCESSOR_BYTES: usize = 28;
const MAGIC: [u8; 8] = *b"EVERJWAL";
const VERSION: u32 = 2;

/// The header's fields that are not the same in every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) generation: u64,
    pub(super) first: Lsn,
    pub(super) synced: Lsn,
    /// Of the whole file, in bytes.
    pub(super) length: u64,
}

/// What an orderly stop says about the file it has written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// Where its records end.
    pub(super) end: u64,
    /// One more than the LSN of its last record, which is a mark.
    pub(super) next: Lsn,
}

impl Closed {
    pub(super) fn encode(&self, generation: u64) -> [u8; CLOSED_BYTES] {
        let mut bytes = [0; CLOSED_BYTES];
        put(&mut bytes, 0, generation.to_le_bytes());
        put(&mut bytes, 8, self.end.to_le_bytes());
        put(&mut bytes, 16, self.next.0.to_le_bytes());
        let checksum = crc32c(&bytes[..24]);
        put(&mut bytes, 24, checksum.to_le_bytes());
        bytes
    }

    /// `None` when the file was not closed: the place holds zeros, or what was there when the file had another generation.
    fn decode(bytes: &[u8; CLOSED_BYTES], generation: u64) -> Option<Self> {
        let is_valid = number(bytes, 0) == Some(generation.to_le_bytes())
            && number(bytes, 24) == Some(crc32c(&bytes[..24]).to_le_bytes());
        let closed = Self {
            end: u64::from_le_bytes(number(bytes, 8)?),
            next: Lsn(u64::from_le_bytes(number(bytes, 16)?)),
        };
        is_valid.then_some(closed)
    }

    /// Whether a start that needs records from `from` on needs nothing of the file: the last record says nothing.
    pub(super) fn is_before(&self, from: Lsn) -> bool {
        self.next <= from.next()
    }
}

/// What a file says about the one that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    pub(super) generation: u64,
    pub(super) first: Lsn,
}

impl Successor {
    /// The note in the file of `generation`.
    pub(super) fn encode(&self, generation: u64) -> [u8; SUCCESSOR_BYTES] {
        let mut bytes = [0; SUCCESSOR_BYTES];
        put(&mut bytes, 0, generation.to_le_bytes());
        put(&mut bytes, 8, self.generation.to_le_bytes());
        put(&mut bytes, 16, self.first.0.to_le_bytes());
        let checksum = crc32c(&bytes[..24]);
        put(&mut bytes, 24, checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], generation: u64) -> Option<Self> {
        let field = |at| number(bytes, at).map(u64::from_le_bytes);
        let checksum = u32::from_le_bytes(number(bytes, 24)?);
        let is_valid = field(0)? == generation && checksum == crc32c(bytes.get(..24)?);
        let successor = Self {
            generation: field(8)?,
            first: Lsn(field(16)?),
        };
        (is_valid && successor.generation > generation).then_some(successor)
    }
}

/// A journal file that exists.
#[derive(Clone, Debug)]
pub(super) struct WalFile {
    pub(super) path: PathBuf,
    pub(super) generation: u64,
    pub(super) length: u64,
    /// `None` when it is damaged: it was durable before the file got its name, so no crash keeps it from the disk.
    pub(super) header: Option<Header>,
    /// The first LSN as the header or, failing that, the first record says.
    pub(super) first: Option<Lsn>,
    /// How an orderly stop has closed it, if one did.
    pub(super) closed: Option<Closed>,
    /// The file that follows, if it says so.
    pub(super) successor: Option<Successor>,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; FIELDS_BYTES] {
        let mut bytes = [0; FIELDS_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, VERSION.to_le_bytes());
        put(&mut bytes, 16, self.generation.to_le_bytes());
        put(&mut bytes, 24, self.first.0.to_le_bytes());
        put(&mut bytes, 32, self.synced.0.to_le_bytes());
        put(&mut bytes, 40, self.length.to_le_bytes());
        let checksum = crc32c(&bytes[..48]);
        put(&mut bytes, 48, checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file at `path`, which by its name has this `generation`; `None` when that fails a check.
    fn decode(
        bytes: &[u8; FIELDS_BYTES],
        generation: u64,
        path: &Path,
    ) -> Result<Option<Self>, Fault> {
        let field = |at| number(bytes, at).map_or(0, u64::from_le_bytes);
        let version = number(bytes, 8).map_or(0, u32::from_le_bytes);
        let checksum = |at: usize| number(bytes, at).map_or(0, u32::from_le_bytes);
        // Version 1 had its checksum, and the end of what it covers, elsewhere.
        let end = if version == 1 { 40 } else { 48 };
        if !bytes.starts_with(&MAGIC) || checksum(end) != crc32c(&bytes[..end]) {
            return Ok(None);
        }
        if version != VERSION {
            return Err(Fault::NewerFormat {
                path: path.to_owned(),
                version,
                supported: VERSION,
            });
        }
        Ok((field(16) == generation).then_some(Self {
            generation,
            first: Lsn(field(24)),
            synced: Lsn(field(32)),
            length: field(40),
        }))
    }
}

impl WalFile {
    /// Looks at the start of a file.
    pub(super) fn inspect(disk: &dyn Disk, path: PathBuf, generation: u64) -> Result<Self, Fault> {
        let file = disk
            .open(&path, OpenMode::Read)
            .map_err(Fault::open(&path))?;
        let length = file.len().map_err(Fault::read(&path))?;
        let mut fields = [0; FIELDS_BYTES];
        if length >= FIELDS_BYTES as u64 {
            read_exact_at(&*file, &mut fields, 0).map_err(Fault::read(&path))?;
        }
        let header = Header::decode(&fields, generation, &path)?;
        let mut note = [0; CLOSED_BYTES];
        let mut successor = [0; SUCCESSOR_BYTES];
        if length >= HEADER_BYTES {
            read_exact_at(&*file, &mut note, CLOSED_AT).map_err(Fault::read(&path))?;
            read_exact_at(&*file, &mut successor, SUCCESSOR_AT).map_err(Fault::read(&path))?;
        }
        // Of a file that was cut nobody knows how it ended.
        let closed = Closed::decode(&note, generation).filter(|closed| closed.end <= length);
        let first = match header {
            Some(header) => Some(header.first),
            None => {
                let mut start = [0; 4];
                let present = length >= HEADER_BYTES + HEAD_BYTES as u64;
                if present {
                    read_exact_at(&*file, &mut start, HEADER_BYTES).map_err(Fault::read(&path))?;
                }
                let size =
                    u64::from(u32::from_le_bytes(start)).min(length - HEADER_BYTES.min(length));
                let mut bytes = vec![0; usize::try_from(size).expect("a record fits into memory")];
                read_exact_at(&*file, &mut bytes, HEADER_BYTES).map_err(Fault::read(&path))?;
                record::decode(&bytes, generation).map(|stored| stored.record.lsn)
            }
        };
        Ok(Self {
            path,
            generation,
            length,
            header,
            first,
            closed,
            successor: Successor::decode(&successor, generation),
        })
    }
}

/// What the file of a generation says about its key, at both places.
pub(super) fn encode_key(generation: u64, key: &JournalKey) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    put(&mut bytes, 0, generation.to_le_bytes());
    put(&mut bytes, 8, key.name());
    let checksum = crc32c(&bytes[..28]);
    put(&mut bytes, 28, checksum.to_le_bytes());
    bytes
}

/// The beginning of a file with sealed records: header and key.
pub(super) fn encode_sealed_header(header: &Header, key: &JournalKey) -> [u8; KEY_AT + KEY_BYTES] {
    let mut bytes = [0; KEY_AT + KEY_BYTES];
    put(&mut bytes, 0, header.encode());
    put(&mut bytes, KEY_AT, encode_key(header.generation, key));
    bytes
}

/// The key of a file; `None` when it names none that the store has.
pub(super) fn find_key(
    file: &dyn DiskFile,
    length: u64,
    generation: u64,
    keys: &Keys,
) -> io::Result<Option<JournalKey>> {
    let places = [Some(KEY_AT as u64), length.checked_sub(KEY_BYTES as u64)];
    for at in places.into_iter().flatten() {
        let mut named = [0; KEY_BYTES];
        if at + KEY_BYTES as u64 > length {
            continue;
        }
        read_exact_at(file, &mut named, at)?;
        let is_valid = number(&named, 0) == Some(generation.to_le_bytes())
            && number(&named, 28) == Some(crc32c(&named[..28]).to_le_bytes());
        let name = number::<KEY_NAME_BYTES>(&named, 8).filter(|_| is_valid);
        if let Some(key) = name.and_then(|name| keys.existing_file(&name)) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// The path of the file of a generation.
pub(super) fn path_of(dir: &Path, generation: u64, extension: &str) -> PathBuf {
    dir.join(format!("{generation:016x}.{extension}"))
}

/// The generation in a name such as `00000000000000ab.wal`.
pub(super) fn generation_of(name: &str, extension: &str) -> Option<u64> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let exact = digits.len() == 16
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !exact {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// A generation after `last`: larger by an unguessable step, see [`super::JournalOptions::salt`].
pub(super) fn generation_after(last: u64, salt: u64) -> u64 {
    let step = SeededEntropy::new(salt ^ last.rotate_left(32)).next_u64() & 0xFFFF_FFFF;
    last.checked_add(1 + step)
        .expect("2^32 files of 16 MiB are never written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_valid_for_its_own_generation_only() {
        let header = Header {
            generation: 5,
            first: Lsn(10),
            synced: Lsn(8),
            length: 16384,
        };
        let bytes = header.encode();
        let check = |bytes: &[u8; FIELDS_BYTES], generation, expected| {
            let state = Header::decode(bytes, generation, Path::new("x")).unwrap();
            assert_eq!(state, expected);
        };
        check(&bytes, 5, Some(header));
        check(&bytes, 6, None);
        check(&[0; FIELDS_BYTES], 5, None);
        for bit in 0..FIELDS_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            check(&damaged, 5, None);
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut bytes = Header {
            generation: 5,
            first: Lsn(10),
            synced: Lsn(8),
            length: 16384,
        }
        .encode();
        put(&mut bytes, 8, 3u32.to_le_bytes());
        let checksum = crc32c(&bytes[..48]);
        put(&mut bytes, 48, checksum.to_le_bytes());
        let fault = Header::decode(&bytes, 5, Path::new("x.wal")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "x.wal has format version 3, this server reads up to 2 \
             (start the version of the server that wrote it, or a newer one)"
        );
    }

    #[test]
    fn an_older_format_is_refused_by_name() {
        let mut bytes = [0; FIELDS_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, 1u32.to_le_bytes());
        put(&mut bytes, 16, 5u64.to_le_bytes());
        let checksum = crc32c(&bytes[..40]);
        put(&mut bytes, 40, checksum.to_le_bytes());
        let fault = Header::decode(&bytes, 5, Path::new("x.wal")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "x.wal has format version 1, which this server does not read any more \
             (start the version of the server that wrote it)"
        );
    }

    #[test]
    fn the_note_about_the_next_file_is_valid_in_its_own_file_only() {
        let successor = Successor {
            generation: 9,
            first: Lsn(12),
        };
        let bytes = successor.encode(5);
        assert_eq!(Successor::decode(&bytes, 5), Some(successor));
        assert_eq!(Successor::decode(&bytes, 4), None);
        assert_eq!(Successor::decode(&[0; SUCCESSOR_BYTES], 0), None);
        for bit in 0..SUCCESSOR_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Successor::decode(&damaged, 5), None, "bit {bit}");
        }
    }

    #[test]
    fn names_carry_the_generation() {
        let check = |name, expected| assert_eq!(generation_of(name, "wal"), expected, "{name}");
        assert_eq!(
            path_of(Path::new("j"), 0xAB, "wal"),
            Path::new("j/00000000000000ab.wal")
        );
        check("00000000000000ab.wal", Some(0xAB));
        check("00000000000000AB.wal", None);
        check("+0000000000000ab.wal", None);
        check("00000000000000ab.spare", None);
        check("ab.wal", None);
    }

    #[test]
    fn generations_grow() {
        let mut last = 0;
        for _ in 0..100 {
            let next = generation_after(last, 42);
            assert!(next > last);
            last = next;
        }
        assert_ne!(generation_after(0, 1), generation_after(0, 2));
    }
}
