//! Reading what is not in memory, in three steps: plan under the stream's lock, read away from it, admit under it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::memory::{Block, BlockKey, FileKey, OpenFile, Place, StoreMemory, WINDOW_BYTES};
use crate::segment::{RecordKind, RecordSalt, parse_record};
use crate::{Disk, Fault};

use super::file_id::{FileId, segment_path};
use super::message::MessageView;
use super::reader::open_segment;

/// What a store needs from disk to answer. It holds everything that reading takes, so that the stream goes on meanwhile; should its
/// file be deleted or rewritten before, the answer fits nothing any more and the store asks again.
#[derive(Clone)]
pub struct ColdRead {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) memory: Arc<StoreMemory>,
    /// The stream's folder.
    pub(super) dir: Arc<Path>,
    pub(super) key: BlockKey,
    /// The whole records that are read.
    pub(super) from: u32,
    pub(super) to: u32,
    /// The record that is wanted, and the sequence of its message.
    pub(super) wanted: (u32, u32),
    pub(super) sequence: u64,
    pub(super) salt: RecordSalt,
}

/// What came of a [`ColdRead`], for [`StreamStore::admit`](crate::StreamStore::admit).
#[derive(Clone, Debug)]
pub struct Fetched {
    pub(super) key: BlockKey,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Block(Arc<Block>),
    /// The file is gone.
    Missing,
    Fault(Fault),
}

/// An answer, or what has to be read for it.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    /// The answer.
    Ready(T),
    /// Run this away from the stream, admit what it gives, and ask again.
    Cold(ColdRead),
}

impl<T> Lookup<T> {
    /// The same about something made of the answer.
    #[must_use]
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Ready(answer) => Lookup::Ready(make(answer)),
            Self::Cold(read) => Lookup::Cold(read),
        }
    }
}

impl ColdRead {
    /// Reads, and keeps the result in the memory that all stores share. May wait for the disk.
    #[must_use]
    pub fn run(&self) -> Fetched {
        if let Some(block) = self.memory.block(&self.key, self.wanted) {
            return self.fetched(self.key.place, Outcome::Block(block));
        }
        match self.read(self.from, self.to) {
            // One bad sector must not cost its neighbours.
            Ok(Outcome::Fault(_)) if (self.from, self.to) != self.wanted => {
                let place = Place::Record(self.wanted.0);
                let (from, to) = self.wanted;
                self.keep(place, self.read(from, to))
            }
            outcome => self.keep(self.key.place, outcome),
        }
    }

    /// How many bytes are read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.to - self.from) as usize
    }

    /// As [`ColdRead::run`], but only if the device need not be waited for: the operating system has the bytes in memory.
    #[must_use]
    pub fn run_now(&self) -> Option<Fetched> {
        if let Some(block) = self.memory.block(&self.key, self.wanted) {
            return Some(self.fetched(self.key.place, Outcome::Block(block)));
        }
        let file = self.memory.open_file(self.key.file)?;
        if !file.was_read(self.from) {
            return None;
        }
        let mut bytes = vec![0; self.bytes()];
        if !read_now(&file, &mut bytes, self.from) {
            return None;
        }
        let block = Outcome::Block(self.block((self.from, self.to), bytes));
        Some(self.keep(self.key.place, Ok(block)))
    }

    /// The message that is wanted by itself, if the device need not be waited for: the operating system has it in memory, or it
    /// was read before. It is the one that was there when this was planned. `None`: whoever may wait finds out more.
    ///
    /// Nothing is kept of it; who reads here and there would only push out what others read in order.
    #[must_use]
    pub fn message_now<'a>(&self, buffer: &'a mut Vec<u8>) -> Option<MessageView<'a>> {
        let (from, to) = self.wanted;
        let length = (to - from) as usize;
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let bytes = buffer.get_mut(..length)?;
        let file = self.memory.open_file(self.key.file);
        let is_read = file.is_some_and(|file| file.was_read(from) && read_now(&file, bytes, from));
        if !is_read {
            let block = self.memory.block(&self.key, self.wanted)?;
            let skip = (from - block.from) as usize;
            bytes.copy_from_slice(block.bytes.get(skip..skip + length)?);
        }
        let fields = parse_record(bytes, self.salt, from)?;
        is_message(&fields, length, self.sequence).then_some(fields.message)
    }

    fn keep(&self, place: Place, outcome: Result<Outcome, Fault>) -> Fetched {
        let outcome = outcome.unwrap_or_else(Outcome::Fault);
        let fetched = self.fetched(place, outcome);
        if let Outcome::Block(block) = &fetched.outcome {
            self.memory.keep_block(fetched.key, block);
        }
        fetched
    }

    fn fetched(&self, place: Place, outcome: Outcome) -> Fetched {
        let (from, to) = match (&outcome, place) {
            (Outcome::Block(block), _) => (block.from, block.to),
            (_, Place::Block(_)) => (self.from, self.to),
            (_, Place::Record(_)) => self.wanted,
        };
        let key = BlockKey {
            file: self.key.file,
            place,
        };
        Fetched {
            key,
            from,
            to,
            outcome,
        }
    }

    /// Reads whole records. What the disk refuses to read is an outcome, what it refuses to open is an error.
    fn read(&self, from: u32, to: u32) -> Result<Outcome, Fault> {
        let open = || {
            let opened = open_segment(&*self.disk, &self.path(), self.key.file);
            opened.map(|(file, _)| file)
        };
        let file = match self.memory.file(self.key.file, open) {
            Err(fault) if fault.is_missing() => return Ok(Outcome::Missing),
            file => file?,
        };
        if !file.was_read(from) && to - from < WINDOW_BYTES {
            let begin = from / WINDOW_BYTES * WINDOW_BYTES;
            file.file
                .read_ahead(u64::from(begin), u64::from(WINDOW_BYTES));
        }
        let mut bytes = vec![0; (to - from) as usize];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.file.read_at(rest, u64::from(from) + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => return Ok(Outcome::Fault(Fault::read(&self.path())(error))),
            }
        }
        file.note(from, true);
        bytes.truncate(done);
        Ok(Outcome::Block(self.block((from, to), bytes)))
    }

    fn path(&self) -> PathBuf {
        let FileKey {
            first, revision, ..
        } = self.key.file;
        segment_path(&self.dir, FileId { first, revision })
    }

    fn block(&self, (from, to): (u32, u32), bytes: Vec<u8>) -> Arc<Block> {
        let is_whole = bytes.len() == (to - from) as usize;
        let is_sound = is_whole && are_sound(&bytes, self.salt, from);
        Arc::new(Block {
            from,
            to,
            bytes: Arc::new(bytes),
            is_sound,
        })
    }
}

impl std::fmt::Debug for ColdRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = self.from..self.to;
        write!(f, "read {range:?} of {}", self.path().display())
    }
}

/// Fills `bytes` with what is in the memory of the operating system, if it has all of it. Less may mean that the rest is on the
/// device, or that there is none: whoever may wait finds out.
fn read_now(file: &OpenFile, bytes: &mut [u8], from: u32) -> bool {
    let count = file.file.read_now_at(bytes, u64::from(from));
    let is_whole = count.is_ok_and(|count| count == bytes.len());
    if !is_whole {
        file.note(from, false);
    }
    is_whole
}

/// Whether the bytes are valid records from the first to the last byte: their checks need not be repeated for each message then.
fn are_sound(bytes: &[u8], salt: RecordSalt, from: u32) -> bool {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let place = u32::try_from(from as usize + at).unwrap_or(u32::MAX);
        match parse_record(rest, salt, place) {
            Some(fields) => at += fields.length,
            None => return false,
        }
    }
    true
}

/// Whether a record that passed its check, now or before, is that of the message.
pub(super) fn is_message(
    fields: &crate::segment::Fields<'_>,
    length: usize,
    sequence: u64,
) -> bool {
    fields.kind == RecordKind::Message
        && fields.length == length
        && fields.message.sequence.0 == sequence
}
