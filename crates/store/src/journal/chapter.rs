//! One file of the journal while it is read back: in order as long as its records follow each other, and searched from where
//! they do not.

use std::sync::Arc;

use memchr::memmem;

use super::file::{HEADER_BYTES, KEY_BYTES, WalFile, find_key};
use super::record::{self, GENERATION_AT, HEAD_BYTES, Stored, number};
use super::report::RecordIdentity;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::fault::Fault;
use crate::identity::Lsn;
use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::JournalKey;

/// How much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;
/// How much of the piece before is read again: more than the part of a record up to and with its generation.
const OVERLAP_BYTES: usize = 64;

/// Where the records of a file begin.
pub(super) fn records_at() -> usize {
    usize::try_from(HEADER_BYTES).expect("a small constant")
}

/// A file that may hold records that count.
pub(super) struct Chapter<'a> {
    pub(super) file: &'a WalFile,
    /// Records from here on are void.
    pub(super) limit: Lsn,
}

/// The files needed to read from `from` on, each with its limit, and where their records begin.
pub(super) fn chapters(files: &[WalFile], mut from: Lsn) -> (Vec<Chapter<'_>>, Lsn) {
    // A file that is gone makes void what it did when it was there.
    let gone = files.last().and_then(|newest| newest.successor);
    let mut limit = gone.map_or(Lsn(u64::MAX), |gone| gone.first);
    let mut chapters = Vec::new();
    for file in files.iter().rev() {
        if limit <= from {
            break;
        }
        if let Some(closed) = file.closed.filter(|closed| closed.is_before(from)) {
            // Nothing in it is needed, and what is older is void from its beginning on. The next record is behind its mark when
            // it was written by the same process. A start gives the mark's position again: should the power go now, the note may
            // be on the disk and the mark not, or the other way round.
            let next = chapters
                .last()
                .and_then(|later: &Chapter<'_>| later.file.first);
            if next == Some(closed.next) {
                from = from.max(closed.next);
            }
            break;
        }
        chapters.push(Chapter { file, limit });
        if !is_planted(PlantedBug::TornTailComesBack) {
            limit = file.first.map_or(limit, |first| first.min(limit));
        }
    }
    chapters.reverse();
    (chapters, from)
}

impl Chapter<'_> {
    /// Everything up to here was durable when the file was begun.
    pub(super) fn proof(&self) -> Lsn {
        self.file.header.map_or(Lsn::ZERO, |header| header.synced)
    }

    /// Whether nothing of the file counts, as later files take all its positions.
    pub(super) fn is_void(&self) -> bool {
        self.file.first.is_some_and(|first| first >= self.limit)
    }

    /// Whether less is left of the file than any crash can leave, so that nobody knows which records it had.
    pub(super) fn is_ruin(&self, disk: &dyn Disk, shortest: u64) -> Result<bool, Fault> {
        if self.is_void() {
            return Ok(false);
        }
        // No crash makes a file shorter: what it lacks was cut off later, and may have held records.
        let begun_with = self.file.header.map_or(shortest, |header| header.length);
        if self.file.length < begun_with {
            return Ok(true);
        }
        if self.file.header.is_some() {
            return Ok(false);
        }
        let opened = self.open(disk)?;
        let loaded = opened.load(records_at())?;
        Ok(loaded.search(records_at(), Lsn::ZERO).is_none())
    }

    pub(super) fn open(&self, disk: &dyn Disk) -> Result<OpenChapter<'_>, Fault> {
        let path = &self.file.path;
        let file = disk.open(path, OpenMode::Read).map_err(Fault::open(path))?;
        let length = usize::try_from(self.file.length).expect("journal files fit into memory");
        let key = match disk.keys() {
            Some(keys) => find_key(&*file, self.file.length, self.file.generation, keys)
                .map_err(Fault::read(path))?,
            None => None,
        };
        // What names the key at the end of the file is no record.
        let end = length - key.as_ref().map_or(0, |_| KEY_BYTES.min(length));
        let closed = self.file.closed.map(|closed| closed.end);
        let closed = closed.and_then(|end| usize::try_from(end).ok());
        let end = end.min(closed.unwrap_or(end));
        Ok(OpenChapter {
            chapter: self,
            file,
            end,
            key,
        })
    }
}

/// A file that is being read.
pub(super) struct OpenChapter<'a> {
    pub(super) chapter: &'a Chapter<'a>,
    file: Arc<dyn DiskFile>,
    /// Where its records must end.
    pub(super) end: usize,
    /// What its records are sealed with.
    pub(super) key: Option<JournalKey>,
}

impl OpenChapter<'_> {
    fn read(&self, buffer: &mut [u8], at: usize) -> Result<(), Fault> {
        let path = &self.chapter.file.path;
        read_exact_at(&*self.file, buffer, at as u64).map_err(Fault::read(path))
    }

    /// Its bytes from `base` on, to be searched.
    pub(super) fn load(&self, base: usize) -> Result<Loaded<'_>, Fault> {
        let length = self.end.saturating_sub(base);
        // Most of a file is zeros or what it held before. Only pieces that records of its generation reach into are kept.
        let needle = self.chapter.file.generation.to_le_bytes();
        let mut window = vec![0; length.min(OVERLAP_BYTES + PIECE_BYTES)];
        // Room that is not written to is no memory.
        let mut bytes = Vec::with_capacity(length);
        let mut needed = 0;
        for at in (0..length).step_by(PIECE_BYTES) {
            let from = at - OVERLAP_BYTES.min(at);
            let until = length.min(at + PIECE_BYTES);
            let window = window.get_mut(..until - from).unwrap_or_default();
            self.read(window, base + from)?;
            let mut is_needed = at < needed;
            for place in memmem::find_iter(window, &needle) {
                is_needed = true;
                if let Some(start) = place.checked_sub(GENERATION_AT)
                    && let Some(record) = window.get(start..).and_then(<[u8]>::first_chunk)
                {
                    let record_length = u32::from_le_bytes(*record) as usize;
                    needed = needed.max((from + start).saturating_add(record_length));
                }
            }
            if is_needed {
                bytes.resize(from.max(bytes.len()), 0);
                let new = window.get(bytes.len() - from..);
                bytes.extend_from_slice(new.unwrap_or_default());
            }
        }
        Ok(Loaded {
            opened: self,
            base,
            bytes,
        })
    }
}

/// The records of a file one after the other. A piece is in memory at a time.
pub(super) struct InOrder<'a> {
    opened: &'a OpenChapter<'a>,
    /// The piece, and where in the file it begins.
    bytes: Vec<u8>,
    start: usize,
}

impl<'a> InOrder<'a> {
    pub(super) fn new(opened: &'a OpenChapter<'a>) -> Self {
        Self {
            opened,
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// The record at `at`, when it is valid and counts, and its bytes.
    pub(super) fn record_at(&mut self, at: usize) -> Result<Option<(&[u8], Stored<'_>)>, Fault> {
        let chapter = self.opened.chapter;
        let generation = chapter.file.generation;
        let Some(head) = self.provide(at, HEAD_BYTES)? else {
            return Ok(None);
        };
        let is_of_this = number(head, GENERATION_AT) == Some(generation.to_le_bytes());
        let length = number(head, 0).map_or(0, u32::from_le_bytes) as usize;
        if !is_of_this && !is_planted(PlantedBug::NoChain) {
            return Ok(None);
        }
        let Some(bytes) = self.provide(at, length)? else {
            return Ok(None);
        };
        let stored = record::decode(bytes, generation);
        let counts = stored.filter(|stored| stored.record.lsn < chapter.limit);
        Ok(counts.map(|stored| (bytes, stored)))
    }

    /// The `length` bytes at `at`; `None` when the file does not have as many.
    fn provide(&mut self, at: usize, length: usize) -> Result<Option<&[u8]>, Fault> {
        let end = at.saturating_add(length);
        if end > self.opened.end {
            return Ok(None);
        }
        if at < self.start || end > self.start + self.bytes.len() {
            let until = self.opened.end.min(at + length.max(PIECE_BYTES));
            self.bytes.resize(until - at, 0);
            self.start = at;
            self.opened.read(&mut self.bytes, at)?;
        }
        Ok(self.bytes.get(at - self.start..end - self.start))
    }
}

/// A file in memory, from some place on.
pub(super) struct Loaded<'a> {
    opened: &'a OpenChapter<'a>,
    /// Where in the file `bytes` begin. No place before it is asked for.
    base: usize,
    /// Its bytes, zeros where no record of its generation is, and nothing behind the last one.
    bytes: Vec<u8>,
}

impl Loaded<'_> {
    pub(super) fn chapter(&self) -> &Chapter<'_> {
        self.opened.chapter
    }

    /// What its records are sealed with.
    pub(super) fn key(&self) -> Option<&JournalKey> {
        self.opened.key.as_ref()
    }

    fn from(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(at.checked_sub(self.base)?..)
    }

    /// The `length` bytes at `at`.
    pub(super) fn bytes_at(&self, at: usize, length: usize) -> &[u8] {
        let bytes = self.from(at).and_then(|bytes| bytes.get(..length));
        bytes.unwrap_or_default()
    }

    /// The record at `at`, when it is valid and counts.
    pub(super) fn record_at(&self, at: usize) -> Option<Stored<'_>> {
        let chapter = self.opened.chapter;
        let stored = record::decode(self.from(at)?, chapter.file.generation)?;
        (stored.record.lsn < chapter.limit).then_some(stored)
    }

    /// The first record at any byte from `at` on that counts and is `wanted` or later.
    pub(super) fn search(&self, mut at: usize, wanted: Lsn) -> Option<(usize, Stored<'_>)> {
        let needle = self.opened.chapter.file.generation.to_le_bytes();
        loop {
            let rest = self.from(at + GENERATION_AT)?;
            at += memmem::find(rest, &needle)?;
            at += match self.record_at(at) {
                Some(stored) if stored.record.lsn >= wanted => return Some((at, stored)),
                // What lies inside a valid record is its body, not another record.
                Some(stored) => stored.length,
                None => 1,
            };
        }
    }

    /// What the record at `at` was, when only its body is damaged.
    pub(super) fn identity_at(&self, at: usize) -> Option<(Lsn, RecordIdentity)> {
        record::decode_identity(self.from(at)?, self.opened.chapter.file.generation)
    }

    /// Whether something of this generation was begun at `at`.
    pub(super) fn is_begun(&self, at: usize) -> bool {
        let generation = self.opened.chapter.file.generation.to_le_bytes();
        self.from(at + GENERATION_AT)
            .is_some_and(|rest| rest.starts_with(&generation))
    }
}
