//! What an encrypted store has on its disk: nothing readable, no number used twice with a key, and nothing new under an old key.
//!
//! Read from the bytes alone, as the page about the format draws them: what the store says about itself has no part in it.

use std::collections::HashMap;

use everjet_store::{crc32c, crc32c_parts, read_file};
use everjet_testkit::SimDisk;
use memchr::memmem;

use crate::Ledgers;
use crate::erase::records;

const BLOCK_MAGIC: &[u8] = b"EVJBLK\r\n";
const BLOCK_HEADER: usize = 64;
const BLOCK_TRAILER: usize = 4;
/// A cipher, zero, the number of the data key, a salt; then a number.
const KEY_NAME: usize = 20;
const STAMP: usize = 28;

/// What was sealed in a run so far: cipher, key, salt and number, with a checksum of the body.
#[derive(Default)]
pub(crate) struct Seals {
    seen: HashMap<[u8; STAMP], u32>,
}

impl Seals {
    /// Looks at a disk. What is new on it since the last look has to be sealed with this data key or a later one.
    pub(crate) fn look(&mut self, disk: &SimDisk, key_min: Option<u16>) -> Result<(), String> {
        for path in disk.list_files() {
            let bytes = read_file(disk, &path).map_err(|error| error.to_string())?;
            let found = match path.extension().and_then(|kind| kind.to_str()) {
                Some("wal") => in_journal(&bytes),
                Some("spare" | "new") => continue,
                _ if bytes.starts_with(b"everjet-") => in_checked_file(&bytes),
                _ => in_blocks(&bytes),
            };
            for (stamp, body) in found {
                let wrong = |what: &str| Err(format!("{}: {what}", path.display()));
                match self.seen.insert(stamp, body) {
                    Some(before) if before != body => {
                        return wrong("a number was used twice with a key");
                    }
                    Some(_) => {}
                    None if key_min.is_some_and(|min| data_key(&stamp) < min) => {
                        return wrong("was sealed with the key before");
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// Nothing that was published can be read.
pub(crate) fn check_secret(disk: &SimDisk, ledgers: &Ledgers) -> Result<(), String> {
    let newest = |ledger: &crate::Ledger| {
        let payloads = ledger.sent.values().rev().take(4);
        payloads
            .filter_map(|payload| payload.first_chunk().copied())
            .collect::<Vec<[u8; 8]>>()
    };
    let payloads: Vec<[u8; 8]> = ledgers.values().flat_map(newest).collect();
    for path in disk.list_files() {
        let bytes = read_file(disk, &path).map_err(|error| error.to_string())?;
        if payloads
            .iter()
            .any(|payload| memmem::find(&bytes, payload).is_some())
        {
            return Err(format!("{}: a message can be read", path.display()));
        }
    }
    Ok(())
}

fn data_key(stamp: &[u8; STAMP]) -> u16 {
    u16::from_le_bytes([stamp[2], stamp[3]])
}

/// Records of the journal: their number is the LSN, their key that of the file.
fn in_journal(file: &[u8]) -> Vec<([u8; STAMP], u32)> {
    let u64_at = |at: usize| {
        let bytes = file.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map(|bytes| u64::from_le_bytes(*bytes))
    };
    let (Some(generation), Some(key)) = (u64_at(16), file.get(72..72 + KEY_NAME)) else {
        return Vec::new();
    };
    let of_this_life = records(file)
        .into_iter()
        .filter(|record| record.generation == generation);
    let sealed = of_this_life
        .filter(|record| record.is_sealed && crc32c(record.body) == record.checksum && key[0] != 0);
    sealed
        .map(|record| {
            let mut stamp = [0; STAMP];
            stamp[..KEY_NAME].copy_from_slice(key);
            stamp[KEY_NAME..].copy_from_slice(&record.lsn.to_le_bytes());
            (stamp, record.checksum)
        })
        .collect()
}

fn in_checked_file(file: &[u8]) -> Vec<([u8; STAMP], u32)> {
    let sealed = || {
        let end = file.iter().position(|byte| *byte == b'\n')?;
        let (line, body) = (std::str::from_utf8(&file[..end]).ok()?, &file[end + 1..]);
        let (said, checksum) = line.rsplit_once(' ')?;
        let checksum = u32::from_str_radix(checksum, 16).ok()?;
        let is_whole = crc32c_parts(&[said.as_bytes(), body]) == checksum;
        let is_sealed = said.split(' ').next()?.ends_with("-sealed");
        let stamp = body.first_chunk().filter(|_| is_whole && is_sealed)?;
        Some((*stamp, crc32c(body)))
    };
    sealed().into_iter().collect()
}

/// Blocks that are whole.
fn in_blocks(file: &[u8]) -> Vec<([u8; STAMP], u32)> {
    let block = |at: usize| {
        let header = file.get(at..at + BLOCK_HEADER)?;
        let length = u32::from_le_bytes(*header.get(12..)?.first_chunk()?) as usize;
        let checksum = u32::from_le_bytes(*header.get(28..)?.first_chunk()?);
        let stamp: [u8; STAMP] = *header.get(36..)?.first_chunk()?;
        let end = (at + length).checked_sub(BLOCK_TRAILER)?;
        let body = file.get(at + BLOCK_HEADER..end)?;
        (stamp[0] != 0 && crc32c(body) == checksum).then_some((stamp, checksum))
    };
    memmem::find_iter(file, BLOCK_MAGIC)
        .filter_map(block)
        .collect()
}
