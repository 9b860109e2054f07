//! The shared journal: every committed command of every stream, in one file sequence with one writer and one sync.
//!
//! Survives a process crash: what [`Journal::write`] returned for. Survives power loss: what [`Journal::sync`] returned for.

mod batch;
mod chapter;
#[cfg(test)]
mod closed_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod durable;
mod end;
mod file;
mod found;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod opening;
mod options;
mod record;
mod recovery;
mod report;
#[cfg(test)]
mod ruin_tests;
mod scrub;
#[cfg(test)]
mod scrub_tests;
mod spare;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everjet_values::EntryIndex;

pub use batch::JournalBatch;
pub use durable::Durable;
pub use opening::{JournalOpening, JournalPlace, JournalStart};
pub use options::JournalOptions;
pub use record::JournalRecord;
pub use report::{JournalDamage, JournalReport, LostRecords, RecordIdentity, TornTail};
pub use scrub::Scrub;
pub use spare::{Spare, SpareJob};
pub use tail::RecoveredTail;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::fault::{Attempt, Fault};
use crate::identity::{Lsn, StreamId};
use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::{JournalKey, Keys, TAG_BYTES};
use file::{
    CLOSED_AT, Closed, HEADER_BYTES, Header, KEY_BYTES, SUCCESSOR_AT, Successor, WalFile,
    encode_key, encode_sealed_header, generation_after, path_of,
};
use tail::Recovering;

/// The journal of a store directory. It has one owner at a time; the commit threads take turns.
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: JournalOptions,
    /// Every file that may hold needed records, oldest first; the newest is never released, so that a journal whose files
    /// are gone can be told from one that has nothing to say.
    files: VecDeque<WalFile>,
    /// The file being written; `None` after a start and after a full disk.
    current: Option<Current>,
    /// Files left since the last sync with records it did not cover.
    left_unsynced: Vec<Current>,
    /// The file before the current one, while its note about the current one is not known durable.
    noted: Option<(PathBuf, Arc<dyn DiskFile>)>,
    /// What the start has read and nothing proves durable.
    recovered: Option<Recovering>,
    /// Files ready to be begun.
    ready: VecDeque<Spare>,
    /// Files that wait to be overwritten before they are ready again, or removed.
    stale: Vec<Spare>,
    last_generation: u64,
    next: Lsn,
    synced: Lsn,
    latched: Option<Arc<Fault>>,
    /// The directory says where the journal ends; not any more once something is written.
    is_ended: bool,
    /// What records are sealed with; `None`: they are not.
    keys: Option<Arc<Keys>>,
    /// The sealed records of a batch on their way to the file. The batch keeps its own as they are: a write that found the
    /// disk full is repeated in another file, with another key.
    sealed: Vec<u8>,
}

/// Memory for sealed records that is kept between writes.
const SEALED_KEPT_BYTES: usize = 1 << 20;

/// A file being written.
struct Current {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    generation: u64,
    /// Where the next record goes.
    at: u64,
    /// Where records must end.
    length: u64,
    /// What its records are sealed with.
    key: Option<JournalKey>,
}

impl Current {
    fn room(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }
}

impl Journal {
    /// Opens or creates the journal in `dir` and visits every valid record from `from` on, in order. What was visited is
    /// durable when this returns.
    ///
    /// # Errors
    /// What the disk says, or what `visit` returns. Damage is no error, see [`JournalReport::damage`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: JournalOptions,
        from: Lsn,
        visit: &mut dyn FnMut(JournalRecord<'_>) -> Result<(), Fault>,
    ) -> Result<(Self, JournalReport), Fault> {
        let start = JournalStart::from(from);
        let mut opening = JournalOpening::begin(disk, dir, options, start)?;
        opening.read(visit)?;
        let (mut journal, report) = opening.finish()?;
        let _durable = journal.sync()?;
        Ok((journal, report))
    }

    /// What the start has read and nothing proves durable: to be made durable away from here. A sync does it if nobody else has.
    pub fn take_recovered_tail(&mut self) -> Option<Arc<RecoveredTail>> {
        let recovering = self.recovered.as_mut()?;
        recovering.is_taken = true;
        Some(Arc::clone(&recovering.tail))
    }

    /// Takes note of what [`RecoveredTail::make_durable`] came to, for the tail that was taken. Before that none of its files is
    /// given back, for they may be written to.
    ///
    /// # Errors
    /// The fault, which latches the journal.
    pub fn finish_recovered(&mut self, outcome: Result<(), Fault>) -> Result<(), Fault> {
        outcome.map_err(|fault| self.latch(fault))?;
        if let Some(recovering) = self.recovered.take() {
            self.synced = self.synced.max(recovering.tail.last);
        }
        Ok(())
    }

    /// From where on the journal is needed when everything before the next record is not.
    #[must_use]
    pub fn position(&self) -> JournalStart {
        JournalStart {
            from: self.next,
            at: self.current.as_ref().map(|current| JournalPlace {
                generation: current.generation,
                offset: current.at,
            }),
        }
    }

    /// Writes the batch and returns the position of its last record (the last one written ever, when the batch is empty).
    /// The batch is empty afterwards and keeps its memory.
    ///
    /// # Errors
    /// A fault that does not latch the journal ([`Journal::latched`]): the disk is full, or the next file cannot be made.
    /// Nothing is lost from the batch, the same write may be repeated. Any other fault latches the journal.
    pub fn write(&mut self, batch: &mut JournalBatch) -> Result<Lsn, Fault> {
        self.check_latch()?;
        if self.is_ended {
            self.go_on()?;
        }
        let last = if self.keys.is_none() {
            self.write_encoded(batch.encoded_mut())
        } else {
            let mut sealed = std::mem::take(&mut self.sealed);
            record::make_room_for_tags(batch.encoded(), &mut sealed);
            let last = self.write_encoded(&mut sealed);
            sealed.clear();
            sealed.shrink_to(SEALED_KEPT_BYTES);
            self.sealed = sealed;
            last
        }?;
        batch.clear();
        Ok(last)
    }

    fn write_encoded(&mut self, records: &mut [u8]) -> Result<Lsn, Fault> {
        if let Err(fault) = self.provide_files(records) {
            return Err(self.latch_if_sync(fault));
        }
        let next_before = self.next;
        if let Err(fault) = self.write_records(records) {
            // What was written of the batch is void: the next write begins a file that says so in its header.
            self.next = next_before;
            self.leave_current();
            return Err(self.latch_unless_full(fault));
        }
        Ok(self.last_written())
    }

    /// Makes everything written so far durable, with one sync (one more for each file that was filled since the last).
    ///
    /// # Errors
    /// Any fault latches the journal.
    pub fn sync(&mut self) -> Result<Durable<Lsn>, Fault> {
        self.check_latch()?;
        if self.synced < self.last_written() {
            self.sync_recovered()?;
            let left = self.left_unsynced.iter().chain(&self.current);
            let left = left.map(|current| (&current.path, &current.file));
            let is_left = |path: &PathBuf| self.left_unsynced.iter().any(|left| left.path == *path);
            let noted = self.noted.iter().filter(|(path, _)| !is_left(path));
            for (path, file) in left.chain(noted.map(|(path, file)| (path, file))) {
                if is_planted(PlantedBug::AckBeforeSync) {
                    continue;
                }
                if let Err(error) = file.sync() {
                    let fault = Fault::sync(path)(error);
                    if is_planted(PlantedBug::FailedSyncRetried) {
                        return Err(fault);
                    }
                    return Err(self.latch(fault));
                }
            }
            self.left_unsynced.clear();
            self.noted = None;
            self.synced = self.last_written();
        }
        Ok(Durable::new(self.synced))
    }

    fn sync_recovered(&mut self) -> Result<(), Fault> {
        let Some(Recovering { tail, is_taken }) = &self.recovered else {
            return Ok(());
        };
        let (last, is_taken) = (tail.last, *is_taken);
        if self.synced < last {
            tail.make_durable().map_err(|fault| self.latch(fault))?;
            self.synced = last;
        }
        if !is_taken {
            self.recovered = None;
        }
        Ok(())
    }

    /// Ends an orderly run: writes a record that proves all others durable, and syncs. A later start can then tell damage to
    /// the very last records from a write cut short by a crash, and need not read what it needs nothing of. Optional; costs two
    /// writes and two syncs, and nothing when nothing was written since the last orderly end.
    ///
    /// # Errors
    /// As [`Journal::write`] and [`Journal::sync`].
    pub fn seal(&mut self) -> Result<Durable<Lsn>, Fault> {
        let _: Durable<Lsn> = self.sync()?;
        let closed = self.files.back().and_then(|last| last.closed);
        if self.current.is_none() && closed.is_some_and(|closed| closed.is_before(self.next)) {
            // Nothing was written since the last orderly stop, which has said all there is to say.
            self.note_end();
            return Ok(Durable::new(self.synced));
        }
        let mut mark = JournalBatch::new();
        mark.push(
            StreamId::SERVER,
            EntryIndex::ZERO,
            record::KIND_MARK,
            |_| {},
        );
        self.write(&mut mark)?;
        if let Some(current) = &self.current {
            let closed = Closed {
                end: current.at,
                next: self.next,
            };
            let note = closed.encode(current.generation);
            let written = current.file.write_all_at(&note, CLOSED_AT);
            if let Err(fault) = written.map_err(Fault::write(&current.path)) {
                return Err(self.latch_unless_full(fault));
            }
            if let Some(last) = self.files.back_mut() {
                last.closed = Some(closed);
            }
        }
        let sealed = self.sync()?;
        // What says that it is closed is not written to.
        self.current = None;
        self.note_end();
        Ok(sealed)
    }

    /// Says where the journal ends. Without it, one that is missing at the next start counts as lost.
    fn note_end(&mut self) {
        self.is_ended = self.is_ended || end::note(&*self.disk, &self.dir, self.next).is_ok();
    }

    /// Takes back that the journal has ended.
    fn go_on(&mut self) -> Result<(), Fault> {
        end::forget(&*self.disk, &self.dir)?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(Fault::sync(&self.dir))?;
        self.is_ended = false;
        Ok(())
    }

    /// Gives up every file whose records are all at or before `through`: up to [`JournalOptions::spares_max`] are kept to be
    /// used again, the others are removed. The manifest must say so before: it names the first position still needed.
    ///
    /// # Errors
    /// What the disk says. Harmless: the files are tried again with the next release.
    pub fn release(&mut self, through: Lsn) -> Result<(), Fault> {
        let through = if is_planted(PlantedBug::JournalReleasedEarly) {
            self.last_written()
        } else {
            through
        };
        while let Some(oldest) = self.releasable(through) {
            self.give_up(&oldest)?;
            self.files.pop_front();
        }
        Ok(())
    }

    /// The oldest file, when all its records are at or before `through`.
    fn releasable(&self, through: Lsn) -> Option<WalFile> {
        let oldest = self.files.front()?;
        let is_replaced = |file: &WalFile| file.first.is_some_and(|first| first <= through.next());
        let is_needed = !self.files.iter().skip(1).any(is_replaced);
        let is_unsynced = self
            .left_unsynced
            .iter()
            .any(|left| left.path == oldest.path)
            || self.noted.iter().any(|(path, _)| *path == oldest.path);
        let is_written_again = self
            .recovered
            .as_ref()
            .is_some_and(|recovering| recovering.tail.is_in(&oldest.path));
        (!is_needed && !is_unsynced && !is_written_again).then(|| oldest.clone())
    }

    /// The preparation of a file, when none is ready. It is slow: run it on another thread, one at a time, and hand the result
    /// to [`Journal::install_spare`].
    #[must_use]
    pub fn spare_job(&self) -> Option<SpareJob> {
        let is_ready = self
            .ready
            .iter()
            .any(|spare| spare.length >= self.options.file_bytes);
        if is_ready || self.latched.is_some() {
            return None;
        }
        Some(SpareJob {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            length: self.options.file_bytes,
        })
    }

    /// Takes a prepared file.
    ///
    /// # Errors
    /// What the disk says; the journal goes on without it.
    pub fn install_spare(&mut self, mut spare: Spare) -> Result<(), Fault> {
        let path = self.new_path("spare");
        self.disk
            .rename(&spare.path, &path)
            .map_err(Fault::rename(&path))?;
        spare.path = path;
        self.ready.push_back(spare);
        Ok(())
    }

    /// The position the next record gets.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The last position written; [`Lsn::ZERO`] before the first.
    #[must_use]
    pub fn last_written(&self) -> Lsn {
        self.next.previous()
    }

    /// The last position that is durable.
    #[must_use]
    pub fn last_synced(&self) -> Lsn {
        self.synced
    }

    /// Bytes of records that can still be written without creating a file.
    #[must_use]
    pub fn room(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, Current::room);
        let ready = self.ready.iter().map(|spare| self.room_in(spare));
        current + ready.sum::<u64>()
    }

    /// Bytes of records that a prepared file can take.
    fn room_in(&self, spare: &Spare) -> u64 {
        spare.length.saturating_sub(HEADER_BYTES + self.reserved())
    }

    /// Bytes at the end of each file that are not for records.
    fn reserved(&self) -> u64 {
        self.keys.as_ref().map_or(0, |_| KEY_BYTES as u64)
    }

    /// Why the journal accepts nothing any more, when it does not.
    #[must_use]
    pub fn latched(&self) -> Option<&Fault> {
        self.latched.as_deref()
    }

    /// Sees to it that all of `records` has a place before the first is written, so that a full disk leaves the batch whole.
    fn provide_files(&mut self, records: &[u8]) -> Result<(), Fault> {
        let mut room = self.current.as_ref().map_or(0, Current::room);
        let mut files_used = 0;
        let mut rest = records;
        while !rest.is_empty() {
            if rest.len() as u64 <= room {
                return Ok(());
            }
            let fitting = fitting(rest, room);
            rest = &rest[fitting..];
            let record = record::encoded_length(rest) as u64;
            if self
                .ready
                .get(files_used)
                .is_none_or(|spare| self.room_in(spare) < record)
            {
                let around = HEADER_BYTES + self.reserved();
                let wished = (around + rest.len() as u64).min(self.options.file_bytes);
                let length = wished
                    .max(self.options.hurried_file_bytes)
                    .max(around + record);
                let path = self.new_path("new");
                let spare = Spare::create(&*self.disk, path, length)?;
                self.ready.insert(files_used, spare);
            }
            room = self
                .ready
                .get(files_used)
                .map_or(0, |spare| self.room_in(spare));
            files_used += 1;
        }
        Ok(())
    }

    fn write_records(&mut self, records: &mut [u8]) -> Result<(), Fault> {
        let mut rest = records;
        while !rest.is_empty() {
            let room = self.current.as_ref().map_or(0, Current::room);
            let fitting = fitting(rest, room);
            let (part, after) = rest.split_at_mut(fitting);
            rest = after;
            self.write_part(part)?;
            if !rest.is_empty() {
                self.begin_file()?;
            }
        }
        Ok(())
    }

    /// Stamps and writes records that fit into the current file.
    fn write_part(&mut self, part: &mut [u8]) -> Result<(), Fault> {
        let Some(current) = self.current.as_mut().filter(|_| !part.is_empty()) else {
            return Ok(());
        };
        let mut unstamped = &mut *part;
        while !unstamped.is_empty() {
            let (generation, lsn, synced) = (current.generation, self.next, self.synced);
            let length = match &current.key {
                None => record::stamp(unstamped, generation, lsn, synced),
                Some(key) => record::stamp_sealed(unstamped, generation, lsn, synced, key),
            };
            unstamped = &mut unstamped[length..];
            self.next = self.next.next();
        }
        current
            .file
            .write_all_at(part, current.at)
            .map_err(Fault::write(&current.path))?;
        current.at += part.len() as u64;
        Ok(())
    }

    /// Begins the file that [`Journal::provide_files`] has put first. Its length and its header are durable before it gets its
    /// name: a start can then tell a file that was damaged from one that a crash has left behind.
    fn begin_file(&mut self) -> Result<(), Fault> {
        let mut spare = self
            .ready
            .pop_front()
            .expect("every file was provided before writing");
        self.leave_current();
        let path = self.new_path("wal");
        let generation = self.last_generation;
        let header = Header {
            generation,
            first: self.next,
            synced: self.synced,
            length: spare.length,
        };
        let key = self.keys.as_ref().map(|keys| keys.new_file());
        let records_end = spare.length - self.reserved();
        if let Err(fault) = self.prepare(&spare, &path, &header, key.as_ref()) {
            // It still has what was in it before: whoever erases has to find it, and the next write may use it.
            spare.is_clean = false;
            self.ready.push_back(spare);
            return Err(fault);
        }
        let before = self.files.back().cloned();
        self.files.push_back(WalFile {
            path: path.clone(),
            generation,
            length: spare.length,
            header: Some(header),
            first: Some(self.next),
            closed: None,
            successor: None,
        });
        self.current = Some(Current {
            file: spare.file,
            path,
            generation,
            at: HEADER_BYTES,
            length: records_end,
            key,
        });
        if !is_planted(PlantedBug::JournalDirectoryNotSynced) {
            self.disk
                .sync_dir(&self.dir)
                .map_err(Fault::sync(&self.dir))?;
        }
        match before {
            Some(before) => self.note_successor(&before, header),
            None => Ok(()),
        }
    }

    /// Gives a spare file its header and its name.
    fn prepare(
        &self,
        spare: &Spare,
        path: &Path,
        header: &Header,
        key: Option<&JournalKey>,
    ) -> Result<(), Fault> {
        match key {
            None => spare.file.write_all_at(&header.encode(), 0),
            Some(key) => spare
                .file
                .write_all_at(&encode_sealed_header(header, key), 0)
                .and_then(|()| {
                    let copy = encode_key(header.generation, key);
                    let records_end = spare.length - self.reserved();
                    spare.file.write_all_at(&copy, records_end)
                }),
        }
        .map_err(Fault::write(&spare.path))?;
        if !is_planted(PlantedBug::JournalHeaderNotSynced) {
            spare.file.sync().map_err(Fault::sync(&spare.path))?;
        }
        self.disk
            .rename(&spare.path, path)
            .map_err(Fault::rename(path))
    }

    /// A crash may have kept the note about the newest file from the disk, and records in it not: those are durable now.
    fn note_newest(&mut self) -> Result<(), Fault> {
        let mut newest = self.files.iter().rev();
        let (Some(newest), Some(before)) = (newest.next(), newest.next().cloned()) else {
            return Ok(());
        };
        let noted = before.successor.map(|successor| successor.generation);
        let Some(header) = newest
            .header
            .filter(|header| noted != Some(header.generation))
        else {
            return Ok(());
        };
        self.note_successor(&before, header)?;
        match self.noted.take() {
            Some((path, file)) => file.sync().map_err(Fault::sync(&path)),
            None => Ok(()),
        }
    }

    /// Notes in the file `before` which one follows it. Only once that one exists for good: a note about a file that a crash
    /// has kept from being would be taken for a loss. It is durable with the next sync, so before anybody is told of a record in
    /// the new file.
    fn note_successor(&mut self, before: &WalFile, header: Header) -> Result<(), Fault> {
        if before.length < HEADER_BYTES {
            return Ok(());
        }
        let path = &before.path;
        let left = self.left_unsynced.iter();
        let file = match left.rev().find(|left| left.path == *path) {
            Some(left) => Arc::clone(&left.file),
            None => match self.disk.open(path, OpenMode::Write) {
                // It was removed under the server; with it went the place for the note.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened.map_err(Fault::open(path))?,
            },
        };
        let successor = Successor {
            generation: header.generation,
            first: header.first,
        };
        file.write_all_at(&successor.encode(before.generation), SUCCESSOR_AT)
            .map_err(Fault::write(path))?;
        self.noted = Some((path.clone(), file));
        Ok(())
    }

    fn leave_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.left_unsynced.push(current);
        }
    }

    /// Whether the batch fits into the current file: [`Journal::write`] then is one write and nothing else.
    #[must_use]
    pub fn fits_current_file(&self, batch: &JournalBatch) -> bool {
        let tags = self
            .keys
            .as_ref()
            .map_or(0, |_| batch.len() * TAG_BYTES as u64);
        self.current
            .as_ref()
            .is_some_and(|current| batch.bytes() + tags <= current.room())
    }

    /// Keeps a file to be used again, or removes it.
    fn give_up(&mut self, oldest: &WalFile) -> Result<(), Fault> {
        let path = &oldest.path;
        if self.ready.len() >= self.options.spares_max || oldest.length != self.options.file_bytes {
            return match self.disk.remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Fault::remove(path)(error))
                }
                _ => Ok(()),
            };
        }
        let taken = self.take_name(oldest, "spare")?;
        self.ready.extend(taken);
        Ok(())
    }

    /// Takes the name away under which recovery would read a file that nobody needs. `None` when there is no such file any more.
    fn take_name(&self, oldest: &WalFile, extension: &str) -> Result<Option<Spare>, Fault> {
        let path = &oldest.path;
        let file = match self.disk.open(path, OpenMode::Write) {
            // It was removed under the server. Nothing is lost by that now, and the files behind it can go, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Fault::open(path))?,
        };
        let spare = path_of(&self.dir, oldest.generation, extension);
        self.disk
            .rename(path, &spare)
            .map_err(Fault::rename(&spare))?;
        Ok(Some(Spare {
            file,
            path: spare,
            length: oldest.length,
            is_clean: false,
        }))
    }

    /// A name no file of this journal has or had.
    fn new_path(&mut self, extension: &str) -> PathBuf {
        self.last_generation = generation_after(self.last_generation, self.options.salt);
        path_of(&self.dir, self.last_generation, extension)
    }

    /// A full disk is the one thing that passes, unless it made a sync fail.
    fn latch_unless_full(&mut self, fault: Fault) -> Fault {
        if fault.is_full() {
            self.latch_if_sync(fault)
        } else {
            self.latch(fault)
        }
    }

    /// Before anything of a batch was written, only a failed sync leaves an unknown state behind.
    fn latch_if_sync(&mut self, fault: Fault) -> Fault {
        let is_sync = matches!(
            fault,
            Fault::Io {
                attempt: Attempt::Sync,
                ..
            }
        );
        if is_sync { self.latch(fault) } else { fault }
    }

    fn latch(&mut self, fault: Fault) -> Fault {
        self.latched = Some(Arc::new(fault.clone()));
        fault
    }

    fn check_latch(&self) -> Result<(), Fault> {
        match &self.latched {
            None => Ok(()),
            Some(cause) => Err(Fault::Latched {
                cause: Arc::clone(cause),
            }),
        }
    }
}

/// Bytes of the whole records at the start of `records` that fit into `room`.
fn fitting(records: &[u8], room: u64) -> usize {
    if records.len() as u64 <= room {
        return records.len();
    }
    let mut fitting = 0;
    while let Some(rest) = records.get(fitting..).filter(|rest| !rest.is_empty()) {
        let length = record::encoded_length(rest);
        if (fitting + length) as u64 > room {
            break;
        }
        fitting += length;
    }
    fitting
}
