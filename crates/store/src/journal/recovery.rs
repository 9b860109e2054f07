//! Reading the journal back after a start: which records count, where the tail is torn, what is damaged.
//!
//! Records form one chain by LSN through all files. A file's records end where a later file says it begins
//! ([`WalFile::first`]); what an earlier file holds from there on is void, for instance the rest of a tail that a former start
//! has cut. Where the chain breaks otherwise, later records decide: each says up to where everything was durable when it was
//! written. If that covers the missing record it is damage, reported and skipped; if not, the write never reached the disk
//! whole, nobody was told it did, and the journal ends there.
//!
//! A file gets its name after its length and header are durable. One that is too short, or has neither its header nor a record,
//! was therefore damaged later, and what it held cannot be known: everything from the break on is then reported as lost.

use std::collections::VecDeque;
use std::path::PathBuf;

use memchr::memmem;

use super::file::{HEADER_BYTES, KEY_BYTES, WalFile, find_key};
use super::record::{self, GENERATION_AT, JournalRecord, Stored};
use super::report::{JournalDamage, JournalReport, LostRecords, TornTail};
use crate::disk::{Disk, OpenMode, read_exact_at};
use crate::fault::Fault;
use crate::identity::Lsn;
use crate::sabotage::{PlantedBug, is_planted};
use crate::seal::JournalKey;

/// What receives the records.
pub(super) type Visit<'v> = dyn FnMut(JournalRecord<'_>) -> Result<(), Fault> + 'v;

/// Visits the records of `files` (ascending by generation) from `from` on; returns the position the next record gets.
/// What was visited is durable afterwards. No sound file is shorter than `shortest`.
pub(super) fn recover(
    disk: &dyn Disk,
    files: &[WalFile],
    shortest: u64,
    from: Lsn,
    visit: &mut Visit<'_>,
) -> Result<(Lsn, JournalReport), Fault> {
    let (chapters, from) = chapters(files, from);
    let mut walk = Walk {
        disk,
        chapters: &chapters,
        shortest,
        from,
        visit,
        expected: from,
        proven: chapters
            .iter()
            .map(Chapter::proof)
            .max()
            .unwrap_or_default(),
        proof: Proof::FromThePast,
        unproven: VecDeque::new(),
        report: JournalReport::default(),
    };
    walk.run()?;
    walk.make_durable()?;
    Ok((walk.expected.max(from), walk.report))
}

/// A file that may hold records that count.
struct Chapter<'a> {
    file: &'a WalFile,
    /// Records from here on are void.
    limit: Lsn,
}

/// The files needed to read from `from` on, each with its limit, and where their records begin.
fn chapters(files: &[WalFile], mut from: Lsn) -> (Vec<Chapter<'_>>, Lsn) {
    let mut limit = Lsn(u64::MAX);
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
    fn proof(&self) -> Lsn {
        self.file.header.map_or(Lsn::ZERO, |header| header.synced)
    }

    /// Whether nothing of the file counts, as later files take all its positions.
    fn is_void(&self) -> bool {
        self.file.first.is_some_and(|first| first >= self.limit)
    }

    /// Whether less is left of the file than any crash can leave, so that nobody knows which records it had.
    fn is_ruin(&self, disk: &dyn Disk, shortest: u64) -> Result<bool, Fault> {
        if self.is_void() {
            return Ok(false);
        }
        if self.file.length < shortest {
            return Ok(true);
        }
        let records_at = usize::try_from(HEADER_BYTES).expect("a small constant");
        Ok(self.file.header.is_none() && self.load(disk)?.search(records_at, Lsn::ZERO).is_none())
    }

    fn load(&self, disk: &dyn Disk) -> Result<Loaded<'_>, Fault> {
        let path = &self.file.path;
        let file = disk.open(path, OpenMode::Read).map_err(Fault::open(path))?;
        let length = usize::try_from(self.file.length).expect("journal files fit into memory");
        let key = match disk.keys() {
            Some(keys) => find_key(&*file, self.file.length, self.file.generation, keys)
                .map_err(Fault::read(path))?,
            None => None,
        };
        // What names the key at the end of the file is no record.
        let length = length - key.as_ref().map_or(0, |_| KEY_BYTES.min(length));
        let closed = self.file.closed.map(|closed| closed.end);
        let end = closed.and_then(|end| usize::try_from(end).ok());
        let length = length.min(end.unwrap_or(length));
        // Most of a file is zeros or what it held before. Only pieces that records of its generation reach into are kept.
        let needle = self.file.generation.to_le_bytes();
        let mut window = vec![0; length.min(OVERLAP_BYTES + PIECE_BYTES)];
        // Room that is not written to is no memory.
        let mut bytes = Vec::with_capacity(length);
        let mut needed = 0;
        for at in (0..length).step_by(PIECE_BYTES) {
            let from = at - OVERLAP_BYTES.min(at);
            let until = length.min(at + PIECE_BYTES);
            let window = window.get_mut(..until - from).unwrap_or_default();
            read_exact_at(&*file, window, from as u64).map_err(Fault::read(path))?;
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
            chapter: self,
            bytes,
            key,
        })
    }
}

/// How much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;
/// How much of the piece before is read again: more than the part of a record up to and with its generation.
const OVERLAP_BYTES: usize = 64;

/// A file in memory.
struct Loaded<'a> {
    chapter: &'a Chapter<'a>,
    /// Its bytes, zeros where no record of its generation is, and nothing behind the last one.
    bytes: Vec<u8>,
    /// What its records are sealed with.
    key: Option<JournalKey>,
}

impl Loaded<'_> {
    /// The record at `at`, when it is valid and counts.
    fn record_at(&self, at: usize) -> Option<Stored<'_>> {
        let stored = record::decode(self.bytes.get(at..)?, self.chapter.file.generation)?;
        (stored.record.lsn < self.chapter.limit).then_some(stored)
    }

    /// The body of the sealed record at `at`; `None` when no key of the store opens it.
    fn open_body(&self, at: usize, stored: &Stored<'_>) -> Option<Vec<u8>> {
        let record = self.bytes.get(at..at + stored.length)?;
        record::open_body(record, self.key.as_ref()?)
    }

    /// The first record at any byte from `at` on that counts and is `wanted` or later.
    fn search(&self, mut at: usize, wanted: Lsn) -> Option<(usize, Stored<'_>)> {
        let needle = self.chapter.file.generation.to_le_bytes();
        loop {
            let rest = self.bytes.get(at + GENERATION_AT..)?;
            at += memmem::find(rest, &needle)?;
            at += match self.record_at(at) {
                Some(stored) if stored.record.lsn >= wanted => return Some((at, stored)),
                // What lies inside a valid record is its body, not another record.
                Some(stored) => stored.length,
                None => 1,
            };
        }
    }

    /// Whether something of this generation was begun at `at`.
    fn is_begun(&self, at: usize) -> bool {
        record::number(&self.bytes, at + GENERATION_AT)
            == Some(self.chapter.file.generation.to_le_bytes())
    }
}

/// How much of the journal has been searched for proof of durability.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Only what was visited, and all headers.
    FromThePast,
    /// Everything: nothing later can change what is proven. Holds the number of valid records not visited yet.
    Complete { records_behind: u64 },
}

/// Where the chain broke.
struct Gap<'a> {
    path: PathBuf,
    offset: u64,
    /// To the end of the file, until a later record in the same file is found.
    length: u64,
    /// Whether the bytes look like the beginning of a record.
    begun: bool,
    /// Files since the break that hold less than any crash can have left of them.
    ruins: Vec<&'a WalFile>,
}

/// Whether records after a gap count.
enum After {
    Continue,
    Stop,
}

struct Walk<'a, 'v> {
    disk: &'a dyn Disk,
    chapters: &'a [Chapter<'a>],
    shortest: u64,
    from: Lsn,
    visit: &'a mut Visit<'v>,
    /// The position of the next record of the chain.
    expected: Lsn,
    /// Everything up to here was durable.
    proven: Lsn,
    proof: Proof,
    /// Visited records that nothing proves durable: chapter, offset, end and position.
    unproven: VecDeque<Unproven>,
    report: JournalReport,
}

struct Unproven {
    chapter: usize,
    start: u64,
    end: u64,
    lsn: Lsn,
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self) -> Result<(), Fault> {
        if let Some(first) = self.chapters.first().and_then(|chapter| chapter.file.first) {
            self.expected = first.min(self.from);
        }
        let mut gap = None;
        let chapters = self.chapters;
        for (index, chapter) in chapters.iter().enumerate() {
            if chapter.is_void() {
                continue;
            }
            self.report.files += 1;
            let loaded = chapter.load(self.disk)?;
            if let After::Stop = self.read_chapter(index, &loaded, &mut gap)? {
                return self.report_ruins(&chapters[index..]);
            }
            if let Some(gap) = &mut gap
                && chapter.is_ruin(self.disk, self.shortest)?
            {
                gap.ruins.push(chapter.file);
            }
        }
        if let Some(gap) = gap {
            self.close_gap(gap, None);
        }
        Ok(())
    }

    /// Reports the ruins among the files from the one on where reading has stopped.
    fn report_ruins(&mut self, chapters: &[Chapter<'_>]) -> Result<(), Fault> {
        for chapter in chapters {
            if chapter.is_ruin(self.disk, self.shortest)? {
                self.report_ruin(chapter.file, None);
            }
        }
        Ok(())
    }

    /// Reports a whole file as damaged and the positions from the expected one on as lost.
    fn report_ruin(&mut self, file: &WalFile, last: Option<Lsn>) {
        self.report.damage.push(JournalDamage {
            path: file.path.clone(),
            offset: 0,
            length: file.length,
            lost: Some(LostRecords {
                first: self.expected.max(self.from),
                last,
            }),
        });
    }

    fn read_chapter(
        &mut self,
        index: usize,
        loaded: &Loaded<'_>,
        gap: &mut Option<Gap<'a>>,
    ) -> Result<After, Fault> {
        let visited_before = self.report.records;
        let mut at = usize::try_from(HEADER_BYTES).expect("a small constant");
        while self.expected < loaded.chapter.limit {
            let next = if gap.is_none() {
                loaded.record_at(at).filter(|stored| {
                    stored.record.lsn == self.expected || is_planted(PlantedBug::NoChain)
                })
            } else {
                None
            };
            let stored = match next {
                Some(stored) => stored,
                None => {
                    if gap.is_none() {
                        self.complete_proof(index, loaded, at)?;
                        *gap = Some(Gap {
                            path: loaded.chapter.file.path.clone(),
                            offset: at as u64,
                            length: loaded.chapter.file.length.saturating_sub(at as u64),
                            begun: loaded.is_begun(at),
                            ruins: Vec::new(),
                        });
                    }
                    let Some((found, stored)) = loaded.search(at, self.expected) else {
                        break;
                    };
                    let mut open = gap.take().expect("opened above or before");
                    if open.path == loaded.chapter.file.path {
                        open.length = found as u64 - open.offset;
                    }
                    if let After::Stop = self.close_gap(open, Some(stored.record.lsn)) {
                        return Ok(After::Stop);
                    }
                    at = found;
                    stored
                }
            };
            self.accept(index, at, &stored, loaded)?;
            at += stored.length;
        }
        if self.report.records > visited_before && loaded.chapter.file.header.is_none() {
            self.report.damage.push(JournalDamage {
                path: loaded.chapter.file.path.clone(),
                offset: 0,
                length: HEADER_BYTES,
                lost: None,
            });
        }
        Ok(After::Continue)
    }

    fn accept(
        &mut self,
        chapter: usize,
        at: usize,
        stored: &Stored<'_>,
        loaded: &Loaded<'_>,
    ) -> Result<(), Fault> {
        let lsn = stored.record.lsn;
        self.expected = lsn.next();
        self.proven = self.proven.max(stored.synced);
        if let Proof::Complete { records_behind } = &mut self.proof {
            *records_behind = records_behind.saturating_sub(1);
        }
        self.unproven.push_back(Unproven {
            chapter,
            start: at as u64,
            end: (at + stored.length) as u64,
            lsn,
        });
        while self
            .unproven
            .front()
            .is_some_and(|oldest| oldest.lsn <= self.proven)
        {
            self.unproven.pop_front();
        }
        if lsn < self.from || stored.is_mark() {
            return Ok(());
        }
        let opened;
        let body = if stored.sealed {
            let Some(body) = loaded.open_body(at, stored) else {
                // Whole, and yet not what was sealed: as good as lost.
                self.report.damage.push(JournalDamage {
                    path: loaded.chapter.file.path.clone(),
                    offset: at as u64,
                    length: stored.length as u64,
                    lost: Some(LostRecords {
                        first: lsn,
                        last: Some(lsn),
                    }),
                });
                return Ok(());
            };
            opened = body;
            &opened
        } else {
            stored.record.body
        };
        self.report.records += 1;
        self.report.bytes += stored.length as u64;
        (self.visit)(JournalRecord {
            body,
            ..stored.record
        })
    }

    /// Judges a break of the chain, `next` being the first valid record behind it.
    fn close_gap(&mut self, gap: Gap<'_>, next: Option<Lsn>) -> After {
        let Gap {
            path,
            offset,
            length,
            begun,
            ruins,
        } = gap;
        // Records before `from` are not needed any more, whatever became of them. They may well be missing for a good reason:
        // a checkpoint can take the place of records that were never synced.
        let first = self.expected.max(self.from);
        let first_found = next.unwrap_or(Lsn(u64::MAX));
        if first_found <= first {
            return After::Continue;
        }
        let is_damage = self.proven >= first;
        let last = self.proven.min(first_found.previous());
        let is_closed = is_damage && last.next() == first_found;
        for ruin in &ruins {
            self.report_ruin(ruin, is_closed.then_some(last));
        }
        if is_damage {
            if ruins.is_empty() || begun {
                let lost = Some(LostRecords {
                    first,
                    last: Some(last),
                });
                self.report.damage.push(JournalDamage {
                    path: path.clone(),
                    offset,
                    length,
                    lost,
                });
            }
            self.expected = last.next();
            if is_closed {
                return After::Continue;
            }
        }
        let records = match self.proof {
            Proof::Complete { records_behind } => records_behind,
            Proof::FromThePast => 0,
        };
        if ruins.is_empty() && (next.is_some() || (begun && !is_damage)) {
            self.report.torn = Some(TornTail {
                path,
                offset,
                first: self.expected,
                records,
            });
        }
        After::Stop
    }

    /// Searches everything from `at` in this chapter on for records, for what they say about durability.
    fn complete_proof(
        &mut self,
        index: usize,
        loaded: &Loaded<'_>,
        at: usize,
    ) -> Result<(), Fault> {
        if self.proof != Proof::FromThePast {
            return Ok(());
        }
        let mut records_behind = self.search_proof(loaded, at);
        let chapters = self.chapters;
        for chapter in chapters.iter().skip(index + 1) {
            let later = chapter.load(self.disk)?;
            records_behind +=
                self.search_proof(&later, usize::try_from(HEADER_BYTES).expect("small"));
        }
        self.proof = Proof::Complete { records_behind };
        Ok(())
    }

    fn search_proof(&mut self, loaded: &Loaded<'_>, mut at: usize) -> u64 {
        let mut records = 0;
        while let Some((found, stored)) = loaded.search(at, self.expected) {
            self.proven = self.proven.max(stored.synced);
            records += 1;
            at = found + stored.length;
        }
        records
    }

    /// Makes what was visited durable.
    ///
    /// Records that nothing proves durable are written once more where they are: after a failed sync of a former process the
    /// operating system may hold them in memory, believe them clean, and never write them.
    fn make_durable(&mut self) -> Result<(), Fault> {
        if is_planted(PlantedBug::RecoveredTailNotSynced) {
            return Ok(());
        }
        while let Some(first) = self.unproven.pop_front() {
            let mut end = first.end;
            while let Some(next) = self
                .unproven
                .pop_front_if(|next| next.chapter == first.chapter)
            {
                end = next.end;
            }
            let path = &self.chapters[first.chapter].file.path;
            let file = self
                .disk
                .open(path, OpenMode::Write)
                .map_err(Fault::open(path))?;
            let length = usize::try_from(end - first.start).expect("was in memory before");
            let mut bytes = vec![0; length];
            read_exact_at(&*file, &mut bytes, first.start).map_err(Fault::read(path))?;
            file.write_all_at(&bytes, first.start)
                .map_err(Fault::write(path))?;
            file.sync().map_err(Fault::sync(path))?;
        }
        Ok(())
    }
}
